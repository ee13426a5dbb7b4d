//! The part of a task that does not depend on its coroutine: where it stands and what it awaits.
//!
//! | flag | means | set by | cleared by |
//! | --- | --- | --- | --- |
//! | `STARTED` | the first step has begun | the step | nothing |
//! | `QUEUED` | a step of it is in the ready queue | `schedule_step` | the step |
//! | `RUNNING` | its step is up the stack | the step | the step |
//! | `MUST` | a request waits to be raised by the next step | `request` | the step |
//! | `RAISED` | the step polls scopes that are to catch | the step, as it begins | its end |
//! | `PROBE` | the next step polls before it raises | `request` to an unsettled task | the end of the step |
//! | `FRESH` | the latest step began an await | an await | the next step |
//! | `PASSING` | it is passing a cancellation on, up the stack | `offer` | the end of the offer |
//! | `DONE` | it is over | the step | nothing |
//! | `AWAITS` | it polled something and found it pending | an await | the next step, a drop of the await |
//! | `AWAITS_MORE` | the same of something that is in the rare part | an await | the next step, a drop of the await |
//! | `SCOPED` | the latest step found scopes pending | its end | the next step |
//! | `OFFERED` | what it awaits took a request, and may be dropped before it raises that | `deliver` | its await of that, the end of a step |
//! | `OWN_WAKER` | somebody has a clone of its waker, so it keeps that | the end of a step | the next step |

use std::cell::Cell;
use std::collections::BTreeMap;
use std::iter;
use std::mem;
use std::rc::Rc;

use super::open_scopes::OpenScopes;
use super::table::TaskTable;
use super::waker::StepWaker;
use crate::cancellation::{CancelledError, Scope, ScopeId};
use crate::event_loop::{LoopState, TaskMark, write_over};
use crate::futures::AnyRef;
use crate::snapshot::TaskState;

/// A set of flags.
pub(super) type Flags = u16;
pub(super) const STARTED: Flags = 1;
pub(super) const QUEUED: Flags = 1 << 1;
pub(super) const RUNNING: Flags = 1 << 2;
pub(super) const MUST: Flags = 1 << 3;
pub(super) const PROBE: Flags = 1 << 4;
pub(super) const FRESH: Flags = 1 << 5;
pub(super) const DONE: Flags = 1 << 6;
pub(super) const OWN_WAKER: Flags = 1 << 7;
/// See [`LoopState::offer`].
pub(super) const PASSING: Flags = 1 << 8;
pub(super) const SCOPED: Flags = 1 << 9;
const AWAITS: Flags = 1 << 10;
pub(super) const AWAITS_MORE: Flags = 1 << 11;
pub(super) const RAISED: Flags = 1 << 12;
pub(super) const OFFERED: Flags = 1 << 13;

/// Something that a task awaits.
pub(crate) struct Waiter {
    /// The registration with the future.
    pub(crate) id: u64,
    pub(crate) future: AnyRef,
    /// The innermost scope it is awaited in.
    pub(super) scope: ScopeId,
}

/// A request that what the task awaits has taken.
pub(super) struct Offer {
    /// The scope that was asked; `None` is the task.
    pub(super) target: Option<Rc<Scope>>,
    pub(super) why: CancelledError,
    pub(super) awaited: Vec<AnyRef>,
}

pub(crate) struct TaskHead {
    id: Cell<u64>,
    /// Its place in the loop's table of tasks.
    pub(super) slot: Cell<u32>,
    flags: Cell<Flags>,
    /// What few tasks have.
    rare: Cell<Option<Box<Rare>>>,
}

#[derive(Default)]
pub(super) struct Rare {
    name: Option<Rc<str>>,
    /// How many times it, and not a scope of it, was asked to stop.
    pub(super) cancelling: u32,
    /// How many times its open scopes were, together.
    pub(super) cancelling_scopes: u32,
    /// A request to the task that nothing took yet.
    pub(super) must: Option<CancelledError>,
    /// What it awaits beside the first, which is in the table.
    pub(super) more: Vec<Waiter>,
    /// What is awaited through wrapping wakers, until it is done or dropped, by registration.
    pub(super) wrapped: BTreeMap<u64, Waiter>,
    /// Awaits that began before this registration were asked to stop along with the task.
    pub(super) offered: u64,
    /// Requests that what it awaits has taken, while that may still be dropped without raising them.
    pub(super) offers: Vec<Offer>,
    /// The task's own waker, once somebody holds a clone of it.
    waker: Option<StepWaker>,
}

impl Rare {
    #[cold]
    fn new() -> Box<Self> {
        Box::default()
    }

