//! `semaphore`: 100 tasks, 2,000 times each: take one of ten permits, yield, give it back.
//!
//! Measured: one hand-over of a contended permit, and one yield while it is held. monoio and compio have no
//! semaphore of their own and use local-sync's; monoio puts a task that wakes itself at the front of its
//! queue, so its yield is no switch. The floor has queues of task numbers.

use crate::peers::Callsoon;
use crate::peers::{Compio, Monoio, Smol, TokioLocalRuntime, TokioLocalSet};
use crate::turnstile::{Turnstile, floor, peer};
use crate::{Measured, Meter, Peer, Row, Target, Unit};

pub(super) const ROW: Row = Row {
    name: "semaphore",
    about: "100 tasks take one of ten permits, yield and give it back, 2,000 times each",
    unit: Unit::Cpu,
    target: Target::Peer(1.0),
    unranked: &[],
    contenders: &[
        ("callsoon", tasks::<Callsoon, callsoon::Semaphore>),
        ("floor", |meter| floor(PERMITS, meter)),
        ("tokio", tasks::<TokioLocalSet, tokio::sync::Semaphore>),
        (
            "tokio-lrt",
            tasks::<TokioLocalRuntime, tokio::sync::Semaphore>,
        ),
        ("smol", tasks::<Smol, async_lock::Semaphore>),
        ("monoio", tasks::<Monoio, local_sync::semaphore::Semaphore>),
        ("compio", tasks::<Compio, local_sync::semaphore::Semaphore>),
    ],
};

const PERMITS: usize = 10;

fn tasks<P: Peer, T: Turnstile>(meter: Meter) -> Measured {
    peer::<P, T>(PERMITS, meter)
}

impl Turnstile for callsoon::Semaphore {
    fn new(permits: usize) -> Self {
        Self::new(permits)
    }

    async fn pass<P: Peer>(&self) {
        let _permit = self.permit().await;
        P::yield_now().await;
    }
}

impl Turnstile for async_lock::Semaphore {
    fn new(permits: usize) -> Self {
        Self::new(permits)
    }

    async fn pass<P: Peer>(&self) {
        let _permit = self.acquire().await;
        P::yield_now().await;
    }
}

macro_rules! semaphores_that_close {
    ($($semaphore:ty),*) => {$(
        impl Turnstile for $semaphore {
            fn new(permits: usize) -> Self {
                Self::new(permits)
            }

            async fn pass<P: Peer>(&self) {
                let _permit = self.acquire().await.expect("nobody closes it");
                P::yield_now().await;
            }
        }
    )*};
}

semaphores_that_close!(tokio::sync::Semaphore, local_sync::semaphore::Semaphore);
