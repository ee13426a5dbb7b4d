//! What `catch_cancel` catches, and what becomes of it.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use callsoon::{
    CancelOrigin, CancelledError, EventLoop, ResultError, Task, TaskHandle, catch_cancel,
    create_task, current_task, get_running_loop, sleep, task_group, timeout, wait_for, yield_now,
};
use futures::future::{FusedFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};

use crate::support::{Drops, Log, OnDrop, ms, settle, turn, turns_of, virtual_loop};

// ---- what a scope catches, and what becomes of it

/// C8: a child that turns its cancellation into an error gives its parent that.
#[test]
fn child_that_fails_instead_gives_its_parent_the_error() {
    let event_loop = virtual_loop();
    let child = event_loop.create_task(async {
        match catch_cancel(sleep(ms(50))).await {
            Ok(()) => Ok(()),
            Err(_) => Err("disk full"),
        }
    });
    let parent = event_loop.create_task(async { (child.await, catch_cancel(yield_now()).await) });
    let handle = parent.handle();
    cancel_at(&event_loop, ms(10), &handle);
    let (error, next) = event_loop.run_until_complete(parent).unwrap();
    assert_eq!((error, next.is_ok()), (Err("disk full"), true));
    assert_eq!((handle.cancelled(), handle.cancelling()), (false, 1));
}

/// C15: what is awaited after the catch runs normally, until somebody cancels again.
#[test]
fn cancellation_is_delivered_once() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let task = event_loop.create_task(async move {
        for _ in 0..3 {
            let caught = catch_cancel(sleep(ms(20))).await.is_err();
            events.push(format_args!("{caught} {:?}", get_running_loop().time()));
        }
    });
    for when in [10, 45] {
        cancel_at(&event_loop, ms(when), &task.handle());
    }
    event_loop.run_until_complete(task).unwrap();
    log.expect(&["true 10ms", "false 30ms", "true 45ms"]);
}

/// C18: a task that declines and returns has a result; the count stays.
#[test]
fn task_that_declines_has_a_result_and_keeps_its_count() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async { catch_cancel(pending::<()>()).await.is_err() });
    turn(&event_loop);
    task.cancel();
    settle(&event_loop);
    assert_eq!((task.cancelled(), task.cancelling()), (false, 1));
    assert!(task.result().unwrap());
}

/// C9: a task that is cancelled before its first step opens no scope.
#[test]
fn cancel_before_the_first_step_is_not_caught() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let guard = drops.guard();
    let task = event_loop.create_task(catch_cancel(async move {
        let _guard = guard;
        pending::<()>().await;
    }));
    task.cancel();
    settle(&event_loop);
    assert!(task.cancelled());
    assert_eq!(drops.count(), 1);
}

/// C10: cancelled after the future completed and before the task went on: the scope catches, and the
/// value stays with the future.
#[test]
fn cancel_between_completion_and_resumption_is_caught() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<u8>();
    let task = event_loop.create_task(catch_cancel((&future).into_future()));
    turn(&event_loop);
    future.set_result(3).unwrap();
    task.cancel();
    settle(&event_loop);
    assert!(task.take_result().unwrap().is_err());
    assert_eq!(future.result().unwrap(), 3);
}

/// C10: a done-callback cancels the task that is about to go on with the result.
#[test]
fn cancel_from_a_done_callback_is_caught() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<u8>();
    let task = event_loop.create_task(catch_cancel((&future).into_future()));
    let handle = task.handle();
    future.add_done_callback(move |_| {
        handle.cancel();
    });
    turn(&event_loop);
    future.set_result(3).unwrap();
    settle(&event_loop);
    assert!(task.take_result().unwrap().is_err());
}

