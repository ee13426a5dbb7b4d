//! [`LoopHandle`], and the free functions that work on the running loop.

use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::clock::{Clock, to_nanos};
use super::current;
use super::exceptions::{ExceptionContext, ExceptionHandler, default_report};
use super::handles::{Handle, TimerHandle};
use super::remote::RemoteHandle;
use super::state::LoopState;
use crate::errors::NoRunningLoopError;
use crate::futures::{Future, Promise};
use crate::tasks::{Task, TaskBuilder, TaskHandle};

/// A loop as its own thread sees it: cheap to clone, schedules everything.
///
/// It keeps nothing alive: when the [`EventLoop`](crate::EventLoop) is gone the loop is closed.
///
/// *From asyncio:* the loop object.
///
/// # Panics
///
/// Whatever schedules panics once the loop is closed, with a message that says where the loop was
/// made (asyncio: `RuntimeError: Event loop is closed`).
#[derive(Clone)]
pub struct LoopHandle {
    pub(crate) lp: Rc<LoopState>,
}

impl LoopHandle {
    /// The running loop.
    #[track_caller]
    pub(crate) fn running() -> Self {
        match try_get_running_loop() {
            Ok(running) => running,
            Err(none) => panic!("{none}"),
        }
    }

    /// Another handle of the same loop.
    pub fn handle(&self) -> LoopHandle {
        self.clone()
    }

    /// A handle for other threads.
    pub fn remote(&self) -> RemoteHandle {
        RemoteHandle {
            remote: self.lp.remote().clone(),
        }
    }

    /// Schedules `callback` to run in the next turn.
    ///
    /// *From asyncio:* `loop.call_soon`. Differences: none; arguments are captured.
    ///
    /// *Order:* first in, first out.
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{cell::RefCell, rc::Rc};
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let order = Rc::new(RefCell::new(Vec::new()));
    /// for name in ["a", "b", "c"] {
    ///     let order = order.clone();
    ///     event_loop.call_soon(move || order.borrow_mut().push(name));
    /// }
    /// event_loop.run_once(None)?;
    /// assert_eq!(*order.borrow(), ["a", "b", "c"]);
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn call_soon(&self, callback: impl FnOnce() + 'static) -> Handle {
        Handle {
            callback: self.lp.call_soon(callback),
        }
    }

