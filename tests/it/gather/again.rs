//! Gathers of coroutines that are made at one place again and again. Their children use each other's
//! memory, and are tasks of their own all the same.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::{Future as StdFuture, pending, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

use callsoon::{
    CancelledError, FutureHandle, OwnedFuture, TaskHandle, catch_cancel, create_future,
    create_task, current_task, gather, gather_outcomes, get_running_loop, sleep, try_gather,
    yield_now,
};
use proptest::prelude::*;

use crate::support::{Log, Turns, ms, reports_to, settle, turn, virtual_loop};

/// The one place.
fn all<F: StdFuture<Output: 'static> + 'static>(list: Vec<F>) -> OwnedFuture<Vec<F::Output>> {
    gather(list)
}

fn me() -> TaskHandle {
    current_task().expect("it runs in a task")
}

#[test]
fn each_round_has_tasks_of_its_own() {
    let event_loop = virtual_loop();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let handles = seen.clone();
    let rounds = event_loop.run_until_complete(async move {
        let mut sums = Vec::<u64>::new();
        for count in [3, 5, 0, 2, 5] {
            let child = |number: u64| {
                let handles = handles.clone();
                async move {
                    handles.borrow_mut().push(me());
                    sleep(ms(number)).await;
                    number
                }
            };
            sums.push(all((0..count).map(child).collect()).await.iter().sum());
        }
        sums
    });
    assert_eq!(rounds.unwrap(), [3, 10, 0, 1, 10]);
    let handles = seen.take();
    assert!(
        handles
            .iter()
            .all(|handle| handle.done() && !handle.cancel())
    );
    let ids: Vec<_> = handles.iter().map(TaskHandle::id).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    let names: BTreeSet<_> = handles.iter().map(TaskHandle::name).collect();
    assert_eq!(names.len(), 15);
}

/// A handle goes on being that of its task, which is over, while the next child at that place runs.
#[test]
fn a_handle_of_a_child_outlives_it_and_is_not_that_of_the_next() {
    let event_loop = virtual_loop();
    let (first, second) = event_loop
        .run_until_complete(async {
            let child = |number: u32| async move {
                me().set_name(format!("number {number}"));
                yield_now().await;
                me()
            };
            let first = all(vec![child(1)]).await.remove(0);
            let second = all(vec![child(2)]).await.remove(0);
            (first, second)
        })
        .unwrap();
    assert_ne!(first.id(), second.id());
    assert_eq!([first.name(), second.name()], ["number 1", "number 2"]);
}

/// What a child left behind in its task is not there for the next: name, requests, what it waited for.
#[test]
fn a_child_begins_as_a_new_task() {
    let event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            for round in 0..3 {
                let child = async move {
                    assert!(me().name().starts_with("Task-"), "{}", me().name());
                    assert_eq!(me().cancelling(), 0);
                    me().set_name("the child");
                    me().cancel();
                    assert!(catch_cancel(yield_now()).await.is_err());
                    // It waits for several things at once, in a scope and outside.
                    let pause = catch_cancel(sleep(ms(1)));
                    futures::join!(sleep(ms(2)), pause, yield_now()).1.unwrap();
                    round
                };
                assert_eq!(all(vec![child]).await, [round]);
            }
        })
        .unwrap();
}

/// A waker that somebody kept of a child that is over wakes neither it nor the next at its place.
#[test]
fn a_waker_of_a_child_that_is_over_wakes_nobody() {
    let event_loop = virtual_loop();
    let polls = Rc::new(Cell::new(0));
    let wakers = Rc::new(RefCell::new(Vec::<Waker>::new()));
    let (counted, kept) = (polls.clone(), wakers.clone());
    let rounds = event_loop.create_task(async move {
        for waits in [0, 0, 1] {
            let (counted, kept) = (counted.clone(), kept.clone());
            let mut left = waits;
            let child = poll_fn(move |cx| {
                counted.set(counted.get() + 1);
                kept.borrow_mut().push(cx.waker().clone());
                if left == 0 {
                    return Poll::Ready(());
                }
                left -= 1;
                Poll::Pending
            });
            all(vec![child]).await;
        }
    });
    settle(&event_loop);
    assert_eq!(polls.get(), 3);
    let mut wakers = wakers.take();
    let last = wakers.pop().unwrap();
    for stale in wakers {
        stale.wake();
        assert_eq!(turn(&event_loop), 0);
    }
    assert_eq!(polls.get(), 3);
    last.wake();
    event_loop.run_until_complete(rounds).unwrap();
    assert_eq!(polls.get(), 4);
}

