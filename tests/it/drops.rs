//! What is dropped, when, and how often; and that nothing is leaked.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};

use callsoon::{
    EventLoop, Future, LoopHandle, ResultError, Task, TaskHandle, call_later, call_soon,
    create_future, create_task, create_try_task, get_running_loop, sleep,
};

use crate::support::{Drops, Log, OnDrop, ms, settle, turn, virtual_loop};

// ---- callbacks

/// A callback's closure is dropped once: after its run, by `cancel` at once, or with the loop.
#[test]
fn closure_of_a_callback_is_dropped_once_on_every_path() {
    fn check(act: impl FnOnce(EventLoop, callsoon::Handle, &Drops)) {
        let event_loop = virtual_loop();
        let drops = Drops::new();
        let guard = drops.guard();
        let handle = event_loop.call_soon(move || drop(guard));
        act(event_loop, handle, &drops);
        assert_eq!(drops.count(), 1);
    }
    check(|event_loop, handle, drops| {
        turn(&event_loop);
        assert_eq!(drops.count(), 1);
        handle.cancel();
    });
    check(|event_loop, handle, drops| {
        handle.cancel();
        assert_eq!(drops.count(), 1);
        handle.cancel();
        turn(&event_loop);
    });
    check(|event_loop, handle, drops| {
        drop(event_loop);
        assert_eq!(drops.count(), 1);
        handle.cancel();
    });
    check(|event_loop, handle, drops| {
        drop(handle);
        assert_eq!(drops.count(), 0);
        event_loop.close();
        assert_eq!(drops.count(), 1);
    });
}

/// The same for a timer.
#[test]
fn closure_of_a_timer_is_dropped_once_on_every_path() {
    fn check(act: impl FnOnce(EventLoop, callsoon::TimerHandle, &Drops)) {
        let event_loop = virtual_loop();
        let drops = Drops::new();
        let guard = drops.guard();
        let handle = event_loop.call_later(ms(5), move || drop(guard));
        act(event_loop, handle, &drops);
        assert_eq!(drops.count(), 1);
    }
    check(|event_loop, handle, drops| {
        event_loop.run_forever();
        assert_eq!(drops.count(), 1);
        handle.cancel();
    });
    check(|_event_loop, handle, drops| {
        handle.cancel();
        assert_eq!(drops.count(), 1);
        assert!(!handle.reschedule(ms(9)));
    });
    check(|event_loop, handle, drops| {
        assert!(handle.reschedule(ms(9)));
        drop(event_loop);
        assert_eq!(drops.count(), 1);
        handle.cancel();
        assert!(!handle.reschedule(ms(9)));
    });
    check(|event_loop, handle, drops| {
        drop(handle);
        assert_eq!(drops.count(), 0);
        drop(event_loop);
    });
}

/// A done-callback's closure is dropped once: after its run, by its removal, with the future, or
/// with the loop when it is queued.
#[test]
fn closure_of_a_done_callback_is_dropped_once_on_every_path() {
    fn check(act: impl FnOnce(EventLoop, Future<u32>, callsoon::CallbackId, &Drops)) {
        let event_loop = virtual_loop();
        let drops = Drops::new();
        let guard = drops.guard();
        let future = event_loop.create_future();
        let id = future.add_done_callback(move |_| drop(guard));
        act(event_loop, future, id, &drops);
        assert_eq!(drops.count(), 1);
    }
    check(|event_loop, future, _, drops| {
        future.set_result(1).unwrap();
        assert_eq!(drops.count(), 0);
        turn(&event_loop);
        assert_eq!(drops.count(), 1);
    });
    check(|event_loop, future, id, drops| {
        assert!(future.remove_done_callback(id));
        assert_eq!(drops.count(), 1);
        future.set_result(1).unwrap();
        turn(&event_loop);
    });
    check(|_event_loop, future, _, drops| {
        drop(future.clone());
        assert_eq!(drops.count(), 0);
        drop(future);
        assert_eq!(drops.count(), 1);
    });
    check(|event_loop, future, _, drops| {
        future.cancel();
        drop(event_loop);
        assert_eq!(drops.count(), 1);
    });
}

// ---- coroutines

