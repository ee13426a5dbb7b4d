//! [`Map`]: the results of several jobs, in the order in which they were submitted.

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::blocking::Deadline;
use super::executor::{Executor, ExecutorShutDownError, submit};
use super::{Future, ResultError};

/// The iterator of [`Executor::map`]: it blocks until the next result, in order, is there.
///
/// Its items are those of [`Future::take_result`]; after an error it goes on with the next one. A job whose
/// place has come and that has not begun, because the time is over or waiting would block a loop, is cancelled.
///
/// *From asyncio:* the generator that `Executor.map()` gives. Differences: there the first exception ends it.
///
/// # Cancellation
///
/// Dropping it cancels the jobs that have not begun. Those that run go on, and their results are dropped.
///
/// # Examples
///
/// ```
/// use callsoon::concurrent::{Executor, Map, ThreadPoolExecutor};
///
/// let pool = ThreadPoolExecutor::new(2);
/// let mut lengths: Map<usize> = pool.map(str::len, ["one", "three"], None)?;
/// assert_eq!(lengths.len(), 2);
/// assert_eq!(lengths.next().unwrap()?, 3);
/// drop(lengths); // nobody wants to know the other
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "jobs that have not begun are cancelled when it is dropped"]
pub struct Map<T: 'static> {
    /// Of those whose results have not been given out, in order.
    jobs: VecDeque<Future<T>>,
    deadline: Deadline,
}

/// [`Executor::map`].
pub(super) fn map<I, F, T>(
    executor: &dyn Executor,
    function: F,
    items: I,
    timeout: Option<Duration>,
    site: &'static Location<'static>,
) -> Result<Map<T>, ExecutorShutDownError>
where
    I: IntoIterator<Item: Send + 'static>,
    F: Fn(I::Item) -> T + Send + Sync + 'static,
    T: Send + 'static,
{
    let function = Arc::new(function);
    let mut map = Map {
        jobs: VecDeque::new(),
        deadline: Deadline::after(timeout),
    };
    for item in items {
        let function = function.clone();
        let job = submit(executor, move || function(item), site)?;
        map.jobs.push_back(job);
    }
    Ok(map)
}

impl<T: 'static> Iterator for Map<T> {
    type Item = Result<T, ResultError>;

    fn next(&mut self) -> Option<Self::Item> {
        let job = self.jobs.pop_front()?;
        let result = job.take_result_until(self.deadline);
        // Refused, unless it is still waiting for its turn.
        job.cancel();
        Some(result)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.jobs.len(), Some(self.jobs.len()))
    }
}

impl<T: 'static> ExactSizeIterator for Map<T> {}

impl<T: 'static> FusedIterator for Map<T> {}

impl<T: 'static> Drop for Map<T> {
    fn drop(&mut self) {
        for job in &self.jobs {
            job.cancel();
        }
    }
}

impl<T: 'static> fmt::Debug for Map<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("left", &self.jobs.len())
            .finish_non_exhaustive()
    }
}
