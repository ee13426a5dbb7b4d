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
//! Places are numbers that ascend. Waiters lie in a ring, each at its place; who leaves from the middle
//! leaves a gap, and when the ring is full and has many, the others move up. Who leaves from the front of a
//! ring that is not long is left where it was, and used again by whoever joins at that point of the ring: waiting
//! again and again for the same thing allocates nothing. What is left there has nothing of a user's, but keeps
//! the memory of its loop, which may be closed, as long as the primitive lives.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::ptr;
use std::rc::Rc;
use std::task::Context;

use super::Bond;
use super::waiter::Waiter;
use crate::event_loop::{LoopState, current, write_over};
use crate::futures::purpose::InLine;
use crate::snapshot::AwaitedKind;

/// The length that a ring begins with.
const SHORT: usize = 4;
/// In a longer ring nobody is left to be used again: what a line keeps has a bound.
const LONG: usize = 128;

/// Waiters in the order in which they came.
///
/// **Invariant:** nothing is borrowed while a waiter is woken or dropped.
pub(crate) struct Line {
    /// What those who wait here wait for.
    kind: AwaitedKind,
    /// Its length is a power of two, or zero.
    ring: RefCell<Vec<Option<Rc<Waiter>>>>,
    /// The place of the first waiter; the same as `end` if there is none.
    first: Cell<u64>,
    /// The place of the next one who joins.
    end: Cell<u64>,
    /// How many places from the first to the end are gaps. The first is none.
    gaps: Cell<u64>,
    /// No waiter before this place is pending.
    pending: Cell<u64>,
    /// All waiters before this place are cancelled.
    live: Cell<u64>,
}

/// What has come of somebody's waiting.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing yet.
    Pending,
    /// Its turn has come, and it has left the line.
    Come,
    /// It was cancelled, and that is raised.
    Cancelled,
}

/// Where in a ring a place is.
#[inline]
fn index(place: u64, ring: &[Option<Rc<Waiter>>]) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "only the low bits matter, for the length is a power of two"
    )]
    let place = place as usize;
    place & ring.len().wrapping_sub(1)
}

impl Line {
    pub(crate) fn new(kind: AwaitedKind) -> Self {
        Self {
            kind,
            ring: RefCell::default(),
            first: Cell::new(0),
            end: Cell::new(0),
            gaps: Cell::new(0),
            pending: Cell::new(0),
            live: Cell::new(0),
        }
    }

    /// How many wait, with those whose tasks have not run since they were woken or cancelled.
    pub(crate) fn len(&self) -> usize {
        let len = self.end.get() - self.first.get() - self.gaps.get();
        usize::try_from(len).expect("they are in memory")
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.first.get() == self.end.get()
    }

    /// Looks at the first waiter who is `wanted`, from `cursor` on, which moves there.
    #[inline]
    fn seek<R>(
        &self,
        cursor: &Cell<u64>,
        wanted: impl Fn(&Waiter) -> bool,
        look: impl FnOnce(&Rc<Waiter>) -> R,
    ) -> Option<R> {
        let ring = self.ring.borrow();
        let mut place = cursor.get().max(self.first.get());
        let mut found = None;
        while place != self.end.get() {
            found = ring[index(place, &ring)].as_ref().filter(|it| wanted(it));
            if found.is_some() {
                break;
            }
            place += 1;
        }
        cursor.set(place);
        found.map(look)
    }

    /// Whether anybody waits who is not cancelled.
    #[inline]
    pub(crate) fn has_live(&self) -> bool {
        !self.is_empty() && self.finds_live()
    }

    fn finds_live(&self) -> bool {
        let is_live = |waiter: &Waiter| !waiter.is_cancelled();
        self.seek(&self.live, is_live, |_| ()).is_some()
    }

    // ---- waking

    /// Wakes the one in front, unless that is woken or cancelled already.
    #[inline]
    pub(crate) fn wake_front(&self) {
        if !self.is_empty() {
            self.wake_who_is_in_front();
        }
    }

