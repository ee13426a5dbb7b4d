//! `timers_fire`: 100,000 timers, spread over 200 ms in no order, all fire.
//!
//! Measured: CPU time to create, keep, find and run a timer, sleeping included as far as it costs
//! CPU; a loop that wakes more often pays for it. Not measured: how late a timer is. tokio and
//! monoio round to whole milliseconds, so they wake some 200 times, and so does the floor;
//! callsoon, smol, compio and calloop keep the deadline as given. A runtime without callbacks
//! spawns a detached task that sleeps. The floor is a binary heap of boxed closures and
//! `thread::sleep`.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use calloop::timer::{TimeoutAction, Timer};
use callsoon::EventLoop;

use crate::peers::{Compio, Monoio, Smol, TokioLocalRuntime, TokioLocalSet};
use crate::{Measured, Meter, Peer, Row, Target, Unit};

pub(super) const ROW: Row = Row {
    name: "timers_fire",
    about: "100,000 timers spread over 200 ms all fire",
    unit: Unit::Cpu,
    target: Target::Peer(0.7),
    unranked: &[],
    contenders: &[
        ("callsoon", callsoon),
        ("floor", floor),
        ("tokio", peer::<TokioLocalSet>),
        ("tokio-lrt", peer::<TokioLocalRuntime>),
        ("smol", peer::<Smol>),
        ("calloop", calloop),
        ("monoio", peer::<Monoio>),
        ("compio", peer::<Compio>),
    ],
};

const TIMERS: u64 = 100_000;

/// The delays, each multiple of 2 us below 200 ms once, in no order: 48,271 and the number of
/// timers have no factor in common.
fn delays() -> impl Iterator<Item = Duration> {
    (0..TIMERS).map(|number| Duration::from_micros(2 * (number * 48_271 % TIMERS)))
}
fn callsoon(meter: Meter) -> Measured {
    let event_loop = EventLoop::new();
    let fired = Rc::new(Cell::new(0));
    meter.run(TIMERS, || {
        for delay in delays() {
            let (fired, handle) = (fired.clone(), event_loop.handle());
            event_loop.call_later(delay, move || {
                fired.set(fired.get() + 1);
                if fired.get() == TIMERS {
                    handle.stop();
                }
            });
        }
        event_loop.run_forever();
        fired.take()
    })
}

fn calloop(meter: Meter) -> Measured {
    let mut event_loop = calloop::EventLoop::<u64>::try_new().expect("calloop starts");
    let handle = event_loop.handle();
    meter.run(TIMERS, || {
        for delay in delays() {
            let count = |_, _: &mut (), fired: &mut u64| {
                *fired += 1;
                TimeoutAction::Drop
            };
            handle
                .insert_source(Timer::from_duration(delay), count)
                .expect("calloop takes timers");
        }
        let mut fired = 0;
        while fired < TIMERS {
            event_loop
                .dispatch(None, &mut fired)
                .expect("calloop polls");
        }
        fired
    })
}

fn peer<P: Peer>(meter: Meter) -> Measured {
    P::run_with_timers(|peer| async move {
        let timers = async || {
            let (done, all_fired) = peer.oneshot();
            let fired = Rc::new(Cell::new(0));
            let done = Rc::new(Cell::new(Some(done)));
            for delay in delays() {
                let (fired, done) = (fired.clone(), done.clone());
                peer.detach(async move {
                    P::sleep(delay).await;
                    fired.set(fired.get() + 1);
                    if fired.get() == TIMERS {
                        P::send(done.take().expect("one task is the last"), TIMERS);
                    }
                });
            }
            all_fired.await
        };
        meter.run_async(TIMERS, timers).await
    })
}

/// The shortest sleep of the floor.
const TICK: Duration = Duration::from_millis(1);

/// A callback and when it is due; the greatest is the one due first.
struct Due(Instant, Box<dyn FnOnce()>);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.cmp(&self.0)
    }
}

fn floor(meter: Meter) -> Measured {
    let mut heap = BinaryHeap::new();
    let fired = Rc::new(Cell::new(0));
    meter.run(TIMERS, || {
        for delay in delays() {
            let fired = fired.clone();
            let callback = Box::new(move || fired.set(fired.get() + 1));
            heap.push(Due(Instant::now() + delay, callback));
        }
        while let Some(Due(next, _)) = heap.peek() {
            thread::sleep(next.saturating_duration_since(Instant::now()).max(TICK));
            let now = Instant::now();
            while heap.peek().is_some_and(|due| due.0 <= now) {
                let Due(_, callback) = heap.pop().expect("it was seen just now");
                callback();
            }
        }
        fired.take()
    })
}
