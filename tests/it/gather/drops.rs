//! Gathers that are dropped, and code of users' that runs inside them.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;

use callsoon::{
    Awaitable, Awaited, Future, FutureHandle, LoopHandle, OwnedFuture, Task, create_future,
    create_task, gather, shield, try_gather, yield_now,
};

use super::{fails, panic_message};
use crate::support::{Drops, Log, OnDrop, Turns, reports_to, settle, turn, virtual_loop};

/// At every point of its life, a gather that is dropped lets go of its children, who run on.
#[test]
fn dropping_a_gather_takes_its_callbacks_back() {
    for turns in 0..6 {
        let (event_loop, drops) = (virtual_loop(), Drops::new());
        let (guards, handles) = (drops.clone(), Rc::new(RefCell::new(Vec::new())));
        let tasks = [0, 2].map(|n| {
            let guard = guards.guard();
            event_loop.create_task(async move {
                for _ in 0..n {
                    yield_now().await;
                }
                guard
            })
        });
        handles.borrow_mut().extend(tasks.iter().map(Task::handle));
        let all = gather(tasks);
        for _ in 0..turns {
            turn(&event_loop);
        }
        drop(all);
        assert!(
            !format!("{:?}", handles.borrow()).contains("cb="),
            "after {turns}"
        );
        settle(&event_loop);
        assert!(handles.borrow().iter().all(|task| task.done()));
        handles.take();
        assert_eq!(drops.count(), 2, "after {turns}");
    }
}

/// The same of one that a task awaits, when that is dropped with its coroutine.
#[test]
fn a_gather_that_is_dropped_with_its_awaiter_lets_go() {
    for turns in 0..6 {
        let (event_loop, drops) = (virtual_loop(), Drops::new());
        let task = event_loop.create_task(async {
            yield_now().await;
            yield_now().await;
        });
        let (shared, guard) = (task.handle(), drops.guard());
        let awaiter = event_loop.create_task(async move {
            let waits = async move {
                let _guard = guard;
                gather([task]).await
            };
            let gives_up = async {
                for _ in 0..turns {
                    yield_now().await;
                }
            };
            futures::future::select(Box::pin(waits), Box::pin(gives_up)).await;
        });
        settle(&event_loop);
        assert!(awaiter.done() && shared.done() && !shared.cancelled());
        assert_eq!(drops.count(), 1);
    }
}

/// Nobody holds it any more, but somebody wants to hear of it.
#[test]
fn a_gather_with_a_done_callback_goes_on_when_its_handle_is_dropped() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let future = event_loop.create_future();
    let events = log.clone();
    gather([&future]).add_done_callback(move |all| {
        events.push(format_args!("{:?}", all.result().unwrap()));
    });
    future.set_result(1).unwrap();
    settle(&event_loop);
    log.expect(&["[1]"]);
}

/// And when the callback is taken back, nothing holds it.
#[test]
fn a_gather_whose_callback_is_removed_lets_go_with_its_last_handle() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let future = event_loop.create_future::<()>();
    let (all, guard) = (gather([&future]), drops.guard());
    let id = all.add_done_callback(move |_| drop(guard));
    assert!(format!("{future:?}").contains("cb=[1]"));
    assert!(all.remove_done_callback(id));
    drop(all);
    assert_eq!(drops.count(), 1);
    assert!(!format!("{future:?}").contains("cb="));
}

/// A gather that is over holds nothing of its children.
#[test]
fn a_gather_that_is_over_lets_go_of_its_children() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let (waiting, fails) = (event_loop.create_future::<()>(), event_loop.create_future());
    let guard = drops.guard();
    let task = event_loop.create_task(async move {
        let _guard = guard;
        Err::<(), _>(())
    });
    let both = try_gather((&fails, task));
    let kept = Future::clone(&both);
    fails.set_result(Err::<(), _>(())).unwrap();
    settle(&event_loop);
    assert!(kept.done());
    assert_eq!(drops.count(), 1);
    drop(waiting);
}

