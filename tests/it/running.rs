//! Running, stopping and closing a loop.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use callsoon::{EventLoop, LoopHandle, ResultError, RunEnd, RunError, Task, yield_now};

use crate::support::{Drops, Log, OnDrop, ms, settle, turn, virtual_loop};

/// The message of the panic that `action` ends with.
#[track_caller]
fn panic_of<R>(action: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(action)) else {
        panic!("it did not panic");
    };
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => payload.downcast_ref::<&str>().unwrap().to_string(),
    }
}

/// Logs the number of each turn, for ever.
fn count_turns(event_loop: &LoopHandle, log: &Log) {
    fn again(handle: &LoopHandle, log: Log, n: u32) {
        let next = handle.clone();
        handle.call_soon(move || {
            log.push(format!("turn {n}"));
            again(&next, log, n + 1);
        });
    }
    again(event_loop, log.clone(), 1);
}

// ---- stop

/// R1: the rest of the batch still runs; what the batch queues stays for the next run.
#[test]
fn stop_in_a_callback_finishes_the_batch_and_keeps_what_it_queued() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let (handle, late) = (event_loop.handle(), log.event("queued by the batch"));
    event_loop.call_soon(move || handle.stop());
    let handle = event_loop.handle();
    event_loop.call_soon(move || {
        handle.call_soon(late);
    });
    event_loop.call_soon(log.event("rest of the batch"));
    assert!(matches!(event_loop.run_forever(), RunEnd::Stopped));
    log.expect(&["rest of the batch"]);
    event_loop.stop();
    event_loop.run_forever();
    log.expect(&["queued by the batch"]);
}

/// R1: `stop` in a coroutine, in a timer, in a done-callback.
#[test]
fn stop_works_from_everywhere() {
    let event_loop = virtual_loop();
    let handle = event_loop.handle();
    let _task = event_loop.create_task(async move { handle.stop() });
    assert!(matches!(event_loop.run_forever(), RunEnd::Stopped));

    let handle = event_loop.handle();
    event_loop.call_later(ms(5), move || handle.stop());
    assert!(matches!(event_loop.run_forever(), RunEnd::Stopped));
    assert_eq!(event_loop.time(), ms(5));

    let (handle, future) = (event_loop.handle(), event_loop.create_future());
    future.add_done_callback(move |_| handle.stop());
    future.set_result(()).unwrap();
    assert!(matches!(event_loop.run_forever(), RunEnd::Stopped));
}

/// R2: `stop` before `run_forever`: one turn that does not wait, with ready callbacks and due timers.
#[test]
fn stop_before_run_forever_runs_exactly_one_turn() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    count_turns(&event_loop, &log);
    event_loop.call_later(Duration::ZERO, log.event("due timer"));
    event_loop.call_later(ms(1), log.event("later timer"));
    event_loop.stop();
    assert!(matches!(event_loop.run_forever(), RunEnd::Stopped));
    log.expect(&["turn 1", "due timer"]);
    assert_eq!(event_loop.time(), Duration::ZERO);
}

/// R2: `stop` before a run counts once: the run after that goes on.
#[test]
fn a_stop_is_used_up_by_one_run() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    event_loop.stop();
    event_loop.stop();
    event_loop.run_forever();
    let handle = event_loop.handle();
    event_loop.call_later(ms(3), log.event("timer"));
    event_loop.call_later(ms(4), move || handle.stop());
    event_loop.run_forever();
    log.expect(&["timer"]);
}

/// R2: `run_once` uses a stop up as well, and tells.
#[test]
fn run_once_uses_a_stop_up_and_tells() {
    let event_loop = virtual_loop();
    event_loop.stop();
    assert!(event_loop.run_once(None).unwrap().stopped);
    assert!(!event_loop.run_once(None).unwrap().stopped);
}

/// R3: leftovers of a run are the first to run in the next one.
#[test]
fn leftover_callbacks_run_first_in_the_next_run() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let (handle, left) = (event_loop.handle(), log.event("leftover"));
    event_loop.call_soon(move || {
        handle.call_soon(left);
        handle.stop();
    });
    event_loop.run_forever();
    event_loop.call_soon(log.event("new"));
    let task = log.event("coroutine");
    event_loop
        .run_until_complete(async move { task() })
        .unwrap();
    log.expect(&["leftover", "new", "coroutine"]);
}

// ---- run_until_complete

