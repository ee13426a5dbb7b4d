//! A task's scopes, and how it is asked to stop.
//!
//! A request goes to a *target*: the task, or one of its scopes (a timeout asks what runs under it,
//! and nothing else). It is offered to whatever is awaited within the target. If that takes it, the
//! await raises it by itself when it comes back cancelled. If nothing takes it, the target keeps it
//! (it *must* raise), and the next step raises it at the innermost scopes within.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::head::{
    AWAITS_MORE, MUST, OFFERED, PASSING, PROBE, QUEUED, RUNNING, Rare, SCOPED, STARTED,
};
use super::{TaskHead, TaskRef, Waiter};
use crate::cancellation::{CancelledError, Raise, Scope};
use crate::event_loop::LoopState;
use crate::futures::State;

/// Who is asked to stop: a scope, or the whole task.
type Target<'a> = Option<&'a Rc<Scope>>;

/// Requests that nothing took, and who was asked.
type Requests = Vec<(Option<Rc<Scope>>, CancelledError)>;

impl Rare {
    /// The open scopes, outer ones before inner ones.
    fn scopes_in_order(&self) -> Vec<Rc<Scope>> {
        let mut scopes = self.scopes.clone();
        scopes.sort_by_key(|scope| scope.opened());
        scopes
    }

    /// All requests to the task and its scopes that were not taken back.
    fn cancelling(&self) -> u32 {
        let scopes = self.scopes.iter().map(|scope| scope.count.get());
        scopes.fold(self.cancelling, u32::saturating_add)
    }

    /// Takes out the requests that nothing took, the task's first, if `which` says so of the target.
    fn take_requests(&mut self, which: impl Fn(Target<'_>) -> bool) -> Requests {
        let mut requests = Vec::new();
        if which(None)
            && let Some(why) = self.must.take()
        {
            requests.push((None, why));
        }
        if !self.scopes.is_empty() {
            for scope in self.scopes_in_order() {
                if which(Some(&scope))
                    && let Some(why) = scope.take_must()
                {
                    requests.push((Some(scope), why));
                }
            }
        }
        requests
    }

    /// The innermost scopes within the target in which the task may be suspended.
    fn innermost(&self, target: Target<'_>) -> Vec<Rc<Scope>> {
        let mut live = self.scopes_in_order();
        live.retain(|scope| {
            scope.is_live(self.stepped) && target.is_none_or(|target| scope.is_within(target))
        });
        let parents = live.iter().filter_map(|scope| scope.parent());
        let parents: BTreeSet<_> = parents.map(Rc::as_ptr).collect();
        live.retain(|scope| !parents.contains(&Rc::as_ptr(scope)));
        live
    }
}

impl TaskHead {
    // ---- opening and closing

    /// Takes in a scope that the step of turn `turn` opens.
    #[inline]
    pub(crate) fn open_scope(&self, scope: &Rc<Scope>, turn: u64) {
        self.set(SCOPED);
        self.rare(|rare| {
            rare.stepped = turn;
            scope.place.set(rare.scopes.len());
            rare.scopes.push(scope.clone());
        });
    }

    /// Takes a scope out, with what it was asked; gives what was raised at it and not caught.
    #[inline]
    pub(crate) fn close_scope(&self, scope: &Rc<Scope>) -> Option<Raise> {
        let place = scope.place.get();
        let last = self.rare(|rare| {
            drop(rare.scopes.swap_remove(place));
            if let Some(moved) = rare.scopes.get(place) {
                moved.place.set(place);
            }
            rare.scopes.is_empty()
        });
        if last {
            self.clear(SCOPED);
        }
        drop(scope.take_must());
        if scope.count.replace(0) > 0 && self.cancelling() == 0 {
            self.drop_requests();
        }
        scope.give_back()
    }

    // ---- counting

    pub(crate) fn cancelling(&self) -> u32 {
        self.rare_if_any(|rare| rare.cancelling()).unwrap_or(0)
    }

    fn count_request(&self, target: Target<'_>) {
        match target {
            Some(scope) => scope.count.set(scope.count.get().saturating_add(1)),
            None => self.rare(|rare| rare.cancelling = rare.cancelling.saturating_add(1)),
        }
    }

