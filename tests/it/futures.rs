//! `Future`: state, result, callbacks, and awaiting it.

use std::cell::{Cell, RefCell};
use std::future::Future as _;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use callsoon::{
    CancelOrigin, EventLoop, Future, InvalidStateError, PanicError, ResultError, RunError, Task,
};
use futures::executor::{LocalPool, block_on};
use futures::stream::{FuturesUnordered, StreamExt};
use futures::task::LocalSpawnExt;

use crate::support::{Log, ms, settle, turn, virtual_loop};

// ---- states and results

/// F1: a pending future has no result, and asking says so.
#[test]
fn result_of_a_pending_future_is_not_ready() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<Result<u32, String>>();
    assert!(!future.done());
    assert!(!future.cancelled());
    assert!(matches!(future.result(), Err(ResultError::NotReady)));
    assert!(matches!(future.exception(), Err(ResultError::NotReady)));
    assert!(matches!(future.take_result(), Err(ResultError::NotReady)));
    assert!(future.with_result(|result| matches!(result, Err(ResultError::NotReady))));
}

/// F1: of a cancelled future both `result` and `exception` give the cancellation as their error.
#[test]
fn result_and_exception_of_a_cancelled_future_are_the_cancellation() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<Result<u32, String>>();
    future.cancel_with("enough");
    assert!(future.done());
    assert!(future.cancelled());
    for error in [
        future.result().unwrap_err(),
        future.exception().unwrap_err(),
        future.take_result().unwrap_err(),
        future.with_result(|result| result.unwrap_err().clone()),
    ] {
        let ResultError::Cancelled(cancelled) = error else {
            panic!("{error:?}")
        };
        assert_eq!(cancelled.message(), Some("enough"));
    }
}

#[test]
fn result_can_be_read_many_times_and_taken_once() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future();
    future.set_result("value".to_owned()).unwrap();
    assert!(future.done() && !future.cancelled());
    assert_eq!(future.result().unwrap(), "value");
    assert_eq!(future.with_result(|result| result.unwrap().len()), 5);
    assert_eq!(future.take_result().unwrap(), "value");
    assert!(future.done() && !future.cancelled());
    assert!(matches!(future.result(), Err(ResultError::Taken)));
    assert!(matches!(future.take_result(), Err(ResultError::Taken)));
}

#[test]
fn exception_is_none_with_a_result_and_some_with_an_error() {
    let event_loop = virtual_loop();
    let fine = event_loop.create_future::<Result<u32, String>>();
    fine.set_result(Ok(1)).unwrap();
    assert_eq!(fine.exception().unwrap(), None);
    let failed = event_loop.create_future::<Result<u32, String>>();
    failed.set_exception("no".to_owned()).unwrap();
    assert_eq!(failed.exception().unwrap(), Some("no".to_owned()));
    assert_eq!(failed.result().unwrap(), Err("no".to_owned()));
    let taken = failed.take_result().unwrap();
    assert_eq!(taken, Err("no".to_owned()));
    assert!(matches!(failed.exception(), Err(ResultError::Taken)));
}

#[test]
fn result_of_a_panicked_task_is_the_panic() {
    let event_loop = virtual_loop();
    let task: Task<Result<u32, String>> = event_loop.create_task(async { panic!("bug") });
    turn(&event_loop);
    assert!(task.done() && !task.cancelled());
    for error in [
        task.result().unwrap_err(),
        task.exception().unwrap_err(),
        task.take_result().unwrap_err(),
    ] {
        let ResultError::Panicked(panic) = error else {
            panic!("{error:?}")
        };
        assert_eq!(panic.message(), "bug");
    }
}

/// F2: completing twice is refused, and the second value comes back.
#[test]
fn second_set_result_gives_its_value_back() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future();
    future.set_result("first".to_owned()).unwrap();
    let refused = future.set_result("second".to_owned()).unwrap_err();
    let site = future.created_at();
    assert_eq!(
        refused.to_string(),
        format!("future created at {site} has a result already")
    );
    assert_eq!(refused.value(), "second");
    assert_eq!(refused.into_value(), "second");
    assert_eq!(future.result().unwrap(), "first");
    future.take_result().unwrap();
    assert!(future.set_result("third".to_owned()).is_err());
}

