//! A gather in memory: a future that is completed by its children.
//!
//! | holds | until |
//! | --- | --- |
//! | its children's handles | it is done, or let go of |
//! | one registration with each unfinished child | the child is done; or the gather is let go of |
//!
//! A child that is done tells the gather, which queues itself, once for each. When such an entry runs,
//! the gather looks at that child and, at the last one or at the first that ends it all, completes.
//! Registrations that are left then stay: an error that comes later counts as looked at.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;

use super::group::{Child, Children, TryChildren};
use crate::cancellation::CancelledError;
use crate::errors::{PanicError, ResultError};
use crate::event_loop::{About, ExceptionContext, LoopHandle, LoopState, Run};
use crate::futures::purpose::Nature;
use crate::futures::{
    AnyFuture, AnyRef, Failure, Future, FutureCore, FutureRef, Inner, Listener, Members,
    OwnedFuture, Shared, State, Takers, Told, any_accepts, as_shared, assert_same_loop, flat_drop,
    looked_at,
};
use crate::observe::EntryKind;
use crate::snapshot::AwaitedKind;
use crate::tasks::{Nursery, Payload, Stepper};

/// What becomes of the children's results.
pub(super) trait Gathering<C>: 'static {
    type Output: 'static;

    /// Whether the end of a child may end it, if any child `failed` to give a result, or if none did.
    fn may_be_ended(failed: bool) -> bool;

    /// What the gather ends with if the end of the child at `index` ends it.
    fn ended_by(children: &mut C, index: usize) -> Option<Result<Self::Output, ResultError>>;

    /// What it ends with when all children are done.
    fn collect(children: C) -> Result<Self::Output, ResultError>;

    /// Describes a failure that nobody looked at.
    fn unobserved(_output: Self::Output) -> Option<ExceptionContext> {
        None
    }
}

/// Whether what has ended so gave no result.
fn is_failure(how: State) -> bool {
    matches!(how, State::Cancelled | State::Panicked)
}

/// How a child that has no result ends the gather.
fn failure<C: Children>(children: &C, index: usize) -> Option<ResultError> {
    let child = children.child(index)?;
    if is_failure(child.future().state()) {
        return child.error();
    }
    None
}

/// Every result, or nothing: `gather`.
pub(super) enum AllOrNone {}

impl<C: Children> Gathering<C> for AllOrNone {
    type Output = C::Outputs;

    fn may_be_ended(failed: bool) -> bool {
        failed
    }

    fn ended_by(children: &mut C, index: usize) -> Option<Result<C::Outputs, ResultError>> {
        failure(children, index).map(Err)
    }

    fn collect(children: C) -> Result<C::Outputs, ResultError> {
        children.outputs()
    }
}

/// How each child ended: `gather_outcomes`.
pub(super) enum Each {}

impl<C: Children> Gathering<C> for Each {
    type Output = C::Outcomes;

    fn may_be_ended(_failed: bool) -> bool {
        false
    }

    fn ended_by(_children: &mut C, _index: usize) -> Option<Result<C::Outcomes, ResultError>> {
        None
    }

    fn collect(children: C) -> Result<C::Outcomes, ResultError> {
        children.outcomes()
    }
}

/// Every `Ok`, or the first `Err`: `try_gather`.
pub(super) enum OrFirstError {}

impl<C: TryChildren> Gathering<C> for OrFirstError {
    type Output = Result<C::Oks, C::Error>;

    fn may_be_ended(_failed: bool) -> bool {
        true
    }

    fn ended_by(children: &mut C, index: usize) -> Option<Result<Self::Output, ResultError>> {
        if let Some(error) = failure(children, index) {
            return Some(Err(error));
        }
        Some(children.take_err(index)?.map(Err))
    }

    fn collect(children: C) -> Result<Self::Output, ResultError> {
        children.oks()
    }

