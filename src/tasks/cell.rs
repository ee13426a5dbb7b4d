//! A task as it lies in memory: one allocation for state, coroutine and result.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use pin_cell::{PinCell, PinMut};
use pin_project_lite::pin_project;

use super::TaskHandle;
use super::head::{DONE, MUST, OFFERED, PROBE, QUEUED, RUNNING, STARTED, TaskHead};
use super::step::Step;
use crate::cancellation::CancelledError;
use crate::errors::PanicError;
use crate::event_loop::{ExceptionContext, LoopState};
use crate::futures::{AnyFuture, AnyRef, Base, FutureCore, FutureRef, Inner, Shared, State};

/// What a task runs: a coroutine of its own, or one that lies on the stack of `run`.
pub(crate) trait Body {
    type Output: 'static;

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        main: &mut dyn MainCoroutine,
    ) -> Poll<Self::Output>;

    /// The task is about to drop this body.
    fn before_drop(&self, _main: &mut dyn MainCoroutine) {}
}

impl<F: Future<Output: 'static>> Body for F {
    type Output = F::Output;

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _main: &mut dyn MainCoroutine,
    ) -> Poll<F::Output> {
        Future::poll(self, cx)
    }
}

/// The coroutine that a run was started with, on the stack of the run.
pub(crate) trait MainCoroutine {
    /// Polls it, and keeps its result when it has one.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    /// Drops it.
    fn drop_now(&mut self);
}

/// For runs that have no coroutine on their stack.
pub(crate) struct NoMain;

impl MainCoroutine for NoMain {
    fn poll(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        unreachable!("the task of a run is over when the run is")
    }

    fn drop_now(&mut self) {}
}

/// The body of the task of such a run.
pub(crate) struct MainProxy;

impl Body for MainProxy {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, main: &mut dyn MainCoroutine) -> Poll<()> {
        main.poll(cx)
    }

    fn before_drop(&self, main: &mut dyn MainCoroutine) {
        main.drop_now();
    }
}

/// How a task looks at its result.
pub(crate) trait Kind<T> {
    /// Whether the coroutine failed.
    fn failed(result: &T) -> bool;
    /// Describes the failure that nobody looked at.
    fn unobserved(result: T) -> Option<ExceptionContext>;
}

/// A task of `create_task`, which looks into no result.
pub(crate) struct Plain;

impl<T> Kind<T> for Plain {
    fn failed(_: &T) -> bool {
        false
    }

    fn unobserved(_: T) -> Option<ExceptionContext> {
        None
    }
}

/// A task of `create_try_task`.
pub(crate) struct Try;

impl<U, E: fmt::Debug + 'static> Kind<Result<U, E>> for Try {
    fn failed(result: &Result<U, E>) -> bool {
        result.is_err()
    }

    fn unobserved(result: Result<U, E>) -> Option<ExceptionContext> {
        let error = result.err()?;
        Some(ExceptionContext::new("task error was never retrieved").with_error(error))
    }
}

pin_project! {
    pub(crate) struct TaskCell<B: Body, K: Kind<B::Output>> {
        shared: Shared<B::Output>,
        head: TaskHead,
        // Borrowed while the coroutine runs; only the step and `abandon` borrow it, and the flags
        // keep them apart.
        #[pin]
        body: PinCell<Option<B>>,
        kind: PhantomData<K>,
    }

    impl<B: Body, K: Kind<B::Output>> PinnedDrop for TaskCell<B, K> {
        fn drop(this: Pin<&mut Self>) {
            this.as_ref().get_ref().report_unobserved();
        }
    }
}

