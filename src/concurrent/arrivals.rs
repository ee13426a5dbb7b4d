//! What a thread that waits for several concurrent futures listens with.
//!
//! It leaves a waker with each of them, as an await does. Woken, it rings a bell that they share, with the
//! place of the future among them; the thread is notified when as many have come as it wants.

use std::borrow::Borrow;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::task::{Wake, Waker};

use super::Future;
use super::absent::{Absent, is_expected};
use super::blocking::{Awaited, Deadline, NotDone, block_until};
use crate::sync::{Condvar, Mutex};

/// Several futures, each of which arrives when it is done, once.
pub(super) struct Arrivals<T: 'static> {
    bell: Arc<Bell>,
    /// Each holds the waker that it has left, and withdraws it when it goes. Empty once it has been taken.
    expected: Vec<Option<Future<T>>>,
}

struct Bell {
    rung: Mutex<Rung>,
    /// As many have come as are wanted.
    enough: Condvar,
}

struct Rung {
    /// The places of those that have come and were not taken.
    come: VecDeque<usize>,
    /// With fewer nobody is notified.
    wanted: usize,
    absent: Absent,
}

impl Awaited for Rung {
    fn is_over(&self) -> bool {
        self.come.len() >= self.wanted
    }

    fn absent(&mut self) -> &mut Absent {
        &mut self.absent
    }
}

/// What is left with a future.
struct Ticket {
    bell: Arc<Bell>,
    place: usize,
}

impl<T: 'static> Arrivals<T> {
    /// Listens to each of `futures`. Those that are done come at once, in this order.
    pub(super) fn of<H: Borrow<Future<T>>>(futures: &[H]) -> Self {
        let bell = Arc::new(Bell {
            rung: Mutex::new(Rung {
                come: VecDeque::new(),
                wanted: 1,
                absent: Absent::default(),
            }),
            enough: Condvar::new(),
        });
        let listen = |(place, future): (usize, &H)| {
            let mut future: Future<T> = future.borrow().clone();
            let ticket = Arc::new(Ticket {
                bell: bell.clone(),
                place,
            });
            if !future.wake_when_done(&Waker::from(ticket)) {
                bell.ring(place);
            }
            Some(future)
        };
        let expected = futures.iter().enumerate().map(listen).collect();
        Self { bell, expected }
    }

    /// Blocks until `wanted` have come that were not taken.
    pub(super) fn wait(&self, wanted: usize, deadline: Deadline) -> Result<(), NotDone> {
        let mut rung = self.bell.rung.lock();
        rung.wanted = wanted;
        if rung.is_over() {
            return Ok(());
        }
        drop(rung);
        let brought_by = self.brought_by();
        block_until(
            &self.bell.enough,
            self.bell.rung.lock(),
            deadline,
            brought_by,
        )
    }

    /// The loop that alone brings those which are not done, if it is one and waits for this thread.
    fn brought_by(&self) -> Option<u64> {
        if !is_expected() {
            return None;
        }
        let mut open = self.expected.iter().flatten().filter(|it| !it.done());
        let brought_by = open.next()?.brought_by()?;
        open.all(|future| future.brought_by() == Some(brought_by))
            .then_some(brought_by)
    }

    /// Takes one that has come, and gives its place.
    pub(super) fn take(&mut self) -> Option<(usize, Future<T>)> {
        let place = self.bell.rung.lock().come.pop_front()?;
        let future = self.expected[place].take();
        Some((place, future.expect("it comes once")))
    }
}

impl Bell {
    fn ring(&self, place: usize) {
        let mut rung = self.rung.lock();
        rung.come.push_back(place);
        let enough = rung.is_over();
        if enough {
            rung.absent.come_back();
        }
        drop(rung);
        if enough {
            self.enough.notify_one();
        }
    }
}

impl Wake for Ticket {
    fn wake(self: Arc<Self>) {
        self.bell.ring(self.place);
    }
}

/// Leaves the first handle of each future.
pub(super) fn distinct<H: Borrow<Future<T>>, T: 'static>(
    futures: impl IntoIterator<Item = H>,
) -> Vec<H> {
    let mut seen = HashSet::new();
    let futures = futures.into_iter();
    futures
        .filter(|future| seen.insert(future.borrow().address()))
        .collect()
}
