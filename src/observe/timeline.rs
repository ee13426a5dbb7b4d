//! [`RecordedEvent`] and [`RecordedTask`]: what a recording has.

use std::panic::Location;
use std::time::Duration;

use super::EntryKind;
use crate::event_loop::Nanos;

/// What a recording has, at one time.
pub(super) struct Timeline {
    /// In the order in which they began.
    pub(super) events: Vec<RecordedEvent>,
    /// In the order in which they were made.
    pub(super) tasks: Vec<RecordedTask>,
    /// Where the recording has come to.
    pub(super) now: Moment,
    /// Whether nothing takes time unless it says so.
    pub(super) is_virtual: bool,
}

impl Timeline {
    /// Every beginning and every end, in order.
    pub(super) fn moments(&self) -> Vec<Moment> {
        let events = self.events.iter();
        let events = events.flat_map(|event| [Some(event.begin), event.end]);
        let tasks = self.tasks.iter();
        let tasks = tasks.flat_map(|task| [Some(task.since), task.until]);
        let mut moments: Vec<_> = events.chain(tasks).flatten().collect();
        moments.push(self.now);
        moments.sort_unstable_by_key(|moment| moment.order);
        moments
    }
}

/// A point of time. On a virtual clock much happens at once, and yet one thing after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Ascends with each beginning and each end.
    pub(super) order: u64,
    pub(super) time: Nanos,
}

/// Something that ran: a callback, or a step of a task; see [`Recording::events`].
///
/// *From asyncio:* nothing.
///
/// # Examples
///
/// ```
/// use callsoon::{EventLoop, call_soon};
///
/// let event_loop = EventLoop::new();
/// let recording = event_loop.record(10);
/// event_loop.call_soon(|| _ = call_soon(|| ()));
/// event_loop.run_once(None)?;
/// event_loop.run_once(None)?;
/// let [first, second] = &recording.events()[..] else { panic!("two ran") };
/// assert_eq!((first.turn(), second.turn()), (1, 2));
/// assert_eq!(second.cause(), Some(0)); // `first` has scheduled it
/// # Ok::<(), callsoon::RunError>(())
/// ```
///
/// [`Recording::events`]: super::Recording::events
#[derive(Clone, Debug)]
pub struct RecordedEvent {
    pub(super) kind: EntryKind,
    pub(super) name: String,
    pub(super) site: Option<&'static Location<'static>>,
    pub(super) task: Option<u64>,
    pub(super) turn: u64,
    pub(super) queued: Option<Nanos>,
    pub(super) begin: Moment,
    pub(super) end: Option<Moment>,
    pub(super) cause: Option<usize>,
}

impl RecordedEvent {
    /// Says what sort of entry it was.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`Recording::events`](super::Recording::events).
    pub fn kind(&self) -> EntryKind {
        self.kind
    }

    /// Gives the name of the task that made a step; of something else, what it was.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`LoopHandle::record`](crate::LoopHandle::record).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives the place where the callback was scheduled or the task was made; `None` for what another
    /// thread posted.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`Recording::events`](super::Recording::events).
    pub fn created_at(&self) -> Option<&'static Location<'static>> {
        self.site
    }

    /// Gives the [id](crate::TaskHandle::id) of the task that made a step; `None` for a callback.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let recording = event_loop.record(10);
    /// let task = event_loop.create_task(async {});
    /// event_loop.run_once(None)?;
    /// assert_eq!(recording.events()[0].task(), Some(task.handle().id()));
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn task(&self) -> Option<u64> {
        self.task
    }

    /// Says in which turn of the loop it ran; they count from 1.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`RecordedEvent`].
    pub fn turn(&self) -> u64 {
        self.turn
    }

    /// Gives the loop's time when it joined the ready queue; `None` if that was before the recording, or
    /// if it did not have to: a task that starts eagerly.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Clock, EventLoop};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// let recording = event_loop.record(10);
    /// let busy = event_loop.handle();
    /// event_loop.call_soon(move || _ = busy.advance(Duration::from_millis(30)));
    /// event_loop.call_soon(|| ());
    /// event_loop.run_once(None)?;
    /// let second = &recording.events()[1];
    /// assert_eq!(second.queued(), Some(Duration::ZERO));
    /// assert_eq!(second.begin(), Duration::from_millis(30)); // so long it had to wait
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn queued(&self) -> Option<Duration> {
        self.queued.map(Duration::from_nanos)
    }

    /// Gives the loop's time when it began.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`LoopHandle::record`](crate::LoopHandle::record).
    pub fn begin(&self) -> Duration {
        Duration::from_nanos(self.begin.time)
    }

    /// Gives the loop's time when it was over; `None` for what still runs.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Clock, EventLoop};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// let recording = event_loop.record(10);
    /// let busy = event_loop.handle();
    /// event_loop.call_soon(move || _ = busy.advance(Duration::from_millis(30)));
    /// event_loop.run_once(None)?;
    /// assert_eq!(recording.events()[0].end(), Some(Duration::from_millis(30)));
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn end(&self) -> Option<Duration> {
        self.end.map(|end| Duration::from_nanos(end.time))
    }

    /// Says which event has scheduled it, by its place in the list; for a timer, which has armed it.
    ///
    /// `None` if it was scheduled outside of a run, by another thread, before the recording, or by an
    /// event that there was no room for.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`LoopHandle::record`](crate::LoopHandle::record).
    pub fn cause(&self) -> Option<usize> {
        self.cause
    }
}

/// A task that was there during a recording; see [`Recording::tasks`](super::Recording::tasks).
///
/// *From asyncio:* nothing.
///
/// # Examples
///
/// ```
/// let event_loop = callsoon::EventLoop::new();
/// let recording = event_loop.record(10);
/// let task = event_loop.create_task(std::future::pending::<()>());
/// let [recorded] = &recording.tasks()[..] else { panic!("there is one") };
/// assert_eq!(recorded.id(), task.handle().id());
/// assert_eq!(recorded.created_at(), task.created_at());
/// assert_eq!(recorded.until(), None); // it is not over
/// ```
#[derive(Clone, Debug)]
pub struct RecordedTask {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) site: &'static Location<'static>,
    pub(super) since: Moment,
    pub(super) until: Option<Moment>,
}

impl RecordedTask {
    /// Gives its [id](crate::TaskHandle::id).
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`RecordedTask`].
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Gives its name, the latest if it had several.
    ///
    /// *From asyncio:* `Task.get_name()`.
    ///
    /// # Examples
    ///
    /// See [`Recording::tasks`](super::Recording::tasks).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives the place where it was made.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`RecordedTask`].
    pub fn created_at(&self) -> &'static Location<'static> {
        self.site
    }

    /// Gives the loop's time when it was made, or when the recording began if that was later.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`Recording::tasks`](super::Recording::tasks).
    pub fn since(&self) -> Duration {
        Duration::from_nanos(self.since.time)
    }

    /// Gives the loop's time when it was over; `None` if it was not, when the recording ended.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`Recording::tasks`](super::Recording::tasks).
    pub fn until(&self) -> Option<Duration> {
        self.until.map(|until| Duration::from_nanos(until.time))
    }
}
