//! What collects a recording.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::Location;

use super::EntryKind;
use super::timeline::{Moment, RecordedEvent, RecordedTask, Timeline};
use crate::Clock;
use crate::event_loop::{About, LoopState, Nanos, Observer, Source, Ticket, TimerKey};

/// Keeps the newest events, by number, and all that is needed to say what has caused the next ones.
///
/// Everything beside the events is bounded by what the loop has at a time: entries that are queued,
/// timers that are armed, tasks that are not over or still have events here.
pub(super) struct Recorder {
    state: RefCell<State>,
}

/// An event, by how many were recorded before it.
type Number = u64;

struct State {
    capacity: usize,
    events: VecDeque<Recorded>,
    /// The number of the first of them: so many were dropped.
    first: Number,
    /// What runs, the innermost last.
    running: Vec<Running>,
    /// How many beginnings and ends there were.
    moments: u64,
    /// Where it has come to, if it goes no further.
    end: Option<Nanos>,
    /// Who has scheduled what is queued.
    queued: HashMap<Ticket, Queued>,
    /// Who has armed the timers.
    planned: HashMap<TimerKey, Option<Number>>,
    tasks: BTreeMap<u64, Lane>,
}

struct Running {
    number: Number,
    task: Option<u64>,
    /// It is the last step of its task.
    is_last: bool,
}

struct Recorded {
    kind: EntryKind,
    site: Option<&'static Location<'static>>,
    task: Option<u64>,
    turn: u64,
    queued: Option<Nanos>,
    cause: Option<Number>,
    begin: Moment,
    end: Option<Moment>,
}

#[derive(Clone, Copy)]
struct Queued {
    at: Nanos,
    cause: Option<Number>,
}

struct Lane {
    name: String,
    site: &'static Location<'static>,
    since: Moment,
    until: Option<Moment>,
    /// How many events of it are kept.
    events: usize,
}

impl Recorder {
    /// Begins with the tasks that are there.
    pub(super) fn new(lp: &LoopState, capacity: usize) -> Self {
        let mut state = State {
            capacity,
            events: VecDeque::new(),
            first: 0,
            running: Vec::new(),
            moments: 0,
            end: None,
            queued: HashMap::new(),
            planned: HashMap::new(),
            tasks: BTreeMap::new(),
        };
        let tasks = lp.tasks.borrow().all();
        for task in tasks {
            state.lane(lp, &task.about());
        }
        Self {
            state: RefCell::new(state),
        }
    }

    /// From now on it hears of nothing but the end of what runs.
    pub(super) fn stopped(&self, lp: &LoopState) {
        let end = &mut self.state.borrow_mut().end;
        end.get_or_insert_with(|| lp.time.now());
    }

    pub(super) fn dropped(&self) -> u64 {
        self.state.borrow().first
    }

    pub(super) fn timeline(&self, lp: &LoopState) -> Timeline {
        let state = self.state.borrow();
        let tasks = state.tasks.iter().map(|(&id, lane)| RecordedTask {
            id,
            name: lane.name.clone(),
            site: lane.site,
            since: lane.since,
            until: lane.until,
        });
        let now = Moment {
            order: state.moments + 1,
            time: state.end.unwrap_or_else(|| lp.time.now()),
        };
        Timeline {
            events: state.events.iter().map(|it| state.event(it)).collect(),
            tasks: tasks.collect(),
            now,
            is_virtual: lp.time.kind() == Clock::Virtual,
        }
    }
}

impl State {
    fn now(&mut self, lp: &LoopState) -> Moment {
        self.moments += 1;
        let time = lp.time.now();
        self.end = self.end.map(|_| time);
        Moment {
            order: self.moments,
            time,
        }
    }

    /// The event that goes on.
    fn current(&self) -> Option<Number> {
        self.running.last().map(|running| running.number)
    }

    fn event(&self, it: &Recorded) -> RecordedEvent {
        let lane = it.task.and_then(|task| self.tasks.get(&task));
        RecordedEvent {
            kind: it.kind,
            name: lane.map_or_else(|| it.kind.to_string(), |lane| lane.name.clone()),
            site: it.site,
            task: it.task,
            turn: it.turn,
            queued: it.queued,
            begin: it.begin,
            end: it.end,
            cause: it.cause.and_then(|cause| self.place(cause)),
        }
    }

