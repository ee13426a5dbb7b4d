//! See what a loop does.
//!
//! * [`LoopHandle::record`] keeps what ran when, and what scheduled it: as a list, as a trace for
//!   [Perfetto](https://ui.perfetto.dev), as a picture.
//! * [`LoopHandle::watch`] has a thread report a callback or a step that does not come back, with what it
//!   is and where it was created, while it hangs.
//! * [`LoopHandle::set_debug`] reports what was slow when it is over.
//! * The feature `tracing` gives each task and each callback a span of the crate of that name, made where
//!   the task was made or the callback scheduled, as a child of the span that was current there, and entered
//!   whenever the task steps or the callback runs. (A done-callback is scheduled when its future is done.)
//!   Spans of tasks are of level `DEBUG` and have the fields `id`, `name` and `created_at`; those of
//!   callbacks are of level `TRACE` and have `kind` and `created_at`; the target of all is `callsoon`.
//!
//! What is not used costs nothing.
//!
//! [`LoopHandle::record`]: crate::LoopHandle::record
//! [`LoopHandle::watch`]: crate::LoopHandle::watch
//! [`LoopHandle::set_debug`]: crate::LoopHandle::set_debug

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
pub use self::timeline::{RecordedEvent, RecordedTask};
pub use self::watchdog::{Stall, Watchdog};

pub(crate) use self::pulse::{Heart, Pulse, Shown};
pub(crate) use self::slow::SlowCallbacks;

use crate::event_loop::LoopState;

/// Has a new loop observed by what the features ask for.
pub(crate) fn attach_features(lp: &LoopState) {
    #[cfg(feature = "tracing")]
    lp.attach(std::rc::Rc::new(spans::Spans::default()));
    #[cfg(not(feature = "tracing"))]
    let _ = lp;
}
