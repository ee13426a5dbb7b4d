//! One turn after another: what runs in which turn, and in which order.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use callsoon::{EventLoop, LoopHandle, current_task, get_running_loop, try_get_running_loop};

use crate::support::{Log, ms, settle, turn, virtual_loop};

/// L3: `call_soon` is first in, first out, and each callback runs once.
#[test]
fn callbacks_run_first_in_first_out_and_once() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    for name in ["a", "b", "c", "d"] {
        event_loop.call_soon(log.event(name));
    }
    assert_eq!(turn(&event_loop), 4);
    log.expect(&["a", "b", "c", "d"]);
    assert_eq!(turn(&event_loop), 0);
    log.expect(&[]);
}

/// L3: tasks, callbacks and done-callbacks share one queue.
#[test]
fn tasks_callbacks_and_done_callbacks_share_one_queue() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let future = event_loop.create_future::<()>();
    let done = log.event("done-callback");
    future.add_done_callback(move |_| done());
    event_loop.call_soon(log.event("first"));
    let step = log.event("task");
    let _task = event_loop.create_task(async move { step() });
    future.set_result(()).unwrap();
    event_loop.call_soon(log.event("last"));
    assert_eq!(turn(&event_loop), 4);
    log.expect(&["first", "task", "done-callback", "last"]);
}

/// L1, L2: what a batch schedules waits for the next turn, also when it is scheduled first thing.
#[test]
fn what_a_turn_schedules_runs_in_the_next_turn() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let (handle, events) = (event_loop.handle(), log.clone());
    event_loop.call_soon(move || {
        events.push("a");
        let (again, next) = (handle.clone(), events.event("a's callback's callback"));
        let first = events.event("a's callback");
        handle.call_soon(move || {
            first();
            again.call_soon(next);
        });
    });
    event_loop.call_soon(log.event("b"));
    assert_eq!(turn(&event_loop), 2);
    log.expect(&["a", "b"]);
    assert_eq!(turn(&event_loop), 1);
    log.expect(&["a's callback"]);
    assert_eq!(turn(&event_loop), 1);
    log.expect(&["a's callback's callback"]);
    assert_eq!(turn(&event_loop), 0);
}

/// L1, L4: what is queued already, then what threads posted, then the timers that are due.
#[test]
fn posted_callbacks_run_in_front_of_due_timers() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let event = |name: &'static str| {
        let order = order.clone();
        move || order.lock().unwrap().push(name)
    };
    let event_loop = virtual_loop();
    event_loop.call_later(ms(1), event("timer"));
    event_loop.advance(ms(1));
    let (remote, posted) = (event_loop.remote(), event("posted"));
    std::thread::spawn(move || remote.call_soon_threadsafe(posted).unwrap())
        .join()
        .unwrap();
    event_loop.call_soon(event("queued"));
    assert_eq!(turn(&event_loop), 3);
    assert_eq!(*order.lock().unwrap(), ["queued", "posted", "timer"]);
}

/// L5: a delay of zero never runs inline, and runs behind every callback that was queued before the
/// turn began, also behind those that were queued later than the timer.
#[test]
fn call_later_zero_runs_behind_callbacks_that_were_queued_later() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    event_loop.call_soon(log.event("before"));
    event_loop.call_later(Duration::ZERO, log.event("timer"));
    event_loop.call_soon(log.event("after"));
    log.expect(&[]);
    assert_eq!(turn(&event_loop), 3);
    log.expect(&["before", "after", "timer"]);
}

/// L2, L5: a timer of zero that a callback arms fires in the next turn, not in this one.
#[test]
fn call_later_zero_from_a_callback_fires_in_the_next_turn() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let (handle, timer, soon) = (event_loop.handle(), log.event("timer"), log.event("soon"));
    event_loop.call_soon(move || {
        handle.call_later(Duration::ZERO, timer);
        handle.call_soon(soon);
    });
    assert_eq!(turn(&event_loop), 1);
    log.expect(&[]);
    assert_eq!(turn(&event_loop), 2);
    log.expect(&["soon", "timer"]);
}

/// L6: timers that are due together fire by ascending deadline.
#[test]
fn timers_due_together_fire_by_deadline() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    for n in [7, 3, 9, 1, 5] {
        event_loop.call_later(ms(n), log.event(n));
    }
    event_loop.advance(ms(10));
    assert_eq!(turn(&event_loop), 5);
    log.expect(&["1", "3", "5", "7", "9"]);
}

