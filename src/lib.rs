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
//! # How to think of it
//!
//! * **A loop belongs to one thread.** [`EventLoop`] owns and runs it, [`LoopHandle`] schedules on it,
//!   and nothing on it need be `Send`. Other threads have a [`RemoteHandle`].
//! * **A loop runs in turns.** Each turn runs what is ready, first in, first out; what that schedules is
//!   for the next turn. Callbacks never run inside the call that causes them.
//! * **A future is a result to come**, with callbacks. A [`Future`] is completed by hand; a [`Task`] is
//!   a future whose result a coroutine computes.
//! * **Errors are values; cancellation and panics unwind.** A coroutine that is cancelled is dropped at
//!   the await where it is suspended; `outcome()` gives a cancellation as a value instead.
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
//! | `loop.call_soon_threadsafe()` | [`RemoteHandle::call_soon_threadsafe`] |
//! | `loop.create_future()`, `create_task()` | [`LoopHandle::create_future`], [`LoopHandle::create_task`], [`LoopHandle::create_try_task`] |
//! | `Handle`, `TimerHandle` | [`Handle`], [`TimerHandle`] |
//! | `Future`, `Task` | [`Future`], [`OwnedFuture`], [`Task`], [`TaskHandle`] |
//! | `CancelledError`, `InvalidStateError` | [`CancelledError`], [`InvalidStateError`], [`ResultError`] |
//! | `current_task()`, `all_tasks()` | [`current_task`], [`all_tasks`] |
//! | `sleep(1)`, `sleep(0)` | [`sleep`], [`yield_now`] |
//! | `loop.set_exception_handler()` and friends | [`LoopHandle::set_exception_handler`], [`ExceptionContext`] |
//!
//! # What is here, and what is not
//!
//! The loop, futures, tasks, timers, cancellation, embedding in a host's loop
//! ([`EventLoop::run_once`]), posting from threads, and virtual time. There are no sockets, files or
//! processes: use a runtime that has them beside this one. Work that is to spread over all cores wants
//! a multi-threaded executor.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings))))]

mod cancellation;
mod errors;
mod event_loop;
mod futures;
mod ids;
mod runners;
mod sync;
mod tasks;

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

pub use cancellation::{CancelOrigin, CancelledError};
pub use errors::{
    InvalidStateError, LoopClosedError, NoRunningLoopError, PanicError, ResultError, RunError,
};
pub use event_loop::{
    Awaitable, Builder, Clock, DeadlockReport, EventLoop, ExceptionContext, ExceptionHandler,
    ExpectedWork, Handle, LoopHandle, RemoteHandle, RunEnd, TimerHandle, Turn, WaitingTask,
    call_at, call_later, call_soon, create_future, create_task, create_try_task, get_running_loop,
    task, try_get_running_loop,
};
pub use futures::{CallbackId, Future, Outcome, OwnedFuture};
pub use runners::{Runner, run};
pub use tasks::{
    Sleep, Task, TaskBuilder, TaskHandle, YieldNow, all_tasks, current_task, sleep, sleep_until,
    yield_now,
};
