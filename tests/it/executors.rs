//! Between threads and a loop: executors, wrapped futures, and coroutines that threads submit.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use callsoon::concurrent::{self, Executor, Job, ResultError, ThreadPoolExecutor};
use callsoon::{
    EventLoop, ReturnWhen, RunEnd, RunError, TimeoutError, catch_cancel, sleep, to_thread,
    yield_now,
};

use crate::support::{Log, ms, panic_message, reports_to, settle, turn, virtual_loop};

/// An executor whose jobs run when the test says so.
#[derive(Clone, Default)]
struct Manual {
    jobs: Arc<Mutex<Vec<Job>>>,
    shutdowns: Arc<Mutex<Vec<(bool, bool)>>>,
}

impl Manual {
    fn run_next(&self) {
        let job = self.jobs.lock().unwrap().remove(0);
        job.run();
    }
}

impl Executor for Manual {
    fn execute(&self, job: Job) -> Result<(), Job> {
        self.jobs.lock().unwrap().push(job);
        Ok(())
    }

    fn shutdown(&self, wait: bool, cancel_futures: bool) {
        self.shutdowns.lock().unwrap().push((wait, cancel_futures));
    }
}

/// A function that waits until it is told to return, and says when it has begun.
fn blocker() -> (impl FnOnce() + Send + 'static, Receiver<()>, Sender<()>) {
    let (release, gate) = channel::<()>();
    let (send, begun) = channel();
    let function = move || {
        send.send(()).unwrap();
        let _ = gate.recv();
    };
    (function, begun, release)
}

// ---- run_in_executor

/// E1: the default pool is made on first use and its threads have the loop's name.
#[test]
fn the_default_executor_is_a_pool_that_is_made_when_it_is_needed() {
    let event_loop = EventLoop::new();
    let name = || thread::current().name().map(str::to_owned);
    for _ in 0..2 {
        let name = event_loop.run_in_executor(None, name);
        let name = event_loop.run_until_complete(name).unwrap().unwrap();
        assert!(name.starts_with("callsoon_"), "{name}");
    }
}

/// E2: the end is a callback from a thread, and the awaiter goes on one turn later. After: CPython,
/// which takes the same turns.
#[test]
fn an_awaiter_goes_on_one_turn_after_the_end_has_reached_the_loop() {
    let (event_loop, log, executor) = (virtual_loop(), Log::new(), Manual::default());
    let (events, own, handle) = (log.clone(), executor.clone(), event_loop.handle());
    let task = event_loop.create_task(async move {
        let value = handle.run_in_executor(Some(&own), || 5).await;
        events.push(format!("got {value}"));
    });
    turn(&event_loop);
    assert_eq!(turn(&event_loop), 0);
    executor.run_next();
    let tick = log.clone();
    event_loop.call_soon(move || tick.push("behind the end"));
    // The end; and the other callback.
    assert_eq!(turn(&event_loop), 2);
    assert_eq!(log.take(), ["behind the end"]);
    assert!(!task.done());
    // The check for a cancellation, and the task.
    assert_eq!(turn(&event_loop), 2);
    assert_eq!(log.take(), ["got 5"]);
}

/// E3: cancelled before it begins, a function never runs.
#[test]
fn a_function_that_has_not_begun_is_cancelled_with_the_future() {
    let (event_loop, executor) = (virtual_loop(), Manual::default());
    let (send, ran) = channel();
    let future = event_loop.run_in_executor(Some(&executor), move || send.send(()).unwrap());
    assert!(future.cancel());
    settle(&event_loop);
    executor.run_next();
    assert!(ran.recv().is_err(), "it was dropped");
    settle(&event_loop);
    assert!(future.cancelled());
}

/// E3: cancelled while it runs, a function goes on, and its result is dropped, once.
#[test]
fn a_function_that_runs_goes_on_and_its_result_is_dropped() {
    struct Noted(Arc<AtomicUsize>);
    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let event_loop = EventLoop::new();
    let drops = Arc::new(AtomicUsize::new(0));
    let result = Noted(drops.clone());
    let (function, begun, release) = blocker();
    let pool = ThreadPoolExecutor::new(1);
    let future = event_loop.run_in_executor(Some(&pool), move || {
        function();
        result
    });
    begun.recv().unwrap();
    let task = event_loop.create_task(async move { future.await.0.load(Ordering::SeqCst) });
    turn(&event_loop);
    assert!(task.cancel());
    let outcome = event_loop.run_until_complete(task);
    assert!(matches!(outcome, Err(RunError::Cancelled(_))));
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    drop(release);
    pool.shutdown(true, false);
    settle(&event_loop);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}

