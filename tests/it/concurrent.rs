//! Concurrent futures and thread pools, without a loop. After: what CPython's `concurrent.futures` does.

use std::future::Future as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use callsoon::EventLoop;
use callsoon::concurrent::{
    Executor, ExecutorShutDownError, Future, Job, ResultError, ThreadPoolExecutor,
};

// ---- the states of a future

#[test]
fn a_pending_future_becomes_running_and_then_finished() {
    let future = Future::new();
    let seen = |future: &Future<u32>| (future.running(), future.done(), future.cancelled());
    assert_eq!(seen(&future), (false, false, false));
    assert!(future.set_running_or_notify_cancel().unwrap());
    assert_eq!(seen(&future), (true, false, false));
    future.set_result(1).unwrap();
    assert_eq!(seen(&future), (false, true, false));
    assert_eq!(format!("{future:?}"), "<concurrent::Future finished>");
}

#[test]
fn cancel_is_accepted_while_pending_and_again_afterwards() {
    let future = Future::<u32>::new();
    assert!(future.cancel());
    assert!(future.cancel());
    assert!(!future.set_running_or_notify_cancel().unwrap());
    assert!(matches!(future.result(None), Err(ResultError::Cancelled)));
}

#[test]
fn cancel_is_refused_while_running_and_when_finished() {
    let future = Future::new();
    assert!(future.set_running_or_notify_cancel().unwrap());
    assert!(!future.cancel());
    future.set_result(1).unwrap();
    assert!(!future.cancel());
    assert_eq!(future.result(None).unwrap(), 1);
}

#[test]
fn a_result_comes_back_from_a_future_that_is_done_or_cancelled() {
    let future = Future::new();
    future.set_result("first").unwrap();
    let refused = future.set_result("second").unwrap_err();
    assert_eq!(refused.to_string(), "future has a result already");
    assert_eq!(refused.into_value(), "second");

    let future = Future::<Result<u32, &str>>::new();
    future.cancel();
    let refused = future.set_exception("late").unwrap_err();
    assert_eq!(refused.to_string(), "future is cancelled");
    assert_eq!(refused.into_value(), "late");
}

// ---- waiting

#[test]
fn many_threads_that_block_all_get_the_result() {
    let future = Future::new();
    let ready = Arc::new(Barrier::new(9));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (future, ready) = (future.clone(), ready.clone());
            thread::spawn(move || {
                ready.wait();
                future.result(None).unwrap()
            })
        })
        .collect();
    ready.wait();
    future.set_result(vec![7]).unwrap();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), [7]);
    }
}

#[test]
fn a_wait_with_a_timeout_ends_without_a_result_and_the_result_may_still_come() {
    let future = Future::new();
    for timeout in [Duration::ZERO, Duration::from_millis(1)] {
        let early = future.result(Some(timeout));
        assert!(matches!(early, Err(ResultError::TimedOut)));
    }
    future.set_result(5).unwrap();
    assert_eq!(future.result(Some(Duration::ZERO)).unwrap(), 5);
}

#[test]
fn blocking_the_thread_of_a_running_loop_is_refused() {
    let event_loop = EventLoop::new();
    let outcome = event_loop.run_until_complete(async {
        let future = Future::<u32>::new();
        let refused = future.result(None).unwrap_err();
        let asked = future.result(Some(Duration::ZERO)).unwrap_err();
        future.set_result(3).unwrap();
        (refused, asked, future.result(None))
    });
    let (refused, asked, done) = outcome.unwrap();
    assert!(matches!(refused, ResultError::WouldBlockLoop));
    assert!(refused.to_string().contains("await the future instead"));
    assert!(matches!(asked, ResultError::TimedOut));
    assert_eq!(done.unwrap(), 3);
}

#[test]
fn a_result_is_taken_once_and_need_not_be_clone() {
    struct Precious;
    let future = Future::new();
    future.set_result(Precious).unwrap();
    assert!(future.take_result(None).is_ok());
    assert!(matches!(future.take_result(None), Err(ResultError::Taken)));
    assert!(future.done());
}

#[test]
fn a_clone_that_panics_leaves_the_result_where_it_was() {
    struct Shy(Arc<AtomicUsize>);
    impl Clone for Shy {
        fn clone(&self) -> Self {
            assert!(self.0.fetch_add(1, Ordering::Relaxed) > 0, "not the first");
            Shy(self.0.clone())
        }
    }
    let future = Future::new();
    assert!(future.set_result(Shy(Arc::default())).is_ok());
    let first = catch_unwind(AssertUnwindSafe(|| future.result(None).is_ok()));
    assert!(first.is_err());
    assert!(future.result(None).is_ok());
}

