//! [`TaskBuilder`]: a task with a name.

use std::fmt;
use std::rc::Rc;

use super::cell::{Kind, Plain, TaskCell, Try};
use super::{Task, shared_name};
use crate::event_loop::LoopHandle;
use crate::futures::FutureRef;

/// Makes a task with more than the usual; see [`LoopHandle::task`].
///
/// *From asyncio:* the keyword arguments of `loop.create_task()`.
///
/// # Examples
///
/// ```
/// use callsoon::EventLoop;
///
/// let event_loop = EventLoop::new();
/// let task = event_loop.task(async { 5 }).name("five").spawn();
/// assert_eq!(task.name(), "five");
/// assert_eq!(event_loop.run_until_complete(task)?, 5);
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[must_use = "a builder does nothing until `spawn()`"]
pub struct TaskBuilder<F> {
    event_loop: LoopHandle,
    coroutine: F,
    name: Option<Rc<str>>,
}

impl<F> TaskBuilder<F>
where
    F: IntoFuture<Output: 'static, IntoFuture: 'static>,
{
    pub(crate) fn new(event_loop: LoopHandle, coroutine: F) -> Self {
        Self {
            event_loop,
            coroutine,
            name: None,
        }
    }

    /// Names the task. Without a name it is `Task-N`.
    ///
    /// *From asyncio:* `create_task(coro, name="...")`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let task = event_loop.task(async {}).name(format!("client {}", 7)).spawn();
    /// assert_eq!(task.name(), "client 7");
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(shared_name(name));
        self
    }

    /// Makes the task, as [`LoopHandle::create_task`] does.
    ///
    /// *From asyncio:* `loop.create_task()`.
    ///
    /// *Order:* no code of the coroutine runs now; its first step is queued like a callback.
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let task = event_loop.task(async { 5 }).name("five").spawn();
    /// assert_eq!(event_loop.run_until_complete(task)?, 5);
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn spawn(self) -> Task<F::Output> {
        Task::new(self.spawn_as::<Plain>())
    }

    /// Makes the task, as [`LoopHandle::create_try_task`] does.
    ///
    /// *From asyncio:* `loop.create_task()`, of a coroutine that may raise.
    ///
    /// *Order:* as for [`spawn`](Self::spawn).
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let task = event_loop.task(async { "x".parse::<u32>() }).name("parser").try_spawn();
    /// assert!(event_loop.run_until_complete(task)?.is_err()); // looked at, so not reported
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn try_spawn<U: 'static, E: fmt::Debug + 'static>(self) -> Task<Result<U, E>>
    where
        F: IntoFuture<Output = Result<U, E>>,
    {
        Task::new(self.spawn_as::<Try>())
    }

    #[track_caller]
    fn spawn_as<K: Kind<F::Output> + 'static>(self) -> FutureRef<F::Output> {
        let lp = self.event_loop.lp;
        lp.accepts();
        let site = std::panic::Location::caller();
        TaskCell::<_, K>::spawn(lp, self.coroutine.into_future(), self.name, site)
    }
}

impl<F> fmt::Debug for TaskBuilder<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskBuilder")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
