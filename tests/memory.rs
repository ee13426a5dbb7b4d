//! What stays allocated: measured with a counting allocator, in a binary of its own.
//!
//! Each test compares the bytes that are alive before and after, or at the peak. The tests take
//! turns, for the counter counts the whole process.

use std::alloc::System;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use callsoon::{
    Barrier, CancelledError, Clock, Condition, Event, EventLoop, Lock, Queue, Semaphore, Task,
    catch_cancel, gather, sleep, task_group, timeout, yield_now,
};
use futures::stream::{FuturesUnordered, StreamExt};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The other threads of the test harness may allocate a little meanwhile.
const NOISE: isize = 64 * 1024;

/// So many allocations at most of those threads.
const FEW: usize = 1000;

const MILLION: u64 = 1_000_000;

fn virtual_loop() -> EventLoop {
    EventLoop::builder().clock(Clock::Virtual).build()
}

/// One test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|failed| failed.into_inner())
}

/// How many bytes are allocated now.
fn alive() -> isize {
    let stats = ALLOCATOR.stats();
    // Growing and shrinking in place is in these two as well.
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
}

#[track_caller]
fn assert_flat(before: isize, after: isize) {
    let grown = after - before;
    assert!(grown < NOISE, "{grown} bytes more than before");
}

#[track_caller]
fn assert_few_allocations(allocations: usize) {
    assert!(allocations < FEW, "{allocations} allocations");
}

/// Runs the loop until all of these tasks are over.
fn run_to_the_end(event_loop: &EventLoop, tasks: impl IntoIterator<Item = Task<()>>) {
    for task in tasks {
        event_loop.run_until_complete(task).unwrap();
    }
}

/// Values that are bound and let go of leave nothing behind, in the loop or its mail.
#[test]
fn names_that_come_and_go_keep_memory_flat() {
    let _alone = alone();
    let event_loop = virtual_loop();
    let kept = event_loop.bind([0_u64; 8]);
    let before = alive();
    for n in 0..100_000 {
        let name = event_loop.bind([n; 8]);
        let count = name.call_soon_threadsafe(move |value| assert_eq!(value[7], n));
        assert!(count.is_ok());
        drop(name);
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
    }
    assert_flat(before, alive());
    assert_eq!(kept.with(|value| value[7]), Ok(0));
}

/// L11: a million timers, each cancelled before the next is made, keep no more than a handful.
#[test]
fn a_million_timers_created_and_cancelled_keep_memory_flat() {
    let _alone = alone();
    let event_loop = virtual_loop();
    let before = alive();
    let mut peak = 0;
    for n in 0..MILLION {
        let payload = [n; 8];
        let timer = event_loop.call_later(Duration::from_secs(3600 + n), move || {
            assert_eq!(payload[0], n);
        });
        timer.cancel();
        if n % 1024 == 0 {
            peak = peak.max(alive());
        }
    }
    assert_flat(before, peak);
    assert_eq!(event_loop.next_deadline(), None);
}

/// L11: the same beside a thousand timers that stay, which is what a server with timeouts does.
#[test]
fn a_million_cancelled_timers_beside_live_ones_keep_memory_flat() {
    let _alone = alone();
    let event_loop = virtual_loop();
    for n in 0..1000 {
        event_loop.call_later(Duration::from_secs(n), || ());
    }
    // Once around, so that the heap has the room it takes for as many stale entries as live ones.
    let churn = |rounds: u64| {
        let mut peak = 0;
        for n in 0..rounds {
            let delay = Duration::from_secs(n * 7919 % 5000);
            event_loop.call_later(delay, || ()).cancel();
            if n % 1024 == 0 {
                peak = peak.max(alive());
            }
        }
        peak
    };
    let before = churn(10_000);
    assert_flat(before, churn(MILLION));
}

/// One timer, re-armed a million times: later each time, as an idle timeout is.
#[test]
fn one_timer_rearmed_a_million_times_keeps_memory_flat() {
    let _alone = alone();
    let event_loop = virtual_loop();
    let timer = event_loop.call_later(Duration::from_secs(1), || ());
    let before = alive();
    let mut peak = 0;
    for n in 0..MILLION {
        assert!(timer.reschedule(Duration::from_secs(n * 7919 % 100_003)));
        if n % 1024 == 0 {
            peak = peak.max(alive());
        }
    }
    assert_flat(before, peak);
}

