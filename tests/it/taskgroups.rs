//! `TaskGroup` and `task_group`: tasks that end together.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;

use callsoon::{
    CancelledError, ExceptionGroup, ResultError, RunError, TaskGroup, TimeoutError, catch_cancel,
    current_task, sleep, task_group, timeout, yield_now,
};

use crate::support::{Drops, Log, fails, fails_after, ms, turns_of, virtual_loop};

type Failed = ExceptionGroup<&'static str>;

// ---- turns

/// P1, and table 2.0: an empty group costs no turn.
#[test]
fn empty_group_costs_no_turn() {
    let (turns, task) = turns_of(&virtual_loop(), task_group(async |_| 5));
    assert_eq!((turns, task.take_result().unwrap()), (0, 5));
}

/// P1: it waits for all children, however the body has ended.
#[test]
fn group_waits_for_all_children() {
    let event_loop = virtual_loop();
    let children = event_loop.run_until_complete(task_group(async |group| {
        [30, 10, 20].map(|n| group.create_task(sleep(ms(n))))
    }));
    assert!(children.unwrap().iter().all(|child| child.done()));
    assert_eq!(event_loop.time(), ms(30));
}

/// P2, and table 2.0: with one trivial child it takes three turns.
#[test]
fn group_of_one_trivial_child_takes_three_turns() {
    let group = task_group(async |group| drop(group.create_task(async {})));
    assert_eq!(turns_of(&virtual_loop(), group).0, 3);
}

/// Table 2.0: a child fails at 1 while its sibling sleeps: five turns.
#[test]
fn failure_beside_a_sleeping_sibling_takes_five_turns() {
    let group = TaskGroup::run(async |group| {
        group.create_try_task(fails("no"));
        group.create_task(sleep(ms(90)));
        Ok(())
    });
    let (turns, task) = turns_of(&virtual_loop(), group);
    let error: Failed = task.take_result().unwrap().unwrap_err();
    assert_eq!((turns, error.errors()), (5, &["no"][..]));
}

/// Table 2.0: a child fails at 1 while the body awaits: three turns; the same when the body has ended.
#[test]
fn failure_of_the_only_child_takes_three_turns() {
    for body_waits in [true, false] {
        let group = TaskGroup::run(async move |group| {
            group.create_try_task(fails("no"));
            if body_waits {
                sleep(ms(90)).await;
            }
            Ok(())
        });
        let (turns, task) = turns_of(&virtual_loop(), group);
        let error: Failed = task.take_result().unwrap().unwrap_err();
        assert_eq!((turns, error.errors()), (3, &["no"][..]));
    }
}

/// P16, and table 2.0: a timeout of zero around a group with a child that did not start.
#[test]
fn zero_timeout_around_a_group_takes_five_turns() {
    let group = task_group(async |group| drop(group.create_task(sleep(ms(90)))));
    let (turns, task) = turns_of(&virtual_loop(), timeout(ms(0), group));
    assert_eq!((turns, task.take_result().unwrap()), (5, Err(TimeoutError)));
}

// ---- a child fails

/// P3, P5: the siblings and the body are cancelled, the body sees a count of one; outside it is back.
#[test]
fn failing_child_cancels_siblings_and_body() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let result = event_loop.run_until_complete(async move {
        let me = current_task().unwrap();
        let result: Result<(), Failed> = TaskGroup::run(async |group| {
            group.create_try_task(fails_after(10, "no"));
            let sibling = events.clone();
            group.create_task(async move {
                let why = catch_cancel(sleep(ms(90))).await.unwrap_err();
                sibling.push("sibling");
                why.reraise().await
            });
            let why = catch_cancel(sleep(ms(90))).await.unwrap_err();
            events.push(format_args!("body {}", me.cancelling()));
            why.reraise().await
        })
        .await;
        (result.unwrap_err().into_errors(), me.cancelling())
    });
    assert_eq!(result.unwrap(), (vec!["no"], 0));
    log.expect(&["sibling", "body 1"]);
    assert_eq!(event_loop.time(), ms(10));
}

