//! See what a loop does.

mod kind;
mod slow;

pub use self::kind::EntryKind;

pub(crate) use self::slow::SlowCallbacks;
