//! The timers that wait.
//!
//! Most timers are armed in the order of their deadlines (the same timeout, again and again): those
//! stand in a queue, where arming one and taking the first cost nothing. The others are in a binary
//! heap.
//!
//! An entry counts while its timer says that it is armed with that very number; cancelling or
//! re-arming a timer makes its entry stale, which costs nothing now. Stale entries go when they come
//! first, or all at once when they are more than half: so a cancel is O(1) and a re-arm O(log n), both
//! amortised, and there are never more than twice as many entries as live timers.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::panic::Location;

use super::clock::{NEVER, Nanos};
use super::handles::TimerRef;

/// Up to this many stale entries are left alone: a purge would cost more than it gives.
const STALE_TOLERATED: usize = 64;

#[derive(Default)]
pub(crate) struct Timers {
    /// In order: each was armed with a deadline no earlier than the one before it.
    queue: VecDeque<Entry>,
    heap: BinaryHeap<Entry>,
    /// How many entries are stale.
    stale: usize,
    /// The last sequence number given out.
    last: u64,
}

struct Entry {
    when: Nanos,
    seq: u64,
    timer: TimerRef,
}

impl Entry {
    fn is_stale(&self) -> bool {
        self.timer.timer().armed.get() != self.seq
    }
}

impl Timers {
    /// Keeps a place, among those with the same deadline, for a timer that may be armed later.
    pub(crate) fn reserve(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Puts in a timer that is not armed.
    pub(crate) fn arm(&mut self, timer: TimerRef) {
        let seq = self.reserve();
        self.arm_at(seq, timer);
    }

    /// Puts in a timer that is not armed, at a place that was kept for it.
    pub(crate) fn arm_at(&mut self, seq: u64, timer: TimerRef) {
        let state = timer.timer();
        debug_assert_eq!(state.armed.get(), 0);
        state.armed.set(seq);
        let when = state.when.get();
        let entry = Entry { when, seq, timer };
        match self.queue.back() {
            // The greater one is the earlier one.
            Some(last) if entry > *last => self.heap.push(entry),
            _ => self.queue.push_back(entry),
        }
    }

    /// Makes the timer's entry stale, and purges when too many are.
    ///
    /// Runs no user code: the closure of a stale entry is gone, or the timer is armed again and
    /// held by its new entry, or its handle holds it right now.
    pub(crate) fn disarm(&mut self, timer: &TimerRef) {
        if timer.timer().armed.replace(0) == 0 {
            return;
        }
        self.stale += 1;
        if self.stale > STALE_TOLERATED && self.stale * 2 > self.len() {
            self.queue.retain(|entry| !entry.is_stale());
            self.heap.retain(|entry| !entry.is_stale());
            self.stale = 0;
        }
    }

    /// The earliest deadline that will ever come.
    pub(crate) fn next_deadline(&mut self) -> Option<Nanos> {
        self.drop_stale();
        let first = self.first()?.when;
        (first != NEVER).then_some(first)
    }

    /// Takes out the next timer that is due.
    pub(crate) fn pop_due(&mut self, now: Nanos) -> Option<TimerRef> {
        if self.next_deadline()? > now {
            return None;
        }
        let entry = match (self.queue.front(), self.heap.peek()) {
            // The greater one is the earlier one.
            (Some(queued), Some(heaped)) if queued < heaped => self.heap.pop(),
            (None, _) => self.heap.pop(),
            _ => self.queue.pop_front(),
        }?;
        entry.timer.timer().armed.set(0);
        Some(entry.timer)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.queue.len() + self.heap.len()
    }

    /// The deadlines and sites of those that count, in the order in which they will fire.
    pub(crate) fn planned(&self) -> Vec<(Nanos, &'static Location<'static>)> {
        let entries = self.queue.iter().chain(&self.heap);
        let mut live: Vec<_> = entries.filter(|entry| !entry.is_stale()).collect();
        live.sort_unstable_by_key(|entry| (entry.when, entry.seq));
        let site = |entry: &Entry| (entry.when, entry.timer.head().site);
        live.into_iter().map(site).collect()
    }

    /// Takes out everything, in no order.
    pub(crate) fn drain(&mut self) -> Vec<TimerRef> {
        self.stale = 0;
        let entries = self.queue.drain(..).chain(self.heap.drain());
        let timers = entries.map(|entry| {
            entry.timer.timer().armed.set(0);
            entry.timer
        });
        timers.collect()
    }

    /// Takes out stale entries until the first ones count.
    fn drop_stale(&mut self) {
        while self.queue.front().is_some_and(Entry::is_stale) {
            self.queue.pop_front();
            self.stale -= 1;
        }
        while self.heap.peek().is_some_and(Entry::is_stale) {
            self.heap.pop();
            self.stale -= 1;
        }
    }

    /// Whether another deadline follows the first one within `slack`.
    pub(crate) fn is_crowded(&self, slack: Nanos) -> bool {
        let Some(first) = self.first() else {
            return false;
        };
        // The second is among these; a heap has it at one of the two places after the first.
        let candidates = self
            .queue
            .iter()
            .take(2)
            .chain(self.heap.as_slice().iter().take(3));
        candidates
            .filter(|entry| entry.seq != first.seq)
            .any(|entry| entry.when - first.when <= slack)
    }

    /// The entry that comes first.
    fn first(&self) -> Option<&Entry> {
        self.queue.front().max(self.heap.peek())
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.seq == other.seq
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Reversed, because a heap gives the greatest first: earliest deadline, then first scheduled.
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.when, other.seq).cmp(&(self.when, self.seq))
    }
}
