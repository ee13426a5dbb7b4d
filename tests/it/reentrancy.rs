//! User code that calls back into the API from wherever it is called: no borrow is ever held, and
//! nothing is lost or done twice.

use std::cell::{Cell, RefCell};
use std::future::Future as _;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use callsoon::{
    Barrier, CancelOrigin, Condition, Event, EventLoop, Future, Handle, Lock, Queue, ResultError,
    RunError, Semaphore, TaskHandle, TimerHandle, call_later, call_soon, catch_cancel,
    create_future, create_task, current_task, get_running_loop, sleep, timeout, yield_now,
};
use futures::FutureExt;
use futures::future::LocalBoxFuture;

use crate::support::{Drops, Log, OnDrop, ms, settle, turn, virtual_loop};

// ---- callbacks that act on what they were called for

/// A callback cancels its own handle while it runs: too late, and harmless.
#[test]
fn callback_that_cancels_its_own_handle() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let slot: Rc<RefCell<Option<Handle>>> = Rc::default();
    let (own, events) = (slot.clone(), log.clone());
    let handle = event_loop.call_soon(move || {
        own.borrow().as_ref().unwrap().cancel();
        events.push("ran");
    });
    slot.replace(Some(handle.clone()));
    turn(&event_loop);
    log.expect(&["ran"]);
    assert!(handle.cancelled());
}

/// A timer's callback cancels and reschedules itself while it runs: too late, both.
#[test]
fn timer_that_cancels_and_reschedules_itself() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let slot: Rc<RefCell<Option<TimerHandle>>> = Rc::default();
    let (own, events) = (slot.clone(), log.clone());
    let timer = event_loop.call_later(ms(1), move || {
        let own = own.borrow();
        assert!(!own.as_ref().unwrap().reschedule(ms(10)));
        own.as_ref().unwrap().cancel();
        events.push("ran");
    });
    slot.replace(Some(timer));
    event_loop.run_forever();
    log.expect(&["ran"]);
    assert_eq!(event_loop.time(), ms(1));
}

/// A done-callback adds, removes, completes and cancels on its own future: all of it is too late or
/// for the next turn.
#[test]
fn done_callback_that_acts_on_its_own_future() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let future = event_loop.create_future::<u32>();
    let slot = Rc::new(Cell::new(None));
    let (own, events) = (slot.clone(), log.clone());
    let id = future.add_done_callback(move |future| {
        assert!(!future.remove_done_callback(own.take().unwrap()));
        assert!(future.set_result(2).is_err());
        assert!(!future.cancel());
        let later = events.clone();
        let added = future.add_done_callback(move |_| later.push("later"));
        assert!(!future.remove_done_callback(added));
        events.push(future.take_result().unwrap());
    });
    slot.set(Some(id));
    future.set_result(1).unwrap();
    turn(&event_loop);
    log.expect(&["1"]);
    turn(&event_loop);
    log.expect(&["later"]);
}

/// A callback stops the loop, tries to run and to close it, and drops the last handle of things.
#[test]
fn callback_that_stops_runs_and_drops() {
    let event_loop = Rc::new(virtual_loop());
    let log = Log::new();
    let future = event_loop.create_future::<u32>();
    let slot = Rc::new(RefCell::new(Some(future.clone())));
    let (inner, events) = (event_loop.clone(), log.clone());
    future.add_done_callback(move |_| {
        drop(slot.take());
        assert!(matches!(
            inner.run_once(None),
            Err(RunError::AlreadyRunning(_))
        ));
        let closing = std::panic::AssertUnwindSafe(|| inner.close());
        assert!(std::panic::catch_unwind(closing).is_err());
        assert!(!inner.is_closed());
        inner.stop();
        events.push("callback");
    });
    future.set_result(1).unwrap();
    drop(future);
    event_loop.call_soon(log.event("same turn"));
    event_loop.run_forever();
    log.expect(&["callback", "same turn"]);
    event_loop.close();
    assert!(event_loop.is_closed());
}

