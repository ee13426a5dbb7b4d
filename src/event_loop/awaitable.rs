//! [`Awaitable`]: what a loop can run until it is complete, and what can be gathered.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::mem;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::LoopHandle;
use crate::errors::ResultError;
use crate::futures::{AnyFuture, AnyRef, Failure, Future, FutureHandle, ListenerRef, OwnedFuture};
use crate::tasks::{Nursery, Task};

/// A task, a future, a bare coroutine, or a reference to a task or future: whatever
/// [`run_until_complete`](crate::EventLoop::run_until_complete), [`gather`](crate::gather()) and
/// [`shield`](crate::shield()) take.
///
/// Of its own kinds ([`FutureHandle`] is one) the crate takes what they stand for; any other
/// `std::future::Future` is a coroutine and becomes a task. An owner ([`Task`], [`OwnedFuture`]) gives its result away, a
/// reference gives a clone, and so does a [`Future`] unless it is the last handle. To keep a task
/// whose result is not `Clone`, pass [`task.take()`](Future::take).
///
/// A type of one's own, such as an enum over several of these, implements it by delegating.
///
/// *From asyncio:* an awaitable, as `ensure_future` takes it.
///
/// # Examples
///
/// ```
/// use callsoon::{Awaitable, EventLoop, RunError};
///
/// fn timed<A: Awaitable>(event_loop: &EventLoop, work: A) -> Result<A::Output, RunError> {
///     let start = event_loop.time();
///     let result = event_loop.run_until_complete(work);
///     println!("took {:?}", event_loop.time() - start);
///     result
/// }
///
/// let event_loop = EventLoop::new();
/// let task = event_loop.create_task(async { 1 });
/// assert_eq!(timed(&event_loop, &task)?, 1); // a clone
/// assert_eq!(timed(&event_loop, task)?, 1); // the result itself
/// assert_eq!(timed(&event_loop, async { 2 })?, 2);
/// # Ok::<(), RunError>(())
/// ```
///
/// A list of several sorts:
///
/// ```
/// use callsoon::{Awaitable, Awaited, Future, LoopHandle, Task, create_future, create_task, gather, run};
///
/// enum Source {
///     Measured(Task<u32>),
///     Typed(Future<String>),
/// }
///
/// impl Awaitable for Source {
///     type Output = String;
///
///     fn into_awaited(self, event_loop: &LoopHandle) -> Awaited<String> {
///         match self {
///             Self::Measured(task) => task.into_awaited(event_loop).map(|n| n.to_string()),
///             Self::Typed(future) => future.into_awaited(event_loop),
///         }
///     }
/// }
///
/// let texts = run(async {
///     let typed = create_future();
///     typed.set_result("one".to_owned()).unwrap();
///     gather(vec![Source::Measured(create_task(async { 1 })), Source::Typed(typed)]).await
/// });
/// assert_eq!(texts, ["1", "one"]);
/// ```
pub trait Awaitable: Sized {
    /// What awaiting it gives.
    type Output: 'static;

    /// Gives what it stands for; of a coroutine, makes a task of `event_loop` first.
    ///
    /// *From asyncio:* `asyncio.ensure_future(self, loop=event_loop)`.
    ///
    /// *Order:* no code of a coroutine runs now.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Awaitable, EventLoop};
    ///
    /// let event_loop = EventLoop::new();
    /// let awaited = async { 1 }.into_awaited(&event_loop);
    /// assert_eq!(event_loop.all_tasks().len(), 1);
    /// # drop(awaited);
    /// ```
    #[track_caller]
    fn into_awaited(self, event_loop: &LoopHandle) -> Awaited<Self::Output>;