    /// Whether it has more than a name and numbers.
    #[cold]
    fn refers(&self) -> bool {
        let none = self.must.is_none() && self.waker.is_none();
        !(none && self.more.is_empty() && self.wrapped.is_empty() && self.offers.is_empty())
    }

    fn add_wrapped(&mut self, scopes: &OpenScopes, id: u64, waiter: Waiter) -> Option<Waiter> {
        let old = self.remove_wrapped(scopes, id);
        scopes.each_around(waiter.scope, |scope| scope.add_wrapped(1, id));
        self.wrapped.insert(id, waiter);
        old
    }

    pub(super) fn remove_wrapped(&mut self, scopes: &OpenScopes, id: u64) -> Option<Waiter> {
        let waiter = self.wrapped.remove(&id)?;
        scopes.each_around(waiter.scope, |scope| scope.remove_wrapped(1));
        Some(waiter)
    }

    /// What is awaited within a scope through wrapping wakers. There may be many that are not; as a rule
    /// the first of those in the scope is known, so the search begins there, and ends when all are found.
    pub(super) fn wrapped_within(
        &self,
        scopes: &OpenScopes,
        scope: &Scope,
    ) -> impl Iterator<Item = (&u64, &Waiter)> {
        let since = scope.wrapped_since();
        let all = self.wrapped.range(since..);
        let all = all.chain(self.wrapped.range(..since));
        all.filter(move |(_, waiter)| scopes.is_within(waiter.scope, scope))
            .take(scope.wrapped())
    }
}

impl TaskHead {
    #[inline]
    pub(super) fn new(name: Option<Rc<str>>) -> Self {
        let rare = name.map(|name| {
            Box::new(Rare {
                name: Some(name),
                ..Rare::default()
            })
        });
        Self {
            id: Cell::new(crate::ids::next_task()),
            slot: Cell::new(0),
            flags: Cell::new(0),
            rare: Cell::new(rare),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id.get()
    }

    /// What a waker of this task refers to: its slot, and enough of its id to tell it from others
    /// that have the slot before or after.
    pub(crate) fn key(&self) -> u64 {
        u64::from(self.slot.get()) << 32 | (self.id() & u64::from(u32::MAX))
    }

    /// It is the part of another task now, if its own is over and nothing of others' is left; says
    /// whether it is.
    #[inline]
    pub(super) fn begin_again(&self) -> bool {
        if self.flags.get() != STARTED | DONE
            || self.rare_if_any(|rare| rare.refers()) == Some(true)
        {
            return false;
        }
        drop(self.rare.take());
        self.id.set(crate::ids::next_task());
        self.flags.set(0);
        true
    }

    /// What it is for those who only look at it.
    pub(super) fn mark(&self) -> TaskMark {
        TaskMark {
            id: self.id(),
            key: self.key(),
        }
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
    #[inline(always)]
    pub(super) fn rare<R>(&self, use_it: impl FnOnce(&mut Rare) -> R) -> R {
        let mut rare = match self.rare.take() {
            Some(rare) => rare,
            None => Rare::new(),
        };
        let result = use_it(&mut rare);
        self.put_back(rare);
        result
    }

    /// The same if the task has any of it.
    #[inline(always)]
    pub(super) fn rare_if_any<R>(&self, use_it: impl FnOnce(&mut Rare) -> R) -> Option<R> {
        let mut rare = self.rare.take()?;
        let result = use_it(&mut rare);
        self.put_back(rare);
        Some(result)
    }

    #[inline(always)]
    fn put_back(&self, rare: Box<Rare>) {
        // Nothing is there to be dropped, which the compiler does not know.
        mem::forget(self.rare.replace(Some(rare)));
    }

    // ---- name

    pub(crate) fn name(&self) -> String {
        match self.rare_if_any(|rare| rare.name.clone()).flatten() {
            Some(name) => (*name).to_owned(),
            None => format!("Task-{}", self.id()),
        }
    }

    pub(super) fn set_name(&self, name: Rc<str>) {
        self.rare(|rare| rare.name = Some(name));
    }

    /// What it does, for a snapshot.
    pub(crate) fn doing(&self) -> TaskState {
        if self.has(RUNNING) {
            TaskState::Running
        } else if !self.has(QUEUED) {
            TaskState::Waiting
        } else if self.has(STARTED) {
            TaskState::Ready
        } else {
            TaskState::New
        }
    }

    /// Tells those who observe the loop that it has got a name.
    #[cold]
    pub(super) fn tell_name(&self, lp: &LoopState) {
        lp.tell_task_named(self.id(), &self.name());
    }

    // ---- what it awaits

    /// The task's step polled a future with its own waker, under registration `id`; `fresh` if it did
    /// so for the first time.
    #[inline(always)]
    pub(crate) fn awaits(&self, lp: &LoopState, id: u64, future: AnyRef, fresh: bool) {
        if fresh {
            self.set(FRESH);
        }
        if self.awaits_nothing() {
            let mut tasks = lp.tasks.borrow_mut();
            self.awaits_first(lp, tasks.waiter(self.slot.get()), id, future);
        } else if fresh || !self.awaits_already(lp, id) {
            self.awaits_more(lp, id, future);
        }
    }

    /// Whether this step has polled nothing yet that it has to wait for.
    #[inline]
    pub(super) fn awaits_nothing(&self) -> bool {
        !self.has(AWAITS | AWAITS_MORE)
    }

    /// What [`awaits`](Self::awaits) does of the first thing.
    #[inline(always)]
    pub(super) fn awaits_first(
        &self,
        lp: &LoopState,
        first: &mut Option<Waiter>,
        id: u64,
        future: AnyRef,
    ) {
        self.set(AWAITS);
        debug_assert!(first.is_none(), "the step began with none");
        let scope = lp.step.scope();
        if scope != ScopeId::TASK {
            lp.step.note_await_in_scope();
        }
        write_over(first, Some(Waiter { id, future, scope }));
    }

    /// The same of what does not lie in the table.
    #[inline(never)]
    fn awaits_more(&self, lp: &LoopState, id: u64, future: AnyRef) {
        self.set(AWAITS_MORE);
        lp.step.note_await_in_scope();
        let scope = lp.step.scope();
        // Made in its place, and not first elsewhere.
        let waiter = iter::once_with(|| Waiter { id, future, scope });
        self.rare(|rare| rare.more.extend(waiter));
    }

    /// Whether this step polled this handle before. (A `select!` in a loop polls its losers each
    /// time round, and may go round many times in one step.)
    fn awaits_already(&self, lp: &LoopState, id: u64) -> bool {
        self.rare_if_any(|rare| rare.more.iter().any(|waiter| waiter.id == id)) == Some(true)
            || (self.first_waiter(&lp.tasks.borrow())).is_some_and(|first| first.id == id)
    }

    /// The await with this registration was dropped. Gives what was forgotten: its drop is user
    /// code.
    #[cold]
    pub(crate) fn forget(&self, lp: &LoopState, id: u64) -> Option<AnyRef> {
        if self.has(AWAITS_MORE) {
            let (forgotten, left) = self.rare(|rare| {
                let place = rare.more.iter().rposition(|waiter| waiter.id == id);
                (place.map(|place| rare.more.remove(place)), rare.more.len())
            });
            if left == 0 {
                self.forget_more();
            }
            if let Some(Waiter { future, .. }) = forgotten {
                return Some(future);
            }
        }
        let first = self.forget_first_if(lp, |first| first.id == id);
        first.map(|first| first.future)
    }

    /// The first thing that it awaits, if it awaits any.
    pub(super) fn first_waiter<'a>(&self, tasks: &'a TaskTable) -> Option<&'a Waiter> {
        if !self.has(AWAITS) {
            return None;
        }
        tasks.first_waiter(self.slot.get())
    }

