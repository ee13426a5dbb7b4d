//! [`ExceptionGroup`]: everything that failed in a group.

use std::error::Error;
use std::fmt;

/// The errors of a [`TaskGroup`](crate::TaskGroup), in the order in which its tasks failed.
///
/// *From asyncio:* `ExceptionGroup`. Differences: the errors have one type. Groups nest if that is
/// itself an `ExceptionGroup`.
///
/// # Examples
///
/// ```
/// use callsoon::{ExceptionGroup, TaskGroup, run};
///
/// let result: Result<(), ExceptionGroup<&str>> = run(TaskGroup::run(async |tg| {
///     tg.create_try_task(async { Err::<(), _>("disk full") });
///     tg.create_try_task(async { Err::<(), _>("no network") });
///     Ok(())
/// }));
/// let group = result.unwrap_err();
/// assert_eq!(group.errors(), ["disk full", "no network"]);
/// assert_eq!(group.to_string(), "2 errors in a task group: disk full; no network");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExceptionGroup<E> {
    errors: Vec<E>,
}

impl<E> ExceptionGroup<E> {
    pub(super) fn new(errors: Vec<E>) -> Self {
        Self { errors }
    }

    /// Gives the errors, in the order in which the tasks failed; the body's is the last.
    ///
    /// An error that somebody has moved out of a task's result before the group was left is not
    /// among them.
    ///
    /// *From asyncio:* `group.exceptions`.
    ///
    /// # Examples
    ///
    /// See [`ExceptionGroup`].
    pub fn errors(&self) -> &[E] {
        &self.errors
    }

    /// Gives the errors themselves, in the same order.
    ///
    /// *From asyncio:* `group.exceptions`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{TaskGroup, run};
    ///
    /// let result = run(TaskGroup::run(async |_| Err::<(), _>("the body failed".to_owned())));
    /// assert_eq!(result.unwrap_err().into_errors(), ["the body failed"]);
    /// ```
    pub fn into_errors(self) -> Vec<E> {
        self.errors
    }
}

impl<E> IntoIterator for ExceptionGroup<E> {
    type Item = E;
    type IntoIter = std::vec::IntoIter<E>;

    fn into_iter(self) -> Self::IntoIter {
        self.errors.into_iter()
    }
}

impl<E: fmt::Display> fmt::Display for ExceptionGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.errors.len();
        let errors = if count == 1 { "error" } else { "errors" };
        write!(f, "{count} {errors} in a task group")?;
        for (index, error) in self.errors.iter().enumerate() {
            let between = if index == 0 { ": " } else { "; " };
            write!(f, "{between}{error}")?;
        }
        Ok(())
    }
}

impl<E: fmt::Debug + fmt::Display> Error for ExceptionGroup<E> {}
