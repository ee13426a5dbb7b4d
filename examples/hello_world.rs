//! The first program of asyncio's manual.
//!
//! You will see that a coroutine does nothing by itself, and then `Hello` and, one second later,
//! `World`.
//!
//! ```text
//! cargo run --example hello_world
//! ```

#![allow(clippy::print_stdout, reason = "an example shows something")]

use std::time::Duration;

use callsoon::{run, sleep};

async fn hello_world() {
    println!("Hello");
    sleep(Duration::from_secs(1)).await;
    println!("World");
}

fn main() {
    let never_run = hello_world();
    drop(never_run); // Without this line the compiler would warn: nobody awaits it.
    println!("There was a coroutine, and nothing has happened.");

    run(hello_world());
}
