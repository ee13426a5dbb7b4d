//! The errors, one type for each failure.
//!
//! A value that was refused travels back inside its error, and no error asks anything of `T`.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;

use log::Level;

use crate::cancellation::CancelledError;
use crate::event_loop::DeadlockReport;
use crate::reports::report;
use crate::sync::Mutex;

/// Why a future has no result to give.
///
/// *From asyncio:* the `InvalidStateError` and `CancelledError` that `Future.result()` raises, as one
/// enum to match on. `Panicked` and `Taken` have no counterpart.
///
/// # Examples
///
/// ```
/// use callsoon::{EventLoop, ResultError};
///
/// let event_loop = EventLoop::new();
/// let future = event_loop.create_future::<u32>();
/// let answer = match future.result() {
///     Ok(value) => value.to_string(),
///     Err(ResultError::NotReady) => "ask again later".to_owned(),
///     Err(gone) => gone.to_string(),
/// };
/// assert_eq!(answer, "ask again later");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ResultError {
    /// It is still pending.
    NotReady,
    /// It was cancelled.
    Cancelled(CancelledError),
    /// The task panicked.
    Panicked(PanicError),
    /// The result was moved out before, by `take_result()` or by a moving await.
    Taken,
}

impl fmt::Display for ResultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReady => f.write_str("result is not ready"),
            Self::Cancelled(cancelled) => cancelled.fmt(f),
            Self::Panicked(panic) => panic.fmt(f),
            Self::Taken => f.write_str("result was taken already"),
        }
    }
}

impl std::error::Error for ResultError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Cancelled(cancelled) => Some(cancelled),
            Self::Panicked(panic) => Some(panic),
            Self::NotReady | Self::Taken => None,
        }
    }
}

/// A result was offered to a future that accepts none; the value comes back in the error.
///
/// *From asyncio:* `InvalidStateError`, or the `RuntimeError` of `Task.set_result`.
///
/// # Examples
///
/// ```
/// use callsoon::EventLoop;
///
/// let event_loop = EventLoop::new();
/// let future = event_loop.create_future();
/// future.cancel();
/// let refused = future.set_result("late").unwrap_err();
/// let site = future.created_at();
/// assert_eq!(refused.to_string(), format!("future created at {site} is cancelled"));
/// assert_eq!(refused.into_value(), "late");
/// ```
pub struct InvalidStateError<T> {
    value: T,
    reason: Refused,
    /// Where the future was created; a concurrent one does not know.
    created_at: Option<&'static Location<'static>>,
}

/// Why a result was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Done,
    Cancelled,
    Task,
}

impl<T> InvalidStateError<T> {
    pub(crate) fn new(
        value: T,
        reason: Refused,
        created_at: Option<&'static Location<'static>>,
    ) -> Self {
        Self {
            value,
            reason,
            created_at,
        }
    }

    /// Gives back the value that was refused.
    ///
    /// *From asyncio:* nothing; there the caller still has the value.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::EventLoop;
    ///
    /// struct Connection(u32); // precious, and not `Clone`
    ///
    /// let event_loop = EventLoop::new();
    /// let waiting = event_loop.create_future();
    /// waiting.cancel(); // whoever asked for it has gone
    /// let Err(refused) = waiting.set_result(Connection(7)) else { unreachable!() };
    /// let back_to_the_pool = refused.into_value();
    /// assert_eq!(back_to_the_pool.0, 7);
    /// ```
    pub fn into_value(self) -> T {
        self.value
    }

    /// Looks at the value that was refused.
    ///
    /// *From asyncio:* nothing; there the caller still has the value.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let future = event_loop.create_future();
    /// future.set_result("first")?;
    /// let refused = future.set_result("second").unwrap_err();
    /// assert!(refused.to_string().ends_with("has a result already"));
    /// assert_eq!(refused.value(), &"second");
    /// # Ok::<(), callsoon::InvalidStateError<&str>>(())
    /// ```
    pub fn value(&self) -> &T {
        &self.value
    }

    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> InvalidStateError<U> {
        InvalidStateError {
            value: f(self.value),
            reason: self.reason,
            created_at: self.created_at,
        }
    }
}

