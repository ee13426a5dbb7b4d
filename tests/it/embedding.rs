//! A loop inside another one: `run_once`, `next_deadline` and the wake-up hook.

use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use callsoon::{EventLoop, RunError};

use crate::support::{Drops, Log, OnDrop, ms, settle, turn, virtual_loop};

/// Counts the calls of a wake-up hook.
#[derive(Clone, Default)]
struct Calls(Arc<AtomicUsize>);

impl Calls {
    /// Sets a hook that counts.
    fn of(event_loop: &EventLoop) -> Self {
        let calls = Self::default();
        let count = calls.clone();
        event_loop.set_wakeup_hook(move || {
            count.0.fetch_add(1, Ordering::SeqCst);
        });
        calls
    }

    /// How many there were since the last question.
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

// ---- run_once

/// L7: `run_once(Some(ZERO))` never waits.
#[test]
fn run_once_with_a_limit_of_zero_does_not_wait() {
    let event_loop = EventLoop::new();
    event_loop.call_later(Duration::from_secs(3600), || ());
    let best = (0..20).map(|_| {
        let start = Instant::now();
        assert_eq!(turn(&event_loop), 0);
        start.elapsed()
    });
    assert!(best.min().unwrap() < ms(20));
}

/// L7: a limit is waited for, if nothing comes, and not much longer.
#[test]
fn run_once_waits_for_its_limit_and_not_longer() {
    let event_loop = EventLoop::new();
    event_loop.call_later(Duration::from_secs(3600), || ());
    let best = (0..10).map(|_| {
        let start = Instant::now();
        let waited = event_loop.run_once(Some(ms(2))).unwrap();
        assert_eq!(waited.ran, 0);
        let took = start.elapsed();
        assert!(took >= ms(2), "{took:?}");
        took
    });
    assert!(best.min().unwrap() < ms(40));
}

/// L7: a deadline before the limit ends the wait.
#[test]
fn run_once_returns_at_a_deadline_before_its_limit() {
    let (event_loop, log) = (EventLoop::new(), Log::new());
    let start = Instant::now();
    event_loop.call_later(ms(2), log.event("timer"));
    while log.take().is_empty() {
        event_loop
            .run_once(Some(Duration::from_secs(3600)))
            .unwrap();
    }
    assert!(start.elapsed() >= ms(2));
    assert!(start.elapsed() < Duration::from_secs(600));
}

/// `run_once(None)` waits for another thread as long as it takes.
#[test]
fn run_once_without_a_limit_waits_for_another_thread() {
    let event_loop = EventLoop::new();
    let (remote, barrier) = (event_loop.remote(), Arc::new(Barrier::new(2)));
    let start = barrier.clone();
    let thread = std::thread::spawn(move || {
        start.wait();
        remote.call_soon_threadsafe(|| ()).unwrap();
    });
    barrier.wait();
    // The wait may end early for no reason, but with nothing to do it ran nothing.
    while event_loop.run_once(None).unwrap().ran == 0 {}
    thread.join().unwrap();
}

/// L1: a turn tells how much it ran.
#[test]
fn a_turn_tells_what_it_did() {
    let event_loop = virtual_loop();
    let handle = event_loop.handle();
    event_loop.call_soon(|| ());
    event_loop.call_soon(move || handle.stop());
    let _task = event_loop.create_task(async {});
    let first = event_loop.run_once(None).unwrap();
    assert_eq!((first.ran, first.stopped, first.idle), (3, true, false));
    let second = event_loop.run_once(None).unwrap();
    assert_eq!((second.ran, second.stopped, second.idle), (0, false, true));
}

/// R9: a host that is called back from inside a turn gets an error, and the turn goes on.
#[test]
fn run_once_inside_a_turn_is_refused() {
    let (event_loop, log) = (Rc::new(virtual_loop()), Log::new());
    let (inner, events) = (event_loop.clone(), log.clone());
    event_loop.call_soon(move || {
        let refused = inner.run_once(Some(Duration::ZERO));
        let Err(RunError::AlreadyRunning(site)) = refused else {
            panic!("{refused:?}");
        };
        events.push(format!(
            "outer run in {}",
            site.file().rsplit('/').next().unwrap()
        ));
        inner.call_soon(events.event("next turn"));
    });
    event_loop.call_soon(log.event("same turn"));
    turn(&event_loop);
    log.expect(&["outer run in embedding.rs", "same turn"]);
    turn(&event_loop);
    log.expect(&["next turn"]);
}

/// A host that sleeps as long as it may drives the loop to the same end as `run_forever`.
#[test]
fn a_host_can_drive_the_loop_by_its_deadlines() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    let task = event_loop.create_task(async move {
        for n in 1..=3 {
            callsoon::sleep(ms(n)).await;
            events.push(n);
        }
    });
    let mut slept = Vec::new();
    while let Some(wait) = event_loop.next_deadline() {
        if !wait.is_zero() {
            slept.push(wait);
            event_loop.advance(wait);
        }
        turn(&event_loop);
    }
    assert!(task.done());
    log.expect(&["1", "2", "3"]);
    assert_eq!(slept, [ms(1), ms(2), ms(3)]);
}

