//! What a loop shows to other threads: what it runs right now.
//!
//! The loop's thread only writes, and takes neither a lock nor the time. Whoever looks sees the same
//! number again if the same entry still runs.
//!
//! 1. Before it writes what runs, the loop sets the number to [`WRITES`]; behind it, to the new number.
//! 2. Who looks reads the number, what runs, and the number again.
//! 3. If it reads any part of something newer, it reads a number other than the first one behind it. So
//!    what it has read belongs together if both numbers are the same.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_utils::atomic::AtomicCell;

use super::kind::words;
use super::{EntryKind, Stall};
use crate::event_loop::{About, LoopState, Observer, Ticket};
use crate::sync::{AtomicBool, AtomicU64, Condvar, Mutex, Ordering, wait_on};

/// In the place of a number: nothing runs.
const RESTS: u64 = 0;
/// What runs is being written.
const WRITES: u64 = u64::MAX;
/// An entry's number is a multiple of it. What begins and ends inside of that, eager tasks, counts on
/// from there.
const ENTRY: u64 = 1 << 16;
/// In the place of a task's id, which count from 1.
const NO_TASK: u64 = 0;
/// So many names more than there are tasks are kept until somebody clears up.
const NAMES_TOLERATED: usize = 64;

pub(crate) struct Pulse {
    number: AtomicU64,
    kind: AtomicCell<EntryKind>,
    site: AtomicCell<Option<&'static Location<'static>>>,
    task: AtomicU64,
    /// Somebody waits for the end of what runs.
    awaited: AtomicBool,
    /// The tasks that have names of their own.
    names: Mutex<HashMap<u64, String>>,
    watch: Mutex<Watch>,
    changed: Condvar,
}

/// What the watching thread knows.
#[derive(Default)]
struct Watch {
    /// Nobody needs it any more.
    stopped: bool,
    /// What somebody waited for the end of, has ended.
    over: bool,
    /// What ran when it looked last, and when it saw that first.
    seen: Option<(u64, Instant)>,
}

/// What runs.
#[derive(Clone, Copy)]
pub(crate) struct Shown {
    number: u64,
    kind: EntryKind,
    site: Option<&'static Location<'static>>,
    task: Option<u64>,
}

/// What somebody sees who looks.
pub(super) enum Look {
    Rests,
    Shows(Shown),
    /// Something is just beginning or ending.
    Unclear,
}

