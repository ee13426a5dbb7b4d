//! How futures and tasks are printed: what asyncio's `repr` shows.

use std::fmt;

use super::{AnyFuture, State};

/// Prints a future or task as asyncio's `repr` does.
pub(crate) fn describe(
    future: &dyn AnyFuture,
    callbacks: usize,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let site = future.base().site;
    let state = future.state();
    match future.task() {
        None => write!(f, "<Future {state}")?,
        Some(head) => {
            write!(f, "<Task {state} name='{}'", head.name())?;
            if state == State::Pending {
                for awaited in head.awaited(&future.base().lp) {
                    write!(f, " wait_for={}", Brief(&*awaited))?;
                }
            }
        }
    }
    if callbacks > 0 {
        write!(f, " cb=[{callbacks}]")?;
    }
    write!(f, " created at {site}>")
}

/// A future in short, as part of another's description.
struct Brief<'a>(&'a dyn AnyFuture);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state();
        let site = self.0.base().site;
        match self.0.task() {
            None => write!(f, "<Future {state} created at {site}>"),
            Some(head) => write!(f, "<Task {state} name='{}' created at {site}>", head.name()),
        }
    }
}
