//! [`shield`]: awaiting without passing a cancellation on.
//!
//! The shield is a future of its own, which is completed when the one inside is done. Cancelling it
//! completes it, and the inside hears nothing of that.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;

use crate::cancellation::CancelledError;
use crate::errors::{PanicError, ResultError};
use crate::event_loop::{About, Awaitable, Awaited, LoopHandle, LoopState, Run};
use crate::futures::purpose::Nature;
use crate::futures::{
    AnyFuture, AnyRef, Failure, Future, FutureCore, FutureRef, Inner, Listener, OwnedFuture,
    Shared, State, as_shared, flat_drop, looked_at,
};
use crate::observe::EntryKind;
use crate::snapshot::AwaitedKind;
use crate::tasks::{Payload, Stepper};

/// Awaits something without cancelling it when the awaiting task is cancelled.
///
/// The coroutine that awaits the shield is cancelled as ever; what is inside runs on. Of a bare
/// coroutine a task is made, which is nobody else's.
///
/// *From asyncio:* `asyncio.shield()`. Differences: none that can be seen. (The loop owns the task
/// inside, so there is no need to keep a reference.)
///
/// *Order:* it completes one turn after what is inside. If that is done already, so is the shield, and
/// awaiting it costs no turn.
///
/// # Cancellation
///
/// Cancelling the shield, or a task that awaits it, cancels the shield at once and nothing else. If what
/// is inside is cancelled by somebody else, so is the shield. Dropping the shield lets go of what is
/// inside, unless it has done-callbacks.
///
/// # Panics
///
/// If a bare coroutine is given and no loop runs on this thread, or if the loop is closed. Awaiting it
/// goes on with a panic of the task inside.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop, catch_cancel, create_task, shield, sleep};
///
/// async fn something() -> &'static str {
///     sleep(Duration::from_secs(2)).await;
///     "done in spite of everything"
/// }
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let res = event_loop.run_until_complete(async {
///     let task = create_task(something());
///     let inner = task.clone();
///     let caller = create_task(async move { shield(inner).await });
///     sleep(Duration::from_secs(1)).await;
///     caller.cancel();
///     assert!(catch_cancel(caller).await.is_err()); // the caller is cancelled ...
///     task.await // ... but the task is not
/// })?;
/// assert_eq!(res, "done in spite of everything");
/// # Ok::<(), callsoon::RunError>(())
/// ```
///
/// To ignore a cancellation altogether, which is not recommended, catch it:
///
/// ```
/// use callsoon::{catch_cancel, create_task, run, shield, yield_now};
///
/// let res = run(async {
///     let task = create_task(async { yield_now().await });
///     callsoon::current_task().expect("this is one").cancel();
///     catch_cancel(shield(&task)).await.ok()
/// });
/// assert_eq!(res, None);
/// ```
#[must_use = "a shield protects whoever awaits it"]
#[track_caller]
pub fn shield<A: Awaitable>(awaitable: A) -> OwnedFuture<A::Output> {
    let event_loop = awaitable.bound_loop().unwrap_or_else(LoopHandle::running);
    let mut inner = awaitable.into_awaited(&event_loop);
    let future = inner.any();
    let is_done = future.state() != State::Pending;
    if is_done {
        match inner.into_owner() {
            Ok(owner) => return OwnedFuture::new(owner),
            Err(common) => inner = common,
        }
    }
    let lp = future.base().lp.clone();
    let cell: Pin<Rc<ShieldCell<A::Output>>> = Rc::pin(ShieldCell {
        shared: Shared::new(lp, Location::caller()),
        inner: Cell::new(None),
        failed_by_cancellation: Cell::new(false),
        failure: inner.failure(),
    });
    cell.shared.base.lets_go.set(true);
    let outer = OwnedFuture::new(Future::new(cell.clone()));
    if is_done {
        cell.inner.set(Some(inner));
        cell.complete();
    } else {
        let id = future.base().lp.next_registration();
        inner.listen(id, cell.clone());
        cell.inner.set(Some(inner));
    }
    outer
}

/// A shield in memory.
struct ShieldCell<T: 'static> {
    shared: Shared<T>,
    /// What is inside, until the shield is done or let go of.
    inner: Cell<Option<Awaited<T>>>,
    /// It has ended as a gather did that was cancelled.
    failed_by_cancellation: Cell<bool>,
    /// What is a failure inside is one here: it is reported if nobody looks at it.
    failure: Failure<T>,
}

impl<T: 'static> ShieldCell<T> {
    /// Ends as what is inside has ended.
    fn complete(self: &Pin<Rc<Self>>) {
        let Some(inner) = self.inner.take() else {
            return;
        };
        self.shared.base.lp.release(&self.shared.base);
        if !self.shared.is_pending() {
            // Somebody has completed it by hand. The result stays where it is.
            looked_at(inner.future());
            return self.shared.base.lp.drop_user(inner);
        }
        (self.failed_by_cancellation).set(inner.future().failed_by_cancellation());
        // Cloning and mapping is user code, which may panic: that ends the shield as well.
        let result = catch_unwind(AssertUnwindSafe(|| inner.get()));
        let outcome = match result {
            Ok(Ok(value)) => Inner::Ready(value),
            Ok(Err(ResultError::Cancelled(why))) => Inner::Cancelled(why.as_awaited()),
            Ok(Err(ResultError::Panicked(panic))) => Inner::Panicked(panic),
            // Only in a task that is being unwound; it will never see this.
            Ok(Err(ResultError::NotReady)) => {
                Inner::Cancelled(CancelledError::at(None, self.shared.base.site))
            }
            Ok(Err(error)) => Inner::Panicked(self.panic(Box::new(error.to_string()))),
            Err(payload) => Inner::Panicked(self.panic(payload)),
        };
        if self.shared.is_pending() {
            let me: FutureRef<T> = self.clone();
            self.shared.finish(&me, || outcome);
        } else {
            self.shared.base.lp.drop_user(outcome);
        }
    }

    fn panic(&self, payload: Payload) -> PanicError {
        PanicError::new(payload, "shield".to_owned(), self.shared.base.site)
    }
}

