//! `Condition`: who is notified, when it goes on, and what holds the lock meanwhile.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use callsoon::{Condition, Lock, LoopHandle, Task, create_task, yield_now};
use futures::FutureExt;

use crate::support::{Log, Scene, panic_message, settle, stop_at_every_point, turn, virtual_loop};

/// Starts a task that waits to be notified once.
fn waiter(
    event_loop: &LoopHandle,
    condition: &Condition,
    log: &Log,
    name: &'static str,
) -> Task<()> {
    let (condition, log) = (condition.clone(), log.clone());
    event_loop.create_task(async move {
        let guard = condition.lock().await;
        let _guard = condition.wait(guard).await;
        log.push(name);
    })
}

/// Notifies so many, with the lock held for that.
fn notify(condition: &Condition, n: usize) {
    let _guard = condition.try_lock().expect("nobody has it");
    condition.notify(n).unwrap();
}

/// Whether nobody has its lock or waits for a notification.
fn is_idle<T>(condition: &Condition<T>) -> bool {
    format!("{condition:?}").starts_with("<Condition [unlocked] ")
        && format!("{:?}", **condition).starts_with("<Lock [unlocked] ")
}

/// K10: without the lock nobody can be notified.
#[test]
fn notify_without_the_lock_is_an_error() {
    let line = line!() + 1;
    let condition = Condition::new(());
    let begin = format!("condition created at {}:{line}:", file!());
    for error in [condition.notify(1), condition.notify_all()] {
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with(&begin), "{error}");
        assert!(error.ends_with("nobody can be notified, for its lock is not acquired"));
    }
}

/// K10: without the lock nobody can wait.
#[test]
fn waiting_without_the_lock_is_an_error() {
    let condition = Condition::new(());
    let refused = condition.wait_acquired().now_or_never().unwrap();
    let error = refused.unwrap_err().to_string();
    assert!(
        error.ends_with("it cannot be waited for, for its lock is not acquired"),
        "{error}"
    );
    let _guard = condition.try_lock();
    let refused = condition.wait_acquired().now_or_never().unwrap();
    let error = refused.unwrap_err().to_string();
    assert!(
        error.ends_with("it cannot be waited for, for a guard holds its lock"),
        "{error}"
    );
    // What holds already needs no lock.
    assert!(
        condition
            .wait_for_acquired(|| true)
            .now_or_never()
            .unwrap()
            .is_ok()
    );
}

/// K10: a guard of another lock is refused where it is passed.
#[test]
fn guard_of_another_lock_is_refused() {
    let (condition, other) = (Condition::new(()), Lock::new(()));
    let panic = panic_message(|| drop(condition.wait(other.try_lock().unwrap())));
    assert!(panic.starts_with("condition created at "), "{panic}");
    assert!(
        panic.contains("with a guard of the lock created at "),
        "{panic}"
    );
    assert!(!other.locked());
}

/// K11, 2.0: who is notified goes on one turn after the notifier has released the lock.
#[test]
fn notified_waits_for_the_lock() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let condition = Condition::new(());
    waiter(&event_loop, &condition, &log, "went on");
    let (notifying, events) = (condition.clone(), log.clone());
    event_loop.create_task(async move {
        let guard = notifying.lock().await;
        notifying.notify(1).unwrap();
        events.push("notified");
        yield_now().await;
        yield_now().await;
        events.push("released");
        drop(guard);
    });
    turn(&event_loop);
    log.expect(&["notified"]);
    turn(&event_loop);
    turn(&event_loop);
    log.expect(&["released"]);
    turn(&event_loop);
    log.expect(&["went on"]);
    assert!(is_idle(&condition));
}

/// 2.0: with the lock free already, one turn after the notification.
#[test]
fn notified_goes_on_in_the_next_turn_if_the_lock_is_free() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let condition = Condition::new(());
    waiter(&event_loop, &condition, &log, "went on");
    turn(&event_loop);
    notify(&condition, 1);
    turn(&event_loop);
    log.expect(&["went on"]);
}

/// `notify(n)` wakes the first `n`, and no more.
#[test]
fn notify_wakes_the_first_so_many() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let condition = Condition::new(());
    for name in ["a", "b", "c"] {
        waiter(&event_loop, &condition, &log, name);
    }
    turn(&event_loop);
    notify(&condition, 2);
    settle(&event_loop);
    log.expect(&["a", "b"]);
    notify(&condition, 7);
    settle(&event_loop);
    log.expect(&["c"]);
}

/// K12: all are notified at once, and go on one at a time, in the order in which they came.
#[test]
fn all_go_on_one_at_a_time() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let condition = Condition::new(());
    for name in ["a", "b", "c"] {
        let (condition, log) = (condition.clone(), log.clone());
        event_loop.create_task(async move {
            let guard = condition.lock().await;
            let guard = condition.wait(guard).await;
            log.push(format_args!("{name} in"));
            yield_now().await;
            log.push(format_args!("{name} out"));
            drop(guard);
        });
    }
    turn(&event_loop);
    let guard = condition.try_lock();
    condition.notify_all().unwrap();
    drop(guard);
    settle(&event_loop);
    log.expect(&["a in", "a out", "b in", "b out", "c in", "c out"]);
}