/// A coroutine is dropped once: when it returns, unwinds, panics, never starts, or with the loop.
#[test]
fn coroutine_is_dropped_once_on_every_path() {
    fn check(
        coroutine: impl std::future::Future<Output = ()> + 'static,
        act: impl FnOnce(EventLoop, Task<()>, &Drops),
    ) {
        let event_loop = virtual_loop();
        event_loop.set_exception_handler(|_, _| ());
        let drops = Drops::new();
        let guard = drops.guard();
        let task = event_loop.create_task(async move {
            let _guard = guard;
            coroutine.await;
        });
        act(event_loop, task, &drops);
        assert_eq!(drops.count(), 1);
    }
    check(async {}, |event_loop, task, drops| {
        turn(&event_loop);
        assert!(task.done());
        assert_eq!(drops.count(), 1, "with its end, not with its handle");
    });
    check(std::future::pending(), |event_loop, task, drops| {
        turn(&event_loop);
        task.cancel();
        assert_eq!(drops.count(), 0);
        turn(&event_loop);
        assert_eq!(drops.count(), 1);
    });
    check(async { panic!("bug") }, |event_loop, task, drops| {
        turn(&event_loop);
        assert!(task.done());
        assert_eq!(drops.count(), 1);
    });
    check(async {}, |event_loop, task, _| {
        task.cancel();
        turn(&event_loop);
    });
    check(async {}, |event_loop, _task, drops| {
        drop(event_loop);
        assert_eq!(drops.count(), 1, "though its handle is alive");
    });
    check(sleep(ms(5)), |event_loop, task, drops| {
        turn(&event_loop);
        drop(task);
        assert_eq!(drops.count(), 0);
        drop(event_loop);
    });
}

