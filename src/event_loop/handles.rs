//! [`Handle`] and [`TimerHandle`]: what `call_soon` and `call_later` give, to cancel with.
//!
//! A callback is one allocation: a [`HandleCell`] with the closure at its end, shared by the ready
//! queue (or the timer heap) and the handle. Cancelling takes the closure out and drops it at once;
//! the empty cell stays behind until its turn comes.

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use super::clock::{Nanos, to_nanos};
use super::state::LoopState;

/// A callback in its cell, with what every kind of callback has.
pub(crate) struct HandleCell<C: ?Sized> {
    cancelled: Cell<bool>,
    /// Where it was scheduled.
    pub(super) site: &'static Location<'static>,
    pub(crate) call: C,
}

impl<C> HandleCell<C> {
    pub(crate) fn new(site: &'static Location<'static>, call: C) -> Rc<Self> {
        Rc::new(Self {
            cancelled: Cell::new(false),
            site,
            call,
        })
    }
}

impl<C: Call + ?Sized> HandleCell<C> {
    /// Cancels and drops the closure, unless it has run.
    pub(crate) fn cancel(&self) {
        if self.call.is_waiting() {
            self.cancelled.set(true);
            self.call.clear();
        }
    }
}

/// What a ready callback can do. Implementors hold no borrow while they call user code.
pub(crate) trait Call {
    /// Takes the closure out and calls it, if it is still there.
    fn run(&self);
    /// Takes the closure out and drops it.
    fn clear(&self);
    /// Whether the closure is still there.
    fn is_waiting(&self) -> bool;
}

/// A closure without arguments, until it is called or dropped.
pub(crate) struct Closure<F> {
    /// Cleared before the closure is taken, so that it can be read without touching the closure.
    waiting: Cell<bool>,
    closure: Cell<Option<F>>,
}

impl<F> Closure<F> {
    pub(crate) fn new(closure: F) -> Self {
        Self {
            waiting: Cell::new(true),
            closure: Cell::new(Some(closure)),
        }
    }

    pub(crate) fn take(&self) -> Option<F> {
        self.waiting.set(false);
        self.closure.take()
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.get()
    }
}

impl<F: FnOnce()> Call for Closure<F> {
    fn run(&self) {
        if let Some(closure) = self.take() {
            closure();
        }
    }

    fn clear(&self) {
        drop(self.take());
    }

    fn is_waiting(&self) -> bool {
        self.is_waiting()
    }
}

/// A callback scheduled with [`call_soon`](crate::LoopHandle::call_soon).
///
/// Dropping the handle changes nothing; [`cancel`](Self::cancel) drops the callback.
///
/// *From asyncio:* `asyncio.Handle`.
///
/// # Examples
///
/// ```
/// use callsoon::EventLoop;
///
/// let event_loop = EventLoop::new();
/// let handle = event_loop.call_soon(|| unreachable!("it is cancelled"));
/// handle.cancel();
/// assert!(handle.cancelled());
/// event_loop.stop();
/// event_loop.run_forever();
/// ```
#[derive(Clone)]
pub struct Handle {
    pub(super) cell: Rc<HandleCell<dyn Call>>,
}

impl Handle {
    /// Keeps the callback from running, and drops its closure at once.
    ///
    /// Does nothing once it has run or was cancelled. It works while the callback waits in the
    /// current turn's batch, too.
    pub fn cancel(&self) {
        self.cell.cancel();
    }

    /// Whether [`cancel`](Self::cancel) kept the callback from running.
    ///
    /// *From asyncio:* `Handle.cancelled()`, which is true after a late `cancel()` as well.
    pub fn cancelled(&self) -> bool {
        self.cell.cancelled.get()
    }

    /// Where the callback was scheduled.
    pub fn created_at(&self) -> &'static Location<'static> {
        self.cell.site
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cell = &self.cell;
        let state = state_of(cell.cancelled.get(), cell.call.is_waiting());
        write!(f, "<Handle {state} created at {}>", cell.site)
    }
}

fn state_of(cancelled: bool, waiting: bool) -> &'static str {
    match (cancelled, waiting) {
        (true, _) => "cancelled",
        (false, true) => "scheduled",
        (false, false) => "done",
    }
}

/// A callback in the timer heap, or on its way from there through the ready queue.
pub(crate) trait TimerCall: Call {
    fn timer(&self) -> &TimerState;
}

