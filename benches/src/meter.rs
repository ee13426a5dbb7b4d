//! What is read before and after a workload, and the warm-up before it counts.

use std::fmt;
use std::ops::Sub;
use std::str::FromStr;

/// What a probe reads. Each binary fills in what it knows and leaves the rest zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Nanoseconds, of CPU or of wall time as the row asks.
    pub nanos: f64,
    /// Calls of the allocator that gave memory, reallocations included.
    pub allocations: f64,
    /// Bytes asked for so far.
    pub bytes: f64,
    /// Bytes asked for and not yet given back.
    pub live: f64,
}

impl Counts {
    /// Applies `f` to each figure.
    fn map(self, f: impl Fn(f64) -> f64) -> Self {
        Counts {
            nanos: f(self.nanos),
            allocations: f(self.allocations),
            bytes: f(self.bytes),
            live: f(self.live),
        }
    }
}

impl Sub for Counts {
    type Output = Counts;

    fn sub(self, before: Counts) -> Counts {
        Counts {
            nanos: self.nanos - before.nanos,
            allocations: self.allocations - before.allocations,
            bytes: self.bytes - before.bytes,
            live: self.live - before.live,
        }
    }
}

/// The cost of one operation of a workload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured(pub Counts);

/// One line, the figures in order: this is what a measuring process prints and its parent reads.
impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts {
            nanos,
            allocations,
            bytes,
            live,
        } = self.0;
        write!(f, "{nanos:.3} {allocations:.4} {bytes:.3} {live:.3}")
    }
}

impl FromStr for Measured {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let figures: Result<Vec<f64>, _> = line.split_whitespace().map(str::parse).collect();
        match figures.as_deref() {
            Ok(&[nanos, allocations, bytes, live]) => Ok(Measured(Counts {
                nanos,
                allocations,
                bytes,
                live,
            })),
            _ => Err(format!("not four figures: {line:?}")),
        }
    }
}

/// Runs a workload, once to warm up and once to measure, and checks each time that the work was
/// done.
///
/// Loops, channels and other set-up are made before [`run`](Meter::run) is called and so stay
/// outside the figures.
pub struct Meter {
    probe: fn() -> Counts,
    warm_up: bool,
}

impl Meter {
    /// A meter that reads `probe` before and after the work.
    pub fn new(probe: fn() -> Counts) -> Self {
        Meter {
            probe,
            warm_up: true,
        }
    }

    /// Leaves the warm-up out: for what the first run puts on the heap.
    pub fn cold(mut self) -> Self {
        self.warm_up = false;
        self
    }

    /// Measures `work`, which does `operations` operations and returns how many it saw done.
    pub fn run(self, operations: u64, mut work: impl FnMut() -> u64) -> Measured {
        if self.warm_up {
            check(operations, work());
        }
        let before = (self.probe)();
        let done = work();
        let after = (self.probe)();
        self.conclude(operations, done, after - before)
    }

    /// [`run`](Meter::run) inside a coroutine.
    pub async fn run_async(self, operations: u64, mut work: impl AsyncFnMut() -> u64) -> Measured {
        if self.warm_up {
            check(operations, work().await);
        }
        let before = (self.probe)();
        let done = work().await;
        let after = (self.probe)();
        self.conclude(operations, done, after - before)
    }

    fn conclude(self, operations: u64, done: u64, spent: Counts) -> Measured {
        check(operations, done);
        Measured(spent.map(|figure| figure / operations as f64))
    }
}

/// The checksum: a contender that did the wrong work must not get a figure.
#[track_caller]
fn check(expected: u64, done: u64) {
    assert_eq!(
        done, expected,
        "the contender did not do the work it was measured for"
    );
}
