//! The step that is going on in a loop, as those who are polled in it see it.

use std::cell::{Cell, RefCell};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;
use std::task::Waker;

use super::head::{DONE, FRESH, OWN_WAKER, QUEUED};
use super::waker::StepWaker;
use super::{MainCoroutine, NoMain, TaskHead, TaskRef};
use crate::cancellation::{CancelledError, ScopeId};
use crate::event_loop::LoopState;
use crate::futures::AnyRef;

/// Part of a [`LoopState`].
pub(crate) struct StepState {
    /// The key of the task that steps; `NOBODY` between steps.
    task: Cell<u64>,
    /// What the step has come to so far.
    notes: Cell<Notes>,
    /// What `Waker::data` of the step's own waker gives.
    waker: Cell<*const ()>,
    /// Why the step unwinds, if it does.
    why: RefCell<Option<CancelledError>>,
    /// The innermost scope that is being polled.
    scope: Cell<ScopeId>,
    /// A waker nobody has a clone of, while no stepper has it.
    spare: Cell<Option<StepWaker>>,
}

/// In the place of a task's key. The id in it would be one that no task ever gets.
const NOBODY: u64 = u64::MAX;

pub(super) type Notes = u8;
/// The task yielded: another step is to be queued when this one is over.
pub(super) const YIELDED: Notes = 1;
/// Something awaited was cancelled: what runs in the innermost scope that is being polled, or the
/// coroutine, is going to be dropped. Until then nothing of ours that it polls has any effect.
pub(super) const UNWINDING: Notes = 1 << 1;
/// Scopes were found pending, with the task's own waker.
pub(super) const SCOPES: Notes = 1 << 2;
/// The task may await something in a scope.
const AWAITS_IN_SCOPES: Notes = 1 << 3;

impl Default for StepState {
    fn default() -> Self {
        Self {
            task: Cell::new(NOBODY),
            notes: Cell::new(0),
            waker: Cell::new(ptr::null()),
            why: RefCell::default(),
            scope: Cell::new(ScopeId::TASK),
            spare: Cell::new(None),
        }
    }
}

impl StepState {
    /// Whether this is the own waker of a step that is going on, and not one that wraps it.
    pub(crate) fn is_direct(&self, waker: &Waker) -> bool {
        self.is_own(waker) && self.is_stepping()
    }

    /// The same while a step is going on.
    #[inline]
    pub(crate) fn is_own(&self, waker: &Waker) -> bool {
        ptr::eq(waker.data(), self.waker.get())
    }

    /// Has another step queued when this one is over.
    pub(crate) fn yield_now(&self) {
        self.note(YIELDED);
    }

    /// Whether what is being polled is going to be dropped.
    pub(crate) fn is_unwinding(&self) -> bool {
        self.notes.get() & UNWINDING != 0
    }

    /// Whether a step is going on.
    pub(crate) fn is_stepping(&self) -> bool {
        self.task.get() != NOBODY
    }

    /// The task that steps, as a waker names it.
    #[inline]
    pub(crate) fn key(&self) -> Option<u64> {
        let key = self.task.get();
        (key != NOBODY).then_some(key)
    }

    /// Whether it is the task with this key that steps.
    pub(crate) fn is_of(&self, key: u64) -> bool {
        self.task.get() == key
    }

    /// Makes the task with this key the one that steps.
    pub(super) fn begin(&self, key: u64) {
        debug_assert!(!self.is_stepping(), "steps do not nest");
        self.task.set(key);
    }

    /// What the step has come to.
    pub(super) fn notes(&self) -> Notes {
        self.notes.get()
    }

    /// The step is over; gives why its coroutine was dropped, if it was.
    pub(super) fn end(&self) -> Option<CancelledError> {
        self.task.set(NOBODY);
        match self.notes.replace(0) & UNWINDING {
            0 => None,
            _ => self.why.take(),
        }
    }

    fn note(&self, note: Notes) {
        self.notes.set(self.notes.get() | note);
    }

    /// Another task is going to step inside this step: takes out what belongs to this one.
    fn suspend(&self) -> Suspended {
        Suspended {
            task: self.task.replace(NOBODY),
            notes: self.notes.replace(0),
            waker: self.waker.replace(ptr::null()),
            why: self.why.take(),
            scope: self.scope.replace(ScopeId::TASK),
        }
    }

    /// It has; this step goes on.
    fn resume(&self, suspended: Suspended) {
        self.task.set(suspended.task);
        self.notes.set(suspended.notes);
        self.waker.set(suspended.waker);
        self.why.replace(suspended.why);
        self.scope.set(suspended.scope);
    }