impl<B, K> TaskCell<B, K>
where
    B: Body + 'static,
    K: Kind<B::Output> + 'static,
{
    /// Makes a task, lets the loop own it, and queues its first step.
    pub(crate) fn spawn(
        lp: &Rc<LoopState>,
        body: B,
        name: Option<Rc<str>>,
        site: &'static Location<'static>,
    ) -> Pin<Rc<Self>> {
        let task = Rc::pin(Self {
            shared: Shared::new(lp.clone(), site),
            head: TaskHead::new(name),
            body: PinCell::new(Some(body)),
            kind: PhantomData,
        });
        let any: AnyRef = task.clone();
        lp.own(any.clone(), &task.head);
        lp.schedule_step(any);
        task
    }

    /// Drops the coroutine, as the task that it is.
    fn drop_body(self: Pin<&Self>, main: &mut dyn MainCoroutine) {
        let lp = &self.shared.base.lp;
        let site = self.shared.base.site;
        lp.guard("drop of a coroutine", site, || {
            let mut body = self.project_ref().body.borrow_mut();
            if let Some(body) = &*body {
                body.before_drop(main);
            }
            PinMut::as_mut(&mut body).set(None);
        });
    }

    /// Drops the coroutine where it is suspended, and ends cancelled.
    pub(crate) fn unwind(self: Pin<Rc<Self>>, why: CancelledError, main: &mut dyn MainCoroutine) {
        let lp = &self.shared.base.lp;
        self.head.set(RUNNING);
        let step = Step::enter(lp, self.clone(), &self.head);
        self.as_ref().drop_body(main);
        drop(step);
        self.clone().finish(Inner::Cancelled(why));
    }

    /// The task is over: the loop lets go of it, and whoever waits for it hears of it.
    fn finish(self: Pin<Rc<Self>>, outcome: Inner<B::Output>) {
        let head = &self.head;
        head.clear(RUNNING | OFFERED);
        head.set(DONE);
        let waker = head.take_waker();
        drop(waker);
        let lp = self.shared.base.lp.clone();
        let owned = lp.disown(head);
        let me: FutureRef<B::Output> = self.clone();
        let refused = self.shared.finish(&me, outcome);
        debug_assert!(refused.is_ok(), "a task is finished once");
        drop(owned);
    }

    fn poll_body(
        self: Pin<&Self>,
        step: &Step<'_>,
        main: &mut dyn MainCoroutine,
    ) -> Result<Poll<B::Output>, Box<dyn Any + Send>> {
        catch_unwind(AssertUnwindSafe(|| {
            let mut body = self.project_ref().body.borrow_mut();
            let body = PinMut::as_mut(&mut body).as_pin_mut();
            let body = body.expect("a task that is not done has a coroutine");
            body.poll(&mut Context::from_waker(step.waker()), main)
        }))
    }

    /// Ends a task whose coroutine has been dropped.
    fn panicked(&self, payload: Box<dyn Any + Send>) -> Inner<B::Output> {
        let what = format!("task '{}'", self.head.name());
        Inner::Panicked(PanicError::new(payload, what, self.shared.base.site))
    }

    /// The coroutine has returned. A cancellation that it has not met yet wins over its result, but
    /// not over its error.
    fn returned(self: Pin<Rc<Self>>, result: B::Output) {
        let outcome = match self.head.take_must() {
            Some(why) if !K::failed(&result) => {
                self.shared.base.lp.drop_user(result);
                Inner::Cancelled(why)
            }
            _ => Inner::Ready(result),
        };
        self.finish(outcome);
    }

    /// The coroutine is suspended. A cancellation of itself takes effect now.
    fn suspended(self: Pin<Rc<Self>>, yielded: bool) {
        let head = &self.head;
        head.clear(RUNNING | OFFERED);
        if yielded {
            self.shared.base.lp.schedule_step(self.clone());
        }
        if let Some(why) = head.must() {
            self.deliver(why);
        }
    }

    /// Passes a cancellation on to what the task awaits, or has its next step raise it.
    fn deliver(self: Pin<Rc<Self>>, why: CancelledError) {
        let head = &self.head;
        let lp = &self.shared.base.lp;
        if head.is_unsettled() && !head.has(QUEUED) {
            head.set_must(why);
            head.set(PROBE);
        } else if self.offer(&why) {
            drop(head.take_must());
            return;
        } else {
            head.set_must(why);
        }
        lp.schedule_step(self.clone());
    }

    fn offer(&self, why: &CancelledError) -> bool {
        let awaited = self.head.awaited();
        let taken = !awaited.is_empty() && self.shared.base.lp.offer(awaited, why);
        if taken {
            self.head.set(OFFERED);
        }
        taken
    }
}