    fn unobserved(output: Self::Output) -> Option<ExceptionContext> {
        let error = output.err()?;
        Some(ExceptionContext::new("gather error was never retrieved").with_error(error))
    }
}

pub(super) struct GatherCell<C, G>
where
    C: Children,
    G: Gathering<C>,
{
    shared: Shared<G::Output>,
    /// Taken out while user code may run.
    children: RefCell<Option<C>>,
    /// The children that are done, and for which an entry is queued.
    told: Told,
    /// How many children have not been looked at.
    left: Cell<usize>,
    /// A child has ended without a result.
    failed: Cell<bool>,
    /// The latest cancellation that was passed on to the children.
    requested: Cell<Option<CancelledError>>,
    takers: Takers,
    /// A child's result is being looked at, with code of the user's, and the children are out of their
    /// place.
    looking: Cell<bool>,
    /// A cancellation that came meanwhile.
    late: Cell<Option<CancelledError>>,
}

/// Makes a gather of children that have been turned into futures.
#[track_caller]
pub(super) fn start<G, C>(event_loop: &LoopHandle, children: C) -> OwnedFuture<G::Output>
where
    C: Children,
    G: Gathering<C>,
{
    let lp = first_loop(&children).unwrap_or_else(|| event_loop.lp.clone());
    let cell = GatherCell::<C, G>::create(lp, children.len());
    let future = OwnedFuture::new(Future::new(cell.clone()));
    cell.begin(children);
    future
}

/// Makes a gather of `count` coroutines, which `make` makes tasks of in a nursery.
#[track_caller]
pub(super) fn start_making<G, C>(
    event_loop: &LoopHandle,
    count: usize,
    make: impl FnOnce(&Nursery) -> C,
) -> OwnedFuture<G::Output>
where
    C: Children,
    G: Gathering<C>,
{
    // What it panics with is to have the caller's place; `make` does not know that.
    event_loop.lp.accepts();
    let cell = GatherCell::<C, G>::create(event_loop.lp.clone(), count);
    let future = OwnedFuture::new(Future::new(cell.clone()));
    let site = cell.shared.base.site;
    let nursery = Nursery::new(event_loop, site, cell.clone(), cell.told.id(0));
    // A loop that is running makes no step meanwhile.
    let children = make(&nursery);
    *cell.children.borrow_mut() = Some(children);
    future
}

/// The loop of the children.
///
/// # Panics
///
/// If they are not all of one.
#[track_caller]
fn first_loop(children: &impl Children) -> Option<Rc<LoopState>> {
    let first = children.child(0)?.future();
    for (_, child) in all(children) {
        assert_same_loop(first, child.future());
    }
    Some(first.base().lp.clone())
}

