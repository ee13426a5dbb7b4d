//! smol: `async-executor`'s `LocalExecutor`, driven by `async-io`.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use async_channel::Receiver;
use async_executor::LocalExecutor;
use async_io::Timer;
use futures::FutureExt;
use futures::channel::oneshot;

use crate::peer::Expect;
use crate::{Job, Mailbox, Peer};

/// The executor, shared by the tasks that spawn others.
#[derive(Clone)]
pub(crate) struct Smol(Rc<LocalExecutor<'static>>);

impl Peer for Smol {
    type Sender<T: 'static> = oneshot::Sender<T>;

    fn startup() {
        let executor = LocalExecutor::new();
        // The executor allocates its state on first use only.
        assert!(!executor.try_tick());
    }

    fn run<M: Future<Output: 'static> + 'static>(main: impl FnOnce(Self) -> M) -> M::Output {
        let executor = Rc::new(LocalExecutor::new());
        async_io::block_on(executor.run(main(Smol(executor.clone()))))
    }

    fn spawn<F: Future<Output: 'static> + 'static>(
        &self,
        task: F,
    ) -> impl Future<Output = F::Output> + use<F> + 'static {
        self.0.spawn(task)
    }

    fn detach(&self, task: impl Future<Output = ()> + 'static) {
        self.0.spawn(task).detach();
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
        Timer::after(delay).map(|_| ())
    }

    fn mailbox() -> (impl Fn(Job) + Send + 'static, impl Mailbox) {
        let (sender, receiver) = async_channel::unbounded();
        let post = move |job| sender.try_send(job).expect("the loop is there to the end");
        (post, receiver)
    }
}

impl Mailbox for Receiver<Job> {
    async fn next(&mut self) -> Option<Job> {
        self.recv().await.ok()
    }
}
