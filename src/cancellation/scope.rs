//! Scopes: where in a task a cancellation is caught.
//!
//! The scopes of a task form a tree; what is around a scope is its parent, and the task itself is
//! around them all. A scope knows its parent only: the loop has those that are open, task by task
//! (`tasks::OpenScopes`).
//!
//! | state | means | comes by | goes by |
//! | --- | --- | --- | --- |
//! | count | requests made to this scope, not to the task | `request` | `uncancel`, the closing |
//! | `must` | a request that nothing took yet | `request` | the next step, `uncancel`, the closing |
//! | `raised` | the next poll catches | the step that delivers a request | that poll |
//!
//! A scope that has none of these is *plain*: opening it, polling it and closing it look at little.
//!
//! A raise that happens inside a poll needs no mark here: the leaf notes it in the step, every leaf
//! polled after it stays without effect, and the poll of the innermost scope on the stack takes the
//! note when control comes back to it.

use std::cell::Cell;
use std::rc::Rc;
use std::task::Waker;

use super::CancelledError;
use crate::event_loop::LoopState;

/// In the place of a turn: polled with a waker that wraps the task's, so that it counts as live
/// until it is closed.
const WRAPPED: u64 = u64::MAX;

/// Names a scope: its place, and above that a number which ascends when the scope there is opened, and when
/// it is closed. So it is odd while it is open. (After 2^32 the numbers begin again.)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ScopeId(u64);

impl ScopeId {
    /// In the place of a scope: outside all of them.
    pub(crate) const TASK: Self = Self(u64::MAX);

    /// What is added with each opening and closing.
    const STEP: u64 = 1 << 32;

    pub(crate) fn place(self) -> u32 {
        self.0 as u32
    }

    pub(crate) fn number(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// A scope. The same is opened again and again, by any task of the loop, when nobody refers to it any more
/// from before.
pub(crate) struct Scope {
    id: Cell<ScopeId>,
    /// The task it is in, as a waker names it.
    task: Cell<u64>,
    /// The scope around it when it was polled last.
    around: Cell<ScopeId>,
    /// The turn in which a task's own step found it pending last, or `WRAPPED`.
    polled: Cell<u64>,
    /// False if it may have requests, awaits through wrapping wakers, or anything that few scopes have.
    is_plain: Cell<bool>,
    /// How often this scope was asked to stop.
    count: Cell<u32>,
    /// How many awaits through wrapping wakers there are in it, and in scopes inside it.
    wrapped: Cell<usize>,
    /// The registration of the first of them, if none was moved.
    wrapped_since: Cell<u64>,
    /// While it is linked: where the task's scopes are that were opened before and after it.
    pub(crate) older: Cell<u32>,
    pub(crate) newer: Cell<u32>,
    /// What few scopes have.
    rare: Cell<Option<Box<Rare>>>,
}

#[derive(Default)]
struct Rare {
    /// A request to this scope that nothing took yet.
    must: Option<CancelledError>,
    /// What the next poll catches.
    raised: Option<Raise>,
    /// The waker it was polled with, if that is not the task's own.
    waker: Option<Waker>,
    /// Awaits that began before this registration were asked to stop along with the scope.
    offered: u64,
}

/// A request on its way into the innermost scopes.
#[derive(Clone)]
pub(crate) struct Raise {
    pub(crate) why: CancelledError,
    /// The scope that was asked; `None` if it was the task.
    pub(crate) target: Option<Rc<Scope>>,
    /// Whether any of the scopes it was raised at has caught it. Those that have not are the only
    /// ones that hold this while user code runs.
    pub(crate) caught: Rc<Cell<bool>>,
}

impl Raise {
    /// Whether the other one is this one, at another scope.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.caught, &other.caught)
    }
}

impl Scope {
    /// A closed one, for this place, whose scopes had no greater numbers so far.
    pub(crate) fn new(place: u32, number: u32) -> Self {
        debug_assert!(number.is_multiple_of(2), "it is closed");
        Self {
            id: Cell::new(ScopeId(u64::from(number) << 32 | u64::from(place))),
            task: Cell::new(0),
            around: Cell::new(ScopeId::TASK),
            polled: Cell::new(0),
            is_plain: Cell::new(true),
            count: Cell::new(0),
            wrapped: Cell::new(0),
            wrapped_since: Cell::new(0),
            older: Cell::new(0),
            newer: Cell::new(0),
            rare: Cell::new(None),
        }
    }