impl<C, G> GatherCell<C, G>
where
    C: Children,
    G: Gathering<C>,
{
    #[track_caller]
    fn create(lp: Rc<LoopState>, count: usize) -> Pin<Rc<Self>> {
        let cell = Rc::pin(Self {
            told: Told::new(&lp, count),
            shared: Shared::new(lp, Location::caller()),
            children: RefCell::new(None),
            left: Cell::new(count),
            failed: Cell::new(false),
            requested: Cell::new(None),
            takers: Takers::default(),
            looking: Cell::new(false),
            late: Cell::new(None),
        });
        cell.shared.base.lets_go.set(true);
        cell
    }

    /// Registers with the children, and looks at those that are done already.
    fn begin(self: &Pin<Rc<Self>>, children: C) {
        let mut done = Vec::new();
        for (place, child) in all(&children) {
            let future = child.future();
            if child.is_fresh() {
                future.base().expendable.set(true);
            }
            match future.state() {
                State::Pending => child.listen(self.told.id(place), self.clone()),
                how => {
                    self.failed.set(self.failed.get() || is_failure(how));
                    done.push(place);
                }
            }
        }
        *self.children.borrow_mut() = Some(children);
        if self.left.get() == 0 {
            self.all_done();
        }
        for index in done {
            self.look_at(index);
        }
    }

    /// A child is done, and it is its turn.
    #[inline]
    fn look_at(self: &Pin<Rc<Self>>, index: usize) {
        let left = self.left.get() - 1;
        self.left.set(left);
        if G::may_be_ended(self.failed.get()) {
            self.look_closely(index);
        } else if left == 0 {
            self.all_done();
        }
    }

    /// Looks whether the end of a child ends the gather.
    #[inline(never)]
    fn look_closely(self: &Pin<Rc<Self>>, index: usize) {
        let Some(mut children) = self.children.take() else {
            // It is over, or nobody wants it any more.
            return;
        };
        // What is awaited through a `map` of the user's may panic.
        self.looking.set(true);
        let ended = self.caught(|| G::ended_by(&mut children, index).transpose());
        self.looking.set(false);
        match ended.transpose() {
            Some(ended) => self.complete(ended, Some(children)),
            None => {
                *self.children.borrow_mut() = Some(children);
                if !self.is_wanted() {
                    // It may have changed meanwhile.
                    self.clone().let_go();
                } else if let Some(why) = self.late.take() {
                    self.clone().cancel(why);
                }
                if self.left.get() == 0 {
                    self.all_done();
                }
            }
        }
    }

    /// Whether it is pending, and somebody has a handle or waits for a callback.
    fn is_wanted(&self) -> bool {
        self.shared.is_pending() && (self.shared.base.has_handles() || self.shared.has_callbacks())
    }

    #[inline(never)]
    fn all_done(self: &Pin<Rc<Self>>) {
        let Some(children) = self.children.take() else {
            return;
        };
        // Whatever the children made of a cancellation that was passed on to them, it is one.
        if let Some(why) = self.requested.take() {
            self.requested.set(Some(why.clone()));
            return self.complete(Err(ResultError::Cancelled(why)), Some(children));
        }
        let collected = self.caught(|| G::collect(children));
        self.complete(collected, None);
    }

    /// Runs code of the user's; a panic of it is how the gather ends.
    fn caught<R>(&self, run: impl FnOnce() -> Result<R, ResultError>) -> Result<R, ResultError> {
        catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|payload| Err(ResultError::Panicked(self.panic(payload))))
    }

    fn panic(&self, payload: Payload) -> PanicError {
        PanicError::new(payload, "gather".to_owned(), self.shared.base.site)
    }

    /// Ends the gather, unless somebody has completed it by hand.
    fn complete(self: &Pin<Rc<Self>>, ended: Result<G::Output, ResultError>, children: Option<C>) {
        self.takers.clear();
        let requested = self.requested.take().is_some();
        let outcome = match ended {
            Ok(output) => Inner::Ready(output),
            Err(ResultError::Panicked(panic)) => Inner::Panicked(panic),
            Err(ResultError::Cancelled(why)) if requested => Inner::Cancelled(why),
            Err(ResultError::Cancelled(why)) => Inner::Cancelled(why.as_awaited()),
            // Only in a task that is being unwound; it will never see this.
            Err(ResultError::NotReady) => {
                Inner::Cancelled(CancelledError::at(None, self.shared.base.site))
            }
            Err(error) => Inner::Panicked(self.panic(Box::new(format!("a child's {error}")))),
        };
        if let Some(children) = &children {
            keep_listening(children);
        }
        let lp = &self.shared.base.lp;
        lp.release(&self.shared.base);
        if self.shared.is_pending() {
            let me: FutureRef<G::Output> = self.clone();
            self.shared.finish(&me, || outcome);
        } else {
            lp.drop_user(outcome);
        }
        lp.drop_user(children);
    }
}

/// The children with their places.
fn all(children: &impl Children) -> impl Iterator<Item = (usize, &dyn Child)> {
    let places = 0..children.len();
    places.filter_map(|place| Some((place, children.child(place)?)))
}

