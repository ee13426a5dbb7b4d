//! Waiting in line: what all primitives and queues share.
//!
//! Whoever has to wait joins a [`Line`] with a promise of its own, and is woken by its completion. As
//! in asyncio it stays in the line until its task runs again:
//!
//! | a waiter is | because | it leaves the line |
//! | --- | --- | --- |
//! | pending | nobody has woken it | when its await is dropped |
//! | woken | its turn has come | in its task's next step: it gets through, or its await is dropped |
//! | cancelled | its task was asked to stop | in its task's next step, which raises that |
//!
//! [`Passing`] is the await, and the only place where waiters join and leave. However an await ends
//! other than by getting through, [`Gate::gave_up`] hears of it, and passes the turn on if it was this
//! waiter's: in the same step in which the `except` and `finally` blocks of asyncio's code run.
//!
//! Completed waiters are at no fixed end of the line, but a waiter that is not pending never is again,
//! and one that is cancelled stays so. Two cursors that only move towards the end therefore find the
//! first waiter of a kind without looking at any twice.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use slab::Slab;

use super::Bond;
use crate::event_loop::{About, Lane, LoopState, Run, current};
use crate::futures::purpose::InLine;
use crate::futures::{AnyFuture, Future, FutureRef, Inner, Listener, Promise, State};
use crate::observe::EntryKind;
use crate::snapshot::AwaitedKind;
use crate::tasks::Stepper;

/// In the place of a waiter's place: there is none.
const NONE: usize = usize::MAX;

/// Waiters in the order in which they came.
///
/// **Invariant:** nothing is borrowed while a waiter is woken or dropped.
#[derive(Default)]
pub(crate) struct Line {
    list: RefCell<List>,
    /// How many are in the list: to see quickly that nobody is.
    len: Cell<usize>,
}

/// A linked list, so that a waiter can leave from the middle at no cost.
struct List {
    promises: Slab<FutureRef<()>>,
    /// What else there is of each waiter, at the place of its promise.
    waiters: Vec<Waiter>,
    first: usize,
    last: usize,
    /// No waiter before this one is pending.
    pending: usize,
    /// All waiters before this one are cancelled.
    live: usize,
    /// How many have joined so far.
    joined: u64,
}

#[derive(Clone, Copy)]
struct Waiter {
    /// The one before it, or `NONE`.
    before: usize,
    /// The one after it, or `NONE`.
    after: usize,
    /// How many had joined before; tells it from others that have its place later.
    number: u64,
}

/// Where a waiter stands in a line.
#[derive(Clone, Copy)]
struct Ticket {
    place: usize,
    number: u64,
}

impl Default for List {
    fn default() -> Self {
        Self {
            promises: Slab::new(),
            waiters: Vec::new(),
            first: NONE,
            last: NONE,
            pending: NONE,
            live: NONE,
            joined: 0,
        }
    }
}

impl List {
    fn push(&mut self, promise: FutureRef<()>) -> Ticket {
        let number = self.joined;
        self.joined += 1;
        let waiter = Waiter {
            before: self.last,
            after: NONE,
            number,
        };
        let place = self.promises.insert(promise);
        match self.waiters.get_mut(place) {
            Some(free) => *free = waiter,
            None => self.waiters.push(waiter),
        }
        match self.last {
            NONE => self.first = place,
            last => self.waiters[last].after = place,
        }
        self.last = place;
        for cursor in [&mut self.pending, &mut self.live] {
            if *cursor == NONE {
                *cursor = place;
            }
        }
        Ticket { place, number }
    }

    /// Takes a waiter out, unless it was taken out before.
    fn remove(&mut self, ticket: Ticket) -> Option<FutureRef<()>> {
        let Ticket { place, number } = ticket;
        let waiter = *self.waiters.get(place)?;
        if waiter.number != number {
            return None;
        }
        let promise = self.promises.try_remove(place)?;
        let Waiter { before, after, .. } = waiter;
        match before {
            NONE => self.first = after,
            before => self.waiters[before].after = after,
        }
        match after {
            NONE => self.last = before,
            after => self.waiters[after].before = before,
        }
        for cursor in [&mut self.pending, &mut self.live] {
            if *cursor == place {
                *cursor = after;
            }
        }
        Some(promise)
    }

    /// The first waiter from `cursor` on whose state is `wanted`.
    fn seek(&self, mut cursor: usize, wanted: impl Fn(State) -> bool) -> usize {
        while let Some(promise) = self.promises.get(cursor) {
            if wanted(promise.state()) {
                break;
            }
            cursor = self.waiters[cursor].after;
        }
        cursor
    }

    /// The place of the first waiter that is pending, or `NONE`.
    fn first_pending(&mut self) -> usize {
        self.pending = self.seek(self.pending, |state| state == State::Pending);
        self.pending
    }

    /// The place of the first waiter that is not cancelled, or `NONE`.
    fn first_live(&mut self) -> usize {
        self.live = self.seek(self.live, |state| state != State::Cancelled);
        self.live
    }
}

