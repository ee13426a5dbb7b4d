//! [`wait`]: several concurrent futures, until all, one, or one of a kind is done.

use std::borrow::Borrow;
use std::time::Duration;

use super::arrivals::{Arrivals, distinct};
use super::blocking::{Deadline, NotDone};
use super::{Future, WaitError};
use crate::wait::ReturnWhen;

/// Blocks until some of several concurrent futures are done, or the time is over, and gives back which are
/// done and which are not: `(done, not_done)`. `None`: as long as it takes.
///
/// What comes back are the handles that went in, futures or references to them, both times in their order.
/// Nothing is cancelled. When the time is over, fewer are done than one asked for. A cancelled future is done;
/// for [`FirstException`](ReturnWhen::FirstException) a panic counts, and so does a coroutine whose loop was
/// closed, but not a cancellation.
///
/// *From asyncio:* `concurrent.futures.wait()`. Differences: both lists are in the order of the arguments, where
/// Python's sets have none; of several handles of one future the first comes back, and the others are
/// dropped; it refuses to block a thread on which an event loop runs, as [`Future::result`] does. There,
/// [`callsoon::wait`](crate::wait()) waits for what [`wrap_future`](crate::wrap_future) gives.
///
/// # Errors
///
/// * [`WaitError::WouldBlockLoop`], with all handles, if it would have to wait, a loop runs on this thread, and
///   `timeout` is not zero. No other error.
///
/// # Panics
///
/// If a predicate panics, or if it is called inside the `Clone` of a result that a predicate has to look at.
///
/// # Examples
///
/// ```
/// use callsoon::ReturnWhen;
/// use callsoon::concurrent::{Executor, Future, ThreadPoolExecutor, wait};
///
/// let pool = ThreadPoolExecutor::new(2);
/// let never = Future::new();
/// let jobs = [never.clone(), pool.submit(|| 6 * 7)?];
/// let (done, not_done) = wait(jobs, ReturnWhen::FirstCompleted, None)?;
/// assert_eq!(done[0].result(None)?, 42);
/// assert_eq!(not_done, [never]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Example: all, unless one fails
///
/// ```
/// use callsoon::ReturnWhen;
/// use callsoon::concurrent::{Executor, Future, ThreadPoolExecutor, wait};
///
/// let pool = ThreadPoolExecutor::new(2);
/// let number = |text: &'static str| pool.submit(move || text.parse::<u32>());
/// let numbers = [number("1")?, number("two")?, Future::new()];
/// let (done, not_done) = wait(numbers, ReturnWhen::FirstException, None)?;
/// assert!(done.last().unwrap().exception(None)?.is_some());
/// for job in not_done {
///     job.cancel();
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[track_caller]
pub fn wait<I, H, T>(
    futures: I,
    return_when: ReturnWhen<T>,
    timeout: impl Into<Option<Duration>>,
) -> Result<(Vec<H>, Vec<H>), WaitError<H>>
where
    I: IntoIterator<Item = H>,
    H: Borrow<Future<T>>,
    T: 'static,
{
    let deadline = Deadline::after(timeout.into());
    let futures = distinct(futures);
    match wait_until(
        &mut Arrivals::of(&futures),
        futures.len(),
        return_when,
        deadline,
    ) {
        Ok(()) | Err(NotDone::TimedOut) => {}
        Err(why) => return Err(WaitError::new(why, futures)),
    }
    // More may be done by now.
    let done = |future: &H| -> bool { future.borrow().done() };
    Ok(futures.into_iter().partition(done))
}

#[track_caller]
fn wait_until<T: 'static>(
    arrivals: &mut Arrivals<T>,
    count: usize,
    return_when: ReturnWhen<T>,
    deadline: Deadline,
) -> Result<(), NotDone> {
    let is_such = match return_when {
        ReturnWhen::AllCompleted => return arrivals.wait(count, deadline),
        ReturnWhen::FirstCompleted => return arrivals.wait(count.min(1), deadline),
        ReturnWhen::FirstMatching(is_such) => is_such,
    };
    for _ in 0..count {
        arrivals.wait(1, deadline)?;
        let (_, future) = arrivals.take().expect("one has come");
        if future.matches(is_such) {
            break;
        }
    }
    Ok(())
}
