//! [`Executor`]: who runs jobs; [`Job`]: what it runs.

use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::map::{self, Map};
use super::{Future, ResultError};
use crate::errors::PanicError;

/// Runs jobs somewhere else.
///
/// One's own executor is a few lines around [`execute`](Self::execute), which has to run the job, once, on
/// any thread. A job that is dropped instead is cancelled: nobody waits for it in vain.
///
/// A reference to an executor, and an `Arc` of one, are executors too, also where the type behind them is not
/// known: `Arc<dyn Executor>` has `submit` and `map`.
///
/// *From asyncio:* `concurrent.futures.Executor`. Differences: what is written for each executor is
/// `execute`; `submit` and `map` are made of it.
///
/// # Examples
///
/// ```
/// use callsoon::concurrent::{Executor, Job};
///
/// /// A thread for each job.
/// struct Threads;
///
/// impl Executor for Threads {
///     fn execute(&self, job: Job) -> Result<(), Job> {
///         std::thread::spawn(move || job.run());
///         Ok(())
///     }
///
///     fn shutdown(&self, _wait: bool, _cancel_futures: bool) {}
/// }
///
/// let future = Threads.submit(|| 6 * 7)?;
/// assert_eq!(future.result(None)?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Executor: Send + Sync {
    /// Has the job run, or gives it back if no more jobs are accepted.
    ///
    /// *From asyncio:* nothing; it is inside `Executor.submit()`.
    ///
    /// # Errors
    ///
    /// * the job, if the executor was shut down.
    ///
    /// # Examples
    ///
    /// [`Executor`] has one.
    fn execute(&self, job: Job) -> Result<(), Job>;

    /// Accepts no more jobs. With `wait` it returns when all that were accepted are over; with
    /// `cancel_futures` those that have not begun are cancelled, otherwise they still run.
    ///
    /// *From asyncio:* `Executor.shutdown(wait, cancel_futures)`.
    ///
    /// # Examples
    ///
    /// [`ThreadPoolExecutor::shutdown`](super::ThreadPoolExecutor::shutdown) has one.
    fn shutdown(&self, wait: bool, cancel_futures: bool);

    /// Has `function` run, and gives a future of its result.
    ///
    /// *From asyncio:* `Executor.submit()`. Differences: arguments are captured.
    ///
    /// # Errors
    ///
    /// * [`ExecutorShutDownError`] if the executor was shut down. No other error.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::concurrent::{Executor, ThreadPoolExecutor};
    ///
    /// let pool = ThreadPoolExecutor::new(2);
    /// let power = pool.submit(|| 323_u64.pow(5))?;
    /// assert_eq!(power.result(None)?, 3_515_706_497_843);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    fn submit<T, F>(&self, function: F) -> Result<Future<T>, ExecutorShutDownError>
    where
        Self: Sized,
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        submit(self, function, Location::caller())
    }

    /// Has `function` run for each of `items`, all submitted now, and gives an iterator of the results in the
    /// order of the items. The time counts from this call; `None`: as long as it takes.
    ///
    /// *From asyncio:* `Executor.map()`. Differences: one iterable, of tuples if there are several arguments; after
    /// an error the iterator goes on with the next result; what is not wanted is cancelled when the iterator is
    /// dropped, also if not all could be submitted.
    ///
    /// # Cancellation
    ///
    /// As for [`Map`].
    ///
    /// # Errors
    ///
    /// * [`ExecutorShutDownError`] if the executor was shut down, before this call or meanwhile. No other error.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::concurrent::{Executor, ResultError, ThreadPoolExecutor};
    ///
    /// let pool = ThreadPoolExecutor::new(2);
    /// let squares = pool.map(|n| n * n, 1..=4, None)?;
    /// assert_eq!(squares.collect::<Result<Vec<i32>, _>>()?, [1, 4, 9, 16]);
    ///
    /// let mut shares = pool.map(|n| 12 / n, [4, 0, 2], None)?;
    /// assert_eq!(shares.next().unwrap()?, 3);
    /// assert!(matches!(shares.next(), Some(Err(ResultError::Panicked(_)))));
    /// assert_eq!(shares.next().unwrap()?, 6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    fn map<I, F, T>(
        &self,
        function: F,
        items: I,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Map<T>, ExecutorShutDownError>
    where
        Self: Sized,
        I: IntoIterator<Item: Send + 'static>,
        F: Fn(I::Item) -> T + Send + Sync + 'static,
        T: Send + 'static,
    {
        map::map(self, function, items, timeout.into(), Location::caller())
    }
}

