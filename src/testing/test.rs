//! [`Test`]: how the body of a test is run.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use log::Level;

use super::exploration::Exploration;
use super::failure::{Failure, FailureKind};
use super::limit::TurnLimit;
use crate::errors::{PanicError, RunError};
use crate::event_loop::{Clock, EventLoop, LoopHandle, Observer, Order};
use crate::reports::report;
use crate::runners::Runner;

/// So many turns are a livelock, unless a test says otherwise. They take about a second.
const TURN_LIMIT: u64 = 1_000_000;

/// The name of the task that runs the body.
const BODY: &str = "test body";

/// How the body of a test is run.
///
/// *From asyncio:* the settings of an `unittest.IsolatedAsyncioTestCase`, in its `loop_factory`.
///
/// # Examples
///
/// ```
/// use callsoon::testing::{Order, Test};
/// use callsoon::{create_task, yield_now};
///
/// let test = Test::new().order(Order::Shuffled { seed: 7 }).allow_leftover_tasks();
/// let answer = test.run(async {
///     create_task(std::future::pending::<()>()); // a background job
///     yield_now().await;
///     42
/// });
/// assert_eq!(answer, 42);
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it runs something"]
pub struct Test {
    order: Order,
    turn_limit: u64,
    leftover_tasks: bool,
    reports: bool,
}

impl Test {
    /// Makes the usual settings: first in, first out; tasks that are left over and failures that nobody
    /// looked at are not allowed; a million turns are too many.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`Test`].
    pub fn new() -> Self {
        Self {
            order: Order::Fifo,
            turn_limit: TURN_LIMIT,
            leftover_tasks: false,
            reports: false,
        }
    }

    /// Sets in which order a turn runs what is ready.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`Test`].
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Sets how many turns a run may take; a million unless set otherwise.
    ///
    /// Who polls for something that never comes, without ever waiting, would run for ever.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::testing::{FailureKind, Test};
    /// use callsoon::{task, yield_now};
    ///
    /// let failure = Test::new().turn_limit(1000).try_run(async {
    ///     let polls_for_ever = async {
    ///         loop {
    ///             yield_now().await;
    ///         }
    ///     };
    ///     task(polls_for_ever).name("poller").spawn();
    ///     std::future::pending::<()>().await;
    /// });
    /// let failure = failure.unwrap_err();
    /// let FailureKind::Livelock(livelock) = failure.kind() else { unreachable!() };
    /// assert!(livelock.ran()[0].starts_with("step of task 'poller' created at "));
    /// ```
    pub fn turn_limit(mut self, turns: u64) -> Self {
        self.turn_limit = turns;
        self
    }

    /// Allows the body to end while tasks are left. They are cancelled, and waited for.
    ///
    /// *From asyncio:* what `unittest.IsolatedAsyncioTestCase` does in any case.
    ///
    /// # Examples
    ///
    /// See [`Test`].
    pub fn allow_leftover_tasks(mut self) -> Self {
        self.leftover_tasks = true;
        self
    }

    /// Allows reports to the exception handler: panics of callbacks, of tasks that nobody looked at, and
    /// errors of `create_try_task` that nobody looked at. They are logged then, as ever.
    ///
    /// A body that sets a handler of its own has the reports from then on, in any case.
    ///
    /// *From asyncio:* what `unittest.IsolatedAsyncioTestCase` does in any case.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::call_soon;
    /// use callsoon::testing::{FailureKind, Test};
    ///
    /// async fn body() {
    ///     call_soon(|| panic!("oh"));
    ///     callsoon::yield_now().await;
    /// }
    ///
    /// let failure = Test::new().try_run(body()).unwrap_err();
    /// assert!(matches!(failure.kind(), FailureKind::Reported));
    /// assert!(failure.reports()[0].starts_with("panic in a callback: "));
    /// assert!(Test::new().allow_reports().try_run(body()).is_ok());
    /// ```
    pub fn allow_reports(mut self) -> Self {
        self.reports = true;
        self
    }

