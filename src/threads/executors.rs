//! Functions that run on other threads, and are awaited: `run_in_executor` and its relatives.

use std::panic::Location;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::concurrent::{self, Executor, ThreadPoolExecutor, expected_by, submit};
use crate::errors::TimeoutError;
use crate::event_loop::{LoopHandle, current};
use crate::futures::OwnedFuture;
use crate::timeouts::timeout;

/// Runs `function` on a thread of the running loop's default executor, and gives a future of its result.
///
/// *From asyncio:* `asyncio.to_thread()`. Differences: the function is submitted now, not when the future is
/// awaited.
///
/// *Order:* that of [`LoopHandle::run_in_executor`].
///
/// # Cancellation
///
/// As for [`LoopHandle::run_in_executor`].
///
/// # Panics
///
/// If no loop runs on this thread, or if its default executor was shut down.
///
/// # Examples
///
/// A function that blocks, and a sleep beside it, which is not delayed:
///
/// ```
/// use std::{sync::mpsc, time::Duration};
/// use callsoon::{Clock, EventLoop, gather, get_running_loop, sleep, to_thread};
///
/// type Output = mpsc::Sender<String>; // for any thread
///
/// fn blocking_io(output: Output) -> std::io::Result<usize> {
///     output.send("start blocking_io".into()).expect("it is read below");
///     let text = std::fs::read_to_string("Cargo.toml")?; // blocks this thread only
///     output.send("blocking_io complete".into()).expect("it is read below");
///     Ok(text.lines().count())
/// }
///
/// let print = |output: &Output, what| {
///     let now = get_running_loop().time();
///     output.send(format!("{what} at {now:?}")).expect("it is read below");
/// };
/// let (output, printed) = mpsc::channel();
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let lines = event_loop.run_until_complete(async move {
///     print(&output, "started main");
///     let for_thread = output.clone();
///     let read = to_thread(move || blocking_io(for_thread));
///     let (lines, ()) = gather((read, sleep(Duration::from_secs(1)))).await;
///     print(&output, "finished main");
///     lines
/// })?;
/// assert!(lines? > 10);
/// assert_eq!(printed.iter().collect::<Vec<_>>(), [
///     "started main at 0ns",
///     "start blocking_io",
///     "blocking_io complete",
///     "finished main at 1s",
/// ]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[track_caller]
pub fn to_thread<T, F>(function: F) -> OwnedFuture<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    LoopHandle::running().run_in_executor(None, function)
}

impl LoopHandle {
    /// Runs `function` on a thread of `executor`, and gives a future of its result. `None` is the default
    /// executor: a [`ThreadPoolExecutor`] that is made now, if it is needed for the first time.
    ///
    /// A panic of the function is the future's outcome.
    ///
    /// *From asyncio:* `loop.run_in_executor()`. Differences: arguments are captured; the default executor's
    /// threads do not keep the process from ending.
    ///
    /// *Order:* the end reaches the loop as a callback from a thread does; callbacks and awaiting tasks run
    /// one turn later. On a virtual clock the loop waits for the function, and no time passes, except while the
    /// function blocks on a coroutine that it has [submitted](crate::RemoteHandle::run_coroutine_threadsafe) to this very loop.
    ///
    /// # Cancellation
    ///
    /// Cancelling the future ends it at once. If the function has not begun it never does, else it goes on, and
    /// its result is dropped.
    ///
    /// # Panics
    ///
    /// If the loop is closed, or if the executor was shut down.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, concurrent::ThreadPoolExecutor};
    ///
    /// let event_loop = EventLoop::new();
    /// let sum = event_loop.run_in_executor(None, || (1..=1000).sum::<u64>());
    /// assert_eq!(event_loop.run_until_complete(sum)?, 500_500);
    ///
    /// let pool = ThreadPoolExecutor::new(1);
    /// let product = event_loop.run_in_executor(Some(&pool), || (1..=10).product::<u64>());
    /// assert_eq!(event_loop.run_until_complete(product)?, 3_628_800);
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn run_in_executor<T, F>(
        &self,
        executor: Option<&dyn Executor>,
        function: F,
    ) -> OwnedFuture<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.lp.assert_open();
        let site = Location::caller();
        let remote = self.remote();
        let function = move || expected_by(remote, function);
        let submitted = match executor {
            Some(executor) => submit(executor, function, site),
            None => submit(&*self.default_executor(), function, site),
        };
        match submitted {
            Ok(future) => self.wrap_future(future),
            Err(refused) => panic!("{refused}"),
        }
    }

    #[track_caller]
    fn default_executor(&self) -> Arc<dyn Executor> {
        let threads = &self.lp.threads;
        assert!(
            !threads.executor_shut_down.get(),
            "the default executor of the event loop created at {} was shut down",
            self.lp.site
        );
        let mut executor = threads.default_executor.borrow_mut();
        let executor = executor.get_or_insert_with(|| Arc::new(ThreadPoolExecutor::of_a_loop()));
        executor.clone()
    }

    /// Sets what `run_in_executor(None, ..)` and [`to_thread`] run functions on.
    ///
    /// It is shut down, without waiting, when the loop is closed. One that was set before is let go.
    ///
    /// An `Arc` of an executor is one: so several loops can share a pool, and the first that is closed shuts it down.
    ///
    /// *From asyncio:* `loop.set_default_executor()`. Differences: any executor will do.
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, concurrent::ThreadPoolExecutor};
    ///
    /// let event_loop = EventLoop::new();
    /// event_loop.set_default_executor(ThreadPoolExecutor::named(1, "io"));
    /// let name = || std::thread::current().name().map(str::to_owned);
    /// let name = event_loop.run_until_complete(event_loop.run_in_executor(None, name))?;
    /// assert_eq!(name.as_deref(), Some("io_0"));
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn set_default_executor(&self, executor: impl Executor + 'static) {
        self.lp.assert_open();
        let executor: Arc<dyn Executor> = Arc::new(executor);
        let old = self.lp.threads.default_executor.replace(Some(executor));
        drop(old);
    }

    /// Shuts the default executor down and waits for its jobs, at most for `timeout`, while the loop goes
    /// on; `None`: as long as it takes. From then on the loop has none.
    ///
    /// [`run`](crate::run) and [`Runner`](crate::Runner) do this at their end.
    ///
    /// *From asyncio:* `loop.shutdown_default_executor(timeout)`. Differences: when the time is over it
    /// says so by an error instead of a warning; on a virtual clock that does not happen, for no time passes
    /// while threads work.
    ///
    /// # Cancellation
    ///
    /// Waits for nobody any more; the executor stays shut down.
    ///
    /// # Errors
    ///
    /// * [`TimeoutError`] if its jobs are not done in time: they go on. No other error.
    ///
    /// # Panics
    ///
    /// If no thread can be started to wait in.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let job = event_loop.run_in_executor(None, || "written");
    /// event_loop.run_until_complete(event_loop.shutdown_default_executor(None))??;
    /// assert_eq!(event_loop.run_until_complete(job)?, "written");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown_default_executor<L: Into<Option<Duration>>>(
        &self,
        timeout: L,
    ) -> impl Future<Output = Result<(), TimeoutError>> + use<L> + 'static {
        shut_down(self.clone(), timeout.into())
    }
}

async fn shut_down(event_loop: LoopHandle, limit: Option<Duration>) -> Result<(), TimeoutError> {
    current::is_not_unwinding().await;
    let threads = &event_loop.lp.threads;
    threads.executor_shut_down.set(true);
    let executor = threads.default_executor.borrow().clone();
    let Some(executor) = executor else {
        return Ok(());
    };
    let over = concurrent::Future::new();
    let (joined, joining) = (over.clone(), executor.clone());
    thread::spawn(move || {
        // Completed also if a user's executor panics.
        let _completed = Completed(joined);
        joining.shutdown(true, false);
    });
    let waited = timeout(limit, event_loop.wrap_future(over)).await;
    if waited.is_err() {
        executor.shutdown(false, false);
    }
    waited
}

/// Completes a future when it is dropped.
struct Completed(concurrent::Future<()>);

impl Drop for Completed {
    fn drop(&mut self) {
        // Nobody waits any more if it is refused.
        drop(self.0.set_result(()));
    }
}