impl Line {
    /// How many wait, with those whose tasks have not run since they were woken or cancelled.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether anybody waits who is not cancelled.
    #[inline]
    pub(crate) fn has_live(&self) -> bool {
        !self.is_empty() && self.list.borrow_mut().first_live() != NONE
    }

    /// Wakes the one in front, unless that is woken or cancelled already.
    #[inline]
    pub(crate) fn wake_front(&self) {
        if !self.is_empty() {
            self.wake_who_is_in_front();
        }
    }

    fn wake_who_is_in_front(&self) {
        let front = {
            let list = self.list.borrow();
            list.promises.get(list.first).cloned()
        };
        if let Some(front) = front.filter(|front| front.state() == State::Pending) {
            wake(&front);
        }
    }

    /// Wakes the first one that is pending; says whether there was one.
    #[inline]
    pub(crate) fn wake_next(&self) -> bool {
        !self.is_empty() && self.wake_first_pending()
    }

    fn wake_first_pending(&self) -> bool {
        let next = {
            let mut list = self.list.borrow_mut();
            let place = list.first_pending();
            list.promises.get(place).cloned()
        };
        next.inspect(wake).is_some()
    }

    /// Wakes all that are pending now.
    pub(crate) fn wake_all(&self) {
        // Waking may call wakers of other crates, which may have more join.
        let joined = self.list.borrow().joined;
        loop {
            let next = {
                let mut list = self.list.borrow_mut();
                let place = list.first_pending();
                let next = list.promises.get(place);
                next.filter(|_| list.waiters[place].number < joined)
                    .cloned()
            };
            match next {
                Some(next) => wake(&next),
                None => break,
            }
        }
    }

    /// Lets everybody up to the first one that is pending out of the line, and wakes that one.
    #[inline]
    pub(crate) fn release_next(&self) {
        if !self.is_empty() {
            self.release_first_pending();
        }
    }

    fn release_first_pending(&self) {
        while let Some(front) = self.take_front() {
            if front.state() == State::Pending {
                return wake(&front);
            }
        }
    }

    fn take_front(&self) -> Option<FutureRef<()>> {
        let front = {
            let list = self.list.borrow();
            let place = list.first;
            let number = list.waiters.get(place)?.number;
            Ticket { place, number }
        };
        self.remove(front)
    }

    fn push(&self, promise: FutureRef<()>) -> Ticket {
        self.len.set(self.len() + 1);
        self.list.borrow_mut().push(promise)
    }

    /// Takes a waiter out, unless it was taken out before.
    fn remove(&self, ticket: Ticket) -> Option<FutureRef<()>> {
        let removed = self.list.borrow_mut().remove(ticket);
        if removed.is_some() {
            self.len.set(self.len() - 1);
        }
        removed
    }

    /// Lets everybody out of the line, and wakes those who are pending.
    pub(crate) fn release_all(&self) {
        let list = self.list.take();
        self.len.set(0);
        // Nobody who joins later may be taken for one of these.
        self.list.borrow_mut().joined = list.joined;
        let mut place = list.first;
        while let Some(promise) = list.promises.get(place) {
            if promise.state() == State::Pending {
                wake(promise);
            }
            place = list.waiters[place].after;
        }
    }
}

fn wake(promise: &FutureRef<()>) {
    promise.shared().finish(promise, || Inner::Ready(()));
}

/// What one waits in front of: a primitive, as one kind of waiter sees it.
pub(crate) trait Gate {
    /// What those who wait here wait for.
    const KIND: AwaitedKind;

    fn bond(&self) -> &Bond;
    fn line(&self) -> &Line;
    /// Gets through without waiting, if that is possible.
    fn enter(&self) -> bool;
    /// A waiter's turn has come: gets through; false if it has to wait again, at the end of the line.
    fn woken(&self) -> bool;
    /// A waiter has left the line without getting through, though it was its turn if `woken`.
    fn gave_up(&self, woken: bool);
}

/// Gets through a gate, after waiting for that if need be.
pub(crate) struct Passing<G: Gate> {
    /// `None` when it is over.
    gate: Option<G>,
    /// While it waits.
    waiting: Option<Waiting>,
    /// Where the wait was asked for.
    site: &'static Location<'static>,
}

struct Waiting {
    future: Future<()>,
    ticket: Ticket,
    /// There is one if its turn may be passed on, though it still stands in the line; see
    /// `Passing::lend`.
    loan: Option<Rc<Loan>>,
}

/// What a waiter knows of its [`Lender`].
#[derive(Default)]
struct Loan {
    passed_on: Cell<bool>,
    /// The task whose step polled last, as a waker names it.
    step: Cell<Option<u64>>,
}

/// Passes a turn on that the step did not use which it woke.
struct Lender<G> {
    gate: G,
    loan: Rc<Loan>,
    site: &'static Location<'static>,
}

impl<G: Gate> Listener for Lender<G> {
    fn told(&self, _id: u64, _waiter: &dyn AnyFuture, how: State) -> bool {
        how != State::Cancelled
    }
}

