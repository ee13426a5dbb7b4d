//! monoio, on the driver it picks itself: io_uring where the kernel has it.
//!
//! Its feature `sync` is on, which lets another thread wake a task; timers are on in the timer rows
//! only, as they are not what `#[monoio::main]` gives by default.

use std::future::Future;
use std::time::Duration;

use local_sync::oneshot;
use monoio::{FusionDriver, RuntimeBuilder};

use crate::peer::Expect;
use crate::peers::futures_mailbox;
use crate::{Job, Mailbox, Peer};

/// monoio finds its runtime in a thread-local.
#[derive(Clone, Copy)]
pub(crate) struct Monoio;

fn builder() -> RuntimeBuilder<FusionDriver> {
    RuntimeBuilder::new()
}

impl Peer for Monoio {
    type Sender<T: 'static> = oneshot::Sender<T>;

    fn startup() {
        drop(builder().build().expect("monoio starts"));
    }

    fn run<M: Future<Output: 'static> + 'static>(main: impl FnOnce(Self) -> M) -> M::Output {
        builder()
            .build()
            .expect("monoio starts")
            .block_on(main(Monoio))
    }

    fn run_with_timers<M: Future<Output: 'static> + 'static>(
        main: impl FnOnce(Self) -> M,
    ) -> M::Output {
        let mut runtime = builder().enable_timer().build().expect("monoio starts");
        runtime.block_on(main(Monoio))
    }

    fn spawn<F: Future<Output: 'static> + 'static>(
        &self,
        task: F,
    ) -> impl Future<Output = F::Output> + use<F> + 'static {
        monoio::spawn(task)
    }

    fn detach(&self, task: impl Future<Output = ()> + 'static) {
        drop(monoio::spawn(task));
    }

    fn oneshot<T: Clone + 'static>(
        &self,
    ) -> (Self::Sender<T>, impl Future<Output = T> + use<T> + 'static) {
        let (sender, receiver) = oneshot::channel();
        (sender, Expect(receiver))
    }

    fn send<T: Clone + 'static>(sender: Self::Sender<T>, value: T) {
        sender.send(value).ok().expect("the receiver waits");
    }

    fn sleep(delay: Duration) -> impl Future<Output = ()> + 'static {
        monoio::time::sleep(delay)
    }

    async fn timeout<F: Future<Output: 'static> + 'static>(delay: Duration, work: F) -> F::Output {
        monoio::time::timeout(delay, work)
            .await
            .expect("no workload takes that long")
    }

    fn mailbox() -> (impl Fn(Job) + Send + 'static, impl Mailbox) {
        futures_mailbox()
    }
}
