//! The runtimes, each with what its users call.
mod callsoon;
mod compio;
mod local_pool;
mod monoio;
mod smol;
mod tokio;
pub(crate) use callsoon::Callsoon;
pub(crate) use compio::Compio;
pub(crate) use local_pool::LocalPool;
pub(crate) use monoio::Monoio;
pub(crate) use smol::Smol;
pub(crate) use tokio::{Tokio, TokioLocalRuntime, TokioLocalSet};

use std::future::Future;

use futures::StreamExt;
use futures::channel::mpsc;

use crate::{Job, Mailbox};

/// The `futures` channel: for the runtimes that have none of their own.
pub(crate) fn futures_mailbox() -> (impl Fn(Job) + Send + 'static, impl Mailbox) {
    let (sender, receiver) = mpsc::unbounded();
    let post = move |job| {
        sender
            .unbounded_send(job)
            .expect("the loop is there to the end")
    };
    (post, FuturesMailbox(receiver))
}

struct FuturesMailbox(mpsc::UnboundedReceiver<Job>);

impl Mailbox for FuturesMailbox {
    fn next(&mut self) -> impl Future<Output = Option<Job>> {
        self.0.next()
    }
}