/// C11: a task that cancels itself in a scope is caught there, at its next real wait.
#[test]
fn self_cancel_is_caught_at_the_next_wait_in_the_scope() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let task = event_loop.create_task(async move {
        let me = current_task().unwrap();
        let caught = catch_cancel(async {
            me.cancel_with("enough");
            async {}.await;
            events.push("no wait yet");
            yield_now().await;
            events.push("not reached");
        });
        caught.await.unwrap_err().message().map(str::to_owned)
    });
    assert_eq!(
        event_loop.run_until_complete(task).unwrap().as_deref(),
        Some("enough")
    );
    log.expect(&["no wait yet"]);
}

/// C11: a scope that ends without a wait is over: the cancellation comes at the next wait outside.
#[test]
fn self_cancel_in_a_scope_that_returns_is_raised_outside() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        let me = current_task().unwrap();
        let inside = catch_cancel(async { me.cancel() }).await.is_ok();
        (inside, catch_cancel(yield_now()).await.is_err())
    });
    assert_eq!(event_loop.run_until_complete(task).unwrap(), (true, true));
}

/// C17: what somebody else cancelled is caught as well; the task was not asked.
#[test]
fn awaited_future_that_was_cancelled_is_caught_as_such() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<()>();
    let shared = future.clone();
    let task = event_loop.create_task(async move {
        let why = catch_cancel(shared).await.unwrap_err();
        (why.origin(), current_task().unwrap().cancelling())
    });
    turn(&event_loop);
    let line = line!() + 1;
    future.cancel_with("by somebody");
    settle(&event_loop);
    assert_eq!(task.take_result().unwrap(), (CancelOrigin::Awaited, 0));
    let Err(ResultError::Cancelled(why)) = future.result() else {
        panic!("it is cancelled")
    };
    assert_eq!(
        (why.message(), why.location().line()),
        (Some("by somebody"), line)
    );
}

/// C19, C20: the handler of a cancellation takes the request back.
#[test]
fn handler_that_uncancels_leaves_no_count() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        assert!(catch_cancel(sleep(ms(50))).await.is_err());
        let me = current_task().unwrap();
        (
            me.uncancel(),
            me.uncancel(),
            catch_cancel(yield_now()).await.is_ok(),
        )
    });
    cancel_at(&event_loop, ms(10), &task.handle());
    assert_eq!(event_loop.run_until_complete(task).unwrap(), (0, 0, true));
}

/// C20: taken back before it is delivered, the request does not reach the scope.
#[test]
fn uncancel_before_delivery_spares_the_scope() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        let me = current_task().unwrap();
        let caught = catch_cancel(async {
            me.cancel();
            me.uncancel();
            yield_now().await;
        });
        caught.await.is_ok()
    });
    assert!(event_loop.run_until_complete(task).unwrap());
}

// ---- who was asked

/// A handler that awaits something else that is cancelled already was not asked for that.
#[test]
fn handler_that_awaits_another_cancelled_future_sees_it_as_awaited() {
    let event_loop = virtual_loop();
    let other = event_loop.create_future::<()>();
    other.cancel();
    let task = event_loop.create_task(async move {
        let asked = catch_cancel(sleep(ms(50))).await.unwrap_err().origin();
        let awaited = catch_cancel(other).await.unwrap_err().origin();
        (asked, awaited)
    });
    cancel_at(&event_loop, ms(10), &task.handle());
    let origins = event_loop.run_until_complete(task).unwrap();
    assert_eq!(origins, (CancelOrigin::Requested, CancelOrigin::Awaited));
}

/// Of two branches one cleans up for long, and the task steps meanwhile: it was asked all the same.
#[test]
fn branch_that_ends_long_after_the_cancel_was_asked() {
    let event_loop = virtual_loop();
    let child = event_loop.create_task(async {
        let why = catch_cancel(sleep(ms(900))).await.unwrap_err();
        sleep(ms(50)).await;
        why.reraise().await
    });
    let task = event_loop.create_task(async {
        let ticks = async {
            for _ in 0..5 {
                let _ = catch_cancel(sleep(ms(20))).await;
            }
        };
        let slow = async { catch_cancel::<Task<()>>(child).await.unwrap_err().origin() };
        futures::join!(slow, ticks).0
    });
    cancel_at(&event_loop, ms(10), &task.handle());
    let origin = event_loop.run_until_complete(task).unwrap();
    assert_eq!(origin, CancelOrigin::Requested);
}

