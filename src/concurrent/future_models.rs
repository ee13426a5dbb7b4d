//! Model checks of the concurrent future: every interleaving of `set_result` with a thread that waits,
//! with `cancel`, and with callbacks and awaits that register. A wake-up that is lost shows as a deadlock.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use super::{Future, ResultError, expected_by, wait};
use crate::ReturnWhen;

#[test]
fn whoever_blocks_gets_the_result_that_another_thread_sets() {
    loom::model(|| {
        let future = Future::new();
        let promise = future.clone();
        let setter = thread::spawn(move || promise.set_result(5).expect("nobody else does"));
        assert_eq!(future.result(None).expect("it has a result"), 5);
        setter.join().unwrap();
    });
}

#[test]
fn either_the_result_or_the_cancellation_wins_and_a_callback_is_called_once() {
    loom::model(|| {
        let future = Future::new();
        let calls = Arc::new(AtomicU32::new(0));
        let count = calls.clone();
        let (promise, canceller) = (future.clone(), future.clone());
        let setter = thread::spawn(move || promise.set_result(5).is_ok());
        let canceller = thread::spawn(move || canceller.cancel());
        future.add_done_callback(move |_| _ = count.fetch_add(1, Ordering::Relaxed));
        let (set, cancelled) = (setter.join().unwrap(), canceller.join().unwrap());
        assert!(set != cancelled, "one of the two");
        match future.result(None) {
            Ok(value) => assert!(set && value == 5),
            Err(ResultError::Cancelled) => assert!(cancelled),
            Err(other) => panic!("{other}"),
        }
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn what_runs_is_not_cancelled_and_what_is_cancelled_does_not_run() {
    loom::model(|| {
        let future = Future::<u32>::new();
        let worker = future.clone();
        let worker = thread::spawn(move || worker.set_running_or_notify_cancel().unwrap());
        let cancelled = future.cancel();
        let runs = worker.join().unwrap();
        assert!(runs != cancelled);
        assert!(future.running() != future.cancelled());
    });
}

#[test]
fn an_await_that_registers_while_the_result_is_set_is_woken_or_sees_it() {
    struct Woken(AtomicU32);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(1, Ordering::Release);
        }
    }
    loom::model(|| {
        let future = Future::new();
        let promise = future.clone();
        let setter = thread::spawn(move || promise.set_result(5).expect("nobody else does"));
        let woken = Arc::new(Woken(AtomicU32::new(0)));
        let waker = Waker::from(woken.clone());
        let mut awaited = pin!(future);
        let first = awaited.as_mut().poll(&mut Context::from_waker(&waker));
        setter.join().unwrap();
        if let Poll::Ready(result) = first {
            return assert_eq!(result.expect("it has a result"), 5);
        }
        assert_eq!(woken.0.load(Ordering::Acquire), 1);
        let second = awaited.poll(&mut Context::from_waker(&waker));
        assert!(matches!(second, Poll::Ready(Ok(5))));
    });
}

#[test]
fn a_result_that_two_threads_look_at_is_given_to_both() {
    loom::model(|| {
        let future = Future::new();
        future.set_result(5).expect("nobody else does");
        let other = future.clone();
        let reader = thread::spawn(move || other.result(None).expect("it has a result"));
        assert_eq!(future.result(None).expect("it has a result"), 5);
        assert_eq!(reader.join().unwrap(), 5);
    });
}

#[test]
fn a_job_that_blocks_on_its_loop_is_expected_again_when_the_loop_has_finished() {
    loom::model(|| {
        let event_loop = crate::EventLoop::new();
        let remote = event_loop.remote();
        remote.expect_more();
        let future = Future::of_a_loop(remote.loop_id());
        let over = Arc::new(AtomicU32::new(0));
        let (blocked, expecting, at_end) = (future.clone(), remote.clone(), over.clone());
        let job = thread::spawn(move || {
            let result = expected_by(expecting.clone(), || blocked.result(None));
            assert_eq!(result.expect("it has a result"), 5);
            at_end.store(1, Ordering::Release);
            expecting.expect_less();
        });
        future.set_result(5).expect("nobody else does");
        let expected = remote.expects_work();
        assert!(expected || over.load(Ordering::Acquire) == 1);
        job.join().unwrap();
        assert!(!remote.expects_work());
    });
}

#[test]
fn whoever_waits_for_several_is_notified_however_they_end() {
    loom::model(|| {
        let futures = [Future::new(), Future::new()];
        let ends = futures.clone();
        let [set, cancel] = ends;
        let set = thread::spawn(move || set.set_result(5).expect("nobody else does"));
        let cancel = thread::spawn(move || assert!(cancel.cancel()));
        let all = wait(&futures, ReturnWhen::AllCompleted, None).expect("no loop runs here");
        assert_eq!((all.0.len(), all.1.len()), (2, 0));
        set.join().unwrap();
        cancel.join().unwrap();
    });
}
