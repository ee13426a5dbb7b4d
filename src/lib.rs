//! asyncio's event loop, `Future`, `Task` and callbacks, for Rust.

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
