//! One who waits in a line.
//!
//! | a waiter is | it holds | it becomes that by |
//! | --- | --- | --- |
//! | pending | who is to poll it again, once it has been polled | the line, which makes it or uses it again |
//! | woken | nothing | [`Waiter::wake`] |
//! | cancelled | why | its task's being asked to stop |
//!
//! To the task that awaits it, to snapshots and to cancellation it is a future like any other. But it
//! has one handle, no result, and nobody adds callbacks to it, so it is much less: who is to poll it again
//! is the task whose step did, as a rule. The rest is in a part that few waiters have.

use std::any::Any;
use std::cell::Cell;
use std::mem;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use super::passing::Loan;
use crate::cancellation::CancelledError;
use crate::event_loop::{LoopState, current};
use crate::futures::purpose::{InLine, Nature, Purpose};
use crate::futures::{AnyFuture, AnyRef, AwaitDone, Base, ListenerRef, State, flat_drop};
use crate::tasks::TaskRef;

/// In the place of a registration: the next poll reports a misuse. No registration has this id.
const MISUSED: u64 = u64::MAX;

pub(super) struct Waiter {
    base: Base,
    purpose: InLine,
    /// How many had joined the line before.
    joined: u64,
    /// Its place in the line, or in front of the line.
    place: Cell<u64>,
    state: Cell<State>,
    /// The registration of its await, until that is over; 0 if there is none, or `MISUSED`.
    registration: Cell<u64>,
    /// While it is pending: the task to be stepped when it is not.
    task: Cell<Option<TaskRef>>,
    /// What few waiters have.
    rare: Cell<Option<Box<Rare>>>,
}

#[derive(Default)]
struct Rare {
    /// In place of a task.
    foreign: Option<ForeignWait>,
    /// Told behind the task or the waker.
    listener: Option<(u64, ListenerRef)>,
    /// Why it is cancelled.
    why: Option<CancelledError>,
    /// See `Passing::lend`.
    loan: Option<Rc<Loan>>,
}

/// An await through a waker that wraps ours or is another executor's.
struct ForeignWait {
    waker: Waker,
    /// The task in which it happens, if it is one of this loop: it counts this as an await.
    task: Option<TaskRef>,
}

impl Waiter {
    /// One that joins behind `joined` others.
    pub(super) fn new(
        lp: &Rc<LoopState>,
        purpose: InLine,
        site: &'static Location<'static>,
        joined: u64,
    ) -> Self {
        Self {
            // It always has its one handle.
            base: Base::new(lp.clone(), site, 1),
            purpose,
            joined,
            place: Cell::new(joined),
            state: Cell::new(State::Pending),
            registration: Cell::new(0),
            task: Cell::new(None),
            rare: Cell::new(None),
        }
    }

    /// Makes one whose await is over as new.
    #[inline]
    pub(super) fn renew(&mut self, site: &'static Location<'static>, joined: u64) {
        debug_assert!(self.task.get_mut().is_none() && self.rare.get_mut().is_none());
        self.base.site = site;
        self.joined = joined;
        self.place.set(joined);
        self.state.set(State::Pending);
    }

    #[inline]
    pub(super) fn lp(&self) -> &Rc<LoopState> {
        &self.base.lp
    }

    #[inline]
    pub(super) fn joined(&self) -> u64 {
        self.joined
    }

    #[inline]
    pub(super) fn place(&self) -> u64 {
        self.place.get()
    }

    pub(super) fn set_place(&self, place: u64) {
        self.place.set(place);
    }

    #[inline]
    pub(super) fn is_pending(&self) -> bool {
        self.state.get() == State::Pending
    }

    #[inline]
    pub(super) fn is_woken(&self) -> bool {
        self.state.get() == State::Ready
    }

    #[inline]
    pub(super) fn is_cancelled(&self) -> bool {
        self.state.get() == State::Cancelled
    }

    /// Its turn has come. It is pending.
    #[inline(always)]
    pub(super) fn wake(&self) {
        self.finish(State::Ready);
    }

    /// Leaves `Pending`, and has what awaits it polled again.
    #[inline(always)]
    fn finish(&self, state: State) {
        self.state.set(state);
        if let Some(task) = self.task.take()
            && let Some(task) = self.lp().schedule_step(task)
        {
            // What is over or queued already may go here, and take its result with it.
            self.lp().drop_user(task);
        }
        if let Some(rare) = self.rare.take() {
            self.finish_rare(rare);
        }
    }

