//! The parts of a snapshot.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

/// What a task does in a [`Snapshot`](super::Snapshot).
///
/// *From asyncio:* nothing; there a task is pending or not.
///
/// # Examples
///
/// ```
/// use callsoon::EventLoop;
/// use callsoon::snapshot::TaskState;
///
/// let event_loop = EventLoop::new();
/// event_loop.create_task(std::future::pending::<()>());
/// assert_eq!(event_loop.snapshot().tasks()[0].state(), TaskState::New);
/// event_loop.run_once(None)?;
/// assert_eq!(event_loop.snapshot().tasks()[0].state(), TaskState::Waiting);
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum TaskState {
    /// Its first step is in the ready queue.
    New,
    /// Its next step is in the ready queue.
    Ready,
    /// Its step goes on; or that of a task that it started eagerly does.
    Running,
    /// It is suspended, until something that it awaits wakes it.
    Waiting,
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "new",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Waiting => "waiting",
        })
    }
}

/// What kind of thing is awaited.
///
/// *From asyncio:* nothing; there all of these are futures.
///
/// # Examples
///
/// ```
/// use callsoon::snapshot::AwaitedKind;
/// use callsoon::{EventLoop, Queue};
///
/// let event_loop = EventLoop::new();
/// let orders = Queue::<u32>::new(0);
/// event_loop.create_task(async move { orders.get().await });
/// event_loop.run_once(None)?;
/// assert_eq!(event_loop.snapshot().awaited()[0].kind(), AwaitedKind::QueueGet);
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum AwaitedKind {
    /// A future that somebody completes by hand.
    Future,
    /// A task.
    Task,
    /// A [`gather`](crate::gather()), [`try_gather`](crate::try_gather) or
    /// [`gather_outcomes`](crate::gather_outcomes).
    Gather,
    /// A [`shield`](crate::shield()).
    Shield,
    /// A [`wait`](crate::wait()), or a [`wait_for`](crate::wait_for) whose time is over.
    Wait,
    /// The next one of an [`as_completed`](crate::as_completed()).
    AsCompleted,
    /// The end of the tasks of a [`TaskGroup`](crate::TaskGroup).
    TaskGroup,
    /// A [`sleep`](crate::sleep); its [`deadline`](AwaitedSnapshot::deadline) is known.
    Sleep,
    /// A concurrent future: a job of an executor, for example.
    Thread,
    /// A [`Lock`](crate::Lock); also by a condition's waiter that was notified.
    Lock,
    /// An [`Event`](crate::Event).
    Event,
    /// A [`Condition`](crate::Condition).
    Condition,
    /// A [`Semaphore`](crate::Semaphore) or a [`BoundedSemaphore`](crate::BoundedSemaphore).
    Semaphore,
    /// A [`Barrier`](crate::Barrier).
    Barrier,
    /// An item of a queue.
    QueueGet,
    /// Room in a queue.
    QueuePut,
    /// That everything in a queue is done.
    QueueJoin,
}

impl fmt::Display for AwaitedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Future => "Future",
            Self::Task => "Task",
            Self::Gather => "Gather",
            Self::Shield => "Shield",
            Self::Wait => "Wait",
            Self::AsCompleted => "AsCompleted",
            Self::TaskGroup => "TaskGroup",
            Self::Sleep => "Sleep",
            Self::Thread => "Thread",
            Self::Lock => "Lock",
            Self::Event => "Event",
            Self::Condition => "Condition",
            Self::Semaphore => "Semaphore",
            Self::Barrier => "Barrier",
            Self::QueueGet => "Queue.get",
            Self::QueuePut => "Queue.put",
            Self::QueueJoin => "Queue.join",
        })
    }
}

/// An unfinished task in a [`Snapshot`](super::Snapshot).
///
/// What it awaits is [`Snapshot::awaits`](super::Snapshot::awaits).
///
/// *From asyncio:* `asyncio.FutureCallGraph` of Python 3.14.
///
/// # Examples
///
/// ```
/// use callsoon::EventLoop;
///
/// let event_loop = EventLoop::new();
/// let inner = event_loop.task(std::future::pending::<()>()).name("inner").spawn();
/// event_loop.task(inner).name("outer").spawn();
/// event_loop.run_once(None)?;
/// let snapshot = event_loop.snapshot();
/// let [inner, outer] = snapshot.tasks() else { unreachable!("there are two") };
/// assert_eq!(inner.awaited_by(), [outer.id()]);
/// assert!(outer.awaited_by().is_empty());
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TaskSnapshot {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) state: TaskState,
    #[cfg_attr(feature = "serde", serde(serialize_with = "place"))]
    pub(super) created_at: &'static Location<'static>,
    pub(super) cancelling: u32,
    pub(super) callbacks: usize,
    /// Places in the snapshot's list of what is awaited.
    pub(super) awaits: Vec<usize>,
    pub(super) awaited_by: Vec<u64>,
}

