//! Catching a cancellation: `catch_cancel`, and what stands on scopes, also inside the combinators of
//! other crates.

use std::future::pending;

use callsoon::{
    CancelOrigin, TaskGroup, catch_cancel, create_task, sleep, task, task_group, timeout, yield_now,
};
use futures::stream::{FuturesUnordered, StreamExt};

use crate::support::{Drops, Log, ms, virtual_loop};

/// C7, C16: a child that declines gives its parent a value, after a clean-up that takes time.
#[test]
fn child_that_declines_gives_its_parent_a_value() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let child = event_loop.create_task(async {
        match catch_cancel(sleep(ms(50))).await {
            Ok(()) => 1,
            Err(_) => {
                sleep(ms(5)).await;
                7
            }
        }
    });
    let parent = event_loop.create_task(async { child.await + 1 });
    let handle = parent.handle();
    let (asked, events) = (handle.clone(), log.clone());
    event_loop.call_later(ms(10), move || events.push(asked.cancel()));
    assert_eq!(event_loop.run_until_complete(parent).unwrap(), 8);
    assert_eq!((handle.cancelling(), event_loop.time()), (1, ms(15)));
    log.expect(&["true"]);
}

/// C14, C16: two cancels before delivery are caught once; a later one interrupts the clean-up.
#[test]
fn second_cancel_interrupts_the_clean_up() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let task = event_loop.create_task(async move {
        if let Err(first) = catch_cancel(sleep(ms(50))).await {
            events.push(format_args!("{:?}", first.origin()));
            if catch_cancel(sleep(ms(30))).await.is_err() {
                events.push("interrupted");
                yield_now().await;
                events.push("yielded");
            }
            first.reraise().await;
        }
    });
    let (one, two) = (task.handle(), task.handle());
    event_loop.call_later(ms(10), move || {
        one.cancel();
        one.cancel();
    });
    event_loop.call_later(ms(20), move || {
        two.cancel();
    });
    assert!(event_loop.run_until_complete(task).is_err());
    log.expect(&[
        &format!("{:?}", CancelOrigin::Requested),
        "interrupted",
        "yielded",
    ]);
    assert_eq!(event_loop.time(), ms(20));
}

#[test]
fn both_branches_of_a_join_catch_and_clean_up() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let (one, two) = (log.clone(), log.clone());
    let task = event_loop.create_task(async move {
        futures::join!(
            async {
                one.push(format_args!(
                    "a {}",
                    catch_cancel(sleep(ms(50))).await.is_err()
                ));
            },
            async {
                two.push(format_args!(
                    "b {}",
                    catch_cancel(sleep(ms(60))).await.is_err()
                ));
                sleep(ms(3)).await;
                two.push("b clean");
            }
        );
    });
    let handle = task.handle();
    event_loop.call_later(ms(10), move || {
        handle.cancel();
    });
    event_loop.run_until_complete(task).unwrap();
    log.expect(&["a true", "b true", "b clean"]);
    assert_eq!(event_loop.time(), ms(13));
}

#[test]
fn scopes_in_a_futures_unordered_catch_also_around_foreign_futures() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let task = event_loop.create_task(async move {
        let mut all = FuturesUnordered::new();
        for name in ["own", "foreign"] {
            let events = events.clone();
            all.push(async move {
                let caught = match name {
                    "own" => catch_cancel(sleep(ms(50))).await.is_err(),
                    _ => catch_cancel(pending::<()>()).await.is_err(),
                };
                events.push(format_args!("{name} {caught}"));
            });
        }
        while all.next().await.is_some() {}
    });
    let first = task.handle();
    event_loop.call_later(ms(10), move || {
        first.cancel();
    });
    let second = task.handle();
    event_loop.call_later(ms(20), move || {
        second.cancel();
    });
    event_loop.run_until_complete(task).unwrap();
    log.expect(&["own true", "foreign true"]);
}

/// A cancel is caught in every open scope of its task and in no other, in whatever order the scopes of
/// several tasks were closed and others opened in their places.
#[test]
fn scopes_of_several_tasks_catch_for_their_own_whatever_was_closed_before() {
    for stride in [1, 3, 5, 7] {
        let event_loop = virtual_loop();
        let branch = |number: u64, task: u64| async move {
            // Closed in another order than they were opened in; some before the cancel, some not.
            let long = ms(10 * (number * stride % 8) + task + 1);
            let first = catch_cancel(sleep(long)).await;
            match first {
                Ok(()) => (
                    1,
                    catch_cancel(timeout(ms(300), sleep(ms(100))))
                        .await
                        .is_err(),
                ),
                Err(_) => (0, true),
            }
        };
        let tasks: Vec<_> = (0..3)
            .map(|task| {
                event_loop.create_task(futures::future::join_all(
                    (0..8).map(move |number| branch(number, task)),
                ))
            })
            .collect();
        let asked = tasks[1].handle();
        event_loop.call_later(ms(45), move || {
            asked.cancel();
        });
        let mut ends = Vec::new();
        for task in tasks {
            ends.push(event_loop.run_until_complete(task).unwrap());
        }
        assert_eq!(ends[0], [(1, false); 8]);
        assert_eq!(ends[1].iter().map(|end| end.0).sum::<u32>(), 5);
        assert!(ends[1].iter().all(|(_, caught)| *caught));
        assert_eq!(ends[2], [(1, false); 8]);
    }
}

