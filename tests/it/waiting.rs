//! Random use of what tasks wait for, against simple models: whoever is cancelled or dropped, wherever it
//! stands, takes nothing with it and changes no order.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;

use callsoon::{
    Barrier, BoundedSemaphore, Condition, Event, EventLoop, Lock, Queue, Semaphore,
    try_get_running_loop, yield_now,
};
use futures::future::LocalBoxFuture;
use proptest::prelude::*;

use crate::support::{OnDrop, Stop, Victim, settle, turn, virtual_loop};

/// What happens from outside, between two turns.
#[derive(Clone, Debug)]
enum Action {
    /// Another task starts, which keeps what it gets for so many turns.
    Start(u8),
    /// The task of this number, modulo how many there are, is stopped.
    Stop(usize, Stop),
    /// Something is done with the primitive itself.
    Use(u8),
    Turn,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        4 => (0..3u8).prop_map(Action::Start),
        2 => (any::<usize>(), prop_oneof![Just(Stop::Cancel), Just(Stop::Drop)])
            .prop_map(|(which, stop)| Action::Stop(which, stop)),
        3 => any::<u8>().prop_map(Action::Use),
        4 => Just(Action::Turn),
    ];
    prop::collection::vec(action, 1..80)
}

/// What the tasks write down.
#[derive(Default)]
struct Book {
    /// Who came, in this order.
    arrived: RefCell<Vec<usize>>,
    /// Who got what it came for, in this order.
    passed: RefCell<Vec<usize>>,
    inside: Cell<usize>,
    most_inside: Cell<usize>,
}

impl Book {
    fn arrive(&self, number: usize) {
        self.arrived.borrow_mut().push(number);
    }

    fn pass(&self, number: usize) {
        self.passed.borrow_mut().push(number);
    }

    /// Somebody is inside until this is dropped.
    fn enter(self: &Rc<Self>, number: usize) -> Inside {
        self.pass(number);
        self.inside.set(self.inside.get() + 1);
        self.most_inside
            .set(self.most_inside.get().max(self.inside.get()));
        Inside(self.clone())
    }

    /// Those who passed, if nobody overtook: otherwise all that is left of them is a wrong list.
    fn in_order(&self) -> bool {
        let arrived = self.arrived.borrow();
        let place = |number: &usize| arrived.iter().position(|other| other == number);
        self.passed.borrow().iter().map(place).is_sorted()
    }
}

struct Inside(Rc<Book>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.set(self.0.inside.get() - 1);
    }
}

/// Starts and stops tasks as told, with `make` for what the task of a number does, and `act` for the rest; then
/// lets everything come to rest. Gives the numbers of those that were stopped before their end.
fn play(
    event_loop: &EventLoop,
    actions: Vec<Action>,
    mut make: impl FnMut(usize, u8) -> LocalBoxFuture<'static, ()>,
    mut act: impl FnMut(u8),
) -> (usize, HashSet<usize>) {
    let (mut tasks, mut stopped) = (Vec::new(), HashSet::new());
    for action in actions {
        match action {
            Action::Start(turns) => {
                let coroutine = make(tasks.len(), turns);
                tasks.push(Victim::spawn(event_loop, coroutine));
            }
            Action::Stop(which, stop) if !tasks.is_empty() => {
                let number = which % tasks.len();
                if !stopped.contains(&number) && tasks[number].stop(stop) {
                    stopped.insert(number);
                }
            }
            Action::Stop(..) => {}
            Action::Use(how) => act(how),
            Action::Turn => _ = turn(event_loop),
        }
    }
    settle(event_loop);
    (tasks.len(), stopped)
}

async fn stay(turns: u8) {
    for _ in 0..turns {
        yield_now().await;
    }
}

