//! `timers_cancel`: create a timer due in ten seconds and cancel the oldest, 1,000 of them alive at
//! a time.
//!
//! Measured: what a timeout costs that does not happen, as most do not. The loop takes a turn every
//! 100 timers. A runtime without callbacks keeps its sleeps pinned in 1,000 places, as tasks would;
//! it polls each new sleep once, which registers it, and drops the old one, which cancels it. That
//! needs no allocation, no task and no callback. The floor appends to a queue (each deadline is
//! later than the last) and empties the cancelled timer's entry.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use calloop::timer::{TimeoutAction, Timer};
use callsoon::EventLoop;

use crate::peers::{Compio, Monoio, Smol, TokioLocalRuntime, TokioLocalSet};
use crate::{Measured, Meter, Peer, Row, Target, Unit};

pub(super) const ROW: Row = Row {
    name: "timers_cancel",
    about: "create and cancel a timer, 1,000 alive at a time",
    unit: Unit::Cpu,
    target: Target::Peer(1.0),
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

const ALIVE: usize = 1_000;
const BATCH: u64 = 100;
const BATCHES: u64 = 5_000;
/// For calloop, whose cost per timer is 100 times the others'.
const FEW_BATCHES: u64 = 500;
const DELAY: Duration = Duration::from_secs(10);
fn callsoon(meter: Meter) -> Measured {
    let event_loop = EventLoop::new();
    let fired = Rc::new(Cell::new(0));
    let mut alive = VecDeque::with_capacity(ALIVE + 1);
    meter.run(BATCH * BATCHES, || {
        let mut created = 0;
        for _ in 0..BATCHES {
            for _ in 0..BATCH {
                let fired = fired.clone();
                alive.push_back(event_loop.call_later(DELAY, move || fired.set(fired.get() + 1)));
                if alive.len() > ALIVE {
                    alive.pop_front().expect("there are many").cancel();
                }
                created += 1;
            }
            event_loop
                .run_once(Some(Duration::ZERO))
                .expect("nothing else runs the loop");
        }
        created - fired.get()
    })
}

fn calloop(meter: Meter) -> Measured {
    let mut event_loop = calloop::EventLoop::<u64>::try_new().expect("calloop starts");
    let handle = event_loop.handle();
    let mut alive = VecDeque::with_capacity(ALIVE + 1);
    let mut fired = 0;
    meter.run(BATCH * FEW_BATCHES, || {
        let mut created = 0;
        for _ in 0..FEW_BATCHES {
            for _ in 0..BATCH {
                let count = |_, _: &mut (), fired: &mut u64| {
                    *fired += 1;
                    TimeoutAction::Drop
                };
                let timer = Timer::from_duration(DELAY);
                alive.push_back(
                    handle
                        .insert_source(timer, count)
                        .expect("calloop takes timers"),
                );
                if alive.len() > ALIVE {
                    handle.remove(alive.pop_front().expect("there are many"));
                }
                created += 1;
            }
            event_loop
                .dispatch(Duration::ZERO, &mut fired)
                .expect("calloop polls");
        }
        created - fired
    })
}

fn peer<P: Peer>(meter: Meter) -> Measured {
    P::run_with_timers(|_| async move {
        let mut places: Vec<_> = (0..ALIVE).map(|_| Box::pin(None)).collect();
        let timers = async || {
            let mut created = 0;
            for _ in 0..BATCHES {
                for _ in 0..BATCH {
                    let place = &mut places[created as usize % ALIVE];
                    place.set(Some(P::sleep(DELAY)));
                    let sleep = place
                        .as_mut()
                        .as_pin_mut()
                        .expect("it was put there just now");
                    assert!(futures::poll!(sleep).is_pending());
                    created += 1;
                }
                P::yield_now().await;
            }
            created
        };
        meter.run_async(BATCH * BATCHES, timers).await
    })
}

/// When a callback is due, and the callback.
type Due = (Instant, Box<dyn FnOnce()>);

fn floor(meter: Meter) -> Measured {
    let fired = Rc::new(Cell::new(0));
    let mut queue: VecDeque<Option<Due>> = VecDeque::new();
    let mut alive = VecDeque::with_capacity(ALIVE + 1);
    // The number of the first timer in the queue.
    let mut first = 0;
    meter.run(BATCH * BATCHES, || {
        let mut created = 0;
        for _ in 0..BATCHES {
            for _ in 0..BATCH {
                let fired = fired.clone();
                let callback = Box::new(move || fired.set(fired.get() + 1));
                alive.push_back(first + queue.len());
                queue.push_back(Some((Instant::now() + DELAY, callback)));
                if alive.len() > ALIVE {
                    queue[alive.pop_front().expect("there are many") - first] = None;
                }
                created += 1;
            }
            while queue.front().is_some_and(Option::is_none) {
                queue.pop_front();
                first += 1;
            }
        }
        created - fired.get()
    })
}
