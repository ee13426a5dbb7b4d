//! `gather`: wait for 1,000 new tasks at once, 200 times; per task.
//!
//! Measured: a task's memory, its one step, and the collecting of the results in order. The peers
//! await spawned tasks with `join_all`; `joinset` and `unordered` are tokio's `JoinSet` and
//! `FuturesUnordered` of tasks on tokio's `LocalSet`, which give results in the order of completion. The
//! floor is `join_all` over bare coroutines: no tasks.

use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use tokio::task::JoinSet;

use crate::peers::Callsoon;
use crate::peers::{Compio, LocalPool, Monoio, Smol, TokioLocalRuntime, TokioLocalSet};
use crate::{Measured, Meter, Peer, Row, Target, Unit};

pub(super) const ROW: Row = Row {
    name: "gather",
    about: "gather 1,000 tasks, 200 rounds, per task",
    unit: Unit::Cpu,
    target: Target::Peer(0.6),
    unranked: &[],
    contenders: &[
        ("callsoon", ours),
        ("floor", floor),
        ("tokio", peer::<TokioLocalSet>),
        ("tokio-lrt", peer::<TokioLocalRuntime>),
        ("joinset", join_set),
        ("unordered", unordered),
        ("smol", peer::<Smol>),
        ("local-pool", peer::<LocalPool>),
        ("monoio", peer::<Monoio>),
        ("compio", peer::<Compio>),
    ],
};

const TASKS: u64 = 1_000;
const ROUNDS: u64 = 200;

/// A workload of rounds: `round` waits for `TASKS` tasks and gives the sum of their results.
async fn rounds(meter: Meter, mut round: impl AsyncFnMut() -> u64) -> Measured {
    let rounds = async || {
        let mut sum = 0;
        for _ in 0..ROUNDS {
            sum += round().await;
        }
        sum
    };
    meter.run_async(TASKS * ROUNDS, rounds).await
}

fn ours(meter: Meter) -> Measured {
    Callsoon::run(|_| {
        rounds(meter, async || {
            let tasks = (0..TASKS).map(|_| async { 1 });
            callsoon::gather(tasks).await.iter().sum()
        })
    })
}

fn peer<P: Peer>(meter: Meter) -> Measured {
    P::run(|peer| {
        rounds(meter, async move || {
            let tasks = (0..TASKS).map(|_| peer.spawn(async { 1 }));
            join_all(tasks).await.iter().sum()
        })
    })
}

fn join_set(meter: Meter) -> Measured {
    TokioLocalSet::run(|_| {
        rounds(meter, async || {
            let mut tasks = JoinSet::new();
            for _ in 0..TASKS {
                tasks.spawn_local(async { 1 });
            }
            tasks.join_all().await.iter().sum()
        })
    })
}

fn unordered(meter: Meter) -> Measured {
    TokioLocalSet::run(|peer| {
        rounds(meter, async move || {
            let tasks = (0..TASKS).map(|_| peer.spawn(async { 1 }));
            let tasks: FuturesUnordered<_> = tasks.collect();
            tasks.fold(0, async |sum, result| sum + result).await
        })
    })
}

fn floor(meter: Meter) -> Measured {
    futures_lite::future::block_on(rounds(meter, async || {
        join_all((0..TASKS).map(|_| async { 1 })).await.iter().sum()
    }))
}
