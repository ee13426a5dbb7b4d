//! What the handles of a concurrent future share: one lock, one condition variable.
//!
//! | phase | holds | leaves it by |
//! | --- | --- | --- |
//! | `Pending` | nothing | `start`, `finish` |
//! | `Running` | nothing; a cancellation is refused | `finish` |
//! | `Ready` | the result | `borrow` (to `Lent`, and back), `take` |
//! | `Lent` | who looks at the result | the end of the loan |
//! | `Cancelled`, `Failed`, `Taken` | why there is no result | nothing |
//!
//! **Invariant:** no user code runs under the lock: no callback, waker, `Clone` or `Drop`. A result that is
//! to be looked at is moved out for that time, and whoever else wants it waits.

use std::panic::Location;
use std::task::Waker;

use slab::Slab;

use super::absent::Absent;
use super::blocking::{Awaited, Deadline, NotDone, block_until};
use super::{Future, ResultError};
use crate::errors::{PanicError, Refused};
use crate::sync::{Condvar, Mutex, MutexGuard, ThreadId, current_thread, wait_on};

pub(super) enum Phase<T> {
    Pending,
    Running,
    Ready(T),
    Lent(ThreadId),
    Cancelled,
    /// Never [`ResultError::TimedOut`] or [`ResultError::WouldBlockLoop`].
    Failed(ResultError),
    Taken,
}

impl<T> Phase<T> {
    /// Whether there is an outcome yet to come.
    fn is_open(&self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }
}

type Callback<T> = Box<dyn FnOnce(&Future<T>) + Send>;

/// A done-callback, and where it was added.
pub(super) struct DoneCallback<T: 'static> {
    pub(super) site: &'static Location<'static>,
    pub(super) call: Callback<T>,
}

struct State<T: 'static> {
    phase: Phase<T>,
    /// Called by whoever finishes; empty from then on.
    callbacks: Vec<DoneCallback<T>>,
    /// Of those who await it; empty once it is done.
    wakers: Slab<Waker>,
    /// Empty once it is done.
    absent: Absent,
}

impl<T: 'static> Awaited for State<T> {
    fn is_over(&self) -> bool {
        !self.phase.is_open()
    }

    fn absent(&mut self) -> &mut Absent {
        &mut self.absent
    }
}

pub(super) struct Shared<T: 'static> {
    state: Mutex<State<T>>,
    /// It is done, or a loan has ended.
    changed: Condvar,
    /// The loop whose task's result it will be, if it is one's.
    pub(super) brought_by: Option<u64>,
}

