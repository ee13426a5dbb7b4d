//! `as_completed`. The turns are those that CPython 3.13 takes.

use std::future::pending;

use callsoon::{
    Future, FutureHandle, Task, TimeoutError, as_completed, as_completed_coroutines, call_later,
    catch_cancel, create_future, create_task, gather, run, shield, yield_now,
};
use futures::stream::FusedStream as _;
use futures::{FutureExt as _, Stream, StreamExt as _};

use crate::support::{Drops, Turns, done_future, ms, settle, steps, turn, virtual_loop};

/// W16, W18, and table 2.0: the children at 1, both given out at 3. Coroutines begin at the call.
#[test]
fn coroutines_begin_at_the_call_and_come_two_turns_after_their_end() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let coroutines = ["a", "b"].map(|name| steps(events.clone(), name, 0));
        let mut tasks = as_completed_coroutines(coroutines);
        while let Some(task) = tasks.next().await {
            events.push(format_args!("got {}", task.await));
        }
    });
    log.expect(&[
        "1 a starts",
        "1 a ends",
        "1 b starts",
        "1 b ends",
        "3 got a",
        "3 got b",
    ]);
}

#[test]
fn coroutines_begin_also_if_nobody_asks_for_them() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        drop(as_completed_coroutines([steps(events, "a", 0)]));
        yield_now().await;
    });
    log.expect(&["1 a starts", "1 a ends"]);
}

/// W16: the originals, in the order in which they are done.
#[test]
fn the_original_handles_come_in_the_order_of_their_end() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let tasks = [3, 1, 1].map(|n| create_task(steps(events.clone(), "", n)));
        let mut earliest = as_completed(&tasks);
        while let Some(task) = earliest.next().await {
            let place = tasks.iter().position(|each| std::ptr::eq(each, task));
            events.push(format_args!("got {} {}", place.unwrap(), task.done()));
        }
    });
    let events = log.take();
    let got: Vec<_> = events
        .iter()
        .filter(|event| event.contains("got"))
        .collect();
    assert_eq!(got, ["4 got 1 true", "4 got 2 true", "6 got 0 true"]);
}

#[test]
fn what_was_done_from_the_start_takes_two_turns() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let mut one = as_completed([done_future(1)]);
        events.push(one.next().await.unwrap().await);
        assert!(one.next().await.is_none());
        assert!(one.next().await.is_none());
    });
    log.expect(&["2 1"]);
}

/// What was heard of meanwhile is there at once.
#[test]
fn a_slow_consumer_finds_everything_ready() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let futures: [Future<u8>; 3] = std::array::from_fn(|_| create_future());
        let mut earliest = as_completed(&futures);
        for n in [2, 0, 1] {
            futures[usize::from(n)].set_result(n).unwrap();
        }
        for _ in 0..3 {
            yield_now().await;
        }
        while let Some(future) = earliest.next().await {
            events.push(future.await);
        }
    });
    log.expect(&["3 2", "3 0", "3 1"]);
}

#[test]
fn results_need_not_be_clone_and_cancellations_are_seen() {
    struct NotClone(u8);
    run(async {
        let tasks = [create_task(async { NotClone(1) }), create_task(pending())];
        tasks[1].cancel();
        let mut earliest = as_completed(tasks);
        assert_eq!(earliest.next().await.unwrap().await.0, 1);
        assert!(earliest.next().await.unwrap().outcome().await.is_err());
    });
}

#[test]
fn nothing_is_nothing() {
    run(async {
        assert!(as_completed(Vec::<Task<()>>::new()).next().await.is_none());
        let mut limited = as_completed(Vec::<Task<()>>::new()).timeout(ms(1));
        assert!(limited.next().await.is_none());
    });
}

/// Handles of several sorts.
#[test]
fn handles_without_a_type() {
    run(async {
        let (number, text) = (create_task(async { 1 }), create_future());
        text.set_result("two").unwrap();
        let mut both = as_completed([FutureHandle::from(number), FutureHandle::from(text)]);
        assert!(both.next().await.unwrap().downcast::<&str>().is_some());
        assert!(both.next().await.unwrap().downcast::<i32>().is_some());
    });
}

#[test]
#[should_panic(expected = "belongs to another event loop")]
fn futures_of_two_loops_are_refused() {
    let (one, two) = (virtual_loop(), virtual_loop());
    drop(as_completed([
        one.create_future::<()>(),
        two.create_future(),
    ]));
}

#[test]
#[should_panic(expected = "no running event loop")]
fn coroutines_need_a_running_loop() {
    drop(as_completed_coroutines([async {}]));
}

// ---- time