    fn wake_who_is_in_front(&self) {
        let front = {
            let ring = self.ring.borrow();
            let front = ring[index(self.first.get(), &ring)].as_ref();
            front.filter(|front| front.is_pending()).cloned()
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
        let next = self.seek(&self.pending, Waiter::is_pending, Rc::clone);
        next.inspect(|next| next.wake()).is_some()
    }

    /// Wakes all that are pending now.
    pub(crate) fn wake_all(&self) {
        // Waking may call wakers of other crates, which may have more join.
        let joined = self.end.get();
        while let Some(next) = self.seek(&self.pending, Waiter::is_pending, Rc::clone)
            && next.joined() < joined
        {
            next.wake();
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
        let pending = self.seek(&self.pending, Waiter::is_pending, Rc::clone);
        while !self.is_empty() && self.first.get() != self.pending.get() {
            self.pop_front();
        }
        if let Some(pending) = pending {
            self.pop_front();
            pending.wake();
        }
    }

    /// Lets everybody out of the line, and wakes those who are pending.
    pub(crate) fn release_all(&self) {
        let mut waiters = Vec::with_capacity(self.len());
        for place in self.first.get()..self.end.get() {
            let ring = self.ring.borrow();
            let index = index(place, &ring);
            waiters.extend(ring[index].clone());
        }
        self.first.set(self.end.get());
        self.gaps.set(0);
        self.forget_length();
        for waiter in waiters {
            if waiter.is_pending() {
                waiter.wake();
            }
        }
    }

    // ---- joining

    /// Has somebody join who waits at `site`, and is polled in loop `running`. All that wait in one line
    /// wait in the same loop.
    ///
    /// # Panics
    ///
    /// If no loop runs, or another one than the primitive is tied to.
    #[inline(never)]
    pub(super) fn wait(
        &self,
        waiting: &mut Option<Rc<Waiter>>,
        bond: &Bond,
        site: &'static Location<'static>,
        running: *const LoopState,
        cx: &Context<'_>,
    ) {
        debug_assert!(waiting.is_none(), "it stands in line once");
        write_over(waiting, Some(self.join_in(running, bond, site)));
        if let Some(waiter) = waiting {
            waiter.register_first(cx);
        }
    }

    /// Has somebody join who waits at `site`.
    ///
    /// # Panics
    ///
    /// If no loop runs, or another one than the primitive is tied to.
    pub(super) fn join(&self, bond: &Bond, site: &'static Location<'static>) -> Rc<Waiter> {
        self.join_in(current::polling().unwrap_or(ptr::null()), bond, site)
    }

    #[inline]
    fn join_in(
        &self,
        running: *const LoopState,
        bond: &Bond,
        site: &'static Location<'static>,
    ) -> Rc<Waiter> {
        let place = self.end.get();
        let mut ring = self.ring.borrow_mut();
        let index = index(place, &ring);
        // Nobody else has a waiter whose await is over, but perhaps a task, as what it awaited. Of one
        // that stands in line its await has one; so if the ring is full this finds nothing.
        if let Some(Some(spare)) = ring.get_mut(index)
            && let Some(waiter) = Rc::get_mut(spare)
            && ptr::eq(Rc::as_ptr(waiter.lp()), running)
        {
            waiter.renew(site, place);
            self.end.set(place + 1);
            return spare.clone();
        }
        drop(ring);
        self.join_anew(bond, site)
    }

    #[inline(never)]
    fn join_anew(&self, bond: &Bond, site: &'static Location<'static>) -> Rc<Waiter> {
        let lp = bond.running_loop();
        let purpose = InLine {
            kind: self.kind,
            site: bond.site(),
        };
        self.make_room();
        let place = self.end.get();
        let waiter = Rc::new(Waiter::new(&lp, purpose, site, place));
        self.end.set(place + 1);
        let spare = {
            let mut ring = self.ring.borrow_mut();
            let index = index(place, &ring);
            ring[index].replace(waiter.clone())
        };
        drop(spare);
        waiter
    }

    /// If the ring is full, has its waiters close up, and makes it larger if there were few gaps.
    fn make_room(&self) {
        let mut ring = self.ring.borrow_mut();
        let (len, end) = (ring.len(), self.end.get());
        if end - self.first.get() < len as u64 {
            return;
        }
        let waiters = (self.first.get()..end).filter_map(|place| {
            let index = index(place, &ring);
            ring[index].take()
        });
        let waiters: Vec<_> = waiters.collect();
        let len = match waiters.len() * 2 > len {
            true => SHORT.max(len * 2),
            false => len,
        };
        ring.resize_with(SHORT.max(len), || None);
        let first = end - waiters.len() as u64;
        for (place, waiter) in (first..).zip(waiters) {
            waiter.set_place(place);
            let index = index(place, &ring);
            ring[index] = Some(waiter);
        }
        self.first.set(first);
        self.gaps.set(0);
        // Everybody moved towards the end, if at all: what is said of who stands before a cursor holds.
    }

    // ---- leaving

    /// Polls somebody who waits.
    ///
    /// # Panics
    ///
    /// If it was cancelled, and there is no task to be unwound.
    #[inline(never)]
    pub(super) fn poll(&self, waiting: &mut Option<Rc<Waiter>>, cx: &Context<'_>) -> Turn {
        let Some(waiter) = waiting else {
            unreachable!("looked at by the caller");
        };
        if current::is_unwinding_in(waiter.lp()) {
            let _: std::task::Poll<()> = current::pending_while_unwinding(cx);
            return Turn::Pending;
        }
        if waiter.is_pending() {
            waiter.register(cx);
            return Turn::Pending;
        }
        if waiter.is_cancelled() {
            waiter.raise();
            return Turn::Cancelled;
        }
        self.leave(waiter);
        waiter.get_through();
        *waiting = None;
        Turn::Come
    }

    /// Takes a waiter out, unless it was taken out before.
    #[inline(always)]
    pub(super) fn leave(&self, waiter: &Waiter) {
        if waiter.place() == self.first.get() {
            self.pop_front();
        } else if waiter.place() > self.first.get() {
            self.leave_gap(waiter.place());
        }
    }

    /// Takes out the first one. The line is not empty.
    #[inline(always)]
    fn pop_front(&self) {
        let is_long = self.ring.borrow().len() > LONG;
        if is_long || self.gaps.get() > 0 {
            return self.pop_front_of_many();
        }
        self.first.set(self.first.get() + 1);
    }

    #[inline(never)]
    fn pop_front_of_many(&self) {
        let first = self.first.get();
        let left = {
            let mut ring = self.ring.borrow_mut();
            let index = index(first, &ring);
            match ring.len() {
                0..=LONG => None,
                _ => ring[index].take(),
            }
        };
        self.first.set(self.skip_gaps(first + 1));
        drop(left);
        if self.is_empty() {
            self.forget_length();
        }
    }

    /// A line that was long, and is empty, begins anew: with a short ring.
    fn forget_length(&self) {
        let is_long = self.ring.borrow().len() > LONG;
        let old = if is_long {
            self.ring.take()
        } else {
            Vec::new()
        };
        drop(old);
    }

    /// The next place that is no gap.
    fn skip_gaps(&self, mut place: u64) -> u64 {
        let ring = self.ring.borrow();
        while place != self.end.get() && ring[index(place, &ring)].is_none() {
            self.gaps.set(self.gaps.get() - 1);
            place += 1;
        }
        place
    }

    #[inline(never)]
    fn leave_gap(&self, place: u64) {
        let left = {
            let mut ring = self.ring.borrow_mut();
            let index = index(place, &ring);
            ring[index].take()
        };
        self.gaps.set(self.gaps.get() + 1);
        drop(left);
    }
}
