//! A loop and other threads: posting, waking, stopping.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use callsoon::{EventLoop, LoopClosedError, RemoteHandle, RunEnd};

use crate::support::{Drops, Log, ms, settle, turn, virtual_loop};

/// A list of events that threads share.
type Events = Arc<Mutex<Vec<(usize, usize)>>>;

// ---- call_soon_threadsafe

/// L14, L3: what many threads post arrives, each once, and each thread's in its order.
#[test]
fn nothing_is_lost_and_each_threads_order_is_kept() {
    const THREADS: usize = 8;
    const EACH: usize = 2000;
    let event_loop = EventLoop::new();
    let (events, left) = (
        Events::default(),
        Arc::new(AtomicUsize::new(THREADS * EACH)),
    );
    let start = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (remote, start) = (event_loop.remote(), start.clone());
            let (events, left) = (events.clone(), left.clone());
            thread::spawn(move || {
                start.wait();
                for n in 0..EACH {
                    let (events, left, stop) = (events.clone(), left.clone(), remote.clone());
                    let callback = move || {
                        events.lock().unwrap().push((thread, n));
                        if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                            stop.stop();
                        }
                    };
                    remote.call_soon_threadsafe(callback).unwrap();
                }
            })
        })
        .collect();
    assert!(matches!(event_loop.run_forever(), RunEnd::Stopped));
    for thread in threads {
        thread.join().unwrap();
    }
    let events = events.lock().unwrap();
    assert_eq!(events.len(), THREADS * EACH);
    for thread in 0..THREADS {
        let order = events.iter().filter(|(from, _)| *from == thread);
        assert!(order.map(|&(_, n)| n).eq(0..EACH));
    }
}

/// L14: posting wakes a loop that sleeps with nothing to do, or till a timer far away.
#[test]
fn posting_wakes_a_sleeping_loop() {
    for far_away in [false, true] {
        let event_loop = EventLoop::new();
        if far_away {
            event_loop.call_later(Duration::from_secs(3600), || ());
        }
        let remote = event_loop.remote();
        let start = Instant::now();
        let thread = thread::spawn(move || {
            let stop = remote.clone();
            remote.call_soon_threadsafe(move || stop.stop()).unwrap();
        });
        event_loop.run_forever();
        assert!(start.elapsed() < Duration::from_secs(600));
        thread.join().unwrap();
    }
}

/// L14: a message to the loop and an answer back, many times: no wake-up is lost.
#[test]
fn ping_pong_with_a_thread_loses_no_wakeup() {
    let event_loop = EventLoop::new();
    let remote = event_loop.remote();
    let thread = thread::spawn(move || {
        let (send, receive) = channel();
        for n in 0..2000 {
            let send = send.clone();
            remote
                .call_soon_threadsafe(move || send.send(n).unwrap())
                .unwrap();
            assert_eq!(receive.recv(), Ok(n));
        }
        remote.stop();
    });
    event_loop.run_forever();
    thread.join().unwrap();
}

/// L2: what is posted while a batch runs waits for the next turn.
#[test]
fn what_is_posted_during_a_batch_runs_in_the_next_turn() {
    let (event_loop, events) = (virtual_loop(), Events::default());
    let (remote, posted, own) = (event_loop.remote(), events.clone(), events.clone());
    event_loop.call_soon(move || {
        let post = move || {
            let callback = move || posted.lock().unwrap().push((1, 1));
            remote.call_soon_threadsafe(callback).unwrap();
        };
        thread::spawn(post).join().unwrap();
        own.lock().unwrap().push((0, 0));
    });
    assert_eq!(turn(&event_loop), 1);
    assert_eq!(*events.lock().unwrap(), [(0, 0)]);
    assert_eq!(turn(&event_loop), 1);
    assert_eq!(*events.lock().unwrap(), [(0, 0), (1, 1)]);
}

/// L14: inside a run, on the loop's own thread, it is `call_soon`: one queue, one order. After:
/// CPython, which gives 1, 2, 3.
#[test]
fn on_the_loops_own_thread_it_is_call_soon() {
    let (event_loop, events) = (virtual_loop(), Events::default());
    let (remote, handle, log) = (event_loop.remote(), event_loop.handle(), events.clone());
    event_loop.call_soon(move || {
        let event = |n| {
            let log = log.clone();
            move || log.lock().unwrap().push((0, n))
        };
        let (other, before) = (remote.clone(), event(0));
        thread::spawn(move || other.call_soon_threadsafe(before).unwrap())
            .join()
            .unwrap();
        remote.call_soon_threadsafe(event(1)).unwrap();
        handle.call_soon(event(2));
        remote.call_soon_threadsafe(event(3)).unwrap();
    });
    assert_eq!(turn(&event_loop), 1);
    assert_eq!(turn(&event_loop), 4);
    assert_eq!(*events.lock().unwrap(), [(0, 0), (0, 1), (0, 2), (0, 3)]);
}

