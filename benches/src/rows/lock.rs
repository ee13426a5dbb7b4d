//! `lock`: 100 tasks, 2,000 times each: acquire a lock, yield, release it.
//!
//! Measured: one hand-over of a contended lock, and one yield while it is held. monoio and compio have no
//! lock: local-sync's semaphore with one permit takes its place. monoio puts a task that wakes itself at the
//! front of its queue, so its yield is no switch. futures' lock is not fair: a task that yields while it
//! holds it finds it free again. The floor has queues of task numbers.

use crate::peers::Callsoon;
use crate::peers::{Compio, LocalPool, Monoio, Smol, TokioLocalRuntime, TokioLocalSet};
use crate::turnstile::{Turnstile, floor, peer};
use crate::{Measured, Meter, Peer, Row, Target, Unit};

pub(super) const ROW: Row = Row {
    name: "lock",
    about: "100 tasks acquire a lock, yield and release it, 2,000 times each",
    unit: Unit::Cpu,
    target: Target::Peer(1.0),
    unranked: &[],
    contenders: &[
        ("callsoon", tasks::<Callsoon, callsoon::Lock>),
        ("floor", |meter| floor(1, meter)),
        ("tokio", tasks::<TokioLocalSet, tokio::sync::Mutex<()>>),
        (
            "tokio-lrt",
            tasks::<TokioLocalRuntime, tokio::sync::Mutex<()>>,
        ),
        ("smol", tasks::<Smol, async_lock::Mutex<()>>),
        ("local-pool", tasks::<LocalPool, futures::lock::Mutex<()>>),
        ("monoio", tasks::<Monoio, local_sync::semaphore::Semaphore>),
        ("compio", tasks::<Compio, local_sync::semaphore::Semaphore>),
    ],
};

fn tasks<P: Peer, T: Turnstile>(meter: Meter) -> Measured {
    peer::<P, T>(1, meter)
}

macro_rules! mutexes {
    ($($mutex:ty),*) => {$(
        impl Turnstile for $mutex {
            fn new(_: usize) -> Self {
                Self::new(())
            }

            async fn pass<P: Peer>(&self) {
                let _guard = self.lock().await;
                P::yield_now().await;
            }
        }
    )*};
}

mutexes!(
    callsoon::Lock,
    tokio::sync::Mutex<()>,
    async_lock::Mutex<()>,
    futures::lock::Mutex<()>
);
