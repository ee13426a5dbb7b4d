//! What can be gathered, and in which loop.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;

use callsoon::{
    Awaitable, Awaited, Future, LoopHandle, OwnedFuture, Task, create_future, create_task, gather,
    gather_outcomes, try_gather, yield_now,
};

use crate::support::{Log, Turns, done_future, reports_to, settle, virtual_loop};

/// G12: in the order of the arguments, whoever is done first; and twice what is passed twice.
#[test]
fn results_come_in_the_order_of_the_arguments() {
    let event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            let slow = create_task(async {
                yield_now().await;
                "slow"
            });
            assert_eq!(
                gather((&slow, async { "fast" }, &slow)).await,
                ("slow", "fast", "slow")
            );

            let shared = create_future();
            shared.set_result("shared").unwrap();
            assert_eq!(gather([shared.clone(), shared]).await, ["shared", "shared"]);

            let asked_twice = create_task(pending::<()>());
            let both = gather([&asked_twice, &asked_twice]);
            yield_now().await;
            both.cancel();
            assert_eq!(asked_twice.cancelling(), 2);
        })
        .unwrap();
}

#[test]
fn tuples_mix_tasks_futures_owners_references_and_coroutines() {
    struct NotClone(u8);
    let event_loop = virtual_loop();
    let all = event_loop.run_until_complete(async {
        let (task, kept) = (
            create_task(async { NotClone(1) }),
            create_task(async { "kept" }),
        );
        let (future, owned) = (done_future(2.5), create_future());
        let count = Rc::new(3);
        owned.set_result(NotClone(4)).unwrap();
        let owner: OwnedFuture<NotClone> = owned.take();
        let all = gather((task, &kept, future, async move { *count }, owner)).await;
        assert_eq!(kept.await, "kept");
        all
    });
    let (one, kept, number, count, four) = all.unwrap();
    assert_eq!((one.0, kept, number, count, four.0), (1, "kept", 2.5, 3, 4));
}

#[test]
fn tuples_go_to_twelve() {
    let event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            let a = |n: u8| async move { n };
            let all = gather((
                a(0),
                a(1),
                a(2),
                a(3),
                a(4),
                a(5),
                a(6),
                a(7),
                a(8),
                a(9),
                a(10),
                a(11),
            ));
            assert_eq!(all.await, (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
            let ok = |n: u8| async move { Ok::<_, ()>(n) };
            assert_eq!(try_gather((ok(0), ok(1), ok(2))).await, Ok((0, 1, 2)));
            let (one,) = gather_outcomes((a(1),)).await;
            assert_eq!(one.unwrap(), 1);
        })
        .unwrap();
}

/// By value, by reference, and by an iterator of either.
#[test]
fn lists_arrays_and_iterators() {
    let event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            let make = || [1, 2].map(|n| create_task(async move { n }));
            assert_eq!(gather(make()).await, [1, 2]);
            assert_eq!(gather(Vec::from(make())).await, vec![1, 2]);
            assert_eq!(gather(make().into_iter()).await, vec![1, 2]);
            let tasks = make();
            assert_eq!(gather(&tasks).await, [1, 2]);
            assert_eq!(gather(&tasks[..]).await, vec![1, 2]);
            assert_eq!(gather(tasks.iter()).await, vec![1, 2]);
            let tasks = Vec::from(tasks);
            assert_eq!(gather(&tasks).await, vec![1, 2]);
            let outcomes: Vec<_> = gather_outcomes(tasks).await;
            assert!(outcomes.iter().all(Result::is_ok));
            let oks = [1, 2].map(|n| create_task(async move { Ok::<_, ()>(n) }));
            assert_eq!(try_gather(&oks).await, Ok([1, 2]));
            assert_eq!(try_gather(oks.iter()).await, Ok(vec![1, 2]));
            assert_eq!(try_gather(Vec::from(oks)).await, Ok(vec![1, 2]));
        })
        .unwrap();
}

/// A type of the user's, by delegating; what it changes costs no turn.
enum Mixed {
    Number(Task<u32>),
    Text(Future<&'static str>),
    Fails(Task<u32>),
}

impl Awaitable for Mixed {
    type Output = Result<String, &'static str>;

    fn into_awaited(self, event_loop: &LoopHandle) -> Awaited<Self::Output> {
        match self {
            Self::Number(task) => task.into_awaited(event_loop).map(|n| Ok(n.to_string())),
            Self::Text(future) => future
                .into_awaited(event_loop)
                .map(|text| Ok(text.to_owned())),
            Self::Fails(task) => task.into_awaited(event_loop).map(|_| Err("as it should")),
        }
    }

    fn bound_loop(&self) -> Option<LoopHandle> {
        match self {
            Self::Number(task) | Self::Fails(task) => task.bound_loop(),
            Self::Text(future) => future.bound_loop(),
        }
    }
}

#[test]
fn a_list_of_a_users_enum() {
    let (event_loop, log) = (virtual_loop(), Turns::new());
    let events = log.clone();
    log.run(&event_loop, async move {
        let list = || {
            let number = create_task(async { 1 });
            vec![Mixed::Number(number), Mixed::Text(done_future("two"))]
        };
        let all = gather(list()).await;
        events.push(format_args!("{all:?}"));
        let oks = try_gather(list()).await;
        events.push(format_args!("{oks:?}"));
        let mut failing = list();
        failing.insert(0, Mixed::Fails(create_task(async { 0 })));
        failing.push(Mixed::Number(create_task(pending())));
        events.push(format_args!("{:?}", try_gather(failing).await));
        let cancelled = create_task(pending());
        cancelled.cancel();
        let [outcome] = gather_outcomes([Mixed::Number(cancelled)]).await;
        events.push(outcome.is_err());
    });
    log.expect(&[
        r#"3 [Ok("1"), Ok("two")]"#,
        r#"6 Ok(["1", "two"])"#,
        r#"9 Err("as it should")"#,
        "12 true",
    ]);
}

#[test]
fn a_gather_of_a_users_enum_passes_a_cancellation_on_and_can_be_dropped() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(pending::<u32>());
    let handle = task.handle();
    drop(gather([Mixed::Number(task)]));
    assert!(!format!("{handle:?}").contains("cb="));

