//! Cancellation: how it reaches what is awaited, how it unwinds, and what it says.
//!
//! Scopes that catch a cancellation are not tested here: C7, C8 and C15 to C18 need them.

use std::cell::RefCell;
use std::future::Future as _;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use callsoon::{
    CancelOrigin, CancelledError, EventLoop, Future, ResultError, Task, TaskHandle, create_task,
    current_task, sleep, yield_now,
};
use futures::FutureExt as _;
use futures::stream::{FuturesUnordered, StreamExt};

use crate::support::{Drops, Log, OnDrop, ms, settle, turn, virtual_loop};

// ---- asking

/// C1: cancelling a done task is refused and leaves the count.
#[test]
fn cancel_of_a_done_task_is_refused_and_not_counted() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async { 1 });
    turn(&event_loop);
    assert!(!task.cancel());
    assert_eq!(task.cancelling(), 0);
    assert_eq!(task.result().unwrap(), 1);
}

/// C1: otherwise it is accepted and counted, every time.
#[test]
fn every_accepted_cancel_is_counted() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(event_loop.create_future::<()>());
    assert!(task.cancel());
    assert!(task.cancel());
    assert_eq!(task.cancelling(), 2);
    let waiting = event_loop.create_task(event_loop.create_future::<()>());
    turn(&event_loop);
    for count in 1..4 {
        assert!(waiting.cancel());
        assert_eq!(waiting.cancelling(), count);
    }
    turn(&event_loop);
    assert!(waiting.cancelled());
    assert!(!waiting.cancel());
    assert_eq!(waiting.cancelling(), 3);
}

/// C2, and table 2.0 (cancel in n: error inside at n + 1, awaiters at n + 2): the awaited future is
/// cancelled before `cancel()` returns, the task is not done yet.
#[test]
fn cancel_reaches_the_awaited_future_at_once() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<()>();
    let task = event_loop.create_task(future.clone());
    turn(&event_loop);
    assert!(task.cancel());
    assert!(future.cancelled());
    assert!(!task.done());
    turn(&event_loop);
    assert!(task.cancelled());
}

/// C3: the coroutine is dropped at its await in the next turn; the awaiter goes on one turn later.
#[test]
fn cancelled_task_unwinds_in_the_next_turn_and_its_awaiter_one_later() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let (future, events) = (event_loop.create_future::<()>(), log.clone());
    let task = event_loop.create_task(async move {
        let _finally = OnDrop::new(move || events.push("finally"));
        future.await;
        unreachable!("it is cancelled");
    });
    let (handle, events) = (task.handle(), log.clone());
    event_loop.create_task(async move {
        let cancelled = task.outcome().await.is_err();
        events.push(format!("awaiter: {cancelled}"));
    });
    turn(&event_loop);
    handle.cancel();
    log.expect(&[]);
    turn(&event_loop);
    log.expect(&["finally"]);
    assert!(handle.cancelled());
    turn(&event_loop);
    log.expect(&["awaiter: true"]);
}

/// C3: locals are dropped in reverse order of declaration, as in any unwinding.
#[test]
fn locals_are_dropped_in_reverse_order() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let events = log.clone();
    let task = event_loop.create_task(async move {
        let _outer = on_drop(&events, "outer");
        async {
            let _inner = on_drop(&events, "inner");
            std::future::pending::<()>().await;
        }
        .await;
    });
    turn(&event_loop);
    task.cancel();
    turn(&event_loop);
    log.expect(&["inner", "outer"]);
}

/// C4, and table 2.0 (k levels: n + k + 1): cancelling the outermost of a chain counts at every
/// level at once; the levels unwind innermost first, one turn each.
#[test]
fn cancel_cascades_down_a_chain_and_unwinds_innermost_first() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let bottom = event_loop.create_future::<()>();
    let mut tasks: Vec<TaskHandle> = Vec::new();
    let (events, leaf) = (log.clone(), bottom.clone());
    let mut next = event_loop.create_task(async move {
        let _guard = on_drop(&events, "level 0");
        leaf.await;
    });
    for level in 1..4 {
        tasks.push(next.handle());
        let events = log.clone();
        next = event_loop.create_task(async move {
            let _guard = on_drop(&events, &format!("level {level}"));
            next.await;
        });
    }
    tasks.push(next.handle());
    settle(&event_loop);
    next.cancel();
    assert!(bottom.cancelled());
    assert!(
        tasks
            .iter()
            .all(|task| task.cancelling() == 1 && !task.done())
    );
    for level in 0..4 {
        turn(&event_loop);
        log.expect(&[&format!("level {level}")]);
        let done: Vec<bool> = tasks.iter().map(TaskHandle::done).collect();
        let expected: Vec<bool> = (0..4).map(|task| task <= level).collect();
        assert_eq!(done, expected);
    }
    assert!(tasks.iter().all(TaskHandle::cancelled));
}

