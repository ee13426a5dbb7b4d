//! `Semaphore` and `BoundedSemaphore`: where each permit goes, and that none is lost.

use std::cell::RefCell;
use std::rc::Rc;

use callsoon::{BoundedSemaphore, EventLoop, Semaphore, Task, yield_now};

use crate::support::{Log, Scene, panic_message, settle, stop_at_every_point, turn, virtual_loop};

/// Starts a task that takes a permit, keeps it for a turn, and logs both ends.
fn user(event_loop: &EventLoop, semaphore: &Semaphore, log: &Log, name: &'static str) -> Task<()> {
    let (semaphore, log) = (semaphore.clone(), log.clone());
    event_loop.create_task(async move {
        let _permit = semaphore.permit().await;
        log.push(format_args!("{name} in"));
        yield_now().await;
        log.push(format_args!("{name} out"));
    })
}

/// Whether so many permits are left and nobody waits.
fn has(semaphore: &Semaphore, permits: usize) -> bool {
    let state = match permits {
        0 => "locked".to_owned(),
        permits => format!("unlocked, value:{permits}"),
    };
    format!("{semaphore:?}").starts_with(&format!("<Semaphore [{state}] "))
}

/// K1, 2.0: a permit that is left is taken without suspending.
#[test]
fn permit_that_is_left_is_taken_at_once() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let semaphore = Semaphore::new(2);
    user(&event_loop, &semaphore, &log, "a");
    user(&event_loop, &semaphore, &log, "b");
    user(&event_loop, &semaphore, &log, "c");
    turn(&event_loop);
    log.expect(&["a in", "b in"]);
    turn(&event_loop);
    log.expect(&["a out", "b out"]);
    turn(&event_loop);
    log.expect(&["c in"]);
    settle(&event_loop);
    assert!(has(&semaphore, 2));
}

/// K7: a permit that is given back is the first waiter's at once; nobody else can take it.
#[test]
fn release_hands_the_permit_over() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let semaphore = Semaphore::new(0);
    user(&event_loop, &semaphore, &log, "first");
    turn(&event_loop);
    user(&event_loop, &semaphore, &log, "newcomer");
    semaphore.release();
    assert!(semaphore.locked());
    assert!(semaphore.try_permit().is_none());
    turn(&event_loop);
    log.expect(&["first in"]);
    settle(&event_loop);
    log.expect(&["first out", "newcomer in", "newcomer out"]);
    assert!(has(&semaphore, 1));
}

/// K7: while one who was woken has not run, a newcomer waits though a permit is left, and then has it.
#[test]
fn newcomer_waits_for_the_woken_and_then_gets_what_is_left() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let semaphore = Semaphore::new(0);
    user(&event_loop, &semaphore, &log, "first");
    turn(&event_loop);
    user(&event_loop, &semaphore, &log, "newcomer");
    semaphore.release();
    semaphore.release();
    assert!(semaphore.locked());
    turn(&event_loop);
    // The newcomer came in front of the one who was woken, and waits; that one lets it in.
    log.expect(&["first in"]);
    turn(&event_loop);
    log.expect(&["newcomer in", "first out"]);
    settle(&event_loop);
    assert!(has(&semaphore, 2));
}

/// K8: one who was given a permit and is cancelled before it runs gives it to the next.
#[test]
fn granted_and_cancelled_gives_the_permit_on() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let semaphore = Semaphore::new(0);
    let first = user(&event_loop, &semaphore, &log, "first");
    user(&event_loop, &semaphore, &log, "second");
    turn(&event_loop);
    semaphore.release();
    first.cancel();
    turn(&event_loop);
    assert!(first.cancelled());
    turn(&event_loop);
    log.expect(&["second in"]);
    settle(&event_loop);
    assert!(has(&semaphore, 1));
}

/// K9: a semaphore may be released beyond what it began with.
#[test]
fn semaphore_may_grow() {
    let semaphore = Semaphore::new(0);
    semaphore.release();
    semaphore.release();
    assert!(has(&semaphore, 2));
}

