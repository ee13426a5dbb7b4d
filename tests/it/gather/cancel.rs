//! What a cancellation does to a gather, and a gather to a cancellation.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;

use callsoon::{
    Awaitable, Awaited, CancelOrigin, Future, FutureHandle, LoopHandle, OwnedFuture, ResultError,
    Task, call_soon, catch_cancel, create_future, create_task, current_task, gather,
    gather_outcomes, shield, try_gather, yield_now,
};

use super::waits;
use crate::support::{Turns, settle, steps, virtual_loop};

/// G7: the gather ends with the cancellation of a child, and the awaiter, which nobody asked to stop, is
/// unwound. DIFFERENCE: it says that it is cancelled.
#[test]
fn a_child_that_somebody_cancels_ends_the_gather_cancelled() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let a = create_task(waits(events.clone(), "a", create_future(), 0, false));
        let b = create_task(steps(events.clone(), "b", 5));
        let handle = a.handle();
        let both = gather((a, &b));
        both.add_done_callback(events.done("gather"));
        call_soon(move || drop(call_soon(move || _ = handle.cancel_with("x"))));
        let why = catch_cancel(both).await.unwrap_err();
        let count = current_task().unwrap().cancelling();
        events.push(format_args!("caught {:?} {count}", why.message()));
        assert_eq!(why.origin(), CancelOrigin::Awaited);
        assert_eq!(b.await, "b");
    });
    log.expect(&[
        "1 b starts",
        r#"3 a cancelled Some("x")"#,
        "3 a cleaned",
        "5 gather cancelled",
        r#"5 caught Some("x") 0"#,
        "6 b ends",
    ]);
}

/// G8, G10, G11: the request goes to all children, the gather ends with the first that is cancelled, and
/// does not wait for the clean-up of the others; then it is too late to ask again.
#[test]
fn a_cancelled_gather_ends_at_the_first_child_that_ends_cancelled() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let a = create_task(waits(events.clone(), "a", create_future(), 0, false));
        let b = create_task(waits(events.clone(), "b", create_future(), 3, false));
        let c = create_future::<()>();
        let all = gather((&a, &b, &c));
        all.add_done_callback(events.done("gather"));
        yield_now().await;
        events.push(all.cancel_with("m"));
        events.push(format_args!("{} {}", all.done(), c.cancelled()));
        let kept = Future::clone(&all);
        let why = catch_cancel(all).await.unwrap_err();
        events.push(format_args!("caught {:?}", why.message()));
        let Err(ResultError::Cancelled(why)) = kept.result() else {
            unreachable!("it is cancelled");
        };
        assert_eq!(why.origin(), CancelOrigin::Requested);
        events.push(format_args!("{} {} {}", a.done(), b.done(), kept.cancel()));
        for _ in 0..5 {
            yield_now().await;
        }
    });
    log.expect(&[
        "1 true",
        "1 false true",
        r#"2 a cancelled Some("m")"#,
        "2 a cleaned",
        r#"2 b cancelled Some("m")"#,
        "3 gather cancelled",
        r#"3 caught Some("m")"#,
        "3 true false false",
        "5 b cleaned",
    ]);
}

/// G9, G10: with outcomes it waits for all, and what they gave is lost.
#[test]
fn cancelled_outcomes_wait_for_all_and_end_cancelled() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let a = create_task(waits(events.clone(), "a", create_future(), 0, false));
        let b = create_task(waits(events.clone(), "b", create_future(), 3, true));
        let both = gather_outcomes((&a, &b));
        both.add_done_callback(events.done("gather"));
        yield_now().await;
        both.cancel_with("m");
        let why = catch_cancel(both).await.unwrap_err();
        events.push(format_args!("caught {:?}", why.message()));
        assert!(a.cancelled() && b.result().is_ok());
    });
    log.expect(&[
        r#"2 a cancelled Some("m")"#,
        "2 a cleaned",
        r#"2 b cancelled Some("m")"#,
        "5 b cleaned",
        "7 gather cancelled",
        r#"7 caught Some("m")"#,
    ]);
}

/// G9: even if every child declines, a gather that was asked to stop ends cancelled.
#[test]
fn a_cancelled_gather_whose_children_decline_ends_cancelled_when_all_are_done() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let a = create_task(waits(events.clone(), "a", create_future(), 0, true));
        let b = create_task(waits(events.clone(), "b", create_future(), 2, true));
        let both = gather((&a, &b));
        both.add_done_callback(events.done("gather"));
        yield_now().await;
        both.cancel_with("m");
        let why = catch_cancel(both).await.unwrap_err();
        assert_eq!(why.message(), Some("m"));
        events.push(format_args!("{} {}", a.await, b.await));
    });
    log.expect(&[
        r#"2 a cancelled Some("m")"#,
        "2 a cleaned",
        r#"2 b cancelled Some("m")"#,
        "4 b cleaned",
        "6 gather cancelled",
        "6 a declined b declined",
    ]);
}

