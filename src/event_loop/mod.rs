//! The loop: [`EventLoop`] owns and runs it, [`LoopHandle`] schedules on it, [`RemoteHandle`] posts
//! to it from other threads.

mod awaitable;
mod builder;
mod clock;
mod closing;
pub(crate) mod current;
mod deadlock;
mod exceptions;
mod free;
mod handle;
mod handles;
mod iteration;
#[cfg(all(test, loom))]
mod loop_models;
mod mailbox;
#[cfg(all(test, loom))]
mod mailbox_models;
mod observe;
mod order;
mod planned;
mod ready;
mod remote;
mod state;
mod timers;

use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

pub use self::awaitable::{Awaitable, Awaited};
pub use self::builder::Builder;
pub use self::clock::Clock;
pub use self::deadlock::{DeadlockReport, WaitingTask};
pub use self::exceptions::{ExceptionContext, ExceptionHandler};
pub use self::free::{
    call_at, call_later, call_soon, create_future, create_task, create_try_task, get_running_loop,
    task, try_get_running_loop,
};
pub use self::handle::LoopHandle;
pub use self::handles::{Handle, TimerHandle};
pub use self::iteration::{RunEnd, Turn};
pub use self::order::Order;
pub use self::remote::{ExpectedWork, RemoteHandle};

pub(crate) use self::clock::{Nanos, to_nanos};
pub(crate) use self::handles::CallHead;
pub(crate) use self::iteration::Patience;
#[cfg(all(test, loom))]
pub(crate) use self::mailbox::Mailbox;
pub(crate) use self::observe::{About, Observer, Source, TaskMark, Ticket, TimerKey};
pub(crate) use self::order::Lane;
pub(crate) use self::ready::{Run, pin_in_place, write_over};
pub(crate) use self::remote::{Errand, Posted, Remote};
pub(crate) use self::state::LoopState;

use crate::errors::{ResultError, RunError};
use crate::futures::{AnyRef, State};
use crate::tasks::{MainCoroutine, NoMain, Stepper, TaskHandle};

/// An event loop, and the right to run and close it.
///
/// Everything that schedules is a method of [`LoopHandle`], which the loop derefs to. A loop belongs
/// to the thread that made it.
///
/// Dropping it closes it: coroutines, callbacks and timers that are pending are dropped, each once,
/// and may use the loop's API while they are.
///
/// *From asyncio:* `asyncio.new_event_loop()`. Differences:
///
/// * running and closing are the owner's, and need no check against somebody else's handle;
/// * there is no "current but not running" loop to set or get;
/// * coroutines that are pending when the loop is closed are dropped there and then.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop, sleep};
///
/// async fn slow_operation() -> &'static str {
///     sleep(Duration::from_secs(1)).await;
///     "Future is done!"
/// }
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let task = event_loop.create_task(slow_operation());
/// let handle = event_loop.handle();
/// task.add_done_callback(move |future| {
///     assert_eq!(future.result().unwrap(), "Future is done!");
///     handle.stop();
/// });
/// event_loop.run_forever();
/// assert_eq!(event_loop.time(), Duration::from_secs(1));
/// ```
///
/// A future belongs to its thread:
///
/// ```compile_fail
/// let event_loop = callsoon::EventLoop::new();
/// let future = event_loop.create_future::<u32>();
/// std::thread::spawn(move || future.set_result(5));
/// ```
pub struct EventLoop {
    handle: LoopHandle,
}

impl EventLoop {
    /// Makes a loop on the monotonic clock.
    ///
    /// *From asyncio:* `asyncio.new_event_loop()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// assert_eq!(event_loop.run_until_complete(async { 6 * 7 })?, 42);
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Makes a loop with other settings.
    ///
    /// *From asyncio:* nothing; there one sets up a loop that has been made.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Clock, EventLoop, sleep};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// event_loop.run_until_complete(sleep(Duration::from_secs(60)))?;
    /// assert_eq!(event_loop.time(), Duration::from_secs(60)); // and none of ours
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn lp(&self) -> &Rc<LoopState> {
        &self.handle.lp
    }

