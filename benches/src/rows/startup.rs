//! `startup`: make a loop and drop it again.
//!
//! Measured: what a test pays that makes its own loop. Not measured: the first use of anything that
//! the process makes once (async-io's reactor). Peers that open an epoll or io_uring instance do so
//! here; callsoon and `LocalPool` open nothing. There is no floor.
use crate::peers::Callsoon;
use crate::peers::{Compio, LocalPool, Monoio, Smol, TokioLocalRuntime, TokioLocalSet};
use crate::{Measured, Meter, Peer, Row, Target, Unit};

pub(super) const ROW: Row = Row {
    name: "startup",
    about: "make and drop a loop",
    unit: Unit::Cpu,
    target: Target::AtMost(1_000.0),
    unranked: &[],
    contenders: &[
        ("callsoon", peer::<Callsoon, MANY>),
        ("tokio", peer::<TokioLocalSet, SOME>),
        ("tokio-lrt", peer::<TokioLocalRuntime, SOME>),
        ("smol", peer::<Smol, MANY>),
        ("local-pool", peer::<LocalPool, MANY>),
        ("calloop", calloop),
        ("monoio", peer::<Monoio, FEW>),
        ("compio", peer::<Compio, FEW>),
    ],
};

/// For loops that only allocate.
const MANY: u64 = 200_000;
/// For loops that open an epoll instance.
const SOME: u64 = 10_000;
/// For loops that open an io_uring instance.
const FEW: u64 = 500;

fn peer<P: Peer, const LOOPS: u64>(meter: Meter) -> Measured {
    meter.run(LOOPS, || {
        let mut made = 0;
        while made < LOOPS {
            P::startup();
            made += 1;
        }
        made
    })
}

fn calloop(meter: Meter) -> Measured {
    meter.run(SOME, || {
        let mut made = 0;
        while made < SOME {
            drop(calloop::EventLoop::<()>::try_new().expect("calloop starts"));
            made += 1;
        }
        made
    })
}
