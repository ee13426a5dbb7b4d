//! Model checks of a whole loop with threads around it: run, wake-up hook, announced work, close.
//! They run the real code. A wake-up that is lost shows as a deadlock.
//!
//! Loom does not see the reference count of a waker, which is std's; `tasks/waker_models.rs` has
//! that.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;

use super::{Clock, EventLoop, RemoteHandle, RunEnd, call_soon, get_running_loop};
use crate::sync::{Condvar, Mutex};

/// How often a thread is interrupted at most where two threads and a loop are too much to explore
/// without a limit.
const FEW_INTERRUPTIONS: usize = 3;

fn model_with_few_interruptions(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(FEW_INTERRUPTIONS);
    builder.check(model);
}

/// Where a host sleeps until it is woken, or not at all if it was woken before. (Loom's `unpark`
/// would also wake who waits for a lock.)
pub(super) struct Bed {
    woken: Mutex<bool>,
    alarm: Condvar,
}

impl Default for Bed {
    fn default() -> Self {
        Self {
            woken: Mutex::new(false),
            alarm: Condvar::new(),
        }
    }
}

impl Bed {
    pub(super) fn wake(&self) {
        *self.woken.lock() = true;
        self.alarm.notify_one();
    }

    pub(super) fn sleep(&self) {
        let mut woken = self.woken.lock();
        while !std::mem::take(&mut *woken) {
            woken = self.alarm.wait(woken);
        }
    }
}

/// Runs a thread that does this with a handle of the loop.
fn with_remote<R: 'static>(
    event_loop: &EventLoop,
    then: impl FnOnce(RemoteHandle) -> R + 'static,
) -> thread::JoinHandle<R> {
    let remote = event_loop.remote();
    thread::spawn(move || then(remote))
}

/// What completes a foreign future: sets a flag, and wakes. No ordering but the waker's own.
fn complete(done: &AtomicBool, waker: Waker) {
    done.store(true, Ordering::Relaxed);
    waker.wake();
}

/// Awaits the flags that as many threads set, one thread each; its wakers are cloned in its first
/// step and never again.
async fn foreign<const N: usize>() {
    let flags: [_; N] = std::array::from_fn(|_| Arc::new(AtomicBool::new(false)));
    let mut threads = Vec::new();
    poll_fn(|cx| {
        if threads.is_empty() {
            threads.extend(flags.clone().map(|flag| {
                let waker = cx.waker().clone();
                thread::spawn(move || complete(&flag, waker))
            }));
        }
        match flags.iter().all(|flag| flag.load(Ordering::Relaxed)) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

#[test]
fn sleeping_loop_runs_what_two_threads_post_in_order_per_thread() {
    model_with_few_interruptions(|| {
        let event_loop = EventLoop::new();
        let ran = Arc::new(AtomicUsize::new(0));
        let threads = [0, 1].map(|_| {
            let ran = ran.clone();
            with_remote(&event_loop, move |remote| {
                let stop = remote.clone();
                remote
                    .call_soon_threadsafe(move || {
                        if ran.fetch_add(1, Ordering::Relaxed) == 1 {
                            stop.stop();
                        }
                    })
                    .expect("it is open");
            })
        });
        assert!(matches!(event_loop.run_forever(), RunEnd::Stopped));
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert_eq!(ran.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn task_that_a_thread_wakes_goes_on() {
    loom::model(|| {
        let event_loop = EventLoop::new();
        event_loop.run_until_complete(foreign::<1>()).unwrap();
    });
}

#[test]
fn task_that_two_threads_wake_sees_what_both_did() {
    model_with_few_interruptions(|| {
        let event_loop = EventLoop::new();
        event_loop.run_until_complete(foreign::<2>()).unwrap();
    });
}

#[test]
fn tasks_that_use_one_waker_after_another_are_all_woken() {
    model_with_few_interruptions(|| {
        let event_loop = EventLoop::new();
        let one = event_loop.create_task(foreign::<1>());
        let two = event_loop.create_task(async {
            foreign::<1>().await;
            foreign::<1>().await;
        });
        event_loop.run_until_complete(one).unwrap();
        event_loop.run_until_complete(two).unwrap();
    });
}

#[test]
fn host_that_sleeps_until_the_hook_wakes_it_misses_nothing() {
    model_with_few_interruptions(|| {
        let event_loop = EventLoop::new();
        let bed = Arc::new(Bed::default());
        let alarm = bed.clone();
        event_loop.set_wakeup_hook(move || alarm.wake());
        let threads = [0, 1].map(|_| with_remote(&event_loop, |remote| remote.stop()));
        let mut ran = 0;
        while ran < 2 {
            if event_loop.next_deadline().is_none() {
                bed.sleep();
            }
            ran += event_loop.run_once(Some(Duration::ZERO)).unwrap().ran;
        }
        assert_eq!(ran, 2);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn virtual_clock_waits_for_work_that_was_announced() {
    loom::model(|| {
        let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
        let expected = event_loop.remote().expect_work();
        let poster = with_remote(&event_loop, move |remote| {
            // Not `stop()` itself: a loop that ran it would not notice that it took itself for idle.
            let posted = remote.call_soon_threadsafe(|| {
                call_soon(|| get_running_loop().stop());
            });
            posted.expect("it is open");
            drop(expected);
        });
        assert!(matches!(event_loop.run_forever(), RunEnd::Stopped));
        poster.join().unwrap();
    });
}

#[test]
fn virtual_clock_is_idle_once_an_announcement_came_to_nothing() {
    loom::model(|| {
        let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
        let expected = event_loop.remote().expect_work();
        let dropper = thread::spawn(move || drop(expected));
        assert!(matches!(event_loop.run_forever(), RunEnd::Idle(_)));
        dropper.join().unwrap();
    });
}

#[test]
fn what_is_posted_to_a_closing_loop_is_run_dropped_or_refused() {
    loom::model(|| {
        let event_loop = EventLoop::new();
        let ran = Arc::new(AtomicUsize::new(0));
        let counter = ran.clone();
        let callback = Arc::new(());
        let captured = callback.clone();
        let poster = with_remote(&event_loop, move |remote| {
            let posted = remote.call_soon_threadsafe(move || {
                let _captured = captured;
                counter.fetch_add(1, Ordering::Relaxed);
            });
            (posted.is_err(), remote)
        });
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
        event_loop.close();
        let (refused, remote) = poster.join().unwrap();
        assert_eq!(Arc::strong_count(&callback), 1, "no callback is left");
        assert!(!(refused && ran.load(Ordering::Relaxed) == 1));
        assert!(remote.call_soon_threadsafe(|| ()).is_err());
    });
}

#[test]
fn waker_of_a_loop_that_is_closed_does_nothing() {
    loom::model(|| {
        let event_loop = EventLoop::new();
        let (drops, slot) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(None)));
        let (count, waker) = (drops.clone(), slot.clone());
        drop(event_loop.create_task(async move {
            let _guard = CountDrop(count);
            poll_fn(|cx| {
                waker.replace(Some(cx.waker().clone()));
                Poll::<()>::Pending
            })
            .await;
        }));
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
        let waker = slot.take().expect("the step has put it there");
        let thread = thread::spawn(move || waker.wake());
        event_loop.close();
        assert_eq!(drops.get(), 1);
        thread.join().unwrap();
    });
}

struct CountDrop(Rc<Cell<u32>>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}
