//! Wakers of tasks.
//!
//! A task that awaits only futures of callsoon never needs a waker of its own: they queue its step
//! directly. So the loop keeps one waker and points it at whichever task it steps. If somebody holds
//! a clone of it after the step, the task keeps that waker, and the loop makes another.
//!
//! A waker works from any thread, after the task is done, and after the loop is gone: it knows the
//! task by its place among the loop's tasks, and the loop by what threads share of it.

use std::sync::Arc;
use std::task::{Wake, Waker};

use crate::event_loop::{Posted, Remote, current};
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// Whom to wake, and whether a thread has seen to it; what a waker is, but for its reference count.
pub(super) struct Target {
    /// Which task to wake; see `TaskHead::key`. Only the loop's own thread reads and writes it.
    key: AtomicU64,
    /// It is in the mailbox and not taken out yet: more wake-ups would change nothing.
    posted: AtomicBool,
}

impl Target {
    pub(super) fn new() -> Self {
        Self {
            key: AtomicU64::new(0),
            posted: AtomicBool::new(false),
        }
    }

    /// Which task to wake.
    pub(super) fn key(&self) -> u64 {
        self.key.load(Ordering::Relaxed)
    }

    /// Points it at a task. Nobody else has a reference.
    pub(super) fn aim(&self, key: u64) {
        self.key.store(key, Ordering::Relaxed);
    }

    /// Says whether the caller is the one who has to post it.
    pub(super) fn begin_post(&self) -> bool {
        !self.posted.swap(true, Ordering::AcqRel)
    }

    /// The loop has taken it out of its mailbox, and is about to wake the task.
    ///
    /// A swap, although the old value is known: it reads what the last `begin_post` wrote, and so
    /// the step sees what every thread did before its wake-up, also a thread that had not to post.
    /// After a mere store the step might look before such a thread, and miss it for good.
    pub(super) fn received(&self) {
        self.posted.swap(false, Ordering::AcqRel);
    }
}

/// What the clones of one waker share.
pub(crate) struct TaskWaker {
    remote: Arc<Remote>,
    target: Target,
}

impl TaskWaker {
    /// Which task to wake.
    pub(crate) fn key(&self) -> u64 {
        self.target.key()
    }

    /// The loop has taken it out of its mailbox.
    pub(crate) fn received(&self) {
        self.target.received();
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(lp) = current::local(self.remote.loop_id) {
            lp.wake(self.key());
        } else if self.target.begin_post() {
            // A closed loop has no tasks to wake.
            let _ = self.remote.post(self.clone(), Posted::Wake);
        }
    }
}

/// A waker in the hands of the loop or of a task.
pub(crate) struct StepWaker {
    shared: Arc<TaskWaker>,
    pub(super) waker: Waker,
}

/// How many references a `StepWaker` has itself: `shared` and `waker`.
pub(super) const OWN_REFERENCES: usize = 2;

impl StepWaker {
    pub(super) fn new(remote: &Arc<Remote>) -> Self {
        let shared = Arc::new(TaskWaker {
            remote: remote.clone(),
            target: Target::new(),
        });
        Self {
            waker: Waker::from(shared.clone()),
            shared,
        }
    }

    /// Points it at a task. Nobody else has a clone.
    pub(super) fn aim(&self, key: u64) {
        self.shared.target.aim(key);
    }

    /// Whether somebody else has a clone.
    ///
    /// The count needs no fence. Only who has a clone can make another, so nobody else has one if
    /// the loop's thread reads that there are no more than its own; a wake-up under way is a clone
    /// in the mailbox; and what other threads write in a `Target` they synchronize by `posted`.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.shared) > OWN_REFERENCES
    }
}
