//! Rare meetings: user code that panics or re-enters where the loop is busy with something else,
//! handles that outlive what they were polled in, two things at once.

use std::cell::{Cell, RefCell};
use std::future::{Future as _, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use callsoon::{EventLoop, LoopHandle, Runner, create_task, current_task, yield_now};
use futures::future::{Either, poll_immediate, select};

use crate::support::{Drops, Log, OnDrop, ms, settle, turn, virtual_loop};

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("bomb");
    }
}

/// A hook that panics takes nothing from those whom a completion wakes.
#[test]
fn panicking_wakeup_hook_loses_no_callback_and_no_awaiting_task() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let future = event_loop.create_future::<u8>();
    for name in ["a", "b", "c"] {
        let event = log.event(name);
        future.add_done_callback(move |_| event());
    }
    let task = event_loop.create_task((&future).into_future());
    turn(&event_loop);
    event_loop.set_wakeup_hook(|| panic!("hook"));
    future.set_result(1).unwrap();
    event_loop.clear_wakeup_hook();
    settle(&event_loop);
    log.expect(&["a", "b", "c"]);
    assert!(task.done());
}

/// A future held the last reference of a task that was over: its result goes while the future wakes
/// others, and a panic of its drop is reported, no more.
#[test]
fn result_that_panics_in_its_drop_while_a_future_completes_is_reported() {
    let (event_loop, reports) = (virtual_loop(), Drops::new());
    let guard = reports.clone();
    event_loop.set_exception_handler(move |_, _| drop(guard.guard()));
    let future = event_loop.create_future::<u8>();
    let outside = Rc::new(RefCell::new(future.clone()));
    let polled = outside.clone();
    drop(event_loop.create_task(poll_fn(move |cx| {
        assert!(Pin::new(&mut *polled.borrow_mut()).poll(cx).is_pending());
        Poll::Ready(Bomb)
    })));
    let waiting = event_loop.create_task((&future).into_future());
    turn(&event_loop);
    future.set_result(1).unwrap();
    settle(&event_loop);
    assert!(waiting.done());
    assert_eq!(reports.count(), 1);
}

/// Counts its wake-ups; as large as a waker of the crate, so that an allocator may give it the place
/// of one that was freed.
struct Count(
    AtomicUsize,
    #[allow(dead_code, reason = "for its size")] [u64; 2],
);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Only the waker of a step that polls is the step's own, whatever lies at its address later.
#[test]
fn waker_in_the_place_of_a_freed_one_is_woken() {
    let event_loop = virtual_loop();
    let kept: Rc<RefCell<Option<Waker>>> = Rc::default();
    let keep = kept.clone();
    event_loop.create_task(poll_fn(move |cx| {
        keep.replace(Some(cx.waker().clone()));
        Poll::Ready(())
    }));
    turn(&event_loop);

    let future = event_loop.create_future::<u8>();
    type Registered = (Arc<Count>, callsoon::Future<u8>);
    let woken: Rc<RefCell<Option<Registered>>> = Rc::default();
    let (result, mut awaited) = (woken.clone(), future.clone());
    let on_drop = OnDrop::new(move || {
        drop(kept.take());
        let count = Arc::new(Count(AtomicUsize::new(0), [0; 2]));
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(Pin::new(&mut awaited).poll(&mut cx).is_pending());
        result.replace(Some((count, awaited)));
    });
    let task = event_loop.create_task(async move { drop(on_drop) });
    task.cancel();
    turn(&event_loop);
    future.set_result(1).unwrap();
    let (count, _future) = woken.take().unwrap();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
}

/// C2: of two awaits of one future the one that is dropped is forgotten, not the other.
#[test]
fn dropping_one_of_two_awaits_of_a_future_keeps_the_other() {
    let event_loop = virtual_loop();
    let (future, gate) = (
        event_loop.create_future::<u8>(),
        event_loop.create_future::<()>(),
    );
    let (mut stale, mut live) = (Some(future.clone()), future.clone());
    let (mut passing, mut first) = (gate.clone(), true);
    let task = event_loop.create_task(poll_fn(move |cx| {
        if std::mem::take(&mut first) {
            assert!(Pin::new(stale.as_mut().unwrap()).poll(cx).is_pending());
            assert!(Pin::new(&mut passing).poll(cx).is_pending());
            return Poll::Pending;
        }
        let polled = Pin::new(&mut live).poll(cx);
        stale = None;
        polled
    }));
    turn(&event_loop);
    gate.set_result(()).unwrap();
    turn(&event_loop);
    task.cancel();
    assert!(future.cancelled());
}

/// A panic in the drop of a detached task's result is reported with the task's place.
#[test]
fn panic_in_the_drop_of_a_detached_result_is_reported_where_the_task_was_made() {
    let event_loop = virtual_loop();
    let lines: Rc<RefCell<Vec<u32>>> = Rc::default();
    let seen = lines.clone();
    event_loop.set_exception_handler(move |_, context| {
        seen.borrow_mut().push(context.created_at().unwrap().line());
    });
    event_loop.call_soon(|| ());
    drop(event_loop.create_task(async { Bomb }));
    let line = line!() - 1;
    turn(&event_loop);
    assert_eq!(*lines.borrow(), [line]);
}

/// A `Drop` that schedules itself again for ever does not keep the loop from closing, nor leaks.
#[test]
fn drop_that_always_reschedules_ends_with_the_loop() {
    struct Again(LoopHandle, Rc<()>);
    impl Drop for Again {
        fn drop(&mut self) {
            if !self.0.is_closed() {
                let again = Again(self.0.clone(), self.1.clone());
                self.0.call_soon(move || drop(again));
            }
        }
    }
    let (event_loop, token) = (virtual_loop(), Rc::new(()));
    let again = Again(event_loop.handle(), token.clone());
    event_loop.call_soon(move || drop(again));
    drop(event_loop);
    assert_eq!(Rc::strong_count(&token), 1);
}

