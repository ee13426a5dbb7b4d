//! Children of gathers that are over, whose memory the next gathers at the same places use.
//!
//! A place in a program makes its gathers of the same coroutines, as a rule. Their tasks begin again
//! where they are: to free and to allocate them costs more than to run them.

use std::any::Any;
use std::panic::Location;
use std::ptr;

use crate::event_loop::LoopState;

/// A loop keeps children of so many gathers, and so many bytes of them.
const SETS: usize = 8;
const BYTES: usize = 1 << 18;

#[derive(Default)]
pub(crate) struct SpareChildren {
    /// The oldest first.
    sets: Vec<Set>,
    bytes: usize,
}

/// The children of a gather. Their coroutines are gone, their results have been taken.
struct Set {
    /// Where it was made.
    site: &'static Location<'static>,
    bytes: usize,
    children: Box<dyn Any>,
}

impl SpareChildren {
    /// Those of a gather that was made at `site`, if they are of this type.
    pub(super) fn take<C: 'static>(&mut self, site: &'static Location<'static>) -> Option<C> {
        let mut sets = self.sets.iter();
        let place = sets.rposition(|set| ptr::eq(set.site, site) && set.children.is::<C>())?;
        let set = self.sets.remove(place);
        self.bytes -= set.bytes;
        set.children.downcast().ok().map(|children| *children)
    }

    /// Takes a set in, and gives those that have to go for it.
    fn keep(&mut self, set: Set) -> Vec<Set> {
        self.bytes += set.bytes;
        self.sets.push(set);
        let mut surplus = 0;
        while self.sets.len() - surplus > SETS || self.bytes > BYTES {
            self.bytes -= self.sets[surplus].bytes;
            surplus += 1;
        }
        self.sets.drain(..surplus).collect()
    }
}

impl LoopState {
    /// Keeps the children of a gather that was made at `site`, and is over. `bytes` is what they take.
    pub(crate) fn keep_spare(
        &self,
        site: &'static Location<'static>,
        bytes: usize,
        children: impl Any,
    ) {
        // A closed loop would keep itself.
        if self.is_closed() || bytes > BYTES {
            return;
        }
        let set = Set {
            site,
            bytes,
            children: Box::new(children),
        };
        let surplus = self.tasks.borrow_mut().spare.keep(set);
        drop(surplus);
    }
}
