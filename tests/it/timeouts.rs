//! `timeout`, `timeout_at` and `Timeout`: work that has until a deadline.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;

use callsoon::{
    CancelOrigin, EventLoop, RunError, Timeout, TimeoutError, call_later, catch_cancel,
    create_future, create_task, current_task, get_running_loop, sleep, timeout, timeout_at,
    yield_now,
};
use futures::channel::oneshot;
use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt};

use crate::support::{Drops, Log, OnDrop, ms, settle, turn, turns_of, virtual_loop};

// ---- the deadline

/// O1: on expiry the work is asked to stop once; the error comes out, and the count is back.
#[test]
fn expiry_asks_once_and_takes_its_request_back() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let result = event_loop.run_until_complete(async move {
        let me = current_task().unwrap();
        let result = timeout(ms(10), async {
            if let Err(why) = catch_cancel(sleep(ms(90))).await {
                events.push(format_args!("{:?} {}", why.origin(), me.cancelling()));
                why.reraise().await
            }
        });
        (result.await, me.cancelling())
    });
    assert_eq!(result.unwrap(), (Err(TimeoutError), 0));
    log.expect(&["Requested 1"]);
    assert_eq!(event_loop.time(), ms(10));
}

/// O1: work that is done in time gives its result, and leaves no alarm behind.
#[test]
fn work_done_in_time_leaves_no_alarm() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(timeout(ms(10), async {
        yield_now().await;
        7
    }));
    settle(&event_loop);
    assert_eq!(task.take_result().unwrap(), Ok(7));
    assert_eq!(event_loop.next_deadline(), None);
}

/// O3: a delay of zero spares work that does not suspend.
#[test]
fn zero_delay_spares_work_that_does_not_suspend() {
    let event_loop = virtual_loop();
    let (turns, task) = turns_of(&event_loop, async {
        let limit = Timeout::new(ms(0));
        let result = limit.run(async { 5 }).await;
        (result, limit.expired())
    });
    assert_eq!((turns, task.take_result().unwrap()), (0, (Ok(5), false)));
}

/// O3, and table 2.0: a delay of zero stops a `sleep(0)` one turn later.
#[test]
fn zero_delay_stops_a_yield_in_one_turn() {
    let (turns, task) = turns_of(&virtual_loop(), timeout(ms(0), yield_now()));
    assert_eq!((turns, task.take_result().unwrap()), (1, Err(TimeoutError)));
}

/// O3, and table 2.0: and what waits for a future two turns later.
#[test]
fn zero_delay_stops_a_wait_in_two_turns() {
    let event_loop = virtual_loop();
    let never = event_loop.create_future::<()>();
    let (turns, task) = turns_of(&event_loop, timeout(ms(0), never));
    assert_eq!((turns, task.take_result().unwrap()), (2, Err(TimeoutError)));
}

/// O3: a deadline in the past is like a delay of zero.
#[test]
fn past_deadline_is_delivered_in_the_next_turn() {
    let event_loop = virtual_loop();
    event_loop.advance(ms(50));
    let (turns, task) = turns_of(&event_loop, timeout_at(ms(20), yield_now()));
    assert_eq!((turns, task.take_result().unwrap()), (1, Err(TimeoutError)));
}

/// O4: a deadline that passes while the work computes does not stop a `sleep(0)` right after.
#[test]
fn deadline_that_passes_in_a_block_spares_the_yield_after_it() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(async {
        let limit = Timeout::new(ms(10));
        let work = limit.run(async {
            get_running_loop().advance(ms(20));
            yield_now().await;
        });
        (work.await, limit.expired())
    });
    assert_eq!(result.unwrap(), (Ok(()), false));
}

/// O8: result and deadline become due in the same turn: it is the deadline that counts, whichever
/// timer is the earlier.
#[test]
fn deadline_in_the_turn_of_the_result_counts() {
    for (length, delay) in [(5, 9), (9, 5)] {
        let event_loop = virtual_loop();
        let result = event_loop.run_until_complete(timeout(ms(delay), async move {
            get_running_loop().call_soon(|| {
                get_running_loop().advance(ms(50));
            });
            sleep(ms(length)).await;
        }));
        assert_eq!(result.unwrap(), Err(TimeoutError));
    }
}

