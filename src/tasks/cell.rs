//! A task as it lies in memory: one allocation for state, coroutine and result.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use pin_cell::{PinCell, PinMut};
use pin_project_lite::pin_project;
use pin_weak::rc::PinWeak;

use super::TaskHandle;
use super::builder::Start;
use super::head::{DONE, MUST, OFFERED, QUEUED, RAISED, RUNNING, TaskHead};
use super::step::{SCOPES, Stepper, UNWINDING, YIELDED};
use crate::cancellation::CancelledError;
use crate::errors::PanicError;
use crate::event_loop::{About, ExceptionContext, Lane, LoopState, Run, pin_in_place};
use crate::futures::purpose::Nature;
use crate::futures::{
    AnyFuture, Base, Failure, FutureCore, FutureRef, Inner, ListenerRef, Shared, State, as_shared,
};
use crate::observe::EntryKind;
use crate::snapshot::AwaitedKind;

pub(crate) type TaskRef = Pin<Rc<dyn AnyTask>>;
/// What a panic carries.
pub(crate) type Payload = Box<dyn Any + Send>;

/// A task whose coroutine and result type are not known here. Running it is one step.
pub(crate) trait AnyTask: AnyFuture + Run {
    fn head(&self) -> &TaskHead;
    /// Ends a task whose step panicked.
    fn step_panicked(self: Pin<Rc<Self>>, payload: Payload, stepper: &mut Stepper<'_>);
    /// Drops the coroutine, because the loop closes.
    fn abandon(self: Pin<Rc<Self>>);
}

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
    /// Makes a task, lets the loop own it, and queues its first step or takes it.
    pub(crate) fn spawn(
        lp: &Rc<LoopState>,
        body: B,
        name: Option<Rc<str>>,
        site: &'static Location<'static>,
        start: Start,
    ) -> Pin<Rc<Self>> {
        let named = name.is_some();
        let task = Self::make(|| Shared::new(lp.clone(), site), name, Some(body));
        // Only a `Drop` that runs while its thread unwinds gets this far on a closed loop.
        if !lp.is_closed() {
            task.enter(lp);
            if named {
                task.head.tell_name(lp);
            }
            match start {
                Start::Eager if lp.runs_here() => lp.step_now(task.clone()),
                _ => lp.push(task.clone()),
            }
        }
        task
    }

    /// The same for a task without a name, whose first step is queued.
    #[inline]
    pub(super) fn spawn_plain(
        lp: &LoopState,
        shared: impl FnOnce() -> Shared<B::Output>,
        body: B,
    ) -> Pin<Rc<Self>> {
        let task = Self::make(shared, None, Some(body));
        if !lp.is_closed() {
            task.enter(lp);
            lp.push(task.clone());
        }
        task
    }

    #[inline(always)]
    fn make(
        shared: impl FnOnce() -> Shared<B::Output>,
        name: Option<Rc<str>>,
        body: Option<B>,
    ) -> Pin<Rc<Self>> {
        pin_in_place(|| Self {
            shared: shared(),
            head: TaskHead::new(name),
            body: PinCell::new(body),
            kind: PhantomData,
        })
    }

    /// Lets the loop own a new task, whose first step is about to be queued or taken.
    #[inline(always)]
    fn enter(self: &Pin<Rc<Self>>, lp: &LoopState) {
        let slot = lp.tasks.borrow_mut().insert(self.clone());
        self.head.slot.set(slot);
        self.head.set(QUEUED);
    }

    /// Makes a task that never runs.
    pub(super) fn born_cancelled(
        lp: Rc<LoopState>,
        name: Option<Rc<str>>,
        site: &'static Location<'static>,
    ) -> Pin<Rc<Self>> {
        let task = Self::make(|| Shared::new(lp, site), name, None);
        task.head.set(DONE);
        let me: FutureRef<B::Output> = task.clone();
        let why = CancelledError::at(None, site);
        task.shared.finish(&me, || Inner::Cancelled(why));
        task
    }

    /// Drops the coroutine, as the task that it is. A panic of its drops comes out.
    #[inline]
    fn drop_body(self: Pin<&Self>, main: &mut dyn MainCoroutine) {
        let mut body = self.project_ref().body.borrow_mut();
        if let Some(body) = &*body {
            body.before_drop(main);
        }
        PinMut::as_mut(&mut body).set(None);
    }

    /// Drops the coroutine where it is suspended, and ends cancelled.
    fn unwind(
        self: Pin<Rc<Self>>,
        lp: &Rc<LoopState>,
        why: CancelledError,
        main: &mut dyn MainCoroutine,
    ) {
        self.head.set(RUNNING);
        lp.step.begin(self.head.key());
        lp.step.note_await_in_scope();
        self.as_ref().drop_body(main);
        lp.step.end();
        self.fail(lp, Inner::Cancelled(why));
    }

