//! callsoon, as a runtime of tasks. The rows that measure callbacks use its own API.

use std::future::Future;
use std::time::Duration;

use callsoon::{EventLoop, LoopHandle};

use crate::{Job, Mailbox, Peer};

/// The loop's handle.
#[derive(Clone)]
pub(crate) struct Callsoon(LoopHandle);

impl Peer for Callsoon {
    type Sender<T: 'static> = callsoon::Future<T>;

    fn startup() {
        drop(EventLoop::new());
    }

    fn run<M: Future<Output: 'static> + 'static>(main: impl FnOnce(Self) -> M) -> M::Output {
        let event_loop = EventLoop::new();
        let main = main(Callsoon(event_loop.handle()));
        event_loop
            .run_until_complete(main)
            .expect("no workload is cancelled or stopped")
    }

    fn spawn<F: Future<Output: 'static> + 'static>(
        &self,
        task: F,
    ) -> impl Future<Output = F::Output> + use<F> + 'static {
        self.0.create_task(task)
    }

    fn detach(&self, task: impl Future<Output = ()> + 'static) {
        drop(self.0.create_task(task));
    }

    fn yield_now() -> impl Future<Output = ()> + 'static {
        callsoon::yield_now()
    }

    fn oneshot<T: Clone + 'static>(
        &self,
    ) -> (Self::Sender<T>, impl Future<Output = T> + use<T> + 'static) {
        let future = self.0.create_future();
        (future.clone(), future)
    }

    fn send<T: Clone + 'static>(sender: Self::Sender<T>, value: T) {
        sender.set_result(value).expect("nobody else resolves it");
    }

    fn sleep(delay: Duration) -> impl Future<Output = ()> + 'static {
        callsoon::sleep(delay)
    }

    async fn timeout<F: Future<Output: 'static> + 'static>(delay: Duration, work: F) -> F::Output {
        callsoon::timeout(delay, work)
            .await
            .expect("no workload takes that long")
    }

    /// Not measured: `call_soon_threadsafe` takes the place of a channel.
    fn mailbox() -> (impl Fn(Job) + Send + 'static, impl Mailbox) {
        crate::peers::futures_mailbox()
    }
}