/// O8: a result that came a turn before the deadline is in time.
#[test]
fn result_a_turn_before_the_deadline_is_in_time() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(timeout(ms(9), async {
        let event_loop = get_running_loop();
        event_loop.call_at(ms(5), || {
            get_running_loop().advance(ms(50));
        });
        sleep(ms(5)).await;
    }));
    assert_eq!(result.unwrap(), Ok(()));
}

/// O8: the alarm went off first, and the result that came in the same turn is lost.
#[test]
fn result_behind_the_alarm_is_lost() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<u8>();
    let task = event_loop.create_task(timeout(ms(10), (&future).into_future()));
    turn(&event_loop);
    let result = future.clone();
    event_loop.call_at(ms(10), move || assert!(result.set_result(1).is_err()));
    assert_eq!(
        event_loop.run_until_complete(task).unwrap(),
        Err(TimeoutError)
    );
    assert!(future.cancelled());
}

/// O8: the result came first, and the alarm in the same turn: the work is not resumed with it.
#[test]
fn alarm_behind_the_result_still_stops_the_work() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<u8>();
    let result = future.clone();
    event_loop.call_at(ms(10), move || result.set_result(1).unwrap());
    let task = event_loop.create_task(timeout(ms(10), (&future).into_future()));
    assert_eq!(
        event_loop.run_until_complete(task).unwrap(),
        Err(TimeoutError)
    );
    assert_eq!(future.result().unwrap(), 1);
}

/// No deadline at all.
#[test]
fn none_is_for_ever() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(timeout(None, sleep(ms(3_600_000))));
    assert_eq!(result.unwrap(), Ok(()));
}

// ---- cancelled from outside

/// O2: a cancel from outside in the turn of the deadline wins, in front of the alarm and behind it.
#[test]
fn outside_cancel_in_the_turn_of_the_deadline_wins_in_both_orders() {
    for cancel_first in [true, false] {
        let event_loop = virtual_loop();
        let task = event_loop.create_task(async move {
            let me = current_task().unwrap();
            let cancel = move || {
                me.cancel();
            };
            let get_loop = get_running_loop();
            let timed = |cancel: Option<Box<dyn FnOnce()>>| async {
                timeout(ms(10), async {
                    cancel.map(|cancel| get_loop.call_at(ms(10), cancel));
                    sleep(ms(90)).await;
                })
                .await
            };
            if cancel_first {
                get_loop.call_at(ms(10), cancel);
                timed(None).await
            } else {
                timed(Some(Box::new(cancel))).await
            }
        });
        let handle = task.handle();
        assert!(event_loop.run_until_complete(task).is_err());
        assert_eq!((handle.cancelled(), handle.cancelling()), (true, 1));
    }
}

/// O2: so does one that comes while the work is cleaning up.
#[test]
fn outside_cancel_during_the_clean_up_wins() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let task = event_loop.create_task(timeout(ms(10), async move {
        let why = catch_cancel(sleep(ms(90))).await.unwrap_err();
        let interrupted = catch_cancel(sleep(ms(50))).await;
        let count = current_task().unwrap().cancelling();
        events.push(format_args!("{} {count}", interrupted.is_err()));
        why.reraise().await
    }));
    let handle = task.handle();
    let outside = handle.clone();
    event_loop.call_at(ms(20), move || {
        outside.cancel();
    });
    let ended: Result<Result<(), TimeoutError>, _> = event_loop.run_until_complete(task);
    assert!(ended.is_err());
    log.expect(&["true 2"]);
    assert_eq!(handle.cancelling(), 1);
}

/// A cancel from outside, long before the deadline, goes through, and takes the alarm with it.
#[test]
fn outside_cancel_passes_through_and_disarms() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(timeout(ms(10), sleep(ms(90))));
    turn(&event_loop);
    task.cancel();
    settle(&event_loop);
    assert!(task.cancelled());
    assert_eq!(event_loop.next_deadline(), None);
}

