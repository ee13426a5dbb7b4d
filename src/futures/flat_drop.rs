//! Drops chains of any length without a deep stack.
//!
//! A pending future owns its callbacks, a callback may own the last handle of another pending
//! future, and so on. The outermost drop on a thread works off a queue; the inner ones only append.

use std::cell::RefCell;

thread_local! {
    /// What inner drops have put off; `None` while no drop is going on.
    static PUT_OFF: RefCell<Option<Vec<Box<dyn Droppable>>>> = const { RefCell::new(None) };
}

/// Anything, to be dropped.
trait Droppable {}
impl<T> Droppable for T {}

/// Drops `value` now, or puts it off until the drop that led here is over.
pub(crate) fn flat_drop<T: 'static>(value: T) {
    let mut value = Some(value);
    let outermost = PUT_OFF.try_with(|put_off| match &mut *put_off.borrow_mut() {
        Some(queue) => {
            queue.extend(
                value
                    .take()
                    .map(|value| Box::new(value) as Box<dyn Droppable>),
            );
            false
        }
        slot => {
            *slot = Some(Vec::new());
            true
        }
    });
    if outermost == Ok(true) {
        let _over = Over;
        drop(value);
        while let Some(next) = pop() {
            drop(next);
        }
    }
    // Otherwise it is queued; or the thread's locals are gone, and it is dropped here.
}

fn pop() -> Option<Box<dyn Droppable>> {
    PUT_OFF.with(|put_off| put_off.borrow_mut().as_mut()?.pop())
}

/// Ends the outermost drop, also when something in it panicked.
struct Over;

impl Drop for Over {
    fn drop(&mut self) {
        // What is left after a panic is dropped with nothing borrowed.
        let rest = PUT_OFF.try_with(|put_off| put_off.borrow_mut().take());
        drop(rest);
    }
}