/// E4: after its shutdown the default executor is refused, and others are not.
#[test]
fn after_its_shutdown_the_default_executor_is_refused_and_others_are_not() {
    let event_loop = EventLoop::new();
    let shutdown = event_loop.shutdown_default_executor(None);
    event_loop.run_until_complete(shutdown).unwrap().unwrap();
    let panic = panic_message(|| drop(event_loop.run_in_executor(None, || ())));
    assert!(panic.contains("default executor"), "{panic}");
    let pool = ThreadPoolExecutor::new(1);
    let explicit = event_loop.run_in_executor(Some(&pool), || 5);
    assert_eq!(event_loop.run_until_complete(explicit).unwrap(), 5);
    pool.shutdown(true, false);
    let panic = panic_message(|| {
        drop(event_loop.run_in_executor(Some(&pool), || ()));
    });
    assert!(panic.contains("shut down"), "{panic}");
}

/// E5: the loop goes on while the shutdown waits.
#[test]
fn shutting_the_default_executor_down_waits_and_does_not_block_the_loop() {
    let event_loop = EventLoop::new();
    let (function, begun, release) = blocker();
    let job = event_loop.run_in_executor(None, function);
    begun.recv().unwrap();
    let shutdown = event_loop.create_task(event_loop.shutdown_default_executor(None));
    for _ in 0..10 {
        turn(&event_loop);
    }
    assert!(!shutdown.done() && !job.done());
    event_loop.call_soon(move || drop(release));
    event_loop.run_until_complete(shutdown).unwrap().unwrap();
    event_loop.run_until_complete(job).unwrap();
}

/// E5: when the time is over it stops waiting. The job goes on.
#[test]
fn shutting_the_default_executor_down_stops_waiting_when_the_time_is_over() {
    let event_loop = EventLoop::new();
    let (function, begun, release) = blocker();
    let job = event_loop.run_in_executor(None, function);
    begun.recv().unwrap();
    let shutdown = event_loop.shutdown_default_executor(Some(ms(1)));
    let outcome = event_loop.run_until_complete(shutdown).unwrap();
    assert_eq!(outcome, Err(TimeoutError));
    drop(release);
    event_loop.run_until_complete(job).unwrap();
}

/// E5, E7: a closed loop shuts its executor down without waiting; a runner waits before.
#[test]
fn closing_a_loop_does_not_wait_for_its_executor_and_a_runner_does() {
    let executor = Manual::default();
    let event_loop = EventLoop::new();
    event_loop.set_default_executor(executor.clone());
    drop(event_loop);
    assert_eq!(*executor.shutdowns.lock().unwrap(), [(false, false)]);

    let executor = Manual::default();
    let own = executor.clone();
    callsoon::run(async move { callsoon::get_running_loop().set_default_executor(own) });
    let shutdowns = executor.shutdowns.lock().unwrap().clone();
    assert_eq!(shutdowns, [(true, false), (false, false)]);
}

#[test]
fn a_panic_of_the_function_is_the_futures_outcome() {
    let event_loop = EventLoop::new();
    let broken = event_loop.run_in_executor(None, || panic!("no such file"));
    let task = event_loop.create_task(async move {
        let outcome: Result<(), _> = broken.outcome().await;
        outcome.unwrap_err().to_string()
    });
    let error = event_loop.run_until_complete(task).unwrap();
    assert!(error.contains("no such file"), "{error}");
}

/// On a virtual clock a function counts as work to come: no time passes while it runs, and there is no
/// deadlock.
#[test]
fn a_virtual_clock_stands_still_while_a_function_runs() {
    let event_loop = virtual_loop();
    let (function, begun, release) = blocker();
    event_loop.call_later(Duration::from_secs(3600), || unreachable!("time passed"));
    let releaser = thread::spawn(move || {
        begun.recv().unwrap();
        drop(release);
    });
    let future = event_loop.run_in_executor(None, function);
    event_loop.run_until_complete(future).unwrap();
    assert_eq!(event_loop.time(), Duration::ZERO);
    releaser.join().unwrap();
}

