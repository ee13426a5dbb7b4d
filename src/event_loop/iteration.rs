//! One turn of the loop, and the runs that are made of turns.

use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use super::clock::{Clock, Nanos, to_nanos};
use super::current;
use super::deadlock::DeadlockReport;
use super::exceptions::ExceptionContext;
use super::ready::{NextMail, Ready};
use super::remote::Posted;
use super::state::LoopState;
use crate::errors::{PanicError, RunError};
use crate::tasks::{MainCoroutine, Payload, Stepper};

/// The longest sleep in one go, as asyncio's: nobody minds an extra turn a day.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Why [`run_forever`](crate::EventLoop::run_forever) returned.
///
/// *From asyncio:* nothing; there it returns for one reason only.
///
/// # Examples
///
/// ```
/// use callsoon::{Clock, EventLoop, RunEnd};
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// event_loop.task(std::future::pending::<()>()).name("stuck").spawn();
/// match event_loop.run_forever() {
///     RunEnd::Stopped => unreachable!("nobody stops it"),
///     RunEnd::Idle(report) => assert_eq!(report.tasks()[0].name(), "stuck"),
/// }
/// ```
#[derive(Clone, Debug)]
pub enum RunEnd {
    /// `stop()` was called.
    Stopped,
    /// On a virtual clock: nothing is left that could ever happen. The report lists the tasks that
    /// wait nevertheless.
    Idle(DeadlockReport),
}

/// What a turn did; see [`run_once`](crate::EventLoop::run_once).
///
/// *From asyncio:* nothing; `_run_once()` tells nothing.
///
/// # Examples
///
/// ```
/// use callsoon::{Clock, EventLoop};
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let handle = event_loop.handle();
/// event_loop.call_soon(move || handle.stop());
/// event_loop.call_soon(|| ());
/// let turn = event_loop.run_once(None)?;
/// assert!(turn.ran == 2 && turn.stopped && !turn.idle);
/// assert!(event_loop.run_once(None)?.idle); // nothing is left
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turn {
    /// How many entries of the ready queue it worked off: callbacks, cancelled ones included, and
    /// steps of tasks.
    pub ran: usize,
    /// Whether `stop()` was called in it, or before it: a host would leave its own loop.
    pub stopped: bool,
    /// Whether the loop found that nothing can ever happen; only on a virtual clock.
    pub idle: bool,
}

/// How much later than a deadline a sleeping loop wakes up if another one follows so soon: a crowd of
/// deadlines shares a wake-up. asyncio's loop rounds up to a millisecond.
const WAKE_SLACK: Duration = Duration::from_micros(500);

/// How long the turn that is about to begin may wait for something to do.
#[derive(Clone, Copy)]
pub(crate) enum Patience {
    /// Until there is something.
    Unlimited,
    AtMost(Duration),
}

impl LoopState {
    /// One turn:
    ///
    /// 1. wait, if nothing is ready;
    /// 2. take in what other threads posted and the timers that are due, in this order;
    /// 3. run what is ready at this point, first in, first out, unless the loop has another
    ///    [`Order`](super::Order); what it schedules is for the next turn.
    #[inline(always)]
    pub(crate) fn turn(self: &Rc<Self>, patience: Patience, stepper: &mut Stepper<'_>) -> Turn {
        self.turns.set(self.turns.get() + 1);
        let mut idle = false;
        if !self.has_work() {
            idle = self.wait(patience);
        }
        if self.has_mail() {
            self.take_mail();
        }
        if !self.timers.borrow().is_empty() {
            self.take_due_timers();
        }
        let ran = self.run_ready(stepper);
        Turn {
            ran,
            stopped: self.stopping.get(),
            idle,
        }
    }

    /// A turn by itself: what stops a run ends with it.
    pub(crate) fn single_turn(
        self: &Rc<Self>,
        patience: Patience,
        stepper: &mut Stepper<'_>,
    ) -> Turn {
        let turn = self.turn(patience, stepper);
        self.stopping.set(false);
        turn
    }

    /// Turns until somebody stops the loop, or until it is idle for good.
    pub(crate) fn run(self: &Rc<Self>, main: &mut dyn MainCoroutine) -> RunEnd {
        let mut stepper = Stepper::new(self, main);
        loop {
            let turn = self.turn(Patience::Unlimited, &mut stepper);
            if turn.stopped {
                self.stopping.set(false);
                return RunEnd::Stopped;
            }
            if turn.idle {
                return RunEnd::Idle(DeadlockReport::of(self));
            }
        }
    }

