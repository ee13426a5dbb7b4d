//! [`Outcome`]: awaiting without unwinding.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::Future;
use crate::cancellation::CancelledError;
use crate::errors::ResultError;

/// Awaits how a future or task ends, and never unwinds because of that; see [`Future::outcome`].
///
/// *From asyncio:* `await future` with `except CancelledError`.
///
/// # Cancellation
///
/// Cancelling the task that awaits it cancels the future, and comes as its `Err`; the task goes on.
/// Dropping it withdraws the await and changes nothing else.
///
/// # Panics
///
/// Awaiting panics if the result was taken before, if the future is pending and of another loop than
/// the awaiting task, or if a task awaits itself.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop, call_later, create_task, sleep};
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let result = event_loop.run_until_complete(async {
///     let slow = create_task(sleep(Duration::from_secs(60)));
///     let handle = slow.handle();
///     call_later(Duration::from_secs(1), move || _ = handle.cancel_with("too slow"));
///     slow.outcome().await // goes on in spite of the cancellation
/// })?;
/// assert_eq!(result.unwrap_err().message(), Some("too slow"));
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[must_use = "an outcome does nothing unless it is awaited"]
pub struct Outcome<T: 'static> {
    future: Future<T>,
    /// How to get the result: a clone, or the result itself.
    get: fn(&Future<T>) -> Result<T, ResultError>,
}

impl<T: 'static> Outcome<T> {
    pub(crate) fn moving(future: Future<T>) -> Self {
        Self {
            future,
            get: Future::take_result,
        }
    }

    pub(crate) fn cloning(future: Future<T>) -> Self
    where
        T: Clone,
    {
        Self {
            future,
            get: Future::clone_or_take,
        }
    }
}

impl<T: 'static> std::future::Future for Outcome<T> {
    type Output = Result<T, CancelledError>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.future.poll_done(cx));
        Poll::Ready(match (self.get)(&self.future) {
            Ok(value) => Ok(value),
            Err(ResultError::Cancelled(cancelled)) => Err(cancelled),
            Err(ResultError::Panicked(panic)) => Err(CancelledError::from_panic(panic)),
            Err(ResultError::Taken) => self.future.panic_taken(),
            Err(ResultError::NotReady) => unreachable!("it is done"),
        })
    }
}

impl<T: 'static> fmt::Debug for Outcome<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Outcome").field(&self.future).finish()
    }
}
