//! Running tests: shuffled order and what it may not change, explored seeds, and how a test fails.

use std::cell::{Cell, RefCell};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use callsoon::snapshot::AwaitedKind;
use callsoon::testing::{Exploration, FailureKind, Order, Test, explore, run};
use callsoon::{
    Barrier, Clock, Condition, Event, EventLoop, Lock, Queue, ReturnWhen, Semaphore, TaskGroup,
    TimeoutError, as_completed, call_later, call_soon, catch_cancel, create_future, create_task,
    create_try_task, current_task, gather, get_running_loop, shield, sleep, task, timeout,
    to_thread, wait, wait_for, yield_now,
};
use futures::StreamExt;

use crate::support::{Log, ms, panic_message, steps, turn};

/// A loop with this seed.
fn shuffled(seed: u64) -> EventLoop {
    let builder = EventLoop::builder().clock(Clock::Virtual);
    builder.order(Order::Shuffled { seed }).build()
}

/// What the body logs under each of some seeds; each different log once.
fn logs<F: Future<Output = ()>>(body: impl Fn(Log) -> F) -> Vec<Vec<String>> {
    let mut logs: Vec<_> = (0..200)
        .map(|seed| {
            let log = Log::new();
            let test = Test::new().order(Order::Shuffled { seed });
            test.run(async { body(log.clone()).await });
            log.take()
        })
        .collect();
    logs.sort();
    logs.dedup();
    logs
}

// ---- what is shuffled, and what is not

/// Callbacks of `call_soon`, those that the loop's own thread posts among them.
#[test]
fn callbacks_keep_their_order() {
    let logs = logs(|log| async move {
        let remote = get_running_loop().remote();
        let posted = Rc::new(RefCell::new(Vec::new()));
        for name in ["a", "c"] {
            call_soon(log.event(name));
            let (sent, received) = std::sync::mpsc::channel();
            remote
                .call_soon_threadsafe(move || sent.send(()).unwrap())
                .unwrap();
            posted.borrow_mut().push(received);
            let (log, posted) = (log.clone(), posted.clone());
            call_soon(move || {
                let last = posted.borrow().len() - 1;
                let arrived = (0..=last).filter(|&it| posted.borrow()[it].try_recv().is_ok());
                log.push(format_args!("{} posted", arrived.count()));
            });
        }
        yield_now().await;
    });
    assert_eq!(logs, [["a", "1 posted", "c", "1 posted"]]);
}

/// The done-callbacks of a future, while those of two futures mix.
#[test]
fn done_callbacks_of_a_future_keep_their_order() {
    let logs = logs(|log| async move {
        for name in ["x", "y"] {
            let future = create_future::<()>();
            for number in 1..=2 {
                let log = log.clone();
                future.add_done_callback(move |_| log.push(format_args!("{name}{number}")));
            }
            future.set_result(()).unwrap();
        }
        yield_now().await;
    });
    // 4! / (2! 2!) merges.
    assert_eq!(logs.len(), 6, "{logs:?}");
    let place = |log: &[String], event: &str| log.iter().position(|it| it == event);
    for log in &logs {
        assert!(place(log, "x1") < place(log, "x2") && place(log, "y1") < place(log, "y2"));
    }
}

/// Timers that are due in the same turn: by their deadlines, equal ones in any order.
#[test]
fn timers_keep_the_order_of_their_deadlines() {
    let logs = logs(|log| async move {
        for (delay, name) in [(2, "late"), (1, "early"), (2, "late too")] {
            call_later(ms(delay), log.event(name));
        }
        let until = get_running_loop().time() + ms(5);
        get_running_loop().advance(ms(5));
        callsoon::sleep_until(until).await;
        yield_now().await;
    });
    assert_eq!(
        logs,
        [["early", "late", "late too"], ["early", "late too", "late"]]
    );
}

/// First steps, and steps that one event has woken.
#[test]
fn steps_of_different_tasks_come_in_every_order() {
    let started = logs(|log| async move {
        let three = ["a", "b", "c"].map(|name| {
            let log = log.clone();
            create_task(async move { log.push(name) })
        });
        gather(three).await;
    });
    assert_eq!(started.len(), 6, "{started:?}");
    let woken = logs(|log| async move {
        let event = Event::new();
        let three = ["a", "b", "c"].map(|name| {
            let (log, event) = (log.clone(), event.clone());
            create_task(async move {
                event.wait().await;
                log.push(name);
            })
        });
        yield_now().await;
        event.set();
        gather(three).await;
    });
    assert_eq!(woken, started);
}

