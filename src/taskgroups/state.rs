//! What the handles of a group share, and how the group hears of its children.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use slab::Slab;

use crate::cancellation::{CancelledError, ScopeRef};
use crate::errors::{PanicError, ResultError};
use crate::event_loop::LoopHandle;
use crate::futures::Future;
use crate::tasks::{Task, TaskRef};

/// What the handles of a group share.
pub(super) struct State<E: 'static> {
    pub(super) event_loop: LoopHandle,
    /// Where the group was made.
    pub(super) site: &'static Location<'static>,
    /// Where the body runs.
    pub(super) scope: ScopeRef,
    /// The tasks that are not over, or whose end the group has not heard of yet.
    pub(super) children: RefCell<Slab<TaskRef>>,
    pub(super) phase: Cell<Phase>,
    /// Children and body have been asked to stop.
    pub(super) aborting: Cell<bool>,
    /// A child that failed has had the body asked to stop.
    pub(super) asked_body: Cell<bool>,
    /// Done when the last child is, while the group waits for that.
    pub(super) all_over: RefCell<Option<Future<()>>>,
    /// What has failed, in that order.
    pub(super) failures: RefCell<Vec<Failure<E>>>,
    /// The first panic of a child.
    pub(super) panic: RefCell<Option<PanicError>>,
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
            scope,
            children: RefCell::default(),
            phase: Cell::new(Phase::Body),
            aborting: Cell::new(false),
            asked_body: Cell::new(false),
            all_over: RefCell::default(),
            failures: RefCell::default(),
            panic: RefCell::default(),
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

    /// Takes a child in; `on_end` looks at how it ended.
    pub(super) fn adopt<T: 'static>(
        self: &Rc<Self>,
        task: &Task<T>,
        on_end: impl FnOnce(&Self, &Future<T>) + 'static,
    ) {
        let child = task.any().into_task().expect("it is a task");
        let place = self.children.borrow_mut().insert(child);
        let group = self.clone();
        task.add_done_callback(move |future| group.child_over(place, future, on_end));
        if self.aborting.get() {
            // It has started at once, and aborted its own group.
            task.cancel();
        }
    }

    /// Asks all children to stop, in the order in which they were made.
    pub(super) fn abort(&self) {
        self.aborting.set(true);
        let mut children: Vec<_> = {
            let children = self.children.borrow();
            children.iter().map(|(_, child)| child.clone()).collect()
        };
        children.sort_by_key(|child| child.head().id());
        for child in children {
            child.cancel(CancelledError::at(None, self.site));
        }
    }

    /// The group hears of the end of a child.
    fn child_over<T: 'static>(
        &self,
        place: usize,
        future: &Future<T>,
        on_end: impl FnOnce(&Self, &Future<T>),
    ) {
        let child = self.children.borrow_mut().remove(place);
        drop(child);
        if self.children.borrow().is_empty() {
            let all_over = self.all_over.borrow().clone();
            // It may be cancelled; then the group looks by itself.
            let _ = all_over.map(|all_over| all_over.set_result(()));
        }
        if self.phase.get() == Phase::Over {
            // Nobody is left to tell.
            return;
        }
        on_end(self, future);
        let panic = future.with_result(|outcome| match outcome {
            Err(ResultError::Panicked(panic)) => Some(panic.clone()),
            _ => None,
        });
        if let Some(panic) = panic {
            self.panic.borrow_mut().get_or_insert(panic);
            self.child_failed();
        }
    }

    fn child_failed(&self) {
        if !self.aborting.get() && !self.asked_body.replace(true) {
            self.abort();
            self.scope.request(CancelledError::at(None, self.site));
        }
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
