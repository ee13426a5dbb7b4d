//! What the handles of a queue share.
//!
//! Items go in and come out by the [`Container`], which is a user's code (so is the comparison of items in
//! a priority queue): it is taken out of its cell for that, and nothing is borrowed. Whatever needs it
//! meanwhile panics with a message; what only counts works on.

use std::cell::Cell;
use std::fmt;
use std::iter;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::thread;

use super::{Container, GetNowaitError, PutNowaitError, TaskDoneError};
use crate::locks::{Bond, Gate, Line};

pub(super) struct Shared<C> {
    pub(super) bond: Bond,
    /// Zero is no limit.
    pub(super) maxsize: usize,
    /// `None` while it is in use.
    items: Cell<Option<C>>,
    /// How many items there are.
    len: Cell<usize>,
    /// How many items were put and not reported done.
    unfinished: Cell<usize>,
    is_shut_down: Cell<bool>,
    getters: Line,
    putters: Line,
    joiners: Line,
}

impl<C: Container> Shared<C> {
    pub(super) fn new(bond: Bond, maxsize: usize, items: C) -> Self {
        let len = Cell::new(items.len());
        Self {
            bond,
            maxsize,
            // What is there from the start has been put.
            unfinished: len.clone(),
            len,
            items: Cell::new(Some(items)),
            is_shut_down: Cell::new(false),
            getters: Line::default(),
            putters: Line::default(),
            joiners: Line::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len.get()
    }

    pub(super) fn is_full(&self) -> bool {
        self.maxsize > 0 && self.len() >= self.maxsize
    }

    pub(super) fn is_shut_down(&self) -> bool {
        self.is_shut_down.get()
    }

    /// Has the container do something, and counts what is in it afterwards. A panic of it is given back
    /// when everything is in order again.
    ///
    /// # Panics
    ///
    /// If it is doing something already.
    #[inline]
    fn with_items<R>(&self, use_them: impl FnOnce(&mut C) -> R) -> thread::Result<R> {
        let Some(mut items) = self.items.take() else {
            panic!(
                "{} is used by its own container, or by a comparison of its items",
                self.bond
            );
        };
        let used = catch_unwind(AssertUnwindSafe(|| use_them(&mut items)));
        self.len.set(items.len());
        self.items.set(Some(items));
        used
    }

    pub(super) fn put_nowait(&self, item: C::Item) -> Result<(), PutNowaitError<C::Item>> {
        if self.is_shut_down() {
            return Err(PutNowaitError::QueueShutDown(item));
        }
        if self.is_full() {
            return Err(PutNowaitError::QueueFull(item));
        }
        let before = self.len();
        let put = self.with_items(|items| items.push(item));
        // A comparison that panics may do so when the item is in already.
        if put.is_ok() || self.len() > before {
            self.unfinished.set(self.unfinished.get() + 1);
            self.getters.release_next();
        }
        put.unwrap_or_else(|payload| resume_unwind(payload));
        Ok(())
    }

    pub(super) fn get_nowait(&self) -> Result<C::Item, GetNowaitError> {
        if self.len() == 0 {
            return Err(match self.is_shut_down() {
                true => GetNowaitError::QueueShutDown,
                false => GetNowaitError::QueueEmpty,
            });
        }
        let item = self.with_items(C::pop);
        self.putters.release_next();
        let item = item.unwrap_or_else(|payload| resume_unwind(payload));
        Ok(item.expect("a container that is not empty gives an item"))
    }

    pub(super) fn task_done(&self) -> Result<(), TaskDoneError> {
        let left = self.unfinished.get().checked_sub(1);
        self.unfinished
            .set(left.ok_or(TaskDoneError::new(self.bond.site()))?);
        if left == Some(0) {
            self.joiners.wake_all();
        }
        Ok(())
    }

    pub(super) fn shut_down(&self) {
        self.is_shut_down.set(true);
        self.getters.release_all();
        self.putters.release_all();
    }

    /// The same, without what is in it. That counts as done.
    pub(super) fn shut_down_immediately(&self) {
        let mut dropped = Vec::with_capacity(self.len());
        let emptied = self.with_items(|items| dropped.extend(iter::from_fn(|| items.pop())));
        self.is_shut_down.set(true);
        let left = self.unfinished.get().saturating_sub(dropped.len());
        if self.unfinished.replace(left) > 0 && left == 0 {
            self.joiners.wake_all();
        }
        self.shut_down();
        // Only now, with everything in order: it is user code.
        drop(dropped);
        emptied.unwrap_or_else(|payload| resume_unwind(payload));
    }
}

impl<C> Shared<C> {
    /// What asyncio prints of a queue.
    pub(super) fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{name} maxsize={}", self.maxsize)?;
        let counts = [
            ("_queue", self.len.get()),
            ("_getters", self.getters.len()),
            ("_putters", self.putters.len()),
        ];
        for (what, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            write!(f, " {what}[{count}]")?;
        }
        match self.unfinished.get() {
            0 => {}
            tasks => write!(f, " tasks={tasks}")?,
        }
        if self.is_shut_down.get() {
            f.write_str(" shutdown")?;
        }
        write!(f, " created at {}>", self.bond.site())
    }
}

/// Those who wait for an item.
pub(super) struct Getters<C>(pub(super) Rc<Shared<C>>);

impl<C> Clone for Getters<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C: Container> Gate for Getters<C> {
    fn bond(&self) -> &Bond {
        &self.0.bond
    }

    fn line(&self) -> &Line {
        &self.0.getters
    }

    #[inline]
    fn enter(&self) -> bool {
        self.0.len() > 0 || self.0.is_shut_down()
    }

    fn woken(&self) -> bool {
        // The item may be gone already.
        self.enter()
    }

    fn gave_up(&self, woken: bool) {
        if woken && self.0.len() > 0 {
            self.0.getters.release_next();
        }
    }
}

/// Those who wait for room.
pub(super) struct Putters<C>(pub(super) Rc<Shared<C>>);

impl<C: Container> Gate for Putters<C> {
    fn bond(&self) -> &Bond {
        &self.0.bond
    }

    fn line(&self) -> &Line {
        &self.0.putters
    }

    #[inline]
    fn enter(&self) -> bool {
        !self.0.is_full() || self.0.is_shut_down()
    }

    fn woken(&self) -> bool {
        // The room may be taken already.
        self.enter()
    }

    fn gave_up(&self, woken: bool) {
        if woken && !self.0.is_full() {
            self.0.putters.release_next();
        }
    }
}

/// Those who wait until everything is done.
pub(super) struct Joiners<C>(pub(super) Rc<Shared<C>>);

impl<C: Container> Gate for Joiners<C> {
    fn bond(&self) -> &Bond {
        &self.0.bond
    }

    fn line(&self) -> &Line {
        &self.0.joiners
    }

    fn enter(&self) -> bool {
        self.0.unfinished.get() == 0
    }

    fn woken(&self) -> bool {
        true
    }

    fn gave_up(&self, _woken: bool) {}
}