/// R4, 2.0: a coroutine that returns at once takes two turns; what the second turn's callbacks queue
/// does not run.
#[test]
fn run_until_complete_of_a_coroutine_that_returns_at_once_takes_two_turns() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    count_turns(&event_loop, &log);
    assert_eq!(event_loop.run_until_complete(async { 7 }).unwrap(), 7);
    log.expect(&["turn 1", "turn 2"]);
}

/// R4: other callbacks of the second batch run, those queued behind the stop too.
#[test]
fn run_until_complete_finishes_the_turn_that_ends_it() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let (events, again) = (log.clone(), log.event("too late"));
    let coroutine = async move {
        events.push("step");
        let behind = events.event("behind the stop");
        // Runs in the second turn, and queues something for the third.
        callsoon::call_soon(move || {
            behind();
            callsoon::call_soon(again);
        });
    };
    event_loop.run_until_complete(coroutine).unwrap();
    log.expect(&["step", "behind the stop"]);
    turn(&event_loop);
    log.expect(&["too late"]);
}

/// R5, 2.0: a future that is done takes one turn.
#[test]
fn run_until_complete_of_a_done_future_takes_one_turn() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    count_turns(&event_loop, &log);
    let future = event_loop.create_future();
    future.set_result(3).unwrap();
    assert_eq!(event_loop.run_until_complete(&future).unwrap(), 3);
    log.expect(&["turn 1"]);
    assert_eq!(event_loop.run_until_complete(future.take()).unwrap(), 3);
    log.expect(&["turn 2"]);
}

/// R4, 2.0: every suspension adds a turn.
#[test]
fn run_until_complete_takes_a_turn_more_for_each_yield() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    count_turns(&event_loop, &log);
    let coroutine = async {
        yield_now().await;
        yield_now().await;
    };
    event_loop.run_until_complete(coroutine).unwrap();
    log.expect(&["turn 1", "turn 2", "turn 3", "turn 4"]);
}

/// R4: all that `run_until_complete` takes, and what comes out.
#[test]
fn run_until_complete_takes_coroutines_tasks_and_futures_by_value_and_by_reference() {
    #[derive(Debug, PartialEq)]
    struct NotClone(u32);
    let event_loop = virtual_loop();

    let coroutine = async { NotClone(1) };
    assert_eq!(
        event_loop.run_until_complete(coroutine).unwrap(),
        NotClone(1)
    );
    let task = event_loop.create_task(async { NotClone(2) });
    assert_eq!(event_loop.run_until_complete(task).unwrap(), NotClone(2));
    let task = event_loop.create_task(async { NotClone(3) });
    assert_eq!(
        event_loop.run_until_complete(task.take()).unwrap(),
        NotClone(3)
    );
    assert!(matches!(task.take_result(), Err(ResultError::Taken)));

    let task = event_loop.create_task(async { 4 });
    assert_eq!(event_loop.run_until_complete(&task).unwrap(), 4);
    assert_eq!(task.result().unwrap(), 4);
    let future = event_loop.create_future();
    event_loop.call_later(ms(1), {
        let future = future.clone();
        move || future.set_result(5).unwrap()
    });
    assert_eq!(event_loop.run_until_complete(&future).unwrap(), 5);
    assert_eq!(event_loop.run_until_complete(future.clone()).unwrap(), 5);
    assert_eq!(event_loop.run_until_complete(future).unwrap(), 5);
    let owned = event_loop.create_task(async { 6 }).take();
    assert_eq!(event_loop.run_until_complete(&owned).unwrap(), 6);
    assert_eq!(event_loop.run_until_complete(owned).unwrap(), 6);
}

/// R4: a `std::future::Future` of anybody's is a coroutine.
#[test]
fn run_until_complete_takes_any_future_of_the_ecosystem() {
    let event_loop = virtual_loop();
    let both = futures::future::join(async { 1 }, futures::future::ready("two"));
    assert_eq!(event_loop.run_until_complete(both).unwrap(), (1, "two"));
    let boxed: std::pin::Pin<Box<dyn Future<Output = u8>>> = Box::pin(async { 3 });
    assert_eq!(event_loop.run_until_complete(boxed).unwrap(), 3);
    assert_eq!(
        event_loop
            .run_until_complete(std::future::ready(4))
            .unwrap(),
        4
    );
}