impl<T> fmt::Debug for InvalidStateError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("InvalidStateError");
        fields.field("reason", &self.reason);
        if let Some(site) = self.created_at {
            fields.field("created_at", &format_args!("{site}"));
        }
        fields.finish()
    }
}

impl<T> fmt::Display for InvalidStateError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, why) = match self.reason {
            Refused::Done => ("future", "has a result already"),
            Refused::Cancelled => ("future", "is cancelled"),
            Refused::Task => ("task", "gets its result from its coroutine alone"),
        };
        match self.created_at {
            Some(site) => write!(f, "{what} created at {site} {why}"),
            None => write!(f, "{what} {why}"),
        }
    }
}

impl<T> std::error::Error for InvalidStateError<T> {}

/// A panic of user code, kept as a value. It may cross threads.
///
/// *From asyncio:* an arbitrary exception that ended a task or a callback.
///
/// # Examples
///
/// ```
/// use callsoon::{EventLoop, ResultError};
///
/// async fn broken() -> u32 {
///     panic!("no such table")
/// }
///
/// let event_loop = EventLoop::new();
/// let task = event_loop.create_task(broken());
/// event_loop.run_once(None)?; // the loop goes on
/// let Err(ResultError::Panicked(panic)) = task.result() else { unreachable!() };
/// assert!(panic.to_string().ends_with("panicked: no such table"));
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[derive(Clone)]
pub struct PanicError(Arc<PanicDetails>);

struct PanicDetails {
    message: String,
    /// What panicked: `task 'Task-3'`, `callback`.
    what: String,
    created_at: &'static Location<'static>,
    /// Locked only to move it in or out.
    payload: Mutex<Option<Box<dyn Any + Send>>>,
}

/// A payload may panic as it is dropped. That would come out wherever the last clone goes, which may
/// be the loop itself, and what it throws may be such a payload again: it is the end of the line.
impl Drop for PanicDetails {
    fn drop(&mut self) {
        let payload = self.payload.lock().take();
        if let Err(thrown) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(thrown);
        }
    }
}

