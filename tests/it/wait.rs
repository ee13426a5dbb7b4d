//! `wait`. The turns are those that CPython 3.13 takes.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use callsoon::{
    EventLoop, Future, FutureHandle, OwnedFuture, ReturnWhen, Task, Waitable, Waited, all_tasks,
    call_later, create_future, create_task, create_try_task, current_task, gather, run, shield,
    try_gather, wait, yield_now,
};
use futures::FutureExt as _;

use crate::support::{
    Drops, Log, Turns, done_future, ms, reports_to, settle, steps, turn, virtual_loop,
};

use ReturnWhen::{AllCompleted, FirstCompleted, FirstMatching};

/// W3, and table 2.0: a child at 1, the waiter at 2, the caller at 3.
#[test]
fn wait_goes_on_two_turns_after_the_last_is_done() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let task = create_task(steps(events.clone(), "a", 0));
        let (done, pending) = wait([task], AllCompleted, None).await;
        events.push(format_args!("{} {}", done.len(), pending.len()));
        let more = [0, 3].map(|n| create_task(steps(events.clone(), "b", n)));
        let (done, pending) = wait(more, AllCompleted, None).await;
        events.push(format_args!("{} {}", done.len(), pending.len()));
    });
    log.expect(&[
        "1 a starts",
        "1 a ends",
        "3 1 0",
        "4 b starts",
        "4 b ends",
        "4 b starts",
        "7 b ends",
        "9 2 0",
    ]);
}

/// W3, and table 2.0: never fewer than two.
#[test]
fn waiting_for_what_is_done_takes_two_turns() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let (done, pending) = wait([done_future(1), done_future(2)], AllCompleted, None).await;
        events.push(format_args!("{} {}", done.len(), pending.len()));
        let (done, _) = wait([done_future(1)], FirstCompleted, None).await;
        events.push(done.len());
    });
    log.expect(&["2 2 0", "4 1"]);
}

/// W4: all that are done when it goes on are in the list, in the order of the arguments.
#[test]
fn the_first_may_be_several() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let tasks = [4, 1, 0, 2].map(|n| create_task(steps(events.clone(), "", n)));
        let ids = [1, 2].map(|place: usize| tasks[place].handle());
        let (done, pending) = wait(tasks, FirstCompleted, None).await;
        assert_eq!(done.iter().map(Task::handle).collect::<Vec<_>>(), ids);
        events.push(format_args!("{} {}", done.len(), pending.len()));
        for task in pending {
            task.cancel();
        }
    });
    assert_eq!(log_end(&log), "3 2 2");
}

/// W5: cancelled ones do not count, and neither does an `Ok`.
#[test]
fn the_first_exception_is_an_error_and_not_a_cancellation() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let ends = |n: usize, end: Result<(), &'static str>| {
            create_try_task(async move {
                for _ in 0..n {
                    yield_now().await;
                }
                end
            })
        };
        let cancelled = create_task(pending());
        cancelled.cancel();
        let tasks = [
            ends(1, Ok(())),
            ends(10, Ok(())),
            ends(3, Err("third")),
            cancelled,
        ];
        let (done, pending) = wait(tasks, ReturnWhen::FirstException, None).await;
        let ends: Vec<_> = done.iter().map(|task| task.result().ok()).collect();
        events.push(format_args!("{ends:?} {}", pending.len()));
    });
    log.expect(&[r#"6 [Some(Ok(())), Some(Err("third")), None] 1"#]);
}

/// G7, W5: for asyncio a gather that ends in cancellation has failed with it, and so has its shield.
#[test]
fn a_cancelled_gather_is_an_exception() {
    let event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            for shielded in [false, true] {
                let child = create_task(pending::<()>());
                let never = create_try_task(pending::<Result<(), ()>>());
                let gathered = try_gather([async {
                    child.await;
                    Ok::<_, ()>(())
                }]);
                gathered.cancel();
                let gathered: OwnedFuture<_> = match shielded {
                    true => shield(gathered),
                    false => gathered,
                };
                let both = [FutureHandle::from(&gathered), FutureHandle::from(&never)];
                let (done, _) = wait(both, ReturnWhen::FirstMatching(|()| false), None).await;
                assert_eq!(done.len(), 1, "shielded: {shielded}");
            }
        })
        .unwrap();
}

