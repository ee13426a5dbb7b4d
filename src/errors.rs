//! The errors, one type for each failure.
//!
//! A value that was refused travels back inside its error, and no error asks anything of `T`.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;

use crate::cancellation::CancelledError;
use crate::event_loop::DeadlockReport;

/// Why a future has no result to give.
///
/// *From asyncio:* `InvalidStateError` (pending) and `CancelledError`, as one enum to match on.
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
pub struct InvalidStateError<T> {
    value: T,
    reason: Refused,
}

/// Why a result was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Done,
    Cancelled,
    Task,
}

impl<T> InvalidStateError<T> {
    pub(crate) fn new(value: T, reason: Refused) -> Self {
        Self { value, reason }
    }

    /// Gives back the value that was refused.
    pub fn into_value(self) -> T {
        self.value
    }

    /// Looks at the value that was refused.
    pub fn value(&self) -> &T {
        &self.value
    }

    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> InvalidStateError<U> {
        InvalidStateError {
            value: f(self.value),
            reason: self.reason,
        }
    }
}

impl<T> fmt::Debug for InvalidStateError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InvalidStateError")
            .field(&self.reason)
            .finish()
    }
}

impl<T> fmt::Display for InvalidStateError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reason {
            Refused::Done => "future has a result already",
            Refused::Cancelled => "future is cancelled",
            Refused::Task => "the result of a task is set by its coroutine alone",
        })
    }
}

impl<T> std::error::Error for InvalidStateError<T> {}

/// A panic of user code, kept as a value.
///
/// *From asyncio:* an arbitrary exception that ended a task or a callback.
#[derive(Clone)]
pub struct PanicError(Rc<PanicDetails>);

struct PanicDetails {
    message: String,
    /// What panicked: `task 'Task-3'`, `callback`.
    what: String,
    created_at: &'static Location<'static>,
    payload: RefCell<Option<Box<dyn Any + Send>>>,
}

/// A payload may panic as it is dropped. That would come out wherever the last clone goes, which may
/// be the loop itself, and what it throws may be such a payload again: it is the end of the line.
impl Drop for PanicDetails {
    fn drop(&mut self) {
        let payload = self.payload.take();
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
        Self(Rc::new(PanicDetails {
            message,
            what,
            created_at,
            payload: RefCell::new(Some(payload)),
        }))
    }

    /// What the panic said, if it said it in text.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where the task or callback that panicked was created.
    pub fn created_at(&self) -> &'static Location<'static> {
        self.0.created_at
    }

    /// Moves the payload out, for `std::panic::resume_unwind`; there is one for all clones.
    pub fn take_payload(&self) -> Option<Box<dyn Any + Send>> {
        self.0.payload.borrow_mut().take()
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
#[derive(Clone, Debug)]
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
pub struct LoopClosedError<F>(pub(crate) F);

impl<F> LoopClosedError<F> {
    /// Gives back what was posted.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRunningLoopError;

impl fmt::Display for NoRunningLoopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no running event loop on this thread: call this from a callback or a coroutine, or use a LoopHandle")
    }
}

impl std::error::Error for NoRunningLoopError {}
