//! `timeout`: a timeout of a minute around work that is done at once.
//!
//! Measured: reading the clock, and the scope around the work. The work does not wait, so nobody gets to
//! register a timer. What users of smol write does not even read the clock: it is not ranked.

use std::time::Duration;

use crate::peers::{Callsoon, Compio, Monoio, Smol, TokioLocalRuntime, TokioLocalSet};
use crate::{Measured, Meter, Peer, Row, Target, Unit};

pub(super) const ROW: Row = Row {
    name: "timeout",
    about: "a timeout around an await that is done at once",
    unit: Unit::Cpu,
    target: Target::Peer(1.0),
    unranked: &["smol"],
    contenders: &[
        ("callsoon", peer::<Callsoon>),
        ("tokio", peer::<TokioLocalSet>),
        ("tokio-lrt", peer::<TokioLocalRuntime>),
        ("smol", peer::<Smol>),
        ("monoio", peer::<Monoio>),
        ("compio", peer::<Compio>),
    ],
};

const TIMEOUTS: u64 = 500_000;
const DELAY: Duration = Duration::from_secs(60);

fn peer<P: Peer>(meter: Meter) -> Measured {
    P::run_with_timers(|_| async move {
        let timeouts = async || {
            let mut sum = 0;
            for _ in 0..TIMEOUTS {
                sum += P::timeout(DELAY, std::future::ready(1)).await;
            }
            sum
        };
        meter.run_async(TIMEOUTS, timeouts).await
    })
}
