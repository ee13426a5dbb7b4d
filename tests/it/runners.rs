//! `run` and `Runner`: a loop from start to clean end.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use callsoon::{
    Builder, Clock, EventLoop, LoopHandle, RunError, Runner, Task, create_future, create_task,
    current_task, get_running_loop, sleep, yield_now,
};

use crate::support::{Drops, Log, OnDrop, ms};

fn virtual_clock() -> Builder {
    EventLoop::builder().clock(Clock::Virtual)
}

fn virtual_runner() -> Runner {
    Runner::with(virtual_clock())
}

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

/// Waits to be cancelled, which it takes as a value, and logs that.
async fn catch_one_cancel(log: Log, name: &'static str) {
    let forever = create_future::<()>();
    let cancelled = forever.outcome().await.is_err();
    log.push(format!("{name} cancelled: {cancelled}"));
}

/// Has the reports of a loop logged.
fn log_reports(event_loop: &LoopHandle, log: &Log) {
    let log = log.clone();
    event_loop.set_exception_handler(move |_, context| log.push(context));
}

// ---- run

/// R15, R19: `run` makes a loop, runs the coroutine on it, and closes it.
#[test]
fn run_gives_the_result_and_closes_the_loop() {
    let (event_loop, result) = callsoon::run(async { (get_running_loop(), 5) });
    assert_eq!(result, 5);
    assert!(event_loop.is_closed());
    assert!(callsoon::try_get_running_loop().is_err());
}

/// R19: each `run` has a fresh loop.
#[test]
fn run_makes_a_fresh_loop_each_time() {
    let first = callsoon::run(async { get_running_loop() });
    let second = callsoon::run(async { get_running_loop() });
    assert!(first != second);
}

/// The coroutine may borrow from the caller, mutably too, and give something borrowed back.
#[test]
fn run_takes_a_coroutine_that_borrows_locals() {
    let (text, mut count) = ("borrowed".to_owned(), 0);
    let word: &str = callsoon::run(async {
        for _ in 0..3 {
            yield_now().await;
            count += 1;
        }
        &text[..3]
    });
    assert_eq!((word, count), ("bor", 3));
}

/// The coroutine may await tasks and be awaited for through the whole API, though it borrows.
#[test]
fn a_borrowing_main_coroutine_works_with_tasks_and_wakers() {
    let numbers = vec![1, 2, 3];
    let sum = callsoon::run(async {
        let mut sum = 0;
        for &n in &numbers {
            sum += create_task(async move { n * 10 }).await;
        }
        let (send, receive) = futures::channel::oneshot::channel();
        std::thread::spawn(move || send.send(100).unwrap());
        sum + receive.await.unwrap()
    });
    assert_eq!(sum, 160);
}

/// R15: when main is done, tasks that are left are cancelled and waited for.
#[test]
fn run_cancels_and_waits_for_the_tasks_left_behind() {
    let log = Log::new();
    callsoon::run(async {
        for name in ["a", "b"] {
            let log = log.clone();
            let _detached = create_task(async move {
                catch_one_cancel(log.clone(), name).await;
                sleep(ms(1)).await;
                log.push(format!("{name} has cleaned up"));
            });
        }
        yield_now().await;
        log.push("main is done");
    });
    log.expect(&[
        "main is done",
        "a cancelled: true",
        "b cancelled: true",
        "a has cleaned up",
        "b has cleaned up",
    ]);
}

/// R15, R4: a task made by main's last step still has its first step in the run's last turn; one that
/// is made in that turn never starts.
#[test]
fn a_task_made_in_the_last_turn_of_a_run_never_starts() {
    let (drops, log) = (Drops::new(), Log::new());
    let (guard, first, second) = (drops.guard(), log.event("first"), log.event("second"));
    callsoon::run(async {
        drop(create_task(async move { first() }));
        callsoon::call_soon(move || {
            drop(create_task(async move {
                let _guard = guard;
                second();
            }));
        });
    });
    log.expect(&["first"]);
    assert_eq!(drops.count(), 1);
}

/// A panic of main goes on in the caller; the tasks left behind are cancelled all the same.
#[test]
fn run_goes_on_with_a_panic_of_main_after_the_cleanup() {
    let log = Log::new();
    let message = panic_of(|| {
        callsoon::run(async {
            let _detached = create_task(catch_one_cancel(log.clone(), "background"));
            yield_now().await;
            panic!("a bug in main");
        })
    });
    assert_eq!(message, "a bug in main");
    log.expect(&["background cancelled: true"]);
}

