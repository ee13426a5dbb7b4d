//! asyncio's event loop, `Future`, `Task` and callbacks, for Rust: the same names, and the same order of
//! events, turn by turn, as CPython 3.13.
//!
//! ```
//! use std::time::Duration;
//! use callsoon::{Clock, EventLoop, sleep};
//!
//! async fn slow_operation() -> &'static str {
//!     sleep(Duration::from_secs(1)).await;
//!     "Future is done!"
//! }
//!
//! let event_loop = EventLoop::builder().clock(Clock::Virtual).build(); // a test need not wait
//! let task = event_loop.create_task(slow_operation());
//! task.add_done_callback(|future| println!("{}", future.result().unwrap()));
//! assert_eq!(event_loop.run_until_complete(task)?, "Future is done!");
//! # Ok::<(), callsoon::RunError>(())
//! ```
//!
//! New to event loops, or with a program to port? There is a [guide]: what one turn of a loop does, who it
//! is that waits in an `await`, how cancellation works, and [what each of asyncio's names](guide::chapter_7_porting)
//! is called here.
//!
//! # How to think of it
//!
//! * **A loop belongs to one thread.** [`EventLoop`] owns and runs it, [`LoopHandle`] schedules on it,
//!   and nothing on it need be `Send`. Other threads have a [`RemoteHandle`], and a [`LoopBound`] for what they
//!   are to reach there.
//! * **A loop runs in turns.** Each turn runs what is ready, first in, first out; what that schedules is
//!   for the next turn. Callbacks never run inside the call that causes them.
//! * **A future is a result to come**, with callbacks. A [`Future`] is completed by hand; a [`Task`] is
//!   a future whose result a coroutine computes.
//! * **Errors are values; cancellation and panics unwind.** A coroutine that is cancelled is dropped at
//!   the await where it is suspended, up to the nearest [`catch_cancel`], which may clean up, with
//!   `.await`, and go on unwinding or decline.
//!
//! ```
//! use std::time::Duration;
//! use callsoon::{Clock, EventLoop, catch_cancel, gather, sleep, timeout};
//!
//! async fn factorial(name: &str, number: u64) -> u64 {
//!     for i in 2..=number {
//!         println!("Task {name}: Compute factorial({number}), currently i={i}...");
//!         sleep(Duration::from_secs(1)).await;
//!     }
//!     (1..=number).product()
//! }
//!
//! async fn careful() {
//!     if let Err(cancelled) = catch_cancel(std::future::pending::<()>()).await {
//!         sleep(Duration::from_secs(1)).await; // a clean-up takes time
//!         cancelled.reraise().await;
//!     }
//! }
//!
//! let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
//! event_loop.run_until_complete(async {
//!     let all = gather((factorial("A", 2), factorial("B", 3), factorial("C", 4))).await;
//!     assert_eq!(all, (2, 6, 24));
//!     assert!(timeout(Duration::from_secs(5), careful()).await.is_err());
//! })?;
//! assert_eq!(event_loop.time(), Duration::from_secs(3 + 5 + 1));
//! # Ok::<(), callsoon::RunError>(())
//! ```
//!
//! # From asyncio
//!
//! | asyncio | here |
//! | --- | --- |
//! | `asyncio.run(main())`, `Runner` | [`run`], [`Runner`] |
//! | `new_event_loop()` | [`EventLoop::new`] |
//! | `get_running_loop()` | [`get_running_loop`] |
//! | `loop.run_forever()`, `run_until_complete()`, `close()` | [`EventLoop::run_forever`], [`EventLoop::run_until_complete`], [`EventLoop::close`] |
//! | `loop.call_soon()`, `call_later()`, `call_at()` | [`LoopHandle::call_soon`], [`LoopHandle::call_later`], [`LoopHandle::call_at`] |
//! | `loop.call_soon_threadsafe()` | [`RemoteHandle::call_soon_threadsafe`]; about something that the loop has, [`LoopBound::call_soon_threadsafe`] |
//! | `loop.create_future()`, `create_task()` | [`LoopHandle::create_future`], [`LoopHandle::create_task`], [`LoopHandle::create_try_task`] |
//! | `Handle`, `TimerHandle` | [`Handle`], [`TimerHandle`] |
//! | `Future`, `Task` | [`Future`], [`OwnedFuture`], [`Task`], [`TaskHandle`] |
//! | `CancelledError`, `InvalidStateError` | [`CancelledError`], [`InvalidStateError`], [`ResultError`] |
//! | `current_task()`, `all_tasks()` | [`current_task`], [`all_tasks`] |
//! | `sleep(1)`, `sleep(0)` | [`sleep`], [`yield_now`] |
//! | `try` / `except CancelledError` / `raise` | [`catch_cancel`], [`CancelledError::reraise`] |
//! | `gather()`, with `return_exceptions=True` | [`gather()`], [`try_gather`], [`gather_outcomes`] |
//! | `wait()`, `as_completed()`, `shield()` | [`wait()`], [`as_completed()`], [`shield()`] |
//! | `timeout()`, `timeout_at()`, `Timeout`, `wait_for()` | [`timeout`], [`timeout_at`], [`Timeout`], [`wait_for`] |
//! | `TaskGroup`, `ExceptionGroup` | [`TaskGroup`], [`task_group`], [`ExceptionGroup`] |
//! | `Lock`, `Event`, `Condition`, `Semaphore`, `BoundedSemaphore`, `Barrier` | [`Lock`], [`Event`], [`Condition`], [`Semaphore`], [`BoundedSemaphore`], [`Barrier`] |
//! | `async with lock:`, `lock.acquire()`, `release()` | [`Lock::lock`], whose guard has the value; [`Lock::acquire`], [`Lock::release`] |
//! | `Queue`, `PriorityQueue`, `LifoQueue` | [`Queue`], also a `Stream`; [`PriorityQueue`], [`LifoQueue`] |
//! | `QueueEmpty`, `QueueFull`, `QueueShutDown` | [`GetNowaitError`], [`PutNowaitError`], [`QueueShutDown`]: a refused item comes back |
//! | `concurrent.futures.Future`, `ThreadPoolExecutor`, `Executor` | [`concurrent::Future`], [`concurrent::ThreadPoolExecutor`], [`concurrent::Executor`] |
//! | `concurrent.futures.wait()`, `as_completed()`, `Executor.map()` | [`concurrent::wait()`], [`concurrent::as_completed()`], [`concurrent::Executor::map`] |
//! | `loop.run_in_executor()`, `set_default_executor()`, `shutdown_default_executor()` | [`LoopHandle::run_in_executor`], [`LoopHandle::set_default_executor`], [`LoopHandle::shutdown_default_executor`] |
//! | `to_thread()`, `wrap_future()`, `run_coroutine_threadsafe()` | [`to_thread`], [`wrap_future`], [`RemoteHandle::run_coroutine_threadsafe`], [`LoopBound::run_coroutine_threadsafe`] |
//! | `unittest.IsolatedAsyncioTestCase` | [`testing::run`], [`testing::explore`] |
//! | `capture_call_graph()`, `python -m asyncio pstree` | [`LoopHandle::snapshot`], [`RemoteHandle::snapshot`] |
//! | `eager_task_factory` | [`TaskBuilder::eager_start`] |
//! | a generator's `send()`, `close()`, `yield` | [`Coroutine`], [`Yielder`] |
//! | `loop.set_exception_handler()` and friends | [`LoopHandle::set_exception_handler`], [`ExceptionContext`] |
//!
//! # What is here, and not
//!
//! The loop, futures, tasks, timers, cancellation, combinators, timeouts, task groups, locks, queues, embedding
//! in a host's loop ([`EventLoop::run_once`]), thread pools and posting from threads, virtual time, and coroutines that
//! are driven by hand; recordings, watchdogs and spans, to [observe] a loop. There are no sockets, files or processes:
//! use a runtime that has them, and [each awaits work of the other](guide::chapter_5_threads#beside-another-runtime).
//! Work that is to spread over all cores wants a multi-threaded executor.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings))))]

