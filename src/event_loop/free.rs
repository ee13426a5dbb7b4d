//! The free functions that work on the loop that runs on this thread.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use super::current;
use super::handle::LoopHandle;
use super::handles::{Handle, TimerHandle};
use crate::errors::NoRunningLoopError;
use crate::futures::Future;
use crate::tasks::{Task, TaskBuilder, spawn_plain};

/// Gives the loop that runs on this thread.
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
/// use callsoon::{EventLoop, get_running_loop};
///
/// let event_loop = EventLoop::new();
/// event_loop.call_soon(|| get_running_loop().stop()); // needs no handle to carry along
/// event_loop.run_forever();
/// let running = event_loop.run_until_complete(async { get_running_loop() })?;
/// assert!(running == event_loop.handle());
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[track_caller]
pub fn get_running_loop() -> LoopHandle {
    LoopHandle::running()
}

/// Gives the loop that runs on this thread, if one does.
///
/// *From asyncio:* `asyncio.get_running_loop()`, with `except RuntimeError`.
///
/// # Errors
///
/// * [`NoRunningLoopError`] if none does. No other error.
///
/// # Examples
///
/// ```
/// use callsoon::{run, try_get_running_loop};
///
/// assert!(try_get_running_loop().is_err());
/// assert!(run(async { try_get_running_loop().is_ok() }));
/// ```
pub fn try_get_running_loop() -> Result<LoopHandle, NoRunningLoopError> {
    match current::get() {
        Some(lp) => Ok(LoopHandle { lp }),
        None => Err(NoRunningLoopError),
    }
}

/// Does [`LoopHandle::call_soon`] on the running loop.
///
/// *From asyncio:* `get_running_loop().call_soon()`.
///
/// *Order:* first in, first out, in the next turn.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// use callsoon::{call_soon, run, yield_now};
///
/// let seen = run(async {
///     let ran = Rc::new(Cell::new(false));
///     let mark = ran.clone();
///     call_soon(move || mark.set(true));
///     assert!(!ran.get()); // not inside the call
///     yield_now().await;
///     ran.get()
/// });
/// assert!(seen);
/// ```
#[track_caller]
pub fn call_soon(callback: impl FnOnce() + 'static) -> Handle {
    LoopHandle::running().call_soon(callback)
}

/// Does [`LoopHandle::call_later`] on the running loop.
///
/// *From asyncio:* `get_running_loop().call_later()`.
///
/// *Order:* that of [`LoopHandle::call_later`].
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop, call_later, create_future};
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// event_loop.run_until_complete(async {
///     let alarm = create_future();
///     let ring = alarm.clone();
///     call_later(Duration::from_secs(60), move || ring.set_result(()).expect("nobody else rings"));
///     alarm.await
/// })?;
/// assert_eq!(event_loop.time(), Duration::from_secs(60));
/// # Ok::<(), callsoon::RunError>(())
/// ```
///
/// A callback that calls itself again, until five seconds are over:
///
/// ```
/// use std::{cell::RefCell, rc::Rc, time::Duration};
/// use callsoon::{Clock, EventLoop, call_later, get_running_loop};
///
/// fn display_date(end: Duration, display: Rc<RefCell<Vec<String>>>) {
///     let now = get_running_loop().time();
///     display.borrow_mut().push(format!("12:00:{:02}", now.as_secs()));
///     let second = Duration::from_secs(1);
///     if now + second < end {
///         call_later(second, move || display_date(end, display));
///     } else {
///         get_running_loop().stop();
///     }
/// }
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let display = Rc::new(RefCell::new(vec![]));
/// let (end, shown) = (event_loop.time() + Duration::from_secs(5), display.clone());
/// event_loop.call_soon(move || display_date(end, shown));
/// event_loop.run_forever();
/// assert_eq!(
///     *display.borrow(),
///     ["12:00:00", "12:00:01", "12:00:02", "12:00:03", "12:00:04"]
/// );
/// ```
#[track_caller]
pub fn call_later(delay: Duration, callback: impl FnOnce() + 'static) -> TimerHandle {
    LoopHandle::running().call_later(delay, callback)
}

