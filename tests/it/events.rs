//! `Event`: who is woken, and when.

use std::cell::Cell;
use std::rc::Rc;

use callsoon::{Event, LoopHandle, Task, yield_now};

use crate::support::{Log, Scene, panic_message, settle, stop_at_every_point, turn, virtual_loop};

fn waiter(event_loop: &LoopHandle, event: &Event, log: &Log, name: &'static str) -> Task<()> {
    let (waiting, log) = (event.wait(), log.clone());
    event_loop.create_task(async move {
        waiting.await;
        log.push(name);
    })
}

/// K1, 2.0: an event that is set does not suspend.
#[test]
fn wait_for_a_set_event_takes_no_turn() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let event = Event::new();
    event.set();
    waiter(&event_loop, &event, &log, "went on");
    turn(&event_loop);
    log.expect(&["went on"]);
}

/// K6, 2.0: `set` wakes all who wait, in their order; they go on in the next turn.
#[test]
fn set_wakes_all_in_order() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let event = Event::new();
    for name in ["a", "b", "c"] {
        waiter(&event_loop, &event, &log, name);
    }
    turn(&event_loop);
    event.set();
    log.expect(&[]);
    assert_eq!(turn(&event_loop), 3);
    log.expect(&["a", "b", "c"]);
    assert!(event.is_set());
}

/// K6: who was woken goes on though the event is cleared before.
#[test]
fn clear_does_not_unwake() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let event = Event::new();
    waiter(&event_loop, &event, &log, "woken");
    turn(&event_loop);
    event.set();
    event.clear();
    waiter(&event_loop, &event, &log, "too late");
    settle(&event_loop);
    log.expect(&["woken"]);
    assert!(!event.is_set());
}

/// K6: setting what is set changes nothing.
#[test]
fn set_twice_wakes_once() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let event = Event::new();
    waiter(&event_loop, &event, &log, "woken");
    turn(&event_loop);
    event.set();
    event.set();
    assert_eq!(turn(&event_loop), 1);
    log.expect(&["woken"]);
}

/// One who is cancelled or dropped leaves, also when it was woken; the others do not notice.
#[test]
fn wait_stopped_at_every_point_changes_nothing_for_others() {
    let points = stop_at_every_point(|event_loop| {
        let (event, log) = (Event::new(), Log::new());
        let setting = event.clone();
        waiter(event_loop, &event, &log, "first");
        event_loop.create_task(async move {
            yield_now().await;
            yield_now().await;
            setting.set();
        });
        let last = (event_loop.handle(), event.clone(), log.clone());
        event_loop.call_soon(move || drop(waiter(&last.0, &last.1, &last.2, "last")));
        let passed = Rc::new(Cell::new(false));
        let (waiting, passing) = (event.wait(), passed.clone());
        let victim = async move {
            waiting.await;
            passing.set(true);
        };
        Scene::new(victim, move |_| {
            log.expect(&["first", "last"]);
            assert!(!passed.get());
            assert!(format!("{event:?}").starts_with("<Event [set] "));
        })
    });
    assert_eq!(points, 3, "waiting twice, and woken");
}

/// K18: an event belongs to the loop in which it was first waited for.
#[test]
fn waiting_in_a_second_loop_panics() {
    let event = Event::new();
    let (one, two) = (virtual_loop(), virtual_loop());
    let waiting = one.create_task(event.wait());
    turn(&one);
    let refused = two.create_task(event.wait());
    let panic = panic_message(|| two.run_until_complete(refused).unwrap());
    assert!(panic.starts_with("event created at "), "{panic}");
    event.set();
    one.run_until_complete(waiting).unwrap();
}
