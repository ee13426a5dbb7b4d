//! [`Handle`] and [`TimerHandle`]: what `call_soon` and `call_later` give, to cancel with.
//!
//! A callback is one allocation with the closure at its end, shared by the ready queue (or the timer
//! heap) and the handle. Cancelling takes the closure out and drops it at once; the empty cell stays
//! behind until its turn comes.

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use super::clock::{Nanos, to_nanos};
use super::observe::About;
use super::order::Lane;
use super::ready::{Run, pin_in_place};
use super::state::LoopState;
use crate::observe::EntryKind;
use crate::tasks::Stepper;

/// What every callback has, beside its closure.
pub(crate) struct CallHead {
    /// Where it was scheduled.
    pub(super) site: &'static Location<'static>,
    state: Cell<CallState>,
}

/// Where a callback stands. Its closure is there only while it is `Waiting`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CallState {
    Waiting,
    Cancelled,
    Done,
}

impl CallHead {
    pub(crate) fn new(site: &'static Location<'static>) -> Self {
        Self {
            site,
            state: Cell::new(CallState::Waiting),
        }
    }

    /// Takes the closure out for its call, if it waits for that.
    #[inline]
    pub(crate) fn start<F>(&self, lp: &LoopState, closure: &Cell<Option<F>>) -> Option<F> {
        lp.callback_site.set(Some(self.site));
        if !self.is_waiting() {
            return None;
        }
        self.state.set(CallState::Done);
        closure.take()
    }

    pub(crate) fn about(&self, kind: EntryKind) -> About {
        About::at(kind, self.site)
    }

    /// The closure is about to be dropped uncalled. Unless it was cancelled, its loop closes.
    fn discarded(&self) {
        if self.is_waiting() {
            self.state.set(CallState::Done);
        }
    }

    fn is_waiting(&self) -> bool {
        self.state.get() == CallState::Waiting
    }

    fn is_cancelled(&self) -> bool {
        self.state.get() == CallState::Cancelled
    }
}

impl fmt::Display for CallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "scheduled",
            Self::Cancelled => "cancelled",
            Self::Done => "done",
        })
    }
}

/// A callback that a handle can cancel.
pub(crate) trait Callback: Run {
    fn head(&self) -> &CallHead;
}

/// Cancels a callback, and drops its closure if that was not called yet.
fn cancel(callback: &(impl Callback + ?Sized)) {
    let head = callback.head();
    let waiting = head.is_waiting();
    head.state.set(CallState::Cancelled);
    if waiting {
        callback.discard();
    }
}

/// A callback of `call_soon`.
pub(super) struct Soon<F> {
    head: CallHead,
    closure: Cell<Option<F>>,
}

impl<F: FnOnce()> Soon<F> {
    pub(super) fn create(site: &'static Location<'static>, closure: F) -> Pin<Rc<Self>> {
        pin_in_place(|| Self {
            head: CallHead::new(site),
            closure: Cell::new(Some(closure)),
        })
    }
}

/// Nothing in it is ever pinned: the closure is moved out to be called.
impl<F> Unpin for Soon<F> {}

impl<F: FnOnce()> Run for Soon<F> {
    fn run(self: Pin<Rc<Self>>, lp: &Rc<LoopState>, _stepper: &mut Stepper<'_>) {
        if let Some(closure) = self.head.start(lp, &self.closure) {
            closure();
        }
    }

    fn lane(&self) -> Lane {
        Lane::Callbacks
    }

    fn about(&self) -> About {
        self.head.about(EntryKind::Callback)
    }

    fn discard(&self) {
        self.head.discarded();
        drop(self.closure.take());
    }
}