/// A function that blocks on a coroutine of its loop is not waited for meanwhile: the coroutine may take
/// virtual time. When it goes on, it holds time still again.
#[test]
fn a_function_that_blocks_on_a_coroutine_of_its_loop_lets_time_pass() {
    const TIMES: u64 = 20;
    let event_loop = virtual_loop();
    let log = Log::new();
    reports_to(&event_loop, &log);
    event_loop.call_later(Duration::from_secs(3600), || unreachable!("time passed"));
    let remote = event_loop.remote();
    let minute = move || {
        remote.run_coroutine_threadsafe(|| async {
            sleep(Duration::from_secs(60)).await;
            Ok::<(), ()>(())
        })
    };
    let future = event_loop.run_in_executor(None, move || {
        for _ in 0..TIMES {
            minute().result(None).unwrap().unwrap();
        }
        let two = [minute(), minute()];
        let all = concurrent::wait(&two, ReturnWhen::AllCompleted, None).unwrap();
        let two = [minute(), minute()];
        all.0.len() + concurrent::as_completed(&two, None).count()
    });
    assert_eq!(event_loop.run_until_complete(future).unwrap(), 4);
    assert_eq!(
        event_loop.time(),
        Duration::from_secs(60) * (TIMES as u32 + 2)
    );
    log.expect(&[]);
}

/// What can never end is a deadlock also if a function waits for it; it ends when the loop is closed.
#[test]
fn a_function_that_blocks_on_a_coroutine_that_never_ends_is_a_deadlock() {
    let event_loop = virtual_loop();
    event_loop.set_exception_handler(|_, _| ());
    let (remote, pool) = (event_loop.remote(), ThreadPoolExecutor::new(1));
    let (send, heard) = channel();
    let future = event_loop.run_in_executor(Some(&pool), move || {
        let never = remote.run_coroutine_threadsafe(std::future::pending::<()>);
        send.send(never.result(None)).unwrap();
    });
    let outcome = event_loop.run_until_complete(future);
    assert!(matches!(outcome, Err(RunError::Deadlock(_))));
    drop(event_loop);
    assert!(matches!(heard.recv(), Ok(Err(ResultError::LoopClosed))));
}

/// A function that gives up waiting for a coroutine is waited for again.
#[test]
fn a_function_that_gives_up_on_a_coroutine_is_waited_for_again() {
    let event_loop = virtual_loop();
    let remote = event_loop.remote();
    let expected = remote.expect_work();
    let future = event_loop.run_in_executor(None, move || {
        let never = remote.run_coroutine_threadsafe(std::future::pending::<()>);
        let early = never.result(Some(ms(1)));
        let several = concurrent::wait([&never], ReturnWhen::AllCompleted, Some(ms(1))).unwrap();
        drop(expected);
        never.cancel();
        matches!(early, Err(ResultError::TimedOut)) && several.0.is_empty()
    });
    assert!(event_loop.run_until_complete(future).unwrap());
    assert!(matches!(event_loop.run_forever(), RunEnd::Idle(_)));
}

/// E6: `to_thread` is `run_in_executor(None, ..)` of the running loop.
#[test]
fn to_thread_runs_on_another_thread() {
    let here = thread::current().id();
    let there = callsoon::run(async { to_thread(|| thread::current().id()).await });
    assert_ne!(here, there);
}

// ---- wrap_future

/// F16: a result that was there before still takes the way through the queue.
#[test]
fn a_wrapped_future_that_is_done_already_ends_in_the_next_turn() {
    let event_loop = virtual_loop();
    let source = concurrent::Future::new();
    source.set_result(5).unwrap();
    let wrapped = event_loop.wrap_future(source.clone());
    assert!(!wrapped.done());
    assert_eq!(turn(&event_loop), 1);
    assert_eq!(wrapped.result().unwrap(), 5);
    assert!(matches!(source.result(None), Err(ResultError::Taken)));
}

