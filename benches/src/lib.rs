//! What callsoon and its peers cost per event: the workloads, and the means to measure them.
//!
//! A *row* is a workload (`rows/`, one file each); a *contender* is a way to do that work:
//! callsoon, a peer, or the `floor`, the least hand-written code that does the same. What the peers
//! have in common is the [`Peer`] trait, so one function serves all of them; callsoon is a `Peer`
//! too where tasks are measured, and uses its callbacks where callbacks are.
//!
//! Two binaries run the rows: `callsoon-benches` takes times, `alloc` counts what is asked of the
//! heap.

mod meter;
mod peer;
mod peers;
mod report;
mod row;
pub mod rows;
mod runner;
mod turnstile;

pub use meter::{Counts, Measured, Meter};
pub use peer::{Job, Mailbox, Peer};
pub use report::Report;
pub use row::{Row, Target, Unit, Workload};
pub use runner::{Options, measure};
