//! A row of the table.

use crate::{Measured, Meter};

/// What a contender does for a row.
pub type Workload = fn(Meter) -> Measured;

/// One line of the table: a workload, and who takes part.
pub struct Row {
    /// The name on the command line and in the table.
    pub name: &'static str,
    /// What is done per operation, in one line.
    pub about: &'static str,
    /// What the figures count.
    pub unit: Unit,
    /// What callsoon is to reach.
    pub target: Target,
    /// Who is shown but not compared with: their figure is not for the same work.
    pub unranked: &'static [&'static str],
    /// Who takes part. A contender for which the row makes no sense is left out.
    pub contenders: &'static [(&'static str, Workload)],
}

/// Ours: not compared with itself.
pub(crate) const OURS: &str = "callsoon";
/// No peer: nobody would use it.
pub(crate) const FLOOR: &str = "floor";

impl Row {
    /// Whether `contender` is a peer that ours is compared with.
    pub(crate) fn ranks(&self, contender: &str) -> bool {
        ![OURS, FLOOR].contains(&contender) && !self.unranked.contains(&contender)
    }

    /// How `contender` does this row's work, if it takes part.
    pub fn workload(&self, contender: &str) -> Option<Workload> {
        let (_, workload) = self
            .contenders
            .iter()
            .find(|(name, _)| *name == contender)?;
        Some(*workload)
    }
}

/// What the figures of a row count, per operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds of CPU time of the whole process: stands up to a noisy machine.
    Cpu,
    /// Nanoseconds of wall time: for rows with two threads.
    Wall,
    /// Bytes on the heap, by request, still alive when the work is done.
    Heap,
}

/// What callsoon is to reach in a row.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// At most that much of the fastest peer's figure.
    Peer(f64),
    /// At most that much of the fastest peer's figure, and of the floor's.
    PeerAndFloor(f64, f64),
    /// At most that much of the floor's figure: no peer does the same.
    Floor(f64),
    /// At most that figure.
    AtMost(f64),
}