impl TaskSnapshot {
    /// Gives the task's number; see [`TaskHandle::id`](crate::TaskHandle::id).
    ///
    /// *From asyncio:* `id(task)`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let task = event_loop.create_task(async {});
    /// assert_eq!(event_loop.snapshot().tasks()[0].id(), task.handle().id());
    /// ```
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Gives the task's name.
    ///
    /// *From asyncio:* `Task.get_name()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// event_loop.task(async {}).name("reader").spawn();
    /// assert_eq!(event_loop.snapshot().tasks()[0].name(), "reader");
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says what it does.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`TaskState`].
    pub fn state(&self) -> TaskState {
        self.state
    }

    /// Gives the place where the task was created.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let task = event_loop.create_task(async {});
    /// assert_eq!(event_loop.snapshot().tasks()[0].created_at(), task.created_at());
    /// ```
    pub fn created_at(&self) -> &'static Location<'static> {
        self.created_at
    }

    /// Gives how many requests to stop are open.
    ///
    /// *From asyncio:* `Task.cancelling()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let task = event_loop.create_task(async {});
    /// task.cancel();
    /// assert_eq!(event_loop.snapshot().tasks()[0].cancelling(), 1);
    /// ```
    pub fn cancelling(&self) -> u32 {
        self.cancelling
    }

    /// Gives how many done-callbacks it has. Combinators that wait for it are among them.
    ///
    /// *From asyncio:* nothing public; its `repr` shows them.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// event_loop.create_task(async {}).add_done_callback(|_| ());
    /// assert_eq!(event_loop.snapshot().tasks()[0].callbacks(), 1);
    /// ```
    pub fn callbacks(&self) -> usize {
        self.callbacks
    }

    /// Gives the numbers of the tasks that await it, directly or through a combinator, in ascending
    /// order.
    ///
    /// *From asyncio:* `FutureCallGraph.awaited_by`, which is a tree.
    ///
    /// # Examples
    ///
    /// See [`TaskSnapshot`].
    pub fn awaited_by(&self) -> &[u64] {
        &self.awaited_by
    }
}

impl fmt::Display for TaskSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, name, .. } = self;
        write!(
            f,
            "<Task {state} name='{name}' created at {}",
            self.created_at
        )?;
        if self.cancelling > 0 {
            write!(f, " cancelling={}", self.cancelling)?;
        }
        if self.callbacks > 0 {
            write!(f, " cb=[{}]", self.callbacks)?;
        }
        f.write_str(">")
    }
}

/// Something that is awaited in a [`Snapshot`](super::Snapshot), by a task or by a combinator that a
/// task awaits.
///
/// *From asyncio:* nothing; the awaited future of `Task.get_stack()`'s last frame comes near.
///
/// # Examples
///
/// ```
/// use callsoon::{EventLoop, Lock};
///
/// let event_loop = EventLoop::new();
/// let lock = Lock::new(0);
/// let lock_at = line!() - 1;
/// let _guard = lock.try_lock();
/// event_loop.create_task(async move { *lock.lock().await += 1 });
/// event_loop.run_once(None)?;
/// let snapshot = event_loop.snapshot();
/// let waits_for = snapshot.awaits(&snapshot.tasks()[0]).next().expect("it waits");
/// assert_eq!(waits_for.primitive().map(|place| place.line()), Some(lock_at));
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AwaitedSnapshot {
    pub(super) kind: AwaitedKind,
    pub(super) state: &'static str,
    #[cfg_attr(feature = "serde", serde(serialize_with = "place"))]
    pub(super) created_at: &'static Location<'static>,
    #[cfg_attr(feature = "serde", serde(serialize_with = "place_if_any"))]
    pub(super) primitive: Option<&'static Location<'static>>,
    pub(super) deadline: Option<Duration>,
    pub(super) task: Option<u64>,
    pub(super) name: Option<String>,
    pub(super) callbacks: usize,
    /// Places in the snapshot's list.
    pub(super) inside: Vec<usize>,
    pub(super) awaited_by: Vec<u64>,
}

impl AwaitedSnapshot {
    /// Says what it is.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`AwaitedKind`].
    pub fn kind(&self) -> AwaitedKind {
        self.kind
    }

    /// Says whether it is done, so that whoever awaits it is about to go on.
    ///
    /// *From asyncio:* `Future.done()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let answer = event_loop.create_future::<u32>();
    /// event_loop.create_task(answer.clone());
    /// event_loop.run_once(None)?;
    /// assert!(!event_loop.snapshot().awaited()[0].done());
    /// answer.set_result(42).expect("nobody else completes it");
    /// assert!(event_loop.snapshot().awaited()[0].done());
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn done(&self) -> bool {
        self.state != PENDING
    }

