//! A cancellation that meets something else in the same turn, and its way through everything at once.
//! The turns are those that CPython 3.13 takes.

use std::cell::Cell;
use std::future::{IntoFuture, pending};
use std::pin::pin;
use std::rc::Rc;

use callsoon::{
    Barrier, CancelOrigin, ExceptionGroup, Future, FutureHandle, Lock, Queue, ResultError,
    ReturnWhen, Semaphore, TaskGroup, TaskHandle, Timeout, as_completed, as_completed_coroutines,
    catch_cancel, create_future, create_task, current_task, gather, gather_outcomes,
    get_running_loop, shield, sleep, task, task_group, timeout, try_gather, wait, wait_for,
    yield_now,
};
use futures::FutureExt as _;
use futures::stream::{FuturesUnordered, StreamExt};

use crate::support::{
    Scene, Turns, done_future, fails, fails_after, ms, stop_at_every_point, turn, virtual_loop,
};

// ---- in the same turn

/// C2, C10: a task completes what another one awaits, and that one is asked to stop in the same turn, by
/// the same task or by a third one, before or after. It is cancelled, and what it awaited is what came first.
#[test]
fn cancel_by_another_task_in_the_turn_of_the_completion_wins() {
    for (steps, set_first) in [
        (&["sc"][..], true),
        (&["cs"], false),
        (&["s", "c"], true),
        (&["c", "s"], false),
    ] {
        let (event_loop, log) = (virtual_loop(), Turns::new());
        let events = log.clone();
        log.run(&event_loop, async move {
            let future = create_future();
            let (awaited, inner) = (future.clone(), events.clone());
            let victim = create_task(async move {
                let why = catch_cancel(awaited.clone()).await.unwrap_err();
                let count = current_task().unwrap().cancelling();
                inner.push(format_args!("caught {:?} {count}", why.message()));
                awaited.cancelled()
            });
            let others = steps.iter().map(|steps| {
                let (future, events, victim) = (future.clone(), events.clone(), victim.handle());
                create_task(async move {
                    yield_now().await;
                    for step in steps.chars() {
                        match step {
                            's' => {
                                events.push(format_args!("set {}", future.set_result(1).is_ok()))
                            }
                            _ => events.push(format_args!("cancel {}", victim.cancel_with("x"))),
                        }
                    }
                })
            });
            gather(others.collect::<Vec<_>>()).await;
            assert_eq!(victim.await, !set_first);
        });
        let (set, cancel) = (format!("2 set {set_first}"), "2 cancel true".to_owned());
        let (one, two) = if set_first {
            (set, cancel)
        } else {
            (cancel, set)
        };
        log.expect(&[&one, &two, r#"3 caught Some("x") 1"#]);
    }
}

/// C1, C10: it is asked in the turn of its last step: in time if the one who asks steps first.
#[test]
fn cancel_in_the_turn_of_the_last_step_is_in_time_or_refused() {
    for in_front in [true, false] {
        let (event_loop, log) = (virtual_loop(), Turns::new());
        let events = log.clone();
        log.run(&event_loop, async move {
            let handle = create_future::<TaskHandle>();
            let canceller = |handle: Future<TaskHandle>, events: Turns| async move {
                yield_now().await;
                yield_now().await;
                events.push(format_args!("cancel {}", handle.await.cancel()));
            };
            let front = in_front.then(|| create_task(canceller(handle.clone(), events.clone())));
            let inner = events.clone();
            let victim = create_task(async move {
                yield_now().await;
                yield_now().await;
                inner.push("victim ends");
            });
            handle.set_result(victim.handle()).unwrap();
            let canceller =
                front.unwrap_or_else(|| create_task(canceller(handle.clone(), events.clone())));
            let (end, _) = gather_outcomes((&victim, canceller)).await;
            events.push(format_args!("{} {}", end.is_ok(), victim.cancelling()));
        });
        if in_front {
            log.expect(&["3 cancel true", "5 false 1"]);
        } else {
            log.expect(&["3 victim ends", "3 cancel false", "5 true 0"]);
        }
    }
}

// ---- all the way through

/// Waits for something; when cancelled, cleans up for some turns.
async fn cleans<F: IntoFuture>(log: Turns, name: &'static str, turns: usize, awaited: F) {
    let Err(why) = catch_cancel(awaited).await else {
        return log.push(format_args!("{name} done"));
    };
    let count = current_task().unwrap().cancelling();
    log.push(format_args!("{name} caught {:?} {count}", why.message()));
    for _ in 0..turns {
        yield_now().await;
    }
    log.push(format_args!("{name} cleaned"));
    why.reraise().await
}

/// C4, G8, S2, W14, P8: through `wait_for`, a gather, a task, a group with a body that cleans up and children,
/// and up to a shield, turn by turn. The gather ends with its first child and the others clean up behind it.
#[test]
fn cancel_goes_through_wait_for_gather_and_group_up_to_a_shield() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let kept = create_future::<()>();
        let (inner, shared) = (events.clone(), kept.clone());
        let group = async move {
            let log = inner.clone();
            let run = catch_cancel(task_group(async |group| {
                group.create_task(cleans(log.clone(), "first", 1, create_future::<()>()));
                group.create_task(cleans(log.clone(), "second", 0, shield(shared)));
                cleans(log.clone(), "body", 2, create_future::<()>()).await;
            }));
            let ended = run.await;
            let count = current_task().unwrap().cancelling();
            inner.push(format_args!("group left {count}"));
            ended.unwrap_err().reraise().await
        };
        let inner = events.clone();
        let outer = create_task(async move {
            let beside = cleans(inner.clone(), "beside", 0, create_future::<()>());
            let both = gather((create_task::<_>(group), beside));
            both.add_done_callback(inner.done("gather"));
            let (): () = cleans(inner, "outer", 0, wait_for(both, ms(50))).await;
        });
        for _ in 0..4 {
            yield_now().await;
        }
        events.push(format_args!("cancel {}", outer.cancel_with("stop")));
        let why = catch_cancel(outer).await.unwrap_err();
        events.push(format_args!("main {:?} {}", why.message(), kept.done()));
        for _ in 0..5 {
            yield_now().await;
        }
    });
    log.expect(&[
        "4 cancel true",
        r#"5 body caught Some("stop") 1"#,
        r#"5 beside caught Some("stop") 1"#,
        "5 beside cleaned",
        "7 body cleaned",
        "7 gather cancelled",
        r#"7 outer caught Some("stop") 1"#,
        "7 outer cleaned",
        "8 first caught None 1",
        "8 second caught None 1",
        "8 second cleaned",
        r#"8 main Some("stop") false"#,
        "9 first cleaned",
        "11 group left 1",
    ]);
}

