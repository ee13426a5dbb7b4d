//! `futures`' `LocalPool`: the executor that comes with the traits. It has no timers.

use std::future::Future;
use std::time::Duration;

use futures::channel::oneshot;
use futures::executor::{LocalPool as Pool, LocalSpawner};
use futures::task::LocalSpawnExt;

use crate::peer::Expect;
use crate::peers::futures_mailbox;
use crate::{Job, Mailbox, Peer};

/// The pool's spawner.
#[derive(Clone)]
pub(crate) struct LocalPool(LocalSpawner);

impl Peer for LocalPool {
    type Sender<T: 'static> = oneshot::Sender<T>;

    fn startup() {
        drop(Pool::new());
    }

    fn run<M: Future<Output: 'static> + 'static>(main: impl FnOnce(Self) -> M) -> M::Output {
        let mut pool = Pool::new();
        let main = main(LocalPool(pool.spawner()));
        pool.run_until(main)
    }

    fn spawn<F: Future<Output: 'static> + 'static>(
        &self,
        task: F,
    ) -> impl Future<Output = F::Output> + use<F> + 'static {
        self.0
            .spawn_local_with_handle(task)
            .expect("the pool is there")
    }

    fn detach(&self, task: impl Future<Output = ()> + 'static) {
        self.0.spawn_local(task).expect("the pool is there");
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

    /// Not measured: the pool has no timers of its own.
    async fn sleep(_: Duration) {
        unreachable!("LocalPool takes no part in the timer rows")
    }

    fn mailbox() -> (impl Fn(Job) + Send + 'static, impl Mailbox) {
        futures_mailbox()
    }
}