/// F16: cancellation goes both ways.
#[test]
fn cancelling_either_of_a_wrapped_pair_cancels_the_other() {
    let event_loop = virtual_loop();
    let source = concurrent::Future::<u32>::new();
    let wrapped = event_loop.wrap_future(source.clone());
    wrapped.cancel();
    assert!(!source.cancelled(), "in the next turn");
    turn(&event_loop);
    assert!(source.cancelled());

    let source = concurrent::Future::<u32>::new();
    let wrapped = event_loop.wrap_future(source.clone());
    thread::spawn(move || source.cancel()).join().unwrap();
    assert!(!wrapped.done());
    settle(&event_loop);
    assert!(wrapped.cancelled());
}

/// F16: what ends after the loop was closed is dropped, and harms nobody.
#[test]
fn an_end_toward_a_closed_loop_is_dropped() {
    let event_loop = virtual_loop();
    let source = concurrent::Future::new();
    let wrapped = event_loop.wrap_future(source.clone());
    drop(event_loop);
    source.set_result(5).unwrap();
    assert!(!wrapped.done());
    assert_eq!(source.result(None).unwrap(), 5);
}

// ---- run_coroutine_threadsafe

/// Runs a loop until `on_thread`, on another thread, is over.
fn beside<T: Send + 'static>(
    event_loop: &EventLoop,
    on_thread: impl FnOnce(callsoon::RemoteHandle) -> T + Send + 'static,
) -> T {
    let remote = event_loop.remote();
    let expected = remote.expect_work();
    let worker = thread::spawn(move || {
        let result = on_thread(remote.clone());
        remote.stop();
        drop(expected);
        result
    });
    assert!(matches!(event_loop.run_forever(), RunEnd::Stopped));
    worker.join().unwrap()
}

/// T15: the coroutine is made and run on the loop's thread, and need not be `Send`.
#[test]
fn a_thread_gets_the_result_of_a_coroutine_that_stays_on_the_loops_thread() {
    let event_loop = EventLoop::new();
    let here = thread::current().id();
    let result = beside(&event_loop, move |remote| {
        let future = remote.run_coroutine_threadsafe(move || async move {
            let shared = Rc::new(RefCell::new(4));
            yield_now().await;
            *shared.borrow_mut() += 1;
            (*shared.borrow(), thread::current().id() == here)
        });
        future.result(None)
    });
    assert_eq!(result.unwrap(), (5, true));
}

/// The task of a submitted coroutine was created where that was submitted.
#[test]
fn a_submitted_task_knows_who_has_submitted_it() {
    let event_loop = EventLoop::new();
    let (site, line) = beside(&event_loop, |remote| {
        let site = || async { callsoon::current_task().map(|task| task.created_at()) };
        let (future, line) = (remote.run_coroutine_threadsafe(site), line!());
        (future.result(None).unwrap().unwrap(), line)
    });
    assert_eq!((site.file(), site.line()), (file!(), line));
}

/// T15: cancelling the future cancels the task, which may clean up.
#[test]
fn cancelling_the_future_cancels_the_task() {
    let event_loop = EventLoop::new();
    let (send, heard) = channel();
    let cancelled = beside(&event_loop, move |remote| {
        let (begin, begun) = channel();
        let future = remote.run_coroutine_threadsafe(move || async move {
            begin.send(()).unwrap();
            let caught = catch_cancel(std::future::pending::<()>()).await;
            send.send(caught.is_err()).unwrap();
        });
        begun.recv().unwrap();
        let cancelled = future.cancel();
        // The loop hears of it before it is stopped.
        cancelled && matches!(future.result(None), Err(ResultError::Cancelled))
    });
    assert!(cancelled);
    settle(&event_loop);
    assert_eq!(heard.try_recv(), Ok(true));
    assert!(event_loop.all_tasks().is_empty());
}

/// T15: a task that ends cancelled cancels the future; a panic is its outcome.
#[test]
fn a_cancelled_task_cancels_the_future_and_a_panic_is_its_outcome() {
    let event_loop = EventLoop::new();
    let (cancelled, coroutine, maker) = beside(&event_loop, |remote| {
        let cancelled = remote.run_coroutine_threadsafe(|| async {
            callsoon::current_task().unwrap().cancel();
            yield_now().await;
        });
        let coroutine = remote.run_coroutine_threadsafe(|| async { panic!("in the coroutine") });
        let maker = remote.run_coroutine_threadsafe(|| {
            assert!(thread::current().name().is_none(), "in the maker");
            async {}
        });
        let coroutine: Result<(), _> = coroutine.result(None);
        (cancelled.result(None), coroutine, maker.result(None))
    });
    assert!(matches!(cancelled, Err(ResultError::Cancelled)));
    assert!(
        coroutine
            .unwrap_err()
            .to_string()
            .contains("in the coroutine")
    );
    assert!(maker.unwrap_err().to_string().contains("in the maker"));
}