impl<F: FnOnce()> Callback for Soon<F> {
    fn head(&self) -> &CallHead {
        &self.head
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
    pub(super) callback: Pin<Rc<dyn Callback>>,
}

impl Handle {
    /// Keeps the callback from running, and drops its closure at once.
    ///
    /// Harmless once it has run or was cancelled. It works while the callback waits in the current
    /// turn's batch, too.
    ///
    /// *From asyncio:* `Handle.cancel()`. Differences: none.
    ///
    /// # Examples
    ///
    /// A callback that keeps another one of the same turn from running:
    ///
    /// ```
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let slot = std::rc::Rc::new(std::cell::OnceCell::<callsoon::Handle>::new());
    /// let victim = slot.clone();
    /// event_loop.call_soon(move || victim.get().expect("set below").cancel());
    /// let handle = event_loop.call_soon(|| unreachable!("it is cancelled"));
    /// assert!(slot.set(handle.clone()).is_ok());
    /// event_loop.run_once(None)?;
    /// assert!(handle.cancelled());
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn cancel(&self) {
        cancel(&*self.callback);
    }

    /// Says whether [`cancel`](Self::cancel) was called, be it after the callback had run.
    ///
    /// *From asyncio:* `Handle.cancelled()`. Differences: none.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let handle = event_loop.call_soon(|| ());
    /// assert!(!handle.cancelled());
    /// handle.cancel();
    /// assert!(handle.cancelled());
    /// ```
    pub fn cancelled(&self) -> bool {
        self.callback.head().is_cancelled()
    }

    /// Gives the place where the callback was scheduled.
    ///
    /// *From asyncio:* nothing public; debug mode prints it.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let line = line!() + 1;
    /// let handle = event_loop.call_soon(|| ());
    /// assert_eq!(handle.created_at().line(), line);
    /// ```
    pub fn created_at(&self) -> &'static Location<'static> {
        self.callback.head().site
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.callback.head();
        write!(f, "<Handle {} created at {}>", head.state.get(), head.site)
    }
}

/// A callback that waits for its deadline, or is on its way from there through the ready queue.
pub(crate) trait TimerCallback: Callback {
    fn timer(&self) -> &TimerState;
}

pub(crate) type TimerRef = Pin<Rc<dyn TimerCallback>>;

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

/// A callback of `call_later` and `call_at`.
pub(super) struct Timer<F> {
    head: CallHead,
    timer: TimerState,
    closure: Cell<Option<F>>,
}

impl<F: FnOnce()> Timer<F> {
    pub(super) fn create(
        site: &'static Location<'static>,
        when: Nanos,
        closure: F,
    ) -> Pin<Rc<Self>> {
        pin_in_place(|| Self {
            head: CallHead::new(site),
            timer: TimerState {
                when: Cell::new(when),
                armed: Cell::new(0),
                skip: Cell::new(0),
                queued: Cell::new(0),
            },
            closure: Cell::new(Some(closure)),
        })
    }
}

/// Nor in this one.
impl<F> Unpin for Timer<F> {}

impl<F: FnOnce()> Run for Timer<F> {
    fn run(self: Pin<Rc<Self>>, lp: &Rc<LoopState>, _stepper: &mut Stepper<'_>) {
        let timer = &self.timer;
        timer.queued.set(timer.queued.get() - 1);
        let skip = timer.skip.get();
        if skip > 0 {
            timer.skip.set(skip - 1);
        } else if let Some(closure) = self.head.start(lp, &self.closure) {
            closure();
        }
    }

    fn lane(&self) -> Lane {
        Lane::Timers(self.timer.when.get())
    }

    fn about(&self) -> About {
        self.head.about(EntryKind::Timer)
    }

    fn discard(&self) {
        self.head.discarded();
        drop(self.closure.take());
    }
}

impl<F: FnOnce()> Callback for Timer<F> {
    fn head(&self) -> &CallHead {
        &self.head
    }
}

impl<F: FnOnce()> TimerCallback for Timer<F> {
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
    timer: TimerRef,
    lp: Rc<LoopState>,
}

impl TimerHandle {
    pub(crate) fn new(timer: TimerRef, lp: Rc<LoopState>) -> Self {
        Self { timer, lp }
    }

