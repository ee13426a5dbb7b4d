//! What a test that panics does with reports: they are written to `log`.
//!
//! In a binary of its own, for it installs a logger that hears of all threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use callsoon::{create_try_task, testing, yield_now};

static RECORDS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Keep;

impl log::Log for Keep {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}: {}", record.level(), record.target(), record.args());
        RECORDS.lock().expect("nobody panics with it").push(line);
    }

    fn flush(&self) {}
}

/// The panic of the body goes on as it is; why it came to that may stand in a report.
#[test]
fn what_was_reported_before_the_body_panicked_is_logged() {
    log::set_logger(&Keep).expect("this is the only test here");
    log::set_max_level(log::LevelFilter::Error);
    let test = || {
        testing::run(async {
            create_try_task(async { Err::<(), _>("no such host") });
            yield_now().await;
            panic!("there is no answer");
        })
    };
    let panic = catch_unwind(AssertUnwindSafe(test)).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"there is no answer"));
    let records = RECORDS.lock().expect("nobody panics with it");
    let [record] = &**records else {
        panic!("{records:?}")
    };
    assert!(record.starts_with("ERROR callsoon: "), "{record}");
    assert!(record.contains("no such host"), "{record}");
}
