//! A loop made by hand out of [`Coroutine`]s runs two tasks at once; then callsoon runs the same.
//!
//! You will see `Start ping`, `Start pong`, `End pong` and `End ping`, three times: until the queue
//! of the toy loop is empty, until somebody stops it, and with `gather`. Ping takes 3 seconds and
//! pong 2, on clocks that need not wait.
//!
//! ```text
//! cargo run --example ping_pong
//! ```

#![allow(clippy::print_stdout, reason = "an example shows something")]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use callsoon::{Clock, Coroutine, CoroutineState};

const PING: Duration = Duration::from_secs(3);
const PONG: Duration = Duration::from_secs(2);

fn main() {
    println!("By hand, until the queue is empty:");
    let event_loop = Rc::new(EventLoop::default());
    event_loop.push_task(ping_or_pong(&event_loop, "ping", PING), None);
    event_loop.run_until_complete(ping_or_pong(&event_loop, "pong", PONG));
    println!("It is {:?}.", event_loop.time.get());

    println!("By hand, until somebody stops it:");
    let event_loop = Rc::new(EventLoop::default());
    event_loop.push_task(ping_or_pong(&event_loop, "ping", PING), None);
    event_loop.push_task(ping_or_pong(&event_loop, "pong", PONG), None);
    event_loop.push_task(stop_later(&event_loop), None);
    event_loop.run_forever();

    println!("On callsoon:");
    on_callsoon();
}

/// What the toy's coroutines yield: what they wait for.
enum Wants {
    /// Nothing but to go on, when the others have had their turn.
    Turn,
    /// The end of another coroutine.
    End(Coro),
}

type Coro = Coroutine<Wants, ()>;

/// A coroutine that the loop runs, and the task that waits for its end, if one does.
struct Task {
    coroutine: Coro,
    waiter: Option<Box<Task>>,
}

/// A queue of tasks that can go on. Its clock says that a step takes a millisecond.
#[derive(Default)]
struct EventLoop {
    queue: RefCell<VecDeque<Task>>,
    time: Cell<Duration>,
    stopping: Cell<bool>,
}

impl EventLoop {
    fn push_task(&self, coroutine: Coro, waiter: Option<Box<Task>>) {
        let task = Task { coroutine, waiter };
        self.queue.borrow_mut().push_back(task);
    }

    /// Runs a coroutine, and everything else, until there is nothing left to run.
    fn run_until_complete(&self, coroutine: Coro) {
        self.push_task(coroutine, None);
        while self.run_next() {}
    }

    /// Runs until somebody says stop; a loop with selectors would sleep while its queue is empty.
    fn run_forever(&self) {
        while !self.stopping.take() {
            self.run_next();
        }
    }

    /// One step of one task; `false` if there is none.
    fn run_next(&self) -> bool {
        self.time.set(self.time.get() + Duration::from_millis(1));
        let Some(task) = self.queue.borrow_mut().pop_front() else {
            return false;
        };
        match task.coroutine.send(()) {
            CoroutineState::Yielded(Wants::Turn) => self.queue.borrow_mut().push_back(task),
            CoroutineState::Yielded(Wants::End(other)) => {
                self.push_task(other, Some(Box::new(task)));
            }
            CoroutineState::Complete(()) => {
                self.queue.borrow_mut().extend(task.waiter.map(|it| *it))
            }
        }
        true
    }
}

/// A task that looks at the clock again and again. A better loop has timers; see `own_event_loop`.
fn sleep(event_loop: &Rc<EventLoop>, delay: Duration) -> Coro {
    let (event_loop, end) = (event_loop.clone(), event_loop.time.get() + delay);
    Coroutine::new(async move |out| {
        while event_loop.time.get() < end {
            out.yield_(Wants::Turn).await;
        }
    })
}

fn ping_or_pong(event_loop: &Rc<EventLoop>, name: &'static str, takes: Duration) -> Coro {
    let event_loop = event_loop.clone();
    Coroutine::new(async move |out| {
        println!("Start {name}");
        out.yield_(Wants::End(sleep(&event_loop, takes))).await;
        println!("End {name}");
    })
}

fn stop_later(event_loop: &Rc<EventLoop>) -> Coro {
    let event_loop = event_loop.clone();
    Coroutine::new(async move |out| {
        let patience = Duration::from_secs(4);
        out.yield_(Wants::End(sleep(&event_loop, patience))).await;
        println!("Stop");
        event_loop.stopping.set(true);
    })
}

/// The same with a loop that somebody else has made.
fn on_callsoon() {
    async fn ping_or_pong(name: &str, takes: Duration) {
        println!("Start {name}");
        callsoon::sleep(takes).await;
        println!("End {name}");
    }

    let event_loop = callsoon::EventLoop::builder().clock(Clock::Virtual).build();
    let both =
        async { callsoon::gather((ping_or_pong("ping", PING), ping_or_pong("pong", PONG))).await };
    event_loop
        .run_until_complete(both)
        .expect("nobody stops it");
    println!("It is {:?}.", event_loop.time());
}