/// R6: `stop` ends it early; the task stays pending, and a later run goes on with it.
#[test]
fn stop_ends_run_until_complete_early_and_leaves_the_task_pending() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let task = event_loop.create_task(async move {
        callsoon::sleep(ms(10)).await;
        events.push("went on");
        9
    });
    let handle = event_loop.handle();
    event_loop.call_later(ms(5), move || handle.stop());
    let stopped = event_loop.run_until_complete(&task);
    assert!(matches!(stopped, Err(RunError::Stopped)));
    assert_eq!(
        stopped.unwrap_err().to_string(),
        "event loop stopped before the future completed"
    );
    assert!(!task.done());
    assert_eq!(event_loop.all_tasks(), [task.handle()]);
    log.expect(&[]);
    assert_eq!(event_loop.run_until_complete(task).unwrap(), 9);
    log.expect(&["went on"]);
    assert_eq!(event_loop.time(), ms(10));
}

/// R6: a bare coroutine stays, too: the loop owns its task.
#[test]
fn a_coroutine_whose_run_was_stopped_goes_on_in_a_later_run() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let (events, handle) = (log.clone(), event_loop.handle());
    let stopped = event_loop.run_until_complete(async move {
        handle.stop();
        yield_now().await;
        events.push("went on");
    });
    assert!(matches!(stopped, Err(RunError::Stopped)));
    assert_eq!(event_loop.all_tasks().len(), 1);
    settle(&event_loop);
    log.expect(&["went on"]);
}

/// R6: `stop` in the very turn in which the task ends: it is done, so there is a result. After:
/// CPython, where the coroutine returns 5 and `run_until_complete` gives it.
#[test]
fn stop_in_the_turn_in_which_the_task_ends_gives_its_result() {
    let event_loop = virtual_loop();
    let handle = event_loop.handle();
    let result = event_loop.run_until_complete(async move {
        handle.stop();
        5
    });
    assert_eq!(result.unwrap(), 5);
}

/// R7: the stop callback of a run that was stopped as its task ended is queued by then, and stops the
/// next run after a turn, as in asyncio.
#[test]
fn a_run_that_was_stopped_as_its_task_ended_stops_the_next_run_after_a_turn() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async move { handle.stop() })
        .unwrap();
    let handle = event_loop.handle();
    event_loop.call_later(ms(1), log.event("timer"));
    event_loop.call_later(ms(1), move || handle.stop());
    event_loop.run_forever();
    log.expect(&[]);
    event_loop.run_forever();
    log.expect(&["timer"]);
}

/// R7: completing, later, what an earlier run waited for does not stop the run that is going on.
#[test]
fn late_completion_does_not_stop_a_later_run() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let future = event_loop.create_future::<()>();
    event_loop.stop();
    let stopped = event_loop.run_until_complete(&future);
    assert!(matches!(stopped, Err(RunError::Stopped)));

    count_turns(&event_loop, &log);
    future.set_result(()).unwrap();
    let handle = event_loop.handle();
    event_loop.call_later(Duration::ZERO, move || {
        handle.clone().call_soon(move || handle.stop());
    });
    event_loop.run_forever();
    log.expect(&["turn 1", "turn 2"]);
}

/// R7: nor after a run that ended in a deadlock.
#[test]
fn late_completion_after_a_deadlock_does_not_stop_a_later_run() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let future = event_loop.create_future::<()>();
    let deadlock = event_loop.run_until_complete(&future);
    assert!(matches!(deadlock, Err(RunError::Deadlock(_))));
    event_loop.call_soon(move || future.set_result(()).unwrap());
    event_loop.call_later(ms(1), log.event("timer"));
    assert!(matches!(event_loop.run_forever(), RunEnd::Idle(_)));
    log.expect(&["timer"]);
}

/// R4: what ends cancelled gives an error, whatever it was given as.
#[test]
fn run_until_complete_of_something_cancelled_is_an_error() {
    let event_loop = virtual_loop();
    let cancelled = || {
        let future = event_loop.create_future::<u8>();
        future.cancel_with("no longer needed");
        future
    };
    let never = || {
        let task = event_loop.create_task(std::future::pending::<u8>());
        task.cancel_with("no longer needed");
        task
    };
    let awaited = cancelled();
    let waiting = async move { awaited.await + 1 };
    for result in [
        event_loop.run_until_complete(cancelled()),
        event_loop.run_until_complete(&cancelled()),
        event_loop.run_until_complete(cancelled().take()),
        event_loop.run_until_complete(never()),
        event_loop.run_until_complete(&never()),
        event_loop.run_until_complete(waiting),
    ] {
        match result {
            Err(RunError::Cancelled(why)) => assert_eq!(why.message(), Some("no longer needed")),
            other => panic!("{other:?}"),
        }
    }
}

