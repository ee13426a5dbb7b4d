//! [`DeadlockReport`]: who waits for what when nothing can happen any more.

use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use super::state::LoopState;
use crate::futures::AnyRef;
use crate::snapshot::Snapshot;

/// How many tasks a report prints: a reader's patience, not a limit of what it knows.
const SHOWN_TASKS: usize = 100;

/// How many things a printed task waits for; a `join!` of very many is one task.
const SHOWN_AWAITS: usize = 20;

/// Every task that waits, and what for, on a loop that can never go on.
///
/// Only a loop on a virtual clock can know: on the monotonic clock another thread may always post
/// something, and the loop waits for it.
///
/// It is printed as a list of the tasks, of which a long report shows the first hundred; all of them are in
/// [`tasks`](Self::tasks). `Debug` prints the same, since that is what `unwrap()` shows; `{:#?}` prints
/// everything, the snapshot included.
///
/// *From asyncio:* nothing; there such a program hangs.
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
#[derive(Clone)]
pub struct DeadlockReport {
    tasks: Rc<[WaitingTask]>,
    snapshot: Rc<Snapshot>,
    /// What the run waited for; a `run_forever` waits for nothing.
    waited_for: Option<WaitedFor>,
}

/// What a run would have ended with.
#[derive(Clone, Debug)]
struct WaitedFor {
    description: Rc<str>,
    /// Its place among the tasks, if it is one.
    place: Option<usize>,
}

/// A task in a [`DeadlockReport`].
///
/// *From asyncio:* nothing; `Task.get_stack()` comes near.
///
/// # Examples
///
/// ```
/// use callsoon::{Clock, EventLoop, RunEnd};
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let answer = event_loop.create_future::<u32>();
/// event_loop.task(async move { answer.await }).name("asker").spawn();
/// let RunEnd::Idle(report) = event_loop.run_forever() else { unreachable!() };
/// assert!(report.tasks()[0].to_string().starts_with("'asker' created at "));
/// ```
#[derive(Clone, Debug)]
pub struct WaitingTask {
    name: String,
    created_at: &'static Location<'static>,
    awaits: Vec<String>,
}

impl DeadlockReport {
    /// Gives the waiting tasks, in the order in which they were made.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::pending;
    /// use callsoon::{Clock, EventLoop, RunEnd};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// event_loop.task(pending::<()>()).name("first").spawn();
    /// event_loop.task(pending::<()>()).name("second").spawn();
    /// let RunEnd::Idle(report) = event_loop.run_forever() else { unreachable!() };
    /// let names: Vec<_> = report.tasks().iter().map(|task| task.name()).collect();
    /// assert_eq!(names, ["first", "second"]);
    /// ```
    pub fn tasks(&self) -> &[WaitingTask] {
        &self.tasks
    }

    /// Gives what the loop was about: also who waits for whom, through which combinator, as a tree.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// Two philosophers, each with one fork:
    ///
    /// ```
    /// use callsoon::{Clock, EventLoop, Lock, RunEnd, gather, yield_now};
    ///
    /// async fn dine(first: Lock, second: Lock) {
    ///     let _first = first.lock().await;
    ///     yield_now().await;
    ///     let _second = second.lock().await;
    /// }
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// event_loop.create_task(async {
    ///     let (left, right) = (Lock::new(()), Lock::new(()));
    ///     gather((dine(left.clone(), right.clone()), dine(right, left))).await;
    /// });
    /// let RunEnd::Idle(report) = event_loop.run_forever() else { unreachable!() };
    /// let tree = report.snapshot().to_string();
    /// assert!(tree.contains("└─ <Gather pending") && tree.matches("<Lock pending").count() == 2);
    /// ```
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Describes what the run waited for. Nothing, for [`run_forever`](crate::EventLoop::run_forever).
    ///
    /// A report is printed with it if it is not one of the tasks that are printed.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// A future that nobody completes:
    ///
    /// ```
    /// use callsoon::{Clock, EventLoop, RunError};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// let reply = event_loop.create_future::<u32>();
    /// let Err(RunError::Deadlock(report)) = event_loop.run_until_complete(&reply) else {
    ///     unreachable!("nobody replies")
    /// };
    /// let waited_for = report.waited_for().expect("there was something");
    /// assert_eq!(waited_for, format!("<Future pending created at {}>", reply.created_at()));
    /// assert!(report.to_string().ends_with(&format!("the run waits for {waited_for}")));
    /// ```
    pub fn waited_for(&self) -> Option<&str> {
        self.waited_for.as_ref().map(|it| &*it.description)
    }

