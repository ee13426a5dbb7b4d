//! [`Waitable`]: the handles that can be waited for, and given back.

use std::fmt;
use std::rc::Rc;

use crate::futures::{AnyRef, Future, FutureHandle, OwnedFuture, State};
use crate::tasks::{Task, TaskHandle};

/// A handle of a future or task: what [`wait`](crate::wait()) and
/// [`as_completed`](crate::as_completed()) take, and give back.
///
/// A type of one's own, such as an enum over several handles, implements it by delegating.
///
/// *From asyncio:* a `Future` or `Task`.
///
/// # Examples
///
/// ```
/// use callsoon::{Future, ReturnWhen, Task, Waitable, Waited, create_future, create_task, run, wait};
///
/// enum Job {
///     Count(Task<u32>),
///     Name(Future<String>),
/// }
///
/// impl Waitable for Job {
///     type Output = (); // they have no result in common that one could look for
///
///     fn to_waited(&self) -> Waited<()> {
///         match self {
///             Self::Count(task) => task.to_waited().map(|_| ()),
///             Self::Name(future) => future.to_waited().map(|_| ()),
///         }
///     }
/// }
///
/// run(async {
///     let jobs = [Job::Count(create_task(async { 3 })), Job::Name(create_future())];
///     let (done, pending) = wait(jobs, ReturnWhen::FirstCompleted, None).await;
///     assert!(matches!(done[..], [Job::Count(_)]) && matches!(pending[..], [Job::Name(_)]));
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be waited for",
    label = "not a handle of a task or future",
    note = "of a coroutine, make a task first: `create_task(coroutine)`"
)]
pub trait Waitable {
    /// What a predicate of [`ReturnWhen::FirstMatching`](crate::ReturnWhen::FirstMatching) looks at.
    type Output: 'static;

    /// Gives what it is a handle of.
    ///
    /// *From asyncio:* nothing; there the future is all there is.
    ///
    /// # Examples
    ///
    /// See [`Waitable`].
    fn to_waited(&self) -> Waited<Self::Output>;
}

/// What a [`Waitable`] is a handle of, with a `T` for a predicate to look at.
///
/// *From asyncio:* nothing; there the future is all there is.
///
/// # Examples
///
/// An enum whose variants fail in different ways, to be waited for until the first failure:
///
/// ```
/// use callsoon::{ReturnWhen, Task, Waitable, Waited, create_task, run, wait};
///
/// enum Job {
///     Parse(Task<Result<u32, std::num::ParseIntError>>),
///     Check(Task<Result<(), &'static str>>),
/// }
///
/// impl Waitable for Job {
///     type Output = Result<(), ()>;
///
///     fn to_waited(&self) -> Waited<Result<(), ()>> {
///         match self {
///             Self::Parse(task) => task.to_waited().map(|r| r.as_ref().map(drop).map_err(drop)),
///             Self::Check(task) => task.to_waited().map(|r| r.map_err(drop)),
///         }
///     }
/// }
///
/// run(async {
///     let parse = Job::Parse(create_task(async { "x".parse() }));
///     let check = Job::Check(create_task(std::future::pending()));
///     let (done, _) = wait([parse, check], ReturnWhen::FirstException, None).await;
///     assert!(matches!(done[..], [Job::Parse(_)]));
/// });
/// ```
pub struct Waited<T: 'static>(Source<T>);

enum Source<T: 'static> {
    Typed(Future<T>),
    Mapped(Box<dyn Look<T>>),
}

impl<T: 'static> Waited<T> {
    fn of(future: &Future<T>) -> Self {
        Self(Source::Typed(future.clone()))
    }

    /// Changes what a predicate looks at. `change` is called when the predicate is.
    ///
    /// *From asyncio:* nothing; there a predicate would look at what it likes.
    ///
    /// # Examples
    ///
    /// See [`Waited`].
    pub fn map<U: 'static>(self, change: impl Fn(&T) -> U + 'static) -> Waited<U> {
        Waited(Source::Mapped(Box::new(Map {
            inner: self,
            change,
        })))
    }

    /// The future.
    pub(crate) fn any(&self) -> AnyRef {
        match &self.0 {
            Source::Typed(future) => future.any(),
            Source::Mapped(mapped) => mapped.any(),
        }
    }

    /// Whether what is done has a result for which `matches` is true, or failed without a result.
    pub(super) fn matches(&self, matches: fn(&T) -> bool) -> bool {
        let future = self.any();
        let state = future.state();
        let mut found = state == State::Panicked || future.failed_by_cancellation();
        if state == State::Ready {
            self.look(&mut |value| found = matches(value));
        }
        found
    }

    /// Has `look` look at the result, if there is one.
    fn look(&self, look: &mut dyn FnMut(&T)) {
        match &self.0 {
            Source::Typed(future) => future.with_result(|outcome| {
                if let Ok(value) = outcome {
                    look(value);
                }
            }),
            Source::Mapped(mapped) => mapped.look(look),
        }
    }
}

impl<T: 'static> fmt::Debug for Waited<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let handle = FutureHandle::new(self.any());
        f.debug_tuple("Waited").field(&handle).finish()
    }
}

/// A [`Waited`] with something else to look at.
trait Look<T> {
    fn any(&self) -> AnyRef;
    fn look(&self, look: &mut dyn FnMut(&T));
}

struct Map<T: 'static, F> {
    inner: Waited<T>,
    change: F,
}

impl<T: 'static, U: 'static, F: Fn(&T) -> U> Look<U> for Map<T, F> {
    fn any(&self) -> AnyRef {
        self.inner.any()
    }

    fn look(&self, look: &mut dyn FnMut(&U)) {
        self.inner.look(&mut |value| look(&(self.change)(value)));
    }
}

/// A future without a type: there is nothing to look at.
impl Look<()> for FutureHandle {
    fn any(&self) -> AnyRef {
        self.any().clone()
    }

    fn look(&self, look: &mut dyn FnMut(&())) {
        look(&());
    }
}

macro_rules! typed_handles {
    ($($kind:ident),*) => {$(
        impl<T: 'static> Waitable for $kind<T> {
            type Output = T;

            fn to_waited(&self) -> Waited<T> {
                Waited::of(self)
            }
        }
    )*};
}

typed_handles!(Future, OwnedFuture, Task);

impl Waitable for FutureHandle {
    type Output = ();

    fn to_waited(&self) -> Waited<()> {
        Waited(Source::Mapped(Box::new(self.clone())))
    }
}

impl Waitable for TaskHandle {
    type Output = ();

    fn to_waited(&self) -> Waited<()> {
        FutureHandle::from(self).to_waited()
    }
}

macro_rules! pointers {
    ($($pointer:ty),*) => {$(
        impl<W: Waitable + ?Sized> Waitable for $pointer {
            type Output = W::Output;

            fn to_waited(&self) -> Waited<W::Output> {
                (**self).to_waited()
            }
        }
    )*};
}

pointers!(&W, Box<W>, Rc<W>);
