//! Model checks of names of values, on the real code: calls, the last name, close.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::event_loop::{EventLoop, LoopHandle, RunEnd};

/// How often a thread is interrupted at most: two threads and a loop are too much to explore without a limit.
const FEW_INTERRUPTIONS: usize = 3;

fn model_with_few_interruptions(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(FEW_INTERRUPTIONS);
    builder.check(model);
}

/// Stops its loop when it is dropped.
struct Value {
    uses: Rc<Cell<usize>>,
    event_loop: LoopHandle,
}

impl Drop for Value {
    fn drop(&mut self) {
        self.event_loop.stop();
    }
}

#[test]
fn sleeping_loop_drops_a_value_behind_what_was_posted_through_both_names() {
    model_with_few_interruptions(|| {
        let event_loop = EventLoop::new();
        let uses = Rc::new(Cell::new(0));
        let first = event_loop.bind(Value {
            uses: uses.clone(),
            event_loop: event_loop.handle(),
        });
        let threads = [first.clone(), first].map(|name| {
            thread::spawn(move || {
                let used = |value: &Value| value.uses.set(value.uses.get() + 1);
                assert!(name.call_soon_threadsafe(used).is_ok());
            })
        });
        // By the drop of the value, and by nothing else.
        assert!(matches!(event_loop.run_forever(), RunEnd::Stopped));
        assert_eq!(uses.get(), 2);
        assert_eq!(Rc::strong_count(&uses), 1);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn closing_loop_drops_a_value_and_calls_once_whatever_a_thread_does() {
    model_with_few_interruptions(|| {
        let event_loop = EventLoop::new();
        let (value, held) = (Rc::new(()), Arc::new(()));
        let refused = Arc::new(AtomicUsize::new(0));
        let name = event_loop.bind(value.clone());
        let (captured, count) = (held.clone(), refused.clone());
        let thread = thread::spawn(move || {
            if name.call_soon_threadsafe(move |_| drop(captured)).is_err() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        event_loop.close();
        assert_eq!(Rc::strong_count(&value), 1);
        thread.join().unwrap();
        assert_eq!(Arc::strong_count(&held), 1);
        assert!(refused.load(Ordering::Relaxed) <= 1);
    });
}
