//! [`ThreadPoolExecutor`]: threads that run jobs.

use std::cell::Cell;
use std::fmt;
use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use log::Level;

use super::executor::{Executor, Job};
use super::work_queue::WorkQueue;
use crate::reports::report;

/// No pool has more threads than this unless it is told to.
const MOST_BY_DEFAULT: usize = 32;

/// How many threads a pool has by default beyond the number of processors: jobs often wait.
const MORE_THAN_PROCESSORS: usize = 4;

thread_local! {
    /// The queue of the pool whose worker this thread is; its address, which nobody follows.
    static WORKS_FOR: Cell<*const WorkQueue<Job>> = const { Cell::new(std::ptr::null()) };
}

/// Threads that run jobs; started as they are needed, up to a maximum, and kept.
///
/// A job that panics ends its future with that panic; the thread goes on. Dropping the pool shuts it down
/// without waiting: what was submitted still runs, and then the threads end.
///
/// *From asyncio:* `concurrent.futures.ThreadPoolExecutor`. Differences:
///
/// * the end of the process does not wait for the threads; [`shutdown`](Self::shutdown) does;
/// * there is no initializer.
///
/// # Examples
///
/// ```
/// use callsoon::concurrent::{Executor, ThreadPoolExecutor};
///
/// let pool = ThreadPoolExecutor::named(2, "squares");
/// let squares: Vec<_> = (1..=4).map(|n| pool.submit(move || n * n)).collect::<Result<_, _>>()?;
/// let sum: i32 = squares.iter().map(|square| square.result(None)).sum::<Result<_, _>>()?;
/// assert_eq!(sum, 30);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ThreadPoolExecutor {
    queue: Arc<WorkQueue<Job>>,
    max_workers: usize,
    /// Threads are called this, `_`, and a number from 0.
    prefix: String,
}

impl ThreadPoolExecutor {
    /// Makes a pool of at most `max_workers` threads. None is started yet.
    ///
    /// *From asyncio:* `ThreadPoolExecutor(max_workers)`.
    ///
    /// # Panics
    ///
    /// If `max_workers` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::concurrent::{Executor, ThreadPoolExecutor};
    ///
    /// let one_at_a_time = ThreadPoolExecutor::new(1);
    /// assert_eq!(one_at_a_time.submit(|| "done").unwrap().result(None).unwrap(), "done");
    /// ```
    #[track_caller]
    pub fn new(max_workers: usize) -> Self {
        Self::named(max_workers, "ThreadPoolExecutor")
    }

    /// Makes a pool of at most `max_workers` threads, called `prefix_0`, `prefix_1` and so on.
    ///
    /// *From asyncio:* `ThreadPoolExecutor(max_workers, thread_name_prefix)`.
    ///
    /// # Panics
    ///
    /// If `max_workers` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::concurrent::{Executor, ThreadPoolExecutor};
    ///
    /// let pool = ThreadPoolExecutor::named(1, "disk");
    /// let name = pool.submit(|| std::thread::current().name().map(str::to_owned)).unwrap();
    /// assert_eq!(name.result(None).unwrap().as_deref(), Some("disk_0"));
    /// ```
    #[track_caller]
    pub fn named(max_workers: usize, prefix: impl Into<String>) -> Self {
        assert!(max_workers > 0, "a pool needs at least one thread");
        Self {
            queue: Arc::new(WorkQueue::new(max_workers)),
            max_workers,
            prefix: prefix.into(),
        }
    }

    /// Gives the greatest number of threads.
    ///
    /// *From asyncio:* the argument `max_workers`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::concurrent::ThreadPoolExecutor;
    ///
    /// assert!((5..=32).contains(&ThreadPoolExecutor::default().max_workers()));
    /// ```
    pub fn max_workers(&self) -> usize {
        self.max_workers
    }

    /// Accepts no more jobs; see [`Executor::shutdown`].
    ///
    /// From one of its own threads it does not wait, whatever `wait` says.
    ///
    /// *From asyncio:* `ThreadPoolExecutor.shutdown(wait, cancel_futures)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::concurrent::{Executor, ThreadPoolExecutor};
    ///
    /// let pool = ThreadPoolExecutor::new(1);
    /// let jobs: Vec<_> = (0..3).map(|n| pool.submit(move || n).unwrap()).collect();
    /// pool.shutdown(true, false);
    /// assert!(jobs.iter().all(|job| job.done()));
    /// ```
    pub fn shutdown(&self, wait: bool, cancel_futures: bool) {
        // Dropped, and so cancelled, with no lock held.
        drop(self.queue.shut_down(cancel_futures));
        let own = WORKS_FOR.try_with(|queue| queue.get() == Arc::as_ptr(&self.queue));
        if wait && !own.unwrap_or(false) {
            self.queue.wait_for_workers();
        }
    }

    /// The default executor of a loop.
    pub(crate) fn of_a_loop() -> Self {
        Self::named(default_max_workers(), "callsoon")
    }

    fn start_worker(&self, number: usize) {
        let queue = self.queue.clone();
        let name = format!("{}_{number}", self.prefix);
        let worker = thread::Builder::new().name(name).spawn(move || {
            WORKS_FOR.set(Arc::as_ptr(&queue));
            while let Some(job) = queue.next() {
                job.run();
            }
            drop(queue.leave());
        });
        if let Err(error) = worker {
            report(
                Level::Error,
                format_args!("a pool cannot start a thread: {error}"),
            );
            // Another worker will come to the job; without one it is cancelled.
            drop(self.queue.leave());
        }
    }
}

impl Executor for ThreadPoolExecutor {
    fn execute(&self, job: Job) -> Result<(), Job> {
        if let Some(number) = self.queue.push(job)? {
            self.start_worker(number);
        }
        Ok(())
    }

    fn shutdown(&self, wait: bool, cancel_futures: bool) {
        self.shutdown(wait, cancel_futures);
    }
}

fn default_max_workers() -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    MOST_BY_DEFAULT.min(processors + MORE_THAN_PROCESSORS)
}

/// As many threads as asyncio's default executor has: 4 more than there are processors, but at most 32.
impl Default for ThreadPoolExecutor {
    fn default() -> Self {
        Self::new(default_max_workers())
    }
}

impl Drop for ThreadPoolExecutor {
    fn drop(&mut self) {
        self.shutdown(false, false);
    }
}

impl fmt::Debug for ThreadPoolExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPoolExecutor")
            .field("prefix", &self.prefix)
            .field("max_workers", &self.max_workers)
            .finish_non_exhaustive()
    }
}
