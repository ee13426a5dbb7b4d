//! `catch_cancel`: 100 tasks yield 10,000 times each, each time in a scope of its own.
//!
//! Measured: what a scope costs that is not cancelled. The floor is the same without scopes: a scope is
//! to cost under one and a half task switches. No peer has anything like it.

use crate::peers::Callsoon;
use crate::{Measured, Meter, Peer, Row, Target, Unit};

pub(super) const ROW: Row = Row {
    name: "catch_cancel",
    about: "100 tasks yield 10,000 times each, in a scope each time",
    unit: Unit::Cpu,
    target: Target::Floor(2.5),
    unranked: &[],
    contenders: &[("callsoon", scoped), ("floor", plain)],
};

const TASKS: u64 = 100;
const YIELDS: u64 = 10_000;

fn scoped(meter: Meter) -> Measured {
    yields(meter, async || {
        let yielded = callsoon::catch_cancel(callsoon::yield_now()).await;
        yielded.expect("nobody cancels");
    })
}

fn plain(meter: Meter) -> Measured {
    yields(meter, async || callsoon::yield_now().await)
}

fn yields<F: AsyncFn() + Copy + 'static>(meter: Meter, once: F) -> Measured {
    async fn yielder(once: impl AsyncFn()) -> u64 {
        for _ in 0..YIELDS {
            once().await;
        }
        YIELDS
    }
    Callsoon::run(|peer| async move {
        let tasks = async || {
            let mut sum = 0;
            let handles: Vec<_> = (0..TASKS).map(|_| peer.spawn(yielder(once))).collect();
            for handle in handles {
                sum += handle.await;
            }
            sum
        };
        meter.run_async(TASKS * YIELDS, tasks).await
    })
}