/// W17: one error for each that is left; nothing is cancelled, and nothing waited for.
#[test]
fn a_timeout_gives_an_error_for_each_that_is_left() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let (one, two) = (create_future::<&str>(), create_future());
        let task = create_task(steps(events.clone(), "a", 1));
        let all = [Future::clone(&one), Future::clone(&task), two.clone()];
        let mut in_time = as_completed(all).timeout(ms(10));
        assert_eq!(in_time.size_hint(), (3, Some(3)));
        while let Some(next) = in_time.next().await {
            match next {
                Ok(future) => events.push(format_args!("got {}", future.await)),
                Err(TimeoutError) => events.push("timeout"),
            }
        }
        drop(in_time);
        events.push(format!("{one:?} {two:?}").contains("cb="));
        assert!(!one.done() && !two.done());
    });
    log.expect(&[
        "1 a starts",
        "2 a ends",
        "4 got a",
        "6 timeout",
        "6 timeout",
        "6 false",
    ]);
}

/// Done in the turn in which the time is over, but not heard of: it is too late, as in asyncio.
#[test]
fn a_timeout_of_zero() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let tasks = [
            create_task(steps(events.clone(), "a", 0)),
            create_task(pending()),
        ];
        let mut in_time = as_completed(tasks).timeout(ms(0));
        while let Some(next) = in_time.next().await {
            events.push(next.is_err());
        }
    });
    log.expect(&["1 a starts", "1 a ends", "2 true", "2 true"]);
}

#[test]
fn the_timer_goes_with_the_last_and_with_the_stream() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        let mut all = as_completed([done_future(1)]).timeout(ms(100));
        assert!(all.next().await.unwrap().is_ok());
        assert_eq!(callsoon::get_running_loop().next_deadline(), None);
        drop(as_completed([create_future::<()>()]).timeout(ms(100)));
    });
    event_loop.run_until_complete(task).unwrap();
    assert_eq!(event_loop.next_deadline(), None);
}

// ---- cancellation and drops

/// The next call gives what the cancelled one would have given. DIFFERENCE: asyncio counts the cancelled
/// one, and ends early.
#[test]
fn cancelling_next_loses_nothing() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let future = create_future();
        let mut one = as_completed([future.clone()]);
        let inner = events.clone();
        let waits = create_task(async move {
            let caught = catch_cancel(one.next()).await;
            inner.push(format_args!("cancelled {}", caught.is_err()));
            let next = one.next().await.unwrap().await;
            inner.push(format_args!("got {next}"));
        });
        yield_now().await;
        waits.cancel();
        future.set_result(1).unwrap();
        waits.await;
    });
    log.expect(&["2 cancelled true", "3 got 1"]);
}

/// The same through the trait, which does not tell the stream when nobody waits any more: by itself, and
/// beside something that raises the cancellation first.
#[test]
fn cancelling_the_next_of_the_trait_loses_nothing() {
    for beside in [false, true] {
        let event_loop = virtual_loop();
        let (future, never) = (event_loop.create_future(), event_loop.create_future::<()>());
        let mut one = as_completed([future.clone()]);
        let waits = event_loop.create_task(async move {
            let next = futures::StreamExt::next(&mut one);
            let caught = if beside {
                let both = futures::future::select(never, next);
                catch_cancel(both).await.is_err()
            } else {
                catch_cancel(next).await.is_err()
            };
            let next = futures::StreamExt::next(&mut one).await;
            (caught, next.unwrap().await)
        });
        settle(&event_loop);
        waits.cancel();
        settle(&event_loop);
        future.set_result(1).unwrap();
        assert_eq!(event_loop.run_until_complete(waits).unwrap(), (true, 1));
    }
}

/// C10: something is there, but the task is asked to stop before it goes on. It is there for the next.
#[test]
fn a_cancel_beats_what_is_there() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future();
    let mut one = as_completed([future.clone()]);
    let waits = event_loop.create_task(async move {
        let caught = catch_cancel(one.next()).await;
        assert!(caught.is_err());
        one.next().await.unwrap().await
    });
    turn(&event_loop);
    future.set_result(1).unwrap();
    turn(&event_loop);
    assert!(waits.cancel());
    assert_eq!(event_loop.run_until_complete(waits).unwrap(), 1);
}

/// A `next()` that lost a `select!` is not awaited any more, and what comes is not lost.
#[test]
fn dropping_next_loses_nothing() {
    run(async {
        let future = create_future();
        let mut one = as_completed([future.clone()]);
        assert!(one.next().now_or_never().is_none());
        {
            let next = std::pin::pin!(one.next());
            let other = std::pin::pin!(yield_now());
            futures::future::select(next, other).await;
        }
        let me = callsoon::current_task().unwrap();
        assert!(!format!("{me:?}").contains("wait_for"));
        future.set_result(1).unwrap();
        assert_eq!(one.next().await.unwrap().await, 1);
    });
}

