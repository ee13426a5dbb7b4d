//! Debug mode: what takes long is reported when it is over.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::kind::words;
use crate::event_loop::{About, LoopState, Nanos, Observer, Ticket};

/// Reports entries that take `slow_callback_duration` or longer.
#[derive(Default)]
pub(crate) struct SlowCallbacks {
    /// What runs and since when, the innermost last.
    running: RefCell<Vec<(String, Nanos)>>,
}

impl Observer for SlowCallbacks {
    fn begins(&self, lp: &LoopState, _ticket: Option<Ticket>, about: &About) {
        let name = about.task.and_then(|task| lp.name_of(task));
        let what = words(about.kind, name.as_deref(), about.site);
        self.running.borrow_mut().push((what, lp.time.now()));
    }

    fn ended(&self, lp: &LoopState) {
        let Some((what, start)) = self.running.borrow_mut().pop() else {
            return;
        };
        let took = Duration::from_nanos(lp.time.now().saturating_sub(start));
        if took >= lp.slow_callback_duration() {
            // The entry may have panicked, and a logger may panic too: both at once would abort.
            let report = || log::warn!(target: "callsoon", "{what} took {took:?}");
            let _ = catch_unwind(AssertUnwindSafe(report));
        }
    }
}
