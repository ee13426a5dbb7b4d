//! Tasks: coroutines that the loop drives.
//!
//! A coroutine (an `async` block) does nothing by itself. A task runs it in *steps*: a step polls
//! the coroutine until it awaits something that is pending, and registers with that; when it is done
//! the loop queues the next step.

mod builder;
mod cell;
mod handle;
mod head;
mod nursery;
mod open_scopes;
mod scopes;
mod sleep;
mod spare;
mod step;
mod table;
mod waker;
#[cfg(all(test, loom))]
mod waker_models;

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_core::FusedFuture;

pub use self::builder::TaskBuilder;

pub use self::handle::TaskHandle;
pub use self::sleep::{Sleep, YieldNow, sleep, sleep_until, yield_now};

pub(crate) use self::builder::{Start, spawn_plain};
pub(crate) use self::cell::{MainCoroutine, MainProxy, NoMain, Payload, Plain, TaskCell, TaskRef};
pub(crate) use self::head::{TaskHead, Waiter};
pub(crate) use self::nursery::Nursery;
pub(crate) use self::open_scopes::{IdleScope, OpenScopes};
pub(crate) use self::step::{StepState, Stepper};
pub(crate) use self::table::TaskTable;
pub(crate) use self::waker::TaskWaker;

use crate::event_loop::current;
use crate::futures::{Future, FutureRef, Outcome, State};

/// The owner's handle of a task.
///
/// A task *is* a [`Future`]: through `Deref` it has every method of one. On top of that, it owns the
/// result: awaiting it moves the result out. Awaiting `&task`, or the [`Future`] that `task.clone()` is, gives
/// a clone; for what is not `Clone`, `task.take().await` moves it out and leaves the task where it is. Dropping
/// a task lets it run on by itself; the loop owns its tasks, and none is ever lost.
///
/// *From asyncio:* `asyncio.Task`. Differences:
///
/// * what fails is a task whose `T` is a `Result`; its error comes to whoever looks at the result
///   and is reported to nobody else. [`create_try_task`](crate::LoopHandle::create_try_task) makes
///   tasks whose errors are reported when nobody looks;
/// * a coroutine that panics ends its task alone: the panic goes on in whoever awaits the task, and
///   is reported if nobody looks.
///
/// *Order:* the first step runs in the turn after the task is made. Its callbacks and awaiting tasks
/// run in the turn after it is done.
///
/// # Cancellation
///
/// [`cancel`](Future::cancel) asks the task to stop. What the task awaits is cancelled at once, a
/// task in turn passing the request on; in the turn in which that unwinds to this task, its
/// coroutine is dropped at its await and the task is cancelled. A task that awaits nothing of
/// callsoon's is unwound in the next turn, and one that has not started never runs.
///
/// A request that comes while the last step goes on takes effect at its end: the task is cancelled, and
/// what the coroutine returned is dropped. In asyncio an exception would stand. An `Err` stands in a task of
/// [`create_try_task`](crate::create_try_task); any other task does not look into what its coroutine returns.
///
/// # Examples
///
/// ```
/// use callsoon::EventLoop;
///
/// let event_loop = EventLoop::new();
/// let task = event_loop.create_task(async { "done".to_owned() });
/// task.add_done_callback(|task| println!("{:?}", task.result()));
/// assert_eq!(event_loop.run_until_complete(task)?, "done");
/// # Ok::<(), callsoon::RunError>(())
/// ```
///
/// A task belongs to its thread:
///
/// ```compile_fail
/// let event_loop = callsoon::EventLoop::new();
/// let task = event_loop.create_task(async {});
/// std::thread::spawn(move || task.cancel());
/// ```
pub struct Task<T: 'static> {
    future: Future<T>,
}

