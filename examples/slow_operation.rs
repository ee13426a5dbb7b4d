//! The futures-and-tasks article as a program.
//!
//! You will see `Future is done!` one second after the start, and again one second later: once
//! with `run_until_complete(task)` and a callback, once with `run_forever()` and a callback that
//! stops the loop.
//!
//! ```text
//! cargo run --example slow_operation
//! ```

use std::time::Duration;

use callsoon::{EventLoop, sleep};

async fn slow_operation() -> &'static str {
    sleep(Duration::from_secs(1)).await;
    "Future is done!"
}

#[allow(clippy::print_stdout, reason = "an example shows something")]
fn main() {
    // 1. Run until the task is complete.
    let event_loop = EventLoop::new();
    let task = event_loop.create_task(slow_operation());
    task.add_done_callback(|future| println!("{}", future.result().unwrap()));
    event_loop.run_until_complete(task).unwrap();

    // 2. Run forever, and stop from the callback.
    let event_loop = EventLoop::new();
    let task = event_loop.create_task(slow_operation());
    let handle = event_loop.handle();
    task.add_done_callback(move |future| {
        println!("{}", future.result().unwrap());
        handle.stop();
    });
    event_loop.run_forever();
}