    /// Takes out the first thing that it awaits, if `which` says so.
    pub(super) fn forget_first_if(
        &self,
        lp: &LoopState,
        which: impl FnOnce(&mut Waiter) -> bool,
    ) -> Option<Waiter> {
        if !self.has(AWAITS) {
            return None;
        }
        let first = (lp.tasks.borrow_mut().waiter(self.slot.get())).take_if(which)?;
        self.clear(AWAITS);
        Some(first)
    }

    /// Nothing is left that it awaits beside the first.
    pub(super) fn forget_more(&self) {
        self.clear(AWAITS_MORE);
    }

    pub(crate) fn awaits_wrapped(&self, lp: &LoopState, id: u64, future: AnyRef) {
        let scope = lp.step.scope();
        let waiter = Waiter { id, future, scope };
        let old = self.rare(|rare| rare.add_wrapped(&lp.scopes.borrow(), id, waiter));
        drop(old);
    }

    /// Gives what was forgotten: its drop is user code.
    pub(crate) fn forget_wrapped(&self, lp: &LoopState, id: u64) -> Option<Waiter> {
        let scopes = lp.scopes.borrow();
        self.rare_if_any(|rare| rare.remove_wrapped(&scopes, id))
            .flatten()
    }

    /// Everything the task awaits now.
    pub(crate) fn awaited(&self, lp: &LoopState) -> Vec<AnyRef> {
        self.awaited_within(lp, None)
    }

