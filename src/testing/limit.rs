//! A limit to the turns of a run.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use super::failure::Livelock;
use crate::event_loop::{About, LoopState, Observer, Ticket};
use crate::observe::words;

/// So many of the entries that ran last are named.
const NAMED: usize = 8;

/// Stops the loop when it has taken too many turns, and notes what ran in the last ones.
pub(super) struct TurnLimit {
    limit: u64,
    exceeded: Cell<bool>,
    /// In the order in which they ran.
    last: RefCell<VecDeque<String>>,
}

impl TurnLimit {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            exceeded: Cell::new(false),
            last: RefCell::default(),
        }
    }

    /// What has run for too long, if it has.
    pub(super) fn livelock(&self) -> Option<Livelock> {
        self.exceeded.get().then(|| Livelock {
            turns: self.limit,
            ran: self.last.borrow().iter().cloned().collect(),
        })
    }
}

impl Observer for TurnLimit {
    fn begins(&self, lp: &LoopState, _ticket: Option<Ticket>, about: &About) {
        let turn = lp.turns.get();
        if turn.saturating_add(NAMED as u64) <= self.limit || self.exceeded.get() {
            return;
        }
        let name = about.task.and_then(|task| lp.name_of(task));
        let words = words(about.kind, name.as_deref(), about.site);
        let mut last = self.last.borrow_mut();
        if last.len() == NAMED {
            last.pop_front();
        }
        last.push_back(words);
        drop(last);
        if turn > self.limit {
            self.exceeded.set(true);
            lp.request_stop();
        }
    }

    fn ended(&self, _lp: &LoopState) {}
}