#[test]
fn using_the_result_from_inside_its_own_clone_panics_and_does_not_block() {
    #[derive(Default)]
    struct Inward(Arc<std::sync::Mutex<Option<Future<Inward>>>>);
    impl Clone for Inward {
        fn clone(&self) -> Self {
            let future = self.0.lock().unwrap().take();
            if let Some(future) = future {
                drop(future.result(None));
            }
            Inward(self.0.clone())
        }
    }
    let future = Future::new();
    let value = Inward::default();
    *value.0.lock().unwrap() = Some(future.clone());
    assert!(future.set_result(value).is_ok());
    let panic = catch_unwind(AssertUnwindSafe(|| future.result(None).is_ok())).unwrap_err();
    let message = panic.downcast_ref::<&str>().expect("it is text");
    assert!(message.contains("looking at the future's result"));
    assert!(future.result(None).is_ok());
}

// ---- callbacks

#[test]
fn callbacks_run_in_order_in_the_completing_thread_and_late_ones_at_once() {
    let (send, heard) = channel();
    let note = |name: &'static str| {
        let send: Sender<_> = send.clone();
        move |future: &Future<u32>| {
            let value = future.result(None).unwrap();
            send.send((name, value, thread::current().id())).unwrap();
        }
    };
    let future = Future::new();
    future.add_done_callback(note("a"));
    future.add_done_callback(note("b"));
    let promise = future.clone();
    let setter = thread::spawn(move || {
        promise.set_result(1).unwrap();
        thread::current().id()
    });
    let setter = setter.join().unwrap();
    future.add_done_callback(note("late"));
    let here = thread::current().id();
    let events: Vec<_> = heard.try_iter().collect();
    assert_eq!(
        events,
        [("a", 1, setter), ("b", 1, setter), ("late", 1, here)]
    );
}

#[test]
fn a_panic_in_a_callback_stops_neither_the_others_nor_who_completes() {
    let future = Future::new();
    let (send, heard) = channel();
    future.add_done_callback(|_| panic!("in a callback"));
    future.add_done_callback(move |_| send.send("the next one").unwrap());
    future.set_result(1).unwrap();
    assert_eq!(heard.try_recv(), Ok("the next one"));
    future.add_done_callback(|_| panic!("in a late callback"));
    assert_eq!(future.result(None).unwrap(), 1);
}

#[test]
fn a_callback_may_use_the_future_and_drop_the_last_handle() {
    let future = Future::new();
    let own = future.clone();
    let (send, heard) = channel();
    future.add_done_callback(move |future| {
        let again = send.clone();
        future.add_done_callback(move |_| again.send("inner").unwrap());
        assert!(!future.cancel());
        drop(own);
        send.send("outer").unwrap();
    });
    future.set_result(1).unwrap();
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["inner", "outer"]);
}

// ---- awaiting

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn an_await_is_woken_once_and_a_dropped_one_not_at_all() {
    let future = Future::new();
    let counts = [(); 2].map(|()| Arc::new(Count(AtomicUsize::new(0))));
    let [kept, dropped] = [0, 1].map(|n| Waker::from(counts[n].clone()));
    let mut awaited = pin!(future.clone());
    for _ in 0..2 {
        let mut cx = Context::from_waker(&kept);
        assert!(awaited.as_mut().poll(&mut cx).is_pending());
    }
    {
        let mut cx = Context::from_waker(&dropped);
        assert!(pin!(future.clone()).poll(&mut cx).is_pending());
    }
    future.set_result(9).unwrap();
    assert_eq!(counts[0].0.load(Ordering::SeqCst), 1);
    assert_eq!(counts[1].0.load(Ordering::SeqCst), 0);
    assert_eq!(
        Arc::strong_count(&counts[1]),
        2,
        "the future keeps no waker"
    );
    let mut cx = Context::from_waker(&kept);
    assert!(matches!(awaited.poll(&mut cx), Poll::Ready(Ok(9))));
}

