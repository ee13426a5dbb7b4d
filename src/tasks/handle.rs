//! [`TaskHandle`]: a task without the type of its result.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::Location;

use super::{TaskHead, TaskRef, shared_name};
use crate::cancellation::CancelledError;
use crate::futures::{AnyRef, State, describe, same};

/// A task without the type of its result: what [`current_task`](crate::current_task) and
/// [`all_tasks`](crate::all_tasks) give. Equal handles are handles of one task.
///
/// # Examples
///
/// ```
/// use callsoon::EventLoop;
///
/// let event_loop = EventLoop::new();
/// let one = event_loop.create_task(async { 1 });
/// let two = event_loop.create_task(async { "two" });
/// assert_eq!(event_loop.all_tasks(), [one.handle(), two.handle()]);
/// for task in event_loop.all_tasks() {
///     task.cancel();
/// }
/// ```
#[derive(Clone)]
pub struct TaskHandle {
    task: TaskRef,
}

impl TaskHandle {
    pub(crate) fn new(task: TaskRef) -> Self {
        Self { task }
    }

    pub(crate) fn head(&self) -> &TaskHead {
        self.task.head()
    }

    /// What it awaits now.
    pub(crate) fn awaited(&self) -> Vec<AnyRef> {
        self.head().awaited(&self.task.base().lp)
    }

    /// A number that no other task of the process has.
    pub fn id(&self) -> u64 {
        self.head().id()
    }

    /// Its name: what it was given, or `Task-N`.
    pub fn name(&self) -> String {
        self.head().name()
    }

    /// Gives it another name.
    pub fn set_name(&self, name: impl Into<String>) {
        self.head().set_name(shared_name(name));
    }

    /// Whether it is over.
    pub fn done(&self) -> bool {
        self.task.state() != State::Pending
    }

    /// Whether it was cancelled.
    pub fn cancelled(&self) -> bool {
        self.task.state() == State::Cancelled
    }

    /// Asks it to stop; see [`Future::cancel`](crate::Future::cancel).
    #[track_caller]
    pub fn cancel(&self) -> bool {
        self.task
            .clone()
            .cancel(CancelledError::at(None, Location::caller()))
    }

    /// Asks it to stop, with a message; see [`Future::cancel_with`](crate::Future::cancel_with).
    #[track_caller]
    pub fn cancel_with(&self, message: impl Into<String>) -> bool {
        self.task.clone().cancel(CancelledError::new(message))
    }

    /// How many times it was asked to stop; see [`Task::cancelling`](crate::Task::cancelling).
    pub fn cancelling(&self) -> u32 {
        self.head().cancelling()
    }

    /// Takes one request back; see [`Task::uncancel`](crate::Task::uncancel).
    pub fn uncancel(&self) -> u32 {
        self.head().uncancel()
    }

    /// Where it was created.
    pub fn created_at(&self) -> &'static Location<'static> {
        self.task.base().site
    }
}

impl PartialEq for TaskHandle {
    fn eq(&self, other: &Self) -> bool {
        same(&*self.task, &*other.task)
    }
}

impl Eq for TaskHandle {}

impl Hash for TaskHandle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl fmt::Debug for TaskHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(&*self.task, 0, f)
    }
}