/// F2: so is completing a cancelled future; a late timer that does so hurts nobody.
#[test]
fn cancel_then_set_result_reports_invalid_state() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<Result<u32, String>>();
    let late = future.clone();
    event_loop.call_later(ms(5), move || {
        let refused: InvalidStateError<_> = late.set_result(Ok(1)).unwrap_err();
        let site = late.created_at();
        let expected = format!("future created at {site} is cancelled");
        assert_eq!(refused.to_string(), expected);
        assert_eq!(refused.into_value(), Ok(1));
    });
    future.cancel();
    let refused = future.set_exception("late".to_owned()).unwrap_err();
    assert!(refused.to_string().ends_with(" is cancelled"));
    assert_eq!(refused.into_value(), "late");
    event_loop.run_forever();
    assert!(future.cancelled());
}

/// F3: `cancel` cancels synchronously, queues the callbacks, and is true once.
#[test]
fn cancel_of_a_pending_future_is_immediate_and_queues_its_callbacks() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let future = event_loop.create_future::<u32>();
    let events = log.clone();
    future.add_done_callback(move |future| {
        events.push(format!("cancelled: {}", future.cancelled()));
    });
    assert!(future.cancel());
    assert!(future.cancelled());
    log.expect(&[]);
    assert!(!future.cancel());
    turn(&event_loop);
    log.expect(&["cancelled: true"]);
}

/// F3: cancelling what has a result changes nothing.
#[test]
fn cancel_of_a_completed_future_is_refused() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future();
    future.set_result(3).unwrap();
    assert!(!future.cancel());
    assert!(!future.cancelled());
    assert_eq!(future.result().unwrap(), 3);
}

/// The cancellation knows its message, its place, and that it was asked for.
#[test]
fn cancelled_future_remembers_message_place_and_origin() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<u32>();
    let line = line!() + 1;
    future.cancel_with("message");
    let Err(ResultError::Cancelled(why)) = future.result() else {
        panic!("it is cancelled")
    };
    assert_eq!(why.message(), Some("message"));
    assert_eq!(why.location().file(), file!());
    assert_eq!(why.location().line(), line);
    assert_eq!(why.origin(), CancelOrigin::Requested);
    assert!(why.panic().is_none());
}

// ---- reports of failures that nobody looked at

/// F4: an attempt to cancel a failed task is refused, and counts as a look.
#[test]
fn cancel_of_a_failed_task_disarms_its_report() {
    let (event_loop, log) = reporting_loop();
    let task = event_loop.create_try_task(async { Err::<(), _>("failed") });
    turn(&event_loop);
    assert!(!task.cancel());
    drop(task);
    log.expect(&[]);
}

/// F17: an error counts as retrieved after `result`, `exception` or an await.
#[test]
fn looking_at_an_error_disarms_its_report() {
    fn check(look: impl FnOnce(&EventLoop, Task<Result<(), &'static str>>)) {
        let (event_loop, log) = reporting_loop();
        let task = event_loop.create_try_task(async { Err::<(), _>("failed") });
        turn(&event_loop);
        look(&event_loop, task);
        log.expect(&[]);
    }
    check(|_, task| drop(task.result()));
    check(|_, task| drop(task.exception()));
    check(|_, task| drop(task.take_result()));
    check(|_, task| task.with_result(|_| ()));
    check(|event_loop, task| drop(event_loop.run_until_complete(task)));
    check(|event_loop, task| drop(event_loop.run_until_complete(async move { (&task).await })));
    check(|event_loop, task| drop(event_loop.run_until_complete(task.outcome())));
}

/// F17: having done-callbacks does not count as looking.
#[test]
fn done_callback_that_does_not_look_leaves_the_report_armed() {
    let (event_loop, log) = reporting_loop();
    let task = event_loop.create_try_task(async { Err::<(), _>("failed") });
    task.add_done_callback(|_| ());
    drop(task);
    settle(&event_loop);
    log.expect(&["task error was never retrieved: failed"]);
}

/// F18: the report comes when the last handle goes, and not earlier.
#[test]
fn unretrieved_error_is_reported_when_the_last_handle_is_dropped() {
    let (event_loop, log) = reporting_loop();
    let task = event_loop.create_try_task(async { Err::<(), _>("failed") });
    let other = (*task).clone();
    settle(&event_loop);
    drop(task);
    log.expect(&[]);
    drop(other);
    log.expect(&["task error was never retrieved: failed"]);
}

/// F18: a cancelled task is never reported, and a success has nothing to report.
#[test]
fn cancelled_and_successful_tasks_are_not_reported() {
    let (event_loop, log) = reporting_loop();
    let cancelled = event_loop.create_try_task(async { Err::<(), _>("failed") });
    cancelled.cancel();
    drop(cancelled);
    drop(event_loop.create_try_task(async { Ok::<_, &str>(()) }));
    settle(&event_loop);
    log.expect(&[]);
}

/// F18, DIFFERENCE (DESIGN 9.4): with `create_task`, and in a plain future, an `Err` is a value
/// like any other and is not reported.
#[test]
fn errors_of_plain_tasks_and_futures_are_values() {
    let (event_loop, log) = reporting_loop();
    drop(event_loop.create_task(async { Err::<(), _>("failed") }));
    let future = event_loop.create_future::<Result<(), &str>>();
    future.set_exception("failed").unwrap();
    drop(future);
    settle(&event_loop);
    log.expect(&[]);
}

// ---- done-callbacks

/// F5: completion runs no callback inline; all run in the next turn, in the order of registration.
#[test]
fn callbacks_run_in_the_next_turn_in_order_of_registration() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let future = event_loop.create_future();
    for name in ["a", "b", "c"] {
        add_logging(&future, &log, name);
    }
    event_loop.call_soon(log.event("queued before"));
    future.set_result(7).unwrap();
    event_loop.call_soon(log.event("queued after"));
    log.expect(&[]);
    assert_eq!(turn(&event_loop), 5);
    log.expect(&["queued before", "a 7", "b 7", "c 7", "queued after"]);
}

