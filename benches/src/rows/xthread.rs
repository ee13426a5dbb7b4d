//! `xthread`: another thread posts boxed callbacks, the loop's thread runs them.
//!
//! Measured: wall time from the first post to the last callback, per callback. The figures fall
//! into groups a factor of two apart, by whether both CPUs really run at once: read the order of
//! magnitude. A runtime without `call_soon_threadsafe` reads an unbounded channel of boxed
//! closures. The floor is a `Mutex<Vec>` and a `Condvar`.

use std::hint::black_box;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use calloop::channel;

use crate::peers::{Compio, LocalPool, Monoio, Smol, TokioLocalRuntime, TokioLocalSet};
use crate::{Job, Mailbox, Measured, Meter, Peer, Row, Target, Unit};

pub(super) const ROW: Row = Row {
    name: "xthread",
    about: "another thread posts boxed callbacks (wall)",
    unit: Unit::Wall,
    target: Target::Peer(1.0),
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

const POSTS: u64 = 500_000;

/// Counts the callbacks that ran. Only the loop's thread touches it; it is atomic to be reachable
/// from a `Send` closure.
static RAN: AtomicU64 = AtomicU64::new(0);

/// The callback: it has captured something, so its box is not empty.
fn job() -> impl FnOnce() + Send + 'static {
    let one = black_box(1);
    move || RAN.store(RAN.load(Ordering::Relaxed) + one, Ordering::Relaxed)
}
fn callsoon(meter: Meter) -> Measured {
    let event_loop = callsoon::EventLoop::new();
    meter.run(POSTS, || {
        let remote = event_loop.remote();
        let thread = thread::spawn(move || {
            for _ in 0..POSTS {
                remote
                    .call_soon_threadsafe(job())
                    .expect("the loop is open");
            }
            let stop = || callsoon::get_running_loop().stop();
            remote.call_soon_threadsafe(stop).expect("the loop is open");
        });
        event_loop.run_forever();
        thread.join().expect("posting does not panic");
        RAN.swap(0, Ordering::Relaxed)
    })
}

fn floor(meter: Meter) -> Measured {
    meter.run(POSTS, || {
        let posted = Arc::new((Mutex::new(Vec::<Job>::new()), Condvar::new()));
        let loops = posted.clone();
        let thread = thread::spawn(move || {
            for _ in 0..POSTS {
                let job: Job = Box::new(job());
                posted.0.lock().expect("nobody panics").push(job);
                posted.1.notify_one();
            }
        });
        let mut jobs = Vec::new();
        while RAN.load(Ordering::Relaxed) < POSTS {
            let posted = loops.0.lock().expect("nobody panics");
            let mut posted = loops
                .1
                .wait_while(posted, |jobs| jobs.is_empty())
                .expect("nobody panics");
            mem::swap(&mut *posted, &mut jobs);
            drop(posted);
            jobs.drain(..).for_each(|job| job());
        }
        thread.join().expect("posting does not panic");
        RAN.swap(0, Ordering::Relaxed)
    })
}

fn calloop(meter: Meter) -> Measured {
    let mut event_loop = calloop::EventLoop::<bool>::try_new().expect("calloop starts");
    meter.run(POSTS, || {
        let (sender, receiver) = channel::channel::<Job>();
        let token = event_loop
            .handle()
            .insert_source(receiver, |event, _, closed| match event {
                channel::Event::Msg(job) => job(),
                channel::Event::Closed => *closed = true,
            });
        let thread = thread::spawn(move || {
            for _ in 0..POSTS {
                sender
                    .send(Box::new(job()))
                    .expect("the loop is there to the end");
            }
        });
        let mut closed = false;
        while !closed {
            event_loop
                .dispatch(None, &mut closed)
                .expect("calloop polls");
        }
        thread.join().expect("posting does not panic");
        event_loop
            .handle()
            .remove(token.expect("calloop takes channels"));
        RAN.swap(0, Ordering::Relaxed)
    })
}

fn peer<P: Peer>(meter: Meter) -> Measured {
    P::run(|_| async move {
        let posts = async || {
            let (post, mut mailbox) = P::mailbox();
            let thread = thread::spawn(move || (0..POSTS).for_each(|_| post(Box::new(job()))));
            while let Some(job) = mailbox.next().await {
                job();
            }
            thread.join().expect("posting does not panic");
            RAN.swap(0, Ordering::Relaxed)
        };
        meter.run_async(POSTS, posts).await
    })
}