    /// Schedules `callback` to run once, `delay` from now.
    ///
    /// *From asyncio:* `loop.call_later`. Differences: equal deadlines fire in scheduling order; a
    /// delay is never negative.
    ///
    /// *Order:* runs in the first turn that starts at or after the deadline, behind what was queued
    /// for that turn before.
    ///
    /// A delay beyond the clock's range (584 years) never ends. On the monotonic clock a loop that
    /// sleeps may be up to half a millisecond late, so that deadlines near one another cost one
    /// wake-up; it is never early.
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Clock, EventLoop};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// let handle = event_loop.handle();
    /// event_loop.call_later(Duration::from_millis(1500), move || handle.stop());
    /// event_loop.run_forever();
    /// assert_eq!(event_loop.time(), Duration::from_millis(1500));
    /// ```
    #[track_caller]
    pub fn call_later(&self, delay: Duration, callback: impl FnOnce() + 'static) -> TimerHandle {
        self.timer(self.lp.after(delay), callback)
    }

    /// Schedules `callback` to run once, when [`time`](Self::time) is `when`.
    ///
    /// *From asyncio:* `loop.call_at`. *Order:* as for [`call_later`](Self::call_later); a deadline
    /// that has passed is due in the next turn.
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    #[track_caller]
    pub fn call_at(&self, when: Duration, callback: impl FnOnce() + 'static) -> TimerHandle {
        self.timer(to_nanos(when), callback)
    }

    #[track_caller]
    fn timer(&self, when: u64, callback: impl FnOnce() + 'static) -> TimerHandle {
        TimerHandle::new(self.lp.call_at(when, callback), self.lp.clone())
    }

    /// The loop's time: how long ago the loop was made, on its own clock.
    ///
    /// *From asyncio:* `loop.time()`, in seconds as a float, from an origin that is anywhere.
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.lp.time.now())
    }

    /// Which clock the loop runs on.
    pub fn clock(&self) -> Clock {
        self.lp.time.kind()
    }

    /// Moves a virtual clock forward, as if the code that is running took that long. Says false, and
    /// does nothing, on any other clock.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Clock, EventLoop};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// assert!(event_loop.advance(Duration::from_secs(3)));
    /// assert_eq!(event_loop.time(), Duration::from_secs(3));
    /// ```
    pub fn advance(&self, by: Duration) -> bool {
        self.lp.time.advance_to(self.lp.after(by))
    }

    /// How long from now the loop has nothing to do: zero if something is ready, `None` if nothing
    /// is planned. A host that runs the loop turn by turn may sleep that long.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Clock, EventLoop};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// assert_eq!(event_loop.next_deadline(), None);
    /// event_loop.call_later(Duration::from_secs(2), || ());
    /// assert_eq!(event_loop.next_deadline(), Some(Duration::from_secs(2)));
    /// event_loop.call_soon(|| ());
    /// assert_eq!(event_loop.next_deadline(), Some(Duration::ZERO));
    /// ```
    pub fn next_deadline(&self) -> Option<Duration> {
        self.lp.until_next().map(Duration::from_nanos)
    }

    /// Has `hook` called whenever a host that sleeps would oversleep: something was posted by
    /// another thread, or scheduled outside a turn, with an earlier deadline than before.
    ///
    /// It is called on the thread on which that happens, so it should do no more than wake the host.
    /// It replaces an earlier hook.
    ///
    /// *From asyncio:* nothing; there the loop is always the host.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let awake = Arc::new(AtomicBool::new(false));
    /// let wake = awake.clone();
    /// event_loop.set_wakeup_hook(move || wake.store(true, Ordering::Relaxed));
    ///
    /// let remote = event_loop.remote();
    /// std::thread::spawn(move || remote.stop()).join().unwrap();
    /// assert!(awake.load(Ordering::Relaxed));
    /// ```
    pub fn set_wakeup_hook(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.lp.has_hook.set(true);
        self.lp.remote().set_hook(Some(Arc::new(hook)));
    }

    /// Removes the wake-up hook.
    pub fn clear_wakeup_hook(&self) {
        self.lp.has_hook.set(false);
        self.lp.remote().set_hook(None);
    }

    /// Makes the run that is going on return after its current turn, or the next run after one.
    ///
    /// *From asyncio:* `loop.stop()`. Works, without effect, on a closed loop.
    pub fn stop(&self) {
        self.lp.request_stop();
    }

    /// Whether the loop is running.
    pub fn is_running(&self) -> bool {
        self.lp.running.get().is_some()
    }

    /// Whether the loop is closed.
    pub fn is_closed(&self) -> bool {
        self.lp.is_closed()
    }

    /// Makes a future, to be completed with [`set_result`](Future::set_result).
    ///
    /// *From asyncio:* `loop.create_future()`.
    #[track_caller]
    pub fn create_future<T: 'static>(&self) -> Future<T> {
        Future::new(Promise::create(&self.lp, Location::caller()))
    }

    /// Makes a task of a coroutine.
    ///
    /// *From asyncio:* `loop.create_task()`. Differences: an `Err` that the coroutine returns is a
    /// value like any other, and not reported when nobody looks;
    /// [`create_try_task`](Self::create_try_task) does that.
    ///
    /// *Order:* no code of the coroutine runs now; its first step is queued like a callback.
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    ///
    /// # Examples
    ///
    /// A coroutine may hold what belongs to this thread:
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let count = Rc::new(Cell::new(0));
    /// let counter = count.clone();
    /// let task = event_loop.create_task(async move { counter.set(5) });
    /// assert_eq!(count.get(), 0);
    /// event_loop.run_until_complete(task)?;
    /// assert_eq!(count.get(), 5);
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn create_task<F>(&self, coroutine: F) -> Task<F::Output>
    where
        F: IntoFuture<Output: 'static, IntoFuture: 'static>,
    {
        self.task(coroutine).spawn()
    }

    /// Makes a task of a coroutine that can fail.
    ///
    /// An `Err` that nobody has looked at when the last handle of the task goes is reported to the
    /// exception handler. An `Err` also wins over a cancellation that the coroutine asked for
    /// itself; see [`Task`].
    ///
    /// *From asyncio:* `loop.create_task()`, of a coroutine that may raise.
    ///
    /// *Order:* as for [`create_task`](Self::create_task).
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let reports = Rc::new(Cell::new(0));
    /// let count = reports.clone();
    /// event_loop.set_exception_handler(move |_, context| {
    ///     assert_eq!(context.error::<String>().unwrap(), "nobody looks");
    ///     count.set(count.get() + 1);
    /// });
    /// drop(event_loop.create_try_task(async { Err::<(), _>("nobody looks".to_owned()) }));
    /// event_loop.run_once(None)?;
    /// assert_eq!(reports.get(), 1);
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn create_try_task<F, U, E>(&self, coroutine: F) -> Task<Result<U, E>>
    where
        F: IntoFuture<Output = Result<U, E>, IntoFuture: 'static>,
        U: 'static,
        E: fmt::Debug + 'static,
    {
        self.task(coroutine).try_spawn()
    }

    /// Begins a task with a name: `event_loop.task(coroutine).name("reader").spawn()`.
    ///
    /// *From asyncio:* `loop.create_task(coro, name="reader")`.
    pub fn task<F>(&self, coroutine: F) -> TaskBuilder<F>
    where
        F: IntoFuture<Output: 'static, IntoFuture: 'static>,
    {
        TaskBuilder::new(self.clone(), coroutine)
    }

    /// Every unfinished task, in the order in which they were made.
    ///
    /// *From asyncio:* `asyncio.all_tasks(loop)`.
    pub fn all_tasks(&self) -> Vec<TaskHandle> {
        self.lp.all_tasks()
    }

    /// Turns debug mode on or off. In debug mode a callback or a step of a task that takes
    /// [`slow_callback_duration`](Self::slow_callback_duration) or longer is reported as a warning
    /// through `log`, with what it was and where it was created.
    ///
    /// *From asyncio:* `loop.set_debug()`. Differences: what else asyncio checks in debug mode is
    /// always on here, or does not compile.
    pub fn set_debug(&self, debug: bool) {
        self.lp.debug.set(debug);
    }

    /// Whether debug mode is on.
    pub fn get_debug(&self) -> bool {
        self.lp.debug.get()
    }

    /// From which duration on debug mode calls a callback slow; 100 ms unless set otherwise.
    ///
    /// *From asyncio:* `loop.slow_callback_duration`.
    pub fn slow_callback_duration(&self) -> Duration {
        Duration::from_nanos(self.lp.slow_callback_duration.get())
    }

    /// Sets [`slow_callback_duration`](Self::slow_callback_duration).
    pub fn set_slow_callback_duration(&self, duration: Duration) {
        self.lp.slow_callback_duration.set(to_nanos(duration));
    }

    /// Sets who is told of panics in callbacks and of failures that nobody looked at.
    ///
    /// If `handler` panics itself, both panics go to the default handler.
    ///
    /// *From asyncio:* `loop.set_exception_handler()`.
    pub fn set_exception_handler(
        &self,
        handler: impl Fn(&LoopHandle, &ExceptionContext) + 'static,
    ) {
        self.lp.set_exception_handler(Some(Rc::new(handler)));
    }

    /// Goes back to the default handler.
    ///
    /// *From asyncio:* `loop.set_exception_handler(None)`.
    pub fn clear_exception_handler(&self) {
        self.lp.set_exception_handler(None);
    }

    /// The handler that was set, if one was.
    ///
    /// *From asyncio:* `loop.get_exception_handler()`.
    pub fn get_exception_handler(&self) -> Option<ExceptionHandler> {
        self.lp.exception_handler()
    }

    /// Tells the handler, or the default handler if none is set.
    ///
    /// *From asyncio:* `loop.call_exception_handler()`.
    pub fn call_exception_handler(&self, context: &ExceptionContext) {
        self.lp.report(context);
    }

    /// Does what is done when no handler is set: writes an error record to `log`.
    ///
    /// *From asyncio:* `loop.default_exception_handler()`.
    pub fn default_exception_handler(&self, context: &ExceptionContext) {
        default_report(context);
    }
}