/// L14: on the loop's own thread it is `call_soon`, outside a run as well.
#[test]
fn outside_a_run_posted_and_scheduled_callbacks_share_one_queue() {
    let (event_loop, events) = (virtual_loop(), Events::default());
    let event = |n| {
        let log = events.clone();
        move || log.lock().unwrap().push((0, n))
    };
    event_loop.remote().call_soon_threadsafe(event(1)).unwrap();
    event_loop.call_soon(event(2));
    event_loop.remote().call_soon_threadsafe(event(3)).unwrap();
    assert_eq!(turn(&event_loop), 3);
    assert_eq!(*events.lock().unwrap(), [(0, 1), (0, 2), (0, 3)]);
}

/// The same while another loop of the thread runs.
#[test]
fn posting_to_a_loop_of_the_same_thread_keeps_the_order() {
    let (outer, inner, events) = (virtual_loop(), virtual_loop(), Events::default());
    let event = |n| {
        let log = events.clone();
        move || log.lock().unwrap().push((0, n))
    };
    let (handle, first, second) = (inner.handle(), event(1), event(2));
    outer.call_soon(move || {
        handle.remote().call_soon_threadsafe(first).unwrap();
        handle.call_soon(second);
    });
    turn(&outer);
    assert_eq!(*events.lock().unwrap(), []);
    turn(&inner);
    assert_eq!(*events.lock().unwrap(), [(0, 1), (0, 2)]);
}

/// L15, D1, DIFFERENCE: plain `call_soon` from another thread does not compile; what threads have is
/// `Send` and `Sync`, and posts.
#[test]
fn only_the_remote_handle_crosses_threads() {
    fn crosses<T: Send + Sync + Clone + 'static>() {}
    crosses::<RemoteHandle>();
    crosses::<callsoon::ExpectedWork>();
    let event_loop = EventLoop::new();
    let text = format!("{:?}", event_loop.remote());
    assert!(
        text.starts_with("<RemoteHandle of the loop created at "),
        "{text}"
    );
    assert!(text.contains("remote.rs:"), "{text}");
}

/// Posting does not wait for the loop, whatever the backlog; it all runs in one turn.
#[test]
fn a_large_backlog_runs_in_one_turn() {
    const BACKLOG: usize = 200_000;
    let event_loop = EventLoop::new();
    let (remote, count) = (event_loop.remote(), Arc::new(AtomicUsize::new(0)));
    let counter = count.clone();
    let thread = thread::spawn(move || {
        for _ in 0..BACKLOG {
            let counter = counter.clone();
            let callback = move || {
                counter.fetch_add(1, Ordering::Relaxed);
            };
            remote.call_soon_threadsafe(callback).unwrap();
        }
    });
    thread.join().unwrap();
    assert_eq!(turn(&event_loop), BACKLOG);
    assert_eq!(count.load(Ordering::Relaxed), BACKLOG);
    assert_eq!(turn(&event_loop), 0);
}

/// L12: a thread that posts without end starves neither timers nor the loop's own callbacks.
#[test]
fn a_thread_that_posts_without_end_does_not_starve_the_loop() {
    let event_loop = EventLoop::new();
    let (remote, enough) = (event_loop.remote(), Arc::new(AtomicBool::new(false)));
    let stop_posting = enough.clone();
    let thread = thread::spawn(move || {
        while !stop_posting.load(Ordering::Relaxed) {
            remote.call_soon_threadsafe(|| ()).unwrap();
        }
    });
    let handle = event_loop.handle();
    event_loop.call_later(ms(5), move || {
        let again = handle.clone();
        handle.call_soon(move || again.stop());
    });
    assert!(matches!(event_loop.run_forever(), RunEnd::Stopped));
    enough.store(true, Ordering::Relaxed);
    thread.join().unwrap();
}

// ---- closed loops

