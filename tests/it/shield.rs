//! `shield`. The turns are those that CPython 3.13 takes.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;

use callsoon::{
    Awaitable, Awaited, CancelOrigin, Future, LoopHandle, OwnedFuture, ResultError, Task,
    catch_cancel, create_future, create_task, create_try_task, current_task, gather, run, shield,
    yield_now,
};

use crate::support::{
    Drops, Log, OnDrop, Turns, done_future, reports_to, settle, steps, turn, virtual_loop,
};

/// S3, and table 2.0: inside at 2, the shield at 3, its callbacks and awaiter at 4.
#[test]
fn a_shield_is_done_one_turn_after_what_is_inside() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let shielded = shield(steps(events.clone(), "inside", 1));
        shielded.add_done_callback(events.done("shield"));
        events.push(shielded.await);
    });
    log.expect(&[
        "1 inside starts",
        "2 inside ends",
        "4 shield done",
        "4 inside",
    ]);
}

/// S1: what is done needs no shield. An owner comes back as it is, a reference as a copy.
#[test]
fn a_shield_of_something_done_is_done() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        struct NotClone(&'static str);
        let owner = done_future(NotClone("itself")).take();
        let site = owner.created_at();
        let shielded = shield(owner);
        assert_eq!(shielded.created_at(), site);
        events.push(format_args!("{} {}", shielded.done(), shielded.await.0));

        let shared = done_future("a copy");
        events.push(shield(&shared).await);
        events.push(shield(shared.clone()).await);
        assert_eq!(shared.result().unwrap(), "a copy");
    });
    log.expect(&["0 true itself", "0 a copy", "0 a copy"]);
}

/// S1: also when it is cancelled.
#[test]
fn a_shield_of_something_cancelled_is_cancelled() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<()>();
    future.cancel_with("before");
    for shielded in [shield(&future), shield(future.take())] {
        assert!(shielded.cancelled() && !shielded.cancel());
    }
}

/// S2: the awaiter gets the cancellation in the next turn; inside nothing is heard of it.
#[test]
fn cancelling_the_awaiter_leaves_the_inside_alone() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let inside = create_future();
        let (shared, inner) = (inside.clone(), events.clone());
        let awaiter = create_task(async move {
            let why = catch_cancel(shield(shared)).await.unwrap_err();
            let count = current_task().unwrap().cancelling();
            inner.push(format_args!("awaiter {:?} {count}", why.message()));
            assert_eq!(why.origin(), CancelOrigin::Requested);
            why.reraise().await
        });
        yield_now().await;
        events.push(format_args!(
            "{} {}",
            awaiter.cancel_with("x"),
            inside.done()
        ));
        let ended: Result<(), _> = awaiter.outcome().await;
        events.push(format_args!("main {}", ended.is_err()));
        inside.set_result("still works").unwrap();
        events.push(inside.await);
    });
    log.expect(&[
        "1 true false",
        r#"2 awaiter Some("x") 1"#,
        "3 main true",
        "3 still works",
    ]);
}

/// S2, at the other end: cancelling the shield itself ends it at once.
#[test]
fn cancelling_a_shield_ends_it_at_once() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let inside = create_task(steps(events.clone(), "inside", 3));
        let shielded = shield(&inside);
        shielded.add_done_callback(events.done("shield"));
        events.push(shielded.cancel());
        events.push(format_args!("{} {}", shielded.cancelled(), inside.done()));
        assert!(!shielded.cancel());
        events.push(inside.await);
    });
    log.expect(&[
        "0 true",
        "0 true false",
        "1 inside starts",
        "1 shield cancelled",
        "4 inside ends",
        "5 inside",
    ]);
}

/// S4: what is inside is cancelled by somebody else, and so is the awaiter, whom nobody asked.
#[test]
fn a_cancelled_inside_cancels_the_shield() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let inside = create_task(steps(events.clone(), "inside", 5));
        let (shared, inner) = (inside.clone(), events.clone());
        let awaiter = create_task(async move {
            let why = catch_cancel(shield(shared)).await.unwrap_err();
            let count = current_task().unwrap().cancelling();
            inner.push(format_args!("awaiter {:?} {count}", why.origin()));
            why.reraise().await
        });
        yield_now().await;
        yield_now().await;
        inside.cancel();
        let ended: Result<(), _> = awaiter.outcome().await;
        events.push(format_args!("main {}", ended.is_err()));
    });
    log.expect(&["1 inside starts", "5 awaiter Awaited 0", "6 main true"]);
}

/// The inside is done, and the shield is asked to stop before it hears of that: it does stop.
#[test]
fn a_cancel_between_the_end_of_the_inside_and_that_of_the_shield() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future();
    let shielded = shield(&future);
    future.set_result(1).unwrap();
    assert!(shielded.cancel());
    settle(&event_loop);
    assert!(shielded.cancelled());
    assert_eq!(future.result().unwrap(), 1);
}

