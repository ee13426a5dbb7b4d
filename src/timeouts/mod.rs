//! [`timeout`], [`timeout_at`], [`Timeout`] and [`wait_for`]: work that has until a deadline.
//!
//! A timeout is a scope with an alarm. When the alarm goes off, what runs in the scope is asked to
//! stop, as by `cancel()`; the rest of the task is not. If that ends it, the timeout turns the
//! cancellation into a [`TimeoutError`], unless the task was asked to stop from outside as well:
//! then that goes on.

mod handle;
mod wait_for;

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::FusedFuture;
use pin_project_lite::pin_project;

pub use self::handle::{Timeout, TimeoutStateError};
pub use self::wait_for::wait_for;

use self::handle::{Deadline, When};
use crate::cancellation::{CancelledError, ScopeSlot};
use crate::errors::TimeoutError;
use crate::event_loop::current;

/// Runs `work`, and stops it if it takes longer than `delay`; `None` is for ever.
///
/// The time starts when it is first polled, so usually at the `.await`.
///
/// *From asyncio:* `async with asyncio.timeout(delay): ...`. Differences: the work is a future, which
/// may also be a block: `timeout(delay, async { ... })`; and expiry is a value that `?` passes on.
///
/// *Order:* it costs no turn. A delay of zero is delivered in the next turn, in the order of
/// [`call_soon`](crate::call_soon): work that does not suspend succeeds.
///
/// # Cancellation
///
/// On expiry `work` is cancelled, and may catch that and clean up: then the timeout lasts until it
/// is through. Work that declines and returns a result has succeeded. A cancellation from outside
/// that comes at the same time wins. Dropping it drops `work`.
///
/// # Errors
///
/// * If the time was over and `work` stopped for that.
///
/// # Panics
///
/// When polled outside a task of a running loop, or again after it was over. (It may go on in another
/// task than it began in.)
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop, TimeoutError, sleep, timeout};
///
/// async fn long_running_task() {
///     sleep(Duration::from_secs(3600)).await;
/// }
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let output = event_loop.run_until_complete(async {
///     let mut output = vec![];
///     if let Err(TimeoutError) = timeout(Duration::from_secs(10), long_running_task()).await {
///         output.push("it took too long, and that is dealt with");
///     }
///     output.push("this is printed in any case");
///     output
/// })?;
/// assert_eq!(
///     output,
///     ["it took too long, and that is dealt with", "this is printed in any case"]
/// );
/// assert_eq!(event_loop.time(), Duration::from_secs(10));
/// # Ok::<(), callsoon::RunError>(())
/// ```
pub fn timeout<F: IntoFuture>(delay: impl Into<Option<Duration>>, work: F) -> Timed<F::IntoFuture> {
    Timed::new(Limit::New(When::After(delay.into())), work)
}

/// Runs `work`, and stops it if it is not done when the loop's [`time`](crate::LoopHandle::time) is `when`;
/// `None` is never.
///
/// *From asyncio:* `async with asyncio.timeout_at(when): ...`. Differences: as for [`timeout`].
///
/// *Order:* as for [`timeout`]. A deadline in the past is like a delay of zero.
///
/// # Cancellation
///
/// As for [`timeout`].
///
/// # Errors
///
/// As for [`timeout`].
///
/// # Panics
///
/// As for [`timeout`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop, TimeoutError, get_running_loop, sleep, timeout_at};
///
/// async fn long_running_task() {
///     sleep(Duration::from_secs(3600)).await;
/// }
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let output = event_loop.run_until_complete(async {
///     let deadline = get_running_loop().time() + Duration::from_secs(20);
///     let mut output = vec![];
///     if let Err(TimeoutError) = timeout_at(deadline, long_running_task()).await {
///         output.push("it took too long, and that is dealt with");
///     }
///     output.push("this is printed in any case");
///     output
/// })?;
/// assert_eq!(
///     output,
///     ["it took too long, and that is dealt with", "this is printed in any case"]
/// );
/// assert_eq!(event_loop.time(), Duration::from_secs(20));
/// # Ok::<(), callsoon::RunError>(())
/// ```
///
/// Two steps share one deadline:
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop, get_running_loop, sleep, timeout_at};
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// event_loop.run_until_complete(async {
///     let deadline = get_running_loop().time() + Duration::from_secs(20);
///     let first = timeout_at(deadline, sleep(Duration::from_secs(15))).await;
///     let second = timeout_at(deadline, sleep(Duration::from_secs(15))).await;
///     assert!(first.is_ok() && second.is_err());
/// })?;
/// assert_eq!(event_loop.time(), Duration::from_secs(20));
/// # Ok::<(), callsoon::RunError>(())
/// ```
pub fn timeout_at<F: IntoFuture>(
    when: impl Into<Option<Duration>>,
    work: F,
) -> Timed<F::IntoFuture> {
    Timed::new(Limit::New(When::At(when.into())), work)
}

/// What limits the work.
enum Limit {
    /// A timeout of its own, that begins when the work does.
    New(When),
    /// A timeout that exists already.
    Of(Timeout),
}

pin_project! {
    /// The future of [`timeout`], [`timeout_at`] and [`Timeout::run`], for naming its type.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Cancellation
    ///
    /// As for [`timeout`].
    ///
    /// # Errors
    ///
    /// As for [`timeout`].
    ///
    /// # Panics
    ///
    /// As for [`timeout`], and if the [`Timeout`] was used before.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Timed, YieldNow, run, timeout, yield_now};
    ///
    /// fn brief() -> Timed<YieldNow> {
    ///     timeout(Duration::from_secs(1), yield_now())
    /// }
    ///
    /// assert!(run(async { brief().await }).is_ok());
    /// ```
    #[must_use = "nothing runs unless it is awaited"]
    pub struct Timed<F> {
        // Until it is over.
        #[pin]
        work: Option<F>,
        // Until the first poll.
        limit: Option<Limit>,
        site: &'static Location<'static>,
        running: Running,
    }
}

/// A timeout whose work is going on.
#[derive(Default)]
struct Running {
    /// None if there is no limit, or the work has not been suspended yet.
    timeout: Option<Timeout>,
    /// What the limit will be if the work does not end in its first step.
    deadline: Option<Deadline>,
    scope: ScopeSlot,
    /// How often the task and the scopes around were asked to stop before it began.
    requests_before: u32,
}

/// How the work under a timeout has ended.
enum End {
    InTime,
    Late,
    /// Somebody else has cancelled it.
    Cancelled(CancelledError),
}

impl Running {
    fn start(&mut self, limit: &mut Option<Limit>, site: &'static Location<'static>) {
        if !self.scope.open_in_task() {
            *limit = None;
            panic!("timeout created at {site} is awaited outside a task of a running loop");
        }
        self.requests_before = self.scope.outer_requests();
        if let Some(Limit::New(when)) = limit {
            self.deadline = (self.scope.event_loop()).and_then(|lp| when.deadline(lp));
            *limit = None;
            if self.deadline.is_some_and(|deadline| deadline.is_over) {
                self.set_alarm(site);
            }
        } else if let Some(Limit::Of(timeout)) = limit.take()
            && let Some(scope) = self.scope.scope()
        {
            timeout.enter(scope);
            self.timeout = Some(timeout);
        }
    }

    /// The work is suspended for the first time, or the time is over before it has begun.
    #[inline]
    fn set_alarm(&mut self, site: &'static Location<'static>) {
        if let Some(deadline) = self.deadline.take()
            && let Some(scope) = self.scope.scope()
        {
            self.timeout = Some(Timeout::under_way(deadline, scope, site));
        }
    }

    /// The work goes on, possibly in another task than before.
    fn follow(&mut self) {
        if let Some(timeout) = &self.timeout
            && !self.scope.is_here()
        {
            let Some(scope) = self.scope.open() else {
                timeout.panic_outside();
            };
            timeout.follow(scope);
            self.requests_before = self.scope.outer_requests();
        }
    }

    /// The work is over, by a cancellation if `why` says so.
    #[inline]
    fn end(&mut self, why: Option<CancelledError>) -> End {
        if self.timeout.is_none() && why.is_none() {
            self.scope.close();
            return End::InTime;
        }
        self.end_timeout(why)
    }

    fn end_timeout(&mut self, why: Option<CancelledError>) -> End {
        let expired = self.timeout.take().is_some_and(|timeout| timeout.leave());
        let mut requests = 0;
        if expired && let Some(scope) = self.scope.scope() {
            scope.take_back();
            requests = self.scope.outer_requests();
        }
        self.scope.close();
        match why {
            None => End::InTime,
            Some(_) if expired && requests <= self.requests_before => End::Late,
            Some(why) => End::Cancelled(why),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(timeout) = self.timeout.take() {
            timeout.leave();
        }
    }
}

impl<F> Timed<F> {
    #[track_caller]
    fn new<W: IntoFuture<IntoFuture = F>>(limit: Limit, work: W) -> Self {
        Self {
            work: Some(work.into_future()),
            limit: Some(limit),
            site: Location::caller(),
            running: Running::default(),
        }
    }
}

impl<F: Future> Future for Timed<F> {
    type Output = Result<F::Output, TimeoutError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.limit.is_some() && current::is_unwinding() {
            return current::pending_while_unwinding(cx);
        }
        if this.limit.is_some() {
            this.running.start(this.limit, this.site);
        } else {
            this.running.follow();
        }
        let polled = this.running.scope.poll(cx, |cx| {
            let work = this.work.as_mut().as_pin_mut();
            work.expect("timeout awaited again after it was over")
                .poll(cx)
        });
        let Poll::Ready(polled) = polled else {
            this.running.set_alarm(this.site);
            return Poll::Pending;
        };
        this.work.set(None);
        let (result, why) = match polled {
            Ok(result) => (Some(result), None),
            Err(why) => (None, Some(why)),
        };
        match (this.running.end(why), result) {
            (End::Cancelled(why), _) => {
                current::raise_here(&why);
                Poll::Pending
            }
            (_, Some(result)) => Poll::Ready(Ok(result)),
            (_, None) => Poll::Ready(Err(TimeoutError)),
        }
    }
}

impl<F: Future> FusedFuture for Timed<F> {
    fn is_terminated(&self) -> bool {
        self.work.is_none()
    }
}

impl<F> fmt::Debug for Timed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.running.timeout, &self.limit) {
            (Some(timeout), _) => write!(f, "<Timed by {timeout:?}>"),
            (None, Some(_)) => f.write_str("<Timed new>"),
            (None, None) if self.work.is_none() => f.write_str("<Timed done>"),
            (None, None) => f.write_str("<Timed active>"),
        }
    }
}