/// `run` has nothing to give when main was cancelled: it panics and says where that came from.
#[test]
fn run_panics_when_main_is_cancelled() {
    let message = panic_of(|| {
        callsoon::run(async {
            current_task().unwrap().cancel_with("enough");
            std::future::pending::<()>().await;
        })
    });
    assert!(
        message.starts_with("run() has no result to give: cancelled at "),
        "{message}"
    );
    assert!(message.ends_with(": enough"), "{message}");
}

/// R19: `run` inside a running loop panics; the loop that runs goes on.
#[test]
fn run_inside_a_running_loop_panics_and_leaves_it_alone() {
    let (log, drops) = (Log::new(), Drops::new());
    let (events, guard) = (log.clone(), drops.guard());
    callsoon::run(async {
        let message = panic_of(|| callsoon::run(async move { drop(guard) }));
        assert!(message.contains("a loop inside a loop"), "{message}");
        assert!(message.contains("runners.rs:"), "{message}");
        yield_now().await;
        events.push("goes on");
    });
    assert_eq!(drops.count(), 1);
    log.expect(&["goes on"]);
}

/// R6: `stop()` before main is done: `run` has no result.
#[test]
fn run_panics_when_it_is_stopped() {
    let message = panic_of(|| {
        callsoon::run(async {
            get_running_loop().stop();
            yield_now().await;
        })
    });
    assert!(
        message.ends_with("event loop stopped before the future completed"),
        "{message}"
    );
}

/// R6: `stop()` in main's last step changes nothing: main is done. After: CPython.
#[test]
fn stop_in_mains_last_step_gives_the_result() {
    let result = callsoon::run(async {
        get_running_loop().stop();
        6
    });
    assert_eq!(result, 6);
}

/// R17, DIFFERENCE: asyncio hangs on a task that swallows the shutdown's cancel and keeps waiting;
/// here it is named after a deadline, and dropped.
#[test]
fn a_task_that_refuses_to_end_is_named_and_dropped() {
    let (log, drops) = (Log::new(), Drops::new());
    let mut runner = virtual_runner();
    let event_loop = runner.get_loop().unwrap();
    log_reports(&event_loop, &log);
    for name in ["mule", "donkey"] {
        let guard = drops.guard();
        let stubborn = async move {
            let _guard = guard;
            loop {
                let _ = create_future::<()>().outcome().await;
            }
        };
        drop(event_loop.task(stubborn).name(name).spawn());
    }
    let _good = event_loop.create_task(sleep(Duration::from_secs(3600)));
    runner.run(yield_now()).unwrap();
    let start = event_loop.time();
    runner.close();
    assert_eq!(event_loop.time() - start, Duration::from_secs(10));
    assert_eq!(drops.count(), 2);
    let reports = log.take();
    assert_eq!(
        reports[0],
        "tasks are not done although the runner cancelled them: 'mule', 'donkey'"
    );
    assert!(reports[1].starts_with("task was destroyed but it is pending"));
    assert_eq!(reports.len(), 3);
}

/// R17: how long that takes can be chosen; zero asks once and waits for nobody's clock.
#[test]
fn the_shutdown_timeout_is_how_long_close_waits() {
    for timeout in [ms(0), ms(1), Duration::from_secs(77)] {
        let mut runner = virtual_runner().shutdown_timeout(timeout);
        let event_loop = runner.get_loop().unwrap();
        event_loop.set_exception_handler(|_, _| ());
        drop(event_loop.create_task(async {
            loop {
                let _ = create_future::<()>().outcome().await;
            }
        }));
        runner.run(yield_now()).unwrap();
        runner.close();
        assert_eq!(event_loop.time(), timeout);
        assert!(event_loop.is_closed());
    }
}

/// R17: with no timeout at all a virtual clock still sees that nothing can happen any more.
#[test]
fn close_ends_on_a_virtual_clock_when_nothing_can_happen() {
    let log = Log::new();
    let mut runner = virtual_runner().shutdown_timeout(Duration::MAX);
    let event_loop = runner.get_loop().unwrap();
    log_reports(&event_loop, &log);
    let stubborn = async {
        loop {
            let _ = create_future::<()>().outcome().await;
        }
    };
    drop(event_loop.task(stubborn).name("mule").spawn());
    runner.run(yield_now()).unwrap();
    runner.close();
    assert!(log.take()[0].ends_with("'mule'"));
}

