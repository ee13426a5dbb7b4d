//! [`Queue`]: items from some tasks to others.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::stream::FusedStream;

use super::state::Shared;
use super::{Container, Get, GetNowaitError, Join, Put, PutNowaitError, TaskDoneError};
use crate::locks::Bond;

/// Passes items from some tasks to others, first in, first out.
///
/// With a `maxsize` it has room for so many; whoever puts more waits. Several tasks may put, and several
/// may get. It is also a `Stream` of its items, that ends after [`shutdown`](Self::shutdown); `next()` and the rest
/// of what one does with streams are in the crate `futures`, in `futures::StreamExt`.
///
/// It is for the tasks of one loop; from other threads, post to the loop.
///
/// *From asyncio:* `asyncio.Queue`. Differences:
///
/// * an item that is refused comes back in the error;
/// * the order is a type ([`Container`]), in place of methods to override;
/// * a clone is another handle of the same queue.
///
/// *Order:* getters and putters are woken in the order in which they came, one for each item and each free
/// place, and go on one turn later. Somebody who does not wait may take what they were woken for; then
/// they wait again, at the end of the line.
///
/// # Cancellation
///
/// Getting and putting may be cancelled or dropped at any time: then nothing was taken out, and nothing
/// put in. Whoever was woken and does not come wakes the next one; so does a stream that is woken and not
/// polled, which keeps its place between polls.
///
/// # Examples
///
/// See [the module](crate::queues) for workers, and:
///
/// ```
/// use callsoon::{EventLoop, Queue, create_task};
/// use futures::StreamExt;
///
/// let event_loop = EventLoop::new();
/// event_loop.run_until_complete(async {
///     let queue = Queue::new(2);
///     let source = queue.clone();
///     create_task(async move {
///         for number in 1..=10 {
///             source.put(number).await.expect("it is open"); // waits when two are there
///         }
///         source.shutdown(false);
///     });
///     let sum = queue.fold(0, |sum, number| async move { sum + number }).await;
///     assert_eq!(sum, 55);
/// })?;
/// # Ok::<(), callsoon::RunError>(())
/// ```
pub struct Queue<T, C: Container<Item = T> = VecDeque<T>> {
    shared: Rc<Shared<C>>,
    /// What this handle waits for as a stream.
    next: Option<Get<T, C>>,
}

impl<T> Queue<T> {
    /// Makes a queue for so many items; for any number if that is zero.
    ///
    /// *From asyncio:* `asyncio.Queue(maxsize)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::Queue;
    ///
    /// let queue = Queue::<u32>::new(100); // no loop is needed
    /// assert!(queue.empty());
    /// ```
    #[track_caller]
    pub fn new(maxsize: usize) -> Self {
        Self::named("queue", maxsize, VecDeque::new())
    }
}

impl<T, C: Container<Item = T>> Queue<T, C> {
    /// Makes a queue in which the items are kept in `container`; what is in that has been put.
    ///
    /// *From asyncio:* a subclass that overrides `_put` and `_get`.
    ///
    /// # Examples
    ///
    /// See [`Container`].
    #[track_caller]
    pub fn with_container(maxsize: usize, container: C) -> Self {
        Self::named("queue", maxsize, container)
    }

    /// A queue that messages call by this name.
    #[track_caller]
    pub(super) fn named(name: &'static str, maxsize: usize, container: C) -> Self {
        Self {
            shared: Rc::new(Shared::new(Bond::new(name), maxsize, container)),
            next: None,
        }
    }

    pub(super) fn shared(&self) -> &Rc<Shared<C>> {
        &self.shared
    }