/// C11: work that cancels its own task and returns is in time; the next await raises.
#[test]
fn self_cancel_followed_by_a_result_is_raised_behind_the_timeout() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let task = event_loop.create_task(async move {
        let me = current_task().unwrap();
        let result = timeout(ms(10), async { me.cancel() }).await;
        events.push(format_args!("{result:?} {}", me.cancelling()));
        yield_now().await;
        events.push("not reached");
    });
    assert!(event_loop.run_until_complete(task).is_err());
    log.expect(&["Ok(true) 1"]);
}

/// C21: what is left of a cancel that was declined long ago does not disturb a timeout.
#[test]
fn residue_of_a_declined_cancel_does_not_count() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        assert!(catch_cancel(sleep(ms(90))).await.is_err());
        let result = timeout(ms(10), sleep(ms(90))).await;
        (result, current_task().unwrap().cancelling())
    });
    let handle = task.handle();
    event_loop.call_at(ms(1), move || {
        handle.cancel();
    });
    let result = event_loop.run_until_complete(task);
    assert_eq!(result.unwrap(), (Err(TimeoutError), 1));
}

// ---- what the work makes of it

/// O5: work that declines and returns has succeeded; the timeout has expired all the same.
#[test]
fn work_that_declines_succeeds() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(async {
        let limit = Timeout::new(ms(10));
        let work = limit.run(async {
            assert!(catch_cancel(sleep(ms(90))).await.is_err());
            sleep(ms(20)).await;
            3
        });
        let result = work.await;
        (
            result,
            limit.expired(),
            current_task().unwrap().cancelling(),
        )
    });
    assert_eq!(result.unwrap(), (Ok(3), true, 0));
    assert_eq!(event_loop.time(), ms(30));
}

/// O5: the same if the work takes the request back itself.
#[test]
fn work_that_declines_and_uncancels_succeeds() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(async {
        let me = current_task().unwrap();
        let work = timeout(ms(10), async {
            assert!(catch_cancel(sleep(ms(90))).await.is_err());
            let left = me.uncancel();
            sleep(ms(20)).await;
            left
        });
        (work.await, me.cancelling())
    });
    assert_eq!(result.unwrap(), (Ok(0), 0));
}

/// O6: an error of the work after expiry is what comes out.
#[test]
fn error_of_the_work_after_expiry_comes_out() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(timeout(ms(10), async {
        match catch_cancel(sleep(ms(90))).await {
            Ok(()) => Ok(()),
            Err(_) => Err("disk full"),
        }
    }));
    assert_eq!(result.unwrap(), Ok(Err("disk full")));
}

/// C7: the work awaits a task that declines: its value comes out, late but no error.
#[test]
fn awaited_task_that_declines_makes_the_work_succeed() {
    let event_loop = virtual_loop();
    let child = event_loop.create_task(async {
        assert!(catch_cancel(sleep(ms(90))).await.is_err());
        sleep(ms(7)).await;
        "saved"
    });
    let result = event_loop.run_until_complete(timeout(ms(10), child));
    assert_eq!(result.unwrap(), Ok("saved"));
    assert_eq!(event_loop.time(), ms(17));
}

/// Something under the timeout ends cancelled by itself: that is no expiry, and goes on.
#[test]
fn cancellation_by_somebody_else_is_no_expiry() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<()>();
    let other = future.clone();
    event_loop.call_at(ms(5), move || {
        other.cancel();
    });
    let task = event_loop.create_task(async move {
        let caught = catch_cancel(timeout(ms(10), future)).await;
        (
            caught.unwrap_err().origin(),
            current_task().unwrap().cancelling(),
        )
    });
    let caught = event_loop.run_until_complete(task);
    assert_eq!(caught.unwrap(), (CancelOrigin::Awaited, 0));
}

// ---- nested, and beside each other

/// O7: of two that expire together the outer one reports; both have expired.
#[test]
fn nested_timeouts_that_expire_together_both_say_so() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(async {
        let (outer, inner) = (Timeout::new(ms(10)), Timeout::new(ms(10)));
        let inside = Cell::new(false);
        let result = outer
            .run(async {
                let result = inner.run(sleep(ms(90))).await;
                inside.set(true);
                result
            })
            .await;
        (result, inside.get(), outer.expired(), inner.expired())
    });
    assert_eq!(result.unwrap(), (Err(TimeoutError), false, true, true));
}

