//! What listens to many futures, and what stands for many.
//!
//! A gather, a `wait()` or a shield hears of its futures through one [`Listener`], registered with
//! each of them: nothing is allocated per future. When one is done the listener is told at once, and
//! queued; what asyncio does in a done-callback, it does when it runs.
//!
//! A gather is a future itself, and what it takes a cancellation for are its [`Members`].

use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::pin::Pin;
use std::ptr;
use std::rc::Rc;

use super::{AnyFuture, AnyRef, Future, FutureRef, State};
use crate::event_loop::{LoopState, Run};

pub(crate) type ListenerRef = Pin<Rc<dyn Listener>>;

/// Something that hears of the end of futures. It is queued once for each of them, in the order in
/// which it is told.
pub(crate) trait Listener: Run {
    /// `done`, with which it is registered under `id`, is done, and `how`. Says whether to queue a run
    /// of this.
    ///
    /// Calls no user code: the future is just being completed.
    fn told(&self, id: u64, done: &dyn AnyFuture, how: State) -> bool;

    /// The future that this completes, for a snapshot, unless what it is told of is inside that.
    fn on_behalf(&self) -> Option<AnyRef> {
        None
    }
}

/// Which of its futures a listener has been told of, and has not been run for.
pub(crate) struct Told {
    /// The registration with the first future; those with the others follow, in order.
    first: u64,
    /// The place of the next one, if it is before `end`: many are done in the order of their places.
    next: Cell<usize>,
    end: Cell<usize>,
    /// The places of those behind them, in the order in which they were done.
    others: RefCell<VecDeque<usize>>,
}

impl Told {
    /// For a listener to `count` futures.
    pub(crate) fn new(lp: &LoopState, count: usize) -> Self {
        Self {
            first: lp.reserve_registrations(count),
            next: Cell::new(0),
            end: Cell::new(0),
            others: RefCell::default(),
        }
    }

    /// The id to register with the future at `place`.
    pub(crate) fn id(&self, place: usize) -> u64 {
        self.first + place as u64
    }

    /// The future with this registration is done.
    #[inline]
    pub(crate) fn add(&self, id: u64) {
        // Where ids are kept they have 48 bits.
        let place = id.wrapping_sub(self.first) & ((1 << 48) - 1);
        let place = usize::try_from(place).expect("it was the place of something in memory");
        let end = self.end.get();
        if place != end || !self.others.borrow().is_empty() {
            return self.add_out_of_turn(place);
        }
        self.end.set(end + 1);
    }

    #[inline(never)]
    fn add_out_of_turn(&self, place: usize) {
        let mut others = self.others.borrow_mut();
        if self.next.get() == self.end.get() && others.is_empty() {
            self.next.set(place);
            self.end.set(place + 1);
        } else {
            others.push_back(place);
        }
    }

    /// The place of the next one to be run for.
    #[inline]
    pub(crate) fn next(&self) -> Option<usize> {
        let next = self.next.get();
        if next == self.end.get() {
            return self.others.borrow_mut().pop_front();
        }
        self.next.set(next + 1);
        Some(next)
    }
}

/// The registrations of a listener with several futures, until this is dropped.
///
/// It has no handles, and is dropped before those that belong to the futures: a gather or a shield that
/// somebody listens to would go on without its last handle.
pub(crate) struct Listening {
    futures: Vec<AnyRef>,
    /// The registration with the first; those with the others follow, in order.
    first: u64,
}

impl Listening {
    /// Has `listener` told of each of `futures`, of those that are done already now.
    pub(crate) fn begin(futures: Vec<AnyRef>, told: &Told, listener: &ListenerRef) -> Self {
        for (place, future) in futures.iter().enumerate() {
            future.listen(told.id(place), listener.clone());
        }
        Self {
            futures,
            first: told.first,
        }
    }

    /// Whether the future at `place` is done.
    pub(crate) fn is_done(&self, place: usize) -> bool {
        self.futures[place].state() != State::Pending
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        for (id, future) in (self.first..).zip(&self.futures) {
            if future.state() == State::Pending {
                future.remove_callback(id);
            }
        }
    }
}

