//! Why a [`Future`](super::Future) has no result to give.

use std::fmt;

use crate::errors::PanicError;

/// Why a concurrent future gave no result.
///
/// *From asyncio:* what `concurrent.futures.Future.result()` raises that is not the job's own exception:
/// `TimeoutError`, `CancelledError`. The others have no counterpart.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callsoon::concurrent::{Future, ResultError};
///
/// let future = Future::<u32>::new();
/// let error = future.result(Some(Duration::ZERO)).unwrap_err();
/// assert!(matches!(error, ResultError::TimedOut));
/// assert_eq!(error.to_string(), "result is not ready in time");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ResultError {
    /// It was not done in time; it may be later.
    TimedOut,
    /// It was cancelled.
    Cancelled,
    /// The job, or the coroutine, panicked.
    Panicked(PanicError),
    /// The event loop that was to run the coroutine is closed.
    LoopClosed,
    /// The result was moved out before.
    Taken,
    /// Waiting would block an event loop, which runs on this very thread.
    WouldBlockLoop,
}

impl fmt::Display for ResultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("result is not ready in time"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Panicked(panic) => panic.fmt(f),
            Self::LoopClosed => f.write_str("event loop was closed before there was a result"),
            Self::Taken => f.write_str("result was taken already"),
            Self::WouldBlockLoop => f.write_str(
                "refuses to block the event loop that runs on this thread: await the future instead",
            ),
        }
    }
}

impl std::error::Error for ResultError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Panicked(panic) => Some(panic),
            _ => None,
        }
    }
}
