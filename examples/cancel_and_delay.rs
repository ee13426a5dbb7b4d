//! What one can do with a callback: register it, delay it, cancel it, and move it.
//!
//! You will see which callbacks run, and when. The clock is virtual: ten seconds take no time.
//!
//! ```text
//! cargo run --example cancel_and_delay
//! ```

#![allow(clippy::print_stdout, reason = "an example shows something")]

use std::time::Duration;

use callsoon::{Clock, EventLoop, get_running_loop};

fn main() {
    let event_loop = EventLoop::builder().clock(Clock::Virtual).build();

    // Registered: it runs in the next turn.
    event_loop.call_soon(|| say("soon"));
    let never = event_loop.call_soon(|| say("never"));
    never.cancel();

    // Delayed: it runs in the first turn that begins at this time or later.
    event_loop.call_later(Duration::from_secs(2), || say("two seconds later"));
    let too_late = event_loop.call_later(Duration::from_secs(3), || say("too late"));
    let moved = event_loop.call_at(Duration::from_secs(4), || say("moved"));
    println!(
        "One is to run at {:?}, and one at {:?}.",
        too_late.when(),
        moved.when()
    );

    // A handle is good for as long as its callback has not run.
    event_loop.call_later(Duration::from_secs(1), move || {
        say("cancel one, move the other");
        too_late.cancel();
        assert!(too_late.cancelled());
        assert!(moved.reschedule(Duration::from_secs(10)));
        let for_nothing = moved.clone();
        get_running_loop().call_at(Duration::from_secs(10), move || {
            for_nothing.cancel(); // it has run
            get_running_loop().stop();
        });
    });
    event_loop.run_forever();
}

fn say(what: &str) {
    println!("{:>2} s: {what}", get_running_loop().time().as_secs());
}