    /// Gives the loop it belongs to; `None` if it can become a task of any loop, as a coroutine can.
    ///
    /// With this, what is outside a running loop, `gather` for one, finds the loop of its futures. A
    /// type that delegates [`into_awaited`](Self::into_awaited) should delegate this, too.
    ///
    /// *From asyncio:* `Future.get_loop()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Awaitable, EventLoop};
    ///
    /// let event_loop = EventLoop::new();
    /// let future = event_loop.create_future::<u32>();
    /// assert!(future.bound_loop() == Some(event_loop.handle()));
    /// assert!(async {}.bound_loop().is_none());
    /// ```
    fn bound_loop(&self) -> Option<LoopHandle> {
        None
    }

    /// Whether it is a bare coroutine. All of one type are, or none.
    #[doc(hidden)]
    fn is_coroutine(&self) -> bool {
        false
    }

    /// Makes a task of a bare coroutine, which is a child from its beginning: the one at `place`, where
    /// `children` may have a child that is over, or behind the last.
    #[doc(hidden)]
    fn into_child(
        self,
        _nursery: &Nursery,
        _children: &mut Vec<Awaited<Self::Output>>,
        _place: usize,
    ) {
        unreachable!("it is no bare coroutine");
    }
}

/// Something that is awaited, by what is not a coroutine: a future of a loop, and how to get its
/// result once it is done. See [`Awaitable`].
///
/// *From asyncio:* the future that `ensure_future` gives.
///
/// # Cancellation
///
/// Dropping it leaves the future alone.
///
/// # Examples
///
/// ```
/// use callsoon::{Awaitable, Awaited, EventLoop, LoopHandle, RunError, Task};
///
/// struct Parsed(Task<&'static str>);
///
/// impl Awaitable for Parsed {
///     type Output = u32;
///
///     fn into_awaited(self, event_loop: &LoopHandle) -> Awaited<u32> {
///         self.0.into_awaited(event_loop).map(|text| text.parse().unwrap_or(0))
///     }
/// }
///
/// let event_loop = EventLoop::new();
/// let task = event_loop.create_task(async { "42" });
/// assert_eq!(event_loop.run_until_complete(Parsed(task))?, 42);
/// # Ok::<(), RunError>(())
/// ```
#[must_use = "what is awaited does nothing by itself"]
pub struct Awaited<T: 'static>(Source<T>);

/// Where the result comes from.
enum Source<T: 'static> {
    /// A task that was made for this.
    Fresh(Future<T>),
    /// A task or future that was there before, given away by its owner.
    Owned(Future<T>),
    /// One that others have, too, and how to get its result.
    Common {
        future: Future<T>,
        get: fn(Future<T>) -> Result<T, ResultError>,
    },
    /// The result of something else, changed.
    Mapped(Box<dyn Mapped<T>>),
    /// A changed result that had to be looked at before the time.
    Fetched {
        future: AnyRef,
        result: Box<Result<T, ResultError>>,
    },
    /// It was moved out.
    Gone(AnyRef),
}

