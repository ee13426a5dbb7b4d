//! `barrier`: 100 tasks meet at a barrier, 2,000 times.
//!
//! Measured, per arrival: waiting at the barrier and going on. futures, local-sync and so monoio and compio
//! have none.

use std::future::Future;
use std::rc::Rc;

use crate::peers::Callsoon;
use crate::peers::{Smol, TokioLocalRuntime, TokioLocalSet};
use crate::{Measured, Meter, Peer, Row, Target, Unit};

pub(super) const ROW: Row = Row {
    name: "barrier",
    about: "100 tasks meet at a barrier, 2,000 times",
    unit: Unit::Cpu,
    target: Target::Peer(1.0),
    unranked: &[],
    contenders: &[
        ("callsoon", peer::<Callsoon, callsoon::Barrier>),
        ("tokio", peer::<TokioLocalSet, tokio::sync::Barrier>),
        ("tokio-lrt", peer::<TokioLocalRuntime, tokio::sync::Barrier>),
        ("smol", peer::<Smol, async_lock::Barrier>),
    ],
};

const TASKS: usize = 100;
const MEETINGS: u64 = 2000;

/// A barrier of any of the peers.
trait Meet: 'static {
    fn new(parties: usize) -> Self;
    fn meet(&self) -> impl Future<Output = ()>;
}

fn peer<P: Peer, B: Meet>(meter: Meter) -> Measured {
    async fn party(barrier: Rc<impl Meet>) -> u64 {
        for _ in 0..MEETINGS {
            barrier.meet().await;
        }
        MEETINGS
    }
    P::run(|peer| async move {
        let tasks = async || {
            let barrier = Rc::new(B::new(TASKS));
            let parties = (0..TASKS).map(|_| peer.spawn(party(barrier.clone())));
            let parties: Vec<_> = parties.collect();
            let mut sum = 0;
            for party in parties {
                sum += party.await;
            }
            sum
        };
        meter.run_async(TASKS as u64 * MEETINGS, tasks).await
    })
}

impl Meet for callsoon::Barrier {
    fn new(parties: usize) -> Self {
        Self::new(parties)
    }

    async fn meet(&self) {
        self.wait().await.expect("nobody breaks it");
    }
}

impl Meet for tokio::sync::Barrier {
    fn new(parties: usize) -> Self {
        Self::new(parties)
    }

    async fn meet(&self) {
        self.wait().await;
    }
}

impl Meet for async_lock::Barrier {
    fn new(parties: usize) -> Self {
        Self::new(parties)
    }

    async fn meet(&self) {
        self.wait().await;
    }
}
