//! What every future has, whatever its result.

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use super::AnyFuture;
use crate::event_loop::LoopState;

/// What every future has.
pub(crate) struct Base {
    pub(crate) lp: Rc<LoopState>,
    /// Where it was created.
    pub(crate) site: &'static Location<'static>,
    /// How many handles there are: a clone that would be followed by a drop is a move.
    pub(super) handles: Cell<u32>,
    /// Somebody has looked at the outcome, so it need not be reported.
    pub(crate) observed: Cell<bool>,
    /// It wants to hear when its last handle goes: it is completed by others, which refer to it.
    pub(crate) lets_go: Cell<bool>,
    /// No handle is left, and the loop keeps it for the sake of its done-callbacks.
    pub(crate) orphaned: Cell<bool>,
    /// Nobody minds if it is pending when its loop is closed.
    pub(crate) expendable: Cell<bool>,
}

impl Base {
    /// That of a future which begins with so many handles.
    #[inline(always)]
    pub(crate) fn new(lp: Rc<LoopState>, site: &'static Location<'static>, handles: u32) -> Self {
        Self {
            lp,
            site,
            handles: Cell::new(handles),
            observed: Cell::new(false),
            lets_go: Cell::new(false),
            orphaned: Cell::new(false),
            expendable: Cell::new(false),
        }
    }

    /// Counts one handle more.
    #[inline]
    pub(super) fn count_handle(&self) {
        self.handles.set(self.handles.get() + 1);
    }

    /// Whether somebody else has a handle.
    pub(crate) fn has_handles(&self) -> bool {
        self.handles.get() > 0
    }
}

/// asyncio's three states, and two that Rust adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Pending,
    Ready,
    Cancelled,
    Panicked,
    Taken,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready | Self::Taken => "finished",
            Self::Cancelled => "cancelled",
            Self::Panicked => "panicked",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether two references are to the same future.
pub(crate) fn same(a: &(impl AnyFuture + ?Sized), b: &(impl AnyFuture + ?Sized)) -> bool {
    std::ptr::eq(a.base(), b.base())
}

/// # Panics
///
/// If two futures that are to be awaited together are of different loops.
#[track_caller]
pub(crate) fn assert_same_loop(one: &dyn AnyFuture, other: &dyn AnyFuture) {
    assert!(
        Rc::ptr_eq(&one.base().lp, &other.base().lp),
        "future created at {} belongs to another event loop than the one created at {}, with which it is awaited",
        other.base().site,
        one.base().site
    );
}