/// R12: a closed loop gives the callback back, and it still works.
#[test]
fn a_closed_loop_gives_the_callback_back() {
    let event_loop = EventLoop::new();
    let (early, late) = (event_loop.remote(), event_loop.handle());
    event_loop.close();
    for remote in [early, late.remote()] {
        assert!(remote.is_closed());
        let (send, receive) = channel();
        let refused: LoopClosedError<_> = remote
            .call_soon_threadsafe(move || send.send("it works").unwrap())
            .unwrap_err();
        assert_eq!(refused.to_string(), "event loop is closed");
        assert_eq!(format!("{refused:?}"), "LoopClosedError");
        refused.into_inner()();
        assert_eq!(receive.recv(), Ok("it works"));
        remote.stop();
    }
}

/// R11: what was posted and not run is dropped with the loop, once, on the loop's thread.
#[test]
fn closing_drops_what_was_posted() {
    struct Guard(Arc<Mutex<Vec<thread::ThreadId>>>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.lock().unwrap().push(thread::current().id());
        }
    }
    let event_loop = EventLoop::new();
    let dropped = Arc::new(Mutex::new(Vec::new()));
    let (remote, guard) = (event_loop.remote(), Guard(dropped.clone()));
    let post = move || remote.call_soon_threadsafe(move || drop(guard)).unwrap();
    thread::spawn(post).join().unwrap();
    drop(event_loop);
    assert_eq!(*dropped.lock().unwrap(), [thread::current().id()]);
}

/// R12: threads that post while the loop is closed: each callback runs, is dropped, or comes back.
#[test]
fn posting_races_with_closing_and_nothing_is_lost() {
    for _ in 0..50 {
        let event_loop = EventLoop::new();
        let (live, start) = (Arc::new(()), Arc::new(Barrier::new(3)));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (remote, live, start) = (event_loop.remote(), live.clone(), start.clone());
                thread::spawn(move || {
                    start.wait();
                    loop {
                        let held = live.clone();
                        if remote.call_soon_threadsafe(move || drop(held)).is_err() {
                            break;
                        }
                    }
                })
            })
            .collect();
        start.wait();
        turn(&event_loop);
        drop(event_loop);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(Arc::strong_count(&live), 1);
    }
}

/// Drops that a closing loop triggers may post; that is dropped as well.
#[test]
fn posting_from_a_drop_during_close() {
    struct Poster(RemoteHandle, Arc<AtomicUsize>);
    impl Drop for Poster {
        fn drop(&mut self) {
            let counter = self.1.clone();
            let callback = move || {
                counter.fetch_add(1, Ordering::Relaxed);
            };
            // Accepted or given back; never run.
            let _ = self.0.call_soon_threadsafe(callback);
        }
    }
    let event_loop = EventLoop::new();
    let ran = Arc::new(AtomicUsize::new(0));
    let (a, b) = (
        Poster(event_loop.remote(), ran.clone()),
        Poster(event_loop.remote(), ran.clone()),
    );
    event_loop.call_soon(move || drop(a));
    event_loop
        .remote()
        .call_soon_threadsafe(move || drop(b))
        .unwrap();
    drop(event_loop);
    assert_eq!(ran.load(Ordering::Relaxed), 0);
    assert_eq!(Arc::strong_count(&ran), 1);
}

// ---- stop

/// R1: `stop` from another thread ends the run; the rest of that turn still runs.
#[test]
fn stop_from_another_thread() {
    let event_loop = EventLoop::new();
    let remote = event_loop.remote();
    let thread = thread::spawn(move || remote.stop());
    assert!(matches!(event_loop.run_forever(), RunEnd::Stopped));
    thread.join().unwrap();
}

/// R2: posted before a run, a stop acts like a callback: its turn is finished first.
#[test]
fn a_posted_stop_acts_in_its_turn() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    event_loop.remote().stop();
    let (handle, next) = (event_loop.handle(), log.event("next turn"));
    event_loop.call_soon(move || {
        handle.call_soon(next);
    });
    event_loop.call_later(Duration::ZERO, log.event("timer of this turn"));
    event_loop.run_forever();
    log.expect(&["timer of this turn"]);
}

// ---- wakers

/// A task that leaves its waker in the cell each time it is polled, until it is told to end.
fn expose_waker(
    event_loop: &EventLoop,
    done: &Arc<AtomicBool>,
) -> (callsoon::Task<usize>, Arc<Mutex<Option<Waker>>>) {
    let cell = Arc::new(Mutex::new(None));
    let (exposed, done) = (cell.clone(), done.clone());
    let mut polls = 0;
    let task = event_loop.create_task(poll_fn(move |cx| {
        polls += 1;
        exposed.lock().unwrap().replace(cx.waker().clone());
        match done.load(Ordering::SeqCst) {
            true => Poll::Ready(polls),
            false => Poll::Pending,
        }
    }));
    (task, cell)
}