    let task = event_loop.create_task(pending::<u32>());
    let handle = task.handle();
    let all = gather([Mixed::Number(task)]);
    assert!(all.cancel());
    settle(&event_loop);
    assert!(handle.cancelled() && all.cancelled());
}

// ---- loops

/// Outside a run the children's loop is it.
#[test]
fn a_gather_takes_the_loop_of_its_children_where_none_is_running() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async { 2 });
    let both = gather((async { 1 }, &task));
    assert!(both.get_loop() == event_loop.handle());
    assert_eq!(event_loop.run_until_complete(both).unwrap(), (1, 2));
}

#[test]
#[should_panic(expected = "no running event loop")]
fn a_gather_of_coroutines_needs_a_running_loop() {
    drop(gather((async {}, async {})));
}

/// G14: all of one loop; the message says where both were created.
#[test]
fn children_of_two_loops_are_refused() {
    let (one, two) = (virtual_loop(), virtual_loop());
    let line = line!() + 1;
    let (a, b) = (one.create_future::<()>(), two.create_future::<()>());
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(gather((&a, &b)))));
    let message = *refused.unwrap_err().downcast::<String>().unwrap();
    let site = format!("{}:{line}:", file!());
    assert_eq!(message.matches(&site).count(), 2, "{message}");
    assert!(
        message.contains("belongs to another event loop"),
        "{message}"
    );
    assert!(!format!("{a:?}{b:?}").contains("cb="));
}

/// G14: tasks that a gather made are not missed when the loop is closed; those of the caller are.
#[test]
fn tasks_that_a_gather_made_are_not_reported_as_pending() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    reports_to(&event_loop, &log);
    let callers = event_loop
        .task(pending::<()>())
        .name("the caller's")
        .spawn();
    let both = gather((&callers, pending::<()>()));
    event_loop.close();
    log.expect(&["task was destroyed but it is pending"]);
    drop(both);
}

// ---- what the coroutines do

/// A coroutine may hold borrows of its own locals over an await, and share an `Rc` with the others.
#[test]
fn coroutines_hold_borrows_of_their_locals_and_share() {
    let event_loop = virtual_loop();
    let shared = Rc::new(RefCell::new(Vec::new()));
    let each = shared.clone();
    let lengths = event_loop.run_until_complete(async move {
        let words = ["one", "three"].map(|word| {
            let shared = each.clone();
            async move {
                let mut local = String::new();
                let borrowed = &mut local;
                for letter in word.chars() {
                    yield_now().await;
                    borrowed.push(letter);
                    shared.borrow_mut().push(letter);
                }
                local.len()
            }
        });
        gather(words).await
    });
    assert_eq!(lengths.unwrap(), [3, 5]);
    assert_eq!(shared.take().into_iter().collect::<String>(), "otnheree");
}

/// Futures of other crates are coroutines like any other, and are dropped when they are cancelled.
#[test]
fn futures_of_other_crates_are_gathered() {
    use futures::StreamExt as _;
    use futures::channel::{mpsc, oneshot};
    let event_loop = virtual_loop();
    let (one, receiver) = oneshot::channel();
    let (many, stream) = mpsc::unbounded();
    let both = event_loop.create_task(async {
        gather((receiver, stream.collect::<Vec<_>>(), std::future::ready(3))).await
    });
    settle(&event_loop);
    many.unbounded_send(1).unwrap();
    settle(&event_loop);
    one.send("one").unwrap();
    drop(many);
    let both = event_loop.run_until_complete(both).unwrap();
    assert_eq!(both, (Ok("one"), vec![1], 3));

    let (never, receiver) = oneshot::channel::<()>();
    let cancelled = event_loop.create_task(async { gather([receiver]).await });
    settle(&event_loop);
    cancelled.cancel();
    settle(&event_loop);
    assert!(cancelled.cancelled());
    assert!(never.is_canceled());
}

/// A gather is a future for everybody: with a waker of another crate's around it, too.
#[test]
fn gathers_in_foreign_combinators() {
    use futures::StreamExt as _;
    let event_loop = virtual_loop();
    let order = event_loop.run_until_complete(async {
        let gathers = [3, 1, 2].map(|n| {
            gather([async move {
                for _ in 0..n {
                    yield_now().await;
                }
                n
            }])
        });
        let unordered: futures::stream::FuturesUnordered<_> = gathers.into_iter().collect();
        let order = unordered.map(|[n]| n).collect::<Vec<_>>().await;
        let (a, b) = futures::join!(gather([async { 4 }]), gather((async { 5 },)));
        (order, a, b)
    });
    assert_eq!(order.unwrap(), (vec![1, 2, 3], [4], (5,)));
}

/// The loser of a `select!` is dropped: its gather lets go, and the children run on.
#[test]
fn a_gather_that_loses_a_select_lets_its_children_run_on() {
    let event_loop = virtual_loop();
    let child = event_loop.run_until_complete(async {
        let child = create_task(async {
            yield_now().await;
            yield_now().await;
            "ran on"
        });
        let both = std::pin::pin!(gather([&child]));
        let winner = std::pin::pin!(yield_now());
        futures::future::select(both, winner).await;
        assert!(!child.done());
        child.await
    });
    assert_eq!(child.unwrap(), "ran on");
}