/// A timer that is moved in each turn in which it fires leaves nothing in the ready queue.
#[test]
fn a_timer_rearmed_as_it_fires_keeps_memory_flat() {
    let _alone = alone();
    let event_loop = virtual_loop();
    let timer = event_loop.call_later(Duration::ZERO, || ());
    let before = alive();
    for _ in 0..100_000 {
        let mover = timer.clone();
        event_loop.call_soon(move || assert!(mover.reschedule(Duration::ZERO)));
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
    }
    assert_flat(before, alive());
}

/// A million scopes and timeouts in one task, one after the other, caught and expired now and then.
#[test]
fn a_million_scopes_and_timeouts_keep_memory_flat() {
    let _alone = alone();
    let event_loop = virtual_loop();
    let churn = |rounds: u64| {
        let peak = event_loop.run_until_complete(async move {
            let mut peak = 0;
            for n in 0..rounds {
                let wait = Duration::from_millis(if n % 64 == 0 { 9 } else { 0 });
                let timed = timeout(Duration::from_millis(5), async move {
                    if n % 64 == 0 {
                        sleep(wait).await;
                    } else if n % 64 == 1 {
                        CancelledError::new("by hand").raise().await;
                    }
                });
                let caught = catch_cancel(timed).await;
                assert_eq!(caught.is_err(), n % 64 == 1);
                if n % 1024 == 0 {
                    peak = peak.max(alive());
                }
            }
            peak
        });
        peak.unwrap()
    };
    let before = churn(10_000);
    assert_flat(before, churn(MILLION));
}

/// The same with a few of them at a time, in a `FuturesUnordered`, and with groups.
#[test]
fn scopes_in_a_futures_unordered_and_groups_keep_memory_flat() {
    let _alone = alone();
    let event_loop = virtual_loop();
    let churn = |rounds: u64| {
        let peak = event_loop.run_until_complete(async move {
            let (mut peak, mut all) = (0, FuturesUnordered::new());
            for n in 0..rounds {
                let work = sleep(Duration::from_millis(n % 9));
                all.push(catch_cancel(timeout(Duration::from_millis(5), work)));
                if all.len() == 100 {
                    all.next().await;
                }
                if n % 16 == 0 {
                    task_group(async |group| drop(group.create_task(async {}))).await;
                }
                if n % 1024 == 0 {
                    peak = peak.max(alive());
                }
            }
            peak
        });
        peak.unwrap()
    };
    let before = churn(10_000);
    assert_flat(before, churn(MILLION / 10));
}

/// What a cancelled callback captured is freed at once, not when its turn comes.
#[test]
fn cancel_frees_what_the_closure_captured() {
    let _alone = alone();
    let event_loop = virtual_loop();
    let before = alive();
    let big = vec![0_u8; 8 << 20];
    let soon = event_loop.call_soon(move || drop(big));
    let big = vec![0_u8; 8 << 20];
    let later = event_loop.call_later(Duration::from_secs(1), move || drop(big));
    assert!(alive() - before >= 16 << 20);
    soon.cancel();
    later.cancel();
    assert_flat(before, alive());
}

/// R11, R14: a closed loop keeps nothing, although closures, tasks and futures hold the loop.
#[test]
fn a_dropped_loop_frees_everything() {
    let _alone = alone();
    let before = alive();
    for _ in 0..100 {
        let event_loop = virtual_loop();
        let (a, b, c) = (
            event_loop.handle(),
            event_loop.handle(),
            event_loop.handle(),
        );
        event_loop.set_exception_handler(move |_, _| drop(a.clone()));
        let future = event_loop.create_future::<()>();
        let waiting = future.clone();
        let _task = event_loop.create_task(async move {
            let _loop = b;
            waiting.await;
        });
        let _named = event_loop
            .task(std::future::pending::<()>())
            .name("x".repeat(4096))
            .spawn();
        future.add_done_callback(move |_| drop(c));
        let (d, e) = (event_loop.handle(), event_loop.handle());
        event_loop.call_later(Duration::from_secs(1), move || drop(d));
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
        event_loop.call_soon(move || drop(e));
        let remote = event_loop.remote();
        let posted = vec![0_u8; 4096];
        remote.call_soon_threadsafe(move || drop(posted)).unwrap();
    }
    assert_flat(before, alive());
}