/// All who started, came, were not stopped, and did not pass.
fn left_out(book: &Book, started: usize, stopped: &HashSet<usize>) -> Vec<usize> {
    let passed = book.passed.borrow();
    let left = (0..started).filter(|number| !stopped.contains(number) && !passed.contains(number));
    left.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// K2 to K5: one at a time, in the order in which they came, and everybody.
    #[test]
    fn lock_lets_in_one_at_a_time_and_in_order(actions in actions(), bare in any::<bool>()) {
        let event_loop = virtual_loop();
        let (book, lock) = (Rc::<Book>::default(), Lock::new(()));
        let make = |number, turns| -> LocalBoxFuture<'static, ()> {
            let (book, lock) = (book.clone(), lock.clone());
            Box::pin(async move {
                book.arrive(number);
                if bare {
                    lock.acquire().await;
                    let _releases = OnDrop::new(|| lock.release().expect("it is acquired"));
                    let _inside = book.enter(number);
                    stay(turns).await;
                } else {
                    let _guard = lock.lock().await;
                    let _inside = book.enter(number);
                    stay(turns).await;
                }
            })
        };
        let act = |_| drop(lock.try_lock());
        let (started, stopped) = play(&event_loop, actions, make, act);
        prop_assert!(book.most_inside.get() <= 1);
        prop_assert!(book.in_order(), "{:?} {:?}", book.arrived, book.passed);
        prop_assert_eq!(left_out(&book, started, &stopped), Vec::<usize>::new());
        let state = format!("{lock:?}");
        prop_assert!(state.starts_with("<Lock [unlocked] "), "{}", state);
    }

    /// K7 to K9: as many at a time as there are permits, in order, and no permit is lost or made.
    #[test]
    fn semaphore_keeps_count_of_its_permits(actions in actions(), value in 0..3usize) {
        let event_loop = virtual_loop();
        let (book, semaphore) = (Rc::<Book>::default(), Semaphore::new(value));
        let make = |number, turns| -> LocalBoxFuture<'static, ()> {
            let (book, semaphore) = (book.clone(), semaphore.clone());
            Box::pin(async move {
                book.arrive(number);
                let _permit = semaphore.permit().await;
                let _inside = book.enter(number);
                stay(turns).await;
            })
        };
        let mut permits = value;
        let act = |how| match how {
            0..16 => {
                semaphore.release();
                permits += 1;
            }
            _ => drop(semaphore.try_permit()),
        };
        let (started, stopped) = play(&event_loop, actions, make, act);
        prop_assert!(book.most_inside.get() <= permits);
        prop_assert!(book.in_order(), "{:?} {:?}", book.arrived, book.passed);
        let state = if permits > 0 {
            prop_assert_eq!(left_out(&book, started, &stopped), Vec::<usize>::new());
            format!("<Semaphore [unlocked, value:{permits}] ")
        } else {
            "<Semaphore [locked".to_owned()
        };
        prop_assert!(format!("{semaphore:?}").starts_with(&state), "{:?}", semaphore);
    }

    /// K9: a bounded one has in the end what it had in the beginning.
    #[test]
    fn bounded_semaphore_is_whole_in_the_end(actions in actions(), value in 1..3usize) {
        let event_loop = virtual_loop();
        let (book, semaphore) = (Rc::<Book>::default(), BoundedSemaphore::new(value));
        let make = |number, turns| -> LocalBoxFuture<'static, ()> {
            let (book, semaphore) = (book.clone(), semaphore.clone());
            Box::pin(async move {
                let _permit = semaphore.permit().await;
                let _inside = book.enter(number);
                stay(turns).await;
            })
        };
        let (started, stopped) = play(&event_loop, actions, make, |_| drop(semaphore.try_permit()));
        prop_assert!(book.most_inside.get() <= value);
        prop_assert_eq!(left_out(&book, started, &stopped), Vec::<usize>::new());
        let state = format!("<BoundedSemaphore [unlocked, value:{value}] ");
        prop_assert!(format!("{semaphore:?}").starts_with(&state), "{:?}", semaphore);
    }

    /// K6: who waits when it is set passes, and who comes while it is set; nobody else.
    #[test]
    fn event_wakes_who_waits(actions in actions()) {
        let event_loop = virtual_loop();
        let (book, event) = (Rc::<Book>::default(), Event::new());
        // Those who wait, and those who were woken or did not have to wait.
        let waiting = Rc::new(RefCell::new(Vec::new()));
        let woken = Rc::new(RefCell::new(HashSet::new()));
        let make = |number, _| -> LocalBoxFuture<'static, ()> {
            let (book, event) = (book.clone(), event.clone());
            let (waiting, woken) = (waiting.clone(), woken.clone());
            Box::pin(async move {
                match event.is_set() {
                    true => _ = woken.borrow_mut().insert(number),
                    false => waiting.borrow_mut().push(number),
                }
                event.wait().await;
                book.pass(number);
            })
        };
        let act = |how| {
            if how < 128 {
                event.set();
                woken.borrow_mut().extend(waiting.borrow_mut().drain(..));
            } else {
                event.clear();
            }
        };
        let (_, stopped) = play(&event_loop, actions, make, act);
        let passed: HashSet<usize> = book.passed.borrow().iter().copied().collect();
        prop_assert!(passed.is_subset(&woken.borrow()));
        for missing in woken.borrow().difference(&passed) {
            prop_assert!(stopped.contains(missing), "{} was woken", missing);
        }
    }

    /// K11 to K14: whoever is notified passes; if it is stopped, the next one does.
    #[test]
    fn condition_loses_no_notification(actions in actions()) {
        let event_loop = virtual_loop();
        let (book, condition) = (Rc::<Book>::default(), Condition::new(()));
        let model = Rc::<Notified>::default();
        let make = |number, turns| -> LocalBoxFuture<'static, ()> {
            let (book, condition) = (book.clone(), condition.clone());
            let model = model.clone();
            Box::pin(async move {
                let guard = condition.lock().await;
                let waits = Waits::new(model, number);
                let guard = condition.wait(guard).await;
                waits.end();
                let _inside = book.enter(number);
                stay(turns).await;
                drop(guard);
            })
        };
        let act = |how: u8| {
            if let Some(_guard) = condition.try_lock() {
                let n = usize::from(how % 3);
                condition.notify(n).unwrap();
                model.notify(n);
            }
        };
        let (started, stopped) = play(&event_loop, actions, make, act);
        prop_assert!(book.most_inside.get() <= 1);
        for number in 0..started {
            let passed = book.passed.borrow().contains(&number);
            let waits = model.waiting.borrow().iter().any(|(waiter, _)| *waiter == number);
            prop_assert!(passed || waits || stopped.contains(&number), "{}", number);
        }
        let owed = model.waiting.borrow().iter().filter(|(_, notified)| *notified).count();
        prop_assert_eq!(owed, 0, "notified and left out: {:?}", model.waiting);
        prop_assert!(condition.try_lock().is_some());
    }

    /// K15, K16: full rounds pass; who is missing is waited for.
    #[test]
    fn barrier_lets_full_rounds_pass(actions in actions(), parties in 1..4usize) {
        let event_loop = virtual_loop();
        let (book, barrier) = (Rc::<Book>::default(), Barrier::new(parties));
        let indices = Rc::new(RefCell::new(Vec::new()));
        let make = |number, _| -> LocalBoxFuture<'static, ()> {
            let (book, barrier, indices) = (book.clone(), barrier.clone(), indices.clone());
            Box::pin(async move {
                book.arrive(number);
                let index = barrier.wait().await.expect("nobody breaks it");
                indices.borrow_mut().push(index);
                book.pass(number);
            })
        };
        let (started, stopped) = play(&event_loop, actions, make, |_| {});
        let waiting = left_out(&book, started, &stopped);
        prop_assert!(waiting.len() < parties);
        prop_assert_eq!(barrier.n_waiting(), waiting.len());
        let rounds = indices.borrow().iter().filter(|&&index| index + 1 == parties).count();
        // Of each round all pass who are not stopped on the way.
        let passed = book.passed.borrow().len();
        prop_assert!(passed <= rounds * parties && passed + stopped.len() >= rounds * parties);
        prop_assert!(!barrier.broken());
    }

    /// Q1 to Q6: what was put in comes out once and in order, and nobody waits without need.
    #[test]
    fn queue_loses_no_item(actions in actions(), maxsize in 0..3usize) {
        let event_loop = virtual_loop();
        let queue = Queue::new(maxsize);
        let (put, got) = (Rc::new(RefCell::new(Vec::new())), Rc::new(RefCell::new(Vec::new())));
        let make = |number, kind| -> LocalBoxFuture<'static, ()> {
            let (queue, put, got) = (queue.clone(), put.clone(), got.clone());
            Box::pin(async move {
                if kind == 0 {
                    queue.put(number).await.expect("it is open");
                    put.borrow_mut().push(number);
                } else {
                    let item = queue.get().await.expect("it is open");
                    got.borrow_mut().push(item);
                }
            })
        };
        let mut next = 1000;
        let act = |how: u8| {
            if how < 128 {
                if queue.put_nowait(next).is_ok() {
                    put.borrow_mut().push(next);
                }
                next += 1;
            } else if let Ok(item) = queue.get_nowait() {
                got.borrow_mut().push(item);
            }
        };
        play(&event_loop, actions, make, act);
        let state = format!("{queue:?}");
        prop_assert!(queue.empty() || !state.contains("_getters"), "{}", state);
        prop_assert!(queue.full() || !state.contains("_putters"), "{}", state);
        prop_assert!(maxsize == 0 || queue.qsize() <= maxsize);
        // Those who still wait to put are told, and no more is put.
        queue.shutdown(false);
        let mut out = got.take();
        out.extend(std::iter::from_fn(|| queue.get_nowait().ok()));
        prop_assert_eq!(out, put.take());
    }
}