/// F5: each callback is an entry of its own in the ready queue.
#[test]
fn each_callback_is_an_entry_of_its_own() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future();
    for _ in 0..3 {
        future.add_done_callback(|_| ());
    }
    future.set_result(()).unwrap();
    assert_eq!(turn(&event_loop), 3);
}

/// F6: a callback added to a future that is done runs in the next turn.
#[test]
fn callback_added_to_a_done_future_runs_in_the_next_turn() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let future = event_loop.create_future();
    future.set_result(1).unwrap();
    add_logging(&future, &log, "late");
    log.expect(&[]);
    turn(&event_loop);
    log.expect(&["late 1"]);
}

/// F7: a callback added by a callback of the same future runs one turn later.
#[test]
fn callback_added_by_a_callback_runs_one_turn_later() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let future = event_loop.create_future();
    let events = log.clone();
    future.add_done_callback(move |future| {
        events.push("outer");
        add_logging(future, &events, "inner");
    });
    add_logging(&future, &log, "second");
    future.set_result(1).unwrap();
    turn(&event_loop);
    log.expect(&["outer", "second 1"]);
    turn(&event_loop);
    log.expect(&["inner 1"]);
}

/// F8, DIFFERENCE: a closure is used once, so each registration has an id of its own; the same
/// function can be registered any number of times and runs as often.
#[test]
fn same_function_registered_twice_runs_twice() {
    let event_loop = virtual_loop();
    let count = Rc::new(Cell::new(0));
    let future = event_loop.create_future();
    let ids: Vec<_> = (0..2)
        .map(|_| {
            let count = count.clone();
            future.add_done_callback(move |_| count.set(count.get() + 1))
        })
        .collect();
    assert_ne!(ids[0], ids[1]);
    future.set_result(()).unwrap();
    turn(&event_loop);
    assert_eq!(count.get(), 2);
}

/// F8: removal takes out that one registration, at once, and only once.
#[test]
fn removed_callback_does_not_run() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let future = event_loop.create_future();
    let ids: Vec<_> = ["a", "b", "c", "d"]
        .iter()
        .map(|name| add_logging(&future, &log, name))
        .collect();
    assert!(future.remove_done_callback(ids[1]));
    assert!(!future.remove_done_callback(ids[1]));
    assert!(future.remove_done_callback(ids[2]));
    add_logging(&future, &log, "e");
    future.set_result(1).unwrap();
    turn(&event_loop);
    log.expect(&["a 1", "d 1", "e 1"]);
}

/// F8: once the future is done its callbacks are queued, and removal comes too late.
#[test]
fn removal_after_completion_changes_nothing() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let future = event_loop.create_future();
    let id = add_logging(&future, &log, "a");
    future.set_result(1).unwrap();
    assert!(!future.remove_done_callback(id));
    turn(&event_loop);
    log.expect(&["a 1"]);
}

/// An id of another future of the same loop removes nothing.
#[test]
fn id_of_another_future_removes_nothing() {
    let event_loop = virtual_loop();
    let one = event_loop.create_future::<u32>();
    let two = event_loop.create_future::<u32>();
    let id = one.add_done_callback(|_| ());
    two.add_done_callback(|_| ());
    assert!(!two.remove_done_callback(id));
    assert!(one.remove_done_callback(id));
}

