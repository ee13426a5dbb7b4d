//! What a loop is made of, shared by its owner, its handles, its futures and its tasks.
//!
//! **Invariant:** no cell in here is borrowed while user code runs (callbacks, coroutines, `Drop`,
//! `Clone`, wakers, handlers): methods take out, release, then call.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::panic::Location;
use std::pin::Pin;
use std::ptr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use once_cell::unsync::OnceCell;

use super::clock::{Clock, Nanos, TimeSource, to_nanos};
use super::current;
use super::exceptions::ExceptionHandler;
use super::handles::{Callback, Soon, Timer, TimerRef};
use super::observe::{Observer, Observers};
use super::ready::{Ready, ReadyQueue};
use super::remote::{Posted, Remote};
use super::timers::Timers;
use crate::cancellation::CancelledError;
use crate::futures::{AnyRef, Base};
use crate::observe::SlowCallbacks;
use crate::tasks::{IdleScope, OpenScopes, StepState, TaskTable};
use crate::threads::Threads;

/// asyncio's default for `slow_callback_duration`.
const SLOW_CALLBACK: Duration = Duration::from_millis(100);

/// Where a loop is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Open,
    /// Pending things are being dropped; what their `Drop`s schedule is accepted, and dropped too.
    Closing,
    Closed,
}

pub(crate) struct LoopState {
    /// This loop itself.
    me: Weak<LoopState>,
    /// Unique in the process.
    pub(crate) id: u64,
    /// Where the loop was made.
    pub(crate) site: &'static Location<'static>,
    pub(super) life: Cell<Life>,
    /// Whether a push need not look at anything: the loop is not closed, has no hook, and nobody hears
    /// of what is scheduled.
    plain_push: Cell<bool>,
    /// What the next turn runs, first in, first out.
    pub(super) ready: RefCell<ReadyQueue>,
    /// How many entries the turn that is going on has not come to yet.
    pub(super) unrun: Cell<usize>,
    /// What threads posted and the loop has taken in; the ready queue has an entry for each.
    pub(super) mail: RefCell<VecDeque<Posted>>,
    /// Empty but for its capacity.
    pub(super) inbox: RefCell<Vec<Posted>>,
    /// The entry that stands for mail.
    pub(super) next_mail: OnceCell<Ready>,
    pub(super) timers: RefCell<Timers>,
    /// Every unfinished task: the loop owns them, so that none is lost.
    pub(crate) tasks: RefCell<TaskTable>,
    /// What those tasks have opened to catch cancellations.
    pub(crate) scopes: RefCell<OpenScopes>,
    pub(crate) idle_scope: IdleScope,
    /// Futures that are completed by others, and that nobody has a handle of, but that have
    /// done-callbacks; by address, and with numbers that ascend. They and what they wait for refer to
    /// each other.
    pub(super) orphans: RefCell<BTreeMap<*const Base, (u64, AnyRef)>>,
    pub(crate) time: TimeSource,
    /// How many turns there were.
    pub(crate) turns: Cell<u64>,
    /// `stop()` was called, and the run that it ends has not returned yet.
    pub(super) stopping: Cell<bool>,
    /// Where the run that is going on was started.
    pub(super) running: Cell<Option<&'static Location<'static>>>,
    /// Where the run was started, of another loop, in which this loop was closed.
    pub(super) closed_in: Cell<Option<&'static Location<'static>>>,
    /// Where the callback was scheduled that runs, or ran last; `None` if another thread posted it.
    pub(crate) callback_site: Cell<Option<&'static Location<'static>>>,
    /// Whether the host must hear of work that is scheduled outside a run.
    has_hook: Cell<bool>,
    /// Those who are told what happens here.
    pub(super) observers: Observers,
    /// The step that is going on.
    pub(crate) step: StepState,
    /// The last id given to a registration with a future. Ids of one future's list ascend.
    last_registration: Cell<u64>,
    /// What threads share; made when it is first needed.
    pub(super) remote: OnceCell<Arc<Remote>>,
    /// What waits for threads, and the default executor.
    pub(crate) threads: Threads,
    pub(super) exception_handler: RefCell<Option<ExceptionHandler>>,
    /// What debug mode is, while it is on.
    debug: RefCell<Option<Rc<dyn Observer>>>,
    slow_callback_duration: Cell<Nanos>,
    /// Cancellations on their way down a chain of awaiting tasks, and after them, without one, the
    /// task that passed them on; see `offer`.
    offers: RefCell<Vec<(AnyRef, Option<CancelledError>)>>,
    /// Whether somebody up the stack is working `offers` off.
    offering: Cell<bool>,
}

