//! Panics of user code, wherever it is called: reported or passed on, and nothing else is lost.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use callsoon::{EventLoop, PanicError, ResultError, Task, create_task, current_task, yield_now};

use crate::support::{Drops, Log, OnDrop, ms, settle, turn, virtual_loop};

// ---- coroutines

/// A panic of a coroutine ends its task alone; its locals are dropped, and the turn goes on.
#[test]
fn coroutine_that_panics_ends_its_task_alone() {
    let (event_loop, log) = reporting_loop();
    let drops = Drops::new();
    let guard = drops.guard();
    let task: Task<()> = event_loop.create_task(async move {
        let _guard = guard;
        panic!("bug {}", 7);
    });
    event_loop.call_soon(log.event("goes on"));
    turn(&event_loop);
    log.expect(&["goes on"]);
    assert_eq!(drops.count(), 1);
    assert!(task.done() && !task.cancelled());
    assert_eq!(panic_of(&task).message(), "bug 7");
    assert!(event_loop.all_tasks().is_empty());
}

/// The first awaiter goes on with the payload itself, the second with a panic that names the task
/// and repeats the message.
#[test]
fn first_awaiter_gets_the_payload_and_the_second_the_message() {
    let (event_loop, _log) = reporting_loop();
    let broken: Task<()> = event_loop
        .task(async { panic_any(Payload(5)) })
        .name("broken")
        .spawn();
    let first = event_loop.create_task((*broken).clone());
    let second = event_loop.create_task((*broken).clone());
    settle(&event_loop);
    let payload = panic_of(&first).take_payload().unwrap();
    assert_eq!(payload.downcast_ref::<Payload>().unwrap().0, 5);
    let message = panic_of(&second).message().to_owned();
    assert!(
        message.starts_with("task 'broken' (created at ")
            && message.ends_with(") panicked: (a payload that is no text)"),
        "{message}"
    );
}

/// A panic passes up a chain of awaiting tasks with its payload, and out of the run.
#[test]
fn panic_passes_up_a_chain_and_out_of_the_run() {
    let (event_loop, log) = reporting_loop();
    let result = catch_unwind(AssertUnwindSafe(|| {
        event_loop.run_until_complete(async {
            let inner = create_task(async {
                yield_now().await;
                panic_any(Payload(9));
            });
            let middle = create_task(inner);
            middle.await;
        })
    }));
    let payload = result.unwrap_err();
    assert_eq!(payload.downcast_ref::<Payload>().unwrap().0, 9);
    log.expect(&[]);
    assert!(!event_loop.is_running());
    assert_eq!(event_loop.run_until_complete(async { 1 }).unwrap(), 1);
}

/// An await of a panicked task leaves it panicked: `result` and `outcome` still tell.
#[test]
fn panic_stays_readable_after_it_was_passed_on() {
    let (event_loop, _log) = reporting_loop();
    let broken: Task<()> = event_loop.create_task(async { panic!("bug") });
    let awaiter = event_loop.create_task((*broken).clone());
    settle(&event_loop);
    assert!(matches!(awaiter.result(), Err(ResultError::Panicked(_))));
    assert_eq!(panic_of(&broken).message(), "bug");
    assert!(panic_of(&broken).take_payload().is_none());
}

/// X1 for tasks: a panic that nobody looked at is reported when the last handle goes (T5).
#[test]
fn panic_that_nobody_looks_at_is_reported_with_the_last_handle() {
    let (event_loop, log) = reporting_loop();
    let task: Task<()> = event_loop.create_task(async { panic!("unseen") });
    turn(&event_loop);
    log.expect(&[]);
    drop(task);
    log.expect(&["task panic was never retrieved: unseen"]);

    drop(event_loop.create_task(async { panic!("detached") }));
    turn(&event_loop);
    log.expect(&["task panic was never retrieved: detached"]);

    let seen: Task<()> = event_loop.create_task(async { panic!("seen") });
    turn(&event_loop);
    let _ = seen.result();
    drop(seen);
    log.expect(&[]);
}

/// A panic while the step unwinds from a cancellation wins: the task is not cancelled.
#[test]
fn coroutine_that_panics_while_a_cancelled_future_unwinds_it() {
    let (event_loop, _log) = reporting_loop();
    let future = event_loop.create_future::<()>();
    let mut awaited = future.clone();
    let task = event_loop.create_task(std::future::poll_fn(
        move |cx| match std::future::Future::poll(Pin::new(&mut awaited), cx) {
            Poll::Pending if awaited.done() => panic!("in the unwinding step"),
            poll => poll,
        },
    ));
    turn(&event_loop);
    task.cancel();
    turn(&event_loop);
    assert!(!task.cancelled());
    assert_eq!(panic_of(&task).message(), "in the unwinding step");
}