/// A task on nothing of callsoon's is woken from another thread.
#[test]
fn a_waker_works_from_another_thread() {
    let event_loop = EventLoop::new();
    let (send, receive) = futures::channel::oneshot::channel();
    let thread = thread::spawn(move || send.send("hello").unwrap());
    assert_eq!(event_loop.run_until_complete(receive).unwrap(), Ok("hello"));
    thread.join().unwrap();
}

/// On the loop's own thread, inside a run, a waker queues the step at once: it runs in the next
/// turn, in its place among the callbacks.
#[test]
fn a_waker_used_in_a_run_queues_the_step_in_its_place() {
    let (event_loop, log, done) = (virtual_loop(), Log::new(), Arc::default());
    let (task, cell) = expose_waker(&event_loop, &done);
    turn(&event_loop);
    done.store(true, Ordering::SeqCst);
    let events = log.clone();
    task.add_done_callback(move |_| events.push("task done"));
    let (handle, a, b) = (event_loop.handle(), log.event("a"), log.event("b"));
    event_loop.call_soon(move || {
        handle.call_soon(a);
        cell.lock().unwrap().take().unwrap().wake();
        handle.call_soon(b);
    });
    assert_eq!(turn(&event_loop), 1);
    assert_eq!(turn(&event_loop), 3);
    assert!(task.done());
    log.expect(&["a", "b"]);
    turn(&event_loop);
    log.expect(&["task done"]);
}

/// On the loop's own thread, outside a run, it works like from another thread.
#[test]
fn a_waker_used_outside_a_run_queues_the_step() {
    let (event_loop, done) = (virtual_loop(), Arc::default());
    let (task, cell) = expose_waker(&event_loop, &done);
    turn(&event_loop);
    assert_eq!(event_loop.next_deadline(), None);
    done.store(true, Ordering::SeqCst);
    cell.lock().unwrap().as_ref().unwrap().wake_by_ref();
    assert_eq!(event_loop.next_deadline(), Some(Duration::ZERO));
    assert_eq!(event_loop.run_until_complete(task).unwrap(), 2);
}

/// Waking many times before the step runs makes one step.
#[test]
fn waking_many_times_makes_one_step() {
    let (event_loop, done) = (virtual_loop(), Arc::default());
    let (task, cell) = expose_waker(&event_loop, &done);
    turn(&event_loop);
    let waker = cell.lock().unwrap().clone().unwrap();
    // Outside a run: two turns, for a wake-up in the mail queues the step.
    for _ in 0..100 {
        waker.wake_by_ref();
    }
    settle(&event_loop);
    // Inside one.
    let inside = waker.clone();
    event_loop.call_soon(move || (0..100).for_each(|_| inside.wake_by_ref()));
    settle(&event_loop);
    // From threads.
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| (0..100).for_each(|_| waker.wake_by_ref()));
        }
    });
    settle(&event_loop);
    done.store(true, Ordering::SeqCst);
    waker.wake();
    assert_eq!(event_loop.run_until_complete(task).unwrap(), 5);
}

/// A task that wakes itself as it is polled runs again in the next turn, as after a yield.
#[test]
fn a_task_that_wakes_itself_runs_in_the_next_turn() {
    let event_loop = virtual_loop();
    let mut polls = 0;
    let task = event_loop.create_task(poll_fn(move |cx| {
        polls += 1;
        cx.waker().wake_by_ref();
        cx.waker().wake_by_ref();
        if polls < 3 {
            Poll::Pending
        } else {
            Poll::Ready(polls)
        }
    }));
    for _ in 0..3 {
        assert!(!task.done());
        assert_eq!(turn(&event_loop), 1);
    }
    assert_eq!(task.result().unwrap(), 3);
    settle(&event_loop);
}

/// Ten threads wake a task while it finishes: no wake-up is lost before, none does harm after.
#[test]
fn ten_threads_wake_a_task_while_it_finishes() {
    for _ in 0..20 {
        let event_loop = EventLoop::new();
        let done = Arc::default();
        let (task, cell) = expose_waker(&event_loop, &done);
        turn(&event_loop);
        let waker = cell.lock().unwrap().clone().unwrap();
        let start = Arc::new(Barrier::new(11));
        let threads: Vec<_> = (0..10)
            .map(|n| {
                let (waker, start, done) = (waker.clone(), start.clone(), done.clone());
                thread::spawn(move || {
                    start.wait();
                    for i in 0..200 {
                        if n == 0 && i == 100 {
                            done.store(true, Ordering::SeqCst);
                        }
                        waker.wake_by_ref();
                    }
                })
            })
            .collect();
        start.wait();
        assert!(event_loop.run_until_complete(task).unwrap() >= 2);
        for thread in threads {
            thread.join().unwrap();
        }
        settle(&event_loop);
        assert!(event_loop.all_tasks().is_empty());
    }
}