/// P4, P11: errors come in the order of completion, also those of children that clean up; being
/// cancelled is none.
#[test]
fn errors_come_in_order_of_completion_cancellations_do_not() {
    let event_loop = virtual_loop();
    let result: Result<Result<(), Failed>, _> =
        event_loop.run_until_complete(TaskGroup::run(async |group| {
            for (clean_up, error) in [(30, "slow"), (20, "quick")] {
                group.create_try_task(async move {
                    assert!(catch_cancel(sleep(ms(90))).await.is_err());
                    fails_after(clean_up, error).await
                });
            }
            group.create_task(pending::<()>());
            group.create_try_task(fails_after(10, "first"));
            Ok(())
        }));
    assert_eq!(
        result.unwrap().unwrap_err().errors(),
        ["first", "quick", "slow"]
    );
    assert_eq!(event_loop.time(), ms(40));
}

/// P5, A5: a child fails before the body has awaited anything: the body's first await is cancelled.
#[test]
fn child_that_fails_before_the_body_awaits_cancels_its_first_await() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let result: Result<Result<(), Failed>, _> =
        event_loop.run_until_complete(TaskGroup::run(async move |group| {
            // It has started at once, and failed.
            group.task(fails("at once")).eager_start().try_spawn();
            events.push(group.is_closed());
            assert!(catch_cancel(yield_now()).await.is_err());
            events.push(group.is_closed());
            Ok(())
        }));
    assert_eq!(result.unwrap().unwrap_err().errors(), ["at once"]);
    log.expect(&["false", "true"]);
}

/// P5: a child fails while the group waits for another one: the count is back afterwards.
#[test]
fn child_that_fails_while_the_group_waits_leaves_no_count() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(async {
        let result: Result<(), Failed> = TaskGroup::run(async |group| {
            group.create_try_task(fails_after(10, "no"));
            group.create_task(sleep(ms(90)));
            Ok(())
        })
        .await;
        // Nothing is left that would be raised here.
        yield_now().await;
        (
            result.unwrap_err().into_errors(),
            current_task().unwrap().cancelling(),
        )
    });
    assert_eq!(result.unwrap(), (vec!["no"], 0));
}

/// P4: a second one fails while the first failure's victims are cleaning up: nobody is asked again.
#[test]
fn child_that_fails_while_another_cleans_up_interrupts_nobody() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let result: Result<Result<(), Failed>, _> =
        event_loop.run_until_complete(TaskGroup::run(async move |group| {
            group.create_task(async move {
                assert!(catch_cancel(sleep(ms(90))).await.is_err());
                let cleaned = catch_cancel(sleep(ms(50))).await;
                events.push(format_args!("cleaned {}", cleaned.is_ok()));
            });
            group.create_try_task(fails_after(10, "first"));
            group.create_try_task(async {
                assert!(catch_cancel(sleep(ms(90))).await.is_err());
                fails_after(10, "second").await
            });
            Ok(())
        }));
    assert_eq!(result.unwrap().unwrap_err().errors(), ["first", "second"]);
    log.expect(&["cleaned true"]);
    assert_eq!(event_loop.time(), ms(60));
}

/// P6: an error of the body comes out in a group as well, also when there are no children.
#[test]
fn error_of_the_body_comes_out_in_a_group() {
    let (turns, task) = turns_of(
        &virtual_loop(),
        TaskGroup::run(async |_| fails("body").await),
    );
    let error = task.take_result().unwrap().unwrap_err();
    assert_eq!((turns, error.errors()), (0, &["body"][..]));
}

/// P6, P4: and cancels the children, whose errors come first.
#[test]
fn error_of_the_body_cancels_the_children_and_comes_last() {
    let event_loop = virtual_loop();
    let result: Result<Result<(), Failed>, _> =
        event_loop.run_until_complete(TaskGroup::run(async |group| {
            group.create_try_task(async {
                assert!(catch_cancel(sleep(ms(90))).await.is_err());
                fails_after(20, "child").await
            });
            sleep(ms(10)).await;
            fails("body").await
        }));
    assert_eq!(result.unwrap().unwrap_err().errors(), ["child", "body"]);
    assert_eq!(event_loop.time(), ms(30));
}

