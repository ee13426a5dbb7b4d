//! Between threads and the loop: executors, and coroutines that other threads submit.
//!
//! What a thread sends to the loop is a callback that carries a number; what the number stands for, which
//! need not be `Send`, waits on the loop's thread ([`Threads`]).

mod bound;
#[cfg(all(test, loom))]
mod bound_models;
mod executors;
mod submit;
mod wrapped;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

pub use self::bound::{LoopBound, LoopBoundError};
pub use self::executors::to_thread;
pub use self::wrapped::wrap_future;

use self::bound::Bindings;
use crate::concurrent::Executor;
use crate::event_loop::{LoopState, current};

/// What a loop keeps for its dealings with threads.
#[derive(Default)]
pub(crate) struct Threads {
    /// What waits for a thread, by numbers that are never used again.
    bridges: RefCell<BTreeMap<u64, Rc<dyn Bridge>>>,
    last_bridge: Cell<u64>,
    /// What threads have names for, by numbers of the same kind.
    bindings: Bindings,
    /// Made when it is first needed.
    default_executor: RefCell<Option<Arc<dyn Executor>>>,
    /// `shutdown_default_executor` was called.
    executor_shut_down: Cell<bool>,
}

/// Something on the loop's thread that waits for a callback from another one.
trait Bridge {
    /// The callback has come.
    fn arrive(self: Rc<Self>);
}

impl Threads {
    fn next_bridge(&self) -> u64 {
        self.last_bridge.set(self.last_bridge.get() + 1);
        self.last_bridge.get()
    }

    fn keep(&self, number: u64, bridge: Rc<dyn Bridge>) {
        let old = self.bridges.borrow_mut().insert(number, bridge);
        debug_assert!(old.is_none(), "numbers are not used again");
    }

    fn remove(&self, number: u64) -> Option<Rc<dyn Bridge>> {
        self.bridges.borrow_mut().remove(&number)
    }

    /// Whether there is a default executor, which the end of a run would have to wait for.
    pub(crate) fn has_executor(&self) -> bool {
        self.default_executor.borrow().is_some()
    }

    /// Drops what threads have names for; says whether there was anything.
    pub(crate) fn unbind_all(&self, lp: &Rc<LoopState>) -> bool {
        self.bindings.drop_all(lp)
    }

    /// The loop is closed: nothing will arrive any more.
    pub(crate) fn close(&self, lp: &Rc<LoopState>) {
        // There are some if `Drop`s never stopped scheduling.
        self.unbind_all(lp);
        for bridge in self.bridges.take().into_values() {
            lp.drop_user(bridge);
        }
        let executor = self.default_executor.take();
        lp.guard("shutdown of the default executor", lp.site, || {
            if let Some(executor) = executor {
                executor.shutdown(false, false);
            }
        });
    }
}

/// Has the bridge with this number arrive, for the last time or not. Runs as a callback of its loop.
fn arrive(number: u64, last: bool) {
    let Some(lp) = current::get() else { return };
    let bridge = if last {
        lp.threads.remove(number)
    } else {
        lp.threads.bridges.borrow().get(&number).cloned()
    };
    if let Some(bridge) = bridge {
        bridge.arrive();
    }
}
