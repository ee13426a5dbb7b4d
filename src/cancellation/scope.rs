//! Scopes: where in a task a cancellation is caught.
//!
//! The scopes of a task form a tree; what is around a scope is its parent, and the task itself is
//! around them all. A scope knows its parent only: the task has the list of those that are open (in
//! `tasks::scopes`).
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
use crate::event_loop::{LoopState, current};
use crate::tasks::TaskRef;

/// In the place of a turn: polled with a waker that wraps the task's, so that it counts as live
/// until it is closed.
const WRAPPED: u64 = u64::MAX;

#[derive(Default)]
pub(crate) struct Scope {
    /// The scope around it; `None` if that is the task.
    parent: Option<Rc<Scope>>,
    /// Ascends in the order in which the scopes of a loop are opened.
    opened: u64,
    /// The turn in which a task's own step polled it last, or `WRAPPED`.
    polled: Cell<u64>,
    /// Its place in the task's list.
    pub(crate) place: Cell<usize>,
    is_open: Cell<bool>,
    /// How often this scope was asked to stop.
    pub(crate) count: Cell<u32>,
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
}

/// A request on its way into the innermost scopes.
#[derive(Clone)]
pub(crate) struct Raise {
    pub(crate) why: CancelledError,
    /// The scope that was asked; `None` if it was the task.
    pub(crate) target: Option<Rc<Scope>>,
    /// Whether any of the scopes it was raised at has caught it.
    pub(crate) caught: Rc<Cell<bool>>,
}

impl Scope {
    /// Whether it is `outer`, or inside it.
    pub(crate) fn is_within(&self, outer: &Rc<Self>) -> bool {
        let mut scope = self;
        loop {
            if std::ptr::eq(scope, &**outer) {
                return true;
            }
            match &scope.parent {
                // A scope is opened after the ones around it.
                Some(parent) if scope.opened > outer.opened => scope = parent,
                _ => return false,
            }
        }
    }

    /// Makes it as good as new, when it is closed.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.parent = None;
        self.count.set(0);
        // It may hold a waker, whose drop is user code.
        drop(self.rare.take());
    }

    pub(crate) fn parent(&self) -> Option<&Rc<Self>> {
        self.parent.as_ref()
    }

    /// Where it stands in the order of opening.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }

    /// Whether the task may be suspended in it: it was polled by the task's latest step, which was in
    /// turn `stepped`.
    pub(crate) fn is_live(&self, stepped: u64) -> bool {
        let polled = self.polled.get();
        polled == stepped || polled == WRAPPED
    }

    /// Uses what few scopes have. `use_it` calls no user code.
    fn rare<R>(&self, use_it: impl FnOnce(&mut Rare) -> R) -> R {
        let mut rare = self.rare.take().unwrap_or_default();
        let result = use_it(&mut rare);
        self.rare.set(Some(rare));
        result
    }

    /// The same if the scope has any of it.
    #[inline]
    fn rare_if_any<R>(&self, use_it: impl FnOnce(&mut Rare) -> Option<R>) -> Option<R> {
        let mut rare = self.rare.take()?;
        let result = use_it(&mut rare);
        self.rare.set(Some(rare));
        result
    }

    /// Keeps a request that nothing took; gives the one it replaces.
    pub(crate) fn set_must(&self, why: CancelledError) -> Option<CancelledError> {
        self.rare(|rare| rare.must.replace(why))
    }

    pub(crate) fn take_must(&self) -> Option<CancelledError> {
        self.rare_if_any(|rare| rare.must.take())
    }

    /// Has its next poll catch, and gives the waker to wake for that. The first raise counts.
    pub(crate) fn raise(&self, raise: Raise) -> Option<Waker> {
        self.rare(|rare| {
            rare.raised.get_or_insert(raise);
            rare.waker.take()
        })
    }

    /// Catches what was raised at it.
    #[inline]
    fn catch(&self) -> Option<CancelledError> {
        let raise = self.rare_if_any(|rare| rare.raised.take())?;
        raise.caught.set(true);
        Some(raise.why)
    }

    /// Notes the poll that begins.
    #[inline]
    fn note_poll(&self, lp: &LoopState, waker: &Waker) {
        if lp.step.is_direct(waker) {
            self.polled.set(lp.turns.get());
        } else {
            self.polled.set(WRAPPED);
            // Cloning a waker, and dropping one, is user code.
            let waker = waker.clone();
            drop(self.rare(|rare| rare.waker.replace(waker)));
        }
    }

    /// The scope is being closed: gives what was raised at it if nobody caught that, and it was
    /// meant for more than this scope.
    pub(crate) fn give_back(self: &Rc<Self>) -> Option<Raise> {
        let raise = self.rare_if_any(|rare| rare.raised.take())?;
        let only_mine = (raise.target.as_ref()).is_some_and(|target| Rc::ptr_eq(target, self));
        (!raise.caught.get() && !only_mine).then_some(raise)
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
    /// The task it is in. (The task drops its coroutine, and this with it, when it is over.)
    task: TaskRef,
    /// The task, as a waker names it.
    key: u64,
    scope: Rc<Scope>,
}

