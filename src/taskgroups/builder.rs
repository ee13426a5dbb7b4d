//! [`GroupTaskBuilder`]: a task of a group, with a name or started at once.

use std::fmt;

use super::TaskGroup;
use super::state::Failure;
use crate::futures::Future;
use crate::tasks::{Task, TaskBuilder};

/// A task of a [`TaskGroup`] that is not made yet; [`TaskGroup::task`] begins one.
///
/// *From asyncio:* the keywords of `tg.create_task()`.
///
/// # Examples
///
/// ```
/// use callsoon::{TaskGroup, run};
///
/// let answer = run(TaskGroup::<&str>::run(async |tg| {
///     let worker = tg.task(async { Ok(42) }).name("worker").try_spawn();
///     assert_eq!(worker.name(), "worker");
///     worker.await
/// }));
/// assert_eq!(answer, Ok(42));
/// ```
#[must_use = "a builder does nothing until `spawn()`"]
pub struct GroupTaskBuilder<'g, E: 'static, F> {
    pub(super) group: &'g TaskGroup<E>,
    pub(super) builder: TaskBuilder<F>,
}

impl<E, F> GroupTaskBuilder<'_, E, F>
where
    F: IntoFuture<Output: 'static, IntoFuture: 'static>,
{
    /// Gives the task a name.
    ///
    /// *From asyncio:* `tg.create_task(coro, name=name)`.
    ///
    /// # Examples
    ///
    /// See [`GroupTaskBuilder`].
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.builder = self.builder.name(name);
        self
    }

    /// Has the first step run inside the call that makes the task; see
    /// [`TaskBuilder::eager_start`].
    ///
    /// *From asyncio:* `tg.create_task(coro, eager_start=True)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{run, task_group};
    ///
    /// run(task_group(async |tg| {
    ///     assert!(tg.task(async {}).eager_start().spawn().done());
    /// }));
    /// ```
    pub fn eager_start(mut self) -> Self {
        self.builder = self.builder.eager_start();
        self
    }

    /// Adds the task, as [`TaskGroup::create_task`] does.
    ///
    /// *From asyncio:* `tg.create_task(coro)`.
    ///
    /// # Cancellation
    ///
    /// As for [`TaskGroup::create_task`].
    ///
    /// # Panics
    ///
    /// As for [`TaskGroup::create_task`].
    ///
    /// # Examples
    ///
    /// See [`TaskGroup::task`].
    #[track_caller]
    pub fn spawn(self) -> Task<F::Output> {
        let state = &self.group.0;
        if state.is_closed() {
            return self.builder.born_cancelled();
        }
        let task = self.builder.spawn();
        state.adopt(&task, |_| None);
        task
    }

    /// Adds the task, as [`TaskGroup::create_try_task`] does.
    ///
    /// *From asyncio:* `tg.create_task(coro)`.
    ///
    /// # Cancellation
    ///
    /// As for [`TaskGroup::create_task`].
    ///
    /// # Panics
    ///
    /// As for [`TaskGroup::create_task`].
    ///
    /// # Examples
    ///
    /// See [`GroupTaskBuilder`].
    #[track_caller]
    pub fn try_spawn<U: 'static>(self) -> Task<Result<U, E>>
    where
        F: IntoFuture<Output = Result<U, E>>,
        E: fmt::Debug,
    {
        self.try_spawn_with(|future| {
            let child = future.clone();
            Failure::InChild(Box::new(move || child.take_result().ok()?.err()))
        })
    }

    /// Adds the task, as [`TaskGroup::create_try_task_shared`] does.
    ///
    /// *From asyncio:* `tg.create_task(coro)`.
    ///
    /// # Cancellation
    ///
    /// As for [`TaskGroup::create_task`].
    ///
    /// # Panics
    ///
    /// As for [`TaskGroup::create_task`].
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{TaskGroup, run};
    ///
    /// let result = run(TaskGroup::run(async |tg| {
    ///     let fails = async { Err::<(), _>("no") };
    ///     tg.task(fails).name("sceptic").try_spawn_shared();
    ///     Ok(())
    /// }));
    /// assert_eq!(result.unwrap_err().errors(), ["no"]);
    /// ```
    #[track_caller]
    pub fn try_spawn_shared<U: 'static>(self) -> Task<Result<U, E>>
    where
        F: IntoFuture<Output = Result<U, E>>,
        E: fmt::Debug + Clone,
    {
        self.try_spawn_with(|future| {
            let error = future.with_result(|outcome| outcome.ok()?.as_ref().err().cloned());
            match error {
                Some(error) => Failure::Owned(error),
                None => unreachable!("it has failed"),
            }
        })
    }

    /// Adds a task; `failure` makes what the group keeps of its error.
    #[track_caller]
    fn try_spawn_with<U: 'static>(
        self,
        failure: fn(&Future<Result<U, E>>) -> Failure<E>,
    ) -> Task<Result<U, E>>
    where
        F: IntoFuture<Output = Result<U, E>>,
        E: fmt::Debug,
    {
        let state = &self.group.0;
        if state.is_closed() {
            return self.builder.born_cancelled();
        }
        let task = self.builder.try_spawn();
        state.adopt(&task, move |future| {
            let failed = future.with_result(|outcome| matches!(outcome, Ok(Err(_))));
            failed.then(|| failure(future))
        });
        task
    }
}

impl<E, F> fmt::Debug for GroupTaskBuilder<'_, E, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.builder.fmt(f)
    }
}
