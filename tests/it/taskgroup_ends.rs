//! `TaskGroup` and `task_group`: how they end, by errors, panics and drops, and how many they hold.

use std::cell::RefCell;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use callsoon::{
    ExceptionGroup, ResultError, TaskGroup, catch_cancel, create_task, current_task,
    get_running_loop, sleep, task_group, yield_now,
};
use futures::future::select;

use crate::support::{Drops, Log, OnDrop, fails, fails_after, ms, settle, turn, virtual_loop};

type Failed = ExceptionGroup<&'static str>;

// ---- errors

/// Errors need not be `Clone`: they move into the group, and the task's own result is taken.
#[test]
fn errors_move_into_the_group() {
    #[derive(Debug)]
    struct NotClone(Rc<RefCell<u8>>);
    let event_loop = virtual_loop();
    let shared = Rc::new(RefCell::new(7));
    let error = NotClone(shared.clone());
    let child = Rc::new(RefCell::new(None));
    let made = child.clone();
    let result: Result<Result<(), ExceptionGroup<NotClone>>, _> =
        event_loop.run_until_complete(TaskGroup::run(async move |group| {
            made.replace(Some(group.create_try_task(async { Err::<(), _>(error) })));
            Ok(())
        }));
    let [NotClone(inside)] = &result.unwrap().unwrap_err().into_errors()[..] else {
        panic!("one error");
    };
    assert!(Rc::ptr_eq(inside, &shared));
    let taken = child
        .take()
        .unwrap()
        .with_result(|result| matches!(result, Err(ResultError::Taken)));
    assert!(taken);
}

/// After: test_except_star. What is not handled goes on, as a group, in the order in which it came.
#[test]
fn a_group_splits_into_what_is_handled_and_the_rest() {
    let event_loop = virtual_loop();
    let result: Result<Result<(), Failed>, _> =
        event_loop.run_until_complete(TaskGroup::run(async |group| {
            for error in ["late 1", "disk", "late 2", "network"] {
                group.create_try_task(fails(error));
            }
            Ok(())
        }));
    let failed = result.unwrap().unwrap_err();
    let (late, rest) = failed.split(|error| error.starts_with("late"));
    let (late, rest) = (late.unwrap(), rest.unwrap());
    assert_eq!(late.errors(), ["late 1", "late 2"]);
    assert_eq!(late.to_string(), "2 errors in a group: late 1; late 2");
    assert_eq!(rest, ExceptionGroup::new(["disk", "network"]));
    // The rest is the error of another group, or of the same kind of function.
    let again: Result<Result<(), ExceptionGroup<Failed>>, _> =
        event_loop.run_until_complete(TaskGroup::run(async |_| Err(rest)));
    assert_eq!(again.unwrap().unwrap_err().errors()[0].errors().len(), 2);
}

/// A part without errors is no group.
#[test]
fn a_part_of_a_group_without_errors_is_nothing() {
    let group = || ExceptionGroup::new([1, 2]);
    assert_eq!(group().split(|_| true), (Some(group()), None));
    assert_eq!(group().split(|_| false), (None, Some(group())));
    assert_eq!(group().subgroup(|_| false), None);
    let two = group().subgroup(|&n| n == 2).unwrap();
    assert_eq!(two.to_string(), "1 error in a group: 2");
}

/// DIFFERENCE: a group whose errors were all moved out of its tasks is empty, and so are its parts.
#[test]
fn a_group_whose_errors_were_taken_has_no_parts() {
    let event_loop = virtual_loop();
    let result: Result<Result<(), Failed>, _> =
        event_loop.run_until_complete(TaskGroup::run(async |group| {
            let task = group.create_try_task(fails("no"));
            task.add_done_callback(|task| drop(task.take_result()));
            Ok(())
        }));
    let empty = result.unwrap().unwrap_err();
    assert_eq!(empty.to_string(), "0 errors in a group");
    assert_eq!(empty.split(|_| true), (None, None));
}

/// As in Python, which has a ValueError for it.
#[test]
#[should_panic(expected = "a group of errors has one at least")]
fn a_group_is_not_made_of_nothing() {
    ExceptionGroup::<&str>::new([]);
}

/// A body that awaits the child that fails does not get its error: it is cancelled first.
#[test]
fn body_that_awaits_the_failing_child_is_cancelled() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let result: Result<Result<(), Failed>, _> =
        event_loop.run_until_complete(TaskGroup::run(async move |group| {
            let child = group.create_try_task(fails("no"));
            events.push(catch_cancel(child).await.is_err());
            Ok(())
        }));
    assert_eq!(result.unwrap().unwrap_err().errors(), ["no"]);
    log.expect(&["true"]);
}

