//! Handles that are dropped, on any thread and in any order: nothing is left behind, and nobody is blocked.
//!
//! Everything that belongs to a user (functions, results, callbacks, coroutines) holds a token, and the
//! tokens are counted.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use callsoon::concurrent::{
    Executor, ExecutorShutDownError, Future, Job, ResultError, ThreadPoolExecutor, as_completed,
};
use callsoon::{EventLoop, RunEnd};

use crate::support::{settle, turn, virtual_loop};

/// Counts the tokens that are alive.
#[derive(Clone, Default)]
struct Alive(Arc<(Mutex<usize>, Condvar)>);

struct Token(Alive);

impl Alive {
    fn token(&self) -> Token {
        *self.0.0.lock().unwrap() += 1;
        Token(self.clone())
    }

    fn count(&self) -> usize {
        *self.0.0.lock().unwrap()
    }

    /// Waits for threads that are about to drop the last of them.
    #[track_caller]
    fn expect_none(&self) {
        let (count, changed) = &*self.0;
        let longest = Duration::from_secs(60);
        let count = count.lock().unwrap();
        let waited = changed.wait_timeout_while(count, longest, |count| *count > 0);
        let (count, _) = waited.unwrap();
        let left = *count;
        drop(count);
        assert_eq!(left, 0, "tokens are left");
    }
}

impl Clone for Token {
    fn clone(&self) -> Self {
        self.0.token()
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let (count, changed) = &*self.0.0;
        *count.lock().unwrap() -= 1;
        changed.notify_all();
    }
}

fn elsewhere<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    thread::spawn(act).join().unwrap()
}

/// An executor that keeps its jobs.
#[derive(Clone, Default)]
struct Keeper(Arc<Mutex<Vec<Job>>>);

impl Executor for Keeper {
    fn execute(&self, job: Job) -> Result<(), Job> {
        self.0.lock().unwrap().push(job);
        Ok(())
    }

    fn shutdown(&self, _wait: bool, _cancel_futures: bool) {}
}

impl Keeper {
    fn take(&self) -> Job {
        self.0.lock().unwrap().remove(0)
    }
}

/// A pool of one thread, which is busy until the sender is dropped.
fn busy_pool() -> (ThreadPoolExecutor, Sender<()>) {
    let pool = ThreadPoolExecutor::new(1);
    let (release, gate) = channel::<()>();
    let (send, begun) = channel();
    let block = move || {
        send.send(()).unwrap();
        let _ = gate.recv();
    };
    drop(pool.submit(block).unwrap());
    begun.recv().unwrap();
    (pool, release)
}

/// Every order of so many things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(count - 1);
    let insert = |order: &Vec<usize>, place: usize| {
        let mut order = order.clone();
        order.insert(place, count - 1);
        order
    };
    let each = shorter.iter();
    each.flat_map(|order| (0..count).map(move |place| insert(order, place)))
        .collect()
}

// ---- concurrent futures and jobs

#[test]
fn a_future_that_is_dropped_in_any_state_keeps_nothing() {
    type Act = fn(&Future<Token>, Token);
    let acts: [Act; 5] = [
        |_, _| {},
        |future, token| drop(future.set_result(token)),
        |future, _| assert!(future.cancel()),
        |future, _| assert!(future.set_running_or_notify_cancel().unwrap()),
        |future, token| {
            drop(future.set_result(token));
            drop(future.take_result(None).unwrap());
        },
    ];
    for act in acts {
        let alive = Alive::default();
        let future = Future::new();
        let (called, listening) = (alive.token(), as_completed([future.clone()], None));
        future.add_done_callback(move |_| drop(called));
        let (other, token) = (future.clone(), alive.token());
        elsewhere(move || act(&other, token));
        elsewhere(move || drop(listening));
        elsewhere(move || drop(future));
        assert_eq!(alive.count(), 0);
    }
}