    #[cold]
    fn finish_rare(&self, mut rare: Box<Rare>) {
        let (foreign, listener) = (rare.foreign.take(), rare.listener.take());
        self.rare.set(Some(rare));
        let Base { lp, site, .. } = &self.base;
        if let Some(ForeignWait { waker, task }) = foreign {
            if let Some(task) = task {
                drop(task.head().forget_wrapped(lp, self.registration.get()));
                lp.drop_user(task);
            }
            lp.guard("waker", site, || waker.wake());
        }
        if let Some((id, listener)) = listener
            && lp.accepts()
            && listener.told(id, self, self.state())
        {
            lp.push(listener);
        }
    }

    /// Uses what few waiters have. `use_it` calls no user code.
    fn rare<R>(&self, use_it: impl FnOnce(&mut Rare) -> R) -> R {
        let mut rare = self.rare.take().unwrap_or_default();
        let result = use_it(&mut rare);
        self.rare.set(Some(rare));
        result
    }

    /// The same if it has any of it.
    fn rare_if_any<R>(&self, use_it: impl FnOnce(&mut Rare) -> R) -> Option<R> {
        let mut rare = self.rare.take()?;
        let result = use_it(&mut rare);
        self.rare.set(Some(rare));
        Some(result)
    }

    fn take_foreign(&self) -> Option<ForeignWait> {
        self.rare_if_any(|rare| rare.foreign.take()).flatten()
    }

    // ---- the await

    /// It was woken, and its await is over.
    #[inline]
    pub(super) fn get_through(&self) {
        // The task went with the state.
        self.registration.set(0);
        if let Some(rare) = self.rare.take() {
            flat_drop(rare);
        }
    }

    /// It is cancelled: has the task unwind that awaits it.
    #[cold]
    pub(super) fn raise(&self) {
        let id = self.registration.replace(0);
        let why = self.rare_if_any(|rare| rare.why.clone()).flatten();
        let why = why.expect("it is cancelled for a reason");
        if !current::get().is_some_and(|running| running.unwind_step(why, id)) {
            panic!(
                "future created at {} is cancelled, and no task awaits it that could be unwound: use outcome()",
                self.base.site
            );
        }
    }

    /// Makes sure that the poll that is going on, the first one, is repeated when it is not pending any
    /// more.
    #[inline(always)]
    pub(super) fn register_first(self: &Rc<Self>, cx: &Context<'_>) {
        let lp = self.lp();
        if lp.step.is_direct(cx.waker())
            && let Some((task, id)) = lp.step_awaits(|| self.any())
        {
            self.registration.set(id);
            // There was none: nothing is to be dropped, and the compiler need not look for it.
            mem::forget(self.task.replace(Some(task)));
        } else {
            self.register_foreign(cx);
        }
    }

    /// The same for any poll.
    #[inline(never)]
    pub(super) fn register(self: &Rc<Self>, cx: &Context<'_>) {
        match self.registration.get() {
            0 => self.register_first(cx),
            _ => self.register_again(cx),
        }
    }

    /// The same for a poll that is not the first.
    #[cold]
    fn register_again(self: &Rc<Self>, cx: &Context<'_>) {
        let lp = self.lp();
        let task = lp.current_task();
        let Some(task) = task.filter(|_| lp.step.is_direct(cx.waker())) else {
            return self.register_foreign(cx);
        };
        let old = self.task.replace(Some(task.clone()));
        let kept = same_task(&old, Some(&task));
        let id = self.registration();
        if !kept {
            self.forget(id, old, self.take_foreign());
        }
        task.head().awaits(lp, id, self.any(), !kept);
    }

    /// The same with a waker that is not the running step's own.
    #[cold]
    fn register_foreign(self: &Rc<Self>, cx: &Context<'_>) {
        let (lp, waker) = (self.lp(), cx.waker());
        let running = current::get();
        let task = running.as_ref().and_then(|running| running.current_task());
        if let (Some(running), Some(_)) = (&running, &task)
            && running.id != lp.id
        {
            return self.misuse(cx);
        }
        let kept = self.rare_if_any(|rare| {
            let foreign = rare.foreign.as_ref();
            foreign
                .is_some_and(|it| it.waker.will_wake(waker) && same_task(&it.task, task.as_ref()))
        });
        if kept == Some(true) {
            return;
        }
        // Cloning a waker is user code: done before anything else, and it may have woken this.
        let waker = waker.clone();
        if !self.is_pending() {
            return waker.wake();
        }
        let id = self.registration();
        let new = ForeignWait {
            waker,
            task: task.clone(),
        };
        let old = self.task.take();
        let foreign = self.rare(|rare| rare.foreign.replace(new));
        self.forget(id, old, foreign);
        if let Some(task) = task {
            task.head().awaits_wrapped(lp, id, self.any());
        }
    }

    /// The id of its registration, which has one from now on.
    fn registration(&self) -> u64 {
        if matches!(self.registration.get(), 0 | MISUSED) {
            self.registration.set(self.lp().next_registration());
        }
        self.registration.get()
    }

