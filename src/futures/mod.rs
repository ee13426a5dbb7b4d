//! [`Future`]: something that will have a result, and callbacks for when it has.
//!
//! One kind of handle serves everything that will have a result: a promise completed by hand
//! ([`create_future`](crate::LoopHandle::create_future)), a task, and what builds on them. It can be
//! cloned, awaited any number of times, cancelled, and given callbacks; asyncio's
//! `asyncio.Future`, with the type of the result.

mod awaiting;
mod base;
mod callbacks;
mod core;
mod describe;
mod exceptions;
mod flat_drop;
mod handle;
mod listener;
mod outcome;
mod owned;
mod promise;
pub(crate) mod purpose;

use std::cell::Cell;
use std::fmt;
use std::panic::Location;

pub(crate) use self::base::{Base, State, assert_same_loop, same};
pub(crate) use self::core::{
    AnyFuture, AnyRef, Failure, FutureCore, FutureRef, Inner, Shared, as_shared, downcast,
};
pub use self::handle::FutureHandle;
pub use self::outcome::Outcome;
pub use self::owned::OwnedFuture;

pub(crate) use self::listener::{
    Listener, ListenerRef, Listening, Members, Takers, Told, any_accepts, distinct, looked_at,
    retain,
};
pub(crate) use self::promise::Promise;
pub(crate) use self::{describe::describe, flat_drop::flat_drop, handle::AwaitDone};

use crate::cancellation::CancelledError;
use crate::errors::{InvalidStateError, Refused, ResultError};
use crate::event_loop::LoopHandle;

/// A handle to something that will have a result of type `T`.
///
/// Awaiting it gives the result: a clone of it, or the result itself when this is the last handle. If `T` is not
/// `Clone`, await [`take()`](Self::take) instead, which moves it out.
/// Awaiting a future that is done does not suspend.
///
/// *From asyncio:* `asyncio.Future`. Differences:
///
/// * `T` is the whole outcome; what can fail is a `Future<Result<U, E>>`, and
///   [`set_exception`](Self::set_exception) and [`exception`](Self::exception) are its `Err`;
/// * a result can be moved out ([`take_result`](Self::take_result), [`take`](Self::take)), after
///   which there is none to read.
///
/// *Order:* callbacks and awaiting tasks are queued when the future is completed, in the order in
/// which they registered, and run in the next turn of the loop.
///
/// # Cancellation
///
/// Cancelling a task that awaits a future cancels the future, and with it everybody else who awaits
/// it. A cancelled future unwinds the coroutine that awaits it; [`outcome`](Self::outcome) gives the
/// cancellation as a value instead. Dropping an await withdraws it and changes nothing else.
///
/// # Panics
///
/// Awaiting panics if the result was taken before, if the future is of another loop than the
/// awaiting task, if a task awaits itself, or if the future is cancelled and there is no task of
/// callsoon's to unwind. Awaiting a task that panicked goes on with its panic.
///
/// # Examples
///
/// ```
/// use callsoon::{Clock, EventLoop, Future, sleep};
///
/// async fn set_after(future: Future<&'static str>, seconds: u64, value: &'static str) {
///     sleep(std::time::Duration::from_secs(seconds)).await;
///     future.set_result(value).expect("nobody else completes it");
/// }
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let future = event_loop.create_future();
/// event_loop.create_task(set_after(future.clone(), 1, "... world"));
/// let output = ["hello ...", event_loop.run_until_complete(&future)?];
/// assert_eq!((output, event_loop.time().as_secs()), (["hello ...", "... world"], 1));
/// # Ok::<(), callsoon::RunError>(())
/// ```
///
/// In the style of callbacks, what a request will bring may be left alone:
///
/// ```
/// use callsoon::{EventLoop, Future, LoopHandle};
///
/// fn request(event_loop: &LoopHandle, what: u32) -> Future<u32> {
///     let reply = event_loop.create_future();
///     reply.add_done_callback(|reply| assert!(reply.result().is_ok())); // whoever asks
///     let promise = reply.clone();
///     event_loop.call_soon(move || promise.set_result(2 * what).unwrap());
///     reply
/// }
///
/// let event_loop = EventLoop::new();
/// request(&event_loop, 1); // its callback is enough
/// let reply = request(&event_loop, 21);
/// assert_eq!(event_loop.run_until_complete(reply)?, 42);
/// # Ok::<(), callsoon::RunError>(())
/// ```
pub struct Future<T: 'static> {
    core: FutureRef<T>,
    /// The registration of this handle's await; 0 when it awaits nothing, `MISUSED` when it must
    /// not.
    registration: Cell<u64>,
}

