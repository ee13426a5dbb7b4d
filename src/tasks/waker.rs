//! Wakers of tasks.
//!
//! A task that awaits only futures of callsoon never needs a waker of its own: they queue its step
//! directly. So the loop keeps one waker and points it at whichever task it steps. If somebody holds
//! a clone of it after the step, the task keeps that waker, and the loop makes another.
//!
//! A waker works from any thread, after the task is done, and after the loop is gone: it knows the
//! task by its place among the loop's tasks, and the loop by what threads share of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::task::{Wake, Waker};

use crate::event_loop::{Posted, Remote, current};

/// What the clones of one waker share.
pub(crate) struct TaskWaker {
    remote: Arc<Remote>,
    /// Which task to wake; see `TaskHead::key`. Only changed while nobody else has a clone.
    key: AtomicU64,
    /// It is in the mailbox and not taken out yet: more wake-ups would change nothing.
    posted: AtomicBool,
}

impl TaskWaker {
    /// Which task to wake.
    pub(crate) fn key(&self) -> u64 {
        self.key.load(Ordering::Relaxed)
    }

    /// The loop has taken it out of its mailbox.
    pub(crate) fn received(&self) {
        self.posted.store(false, Ordering::Release);
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let here = current::with(|running| match running {
            Some(running) if running.id == self.remote.loop_id => {
                running.wake(self.key());
                true
            }
            _ => false,
        });
        if !here && !self.posted.swap(true, Ordering::AcqRel) {
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
const OWN_REFERENCES: usize = 2;

impl StepWaker {
    pub(super) fn new(remote: &Arc<Remote>) -> Self {
        let shared = Arc::new(TaskWaker {
            remote: remote.clone(),
            key: AtomicU64::new(0),
            posted: AtomicBool::new(false),
        });
        Self {
            waker: Waker::from(shared.clone()),
            shared,
        }
    }

    /// Points it at a task. Nobody else has a clone.
    pub(super) fn aim(&self, key: u64) {
        self.shared.key.store(key, Ordering::Relaxed);
    }

    /// Whether somebody else has a clone.
    pub(super) fn is_shared(&self) -> bool {
        if Arc::strong_count(&self.shared) > OWN_REFERENCES {
            return true;
        }
        // Pairs with the release of the last clone's drop: its last `key()` comes before our `aim`.
        fence(Ordering::Acquire);
        false
    }
}