/// K13: one who is cancelled while another has the lock waits for that, whatever is asked of it, and only
/// then goes.
#[test]
fn cancelled_takes_the_lock_again_first() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let condition = Condition::new(());
    let waiting = waiter(&event_loop, &condition, &log, "went on");
    turn(&event_loop);
    let guard = condition.try_lock();
    waiting.cancel();
    turn(&event_loop);
    waiting.cancel_with("again");
    settle(&event_loop);
    assert!(!waiting.done());
    drop(guard);
    settle(&event_loop);
    assert!(waiting.cancelled());
    log.expect(&[]);
    assert!(is_idle(&condition));
}

/// K13: with a bare lock, whoever catches the cancellation has it and releases it.
#[test]
fn cancelled_wait_of_an_acquired_lock_leaves_it_acquired() {
    let event_loop = virtual_loop();
    let condition = Condition::new(());
    let waiting = condition.clone();
    let task = event_loop.create_task(async move {
        waiting.acquire().await;
        let end = callsoon::catch_cancel(waiting.wait_acquired()).await;
        assert!(end.is_err() && waiting.locked());
        waiting.release().unwrap();
    });
    turn(&event_loop);
    assert!(!condition.locked());
    task.cancel();
    event_loop.run_until_complete(task).unwrap();
    assert!(is_idle(&condition));
}

/// K14: one who was notified and is then cancelled passes the notification on.
#[test]
fn notified_and_cancelled_passes_the_notification_on() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let condition = Condition::new(());
    let first = waiter(&event_loop, &condition, &log, "first");
    waiter(&event_loop, &condition, &log, "second");
    turn(&event_loop);
    notify(&condition, 1);
    first.cancel();
    settle(&event_loop);
    assert!(first.cancelled());
    log.expect(&["second"]);
}

/// K14: also if it was cancelled while it waited for the lock, notified long ago.
#[test]
fn notified_and_cancelled_at_the_lock_passes_the_notification_on() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let condition = Condition::new(());
    let first = waiter(&event_loop, &condition, &log, "first");
    waiter(&event_loop, &condition, &log, "second");
    turn(&event_loop);
    let guard = condition.try_lock();
    condition.notify(1).unwrap();
    settle(&event_loop);
    first.cancel();
    settle(&event_loop);
    assert!(!first.done());
    drop(guard);
    settle(&event_loop);
    assert!(first.cancelled());
    log.expect(&["second"]);
}

/// `wait_for` looks at the value first, and after each notification.
#[test]
fn wait_for_looks_at_the_value() {
    let event_loop = virtual_loop();
    let condition = Condition::new(3);
    let looks = Rc::new(Cell::new(0));
    let (counting, waiting) = (looks.clone(), condition.clone());
    let task = event_loop.create_task(async move {
        let guard = waiting.lock().await;
        let guard = waiting
            .wait_for(guard, |value| {
                counting.set(counting.get() + 1);
                *value >= 3
            })
            .await;
        assert_eq!(counting.get(), 1, "it does not wait");
        let guard = waiting
            .wait_for(guard, |value| {
                counting.set(counting.get() + 1);
                *value >= 5
            })
            .await;
        *guard
    });
    for _ in 0..2 {
        turn(&event_loop);
        let mut guard = condition.try_lock().unwrap();
        *guard += 1;
        condition.notify_all().unwrap();
    }
    assert_eq!(event_loop.run_until_complete(task).unwrap(), 5);
    assert_eq!(looks.get(), 4);
}

/// A predicate that panics frees the lock.
#[test]
fn panic_of_a_predicate_frees_the_lock() {
    let event_loop = virtual_loop();
    let condition = Condition::new(());
    let waiting = condition.clone();
    let broken = event_loop.create_task(async move {
        let guard = waiting.lock().await;
        let looks = Cell::new(0);
        let predicate = |_: &mut ()| {
            looks.set(looks.get() + 1);
            assert!(looks.get() < 2, "the second look");
            false
        };
        drop(waiting.wait_for(guard, predicate).await);
    });
    turn(&event_loop);
    notify(&condition, 1);
    let panic = panic_message(|| event_loop.run_until_complete(broken).unwrap());
    assert_eq!(panic, "the second look");
    assert!(is_idle(&condition));
}

/// Two conditions of one lock have each its own waiters.
#[test]
fn conditions_share_a_lock() {
    let event_loop = virtual_loop();
    let buffer = Lock::new(Vec::new());
    let (not_empty, empty) = (
        Condition::with_lock(buffer.clone()),
        Condition::with_lock(buffer),
    );
    let sum = Rc::new(Cell::new(0));
    let (filling, emptied) = (not_empty.clone(), empty.clone());
    event_loop.create_task(async move {
        for number in 1..=10 {
            let guard = filling.lock().await;
            let mut guard = emptied.wait_for(guard, |buffer| buffer.is_empty()).await;
            guard.push(number);
            filling.notify(1).unwrap();
        }
    });
    let summed = sum.clone();
    let consumer = event_loop.create_task(async move {
        for _ in 1..=10 {
            let guard = not_empty.lock().await;
            let mut guard = not_empty.wait_for(guard, |buffer| !buffer.is_empty()).await;
            summed.set(summed.get() + guard.pop().unwrap());
            empty.notify(1).unwrap();
        }
    });
    event_loop.run_until_complete(consumer).unwrap();
    assert_eq!(sum.get(), 55);
}