// ---- next_deadline

/// What is ready, what is planned, what is not.
#[test]
fn next_deadline_tells_how_long_the_host_may_sleep() {
    let event_loop = virtual_loop();
    assert_eq!(event_loop.next_deadline(), None);
    let timer = event_loop.call_later(ms(9), || ());
    assert_eq!(event_loop.next_deadline(), Some(ms(9)));
    event_loop.call_later(ms(20), || ());
    event_loop.advance(ms(4));
    assert_eq!(event_loop.next_deadline(), Some(ms(5)));
    event_loop.advance(ms(6));
    assert_eq!(event_loop.next_deadline(), Some(Duration::ZERO));
    timer.cancel();
    assert_eq!(event_loop.next_deadline(), Some(ms(10)));
    let soon = event_loop.call_soon(|| ());
    assert_eq!(event_loop.next_deadline(), Some(Duration::ZERO));
    soon.cancel();
    turn(&event_loop);
    assert_eq!(event_loop.next_deadline(), Some(ms(10)));
}

/// Tasks that are ready, a stop request and posted items are to be seen to at once.
#[test]
fn next_deadline_is_zero_for_all_that_is_ready() {
    let event_loop = virtual_loop();
    let _task = event_loop.create_task(async {});
    assert_eq!(event_loop.next_deadline(), Some(Duration::ZERO));
    turn(&event_loop);
    assert_eq!(event_loop.next_deadline(), None);
    event_loop.stop();
    assert_eq!(event_loop.next_deadline(), Some(Duration::ZERO));
    turn(&event_loop);
    event_loop.remote().call_soon_threadsafe(|| ()).unwrap();
    assert_eq!(event_loop.next_deadline(), Some(Duration::ZERO));
    turn(&event_loop);
    assert_eq!(event_loop.next_deadline(), None);
}

// ---- the wake-up hook

/// The hook is called for what a thread posts to an idle loop, on that thread, and once until the
/// loop has taken it.
#[test]
fn the_hook_is_called_when_a_thread_posts() {
    let event_loop = virtual_loop();
    let threads = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = threads.clone();
    event_loop.set_wakeup_hook(move || {
        seen.lock().unwrap().push(std::thread::current().id());
    });
    let post = || {
        let remote = event_loop.remote();
        let poster = std::thread::spawn(move || {
            remote.call_soon_threadsafe(|| ()).unwrap();
            remote.call_soon_threadsafe(|| ()).unwrap();
            remote.stop();
            std::thread::current().id()
        });
        poster.join().unwrap()
    };
    let first = post();
    assert_eq!(*threads.lock().unwrap(), [first]);
    assert_eq!(turn(&event_loop), 3);
    let second = post();
    assert_eq!(*threads.lock().unwrap(), [first, second]);
}

/// The hook is called for a wake-up of a task from another thread.
#[test]
fn the_hook_is_called_when_a_thread_wakes_a_task() {
    let event_loop = virtual_loop();
    let calls = Calls::of(&event_loop);
    let (send, receive) = futures::channel::oneshot::channel();
    let task = event_loop.create_task(receive);
    settle(&event_loop);
    calls.take();
    std::thread::spawn(move || send.send(5).unwrap())
        .join()
        .unwrap();
    assert_eq!(calls.take(), 1);
    settle(&event_loop);
    assert_eq!(task.result().unwrap(), Ok(5));
}

/// The hook is called for what is scheduled outside a turn, if that comes before everything else.
#[test]
fn the_hook_is_called_for_what_comes_first() {
    let event_loop = virtual_loop();
    let calls = Calls::of(&event_loop);
    event_loop.call_later(ms(10), || ());
    assert_eq!(calls.take(), 1, "a first timer");
    event_loop.call_later(ms(5), || ());
    assert_eq!(calls.take(), 1, "an earlier timer");
    event_loop.call_at(ms(3), || ());
    assert_eq!(calls.take(), 1, "an earlier instant");
    event_loop.call_soon(|| ());
    assert_eq!(calls.take(), 1, "something ready");
    turn(&event_loop);
    let _task = event_loop.create_task(async {});
    assert_eq!(calls.take(), 1, "a task");
    turn(&event_loop);
    let future = event_loop.create_future::<()>();
    future.add_done_callback(|_| ());
    assert_eq!(calls.take(), 0, "a callback that waits");
    future.set_result(()).unwrap();
    assert_eq!(calls.take(), 1, "a callback that is queued");
    turn(&event_loop);
    let waiting = event_loop.create_task(std::future::pending::<()>());
    turn(&event_loop);
    calls.take();
    waiting.cancel();
    assert_eq!(calls.take(), 1, "a cancelled task");
    turn(&event_loop);
    event_loop.stop();
    assert_eq!(calls.take(), 1, "a stop request");
}

