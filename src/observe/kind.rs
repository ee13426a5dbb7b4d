//! [`EntryKind`]: what can run in a turn.

use std::fmt;
use std::panic::Location;

/// What an entry of the ready queue is.
///
/// *From asyncio:* nothing; there all are `Handle`s, of different callbacks.
///
/// # Examples
///
/// ```
/// use callsoon::observe::EntryKind;
///
/// assert_eq!(EntryKind::DoneCallback.to_string(), "done-callback");
/// assert_eq!(EntryKind::Gather.to_string(), "gather");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// A callback of `call_soon`.
    Callback,
    /// A callback of `call_later` or `call_at`; a sleep and a timeout have one, too.
    Timer,
    /// A callback that waited for a future.
    DoneCallback,
    /// A step of a task.
    Step,
    /// A `gather` hears that one of its members is done.
    Gather,
    /// A `shield` hears that what is inside is done.
    Shield,
    /// A `wait()` hears that one of its futures is done.
    Wait,
    /// An `as_completed()` hears that one of its futures is done.
    AsCompleted,
    /// Something that another thread has posted: a callback, or that a waker was woken there.
    Posted,
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Callback => "callback",
            Self::Timer => "timer",
            Self::DoneCallback => "done-callback",
            Self::Step => "step",
            Self::Gather => "gather",
            Self::Shield => "shield",
            Self::Wait => "wait()",
            Self::AsCompleted => "as_completed()",
            Self::Posted => "posted",
        })
    }
}

/// What an entry is, in words; of a step, with the task's name.
pub(crate) fn words(
    kind: EntryKind,
    name: Option<&str>,
    site: Option<&'static Location<'static>>,
) -> String {
    use EntryKind::*;
    let created = match kind {
        Step => format!("step of task '{}' created", name.unwrap_or_default()),
        Callback | Timer | DoneCallback => "callback created".to_owned(),
        Gather => "gather created".to_owned(),
        Shield => "shield created".to_owned(),
        Wait => "wait() called".to_owned(),
        AsCompleted => "as_completed() called".to_owned(),
        Posted => "callback posted by another thread".to_owned(),
    };
    match site {
        Some(site) => format!("{created} at {site}"),
        None => created,
    }
}