/// A scope, for those who may ask it to stop.
#[derive(Clone)]
pub(crate) struct ScopeRef {
    lp: Rc<LoopState>,
    /// The task it is in, as a waker names it.
    task: u64,
    scope: Rc<Scope>,
}

impl ScopeRef {
    /// The task, unless it is over.
    fn task(&self) -> Option<TaskRef> {
        self.lp.task(self.task)
    }

    /// Asks what runs in this scope to stop; says whether it is still open.
    pub(crate) fn request(&self, why: CancelledError) -> bool {
        if !self.scope.is_open.get() {
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
        let task = self.task();
        task.map_or(0, |task| task.head().requests_around(&self.scope))
    }

    /// Takes the one request back that was made to this scope.
    pub(crate) fn take_back(&self) {
        if let Some(task) = self.task() {
            task.head().take_back(&self.scope);
        }
    }

    /// Asks again, without counting it, the outermost one around this scope that was asked.
    pub(crate) fn ask_outer_again(&self, why: CancelledError) {
        if let Some(task) = self.task() {
            task.head().ask_around(&self.scope, why);
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

    /// The scope, if it is open.
    pub(crate) fn scope(&self) -> Option<ScopeRef> {
        let open = self.open.as_ref()?;
        Some(ScopeRef {
            lp: open.lp.clone(),
            task: open.key,
            scope: open.scope.clone(),
        })
    }

    /// Whether it is open in the task whose step is going on.
    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        (self.open.as_ref()).is_some_and(|open| open.lp.step.is_of(open.key))
    }

    #[inline]
    fn open_here(&mut self) -> Option<&OpenScope> {
        if !self.is_here() {
            self.close();
            self.open = OpenScope::in_running_task();
        }
        self.open.as_ref()
    }

    /// Polls what runs in the scope.
    ///
    /// `Err` means that a cancellation was caught: the caller then drops what it polls.
    #[inline]
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Result<T, CancelledError>> {
        let Some(OpenScope { lp, scope, .. }) = self.open_here() else {
            // Another executor's task: there is nothing to catch.
            return poll(cx).map(Ok);
        };
        if lp.step.is_unwinding() {
            return Poll::Pending;
        }
        if let Some(why) = scope.catch() {
            return Poll::Ready(Err(why));
        }
        scope.note_poll(lp, cx.waker());
        let polled = {
            let _left = lp.step.enter_scope(scope);
            poll(cx)
        };
        match lp.step.take_unwinding() {
            // The raise beats a result that came in the same poll.
            Some(why) => {
                drop(polled);
                Poll::Ready(Err(why))
            }
            None => polled.map(Ok),
        }
    }

    /// What ran in the scope is gone: whatever it polled is not awaited any more.
    pub(crate) fn forget_awaits(&self) {
        if let Some(open) = &self.open {
            open.task.head().forget_awaits_within(&open.lp, &open.scope);
        }
    }

    /// Takes the scope out of the task, with the requests that were made to it.
    #[inline]
    pub(crate) fn close(&mut self) {
        if let Some(open) = self.open.take() {
            open.close();
        }
    }
}

impl Drop for ScopeSlot {
    #[inline]
    fn drop(&mut self) {
        self.close();
    }
}

impl OpenScope {
    fn in_running_task() -> Option<Self> {
        let lp = current::get()?;
        let task = lp.current_task()?;
        let turn = lp.turns.get();
        let mut scope = lp.step.spare_scope();
        let fresh = Rc::get_mut(&mut scope).expect("nobody else has a spare one");
        fresh.parent = lp.step.scope();
        fresh.opened = lp.next_registration();
        fresh.is_open.set(true);
        fresh.polled.set(turn);
        let head = task.head();
        head.open_scope(&scope, turn);
        let key = head.key();
        Some(Self {
            lp,
            task,
            key,
            scope,
        })
    }

    fn close(self) {
        let Self {
            lp, task, scope, ..
        } = self;
        let head = task.head();
        scope.is_open.set(false);
        head.forget_awaits_within(&lp, &scope);
        if let Some(Raise { why, target, .. }) = head.close_scope(&scope) {
            lp.request_again(&task, target.as_ref(), why);
        }
        lp.step.recycle_scope(scope);
    }
}