/// A loop that is made, run out of turn, and dropped inside a callback of another leaves that one
/// running.
#[test]
fn callback_that_makes_and_drops_a_loop() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let events = log.clone();
    event_loop.call_soon(move || {
        let outer = get_running_loop();
        let other = virtual_loop();
        let inner = other.handle();
        let events = events.clone();
        other.create_task(async move {
            let _guard = OnDrop::new(move || {
                assert_eq!(get_running_loop(), inner);
                events.push("dropped in its own loop");
            });
            std::future::pending::<()>().await;
        });
        drop(other);
        assert_eq!(get_running_loop(), outer);
    });
    turn(&event_loop);
    // Its coroutine had not started, so its local did not exist.
    log.expect(&[]);
}

/// A task drops its own handle, and every handle of the future it awaits, while it runs.
#[test]
fn task_that_drops_its_own_handle() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let slot: Rc<RefCell<Option<callsoon::Task<()>>>> = Rc::default();
    let (own, events) = (slot.clone(), log.clone());
    let task = event_loop.create_task(async move {
        drop(own.take());
        callsoon::yield_now().await;
        events.push("goes on");
    });
    slot.replace(Some(task));
    settle(&event_loop);
    log.expect(&["goes on"]);
    assert!(event_loop.all_tasks().is_empty());
}

/// The closure of a removed callback uses the API, its own future above all, when it is dropped.
#[test]
fn drop_of_a_removed_callback_may_use_its_future() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let future = event_loop.create_future::<u32>();
    let (same, events) = (future.clone(), log.clone());
    let guard = OnDrop::new(move || {
        let later = events.clone();
        same.add_done_callback(move |future| later.push(future.result().unwrap()));
        assert!(same.set_result(1).is_ok());
        events.push("dropped");
    });
    let id = future.add_done_callback(move |_| drop(guard));
    assert!(future.remove_done_callback(id));
    log.expect(&["dropped"]);
    turn(&event_loop);
    log.expect(&["1"]);
}

/// The closure of a cancelled callback or timer schedules and cancels others when it is dropped.
#[test]
fn drop_of_a_cancelled_callback_may_schedule_and_cancel() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let victim = event_loop.call_later(ms(1), log.event("victim"));
    let make_guard = || {
        let (loop_handle, events, victim) = (event_loop.handle(), log.clone(), victim.clone());
        OnDrop::new(move || {
            victim.cancel();
            loop_handle.call_soon(events.event("soon"));
            loop_handle.call_later(ms(2), events.event("later"));
        })
    };
    let guard = make_guard();
    event_loop.call_soon(move || drop(guard)).cancel();
    let guard = make_guard();
    event_loop.call_later(ms(1), move || drop(guard)).cancel();
    event_loop.run_forever();
    log.expect(&["soon", "soon", "later", "later"]);
}

// ---- Clone, Drop and closures of results

/// `T::clone` that reads, completes, cancels, and adds callbacks to the very future it is cloned
/// out of.
#[test]
fn clone_of_a_result_may_use_its_future() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let future = event_loop.create_future::<Meddler>();
    let (same, events) = (future.clone(), log.clone());
    let meddler = Meddler(Rc::new(move || {
        assert!(same.done());
        assert!(same.with_result(|result| result.is_ok()));
        assert!(same.set_result(Meddler(Rc::new(|| ()))).is_err());
        assert!(!same.cancel());
        let later = events.clone();
        let id = same.add_done_callback(move |_| later.push("callback"));
        assert!(!same.remove_done_callback(id));
        assert!(format!("{same:?}").starts_with("<Future finished"));
        events.push("cloned");
    }));
    future
        .set_result(meddler)
        .unwrap_or_else(|_| panic!("it is pending"));
    assert!(future.result().is_ok());
    log.expect(&["cloned"]);
    turn(&event_loop);
    log.expect(&["callback"]);
}

/// `T::clone` that takes the result it is cloned out of: a bug of the program, and a panic that
/// leaves the future whole.
#[test]
fn taking_a_result_while_it_is_looked_at_panics_and_keeps_it() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<u32>();
    future.set_result(5).unwrap();
    let taking = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        future.with_result(|_| future.take_result())
    }));
    let message = *taking.unwrap_err().downcast::<String>().unwrap();
    assert!(
        message.ends_with("cannot be taken while it is being looked at"),
        "{message}"
    );
    assert_eq!(future.take_result().unwrap(), 5);
}

