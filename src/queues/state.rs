//! What the handles of a queue share.
//!
//! Items go in and come out by the [`Container`], which may be a user's code (and so is the comparison of items
//! in a priority queue). It is borrowed for that; whatever needs it meanwhile panics with a message, and what
//! only counts works on. Everything else that is user code, wakers and the drops of items, runs after that.

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::iter;
use std::rc::Rc;

use super::{Container, GetNowaitError, PutNowaitError, TaskDoneError};
use crate::locks::{Bond, Gate, Line};
use crate::snapshot::AwaitedKind;

pub(super) struct Shared<C> {
    pub(super) bond: Bond,
    /// Zero is no limit.
    pub(super) maxsize: usize,
    /// Borrowed while it does something, and nowhere else.
    items: RefCell<C>,
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
            items: RefCell::new(items),
            is_shut_down: Cell::new(false),
            getters: Line::new(AwaitedKind::QueueGet),
            putters: Line::new(AwaitedKind::QueuePut),
            joiners: Line::new(AwaitedKind::QueueJoin),
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

    /// The container, to have it do something.
    ///
    /// # Panics
    ///
    /// If it is doing something already.
    #[inline]
    fn items(&self) -> Items<'_, C> {
        match self.items.try_borrow_mut() {
            Ok(items) => Items {
                shared: self,
                items,
            },
            Err(_) => self.panic_in_use(),
        }
    }

    #[cold]
    fn panic_in_use(&self) -> ! {
        panic!(
            "{} is used by its own container, or by a comparison of its items",
            self.bond
        );
    }

    #[inline]
    pub(super) fn put_nowait(&self, item: C::Item) -> Result<(), PutNowaitError<C::Item>> {
        if self.is_shut_down() {
            return Err(PutNowaitError::QueueShutDown(item));
        }
        if self.is_full() {
            return Err(PutNowaitError::QueueFull(item));
        }
        let mut put = Put {
            shared: self,
            before: self.len(),
            is_ok: false,
        };
        self.items().items.push(item);
        put.is_ok = true;
        Ok(())
    }

    #[inline]
    pub(super) fn get_nowait(&self) -> Result<C::Item, GetNowaitError> {
        if self.len() == 0 {
            return Err(match self.is_shut_down() {
                true => GetNowaitError::QueueShutDown,
                false => GetNowaitError::QueueEmpty,
            });
        }
        // Also if the container panics: then there may be room all the same.
        let _wakes = Got(self);
        let item = self.items().items.pop();
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
        let mut emptied = Emptied {
            shared: self,
            dropped: Vec::with_capacity(self.len()),
        };
        let mut items = self.items();
        emptied.dropped.extend(iter::from_fn(|| items.items.pop()));
    }
}

/// The container, while it does something. When that is over, what is in it is counted.
struct Items<'a, C: Container> {
    shared: &'a Shared<C>,
    items: RefMut<'a, C>,
}

impl<C: Container> Drop for Items<'_, C> {
    #[inline]
    fn drop(&mut self) {
        self.shared.len.set(self.items.len());
    }
}

/// An item is being put. Dropped, it is counted, and wakes who waits for it.
struct Put<'a, C: Container> {
    shared: &'a Shared<C>,
    /// How many items there were.
    before: usize,
    /// False if the container panicked, with the item in it or not.
    is_ok: bool,
}

impl<C: Container> Drop for Put<'_, C> {
    #[inline]
    fn drop(&mut self) {
        let Shared {
            unfinished,
            getters,
            ..
        } = self.shared;
        if self.is_ok || self.shared.len() > self.before {
            unfinished.set(unfinished.get() + 1);
            getters.release_next();
        }
    }
}

/// An item is being taken out. Dropped, it wakes who waits for room.
struct Got<'a, C: Container>(&'a Shared<C>);

impl<C: Container> Drop for Got<'_, C> {
    #[inline]
    fn drop(&mut self) {
        self.0.putters.release_next();
    }
}

/// A queue is being shut down at once. Dropped, it tells everybody, and then lets go of the items.
struct Emptied<'a, C: Container> {
    shared: &'a Shared<C>,
    dropped: Vec<C::Item>,
}

impl<C: Container> Drop for Emptied<'_, C> {
    fn drop(&mut self) {
        let Shared {
            unfinished,
            joiners,
            is_shut_down,
            ..
        } = self.shared;
        is_shut_down.set(true);
        let left = unfinished.get().saturating_sub(self.dropped.len());
        if unfinished.replace(left) > 0 && left == 0 {
            joiners.wake_all();
        }
        self.shared.shut_down();
        // The items go last, with everything in order: that is user code.
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
