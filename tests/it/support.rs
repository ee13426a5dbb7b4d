//! What the tests share.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use callsoon::{Clock, EventLoop, Task, sleep};

/// A loop on virtual time.
#[track_caller]
pub(crate) fn virtual_loop() -> EventLoop {
    EventLoop::builder().clock(Clock::Virtual).build()
}

/// `n` milliseconds.
pub(crate) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Runs one turn that does not wait, and gives how many entries it ran.
#[track_caller]
pub(crate) fn turn(event_loop: &EventLoop) -> usize {
    event_loop.run_once(Some(Duration::ZERO)).unwrap().ran
}

/// Runs turns until nothing is ready, without moving the clock.
#[track_caller]
pub(crate) fn settle(event_loop: &EventLoop) {
    while event_loop.next_deadline() == Some(Duration::ZERO) {
        turn(event_loop);
    }
}

/// Runs a coroutine in a task, and gives in which turn after its first step it ended, and the task.
/// Timers that are not due make it fail: what is measured takes no time.
#[track_caller]
pub(crate) fn turns_of<T: 'static>(
    event_loop: &EventLoop,
    coroutine: impl Future<Output = T> + 'static,
) -> (usize, Task<T>) {
    let task = event_loop.create_task(coroutine);
    turn(event_loop);
    for turns in 0..100 {
        if task.done() {
            return (turns, task);
        }
        turn(event_loop);
    }
    panic!("it waits for something that does not come");
}

/// A coroutine that fails at once.
pub(crate) async fn fails(error: &'static str) -> Result<(), &'static str> {
    Err(error)
}

/// Fails `delay` after it starts.
pub(crate) async fn fails_after(delay: u64, error: &'static str) -> Result<(), &'static str> {
    sleep(ms(delay)).await;
    Err(error)
}

/// A list of events that closures share.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn push(&self, event: impl fmt::Display) {
        self.0.borrow_mut().push(event.to_string());
    }

    /// A closure that logs `event`.
    pub(crate) fn event(&self, event: impl fmt::Display) -> Box<dyn FnOnce()> {
        let (log, event) = (self.clone(), event.to_string());
        Box::new(move || log.push(event))
    }

    /// Takes the events out.
    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }

    /// Compares the events so far, and takes them out.
    #[track_caller]
    pub(crate) fn expect(&self, events: &[&str]) {
        assert_eq!(self.take(), events);
    }
}

/// Counts how often its guards are dropped.
#[derive(Clone, Default)]
pub(crate) struct Drops(Rc<Cell<usize>>);

impl Drops {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn guard(&self) -> DropGuard {
        DropGuard(self.0.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.get()
    }
}

pub(crate) struct DropGuard(Rc<Cell<usize>>);

impl Drop for DropGuard {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Calls a closure when it is dropped.
pub(crate) struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> OnDrop<F> {
    pub(crate) fn new(action: F) -> Self {
        Self(Some(action))
    }
}

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(action) = self.0.take() {
            action();
        }
    }
}

/// A [`Log`] whose events begin with the number of the turn, counted from 0 as in asyncio's traces.
#[derive(Clone, Default)]
pub(crate) struct Turns {
    log: Log,
    turn: Rc<Cell<usize>>,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn push(&self, event: impl fmt::Display) {
        self.log.push(format_args!("{} {event}", self.turn.get()));
    }

    /// A done-callback that logs `name` and how the future ended.
    pub(crate) fn done<T: 'static>(
        &self,
        name: &'static str,
    ) -> impl FnOnce(&callsoon::Future<T>) + 'static {
        let log = self.clone();
        move |future| {
            let end = if future.cancelled() {
                "cancelled"
            } else {
                "done"
            };
            log.push(format_args!("{name} {end}"));
        }
    }

    /// Takes the events out.
    pub(crate) fn take(&self) -> Vec<String> {
        self.log.take()
    }

    /// Compares the events so far, and takes them out.
    #[track_caller]
    pub(crate) fn expect(&self, events: &[&str]) {
        self.log.expect(events);
    }

    /// Runs `main` turn by turn, the first of them turn 0.
    #[track_caller]
    pub(crate) fn run<T: 'static>(
        &self,
        event_loop: &EventLoop,
        main: impl Future<Output = T> + 'static,
    ) -> T {
        let main = event_loop.create_task(main);
        for turn in 0..10_000 {
            if main.done() {
                break;
            }
            self.turn.set(turn);
            event_loop.run_once(None).unwrap();
        }
        event_loop.run_until_complete(main).unwrap()
    }
}

/// Takes some turns, and logs when it begins and ends.
pub(crate) async fn steps(log: Turns, name: &'static str, turns: usize) -> &'static str {
    log.push(format_args!("{name} starts"));
    for _ in 0..turns {
        callsoon::yield_now().await;
    }
    log.push(format_args!("{name} ends"));
    name
}

/// A future of the running loop that is done.
#[track_caller]
pub(crate) fn done_future<T>(value: T) -> callsoon::Future<T> {
    let future = callsoon::create_future();
    assert!(future.set_result(value).is_ok());
    future
}

/// Logs what is reported to the exception handler.
pub(crate) fn reports_to(event_loop: &EventLoop, log: &Log) {
    let log = log.clone();
    event_loop.set_exception_handler(move |_, context| log.push(context.message()));
}