    /// Where an event is, if it is kept.
    fn place(&self, number: Number) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }

    /// The lane of the task that an entry belongs to, if it does.
    fn lane(&mut self, lp: &LoopState, about: &About) -> Option<&mut Lane> {
        let (task, site) = (about.task?, about.site?);
        if !self.tasks.contains_key(&task.id) {
            let lane = Lane {
                // One that is over may still have an entry in the queue.
                name: (lp.name_of(task)).unwrap_or_else(|| format!("Task-{}", task.id)),
                site,
                since: self.now(lp),
                until: None,
                events: 0,
            };
            self.tasks.insert(task.id, lane);
        }
        self.tasks.get_mut(&task.id)
    }

    fn begin(&mut self, lp: &LoopState, about: &About, queued: Option<Queued>) {
        if let Some(lane) = self.lane(lp, about) {
            lane.events += 1;
        }
        let cause = match queued {
            Some(queued) => queued.cause,
            // What begins inside of something else was begun by that.
            None => self.current(),
        };
        let begin = self.now(lp);
        self.events.push_back(Recorded {
            kind: about.kind,
            site: about.site,
            task: about.task.map(|task| task.id),
            turn: lp.turns.get(),
            queued: queued.map(|queued| queued.at),
            cause,
            begin,
            end: None,
        });
        let number = self.first + self.events.len() as u64 - 1;
        self.running.push(Running {
            number,
            task: about.task.map(|task| task.id),
            is_last: false,
        });
        if self.events.len() > self.capacity {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        self.first += 1;
        let dropped = self.events.pop_front();
        let Some(task) = dropped.and_then(|dropped| dropped.task) else {
            return;
        };
        if let Some(lane) = self.tasks.get_mut(&task) {
            lane.events -= 1;
            self.forget_if_over(task);
        }
    }

    /// A task was over before now.
    fn end_lane(&mut self, lp: &LoopState, task: u64) {
        let until = self.now(lp);
        if let Some(lane) = self.tasks.get_mut(&task) {
            lane.until.get_or_insert(until);
            self.forget_if_over(task);
        }
    }

    fn forget_if_over(&mut self, task: u64) {
        let lane = self.tasks.get(&task);
        if lane.is_some_and(|lane| lane.events == 0 && lane.until.is_some()) {
            self.tasks.remove(&task);
        }
    }
}

impl Observer for Recorder {
    fn hears_schedules(&self) -> bool {
        true
    }

    fn planned(&self, _lp: &LoopState, timer: TimerKey, _about: &About) {
        let mut state = self.state.borrow_mut();
        let cause = state.current();
        state.planned.insert(timer, cause);
    }

    fn unplanned(&self, _lp: &LoopState, timer: TimerKey) {
        self.state.borrow_mut().planned.remove(&timer);
    }

    fn scheduled(&self, lp: &LoopState, ticket: Ticket, about: &About, source: Source) {
        let mut state = self.state.borrow_mut();
        let cause = match source {
            Source::Here => state.current(),
            Source::Timer(timer) => state.planned.remove(&timer).flatten(),
            Source::Thread => None,
        };
        state.lane(lp, about);
        let at = lp.time.now();
        state.queued.insert(ticket, Queued { at, cause });
    }

    fn begins(&self, lp: &LoopState, ticket: Option<Ticket>, about: &About) {
        let mut state = self.state.borrow_mut();
        let queued = ticket.and_then(|ticket| state.queued.remove(&ticket));
        state.begin(lp, about, queued);
    }

    fn ended(&self, lp: &LoopState) {
        let mut state = self.state.borrow_mut();
        let end = state.now(lp);
        let Some(running) = state.running.pop() else {
            return;
        };
        let place = state.place(running.number);
        if let Some(event) = place.and_then(|place| state.events.get_mut(place)) {
            event.end = Some(end);
        }
        if let Some(task) = running.task.filter(|_| running.is_last) {
            state.end_lane(lp, task);
        }
    }

    fn task_over(&self, lp: &LoopState, id: u64) {
        let mut state = self.state.borrow_mut();
        let mut steps = state.running.iter_mut();
        match steps.rfind(|step| step.task == Some(id)) {
            // It ends with that.
            Some(step) => step.is_last = true,
            None => state.end_lane(lp, id),
        }
    }

    fn task_named(&self, id: u64, name: &str) {
        if let Some(lane) = self.state.borrow_mut().tasks.get_mut(&id) {
            name.clone_into(&mut lane.name);
        }
    }

    fn closed(&self, lp: &LoopState) {
        let mut state = self.state.borrow_mut();
        state.queued.clear();
        state.planned.clear();
        let until = state.now(lp);
        for lane in state.tasks.values_mut() {
            lane.until.get_or_insert(until);
        }
        state.end = Some(until.time);
    }
}
