//! What a primitive is called in messages, and the loop it belongs to.

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use crate::event_loop::{LoopState, current};

/// Names a primitive, and ties it to the loop in which somebody first has to wait for it.
pub(crate) struct Bond {
    /// What it is, as messages say it.
    what: &'static str,
    /// Where it was created.
    site: &'static Location<'static>,
    /// The id of the loop it is tied to and where that was created; `None` until the first wait.
    bound: Cell<Option<(u64, &'static Location<'static>)>>,
}

impl Bond {
    #[track_caller]
    pub(crate) fn new(what: &'static str) -> Self {
        Self {
            what,
            site: Location::caller(),
            bound: Cell::new(None),
        }
    }

    /// Where it was created.
    pub(crate) fn site(&self) -> &'static Location<'static> {
        self.site
    }

    /// The running loop, which this is tied to from now on.
    ///
    /// # Panics
    ///
    /// If no loop runs, or if it is not the one this is tied to.
    pub(crate) fn running_loop(&self) -> Rc<LoopState> {
        let Some(running) = current::get() else {
            panic!("{self} is waited for while no event loop runs on this thread");
        };
        match self.bound.get() {
            Some((id, site)) if id != running.id => panic!(
                "{self} belongs to the event loop created at {site}, and is waited for in the one created at {}",
                running.site
            ),
            _ => self.bound.set(Some((running.id, running.site))),
        }
        running
    }
}

impl fmt::Display for Bond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} created at {}", self.what, self.site)
    }
}