/// A timeout counts its own requests, so that two at once do not take each other for an outside one.
#[test]
fn timeouts_in_both_branches_of_a_join_expire_in_the_same_turn() {
    let event_loop = virtual_loop();
    let expired = event_loop.run_until_complete(async {
        let one = timeout(ms(10), sleep(ms(50)));
        let two = timeout(ms(10), sleep(ms(60)));
        let (one, two) = futures::join!(one, two);
        let task = callsoon::current_task().unwrap();
        (one.is_err(), two.is_err(), task.cancelling())
    });
    assert_eq!(expired.unwrap(), (true, true, 0));
    assert_eq!(event_loop.time(), ms(10));
}

/// O7: the inner one of two that expire together passes the cancellation on; the outer one reports.
#[test]
fn outer_of_two_timeouts_that_expire_together_reports() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(async {
        timeout(ms(10), async { timeout(ms(10), sleep(ms(90))).await }).await
    });
    assert!(result.unwrap().is_err());
}

/// O2: a cancel from outside in the turn of the deadline wins.
#[test]
fn outside_cancel_in_the_turn_of_the_deadline_wins() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(timeout(ms(10), sleep(ms(90))));
    let handle = task.handle();
    event_loop.call_at(ms(10), move || {
        handle.cancel();
    });
    assert!(event_loop.run_until_complete(task).is_err());
}

#[test]
fn many_scopes_and_timeouts_leave_nothing_behind() {
    let event_loop = virtual_loop();
    let drops = Drops::new();
    let counted = drops.clone();
    event_loop
        .run_until_complete(async move {
            for _ in 0..1_000 {
                let guard = counted.guard();
                let waits = timeout(ms(5), async move {
                    let _guard = guard;
                    sleep(ms(10)).await;
                });
                assert!(catch_cancel(waits).await.unwrap().is_err());
            }
        })
        .unwrap();
    assert_eq!(drops.count(), 1_000);
}

/// P4: children's errors come in the order of completion, the body's last.
#[test]
fn group_collects_the_errors_that_come_while_it_ends() {
    let event_loop = virtual_loop();
    let result: Result<(), _> = event_loop
        .run_until_complete(TaskGroup::run(async |group| {
            group.create_try_task(async {
                if catch_cancel(sleep(ms(100))).await.is_err() {
                    sleep(ms(5)).await;
                }
                Err::<(), _>("late")
            });
            group.create_try_task(async {
                sleep(ms(1)).await;
                Err::<(), _>("first")
            });
            sleep(ms(50)).await;
            Ok(())
        }))
        .unwrap();
    assert_eq!(result.unwrap_err().errors(), ["first", "late"]);
    assert_eq!(event_loop.time(), ms(6));
}

#[test]
fn group_that_is_dropped_cancels_its_tasks() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let guard = drops.guard();
    event_loop
        .run_until_complete(async move {
            let group = task_group(async |group| {
                group.create_task(async move {
                    let _guard = guard;
                    pending::<()>().await;
                });
                pending::<()>().await;
            });
            let mut group = Box::pin(group);
            futures::future::select(&mut group, Box::pin(sleep(ms(1)))).await;
            drop(group);
            yield_now().await;
        })
        .unwrap();
    assert_eq!(drops.count(), 1);
}

/// A1, A2: an eager task runs inside the call, as itself, and not in the scope of its creator.
#[test]
fn eager_task_runs_up_to_its_first_wait_outside_its_creators_scope() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let events = log.clone();
    let caught = event_loop.run_until_complete(async move {
        let creator = callsoon::current_task();
        let inner = events.clone();
        let caught = catch_cancel(async {
            let eager = task(async move {
                inner.push("started");
                inner.push(callsoon::current_task().is_some());
                sleep(ms(20)).await;
                inner.push("ended");
            })
            .eager_start()
            .spawn();
            events.push("created");
            assert_eq!(callsoon::current_task(), creator);
            let me = creator.clone().unwrap();
            callsoon::call_later(ms(5), move || {
                me.cancel();
            });
            sleep(ms(50)).await;
            drop(eager);
        })
        .await;
        sleep(ms(30)).await;
        caught.is_err()
    });
    assert!(caught.unwrap());
    log.expect(&["started", "true", "created", "ended"]);
}

#[test]
fn hundred_thousand_children_in_one_group() {
    let event_loop = virtual_loop();
    let left = event_loop.run_until_complete(task_group(async |group| {
        for _ in 0..100_000 {
            group.create_task(yield_now());
        }
        create_task(async { 5 }).await
    }));
    assert_eq!(left.unwrap(), 5);
}

/// A set that is polled by reference outlives a raise inside it: what it polls meanwhile it polls again.
#[test]
fn set_by_reference_goes_on_behind_a_cancellation_that_one_of_its_members_raised() {
    let event_loop = virtual_loop();
    let ends = event_loop.run_until_complete(async {
        let cancelled = create_task(std::future::pending::<u32>());
        let others: Vec<_> = (1..=3).map(|n| create_task(async move { n })).collect();
        cancelled.cancel();
        let mut set = FuturesUnordered::new();
        set.push(cancelled.into_future());
        set.extend(others.into_iter().map(IntoFuture::into_future));
        let mut ends = Vec::new();
        while ends.len() < 4 {
            ends.push(catch_cancel(set.next()).await.ok().flatten());
        }
        ends.sort();
        ends
    });
    assert_eq!(ends.unwrap(), [None, Some(1), Some(2), Some(3)]);
}