impl LoopState {
    pub(super) fn new(clock: Clock, site: &'static Location<'static>) -> Rc<Self> {
        Rc::new_cyclic(|me| Self {
            me: me.clone(),
            id: crate::ids::next_loop(),
            site,
            life: Cell::new(Life::Open),
            plain_push: Cell::new(true),
            ready: RefCell::default(),
            unrun: Cell::new(0),
            mail: RefCell::default(),
            inbox: RefCell::default(),
            next_mail: OnceCell::new(),
            timers: RefCell::default(),
            tasks: RefCell::default(),
            scopes: RefCell::default(),
            idle_scope: IdleScope::default(),
            orphans: RefCell::default(),
            time: TimeSource::new(clock),
            turns: Cell::new(0),
            stopping: Cell::new(false),
            running: Cell::new(None),
            closed_in: Cell::new(None),
            callback_site: Cell::new(None),
            has_hook: Cell::new(false),
            observers: Observers::default(),
            step: StepState::default(),
            last_registration: Cell::new(0),
            remote: OnceCell::new(),
            threads: Threads::default(),
            exception_handler: RefCell::default(),
            debug: RefCell::default(),
            slow_callback_duration: Cell::new(to_nanos(SLOW_CALLBACK)),
            offers: RefCell::default(),
            offering: Cell::new(false),
        })
    }

    // ---- scheduling

    /// Appends to the ready queue.
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn push(&self, entry: Ready) {
        if self.plain_push.get() {
            self.ready.borrow_mut().push(entry);
        } else {
            self.push_slow(entry);
        }
    }

    /// [`push`](Self::push) on a closed loop, and on one whose host or observers want to know.
    #[cold]
    #[track_caller]
    fn push_slow(&self, entry: Ready) {
        if self.accepts() {
            self.telling_host(|| self.push_told(entry));
        }
    }

    /// Something has changed that a push has to look at.
    pub(super) fn refresh_push(&self) {
        let told = self.has_hook.get() || self.observers.hear_schedules();
        self.plain_push.set(!self.is_closed() && !told);
    }

    pub(super) fn set_has_hook(&self, has_hook: bool) {
        self.has_hook.set(has_hook);
        self.refresh_push();
    }

    /// Whether the loop takes what is scheduled.
    ///
    /// False if it is closed and the thread unwinds: a `Drop` that runs meanwhile must not panic.
    ///
    /// # Panics
    ///
    /// If the loop is closed otherwise.
    #[track_caller]
    pub(crate) fn accepts(&self) -> bool {
        if self.is_closed() && std::thread::panicking() {
            return false;
        }
        self.assert_open();
        true
    }

