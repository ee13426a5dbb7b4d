//! [`Awaitable`]: what a loop can run until it is complete.

use std::any::Any;
use std::task::{Context, Poll, Waker};

use super::LoopHandle;
use crate::errors::ResultError;
use crate::futures::{AnyRef, Future, OwnedFuture};
use crate::tasks::Task;

/// A task, a future, a bare coroutine, or a reference to a task or future: whatever
/// [`run_until_complete`](crate::EventLoop::run_until_complete) takes.
///
/// Of its own kinds the crate takes what they stand for; any other `std::future::Future` is a
/// coroutine and becomes a task. An owner ([`Task`], [`OwnedFuture`]) gives its result away, a
/// reference gives a clone. To keep a task whose result is not `Clone`, pass
/// [`task.take()`](Future::take).
///
/// *From asyncio:* an awaitable, as `ensure_future` takes it.
///
/// This trait is implemented for everything that makes sense, and not for implementing elsewhere.
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
pub trait Awaitable: Sized {
    /// What awaiting it gives.
    type Output;

    #[doc(hidden)]
    #[track_caller]
    fn into_awaited(self, event_loop: &LoopHandle) -> Awaited<Self::Output>;
}

/// Something of ours, and how to get its result once it is done.
#[doc(hidden)]
pub struct Awaited<T> {
    pub(crate) future: AnyRef,
    pub(crate) get: Box<dyn FnOnce() -> Result<T, ResultError>>,
}

impl<T> std::fmt::Debug for Awaited<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Awaited").finish_non_exhaustive()
    }
}

impl<T: 'static> Awaited<T> {
    fn moving(future: AnyRef, owner: impl Fn() -> Result<T, ResultError> + 'static) -> Self {
        Self {
            future,
            get: Box::new(owner),
        }
    }
}

impl<F> Awaitable for F
where
    F: std::future::Future<Output: 'static> + 'static,
{
    type Output = F::Output;

    #[track_caller]
    fn into_awaited(self, event_loop: &LoopHandle) -> Awaited<F::Output> {
        // Both casts go to types that depend on `F::Output` alone.
        let mut slot = Some(self);
        let any: &mut dyn Any = &mut slot;
        if let Some(task) = any.downcast_mut::<Option<Task<F::Output>>>() {
            let task = task.take().expect("just put there");
            return Awaited::moving(task.any(), move || task.take_result());
        }
        if let Some(future) = any.downcast_mut::<Option<OwnedFuture<F::Output>>>() {
            let future = future.take().expect("just put there");
            return Awaited::moving(future.any(), move || future.take_result());
        }
        if let Some(future) = any.downcast_mut::<Option<Future<F::Output>>>() {
            let core = future.as_ref().expect("just put there").core().clone();
            let mut future = Box::pin(slot.take().expect("just put there"));
            // Polling it gives a clone or the result, as awaiting would: only it knows `Clone`.
            return Awaited {
                future: core.clone(),
                get: Box::new(move || {
                    // Without a result awaiting would unwind, and here is no task to unwind.
                    let error = core.shared().with_result(|outcome| outcome.err().cloned());
                    if let Some(error) = error {
                        return Err(error);
                    }
                    let mut cx = Context::from_waker(Waker::noop());
                    match future.as_mut().poll(&mut cx) {
                        Poll::Ready(result) => Ok(result),
                        Poll::Pending => Err(ResultError::NotReady),
                    }
                }),
            };
        }
        let coroutine = slot.take().expect("not taken above");
        let task = event_loop.create_task(coroutine);
        Awaited::moving(task.any(), move || task.take_result())
    }
}

/// References clone.
macro_rules! by_reference {
    ($($kind:ident),*) => {$(
        impl<T: Clone + 'static> Awaitable for &$kind<T> {
            type Output = T;

            fn into_awaited(self, _event_loop: &LoopHandle) -> Awaited<T> {
                let future = Future::new(self.core().clone());
                Awaited::moving(future.any(), move || future.result())
            }
        }
    )*};
}

by_reference!(Task, Future, OwnedFuture);
