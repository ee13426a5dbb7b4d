//! `Handle` and `TimerHandle`: cancelling, rescheduling, and what a closure goes through meanwhile.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use callsoon::{Handle, TimerHandle};

use crate::support::{Drops, Log, OnDrop, ms, settle, turn, virtual_loop};

/// L10: a cancelled callback does not run.
#[test]
fn a_cancelled_callback_does_not_run() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let handle = event_loop.call_soon(log.event("cancelled"));
    event_loop.call_soon(log.event("other"));
    assert!(!handle.cancelled());
    handle.cancel();
    assert!(handle.cancelled());
    settle(&event_loop);
    log.expect(&["other"]);
}

/// L10: `cancel` works on a callback that sits in the very batch that is running.
#[test]
fn cancel_works_on_a_callback_of_the_same_batch() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let victim: Rc<RefCell<Option<Handle>>> = Rc::default();
    let (found, events) = (victim.clone(), log.clone());
    event_loop.call_soon(move || {
        let victim = found.take().unwrap();
        victim.cancel();
        events.push(format!("cancelled: {}", victim.cancelled()));
    });
    victim.replace(Some(event_loop.call_soon(log.event("victim"))));
    event_loop.call_soon(log.event("other"));
    turn(&event_loop);
    log.expect(&["cancelled: true", "other"]);
}

/// L10: the same for a timer that has fired and sits in the batch that is running.
#[test]
fn cancel_works_on_a_timer_that_has_fired_in_this_turn() {
    let (event_loop, log, drops) = (virtual_loop(), Log::new(), Drops::new());
    let guard = drops.guard();
    let event = log.event("victim");
    let victim = event_loop.call_later(ms(1), move || {
        event();
        drop(guard);
    });
    let (count, events) = (drops.clone(), log.clone());
    event_loop.call_soon(move || {
        victim.cancel();
        assert!(victim.cancelled());
        events.push(format!("dropped {}", count.count()));
    });
    event_loop.advance(ms(1));
    turn(&event_loop);
    log.expect(&["dropped 1"]);
    turn(&event_loop);
    log.expect(&[]);
}

/// L10: `cancel` drops the closure, with all it captured, at once.
#[test]
fn cancel_drops_the_closure_at_once() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let (a, b) = (drops.guard(), drops.guard());
    let soon = event_loop.call_soon(move || drop(a));
    let later = event_loop.call_later(ms(5), move || drop(b));
    soon.cancel();
    assert_eq!(drops.count(), 1);
    later.cancel();
    assert_eq!(drops.count(), 2);
    drop(event_loop);
    assert_eq!(drops.count(), 2);
}

/// L10: `cancel` is idempotent.
#[test]
fn cancel_twice_is_cancel_once() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let (a, b) = (drops.guard(), drops.guard());
    let soon = event_loop.call_soon(move || drop(a));
    let later = event_loop.call_later(ms(5), move || drop(b));
    for _ in 0..3 {
        soon.cancel();
        soon.clone().cancel();
        later.cancel();
        later.clone().cancel();
    }
    assert_eq!(drops.count(), 2);
    assert!(soon.cancelled() && later.cancelled());
}

/// L10: `cancel` after the run is harmless, and `cancelled()` is true from then on.
#[test]
fn cancel_after_the_run_is_harmless() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let soon = event_loop.call_soon(log.event("soon"));
    let later = event_loop.call_later(Duration::ZERO, log.event("later"));
    turn(&event_loop);
    soon.cancel();
    later.cancel();
    assert!(soon.cancelled() && later.cancelled());
    turn(&event_loop);
    log.expect(&["soon", "later"]);
}

/// L10: a callback that cancels itself has begun, and goes on.
#[test]
fn a_callback_that_cancels_itself_goes_on() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let own: Rc<RefCell<Option<TimerHandle>>> = Rc::default();
    let (me, events) = (own.clone(), log.clone());
    own.replace(Some(event_loop.call_later(ms(1), move || {
        let me = me.take().unwrap();
        me.cancel();
        events.push(format!("still here, cancelled: {}", me.cancelled()));
    })));
    event_loop.run_once(None).unwrap();
    log.expect(&["still here, cancelled: true"]);
}

/// The closure is dropped once, and after it has run.
#[test]
fn a_closure_is_dropped_once_when_it_has_run() {
    let (event_loop, drops, log) = (virtual_loop(), Drops::new(), Log::new());
    let (guard, count, events) = (drops.guard(), drops.clone(), log.clone());
    let handle = event_loop.call_soon(move || {
        let _guard = &guard;
        events.push(format!("dropped {}", count.count()));
    });
    turn(&event_loop);
    assert_eq!(drops.count(), 1);
    drop(handle);
    drop(event_loop);
    assert_eq!(drops.count(), 1);
    log.expect(&["dropped 0"]);
}