    /// Runs until `stop()` is called.
    ///
    /// On a virtual clock it returns, too, when nothing can ever happen any more.
    ///
    /// *From asyncio:* `loop.run_forever()`. Differences: it tells why it returned.
    ///
    /// *Order:* the turn in which `stop()` was called is finished; what it queued stays queued for
    /// the next run. If `stop()` was called before, exactly one turn is run, without waiting.
    ///
    /// # Panics
    ///
    /// If a loop runs on this thread already, or if the loop is closed. The loop that runs is left
    /// untouched.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{cell::RefCell, rc::Rc};
    /// use callsoon::{EventLoop, LoopHandle, RunEnd};
    ///
    /// type Output = Rc<RefCell<Vec<&'static str>>>;
    ///
    /// fn hello_world(event_loop: LoopHandle, output: Output) {
    ///     output.borrow_mut().push("Hello World");
    ///     event_loop.stop();
    /// }
    ///
    /// let (event_loop, output) = (EventLoop::new(), Output::default());
    /// let (handle, printed) = (event_loop.handle(), output.clone());
    /// event_loop.call_soon(move || hello_world(handle, printed));
    /// assert!(matches!(event_loop.run_forever(), RunEnd::Stopped));
    /// assert_eq!(*output.borrow(), ["Hello World"]);
    /// ```
    #[track_caller]
    pub fn run_forever(&self) -> RunEnd {
        match self.lp().start_run(Location::caller()) {
            Ok(_running) => self.lp().run(&mut NoMain),
            Err(refused) => panic!(
                "the event loop created at {} cannot run: {refused}",
                self.lp().site
            ),
        }
    }

    /// Runs until a task, a future or a bare coroutine is complete, and gives its result.
    ///
    /// *From asyncio:* `loop.run_until_complete()`. Differences: errors of the coroutine are in its
    /// result; what is not is a [`RunError`].
    ///
    /// *Order:* a coroutine that returns at once takes two turns, a future that is done takes one.
    /// The turn in which the end is noticed is finished.
    ///
    /// # Errors
    ///
    /// * [`RunError::Cancelled`] if it ended cancelled. (Also if it was asked to stop in its last step, and
    ///   what it returned is an `Err`; give it a task of `create_try_task` where that is to stand.)
    /// * [`RunError::Stopped`] if `stop()` was called first; it stays pending;
    /// * [`RunError::Deadlock`] if, on a virtual clock, it can never be done;
    /// * [`RunError::AlreadyRunning`] if a loop runs on this thread;
    /// * [`RunError::Closed`] if the loop is closed;
    /// * [`RunError::Taken`] if the result was taken before.
    ///
    /// # Panics
    ///
    /// Goes on with the panic of a task that panicked. Panics if the future belongs to another loop.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// assert_eq!(event_loop.run_until_complete(async { 1 + 1 })?, 2);
    /// let task = event_loop.create_task(async { "a task" });
    /// assert_eq!(event_loop.run_until_complete(&task)?, "a task");
    /// assert_eq!(event_loop.run_until_complete(task)?, "a task");
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn run_until_complete<A: Awaitable>(&self, awaitable: A) -> Result<A::Output, RunError> {
        let _running = self.lp().start_run(Location::caller())?;
        let awaited = awaitable.into_awaited(&self.handle);
        self.lp().run_until_done(&awaited.any(), &mut NoMain)?;
        match awaited.get() {
            Ok(result) => Ok(result),
            Err(ResultError::Cancelled(why)) => Err(RunError::Cancelled(why)),
            Err(ResultError::Panicked(panic)) => panic.resume(),
            Err(ResultError::Taken) => Err(RunError::Taken),
            Err(ResultError::NotReady) => unreachable!("it is done"),
        }
    }

    /// Runs one turn, waiting for something to do at most for `limit`; `None`: as long as it takes.
    ///
    /// With this a loop lives inside another one: a host calls `run_once(Duration::ZERO)` in
    /// each of its own turns, asks [`next_deadline`](LoopHandle::next_deadline) how long it may
    /// sleep, and is told by [`set_wakeup_hook`](LoopHandle::set_wakeup_hook) when that changes. On
    /// a virtual clock the wait moves the clock instead, by `limit` at most.
    ///
    /// A result that is set in one turn reaches a callback or an await in the next, and what that does is
    /// seen one later. A host that does not want to wait a frame of its own for each goes on while there
    /// is something to do now, as the example does: as often as its frame has time for.
    ///
    /// *From asyncio:* `loop.stop(); loop.run_forever()`, which never waits.
    ///
    /// # Errors
    ///
    /// * [`RunError::AlreadyRunning`] if a loop runs on this thread, which is left untouched: a host
    ///   may be called back from inside a turn;
    /// * [`RunError::Closed`] if the loop is closed. No other error.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::EventLoop;
    ///
    /// /// What a host does in each frame.
    /// fn frame(event_loop: &EventLoop) -> Result<usize, callsoon::RunError> {
    ///     let mut turns = 0;
    ///     while turns < 100 && event_loop.next_deadline() == Some(Duration::ZERO) {
    ///         event_loop.run_once(Duration::ZERO)?;
    ///         turns += 1;
    ///     }
    ///     Ok(turns)
    /// }
    ///
    /// let event_loop = EventLoop::new();
    /// let answer = event_loop.create_future();
    /// answer.add_done_callback(|answer| println!("{}", answer.result().unwrap()));
    /// event_loop.call_soon(move || answer.set_result(42).unwrap());
    /// assert_eq!(frame(&event_loop)?, 2); // sets the result, calls the callback
    /// assert_eq!(event_loop.next_deadline(), None);
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn run_once(&self, limit: impl Into<Option<Duration>>) -> Result<Turn, RunError> {
        let _running = self.lp().start_run(Location::caller())?;
        let patience = limit.into().map_or(Patience::Unlimited, Patience::AtMost);
        let mut main = NoMain;
        let mut stepper = Stepper::new(self.lp(), &mut main);
        Ok(self.lp().single_turn(patience, &mut stepper))
    }

