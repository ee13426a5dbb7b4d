//! What a loop has planned, for a snapshot.

use std::panic::Location;

use super::clock::Nanos;
use super::state::LoopState;

pub(crate) struct Planned {
    /// How many entries are ready, those included that the turn that goes on has not come to.
    pub(crate) ready: usize,
    /// How much threads have posted that is not taken in.
    pub(crate) posted: usize,
    /// Deadlines and sites of the timers that wait, in the order in which they will fire.
    pub(crate) timers: Vec<(Nanos, &'static Location<'static>)>,
}

impl LoopState {
    pub(crate) fn planned(&self) -> Planned {
        let remote = self.existing_remote();
        Planned {
            ready: self.ready.borrow().len() + self.unrun.get(),
            posted: remote.map_or(0, |remote| remote.mailbox.len()),
            timers: self.timers.borrow().planned(),
        }
    }
}