/// A `with_result` closure that reads again, completes, cancels, adds and removes callbacks, and
/// awaits.
#[test]
fn with_result_closure_may_use_its_future() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let future = event_loop.create_future::<u32>();
    future.set_result(5).unwrap();
    future.with_result(|outer| {
        assert_eq!(*outer.unwrap(), future.result().unwrap());
        assert_eq!(future.with_result(|inner| *inner.unwrap()), 5);
        assert_eq!(future.set_result(6).unwrap_err().into_value(), 6);
        assert!(!future.cancel());
        let events = log.clone();
        let id = future.add_done_callback(move |_| events.push("callback"));
        assert!(!future.remove_done_callback(id));
        let mut other = future.clone();
        let polled = Pin::new(&mut other).poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(5));
    });
    turn(&event_loop);
    log.expect(&["callback"]);
}

/// A `with_result` closure given an error may do anything, too: nothing is borrowed then.
#[test]
fn with_result_closure_of_a_pending_future_may_complete_it() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<u32>();
    future.with_result(|result| {
        assert!(matches!(result, Err(ResultError::NotReady)));
        future.set_result(1).unwrap();
        assert_eq!(future.take_result().unwrap(), 1);
    });
    assert!(matches!(future.result(), Err(ResultError::Taken)));
}

/// The `Drop` of a result uses the API when the last handle goes.
#[test]
fn drop_of_a_result_may_schedule() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let (loop_handle, events) = (event_loop.handle(), log.clone());
    let task = event_loop.create_task(async move {
        OnDrop::new(move || {
            loop_handle.call_soon(events.event("scheduled"));
        })
    });
    turn(&event_loop);
    drop(task);
    turn(&event_loop);
    log.expect(&["scheduled"]);
}

/// A discarded result (of a task that cancelled itself) makes a task when it is dropped.
#[test]
fn drop_of_a_discarded_result_may_create_a_task() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let events = log.clone();
    let task = event_loop.create_task(async move {
        current_task().unwrap().cancel();
        OnDrop::new(move || {
            create_task(async move { events.push("spawned") });
        })
    });
    settle(&event_loop);
    assert!(task.cancelled());
    log.expect(&["spawned"]);
}

/// The `Drop` of a coroutine that unwinds spawns, completes, cancels, and adds callbacks.
#[test]
fn drop_of_an_unwinding_coroutine_may_use_everything() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let promised = event_loop.create_future::<u32>();
    let other = event_loop.create_task(std::future::pending::<()>());
    let (completes, cancels, events) = (promised.clone(), other.handle(), log.clone());
    let task = event_loop.create_task(async move {
        let _guard = OnDrop::new(move || {
            completes.set_result(1).unwrap();
            cancels.cancel();
            let spawned = events.clone();
            create_task(async move { spawned.push("spawned") });
            call_soon(events.event("soon"));
            call_later(ms(1), events.event("later"));
            drop(create_future::<()>());
        });
        std::future::pending::<()>().await;
    });
    turn(&event_loop);
    task.cancel();
    event_loop.run_forever();
    log.expect(&["spawned", "soon", "later"]);
    assert!(task.cancelled() && other.cancelled());
    assert_eq!(promised.result().unwrap(), 1);
}

// ---- wakers

/// A waker of another crate that uses the API inline, inside `set_result`: the future is done by
/// then, and everything can be called.
#[test]
fn waker_may_use_the_api_inside_set_result() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let future = event_loop.create_future::<u32>();
    let (same, events, loop_handle) = (future.clone(), log.clone(), event_loop.handle());
    let waker = local_waker(move || {
        assert!(same.set_result(2).is_err());
        assert!(!same.cancel());
        let later = events.clone();
        same.add_done_callback(move |future| later.push(future.result().unwrap()));
        loop_handle.call_soon(events.event("soon"));
        events.push("woken");
    });
    let mut awaited = future.clone();
    let polled = Pin::new(&mut awaited).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    let events = log.clone();
    future.add_done_callback(move |_| events.push("behind the waker"));
    future.set_result(1).unwrap();
    log.expect(&["woken"]);
    turn(&event_loop);
    log.expect(&["1", "soon", "behind the waker"]);
}

