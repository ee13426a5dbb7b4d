//! Waiting for several concurrent futures. After: what CPython's `concurrent.futures` does in `wait` and
//! `as_completed`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use callsoon::concurrent::{
    Executor, Future, ResultError, ThreadPoolExecutor, WaitError, as_completed, wait,
};
use callsoon::{EventLoop, ReturnWhen};

use crate::support::ms;

/// A time that nobody wants to see the end of.
const LONG: Option<Duration> = Some(Duration::from_secs(3600));

fn done(value: u32) -> Future<u32> {
    let future = Future::new();
    future.set_result(value).unwrap();
    future
}

fn cancelled<T>() -> Future<T> {
    let future = Future::new();
    future.cancel();
    future
}

/// A future whose job panicked.
fn panicked<T: Send + 'static>() -> Future<T> {
    let pool = ThreadPoolExecutor::new(1);
    let future = pool.submit(|| panic!("no such file")).unwrap();
    pool.shutdown(true, false);
    future
}

/// Acts on another thread, when this one is about to wait or waits already.
fn meanwhile<R: Send + 'static>(act: impl FnOnce() -> R + Send + 'static) -> thread::JoinHandle<R> {
    let start = Arc::new(Barrier::new(2));
    let started = start.clone();
    let thread = thread::spawn(move || {
        started.wait();
        act()
    });
    start.wait();
    thread
}

// ---- wait

#[test]
fn waiting_for_all_ends_with_the_last_one() {
    for timeout in [None, LONG] {
        let futures = [done(1), Future::new(), cancelled(), Future::new()];
        let (one, two) = (futures[1].clone(), futures[3].clone());
        let setter = meanwhile(move || {
            two.set_result(4).unwrap();
            one.cancel();
        });
        let (all, none) = wait(&futures, ReturnWhen::AllCompleted, timeout).unwrap();
        assert!(all.into_iter().eq(&futures) && none.is_empty());
        setter.join().unwrap();
    }
}

#[test]
fn waiting_for_the_first_ends_with_any_end_also_a_cancellation() {
    let [one, two, three] = [Future::<u32>::new(), Future::new(), Future::new()];
    let canceller = two.clone();
    let canceller = meanwhile(move || canceller.cancel());
    let futures = [one.clone(), two.clone(), three.clone()];
    let (ended, waiting) = wait(futures, ReturnWhen::FirstCompleted, None).unwrap();
    assert_eq!((ended, waiting), (vec![two], vec![one, three]));
    assert!(canceller.join().unwrap());
}

#[test]
fn what_was_done_before_ends_a_wait_for_the_first_at_once() {
    let futures = [Future::new(), done(2), done(3)];
    let (ended, waiting) = wait(&futures, ReturnWhen::FirstCompleted, None).unwrap();
    assert_eq!((ended.len(), waiting.len()), (2, 1));
}

#[test]
fn the_first_exception_is_an_error_or_a_panic_and_not_a_cancellation() {
    let first = |failed: Future<Result<u32, &'static str>>| {
        let fine = Future::new();
        fine.set_result(Ok(1)).unwrap();
        let never = Future::new();
        let futures = [cancelled(), fine, failed, never];
        let (ended, waiting) = wait(&futures, ReturnWhen::FirstException, None).unwrap();
        (ended.len(), waiting.len())
    };
    let error = Future::new();
    error.set_exception("disk full").unwrap();
    assert_eq!(first(error), (3, 1));
    assert_eq!(first(panicked()), (3, 1));
    let late = Future::new();
    let setter = late.clone();
    let setter = meanwhile(move || setter.set_exception("disk full").unwrap());
    assert_eq!(first(late), (3, 1));
    setter.join().unwrap();
}

#[test]
fn without_an_exception_it_waits_for_all() {
    let futures = [Future::<Result<u32, ()>>::new(), Future::new(), cancelled()];
    let (one, two) = (futures[0].clone(), futures[1].clone());
    let setter = meanwhile(move || {
        two.set_result(Ok(2)).unwrap();
        one.set_result(Ok(1)).unwrap();
    });
    let (all, none) = wait(&futures, ReturnWhen::FirstException, None).unwrap();
    assert_eq!((all.len(), none.len()), (3, 0));
    setter.join().unwrap();
}