// ---- groups

/// A5, P12: an eager child has failed before the body awaits anything, and then the body ends without an await:
/// the group aborts while it waits for the others; the one that had not started never does.
#[test]
fn eager_child_fails_and_the_body_never_awaits() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let other = |events: Turns| async move {
            let why = catch_cancel(sleep(ms(90))).await.unwrap_err();
            events.push("other caught");
            why.reraise().await
        };
        let result: Result<(), ExceptionGroup<_>> = TaskGroup::run(async |group| {
            group.task(fails("at once")).eager_start().try_spawn();
            group.task(other(events.clone())).eager_start().spawn();
            group.create_task(other(events.clone()));
            events.push("body ends");
            Ok(())
        })
        .await;
        let count = current_task().unwrap().cancelling();
        events.push(format_args!("{:?} {count}", result.unwrap_err().errors()));
        yield_now().await;
        events.push("goes on");
    });
    log.expect(&[
        "0 body ends",
        "2 other caught",
        r#"4 ["at once"] 0"#,
        "5 goes on",
    ]);
}

/// P4, P8, P9: asked twice from outside while it waits, the group asks its children once; one of them fails
/// while another one cleans up, and that one is not interrupted. The errors come out, and both requests at the
/// next await, as one.
#[test]
fn child_fails_in_its_clean_up_after_two_outside_cancels() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let inner = events.clone();
        let parent = create_task(async move {
            let me = current_task().unwrap();
            let result: Result<(), ExceptionGroup<_>> = TaskGroup::run(async |group| {
                group.create_task(cleans(inner.clone(), "slow", 3, sleep(ms(90))));
                let events = inner.clone();
                group.create_try_task(async move {
                    assert!(catch_cancel(sleep(ms(90))).await.is_err());
                    events.push("failing caught");
                    yield_now().await;
                    fails("no").await
                });
                Ok(())
            })
            .await;
            let errors = result.unwrap_err().into_errors();
            inner.push(format_args!("{errors:?} {}", me.cancelling()));
            let again = catch_cancel(yield_now()).await;
            inner.push(format_args!("{} {}", again.is_err(), me.cancelling()));
            yield_now().await;
        });
        for _ in 0..3 {
            yield_now().await;
        }
        events.push(parent.cancel_with("one"));
        yield_now().await;
        events.push(parent.cancel_with("two"));
        parent.await;
        events.push("went on");
    });
    log.expect(&[
        "3 true",
        "4 true",
        "5 slow caught None 1",
        "5 failing caught",
        "8 slow cleaned",
        r#"10 ["no"] 2"#,
        "11 true 2",
        "13 went on",
    ]);
}

