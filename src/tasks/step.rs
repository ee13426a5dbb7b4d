//! The step that is going on in a loop, as those who are polled in it see it.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::rc::Rc;
use std::task::Waker;

use super::head::{DONE, OFFERED, OWN_WAKER, QUEUED};
use super::waker::StepWaker;
use super::{MainCoroutine, TaskHead, TaskRef};
use crate::cancellation::CancelledError;
use crate::event_loop::LoopState;

/// Part of a [`LoopState`].
pub(crate) struct StepState {
    /// The place among the loop's tasks of the one that steps; `NOBODY` between steps.
    slot: Cell<u32>,
    /// What the step has come to so far.
    notes: Cell<Notes>,
    /// What `Waker::data` of the step's own waker gives.
    waker: Cell<*const ()>,
    /// Why the step unwinds, if it does.
    why: RefCell<Option<CancelledError>>,
    /// A waker nobody has a clone of, while no stepper has it.
    spare: Cell<Option<StepWaker>>,
}

const NOBODY: u32 = u32::MAX;

pub(super) type Notes = u8;
/// The task yielded: another step is to be queued when this one is over.
pub(super) const YIELDED: Notes = 1;
/// Something awaited was cancelled: the coroutine is going to be dropped. Until then nothing of
/// ours that it polls has any effect.
const UNWINDING: Notes = 1 << 1;

impl Default for StepState {
    fn default() -> Self {
        Self {
            slot: Cell::new(NOBODY),
            notes: Cell::new(0),
            waker: Cell::new(ptr::null()),
            why: RefCell::default(),
            spare: Cell::new(None),
        }
    }
}

impl StepState {
    /// Whether this is the own waker of a step that is going on, and not one that wraps it.
    pub(crate) fn is_direct(&self, waker: &Waker) -> bool {
        ptr::eq(waker.data(), self.waker.get()) && self.is_stepping()
    }

    /// Has another step queued when this one is over.
    pub(crate) fn yield_now(&self) {
        self.note(YIELDED);
    }

    /// Whether the coroutine of the step is going to be dropped.
    pub(crate) fn is_unwinding(&self) -> bool {
        self.notes.get() & UNWINDING != 0
    }

    /// Whether a step is going on.
    pub(crate) fn is_stepping(&self) -> bool {
        self.slot.get() != NOBODY
    }

    /// Makes the task with this head the one that steps.
    pub(super) fn begin(&self, head: &TaskHead) {
        debug_assert!(!self.is_stepping(), "steps do not nest");
        self.slot.set(head.slot.get());
    }

    /// What the step has come to.
    pub(super) fn notes(&self) -> Notes {
        self.notes.get()
    }

    /// The step is over; gives why its coroutine was dropped, if it was.
    pub(super) fn end(&self) -> Option<CancelledError> {
        self.slot.set(NOBODY);
        match self.notes.replace(0) & UNWINDING {
            0 => None,
            _ => self.why.take(),
        }
    }

    fn note(&self, note: Notes) {
        self.notes.set(self.notes.get() | note);
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

    /// The waker for a step of the task with this head, and the run's own coroutine.
    #[inline]
    pub(super) fn prepare(&mut self, head: &TaskHead) -> (&Waker, &mut dyn MainCoroutine) {
        if head.has(OWN_WAKER) || self.waker.is_none() {
            self.change_waker(head);
        }
        let waker = self.waker.as_ref().expect("there is one now");
        waker.aim(head.key());
        (&waker.waker, self.main)
    }

    /// Takes the waker that the task kept from an earlier step, or the spare one, or makes one.
    #[cold]
    fn change_waker(&mut self, head: &TaskHead) {
        let step = &self.lp.step;
        let waker = match head.take_waker() {
            Some(kept) => {
                step.spare.set(self.waker.take());
                kept
            }
            None => match step.spare.take() {
                Some(spare) => spare,
                None => StepWaker::new(self.lp.remote()),
            },
        };
        step.waker.set(waker.waker.data());
        self.waker = Some(waker);
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

impl Drop for Stepper<'_> {
    fn drop(&mut self) {
        self.lp.step.waker.set(ptr::null());
        self.lp.step.spare.set(self.waker.take());
    }
}

impl LoopState {
    /// The task whose step is going on.
    pub(crate) fn current_task(&self) -> Option<TaskRef> {
        let slot = self.step.slot.get();
        if slot == NOBODY {
            return None;
        }
        self.tasks.borrow().get(slot).cloned()
    }

    /// Queues a step of a task; gives the task back if one is queued already or the task is over.
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
        let task = self.tasks.borrow().get((key >> 32) as u32).cloned();
        if let Some(task) = task
            && task.head().key() == key
        {
            self.schedule_step(task);
        }
    }

    /// Something that the step awaits was cancelled: the step's coroutine is to be dropped. False if
    /// no step is going on.
    pub(crate) fn unwind_step(&self, why: CancelledError) -> bool {
        let Some(task) = self.current_task() else {
            return false;
        };
        let asked = task.head().has(OFFERED);
        let why = if asked { why } else { why.as_awaited() };
        self.step.note(UNWINDING);
        let mut slot = self.step.why.borrow_mut();
        // The first one counts.
        slot.get_or_insert(why);
        true
    }
}