/// F9: a callback that panics goes to the exception handler; its siblings run.
#[test]
fn panicking_callback_does_not_affect_its_siblings() {
    let (event_loop, log) = reporting_loop();
    let future = event_loop.create_future();
    add_logging(&future, &log, "a");
    future.add_done_callback(|_| panic!("bad callback"));
    add_logging(&future, &log, "b");
    future.set_result(1).unwrap();
    turn(&event_loop);
    log.expect(&["a 1", "panic in a callback: bad callback", "b 1"]);
}

/// A callback that a result is taken from leaves nothing to later callbacks.
#[test]
fn callback_that_takes_the_result_leaves_taken_to_later_ones() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let future = event_loop.create_future();
    let events = log.clone();
    future.add_done_callback(move |future| {
        events.push(format!("took {}", future.take_result().unwrap()));
    });
    let events = log.clone();
    future.add_done_callback(move |future| events.push(future.result().unwrap_err()));
    future.set_result(9).unwrap();
    turn(&event_loop);
    log.expect(&["took 9", "result was taken already"]);
}

// ---- awaiting

/// F11: awaiting what is done does not suspend.
#[test]
fn awaiting_a_done_future_takes_no_turn() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future();
    future.set_result(4).unwrap();
    let finished = event_loop.create_task(async { 5 });
    turn(&event_loop);
    let sum = event_loop.create_task(async move {
        let mut sum = 0;
        for _ in 0..10 {
            sum += (&future).await + (&finished).await;
        }
        sum
    });
    turn(&event_loop);
    assert_eq!(sum.result().unwrap(), 90);
}

/// F12: the awaiting task runs in the turn after completion, at its place among the callbacks.
#[test]
fn awaiting_task_resumes_at_its_place_among_the_callbacks() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let future = event_loop.create_future();
    add_logging(&future, &log, "before");
    let _task = waiter(&event_loop, &future, &log, "task");
    turn(&event_loop);
    add_logging(&future, &log, "behind");
    future.set_result(1).unwrap();
    turn(&event_loop);
    log.expect(&["before 1", "task 1", "behind 1"]);
}

/// F13: several awaiters resume in the order in which they began to await, in one turn.
#[test]
fn awaiters_resume_in_the_order_in_which_they_began() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let future = event_loop.create_future();
    let tasks: Vec<_> = ["a", "b", "c", "d"]
        .iter()
        .map(|name| waiter(&event_loop, &future, &log, name))
        .collect();
    turn(&event_loop);
    future.set_result(2).unwrap();
    turn(&event_loop);
    log.expect(&["a 2", "b 2", "c 2", "d 2"]);
    assert!(tasks.iter().all(|task| task.done()));
}

/// F13: being polled again, as the loser of a `select!` is, does not cost the place.
#[test]
fn repoll_inside_select_keeps_the_place() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let future = event_loop.create_future::<u32>();
    let (ping, pings) = futures::channel::mpsc::unbounded::<()>();
    let mut mine = future.clone();
    let events = log.clone();
    event_loop.create_task(async move {
        let mut pings = pings.fuse();
        loop {
            futures::select! {
                value = mine => {
                    events.push(format!("first {value}"));
                    break;
                }
                _ = pings.next() => events.push("ping"),
            }
        }
    });
    turn(&event_loop);
    let _second = waiter(&event_loop, &future, &log, "second");
    turn(&event_loop);
    for _ in 0..3 {
        ping.unbounded_send(()).unwrap();
        settle(&event_loop);
    }
    future.set_result(1).unwrap();
    turn(&event_loop);
    log.expect(&["ping", "ping", "ping", "first 1", "second 1"]);
}

/// F13: the same in a `join!`, whose branches are all polled whenever one of them goes on.
#[test]
fn repoll_inside_join_keeps_the_place() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let future = event_loop.create_future::<u32>();
    let other = event_loop.create_future::<u32>();
    let (a, b, events) = (future.clone(), other.clone(), log.clone());
    event_loop.create_task(async move {
        let (a, b) = futures::join!(a, b);
        events.push(format!("joined {a} {b}"));
    });
    turn(&event_loop);
    let _second = waiter(&event_loop, &future, &log, "second");
    turn(&event_loop);
    other.set_result(20).unwrap();
    turn(&event_loop);
    future.set_result(10).unwrap();
    turn(&event_loop);
    log.expect(&["joined 10 20", "second 10"]);
}