/// C16: a clean-up awaits a task, and so the second cancel goes to that; under a shield it does not.
#[test]
fn second_cancel_goes_to_what_the_clean_up_awaits() {
    for shielded in [false, true] {
        let (event_loop, log) = (virtual_loop(), Turns::new());
        let events = log.clone();
        log.run(&event_loop, async move {
            let saves = create_task(cleans(events.clone(), "saves", 1, sleep(ms(20))));
            let (saving, inner) = (saves.clone(), events.clone());
            let task = create_task(async move {
                let first = catch_cancel(sleep(ms(90))).await.unwrap_err();
                let cleaned = match shielded {
                    true => catch_cancel(shield(saving)).await,
                    false => catch_cancel(saving).await,
                };
                let second = cleaned.unwrap_err();
                let count = current_task().unwrap().cancelling();
                inner.push(format_args!("interrupted {:?} {count}", second.message()));
                first.reraise().await
            });
            for message in ["one", "two"] {
                yield_now().await;
                yield_now().await;
                task.cancel_with(message);
            }
            let ended: Result<(), _> = task.outcome().await;
            events.push(format_args!("ended {:?}", ended.unwrap_err().message()));
            let saved = saves.outcome().await;
            events.push(saved.is_ok());
        });
        if shielded {
            log.expect(&[
                r#"5 interrupted Some("two") 2"#,
                r#"6 ended Some("one")"#,
                "8 saves done",
                "9 true",
            ]);
        } else {
            log.expect(&[
                r#"5 saves caught Some("two") 1"#,
                "6 saves cleaned",
                r#"7 interrupted Some("two") 2"#,
                r#"8 ended Some("one")"#,
                "8 false",
            ]);
        }
    }
}

/// A hundred thousand children of a group that is cancelled from outside: all end, one of them after a clean-up.
#[test]
fn outside_cancel_of_a_group_of_a_hundred_thousand() {
    const MANY: usize = 100_000;
    let event_loop = virtual_loop();
    let task = event_loop.create_task(task_group(async |group| {
        for n in 0..MANY {
            group.create_task(async move {
                let why = catch_cancel(pending::<()>()).await.unwrap_err();
                if n == MANY / 2 {
                    sleep(ms(30)).await;
                }
                why.reraise().await
            });
        }
    }));
    let handle = task.handle();
    event_loop.call_at(ms(10), move || _ = handle.cancel());
    assert!(event_loop.run_until_complete(task).is_err());
    assert_eq!(
        (event_loop.time(), event_loop.all_tasks().len()),
        (ms(40), 0)
    );
}

// ---- where it came from

/// DESIGN 9.5: whoever catches it, at the end of whatever way, learns of the line of the `cancel()`.
#[test]
fn place_of_the_cancel_passes_through_every_combinator() {
    let event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            let ways: Vec<(&str, futures::future::LocalBoxFuture<'static, ()>)> = vec![
                ("future", Box::pin(create_future::<()>().into_future())),
                ("task", Box::pin(create_task(pending::<()>()).into_future())),
                (
                    "gather",
                    Box::pin(async { _ = gather((pending::<()>(),)).await }),
                ),
                (
                    "outcomes",
                    Box::pin(async { drop(gather_outcomes((pending::<()>(),)).await) }),
                ),
                ("shield", Box::pin(async { shield(pending::<()>()).await })),
                (
                    "wait_for",
                    Box::pin(async { wait_for(pending::<()>(), ms(90)).await.unwrap() }),
                ),
                (
                    "timeout",
                    Box::pin(async { timeout(ms(90), pending::<()>()).await.unwrap() }),
                ),
                (
                    "group",
                    Box::pin(task_group(async |group| {
                        group.create_task(pending::<()>());
                    })),
                ),
                ("sleep", Box::pin(sleep(ms(90)))),
                ("foreign", Box::pin(pending())),
            ];
            for (name, way) in ways {
                let task = create_task(async move { catch_cancel(way).await.unwrap_err() });
                for _ in 0..3 {
                    yield_now().await;
                }
                let line = line!() + 1;
                task.cancel_with("why");
                let why = task.await;
                assert_eq!(
                    (why.location().file(), why.location().line()),
                    (file!(), line),
                    "{name}"
                );
                assert_eq!(
                    (why.message(), why.origin()),
                    (Some("why"), CancelOrigin::Requested),
                    "{name}"
                );
            }
        })
        .unwrap();
}

/// DESIGN 9.5: a child that its gather, or the task that awaits it, passes the request on to knows the line too.
#[test]
fn child_that_is_asked_by_its_gather_knows_the_place_of_the_cancel() {
    let event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            let child = create_task(pending::<()>());
            let all = gather([&child]);
            let line = line!() + 1;
            all.cancel();
            let Err(ResultError::Cancelled(why)) = child_end(child).await else {
                panic!("it is cancelled")
            };
            assert_eq!(why.location().line(), line);
        })
        .unwrap();
}

async fn child_end(child: callsoon::Task<()>) -> Result<(), ResultError> {
    let shared = Future::clone(&child);
    drop(child.outcome().await);
    shared.result()
}

// ---- beside a raise