/// A step against a callback, a timer and the callback of a future.
#[test]
fn what_is_of_different_kinds_comes_in_every_order() {
    let logs = logs(|log| async move {
        let future = create_future::<()>();
        let done = log.clone();
        future.add_done_callback(move |_| done.push("done"));
        call_later(ms(1), log.event("timer"));
        get_running_loop().advance(ms(1));
        call_soon(log.event("callback"));
        future.set_result(()).unwrap();
        let step = log.clone();
        create_task(async move { step.push("step") }).await;
        yield_now().await;
    });
    assert_eq!(logs.len(), 24, "{logs:?}");
}

/// What a turn schedules is for the next one, in whatever order it runs.
#[test]
fn turns_stay_what_they_are() {
    for seed in 0..50 {
        let event_loop = shuffled(seed);
        let log = Log::new();
        for _ in 0..2 {
            let (log, handle) = (log.clone(), event_loop.handle());
            event_loop.create_task(async move {
                log.push("first");
                handle.call_soon(log.event("second"));
                yield_now().await;
                log.push("second");
            });
        }
        assert_eq!(turn(&event_loop), 2);
        log.expect(&["first", "first"]);
        assert_eq!(turn(&event_loop), 4);
        log.expect(&["second", "second", "second", "second"]);
    }
}

/// Who takes the items of a queue as a stream is woken in its turn, and nobody behind it loses a place.
#[test]
fn those_behind_a_stream_keep_their_places() {
    explore(0..200, || async {
        let queue = Queue::<u32>::new(0);
        let mut stream = queue.clone();
        let get = || {
            let queue = queue.clone();
            async move { queue.get().await.ok() }
        };
        let first = create_task(async move { stream.next().await });
        yield_now().await;
        let second = create_task(get());
        yield_now().await;
        let third = create_task(get());
        for item in 1..=3 {
            for _ in 0..4 {
                yield_now().await;
            }
            queue.put_nowait(item).unwrap();
        }
        let items = gather((first, second, third)).await;
        assert_eq!(items, (Some(1), Some(2), Some(3)));
    });
}

/// Who has waited longest gets the lock, however the steps are mixed.
#[test]
fn locks_stay_fair() {
    explore(0..200, || async {
        let lock = Lock::new(Vec::new());
        let guard = lock.lock().await;
        let mut tasks = Vec::new();
        for number in 0..4 {
            let lock = lock.clone();
            tasks.push(create_task(async move {
                let mut order = lock.lock().await;
                order.push(number);
                yield_now().await;
                order.push(number);
            }));
            yield_now().await; // so that it waits before the next one comes
        }
        drop(guard);
        gather(tasks).await;
        assert_eq!(*lock.lock().await, [0, 0, 1, 1, 2, 2, 3, 3]);
    });
}

// ---- the crate itself, in every order