/// A waker that polls its future inside `set_result`.
#[test]
fn waker_may_poll_inside_set_result() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<u32>();
    let awaited = Rc::new(RefCell::new(future.clone()));
    let seen = Rc::new(Cell::new(0));
    let (inner, got) = (awaited.clone(), seen.clone());
    let waker = local_waker(move || {
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(value) = Pin::new(&mut *inner.borrow_mut()).poll(&mut cx) {
            got.set(value);
        }
    });
    let polled = Pin::new(&mut *awaited.borrow_mut()).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    future.set_result(3).unwrap();
    assert_eq!(seen.get(), 3);
}

/// A cancel that wakes a waker that cancels something else, and so on.
#[test]
fn waker_may_cancel_inside_cancel() {
    let event_loop = virtual_loop();
    let futures: Vec<Future<()>> = (0..3).map(|_| event_loop.create_future()).collect();
    let mut polled = Vec::new();
    for pair in futures.windows(2) {
        let next = pair[1].clone();
        let waker = local_waker(move || {
            next.cancel();
        });
        let mut awaited = pair[0].clone();
        let mut cx = Context::from_waker(&waker);
        assert!(Pin::new(&mut awaited).poll(&mut cx).is_pending());
        polled.push(awaited);
    }
    futures[0].cancel();
    assert!(futures.iter().all(Future::cancelled));
}

/// The last clone of a waker goes when an await is dropped, and uses the API in its `Drop`.
#[test]
fn drop_of_a_waker_may_use_its_future() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<u32>();
    let same = future.clone();
    let guard = OnDrop::new(move || {
        assert!(same.set_result(9).is_ok());
        assert!(!same.cancel());
    });
    let waker = local_waker(move || {
        let _held = &guard;
    });
    let mut awaited = future.clone();
    let polled = Pin::new(&mut awaited).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    drop(waker);
    assert!(!future.done());
    drop(awaited);
    assert_eq!(future.result().unwrap(), 9);
}

// ---- handlers

/// An exception handler schedules, replaces itself, and reports.
#[test]
fn exception_handler_may_use_everything() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let events = log.clone();
    event_loop.set_exception_handler(move |loop_handle, context| {
        events.push(format!("first: {}", context.message()));
        loop_handle.call_soon(events.event("scheduled"));
        let second = events.clone();
        loop_handle.set_exception_handler(move |_, context| {
            second.push(format!("second: {}", context.message()));
        });
        loop_handle.call_exception_handler(&callsoon::ExceptionContext::new("by hand"));
    });
    event_loop.call_soon(|| panic!("bug"));
    turn(&event_loop);
    log.expect(&["first: panic in a callback", "second: by hand"]);
    turn(&event_loop);
    log.expect(&["scheduled"]);
    event_loop.clear_exception_handler();
    assert!(event_loop.get_exception_handler().is_none());
}

/// The `Drop` of a handler that is replaced sets another one: the one it set stays.
#[test]
fn drop_of_a_replaced_handler_may_set_a_handler() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let (loop_handle, events) = (event_loop.handle(), log.clone());
    let guard = OnDrop::new(move || {
        loop_handle.set_exception_handler(move |_, _| events.push("from the drop"));
    });
    event_loop.set_exception_handler(move |_, _| {
        let _held = &guard;
    });
    event_loop.set_exception_handler(|_, _| ());
    event_loop.call_exception_handler(&callsoon::ExceptionContext::new("x"));
    log.expect(&["from the drop"]);
}

// ---- closing

/// A `Drop` during `close` cannot run the loop, and closing it again does nothing.
#[test]
fn drop_during_close_can_neither_run_nor_close_the_loop() {
    let event_loop = Rc::new(virtual_loop());
    let log = Log::new();
    let (inner, events) = (event_loop.clone(), log.clone());
    let guard = OnDrop::new(move || {
        events.push(matches!(inner.run_once(None), Err(RunError::Closed)));
        events.push(matches!(
            inner.run_until_complete(async {}),
            Err(RunError::Closed)
        ));
        inner.close();
    });
    event_loop.call_soon(move || drop(guard));
    event_loop.call_soon(log.event("never"));
    event_loop.close();
    log.expect(&["true", "true"]);
    assert!(event_loop.is_closed());
}

