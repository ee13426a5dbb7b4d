//! [`Future`]: a result that comes from some thread, for any thread.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::ResultError;
use super::blocking::Deadline;
use super::shared::{DoneCallback, Phase, Shared};
use crate::errors::{InvalidStateError, Refused};

/// A handle to a result of type `T` that comes from another thread, or goes to one.
///
/// Its clones are handles of the same future. It does not say which of them completes it.
///
/// *From asyncio:* `concurrent.futures.Future`. Differences:
///
/// * `T` is the whole outcome; what can fail is a `Future<Result<U, E>>`;
/// * a result can be moved out ([`take_result`](Self::take_result));
/// * it can be awaited, on any executor; this gives what [`result`](Self::result) gives.
///
/// *Order:* whoever blocks is woken first, then whoever awaits, then callbacks are called, in the order
/// in which they were added, by the thread that completes it.
///
/// # Cancellation
///
/// Dropping an await withdraws it; so does cancelling the task that awaits, as with everything that is
/// not a future of a loop's. The future itself goes on.
///
/// # Panics
///
/// Using the result, from inside the `Clone` of that very result, panics.
///
/// # Examples
///
/// ```
/// use callsoon::concurrent::Future;
///
/// let word = Future::new();
/// let length = word.clone();
/// let waiter = std::thread::spawn(move || length.result(None).map(str::len));
/// word.set_result("seven!!").unwrap();
/// assert_eq!(waiter.join().unwrap().unwrap(), 7);
/// ```
///
/// Awaited in a coroutine of a loop, and completed elsewhere:
///
/// ```
/// use callsoon::{EventLoop, concurrent};
///
/// let event_loop = EventLoop::new();
/// let answer = concurrent::Future::new();
/// let promise = answer.clone();
/// std::thread::spawn(move || promise.set_result(42));
/// let got = event_loop.run_until_complete(async move { answer.await })?;
/// assert_eq!(got?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Future<T: 'static> {
    shared: Arc<Shared<T>>,
    /// Where the waker is that this handle's await has left.
    registration: Option<usize>,
}

