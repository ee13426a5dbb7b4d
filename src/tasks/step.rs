//! The step that is going on in a loop, as those who are polled in it see it.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::rc::Rc;
use std::task::Waker;

use super::TaskHead;
use super::head::{DONE, OFFERED, QUEUED};
use super::waker::StepWaker;
use crate::cancellation::CancelledError;
use crate::event_loop::{Entry, LoopState};
use crate::futures::AnyRef;

/// Part of a [`LoopState`]. Empty between steps.
pub(crate) struct StepState {
    /// The task whose step it is.
    task: RefCell<Option<AnyRef>>,
    /// What `Waker::data` of the step's own waker gives; null between steps.
    waker: Cell<*const ()>,
    /// The task yielded: another step is to be queued when this one is over.
    yielded: Cell<bool>,
    /// Something awaited was cancelled: the coroutine is going to be dropped. Until then nothing of
    /// ours that it polls has any effect.
    unwinding: Cell<bool>,
    /// Why.
    why: RefCell<Option<CancelledError>>,
    /// A waker nobody has a clone of.
    spare: Cell<Option<StepWaker>>,
}

impl Default for StepState {
    fn default() -> Self {
        Self {
            task: RefCell::default(),
            waker: Cell::new(ptr::null()),
            yielded: Cell::new(false),
            unwinding: Cell::new(false),
            why: RefCell::default(),
            spare: Cell::new(None),
        }
    }
}

impl StepState {
    /// The task whose step it is.
    pub(crate) fn current(&self) -> Option<AnyRef> {
        self.task.borrow().clone()
    }

    /// Whether this is the step's own waker, and not one that wraps it.
    pub(crate) fn is_direct(&self, waker: &Waker) -> bool {
        ptr::eq(waker.data(), self.waker.get())
    }

    /// Has another step queued when this one is over.
    pub(crate) fn yield_now(&self) {
        self.yielded.set(true);
    }

    /// Whether the coroutine of the step is going to be dropped.
    pub(crate) fn is_unwinding(&self) -> bool {
        self.unwinding.get()
    }
}

/// A step under way; what was going on before is restored when it is dropped.
pub(super) struct Step<'a> {
    lp: &'a Rc<LoopState>,
    head: &'a TaskHead,
    /// Only empty while it is dropped.
    waker: Option<StepWaker>,
    outer_task: Option<AnyRef>,
    outer_waker: *const (),
    outer_yielded: bool,
    outer_unwinding: bool,
    outer_why: Option<CancelledError>,
}

impl<'a> Step<'a> {
    /// Makes `task`, whose head is `head`, the one that steps.
    pub(super) fn enter(lp: &'a Rc<LoopState>, task: AnyRef, head: &'a TaskHead) -> Self {
        let waker = match head.take_waker() {
            Some(waker) => waker,
            None => {
                let spare = lp.step.spare.take();
                let waker = spare.unwrap_or_else(|| StepWaker::new(lp.remote()));
                waker.aim(head.key());
                waker
            }
        };
        let step = &lp.step;
        Self {
            outer_task: step.task.replace(Some(task)),
            outer_waker: step.waker.replace(waker.waker.data()),
            outer_yielded: step.yielded.replace(false),
            outer_unwinding: step.unwinding.replace(false),
            outer_why: step.why.take(),
            waker: Some(waker),
            lp,
            head,
        }
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker.as_ref().expect("it is not being dropped").waker
    }

    /// Whether the task yielded.
    pub(super) fn yielded(&self) -> bool {
        self.lp.step.yielded.get()
    }

    /// Why the coroutine is to be dropped, if it is.
    pub(super) fn take_unwinding(&self) -> Option<CancelledError> {
        if !self.lp.step.unwinding.get() {
            return None;
        }
        self.lp.step.why.take()
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        let step = &self.lp.step;
        let task = step.task.replace(self.outer_task.take());
        step.waker.set(self.outer_waker);
        step.yielded.set(self.outer_yielded);
        step.unwinding.set(self.outer_unwinding);
        drop(step.why.replace(self.outer_why.take()));
        if let Some(waker) = self.waker.take() {
            if waker.is_shared() {
                if !self.head.has(DONE) {
                    self.head.keep_waker(waker);
                }
            } else {
                step.spare.set(Some(waker));
            }
        }
        drop(task);
    }
}

impl LoopState {
    /// Queues a step of a task, unless one is queued or the task is over.
    pub(crate) fn schedule_step(&self, task: AnyRef) {
        let head = task.task().expect("only tasks step");
        if head.has(QUEUED | DONE) || self.is_closed() {
            return;
        }
        head.set(QUEUED);
        self.push(Entry::Step(task));
    }

    /// Queues a step of the task that `key` refers to, if it is still there.
    pub(crate) fn wake(&self, key: u64) {
        let task = self.tasks.borrow().get((key >> 32) as usize).cloned();
        if let Some(task) = task
            && task.task().is_some_and(|head| head.key() == key)
        {
            self.schedule_step(task);
        }
    }

    /// Something that the step awaits was cancelled: the step's coroutine is to be dropped. False if
    /// no step is going on.
    pub(crate) fn unwind_step(&self, why: CancelledError) -> bool {
        let Some(task) = self.step.current() else {
            return false;
        };
        let asked = task.task().is_some_and(|head| head.has(OFFERED));
        let why = if asked { why } else { why.as_awaited() };
        self.step.unwinding.set(true);
        let mut slot = self.step.why.borrow_mut();
        // The first one counts.
        slot.get_or_insert(why);
        true
    }
}
