//! [`Passing`]: the await of whoever may have to wait in line.
//!
//! It is the only place where waiters join and leave. However an await ends other than by getting
//! through, [`Gate::gave_up`] hears of it, and passes the turn on if it was this waiter's: in the same
//! step in which the `except` and `finally` blocks of asyncio's code run.

use std::cell::Cell;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::Bond;
use super::line::{Line, Turn};
use super::waiter::Waiter;
use crate::event_loop::{About, Lane, LoopState, Run, current};
use crate::futures::{AnyFuture, Listener, State};
use crate::observe::EntryKind;
use crate::tasks::Stepper;

/// What one waits in front of: a primitive, as one kind of waiter sees it.
pub(crate) trait Gate {
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
    waiting: Option<Rc<Waiter>>,
    /// Where the wait was asked for.
    site: &'static Location<'static>,
}

/// What a waiter knows of its [`Lender`].
#[derive(Default)]
pub(super) struct Loan {
    passed_on: Cell<bool>,
    /// The task whose step polled last, as a waker names it.
    step: Cell<Option<u64>>,
}

impl Loan {
    pub(super) fn is_passed_on(&self) -> bool {
        self.passed_on.get()
    }
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
        if self.waiting.is_some() {
            return self.poll_waiting(cx);
        }
        let Some(running) = current::polling() else {
            return current::pending_while_unwinding(cx);
        };
        let gate = self.gate.as_ref().expect("awaited again after it was over");
        if gate.enter() {
            return Poll::Ready(self.gate.take().expect("looked at above"));
        }
        let line = gate.line();
        line.wait(&mut self.waiting, gate.bond(), self.site, running, cx);
        Poll::Pending
    }

    /// Waits for its turn, in line already.
    #[inline]
    fn poll_waiting(&mut self, cx: &Context<'_>) -> Poll<G> {
        let gate = self.gate.as_ref().expect("it is not over");
        match gate.line().poll(&mut self.waiting, cx) {
            Turn::Pending => Poll::Pending,
            Turn::Come if gate.woken() => Poll::Ready(self.gate.take().expect("looked at above")),
            turn => {
                self.wait_no_more(turn, cx);
                Poll::Pending
            }
        }
    }

    /// Is cancelled, or has to wait again.
    #[cold]
    fn wait_no_more(&mut self, turn: Turn, cx: &Context<'_>) {
        if turn == Turn::Cancelled {
            // This is going to be dropped.
            return self.give_up();
        }
        self.join();
        if let Some(waiter) = &self.waiting {
            waiter.register(cx);
        }
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
            self.waiting = Some(gate.line().join(gate.bond(), self.site));
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
        let (Some(gate), Some(waiter)) = (&self.gate, self.waiting.take()) else {
            return false;
        };
        gate.line().leave(&waiter);
        let woken = waiter.is_woken() && !waiter.is_passed_on();
        // A waker may go with it.
        waiter.let_go();
        woken
    }

    /// Has its turn passed on if it is not polled in the step that this wakes. For what can be left
    /// suspended, like a stream of which the next item is not asked for again.
    pub(crate) fn lend(&mut self)
    where
        G: Clone + 'static,
    {
        let (Some(gate), Some(waiter)) = (&self.gate, &self.waiting) else {
            return;
        };
        // It registers behind the task, so that step is over when this runs.
        let loan = waiter.loan(|loan| {
            Rc::pin(Lender {
                gate: gate.clone(),
                loan,
                site: self.site,
            })
        });
        loan.step.set(waiter.lp().step.key());
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