    /// It is opened.
    #[inline]
    pub(super) fn begin(&self, around: ScopeId) {
        self.change_id();
        self.around.set(around);
    }

    /// It is closed.
    #[inline]
    pub(super) fn end(&self) {
        self.change_id();
    }

    fn change_id(&self) {
        let ScopeId(id) = self.id.get();
        self.id.set(ScopeId(id.wrapping_add(ScopeId::STEP)));
    }

    #[inline]
    pub(crate) fn id(&self) -> ScopeId {
        self.id.get()
    }

    /// Where it lies among those of the loop.
    #[inline]
    pub(crate) fn place(&self) -> u32 {
        self.id().place()
    }

    /// The task it is in, as a waker names it.
    #[inline]
    pub(crate) fn task(&self) -> u64 {
        self.task.get()
    }

    pub(crate) fn set_task(&self, task: u64) {
        self.task.set(task);
    }

    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.id().number() % 2 == 1
    }

    /// The scope around it when it was polled last.
    pub(crate) fn around(&self) -> ScopeId {
        self.around.get()
    }

    /// It is polled inside `around`, which may be another scope than before if it was moved.
    #[inline]
    pub(crate) fn set_around(&self, around: ScopeId) {
        self.around.set(around);
    }

    /// How many awaits through wrapping wakers there are within it.
    #[inline]
    pub(crate) fn wrapped(&self) -> usize {
        self.wrapped.get()
    }

    /// Within it there are `count` more of them, the first with the registration `since`.
    pub(crate) fn add_wrapped(&self, count: usize, since: u64) {
        if self.wrapped() == 0 {
            self.wrapped_since.set(since);
        }
        self.wrapped.set(self.wrapped() + count);
        self.is_plain.set(false);
    }

    pub(crate) fn remove_wrapped(&self, count: usize) {
        self.wrapped.set(self.wrapped() - count);
    }

    /// The registration with which most of them begin.
    pub(crate) fn wrapped_since(&self) -> u64 {
        self.wrapped_since.get()
    }

    /// The turn in which a task's own step found it pending last.
    pub(crate) fn polled(&self) -> Option<u64> {
        let polled = self.polled.get();
        (polled != WRAPPED).then_some(polled)
    }

    /// Whether the task may be suspended in it: the task's latest step found it pending, in turn
    /// `stepped` if it found any scope so.
    pub(crate) fn is_live(&self, stepped: Option<u64>) -> bool {
        let polled = self.polled.get();
        Some(polled) == stepped || polled == WRAPPED
    }