/// G10: the first one declines, so it ends with the second.
#[test]
fn a_cancelled_gather_passes_over_a_child_that_declines() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let both = gather((
            create_task(waits(events.clone(), "a", create_future(), 0, true)),
            create_task(waits(events.clone(), "b", create_future(), 2, false)),
        ));
        both.add_done_callback(events.done("gather"));
        yield_now().await;
        both.cancel_with("m");
        assert!(catch_cancel(both).await.is_err());
    });
    log.expect(&[
        r#"2 a cancelled Some("m")"#,
        "2 a cleaned",
        r#"2 b cancelled Some("m")"#,
        "4 b cleaned",
        "6 gather cancelled",
    ]);
}

/// C4 through a gather: main is asked, the children end one turn later, main is unwound two after that.
#[test]
fn cancelling_the_awaiting_task_cancels_the_children_first() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let inner = events.clone();
        let awaits = create_task(async move {
            let both = gather((
                waits(inner.clone(), "a", create_future(), 0, false),
                waits(inner.clone(), "b", create_future(), 0, false),
            ));
            let why = catch_cancel(both).await.unwrap_err();
            inner.push(format_args!(
                "awaiter {:?} {:?}",
                why.message(),
                why.origin()
            ));
            why.reraise().await
        });
        yield_now().await;
        yield_now().await;
        events.push(awaits.cancel_with("q"));
        let ended: Result<(), _> = awaits.outcome().await;
        events.push(format_args!("main {:?}", ended.unwrap_err().message()));
    });
    log.expect(&[
        "2 true",
        r#"3 a cancelled Some("q")"#,
        "3 a cleaned",
        r#"3 b cancelled Some("q")"#,
        "3 b cleaned",
        r#"5 awaiter Some("q") Requested"#,
        r#"6 main Some("q")"#,
    ]);
}

/// A request to children that have not begun: their code never runs (C9).
#[test]
fn cancelling_a_gather_before_its_children_begin() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let both = gather((steps(events.clone(), "a", 0), steps(events.clone(), "b", 0)));
        events.push(both.cancel_with("now"));
        let why = catch_cancel(both).await.unwrap_err();
        events.push(why.message().unwrap());
    });
    log.expect(&["0 true", "3 now"]);
}

/// C14 through a gather: two requests, one cancellation, and both are counted.
#[test]
fn two_requests_are_delivered_as_one() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let a = create_task(waits(events.clone(), "a", create_future(), 0, false));
        let all = gather([&a]);
        yield_now().await;
        assert!(all.cancel_with("1") && all.cancel_with("2"));
        assert_eq!(a.cancelling(), 2);
        let why = catch_cancel(all).await.unwrap_err();
        events.push(why.message().unwrap());
    });
    log.expect(&[r#"2 a cancelled Some("1")"#, "2 a cleaned", "4 1"]);
}

/// Between the end of the last child and that of the gather: nothing takes the request, the gather keeps
/// its result, and the awaiting task is unwound when it wakes up.
#[test]
fn a_cancel_between_the_last_child_and_the_end_of_the_gather_comes_too_late_for_it() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let future = create_future();
        let both = gather([&future]);
        let (result, inner) = (Future::clone(&both), events.clone());
        let awaits = create_task(async move {
            let caught = catch_cancel(both).await;
            inner.push(caught.is_err());
        });
        yield_now().await;
        future.set_result(1).unwrap();
        events.push(format_args!("{} {}", result.cancel(), result.done()));
        events.push(format_args!("{} {}", awaits.cancel(), awaits.cancelling()));
        awaits.await;
        events.push(format_args!("{:?}", result.result().unwrap()));
    });
    log.expect(&["1 false false", "1 true 1", "3 true", "4 [1]"]);
}

/// The same of a gather in a gather: it takes a request only if something below does.
#[test]
fn a_nested_gather_takes_a_cancel_only_if_something_below_it_does() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let (one, two) = (create_future(), create_future::<()>());
        let inner = gather([&one]);
        let too_late = gather([gather([&one])]);
        let both = gather((inner, &two));
        one.set_result(1).unwrap();
        events.push(too_late.cancel());
        events.push(format_args!("{} {}", both.cancel(), two.cancelled()));
        events.push(format_args!("{:?}", too_late.await));
    });
    log.expect(&["0 false", "0 true true", "3 [[1]]"]);
}