/// A timeout asks what is under it; what is awaited beside it and cancelled by somebody was not asked.
#[test]
fn timeout_does_not_ask_what_is_awaited_beside_it() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<()>();
    let shared = future.clone();
    event_loop.call_at(ms(20), move || {
        future.cancel();
    });
    let task = event_loop.create_task(async move {
        let beside = async { catch_cancel(shared).await.unwrap_err().origin() };
        futures::join!(timeout(ms(10), sleep(ms(90))), beside)
    });
    let (late, origin) = event_loop.run_until_complete(task).unwrap();
    assert!(late.is_err());
    assert_eq!(origin, CancelOrigin::Awaited);
}

// ---- nested, and raised by hand

/// The innermost scope catches; what it passes on is caught by the next, as the same error.
#[test]
fn reraised_cancellation_is_caught_by_the_scope_around() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let task = event_loop.create_task(async move {
        let outer = catch_cancel(async {
            let inner = catch_cancel(sleep(ms(50))).await.unwrap_err();
            events.push(format_args!("inner {:?}", inner.message()));
            sleep(ms(5)).await;
            inner.reraise().await
        });
        let outer: Result<(), _> = outer.await;
        let outer = outer.unwrap_err();
        events.push(format_args!(
            "outer {:?} {:?}",
            outer.message(),
            outer.origin()
        ));
    });
    let handle = task.handle();
    event_loop.call_at(ms(10), move || {
        handle.cancel_with("x");
    });
    event_loop.run_until_complete(task).unwrap();
    log.expect(&["inner Some(\"x\")", "outer Some(\"x\") Requested"]);
    assert_eq!(event_loop.time(), ms(15));
}

/// A cancellation made by hand is caught like any other, and costs no turn.
#[test]
fn raised_cancellation_is_caught_at_no_cost() {
    let (turns, task) = turns_of(&virtual_loop(), async {
        let mut messages = Vec::new();
        let inner = catch_cancel(CancelledError::new("a").raise()).await;
        messages.push(inner.unwrap_err().message().map(str::to_owned));
        let outer = catch_cancel(async {
            let first = catch_cancel(CancelledError::new("b").raise()).await;
            drop(first);
            CancelledError::new("c").raise().await
        });
        messages.push(outer.await.unwrap_err().message().map(str::to_owned));
        messages
    });
    let messages = task.take_result().unwrap();
    assert_eq!(turns, 0);
    assert_eq!(messages, [Some("a".to_owned()), Some("c".to_owned())]);
}

/// Two branches raise in one step: both scopes catch, each its own.
#[test]
fn raises_in_both_branches_of_a_join_are_caught_apart() {
    let (turns, task) = turns_of(&virtual_loop(), async {
        let branch = |name| async move {
            let why = catch_cancel(CancelledError::new(name).raise())
                .await
                .unwrap_err();
            why.message().map(str::to_owned)
        };
        futures::join!(branch("a"), branch("b"))
    });
    let caught = task.take_result().unwrap();
    assert_eq!((turns, caught), (0, (Some("a".into()), Some("b".into()))));
}

/// C4: through five tasks that each catch, clean up and pass it on: innermost first.
#[test]
fn five_levels_clean_up_innermost_first() {
    fn level(depth: u32, events: Log) -> Task<()> {
        create_task(async move {
            let inner = async {
                match depth {
                    0 => sleep(ms(900)).await,
                    _ => level(depth - 1, events.clone()).await,
                }
            };
            if let Err(why) = catch_cancel(inner).await {
                sleep(ms(1)).await;
                events.push(format_args!("{depth} {:?}", get_running_loop().time()));
                why.reraise().await
            }
        })
    }
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let task = event_loop.create_task(async move { level(4, events).await });
    let handle = task.handle();
    cancel_at(&event_loop, ms(10), &handle);
    assert!(event_loop.run_until_complete(task).is_err());
    log.expect(&["0 11ms", "1 12ms", "2 13ms", "3 14ms", "4 15ms"]);
}