/// A waker whose task is over wakes nobody, also not the task that got its place.
#[test]
fn a_waker_of_a_finished_task_wakes_nobody() {
    let (event_loop, done) = (virtual_loop(), Arc::default());
    let (task, cell) = expose_waker(&event_loop, &done);
    turn(&event_loop);
    let stale = cell.lock().unwrap().clone().unwrap();
    done.store(true, Ordering::SeqCst);
    stale.wake_by_ref();
    event_loop.run_until_complete(task).unwrap();

    let (next, cell) = expose_waker(&event_loop, &Arc::default());
    turn(&event_loop);
    let fresh = cell.lock().unwrap().clone().unwrap();
    assert!(!fresh.will_wake(&stale));
    stale.wake_by_ref();
    let inside = stale.clone();
    event_loop.call_soon(move || inside.wake());
    thread::spawn(move || stale.wake()).join().unwrap();
    settle(&event_loop);
    assert!(!next.done());
    next.cancel();
    settle(&event_loop);
    // Its one poll left one waker behind; the stale ones made no other.
    assert!(cell.lock().unwrap().as_ref().unwrap().will_wake(&fresh));
}

/// A waker that outlives its loop does nothing, on any thread.
#[test]
fn a_waker_that_outlives_its_loop_does_nothing() {
    let event_loop = virtual_loop();
    event_loop.set_exception_handler(|_, _| ());
    let (task, cell) = expose_waker(&event_loop, &Arc::default());
    turn(&event_loop);
    let waker = cell.lock().unwrap().clone().unwrap();
    drop(event_loop);
    waker.wake_by_ref();
    let other = waker.clone();
    thread::spawn(move || other.wake()).join().unwrap();
    // Inside another loop's run, too.
    callsoon::run(async move { waker.wake() });
    assert!(!task.done());
}

/// A waker of one loop, used inside a run of another on the same thread, reaches its own.
#[test]
fn a_waker_used_inside_another_loop_reaches_its_own_loop() {
    let (event_loop, done) = (virtual_loop(), Arc::default());
    let (task, cell) = expose_waker(&event_loop, &done);
    turn(&event_loop);
    done.store(true, Ordering::SeqCst);
    let waker = cell.lock().unwrap().clone().unwrap();
    callsoon::run(async move { waker.wake() });
    assert!(!task.done());
    assert_eq!(event_loop.run_until_complete(task).unwrap(), 2);
}

/// Two tasks that were polled with wakers of their own are told apart.
#[test]
fn wakers_of_two_tasks_are_told_apart() {
    let event_loop = virtual_loop();
    let (ends, waits) = (Arc::default(), Arc::default());
    let (first, cell) = expose_waker(&event_loop, &ends);
    let (second, other) = expose_waker(&event_loop, &waits);
    turn(&event_loop);
    let waker = cell.lock().unwrap().clone().unwrap();
    assert!(!waker.will_wake(other.lock().unwrap().as_ref().unwrap()));
    ends.store(true, Ordering::SeqCst);
    waits.store(true, Ordering::SeqCst);
    waker.wake();
    settle(&event_loop);
    assert!(first.done() && !second.done());
    other.lock().unwrap().as_ref().unwrap().wake_by_ref();
    settle(&event_loop);
    assert!(second.done());
}

/// The last clone of a waker, dropped on another thread after the task is over, frees nothing of
/// the loop's thread there.
#[test]
fn wakers_hold_no_part_of_the_task() {
    let (event_loop, drops) = (virtual_loop(), Drops::new());
    let cell = Arc::new(Mutex::new(None));
    let (exposed, guard) = (cell.clone(), drops.guard());
    let mut guard = Some(guard);
    let task = event_loop.create_task(poll_fn(move |cx| {
        exposed.lock().unwrap().replace(cx.waker().clone());
        let _alive = &mut guard;
        Poll::<()>::Pending
    }));
    turn(&event_loop);
    task.cancel();
    settle(&event_loop);
    assert_eq!(drops.count(), 1);
    let waker = cell.lock().unwrap().take().unwrap();
    thread::spawn(move || drop(waker)).join().unwrap();
}
