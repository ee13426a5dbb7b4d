//! Waiting in line: what all primitives and queues share.
//!
//! Whoever has to wait joins a [`Line`] as a [`Waiter`], and is woken there. As in asyncio it stays in
//! the line until its task runs again:
//!
//! | a waiter is | because | it leaves the line |
//! | --- | --- | --- |
//! | pending | nobody has woken it | when its await is dropped |
//! | woken | its turn has come | in its task's next step: it gets through, or its await is dropped |
//! | cancelled | its task was asked to stop | in its task's next step, which raises that |
//!
//! Completed waiters are at no fixed end of the line, but a waiter that is not pending never is again,
//! and one that is cancelled stays so. Two cursors that only move towards the end therefore find the
//! first waiter of a kind without looking at any twice.
//!
//! A line keeps a few waiters that have got through, for those who join later: whoever waits again and
//! again for the same thing allocates nothing.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::Location;
use std::rc::Rc;

use super::waiter::Waiter;
use crate::event_loop::LoopState;
use crate::futures::purpose::InLine;

/// How many spent waiters a line keeps.
const SPARE: usize = 16;

/// Waiters in the order in which they came.
///
/// **Invariant:** nothing is borrowed while a waiter is woken or dropped.
#[derive(Default)]
pub(crate) struct Line {
    list: RefCell<List>,
    /// How many are in the list: to see quickly that nobody is.
    len: Cell<usize>,
}

/// Numbers ascend, so that a waiter can leave from the middle at little cost.
#[derive(Default)]
struct List {
    /// The first one is no gap.
    places: VecDeque<Place>,
    /// How many gaps there are.
    gaps: usize,
    /// No waiter before this place is pending.
    pending: usize,
    /// All waiters before this place are cancelled.
    live: usize,
    /// How many have joined so far.
    joined: u64,
    /// Spent waiters, to be used again.
    spare: Vec<Rc<Waiter>>,
}

struct Place {
    /// How many had joined before.
    number: u64,
    /// `None` is a gap: it has left.
    waiter: Option<Rc<Waiter>>,
}

impl List {
    #[inline]
    fn push(&mut self, waiter: Rc<Waiter>) {
        self.places.push_back(Place {
            number: waiter.number(),
            waiter: Some(waiter),
        });
    }

    #[inline]
    fn front(&self) -> Option<&Rc<Waiter>> {
        self.places.front()?.waiter.as_ref()
    }

    #[inline]
    fn pop_front(&mut self) -> Option<Rc<Waiter>> {
        let first = self.places.pop_front()?;
        let mut left = 1;
        while self.front().is_none() && self.places.pop_front().is_some() {
            self.gaps -= 1;
            left += 1;
        }
        for cursor in [&mut self.pending, &mut self.live] {
            *cursor = cursor.saturating_sub(left);
        }
        first.waiter
    }

    /// Takes a waiter out, unless it was taken out before.
    #[inline]
    fn remove(&mut self, number: u64) -> Option<Rc<Waiter>> {
        let first = self.places.front()?.number;
        if first == number {
            return self.pop_front();
        }
        self.remove_behind(number)
    }

    #[inline(never)]
    fn remove_behind(&mut self, number: u64) -> Option<Rc<Waiter>> {
        let found = self.places.binary_search_by_key(&number, |it| it.number);
        let waiter = self.places[found.ok()?].waiter.take()?;
        self.gaps += 1;
        if self.gaps * 2 > self.places.len() {
            self.places.retain(|place| place.waiter.is_some());
            (self.gaps, self.pending, self.live) = (0, 0, 0);
        }
        Some(waiter)
    }

    /// The place from `cursor` on of the first waiter who is `wanted`.
    #[inline]
    fn seek(&self, mut cursor: usize, wanted: impl Fn(&Waiter) -> bool) -> usize {
        while let Some(Place { waiter, .. }) = self.places.get(cursor) {
            if waiter.as_deref().is_some_and(&wanted) {
                break;
            }
            cursor += 1;
        }
        cursor
    }

    /// The first waiter that is pending.
    #[inline]
    fn first_pending(&mut self) -> Option<&Rc<Waiter>> {
        self.pending = self.seek(self.pending, Waiter::is_pending);
        self.places.get(self.pending)?.waiter.as_ref()
    }

