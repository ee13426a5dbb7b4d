//! `xthread_pingpong`: a thread posts a callback, waits for the reply that the callback sends, and
//! posts the next.
//!
//! Measured: wall time of a round trip, which is twice the time it takes to wake a sleeping thread.
//! It says more about the kernel than about the loop: read the order of magnitude. The reply goes
//! over a `std` channel for all. The floor is a second `std` channel.

use std::sync::mpsc::{self, Sender};
use std::thread;

use calloop::channel;

use crate::peers::{Compio, LocalPool, Monoio, Smol, TokioLocalRuntime, TokioLocalSet};
use crate::{Job, Mailbox, Measured, Meter, Peer, Row, Target, Unit};

pub(super) const ROW: Row = Row {
    name: "xthread_pingpong",
    about: "a thread posts, the callback replies (wall)",
    unit: Unit::Wall,
    target: Target::Peer(1.05),
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

const ROUND_TRIPS: u64 = 3_000;

/// The callback: it sends the reply.
fn job(reply: &Sender<u64>) -> impl FnOnce() + Send + 'static {
    let reply = reply.clone();
    move || reply.send(1).expect("the thread waits")
}

/// The thread's side: posts and waits, and counts the replies.
fn play(post: impl Fn(Job)) -> u64 {
    let (reply, replies) = mpsc::channel();
    let round_trip = |_| {
        post(Box::new(job(&reply)));
        replies.recv().expect("the callback replies")
    };
    (0..ROUND_TRIPS).map(round_trip).sum()
}
fn callsoon(meter: Meter) -> Measured {
    let event_loop = callsoon::EventLoop::new();
    meter.run(ROUND_TRIPS, || {
        let remote = event_loop.remote();
        let thread = thread::spawn(move || {
            let sum = play(|job| {
                remote.call_soon_threadsafe(job).expect("the loop is open");
            });
            let stop = || callsoon::get_running_loop().stop();
            remote.call_soon_threadsafe(stop).expect("the loop is open");
            sum
        });
        event_loop.run_forever();
        thread.join().expect("posting does not panic")
    })
}

fn floor(meter: Meter) -> Measured {
    meter.run(ROUND_TRIPS, || {
        let (sender, receiver) = mpsc::channel::<Job>();
        let thread =
            thread::spawn(move || play(|job| sender.send(job).expect("the loop is there")));
        receiver.iter().for_each(|job| job());
        thread.join().expect("posting does not panic")
    })
}

fn calloop(meter: Meter) -> Measured {
    let mut event_loop = calloop::EventLoop::<bool>::try_new().expect("calloop starts");
    meter.run(ROUND_TRIPS, || {
        let (sender, receiver) = channel::channel::<Job>();
        let token = event_loop
            .handle()
            .insert_source(receiver, |event, _, closed| match event {
                channel::Event::Msg(job) => job(),
                channel::Event::Closed => *closed = true,
            });
        let thread =
            thread::spawn(move || play(|job| sender.send(job).expect("the loop is there")));
        let mut closed = false;
        while !closed {
            event_loop
                .dispatch(None, &mut closed)
                .expect("calloop polls");
        }
        event_loop
            .handle()
            .remove(token.expect("calloop takes channels"));
        thread.join().expect("posting does not panic")
    })
}

fn peer<P: Peer>(meter: Meter) -> Measured {
    P::run(|_| async move {
        let round_trips = async || {
            let (post, mut mailbox) = P::mailbox();
            let thread = thread::spawn(move || play(post));
            while let Some(job) = mailbox.next().await {
                job();
            }
            thread.join().expect("posting does not panic")
        };
        meter.run_async(ROUND_TRIPS, round_trips).await
    })
}
