//! `call_soon_chain`: each callback schedules the next, so a turn of the loop runs one callback.
//!
//! Measured: what a turn costs beside its callbacks. A loop that asks the operating system in every
//! turn shows it here. A runtime without callbacks spawns detached tasks, each of which spawns the
//! next.

use callsoon::{EventLoop, LoopHandle};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use crate::peers::{Compio, LocalPool, Monoio, Smol, TokioLocalRuntime, TokioLocalSet};
use crate::{Measured, Meter, Peer, Row, Target, Unit};

pub(super) const ROW: Row = Row {
    name: "call_soon_chain",
    about: "each callback schedules the next",
    unit: Unit::Cpu,
    target: Target::Peer(0.25),
    unranked: &[],
    contenders: &[
        ("callsoon", callsoon),
        ("floor", floor),
        ("tokio", peer::<TokioLocalSet, LINKS>),
        ("tokio-lrt", peer::<TokioLocalRuntime, LINKS>),
        ("smol", peer::<Smol, LINKS>),
        ("local-pool", peer::<LocalPool, LINKS>),
        ("calloop", calloop),
        ("monoio", peer::<Monoio, LINKS>),
        ("compio", peer::<Compio, FEW_LINKS>),
    ],
};

const LINKS: u64 = 1_000_000;
/// For loops that ask the operating system in every turn.
const FEW_LINKS: u64 = 20_000;
fn callsoon(meter: Meter) -> Measured {
    fn link(event_loop: LoopHandle, left: u64, ran: Rc<Cell<u64>>) {
        ran.set(ran.get() + 1);
        if left > 1 {
            let next = event_loop.clone();
            event_loop.call_soon(move || link(next, left - 1, ran));
        } else {
            event_loop.stop();
        }
    }
    let event_loop = EventLoop::new();
    let ran = Rc::new(Cell::new(0));
    meter.run(LINKS, || {
        let (handle, counter) = (event_loop.handle(), ran.clone());
        event_loop.call_soon(move || link(handle, LINKS, counter));
        event_loop.run_forever();
        ran.take()
    })
}

fn floor(meter: Meter) -> Measured {
    type Ready = Rc<RefCell<VecDeque<Box<dyn FnOnce()>>>>;
    fn link(ready: Ready, left: u64, ran: Rc<Cell<u64>>) {
        ran.set(ran.get() + 1);
        if left > 1 {
            let next = ready.clone();
            ready
                .borrow_mut()
                .push_back(Box::new(move || link(next, left - 1, ran)));
        }
    }
    let ready = Ready::default();
    let ran = Rc::new(Cell::new(0));
    meter.run(LINKS, || {
        link(ready.clone(), LINKS, ran.clone());
        loop {
            let Some(callback) = ready.borrow_mut().pop_front() else {
                break;
            };
            callback();
        }
        ran.take()
    })
}

fn calloop(meter: Meter) -> Measured {
    fn link(event_loop: calloop::LoopHandle<'static, u64>, left: u64, ran: &mut u64) {
        *ran += 1;
        if left > 1 {
            let next = event_loop.clone();
            event_loop.insert_idle(move |ran| link(next, left - 1, ran));
        }
    }
    let mut event_loop = calloop::EventLoop::try_new().expect("calloop starts");
    let handle = event_loop.handle();
    meter.run(FEW_LINKS, || {
        let mut ran = 0;
        link(handle.clone(), FEW_LINKS, &mut ran);
        while ran < FEW_LINKS {
            event_loop
                .dispatch(Duration::ZERO, &mut ran)
                .expect("calloop polls");
        }
        ran
    })
}

fn peer<P: Peer, const LINKS: u64>(meter: Meter) -> Measured {
    fn link<P: Peer>(peer: P, left: u64, ran: u64, done: P::Sender<u64>) {
        let next = peer.clone();
        peer.detach(async move {
            if left > 1 {
                link(next, left - 1, ran + 1, done);
            } else {
                P::send(done, ran + 1);
            }
        });
    }
    P::run(|peer| async move {
        let chain = async || {
            let (done, result) = peer.oneshot();
            link(peer.clone(), LINKS, 0, done);
            result.await
        };
        meter.run_async(LINKS, chain).await
    })
}