/// A coroutine that has returned is dropped before its done-callbacks run.
#[test]
fn finished_coroutine_is_dropped_before_callbacks_run() {
    /// Keeps its guard when it is ready, as a combinator may.
    struct Keeps(#[allow(dead_code, reason = "held to be dropped")] crate::support::DropGuard);
    impl std::future::Future for Keeps {
        type Output = ();
        fn poll(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }
    }
    let event_loop = virtual_loop();
    let drops = Drops::new();
    let task = event_loop.create_task(Keeps(drops.guard()));
    turn(&event_loop);
    assert!(task.done());
    assert_eq!(drops.count(), 1);
}

// ---- results

/// A result is dropped once: by whoever takes it, or with the last handle.
#[test]
fn result_is_dropped_once_on_every_path() {
    type Guard = crate::support::DropGuard;
    fn check(act: impl FnOnce(&EventLoop, Future<Guard>, &Drops)) {
        let event_loop = virtual_loop();
        let drops = Drops::new();
        let future = event_loop.create_future();
        assert!(future.set_result(drops.guard()).is_ok());
        act(&event_loop, future, &drops);
        assert_eq!(drops.count(), 1);
    }
    check(|_, future, drops| {
        let other = future.clone();
        drop(future);
        assert_eq!(drops.count(), 0);
        drop(other);
    });
    check(|_, future, drops| {
        let guard = future.take_result();
        drop(future);
        assert_eq!(drops.count(), 0);
        drop(guard);
    });
    check(|event_loop, future, _| drop(event_loop.run_until_complete(future.take())));
    check(|_, future, drops| {
        let refused = future.set_result(Drops::new().guard()).unwrap_err();
        drop(refused);
        assert_eq!(drops.count(), 0);
    });
    check(|event_loop, future, drops| {
        event_loop.close();
        assert_eq!(drops.count(), 0, "a result outlives its loop");
        drop(future);
    });
}

/// The result of a task that nobody holds is dropped when the task ends, and one that is held stays
/// until the handle goes, even beyond the loop.
#[test]
fn result_of_a_task_lives_as_long_as_a_handle() {
    let drops = Drops::new();
    let event_loop = virtual_loop();
    let guard = drops.guard();
    drop(event_loop.create_task(async move { guard }));
    turn(&event_loop);
    assert_eq!(drops.count(), 1);
    let guard = drops.guard();
    let task = event_loop.create_task(async move { guard });
    turn(&event_loop);
    drop(event_loop);
    assert_eq!(drops.count(), 1);
    drop(task);
    assert_eq!(drops.count(), 2);
}

// ---- wakers

/// A registered waker is let go of when the future is done, or when the await is dropped.
#[test]
fn foreign_waker_is_released_on_every_path() {
    struct Nothing;
    impl Wake for Nothing {
        fn wake(self: Arc<Self>) {}
    }
    fn check(act: impl FnOnce(&Future<u32>, Future<u32>)) {
        let event_loop = virtual_loop();
        let future = event_loop.create_future::<u32>();
        let shared = Arc::new(Nothing);
        let waker = Waker::from(shared.clone());
        let mut awaited = future.clone();
        let mut cx = std::task::Context::from_waker(&waker);
        let polled = std::future::Future::poll(std::pin::Pin::new(&mut awaited), &mut cx);
        assert!(polled.is_pending());
        assert_eq!(Arc::strong_count(&shared), 3);
        act(&future, awaited);
        assert_eq!(Arc::strong_count(&shared), 2);
    }
    check(|future, awaited| {
        future.set_result(1).unwrap();
        std::mem::forget(awaited);
    });
    check(|future, _awaited| assert!(future.cancel()));
    check(|_, awaited| drop(awaited));
}

/// Clones of a task's own waker may outlive the task and the loop; waking them then does nothing.
#[test]
fn wakers_of_a_task_may_outlive_the_loop() {
    let event_loop = virtual_loop();
    let slot: Rc<RefCell<Option<Waker>>> = Rc::default();
    let out = slot.clone();
    let task = event_loop.create_task(std::future::poll_fn(move |cx| {
        out.replace(Some(cx.waker().clone()));
        Poll::<()>::Pending
    }));
    turn(&event_loop);
    let waker = slot.take().unwrap();
    waker.wake_by_ref();
    drop(event_loop);
    waker.wake_by_ref();
    let elsewhere = waker.clone();
    std::thread::spawn(move || elsewhere.wake()).join().unwrap();
    assert!(!task.done());
    waker.wake();
}

// ---- dropping and closing the loop

/// What is pending goes in a fixed order: coroutines as they were made, then ready callbacks.
#[test]
fn close_drops_coroutines_first_and_callbacks_next() {
    let event_loop = virtual_loop();
    event_loop.set_exception_handler(|_, _| ());
    let log = Log::new();
    let guard = |what: &str| {
        let (log, what) = (log.clone(), what.to_owned());
        OnDrop::new(move || log.push(what))
    };
    let (g, h, i, j) = (
        guard("callback 1"),
        guard("task 1"),
        guard("callback 2"),
        guard("task 2"),
    );
    let k = guard("timer");
    event_loop.call_later(ms(1), move || drop(k));
    event_loop.call_soon(move || drop(g));
    event_loop.create_task(async move { drop(h) });
    event_loop.call_soon(move || drop(i));
    event_loop.create_task(async move { drop(j) });
    event_loop.close();
    log.expect(&["task 1", "task 2", "callback 1", "callback 2", "timer"]);
}

/// R14, DIFFERENCE: pending tasks are reported, each once, and their coroutines dropped on close.
/// They are neither done nor cancelled, ever.
#[test]
fn close_reports_pending_tasks_and_leaves_them_pending() {
    let event_loop = virtual_loop();
    let log = Log::new();
    let events = log.clone();
    event_loop.set_exception_handler(move |_, context| {
        events.push(format!(
            "{}: {}",
            context.message(),
            context.task().unwrap().name()
        ));
    });
    let waiting = event_loop.task(sleep(ms(1))).name("waiting").spawn();
    turn(&event_loop);
    let fresh = event_loop.task(async {}).name("fresh").spawn();
    drop(event_loop);
    log.expect(&[
        "task was destroyed but it is pending: waiting",
        "task was destroyed but it is pending: fresh",
    ]);
    for task in [waiting, fresh] {
        assert!(!task.done() && !task.cancelled());
        assert!(!task.cancel());
        assert!(matches!(task.result(), Err(ResultError::NotReady)));
    }
}

/// While a loop closes, what the `Drop`s schedule is accepted, and dropped without a run.
#[test]
fn drops_may_use_the_api_while_the_loop_closes() {
    let event_loop = virtual_loop();
    event_loop.set_exception_handler(|_, context| {
        assert_eq!(context.message(), "task was destroyed but it is pending");
    });
    let drops = Drops::new();
    let log = Log::new();
    let promise = event_loop.create_future::<u32>();
    let other = event_loop.create_task(std::future::pending::<()>());
    type UsesAll = OnDrop<Box<dyn FnOnce()>>;
    let uses_all = |what: &'static str| -> UsesAll {
        let (drops, log) = (drops.clone(), log.clone());
        let (promise, other) = (promise.clone(), other.handle());
        OnDrop::new(Box::new(move || {
            let guards: Vec<_> = (0..5).map(|_| drops.guard()).collect();
            let [a, b, c, d, e] = guards.try_into().unwrap_or_else(|_| unreachable!());
            call_soon(move || drop(a));
            call_later(ms(1), move || drop(b));
            create_task(async move { drop(c) });
            create_try_task(async move {
                drop(d);
                Ok::<_, u32>(())
            });
            let _ = promise.set_result(1);
            promise.add_done_callback(move |_| drop(e));
            other.cancel();
            drop(create_future::<u32>());
            get_running_loop().stop();
            log.push(what);
        }))
    };
    let (in_task, in_callback, in_timer) =
        (uses_all("task"), uses_all("callback"), uses_all("timer"));
    let in_started = uses_all("started task");
    event_loop.create_task(async move {
        let _guard = in_started;
        std::future::pending::<()>().await;
    });
    turn(&event_loop);
    event_loop.create_task(async move { drop(in_task) });
    event_loop.call_soon(move || drop(in_callback));
    event_loop.call_later(ms(5), move || drop(in_timer));
    drop(event_loop);
    log.expect(&["started task", "task", "callback", "timer"]);
    assert_eq!(drops.count(), 4 * 5);
    assert_eq!(promise.result().unwrap(), 1);
}

