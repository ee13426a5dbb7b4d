//! [`FutureHandle`]: a future without the type of its result.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::{AnyFuture, AnyRef, CallbackId, Future, FutureRef, OwnedFuture, State, describe, same};
use crate::cancellation::CancelledError;
use crate::event_loop::LoopHandle;
use crate::tasks::{Task, TaskHandle};

/// A handle whose type is not known, for awaiting.
pub(crate) trait AwaitDone {
    fn poll_done(&self, cx: &mut Context<'_>) -> Poll<()>;
}

impl<T: 'static> AwaitDone for Future<T> {
    fn poll_done(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_done(cx)
    }
}

/// A future or task without the type of its result, for keeping all sorts together; from
/// [`Future::handle`], or from a task by `from`.
///
/// It asks, cancels and waits like a [`Future`], but knows nothing of results. Awaiting it waits until
/// it is done, however that ends; gathered or shielded, it counts as done then, and gives nothing. Equal
/// handles are handles of one future.
///
/// *From asyncio:* `asyncio.Future`, which has no type of its result either.
///
/// # Cancellation
///
/// Cancelling the awaiting task cancels the future, as it does for a [`Future`]; the awaiting task
/// then goes on when that is done. Dropping an await withdraws it and changes nothing else.
///
/// # Panics
///
/// Awaiting panics if the future is pending and of another loop than the awaiting task, or if a task
/// awaits itself.
///
/// # Examples
///
/// ```
/// use callsoon::{EventLoop, FutureHandle};
///
/// let event_loop = EventLoop::new();
/// let number = event_loop.create_future::<u32>();
/// let text = event_loop.create_task(async { "two" });
/// let mixed = [number.handle(), FutureHandle::from(&text)];
/// for future in &mixed {
///     future.cancel();
/// }
/// event_loop.run_once(None)?;
/// assert!(mixed.iter().all(FutureHandle::cancelled));
/// # Ok::<(), callsoon::RunError>(())
/// ```
pub struct FutureHandle {
    future: AnyRef,
    /// While it is awaited: the same future with its type.
    awaiting: Option<Box<dyn AwaitDone>>,
}

impl FutureHandle {
    pub(crate) fn new(future: AnyRef) -> Self {
        let handles = &future.base().handles;
        handles.set(handles.get() + 1);
        Self {
            future,
            awaiting: None,
        }
    }

    pub(crate) fn any(&self) -> &AnyRef {
        &self.future
    }

    /// Says whether it is over: completed, cancelled, or ended by a panic.
    ///
    /// *From asyncio:* `Future.done()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, FutureHandle};
    ///
    /// let event_loop = EventLoop::new();
    /// let future = event_loop.create_future();
    /// let handle = FutureHandle::from(&future);
    /// assert!(!handle.done());
    /// future.set_result(1)?;
    /// assert!(handle.done());
    /// # Ok::<(), callsoon::InvalidStateError<i32>>(())
    /// ```
    pub fn done(&self) -> bool {
        self.future.state() != State::Pending
    }

    /// Says whether it was cancelled.
    ///
    /// *From asyncio:* `Future.cancelled()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, FutureHandle};
    ///
    /// let event_loop = EventLoop::new();
    /// let handle = FutureHandle::from(event_loop.create_future::<u32>());
    /// handle.cancel();
    /// assert!(handle.done() && handle.cancelled());
    /// ```
    pub fn cancelled(&self) -> bool {
        self.future.state() == State::Cancelled
    }

