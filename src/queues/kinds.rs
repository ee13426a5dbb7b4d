//! [`PriorityQueue`] and [`LifoQueue`]: a queue with another order.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_core::stream::FusedStream;

use super::{Container, Queue, Smallest};

/// A [`Queue`] that gives the smallest item first.
///
/// Items are usually tuples with a priority in front. It has every method of [`Queue`], through `Deref`.
///
/// *From asyncio:* `asyncio.PriorityQueue`. Differences: those of [`Queue`]. Equal items come in no
/// particular order, as there.
///
/// # Panics
///
/// If the comparison of two items uses the queue.
///
/// # Examples
///
/// ```
/// use callsoon::PriorityQueue;
///
/// let patients = PriorityQueue::new(0);
/// patients.put_nowait((3, "cold"))?;
/// patients.put_nowait((1, "broken leg"))?;
/// patients.put_nowait((2, "cut"))?;
/// let order = [(); 3].map(|()| patients.get_nowait().map(|(_, patient)| patient));
/// assert_eq!(order, [Ok("broken leg"), Ok("cut"), Ok("cold")]);
/// # Ok::<(), callsoon::PutNowaitError<(u32, &str)>>(())
/// ```
pub struct PriorityQueue<T: Ord> {
    queue: Queue<T, Smallest<T>>,
}

impl<T: Ord> PriorityQueue<T> {
    /// Makes a queue for so many items; for any number if that is zero.
    ///
    /// *From asyncio:* `asyncio.PriorityQueue(maxsize)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::PriorityQueue;
    ///
    /// assert!(PriorityQueue::<u32>::new(0).empty()); // no loop is needed
    /// ```
    #[track_caller]
    pub fn new(maxsize: usize) -> Self {
        Self {
            queue: Queue::named("priority queue", maxsize, Smallest::default()),
        }
    }
}

/// A [`Queue`] that gives the newest item first.
///
/// It has every method of [`Queue`], through `Deref`.
///
/// *From asyncio:* `asyncio.LifoQueue`. Differences: those of [`Queue`].
///
/// # Examples
///
/// ```
/// use callsoon::LifoQueue;
///
/// let plates = LifoQueue::new(0);
/// plates.put_nowait("lower")?;
/// plates.put_nowait("upper")?;
/// assert_eq!(plates.get_nowait(), Ok("upper"));
/// # Ok::<(), callsoon::PutNowaitError<&str>>(())
/// ```
pub struct LifoQueue<T> {
    queue: Queue<T, Vec<T>>,
}

impl<T> LifoQueue<T> {
    /// Makes a queue for so many items; for any number if that is zero.
    ///
    /// *From asyncio:* `asyncio.LifoQueue(maxsize)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::LifoQueue;
    ///
    /// assert!(LifoQueue::<u32>::new(0).empty()); // no loop is needed
    /// ```
    #[track_caller]
    pub fn new(maxsize: usize) -> Self {
        Self {
            queue: Queue::named("lifo queue", maxsize, Vec::new()),
        }
    }
}

impl<T: Ord> Deref for PriorityQueue<T> {
    type Target = Queue<T, Smallest<T>>;

    fn deref(&self) -> &Self::Target {
        &self.queue
    }
}

impl<T> Deref for LifoQueue<T> {
    type Target = Queue<T, Vec<T>>;

    fn deref(&self) -> &Self::Target {
        &self.queue
    }
}

impl<T: Ord> Clone for PriorityQueue<T> {
    fn clone(&self) -> Self {
        let queue = self.queue.clone();
        Self { queue }
    }
}

impl<T> Clone for LifoQueue<T> {
    fn clone(&self) -> Self {
        let queue = self.queue.clone();
        Self { queue }
    }
}

impl<T: Ord + 'static> Stream for PriorityQueue<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.queue).poll_next(cx)
    }
}

impl<T: 'static> Stream for LifoQueue<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.queue).poll_next(cx)
    }
}

impl<T: Ord + 'static> FusedStream for PriorityQueue<T> {
    fn is_terminated(&self) -> bool {
        self.queue.is_terminated()
    }
}

impl<T: 'static> FusedStream for LifoQueue<T> {
    fn is_terminated(&self) -> bool {
        self.queue.is_terminated()
    }
}

impl<T: Ord> fmt::Debug for PriorityQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.queue.shared().fmt_as("PriorityQueue", f)
    }
}

impl<T> fmt::Debug for LifoQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.queue.shared().fmt_as("LifoQueue", f)
    }
}

/// Whatever the container, a handle moves freely.
const _: () = {
    const fn unpin<T: Unpin>() {}
    unpin::<Queue<std::marker::PhantomPinned>>();
    unpin::<LifoQueue<std::marker::PhantomPinned>>();
    const fn container<C: Container>() {}
    container::<Smallest<u32>>();
};
