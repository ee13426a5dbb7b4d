//! [`as_completed`]: several concurrent futures, one after the other as they are done.

use std::borrow::Borrow;
use std::fmt;
use std::iter::FusedIterator;
use std::time::Duration;

use super::arrivals::{Arrivals, distinct};
use super::blocking::Deadline;
use super::{Future, WaitError};

/// Gives concurrent futures back one after the other, as they are done: an iterator that blocks until the
/// next one is. The time counts from this call; `None`: as long as it takes.
///
/// What comes are the handles that went in, futures or references to them, in the order in which they are
/// done; those that are done already come first. A cancelled future is done. An error comes last, with
/// the handles that are left in it.
///
/// *From asyncio:* `concurrent.futures.as_completed()`. Differences: what is done comes also when the time is
/// over; of several handles of one future the first comes back, and the others are dropped; it refuses to
/// block a thread on which an event loop runs, as [`Future::result`] does. There,
/// [`callsoon::as_completed`](crate::as_completed()) does it for what [`wrap_future`](crate::wrap_future) gives.
///
/// # Errors
///
/// The iterator gives, as its last item,
///
/// * [`WaitError::TimedOut`] if the time is over and some are not done;
/// * [`WaitError::WouldBlockLoop`] if it would have to wait, a loop runs on this thread, and the time is not over.
///
/// # Examples
///
/// ```
/// use callsoon::concurrent::{Executor, Future, ThreadPoolExecutor, as_completed};
///
/// let pool = ThreadPoolExecutor::new(1);
/// let (gate, open) = (Future::new(), Future::new());
/// let opened = gate.clone();
/// let first = pool.submit(move || opened.result(None).unwrap())?;
/// let second = pool.submit(|| "behind it")?;
/// open.set_result("there from the start").unwrap();
///
/// let mut earliest_first = as_completed([first, second, open], None);
/// let mut next = || earliest_first.next().unwrap()?.result(None).map_err(Box::<dyn std::error::Error>::from);
/// assert_eq!(next()?, "there from the start");
/// gate.set_result("through the gate").unwrap();
/// assert_eq!(next()?, "through the gate");
/// assert_eq!(next()?, "behind it");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn as_completed<I, H, T>(futures: I, timeout: impl Into<Option<Duration>>) -> AsCompleted<H, T>
where
    I: IntoIterator<Item = H>,
    H: Borrow<Future<T>>,
    T: 'static,
{
    let deadline = Deadline::after(timeout.into());
    let futures = distinct(futures);
    AsCompleted {
        arrivals: Arrivals::of(&futures),
        left: futures.len(),
        futures: futures.into_iter().map(Some).collect(),
        deadline,
    }
}

/// The iterator of [`as_completed`], over handles of type `H` of futures of `T`.
///
/// Dropping it leaves the futures alone.
///
/// *From asyncio:* the generator that `concurrent.futures.as_completed()` gives.
///
/// # Examples
///
/// ```
/// use callsoon::concurrent::{AsCompleted, Future, as_completed};
///
/// let futures = [Future::new(), Future::new()];
/// let mut earliest_first: AsCompleted<&Future<u32>, u32> = as_completed(&futures, None);
/// futures[1].set_result(5).unwrap();
/// assert_eq!(earliest_first.next().unwrap().unwrap(), &futures[1]);
/// ```
#[must_use = "an iterator does nothing unless it is asked"]
pub struct AsCompleted<H, T: 'static> {
    arrivals: Arrivals<T>,
    /// Empty at the place of one that was given out.
    futures: Vec<Option<H>>,
    /// How many are still to come.
    left: usize,
    deadline: Deadline,
}

impl<H, T: 'static> Iterator for AsCompleted<H, T> {
    type Item = Result<H, WaitError<H>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        if let Err(why) = self.arrivals.wait(1, self.deadline) {
            self.left = 0;
            let left = std::mem::take(&mut self.futures);
            return Some(Err(WaitError::new(
                why,
                left.into_iter().flatten().collect(),
            )));
        }
        self.left -= 1;
        let (place, _future) = self.arrivals.take().expect("one has come");
        let future = self.futures[place].take();
        Some(Ok(future.expect("each comes once")))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // One error may stand for all that are left.
        (self.left.min(1), Some(self.left))
    }
}

impl<H, T: 'static> FusedIterator for AsCompleted<H, T> {}

impl<H, T: 'static> fmt::Debug for AsCompleted<H, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