#[test]
fn a_coroutine_whose_loop_is_closed_is_an_exception() {
    let event_loop = EventLoop::new();
    let remote = event_loop.remote();
    drop(event_loop);
    let orphan = remote.run_coroutine_threadsafe(|| async { Ok::<u32, ()>(1) });
    let futures = [Future::new(), orphan];
    let (ended, _) = wait(&futures, ReturnWhen::FirstException, None).unwrap();
    assert_eq!(ended, [&futures[1]]);
}

#[test]
fn a_result_that_was_taken_matches_nothing() {
    let taken = done(2);
    taken.take_result(None).unwrap();
    let even = ReturnWhen::FirstMatching(|n| n % 2 == 0);
    let futures = [taken, done(3)];
    let (all, none) = wait(&futures, even, None).unwrap();
    assert_eq!((all.len(), none.len()), (2, 0));
}

#[test]
fn a_panic_of_the_predicate_comes_out_and_leaves_the_futures_alone() {
    let futures = [Future::new(), done(2)];
    let broken = ReturnWhen::FirstMatching(|_| panic!("in the predicate"));
    let panic = catch_unwind(AssertUnwindSafe(|| wait(&futures, broken, None).is_ok()));
    assert!(panic.is_err());
    assert_eq!(futures[1].result(None).unwrap(), 2);
    futures[0].set_result(1).unwrap();
}

#[test]
fn waiting_for_nothing_ends_at_once() {
    let nothing = || Vec::<Future<u32>>::new();
    for when in [ReturnWhen::AllCompleted, ReturnWhen::FirstCompleted] {
        let (ended, waiting) = wait(nothing(), when, None).unwrap();
        assert!(ended.is_empty() && waiting.is_empty());
    }
    assert!(as_completed(nothing(), None).next().is_none());
}

#[test]
fn the_same_future_twice_comes_back_once() {
    let future = done(1);
    let (ended, waiting) = wait([&future, &future], ReturnWhen::AllCompleted, None).unwrap();
    assert_eq!((ended.len(), waiting.len()), (1, 0));
    assert_eq!(as_completed([&future, &future], None).count(), 1);
}

#[test]
fn when_the_time_is_over_a_wait_gives_what_there_is() {
    let futures = [done(1), Future::new()];
    for timeout in [Duration::ZERO, ms(1)] {
        let (ended, waiting) = wait(&futures, ReturnWhen::AllCompleted, Some(timeout)).unwrap();
        assert_eq!((ended, waiting), (vec![&futures[0]], vec![&futures[1]]));
    }
}

/// Neither blocks a loop's own thread, and both look without waiting.
#[test]
fn blocking_the_thread_of_a_running_loop_is_refused() {
    let event_loop = EventLoop::new();
    event_loop.call_soon(|| {
        let futures = [done(1), Future::new()];
        let refused = wait(futures.clone(), ReturnWhen::AllCompleted, LONG).unwrap_err();
        assert!(matches!(refused, WaitError::WouldBlockLoop(_)));
        assert!(refused.to_string().contains("await the futures instead"));
        assert_eq!(refused.into_futures(), futures);
        let looked = wait(&futures, ReturnWhen::AllCompleted, Some(Duration::ZERO)).unwrap();
        assert_eq!((looked.0.len(), looked.1.len()), (1, 1));
        assert!(wait(&futures, ReturnWhen::FirstCompleted, None).is_ok());

        let mut ends = as_completed(&futures, None);
        assert_eq!(ends.next().unwrap().unwrap(), &futures[0]);
        let refused = ends.next().unwrap().unwrap_err();
        assert!(matches!(&refused, WaitError::WouldBlockLoop(left) if *left == [&futures[1]]));
        assert!(ends.next().is_none());
    });
    event_loop.run_once(None).unwrap();
}

#[test]
fn a_callback_that_panics_keeps_nobody_waiting() {
    let future = Future::new();
    future.add_done_callback(|_| panic!("in a callback"));
    let setter = future.clone();
    let setter = meanwhile(move || setter.set_result(1).unwrap());
    let (ended, _) = wait([&future], ReturnWhen::AllCompleted, None).unwrap();
    assert_eq!(ended.len(), 1);
    setter.join().unwrap();
}

#[test]
fn a_wait_may_be_made_by_a_callback_of_what_it_waits_for() {
    let (send, heard) = channel();
    let other = done(2);
    let future = Future::new();
    future.add_done_callback(move |future| {
        let both = wait([future, &other], ReturnWhen::AllCompleted, None).unwrap();
        send.send(both.0.len()).unwrap();
    });
    future.set_result(1).unwrap();
    assert_eq!(heard.try_recv(), Ok(2));
}

