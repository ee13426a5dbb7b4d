//! What runs on this thread, and which loops live on it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::ptr;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use super::state::LoopState;
use crate::cancellation::CancelledError;

/// Needs no drop when the thread ends: by then `Entered` has taken out what was in it. So nothing has to be
/// looked at first by those who use it.
type Slot = ManuallyDrop<Option<Rc<LoopState>>>;

#[cfg(not(loom))]
thread_local! {
    /// The loop that runs on this thread, while it does.
    static CURRENT: RefCell<Slot> = const { RefCell::new(Slot::new(None)) };
    /// The open loops of this thread that other threads may post to, with their ids.
    static LOCAL: RefCell<Vec<(u64, Weak<LoopState>)>> = const { RefCell::new(Vec::new()) };
}

#[cfg(loom)]
loom::thread_local! {
    // The same; loom runs all threads of a model on one.
    static CURRENT: RefCell<Slot> = RefCell::new(Slot::new(None));
    static LOCAL: RefCell<Vec<(u64, Weak<LoopState>)>> = RefCell::new(Vec::new());
}

/// Looks at the running loop. `look` calls no user code: the slot is borrowed.
pub(crate) fn with<R>(look: impl FnOnce(Option<&Rc<LoopState>>) -> R) -> R {
    let mut look = Some(look);
    CURRENT
        .try_with(|current| {
            let look = look.take().expect("called once");
            look(current.borrow().as_ref())
        })
        .unwrap_or_else(|_| {
            // Only loom's locals are gone when a thread ends: nothing runs.
            let look = look.take().expect("not called above");
            look(None)
        })
}

/// The running loop.
pub(crate) fn get() -> Option<Rc<LoopState>> {
    with(|current| current.cloned())
}

/// The loop with this id, if it lives on this thread and is open. What is posted to it here need not
/// go through its mailbox.
pub(crate) fn local(loop_id: u64) -> Option<Rc<LoopState>> {
    let running = with(|current| current.filter(|lp| lp.id == loop_id).cloned());
    let found = running.or_else(|| {
        LOCAL
            .try_with(|local| {
                let local = local.borrow();
                let (_, lp) = local.iter().find(|(id, _)| *id == loop_id)?;
                lp.upgrade()
            })
            .ok()?
    });
    found.filter(|lp| !lp.is_closed())
}

/// Whether the step of a task is going on.
pub(crate) fn is_stepping() -> bool {
    with(|running| running.is_some_and(|running| running.step.is_stepping()))
}

/// Whether what is being polled in the step that goes on, in any loop, is going to be dropped.
pub(crate) fn is_unwinding() -> bool {
    with(|running| running.is_some_and(|running| running.step.is_unwinding()))
}

/// The loop that runs, for comparing; `None` if what is being polled is going to be dropped.
#[inline]
pub(crate) fn polling() -> Option<*const LoopState> {
    with(|running| match running {
        Some(running) if running.step.is_unwinding() => None,
        Some(running) => Some(Rc::as_ptr(running)),
        None => Some(ptr::null()),
    })
}

/// [`is_unwinding`] where what is polled belongs to `lp`: usually it is a step of that loop, but what is done
/// can be awaited in any.
#[inline]
pub(crate) fn is_unwinding_in(lp: &LoopState) -> bool {
    if lp.step.is_stepping() {
        return lp.step.is_unwinding();
    }
    is_unwinding_elsewhere()
}

#[cold]
fn is_unwinding_elsewhere() -> bool {
    is_unwinding()
}

/// What is polled while the step unwinds has no effect and stays pending, for it is going to be
/// dropped. A set that is polled by reference is not: it has to poll again what it polls now.
#[cold]
pub(crate) fn pending_while_unwinding<T>(cx: &Context<'_>) -> Poll<T> {
    let waker = cx.waker();
    if !with(|running| running.is_some_and(|running| running.step.is_direct(waker))) {
        waker.wake_by_ref();
    }
    Poll::Pending
}

/// Goes on unless what is being polled is going to be dropped: then nothing may have any effect.
pub(crate) async fn is_not_unwinding() {
    poll_fn(|cx| match is_unwinding() {
        true => pending_while_unwinding(cx),
        false => Poll::Ready(()),
    })
    .await;
}

/// What is being polled in the step that goes on is to unwind. False if no step goes on.
pub(crate) fn raise_here(why: &CancelledError) -> bool {
    get().is_some_and(|running| running.raise_here(why))
}

/// Makes a loop known to [`local`].
pub(super) fn make_local(loop_id: u64, lp: Weak<LoopState>) {
    let _ = LOCAL.try_with(|local| local.borrow_mut().push((loop_id, lp)));
}

/// The loop is closed.
pub(super) fn forget_local(loop_id: u64) {
    let _ = LOCAL.try_with(|local| local.borrow_mut().retain(|(id, _)| *id != loop_id));
}

/// Where the run was started that goes on on this thread, if one does.
pub(super) fn run_site() -> Option<&'static Location<'static>> {
    // A loop that is being closed is current as well, though it does not run.
    with(|current| current.and_then(|lp| lp.running.get().or(lp.closed_in.get())))
}

/// Makes `lp` the running loop until the guard is dropped.
pub(crate) fn enter(lp: Option<Rc<LoopState>>) -> Entered {
    Entered { outer: replace(lp) }
}

/// Restores what ran before, when dropped.
pub(crate) struct Entered {
    outer: Option<Rc<LoopState>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let inner = replace(self.outer.take());
        // Only now, with the slot free again: it may be the last reference to that loop.
        drop(inner);
    }
}

fn replace(lp: Option<Rc<LoopState>>) -> Option<Rc<LoopState>> {
    let old = CURRENT.try_with(|current| current.replace(Slot::new(lp)));
    old.map_or(None, Slot::into_inner)
}
