//! Model checks of how wakers are posted and recycled, with a reference count that loom sees.
//!
//! `Target` and the mailbox are the real ones. Around them, `Counted` stands for `Arc<TaskWaker>`
//! with std's orderings, and `Loop` for what `Stepper` and a turn do with wakers. A wake-up that is
//! lost, or that wakes another task in place of the right one, shows as a deadlock.

use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;

use super::waker::{OWN_REFERENCES, Target};
use crate::event_loop::Mailbox;

/// What the references to a waker share.
struct Shared {
    references: AtomicUsize,
    target: Target,
    mailbox: Arc<Mailbox<Counted>>,
}

/// A reference to a waker: std's `Arc`, with a count of its own for loom to see.
struct Counted(Arc<Shared>);

impl Counted {
    fn wake_by_ref(&self) {
        if self.0.target.begin_post() {
            // A closed loop has no tasks to wake.
            let _ = self.0.mailbox.post(self.clone(), |waker| waker);
        }
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.references.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.references.fetch_sub(1, Ordering::Release);
    }
}

/// `StepWaker`.
struct Owned {
    shared: Counted,
    _waker: Counted,
}

impl Owned {
    fn new(mailbox: &Arc<Mailbox<Counted>>) -> Self {
        let shared = Counted(Arc::new(Shared {
            references: AtomicUsize::new(1),
            target: Target::new(),
            mailbox: mailbox.clone(),
        }));
        Self {
            _waker: shared.clone(),
            shared,
        }
    }

    fn target(&self) -> &Target {
        &self.shared.0.target
    }

    fn is_shared(&self) -> bool {
        self.shared.0.references.load(Ordering::Relaxed) > OWN_REFERENCES
    }
}

/// A task that awaits what some threads do, one after the other or at once.
#[derive(Default)]
struct Task {
    /// A thread each, which sets the flag and wakes, to be started in the next step.
    starting: Vec<Flag>,
    /// What the coroutine looks at when it is polled.
    awaited: Vec<Flag>,
    /// What it awaits when all that is done.
    later: Vec<Flag>,
    kept: Option<Owned>,
    done: bool,
}

type Flag = Arc<AtomicBool>;

fn flags(count: usize) -> Vec<Flag> {
    (0..count).map(|_| Flag::default()).collect()
}

impl Task {
    /// Awaits what this many threads do at once, and then what one does.
    fn awaiting(at_once: usize, later: usize) -> Self {
        let awaited = flags(at_once);
        Self {
            starting: awaited.clone(),
            awaited,
            later: flags(later),
            ..Self::default()
        }
    }

    /// Polls the coroutine; says whether it is over.
    fn poll(&mut self, waker: &Counted) -> bool {
        loop {
            for flag in self.starting.drain(..) {
                let waker = waker.clone();
                thread::spawn(move || {
                    flag.store(true, Ordering::Relaxed);
                    waker.wake_by_ref();
                });
            }
            if !self.awaited.iter().all(|flag| flag.load(Ordering::Relaxed)) {
                return false;
            }
            let Some(next) = self.later.pop() else {
                return true;
            };
            self.starting.push(next.clone());
            self.awaited = vec![next];
        }
    }
}

/// A loop with a few tasks; the key of a task is its place.
struct Loop {
    mailbox: Arc<Mailbox<Counted>>,
    tasks: Vec<Task>,
    spare: Option<Owned>,
    /// How many wakers it made.
    made: usize,
}

impl Loop {
    fn new(tasks: Vec<Task>) -> Self {
        Self {
            mailbox: Arc::new(Mailbox::new()),
            tasks,
            spare: None,
            made: 0,
        }
    }

    /// Runs until every task is done, and gives the number of wakers made.
    fn run(mut self) -> usize {
        for key in 0..self.tasks.len() {
            self.step(key);
        }
        while !self.tasks.iter().all(|task| task.done) {
            if !self.mailbox.is_pending() {
                self.mailbox.wait(None);
            }
            let mut mail = Vec::new();
            self.mailbox.take_into(&mut mail);
            for waker in mail {
                waker.0.target.received();
                let key = waker.0.target.key();
                // A step runs from the ready queue, when the mail is dropped.
                drop(waker);
                self.step(usize::try_from(key).unwrap());
            }
        }
        self.mailbox.close();
        self.made
    }

    /// `Stepper::prepare`, the poll, and `Stepper::polled`.
    fn step(&mut self, key: usize) {
        let task = &mut self.tasks[key];
        if task.done {
            return;
        }
        let waker = task.kept.take().unwrap_or_else(|| {
            let waker = self.spare.take().unwrap_or_else(|| {
                self.made += 1;
                Owned::new(&self.mailbox)
            });
            waker.target().aim(key as u64);
            waker
        });
        task.done = task.poll(&waker.shared);
        if !waker.is_shared() {
            self.spare = Some(waker);
        } else if !task.done {
            task.kept = Some(waker);
        }
    }
}

/// How often the threads are interrupted at most; without a limit there is too much to explore.
const FEW_INTERRUPTIONS: usize = 3;

fn model_with_few_interruptions(model: impl Fn() + Send + Sync + 'static) {
    model_with_interruptions(FEW_INTERRUPTIONS, model);
}

fn model_with_interruptions(at_most: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(at_most);
    builder.check(model);
}

#[test]
fn wake_up_of_one_thread_arrives() {
    loom::model(|| {
        let made = Loop::new(vec![Task::awaiting(1, 0)]).run();
        assert_eq!(made, 1);
    });
}

#[test]
fn wake_ups_of_two_threads_that_meet_in_one_post_show_what_both_did() {
    model_with_few_interruptions(|| {
        Loop::new(vec![Task::awaiting(2, 0)]).run();
    });
}

#[test]
fn waker_that_was_recycled_within_its_task_wakes_again() {
    model_with_few_interruptions(|| {
        Loop::new(vec![Task::awaiting(1, 1)]).run();
    });
}

#[test]
fn waker_that_went_from_task_to_task_wakes_the_right_one() {
    model_with_few_interruptions(|| {
        Loop::new(vec![Task::awaiting(1, 0), Task::awaiting(1, 0)]).run();
    });
}

#[test]
fn wakers_of_two_tasks_of_which_one_goes_on_wake_the_right_one() {
    // Three threads and the loop.
    model_with_interruptions(FEW_INTERRUPTIONS - 1, || {
        Loop::new(vec![Task::awaiting(1, 1), Task::awaiting(1, 0)]).run();
    });
}

#[test]
fn post_to_a_closed_loop_is_refused_and_gives_its_reference_back() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::new());
        let owned = Owned::new(&mailbox);
        let waker = owned.shared.clone();
        let thread = thread::spawn(move || waker.wake_by_ref());
        drop(mailbox.close());
        thread.join().unwrap();
        assert!(!owned.is_shared(), "no reference is left in the mailbox");
    });
}