    /// Whether there is a waiter that is not cancelled.
    #[inline]
    fn has_live(&mut self) -> bool {
        self.live = self.seek(self.live, |waiter| !waiter.is_cancelled());
        self.live < self.places.len()
    }
}

impl Line {
    /// How many wait, with those whose tasks have not run since they were woken or cancelled.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether anybody waits who is not cancelled.
    #[inline]
    pub(crate) fn has_live(&self) -> bool {
        !self.is_empty() && self.list.borrow_mut().has_live()
    }

    /// Wakes the one in front, unless that is woken or cancelled already.
    #[inline]
    pub(crate) fn wake_front(&self) {
        if !self.is_empty() {
            self.wake_who_is_in_front();
        }
    }

    fn wake_who_is_in_front(&self) {
        let front = {
            let list = self.list.borrow();
            list.front().filter(|front| front.is_pending()).cloned()
        };
        if let Some(front) = front {
            front.wake();
        }
    }

    /// Wakes the first one that is pending; says whether there was one.
    #[inline]
    pub(crate) fn wake_next(&self) -> bool {
        !self.is_empty() && self.wake_first_pending()
    }

    fn wake_first_pending(&self) -> bool {
        let next = self.list.borrow_mut().first_pending().cloned();
        next.inspect(|next| next.wake()).is_some()
    }

    /// Wakes all that are pending now.
    pub(crate) fn wake_all(&self) {
        if self.is_empty() {
            return;
        }
        // Waking may call wakers of other crates, which may have more join.
        let joined = self.list.borrow().joined;
        loop {
            let next = {
                let mut list = self.list.borrow_mut();
                let next = list.first_pending();
                next.filter(|next| next.number() < joined).cloned()
            };
            match next {
                Some(next) => next.wake(),
                None => break,
            }
        }
    }

    /// Lets everybody up to the first one that is pending out of the line, and wakes that one.
    #[inline]
    pub(crate) fn release_next(&self) {
        if !self.is_empty() {
            self.release_first_pending();
        }
    }

    fn release_first_pending(&self) {
        while let Some(front) = self.take_front() {
            if front.is_pending() {
                return front.wake();
            }
        }
    }

    fn take_front(&self) -> Option<Rc<Waiter>> {
        let front = self.list.borrow_mut().pop_front()?;
        self.len.set(self.len() - 1);
        Some(front)
    }

    /// Has somebody join who waits at `site`. All that wait in one line wait in the same loop, for the
    /// same `purpose`.
    pub(super) fn join(
        &self,
        lp: &Rc<LoopState>,
        site: &'static Location<'static>,
        purpose: impl FnOnce() -> InLine,
    ) -> Rc<Waiter> {
        self.len.set(self.len() + 1);
        let mut list = self.list.borrow_mut();
        let number = list.joined;
        list.joined += 1;
        let spare = list.spare.pop().and_then(|mut spare| {
            // A task may still have it noted as what it awaited.
            Rc::get_mut(&mut spare)?.renew(site, number);
            Some(spare)
        });
        let waiter = spare.unwrap_or_else(|| Rc::new(Waiter::new(lp, purpose(), site, number)));
        list.push(waiter.clone());
        waiter
    }

    /// Takes a waiter out, unless it was taken out before.
    pub(super) fn leave(&self, waiter: &Waiter) {
        let left = self.list.borrow_mut().remove(waiter.number());
        if left.is_some() {
            self.len.set(self.len() - 1);
        }
    }

    /// The same for one that was woken, and whose await is over.
    pub(super) fn get_through(&self, waiter: Rc<Waiter>) {
        let mut list = self.list.borrow_mut();
        let left = list.remove(waiter.number());
        if left.is_some() {
            self.len.set(self.len() - 1);
        }
        if list.spare.len() < SPARE && waiter.is_spent() {
            list.spare.push(waiter);
            return;
        }
        drop(list);
        waiter.let_go();
    }

    /// Lets everybody out of the line, and wakes those who are pending.
    pub(crate) fn release_all(&self) {
        let places = {
            let mut list = self.list.borrow_mut();
            // Nobody who joins later is taken for one of these: the numbers go on.
            (list.gaps, list.pending, list.live) = (0, 0, 0);
            std::mem::take(&mut list.places)
        };
        self.len.set(0);
        for waiter in places.iter().filter_map(|place| place.waiter.as_ref()) {
            if waiter.is_pending() {
                waiter.wake();
            }
        }
    }
}
