//! `run_in_executor`: a trivial function on a thread of the pool, awaited, 5,000 times, one at a time.
//! `run_in_executor_100`: 100 of them at once, awaited in turn, 100 times.
//!
//! Measured: wall time per function. One at a time, it is twice the time that it takes to wake a sleeping thread,
//! as in `xthread_pingpong`, for those whose threads sleep in between; ours looks a while for more first. At once,
//! it is what the pool's queue and the way back cost, for threads and loop seldom sleep. Each runs on the pool that
//! its users have by default: ours has 4 threads more than there are processors, tokio's and `blocking`'s up to 500.
//! The floor is one thread and two `std` channels.

use std::future::Future;
use std::sync::mpsc;
use std::thread;

use crate::peer::Expect;
use crate::peers::{Callsoon, Smol, Tokio};
use crate::{Job, Measured, Meter, Peer, Row, Target, Unit};

pub(super) const ROW: Row = Row {
    name: "run_in_executor",
    about: "a function on another thread, awaited, one at a time (wall)",
    unit: Unit::Wall,
    target: Target::Peer(1.0),
    unranked: &[],
    contenders: &[
        ("callsoon", peer::<Callsoon, 1, 5_000>),
        ("floor", floor::<1, 5_000>),
        ("tokio", peer::<Tokio<true>, 1, 5_000>),
        ("tokio-lrt", peer::<Tokio<false>, 1, 5_000>),
        ("smol", peer::<Smol, 1, 5_000>),
    ],
};

pub(super) const ROW_100: Row = Row {
    name: "run_in_executor_100",
    about: "100 functions on other threads at once (wall)",
    contenders: &[
        ("callsoon", peer::<Callsoon, 100, 100>),
        ("floor", floor::<100, 100>),
        ("tokio", peer::<Tokio<true>, 100, 100>),
        ("tokio-lrt", peer::<Tokio<false>, 100, 100>),
        ("smol", peer::<Smol, 100, 100>),
    ],
    ..ROW
};

/// A runtime with a pool for what blocks.
trait Pool: Peer {
    fn in_thread(function: impl FnOnce() -> u64 + Send + 'static) -> impl Future<Output = u64>;
}

impl Pool for Callsoon {
    fn in_thread(function: impl FnOnce() -> u64 + Send + 'static) -> impl Future<Output = u64> {
        callsoon::to_thread(function)
    }
}

impl<const LOCAL_SET: bool> Pool for Tokio<LOCAL_SET> {
    fn in_thread(function: impl FnOnce() -> u64 + Send + 'static) -> impl Future<Output = u64> {
        Expect(tokio::task::spawn_blocking(function))
    }
}

impl Pool for Smol {
    fn in_thread(function: impl FnOnce() -> u64 + Send + 'static) -> impl Future<Output = u64> {
        blocking::unblock(function)
    }
}

/// The function; the optimizer does not see through it.
fn one() -> u64 {
    std::hint::black_box(1)
}

fn peer<P: Pool, const AT_ONCE: usize, const TIMES: u64>(meter: Meter) -> Measured {
    P::run(|_| async move {
        let functions = async || {
            let mut sum = 0;
            for _ in 0..TIMES {
                let batch: Vec<_> = (0..AT_ONCE).map(|_| P::in_thread(one)).collect();
                for function in batch {
                    sum += function.await;
                }
            }
            sum
        };
        meter.run_async(AT_ONCE as u64 * TIMES, functions).await
    })
}

fn floor<const AT_ONCE: usize, const TIMES: u64>(meter: Meter) -> Measured {
    let (sender, jobs) = mpsc::channel::<Job>();
    let (reply, replies) = mpsc::channel();
    let thread = thread::spawn(move || jobs.iter().for_each(|job| job()));
    let measured = meter.run(AT_ONCE as u64 * TIMES, || {
        let mut sum = 0;
        for _ in 0..TIMES {
            for _ in 0..AT_ONCE {
                let reply = reply.clone();
                let job = Box::new(move || reply.send(one()).expect("somebody waits"));
                sender.send(job).expect("the thread is there");
            }
            sum += replies.iter().take(AT_ONCE).sum::<u64>();
        }
        sum
    });
    drop(sender);
    thread.join().expect("no job panics");
    measured
}
