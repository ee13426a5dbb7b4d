//! Why a coroutine could not be resumed.

use std::fmt;

/// A coroutine could not be resumed; what was sent comes back, if the coroutine has not taken it.
///
/// *From asyncio:* `RuntimeError: cannot reuse already awaited coroutine`, `ValueError: coroutine already
/// executing` and `RuntimeError: Task got bad yield`.
///
/// # Examples
///
/// ```
/// use callsoon::{Coroutine, ResumeError};
///
/// let closed = Coroutine::<(), ()>::new(async |_| ());
/// closed.close();
/// let refused = closed.try_send(()).unwrap_err();
/// assert_eq!(refused, ResumeError::Finished(()));
/// assert_eq!(refused.to_string(), "it cannot be resumed, for it is over");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ResumeError<S> {
    /// It has returned, panicked, or been closed.
    Finished(S),
    /// It runs already: something inside it has tried to resume it.
    Running(S),
    /// It awaits something that is not ready and not its own yielder. Nobody would hear when that is
    /// ready, so the coroutine was closed.
    AwaitsOther,
}

impl<S> fmt::Debug for ResumeError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finished(_) => "Finished",
            Self::Running(_) => "Running",
            Self::AwaitsOther => "AwaitsOther",
        })
    }
}

impl<S> fmt::Display for ResumeError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finished(_) => "it cannot be resumed, for it is over",
            Self::Running(_) => "it cannot be resumed from inside itself",
            Self::AwaitsOther => {
                "it awaits something that is not its yielder and is not ready: nobody would wake it"
            }
        })
    }
}

impl<S> std::error::Error for ResumeError<S> {}