    /// The task may await something in a scope, possibly from before.
    pub(super) fn note_await_in_scope(&self) {
        self.note(AWAITS_IN_SCOPES);
    }

    /// Whether an open scope of the task with this key may have been found pending by the task's latest step,
    /// or anything may be awaited in it with the task's own waker.
    #[inline]
    pub(crate) fn may_concern(&self, key: u64) -> bool {
        !self.is_of(key) || self.notes.get() & (AWAITS_IN_SCOPES | SCOPES) != 0
    }

    // ---- scopes

    /// The step has found a scope pending.
    #[inline]
    pub(crate) fn note_scope(&self) {
        self.note(SCOPES);
    }

    /// A scope begins to be polled; until what this gives is dropped.
    #[inline]
    pub(crate) fn enter_scope(&self, scope: ScopeId) -> InScope<'_> {
        let outer = self.scope.replace(scope);
        InScope { step: self, outer }
    }

    /// The innermost scope that is being polled.
    #[inline]
    pub(crate) fn scope(&self) -> ScopeId {
        self.scope.get()
    }

    /// The poll of the innermost scope has panicked.
    #[cold]
    fn leave_scope_in_panic(&self, outer: ScopeId) {
        // What was raised in the scope goes with it, or the one around would catch it.
        drop(self.take_unwinding());
        self.scope.set(outer);
    }

    /// The innermost scope catches what was raised in it, if anything was.
    #[inline]
    fn take_unwinding(&self) -> Option<CancelledError> {
        if !self.is_unwinding() {
            return None;
        }
        self.notes.set(self.notes.get() & !UNWINDING);
        self.why.take()
    }
}

/// The state of a step in which another one is taken.
struct Suspended {
    task: u64,
    notes: Notes,
    waker: *const (),
    why: Option<CancelledError>,
    scope: ScopeId,
}

/// A scope is being polled; when this is dropped, the one around it is again.
pub(crate) struct InScope<'a> {
    step: &'a StepState,
    outer: ScopeId,
}

impl InScope<'_> {
    /// The poll is over. The innermost scope catches what was raised in it, if anything was.
    #[inline]
    pub(crate) fn returned(self) -> Option<CancelledError> {
        let Self { step, outer } = self;
        mem::forget(self);
        step.scope.set(outer);
        step.take_unwinding()
    }
}

impl Drop for InScope<'_> {
    /// The poll has panicked.
    #[inline]
    fn drop(&mut self) {
        self.step.leave_scope_in_panic(self.outer);
    }
}

/// What the steps of a run share.
pub(crate) struct Stepper<'a> {
    lp: &'a Rc<LoopState>,
    /// The coroutine that the run was started with, if it lies on the run's stack.
    pub(super) main: &'a mut dyn MainCoroutine,
    /// The waker to step with; nobody has a clone of it between steps.
    waker: Option<StepWaker>,
}

impl<'a> Stepper<'a> {
    pub(crate) fn new(lp: &'a Rc<LoopState>, main: &'a mut dyn MainCoroutine) -> Self {
        let waker = lp.step.spare.take();
        let data = waker
            .as_ref()
            .map_or(ptr::null(), |spare| spare.waker.data());
        lp.step.waker.set(data);
        Self { waker, lp, main }
    }

    /// The waker for a step of the task with this head and key, and the run's own coroutine.
    #[inline]
    pub(super) fn prepare(
        &mut self,
        head: &TaskHead,
        key: u64,
    ) -> (&Waker, &mut dyn MainCoroutine) {
        if head.has(OWN_WAKER) {
            self.take_waker_of(head);
        }
        let lp = self.lp;
        let waker = self.waker.get_or_insert_with(|| spare_waker(lp));
        waker.aim(key);
        (&waker.waker, self.main)
    }

    /// Takes the waker that the task kept from an earlier step.
    #[cold]
    fn take_waker_of(&mut self, head: &TaskHead) {
        if let Some(kept) = head.take_waker() {
            let step = &self.lp.step;
            step.waker.set(kept.waker.data());
            step.spare.set(self.waker.replace(kept));
        }
    }

    /// The coroutine has been polled: if somebody has a clone of the waker now, it is the task's.
    #[inline]
    pub(super) fn polled(&mut self, head: &TaskHead) {
        if self.waker.as_ref().is_some_and(StepWaker::is_shared)
            && let Some(waker) = self.waker.take()
        {
            head.keep_waker(waker);
            // It may be freed before the next step has another.
            self.lp.step.waker.set(ptr::null());
        }
    }
}