/// C5: cancelling a task that awaits a shared future cancels everybody who awaits it; the others
/// were not asked, and their error says so (DIFFERENCE, DESIGN 9.5: asyncio cannot tell).
#[test]
fn cancelling_one_awaiter_of_a_shared_future_cancels_all() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<()>();
    let asked = event_loop.create_task(future.clone());
    let bystander = event_loop.create_task(future.clone());
    turn(&event_loop);
    let line = line!() + 1;
    asked.cancel_with("stop");
    settle(&event_loop);
    assert!(asked.cancelled() && bystander.cancelled());
    assert_eq!((asked.cancelling(), bystander.cancelling()), (1, 0));
    let (asked, bystander) = (error_of(&asked), error_of(&bystander));
    assert_eq!(asked.origin(), CancelOrigin::Requested);
    assert_eq!(bystander.origin(), CancelOrigin::Awaited);
    for error in [asked, bystander] {
        assert_eq!(error.message(), Some("stop"));
        assert_eq!(error.location().line(), line);
    }
}

/// C6: the same for a shared task.
#[test]
fn cancelling_one_awaiter_of_a_shared_task_cancels_the_task_and_all() {
    let event_loop = virtual_loop();
    let shared = event_loop.create_task(event_loop.create_future::<u32>());
    let asked = event_loop.create_task((*shared).clone());
    let bystander = event_loop.create_task((*shared).clone());
    turn(&event_loop);
    asked.cancel();
    assert_eq!(shared.cancelling(), 1);
    assert!(!shared.done());
    settle(&event_loop);
    assert!(shared.cancelled() && asked.cancelled() && bystander.cancelled());
    assert_eq!(bystander.cancelling(), 0);
    assert_eq!(error_of(&shared).origin(), CancelOrigin::Requested);
    assert_eq!(error_of(&asked).origin(), CancelOrigin::Requested);
    assert_eq!(error_of(&bystander).origin(), CancelOrigin::Awaited);
}

/// C9, and table 2.0 (create, cancel, await: 2): a task cancelled before its first step never runs;
/// it ends in the turn in which that step was due.
#[test]
fn task_cancelled_before_its_first_step_never_runs() {
    let event_loop = virtual_loop();
    let drops = Drops::new();
    let guard = drops.guard();
    let task = event_loop.create_task(async move {
        let _guard = guard;
        unreachable!("it never runs");
    });
    task.cancel();
    assert!(!task.done());
    assert_eq!(drops.count(), 0);
    turn(&event_loop);
    assert!(task.cancelled());
    assert_eq!(drops.count(), 1);
}

/// C9: its awaiter goes on in turn 2.
#[test]
fn awaiter_of_a_task_that_never_ran_goes_on_in_turn_two() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        let child = create_task(async { unreachable!("it never runs") });
        child.cancel();
        child.outcome().await.unwrap_err().origin()
    });
    turn(&event_loop);
    turn(&event_loop);
    assert!(!task.done());
    turn(&event_loop);
    assert_eq!(task.result().unwrap(), CancelOrigin::Requested);
}

/// C10: cancelled after its future completed but before it went on: the cancellation replaces the
/// value, which stays readable on the future.
#[test]
fn cancel_between_completion_and_resumption_wins_and_leaves_the_value() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future();
    let task = event_loop.create_task(future.clone());
    turn(&event_loop);
    future.set_result(3).unwrap();
    assert!(task.cancel());
    turn(&event_loop);
    assert!(task.cancelled());
    assert_eq!(future.result().unwrap(), 3);
}

/// C10: cancelled while it is in `sleep(0)`.
#[test]
fn cancel_during_sleep_of_zero_is_raised_there() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        yield_now().await;
        unreachable!("it is cancelled");
    });
    turn(&event_loop);
    assert!(task.cancel());
    assert_eq!(turn(&event_loop), 1);
    assert!(task.cancelled());
}

/// C11: a self-cancel passes awaits that are ready, and takes effect at the next real suspension:
/// that future is cancelled at once, the unwinding comes one turn later.
#[test]
fn self_cancel_takes_effect_at_the_next_suspension() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let ready = event_loop.create_future();
    ready.set_result(()).unwrap();
    let pending = event_loop.create_future::<()>();
    let (leaf, events) = (pending.clone(), log.clone());
    let task = event_loop.create_task(async move {
        let _guard = on_drop(&events, "finally");
        current_task().unwrap().cancel();
        ready.await;
        std::future::ready(()).await;
        events.push("still here");
        leaf.await;
        unreachable!("it is cancelled");
    });
    turn(&event_loop);
    log.expect(&["still here"]);
    assert!(pending.cancelled());
    assert!(!task.done());
    turn(&event_loop);
    log.expect(&["finally"]);
    assert!(task.cancelled());
}

/// C11: at `sleep(0)`, and at an await of something that is not ours, the next turn raises it.
#[test]
fn self_cancel_is_raised_at_yields_and_foreign_awaits() {
    let event_loop = virtual_loop();
    let yields = event_loop.create_task(async {
        current_task().unwrap().cancel();
        yield_now().await;
        unreachable!("it is cancelled");
    });
    let foreign = event_loop.create_task(async {
        current_task().unwrap().cancel();
        std::future::pending::<()>().await;
    });
    turn(&event_loop);
    assert!(!yields.done() && !foreign.done());
    turn(&event_loop);
    assert!(yields.cancelled() && foreign.cancelled());
}

