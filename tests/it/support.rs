//! What the tests share.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::time::Duration;

use callsoon::{Clock, EventLoop, Task, sleep};
use futures::FutureExt;
use futures::future::LocalBoxFuture;

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

/// Runs something that panics, and gives the message.
#[track_caller]
pub(crate) fn panic_message(act: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(act)).expect_err("it should panic");
    message(&*panic)
}

/// What a panic says.
#[track_caller]
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().cloned();
    let text = text.or_else(|| {
        payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
    });
    text.expect("it panics with text")
}

/// How something that is suspended comes to its end before its time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    Cancel,
    Drop,
}

/// What [`stop_at_every_point`] stops, and how things must be afterwards.
pub(crate) struct Scene {
    victim: LocalBoxFuture<'static, ()>,
    check: Box<dyn FnOnce(&EventLoop)>,
}

impl Scene {
    pub(crate) fn new(
        victim: impl Future<Output = ()> + 'static,
        check: impl FnOnce(&EventLoop) + 'static,
    ) -> Self {
        Self {
            victim: victim.boxed_local(),
            check: Box::new(check),
        }
    }
}

/// More turns than any scene takes.
const TOO_MANY_TURNS: usize = 50;

/// Runs a scene again and again. Each time its victim, which starts behind everything that the scene has
/// started, is stopped one turn later; the others go on until nothing is left to do. Ends when the victim
/// gets to its end unharmed, and gives the number of points at which it was stopped.
#[track_caller]
pub(crate) fn stop_at_every_point(scene: impl Fn(&EventLoop) -> Scene) -> usize {
    let cancelled = (0..).take_while(|&turns| stop_after(turns, Stop::Cancel, &scene));
    let dropped = (0..).take_while(|&turns| stop_after(turns, Stop::Drop, &scene));
    let (cancelled, dropped) = (cancelled.count(), dropped.count());
    assert_eq!(cancelled, dropped, "it is suspended as often");
    assert!(cancelled > 0, "it is not suspended at all");
    cancelled
}

/// Stops the victim after its first step and so many turns; false if there is nothing left to stop.
fn stop_after(turns: usize, stop: Stop, scene: &impl Fn(&EventLoop) -> Scene) -> bool {
    assert!(turns < TOO_MANY_TURNS, "it does not come to its end");
    let event_loop = virtual_loop();
    let Scene { victim, check } = scene(&event_loop);
    let victim = Victim::spawn(&event_loop, victim);
    for _ in 0..=turns {
        turn(&event_loop);
    }
    let stopped = victim.stop(stop);
    if stopped {
        event_loop.run_forever();
        assert!(victim.task.done());
        check(&event_loop);
    }
    stopped
}

/// A task that can be stopped in every way.
pub(crate) struct Victim {
    task: Task<()>,
    /// Its coroutine, while it is suspended. The task's alone, so that it is dropped with that.
    suspended: Weak<RefCell<Option<LocalBoxFuture<'static, ()>>>>,
}

impl Victim {
    pub(crate) fn spawn(
        event_loop: &EventLoop,
        coroutine: impl Future<Output = ()> + 'static,
    ) -> Self {
        let of_the_task = Rc::new(RefCell::new(Some(coroutine.boxed_local())));
        let suspended = Rc::downgrade(&of_the_task);
        let task = event_loop.create_task(poll_fn(move |cx| {
            // Not borrowed while it runs.
            let mut coroutine = of_the_task.take().expect("it goes with the task");
            let polled = coroutine.poll_unpin(cx);
            if polled.is_pending() {
                of_the_task.replace(Some(coroutine));
            }
            polled
        }));
        Self { task, suspended }
    }

    /// Stops it; false if it was at its end already.
    pub(crate) fn stop(&self, stop: Stop) -> bool {
        if self.task.done() {
            return false;
        }
        if let Stop::Drop = stop {
            drop(self.suspended.upgrade().map(|coroutine| coroutine.take()));
        }
        // What was dropped is awaited no more: its task is only done away with.
        self.task.cancel()
    }
}