    /// Runs the body of a test on a fresh loop with virtual time, and gives its result.
    ///
    /// The body may borrow what outlives the call. When it is done, whatever is ready runs on, without
    /// the time moving: a task that is not done then is left over.
    ///
    /// *From asyncio:* what `unittest.IsolatedAsyncioTestCase` does with a coroutine.
    ///
    /// # Panics
    ///
    /// Goes on with a panic of the body, after [reports](Failure::reports) were logged. Panics with a report if the body fails otherwise; see
    /// [`Failure`]. Panics if a loop runs on this thread already.
    ///
    /// # Examples
    ///
    /// See [`run`](super::run).
    #[track_caller]
    pub fn run<F: IntoFuture>(&self, body: F) -> F::Output {
        match self.try_run(body) {
            Ok(result) => result,
            Err(failure) => match (failure.kind, self.order) {
                (FailureKind::Panicked(panic), _) => {
                    // They may be why, and the panic has no room for them.
                    for line in &failure.reports {
                        report(Level::Error, format_args!("{line}"));
                    }
                    // Its message has been printed, and `#[should_panic(expected = ..)]` knows it.
                    panic.resume()
                }
                (kind, order) => {
                    let reports = failure.reports;
                    let failure = Failure { kind, reports };
                    match order {
                        Order::Fifo => panic!("test failed: {failure}"),
                        Order::Shuffled { seed } => {
                            panic!("test failed under seed {seed}: {failure}")
                        }
                    }
                }
            },
        }
    }

    /// Runs the body of a test, and says how it failed if it did.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Errors
    ///
    /// * [`Failure`]: what was wrong with the body's end, or else that something was reported, or else
    ///   that tasks are left over.
    ///
    /// # Panics
    ///
    /// If a loop runs on this thread already.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::testing::{FailureKind, Test};
    /// use callsoon::{create_future, task};
    ///
    /// let result = Test::new().try_run(async {
    ///     let reply = create_future::<u32>();
    ///     task(async move { reply.await }).name("client").spawn().await
    /// });
    /// let failure = result.unwrap_err();
    /// assert!(matches!(failure.kind(), FailureKind::Deadlock(_)));
    /// println!("{failure}");
    /// assert!(failure.to_string().contains("'client' created at "));
    /// assert!(failure.to_string().contains(" waits for <Future pending created at "));
    /// ```
    #[track_caller]
    pub fn try_run<F: IntoFuture>(&self, body: F) -> Result<F::Output, Failure> {
        self.try_run_at(Location::caller(), body)
    }

    /// The same on behalf of whoever is at `site`.
    fn try_run_at<F: IntoFuture>(
        &self,
        site: &'static Location<'static>,
        body: F,
    ) -> Result<F::Output, Failure> {
        let mut scene = Scene::new(self, site);
        let result = scene.run(body);
        scene.end(result)
    }

    /// Runs the body of a test under each seed, in another order each time.
    ///
    /// If the variable `CALLSOON_SEED` is set in the environment, only that seed is tried.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Panics
    ///
    /// At the first seed that fails, with the seed, the failure, and how to replay it; and if there is no seed,
    /// for such a test would never fail.
    ///
    /// # Examples
    ///
    /// See [`explore`](super::explore).
    #[track_caller]
    pub fn explore<F>(&self, seeds: impl IntoIterator<Item = u64>, body: impl FnMut() -> F)
    where
        F: IntoFuture<Output = ()>,
    {
        let exploration = self.try_explore(seeds, body);
        if exploration.failed().is_some() {
            panic!("{exploration}");
        }
        assert!(exploration.passed() > 0, "there is no seed to explore");
    }