/// Identifies a done-callback; see [`Future::add_done_callback`].
///
/// *From asyncio:* the callback itself; there one removes it by its equality.
///
/// # Examples
///
/// ```
/// let event_loop = callsoon::EventLoop::new();
/// let future = event_loop.create_future::<u32>();
/// let id = future.add_done_callback(|_| unreachable!("it is removed"));
/// assert!(future.remove_done_callback(id));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallbackId {
    /// Ids are unique within a loop.
    loop_id: u64,
    pub(crate) id: u64,
}

impl<T: 'static> Future<T> {
    pub(crate) fn new(core: FutureRef<T>) -> Self {
        core.base().count_handle();
        Self::counted(core)
    }

    /// A handle that is counted already.
    #[inline]
    fn counted(core: FutureRef<T>) -> Self {
        Self {
            core,
            registration: Cell::new(0),
        }
    }

    pub(crate) fn core(&self) -> &FutureRef<T> {
        &self.core
    }

    pub(crate) fn shared(&self) -> &Shared<T> {
        self.core.shared()
    }

    pub(crate) fn any(&self) -> AnyRef {
        self.core.clone()
    }

    /// Says whether it is over: completed, cancelled, or ended by a panic.
    ///
    /// *From asyncio:* `Future.done()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let future = event_loop.create_future();
    /// assert!(!future.done());
    /// future.set_result(1)?;
    /// assert!(future.done());
    /// # Ok::<(), callsoon::InvalidStateError<i32>>(())
    /// ```
    pub fn done(&self) -> bool {
        !self.shared().is_pending()
    }

    /// Says whether it was cancelled.
    ///
    /// *From asyncio:* `Future.cancelled()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let future = event_loop.create_future::<()>();
    /// future.cancel();
    /// assert!(future.done() && future.cancelled());
    /// ```
    pub fn cancelled(&self) -> bool {
        self.shared().state() == State::Cancelled
    }

    /// Gives a clone of the result.
    ///
    /// *From asyncio:* `Future.result()`. Differences: an exception is an `Err` inside `T`.
    ///
    /// # Errors
    ///
    /// * [`ResultError::NotReady`] if it is pending;
    /// * [`ResultError::Cancelled`] if it was cancelled;
    /// * [`ResultError::Panicked`] if the task panicked;
    /// * [`ResultError::Taken`] if the result was moved out.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, ResultError};
    ///
    /// let event_loop = EventLoop::new();
    /// let future = event_loop.create_future();
    /// assert!(matches!(future.result(), Err(ResultError::NotReady)));
    /// future.set_result(5)?;
    /// assert_eq!(future.result()?, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn result(&self) -> Result<T, ResultError>
    where
        T: Clone,
    {
        self.shared()
            .with_result(|outcome| outcome.cloned().map_err(Clone::clone))
    }

    /// Looks at the result without cloning it.
    ///
    /// While `look` runs, the result can be read but not taken.
    ///
    /// *From asyncio:* `Future.result()`, which never clones.
    ///
    /// # Errors
    ///
    /// `look` is given the errors of [`result`](Self::result).
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let future = event_loop.create_future();
    /// future.set_result(vec![1, 2, 3])?;
    /// assert_eq!(future.with_result(|result| result.map_or(0, Vec::len)), 3);
    /// # Ok::<(), callsoon::InvalidStateError<Vec<i32>>>(())
    /// ```
    pub fn with_result<R>(&self, look: impl FnOnce(Result<&T, &ResultError>) -> R) -> R {
        self.shared().with_result(look)
    }

    /// Moves the result out; whoever comes later finds [`ResultError::Taken`].
    ///
    /// *From asyncio:* nothing; there a result is never moved.
    ///
    /// # Errors
    ///
    /// Those of [`result`](Self::result).
    ///
    /// # Panics
    ///
    /// Inside `with_result`, or inside the `Clone` of the result, of this very future.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, ResultError};
    ///
    /// struct NotClone;
    ///
    /// let event_loop = EventLoop::new();
    /// let future = event_loop.create_future();
    /// future.set_result(NotClone)?;
    /// assert!(future.take_result().is_ok());
    /// assert!(matches!(future.take_result(), Err(ResultError::Taken)));
    /// # Ok::<(), callsoon::InvalidStateError<NotClone>>(())
    /// ```
    #[track_caller]
    pub fn take_result(&self) -> Result<T, ResultError> {
        self.shared().take_result()
    }

    /// Completes the future with `value`.
    ///
    /// *From asyncio:* `Future.set_result()`.
    ///
    /// *Order:* callbacks and awaiting tasks run in the next turn, never inside this call. (A waker
    /// of another crate is woken inside it.)
    ///
    /// # Errors
    ///
    /// * [`InvalidStateError`], with the value in it, if the future is done or cancelled, or if it
    ///   is a task's: those get their result from their coroutine.
    ///
    /// # Panics
    ///
    /// If the loop is closed and there are callbacks to schedule. The future is done nevertheless.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let future = event_loop.create_future();
    /// future.set_result("first").unwrap();
    /// let refused = future.set_result("second").unwrap_err();
    /// assert_eq!(refused.into_value(), "second");
    /// ```
    #[track_caller]
    pub fn set_result(&self, value: T) -> Result<(), InvalidStateError<T>> {
        if self.core.task().is_some() {
            let site = Some(self.created_at());
            return Err(InvalidStateError::new(value, Refused::Task, site));
        }
        self.shared().set_result(&self.core, value)
    }

    /// Asks it to stop: a promise is cancelled at once, a task when its coroutine gets to it.
    ///
    /// Says whether the request was accepted; it is not when the future is done.
    ///
    /// *From asyncio:* `Future.cancel()`.
    ///
    /// *Order:* for a promise, callbacks and awaiting tasks are queued by this call and run in the
    /// next turn. For a task, see [`Task`](crate::Task).
    ///
    /// # Panics
    ///
    /// If the loop is closed and there are callbacks to schedule. The future is cancelled
    /// nevertheless.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let future = event_loop.create_future::<()>();
    /// assert!(future.cancel());
    /// assert!(future.cancelled());
    /// assert!(!future.cancel());
    /// ```
    #[track_caller]
    pub fn cancel(&self) -> bool {
        self.any()
            .cancel(CancelledError::at(None, Location::caller()))
    }

    /// Does what [`cancel`](Self::cancel) does, with a message for [`CancelledError::message`].
    ///
    /// *From asyncio:* `Future.cancel(msg)`.
    ///
    /// # Panics
    ///
    /// As for [`cancel`](Self::cancel).
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, ResultError};
    ///
    /// let event_loop = EventLoop::new();
    /// let future = event_loop.create_future::<()>();
    /// future.cancel_with("shutting down");
    /// let Err(ResultError::Cancelled(why)) = future.result() else { unreachable!() };
    /// assert_eq!(why.message(), Some("shutting down"));
    /// ```
    #[track_caller]
    pub fn cancel_with(&self, message: impl Into<String>) -> bool {
        self.any().cancel(CancelledError::new(message))
    }

    /// Has `callback` called, with this future, once it is done.
    ///
    /// *From asyncio:* `Future.add_done_callback()`. Differences: the callback is used once, so
    /// each registration has an id to remove it by.
    ///
    /// *Order:* callbacks and awaiting tasks run in the turn after the future is done, in the order
    /// of registration. If it is done already, the callback runs in the next turn.
    ///
    /// A callback that holds the future it waits for keeps it in memory until it is done. That is no
    /// leak for a task, which is done with its loop at the latest; a promise that nobody will
    /// complete is one.
    ///
    /// # Panics
    ///
    /// If the future is done and the loop is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let future = event_loop.create_future();
    /// let handle = event_loop.handle();
    /// future.add_done_callback(move |future| {
    ///     assert_eq!(future.result().unwrap(), 7);
    ///     handle.stop();
    /// });
    /// future.set_result(7)?;
    /// event_loop.run_forever();
    /// # Ok::<(), callsoon::InvalidStateError<i32>>(())
    /// ```
    #[track_caller]
    pub fn add_done_callback(&self, callback: impl FnOnce(&Future<T>) + 'static) -> CallbackId {
        self.shared().add_done_callback(&self.core, callback)
    }

    /// Removes a done-callback and drops it; says whether it was still there.
    ///
    /// Once the future is done its callbacks are queued, and it is too late.
    ///
    /// *From asyncio:* `Future.remove_done_callback()`. Differences: it takes the id of one
    /// registration, not the callback, so there is nothing to count.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let future = event_loop.create_future();
    /// let id = future.add_done_callback(|_| unreachable!("it is removed"));
    /// assert!(future.remove_done_callback(id));
    /// future.set_result(1)?;
    /// assert_eq!(event_loop.next_deadline(), None); // nothing was queued
    /// # Ok::<(), callsoon::InvalidStateError<i32>>(())
    /// ```
    pub fn remove_done_callback(&self, id: CallbackId) -> bool {
        id.loop_id == self.core.base().lp.id && self.core.remove_callback(id.id)
    }

    /// Gives a handle without the type of the result, for keeping futures of all sorts together.
    ///
    /// *From asyncio:* nothing; there futures have no types.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let number = event_loop.create_future::<u32>();
    /// let text = event_loop.create_future::<String>();
    /// for future in [number.handle(), text.handle()] {
    ///     future.cancel();
    /// }
    /// assert!(number.cancelled() && text.cancelled());
    /// ```
    pub fn handle(&self) -> FutureHandle {
        FutureHandle::from(self)
    }

    /// Gives a handle that has the result to itself: awaiting it moves the result out, and needs no
    /// `Clone`.
    ///
    /// Other handles stay; once the result is moved out they find it taken.
    ///
    /// *From asyncio:* nothing; there a result is never moved.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::EventLoop;
    ///
    /// struct NotClone(u32);
    ///
    /// let event_loop = EventLoop::new();
    /// let task = event_loop.create_task(async { NotClone(7) }); // stays here to ask
    /// assert_eq!(event_loop.run_until_complete(task.take())?.0, 7);
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[must_use = "nothing is moved out unless it is awaited"]
    pub fn take(&self) -> OwnedFuture<T> {
        OwnedFuture::new(self.clone())
    }

    /// Awaits the end without unwinding: a cancellation, of this future or of the task behind it,
    /// comes as a value.
    ///
    /// *From asyncio:* `await future` with `except CancelledError`.
    ///
    /// # Cancellation
    ///
    /// Cancelling the awaiting task cancels this future all the same; the awaiting task then gets
    /// the `Err` and goes on.
    ///
    /// # Errors
    ///
    /// * [`CancelledError`] if it is cancelled; if the task panicked,
    ///   [`CancelledError::panic`] has the panic.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let future = event_loop.create_future::<u32>();
    /// future.cancel_with("no longer needed");
    /// let outcome = event_loop.run_until_complete(future.outcome())?;
    /// assert_eq!(outcome.unwrap_err().message(), Some("no longer needed"));
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn outcome(self) -> Outcome<T>
    where
        T: Clone,
    {
        Outcome::cloning(self)
    }

    /// Gives the loop it belongs to.
    ///
    /// *From asyncio:* `Future.get_loop()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let future = event_loop.create_future::<()>();
    /// future.add_done_callback(|future| future.get_loop().stop());
    /// future.cancel();
    /// assert!(matches!(event_loop.run_forever(), callsoon::RunEnd::Stopped));
    /// ```
    pub fn get_loop(&self) -> LoopHandle {
        LoopHandle {
            lp: self.core.base().lp.clone(),
        }
    }

    /// Gives the place where it was created.
    ///
    /// *From asyncio:* nothing public; debug mode prints it.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let line = line!() + 1;
    /// let future = event_loop.create_future::<()>();
    /// assert_eq!(future.created_at().line(), line);
    /// ```
    pub fn created_at(&self) -> &'static Location<'static> {
        self.core.base().site
    }
}

impl<T: 'static> Clone for Future<T> {
    fn clone(&self) -> Self {
        Self::new(self.core.clone())
    }
}

impl<T: 'static> Drop for Future<T> {
    fn drop(&mut self) {
        if self.registration.get() != 0 {
            self.withdraw();
        }
        handle::handle_dropped(&self.core);
    }
}

impl<T: 'static> fmt::Debug for Future<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(&**self.core(), self.shared().callback_count(), f)
    }
}
