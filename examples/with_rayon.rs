//! rayon does the sums, and the loop awaits them.
//!
//! You will see that the loop ticks while rayon counts, with rayon as the loop's executor; what becomes
//! of a panic on one of its threads; and the same without an executor, by a future that `rayon::spawn`
//! completes.
//!
//! ```text
//! cargo run --example with_rayon
//! ```

#![allow(clippy::print_stdout, reason = "an example shows something")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use callsoon::concurrent::{self, Executor, Job};
use callsoon::{OwnedFuture, gather, get_running_loop, run, to_thread, wrap_future, yield_now};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

fn main() -> Result<(), ThreadPoolBuildError> {
    let rayon = Rayon::new()?;
    run(async {
        get_running_loop().set_default_executor(rayon); // `run` shuts it down at its end
        the_loop_goes_on().await;
        a_panic_arrives().await;
        without_an_executor().await;
    });
    Ok(())
}

/// How many primes there are below `limit`, on as many threads as rayon likes.
fn primes(limit: u32) -> usize {
    let is_prime = |n: &u32| (2..=n.isqrt()).all(|d| !n.is_multiple_of(d));
    (2..limit).into_par_iter().filter(is_prime).count()
}

/// rayon waits for the loop's third tick, so it cannot be done before the loop has gone on.
async fn the_loop_goes_on() {
    let (tick, ticks) = channel();
    let counted = to_thread(move || {
        let seen = ticks.iter().take(3).count();
        (seen, primes(10_000))
    });
    for n in 1..=3 {
        println!("tick {n} of the loop");
        tick.send(()).expect("rayon waits for it");
        yield_now().await;
    }
    let (seen, count) = counted.await;
    println!("after {seen} ticks rayon has counted {count} primes below 10000");
}

/// A job of an executor ends with its panic, which is left to whoever awaits it.
async fn a_panic_arrives() {
    let broken = to_thread(|| {
        (0..100)
            .into_par_iter()
            .map(|n| 100 / (n - 50))
            .sum::<i32>()
    });
    let error = broken
        .outcome()
        .await
        .expect_err("one of them divides by zero");
    let panic = error.panic().expect("it was not cancelled");
    println!("a panic arrives: {}", panic.message());
}

async fn without_an_executor() {
    let counts = gather([10, 100, 1000].map(|limit| on_rayon(move || primes(limit)))).await;
    println!("without an executor: {counts:?}");
}

/// All that it takes: a future for every thread, completed by one and awaited on another. (A panic of
/// `function` would be for rayon's panic handler, and the future never done. A `Job` sees to that.)
fn on_rayon<T: Send + 'static>(function: impl FnOnce() -> T + Send + 'static) -> OwnedFuture<T> {
    let future = concurrent::Future::new();
    let promise = future.clone();
    // It is refused if the future was cancelled: nobody wants it any more.
    rayon::spawn(move || drop(promise.set_result(function())));
    wrap_future(future)
}

/// A pool of rayon's as an executor.
struct Rayon {
    pool: ThreadPool,
    /// Each job has a clone of it; empty once no more jobs are accepted.
    accepts: Mutex<Option<Sender<()>>>,
    /// Hangs up when the last job is over.
    over: Mutex<Receiver<()>>,
    /// Jobs that have not begun are not to begin.
    cancelled: Arc<AtomicBool>,
}

impl Rayon {
    fn new() -> Result<Self, ThreadPoolBuildError> {
        let (accepts, over) = channel();
        Ok(Self {
            pool: ThreadPoolBuilder::new().num_threads(2).build()?,
            accepts: Mutex::new(Some(accepts)),
            over: Mutex::new(over),
            cancelled: Arc::default(),
        })
    }
}

impl Executor for Rayon {
    fn execute(&self, job: Job) -> Result<(), Job> {
        let Some(at_work) = self.accepts.lock().expect("nobody panics with it").clone() else {
            return Err(job);
        };
        let cancelled = self.cancelled.clone();
        self.pool.spawn(move || {
            match cancelled.load(Ordering::Relaxed) {
                true => drop(job), // this cancels its future
                false => job.run(),
            }
            drop(at_work);
        });
        Ok(())
    }

    fn shutdown(&self, wait: bool, cancel_futures: bool) {
        self.cancelled.fetch_or(cancel_futures, Ordering::Relaxed);
        self.accepts.lock().expect("nobody panics with it").take();
        if wait {
            // Nobody sends anything; it ends with the last sender.
            let over = self.over.lock().expect("nobody panics with it");
            over.iter().for_each(drop);
        }
    }
}
