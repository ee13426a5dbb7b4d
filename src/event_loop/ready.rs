//! What the ready queue holds: anything that runs once.
//!
//! An entry is one pointer to one allocation, made when the callback was scheduled or the task was
//! created; queueing allocates nothing.

use std::mem;
use std::pin::Pin;
use std::rc::Rc;

use moveit::Emplace;

use super::observe::About;
use super::order::{Lane, Order, Shuffler};
use super::remote::Posted;
use super::state::LoopState;
use crate::observe::EntryKind;
use crate::tasks::Stepper;

/// An entry of the ready queue.
pub(crate) type Ready = Pin<Rc<dyn Run>>;

/// The ready queue.
///
/// A turn takes out all of it, and what it schedules goes into another vector: so neither end of a
/// queue has to be kept, and scheduling and running cost a few instructions.
#[derive(Default)]
pub(super) struct ReadyQueue {
    /// What the next turn runs, first in, first out.
    next: Vec<Ready>,
    /// Empty but for its capacity.
    spare: Vec<Ready>,
    /// There is none in a loop that is first in, first out.
    shuffler: Option<Box<Shuffler>>,
}

impl ReadyQueue {
    #[inline]
    pub(super) fn push(&mut self, entry: Ready) {
        self.next.push(entry);
    }

    pub(super) fn extend(&mut self, entries: impl IntoIterator<Item = Ready>) {
        self.next.extend(entries);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.next.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.next.len()
    }

    /// The entry, if there is just one: callbacks and tasks that cause each other have a turn each.
    #[inline]
    pub(super) fn take_only(&mut self) -> Option<Ready> {
        if self.next.len() == 1 {
            self.next.pop()
        } else {
            None
        }
    }

    /// Takes out everything.
    #[inline]
    pub(super) fn take(&mut self) -> Vec<Ready> {
        mem::replace(&mut self.next, mem::take(&mut self.spare))
    }

    /// From now on batches are run in this order.
    pub(super) fn set_order(&mut self, order: Order) {
        self.shuffler = Shuffler::of(order).map(Box::new);
    }

    /// Whether a batch is to be put in another order.
    #[inline]
    pub(super) fn shuffles(&self) -> bool {
        self.shuffler.is_some()
    }

    /// Puts a batch in another order; what comes at `i` then came at `order[i]`.
    #[cold]
    pub(super) fn shuffle(&mut self, batch: &mut Vec<Ready>) -> Vec<usize> {
        let Some(shuffler) = &mut self.shuffler else {
            return (0..batch.len()).collect();
        };
        let lanes: Vec<_> = batch.iter().map(|entry| entry.lane()).collect();
        let order = shuffler.order(&lanes);
        let mut entries: Vec<_> = batch.drain(..).map(Some).collect();
        let entries = order.iter().map(|&from| entries[from].take());
        batch.extend(entries.map(|entry| entry.expect("an order has each place once")));
        order
    }

    /// Takes back what `take` gave, with nothing in it.
    #[inline]
    pub(super) fn give_back(&mut self, mut emptied: Vec<Ready>) {
        // After a burst only one vector is large: it is for the next burst, too.
        if emptied.capacity() > self.next.capacity() && self.next.len() <= FEW {
            emptied.append(&mut self.next);
            mem::swap(&mut self.next, &mut emptied);
        }
        self.spare = emptied;
    }
}

/// So many entries are moved for the sake of the vector they are in.
const FEW: usize = 16;

/// Something that can be ready: a callback, a timer that is due, a done-callback, a step of a task.
pub(crate) trait Run {
    /// Runs it. A panic of user code comes out of it.
    fn run(self: Pin<Rc<Self>>, lp: &Rc<LoopState>, stepper: &mut Stepper<'_>);

    /// What it is, for those who observe the loop.
    fn about(&self) -> About;

    /// What it keeps its order with in a shuffled batch; nothing but itself, unless it says so.
    fn lane(&self) -> Lane {
        Lane::of(self)
    }

    /// Runs it, and shows other threads that it does. In one go, for it is done with every entry while
    /// a watchdog is there.
    fn run_shown(self: Pin<Rc<Self>>, lp: &Rc<LoopState>, stepper: &mut Stepper<'_>) {
        lp.observers.beat(&self.about());
        self.run(lp, stepper);
    }

    /// Drops the closure that will not be called, because the loop closes.
    fn discard(&self) {}
}

/// The entry that stands for the next item of the loop's mail. There is one per loop, queued as
/// often as there are items.
pub(super) struct NextMail;

impl Run for NextMail {
    fn run(self: Pin<Rc<Self>>, lp: &Rc<LoopState>, _stepper: &mut Stepper<'_>) {
        lp.callback_site.set(None);
        let posted = lp.mail.borrow_mut().pop_front();
        match posted {
            Some(Posted::Call(errand)) => errand.run(lp),
            Some(Posted::Stop) => lp.stopping.set(true),
            Some(Posted::Wake(waker)) => {
                waker.received();
                lp.wake(waker.key());
            }
            None => {}
        }
    }

    fn lane(&self) -> Lane {
        Lane::Callbacks
    }

    fn about(&self) -> About {
        About {
            kind: EntryKind::Posted,
            site: None,
            task: None,
        }
    }
}

/// `Rc::pin`, but the value is made where it stays.
///
/// `Rc::pin` is given a value that is complete, on the stack, and copies it; to read in large words
/// what was just written in small ones makes the processor wait, for longer than all the rest takes.
#[inline]
pub(crate) fn pin_in_place<T>(make: impl FnOnce() -> T) -> Pin<Rc<T>> {
    Rc::<T>::emplace(moveit::new::by(make))
}

/// Writes over something that needs no drop, though its type may: the compiler would look for that, and
/// would put the new value together elsewhere first; see [`pin_in_place`].
#[inline(always)]
pub(crate) fn write_over<T>(place: &mut T, value: T) {
    mem::forget(mem::replace(place, value));
}
