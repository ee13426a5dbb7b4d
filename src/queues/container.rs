//! What a queue keeps its items in, and so in which order it gives them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;

/// What a [`Queue`](crate::Queue) keeps its items in.
///
/// A `VecDeque` gives the oldest first, a `Vec` the newest, [`Smallest`] the smallest. For another order,
/// implement this and call [`Queue::with_container`](crate::Queue::with_container).
///
/// *From asyncio:* `Queue._init`, `_put` and `_get`, which subclasses override.
///
/// # Examples
///
/// A queue in which a newer reading takes the place of an older one:
///
/// ```
/// use callsoon::{Queue, queues::Container};
///
/// struct Latest(Option<f64>);
///
/// impl Container for Latest {
///     type Item = f64;
///
///     fn push(&mut self, reading: f64) {
///         self.0 = Some(reading);
///     }
///
///     fn pop(&mut self) -> Option<f64> {
///         self.0.take()
///     }
///
///     fn len(&self) -> usize {
///         usize::from(self.0.is_some())
///     }
/// }
///
/// let readings = Queue::with_container(0, Latest(None));
/// readings.put_nowait(20.5)?;
/// readings.put_nowait(21.0)?;
/// assert_eq!(readings.get_nowait(), Ok(21.0));
/// assert!(readings.empty());
/// # Ok::<(), callsoon::PutNowaitError<f64>>(())
/// ```
pub trait Container {
    /// What it keeps.
    type Item;

    /// Takes an item in.
    fn push(&mut self, item: Self::Item);

    /// Gives the item whose turn it is; nothing if it is empty.
    fn pop(&mut self) -> Option<Self::Item>;

    /// Says how many items there are.
    fn len(&self) -> usize;

    /// Says whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Container for VecDeque<T> {
    type Item = T;

    #[inline]
    fn push(&mut self, item: T) {
        self.push_back(item);
    }

    #[inline]
    fn pop(&mut self) -> Option<T> {
        self.pop_front()
    }

    #[inline]
    fn len(&self) -> usize {
        self.len()
    }
}

impl<T> Container for Vec<T> {
    type Item = T;

    #[inline]
    fn push(&mut self, item: T) {
        self.push(item);
    }

    #[inline]
    fn pop(&mut self) -> Option<T> {
        self.pop()
    }

    #[inline]
    fn len(&self) -> usize {
        self.len()
    }
}

/// Keeps the items of a [`PriorityQueue`](crate::PriorityQueue).
///
/// *From asyncio:* `heapq`.
///
/// # Examples
///
/// ```
/// use callsoon::queues::{Container, Smallest};
///
/// let mut numbers = Smallest::default();
/// numbers.push(2);
/// numbers.push(1);
/// assert_eq!(numbers.pop(), Some(1));
/// ```
pub struct Smallest<T> {
    heap: BinaryHeap<Reverse<T>>,
}

impl<T: Ord> Default for Smallest<T> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
        }
    }
}

impl<T: Ord> Container for Smallest<T> {
    type Item = T;

    fn push(&mut self, item: T) {
        self.heap.push(Reverse(item));
    }

    fn pop(&mut self) -> Option<T> {
        self.heap.pop().map(|Reverse(item)| item)
    }

    fn len(&self) -> usize {
        self.heap.len()
    }
}

impl<T> fmt::Debug for Smallest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Smallest of {}>", self.heap.len())
    }
}
