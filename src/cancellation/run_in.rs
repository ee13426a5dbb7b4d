//! Running one thing after another in a scope.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::{CancelledError, ScopeSlot};
use crate::tasks::Payload;

/// How what ran in a scope has ended.
pub(crate) enum Ended<T> {
    Returned(T),
    Cancelled(CancelledError),
    Panicked(Payload),
}

pin_project! {
    /// Runs a future in a scope that stays open, and catches its cancellation and its panic.
    pub(crate) struct RunIn<'a, F> {
        scope: &'a mut ScopeSlot,
        // Until it is over.
        #[pin]
        inner: Option<F>,
    }
}

impl<'a, F> RunIn<'a, F> {
    pub(crate) fn new(scope: &'a mut ScopeSlot, inner: F) -> Self {
        let inner = Some(inner);
        Self { scope, inner }
    }
}

impl<F: Future> Future for RunIn<'_, F> {
    type Output = Ended<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut panicked = None;
        let polled = this.scope.poll(cx, |cx| {
            let inner = this.inner.as_mut().as_pin_mut();
            let inner = inner.expect("it is dropped when it is over");
            match catch_unwind(AssertUnwindSafe(|| inner.poll(cx))) {
                Ok(polled) => polled.map(Some),
                Err(payload) => {
                    panicked = Some(payload);
                    Poll::Ready(None)
                }
            }
        });
        if panicked.is_none() && polled.is_pending() {
            return Poll::Pending;
        }
        // The drop may panic as well.
        let dropped = catch_unwind(AssertUnwindSafe(|| this.inner.set(None)));
        this.scope.forget_awaits();
        if let Some(payload) = panicked.or(dropped.err()) {
            return Poll::Ready(Ended::Panicked(payload));
        }
        Poll::Ready(match ready!(polled) {
            Ok(Some(output)) => Ended::Returned(output),
            Ok(None) => unreachable!("a panic was seen to above"),
            Err(why) => Ended::Cancelled(why),
        })
    }
}