/// After a panic the next step is in order: the state of the step that died is gone.
#[test]
fn step_after_a_panic_is_in_order() {
    let (event_loop, log) = reporting_loop();
    let (send, receive) = futures::channel::oneshot::channel::<u32>();
    let _broken: Task<()> = event_loop.create_task(std::future::poll_fn(|cx| {
        let _clone = cx.waker().clone();
        panic!("bug")
    }));
    let fine = event_loop.create_task(async move {
        yield_now().await;
        (receive.await.unwrap(), current_task().unwrap().name())
    });
    fine.set_name("fine");
    event_loop.call_soon(move || {
        assert!(current_task().is_none());
        send.send(3).unwrap();
    });
    settle(&event_loop);
    assert_eq!(fine.result().unwrap(), (3, "fine".to_owned()));
    log.expect(&[]);
}

/// A panic that is not text is told as such.
#[test]
fn panic_error_tells_message_place_and_payload() {
    let (event_loop, _log) = reporting_loop();
    let line = line!() + 1;
    let task: Task<()> = event_loop.create_task(async { panic_any(Payload(1)) });
    turn(&event_loop);
    let panic = panic_of(&task);
    assert_eq!(panic.message(), "(a payload that is no text)");
    assert_eq!(panic.created_at().line(), line);
    assert_eq!(panic.created_at().file(), file!());
    assert_eq!(
        panic
            .take_payload()
            .unwrap()
            .downcast::<Payload>()
            .unwrap()
            .0,
        1
    );
    assert!(panic.take_payload().is_none());
    assert!(panic.clone().take_payload().is_none());
}

// ---- Drop

/// A coroutine whose `Drop` panics, when it has returned or unwinds, ends its task with that panic,
/// as an exception in a `finally` does; the panic of a coroutine that panicked before stands.
#[test]
fn coroutine_whose_drop_panics_ends_with_that_panic() {
    /// Ends as it is told, and panics in its drop.
    struct Bad(fn() -> Poll<u32>);
    impl std::future::Future for Bad {
        type Output = u32;
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u32> {
            (self.0)()
        }
    }
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    let (event_loop, log) = reporting_loop();
    let returned = event_loop.create_task(Bad(|| Poll::Ready(1)));
    let cancelled = event_loop.create_task(Bad(|| Poll::Pending));
    let panicked = event_loop.create_task(Bad(|| panic!("in poll")));
    event_loop.call_soon(log.event("goes on"));
    turn(&event_loop);
    log.expect(&["panic in drop of a coroutine: in drop", "goes on"]);
    cancelled.cancel();
    turn(&event_loop);
    log.expect(&[]);
    assert_eq!(panic_of(&returned).message(), "in drop");
    assert_eq!(panic_of(&cancelled).message(), "in drop");
    assert!(!cancelled.cancelled());
    assert_eq!(panic_of(&panicked).message(), "in poll");
}

/// A closure whose drop panics as it is cancelled: the panic is the caller's.
#[test]
fn cancel_of_a_callback_whose_drop_panics_panics_and_cancels() {
    let (event_loop, log) = reporting_loop();
    let bomb = bomb("bomb");
    let handle = event_loop.call_soon(move || drop(bomb));
    let cancelling = catch_unwind(AssertUnwindSafe(|| handle.cancel()));
    assert!(cancelling.is_err());
    assert!(handle.cancelled());
    handle.cancel();
    event_loop.call_soon(log.event("next"));
    turn(&event_loop);
    log.expect(&["next"]);
}

/// A closure whose captures panic when they are dropped after its run: a panic in a callback.
#[test]
fn callback_whose_captures_panic_is_reported() {
    let (event_loop, log) = reporting_loop();
    let bomb = bomb("bomb");
    let events = log.clone();
    event_loop.call_soon(move || {
        let _bomb = bomb;
        events.push("ran");
    });
    event_loop.call_soon(log.event("next"));
    turn(&event_loop);
    log.expect(&["ran", "panic in a callback: bomb", "next"]);
}