/// Who waits for a notification, in the order of coming, and whether it has one.
#[derive(Default)]
struct Notified {
    waiting: RefCell<Vec<(usize, bool)>>,
}

impl Notified {
    fn notify(&self, n: usize) {
        let mut waiting = self.waiting.borrow_mut();
        let unnotified = waiting.iter_mut().filter(|(_, notified)| !notified);
        unnotified
            .take(n)
            .for_each(|(_, notified)| *notified = true);
    }
}

/// Somebody waits; unless it ends well, its notification goes to the next. One that is cancelled notifies
/// another though it was not notified itself, as in asyncio.
struct Waits {
    model: Rc<Notified>,
    number: usize,
    ended: bool,
}

impl Waits {
    fn new(model: Rc<Notified>, number: usize) -> Self {
        model.waiting.borrow_mut().push((number, false));
        let ended = false;
        Self {
            model,
            number,
            ended,
        }
    }

    fn end(mut self) {
        self.ended = true;
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        let mut waiting = self.model.waiting.borrow_mut();
        let place = waiting
            .iter()
            .position(|(number, _)| *number == self.number);
        let (_, notified) = waiting.remove(place.expect("it was put there"));
        drop(waiting);
        // In a step; what is dropped is dropped from outside.
        let cancelled = try_get_running_loop().is_ok();
        if !self.ended && (notified || cancelled) {
            self.model.notify(1);
        }
    }
}
