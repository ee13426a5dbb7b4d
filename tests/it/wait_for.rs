//! `wait_for`: a timeout around one thing to wait for.

use std::cell::Cell;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use callsoon::{
    CancelOrigin, Future, RunError, TimeoutError, catch_cancel, create_task, current_task,
    get_running_loop, shield, sleep, wait_for, yield_now,
};
use futures::future::select;

use crate::support::{Drops, Log, ms, settle, turn, turns_of, virtual_loop};

/// W7, and table 2.0: a coroutine runs in the caller's task, and costs no turn.
#[test]
fn coroutine_runs_in_the_callers_task_at_no_cost() {
    let (turns, task) = turns_of(&virtual_loop(), async {
        let caller = current_task();
        wait_for(async { current_task() }, ms(5)).await == Ok(caller)
    });
    assert_eq!((turns, task.take_result().unwrap()), (0, true));
}

/// W7, and table 2.0: a fresh task takes the two turns it takes anyhow.
#[test]
fn fresh_task_takes_two_turns() {
    let (turns, task) = turns_of(&virtual_loop(), async {
        wait_for(create_task(async { 3 }), ms(5)).await
    });
    assert_eq!((turns, task.take_result().unwrap()), (2, Ok(3)));
}

/// Without a limit it is the await itself.
#[test]
fn none_waits_for_ever() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(wait_for(sleep(ms(3_600_000)), None));
    assert_eq!(result.unwrap(), Ok(()));
}

// ---- a delay of zero

/// W8, and table 2.0: a coroutine never starts; that takes three turns.
#[test]
fn zero_delay_never_starts_a_coroutine() {
    let (event_loop, log, drops) = (virtual_loop(), Log::new(), Drops::new());
    let (events, guard) = (log.clone(), drops.guard());
    let coroutine = async move {
        let _guard = guard;
        events.push("started");
    };
    let (turns, task) = turns_of(&event_loop, wait_for(coroutine, ms(0)));
    assert_eq!((turns, task.take_result().unwrap()), (3, Err(TimeoutError)));
    log.expect(&[]);
    assert_eq!(drops.count(), 1);
}

/// W8: what is done already gives its result at once, or is raised.
#[test]
fn zero_delay_gives_what_is_done_already() {
    let event_loop = virtual_loop();
    let done = event_loop.create_future::<u8>();
    done.set_result(4).unwrap();
    let (turns, task) = turns_of(&event_loop, wait_for(done, ms(0)));
    assert_eq!((turns, task.take_result().unwrap()), (0, Ok(4)));

    let cancelled = event_loop.create_future::<u8>();
    cancelled.cancel();
    let (turns, task) = turns_of(&event_loop, async {
        let caught = catch_cancel(wait_for(cancelled, ms(0))).await;
        caught.unwrap_err().origin()
    });
    assert_eq!(
        (turns, task.take_result().unwrap()),
        (0, CancelOrigin::Awaited)
    );
}

/// W8: a pending future is cancelled; that takes two turns.
#[test]
fn zero_delay_cancels_a_pending_future() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<u8>();
    let (turns, task) = turns_of(&event_loop, wait_for(future.clone(), ms(0)));
    assert_eq!((turns, task.take_result().unwrap()), (2, Err(TimeoutError)));
    assert!(future.cancelled());
}

/// W8, W10: a task that declines gives its value after all; W11: or its error.
#[test]
fn zero_delay_gives_what_a_task_makes_of_its_cancellation() {
    let event_loop = virtual_loop();
    for end in [Ok(5), Err("disk full")] {
        let (turns, task) = turns_of(&event_loop, async move {
            let child = create_task(async move {
                assert!(catch_cancel(sleep(ms(90))).await.is_err());
                end
            });
            yield_now().await;
            wait_for(child, ms(0)).await
        });
        assert_eq!((turns, task.take_result().unwrap()), (4, Ok(end)));
    }
}