/// F13: through the wrapping wakers of a `FuturesUnordered`, completion order is kept.
#[test]
fn futures_unordered_gives_results_in_order_of_completion() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let futures: Vec<_> = (0..4).map(|_| event_loop.create_future::<u32>()).collect();
    let (all, events) = (futures.clone(), log.clone());
    event_loop.create_task(async move {
        let mut all: FuturesUnordered<_> = all.into_iter().collect();
        while let Some(value) = all.next().await {
            events.push(value);
        }
        events.push("end");
    });
    turn(&event_loop);
    for i in [2, 0, 3, 1] {
        futures[i].set_result(i as u32).unwrap();
    }
    settle(&event_loop);
    log.expect(&["2", "0", "3", "1", "end"]);
}

/// Losing a `select!` many times leaves no registrations behind.
#[test]
fn many_select_loops_on_one_shared_future_do_not_pile_up_registrations() {
    let event_loop = virtual_loop();
    let shutdown = event_loop.create_future::<()>();
    let mut by_value = shutdown.clone();
    let by_reference = shutdown.clone();
    event_loop.create_task(async move {
        for _ in 0..100 {
            futures::select! {
                () = by_value => unreachable!(),
                () = futures::FutureExt::fuse(callsoon::sleep(ms(1))) => {}
            }
            let again = futures::FutureExt::fuse(by_reference.clone());
            futures::pin_mut!(again);
            futures::select! {
                () = again => unreachable!(),
                () = futures::FutureExt::fuse(callsoon::yield_now()) => {}
            }
        }
        std::future::pending::<()>().await;
    });
    event_loop.run_forever();
    assert!(
        format!("{shutdown:?}").starts_with("<Future pending cb=[1] "),
        "{shutdown:?}"
    );
}

/// A `select!` that is ready again and again inside one step polls its loser as often; the task
/// awaits it once all the same.
#[test]
fn many_rounds_of_select_in_one_step_await_the_loser_once() {
    let event_loop = virtual_loop();
    let shutdown = event_loop.create_future::<()>();
    let mut mine = shutdown.clone();
    let (send, messages) = futures::channel::mpsc::unbounded();
    for i in 0..50 {
        send.unbounded_send(i).unwrap();
    }
    let task = event_loop.create_task(async move {
        let mut messages = messages.fuse();
        loop {
            futures::select_biased! {
                () = mine => break,
                _ = messages.next() => {}
            }
        }
    });
    turn(&event_loop);
    let text = format!("{task:?}");
    assert_eq!(text.matches("wait_for=").count(), 1, "{text}");
}

/// F14: every awaiter and every `result()` gets the same error object.
#[test]
fn every_reader_gets_the_same_error_object() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<Result<(), Rc<String>>>();
    let seen = Rc::new(RefCell::new(Vec::new()));
    for _ in 0..2 {
        let (future, seen) = (future.clone(), seen.clone());
        event_loop.create_task(async move {
            let error = future.await.unwrap_err();
            seen.borrow_mut().push(error);
        });
    }
    turn(&event_loop);
    let error = Rc::new("one".to_owned());
    future.set_exception(error.clone()).unwrap();
    settle(&event_loop);
    seen.borrow_mut().push(future.exception().unwrap().unwrap());
    seen.borrow_mut()
        .push(future.result().unwrap().unwrap_err());
    assert_eq!(seen.borrow().len(), 4);
    assert!(seen.borrow().iter().all(|seen| Rc::ptr_eq(seen, &error)));
}

/// F14: the same for a panic: all clones of the error share one payload.
#[test]
fn every_reader_gets_the_same_panic() {
    let event_loop = virtual_loop();
    let task: Task<()> = event_loop.create_task(async { std::panic::panic_any(42_u8) });
    turn(&event_loop);
    let panic = |task: &Task<()>| -> PanicError {
        match task.result() {
            Err(ResultError::Panicked(panic)) => panic,
            other => panic!("{other:?}"),
        }
    };
    let (one, two) = (panic(&task), panic(&task));
    assert_eq!(*one.take_payload().unwrap().downcast::<u8>().unwrap(), 42);
    assert!(two.take_payload().is_none());
}

/// F15: awaiting a pending future of another loop is a failure inside the task, one turn later.
#[test]
fn awaiting_a_future_of_another_loop_panics_one_turn_later() {
    let (event_loop, other) = (virtual_loop(), virtual_loop());
    let foreign = other.create_future::<u32>();
    let mine = foreign.clone();
    let task = event_loop.create_task(mine);
    turn(&event_loop);
    assert!(!task.done());
    turn(&event_loop);
    let Err(ResultError::Panicked(panic)) = task.result() else {
        panic!("{task:?}")
    };
    assert!(
        panic.message().contains("belongs to another event loop"),
        "{panic}"
    );
    // The other loop's future is untouched.
    assert!(format!("{foreign:?}").starts_with("<Future pending created at"));
}