    /// Ends the task from outside a turn; its coroutine is dropped and nothing may come out of that.
    pub(crate) fn end_now(
        self: Pin<Rc<Self>>,
        lp: &Rc<LoopState>,
        why: CancelledError,
        main: &mut dyn MainCoroutine,
    ) {
        let site = self.shared.base.site;
        self.head.set(RUNNING);
        lp.step.begin(self.head.key());
        lp.step.note_await_in_scope();
        let dropped = catch_unwind(AssertUnwindSafe(|| self.as_ref().drop_body(main)));
        lp.step.end();
        if let Err(payload) = dropped {
            lp.guard("drop of a coroutine", site, || resume_unwind(payload));
        }
        self.fail(lp, Inner::Cancelled(why));
    }

    /// The task is over: the loop lets go of it, and whoever waits for it hears of it.
    #[inline(always)]
    fn finish(self: Pin<Rc<Self>>, lp: &Rc<LoopState>, outcome: impl FnOnce() -> Inner<B::Output>) {
        let awaited = self.head.end(lp);
        let owned = lp.tasks.borrow_mut().remove(self.head.slot.get());
        lp.tell_task_over(self.head.id());
        if let Err(outcome) = self.shared.finish_at_most_told(&*self, outcome) {
            let me: FutureRef<B::Output> = self.clone();
            self.shared.finish(&me, outcome);
        }
        drop(owned);
        // What it awaited may go here; it itself goes with `self`.
        drop(awaited);
    }

    /// [`finish`](Self::finish) without a result.
    #[cold]
    fn fail(self: Pin<Rc<Self>>, lp: &Rc<LoopState>, outcome: Inner<B::Output>) {
        self.finish(lp, || outcome);
    }

    #[inline]
    fn poll_body(self: Pin<&Self>, waker: &Waker, main: &mut dyn MainCoroutine) -> Poll<B::Output> {
        let mut body = self.project_ref().body.borrow_mut();
        let body = PinMut::as_mut(&mut body).as_pin_mut();
        let body = body.expect("a task that is not done has a coroutine");
        body.poll(&mut Context::from_waker(waker), main)
    }

    /// The coroutine has returned. A cancellation that it has not met yet wins over its result, but
    /// not over its error.
    #[inline]
    fn returned(self: Pin<Rc<Self>>, lp: &Rc<LoopState>, result: B::Output) {
        match self.head.take_must(lp) {
            Some(why) if !K::failed(&result) => {
                lp.drop_user(result);
                self.fail(lp, Inner::Cancelled(why));
            }
            _ => self.finish(lp, || Inner::Ready(result)),
        }
    }

    /// The coroutine is suspended. A cancellation of itself takes effect now.
    #[inline]
    fn suspended(self: Pin<Rc<Self>>, lp: &LoopState, yielded: bool) {
        let head = &self.head;
        if head.has(MUST | RAISED | OFFERED) {
            let task: TaskRef = self.clone();
            if yielded {
                drop(lp.schedule_step(task.clone()));
            }
            return lp.deliver_after_step(&task);
        }
        if yielded && !head.has(QUEUED) {
            head.set(QUEUED);
            lp.push(self);
        }
    }
}

impl<B: Body, K: Kind<B::Output>> TaskCell<B, K> {
    /// Reports a panic or an error that nobody has looked at; the last handle is gone.
    #[inline]
    fn report_unobserved(&self) {
        if !self.shared.base.observed.get() {
            self.report_failure();
        }
    }

    #[inline(never)]
    fn report_failure(&self) {
        if let Some(context) = self.shared.unobserved("task", K::unobserved) {
            let context = context.with_task_name(self.head.name());
            self.shared.base.lp.report(&context);
        }
    }
}

impl<B, K> AnyFuture for TaskCell<B, K>
where
    B: Body + 'static,
    K: Kind<B::Output> + 'static,
{
    as_shared!(B::Output);

    fn cancel(self: Pin<Rc<Self>>, why: CancelledError) -> bool {
        let head = &self.head;
        if head.has(DONE) {
            self.shared.base.observed.set(true);
            return false;
        }
        let task: TaskRef = self.clone();
        self.shared.base.lp.request(&task, None, why);
        true
    }

    fn accepts_cancel(&self) -> bool {
        !self.head.has(DONE)
    }

    fn nature(&self) -> Nature {
        Nature::of(AwaitedKind::Task)
    }

    fn task(&self) -> Option<&TaskHead> {
        Some(&self.head)
    }

    fn into_task(self: Pin<Rc<Self>>) -> Option<TaskRef> {
        Some(self)
    }
}