/// W8: a cancel of the caller ends the wait for the clean-up; that goes on by itself.
#[test]
fn zero_delay_cancelled_from_outside_does_not_wait_for_the_clean_up() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let task = event_loop.create_task(async move {
        let child = create_task(async move {
            assert!(catch_cancel(sleep(ms(90))).await.is_err());
            sleep(ms(50)).await;
            events.push("cleaned");
        });
        yield_now().await;
        wait_for(child, ms(0)).await
    });
    let handle = task.handle();
    event_loop.call_at(ms(10), move || {
        handle.cancel();
    });
    assert!(matches!(
        event_loop.run_until_complete(task),
        Err(RunError::Cancelled(_))
    ));
    assert_eq!(event_loop.time(), ms(10));
    let rest = event_loop.all_tasks();
    assert_eq!(rest.len(), 1);
    event_loop.run_until_complete(sleep(ms(90))).unwrap();
    log.expect(&["cleaned"]);
}

/// A panic of the task that is cancelled goes on.
#[test]
fn zero_delay_passes_a_panic_on() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        let child = create_task(async {
            assert!(catch_cancel(sleep(ms(90))).await.is_err());
            panic!("bang");
        });
        yield_now().await;
        wait_for(child, ms(0)).await
    });
    let outcome: Result<Result<Result<(), _>, _>, _> =
        event_loop.run_until_complete(task.outcome());
    assert_eq!(
        outcome.unwrap().unwrap_err().panic().unwrap().message(),
        "bang"
    );
}

// ---- expiry

/// W9: it waits for the clean-up, however long that takes.
#[test]
fn expiry_waits_for_the_clean_up() {
    let event_loop = virtual_loop();
    let child = event_loop.create_task(async {
        let why = catch_cancel(sleep(ms(900))).await.unwrap_err();
        sleep(ms(50)).await;
        why.reraise().await
    });
    let result: Result<Result<(), _>, _> = event_loop.run_until_complete(wait_for(child, ms(10)));
    assert_eq!(result.unwrap(), Err(TimeoutError));
    assert_eq!(event_loop.time(), ms(60));
}

/// W10: what declines gives its value. W11: or its error.
#[test]
fn expiry_gives_what_the_awaitable_makes_of_it() {
    for end in [Ok(5), Err("disk full")] {
        let event_loop = virtual_loop();
        let result = event_loop.run_until_complete(wait_for(
            async move {
                assert!(catch_cancel(sleep(ms(90))).await.is_err());
                end
            },
            ms(10),
        ));
        assert_eq!(result.unwrap(), Ok(end));
    }
}

/// W13: a plain future is cancelled itself; a shield keeps it.
#[test]
fn expiry_cancels_a_future_unless_it_is_shielded() {
    let event_loop = virtual_loop();
    let (bare, kept) = (
        event_loop.create_future::<u8>(),
        event_loop.create_future::<u8>(),
    );
    let (a, b) = (bare.clone(), kept.clone());
    let results = event_loop.run_until_complete(async move {
        (wait_for(a, ms(10)).await, wait_for(shield(b), ms(10)).await)
    });
    assert_eq!(results.unwrap(), (Err(TimeoutError), Err(TimeoutError)));
    assert!(bare.cancelled() && !kept.done());
    assert_eq!(event_loop.time(), ms(20));
}

/// W15: a coroutine that never suspends is in time, however long it takes.
#[test]
fn coroutine_that_never_suspends_is_in_time() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(wait_for(
        async {
            get_running_loop().advance(ms(500));
            8
        },
        ms(10),
    ));
    assert_eq!(result.unwrap(), Ok(8));
}

/// By reference the task stays the caller's, for a second try.
#[test]
fn task_by_reference_is_cancelled_and_stays() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(async {
        let child = create_task(async {
            assert!(catch_cancel(sleep(ms(90))).await.is_err());
            sleep(ms(20)).await;
            "late"
        });
        let first = wait_for(&child, ms(10)).await;
        (first, child.done(), child.cancelling())
    });
    assert_eq!(result.unwrap(), (Ok("late"), true, 1));
}

// ---- cancelled from outside, dropped