/// A result that was taken before is an error, whatever it is asked for through.
#[test]
fn run_until_complete_of_a_taken_result_is_an_error() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<u8>();
    future.set_result(1).unwrap();
    future.take_result().unwrap();
    for result in [
        event_loop.run_until_complete(future.clone()),
        event_loop.run_until_complete(&future),
        event_loop.run_until_complete(future.take()),
    ] {
        assert!(matches!(result, Err(RunError::Taken)));
    }
}

/// A panic of the task goes on in the caller, with its payload; the loop can run again.
#[test]
fn run_until_complete_goes_on_with_a_panic_of_the_task() {
    let event_loop = virtual_loop();
    let coroutine = async { panic!("a bug") };
    assert_eq!(
        panic_of(|| event_loop.run_until_complete::<_>(coroutine)),
        "a bug"
    );
    let task: Task<()> = event_loop.create_task(async { std::panic::panic_any(42) });
    let payload = catch_unwind(AssertUnwindSafe(|| event_loop.run_until_complete(task)));
    assert_eq!(payload.unwrap_err().downcast_ref(), Some(&42));
    assert!(!event_loop.is_running());
    assert_eq!(event_loop.run_until_complete(async { 1 }).unwrap(), 1);
}

/// A future of another loop is refused, with both places; that loop and this one go on.
#[test]
fn run_until_complete_of_another_loops_future_panics() {
    let (event_loop, other) = (virtual_loop(), virtual_loop());
    let future = other.create_future::<()>();
    let message = panic_of(|| event_loop.run_until_complete(&future));
    assert!(
        message.contains("belongs to another event loop"),
        "{message}"
    );
    assert!(
        message.contains(&future.created_at().to_string()),
        "{message}"
    );
    assert!(!event_loop.is_running());
    event_loop.run_until_complete(async {}).unwrap();
    future.set_result(()).unwrap();
    other.run_until_complete(&future).unwrap();
}

// ---- nested runs

/// R9: running the running loop again is refused, names the outer run, and leaves it untouched.
#[test]
fn a_nested_run_is_refused_and_names_the_outer_run() {
    let (event_loop, log) = (Rc::new(virtual_loop()), Log::new());
    let (inner, events) = (event_loop.clone(), log.clone());
    event_loop.call_soon(move || {
        let refused = [
            inner.run_once(None).unwrap_err().to_string(),
            inner.run_until_complete(async {}).unwrap_err().to_string(),
            panic_of(|| inner.run_forever()),
        ];
        for message in refused {
            assert!(message.contains("a loop inside a loop"), "{message}");
            events.push(message.rsplit("started at ").next().unwrap());
        }
        assert!(inner.is_running());
        assert_eq!(callsoon::get_running_loop(), inner.handle());
        inner.call_soon(events.event("the outer run goes on"));
    });
    let handle = event_loop.handle();
    event_loop.call_later(ms(1), move || handle.stop());
    event_loop.run_forever();
    let site = format!("{}:{}:16", file!(), line!() - 1);
    log.expect(&[&site, &site, &site, "the outer run goes on"]);
    assert!(!event_loop.is_running());
}

/// R9: so is running any other loop meanwhile; that loop is untouched as well. After: CPython's
/// `test_running_loop_within_a_loop`.
#[test]
fn running_another_loop_inside_a_running_loop_is_refused() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let other = Rc::new(virtual_loop());
    other.call_soon(log.event("other"));
    let (inner, events) = (other.clone(), log.clone());
    let _task = event_loop.create_task(async move {
        let refused = inner.run_until_complete(async {});
        assert!(matches!(refused, Err(RunError::AlreadyRunning(_))));
        assert!(inner.run_once(None).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| inner.run_forever())).is_err());
        assert!(!inner.is_running());
        yield_now().await;
        events.push("outer");
    });
    settle(&event_loop);
    log.expect(&["outer"]);
    assert!(other.all_tasks().is_empty());
    settle(&other);
    log.expect(&["other"]);
}