/// T15, DIFFERENCE: a closed loop ends the future with an error; asyncio leaves the caller blocked.
#[test]
fn closing_the_loop_ends_the_future_with_an_error() {
    let event_loop = EventLoop::new();
    let kept = Rc::new(RefCell::new(None));
    let remote = event_loop.remote();
    let (task, other) = (remote.clone(), remote.clone());
    let waiting = thread::spawn(move || {
        task.run_coroutine_threadsafe(|| async {
            callsoon::get_running_loop().stop();
            std::future::pending::<()>().await;
        })
    });
    let waiting = waiting.join().unwrap();
    event_loop.run_forever();
    // Somebody keeps the task, and one more coroutine has not been made.
    kept.replace(Some(event_loop.all_tasks()));
    let not_made = thread::spawn(move || other.run_coroutine_threadsafe(|| async {}));
    let not_made = not_made.join().unwrap();
    let blocked = waiting.clone();
    let blocked = thread::spawn(move || blocked.result(None));
    drop(event_loop);
    let refused = remote.run_coroutine_threadsafe(|| async {});
    for outcome in [
        blocked.join().unwrap(),
        waiting.result(None),
        not_made.result(None),
        refused.result(None),
    ] {
        assert!(matches!(outcome, Err(ResultError::LoopClosed)));
    }
}

/// A coroutine that a thread has submitted may sleep in virtual time.
#[test]
fn a_submitted_coroutine_sleeps_in_virtual_time() {
    let event_loop = virtual_loop();
    let remote = event_loop.remote();
    let submit = || {
        remote.run_coroutine_threadsafe(|| async {
            sleep(Duration::from_secs(60)).await;
            callsoon::get_running_loop().stop();
        })
    };
    let future = thread::scope(|threads| threads.spawn(submit).join().unwrap());
    event_loop.run_forever();
    settle(&event_loop);
    assert!(future.result(Some(Duration::ZERO)).is_ok());
    assert_eq!(event_loop.time(), Duration::from_secs(60));
}

// ---- several loops

/// L14: four loops on four threads send each other a million messages: none is lost, none comes twice,
/// and those of one sender keep their order.
#[test]
fn four_loops_exchange_a_million_messages() {
    const LOOPS: usize = 4;
    const EACH: usize = 1_000_000 / (LOOPS * LOOPS);
    let start = Arc::new(Barrier::new(LOOPS));
    let remotes = Arc::new(Mutex::new(Vec::new()));
    thread_local! {
        /// By sender: how many have come in order. And how many are still to come.
        static RECEIVED: RefCell<([usize; LOOPS], usize)> = const {
            RefCell::new(([0; LOOPS], LOOPS * EACH))
        };
    }
    let threads = [(); LOOPS].map(|()| {
        let (start, remotes) = (start.clone(), remotes.clone());
        thread::spawn(move || {
            let event_loop = EventLoop::new();
            let me = {
                let mut remotes = remotes.lock().unwrap();
                remotes.push(event_loop.remote());
                remotes.len() - 1
            };
            start.wait();
            let remotes = remotes.lock().unwrap().clone();
            event_loop.create_task(async move {
                for n in 0..EACH {
                    for to in &remotes {
                        let receive = move || {
                            let left = RECEIVED.with_borrow_mut(|(counts, left)| {
                                counts[me] += usize::from(counts[me] == n);
                                *left -= 1;
                                *left
                            });
                            if left == 0 {
                                callsoon::get_running_loop().stop();
                            }
                        };
                        to.call_soon_threadsafe(receive).unwrap();
                    }
                    if n.is_multiple_of(100) {
                        yield_now().await;
                    }
                }
            });
            // A loop sends to itself, too, so it has sent everything when it has received everything.
            event_loop.run_forever();
            RECEIVED.take().0
        })
    });
    for thread in threads {
        assert_eq!(thread.join().unwrap(), [EACH; LOOPS]);
    }
}
