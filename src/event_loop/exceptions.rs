//! What happens to a panic in a callback, and to an error nobody looked at.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;

use log::Level;

use super::LoopHandle;
use super::state::LoopState;
use crate::errors::PanicError;
use crate::reports::report;
use crate::tasks::TaskHandle;

/// A function that is told what went wrong on a loop.
///
/// *From asyncio:* the callable that `loop.get_exception_handler()` gives.
///
/// # Examples
///
/// A handler that passes on what it does not know to the one before:
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// use callsoon::{EventLoop, ExceptionContext, ExceptionHandler};
///
/// let event_loop = EventLoop::new();
/// let count = Rc::new(Cell::new(0));
/// let counter = count.clone();
/// event_loop.set_exception_handler(move |_, _| counter.set(counter.get() + 1));
///
/// let before: Option<ExceptionHandler> = event_loop.get_exception_handler();
/// event_loop.set_exception_handler(move |event_loop, context| match &before {
///     Some(before) if context.panic().is_none() => before(event_loop, context),
///     _ => event_loop.default_exception_handler(context),
/// });
/// event_loop.call_exception_handler(&ExceptionContext::new("low on memory"));
/// assert_eq!(count.get(), 1);
/// ```
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
    /// The name of a task that is gone.
    task_name: Option<String>,
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
    ///
    /// *From asyncio:* `{"message": message}`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc::channel;
    /// use callsoon::{EventLoop, ExceptionContext};
    ///
    /// let event_loop = EventLoop::new();
    /// let (send, heard) = channel();
    /// event_loop.set_exception_handler(move |_, context| {
    ///     let _ = send.send(context.to_string());
    /// });
    /// event_loop.call_exception_handler(&ExceptionContext::new("the cache is stale"));
    /// assert_eq!(heard.try_recv()?, "the cache is stale");
    /// # Ok::<(), std::sync::mpsc::TryRecvError>(())
    /// ```
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            message: message.into(),
            exception: None,
            task: None,
            task_name: None,
            created_at: None,
        }
    }

    /// Adds an error, in the place of one that was there.
    ///
    /// *From asyncio:* the key `exception`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::ExceptionContext;
    ///
    /// let error = "x".parse::<u32>().unwrap_err();
    /// let context = ExceptionContext::new("bad line").with_error(error.clone());
    /// assert_eq!(context.error::<std::num::ParseIntError>(), Some(&error));
    /// assert_eq!(context.to_string(), "bad line: ParseIntError { kind: InvalidDigit }");
    /// ```
    #[must_use = "it gives the context back"]
    pub fn with_error<E: fmt::Debug + 'static>(mut self, error: E) -> Self {
        self.exception = Some(Exception::Error(Box::new(error)));
        self
    }

    pub(crate) fn with_panic(mut self, panic: PanicError) -> Self {
        self.exception = Some(Exception::Panic(panic));
        self
    }

    /// Adds the task concerned, and with it where that was created.
    ///
    /// *From asyncio:* the key `task`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, ExceptionContext};
    ///
    /// let event_loop = EventLoop::new();
    /// let reader = event_loop.task(async {}).name("reader").spawn();
    /// let context = ExceptionContext::new("bad line").with_task(reader.handle());
    /// assert_eq!(context.task(), Some(&reader.handle()));
    /// assert_eq!(context.created_at(), Some(reader.created_at()));
    /// ```
    #[must_use = "it gives the context back"]
    pub fn with_task(mut self, task: TaskHandle) -> Self {
        self.created_at = Some(task.created_at());
        self.task = Some(task);
        self
    }

    /// Adds the name of a task that there is no handle of any more.
    pub(crate) fn with_task_name(mut self, name: String) -> Self {
        self.task_name = Some(name);
        self
    }

    pub(crate) fn with_site(mut self, site: &'static Location<'static>) -> Self {
        self.created_at = Some(site);
        self
    }

    /// Says what happened, in a sentence.
    ///
    /// *From asyncio:* `context["message"]`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc::channel;
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let (send, heard) = channel();
    /// event_loop.set_exception_handler(move |_, context| {
    ///     let _ = send.send(context.message().to_owned());
    /// });
    /// event_loop.create_task(std::future::pending::<()>());
    /// event_loop.close();
    /// assert_eq!(heard.try_recv()?, "task was destroyed but it is pending");
    /// # Ok::<(), std::sync::mpsc::TryRecvError>(())
    /// ```
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Gives the panic, if it was one.
    ///
    /// *From asyncio:* `context["exception"]`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc::channel;
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let (send, heard) = channel();
    /// event_loop.set_exception_handler(move |_, context| {
    ///     let _ = send.send(context.panic().map(|panic| panic.message().to_owned()));
    /// });
    /// event_loop.call_soon(|| panic!("boom"));
    /// event_loop.run_once(None)?;
    /// assert_eq!(heard.try_recv()?.as_deref(), Some("boom"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn panic(&self) -> Option<&PanicError> {
        match &self.exception {
            Some(Exception::Panic(panic)) => Some(panic),
            _ => None,
        }
    }

    /// Gives the error, if it was one of type `E`.
    ///
    /// *From asyncio:* `context["exception"]`, and `isinstance`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::ExceptionContext;
    ///
    /// let context = ExceptionContext::new("cannot save").with_error("disk full".to_owned());
    /// assert_eq!(context.error::<String>().map(String::as_str), Some("disk full"));
    /// assert!(context.error::<std::io::Error>().is_none());
    /// ```
    pub fn error<E: 'static>(&self) -> Option<&E> {
        match &self.exception {
            Some(Exception::Error(error)) => (**error).as_any().downcast_ref(),
            _ => None,
        }
    }

    /// Gives the task concerned, if one is.
    ///
    /// *From asyncio:* `context["task"]`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc::channel;
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let (send, heard) = channel();
    /// event_loop.set_exception_handler(move |_, context| {
    ///     let _ = send.send(context.task().map(|task| task.name()));
    /// });
    /// event_loop.task(std::future::pending::<()>()).name("idler").spawn();
    /// event_loop.close(); // reports it
    /// assert_eq!(heard.try_recv()?.as_deref(), Some("idler"));
    /// # Ok::<(), std::sync::mpsc::TryRecvError>(())
    /// ```
    pub fn task(&self) -> Option<&TaskHandle> {
        self.task.as_ref()
    }

    /// The name of the task concerned, also when the task itself is gone: an error that nobody
    /// looked at is reported when its task goes.
    ///
    /// *From asyncio:* `context['future'].get_name()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{cell::RefCell, rc::Rc};
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let failed = Rc::new(RefCell::new(Vec::new()));
    /// let names = failed.clone();
    /// event_loop.set_exception_handler(move |_, context| {
    ///     names.borrow_mut().extend(context.task_name());
    /// });
    /// drop(event_loop.task(async { Err::<(), _>("boom") }).name("reader").try_spawn());
    /// event_loop.run_once(None)?;
    /// assert_eq!(*failed.borrow(), ["reader"]);
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn task_name(&self) -> Option<String> {
        let named = self.task.as_ref().map(TaskHandle::name);
        named.or_else(|| self.task_name.clone())
    }

    /// Gives the place where the task, future or callback concerned was created, if that is known.
    ///
    /// *From asyncio:* `context["source_traceback"]`. Differences: it is there without debug mode.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc::channel;
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let (send, heard) = channel();
    /// event_loop.set_exception_handler(move |_, context| {
    ///     let _ = send.send(context.created_at());
    /// });
    /// let callback = event_loop.call_soon(|| panic!("boom"));
    /// event_loop.run_once(None)?;
    /// assert_eq!(heard.try_recv()?, Some(callback.created_at()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
        // A panic names its task by itself.
        if let Some(name) = &self.task_name
            && self.panic().is_none()
        {
            write!(f, "; task '{name}'")?;
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

impl LoopHandle {
    /// Sets who is told of panics in callbacks and of failures that nobody looked at.
    ///
    /// If `handler` panics, that and what it was told go to the default handler.
    ///
    /// *From asyncio:* `loop.set_exception_handler()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let (send, heard) = std::sync::mpsc::channel();
    /// event_loop.set_exception_handler(move |_, context| _ = send.send(context.to_string()));
    /// event_loop.call_exception_handler(&callsoon::ExceptionContext::new("low on memory"));
    /// assert_eq!(heard.try_recv().as_deref(), Ok("low on memory"));
    /// ```
    pub fn set_exception_handler(
        &self,
        handler: impl Fn(&LoopHandle, &ExceptionContext) + 'static,
    ) {
        self.lp.set_exception_handler(Some(Rc::new(handler)));
    }

    /// Goes back to the default handler.
    ///
    /// *From asyncio:* `loop.set_exception_handler(None)`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// event_loop.set_exception_handler(|_, _| unreachable!("it is cleared"));
    /// event_loop.clear_exception_handler();
    /// assert!(event_loop.get_exception_handler().is_none());
    /// ```
    pub fn clear_exception_handler(&self) {
        self.lp.set_exception_handler(None);
    }

    /// Gives the handler that was set, if one was.
    ///
    /// *From asyncio:* `loop.get_exception_handler()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// event_loop.set_exception_handler(|_, _| ());
    /// assert!(event_loop.get_exception_handler().is_some());
    /// ```
    pub fn get_exception_handler(&self) -> Option<ExceptionHandler> {
        self.lp.exception_handler()
    }

    /// Tells the handler, or the default handler if none is set.
    ///
    /// *From asyncio:* `loop.call_exception_handler()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let (send, heard) = std::sync::mpsc::channel();
    /// event_loop.set_exception_handler(move |_, context| _ = send.send(context.to_string()));
    /// event_loop.call_exception_handler(&callsoon::ExceptionContext::new("bad line"));
    /// assert_eq!(heard.try_recv().as_deref(), Ok("bad line"));
    /// ```
    pub fn call_exception_handler(&self, context: &ExceptionContext) {
        self.lp.report(context);
    }

    /// Does what is done when no handler is set: writes an error record to `log`, or a line to standard
    /// error if nobody listens there.
    ///
    /// Every report of the crate goes one of these ways, those that no handler is told of included: debug
    /// mode's warnings, a watchdog's. The record has the target `callsoon`; the line, the message alone. It is
    /// standard error if `log::max_level()` is `Off`, as it is until a logger was installed. To have it silent
    /// or elsewhere, set an exception handler, or install a logger that takes what you want.
    ///
    /// *From asyncio:* `loop.default_exception_handler()`, and `logging.lastResort`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// event_loop.set_exception_handler(|event_loop, it| event_loop.default_exception_handler(it));
    /// assert!(event_loop.get_exception_handler().is_some());
    /// ```
    pub fn default_exception_handler(&self, context: &ExceptionContext) {
        default_report(context);
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

/// What is done with a context when no handler is set: an `error` record for the `log` crate, or a line on
/// standard error.
///
/// Never panics: printing the error is user code, and so is the logger.
pub(super) fn default_report(context: &ExceptionContext) {
    let tell = || report(Level::Error, format_args!("{context}"));
    if catch_unwind(AssertUnwindSafe(tell)).is_err() {
        let message = context.message();
        let tell = || {
            report(
                Level::Error,
                format_args!("{message}; reporting it panicked"),
            )
        };
        // A logger that panics even now has had its chance.
        let _ = catch_unwind(AssertUnwindSafe(tell));
    }
}