/// Results are moved through, and dropped once, with whoever has them.
#[test]
fn results_are_dropped_once() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let (a, b, c) = (drops.guard(), drops.guard(), drops.guard());
    let never = event_loop.create_task(pending::<()>());
    let tasks = (
        event_loop.create_task(async { a }),
        event_loop.create_task(async { b }),
    );
    let all = gather(tasks);
    let _cancelled = gather((event_loop.create_task(async { c }), &never));
    settle(&event_loop);
    assert_eq!(drops.count(), 0);
    never.cancel();
    settle(&event_loop);
    assert_eq!(drops.count(), 1, "that of the cancelled gather");
    let results = all.take_result().unwrap();
    drop(all);
    assert_eq!(drops.count(), 1);
    drop(results);
    assert_eq!(drops.count(), 3);
}

// ---- what users' code may do

#[test]
fn a_clone_or_map_that_panics_ends_the_gather_with_the_panic() {
    struct Explosive;
    impl Clone for Explosive {
        fn clone(&self) -> Self {
            panic!("clone panics")
        }
    }
    struct Mapped(Task<()>);
    impl Awaitable for Mapped {
        type Output = Result<(), ()>;
        fn into_awaited(self, event_loop: &LoopHandle) -> Awaited<Self::Output> {
            self.0
                .into_awaited(event_loop)
                .map(|()| panic!("map panics"))
        }
        fn bound_loop(&self) -> Option<LoopHandle> {
            self.0.bound_loop()
        }
    }
    let event_loop = virtual_loop();
    let future = event_loop.create_future();
    let later = gather([&future]);
    future.set_result(Explosive).ok();
    let at_once = gather([&future]);
    assert!(at_once.done());
    settle(&event_loop);
    let mapped = gather([Mapped(event_loop.create_task(async {}))]);
    let tried = try_gather([Mapped(event_loop.create_task(async {}))]);
    settle(&event_loop);
    assert_eq!(panic_message(&later), "clone panics");
    assert_eq!(panic_message(&at_once), "clone panics");
    assert_eq!(panic_message(&mapped), "map panics");
    assert_eq!(panic_message(&tried), "map panics");
}

/// The results that a cancelled gather has no use for go after it is done; their panics are reported.
#[test]
fn a_drop_that_panics_does_not_keep_the_gather_from_ending() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    reports_to(&event_loop, &log);
    let never = event_loop.create_task(pending::<()>());
    let task = event_loop.create_task(async { OnDrop::new(|| panic!("drop panics")) });
    let all = gather((task, &never));
    settle(&event_loop);
    never.cancel();
    settle(&event_loop);
    assert!(all.cancelled());
    assert_eq!(log.take().len(), 1);
}

/// In a done-callback of a child, in front of the gather's own: drop it, ask it, add callbacks to it.
#[test]
fn a_callback_of_a_child_may_drop_the_gather() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let (one, two) = (event_loop.create_future(), event_loop.create_future::<()>());
    let slot = Rc::new(RefCell::new(None));
    let (gathered, events) = (slot.clone(), log.clone());
    one.add_done_callback(move |_| {
        let all: OwnedFuture<(u8, ())> = gathered.take().unwrap();
        events.push(format_args!("{} {}", all.done(), all.cancelled()));
        drop(all);
        events.push("dropped");
    });
    *slot.borrow_mut() = Some(gather((&one, &two)));
    one.set_result(1).unwrap();
    settle(&event_loop);
    log.expect(&["false false", "dropped"]);
    assert!(!format!("{two:?}").contains("cb="));
}

#[test]
fn a_callback_of_a_child_may_add_callbacks_and_awaiters_to_the_gather() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let future = create_future();
        let slot = Rc::new(RefCell::new(None::<Future<[u8; 1]>>));
        let (gathered, inner) = (slot.clone(), events.clone());
        future.add_done_callback(move |_| {
            let all = gathered.take().unwrap();
            all.add_done_callback(inner.done("added"));
            create_task(async move { inner.push(format_args!("{:?}", all.await)) });
        });
        let all = gather([&future]);
        *slot.borrow_mut() = Some(Future::clone(&all));
        future.set_result(7).unwrap();
        all.await;
        yield_now().await;
    });
    log.expect(&["2 [7]", "2 added done"]);
}