/// Runs, one after the other, on one loop: each leaves as much as it found.
#[test]
fn many_runs_on_one_loop_keep_memory_flat() {
    let _alone = alone();
    let event_loop = virtual_loop();
    let round = || {
        let result = event_loop.run_until_complete(async {
            callsoon::sleep(Duration::from_secs(1)).await;
            callsoon::create_task(async { 2 }).await
        });
        assert_eq!(result.unwrap(), 2);
    };
    round();
    let before = alive();
    for _ in 0..10_000 {
        round();
    }
    assert_flat(before, alive());
}

/// A gather that is made again and again asks the heap for a few things, however many children it has.
#[test]
fn gathers_made_at_one_place_allocate_nothing_for_a_child() {
    const CHILDREN: usize = 1000;
    let _alone = alone();
    let event_loop = virtual_loop();
    let gathered = event_loop.create_task(async {
        let mut before = 0;
        for round in 0..101 {
            if round == 1 {
                before = ALLOCATOR.stats().allocations;
            }
            let children = (0..CHILDREN).map(|number| async move {
                yield_now().await;
                number + round
            });
            assert_eq!(gather(children).await[CHILDREN - 1], CHILDREN - 1 + round);
        }
        ALLOCATOR.stats().allocations - before
    });
    let allocations = event_loop.run_until_complete(gathered).unwrap();
    assert!(allocations < 100 * 10 + FEW, "{allocations} allocations");
}

/// What is kept of children that are over is not much, whatever was gathered at however many places, and
/// goes with the loop.
#[test]
fn what_is_kept_of_children_is_bounded_and_goes_with_the_loop() {
    const KEPT: isize = 256 * 1024;
    async fn large<const N: usize>() -> u8 {
        let payload = [1; N];
        yield_now().await;
        payload[N / 2]
    }
    /// The caller's is the place.
    #[track_caller]
    fn gather_large<const N: usize>() -> impl Future<Output = Vec<u8>> {
        gather((0..50).map(|_| large::<N>()))
    }
    const MANY: u64 = MILLION / 10;
    let _alone = alone();
    let outside = alive();
    let event_loop = virtual_loop();
    // So that its tables and queues have their room.
    let yielding = (0..MANY).map(|_| event_loop.create_task(yield_now()));
    let tasks: Vec<_> = yielding.collect();
    run_to_the_end(&event_loop, tasks);
    let before = alive();
    event_loop
        .run_until_complete(async {
            for _ in 0..3 {
                gather_large::<10>().await;
                gather_large::<20000>().await;
                gather_large::<1000>().await;
                gather_large::<1100>().await;
                gather_large::<1200>().await;
                gather_large::<1300>().await;
                gather_large::<1400>().await;
                gather_large::<1500>().await;
                gather_large::<1600>().await;
                gather_large::<1700>().await;
                gather_large::<1800>().await;
                gather_large::<1900>().await;
                gather((0..MANY).map(std::future::ready)).await;
            }
        })
        .unwrap();
    let kept = alive() - before;
    assert!(kept < KEPT + NOISE, "{kept} bytes are kept");
    drop(event_loop);
    assert_flat(outside, alive());
}

/// What is free is taken without asking the heap for anything.
#[test]
fn uncontended_locks_and_queues_allocate_nothing() {
    let _alone = alone();
    let (lock, bare) = (Lock::new(0), Lock::new(()));
    let (semaphore, event, barrier) = (Semaphore::new(1), Event::new(), Barrier::new(1));
    let (condition, queue) = (Condition::new(0), Queue::new(1));
    event.set();
    queue.put_nowait(0).unwrap();
    queue.get_nowait().unwrap();
    let event_loop = virtual_loop();
    let used = event_loop.create_task(async move {
        let before = ALLOCATOR.stats().allocations;
        for number in 0..MILLION / 10 {
            *lock.lock().await += 1;
            bare.acquire().await;
            bare.release().unwrap();
            drop(semaphore.permit().await);
            event.wait().await;
            assert_eq!(barrier.wait().await, Ok(0));
            let guard = condition.lock().await;
            condition.notify_all().unwrap();
            drop(condition.wait_for(guard, |_| true).await);
            queue.put(number).await.unwrap();
            assert_eq!(queue.get().await, Ok(number));
            queue.task_done().unwrap();
        }
        ALLOCATOR.stats().allocations - before
    });
    let allocations = event_loop.run_until_complete(used).unwrap();
    assert_few_allocations(allocations);
}

