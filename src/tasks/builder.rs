//! [`TaskBuilder`]: a task with a name, or one that starts at once.

use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use super::cell::{Kind, Plain, TaskCell, Try};
use super::{Task, shared_name};
use crate::event_loop::{LoopHandle, LoopState};
use crate::futures::{FutureRef, Shared};

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
    /// When the first step is.
    start: Start,
}

/// When the first step of a new task is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// In the next turn.
    Queued,
    /// Inside the call that makes the task, if the loop runs.
    Eager,
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
            start: Start::Queued,
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

    /// Has the first step run inside the call that makes the task, up to the first await that has to
    /// wait. A coroutine that never waits is done when that returns, without the loop having heard of
    /// it.
    ///
    /// Meanwhile it is the [`current_task`](crate::current_task). On a loop that does not run it has
    /// no effect.
    ///
    /// *From asyncio:* `create_task(coro, eager_start=True)`, `asyncio.eager_task_factory`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{current_task, run, task, yield_now};
    ///
    /// run(async {
    ///     let cached = task(async { 7 }).eager_start().spawn();
    ///     assert!(cached.done());
    ///     let slow = task(yield_now()).eager_start().spawn();
    ///     assert!(!slow.done());
    ///     let inner = task(async { current_task() }).eager_start().spawn();
    ///     let handle = inner.handle();
    ///     assert_eq!(inner.await, Some(handle));
    /// });
    /// ```
    pub fn eager_start(mut self) -> Self {
        self.start = Start::Eager;
        self
    }

    /// Makes the task, as [`LoopHandle::create_task`] does.
    ///
    /// *From asyncio:* `loop.create_task()`.
    ///
    /// *Order:* no code of the coroutine runs now; its first step is queued like a callback. (Unless it
    /// has an [`eager_start`](Self::eager_start).)
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

    #[inline]
    #[track_caller]
    fn spawn_as<K: Kind<F::Output> + 'static>(self) -> FutureRef<F::Output> {
        let lp = self.event_loop.lp;
        lp.accepts();
        let site = Location::caller();
        let coroutine = self.coroutine.into_future();
        TaskCell::<_, K>::spawn(&lp, coroutine, self.name, site, self.start)
    }

    /// Makes a task that is cancelled already, and drops the coroutine.
    #[track_caller]
    pub(crate) fn born_cancelled(self) -> Task<F::Output> {
        let lp = self.event_loop.lp;
        let site = Location::caller();
        drop(self.coroutine);
        Task::new(TaskCell::<F::IntoFuture, Plain>::born_cancelled(
            lp, self.name, site,
        ))
    }
}

/// Makes a task on behalf of whoever is at `site`, as a builder does that was told nothing more, but
/// without moving the coroutine through one: it may be large.
#[inline]
#[track_caller]
pub(crate) fn spawn_plain<F>(
    lp: &Rc<LoopState>,
    coroutine: F,
    site: &'static Location<'static>,
) -> Task<F::Output>
where
    F: IntoFuture<Output: 'static, IntoFuture: 'static>,
{
    lp.accepts();
    let coroutine = coroutine.into_future();
    let shared = || Shared::new(lp.clone(), site);
    Task::new(TaskCell::<_, Plain>::spawn_plain(lp, shared, coroutine))
}

impl<F> fmt::Debug for TaskBuilder<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskBuilder")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