impl PartialEq for LoopHandle {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.lp, &other.lp)
    }
}

impl Eq for LoopHandle {}

impl fmt::Debug for LoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<EventLoop running={} closed={} debug={} created at {}>",
            self.is_running(),
            self.is_closed(),
            self.get_debug(),
            self.lp.site
        )
    }
}

/// The loop that runs on this thread.
///
/// *From asyncio:* `asyncio.get_running_loop()`.
///
/// # Panics
///
/// If none does; [`try_get_running_loop`] gives an error instead.
///
/// # Examples
///
/// ```
/// let same = callsoon::run(async { callsoon::get_running_loop() == callsoon::get_running_loop() });
/// assert!(same);
/// ```
#[track_caller]
pub fn get_running_loop() -> LoopHandle {
    LoopHandle::running()
}

/// The loop that runs on this thread.
///
/// # Errors
///
/// * [`NoRunningLoopError`] if none does.
pub fn try_get_running_loop() -> Result<LoopHandle, NoRunningLoopError> {
    match current::get() {
        Some(lp) => Ok(LoopHandle { lp }),
        None => Err(NoRunningLoopError),
    }
}

/// [`LoopHandle::call_soon`] on the running loop.
///
/// # Panics
///
/// If no loop runs on this thread.
#[track_caller]
pub fn call_soon(callback: impl FnOnce() + 'static) -> Handle {
    LoopHandle::running().call_soon(callback)
}