/// A discarded result whose drop panics is reported, and the task ends as it should.
#[test]
fn discarded_result_whose_drop_panics_is_reported() {
    let (event_loop, log) = reporting_loop();
    let task = event_loop.create_task(async {
        current_task().unwrap().cancel();
        bomb("result")
    });
    event_loop.call_soon(log.event("next"));
    turn(&event_loop);
    log.expect(&["panic in drop: result", "next"]);
    assert!(task.cancelled());
}

/// So is the result of a task that nobody holds.
#[test]
fn result_of_a_detached_task_whose_drop_panics_is_reported() {
    let (event_loop, log) = reporting_loop();
    drop(event_loop.create_task(async { bomb("result") }));
    event_loop.call_soon(log.event("next"));
    turn(&event_loop);
    let events = log.take();
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(events[0].ends_with(": result"), "{events:?}");
    assert_eq!(events[1], "next");
    assert!(event_loop.all_tasks().is_empty());
}

/// A removed done-callback whose drop panics: the panic is the caller's, the registration is gone.
#[test]
fn removal_of_a_callback_whose_drop_panics_panics_and_removes() {
    let (event_loop, log) = reporting_loop();
    let future = event_loop.create_future::<u32>();
    let bomb = bomb("bomb");
    let id = future.add_done_callback(move |_| drop(bomb));
    let events = log.clone();
    future.add_done_callback(move |_| events.push("other"));
    assert!(catch_unwind(AssertUnwindSafe(|| future.remove_done_callback(id))).is_err());
    assert!(!future.remove_done_callback(id));
    future.set_result(1).unwrap();
    turn(&event_loop);
    log.expect(&["other"]);
}

/// A chain of pending futures in which one callback's drop panics: the others are dropped, too.
#[test]
fn panic_in_a_flat_drop_loses_nothing() {
    let event_loop = virtual_loop();
    let drops = Drops::new();
    let first = event_loop.create_future::<()>();
    let mut last = first.clone();
    for i in 0..10 {
        let (next, guard) = (event_loop.create_future::<()>(), drops.guard());
        let held = next.clone();
        let explosive = (i == 4).then(|| bomb("bomb"));
        last.add_done_callback(move |_| drop((held, guard, explosive)));
        last = next;
    }
    drop(last);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(first))).is_err());
    assert_eq!(drops.count(), 10);
    // And the next one is flat again.
    let future = event_loop.create_future::<()>();
    let guard = drops.guard();
    future.add_done_callback(move |_| drop(guard));
    drop(future);
    assert_eq!(drops.count(), 11);
}

// ---- wakers, Clone, closures, handlers

/// A foreign waker that panics is reported; the others are woken, the callbacks are queued, and
/// `set_result` returns.
#[test]
fn panicking_waker_is_reported_and_the_rest_is_woken() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("waker");
        }
    }
    let (event_loop, log) = reporting_loop();
    let future = event_loop.create_future::<u32>();
    let waker = Waker::from(Arc::new(Panics));
    let mut awaited = future.clone();
    let mut cx = Context::from_waker(&waker);
    assert!(std::future::Future::poll(Pin::new(&mut awaited), &mut cx).is_pending());
    let events = log.clone();
    future.add_done_callback(move |_| events.push("callback"));
    let task = event_loop.create_task(future.clone());
    turn(&event_loop);
    future.set_result(1).unwrap();
    log.expect(&["panic in waker: waker"]);
    turn(&event_loop);
    log.expect(&["callback"]);
    assert_eq!(task.result().unwrap(), 1);
}

/// A `Clone` that panics: the panic is the reader's, and the result stays.
#[test]
fn panicking_clone_leaves_the_result() {
    struct Fragile(Rc<Cell<bool>>);
    impl Clone for Fragile {
        fn clone(&self) -> Self {
            assert!(!self.0.get(), "clone");
            Self(self.0.clone())
        }
    }
    let (event_loop, log) = reporting_loop();
    let fragile = Rc::new(Cell::new(true));
    let future = event_loop.create_future();
    assert!(future.set_result(Fragile(fragile.clone())).is_ok());
    assert!(catch_unwind(AssertUnwindSafe(|| future.result())).is_err());
    let awaiter = event_loop.create_task(future.clone());
    turn(&event_loop);
    assert_eq!(panic_of(&awaiter).message(), "clone");
    fragile.set(false);
    assert!(future.result().is_ok());
    assert!(future.take_result().is_ok());
    log.expect(&[]);
}