/// Locks, semaphores, conditions, barriers and queues: nothing is lost, and nobody is left.
#[test]
fn primitives_hold_in_every_order() {
    explore(0..300, || async {
        let (lock, permits) = (Lock::new(0), Semaphore::new(2));
        let (inside, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let barrier = Barrier::new(3);
        let condition = Condition::new(0);
        let queue = Queue::new(2);
        let mut tasks = Vec::new();
        for number in 0..6 {
            let (lock, permits, barrier) = (lock.clone(), permits.clone(), barrier.clone());
            let (inside, most) = (inside.clone(), most.clone());
            let (condition, queue) = (condition.clone(), queue.clone());
            tasks.push(create_task(async move {
                {
                    let _permit = permits.permit().await;
                    inside.set(inside.get() + 1);
                    most.set(most.get().max(inside.get()));
                    yield_now().await;
                    *lock.lock().await += 1;
                    inside.set(inside.get() - 1);
                }
                let arrived = barrier.wait().await.unwrap();
                queue.put(number).await.unwrap();
                let guard = condition.lock().await;
                let mut guard = condition.wait_for(guard, |turn| *turn == number).await;
                *guard += 1;
                condition.notify_all().unwrap();
                drop(guard);
                arrived
            }));
        }
        let mut items = Vec::new();
        for _ in 0..6 {
            items.push(queue.get().await.unwrap());
        }
        items.sort();
        assert_eq!(items, [0, 1, 2, 3, 4, 5]);
        let mut arrivals = gather(tasks).await;
        arrivals.sort();
        assert_eq!(arrivals, [0, 0, 1, 1, 2, 2]);
        assert_eq!((*lock.lock().await, *condition.lock().await), (6, 6));
        assert_eq!((most.get(), inside.get()), (2, 0));
    });
}

/// A lock, a semaphore and a queue whose waiters are cancelled as they are woken pass their turn on.
#[test]
fn no_wake_up_is_lost_when_waiters_are_cancelled_in_every_order() {
    explore(0..300, || async {
        let (lock, permits, queue) = (Lock::new(()), Semaphore::new(1), Queue::<u32>::new(0));
        let (guard, permit) = (lock.lock().await, permits.permit().await);
        let mut waiters = Vec::new();
        for number in 0..9 {
            let (lock, permits, queue) = (lock.clone(), permits.clone(), queue.clone());
            waiters.push(create_task(async move {
                match number % 3 {
                    0 => drop(lock.lock().await),
                    1 => drop(permits.permit().await),
                    _ => drop(queue.get().await),
                }
            }));
        }
        yield_now().await;
        // Some turn later in which somebody is woken, somebody is cancelled: in any order.
        let puts = queue.clone();
        let wakes = create_task(async move {
            drop((guard, permit));
            for item in 0..3 {
                puts.put_nowait(item).unwrap();
                yield_now().await;
            }
        });
        let victims: Vec<_> = waiters[..6].iter().map(|it| it.handle()).collect();
        let cancels = create_task(async move {
            for victim in victims {
                yield_now().await;
                victim.cancel();
            }
        });
        gather((wakes, cancels)).await;
        for (number, waiter) in waiters.into_iter().enumerate() {
            let is_through = waiter.outcome().await.is_ok();
            assert!(is_through || number < 6, "waiter {number}");
        }
        assert!(!lock.locked() && !permits.locked());
    });
}

/// Combinators give what they give in any case.
#[test]
fn combinators_hold_in_every_order() {
    explore(0..300, || async {
        let after = |turns: u32, value: u32| async move {
            for _ in 0..turns {
                yield_now().await;
            }
            value
        };
        assert_eq!(
            gather((after(2, 1), after(0, 2), after(2, 3))).await,
            (1, 2, 3)
        );
        assert_eq!(shield(create_task(after(2, 4))).await, 4);
        let three = [
            create_task(after(1, 1)),
            create_task(after(1, 2)),
            create_task(after(1, 3)),
        ];
        let mut completed = as_completed(three);
        let mut values = Vec::new();
        while let Some(task) = completed.next().await {
            values.push(task.await);
        }
        values.sort();
        assert_eq!(values, [1, 2, 3]);
        let slow = create_task(after(9, 1));
        let (done, pending) = wait(
            [create_task(after(1, 2)), slow],
            ReturnWhen::FirstCompleted,
            None,
        )
        .await;
        assert_eq!((done.len(), pending.len()), (1, 1));
        for rest in pending {
            rest.await;
        }
        assert_eq!(timeout(ms(5), after(3, 7)).await, Ok(7));
        assert_eq!(
            wait_for(create_task(sleep(ms(9))), ms(5)).await,
            Err(TimeoutError)
        );
        // The deadline of both is the same: either may be first.
        let _ = timeout(ms(5), sleep(ms(5))).await;
    });
}

/// A task group whose children fail in the same turn ends with what failed, and nobody is left.
#[test]
fn task_groups_hold_in_every_order() {
    explore(0..300, || async {
        let finished = Rc::new(Cell::new(0));
        let result = TaskGroup::run(async |group| {
            for number in 0..4 {
                let finished = finished.clone();
                group.create_try_task(async move {
                    yield_now().await;
                    if number < 2 {
                        return Err(number);
                    }
                    sleep(ms(number)).await;
                    finished.set(finished.get() + 1);
                    Ok(())
                });
            }
            let eager = group.task(async { yield_now().await }).eager_start();
            drop(eager.spawn());
            std::future::pending::<Result<(), u64>>().await
        })
        .await;
        let errors: Vec<u64> = result.unwrap_err().into_iter().collect();
        assert!(!errors.is_empty() && errors.iter().all(|&number| number < 2));
        assert_eq!(finished.get(), 0);
    });
}

/// A cancellation reaches whatever its task awaits, and can be caught, in every order.
#[test]
fn cancellation_holds_in_every_order() {
    explore(0..300, || async {
        let log = Log::new();
        let inner = {
            let log = log.clone();
            create_task(async move {
                if let Err(cancelled) = catch_cancel(std::future::pending::<()>()).await {
                    sleep(ms(1)).await;
                    log.push("inner cleans up");
                    cancelled.reraise().await;
                }
            })
        };
        let outer = {
            let log = log.clone();
            create_task(async move {
                if let Err(cancelled) = catch_cancel(inner).await {
                    log.push("outer hears");
                    cancelled.reraise().await;
                }
            })
        };
        yield_now().await;
        yield_now().await;
        let killer = outer.handle();
        let (one, two) = (
            create_task(async move { killer.cancel() }),
            create_task(yield_now()),
        );
        gather((one, two)).await;
        assert!(outer.outcome().await.is_err());
        log.expect(&["inner cleans up", "outer hears"]);
    });
}

// ---- a seed replays exactly

/// A program with some of everything, and what it logged.
async fn trace(log: crate::support::Turns) {
    let queue = Queue::new(1);
    let producer = {
        let (queue, log) = (queue.clone(), log.clone());
        create_task(async move {
            for item in 0..5 {
                queue.put(item).await.unwrap();
                log.push(format_args!("put {item}"));
            }
            queue.shutdown(false);
        })
    };
    let mut workers = Vec::new();
    for name in ["one", "two", "three"] {
        let (queue, log) = (queue.clone(), log.clone());
        workers.push(create_task(async move {
            while let Ok(item) = queue.get().await {
                log.push(format_args!("{name} got {item}"));
                sleep(ms(1)).await;
            }
        }));
    }
    workers.push(create_task({
        let log = log.clone();
        async move {
            steps(log, "four", 3).await;
        }
    }));
    gather(workers).await;
    producer.await;
}

/// The same seed gives the same trace, whatever else is in memory; others give others.
#[test]
fn the_same_seed_gives_the_same_trace() {
    let run = |seed| {
        let log = crate::support::Turns::new();
        let test = Test::new().order(Order::Shuffled { seed });
        test.run(trace(log.clone()));
        log.take()
    };
    let mut ballast = Vec::new();
    let mut different = Vec::new();
    for seed in 0..30 {
        let first = run(seed);
        // Addresses are others the next time.
        ballast.push(vec![0_u8; 1000 + 64 * usize::try_from(seed).unwrap()]);
        assert_eq!(run(seed), first, "seed {seed}");
        different.push(first);
    }
    different.sort();
    different.dedup();
    assert!(different.len() > 20, "{}", different.len());
}

/// A runner hands its builder's order on.
#[test]
fn fifo_is_what_a_loop_does_unless_told_otherwise() {
    let of = |order: Option<Order>| {
        let builder = EventLoop::builder().clock(Clock::Virtual);
        let builder = match order {
            Some(order) => builder.order(order),
            None => builder,
        };
        let log = crate::support::Turns::new();
        let mut runner = callsoon::Runner::with(builder);
        runner.run(trace(log.clone())).unwrap();
        log.take()
    };
    assert_eq!(of(None), of(Some(Order::Fifo)));
    assert_eq!(Order::default(), Order::Fifo);
    assert_ne!(of(None), of(Some(Order::Shuffled { seed: 5 })));
}

/// What had an entry scheduled is known of it wherever it is put.
#[test]
fn a_recording_knows_the_causes_in_shuffled_order() {
    for seed in 0..50 {
        let event_loop = shuffled(seed);
        let recording = event_loop.record(1000);
        for number in 0..4 {
            event_loop
                .task(async move {
                    for _ in 0..2 {
                        task(async { yield_now().await })
                            .name(format!("child of {number}"))
                            .spawn();
                        yield_now().await;
                    }
                })
                .name(format!("{number}"))
                .spawn();
        }
        event_loop.run_forever();
        let events = recording.events();
        let mut children = 0;
        for event in &events {
            if let Some(parent) = event.name().strip_prefix("child of ") {
                let cause = event.cause().expect("somebody has made or woken it");
                // Its second step is its own doing.
                let by = events[cause].name();
                assert!(by == parent || by == event.name(), "seed {seed}: {by}");
                children += 1;
            }
        }
        assert_eq!(children, 4 * 2 * 2);
    }
}

// ---- explore

/// Two tasks that each add to what they read before they waited.
async fn lost_update() {
    let total = Rc::new(Cell::new(0));
    let add = |turns: usize| {
        let total = total.clone();
        create_task(async move {
            if turns > 0 {
                yield_now().await;
            }
            let before = total.get();
            if turns == 0 {
                yield_now().await;
            }
            total.set(before + 1);
        })
    };
    let (one, two) = (add(0), add(1));
    one.await;
    two.await;
    assert_eq!(total.get(), 2, "an update was lost");
}

/// Five tasks, and a failure if each of them is overtaken by all that come later.
async fn turned_round() {
    let log = Log::new();
    let five = ["a", "b", "c", "d", "e"].map(|name| {
        let log = log.clone();
        create_task(async move { log.push(name) })
    });
    gather(five).await;
    assert_ne!(log.take().concat(), "edcba");
}

/// Code that works in the usual order and not in another one that is allowed.
#[test]
fn explore_finds_a_hidden_assumption_about_order() {
    run(lost_update());
    let exploration: Exploration = Test::new().try_explore(0..1000, lost_update);
    let (_, failure) = exploration.failed().expect("another order is allowed");
    let FailureKind::Panicked(panic) = failure.kind() else {
        panic!("{failure}");
    };
    assert!(panic.to_string().contains("an update was lost"), "{panic}");
}

/// The first seed that fails is given, with how many passed, and fails again each time.
#[test]
fn explore_gives_the_first_seed_that_fails() {
    let exploration = Test::new().try_explore(0..10_000, turned_round);
    let (seed, _) = exploration.failed().expect("it is one order of 120");
    assert!(seed > 0, "nothing is to be learnt from the first one");
    assert_eq!(exploration.passed(), seed);
    let fails = |seed| {
        let test = Test::new().order(Order::Shuffled { seed });
        test.try_run(turned_round()).is_err()
    };
    assert!((0..seed).all(|seed| !fails(seed)));
    assert!((0..10).all(|_| fails(seed)));
}

/// The panic of `explore` says what to do.
#[test]
fn the_message_of_a_failed_exploration_has_seed_reason_and_remedy() {
    let exploration = Test::new().try_explore(0..10_000, turned_round);
    let (seed, _) = exploration.failed().unwrap();
    let message = panic_message(|| explore(0..10_000, turned_round));
    let start = format!("test failed under seed {seed}, after {seed} that passed: test body ");
    assert!(message.starts_with(&start), "{message}");
    assert!(
        message.contains("assertion `left != right` failed"),
        "{message}"
    );
    let remedy = format!(
        "\nto replay it: CALLSOON_SEED={seed} in the environment, or Order::Shuffled {{ seed: {seed} }}"
    );
    assert!(message.ends_with(&remedy), "{message}");
}

/// Such a test would never fail.
#[test]
fn to_explore_no_seed_is_an_error() {
    let message = panic_message(|| explore(0..0, || async {}));
    assert_eq!(message, "there is no seed to explore");
}

/// Each seed has a loop of its own, with its own time.
#[test]
fn each_seed_has_a_fresh_loop() {
    let runs = Cell::new(0);
    explore(10..20, || async {
        assert_eq!(get_running_loop().time(), Duration::ZERO);
        assert_eq!(get_running_loop().all_tasks().len(), 1);
        sleep(Duration::from_secs(3600)).await;
        runs.set(runs.get() + 1);
    });
    assert_eq!(runs.get(), 10);
}

/// What the child process of the next test runs.
const CHILD: &str = "CALLSOON_TEST_IS_A_CHILD";

/// The environment can have one seed tried in place of all others.
#[test]
fn a_seed_in_the_environment_is_the_only_one_tried() {
    if std::env::var_os(CHILD).is_some() {
        let exploration = Test::new().try_explore(0..1000, || async {});
        assert_eq!(exploration.passed(), 1);
        let seeds = RefCell::new(Vec::new());
        let log = crate::support::Turns::new();
        explore(0..1000, || {
            seeds.borrow_mut().push(());
            trace(log.clone())
        });
        let expected = crate::support::Turns::new();
        let test = Test::new().order(Order::Shuffled { seed: 77 });
        test.run(trace(expected.clone()));
        assert_eq!(log.take(), expected.take());
        assert_eq!(seeds.borrow().len(), 1);
        return;
    }
    let child = |seed: &str| {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args([
            "a_seed_in_the_environment_is_the_only_one_tried",
            "--nocapture",
        ]);
        child.env(CHILD, "1").env("CALLSOON_SEED", seed);
        let output = child.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), text)
    };
    let (passed, text) = child("77");
    assert!(passed, "{text}");
    let (passed, text) = child("a lot");
    assert!(
        !passed && text.contains("CALLSOON_SEED is no seed: a lot"),
        "{text}"
    );
}