/// L6, DIFFERENCE: asyncio leaves the order of equal deadlines open (twelve timers on one instant
/// ran 0, 2, 6, 5, 11, ...); here they fire in the order in which they were scheduled.
#[test]
fn timers_with_equal_deadlines_fire_in_scheduling_order() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    for n in 0..100 {
        event_loop.call_at(ms(5), log.event(n));
    }
    event_loop.advance(ms(5));
    assert_eq!(turn(&event_loop), 100);
    let expected: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    assert_eq!(log.take(), expected);
}

/// L6: cancelled timers among them change nothing about the order of the others.
#[test]
fn cancelling_some_timers_keeps_the_order_of_the_others() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    // Enough for the heap to be purged.
    let timers: Vec<_> = (0..1000)
        .map(|n| event_loop.call_at(ms(5), log.event(n)))
        .collect();
    for (n, timer) in timers.iter().enumerate() {
        if n % 7 != 0 {
            timer.cancel();
        }
    }
    event_loop.advance(ms(5));
    turn(&event_loop);
    let expected: Vec<_> = (0..1000).step_by(7).map(|n| n.to_string()).collect();
    assert_eq!(log.take(), expected);
}

/// L7: with something ready the loop does not wait for its timers; with nothing ready it waits for
/// the nearest.
#[test]
fn the_clock_stands_still_while_something_is_ready() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    event_loop.call_later(ms(5), log.event("timer"));
    event_loop.call_soon(log.event("ready"));
    event_loop.run_once(None).unwrap();
    log.expect(&["ready"]);
    assert_eq!(event_loop.time(), Duration::ZERO);
    event_loop.run_once(None).unwrap();
    log.expect(&["timer"]);
    assert_eq!(event_loop.time(), ms(5));
}

/// L7: after `stop()` a turn does not wait.
#[test]
fn a_turn_does_not_wait_when_stop_was_requested() {
    let event_loop = virtual_loop();
    event_loop.call_later(ms(5), || ());
    event_loop.stop();
    let turn = event_loop.run_once(None).unwrap();
    assert_eq!((turn.ran, turn.stopped), (0, true));
    assert_eq!(event_loop.time(), Duration::ZERO);
}

/// L8, DIFFERENCE: asyncio may fire a timer one clock tick early, because its clock is coarse; here
/// the clock counts nanoseconds, and a timer is never early.
#[test]
fn a_timer_is_due_at_its_deadline_and_not_a_nanosecond_before() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    event_loop.call_at(Duration::from_nanos(1000), log.event("timer"));
    event_loop.advance(Duration::from_nanos(999));
    turn(&event_loop);
    log.expect(&[]);
    event_loop.advance(Duration::from_nanos(1));
    turn(&event_loop);
    log.expect(&["timer"]);
}

/// L9: `call_later(d)` is `call_at(time() + d)`: they share deadlines, and so one order.
#[test]
fn call_later_is_call_at_from_now() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    event_loop.advance(ms(100));
    let later = event_loop.call_later(ms(7), log.event("later"));
    let at = event_loop.call_at(event_loop.time() + ms(7), log.event("at"));
    assert_eq!(later.when(), ms(107));
    assert_eq!(at.when(), later.when());
    event_loop.run_once(None).unwrap();
    log.expect(&["later", "at"]);
    assert_eq!(event_loop.time(), ms(107));
}

/// L9: `time()` never goes back, on either clock.
#[test]
fn time_is_monotonic() {
    for event_loop in [EventLoop::new(), virtual_loop()] {
        let mut last = event_loop.time();
        for _ in 0..1000 {
            turn(&event_loop);
            let now = event_loop.time();
            assert!(now >= last);
            last = now;
        }
    }
}

/// L5, L9: a deadline that has passed is due in the next turn, before younger ones, never inline.
#[test]
fn call_at_in_the_past_fires_in_the_next_turn() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    event_loop.advance(ms(100));
    event_loop.call_at(ms(100), log.event("now"));
    event_loop.call_at(ms(40), log.event("past"));
    event_loop.call_at(Duration::ZERO, log.event("long past"));
    log.expect(&[]);
    assert_eq!(event_loop.next_deadline(), Some(Duration::ZERO));
    assert_eq!(turn(&event_loop), 3);
    log.expect(&["long past", "past", "now"]);
    assert_eq!(event_loop.time(), ms(100));
}

