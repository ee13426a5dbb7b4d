//! `memory`: bytes on the heap per task that waits for a promise of its own, with 100,000 of them
//! waiting.
//!
//! Counted, by request: the tasks, the promises, their wakers, and what the loop's own tables have
//! grown by. Not counted: the list of promises that keeps them pending, and what the allocator
//! adds. The tasks are started 1,000 at a time, so that no queue holds them all at once. No handle
//! of a task is kept. The floor is a boxed future in a `Vec`, and a promise with room for a
//! waiter's number.

use crate::peers::Callsoon;
use crate::peers::{Compio, LocalPool, Monoio, Smol, TokioLocalRuntime, TokioLocalSet};
use crate::{Measured, Meter, Peer, Row, Target, Unit};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

pub(super) const ROW: Row = Row {
    name: "memory",
    about: "heap bytes per task waiting on a promise",
    unit: Unit::Heap,
    target: Target::Peer(1.0),
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

const BATCH: usize = 1_000;
const BATCHES: usize = 100;
const TASKS: usize = BATCH * BATCHES;

fn peer<P: Peer>(meter: Meter) -> Measured {
    P::run(|peer| async move {
        let mut promises = Vec::with_capacity(TASKS);
        let waiting = Rc::new(Cell::new(0));
        let tasks = async || {
            for _ in 0..BATCHES {
                for _ in 0..BATCH {
                    let (promise, resolved) = peer.oneshot::<u64>();
                    let waiting = waiting.clone();
                    peer.detach(async move {
                        waiting.set(waiting.get() + 1);
                        let value = resolved.await;
                        waiting.set(waiting.get() - value);
                    });
                    promises.push(promise);
                }
                peer.turn().await;
            }
            waiting.get()
        };
        let measured = meter.cold().run_async(TASKS as u64, tasks).await;
        promises.into_iter().for_each(|promise| P::send(promise, 1));
        peer.turn().await;
        assert_eq!(waiting.get(), 0, "each task was resumed");
        measured
    })
}

/// A promise that knows the number of the task that waits for it.
#[derive(Default)]
struct Promise {
    value: Cell<Option<u64>>,
    waiter: Cell<Option<usize>>,
}

fn floor(meter: Meter) -> Measured {
    let mut promises = Vec::with_capacity(TASKS);
    let waiting = Rc::new(Cell::new(0));
    let mut tasks: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    meter.cold().run(TASKS as u64, || {
        for number in 0..TASKS {
            let promise = Rc::new(Promise::default());
            let (resolved, waiting) = (promise.clone(), waiting.clone());
            tasks.push(Box::pin(async move {
                waiting.set(waiting.get() + 1);
                let value = poll_fn(|_| match resolved.value.get() {
                    Some(value) => Poll::Ready(value),
                    None => {
                        resolved.waiter.set(Some(number));
                        Poll::Pending
                    }
                });
                let value = value.await;
                waiting.set(waiting.get() - value);
            }));
            promises.push(promise);
            assert!(tasks[number].as_mut().poll(&mut context).is_pending());
        }
        waiting.get()
    })
}
