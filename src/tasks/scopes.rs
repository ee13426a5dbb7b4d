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
    MUST, OFFERED, OWN_WAKER, Offer, PASSING, PROBE, QUEUED, RAISED, RUNNING, Rare, SCOPED, STARTED,
};
use super::open_scopes::OpenScopes;
use super::{TaskHead, TaskRef, Waiter};
use crate::cancellation::{CancelledError, Raise, Scope, ScopeId};
use crate::event_loop::LoopState;
use crate::futures::{AnyFuture, AnyRef, State, same};

/// Who is asked to stop: a scope, or the whole task.
type Target<'a> = Option<&'a Rc<Scope>>;

/// Requests that nothing took, and who was asked.
type Requests = Vec<(Option<Rc<Scope>>, CancelledError)>;

impl Rare {
    /// All requests to the task and its scopes that were not taken back.
    fn cancelling(&self) -> u32 {
        self.cancelling.saturating_add(self.cancelling_scopes)
    }

    /// Forgets up to `count` requests to a scope.
    fn uncount(&mut self, scope: &Scope, count: u32) {
        let count = count.min(scope.count());
        scope.set_count(scope.count() - count);
        self.cancelling_scopes = self.cancelling_scopes.saturating_sub(count);
    }

    /// Forgets up to one request to the outermost scope of a task that has any.
    fn uncount_outermost(&mut self, scopes: &OpenScopes, task: u64) {
        let scopes = scopes.of_task(task);
        if let Some(scope) = scopes.iter().find(|scope| scope.count() > 0) {
            self.uncount(scope, 1);
        }
    }
}

impl OpenScopes {
    /// The turn of the task's latest step, if that found scopes pending.
    fn stepped(&self, head: &TaskHead) -> Option<u64> {
        head.has(SCOPED).then(|| self.latest_step(head.key()))
    }

    /// Takes out what was raised at scopes that the step did not poll, if nobody has caught it and its
    /// target is still waited in. (A `select!` may have gone on and kept the loser.)
    fn take_missed(&self, head: &TaskHead) -> Vec<Raise> {
        let scopes = self.of_task(head.key());
        let stepped = self.stepped(head);
        let mut missed: Vec<Raise> = Vec::new();
        for scope in &scopes {
            let Some(raise) = scope.raised() else {
                continue;
            };
            let same = |other: &Rc<Scope>| other.raised().is_some_and(|other| other.is(&raise));
            let is_live = |scope: &Rc<Scope>| scope.is_open() && scope.is_live(stepped);
            let comes = scopes.iter().any(|other| is_live(other) && same(other));
            if raise.caught.get() || comes || !raise.target.as_ref().is_none_or(is_live) {
                continue;
            }
            for other in scopes.iter().filter(|other| same(other)) {
                other.take_raised();
            }
            missed.push(raise);
        }
        missed
    }

    /// The innermost scopes within the target in which the task may be suspended. If it is suspended
    /// in none of them, they are all that are open there: they catch when they are polled again.
    fn innermost(&self, head: &TaskHead, target: Target<'_>) -> Vec<Rc<Scope>> {
        let mut within = self.of_task(head.key());
        within.retain(|scope| target.is_none_or(|target| self.is_within(scope.id(), target)));
        let stepped = self.stepped(head);
        let is_live = |scope: &Rc<Scope>| scope.is_live(stepped);
        if target.is_none() || within.iter().any(is_live) {
            within.retain(is_live);
        }
        let parents: BTreeSet<_> = within.iter().map(|scope| scope.around()).collect();
        within.retain(|scope| !parents.contains(&scope.id()));
        within
    }
}

impl TaskHead {
    /// Whether anything is awaited in a scope.
    #[inline]
    pub(crate) fn awaits_within(&self, lp: &LoopState, scope: &Scope) -> bool {
        scope.wrapped() > 0 || !self.awaits_nothing() && self.polled_within(lp, scope)
    }

    /// Whether the latest step polled anything in a scope with the task's own waker.
    #[cold]
    fn polled_within(&self, lp: &LoopState, scope: &Scope) -> bool {
        let (tasks, scopes) = (lp.tasks.borrow(), lp.scopes.borrow());
        let is_within = |waiter: &Waiter| scopes.is_within(waiter.scope, scope);
        let first = self.first_waiter(&tasks);
        first.is_some_and(is_within)
            || self.rare_if_any(|rare| rare.more.iter().any(is_within)) == Some(true)
    }

    /// Takes all requests back that were made to a scope.
    pub(crate) fn withdraw(&self, lp: &LoopState, scope: &Scope) {
        if scope.count() == 0 {
            return;
        }
        let left = self.rare(|rare| {
            rare.uncount(scope, u32::MAX);
            rare.cancelling()
        });
        if left == 0 {
            self.drop_requests(lp);
        }
    }