/// The gather is over, its children may not be: what comes of them counts as looked at, now and later.
fn keep_listening(children: &impl Children) {
    for (_, child) in all(children) {
        child.keep_listening();
        looked_at(child.future());
    }
}

impl<C, G> Listener for GatherCell<C, G>
where
    C: Children,
    G: Gathering<C>,
{
    fn told(&self, id: u64, child: &dyn AnyFuture, how: State) -> bool {
        if !self.shared.is_pending() {
            looked_at(child);
            return false;
        }
        if is_failure(how) {
            self.failed.set(true);
        }
        self.told.add(id);
        true
    }
}

impl<C, G> Run for GatherCell<C, G>
where
    C: Children,
    G: Gathering<C>,
{
    fn run(self: Pin<Rc<Self>>, lp: &Rc<LoopState>, _stepper: &mut Stepper<'_>) {
        lp.callback_site.set(Some(self.shared.base.site));
        if let Some(place) = self.told.next() {
            self.look_at(place);
        }
    }

    fn about(&self) -> About {
        About::at(EntryKind::Gather, self.shared.base.site)
    }
}

impl<C, G> Members for GatherCell<C, G>
where
    C: Children,
    G: Gathering<C>,
{
    fn member(&self, index: usize) -> Option<AnyRef> {
        let children = self.children.borrow();
        children.as_ref()?.child(index).map(|child| child.any())
    }

    fn takers(&self) -> &Takers {
        &self.takers
    }
}

impl<C, G> AnyFuture for GatherCell<C, G>
where
    C: Children,
    G: Gathering<C>,
{
    as_shared!(G::Output);

    fn cancel(self: Pin<Rc<Self>>, why: CancelledError) -> bool {
        if !self.shared.is_pending() {
            self.shared.base.observed.set(true);
            return false;
        }
        if !self.accepts_cancel() {
            return false;
        }
        if self.looking.get() {
            // They hear of it as soon as they are back.
            self.late.set(Some(why));
            return true;
        }
        let mut members = Vec::new();
        while let Some(member) = self.member(members.len()) {
            members.push(member);
        }
        self.requested.set(Some(why.clone()));
        self.shared.base.lp.offer(self.clone(), members, &why)
    }

    fn accepts_cancel(&self) -> bool {
        self.shared.is_pending() && (self.looking.get() && self.left.get() > 0 || any_accepts(self))
    }

    fn nature(&self) -> Nature {
        Nature::of(AwaitedKind::Gather)
    }

    fn inside(&self) -> Vec<AnyRef> {
        (0..).map_while(|index| self.member(index)).collect()
    }

    fn members(&self) -> Option<&dyn Members> {
        if self.looking.get() {
            return None;
        }
        Some(self)
    }

    fn failed_by_cancellation(&self) -> bool {
        self.shared.state() == State::Cancelled
    }

    fn let_go(self: Pin<Rc<Self>>) {
        let lp = &self.shared.base.lp;
        if self.shared.has_callbacks() {
            // They are a reason to go on.
            return lp.adopt(self.clone());
        }
        self.takers.clear();
        let children = self.children.take();
        if !self.shared.is_pending()
            && let Some(children) = &children
        {
            // It was completed by hand.
            keep_listening(children);
        }
        flat_drop(children);
    }

    fn discard(&self) {
        self.takers.clear();
        flat_drop((self.children.take(), self.shared.take_callbacks()));
    }
}

impl<C, G> FutureCore<G::Output> for GatherCell<C, G>
where
    C: Children,
    G: Gathering<C>,
{
    fn shared(&self) -> &Shared<G::Output> {
        &self.shared
    }

    fn failure(&self) -> Failure<G::Output> {
        G::unobserved
    }
}

impl<C, G> Drop for GatherCell<C, G>
where
    C: Children,
    G: Gathering<C>,
{
    fn drop(&mut self) {
        if let Some(context) = self.shared.unobserved("gather", G::unobserved) {
            self.shared.base.lp.report(&context);
        }
    }
}