/// F15: what is done already is not awaited, so it may be of any loop (as in asyncio).
#[test]
fn awaiting_a_done_future_of_another_loop_works() {
    let (event_loop, other) = (virtual_loop(), virtual_loop());
    let foreign = other.create_future();
    foreign.set_result(8).unwrap();
    let task = event_loop.create_task(foreign);
    turn(&event_loop);
    assert_eq!(task.result().unwrap(), 8);
}

/// F15: and one that is cancelled already unwinds the task, as if it were of its own loop.
#[test]
fn awaiting_a_cancelled_future_of_another_loop_cancels_the_task() {
    let (event_loop, other) = (virtual_loop(), virtual_loop());
    let foreign = other.create_future::<u32>();
    foreign.cancel();
    let task = event_loop.create_task(foreign);
    turn(&event_loop);
    assert!(task.cancelled(), "{task:?}");
}

/// A future of another loop is refused by `run_until_complete`, too.
#[test]
#[should_panic(expected = "belongs to another event loop")]
fn running_a_future_of_another_loop_panics() {
    let (event_loop, other) = (virtual_loop(), virtual_loop());
    let foreign = other.create_future::<()>();
    let _ = event_loop.run_until_complete(foreign);
}

/// Awaiting a result that was moved out is a bug of the program, and says where the future is from.
#[test]
fn awaiting_a_taken_result_panics() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future();
    future.set_result(1).unwrap();
    future.take_result().unwrap();
    let task = event_loop.create_task(future.clone());
    let owned = event_loop.create_task(future.take());
    let outcome = event_loop.create_task(future.outcome());
    turn(&event_loop);
    for panic in [
        panic_of(&task.with_result(|result| result.unwrap_err().clone())),
        panic_of(&owned.with_result(|result| result.unwrap_err().clone())),
        panic_of(&outcome.with_result(|result| result.unwrap_err().clone())),
    ] {
        assert!(panic.message().starts_with("await of a taken result"));
    }
    assert!(matches!(
        event_loop.run_until_complete({
            let taken = event_loop.create_future();
            taken.set_result(1).unwrap();
            taken.take_result().unwrap();
            taken.take()
        }),
        Err(RunError::Taken)
    ));
}

// ---- clones and moves

/// An await by the last handle moves the result; with another handle alive it clones.
#[test]
fn await_moves_on_the_last_handle_and_clones_otherwise() {
    let event_loop = virtual_loop();
    let clones = Rc::new(Cell::new(0));
    let future = event_loop.create_future();
    future.set_result(CountsClones(clones.clone())).unwrap();
    let kept = future.clone();
    event_loop
        .run_until_complete(async move { drop(future.await) })
        .unwrap();
    assert_eq!(clones.get(), 1);
    event_loop
        .run_until_complete(async move { drop((&kept).await) })
        .unwrap();
    assert_eq!(clones.get(), 2);

    let last = event_loop.create_future();
    last.set_result(CountsClones(clones.clone())).unwrap();
    event_loop
        .run_until_complete(async move { drop(last.await) })
        .unwrap();
    assert_eq!(clones.get(), 2);
}

/// Awaiting a task by value moves, by reference clones; so do `OwnedFuture` and `outcome`.
#[test]
fn owners_move_and_references_clone() {
    let event_loop = virtual_loop();
    let clones = Rc::new(Cell::new(0));
    let make = || {
        let value = CountsClones(clones.clone());
        event_loop.create_task(async move { value })
    };
    let task = make();
    event_loop.run_until_complete(&task).unwrap();
    assert_eq!(clones.take(), 1);
    event_loop.run_until_complete(task).unwrap();
    assert_eq!(clones.take(), 0);

    let task = make();
    event_loop
        .run_until_complete(async move { drop((&task).await) })
        .unwrap();
    assert_eq!(clones.take(), 1);
    let task = make();
    event_loop
        .run_until_complete(async move { drop(task.await) })
        .unwrap();
    assert_eq!(clones.take(), 0);
    let task = make();
    event_loop
        .run_until_complete(async move { drop(task.outcome().await) })
        .unwrap();
    assert_eq!(clones.take(), 0);

    let task = make();
    let owned = task.take();
    event_loop.run_until_complete(&owned).unwrap();
    assert_eq!(clones.take(), 1);
    event_loop.run_until_complete(owned).unwrap();
    assert_eq!(clones.take(), 0);
    assert!(matches!(
        task.with_result(|result| result.err().cloned()),
        Some(ResultError::Taken)
    ));

    let task = make();
    let shared = (*task).clone();
    event_loop
        .run_until_complete(async move { drop(shared.outcome().await) })
        .unwrap();
    assert_eq!(clones.take(), 1);
    drop(task);
}