/// R9: what was to be run is dropped once when the run is refused.
#[test]
fn a_refused_run_drops_its_coroutine_once() {
    let (event_loop, drops) = (Rc::new(virtual_loop()), Drops::new());
    let (inner, guard) = (event_loop.clone(), drops.guard());
    let count = drops.clone();
    event_loop.call_soon(move || {
        let coroutine = async move { drop(guard) };
        assert!(inner.run_until_complete(coroutine).is_err());
        assert_eq!(count.count(), 1);
    });
    turn(&event_loop);
    assert_eq!(drops.count(), 1);
}

/// R9: two loops may take turns on one thread, one run after the other.
#[test]
fn loops_take_turns_on_one_thread() {
    let (a, b, log) = (virtual_loop(), virtual_loop(), Log::new());
    count_turns(&a, &log);
    let loud = log.event("b");
    b.call_soon(loud);
    turn(&a);
    turn(&b);
    turn(&a);
    log.expect(&["turn 1", "b", "turn 2"]);
}

/// R9: a loop may run in a `Drop` that another loop's end triggers, but not inside a running one.
#[test]
fn a_loop_inside_the_drops_of_a_closing_loop_inside_a_running_loop_is_refused() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    event_loop.call_soon(move || {
        let closing = virtual_loop();
        let events = events.clone();
        let guard = OnDrop::new(move || {
            let third = virtual_loop();
            events.push(matches!(
                third.run_once(Some(Duration::ZERO)),
                Err(RunError::AlreadyRunning(_))
            ));
        });
        closing.call_soon(move || drop(guard));
        drop(closing);
    });
    turn(&event_loop);
    log.expect(&["true"]);
}

/// `is_running` is true in a run and false between runs.
#[test]
fn is_running_tells_whether_it_runs() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let (handle, events) = (event_loop.handle(), log.clone());
    assert!(!event_loop.is_running());
    event_loop.call_soon(move || events.push(handle.is_running()));
    turn(&event_loop);
    assert!(!event_loop.is_running());
    log.expect(&["true"]);
}

// ---- close

/// R10: a running loop cannot be closed; the panic names the run, which goes on.
#[test]
fn close_panics_while_the_loop_runs() {
    let (event_loop, log) = (Rc::new(virtual_loop()), Log::new());
    let (inner, events) = (event_loop.clone(), log.clone());
    event_loop.call_soon(move || events.push(panic_of(|| inner.close())));
    event_loop.call_soon(log.event("goes on"));
    event_loop.run_once(None).unwrap();
    let site = format!("{}:{}:16", file!(), line!() - 1);
    let message = format!("cannot close the event loop that runs since {site}");
    log.expect(&[&message, "goes on"]);
    assert!(!event_loop.is_closed());
}

/// R10: closing is idempotent and irreversible.
#[test]
fn close_twice_is_close_once() {
    let event_loop = virtual_loop();
    assert!(!event_loop.is_closed());
    event_loop.close();
    event_loop.close();
    assert!(event_loop.is_closed());
    assert!(event_loop.handle().is_closed());
}

/// R11: ready callbacks and timers are dropped, not run.
#[test]
fn close_drops_callbacks_and_timers_without_running_them() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    for (name, delay) in [("timer", Some(ms(1))), ("due timer", Some(ms(0)))] {
        let guard = OnDrop::new(log.event(format!("{name} dropped")));
        event_loop.call_later(delay.unwrap(), move || drop(guard));
    }
    for name in ["first", "second"] {
        let guard = OnDrop::new(log.event(format!("{name} dropped")));
        event_loop.call_soon(move || {
            drop(guard);
            unreachable!("it is never called");
        });
    }
    event_loop.close();
    let events = log.take();
    assert_eq!(events[..2], ["first dropped", "second dropped"]);
    assert_eq!(events.len(), 4);
}

/// R14, DIFFERENCE: asyncio leaves pending tasks to the garbage collector; here their coroutines are
/// dropped when the loop is closed, in the order in which they were made, and each is reported.
#[test]
fn close_drops_pending_coroutines_and_reports_them() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    event_loop.set_exception_handler(move |_, context| {
        let name = context.task().unwrap().name();
        events.push(format!("{name}: {}", context.message()));
    });
    let tasks: Vec<_> = ["a", "b"]
        .map(|name| {
            let guard = OnDrop::new(log.event(format!("{name} dropped")));
            let coroutine = async move {
                let _guard = guard;
                std::future::pending::<()>().await;
            };
            event_loop.task(coroutine).name(name).spawn()
        })
        .into();
    turn(&event_loop);
    log.expect(&[]);
    event_loop.close();
    log.expect(&[
        "a dropped",
        "a: task was destroyed but it is pending",
        "b dropped",
        "b: task was destroyed but it is pending",
    ]);
    // R14: neither cancelled nor done.
    for task in &tasks {
        assert!(!task.done() && !task.cancelled());
    }
    assert!(event_loop.all_tasks().is_empty());
}

