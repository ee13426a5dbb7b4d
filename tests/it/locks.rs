//! `Lock`: who gets it and when, and that no turn is lost.

use std::cell::Cell;
use std::rc::Rc;

use callsoon::{
    EventLoop, Lock, LockGuard, Task, TimeoutError, create_task, run, timeout, yield_now,
};
use futures::FutureExt;

use crate::support::{
    Log, Scene, message, ms, panic_message, settle, stop_at_every_point, turn, virtual_loop,
};

/// Starts a task that takes the lock, keeps it for a turn, and logs both ends.
fn user(event_loop: &EventLoop, lock: &Lock, log: &Log, name: &'static str) -> Task<()> {
    let (lock, log) = (lock.clone(), log.clone());
    event_loop.create_task(async move {
        let _guard = lock.lock().await;
        log.push(format_args!("{name} in"));
        yield_now().await;
        log.push(format_args!("{name} out"));
    })
}

/// Whether nobody has the lock or waits for it.
fn is_idle<T>(lock: &Lock<T>) -> bool {
    format!("{lock:?}").starts_with("<Lock [unlocked] ")
}

/// K1, 2.0: a free lock is taken without suspending.
#[test]
fn free_lock_is_taken_at_once() {
    let event_loop = virtual_loop();
    let lock = Lock::new(7);
    event_loop.create_task(async move {
        *lock.lock().await += 1;
        assert_eq!(*lock.lock().await, 8);
    });
    assert_eq!(turn(&event_loop), 1);
    assert_eq!(turn(&event_loop), 0);
}

/// K2, 2.0: who waits takes the lock one turn after it was released, and it is free until then.
#[test]
fn released_lock_is_free_until_the_first_one_takes_it() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let lock = Lock::new(());
    let guard = lock.try_lock().unwrap();
    let waiting = user(&event_loop, &lock, &log, "a");
    turn(&event_loop);
    assert!(lock.locked());
    drop(guard);
    assert!(!lock.locked());
    log.expect(&[]);
    turn(&event_loop);
    assert!(lock.locked());
    log.expect(&["a in"]);
    event_loop.run_until_complete(waiting).unwrap();
    assert!(!lock.locked());
}

/// K3: whoever comes while somebody waits, waits behind, though the lock looks free.
#[test]
fn newcomer_does_not_overtake() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let lock = Lock::new(());
    let guard = lock.try_lock().unwrap();
    user(&event_loop, &lock, &log, "first");
    turn(&event_loop);
    // It takes its step in front of the one that is woken.
    user(&event_loop, &lock, &log, "second");
    drop(guard);
    assert!(!lock.locked());
    assert!(lock.try_lock().is_none());
    settle(&event_loop);
    log.expect(&["first in", "first out", "second in", "second out"]);
}

/// K3: they go in in the order in which they came.
#[test]
fn first_come_first_served() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let lock = Lock::new(());
    for name in ["a", "b", "c"] {
        user(&event_loop, &lock, &log, name);
    }
    settle(&event_loop);
    log.expect(&["a in", "a out", "b in", "b out", "c in", "c out"]);
    assert!(is_idle(&lock));
}

/// K4: one who was woken and is cancelled before it runs passes its turn on.
#[test]
fn woken_and_cancelled_passes_its_turn_on() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let lock = Lock::new(());
    let guard = lock.try_lock().unwrap();
    let first = user(&event_loop, &lock, &log, "first");
    user(&event_loop, &lock, &log, "second");
    turn(&event_loop);
    drop(guard);
    assert!(first.cancel());
    turn(&event_loop);
    assert!(first.cancelled());
    log.expect(&[]);
    turn(&event_loop);
    log.expect(&["second in"]);
    settle(&event_loop);
    assert!(is_idle(&lock));
}

/// K4: those who were cancelled and have not run yet do not stand in a newcomer's way.
#[test]
fn cancelled_waiters_do_not_block_a_newcomer() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let lock = Lock::new(());
    let guard = lock.try_lock().unwrap();
    let gone = user(&event_loop, &lock, &log, "gone");
    turn(&event_loop);
    gone.cancel();
    drop(guard);
    assert!(lock.try_lock().is_some());
    settle(&event_loop);
    assert!(is_idle(&lock));
}

