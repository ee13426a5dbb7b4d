//! `call_soon`: schedule trivial callbacks in batches of 1,000, and run each batch.
//!
//! Measured: making a callback, queueing it, running it, freeing it. Not measured: a loop that
//! sleeps in between. The callback counts in an `Rc<Cell>` that it has captured, so there is
//! something to allocate and to drop. A runtime without callbacks spawns a detached task that is
//! ready at once. The floor is a `VecDeque` of boxed closures.

use callsoon::EventLoop;
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use crate::peers::{Compio, LocalPool, Monoio, Smol, TokioLocalRuntime, TokioLocalSet};
use crate::{Measured, Meter, Peer, Row, Target, Unit};

pub(super) const ROW: Row = Row {
    name: "call_soon",
    about: "schedule + run trivial callbacks, batches of 1,000",
    unit: Unit::Cpu,
    target: Target::PeerAndFloor(0.75, 1.4),
    unranked: &[],
    contenders: &[
        ("callsoon", callsoon),
        ("floor", floor),
        ("tokio", peer::<TokioLocalSet>),
        ("tokio-lrt", peer::<TokioLocalRuntime>),
        ("smol", peer::<Smol>),
        ("local-pool", peer::<LocalPool>),
        ("calloop", calloop),
        ("monoio", peer::<Monoio>),
        ("compio", peer::<Compio>),
    ],
};

const BATCH: u64 = 1_000;
const BATCHES: u64 = 3_000;
fn callsoon(meter: Meter) -> Measured {
    let event_loop = EventLoop::new();
    let ran = Rc::new(Cell::new(0));
    meter.run(BATCH * BATCHES, || {
        for _ in 0..BATCHES {
            for _ in 0..BATCH {
                let ran = ran.clone();
                event_loop.call_soon(move || ran.set(ran.get() + 1));
            }
            event_loop
                .run_once(Some(Duration::ZERO))
                .expect("nothing else runs the loop");
        }
        ran.take()
    })
}

fn floor(meter: Meter) -> Measured {
    let mut ready: VecDeque<Box<dyn FnOnce()>> = VecDeque::new();
    let ran = Rc::new(Cell::new(0));
    meter.run(BATCH * BATCHES, || {
        for _ in 0..BATCHES {
            for _ in 0..BATCH {
                let ran = ran.clone();
                ready.push_back(Box::new(move || ran.set(ran.get() + 1)));
            }
            while let Some(callback) = ready.pop_front() {
                callback();
            }
        }
        ran.take()
    })
}

fn calloop(meter: Meter) -> Measured {
    let mut event_loop = calloop::EventLoop::<()>::try_new().expect("calloop starts");
    let handle = event_loop.handle();
    let ran = Rc::new(Cell::new(0));
    meter.run(BATCH * BATCHES, || {
        for _ in 0..BATCHES {
            for _ in 0..BATCH {
                let ran = ran.clone();
                handle.insert_idle(move |_| ran.set(ran.get() + 1));
            }
            event_loop
                .dispatch(Duration::ZERO, &mut ())
                .expect("calloop polls");
        }
        ran.take()
    })
}

fn peer<P: Peer>(meter: Meter) -> Measured {
    P::run(|peer| async move {
        let ran = Rc::new(Cell::new(0));
        let batches = async || {
            for _ in 0..BATCHES {
                for _ in 0..BATCH {
                    let ran = ran.clone();
                    peer.detach(async move { ran.set(ran.get() + 1) });
                }
                peer.turn().await;
            }
            ran.take()
        };
        meter.run_async(BATCH * BATCHES, batches).await
    })
}