/// The inner one expires first: it reports, and the outer one goes on.
#[test]
fn inner_timeout_reports_inside_the_outer_one() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(timeout(ms(20), async {
        let inner = timeout(ms(10), sleep(ms(90))).await;
        sleep(ms(5)).await;
        inner
    }));
    assert_eq!(result.unwrap(), Ok(Err(TimeoutError)));
}

/// The outer one expires first: the inner one passes that on, and has not expired.
#[test]
fn outer_timeout_goes_through_the_inner_one() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(async {
        let inner = Timeout::new(ms(20));
        let result = timeout(ms(10), inner.run(sleep(ms(90)))).await;
        (result, inner.expired(), get_running_loop().next_deadline())
    });
    assert_eq!(result.unwrap(), (Err(TimeoutError), false, None));
}

/// A select drops a timeout in the very turn in which that expired: nothing is left of it, and the
/// task goes on unharmed.
#[test]
fn select_that_drops_an_expired_timeout_goes_on() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let guard = drops.guard();
    let won = event_loop.create_future::<&str>();
    let winner = won.clone();
    let task = event_loop.create_task(async move {
        let limit = Timeout::new(ms(10));
        let work = Box::pin(limit.run(async move {
            let _guard = guard;
            sleep(ms(90)).await;
        }));
        get_running_loop().call_at(ms(10), move || winner.set_result("won").unwrap());
        let first = match select(won, work).await {
            Either::Left((first, _)) => first,
            Either::Right(_) => "late",
        };
        yield_now().await;
        (first, limit.expired(), current_task().unwrap().cancelling())
    });
    let result = event_loop.run_until_complete(task);
    assert_eq!(result.unwrap(), ("won", true, 0));
    assert_eq!((drops.count(), event_loop.next_deadline()), (1, None));
}

/// A timeout that is not polled while its alarm goes off stops its work when it is polled again.
#[test]
fn timeout_that_expires_unpolled_stops_its_work_at_the_next_poll() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(async {
        let mut timed = Box::pin(timeout(ms(10), sleep(ms(90))));
        let waiting = select(&mut timed, Box::pin(yield_now())).await;
        assert!(matches!(waiting, Either::Right(_)));
        drop(waiting);
        sleep(ms(20)).await;
        timed.await
    });
    assert_eq!(result.unwrap(), Err(TimeoutError));
    assert_eq!(event_loop.time(), ms(20));
}

/// The same with a scope inside: that is asked first, and may clean up.
#[test]
fn scope_in_a_timeout_that_expires_unpolled_catches_at_the_next_poll() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(async {
        let mut timed = Box::pin(timeout(ms(10), catch_cancel(sleep(ms(90)))));
        let waiting = select(&mut timed, Box::pin(yield_now())).await;
        assert!(matches!(waiting, Either::Right(_)));
        drop(waiting);
        sleep(ms(20)).await;
        timed.await.map(|caught| caught.is_err())
    });
    assert_eq!(result.unwrap(), Ok(true));
}

/// Timeouts in a `FuturesUnordered`, some of them around what is not ours.
#[test]
fn timeouts_in_a_futures_unordered_expire_each_for_itself() {
    let event_loop = virtual_loop();
    let results = event_loop.run_until_complete(async {
        let mut all = FuturesUnordered::new();
        let mut senders = Vec::new();
        for n in 0..6 {
            let (sender, receiver) = oneshot::channel::<()>();
            senders.push(sender);
            all.push(async move {
                let work = async {
                    if n % 2 == 0 {
                        sleep(ms(n * 10)).await;
                    } else {
                        let _ = receiver.await;
                    }
                };
                (n, timeout(ms(25 + n), work).await.is_ok())
            });
        }
        let mut results = Vec::new();
        while let Some(result) = all.next().await {
            results.push(result);
        }
        (results, current_task().unwrap().cancelling())
    });
    let expected = [
        (0, true),
        (2, true),
        (1, false),
        (3, false),
        (4, false),
        (5, false),
    ];
    assert_eq!(results.unwrap(), (expected.to_vec(), 0));
    assert_eq!(event_loop.time(), ms(30));
}