mod as_completed;
mod cancellation;
pub mod concurrent;
mod coroutine;
mod errors;
mod event_loop;
mod futures;
mod gather;
pub mod guide;
mod ids;
pub mod locks;
pub mod observe;
pub mod queues;
mod reports;
mod runners;
mod shield;
pub mod snapshot;
mod sync;
mod taskgroups;
mod tasks;
pub mod testing;
mod threads;
mod timeouts;
mod wait;

/// What changed, release by release.
pub mod changelog {
    #![doc = include_str!("../CHANGELOG.md")]
}

/// How the crate works inside, and what must hold.
pub mod architecture {
    #![doc = include_str!("../ARCHITECTURE.md")]
}

/// The README's program, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use as_completed::{AsCompleted, AsCompletedTimeout, as_completed, as_completed_coroutines};
pub use cancellation::{CancelOrigin, CancelledError, CatchCancel, catch_cancel};
pub use coroutine::{Coroutine, CoroutineState, ResumeError, Yielder, Yielding};
pub use errors::{
    InvalidStateError, LoopClosedError, NoRunningLoopError, PanicError, ResultError, RunError,
    TimeoutError,
};
pub use event_loop::{
    Awaitable, Awaited, Builder, Clock, DeadlockReport, EventLoop, ExceptionContext,
    ExceptionHandler, ExpectedWork, Handle, LoopHandle, RemoteHandle, RunEnd, TimerHandle, Turn,
    WaitingTask, call_at, call_later, call_soon, create_future, create_task, create_try_task,
    get_running_loop, task, try_get_running_loop,
};
pub use futures::{CallbackId, Future, FutureHandle, Outcome, OwnedFuture};
pub use gather::{Group, TryGroup, gather, gather_outcomes, try_gather};
#[doc(inline)]
pub use locks::{
    Barrier, BoundedSemaphore, BrokenBarrierError, Condition, Event, Lock, LockGuard,
    NotAcquiredError, OverReleaseError, Permit, Semaphore,
};
#[doc(inline)]
pub use queues::{
    GetNowaitError, LifoQueue, PriorityQueue, PutNowaitError, Queue, QueueShutDown, TaskDoneError,
};
pub use runners::{Runner, run};
pub use shield::shield;
#[doc(inline)]
pub use snapshot::{Snapshot, SnapshotError};
pub use taskgroups::{ExceptionGroup, GroupTaskBuilder, TaskGroup, task_group};
pub use tasks::{
    Sleep, Task, TaskBuilder, TaskHandle, YieldNow, all_tasks, current_task, sleep, sleep_until,
    yield_now,
};
pub use threads::{LoopBound, LoopBoundError, to_thread, wrap_future};
pub use timeouts::{Timed, Timeout, TimeoutStateError, timeout, timeout_at, wait_for};
pub use wait::{ReturnWhen, Wait, Waitable, Waited, wait};