    // ---- counting

    pub(crate) fn cancelling(&self) -> u32 {
        self.rare_if_any(|rare| rare.cancelling()).unwrap_or(0)
    }

    fn count_request(&self, target: Target<'_>) {
        self.rare(|rare| {
            let total = match target {
                Some(scope) => {
                    scope.set_count(scope.count().saturating_add(1));
                    &mut rare.cancelling_scopes
                }
                None => &mut rare.cancelling,
            };
            *total = total.saturating_add(1);
        });
    }

    /// Takes one request back, the one to the outermost target; with the last one go the requests
    /// that nothing took yet.
    pub(crate) fn uncancel(&self, lp: &LoopState) -> u32 {
        let left = self.rare(|rare| {
            if rare.cancelling > 0 {
                rare.cancelling -= 1;
            } else if rare.cancelling_scopes > 0 {
                rare.uncount_outermost(&lp.scopes.borrow(), self.key());
            }
            rare.cancelling()
        });
        if left == 0 {
            self.drop_requests(lp);
        }
        left
    }

    /// Takes back the one request that was made to a scope. If somebody did so before, it is one of
    /// the others, as in asyncio, where a task has a single count.
    pub(crate) fn take_back(&self, lp: &LoopState, scope: &Rc<Scope>) {
        if scope.count() == 0 {
            self.uncancel(lp);
        } else {
            self.withdraw(lp, scope);
        }
    }

