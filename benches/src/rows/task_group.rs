//! `task_group`: a group of 1,000 new tasks that ends when all have, 200 times; per task.
//!
//! Measured: a task's memory, its one step, and what it takes to know that all are over. The peers keep
//! the handles and await them one by one; `joinset` is tokio's `JoinSet`, which cancels its tasks as a group
//! does. None of them cancels the others when one fails.

use tokio::task::JoinSet;

use crate::peers::Callsoon;
use crate::peers::{Compio, LocalPool, Monoio, Smol, TokioLocalRuntime, TokioLocalSet};
use crate::{Measured, Meter, Peer, Row, Target, Unit};

pub(super) const ROW: Row = Row {
    name: "task_group",
    about: "a task group of 1,000 tasks, 200 rounds, per task",
    unit: Unit::Cpu,
    target: Target::Peer(1.0),
    unranked: &[],
    contenders: &[
        ("callsoon", ours),
        ("tokio", peer::<TokioLocalSet>),
        ("tokio-lrt", peer::<TokioLocalRuntime>),
        ("joinset", join_set),
        ("smol", peer::<Smol>),
        ("local-pool", peer::<LocalPool>),
        ("monoio", peer::<Monoio>),
        ("compio", peer::<Compio>),
    ],
};

const TASKS: u64 = 1_000;
const ROUNDS: u64 = 200;

fn ours(meter: Meter) -> Measured {
    use std::cell::Cell;
    use std::rc::Rc;

    Callsoon::run(|_| async move {
        let ended = Rc::new(Cell::new(0));
        let rounds = async || {
            ended.set(0);
            for _ in 0..ROUNDS {
                callsoon::task_group(async |group| {
                    for _ in 0..TASKS {
                        let ended = ended.clone();
                        group.create_task(async move { ended.set(ended.get() + 1) });
                    }
                })
                .await;
            }
            ended.get()
        };
        meter.run_async(TASKS * ROUNDS, rounds).await
    })
}

fn peer<P: Peer>(meter: Meter) -> Measured {
    P::run(|peer| async move {
        let rounds = async || {
            let mut sum = 0;
            for _ in 0..ROUNDS {
                let handles: Vec<_> = (0..TASKS).map(|_| peer.spawn(async { 1 })).collect();
                for handle in handles {
                    sum += handle.await;
                }
            }
            sum
        };
        meter.run_async(TASKS * ROUNDS, rounds).await
    })
}

fn join_set(meter: Meter) -> Measured {
    TokioLocalSet::run(|_| async move {
        let rounds = async || {
            let mut sum = 0;
            for _ in 0..ROUNDS {
                let mut tasks = JoinSet::new();
                for _ in 0..TASKS {
                    tasks.spawn_local(async { 1 });
                }
                while let Some(result) = tasks.join_next().await {
                    sum += result.expect("no task panics");
                }
            }
            sum
        };
        meter.run_async(TASKS * ROUNDS, rounds).await
    })
}
