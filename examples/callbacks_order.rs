//! In which order things run: callbacks, timers, tasks, done-callbacks, turn by turn.
//!
//! You will see each turn of the loop, with what ran in it. Two rules explain all of it: a turn runs
//! what was ready when it began, first in, first out; and what that causes is for the next turn.
//!
//! ```text
//! cargo run --example callbacks_order
//! ```

#![allow(clippy::print_stdout, reason = "an example shows something")]

use std::time::Duration;

use callsoon::{Clock, EventLoop, RunError, call_soon, create_task, yield_now};

fn main() -> Result<(), RunError> {
    let event_loop = EventLoop::builder().clock(Clock::Virtual).build();

    event_loop.call_soon(|| {
        println!("  callback 1, which schedules another");
        call_soon(|| println!("  callback 3, scheduled by callback 1"));
    });
    // A timer that is due takes its place behind what was ready before the turn began.
    event_loop.call_later(Duration::ZERO, || println!("  timer, due at once"));

    let future = event_loop.create_future();
    future.add_done_callback(|_| println!("  done-callback 1 of the future"));
    let awaited = future.clone();
    event_loop.create_task(async move {
        println!("  task, first step: it awaits the future");
        println!("  task, on with {}", awaited.await);
        let child = create_task(async {
            println!("  child, first step");
            yield_now().await;
            println!("  child, second step: it is done");
        });
        child.add_done_callback(|_| println!("  done-callback of the child"));
        child.await;
        println!("  task, on: it was the second to ask to be told");
    });
    event_loop.call_soon(move || {
        println!("  callback 2, which completes the future");
        future
            .set_result("the result")
            .expect("nobody else completes it");
        future.add_done_callback(|_| println!("  done-callback 2 of the future, which was done"));
        println!("  callback 2, at its end: nothing has run meanwhile");
    });

    for turn in 1.. {
        println!("turn {turn}");
        event_loop.run_once(Some(Duration::ZERO))?;
        if event_loop.next_deadline().is_none() {
            break;
        }
    }
    Ok(())
}