/// W5: without an error it waits for all.
#[test]
fn without_an_exception_it_waits_for_all() {
    run(async {
        let tasks = [1, 2].map(|n| create_task(async move { Ok::<_, ()>(n) }));
        let (done, pending) = wait(tasks, ReturnWhen::FirstException, None).await;
        assert_eq!((done.len(), pending.len()), (2, 0));
    });
}

/// A panic takes the place of an arbitrary exception; it is still reported if nobody looks at it.
#[test]
fn a_panic_is_an_exception() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    reports_to(&event_loop, &log);
    let found = event_loop.run_until_complete(async {
        let broken = create_task(async { panic!("boom") });
        let never = create_task(pending::<Result<(), ()>>());
        let (done, pending) = wait([never, broken], ReturnWhen::FirstException, None).await;
        (done.len(), pending.len())
    });
    assert_eq!(found.unwrap(), (1, 1));
    log.expect(&["task panic was never retrieved"]);
}

/// W5: the errors that it looked at are not reported, all those of one turn; the others are.
#[test]
fn an_error_that_was_looked_at_is_not_reported() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    reports_to(&event_loop, &log);
    for (return_when, reports) in [(ReturnWhen::FirstException, 0), (AllCompleted, 2)] {
        let ends = [Err("first"), Err("second"), Ok(())];
        let tasks = ends.map(|end| event_loop.create_try_task(async move { end }));
        let waited = wait(tasks, return_when, None);
        event_loop.run_until_complete(waited).unwrap();
        assert_eq!(log.take().len(), reports);
    }
}

#[test]
fn the_first_that_matches() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let tasks = [1, 2, 3, 40].map(|n| create_task(turns(n)));
        let (done, pending) = wait(&tasks, FirstMatching(|n| n % 2 == 0), None).await;
        events.push(format_args!("{} {}", done.len(), pending.len()));
    });
    log.expect(&["5 3 1"]);
}

#[test]
fn a_predicate_that_panics_panics_in_the_waiting_task() {
    let event_loop = virtual_loop();
    let waited = event_loop.run_until_complete(async {
        let tasks = [done_future(1), create_future()];
        AssertUnwindSafe(wait(&tasks, FirstMatching(|_| panic!("boom")), None))
            .catch_unwind()
            .await
            .is_err()
    });
    assert!(waited.unwrap());
}

// ---- time

/// W1: when the time is over, what is done is done; nothing is cancelled and nothing raised.
#[test]
fn a_timeout_gives_what_there_is() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let (never, task) = (create_future(), create_task(steps(events.clone(), "a", 2)));
        let both = [FutureHandle::from(&never), FutureHandle::from(&task)];
        let (done, pending) = wait(both, AllCompleted, Some(ms(10))).await;
        events.push(format_args!("{} {}", done.len(), pending.len()));
        events.push(never.done());
        never.set_result(()).unwrap();
    });
    log.expect(&["1 a starts", "3 a ends", "6 1 1", "6 false"]);
}

/// A time limit of nothing is over in the next turn.
#[test]
fn a_timeout_of_zero() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let tasks = [
            create_task(steps(events.clone(), "a", 0)),
            create_task(pending()),
        ];
        let (done, pending) = wait(tasks, AllCompleted, Some(ms(0))).await;
        events.push(format_args!("{} {}", done.len(), pending.len()));
    });
    log.expect(&["1 a starts", "1 a ends", "2 1 1"]);
}

