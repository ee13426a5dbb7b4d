//! What goes wrong with queues. An item that was refused comes back in the error.

use std::fmt;
use std::panic::Location;

/// A queue was shut down: it takes nothing any more, and has nothing left to give.
///
/// *From asyncio:* `asyncio.QueueShutDown`. Differences: an item that was refused comes back.
///
/// # Examples
///
/// ```
/// use callsoon::{Queue, QueueShutDown, run};
///
/// let queue = Queue::new(0);
/// queue.shutdown(false);
/// let refused = run(queue.put("late"));
/// assert_eq!(refused, Err(QueueShutDown("late")));
/// assert_eq!(run(queue.get()), Err(QueueShutDown(())));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct QueueShutDown<T = ()>(
    /// The item that was refused; nothing if one was asked for.
    pub T,
);

impl<T> QueueShutDown<T> {
    /// Drops the item, so that one error serves whoever puts and gets.
    ///
    /// *From asyncio:* nothing; there errors have no item.
    ///
    /// # Examples
    ///
    /// A worker that passes on what it gets, until one of the queues is shut down:
    ///
    /// ```
    /// use callsoon::{Queue, QueueShutDown, run, task_group};
    ///
    /// async fn double(from: Queue<u32>, to: Queue<u32>) -> Result<(), QueueShutDown> {
    ///     loop {
    ///         let n = from.get().await?;
    ///         to.put(2 * n).await.map_err(QueueShutDown::without_item)?;
    ///     }
    /// }
    ///
    /// let (from, to) = (Queue::new(0), Queue::new(1));
    /// let worker = double(from.clone(), to.clone());
    /// run(task_group(async |tg| {
    ///     let worker = tg.create_task(worker);
    ///     from.put(21).await.expect("it is open");
    ///     assert_eq!(to.get().await, Ok(42));
    ///     to.shutdown(false);
    ///     from.put(22).await.expect("it is open");
    ///     assert_eq!(worker.await, Err(QueueShutDown(())));
    /// }));
    /// ```
    pub fn without_item(self) -> QueueShutDown {
        QueueShutDown(())
    }
}

impl<T> fmt::Debug for QueueShutDown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueueShutDown")
    }
}

impl<T> fmt::Display for QueueShutDown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("queue was shut down")
    }
}

impl<T> std::error::Error for QueueShutDown<T> {}

/// An item could not be put at once.
///
/// *From asyncio:* `asyncio.QueueFull` and `asyncio.QueueShutDown`, as one enum to match on. Differences:
/// the item comes back.
///
/// # Examples
///
/// ```
/// use callsoon::{PutNowaitError, Queue};
///
/// let queue = Queue::new(1);
/// queue.put_nowait("first")?;
/// match queue.put_nowait("second") {
///     Err(PutNowaitError::QueueFull(item)) => assert_eq!(item, "second"),
///     other => unreachable!("{other:?}"),
/// }
/// # Ok::<(), PutNowaitError<&str>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PutNowaitError<T> {
    /// There is no room.
    QueueFull(T),
    /// The queue was shut down.
    QueueShutDown(T),
}

impl<T> PutNowaitError<T> {
    /// Gives back the item that was refused.
    ///
    /// *From asyncio:* nothing; there the caller still has it.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::Queue;
    ///
    /// let queue = Queue::new(1);
    /// let refused = [1, 2, 3].map(|item| queue.put_nowait(item)).into_iter().filter_map(Result::err);
    /// assert_eq!(refused.map(|error| error.into_item()).collect::<Vec<_>>(), [2, 3]);
    /// ```
    pub fn into_item(self) -> T {
        match self {
            Self::QueueFull(item) | Self::QueueShutDown(item) => item,
        }
    }

    /// Drops the item, so that one error serves whoever puts and gets. A [`QueueShutDown`] becomes such an
    /// error by `?`.
    ///
    /// *From asyncio:* nothing; there errors have no item.
    ///
    /// # Examples
    ///
    /// A worker that does not wait for room:
    ///
    /// ```
    /// use callsoon::{PutNowaitError, Queue, run};
    ///
    /// async fn pass_on(from: Queue<u32>, to: Queue<u32>) -> Result<(), PutNowaitError<()>> {
    ///     loop {
    ///         let n = from.get().await?;
    ///         to.put_nowait(n).map_err(PutNowaitError::without_item)?;
    ///     }
    /// }
    ///
    /// let (from, to) = (Queue::new(0), Queue::new(2));
    /// for n in [1, 2, 3] {
    ///     from.put_nowait(n)?;
    /// }
    /// assert_eq!(run(pass_on(from, to)), Err(PutNowaitError::QueueFull(())));
    /// # Ok::<(), PutNowaitError<u32>>(())
    /// ```
    pub fn without_item(self) -> PutNowaitError<()> {
        match self {
            Self::QueueFull(_) => PutNowaitError::QueueFull(()),
            Self::QueueShutDown(_) => PutNowaitError::QueueShutDown(()),
        }
    }
}

impl<T> From<QueueShutDown<T>> for PutNowaitError<T> {
    fn from(QueueShutDown(item): QueueShutDown<T>) -> Self {
        Self::QueueShutDown(item)
    }
}

impl<T> fmt::Debug for PutNowaitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QueueFull(_) => "QueueFull",
            Self::QueueShutDown(_) => "QueueShutDown",
        })
    }
}

impl<T> fmt::Display for PutNowaitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QueueFull(_) => "queue is full",
            Self::QueueShutDown(_) => "queue was shut down",
        })
    }
}

impl<T> std::error::Error for PutNowaitError<T> {}

/// There was no item to be had at once.
///
/// *From asyncio:* `asyncio.QueueEmpty` and `asyncio.QueueShutDown`, as one enum to match on.
///
/// # Examples
///
/// ```
/// use callsoon::{GetNowaitError, Queue};
///
/// let queue = Queue::<u32>::new(0);
/// assert_eq!(queue.get_nowait(), Err(GetNowaitError::QueueEmpty));
/// queue.shutdown(false);
/// assert_eq!(queue.get_nowait(), Err(GetNowaitError::QueueShutDown));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetNowaitError {
    /// There is none now.
    QueueEmpty,
    /// There is none, and there will be none, for the queue was shut down.
    QueueShutDown,
}

impl From<QueueShutDown> for GetNowaitError {
    fn from(QueueShutDown(()): QueueShutDown) -> Self {
        Self::QueueShutDown
    }
}

impl fmt::Display for GetNowaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QueueEmpty => "queue is empty",
            Self::QueueShutDown => "queue was shut down",
        })
    }
}

impl std::error::Error for GetNowaitError {}

/// More was reported done than was put into a queue.
///
/// *From asyncio:* the `ValueError` of `Queue.task_done()`.
///
/// # Examples
///
/// ```
/// use callsoon::Queue;
///
/// let queue = Queue::<u32>::new(0);
/// let error = queue.task_done().unwrap_err();
/// assert!(error.to_string().starts_with("task_done() called too often on the queue created at "));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskDoneError {
    /// Where the queue was created.
    site: &'static Location<'static>,
}

impl TaskDoneError {
    pub(super) fn new(site: &'static Location<'static>) -> Self {
        Self { site }
    }
}

impl fmt::Display for TaskDoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "task_done() called too often on the queue created at {}",
            self.site
        )
    }
}

impl std::error::Error for TaskDoneError {}