/// DESIGN 5: what stands behind a branch that raises, in the same poll of the same scope, has no effect any more:
/// no item is taken or put, no lock or permit, nothing is stopped and nothing begun.
#[test]
fn nothing_polled_behind_a_raise_has_an_effect() {
    type Leaf = futures::future::LocalBoxFuture<'static, ()>;
    type Check = Box<dyn FnOnce() -> bool>;
    fn case<C>(
        name: &'static str,
        leaf: impl futures::Future + 'static,
        state: C,
        check: fn(C) -> bool,
    ) -> (&'static str, Leaf, Check)
    where
        C: 'static,
    {
        let leaf = async move { drop(leaf.await) };
        (name, Box::pin(leaf), Box::new(move || check(state)))
    }
    fn untouched<T>(future: &Future<T>) -> bool {
        !future.done() && !format!("{future:?}").contains("cb=")
    }
    let event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            let (items, full) = (Queue::new(0), Queue::new(0));
            items.put_nowait(1).unwrap();
            let (got, put) = (items.clone(), full.clone());
            let mut streamed = items.clone();
            let (lock, semaphore, barrier) = (Lock::new(()), Semaphore::new(1), Barrier::new(2));
            let (held, acquired) = (lock.clone(), lock.clone());
            let (taken, permitted, met) = (semaphore.clone(), semaphore.clone(), barrier.clone());
            let done = create_future();
            done.set_result(1).unwrap();
            let mut completed = as_completed([done.clone()]);
            yield_now().await;
            yield_now().await;
            let future = create_future::<()>;
            let (awaited, waited, stopped, late, raced) =
                (future(), future(), future(), future(), future());
            let kept = done_future(1);
            let (begun, started) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let (one, two) = (begun.clone(), started.clone());
            let cases = [
                case("get", async move { got.get().await }, items.clone(), |q| {
                    q.qsize() == 1
                }),
                case("put", async move { put.put(1).await }, full, |q| q.empty()),
                case("stream", async move { streamed.next().await }, items, |q| {
                    q.qsize() == 1
                }),
                case(
                    "lock",
                    async move {
                        drop(held.lock().await);
                        pending::<()>().await
                    },
                    lock.clone(),
                    |lock| !lock.locked(),
                ),
                case(
                    "acquire",
                    async move { acquired.acquire().await },
                    lock,
                    |lock| !lock.locked(),
                ),
                case(
                    "permit",
                    async move { taken.acquire().await },
                    semaphore.clone(),
                    |s| !s.locked(),
                ),
                case(
                    "guard",
                    async move { std::mem::forget(permitted.permit().await) },
                    semaphore,
                    |s| !s.locked(),
                ),
                case(
                    "barrier",
                    async move { met.wait().await.is_ok() },
                    barrier,
                    |b| b.n_waiting() == 0,
                ),
                case("future", awaited.clone(), awaited, |f| untouched(&f)),
                case("take", done.clone().take(), done.clone(), |f| {
                    f.result().is_ok()
                }),
                case("outcome", done.clone().take().outcome(), done, |f| {
                    f.result().is_ok()
                }),
                case(
                    "next",
                    async move { completed.next().await.unwrap().await },
                    (),
                    |()| true,
                ),
                case(
                    "wait",
                    wait([waited.clone()], ReturnWhen::AllCompleted, Some(ms(5))),
                    waited,
                    |f| untouched(&f),
                ),
                case("wait_for", wait_for(stopped.clone(), ms(0)), stopped, |f| {
                    untouched(&f)
                }),
                case("timeout", timeout(ms(5), late.clone()), late, |f| {
                    untouched(&f)
                }),
                case("scope", catch_cancel(raced.clone()), raced, |f| {
                    untouched(&f)
                }),
                case(
                    "group",
                    task_group(async move |_| one.set(1)),
                    begun,
                    |ran| ran.get() == 0,
                ),
                case(
                    "done in time",
                    wait_for(kept.clone().take(), ms(0)),
                    kept,
                    |f| f.result().is_ok(),
                ),
                case(
                    "wait_for 0",
                    wait_for(async move { two.set(1) }, ms(0)),
                    started,
                    |ran| ran.get() == 0,
                ),
            ];
            let tasks = callsoon::all_tasks().len();
            for (name, leaf, check) in cases {
                let raises = create_future::<()>();
                raises.cancel();
                let both = catch_cancel(async { futures::join!(raises, leaf) });
                assert!(both.await.is_err(), "{name}");
                assert!(check(), "{name}");
                assert_eq!(callsoon::all_tasks().len(), tasks, "{name}");
                assert_eq!(get_running_loop().next_deadline(), None, "{name}");
            }
        })
        .unwrap();
}

/// The same of the default executor: it is not shut down by what is only polled behind a raise.
#[test]
fn executor_is_not_shut_down_behind_a_raise() {
    let event_loop = virtual_loop();
    let ran = event_loop.run_until_complete(async {
        let raises = create_future::<()>();
        raises.cancel();
        let event_loop = get_running_loop();
        let shuts_down = event_loop.shutdown_default_executor(None);
        let both = catch_cancel(async { futures::join!(raises, shuts_down) });
        assert!(both.await.is_err());
        let ran = event_loop.run_in_executor(None, || 5).await;
        event_loop.shutdown_default_executor(None).await.unwrap();
        ran
    });
    assert_eq!(ran.unwrap(), 5);
}