/// A task cancels every task, itself among them, from inside its step.
#[test]
fn task_may_cancel_all_tasks() {
    let event_loop = virtual_loop();
    let drops = Drops::new();
    for _ in 0..3 {
        let guard = drops.guard();
        event_loop.create_task(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
    }
    let task = event_loop.create_task(async {
        callsoon::all_tasks().iter().for_each(|task: &TaskHandle| {
            assert!(task.cancel());
        });
        std::future::pending::<()>().await;
    });
    settle(&event_loop);
    assert!(task.cancelled());
    assert_eq!(drops.count(), 3);
    assert!(event_loop.all_tasks().is_empty());
}

// ---- helpers

/// Calls its closure when it is cloned.
struct Meddler(Rc<dyn Fn()>);

impl Clone for Meddler {
    fn clone(&self) -> Self {
        (self.0)();
        Self(self.0.clone())
    }
}

// ---- wakers that use what their task waited for

/// A waker lets others through and drops one of them, in the middle of being woken: nothing is borrowed, and
/// whoever is left gets through in the end.
#[test]
fn wakers_that_use_what_was_waited_for() {
    let bare = Lock::new(());
    assert!(bare.acquire().now_or_never().is_some());
    let (acquiring, releasing) = (bare.clone(), bare);
    meddle(
        move || acquiring.acquire().boxed_local(),
        move || _ = releasing.release(),
    );
    let (semaphore, event) = (Semaphore::new(0), Event::new());
    let (acquiring, waiting) = (semaphore.clone(), event.clone());
    meddle(
        move || acquiring.acquire().boxed_local(),
        move || semaphore.release(),
    );
    meddle(move || waiting.wait().boxed_local(), move || event.set());
    let barrier = Barrier::new(9);
    let waiting = barrier.clone();
    meddle(
        move || waiting.wait().map(drop).boxed_local(),
        move || barrier.abort(),
    );
    let condition = Condition::new(());
    let waiting = condition.clone();
    meddle(
        move || {
            let waiting = waiting.clone();
            async move {
                let guard = waiting.lock().await;
                drop(waiting.wait(guard).await);
            }
            .boxed_local()
        },
        move || {
            let guard = condition.try_lock();
            let _ = condition.notify(1);
            drop(guard);
        },
    );
    let queue = Queue::new(0);
    let getting = queue.clone();
    meddle(
        move || getting.get().map(drop).boxed_local(),
        move || _ = queue.put_nowait(()),
    );
    let queue = Queue::new(1);
    queue.put_nowait(()).unwrap();
    let putting = queue.clone();
    meddle(
        move || putting.put(()).map(drop).boxed_local(),
        move || _ = queue.get_nowait(),
    );
    let queue = Queue::new(0);
    queue.put_nowait(()).unwrap();
    let joining = queue.clone();
    meddle(
        move || joining.join().boxed_local(),
        move || _ = queue.task_done(),
    );
    let queue = Queue::<()>::new(0);
    let getting = queue.clone();
    meddle(
        move || getting.get().map(drop).boxed_local(),
        move || queue.shutdown(true),
    );
}

/// K6: a waker, in the middle of an event's waking everybody, has so many begin to wait and leave again that
/// the line has to close up. Those who came before are woken, those who came since are not.
#[test]
fn who_joins_while_others_are_woken_is_not_woken_with_them() {
    let event_loop = virtual_loop();
    let wait_with = |event: &Event, waker: &Waker| {
        let mut waiting = event.wait().boxed_local();
        let polled = waiting.as_mut().poll(&mut Context::from_waker(waker));
        assert!(polled.is_pending());
        waiting
    };
    let is_woken = |waiting: &mut LocalBoxFuture<'static, ()>| {
        let noop = &mut Context::from_waker(Waker::noop());
        waiting.as_mut().poll(noop).is_ready()
    };
    let done = event_loop.run_until_complete(async move {
        let (event, late) = (Event::new(), Rc::new(RefCell::new(Vec::new())));
        let (meddling, joining) = (event.clone(), late.clone());
        let meddler = local_waker(move || {
            meddling.clear();
            for number in 0..100 {
                let waiting = wait_with(&meddling, Waker::noop());
                if number % 10 == 0 {
                    joining.borrow_mut().push(waiting);
                }
            }
        });
        let mut early = Vec::new();
        for number in 0..12 {
            match number {
                0 => early.push(wait_with(&event, &meddler)),
                _ if number % 4 == 0 => early.push(wait_with(&event, Waker::noop())),
                _ => drop(wait_with(&event, Waker::noop())),
            }
        }
        event.set();
        assert!(early.iter_mut().all(is_woken));
        assert_eq!(late.borrow().len(), 10);
        assert!(!late.borrow_mut().iter_mut().any(is_woken));
        event.set();
        assert!(late.borrow_mut().iter_mut().all(is_woken));
    });
    done.unwrap();
}