    /// Everything the task awaits now within a scope, or at all.
    pub(super) fn awaited_within(&self, lp: &LoopState, target: Option<&Rc<Scope>>) -> Vec<AnyRef> {
        let mut awaited = Vec::new();
        let tasks = lp.tasks.borrow();
        let scopes = lp.scopes.borrow();
        let is_meant =
            |waiter: &&Waiter| target.is_none_or(|target| scopes.is_within(waiter.scope, target));
        let first = self.first_waiter(&tasks).filter(is_meant);
        awaited.extend(first.map(|first| first.future.clone()));
        self.rare_if_any(|rare| {
            let direct = rare.more.iter().filter(is_meant);
            let Some(target) = target else {
                let others = direct.chain(rare.wrapped.values());
                return awaited.extend(others.map(|waiter| waiter.future.clone()));
            };
            let wrapped = rare.wrapped_within(&scopes, target);
            let wrapped = wrapped.map(|(_, waiter)| waiter);
            awaited.extend(direct.chain(wrapped).map(|waiter| waiter.future.clone()));
        });
        awaited
    }

    /// The only thing that the latest step polled with the task's own waker, and the scope it did
    /// that in.
    pub(super) fn only_waiter(&self, lp: &LoopState) -> Option<(AnyRef, ScopeId)> {
        if self.has(AWAITS_MORE) {
            let only = self.rare(|rare| match &*rare.more {
                [only] => Some((only.future.clone(), only.scope)),
                _ => None,
            });
            return only.filter(|_| !self.has(AWAITS));
        }
        let tasks = lp.tasks.borrow();
        let first = self.first_waiter(&tasks);
        first.map(|first| (first.future.clone(), first.scope))
    }

    /// Whether the latest step left open which of the futures it polled the task really awaits: it
    /// polled several, and began to await one of them. (A `select!` that goes on polls its loser.)
    pub(super) fn is_unsettled(&self) -> bool {
        self.has(FRESH)
            && self.has(AWAITS_MORE)
            && (self.has(AWAITS) || self.rare(|rare| rare.more.len() > 1))
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
    #[inline(always)]
    pub(super) fn begin_step(&self, lp: &Rc<LoopState>) {
        let flags = self.flags.get();
        let ended = QUEUED | FRESH | AWAITS | AWAITS_MORE | SCOPED;
        self.flags.set(flags & !ended | STARTED | RUNNING);
        if flags & AWAITS_MORE != 0 {
            self.forget_more_awaits(lp);
        }
        if flags & AWAITS != 0 {
            let first = lp.tasks.borrow_mut().waiter(self.slot.get()).take();
            // Usually somebody else has it too; the last reference takes user code with it.
            match first {
                Some(last) if !last.future.base().has_handles() => lp.drop_user(last.future),
                _ => {}
            }
        }
    }

    /// The same for what is in the rare part.
    fn forget_more_awaits(&self, lp: &Rc<LoopState>) {
        // As a rule it is one.
        let only = self.rare(|rare| match rare.more.len() {
            1 => rare.more.pop(),
            _ => None,
        });
        if let Some(only) = only {
            if !only.future.base().has_handles() {
                lp.drop_user(only);
            }
            return;
        }
        let mut ended = self.rare(|rare| mem::take(&mut rare.more));
        if ended.iter().any(|last| !last.future.base().has_handles()) {
            return lp.drop_user(ended);
        }
        ended.clear();
        // Its room is used again.
        self.rare(|rare| rare.more = ended);
    }

    /// The step ends with the task suspended; `scoped` if it found scopes pending.
    #[inline(always)]
    pub(super) fn end_step(&self, scoped: bool) {
        let flags = self.flags.get() & !RUNNING;
        self.flags.set(if scoped { flags | SCOPED } else { flags });
    }

    /// The task is over: it awaits nothing, and its waker wakes nobody. Gives what was forgotten, as far
    /// as it was in the table: its drop may be user code.
    #[inline]
    pub(super) fn end(&self, lp: &Rc<LoopState>) -> Option<Waiter> {
        let flags = self.flags.get();
        self.flags.set(flags & STARTED | DONE);
        if flags & (AWAITS | AWAITS_MORE | OWN_WAKER | OFFERED) == 0 {
            return None;
        }
        self.end_rare(lp, flags)
    }

    #[inline(never)]
    fn end_rare(&self, lp: &Rc<LoopState>, flags: Flags) -> Option<Waiter> {
        if flags & (AWAITS_MORE | OWN_WAKER | OFFERED) != 0 {
            let left = self.rare(|rare| {
                let offers = mem::take(&mut rare.offers);
                (mem::take(&mut rare.more), offers, rare.waker.take())
            });
            lp.drop_user(left);
        }
        if flags & AWAITS == 0 {
            return None;
        }
        lp.tasks.borrow_mut().waiter(self.slot.get()).take()
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