/// The same while a branch is polled by reference: what it was about to get is there afterwards.
#[test]
fn item_is_there_for_a_get_that_outlives_the_raise_beside_it() {
    let event_loop = virtual_loop();
    let got = event_loop.run_until_complete(async {
        let items = Queue::new(0);
        items.put_nowait(7).unwrap();
        let mut get = pin!(items.get());
        let raises = create_future::<()>();
        raises.cancel();
        let caught = catch_cancel(async { futures::join!(raises, &mut get) }).await;
        (caught.is_err(), items.qsize(), get.await.unwrap())
    });
    assert_eq!(got.unwrap(), (true, 1, 7));
}

// ---- what coroutines may hold and give

/// Everything that runs coroutines takes such as capture an `Rc`, hold a borrow of a local over an await, wait for
/// other crates, and give what is not `Clone`.
#[test]
fn everything_takes_coroutines_with_rc_and_borrows_and_results_without_clone() {
    #[derive(Debug)]
    struct Plain(usize);
    let event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            let shared = Rc::new(Cell::new(0));
            let make = || {
                let shared = shared.clone();
                async move {
                    let (sender, receiver) = async_channel::bounded::<usize>(1);
                    let event = event_listener::Event::new();
                    let (one, two) = futures::channel::oneshot::channel::<usize>();
                    let mut numbers = [1, 2, 3];
                    let last = &mut numbers[2];
                    let listener = event.listen();
                    callsoon::call_soon(move || {
                        sender.try_send(10).unwrap();
                        one.send(100).unwrap();
                        event.notify(1);
                    });
                    *last += receiver.recv().await.unwrap();
                    listener.await;
                    yield_now().await;
                    *last += two.await.unwrap();
                    shared.set(shared.get() + 1);
                    Plain(numbers.iter().sum())
                }
            };
            let ok = || {
                let made = make();
                async { Ok::<_, Plain>(made.await) }
            };
            let mut sum = 0;
            sum += create_task(make()).await.0;
            sum += task(make()).eager_start().spawn().await.0;
            let (one, [two]) = (gather((make(),)).await.0, gather([make()]).await);
            sum += one.0 + two.0 + try_gather([ok()]).await.unwrap()[0].0;
            sum += gather_outcomes(vec![make()]).await.remove(0).unwrap().0;
            sum += shield(make()).await.0;
            sum += catch_cancel(make()).await.unwrap().0;
            sum += timeout(ms(5), make()).await.unwrap().0;
            sum += wait_for(make(), ms(5)).await.unwrap().0;
            sum += Timeout::new(ms(5)).run(make()).await.unwrap().0;
            let (done, _) = wait([create_task(make())], ReturnWhen::AllCompleted, None).await;
            for task in done {
                sum += task.await.0;
            }
            let mut all = as_completed_coroutines([make()]);
            while let Some(task) = all.next().await {
                sum += task.await.0;
            }
            sum += task_group(async |group| group.create_task(make()).await)
                .await
                .0;
            let grouped: Result<Plain, ExceptionGroup<Plain>> =
                TaskGroup::run(async |group| group.create_try_task(ok()).await).await;
            sum += grouped.unwrap().0;
            let (one, two) = futures::join!(catch_cancel(make()), timeout(ms(5), make()));
            sum += one.unwrap().0 + two.unwrap().0;
            let mut set: FuturesUnordered<_> = (0..2).map(|_| catch_cancel(make())).collect();
            while let Some(end) = set.next().await {
                sum += end.unwrap().0;
            }
            assert_eq!((shared.get(), sum), (19, 19 * 116));
        })
        .unwrap();
}

// ---- at every point