    /// Marks the loop as running, on this thread, until the guard is dropped.
    pub(crate) fn start_run(
        self: &Rc<Self>,
        site: &'static Location<'static>,
    ) -> Result<Running<'_>, RunError> {
        if !self.is_open() {
            return Err(RunError::Closed);
        }
        if let Some(outer) = current::run_site() {
            return Err(RunError::AlreadyRunning(outer));
        }
        self.running.set(Some(site));
        Ok(Running {
            lp: self,
            _current: current::enter(Some(self.clone())),
        })
    }

    /// Waits for something to do. Says whether nothing can ever come.
    #[inline(never)]
    fn wait(self: &Rc<Self>, patience: Patience) -> bool {
        self.observers.rest();
        let next = self.timers.borrow_mut().next_deadline();
        match self.time.kind() {
            Clock::Monotonic => {
                self.sleep(next, patience);
                false
            }
            Clock::Virtual => self.jump(next, patience),
        }
    }

    /// Really sleeps: until `next`, until a thread posts something, or until patience is over.
    fn sleep(&self, next: Option<Nanos>, patience: Patience) {
        let now = self.time.now();
        let mut until = now.saturating_add(to_nanos(LONGEST_WAIT));
        if let Patience::AtMost(limit) = patience {
            until = until.min(now.saturating_add(to_nanos(limit)));
        }
        if let Some(next) = next {
            let slack = to_nanos(WAKE_SLACK);
            let crowded = next > now && self.timers.borrow().is_crowded(slack);
            until = until.min(if crowded { next + slack } else { next });
        }
        loop {
            let left = until.saturating_sub(self.time.now());
            if left == 0 || self.has_mail() {
                return;
            }
            self.remote().mailbox.wait(Some(Duration::from_nanos(left)));
        }
    }

    /// Moves the virtual clock to `next`; or waits for threads that have announced work; or finds
    /// that there is nothing to wait for.
    fn jump(&self, next: Option<Nanos>, patience: Patience) -> bool {
        if let Some(remote) = self.existing_remote() {
            if remote.expects_work() {
                let limit = match patience {
                    Patience::Unlimited => None,
                    Patience::AtMost(limit) => Some(limit),
                };
                remote.mailbox.wait(limit);
                return false;
            }
            // A thread may have posted, and only then dropped its announcement.
            if remote.mailbox.is_pending() {
                return false;
            }
        }
        let patience = match patience {
            Patience::Unlimited => None,
            Patience::AtMost(limit) => Some(self.after(limit)),
        };
        match (next, patience) {
            (Some(next), Some(patience)) => self.time.advance_to(next.min(patience)),
            (Some(when), None) | (None, Some(when)) => self.time.advance_to(when),
            (None, None) => false,
        };
        next.is_none()
    }

    #[inline(never)]
    fn take_mail(&self) {
        let Some(remote) = self.existing_remote() else {
            return;
        };
        let mut inbox = self.inbox.borrow_mut();
        remote.mailbox.take_into(&mut inbox);
        let count = inbox.len();
        // The emptied inbox goes back to the posters next time, with the room that it has.
        self.mail.borrow_mut().extend(inbox.drain(..));
        drop(inbox);
        let entry = self.next_mail();
        let entries = std::iter::repeat_n(entry.clone(), count);
        self.ready.borrow_mut().extend(entries);
        if self.observers.hear_schedules() {
            self.tell_mail(&entry, count);
        }
    }

    /// Queues what the loop's own thread posts, behind all that was posted before.
    pub(super) fn queue_mail(&self, posted: Posted) {
        if self.has_mail() {
            self.take_mail();
        }
        self.mail.borrow_mut().push_back(posted);
        self.push(self.next_mail());
    }

    fn next_mail(&self) -> Ready {
        self.next_mail.get_or_init(|| Rc::pin(NextMail)).clone()
    }

    #[inline(never)]
    fn take_due_timers(&self) {
        let mut timers = self.timers.borrow_mut();
        let now = self.time.now();
        let mut told = Vec::new();
        while let Some(timer) = timers.pop_due(now) {
            let state = timer.timer();
            state.queued.set(state.queued.get() + 1);
            if self.observers.hear_schedules() {
                told.push(self.note_due(&timer));
            }
            self.ready.borrow_mut().push(timer);
        }
        drop(timers);
        self.tell_due(&told);
    }

    /// Runs what is ready now, and says how much that was.
    #[inline(always)]
    fn run_ready(self: &Rc<Self>, stepper: &mut Stepper<'_>) -> usize {
        let only = self.ready.borrow_mut().take_only();
        match only {
            Some(only) => {
                self.run_batch(&mut [only].into_iter(), stepper);
                1
            }
            None => self.run_all_ready(stepper),
        }
    }

    #[inline(never)]
    fn run_all_ready(self: &Rc<Self>, stepper: &mut Stepper<'_>) -> usize {
        let mut ready = self.ready.borrow_mut();
        let mut batch = ready.take();
        if ready.shuffles() {
            let order = ready.shuffle(&mut batch);
            self.observers.reordered(&order);
        }
        drop(ready);
        let count = batch.len();
        self.run_batch(&mut batch.drain(..), stepper);
        self.ready.borrow_mut().give_back(batch);
        count
    }

    /// Runs each entry, in order.
    #[inline(always)]
    fn run_batch(
        self: &Rc<Self>,
        batch: &mut impl ExactSizeIterator<Item = Ready>,
        stepper: &mut Stepper<'_>,
    ) {
        self.unrun.set(batch.len());
        while self.unrun.get() > 0 {
            // One `catch_unwind` for the whole batch: after a panic the rest goes on.
            let result = catch_unwind(AssertUnwindSafe(|| {
                for entry in batch.by_ref() {
                    self.unrun.set(self.unrun.get() - 1);
                    if self.observers.any() {
                        self.run_observed(entry, stepper);
                    } else {
                        entry.run(self, stepper);
                    }
                }
            }));
            if let Err(payload) = result {
                self.entry_panicked(payload, stepper);
            }
        }
    }

    /// A panic came out of the entry that ran: it ends the task whose step it was, or is reported.
    #[cold]
    pub(super) fn entry_panicked(self: &Rc<Self>, payload: Payload, stepper: &mut Stepper<'_>) {
        if let Some(task) = self.current_task() {
            return task.step_panicked(payload, stepper);
        }
        let site = self.callback_site.get().unwrap_or(self.site);
        let panic = PanicError::new(payload, "callback".to_owned(), site);
        self.report(
            &ExceptionContext::new("panic in a callback")
                .with_panic(panic)
                .with_site(site),
        );
    }
}

/// A run that is going on.
pub(crate) struct Running<'a> {
    lp: &'a LoopState,
    /// What ran before comes back when this goes.
    _current: current::Entered,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.lp.observers.rest();
        self.lp.running.set(None);
    }
}
