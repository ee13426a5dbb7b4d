//! `queue`: a producer and a consumer, with room for 100 items between them.
//!
//! Measured, per item: putting it in and taking it out. Neither yields but when the queue is full or empty, so
//! there are two switches in a hundred items. monoio and compio have no channel of their own for one
//! thread, and use local-sync's. The floor is a `VecDeque`, filled and emptied by turns.

use std::collections::VecDeque;
use std::future::Future;
use std::hint::black_box;

use futures::{SinkExt, StreamExt};

use crate::peers::Callsoon;
use crate::peers::{Compio, LocalPool, Monoio, Smol, TokioLocalRuntime, TokioLocalSet};
use crate::{Measured, Meter, Peer, Row, Target, Unit};

pub(super) const ROW: Row = Row {
    name: "queue",
    about: "a producer and a consumer, with room for 100 items between them",
    unit: Unit::Cpu,
    target: Target::Peer(1.0),
    unranked: &[],
    contenders: &[
        ("callsoon", peer::<Callsoon, CallsoonQueue>),
        ("floor", floor),
        ("tokio", peer::<TokioLocalSet, TokioChannel>),
        ("tokio-lrt", peer::<TokioLocalRuntime, TokioChannel>),
        ("smol", peer::<Smol, AsyncChannel>),
        ("local-pool", peer::<LocalPool, FuturesChannel>),
        ("monoio", peer::<Monoio, LocalChannel>),
        ("compio", peer::<Compio, LocalChannel>),
    ],
};

const ITEMS: u64 = 1_000_000;
const ROOM: usize = 100;

/// A bounded channel of any of the peers.
trait Channel: 'static {
    type Sender: 'static;
    type Receiver: 'static;

    fn new() -> (Self::Sender, Self::Receiver);
    fn send(sender: &mut Self::Sender, item: u64) -> impl Future<Output = ()>;
    fn receive(receiver: &mut Self::Receiver) -> impl Future<Output = u64>;
}

fn peer<P: Peer, C: Channel>(meter: Meter) -> Measured {
    async fn producer<C: Channel>(mut sender: C::Sender) {
        for _ in 0..ITEMS {
            C::send(&mut sender, 1).await;
        }
    }
    async fn consumer<C: Channel>(mut receiver: C::Receiver) -> u64 {
        let mut sum = 0;
        for _ in 0..ITEMS {
            sum += C::receive(&mut receiver).await;
        }
        sum
    }
    P::run(|peer| async move {
        let transfer = async || {
            let (sender, receiver) = C::new();
            peer.detach(producer::<C>(sender));
            peer.spawn(consumer::<C>(receiver)).await
        };
        meter.run_async(ITEMS, transfer).await
    })
}

fn floor(meter: Meter) -> Measured {
    meter.run(ITEMS, || {
        let mut queue = VecDeque::new();
        let mut sum = 0;
        while sum < ITEMS {
            for _ in 0..ROOM {
                queue.push_back(black_box(1));
            }
            while let Some(item) = queue.pop_front() {
                sum += black_box(item);
            }
        }
        sum
    })
}

struct CallsoonQueue;

impl Channel for CallsoonQueue {
    type Sender = callsoon::Queue<u64>;
    type Receiver = callsoon::Queue<u64>;

    fn new() -> (Self::Sender, Self::Receiver) {
        let queue = callsoon::Queue::new(ROOM);
        (queue.clone(), queue)
    }

    async fn send(sender: &mut Self::Sender, item: u64) {
        sender.put(item).await.expect("nobody shuts it down");
    }

    async fn receive(receiver: &mut Self::Receiver) -> u64 {
        receiver.get().await.expect("nobody shuts it down")
    }
}

struct TokioChannel;

impl Channel for TokioChannel {
    type Sender = tokio::sync::mpsc::Sender<u64>;
    type Receiver = tokio::sync::mpsc::Receiver<u64>;

    fn new() -> (Self::Sender, Self::Receiver) {
        tokio::sync::mpsc::channel(ROOM)
    }

    async fn send(sender: &mut Self::Sender, item: u64) {
        sender.send(item).await.expect("the receiver is there");
    }

    async fn receive(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.expect("the sender is not done")
    }
}

struct AsyncChannel;

impl Channel for AsyncChannel {
    type Sender = async_channel::Sender<u64>;
    type Receiver = async_channel::Receiver<u64>;

    fn new() -> (Self::Sender, Self::Receiver) {
        async_channel::bounded(ROOM)
    }

    async fn send(sender: &mut Self::Sender, item: u64) {
        sender.send(item).await.expect("the receiver is there");
    }

    async fn receive(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.expect("the sender is not done")
    }
}

struct FuturesChannel;

impl Channel for FuturesChannel {
    type Sender = futures::channel::mpsc::Sender<u64>;
    type Receiver = futures::channel::mpsc::Receiver<u64>;

    fn new() -> (Self::Sender, Self::Receiver) {
        // Each sender has room for one more.
        futures::channel::mpsc::channel(ROOM - 1)
    }

    async fn send(sender: &mut Self::Sender, item: u64) {
        sender.feed(item).await.expect("the receiver is there");
    }

    async fn receive(receiver: &mut Self::Receiver) -> u64 {
        receiver.next().await.expect("the sender is not done")
    }
}

struct LocalChannel;

impl Channel for LocalChannel {
    type Sender = local_sync::mpsc::bounded::Tx<u64>;
    type Receiver = local_sync::mpsc::bounded::Rx<u64>;

    fn new() -> (Self::Sender, Self::Receiver) {
        local_sync::mpsc::bounded::channel(ROOM)
    }

    async fn send(sender: &mut Self::Sender, item: u64) {
        let sent = sender.send(item).await;
        assert!(sent.is_ok(), "the receiver is there");
    }

    async fn receive(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.expect("the sender is not done")
    }
}