/// K5: a lock that was acquired has no owner: any task may release it.
#[test]
fn acquired_lock_is_released_by_another_task() {
    let event_loop = virtual_loop();
    let lock = Lock::new(());
    let (acquiring, releasing) = (lock.clone(), lock.clone());
    let twice = event_loop.create_task(async move {
        acquiring.acquire().await;
        acquiring.acquire().await;
    });
    event_loop.create_task(async move {
        yield_now().await;
        releasing.release().unwrap();
    });
    event_loop.run_until_complete(twice).unwrap();
    assert!(lock.locked());
}

/// K5: who acquires it twice waits for ever: on virtual time, a deadlock that says so.
#[test]
fn acquiring_twice_is_a_deadlock() {
    let event_loop = virtual_loop();
    let lock = Lock::new(());
    let task = event_loop.create_task(async move {
        lock.acquire().await;
        lock.acquire().await;
    });
    let end = event_loop.run_until_complete(task).unwrap_err();
    assert!(matches!(end, callsoon::RunError::Deadlock(_)), "{end}");
}

/// K5: releasing what is not acquired is an error that names the lock.
#[test]
fn release_of_a_free_lock_is_an_error() {
    let line = line!() + 1;
    let lock = Lock::new(());
    let error = lock.release().unwrap_err().to_string();
    let lock_there = format!("lock created at {}:{line}:", file!());
    assert!(error.starts_with(&lock_there), "{error}");
    assert!(error.ends_with("it cannot be released, for it is not acquired"));
}

/// K5, DIFFERENCE: what a guard holds only the guard gives back.
#[test]
fn release_of_a_guarded_lock_is_an_error() {
    let lock = Lock::new(());
    let guard = lock.try_lock();
    let error = lock.release().unwrap_err().to_string();
    assert!(error.ends_with("it cannot be released, for a guard holds it"));
    assert!(lock.locked());
    drop(guard);
    assert!(!lock.locked());
}

/// K18: a lock is any loop's until somebody has to wait, and then that loop's.
#[test]
fn waiting_in_a_second_loop_panics() {
    let line = line!() + 1;
    let lock = Lock::new(());
    let wait_a_turn = |event_loop: &EventLoop| {
        let waiting = lock.clone();
        let waiting = event_loop.create_task(async move { drop(waiting.lock().await) });
        turn(event_loop);
        waiting
    };
    let (one, two) = (virtual_loop(), virtual_loop());
    for event_loop in [&one, &two] {
        wait_a_turn(event_loop).take_result().unwrap(); // nobody has to wait
    }
    let guard = lock.try_lock().unwrap();
    let waiting = wait_a_turn(&one);
    let refused = wait_a_turn(&two);
    let panic = panic_message(|| two.run_until_complete(refused).unwrap());
    let begin = format!("lock created at {}:{line}:", file!());
    assert!(panic.starts_with(&begin), "{panic}");
    assert!(
        panic.contains("belongs to the event loop created at "),
        "{panic}"
    );
    drop(guard);
    one.run_until_complete(waiting).unwrap();
}

/// K18: waiting for a lock without a loop is a panic that names it.
#[test]
fn waiting_outside_a_loop_panics() {
    let lock = Lock::new(());
    assert!(lock.lock().now_or_never().is_some());
    let _guard = lock.try_lock();
    let panic = panic_message(|| drop(lock.lock().now_or_never()));
    assert!(
        panic.contains("is waited for while no event loop runs"),
        "{panic}"
    );
}

/// A guard can be kept, returned, and dropped elsewhere; what it protects goes with it.
#[test]
fn guard_moves_to_another_task() {
    let event_loop = virtual_loop();
    let lock = Lock::new(vec![1]);
    event_loop
        .run_until_complete(async move {
            let mut guard = lock.lock().await;
            guard.push(2);
            let other = create_task(async move {
                yield_now().await;
                guard.push(3);
            });
            assert_eq!(*lock.lock().await, [1, 2, 3]);
            other.await;
        })
        .unwrap();
}

/// A panic frees the lock like any other end, and poisons nothing.
#[test]
fn panic_in_a_critical_section_frees_the_lock() {
    let event_loop = virtual_loop();
    let lock = Lock::new(0);
    let breaking = lock.clone();
    let broken = event_loop.create_task(async move {
        let mut guard = breaking.lock().await;
        *guard = 1;
        panic!("in the middle");
    });
    let waiting = lock.clone();
    let value = event_loop.create_task(async move { *waiting.lock().await });
    assert_eq!(event_loop.run_until_complete(value).unwrap(), 1);
    let outcome = event_loop.run_until_complete(async { broken.outcome().await });
    drop(outcome);
}

