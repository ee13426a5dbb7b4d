//! `oneshot`: two tasks resolve each other's promise in turn.
//!
//! Measured, per operation: make a promise, resolve the other task's, await one's own. Each task
//! finds the other's promise in a slot that both share. The floor has a two-entry table of tasks
//! and a queue of their numbers.

use crate::peers::Callsoon;
use crate::peers::{Compio, LocalPool, Monoio, Smol, TokioLocalRuntime, TokioLocalSet};
use crate::{Measured, Meter, Peer, Row, Target, Unit};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

pub(super) const ROW: Row = Row {
    name: "oneshot",
    about: "two tasks resolve each other's promise in turn",
    unit: Unit::Cpu,
    target: Target::Peer(0.5),
    unranked: &[],
    contenders: &[
        ("callsoon", peer::<Callsoon>),
        ("floor", floor),
        ("tokio", peer::<TokioLocalSet>),
        ("tokio-lrt", peer::<TokioLocalRuntime>),
        ("smol", peer::<Smol>),
        ("local-pool", peer::<LocalPool>),
        ("monoio", peer::<Monoio>),
        ("compio", peer::<Compio>),
    ],
};

/// Promises per task.
const ROUNDS: u64 = 500_000;

fn peer<P: Peer>(meter: Meter) -> Measured {
    async fn player<P: Peer>(peer: P, slot: Rc<Cell<Option<P::Sender<u64>>>>) -> u64 {
        let mut sum = 0;
        for _ in 0..ROUNDS {
            let (mine, answer) = peer.oneshot();
            if let Some(theirs) = slot.replace(Some(mine)) {
                P::send(theirs, 1);
            }
            sum += answer.await;
        }
        if let Some(theirs) = slot.take() {
            P::send(theirs, 1);
        }
        sum
    }
    P::run(|peer| async move {
        let game = async || {
            let slot = Rc::new(Cell::new(None));
            let first = peer.spawn(player(peer.clone(), slot.clone()));
            let second = peer.spawn(player(peer.clone(), slot));
            first.await + second.await
        };
        meter.run_async(2 * ROUNDS, game).await
    })
}

/// A promise that knows the number of the task that waits for it.
#[derive(Default)]
struct Promise {
    value: Cell<Option<u64>>,
    waiter: Cell<Option<usize>>,
}

/// What the floor's tasks share.
#[derive(Default)]
struct Table {
    ready: RefCell<VecDeque<usize>>,
    running: Cell<usize>,
    slot: Cell<Option<Rc<Promise>>>,
}

impl Table {
    fn resolve(&self, promise: Option<Rc<Promise>>) {
        if let Some(promise) = promise {
            promise.value.set(Some(1));
            self.ready.borrow_mut().extend(promise.waiter.take());
        }
    }

    async fn wait(&self, promise: &Promise) -> u64 {
        poll_fn(|_| match promise.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                promise.waiter.set(Some(self.running.get()));
                Poll::Pending
            }
        })
        .await
    }
}

fn floor(meter: Meter) -> Measured {
    async fn player(table: Rc<Table>, sum: Rc<Cell<u64>>) {
        for _ in 0..ROUNDS {
            let mine = Rc::new(Promise::default());
            table.resolve(table.slot.replace(Some(mine.clone())));
            let value = table.wait(&mine).await;
            sum.set(sum.get() + value);
        }
        table.resolve(table.slot.take());
    }
    let mut context = Context::from_waker(Waker::noop());
    meter.run(2 * ROUNDS, || {
        let table = Rc::new(Table::default());
        let sum = Rc::new(Cell::new(0));
        let mut tasks: [Pin<Box<dyn Future<Output = ()>>>; 2] = [
            Box::pin(player(table.clone(), sum.clone())),
            Box::pin(player(table.clone(), sum.clone())),
        ];
        table.ready.borrow_mut().extend([0, 1]);
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
