//! tokio's current-thread runtime, with a `LocalSet` and as a `LocalRuntime`.
//!
//! The runtime has what `#[tokio::main]` gives it: timers and I/O are enabled.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use crate::peer::Expect;
use crate::{Job, Mailbox, Peer};

/// `Runtime` and `LocalSet`: how `!Send` tasks have been spawned for years.
pub(crate) type TokioLocalSet = Tokio<true>;

/// `LocalRuntime`: the newer way, without a `LocalSet` in between.
pub(crate) type TokioLocalRuntime = Tokio<false>;

/// tokio finds its runtime in a thread-local.
#[derive(Clone, Copy)]
pub(crate) struct Tokio<const LOCAL_SET: bool>;

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("tokio starts")
}

fn local_runtime() -> LocalRuntime {
    let options = LocalOptions::default();
    Builder::new_current_thread()
        .enable_all()
        .build_local(options)
        .expect("tokio starts")
}

impl<const LOCAL_SET: bool> Peer for Tokio<LOCAL_SET> {
    type Sender<T: 'static> = oneshot::Sender<T>;

    fn startup() {
        if LOCAL_SET {
            drop((runtime(), LocalSet::new()));
        } else {
            drop(local_runtime());
        }
    }

    fn run<M: Future<Output: 'static> + 'static>(main: impl FnOnce(Self) -> M) -> M::Output {
        if LOCAL_SET {
            LocalSet::new().block_on(&runtime(), main(Tokio))
        } else {
            local_runtime().block_on(main(Tokio))
        }
    }

    fn spawn<F: Future<Output: 'static> + 'static>(
        &self,
        task: F,
    ) -> impl Future<Output = F::Output> + use<F, LOCAL_SET> + 'static {
        Expect(tokio::task::spawn_local(task))
    }

    fn detach(&self, task: impl Future<Output = ()> + 'static) {
        tokio::task::spawn_local(task);
    }

    fn yield_now() -> impl Future<Output = ()> + 'static {
        tokio::task::yield_now()
    }

    fn oneshot<T: Clone + 'static>(
        &self,
    ) -> (
        Self::Sender<T>,
        impl Future<Output = T> + use<T, LOCAL_SET> + 'static,
    ) {
        let (sender, receiver) = oneshot::channel();
        (sender, Expect(receiver))
    }

    fn send<T: Clone + 'static>(sender: Self::Sender<T>, value: T) {
        sender.send(value).ok().expect("the receiver waits");
    }

    fn sleep(delay: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(delay)
    }

    async fn timeout<F: Future<Output: 'static> + 'static>(delay: Duration, work: F) -> F::Output {
        tokio::time::timeout(delay, work)
            .await
            .expect("no workload takes that long")
    }

    fn mailbox() -> (impl Fn(Job) + Send + 'static, impl Mailbox) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let post = move |job| sender.send(job).expect("the loop is there to the end");
        (post, receiver)
    }
}

impl Mailbox for mpsc::UnboundedReceiver<Job> {
    fn next(&mut self) -> impl Future<Output = Option<Job>> {
        self.recv()
    }
}