/// Coroutines of several types in turn, and of one type that gives different results.
#[test]
fn different_coroutines_may_be_gathered_at_one_place() {
    async fn later(number: u32) -> u32 {
        sleep(ms(1)).await;
        number
    }
    let event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            for round in 0..4 {
                assert_eq!(all(vec![async move { round }]).await, [round]);
                assert_eq!(all(vec![later(round), later(7)]).await, [round, 7]);
                let text = || async move { round.to_string() };
                assert_eq!(
                    all(vec![text(), text()]).await,
                    [round.to_string(), round.to_string()]
                );
                assert_eq!(all(vec![std::future::ready(round)]).await, [round]);
            }
        })
        .unwrap();
}

/// A gather whose children gather, all at one place.
#[test]
fn gathers_at_one_place_may_nest() {
    fn leaves(depth: u32) -> futures::future::LocalBoxFuture<'static, u32> {
        Box::pin(async move {
            if depth == 0 {
                return 1;
            }
            let below = (0..3).map(|_| leaves(depth - 1)).collect();
            all(below).await.iter().sum()
        })
    }
    let event_loop = virtual_loop();
    for _ in 0..3 {
        assert_eq!(event_loop.run_until_complete(leaves(4)).unwrap(), 81);
    }
}

/// A cancellation reaches the children of a later round, who clean up.
#[test]
fn children_of_a_later_round_are_cancelled() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    event_loop
        .run_until_complete(async move {
            for round in 0..3 {
                let child = |number: u32| {
                    let events = events.clone();
                    async move {
                        let pause = sleep(ms(if round == 1 { 1000 } else { 1 }));
                        if catch_cancel(pause).await.is_err() {
                            sleep(ms(1)).await;
                            events.push(format_args!("{round}.{number} cleaned up"));
                        }
                        number
                    }
                };
                let both = all(vec![child(0), child(1)]);
                let asked = both.clone();
                get_running_loop().call_later(ms(10), move || {
                    events_of(&asked);
                });
                match both.outcome().await {
                    Ok(numbers) => events.push(format_args!("{round} {numbers:?}")),
                    Err(why) => events.push(format_args!("{round} {:?}", why.message())),
                }
            }
        })
        .unwrap();
    log.expect(&[
        "0 [0, 1]",
        "1.0 cleaned up",
        "1.1 cleaned up",
        r#"1 Some("enough")"#,
        "2 [0, 1]",
    ]);

    fn events_of(asked: &callsoon::Future<Vec<u32>>) {
        asked.cancel_with("enough");
    }
}

/// A child that somebody waits for, or has a callback at, besides the gather.
#[test]
fn a_child_that_others_wait_for_is_theirs_alone() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    event_loop
        .run_until_complete(async move {
            for round in 0..3 {
                let (events, waited) = (events.clone(), create_future());
                let told = waited.clone();
                let child = async move {
                    told.set_result(me()).unwrap();
                    sleep(ms(1)).await;
                };
                let waiter = create_task(async move {
                    let child = FutureHandle::from(waited.await);
                    let (done, same) = (events.clone(), child.clone());
                    child.add_done_callback(move |child| {
                        assert!(child.done() && *child == same);
                        done.push(format_args!("{round} called back"));
                    });
                    child.await;
                    events.push(format_args!("{round} awaited"));
                });
                all(vec![child]).await;
                waiter.await;
            }
        })
        .unwrap();
    log.expect(&[
        "0 called back",
        "0 awaited",
        "1 called back",
        "1 awaited",
        "2 called back",
        "2 awaited",
    ]);
}

/// An error or a panic of one round is of that round alone, and reported if nobody looks.
#[test]
fn rounds_that_fail_leave_the_next_alone() {
    let (event_loop, reports) = (virtual_loop(), Log::new());
    reports_to(&event_loop, &reports);
    event_loop
        .run_until_complete(async {
            for round in 0..6 {
                let child = |number: u32| async move {
                    yield_now().await;
                    if round % 3 == number {
                        return Err(number);
                    }
                    Ok(round)
                };
                let ends = try_gather(vec![child(0), child(1)]).await;
                match round % 3 {
                    2 => assert_eq!(ends, Ok(vec![round, round])),
                    failed => assert_eq!(ends, Err(failed)),
                }
                let child = |number: u32| async move {
                    assert_ne!(round % 3, number, "as it should be");
                    number
                };
                let ends = gather_outcomes(vec![child(0), child(1)]).await;
                for (number, end) in (0..).zip(ends) {
                    assert_eq!(end.ok(), (round % 3 != number).then_some(number));
                }
            }
        })
        .unwrap();
    reports.expect(&[]);
}