/// L12: a callback that re-queues itself for ever starves no timer, because each turn looks at the
/// timers.
#[test]
fn a_callback_that_requeues_itself_does_not_starve_timers() {
    fn again(handle: &LoopHandle, count: Rc<Cell<u32>>) {
        count.set(count.get() + 1);
        handle.advance(Duration::from_micros(1));
        let next = handle.clone();
        handle.call_soon(move || again(&next, count));
    }
    let (event_loop, count) = (virtual_loop(), Rc::new(Cell::new(0)));
    let handle = event_loop.handle();
    event_loop.call_later(ms(5), move || handle.stop());
    again(&event_loop, count.clone());
    event_loop.run_forever();
    // The first call is ours; the timer is due when 5,000 have been made.
    assert_eq!(count.get(), 5001);
}

/// L12: nor does a task that yields for ever, and it starves no callback and no other thread.
#[test]
fn a_task_that_yields_for_ever_starves_neither_timers_nor_threads() {
    let event_loop = virtual_loop();
    let handle = event_loop.handle();
    let _busy = event_loop.create_task(async move {
        loop {
            callsoon::yield_now().await;
            handle.advance(ms(1));
        }
    });
    let handle = event_loop.handle();
    event_loop.call_later(ms(5), move || handle.stop());
    event_loop.run_forever();

    let remote = event_loop.remote();
    let thread = std::thread::spawn(move || remote.stop());
    event_loop.run_forever();
    thread.join().unwrap();
}

/// L13: after a callback that took long, every timer that is overdue fires in one batch, behind the
/// callbacks that are queued for it.
#[test]
fn after_a_long_callback_overdue_timers_fire_in_one_batch() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    for n in [30, 10, 20, 200] {
        event_loop.call_later(ms(n), log.event(n));
    }
    let (handle, soon) = (event_loop.handle(), log.event("soon"));
    event_loop.call_soon(move || {
        handle.advance(ms(100));
        handle.call_soon(soon);
    });
    assert_eq!(turn(&event_loop), 1);
    log.expect(&[]);
    assert_eq!(turn(&event_loop), 4);
    log.expect(&["soon", "10", "20", "30"]);
}

/// L1: time that passes while a batch runs makes no timer due in that batch.
#[test]
fn a_timer_that_becomes_due_during_a_batch_waits_for_the_next() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    event_loop.call_later(ms(1), log.event("timer"));
    let handle = event_loop.handle();
    event_loop.call_soon(move || {
        handle.advance(ms(1));
    });
    event_loop.call_soon(log.event("second"));
    turn(&event_loop);
    log.expect(&["second"]);
    turn(&event_loop);
    log.expect(&["timer"]);
}

/// A delay too long for the clock never ends, does not overflow, and keeps nobody waiting.
#[test]
fn a_delay_of_duration_max_never_ends() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    event_loop.advance(ms(3));
    let timers = [
        event_loop.call_later(Duration::MAX, log.event("later")),
        event_loop.call_at(Duration::MAX, log.event("at")),
        event_loop.call_later(Duration::from_secs(u64::MAX), log.event("seconds")),
        event_loop.call_later(
            Duration::from_nanos(u64::MAX) - ms(2),
            log.event("overflow"),
        ),
    ];
    assert_eq!(event_loop.next_deadline(), None);
    assert!(event_loop.run_once(None).unwrap().idle);
    assert_eq!(event_loop.time(), ms(3));
    event_loop.advance(Duration::MAX);
    turn(&event_loop);
    log.expect(&[]);
    for timer in &timers {
        assert_eq!(timer.when(), Duration::from_nanos(u64::MAX));
        timer.cancel();
        assert!(timer.cancelled());
    }
}

/// The last instant before "never" is an instant like any other.
#[test]
fn the_longest_delay_that_ends_ends() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let longest = Duration::from_nanos(u64::MAX - 1);
    event_loop.call_later(Duration::MAX, log.event("never"));
    event_loop.call_later(longest, log.event("last"));
    event_loop.run_once(None).unwrap();
    log.expect(&["last"]);
    assert_eq!(event_loop.time(), longest);
}