/// R12: after `close` whatever schedules panics, and says that the loop is closed and where it was
/// made; runs are refused.
#[test]
fn after_close_scheduling_panics_and_runs_are_refused() {
    let event_loop = virtual_loop();
    let handle = event_loop.handle();
    let done = event_loop.create_future::<()>();
    done.set_result(()).unwrap();
    event_loop.close();

    let panics = [
        panic_of(|| handle.call_soon(|| ())),
        panic_of(|| handle.call_later(ms(1), || ())),
        panic_of(|| handle.call_at(ms(1), || ())),
        panic_of(|| handle.create_task(async {})),
        panic_of(|| handle.create_try_task(async { Ok::<(), ()>(()) })),
        panic_of(|| handle.task(async {}).name("late").spawn()),
        panic_of(|| done.add_done_callback(|_| ())),
        panic_of(|| event_loop.run_forever()),
    ];
    for message in panics {
        assert!(message.contains("is closed"), "{message}");
        assert!(message.contains("running.rs"), "{message}");
    }
    assert!(matches!(event_loop.run_once(None), Err(RunError::Closed)));
    let refused = event_loop.run_until_complete(async {});
    assert_eq!(refused.unwrap_err().to_string(), "event loop is closed");
    let remote = handle.remote();
    assert!(remote.is_closed());
    assert!(remote.call_soon_threadsafe(|| ()).is_err());
}

/// R12: what does not schedule stays callable.
#[test]
fn after_close_stop_and_questions_stay_callable() {
    let event_loop = virtual_loop();
    event_loop.advance(ms(5));
    event_loop.close();
    event_loop.stop();
    assert!(event_loop.is_closed() && !event_loop.is_running());
    assert_eq!(event_loop.time(), ms(5));
    assert!(event_loop.all_tasks().is_empty());
    event_loop.set_debug(true);
    event_loop.clear_exception_handler();
    event_loop.remote().stop();
    let _future = event_loop.create_future::<()>();
}

/// R13: a future of a closed loop can be completed; with callbacks it is done, and then scheduling
/// them panics.
#[test]
fn completing_a_future_of_a_closed_loop() {
    let event_loop = virtual_loop();
    let bare = event_loop.create_future();
    let (observed, drops) = (event_loop.create_future(), Drops::new());
    let guard = drops.guard();
    observed.add_done_callback(move |_| drop(guard));
    event_loop.close();

    bare.set_result(1).unwrap();
    assert_eq!(bare.result().unwrap(), 1);
    let message = panic_of(|| observed.set_result(2));
    assert!(message.contains("is closed"), "{message}");
    assert_eq!(observed.result().unwrap(), 2);
    assert_eq!(drops.count(), 1);
    assert!(bare.set_result(3).is_err());

    let cancelled = event_loop.create_future::<()>();
    assert!(cancelled.cancel());
}

/// A `Drop` that runs while its thread unwinds may schedule on a closed loop: nothing happens, and
/// above all no second panic, which would abort.
#[test]
fn scheduling_on_a_closed_loop_while_panicking_does_not_abort() {
    let event_loop = virtual_loop();
    let (handle, log) = (event_loop.handle(), Log::new());
    event_loop.close();
    let drops = Drops::new();
    let (a, b, c) = (drops.guard(), drops.guard(), drops.guard());
    let events = log.clone();
    let message = panic_of(|| {
        let _last = OnDrop::new(move || {
            handle.call_soon(move || drop(a));
            events.push("call_soon");
            handle.call_later(ms(1), move || drop(b));
            events.push("call_later");
            drop(handle.create_task(async move { drop(c) }));
            events.push("create_task");
        });
        panic!("the only one");
    });
    assert_eq!(message, "the only one");
    log.expect(&["call_soon", "call_later", "create_task"]);
    assert_eq!(drops.count(), 3);
}