/// [`LoopHandle::call_later`] on the running loop.
///
/// # Panics
///
/// If no loop runs on this thread.
#[track_caller]
pub fn call_later(delay: Duration, callback: impl FnOnce() + 'static) -> TimerHandle {
    LoopHandle::running().call_later(delay, callback)
}

/// [`LoopHandle::call_at`] on the running loop.
///
/// # Panics
///
/// If no loop runs on this thread.
#[track_caller]
pub fn call_at(when: Duration, callback: impl FnOnce() + 'static) -> TimerHandle {
    LoopHandle::running().call_at(when, callback)
}

/// [`LoopHandle::create_future`] on the running loop.
///
/// # Panics
///
/// If no loop runs on this thread.
#[track_caller]
pub fn create_future<T: 'static>() -> Future<T> {
    LoopHandle::running().create_future()
}

/// [`LoopHandle::create_task`] on the running loop.
///
/// *From asyncio:* `asyncio.create_task()`.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// async fn nested() -> u32 {
///     42
/// }
///
/// let result = callsoon::run(async {
///     let task = callsoon::create_task(nested());
///     task.await
/// });
/// assert_eq!(result, 42);
/// ```
#[track_caller]
pub fn create_task<F>(coroutine: F) -> Task<F::Output>
where
    F: IntoFuture<Output: 'static, IntoFuture: 'static>,
{
    TaskBuilder::new(LoopHandle::running(), coroutine).spawn()
}

/// [`LoopHandle::create_try_task`] on the running loop.
///
/// # Panics
///
/// If no loop runs on this thread.
#[track_caller]
pub fn create_try_task<F, U, E>(coroutine: F) -> Task<Result<U, E>>
where
    F: IntoFuture<Output = Result<U, E>, IntoFuture: 'static>,
    U: 'static,
    E: fmt::Debug + 'static,
{
    TaskBuilder::new(LoopHandle::running(), coroutine).try_spawn()
}

/// [`LoopHandle::task`] on the running loop.
///
/// # Panics
///
/// If no loop runs on this thread.
#[track_caller]
pub fn task<F>(coroutine: F) -> TaskBuilder<F>
where
    F: IntoFuture<Output: 'static, IntoFuture: 'static>,
{
    TaskBuilder::new(LoopHandle::running(), coroutine)
}