impl<B: Body, K: Kind<B::Output>> TaskCell<B, K> {
    /// Reports a panic or an error that nobody has looked at; the last handle is gone.
    fn report_unobserved(&self) {
        let base = &self.shared.base;
        if base.observed.get() {
            return;
        }
        let context = match self.shared.state() {
            State::Panicked => self.shared.with_result(|outcome| match outcome {
                Err(crate::ResultError::Panicked(panic)) => Some(
                    ExceptionContext::new("task panic was never retrieved")
                        .with_panic(panic.clone()),
                ),
                _ => None,
            }),
            State::Ready => self.shared.take_result().ok().and_then(K::unobserved),
            _ => None,
        };
        if let Some(context) = context {
            base.lp.report(&context.with_site(base.site));
        }
    }
}

impl<B, K> AnyFuture for TaskCell<B, K>
where
    B: Body + 'static,
    K: Kind<B::Output> + 'static,
{
    fn base(&self) -> &Base {
        &self.shared.base
    }

    fn state(&self) -> State {
        self.shared.state()
    }

    fn cancel(self: Pin<Rc<Self>>, why: CancelledError) -> bool {
        let head = &self.head;
        if head.has(DONE) {
            self.shared.base.observed.set(true);
            return false;
        }
        head.count_request();
        if head.has(RUNNING) || !head.has(STARTED) {
            // The end of the step, or the first step, sees to it.
            head.set_must(why);
        } else {
            self.deliver(why);
        }
        true
    }

    fn accepts_cancel(&self) -> bool {
        !self.head.has(DONE)
    }

    fn notify(self: Pin<Rc<Self>>, callback: Box<dyn FnOnce()>) -> u64 {
        let me: FutureRef<B::Output> = self.clone();
        self.shared.add_done_callback(&me, |_| callback()).0
    }

    fn remove_callback(&self, id: u64) -> bool {
        self.shared.unregister(id).is_some()
    }

    fn task(&self) -> Option<&TaskHead> {
        Some(&self.head)
    }

    fn step(self: Pin<Rc<Self>>, main: &mut dyn MainCoroutine) {
        let head = &self.head;
        head.clear(QUEUED);
        if head.has(DONE) {
            return;
        }
        let lp = &self.shared.base.lp;
        if head.has(MUST)
            && !head.take(PROBE)
            && let Some(why) = head.take_must()
        {
            // Nobody down the line took the cancellation: it is raised here.
            return self.clone().unwind(why, main);
        }
        let step = Step::enter(lp, self.clone(), head);
        head.begin_step();
        let polled = self.as_ref().poll_body(&step, main);
        let unwinding = step.take_unwinding();
        if let (Ok(Poll::Pending), None) = (&polled, &unwinding) {
            let yielded = step.yielded();
            drop(step);
            return self.clone().suspended(yielded);
        }
        self.as_ref().drop_body(main);
        drop(step);
        match (polled, unwinding) {
            (Err(payload), _) => {
                let outcome = self.panicked(payload);
                self.clone().finish(outcome);
            }
            // The raise beats a result that came in the same poll.
            (Ok(polled), Some(why)) => {
                lp.drop_user(polled);
                self.clone().finish(Inner::Cancelled(why));
            }
            (Ok(Poll::Ready(result)), None) => self.clone().returned(result),
            (Ok(Poll::Pending), None) => unreachable!("handled above"),
        }
    }

    fn abandon(self: Pin<Rc<Self>>) {
        let head = &self.head;
        if head.has(RUNNING | DONE) {
            return;
        }
        head.set(DONE);
        self.as_ref().drop_body(&mut NoMain);
        let lp = &self.shared.base.lp;
        let owned = lp.disown(head);
        lp.report_abandoned(TaskHandle::new(self.clone()));
        drop(owned);
    }
}

impl<B, K> FutureCore<B::Output> for TaskCell<B, K>
where
    B: Body + 'static,
    K: Kind<B::Output> + 'static,
{
    fn shared(&self) -> &Shared<B::Output> {
        &self.shared
    }
}

impl LoopState {
    /// Takes a task into the loop's keeping.
    fn own(&self, task: AnyRef, head: &TaskHead) {
        let slot = self.tasks.borrow_mut().insert(task);
        let slot = u32::try_from(slot).expect("fewer than 2^32 tasks at a time fit into memory");
        head.slot.set(slot);
    }

    /// Lets go of a task that is over.
    fn disown(&self, head: &TaskHead) -> Option<AnyRef> {
        self.tasks.borrow_mut().try_remove(head.slot.get() as usize)
    }
}