/// An error that somebody took out of the task's result is not in the group, which fails all the same.
#[test]
fn error_that_was_taken_is_not_in_the_group() {
    let event_loop = virtual_loop();
    let result: Result<Result<(), Failed>, _> =
        event_loop.run_until_complete(TaskGroup::run(async |group| {
            let child = group.create_try_task(fails("no"));
            child.add_done_callback(|child| assert_eq!(child.take_result().unwrap(), Err("no")));
            Ok(())
        }));
    assert_eq!(result.unwrap().unwrap_err().errors(), [""; 0]);
}

/// A clone of the error stays with the task.
#[test]
fn shared_error_is_in_both_places() {
    let event_loop = virtual_loop();
    let child = Rc::new(RefCell::new(None));
    let made = child.clone();
    let result: Result<Result<(), Failed>, _> =
        event_loop.run_until_complete(TaskGroup::run(async move |group| {
            made.replace(Some(group.create_try_task_shared(fails("no"))));
            Ok(())
        }));
    assert_eq!(result.unwrap().unwrap_err().errors(), ["no"]);
    assert_eq!(child.take().unwrap().take_result().unwrap(), Err("no"));
}

// ---- panics and drops

/// P14: a child that panics aborts the group, and the panic goes on when all is over.
#[test]
fn panic_of_a_child_aborts_the_group_and_goes_on() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let task = event_loop.create_task(task_group(async move |group| {
        group.create_task(async { panic!("bang") });
        group.create_task(async move {
            assert!(catch_cancel(sleep(ms(90))).await.is_err());
            sleep(ms(5)).await;
            events.push("cleaned");
        });
        sleep(ms(90)).await;
    }));
    let outcome = event_loop.run_until_complete(task.outcome()).unwrap();
    assert_eq!(outcome.unwrap_err().panic().unwrap().message(), "bang");
    log.expect(&["cleaned"]);
    assert_eq!(event_loop.time(), ms(5));
}

/// P14: so does a body that panics, and one that panics in its drop.
#[test]
fn panic_of_the_body_cancels_the_children_and_goes_on() {
    for in_drop in [true, false] {
        let (event_loop, drops) = (virtual_loop(), Drops::new());
        let guard = drops.guard();
        let task = event_loop.create_task(task_group(async move |group| {
            group.create_task(async move {
                let _guard = guard;
                assert!(catch_cancel(sleep(ms(90))).await.is_err());
                sleep(ms(5)).await;
            });
            yield_now().await;
            let _bomb = OnDrop::new(|| panic!("bang"));
            if in_drop {
                return;
            }
            pending::<()>().await;
        }));
        if !in_drop {
            let handle = task.handle();
            event_loop.call_at(ms(1), move || {
                handle.cancel();
            });
        }
        let outcome = event_loop.run_until_complete(task.outcome()).unwrap();
        assert_eq!(outcome.unwrap_err().panic().unwrap().message(), "bang");
        assert_eq!(drops.count(), 1);
        assert!(event_loop.all_tasks().is_empty());
    }
}

/// P14: a child that panics in its drop, while the group cancels it, is a child that panics.
#[test]
fn child_that_panics_as_it_is_cancelled_makes_the_group_panic() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(TaskGroup::run(async |group| {
        group.create_task(async {
            let _bomb = OnDrop::new(|| panic!("bomb"));
            pending::<()>().await;
        });
        yield_now().await;
        fails("body").await
    }));
    let outcome: Result<Result<Result<(), Failed>, _>, _> =
        event_loop.run_until_complete(task.outcome());
    assert_eq!(
        outcome.unwrap().unwrap_err().panic().unwrap().message(),
        "bomb"
    );
    assert!(event_loop.all_tasks().is_empty());
}

/// P14: the errors that a panic keeps from coming out are reported.
#[test]
fn errors_beside_a_panic_are_reported() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    event_loop.set_exception_handler(move |_, context| events.push(context.message()));
    let task = event_loop.create_task(TaskGroup::run(async |group| {
        group.create_try_task(fails("lost"));
        group.create_task(async { panic!("bang") });
        Ok(())
    }));
    let outcome: Result<Result<Result<(), Failed>, _>, _> =
        event_loop.run_until_complete(task.outcome());
    assert!(outcome.unwrap().unwrap_err().panic().is_some());
    log.expect(&["task error was never retrieved"]);
}