/// A thousand timeouts in each other expire together: the outermost reports, the others pass it on.
#[test]
fn thousand_nested_timeouts_that_expire_together_report_once() {
    type Nested = Pin<Box<dyn Future<Output = u32>>>;
    // The stack is for the polls, which nest as deep as the futures do.
    let thread = std::thread::Builder::new().stack_size(64 << 20);
    let test = || {
        let event_loop = virtual_loop();
        let mut nested: Nested = Box::pin(async {
            sleep(ms(90)).await;
            0
        });
        for _ in 0..1_000 {
            nested = Box::pin(async {
                let result = timeout(ms(10), nested).await;
                result.map_or(1, |reports| reports * 2)
            });
        }
        let task = event_loop.create_task(async {
            let reports = nested.await;
            (reports, current_task().unwrap().cancelling())
        });
        assert_eq!(event_loop.run_until_complete(task).unwrap(), (1, 0));
        assert_eq!(
            (event_loop.time(), event_loop.next_deadline()),
            (ms(10), None)
        );
    };
    thread.spawn(test).unwrap().join().unwrap();
}

/// L6: the alarm has its place among the timers of its deadline from when the timeout begins, though it is
/// set later.
#[test]
fn alarm_stands_between_timers_armed_before_and_after_the_work_began() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let events = log.clone();
    let late = event_loop.run_until_complete(async move {
        let awaited = create_future::<()>();
        let look = |name: &'static str| {
            let (events, awaited) = (events.clone(), awaited.clone());
            move || events.push(format_args!("{name} {}", awaited.cancelled()))
        };
        call_later(ms(20), look("later"));
        call_later(ms(10), look("before"));
        let result = timeout(ms(10), async {
            call_later(ms(10), look("after"));
            call_later(ms(5), look("earlier"));
            (&awaited).await;
        });
        result.await.is_err()
    });
    assert!(late.unwrap());
    event_loop.run_forever();
    log.expect(&["earlier false", "before false", "after true", "later true"]);
}

/// Twenty thousand timeouts in one `FuturesUnordered`: what one costs does not grow with their number,
/// or this would take minutes.
#[test]
fn twenty_thousand_timeouts_in_a_futures_unordered() {
    const MANY: u64 = 20_000;
    let event_loop = virtual_loop();
    let results = event_loop.run_until_complete(async {
        let (delay, length) = (|n| 51 + 2 * (n % 10), |n| 2 * (n % 75));
        let work = |n: u64| timeout(ms(delay(n)), sleep(ms(length(n))));
        let mut all: FuturesUnordered<_> = (0..MANY).map(work).collect();
        let mut in_time = 0;
        while let Some(result) = all.next().await {
            in_time += u64::from(result.is_ok());
        }
        in_time
    });
    let expected = (0..MANY)
        .filter(|n| 2 * (n % 75) < 51 + 2 * (n % 10))
        .count() as u64;
    assert_eq!(results.unwrap(), expected);
}

/// What a timeout runs by reference is not awaited any more when that is over, though it is still there.
#[test]
fn expired_timeout_forgets_what_it_ran_by_reference() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        let mut all = FuturesUnordered::new();
        all.push(async {
            let mut child =
                create_task(async { while catch_cancel(sleep(ms(900))).await.is_err() {} });
            let late = select(
                Box::pin(timeout(ms(10), &mut child)),
                Box::pin(sleep(ms(20))),
            );
            drop(late.await);
            // The child has declined once; nothing of the timeout is left to ask it again.
            let other = catch_cancel(sleep(ms(100))).await.is_err();
            (child.cancelling(), other)
        });
        all.next().await.unwrap()
    });
    let handle = task.handle();
    event_loop.call_at(ms(50), move || {
        handle.cancel();
    });
    assert_eq!(event_loop.run_until_complete(task).unwrap(), (1, true));
}

/// A future of another crate is dropped at the deadline.
#[test]
fn foreign_future_is_dropped_at_the_deadline() {
    let event_loop = virtual_loop();
    let (sender, receiver) = oneshot::channel::<u8>();
    let task = event_loop.create_task(timeout(ms(10), receiver));
    let result = event_loop.run_until_complete(task);
    assert!(result.unwrap().is_err());
    assert!(sender.is_canceled());
}

// ---- Timeout