/// Three wait. The first one's waker drops the second, begins another wait and drops it, and makes way again.
fn meddle(
    wait: impl Fn() -> LocalBoxFuture<'static, ()> + Clone + 'static,
    make_way: impl Fn() + Clone + 'static,
) {
    let event_loop = virtual_loop();
    let second: Rc<RefCell<Option<LocalBoxFuture<'static, ()>>>> = Rc::default();
    let woken = Rc::new(Cell::new(0));
    let (dropped, again, once_more) = (second.clone(), wait.clone(), make_way.clone());
    let counted = woken.clone();
    let meddler = local_waker(move || {
        counted.set(counted.get() + 1);
        drop(dropped.take());
        drop(again());
        once_more();
    });
    let first = suspended(&event_loop, wait(), meddler.clone());
    second.replace(Some(suspended(&event_loop, wait(), Waker::noop().clone())));
    let third = event_loop.create_task(wait());
    settle(&event_loop);
    make_way();
    assert_eq!(woken.get(), 1);
    assert!(second.borrow().is_none());
    drop(first);
    for _ in 0..3 {
        settle(&event_loop);
        if third.done() {
            break;
        }
        make_way();
    }
    settle(&event_loop);
    assert!(third.done());
}

/// Polls a future once, in a task but with another waker; it has to wait.
fn suspended(
    event_loop: &EventLoop,
    mut future: LocalBoxFuture<'static, ()>,
    waker: Waker,
) -> LocalBoxFuture<'static, ()> {
    let polled = event_loop.run_until_complete(async move {
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        Some(future)
    });
    polled.unwrap().expect("it comes back")
}

type Action = Rc<dyn Fn()>;

thread_local! {
    /// What the wakers of this thread do; wakers must be `Send`, and these closures are not.
    static ON_WAKE: RefCell<Vec<Option<Action>>> = const { RefCell::new(Vec::new()) };
}

/// A waker that calls a closure of this thread, and drops it with its last clone.
fn local_waker(on_wake: impl Fn() + 'static) -> Waker {
    struct Local(usize);
    impl Wake for Local {
        fn wake(self: Arc<Self>) {
            let action = ON_WAKE.with_borrow(|actions| actions[self.0].clone());
            action.expect("it is there until the last clone goes")();
        }
    }
    impl Drop for Local {
        fn drop(&mut self) {
            let action = ON_WAKE.with_borrow_mut(|actions| actions[self.0].take());
            drop(action);
        }
    }
    let index = ON_WAKE.with_borrow_mut(|actions| {
        actions.push(Some(Rc::new(on_wake)));
        actions.len() - 1
    });
    Waker::from(Arc::new(Local(index)))
}

// ---- wakers that drop scopes

type Kept = Rc<RefCell<Option<LocalBoxFuture<'static, ()>>>>;

/// Polls what is kept, if it still is.
fn poll_kept(kept: &Kept, cx: &mut Context<'_>) {
    if let Some(future) = kept.borrow_mut().as_mut() {
        assert!(future.as_mut().poll(cx).is_pending());
    }
}

