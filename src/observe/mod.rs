//! See what a loop does: recordings, with a timeline to look at, and a watchdog.
//!
//! Nothing in here costs anything while it is not used.

mod chrome;
mod kind;
mod pulse;
mod recorder;
mod recording;
mod slow;
#[cfg(feature = "tracing")]
mod spans;
mod svg;
mod timeline;
mod watchdog;

pub use self::kind::EntryKind;
pub(crate) use self::kind::words;
pub use self::recording::Recording;
pub use self::timeline::{Event, RecordedTask};
pub use self::watchdog::{Stall, Watchdog};

pub(crate) use self::pulse::{Heart, Pulse};
pub(crate) use self::slow::SlowCallbacks;

use crate::event_loop::LoopState;

/// Has a new loop observed by what the features ask for.
pub(crate) fn attach_features(lp: &LoopState) {
    #[cfg(feature = "tracing")]
    lp.attach(std::rc::Rc::new(spans::Spans::default()));
    #[cfg(not(feature = "tracing"))]
    let _ = lp;
}