impl<E: Executor + ?Sized> Executor for &E {
    fn execute(&self, job: Job) -> Result<(), Job> {
        (**self).execute(job)
    }

    fn shutdown(&self, wait: bool, cancel_futures: bool) {
        (**self).shutdown(wait, cancel_futures);
    }
}

impl<E: Executor + ?Sized> Executor for Arc<E> {
    fn execute(&self, job: Job) -> Result<(), Job> {
        (**self).execute(job)
    }

    fn shutdown(&self, wait: bool, cancel_futures: bool) {
        (**self).shutdown(wait, cancel_futures);
    }
}

/// [`Executor::submit`], also where the executor's type is not known.
pub(crate) fn submit<T, F>(
    executor: &dyn Executor,
    function: F,
    site: &'static Location<'static>,
) -> Result<Future<T>, ExecutorShutDownError>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let future = Future::new();
    let job = Job::new(function, future.clone(), site);
    match executor.execute(job) {
        Ok(()) => Ok(future),
        Err(_cancelled) => Err(ExecutorShutDownError),
    }
}

/// A function to run, and the future of its result; see [`Executor::execute`].
///
/// *From asyncio:* the work item inside `concurrent.futures.thread`.
///
/// # Cancellation
///
/// Dropping it, without having run it, cancels its future.
///
/// # Examples
///
/// [`Executor`] has one.
#[must_use = "a job that is dropped is cancelled"]
pub struct Job(Box<dyn RunJob>);

impl Job {
    fn new<T, F>(function: F, future: Future<T>, site: &'static Location<'static>) -> Self
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Self(Box::new(JobCell {
            function: Some(function),
            future,
            site,
        }))
    }

    /// Runs the function, unless its future was cancelled, and completes the future. A panic is the
    /// future's outcome; it does not come out of here.
    ///
    /// *From asyncio:* the work item's `run()`.
    ///
    /// # Examples
    ///
    /// [`Executor`] has one.
    pub fn run(mut self) {
        self.0.run();
        // It may have the last handle of the result, whose `Drop` may panic.
        PanicError::logged("drop of a result", Some(self.0.site()), || drop(self));
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Job submitted at {}>", self.0.site())
    }
}

trait RunJob: Send {
    fn run(&mut self);
    fn site(&self) -> &'static Location<'static>;
}

struct JobCell<F, T: 'static> {
    /// Empty once it runs.
    function: Option<F>,
    future: Future<T>,
    site: &'static Location<'static>,
}

impl<F, T> RunJob for JobCell<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    fn run(&mut self) {
        let function = self.function.take().expect("a job is run once");
        if !matches!(self.future.set_running_or_notify_cancel(), Ok(true)) {
            PanicError::logged("drop of a cancelled job", Some(self.site), || {
                drop(function)
            });
            return;
        }
        match catch_unwind(AssertUnwindSafe(function)) {
            Ok(value) => {
                let refused = self.future.set_result(value);
                // Somebody else has completed it, for whatever reason; that stands.
                PanicError::logged("drop of a result", Some(self.site), || drop(refused));
            }
            Err(payload) => {
                let panic = PanicError::new(payload, "job".to_owned(), self.site);
                self.future.fail(ResultError::Panicked(panic));
            }
        }
    }

    fn site(&self) -> &'static Location<'static> {
        self.site
    }
}

impl<F, T: 'static> Drop for JobCell<F, T> {
    fn drop(&mut self) {
        if let Some(function) = self.function.take() {
            self.future.cancel();
            PanicError::logged("drop of a job", Some(self.site), || drop(function));
        }
    }
}

/// An executor accepts no more jobs: it was shut down.
///
/// *From asyncio:* `RuntimeError: cannot schedule new futures after shutdown`.
///
/// # Examples
///
/// ```
/// use callsoon::concurrent::{Executor, ExecutorShutDownError, ThreadPoolExecutor};
///
/// let pool = ThreadPoolExecutor::new(1);
/// pool.shutdown(true, false);
/// assert_eq!(pool.submit(|| 1), Err(ExecutorShutDownError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutorShutDownError;

impl fmt::Display for ExecutorShutDownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("executor accepts no more jobs: it was shut down")
    }
}

impl std::error::Error for ExecutorShutDownError {}
