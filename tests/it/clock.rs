//! Time: the virtual clock's jumps, deadlocks it finds, and the monotonic clock's lower bounds.

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use callsoon::{
    Clock, EventLoop, FutureHandle, RunEnd, RunError, gather, sleep, sleep_until, yield_now,
};

use crate::support::{Log, ms, settle, turn, virtual_loop};

/// The virtual clock starts at zero, stands still while there is work, and jumps when there is none.
#[test]
fn the_virtual_clock_jumps_from_deadline_to_deadline() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    assert_eq!(event_loop.clock(), Clock::Virtual);
    assert_eq!(event_loop.time(), Duration::ZERO);
    for seconds in [3600, 1, 86_400] {
        let (handle, log) = (event_loop.handle(), log.clone());
        event_loop.call_later(Duration::from_secs(seconds), move || {
            log.push(handle.time().as_secs());
        });
    }
    let start = Instant::now();
    assert!(matches!(event_loop.run_forever(), RunEnd::Idle(_)));
    log.expect(&["1", "3600", "86400"]);
    assert!(start.elapsed() < Duration::from_secs(60));
}

/// Time does not pass by itself, however long a run takes.
#[test]
fn the_virtual_clock_stands_still_while_the_loop_is_busy() {
    let event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            for _ in 0..100 {
                yield_now().await;
            }
        })
        .unwrap();
    assert_eq!(event_loop.time(), Duration::ZERO);
}

/// Two loops have two clocks.
#[test]
fn virtual_clocks_are_independent() {
    let (a, b) = (virtual_loop(), virtual_loop());
    a.advance(ms(5));
    assert_eq!((a.time(), b.time()), (ms(5), Duration::ZERO));
}

/// `advance` moves the virtual clock, in callbacks too, and saturates; it cannot move a real one.
#[test]
fn advance_moves_the_virtual_clock_only() {
    let event_loop = virtual_loop();
    let handle = event_loop.handle();
    assert!(event_loop.advance(ms(2)));
    event_loop.call_soon(move || assert!(handle.advance(ms(3))));
    turn(&event_loop);
    assert_eq!(event_loop.time(), ms(5));
    assert!(event_loop.advance(Duration::MAX));
    assert!(event_loop.advance(Duration::MAX));
    assert_eq!(event_loop.time(), Duration::from_nanos(u64::MAX));
    assert!(!EventLoop::new().advance(ms(1)));
}

/// Sleeps add up exactly.
#[test]
fn sleeps_take_exactly_their_virtual_time() {
    let event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            sleep(Duration::from_nanos(1)).await;
            sleep(Duration::from_secs(5)).await;
            sleep_until(Duration::from_secs(7)).await;
            // In the past: no time passes.
            sleep_until(Duration::from_secs(1)).await;
        })
        .unwrap();
    assert_eq!(event_loop.time(), Duration::from_secs(7));
}

/// `run_once` with a limit moves the virtual clock to the next deadline or by the limit, whichever
/// comes first.
#[test]
fn run_once_moves_the_virtual_clock_by_its_limit_at_most() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    event_loop.call_later(ms(10), log.event("timer"));
    let early = event_loop.run_once(Some(ms(4))).unwrap();
    assert_eq!((early.ran, early.idle), (0, false));
    assert_eq!(event_loop.time(), ms(4));
    assert_eq!(event_loop.next_deadline(), Some(ms(6)));
    event_loop.run_once(Some(Duration::ZERO)).unwrap();
    assert_eq!(event_loop.time(), ms(4));
    log.expect(&[]);
    // The limit ends on the deadline: it is due.
    event_loop.run_once(Some(ms(6))).unwrap();
    log.expect(&["timer"]);
    assert_eq!(event_loop.time(), ms(10));
    event_loop.call_later(ms(1), log.event("other"));
    event_loop.run_once(Some(Duration::MAX)).unwrap();
    log.expect(&["other"]);
    assert_eq!(event_loop.time(), ms(11));
}

/// With no timer at all a limited wait passes on the virtual clock, and the turn says idle.
#[test]
fn run_once_on_an_idle_virtual_loop_lets_its_limit_pass() {
    let event_loop = virtual_loop();
    let idle = event_loop.run_once(Some(ms(4))).unwrap();
    assert_eq!((idle.ran, idle.idle, idle.stopped), (0, true, false));
    assert_eq!(event_loop.time(), ms(4));
    assert!(event_loop.run_once(None).unwrap().idle);
    assert_eq!(event_loop.time(), ms(4));
}

