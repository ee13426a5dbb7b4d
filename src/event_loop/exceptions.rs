//! What happens to a panic in a callback, and to an error nobody looked at.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;

use super::LoopHandle;
use super::state::LoopState;
use crate::errors::PanicError;
use crate::tasks::TaskHandle;

/// A function that is told what went wrong on a loop.
pub type ExceptionHandler = Rc<dyn Fn(&LoopHandle, &ExceptionContext)>;

/// What went wrong, for an exception handler.
///
/// *From asyncio:* the `context` dictionary: `message`, `exception`, `task`, and `source_traceback`
/// as [`created_at`](Self::created_at).
///
/// # Examples
///
/// ```
/// use std::{cell::RefCell, rc::Rc};
/// use callsoon::EventLoop;
///
/// let event_loop = EventLoop::new();
/// let seen = Rc::new(RefCell::new(Vec::new()));
/// let log = seen.clone();
/// event_loop.set_exception_handler(move |_, context| {
///     let panic = context.panic().expect("a callback panicked");
///     log.borrow_mut().push(panic.message().to_owned());
/// });
///
/// let handle = event_loop.handle();
/// event_loop.call_soon(|| panic!("boom"));
/// event_loop.call_soon(move || handle.stop());
/// event_loop.run_forever(); // goes on after the panic
/// assert_eq!(*seen.borrow(), ["boom"]);
/// ```
pub struct ExceptionContext {
    message: Cow<'static, str>,
    exception: Option<Exception>,
    task: Option<TaskHandle>,
    created_at: Option<&'static Location<'static>>,
}

enum Exception {
    Panic(PanicError),
    /// The error, and how to print it.
    Error(Box<dyn ErrorValue>),
}

/// Any `E: Debug`, for [`ExceptionContext::error`].
pub(crate) trait ErrorValue: fmt::Debug {
    fn as_any(&self) -> &dyn Any;
}

impl<E: fmt::Debug + 'static> ErrorValue for E {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl ExceptionContext {
    /// Makes a context with a message, for
    /// [`call_exception_handler`](LoopHandle::call_exception_handler).
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            message: message.into(),
            exception: None,
            task: None,
            created_at: None,
        }
    }

    /// Adds an error.
    #[must_use = "it gives the context back"]
    pub fn with_error<E: fmt::Debug + 'static>(mut self, error: E) -> Self {
        self.exception = Some(Exception::Error(Box::new(error)));
        self
    }

    pub(crate) fn with_panic(mut self, panic: PanicError) -> Self {
        self.exception = Some(Exception::Panic(panic));
        self
    }

    /// Adds the task concerned.
    #[must_use = "it gives the context back"]
    pub fn with_task(mut self, task: TaskHandle) -> Self {
        self.created_at = Some(task.created_at());
        self.task = Some(task);
        self
    }

    pub(crate) fn with_site(mut self, site: &'static Location<'static>) -> Self {
        self.created_at = Some(site);
        self
    }

    /// What happened, in a sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The panic, if it was one.
    pub fn panic(&self) -> Option<&PanicError> {
        match &self.exception {
            Some(Exception::Panic(panic)) => Some(panic),
            _ => None,
        }
    }

    /// The error, if it was one of type `E`.
    pub fn error<E: 'static>(&self) -> Option<&E> {
        match &self.exception {
            Some(Exception::Error(error)) => (**error).as_any().downcast_ref(),
            _ => None,
        }
    }

    /// The task concerned, if one is.
    pub fn task(&self) -> Option<&TaskHandle> {
        self.task.as_ref()
    }

    /// Where the task, future or callback concerned was created.
    pub fn created_at(&self) -> Option<&'static Location<'static>> {
        self.created_at
    }
}

impl fmt::Display for ExceptionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.exception {
            Some(Exception::Panic(panic)) => write!(f, ": {panic}")?,
            Some(Exception::Error(error)) => write!(f, ": {error:?}")?,
            None => {}
        }
        if let Some(task) = &self.task {
            write!(f, "; {task:?}")?;
        } else if let Some(site) = self.created_at {
            write!(f, "; created at {site}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ExceptionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<ExceptionContext {self}>")
    }
}

impl LoopState {
    /// Hands `context` to the loop's handler. Never panics: a handler that does is reported to the
    /// default handler.
    pub(crate) fn report(self: &Rc<Self>, context: &ExceptionContext) {
        let Some(handler) = self.exception_handler() else {
            return default_report(context);
        };
        let handle = LoopHandle { lp: self.clone() };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| handler(&handle, context))) {
            let panic = PanicError::new(payload, "exception handler".to_owned(), self.site);
            default_report(
                &ExceptionContext::new("panic in the exception handler").with_panic(panic),
            );
            default_report(context);
        }
        // The handler may have been replaced meanwhile, and its drop is user code.
        self.guard("exception handler", self.site, move || drop(handler));
    }

    /// Calls user code that must not unwind into the loop; reports what it throws.
    pub(crate) fn guard(
        self: &Rc<Self>,
        what: &'static str,
        site: &'static Location<'static>,
        user_code: impl FnOnce(),
    ) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(user_code)) {
            let panic = PanicError::new(payload, what.to_owned(), site);
            self.report(
                &ExceptionContext::new(format!("panic in {what}"))
                    .with_panic(panic)
                    .with_site(site),
            );
        }
    }
}

/// What is done with a context when no handler is set: an `error` record for the `log` crate.
///
/// Never panics: printing the error is user code, and so is the logger.
pub(super) fn default_report(context: &ExceptionContext) {
    let report = || log::error!(target: "callsoon", "{context}");
    if catch_unwind(AssertUnwindSafe(report)).is_err() {
        let message = context.message();
        let report = || log::error!(target: "callsoon", "{message}; reporting it panicked");
        // A logger that panics even now has had its chance.
        let _ = catch_unwind(AssertUnwindSafe(report));
    }
}