/// C12: a self-cancel followed by a return: the task ends cancelled, the value is dropped.
#[test]
fn self_cancel_followed_by_return_discards_the_value() {
    let event_loop = virtual_loop();
    let drops = Drops::new();
    let guard = drops.guard();
    let task = event_loop.create_task(async move {
        current_task().unwrap().cancel_with("me");
        guard
    });
    turn(&event_loop);
    assert!(task.cancelled());
    assert_eq!(drops.count(), 1);
    assert_eq!(error_of(&task).message(), Some("me"));
}

/// C13: a self-cancel followed by an error: the error wins, and the task is not cancelled
/// (DIFFERENCE, DESIGN 9.4: with `create_try_task` only).
#[test]
fn self_cancel_followed_by_an_error_keeps_the_error_of_a_try_task() {
    let event_loop = virtual_loop();
    let failing = || async {
        current_task().unwrap().cancel();
        Err::<(), _>("failed")
    };
    let try_task = event_loop.create_try_task(failing());
    let plain = event_loop.create_task(failing());
    let fine = event_loop.create_try_task(async {
        current_task().unwrap().cancel();
        Ok::<_, &str>(())
    });
    turn(&event_loop);
    assert!(!try_task.cancelled());
    assert_eq!(try_task.result().unwrap(), Err("failed"));
    assert_eq!(try_task.cancelling(), 1);
    assert!(plain.cancelled());
    assert!(fine.cancelled());
}

/// C13: a panic wins over a self-cancel as well.
#[test]
fn self_cancel_followed_by_a_panic_keeps_the_panic() {
    let event_loop = virtual_loop();
    let task: Task<()> = event_loop.create_task(async {
        current_task().unwrap().cancel();
        panic!("bug");
    });
    turn(&event_loop);
    assert!(!task.cancelled());
    assert!(matches!(task.result(), Err(ResultError::Panicked(_))));
}

/// C14: two requests before delivery give one unwinding, and a count of two.
#[test]
fn two_cancels_before_delivery_unwind_once() {
    let event_loop = virtual_loop();
    let drops = Drops::new();
    let (guard, future) = (drops.guard(), event_loop.create_future::<()>());
    let task = event_loop.create_task(async move {
        let _guard = guard;
        future.await;
    });
    turn(&event_loop);
    task.cancel_with("one");
    task.cancel_with("two");
    assert_eq!(turn(&event_loop), 1);
    assert!(task.cancelled());
    assert_eq!(task.cancelling(), 2);
    assert_eq!(drops.count(), 1);
    settle(&event_loop);
    assert_eq!(drops.count(), 1);
}

/// C14: the same down a chain: the child is asked twice, too.
#[test]
fn two_cancels_of_a_parent_are_two_requests_to_the_child() {
    let event_loop = virtual_loop();
    let child = event_loop.create_task(event_loop.create_future::<()>());
    let parent = event_loop.create_task((*child).clone());
    turn(&event_loop);
    parent.cancel();
    parent.cancel();
    assert_eq!((parent.cancelling(), child.cancelling()), (2, 2));
    settle(&event_loop);
    assert!(parent.cancelled() && child.cancelled());
}

/// C19: `uncancel` subtracts one, stops at zero, and gives what is left.
#[test]
fn uncancel_counts_down_to_zero() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(std::future::pending::<()>());
    task.cancel();
    task.cancel();
    assert_eq!(task.uncancel(), 1);
    assert_eq!(task.cancelling(), 1);
    assert_eq!(task.uncancel(), 0);
    assert_eq!(task.uncancel(), 0);
    assert_eq!(task.cancelling(), 0);
}

/// C20: `uncancel` that reaches zero withdraws a cancellation not delivered yet.
#[test]
fn uncancel_to_zero_withdraws_an_undelivered_cancellation() {
    let event_loop = virtual_loop();
    let unstarted = event_loop.create_task(async { 1 });
    unstarted.cancel();
    unstarted.uncancel();
    let itself = event_loop.create_task(async {
        let me = current_task().unwrap();
        me.cancel();
        me.uncancel();
        yield_now().await;
        2
    });
    settle(&event_loop);
    assert_eq!(unstarted.result().unwrap(), 1);
    assert_eq!(itself.result().unwrap(), 2);

    let sleeper = event_loop.create_task(async {
        yield_now().await;
        3
    });
    turn(&event_loop);
    sleeper.cancel();
    sleeper.cancel();
    sleeper.uncancel();
    sleeper.uncancel();
    settle(&event_loop);
    assert_eq!(sleeper.result().unwrap(), 3);
}

/// C20: while the count stays above zero the cancellation is delivered.
#[test]
fn uncancel_above_zero_withdraws_nothing() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async { 1 });
    task.cancel();
    task.cancel();
    assert_eq!(task.uncancel(), 1);
    settle(&event_loop);
    assert!(task.cancelled());
}