#[test]
fn several_coroutines_and_a_thread_share_one_result() {
    let event_loop = EventLoop::new();
    let future = Future::new();
    let blocked = future.clone();
    let thread = thread::spawn(move || blocked.result(None).unwrap());
    let promise = future.clone();
    let setter = thread::spawn(move || promise.set_result(5).unwrap());
    let (one, two) = (future.clone(), future.clone());
    let both = async move { callsoon::gather((async move { (&one).await }, two)).await };
    let (one, two) = event_loop.run_until_complete(both).unwrap();
    assert_eq!((one.unwrap(), two.unwrap()), (5, 5));
    assert_eq!(thread.join().unwrap(), 5);
    setter.join().unwrap();
}

/// Threads that set, cancel, wait and add callbacks, all at once, many times over.
#[test]
fn under_load_each_future_ends_once_and_tells_everybody() {
    const ROUNDS: usize = 2000;
    let futures: Arc<Vec<Future<usize>>> = Arc::new((0..ROUNDS).map(|_| Future::new()).collect());
    let calls = Arc::new(AtomicUsize::new(0));
    let start = Arc::new(Barrier::new(4));
    let spawn = |act: fn(usize, &Future<usize>, &Arc<AtomicUsize>) -> usize| {
        let (futures, calls, start) = (futures.clone(), calls.clone(), start.clone());
        thread::spawn(move || {
            start.wait();
            let each = futures.iter().enumerate();
            each.map(|(n, future)| act(n, future, &calls))
                .sum::<usize>()
        })
    };
    let threads = [
        spawn(|n, future, _| usize::from(future.set_result(n).is_ok())),
        spawn(|_, future, _| usize::from(future.cancel())),
        spawn(|n, future, _| match future.result(None) {
            Ok(value) => {
                assert_eq!(value, n);
                1
            }
            Err(_) => 0,
        }),
        spawn(|_, future, calls| {
            let calls = calls.clone();
            future.add_done_callback(move |_| _ = calls.fetch_add(1, Ordering::Relaxed));
            1
        }),
    ];
    let [set, cancelled, got, added] = threads.map(|thread| thread.join().unwrap());
    assert_eq!(set + cancelled, ROUNDS);
    assert_eq!(got, set);
    assert_eq!(added, calls.load(Ordering::Relaxed));
}

// ---- thread pools

/// A job that waits until it is told to end.
fn blocker(pool: &ThreadPoolExecutor) -> (Future<()>, Sender<()>) {
    let (release, gate) = channel::<()>();
    let (send, begun) = channel();
    let job = move || {
        send.send(()).unwrap();
        let _ = gate.recv();
    };
    let future = pool.submit(job).unwrap();
    begun.recv().unwrap();
    (future, release)
}

#[test]
fn a_pool_starts_threads_as_they_are_needed_and_no_more_than_its_maximum() {
    let pool = ThreadPoolExecutor::named(2, "few");
    let name = || thread::current().name().map(str::to_owned);
    // An idle thread is used again, or at worst a second one is started.
    let (first, release_first) = blocker(&pool);
    let (second, release_second) = blocker(&pool);
    let third = pool.submit(name).unwrap();
    assert!(!third.running() && !third.done());
    drop(release_first);
    let third = third.result(None).unwrap();
    assert_eq!(third.as_deref(), Some("few_0"));
    drop(release_second);
    first.result(None).unwrap();
    second.result(None).unwrap();
}

/// Threads that sleep are woken one by one, each by the one before: all of them, though, if there is as much
/// to do.
#[test]
fn as_many_jobs_as_there_may_be_threads_run_at_the_same_time() {
    const THREADS: usize = 4;
    let pool = ThreadPoolExecutor::new(THREADS);
    for _ in 0..250 {
        let meeting = Arc::new(Barrier::new(THREADS));
        let meet = |_| {
            let meeting = meeting.clone();
            pool.submit(move || meeting.wait().is_leader()).unwrap()
        };
        let jobs: Vec<_> = (0..THREADS).map(meet).collect();
        let leaders = jobs.iter().filter(|job| job.result(None).unwrap());
        assert_eq!(leaders.count(), 1);
    }
}

#[test]
fn a_panic_is_the_jobs_outcome_and_its_thread_lives_on() {
    let pool = ThreadPoolExecutor::new(1);
    let broken = pool.submit(|| panic!("no such file")).unwrap();
    let broken: Result<(), _> = broken.result(None);
    let Err(ResultError::Panicked(panic)) = broken else {
        panic!("it panicked");
    };
    assert_eq!(panic.message(), "no such file");
    assert!(panic.created_at().file().ends_with("concurrent.rs"));
    let name = pool.submit(|| thread::current().name().map(str::to_owned));
    let name = name.unwrap().result(None).unwrap();
    assert_eq!(name.as_deref(), Some("ThreadPoolExecutor_0"));
}