/// With something ready `run_once` neither waits nor moves the clock, whatever its limit.
#[test]
fn run_once_with_something_ready_does_not_wait() {
    let event_loop = virtual_loop();
    event_loop.call_later(ms(5), || ());
    for limit in [None, Some(Duration::ZERO), Some(ms(100))] {
        event_loop.call_soon(|| ());
        assert_eq!(event_loop.run_once(limit).unwrap().ran, 1);
        assert_eq!(event_loop.time(), Duration::ZERO);
    }
}

// ---- deadlocks

/// DIFFERENCE: asyncio would wait for ever; on a virtual clock a loop with nothing left to wait for
/// says who waits, and for what.
#[test]
fn a_deadlock_names_tasks_sites_and_what_they_await() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<()>();
    let reader = event_loop.task(future.clone()).name("reader").spawn();
    let (reader_at, handle) = (reader.created_at(), reader.handle());
    let join = event_loop.task(reader).name("joiner").spawn();
    let foreign = event_loop
        .task(std::future::pending::<()>())
        .name("foreign");
    let foreign = foreign.spawn();
    let error = event_loop.run_until_complete(&join).unwrap_err();
    let RunError::Deadlock(report) = &error else {
        panic!("{error:?}");
    };

    let names: Vec<_> = report.tasks().iter().map(|task| task.name()).collect();
    assert_eq!(names, ["reader", "joiner", "foreign"]);
    let [first, second, third] = report.tasks() else {
        unreachable!("three names");
    };
    assert_eq!(first.created_at(), reader_at);
    let on_future = format!("<Future pending created at {}>", future.created_at());
    let on_reader = format!("<Task pending name='reader' created at {reader_at}>");
    assert_eq!(first.awaits(), [on_future.as_str()]);
    assert_eq!(second.awaits(), [on_reader.as_str()]);
    assert!(third.awaits().is_empty());
    assert_eq!(
        error.to_string(),
        format!(
            "deadlock: nothing is left that could happen, and 3 tasks wait\n  \
             'reader' created at {reader_at} waits for {on_future}\n  \
             'joiner' created at {} waits for {on_reader}\n  \
             'foreign' created at {} waits for something that is not callsoon's",
            join.created_at(),
            foreign.created_at(),
        )
    );
    // They still wait, and can go on.
    assert!(!handle.done() && !join.done());
    future.set_result(()).unwrap();
    event_loop.run_until_complete(join).unwrap();
}

/// A task may wait for several things.
#[test]
fn a_deadlock_lists_all_that_a_task_awaits() {
    let event_loop = virtual_loop();
    let (a, b) = (
        event_loop.create_future::<()>(),
        event_loop.create_future::<u8>(),
    );
    let sites = [a.created_at(), b.created_at()];
    let both = async move {
        futures::join!(a, b);
    };
    match event_loop.run_until_complete(both) {
        Err(RunError::Deadlock(report)) => {
            let awaits = sites.map(|site| format!("<Future pending created at {site}>"));
            assert_eq!(report.tasks()[0].awaits(), awaits);
            assert!(report.to_string().contains(&awaits.join(" and ")));
        }
        other => panic!("{other:?}"),
    }
}

/// DIFFERENCE: of a run that waits for something that is no task, the report says what that was.
#[test]
fn a_deadlock_names_what_the_run_waited_for() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<u32>();
    let gathered = gather([future.clone()]);
    let kinds = [
        (FutureHandle::from(&future), "Future"),
        (FutureHandle::from(&gathered), "Gather"),
    ];
    for (waited_for, kind) in kinds {
        let site = waited_for.created_at();
        let error = event_loop.run_until_complete(waited_for).unwrap_err();
        let text = error.to_string();
        let RunError::Deadlock(report) = error else {
            panic!("{text}");
        };
        let expected = report.waited_for().unwrap();
        let start = format!("<{kind} pending created at {site}");
        assert!(expected.starts_with(&start), "{expected}");
        assert_eq!(
            text,
            format!(
                "deadlock: nothing is left that could happen, and no task waits\n  \
                 the run waits for {expected}"
            )
        );
    }
}