/// Done in the very turn in which the time is over.
#[test]
fn what_is_done_when_the_time_is_over_counts() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let future = create_future();
        let ends = future.clone();
        call_later(ms(10), move || ends.set_result(1).unwrap());
        let (done, pending) = wait([future], AllCompleted, Some(ms(10))).await;
        events.push(format_args!("{} {}", done.len(), pending.len()));
    });
    log.expect(&["2 1 0"]);
}

#[test]
fn the_timer_goes_when_all_are_done() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        wait([done_future(1)], AllCompleted, Some(ms(1000))).await;
    });
    settle(&event_loop);
    assert!(task.done());
    assert_eq!(event_loop.next_deadline(), None);
}

// ---- cancellation and drops

/// W6: it leaves the futures alone, and takes its callbacks and its timer back.
#[test]
fn cancelling_a_wait_changes_nothing_else() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let future = create_future::<()>();
        let waited = future.clone();
        let waits = create_task(async move {
            wait([waited], AllCompleted, Some(ms(100))).await;
        });
        yield_now().await;
        events.push(callbacks(&future));
        assert!(waits.cancel());
        assert!(waits.outcome().await.is_err());
        events.push(format_args!("{} {}", future.done(), callbacks(&future)));
        future.set_result(()).unwrap();
    });
    log.expect(&["1 1", "3 false 0"]);
    assert_eq!(event_loop.next_deadline(), None);
}

/// C10: it is cancelled when what it waits for is done, but before it goes on.
#[test]
fn a_cancel_beats_what_was_waited_for() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let future = create_future();
        let (waited, inner) = (future.clone(), events.clone());
        let waits = create_task(async move {
            let caught = callsoon::catch_cancel(wait([waited], AllCompleted, None)).await;
            inner.push(caught.is_err());
        });
        yield_now().await;
        future.set_result(1).unwrap();
        yield_now().await;
        assert!(waits.cancel());
        waits.await;
    });
    log.expect(&["3 true"]);
}

/// Dropped before it begins, while it waits, when it has been heard of, and at the end.
#[test]
fn dropping_a_wait_at_any_point_takes_everything_back() {
    for turns in 0..5 {
        let (event_loop, drops) = (virtual_loop(), Drops::new());
        let (one, two) = (event_loop.create_future(), event_loop.create_future());
        let guard = drops.guard();
        let (handles, shared) = ([one.clone(), two.clone()], Rc::new(guard));
        let waits = event_loop.create_task(async move {
            let _kept = shared;
            wait(handles, AllCompleted, Some(ms(50))).await;
        });
        for n in 0..turns {
            turn(&event_loop);
            if n == 0 {
                one.set_result(1).unwrap();
            }
            if n == 1 {
                two.set_result(2).unwrap();
            }
        }
        drop(waits);
        event_loop.close();
        assert_eq!(drops.count(), 1, "after {turns}");
        assert_eq!(callbacks(&one) + callbacks(&two), 0, "after {turns}");
        assert_eq!(event_loop.next_deadline(), None);
    }
}

#[test]
fn a_wait_that_is_never_awaited_does_nothing() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<()>();
    drop(wait([&future], AllCompleted, Some(ms(1))));
    assert_eq!((callbacks(&future), event_loop.next_deadline()), (0, None));
}

/// A callback of what is waited for may drop the task that waits.
#[test]
fn a_callback_may_end_the_waiting_task() {
    let event_loop = virtual_loop();
    let (one, two) = (event_loop.create_future(), event_loop.create_future::<u8>());
    let both = [one.clone(), two.clone()];
    let waits = event_loop.create_task(async move {
        wait(both, AllCompleted, None).await;
    });
    let handle = waits.handle();
    one.add_done_callback(move |_| _ = handle.cancel());
    turn(&event_loop);
    one.set_result(1_u8).unwrap();
    settle(&event_loop);
    assert!(waits.cancelled() && !two.done());
    assert_eq!(callbacks(&two), 0);
}

// ---- what it takes and gives back