/// A result that is not `Clone` can be awaited by its owner, looked at, and taken.
#[test]
fn results_need_not_be_clone() {
    struct Unique(u32);
    let event_loop = virtual_loop();
    let future = event_loop.create_future();
    let owned = future.take();
    event_loop.call_soon(move || assert!(future.set_result(Unique(1)).is_ok()));
    assert_eq!(event_loop.run_until_complete(owned).unwrap().0, 1);

    let task = event_loop.create_task(async { Unique(2) });
    turn(&event_loop);
    assert_eq!(task.with_result(|unique| unique.unwrap().0), 2);
    assert_eq!(task.take_result().unwrap().0, 2);
}

/// `outcome` gives a cancellation and a panic as values.
#[test]
fn outcome_never_unwinds() {
    let event_loop = virtual_loop();
    let cancelled = event_loop.create_future::<u32>();
    cancelled.cancel_with("no");
    let broken: Task<u32> = event_loop.create_task(async { panic!("bug") });
    event_loop
        .run_until_complete(async move {
            let cancelled = cancelled.outcome().await.unwrap_err();
            assert_eq!(cancelled.message(), Some("no"));
            assert_eq!(cancelled.origin(), CancelOrigin::Requested);
            let panicked = broken.outcome().await.unwrap_err();
            assert_eq!(panicked.origin(), CancelOrigin::Panicked);
            assert_eq!(panicked.panic().unwrap().message(), "bug");
        })
        .unwrap();
}

/// Dropping an await withdraws it, and changes nothing else.
#[test]
fn dropped_await_is_withdrawn() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<u32>();
    let waiting = future.clone();
    let task = event_loop.create_task(async move {
        futures::select_biased! {
            _ = futures::FutureExt::fuse(waiting) => unreachable!(),
            () = futures::FutureExt::fuse(callsoon::yield_now()) => {}
        }
        std::future::pending::<()>().await;
    });
    turn(&event_loop);
    assert!(format!("{future:?}").contains("cb=[1]"));
    turn(&event_loop);
    assert!(!format!("{future:?}").contains("cb="));
    assert!(!format!("{task:?}").contains("wait_for"));
}

/// A handle that moves to another task takes its place along, and wakes that task.
#[test]
fn handle_polled_by_another_task_wakes_that_one() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let future = event_loop.create_future::<u32>();
    let slot = Rc::new(RefCell::new(Some(future.clone())));
    let lent = slot.clone();
    let first = event_loop.create_task(async move {
        let mut mine = lent.take().unwrap();
        let polled = futures::poll!(&mut mine);
        assert!(polled.is_pending());
        lent.replace(Some(mine));
        std::future::pending::<()>().await;
    });
    let events = log.clone();
    event_loop.create_task(async move {
        let mine = slot.take().unwrap();
        events.push(mine.await);
    });
    turn(&event_loop);
    assert!(format!("{future:?}").contains("cb=[1]"));
    assert!(!format!("{first:?}").contains("wait_for"));
    future.set_result(3).unwrap();
    assert_eq!(turn(&event_loop), 1);
    log.expect(&["3"]);
}

// ---- executors of other crates

/// Another executor can await our futures: its waker is woken at completion, inline.
#[test]
fn foreign_executor_is_woken_at_completion() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let future = event_loop.create_future::<u32>();
    let mut pool = LocalPool::new();
    for name in ["a", "b"] {
        let (future, log) = (future.clone(), log.clone());
        pool.spawner()
            .spawn_local(async move { log.push(format!("{name} {}", future.await)) })
            .unwrap();
    }
    pool.run_until_stalled();
    log.expect(&[]);
    future.set_result(6).unwrap();
    pool.run_until_stalled();
    log.expect(&["a 6", "b 6"]);
}

/// A foreign waker is woken once, by `set_result` itself, and the latest one counts.
#[test]
fn foreign_waker_is_woken_inline_and_the_latest_counts() {
    let event_loop = virtual_loop();
    let mut future = event_loop.create_future::<u32>();
    let (first, second) = (
        Arc::new(CountsWakes::default()),
        Arc::new(CountsWakes::default()),
    );
    assert!(poll_with(&mut future, &first).is_pending());
    assert!(poll_with(&mut future, &first).is_pending());
    assert!(poll_with(&mut future, &second).is_pending());
    future.set_result(1).unwrap();
    assert_eq!(first.0.load(Ordering::Relaxed), 0);
    assert_eq!(second.0.load(Ordering::Relaxed), 1);
    assert_eq!(event_loop.next_deadline(), None, "nothing is queued");
    assert_eq!(poll_with(&mut future, &first), Poll::Ready(1));
}