    /// Takes one request back, the one to the outermost target; with the last one go the requests
    /// that nothing took yet.
    pub(crate) fn uncancel(&self) -> u32 {
        let left = self.rare(|rare| {
            if rare.cancelling > 0 {
                rare.cancelling -= 1;
            } else if let Some(scope) = (rare.scopes_in_order().iter()).find(|s| s.count.get() > 0)
            {
                scope.count.set(scope.count.get() - 1);
            }
            rare.cancelling()
        });
        if left == 0 {
            self.drop_requests();
        }
        left
    }

    /// Takes back the one request that was made to a scope. If somebody did so before, it is one of
    /// the others, as in asyncio, where a task has a single count.
    pub(crate) fn take_back(&self, scope: &Rc<Scope>) {
        if scope.count.replace(0) == 0 {
            self.uncancel();
        } else if self.cancelling() == 0 {
            self.drop_requests();
        }
    }

    /// How often the task and the scopes around this one were asked to stop.
    pub(crate) fn requests_around(&self, scope: &Rc<Scope>) -> u32 {
        let mut count = self.rare_if_any(|rare| rare.cancelling).unwrap_or(0);
        let mut around = scope.parent();
        while let Some(scope) = around {
            count = count.saturating_add(scope.count.get());
            around = scope.parent();
        }
        count
    }

    // ---- what nothing took yet

    fn set_request(&self, target: Target<'_>, why: CancelledError) {
        self.set(MUST);
        let old = match target {
            Some(scope) => scope.set_must(why),
            None => self.rare(|rare| rare.must.replace(why)),
        };
        drop(old);
    }

    fn take_requests(&self) -> Requests {
        self.clear(MUST);
        (self.rare_if_any(|rare| rare.take_requests(|_| true))).unwrap_or_default()
    }

    fn drop_requests(&self) {
        if self.has(MUST) {
            drop(self.take_requests());
            self.clear(PROBE);
        }
    }

    /// Takes the cancellation that the task met too late to raise it.
    #[inline]
    pub(super) fn take_must(&self) -> Option<CancelledError> {
        if !self.has(MUST) {
            return None;
        }
        self.clear(PROBE);
        self.take_requests().into_iter().find_map(|(target, why)| {
            // The scopes are gone with the coroutine.
            target.is_none().then_some(why)
        })
    }

    /// Asks again the outermost one around `scope` that was asked and has not taken it back.
    pub(crate) fn ask_around(&self, scope: &Rc<Scope>, why: CancelledError) {
        if self.rare_if_any(|rare| rare.cancelling > 0) == Some(true) {
            return self.set_request(None, why);
        }
        let mut asked = None;
        let mut around = scope.parent();
        while let Some(scope) = around {
            if scope.count.get() > 0 {
                asked = Some(scope);
            }
            around = scope.parent();
        }
        if asked.is_some() {
            self.set_request(asked, why);
        }
    }

    // ---- what is awaited

    /// What ran in `scope` is gone, and with it what it awaited.
    #[inline]
    pub(crate) fn forget_awaits_within(&self, lp: &Rc<LoopState>, scope: &Rc<Scope>) {
        if self.has(AWAITS_MORE) || self.has_wrapped() {
            self.forget_awaits_slow(lp, scope);
        }
    }

    /// Whether anything is awaited through a wrapping waker.
    fn has_wrapped(&self) -> bool {
        self.rare_if_any(|rare| !rare.wrapped.is_empty()) == Some(true)
    }

    fn forget_awaits_slow(&self, lp: &Rc<LoopState>, scope: &Rc<Scope>) {
        let gone = self.rare_if_any(|rare| {
            let is_within = |waiter: &Waiter| {
                (waiter.scope.as_ref()).is_some_and(|inner| inner.is_within(scope))
            };
            let mut gone: Vec<_> = (rare.more)
                .extract_if(.., |waiter| is_within(waiter))
                .collect();
            let wrapped = rare.wrapped.iter();
            let ids = wrapped.filter_map(|(id, waiter)| is_within(waiter).then_some(*id));
            let ids: Vec<_> = ids.collect();
            gone.extend(ids.iter().filter_map(|id| rare.wrapped.remove(id)));
            (gone, rare.more.is_empty())
        });
        if let Some((gone, none_left)) = gone {
            if none_left {
                self.forget_more();
            }
            lp.drop_user(gone);
        }
    }

