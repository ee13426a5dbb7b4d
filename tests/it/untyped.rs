//! [`FutureHandle`]: futures without the type of their results.

use std::collections::HashSet;
use std::future::pending;

use callsoon::{
    Future, FutureHandle, ResultError, all_tasks, create_future, create_task, gather,
    gather_outcomes, run, shield, yield_now,
};

use crate::support::{Drops, Log, Turns, settle, turn, virtual_loop};

#[test]
fn it_is_made_of_every_sort_of_future() {
    let event_loop = virtual_loop();
    let (promise, task) = (
        event_loop.create_future::<u8>(),
        event_loop.create_task(async { "t" }),
    );
    let owned = event_loop.create_future::<u16>().take();
    let (all, shielded) = (gather((&promise, &task)), shield(&promise));
    let handles = [
        FutureHandle::from(&promise),
        FutureHandle::from(&task),
        FutureHandle::from(task.handle()),
        FutureHandle::from(&owned),
        FutureHandle::from(&all),
        FutureHandle::from(&shielded),
        promise.handle(),
        owned.handle(),
    ];
    let sites = [
        promise.created_at(),
        task.created_at(),
        task.created_at(),
        owned.created_at(),
        all.created_at(),
        shielded.created_at(),
        promise.created_at(),
        owned.created_at(),
    ];
    assert_eq!(handles.each_ref().map(FutureHandle::created_at), sites);
    assert!(
        handles
            .iter()
            .all(|handle| handle.get_loop() == event_loop.handle())
    );
    assert_eq!(
        format!("{:?}", handles[0]),
        format!("{:?}", FutureHandle::from(promise))
    );

    assert!(handles[4].downcast::<(u8, &str)>().is_some());
    assert!(handles[5].downcast::<u8>().is_some());
    assert!(handles[3].downcast::<u16>().is_some() && handles[3].downcast::<u8>().is_none());
    assert_eq!(handles[1].task(), Some(task.handle()));
    assert!(handles[4].task().is_none());
}

#[test]
fn equal_handles_are_of_one_future() {
    let event_loop = virtual_loop();
    let (one, two) = (
        event_loop.create_future::<u8>(),
        event_loop.create_future::<u8>(),
    );
    let handles = [&one, &two, &one].map(FutureHandle::from);
    assert_eq!(handles[0], handles[2]);
    assert_ne!(handles[0], handles[1]);
    assert_eq!(HashSet::from(handles).len(), 2);
}

/// Awaiting costs no turn more than awaiting the future itself, and gives nothing, whatever the end.
#[test]
fn awaiting_waits_for_the_end_whatever_it_is() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let cancelled = create_future::<u8>();
        let broken = create_task(async { panic!("boom") });
        let handles = [FutureHandle::from(&cancelled), FutureHandle::from(&broken)];
        let waiting = handles[0].clone();
        let inner = events.clone();
        create_task(async move {
            waiting.clone().await;
            inner.push("the future itself");
            waiting.await;
            inner.push("done already");
        });
        yield_now().await;
        cancelled.cancel();
        for handle in handles {
            handle.await;
            events.push("awaited");
        }
        assert!(matches!(broken.result(), Err(ResultError::Panicked(_))));
        yield_now().await;
    });
    log.expect(&[
        "1 awaited",
        "1 awaited",
        "2 the future itself",
        "2 done already",
    ]);
}

/// As for the future itself: a cancel of the awaiter goes to it.
#[test]
fn cancelling_the_awaiter_cancels_the_future() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<u8>();
    let handle = FutureHandle::from(&future);
    let awaiter = event_loop.create_task(async move {
        handle.await;
        "went on"
    });
    turn(&event_loop);
    assert!(awaiter.cancel());
    assert!(future.cancelled());
    assert_eq!(event_loop.run_until_complete(awaiter).unwrap(), "went on");
}

/// Dropping an await withdraws it.
#[test]
fn dropping_an_await_withdraws_it() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<u8>();
    let handle = FutureHandle::from(&future);
    let awaiter = event_loop.create_task(async move {
        futures::future::select(handle, Box::pin(yield_now())).await;
    });
    settle(&event_loop);
    assert!(awaiter.done() && !future.done());
    assert!(!format!("{future:?}").contains("cb="));
}