#[test]
fn a_result_that_nobody_wants_and_whose_drop_panics_harms_no_thread() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in a drop");
        }
    }
    let pool = ThreadPoolExecutor::new(1);
    let (running, release) = blocker(&pool);
    drop(pool.submit(|| Bomb).unwrap());
    drop(release);
    running.result(None).unwrap();
    assert_eq!(pool.submit(|| 5).unwrap().result(None).unwrap(), 5);
    pool.shutdown(true, false);
}

/// E3, for its part without a loop.
#[test]
fn a_job_that_was_cancelled_before_it_began_never_runs_and_one_that_runs_goes_on() {
    let pool = ThreadPoolExecutor::new(1);
    let (running, release) = blocker(&pool);
    let (send, ran) = channel();
    let waiting = pool.submit(move || send.send(()).unwrap()).unwrap();
    assert!(waiting.cancel());
    assert!(!running.cancel());
    drop(release);
    pool.shutdown(true, false);
    assert!(ran.recv().is_err(), "the job was dropped");
    assert!(running.result(None).is_ok());
}

#[test]
fn shutdown_runs_what_was_submitted_unless_told_to_cancel_it() {
    for cancel in [false, true] {
        let pool = ThreadPoolExecutor::new(1);
        let (running, release) = blocker(&pool);
        let waiting: Vec<_> = (0..3).map(|n| pool.submit(move || n).unwrap()).collect();
        pool.shutdown(false, cancel);
        assert!(waiting.iter().all(|job| job.cancelled() == cancel));
        assert_eq!(pool.submit(|| ()), Err(ExecutorShutDownError));
        drop(release);
        pool.shutdown(true, false);
        assert!(running.done());
        let ran = waiting
            .iter()
            .filter(|job| job.result(None).is_ok())
            .count();
        assert_eq!(ran, if cancel { 0 } else { 3 });
    }
}

#[test]
fn a_dropped_pool_runs_what_was_submitted_and_blocks_nobody() {
    let pool = ThreadPoolExecutor::new(1);
    let (running, release) = blocker(&pool);
    let waiting = pool.submit(|| "still runs").unwrap();
    drop(pool);
    assert!(!running.done());
    drop(release);
    assert_eq!(waiting.result(None).unwrap(), "still runs");
}

#[test]
fn a_pool_that_is_shut_down_by_its_own_job_does_not_wait_for_itself() {
    let pool = Arc::new(ThreadPoolExecutor::new(1));
    let own = pool.clone();
    let job = pool.submit(move || own.shutdown(true, true)).unwrap();
    assert!(job.result(None).is_ok());
    assert_eq!(pool.submit(|| ()), Err(ExecutorShutDownError));
}

#[test]
fn a_job_that_an_executor_drops_is_cancelled() {
    struct Careless;
    impl Executor for Careless {
        fn execute(&self, _job: Job) -> Result<(), Job> {
            Ok(())
        }
        fn shutdown(&self, _wait: bool, _cancel_futures: bool) {}
    }
    let future = Careless.submit(|| 1).unwrap();
    assert!(matches!(future.result(None), Err(ResultError::Cancelled)));
}

// ---- map

#[test]
fn map_gives_results_in_the_order_of_the_items_and_goes_on_after_a_panic() {
    let pool = ThreadPoolExecutor::new(3);
    // The first job ends last.
    let gate = Future::<()>::new();
    let opened = gate.clone();
    let share = move |n: u32| {
        if n == 4 {
            opened.result(None).unwrap();
        } else if n == 1 {
            gate.set_result(()).unwrap();
        }
        12 / n
    };
    let mut shares = pool.map(share, [4, 0, 1], None).unwrap();
    assert_eq!(shares.size_hint(), (3, Some(3)));
    assert_eq!(shares.next().unwrap().unwrap(), 3);
    let panic = shares.next().unwrap().unwrap_err();
    assert!(panic.to_string().contains("divide by zero"), "{panic}");
    assert!(panic.to_string().contains("concurrent.rs"), "{panic}");
    assert_eq!(shares.next().unwrap().unwrap(), 12);
    assert!(shares.next().is_none());
}

