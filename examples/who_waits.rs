//! Look into a running loop: which task waits for what, and who waits for that.
//!
//! You will see a kitchen in the middle of an order, as a tree: at the left the tasks that nobody awaits,
//! below each of them what it awaits. Then two cooks who each need what the other one holds, found by a
//! test that tries other orders of events than the usual one.
//!
//! ```text
//! cargo run --example who_waits
//! ```

#![allow(clippy::print_stdout, reason = "an example shows something")]

use std::time::Duration;

use callsoon::testing::{self, Test};
use callsoon::{Clock, EventLoop, Lock, Queue, gather, get_running_loop, sleep, task, yield_now};

fn main() -> Result<(), callsoon::RunError> {
    let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    event_loop.run_until_complete(event_loop.task(kitchen()).name("kitchen").spawn())?;

    testing::run(two_cooks()); // as ever
    let exploration = Test::new().try_explore(0..1000, two_cooks);
    let (_, failure) = exploration.failed().expect("some order is a deadlock");
    println!("\n{failure}");
    Ok(())
}

/// Two dishes that need the stove, and a waiter who has nothing to carry yet.
async fn kitchen() {
    let (stove, pass) = (Lock::new(()), Queue::<&str>::new(0));
    let cook = |dish: &'static str| {
        let (stove, pass) = (stove.clone(), pass.clone());
        let cooking = async move {
            let _stove = stove.lock().await;
            sleep(Duration::from_secs(600)).await;
            let _ = pass.put(dish).await;
        };
        task(cooking).name(dish).spawn()
    };
    let dishes = gather((cook("soup"), cook("stew")));
    let carried = pass.clone();
    task(async move { while carried.get().await.is_ok() {} })
        .name("waiter")
        .spawn();
    task(async {
        sleep(Duration::from_secs(60)).await;
        println!("{}", get_running_loop().snapshot());
    })
    .name("inspector")
    .spawn();
    dishes.await;
    pass.shutdown(false);
    yield_now().await;
}

/// Each takes what it needs in its own order. The second one is usually late enough.
async fn two_cooks() {
    let (knife, board) = (Lock::new(()), Lock::new(()));
    let cook = |name: &'static str, first: &Lock<()>, second: &Lock<()>, late: bool| {
        let (first, second) = (first.clone(), second.clone());
        let cooking = async move {
            if late {
                yield_now().await;
                yield_now().await;
            }
            let _first = first.lock().await;
            if !late {
                // Asks somebody how much to cut, who knows at once.
                task(async {}).spawn().await;
            }
            let _second = second.lock().await;
        };
        task(cooking).name(name).spawn()
    };
    gather((
        cook("Ann", &knife, &board, false),
        cook("Ben", &board, &knife, true),
    ))
    .await;
}