/// While a task is unwound nothing is taken from futures of other loops either.
#[test]
fn unwinding_takes_no_result_of_another_loop() {
    let (one, other) = (virtual_loop(), virtual_loop());
    let done = one.create_future::<u8>();
    done.set_result(5).unwrap();
    let cancelled = other.create_future::<u8>();
    cancelled.cancel();
    let moving = done.take();
    let task = other.create_task(async move { futures::join!(cancelled, moving) });
    assert!(other.run_until_complete(task).is_err());
    assert_eq!(done.result().unwrap(), 5);
}

/// A handler set on a closed loop is dropped: nothing will happen, and it may hold the loop.
#[test]
fn handler_set_on_a_closed_loop_is_dropped() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let (handle, guard) = (event_loop.handle(), drops.guard());
    drop(event_loop);
    let own = handle.clone();
    handle.set_exception_handler(move |_, _| {
        let _ = (&own, &guard);
    });
    assert_eq!(drops.count(), 1);
}

/// C14: two cancels before delivery are delivered as one, also where it is met as a value.
#[test]
fn two_cancels_before_delivery_give_one_outcome() {
    for cancels in [1, 2, 3] {
        let event_loop = virtual_loop();
        let future = event_loop.create_future::<u8>();
        let awaited = future.clone();
        let task = event_loop.create_task(async move { awaited.outcome().await.is_err() });
        turn(&event_loop);
        for _ in 0..cancels {
            assert!(task.cancel());
        }
        assert_eq!(task.cancelling(), cancels);
        assert!(event_loop.run_until_complete(task).unwrap());
    }
}

/// Work that is announced and taken back does not end a turn that waits for something else.
#[test]
fn announced_work_that_does_not_come_does_not_end_a_wait() {
    let event_loop = EventLoop::new();
    event_loop.call_later(ms(5), || ());
    drop(event_loop.remote().expect_work());
    assert_eq!(event_loop.run_once(None).unwrap().ran, 1);
}

/// A result that is discarded because main cancelled itself panics in its drop: reported.
#[test]
fn discarded_result_of_main_that_panics_in_its_drop_is_reported() {
    let mut runner = Runner::new();
    let reports = Drops::new();
    let guard = reports.clone();
    let handle = runner.get_loop().unwrap();
    handle.set_exception_handler(move |_, _| drop(guard.guard()));
    let run = catch_unwind(AssertUnwindSafe(|| {
        let result = runner.run(async {
            current_task().unwrap().cancel();
            Bomb
        });
        result.map(std::mem::forget).is_err()
    }));
    assert!(run.unwrap());
    assert_eq!(reports.count(), 1);
}

/// A value goes with its last handle, in the task that drops it, also if the task has polled it.
#[test]
fn value_goes_with_its_last_handle_though_it_was_awaited_before() {
    let event_loop = virtual_loop();
    let (handle, seen) = (event_loop.handle(), Rc::new(Cell::new(None)));
    let task = event_loop.create_task(async move {
        let future = handle.create_future();
        let mut polled = future.clone();
        assert!(poll_immediate(&mut polled).await.is_none());
        let noted = seen.clone();
        let guard = OnDrop::new(move || noted.set(Some(current_task().is_some())));
        assert!(future.set_result(Rc::new(guard)).is_ok());
        drop((future, polled));
        seen.get()
    });
    assert_eq!(event_loop.run_until_complete(task).unwrap(), Some(true));
}

/// `yield_now` polled again in the same step has not yielded yet.
#[test]
fn yield_now_polled_twice_in_a_step_still_yields() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        let other = create_task(async {});
        let mut yielding = yield_now();
        for _ in 0..3 {
            let raced = select(&mut yielding, std::future::ready(())).await;
            assert!(matches!(raced, Either::Right(_)));
        }
        assert!(!other.done());
        yielding.await;
        other.done()
    });
    assert!(event_loop.run_until_complete(task).unwrap());
}

/// Several drops that panic while the loop closes are reported one by one.
#[test]
fn callbacks_of_a_pending_task_that_all_panic_in_their_drop_do_not_abort() {
    let (event_loop, reports) = (virtual_loop(), Drops::new());
    let guard = reports.clone();
    let task = event_loop.create_task(std::future::pending::<()>());
    for _ in 0..2 {
        let bomb = Bomb;
        task.add_done_callback(move |_| {
            let _bomb = &bomb;
        });
    }
    turn(&event_loop);
    event_loop.set_exception_handler(move |_, context| {
        if context.panic().is_some() {
            drop(guard.guard());
        }
    });
    drop(event_loop);
    assert_eq!(reports.count(), 2);
}

/// The coroutine and its result both panic in their drops: two panics, one after the other.
#[test]
fn coroutine_and_result_that_both_panic_in_their_drop_do_not_abort() {
    struct Returns(#[allow(dead_code, reason = "for its drop")] Bomb);
    impl std::future::Future for Returns {
        type Output = Bomb;

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Bomb> {
            Poll::Ready(Bomb)
        }
    }
    let event_loop = virtual_loop();
    let task = event_loop.create_task(Returns(Bomb));
    turn(&event_loop);
    assert!(matches!(
        task.with_result(|outcome| outcome.map(|_| ()).map_err(Clone::clone)),
        Err(callsoon::ResultError::Panicked(_))
    ));
}