/// K9: a bounded one refuses, and names itself.
#[test]
fn bounded_semaphore_refuses_to_grow() {
    let line = line!() + 1;
    let semaphore = BoundedSemaphore::new(1);
    let error = semaphore.release().unwrap_err().to_string();
    let begin = format!("bounded semaphore created at {}:{line}:", file!());
    assert!(error.starts_with(&begin), "{error}");
    assert!(error.ends_with("released too often: all 1 permits are there"));
    let permit = semaphore.try_permit();
    assert!(semaphore.locked() && semaphore.release().is_ok());
    // The permit that was given back by hand is not given back again.
    drop(permit);
    assert!(format!("{semaphore:?}").contains("[unlocked, value:1]"));
}

/// K18: a semaphore belongs to the loop in which somebody first had to wait for it.
#[test]
fn waiting_in_a_second_loop_panics() {
    let semaphore = Semaphore::new(0);
    let (one, two) = (virtual_loop(), virtual_loop());
    let waiting = one.create_task(semaphore.acquire());
    turn(&one);
    let refused = two.create_task(semaphore.acquire());
    let panic = panic_message(|| two.run_until_complete(refused).unwrap());
    assert!(panic.starts_with("semaphore created at "), "{panic}");
    semaphore.release();
    one.run_until_complete(waiting).unwrap();
}

/// Two permits, four users, of which the third is stopped.
fn scene(event_loop: &EventLoop, victim: impl AsyncFnOnce(Semaphore) + 'static) -> Scene {
    let (semaphore, log) = (Semaphore::new(2), Log::new());
    user(event_loop, &semaphore, &log, "a");
    user(event_loop, &semaphore, &log, "b");
    let behind = (event_loop.handle(), semaphore.clone(), log.clone());
    event_loop.call_soon(move || {
        let (event_loop, semaphore, log) = behind;
        event_loop.create_task(async move {
            let _permit = semaphore.permit().await;
            log.push("last in");
        });
    });
    let taken = semaphore.clone();
    let victim = async move { victim(taken).await };
    Scene::new(victim, move |_| {
        let events = log.take();
        assert!(events.contains(&"last in".to_owned()), "{events:?}");
        assert!(has(&semaphore, 2), "{semaphore:?}");
    })
}

/// K7, K8: whoever leaves a long line, wherever it stands, changes nothing for the order of those who stay.
#[test]
fn many_who_leave_a_long_line_leave_the_others_in_order() {
    for one_stays_in in [1, 2, 3, 7] {
        let event_loop = virtual_loop();
        let (semaphore, passed) = (Semaphore::new(0), Rc::new(RefCell::new(Vec::new())));
        let (mut joined, mut staying) = (0, Vec::new());
        for round in 0..40 {
            let tasks = [(); 10].map(|()| {
                let (acquiring, passed, number) = (semaphore.acquire(), passed.clone(), joined);
                joined += 1;
                let task = event_loop.create_task(async move {
                    acquiring.await;
                    passed.borrow_mut().push(number);
                });
                (number, task)
            });
            turn(&event_loop);
            for (number, task) in tasks {
                match number % one_stays_in {
                    0 => staying.push(number),
                    _ => assert!(task.cancel()),
                }
            }
            if round % 2 == 0 {
                semaphore.release();
            }
            settle(&event_loop);
            assert_eq!(passed.borrow().len(), round / 2 + 1);
        }
        while passed.borrow().len() < staying.len() {
            semaphore.release();
            settle(&event_loop);
        }
        assert_eq!(*passed.borrow(), staying);
        assert!(has(&semaphore, 0));
    }
}

/// K8: `permit` is stopped while it waits, when it was given one, and with one in its hands.
#[test]
fn permit_stopped_at_every_point_is_not_lost() {
    let points = stop_at_every_point(|event_loop| {
        scene(event_loop, async |semaphore| {
            let _permit = semaphore.permit().await;
            yield_now().await;
        })
    });
    assert_eq!(points, 3, "waiting, woken, and inside");
}

/// K8: the same of `acquire`, up to its end.
#[test]
fn acquire_stopped_at_every_point_loses_no_permit() {
    let points = stop_at_every_point(|event_loop| {
        scene(event_loop, async |semaphore| {
            semaphore.acquire().await;
            semaphore.release();
        })
    });
    assert_eq!(points, 2, "waiting, and woken");
}