/// C2 with C20: what was passed on to an awaited future is not withdrawn by `uncancel`.
#[test]
fn uncancel_does_not_revive_an_awaited_future() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<()>();
    let task = event_loop.create_task(future.clone());
    turn(&event_loop);
    task.cancel();
    assert_eq!(task.uncancel(), 0);
    settle(&event_loop);
    assert!(future.cancelled() && task.cancelled());
}

/// C17 as far as it goes without scopes: a task that awaits what somebody cancelled ends cancelled,
/// with a count of zero.
#[test]
fn awaiting_a_cancelled_future_cancels_the_task() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<()>();
    future.cancel_with("gone");
    let task = event_loop.create_task(async move {
        future.await;
        unreachable!("it is cancelled");
    });
    turn(&event_loop);
    assert!(task.cancelled());
    assert_eq!(task.cancelling(), 0);
    assert_eq!(error_of(&task).origin(), CancelOrigin::Awaited);
    assert_eq!(error_of(&task).message(), Some("gone"));
}

/// `outcome()` takes the cancellation as a value: the awaited future is cancelled, the task goes on.
#[test]
fn outcome_of_a_cancelled_await_lets_the_task_go_on() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<()>();
    let awaited = future.clone();
    let task = event_loop.create_task(async move {
        let origin = awaited.outcome().await.unwrap_err().origin();
        yield_now().await;
        origin
    });
    turn(&event_loop);
    task.cancel();
    assert!(future.cancelled());
    settle(&event_loop);
    assert_eq!(task.result().unwrap(), CancelOrigin::Requested);
    assert_eq!(task.cancelling(), 1);
}

// ---- messages

/// Message and place of a cancel pass down a chain of tasks and up again.
#[test]
fn message_and_place_pass_through_a_chain() {
    let event_loop = virtual_loop();
    let inner = event_loop.create_task(event_loop.create_future::<()>());
    let middle = event_loop.create_task((*inner).clone());
    let outer = event_loop.create_task((*middle).clone());
    settle(&event_loop);
    let line = line!() + 1;
    outer.cancel_with("down and up");
    settle(&event_loop);
    for task in [inner, middle, outer] {
        let error = error_of(&task);
        assert_eq!(error.message(), Some("down and up"));
        assert_eq!(error.location().line(), line);
        assert_eq!(error.origin(), CancelOrigin::Requested);
    }
}

/// The innermost being cancelled, those above were not asked.
#[test]
fn cancel_from_below_makes_the_awaiters_bystanders() {
    let event_loop = virtual_loop();
    let inner = event_loop.create_task(event_loop.create_future::<()>());
    let outer = event_loop.create_task((*inner).clone());
    settle(&event_loop);
    inner.cancel();
    settle(&event_loop);
    assert_eq!(error_of(&inner).origin(), CancelOrigin::Requested);
    assert_eq!(error_of(&outer).origin(), CancelOrigin::Awaited);
    assert_eq!(outer.cancelling(), 0);
}

/// `CancelledError` can be made by hand, for comparing and passing on.
#[test]
fn cancelled_error_can_be_made_by_hand() {
    let line = line!() + 1;
    let error = CancelledError::new("by hand");
    assert_eq!(error.message(), Some("by hand"));
    assert_eq!(error.location().line(), line);
    assert_eq!(error.origin(), CancelOrigin::Requested);
}

// ---- several awaits at once

/// DESIGN 5: a `select!` that went on leaves its loser alone; a cancel that comes later does not
/// reach it.
#[test]
fn loser_of_a_select_that_went_on_is_not_cancelled() {
    let event_loop = virtual_loop();
    let loser = event_loop.create_future::<()>();
    let (winner, next) = (
        event_loop.create_future::<()>(),
        event_loop.create_future::<()>(),
    );
    let (mut a, mut b, c) = (loser.clone(), winner.clone(), next.clone());
    let task = event_loop.create_task(async move {
        futures::select_biased! {
            () = a => unreachable!(),
            () = b => {}
        }
        c.await;
        // Keeps the loser's handle alive to the end.
        drop(a);
    });
    turn(&event_loop);
    winner.set_result(()).unwrap();
    turn(&event_loop);
    assert!(task.cancel());
    settle(&event_loop);
    assert!(task.cancelled());
    assert!(next.cancelled());
    assert!(!loser.cancelled());
}

/// DESIGN 5: the step in which the `select!` went on is unsettled: the cancel waits for one probe
/// poll, so it takes one turn more. Straight code never pays.
#[test]
fn unsettled_step_costs_a_cancel_one_turn() {
    let event_loop = virtual_loop();
    let (a, b) = (
        event_loop.create_future::<()>(),
        event_loop.create_future::<()>(),
    );
    let (x, y) = (a.clone(), b.clone());
    let task = event_loop.create_task(async move { futures::join!(x, y) });
    turn(&event_loop);
    task.cancel();
    assert!(!a.cancelled() && !b.cancelled());
    turn(&event_loop);
    assert!(a.cancelled() && b.cancelled());
    assert!(!task.done());
    turn(&event_loop);
    assert!(task.cancelled());
}