#[test]
fn it_gives_back_the_handles_it_was_given() {
    struct NotClone(u8);
    run(async {
        let owners: [OwnedFuture<_>; 2] = [1, 2].map(|n| done_future(NotClone(n)).take());
        let (done, _) = wait(owners, AllCompleted, None).await;
        let mut sum = 0;
        for owner in done {
            sum += owner.await.0;
        }
        assert_eq!(sum, 3);

        let tasks = [create_task(async { NotClone(3) })];
        let (done, _) = wait(tasks.iter(), AllCompleted, None).await;
        assert!(std::ptr::eq(done[0], &raw const tasks[0]));

        let me = current_task().unwrap();
        let others = all_tasks().into_iter().filter(|task| *task != me);
        let others = others.chain([create_task(async {}).handle()]);
        let (done, pending) = wait(others, AllCompleted, None).await;
        assert_eq!((done.len(), pending.len()), (1, 0));

        let boxed: Vec<Box<dyn Waitable<Output = u8>>> =
            vec![Box::new(done_future(1)), Box::new(create_task(async { 2 }))];
        let (done, _) = wait(boxed, FirstMatching(|n| *n == 2), None).await;
        assert_eq!(done.len(), 2);
    });
}

/// An enum of the user's, with a result of its own to look for.
enum Mixed {
    Number(Task<Result<u32, &'static str>>),
    Text(Future<Result<String, ()>>),
}

impl Waitable for Mixed {
    type Output = Result<(), ()>;

    fn to_waited(&self) -> Waited<Result<(), ()>> {
        match self {
            Self::Number(task) => task.to_waited().map(|r| r.map(drop).map_err(drop)),
            Self::Text(future) => future
                .to_waited()
                .map(|r| r.as_ref().map(drop).map_err(drop)),
        }
    }
}

#[test]
fn a_users_enum_can_be_waited_for() {
    let event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            let text = create_future();
            let list = vec![
                Mixed::Number(create_task(async { Ok(1) })),
                Mixed::Text(text.clone()),
                Mixed::Number(create_task(pending())),
            ];
            let limit = Some(ms(10));
            let (done, rest) = wait(list, ReturnWhen::FirstException, limit).await;
            assert!(matches!(done[..], [Mixed::Number(_)]));
            text.set_result(Err(())).unwrap();
            let (done, rest) = wait(rest, ReturnWhen::FirstException, None).await;
            assert!(matches!(done[..], [Mixed::Text(_)]) && rest.len() == 1);
        })
        .unwrap();
}

/// W2. An empty set is asyncio's `ValueError`; coroutines and unknown modes do not compile.
#[test]
fn waiting_for_nothing_is_refused() {
    let nothing = Vec::<Task<()>>::new();
    let refused = catch_unwind(AssertUnwindSafe(|| drop(wait(nothing, AllCompleted, None))));
    let message = *refused.unwrap_err().downcast::<&str>().unwrap();
    assert_eq!(message, "there is nothing to wait for");
}

#[test]
#[should_panic(expected = "belongs to another event loop")]
fn futures_of_two_loops_are_refused() {
    let (one, two) = (virtual_loop(), virtual_loop());
    let futures = [one.create_future::<()>(), two.create_future()];
    drop(wait(futures, AllCompleted, None));
}

/// Of several handles of one future the first comes back: asyncio's sets have it once.
#[test]
fn the_same_future_twice_comes_back_once() {
    run(async {
        let (future, other) = (done_future(1), create_future());
        let handles = [future.clone(), other.clone(), future.clone(), other];
        let (done, pending) = wait(handles, FirstMatching(|n| *n == 1), None).await;
        assert_eq!((done.len(), pending.len()), (1, 1));
        let tasks = [create_task(async {})];
        let (done, _) = wait([&tasks[0], &tasks[0]], AllCompleted, None).await;
        assert!(done.len() == 1 && std::ptr::eq(done[0], &raw const tasks[0]));
    });
}