/// What another thread had posted is dropped on close, and its `Drop` may use the API as well.
#[test]
fn drop_of_something_posted_may_use_the_api_while_the_loop_closes() {
    struct Schedules(Arc<AtomicUsize>);
    impl Drop for Schedules {
        fn drop(&mut self) {
            struct Counts(Arc<AtomicUsize>);
            impl Drop for Counts {
                fn drop(&mut self) {
                    self.0.fetch_add(1, Ordering::Relaxed);
                }
            }
            let counts = Counts(self.0.clone());
            call_soon(move || drop(counts));
        }
    }
    let event_loop = virtual_loop();
    event_loop.set_exception_handler(|_, context| panic!("{context}"));
    let count = Arc::new(AtomicUsize::new(0));
    let posted = Schedules(count.clone());
    event_loop
        .remote()
        .call_soon_threadsafe(move || drop(posted))
        .unwrap();
    drop(event_loop);
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

/// A `Drop` that schedules its like for ever does not keep the loop from closing.
#[test]
fn drop_that_schedules_its_like_for_ever_does_not_hang_close() {
    struct Again;
    impl Drop for Again {
        fn drop(&mut self) {
            if let Ok(running) = callsoon::try_get_running_loop()
                && !running.is_closed()
            {
                let again = Again;
                call_soon(move || drop(again));
            }
        }
    }
    let event_loop = virtual_loop();
    event_loop.call_soon(|| drop(Again));
    let again = Again;
    event_loop.call_soon(move || drop(again));
    drop(event_loop);
}

/// Everything that outlives the loop can be dropped and asked, in any order.
#[test]
fn handles_may_outlive_the_loop() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<u32>();
    let task = event_loop.create_task(future.clone());
    let owned = future.take();
    let outcome = future.clone().outcome();
    let callback = event_loop.call_soon(|| ());
    let timer = event_loop.call_later(ms(1), || ());
    let (handle, remote) = (event_loop.handle(), event_loop.remote());
    let expected = remote.expect_work();
    drop(event_loop);
    assert!(handle.is_closed() && remote.is_closed());
    assert!(remote.call_soon_threadsafe(|| ()).is_err());
    handle.stop();
    remote.stop();
    assert!(future.cancel());
    callback.cancel();
    timer.cancel();
    drop((
        future, task, owned, outcome, callback, timer, handle, remote, expected,
    ));
}

// ---- no leaks

/// A loop that is dropped with nothing left behind frees its memory.
#[test]
fn dropped_loop_is_freed() {
    freed_with_the_loop(|_, _| ());
}

/// A future that is done, and a callback on it that holds it: no cycle is left.
#[test]
fn done_callback_that_holds_its_own_future_is_no_leak() {
    freed_with_the_loop(|event_loop, keep| {
        let future = event_loop.create_future::<u32>();
        let (own, keep) = (future.clone(), keep.clone());
        future.add_done_callback(move |_| drop((own, keep)));
        future.set_result(1).unwrap();
        turn(event_loop);
    });
    // Queued, and never run.
    freed_with_the_loop(|event_loop, keep| {
        let future = event_loop.create_future::<u32>();
        let (own, keep) = (future.clone(), keep.clone());
        future.add_done_callback(move |_| drop((own, keep)));
        future.set_result(1).unwrap();
    });
    // Removed.
    freed_with_the_loop(|event_loop, keep| {
        let future = event_loop.create_future::<u32>();
        let (own, keep) = (future.clone(), keep.clone());
        let id = future.add_done_callback(move |_| drop((own, keep)));
        assert!(future.remove_done_callback(id));
    });
}

/// A done-callback that holds its own task, which is pending when the loop goes.
#[test]
fn done_callback_that_holds_its_own_task_is_no_leak() {
    freed_with_the_loop(|event_loop, keep| {
        let task = event_loop.create_task(std::future::pending::<()>());
        let (own, keep) = ((*task).clone(), keep.clone());
        task.add_done_callback(move |_| drop((own, keep)));
        turn(event_loop);
    });
}

