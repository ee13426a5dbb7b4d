//! Debug mode: what takes long is reported when it is over.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use log::Level;

use super::kind::words;
use crate::event_loop::{About, LoopState, Nanos, Observer, Ticket};
use crate::reports::report;

/// Reports entries of the ready queue that take `slow_callback_duration` or longer. What runs inside of
/// another, as a task does that starts eagerly, is part of that, as in asyncio.
#[derive(Default)]
pub(crate) struct SlowCallbacks {
    /// What runs and since when.
    running: RefCell<Option<(String, Nanos)>>,
    /// How much runs inside of each other.
    depth: Cell<usize>,
}

impl Observer for SlowCallbacks {
    fn begins(&self, lp: &LoopState, _ticket: Option<Ticket>, about: &About) {
        let outer = self.depth.replace(self.depth.get() + 1);
        if outer == 0 {
            let name = about.task.and_then(|task| lp.name_of(task));
            let what = words(about.kind, name.as_deref(), about.site);
            *self.running.borrow_mut() = Some((what, lp.time.now()));
        }
    }

    fn ended(&self, lp: &LoopState) {
        self.depth.set(self.depth.get() - 1);
        if self.depth.get() > 0 {
            return;
        }
        let Some((what, start)) = self.running.take() else {
            return;
        };
        let took = Duration::from_nanos(lp.time.now().saturating_sub(start));
        if took >= lp.slow_callback_duration() {
            // The entry may have panicked, and a logger may panic too: both at once would abort.
            let tell = || report(Level::Warn, format_args!("{what} took {took:?}"));
            let _ = catch_unwind(AssertUnwindSafe(tell));
        }
    }
}
