//! [`CancelledError`]: why something ended without a result.
//!
//! The error travels from `cancel()` to whoever looks at the cancelled future. It is cheap to
//! clone, and it remembers what asyncio forgets: where the `cancel()` was, and whether *this* task
//! was asked to stop or something it awaited was.

use std::convert::Infallible;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::task::Poll;

use crate::errors::PanicError;
use crate::event_loop::current;

/// Says that a future or task ended because it was cancelled.
///
/// *From asyncio:* `asyncio.CancelledError`. Differences:
///
/// * it tells who was asked to stop ([`origin`](Self::origin)) and where
///   ([`location`](Self::location));
/// * inside a coroutine it is not raised as an error value that any `?` could swallow: the
///   coroutine unwinds, which means that it is dropped at the await it is suspended at.
///
/// # Examples
///
/// ```
/// use callsoon::{CancelOrigin, EventLoop, ResultError};
///
/// let event_loop = EventLoop::new();
/// let future = event_loop.create_future::<u32>();
/// assert!(future.cancel_with("shutting down"));
///
/// let Err(ResultError::Cancelled(cancelled)) = future.result() else { panic!("cancelled") };
/// assert_eq!(cancelled.message(), Some("shutting down"));
/// assert_eq!(cancelled.origin(), CancelOrigin::Requested);
/// assert!(cancelled.location().file().ends_with(".rs"));
/// ```
#[derive(Clone)]
pub struct CancelledError(Rc<Details>);

#[derive(Clone)]
struct Details {
    message: Option<Rc<str>>,
    origin: CancelOrigin,
    /// Where `cancel()` was called.
    location: &'static Location<'static>,
    /// The panic that took the place of a result, for [`CancelOrigin::Panicked`].
    panic: Option<PanicError>,
}

/// Who was asked to stop.
///
/// *From asyncio:* nothing; a Python program cannot tell.
///
/// # Examples
///
/// ```
/// use callsoon::{CancelOrigin, EventLoop};
///
/// let event_loop = EventLoop::new();
/// let future = event_loop.create_future::<()>();
/// let shared = future.clone();
/// let waiter = event_loop.create_task(async move { shared.await });
/// let asked = event_loop.create_task(async {});
/// future.cancel();
/// asked.cancel();
///
/// let outcome = event_loop.run_until_complete(waiter.outcome())?;
/// assert_eq!(outcome.unwrap_err().origin(), CancelOrigin::Awaited);
/// let outcome = event_loop.run_until_complete(asked.outcome())?;
/// assert_eq!(outcome.unwrap_err().origin(), CancelOrigin::Requested);
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CancelOrigin {
    /// `cancel()` was called on this very future or task (or forwarded to it by a task that
    /// awaits it).
    Requested,
    /// Something this task awaited was cancelled by somebody else.
    Awaited,
    /// Not a cancellation: the task panicked, and [`CancelledError::panic`] has the panic. Only
    /// `outcome()` gives this.
    Panicked,
}

impl CancelledError {
    /// Makes an error with a message, as if `cancel()` had been called here.
    ///
    /// It is for functions of one's own that report a cancellation as a value.
    ///
    /// *From asyncio:* `CancelledError("...")`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::CancelledError;
    ///
    /// fn accept(stopping: bool) -> Result<u32, CancelledError> {
    ///     if stopping {
    ///         return Err(CancelledError::new("server is stopping"));
    ///     }
    ///     Ok(1)
    /// }
    /// assert_eq!(accept(true).unwrap_err().message(), Some("server is stopping"));
    /// ```
    #[track_caller]
    pub fn new(message: impl Into<String>) -> Self {
        Self::at(Some(message.into().into()), Location::caller())
    }

    pub(crate) fn at(message: Option<Rc<str>>, location: &'static Location<'static>) -> Self {
        Self(Rc::new(Details {
            message,
            origin: CancelOrigin::Requested,
            location,
            panic: None,
        }))
    }

    /// A panic, for `outcome()`, which reports it as a value.
    pub(crate) fn from_panic(panic: PanicError) -> Self {
        Self(Rc::new(Details {
            message: Some(panic.message().into()),
            origin: CancelOrigin::Panicked,
            location: panic.created_at(),
            panic: Some(panic),
        }))
    }

    /// The same cancellation as seen by a task that was not asked itself.
    pub(crate) fn as_awaited(&self) -> Self {
        if self.0.origin == CancelOrigin::Awaited {
            return self.clone();
        }
        let mut details = Details::clone(&self.0);
        details.origin = CancelOrigin::Awaited;
        Self(Rc::new(details))
    }

