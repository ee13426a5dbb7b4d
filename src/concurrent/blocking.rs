//! How a thread blocks until futures are done: until when, and that it refuses to stop a loop.

use std::time::{Duration, Instant};

use super::absent::Absent;
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

/// What a thread waits for, as it stands under a lock.
pub(super) trait Awaited {
    fn is_over(&self) -> bool;
    /// Who blocks on it and is not counted.
    fn absent(&mut self) -> &mut Absent;
}

/// Blocks this thread until the state, which changes with `changed`, is over. With `brought_by` nobody but
/// that loop can bring it.
pub(super) fn block_until<S: Awaited>(
    changed: &Condvar,
    mut state: MutexGuard<'_, S>,
    deadline: Deadline,
    brought_by: Option<u64>,
) -> Result<(), NotDone> {
    let mut absent = None;
    while !state.is_over() {
        let left = deadline.left();
        if left.is_some_and(|left| left.is_zero()) {
            if let Some(loop_id) = absent {
                state.absent().give_up(loop_id);
            }
            return Err(NotDone::TimedOut);
        }
        if current::with(|running| running.is_some()) {
            return Err(NotDone::WouldBlockLoop);
        }
        if absent.is_none()
            && let Some(loop_id) = brought_by
        {
            state.absent().leave(loop_id);
            absent = brought_by;
        }
        state = wait_on(changed, state, left);
    }
    Ok(())
}