/// R16, DIFFERENCE: asyncio cancels once, and abandons tasks that are made while others clean up;
/// here those are cancelled as well, and the tasks that they make.
#[test]
fn tasks_made_during_the_cleanup_are_cancelled_too() {
    fn chain(log: Log, n: u32) -> Task<()> {
        create_task(async move {
            let _ = create_future::<()>().outcome().await;
            log.push(format!("{n} cancelled"));
            if n < 3 {
                let _detached = chain(log.clone(), n + 1);
                sleep(ms(1)).await;
                log.push(format!("{n} done"));
            }
        })
    }
    let log = Log::new();
    let mut runner = virtual_runner();
    log_reports(&runner.get_loop().unwrap(), &log);
    runner
        .run(async {
            let _detached = chain(log.clone(), 1);
            yield_now().await;
        })
        .unwrap();
    runner.close();
    let mut events = log.take();
    events.sort();
    // The third was cancelled, too, before its first step: it never ran.
    assert_eq!(events, ["1 cancelled", "1 done"]);
}

/// R16: a task that is made during the clean-up and has begun is cancelled at its await.
#[test]
fn a_task_made_by_a_callback_during_the_cleanup_is_cancelled() {
    let drops = Drops::new();
    let mut runner = virtual_runner();
    let event_loop = runner.get_loop().unwrap();
    event_loop.set_exception_handler(|_, context| unreachable!("{context}"));
    let guard = drops.guard();
    drop(event_loop.create_task(async move {
        let _ = create_future::<()>().outcome().await;
        // While this task cleans up, a timer makes another.
        callsoon::call_later(ms(1), move || {
            drop(create_task(async move {
                let _guard = guard;
                std::future::pending::<()>().await;
            }));
        });
        sleep(ms(10)).await;
    }));
    runner.run(yield_now()).unwrap();
    runner.close();
    assert_eq!(drops.count(), 1);
    assert_eq!(event_loop.time(), ms(10));
}

/// R15: `stop()` during the clean-up does not cut it short, whether called before or in it.
#[test]
fn stop_does_not_cut_the_cleanup_short() {
    let log = Log::new();
    let mut runner = virtual_runner();
    let event_loop = runner.get_loop().unwrap();
    let (events, stopper) = (log.clone(), event_loop.clone());
    drop(event_loop.create_task(async move {
        let _ = create_future::<()>().outcome().await;
        stopper.stop();
        sleep(ms(5)).await;
        stopper.stop();
        sleep(ms(5)).await;
        events.push("clean");
    }));
    runner.run(yield_now()).unwrap();
    event_loop.stop();
    runner.close();
    log.expect(&["clean"]);
    assert_eq!(event_loop.time(), ms(10));
}

/// R15: failures during the clean-up go to the exception handler.
#[test]
fn failures_during_the_cleanup_are_reported() {
    let log = Log::new();
    let mut runner = virtual_runner();
    let event_loop = runner.get_loop().unwrap();
    let events = log.clone();
    event_loop.set_exception_handler(move |_, context| {
        let panic = context.panic().map(|panic| panic.message().to_owned());
        let error = context.error::<&str>();
        events.push(format!("{}: {panic:?} {error:?}", context.message()));
    });
    drop(event_loop.create_task(async {
        let _ = create_future::<()>().outcome().await;
        panic!("no clean end");
    }));
    drop(event_loop.create_try_task(async {
        let _ = create_future::<()>().outcome().await;
        Err::<(), _>("failed to clean up")
    }));
    runner.run(yield_now()).unwrap();
    runner.close();
    log.expect(&[
        "task panic was never retrieved: Some(\"no clean end\") None",
        "task error was never retrieved: None Some(\"failed to clean up\")",
    ]);
}

// ---- Runner

/// R18: a runner makes its loop when it is first needed, and keeps it.
#[test]
fn a_runner_makes_its_loop_lazily_and_keeps_it() {
    let mut runner = virtual_runner();
    assert!(format!("{runner:?}").contains("event_loop: None"));
    let first = runner.run(async { get_running_loop() }).unwrap();
    let second = runner.run(async { get_running_loop() }).unwrap();
    assert!(first == second && first == runner.get_loop().unwrap());
    assert!(!first.is_closed());
}

/// R18: `get_loop` makes it, too; a runner that was never used closes nothing.
#[test]
fn get_loop_makes_the_loop() {
    let mut runner = virtual_runner();
    let event_loop = runner.get_loop().unwrap();
    assert_eq!(event_loop.clock(), Clock::Virtual);
    assert!(runner.run(async { get_running_loop() }).unwrap() == event_loop);
    drop(Runner::new());
}