impl<T: 'static> Awaited<T> {
    /// Changes the result, when it is there.
    ///
    /// *From asyncio:* nothing; there a coroutine around it does this, at the cost of a turn.
    ///
    /// *Order:* it costs no turn. `change` is called when the result is moved to where it is awaited.
    ///
    /// # Panics
    ///
    /// If `change` panics, so does whatever awaits the result.
    ///
    /// # Examples
    ///
    /// See [`Awaited`].
    pub fn map<U: 'static>(self, change: impl FnOnce(T) -> U + 'static) -> Awaited<U> {
        Awaited(Source::Mapped(Box::new(Map {
            inner: self,
            change,
        })))
    }

    /// The future that is awaited.
    pub(crate) fn any(&self) -> AnyRef {
        match &self.0 {
            Source::Fresh(future) | Source::Owned(future) | Source::Common { future, .. } => {
                future.any()
            }
            Source::Mapped(mapped) => mapped.any(),
            Source::Fetched { future, .. } => future.clone(),
            Source::Gone(future) => future.clone(),
        }
    }

    /// The same, for a look.
    #[inline]
    pub(crate) fn future(&self) -> &dyn AnyFuture {
        match &self.0 {
            Source::Fresh(future) | Source::Owned(future) | Source::Common { future, .. } => {
                &**future.core()
            }
            Source::Mapped(mapped) => mapped.future(),
            Source::Fetched { future, .. } => &**future,
            Source::Gone(future) => &**future,
        }
    }

    /// Whether it is a task that was made for this.
    pub(crate) fn is_fresh(&self) -> bool {
        match &self.0 {
            Source::Fresh(_) => true,
            Source::Mapped(mapped) => mapped.is_fresh(),
            _ => false,
        }
    }

    /// The handle itself, if it is an owner's, so that the result can be moved out of it.
    pub(crate) fn into_owner(self) -> Result<Future<T>, Self> {
        match self.0 {
            Source::Fresh(future) | Source::Owned(future) => Ok(future),
            source => Err(Self(source)),
        }
    }

    /// Has `listener` told when it is done, until this is dropped.
    pub(crate) fn listen(&self, id: u64, listener: ListenerRef) {
        match &self.0 {
            Source::Fresh(future) | Source::Owned(future) | Source::Common { future, .. } => {
                future.listen(id, listener)
            }
            Source::Mapped(mapped) => mapped.listen(id, listener),
            Source::Fetched { .. } | Source::Gone(_) => {}
        }
    }

    /// Has `listener` told also when this has been dropped.
    pub(crate) fn keep_listening(&self) {
        match &self.0 {
            Source::Fresh(future) | Source::Owned(future) | Source::Common { future, .. } => {
                future.keep_listening()
            }
            Source::Mapped(mapped) => mapped.keep_listening(),
            Source::Fetched { .. } | Source::Gone(_) => {}
        }
    }

    /// Why it has no result, if it has none.
    pub(crate) fn error(&self) -> Option<ResultError> {
        match &self.0 {
            Source::Fresh(future) | Source::Owned(future) | Source::Common { future, .. } => {
                future.with_result(|outcome| outcome.err().cloned())
            }
            Source::Mapped(mapped) => mapped.error(),
            Source::Fetched { result, .. } => result.as_ref().as_ref().err().cloned(),
            Source::Gone(_) => Some(ResultError::Taken),
        }
    }

    /// The result, of what is done.
    pub(crate) fn get(self) -> Result<T, ResultError> {
        match self.0 {
            Source::Fresh(future) | Source::Owned(future) => {
                future.keep_listening();
                future.shared().take_result()
            }
            Source::Common { future, get } => get(future),
            Source::Mapped(mapped) => mapped.get(),
            Source::Fetched { result, .. } => *result,
            Source::Gone(_) => Err(ResultError::Taken),
        }
    }

    /// The task, if it was made for this, and its result is what is awaited.
    #[inline]
    pub(crate) fn as_fresh(&self) -> Option<&Future<T>> {
        match &self.0 {
            Source::Fresh(task) => Some(task),
            _ => None,
        }
    }

    /// How to tell whether a result that nobody looked at has to be reported.
    pub(crate) fn failure(&self) -> Failure<T> {
        match &self.0 {
            Source::Fresh(future) | Source::Owned(future) | Source::Common { future, .. } => {
                future.core().failure()
            }
            _ => |_| None,
        }
    }

    /// Moves it out and leaves nothing in its place.
    pub(crate) fn take(&mut self) -> Self {
        let gone = Source::Gone(self.any());
        Self(mem::replace(&mut self.0, gone))
    }
}

impl<T: 'static, E: 'static> Awaited<Result<T, E>> {
    /// Whether the result, of what is done, is an error. If nobody looked before, somebody has now.
    pub(crate) fn is_err(&mut self) -> bool {
        if matches!(self.0, Source::Mapped(_)) {
            let future = self.any();
            let result = Box::new(self.take().get());
            self.0 = Source::Fetched { future, result };
        }
        match &self.0 {
            Source::Fresh(future) | Source::Owned(future) | Source::Common { future, .. } => {
                future.with_result(|outcome| matches!(outcome, Ok(Err(_))))
            }
            Source::Fetched { result, .. } => matches!(**result, Ok(Err(_))),
            Source::Mapped(_) | Source::Gone(_) => false,
        }
    }
}

