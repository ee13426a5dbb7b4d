//! `done_cb_now`: register a done-callback with a promise and resolve it in the same turn; the
//! callback runs in the next.
//!
//! As [`done_cb`](super::done_cb), but the peers' tasks find the promise resolved when they are
//! first polled, and never wait.
use super::done_cb::callsoon;
use super::done_cb::{floor, peer};
use crate::peers::{Compio, LocalPool, Monoio, Smol, TokioLocalRuntime, TokioLocalSet};
use crate::{Row, Target, Unit};

pub(super) const ROW: Row = Row {
    name: "done_cb_now",
    about: "register a done-callback, resolve in the same turn, run it",
    unit: Unit::Cpu,
    target: Target::Peer(1.0),
    unranked: &[],
    contenders: &[
        ("callsoon", callsoon::<false>),
        ("floor", floor),
        ("tokio", peer::<TokioLocalSet, false>),
        ("tokio-lrt", peer::<TokioLocalRuntime, false>),
        ("smol", peer::<Smol, false>),
        ("local-pool", peer::<LocalPool, false>),
        ("monoio", peer::<Monoio, false>),
        ("compio", peer::<Compio, false>),
    ],
};
