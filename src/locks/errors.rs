//! What goes wrong with locks. Each error names the object, and where it was created.

use std::fmt;
use std::panic::Location;

use super::Bond;

/// Something was asked for that takes an acquired lock, and the lock is not acquired.
///
/// *From asyncio:* the `RuntimeError` of `Lock.release()`, `Condition.wait()` and
/// `Condition.notify()`.
///
/// # Examples
///
/// ```
/// use callsoon::Lock;
///
/// let lock = Lock::new(());
/// let error = lock.release().unwrap_err();
/// assert!(error.to_string().starts_with("lock created at "));
/// assert!(error.to_string().ends_with(": it cannot be released, for it is not acquired"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAcquiredError {
    /// Where the lock or condition was created.
    site: &'static Location<'static>,
    attempt: Attempt,
    reason: Reason,
}

/// What takes an acquired lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Release,
    Wait,
    Notify,
}

/// Why it is of no use that way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Free,
    /// A guard holds it, and gives it back itself.
    Guarded,
}

impl NotAcquiredError {
    pub(super) fn new(bond: &Bond, attempt: Attempt, reason: Reason) -> Self {
        Self {
            site: bond.site(),
            attempt,
            reason,
        }
    }
}

impl fmt::Display for NotAcquiredError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (object, cannot) = match self.attempt {
            Attempt::Release => ("lock", "it cannot be released"),
            Attempt::Wait => ("condition", "it cannot be waited for"),
            Attempt::Notify => ("condition", "nobody can be notified"),
        };
        let reason = match self.reason {
            Reason::Free => "it is not acquired",
            Reason::Guarded => "a guard holds it",
        };
        let whose = match self.attempt {
            Attempt::Release => reason,
            Attempt::Wait | Attempt::Notify => match self.reason {
                Reason::Free => "its lock is not acquired",
                Reason::Guarded => "a guard holds its lock",
            },
        };
        write!(
            f,
            "{object} created at {}: {cannot}, for {whose}",
            self.site
        )
    }
}

impl std::error::Error for NotAcquiredError {}

/// A [`BoundedSemaphore`](crate::BoundedSemaphore) was released more often than it was acquired.
///
/// *From asyncio:* the `ValueError` of `BoundedSemaphore.release()`.
///
/// # Examples
///
/// ```
/// use callsoon::BoundedSemaphore;
///
/// let semaphore = BoundedSemaphore::new(3);
/// let error = semaphore.release().unwrap_err();
/// assert!(error.to_string().starts_with("bounded semaphore created at "));
/// assert!(error.to_string().ends_with(" is released too often: all 3 permits are there"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverReleaseError {
    /// Where the semaphore was created.
    site: &'static Location<'static>,
    bound: usize,
}

impl OverReleaseError {
    pub(super) fn new(bond: &Bond, bound: usize) -> Self {
        let site = bond.site();
        Self { site, bound }
    }
}

impl fmt::Display for OverReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { site, bound } = self;
        write!(
            f,
            "bounded semaphore created at {site} is released too often: all {bound} permits are there"
        )
    }
}

impl std::error::Error for OverReleaseError {}

/// A [`Barrier`](crate::Barrier) was broken, or reset while somebody waited at it.
///
/// *From asyncio:* `asyncio.BrokenBarrierError`.
///
/// # Examples
///
/// ```
/// use callsoon::{Barrier, EventLoop};
///
/// let event_loop = EventLoop::new();
/// let barrier = Barrier::new(2);
/// barrier.abort();
/// let error = event_loop.run_until_complete(barrier.wait())?.unwrap_err();
/// assert!(error.to_string().starts_with("barrier created at "));
/// assert!(error.to_string().ends_with(" was aborted"));
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenBarrierError {
    /// Where the barrier was created.
    site: &'static Location<'static>,
    aborted: bool,
}

impl BrokenBarrierError {
    pub(super) fn aborted(site: &'static Location<'static>) -> Self {
        let aborted = true;
        Self { site, aborted }
    }

    pub(super) fn reset(site: &'static Location<'static>) -> Self {
        let aborted = false;
        Self { site, aborted }
    }
}

impl fmt::Display for BrokenBarrierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.aborted { "aborted" } else { "reset" };
        write!(f, "barrier created at {} was {what}", self.site)
    }
}

impl std::error::Error for BrokenBarrierError {}
