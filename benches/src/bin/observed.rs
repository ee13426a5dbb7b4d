//! What it costs a loop to be observed: nanoseconds per entry of the ready queue, the best of many rounds.
//!
//! ```text
//! cargo run --release --bin observed
//! ```

use std::hint::black_box;
use std::time::{Duration, Instant};

use callsoon::{EventLoop, LoopHandle, yield_now};

const ROUNDS: u32 = 40;
const ENTRIES: u32 = 200_000;
/// Tasks that take turns, or callbacks in a row.
const WIDTH: u32 = 100;

fn main() {
    let cases: [(&str, fn(&LoopHandle) -> Box<dyn std::any::Any>); 3] = [
        ("nobody", |_| Box::new(())),
        ("watchdog", |it| {
            Box::new(it.watch(Duration::from_millis(100)))
        }),
        ("recording", |it| Box::new(it.record(10_000))),
    ];
    println!("{:12}{:>10}{:>12}", "observer", "step", "call_soon");
    for (name, attach) in cases {
        let [step, call] = [steps, calls].map(|work| {
            let best = (0..ROUNDS).map(|_| {
                let event_loop = EventLoop::new();
                let _attached = attach(&event_loop);
                let begin = Instant::now();
                work(&event_loop);
                begin.elapsed()
            });
            let best = best.min().expect("there are some");
            best.as_secs_f64() * 1e9 / f64::from(ENTRIES)
        });
        println!("{name:12}{step:>10.1}{call:>12.1}");
    }
}

fn steps(event_loop: &EventLoop) {
    for _ in 0..WIDTH {
        event_loop.create_task(async {
            for _ in 1..ENTRIES / WIDTH {
                yield_now().await;
            }
        });
    }
    while event_loop.next_deadline().is_some() {
        event_loop.run_once(None).expect("it is open");
    }
}

fn calls(event_loop: &EventLoop) {
    for _ in 0..ENTRIES / WIDTH {
        for number in 0..WIDTH {
            event_loop.call_soon(move || _ = black_box(number));
        }
        event_loop.run_once(None).expect("it is open");
    }
}
