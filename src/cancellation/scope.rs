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
//! A raise that happens inside a poll needs no mark here: the leaf notes it in the step, every leaf
//! polled after it stays without effect, and the poll of the innermost scope on the stack takes the
//! note when control comes back to it.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::CancelledError;
use crate::event_loop::{LoopState, current, write_over};
use crate::tasks::TaskRef;

/// In the place of a turn: polled with a waker that wraps the task's, so that it counts as live
/// until it is closed.
const WRAPPED: u64 = u64::MAX;

/// Names a scope: its place, and below that the end of the number it was opened with. (After 2^32 of them
/// the numbers begin again.)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ScopeId(u64);

impl ScopeId {
    /// In the place of a scope: outside all of them.
    pub(crate) const TASK: Self = Self(u64::MAX);

    fn new(place: u32, opened: u64) -> Self {
        Self(u64::from(place) << 32 | opened & u64::from(u32::MAX))
    }

    pub(crate) fn place(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl Default for ScopeId {
    fn default() -> Self {
        Self::TASK
    }
}

/// A scope; a closed one by default. The same is opened again and again, by any task of the loop, when
/// nobody refers to it any more from before.
#[derive(Default)]
pub(crate) struct Scope {
    id: Cell<ScopeId>,
    /// The task it is in, as a waker names it.
    task: Cell<u64>,
    /// Ascends in the order in which the scopes of a loop are opened.
    opened: Cell<u64>,
    /// The scope around it when it was polled last.
    around: Cell<ScopeId>,
    /// The turn in which a task's own step polled it last, or `WRAPPED`.
    polled: Cell<u64>,
    is_open: Cell<bool>,
    has_rare: Cell<bool>,
    /// How often this scope was asked to stop.
    pub(crate) count: Cell<u32>,
    /// How many awaits through wrapping wakers there are in it, and in scopes inside it.
    wrapped: Cell<usize>,
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
    /// A closed one, to stand in the place of this one.
    pub(crate) fn successor(&self) -> Self {
        Self {
            task: self.task.clone(),
            older: self.older.clone(),
            newer: self.newer.clone(),
            ..Self::default()
        }
    }

    /// It is opened.
    #[inline]
    pub(crate) fn begin(&self, lp: &LoopState, place: u32) {
        let opened = lp.next_registration();
        self.id.set(ScopeId::new(place, opened));
        self.opened.set(opened);
        self.around.set(lp.step.scope());
        self.polled.set(lp.turns.get());
        self.is_open.set(true);
        lp.step.note_scope();
    }

    /// It is closed.
    #[inline]
    pub(crate) fn end(&self) {
        self.is_open.set(false);
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

    /// Where it stands in the order of opening.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.get()
    }

    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.get()
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

    pub(crate) fn set_wrapped(&self, count: usize) {
        self.wrapped.set(count);
    }

    /// Whether the task may be suspended in it: it was polled by the task's latest step, which was in
    /// turn `stepped` if it polled any scope.
    pub(crate) fn is_live(&self, stepped: Option<u64>) -> bool {
        let polled = self.polled.get();
        Some(polled) == stepped || polled == WRAPPED
    }

    /// Uses what few scopes have. `use_it` calls no user code.
    ///
    /// A closed scope has none of it: what was meant for it is not for the one opened there next.
    fn rare<R>(&self, use_it: impl FnOnce(&mut Rare) -> R) -> Option<R> {
        if !self.is_open() {
            return None;
        }
        self.has_rare.set(true);
        let mut rare = self.rare.take().unwrap_or_default();
        let result = use_it(&mut rare);
        self.rare.set(Some(rare));
        Some(result)
    }

    /// The same if the scope has any of it.
    #[inline]
    fn rare_if_any<R>(&self, use_it: impl FnOnce(&mut Rare) -> Option<R>) -> Option<R> {
        if !self.has_rare.get() {
            return None;
        }
        let mut rare = self.rare.take()?;
        let result = use_it(&mut rare);
        self.rare.set(Some(rare));
        result
    }

    /// Whether it has anything that few scopes have.
    #[inline]
    pub(crate) fn has_rare(&self) -> bool {
        self.has_rare.get()
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
    fn catch(&self) -> Option<CancelledError> {
        let raise = self.take_raised()?;
        raise.caught.set(true);
        Some(raise.why)
    }

    /// Notes the poll that begins, in a step of the scope's task.
    #[inline]
    fn note_poll(&self, lp: &LoopState, waker: &Waker) {
        if lp.step.is_own(waker) {
            self.polled.set(lp.turns.get());
        } else {
            self.note_wrapped(waker);
        }
    }

    /// Notes that it is polled with a waker that wraps the task's.
    #[cold]
    fn note_wrapped(&self, waker: &Waker) {
        self.polled.set(WRAPPED);
        // Cloning a waker, and dropping one, is user code.
        let waker = waker.clone();
        drop(self.rare(|rare| rare.waker.replace(waker)));
    }

    /// The scope is closed: takes back what it was asked, and sees to what was raised at it if nobody
    /// caught that or may still do so, and it was meant for more than this scope.
    #[cold]
    fn give_back(self: &Rc<Self>, lp: &LoopState) {
        // It may hold a waker, whose drop is user code.
        let rare = self.rare.take().unwrap_or_default();
        self.has_rare.set(false);
        let Some(task) = lp.task(self.task()) else {
            self.count.set(0);
            return;
        };
        task.head().withdraw(lp, self);
        let Some(Raise {
            why,
            target,
            caught,
        }) = rare.raised
        else {
            return;
        };
        let only_mine = (target.as_ref()).is_some_and(|target| Rc::ptr_eq(target, self));
        // Another scope that it was raised at may still catch it, or give it back.
        let comes = Rc::strong_count(&caught) > 1;
        if !caught.get() && !only_mine && !comes {
            lp.request_again(&task, target.as_ref(), why);
        }
    }
}

/// The scope that a future opens in the task that polls it, from the first poll until it is closed
/// or dropped.
#[derive(Default)]
pub(crate) struct ScopeSlot {
    open: Option<OpenScope>,
}

struct OpenScope {
    lp: Rc<LoopState>,
    scope: Rc<Scope>,
}

/// A scope, for those who may ask it to stop.
#[derive(Clone)]
pub(crate) struct ScopeRef {
    lp: Rc<LoopState>,
    scope: Rc<Scope>,
}

impl ScopeRef {
    pub(crate) fn event_loop(&self) -> &Rc<LoopState> {
        &self.lp
    }

    /// The innermost scope that is being polled.
    pub(crate) fn innermost() -> Option<Self> {
        let lp = current::get()?;
        let scope = lp.scopes.borrow().get(lp.step.scope()).cloned()?;
        Some(Self { lp, scope })
    }

    /// Whether it is in the task whose step is going on.
    pub(crate) fn is_here(&self) -> bool {
        self.lp.step.is_of(self.scope.task())
    }

    /// The task, unless it is over.
    fn task(&self) -> Option<TaskRef> {
        self.lp.task(self.scope.task())
    }

    /// Asks what runs in this scope to stop; says whether it is still open.
    pub(crate) fn request(&self, why: CancelledError) -> bool {
        if !self.scope.is_open() {
            return false;
        }
        let Some(task) = self.task() else {
            return false;
        };
        self.lp.request(&task, Some(&self.scope), why);
        true
    }

    /// How often the task and the scopes around this one were asked to stop.
    pub(crate) fn outer_requests(&self) -> u32 {
        self.lp.requests_around(self.scope.task(), &self.scope)
    }

    /// Takes the one request back that was made to this scope.
    pub(crate) fn take_back(&self) {
        if let Some(task) = self.task() {
            task.head().take_back(&self.lp, &self.scope);
        }
    }

    /// Asks again, without counting it, the outermost one around this scope that was asked.
    pub(crate) fn ask_outer_again(&self, why: CancelledError) {
        if let Some(task) = self.task() {
            task.head().ask_around(&self.lp, &self.scope, why);
        }
    }
}

impl ScopeSlot {
    /// Opens the scope in the task whose step is going on, if it is not open in that already. Gives
    /// nothing if no task steps.
    pub(crate) fn open(&mut self) -> Option<ScopeRef> {
        self.open_here()?;
        self.scope()
    }

    /// The same, and says whether it is open then.
    #[inline]
    pub(crate) fn open_in_task(&mut self) -> bool {
        self.open_here().is_some()
    }

    /// The loop it is open in.
    #[inline]
    pub(crate) fn event_loop(&self) -> Option<&LoopState> {
        self.open.as_ref().map(|open| &*open.lp)
    }

    /// The scope, if it is open.
    pub(crate) fn scope(&self) -> Option<ScopeRef> {
        let open = self.open.as_ref()?;
        Some(ScopeRef {
            lp: open.lp.clone(),
            scope: open.scope.clone(),
        })
    }

    /// How often the task and the scopes around it were asked to stop.
    #[inline]
    pub(crate) fn outer_requests(&self) -> u32 {
        let Some(OpenScope { lp, scope }) = &self.open else {
            return 0;
        };
        lp.requests_around(scope.task(), scope)
    }

    /// Whether it is open in the task whose step is going on.
    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        (self.open.as_ref()).is_some_and(|open| open.lp.step.is_of(open.scope.task()))
    }

    /// Opens it in the task whose step is going on, if there is one.
    #[inline(never)]
    fn open_anew(&mut self) {
        self.close();
        write_over(&mut self.open, OpenScope::in_running_task());
    }

    #[inline]
    fn open_here(&mut self) -> Option<&OpenScope> {
        if !self.is_here() {
            self.open_anew();
        }
        self.open.as_ref()
    }

    /// Polls what runs in the scope.
    ///
    /// `Err` means that a cancellation was caught: the caller then drops what it polls.
    #[inline(always)]
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Result<T, CancelledError>> {
        // In another executor's task it is not open: there is nothing to catch.
        let open = self.open_here();
        let mut inside = None;
        if let Some(OpenScope { lp, scope }) = open {
            if lp.step.is_unwinding() {
                return current::pending_while_unwinding(cx);
            }
            if scope.has_rare()
                && let Some(why) = scope.catch()
            {
                return Poll::Ready(Err(why));
            }
            scope.note_poll(lp, cx.waker());
            let around = lp.step.scope();
            if scope.around() != around {
                lp.scopes.borrow().move_into(scope, around);
            }
            inside = Some(lp.step.enter_scope(scope.id()));
        }
        let polled = poll(cx);
        if let Some(inside) = inside
            && let Some(why) = inside.returned()
        {
            // The raise beats a result that came in the same poll.
            drop(polled);
            return Poll::Ready(Err(why));
        }
        polled.map(Ok)
    }

    /// What ran in the scope is gone: whatever it polled is not awaited any more.
    pub(crate) fn forget_awaits(&self) {
        if let Some(open) = &self.open {
            open.forget_awaits();
        }
    }

    /// Takes the scope out of the task, with the requests that were made to it.
    #[inline(always)]
    pub(crate) fn close(&mut self) {
        if let Some(open) = self.open.take() {
            open.close();
        }
    }
}

impl Drop for ScopeSlot {
    #[inline(always)]
    fn drop(&mut self) {
        self.close();
    }
}

impl OpenScope {
    /// What ran in the scope is gone: whatever it polled is not awaited any more.
    #[cold]
    fn forget_awaits(&self) {
        let Self { lp, scope } = self;
        let gone = lp.with_task(scope.task(), |head| head.forget_awaits_within(lp, scope));
        lp.drop_user(gone);
    }

    #[inline]
    fn in_running_task() -> Option<Self> {
        let lp = current::get()?;
        let task = lp.step.key()?;
        let scope = lp.scopes.borrow_mut().open(&lp, task);
        Some(Self { lp, scope })
    }

    #[inline(never)]
    fn close(self) {
        let Self { lp, scope } = &self;
        let task = scope.task();
        if scope.wrapped() > 0 || lp.step.may_await(task) {
            let awaits = lp.with_task(task, |head| head.awaits_within(lp, scope));
            if awaits == Some(true) {
                self.forget_awaits();
            }
            // If it has outlived the task, they are still counted.
            scope.set_wrapped(0);
        }
        lp.scopes.borrow_mut().close(scope);
        scope.end();
        if scope.has_rare() || scope.count.get() > 0 {
            scope.give_back(lp);
        }
    }
}