    /// The report of a run that waited for `future`.
    pub(super) fn waiting_for(mut self, future: &AnyRef) -> Self {
        let id = future.task().map(|head| head.id());
        let mut tasks = self.snapshot.tasks().iter();
        self.waited_for = Some(WaitedFor {
            description: Snapshot::describe(future).into(),
            place: id.and_then(|id| tasks.position(|task| task.id() == id)),
        });
        self
    }

    pub(super) fn of(lp: &Rc<LoopState>) -> Self {
        let snapshot = Snapshot::take(lp);
        let waiting = snapshot.tasks().iter().map(|task| WaitingTask {
            name: task.name().to_owned(),
            created_at: task.created_at(),
            awaits: snapshot.awaits(task).map(ToString::to_string).collect(),
        });
        Self {
            tasks: waiting.collect(),
            snapshot: Rc::new(snapshot),
            waited_for: None,
        }
    }
}

impl WaitingTask {
    /// Gives the task's name.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Clock, EventLoop, RunEnd};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// event_loop.task(std::future::pending::<()>()).name("idler").spawn();
    /// let RunEnd::Idle(report) = event_loop.run_forever() else { unreachable!() };
    /// assert_eq!(report.tasks()[0].name(), "idler");
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives the place where the task was created.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Clock, EventLoop, RunEnd};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// let task = event_loop.create_task(std::future::pending::<()>());
    /// let RunEnd::Idle(report) = event_loop.run_forever() else { unreachable!() };
    /// assert_eq!(report.tasks()[0].created_at(), task.created_at());
    /// ```
    pub fn created_at(&self) -> &'static Location<'static> {
        self.created_at
    }

    /// Describes the futures and tasks that it awaits. Empty if it awaits nothing of callsoon's.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Clock, EventLoop, RunEnd};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// let answer = event_loop.create_future::<u32>();
    /// event_loop.create_task(async move { answer.await });
    /// let RunEnd::Idle(report) = event_loop.run_forever() else { unreachable!() };
    /// assert!(report.tasks()[0].awaits()[0].starts_with("<Future pending created at "));
    /// ```
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
        for task in self.tasks().iter().take(SHOWN_TASKS) {
            write!(f, "\n  {task}")?;
        }
        let more = self.tasks.len().saturating_sub(SHOWN_TASKS);
        if more > 0 {
            write!(f, "\n  and {more} more")?;
        }
        match &self.waited_for {
            // A task that stands above needs no second line.
            Some(it) if it.place.is_none_or(|place| place >= SHOWN_TASKS) => {
                write!(f, "\n  the run waits for {}", it.description)
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for DeadlockReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return fmt::Display::fmt(self, f);
        }
        f.debug_struct("DeadlockReport")
            .field("tasks", &self.tasks)
            .field("snapshot", &self.snapshot)
            .field("waited_for", &self.waited_for())
            .finish()
    }
}

impl fmt::Display for WaitingTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' created at {} waits for ",
            self.name, self.created_at
        )?;
        if self.awaits.is_empty() {
            return f.write_str("something that is not callsoon's");
        }
        for (index, awaited) in self.awaits.iter().take(SHOWN_AWAITS).enumerate() {
            let between = if index == 0 { "" } else { " and " };
            write!(f, "{between}{awaited}")?;
        }
        match self.awaits.len().saturating_sub(SHOWN_AWAITS) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