/// A `join!` both of whose branches wait: a cancel reaches both, and unwinds the task once.
#[test]
fn cancel_reaches_both_branches_of_a_join() {
    let event_loop = virtual_loop();
    let drops = Drops::new();
    let children: Vec<Task<()>> = (0..2)
        .map(|_| {
            let (guard, future) = (drops.guard(), event_loop.create_future::<()>());
            event_loop.create_task(async move {
                let _guard = guard;
                future.await;
            })
        })
        .collect();
    let (x, y) = ((*children[0]).clone(), (*children[1]).clone());
    let task = event_loop.create_task(async move { futures::join!(x, y) });
    turn(&event_loop);
    turn(&event_loop);
    task.cancel();
    settle(&event_loop);
    assert!(task.cancelled());
    assert!(children.iter().all(|child| child.cancelled()));
    assert!(children.iter().all(|child| child.cancelling() == 1));
    assert_eq!(drops.count(), 2);
}

/// A settled `join!`, in which only one branch still waits, passes the cancel on at once.
#[test]
fn cancel_of_a_join_with_one_branch_done_reaches_the_other() {
    let event_loop = virtual_loop();
    let (a, b) = (
        event_loop.create_future::<()>(),
        event_loop.create_future::<()>(),
    );
    let (x, y) = (a.clone(), b.clone());
    let task = event_loop.create_task(async move { futures::join!(x, y) });
    turn(&event_loop);
    a.set_result(()).unwrap();
    turn(&event_loop);
    task.cancel();
    assert!(b.cancelled());
    turn(&event_loop);
    assert!(task.cancelled());
}

/// A `join!` gets a cancel while one branch's result is on its way: both are over, once.
#[test]
fn cancel_of_a_join_with_a_result_on_its_way() {
    let event_loop = virtual_loop();
    let (a, b) = (
        event_loop.create_future::<()>(),
        event_loop.create_future::<()>(),
    );
    let (x, y) = (a.clone(), b.clone());
    let task = event_loop.create_task(async move { futures::join!(x, y) });
    turn(&event_loop);
    turn(&event_loop);
    a.set_result(()).unwrap();
    task.cancel();
    settle(&event_loop);
    assert!(task.cancelled() && b.cancelled());
}

/// The winner of a `select!` is complete and its step is queued when the cancel comes: the request
/// is not lost on the loser, but met at the next await.
#[test]
fn cancel_is_not_lost_when_a_select_has_a_winner_already() {
    let event_loop = virtual_loop();
    let (winner, loser) = (
        event_loop.create_future::<()>(),
        event_loop.create_future::<()>(),
    );
    let next = event_loop.create_future::<()>();
    let (a, b, c) = (winner.clone(), loser.clone(), next.clone());
    let task = event_loop.create_task(async move {
        futures::select_biased! {
            () = a.fuse() => {}
            () = b.fuse() => unreachable!(),
        }
        c.await;
    });
    turn(&event_loop);
    winner.set_result(()).unwrap();
    assert!(task.cancel());
    settle(&event_loop);
    assert!(!loser.cancelled());
    assert!(task.cancelled(), "{task:?}");
    assert!(next.cancelled());
}

/// The same when the branch that goes on is a `yield_now`.
#[test]
fn cancel_is_not_lost_when_a_select_yields() {
    let event_loop = virtual_loop();
    let (loser, next) = (
        event_loop.create_future::<()>(),
        event_loop.create_future::<()>(),
    );
    let (b, c) = (loser.clone(), next.clone());
    let task = event_loop.create_task(async move {
        futures::select_biased! {
            () = yield_now().fuse() => {}
            () = b.fuse() => unreachable!(),
        }
        c.await;
    });
    turn(&event_loop);
    assert!(task.cancel());
    settle(&event_loop);
    assert!(!loser.cancelled());
    assert!(task.cancelled(), "{task:?}");
}

/// A `select!` whose both branches wait is cancelled, with both.
#[test]
fn cancel_of_a_waiting_select_cancels_both_branches() {
    let event_loop = virtual_loop();
    let (a, b) = (
        event_loop.create_future::<()>(),
        event_loop.create_future::<()>(),
    );
    let (x, y) = (a.clone(), b.clone());
    let task = event_loop.create_task(async move {
        futures::select! {
            () = x.fuse() => {}
            () = y.fuse() => {}
        }
        unreachable!("it is cancelled");
    });
    turn(&event_loop);
    task.cancel();
    settle(&event_loop);
    assert!(task.cancelled() && a.cancelled() && b.cancelled());
}

