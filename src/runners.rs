//! [`run`] and [`Runner`]: a loop from start to clean end.

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::cancellation::CancelledError;
use crate::errors::{ResultError, RunError};
use crate::event_loop::{Builder, EventLoop, ExceptionContext, LoopHandle, Patience, Turn};
use crate::futures::{AnyRef, FutureCore};
use crate::tasks::{MainCoroutine, MainProxy, NoMain, Plain, Start, Stepper, TaskCell};

/// How long a runner that ends waits for cancelled tasks to clean up.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long it then waits for jobs of the default executor; asyncio's number.
const EXECUTOR_TIMEOUT: Duration = Duration::from_secs(300);

/// Runs a coroutine on a fresh loop, cleans up, and gives its result.
///
/// The coroutine may borrow what outlives the call. When it is done, every task that is left is
/// cancelled and waited for.
///
/// *From asyncio:* `asyncio.run()`. Differences: tasks that are made while others clean up are
/// cancelled as well; tasks that refuse to end are reported, by name, after ten seconds of the
/// loop's clock, and dropped.
///
/// # Panics
///
/// If the coroutine ends cancelled; [`Runner::run`] gives an error instead. If a loop runs on this
/// thread already. Goes on with a panic of the coroutine.
///
/// # Examples
///
/// ```
/// let name = "world".to_owned();
/// let greeting = callsoon::run(async {
///     callsoon::yield_now().await;
///     format!("hello {}", &name)
/// });
/// assert_eq!(greeting, "hello world");
/// ```
#[track_caller]
pub fn run<F: IntoFuture>(coroutine: F) -> F::Output {
    match Runner::new().run(coroutine) {
        Ok(result) => result,
        Err(error) => panic!("run() has no result to give: {error}"),
    }
}

/// Runs several coroutines, one after the other, on one loop; cleans up when it is dropped.
///
/// *From asyncio:* `asyncio.Runner`. Differences: as for [`run`]; no signal handler is installed.
///
/// # Examples
///
/// ```
/// use callsoon::{Clock, EventLoop, Runner};
///
/// let mut runner = Runner::with(EventLoop::builder().clock(Clock::Virtual));
/// let background = runner.run(async {
///     callsoon::create_task(async { std::future::pending::<()>().await })
/// })?;
/// assert!(!background.done());
/// assert_eq!(runner.run(async { 2 })?, 2);
///
/// runner.close();
/// assert!(background.cancelled());
/// # Ok::<(), callsoon::RunError>(())
/// ```
pub struct Runner {
    builder: Builder,
    /// Made by the first run.
    event_loop: Option<EventLoop>,
    closed: bool,
    shutdown_timeout: Duration,
}

impl Runner {
    /// Makes a runner whose loop is made when it is needed.
    ///
    /// *From asyncio:* `Runner()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::Runner;
    ///
    /// let mut runner = Runner::new();
    /// let same_loop = runner.get_loop()?;
    /// assert!(runner.run(async { callsoon::get_running_loop() })? == same_loop);
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn new() -> Self {
        Self::with(Builder::default())
    }

    /// Makes a runner whose loop has other settings.
    ///
    /// *From asyncio:* `Runner(loop_factory=...)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Clock, EventLoop, Runner, sleep};
    ///
    /// let mut runner = Runner::with(EventLoop::builder().clock(Clock::Virtual));
    /// runner.run(sleep(Duration::from_secs(3600)))?; // in no time
    /// assert_eq!(runner.get_loop()?.time(), Duration::from_secs(3600));
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn with(builder: Builder) -> Self {
        Self {
            builder,
            event_loop: None,
            closed: false,
            shutdown_timeout: SHUTDOWN_TIMEOUT,
        }
    }

    /// Makes a runner of a loop.
    pub(crate) fn of(event_loop: EventLoop) -> Self {
        let mut runner = Self::new();
        runner.event_loop = Some(event_loop);
        runner
    }