/// G5: a panic that nobody looks at is reported, in a later round, too.
#[test]
fn a_late_panic_of_a_later_round_is_reported() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    reports_to(&event_loop, &log);
    event_loop
        .run_until_complete(async {
            for panics in [false, true] {
                let child = |time| async move {
                    sleep(ms(time)).await;
                    assert!(!panics, "after {time}");
                };
                let both = all(vec![child(1), child(2)]).outcome().await;
                assert_eq!(both.is_err(), panics);
            }
            sleep(ms(5)).await;
        })
        .unwrap();
    log.expect(&["task panic was never retrieved"]);
}

/// A loop is closed with children of earlier rounds kept, and others waiting.
#[test]
fn a_loop_closes_in_the_midst_of_a_round() {
    let event_loop = virtual_loop();
    let dropped = Rc::new(());
    let held = dropped.clone();
    let task = event_loop.create_task(async move {
        for round in 0..3 {
            let child = |_| {
                let held = held.clone();
                async move {
                    let _held = held;
                    if round == 2 {
                        pending::<()>().await;
                    }
                }
            };
            all((0..10).map(child).collect()).await;
        }
    });
    settle(&event_loop);
    assert_eq!(Rc::strong_count(&dropped), 12);
    event_loop.close();
    assert_eq!(Rc::strong_count(&dropped), 1);
    assert!(!task.done());
}

/// What one child does: wait so often, and end so.
#[derive(Clone, Copy, Debug)]
enum Act {
    Yield(u8),
    Sleep(u64),
    /// Declines the first request.
    Stubborn(u64),
    Panics(u8),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..3_u8).prop_map(Act::Yield),
        3 => (0..3_u64).prop_map(Act::Sleep),
        1 => (0..3_u64).prop_map(Act::Stubborn),
        1 => (0..2_u8).prop_map(Act::Panics),
    ]
}

/// A gather: its children, and when it is asked to stop, if it is.
type Round = (Vec<Act>, Option<u64>);

async fn perform(act: Act, name: String, log: Turns) -> String {
    log.push(format_args!("{name} starts"));
    match act {
        Act::Yield(times) => {
            for _ in 0..times {
                yield_now().await;
            }
        }
        Act::Sleep(time) => sleep(ms(time)).await,
        Act::Stubborn(time) => {
            let ended = catch_cancel(sleep(ms(time))).await;
            log.push(format_args!("{name} {}", ended.is_ok()));
            yield_now().await;
        }
        Act::Panics(times) => {
            for _ in 0..times {
                yield_now().await;
            }
            panic!("{name} panics");
        }
    }
    log.push(format_args!("{name} ends"));
    name
}

/// The trace of gathers, one after the other, whose children are coroutines or tasks.
fn trace(rounds: Vec<Round>, as_tasks: bool) -> Vec<String> {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        for (round, (acts, cancel)) in (0..).zip(rounds) {
            let perform = |(number, act)| perform(act, format!("{round}.{number}"), events.clone());
            let children = (0..).zip(acts).map(perform);
            let gathered = if as_tasks {
                gather_outcomes(children.map(create_task).collect::<Vec<_>>())
            } else {
                gather_outcomes(children)
            };
            if let Some(time) = cancel {
                let asked = gathered.clone();
                get_running_loop().call_later(ms(time), move || {
                    asked.cancel();
                });
            }
            // Where a task was made is not compared.
            let brief = |why: CancelledError| why.panic().map(|panic| panic.message().to_owned());
            let ends = gathered.outcome().await.map_err(brief);
            let ends = ends.map(|ends| {
                let ends = ends.into_iter().map(|end| end.map_err(brief));
                ends.collect::<Vec<_>>()
            });
            events.push(format_args!("{ends:?}"));
        }
    });
    log.take()
}

proptest! {
    /// A gather of coroutines does what a gather of tasks does, each time round.
    #[test]
    fn rounds_of_coroutines_are_as_rounds_of_tasks(
        rounds in prop::collection::vec(
            (prop::collection::vec(act(), 0..5), prop::option::weighted(0.3, 0..3_u64)),
            1..6,
        )
    ) {
        prop_assert_eq!(trace(rounds.clone(), false), trace(rounds, true));
    }
}
