//! Why a [`Future`](super::Future) has no result to give, or several are not done.

use std::fmt;

use super::blocking::NotDone;
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

impl From<NotDone> for ResultError {
    fn from(why: NotDone) -> Self {
        match why {
            NotDone::TimedOut => Self::TimedOut,
            NotDone::WouldBlockLoop => Self::WouldBlockLoop,
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

/// Why a wait for several concurrent futures has ended early. The handles come back in it.
///
/// *From asyncio:* the `TimeoutError` of `concurrent.futures.as_completed()`, which tells how many are left.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callsoon::concurrent::{Future, as_completed};
///
/// let futures = [Future::new(), Future::<u32>::new()];
/// futures[0].set_result(1).unwrap();
/// for future in as_completed(futures, Some(Duration::ZERO)) {
///     match future {
///         Ok(future) => assert_eq!(future.result(None).unwrap(), 1),
///         Err(error) => {
///             assert_eq!(error.to_string(), "1 of the futures is not done in time");
///             assert!(error.into_futures().iter().all(|left| left.cancel()));
///         }
///     }
/// }
/// ```
#[non_exhaustive]
pub enum WaitError<H> {
    /// These were not done in time; they may be later.
    TimedOut(Vec<H>),
    /// Waiting for these would block an event loop, which runs on this very thread.
    WouldBlockLoop(Vec<H>),
}

impl<H> WaitError<H> {
    pub(super) fn new(why: NotDone, futures: Vec<H>) -> Self {
        match why {
            NotDone::TimedOut => Self::TimedOut(futures),
            NotDone::WouldBlockLoop => Self::WouldBlockLoop(futures),
        }
    }

    /// Gives the handles that have not been given out.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// [`WaitError`] has one.
    pub fn into_futures(self) -> Vec<H> {
        match self {
            Self::TimedOut(futures) | Self::WouldBlockLoop(futures) => futures,
        }
    }
}

impl<H> fmt::Display for WaitError<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(futures) => match futures.len() {
                1 => f.write_str("1 of the futures is not done in time"),
                n => write!(f, "{n} of the futures are not done in time"),
            },
            Self::WouldBlockLoop(_) => f.write_str(
                "refuses to block the event loop that runs on this thread: await the futures instead",
            ),
        }
    }
}

impl<H> fmt::Debug for WaitError<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, futures) = match self {
            Self::TimedOut(futures) => ("TimedOut", futures),
            Self::WouldBlockLoop(futures) => ("WouldBlockLoop", futures),
        };
        write!(f, "{name}({} futures)", futures.len())
    }
}

impl<H> std::error::Error for WaitError<H> {}
