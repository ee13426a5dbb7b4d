//! The one place where a loop tells what it does: to recordings, watchdogs, debug mode, spans.
//!
//! Whoever wants to hear of it is an [`Observer`]. Without any the loop looks at one flag before an
//! entry of the ready queue runs, and at one when an entry joins it; the latter also stands for what a
//! push had to look at anyway.
//!
//! The ready queue is first in, first out. So what an observer has to remember about an entry from its
//! scheduling to its run is not in the entry: beside the queue runs a queue of [`Ticket`]s, while there
//! is somebody who wants them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use once_cell::unsync::OnceCell;

use super::handles::TimerRef;
use super::ready::{Ready, Run};
use super::state::LoopState;
use crate::observe::{EntryKind, Heart, Pulse, Shown};
use crate::tasks::Stepper;

/// Something that wants to know what a loop does.
///
/// It is called with nothing of the loop borrowed, and holds nothing of its own while it calls user
/// code (a logger, a subscriber). It does not panic.
pub(crate) trait Observer {
    /// Whether it wants to hear of what is scheduled, too; answers always the same.
    fn hears_schedules(&self) -> bool {
        false
    }

    /// Whatever runs now, if anything does, has armed a timer, or has moved its deadline.
    fn planned(&self, _lp: &LoopState, _timer: TimerKey, _about: &About) {}

    /// A timer was cancelled, be it armed or not.
    fn unplanned(&self, _lp: &LoopState, _timer: TimerKey) {}

    /// An entry has joined the ready queue.
    fn scheduled(&self, _lp: &LoopState, _ticket: Ticket, _about: &About, _source: Source) {}

    /// An entry begins to run. It may be inside of another: a task that starts eagerly.
    fn begins(&self, lp: &LoopState, ticket: Option<Ticket>, about: &About);

    /// The entry that began last is over, also by a panic.
    fn ended(&self, lp: &LoopState);

    /// A task is over; its last step may still go on. Told to those who hear of schedules.
    fn task_over(&self, _lp: &LoopState, _id: u64) {}

    /// A task has got a name.
    fn task_named(&self, _id: u64, _name: &str) {}

    /// The loop is closed, and has dropped what was pending.
    fn closed(&self, _lp: &LoopState) {}
}

/// An entry of the ready queue, by a number that ascends with each.
pub(crate) type Ticket = u64;

/// In the place of the ticket of an entry that was queued before anybody wanted to hear of it.
const NO_TICKET: Ticket = 0;

/// A timer, by where it lies in memory: it stays there as long as it is planned.
pub(crate) type TimerKey = usize;

/// What an entry of the ready queue is.
#[derive(Clone, Copy)]
pub(crate) struct About {
    pub(crate) kind: EntryKind,
    /// Where it was created; what a thread posted does not know.
    pub(crate) site: Option<&'static Location<'static>>,
    /// Which task, if it is a step of one.
    pub(crate) task: Option<TaskMark>,
}

impl About {
    pub(crate) fn at(kind: EntryKind, site: &'static Location<'static>) -> Self {
        Self {
            kind,
            site: Some(site),
            task: None,
        }
    }
}

/// A task, for those who only look at it.
#[derive(Clone, Copy)]
pub(crate) struct TaskMark {
    /// Unique in the process.
    pub(crate) id: u64,
    /// Where it is in the loop's table; see `TaskHead::key`.
    pub(crate) key: u64,
}

/// Who had an entry join the ready queue.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// Whatever runs on the loop now, or the thread's code outside of a run.
    Here,
    /// A timer, which was due.
    Timer(TimerKey),
    /// Another thread.
    Thread,
}

type List = Rc<[Rc<dyn Observer>]>;

/// Those who observe a loop. Part of a [`LoopState`].
#[derive(Default)]
pub(crate) struct Observers {
    /// Whether there is any.
    any: Cell<bool>,
    /// Whether there is any in the list.
    listens: Cell<bool>,
    /// Whether any hears of what is scheduled.
    hears: Cell<bool>,
    /// Replaced as a whole, so that nothing is borrowed while one of them is called.
    list: RefCell<Option<List>>,
    /// What shows to other threads what runs, once a watchdog was there; it counts while one is. It is
    /// called all the time, and so in a shorter way: it calls nobody, and stays.
    heart: OnceCell<Heart>,
    /// How many watchdogs there are.
    watchdogs: Cell<usize>,
    /// The tickets of what has yet to run of this turn's batch and of the ready queue, in order;
    /// empty while nobody hears of what is scheduled.
    tickets: RefCell<VecDeque<Ticket>>,
    last_ticket: Cell<Ticket>,
}

impl Observers {
    /// Whether anybody wants to know what runs.
    #[inline(always)]
    pub(super) fn any(&self) -> bool {
        self.any.get()
    }

    /// Whether anybody wants to know what is scheduled.
    #[inline(always)]
    pub(super) fn hear_schedules(&self) -> bool {
        self.hears.get()
    }

    fn list(&self) -> Option<List> {
        self.list.borrow().clone()
    }