/// The request goes down to the leaves, and comes up one level a turn.
#[test]
fn cancelling_a_gather_of_gathers() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let left = gather([
            waits(events.clone(), "a", create_future(), 0, false),
            waits(events.clone(), "b", create_future(), 0, false),
        ]);
        let right = gather([waits(events.clone(), "c", create_future(), 0, false)]);
        left.add_done_callback(events.done("left"));
        right.add_done_callback(events.done("right"));
        let both = gather((left, right));
        both.add_done_callback(events.done("both"));
        yield_now().await;
        events.push(both.cancel_with("m"));
        let why = catch_cancel(both).await.unwrap_err();
        events.push(format_args!("caught {:?}", why.message()));
    });
    log.expect(&[
        "1 true",
        r#"2 a cancelled Some("m")"#,
        "2 a cleaned",
        r#"2 b cancelled Some("m")"#,
        "2 b cleaned",
        r#"2 c cancelled Some("m")"#,
        "2 c cleaned",
        "4 left cancelled",
        "4 right cancelled",
        "5 both cancelled",
        r#"5 caught Some("m")"#,
    ]);
}

/// A child that is cancelled already ends a gather in the call; outcomes wait for the others.
#[test]
fn a_child_that_is_cancelled_already() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let (waiting, cancelled) = (create_future(), create_future::<u8>());
        cancelled.cancel();
        let both = gather((&waiting, &cancelled));
        events.push(format_args!("{} {}", both.done(), both.cancelled()));
        let Err(ResultError::Cancelled(why)) = both.result() else {
            unreachable!("it is cancelled");
        };
        assert_eq!(why.origin(), CancelOrigin::Awaited);
        let outcomes = gather_outcomes((&waiting, &cancelled));
        events.push(outcomes.done());
        waiting.set_result(1).unwrap();
        let (one, two) = outcomes.await;
        events.push(format_args!("{} {}", one.unwrap(), two.is_err()));
    });
    log.expect(&["0 true true", "0 false", "2 1 true"]);
}

/// A done-callback of a child, registered before, runs before the gather looks at that child.
#[test]
fn a_callback_of_a_child_may_cancel_the_gather() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let (one, two) = (create_future(), create_future::<()>());
        let slot = Rc::new(RefCell::new(None::<Future<(u8, ())>>));
        let (gathered, inner) = (slot.clone(), events.clone());
        one.add_done_callback(move |_| {
            let cancelled = gathered.borrow().as_ref().unwrap().cancel();
            inner.push(format_args!("callback cancels: {cancelled}"));
        });
        let both = gather((&one, &two));
        *slot.borrow_mut() = Some(Future::clone(&both));
        both.add_done_callback(events.done("gather"));
        one.set_result(1).unwrap();
        assert!(catch_cancel(both).await.is_err());
        events.push(two.cancelled());
    });
    log.expect(&["1 callback cancels: true", "3 gather cancelled", "3 true"]);
}

/// A cancel in the same turn in which the children end, by another task that steps before them.
#[test]
fn a_cancel_in_the_turn_in_which_the_children_end() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let future = create_future::<()>();
        let ended = future.clone();
        let inner = events.clone();
        let awaits = create_task(async move {
            let caught = catch_cancel(gather([future])).await;
            inner.push(caught.is_err());
        });
        yield_now().await;
        // It completes, and only then is the task that awaits the gather asked to stop.
        let handle = awaits.handle();
        call_soon(move || ended.set_result(()).unwrap());
        call_soon(move || _ = handle.cancel());
        awaits.await;
    });
    log.expect(&["4 true"]);
}

/// G9: the awaiting task was asked to stop, whatever its children make of it.
#[test]
fn a_task_whose_children_decline_learns_that_it_was_asked() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let inner = events.clone();
        let awaits = create_task(async move {
            let all = gather([waits(inner.clone(), "a", create_future(), 0, true)]);
            let why = catch_cancel(all).await.unwrap_err();
            inner.push(format_args!("{:?} {:?}", why.message(), why.origin()));
        });
        yield_now().await;
        yield_now().await;
        awaits.cancel_with("q");
        awaits.await;
    });
    log.expect(&[
        r#"3 a cancelled Some("q")"#,
        "3 a cleaned",
        r#"5 Some("q") Requested"#,
    ]);
}