    /// Its only handle goes: withdraws the await, if there is one.
    pub(super) fn let_go(&self) {
        self.withdraw();
        // A loan goes with it, and what nobody will tell any more.
        if let Some(rare) = self.rare.take() {
            flat_drop(rare);
        }
    }

    fn withdraw(&self) {
        let id = self.registration.replace(0);
        if id == 0 {
            return;
        }
        let (task, foreign) = (self.task.take(), self.take_foreign());
        if task.is_some() || foreign.is_some() {
            return self.forget(id, task, foreign);
        }
        // It is not pending any more; the step that is going on may have polled it before.
        if let Some(task) = self.lp().current_task() {
            drop(task.head().forget(self.lp(), id));
        }
    }

    /// Makes the task of a registration that is no more forget that it awaits this.
    #[cold]
    fn forget(&self, id: u64, task: Option<TaskRef>, foreign: Option<ForeignWait>) {
        if let Some(task) = &task {
            drop(task.head().forget(self.lp(), id));
        }
        if let Some(task) = foreign.as_ref().and_then(|foreign| foreign.task.as_ref()) {
            drop(task.head().forget_wrapped(self.lp(), id));
        }
        // The waker is dropped here, with nothing borrowed.
    }

    /// Reports, as awaiting a future does, that the task belongs to another loop: inside the task, one
    /// turn later.
    fn misuse(&self, cx: &Context<'_>) {
        let Base { lp, site, .. } = &self.base;
        assert!(
            self.registration.get() != MISUSED,
            "future created at {site} belongs to another event loop (created at {}) than the task that awaits it",
            lp.site
        );
        self.withdraw();
        self.registration.set(MISUSED);
        cx.waker().wake_by_ref();
    }

    // ---- the loan

    /// What it knows of its lender; `make` makes that, and has it told when this is woken.
    pub(super) fn loan(&self, make: impl FnOnce(Rc<Loan>) -> ListenerRef) -> Rc<Loan> {
        if let Some(Some(loan)) = self.rare_if_any(|rare| rare.loan.clone()) {
            return loan;
        }
        let loan = Rc::<Loan>::default();
        self.listen(self.lp().next_registration(), make(loan.clone()));
        self.rare(|rare| rare.loan = Some(loan.clone()));
        loan
    }

    /// Whether its turn was passed on, though it still stands in the line.
    pub(super) fn is_passed_on(&self) -> bool {
        let loan = self.rare_if_any(|rare| rare.loan.clone()).flatten();
        loan.is_some_and(|loan| loan.is_passed_on())
    }

    #[inline]
    fn any(self: &Rc<Self>) -> AnyRef {
        let pinned: Pin<Rc<Self>> = Pin::new(self.clone());
        pinned
    }
}

fn same_task(a: &Option<TaskRef>, b: Option<&TaskRef>) -> bool {
    let id = |task: &TaskRef| task.head().id();
    a.as_ref().map(id) == b.map(id)
}

impl AnyFuture for Waiter {
    fn base(&self) -> &Base {
        &self.base
    }

    fn state(&self) -> State {
        self.state.get()
    }

    fn cancel(self: Pin<Rc<Self>>, why: CancelledError) -> bool {
        if self.accepts_cancel() {
            self.rare(|rare| rare.why = Some(why));
            self.finish(State::Cancelled);
            return true;
        }
        false
    }

    fn accepts_cancel(&self) -> bool {
        // What is asked beside it may have had its await dropped, and nothing may be left in it then.
        self.is_pending() && self.registration.get() != 0
    }

    fn nature(&self) -> Nature {
        self.purpose.nature()
    }

    /// It has room for one.
    fn listen(&self, id: u64, listener: ListenerRef) {
        let old = self.rare(|rare| rare.listener.replace((id, listener)));
        debug_assert!(old.is_none(), "only its lender listens");
    }

    fn listeners(&self) -> (usize, Vec<AnyRef>) {
        let listens = self.rare_if_any(|rare| rare.listener.is_some());
        (usize::from(listens == Some(true)), Vec::new())
    }

    fn remove_callback(&self, _id: u64) -> bool {
        false
    }

    // Its handle is not a `Future`, and nobody is given another.

    fn notify(
        self: Pin<Rc<Self>>,
        _site: &'static Location<'static>,
        _callback: Box<dyn FnOnce(AnyRef)>,
    ) -> u64 {
        unreachable!("nobody has a handle to add callbacks to it")
    }

    fn downcast(self: Pin<Rc<Self>>, _slot: &mut dyn Any) {}

    fn awaiter(self: Pin<Rc<Self>>) -> Box<dyn AwaitDone> {
        unreachable!("nobody has a handle to await it by")
    }
}
