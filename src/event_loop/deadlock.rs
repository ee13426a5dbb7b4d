//! [`DeadlockReport`]: who waits for what when nothing can happen any more.

use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use super::state::LoopState;
use crate::futures::Brief;
use crate::tasks::TaskHandle;

/// Every task that waits, and what for, on a loop that can never go on.
///
/// Only a loop on a virtual clock can know: on the monotonic clock another thread may always post
/// something, and the loop waits for it.
///
/// # Examples
///
/// ```
/// use callsoon::{Clock, EventLoop, Future, RunError};
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let never: Future<()> = event_loop.create_future();
/// let task = event_loop.task(async move { never.await }).name("waiter").spawn();
/// match event_loop.run_until_complete(task) {
///     Err(RunError::Deadlock(report)) => {
///         assert_eq!(report.tasks()[0].name(), "waiter");
///         println!("{report}");
///     }
///     other => unreachable!("{other:?}"),
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct DeadlockReport {
    tasks: Rc<[WaitingTask]>,
}

/// A task in a [`DeadlockReport`].
#[derive(Clone, Debug)]
pub struct WaitingTask {
    name: String,
    created_at: &'static Location<'static>,
    awaits: Vec<String>,
}

impl DeadlockReport {
    /// The waiting tasks, in the order in which they were made.
    pub fn tasks(&self) -> &[WaitingTask] {
        &self.tasks
    }

    pub(super) fn of(lp: &Rc<LoopState>) -> Self {
        let tasks = lp.all_tasks();
        Self {
            tasks: tasks.iter().map(WaitingTask::of).collect(),
        }
    }
}

impl WaitingTask {
    fn of(task: &TaskHandle) -> Self {
        let awaited = task.awaited();
        Self {
            name: task.name(),
            created_at: task.created_at(),
            awaits: awaited.iter().map(|f| Brief(&**f).to_string()).collect(),
        }
    }

    /// The task's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the task was created.
    pub fn created_at(&self) -> &'static Location<'static> {
        self.created_at
    }

    /// Descriptions of the futures and tasks that it awaits. Empty if it awaits nothing of
    /// callsoon's.
    pub fn awaits(&self) -> &[String] {
        &self.awaits
    }
}

impl fmt::Display for DeadlockReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "deadlock: nothing is left that could happen, and ")?;
        match self.tasks.len() {
            0 => write!(f, "no task waits"),
            1 => write!(f, "1 task waits"),
            n => write!(f, "{n} tasks wait"),
        }?;
        for task in self.tasks() {
            write!(f, "\n  {task}")?;
        }
        Ok(())
    }
}

impl fmt::Display for WaitingTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' created at {} waits for ",
            self.name, self.created_at
        )?;
        match self.awaits.as_slice() {
            [] => f.write_str("something that is not callsoon's"),
            awaits => f.write_str(&awaits.join(" and ")),
        }
    }
}