/// Awaiting what is done works from anywhere.
#[test]
fn foreign_executor_can_await_what_is_done() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future();
    future.set_result(5).unwrap();
    assert_eq!(block_on(future), 5);
    let task = event_loop.create_task(async { "task" });
    turn(&event_loop);
    assert_eq!(block_on(task), "task");
}

/// DIFFERENCE (DESIGN 9.10): where there is no task to unwind, awaiting what is cancelled panics
/// and points to `outcome()`.
#[test]
#[should_panic(expected = "use outcome()")]
fn foreign_await_of_a_cancelled_future_panics() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<u32>();
    future.cancel();
    block_on(future);
}

/// `outcome()` is the way to await something that may be cancelled from another executor.
#[test]
fn foreign_outcome_of_a_cancelled_future_is_a_value() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<u32>();
    future.cancel_with("no");
    assert_eq!(
        block_on(future.outcome()).unwrap_err().message(),
        Some("no")
    );
}

/// A foreign waiter is woken by a cancellation, too.
#[test]
fn foreign_waiter_is_woken_by_a_cancellation() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<u32>();
    let mut outcome = future.clone().outcome();
    let wakes = Arc::new(CountsWakes::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(Pin::new(&mut outcome).poll(&mut cx).is_pending());
    future.cancel();
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert!(Pin::new(&mut outcome).poll(&mut cx).is_ready());
}

/// `get_loop` and `created_at` say where a future belongs and comes from.
#[test]
fn future_knows_its_loop_and_its_birthplace() {
    let event_loop = virtual_loop();
    let line = line!() + 1;
    let future = event_loop.create_future::<u32>();
    assert_eq!(future.get_loop(), event_loop.handle());
    assert_eq!(future.created_at().file(), file!());
    assert_eq!(future.created_at().line(), line);
}

/// R13 as far as futures go: completing a future of a closed loop works when it has no callbacks.
#[test]
fn future_of_a_closed_loop_can_be_completed() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future();
    drop(event_loop);
    future.set_result(2).unwrap();
    assert_eq!(future.result().unwrap(), 2);
}

/// R13: with a callback it becomes done, and then scheduling the callback panics.
#[test]
fn completing_a_future_with_callbacks_on_a_closed_loop_panics_but_completes() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future();
    future.add_done_callback(|_| unreachable!());
    drop(event_loop);
    let completing = future.clone();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = completing.set_result(2);
    }));
    let message = *result.unwrap_err().downcast::<String>().unwrap();
    assert!(message.ends_with("is closed"), "{message}");
    assert_eq!(future.result().unwrap(), 2);
}

// ---- helpers

/// A loop whose exception handler logs.
fn reporting_loop() -> (EventLoop, Log) {
    let event_loop = virtual_loop();
    let log = Log::new();
    let events = log.clone();
    event_loop.set_exception_handler(move |_, context| {
        let what = match (context.panic(), context.error::<&str>()) {
            (Some(panic), _) => panic.message().to_owned(),
            (_, Some(error)) => (*error).to_owned(),
            _ => "?".to_owned(),
        };
        events.push(format!("{}: {what}", context.message()));
    });
    (event_loop, log)
}

fn add_logging(future: &Future<u32>, log: &Log, name: &str) -> callsoon::CallbackId {
    let (log, name) = (log.clone(), name.to_owned());
    future.add_done_callback(move |future| log.push(format!("{name} {}", future.result().unwrap())))
}

/// A task that awaits `future` and logs its result.
fn waiter(event_loop: &EventLoop, future: &Future<u32>, log: &Log, name: &str) -> Task<()> {
    let (future, log, name) = (future.clone(), log.clone(), name.to_owned());
    event_loop.create_task(async move { log.push(format!("{name} {}", future.await)) })
}

fn panic_of(error: &ResultError) -> PanicError {
    match error {
        ResultError::Panicked(panic) => panic.clone(),
        other => panic!("{other:?}"),
    }
}

fn poll_with(future: &mut Future<u32>, wakes: &Arc<CountsWakes>) -> Poll<u32> {
    let waker = Waker::from(wakes.clone());
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

#[derive(Default)]
struct CountsWakes(AtomicUsize);

impl Wake for CountsWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct CountsClones(Rc<Cell<usize>>);

impl Clone for CountsClones {
    fn clone(&self) -> Self {
        self.0.set(self.0.get() + 1);
        Self(self.0.clone())
    }
}