    /// False if closing it, or what it was asked, takes more than usual.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.is_plain.get()
    }

    /// How often this scope was asked to stop.
    #[inline]
    pub(crate) fn count(&self) -> u32 {
        self.count.get()
    }

    pub(crate) fn set_count(&self, count: u32) {
        self.count.set(count);
        self.is_plain.set(false);
    }

    /// Uses what few scopes have. `use_it` calls no user code.
    ///
    /// A closed scope has none of it: what was meant for it is not for the one opened there next.
    fn rare<R>(&self, use_it: impl FnOnce(&mut Rare) -> R) -> Option<R> {
        if !self.is_open() {
            return None;
        }
        self.is_plain.set(false);
        let mut rare = self.rare.take().unwrap_or_default();
        let result = use_it(&mut rare);
        self.rare.set(Some(rare));
        Some(result)
    }

    /// The same if the scope has any of it.
    #[inline]
    fn rare_if_any<R>(&self, use_it: impl FnOnce(&mut Rare) -> Option<R>) -> Option<R> {
        if self.is_plain.get() {
            return None;
        }
        let mut rare = self.rare.take()?;
        let result = use_it(&mut rare);
        self.rare.set(Some(rare));
        result
    }

    /// Keeps a request that nothing took; gives the one it replaces.
    pub(crate) fn set_must(&self, why: CancelledError) -> Option<CancelledError> {
        self.rare(|rare| rare.must.replace(why)).flatten()
    }

    pub(crate) fn take_must(&self) -> Option<CancelledError> {
        self.rare_if_any(|rare| rare.must.take())
    }

    /// What is awaited within the scope was asked to stop along with it.
    pub(crate) fn note_offer(&self, now: u64) {
        self.rare(|rare| rare.offered = now);
    }

    /// Whether an await within the scope, with this registration, was asked to stop along with it.
    pub(crate) fn was_offered(&self, id: u64) -> bool {
        self.rare_if_any(|rare| Some(id < rare.offered)) == Some(true)
    }

    /// Has its next poll catch, and gives the waker to wake for that. The first raise counts, but
    /// one that was meant for a scope gives way to the task's, which has to outlast that scope.
    pub(crate) fn raise(&self, raise: Raise) -> Option<Waker> {
        self.rare(|rare| {
            let old = rare.raised.take();
            let stays = |old: &Raise| old.target.is_none() || raise.target.is_some();
            rare.raised = Some(old.filter(stays).unwrap_or(raise));
            rare.waker.take()
        })
        .flatten()
    }

    /// What was raised at it and not caught.
    pub(crate) fn raised(&self) -> Option<Raise> {
        self.rare_if_any(|rare| rare.raised.clone())
    }

    pub(crate) fn take_raised(&self) -> Option<Raise> {
        self.rare_if_any(|rare| rare.raised.take())
    }

    /// Catches what was raised at it.
    #[cold]
    pub(super) fn catch(&self) -> Option<CancelledError> {
        let raise = self.take_raised()?;
        raise.caught.set(true);
        Some(raise.why)
    }

    /// A step of the scope's task has found it pending.
    #[inline]
    pub(super) fn note_pending(&self, lp: &LoopState, waker: &Waker) {
        if lp.step.is_own(waker) {
            self.polled.set(lp.turns.get());
            lp.step.note_scope();
        } else {
            self.note_wrapped(lp, waker);
        }
    }

    /// The same with a waker that wraps the task's.
    #[cold]
    fn note_wrapped(&self, lp: &LoopState, waker: &Waker) {
        // It may have been found pending without that before, in the same step.
        let turn = lp.turns.get();
        lp.scopes.borrow_mut().note_step(self.task(), turn);
        self.polled.set(WRAPPED);
        // Cloning a waker, and dropping one, is user code.
        let waker = waker.clone();
        drop(self.rare(|rare| rare.waker.replace(waker)));
    }

    /// The scope is closed: takes back what it was asked, and sees to what was raised at it if nobody
    /// caught that or may still do so, and it was meant for more than this scope.
    #[cold]
    pub(super) fn give_back(self: &Rc<Self>, lp: &LoopState) {
        // It may hold a waker, whose drop is user code.
        let rare = self.rare.take().unwrap_or_default();
        let task = lp.task(self.task());
        if let Some(task) = &task {
            task.head().withdraw(lp, self);
        }
        self.count.set(0);
        self.wrapped.set(0);
        self.polled.set(0);
        self.is_plain.set(true);
        let (Some(task), Some(raise)) = (task, rare.raised) else {
            return;
        };
        let Raise {
            why,
            target,
            caught,
        } = raise;
        let only_mine = (target.as_ref()).is_some_and(|target| Rc::ptr_eq(target, self));
        // Another scope that it was raised at may still catch it, or give it back.
        let comes = Rc::strong_count(&caught) > 1;
        if !caught.get() && !only_mine && !comes {
            lp.request_again(&task, target.as_ref(), why);
        }
    }
}
