//! The futures of a queue.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_core::FusedFuture;

use super::state::{Getters, Joiners, Putters, Shared};
use super::{Container, QueueShutDown};
use crate::locks::Passing;

/// The future of [`Queue::get`](crate::Queue::get), for naming its type.
///
/// *From asyncio:* nothing.
///
/// # Cancellation
///
/// As for [`Queue::get`](crate::Queue::get).
///
/// # Errors
///
/// As for [`Queue::get`](crate::Queue::get).
///
/// # Panics
///
/// As for [`Queue::get`](crate::Queue::get), and when awaited again after it was over.
///
/// # Examples
///
/// ```
/// use callsoon::{Queue, queues::Get, run};
///
/// struct Inbox(Queue<&'static str>);
///
/// impl Inbox {
///     fn message(&self) -> Get<&'static str> {
///         self.0.get()
///     }
/// }
///
/// let inbox = Inbox(Queue::new(0));
/// inbox.0.put_nowait("hello")?;
/// assert_eq!(run(inbox.message()), Ok("hello"));
/// # Ok::<(), callsoon::PutNowaitError<&str>>(())
/// ```
#[must_use = "nothing is taken out unless this is awaited"]
pub struct Get<T, C: Container<Item = T> = VecDeque<T>> {
    passing: Passing<Getters<C>>,
}

impl<T, C: Container<Item = T>> Get<T, C> {
    #[inline]
    #[track_caller]
    pub(super) fn new(queue: &Rc<Shared<C>>) -> Self {
        Self {
            passing: Passing::new(Getters(queue.clone())),
        }
    }

    /// Keeps nobody else waiting if it is not polled again.
    pub(super) fn lend(&mut self)
    where
        C: 'static,
    {
        self.passing.lend();
    }
}

impl<T, C: Container<Item = T>> Future for Get<T, C> {
    type Output = Result<T, QueueShutDown>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Getters(queue) = ready!(self.passing.poll(cx));
        // Without an item one gets this far only when the queue was shut down.
        Poll::Ready(queue.get_nowait().map_err(|_| QueueShutDown(())))
    }
}

impl<T, C: Container<Item = T>> Unpin for Get<T, C> {}

impl<T, C: Container<Item = T>> FusedFuture for Get<T, C> {
    fn is_terminated(&self) -> bool {
        self.passing.is_over()
    }
}

impl<T, C: Container<Item = T>> fmt::Debug for Get<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Get {}>", self.passing.state())
    }
}

/// The future of [`Queue::put`](crate::Queue::put), for naming its type.
///
/// *From asyncio:* nothing.
///
/// # Cancellation
///
/// As for [`Queue::put`](crate::Queue::put).
///
/// # Errors
///
/// As for [`Queue::put`](crate::Queue::put).
///
/// # Panics
///
/// As for [`Queue::put`](crate::Queue::put), and when awaited again after it was over.
///
/// # Examples
///
/// ```
/// use callsoon::{Queue, queues::Put, run};
///
/// fn order(kitchen: &Queue<&'static str>) -> Put<&'static str> {
///     kitchen.put("soup")
/// }
///
/// let kitchen = Queue::new(0);
/// run(order(&kitchen))?;
/// assert_eq!(kitchen.qsize(), 1);
/// # Ok::<(), callsoon::QueueShutDown<&str>>(())
/// ```
#[must_use = "nothing is put in unless this is awaited"]
pub struct Put<T, C: Container<Item = T> = VecDeque<T>> {
    passing: Passing<Putters<C>>,
    /// `None` when it is over.
    item: Option<T>,
}

impl<T, C: Container<Item = T>> Put<T, C> {
    #[inline]
    #[track_caller]
    pub(super) fn new(queue: &Rc<Shared<C>>, item: T) -> Self {
        Self {
            passing: Passing::new(Putters(queue.clone())),
            item: Some(item),
        }
    }
}

impl<T, C: Container<Item = T>> Future for Put<T, C> {
    type Output = Result<(), QueueShutDown<T>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Putters(queue) = ready!(self.passing.poll(cx));
        let item = self.item.take().expect("it is not over");
        // Where there is no room one gets this far only when the queue was shut down.
        let put = queue.put_nowait(item);
        Poll::Ready(put.map_err(|refused| QueueShutDown(refused.into_item())))
    }
}

impl<T, C: Container<Item = T>> Unpin for Put<T, C> {}

impl<T, C: Container<Item = T>> FusedFuture for Put<T, C> {
    fn is_terminated(&self) -> bool {
        self.passing.is_over()
    }
}

impl<T, C: Container<Item = T>> fmt::Debug for Put<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Put {}>", self.passing.state())
    }
}

/// The future of [`Queue::join`](crate::Queue::join), for naming its type.
///
/// *From asyncio:* nothing.
///
/// # Cancellation
///
/// As for [`Queue::join`](crate::Queue::join).
///
/// # Panics
///
/// As for [`Queue::join`](crate::Queue::join), and when awaited again after it was over.
///
/// # Examples
///
/// ```
/// use callsoon::{Queue, queues::Join, run};
///
/// fn all_served(kitchen: &Queue<&'static str>) -> Join<&'static str> {
///     kitchen.join()
/// }
///
/// run(all_served(&Queue::new(0)));
/// ```
#[must_use = "nothing waits unless this is awaited"]
pub struct Join<T, C: Container<Item = T> = VecDeque<T>> {
    passing: Passing<Joiners<C>>,
}

impl<T, C: Container<Item = T>> Join<T, C> {
    #[track_caller]
    pub(super) fn new(queue: &Rc<Shared<C>>) -> Self {
        Self {
            passing: Passing::new(Joiners(queue.clone())),
        }
    }
}

impl<T, C: Container<Item = T>> Future for Join<T, C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.passing.poll(cx).map(drop)
    }
}

impl<T, C: Container<Item = T>> FusedFuture for Join<T, C> {
    fn is_terminated(&self) -> bool {
        self.passing.is_over()
    }
}

impl<T, C: Container<Item = T>> fmt::Debug for Join<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Join {}>", self.passing.state())
    }
}
