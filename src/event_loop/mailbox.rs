//! What other threads post to a loop, and how a sleeping loop is woken.
//!
//! One lock around a vector. A poster pushes under the lock; the loop swaps the whole vector out
//! under the lock: both are short whatever the backlog, so posting neither blocks for long nor
//! spins. The flag `pending` lets a busy loop skip the lock in turns in which nothing came.
//!
//! No wake-up is lost: the loop declares itself asleep and looks for items under the same lock
//! under which a poster pushes and reads that declaration.

use std::time::Duration;

use crate::sync::{AtomicBool, Condvar, Mutex, Ordering, wait_on};

/// A queue of items from any thread to the one thread that takes them.
pub(crate) struct Mailbox<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    /// Whether `items` may hold something. Written under the lock, read without it.
    pending: AtomicBool,
}

struct State<T> {
    items: Vec<T>,
    /// No more items are accepted.
    closed: bool,
    /// The taker waits on `arrived`; whoever clears this notifies.
    asleep: bool,
    /// Somebody wants a sleeping taker to look at the world again, with no item.
    nudged: bool,
}

impl<T> Mailbox<T> {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                items: Vec::new(),
                closed: false,
                asleep: false,
                nudged: false,
            }),
            arrived: Condvar::new(),
            pending: AtomicBool::new(false),
        }
    }

    /// Pushes `wrap(raw)` and wakes the taker; gives whether the mailbox was empty before, or `raw`
    /// back when it is closed.
    pub(crate) fn post<R>(&self, raw: R, wrap: impl FnOnce(R) -> T) -> Result<bool, R> {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            return Err(raw);
        }
        let first = state.items.is_empty();
        state.items.push(wrap(raw));
        if first {
            self.pending.store(true, Ordering::Release);
        }
        let wake = std::mem::take(&mut state.asleep);
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
        Ok(first)
    }

    /// Makes a sleeping taker return from [`wait`](Self::wait), with or without an item.
    pub(crate) fn nudge(&self) {
        let mut state = self.state.lock();
        state.nudged = true;
        let wake = std::mem::take(&mut state.asleep);
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
    }

    /// Whether something may be waiting to be taken.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// How many items are there, to be taken.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().items.len()
    }

    /// Swaps everything posted so far into `empty`, in order.
    pub(crate) fn take_into(&self, empty: &mut Vec<T>) {
        debug_assert!(empty.is_empty());
        let mut state = self.state.lock();
        std::mem::swap(&mut state.items, empty);
        self.pending.store(false, Ordering::Release);
    }

    /// Sleeps until something is posted, somebody nudges, or `limit` is over; `None`: no limit. May
    /// return early for no reason.
    pub(crate) fn wait(&self, limit: Option<Duration>) {
        let mut state = self.state.lock();
        if state.items.is_empty() && !state.nudged {
            state.asleep = true;
            state = wait_on(&self.arrived, state, limit);
            state.asleep = false;
        }
        state.nudged = false;
    }

    /// Refuses further items and gives those that were never taken.
    pub(crate) fn close(&self) -> Vec<T> {
        let mut state = self.state.lock();
        state.closed = true;
        self.pending.store(false, Ordering::Release);
        std::mem::take(&mut state.items)
    }

    /// Whether [`close`](Self::close) was called.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }
}
