//! `spawn_join`: create 200,000 tasks that are ready at once, then await every handle.
//!
//! Measured: a task's memory, its one poll, its result and its handle; all 200,000 are alive
//! together, so the cache plays a part. Not measured: waking, since most handles are ready when
//! awaited. The floor polls boxed futures from a `VecDeque` and leaves each result in an `Rc`.

use crate::peers::Callsoon;
use crate::peers::{Compio, LocalPool, Monoio, Smol, TokioLocalRuntime, TokioLocalSet};
use crate::{Measured, Meter, Peer, Row, Target, Unit};
use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

pub(super) const ROW: Row = Row {
    name: "spawn_join",
    about: "create 200,000 trivial tasks, await every handle",
    unit: Unit::Cpu,
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

const TASKS: u64 = 200_000;

fn peer<P: Peer>(meter: Meter) -> Measured {
    P::run(|peer| async move {
        let mut handles = Vec::with_capacity(TASKS as usize);
        let tasks = async || {
            let mut sum = 0;
            handles.extend((0..TASKS).map(|_| peer.spawn(async { 1 })));
            for handle in handles.drain(..) {
                sum += handle.await;
            }
            sum
        };
        meter.run_async(TASKS, tasks).await
    })
}

fn floor(meter: Meter) -> Measured {
    let mut handles: Vec<Rc<Cell<u64>>> = Vec::with_capacity(TASKS as usize);
    let mut ready: VecDeque<Pin<Box<dyn Future<Output = ()>>>> = VecDeque::new();
    let mut context = Context::from_waker(Waker::noop());
    meter.run(TASKS, || {
        for _ in 0..TASKS {
            let result = Rc::new(Cell::new(0));
            handles.push(result.clone());
            ready.push_back(Box::pin(async move { result.set(1) }));
        }
        while let Some(mut task) = ready.pop_front() {
            assert!(task.as_mut().poll(&mut context).is_ready());
        }
        handles.drain(..).map(|handle| handle.get()).sum()
    })
}
