//! [`LoopHandle`]: a loop as its own thread sees it.

use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::clock::{Clock, to_nanos};
use super::free::try_get_running_loop;
use super::handles::{Handle, TimerHandle};
use super::remote::RemoteHandle;
use super::state::LoopState;
use crate::futures::{Future, Promise};
use crate::tasks::{Task, TaskBuilder, TaskHandle, spawn_plain};

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
///
/// # Examples
///
/// ```
/// let event_loop = callsoon::EventLoop::new();
/// let handle = event_loop.handle();
/// event_loop.call_soon(move || handle.stop()); // a callback has a handle of its own
/// assert!(matches!(event_loop.run_forever(), callsoon::RunEnd::Stopped));
/// ```
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

    /// Gives another handle of the same loop.
    ///
    /// *From asyncio:* nothing; there everybody has the loop itself.
    ///
    /// # Examples
    ///
    /// ```
    /// let handle = callsoon::EventLoop::new().handle();
    /// assert!(handle.is_closed()); // it keeps nothing alive
    /// ```
    pub fn handle(&self) -> LoopHandle {
        self.clone()
    }

    /// Gives a handle for other threads.
    ///
    /// *From asyncio:* nothing; there a thread has the loop itself.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let remote = event_loop.remote();
    /// std::thread::spawn(move || remote.stop());
    /// assert!(matches!(event_loop.run_forever(), callsoon::RunEnd::Stopped));
    /// ```
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
    /// let event_loop = callsoon::EventLoop::new();
    /// let order = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
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
    /// sleeps is up to half a millisecond late if another deadline follows within that time, so that
    /// both cost one wake-up; it is never early.
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::builder().clock(callsoon::Clock::Virtual).build();
    /// let (handle, delay) = (event_loop.handle(), std::time::Duration::from_millis(1500));
    /// event_loop.call_later(delay, move || handle.stop());
    /// event_loop.run_forever();
    /// assert_eq!(event_loop.time(), delay);
    /// ```
    #[track_caller]
    pub fn call_later(&self, delay: Duration, callback: impl FnOnce() + 'static) -> TimerHandle {
        self.timer(self.lp.after(delay), callback)
    }

    /// Schedules `callback` to run once, when [`time`](Self::time) is `when`.
    ///
    /// *From asyncio:* `loop.call_at`. Differences: those of [`call_later`](Self::call_later).
    ///
    /// *Order:* as for [`call_later`](Self::call_later); one that has passed is due in the next turn.
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::builder().clock(callsoon::Clock::Virtual).build();
    /// let (handle, beat) = (event_loop.handle(), std::time::Duration::from_secs(2));
    /// event_loop.call_at(beat, move || drop(handle.call_at(beat * 2, || ()))); // does not drift
    /// event_loop.run_forever();
    /// assert_eq!(event_loop.time(), beat * 2);
    /// ```
    #[track_caller]
    pub fn call_at(&self, when: Duration, callback: impl FnOnce() + 'static) -> TimerHandle {
        self.timer(to_nanos(when), callback)
    }

    #[track_caller]
    fn timer(&self, when: u64, callback: impl FnOnce() + 'static) -> TimerHandle {
        TimerHandle::new(self.lp.call_at(when, callback), self.lp.clone())
    }

    /// Gives the loop's time: how long ago the loop was made, on its own clock.
    ///
    /// *From asyncio:* `loop.time()`, in seconds as a float, from an origin that is anywhere.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::builder().clock(callsoon::Clock::Virtual).build();
    /// assert!(event_loop.time().is_zero()); // it was just made
    /// ```
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.lp.time.now())
    }

    /// Says which clock the loop runs on.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(callsoon::EventLoop::new().clock(), callsoon::Clock::Monotonic);
    /// ```
    pub fn clock(&self) -> Clock {
        self.lp.time.kind()
    }

    /// Moves a virtual clock forward, as if the code that is running took that long. Says false, and
    /// does nothing, on any other clock.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::builder().clock(callsoon::Clock::Virtual).build();
    /// let work = std::time::Duration::from_secs(3);
    /// assert!(event_loop.advance(work));
    /// assert_eq!(event_loop.time(), work);
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
    /// let event_loop = callsoon::EventLoop::builder().clock(callsoon::Clock::Virtual).build();
    /// let delay = std::time::Duration::from_secs(2);
    /// assert_eq!(event_loop.next_deadline(), None);
    /// event_loop.call_later(delay, || ());
    /// assert_eq!(event_loop.next_deadline(), Some(delay));
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
    /// let event_loop = callsoon::EventLoop::new();
    /// let (wake, woken) = std::sync::mpsc::channel();
    /// event_loop.set_wakeup_hook(move || _ = wake.send(()));
    /// let remote = event_loop.remote();
    /// std::thread::spawn(move || remote.stop());
    /// assert!(woken.recv().is_ok()); // a host would run a turn now
    /// ```
    pub fn set_wakeup_hook(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.lp.set_has_hook(true);
        self.lp.remote().set_hook(Some(Arc::new(hook)));
    }

    /// Removes the wake-up hook, if one was set.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// event_loop.set_wakeup_hook(|| panic!("it is removed"));
    /// event_loop.clear_wakeup_hook();
    /// assert!(!event_loop.call_soon(|| ()).cancelled()); // tells nobody
    /// ```
    pub fn clear_wakeup_hook(&self) {
        self.lp.set_has_hook(false);
        self.lp.remote().set_hook(None);
    }

    /// Makes the run that is going on return after its current turn, or the next run after one.
    ///
    /// *From asyncio:* `loop.stop()`. Works, without effect, on a closed loop.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// event_loop.stop();
    /// event_loop.run_forever(); // one turn
    /// assert_eq!(event_loop.next_deadline(), None);
    /// ```
    pub fn stop(&self) {
        self.lp.request_stop();
    }

    /// Says whether the loop is running.
    ///
    /// *From asyncio:* `loop.is_running()`.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(callsoon::run(async { callsoon::get_running_loop().is_running() }));
    /// ```
    pub fn is_running(&self) -> bool {
        self.lp.running.get().is_some()
    }

    /// Says whether the loop is closed.
    ///
    /// *From asyncio:* `loop.is_closed()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// event_loop.close();
    /// assert!(event_loop.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.lp.is_closed()
    }

    /// Makes a future, to be completed with [`set_result`](Future::set_result).
    ///
    /// *From asyncio:* `loop.create_future()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let future = event_loop.create_future();
    /// future.set_result("by hand")?;
    /// assert_eq!(event_loop.run_until_complete(&future)?, "by hand");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "a future that nobody holds is never completed"]
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
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let shared = std::rc::Rc::new(5); // need not be `Send`
    /// let task = event_loop.create_task(async move { *shared + 1 });
    /// assert!(!task.done()); // nothing of it has run
    /// assert_eq!(event_loop.run_until_complete(task)?, 6);
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn create_task<F>(&self, coroutine: F) -> Task<F::Output>
    where
        F: IntoFuture<Output: 'static, IntoFuture: 'static>,
    {
        spawn_plain(&self.lp, coroutine, Location::caller())
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
    /// let event_loop = callsoon::EventLoop::new();
    /// let (send, heard) = std::sync::mpsc::channel();
    /// event_loop.set_exception_handler(move |_, context| _ = send.send(context.to_string()));
    /// drop(event_loop.create_try_task(async { Err::<(), _>("nobody looks") }));
    /// event_loop.run_once(None)?;
    /// assert!(heard.try_recv()?.contains("nobody looks"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
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
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let reader = event_loop.task(async {}).name("reader").spawn();
    /// assert_eq!(reader.name(), "reader");
    /// ```
    pub fn task<F>(&self, coroutine: F) -> TaskBuilder<F>
    where
        F: IntoFuture<Output: 'static, IntoFuture: 'static>,
    {
        TaskBuilder::new(self.clone(), coroutine)
    }

    /// Gives every unfinished task, in the order in which they were made.
    ///
    /// *From asyncio:* `asyncio.all_tasks(loop)`. Differences: it is a list, in order.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let task = event_loop.create_task(async {});
    /// assert_eq!(event_loop.all_tasks(), [task.handle()]);
    /// ```
    pub fn all_tasks(&self) -> Vec<TaskHandle> {
        self.lp.all_tasks()
    }

    /// Turns debug mode on or off. In debug mode a callback or a step of a task that takes
    /// [`slow_callback_duration`](Self::slow_callback_duration) or longer is reported as a warning, with
    /// what it was and where it was created: where the
    /// [default handler](Self::default_exception_handler) reports errors, whatever handler is set.
    ///
    /// *From asyncio:* `loop.set_debug()`. Differences: what else asyncio checks in debug mode is
    /// always on here, or does not compile.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// event_loop.set_debug(true); // reports callbacks that are slow
    /// assert!(event_loop.get_debug());
    /// ```
    pub fn set_debug(&self, debug: bool) {
        self.lp.set_debug(debug);
    }

    /// Says whether debug mode is on.
    ///
    /// *From asyncio:* `loop.get_debug()`.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(!callsoon::EventLoop::new().get_debug()); // unless set otherwise
    /// ```
    pub fn get_debug(&self) -> bool {
        self.lp.is_debug()
    }

    /// Says from which duration on debug mode calls a callback slow; 100 ms unless set otherwise.
    ///
    /// *From asyncio:* `loop.slow_callback_duration`.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(callsoon::EventLoop::new().slow_callback_duration().as_millis(), 100);
    /// ```
    pub fn slow_callback_duration(&self) -> Duration {
        self.lp.slow_callback_duration()
    }

    /// Sets [`slow_callback_duration`](Self::slow_callback_duration).
    ///
    /// *From asyncio:* `loop.slow_callback_duration = ...`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// event_loop.set_slow_callback_duration(std::time::Duration::from_millis(16)); // a frame
    /// assert_eq!(event_loop.slow_callback_duration().as_millis(), 16);
    /// ```
    pub fn set_slow_callback_duration(&self, duration: Duration) {
        self.lp.set_slow_callback_duration(duration);
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