/// C6: a task that three await is cancelled through one of them: all three catch; one was asked.
#[test]
fn cancel_of_one_of_three_awaiters_is_caught_by_all() {
    let event_loop = virtual_loop();
    let child = event_loop.create_task(sleep(ms(900)));
    let awaiting = [0, 1, 2].map(|_| {
        let shared = (*child).clone();
        event_loop.create_task(async move { catch_cancel(shared).await.unwrap_err().origin() })
    });
    cancel_at(&event_loop, ms(10), &awaiting[1].handle());
    let origins = awaiting.map(|task| event_loop.run_until_complete(task).unwrap());
    let (asked, awaited) = (CancelOrigin::Requested, CancelOrigin::Awaited);
    assert_eq!(origins, [awaited, asked, awaited]);
}

/// Through a `wait_for`, a group, a timeout and a task, down to a clean-up, and up again.
#[test]
fn cancel_passes_through_everything_and_waits_for_the_clean_up() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let guard = drops.guard();
    let task = event_loop.create_task(wait_for(
        task_group(async move |group| {
            group.create_task(timeout(ms(800), async move {
                let _guard = guard;
                let why = catch_cancel(sleep(ms(900))).await.unwrap_err();
                sleep(ms(20)).await;
                why.reraise().await
            }));
            pending::<()>().await;
        }),
        ms(700),
    ));
    let handle = task.handle();
    cancel_at(&event_loop, ms(10), &handle);
    assert!(event_loop.run_until_complete(task).is_err());
    assert_eq!(
        (drops.count(), event_loop.time(), handle.cancelling()),
        (1, ms(30), 1)
    );
    assert_eq!(
        (event_loop.next_deadline(), event_loop.all_tasks().len()),
        (None, 0)
    );
}

// ---- select, drops, panics

/// A select drops the branch at whose scope the cancellation was just raised, for the other branch is
/// done: the request is not lost with it.
#[test]
fn cancel_raised_at_a_scope_that_select_drops_is_raised_again() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let (sender, receiver) = futures::channel::oneshot::channel::<()>();
    let task = event_loop.create_task(async move {
        let scope = Box::pin(catch_cancel(pending::<()>()));
        let first = futures::future::select(receiver, scope).await;
        events.push(matches!(first, futures::future::Either::Left(_)));
        drop(first);
        events.push(catch_cancel(yield_now()).await.is_err());
    });
    turn(&event_loop);
    task.cancel();
    sender.send(()).unwrap();
    settle(&event_loop);
    assert!(task.done());
    log.expect(&["true", "true"]);
}

/// A cancellation is raised in two branches, and one of them is dropped: the other one catches it, and
/// it does not come again, whichever of the two happens first.
#[test]
fn cancel_caught_in_one_branch_does_not_come_back_from_the_other() {
    for drops_first in [true, false] {
        let event_loop = virtual_loop();
        let task = event_loop.create_task(async move {
            let mut dropped = Some(Box::pin(catch_cancel(pending::<()>())));
            let mut catches = Box::pin(catch_cancel(pending::<()>()));
            let mut is_first = true;
            let caught = poll_fn(|cx| {
                if let Some(scope) = dropped.as_mut().filter(|_| is_first) {
                    assert!(scope.as_mut().poll(cx).is_pending());
                }
                if !is_first && drops_first {
                    dropped = None;
                }
                is_first = false;
                catches.as_mut().poll(cx)
            })
            .await;
            drop(dropped);
            (caught.is_err(), catch_cancel(yield_now()).await.is_err())
        });
        turn(&event_loop);
        task.cancel();
        let result = event_loop.run_until_complete(task);
        assert_eq!(result.unwrap(), (true, false));
    }
}

