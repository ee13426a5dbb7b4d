//! What lets so many tasks in at a time: locks and semaphores, of all peers alike.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::{Measured, Meter, Peer};

/// A lock or a semaphore.
pub(crate) trait Turnstile: 'static {
    /// For so many at a time.
    fn new(permits: usize) -> Self;

    /// Goes in, yields inside, and leaves.
    fn pass<P: Peer>(&self) -> impl Future<Output = ()>;
}

/// Tasks that pass.
const TASKS: u64 = 100;
/// How often each does.
const PASSES: u64 = 2000;

/// The workload.
pub(crate) fn peer<P: Peer, T: Turnstile>(permits: usize, meter: Meter) -> Measured {
    async fn passer<P: Peer, T: Turnstile>(turnstile: Rc<T>) -> u64 {
        for _ in 0..PASSES {
            turnstile.pass::<P>().await;
        }
        PASSES
    }
    P::run(|peer| async move {
        let tasks = async || {
            let turnstile = Rc::new(T::new(permits));
            let passers = (0..TASKS).map(|_| peer.spawn(passer::<P, T>(turnstile.clone())));
            let passers: Vec<_> = passers.collect();
            let mut sum = 0;
            for passer in passers {
                sum += passer.await;
            }
            sum
        };
        meter.run_async(TASKS * PASSES, tasks).await
    })
}

/// A table of tasks, a queue of their numbers, and a queue in front of the turnstile.
#[derive(Default)]
struct Table {
    ready: RefCell<VecDeque<usize>>,
    running: Cell<usize>,
    permits: Cell<usize>,
    waiting: RefCell<VecDeque<usize>>,
}

impl Table {
    /// Goes in at once, or when it is resumed: it was handed the permit then.
    async fn enter(&self) {
        if let Some(left) = self.permits.get().checked_sub(1) {
            return self.permits.set(left);
        }
        self.waiting.borrow_mut().push_back(self.running.get());
        suspend().await;
    }

    async fn yield_now(&self) {
        self.ready.borrow_mut().push_back(self.running.get());
        suspend().await;
    }

    fn leave(&self) {
        match self.waiting.borrow_mut().pop_front() {
            Some(next) => self.ready.borrow_mut().push_back(next),
            None => self.permits.set(self.permits.get() + 1),
        }
    }
}

async fn suspend() {
    let mut suspended = false;
    poll_fn(|_| match std::mem::replace(&mut suspended, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// The same work by hand.
pub(crate) fn floor(permits: usize, meter: Meter) -> Measured {
    async fn passer(table: Rc<Table>, sum: Rc<Cell<u64>>) {
        for _ in 0..PASSES {
            table.enter().await;
            table.yield_now().await;
            table.leave();
            sum.set(sum.get() + 1);
        }
    }
    let mut context = Context::from_waker(Waker::noop());
    meter.run(TASKS * PASSES, || {
        let table = Rc::new(Table::default());
        table.permits.set(permits);
        let sum = Rc::new(Cell::new(0));
        let tasks = (0..TASKS).map(|_| Box::pin(passer(table.clone(), sum.clone())) as _);
        let mut tasks: Vec<Pin<Box<dyn Future<Output = ()>>>> = tasks.collect();
        table.ready.borrow_mut().extend(0..tasks.len());
        loop {
            let Some(number) = table.ready.borrow_mut().pop_front() else {
                break;
            };
            table.running.set(number);
            let _ = tasks[number].as_mut().poll(&mut context);
        }
        sum.get()
    })
}