/// Whoever waits again and again for the same thing asks the heap for nothing either, once the line has
/// been as long as it gets.
#[test]
fn contended_locks_and_queues_allocate_nothing() {
    const ROUNDS: u64 = MILLION / 100;
    let _alone = alone();
    let event_loop = virtual_loop();
    let (lock, semaphore, barrier) = (Lock::new(0), Semaphore::new(2), Barrier::new(5));
    let (full, empty) = (Queue::new(1), Queue::new(0));
    let (putting, getting) = (full.clone(), empty.clone());
    let contend = async move || {
        for number in 0..ROUNDS {
            let mut guard = lock.lock().await;
            yield_now().await;
            *guard += 1;
            drop(guard);
            let permit = semaphore.permit().await;
            yield_now().await;
            drop(permit);
            barrier.wait().await.unwrap();
            full.put(number).await.unwrap();
            empty.get().await.unwrap();
        }
    };
    let serve = async move || {
        for number in 0..5 * ROUNDS {
            getting.put(number).await.unwrap();
            putting.get().await.unwrap();
        }
    };
    let contenders = [(); 5].map(|()| contend.clone());
    let before = ALLOCATOR.stats().allocations;
    let tasks = contenders.map(|contend| event_loop.create_task(async move { contend().await }));
    let serving = event_loop.create_task(async move { serve().await });
    event_loop.run_until_complete(serving).unwrap();
    run_to_the_end(&event_loop, tasks);
    assert_few_allocations(ALLOCATOR.stats().allocations - before);
}

/// A line that was long once is not so for good: a thousand wait, all get through, and from then on those
/// few who wait again and again ask the heap for nothing.
#[test]
fn a_line_forgets_that_it_was_long() {
    let _alone = alone();
    let event_loop = virtual_loop();
    let lock = Lock::new(());
    let pass = |times: u64| {
        let lock = lock.clone();
        async move {
            for _ in 0..times {
                let guard = lock.lock().await;
                yield_now().await;
                drop(guard);
            }
        }
    };
    let all_pass = |count, times| {
        let task = |_| event_loop.create_task(pass(times));
        let tasks: Vec<_> = (0..count).map(task).collect();
        run_to_the_end(&event_loop, tasks);
    };
    all_pass(1000, 1);
    all_pass(5, 100);
    let before = ALLOCATOR.stats().allocations;
    all_pass(5, MILLION / 100);
    assert_few_allocations(ALLOCATOR.stats().allocations - before);
}

/// Waiters that come and go behind one that stays leave nothing behind.
#[test]
fn a_line_with_many_comings_and_goings_keeps_memory_flat() {
    let _alone = alone();
    let event_loop = virtual_loop();
    let event = Event::new();
    let _first = event_loop.create_task(event.wait());
    let round = || {
        let waiting = event_loop.create_task(event.wait());
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
        waiting.cancel();
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
        assert!(waiting.cancelled());
    };
    round();
    let before = alive();
    for _ in 0..MILLION / 10 {
        round();
    }
    assert_flat(before, alive());
}

/// A group that is there for long keeps nothing of its tasks that are over.
#[test]
fn tasks_that_come_and_go_in_one_group_keep_memory_flat() {
    let _alone = alone();
    let event_loop = virtual_loop();
    let churn = |rounds: u64| {
        let peak = event_loop.run_until_complete(task_group(async move |group| {
            let mut peak = 0;
            for n in 0..rounds {
                drop(group.create_task(async {}));
                yield_now().await;
                if n % 1024 == 0 {
                    peak = peak.max(alive());
                }
            }
            peak
        }));
        peak.unwrap()
    };
    let before = churn(10_000);
    assert_flat(before, churn(MILLION / 10));
}