    /// Runs the body of a test under each seed, in another order each time, up to the first that fails.
    ///
    /// If the variable `CALLSOON_SEED` is set in the environment, only that seed is tried.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Panics
    ///
    /// If `CALLSOON_SEED` is no number, or if a loop runs on this thread already.
    ///
    /// # Examples
    ///
    /// See [`Exploration`].
    #[track_caller]
    pub fn try_explore<F>(
        &self,
        seeds: impl IntoIterator<Item = u64>,
        mut body: impl FnMut() -> F,
    ) -> Exploration
    where
        F: IntoFuture<Output = ()>,
    {
        let site = Location::caller();
        Exploration::of(seeds, |seed| {
            let test = self.clone().order(Order::Shuffled { seed });
            // Inside of a run, for what the body makes before it is awaited needs a loop.
            test.try_run_at(site, async { body().await })
        })
    }
}

impl Default for Test {
    fn default() -> Self {
        Self::new()
    }
}

/// One run.
struct Scene<'a> {
    test: &'a Test,
    runner: Runner,
    event_loop: LoopHandle,
    limit: Rc<TurnLimit>,
    reports: Rc<RefCell<Vec<String>>>,
    site: &'static Location<'static>,
}

impl<'a> Scene<'a> {
    fn new(test: &'a Test, site: &'static Location<'static>) -> Self {
        let settings = EventLoop::builder().clock(Clock::Virtual);
        let event_loop = settings.order(test.order).build_at(site);
        let (event_loop, runner) = (event_loop.handle(), Runner::of(event_loop));
        let limit = Rc::new(TurnLimit::new(test.turn_limit));
        let observer: Rc<dyn Observer> = limit.clone();
        event_loop.lp.attach(observer);
        let reports: Rc<RefCell<Vec<String>>> = Rc::default();
        if !test.reports {
            let reports = reports.clone();
            event_loop.set_exception_handler(move |_, context| {
                // Written first: a `Debug` of the user's may report in turn.
                let report = context.to_string();
                reports.borrow_mut().push(report);
            });
        }
        Self {
            test,
            runner,
            event_loop,
            limit,
            reports,
            site,
        }
    }

    /// Runs the body, and lets what is ready then run on.
    fn run<F: IntoFuture>(&mut self, body: F) -> Result<F::Output, FailureKind> {
        let run = AssertUnwindSafe(|| self.runner.run_as(Some(BODY.into()), self.site, body));
        let result = catch_unwind(run).map_err(|payload| {
            let panic = PanicError::new(payload, "test body".to_owned(), self.site);
            FailureKind::Panicked(panic)
        })?;
        let ended = result.map_err(|error| match error {
            RunError::Deadlock(report) => FailureKind::Deadlock(report),
            RunError::Cancelled(why) => FailureKind::Cancelled(why),
            RunError::Stopped => match self.limit.livelock() {
                Some(livelock) => FailureKind::Livelock(livelock),
                None => FailureKind::Stopped,
            },
            refused => panic!("test cannot run: {refused}"),
        })?;
        while self.event_loop.next_deadline() == Some(Duration::ZERO) {
            let turn = self.runner.run_once();
            if let Some(livelock) = self.limit.livelock() {
                return Err(FailureKind::Livelock(livelock));
            }
            turn.unwrap_or_else(|refused| panic!("test cannot run: {refused}"));
        }
        Ok(ended)
    }

    /// Cleans up, and looks at what has become of it all.
    fn end<T>(mut self, result: Result<T, FailureKind>) -> Result<T, Failure> {
        let left_over = self.event_loop.snapshot();
        // The clean-up may take its turns.
        let observer: Rc<dyn Observer> = self.limit.clone();
        self.event_loop.lp.detach(&observer);
        self.runner.close();
        let reports = self.reports.take();
        let is_clean = self.test.leftover_tasks || left_over.tasks().is_empty();
        let kind = match result {
            Err(kind) => kind,
            Ok(_) if !reports.is_empty() => FailureKind::Reported,
            Ok(_) if !is_clean => FailureKind::LeftOver(Box::new(left_over)),
            Ok(value) => return Ok(value),
        };
        Err(Failure { kind, reports })
    }
}