impl<T: 'static> fmt::Debug for Awaited<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Fresh(future) | Source::Owned(future) | Source::Common { future, .. } => {
                f.debug_tuple("Awaited").field(future).finish()
            }
            _ => f.debug_struct("Awaited").finish_non_exhaustive(),
        }
    }
}

/// An [`Awaited`] whose result is changed to a `T`.
trait Mapped<T> {
    fn any(&self) -> AnyRef;
    fn future(&self) -> &dyn AnyFuture;
    fn is_fresh(&self) -> bool;
    fn listen(&self, id: u64, listener: ListenerRef);
    fn keep_listening(&self);
    fn error(&self) -> Option<ResultError>;
    fn get(self: Box<Self>) -> Result<T, ResultError>;
}

struct Map<T: 'static, F> {
    inner: Awaited<T>,
    change: F,
}

impl<T: 'static, U: 'static, F: FnOnce(T) -> U> Mapped<U> for Map<T, F> {
    fn any(&self) -> AnyRef {
        self.inner.any()
    }

    fn future(&self) -> &dyn AnyFuture {
        self.inner.future()
    }

    fn is_fresh(&self) -> bool {
        self.inner.is_fresh()
    }

    fn listen(&self, id: u64, listener: ListenerRef) {
        self.inner.listen(id, listener);
    }

    fn keep_listening(&self) {
        self.inner.keep_listening();
    }

    fn error(&self) -> Option<ResultError> {
        self.inner.error()
    }

    fn get(self: Box<Self>) -> Result<U, ResultError> {
        self.inner.get().map(self.change)
    }
}

/// A future without its type. Awaiting that gives nothing, however it ends.
struct Untyped {
    future: FutureHandle,
    /// While something listens to it.
    registration: Cell<Option<u64>>,
}

impl Untyped {
    fn awaited(future: FutureHandle) -> Awaited<()> {
        Awaited(Source::Mapped(Box::new(Self {
            future,
            registration: Cell::new(None),
        })))
    }
}

impl Mapped<()> for Untyped {
    fn any(&self) -> AnyRef {
        self.future.any().clone()
    }

    fn future(&self) -> &dyn AnyFuture {
        &**self.future.any()
    }

    fn is_fresh(&self) -> bool {
        false
    }

    fn listen(&self, id: u64, listener: ListenerRef) {
        self.registration.set(Some(id));
        self.future.any().listen(id, listener);
    }

    fn keep_listening(&self) {
        self.registration.set(None);
    }

    fn error(&self) -> Option<ResultError> {
        None
    }

    fn get(self: Box<Self>) -> Result<(), ResultError> {
        Ok(())
    }
}

impl Drop for Untyped {
    fn drop(&mut self) {
        if let Some(id) = self.registration.get() {
            self.future.any().remove_callback(id);
        }
    }
}

/// Of a reference: a clone.
fn copy<T: Clone + 'static>(future: Future<T>) -> Result<T, ResultError> {
    future.keep_listening();
    future.result()
}

/// Of a `Future<F::Output>` that is known as an `F` only: what awaiting it gives. Whether the result
/// can be cloned is known to its `poll` alone.
fn poll<F>(future: Future<F::Output>) -> Result<F::Output, ResultError>
where
    F: std::future::Future<Output: 'static> + 'static,
{
    // Without a result awaiting would unwind, and here may be no task to unwind.
    if let Some(error) = future.with_result(|outcome| outcome.err().cloned()) {
        return Err(error);
    }
    future.keep_listening();
    let mut slot = Some(future);
    let any: &mut dyn Any = &mut slot;
    let future = any.downcast_mut::<Option<F>>().and_then(Option::take);
    let future = pin!(future.expect("an F is a Future"));
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Ok(result),
        Poll::Pending => Err(ResultError::NotReady),
    }
}