impl PanicError {
    pub(crate) fn new(
        payload: Box<dyn Any + Send>,
        what: String,
        created_at: &'static Location<'static>,
    ) -> Self {
        let message = match payload.downcast_ref::<&'static str>() {
            Some(text) => (*text).to_owned(),
            None => match payload.downcast_ref::<String>() {
                Some(text) => text.clone(),
                None => "(a payload that is no text)".to_owned(),
            },
        };
        Self(Arc::new(PanicDetails {
            message,
            what,
            created_at,
            payload: Mutex::new(Some(payload)),
        }))
    }

    /// Calls something of a user's for which no loop is there to answer; what it is was created at `site`,
    /// if that is known. A panic is reported as an error, and no more.
    pub(crate) fn logged<R>(
        what: &str,
        site: Option<&'static Location<'static>>,
        user_code: impl FnOnce() -> R,
    ) -> Option<R> {
        let tell = |payload| {
            // It may panic as it is dropped.
            let panic = Self::new(payload, what.to_owned(), site.unwrap_or(Location::caller()));
            let tell = || match site {
                Some(_) => report(Level::Error, format_args!("{panic}")),
                None => {
                    let message = panic.message();
                    report(Level::Error, format_args!("panic in {what}: {message}"))
                }
            };
            // A logger that panics as well has had its chance.
            let _ = catch_unwind(AssertUnwindSafe(tell));
        };
        catch_unwind(AssertUnwindSafe(user_code)).map_err(tell).ok()
    }

    /// Gives what the panic said; if its payload is no text, a remark that says so.
    ///
    /// *From asyncio:* `str(exception)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{cell::RefCell, rc::Rc};
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let log = Rc::new(RefCell::new(String::new()));
    /// let heard = log.clone();
    /// event_loop.set_exception_handler(move |_, context| {
    ///     *heard.borrow_mut() = context.panic().map_or("", |panic| panic.message()).to_owned();
    /// });
    /// event_loop.call_soon(|| panic!("no such {}", "table"));
    /// event_loop.run_once(None)?;
    /// assert_eq!(*log.borrow(), "no such table");
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Gives the place where the task or callback that panicked was created.
    ///
    /// *From asyncio:* nothing; a traceback ends at the loop.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, ResultError};
    ///
    /// let event_loop = EventLoop::new();
    /// let task = event_loop.create_task(async { assert!(2 + 2 == 5) });
    /// event_loop.run_once(None)?;
    /// let Err(ResultError::Panicked(panic)) = task.result() else { unreachable!() };
    /// assert_eq!(panic.created_at(), task.created_at());
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn created_at(&self) -> &'static Location<'static> {
        self.0.created_at
    }

    /// Moves the payload out, for `std::panic::resume_unwind` or to downcast it; there is one for all
    /// clones, and `None` once it is gone.
    ///
    /// *From asyncio:* the exception object itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, ResultError};
    ///
    /// struct ErrorCode(i32);
    ///
    /// fn fails(code: i32) {
    ///     std::panic::panic_any(ErrorCode(code))
    /// }
    ///
    /// let event_loop = EventLoop::new();
    /// let task = event_loop.create_task(async { fails(2) });
    /// event_loop.run_once(None)?;
    /// let Err(ResultError::Panicked(panic)) = task.result() else { unreachable!() };
    /// let payload = panic.take_payload().and_then(|payload| payload.downcast::<ErrorCode>().ok());
    /// assert_eq!(payload.map(|code| code.0), Some(2));
    /// assert!(panic.take_payload().is_none());
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn take_payload(&self) -> Option<Box<dyn Any + Send>> {
        self.0.payload.lock().take()
    }

    /// Goes on with the panic: with its payload the first time, with its message later.
    pub(crate) fn resume(&self) -> ! {
        match self.take_payload() {
            Some(payload) => std::panic::resume_unwind(payload),
            None => panic!("{self}"),
        }
    }
}

impl fmt::Debug for PanicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PanicError")
            .field("what", &self.0.what)
            .field("message", &self.0.message)
            .field("created_at", &format_args!("{}", self.0.created_at))
            .finish()
    }
}

impl fmt::Display for PanicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PanicDetails {
            message,
            what,
            created_at,
            ..
        } = &*self.0;
        write!(f, "{what} (created at {created_at}) panicked: {message}")
    }
}

impl std::error::Error for PanicError {}

/// Why a run of the loop gave no result.
///
/// *From asyncio:* the `RuntimeError`s of `run_until_complete()` and `run_forever()`, and the
/// `CancelledError` that comes out of the former. `Deadlock` and `Taken` have no counterpart.
///
/// # Examples
///
/// ```
/// use callsoon::{Clock, EventLoop, RunError};
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let future = event_loop.create_future::<u32>();
/// let error = event_loop.run_until_complete(&future).unwrap_err();
/// assert!(matches!(error, RunError::Deadlock(_))); // nobody will ever complete it
///
/// future.cancel();
/// let error = event_loop.run_until_complete(&future).unwrap_err();
/// assert!(matches!(error, RunError::Cancelled(_)));
/// ```
///
/// What `unwrap()` prints of a deadlock is the report, as it is meant to be read:
///
/// ```
/// use callsoon::{Clock, EventLoop};
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let task = event_loop.task(std::future::pending::<()>()).name("waiter").spawn();
/// let error = event_loop.run_until_complete(task).unwrap_err();
/// assert_eq!(format!("{error:?}"), error.to_string());
/// assert!(error.to_string().contains("and 1 task waits\n  'waiter' created at "));
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum RunError {
    /// What was run ended cancelled.
    Cancelled(CancelledError),
    /// `stop()` was called before it was done; it stays pending.
    ///
    /// *From asyncio:* `RuntimeError: Event loop stopped before Future completed.`
    Stopped,
    /// On a virtual clock: nothing is left that could ever happen, and it is not done.
    Deadlock(DeadlockReport),
    /// A loop runs on this thread already; it is left untouched. The location is where that outer
    /// run was started.
    AlreadyRunning(&'static Location<'static>),
    /// The loop is closed.
    Closed,
    /// The result had been taken before the run.
    Taken,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(cancelled) => cancelled.fmt(f),
            Self::Stopped => f.write_str("event loop stopped before the future completed"),
            Self::Deadlock(report) => report.fmt(f),
            Self::AlreadyRunning(site) => write!(
                f,
                "a loop inside a loop: this thread runs an event loop already, started at {site}"
            ),
            Self::Closed => f.write_str("event loop is closed"),
            Self::Taken => ResultError::Taken.fmt(f),
        }
    }
}