#[test]
fn map_submits_everything_at_the_call() {
    let pool = ThreadPoolExecutor::new(1);
    let (send, ran) = channel();
    let map = pool
        .map(move |n| send.send(n).unwrap(), 0..3, None)
        .unwrap();
    assert_eq!(ran.iter().take(3).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(map.map(Result::unwrap).count(), 3);
}

#[test]
fn dropping_a_map_cancels_what_has_not_begun() {
    let pool = ThreadPoolExecutor::new(1);
    let (running, release) = blocker(&pool);
    let (send, ran) = channel();
    let map = pool
        .map(move |n| send.send(n).unwrap(), 0..3, None)
        .unwrap();
    drop(map);
    drop(release);
    pool.shutdown(true, false);
    running.result(None).unwrap();
    assert!(ran.recv().is_err(), "the function was dropped");
}

/// DIFFERENCE: Python's iterator is over then; here each job is told of.
#[test]
fn when_the_time_of_a_map_is_over_each_job_that_is_left_says_so_and_never_begins() {
    let pool = ThreadPoolExecutor::new(1);
    let (_running, release) = blocker(&pool);
    let (send, ran) = channel();
    let job = move |n| send.send(n).unwrap();
    let map = pool.map(job, 0..3, Some(Duration::from_millis(1))).unwrap();
    let timed_out = |result| matches!(result, Err(ResultError::TimedOut));
    assert_eq!(map.filter(|result| timed_out(result.clone())).count(), 3);
    drop(release);
    assert!(ran.recv().is_err(), "the function was dropped");
}

#[test]
fn a_map_that_meets_a_shutdown_fails_and_cancels_what_it_has_submitted() {
    let pool = Arc::new(ThreadPoolExecutor::new(1));
    let (_running, release) = blocker(&pool);
    let (send, ran) = channel();
    let own = pool.clone();
    let items = (0..3).inspect(move |&n| {
        if n == 2 {
            own.shutdown(false, false);
        }
    });
    let refused = pool.map(move |n| send.send(n).unwrap(), items, None);
    assert_eq!(refused.err(), Some(ExecutorShutDownError));
    drop(release);
    assert!(ran.recv().is_err(), "the function was dropped");
}

#[test]
fn a_map_refuses_to_block_a_loops_thread() {
    let event_loop = EventLoop::new();
    let pool = ThreadPoolExecutor::new(1);
    let (_running, _release) = blocker(&pool);
    let mut map = pool.map(|n| n, [1], None).unwrap();
    let refused = event_loop.run_until_complete(async move { map.next().unwrap() });
    let refused = refused.unwrap();
    assert!(matches!(refused, Err(ResultError::WouldBlockLoop)));
}

#[test]
fn executors_whose_type_is_not_known_have_submit_and_map() {
    let pool = Arc::new(ThreadPoolExecutor::new(1));
    let shared: Arc<dyn Executor> = pool.clone();
    assert_eq!(shared.submit(|| 1).unwrap().result(None).unwrap(), 1);
    let borrowed: &dyn Executor = &*pool;
    let mut map = Executor::map(&borrowed, |n| n + 1, [1], None).unwrap();
    assert_eq!(map.next().unwrap().unwrap(), 2);
    shared.shutdown(true, false);
    assert_eq!(pool.submit(|| ()), Err(ExecutorShutDownError));
}

/// Threads submit jobs, and every other one is cancelled, while the pool works and is then shut down.
#[test]
fn under_load_each_job_runs_once_or_is_cancelled() {
    const THREADS: usize = 4;
    const EACH: usize = 2500;
    let pool = Arc::new(ThreadPoolExecutor::new(3));
    let ran = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (pool, ran) = (pool.clone(), ran.clone());
            thread::spawn(move || {
                let submit = |n: usize| {
                    let ran = ran.clone();
                    let count = move || _ = ran.fetch_add(1, Ordering::Relaxed);
                    let job = pool.submit(count).unwrap();
                    n.is_multiple_of(2) && job.cancel()
                };
                (0..EACH).filter(|&n| submit(n)).count()
            })
        })
        .collect();
    let cancelled: usize = threads.into_iter().map(|it| it.join().unwrap()).sum();
    pool.shutdown(true, false);
    assert_eq!(ran.load(Ordering::Relaxed) + cancelled, THREADS * EACH);
}
