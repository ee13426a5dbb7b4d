//! [`Nursery`]: where coroutines become the children of a gather.

use std::fmt;
use std::panic::Location;

use super::cell::{Plain, TaskCell};
use crate::event_loop::LoopHandle;
use crate::futures::{Future, ListenerRef, Shared};

/// Makes tasks that tell a listener of their end, with which they are registered from their beginning:
/// nobody has to look at them again for that.
pub struct Nursery {
    event_loop: LoopHandle,
    /// Where the tasks are created.
    site: &'static Location<'static>,
    listener: ListenerRef,
    /// The registration with the first of them; those with the others follow, in order.
    first: u64,
}

impl Nursery {
    pub(crate) fn new(
        event_loop: &LoopHandle,
        site: &'static Location<'static>,
        listener: ListenerRef,
        first: u64,
    ) -> Self {
        Self {
            event_loop: event_loop.clone(),
            site,
            listener,
            first,
        }
    }

    /// Makes the task at `place`.
    #[inline]
    #[track_caller]
    pub(crate) fn create_task<F>(&self, coroutine: F, place: usize) -> Future<F::Output>
    where
        F: std::future::Future<Output: 'static> + 'static,
    {
        let lp = &self.event_loop.lp;
        lp.accepts();
        let id = self.first + place as u64;
        let shared = || Shared::told(lp.clone(), self.site, id, self.listener.clone());
        let task = TaskCell::<F, Plain>::spawn_plain(lp, shared, coroutine);
        Future::listened(task, id)
    }
}

impl fmt::Debug for Nursery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nursery").finish_non_exhaustive()
    }
}