/// Does [`LoopHandle::call_at`] on the running loop.
///
/// *From asyncio:* `get_running_loop().call_at()`.
///
/// *Order:* that of [`LoopHandle::call_later`].
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop, call_at, get_running_loop};
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// event_loop.call_soon(|| {
///     let noon = Duration::from_secs(12 * 3600);
///     call_at(noon, || get_running_loop().stop());
/// });
/// event_loop.run_forever();
/// assert_eq!(event_loop.time(), Duration::from_secs(12 * 3600));
/// ```
#[track_caller]
pub fn call_at(when: Duration, callback: impl FnOnce() + 'static) -> TimerHandle {
    LoopHandle::running().call_at(when, callback)
}

/// Does [`LoopHandle::create_future`] on the running loop.
///
/// *From asyncio:* `get_running_loop().create_future()`.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use callsoon::{call_soon, create_future, run};
///
/// let answer = run(async {
///     let future = create_future();
///     let promise = future.clone();
///     call_soon(move || promise.set_result(42).expect("nobody else completes it"));
///     future.await
/// });
/// assert_eq!(answer, 42);
/// ```
#[must_use = "a future that nobody holds is never completed"]
#[track_caller]
pub fn create_future<T: 'static>() -> Future<T> {
    LoopHandle::running().create_future()
}

/// Does [`LoopHandle::create_task`] on the running loop.
///
/// *From asyncio:* `asyncio.create_task()`.
///
/// *Order:* no code of the coroutine runs now; its first step is queued like a callback.
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
///
/// Two tasks run at the same time, so this takes two seconds, and not three:
///
/// ```
/// use std::{cell::RefCell, rc::Rc, time::Duration};
/// use callsoon::{Clock, EventLoop, create_task, get_running_loop, sleep};
///
/// async fn say_after(seconds: u64, what: &str, said: Rc<RefCell<Vec<String>>>) {
///     sleep(Duration::from_secs(seconds)).await;
///     let now = get_running_loop().time();
///     said.borrow_mut().push(format!("{what} at {now:?}"));
/// }
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let said = Rc::new(RefCell::new(vec![]));
/// let (first, second) = (said.clone(), said.clone());
/// event_loop.run_until_complete(async {
///     let hello = create_task(say_after(1, "hello", first));
///     let world = create_task(say_after(2, "world", second));
///     hello.await;
///     world.await;
/// })?;
/// assert_eq!(*said.borrow(), ["hello at 1s", "world at 2s"]);
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[track_caller]
pub fn create_task<F>(coroutine: F) -> Task<F::Output>
where
    F: IntoFuture<Output: 'static, IntoFuture: 'static>,
{
    spawn_plain(&LoopHandle::running().lp, coroutine, Location::caller())
}

/// Does [`LoopHandle::create_try_task`] on the running loop.
///
/// *From asyncio:* `asyncio.create_task()`, of a coroutine that may raise.
///
/// *Order:* as for [`create_task`].
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use callsoon::{create_try_task, run};
///
/// let parsed = run(async {
///     let task = create_try_task(async { "17".parse::<u32>() });
///     task.await // an error that nobody awaits would be reported
/// });
/// assert_eq!(parsed, Ok(17));
/// ```
#[track_caller]
pub fn create_try_task<F, U, E>(coroutine: F) -> Task<Result<U, E>>
where
    F: IntoFuture<Output = Result<U, E>, IntoFuture: 'static>,
    U: 'static,
    E: fmt::Debug + 'static,
{
    TaskBuilder::new(LoopHandle::running(), coroutine).try_spawn()
}

/// Does [`LoopHandle::task`] on the running loop.
///
/// *From asyncio:* `asyncio.create_task(coro, name="reader")`.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use callsoon::{current_task, run, task};
///
/// let name = run(async {
///     let reader = task(async { current_task().map(|me| me.name()) }).name("reader").spawn();
///     reader.await
/// });
/// assert_eq!(name.as_deref(), Some("reader"));
/// ```
#[track_caller]
pub fn task<F>(coroutine: F) -> TaskBuilder<F>
where
    F: IntoFuture<Output: 'static, IntoFuture: 'static>,
{
    TaskBuilder::new(LoopHandle::running(), coroutine)
}