impl<T: 'static> Future<T> {
    /// Makes a future that is pending, to be completed with [`set_result`](Self::set_result).
    ///
    /// *From asyncio:* `concurrent.futures.Future()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::concurrent::Future;
    ///
    /// let future = Future::new();
    /// std::thread::scope(|threads| {
    ///     threads.spawn(|| future.set_result("done").unwrap());
    ///     assert_eq!(future.result(None).unwrap(), "done");
    /// });
    /// ```
    #[must_use = "a future that nobody holds is never completed"]
    pub fn new() -> Self {
        Self::over(Shared::new(None))
    }

    /// Makes a future that nobody but the loop with this id will complete.
    pub(crate) fn of_a_loop(loop_id: u64) -> Self {
        Self::over(Shared::new(Some(loop_id)))
    }

    fn over(shared: Shared<T>) -> Self {
        Self {
            shared: Arc::new(shared),
            registration: None,
        }
    }

    /// The loop that alone will complete it, if it is one.
    pub(super) fn brought_by(&self) -> Option<u64> {
        self.shared.brought_by
    }

    /// Completes the future with `value`.
    ///
    /// *From asyncio:* `Future.set_result()`.
    ///
    /// *Order:* callbacks are called before this returns.
    ///
    /// # Errors
    ///
    /// * [`InvalidStateError`], with the value in it, if the future is done or cancelled. No other error.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::concurrent::Future;
    ///
    /// let future = Future::new();
    /// future.set_result("first").unwrap();
    /// assert_eq!(future.set_result("second").unwrap_err().into_value(), "second");
    /// ```
    pub fn set_result(&self, value: T) -> Result<(), InvalidStateError<T>> {
        match self.shared.finish(self, Phase::Ready(value)) {
            Ok(()) => Ok(()),
            Err((Phase::Ready(value), why)) => Err(InvalidStateError::new(value, why, None)),
            Err(_) => unreachable!("it comes back as it was given"),
        }
    }

    /// Leaves `waker` to be woken when it is done, in place of the one that this handle has left; false
    /// if it is done.
    pub(super) fn wake_when_done(&mut self, waker: &Waker) -> bool {
        self.shared.register(&mut self.registration, waker)
    }

    /// Whether the result is one for which `is_such` holds, or there will be none because of a panic or
    /// because a loop was closed. It is done.
    #[track_caller]
    pub(super) fn matches(&self, is_such: fn(&T) -> bool) -> bool {
        match self.shared.borrow() {
            Ok(loan) => is_such(loan.value()),
            Err(why) => matches!(why, ResultError::Panicked(_) | ResultError::LoopClosed),
        }
    }

    /// What tells one future from another.
    pub(super) fn address(&self) -> *const () {
        Arc::as_ptr(&self.shared).cast()
    }

    /// Completes the future without a result; does nothing if it is done.
    pub(crate) fn fail(&self, why: ResultError) {
        // The refused reason holds nothing that anybody misses.
        drop(self.shared.finish(self, Phase::Failed(why)));
    }

    /// Cancels the future if nobody works on it yet; says whether it is cancelled now.
    ///
    /// *From asyncio:* `concurrent.futures.Future.cancel()`: false once it is running or finished, true if
    /// it was cancelled before.
    ///
    /// *Order:* callbacks are called before this returns.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::concurrent::Future;
    ///
    /// let future = Future::<u32>::new();
    /// assert!(future.cancel());
    /// assert!(future.set_result(5).is_err());
    /// ```
    pub fn cancel(&self) -> bool {
        self.shared.cancel(self)
    }

    /// Says whether it was cancelled.
    ///
    /// *From asyncio:* `concurrent.futures.Future.cancelled()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let future = callsoon::concurrent::Future::<u32>::new();
    /// assert!(!future.cancelled());
    /// future.cancel();
    /// assert!(future.cancelled());
    /// ```
    pub fn cancelled(&self) -> bool {
        self.shared.phase(|phase| matches!(phase, Phase::Cancelled))
    }

    /// Says whether somebody works on it, so that it cannot be cancelled.
    ///
    /// *From asyncio:* `concurrent.futures.Future.running()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::concurrent::Future;
    ///
    /// let future = Future::<u32>::new();
    /// future.set_running_or_notify_cancel()?;
    /// assert!(future.running() && !future.cancel());
    /// # Ok::<(), callsoon::InvalidStateError<()>>(())
    /// ```
    pub fn running(&self) -> bool {
        self.shared.phase(|phase| matches!(phase, Phase::Running))
    }

    /// Says whether it is over: completed, cancelled, or ended by a panic.
    ///
    /// *From asyncio:* `concurrent.futures.Future.done()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let future = callsoon::concurrent::Future::new();
    /// assert!(!future.done());
    /// future.set_result(1).unwrap();
    /// assert!(future.done());
    /// ```
    pub fn done(&self) -> bool {
        self.shared.is_done()
    }

    /// Says that somebody is about to work on it: true, and from then on it cannot be cancelled. False if
    /// it was cancelled before; then there is nothing to do.
    ///
    /// A [`Job`](super::Job) calls this before it runs.
    ///
    /// *From asyncio:* `concurrent.futures.Future.set_running_or_notify_cancel()`. Differences: of a future
    /// that is cancelled it may be called again.
    ///
    /// # Errors
    ///
    /// * [`InvalidStateError`] if somebody works on it already, or if it is done. No other error.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::concurrent::Future;
    ///
    /// let future = Future::<u32>::new();
    /// assert!(future.set_running_or_notify_cancel()?);
    /// assert!(future.set_running_or_notify_cancel().is_err());
    /// # Ok::<(), callsoon::InvalidStateError<()>>(())
    /// ```
    pub fn set_running_or_notify_cancel(&self) -> Result<bool, InvalidStateError<()>> {
        let started = self.shared.start();
        started.map_err(|why: Refused| InvalidStateError::new((), why, None))
    }

    /// Waits until it is done, at most for `timeout`, and gives a clone of the result. `None`: as long as
    /// it takes.
    ///
    /// *From asyncio:* `concurrent.futures.Future.result(timeout)`. Differences: it refuses to block a
    /// thread on which an event loop runs, which Python does without a word. [`LoopHandle`]s have
    /// ways to await instead, and so has this future.
    ///
    /// [`LoopHandle`]: crate::LoopHandle
    ///
    /// # Errors
    ///
    /// * [`ResultError::TimedOut`] if it is not done in time;
    /// * [`ResultError::WouldBlockLoop`] if it is not done, a loop runs on this thread, and `timeout` is not zero;
    /// * [`ResultError::Cancelled`] if it was cancelled;
    /// * [`ResultError::Panicked`] if the job panicked;
    /// * [`ResultError::LoopClosed`] if it was a coroutine's, and the loop was closed first;
    /// * [`ResultError::Taken`] if the result was moved out.
    ///
    /// # Panics
    ///
    /// Inside the `Clone` of this very result.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::concurrent::{Future, ResultError};
    ///
    /// let future = Future::new();
    /// let too_early = future.result(Duration::from_millis(1));
    /// assert!(matches!(too_early, Err(ResultError::TimedOut)));
    /// future.set_result(7).unwrap();
    /// assert_eq!(future.result(None)?, 7);
    /// # Ok::<(), ResultError>(())
    /// ```
    #[track_caller]
    pub fn result(&self, timeout: impl Into<Option<Duration>>) -> Result<T, ResultError>
    where
        T: Clone,
    {
        self.shared.wait(Deadline::after(timeout.into()))?;
        Ok(self.shared.borrow()?.value().clone())
    }

    /// Waits as [`result`](Self::result) does, and moves the result out; whoever comes later finds
    /// [`ResultError::Taken`].
    ///
    /// *From asyncio:* nothing; there a result is never moved.
    ///
    /// # Errors
    ///
    /// * Those of [`result`](Self::result).
    ///
    /// # Panics
    ///
    /// Inside the `Clone` of this very result.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::concurrent::{Future, ResultError};
    ///
    /// struct NotClone(u32);
    ///
    /// let future = Future::new();
    /// let promise = future.clone();
    /// std::thread::spawn(move || promise.set_result(NotClone(7)).is_ok());
    /// assert_eq!(future.take_result(None)?.0, 7);
    /// assert!(matches!(future.take_result(None), Err(ResultError::Taken)));
    /// # Ok::<(), ResultError>(())
    /// ```
    #[track_caller]
    pub fn take_result(&self, timeout: impl Into<Option<Duration>>) -> Result<T, ResultError> {
        self.take_result_until(Deadline::after(timeout.into()))
    }

    #[track_caller]
    pub(super) fn take_result_until(&self, deadline: Deadline) -> Result<T, ResultError> {
        self.shared.wait(deadline)?;
        self.shared.take()
    }

    /// Has `callback` called once it is done, by the thread that completes it; at once, by this thread, if
    /// it is done already.
    ///
    /// A panic in a callback is [reported](crate::LoopHandle::default_exception_handler) as an error; the
    /// others are called nevertheless.
    ///
    /// *From asyncio:* `concurrent.futures.Future.add_done_callback()`.
    ///
    /// *Order:* callbacks are called in the order in which they were added.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::concurrent::Future;
    ///
    /// let (send, heard) = std::sync::mpsc::channel();
    /// let future = Future::new();
    /// future.add_done_callback(move |future| send.send(future.result(None).unwrap()).unwrap());
    /// future.set_result("done").unwrap();
    /// assert_eq!(heard.try_recv(), Ok("done")); // it ran inside `set_result`
    /// ```
    #[track_caller]
    pub fn add_done_callback(&self, callback: impl FnOnce(&Future<T>) + Send + 'static) {
        let callback = DoneCallback {
            site: Location::caller(),
            call: Box::new(callback),
        };
        if let Err(callback) = self.shared.add_callback(callback) {
            callback.run(self);
        }
    }
}