/// R18: tasks that a run leaves behind go on in the next one.
#[test]
fn tasks_left_behind_go_on_in_the_next_run() {
    let (mut runner, log) = (virtual_runner(), Log::new());
    let events = log.clone();
    let count = async move {
        for n in 0..3 {
            events.push(n);
            yield_now().await;
        }
        "done"
    };
    let background = runner.run(async { (create_task(count),) }).unwrap().0;
    log.expect(&["0"]);
    assert_eq!(runner.run(background).unwrap(), "done");
    log.expect(&["1", "2"]);
}

/// R6: a stopped run drops its coroutine, for it may borrow: once, inside the loop, as its task.
#[test]
fn a_stopped_run_drops_its_coroutine_at_once() {
    let (mut runner, log) = (virtual_runner(), Log::new());
    let events = log.clone();
    let result = runner.run(async {
        let name = current_task().unwrap().name();
        let _guard = OnDrop::new(|| {
            let now = current_task().map(|task| task.name());
            events.push(now == Some(name));
        });
        get_running_loop().stop();
        yield_now().await;
        unreachable!("it was stopped");
    });
    assert!(matches!(result, Err::<(), _>(RunError::Stopped)));
    log.expect(&["true"]);
    assert!(runner.get_loop().unwrap().all_tasks().is_empty());
    assert_eq!(runner.run(async { 2 }).unwrap(), 2);
    log.expect(&[]);
}

/// Main cancelled from outside: an error, and the coroutine is dropped once.
#[test]
fn a_runner_gives_an_error_when_main_is_cancelled() {
    let (mut runner, drops) = (virtual_runner(), Drops::new());
    let result = runner.run(async {
        let (guard, me) = (drops.guard(), current_task().unwrap());
        callsoon::call_later(ms(5), move || assert!(me.cancel_with("time is up")));
        sleep(Duration::from_secs(60)).await;
        drop(guard);
    });
    match result {
        Err(RunError::Cancelled(why)) => assert_eq!(why.message(), Some("time is up")),
        other => panic!("{other:?}"),
    }
    assert_eq!(drops.count(), 1);
    assert_eq!(runner.get_loop().unwrap().time(), ms(5));
    assert_eq!(runner.run(async { 1 }).unwrap(), 1);
}

/// Main panics: the panic goes on, the coroutine is dropped once, the runner works on.
#[test]
fn a_runner_goes_on_with_a_panic_of_main_and_can_run_again() {
    let (mut runner, drops) = (virtual_runner(), Drops::new());
    let message = panic_of(|| {
        runner.run(async {
            let _guard = drops.guard();
            yield_now().await;
            panic!("a bug");
        })
    });
    assert_eq!(message, "a bug");
    assert_eq!(drops.count(), 1);
    assert_eq!(runner.run(async { 1 }).unwrap(), 1);
}

