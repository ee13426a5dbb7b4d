//! The loop as a guest: a game with a frame loop of its own runs it, turn by turn, on its thread.
//!
//! You will see "loading", the level once a worker thread has read it, and a ball that moves every
//! 20 ms. The game draws at most 60 frames a second, and sleeps when there is nothing to do. (This host has
//! a pace of its own. For one that blocks in a queue or a `select` until there is a message see
//! `foreign_loop`.)
//!
//! ```text
//! cargo run --example frame_loop
//! ```

use std::cell::RefCell;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use callsoon::{EventLoop, create_task, get_running_loop, sleep};

/// The shortest time from one frame to the next.
const FRAME: Duration = Duration::from_micros(16_667);

#[allow(clippy::print_stdout, reason = "an example shows something")]
fn main() {
    let event_loop = EventLoop::new();
    // Called by whoever makes something due earlier than the game's sleep ends.
    let game = thread::current();
    event_loop.set_wakeup_hook(move || game.unpark());

    let screen = Screen::default();
    screen.show("loading".to_owned());
    // The screen stays on the game's thread; this is its name for the other one.
    let remote_screen = event_loop.bind(screen.clone());
    let worker = thread::spawn(move || {
        let level = read_level();
        // `start` runs in a turn of the loop, so on the game's thread.
        let start = move |screen: &Screen| start(screen.clone(), level);
        remote_screen.call_soon_threadsafe(start).is_ok()
    });

    let (mut frames, mut next_frame) = (0, Instant::now());
    loop {
        if Instant::now() >= next_frame
            && let Some(picture) = screen.next.take()
        {
            frames += 1;
            println!("frame {frames}: {picture}");
            next_frame = Instant::now() + FRAME;
        }
        if event_loop.run_once(Some(Duration::ZERO)).unwrap().stopped {
            break;
        }
        let to_draw = screen.next.borrow().is_some();
        let frame = to_draw.then(|| next_frame.saturating_duration_since(Instant::now()));
        match frame.into_iter().chain(event_loop.next_deadline()).min() {
            Some(limit) => thread::park_timeout(limit),
            None => thread::park(),
        }
    }
    assert!(worker.join().unwrap(), "the loop was open");
}

#[derive(Clone, Default)]
struct Screen {
    /// What the next frame is to show; `None` if the latest shows it.
    next: Rc<RefCell<Option<String>>>,
}

impl Screen {
    fn show(&self, picture: String) {
        self.next.replace(Some(picture));
    }
}

fn read_level() -> u32 {
    thread::sleep(Duration::from_millis(50));
    1
}

fn start(screen: Screen, level: u32) {
    screen.show(format!("level {level}"));
    create_task(async move {
        for place in 1..=3 {
            sleep(Duration::from_millis(20)).await;
            screen.show(format!("ball at {place}"));
        }
        sleep(FRAME * 2).await;
        get_running_loop().stop();
    });
}
