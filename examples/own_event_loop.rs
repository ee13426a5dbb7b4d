//! An event loop of one's own, in some sixty lines: a queue, timers, tasks, and results that others wait for.
//!
//! You will see two cooks and a waiter at work, with the time. All the loop knows is what coroutines
//! ask it for; to them, asking is an `.await` like any other. This is how asyncio's loop and its
//! coroutines deal with each other, made small enough for a blackboard.
//!
//! ```text
//! cargo run --example own_event_loop
//! ```

#![allow(clippy::print_stdout, reason = "an example shows something")]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use callsoon::{Coroutine, CoroutineState, Yielder};

// The loop, from here ...

/// What a coroutine asks the loop for; the answer is a number.
enum Ask {
    /// To go on in so many minutes. Answer: the time.
    Sleep(u64),
    /// To run another coroutine. Answer: its number, at once.
    Spawn(Program),
    /// To go on when that one is over. Answer: what it returned.
    Join(u64),
}

type Program = Coroutine<Ask, u64, u64>;

#[derive(Default)]
struct TinyLoop {
    now: u64,
    programs: Vec<Program>,
    /// Who can go on, and with which answer.
    ready: VecDeque<(u64, u64)>,
    /// When somebody can go on: the earliest first, and of those the first who asked.
    timers: BinaryHeap<Reverse<(u64, u64, u64)>>,
    results: BTreeMap<u64, u64>,
    /// Who waits for whose end.
    waiters: BTreeMap<u64, Vec<u64>>,
}

impl TinyLoop {
    fn spawn(&mut self, program: Program) -> u64 {
        let id = self.programs.len() as u64;
        self.programs.push(program);
        self.ready.push_back((id, self.now));
        id
    }

    fn run(&mut self, main: Program) -> u64 {
        let main = self.spawn(main);
        for number in 0.. {
            let Some((id, answer)) = self.ready.pop_front().or_else(|| self.next_timer()) else {
                break;
            };
            match self.programs[id as usize].send(answer) {
                CoroutineState::Yielded(Ask::Sleep(minutes)) => {
                    self.timers.push(Reverse((self.now + minutes, number, id)));
                }
                CoroutineState::Yielded(Ask::Spawn(program)) => {
                    let spawned = self.spawn(program);
                    self.ready.push_front((id, spawned));
                }
                CoroutineState::Yielded(Ask::Join(other)) => match self.results.get(&other) {
                    Some(result) => self.ready.push_front((id, *result)),
                    None => self.waiters.entry(other).or_default().push(id),
                },
                CoroutineState::Complete(result) => {
                    self.results.insert(id, result);
                    let waiters = self.waiters.remove(&id).unwrap_or_default();
                    self.ready
                        .extend(waiters.into_iter().map(|waiter| (waiter, result)));
                }
            }
        }
        self.results[&main]
    }

    /// Nobody can go on: waits for the earliest timer. (A clock on the wall would need a sleep here.)
    fn next_timer(&mut self) -> Option<(u64, u64)> {
        let Reverse((when, _, id)) = self.timers.pop()?;
        self.now = when;
        Some((id, self.now))
    }
}

// ... to here. What follows are its users.

type Kitchen = Yielder<Ask, u64>;

fn cook(dish: &'static str, minutes: u64, price: u64) -> Program {
    Coroutine::receiving(async move |kitchen: Kitchen, now| {
        println!("{now:>2}: {dish}, begun");
        let now = kitchen.yield_(Ask::Sleep(minutes)).await;
        println!("{now:>2}: {dish}, ready");
        price
    })
}

fn main() {
    let waiter = Coroutine::receiving(async |kitchen: Kitchen, _| {
        let mut bill = 0;
        let mut dishes = vec![];
        for dish in [cook("roast", 30, 21), cook("soup", 10, 6)] {
            dishes.push(kitchen.yield_(Ask::Spawn(dish)).await);
        }
        for dish in dishes {
            bill += kitchen.yield_(Ask::Join(dish)).await;
        }
        bill
    });
    let mut tiny_loop = TinyLoop::default();
    let bill = tiny_loop.run(waiter);
    println!("{:>2}: that makes {bill}", tiny_loop.now);
}