impl<U: 'static, E: 'static> Future<Result<U, E>> {
    /// Completes the future with an error.
    ///
    /// *From asyncio:* `concurrent.futures.Future.set_exception()`. Differences: same as
    /// `set_result(Err(error))`.
    ///
    /// # Errors
    ///
    /// * Those of [`set_result`](Self::set_result); the error comes back.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::concurrent::Future;
    ///
    /// let future = Future::<Result<u32, &str>>::new();
    /// future.set_exception("disk full").unwrap();
    /// assert_eq!(future.result(None).unwrap(), Err("disk full"));
    /// ```
    pub fn set_exception(&self, error: E) -> Result<(), InvalidStateError<E>> {
        self.set_result(Err(error)).map_err(|refused| {
            refused.map(|value| match value {
                Err(error) => error,
                Ok(_) => unreachable!("it comes back as it was given"),
            })
        })
    }

    /// Waits as [`result`](Self::result) does, and gives a clone of the error; `None` if there is a result
    /// instead.
    ///
    /// *From asyncio:* `concurrent.futures.Future.exception(timeout)`.
    ///
    /// # Errors
    ///
    /// * Those of [`result`](Self::result).
    ///
    /// # Panics
    ///
    /// Inside the `Clone` of this very error.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::concurrent::Future;
    ///
    /// let future = Future::<Result<u32, &str>>::new();
    /// future.set_exception("disk full").unwrap();
    /// assert_eq!(future.exception(None).unwrap(), Some("disk full"));
    /// ```
    #[track_caller]
    pub fn exception(&self, timeout: impl Into<Option<Duration>>) -> Result<Option<E>, ResultError>
    where
        E: Clone,
    {
        self.shared.wait(Deadline::after(timeout.into()))?;
        Ok(self.shared.borrow()?.value().as_ref().err().cloned())
    }
}

impl<T: Clone + 'static> std::future::Future for Future<T> {
    type Output = Result<T, ResultError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.wake_when_done(cx.waker()) {
            return Poll::Pending;
        }
        Poll::Ready(self.shared.borrow().map(|loan| loan.value().clone()))
    }
}

impl<T: Clone + 'static> IntoFuture for &Future<T> {
    type Output = Result<T, ResultError>;
    type IntoFuture = Future<T>;

    fn into_future(self) -> Future<T> {
        self.clone()
    }
}

impl<T: 'static> Clone for Future<T> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            registration: None,
        }
    }
}

impl<T: 'static> Drop for Future<T> {
    fn drop(&mut self) {
        if let Some(key) = self.registration.take() {
            self.shared.withdraw(key);
        }
    }
}

impl<T: 'static> Default for Future<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: 'static> PartialEq for Future<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T: 'static> Eq for Future<T> {}

impl<T: 'static> fmt::Debug for Future<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.phase(|phase| match phase {
            Phase::Pending => "pending",
            Phase::Running => "running",
            Phase::Cancelled => "cancelled",
            Phase::Ready(_) | Phase::Lent(_) | Phase::Failed(_) | Phase::Taken => "finished",
        });
        write!(f, "<concurrent::Future {state}>")
    }
}
