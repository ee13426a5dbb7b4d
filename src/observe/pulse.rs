//! What a loop shows to other threads: what it runs right now.
//!
//! The loop's thread only writes, and takes neither a lock nor the time. Whoever looks sees the same
//! number again if the same entry still runs.
//!
//! 1. Before it writes what runs, the loop sets the number to [`WRITES`]; behind it, to the new number.
//! 2. Who looks reads the number, what runs, and the number again.
//! 3. If it reads any part of something newer, it reads a number other than the first one behind it. So
//!    what it has read belongs together if both numbers are the same.

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_utils::atomic::AtomicCell;

use super::kind::words;
use super::{EntryKind, Stall};
use crate::event_loop::{About, LoopState};
use crate::sync::{AtomicBool, AtomicU64, Condvar, Mutex, Ordering, wait_on};

/// In the place of a number: nothing runs.
const RESTS: u64 = 0;
/// What runs is being written.
const WRITES: u64 = u64::MAX;
/// In the place of a task's id, which count from 1.
const NO_TASK: u64 = 0;
/// So many names more than there are tasks are kept until somebody clears up.
const NAMES_TOLERATED: usize = 64;

pub(crate) struct Pulse {
    /// Another one each time that something begins, or goes on behind what was inside of it.
    number: AtomicU64,
    /// The number that the entry of the ready queue had as it began. Those of eager tasks, which begin
    /// and end inside of it, come behind that.
    entry: AtomicU64,
    kind: AtomicCell<EntryKind>,
    site: AtomicCell<Option<&'static Location<'static>>>,
    task: AtomicU64,
    /// Somebody waits for the end of what runs.
    awaited: AtomicBool,
    /// The tasks that have names of their own.
    names: Mutex<HashMap<u64, String>>,
    watches: Mutex<Vec<Arc<Watch>>>,
}

/// What a watching thread shares with the loop.
pub(super) struct Watch {
    state: Mutex<WatchState>,
    changed: Condvar,
}

#[derive(Default)]
struct WatchState {
    /// Nobody needs it any more.
    stopped: bool,
    /// What it waited for the end of, has ended.
    over: bool,
    /// Which entry ran when it looked last, and when it saw that first.
    seen: Option<(u64, Instant)>,
}

/// What runs.
#[derive(Clone, Copy)]
pub(crate) struct Shown {
    number: u64,
    entry: u64,
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
        self.entry
    }
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            number: AtomicU64::new(RESTS),
            entry: AtomicU64::new(RESTS),
            kind: AtomicCell::new(EntryKind::Callback),
            site: AtomicCell::new(None),
            task: AtomicU64::new(NO_TASK),
            awaited: AtomicBool::new(false),
            names: Mutex::new(HashMap::new()),
            watches: Mutex::new(Vec::new()),
        }
    }
}

impl Pulse {
    // ---- the loop's thread

    #[inline]
    fn show(&self, shown: &Shown) {
        self.number.store(WRITES, Ordering::Release);
        self.entry.store(shown.entry, Ordering::Release);
        self.kind.store(shown.kind);
        self.site.store(shown.site);
        let task = shown.task.unwrap_or(NO_TASK);
        self.task.store(task, Ordering::Release);
        self.number.store(shown.number, Ordering::Release);
        if self.awaited.load(Ordering::Relaxed) {
            self.tell_over();
        }
    }

    #[cold]
    fn tell_over(&self) {
        self.awaited.store(false, Ordering::Relaxed);
        for watch in self.watches.lock().iter() {
            watch.state.lock().over = true;
            watch.changed.notify_all();
        }
    }

    /// Somebody begins to watch.
    pub(super) fn begin_watch(&self) -> Arc<Watch> {
        let watch = Arc::new(Watch {
            state: Mutex::new(WatchState::default()),
            changed: Condvar::new(),
        });
        self.watches.lock().push(watch.clone());
        watch
    }

    /// Has a watching thread end.
    pub(super) fn end_watch(&self, watch: &Arc<Watch>) {
        self.watches.lock().retain(|it| !Arc::ptr_eq(it, watch));
        watch.stop();
    }

    // ---- any thread

