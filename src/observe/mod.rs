//! See what a loop does: recordings, with a timeline to look at.
//!
//! Nothing in here costs anything while it is not used.

mod chrome;
mod kind;
mod recorder;
mod recording;
mod slow;
mod svg;
mod timeline;

pub use self::kind::EntryKind;
pub use self::recording::Recording;
pub use self::timeline::{Event, RecordedTask};

pub(crate) use self::slow::SlowCallbacks;
