//! What can be gathered: tuples, arrays, lists and iterators of awaitables.
//!
//! The kinds are told apart by a marker that the compiler infers, because an implementation for all
//! iterators would otherwise stand against those for lists.

use std::fmt;

use super::cell::{AllOrNone, Each, OrFirstError, start};
use crate::cancellation::CancelledError;
use crate::errors::ResultError;
use crate::event_loop::{Awaitable, Awaited, LoopHandle, try_get_running_loop};
use crate::futures::{AnyFuture, AnyRef, ListenerRef, OwnedFuture};

/// Markers that tell the kinds of groups apart; inferred, never written.
pub(super) mod sort {
    /// Tuples.
    #[derive(Debug)]
    pub enum Tuple {}
    /// Arrays.
    #[derive(Debug)]
    pub enum Array {}
    /// Lists that are given away.
    #[derive(Debug)]
    pub enum List {}
    /// Arrays that stay with the caller.
    #[derive(Debug)]
    pub enum ArrayRef {}
    /// Lists that stay with the caller.
    #[derive(Debug)]
    pub enum ListRef {}
    /// Iterators.
    #[derive(Debug)]
    pub enum Iter {}
}

/// What [`gather`](crate::gather()) takes: a tuple of up to twelve [`Awaitable`]s, `()`, an array, a `Vec`,
/// an iterator, or a reference to an array, a slice or a `Vec` of what is awaitable by reference.
///
/// `Sort` tells these apart and is inferred. The trait is not for implementing elsewhere: what is to be
/// gathered implements [`Awaitable`].
///
/// *From asyncio:* the arguments of `asyncio.gather()`.
///
/// # Examples
///
/// In a function of one's own that passes it on:
///
/// ```
/// use callsoon::{Group, OwnedFuture, create_task, gather, run};
///
/// fn logged<S, G: Group<S>>(group: G) -> OwnedFuture<G::Outputs> {
///     println!("waiting for several");
///     gather(group)
/// }
///
/// run(async {
///     assert_eq!(logged((async { 1 }, create_task(async { "two" }))).await, (1, "two"));
///     assert_eq!(logged([async { 3 }]).await, [3]);
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be gathered",
    label = "not a tuple, array, list or iterator of awaitables",
    note = "a single task or coroutine is awaited as it is; several are gathered as `gather((a, b))`"
)]
pub trait Group<Sort>: Sized {
    /// The results, in the order of the arguments.
    type Outputs: 'static;
    /// How each of them ended, in the order of the arguments.
    type Outcomes: 'static;

    #[doc(hidden)]
    #[track_caller]
    fn gathered(self) -> OwnedFuture<Self::Outputs>;

    #[doc(hidden)]
    #[track_caller]
    fn gathered_outcomes(self) -> OwnedFuture<Self::Outcomes>;
}

/// What [`try_gather`](crate::try_gather) takes: a [`Group`] whose results are `Result`s with one type of
/// errors.
///
/// *From asyncio:* the arguments of `asyncio.gather()`.
///
/// # Examples
///
/// ```
/// use callsoon::{OwnedFuture, TryGroup, run, try_gather};
///
/// fn all_or_first<S, G: TryGroup<S>>(group: G) -> OwnedFuture<Result<G::Oks, G::Error>> {
///     try_gather(group)
/// }
///
/// run(async {
///     let numbers = ["1", "2"].map(|text| async { text.parse::<u32>() });
///     assert_eq!(all_or_first(numbers).await, Ok([1, 2]));
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be gathered with `try_gather`",
    label = "not a tuple, array, list or iterator of awaitables that give a `Result`",
    note = "all of them need the same error type, which implements `Debug`"
)]
pub trait TryGroup<Sort>: Sized {
    /// The results if all are `Ok`, in the order of the arguments.
    type Oks: 'static;
    /// The error.
    type Error: 'static;

    #[doc(hidden)]
    #[track_caller]
    fn try_gathered(self) -> OwnedFuture<Result<Self::Oks, Self::Error>>;
}