/// A shield inside a gather takes the request, and keeps it from what is inside.
#[test]
fn a_shield_in_a_cancelled_gather() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let (inside, outside) = (create_future::<()>(), create_future::<()>());
        let both = gather((shield(&inside), &outside));
        assert!(both.cancel());
        assert!(catch_cancel(both).await.is_err());
        events.push(format_args!("{} {}", inside.done(), outside.cancelled()));
    });
    log.expect(&["2 false true"]);
}

/// S5: an error that comes when nobody awaits the shield any more is reported once, when the task goes;
/// but not if somebody else looks.
#[test]
fn an_error_after_the_shield_was_cancelled_is_reported_if_nobody_looks() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    reports_to(&event_loop, &log);
    for looks in [false, true] {
        let task = event_loop.create_try_task(async {
            yield_now().await;
            Err::<(), _>("late")
        });
        let looked = task.take();
        let shielded = shield(task);
        turn(&event_loop);
        shielded.cancel();
        settle(&event_loop);
        if looks {
            assert_eq!(looked.take_result().unwrap(), Err("late"));
        }
        drop((looked, shielded));
        log.expect(if looks {
            &[]
        } else {
            &["task error was never retrieved"]
        });
    }
}

/// S6. DIFFERENCE: the loop owns the task, so it does not vanish when the awaiter is gone.
#[test]
fn a_coroutine_in_a_shield_runs_on_without_the_shield() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let inner = events.clone();
        let awaiter = create_task(async move { shield(steps(inner, "inside", 3)).await });
        yield_now().await;
        yield_now().await;
        awaiter.cancel();
        assert!(awaiter.outcome().await.is_err());
        for _ in 0..3 {
            yield_now().await;
        }
    });
    log.expect(&["2 inside starts", "5 inside ends"]);
}

/// An owner's result is moved through.
#[test]
fn results_need_not_be_clone() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let guard = drops.guard();
    let task = event_loop.create_task(async move { Rc::new(guard) });
    let shielded = shield(task);
    settle(&event_loop);
    let result = event_loop.run_until_complete(shielded).unwrap();
    assert_eq!((Rc::strong_count(&result), drops.count()), (1, 0));
    drop(result);
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_panic_inside_goes_on_in_the_awaiter_or_is_reported() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    reports_to(&event_loop, &log);
    let broken = || event_loop.create_task(async { panic!("bad sum") });
    let awaited = shield(broken());
    let awaiter = event_loop.create_task(awaited);
    let unseen = shield(broken());
    settle(&event_loop);
    let Err(ResultError::Panicked(panic)) = awaiter.result() else {
        panic!("it panicked: {awaiter:?}");
    };
    assert_eq!(panic.message(), "bad sum");
    log.expect(&[]);
    drop(unseen);
    log.expect(&["shield panic was never retrieved"]);
}

#[test]
fn a_clone_that_panics_ends_the_shield_with_the_panic() {
    struct Explosive;
    impl Clone for Explosive {
        fn clone(&self) -> Self {
            panic!("clone panics")
        }
    }
    let event_loop = virtual_loop();
    let future = event_loop.create_future();
    let shielded = shield(&future);
    future.set_result(Explosive).ok();
    settle(&event_loop);
    assert!(matches!(
        shielded.take_result(),
        Err(ResultError::Panicked(panic)) if panic.message() == "clone panics"
    ));
}

#[test]
fn a_type_of_the_users_can_be_shielded() {
    struct Doubled(Task<u32>);
    impl Awaitable for Doubled {
        type Output = u32;
        fn into_awaited(self, event_loop: &LoopHandle) -> Awaited<u32> {
            self.0.into_awaited(event_loop).map(|n| n * 2)
        }
    }
    run(async {
        assert_eq!(shield(Doubled(create_task(async { 3 }))).await, 6);
        let done = create_task(async { 4 });
        yield_now().await;
        let shielded = shield(Doubled(done));
        assert!(shielded.done());
        assert_eq!(shielded.await, 8);
    });
}

#[test]
fn a_shield_takes_the_loop_of_what_is_inside() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future();
    let shielded = shield(&future);
    future.set_result(1).unwrap();
    assert_eq!(event_loop.run_until_complete(shielded).unwrap(), 1);
}

#[test]
#[should_panic(expected = "no running event loop")]
fn a_shield_of_a_coroutine_needs_a_running_loop() {
    drop(shield(async {}));
}

// ---- dropping

#[test]
fn dropping_a_shield_takes_its_callback_back() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<()>();
    let shielded = shield(&future);
    assert!(format!("{future:?}").contains("cb=[1]"));
    drop(shielded);
    assert!(!format!("{future:?}").contains("cb="));
    let task = event_loop.create_task(pending::<()>());
    let handle = task.handle();
    let cancelled = shield(task);
    cancelled.cancel();
    assert!(!format!("{handle:?}").contains("cb="));
}

#[test]
fn a_shield_with_a_done_callback_goes_on_when_its_handle_is_dropped() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let future = event_loop.create_future();
    let events = log.clone();
    shield(&future).add_done_callback(move |done| events.push(done.result().unwrap()));
    future.set_result(7).unwrap();
    settle(&event_loop);
    log.expect(&["7"]);
}