    /// How often the task and the scopes around this one were asked to stop.
    #[inline]
    fn requests_around(&self, lp: &LoopState, scope: &Scope) -> u32 {
        let counts = self.rare_if_any(|rare| (rare.cancelling, rare.cancelling_scopes));
        match counts {
            None => 0,
            Some((requests, 0)) => requests,
            Some((requests, _)) => requests.saturating_add(lp.requests_to_scopes_around(scope)),
        }
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

    /// Takes out the requests that nothing took, the task's first, if `which` says so of the target.
    fn take_requests_if(&self, lp: &LoopState, which: impl Fn(Target<'_>) -> bool) -> Requests {
        let mut requests = Vec::new();
        if which(None)
            && let Some(why) = self.rare_if_any(|rare| rare.must.take()).flatten()
        {
            requests.push((None, why));
        }
        let scopes = lp.scopes.borrow().of_task(self.key());
        for scope in scopes {
            if which(Some(&scope))
                && let Some(why) = scope.take_must()
            {
                requests.push((Some(scope), why));
            }
        }
        requests
    }

    fn take_requests(&self, lp: &LoopState) -> Requests {
        self.clear(MUST);
        self.take_requests_if(lp, |_| true)
    }

    fn drop_requests(&self, lp: &LoopState) {
        if self.has(MUST) {
            drop(self.take_requests(lp));
            self.clear(PROBE);
        }
    }

    /// Takes the cancellation that the task met too late to raise it.
    #[inline]
    pub(super) fn take_must(&self, lp: &LoopState) -> Option<CancelledError> {
        if self.has(MUST) {
            self.take_late_request(lp)
        } else {
            None
        }
    }

    #[cold]
    fn take_late_request(&self, lp: &LoopState) -> Option<CancelledError> {
        self.clear(PROBE);
        self.take_requests(lp)
            .into_iter()
            .find_map(|(target, why)| {
                // The scopes are gone with the coroutine.
                target.is_none().then_some(why)
            })
    }

    /// Asks again the outermost one around `scope` that was asked and has not taken it back.
    pub(crate) fn ask_around(&self, lp: &LoopState, scope: &Rc<Scope>, why: CancelledError) {
        let asked = self.rare_if_any(|rare| {
            if rare.cancelling > 0 {
                return Some(None);
            }
            let scopes = lp.scopes.borrow();
            let around = scopes.path(scope.around());
            let asked = around.filter(|scope| scope.count() > 0);
            asked.last().cloned().map(Some)
        });
        if let Some(target) = asked.flatten() {
            self.set_request(target.as_ref(), why);
        }
    }

    // ---- what is awaited

    /// What ran in `scope` is gone, and with it what it awaited: gives that, for its drop is user
    /// code.
    #[cold]
    pub(crate) fn forget_awaits_within(&self, lp: &LoopState, scope: &Scope) -> Vec<Waiter> {
        let scopes = lp.scopes.borrow();
        let is_within = |waiter: &mut Waiter| scopes.is_within(waiter.scope, scope);
        let first = self.forget_first_if(lp, is_within);
        let mut gone: Vec<_> = first.into_iter().collect();
        let none_left = self.rare_if_any(|rare| {
            gone.extend(rare.more.extract_if(.., is_within));
            let wrapped = rare.wrapped_within(&scopes, scope);
            let ids: Vec<_> = wrapped.map(|(id, _)| *id).collect();
            let wrapped = ids.into_iter();
            gone.extend(wrapped.filter_map(|id| rare.remove_wrapped(&scopes, id)));
            rare.more.is_empty()
        });
        if none_left == Some(true) {
            self.forget_more();
        }
        gone
    }

    /// What the task awaits now, within the target, was asked to stop along with that.
    fn note_offer(&self, lp: &LoopState, target: Target<'_>) {
        let now = lp.next_registration();
        match target {
            Some(scope) => scope.note_offer(now),
            None => self.rare(|rare| rare.offered = now),
        }
    }

    /// Whether what takes a request may be dropped before it has raised it: something of another crate
    /// can wake the task, and decide a `select!`. What is in a set is polled again in any case.
    fn may_lose_offers(&self) -> bool {
        self.has(OWN_WAKER) && self.rare_if_any(|rare| rare.wrapped.is_empty()) == Some(true)
    }

    /// Remembers what has taken a request, until the request is met.
    #[cold]
    fn keep_offer(&self, target: Target<'_>, awaited: Vec<AnyRef>, why: CancelledError) {
        let target = target.cloned();
        self.set(OFFERED);
        self.rare(|rare| {
            rare.offers.push(Offer {
                target,
                why,
                awaited,
            });
        });
    }

    /// The requests that were taken, and are `which`, are met. Gives what is forgotten: its drop may be user
    /// code.
    #[cold]
    fn take_offers_if(&self, mut which: impl FnMut(&Offer) -> bool) -> Vec<Offer> {
        let (met, left) = self.rare(|rare| {
            let met: Vec<_> = rare.offers.extract_if(.., |offer| which(offer)).collect();
            (met, rare.offers.len())
        });
        if left == 0 {
            self.clear(OFFERED);
        }
        met
    }

    /// Whether a request to the target was not taken back.
    fn is_asked(&self, target: Target<'_>) -> bool {
        match target {
            Some(scope) => scope.is_open() && scope.count() > 0,
            None => self.rare_if_any(|rare| rare.cancelling > 0) == Some(true),
        }
    }

    /// Whether the await with this registration, which is being polled, was asked to stop along with
    /// the task or a scope that is being polled.
    pub(super) fn was_offered(&self, lp: &LoopState, id: u64) -> bool {
        let offered = self.rare_if_any(|rare| {
            let scopes = lp.scopes.borrow();
            let mut around = scopes.path(lp.step.scope());
            id < rare.offered || around.any(|scope| scope.was_offered(id))
        });
        offered == Some(true)
    }

    /// The scope of the only thing that the task awaits, if its next step finds that cancelled: a
    /// straight line of code that raises by itself.
    fn meets_cancelled(&self, lp: &LoopState) -> Option<(AnyRef, ScopeId)> {
        let only = self.only_waiter(lp)?;
        (only.0.state() == State::Cancelled).then_some(only)
    }
}

impl LoopState {
    #[cold]
    fn requests_to_scopes_around(&self, scope: &Scope) -> u32 {
        let scopes = self.scopes.borrow();
        let counts = scopes.path(scope.around()).map(|scope| scope.count());
        counts.fold(0, u32::saturating_add)
    }

    /// How often the task with this key, and the scopes around this one in it, were asked to stop.
    #[inline]
    pub(crate) fn requests_around(&self, task: u64, scope: &Scope) -> u32 {
        let requests = self.with_task(task, |head| head.requests_around(self, scope));
        requests.unwrap_or(0)
    }

    /// Asks a task, or a scope of it, to stop.
    pub(crate) fn request(&self, task: &TaskRef, target: Target<'_>, why: CancelledError) {
        task.head().count_request(target);
        self.request_again(task, target, why);
    }

    /// The same for a request that is counted already.
    pub(crate) fn request_again(&self, task: &TaskRef, target: Target<'_>, why: CancelledError) {
        let head = task.head();
        if target.is_some_and(|target| !target.is_open()) {
            // It has been closed before a scope inside it, which was moved.
            return;
        }
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
            let kept = head.may_lose_offers().then(|| awaited.clone());
            if !awaited.is_empty() && self.offer(task.clone(), awaited, &why) {
                head.note_offer(self, target);
                if let Some(awaited) = kept {
                    head.keep_offer(target, awaited, why);
                }
                return;
            }
            // Handles of others, so that none is the last.
            drop(kept);
            head.set_request(target, why);
            if wakes {
                return;
            }
        }
        drop(self.schedule_step(task.clone()));
    }

    /// A step has ended, and the task is suspended: requests that came meanwhile take effect, and so
    /// do those that the step was to raise in scopes that it did not poll.
    #[cold]
    pub(super) fn deliver_after_step(&self, task: &TaskRef) {
        let head = task.head();
        let probed = head.take(PROBE);
        if head.has(OFFERED) {
            self.deliver_lost(task, probed);
        }
        if head.take(RAISED) {
            let missed = self.scopes.borrow().take_missed(head);
            for Raise { target, why, .. } in missed {
                self.deliver(task, target.as_ref(), why, probed);
            }
        }
        for (target, why) in head.take_requests(self) {
            self.deliver(task, target.as_ref(), why, probed);
        }
    }

    /// What took a request was dropped before it raised it, because a `select!` went on: the request is
    /// made again. If it gave a value instead, or is still awaited, that is not so.
    #[cold]
    fn deliver_lost(&self, task: &TaskRef, probed: bool) {
        let head = task.head();
        let awaited = head.awaited(self);
        let is_awaited = |future: &AnyRef| awaited.iter().any(|other| same(&**other, &**future));
        let declined = |future: &AnyRef| {
            let state = future.state();
            state != State::Pending && state != State::Cancelled
        };
        let over = head.take_offers_if(|offer| {
            let mut awaited = offer.awaited.iter();
            awaited.clone().any(declined) || !awaited.any(is_awaited)
        });
        let mut lost = Vec::new();
        let mut gone = Vec::new();
        for Offer {
            target,
            why,
            awaited,
        } in over
        {
            if !awaited.iter().any(declined) {
                lost.push((target, why));
            }
            gone.push(awaited);
        }
        task.base().lp.drop_user((awaited, gone));
        for (target, why) in lost {
            if head.is_asked(target.as_ref()) {
                self.deliver(task, target.as_ref(), why, probed);
            }
        }
    }

    /// The step that is going on looks at how `future` has ended: it has met the requests that this took.
    pub(crate) fn forget_offers_to(&self, future: &dyn AnyFuture) {
        self.forget_offers_if(|offer| offer.awaited.iter().any(|other| same(&**other, future)));
    }

    /// The step that is going on raises in this scope, or catches in it: it has met the requests to the
    /// scope, to those around it and to the task.
    pub(crate) fn forget_offers_around(&self, scope: ScopeId) {
        self.forget_offers_if(|offer| {
            let scopes = self.scopes.borrow();
            let mut around = scopes.path(scope);
            (offer.target.as_ref())
                .is_none_or(|target| around.any(|scope| Rc::ptr_eq(scope, target)))
        });
    }

    #[inline]
    fn forget_offers_if(&self, which: impl FnMut(&Offer) -> bool) {
        if let Some(task) = self.current_task()
            && task.head().has(OFFERED)
        {
            (task.base().lp).drop_user(task.head().take_offers_if(which));
        }
    }

    /// A step of a task begins that has requests nothing took: raises them at the innermost scopes.
    /// Gives why the whole coroutine is to unwind, if it is.
    #[cold]
    pub(super) fn raise_before_step(self: &Rc<Self>, task: &TaskRef) -> Option<CancelledError> {
        let head = task.head();
        if let Some((future, scope)) = head.meets_cancelled(self) {
            // The await raises by itself: that and a request around it are delivered as one.
            let around: Vec<_> = (self.scopes.borrow().path(scope))
                .map(|scope| scope.id())
                .collect();
            let merged = head.take_requests_if(self, |target| {
                target.is_none_or(|target| around.contains(&target.id()))
            });
            for (target, why) in merged {
                head.note_offer(self, target.as_ref());
                if head.may_lose_offers() {
                    head.keep_offer(target.as_ref(), vec![future.clone()], why);
                }
            }
        }
        if head.has(PROBE) {
            return None;
        }
        for (target, why) in head.take_requests(self) {
            let innermost = self.scopes.borrow().innermost(head, target.as_ref());
            if innermost.is_empty() && target.is_none() {
                return Some(why);
            }
            let caught = Rc::new(Cell::new(false));
            let raise = Raise {
                why,
                target,
                caught,
            };
            head.set(RAISED);
            let wakers: Vec<_> = (innermost.iter())
                .filter_map(|scope| scope.raise(raise.clone()))
                .collect();
            // Waking is user code, and may close a scope: that gives back what it has alone.
            drop((raise, innermost));
            for waker in wakers {
                self.guard("waker", task.base().site, || waker.wake());
            }
        }
        None
    }
}