impl<F> Awaitable for F
where
    F: std::future::Future<Output: 'static> + 'static,
{
    type Output = F::Output;

    #[track_caller]
    fn into_awaited(self, event_loop: &LoopHandle) -> Awaited<F::Output> {
        // All casts go to types that depend on `F::Output` alone.
        let mut slot = Some(self);
        let any: &mut dyn Any = &mut slot;
        if let Some(task) = any.downcast_mut::<Option<Task<F::Output>>>() {
            let task = task.take().expect("just put there");
            return Awaited(Source::Owned(task.into_shared()));
        }
        if let Some(future) = any.downcast_mut::<Option<OwnedFuture<F::Output>>>() {
            let future = future.take().expect("just put there");
            return Awaited(Source::Owned(future.into_shared()));
        }
        if let Some(future) = any.downcast_mut::<Option<Future<F::Output>>>() {
            let future = future.take().expect("just put there");
            let get = poll::<F>;
            return Awaited(Source::Common { future, get });
        }
        if let Some(future) = any.downcast_mut::<Option<FutureHandle>>() {
            let future = future.take().expect("just put there");
            let mut awaited = Some(Untyped::awaited(future));
            let any: &mut dyn Any = &mut awaited;
            let awaited = any.downcast_mut::<Option<Awaited<F::Output>>>();
            return (awaited.and_then(Option::take))
                .expect("it gives nothing, as awaiting it does");
        }
        let coroutine = slot.take().expect("not taken above");
        Awaited(Source::Fresh(
            event_loop.create_task(coroutine).into_shared(),
        ))
    }

    fn is_coroutine(&self) -> bool {
        let any: &dyn Any = self;
        !(any.is::<Task<F::Output>>()
            || any.is::<OwnedFuture<F::Output>>()
            || any.is::<Future<F::Output>>()
            || any.is::<FutureHandle>())
    }

    fn into_child(self, nursery: &Nursery, children: &mut Vec<Awaited<F::Output>>, place: usize) {
        let mut coroutine = Some(self);
        if let Some(spare) = children.get(place).and_then(Awaited::as_fresh) {
            nursery.reuse(spare, &mut coroutine, place);
        }
        let Some(coroutine) = coroutine else {
            return;
        };
        let child = Awaited(Source::Fresh(nursery.create_task(coroutine, place)));
        match children.get_mut(place) {
            Some(spare) => *spare = child,
            None => children.push(child),
        }
    }

    fn bound_loop(&self) -> Option<LoopHandle> {
        let any: &dyn Any = self;
        let task = any.downcast_ref::<Task<F::Output>>().map(|task| &**task);
        let owned = any.downcast_ref::<OwnedFuture<F::Output>>();
        let future = task
            .or(owned.map(|owned| &**owned))
            .or(any.downcast_ref::<Future<F::Output>>());
        let untyped = any.downcast_ref::<FutureHandle>();
        (future.map(Future::get_loop)).or_else(|| untyped.map(FutureHandle::get_loop))
    }
}

/// References clone.
macro_rules! by_reference {
    ($($kind:ident),*) => {$(
        impl<T: Clone + 'static> Awaitable for &$kind<T> {
            type Output = T;

            fn into_awaited(self, _event_loop: &LoopHandle) -> Awaited<T> {
                Awaited(Source::Common { future: Future::new(self.core().clone()), get: copy })
            }

            fn bound_loop(&self) -> Option<LoopHandle> {
                Some(self.get_loop())
            }
        }
    )*};
}

by_reference!(Task, Future, OwnedFuture);

/// There is nothing to clone but the handle.
impl Awaitable for &FutureHandle {
    type Output = ();

    fn into_awaited(self, _event_loop: &LoopHandle) -> Awaited<()> {
        Untyped::awaited(self.clone())
    }

    fn bound_loop(&self) -> Option<LoopHandle> {
        Some(self.get_loop())
    }
}