/// The spare waker of a loop, or a new one, to step with.
#[cold]
fn spare_waker(lp: &LoopState) -> StepWaker {
    let spare = lp.step.spare.take();
    let waker = spare.unwrap_or_else(|| StepWaker::new(lp.remote()));
    lp.step.waker.set(waker.waker.data());
    waker
}

impl Drop for Stepper<'_> {
    fn drop(&mut self) {
        self.lp.step.waker.set(ptr::null());
        self.lp.step.spare.set(self.waker.take());
    }
}

impl LoopState {
    /// The task whose step is going on.
    pub(crate) fn current_task(&self) -> Option<TaskRef> {
        if !self.step.is_stepping() {
            return None;
        }
        let slot = slot_of(self.step.task.get());
        self.tasks.borrow().get(slot).cloned()
    }

    /// The task with this key, unless it is over.
    pub(crate) fn task(&self, key: u64) -> Option<TaskRef> {
        let task = self.tasks.borrow().get(slot_of(key)).cloned()?;
        (task.head().key() == key).then_some(task)
    }

    /// Looks at the task with this key, unless it is over. `look` calls no user code: the table is
    /// borrowed.
    #[inline]
    pub(crate) fn with_task<R>(&self, key: u64, look: impl FnOnce(&TaskHead) -> R) -> Option<R> {
        let tasks = self.tasks.borrow();
        let head = tasks.get(slot_of(key))?.head();
        (head.key() == key).then(|| look(head))
    }

    /// Takes the first step of a task that starts eagerly, possibly inside the step of another.
    pub(super) fn step_now(self: &Rc<Self>, task: TaskRef) {
        let outer = self.step.suspend();
        let site = self.callback_site.get();
        {
            let mut no_main = NoMain;
            let mut stepper = Stepper::new(self, &mut no_main);
            let _observed = self.observe_inner(&*task);
            let step = || task.clone().run(self, &mut stepper);
            if let Err(payload) = catch_unwind(AssertUnwindSafe(step)) {
                task.step_panicked(payload, &mut stepper);
            }
        }
        self.step.resume(outer);
        self.callback_site.set(site);
    }

    /// Queues a step of a task; gives the task back if one is queued already or the task is over.
    #[inline(always)]
    pub(crate) fn schedule_step(&self, task: TaskRef) -> Option<TaskRef> {
        let head = task.head();
        if head.has(QUEUED | DONE) || self.is_closed() {
            return Some(task);
        }
        head.set(QUEUED);
        self.push(task);
        None
    }

    /// Queues a step of the task that `key` refers to, if it is still there.
    pub(crate) fn wake(&self, key: u64) {
        if let Some(task) = self.task(key) {
            self.schedule_step(task);
        }
    }

    /// The step that is going on polls something for the first time, with its own waker. Gives the task
    /// and the id of the registration.
    #[inline(always)]
    pub(crate) fn step_awaits(&self, future: impl FnOnce() -> AnyRef) -> Option<(TaskRef, u64)> {
        let mut tasks = self.tasks.borrow_mut();
        let (task, first) = tasks.with_waiter(slot_of(self.step.task.get()))?;
        let head = task.head();
        if head.awaits_nothing() {
            let id = self.next_registration();
            head.set(FRESH);
            head.awaits_first(self, first, id, future());
            return Some((task.clone(), id));
        }
        let task = task.clone();
        drop(tasks);
        let id = self.next_registration();
        self.awaits_further(&task, id, future());
        Some((task, id))
    }

    #[cold]
    fn awaits_further(&self, task: &TaskRef, id: u64, future: AnyRef) {
        task.head().awaits(self, id, future, true);
    }

    /// Something that the step awaits, under registration `id` if it had to wait, was cancelled: the
    /// innermost scope that is being polled, or the task, is to unwind. False if no step is going on.
    pub(crate) fn unwind_step(&self, why: CancelledError, id: u64) -> bool {
        let Some(task) = self.current_task() else {
            return false;
        };
        let asked = id != 0 && task.head().was_offered(self, id);
        self.raise_here(&if asked { why } else { why.as_awaited() })
    }

    /// The innermost scope that is being polled, or the task, is to unwind. False if no step is going
    /// on.
    pub(crate) fn raise_here(&self, why: &CancelledError) -> bool {
        if !self.step.is_stepping() {
            return false;
        }
        self.forget_offers_around(self.step.scope());
        self.step.note(UNWINDING);
        let mut slot = self.step.why.borrow_mut();
        // The first one counts.
        slot.get_or_insert_with(|| why.clone());
        true
    }
}

/// The place in the table of tasks that is in a key.
pub(super) fn slot_of(key: u64) -> u32 {
    (key >> 32) as u32
}
