//! The part of a task that does not depend on its coroutine: where it stands and what it awaits.
//!
//! | flag | means | set by | cleared by |
//! | --- | --- | --- | --- |
//! | `STARTED` | the first step has begun | the step | nothing |
//! | `QUEUED` | a step of it is in the ready queue | `schedule_step` | the step |
//! | `RUNNING` | its step is up the stack | the step | the step |
//! | `MUST` | a cancellation waits to be raised by the next step | `cancel` | the step |
//! | `PROBE` | the next step polls before it raises | `cancel` of an unsettled task | the step |
//! | `FRESH` | the latest step began an await | an await | the next step |
//! | `OFFERED` | a cancellation was passed to what it awaits | `cancel` | the end of the next step |
//! | `DONE` | it is over | the step | nothing |
//! | `OWN_WAKER` | somebody has a clone of its waker, so it keeps that | the end of a step | the next step |

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use smallvec::SmallVec;

use super::waker::StepWaker;
use crate::cancellation::CancelledError;
use crate::futures::{AnyRef, Base};

/// A set of flags.
pub(super) type Flags = u16;
pub(super) const STARTED: Flags = 1;
pub(super) const QUEUED: Flags = 1 << 1;
pub(super) const RUNNING: Flags = 1 << 2;
pub(super) const MUST: Flags = 1 << 3;
pub(super) const PROBE: Flags = 1 << 4;
pub(super) const FRESH: Flags = 1 << 5;
pub(super) const OFFERED: Flags = 1 << 6;
pub(super) const DONE: Flags = 1 << 7;
pub(super) const OWN_WAKER: Flags = 1 << 8;

pub(crate) struct TaskHead {
    id: u64,
    flags: Cell<Flags>,
    /// How many times it was asked to stop.
    cancelling: Cell<u32>,
    /// Its place among the loop's tasks.
    pub(super) slot: Cell<u32>,
    /// What the latest step polled with the task's own waker and found pending.
    waiters: RefCell<SmallVec<[AnyRef; 1]>>,
    /// What few tasks have.
    rare: RefCell<Option<Box<Rare>>>,
}

#[derive(Default)]
struct Rare {
    name: Option<Rc<str>>,
    /// The cancellation of `MUST`.
    must: Option<CancelledError>,
    /// What is awaited through wrapping wakers, until it is done or dropped.
    wrapped: Vec<AnyRef>,
    /// The task's own waker, once somebody holds a clone of it.
    waker: Option<StepWaker>,
}