/// One probe is all a cancel waits for, also with a combinator that begins a new await whenever it
/// is polled.
#[test]
fn combinator_that_awaits_afresh_at_each_poll_can_be_cancelled() {
    let event_loop = virtual_loop();
    let loop_handle = event_loop.handle();
    let kept = event_loop.create_future::<()>();
    let mut awaited = kept.clone();
    let mut idle: Option<Future<()>> = None;
    let task = event_loop.create_task(std::future::poll_fn(move |cx| {
        assert!(Pin::new(&mut awaited).poll(cx).is_pending());
        let mut fresh = loop_handle.create_future::<()>();
        assert!(Pin::new(&mut fresh).poll(cx).is_pending());
        // The one of the poll before is dropped only now.
        drop(idle.replace(fresh));
        Poll::<()>::Pending
    }));
    turn(&event_loop);
    task.cancel();
    for _ in 0..10 {
        turn(&event_loop);
    }
    assert!(task.cancelled(), "{task:?}");
    assert!(kept.cancelled());
}

/// A future that was polled over and over in one step, and then dropped, is not awaited any more: a
/// cancel neither reaches it nor gets lost on it.
#[test]
fn future_dropped_after_many_polls_is_not_cancelled() {
    let event_loop = virtual_loop();
    let shared = event_loop.create_future::<()>();
    let mut mine = shared.clone();
    let (send, messages) = futures::channel::mpsc::unbounded();
    let task = event_loop.create_task(async move {
        let mut messages = messages.fuse();
        loop {
            futures::select_biased! {
                () = mine => unreachable!(),
                message = messages.next() => if message == Some(0) { break },
            }
        }
        drop(mine);
        std::future::pending::<()>().await;
    });
    turn(&event_loop);
    for i in (0..5).rev() {
        send.unbounded_send(i).unwrap();
    }
    settle(&event_loop);
    task.cancel();
    settle(&event_loop);
    assert!(!shared.cancelled());
    assert!(task.cancelled());
}

/// Children in a `FuturesUnordered` are awaited through wrapped wakers; a cancel reaches all.
#[test]
fn cancel_reaches_the_children_in_a_futures_unordered() {
    let event_loop = virtual_loop();
    let children: Vec<Task<()>> = (0..3)
        .map(|_| event_loop.create_task(event_loop.create_future::<()>()))
        .collect();
    let mut all: FuturesUnordered<Future<()>> =
        children.iter().map(|child| (**child).clone()).collect();
    let task = event_loop.create_task(async move { while all.next().await.is_some() {} });
    turn(&event_loop);
    turn(&event_loop);
    task.cancel();
    assert!(children.iter().all(|child| child.cancelling() == 1));
    settle(&event_loop);
    assert!(task.cancelled());
    assert!(children.iter().all(|child| child.cancelled()));
    assert_eq!(error_of(&task).origin(), CancelOrigin::Requested);
}

/// A `FuturesUnordered` that was dropped is not awaited any more.
#[test]
fn dropped_futures_unordered_is_not_cancelled() {
    let event_loop = virtual_loop();
    let futures: Vec<Future<()>> = (0..3).map(|_| event_loop.create_future()).collect();
    let (all, next) = (futures.clone(), event_loop.create_future::<()>());
    let after = next.clone();
    let task = event_loop.create_task(async move {
        let mut all: FuturesUnordered<_> = all.into_iter().collect();
        all.next().await;
        drop(all);
        after.await;
    });
    turn(&event_loop);
    futures[1].set_result(()).unwrap();
    settle(&event_loop);
    task.cancel();
    settle(&event_loop);
    assert!(task.cancelled() && next.cancelled());
    assert!(!futures[0].cancelled() && !futures[2].cancelled());
}

/// One of a `FuturesUnordered` is complete when the cancel comes, and the task lets go of the
/// others: the request is not lost.
#[test]
fn cancel_is_not_lost_when_a_futures_unordered_has_a_result() {
    let event_loop = virtual_loop();
    let futures: Vec<Future<()>> = (0..2).map(|_| event_loop.create_future()).collect();
    let (all, next) = (futures.clone(), event_loop.create_future::<()>());
    let after = next.clone();
    let task = event_loop.create_task(async move {
        let mut all: FuturesUnordered<_> = all.into_iter().collect();
        all.next().await;
        drop(all);
        after.await;
    });
    turn(&event_loop);
    event_loop.call_soon({
        let (first, task) = (futures[0].clone(), task.handle());
        move || {
            first.set_result(()).unwrap();
            task.cancel();
        }
    });
    settle(&event_loop);
    assert!(task.cancelled(), "{task:?}");
    assert!(!futures[1].cancelled());
}

/// A task that waits for a future of another crate unwinds in the next turn.
#[test]
fn cancel_of_a_task_that_waits_for_a_foreign_future() {
    let event_loop = virtual_loop();
    let (send, receive) = futures::channel::oneshot::channel::<()>();
    let task = event_loop.create_task(async move { receive.await.unwrap() });
    turn(&event_loop);
    task.cancel();
    assert!(!send.is_canceled());
    assert_eq!(turn(&event_loop), 1);
    assert!(task.cancelled());
    assert!(
        send.is_canceled(),
        "the receiver was dropped with the coroutine"
    );
    assert_eq!(error_of(&task).origin(), CancelOrigin::Requested);
}