/// A job, the handle of its result, and the executor, dropped in any order; the job is run or not.
#[test]
fn a_job_and_its_future_may_be_dropped_in_any_order() {
    for run in [true, false] {
        for order in orders(3) {
            let (alive, executor) = (Alive::default(), Keeper::default());
            let function = alive.token();
            let future = executor.submit(move || function.clone()).unwrap();
            let mut job = Some(executor.take());
            let (mut future, mut executor) = (Some(future), Some(executor));
            let watching = future.clone().unwrap();
            for what in order {
                let (future, job, executor) = match what {
                    0 => (future.take(), None, None),
                    1 => (None, job.take(), None),
                    _ => (None, None, executor.take()),
                };
                elsewhere(move || {
                    drop((future, executor));
                    if let Some(job) = job.filter(|_| run) {
                        job.run();
                    }
                });
            }
            // A result, and nothing else.
            assert_eq!(alive.count(), usize::from(run));
            assert_eq!(watching.cancelled(), !run);
            drop(watching);
            assert_eq!(alive.count(), 0);
        }
    }
}

#[test]
fn whoever_waits_for_a_job_that_is_dropped_is_told() {
    let executor = Keeper::default();
    let future = executor.submit(|| 1).unwrap();
    let waiting = thread::spawn(move || future.result(None));
    let job = executor.take();
    elsewhere(move || drop(job));
    let outcome = waiting.join().unwrap();
    assert!(matches!(outcome, Err(ResultError::Cancelled)));
}

// ---- pools

#[test]
fn a_pool_that_is_dropped_with_jobs_in_its_queue_runs_and_frees_them() {
    for keep in [true, false] {
        let alive = Alive::default();
        let (pool, release) = busy_pool();
        let submit = |_| {
            let token = alive.token();
            pool.submit(move || token.clone()).unwrap()
        };
        let jobs: Vec<_> = (0..10).map(submit).filter(|_| keep).collect();
        elsewhere(move || drop(pool));
        assert_eq!(alive.count(), 10);
        drop(release);
        for job in jobs {
            assert!(job.take_result(None).is_ok());
        }
        alive.expect_none();
    }
}

/// Threads submit while others shut the pool down, in each way: what was accepted ran or was cancelled, and
/// nothing is left.
#[test]
fn a_shutdown_under_load_accounts_for_every_job() {
    const THREADS: usize = 3;
    const EACH: usize = 200;
    for (wait, cancel) in [(true, false), (false, true), (true, true), (false, false)] {
        let (alive, ran) = (Alive::default(), Arc::new(AtomicUsize::new(0)));
        let pool = Arc::new(ThreadPoolExecutor::new(2));
        let start = Arc::new(Barrier::new(THREADS + 1));
        let submitters = [(); THREADS].map(|()| {
            let (pool, start) = (pool.clone(), start.clone());
            let (alive, ran) = (alive.clone(), ran.clone());
            thread::spawn(move || {
                start.wait();
                let submit = |_| {
                    let (token, ran) = (alive.token(), ran.clone());
                    pool.submit(move || {
                        ran.fetch_add(1, Ordering::Relaxed);
                        drop(token);
                    })
                };
                (0..EACH).map(submit).collect::<Vec<_>>()
            })
        });
        start.wait();
        pool.shutdown(wait, cancel);
        pool.shutdown(true, cancel);
        let submitted = submitters.map(|thread| thread.join().unwrap());
        let (mut done, mut cancelled, mut refused) = (0, 0, 0);
        for job in submitted.into_iter().flatten() {
            match job.map(|job| job.result(Some(Duration::ZERO))) {
                Ok(Ok(())) => done += 1,
                Ok(Err(ResultError::Cancelled)) => cancelled += 1,
                Err(ExecutorShutDownError) => refused += 1,
                Ok(Err(other)) => panic!("{other}"),
            }
        }
        assert_eq!(done + cancelled + refused, THREADS * EACH);
        assert_eq!(done, ran.load(Ordering::Relaxed));
        assert!(cancel || cancelled == 0);
        assert_eq!(alive.count(), 0);
    }
}

// ---- between threads and a loop

