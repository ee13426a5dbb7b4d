//! What the handles of a group share, and how the group hears of its children.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::ptr;
use std::rc::{Rc, Weak};

use super::children::Children;
use crate::cancellation::{CancelledError, ScopeRef};
use crate::errors::{PanicError, ResultError};
use crate::event_loop::LoopHandle;
use crate::futures::purpose::{Nature, Purpose};
use crate::futures::{AnyRef, Future};
use crate::snapshot::AwaitedKind;
use crate::tasks::{Task, TaskRef};

/// What the handles of a group share.
pub(super) struct State<E: 'static> {
    pub(super) event_loop: LoopHandle,
    /// Where the group was made.
    pub(super) site: &'static Location<'static>,
    /// Where the body runs.
    scope: RefCell<ScopeRef>,
    /// The tasks that are not over, or whose end the group has not heard of yet.
    pub(super) children: RefCell<Children>,
    pub(super) phase: Cell<Phase>,
    /// Children and body have been asked to stop.
    pub(super) aborting: Cell<bool>,
    /// A child that failed has had the body asked to stop.
    asked_body: Cell<bool>,
    /// Done when the last child is, while the group waits for that.
    pub(super) all_over: RefCell<Option<Future<()>>>,
    /// What has failed, in that order.
    pub(super) failures: RefCell<Vec<Failure<E>>>,
    /// The tasks whose errors and panics nobody but the group has looked at.
    unseen: RefCell<Vec<AnyRef>>,
    /// The first panic of a child, and the child.
    panic: RefCell<Option<(PanicError, AnyRef)>>,
}

/// Where a group is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The body runs.
    Body,
    /// It has ended, and the group waits for its tasks.
    Exiting,
    /// All is over, or the group was dropped.
    Over,
}

/// What the end of the last child is waited for with.
pub(super) struct EndOfGroup<E: 'static>(pub(super) Weak<State<E>>);

impl<E> Purpose for EndOfGroup<E> {
    fn nature(&self) -> Nature {
        Nature::of(AwaitedKind::TaskGroup)
    }

    fn inside(&self) -> Vec<AnyRef> {
        let Some(state) = self.0.upgrade() else {
            return Vec::new();
        };
        let children = state.children.borrow().in_order();
        let any = |child: TaskRef| -> AnyRef { child };
        children.into_iter().map(any).collect()
    }
}

/// An error of a child or of the body.
pub(super) enum Failure<E> {
    Owned(E),
    /// It is in the child's result, where others can look at it until the group is left.
    InChild(Box<dyn FnOnce() -> Option<E>>),
}

