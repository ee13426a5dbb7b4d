//! Those who open a scope, and those who may ask it to stop.

use std::rc::Rc;
use std::task::{Context, Poll};

use super::{CancelledError, Scope};
use crate::event_loop::{LoopState, current, write_over};
use crate::tasks::TaskRef;

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

    #[inline(always)]
    fn open_here(&mut self) -> Option<&OpenScope> {
        if !self.is_here() {
            self.open_anew();
        }
        self.open.as_ref()
    }

    /// Opens it in the task whose step is going on, if there is one.
    #[inline(never)]
    fn open_anew(&mut self) {
        if let Some(elsewhere) = self.open.take() {
            elsewhere.leave();
        }
        write_over(&mut self.open, OpenScope::in_running_task());
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
            if !scope.is_plain()
                && let Some(why) = scope.catch()
            {
                lp.forget_offers_around(scope.id());
                return Poll::Ready(Err(why));
            }
            let around = lp.step.scope();
            if scope.around() != around {
                lp.scopes.borrow().move_into(scope, around);
            }
            inside = Some((lp.step.enter_scope(scope.id()), lp, scope));
        }
        let polled = poll(cx);
        if let Some((inside, lp, scope)) = inside {
            if let Some(why) = inside.returned() {
                // The raise beats a result that came in the same poll.
                drop(polled);
                return Poll::Ready(Err(why));
            }
            if polled.is_pending() {
                scope.note_pending(lp, cx.waker());
            }
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
        if let Some(open) = self.open.take() {
            open.leave();
        }
    }
}

impl OpenScope {
    /// What ran in the scope is gone: whatever it polled is not awaited any more.
    #[cold]
    fn forget_awaits(&self) {
        let Self { lp, scope } = self;
        let task = lp.task(scope.task());
        let gone = task.map(|task| task.head().forget_awaits_within(lp, scope));
        lp.drop_user(gone);
    }

    #[inline]
    fn in_running_task() -> Option<Self> {
        current::with(|running| {
            let lp = running?;
            let scope = lp.idle_scope.take_for(lp, lp.step.key()?);
            scope.begin(lp.step.scope());
            let lp = lp.clone();
            Some(Self { lp, scope })
        })
    }

    /// Closes it before the work in it has come to its end.
    #[cold]
    fn leave(self) {
        self.close();
    }

    #[inline]
    fn close(self) {
        if !self.scope.is_plain() || self.lp.step.may_concern(self.scope.task()) {
            return self.close_rare();
        }
        let Self { lp, scope } = self;
        scope.end();
        lp.idle_scope.put(&lp, scope);
    }

    /// There may be more to do about a scope that is closed.
    #[inline(never)]
    fn close_rare(self) {
        let Self { lp, scope } = &self;
        let task = scope.task();
        let awaits = lp.with_task(task, |head| head.awaits_within(lp, scope));
        if awaits == Some(true) {
            self.forget_awaits();
        }
        if let Some(turn) = scope.polled() {
            lp.scopes.borrow_mut().note_step(task, turn);
        }
        scope.end();
        // While `self` has it, it is not opened again.
        lp.idle_scope.put(lp, scope.clone());
        if !scope.is_plain() {
            scope.give_back(lp);
        }
    }
}