impl TaskHead {
    pub(super) fn new(name: Option<Rc<str>>) -> Self {
        let rare = name.map(|name| {
            Box::new(Rare {
                name: Some(name),
                ..Rare::default()
            })
        });
        Self {
            id: crate::ids::next_task(),
            flags: Cell::new(0),
            cancelling: Cell::new(0),
            slot: Cell::new(0),
            waiters: RefCell::default(),
            rare: RefCell::new(rare),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// What a waker of this task refers to: its slot, and enough of its id to tell it from others
    /// that have the slot before or after.
    pub(super) fn key(&self) -> u64 {
        u64::from(self.slot.get()) << 32 | (self.id & u64::from(u32::MAX))
    }

    pub(super) fn has(&self, flags: Flags) -> bool {
        self.flags.get() & flags != 0
    }

    pub(super) fn set(&self, flags: Flags) {
        self.flags.set(self.flags.get() | flags);
    }

    pub(super) fn clear(&self, flags: Flags) {
        self.flags.set(self.flags.get() & !flags);
    }

    /// Clears the flags and says whether any was set.
    pub(super) fn take(&self, flags: Flags) -> bool {
        let any = self.has(flags);
        self.clear(flags);
        any
    }

    fn rare<R>(&self, use_it: impl FnOnce(&mut Rare) -> R) -> R {
        use_it(self.rare.borrow_mut().get_or_insert_default())
    }

    // ---- name

    pub(crate) fn name(&self) -> String {
        let rare = self.rare.borrow();
        match rare.as_ref().and_then(|rare| rare.name.as_deref()) {
            Some(name) => name.to_owned(),
            None => format!("Task-{}", self.id),
        }
    }

    pub(super) fn set_name(&self, name: Rc<str>) {
        self.rare(|rare| rare.name = Some(name));
    }

    // ---- what it awaits

    /// The task's step polled `future` with its own waker; `fresh` if it did so for the first time.
    pub(crate) fn awaits(&self, future: AnyRef, fresh: bool) {
        if fresh {
            self.set(FRESH);
        }
        self.waiters.borrow_mut().push(future);
    }

    /// An await of this future was dropped.
    pub(crate) fn forget(&self, future: &Base) {
        let mut waiters = self.waiters.borrow_mut();
        let place = waiters
            .iter()
            .rposition(|waiter| std::ptr::eq(waiter.base(), future));
        let forgotten = place.map(|place| waiters.remove(place));
        drop(waiters);
        // The last reference may be this one, and its drop is user code.
        drop(forgotten);
    }

    pub(crate) fn awaits_wrapped(&self, future: AnyRef) {
        self.rare(|rare| rare.wrapped.push(future));
    }

    pub(crate) fn forget_wrapped(&self, future: &Base) {
        let forgotten = self.rare(|rare| {
            let place = rare
                .wrapped
                .iter()
                .position(|waiter| std::ptr::eq(waiter.base(), future));
            place.map(|place| rare.wrapped.swap_remove(place))
        });
        drop(forgotten);
    }

    /// Everything the task awaits now.
    pub(crate) fn awaited(&self) -> Vec<AnyRef> {
        let mut awaited = self.waiters.borrow().to_vec();
        if let Some(rare) = &*self.rare.borrow() {
            awaited.extend(rare.wrapped.iter().cloned());
        }
        awaited
    }

    /// Whether the latest step left open which of the futures it polled the task really awaits: it
    /// polled several, and began to await one of them. (A `select!` that goes on polls its loser.)
    pub(super) fn is_unsettled(&self) -> bool {
        self.has(FRESH) && self.waiters.borrow().len() > 1
    }

    /// A new step begins: what the one before it polled no longer counts.
    #[inline]
    pub(super) fn begin_step(&self) {
        self.flags
            .set(self.flags.get() & !(QUEUED | FRESH) | STARTED | RUNNING);
        let mut waiters = self.waiters.borrow_mut();
        if !waiters.is_empty() {
            let old = std::mem::take(&mut *waiters);
            drop(waiters);
            drop(old);
        }
    }

    // ---- cancellation

    pub(crate) fn cancelling(&self) -> u32 {
        self.cancelling.get()
    }

    pub(super) fn count_request(&self) {
        self.cancelling.set(self.cancelling.get().saturating_add(1));
    }

    /// Takes one request back; the last one takes an undelivered cancellation with it.
    pub(super) fn uncancel(&self) -> u32 {
        let left = self.cancelling.get().saturating_sub(1);
        self.cancelling.set(left);
        if left == 0 {
            drop(self.take_must());
        }
        left
    }

    pub(super) fn set_must(&self, why: CancelledError) {
        self.set(MUST);
        let old = self.rare(|rare| rare.must.replace(why));
        drop(old);
    }

    pub(super) fn take_must(&self) -> Option<CancelledError> {
        if !self.take(MUST) {
            return None;
        }
        self.clear(PROBE);
        self.rare(|rare| rare.must.take())
    }

    pub(super) fn must(&self) -> Option<CancelledError> {
        self.rare
            .borrow()
            .as_ref()
            .and_then(|rare| rare.must.clone())
    }

    // ---- waker

    pub(super) fn keep_waker(&self, waker: StepWaker) {
        self.set(OWN_WAKER);
        self.rare(|rare| rare.waker = Some(waker));
    }

    #[inline]
    pub(super) fn take_waker(&self) -> Option<StepWaker> {
        if !self.take(OWN_WAKER) {
            return None;
        }
        self.rare(|rare| rare.waker.take())
    }
}
