//! Gathers of very many, and very deep ones.

use std::future::pending;

use callsoon::{
    Awaitable, Awaited, EventLoop, Future, LoopHandle, OwnedFuture, gather, try_gather,
};

use crate::support::{Drops, settle, virtual_loop};

#[test]
fn a_hundred_thousand_children() {
    const N: usize = 100_000;
    let event_loop = virtual_loop();
    let sum = event_loop.run_until_complete(async {
        let all = gather((0..N).map(|n| async move { n }));
        all.await.into_iter().sum::<usize>()
    });
    assert_eq!(sum.unwrap(), N * (N - 1) / 2);

    let tasks: Vec<_> = (0..N)
        .map(|_| event_loop.create_task(pending::<()>()))
        .collect();
    let all = gather(&tasks);
    settle(&event_loop);
    assert!(all.cancel());
    settle(&event_loop);
    assert!(all.cancelled() && tasks.iter().all(|task| task.cancelled()));
}

/// One of a hundred thousand children ends it; what the others have registered goes with the gather.
#[test]
fn dropping_a_gather_of_a_hundred_thousand_children_of_one_future() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<()>();
    let all = gather(std::iter::repeat_n(&future, 100_000));
    assert!(format!("{future:?}").contains("cb=[100000]"));
    drop(all);
    assert!(!format!("{future:?}").contains("cb="));
}

const DEPTH: usize = 100_000;

/// Gathers in gathers, with a future at the bottom.
enum Level {
    Leaf(Future<()>),
    Inner(OwnedFuture<Vec<()>>),
}

impl Awaitable for Level {
    type Output = ();

    fn into_awaited(self, event_loop: &LoopHandle) -> Awaited<()> {
        match self {
            Self::Leaf(future) => future.into_awaited(event_loop),
            Self::Inner(all) => all.into_awaited(event_loop).map(drop),
        }
    }

    fn bound_loop(&self) -> Option<LoopHandle> {
        match self {
            Self::Leaf(future) => future.bound_loop(),
            Self::Inner(all) => all.bound_loop(),
        }
    }
}

fn nested(leaf: &Future<()>) -> OwnedFuture<Vec<()>> {
    let mut all = gather(vec![Level::Leaf(leaf.clone())]);
    for _ in 0..DEPTH {
        all = gather(vec![Level::Inner(all)]);
    }
    all
}

/// A request goes down, and a drop too, without the stack; each level is asked once.
#[test]
fn gathers_in_gathers_a_hundred_thousand_deep() {
    let event_loop = virtual_loop();
    let leaf = event_loop.create_future();
    let all = nested(&leaf);
    assert!(all.cancel());
    assert!(leaf.cancelled() && !all.cancelled());
    assert!(!all.cancel());
    drop(all);

    let leaf = event_loop.create_future();
    drop(nested(&leaf));
    assert!(!format!("{leaf:?}").contains("cb="));

    let leaf = event_loop.create_future();
    let all = nested(&leaf);
    leaf.set_result(()).unwrap();
    event_loop.run_until_complete(all).unwrap();
}

/// The same of tasks that await gathers of tasks.
#[test]
fn a_chain_of_tasks_and_gathers_a_hundred_thousand_long() {
    let chain = |event_loop: &EventLoop, leaf: &Future<()>| {
        let leaf = leaf.clone();
        let mut last = event_loop.create_task(leaf);
        for _ in 0..DEPTH {
            last = event_loop.create_task(async move { gather((last,)).await.0 });
        }
        settle(event_loop);
        last
    };
    let event_loop = virtual_loop();
    let leaf = event_loop.create_future();
    let last = chain(&event_loop, &leaf);
    assert!(last.cancel());
    assert!(leaf.cancelled());
    settle(&event_loop);
    assert!(last.cancelled());

    let leaf = event_loop.create_future();
    let last = chain(&event_loop, &leaf);
    drop(event_loop);
    assert!(!last.done() && !format!("{leaf:?}").contains("cb="));
}

/// Dropping the gather of many tasks, awaited or not, leaves the tasks alone; dropping the loop ends them.
#[test]
fn dropping_a_gather_of_a_hundred_thousand_tasks() {
    const N: usize = 100_000;
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let tasks = (0..N).map(|_| {
        let guard = drops.guard();
        event_loop.create_task(async move {
            let _guard = guard;
            pending::<()>().await;
        })
    });
    let all = gather(tasks);
    settle(&event_loop);
    drop(all);
    assert_eq!((event_loop.all_tasks().len(), drops.count()), (N, 0));
    drop(event_loop);
    assert_eq!(drops.count(), N);
}

/// The first failure of many ends it at once, and the rest costs nothing more.
#[test]
fn the_first_error_of_a_hundred_thousand() {
    const N: usize = 100_000;
    let event_loop = virtual_loop();
    let first = event_loop.run_until_complete(async {
        try_gather((0..N).map(|n| async move {
            match n {
                0 => Err("the first"),
                _ => pending::<Result<(), _>>().await,
            }
        }))
        .await
    });
    assert_eq!(first.unwrap(), Err("the first"));
    assert_eq!(event_loop.all_tasks().len(), N - 1);
}

/// With a done-callback at each level, and no handle but the first: nothing is left of them but the loop.
#[test]
fn closing_a_loop_with_gathers_that_go_on_a_hundred_thousand_deep() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let leaf = event_loop.create_future();
    let mut all = gather(vec![Level::Leaf(leaf)]);
    for _ in 0..DEPTH {
        let guard = drops.guard();
        all.add_done_callback(move |_| drop(guard));
        all = gather(vec![Level::Inner(all)]);
    }
    all.add_done_callback(|_| unreachable!("nothing completes it"));
    drop(all);
    assert_eq!(drops.count(), 0);
    drop(event_loop);
    assert_eq!(drops.count(), DEPTH);
}