/// A child of a gather.
pub(super) trait Child {
    fn any(&self) -> AnyRef;
    fn future(&self) -> &dyn AnyFuture;
    fn is_fresh(&self) -> bool;
    fn listen(&self, id: u64, listener: ListenerRef);
    fn keep_listening(&self);
    fn error(&self) -> Option<ResultError>;
}

impl<T: 'static> Child for Awaited<T> {
    fn any(&self) -> AnyRef {
        self.any()
    }

    fn future(&self) -> &dyn AnyFuture {
        self.future()
    }

    fn is_fresh(&self) -> bool {
        self.is_fresh()
    }

    fn listen(&self, id: u64, listener: ListenerRef) {
        self.listen(id, listener);
    }

    fn keep_listening(&self) {
        self.keep_listening();
    }

    fn error(&self) -> Option<ResultError> {
        self.error()
    }
}

/// The children of a gather, and how their results are put together.
pub(super) trait Children: 'static {
    type Outputs: 'static;
    type Outcomes: 'static;

    fn len(&self) -> usize;
    fn child(&self, index: usize) -> Option<&dyn Child>;
    fn outputs(self) -> Result<Self::Outputs, ResultError>;
    fn outcomes(self) -> Result<Self::Outcomes, ResultError>;
}

/// Children whose results are `Result`s.
pub(super) trait TryChildren: Children {
    type Oks: 'static;
    type Error: fmt::Debug + 'static;

    /// The error of the child at `index`, if it ended with one.
    fn take_err(&mut self, index: usize) -> Option<Result<Self::Error, ResultError>>;
    fn oks(self) -> Result<Result<Self::Oks, Self::Error>, ResultError>;
}

/// How a child ended, as a value.
pub(super) fn outcome<T>(
    result: Result<T, ResultError>,
) -> Result<Result<T, CancelledError>, ResultError> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(ResultError::Cancelled(why)) => Ok(Err(why)),
        Err(ResultError::Panicked(panic)) => Ok(Err(CancelledError::from_panic(panic))),
        Err(error) => Err(error),
    }
}

/// Takes the error out of a child that ended with one.
pub(super) fn take_err<T, E>(child: &mut Awaited<Result<T, E>>) -> Option<Result<E, ResultError>> {
    if !child.is_err() {
        return None;
    }
    match child.take().get() {
        Ok(Err(error)) => Some(Ok(error)),
        Ok(Ok(_)) => None,
        Err(error) => Some(Err(error)),
    }
}

/// The loop that everything is gathered in: that of the first child; if it has none, the running one;
/// if none runs, that of a later child.
#[track_caller]
pub(super) fn choose_loop(mut bound: impl Iterator<Item = Option<LoopHandle>>) -> LoopHandle {
    if let Some(Some(first)) = bound.next() {
        return first;
    }
    match try_get_running_loop() {
        Ok(running) => running,
        Err(none) => match bound.flatten().next() {
            Some(event_loop) => event_loop,
            None => panic!("{none}"),
        },
    }
}

impl Group<sort::Tuple> for () {
    type Outputs = ();
    type Outcomes = ();

    #[track_caller]
    fn gathered(self) -> OwnedFuture<()> {
        start::<AllOrNone, _>(&choose_loop(std::iter::empty()), Nothing)
    }

    #[track_caller]
    fn gathered_outcomes(self) -> OwnedFuture<()> {
        start::<Each, _>(&choose_loop(std::iter::empty()), Nothing)
    }
}

/// The children of `()`.
struct Nothing;

impl Children for Nothing {
    type Outputs = ();
    type Outcomes = ();

    fn len(&self) -> usize {
        0
    }

    fn child(&self, _index: usize) -> Option<&dyn Child> {
        None
    }

    fn outputs(self) -> Result<(), ResultError> {
        Ok(())
    }

    fn outcomes(self) -> Result<(), ResultError> {
        Ok(())
    }
}