/// Dropped before it was asked, while it is waited for, and when something is there.
#[test]
fn dropping_the_stream_takes_its_callbacks_back() {
    for turns in 0..4 {
        let (event_loop, drops) = (virtual_loop(), Drops::new());
        let (one, two) = (event_loop.create_future(), event_loop.create_future::<u8>());
        let guard = drops.guard();
        let mut both = as_completed([one.clone(), two.clone()]);
        let waits = event_loop.create_task(async move {
            let _kept = guard;
            while both.next().await.is_some() {}
        });
        for n in 0..turns {
            turn(&event_loop);
            if n == 0 {
                one.set_result(1).unwrap();
            }
        }
        waits.cancel();
        settle(&event_loop);
        assert_eq!(drops.count(), 1, "after {turns}");
        assert!(!format!("{one:?} {two:?}").contains("cb="), "after {turns}");
        assert!(!two.done());
    }
}

// ---- as a stream

#[test]
fn it_is_a_stream() {
    let event_loop = virtual_loop();
    let order = event_loop.run_until_complete(async {
        let tasks = [30, 10, 20].map(|n| {
            create_task(async move {
                callsoon::sleep(ms(n)).await;
                n
            })
        });
        let mut stream = as_completed(tasks);
        assert_eq!(stream.size_hint(), (3, Some(3)));
        let mut order = Vec::new();
        while !stream.is_terminated() {
            order.push(stream.select_next_some().await.await);
        }
        assert!(stream.next().await.is_none());
        order
    });
    assert_eq!(order.unwrap(), [10, 20, 30]);
}

/// With a waker of another crate's around it.
#[test]
fn it_works_inside_foreign_combinators() {
    let event_loop = virtual_loop();
    let all = event_loop.run_until_complete(async {
        let stream = |base: u64| {
            let tasks = [base + 1, base].map(|n| {
                create_task(async move {
                    callsoon::sleep(ms(n)).await;
                    n
                })
            });
            as_completed(tasks).then(|task| task).boxed_local()
        };
        let merged = futures::stream::select_all([stream(10), stream(20)]);
        merged.collect::<Vec<_>>().await
    });
    assert_eq!(all.unwrap(), [10, 11, 20, 21]);
}

#[test]
fn a_hundred_thousand() {
    const N: usize = 100_000;
    let count = run(async {
        let mut tasks = as_completed_coroutines((0..N).map(|n| async move { n }));
        let mut count = 0;
        while let Some(task) = tasks.next().await {
            assert_eq!(task.await, count);
            count += 1;
        }
        count
    });
    assert_eq!(count, N);
}

/// Adding to what is waited for from its own callback.
#[test]
fn a_callback_of_a_future_may_complete_the_others() {
    let event_loop = virtual_loop();
    let order = event_loop.run_until_complete(async {
        let (one, two) = (create_future(), create_future());
        let other = two.clone();
        one.add_done_callback(move |_| other.set_result(2).unwrap());
        let first = one.clone();
        call_later(ms(1), move || first.set_result(1).unwrap());
        let stream = as_completed([two, one]);
        stream.then(|future| future).collect::<Vec<_>>().await
    });
    assert_eq!(order.unwrap(), [1, 2]);
}

/// A gather or a shield that nobody else holds goes with the stream, and lets go of what is below it.
#[test]
fn what_only_the_stream_holds_goes_with_it() {
    let event_loop = virtual_loop();
    let (one, two) = (event_loop.create_future(), event_loop.create_future());
    let both = as_completed([shield(gather([&one])), gather([&two])]);
    drop(both);
    assert!(!format!("{one:?} {two:?}").contains("cb="));
    let _: [Future<()>; 2] = [one, two];
}

/// W18.
#[test]
fn the_same_future_twice_comes_once() {
    run(async {
        let (one, two) = (done_future(1), done_future(2));
        let all = as_completed([&two, &one, &two, &one]);
        assert_eq!(all.size_hint(), (2, Some(2)));
        let order: Vec<_> = all.then(|future| future.clone()).collect().await;
        assert_eq!(order, [2, 1]);
    });
}

/// The loop goes while the stream is waited for, and while nobody waits.
#[test]
fn a_stream_whose_loop_is_closed_leaks_nothing() {
    for awaited in [false, true] {
        let (event_loop, drops) = (virtual_loop(), Drops::new());
        let guard = drops.guard();
        let task = event_loop.create_task(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        let mut all = as_completed([task]).timeout(ms(5));
        if awaited {
            let waits = event_loop.create_task(async move { all.next().await.is_some() });
            turn(&event_loop);
            event_loop.close();
            assert!(!waits.done());
        } else {
            event_loop.close();
            drop(all);
        }
        assert_eq!(drops.count(), 1);
    }
}