/// O9: a timeout can be moved while its work goes on, and only then.
#[test]
fn reschedule_works_only_while_the_work_goes_on() {
    let event_loop = virtual_loop();
    let errors = event_loop.run_until_complete(async {
        let limit = Timeout::new(ms(10));
        let mut errors = vec![limit.reschedule(ms(5)).unwrap_err().to_string()];
        let late = limit.run(async {
            let why = catch_cancel(sleep(ms(90))).await.unwrap_err();
            errors.push(limit.reschedule(ms(500)).unwrap_err().to_string());
            why.reraise().await
        });
        let late: Result<(), _> = late.await;
        assert!(late.is_err());
        errors.push(limit.reschedule(None).unwrap_err().to_string());
        let limit = Timeout::new(None);
        limit.run(yield_now()).await.unwrap();
        errors.push(limit.reschedule(None).unwrap_err().to_string());
        errors
    });
    let phases = ["is created", "is expiring", "is expired", "is finished"];
    for (error, phase) in errors.unwrap().iter().zip(phases) {
        assert!(error.contains(phase), "{error}");
        assert!(error.contains("timeouts.rs"), "{error}");
    }
}

/// O9: later, earlier, into the past, and away.
#[test]
fn reschedule_moves_the_deadline() {
    let event_loop = virtual_loop();
    let times = event_loop.run_until_complete(async {
        let mut times = Vec::new();
        for (when, length) in [(Some(40), 90), (Some(5), 90), (Some(0), 90), (None, 90)] {
            let begin = get_running_loop().time();
            let limit = Timeout::new(ms(10));
            let result = limit
                .run(async {
                    yield_now().await;
                    let when = when.map(|when| begin + ms(when));
                    limit.reschedule(when).unwrap();
                    assert_eq!(limit.when(), when);
                    sleep(ms(length)).await;
                })
                .await;
            times.push((result.is_ok(), get_running_loop().time() - begin));
        }
        times
    });
    let expected = [
        (false, ms(40)),
        (false, ms(5)),
        (false, ms(0)),
        (true, ms(90)),
    ];
    assert_eq!(times.unwrap(), expected);
}

/// O9: moved in the turn of the deadline, ahead of the alarm: that does not go off.
#[test]
fn reschedule_in_the_turn_of_the_deadline_is_in_time() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(async {
        let limit = Timeout::new(ms(10));
        let mover = limit.clone();
        get_running_loop().call_at(ms(10), move || mover.reschedule(ms(50)).unwrap());
        let result = limit.run(sleep(ms(30))).await;
        (result, limit.expired(), limit.when())
    });
    assert_eq!(result.unwrap(), (Ok(()), false, Some(ms(50))));
}

/// O9: a timeout runs one future.
#[test]
fn timeout_that_was_used_before_panics() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        let limit = Timeout::new(ms(10));
        limit.run(yield_now()).await.unwrap();
        limit.run(yield_now()).await.unwrap();
    });
    let panicked = catch_unwind(AssertUnwindSafe(|| event_loop.run_until_complete(task)));
    let message = *panicked.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("was used before"), "{message}");
    assert_eq!(event_loop.next_deadline(), None);
}

/// O9: it needs a task.
#[test]
fn timeout_outside_a_task_panics() {
    let timed = timeout(ms(10), async {});
    let panicked = catch_unwind(AssertUnwindSafe(|| futures::executor::block_on(timed)));
    let message = *panicked.unwrap_err().downcast::<String>().unwrap();
    assert!(
        message.contains("outside a task of a running loop"),
        "{message}"
    );
}

/// The deadline of a `Timeout` counts from when that is made, that of `timeout()` from its first poll.
#[test]
fn time_counts_from_the_handle_or_from_the_first_poll() {
    let event_loop = virtual_loop();
    let times = event_loop.run_until_complete(async {
        let limit = Timeout::new(ms(10));
        let timed = timeout(ms(10), sleep(ms(90)));
        sleep(ms(6)).await;
        assert!(limit.run(sleep(ms(90))).await.is_err());
        let first = get_running_loop().time();
        assert!(timed.await.is_err());
        (first, get_running_loop().time())
    });
    assert_eq!(times.unwrap(), (ms(10), ms(20)));
}