/// L7: on the monotonic clock the longest delays neither overflow nor make the loop spin.
#[test]
fn a_delay_of_duration_max_works_on_the_monotonic_clock() {
    let event_loop = EventLoop::new();
    event_loop.call_later(Duration::MAX, || unreachable!("it never ends"));
    event_loop.call_later(Duration::from_secs(1 << 33), || unreachable!("272 years"));
    let handle = event_loop.handle();
    event_loop.call_later(ms(1), move || handle.stop());
    event_loop.run_forever();
    assert!(event_loop.time() >= ms(1));
}

/// L16: in a plain callback there is no current task, not even in one that a task scheduled.
#[test]
fn a_callback_has_no_current_task() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let tell = |log: &Log| {
        let log = log.clone();
        move || log.push(format!("{:?}", current_task().map(|task| task.name())))
    };
    event_loop.call_soon(tell(&log));
    let (now, soon, later) = (tell(&log), tell(&log), tell(&log));
    let task = event_loop.task(async move {
        now();
        callsoon::call_soon(soon);
        callsoon::call_later(Duration::ZERO, later);
    });
    task.name("me").spawn().add_done_callback({
        let tell = tell(&log);
        move |_| tell()
    });
    settle(&event_loop);
    log.expect(&["None", "Some(\"me\")", "None", "None", "None"]);
}

/// L17: the running loop is set in callbacks and coroutines, and nowhere else.
#[test]
fn the_running_loop_is_set_only_while_the_loop_runs() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    assert!(try_get_running_loop().is_err());
    let (events, handle) = (log.clone(), event_loop.handle());
    event_loop.call_soon(move || {
        assert_eq!(get_running_loop(), handle);
        events.push("callback");
    });
    let (events, handle) = (log.clone(), event_loop.handle());
    let _task = event_loop.create_task(async move {
        assert_eq!(get_running_loop(), handle);
        events.push("coroutine");
    });
    settle(&event_loop);
    log.expect(&["callback", "coroutine"]);
    assert!(try_get_running_loop().is_err());
}

/// L17: each thread has its own running loop.
#[test]
fn the_running_loop_is_per_thread() {
    let event_loop = virtual_loop();
    event_loop.call_soon(|| {
        let elsewhere = std::thread::spawn(|| {
            let none = try_get_running_loop().is_err();
            let ran = callsoon::run(async { 5 });
            (none, ran)
        });
        assert_eq!(elsewhere.join().unwrap(), (true, 5));
        assert!(try_get_running_loop().is_ok());
    });
    assert_eq!(turn(&event_loop), 1);
}

/// L17: outside a loop the free functions panic and say what to do.
#[test]
#[should_panic(expected = "no running event loop on this thread: call this from a callback")]
fn get_running_loop_panics_outside_a_loop() {
    get_running_loop();
}

/// L1, 2.0: `sleep(0)` goes on one turn later, in step with callbacks that re-queue themselves.
#[test]
fn yielding_takes_one_turn() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    for name in ["a", "b"] {
        let log = log.clone();
        let _task = event_loop.create_task(async move {
            for n in 0..3 {
                log.push(format!("{name}{n}"));
                callsoon::sleep(Duration::ZERO).await;
            }
        });
    }
    turn(&event_loop);
    log.expect(&["a0", "b0"]);
    turn(&event_loop);
    log.expect(&["a1", "b1"]);
    turn(&event_loop);
    log.expect(&["a2", "b2"]);
}

/// L6: any mix of timers fires by (deadline, order of scheduling); the table is the specification.
#[test]
fn timers_fire_by_deadline_then_by_order_of_scheduling() {
    #[track_caller]
    fn check(deadlines: &[u64]) {
        let (event_loop, log) = (virtual_loop(), Log::new());
        for (n, &when) in deadlines.iter().enumerate() {
            event_loop.call_at(ms(when), log.event(format!("{when}/{n}")));
        }
        let mut expected: Vec<_> = deadlines.iter().enumerate().collect();
        expected.sort_by_key(|&(n, when)| (when, n));
        let expected: Vec<_> = expected.iter().map(|(n, w)| format!("{w}/{n}")).collect();
        while event_loop.next_deadline().is_some() {
            event_loop.run_once(None).unwrap();
        }
        assert_eq!(log.take(), expected);
    }
    check(&[]);
    check(&[0, 0, 0]);
    check(&[3, 2, 1, 1, 2, 3]);
    check(&[5, 5, 1, 5, 1, 5, 0]);
    let mixed: Vec<_> = (0..500).map(|n| n * 7919 % 37).collect();
    check(&mixed);
}
