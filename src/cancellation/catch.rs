//! [`catch_cancel`]: the `except CancelledError` of a coroutine.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::FusedFuture;
use pin_project_lite::pin_project;

use super::{CancelledError, ScopeSlot};

/// Runs `inner`, and catches a cancellation of it.
///
/// When a cancellation is raised inside, `inner` is dropped (its `Drop` guards are the `finally`
/// blocks), and what comes out is the [`CancelledError`]. The task goes on: it may clean up, also with
/// `.await`, pass the cancellation on with [`reraise`](CancelledError::reraise), or decline it by not
/// doing so.
///
/// *From asyncio:* `try: ... except CancelledError: ...`. Differences: none. As there, a task that
/// declines keeps its [`cancelling`](crate::Task::cancelling) count until somebody calls
/// [`uncancel`](crate::Task::uncancel).
///
/// *Order:* it costs no turn. The clean-up begins in the turn in which the cancellation is raised at
/// the await inside.
///
/// # Cancellation
///
/// Scopes nest to any depth, also inside `join!`, `select!` and `FuturesUnordered`: a cancellation is
/// raised at the innermost ones. It is delivered once; what is awaited after that runs normally, until
/// somebody cancels again. Dropping it drops `inner`.
///
/// What is asked to stop is, first of all, what the task awaits of this crate. A scope around nothing but
/// futures of other crates catches at once if there is nothing of this crate to ask; beside a branch of a
/// `join!` that takes the request it is not reached by that.
///
/// Awaited from an executor that is not a callsoon loop, it catches nothing.
///
/// # Panics
///
/// When polled again after it was over.
///
/// # Examples
///
/// asyncio's `cancel_me`:
///
/// ```
/// use std::{cell::RefCell, rc::Rc, time::Duration};
/// use callsoon::{Clock, EventLoop, catch_cancel, create_task, sleep};
///
/// type Output = Rc<RefCell<Vec<&'static str>>>;
///
/// async fn cancel_me(output: Output) {
///     output.borrow_mut().push("cancel_me(): before sleep");
///     let slept = catch_cancel(sleep(Duration::from_secs(3600))).await;
///     if let Err(cancelled) = slept {
///         output.borrow_mut().push("cancel_me(): cancel sleep");
///         sleep(Duration::from_millis(1)).await; // a clean-up that takes time
///         output.borrow_mut().push("cancel_me(): after sleep");
///         cancelled.reraise().await
///     }
/// }
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let output = Output::default();
/// let out = output.clone();
/// event_loop.run_until_complete(async move {
///     let task = create_task(cancel_me(out.clone()));
///     sleep(Duration::from_secs(1)).await;
///     task.cancel();
///     assert!(catch_cancel(task).await.is_err());
///     out.borrow_mut().push("main(): cancel_me is cancelled now");
/// })?;
/// assert_eq!(event_loop.time(), Duration::from_millis(1001));
/// assert_eq!(*output.borrow(), [
///     "cancel_me(): before sleep",
///     "cancel_me(): cancel sleep",
///     "cancel_me(): after sleep",
///     "main(): cancel_me is cancelled now",
/// ]);
/// # Ok::<(), callsoon::RunError>(())
/// ```
///
/// A task may decline:
///
/// ```
/// use callsoon::{EventLoop, catch_cancel};
///
/// let event_loop = EventLoop::new();
/// let task = event_loop.create_task(async {
///     match catch_cancel(std::future::pending::<u32>()).await {
///         Ok(answer) => answer,
///         Err(cancelled) => {
///             assert_eq!(cancelled.message(), Some("please"));
///             0
///         }
///     }
/// });
/// let handle = task.handle();
/// event_loop.call_soon(move || {
///     handle.cancel_with("please");
/// });
/// assert_eq!(event_loop.run_until_complete(task)?, 0);
/// # Ok::<(), callsoon::RunError>(())
/// ```
pub fn catch_cancel<F: IntoFuture>(inner: F) -> CatchCancel<F::IntoFuture> {
    CatchCancel {
        inner: Some(inner.into_future()),
        scope: ScopeSlot::default(),
    }
}

pin_project! {
    /// The future of [`catch_cancel`], for naming its type.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Cancellation
    ///
    /// As for [`catch_cancel`].
    ///
    /// # Panics
    ///
    /// As for [`catch_cancel`].
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{CatchCancel, YieldNow, catch_cancel, run, yield_now};
    ///
    /// fn polite() -> CatchCancel<YieldNow> {
    ///     catch_cancel(yield_now())
    /// }
    ///
    /// assert!(run(async { polite().await }).is_ok());
    /// ```
    #[must_use = "nothing runs, and nothing is caught, unless it is awaited"]
    pub struct CatchCancel<F> {
        // Until it is over.
        #[pin]
        inner: Option<F>,
        scope: ScopeSlot,
    }
}

impl<F: Future> Future for CatchCancel<F> {
    type Output = Result<F::Output, CancelledError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let result = ready!(this.scope.poll(cx, |cx| {
            let inner = this.inner.as_mut().as_pin_mut();
            inner
                .expect("catch_cancel awaited again after it was over")
                .poll(cx)
        }));
        this.inner.set(None);
        this.scope.close();
        Poll::Ready(result)
    }
}

impl<F: Future> FusedFuture for CatchCancel<F> {
    fn is_terminated(&self) -> bool {
        self.inner.is_none()
    }
}

impl<F> fmt::Debug for CatchCancel<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = if self.inner.is_none() { " done" } else { "" };
        write!(f, "<CatchCancel{over}>")
    }
}
