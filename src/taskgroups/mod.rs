//! [`TaskGroup`]: tasks that end together.
//!
//! A group is a scope around a body, and the tasks that the body and its children add. It is left
//! when all of them are over. When one fails, the others and the body are cancelled, and what comes
//! out is an [`ExceptionGroup`] of everything that failed.

mod builder;
mod children;
mod errors;
mod state;

use std::convert::Infallible;
use std::fmt;
use std::panic::{Location, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

pub use self::builder::GroupTaskBuilder;
pub use self::errors::ExceptionGroup;

use self::state::{EndOfGroup, Failure, Phase, State};
use crate::cancellation::{CancelledError, Ended, RunIn, ScopeSlot};
use crate::event_loop::current;
use crate::futures::{self, Promise};
use crate::tasks::{Task, TaskBuilder};

/// Runs `body` with a group for tasks that cannot fail, and waits for all of them.
///
/// *From asyncio:* `async with asyncio.TaskGroup() as tg: ...`. See [`TaskGroup::run`] for tasks
/// that can fail.
///
/// *Order:* as for [`TaskGroup::run`].
///
/// # Cancellation
///
/// As for [`TaskGroup::run`].
///
/// # Panics
///
/// As for [`TaskGroup::run`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop, sleep, task_group};
///
/// async fn say_after(delay: Duration, what: &str) -> String {
///     sleep(delay).await;
///     what.to_uppercase()
/// }
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// event_loop.run_until_complete(async {
///     let (hello, world) = task_group(async |tg| {
///         let hello = tg.create_task(say_after(Duration::from_secs(1), "hello"));
///         let world = tg.create_task(say_after(Duration::from_secs(2), "world"));
///         (hello, world)
///     })
///     .await;
///     // The wait is implicit: here both are done.
///     assert_eq!((hello.await, world.await), ("HELLO".into(), "WORLD".into()));
/// })?;
/// assert_eq!(event_loop.time(), Duration::from_secs(2));
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[track_caller]
pub fn task_group<R, B>(body: B) -> impl Future<Output = R>
where
    B: AsyncFnOnce(&TaskGroup) -> R,
{
    let running = TaskGroup::run(async |group: &TaskGroup| Ok(body(group).await));
    async {
        match running.await {
            Ok(result) => result,
            Err(group) => match group.into_iter().next() {
                Some(never) => match never {},
                None => unreachable!("no task of the group can fail"),
            },
        }
    }
}

/// Tasks that end together; `E` is what they fail with.
///
/// It is a shared handle: a clone is the same group, so that children can add siblings.
///
/// *From asyncio:* `asyncio.TaskGroup`. Differences:
///
/// * [`run`](Self::run) takes the place of `async with`;
/// * a task added to a group that accepts none is born cancelled, where asyncio raises
///   `RuntimeError`; [`is_closed`](Self::is_closed) tells;
/// * the tasks are cancelled in the order in which they were made, where asyncio leaves that open.
///
/// # Examples
///
/// See [`run`](Self::run).
pub struct TaskGroup<E: 'static = Infallible>(Rc<State<E>>);

impl<E: 'static> TaskGroup<E> {
    /// Runs `body` with a new group, and waits for all tasks that are added to that.
    ///
    /// A task added by [`create_try_task`](Self::create_try_task) that returns `Err` aborts the
    /// group: the other tasks and the body are cancelled. So does a body that returns `Err`. What comes
    /// out then is an [`ExceptionGroup`].
    ///
    /// If nothing in the group can fail, use [`task_group`]: here the compiler would ask for the type of the
    /// errors ("type annotations needed", E0282).
    ///
    /// *From asyncio:* `async with asyncio.TaskGroup() as tg: ...`. Differences: those of
    /// [`TaskGroup`].
    ///
    /// *Order:* an empty group costs no turn. The group hears of the end of a task in the turn after
    /// it, and goes on one turn after the last.
    ///
    /// # Cancellation
    ///
    /// When the task around it is cancelled, so are body and children; when all are over, the
    /// cancellation goes on, unless one has failed: then the [`ExceptionGroup`] comes out, and the
    /// cancellation is raised at the next await. If there is none, for the task returns the group, the task
    /// has to be one of [`create_try_task`](crate::create_try_task) for that to stand; see
    /// [`Task`](crate::Task#cancellation).
    ///
    /// A child that is cancelled by somebody else does not abort the group. Dropping it cancels the
    /// children and does not wait for them.
    ///
    /// # Errors
    ///
    /// * If a task, or the body, returned `Err`: the errors, in the order of completion, and the
    ///   body's last.
    ///
    /// # Panics
    ///
    /// When awaited outside a task of a running loop. (It may go on in another task than it began in.) A
    /// panic of the body or of a child aborts the group, and goes on when all tasks are over; errors of
    /// other children are reported then, if nobody looks at them.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Clock, EventLoop, TaskGroup, sleep};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// event_loop.run_until_complete(async {
    ///     let result = TaskGroup::run(async |tg| {
    ///         tg.create_try_task(async {
    ///             sleep(Duration::from_secs(1)).await;
    ///             Err::<(), _>("no route to host")
    ///         });
    ///         tg.create_task(sleep(Duration::from_secs(3600))); // cancelled after a second
    ///         Ok("fetched")
    ///     })
    ///     .await;
    ///     assert_eq!(result.unwrap_err().errors(), ["no route to host"]);
    /// })?;
    /// assert_eq!(event_loop.time(), Duration::from_secs(1));
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    ///
    /// Terminating a task group: a task that fails on purpose.
    ///
    /// ```
    /// use std::{cell::RefCell, rc::Rc, time::Duration};
    /// use callsoon::{Clock, EventLoop, TaskGroup, sleep};
    ///
    /// #[derive(Debug)]
    /// struct TerminateTaskGroup;
    ///
    /// type Output = Rc<RefCell<Vec<String>>>;
    ///
    /// async fn job(id: u64, seconds: u64, output: Output) {
    ///     output.borrow_mut().push(format!("Task {id}: start"));
    ///     sleep(Duration::from_secs(seconds)).await;
    ///     output.borrow_mut().push(format!("Task {id}: done"));
    /// }
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// let output = Output::default();
    /// let jobs = [job(1, 1, output.clone()), job(2, 3, output.clone())];
    /// event_loop.run_until_complete(async {
    ///     let ended = TaskGroup::run(async |group| {
    ///         for job in jobs {
    ///             group.create_task(job);
    ///         }
    ///         sleep(Duration::from_secs(2)).await;
    ///         group.create_try_task(async { Err::<(), _>(TerminateTaskGroup) });
    ///         Ok(())
    ///     })
    ///     .await;
    ///     assert!(matches!(ended.unwrap_err().errors(), [TerminateTaskGroup]));
    /// })?;
    /// assert_eq!(event_loop.time(), Duration::from_secs(2));
    /// assert_eq!(*output.borrow(), ["Task 1: start", "Task 2: start", "Task 1: done"]);
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn run<R, B>(body: B) -> impl Future<Output = Result<R, ExceptionGroup<E>>>
    where
        B: AsyncFnOnce(&TaskGroup<E>) -> Result<R, E>,
    {
        let site = Location::caller();
        let running = async move {
            let mut scope = ScopeSlot::default();
            let open = scope.open().expect("the step of a task is going on");
            let group = Self(Rc::new(State::new(open, site)));
            let _dropped = CancelOnDrop(&group);
            let ended = RunIn::new(&mut scope, group.follow(body(&group))).await;
            group.leave(&mut scope, ended).await
        };
        InTask { running, site }
    }

    /// For what is to run in the group's scope.
    fn follow<F>(&self, inner: F) -> Follow<'_, E, F> {
        let state = &self.0;
        Follow { state, inner }
    }

    /// The body has ended: waits for the children, and makes the result of it all.
    async fn leave<R>(
        &self,
        scope: &mut ScopeSlot,
        ended: Ended<Result<R, E>>,
    ) -> Result<R, ExceptionGroup<E>> {
        let state = &self.0;
        state.phase.set(Phase::Exiting);
        let (mut result, mut failure, mut cancelled, mut panicked) = (None, None, None, None);
        match ended {
            Ended::Returned(Ok(value)) => result = Some(value),
            Ended::Returned(Err(error)) => failure = Some(error),
            Ended::Cancelled(why) => cancelled = Some(why),
            Ended::Panicked(payload) => panicked = Some(payload),
        }
        if result.is_none() && !state.aborting.get() {
            state.abort();
        }
        while !state.children.borrow().is_empty() {
            let purpose = EndOfGroup(Rc::downgrade(state));
            let all_over = Promise::create_for(purpose, &state.event_loop.lp, state.site);
            let all_over = futures::Future::new(all_over);
            *state.all_over.borrow_mut() = Some(all_over.clone());
            let ended = RunIn::new(scope, self.follow(all_over)).await;
            if let Ended::Cancelled(why) = ended
                && !state.aborting.get()
            {
                cancelled = Some(why);
                state.abort();
            }
            drop(state.all_over.take());
        }
        state.phase.set(Phase::Over);
        state.take_request_back();
        scope.close();
        let panic = state.take_panic(panicked.is_some());
        if let Some(payload) = panicked {
            resume_unwind(payload);
        }
        if let Some(panic) = panic {
            panic.resume();
        }
        let requests = state.scope().outer_requests();
        let mut failures = state.failures.take();
        if let Some(why) = cancelled
            && failures.is_empty()
        {
            why.reraise().await
        }
        failures.extend(failure.map(Failure::Owned));
        match result {
            Some(value) if failures.is_empty() => Ok(value),
            _ => {
                if requests > 0 {
                    // Somebody else wants the task to stop: it is told again at its next await.
                    let again = CancelledError::at(None, state.site);
                    state.scope().ask_outer_again(again);
                }
                let errors = failures.into_iter().filter_map(Failure::into_error);
                Err(ExceptionGroup::of_tasks(errors.collect()))
            }
        }
    }

    /// Adds a task with any output, which the group does not look into.
    ///
    /// *From asyncio:* `tg.create_task(coro)`.
    ///
    /// *Order:* as for [`create_task`](crate::create_task).
    ///
    /// # Cancellation
    ///
    /// In a group that [`is_closed`](Self::is_closed), `coroutine` is dropped at once and the task is
    /// born cancelled.
    ///
    /// # Panics
    ///
    /// If the loop is closed. A task that panics aborts the group.
    ///
    /// # Examples
    ///
    /// Children add siblings:
    ///
    /// ```
    /// use callsoon::{run, task_group};
    ///
    /// let sum = run(task_group(async |tg| {
    ///     let group = tg.clone();
    ///     let first = tg.create_task(async move {
    ///         let second = group.create_task(async { 2 });
    ///         1 + second.await
    ///     });
    ///     first.await
    /// }));
    /// assert_eq!(sum, 3);
    /// ```
    #[track_caller]
    pub fn create_task<F>(&self, coroutine: F) -> Task<F::Output>
    where
        F: IntoFuture<Output: 'static, IntoFuture: 'static>,
    {
        // As the builder does, but without moving the coroutine through that: it may be large.
        if self.0.is_closed() {
            return self.task(coroutine).spawn();
        }
        let task = self.0.event_loop.create_task(coroutine);
        self.0.adopt(&task, |_| None);
        task
    }

    /// Adds a task whose `Err` aborts the group.
    ///
    /// The error moves into the [`ExceptionGroup`] when the group is left; who looks at the task's
    /// result after that finds it [`Taken`](crate::ResultError::Taken). See
    /// [`create_try_task_shared`](Self::create_try_task_shared) for errors that both are to have.
    ///
    /// *From asyncio:* `tg.create_task(coro)`.
    ///
    /// *Order:* as for [`create_try_task`](crate::create_try_task).
    ///
    /// # Cancellation
    ///
    /// As for [`create_task`](Self::create_task).
    ///
    /// # Panics
    ///
    /// As for [`create_task`](Self::create_task).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::num::ParseIntError;
    /// use callsoon::{TaskGroup, run};
    ///
    /// async fn parse(text: &str) -> Result<u32, ParseIntError> {
    ///     text.parse()
    /// }
    ///
    /// let result = run(TaskGroup::run(async |tg| {
    ///     tg.create_try_task(parse("7"));
    ///     tg.create_try_task(parse("seven"));
    ///     Ok(())
    /// }));
    /// let group = result.unwrap_err();
    /// assert_eq!(group.to_string(), "1 error in a group: invalid digit found in string");
    /// ```
    #[track_caller]
    pub fn create_try_task<F, U>(&self, coroutine: F) -> Task<Result<U, E>>
    where
        F: IntoFuture<Output = Result<U, E>, IntoFuture: 'static>,
        U: 'static,
        E: fmt::Debug,
    {
        self.task(coroutine).try_spawn()
    }

    /// The same for errors that can be cloned: the task keeps its error, and the group has a clone.
    ///
    /// *From asyncio:* `tg.create_task(coro)`, where both refer to one exception.
    ///
    /// *Order:* as for [`create_try_task`](crate::create_try_task).
    ///
    /// # Cancellation
    ///
    /// As for [`create_task`](Self::create_task).
    ///
    /// # Panics
    ///
    /// As for [`create_task`](Self::create_task).
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{TaskGroup, run};
    ///
    /// run(async {
    ///     let mut task = None;
    ///     let result = TaskGroup::run(async |tg| {
    ///         task = Some(tg.create_try_task_shared(async { Err::<(), _>("lost") }));
    ///         Ok(())
    ///     });
    ///     assert_eq!(result.await.unwrap_err().errors(), ["lost"]);
    ///     assert_eq!(task.unwrap().await, Err("lost"));
    /// });
    /// ```
    #[track_caller]
    pub fn create_try_task_shared<F, U>(&self, coroutine: F) -> Task<Result<U, E>>
    where
        F: IntoFuture<Output = Result<U, E>, IntoFuture: 'static>,
        U: 'static,
        E: fmt::Debug + Clone,
    {
        self.task(coroutine).try_spawn_shared()
    }

    /// Begins a task of the group that has a name, or starts at once.
    ///
    /// *From asyncio:* the keywords of `tg.create_task(coro, name=...)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{current_task, run, task_group};
    ///
    /// let name = run(task_group(async |tg| {
    ///     let name = async { current_task().unwrap().name() };
    ///     tg.task(name).name("helper").spawn().await
    /// }));
    /// assert_eq!(name, "helper");
    /// ```
    pub fn task<F>(&self, coroutine: F) -> GroupTaskBuilder<'_, E, F>
    where
        F: IntoFuture<Output: 'static, IntoFuture: 'static>,
    {
        GroupTaskBuilder {
            group: self,
            builder: TaskBuilder::new(self.0.event_loop.clone(), coroutine),
        }
    }

    /// Says whether the group accepts no more tasks: it is aborting, or all its tasks are over and the
    /// body is as well.
    ///
    /// *From asyncio:* nothing; there `create_task` raises `RuntimeError`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{run, task_group};
    ///
    /// let group = run(task_group(async |tg| {
    ///     assert!(!tg.is_closed());
    ///     tg.clone()
    /// }));
    /// assert!(group.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl<E: 'static> Clone for TaskGroup<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E: 'static> fmt::Debug for TaskGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = &self.0;
        f.write_str("<TaskGroup")?;
        if let Ok(children) = state.children.try_borrow() {
            write!(f, " tasks={}", children.len())?;
        }
        if state.aborting.get() {
            f.write_str(" cancelling")?;
        } else if state.phase.get() != Phase::Body {
            write!(f, " {}", state.phase.get())?;
        }
        f.write_str(">")
    }
}

pin_project! {
    /// A group, which has to be polled by a task.
    struct InTask<F> {
        #[pin]
        running: F,
        site: &'static Location<'static>,
    }
}

impl<F: Future> Future for InTask<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let site = this.site;
        assert!(
            current::is_stepping(),
            "task group created at {site} is awaited outside a task of a running loop"
        );
        this.running.poll(cx)
    }
}

pin_project! {
    /// What runs in the scope of a group, and goes from task to task with that.
    struct Follow<'a, E: 'static, F> {
        state: &'a State<E>,
        #[pin]
        inner: F,
    }
}

impl<E: 'static, F: Future> Future for Follow<'_, E, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.state.follow();
        this.inner.poll(cx)
    }
}

/// A group that is dropped before it is left cancels its children.
struct CancelOnDrop<'a, E: 'static>(&'a TaskGroup<E>);

impl<E: 'static> Drop for CancelOnDrop<'_, E> {
    fn drop(&mut self) {
        let state = &self.0.0;
        if state.phase.replace(Phase::Over) != Phase::Over {
            state.abort();
        }
    }
}
