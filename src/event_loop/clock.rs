//! The loop's time: nanoseconds since the loop was made, real or virtual.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Which clock a loop runs on.
///
/// *From asyncio:* the monotonic one is `loop.time()`; there is no counterpart to the virtual one.
///
/// # Examples
///
/// An hour passes in no time:
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop, sleep};
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// event_loop.run_until_complete(sleep(Duration::from_secs(3600)))?;
/// assert_eq!(event_loop.time(), Duration::from_secs(3600));
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Clock {
    /// The system's monotonic clock. The loop really sleeps.
    #[default]
    Monotonic,
    /// A clock that stands still while the loop is busy, and jumps to the next deadline when it is
    /// idle. Nothing ever sleeps, and a loop that can never go on again is reported as a deadlock.
    Virtual,
}

/// An instant on the loop's clock, in nanoseconds since the loop was made.
pub(crate) type Nanos = u64;

/// The instant that never comes: delays too long for the clock end up here.
pub(crate) const NEVER: Nanos = Nanos::MAX;

/// Converts, and saturates at [`NEVER`] (which is 584 years away).
pub(crate) fn to_nanos(duration: Duration) -> Nanos {
    Nanos::try_from(duration.as_nanos()).unwrap_or(NEVER)
}

/// The source of the loop's time.
pub(crate) enum TimeSource {
    Monotonic { origin: Instant },
    Virtual { now: Cell<Nanos> },
}

impl TimeSource {
    pub(crate) fn new(clock: Clock) -> Self {
        match clock {
            Clock::Monotonic => Self::Monotonic {
                origin: Instant::now(),
            },
            Clock::Virtual => Self::Virtual { now: Cell::new(0) },
        }
    }

    pub(crate) fn kind(&self) -> Clock {
        match self {
            Self::Monotonic { .. } => Clock::Monotonic,
            Self::Virtual { .. } => Clock::Virtual,
        }
    }

    pub(crate) fn now(&self) -> Nanos {
        match self {
            Self::Monotonic { origin } => to_nanos(origin.elapsed()),
            Self::Virtual { now } => now.get(),
        }
    }

    /// Moves a virtual clock forward, never back; says whether there is one to move.
    pub(crate) fn advance_to(&self, when: Nanos) -> bool {
        match self {
            Self::Monotonic { .. } => false,
            Self::Virtual { now } => {
                now.set(now.get().max(when));
                true
            }
        }
    }
}