/// On every way out the coroutine is dropped exactly once.
#[test]
fn the_main_coroutine_is_dropped_exactly_once() {
    #[track_caller]
    fn check(end: impl FnOnce(&mut Runner, Drops)) {
        let drops = Drops::new();
        let mut runner = virtual_runner();
        end(&mut runner, drops.clone());
        assert_eq!(drops.count(), 1);
        drop(runner);
        assert_eq!(drops.count(), 1);
    }
    check(|runner, drops| {
        let guard = drops.guard();
        runner.run(async move { drop(guard) }).unwrap();
    });
    check(|runner, drops| {
        let guard = drops.guard();
        // Never started.
        runner.get_loop().unwrap().stop();
        let result = runner.run(async move {
            let _guard = guard;
            yield_now().await;
        });
        assert!(matches!(result, Err(RunError::Stopped)));
    });
    check(|runner, drops| {
        let guard = drops.guard();
        let result = runner.run(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        assert!(matches!(result, Err(RunError::Deadlock(_))));
    });
    check(|runner, drops| {
        let guard = drops.guard();
        runner.close();
        assert!(runner.run(async move { drop(guard) }).is_err());
    });
    check(|runner, drops| {
        let guard = drops.guard();
        let other = EventLoop::new();
        let (runner, result) = (RefCell::new(runner), Rc::new(Cell::new(None)));
        // Inside a running loop. The runner is borrowed, so it cannot move into a callback.
        let mut outer = virtual_runner();
        outer
            .run(async {
                let refused = runner.borrow_mut().run(async move { drop(guard) });
                result.set(Some(refused));
            })
            .unwrap();
        assert!(matches!(
            result.take(),
            Some(Err(RunError::AlreadyRunning(_)))
        ));
        drop(other);
    });
}

/// A run that can never end is a deadlock on a virtual clock, and main is in the report.
#[test]
fn a_deadlock_of_main_is_reported() {
    let mut runner = virtual_runner();
    let result = runner.run(async {
        current_task().unwrap().set_name("main");
        create_future::<()>().await;
    });
    match result {
        Err(RunError::Deadlock(report)) => {
            let waiting = &report.tasks()[0];
            assert_eq!(waiting.name(), "main");
            assert_eq!(waiting.awaits().len(), 1);
            assert!(waiting.created_at().file().ends_with("runners.rs"));
        }
        other => panic!("{other:?}"),
    }
}

/// R19: `Runner::run` inside a running loop is an error, and the runner works afterwards.
#[test]
fn runner_run_inside_a_running_loop_is_refused() {
    let mut runner = virtual_runner();
    let result = callsoon::run(async { runner.run(async { 1 }) });
    assert!(matches!(result, Err(RunError::AlreadyRunning(_))));
    assert_eq!(runner.run(async { 2 }).unwrap(), 2);
}

/// R19: a closed runner refuses; closing it again does nothing.
#[test]
fn a_closed_runner_refuses() {
    let mut runner = virtual_runner();
    let event_loop = runner.get_loop().unwrap();
    runner.close();
    runner.close();
    assert!(event_loop.is_closed());
    assert!(matches!(runner.run(async {}), Err(RunError::Closed)));
    assert!(matches!(runner.get_loop(), Err(RunError::Closed)));
    // One that never had a loop gets none any more.
    let mut runner = virtual_runner();
    runner.close();
    assert!(matches!(runner.run(async {}), Err(RunError::Closed)));
}

/// R15: dropping the runner closes it.
#[test]
fn dropping_a_runner_cleans_up() {
    let log = Log::new();
    let mut runner = virtual_runner();
    drop(
        runner
            .get_loop()
            .unwrap()
            .create_task(catch_one_cancel(log.clone(), "task")),
    );
    runner.run(yield_now()).unwrap();
    log.expect(&[]);
    drop(runner);
    log.expect(&["task cancelled: true"]);
}

/// A runner dropped inside another running loop cannot run its clean-up: its tasks are dropped.
#[test]
fn a_runner_dropped_inside_a_running_loop_drops_its_tasks() {
    let (log, drops) = (Log::new(), Drops::new());
    let mut runner = virtual_runner();
    let event_loop = runner.get_loop().unwrap();
    log_reports(&event_loop, &log);
    let guard = drops.guard();
    drop(event_loop.create_task(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    }));
    runner.run(yield_now()).unwrap();
    callsoon::run(async move { drop(runner) });
    assert_eq!(drops.count(), 1);
    assert!(log.take()[0].starts_with("task was destroyed but it is pending"));
    assert!(event_loop.is_closed());
}

/// `Runner::with` takes the builder's settings.
#[test]
fn a_runner_uses_its_builder() {
    let mut runner = Runner::with(virtual_clock().debug(true));
    let (debug, time) = runner
        .run(async {
            sleep(Duration::from_secs(3600)).await;
            let event_loop = get_running_loop();
            (event_loop.get_debug(), event_loop.time())
        })
        .unwrap();
    assert_eq!((debug, time), (true, Duration::from_secs(3600)));
    assert!(!Runner::default().get_loop().unwrap().get_debug());
}

/// R20: anything that can be awaited can be run.
#[test]
fn run_takes_anything_that_can_be_awaited() {
    let mut runner = virtual_runner();
    let event_loop = runner.get_loop().unwrap();
    let task = event_loop.create_task(async { 1 });
    assert_eq!(runner.run(&task).unwrap(), 1);
    assert_eq!(runner.run(task).unwrap(), 1);
    let future = event_loop.create_future();
    future.set_result(2).unwrap();
    assert_eq!(runner.run(future).unwrap(), 2);
    assert_eq!(callsoon::run(std::future::ready(3)), 3);
}

/// R4: the turns of a run: two for a coroutine that returns at once, as `run_until_complete` has.
#[test]
fn a_run_of_a_runner_takes_as_many_turns_as_run_until_complete() {
    fn count(handle: &LoopHandle, turns: Rc<Cell<u32>>) {
        turns.set(turns.get() + 1);
        let next = handle.clone();
        handle.call_soon(move || count(&next, turns));
    }
    let (mut runner, turns) = (virtual_runner(), Rc::new(Cell::new(0)));
    count(&runner.get_loop().unwrap(), turns.clone());
    runner.run(async {}).unwrap();
    assert_eq!(turns.replace(0), 3); // The first count is ours.
    runner.run(yield_now()).unwrap();
    assert_eq!(turns.get(), 3);
}