/// A `with_result` closure that panics leaves the result readable and takeable.
#[test]
fn panicking_with_result_closure_leaves_the_result() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future();
    future.set_result(3).unwrap();
    let looking = catch_unwind(AssertUnwindSafe(|| {
        future.with_result(|_| panic!("look"));
    }));
    assert!(looking.is_err());
    assert_eq!(future.take_result().unwrap(), 3);
}

/// X2: a handler that panics does not take the loop down, nor the batch.
#[test]
fn panicking_handler_does_not_take_the_loop_down() {
    let event_loop = virtual_loop();
    let log = Log::new();
    event_loop.set_exception_handler(|_, _| panic!("handler"));
    event_loop.call_soon(|| panic!("callback"));
    event_loop.call_soon(log.event("next"));
    drop(event_loop.create_task(async { panic!("task") }));
    event_loop.call_soon(log.event("last"));
    turn(&event_loop);
    log.expect(&["next", "last"]);
}

/// A panic whose payload panics when it is dropped is one more panic, and no more.
#[test]
fn payload_whose_drop_panics_does_not_take_the_loop_down() {
    struct Twice;
    impl Drop for Twice {
        fn drop(&mut self) {
            panic!("payload");
        }
    }
    let (event_loop, log) = reporting_loop();
    event_loop.call_soon(|| panic_any(Twice));
    event_loop.call_soon(log.event("next"));
    let turned = catch_unwind(AssertUnwindSafe(|| turn(&event_loop)));
    assert!(turned.is_ok(), "it came out of the turn");
    let events = log.take();
    assert!(events[0].starts_with("panic in a callback"), "{events:?}");
    assert_eq!(events.last().unwrap(), "next");
}

// ---- closing

/// Panics of whatever is dropped while the loop closes are reported, and everything is dropped.
#[test]
fn panics_while_the_loop_closes_are_reported_and_lose_nothing() {
    let (event_loop, log) = reporting_loop();
    let drops = Drops::new();
    for _ in 0..2 {
        let (a, b, c, d) = (drops.guard(), drops.guard(), drops.guard(), drops.guard());
        let (w, x, y, z) = (bomb("task"), bomb("callback"), bomb("timer"), bomb("done"));
        event_loop.create_task(async move { drop((w, a)) });
        event_loop.call_soon(move || drop((x, b)));
        event_loop.call_later(ms(1), move || drop((y, c)));
        let future = event_loop.create_future::<()>();
        future.add_done_callback(move |_| drop((z, d)));
        future.cancel();
    }
    drop(event_loop);
    assert_eq!(drops.count(), 8);
    let mut events = log.take();
    for text in ["task", "callback", "timer", "done"] {
        let before = events.len();
        events.retain(|event| !event.ends_with(&format!(": {text}")));
        assert_eq!(before - events.len(), 2, "{text}");
    }
    assert_eq!(events, ["task was destroyed but it is pending: ?"; 2]);
}

/// A loop that is dropped while its thread unwinds is closed in order.
#[test]
fn loop_dropped_while_the_thread_unwinds_is_closed_in_order() {
    let drops = Drops::new();
    let guards = (drops.guard(), drops.guard());
    let result = catch_unwind(AssertUnwindSafe(move || {
        let event_loop = virtual_loop();
        let handle = event_loop.handle();
        let (a, b) = guards;
        event_loop.create_task(async move { drop(a) });
        let scheduling = OnDrop::new(move || {
            handle.call_soon(move || drop(b));
        });
        event_loop.call_soon(move || drop(scheduling));
        panic!("unwinding");
    }));
    assert_eq!(
        *result.unwrap_err().downcast::<&str>().unwrap(),
        "unwinding"
    );
    assert_eq!(drops.count(), 2);
}

// ---- helpers

struct Payload(u8);

/// Panics when it is dropped.
fn bomb(text: &'static str) -> OnDrop<impl FnOnce()> {
    OnDrop::new(move || panic!("{text}"))
}

fn reporting_loop() -> (EventLoop, Log) {
    let event_loop = virtual_loop();
    let log = Log::new();
    let events = log.clone();
    event_loop.set_exception_handler(move |_, context| {
        let what = context.panic().map_or("?", PanicError::message);
        events.push(format!("{}: {what}", context.message()));
    });
    (event_loop, log)
}

fn panic_of<T>(task: &Task<T>) -> PanicError {
    task.with_result(|result| match result {
        Err(ResultError::Panicked(panic)) => panic.clone(),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it has a result"),
    })
}