/// Where a timer stands.
pub(crate) struct TimerState {
    /// The deadline.
    pub(super) when: Cell<Nanos>,
    /// The sequence number of the heap entry that counts; 0 when none does. Entries with another
    /// number are stale.
    pub(super) armed: Cell<u64>,
    /// How many ready-queue entries of this timer are to be passed over, because it was re-armed
    /// after it had fired but before it ran.
    pub(super) skip: Cell<u32>,
    /// How many ready-queue entries of this timer there are.
    pub(super) queued: Cell<u32>,
}

/// A closure with a deadline.
pub(crate) struct TimerClosure<F> {
    timer: TimerState,
    closure: Closure<F>,
}

impl<F> TimerClosure<F> {
    pub(crate) fn new(when: Nanos, closure: F) -> Self {
        Self {
            timer: TimerState {
                when: Cell::new(when),
                armed: Cell::new(0),
                skip: Cell::new(0),
                queued: Cell::new(0),
            },
            closure: Closure::new(closure),
        }
    }
}

impl<F: FnOnce()> Call for TimerClosure<F> {
    fn run(&self) {
        let timer = &self.timer;
        timer.queued.set(timer.queued.get() - 1);
        match timer.skip.get() {
            0 => self.closure.run(),
            n => timer.skip.set(n - 1),
        }
    }

    fn clear(&self) {
        self.closure.clear();
    }

    fn is_waiting(&self) -> bool {
        self.closure.is_waiting()
    }
}

impl<F: FnOnce()> TimerCall for TimerClosure<F> {
    fn timer(&self) -> &TimerState {
        &self.timer
    }
}

/// A callback scheduled with [`call_later`](crate::LoopHandle::call_later) or
/// [`call_at`](crate::LoopHandle::call_at).
///
/// Dropping the handle changes nothing; [`cancel`](Self::cancel) drops the callback.
///
/// *From asyncio:* `asyncio.TimerHandle`, with [`reschedule`](Self::reschedule) on top.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop};
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let handle = event_loop.handle();
/// let timer = event_loop.call_later(Duration::from_secs(1), move || handle.stop());
/// assert_eq!(timer.when(), Duration::from_secs(1));
///
/// timer.reschedule(Duration::from_secs(5));
/// event_loop.run_forever();
/// assert_eq!(event_loop.time(), Duration::from_secs(5));
/// ```
#[derive(Clone)]
pub struct TimerHandle {
    cell: Rc<HandleCell<dyn TimerCall>>,
    lp: Rc<LoopState>,
}

impl TimerHandle {
    pub(crate) fn new(cell: Rc<HandleCell<dyn TimerCall>>, lp: Rc<LoopState>) -> Self {
        Self { cell, lp }
    }

    /// Keeps the callback from running, and drops its closure at once.
    ///
    /// Does nothing once it has run or was cancelled. What is left in the timer heap is an empty
    /// cell, and those never make up more than half of the heap.
    pub fn cancel(&self) {
        if self.cell.call.is_waiting() {
            self.lp.disarm(&self.cell);
            self.cell.cancel();
        }
    }

    /// Whether [`cancel`](Self::cancel) kept the callback from running.
    pub fn cancelled(&self) -> bool {
        self.cell.cancelled.get()
    }

    /// The deadline, on the clock of [`LoopHandle::time`](crate::LoopHandle::time).
    pub fn when(&self) -> Duration {
        Duration::from_nanos(self.cell.call.timer().when.get())
    }

    /// Moves the deadline to `when`, earlier or later, and says whether it could: false once the
    /// callback has run, was cancelled, or its loop was closed.
    ///
    /// Takes O(log n), and as little memory as one timer, however often it is done.
    ///
    /// *From asyncio:* nothing; there one cancels and calls `call_at` again.
    ///
    /// *Order:* as if it were scheduled now: behind timers with the same deadline. A timer that
    /// fired in this turn but has not run yet goes back to wait for its new deadline.
    pub fn reschedule(&self, when: Duration) -> bool {
        if !self.cell.call.is_waiting() || self.lp.is_closed() {
            return false;
        }
        let timer = self.cell.call.timer();
        timer.skip.set(timer.queued.get());
        self.lp.disarm(&self.cell);
        timer.when.set(to_nanos(when));
        self.lp.arm(self.cell.clone());
        true
    }

    /// Where the callback was scheduled.
    pub fn created_at(&self) -> &'static Location<'static> {
        self.cell.site
    }
}

impl fmt::Debug for TimerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cell = &self.cell;
        let state = state_of(cell.cancelled.get(), cell.call.is_waiting());
        write!(
            f,
            "<TimerHandle {state} when={:?} created at {}>",
            self.when(),
            cell.site
        )
    }
}
