//! The ops that may wait for locks, queues and their kin.

use callsoon::catch_cancel;

use super::objects::Primitive;
use super::program::Step;
use super::steps::Flow;
use super::values::Exc;
use super::world::Actor;

impl<'a> Actor<'a> {
    pub(super) async fn acquire(self, name: &str) {
        self.object(name).acquire().await;
        self.log(format!("acquire {name} ok"));
    }

    pub(super) async fn event_wait(self, name: &str) {
        self.event(name).wait().await;
        self.log(format!("event_wait {name} ok"));
    }

    pub(super) async fn cond_wait(self, name: &str) -> Result<(), Exc> {
        let waited = self.condition(name).wait_acquired().await;
        waited.map_err(|_| Exc::error("RuntimeError"))?;
        self.log(format!("cond_wait {name} ok"));
        Ok(())
    }

    pub(super) async fn cond_wait_for(self, name: &str, var: &str, ge: i64) -> Result<(), Exc> {
        let reached = || self.world.variable(var) >= ge;
        let waited = self.condition(name).wait_for_acquired(reached).await;
        waited.map_err(|_| Exc::error("RuntimeError"))?;
        self.log(format!("cond_wait_for {name} ok"));
        Ok(())
    }

    pub(super) async fn barrier_wait(self, name: &str) -> Result<(), Exc> {
        let index = self.meet(name).await?;
        self.log(format!("barrier_wait {name} = {index}"));
        Ok(())
    }

    async fn meet(self, name: &str) -> Result<usize, Exc> {
        let met = self.barrier(name).wait().await;
        met.map_err(|_| Exc::error("BrokenBarrierError"))
    }

    pub(super) fn barrier_reset(self, name: &str) {
        self.barrier(name).reset();
        self.log(format!("barrier_reset {name} ok"));
    }

    pub(super) fn barrier_abort(self, name: &str) {
        self.barrier(name).abort();
        self.log(format!("barrier_abort {name} ok"));
    }

    pub(super) async fn put(self, name: &str, value: i64) -> Result<(), Exc> {
        let put = self.queue(name).put(value).await;
        put.map_err(|_| Exc::error("QueueShutDown"))?;
        self.log(format!("put {name} {value} ok"));
        Ok(())
    }

    pub(super) async fn get(self, name: &str) -> Result<(), Exc> {
        let got = self.queue(name).get().await;
        let value = got.map_err(|_| Exc::error("QueueShutDown"))?;
        self.log(format!("get {name} = {value}"));
        Ok(())
    }

    pub(super) async fn join(self, name: &str) {
        self.queue(name).join().await;
        self.log(format!("join {name} ok"));
    }

    /// `async with`: by a guard where there is one.
    pub(super) async fn with(self, name: &str, ops: &'a [Step]) -> Result<Flow, Exc> {
        let flow = match self.object(name) {
            Primitive::Lock(lock) => {
                let _guard = lock.lock().await;
                self.entered(name, ops).await?
            }
            Primitive::Semaphore(semaphore) => {
                let _permit = semaphore.permit().await;
                self.entered(name, ops).await?
            }
            Primitive::Bounded(semaphore) => {
                let _permit = semaphore.permit().await;
                self.entered(name, ops).await?
            }
            Primitive::Barrier(_) => {
                let index = self.meet(name).await?;
                self.entered(&format!("{name} = {index}"), ops).await?
            }
            lock => {
                lock.acquire().await;
                let end = catch_cancel(self.entered(name, ops)).await;
                // If it is not acquired any more, that error takes the place of everything.
                lock.release()?;
                match end {
                    Ok(end) => end?,
                    Err(cancelled) => cancelled.reraise().await,
                }
            }
        };
        self.log(format!("exit {name}"));
        Ok(flow)
    }

    async fn entered(self, what: &str, ops: &'a [Step]) -> Result<Flow, Exc> {
        self.log(format!("enter {what}"));
        self.block(ops).await
    }
}