/// Dropping a handle neither cancels nor drops the callback.
#[test]
fn dropping_a_handle_changes_nothing() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    drop(event_loop.call_soon(log.event("soon")));
    drop(event_loop.call_later(Duration::ZERO, log.event("later")));
    turn(&event_loop);
    log.expect(&["soon", "later"]);
}

/// L10: what a closure captured may use the loop, and cancel others, while `cancel` drops it.
#[test]
fn the_drop_of_a_cancelled_closure_may_use_the_loop() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let other = event_loop.call_later(ms(1), log.event("other"));
    let (handle, event) = (event_loop.handle(), log.event("scheduled by a drop"));
    let guard = OnDrop::new(move || {
        other.cancel();
        handle.call_soon(event);
        handle.call_later(ms(1), || ());
    });
    let victim = event_loop.call_later(ms(2), move || drop(guard));
    victim.cancel();
    turn(&event_loop);
    log.expect(&["scheduled by a drop"]);
}

/// L11: cancelled timers do not hold the loop: it does not wake up for them.
#[test]
fn a_cancelled_timer_is_no_deadline() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let first = event_loop.call_later(ms(1), log.event("first"));
    event_loop.call_later(ms(9), log.event("second"));
    first.cancel();
    assert_eq!(event_loop.next_deadline(), Some(ms(9)));
    assert_eq!(event_loop.run_once(None).unwrap().ran, 1);
    assert_eq!(event_loop.time(), ms(9));
    log.expect(&["second"]);
}

/// L11: with every timer cancelled nothing is planned.
#[test]
fn when_every_timer_is_cancelled_nothing_is_planned() {
    for count in [1, 64, 65, 1000] {
        let event_loop = virtual_loop();
        let timers: Vec<_> = (0..count)
            .map(|n| event_loop.call_later(ms(n), || unreachable!("cancelled")))
            .collect();
        for timer in timers.iter().rev() {
            timer.cancel();
        }
        assert_eq!(event_loop.next_deadline(), None);
        assert!(event_loop.run_once(None).unwrap().idle);
        assert_eq!(event_loop.time(), Duration::ZERO);
    }
}

/// `when` is the deadline, and stays it when the timer has fired or was cancelled.
#[test]
fn when_is_the_deadline() {
    let event_loop = virtual_loop();
    event_loop.advance(ms(5));
    let timer = event_loop.call_later(ms(3), || ());
    let other = event_loop.call_at(ms(4), || ());
    assert_eq!((timer.when(), other.when()), (ms(8), ms(4)));
    other.cancel();
    while event_loop.next_deadline().is_some() {
        event_loop.run_once(None).unwrap();
    }
    assert_eq!((timer.when(), other.when()), (ms(8), ms(4)));
}

// ---- reschedule

/// A deadline can be moved away.
#[test]
fn reschedule_later() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let timer = event_loop.call_later(ms(5), log.event("moved"));
    event_loop.call_later(ms(7), log.event("other"));
    assert!(timer.reschedule(ms(9)));
    assert_eq!(timer.when(), ms(9));
    event_loop.run_once(None).unwrap();
    log.expect(&["other"]);
    assert_eq!(event_loop.time(), ms(7));
    event_loop.run_once(None).unwrap();
    log.expect(&["moved"]);
    assert_eq!(event_loop.time(), ms(9));
    assert_eq!(event_loop.next_deadline(), None);
}

/// A deadline can be moved nearer.
#[test]
fn reschedule_earlier() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let timer = event_loop.call_later(ms(5), log.event("moved"));
    event_loop.call_later(ms(3), log.event("other"));
    assert!(timer.reschedule(ms(1)));
    event_loop.run_once(None).unwrap();
    log.expect(&["moved"]);
    assert_eq!(event_loop.time(), ms(1));
    event_loop.run_once(None).unwrap();
    log.expect(&["other"]);
    assert_eq!(event_loop.next_deadline(), None);
}

/// The delay counts from now, not from the deadline that there was.
#[test]
fn reschedule_after_a_delay_from_now() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let timer = event_loop.call_later(ms(5), log.event("debounced"));
    for at in [2, 4, 6] {
        let timer = timer.clone();
        event_loop.call_at(ms(at), move || assert!(timer.reschedule_after(ms(5))));
    }
    event_loop.run_forever();
    log.expect(&["debounced"]);
    assert_eq!(event_loop.time(), ms(6 + 5));
    assert!(!timer.reschedule_after(ms(1)));
    assert_eq!(event_loop.next_deadline(), None);
}