/// DIFFERENCE: a task is in the list, and named once, unless the list ends before it.
#[test]
fn a_deadlock_names_the_task_of_the_run_once() {
    let event_loop = virtual_loop();
    let first = event_loop.task(std::future::pending::<()>()).name("first");
    let first = first.spawn();
    let error = event_loop.run_until_complete(&first).unwrap_err();
    assert_eq!(error.to_string().matches("'first'").count(), 1, "{error}");
    for _ in 0..100 {
        event_loop.create_task(std::future::pending::<()>());
    }
    let last = event_loop.task(std::future::pending::<()>()).name("last");
    let error = event_loop.run_until_complete(last.spawn()).unwrap_err();
    let text = error.to_string();
    let RunError::Deadlock(report) = error else {
        panic!("{text}");
    };
    let waited_for = report.waited_for().unwrap();
    assert!(waited_for.starts_with("<Task pending name='last' created at "));
    assert!(
        text.ends_with(&format!("\n  and 2 more\n  the run waits for {waited_for}")),
        "{text}"
    );
    // Nobody waits for anything in particular here.
    let RunEnd::Idle(report) = event_loop.run_forever() else {
        panic!("nobody stopped it");
    };
    assert_eq!(report.waited_for(), None);
}

/// DIFFERENCE: what `unwrap()` prints of a deadlock is the report, and `{:#?}` prints all there is.
#[test]
fn debug_of_a_deadlock_is_the_report() {
    let event_loop = virtual_loop();
    let task = event_loop.task(std::future::pending::<()>()).name("only");
    let error = event_loop.run_until_complete(task.spawn()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("and 1 task waits\n  'only' created at "));
    assert_eq!(format!("{error:?}"), text);
    let RunError::Deadlock(report) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(format!("{report:?}"), text);
    let end = RunEnd::Idle(report.clone());
    assert_eq!(format!("{end:?}"), format!("Idle({text})"));
    for everything in [format!("{report:#?}"), format!("{error:#?}")] {
        assert!(everything.contains("snapshot: Snapshot {"), "{everything}");
        assert!(everything.contains("name: \"only\""), "{everything}");
    }
    assert!(format!("{error:#?}").starts_with("Deadlock(\n"));
}

/// DIFFERENCE: a report of very many is cut where it is printed, and nowhere else.
#[test]
fn a_long_report_prints_its_first_hundred_tasks() {
    let event_loop = virtual_loop();
    for n in 1..=250 {
        let task = event_loop.task(std::future::pending::<()>());
        task.name(format!("waiter {n}")).spawn();
    }
    let RunEnd::Idle(report) = event_loop.run_forever() else {
        panic!("nobody stopped it");
    };
    let text = report.to_string();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].ends_with("and 250 tasks wait"), "{text}");
    assert_eq!(lines.len(), 1 + 100 + 1);
    assert!(lines[100].contains("'waiter 100'"), "{text}");
    assert_eq!(lines[101], "  and 150 more");
    assert_eq!(report.tasks().len(), 250);
    assert_eq!(report.snapshot().tasks().len(), 250);
}

/// DIFFERENCE: so is what one task waits for.
#[test]
fn a_task_of_a_report_prints_the_first_twenty_that_it_awaits() {
    let event_loop = virtual_loop();
    let futures: Vec<_> = (0..50).map(|_| event_loop.create_future::<()>()).collect();
    event_loop.create_task(futures::future::join_all(futures));
    let RunEnd::Idle(report) = event_loop.run_forever() else {
        panic!("nobody stopped it");
    };
    let text = report.to_string();
    assert_eq!(text.matches("<Future pending").count(), 20, "{text}");
    assert!(text.ends_with("> and 30 more"), "{text}");
    assert_eq!(report.tasks()[0].awaits().len(), 50);
}

/// `run_forever` on an idle loop: the report may be empty, or list tasks.
#[test]
fn run_forever_on_an_idle_loop_reports_who_waits() {
    let event_loop = virtual_loop();
    match event_loop.run_forever() {
        RunEnd::Idle(report) => assert_eq!(
            report.to_string(),
            "deadlock: nothing is left that could happen, and no task waits"
        ),
        RunEnd::Stopped => panic!("nobody stopped it"),
    }
    let waits = event_loop.create_future::<()>();
    let task = event_loop.task(waits).name("only").spawn();
    match event_loop.run_forever() {
        RunEnd::Idle(report) => {
            let text = report.to_string();
            assert!(
                text.contains("and 1 task waits\n  'only' created at "),
                "{text}"
            );
        }
        RunEnd::Stopped => panic!("nobody stopped it"),
    }
    assert!(!task.done());
}

/// A timer that is far away is something that can happen; one that never ends is not.
#[test]
fn a_pending_timer_is_no_deadlock() {
    let event_loop = virtual_loop();
    let year = Duration::from_secs(365 * 86_400);
    event_loop.run_until_complete(sleep(year)).unwrap();
    assert_eq!(event_loop.time(), year);
    let never = event_loop.run_until_complete(sleep(Duration::MAX));
    assert!(matches!(never, Err(RunError::Deadlock(_))));
}