/// The hook is not called for what comes later than what is planned already.
#[test]
fn the_hook_is_not_called_for_what_comes_later() {
    let event_loop = virtual_loop();
    event_loop.call_later(ms(5), || ());
    let calls = Calls::of(&event_loop);
    event_loop.call_later(ms(5), || ());
    event_loop.call_later(ms(6), || ());
    event_loop.call_at(ms(7), || ());
    assert_eq!(calls.take(), 0, "later timers");
    event_loop.call_soon(|| ());
    calls.take();
    event_loop.call_soon(|| ());
    let _task = event_loop.create_task(async {});
    event_loop.call_later(Duration::ZERO, || ());
    event_loop.stop();
    assert_eq!(calls.take(), 0, "something is ready already");
}

/// A timer that never ends is nothing that a host must wake up for.
#[test]
fn the_hook_is_not_called_for_a_timer_that_never_ends() {
    let event_loop = virtual_loop();
    let calls = Calls::of(&event_loop);
    let timer = event_loop.call_later(Duration::MAX, || ());
    assert_eq!(calls.take(), 0);
    assert!(timer.reschedule(ms(5)));
    assert_eq!(calls.take(), 1);
}

/// Moving a timer calls the hook if the first deadline comes earlier by it, and not otherwise.
#[test]
fn the_hook_is_called_for_a_timer_that_is_moved_to_the_front() {
    let event_loop = virtual_loop();
    let timer = event_loop.call_later(ms(5), || ());
    let other = event_loop.call_later(ms(9), || ());
    let calls = Calls::of(&event_loop);
    timer.reschedule(ms(6));
    timer.reschedule(ms(8));
    assert_eq!(calls.take(), 0, "later");
    timer.reschedule(ms(7));
    assert_eq!(calls.take(), 1, "earlier");
    other.reschedule(ms(7));
    assert_eq!(calls.take(), 0, "as early");
    other.reschedule(ms(1));
    assert_eq!(calls.take(), 1, "to the front");
    other.cancel();
    timer.cancel();
    assert_eq!(calls.take(), 0, "cancelled");
}

/// The hook is not called for what is scheduled in a turn: the host asks after it.
#[test]
fn the_hook_is_not_called_during_a_turn() {
    let event_loop = virtual_loop();
    let handle = event_loop.handle();
    let future = event_loop.create_future::<()>();
    event_loop.call_soon(move || {
        future.add_done_callback(|_| ());
        handle.call_later(ms(5), || ());
        handle.call_later(ms(1), || ()).reschedule(Duration::ZERO);
        handle.call_soon(|| ());
        drop(handle.create_task(async { callsoon::yield_now().await }));
        future.set_result(()).unwrap();
        handle.stop();
    });
    let calls = Calls::of(&event_loop);
    for _ in 0..5 {
        turn(&event_loop);
    }
    assert_eq!(calls.take(), 0);
}

/// The hook may use the loop that calls it, even run it.
#[test]
fn the_hook_may_reenter_the_loop() {
    // A hook is `Send`, so it finds the loop in a local of its thread.
    thread_local! {
        static HOST: std::cell::RefCell<Option<Rc<EventLoop>>> = const { std::cell::RefCell::new(None) };
    }
    let (event_loop, log) = (Rc::new(virtual_loop()), Log::new());
    HOST.set(Some(event_loop.clone()));
    event_loop.set_wakeup_hook(|| {
        let event_loop = HOST.with_borrow(|host| host.clone().unwrap());
        event_loop.call_soon(|| ());
        event_loop.call_later(ms(1), || ()).cancel();
        turn(&event_loop);
        event_loop.clear_wakeup_hook();
    });
    event_loop.call_soon(log.event("ran by the hook"));
    log.expect(&["ran by the hook"]);
    HOST.set(None);
}

/// Setting a hook replaces the one before, and drops it; clearing it drops it.
#[test]
fn a_hook_is_dropped_when_it_is_replaced_or_cleared() {
    let event_loop = virtual_loop();
    let first = Calls::of(&event_loop);
    let second = Calls::of(&event_loop);
    assert_eq!(Arc::strong_count(&first.0), 1);
    event_loop.call_soon(|| ());
    assert_eq!((first.take(), second.take()), (0, 1));
    turn(&event_loop);
    event_loop.clear_wakeup_hook();
    assert_eq!(Arc::strong_count(&second.0), 1);
    event_loop.call_soon(|| ());
    assert_eq!(second.take(), 0);
}

/// A closed loop keeps no hook, though threads may still hold its remote handle, and calls none for
/// what the drops of its leftovers schedule.
#[test]
fn a_closed_loop_drops_its_hook_and_does_not_call_it() {
    let event_loop = virtual_loop();
    let remote = event_loop.remote();
    let calls = Calls::of(&event_loop);
    assert_eq!(Arc::strong_count(&calls.0), 2);
    let (handle, drops) = (event_loop.handle(), Drops::new());
    let guard = drops.guard();
    let leftover = OnDrop::new(move || {
        handle.call_soon(move || drop(guard));
    });
    event_loop.call_later(ms(1), move || drop(leftover));
    calls.take();
    drop(event_loop);
    assert_eq!(drops.count(), 1);
    assert_eq!(calls.take(), 0);
    assert_eq!(Arc::strong_count(&calls.0), 1);
    assert!(remote.is_closed());
}
