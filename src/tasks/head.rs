//! The part of a task that does not depend on its coroutine: where it stands and what it awaits.
//!
//! | flag | means | set by | cleared by |
//! | --- | --- | --- | --- |
//! | `STARTED` | the first step has begun | the step | nothing |
//! | `QUEUED` | a step of it is in the ready queue | `schedule_step` | the step |
//! | `RUNNING` | its step is up the stack | the step | the step |
//! | `MUST` | a cancellation waits to be raised by the next step | `cancel` | the step |
//! | `PROBE` | the next step polls before it raises | `cancel` of an unsettled task | the end of the step |
//! | `FRESH` | the latest step began an await | an await | the next step |
//! | `OFFERED` | a cancellation was passed to what it awaits | `cancel` | the end of the next step |
//! | `PASSING` | it is passing a cancellation on, up the stack | `offer` | the end of the offer |
//! | `DONE` | it is over | the step | nothing |
//! | `AWAITS` | it polled something and found it pending | an await | the next step, a drop of the await |
//! | `AWAITS_MORE` | the same of more than one thing | an await | the next step, a drop of the await |
//! | `OWN_WAKER` | somebody has a clone of its waker, so it keeps that | the end of a step | the next step |

use std::cell::Cell;
use std::collections::BTreeMap;
use std::mem;
use std::rc::Rc;

use super::waker::StepWaker;
use crate::cancellation::CancelledError;
use crate::event_loop::LoopState;
use crate::futures::{AnyRef, State};

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
/// See [`LoopState::offer`].
pub(super) const PASSING: Flags = 1 << 11;
const AWAITS: Flags = 1 << 9;
const AWAITS_MORE: Flags = 1 << 10;

/// Something that a task awaits.
pub(crate) struct Waiter {
    /// The registration with the future.
    pub(crate) id: u64,
    pub(crate) future: AnyRef,
}

pub(crate) struct TaskHead {
    id: u64,
    /// Its place in the loop's table of tasks.
    pub(super) slot: Cell<u32>,
    flags: Cell<Flags>,
    /// What few tasks have.
    rare: Cell<Option<Box<Rare>>>,
}

#[derive(Default)]
struct Rare {
    name: Option<Rc<str>>,
    /// How many times it was asked to stop.
    cancelling: u32,
    /// The cancellation of `MUST`.
    must: Option<CancelledError>,
    /// What it awaits beside the first, which is in the table.
    more: Vec<Waiter>,
    /// What is awaited through wrapping wakers, until it is done or dropped, by registration.
    wrapped: BTreeMap<u64, AnyRef>,
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
            slot: Cell::new(0),
            flags: Cell::new(0),
            rare: Cell::new(rare),
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

    /// Uses what few tasks have. `use_it` calls no user code.
    fn rare<R>(&self, use_it: impl FnOnce(&mut Rare) -> R) -> R {
        let mut rare = self.rare.take().unwrap_or_default();
        let result = use_it(&mut rare);
        self.rare.set(Some(rare));
        result
    }

    /// The same if the task has any of it.
    fn rare_if_any<R>(&self, use_it: impl FnOnce(&mut Rare) -> R) -> Option<R> {
        let mut rare = self.rare.take()?;
        let result = use_it(&mut rare);
        self.rare.set(Some(rare));
        Some(result)
    }

    // ---- name

    pub(crate) fn name(&self) -> String {
        match self.rare_if_any(|rare| rare.name.clone()).flatten() {
            Some(name) => (*name).to_owned(),
            None => format!("Task-{}", self.id),
        }
    }

    pub(super) fn set_name(&self, name: Rc<str>) {
        self.rare(|rare| rare.name = Some(name));
    }

    // ---- what it awaits

    /// The task's step polled a future with its own waker; `fresh` if it did so for the first time.
    #[inline]
    pub(crate) fn awaits(&self, lp: &LoopState, waiter: Waiter, fresh: bool) {
        if fresh {
            self.set(FRESH);
        }
        if !self.has(AWAITS) {
            self.set(AWAITS);
            *lp.tasks.borrow_mut().waiter(self.slot.get()) = Some(waiter);
        } else if fresh || !self.awaits_already(lp, waiter.id) {
            self.set(AWAITS_MORE);
            self.rare(|rare| rare.more.push(waiter));
        }
    }

    /// Whether this step polled this handle before. (A `select!` in a loop polls its losers each
    /// time round, and may go round many times in one step.)
    fn awaits_already(&self, lp: &LoopState, id: u64) -> bool {
        let is_it = |waiter: &Waiter| waiter.id == id;
        self.rare_if_any(|rare| rare.more.iter().any(is_it)) == Some(true)
            || (lp.tasks.borrow_mut().waiter(self.slot.get()).as_ref()).is_some_and(is_it)
    }