    /// Tells each, in the order in which they came.
    fn tell(&self, tell: impl Fn(&dyn Observer)) {
        for observer in self.list().iter().flat_map(|list| list.iter()) {
            tell(&**observer);
        }
    }

    /// What shows to other threads what runs, if a watchdog is there.
    #[inline]
    fn heart(&self) -> Option<&Heart> {
        self.heart.get().filter(|_| self.watchdogs.get() > 0)
    }

    /// An entry begins to run.
    #[inline]
    pub(super) fn beat(&self, about: &About) {
        if let Some(heart) = self.heart() {
            heart.begins(about);
        }
    }

    /// The loop is about to wait, or to return to its host.
    pub(super) fn rest(&self) {
        if let Some(heart) = self.heart() {
            heart.rests();
        }
    }

    /// The place of the entry that joins the ready queue now.
    fn issue(&self) -> Ticket {
        let ticket = self.last_ticket.get() + 1;
        self.last_ticket.set(ticket);
        self.tickets.borrow_mut().push_back(ticket);
        ticket
    }

    /// The ticket of the entry that leaves the ready queue now.
    fn redeem(&self) -> Option<Ticket> {
        let ticket = self.tickets.borrow_mut().pop_front()?;
        (ticket != NO_TICKET).then_some(ticket)
    }

    /// This turn's batch, which has yet to run, was put in another order: what comes at `i` now came at
    /// `order[i]`.
    pub(super) fn reordered(&self, order: &[usize]) {
        if !self.hears.get() {
            return;
        }
        let mut tickets = self.tickets.borrow_mut();
        let old: Vec<_> = tickets.iter().copied().take(order.len()).collect();
        for (place, &from) in order.iter().enumerate() {
            tickets[place] = old[from];
        }
    }

    /// What was ready has been dropped.
    pub(super) fn discarded(&self) {
        self.tickets.borrow_mut().clear();
    }
}

impl LoopState {
    /// Tells `observer` what happens from now on.
    pub(crate) fn attach(&self, observer: Rc<dyn Observer>) {
        let old = self.observers.list();
        let all = old.iter().flat_map(|list| list.iter()).cloned();
        self.observe_with(all.chain([observer]).collect());
    }

    /// Tells `observer` nothing any more, but for the end of what it has seen the beginning of.
    pub(crate) fn detach(&self, observer: &Rc<dyn Observer>) {
        let old = self.observers.list();
        let all = old.iter().flat_map(|list| list.iter()).cloned();
        self.observe_with(all.filter(|it| !Rc::ptr_eq(it, observer)).collect());
    }

    fn observe_with(&self, list: List) {
        let observers = &self.observers;
        let hears = list.iter().any(|observer| observer.hears_schedules());
        if observers.hears.replace(hears) != hears {
            let queued = self.unrun.get() + self.ready.borrow().len();
            let unknown = std::iter::repeat_n(NO_TICKET, if hears { queued } else { 0 });
            *observers.tickets.borrow_mut() = unknown.collect();
            self.refresh_push();
        }
        let list = (!list.is_empty()).then_some(list);
        let old = std::mem::replace(&mut *observers.list.borrow_mut(), list);
        self.refresh_observed();
        drop(old);
    }

    /// Shows to other threads what runs from now on, until as many watchdogs are gone as came.
    pub(crate) fn add_watchdog(&self) -> &Arc<Pulse> {
        let watchdogs = &self.observers.watchdogs;
        let heart = self.observers.heart.get_or_init(Heart::default);
        if watchdogs.replace(watchdogs.get() + 1) == 0 {
            heart.learn_names(self);
            self.remote().show(Some(heart.pulse.clone()));
        }
        self.refresh_observed();
        &heart.pulse
    }

    pub(crate) fn remove_watchdog(&self) {
        let watchdogs = &self.observers.watchdogs;
        if watchdogs.get() == 1 {
            // Nobody will say when what runs now is over.
            self.observers.rest();
            self.remote().show(None);
        }
        watchdogs.set(watchdogs.get() - 1);
        self.refresh_observed();
    }

    fn refresh_observed(&self) {
        let observers = &self.observers;
        let listens = observers.list.borrow().is_some();
        observers.listens.set(listens);
        observers.any.set(listens || observers.watchdogs.get() > 0);
    }

    /// Appends to the ready queue, and tells who did.
    pub(super) fn push_told(&self, entry: Ready) {
        let told = self.observers.hear_schedules().then(|| entry.about());
        self.ready.borrow_mut().push(entry);
        if let Some(about) = told {
            let ticket = self.observers.issue();
            self.tell_scheduled(ticket, &about, Source::Here);
        }
    }

    /// Tells that mail was queued: so many entries like this one.
    pub(super) fn tell_mail(&self, entry: &Ready, count: usize) {
        let about = entry.about();
        let tickets: Vec<_> = (0..count).map(|_| self.observers.issue()).collect();
        for ticket in tickets {
            self.tell_scheduled(ticket, &about, Source::Thread);
        }
    }