/// Whoever looks first has the result of a child that is given away twice.
#[test]
fn a_childs_result_that_was_taken_makes_the_gather_panic() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async { 1 });
    let (owner, keeper) = (task.take(), task);
    let all = gather([owner]);
    turn(&event_loop);
    keeper.take_result().unwrap();
    settle(&event_loop);
    assert_eq!(panic_message(&all), "a child's result was taken already");
}

/// As in asyncio, where a gather is a future too: the children are left alone, and what they come to
/// counts as looked at.
#[test]
fn a_gather_may_be_completed_by_hand() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    reports_to(&event_loop, &log);
    let (one, two) = (event_loop.create_future(), event_loop.create_future());
    let both = gather((&one, &two));
    one.set_result(1).unwrap();
    two.set_result(2).unwrap();
    both.set_result((3, 4)).unwrap();
    settle(&event_loop);
    assert_eq!(both.take_result().unwrap(), (3, 4));

    let fails = event_loop.create_try_task(fails(1, "late"));
    let tried = try_gather([fails]);
    tried.set_result(Ok([()])).unwrap();
    drop(tried);
    settle(&event_loop);
    log.expect(&[]);
}

/// The same from the code that makes its result.
#[test]
fn a_clone_of_a_result_may_complete_the_gather() {
    #[derive(Default)]
    struct Meddles(Rc<RefCell<Option<Future<[Meddles; 1]>>>>);
    impl Clone for Meddles {
        fn clone(&self) -> Self {
            let all = self.0.take().unwrap();
            assert!(all.set_result([Meddles::default()]).is_ok());
            Meddles::default()
        }
    }
    let (event_loop, log) = (virtual_loop(), Log::new());
    reports_to(&event_loop, &log);
    let future = event_loop.create_future();
    let all = gather([&future]);
    let slot = Rc::new(RefCell::new(Some(Future::clone(&all))));
    future.set_result(Meddles(slot.clone())).ok();
    settle(&event_loop);
    assert!(all.done() && slot.borrow().is_none());
    log.expect(&[]);
}

/// F9: a done-callback that panics is reported, and takes nothing from the others.
#[test]
fn a_callback_of_the_gather_that_panics_is_reported() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    reports_to(&event_loop, &log);
    let future = event_loop.create_future();
    let all = gather([&future]);
    all.add_done_callback(|_| panic!("callback panics"));
    let events = log.clone();
    all.add_done_callback(move |_| events.push("second"));
    future.set_result(1).unwrap();
    assert_eq!(event_loop.run_until_complete(all).unwrap(), [1]);
    let events = log.take();
    assert_eq!(events.len(), 2);
    assert_eq!(events[1], "second");
}

/// A child's result is dropped when the gather ends without it, and its `Drop` uses the gather and drops
/// other tasks.
#[test]
fn a_drop_of_a_result_may_use_the_gather() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let slot = Rc::new(RefCell::new(None::<FutureHandle>));
    let other = event_loop.create_task(pending::<()>());
    let (gathered, events) = (slot.clone(), log.clone());
    let task = event_loop.create_task(async move {
        OnDrop::new(move || {
            let all = gathered.take().unwrap();
            events.push(format_args!("{} {}", all.cancel(), all.cancelled()));
            drop(other);
        })
    });
    let never = event_loop.create_task(pending::<()>());
    let all = gather((task, &never));
    *slot.borrow_mut() = Some(FutureHandle::from(&all));
    settle(&event_loop);
    never.cancel();
    settle(&event_loop);
    log.expect(&["false true"]);
    assert!(all.cancelled());
}

/// The `Drop` of a coroutine that a cancelled gather unwinds cancels that gather again, and drops it.
#[test]
fn a_drop_of_a_child_may_cancel_and_drop_the_gather() {
    let event_loop = virtual_loop();
    let slot = Rc::new(RefCell::new(None::<OwnedFuture<((), ())>>));
    let gathered = slot.clone();
    let guard = OnDrop::new(move || {
        let all = gathered.take().unwrap();
        assert!(all.cancel());
    });
    let sibling = event_loop.create_task(pending::<()>());
    let child = event_loop.create_task(async move {
        let _guard = guard;
        pending::<()>().await;
    });
    *slot.borrow_mut() = Some(gather((child, &sibling)));
    settle(&event_loop);
    assert!(slot.borrow().as_ref().unwrap().cancel());
    settle(&event_loop);
    assert!(slot.borrow().is_none() && sibling.cancelled());
    assert_eq!(sibling.cancelling(), 2);
}