// ---- how a test fails

/// The body's result, in no time.
#[test]
fn run_gives_the_result_of_the_body() {
    let text = "borrowed".to_owned();
    let result = run(async {
        sleep(Duration::from_secs(1_000_000)).await;
        text.len()
    });
    assert_eq!(result, 8);
}

/// The panic of the body goes on as it is.
#[test]
fn a_panic_of_the_body_goes_on() {
    assert_eq!(
        panic_message(|| run(async { panic!("in the body") })),
        "in the body"
    );
}

/// With who waits for what.
#[test]
fn a_deadlock_is_a_failure_that_says_who_waits() {
    let message = panic_message(|| {
        run(async {
            let (left, right) = (Lock::new(()), Lock::new(()));
            let take = |name, first: &Lock<()>, second: &Lock<()>| {
                let (first, second) = (first.clone(), second.clone());
                task(async move {
                    let _first = first.lock().await;
                    yield_now().await;
                    drop(second.lock().await);
                })
                .name(name)
                .spawn()
            };
            let (one, two) = (take("one", &left, &right), take("two", &right, &left));
            gather((one, two)).await;
        });
    });
    assert!(
        message.starts_with("test failed: deadlock: nothing is left that could happen"),
        "{message}"
    );
    let here = "'test body' created at tests";
    assert!(message.contains(here), "{message}");
    for name in ["'one' created at ", "'two' created at "] {
        let line = message.lines().find(|line| line.contains(name)).unwrap();
        assert!(
            line.contains(" waits for <Lock pending created at "),
            "{line}"
        );
    }
}