/// A task that holds its own handle, and two that hold and await each other.
#[test]
fn tasks_that_hold_themselves_or_each_other_are_no_leak() {
    freed_with_the_loop(|event_loop, keep| {
        let slot: Rc<RefCell<Option<Task<()>>>> = Rc::default();
        let (own, keep) = (slot.clone(), keep.clone());
        let task = event_loop.create_task(async move {
            let _own = own;
            let _keep = keep;
            std::future::pending::<()>().await;
        });
        slot.replace(Some(task));
        turn(event_loop);
    });
    freed_with_the_loop(|event_loop, keep| {
        let slot: Rc<RefCell<Option<Future<()>>>> = Rc::default();
        let (other, keep) = (slot.clone(), keep.clone());
        let a = event_loop.create_task(async move {
            let _keep = keep;
            let other = other.take().unwrap();
            other.await;
        });
        let first = (*a).clone();
        let b = event_loop.create_task(first);
        slot.replace(Some((*b).clone()));
        settle(event_loop);
    });
}

/// A task that waits for a future which it alone holds.
#[test]
fn task_that_holds_what_it_waits_for_is_no_leak() {
    freed_with_the_loop(|event_loop, keep| {
        let (future, keep) = (event_loop.create_future::<()>(), keep.clone());
        event_loop.create_task(async move {
            let _keep = keep;
            future.await;
        });
        turn(event_loop);
    });
}

/// Handlers, hooks, callbacks, timers and coroutines that hold the loop's handle.
#[test]
fn whatever_holds_the_loops_handle_is_no_leak() {
    freed_with_the_loop(|event_loop, keep| {
        let hold = || -> (LoopHandle, Keep) { (event_loop.handle(), keep.clone()) };
        let (a, b, c, d, e) = (hold(), hold(), hold(), hold(), hold());
        event_loop.set_exception_handler(move |_, _| drop(a.clone()));
        event_loop.call_soon(move || drop(b));
        event_loop.call_later(ms(1), move || drop(c));
        event_loop.create_task(async move { drop(d) });
        let handle = event_loop.call_later(ms(1), move || drop(e));
        handle.cancel();
    });
}

/// Tasks that were woken through wakers of their own.
#[test]
fn tasks_with_wakers_of_their_own_are_no_leak() {
    freed_with_the_loop(|event_loop, keep| {
        let (send, receive) = futures::channel::oneshot::channel::<()>();
        let (a, b) = (keep.clone(), keep.clone());
        event_loop.create_task(async move {
            let _keep = a;
            let _ = receive.await;
        });
        let (_never, pending) = futures::channel::oneshot::channel::<()>();
        event_loop.create_task(async move {
            let _keep = b;
            let _ = pending.await;
        });
        turn(event_loop);
        send.send(()).unwrap();
        settle(event_loop);
    });
}

/// A task that is over lets go of what it awaited, though its handle stays.
#[test]
fn finished_task_lets_go_of_what_it_awaited() {
    let event_loop = virtual_loop();
    let drops = Drops::new();
    let future = event_loop.create_future();
    let guard = drops.guard();
    let task = event_loop.create_task({
        let future = future.clone().take();
        async move { drop(future.await) }
    });
    let handle: TaskHandle = task.handle();
    turn(&event_loop);
    assert!(future.set_result(guard).is_ok());
    drop(future);
    settle(&event_loop);
    assert!(handle.done());
    assert_eq!(drops.count(), 1);
}

// ---- helpers

type Keep = Rc<()>;

/// Builds something on a loop, drops the loop, and checks that all clones of the token are gone,
/// and with them whatever held them.
#[track_caller]
fn freed_with_the_loop(build: impl FnOnce(&EventLoop, &Keep)) {
    let event_loop = virtual_loop();
    // The handler that hears of pending tasks goes with the loop, too.
    event_loop.set_exception_handler(|_, _| ());
    let keep: Keep = Rc::new(());
    let weak: Weak<()> = Rc::downgrade(&keep);
    let in_handler = keep.clone();
    build(&event_loop, &keep);
    let old = event_loop.get_exception_handler();
    event_loop.set_exception_handler(move |handle, context| {
        let _hold = (&in_handler, handle);
        if let Some(old) = &old {
            old(handle, context);
        }
    });
    drop(event_loop);
    drop(keep);
    assert_eq!(weak.strong_count(), 0, "something is left");
}
