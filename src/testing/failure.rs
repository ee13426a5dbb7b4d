//! [`Failure`]: how a test failed.

use std::fmt;

use crate::cancellation::CancelledError;
use crate::errors::PanicError;
use crate::event_loop::DeadlockReport;
use crate::snapshot::Snapshot;

/// How a test failed.
///
/// *From asyncio:* nothing; there a test fails by an exception, or hangs.
///
/// # Examples
///
/// ```
/// use callsoon::testing::{FailureKind, Test};
/// use callsoon::{Event, task};
///
/// let failure = Test::new().try_run(async {
///     let never = Event::new();
///     task(async move { never.wait().await }).name("forgotten").spawn();
/// });
/// let failure = failure.unwrap_err();
/// let FailureKind::LeftOver(snapshot) = failure.kind() else { unreachable!() };
/// assert_eq!(snapshot.tasks()[0].name(), "forgotten");
/// assert!(snapshot.to_string().contains("└─ <Event pending created at "));
/// ```
#[derive(Debug)]
pub struct Failure {
    pub(super) kind: FailureKind,
    pub(super) reports: Vec<String>,
}

impl Failure {
    /// Says how it failed.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`FailureKind`].
    pub fn kind(&self) -> &FailureKind {
        &self.kind
    }

    /// Gives what was reported to the exception handler, which may be why it failed.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::testing::{FailureKind, Test};
    /// use callsoon::{create_future, create_task};
    ///
    /// let failure = Test::new().try_run(async {
    ///     let reply = create_future::<u32>();
    ///     let server = reply.clone();
    ///     create_task(async move {
    ///         server.set_result(u32::MAX.checked_add(1).expect("it is small enough")).unwrap();
    ///     });
    ///     reply.await
    /// });
    /// let failure = failure.unwrap_err();
    /// assert!(matches!(failure.kind(), FailureKind::Deadlock(_)));
    /// assert!(failure.reports()[0].contains("it is small enough"));
    /// ```
    pub fn reports(&self) -> &[String] {
        &self.reports
    }
}

/// What was wrong first in a [`Failure`].
///
/// *From asyncio:* nothing; there a test fails by an exception, or hangs.
///
/// # Examples
///
/// ```
/// use callsoon::testing::{FailureKind, Test};
///
/// let failure = Test::new().try_run(async { assert_eq!(1 + 1, 3) }).unwrap_err();
/// let FailureKind::Panicked(panic) = failure.kind() else { unreachable!() };
/// assert!(panic.to_string().contains("left: 2"));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum FailureKind {
    /// The body panicked: an assertion failed, for example.
    Panicked(PanicError),
    /// The body can never go on. The report says who waits for what.
    Deadlock(DeadlockReport),
    /// It took too many turns.
    Livelock(Livelock),
    /// The body ended cancelled.
    Cancelled(CancelledError),
    /// Somebody stopped the loop before the body was done.
    Stopped,
    /// There are [`reports`](Failure::reports): panics and errors that nobody looked at.
    Reported,
    /// The body is done, and tasks are left that are not.
    LeftOver(Box<Snapshot>),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        if !self.reports.is_empty() {
            f.write_str("\nreported, and nobody looked at it:")?;
        }
        let mut reports = self.reports.iter();
        reports.try_for_each(|report| write!(f, "\n  {report}"))
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(panic) => panic.fmt(f),
            Self::Deadlock(report) => report.fmt(f),
            Self::Livelock(livelock) => livelock.fmt(f),
            Self::Cancelled(why) => write!(f, "its body ended cancelled: {why}"),
            Self::Stopped => f.write_str("somebody stopped the loop before its body was done"),
            Self::Reported => f.write_str("its body is done, but something was reported"),
            Self::LeftOver(snapshot) => {
                match snapshot.tasks().len() {
                    1 => f.write_str("its body is done, and 1 task is left over")?,
                    n => write!(f, "its body is done, and {n} tasks are left over")?,
                }
                write!(f, "\n{snapshot}")
            }
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            FailureKind::Panicked(panic) => Some(panic),
            FailureKind::Cancelled(why) => Some(why),
            _ => None,
        }
    }
}

/// What kept a loop busy for too many turns; see [`Test::turn_limit`](super::Test::turn_limit).
///
/// *From asyncio:* nothing; there such a test hangs.
///
/// # Examples
///
/// See [`Test::turn_limit`](super::Test::turn_limit).
#[derive(Clone, Debug)]
pub struct Livelock {
    pub(super) turns: u64,
    pub(super) ran: Vec<String>,
}

impl Livelock {
    /// Gives how many turns were allowed.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::testing::{FailureKind, Test};
    ///
    /// let failure = Test::new().turn_limit(5).try_run(async {
    ///     for _ in 0..10 {
    ///         callsoon::yield_now().await;
    ///     }
    /// });
    /// let failure = failure.unwrap_err();
    /// assert!(matches!(failure.kind(), FailureKind::Livelock(it) if it.turns() == 5));
    /// ```
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// Describes what ran last, a few entries of the ready queue, each as often as it ran.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`Test::turn_limit`](super::Test::turn_limit).
    pub fn ran(&self) -> &[String] {
        &self.ran
    }
}

impl fmt::Display for Livelock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "livelock: it took more than {} turns; last ran",
            self.turns
        )?;
        self.ran.iter().try_for_each(|it| write!(f, "\n  {it}"))
    }
}
