//! `done_cb`: register a done-callback with a promise, resolve the promise on a later turn, run the
//! callback.
//!
//! Measured: the promise, its callback and the way from one to the other, 1,000 at a time. A
//! runtime without callbacks spawns a detached task that awaits a oneshot.
//! [`done_cb_now`](super::done_cb_now) is the same in one turn, where such a task never has to
//! wait. The floor is a promise with room for one boxed callback, and a queue of promises.

use callsoon::EventLoop;
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use crate::peers::{Compio, LocalPool, Monoio, Smol, TokioLocalRuntime, TokioLocalSet};
use crate::{Measured, Meter, Peer, Row, Target, Unit};

pub(super) const ROW: Row = Row {
    name: "done_cb",
    about: "register a done-callback, resolve on a later turn, run it",
    unit: Unit::Cpu,
    target: Target::Peer(0.6),
    unranked: &[],
    contenders: &[
        ("callsoon", callsoon::<true>),
        ("floor", floor),
        ("tokio", peer::<TokioLocalSet, true>),
        ("tokio-lrt", peer::<TokioLocalRuntime, true>),
        ("smol", peer::<Smol, true>),
        ("local-pool", peer::<LocalPool, true>),
        ("monoio", peer::<Monoio, true>),
        ("compio", peer::<Compio, true>),
    ],
};

const BATCH: u64 = 1_000;
const BATCHES: u64 = 1_000;
pub(super) fn callsoon<const LATER: bool>(meter: Meter) -> Measured {
    let event_loop = EventLoop::new();
    let turn = || {
        event_loop
            .run_once(Some(Duration::ZERO))
            .expect("nothing else runs the loop")
    };
    let sum = Rc::new(Cell::new(0));
    let mut promises = Vec::with_capacity(BATCH as usize);
    meter.run(BATCH * BATCHES, || {
        for _ in 0..BATCHES {
            for _ in 0..BATCH {
                let promise = event_loop.create_future::<u64>();
                let sum = sum.clone();
                promise.add_done_callback(move |promise| {
                    sum.set(sum.get() + promise.result().expect("the promise was resolved"));
                });
                promises.push(promise);
            }
            if LATER {
                turn();
            }
            for promise in promises.drain(..) {
                promise.set_result(1).expect("nobody else resolves it");
            }
            turn();
        }
        sum.take()
    })
}

pub(super) fn peer<P: Peer, const LATER: bool>(meter: Meter) -> Measured {
    P::run(|peer| async move {
        let waiting = Rc::new(Cell::new(0));
        let sum = Rc::new(Cell::new(0));
        let mut promises = Vec::with_capacity(BATCH as usize);
        let batches = async || {
            for batch in 1..=BATCHES {
                for _ in 0..BATCH {
                    let (promise, resolved) = peer.oneshot();
                    let (waiting, sum) = (waiting.clone(), sum.clone());
                    peer.detach(async move {
                        waiting.set(waiting.get() + 1);
                        let value = resolved.await;
                        sum.set(sum.get() + value);
                    });
                    promises.push(promise);
                }
                if LATER {
                    peer.turn().await;
                    assert_eq!(
                        waiting.get(),
                        batch * BATCH,
                        "all wait before one is resolved"
                    );
                }
                for promise in promises.drain(..) {
                    P::send(promise, 1);
                }
                peer.turn().await;
            }
            waiting.set(0);
            sum.take()
        };
        meter.run_async(BATCH * BATCHES, batches).await
    })
}

/// A promise with room for one callback.
#[derive(Default)]
struct Promise {
    value: Cell<Option<u64>>,
    callback: Cell<Option<Callback>>,
}

type Callback = Box<dyn FnOnce(&Promise)>;

pub(super) fn floor(meter: Meter) -> Measured {
    let mut ready: VecDeque<Rc<Promise>> = VecDeque::new();
    let sum = Rc::new(Cell::new(0));
    let mut promises = Vec::with_capacity(BATCH as usize);
    meter.run(BATCH * BATCHES, || {
        for _ in 0..BATCHES {
            for _ in 0..BATCH {
                let promise = Rc::new(Promise::default());
                let sum = sum.clone();
                promise.callback.set(Some(Box::new(move |promise| {
                    sum.set(sum.get() + promise.value.get().expect("the promise was resolved"));
                })));
                promises.push(promise);
            }
            for promise in promises.drain(..) {
                promise.value.set(Some(1));
                ready.push_back(promise);
            }
            while let Some(promise) = ready.pop_front() {
                promise.callback.take().expect("each has a callback")(&promise);
            }
        }
        sum.take()
    })
}