    /// What runs now.
    pub(super) fn look(&self) -> Look {
        let number = self.number.load(Ordering::Acquire);
        let shown = Shown {
            number,
            entry: self.entry.load(Ordering::Acquire),
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
        let watches = self.watches.lock();
        let seen = watches.iter().filter_map(|watch| watch.state.lock().seen);
        let since = seen
            .filter(|(entry, _)| *entry == shown.entry())
            .map(|(_, since)| since);
        let running_for = since.min().map_or(Duration::ZERO, |since| since.elapsed());
        drop(watches);
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

    // ---- a watching thread

    /// Has the next [`pause`](Watch::pause) of every watch end when what runs now is over.
    pub(super) fn await_end(&self) {
        self.awaited.store(true, Ordering::Release);
    }
}

impl Watch {
    /// Notes what runs since when, and waits until it is time to look again; false if it never is.
    pub(super) fn pause(&self, seen: Option<(u64, Instant)>, pause: Duration) -> bool {
        let mut state = self.state.lock();
        state.seen = seen;
        if !state.stopped && !state.over {
            state = wait_on(&self.changed, state, Some(pause));
        }
        state.over = false;
        !state.stopped
    }

    fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }
}

/// Shows what a loop runs, by its thread.
#[derive(Default)]
pub(crate) struct Heart {
    pub(crate) pulse: Arc<Pulse>,
    /// The last number that was given.
    last: Cell<u64>,
}

impl Heart {
    /// An entry begins to run.
    #[inline]
    pub(crate) fn begins(&self, about: &About) {
        let number = self.next();
        self.show(number, number, about);
    }

    #[inline]
    fn next(&self) -> u64 {
        let number = self.last.get() + 1;
        self.last.set(number);
        number
    }

    #[inline]
    fn show(&self, number: u64, entry: u64, about: &About) {
        self.pulse.show(&Shown {
            number,
            entry,
            kind: about.kind,
            site: about.site,
            task: about.task.map(|task| task.id),
        });
    }

    /// The loop waits, or returns to its host.
    pub(crate) fn rests(&self) {
        self.pulse.number.store(RESTS, Ordering::Release);
        if self.pulse.awaited.load(Ordering::Relaxed) {
            self.pulse.tell_over();
        }
    }

    /// What begins now is inside of what runs; gives the latter, if it is shown.
    pub(crate) fn begins_inside(&self, about: &About) -> Option<Shown> {
        let outer = self.pulse.shown();
        let number = self.next();
        let entry = outer.map_or(number, |outer| outer.entry);
        self.show(number, entry, about);
        outer
    }

    /// What began last, inside of something else, is over.
    pub(crate) fn inner_ended(&self, outer: Option<Shown>) {
        let Some(outer) = outer else {
            // It began when nothing was shown yet.
            return self.rests();
        };
        let number = self.next();
        self.pulse.show(&Shown { number, ..outer });
    }

    /// The first watchdog comes, or the first since there was none.
    pub(crate) fn learn_names(&self, lp: &LoopState) {
        let tasks = lp.tasks.borrow().all();
        let named = tasks
            .iter()
            .map(|task| (task.head().id(), task.head().name()));
        let named = named.filter(|(id, name)| *name != format!("Task-{id}"));
        *self.pulse.names.lock() = named.collect();
    }

    /// A task has got a name.
    pub(crate) fn task_named(&self, lp: &LoopState, id: u64, name: &str) {
        let mut names = self.pulse.names.lock();
        names.insert(id, name.to_owned());
        let tasks = lp.tasks.borrow();
        if names.len() > 2 * tasks.len() + NAMES_TOLERATED {
            let alive: Vec<_> = tasks.all().iter().map(|task| task.head().id()).collect();
            names.retain(|id, _| alive.binary_search(id).is_ok());
        }
    }

    /// The loop is closed: nothing will ever run.
    pub(crate) fn closed(&self) {
        for watch in self.pulse.watches.lock().iter() {
            watch.stop();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn whatever_happens_inside_of_an_entry_it_stays_the_same_entry() {
        let heart = Heart::default();
        let about = About::at(EntryKind::Callback, Location::caller());
        let entry = || heart.pulse.shown().map(|shown| shown.entry());
        heart.begins(&about);
        let first = entry();
        for _ in 0..100_000 {
            let outer = heart.begins_inside(&about);
            heart.inner_ended(outer);
        }
        assert_eq!(entry(), first);
        heart.begins(&about);
        assert_ne!(entry(), first);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::event_loop::TaskMark;

    /// What is seen belongs together. (Kind and site are no atomics that loom knows.)
    #[test]
    fn what_is_seen_is_of_one_entry() {
        loom::model(|| {
            let heart = Heart::default();
            let pulse = heart.pulse.clone();
            let looks = loom::thread::spawn(move || {
                if let Look::Shows(shown) = pulse.look() {
                    assert_eq!(shown.task, Some(shown.entry()));
                    assert_eq!(shown.number, shown.entry());
                }
            });
            for id in 1..=2 {
                let task = Some(TaskMark { id, key: 0 });
                heart.begins(&About {
                    task,
                    ..About::at(EntryKind::Step, Location::caller())
                });
            }
            heart.rests();
            looks.join().unwrap();
        });
    }
}