/// In a callback of what is inside, in front of the shield's own.
#[test]
fn a_callback_of_the_inside_may_drop_or_cancel_the_shield() {
    for cancels in [false, true] {
        let event_loop = virtual_loop();
        let future = event_loop.create_future();
        let slot = Rc::new(RefCell::new(None::<OwnedFuture<u8>>));
        let (shielded, log) = (slot.clone(), Log::new());
        let events = log.clone();
        future.add_done_callback(move |_| {
            let shielded = shielded.take().unwrap();
            events.push(cancels && shielded.cancel());
        });
        *slot.borrow_mut() = Some(shield(&future));
        future.set_result(1).unwrap();
        settle(&event_loop);
        log.expect(&[if cancels { "true" } else { "false" }]);
        assert_eq!(future.result().unwrap(), 1);
    }
}

#[test]
fn a_result_whose_drop_panics_goes_with_the_shield() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async { OnDrop::new(|| panic!("drop panics")) });
    let shielded = shield(task);
    settle(&event_loop);
    assert!(shielded.done());
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(shielded)));
    assert!(dropped.is_err());
}

#[test]
fn shields_in_shields_a_hundred_thousand_deep() {
    let event_loop = virtual_loop();
    let nested = |inside: &Future<u8>| {
        let mut shielded = shield(inside);
        for _ in 0..100_000 {
            shielded = shield(shielded);
        }
        shielded
    };
    let inside = event_loop.create_future();
    drop(nested(&inside));
    assert!(!format!("{inside:?}").contains("cb="));
    let shielded = nested(&inside);
    inside.set_result(1).unwrap();
    assert_eq!(event_loop.run_until_complete(shielded).unwrap(), 1);
}

/// In a try task, an error passes through like any result, and counts as looked at.
#[test]
fn an_error_inside_is_a_result() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    reports_to(&event_loop, &log);
    let result = event_loop.run_until_complete(async {
        shield(create_try_task(async { Err::<(), _>("an error") })).await
    });
    assert_eq!(result.unwrap(), Err("an error"));
    log.expect(&[]);
}

/// S5: an error that is there when the shield is cancelled counts as looked at.
#[test]
fn an_error_that_came_before_the_cancel_is_not_reported() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    reports_to(&event_loop, &log);
    let task = event_loop.create_try_task(async { Err::<(), _>("just now") });
    let shielded = shield(task);
    turn(&event_loop);
    assert!(shielded.cancel());
    settle(&event_loop);
    drop(shielded);
    log.expect(&[]);
}

/// F18 through a shield: an error of a try task that nobody looks at is reported, once, with the shield.
#[test]
fn an_error_that_nobody_takes_out_of_the_shield_is_reported() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    reports_to(&event_loop, &log);
    let fails = || event_loop.create_try_task(async { Err::<(), _>("an error") });
    let (task, nested) = (fails(), shield(shield(fails())));
    let shielded = shield(&task);
    let looked_at = shield(fails());
    settle(&event_loop);
    drop(task);
    assert_eq!(looked_at.exception().unwrap(), Some("an error"));
    drop(looked_at);
    log.expect(&[]);
    drop(shielded);
    log.expect(&["task error was never retrieved"]);
    drop(nested);
    log.expect(&["task error was never retrieved"]);
}

/// What is completed by hand stays so, and what is inside keeps its result.
#[test]
fn a_shield_may_be_completed_by_hand() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async { 1 });
    let inside = Future::clone(&task);
    let shielded = shield(task);
    shielded.set_result(2).unwrap();
    settle(&event_loop);
    assert_eq!(shielded.take_result().unwrap(), 2);
    assert_eq!(inside.take_result().unwrap(), 1);
}

/// C4 up to a shield: what is outside of it unwinds, one turn a level; inside nothing is heard.
#[test]
fn a_cancel_through_five_levels_stops_at_the_shield() {
    fn level(log: Turns, n: u8) -> futures::future::LocalBoxFuture<'static, ()> {
        Box::pin(async move {
            let inner = match n {
                0 => create_future().take(),
                3 => shield(level(log.clone(), n - 1)),
                _ => create_task(level(log.clone(), n - 1)).take(),
            };
            let why = catch_cancel(inner).await.unwrap_err();
            log.push(format_args!("level {n}"));
            why.reraise().await
        })
    }
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let outermost = create_task(level(events.clone(), 5));
        for _ in 0..7 {
            yield_now().await;
        }
        outermost.cancel();
        assert!(outermost.outcome().await.is_err());
        events.push("main");
    });
    log.expect(&["8 level 3", "9 level 4", "10 level 5", "11 main"]);
}

/// Everything goes with the loop, or with the handle.
#[test]
fn a_shield_whose_loop_is_closed_stays_pending_and_leaks_nothing() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let (guard, inside) = (drops.guard(), drops.guard());
    let task = event_loop.create_task(async move {
        let _guard = inside;
        pending::<()>().await;
    });
    let shielded = shield(task);
    shielded.add_done_callback(move |_| drop(guard));
    settle(&event_loop);
    drop(event_loop);
    assert!(!shielded.done());
    drop(shielded);
    assert_eq!(drops.count(), 2);
}