    /// Puts an item in; waits while there is no room.
    ///
    /// *From asyncio:* `Queue.put(item)`.
    ///
    /// *Order:* without suspending if there is room. Otherwise one turn after somebody made room, if it is
    /// still there.
    ///
    /// # Cancellation
    ///
    /// Whoever is cancelled or dropped here has put nothing: the item is dropped. If there was room for
    /// it, the next one is woken.
    ///
    /// # Errors
    ///
    /// * [`QueueShutDown`](crate::QueueShutDown), with the item in it, if the queue was shut down, also
    ///   while this waited.
    ///
    /// # Panics
    ///
    /// When it has to wait, outside a running loop or in another loop than others waited in.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, Queue, create_task, yield_now};
    ///
    /// let event_loop = EventLoop::new();
    /// event_loop.run_until_complete(async {
    ///     let queue = Queue::new(1);
    ///     queue.put("first").await?;
    ///     let second = create_task(queue.put("second"));
    ///     yield_now().await;
    ///     assert_eq!((queue.qsize(), second.done()), (1, false)); // it waits
    ///     assert_eq!(queue.get().await, Ok("first"));
    ///     second.await?;
    ///     assert_eq!(queue.get().await, Ok("second"));
    ///     Ok::<(), callsoon::QueueShutDown<&str>>(())
    /// })??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn put(&self, item: T) -> Put<T, C> {
        Put::new(&self.shared, item)
    }

    /// Takes an item out; waits while there is none.
    ///
    /// *From asyncio:* `Queue.get()`.
    ///
    /// *Order:* without suspending if there is one. Otherwise one turn after somebody put one in, if it is
    /// still there.
    ///
    /// # Cancellation
    ///
    /// Whoever is cancelled or dropped here has taken nothing. If there was an item for it, the next one is
    /// woken.
    ///
    /// # Errors
    ///
    /// * [`QueueShutDown`](crate::QueueShutDown) if the queue is empty and was shut down, also while this
    ///   waited.
    ///
    /// # Panics
    ///
    /// When it has to wait, outside a running loop or in another loop than others waited in.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, Queue, create_task};
    ///
    /// let event_loop = EventLoop::new();
    /// event_loop.run_until_complete(async {
    ///     let queue = Queue::new(0);
    ///     let getter = create_task(queue.get());
    ///     queue.put("item").await.expect("it is open");
    ///     assert_eq!(getter.await, Ok("item"));
    /// })?;
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn get(&self) -> Get<T, C> {
        Get::new(&self.shared)
    }

    /// Puts an item in, if there is room.
    ///
    /// *From asyncio:* `Queue.put_nowait(item)`.
    ///
    /// *Order:* the first getter that waits goes on in the next turn. Until then the item can be taken by
    /// others.
    ///
    /// # Errors
    ///
    /// * [`PutNowaitError::QueueFull`], with the item in it, if there is no room;
    /// * [`PutNowaitError::QueueShutDown`], with the item in it, if the queue was shut down.
    ///
    /// # Panics
    ///
    /// If the container, or a comparison of items, panics or uses the queue; and if a handle of it still waits
    /// as a stream for this item, in a loop that was closed.
    ///
    /// # Examples
    ///
    /// See [`PutNowaitError`].
    #[inline]
    pub fn put_nowait(&self, item: T) -> Result<(), PutNowaitError<T>> {
        self.shared.put_nowait(item)
    }

    /// Takes an item out, if there is one.
    ///
    /// *From asyncio:* `Queue.get_nowait()`.
    ///
    /// *Order:* the first putter that waits goes on in the next turn. Until then the room can be taken by
    /// others.
    ///
    /// # Errors
    ///
    /// * [`GetNowaitError::QueueEmpty`] if there is none;
    /// * [`GetNowaitError::QueueShutDown`] if there is none and the queue was shut down.
    ///
    /// # Panics
    ///
    /// If the container, or a comparison of items, panics or uses the queue.
    ///
    /// # Examples
    ///
    /// See [`GetNowaitError`].
    #[inline]
    pub fn get_nowait(&self) -> Result<T, GetNowaitError> {
        self.shared.get_nowait()
    }

    /// Waits until everything that was put has been reported done.
    ///
    /// *From asyncio:* `Queue.join()`.
    ///
    /// *Order:* without suspending if that is so. Otherwise one turn after it was.
    ///
    /// # Cancellation
    ///
    /// Whoever is cancelled or dropped here no longer waits; nothing else changes.
    ///
    /// # Panics
    ///
    /// When it has to wait, outside a running loop or in another loop than others waited in.
    ///
    /// # Examples
    ///
    /// See [the module](crate::queues).
    #[track_caller]
    pub fn join(&self) -> Join<T, C> {
        Join::new(&self.shared)
    }

    /// Reports that the work on an item that was taken out is done.
    ///
    /// *From asyncio:* `Queue.task_done()`.
    ///
    /// *Order:* with the last one, those who [`join`](Self::join) go on in the next turn.
    ///
    /// # Errors
    ///
    /// * [`TaskDoneError`] if it was called as often as there were items put in.
    ///
    /// # Examples
    ///
    /// See [the module](crate::queues).
    pub fn task_done(&self) -> Result<(), TaskDoneError> {
        self.shared.task_done()
    }

    /// Closes the queue to new items.
    ///
    /// What is in it can still be taken out; unless `immediate`, which drops it, and counts it as done.
    ///
    /// *From asyncio:* `Queue.shutdown(immediate)`. Differences: none.
    ///
    /// *Order:* whoever waits to get or put goes on in the next turn, and finds the queue shut down. If
    /// nothing is left to do, so do those who [`join`](Self::join), in front of the others. Shutting it down
    /// again changes nothing, but that `immediate` drops what is still there.
    ///
    /// # Panics
    ///
    /// If the container, or a comparison of items, panics or uses the queue.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{GetNowaitError, Queue, run};
    ///
    /// let queue = Queue::new(0);
    /// queue.put_nowait("last")?;
    /// queue.put_nowait("forgotten")?;
    /// queue.shutdown(false);
    /// assert!(queue.put_nowait("late").is_err());
    /// assert_eq!(queue.get_nowait(), Ok("last"));
    /// queue.shutdown(true);
    /// assert_eq!(queue.get_nowait(), Err(GetNowaitError::QueueShutDown));
    /// queue.task_done().expect("the last one is done");
    /// run(queue.join());
    /// # Ok::<(), callsoon::PutNowaitError<&str>>(())
    /// ```
    pub fn shutdown(&self, immediate: bool) {
        if immediate {
            self.shared.shut_down_immediately();
        } else {
            self.shared.shut_down();
        }
    }

    /// Gives the number of items.
    ///
    /// *From asyncio:* `Queue.qsize()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::Queue;
    ///
    /// let queue = Queue::new(2);
    /// queue.put_nowait('a')?;
    /// assert_eq!((queue.qsize(), queue.empty(), queue.full()), (1, false, false));
    /// queue.put_nowait('b')?;
    /// assert_eq!((queue.qsize(), queue.empty(), queue.full()), (2, false, true));
    /// # Ok::<(), callsoon::PutNowaitError<char>>(())
    /// ```
    pub fn qsize(&self) -> usize {
        self.shared.len()
    }

    /// Says whether there is no item.
    ///
    /// *From asyncio:* `Queue.empty()`.
    ///
    /// # Examples
    ///
    /// See [`qsize`](Self::qsize).
    pub fn empty(&self) -> bool {
        self.qsize() == 0
    }

    /// Says whether there is no room; there always is if there is no limit.
    ///
    /// *From asyncio:* `Queue.full()`.
    ///
    /// # Examples
    ///
    /// See [`qsize`](Self::qsize).
    pub fn full(&self) -> bool {
        self.shared.is_full()
    }

    /// Gives the number of items there is room for; zero is no limit.
    ///
    /// *From asyncio:* `Queue.maxsize`.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(callsoon::Queue::<u32>::new(7).maxsize(), 7);
    /// ```
    pub fn maxsize(&self) -> usize {
        self.shared.maxsize
    }
}

impl<T, C: Container<Item = T>> Clone for Queue<T, C> {
    fn clone(&self) -> Self {
        let shared = self.shared.clone();
        Self { shared, next: None }
    }
}

impl<T, C: Container<Item = T>> Unpin for Queue<T, C> {}

impl<T, C: Container<Item = T> + 'static> Stream for Queue<T, C> {
    type Item = T;

    #[track_caller]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut next = match self.next.take() {
            Some(next) => next,
            None => self.get(),
        };
        let polled = Pin::new(&mut next).poll(cx);
        if polled.is_pending() {
            next.lend();
            self.next = Some(next);
        }
        polled.map(Result::ok)
    }
}

impl<T, C: Container<Item = T> + 'static> FusedStream for Queue<T, C> {
    fn is_terminated(&self) -> bool {
        self.shared.is_shut_down() && self.empty()
    }
}

impl<T, C: Container<Item = T>> fmt::Debug for Queue<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt_as("Queue", f)
    }
}
