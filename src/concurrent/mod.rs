//! Results that cross threads: asyncio's companion, `concurrent.futures`.
//!
//! A [`Future`] here is what Python's `concurrent.futures.Future` is: `Send`, `Sync`, and completed by
//! whatever thread has the result. A thread may block on it; a coroutine of any runtime may await it.
//! An [`Executor`] runs functions and gives such futures of their results; [`ThreadPoolExecutor`] is one.
//! [`wait()`] and [`as_completed()`] block until several are done.
//!
//! ```
//! use callsoon::concurrent::Future;
//!
//! let future = Future::new();
//! let promise = future.clone();
//! std::thread::spawn(move || promise.set_result(6 * 7));
//! assert_eq!(future.result(None)?, 42); // this thread waits
//! # Ok::<(), callsoon::concurrent::ResultError>(())
//! ```

mod absent;
mod arrivals;
mod as_completed;
mod blocking;
mod errors;
mod executor;
mod future;
#[cfg(all(test, loom))]
mod future_models;
mod map;
mod pool;
mod shared;
mod wait;
mod work_queue;
#[cfg(all(test, loom))]
mod work_queue_models;

pub use self::as_completed::{AsCompleted, as_completed};
pub use self::errors::{ResultError, WaitError};
pub use self::executor::{Executor, ExecutorShutDownError, Job};
pub use self::future::Future;
pub use self::map::Map;
pub use self::pool::ThreadPoolExecutor;
pub use self::wait::wait;

pub(crate) use self::absent::expected_by;
pub(crate) use self::executor::submit;
