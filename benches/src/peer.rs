//! What the async runtimes have in common, so that a workload of tasks is written once for all of
//! them.
//!
//! Every method is what a user of that runtime would call; generic code is compiled for each peer
//! separately, so nothing is dispatched at run time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// What one thread sends another to run.
pub type Job = Box<dyn FnOnce() + Send>;

/// A single-threaded runtime that spawns `!Send` futures. The value is the handle that spawning
/// needs.
pub trait Peer: Clone + 'static {
    /// Resolves a promise.
    type Sender<T: 'static>: 'static;

    /// Makes a loop and drops it again.
    fn startup();

    /// Makes a loop and runs `main` on it to the end.
    fn run<M: Future<Output: 'static> + 'static>(main: impl FnOnce(Self) -> M) -> M::Output;

    /// [`run`](Peer::run) on a loop that has timers, where they are an option that is off by
    /// default.
    fn run_with_timers<M: Future<Output: 'static> + 'static>(
        main: impl FnOnce(Self) -> M,
    ) -> M::Output {
        Self::run(main)
    }

    /// Starts a task; the result is its handle.
    fn spawn<F: Future<Output: 'static> + 'static>(
        &self,
        task: F,
    ) -> impl Future<Output = F::Output> + use<Self, F> + 'static;

    /// Starts a task that nobody waits for.
    fn detach(&self, task: impl Future<Output = ()> + 'static);

    /// Lets the others run once. A runtime that has no such function gets the usual one, which
    /// wakes itself.
    fn yield_now() -> impl Future<Output = ()> + 'static {
        futures_lite::future::yield_now()
    }

    /// A promise: what resolves it, and what waits for it.
    fn oneshot<T: Clone + 'static>(
        &self,
    ) -> (
        Self::Sender<T>,
        impl Future<Output = T> + use<Self, T> + 'static,
    );

    /// Resolves the promise of `sender`.
    fn send<T: Clone + 'static>(sender: Self::Sender<T>, value: T);

    /// Waits that long.
    fn sleep(delay: Duration) -> impl Future<Output = ()> + 'static;

    /// Waits for `work`, but not longer than `delay`. A runtime that has no such function gets a race
    /// with [`sleep`](Peer::sleep).
    fn timeout<F: Future<Output: 'static> + 'static>(
        delay: Duration,
        work: F,
    ) -> impl Future<Output = F::Output> + 'static {
        let late = async move {
            Self::sleep(delay).await;
            panic!("no workload takes that long")
        };
        futures_lite::future::or(work, late)
    }

    /// An unbounded channel from any thread to this one.
    fn mailbox() -> (impl Fn(Job) + Send + 'static, impl Mailbox);

    /// Lets everything that is ready now run: an empty task queues up behind it and is awaited.
    fn turn(&self) -> impl Future<Output = ()> + use<Self> + 'static {
        self.spawn(async {})
    }
}

/// The receiving end of a [`Peer::mailbox`].
pub trait Mailbox: 'static {
    /// The next job, or `None` when every sender is gone.
    fn next(&mut self) -> impl Future<Output = Option<Job>>;
}

/// Unwraps the output of a join handle or a receiver: no workload cancels or panics.
pub(crate) struct Expect<F>(pub(crate) F);

impl<T, E: std::fmt::Debug, F: Future<Output = Result<T, E>> + Unpin> Future for Expect<F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|output| output.expect("no workload cancels or panics"))
    }
}