/// P7: a child that is cancelled by somebody, or cancels itself, does not abort the group.
#[test]
fn cancelled_child_does_not_abort_the_group() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(task_group(async |group| {
        let asked = group.create_task(sleep(ms(90)));
        group.create_task(CancelledError::new("by itself").raise());
        yield_now().await;
        asked.cancel();
        group.create_task(async { sleep(ms(10)).await }).await;
        group.is_closed()
    }));
    assert!(!result.unwrap());
    assert_eq!(event_loop.time(), ms(10));
}

/// P10: a body that declines goes on, and the group fails all the same.
#[test]
fn body_that_declines_goes_on_and_the_group_fails() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let (turns, task) = turns_of(&event_loop, async move {
        let result: Result<(), Failed> = TaskGroup::run(async |group| {
            group.create_try_task(fails("no"));
            assert!(catch_cancel(sleep(ms(90))).await.is_err());
            yield_now().await;
            events.push(format_args!("{group:?}"));
            Ok(())
        })
        .await;
        (
            result.unwrap_err().into_errors(),
            current_task().unwrap().cancelling(),
        )
    });
    assert_eq!((turns, task.take_result().unwrap()), (4, (vec!["no"], 0)));
    log.expect(&["<TaskGroup tasks=0 cancelling>"]);
}

/// P12: children that had not started when the group was aborted never do.
#[test]
fn children_that_had_not_started_never_run() {
    let (event_loop, log, drops) = (virtual_loop(), Log::new(), Drops::new());
    let (events, guard) = (log.clone(), drops.guard());
    let result: Result<Result<(), Failed>, _> =
        event_loop.run_until_complete(TaskGroup::run(async move |group| {
            group.create_task(async move {
                let _guard = guard;
                events.push("ran");
            });
            fails("body").await
        }));
    assert_eq!(result.unwrap().unwrap_err().errors(), ["body"]);
    log.expect(&[]);
    assert_eq!(drops.count(), 1);
}

/// Children are cancelled in the order in which they were made. (asyncio leaves that open.)
#[test]
fn children_are_cancelled_in_order_of_creation() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let result: Result<Result<(), Failed>, _> =
        event_loop.run_until_complete(TaskGroup::run(async move |group| {
            // The second takes the place that the first leaves.
            let mut early = Some(group.create_task(yield_now()));
            for n in 0..4 {
                let events = events.clone();
                group.create_task(async move {
                    assert!(catch_cancel(sleep(ms(90))).await.is_err());
                    events.push(n);
                });
                if let Some(early) = early.take() {
                    early.await;
                    yield_now().await;
                }
            }
            yield_now().await;
            fails("body").await
        }));
    assert!(result.unwrap().is_err());
    log.expect(&["0", "1", "2", "3"]);
}

// ---- cancelled from outside

/// P8: while the group waits, or its body does: all children are cancelled and awaited, then the
/// cancellation goes on.
#[test]
fn outside_cancel_reaches_the_children_and_goes_on() {
    for body_waits in [true, false] {
        let (event_loop, log) = (virtual_loop(), Log::new());
        let events = log.clone();
        let task = event_loop.create_task(async move {
            let caught = catch_cancel(task_group(async |group| {
                for n in 0..2 {
                    let events = events.clone();
                    group.create_task(async move {
                        let why = catch_cancel(sleep(ms(90))).await.unwrap_err();
                        sleep(ms(5 + n)).await;
                        events.push(n);
                        why.reraise().await
                    });
                }
                if body_waits {
                    sleep(ms(90)).await;
                }
            }));
            let caught = caught.await.unwrap_err();
            (
                caught.message().map(str::to_owned),
                current_task().unwrap().cancelling(),
            )
        });
        let handle = task.handle();
        event_loop.call_at(ms(10), move || {
            handle.cancel_with("enough");
        });
        let caught = event_loop.run_until_complete(task);
        assert_eq!(caught.unwrap(), (Some("enough".into()), 1));
        log.expect(&["0", "1"]);
        assert_eq!(event_loop.time(), ms(16));
    }
}