impl<B, K> Run for TaskCell<B, K>
where
    B: Body + 'static,
    K: Kind<B::Output> + 'static,
{
    fn run(self: Pin<Rc<Self>>, lp: &Rc<LoopState>, stepper: &mut Stepper<'_>) {
        let head = &self.head;
        if head.has(MUST | DONE) {
            if head.has(DONE) {
                return head.clear(QUEUED);
            }
            let task: TaskRef = self.clone();
            if let Some(why) = lp.raise_before_step(&task) {
                return self.unwind(lp, why, stepper.main);
            }
        }
        lp.callback_site.set(Some(self.shared.base.site));
        head.begin_step(lp);
        let key = head.key();
        lp.step.begin(key);
        let (waker, main) = stepper.prepare(head, key);
        let polled = self.as_ref().poll_body(waker, main);
        stepper.polled(head);
        let notes = lp.step.notes();
        if polled.is_pending() && notes & UNWINDING == 0 {
            lp.step.end();
            head.end_step(notes & SCOPES != 0);
            return self.suspended(lp, notes & YIELDED != 0);
        }
        // Caught here, for the result may panic in its drop as well, and both at once would abort.
        let dropped = catch_unwind(AssertUnwindSafe(|| self.as_ref().drop_body(stepper.main)));
        if let Err(payload) = dropped {
            lp.drop_user(polled);
            return self.step_panicked(payload, stepper);
        }
        match (polled, lp.step.end()) {
            // The raise beats a result that came in the same poll.
            (polled, Some(why)) => {
                lp.drop_user(polled);
                self.fail(lp, Inner::Cancelled(why));
            }
            (Poll::Ready(result), None) => self.returned(lp, result),
            (Poll::Pending, None) => unreachable!("it goes on, or there is a reason"),
        }
    }

    fn lane(&self) -> Lane {
        Lane::Task(self.head.key())
    }

    fn about(&self) -> About {
        About {
            task: Some(self.head.mark()),
            ..About::at(EntryKind::Step, self.shared.base.site)
        }
    }
}

impl<B, K> AnyTask for TaskCell<B, K>
where
    B: Body + 'static,
    K: Kind<B::Output> + 'static,
{
    fn head(&self) -> &TaskHead {
        &self.head
    }

    fn step_panicked(self: Pin<Rc<Self>>, payload: Payload, stepper: &mut Stepper<'_>) {
        let lp = self.shared.base.lp.clone();
        let site = self.shared.base.site;
        stepper.polled(&self.head);
        lp.guard("drop of a coroutine", site, || {
            self.as_ref().drop_body(stepper.main);
        });
        lp.step.end();
        let what = format!("task '{}'", self.head.name());
        let panic = PanicError::new(payload, what, site);
        self.fail(&lp, Inner::Panicked(panic));
    }

    fn abandon(self: Pin<Rc<Self>>) {
        if self.head.has(RUNNING | DONE) {
            return;
        }
        let Base { lp, site, .. } = &self.shared.base;
        self.head.set(RUNNING | DONE);
        lp.guard("drop of a coroutine", site, || {
            self.as_ref().drop_body(&mut NoMain);
        });
        let awaited = self.head.end(lp);
        // Nobody will ever call them, and they may hold this task. One by one: any may panic.
        for action in self.shared.take_callbacks().into_actions() {
            lp.drop_user(action);
        }
        let owned = lp.tasks.borrow_mut().remove(self.head.slot.get());
        lp.report_abandoned(TaskHandle::new(self.clone()));
        drop((owned, awaited));
    }
}

impl<B, K> FutureCore<B::Output> for TaskCell<B, K>
where
    B: Body + 'static,
    K: Kind<B::Output> + 'static,
{
    fn begin_again(self: Pin<Rc<Self>>, coroutine: &mut dyn Any, id: u64, listener: &ListenerRef) {
        let Some(coroutine) = coroutine.downcast_mut::<Option<B>>() else {
            return;
        };
        // `self` is one, and the caller has another.
        if PinWeak::downgrade(self.clone()).strong_count() != 2
            || self.shared.state() != State::Taken
            || !self.head.begin_again()
        {
            return;
        }
        self.shared.tell_again(id, listener.clone());
        let mut body = self.as_ref().project_ref().body.borrow_mut();
        PinMut::as_mut(&mut body).set(coroutine.take());
        drop(body);
        let lp = &self.shared.base.lp;
        self.enter(lp);
        lp.push(self.clone());
    }

    fn shared(&self) -> &Shared<B::Output> {
        &self.shared
    }

    fn failure(&self) -> Failure<B::Output> {
        K::unobserved
    }
}
