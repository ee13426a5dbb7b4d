//! Lists and arrays of awaitables, which are gathered alike.

use std::fmt;
use std::mem;

use super::cell::{AllOrNone, Each, Gathering, OrFirstError, start, start_making};
use super::group::{
    Child, Children, Group, TryChildren, TryGroup, choose_loop, outcome, sort, take_err,
};
use crate::cancellation::CancelledError;
use crate::errors::ResultError;
use crate::event_loop::{Awaitable, Awaited};
use crate::futures::{Base, OwnedFuture};

/// Gathers a list.
#[track_caller]
fn gather_list<G, A, C>(list: Vec<A>) -> OwnedFuture<G::Output>
where
    A: Awaitable,
    C: Children + From<Vec<Awaited<A::Output>>>,
    G: Gathering<C>,
{
    let event_loop = choose_loop(list.iter().map(Awaitable::bound_loop));
    if list.first().is_some_and(Awaitable::is_coroutine) {
        return start_making::<G, C>(&event_loop, list.len(), |nursery| {
            let spare = nursery.take_spare::<Emptied<_>>();
            let mut children = spare.map_or_else(Vec::new, |spare| spare.into_children(list.len()));
            children.reserve_exact(list.len() - children.len());
            for (place, coroutine) in list.into_iter().enumerate() {
                coroutine.into_child(nursery, &mut children, place);
            }
            children.into()
        });
    }
    let mut children = Vec::with_capacity(list.len());
    // No closure: where a task is created is where the caller is.
    for awaitable in list {
        children.push(awaitable.into_awaited(&event_loop));
    }
    start::<G, C>(&event_loop, children.into())
}

/// The children of a list.
pub(super) struct List<T: 'static>(Vec<Awaited<T>>);

impl<T: 'static> List<T> {
    /// What `each` makes of the results, all of which are there, up to the first failure.
    fn collect<R, X>(
        self,
        mut each: impl FnMut(Result<T, ResultError>) -> Result<R, X>,
    ) -> Result<Vec<R>, X> {
        if !self.0.iter().all(|child| child.as_fresh().is_some()) {
            let ends = self.0.into_iter().map(Awaited::get);
            return ends.map(each).collect();
        }
        // After a failure they go later than what is left in the children.
        let mut results = Vec::with_capacity(self.0.len());
        let children = self.0;
        let mut emptied = true;
        for task in children.iter().filter_map(Awaited::as_fresh) {
            task.keep_listening();
            let end = task.shared().take_result();
            emptied &= end.is_ok();
            results.push(each(end)?);
        }
        if emptied {
            Emptied(children).retire();
        }
        Ok(results)
    }
}

/// Children that were made for a gather, are over, and have given their results.
struct Emptied<T: 'static>(Vec<Awaited<T>>);

impl<T: 'static> Emptied<T> {
    /// Leaves them to the loop, for the next gather.
    fn retire(self) {
        let Some(first) = self.0.first().map(Awaited::future) else {
            return;
        };
        let bytes = self.0.capacity() * size_of::<Awaited<T>>() + self.0.len() * size_of_val(first);
        let Base { lp, site, .. } = first.base();
        lp.clone().keep_spare(site, bytes, self);
    }

    /// Frees all but the first `count`, from behind: the memory that was used last is freed fastest.
    fn free_behind(&mut self, count: usize) {
        for left in (count..self.0.len()).rev() {
            self.0.truncate(left);
        }
    }

    /// Gives the first `count`, which begin again.
    fn into_children(mut self, count: usize) -> Vec<Awaited<T>> {
        self.free_behind(count);
        mem::take(&mut self.0)
    }
}

impl<T: 'static> Drop for Emptied<T> {
    fn drop(&mut self) {
        self.free_behind(0);
    }
}

impl<T: 'static> Children for List<T> {
    type Outputs = Vec<T>;
    type Outcomes = Vec<Result<T, CancelledError>>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn child(&self, index: usize) -> Option<&dyn Child> {
        self.0.get(index).map(|child| child as &dyn Child)
    }

    fn outputs(self) -> Result<Vec<T>, ResultError> {
        self.collect(|end| end)
    }

    fn outcomes(self) -> Result<Self::Outcomes, ResultError> {
        self.collect(outcome)
    }
}

impl<T: 'static, E: fmt::Debug + 'static> TryChildren for List<Result<T, E>> {
    type Oks = Vec<T>;
    type Error = E;

    fn take_err(&mut self, index: usize) -> Option<Result<E, ResultError>> {
        take_err(self.0.get_mut(index)?)
    }