/// Cancelled or dropped in whatever turn, a combinator leaves no callback, no timer and no task behind; what is not
/// its to stop runs to its end unasked.
#[test]
fn combinator_stopped_at_every_point_leaves_nothing_behind() {
    type Victim = futures::future::LocalBoxFuture<'static, ()>;
    type Make = fn(Future<usize>, Future<()>) -> Victim;
    let children: [(&str, bool, Make); 10] = [
        ("gather", true, |a, b| {
            Box::pin(async { _ = gather((a, b)).await })
        }),
        ("outcomes", true, |a, b| {
            Box::pin(async { drop(gather_outcomes((a, b)).await) })
        }),
        ("shield", false, |a, b| {
            Box::pin(async { _ = (shield(a).await, shield(b).await) })
        }),
        ("wait", false, |a, b| {
            let both = [FutureHandle::from(&a), FutureHandle::from(&b)];
            Box::pin(async { drop(wait(both, ReturnWhen::AllCompleted, Some(ms(50))).await) })
        }),
        ("as_completed", false, |a, b| {
            let both = [FutureHandle::from(&a), FutureHandle::from(&b)];
            Box::pin(async { drop(as_completed(both).timeout(ms(50)).collect::<Vec<_>>().await) })
        }),
        ("wait_for", true, |a, b| {
            Box::pin(async { _ = (wait_for(a, ms(50)).await, wait_for(b, ms(50)).await) })
        }),
        ("timeout", true, |a, b| {
            let both = futures::future::join(a, b);
            Box::pin(async { _ = timeout(ms(50), both).await })
        }),
        ("scopes", true, |a, b| {
            let both = futures::future::join(catch_cancel(a), catch_cancel(b));
            Box::pin(async { drop(catch_cancel(both).await) })
        }),
        ("group", true, |a, b| {
            Box::pin(task_group(async |group| {
                group.create_task(a);
                group.create_task(async { yield_now().await });
                b.await;
            }))
        }),
        ("set", true, |a, b| {
            let mut set = FuturesUnordered::new();
            set.push(timeout(ms(50), a.map(drop).boxed_local()));
            set.push(timeout(ms(50), b.boxed_local()));
            Box::pin(async move { while set.next().await.is_some() {} })
        }),
    ];
    for (name, asks, make) in children {
        let points = stop_at_every_point(|event_loop| {
            let steps = |turns: usize| async move {
                for _ in 0..turns {
                    yield_now().await;
                }
                turns
            };
            let (task, promise) = (event_loop.create_task(steps(4)), event_loop.create_future());
            let (one, two, completes) = (task.clone(), promise.clone(), promise.clone());
            drop(event_loop.create_task(async move {
                steps(2).await;
                drop(completes.set_result(()));
            }));
            Scene::new(make(one, two), move |event_loop| {
                assert!(task.done() && promise.done(), "{name}");
                assert!(
                    asks || (task.result().is_ok() && promise.result().is_ok()),
                    "{name}"
                );
                assert!(asks || task.cancelling() == 0, "{name}");
                assert!(!format!("{promise:?} {task:?}").contains("cb="), "{name}");
                assert_eq!(event_loop.next_deadline(), None, "{name}");
                assert_eq!(
                    (event_loop.all_tasks().len(), event_loop.time()),
                    (0, ms(0)),
                    "{name}"
                );
            })
        });
        assert!(points >= 4, "{name}: {points}");
    }
}

// ---- groups in the combinators of other crates

/// DESIGN 5: two groups in one task, in a join. The child of one fails, in the turn of the other's or not: each
/// group asks its own body only, and no request is left with the task.
#[test]
fn groups_in_a_join_fail_each_for_itself() {
    for (one_fails, other_fails) in [(10, None), (10, Some(10)), (10, Some(20)), (20, Some(10))] {
        let event_loop = virtual_loop();
        let result = event_loop.run_until_complete(async move {
            let branch = |fails: Option<u64>| {
                TaskGroup::run(async move |group| {
                    if let Some(delay) = fails {
                        group.create_try_task(fails_after(delay, "no"));
                    }
                    let caught = catch_cancel(sleep(ms(50))).await;
                    Ok((caught.is_err(), get_running_loop().time()))
                })
            };
            let ends = futures::join!(branch(Some(one_fails)), branch(other_fails));
            let next = catch_cancel(yield_now()).await;
            (ends, next.is_ok(), current_task().unwrap().cancelling())
        });
        let ((one, other), undisturbed, count) = result.unwrap();
        assert_eq!(one.unwrap_err().errors(), ["no"]);
        match other_fails {
            Some(_) => assert_eq!(other.unwrap_err().errors(), ["no"]),
            None => assert_eq!(other.unwrap(), (false, ms(50))),
        }
        assert_eq!((undisturbed, count), (true, 0));
    }
}