/// `async with` in a function that gives up after a while.
#[test]
fn timeout_gives_up_the_wait() {
    let event_loop = virtual_loop();
    let lock = Lock::new(());
    let (guard, wanted) = (lock.try_lock(), lock.clone());
    event_loop
        .run_until_complete(async move {
            let late = timeout(ms(5), wanted.lock()).await;
            assert_eq!(late.err(), Some(TimeoutError));
            assert!(format!("{wanted:?}").starts_with("<Lock [locked] "));
            drop(guard);
            assert!(timeout(ms(5), wanted.lock()).await.is_ok());
        })
        .unwrap();
    assert!(is_idle(&lock));
}

/// Three tasks at a lock, of which the middle one is stopped.
fn stop_the_middle_one(
    middle: impl Fn(Lock, Rc<Cell<bool>>) -> futures::future::LocalBoxFuture<'static, ()>,
) -> usize {
    stop_at_every_point(|event_loop| {
        let (lock, log) = (Lock::new(()), Log::new());
        user(event_loop, &lock, &log, "first");
        let last = (lock.clone(), log.clone());
        // It comes behind the victim.
        event_loop.create_task(async move {
            yield_now().await;
            let _guard = last.0.lock().await;
            last.1.push("last in");
        });
        let got = Rc::new(Cell::new(false));
        Scene::new(middle(lock.clone(), got.clone()), move |_| {
            log.expect(&["first in", "first out", "last in"]);
            assert!(!got.get());
            assert!(is_idle(&lock));
        })
    })
}

/// K4: `lock` is stopped while it waits, and when it was woken: the next one has its turn.
#[test]
fn lock_stopped_at_every_point_loses_no_turn() {
    let points = stop_the_middle_one(|lock, got| {
        async move {
            let _guard = lock.lock().await;
            got.set(true);
        }
        .boxed_local()
    });
    assert_eq!(points, 2, "waiting, and woken");
}

/// K4: the same of `acquire`.
#[test]
fn acquire_stopped_at_every_point_loses_no_turn() {
    let points = stop_the_middle_one(|lock, got| {
        async move {
            lock.acquire().await;
            got.set(true);
            lock.release().unwrap();
        }
        .boxed_local()
    });
    assert_eq!(points, 2, "waiting, and woken");
}

/// Whoever holds a guard and is stopped gives it back.
#[test]
fn holder_stopped_at_every_point_gives_the_lock_back() {
    stop_at_every_point(|_| {
        let lock = Lock::new(String::from("mine"));
        let held = lock.clone();
        let victim = async move {
            let mut guard = held.lock().await;
            guard.push('!');
            yield_now().await;
            yield_now().await;
        };
        Scene::new(victim, move |_| {
            assert_eq!(lock.try_lock().as_deref().unwrap(), "mine!");
        })
    });
}

/// A future that was not awaited does nothing; one that is over is terminated, and says so when awaited again.
#[test]
fn future_of_a_lock_knows_its_state() {
    use futures::future::FusedFuture;
    let lock = Lock::new(());
    let mut locking = lock.lock();
    assert_eq!(format!("{locking:?}"), "<Locking new>");
    assert!(!lock.locked() && !locking.is_terminated());
    let guard = (&mut locking).now_or_never();
    assert!(guard.is_some() && locking.is_terminated());
    assert_eq!(format!("{locking:?}"), "<Locking done>");
    let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        (&mut locking).now_or_never()
    }));
    assert_eq!(
        message(&*again.unwrap_err()),
        "awaited again after it was over"
    );
}

/// A turn costs the same whoever came before: nobody is looked at twice.
#[test]
fn many_waiters_pass_in_order() {
    const MANY: usize = 10_000;
    let lock = Lock::new(Vec::new());
    run(async {
        let tasks = (0..MANY).map(|number| {
            let lock = lock.clone();
            create_task(async move {
                let mut numbers: LockGuard<Vec<usize>> = lock.lock().await;
                yield_now().await;
                numbers.push(number);
            })
        });
        for (number, task) in tasks.collect::<Vec<_>>().into_iter().enumerate() {
            // Every third one leaves.
            if number % 3 == 0 && number > 0 {
                task.cancel();
            } else {
                task.await;
            }
        }
    });
    let numbers = lock.try_lock().unwrap();
    assert!(numbers.is_sorted());
    assert!(numbers.len() > MANY / 2);
}
