//! `yield`: 100 tasks yield 10,000 times each.
//!
//! Measured: one switch from a task to the next. monoio puts a task that wakes itself at the front
//! of its queue, so its figure is one task polled again and no switch. The floor turns a `VecDeque`
//! of boxed futures round.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::peers::Callsoon;
use crate::peers::{Compio, LocalPool, Monoio, Smol, TokioLocalRuntime, TokioLocalSet};
use crate::{Measured, Meter, Peer, Row, Target, Unit};
use std::cell::Cell;

pub(super) const ROW: Row = Row {
    name: "yield",
    about: "100 tasks yield 10,000 times each",
    unit: Unit::Cpu,
    target: Target::Peer(0.5),
    unranked: &["monoio"],
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

const TASKS: u64 = 100;
const YIELDS: u64 = 10_000;

fn peer<P: Peer>(meter: Meter) -> Measured {
    async fn yielder<P: Peer>() -> u64 {
        let mut yields = 0;
        while yields < YIELDS {
            P::yield_now().await;
            yields += 1;
        }
        yields
    }
    P::run(|peer| async move {
        let tasks = async || {
            let mut sum = 0;
            let handles: Vec<_> = (0..TASKS).map(|_| peer.spawn(yielder::<P>())).collect();
            for handle in handles {
                sum += handle.await;
            }
            sum
        };
        meter.run_async(TASKS * YIELDS, tasks).await
    })
}

fn floor(meter: Meter) -> Measured {
    async fn yielder(sum: Rc<Cell<u64>>) {
        for _ in 0..YIELDS {
            futures_lite::future::yield_now().await;
            sum.set(sum.get() + 1);
        }
    }
    let mut context = Context::from_waker(Waker::noop());
    meter.run(TASKS * YIELDS, || {
        let sum = Rc::new(Cell::new(0));
        let mut ready: VecDeque<Pin<Box<dyn Future<Output = ()>>>> = VecDeque::new();
        ready.extend((0..TASKS).map(|_| Box::pin(yielder(sum.clone())) as _));
        while let Some(mut task) = ready.pop_front() {
            if task.as_mut().poll(&mut context).is_pending() {
                ready.push_back(task);
            }
        }
        sum.get()
    })
}
