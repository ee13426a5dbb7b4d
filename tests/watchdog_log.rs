//! What a watchdog does without a handler: it writes to `log`.
//!
//! In a binary of its own, for it installs a logger that hears of all threads.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use callsoon::EventLoop;

/// Where records go.
static RECORDS: OnceLock<Mutex<Sender<String>>> = OnceLock::new();

struct Forward;

impl log::Log for Forward {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}: {}", record.level(), record.target(), record.args());
        let records = RECORDS.get().expect("set before the logger").lock();
        _ = records.expect("nobody panics with it").send(line);
    }

    fn flush(&self) {}
}

#[test]
fn a_stall_is_a_warning_and_its_end_another() {
    let (send, records) = channel();
    assert!(RECORDS.set(Mutex::new(send)).is_ok());
    log::set_logger(&Forward).expect("this is the only test here");
    log::set_max_level(log::LevelFilter::Trace);

    let event_loop = EventLoop::new();
    let _watchdog = event_loop.watch(Duration::from_millis(10));
    let hangs = event_loop.task(async move { (records.recv().unwrap(), records) });
    let task = hangs.name("hangs").spawn();
    let created = format!(
        "WARN callsoon: step of task 'hangs' created at {}",
        task.created_at()
    );
    let (stall, records) = event_loop.run_until_complete(task).unwrap();
    assert!(
        stall.starts_with(&format!("{created} still runs after ")),
        "{stall}"
    );
    let end = records.recv().unwrap();
    assert!(end.starts_with(&format!("{created} took ")), "{end}");
}