impl<T: 'static> Listener for ShieldCell<T> {
    fn told(&self, _id: u64, _inner: &dyn AnyFuture, _how: State) -> bool {
        true
    }
}

impl<T: 'static> Run for ShieldCell<T> {
    fn run(self: Pin<Rc<Self>>, lp: &Rc<LoopState>, _stepper: &mut Stepper<'_>) {
        lp.callback_site.set(Some(self.shared.base.site));
        self.complete();
    }

    fn about(&self) -> About {
        About::at(EntryKind::Shield, self.shared.base.site)
    }
}

impl<T: 'static> AnyFuture for ShieldCell<T> {
    as_shared!(T);

    fn cancel(self: Pin<Rc<Self>>, why: CancelledError) -> bool {
        if !self.shared.is_pending() {
            self.shared.base.observed.set(true);
            return false;
        }
        let inner = self.inner.take();
        if let Some(inner) = &inner {
            // As in asyncio, an error that is there already counts as looked at.
            looked_at(inner.future());
        }
        let me: FutureRef<T> = self.clone();
        self.shared.finish(&me, || Inner::Cancelled(why));
        self.shared.base.lp.drop_user(inner);
        true
    }

    fn accepts_cancel(&self) -> bool {
        self.shared.is_pending()
    }

    fn nature(&self) -> Nature {
        Nature::of(AwaitedKind::Shield)
    }

    fn inside(&self) -> Vec<AnyRef> {
        let inner = self.inner.take();
        let any = inner.iter().map(Awaited::any).collect();
        self.inner.set(inner);
        any
    }

    fn failed_by_cancellation(&self) -> bool {
        self.failed_by_cancellation.get()
    }

    fn let_go(self: Pin<Rc<Self>>) {
        if self.shared.has_callbacks() {
            // They are a reason to go on.
            return self.shared.base.lp.adopt(self.clone());
        }
        flat_drop(self.inner.take());
    }

    fn discard(&self) {
        flat_drop((self.inner.take(), self.shared.take_callbacks()));
    }
}

impl<T: 'static> FutureCore<T> for ShieldCell<T> {
    fn shared(&self) -> &Shared<T> {
        &self.shared
    }

    fn failure(&self) -> Failure<T> {
        self.failure
    }
}

impl<T: 'static> Drop for ShieldCell<T> {
    fn drop(&mut self) {
        if let Some(context) = self.shared.unobserved("shield", self.failure) {
            self.shared.base.lp.report(&context);
        }
    }
}