    /// Keeps the callback from running, and drops its closure at once.
    ///
    /// Harmless once it has run or was cancelled. What is left among the timers is an empty cell; those
    /// are cleared away at the latest when they are more than a few dozen and more than half of all.
    ///
    /// *From asyncio:* `TimerHandle.cancel()`. Differences: none.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{rc::Rc, time::Duration};
    /// use callsoon::{Clock, EventLoop};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// let connection = Rc::new("held by the callback");
    /// let held = connection.clone();
    /// let timer = event_loop.call_later(Duration::from_secs(60), move || println!("{held}"));
    /// timer.cancel();
    /// assert_eq!(Rc::strong_count(&connection), 1); // not in a minute: now
    /// assert_eq!(event_loop.next_deadline(), None);
    /// ```
    pub fn cancel(&self) {
        self.lp.disarm(&self.timer);
        cancel(&*self.timer);
    }

    /// Says whether [`cancel`](Self::cancel) was called, be it after the callback had run.
    ///
    /// *From asyncio:* `TimerHandle.cancelled()`. Differences: none.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let timer = event_loop.call_later(std::time::Duration::from_secs(60), || ());
    /// assert!(!timer.cancelled());
    /// timer.cancel();
    /// assert!(timer.cancelled());
    /// ```
    pub fn cancelled(&self) -> bool {
        self.timer.head().is_cancelled()
    }

    /// Gives the deadline, on the clock of [`LoopHandle::time`](crate::LoopHandle::time).
    ///
    /// *From asyncio:* `TimerHandle.when()`. Differences: none.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Clock, EventLoop};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// event_loop.advance(Duration::from_secs(10));
    /// let timer = event_loop.call_later(Duration::from_secs(5), || ());
    /// assert_eq!(timer.when(), Duration::from_secs(15));
    /// ```
    pub fn when(&self) -> Duration {
        Duration::from_nanos(self.timer.timer().when.get())
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
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Clock, EventLoop};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// let handle = event_loop.handle();
    /// let timeout = event_loop.call_later(Duration::from_secs(5), move || handle.stop());
    /// let (activity, at) = (timeout.clone(), Duration::from_secs(3));
    /// event_loop.call_at(at, move || assert!(activity.reschedule(at + Duration::from_secs(5))));
    /// event_loop.run_forever();
    /// assert_eq!(event_loop.time(), Duration::from_secs(8));
    /// assert!(!timeout.reschedule(Duration::from_secs(20))); // it has run
    /// ```
    pub fn reschedule(&self, when: Duration) -> bool {
        self.move_to(to_nanos(when))
    }

    /// Does [`reschedule`](Self::reschedule), to `delay` from now.
    ///
    /// *From asyncio:* nothing; there one cancels and calls `call_later` again.
    ///
    /// *Order:* as for [`reschedule`](Self::reschedule).
    ///
    /// # Examples
    ///
    /// Saving two seconds after the last key, not after each:
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Clock, EventLoop};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// let quiet = Duration::from_secs(2);
    /// let handle = event_loop.handle();
    /// let save = event_loop.call_later(quiet, move || handle.stop());
    /// for at in [1, 2, 3] {
    ///     let save = save.clone();
    ///     event_loop.call_at(Duration::from_secs(at), move || assert!(save.reschedule_after(quiet)));
    /// }
    /// event_loop.run_forever();
    /// assert_eq!(event_loop.time(), Duration::from_secs(5));
    /// ```
    pub fn reschedule_after(&self, delay: Duration) -> bool {
        self.move_to(self.lp.after(delay))
    }

    fn move_to(&self, when: Nanos) -> bool {
        if !self.timer.head().is_waiting() || self.lp.is_closed() {
            return false;
        }
        let timer = self.timer.timer();
        timer.skip.set(timer.queued.get());
        self.lp.rearm(&self.timer, when);
        true
    }

    /// Gives the place where the callback was scheduled.
    ///
    /// *From asyncio:* nothing public; debug mode prints it.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let line = line!() + 1;
    /// let timer = event_loop.call_later(std::time::Duration::from_secs(60), || ());
    /// assert_eq!(timer.created_at().line(), line);
    /// ```
    pub fn created_at(&self) -> &'static Location<'static> {
        self.timer.head().site
    }
}

impl fmt::Debug for TimerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.timer.head();
        let state = head.state.get();
        write!(
            f,
            "<TimerHandle {state} when={:?} created at {}>",
            self.when(),
            head.site
        )
    }
}
