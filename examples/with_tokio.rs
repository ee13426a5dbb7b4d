//! callsoon and tokio in one program: a callsoon loop on a thread of its own, beside tokio's workers.
//! Each awaits work of the other.
//!
//! You will see what a hundred tasks of tokio have added up on the loop, where nothing needs a lock; what
//! a coroutine of the loop was told by a task, a timer and a channel of tokio, while the loop went on; and
//! a question that goes there, back, and there again.
//!
//! ```text
//! cargo run --example with_tokio
//! ```

#![allow(clippy::print_stdout, reason = "an example shows something")]

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use callsoon::{EventLoop, LoopBound, yield_now};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc::unbounded_channel, oneshot};

fn main() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("threads can be started");
    let (sum, loop_thread) = start_loop(runtime.handle().clone());
    let remote = sum.remote();
    runtime.block_on(async {
        tokio_awaits_the_loop(&sum).await;
        let submitted = remote.run_coroutine_threadsafe(the_loop_awaits_tokio);
        submitted.await.expect("the loop is open");
        there_and_back(&sum).await;
    });
    remote.stop();
    loop_thread.join().expect("the loop does not panic");
}

/// A number that never leaves the loop's thread.
type Sum = Rc<Cell<u64>>;

/// Starts a thread with a loop on it, and gives what the others need of that: a name of the sum.
fn start_loop(tokio: Handle) -> (LoopBound<Sum>, JoinHandle<()>) {
    let (send, receive) = mpsc::channel();
    let thread = thread::spawn(move || {
        // What is tokio's asks for its runtime: timers and sockets do, and `tokio::spawn`.
        let _inside = tokio.enter();
        let event_loop = EventLoop::new();
        let sum = event_loop.bind(Sum::default());
        send.send(sum).expect("somebody waits");
        event_loop.run_forever();
    });
    (receive.recv().expect("the thread sends it"), thread)
}

/// A coroutine of the loop. It has an `Rc` over its `.await`, and needs no lock, for nobody else runs in
/// between two of its lines.
async fn add(sum: Sum, number: u64) -> u64 {
    yield_now().await;
    sum.set(sum.get() + number);
    sum.get()
}

/// Tasks on tokio's threads await coroutines of the loop.
async fn tokio_awaits_the_loop(sum: &LoopBound<Sum>) {
    let tasks: Vec<_> = (1..=100)
        .map(|number| {
            let sum = sum.clone();
            tokio::spawn(async move {
                // The coroutine is made over there. What comes back can be awaited anywhere.
                let added = sum.run_coroutine_threadsafe(move |sum| add(sum.clone(), number));
                added.await.expect("the loop is open")
            })
        })
        .collect();
    let mut largest = 0;
    for task in tasks {
        largest = largest.max(task.await.expect("it does not panic"));
    }
    println!("100 tasks of tokio have the loop add up 1 to 100: {largest}");
}

/// A coroutine of the loop awaits what tokio does. Tokio's wakers and the loop's do not mind each other.
async fn the_loop_awaits_tokio() {
    // A task. It is over when it has seen three ticks, so it cannot be done before the loop has gone on.
    let (tick, mut ticks) = unbounded_channel();
    let counting = tokio::spawn(async move {
        let mut seen = 0;
        while ticks.recv().await.is_some() {
            seen += 1;
        }
        seen
    });
    for _ in 0..3 {
        tick.send(()).expect("the task listens");
        yield_now().await;
    }
    drop(tick);
    let seen = counting.await.expect("it does not panic");
    println!("the loop awaits a task of tokio, which has seen it tick {seen} times");

    // A timer; a socket would be the same.
    tokio::time::sleep(Duration::from_millis(10)).await;
    println!("the loop awaits a timer of tokio");

    // A channel.
    let (send, receive) = oneshot::channel();
    tokio::spawn(async move { send.send("news") });
    let news = receive.await.expect("the task sends it");
    println!("the loop awaits a channel of tokio, and gets {news}");
}

/// A task of tokio awaits the loop, which awaits tokio, which awaits the loop.
async fn there_and_back(sum: &LoopBound<Sum>) {
    let back = sum.clone();
    let outer = sum.remote().run_coroutine_threadsafe(move || async move {
        let inner = tokio::spawn(async move {
            let added = back.run_coroutine_threadsafe(|sum| add(sum.clone(), 0));
            added.await
        });
        inner.await.expect("it does not panic")
    });
    let sum = outer.await.and_then(|inner| inner);
    println!("there, back and there: {}", sum.expect("the loop is open"));
}