impl<T: 'static> Task<T> {
    pub(crate) fn new(core: FutureRef<T>) -> Self {
        Self {
            future: Future::new(core),
        }
    }

    /// The handle that this one is made of.
    pub(crate) fn into_shared(self) -> Future<T> {
        self.future
    }

    fn head(&self) -> &TaskHead {
        self.future.core().task().expect("it is a task")
    }

    /// Gives a handle without the type of the result, for keeping tasks of all sorts together.
    ///
    /// *From asyncio:* nothing; there tasks have no types.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let number = event_loop.create_task(async { 1 });
    /// let text = event_loop.create_task(async { "two" });
    /// for task in [number.handle(), text.handle()] {
    ///     task.cancel();
    /// }
    /// event_loop.run_once(None)?;
    /// assert!(number.cancelled() && text.cancelled());
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn handle(&self) -> TaskHandle {
        TaskHandle::new(self.future.any().into_task().expect("it is a task"))
    }

    /// Gives its name: what it was given, or `Task-N`.
    ///
    /// *From asyncio:* `Task.get_name()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let named = event_loop.task(async {}).name("reader").spawn();
    /// let nameless = event_loop.create_task(async {});
    /// assert_eq!(named.name(), "reader");
    /// assert!(nameless.name().starts_with("Task-"));
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
    /// let event_loop = callsoon::EventLoop::new();
    /// let task = event_loop.create_task(async {});
    /// task.set_name("connection 17");
    /// assert!(format!("{task:?}").starts_with("<Task pending name='connection 17'"));
    /// ```
    pub fn set_name(&self, name: impl Into<String>) {
        self.handle().set_name(name);
    }

    /// Says how many times it was asked to stop, less what was taken back.
    ///
    /// *From asyncio:* `Task.cancelling()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let task = event_loop.create_task(async {});
    /// task.cancel();
    /// task.cancel();
    /// assert_eq!(task.cancelling(), 2);
    /// task.uncancel();
    /// assert_eq!(task.cancelling(), 1);
    /// ```
    pub fn cancelling(&self) -> u32 {
        self.head().cancelling()
    }

    /// Takes one request to stop back, and gives how many are left.
    ///
    /// When none is, a request that still waits for the task's next step is withdrawn; one that was
    /// passed on to what the task awaits is not.
    ///
    /// *From asyncio:* `Task.uncancel()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let task = event_loop.create_task(async { "ran" });
    /// task.cancel();
    /// assert_eq!(task.uncancel(), 0);
    /// assert_eq!(event_loop.run_until_complete(task)?, "ran");
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn uncancel(&self) -> u32 {
        self.head().uncancel(&self.future.core().base().lp)
    }

    /// Awaits the end without unwinding, and moves the result out; see [`Future::outcome`].
    ///
    /// *From asyncio:* `await task` with `except CancelledError`.
    ///
    /// # Cancellation
    ///
    /// As for [`Future::outcome`].
    ///
    /// # Errors
    ///
    /// * Those of [`Future::outcome`].
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{create_task, run};
    ///
    /// let stopped = run(async {
    ///     let task = create_task(std::future::pending::<String>());
    ///     task.cancel();
    ///     task.outcome().await // a plain `task.await` would unwind this coroutine
    /// });
    /// assert!(stopped.is_err());
    /// ```
    pub fn outcome(self) -> Outcome<T> {
        Outcome::moving(self.future)
    }
}

impl<T: 'static> Deref for Task<T> {
    type Target = Future<T>;

    fn deref(&self) -> &Future<T> {
        &self.future
    }
}

impl<T: 'static> std::future::Future for Task<T> {
    type Output = T;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.future.poll_moving(cx)
    }
}

impl<T: 'static> FusedFuture for Task<T> {
    fn is_terminated(&self) -> bool {
        self.future.shared().state() == State::Taken
    }
}

impl<T: Clone + 'static> IntoFuture for &Task<T> {
    type Output = T;
    type IntoFuture = Future<T>;

    fn into_future(self) -> Future<T> {
        self.future.clone()
    }
}

impl<T: 'static> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.future.fmt(f)
    }
}

/// The task whose step is running on this thread; `None` in a callback and outside a loop.
///
/// *From asyncio:* `asyncio.current_task()`. Differences: outside a loop it gives `None`.
///
/// # Examples
///
/// ```
/// use callsoon::{EventLoop, current_task};
///
/// let event_loop = EventLoop::new();
/// let task = event_loop.task(async { current_task().unwrap().name() }).name("me").spawn();
/// assert_eq!(event_loop.run_until_complete(task)?, "me");
/// assert!(current_task().is_none());
/// # Ok::<(), callsoon::RunError>(())
/// ```
pub fn current_task() -> Option<TaskHandle> {
    current::with(|running| running?.current_task()).map(TaskHandle::new)
}

/// Every unfinished task of the running loop, in the order in which they were made.
///
/// *From asyncio:* `asyncio.all_tasks()`. Differences: it is a list, in order.
///
/// # Panics
///
/// If no loop runs on this thread; [`LoopHandle::all_tasks`](crate::LoopHandle::all_tasks) works
/// everywhere.
///
/// # Examples
///
/// ```
/// let names = callsoon::run(async {
///     callsoon::current_task().expect("this is one").set_name("main");
///     callsoon::task(async {}).name("reader").spawn();
///     callsoon::all_tasks().iter().map(|task| task.name()).collect::<Vec<_>>()
/// });
/// assert_eq!(names, ["main", "reader"]);
/// ```
#[track_caller]
pub fn all_tasks() -> Vec<TaskHandle> {
    crate::get_running_loop().all_tasks()
}

/// The name of a task, as `Rare` keeps it.
fn shared_name(name: impl Into<String>) -> Rc<str> {
    name.into().into()
}