    /// The await with this registration was dropped. Gives what was forgotten: its drop is user
    /// code.
    #[cold]
    pub(crate) fn forget(&self, lp: &LoopState, id: u64) -> Option<Waiter> {
        let is_it = |waiter: &Waiter| waiter.id == id;
        let forgotten = self.take_more(|more| {
            let place = more.iter().rposition(is_it)?;
            Some(more.remove(place))
        });
        if forgotten.is_some() || !self.has(AWAITS) {
            return forgotten;
        }
        let mut tasks = lp.tasks.borrow_mut();
        let first = tasks.waiter(self.slot.get());
        if !first.as_ref().is_some_and(is_it) {
            return None;
        }
        // The next one takes its place, or they would change their order.
        let next = self.take_more(|more| (!more.is_empty()).then(|| more.remove(0)));
        if next.is_none() {
            self.clear(AWAITS);
        }
        mem::replace(first, next)
    }

    /// Takes something out of what it awaits beside the first.
    fn take_more(&self, take: impl FnOnce(&mut Vec<Waiter>) -> Option<Waiter>) -> Option<Waiter> {
        if !self.has(AWAITS_MORE) {
            return None;
        }
        let (taken, left) = self.rare(|rare| (take(&mut rare.more), rare.more.len()));
        if left == 0 {
            self.clear(AWAITS_MORE);
        }
        taken
    }

    pub(crate) fn awaits_wrapped(&self, waiter: Waiter) {
        let Waiter { id, future } = waiter;
        let old = self.rare(|rare| rare.wrapped.insert(id, future));
        drop(old);
    }

    /// Gives what was forgotten: its drop is user code.
    pub(crate) fn forget_wrapped(&self, id: u64) -> Option<AnyRef> {
        self.rare_if_any(|rare| rare.wrapped.remove(&id)).flatten()
    }

    /// Everything the task awaits now.
    pub(crate) fn awaited(&self, lp: &LoopState) -> Vec<AnyRef> {
        let mut awaited = Vec::new();
        if self.has(AWAITS) {
            let mut tasks = lp.tasks.borrow_mut();
            let first = tasks.waiter(self.slot.get()).as_ref();
            awaited.extend(first.map(|first| first.future.clone()));
        }
        self.rare_if_any(|rare| {
            awaited.extend(rare.more.iter().map(|waiter| waiter.future.clone()));
            awaited.extend(rare.wrapped.values().cloned());
        });
        awaited
    }

    /// Whether the latest step left open which of the futures it polled the task really awaits: it
    /// polled several, and began to await one of them. (A `select!` that goes on polls its loser.)
    pub(super) fn is_unsettled(&self) -> bool {
        self.has(FRESH) && self.has(AWAITS_MORE)
    }

    /// Whether its next step comes upon a cancelled future in a straight line of code.
    pub(super) fn meets_cancelled(&self, lp: &LoopState) -> bool {
        self.has(AWAITS)
            && !self.has(AWAITS_MORE)
            && (lp.tasks.borrow_mut().waiter(self.slot.get()).as_ref())
                .is_some_and(|first| first.future.state() == State::Cancelled)
    }

    /// An offer of a cancellation to what it awaits begins; see `LoopState::offer`.
    pub(crate) fn begin_passing(&self) {
        self.set(PASSING);
    }

    /// The offer is over.
    pub(crate) fn end_passing(&self) {
        self.clear(PASSING);
    }

    /// A new step begins: what the one before it polled no longer counts.
    #[inline]
    pub(super) fn begin_step(&self, lp: &Rc<LoopState>) {
        let flags = self.flags.get();
        let ended = QUEUED | FRESH | AWAITS | AWAITS_MORE;
        self.flags.set(flags & !ended | STARTED | RUNNING);
        if flags & AWAITS != 0 {
            let first = lp.tasks.borrow_mut().waiter(self.slot.get()).take();
            if flags & AWAITS_MORE != 0 {
                let more = self.rare(|rare| mem::take(&mut rare.more));
                lp.drop_user(more);
            }
            // Usually somebody else has it too; the last reference takes user code with it.
            match first {
                Some(last) if !last.future.base().has_handles() => lp.drop_user(last),
                _ => {}
            }
        }
    }

    /// The task is over: it awaits nothing, and its waker wakes nobody.
    pub(super) fn end(&self, lp: &Rc<LoopState>) {
        let flags = self.flags.get();
        self.flags.set(flags & STARTED | DONE);
        if flags & (AWAITS_MORE | OWN_WAKER) != 0 {
            let left = self.rare(|rare| (mem::take(&mut rare.more), rare.waker.take()));
            lp.drop_user(left);
        }
    }

    // ---- cancellation

    pub(crate) fn cancelling(&self) -> u32 {
        self.rare_if_any(|rare| rare.cancelling).unwrap_or(0)
    }

    pub(super) fn count_request(&self) {
        self.rare(|rare| rare.cancelling = rare.cancelling.saturating_add(1));
    }

    /// Takes one request back; the last one takes an undelivered cancellation with it.
    pub(super) fn uncancel(&self) -> u32 {
        let left = self.rare(|rare| {
            rare.cancelling = rare.cancelling.saturating_sub(1);
            rare.cancelling
        });
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

    #[inline]
    pub(super) fn take_must(&self) -> Option<CancelledError> {
        if !self.take(MUST) {
            return None;
        }
        self.clear(PROBE);
        self.rare(|rare| rare.must.take())
    }

    pub(super) fn must(&self) -> Option<CancelledError> {
        self.rare_if_any(|rare| rare.must.clone()).flatten()
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