macro_rules! tuple_group {
    ($($name:ident $child:ident $index:tt),+) => {
        impl<$($name: 'static),+> Children for ($(Awaited<$name>,)+) {
            type Outputs = ($($name,)+);
            type Outcomes = ($(Result<$name, CancelledError>,)+);

            fn len(&self) -> usize {
                [$($index),+].len()
            }

            fn child(&self, index: usize) -> Option<&dyn Child> {
                match index {
                    $($index => Some(&self.$index),)+
                    _ => None,
                }
            }

            fn outputs(self) -> Result<Self::Outputs, ResultError> {
                Ok(($(self.$index.get()?,)+))
            }

            fn outcomes(self) -> Result<Self::Outcomes, ResultError> {
                Ok(($(outcome(self.$index.get())?,)+))
            }
        }

        impl<Error: fmt::Debug + 'static, $($name: 'static),+> TryChildren
            for ($(Awaited<Result<$name, Error>>,)+)
        {
            type Oks = ($($name,)+);
            type Error = Error;

            fn take_err(&mut self, index: usize) -> Option<Result<Error, ResultError>> {
                match index {
                    $($index => take_err(&mut self.$index),)+
                    _ => None,
                }
            }

            fn oks(self) -> Result<Result<Self::Oks, Error>, ResultError> {
                Ok(Ok(($(
                    match self.$index.get()? {
                        Ok(value) => value,
                        Err(error) => return Ok(Err(error)),
                    },
                )+)))
            }
        }

        impl<$($name: Awaitable),+> Group<sort::Tuple> for ($($name,)+) {
            type Outputs = ($($name::Output,)+);
            type Outcomes = ($(Result<$name::Output, CancelledError>,)+);

            #[track_caller]
            fn gathered(self) -> OwnedFuture<Self::Outputs> {
                let event_loop = choose_loop([$(self.$index.bound_loop()),+].into_iter());
                let children = ($(self.$index.into_awaited(&event_loop),)+);
                start::<AllOrNone, _>(&event_loop, children)
            }

            #[track_caller]
            fn gathered_outcomes(self) -> OwnedFuture<Self::Outcomes> {
                let event_loop = choose_loop([$(self.$index.bound_loop()),+].into_iter());
                let children = ($(self.$index.into_awaited(&event_loop),)+);
                start::<Each, _>(&event_loop, children)
            }
        }

        impl<Error: fmt::Debug + 'static, $($name, $child: 'static),+> TryGroup<sort::Tuple>
            for ($($name,)+)
        where
            $($name: Awaitable<Output = Result<$child, Error>>),+
        {
            type Oks = ($($child,)+);
            type Error = Error;

            #[track_caller]
            fn try_gathered(self) -> OwnedFuture<Result<Self::Oks, Error>> {
                let event_loop = choose_loop([$(self.$index.bound_loop()),+].into_iter());
                let children = ($(self.$index.into_awaited(&event_loop),)+);
                start::<OrFirstError, _>(&event_loop, children)
            }
        }
    };
}

tuple_group!(A T0 0);
tuple_group!(A T0 0, B T1 1);
tuple_group!(A T0 0, B T1 1, C T2 2);
tuple_group!(A T0 0, B T1 1, C T2 2, D T3 3);
tuple_group!(A T0 0, B T1 1, C T2 2, D T3 3, E T4 4);
tuple_group!(A T0 0, B T1 1, C T2 2, D T3 3, E T4 4, F T5 5);
tuple_group!(A T0 0, B T1 1, C T2 2, D T3 3, E T4 4, F T5 5, G T6 6);
tuple_group!(A T0 0, B T1 1, C T2 2, D T3 3, E T4 4, F T5 5, G T6 6, H T7 7);
tuple_group!(A T0 0, B T1 1, C T2 2, D T3 3, E T4 4, F T5 5, G T6 6, H T7 7, I T8 8);
tuple_group!(A T0 0, B T1 1, C T2 2, D T3 3, E T4 4, F T5 5, G T6 6, H T7 7, I T8 8, J T9 9);
tuple_group!(A T0 0, B T1 1, C T2 2, D T3 3, E T4 4, F T5 5, G T6 6, H T7 7, I T8 8, J T9 9, K T10 10);
tuple_group!(A T0 0, B T1 1, C T2 2, D T3 3, E T4 4, F T5 5, G T6 6, H T7 7, I T8 8, J T9 9, K T10 10, L T11 11);