/// A delay that ends after all time is no delay that ends at once.
#[test]
fn reschedule_after_the_longest_delay_never_fires() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    event_loop.advance(ms(1));
    let timer = event_loop.call_later(ms(1), log.event("fired"));
    assert!(timer.reschedule_after(Duration::MAX));
    assert!(timer.when() > Duration::from_secs(365 * 86_400));
    turn(&event_loop);
    log.expect(&[]);
}

/// L6: a rescheduled timer counts as scheduled now: it goes behind those with its new deadline.
#[test]
fn a_rescheduled_timer_goes_behind_its_equals() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let first = event_loop.call_later(ms(5), log.event("first"));
    event_loop.call_later(ms(5), log.event("second"));
    first.reschedule(ms(5));
    event_loop.run_once(None).unwrap();
    log.expect(&["second", "first"]);
}

/// A deadline that has passed is due in the next turn, and not inline.
#[test]
fn reschedule_to_the_past_fires_in_the_next_turn() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    event_loop.advance(ms(10));
    let timer = event_loop.call_later(ms(5), log.event("timer"));
    assert!(timer.reschedule(ms(2)));
    log.expect(&[]);
    assert_eq!(turn(&event_loop), 1);
    log.expect(&["timer"]);
}

/// A deadline can be moved to never, and back.
#[test]
fn reschedule_to_never_and_back() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let timer = event_loop.call_later(ms(5), log.event("timer"));
    assert!(timer.reschedule(Duration::MAX));
    assert_eq!(event_loop.next_deadline(), None);
    assert!(timer.reschedule(ms(3)));
    assert_eq!(event_loop.next_deadline(), Some(ms(3)));
    event_loop.run_once(None).unwrap();
    log.expect(&["timer"]);
}

/// After the run, after a cancel, and after the loop is closed there is nothing to reschedule.
#[test]
fn reschedule_refuses_when_there_is_nothing_left_to_run() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let fired = event_loop.call_later(ms(1), log.event("fired"));
    event_loop.run_once(None).unwrap();
    assert!(!fired.reschedule(ms(5)));
    assert_eq!(fired.when(), ms(1));

    let cancelled = event_loop.call_later(ms(1), log.event("cancelled"));
    cancelled.cancel();
    assert!(!cancelled.reschedule(ms(5)));
    assert!(cancelled.cancelled());

    let closed = event_loop.call_later(ms(1), log.event("closed"));
    drop(event_loop);
    assert!(!closed.reschedule(ms(5)));
    log.expect(&["fired"]);
}

/// A timer that fired in this turn but has not run yet can still be moved: it waits again.
#[test]
fn reschedule_in_the_turn_in_which_it_fired() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let timer = event_loop.call_later(ms(1), log.event("moved"));
    let (mover, events) = (timer.clone(), log.clone());
    event_loop.call_soon(move || {
        assert!(mover.reschedule(ms(5)));
        events.push("move");
    });
    event_loop.advance(ms(1));
    assert_eq!(turn(&event_loop), 2);
    log.expect(&["move"]);
    assert_eq!(event_loop.next_deadline(), Some(ms(4)));
    event_loop.run_once(None).unwrap();
    log.expect(&["moved"]);
    assert!(!timer.reschedule(ms(9)));
    assert_eq!(event_loop.next_deadline(), None);
}

/// The same to a deadline that is due: it runs in the next turn, and once.
#[test]
fn reschedule_to_now_in_the_turn_in_which_it_fired() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let timer = event_loop.call_later(ms(1), log.event("timer"));
    event_loop.call_soon(move || {
        // Twice: each one replaces the one before.
        assert!(timer.reschedule(ms(1)));
        assert!(timer.reschedule(Duration::ZERO));
    });
    event_loop.advance(ms(1));
    turn(&event_loop);
    log.expect(&[]);
    turn(&event_loop);
    log.expect(&["timer"]);
    settle(&event_loop);
    log.expect(&[]);
}

/// Moved again in each turn in which it fires, it never runs; left alone, it runs once.
#[test]
fn reschedule_in_every_turn_in_which_it_fires() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let timer = event_loop.call_later(Duration::ZERO, log.event("timer"));
    for _ in 0..100 {
        let mover = timer.clone();
        event_loop.call_soon(move || assert!(mover.reschedule(Duration::ZERO)));
        turn(&event_loop);
        log.expect(&[]);
    }
    settle(&event_loop);
    log.expect(&["timer"]);
    assert_eq!(event_loop.next_deadline(), None);
}