impl Shown {
    /// Which entry of the ready queue it is, or is inside of.
    pub(super) fn entry(&self) -> u64 {
        self.number / ENTRY
    }
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self {
            number: AtomicU64::new(RESTS),
            kind: AtomicCell::new(EntryKind::Callback),
            site: AtomicCell::new(None),
            task: AtomicU64::new(NO_TASK),
            awaited: AtomicBool::new(false),
            names: Mutex::new(HashMap::new()),
            watch: Mutex::new(Watch::default()),
            changed: Condvar::new(),
        }
    }

    // ---- the loop's thread

    fn show(&self, shown: &Shown) {
        self.number.store(WRITES, Ordering::Release);
        self.kind.store(shown.kind);
        self.site.store(shown.site);
        let task = shown.task.unwrap_or(NO_TASK);
        self.task.store(task, Ordering::Release);
        self.number.store(shown.number, Ordering::Release);
    }

    fn rest(&self) {
        self.number.store(RESTS, Ordering::Release);
        if self.awaited.load(Ordering::Relaxed) {
            self.tell_over();
        }
    }

    #[cold]
    fn tell_over(&self) {
        self.awaited.store(false, Ordering::Relaxed);
        self.watch.lock().over = true;
        self.changed.notify_all();
    }

    /// Ends the wait of the watching thread for good.
    pub(super) fn stop(&self) {
        self.watch.lock().stopped = true;
        self.changed.notify_all();
    }

    // ---- any thread

    /// What runs now.
    pub(super) fn look(&self) -> Look {
        let number = self.number.load(Ordering::Acquire);
        let shown = Shown {
            number,
            kind: self.kind.load(),
            site: self.site.load(),
            task: Some(self.task.load(Ordering::Acquire)).filter(|&task| task != NO_TASK),
        };
        match self.number.load(Ordering::Acquire) {
            WRITES => Look::Unclear,
            RESTS => Look::Rests,
            same if same == number => Look::Shows(shown),
            _ => Look::Unclear,
        }
    }

    fn shown(&self) -> Option<Shown> {
        match self.look() {
            Look::Shows(shown) => Some(shown),
            Look::Rests | Look::Unclear => None,
        }
    }

    /// What runs now, and for how long at least; nothing if that has just begun.
    pub(crate) fn now(&self) -> Option<Stall> {
        let shown = self.shown()?;
        let seen = self.watch.lock().seen;
        let since = seen.filter(|(entry, _)| *entry == shown.entry());
        let running_for = since.map_or(Duration::ZERO, |(_, since)| since.elapsed());
        Some(self.report(&shown, running_for))
    }

    pub(super) fn report(&self, shown: &Shown, running_for: Duration) -> Stall {
        let name = shown.task.map(|task| {
            let name = self.names.lock().get(&task).cloned();
            name.unwrap_or_else(|| format!("Task-{task}"))
        });
        Stall {
            kind: shown.kind,
            site: shown.site,
            task: shown.task,
            words: words(shown.kind, name.as_deref(), shown.site),
            name: name.unwrap_or_else(|| shown.kind.to_string()),
            running_for,
            over: false,
        }
    }

    // ---- the watching thread

    /// Notes what runs since when, and waits until it is time to look again; false if it never is.
    pub(super) fn pause(&self, seen: Option<(u64, Instant)>, pause: Duration) -> bool {
        let mut watch = self.watch.lock();
        watch.seen = seen;
        if !watch.stopped && !watch.over {
            watch = wait_on(&self.changed, watch, Some(pause));
        }
        watch.over = false;
        !watch.stopped
    }

    /// Has the next [`pause`](Self::pause) end when what runs now is over.
    pub(super) fn await_end(&self) {
        self.awaited.store(true, Ordering::Release);
    }
}

/// Shows what a loop runs.
pub(super) struct Heart {
    pub(super) pulse: Arc<Pulse>,
    /// What is interrupted by what runs now.
    outer: RefCell<Vec<Shown>>,
    /// The last number that was given.
    last: Cell<u64>,
}

impl Heart {
    pub(super) fn new(lp: &LoopState, pulse: Arc<Pulse>) -> Self {
        let tasks = lp.tasks.borrow().all();
        for task in &tasks {
            let (id, name) = (task.head().id(), task.head().name());
            if name != format!("Task-{id}") {
                pulse.names.lock().insert(id, name);
            }
        }
        Self {
            pulse,
            outer: RefCell::default(),
            last: Cell::new(0),
        }
    }
}

impl Observer for Heart {
    #[inline]
    fn begins(&self, _lp: &LoopState, _ticket: Option<Ticket>, about: &About) {
        let number = self.last.get();
        let runs = self.pulse.number.load(Ordering::Relaxed) != RESTS;
        let number = match runs {
            true => {
                self.outer.borrow_mut().extend(self.pulse.shown());
                number + 1
            }
            false => (number / ENTRY + 1) * ENTRY,
        };
        self.last.set(number);
        self.pulse.show(&Shown {
            number,
            kind: about.kind,
            site: about.site,
            task: about.task.map(|task| task.id),
        });
    }

    #[inline]
    fn ended(&self, _lp: &LoopState) {
        // Only what is inside of something else leaves that behind.
        if self.last.get() % ENTRY == 0 {
            return self.pulse.rest();
        }
        match self.outer.borrow_mut().pop() {
            Some(outer) => {
                self.last.set(self.last.get() + 1);
                let number = self.last.get();
                self.pulse.show(&Shown { number, ..outer });
            }
            None => self.pulse.rest(),
        }
    }

    fn task_named(&self, lp: &LoopState, id: u64, name: &str) {
        let mut names = self.pulse.names.lock();
        names.insert(id, name.to_owned());
        let tasks = lp.tasks.borrow();
        if names.len() > 2 * tasks.len() + NAMES_TOLERATED {
            let alive: Vec<_> = tasks.all().iter().map(|task| task.head().id()).collect();
            names.retain(|id, _| alive.binary_search(id).is_ok());
        }
    }

    fn closed(&self, _lp: &LoopState) {
        self.pulse.stop();
    }
}
