//! What a promise is made for, so that a snapshot can say what a task waits for.
//!
//! A plain promise has no purpose, and no room for one: the purpose is a type, which only the code behind
//! the promise knows. What cannot be told from the type (a deadline, which group it is) is kept beside the
//! state, and written when the promise is made. A waiter in a line, which is no promise, has one, too.

use std::panic::Location;

use super::AnyRef;
use crate::event_loop::Nanos;
use crate::snapshot::AwaitedKind;

/// What a future is, beyond having a result.
pub(crate) struct Nature {
    pub(crate) kind: AwaitedKind,
    /// Where the primitive was created that is waited for.
    pub(crate) primitive: Option<&'static Location<'static>>,
    /// When it will be done, at the latest.
    pub(crate) deadline: Option<Nanos>,
}

impl Nature {
    pub(crate) fn of(kind: AwaitedKind) -> Self {
        Self {
            kind,
            primitive: None,
            deadline: None,
        }
    }
}

pub(crate) trait Purpose: 'static {
    fn nature(&self) -> Nature;
    /// What has to be done first, where the promise knows.
    fn inside(&self) -> Vec<AnyRef> {
        Vec::new()
    }
}

/// That of a future of the user's.
pub(crate) struct NoPurpose;

impl Purpose for NoPurpose {
    fn nature(&self) -> Nature {
        Nature::of(AwaitedKind::Future)
    }
}

/// To be done at a deadline.
pub(crate) struct Asleep(pub(crate) Nanos);

impl Purpose for Asleep {
    fn nature(&self) -> Nature {
        Nature {
            deadline: Some(self.0),
            ..Nature::of(AwaitedKind::Sleep)
        }
    }
}

/// To stand in a line, in front of the primitive created at `site`.
pub(crate) struct InLine {
    pub(crate) kind: AwaitedKind,
    pub(crate) site: &'static Location<'static>,
}

impl Purpose for InLine {
    fn nature(&self) -> Nature {
        Nature {
            primitive: Some(self.site),
            ..Nature::of(self.kind)
        }
    }
}

/// To end a `wait()` or a `wait_for()`.
pub(crate) struct EndOfWait;

impl Purpose for EndOfWait {
    fn nature(&self) -> Nature {
        Nature::of(AwaitedKind::Wait)
    }
}

/// To tell of the next one of an `as_completed()`.
pub(crate) struct NextCompleted;

impl Purpose for NextCompleted {
    fn nature(&self) -> Nature {
        Nature::of(AwaitedKind::AsCompleted)
    }
}

/// To have the result of a concurrent future.
pub(crate) struct FromThread;

impl Purpose for FromThread {
    fn nature(&self) -> Nature {
        Nature::of(AwaitedKind::Thread)
    }
}