/// A task that the body has forgotten, and what it awaits; one that is about to end is none.
#[test]
fn tasks_left_over_are_a_failure() {
    run(async {
        create_task(async {
            yield_now().await;
            yield_now().await;
        });
    });
    let body = || async {
        task(sleep(ms(1))).name("forgotten").spawn();
    };
    let failure = Test::new().try_run(body()).unwrap_err();
    let FailureKind::LeftOver(snapshot) = failure.kind() else {
        panic!("{failure}");
    };
    assert_eq!(snapshot.tasks()[0].name(), "forgotten");
    assert_eq!(snapshot.awaited()[0].kind(), AwaitedKind::Sleep);
    let message = panic_message(|| run(body()));
    assert!(
        message.starts_with("test failed: its body is done, and 1 task is left over\nevent loop "),
        "{message}"
    );
    assert!(Test::new().allow_leftover_tasks().try_run(body()).is_ok());
}

/// Tasks that are allowed to be left over are cancelled, and may clean up.
#[test]
fn allowed_leftovers_are_cancelled_and_clean_up() {
    let log = Log::new();
    let cleans_up = log.clone();
    Test::new().allow_leftover_tasks().run(async move {
        create_task(async move {
            catch_cancel(std::future::pending::<()>())
                .await
                .unwrap_err();
            sleep(ms(1)).await;
            cleans_up.push("cleaned up");
        });
        yield_now().await;
    });
    log.expect(&["cleaned up"]);
}