#[test]
fn callbacks_get_the_handle() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let future = event_loop.create_future::<u8>();
    let handle = FutureHandle::from(&future);
    let events = log.clone();
    handle.add_done_callback(move |handle| {
        events.push(handle.downcast::<u8>().unwrap().result().unwrap());
    });
    let removed = handle.add_done_callback(|_| unreachable!("it is removed"));
    assert!(handle.remove_done_callback(removed));
    let typed = future.add_done_callback(|_| unreachable!("it is removed"));
    assert!(handle.remove_done_callback(typed) && !future.remove_done_callback(typed));
    future.set_result(7).unwrap();
    settle(&event_loop);
    log.expect(&["7"]);
}

/// A handle counts as one: a gather is not let go of, and a result is not moved, behind its back.
#[test]
fn it_keeps_its_future() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let (future, guard) = (event_loop.create_future::<u8>(), drops.guard());
    future.add_done_callback(move |_| drop(guard));
    let all = FutureHandle::from(gather([&future]));
    future.set_result(1).unwrap();
    settle(&event_loop);
    assert!(all.done());
    let all: Future<[u8; 1]> = all.downcast().unwrap();
    assert_eq!(all.result().unwrap(), [1]);
    assert_eq!(drops.count(), 1);

    let waiting = event_loop.create_future::<u8>();
    drop(FutureHandle::from(gather([&waiting])));
    assert!(!format!("{waiting:?}").contains("cb="));
}

#[test]
fn it_cancels() {
    run(async {
        let task = create_task(pending::<()>());
        let handle = FutureHandle::from(&task);
        assert!(handle.cancel_with("why"));
        assert!(!handle.cancelled());
        handle.clone().await;
        assert!(handle.cancelled() && !handle.cancel());
        assert_eq!(task.outcome().await.unwrap_err().message(), Some("why"));
    });
}

/// G3, G13, S3, R5: a gather, a shield and a run take it for what it is, and make no task of it. How it
/// ends is of no interest.
#[test]
fn a_gather_of_handles_makes_no_tasks() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let (done, cancelled) = (create_future(), create_future::<u8>());
        done.set_result(1).unwrap();
        cancelled.cancel();
        let handles = vec![FutureHandle::from(done), FutureHandle::from(cancelled)];
        gather(&handles).await;
        events.push("both were done");

        let (number, text) = (create_future(), create_task(async { "text" }));
        let all = gather(vec![FutureHandle::from(&number), FutureHandle::from(&text)]);
        let shielded = shield(FutureHandle::from(&text));
        shielded.add_done_callback(events.done("shield"));
        number.set_result(2).unwrap();
        all.await;
        events.push("both are done");
        assert_eq!(all_tasks().len(), 1);
        let broken = create_task(async { panic!("boom") });
        assert!(gather_outcomes([FutureHandle::from(&broken)]).await[0].is_ok());
        assert!(broken.outcome().await.is_err());
    });
    log.expect(&["0 both were done", "3 both are done", "3 shield done"]);
    let future = event_loop.create_future();
    future.set_result(1).unwrap();
    let turns = Log::new();
    event_loop.call_soon(turns.event("first"));
    let in_second = turns.event("second");
    event_loop.call_soon(move || drop(callsoon::call_soon(in_second)));
    let handle = FutureHandle::from(future);
    event_loop.run_until_complete(handle).unwrap();
    turns.expect(&["first"]);
}

/// G8: a cancellation goes to the futures themselves. Dropping the gather takes its callbacks back.
#[test]
fn a_gather_of_handles_is_cancelled_and_dropped_like_any_other() {
    let event_loop = virtual_loop();
    let (one, two) = (
        event_loop.create_future::<u8>(),
        event_loop.create_future::<u8>(),
    );
    let handles = [FutureHandle::from(&one), FutureHandle::from(&two)];
    let all = gather(&handles);
    assert!(format!("{one:?}").contains("cb=[1]"));
    drop(all);
    assert!(!format!("{one:?} {two:?}").contains("cb="));
    let all = gather(handles);
    assert!(all.cancel());
    assert!(one.cancelled() && two.cancelled());
    settle(&event_loop);
    assert!(all.cancelled());
}