    /// Gives the place where the future was created; for what one waits for in a line that of the
    /// await.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let answer = event_loop.create_future::<u32>();
    /// event_loop.create_task(answer.clone());
    /// event_loop.run_once(None)?;
    /// assert_eq!(event_loop.snapshot().awaited()[0].created_at(), answer.created_at());
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn created_at(&self) -> &'static Location<'static> {
        self.created_at
    }

    /// Gives the place where the lock, event, condition, semaphore, barrier or queue was created that
    /// is waited for.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`AwaitedSnapshot`].
    pub fn primitive(&self) -> Option<&'static Location<'static>> {
        self.primitive
    }

    /// Gives when a sleep will be over, on the loop's clock.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Clock, EventLoop, sleep};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// event_loop.create_task(sleep(Duration::from_secs(5)));
    /// event_loop.run_once(None)?;
    /// assert_eq!(event_loop.snapshot().awaited()[0].deadline(), Some(Duration::from_secs(5)));
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Gives the number of the task, if it is one; [`Snapshot::task`](super::Snapshot::task) has the
    /// rest, unless it is done.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let inner = event_loop.create_task(std::future::pending::<()>());
    /// let id = inner.handle().id();
    /// event_loop.create_task(inner);
    /// event_loop.run_once(None)?;
    /// assert_eq!(event_loop.snapshot().awaited()[0].task(), Some(id));
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn task(&self) -> Option<u64> {
        self.task
    }

    /// Gives how many done-callbacks it has. Combinators that wait for it are among them.
    ///
    /// *From asyncio:* nothing public; its `repr` shows them.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let answer = event_loop.create_future::<u32>();
    /// answer.add_done_callback(|_| ());
    /// event_loop.create_task(answer);
    /// event_loop.run_once(None)?;
    /// assert_eq!(event_loop.snapshot().awaited()[0].callbacks(), 1);
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn callbacks(&self) -> usize {
        self.callbacks
    }

    /// Gives the numbers of the tasks that await it themselves, in ascending order.
    ///
    /// *From asyncio:* `FutureCallGraph.awaited_by`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let answer = event_loop.create_future::<u32>();
    /// let first = event_loop.create_task(answer.clone()).handle();
    /// let second = event_loop.create_task(answer).handle();
    /// event_loop.run_once(None)?;
    /// let snapshot = event_loop.snapshot();
    /// assert_eq!(snapshot.awaited()[0].awaited_by(), [first.id(), second.id()]);
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn awaited_by(&self) -> &[u64] {
        &self.awaited_by
    }
}

/// A future's state that is not over.
pub(super) const PENDING: &str = "pending";

impl fmt::Display for AwaitedSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} {}", self.kind, self.state)?;
        if let Some(name) = &self.name {
            write!(f, " name='{name}'")?;
        }
        if let Some(deadline) = self.deadline {
            write!(f, " until {deadline:?}")?;
        }
        match self.primitive {
            Some(primitive) => {
                write!(f, " created at {primitive} awaited at {}>", self.created_at)
            }
            None => write!(f, " created at {}>", self.created_at),
        }
    }
}

/// A timer that waits for its deadline, in a [`Snapshot`](super::Snapshot).
///
/// *From asyncio:* nothing public; `loop._scheduled` has them.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop};
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let timer = event_loop.call_later(Duration::from_secs(3), || ());
/// let snapshot = event_loop.snapshot();
/// let [planned] = snapshot.timers() else { unreachable!("there is one") };
/// assert_eq!((planned.when(), planned.created_at()), (timer.when(), timer.created_at()));
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TimerSnapshot {
    pub(super) when: Duration,
    #[cfg_attr(feature = "serde", serde(serialize_with = "place"))]
    pub(super) created_at: &'static Location<'static>,
}

impl TimerSnapshot {
    /// Gives the deadline, on the loop's clock.
    ///
    /// *From asyncio:* `TimerHandle.when()`.
    ///
    /// # Examples
    ///
    /// See [`TimerSnapshot`].
    pub fn when(&self) -> Duration {
        self.when
    }

    /// Gives the place where it was scheduled; for a sleep that of the sleep.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`TimerSnapshot`].
    pub fn created_at(&self) -> &'static Location<'static> {
        self.created_at
    }
}

/// How a place in the source is serialized.
#[cfg(feature = "serde")]
#[derive(serde::Serialize)]
struct Place {
    file: &'static str,
    line: u32,
    column: u32,
}

#[cfg(feature = "serde")]
impl Place {
    fn of(location: &'static Location<'static>) -> Self {
        Self {
            file: location.file(),
            line: location.line(),
            column: location.column(),
        }
    }
}

#[cfg(feature = "serde")]
pub(super) fn place<S: serde::Serializer>(
    location: &&'static Location<'static>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&Place::of(location), serializer)
}

#[cfg(feature = "serde")]
fn place_if_any<S: serde::Serializer>(
    location: &Option<&'static Location<'static>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&location.map(Place::of), serializer)
}