/// A group in a set fails while another one there, a timeout and a scope go on; then the task is asked to stop, and
/// all that are left hear of it.
#[test]
fn group_in_a_set_fails_alone_and_a_cancel_reaches_the_others() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    let task = event_loop.create_task(async move {
        let mut set = FuturesUnordered::new();
        for (name, delay) in [("fails", 10), ("group", 500)] {
            let events = events.clone();
            let run = async move {
                let run: Result<(), ExceptionGroup<_>> = TaskGroup::run(async |group| {
                    group.create_try_task(fails_after(delay, name));
                    sleep(ms(90)).await;
                    Ok(())
                })
                .await;
                events.push(format_args!("{name} {:?}", run.unwrap_err().errors()));
            };
            set.push(catch_cancel(run).boxed_local());
        }
        set.push(catch_cancel(timeout(ms(500), sleep(ms(90))).map(drop)).boxed_local());
        set.push(catch_cancel(pending()).boxed_local());
        let mut caught = 0;
        while let Some(end) = set.next().await {
            caught += usize::from(end.is_err());
            events.push(format_args!(
                "{caught} {}",
                current_task().unwrap().cancelling()
            ));
        }
        caught
    });
    for when in [20, 30] {
        let handle = task.handle();
        event_loop.call_at(ms(when), move || _ = handle.cancel());
    }
    let caught = event_loop.run_until_complete(task).unwrap();
    assert_eq!(caught, 3);
    // What is not ours is reached by the second request, for ours took the first.
    log.expect(&[r#"0 fails ["fails"]"#, "0 0 0", "0 1 1", "0 2 1", "0 3 2"]);
    assert!(event_loop.all_tasks().is_empty());
}

// ---- a winner of another crate

/// A select is decided by a future of another crate in the turn of a cancel: the branch that took the request is
/// dropped before it has raised it, and the request is not lost with it.
#[test]
fn cancel_taken_by_a_branch_that_a_foreign_winner_drops_is_raised_again() {
    for cancel_first in [false, true] {
        let event_loop = virtual_loop();
        let (sender, receiver) = futures::channel::oneshot::channel::<()>();
        let task = event_loop.create_task(async move {
            let first = futures::future::select(receiver, Box::pin(sleep(ms(90)))).await;
            drop(first);
            catch_cancel(yield_now()).await.is_err()
        });
        turn(&event_loop);
        if cancel_first {
            task.cancel();
            sender.send(()).unwrap();
        } else {
            sender.send(()).unwrap();
            task.cancel();
        }
        assert!(
            event_loop.run_until_complete(task).unwrap(),
            "cancel first: {cancel_first}"
        );
    }
}
/// A timeout around a loop of `select!` over a channel of another crate and a sleep: a message that comes in the turn
/// of the deadline does not make the timeout be forgotten.
#[test]
fn message_in_the_turn_of_the_deadline_does_not_undo_a_timeout() {
    let event_loop = virtual_loop();
    let (sender, mut messages) = futures::channel::mpsc::unbounded::<u32>();
    let task = event_loop.create_task(timeout(ms(10), async move {
        loop {
            futures::select_biased! {
                message = messages.next() => assert!(message.is_some()),
                () = sleep(ms(500)).fuse() => break,
            }
        }
    }));
    turn(&event_loop);
    let again = sender.clone();
    event_loop.call_at(ms(10), move || again.unbounded_send(1).unwrap());
    assert!(event_loop.run_until_complete(task).unwrap().is_err());
    assert_eq!(event_loop.time(), ms(10));
    drop(sender);
}

/// What has taken the request gives a value, or is looked at as one: then it was met, also beside another crate's
/// future that wakes the task, and is not made again. Nor is one that was taken back.
#[test]
fn request_that_was_met_or_taken_back_is_not_made_again_beside_a_foreign_branch() {
    for kind in ["declines", "outcome", "scope", "uncancelled", "kept"] {
        let event_loop = virtual_loop();
        let (sender, mut messages) = futures::channel::mpsc::unbounded::<()>();
        let task = event_loop.create_task(async move {
            let me = current_task().unwrap();
            let waits: futures::future::LocalBoxFuture<'static, bool> = match kind {
                "declines" => {
                    let child = create_task(async {
                        let caught = catch_cancel(sleep(ms(90))).await.is_err();
                        sleep(ms(5)).await;
                        caught
                    });
                    Box::pin(child.into_future())
                }
                "outcome" => Box::pin(async {
                    let ended = create_future::<()>().outcome().await;
                    yield_now().await;
                    ended.is_err()
                }),
                _ => Box::pin(async { catch_cancel(sleep(ms(90))).await.is_err() }),
            };
            let mut waits = waits.fuse();
            let mut caught = None;
            while caught.is_none() {
                futures::select_biased! {
                    _ = messages.next() => if kind == "uncancelled" {
                        me.uncancel();
                        break;
                    },
                    end = waits => caught = Some(end),
                }
            }
            drop(waits);
            let next = catch_cancel(yield_now()).await.is_ok();
            (caught, next, me.cancelling())
        });
        turn(&event_loop);
        turn(&event_loop);
        task.cancel();
        if kind != "scope" {
            sender.unbounded_send(()).unwrap();
        }
        let (caught, next, count) = event_loop.run_until_complete(task).unwrap();
        let taken_back = kind == "uncancelled";
        assert_eq!(caught, (!taken_back).then_some(true), "{kind}");
        assert_eq!((next, count), (true, u32::from(!taken_back)), "{kind}");
        drop(sender);
    }
}

