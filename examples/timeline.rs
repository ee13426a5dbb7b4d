//! Records ping and pong, and draws what ran when.
//!
//! You will see each callback and each step of a task in the order in which they ran, with what has
//! scheduled it. With a directory as argument the same is written there as `timeline.json`, for
//! Perfetto or `chrome://tracing`, and as `timeline.svg`, for any browser. The clock is a virtual one, so
//! both are the same each time.
//!
//! ```text
//! cargo run --example timeline
//! ```

#![allow(clippy::print_stdout, reason = "an example shows something")]

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use callsoon::{Clock, EventLoop, current_task, gather, sleep};

async fn ping_or_pong(name: &str, takes: Duration) {
    current_task().expect("gather made one").set_name(name);
    sleep(takes).await;
}

fn main() -> io::Result<()> {
    let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    let recording = event_loop.record(1000);
    let main = event_loop.task(async {
        let ping = ping_or_pong("ping", Duration::from_secs(3));
        let pong = ping_or_pong("pong", Duration::from_secs(2));
        gather((ping, pong)).await;
    });
    let main = main.name("main").spawn();
    event_loop
        .run_until_complete(main)
        .expect("nobody stops it");
    recording.stop();

    for (place, event) in recording.events().iter().enumerate() {
        let (turn, at, name) = (event.turn(), event.begin(), event.name());
        let kind = event.task().map_or("", |_| "step of ");
        let what = format!("{place:2}  turn {turn:2}  at {at:?}  {kind}{name}");
        match event.cause() {
            Some(cause) => println!("{what:40} because of {cause}"),
            None => println!("{what}"),
        }
    }
    if let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) {
        fs::write(directory.join("timeline.json"), recording.to_chrome_trace())?;
        fs::write(directory.join("timeline.svg"), recording.to_svg())?;
    }
    Ok(())
}
