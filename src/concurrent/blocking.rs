//! How a thread blocks until futures are done: until when, and that it refuses to stop a loop.

use std::time::{Duration, Instant};

use crate::event_loop::current;
use crate::sync::{Condvar, MutexGuard, wait_on};

/// Until when a thread waits.
#[derive(Clone, Copy)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    /// `None`, or more than the clock can tell: as long as it takes.
    pub(super) fn after(timeout: Option<Duration>) -> Self {
        Self(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// The time that is left; `None`: there is no end.
    pub(super) fn left(self) -> Option<Duration> {
        let Self(when) = self;
        when.map(|when| when.saturating_duration_since(Instant::now()))
    }
}

/// Why a thread does not wait any longer.
#[derive(Debug)]
pub(super) enum NotDone {
    TimedOut,
    /// A loop runs on this thread.
    WouldBlockLoop,
}

/// Blocks this thread until `over` holds of the state, which changes with `changed`.
pub(super) fn block_until<S>(
    changed: &Condvar,
    mut state: MutexGuard<'_, S>,
    deadline: Deadline,
    over: impl Fn(&S) -> bool,
) -> Result<(), NotDone> {
    while !over(&state) {
        let left = deadline.left();
        if left.is_some_and(|left| left.is_zero()) {
            return Err(NotDone::TimedOut);
        }
        if current::with(|running| running.is_some()) {
            return Err(NotDone::WouldBlockLoop);
        }
        state = wait_on(changed, state, left);
    }
    Ok(())
}