/// A loop that is being closed cannot be run from the `Drop`s that this triggers.
#[test]
fn a_closing_loop_cannot_be_run() {
    let (event_loop, log) = (Rc::new(virtual_loop()), Log::new());
    let (inner, events) = (event_loop.clone(), log.clone());
    let guard = OnDrop::new(move || {
        inner.call_soon(events.event("ran although it is closing"));
        events.push(format!("{:?}", inner.run_once(None)));
        inner.close();
    });
    event_loop.call_soon(move || drop(guard));
    event_loop.close();
    log.expect(&["Err(Closed)"]);
    assert!(event_loop.is_closed());
}

/// While coroutines and closures are dropped by `close`, the loop's API works in their `Drop`s; what
/// they schedule is dropped in turn.
#[test]
fn drops_during_close_may_use_the_loop() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let (handle, events, drops) = (event_loop.handle(), log.clone(), Drops::new());
    let (a, b) = (drops.guard(), drops.guard());
    let guard = OnDrop::new(move || {
        assert_eq!(callsoon::get_running_loop(), handle);
        assert!(!handle.is_closed());
        handle.call_soon(move || drop(a));
        let task = handle.create_task(async move { drop(b) });
        task.cancel();
        events.push("dropped");
    });
    event_loop.call_later(ms(1), move || drop(guard));
    drop(event_loop);
    log.expect(&["dropped"]);
    assert_eq!(drops.count(), 2);
    assert!(callsoon::try_get_running_loop().is_err());
}

/// R11: dropping the loop closes it.
#[test]
fn dropping_the_loop_closes_it() {
    let event_loop = virtual_loop();
    let handle = event_loop.handle();
    drop(event_loop);
    assert!(handle.is_closed());
}

// ---- how run_forever ends

/// On a virtual clock `run_forever` says whether it was stopped or is idle for good.
#[test]
fn run_forever_tells_stopped_from_idle() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    event_loop.call_later(ms(3), log.event("timer"));
    match event_loop.run_forever() {
        RunEnd::Idle(report) => assert!(report.tasks().is_empty()),
        RunEnd::Stopped => panic!("nobody stopped it"),
    }
    log.expect(&["timer"]);
    assert_eq!(event_loop.time(), ms(3));

    // The last thing that happens is a stop: that counts.
    let handle = event_loop.handle();
    event_loop.call_later(ms(3), move || handle.stop());
    assert!(matches!(event_loop.run_forever(), RunEnd::Stopped));
    // An idle loop can run again.
    assert!(matches!(event_loop.run_forever(), RunEnd::Idle(_)));
}

/// R8, DIFFERENCE: there is no KeyboardInterrupt that leaves a run in the middle of a batch; a panic
/// is reported, and the batch goes on.
#[test]
fn a_panic_does_not_leave_the_run() {
    let (event_loop, log, panics) = (virtual_loop(), Log::new(), Rc::new(Cell::new(0)));
    let count = panics.clone();
    event_loop.set_exception_handler(move |_, _| count.set(count.get() + 1));
    event_loop.call_soon(|| panic!("boom"));
    event_loop.call_soon(log.event("rest of the batch"));
    let handle = event_loop.handle();
    event_loop.call_later(ms(1), move || handle.stop());
    assert!(matches!(event_loop.run_forever(), RunEnd::Stopped));
    log.expect(&["rest of the batch"]);
    assert_eq!(panics.get(), 1);
}

/// `Debug` of a loop says what asyncio's `repr` says, and where it was made.
#[test]
fn debug_of_a_loop_tells_its_state() {
    let event_loop = virtual_loop();
    let text = Rc::new(RefCell::new(String::new()));
    let (handle, shown) = (event_loop.handle(), text.clone());
    event_loop.call_soon(move || *shown.borrow_mut() = format!("{handle:?}"));
    turn(&event_loop);
    let open = "<EventLoop running=true closed=false debug=false created at ";
    assert!(text.borrow().starts_with(open), "{}", text.borrow());
    event_loop.close();
    let closed = format!("{event_loop:?}");
    let expected = "<EventLoop running=false closed=true debug=false created at ";
    assert!(closed.starts_with(expected), "{closed}");
    assert!(closed.contains("running.rs:"), "{closed}");
}

/// `Default` is `new`.
#[test]
fn a_default_loop_is_a_new_loop() {
    let event_loop = EventLoop::default();
    assert_eq!(event_loop.clock(), callsoon::Clock::Monotonic);
    assert!(!event_loop.get_debug());
}
