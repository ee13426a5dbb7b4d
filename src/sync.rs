//! The primitives that cross threads, in one place so that `loom` can stand in for them.
//!
//! With `--cfg loom` the mailbox, the wakers and the record of what runs on a thread are built on
//! loom's mocked primitives, and the model checks explore every interleaving; otherwise these are
//! parking_lot's and std's. The models are in `event_loop/mailbox_models.rs`, `event_loop/loop_models.rs`,
//! `tasks/waker_models.rs`, `concurrent/{future,work_queue}_models.rs` and `observe/pulse.rs`:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release --lib models
//! ```

#[cfg(not(loom))]
pub(crate) use parking_lot::{Condvar, Mutex};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
#[cfg(loom)]
pub(crate) use model::{Condvar, Mutex};

#[cfg(loom)]
pub(crate) use loom::thread::{ThreadId, current as current_thread};
#[cfg(not(loom))]
pub(crate) use std::thread::{ThreadId, current as current_thread};

#[cfg(not(loom))]
pub(crate) type MutexGuard<'a, T> = parking_lot::MutexGuard<'a, T>;
#[cfg(loom)]
pub(crate) use model::MutexGuard;

/// Waits on a condition variable, for at most `limit` if there is one; may return early for no reason.
#[cfg(not(loom))]
pub(crate) fn wait_on<'a, T>(
    condvar: &Condvar,
    mut guard: MutexGuard<'a, T>,
    limit: Option<std::time::Duration>,
) -> MutexGuard<'a, T> {
    match limit {
        Some(limit) => {
            condvar.wait_for(&mut guard, limit);
        }
        None => condvar.wait(&mut guard),
    }
    guard
}

/// Waits on a condition variable; loom knows no time.
#[cfg(loom)]
pub(crate) fn wait_on<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    limit: Option<std::time::Duration>,
) -> MutexGuard<'a, T> {
    match limit {
        Some(limit) => condvar.wait_for(guard, limit),
        None => condvar.wait(guard),
    }
}

/// Looks, for at most `limit`, until there is what it looks for. It gives way to other threads.
#[cfg(not(loom))]
pub(crate) fn look_for(limit: std::time::Duration, is_there: impl Fn() -> bool) {
    const LOOKS: usize = 16;
    let start = std::time::Instant::now();
    while start.elapsed() < limit {
        for _ in 0..LOOKS {
            if is_there() {
                return;
            }
            std::hint::spin_loop();
        }
        std::thread::yield_now();
    }
}

/// Gives up at once: all that matters is what happens before and after.
#[cfg(loom)]
pub(crate) fn look_for(_limit: std::time::Duration, is_there: impl Fn() -> bool) {
    is_there();
}

#[cfg(loom)]
mod model {
    use std::time::Duration;

    pub(crate) use loom::sync::MutexGuard;

    /// `parking_lot::Mutex` over loom's.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("no model panics under the lock")
        }
    }

    /// `parking_lot::Condvar` over loom's, which knows no time: a wait with a limit just waits.
    #[derive(Debug)]
    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self(loom::sync::Condvar::new())
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }

        /// Waits and takes the lock again, through loom's by-value guard.
        pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            self.0.wait(guard).expect("no model panics under the lock")
        }

        pub(crate) fn wait_for<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            _limit: Duration,
        ) -> MutexGuard<'a, T> {
            self.wait(guard)
        }
    }
}