/// Rescheduled and then cancelled in the turn in which it fired: it is gone.
#[test]
fn reschedule_and_cancel_in_the_turn_in_which_it_fired() {
    let (event_loop, log, drops) = (virtual_loop(), Log::new(), Drops::new());
    let (guard, event) = (drops.guard(), log.event("timer"));
    let timer = event_loop.call_later(ms(1), move || {
        let _guard = guard;
        event();
    });
    let count = drops.clone();
    event_loop.call_soon(move || {
        timer.reschedule(ms(1));
        timer.cancel();
        assert_eq!(count.count(), 1);
        assert!(!timer.reschedule(ms(2)));
    });
    event_loop.advance(ms(1));
    settle(&event_loop);
    log.expect(&[]);
    assert_eq!(event_loop.next_deadline(), None);
}

/// However often it is moved, it fires once, at its last deadline.
#[test]
fn a_timer_moved_many_times_fires_once_at_its_last_deadline() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let timer = event_loop.call_later(ms(1), log.event("timer"));
    for n in (1..500).rev().chain(1..500).chain([77]) {
        assert!(timer.reschedule(ms(n)));
    }
    assert_eq!(event_loop.next_deadline(), Some(ms(77)));
    event_loop.run_once(None).unwrap();
    log.expect(&["timer"]);
    assert_eq!(event_loop.time(), ms(77));
    assert_eq!(event_loop.next_deadline(), None);
}

/// A task's sleep leaves no timer behind when the task is cancelled.
#[test]
fn a_cancelled_sleep_leaves_no_deadline() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(callsoon::sleep(ms(50)));
    turn(&event_loop);
    assert_eq!(event_loop.next_deadline(), Some(ms(50)));
    task.cancel();
    settle(&event_loop);
    assert!(task.cancelled());
    assert_eq!(event_loop.next_deadline(), None);
}

// ---- what they print

/// D4: a handle knows where its callback was scheduled.
#[test]
fn handles_know_where_they_were_created() {
    let event_loop = virtual_loop();
    let (soon, line) = (event_loop.call_soon(|| ()), line!());
    assert_eq!(soon.created_at().line(), line);
    let (later, line) = (event_loop.call_later(ms(1), || ()), line!());
    assert_eq!(later.created_at().line(), line);
    let (at, line) = (event_loop.call_at(ms(1), || ()), line!());
    assert_eq!(at.created_at().line(), line);
    assert!(at.created_at().file().ends_with("handles.rs"));
}

/// D4: the free functions record their callers, not themselves.
#[test]
fn the_free_functions_record_their_callers() {
    let event_loop = virtual_loop();
    event_loop.call_soon(|| {
        let handle = callsoon::call_soon(|| ());
        assert_eq!(handle.created_at().line(), line!() - 1);
        let timer = callsoon::call_later(ms(1), || ());
        assert_eq!(timer.created_at().line(), line!() - 1);
        let timer = callsoon::call_at(ms(1), || ());
        assert_eq!(timer.created_at().line(), line!() - 1);
        let future = callsoon::create_future::<()>();
        assert_eq!(future.created_at().line(), line!() - 1);
        let task = callsoon::create_task(async {});
        assert_eq!(task.created_at().line(), line!() - 1);
    });
    event_loop.set_exception_handler(|_, context| unreachable!("{context}"));
    turn(&event_loop);
}

/// `Debug` says where a handle stands, when it is due, and where it was made.
#[test]
fn debug_tells_state_deadline_and_site() {
    let event_loop = virtual_loop();
    let soon = event_loop.call_soon(|| ());
    let timer = event_loop.call_later(ms(1), || ());
    let (soon_at, timer_at) = (soon.created_at(), timer.created_at());
    assert_eq!(
        format!("{soon:?}"),
        format!("<Handle scheduled created at {soon_at}>")
    );
    assert_eq!(
        format!("{timer:?}"),
        format!("<TimerHandle scheduled when=1ms created at {timer_at}>")
    );
    soon.cancel();
    event_loop.advance(ms(1));
    turn(&event_loop);
    assert_eq!(
        format!("{soon:?}"),
        format!("<Handle cancelled created at {soon_at}>")
    );
    assert_eq!(
        format!("{timer:?}"),
        format!("<TimerHandle done when=1ms created at {timer_at}>")
    );
}

/// Closing the loop drops each closure once; `cancelled()` stays false, nobody asked for it.
#[test]
fn closing_the_loop_drops_closures_and_cancels_nothing() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let (a, b) = (drops.guard(), drops.guard());
    let soon = event_loop.call_soon(move || drop(a));
    let later = event_loop.call_later(ms(1), move || drop(b));
    drop(event_loop);
    assert_eq!(drops.count(), 2);
    assert!(!soon.cancelled() && !later.cancelled());
    soon.cancel();
    later.cancel();
    assert!(soon.cancelled() && later.cancelled());
}