/// W12: the result is ready, and the caller is cancelled in the same turn: the cancellation wins.
#[test]
fn cancel_in_the_turn_of_the_result_wins() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<u8>();
    let task = event_loop.create_task(wait_for(future.clone(), ms(10)));
    turn(&event_loop);
    future.set_result(1).unwrap();
    task.cancel();
    settle(&event_loop);
    assert!(task.cancelled());
    assert_eq!(event_loop.next_deadline(), None);
}

/// W14: it ends only after the clean-up of what it waits for.
#[test]
fn cancelled_wait_ends_after_the_clean_up() {
    let event_loop = virtual_loop();
    let child = event_loop.create_task(async {
        let why = catch_cancel(sleep(ms(900))).await.unwrap_err();
        sleep(ms(50)).await;
        why.reraise().await
    });
    let task = event_loop.create_task(wait_for::<Future<()>>((*child).clone(), ms(500)));
    let handle = task.handle();
    event_loop.call_at(ms(10), move || {
        handle.cancel();
    });
    assert!(matches!(
        event_loop.run_until_complete(task),
        Err(RunError::Cancelled(_))
    ));
    assert_eq!((event_loop.time(), child.cancelled()), (ms(60), true));
}

/// C7: what it waits for declines, and so does the caller: the value comes out, the count stays.
#[test]
fn cancel_that_the_awaitable_declines_gives_its_value() {
    let event_loop = virtual_loop();
    let child = event_loop.create_task(async {
        assert!(catch_cancel(sleep(ms(90))).await.is_err());
        6
    });
    let task = event_loop.create_task(wait_for(child, ms(50)));
    let handle = task.handle();
    let cancelled = handle.clone();
    event_loop.call_at(ms(10), move || {
        cancelled.cancel();
    });
    assert_eq!(event_loop.run_until_complete(task).unwrap(), Ok(6));
    assert_eq!(handle.cancelling(), 1);
}

/// Dropped, it lets go of a task; a coroutine goes with it.
#[test]
fn dropped_wait_lets_go_of_a_task_and_drops_a_coroutine() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let guard = drops.guard();
    let child = event_loop.create_task(async { sleep(ms(90)).await });
    let kept = (*child).clone();
    let deadline = event_loop.run_until_complete(async move {
        let task = Box::pin(wait_for(kept, ms(10)));
        drop(select(task, Box::pin(yield_now())).await);
        let coroutine = async move {
            let _guard = guard;
            pending::<()>().await;
        };
        drop(select(Box::pin(wait_for(coroutine, ms(10))), Box::pin(yield_now())).await);
        get_running_loop().next_deadline()
    });
    assert_eq!((deadline.unwrap(), drops.count()), (Some(ms(90)), 1));
    assert!(!child.done() && child.cancelling() == 0);
}

/// Dropped while it waits for a task that it has cancelled: no callback of it stays behind.
#[test]
fn dropped_wait_of_zero_leaves_nothing_behind() {
    let event_loop = virtual_loop();
    let finished = Rc::new(Cell::new(false));
    let ran = finished.clone();
    let task = event_loop.create_task(async move {
        let child = create_task(async move {
            assert!(catch_cancel(sleep(ms(90))).await.is_err());
            sleep(ms(20)).await;
            ran.set(true);
        });
        yield_now().await;
        let wait = Box::pin(wait_for(child, ms(0)));
        drop(select(wait, Box::pin(sleep(ms(5)))).await);
        sleep(ms(50)).await;
    });
    event_loop.run_until_complete(task).unwrap();
    assert!(finished.get());
}

/// It needs a task.
#[test]
fn wait_outside_a_task_panics() {
    for delay in [ms(0), ms(10)] {
        let wait = wait_for(async {}, delay);
        let panicked = catch_unwind(AssertUnwindSafe(|| futures::executor::block_on(wait)));
        let panic = panicked.unwrap_err();
        let message = panic.downcast::<String>().map_or_else(
            |panic| (*panic.downcast::<&str>().unwrap()).to_owned(),
            |message| *message,
        );
        assert!(message.contains("running"), "{message}");
    }
}