impl<T: 'static> Shared<T> {
    pub(super) fn new(brought_by: Option<u64>) -> Self {
        Self {
            state: Mutex::new(State {
                phase: Phase::Pending,
                callbacks: Vec::new(),
                wakers: Slab::new(),
                absent: Absent::default(),
            }),
            changed: Condvar::new(),
            brought_by,
        }
    }

    /// Looks at the phase. `look` calls no user code.
    pub(super) fn phase<R>(&self, look: impl FnOnce(&Phase<T>) -> R) -> R {
        look(&self.state.lock().phase)
    }

    pub(super) fn is_done(&self) -> bool {
        self.phase(|phase| !phase.is_open())
    }

    /// From `Pending` to `Running`: true. False if it was cancelled; otherwise refuses.
    pub(super) fn start(&self) -> Result<bool, Refused> {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Pending => {
                state.phase = Phase::Running;
                Ok(true)
            }
            Phase::Cancelled => Ok(false),
            _ => Err(Refused::Done),
        }
    }

    /// Leaves `Pending` or `Running` for `outcome`, or gives that back.
    pub(super) fn finish(
        &self,
        me: &Future<T>,
        outcome: Phase<T>,
    ) -> Result<(), (Phase<T>, Refused)> {
        let state = self.state.lock();
        if state.phase.is_open() {
            self.finish_open(me, state, outcome);
            return Ok(());
        }
        let refused = match state.phase {
            Phase::Cancelled => Refused::Cancelled,
            _ => Refused::Done,
        };
        drop(state);
        Err((outcome, refused))
    }

    /// Cancels it if it is pending; says whether it is cancelled now.
    pub(super) fn cancel(&self, me: &Future<T>) -> bool {
        let state = self.state.lock();
        match state.phase {
            Phase::Pending => {
                self.finish_open(me, state, Phase::Cancelled);
                true
            }
            Phase::Cancelled => true,
            _ => false,
        }
    }

    /// Tells everybody: who blocks, who awaits, then the callbacks, in the order of registration.
    fn finish_open(&self, me: &Future<T>, mut state: MutexGuard<'_, State<T>>, outcome: Phase<T>) {
        // What is replaced holds nothing of a user's.
        state.phase = outcome;
        state.absent.come_back();
        let callbacks = std::mem::take(&mut state.callbacks);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.changed.notify_all();
        for (_, waker) in wakers {
            PanicError::logged("a waker", None, || waker.wake());
        }
        for callback in callbacks {
            callback.run(me);
        }
    }

    /// Keeps a callback for the end, or gives it back if that has come.
    pub(super) fn add_callback(&self, callback: DoneCallback<T>) -> Result<(), DoneCallback<T>> {
        let mut state = self.state.lock();
        if state.phase.is_open() {
            state.callbacks.push(callback);
            return Ok(());
        }
        drop(state);
        Err(callback)
    }

    /// Keeps a waker in the place `key`, or in a new one; says whether it is to be woken.
    pub(super) fn register(&self, key: &mut Option<usize>, waker: &Waker) -> bool {
        let waker = waker.clone();
        let mut state = self.state.lock();
        if !state.phase.is_open() {
            drop(state);
            *key = None;
            return false;
        }
        let old = match *key {
            Some(key) => Some(std::mem::replace(&mut state.wakers[key], waker)),
            None => {
                *key = Some(state.wakers.insert(waker));
                None
            }
        };
        drop(state);
        drop(old);
        true
    }

    /// Takes a waker out again.
    pub(super) fn withdraw(&self, key: usize) {
        let waker = self.state.lock().wakers.try_remove(key);
        drop(waker);
    }

    /// Blocks the thread until it is done.
    pub(super) fn wait(&self, deadline: Deadline) -> Result<(), NotDone> {
        block_until(&self.changed, self.state.lock(), deadline, self.brought_by)
    }

    /// Moves the result out, for good. It is done.
    #[track_caller]
    pub(super) fn take(&self) -> Result<T, ResultError> {
        self.remove(Phase::Taken)
    }

    /// Moves the result out until the loan is dropped. It is done.
    #[track_caller]
    pub(super) fn borrow(&self) -> Result<Loan<'_, T>, ResultError> {
        let value = self.remove(Phase::Lent(current_thread().id()))?;
        Ok(Loan {
            shared: self,
            value: Some(value),
        })
    }

    #[track_caller]
    fn remove(&self, left_behind: Phase<T>) -> Result<T, ResultError> {
        let mut state = self.state.lock();
        while let Phase::Lent(reader) = &state.phase {
            let here = *reader == current_thread().id();
            assert!(
                !here,
                "this thread is looking at the future's result already"
            );
            // For as long as somebody's `Clone` takes.
            state = wait_on(&self.changed, state, None);
        }
        match &state.phase {
            Phase::Ready(_) => match std::mem::replace(&mut state.phase, left_behind) {
                Phase::Ready(value) => Ok(value),
                _ => unreachable!("it was ready, under the same lock"),
            },
            Phase::Cancelled => Err(ResultError::Cancelled),
            Phase::Failed(why) => Err(why.clone()),
            Phase::Taken => Err(ResultError::Taken),
            Phase::Pending | Phase::Running => Err(ResultError::TimedOut),
            Phase::Lent(_) => unreachable!("waited until it was not"),
        }
    }
}

/// The result, for somebody to look at.
pub(super) struct Loan<'a, T: 'static> {
    shared: &'a Shared<T>,
    /// Empty only while it is dropped.
    value: Option<T>,
}

impl<T: 'static> Loan<'_, T> {
    pub(super) fn value(&self) -> &T {
        self.value.as_ref().expect("it is not being dropped")
    }
}

impl<T: 'static> Drop for Loan<'_, T> {
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            self.shared.state.lock().phase = Phase::Ready(value);
            self.shared.changed.notify_all();
        }
    }
}

impl<T: 'static> DoneCallback<T> {
    /// Calls it; a panic is reported.
    pub(super) fn run(self, future: &Future<T>) {
        PanicError::logged("callback of a concurrent future", Some(self.site), || {
            (self.call)(future);
        });
    }
}