/// DIFFERENCE 11: outstanding work that a thread has announced is no deadlock, and timers do not run
/// ahead of it.
#[test]
fn a_loop_waits_for_work_that_was_announced() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let future = event_loop.create_future::<u32>();
    let waiting = future.clone();
    let events = log.clone();
    event_loop.call_later(ms(5), log.event("timer"));
    let (remote, ready) = (event_loop.remote(), Arc::new(Barrier::new(2)));
    let expected = remote.expect_work();
    let (start, stop) = (ready.clone(), event_loop.remote());
    let thread = std::thread::spawn(move || {
        start.wait();
        stop.stop();
        drop(expected);
    });
    let _task = event_loop.create_task(async move {
        events.push("task waits");
        waiting.await
    });
    settle(&event_loop);
    ready.wait();
    assert!(matches!(event_loop.run_forever(), RunEnd::Stopped));
    // Time stood still until the thread had posted.
    log.expect(&["task waits"]);
    assert_eq!(event_loop.time(), Duration::ZERO);
    thread.join().unwrap();
    assert!(matches!(event_loop.run_forever(), RunEnd::Idle(_)));
    log.expect(&["timer"]);
}

/// The last guard that is dropped, with nothing posted, lets the loop go on: here, to its deadline.
#[test]
fn dropping_the_last_expectation_wakes_the_loop() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    event_loop.call_later(ms(5), log.event("timer"));
    let first = event_loop.remote().expect_work();
    let second = first.clone();
    let thread = std::thread::spawn(move || drop(first));
    let other = std::thread::spawn(move || drop(second));
    assert!(matches!(event_loop.run_forever(), RunEnd::Idle(_)));
    log.expect(&["timer"]);
    thread.join().unwrap();
    other.join().unwrap();
}

/// What was posted before the guard was dropped is never taken for a deadlock.
#[test]
fn work_posted_before_the_guard_is_dropped_is_never_missed() {
    for _ in 0..200 {
        let event_loop = virtual_loop();
        let remote = event_loop.remote();
        let expected = remote.expect_work();
        let thread = std::thread::spawn(move || {
            remote.stop();
            drop(expected);
        });
        assert!(matches!(event_loop.run_forever(), RunEnd::Stopped));
        thread.join().unwrap();
    }
}

/// With work announced, a limited turn waits in real time for no longer than its limit, and the
/// virtual clock does not move.
#[test]
fn run_once_waits_for_announced_work_no_longer_than_its_limit() {
    let event_loop = virtual_loop();
    event_loop.call_later(ms(1), || unreachable!("time stands still"));
    let expected = event_loop.remote().expect_work();
    let start = Instant::now();
    let waited = event_loop.run_once(Some(ms(5))).unwrap();
    assert!(start.elapsed() >= ms(5));
    assert_eq!((waited.ran, waited.idle), (0, false));
    assert_eq!(event_loop.time(), Duration::ZERO);
    drop(expected);
}

// ---- the monotonic clock

/// L8: a timer on the monotonic clock is never early, by the loop's clock or by the system's.
#[test]
fn a_monotonic_timer_is_never_early() {
    for micros in [1, 10, 500, 1000, 3000] {
        let event_loop = EventLoop::new();
        let delay = Duration::from_micros(micros);
        let start = Instant::now();
        let (handle, before) = (event_loop.handle(), event_loop.time());
        event_loop.call_later(delay, move || handle.stop());
        event_loop.run_forever();
        assert!(event_loop.time() - before >= delay);
        assert!(start.elapsed() >= delay);
    }
}

/// A monotonic timer is about in time, too: the best of many is.
#[test]
fn a_monotonic_timer_is_about_in_time() {
    let event_loop = EventLoop::new();
    let late = (0..20).map(|_| {
        let start = event_loop.time();
        event_loop.run_until_complete(sleep(ms(1))).unwrap();
        event_loop.time() - start - ms(1)
    });
    let best = late.min().unwrap();
    assert!(best < ms(20), "{best:?} late at best");
}

/// On the monotonic clock time passes while callbacks run.
#[test]
fn monotonic_time_passes_in_callbacks() {
    let event_loop = EventLoop::new();
    assert_eq!(event_loop.clock(), Clock::Monotonic);
    let handle = event_loop.handle();
    event_loop.call_soon(move || {
        let before = handle.time();
        while handle.time() == before {
            std::hint::spin_loop();
        }
    });
    turn(&event_loop);
}