/// The deadline of a timeout is met by nothing but what the timeout has asked to stop: not by what is caught, or looked
/// at, beside it in the same step.
#[test]
fn what_ends_beside_a_timeout_does_not_undo_it() {
    for kind in ["caught", "looked at", "raised by hand"] {
        let event_loop = virtual_loop();
        let (sender, receiver) = futures::channel::oneshot::channel::<()>();
        let beside = event_loop.create_future::<()>();
        let other = beside.clone();
        let task = event_loop.create_task(async move {
            let first = async {
                match kind {
                    "caught" => assert!(catch_cancel(other).await.is_err()),
                    "looked at" => assert!(other.outcome().await.is_ok()),
                    _ => {
                        let raised = catch_cancel(async {
                            other.await;
                            callsoon::CancelledError::new("by hand").raise().await
                        });
                        assert!(raised.await.is_err());
                    }
                }
            };
            let second = timeout(ms(10), async {
                futures::future::select(receiver, Box::pin(sleep(ms(90)))).await;
                sleep(ms(500)).await;
            });
            futures::join!(first, second).1
        });
        while event_loop.time() < ms(10) {
            event_loop.run_once(None).unwrap();
        }
        // The task has been asked, and looked what it awaits.
        turn(&event_loop);
        if kind == "caught" {
            beside.cancel();
        } else {
            beside.set_result(()).unwrap();
        }
        sender.send(()).unwrap();
        let end = event_loop.run_until_complete(task).unwrap();
        assert!(end.is_err(), "{kind}");
        assert_eq!(event_loop.time(), ms(10), "{kind}");
    }
}

/// Two requests in one turn, of which the second finds nothing that takes it, are met as one, also while somebody else
/// can wake the task: by a `catch_cancel`, by a timeout whose own deadline is the second, and by what is inside that.
#[test]
fn two_requests_in_one_turn_are_met_as_one_beside_a_foreign_branch() {
    for kind in ["caught", "deadline", "caught inside"] {
        let event_loop = virtual_loop();
        let (sender, receiver) = futures::channel::oneshot::channel::<()>();
        let task = event_loop.create_task(async move {
            let both = async {
                // After the first of them it begins to await nothing new.
                let both = futures::future::join3(sleep(ms(5)), sleep(ms(90)), sleep(ms(90)));
                drop(futures::future::select(receiver, both).await);
            };
            let caught = match kind {
                "caught" => catch_cancel(both).await.is_err(),
                "deadline" => catch_cancel(timeout(ms(10), both)).await.is_err(),
                _ => timeout(ms(10), catch_cancel(both))
                    .await
                    .is_ok_and(|end| end.is_err()),
            };
            (caught, catch_cancel(yield_now()).await.is_ok())
        });
        let handle = task.handle();
        event_loop.call_at(ms(10), move || {
            handle.cancel();
            if kind == "caught" {
                handle.cancel();
            }
        });
        let end = event_loop.run_until_complete(task).unwrap();
        assert_eq!(end, (true, true), "{kind}");
        drop(sender);
    }
}

/// A future that has taken the request is looked at through another handle than the one that was waited with: the
/// request is met.
#[test]
fn request_that_is_looked_at_through_a_new_handle_is_met() {
    let event_loop = virtual_loop();
    let (sender, mut messages) = futures::channel::mpsc::unbounded::<()>();
    let future = event_loop.create_future::<()>();
    let task = event_loop.create_task(async move {
        let mut count = 0;
        let end = loop {
            futures::select_biased! {
                _ = messages.next() => count += 1,
                end = future.clone().outcome().fuse() => break end,
            }
        };
        (count, end.is_err(), catch_cancel(yield_now()).await.is_ok())
    });
    turn(&event_loop);
    turn(&event_loop);
    task.cancel();
    sender.unbounded_send(()).unwrap();
    assert_eq!(
        event_loop.run_until_complete(task).unwrap(),
        (1, true, true)
    );
    drop(sender);
}

/// A select drops a group whose child has just failed, or whose body was about to be cancelled: the task is not
/// asked to stop by what is gone, and one that was asked from outside still is.
#[test]
fn select_that_drops_a_failing_group_leaves_only_the_outside_request() {
    for asked in [false, true] {
        let event_loop = virtual_loop();
        event_loop.set_exception_handler(|_, _| ());
        let (sender, receiver) = futures::channel::oneshot::channel::<()>();
        let task = event_loop.create_task(async move {
            let group: futures::future::LocalBoxFuture<'_, Result<(), ExceptionGroup<_>>> =
                Box::pin(TaskGroup::run(async |group| {
                    group.create_try_task(fails_after(10, "no"));
                    sleep(ms(90)).await;
                    Ok(())
                }));
            let first = futures::future::select(receiver, group).await;
            assert!(matches!(first, futures::future::Either::Left(_)));
            drop(first);
            let next = catch_cancel(yield_now()).await;
            (next.is_err(), current_task().unwrap().cancelling())
        });
        let handle = task.handle();
        while event_loop.time() < ms(10) {
            event_loop.run_once(None).unwrap();
        }
        // The child has slept; when it fails, the group hears of it in the next turn.
        turn(&event_loop);
        turn(&event_loop);
        sender.send(()).unwrap();
        if asked {
            handle.cancel();
        }
        let end = event_loop.run_until_complete(task).unwrap();
        assert_eq!(end, (asked, u32::from(asked)));
    }
}
