//! compio, on the driver it picks itself: io_uring where the kernel has it.

use std::future::Future;
use std::time::Duration;

use compio::runtime::{Runtime, spawn, time};
use futures::channel::oneshot;

use crate::peer::Expect;
use crate::peers::futures_mailbox;
use crate::{Job, Mailbox, Peer};

/// compio finds its runtime in a thread-local.
#[derive(Clone, Copy)]
pub(crate) struct Compio;

impl Peer for Compio {
    type Sender<T: 'static> = oneshot::Sender<T>;

    fn startup() {
        drop(Runtime::new().expect("compio starts"));
    }

    fn run<M: Future<Output: 'static> + 'static>(main: impl FnOnce(Self) -> M) -> M::Output {
        Runtime::new()
            .expect("compio starts")
            .block_on(main(Compio))
    }

    fn spawn<F: Future<Output: 'static> + 'static>(
        &self,
        task: F,
    ) -> impl Future<Output = F::Output> + use<F> + 'static {
        Expect(spawn(task))
    }

    fn detach(&self, task: impl Future<Output = ()> + 'static) {
        spawn(task).detach();
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
        time::sleep(delay)
    }

    async fn timeout<F: Future<Output: 'static> + 'static>(delay: Duration, work: F) -> F::Output {
        time::timeout(delay, work)
            .await
            .expect("no workload takes that long")
    }

    fn mailbox() -> (impl Fn(Job) + Send + 'static, impl Mailbox) {
        futures_mailbox()
    }
}