impl<G: Gate> Run for Lender<G> {
    fn run(self: Pin<Rc<Self>>, lp: &Rc<LoopState>, _stepper: &mut Stepper<'_>) {
        lp.callback_site.set(Some(self.site));
        let still_waits = Rc::strong_count(&self.loan) > 1;
        if still_waits {
            self.loan.passed_on.set(true);
            self.gate.gave_up(true);
        }
    }

    fn lane(&self) -> Lane {
        // Behind that step in any order of the turn.
        let step = self.loan.step.get();
        step.map_or_else(|| Lane::of(self), Lane::Task)
    }

    fn about(&self) -> About {
        About::at(EntryKind::DoneCallback, self.site)
    }
}

impl<G: Gate> Passing<G> {
    #[inline]
    #[track_caller]
    pub(crate) fn new(gate: G) -> Self {
        Self::at(gate, Location::caller())
    }

    /// One that was asked for at `site`.
    pub(crate) fn at(gate: G, site: &'static Location<'static>) -> Self {
        Self {
            gate: Some(gate),
            waiting: None,
            site,
        }
    }

    /// Gives the gate back when it has got through.
    ///
    /// # Panics
    ///
    /// If it was over before.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<G> {
        if current::is_unwinding() {
            return current::pending_while_unwinding(cx);
        }
        let gate = self.gate.as_ref().expect("awaited again after it was over");
        if self.waiting.is_some() || !gate.enter() {
            return self.wait(cx);
        }
        Poll::Ready(self.gate.take().expect("looked at above"))
    }

    /// Joins the line without trying to get through first.
    ///
    /// # Panics
    ///
    /// If no loop runs, or another one than the primitive is tied to.
    pub(crate) fn join(&mut self) {
        if let Some(gate) = &self.gate
            && self.waiting.is_none()
        {
            self.waiting = Some(Waiting::join(gate, self.site));
        }
    }

    /// Joins the line, if that has not happened yet, and waits for its turn.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<G> {
        let gate = self.gate.as_ref().expect("looked at by the caller");
        loop {
            let site = self.site;
            let waiting = self
                .waiting
                .get_or_insert_with(|| Waiting::join(gate, site));
            if waiting.future.poll_end(cx).is_pending() {
                if waiting.future.cancelled() {
                    // The poll has raised that, and this is going to be dropped.
                    self.give_up();
                }
                return Poll::Pending;
            }
            waiting.leave(gate);
            self.waiting = None;
            if gate.woken() {
                return Poll::Ready(self.gate.take().expect("looked at by the caller"));
            }
        }
    }

    /// Leaves the line, and has the turn passed on if it was its own.
    fn give_up(&mut self) {
        let woken = self.leave();
        if let Some(gate) = &self.gate {
            gate.gave_up(woken);
        }
    }

    /// Leaves the line; says whether it was its turn.
    pub(crate) fn leave(&mut self) -> bool {
        let (Some(gate), Some(waiting)) = (&self.gate, self.waiting.take()) else {
            return false;
        };
        waiting.leave(gate);
        let lent = waiting.loan.is_some_and(|loan| loan.passed_on.get());
        waiting.future.done() && !waiting.future.cancelled() && !lent
    }

    /// Has its turn passed on if it is not polled in the step that this wakes. For what can be left
    /// suspended, like a stream of which the next item is not asked for again.
    pub(crate) fn lend(&mut self)
    where
        G: Clone + 'static,
    {
        let (Some(gate), Some(waiting)) = (&self.gate, &mut self.waiting) else {
            return;
        };
        let lp = &waiting.future.core().base().lp;
        let loan = waiting.loan.get_or_insert_with(|| {
            let loan = Rc::<Loan>::default();
            let lender = Rc::pin(Lender {
                gate: gate.clone(),
                loan: loan.clone(),
                site: self.site,
            });
            // It registers behind the task, so that step is over when this runs.
            let future = waiting.future.core();
            future.listen(lp.next_registration(), lender);
            loan
        });
        loan.step.set(lp.step.key());
    }

    /// Whether it has got through.
    pub(crate) fn is_over(&self) -> bool {
        self.gate.is_none()
    }

    /// What it is doing, for `Debug`.
    pub(crate) fn state(&self) -> &'static str {
        match (&self.gate, &self.waiting) {
            (None, _) => "done",
            (_, None) => "new",
            (_, Some(_)) => "waiting",
        }
    }
}

impl<G: Gate> Drop for Passing<G> {
    #[inline]
    fn drop(&mut self) {
        if self.waiting.is_some() {
            self.give_up();
        }
    }
}

impl Waiting {
    fn join<G: Gate>(gate: &G, site: &'static Location<'static>) -> Self {
        let lp = gate.bond().running_loop();
        let purpose = InLine {
            kind: G::KIND,
            site: gate.bond().site(),
        };
        let promise = Promise::create_for(purpose, &lp, site);
        let future = Future::new(promise.clone());
        let ticket = gate.line().push(promise);
        let loan = None;
        Self {
            future,
            ticket,
            loan,
        }
    }

    fn leave(&self, gate: &impl Gate) {
        // Dropped with nothing borrowed: a waker may go with it.
        drop(gate.line().remove(self.ticket));
    }
}
