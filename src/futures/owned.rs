//! [`OwnedFuture`]: a future whose result has one owner.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::FusedFuture;

use super::{Future, Outcome, State};

/// A future with one owner: awaiting it moves the result out, so the result need not be `Clone`.
///
/// It has every method of [`Future`], through `Deref`. Made by [`Future::take`].
///
/// *From asyncio:* nothing; there a result is never moved.
///
/// # Cancellation
///
/// As for [`Future`].
///
/// # Panics
///
/// Awaiting panics as it does for [`Future`].
///
/// # Examples
///
/// ```
/// use callsoon::EventLoop;
///
/// struct NotClone(u32);
///
/// let event_loop = EventLoop::new();
/// let future = event_loop.create_future();
/// let owned = future.take();
/// event_loop.call_soon(move || future.set_result(NotClone(7)).unwrap());
/// assert_eq!(event_loop.run_until_complete(owned)?.0, 7);
/// # Ok::<(), callsoon::RunError>(())
/// ```
pub struct OwnedFuture<T: 'static> {
    future: Future<T>,
}

impl<T: 'static> OwnedFuture<T> {
    pub(crate) fn new(future: Future<T>) -> Self {
        Self { future }
    }

    /// The handle that this one is made of.
    pub(crate) fn into_shared(self) -> Future<T> {
        self.future
    }

    /// Awaits the end without unwinding, and moves the result out; see [`Future::outcome`].
    ///
    /// *From asyncio:* `await future` with `except CancelledError`.
    ///
    /// # Cancellation
    ///
    /// As for [`Future::outcome`].
    ///
    /// # Errors
    ///
    /// * Those of [`Future::outcome`].
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::EventLoop;
    ///
    /// struct NotClone(u32);
    ///
    /// let event_loop = EventLoop::new();
    /// let future = event_loop.create_future();
    /// let outcome = future.take().outcome();
    /// future.set_result(NotClone(7))?;
    /// let moved = event_loop.run_until_complete(outcome)?;
    /// assert_eq!(moved.map(|value| value.0).ok(), Some(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn outcome(self) -> Outcome<T> {
        Outcome::moving(self.future)
    }
}

impl<T: 'static> Deref for OwnedFuture<T> {
    type Target = Future<T>;

    fn deref(&self) -> &Future<T> {
        &self.future
    }
}

impl<T: 'static> std::future::Future for OwnedFuture<T> {
    type Output = T;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.future.poll_moving(cx)
    }
}

impl<T: 'static> FusedFuture for OwnedFuture<T> {
    fn is_terminated(&self) -> bool {
        self.shared().state() == State::Taken
    }
}

impl<T: Clone + 'static> IntoFuture for &OwnedFuture<T> {
    type Output = T;
    type IntoFuture = Future<T>;

    fn into_future(self) -> Future<T> {
        self.future.clone()
    }
}

impl<T: 'static> fmt::Debug for OwnedFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.future.fmt(f)
    }
}