    /// Gives a due timer, which is being queued, its ticket; [`tell_due`](Self::tell_due) tells.
    pub(super) fn note_due(&self, timer: &TimerRef) -> Due {
        Due {
            ticket: self.observers.issue(),
            about: timer.about(),
            timer: key_of(timer),
        }
    }

    pub(super) fn tell_due(&self, due: &[Due]) {
        for due in due {
            self.tell_scheduled(due.ticket, &due.about, Source::Timer(due.timer));
        }
    }

    fn tell_scheduled(&self, ticket: Ticket, about: &About, source: Source) {
        let tell = |it: &dyn Observer| it.scheduled(self, ticket, about, source);
        self.observers.tell(tell);
    }

    /// Tells that a timer was armed.
    #[cold]
    pub(super) fn tell_planned(&self, timer: &TimerRef) {
        let about = timer.about();
        let tell = |it: &dyn Observer| it.planned(self, key_of(timer), &about);
        self.observers.tell(tell);
    }

    /// Tells that a timer was cancelled.
    #[cold]
    pub(super) fn tell_unplanned(&self, timer: &TimerRef) {
        let tell = |it: &dyn Observer| it.unplanned(self, key_of(timer));
        self.observers.tell(tell);
    }

    /// Tells that a task, which the loop has let go of, is over.
    #[inline]
    pub(crate) fn tell_task_over(&self, id: u64) {
        if self.observers.hear_schedules() {
            self.tell_over(id);
        }
    }

    #[cold]
    fn tell_over(&self, id: u64) {
        self.observers.tell(|it| it.task_over(self, id));
    }

    /// Tells that a task has got a name.
    pub(crate) fn tell_task_named(&self, id: u64, name: &str) {
        if self.observers.any() {
            self.observers.tell(|it| it.task_named(id, name));
            if let Some(heart) = self.observers.heart() {
                heart.task_named(self, id, name);
            }
        }
    }

    /// Tells that the loop is closed.
    pub(super) fn tell_closed(&self) {
        self.observers.tell(|it| it.closed(self));
        if let Some(heart) = self.observers.heart() {
            heart.closed();
        }
    }

    /// Runs the entry that came first, and tells.
    #[inline(never)]
    pub(super) fn run_observed(self: &Rc<Self>, entry: Ready, stepper: &mut Stepper<'_>) {
        match self.observers.listens.get() {
            true => self.run_told(entry, stepper),
            false => entry.run_shown(self, stepper),
        }
    }

    #[inline(never)]
    fn run_told(self: &Rc<Self>, entry: Ready, stepper: &mut Stepper<'_>) {
        let about = entry.about();
        let ticket = match self.observers.hear_schedules() {
            true => self.observers.redeem(),
            false => None,
        };
        let _told = self.tell_begin(ticket, &about);
        // Caught here, for what a panic leads to is part of the entry.
        let run = AssertUnwindSafe(|| entry.run_shown(self, stepper));
        if let Err(payload) = catch_unwind(run) {
            self.entry_panicked(payload, stepper);
        }
    }

    /// Tells that an entry runs, and that it is over when what this gives is dropped.
    fn tell_begin(&self, ticket: Option<Ticket>, about: &About) -> Told<'_> {
        let list = self.observers.list();
        for observer in list.iter().flat_map(|list| list.iter()) {
            observer.begins(self, ticket, about);
        }
        Told { lp: self, list }
    }

    /// Tells that something runs inside of what runs, until what this gives is dropped.
    pub(crate) fn observe_inner(&self, entry: &dyn Run) -> Option<Inner<'_>> {
        if !self.observers.any() {
            return None;
        }
        let about = entry.about();
        let heart = self.observers.heart();
        Some(Inner {
            observers: &self.observers,
            outer: heart.and_then(|heart| heart.begins_inside(&about)),
            _told: self.tell_begin(None, &about),
        })
    }

    /// The name of a task that is not over.
    pub(crate) fn name_of(&self, task: TaskMark) -> Option<String> {
        self.with_task(task.key, |head| head.name())
    }
}

/// A due timer that nobody has been told of yet.
pub(super) struct Due {
    ticket: Ticket,
    about: About,
    timer: TimerKey,
}

fn key_of(timer: &TimerRef) -> TimerKey {
    std::ptr::from_ref(&**timer).cast::<()>().addr()
}

/// An entry runs, and those who were told so are told when this is dropped.
struct Told<'a> {
    lp: &'a LoopState,
    list: Option<List>,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        for observer in self.list.iter().flat_map(|list| list.iter().rev()) {
            observer.ended(self.lp);
        }
    }
}

/// Something runs inside of what runs.
pub(crate) struct Inner<'a> {
    observers: &'a Observers,
    /// What it interrupts, if that is shown.
    outer: Option<Shown>,
    _told: Told<'a>,
}

impl Drop for Inner<'_> {
    fn drop(&mut self) {
        if let Some(heart) = self.observers.heart() {
            heart.inner_ended(self.outer);
        }
    }
}