    /// Closes the loop for good: drops everything that is pending, and refuses everything new.
    ///
    /// Closing a closed loop does nothing. A task that was pending is reported to the exception
    /// handler, and stays pending for ever.
    ///
    /// *From asyncio:* `loop.close()`. Differences: pending coroutines are dropped now, not when
    /// they are collected.
    ///
    /// *Order:* coroutines go first, in the order in which their tasks were made, then callbacks,
    /// then timers. What their `Drop`s schedule is accepted, and dropped as well. What was [bound](LoopHandle::bind)
    /// to the loop goes last, in the order in which it was bound.
    ///
    /// # Panics
    ///
    /// If the loop is running.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, RunError};
    ///
    /// let event_loop = EventLoop::new();
    /// event_loop.close();
    /// assert!(event_loop.is_closed());
    /// assert!(matches!(event_loop.run_once(None), Err(RunError::Closed)));
    /// ```
    #[track_caller]
    pub fn close(&self) {
        if let Some(site) = self.lp().running.get() {
            panic!("cannot close the event loop that runs since {site}");
        }
        self.lp().close();
    }
}

impl LoopState {
    /// Runs until `future` is done, or says what came first.
    pub(crate) fn run_until_done(
        self: &Rc<Self>,
        future: &AnyRef,
        main: &mut dyn MainCoroutine,
    ) -> Result<(), RunError> {
        assert!(
            Rc::ptr_eq(&future.base().lp, self),
            "future created at {} belongs to another event loop than the one created at {}",
            future.base().site,
            self.site
        );
        let lp = self.clone();
        let stop = Box::new(move |_| lp.stopping.set(true));
        let site = self.running.get().unwrap_or(self.site);
        let id = future.clone().notify(site, stop);
        let _forget = StopCallback { future, id };
        match self.run(main) {
            // Also when `stop()` was called in the very turn in which it was done.
            _ if future.state() != State::Pending => Ok(()),
            RunEnd::Stopped => Err(RunError::Stopped),
            RunEnd::Idle(report) => Err(RunError::Deadlock(report.waiting_for(future))),
        }
    }

    /// Every unfinished task, in the order in which they were made.
    pub(crate) fn all_tasks(&self) -> Vec<TaskHandle> {
        let tasks = self.tasks.borrow().all();
        tasks.into_iter().map(TaskHandle::new).collect()
    }
}

/// The callback that ends a run; taken back on every way out, or it would stop a later run. (As in
/// asyncio it does so nevertheless if it is queued by then, behind a `stop()` in the same turn.)
struct StopCallback<'a> {
    future: &'a AnyRef,
    id: u64,
}

impl Drop for StopCallback<'_> {
    fn drop(&mut self) {
        self.future.remove_callback(self.id);
    }
}

impl Default for EventLoop {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for EventLoop {
    type Target = LoopHandle;

    fn deref(&self) -> &LoopHandle {
        &self.handle
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        self.lp().close();
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}

/// Sizes that the memory per task and promise depends on.
#[cfg(all(test, target_pointer_width = "64"))]
mod sizes {
    use super::ready::Ready;
    use crate::Future;

    #[test]
    fn a_future_handle_is_three_words() {
        assert_eq!(size_of::<Future<u32>>(), 24);
    }

    #[test]
    fn a_ready_queue_entry_is_two_words() {
        assert_eq!(size_of::<Ready>(), 16);
    }
}