    fn oks(self) -> Result<Result<Vec<T>, E>, ResultError> {
        let oks = self.collect(|end| match end {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Ok(error)),
            Err(why) => Err(Err(why)),
        });
        match oks {
            Ok(oks) => Ok(Ok(oks)),
            Err(Ok(error)) => Ok(Err(error)),
            Err(Err(why)) => Err(why),
        }
    }
}

/// The children of an array.
pub(super) struct ArrayOf<T: 'static, const N: usize>(List<T>);

/// `N` things, of which it is known that they are so many.
fn exactly<T, const N: usize>(list: Vec<T>) -> [T; N] {
    let Ok(array) = list.try_into() else {
        unreachable!("there are as many as there are children");
    };
    array
}

impl<T: 'static, const N: usize> Children for ArrayOf<T, N> {
    type Outputs = [T; N];
    type Outcomes = [Result<T, CancelledError>; N];

    fn len(&self) -> usize {
        N
    }

    fn child(&self, index: usize) -> Option<&dyn Child> {
        self.0.child(index)
    }

    fn outputs(self) -> Result<[T; N], ResultError> {
        self.0.outputs().map(exactly)
    }

    fn outcomes(self) -> Result<Self::Outcomes, ResultError> {
        self.0.outcomes().map(exactly)
    }
}

impl<T: 'static, E: fmt::Debug + 'static, const N: usize> TryChildren for ArrayOf<Result<T, E>, N> {
    type Oks = [T; N];
    type Error = E;

    fn take_err(&mut self, index: usize) -> Option<Result<E, ResultError>> {
        self.0.take_err(index)
    }

    fn oks(self) -> Result<Result<[T; N], E>, ResultError> {
        Ok(self.0.oks()?.map(exactly))
    }
}

/// What the results of a list or of an array are put into.
macro_rules! shape {
    ($item:ty) => { Vec<$item> };
    ($item:ty, $n:ident) => { [$item; $n] };
}

/// Makes a group of a type that can be turned into a `Vec` of awaitables.
macro_rules! list_group {
    ($sort:ident, [$($generics:tt)*], $group:ty, $item:ty, $children:ident $(, $n:ident)?;
     $list:ident => $into:expr) => {
        impl<$($generics)*> Group<sort::$sort> for $group
        where
            $item: Awaitable,
        {
            type Outputs = shape!(<$item as Awaitable>::Output $(, $n)?);
            type Outcomes =
                shape!(Result<<$item as Awaitable>::Output, CancelledError> $(, $n)?);

            #[track_caller]
            fn gathered(self) -> OwnedFuture<Self::Outputs> {
                let $list = self;
                gather_list::<AllOrNone, $item, $children<_ $(, $n)?>>($into)
            }

            #[track_caller]
            fn gathered_outcomes(self) -> OwnedFuture<Self::Outcomes> {
                let $list = self;
                gather_list::<Each, $item, $children<_ $(, $n)?>>($into)
            }
        }

        impl<$($generics)*, T: 'static, E: fmt::Debug + 'static> TryGroup<sort::$sort> for $group
        where
            $item: Awaitable<Output = Result<T, E>>,
        {
            type Oks = shape!(T $(, $n)?);
            type Error = E;

            #[track_caller]
            fn try_gathered(self) -> OwnedFuture<Result<Self::Oks, E>> {
                let $list = self;
                gather_list::<OrFirstError, $item, $children<_ $(, $n)?>>($into)
            }
        }
    };
}

impl<T> From<Vec<Awaited<T>>> for List<T> {
    fn from(children: Vec<Awaited<T>>) -> Self {
        Self(children)
    }
}

impl<T, const N: usize> From<Vec<Awaited<T>>> for ArrayOf<T, N> {
    fn from(children: Vec<Awaited<T>>) -> Self {
        Self(List(children))
    }
}

list_group!(List, [A], Vec<A>, A, List; list => list);
list_group!(ListRef, ['a, A], &'a Vec<A>, &'a A, List; list => list.iter().collect());
list_group!(ListRef, ['a, A], &'a [A], &'a A, List; list => list.iter().collect());
list_group!(Iter, [I: Iterator], I, I::Item, List; list => list.collect());
list_group!(Array, [A, const N: usize], [A; N], A, ArrayOf, N; list => list.into());
list_group!(ArrayRef, ['a, A, const N: usize], &'a [A; N], &'a A, ArrayOf, N; list => list.iter().collect());