/// While a step unwinds, nothing of ours that it still polls has any effect, and the raise beats a
/// result that comes in the same poll.
#[test]
fn unwinding_step_has_no_side_effects() {
    let event_loop = virtual_loop();
    let cancelled = event_loop.create_future::<()>();
    cancelled.cancel();
    let pending = event_loop.create_future::<()>();
    let value = event_loop.create_future();
    value.set_result(Rc::new(1)).unwrap();
    let (x, y, z) = (cancelled, pending.clone(), value.clone().take());
    let task = event_loop.create_task(async move {
        futures::select_biased! {
            () = x.fuse() => unreachable!(),
            () = y.fuse() => unreachable!(),
            one = z.fuse() => drop(one),
            () = yield_now().fuse() => unreachable!(),
            () = sleep(ms(1)) => unreachable!(),
            // Not ours, so it is ready: yet the task is cancelled.
            () = std::future::ready(()).fuse() => {}
        }
        5
    });
    assert_eq!(turn(&event_loop), 1);
    assert!(task.cancelled());
    assert_eq!(event_loop.next_deadline(), None);
    assert!(!format!("{pending:?}").contains("cb="));
    assert_eq!(*value.result().unwrap(), 1);
}

// ---- cancelling from strange places

/// A coroutine whose `Drop` cancels its own task, and others, while it unwinds.
#[test]
fn cancel_in_the_drop_of_the_coroutine() {
    let event_loop = virtual_loop();
    let other = event_loop.create_task(event_loop.create_future::<()>());
    let future = event_loop.create_future::<()>();
    let handle = other.handle();
    let task = event_loop.create_task(async move {
        let _guard = OnDrop::new(move || {
            assert!(current_task().unwrap().cancel());
            assert!(handle.cancel());
        });
        future.await;
    });
    turn(&event_loop);
    task.cancel();
    settle(&event_loop);
    assert!(task.cancelled() && other.cancelled());
    assert_eq!(task.cancelling(), 2);
}

/// A local that cancels its task when it is dropped at the end of the coroutine: like a return
/// after a self-cancel.
#[test]
fn cancel_in_a_drop_at_the_end_discards_the_result() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        let _guard = OnDrop::new(|| assert!(current_task().unwrap().cancel()));
        7
    });
    turn(&event_loop);
    assert!(task.cancelled());
}

/// A child cancels the parent that awaits it: for the child that is a self-cancel.
#[test]
fn child_that_cancels_its_parent_cancels_itself() {
    let event_loop = virtual_loop();
    let parent: Rc<RefCell<Option<TaskHandle>>> = Rc::default();
    let slot = parent.clone();
    let child = event_loop.create_task(async move {
        yield_now().await;
        slot.borrow().as_ref().unwrap().cancel();
        assert_eq!(current_task().unwrap().cancelling(), 1);
        std::future::pending::<()>().await;
    });
    let outer = event_loop.create_task((*child).clone());
    parent.replace(Some(outer.handle()));
    settle(&event_loop);
    assert!(child.cancelled() && outer.cancelled());
}

/// Two tasks that await each other can be cancelled, as a chain that bites its tail. (asyncio dies
/// of a RecursionError.)
#[test]
fn tasks_that_await_each_other_can_be_cancelled() {
    let event_loop = virtual_loop();
    let slot: Rc<RefCell<Option<Future<()>>>> = Rc::default();
    let other = slot.clone();
    let a = event_loop.create_task(async move {
        let other = other.take().unwrap();
        other.await;
    });
    let first = (*a).clone();
    let b = event_loop.create_task(first);
    slot.replace(Some((*b).clone()));
    settle(&event_loop);
    assert!(a.cancel());
    settle(&event_loop);
    assert!(a.cancelled() && b.cancelled());
}

/// A done-callback of the awaited future cancels the task that it is about to wake.
#[test]
fn callback_ahead_of_the_waiter_can_cancel_it() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future();
    let slot: Rc<RefCell<Option<TaskHandle>>> = Rc::default();
    let victim = slot.clone();
    future.add_done_callback(move |_| {
        victim.borrow().as_ref().unwrap().cancel();
    });
    let task = event_loop.create_task(future.clone());
    slot.replace(Some(task.handle()));
    turn(&event_loop);
    future.set_result(1).unwrap();
    turn(&event_loop);
    assert!(task.cancelled());
    assert_eq!(future.result().unwrap(), 1);
}

/// A diamond: two tasks await one; the shared one is asked by both.
#[test]
fn cancel_of_a_diamond_asks_the_shared_task_twice() {
    let event_loop = virtual_loop();
    let shared = event_loop.create_task(event_loop.create_future::<()>());
    let left = event_loop.create_task((*shared).clone());
    let right = event_loop.create_task((*shared).clone());
    let (x, y) = ((*left).clone(), (*right).clone());
    let top = event_loop.create_task(async move { futures::join!(x, y) });
    turn(&event_loop);
    top.cancel();
    settle(&event_loop);
    assert_eq!(shared.cancelling(), 2);
    assert_eq!((left.cancelling(), right.cancelling()), (1, 1));
    for task in [&shared, &left, &right] {
        assert!(task.cancelled());
    }
    assert!(top.cancelled());
}

// ---- long chains, on a small stack

