//! The loop's tasks.
//!
//! A task is here from its making to its end. At the same place stands what it awaits, which is there
//! only while it is suspended: in the task itself it would make every task larger.

use std::mem;

use super::spare::SpareChildren;
use super::{TaskRef, Waiter};
use crate::event_loop::write_over;

#[derive(Default)]
pub(crate) struct TaskTable {
    tasks: Vec<Option<TaskRef>>,
    /// The first thing that each task awaits; see `TaskHead::awaits` for the others.
    waiters: Vec<Option<Waiter>>,
    /// The places without a task. The one that was left last is taken first.
    free: Vec<u32>,
    /// The greatest id that was ever here.
    newest: u64,
    /// Tasks that are over, whose memory is used again.
    pub(super) spare: SpareChildren,
}

impl TaskTable {
    /// Takes a task in that has just been made, and gives its place.
    #[inline]
    pub(super) fn insert(&mut self, task: TaskRef) -> u32 {
        self.newest = task.head().id();
        let Some(slot) = self.free.pop() else {
            return self.insert_behind(task);
        };
        write_over(&mut self.tasks[slot as usize], Some(task));
        slot
    }

    #[inline(never)]
    fn insert_behind(&mut self, task: TaskRef) -> u32 {
        let slot = self.tasks.len();
        self.tasks.push(Some(task));
        self.waiters.push(None);
        u32::try_from(slot).expect("fewer than 2^32 tasks at a time fit into memory")
    }

    /// Takes a task out, which awaits nothing any more. The caller drops it, with the table free again.
    #[inline]
    pub(super) fn remove(&mut self, slot: u32) -> Option<TaskRef> {
        let task = self.tasks.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some(task)
    }

    #[inline]
    pub(super) fn get(&self, slot: u32) -> Option<&TaskRef> {
        self.tasks.get(slot as usize)?.as_ref()
    }

    /// The place for the first thing that the task awaits. The task is in the table.
    #[inline]
    pub(super) fn waiter(&mut self, slot: u32) -> &mut Option<Waiter> {
        &mut self.waiters[slot as usize]
    }

    /// The first thing that the task awaits. The task is in the table.
    pub(super) fn first_waiter(&self, slot: u32) -> Option<&Waiter> {
        self.waiters[slot as usize].as_ref()
    }

    /// A task, and the place for the first thing that it awaits.
    #[inline]
    pub(super) fn with_waiter(&mut self, slot: u32) -> Option<(&TaskRef, &mut Option<Waiter>)> {
        let slot = slot as usize;
        Some((self.tasks.get(slot)?.as_ref()?, self.waiters.get_mut(slot)?))
    }

    pub(crate) fn len(&self) -> usize {
        self.tasks.len() - self.free.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes out what is kept of tasks that are over. The caller drops it, with the table free again.
    pub(crate) fn take_spare(&mut self) -> SpareChildren {
        mem::take(&mut self.spare)
    }

    /// The greatest id of a task that was ever here.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// Every task, in the order in which they were made.
    pub(crate) fn all(&self) -> Vec<TaskRef> {
        let mut tasks: Vec<_> = self.tasks.iter().flatten().cloned().collect();
        tasks.sort_by_key(|task| task.head().id());
        tasks
    }
}