    /// Sets how long [`close`](Self::close) waits, on the loop's clock, for tasks to clean up; ten
    /// seconds unless set otherwise.
    ///
    /// *From asyncio:* nothing; there it waits for ever.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Clock, EventLoop, Runner, create_future, create_task, sleep, yield_now};
    ///
    /// let builder = EventLoop::builder().clock(Clock::Virtual);
    /// let mut runner = Runner::with(builder).shutdown_timeout(Duration::from_secs(2));
    /// let event_loop = runner.get_loop()?;
    /// runner.run(async {
    ///     create_task(async {
    ///         let told = create_future::<()>().outcome().await;
    ///         assert!(told.is_err());
    ///         sleep(Duration::from_secs(60)).await; // a clean-up that takes too long
    ///     });
    ///     yield_now().await;
    /// })?;
    /// runner.close();
    /// assert_eq!(event_loop.time(), Duration::from_secs(2));
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[must_use = "it gives the runner back"]
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// Gives the runner's loop, which is made now if nothing has run yet.
    ///
    /// *From asyncio:* `Runner.get_loop()`.
    ///
    /// # Errors
    ///
    /// * [`RunError::Closed`] if the runner is closed. No other error.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::Runner;
    ///
    /// let mut runner = Runner::new();
    /// runner.get_loop()?.set_debug(true); // before the first run
    /// assert!(runner.run(async { callsoon::get_running_loop().get_debug() })?);
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn get_loop(&mut self) -> Result<LoopHandle, RunError> {
        self.event_loop().map(|event_loop| event_loop.handle())
    }

    #[track_caller]
    fn event_loop(&mut self) -> Result<&EventLoop, RunError> {
        if self.closed {
            return Err(RunError::Closed);
        }
        if self.event_loop.is_none() {
            self.event_loop = Some(self.builder.clone().build());
        }
        Ok(self.event_loop.as_ref().expect("made above"))
    }

    /// Runs a coroutine to its end. It may borrow what outlives the call.
    ///
    /// Tasks that it leaves behind go on in the next run.
    ///
    /// *From asyncio:* `Runner.run()`. Differences: no signal handler is installed.
    ///
    /// # Cancellation
    ///
    /// The coroutine runs as a task, which can cancel itself or be cancelled by others. If the run
    /// ends before the coroutine does, the coroutine is dropped.
    ///
    /// # Errors
    ///
    /// * Those of [`EventLoop::run_until_complete`], but for [`RunError::Taken`]. No other error.
    ///
    /// # Panics
    ///
    /// Goes on with a panic of the coroutine.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Clock, EventLoop, Runner, sleep};
    ///
    /// async fn say_hello(output: &mut Vec<&str>) {
    ///     sleep(Duration::from_secs(1)).await;
    ///     output.push("hello");
    /// }
    ///
    /// let mut output = vec![];
    /// let mut runner = Runner::with(EventLoop::builder().clock(Clock::Virtual));
    /// runner.run(say_hello(&mut output))?;
    /// assert_eq!(output, ["hello"]);
    /// assert_eq!(runner.get_loop()?.time(), Duration::from_secs(1));
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn run<F: IntoFuture>(&mut self, coroutine: F) -> Result<F::Output, RunError> {
        self.run_as(None, Location::caller(), coroutine)
    }

    /// The same with a name for its task, on behalf of whoever is at `site`.
    #[track_caller]
    pub(crate) fn run_as<F: IntoFuture>(
        &mut self,
        name: Option<Rc<str>>,
        site: &'static Location<'static>,
        coroutine: F,
    ) -> Result<F::Output, RunError> {
        let lp = self.event_loop()?.lp.clone();
        let _running = lp.start_run(site)?;
        let coroutine = pin!(Some(coroutine.into_future()));
        let mut main = Main {
            coroutine,
            result: None,
        };
        let task = TaskCell::<_, Plain>::spawn(&lp, MainProxy, name, site, Start::Queued);
        let any: AnyRef = task.clone();
        if let Err(early) = lp.run_until_done(&any, &mut main) {
            // The coroutine cannot outlive this call.
            task.end_now(&lp, CancelledError::at(None, site), &mut main);
            return Err(early);
        }
        match task.shared().take_result() {
            Ok(()) => Ok(main.result.take().expect("it is complete")),
            Err(ResultError::Cancelled(why)) => {
                // It may have returned nevertheless, after cancelling itself.
                lp.drop_user(main.result.take());
                Err(RunError::Cancelled(why))
            }
            Err(ResultError::Panicked(panic)) => panic.resume(),
            Err(ResultError::Taken | ResultError::NotReady) => {
                unreachable!("it is done, and nobody else can take its result")
            }
        }
    }