/// K18: a condition belongs to the loop in which it was first waited for; who is refused gives the lock back.
#[test]
fn waiting_in_a_second_loop_panics() {
    let (log, condition) = (Log::new(), Condition::new(()));
    let (one, two) = (virtual_loop(), virtual_loop());
    let waiting = waiter(&one, &condition, &log, "went on");
    turn(&one);
    let refused = waiter(&two, &condition, &log, "refused");
    let panic = panic_message(|| two.run_until_complete(refused).unwrap());
    assert!(panic.starts_with("condition created at "), "{panic}");
    notify(&condition, 1);
    one.run_until_complete(waiting).unwrap();
    assert!(is_idle(&condition));
}

/// Two who wait, one before the victim and one behind it, and a notifier who holds the lock for a while, so that
/// the victim is suspended in both ways.
fn scene(event_loop: &LoopHandle, victim: impl AsyncFnOnce(Condition) + 'static) -> Scene {
    let (condition, log) = (Condition::new(()), Log::new());
    waiter(event_loop, &condition, &log, "first");
    let behind = (event_loop.clone(), condition.clone(), log.clone());
    event_loop.call_soon(move || drop(waiter(&behind.0, &behind.1, &behind.2, "last")));
    let notifier = condition.clone();
    event_loop.create_task(async move {
        for _ in 0..4 {
            yield_now().await;
        }
        let guard = notifier.lock().await;
        // For the first and the victim; if that goes, for the last.
        notifier.notify(2).unwrap();
        for _ in 0..3 {
            yield_now().await;
        }
        drop(guard);
    });
    let waited_for = condition.clone();
    let victim = async move { victim(waited_for).await };
    Scene::new(victim, move |_| {
        let mut events = log.take();
        events.sort();
        assert_eq!(events, ["first", "last"]);
        assert!(is_idle(&condition), "{condition:?} {:?}", *condition);
    })
}

/// K13, K14: `wait` is stopped while it waits, when it was notified, and while it waits for the lock: the
/// notification goes to the next one, and the lock is free in the end.
#[test]
fn wait_stopped_at_every_point_loses_no_notification() {
    let points = stop_at_every_point(|event_loop| {
        scene(event_loop, async |condition| {
            let guard = condition.lock().await;
            drop(condition.wait(guard).await);
        })
    });
    assert!(points >= 7, "{points}");
}

/// The same of `wait_for`, whose predicate is fulfilled by the notification.
#[test]
fn wait_for_stopped_at_every_point_loses_no_notification() {
    let points = stop_at_every_point(|event_loop| {
        scene(event_loop, async |condition| {
            let guard = condition.lock().await;
            let mut looks = 0;
            let second_look = |_: &mut ()| {
                looks += 1;
                looks > 1
            };
            drop(condition.wait_for(guard, second_look).await);
        })
    });
    assert!(points >= 7, "{points}");
}

/// The same of a lock that was acquired; whoever catches the cancellation releases it.
#[test]
fn wait_acquired_stopped_at_every_point_loses_no_notification() {
    /// Releases what was acquired when the victim is cancelled, for which it has the lock again; dropped
    /// while it waits, it has none.
    struct Release(Condition, Rc<Cell<bool>>);

    impl Drop for Release {
        fn drop(&mut self) {
            if self.1.get() {
                self.0.release().unwrap();
            }
        }
    }

    let points = stop_at_every_point(|event_loop| {
        scene(event_loop, async |condition| {
            condition.acquire().await;
            let has_it = Rc::new(Cell::new(false));
            let _release = Release(condition.clone(), has_it.clone());
            let waited = callsoon::catch_cancel(condition.wait_acquired()).await;
            has_it.set(true);
            if let Err(cancelled) = waited {
                cancelled.reraise().await;
            }
        })
    });
    assert!(points >= 7, "{points}");
}

/// The value is with the lock while a waiter waits, and nothing of it is lost when that is dropped.
#[test]
fn value_stays_when_a_waiter_is_dropped() {
    let event_loop = virtual_loop();
    let condition = Condition::new(RefCell::new(vec![1]));
    let waiting = condition.clone();
    event_loop
        .run_until_complete(async move {
            let other = waiting.clone();
            let waiter = create_task(async move {
                let guard = other.lock().await;
                drop(other.wait(guard).await);
            });
            yield_now().await;
            waiting.lock().await.borrow_mut().push(2);
            waiter.cancel();
            yield_now().await;
            assert_eq!(*waiting.lock().await.borrow(), [1, 2]);
        })
        .unwrap();
    assert!(is_idle(&condition));
}
