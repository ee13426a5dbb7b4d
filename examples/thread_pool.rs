//! Blocking and CPU-heavy functions run on threads while the loop goes on; after the example of
//! `run_in_executor` in asyncio's manual.
//!
//! You will see that the loop ticks while a thread computes, what the default executor and a pool of
//! one's own compute, how a panic on a thread arrives, and a thread that has a coroutine run on the loop.
//!
//! ```text
//! cargo run --example thread_pool
//! ```

#![allow(clippy::print_stdout, reason = "an example shows something")]

use std::sync::mpsc::channel;
use std::thread;

use callsoon::concurrent::ThreadPoolExecutor;
use callsoon::{get_running_loop, run, to_thread, yield_now};

fn main() {
    run(async {
        the_loop_goes_on().await;
        pools().await;
        a_coroutine_from_a_thread().await;
    });
}

/// A sum that keeps a processor busy for a while.
fn cpu_bound() -> u64 {
    (0..1_000_000_u64).map(|i| i * i % 7).sum()
}

/// The thread waits for the loop's third tick, so it cannot be done before the loop has gone on.
async fn the_loop_goes_on() {
    let (tick, ticks) = channel();
    let sum = to_thread(move || {
        let seen = ticks.iter().take(3).count();
        (seen, cpu_bound())
    });
    for n in 1..=3 {
        println!("tick {n} of the loop");
        tick.send(()).expect("the thread waits for it");
        yield_now().await;
    }
    let (seen, sum) = sum.await;
    println!("after {seen} ticks the thread has computed {sum}");
}

async fn pools() {
    let event_loop = get_running_loop();
    let sum = event_loop.run_in_executor(None, cpu_bound).await;
    println!("default executor: {sum}");

    let pool = ThreadPoolExecutor::named(2, "numbers");
    let jobs = [10, 20, 30].map(|n| event_loop.run_in_executor(Some(&pool), move || fib(n)));
    println!("own pool: {:?}", callsoon::gather(jobs).await);

    let broken = event_loop.run_in_executor(Some(&pool), || fib(200));
    let error = broken.outcome().await.expect_err("it is too big a number");
    let panic = error.panic().expect("it did not fit");
    println!("a panic arrives: {}", panic.message());
}

/// Fibonacci's numbers, as far as they fit.
fn fib(n: u32) -> u64 {
    let too_big = || -> u64 { panic!("number {n} does not fit") };
    let next = |(a, b): (u64, u64), _| (b, a.checked_add(b).unwrap_or_else(too_big));
    (0..n).fold((0, 1), next).0
}

async fn a_coroutine_from_a_thread() {
    let remote = get_running_loop().remote();
    let here = thread::current().id();
    let answer = to_thread(move || {
        let on_the_loop = remote.run_coroutine_threadsafe(move || async move {
            yield_now().await;
            thread::current().id() == here
        });
        on_the_loop.result(None) // blocks this thread, not the loop
    });
    let same = answer.await.expect("the loop is open");
    println!("the coroutine ran on the loop's thread: {same}");
}