/// What `run_in_executor` gives, its job, the loop, and a remote handle, dropped in any order.
#[test]
fn a_future_of_an_executor_its_job_and_its_loop_may_be_dropped_in_any_order() {
    for run in [true, false] {
        for order in orders(4) {
            let (alive, executor) = (Alive::default(), Keeper::default());
            let mut event_loop = Some(virtual_loop());
            let mut remote = event_loop.as_ref().map(|it| it.remote());
            let function = alive.token();
            let future = event_loop
                .as_ref()
                .unwrap()
                .run_in_executor(Some(&executor), move || function.clone());
            let called = alive.token();
            future.add_done_callback(move |_| drop(called));
            let mut future = Some(future);
            let mut job = Some(executor.take());
            for what in order {
                match what {
                    0 => drop(future.take()),
                    1 => drop(event_loop.take()),
                    2 => drop(remote.take().map(|remote| elsewhere(|| drop(remote)))),
                    _ => {
                        let job = job.take().unwrap();
                        elsewhere(move || if run { job.run() } else { drop(job) });
                    }
                }
                if let Some(event_loop) = &event_loop {
                    settle(event_loop);
                }
            }
            assert_eq!(alive.count(), 0, "run: {run}");
        }
    }
}

/// What `wrap_future` gives, what it stands for, and the loop, dropped in any order, completed or not.
#[test]
fn a_wrapped_future_its_source_and_its_loop_may_be_dropped_in_any_order() {
    for complete in [true, false] {
        for order in orders(3) {
            let alive = Alive::default();
            let mut event_loop = Some(EventLoop::new());
            let source = Future::<Token>::new();
            let wrapped = event_loop.as_ref().unwrap().wrap_future(source.clone());
            let (mut wrapped, mut source) = (Some(wrapped), Some(source));
            for what in order {
                match what {
                    0 => drop(wrapped.take()),
                    1 => drop(event_loop.take()),
                    _ => {
                        let (source, token) = (source.take().unwrap(), alive.token());
                        elsewhere(move || complete.then(|| source.set_result(token).is_ok()));
                    }
                }
                if let Some(event_loop) = &event_loop {
                    turn(event_loop);
                }
            }
            assert_eq!(alive.count(), 0, "complete: {complete}");
        }
    }
}

/// What `run_coroutine_threadsafe` gives, the remote handle, and the loop, dropped in any order, while the
/// coroutine has not begun, waits, or is done.
#[test]
fn a_submitted_coroutine_its_future_and_its_loop_may_be_dropped_in_any_order() {
    for turns in 0..4 {
        for ends in [true, false] {
            for order in orders(3) {
                let alive = Alive::default();
                let event_loop = virtual_loop();
                event_loop.set_exception_handler(|_, _| ());
                let (maker, local) = (alive.token(), alive.clone());
                let remote = event_loop.remote();
                let (future, remote) = elsewhere(move || {
                    let future = remote.run_coroutine_threadsafe(move || async move {
                        let token = local.token();
                        drop(maker);
                        if !ends {
                            pending::<()>().await;
                        }
                        token
                    });
                    (future, remote)
                });
                for _ in 0..turns {
                    turn(&event_loop);
                }
                let (mut future, mut remote) = (Some(future), Some(remote));
                let mut event_loop = Some(event_loop);
                for what in order {
                    let (future, remote) = match what {
                        0 => (future.take(), None),
                        1 => (None, remote.take()),
                        _ => {
                            drop(event_loop.take());
                            continue;
                        }
                    };
                    elsewhere(move || drop((future, remote)));
                }
                assert_eq!(alive.count(), 0, "after {turns} turns");
            }
        }
    }
}

/// A loop that is closed while its functions run: they go on, and what they give is dropped.
#[test]
fn a_loop_that_is_closed_while_functions_run_leaves_nothing() {
    let alive = Alive::default();
    for keep in [true, false] {
        let event_loop = EventLoop::new();
        let start = Arc::new(Barrier::new(3));
        let futures: Vec<_> = (0..2)
            .map(|_| {
                let (start, token) = (start.clone(), alive.token());
                event_loop.run_in_executor(None, move || {
                    start.wait();
                    start.wait();
                    token
                })
            })
            .filter(|_| keep)
            .collect();
        start.wait();
        drop(event_loop);
        assert!(futures.iter().all(|future| !future.done()));
        start.wait();
        drop(futures);
        alive.expect_none();
    }
}