/// P8: a second cancel while the group waits for the clean-up does not end the wait, nor interrupt it.
#[test]
fn second_outside_cancel_does_not_end_the_wait() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(task_group(async |group| {
        group.create_task(async {
            assert!(catch_cancel(sleep(ms(90))).await.is_err());
            sleep(ms(50)).await;
        });
    }));
    let handle = task.handle();
    for when in [10, 20, 30] {
        let handle = handle.clone();
        event_loop.call_at(ms(when), move || {
            handle.cancel();
        });
    }
    assert!(matches!(
        event_loop.run_until_complete(task),
        Err(RunError::Cancelled(_))
    ));
    assert_eq!((event_loop.time(), handle.cancelling()), (ms(60), 3));
}

/// P9: an outside cancel and an error of a child: the errors come out, and the cancel is raised at
/// the next await; the count stays.
#[test]
fn outside_cancel_with_an_error_is_raised_at_the_next_await() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let task = event_loop.create_task(async move {
        let me = current_task().unwrap();
        let result: Result<(), Failed> = TaskGroup::run(async |group| {
            group.create_try_task(async {
                assert!(catch_cancel(sleep(ms(90))).await.is_err());
                fails("while cleaning up").await
            });
            Ok(())
        })
        .await;
        events.push(format_args!(
            "{:?} {}",
            result.unwrap_err().errors(),
            me.cancelling()
        ));
        let next = catch_cancel(yield_now()).await;
        events.push(format_args!("{} {}", next.is_err(), me.cancelling()));
        yield_now().await;
        events.push("and then no more");
    });
    let handle = task.handle();
    event_loop.call_at(ms(10), move || {
        handle.cancel();
    });
    event_loop.run_until_complete(task).unwrap();
    log.expect(&["[\"while cleaning up\"] 1", "true 1", "and then no more"]);
}

/// C21: what a declined cancel left behind makes a later failing group raise at the next await.
#[test]
fn residue_of_a_declined_cancel_is_raised_behind_a_failing_group() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        assert!(catch_cancel(sleep(ms(90))).await.is_err());
        let result: Result<(), Failed> = TaskGroup::run(async |_| fails("no").await).await;
        assert!(result.is_err());
        catch_cancel(yield_now()).await.is_err()
    });
    let handle = task.handle();
    event_loop.call_at(ms(10), move || {
        handle.cancel();
    });
    assert!(event_loop.run_until_complete(task).unwrap());
}

/// P16: a timeout around a group cancels the group, and reports.
#[test]
fn timeout_around_a_group_cancels_it_and_reports() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let result = event_loop.run_until_complete(async move {
        let group = task_group(async move |group| {
            group.create_task(async move {
                let why = catch_cancel(sleep(ms(90))).await.unwrap_err();
                sleep(ms(5)).await;
                events.push("cleaned");
                why.reraise().await
            });
            sleep(ms(90)).await;
        });
        (
            timeout(ms(10), group).await,
            current_task().unwrap().cancelling(),
        )
    });
    assert_eq!(result.unwrap(), (Err(TimeoutError), 0));
    log.expect(&["cleaned"]);
    assert_eq!(event_loop.time(), ms(15));
}

/// P16 with P9: a child fails while the timeout ends the group: its error comes out, and nothing is
/// left to be raised.
#[test]
fn error_of_a_child_beats_the_timeout_around_its_group() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(async {
        let group = TaskGroup::run(async |group| {
            group.create_try_task(async {
                assert!(catch_cancel(sleep(ms(90))).await.is_err());
                fails("no").await
            });
            Ok(())
        });
        let result: Result<Result<(), Failed>, _> = timeout(ms(10), group).await;
        yield_now().await;
        (
            result.unwrap().unwrap_err().into_errors(),
            current_task().unwrap().cancelling(),
        )
    });
    assert_eq!(result.unwrap(), (vec!["no"], 0));
}