impl fmt::Debug for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(cancelled) => f.debug_tuple("Cancelled").field(cancelled).finish(),
            Self::Stopped => f.write_str("Stopped"),
            // It prints itself for a reader, and needs no more around that.
            Self::Deadlock(report) if !f.alternate() => report.fmt(f),
            Self::Deadlock(report) => f.debug_tuple("Deadlock").field(report).finish(),
            Self::AlreadyRunning(site) => write!(f, "AlreadyRunning({site})"),
            Self::Closed => f.write_str("Closed"),
            Self::Taken => f.write_str("Taken"),
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Cancelled(cancelled) => Some(cancelled),
            _ => None,
        }
    }
}

/// Something was posted to a loop that is closed; what was posted comes back in the error.
///
/// *From asyncio:* `RuntimeError: Event loop is closed`.
///
/// # Examples
///
/// ```
/// use callsoon::EventLoop;
///
/// let event_loop = EventLoop::new();
/// let remote = event_loop.remote();
/// event_loop.close();
/// let refused = remote.call_soon_threadsafe(|| ()).unwrap_err();
/// assert_eq!(refused.to_string(), "event loop is closed");
/// ```
pub struct LoopClosedError<F>(pub(crate) F);

impl<F> LoopClosedError<F> {
    /// Gives back what was posted.
    ///
    /// *From asyncio:* nothing; there the caller still has the callback.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let remote = event_loop.remote();
    /// event_loop.close();
    /// let last_words = String::from("good bye");
    /// if let Err(refused) = remote.call_soon_threadsafe(move || drop(last_words)) {
    ///     let clean_up = refused.into_inner();
    ///     clean_up(); // here, as the loop will not
    /// }
    /// ```
    pub fn into_inner(self) -> F {
        self.0
    }
}

impl<F> fmt::Debug for LoopClosedError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoopClosedError")
    }
}

impl<F> fmt::Display for LoopClosedError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("event loop is closed")
    }
}

impl<F> std::error::Error for LoopClosedError<F> {}

/// No event loop runs on this thread.
///
/// *From asyncio:* `RuntimeError: no running event loop`.
///
/// # Examples
///
/// ```
/// use callsoon::{NoRunningLoopError, try_get_running_loop};
///
/// assert_eq!(try_get_running_loop(), Err(NoRunningLoopError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRunningLoopError;

impl fmt::Display for NoRunningLoopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no running event loop on this thread: call this from a callback or a coroutine, or use a LoopHandle")
    }
}

impl std::error::Error for NoRunningLoopError {}

/// Says that the time for something was over before it was done.
///
/// *From asyncio:* `TimeoutError`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop, TimeoutError, timeout};
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let never = std::future::pending::<()>();
/// let result = event_loop.run_until_complete(timeout(Duration::from_secs(1), never))?;
/// assert_eq!(result, Err(TimeoutError));
/// assert_eq!(TimeoutError.to_string(), "the time is over");
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeoutError;

impl fmt::Display for TimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time is over")
    }
}

impl std::error::Error for TimeoutError {}
