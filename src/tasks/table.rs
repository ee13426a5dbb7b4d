//! The loop's tasks.
//!
//! A task is here from its making to its end. Beside each stands what it awaits, which is there only
//! while it is suspended: in the task itself it would make every task larger.

use slab::Slab;

use super::{FirstWaiter, TaskRef};

#[derive(Default)]
pub(crate) struct TaskTable {
    slots: Slab<OwnedTask>,
    /// The greatest id that was ever here.
    newest: u64,
}

/// A task, and the first thing it awaits; see `TaskHead::awaits` for the others.
pub(super) struct OwnedTask {
    task: TaskRef,
    pub(super) waiter: Option<FirstWaiter>,
}

impl TaskTable {
    /// Takes a task in, and gives its place.
    pub(super) fn insert(&mut self, task: TaskRef) -> u32 {
        self.newest = self.newest.max(task.head().id());
        let slot = self.slots.insert(OwnedTask { task, waiter: None });
        u32::try_from(slot).expect("fewer than 2^32 tasks at a time fit into memory")
    }

    /// Takes a task out. The caller drops it, with the table free again.
    pub(super) fn remove(&mut self, slot: u32) -> Option<OwnedTask> {
        self.slots.try_remove(slot as usize)
    }

    pub(super) fn get(&self, slot: u32) -> Option<&TaskRef> {
        self.slots.get(slot as usize).map(|owned| &owned.task)
    }

    /// The place for the first thing that the task awaits. The task is in the table.
    pub(super) fn waiter(&mut self, slot: u32) -> &mut Option<FirstWaiter> {
        &mut self.slots[slot as usize].waiter
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The greatest id of a task that was ever here.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// Every task, in the order in which they were made.
    pub(crate) fn all(&self) -> Vec<TaskRef> {
        let mut tasks: Vec<_> = self
            .slots
            .iter()
            .map(|(_, owned)| owned.task.clone())
            .collect();
        tasks.sort_by_key(|task| task.head().id());
        tasks
    }
}