#[test]
fn debug_says_where_a_timeout_is() {
    let event_loop = virtual_loop();
    let seen = event_loop.run_until_complete(async {
        let limit = Timeout::new(ms(10));
        let mut seen = vec![format!("{limit:?}")];
        let timed = limit.run(async {
            seen.push(format!("{limit:?}"));
            sleep(ms(90)).await;
        });
        assert!(timed.await.is_err());
        seen.push(format!("{limit:?}"));
        seen
    });
    let expected = [
        "<Timeout created when=10ms>",
        "<Timeout active when=10ms>",
        "<Timeout expired when=10ms>",
    ];
    assert_eq!(seen.unwrap(), expected);
}

// ---- drops and panics

/// Dropped while the work waits: the work goes, and the alarm with it.
#[test]
fn dropped_timeout_drops_its_work_and_disarms() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let guard = drops.guard();
    let deadline = event_loop.run_until_complete(async move {
        let timed = Box::pin(timeout(ms(10), async move {
            let _guard = guard;
            sleep(ms(90)).await;
        }));
        drop(select(timed, Box::pin(yield_now())).await);
        get_running_loop().next_deadline()
    });
    assert_eq!((deadline.unwrap(), drops.count()), (None, 1));
}

/// A panic of the work goes on, and leaves no alarm.
#[test]
fn panic_of_the_work_goes_on_and_disarms() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(timeout(ms(10), async {
        yield_now().await;
        panic!("bang")
    }));
    settle(&event_loop);
    let outcome: Result<Result<Result<(), _>, _>, _> =
        event_loop.run_until_complete(task.outcome());
    let panic = outcome.unwrap().unwrap_err();
    assert_eq!(panic.panic().unwrap().message(), "bang");
    assert_eq!(event_loop.next_deadline(), None);
}

/// Work that panics in its drop at the deadline: the task panics, and nothing is left.
#[test]
fn panic_in_the_drop_of_expired_work_ends_the_task() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(timeout(ms(10), async {
        let _bomb = OnDrop::new(|| panic!("bomb"));
        sleep(ms(90)).await;
    }));
    let outcome = event_loop.run_until_complete(task.outcome());
    assert_eq!(
        outcome.unwrap().unwrap_err().panic().unwrap().message(),
        "bomb"
    );
    assert_eq!(
        (event_loop.next_deadline(), event_loop.all_tasks().len()),
        (None, 0)
    );
}

/// Work whose drop cancels its own task, at the deadline: the outside request wins.
#[test]
fn drop_that_cancels_its_task_at_the_deadline_wins() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        let me = current_task().unwrap();
        timeout(ms(10), async {
            let _cancels = OnDrop::new(move || {
                me.cancel();
            });
            sleep(ms(90)).await;
        })
        .await
    });
    let handle = task.handle();
    let result = event_loop.run_until_complete(task);
    assert!(matches!(result, Err(RunError::Cancelled(_))), "{result:?}");
    assert_eq!(handle.cancelling(), 1);
}

/// The work may hold what is not `Send`, and borrow from its own frame and from the caller's.
#[test]
fn work_may_hold_rc_and_borrow() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(async {
        let shared = Rc::new(RefCell::new(Vec::new()));
        let mut sum = 0;
        for n in 1..4 {
            let timed = timeout(ms(20), async {
                let numbers = [n, n * 10];
                let largest = numbers.iter().max().unwrap();
                sleep(ms(n * 8)).await;
                sum += largest;
                shared.borrow_mut().push(*largest);
            });
            let _ = timed.await;
        }
        (sum, shared.take())
    });
    assert_eq!(result.unwrap(), (30, vec![10, 20]));
}

/// A timeout is over when its loop is closed with the work still waiting.
#[test]
fn loop_closed_under_a_timeout_drops_its_work() {
    let drops = Drops::new();
    let event_loop: EventLoop = virtual_loop();
    let guard = drops.guard();
    let task = event_loop.create_task(timeout(ms(10), async move {
        let _guard = guard;
        create_task(sleep(ms(90))).await;
    }));
    turn(&event_loop);
    drop(event_loop);
    assert_eq!(drops.count(), 1);
    assert!(!task.done());
}