/// P14: so are the panics that do not go on: one does, and the body's before any other.
#[test]
fn panics_beside_a_panic_are_reported() {
    for body_panics in [true, false] {
        let (event_loop, log) = (virtual_loop(), Log::new());
        let events = log.clone();
        event_loop.set_exception_handler(move |_, context| {
            let panic = context.panic().unwrap();
            events.push(format_args!("{}: {}", context.message(), panic.message()));
        });
        let task = event_loop.create_task(task_group(async move |group| {
            group.create_task(async { panic!("first") });
            group.create_task(async { panic!("second") });
            if body_panics {
                yield_now().await;
                panic!("body");
            }
        }));
        let outcome = event_loop.run_until_complete(task.outcome()).unwrap();
        let error = outcome.unwrap_err();
        let lost = |name| format!("task panic was never retrieved: {name}");
        if body_panics {
            assert_eq!(error.panic().unwrap().message(), "body");
            log.expect(&[&lost("first"), &lost("second")]);
        } else {
            assert_eq!(error.panic().unwrap().message(), "first");
            log.expect(&[&lost("second")]);
        }
    }
}

/// Dropped, not cancelled: the children are cancelled, and nobody waits for them.
#[test]
fn dropped_group_cancels_its_children_and_lets_them_clean_up() {
    for body_waits in [true, false] {
        let (event_loop, log) = (virtual_loop(), Log::new());
        let events = log.clone();
        event_loop
            .run_until_complete(async move {
                let group = task_group(async |group| {
                    group.create_task(async move {
                        assert!(catch_cancel(sleep(ms(90))).await.is_err());
                        sleep(ms(5)).await;
                        events.push("cleaned");
                    });
                    if body_waits {
                        sleep(ms(90)).await;
                    }
                });
                drop(select(Box::pin(group), Box::pin(sleep(ms(1)))).await);
                assert_eq!(current_task().unwrap().cancelling(), 0);
                sleep(ms(10)).await;
            })
            .unwrap();
        log.expect(&["cleaned"]);
    }
}

/// Dropped in the turn in which a child failed: the group will not tell, so the task does.
#[test]
fn error_of_a_dropped_group_is_reported() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    event_loop.set_exception_handler(move |_, context| events.push(context.message()));
    let task = event_loop.create_task(async {
        let group = TaskGroup::run(async |group| {
            group.create_try_task(fails("lost"));
            pending::<()>().await;
            Ok(())
        });
        let mut group = Box::pin(group);
        assert!(futures::poll!(&mut group).is_pending());
        yield_now().await;
        // The child has failed in this turn, and the group has not heard of it.
        drop(group);
    });
    settle(&event_loop);
    assert!(task.done());
    log.expect(&["task error was never retrieved"]);
}

/// A child adds to a group that was dropped: refused.
#[test]
fn dropped_group_is_closed() {
    let event_loop = virtual_loop();
    let kept = Rc::new(RefCell::new(None));
    let inside = kept.clone();
    event_loop
        .run_until_complete(async move {
            let mut group = Box::pin(task_group(async |group| {
                inside.replace(Some(group.clone()));
                pending::<()>().await;
            }));
            assert!(futures::poll!(&mut group).is_pending());
        })
        .unwrap();
    let group = kept.take().unwrap();
    assert!(group.is_closed() && group.create_task(async {}).cancelled());
    assert_eq!(format!("{group:?}"), "<TaskGroup tasks=0 cancelling>");
}

/// A child whose drop cancels the group's own task, while that leaves the group.
#[test]
fn drop_of_a_child_may_cancel_the_parent() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        let me = current_task().unwrap();
        let result: Result<(), Failed> = TaskGroup::run(async |group| {
            group.create_task(async move {
                let _cancels = OnDrop::new(move || {
                    me.cancel();
                });
                pending::<()>().await;
            });
            yield_now().await;
            fails("body").await
        })
        .await;
        assert_eq!(result.unwrap_err().errors(), ["body"]);
        catch_cancel(yield_now()).await.is_err()
    });
    assert!(event_loop.run_until_complete(task).unwrap());
}

/// It needs a task.
#[test]
fn group_outside_a_task_panics() {
    let group = task_group(async |_| ());
    let panicked = catch_unwind(AssertUnwindSafe(|| futures::executor::block_on(group)));
    let message = *panicked.unwrap_err().downcast::<String>().unwrap();
    assert!(
        message.contains("outside a task of a running loop"),
        "{message}"
    );
    assert!(message.contains("taskgroup_ends.rs"), "{message}");
}

