//! `Barrier`: who goes on when, and what breaks it.

use callsoon::{Barrier, LoopHandle, Task, yield_now};

use crate::support::{Log, Scene, panic_message, settle, stop_at_every_point, turn, virtual_loop};

/// Starts a task that waits at the barrier and logs its index, or that it is broken.
fn party(event_loop: &LoopHandle, barrier: &Barrier, log: &Log, name: &'static str) -> Task<()> {
    let (waiting, log) = (barrier.wait(), log.clone());
    event_loop.create_task(async move {
        match waiting.await {
            Ok(index) => log.push(format_args!("{name} {index}")),
            Err(error) => log.push(format_args!(
                "{name} {}",
                error.to_string().rsplit(' ').next().unwrap()
            )),
        }
    })
}

/// K15, 2.0: the last to arrive goes on at once, the others one turn later.
#[test]
fn last_arrival_does_not_suspend() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let barrier = Barrier::new(3);
    for name in ["a", "b", "c"] {
        party(&event_loop, &barrier, &log, name);
    }
    turn(&event_loop);
    log.expect(&["c 2"]);
    assert_eq!(barrier.n_waiting(), 0);
    settle(&event_loop);
    log.expect(&["a 0", "b 1"]);
}

/// 2.0: those who wait resume in the turn after the last arrival.
#[test]
fn others_resume_one_turn_later() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let barrier = Barrier::new(2);
    party(&event_loop, &barrier, &log, "a");
    turn(&event_loop);
    assert_eq!(barrier.n_waiting(), 1);
    party(&event_loop, &barrier, &log, "b");
    turn(&event_loop);
    log.expect(&["b 1"]);
    turn(&event_loop);
    log.expect(&["a 0"]);
}

/// K15: a barrier for one never suspends.
#[test]
fn barrier_for_one_takes_no_turn() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let barrier = Barrier::new(1);
    party(&event_loop, &barrier, &log, "a");
    party(&event_loop, &barrier, &log, "b");
    turn(&event_loop);
    log.expect(&["a 0", "b 0"]);
}

/// Those who come while the last round leaves wait for the next one.
#[test]
fn newcomers_wait_until_the_last_round_has_left() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let barrier = Barrier::new(2);
    for name in ["a", "b", "c", "d"] {
        party(&event_loop, &barrier, &log, name);
    }
    turn(&event_loop);
    log.expect(&["b 1"]);
    settle(&event_loop);
    let mut events = log.take();
    assert_eq!(events.remove(0), "a 0");
    events.sort();
    assert_eq!(events, ["c 0", "d 1"]);
}

/// K16: one who is cancelled has not arrived; nothing breaks.
#[test]
fn cancelling_a_waiter_does_not_break_it() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let barrier = Barrier::new(2);
    let gone = party(&event_loop, &barrier, &log, "gone");
    turn(&event_loop);
    gone.cancel();
    settle(&event_loop);
    assert_eq!((barrier.n_waiting(), barrier.broken()), (0, false));
    party(&event_loop, &barrier, &log, "a");
    settle(&event_loop);
    log.expect(&[]);
    party(&event_loop, &barrier, &log, "b");
    settle(&event_loop);
    log.expect(&["b 1", "a 0"]);
}

/// K17: `abort` breaks it for those who wait and those who come.
#[test]
fn abort_breaks_it_for_good() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let barrier = Barrier::new(3);
    party(&event_loop, &barrier, &log, "a");
    turn(&event_loop);
    barrier.abort();
    party(&event_loop, &barrier, &log, "b");
    settle(&event_loop);
    let mut events = log.take();
    events.sort();
    assert_eq!(events, ["a aborted", "b aborted"]);
    assert!(barrier.broken());
    assert!(format!("{barrier:?}").starts_with("<Barrier [broken] "));
}

/// K17: `reset` fails those who wait, and leaves it usable; also when it was broken.
#[test]
fn reset_fails_those_who_wait_and_leaves_it_usable() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let barrier = Barrier::new(2);
    party(&event_loop, &barrier, &log, "a");
    turn(&event_loop);
    barrier.reset();
    settle(&event_loop);
    log.expect(&["a reset"]);
    barrier.abort();
    barrier.reset();
    party(&event_loop, &barrier, &log, "b");
    party(&event_loop, &barrier, &log, "c");
    settle(&event_loop);
    log.expect(&["c 1", "b 0"]);
}

/// Misuse: nobody could ever pass it.
#[test]
fn barrier_for_nobody_is_refused() {
    let panic = panic_message(|| drop(Barrier::new(0)));
    assert_eq!(
        panic,
        "a barrier for no parties: there must be one at least"
    );
}

/// K18: a barrier belongs to the loop in which somebody first had to wait at it.
#[test]
fn waiting_in_a_second_loop_panics() {
    let barrier = Barrier::new(3);
    let (one, two) = (virtual_loop(), virtual_loop());
    let waiting = one.create_task(barrier.wait());
    turn(&one);
    let refused = two.create_task(barrier.wait());
    let panic = panic_message(|| _ = two.run_until_complete(refused));
    assert!(panic.starts_with("barrier created at "), "{panic}");
    // The one who was refused has not arrived, and holds nothing.
    assert_eq!(barrier.n_waiting(), 1);
    barrier.abort();
    assert!(one.run_until_complete(waiting).unwrap().is_err());
}

/// K16: one who arrives and is stopped, while it waits or when it was woken, leaves the barrier whole: the
/// others go on, if need be with another one in its place.
#[test]
fn wait_stopped_at_every_point_leaves_the_barrier_whole() {
    let points = stop_at_every_point(|event_loop| {
        let (barrier, log) = (Barrier::new(3), Log::new());
        for name in ["a", "b"] {
            let (barrier, log) = (barrier.clone(), log.clone());
            event_loop.create_task(async move {
                yield_now().await;
                yield_now().await;
                assert!(barrier.wait().await.is_ok());
                log.push(name);
            });
        }
        let waiting = barrier.wait();
        let victim = async move {
            waiting.await.unwrap();
        };
        Scene::new(victim, move |event_loop| {
            if barrier.n_waiting() == 2 {
                log.expect(&[]);
                party(event_loop, &barrier, &Log::new(), "in its place");
                settle(event_loop);
            }
            let mut events = log.take();
            events.sort();
            assert_eq!(events, ["a", "b"]);
            assert!(format!("{barrier:?}").starts_with("<Barrier [filling, waiters:0/3] "));
        })
    });
    assert_eq!(points, 3, "waiting twice, and woken");
}

/// Whoever waits outside while the last round leaves, and is stopped, was never there.
#[test]
fn newcomer_stopped_at_every_point_leaves_the_barrier_whole() {
    stop_at_every_point(|event_loop| {
        let (barrier, log) = (Barrier::new(2), Log::new());
        party(event_loop, &barrier, &log, "a");
        party(event_loop, &barrier, &log, "b");
        let (waiting, passing) = (barrier.wait(), barrier.clone());
        let late = event_loop.handle();
        event_loop.call_soon(move || {
            late.create_task(async move {
                yield_now().await;
                yield_now().await;
                assert_eq!(passing.wait().await, Ok(1));
            });
        });
        let victim = async move {
            waiting.await.unwrap();
        };
        Scene::new(victim, move |event_loop| {
            log.expect(&["b 1", "a 0"]);
            if barrier.n_waiting() == 1 {
                party(event_loop, &barrier, &log, "in its place");
                settle(event_loop);
                log.expect(&["in its place 1"]);
            }
            assert!(format!("{barrier:?}").starts_with("<Barrier [filling, waiters:0/2] "));
        })
    });
}