/// Panics in callbacks, and panics and errors of tasks that nobody looked at.
#[test]
fn what_nobody_looked_at_is_a_failure() {
    type Body = fn();
    let bodies: [(Body, &str); 3] = [
        (
            || drop(call_soon(|| panic!("in a callback"))),
            "in a callback",
        ),
        (
            || drop(create_task(async { panic!("in a task") })),
            "in a task",
        ),
        (
            || drop(create_try_task(async { Err::<(), _>("an error") })),
            "an error",
        ),
    ];
    for (act, text) in bodies {
        let body = || async move {
            act();
            yield_now().await;
        };
        let failure = Test::new().try_run(body()).unwrap_err();
        assert!(matches!(failure.kind(), FailureKind::Reported), "{failure}");
        let [report] = failure.reports() else {
            panic!("{failure}");
        };
        assert!(report.contains(text), "{report}");
        assert!(failure.to_string().ends_with(&format!("\n  {report}")));
        assert!(Test::new().allow_reports().try_run(body()).is_ok());
    }
}

/// What was reported before is part of a failure of another kind.
#[test]
fn a_deadlock_tells_what_was_reported_before() {
    let failure = Test::new().try_run(async {
        let reply = create_future::<()>();
        let server = reply.clone();
        create_task(async move {
            let _answers = server;
            panic!("the server is down");
        });
        reply.await;
    });
    let failure = failure.unwrap_err();
    assert!(
        matches!(failure.kind(), FailureKind::Deadlock(_)),
        "{failure}"
    );
    assert!(
        failure.to_string().contains("the server is down"),
        "{failure}"
    );
}

