//! What another thread reads of a loop belongs together, in every interleaving.
//!
//! The cells of `crossbeam` are not loom's; the task's id stands for all that is shown.

use std::sync::Arc;

use loom::thread;

use super::EntryKind;
use super::pulse::{Look, Pulse, Shown};

fn shown(number: u64) -> Shown {
    Shown {
        number,
        kind: EntryKind::Step,
        site: None,
        task: Some(number),
    }
}

#[test]
fn who_looks_sees_one_entry_or_none() {
    loom::model(|| {
        let pulse = Arc::new(Pulse::default());
        let looker = pulse.clone();
        let looker = thread::spawn(move || {
            if let Look::Shows(seen) = looker.look() {
                assert_eq!(seen.task, Some(seen.number));
            }
        });
        pulse.show(&shown(1));
        pulse.show(&shown(2));
        looker.join().unwrap();
        assert!(matches!(pulse.look(), Look::Shows(seen) if seen.task == Some(2)));
    });
}