/// Groups nest: the inner one's errors are one error of the outer.
#[test]
fn nested_group_fails_as_one_error_of_the_outer() {
    let event_loop = virtual_loop();
    let result: Result<Result<(), ExceptionGroup<Failed>>, _> =
        event_loop.run_until_complete(TaskGroup::run(async |outer| {
            outer.create_try_task(TaskGroup::run(async |inner| {
                inner.create_try_task(fails("a"));
                inner.create_try_task(fails("b"));
                Ok(())
            }));
            sleep(ms(90)).await;
            Ok(())
        }));
    let error = result.unwrap().unwrap_err();
    assert_eq!(error.errors()[0].errors(), ["a", "b"]);
    assert_eq!(
        error.to_string(),
        "1 error in a group: 2 errors in a group: a; b"
    );
}

/// A group in the body of another, in one task: each takes back its own request.
#[test]
fn inner_group_fails_inside_the_body_of_the_outer() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(task_group(async |outer| {
        outer.create_task(sleep(ms(20)));
        let inner: Result<(), Failed> = TaskGroup::run(async |inner| {
            inner.create_try_task(fails_after(10, "inner"));
            sleep(ms(90)).await;
            Ok(())
        })
        .await;
        yield_now().await;
        (
            inner.unwrap_err().into_errors(),
            outer.is_closed(),
            current_task().unwrap().cancelling(),
        )
    }));
    assert_eq!(result.unwrap(), (vec!["inner"], false, 0));
    assert_eq!(event_loop.time(), ms(20));
}

// ---- adding tasks

/// P13: refused while the group is being aborted, and when all is over; the coroutine is dropped at
/// once, and the task is born cancelled (DIFFERENCE: asyncio raises RuntimeError).
#[test]
fn task_added_to_a_closed_group_is_born_cancelled() {
    #[track_caller]
    fn check_refused(group: &TaskGroup<&'static str>) {
        let drops = Drops::new();
        let guard = drops.guard();
        let task = group.create_task(async move {
            let _guard = guard;
        });
        assert!(group.is_closed() && task.cancelled());
        assert_eq!(drops.count(), 1);
        assert!(matches!(task.result(), Err(ResultError::Cancelled(_))));
        assert!(group.create_try_task(fails("late")).cancelled());
    }
    let event_loop = virtual_loop();
    let kept = Rc::new(RefCell::new(None));
    let group = kept.clone();
    let result = event_loop.run_until_complete(TaskGroup::run(async move |group| {
        kept.replace(Some(group.clone()));
        group.create_try_task(fails("no"));
        assert!(catch_cancel(sleep(ms(90))).await.is_err());
        check_refused(group);
        Ok(())
    }));
    assert_eq!(result.unwrap().unwrap_err().errors(), ["no"]);
    check_refused(&group.take().unwrap());
}

/// P13: allowed while the group waits for its last child.
#[test]
fn child_may_add_a_sibling_while_the_group_waits() {
    let event_loop = virtual_loop();
    let drops = Drops::new();
    let guard = drops.guard();
    event_loop
        .run_until_complete(task_group(async move |group| {
            let more = group.clone();
            group.create_task(async move {
                sleep(ms(10)).await;
                assert!(!more.is_closed());
                more.create_task(async move {
                    let _guard = guard;
                    sleep(ms(10)).await;
                });
            });
        }))
        .unwrap();
    assert_eq!((drops.count(), event_loop.time()), (1, ms(20)));
}

/// P13: the last child is over but the group has not gone on yet: that is too late.
#[test]
fn callback_of_the_last_child_comes_too_late_for_a_sibling() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    event_loop
        .run_until_complete(task_group(async move |group| {
            let last = group.create_task(async {});
            let group = group.clone();
            last.add_done_callback(move |_| {
                let late = group.create_task(async {});
                events.push(format_args!("{} {}", group.is_closed(), late.cancelled()));
            });
        }))
        .unwrap();
    log.expect(&["true true"]);
}

/// A task that was refused is awaited like any cancelled task.
#[test]
fn await_of_a_refused_task_is_cancelled() {
    let event_loop = virtual_loop();
    let group = event_loop
        .run_until_complete(task_group(async |group| group.clone()))
        .unwrap();
    let task = event_loop.create_task(async move { group.create_task(async {}).await });
    assert!(matches!(
        event_loop.run_until_complete(task),
        Err(RunError::Cancelled(_))
    ));
}