/// A timeout expires in a set that is not polled any more; then the task is cancelled, and drops the
/// set: the cancel is not lost with the timeout.
#[test]
fn cancel_behind_an_expiry_that_is_never_caught_outlasts_the_timeout() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        let mut set = FuturesUnordered::new();
        set.push(timeout(ms(10), catch_cancel(pending::<()>())));
        poll_fn(|cx| {
            let was_cancelled = current_task().unwrap().cancelling() > 1;
            if get_running_loop().time() < ms(10) {
                return set.poll_next_unpin(cx).map(drop);
            }
            if was_cancelled {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        drop(set);
        assert_eq!(current_task().unwrap().cancelling(), 1);
        catch_cancel(yield_now()).await.is_err()
    });
    cancel_at(&event_loop, ms(20), &task.handle());
    assert!(event_loop.run_until_complete(task).unwrap());
}

/// Of two branches one awaits something of ours, which takes the cancel; what the other one awaits is
/// another crate's, and that scope catches the next cancel.
#[test]
fn foreign_branch_is_reached_when_nothing_else_takes_the_cancel() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let (ours, foreign) = (log.clone(), log.clone());
    let (_sender, receiver) = futures::channel::oneshot::channel::<()>();
    let task = event_loop.create_task(async move {
        let ours = async move {
            assert!(catch_cancel(sleep(ms(900))).await.is_err());
            ours.push(format_args!("ours {:?}", get_running_loop().time()));
        };
        let foreign = async move {
            assert!(catch_cancel(receiver).await.is_err());
            foreign.push(format_args!("foreign {:?}", get_running_loop().time()));
        };
        futures::join!(ours, foreign)
    });
    for when in [10, 20] {
        cancel_at(&event_loop, ms(when), &task.handle());
    }
    event_loop.run_until_complete(task).unwrap();
    log.expect(&["ours 10ms", "foreign 20ms"]);
}

/// What runs in a scope cancels its task as it is dropped by a catch: that is a request of its own.
#[test]
fn drop_in_a_scope_that_cancels_its_task_is_met_at_the_next_wait() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        let me = current_task().unwrap();
        let inside = me.clone();
        let first = catch_cancel(async move {
            let _cancels = OnDrop::new(move || {
                inside.cancel();
            });
            sleep(ms(50)).await;
        });
        let first = first.await.is_err();
        (
            first,
            me.cancelling(),
            catch_cancel(yield_now()).await.is_err(),
        )
    });
    cancel_at(&event_loop, ms(10), &task.handle());
    assert_eq!(
        event_loop.run_until_complete(task).unwrap(),
        (true, 2, true)
    );
}

/// A panic in a scope goes through it; one in the drop of what it ran ends the task as well.
#[test]
fn panics_go_through_scopes() {
    for in_drop in [false, true] {
        let event_loop = virtual_loop();
        let task = event_loop.create_task(catch_cancel(async move {
            let _bomb = OnDrop::new(move || assert!(!in_drop, "bang"));
            yield_now().await;
            assert!(in_drop, "bang");
            pending::<()>().await;
        }));
        cancel_at(&event_loop, ms(10), &task.handle());
        let outcome = event_loop.run_until_complete(task.outcome()).unwrap();
        assert_eq!(outcome.unwrap_err().panic().unwrap().message(), "bang");
    }
}