    /// Raises this cancellation here: the coroutine unwinds to the nearest
    /// [`catch_cancel`](crate::catch_cancel), or ends cancelled.
    ///
    /// Nobody need have asked for it. An error that stands for a [`panic`](Self::panic) resumes that.
    ///
    /// *From asyncio:* `raise CancelledError("...")`.
    ///
    /// *Order:* at once; it costs no turn.
    ///
    /// # Cancellation
    ///
    /// It never returns: it is dropped with the coroutine around it.
    ///
    /// # Panics
    ///
    /// When awaited outside the task of a running loop: there is nothing to unwind. And with the panic,
    /// if it stands for one.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{CancelledError, EventLoop};
    ///
    /// let event_loop = EventLoop::new();
    /// let task = event_loop.create_task(async {
    ///     let disk_full = true;
    ///     if disk_full {
    ///         CancelledError::new("disk full").raise().await;
    ///     }
    ///     "saved"
    /// });
    /// let handle = task.handle();
    /// let why = event_loop.run_until_complete(task.outcome())?.unwrap_err();
    /// assert_eq!(why.message(), Some("disk full"));
    /// assert_eq!((handle.cancelled(), handle.cancelling()), (true, 0));
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub async fn raise(self) -> ! {
        if let Some(panic) = self.panic() {
            panic.resume();
        }
        let raising = std::future::poll_fn(|_| -> Poll<Infallible> {
            let raised = current::raise_here(&self);
            assert!(
                raised,
                "a cancellation made at {} is raised outside a task: there is nothing to unwind",
                self.location()
            );
            Poll::Pending
        });
        match raising.await {}
    }

    /// Raises the cancellation of something that is awaited.
    pub(crate) async fn raise_awaited(self) -> ! {
        self.as_awaited().raise().await
    }

    /// Goes on unwinding, after a clean-up.
    ///
    /// *From asyncio:* a bare `raise` in `except CancelledError:`.
    ///
    /// *Order:* at once; it costs no turn.
    ///
    /// # Cancellation
    ///
    /// As for [`raise`](Self::raise).
    ///
    /// # Panics
    ///
    /// As for [`raise`](Self::raise).
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, catch_cancel};
    ///
    /// async fn roll_back() {}
    ///
    /// let event_loop = EventLoop::new();
    /// let task = event_loop.create_task(async {
    ///     let worked = catch_cancel(std::future::pending()).await;
    ///     match worked {
    ///         Ok(done) => done,
    ///         Err(cancelled) => {
    ///             roll_back().await;
    ///             cancelled.reraise().await
    ///         }
    ///     }
    /// });
    /// let handle = task.handle();
    /// event_loop.call_soon(move || {
    ///     handle.cancel();
    /// });
    /// let outcome: Result<u32, _> = event_loop.run_until_complete(task.outcome())?;
    /// assert!(outcome.is_err());
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub async fn reraise(self) -> ! {
        self.raise().await
    }

    /// Gives the message given to [`cancel_with`](crate::Future::cancel_with), if there was one; for a
    /// panic, what that said.
    ///
    /// *From asyncio:* `exc.args[0]`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let task = event_loop.create_task(async {});
    /// task.cancel_with("timed out");
    /// let outcome = event_loop.run_until_complete(task.outcome())?;
    /// assert_eq!(outcome.unwrap_err().message(), Some("timed out"));
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }

    /// Says who was asked to stop: this future or task, or something it awaited.
    ///
    /// *From asyncio:* nothing; a Python program cannot tell.
    ///
    /// # Examples
    ///
    /// A task that meant to go on can tell its own end from that of a helper:
    ///
    /// ```
    /// use callsoon::{CancelOrigin, EventLoop};
    ///
    /// let event_loop = EventLoop::new();
    /// let helper = event_loop.create_future::<()>();
    /// let awaited = helper.clone();
    /// let task = event_loop.create_task(async move { awaited.await });
    /// helper.cancel();
    /// let outcome = event_loop.run_until_complete(task.outcome())?;
    /// assert_eq!(outcome.unwrap_err().origin(), CancelOrigin::Awaited);
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn origin(&self) -> CancelOrigin {
        self.0.origin
    }

    /// Gives the place in the source where `cancel()` was called; for a panic, where the task was
    /// created.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, ResultError};
    ///
    /// let event_loop = EventLoop::new();
    /// let future = event_loop.create_future::<()>();
    /// let line = line!() + 1;
    /// future.cancel();
    /// let Err(ResultError::Cancelled(why)) = future.result() else { unreachable!() };
    /// assert_eq!(why.location().line(), line);
    /// ```
    pub fn location(&self) -> &'static Location<'static> {
        self.0.location
    }

    /// Gives the panic, if it was a panic and not a cancellation that ended the task.
    ///
    /// Only an error that comes from `outcome()` can hold one.
    ///
    /// *From asyncio:* nothing; there whatever was raised is awaited alike.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let task = event_loop.create_task(async { assert!(2 + 2 == 5, "bad sum") });
    /// let error = event_loop.run_until_complete(task.outcome())?.unwrap_err();
    /// assert_eq!(error.panic().map(|panic| panic.message()), Some("bad sum"));
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn panic(&self) -> Option<&PanicError> {
        self.0.panic.as_ref()
    }
}

impl fmt::Debug for CancelledError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut s = f.debug_struct("CancelledError");
        if let Some(message) = self.message() {
            s.field("message", &message);
        }
        s.field("origin", &self.0.origin)
            .field("location", &format_args!("{}", self.0.location))
            .finish()
    }
}

impl fmt::Display for CancelledError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.origin {
            CancelOrigin::Requested => write!(f, "cancelled at {}", self.0.location)?,
            CancelOrigin::Awaited => write!(
                f,
                "cancelled because something awaited was cancelled at {}",
                self.0.location
            )?,
            CancelOrigin::Panicked => write!(f, "task created at {} panicked", self.0.location)?,
        }
        match self.message() {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CancelledError {}