/// A handle may stand for a registration of a listener, which goes with it.
impl<T: 'static> Future<T> {
    /// The handle of a child, with which whoever listens to it is registered under `id`.
    #[inline]
    pub(crate) fn listened(core: FutureRef<T>, id: u64) -> Self {
        core.base().count_handle();
        Self {
            core,
            registration: Cell::new(id),
        }
    }

    /// Whoever listens to it is registered under `id`, with this handle.
    #[inline]
    pub(crate) fn listens(&self, id: u64) {
        self.registration.set(id);
    }

    /// Has `listener` told when it is done, as long as this handle is there.
    pub(crate) fn listen(&self, id: u64, listener: ListenerRef) {
        if self.registration.get() != 0 {
            self.withdraw();
        }
        self.registration.set(id);
        self.core.listen(id, listener);
    }

    /// Lets a registration outlive this handle.
    pub(crate) fn keep_listening(&self) {
        self.registration.set(0);
    }
}

/// An error that comes when whoever listened is over is reported to nobody, as in asyncio; a panic is.
pub(crate) fn looked_at(future: &dyn AnyFuture) {
    if future.state() == State::Ready {
        future.base().observed.set(true);
    }
}

/// For each of the futures whether it is the first of its kind; `None` if no future occurs twice.
pub(crate) fn distinct(futures: &[AnyRef]) -> Option<Vec<bool>> {
    let addresses = || {
        let each = futures.iter();
        each.map(|future| ptr::from_ref::<dyn AnyFuture>(&**future).cast::<()>())
    };
    let mut sorted: Vec<_> = addresses().collect();
    // Usually they are in order already.
    sorted.sort_unstable();
    if sorted.windows(2).all(|pair| pair[0] != pair[1]) {
        return None;
    }
    let mut seen = HashSet::new();
    Some(addresses().map(|address| seen.insert(address)).collect())
}

/// Leaves those of `list` for which `keep` has a `true` at their place.
pub(crate) fn retain<T>(list: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    list.retain(|_| *keep.next().expect("there is one for each"));
}

/// A future that stands for several others, and passes a cancellation on to them.
pub(crate) trait Members {
    /// The member at `index`; `None` behind the last.
    fn member(&self, index: usize) -> Option<AnyRef>;
    /// What is known about which of them take a cancellation.
    fn takers(&self) -> &Takers;
}

/// What is known about which members take a cancellation. Whoever does not now, never will.
#[derive(Default)]
pub(crate) struct Takers {
    /// Members before this one take none.
    next: Cell<usize>,
    /// Something at the bottom, below the member at `next`, that took one when it was last asked.
    found: Cell<Option<AnyRef>>,
}

impl Takers {
    /// What was found before, if it still takes a cancellation.
    fn still_there(&self) -> Option<AnyRef> {
        let found = self.found.take().filter(|found| found.accepts_cancel());
        self.found.set(found.clone());
        found
    }

    fn skip(&self) {
        self.next.set(self.next.get() + 1);
    }

    /// Lets go of what was found.
    pub(crate) fn clear(&self) {
        drop(self.found.take());
    }
}

/// Whether any member, or member of a member, takes a cancellation.
///
/// Members may be nested to any depth: this goes down a path of its own, not the stack, and what it
/// finds is noted all along that path, so that it is not searched for again at every level.
pub(crate) fn any_accepts(top: &dyn Members) -> bool {
    /// All that is on the path stands for others.
    const STANDS: &str = "only what has members is on the path";
    let mut path: Vec<AnyRef> = Vec::new();
    let found = loop {
        let here = path
            .last()
            .map_or(top, |last| last.members().expect(STANDS));
        let takers = here.takers();
        if let Some(found) = takers.still_there() {
            break found;
        }
        match here.member(takers.next.get()) {
            Some(member) if member.state() != State::Pending => takers.skip(),
            Some(member) if member.members().is_some() => path.push(member),
            Some(member) if member.accepts_cancel() => break member,
            Some(_) => takers.skip(),
            None => {
                if path.pop().is_none() {
                    return false;
                }
                let parent = path
                    .last()
                    .map_or(top, |last| last.members().expect(STANDS));
                parent.takers().skip();
            }
        }
    };
    for level in &path {
        let takers = level.members().expect(STANDS).takers();
        takers.found.set(Some(found.clone()));
    }
    top.takers().found.set(Some(found));
    true
}