/// Tasks that wake each other for ever, and what they are.
#[test]
fn a_livelock_ends_and_names_what_ran() {
    for order in [Order::Fifo, Order::Shuffled { seed: 3 }] {
        let test = Test::new().order(order).turn_limit(100);
        let body = async {
            let event = Event::new();
            let waits = event.clone();
            task(async move {
                while !waits.is_set() {
                    yield_now().await;
                }
            })
            .name("spins")
            .spawn()
            .await;
        };
        let failure = test.try_run(body).unwrap_err();
        let FailureKind::Livelock(livelock) = failure.kind() else {
            panic!("{failure}");
        };
        assert_eq!(livelock.turns(), 100);
        assert!(!livelock.ran().is_empty());
        let spins = |it: &String| it.starts_with("step of task 'spins' created at ");
        assert!(livelock.ran().iter().all(spins), "{livelock}");
        assert!(
            failure
                .to_string()
                .starts_with("livelock: it took more than 100 turns; last ran\n")
        );
    }
    // A callback that schedules itself, when the body is over.
    fn again() {
        call_soon(again);
    }
    let failure = Test::new().turn_limit(50).try_run(async { again() });
    let failure = failure.unwrap_err();
    assert!(
        matches!(failure.kind(), FailureKind::Livelock(_)),
        "{failure}"
    );
    // So many are allowed.
    let just = Test::new().turn_limit(52).try_run(async {
        for _ in 0..50 {
            yield_now().await;
        }
    });
    assert!(just.is_ok());
}

/// A body that cancels itself, and one that stops the loop.
#[test]
fn a_body_that_does_not_come_to_its_end_is_a_failure() {
    let cancelled = Test::new().try_run(async {
        current_task().unwrap().cancel();
        yield_now().await;
    });
    let failure = cancelled.unwrap_err();
    assert!(
        matches!(failure.kind(), FailureKind::Cancelled(_)),
        "{failure}"
    );
    let stopped = Test::new().try_run(async {
        get_running_loop().stop();
        std::future::pending::<()>().await;
    });
    let failure = stopped.unwrap_err();
    assert!(matches!(failure.kind(), FailureKind::Stopped), "{failure}");
}

/// Jobs on threads are waited for, and are no deadlock.
#[test]
fn a_test_may_use_threads() {
    let sum = run(async {
        let jobs: Vec<_> = (0..4).map(|n| to_thread(move || n)).collect();
        gather(jobs).await.into_iter().sum::<i32>()
    });
    assert_eq!(sum, 6);
}

/// Inside a loop there is no running another one.
#[test]
fn a_test_inside_a_running_loop_is_refused() {
    run(async {
        let message = panic_message(|| run(async {}));
        assert!(message.starts_with("test cannot run: "), "{message}");
    });
}

/// A `should_panic` test can expect the text.
#[test]
#[should_panic(expected = "the account is overdrawn")]
fn a_test_can_be_expected_to_panic() {
    run(async { panic!("the account is overdrawn") })
}
