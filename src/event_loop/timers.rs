//! The timer heap.
//!
//! A binary heap of `(deadline, sequence number)`. An entry counts while its timer says that it is
//! armed with that very number; cancelling or re-arming a timer makes its entry stale, which costs
//! nothing now. Stale entries go when they reach the top, or all at once when they are more than
//! half of the heap: so a cancel is O(1) and a re-arm O(log n), both amortised, and the heap is never
//! more than twice as long as it has live timers.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::clock::{NEVER, Nanos};
use super::handles::TimerRef;

/// Up to this many stale entries are left alone: a purge would cost more than it gives.
const STALE_TOLERATED: usize = 64;

#[derive(Default)]
pub(crate) struct TimerHeap {
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

impl TimerHeap {
    /// Puts in a timer that is not armed.
    pub(crate) fn arm(&mut self, timer: TimerRef) {
        self.last += 1;
        let state = timer.timer();
        debug_assert_eq!(state.armed.get(), 0);
        state.armed.set(self.last);
        self.heap.push(Entry {
            when: state.when.get(),
            seq: self.last,
            timer,
        });
    }

    /// Makes the timer's entry stale, and purges the heap when too many are.
    ///
    /// Runs no user code: the closure of a stale entry is gone, or the timer is armed again and
    /// held by its new entry, or its handle holds it right now.
    pub(crate) fn disarm(&mut self, timer: &TimerRef) {
        if timer.timer().armed.replace(0) == 0 {
            return;
        }
        self.stale += 1;
        if self.stale > STALE_TOLERATED && self.stale * 2 > self.heap.len() {
            self.heap.retain(|entry| !entry.is_stale());
            self.stale = 0;
        }
    }

    /// The earliest deadline that will ever come.
    pub(crate) fn next_deadline(&mut self) -> Option<Nanos> {
        while let Some(entry) = self.heap.peek() {
            if entry.is_stale() {
                self.heap.pop();
                self.stale -= 1;
            } else {
                return Some(entry.when).filter(|&when| when != NEVER);
            }
        }
        None
    }

    /// Takes out the next timer that is due.
    pub(crate) fn pop_due(&mut self, now: Nanos) -> Option<TimerRef> {
        if self.next_deadline()? > now {
            return None;
        }
        let entry = self.heap.pop()?;
        entry.timer.timer().armed.set(0);
        Some(entry.timer)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Takes out everything, in no order.
    pub(crate) fn drain(&mut self) -> Vec<TimerRef> {
        self.stale = 0;
        let timers = self.heap.drain().map(|entry| {
            entry.timer.timer().armed.set(0);
            entry.timer
        });
        timers.collect()
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

/// Reversed, because the heap gives the greatest first: earliest deadline, then first scheduled.
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.when, other.seq).cmp(&(self.when, self.seq))
    }
}
