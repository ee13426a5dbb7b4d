//! [`Children`]: the tasks of a group.

use crate::event_loop::write_over;
use crate::tasks::TaskRef;

/// The tasks of a group that are not over, or whose end the group has not heard of yet. Each has a place
/// that it is found at.
#[derive(Default)]
pub(super) struct Children {
    tasks: Vec<Option<TaskRef>>,
    /// How many tasks there are.
    count: usize,
    /// Some of the places without a task. They are looked for when there is no room otherwise: most
    /// groups have all their tasks before the first is over.
    free: Vec<usize>,
}

impl Children {
    /// Takes a task in, and gives its place.
    #[inline]
    pub(super) fn insert(&mut self, task: TaskRef) -> usize {
        self.count += 1;
        if self.tasks.len() == self.tasks.capacity() && self.count <= self.tasks.len() / 2 {
            self.look_for_free();
        }
        if let Some(place) = self.free.pop() {
            write_over(&mut self.tasks[place], Some(task));
            return place;
        }
        self.tasks.push(Some(task));
        self.tasks.len() - 1
    }

    #[inline(never)]
    fn look_for_free(&mut self) {
        if self.free.is_empty() {
            let places = self.tasks.iter().enumerate();
            let free = places.filter_map(|(place, task)| task.is_none().then_some(place));
            self.free.extend(free);
        }
    }

    /// Takes the task at `place` out. The caller drops it, with this free again.
    pub(super) fn remove(&mut self, place: usize) -> Option<TaskRef> {
        let task = self.tasks[place].take();
        self.count -= 1;
        task
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Every task, in the order in which they were made.
    pub(super) fn in_order(&self) -> Vec<TaskRef> {
        let mut tasks: Vec<_> = self.tasks.iter().flatten().cloned().collect();
        tasks.sort_by_key(|task| task.head().id());
        tasks
    }
}