/// C4 through five levels of tasks that gather: two turns a level, the innermost first.
#[test]
fn a_cancel_goes_through_five_levels_of_gathers() {
    fn level(log: Turns, n: u8) -> futures::future::LocalBoxFuture<'static, ()> {
        Box::pin(async move {
            let ended = match n {
                0 => catch_cancel(pending()).await,
                _ => catch_cancel(async { gather([level(log.clone(), n - 1)]).await[0] }).await,
            };
            let count = current_task().unwrap().cancelling();
            log.push(format_args!("level {n} {count}"));
            ended.unwrap_err().reraise().await
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
    log.expect(&[
        "8 level 0 1",
        "10 level 1 1",
        "12 level 2 1",
        "14 level 3 1",
        "16 level 4 1",
        "18 level 5 1",
        "19 main",
    ]);
}

/// C6 of a task that is awaited as it is, through a gather, and through a shield: cancelling the one with
/// the gather cancels the task, and so all of them.
#[test]
fn a_task_that_three_await_is_cancelled_for_all() {
    fn awaits<T>(log: &Turns, name: &'static str, awaited: OwnedFuture<T>) -> Task<()> {
        let log = log.clone();
        create_task(async move {
            assert!(catch_cancel(awaited).await.is_err());
            let count = current_task().unwrap().cancelling();
            log.push(format_args!("{name} {count}"));
        })
    }
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let child = create_task(waits(events.clone(), "child", create_future(), 0, false));
        let plain = awaits(&events, "plain", child.take());
        let gathers = awaits(&events, "gather", gather([&child]));
        let shields = awaits(&events, "shield", shield(&child));
        yield_now().await;
        yield_now().await;
        gathers.cancel();
        gather((plain, gathers, shields)).await;
    });
    log.expect(&[
        "3 child cancelled None",
        "3 child cleaned",
        "4 plain 0",
        "5 gather 1",
        "5 shield 0",
    ]);
}

/// C16: a second request interrupts the children's clean-up.
#[test]
fn a_second_cancel_interrupts_the_clean_up() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let child = |name| {
            let log = events.clone();
            async move {
                let why = catch_cancel(pending::<()>()).await.unwrap_err();
                log.push(format_args!("{name} cleans up"));
                let interrupted = catch_cancel(async {
                    for _ in 0..5 {
                        yield_now().await;
                    }
                });
                let interrupted = interrupted.await.is_err();
                log.push(format_args!("{name} interrupted: {interrupted}"));
                why.reraise().await
            }
        };
        let both = gather((child("a"), child("b")));
        both.add_done_callback(events.done("gather"));
        yield_now().await;
        assert!(both.cancel());
        yield_now().await;
        yield_now().await;
        events.push(both.cancel());
        assert!(catch_cancel(both).await.is_err());
    });
    log.expect(&[
        "2 a cleans up",
        "2 b cleans up",
        "3 true",
        "4 a interrupted: true",
        "4 b interrupted: true",
        "6 gather cancelled",
    ]);
}

/// C18: the parent catches what its gather passes up, and goes on; its count stays.
#[test]
fn a_parent_may_swallow_the_cancellation() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let inner = events.clone();
        let parent = create_task(async move {
            let both = gather((pending::<()>(), pending::<()>()));
            assert!(catch_cancel(both).await.is_err());
            let count = current_task().unwrap().cancelling();
            inner.push(format_args!("swallows {count}"));
            yield_now().await;
            "went on"
        });
        yield_now().await;
        yield_now().await;
        parent.cancel();
        events.push(parent.await);
    });
    log.expect(&["5 swallows 1", "7 went on"]);
}

/// A request from the code that looks at a child's result reaches the others all the same, also through
/// another gather.
#[test]
fn a_cancel_from_the_code_that_changes_a_result_reaches_the_other_children() {
    struct Changed(Task<()>, Box<dyn FnOnce()>);
    impl Awaitable for Changed {
        type Output = Result<(), ()>;
        fn into_awaited(self, event_loop: &LoopHandle) -> Awaited<Self::Output> {
            let change = self.1;
            (self.0.into_awaited(event_loop)).map(move |()| {
                change();
                Ok(())
            })
        }
    }
    let event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            for nested in [false, true] {
                let target = Rc::new(RefCell::new(None::<FutureHandle>));
                let asked = target.clone();
                let never = create_task(pending());
                let handle = never.handle();
                let both = try_gather([
                    Changed(
                        create_task(async {}),
                        Box::new(move || assert!(asked.take().unwrap().cancel())),
                    ),
                    Changed(never, Box::new(|| {})),
                ]);
                let all = gather([both.take()]);
                let asked = if nested {
                    FutureHandle::from(&all)
                } else {
                    FutureHandle::from(&both)
                };
                *target.borrow_mut() = Some(asked);
                assert!(all.outcome().await.is_err());
                assert!(handle.cancelled() && both.cancelled());
            }
        })
        .unwrap();
}

/// A task that gathers itself waits for ever, but can be cancelled. DIFFERENCE: asyncio's request goes
/// round until the stack is used up.
#[test]
fn a_task_that_gathers_itself_can_be_cancelled() {
    let event_loop = virtual_loop();
    let slot = Rc::new(RefCell::new(None::<Future<()>>));
    let myself = slot.clone();
    let task = event_loop.create_task(async move {
        let myself = myself.take().unwrap();
        gather([myself, create_future()]).await;
    });
    *slot.borrow_mut() = Some(Future::clone(&task));
    settle(&event_loop);
    assert!(!task.done() && task.cancel());
    settle(&event_loop);
    assert!(task.cancelled());
}