/// The loop is closed while a group waits: everything is dropped.
#[test]
fn loop_closed_under_a_group_drops_everything() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let (body, child) = (drops.guard(), drops.guard());
    let task = event_loop.create_task(task_group(async move |group| {
        let _body = body;
        group.create_task(async move {
            let _child = child;
            pending::<()>().await;
        });
        pending::<()>().await;
    }));
    turn(&event_loop);
    turn(&event_loop);
    drop(event_loop);
    assert_eq!(drops.count(), 2);
    assert!(!task.done());
}

/// Children may capture `Rc`, the body borrow from its own frame and the caller's.
#[test]
fn body_borrows_and_children_capture_rc() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let mut sum = 0;
        task_group(async |group| {
            let numbers = [1, 2, 3];
            for number in &numbers {
                let (seen, number) = (seen.clone(), *number);
                sum += group
                    .create_task(async move {
                        sleep(ms(number)).await;
                        seen.borrow_mut().push(number);
                        number
                    })
                    .await;
            }
        })
        .await;
        (sum, seen.take())
    });
    assert_eq!(result.unwrap(), (6, vec![1, 2, 3]));
}

// ---- many

/// A hundred thousand children that fail one after the other, after the first has aborted the group.
#[test]
fn hundred_thousand_failing_children() {
    let event_loop = virtual_loop();
    let result: Result<Result<(), ExceptionGroup<usize>>, _> =
        event_loop.run_until_complete(TaskGroup::run(async |group| {
            for n in 0..100_000 {
                group.create_try_task(async move { Err::<(), _>(n) });
            }
            Ok(())
        }));
    let errors = result.unwrap().unwrap_err().into_errors();
    assert!(errors.into_iter().eq(0..100_000));
}

/// A hundred thousand sleepers, cancelled by one failure.
#[test]
fn hundred_thousand_children_cancelled_by_one_failure() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let counted = drops.clone();
    let result: Result<Result<(), Failed>, _> =
        event_loop.run_until_complete(TaskGroup::run(async move |group| {
            for _ in 0..100_000 {
                let guard = counted.guard();
                group.create_task(async move {
                    let _guard = guard;
                    sleep(ms(90)).await;
                });
            }
            group.create_try_task(fails_after(10, "no"));
            Ok(())
        }));
    assert_eq!(result.unwrap().unwrap_err().errors(), ["no"]);
    assert_eq!((drops.count(), event_loop.time()), (100_000, ms(10)));
}

/// A thousand groups inside each other, as children of children: the innermost fails, and every level
/// wraps it, or is cancelled from outside.
#[test]
fn deep_tree_of_groups_is_cancelled_from_the_top() {
    fn nest(depth: u32, drops: Drops) -> std::pin::Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(task_group(async move |group| {
            let _guard = drops.guard();
            if depth > 0 {
                group.create_task(nest(depth - 1, drops.clone()));
            }
            pending::<()>().await;
        }))
    }
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let task = event_loop.create_task(nest(1_000, drops.clone()));
    event_loop.call_at(ms(10), || ());
    settle(&event_loop);
    task.cancel();
    settle(&event_loop);
    assert!(task.cancelled());
    assert_eq!((drops.count(), event_loop.all_tasks().len()), (1_001, 0));
}

/// A group whose tasks come and go for long finds those that are left when it is aborted, in the order in
/// which they were made.
#[test]
fn group_that_has_had_many_tasks_cancels_those_that_are_left() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let result: Result<Result<(), Failed>, _> =
        event_loop.run_until_complete(TaskGroup::run(async move |group| {
            for n in 0..100 {
                let events = events.clone();
                group.create_task(async move {
                    if n % 20 == 0 {
                        let _guard = OnDrop::new(move || events.push(n));
                        pending::<()>().await;
                    }
                });
                yield_now().await;
            }
            group.create_try_task(fails("no"));
            Ok(())
        }));
    assert_eq!(result.unwrap().unwrap_err().errors(), ["no"]);
    log.expect(&["0", "20", "40", "60", "80"]);
}

/// The current task of a child is the child, and the group does not show in it.
#[test]
fn children_are_tasks_of_their_own() {
    let event_loop = virtual_loop();
    let (outer, inner) = event_loop
        .run_until_complete(task_group(async |group| {
            let outer = current_task();
            (outer, group.create_task(async { current_task() }).await)
        }))
        .unwrap();
    assert_ne!(outer, inner);
    let task = event_loop.create_task(async { create_task(async {}).await });
    event_loop.run_until_complete(task).unwrap();
    assert!(catch_unwind(|| get_running_loop()).is_err());
}