    /// Runs a turn of its loop, for a test that lets what is ready run on.
    #[track_caller]
    pub(crate) fn run_once(&mut self) -> Result<Turn, RunError> {
        self.event_loop()?.run_once(Some(Duration::ZERO))
    }

    /// Cancels every task that is left, waits for them, and closes the loop. A second call does
    /// nothing.
    ///
    /// Tasks that are not done in time, and failures while they clean up, are reported to the exception
    /// handler. While another loop runs on this thread there is no waiting: the loop is closed, and
    /// what is pending is dropped.
    ///
    /// *From asyncio:* `Runner.close()`. Differences: those of [`run`](crate::run).
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Runner, RunError};
    ///
    /// let mut runner = Runner::new();
    /// let background = runner.run(async { callsoon::create_task(std::future::pending::<()>()) })?;
    /// runner.close();
    /// assert!(background.cancelled());
    /// assert!(matches!(runner.run(async {}), Err(RunError::Closed)));
    /// # Ok::<(), RunError>(())
    /// ```
    pub fn close(&mut self) {
        self.closed = true;
        if let Some(event_loop) = self.event_loop.take() {
            shut_down(&event_loop, self.shutdown_timeout);
        }
    }
}

/// Cancels tasks, those too that others make while they clean up, until none is left or time is
/// over; closes the loop.
fn shut_down(event_loop: &EventLoop, timeout: Duration) {
    let lp = &event_loop.lp;
    if let Ok(_running) = lp.start_run(Location::caller()) {
        // On the loop's clock; and on the real one, for a virtual clock stands still while tasks that
        // refuse to end keep the loop busy.
        let (begin, longest) = (Instant::now(), timeout.max(SHUTDOWN_TIMEOUT));
        let expired = Rc::new(Cell::new(false));
        let expire = expired.clone();
        let timer = event_loop.call_later(timeout, move || expire.set(true));
        let mut newest = 0;
        let mut main = NoMain;
        let mut stepper = Stepper::new(lp, &mut main);
        loop {
            if lp.tasks.borrow().is_empty() {
                break;
            }
            let latest = lp.tasks.borrow().newest();
            if latest > newest {
                let tasks = event_loop.all_tasks().into_iter();
                for task in tasks.filter(|task| task.id() > newest) {
                    task.cancel();
                }
                newest = latest;
            }
            let idle = lp.single_turn(Patience::Unlimited, &mut stepper).idle;
            if idle || expired.get() || begin.elapsed() > longest {
                report_survivors(event_loop);
                break;
            }
        }
        drop(stepper);
        timer.cancel();
    }
    shut_down_executor(event_loop);
    event_loop.close();
}

/// Waits for the default executor's jobs, unless another loop runs on this thread.
fn shut_down_executor(event_loop: &EventLoop) {
    if !event_loop.lp.threads.has_executor() {
        return;
    }
    let shutdown = event_loop.shutdown_default_executor(Some(EXECUTOR_TIMEOUT));
    if let Ok(Err(late)) = event_loop.run_until_complete(shutdown) {
        event_loop.call_exception_handler(&ExceptionContext::new(format!(
            "jobs of the default executor are not done: {late}"
        )));
    }
}

fn report_survivors(event_loop: &EventLoop) {
    let tasks = event_loop.all_tasks();
    let names: Vec<_> = tasks
        .iter()
        .map(|task| format!("'{}'", task.name()))
        .collect();
    if !names.is_empty() {
        let names = names.join(", ");
        event_loop.call_exception_handler(&ExceptionContext::new(format!(
            "tasks are not done although the runner cancelled them: {names}"
        )));
    }
}

/// A coroutine on the stack of `Runner::run`, and its result.
struct Main<'a, F: Future> {
    coroutine: Pin<&'a mut Option<F>>,
    result: Option<F::Output>,
}

impl<F: Future> MainCoroutine for Main<'_, F> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let coroutine = self.coroutine.as_mut().as_pin_mut();
        let polled = coroutine.expect("polled until it is done").poll(cx);
        polled.map(|result| self.result = Some(result))
    }

    fn drop_now(&mut self) {
        self.coroutine.set(None);
    }
}

impl Default for Runner {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("event_loop", &self.event_loop)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}
