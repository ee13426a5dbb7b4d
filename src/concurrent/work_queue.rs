//! The jobs that wait for a worker of a pool, and the workers that wait for a job.
//!
//! It knows no threads: [`push`](WorkQueue::push) says whether one more worker is wanted, and whoever
//! makes it a worker calls [`next`](WorkQueue::next) until there is nothing more, and then
//! [`leave`](WorkQueue::leave).

use std::collections::VecDeque;
use std::time::Duration;

use crate::sync::{AtomicBool, Condvar, Mutex, MutexGuard, Ordering, look_for, wait_on};

/// For so long a worker looks for another job: a few times what it takes to wake one.
const LOOKING: Duration = Duration::from_micros(50);

/// A queue of jobs for at most so many workers.
pub(super) struct WorkQueue<J> {
    state: Mutex<State<J>>,
    /// Set under the lock of the state when that has a job, or there will be no more: for the worker that looks
    /// without it.
    news: AtomicBool,
    /// There is a job, or there will be no more.
    work: Condvar,
    /// A worker has left.
    left: Condvar,
    max_workers: usize,
}

struct State<J> {
    jobs: VecDeque<J>,
    /// Workers that wait on `work`, or were notified and have not looked yet, and the one that is looking.
    idle: usize,
    /// A worker looks for a while whether there is another job before it waits: who has one function after
    /// the other run need not wake it each time. It looks once more when it has the lock again, so nobody
    /// has to be called meanwhile.
    looking: bool,
    /// One of them was notified, and no other is until it has looked: it notifies the next if there is more
    /// to do. So a burst of jobs does not pay for a wake-up each.
    called: bool,
    /// Workers that were announced by `push` and have not left.
    workers: usize,
    /// Workers that were ever announced.
    announced: usize,
    shut_down: bool,
}

impl<J> WorkQueue<J> {
    pub(super) fn new(max_workers: usize) -> Self {
        Self {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                idle: 0,
                looking: false,
                called: false,
                workers: 0,
                announced: 0,
                shut_down: false,
            }),
            news: AtomicBool::new(false),
            work: Condvar::new(),
            left: Condvar::new(),
            max_workers,
        }
    }

    /// Appends a job, or gives it back after a shutdown. `Some(n)`: the caller is to start worker
    /// number `n`.
    pub(super) fn push(&self, job: J) -> Result<Option<usize>, J> {
        let mut state = self.state.lock();
        if state.shut_down {
            drop(state);
            return Err(job);
        }
        state.jobs.push_back(job);
        self.news.store(true, Ordering::Relaxed);
        if state.idle >= state.jobs.len() {
            self.call_one(state);
            return Ok(None);
        }
        if state.workers >= self.max_workers {
            return Ok(None);
        }
        let number = state.announced;
        state.announced += 1;
        state.workers += 1;
        Ok(Some(number))
    }

    /// Waits for a job; `None` when there will be no more, and the worker is to leave.
    pub(super) fn next(&self) -> Option<J> {
        let mut state = self.state.lock();
        let mut has_looked = false;
        loop {
            if let Some(job) = state.jobs.pop_front() {
                if !state.jobs.is_empty() {
                    self.call_one(state);
                }
                return Some(job);
            }
            if state.shut_down {
                return None;
            }
            state.idle += 1;
            if has_looked || state.looking {
                state = wait_on(&self.work, state, None);
                state.called = false;
            } else {
                state = self.look(state);
                has_looked = true;
            }
            state.idle -= 1;
        }
    }

    /// Looks for a while whether something comes.
    fn look<'a>(&'a self, mut state: MutexGuard<'a, State<J>>) -> MutexGuard<'a, State<J>> {
        state.looking = true;
        self.news.store(false, Ordering::Relaxed);
        drop(state);
        look_for(LOOKING, || self.news.load(Ordering::Relaxed));
        let mut state = self.state.lock();
        state.looking = false;
        state
    }

    /// Notifies a worker that waits, unless one is on its way or looks by itself. There is a job.
    fn call_one(&self, mut state: MutexGuard<'_, State<J>>) {
        if state.idle > 0 && !state.called && !state.looking {
            state.called = true;
            drop(state);
            self.work.notify_one();
        }
    }

    /// A worker ends. If none is left though there are jobs, which no worker could be started for, those
    /// are given, for the caller to drop.
    pub(super) fn leave(&self) -> VecDeque<J> {
        let mut state = self.state.lock();
        state.workers -= 1;
        let mut stranded = VecDeque::new();
        if state.workers == 0 {
            stranded = std::mem::take(&mut state.jobs);
        }
        drop(state);
        self.left.notify_all();
        stranded
    }

    /// Accepts no more jobs; gives those that no worker has taken if `take_jobs`.
    pub(super) fn shut_down(&self, take_jobs: bool) -> VecDeque<J> {
        let mut state = self.state.lock();
        state.shut_down = true;
        self.news.store(true, Ordering::Relaxed);
        let mut taken = VecDeque::new();
        if take_jobs {
            taken = std::mem::take(&mut state.jobs);
        }
        drop(state);
        self.work.notify_all();
        taken
    }

    /// Waits until every worker has left.
    pub(super) fn wait_for_workers(&self) {
        let mut state = self.state.lock();
        while state.workers > 0 {
            state = wait_on(&self.left, state, None);
        }
    }
}
