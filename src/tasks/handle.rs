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
/// *From asyncio:* `asyncio.Task`, which has no type of its result either.
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

    pub(crate) fn any(&self) -> AnyRef {
        self.task.clone()
    }

    /// What it awaits now.
    pub(crate) fn awaited(&self) -> Vec<AnyRef> {
        self.head().awaited(&self.task.base().lp)
    }

    /// Gives a number that no other task of the process has.
    ///
    /// *From asyncio:* `id(task)`, which may be used again once the task is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::collections::HashMap;
    ///
    /// let event_loop = callsoon::EventLoop::new();
    /// let (one, two) = (event_loop.create_task(async {}), event_loop.create_task(async {}));
    /// let started = HashMap::from([(one.handle().id(), 10), (two.handle().id(), 20)]);
    /// assert_eq!(started[&two.handle().id()], 20);
    /// ```
    pub fn id(&self) -> u64 {
        self.head().id()
    }

    /// Gives its name: what it was given, or `Task-N`.
    ///
    /// *From asyncio:* `Task.get_name()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// event_loop.task(async {}).name("reader").spawn();
    /// assert_eq!(event_loop.all_tasks()[0].name(), "reader");
    /// ```
    pub fn name(&self) -> String {
        self.head().name()
    }

    /// Gives it another name.
    ///
    /// *From asyncio:* `Task.set_name()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let name = callsoon::run(async {
    ///     let me = callsoon::current_task().expect("this is one");
    ///     me.set_name("main");
    ///     me.name()
    /// });
    /// assert_eq!(name, "main");
    /// ```
    pub fn set_name(&self, name: impl Into<String>) {
        self.head().set_name(shared_name(name));
        self.head().tell_name(&self.task.base().lp);
    }

    /// Says whether it is over.
    ///
    /// *From asyncio:* `Task.done()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let task = event_loop.create_task(async {}).handle();
    /// assert!(!task.done());
    /// event_loop.run_once(None)?;
    /// assert!(task.done());
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn done(&self) -> bool {
        self.task.state() != State::Pending
    }

    /// Says whether it was cancelled.
    ///
    /// *From asyncio:* `Task.cancelled()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let task = event_loop.create_task(async {}).handle();
    /// task.cancel();
    /// event_loop.run_once(None)?;
    /// assert!(task.cancelled());
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn cancelled(&self) -> bool {
        self.task.state() == State::Cancelled
    }

    /// Asks it to stop, and says whether the request was accepted; see
    /// [`Future::cancel`](crate::Future::cancel).
    ///
    /// *From asyncio:* `Task.cancel()`.
    ///
    /// *Order:* see [`Task`](crate::Task).
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let task = event_loop.create_task(std::future::pending::<()>());
    /// for task in event_loop.all_tasks() {
    ///     assert!(task.cancel());
    /// }
    /// event_loop.run_once(None)?;
    /// assert!(task.cancelled());
    /// assert!(!task.cancel()); // it is over
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn cancel(&self) -> bool {
        self.task
            .clone()
            .cancel(CancelledError::at(None, Location::caller()))
    }

    /// Asks it to stop, with a message; see [`Future::cancel_with`](crate::Future::cancel_with).
    ///
    /// *From asyncio:* `Task.cancel(msg)`.
    ///
    /// *Order:* see [`Task`](crate::Task).
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let task = event_loop.create_task(std::future::pending::<()>());
    /// task.handle().cancel_with("shutting down");
    /// let outcome = event_loop.run_until_complete(task.outcome())?;
    /// assert_eq!(outcome.unwrap_err().message(), Some("shutting down"));
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn cancel_with(&self, message: impl Into<String>) -> bool {
        self.task.clone().cancel(CancelledError::new(message))
    }

    /// Says how many times it was asked to stop; see [`Task::cancelling`](crate::Task::cancelling).
    ///
    /// *From asyncio:* `Task.cancelling()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let task = event_loop.create_task(async {}).handle();
    /// task.cancel();
    /// assert_eq!(task.cancelling(), 1);
    /// ```
    pub fn cancelling(&self) -> u32 {
        self.head().cancelling()
    }

    /// Takes one request back, and gives how many are left; see
    /// [`Task::uncancel`](crate::Task::uncancel).
    ///
    /// *From asyncio:* `Task.uncancel()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let task = event_loop.create_task(async {}).handle();
    /// task.cancel();
    /// assert_eq!(task.uncancel(), 0);
    /// event_loop.run_once(None)?;
    /// assert!(task.done() && !task.cancelled());
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn uncancel(&self) -> u32 {
        self.head().uncancel(&self.task.base().lp)
    }

    /// Gives the place where it was created.
    ///
    /// *From asyncio:* nothing public; debug mode prints it.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let line = line!() + 1;
    /// event_loop.create_task(async {});
    /// assert_eq!(event_loop.all_tasks()[0].created_at().line(), line);
    /// ```
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