// ---- as_completed

#[test]
fn handles_come_in_the_order_of_their_end_those_that_are_done_first() {
    let futures = [Future::new(), Future::new(), done(2), cancelled()];
    let (zero, one) = (futures[0].clone(), futures[1].clone());
    let mut ends = as_completed(&futures, LONG);
    let mut next = || {
        let end = ends.next().unwrap().unwrap();
        futures.iter().position(|future| std::ptr::eq(future, end))
    };
    assert_eq!((next(), next()), (Some(2), Some(3)));
    let setter = meanwhile(move || {
        one.set_result(1).unwrap();
        zero.set_result(0).unwrap();
    });
    assert_eq!((next(), next()), (Some(1), Some(0)));
    assert!(ends.next().is_none() && ends.next().is_none());
    setter.join().unwrap();
}

/// DIFFERENCE: Python raises once the time is over, whatever has been done meanwhile.
#[test]
fn a_time_limit_ends_with_one_error_for_all_that_are_left() {
    let futures = [Future::new(), done(1), Future::new()];
    for timeout in [Duration::ZERO, ms(1)] {
        let mut ends = as_completed(&futures, Some(timeout));
        assert_eq!(ends.size_hint(), (1, Some(3)));
        assert_eq!(ends.next().unwrap().unwrap(), &futures[1]);
        let error = ends.next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "2 of the futures are not done in time");
        assert!(matches!(&error, WaitError::TimedOut(_)));
        assert_eq!(error.into_futures(), [&futures[0], &futures[2]]);
        assert!(ends.next().is_none());
    }
}

#[test]
fn what_ends_while_nobody_asks_is_kept_for_later() {
    let futures = [Future::new(), Future::new()];
    let mut ends = as_completed(futures.clone(), Some(Duration::ZERO));
    futures[1].set_result(1).unwrap();
    futures[0].set_result(0).unwrap();
    let order: Vec<_> = ends.by_ref().map(|end| end.unwrap().result(None)).collect();
    let order: Result<Vec<_>, ResultError> = order.into_iter().collect();
    assert_eq!(order.unwrap(), [1, 0]);
}

/// What is dropped half-way leaves the futures as they were, and hears of nothing.
#[test]
fn dropping_the_iterator_withdraws_it() {
    let futures = [Future::new(), Future::new()];
    let ends = as_completed(&futures, None);
    futures[0].set_result(1).unwrap();
    drop(ends);
    futures[1].set_result(2).unwrap();
    assert_eq!(as_completed(&futures, None).count(), 2);
}

/// Threads complete and cancel futures while others wait for all, for the first and for each.
#[test]
fn under_load_each_end_is_seen_once_by_everybody() {
    const ROUNDS: usize = 200;
    const EACH: usize = 8;
    for _ in 0..ROUNDS {
        let futures: Vec<_> = (0..EACH).map(|_| Future::<usize>::new()).collect();
        let start = Arc::new(Barrier::new(5));
        let spawn = |act: fn(Vec<Future<usize>>) -> usize| {
            let (futures, start) = (futures.clone(), start.clone());
            thread::spawn(move || {
                start.wait();
                act(futures)
            })
        };
        let threads = [
            spawn(|futures| futures.iter().filter(|it| it.set_result(1).is_ok()).count()),
            spawn(|futures| futures.iter().rev().filter(|it| it.cancel()).count()),
            spawn(|futures| {
                let all = wait(futures, ReturnWhen::AllCompleted, None).unwrap();
                all.0.len()
            }),
            spawn(|mut futures| {
                let mut seen = 0;
                while !futures.is_empty() {
                    let (ended, rest) = wait(futures, ReturnWhen::FirstCompleted, None).unwrap();
                    assert!(!ended.is_empty());
                    seen += ended.len();
                    futures = rest;
                }
                seen
            }),
            spawn(|futures| as_completed(futures, None).filter(Result::is_ok).count()),
        ];
        let [set, cancelled, all, firsts, each] = threads.map(|thread| thread.join().unwrap());
        assert_eq!(
            (set + cancelled, all, firsts, each),
            (EACH, EACH, EACH, EACH)
        );
    }
}