const LONG: usize = 100_000;

/// A chain of tasks resolves from the innermost, one level a turn.
#[test]
fn long_chain_of_awaiting_tasks_resolves() {
    on_a_small_stack(|| {
        let event_loop = virtual_loop();
        let (bottom, top) = chain(&event_loop);
        settle(&event_loop);
        bottom.set_result(1).unwrap();
        settle(&event_loop);
        assert_eq!(top.result().unwrap(), 1 + LONG);
    });
}

/// It is cancelled from the outermost down, and unwinds.
#[test]
fn long_chain_of_awaiting_tasks_is_cancelled() {
    on_a_small_stack(|| {
        let event_loop = virtual_loop();
        let (bottom, top) = chain(&event_loop);
        settle(&event_loop);
        top.cancel();
        assert!(bottom.cancelled());
        settle(&event_loop);
        assert!(top.cancelled());
        assert!(event_loop.all_tasks().is_empty());
    });
}

/// It is dropped with its loop, waiting or not even started, with its handles outliving it or not.
#[test]
fn long_chain_of_awaiting_tasks_is_dropped_with_the_loop() {
    on_a_small_stack(|| {
        for started in [true, false] {
            for keep in [true, false] {
                let event_loop = virtual_loop();
                event_loop.set_exception_handler(|_, _| ());
                let (bottom, top) = chain(&event_loop);
                if started {
                    settle(&event_loop);
                }
                let kept = keep.then_some((bottom, top));
                drop(event_loop);
                drop(kept);
            }
        }
    });
}

/// Pending futures, each held by a callback of the one before: dropping the first drops them all.
#[test]
fn long_chain_of_callbacks_is_dropped_flat() {
    on_a_small_stack(|| {
        let event_loop = virtual_loop();
        let drops = Drops::new();
        let first = event_loop.create_future::<()>();
        let mut last = first.clone();
        for _ in 0..LONG {
            let (next, guard) = (event_loop.create_future::<()>(), drops.guard());
            let held = next.clone();
            last.add_done_callback(move |_| {
                let _ = held.set_result(());
                drop(guard);
            });
            last = next;
        }
        drop(last);
        assert_eq!(drops.count(), 0);
        drop(first);
        assert_eq!(drops.count(), LONG);
    });
}

/// The same chain completes when its first future does.
#[test]
fn long_chain_of_callbacks_completes() {
    on_a_small_stack(|| {
        let event_loop = virtual_loop();
        let first = event_loop.create_future::<()>();
        let mut last = first.clone();
        for _ in 0..LONG {
            let next = event_loop.create_future::<()>();
            let held = next.clone();
            last.add_done_callback(move |_| held.set_result(()).unwrap());
            last = next;
        }
        first.cancel();
        settle(&event_loop);
        assert!(last.done());
    });
}

/// Tasks that each hold the handle of the next and have ended: results inside results.
#[test]
fn long_chain_of_removed_callbacks_is_dropped_flat() {
    on_a_small_stack(|| {
        let event_loop = virtual_loop();
        let first = event_loop.create_future::<()>();
        let id = {
            let mut last = event_loop.create_future::<()>();
            let held = last.clone();
            let id = first.add_done_callback(move |_| drop(held));
            for _ in 0..LONG {
                let next = event_loop.create_future::<()>();
                let held = next.clone();
                last.add_done_callback(move |_| drop(held));
                last = next;
            }
            id
        };
        assert!(first.remove_done_callback(id));
    });
}

/// Sleepers that are cancelled by the thousand leave nothing behind.
#[test]
fn many_cancelled_sleepers_leave_nothing_behind() {
    let event_loop = virtual_loop();
    let tasks: Vec<_> = (0..10_000)
        .map(|i| event_loop.create_task(sleep(Duration::from_secs(i + 1))))
        .collect();
    turn(&event_loop);
    for task in &tasks {
        task.cancel();
    }
    settle(&event_loop);
    assert!(tasks.iter().all(|task| task.cancelled()));
    assert_eq!(event_loop.next_deadline(), None);
    assert!(event_loop.all_tasks().is_empty());
}

// ---- helpers

/// A future, and the outermost of `LONG` tasks that await it in a chain.
fn chain(event_loop: &EventLoop) -> (Future<usize>, Task<usize>) {
    let bottom = event_loop.create_future::<usize>();
    let innermost = bottom.clone();
    let mut top = event_loop.create_task(async move { innermost.await + 1 });
    for _ in 1..LONG {
        top = event_loop.create_task(async move { top.await + 1 });
    }
    (bottom, top)
}

fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(512 * 1024);
    thread.spawn(test).unwrap().join().unwrap();
}

fn on_drop(log: &Log, what: &str) -> OnDrop<impl FnOnce() + use<>> {
    let (log, what) = (log.clone(), what.to_owned());
    OnDrop::new(move || log.push(what))
}

fn error_of<T>(task: &Task<T>) -> CancelledError {
    task.with_result(|result| match result {
        Err(ResultError::Cancelled(cancelled)) => cancelled.clone(),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it has a result"),
    })
}