#[test]
fn a_hundred_thousand() {
    const N: usize = 100_000;
    let event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            let tasks: Vec<_> = (0..N).map(|_| create_task(yield_now())).collect();
            let (done, pending) = wait(&tasks, AllCompleted, None).await;
            assert_eq!((done.len(), pending.len()), (N, 0));
            let never: Vec<_> = (0..N).map(|_| create_future::<()>()).collect();
            let (done, pending) = wait(&never, FirstCompleted, Some(ms(1))).await;
            assert_eq!((done.len(), pending.len()), (0, N));
        })
        .unwrap();
}

/// A gather or a shield that nobody else holds goes with the wait, and lets go of what is below it.
#[test]
fn what_only_the_wait_holds_goes_with_it() {
    let event_loop = virtual_loop();
    let (one, two) = (event_loop.create_future(), event_loop.create_future());
    let handles = [shield(gather([&one])), gather([&two])];
    let waits = event_loop.create_task(async move {
        wait(handles, AllCompleted, None).await;
    });
    turn(&event_loop);
    assert_eq!((callbacks::<()>(&one), callbacks(&two)), (1, 1));
    waits.cancel();
    settle(&event_loop);
    assert!(waits.cancelled());
    assert_eq!((callbacks(&one), callbacks(&two)), (0, 0));
}

/// W1, with each of the ways to return, and nothing done: a time limit of nothing takes two turns.
#[test]
fn a_timeout_of_zero_with_nothing_done() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let futures = [create_future::<Result<(), ()>>(), create_future()];
        for return_when in [FirstCompleted, ReturnWhen::FirstException, AllCompleted] {
            let (done, pending) = wait(&futures, return_when, Some(ms(0))).await;
            events.push(format_args!("{} {}", done.len(), pending.len()));
        }
    });
    log.expect(&["2 0 2", "4 0 2", "6 0 2"]);
}

/// The order among everything that one completion wakes: F12, G3, S3, W3.
#[test]
fn who_is_woken_by_one_completion_and_when() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let future = create_future();
        let spawn = |name, awaits: futures::future::LocalBoxFuture<'static, ()>| {
            let log = events.clone();
            create_task(async move {
                awaits.await;
                log.push(name);
            })
        };
        let waited = [future.clone()];
        let (all, shielded) = (gather([&future]), shield(&future));
        future.add_done_callback(events.done("before"));
        let tasks = [
            spawn("wait", Box::pin(wait(waited, AllCompleted, None).map(drop))),
            spawn("shield", Box::pin(shielded.map(drop))),
            spawn("await", Box::pin(future.clone().map(drop))),
            spawn("gather", Box::pin(all.map(drop))),
        ];
        yield_now().await;
        future.add_done_callback(events.done("after"));
        future.set_result(1).unwrap();
        events.push("set");
        gather(tasks).await;
    });
    log.expect(&[
        "1 set",
        "2 before done",
        "2 await",
        "2 after done",
        "3 gather",
        "3 shield",
        "3 wait",
    ]);
}

// ---- helpers

async fn turns(n: usize) -> usize {
    for _ in 0..n {
        yield_now().await;
    }
    n
}

/// How many callbacks a future has, as it prints itself.
fn callbacks<T>(future: &Future<T>) -> usize {
    let printed = format!("{future:?}");
    let Some((_, rest)) = printed.split_once("cb=[") else {
        return 0;
    };
    rest.split_once(']').unwrap().0.parse().unwrap()
}

/// The last event.
fn log_end(log: &Turns) -> String {
    log.take().pop().unwrap()
}

/// What `wait` gives can be named, and printed.
#[test]
fn a_wait_prints_what_it_is() {
    let event_loop: EventLoop = virtual_loop();
    let future = event_loop.create_future::<()>();
    let waits = wait([&future], AllCompleted, None);
    assert_eq!(format!("{waits:?}"), "<Wait new for 1>");
    assert_eq!(format!("{:?}", AllCompleted::<()>), "AllCompleted");
}
