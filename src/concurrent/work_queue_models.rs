//! Model checks of a pool's queue: every interleaving of those who submit, work and shut down. A worker
//! that is not woken shows as a deadlock.

use std::ops::AddAssign;
use std::sync::Arc;

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use super::work_queue::WorkQueue;
use crate::sync::{Condvar, Mutex, wait_on};

/// Starts a worker that counts its jobs.
fn worker(queue: &Arc<WorkQueue<u32>>, sum: &Arc<AtomicU32>) -> thread::JoinHandle<()> {
    let (queue, sum) = (queue.clone(), sum.clone());
    thread::spawn(move || {
        while let Some(job) = queue.next() {
            sum.fetch_add(job, Ordering::Relaxed);
        }
        assert!(queue.leave().is_empty(), "it has done everything");
    })
}

#[test]
fn jobs_that_are_pushed_while_a_worker_comes_and_sleeps_are_all_done() {
    loom::model(|| {
        let (queue, sum) = (Arc::new(WorkQueue::new(1)), Arc::new(AtomicU32::new(0)));
        let mut workers = Vec::new();
        for job in [1, 10] {
            if queue.push(job).expect("it is open").is_some() {
                workers.push(worker(&queue, &sum));
            }
        }
        assert!(queue.shut_down(false).is_empty());
        queue.wait_for_workers();
        assert_eq!(sum.load(Ordering::Relaxed), 11);
        workers
            .into_iter()
            .for_each(|worker| worker.join().unwrap());
    });
}

#[test]
fn a_job_that_meets_a_shutdown_is_done_taken_or_refused() {
    loom::model(|| {
        let (queue, sum) = (Arc::new(WorkQueue::new(1)), Arc::new(AtomicU32::new(0)));
        assert!(matches!(queue.push(1), Ok(Some(0))));
        let worker = worker(&queue, &sum);
        let closer = queue.clone();
        let closer = thread::spawn(move || {
            let taken = closer.shut_down(true);
            closer.wait_for_workers();
            taken.into_iter().sum::<u32>()
        });
        let refused = match queue.push(10) {
            Ok(more) => {
                assert!(more.is_none(), "one is all there may be");
                0
            }
            Err(job) => job,
        };
        let taken = closer.join().unwrap();
        worker.join().unwrap();
        assert_eq!(sum.load(Ordering::Relaxed) + taken + refused, 11);
    });
}

#[test]
fn a_shutdown_that_waits_ends_when_all_that_was_accepted_is_done() {
    let mut model = loom::model::Builder::new();
    // Without a bound, four threads take too long.
    model.preemption_bound = Some(3);
    model.check(|| {
        let (queue, sum) = (Arc::new(WorkQueue::new(2)), Arc::new(AtomicU32::new(0)));
        assert!(matches!(queue.push(1), Ok(Some(0))));
        let first = worker(&queue, &sum);
        let (pushing, adding) = (queue.clone(), sum.clone());
        let submitter = thread::spawn(move || match pushing.push(10) {
            // It may be that the shutdown has come meanwhile, and the first worker has done it all.
            Ok(more) => (10, more.map(|_| worker(&pushing, &adding))),
            Err(_) => (0, None),
        });
        drop(queue.shut_down(false));
        queue.wait_for_workers();
        let done = sum.load(Ordering::Relaxed);
        let (accepted, second) = submitter.join().unwrap();
        assert_eq!(done, 1 + accepted);
        first.join().unwrap();
        if let Some(second) = second {
            second.join().unwrap();
        }
    });
}

/// Waits until two have met.
fn until_two((count, changed): &(Mutex<u32>, Condvar)) {
    let mut count = count.lock();
    while *count < 2 {
        count = wait_on(changed, count, None);
    }
}

#[test]
fn two_jobs_that_need_each_other_find_two_workers() {
    let mut model = loom::model::Builder::new();
    // Without a bound it takes too long.
    model.preemption_bound = Some(2);
    model.check(|| {
        let queue = Arc::new(WorkQueue::new(2));
        let met = Arc::new((Mutex::new(0), Condvar::new()));
        let mut workers = Vec::new();
        // The first two leave workers that sleep, or are about to.
        for meets in [false, false, true, true] {
            if queue.push(meets).expect("it is open").is_none() {
                continue;
            }
            let (queue, met) = (queue.clone(), met.clone());
            workers.push(thread::spawn(move || {
                while let Some(meets) = queue.next() {
                    if meets {
                        met.0.lock().add_assign(1);
                        met.1.notify_all();
                        until_two(&met);
                    }
                }
                drop(queue.leave());
            }));
        }
        // Before the shutdown, which wakes everybody.
        until_two(&met);
        drop(queue.shut_down(false));
        workers
            .into_iter()
            .for_each(|worker| worker.join().unwrap());
    });
}

#[test]
fn jobs_for_which_no_worker_can_be_started_are_given_back() {
    loom::model(|| {
        let queue = Arc::new(WorkQueue::new(1));
        assert!(matches!(queue.push(1), Ok(Some(0))));
        let other = queue.clone();
        let other = thread::spawn(move || match other.push(10) {
            Ok(Some(_)) => other.leave().into_iter().sum(),
            Ok(None) => 0,
            Err(job) => job,
        });
        let stranded: u32 = queue.leave().into_iter().sum();
        assert_eq!(stranded + other.join().unwrap(), 11);
    });
}