/// A waker that drops what is kept.
fn dropping_waker(kept: &Kept) -> Waker {
    let kept = kept.clone();
    local_waker(move || drop(kept.take()))
}

/// A cancellation is raised at two scopes, and to wake the first drops the second: the scope that is
/// opened next in its place catches nothing.
#[test]
fn waker_that_drops_a_scope_that_is_to_catch() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let task = event_loop.create_task(async move {
        let mut first = Box::pin(catch_cancel(std::future::pending::<()>()));
        let second: Kept = Rc::default();
        second.replace(Some(
            catch_cancel(std::future::pending::<()>())
                .map(drop)
                .boxed_local(),
        ));
        let waker = dropping_waker(&second);
        let caught = std::future::poll_fn(|cx| {
            let polled = first.as_mut().poll(&mut Context::from_waker(&waker));
            poll_kept(&second, cx);
            polled
        })
        .await;
        events.push(caught.is_err() && second.borrow().is_none());
        let next = catch_cancel(async { catch_cancel(yield_now()).await.is_err() });
        events.push(next.await.unwrap());
    });
    turn(&event_loop);
    task.cancel();
    event_loop.run_until_complete(task).unwrap();
    log.expect(&["true", "false"]);
}

/// To ask what a timeout runs drops the timeout: a scope that is opened in its place was not asked.
#[test]
fn waker_that_drops_the_timeout_that_asks() {
    let event_loop = virtual_loop();
    let asked = event_loop.create_future::<()>();
    let other = event_loop.create_future::<()>();
    let cancelled = other.clone();
    event_loop.call_at(ms(20), move || {
        cancelled.cancel();
    });
    let origin = event_loop.run_until_complete(async move {
        let (kept, mut other): (Kept, _) = (Rc::default(), other);
        kept.replace(Some(timeout(ms(10), asked).map(drop).boxed_local()));
        let waker = dropping_waker(&kept);
        poll_kept(&kept, &mut Context::from_waker(&waker));
        assert!(futures::poll!(&mut other).is_pending());
        sleep(ms(15)).await;
        assert!(kept.borrow().is_none());
        catch_cancel(other).await.unwrap_err().origin()
    });
    assert_eq!(origin.unwrap(), CancelOrigin::Awaited);
}

/// The only scope that is to catch is dropped by its own waker: the cancellation stays with the task.
#[test]
fn waker_that_drops_its_own_scope() {
    let event_loop = virtual_loop();
    let task = event_loop.create_task(async {
        let kept: Kept = Rc::default();
        kept.replace(Some(
            catch_cancel(std::future::pending::<()>())
                .map(drop)
                .boxed_local(),
        ));
        let waker = dropping_waker(&kept);
        poll_kept(&kept, &mut Context::from_waker(&waker));
        std::future::pending::<()>().await;
    });
    turn(&event_loop);
    task.cancel();
    settle(&event_loop);
    assert!(task.cancelled());
}

/// What is asked to stop first wakes somebody who drops what would be asked next: that is not asked any more, and
/// its place in the line is as good as new for whoever comes there.
#[test]
fn waker_that_drops_a_wait_in_line_that_is_asked_next() {
    let event_loop = virtual_loop();
    let (lock, asked) = (Lock::new(()), event_loop.create_future::<()>());
    let task = event_loop.create_task(async move {
        let held = lock.lock().await;
        let (first, second): (Kept, Kept) = Default::default();
        first.replace(Some(asked.boxed_local()));
        second.replace(Some(lock.lock().map(drop).boxed_local()));
        let drops = dropping_waker(&second);
        poll_kept(&first, &mut Context::from_waker(&drops));
        poll_kept(&second, &mut Context::from_waker(Waker::noop()));
        assert!(catch_cancel(sleep(ms(10))).await.is_err());
        assert!(second.borrow().is_none());
        for _ in 0..10 {
            assert!(futures::poll!(lock.lock()).is_pending());
        }
        drop(held);
        drop(lock.lock().await);
    });
    turn(&event_loop);
    task.cancel();
    event_loop.run_until_complete(task).unwrap();
}
