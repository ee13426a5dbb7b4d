//! Threads that work for a loop on a virtual clock, and wait for that very loop.
//!
//! No time passes on such a loop while it expects work of a thread. A function on an executor that blocks until
//! a coroutine of the loop is done would hold the time still that the coroutine needs. So it is not expected
//! while it blocks:
//!
//! 1. it counts itself out, under the lock of what it waits for, and notes that there;
//! 2. whoever finishes that counts it in again under the same lock, before anybody is woken. If that is the
//!    loop, it has not looked at the count in between.

use std::cell::RefCell;

use crate::event_loop::RemoteHandle;

#[cfg(not(loom))]
thread_local! {
    /// The loops that wait for what runs on this thread, the innermost function's last.
    static EXPECTED_BY: RefCell<Vec<RemoteHandle>> = const { RefCell::new(Vec::new()) };
}

#[cfg(loom)]
loom::thread_local! {
    // The same; loom runs all threads of a model on one.
    static EXPECTED_BY: RefCell<Vec<RemoteHandle>> = RefCell::new(Vec::new());
}

/// Calls `function`, for which the loop of `remote` waits and counts it as expected work.
pub(crate) fn expected_by<R>(remote: RemoteHandle, function: impl FnOnce() -> R) -> R {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            let remote = EXPECTED_BY.with(|loops| loops.borrow_mut().pop());
            drop(remote);
        }
    }
    EXPECTED_BY.with(|loops| loops.borrow_mut().push(remote));
    let _leave = Leave;
    function()
}

/// Whether a loop waits for what runs on this thread.
pub(super) fn is_expected() -> bool {
    let expected = EXPECTED_BY.try_with(|loops| !loops.borrow().is_empty());
    expected.unwrap_or(false)
}

/// Calls `act` for each loop with this id that waits for what runs on this thread.
fn for_each_expecting(loop_id: u64, mut act: impl FnMut(&RemoteHandle)) {
    // Without the thread's locals nothing of ours runs on it.
    let _ = EXPECTED_BY.try_with(|loops| {
        let loops = loops.borrow();
        let waiting = loops.iter().filter(|remote| remote.loop_id() == loop_id);
        waiting.for_each(&mut act);
    });
}

/// Who waits and is not counted meanwhile; stands beside what they wait for, under its lock.
///
/// The handles that are dropped here are never the last: the thread that blocks has another.
#[derive(Default)]
pub(super) struct Absent(Vec<RemoteHandle>);

impl Absent {
    /// Counts this thread out, as far as this loop waits for it.
    pub(super) fn leave(&mut self, loop_id: u64) {
        for_each_expecting(loop_id, |remote| {
            remote.expect_less();
            self.0.push(remote.clone());
        });
    }

    /// Counts this thread in again: it has given up.
    pub(super) fn give_up(&mut self, loop_id: u64) {
        for_each_expecting(loop_id, |remote| {
            let same = |other: &RemoteHandle| other.loop_id() == remote.loop_id();
            if let Some(place) = self.0.iter().position(same) {
                self.0.swap_remove(place).expect_more();
            }
        });
    }

    /// Counts everybody in again: what they wait for has come.
    pub(super) fn come_back(&mut self) {
        for remote in self.0.drain(..) {
            remote.expect_more();
        }
    }
}