    /// Has `schedule` plan something, and calls the wake-up hook if that comes before everything
    /// that was planned, outside a run.
    fn telling_host(&self, schedule: impl FnOnce()) {
        if !self.has_hook.get() || self.running.get().is_some() {
            return schedule();
        }
        let before = self.next_work();
        schedule();
        let after = self.next_work();
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            self.remote().call_hook();
        }
    }

    #[track_caller]
    pub(crate) fn call_soon<F: FnOnce() + 'static>(&self, callback: F) -> Pin<Rc<dyn Callback>> {
        let callback = Soon::create(Location::caller(), callback);
        self.push(callback.clone());
        callback
    }

    #[track_caller]
    pub(crate) fn call_at<F: FnOnce() + 'static>(&self, when: Nanos, callback: F) -> TimerRef {
        self.call_at_for(Location::caller(), when, callback)
    }

    /// [`call_at`](Self::call_at) on behalf of whoever is at `site`.
    #[track_caller]
    pub(crate) fn call_at_for<F: FnOnce() + 'static>(
        &self,
        site: &'static Location<'static>,
        when: Nanos,
        callback: F,
    ) -> TimerRef {
        let timer: TimerRef = Timer::create(site, when, callback);
        if self.accepts() {
            self.planning(&timer, |timers| timers.arm(timer.clone()));
        }
        timer
    }

    /// Keeps the place that a timer would have that was armed now.
    pub(crate) fn reserve_timer(&self) -> u64 {
        self.timers.borrow_mut().reserve()
    }

    /// [`call_at`](Self::call_at) at a place that was kept before.
    pub(crate) fn call_at_place<F: FnOnce() + 'static>(
        &self,
        place: u64,
        when: Nanos,
        site: &'static Location<'static>,
        callback: F,
    ) -> TimerRef {
        let timer: TimerRef = Timer::create(site, when, callback);
        if self.accepts() {
            self.planning(&timer, |timers| timers.arm_at(place, timer.clone()));
        }
        timer
    }

    /// The deadline of a delay that starts now.
    pub(crate) fn after(&self, delay: Duration) -> Nanos {
        self.time.now().saturating_add(to_nanos(delay))
    }

    /// Moves a timer's deadline.
    pub(super) fn rearm(&self, timer: &TimerRef, when: Nanos) {
        self.planning(timer, |timers| {
            timers.disarm(timer);
            timer.timer().when.set(when);
            timers.arm(timer.clone());
        });
    }

    /// Arms a timer, as `arm` does, and tells those who want to know.
    fn planning(&self, timer: &TimerRef, arm: impl FnOnce(&mut Timers)) {
        self.telling_host(|| arm(&mut self.timers.borrow_mut()));
        if self.observers.hear_schedules() {
            self.tell_planned(timer);
        }
    }

    /// Has the run that is going on, or the next one, return after a turn.
    pub(crate) fn request_stop(&self) {
        self.telling_host(|| self.stopping.set(true));
    }

    pub(super) fn disarm(&self, timer: &TimerRef) {
        self.timers.borrow_mut().disarm(timer);
        if self.observers.hear_schedules() {
            self.tell_unplanned(timer);
        }
    }

    /// How long from now until there is something to do; `None` if nothing is planned.
    pub(super) fn until_next(&self) -> Option<Nanos> {
        let next = self.next_work()?;
        Some(next.saturating_sub(self.time.now()))
    }

    /// When there is something to do: 0 if there is now.
    fn next_work(&self) -> Option<Nanos> {
        if self.has_work() {
            return Some(0);
        }
        self.timers.borrow_mut().next_deadline()
    }

    /// Whether the next turn has something to run without waiting.
    pub(super) fn has_work(&self) -> bool {
        !self.ready.borrow().is_empty()
            || self.unrun.get() > 0
            || self.stopping.get()
            || self.has_mail()
    }

    pub(super) fn has_mail(&self) -> bool {
        match self.remote.get() {
            Some(remote) => remote.mailbox.is_pending(),
            None => false,
        }
    }

    pub(crate) fn next_registration(&self) -> u64 {
        let id = self.last_registration.get() + 1;
        self.last_registration.set(id);
        id
    }

    /// Ids for `count` registrations, in order; gives the first.
    pub(crate) fn reserve_registrations(&self, count: usize) -> u64 {
        let first = self.last_registration.get() + 1;
        self.last_registration.set(first + count as u64 - 1);
        first
    }

    pub(crate) fn remote(&self) -> &Arc<Remote> {
        self.remote.get_or_init(|| {
            let remote = Remote::new(self.id, self.site);
            if self.life.get() == Life::Closed {
                remote.mailbox.close();
            } else {
                current::make_local(self.id, self.me.clone());
            }
            Arc::new(remote)
        })
    }

    /// What threads share, if any of it was ever needed.
    pub(super) fn existing_remote(&self) -> Option<&Arc<Remote>> {
        self.remote.get()
    }

    // ---- reports

    pub(super) fn set_exception_handler(&self, handler: Option<ExceptionHandler>) {
        if self.is_closed() {
            // Nothing will happen any more, and the handler may hold the loop.
            return drop(handler);
        }
        let old = std::mem::replace(&mut *self.exception_handler.borrow_mut(), handler);
        drop(old);
    }

    pub(super) fn set_debug(&self, debug: bool) {
        let mode = debug.then(|| Rc::new(SlowCallbacks::default()) as Rc<dyn Observer>);
        let old = std::mem::replace(&mut *self.debug.borrow_mut(), mode.clone());
        if let Some(old) = old {
            self.detach(&old);
        }
        if let Some(mode) = mode {
            self.attach(mode);
        }
    }

    pub(super) fn is_debug(&self) -> bool {
        self.debug.borrow().is_some()
    }

    pub(crate) fn slow_callback_duration(&self) -> Duration {
        Duration::from_nanos(self.slow_callback_duration.get())
    }

    pub(super) fn set_slow_callback_duration(&self, duration: Duration) {
        self.slow_callback_duration.set(to_nanos(duration));
    }

    pub(super) fn exception_handler(&self) -> Option<ExceptionHandler> {
        self.exception_handler.borrow().clone()
    }

    // ---- cancellation

    /// Offers a cancellation to what somebody awaits; says whether any of it takes it.
    ///
    /// The offer is made before this returns, unless it is made on behalf of another offer: then
    /// the outermost one gets to it. So a chain of awaiting tasks of any length needs no stack.
    ///
    /// `by` is the task on whose behalf it is made. It is marked until everything below it has been
    /// dealt with, so that tasks that await each other in a circle do not go round for ever.
    pub(crate) fn offer(&self, by: AnyRef, awaited: Vec<AnyRef>, why: &CancelledError) -> bool {
        let taken = awaited.iter().any(|future| future.accepts_cancel());
        if let Some(head) = by.task() {
            head.begin_passing();
        }
        {
            let mut offers = self.offers.borrow_mut();
            offers.push((by, None));
            let awaited = awaited.into_iter().rev();
            offers.extend(awaited.map(|future| (future, Some(why.clone()))));
        }
        if !self.offering.replace(true) {
            let _done = Offering(self);
            loop {
                let next = self.offers.borrow_mut().pop();
                match next {
                    Some((future, Some(why))) => {
                        future.cancel(why);
                    }
                    Some((by, None)) => {
                        if let Some(head) = by.task() {
                            head.end_passing();
                        }
                    }
                    None => break,
                }
            }
        }
        taken
    }

    /// Whether a run of this loop is going on.
    pub(crate) fn runs_here(&self) -> bool {
        self.running.get().is_some()
    }

    // ---- futures without handles

    /// Keeps a future for the sake of its done-callbacks, until it is done or the loop is closed.
    pub(crate) fn adopt(&self, orphan: AnyRef) {
        if !self.is_open() {
            return orphan.discard();
        }
        let base = orphan.base();
        base.orphaned.set(true);
        let address = ptr::from_ref(base);
        let numbered = (self.next_registration(), orphan);
        let old = self.orphans.borrow_mut().insert(address, numbered);
        drop(old);
    }

    /// Lets go of a future that is about to be done, and that somebody else has hold of.
    pub(crate) fn release(&self, orphan: &Base) {
        if orphan.orphaned.replace(false) {
            let released = self.orphans.borrow_mut().remove(&ptr::from_ref(orphan));
            drop(released);
        }
    }

    // ---- closing

    /// Whether it is neither closed nor being closed.
    pub(super) fn is_open(&self) -> bool {
        self.life.get() == Life::Open
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.life.get() == Life::Closed
    }

    /// # Panics
    ///
    /// If the loop is closed.
    #[track_caller]
    pub(crate) fn assert_open(&self) {
        assert!(
            !self.is_closed(),
            "event loop created at {} is closed",
            self.site
        );
    }
}

/// Somebody works off the offers, until this is dropped.
struct Offering<'a>(&'a LoopState);

impl Drop for Offering<'_> {
    fn drop(&mut self) {
        self.0.offering.set(false);
        // There are some left only after a panic, of a loop that is closed.
        let left = self.0.offers.take();
        for (by, _) in left.iter().filter(|(_, why)| why.is_none()) {
            if let Some(head) = by.task() {
                head.end_passing();
            }
        }
    }
}