/// Functions that wait for coroutines of a loop are not left waiting when it is closed.
#[test]
fn closing_a_loop_frees_the_functions_that_wait_for_it() {
    const FUNCTIONS: usize = 3;
    let (alive, event_loop) = (Alive::default(), EventLoop::new());
    event_loop.set_exception_handler(|_, _| ());
    let (send, heard) = channel();
    let waiting = Arc::new(Barrier::new(FUNCTIONS + 1));
    for _ in 0..FUNCTIONS {
        let (remote, waiting) = (event_loop.remote(), waiting.clone());
        let (send, token) = (send.clone(), alive.token());
        drop(event_loop.run_in_executor(None, move || {
            let never = remote.run_coroutine_threadsafe(move || async move {
                let _token = token;
                pending::<()>().await;
            });
            waiting.wait();
            send.send(never.result(None)).unwrap();
        }));
    }
    waiting.wait();
    settle(&event_loop);
    drop((event_loop, send));
    let outcomes: Vec<_> = heard.iter().collect();
    assert_eq!(outcomes.len(), FUNCTIONS);
    let closed = |outcome| matches!(outcome, Err(ResultError::LoopClosed));
    assert!(outcomes.into_iter().all(closed));
    alive.expect_none();
}

/// What was posted to a loop that never runs goes with the loop, and what is refused with whoever posts,
/// also if the remote handle is the last thing that is left.
#[test]
fn callbacks_that_never_run_are_dropped() {
    let (alive, event_loop) = (Alive::default(), EventLoop::new());
    let (remote, posted) = (event_loop.remote(), alive.token());
    let remote = elsewhere(move || {
        remote.call_soon_threadsafe(move || drop(posted)).unwrap();
        remote
    });
    drop(event_loop);
    assert_eq!(alive.count(), 0);
    let refused = alive.token();
    elsewhere(move || {
        assert!(remote.call_soon_threadsafe(move || drop(refused)).is_err());
    });
    assert_eq!(alive.count(), 0);
}

/// Threads submit coroutines and cancel every other one while the loop runs; then it is closed.
#[test]
fn under_load_each_submitted_coroutine_ends_once() {
    const THREADS: usize = 4;
    const EACH: usize = 250;
    let (alive, event_loop) = (Alive::default(), EventLoop::new());
    let start = Arc::new(Barrier::new(THREADS));
    let threads = [(); THREADS].map(|()| {
        let (remote, start, alive) = (event_loop.remote(), start.clone(), alive.clone());
        thread::spawn(move || {
            start.wait();
            let submit = |n: usize| {
                let token = alive.token();
                let future = remote.run_coroutine_threadsafe(move || async move {
                    callsoon::yield_now().await;
                    token
                });
                (n.is_multiple_of(2) && future.cancel(), future)
            };
            let futures: Vec<_> = (0..EACH).map(submit).collect();
            let mut ends = (0, 0);
            for (cancelled, future) in futures {
                match future.take_result(None) {
                    Ok(_token) => ends.0 += 1,
                    Err(ResultError::Cancelled) => ends.1 += usize::from(cancelled),
                    Err(other) => panic!("{other}"),
                }
            }
            ends
        })
    });
    let stop = event_loop.remote();
    let ends = thread::spawn(move || {
        let ends = threads.map(|thread| thread.join().unwrap());
        stop.stop();
        ends
    });
    assert!(matches!(event_loop.run_forever(), RunEnd::Stopped));
    for (results, cancelled) in ends.join().unwrap() {
        assert_eq!(results + cancelled, EACH);
    }
    drop(event_loop);
    assert_eq!(alive.count(), 0);
}