    /// Asks it to stop, and says whether the request was accepted; see [`Future::cancel`].
    ///
    /// *From asyncio:* `Future.cancel()`.
    ///
    /// *Order:* as for [`Future::cancel`].
    ///
    /// # Panics
    ///
    /// As for [`Future::cancel`].
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, FutureHandle};
    ///
    /// let event_loop = EventLoop::new();
    /// let handle = FutureHandle::from(event_loop.create_future::<u32>());
    /// assert!(handle.cancel());
    /// assert!(!handle.cancel()); // it is over
    /// ```
    #[track_caller]
    pub fn cancel(&self) -> bool {
        self.future
            .clone()
            .cancel(CancelledError::at(None, Location::caller()))
    }

    /// Asks it to stop, with a message; see [`Future::cancel_with`].
    ///
    /// *From asyncio:* `Future.cancel(msg)`.
    ///
    /// *Order:* as for [`Future::cancel`].
    ///
    /// # Panics
    ///
    /// As for [`Future::cancel`].
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, FutureHandle};
    ///
    /// let event_loop = EventLoop::new();
    /// let future = event_loop.create_future::<u32>();
    /// FutureHandle::from(&future).cancel_with("shutting down");
    /// let outcome = event_loop.run_until_complete(future.outcome())?;
    /// assert_eq!(outcome.unwrap_err().message(), Some("shutting down"));
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn cancel_with(&self, message: impl Into<String>) -> bool {
        self.future.clone().cancel(CancelledError::new(message))
    }

    /// Has `callback` called, with this handle, once it is done; see [`Future::add_done_callback`].
    ///
    /// *From asyncio:* `Future.add_done_callback()`.
    ///
    /// *Order:* as for [`Future::add_done_callback`].
    ///
    /// # Panics
    ///
    /// As for [`Future::add_done_callback`].
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, FutureHandle};
    ///
    /// let event_loop = EventLoop::new();
    /// let task = event_loop.create_task(async { 1 });
    /// FutureHandle::from(task).add_done_callback(|task| task.get_loop().stop());
    /// event_loop.run_forever();
    /// ```
    #[track_caller]
    pub fn add_done_callback(&self, callback: impl FnOnce(&FutureHandle) + 'static) -> CallbackId {
        let callback = Box::new(|future| callback(&FutureHandle::new(future)));
        CallbackId {
            loop_id: self.future.base().lp.id,
            id: self.future.clone().notify(Location::caller(), callback),
        }
    }

    /// Removes a done-callback and drops it; says whether it was still there.
    ///
    /// *From asyncio:* `Future.remove_done_callback()`. Differences: those of
    /// [`Future::remove_done_callback`].
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, FutureHandle};
    ///
    /// let event_loop = EventLoop::new();
    /// let handle = FutureHandle::from(event_loop.create_future::<u32>());
    /// let id = handle.add_done_callback(|_| unreachable!("it is removed"));
    /// assert!(handle.remove_done_callback(id));
    /// assert!(!handle.remove_done_callback(id));
    /// ```
    pub fn remove_done_callback(&self, id: CallbackId) -> bool {
        id.loop_id == self.future.base().lp.id && self.future.remove_callback(id.id)
    }

    /// Gives the future with its type again, if `T` is the type of its result.
    ///
    /// *From asyncio:* nothing; there futures have no types.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, FutureHandle};
    ///
    /// let event_loop = EventLoop::new();
    /// let handle = FutureHandle::from(event_loop.create_task(async { 7 }));
    /// event_loop.run_once(None)?;
    /// assert!(handle.downcast::<String>().is_none());
    /// let future = handle.downcast::<i32>().expect("it is a number");
    /// assert_eq!(future.result()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn downcast<T: 'static>(&self) -> Option<Future<T>> {
        let mut slot: Option<FutureRef<T>> = None;
        self.future.clone().downcast(&mut slot);
        slot.map(Future::new)
    }

    /// Gives the task behind it, if it is one.
    ///
    /// *From asyncio:* `isinstance(future, asyncio.Task)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, FutureHandle};
    ///
    /// let event_loop = EventLoop::new();
    /// let task = event_loop.create_task(async {});
    /// assert_eq!(FutureHandle::from(&task).task(), Some(task.handle()));
    /// assert_eq!(FutureHandle::from(event_loop.create_future::<u32>()).task(), None);
    /// ```
    pub fn task(&self) -> Option<TaskHandle> {
        self.future.clone().into_task().map(TaskHandle::new)
    }

    /// Gives the loop it belongs to.
    ///
    /// *From asyncio:* `Future.get_loop()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, FutureHandle};
    ///
    /// let event_loop = EventLoop::new();
    /// let handle = FutureHandle::from(event_loop.create_future::<u32>());
    /// assert!(handle.get_loop() == event_loop.handle());
    /// ```
    pub fn get_loop(&self) -> LoopHandle {
        LoopHandle {
            lp: self.future.base().lp.clone(),
        }
    }

    /// Gives the place where it was created.
    ///
    /// *From asyncio:* nothing public; debug mode prints it.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, FutureHandle};
    ///
    /// let event_loop = EventLoop::new();
    /// let future = event_loop.create_future::<u32>();
    /// assert_eq!(FutureHandle::from(&future).created_at(), future.created_at());
    /// ```
    pub fn created_at(&self) -> &'static Location<'static> {
        self.future.base().site
    }
}

impl std::future::Future for FutureHandle {
    type Output = ();

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let future = &this.future;
        let awaiting = this
            .awaiting
            .get_or_insert_with(|| future.clone().awaiter());
        ready!(awaiting.poll_done(cx));
        this.awaiting = None;
        Poll::Ready(())
    }
}

macro_rules! from_handles {
    ($($kind:ident),*) => {$(
        impl<T: 'static> From<&$kind<T>> for FutureHandle {
            fn from(future: &$kind<T>) -> Self {
                Self::new(future.any())
            }
        }

        impl<T: 'static> From<$kind<T>> for FutureHandle {
            fn from(future: $kind<T>) -> Self {
                Self::new(future.any())
            }
        }
    )*};
}

from_handles!(Future, OwnedFuture, Task);

impl From<&TaskHandle> for FutureHandle {
    fn from(task: &TaskHandle) -> Self {
        Self::new(task.any())
    }
}

impl From<TaskHandle> for FutureHandle {
    fn from(task: TaskHandle) -> Self {
        Self::new(task.any())
    }
}

impl Clone for FutureHandle {
    fn clone(&self) -> Self {
        Self::new(self.future.clone())
    }
}

impl Drop for FutureHandle {
    fn drop(&mut self) {
        self.awaiting = None;
        handle_dropped(&self.future);
    }
}

impl PartialEq for FutureHandle {
    fn eq(&self, other: &Self) -> bool {
        same(&*self.future, &*other.future)
    }
}

impl Eq for FutureHandle {}

impl Hash for FutureHandle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::hash(self.future.base(), state);
    }
}

impl fmt::Debug for FutureHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(&*self.future, 0, f)
    }
}

/// One handle less; a future that is completed by others hears when it was the last.
#[inline]
pub(super) fn handle_dropped<F: AnyFuture + ?Sized>(future: &Pin<Rc<F>>) {
    let base = future.base();
    let left = base.handles.get() - 1;
    base.handles.set(left);
    if left == 0 && base.lets_go.get() {
        future.clone().let_go();
    }
}
