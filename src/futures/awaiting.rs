//! What happens when a future is awaited: the registration of a waiting task or waker.
//!
//! Polled with the waker of the running step, the task itself joins the future's callbacks, and the
//! future joins what the task awaits, so that a cancellation can be offered to it. Polled with any
//! other waker (a wrapping one, or another executor's), that waker joins the callbacks.
//!
//! A later poll of the same handle keeps the registration and so its place.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::{mem, ptr};

use futures_core::FusedFuture;

use super::callbacks::{Action, ForeignWait, Key};
use super::{Future, Shared, State, same};
use crate::errors::ResultError;
use crate::event_loop::{LoopState, current};
use crate::tasks::TaskRef;

/// In the place of a registration: the next poll reports a misuse. No registration has this id.
const MISUSED: u64 = u64::MAX;

/// What an await may not be, found out at its first poll.
enum Misuse {
    OtherLoop,
    Itself,
}

impl<T: 'static> Future<T> {
    /// Waits until the future is done, and no more: the outcome is the caller's to look at.
    ///
    /// Pending without any effect while the task is being unwound.
    #[inline]
    #[track_caller]
    pub(super) fn poll_done(&self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_over(cx));
        // Cancelled perhaps: then that is met here, as a value.
        self.core.base().lp.forget_offers_to(&*self.core);
        Poll::Ready(())
    }

    /// The same; gives the registration under which it waited, or 0 if it did not have to.
    #[inline]
    #[track_caller]
    fn poll_over(&self, cx: &mut Context<'_>) -> Poll<u64> {
        let shared = self.shared();
        let lp = &shared.base.lp;
        if current::is_unwinding_in(lp) {
            return current::pending_while_unwinding(cx);
        }
        if !shared.is_pending() {
            // The registration went when the future was completed.
            return Poll::Ready(self.registration.replace(0));
        }
        if self.registration.get() == 0 && lp.step.is_direct(cx.waker()) {
            self.register_first(shared, cx);
        } else {
            self.register(cx);
        }
        Poll::Pending
    }

    /// An await that moves the result out.
    #[inline]
    #[track_caller]
    pub(crate) fn poll_moving(&self, cx: &mut Context<'_>) -> Poll<T> {
        let shared = self.shared();
        if !current::is_unwinding_in(&shared.base.lp)
            && let Some(value) = shared.take_if_ready()
        {
            self.registration.set(0);
            return Poll::Ready(value);
        }
        let id = ready!(self.poll_over(cx));
        self.unwrap_result(id, self.take_result())
    }

    /// Turns an outcome into what an await does with it that waited under registration `id`.
    #[track_caller]
    fn unwrap_result(&self, id: u64, outcome: Result<T, ResultError>) -> Poll<T> {
        match outcome {
            Ok(value) => Poll::Ready(value),
            Err(ResultError::Cancelled(why)) => {
                // The step may be one of another loop: what is done can be awaited anywhere.
                if !current::get().is_some_and(|running| running.unwind_step(why, id)) {
                    panic!(
                        "future created at {} is cancelled, and no task awaits it that could be unwound: use outcome()",
                        self.created_at()
                    );
                }
                Poll::Pending
            }
            Err(ResultError::Panicked(panic)) => panic.resume(),
            Err(ResultError::Taken) => self.panic_taken(),
            Err(ResultError::NotReady) => unreachable!("it is done"),
        }
    }

    #[track_caller]
    pub(super) fn panic_taken(&self) -> ! {
        panic!(
            "await of a taken result: the future created at {} gave its result away before",
            self.created_at()
        )
    }

    /// The result itself if nobody else could ask for it, a clone otherwise.
    pub(super) fn clone_or_take(&self) -> Result<T, ResultError>
    where
        T: Clone,
    {
        if self.core.base().handles.get() == 1 {
            self.take_result()
        } else {
            self.result()
        }
    }

    /// Has the step that is going on repeated when the future is done; the usual case.
    #[track_caller]
    fn register_first(&self, shared: &Shared<T>, cx: &Context<'_>) {
        let lp = &shared.base.lp;
        if (self.core.task()).is_some_and(|task| lp.step.is_of(task.key())) {
            return self.misuse(lp, cx, Misuse::Itself);
        }
        let Some((task, id)) = lp.step_awaits(|| self.any()) else {
            return self.register_foreign(lp, cx);
        };
        if shared.register(|| Action::Step(Key::new(id), task)).is_ok() {
            self.registration.set(id);
        }
    }

    /// Makes sure that the poll that is going on is repeated when the future is done; the other
    /// cases.
    #[cold]
    #[track_caller]
    fn register(&self, cx: &Context<'_>) {
        let lp = &self.core.base().lp;
        if !lp.step.is_direct(cx.waker()) {
            return self.register_foreign(lp, cx);
        }
        let Some(task) = lp.current_task() else {
            return self.register_foreign(lp, cx);
        };
        let me = self.any();
        if ptr::addr_eq(&*me, &*task) {
            return self.misuse(lp, cx, Misuse::Itself);
        }
        let id = self.registration.get();
        let kept = id != 0
            && self.shared().with_action(
                id,
                |action| matches!(action, Action::Step(_, waiting) if ptr::addr_eq(&**waiting, &*task)),
            ) == Some(true);
        let awaiting = task.clone();
        if !kept {
            self.enlist(lp, |key| Action::Step(key, task));
        }
        let id = self.registration.get();
        awaiting.head().awaits(lp, id, me, !kept);
    }

    /// The same with a waker that is not the running step's own.
    #[cold]
    #[track_caller]
    fn register_foreign(&self, lp: &Rc<LoopState>, cx: &Context<'_>) {
        let running = current::get();
        let task = running.as_ref().and_then(|running| running.current_task());
        if let (Some(running), Some(_)) = (&running, &task)
            && running.id != lp.id
        {
            return self.misuse(running, cx, Misuse::OtherLoop);
        }
        let id = self.registration.get();
        let waker = cx.waker();
        let kept = id != 0
            && self.shared().with_action(id, |action| {
                matches!(action, Action::Wake(_, wait)
                    if wait.waker.will_wake(waker) && same_task(&wait.task, &task))
            }) == Some(true);
        if kept {
            return;
        }
        // Cloning a waker is user code: done before anything is borrowed, and it may have completed
        // the future.
        let waker = waker.clone();
        if !self.shared().is_pending() {
            return waker.wake();
        }
        let awaiting = task.clone();
        let wait = Box::new(ForeignWait { waker, task });
        self.enlist(lp, |key| Action::Wake(key, wait));
        if let Some(task) = awaiting {
            let id = self.registration.get();
            task.head().awaits_wrapped(lp, id, self.any());
        }
    }

    /// Registers, in the place of an earlier registration of this handle if that is still there.
    #[inline]
    fn enlist(&self, lp: &LoopState, action: impl FnOnce(Key) -> Action<T>) {
        let id = self.registration.get();
        if id == 0 {
            self.enlist_new(lp, action);
        } else {
            self.enlist_again(lp, id, action);
        }
    }

    #[inline]
    fn enlist_new(&self, lp: &LoopState, action: impl FnOnce(Key) -> Action<T>) {
        let id = lp.next_registration();
        if self.shared().register(|| action(Key::new(id))).is_ok() {
            self.registration.set(id);
        }
    }

    #[cold]
    fn enlist_again(&self, lp: &LoopState, id: u64, action: impl FnOnce(Key) -> Action<T>) {
        let mut action = Some(action);
        let old = self.shared().with_action(id, |slot| {
            action
                .take()
                .map(|action| mem::replace(slot, action(Key::new(id))))
        });
        if let Some(old) = old.flatten() {
            self.forget(id, old);
        }
        if let Some(action) = action {
            self.enlist_new(lp, action);
        }
    }

    /// Withdraws this handle's await, if there is one.
    #[cold]
    pub(super) fn withdraw(&self) {
        let id = self.registration.replace(0);
        if let Some(action) = self.shared().unregister(id) {
            return self.forget(id, action);
        }
        // It is done meanwhile; the step that is going on may have polled it before it was.
        let lp = &self.core.base().lp;
        if let Some(task) = lp.current_task() {
            drop(task.head().forget(lp, id));
        }
    }

    /// Makes the task of a registration that is no more forget that it awaits this.
    fn forget(&self, id: u64, action: Action<T>) {
        match &action {
            Action::Step(_, task) => drop(task.head().forget(&self.core.base().lp, id)),
            Action::Wake(_, wait) => {
                if let Some(task) = &wait.task {
                    drop(task.head().forget_wrapped(&self.core.base().lp, id));
                }
            }
            Action::Call(..) | Action::Tell(..) => {}
        }
        // The action is dropped here, with nothing borrowed: it may hold a waker.
    }

    /// Reports a misuse where asyncio does: inside the awaiting task, one turn later.
    #[track_caller]
    fn misuse(&self, running: &Rc<LoopState>, cx: &Context<'_>, misuse: Misuse) {
        if self.registration.get() != MISUSED {
            self.withdraw();
            self.registration.set(MISUSED);
            cx.waker().wake_by_ref();
            return;
        }
        let site = self.created_at();
        match misuse {
            Misuse::Itself => {
                let task = running.current_task();
                let name = task.map(|task| task.head().name());
                panic!(
                    "task '{}' (created at {site}) awaits itself",
                    name.unwrap_or_default()
                )
            }
            Misuse::OtherLoop => panic!(
                "future created at {site} belongs to another event loop (created at {}) than the task that awaits it",
                self.core.base().lp.site
            ),
        }
    }
}

fn same_task(a: &Option<TaskRef>, b: &Option<TaskRef>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => same(&**a, &**b),
        (None, None) => true,
        _ => false,
    }
}

impl<T: Clone + 'static> std::future::Future for Future<T> {
    type Output = T;

    #[inline]
    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if self.core.base().handles.get() == 1 {
            // Nobody else could ask for it.
            return self.poll_moving(cx);
        }
        let id = ready!(self.poll_over(cx));
        self.unwrap_result(id, self.result())
    }
}

impl<T: Clone + 'static> FusedFuture for Future<T> {
    fn is_terminated(&self) -> bool {
        self.shared().state() == State::Taken
    }
}

impl<T: Clone + 'static> IntoFuture for &Future<T> {
    type Output = T;
    type IntoFuture = Future<T>;

    fn into_future(self) -> Future<T> {
        self.clone()
    }
}
