//! [`ExceptionGroup`]: everything that failed in a group.

use std::error::Error;
use std::fmt;

/// The errors of a [`TaskGroup`](crate::TaskGroup), in the order in which its tasks failed.
///
/// *From asyncio:* `ExceptionGroup`. Differences: the errors have one type, and the group has no message of
/// its own. Groups nest if that type is itself an `ExceptionGroup`.
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
/// assert_eq!(group.to_string(), "2 errors in a group: disk full; no network");
/// ```
///
/// Handling some and going on with the rest, as `except*` does:
///
/// ```
/// use callsoon::{ExceptionGroup, TaskGroup, run};
///
/// #[derive(Debug, PartialEq)]
/// enum Error {
///     Timeout(&'static str),
///     DiskFull,
/// }
///
/// async fn fetch(retries: &mut Vec<&str>) -> Result<(), ExceptionGroup<Error>> {
///     let fetched = TaskGroup::run(async |tg| {
///         tg.create_try_task(async { Err::<(), _>(Error::Timeout("a.example")) });
///         tg.create_try_task(async { Err::<(), _>(Error::DiskFull) });
///         tg.create_try_task(async { Err::<(), _>(Error::Timeout("b.example")) });
///         Ok(())
///     });
///     let Err(failed) = fetched.await else { return Ok(()) };
///     let (timeouts, rest) = failed.split(|error| matches!(error, Error::Timeout(_)));
///     for timeout in timeouts.into_iter().flatten() {
///         let Error::Timeout(host) = timeout else { unreachable!("it is such") };
///         retries.push(host);
///     }
///     rest.map_or(Ok(()), Err) // what is not handled goes on
/// }
///
/// let mut retries = vec![];
/// let rest = run(fetch(&mut retries)).unwrap_err();
/// assert_eq!(retries, ["a.example", "b.example"]);
/// assert_eq!(rest.errors(), [Error::DiskFull]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExceptionGroup<E> {
    errors: Vec<E>,
}

impl<E> ExceptionGroup<E> {
    /// What a task group failed with. It is empty if somebody has moved every error out of its task.
    pub(super) fn of_tasks(errors: Vec<E>) -> Self {
        Self { errors }
    }

    /// A part of a group, which is nothing if it has no error.
    fn part(errors: Vec<E>) -> Option<Self> {
        (!errors.is_empty()).then_some(Self { errors })
    }

    /// Makes a group of errors, in this order.
    ///
    /// *From asyncio:* `ExceptionGroup(message, exceptions)`. Differences: there is no message.
    ///
    /// # Panics
    ///
    /// If there is no error, as in Python. (Where there may be none, that is an `Ok`.)
    ///
    /// # Examples
    ///
    /// Everything that is wrong with a form, at once:
    ///
    /// ```
    /// use callsoon::ExceptionGroup;
    ///
    /// fn check(age: u32, name: &str) -> Result<(), ExceptionGroup<&'static str>> {
    ///     let wrong = [(age > 150, "nobody is that old"), (name.is_empty(), "there is no name")];
    ///     let errors: Vec<_> = wrong.into_iter().filter(|it| it.0).map(|it| it.1).collect();
    ///     if errors.is_empty() { Ok(()) } else { Err(ExceptionGroup::new(errors)) }
    /// }
    ///
    /// assert_eq!(check(42, "Ada"), Ok(()));
    /// let group = check(151, "").unwrap_err();
    /// assert_eq!(group.to_string(), "2 errors in a group: nobody is that old; there is no name");
    /// ```
    #[track_caller]
    pub fn new(errors: impl IntoIterator<Item = E>) -> Self {
        let group = Self::part(errors.into_iter().collect());
        group.expect("a group of errors has one at least")
    }

    /// Divides it: the errors for which `is_such` holds, and the others, each in their order. A part without
    /// errors is `None`.
    ///
    /// *From asyncio:* `group.split(condition)`, and what `except*` does. Differences: `is_such` is asked of the
    /// group's own errors, also if they are groups; Python looks into those.
    ///
    /// # Examples
    ///
    /// See [`ExceptionGroup`] for what is like `except*`.
    ///
    /// ```
    /// use callsoon::ExceptionGroup;
    ///
    /// let (even, odd) = ExceptionGroup::new([1, 2, 3]).split(|n| n % 2 == 0);
    /// assert_eq!(even.unwrap().errors(), [2]);
    /// assert_eq!(odd.unwrap().errors(), [1, 3]);
    /// ```
    pub fn split(self, mut is_such: impl FnMut(&E) -> bool) -> (Option<Self>, Option<Self>) {
        let errors = self.errors.into_iter();
        let (such, others) = errors.partition(|error| is_such(error));
        (Self::part(such), Self::part(others))
    }

    /// Keeps the errors for which `is_such` holds, in their order, and drops the others. `None` if there is no
    /// such error.
    ///
    /// *From asyncio:* `group.subgroup(condition)`. Differences: those of [`split`](Self::split), and the group
    /// is used up.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::ExceptionGroup;
    ///
    /// let group = ExceptionGroup::new(["disk full", "no network", "disk on fire"]);
    /// let disk = group.subgroup(|error| error.starts_with("disk"));
    /// assert_eq!(disk.unwrap().errors(), ["disk full", "disk on fire"]);
    /// ```
    pub fn subgroup(self, is_such: impl FnMut(&E) -> bool) -> Option<Self> {
        self.split(is_such).0
    }

    /// Gives the errors, in the order in which the tasks failed; the body's is the last.
    ///
    /// An error that somebody has moved out of a task's result before the group was left is not
    /// among them. If that was the only one, the group is empty.
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
        write!(f, "{count} {errors} in a group")?;
        for (index, error) in self.errors.iter().enumerate() {
            let between = if index == 0 { ": " } else { "; " };
            write!(f, "{between}{error}")?;
        }
        Ok(())
    }
}

impl<E: fmt::Debug + fmt::Display> Error for ExceptionGroup<E> {}