// ---- the loop goes

/// Everything that waits for the gather goes with the loop, or with its handle.
#[test]
fn a_gather_whose_loop_is_closed_stays_pending_and_leaks_nothing() {
    for awaited in [false, true] {
        let (event_loop, drops) = (virtual_loop(), Drops::new());
        let (guard, in_child) = (drops.guard(), drops.guard());
        let child = event_loop.create_task(async move {
            let _guard = in_child;
            pending::<()>().await;
        });
        let all = gather([child]);
        all.add_done_callback(move |_| drop(guard));
        let kept = Future::clone(&all);
        if awaited {
            event_loop.create_task(all);
        } else {
            drop(all);
        }
        settle(&event_loop);
        event_loop.close();
        assert!(!kept.done() && !kept.cancel());
        drop(event_loop);
        drop(kept);
        assert_eq!(drops.count(), 2);
    }
}

/// R12: on a closed loop, asking the children to stop is refused with a panic, as completing them by hand
/// is; nothing is left behind.
#[test]
fn cancelling_the_gather_of_a_closed_loop_panics() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let futures = [event_loop.create_future(), event_loop.create_future::<()>()];
    let guard = drops.guard();
    futures[1].add_done_callback(move |_| drop(guard));
    let all = gather(&futures);
    drop(event_loop);
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| all.cancel()));
    let message = *refused.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("is closed"), "{message}");
    assert!(futures[0].cancelled() && !futures[1].done());
    drop((all, futures));
    assert_eq!(drops.count(), 1);
}

/// A child that is done is a child, wherever its loop is by now.
#[test]
fn done_children_of_a_closed_loop_can_be_gathered() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future();
    future.set_result(1).unwrap();
    drop(event_loop);
    assert_eq!(gather([&future]).take_result().unwrap(), [1]);
}

/// Nobody has a handle of the gathers, nor of the futures in them; they go with the loop, and their
/// callbacks in the order in which they were left alone.
#[test]
fn gathers_that_only_their_callbacks_keep_go_with_the_loop() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let last_words = |word: &'static str| OnDrop::new(log.event(word));
    let (guard, future) = (last_words("one"), event_loop.create_future::<()>());
    gather((future,)).add_done_callback(move |_| drop(guard));
    let inner = gather((event_loop.create_task(pending::<()>()),));
    let (guard, outer) = (last_words("two"), gather((inner,)));
    outer.add_done_callback(move |_| drop(guard));
    drop(outer);
    let (guard, shielded) = (
        last_words("three"),
        shield(event_loop.create_future::<()>()),
    );
    shielded.add_done_callback(move |_| drop(guard));
    drop(shielded);
    settle(&event_loop);
    log.expect(&[]);
    drop(event_loop);
    log.expect(&["one", "two", "three"]);
}

/// On a closed loop they have nothing to wait for.
#[test]
fn a_gather_of_a_closed_loop_goes_with_its_last_handle_whatever_its_callbacks() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let future = event_loop.create_future::<()>();
    let (all, guard) = (gather([&future]), drops.guard());
    all.add_done_callback(move |_| drop(guard));
    event_loop.close();
    assert_eq!(drops.count(), 0);
    drop(all);
    assert_eq!(drops.count(), 1);
    assert!(!format!("{future:?}").contains("cb="));
}

/// When it is done, nothing keeps it.
#[test]
fn a_gather_that_went_on_for_its_callback_is_freed_when_that_has_run() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let guard = drops.guard();
    let task = event_loop.create_task(async move { guard });
    gather([task]).add_done_callback(|all| assert!(all.done()));
    turn(&event_loop);
    turn(&event_loop);
    assert_eq!(drops.count(), 0);
    turn(&event_loop);
    assert_eq!(drops.count(), 1);
}