impl<E: 'static> State<E> {
    pub(super) fn new(scope: ScopeRef, site: &'static Location<'static>) -> Self {
        Self {
            event_loop: LoopHandle::running(),
            site,
            scope: RefCell::new(scope),
            children: RefCell::default(),
            phase: Cell::new(Phase::Body),
            aborting: Cell::new(false),
            asked_body: Cell::new(false),
            all_over: RefCell::default(),
            failures: RefCell::default(),
            unseen: RefCell::default(),
            panic: RefCell::default(),
        }
    }

    /// Where the body runs.
    pub(super) fn scope(&self) -> ScopeRef {
        self.scope.borrow().clone()
    }

    /// The group is polled, in its scope, possibly in another task than before: then that is another
    /// scope, which was not asked to stop yet.
    pub(super) fn follow(&self) {
        if !self.scope.borrow().is_here()
            && let Some(scope) = ScopeRef::innermost()
        {
            let old = self.scope.replace(scope);
            drop(old);
            if self.asked_body.get() {
                self.request_body();
            }
        }
    }

    fn request_body(&self) {
        self.scope().request(CancelledError::at(None, self.site));
    }

    /// All is over: takes the request to the body back, if there was one.
    pub(super) fn take_request_back(&self) {
        if self.asked_body.get() {
            self.scope().take_back();
        }
    }

    /// Whether tasks are refused.
    pub(super) fn is_closed(&self) -> bool {
        self.aborting.get()
            || match self.phase.get() {
                Phase::Body => false,
                Phase::Exiting => self.children.borrow().is_empty(),
                Phase::Over => true,
            }
    }

    /// Takes a child in; `failure` gives the error that it ended with, if it did with one.
    pub(super) fn adopt<T: 'static>(
        self: &Rc<Self>,
        task: &Task<T>,
        failure: impl FnOnce(&Future<T>) -> Option<Failure<E>> + 'static,
    ) {
        let child = task.any().into_task().expect("it is a task");
        let place = self.children.borrow_mut().insert(child);
        let group = self.clone();
        task.add_done_callback(move |future| group.child_over(place, future, failure));
        if self.aborting.get() {
            // It has started at once, and aborted its own group.
            task.cancel();
        }
    }

    /// Asks all children to stop, in the order in which they were made.
    pub(super) fn abort(&self) {
        self.aborting.set(true);
        let children = self.children.borrow().in_order();
        for child in children {
            // One that is over stays as it is: a cancel would count as a look at how it has ended.
            if child.accepts_cancel() {
                child.cancel(CancelledError::at(None, self.site));
            }
        }
    }

    /// The group hears of the end of a child.
    fn child_over<T: 'static>(
        &self,
        place: usize,
        future: &Future<T>,
        failure: impl FnOnce(&Future<T>) -> Option<Failure<E>>,
    ) {
        let (child, was_last) = {
            let mut children = self.children.borrow_mut();
            (children.remove(place), children.is_empty())
        };
        drop(child);
        if was_last {
            let all_over = self.all_over.borrow().clone();
            // It may be cancelled; then the group looks by itself.
            let _ = all_over.map(|all_over| all_over.set_result(()));
        }
        if self.phase.get() == Phase::Over {
            // Nobody is left to tell.
            return;
        }
        let shared = future.shared();
        let seen = shared.base.observed.get();
        if let Some(failure) = failure(future) {
            self.fail(failure);
            self.note_unseen(seen, future.any());
            return;
        }
        let panic = shared.with_result(|outcome| match outcome {
            Err(ResultError::Panicked(panic)) => Some(panic.clone()),
            _ => None,
        });
        if let Some(panic) = panic {
            let child = future.any();
            self.note_unseen(seen, child.clone());
            let mut first = self.panic.borrow_mut();
            first.get_or_insert((panic, child));
            drop(first);
            self.child_failed();
        }
    }

    /// A child has failed, and the group has looked at how; `seen` if somebody had before.
    fn note_unseen(&self, seen: bool, child: AnyRef) {
        if !seen {
            self.unseen.borrow_mut().push(child);
        }
    }

    fn child_failed(&self) {
        if !self.aborting.get() && !self.asked_body.replace(true) {
            self.abort();
            self.request_body();
        }
    }

    /// Everything is over: gives the panic that is to go on, if there is one and the body's own,
    /// if `body_panicked`, does not take its place. What is kept from coming out by a panic is
    /// reported by its task, unless somebody looks.
    pub(super) fn take_panic(&self, body_panicked: bool) -> Option<PanicError> {
        let first = self.panic.take();
        if first.is_none() && !body_panicked {
            return None;
        }
        let (panic, panicked) = first.filter(|_| !body_panicked).unzip();
        for child in self.unseen.take() {
            let goes_on = panicked
                .as_ref()
                .is_some_and(|it| ptr::addr_eq(&**it, &*child));
            child.base().observed.set(goes_on);
        }
        drop(self.failures.take());
        panic
    }

    pub(super) fn fail(&self, failure: Failure<E>) {
        self.failures.borrow_mut().push(failure);
        self.child_failed();
    }
}

impl<E> Failure<E> {
    /// The error, unless somebody else has moved it out.
    pub(super) fn into_error(self) -> Option<E> {
        match self {
            Self::Owned(error) => Some(error),
            Self::InChild(take) => take(),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Body => "entered",
            Self::Exiting => "exiting",
            Self::Over => "over",
        })
    }
}