/// A scope that panics in the poll in which something was raised in it takes that along: the scope
/// around it has nothing to catch.
#[test]
fn panic_takes_the_place_of_what_was_raised_in_the_same_scope() {
    let event_loop = virtual_loop();
    let caught = event_loop.run_until_complete(async {
        catch_cancel(async {
            let raises = async {
                CancelledError::new("raised").raise().await;
            };
            let panics = poll_fn(|_| -> Poll<()> { panic!("bang") });
            let inner = catch_cancel(futures::future::join(raises, panics));
            AssertUnwindSafe(inner).catch_unwind().await.is_err()
        })
        .await
    });
    assert!(caught.unwrap().unwrap());
}

/// A scope that is polled again after it was over panics, as any future may.
#[test]
fn scope_polled_after_it_was_over_panics() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        let mut scope = Box::pin(catch_cancel(async { 1 }));
        assert_eq!((&mut scope).await.unwrap(), 1);
        assert!(scope.is_terminated());
        assert_eq!(format!("{scope:?}"), "<CatchCancel done>");
        scope.await.unwrap()
    });
    let outcome = event_loop.run_until_complete(task.outcome()).unwrap();
    let error = outcome.unwrap_err();
    assert!(
        error
            .panic()
            .unwrap()
            .message()
            .contains("after it was over")
    );
}

/// What it runs may borrow from the frame around, hold `Rc`, and give what is neither `Clone` nor
/// `Debug`.
#[test]
fn scope_runs_what_borrows_and_gives_what_cannot_be_cloned() {
    struct Plain(Rc<Cell<u8>>);
    let event_loop = virtual_loop();
    let sum = event_loop.run_until_complete(async {
        let mut numbers = [1, 2, 3];
        let shared = Rc::new(Cell::new(0));
        for _ in 0..2 {
            let result = catch_cancel(async {
                let last = numbers.last_mut().unwrap();
                yield_now().await;
                *last += 10;
                shared.set(*last);
                Plain(shared.clone())
            });
            let Ok(Plain(given)) = result.await else {
                panic!("nobody cancels")
            };
            assert!(Rc::ptr_eq(&given, &shared));
        }
        shared.get()
    });
    assert_eq!(sum.unwrap(), 23);
}

/// A loop that is closed drops what its scopes run, and nothing is caught.
#[test]
fn loop_closed_under_a_scope_drops_what_it_runs() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let task = event_loop.create_task(async move {
        let dropped = events.clone();
        let caught = catch_cancel(async {
            let _dropped = OnDrop::new(move || dropped.push("dropped"));
            sleep(ms(50)).await;
        });
        events.push(caught.await.is_err());
    });
    turn(&event_loop);
    drop(event_loop);
    assert!(!task.done());
    log.expect(&["dropped"]);
}

/// Ten thousand scopes in each other: a cancellation goes up through all, each passing it on.
#[test]
fn ten_thousand_nested_scopes_pass_a_cancellation_on() {
    type Nested = Pin<Box<dyn Future<Output = u32>>>;
    const DEEP: u32 = 10_000;
    // The stack is for the polls, which nest as deep as the futures do.
    let thread = std::thread::Builder::new().stack_size(256 << 20);
    let test = || {
        let event_loop = virtual_loop();
        let passed = Rc::new(Cell::new(0));
        let mut nested: Nested = Box::pin(async {
            sleep(ms(50)).await;
            0
        });
        for _ in 0..DEEP {
            let passed = passed.clone();
            nested = Box::pin(async move {
                match catch_cancel(nested).await {
                    Ok(depth) => depth + 1,
                    Err(why) => {
                        passed.set(passed.get() + 1);
                        why.reraise().await
                    }
                }
            });
        }
        let task = event_loop.create_task(nested);
        cancel_at(&event_loop, ms(10), &task.handle());
        assert!(event_loop.run_until_complete(task).is_err());
        assert_eq!(passed.get(), DEEP);
    };
    thread.spawn(test).unwrap().join().unwrap();
}

// ---- helpers

fn cancel_at(event_loop: &EventLoop, when: Duration, task: &TaskHandle) {
    let task = task.clone();
    event_loop.call_at(when, move || {
        task.cancel();
    });
}