    /// The scope of the only thing that the task awaits, if its next step finds that cancelled: a
    /// straight line of code that raises by itself.
    fn meets_cancelled(&self, lp: &LoopState) -> Option<Option<Rc<Scope>>> {
        let only = self.only_waiter(lp)?;
        let (future, scope) = only;
        (future.state() == State::Cancelled).then_some(scope)
    }
}

impl LoopState {
    /// Asks a task, or a scope of it, to stop.
    pub(crate) fn request(&self, task: &TaskRef, target: Target<'_>, why: CancelledError) {
        task.head().count_request(target);
        self.request_again(task, target, why);
    }

    /// The same for a request that is counted already.
    pub(crate) fn request_again(&self, task: &TaskRef, target: Target<'_>, why: CancelledError) {
        let head = task.head();
        if head.has(RUNNING) || !head.has(STARTED) {
            // The end of the step, or the first step, sees to it.
            head.set_request(target, why);
        } else if head.has(PASSING) {
            // It comes back: tasks await each other, and it has to end somewhere.
            head.set_request(target, why);
            drop(self.schedule_step(task.clone()));
        } else {
            self.deliver(task, target, why, false);
        }
    }

    /// Passes a request on to what is awaited within the target, or has the next step raise it. If it
    /// is not clear what that is, the next step finds out; once, for `probed` says that it just did.
    fn deliver(&self, task: &TaskRef, target: Target<'_>, why: CancelledError, probed: bool) {
        let head = task.head();
        let awaited = head.awaited_within(self, target);
        // With a step queued, something it awaited is over, and it may let go of the rest.
        let moves_on = head.has(QUEUED) && awaited.iter().any(|future| future.accepts_cancel());
        if !probed && (head.is_unsettled() || moves_on) {
            head.set_request(target, why);
            head.set(PROBE);
        } else {
            // A gather whose children are done takes nothing, but completes and wakes the task in time.
            let wakes = awaited
                .iter()
                .any(|future| future.state() == State::Pending);
            if !awaited.is_empty() && self.offer(task.clone(), awaited, &why) {
                return head.set(OFFERED);
            }
            head.set_request(target, why);
            if wakes {
                return;
            }
        }
        drop(self.schedule_step(task.clone()));
    }

    /// A step has ended, and the task is suspended: requests that came meanwhile take effect.
    #[cold]
    pub(super) fn deliver_after_step(&self, task: &TaskRef) {
        let head = task.head();
        let probed = head.take(PROBE);
        for (target, why) in head.take_requests() {
            self.deliver(task, target.as_ref(), why, probed);
        }
    }

    /// A step of a task begins that has requests nothing took: raises them at the innermost scopes.
    /// Gives why the whole coroutine is to unwind, if it is.
    #[cold]
    pub(super) fn raise_before_step(self: &Rc<Self>, task: &TaskRef) -> Option<CancelledError> {
        let head = task.head();
        if let Some(scope) = head.meets_cancelled(self) {
            // The await raises by itself: that and a request around it are delivered as one.
            let is_around = |target: Target<'_>| match (target, &scope) {
                (None, _) => true,
                (Some(target), Some(scope)) => scope.is_within(target),
                (Some(_), None) => false,
            };
            let merged = head.rare(|rare| rare.take_requests(is_around));
            if !merged.is_empty() {
                head.set(OFFERED);
            }
            drop(merged);
        }
        if head.has(PROBE) {
            return None;
        }
        for (target, why) in head.take_requests() {
            let mut innermost = head.rare(|rare| rare.innermost(target.as_ref()));
            if innermost.is_empty() {
                match &target {
                    None => return Some(why),
                    // It is not being waited in just now; it catches when it is polled again.
                    Some(scope) => innermost.push(scope.clone()),
                }
            }
            head.set(OFFERED);
            let caught = Rc::new(Cell::new(false));
            let raise = Raise {
                why,
                target,
                caught,
            };
            for scope in innermost {
                if let Some(waker) = scope.raise(raise.clone()) {
                    self.guard("waker", task.base().site, || waker.wake());
                }
            }
        }
        None
    }
}
