//! Random programs against simple models. Time is virtual.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use callsoon::testing::Order;
use callsoon::{
    CallbackId, Clock, EventLoop, Future, Handle, LoopHandle, RunEnd, TaskHandle, TimerHandle,
    create_task, sleep, yield_now,
};
use proptest::prelude::*;

use crate::support::{ms, settle, turn, virtual_loop};

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// L6, L9, L10: timers fire by deadline, then in the order of scheduling, whatever is cancelled
    /// and rescheduled in between.
    #[test]
    fn timers_fire_like_a_sorted_list(actions in prop::collection::vec(timer_action(), 1..120)) {
        let event_loop = virtual_loop();
        let fired: Rc<RefCell<Vec<usize>>> = Rc::default();
        let mut timers: Vec<TimerHandle> = Vec::new();
        let mut model = TimerModel::default();
        for action in actions {
            match action {
                TimerAction::Later(delay) | TimerAction::At(delay) => {
                    let (fired, number) = (fired.clone(), timers.len());
                    let callback = move || fired.borrow_mut().push(number);
                    let relative = matches!(action, TimerAction::Later(_));
                    timers.push(if relative {
                        event_loop.call_later(ms(delay), callback)
                    } else {
                        event_loop.call_at(ms(delay), callback)
                    });
                    let when = if relative { model.now + delay } else { delay };
                    model.arm(number, when);
                }
                TimerAction::Cancel(which) if !timers.is_empty() => {
                    let number = which % timers.len();
                    timers[number].cancel();
                    let was_there = model.disarm(number);
                    prop_assert!(!was_there || timers[number].cancelled());
                }
                TimerAction::Reschedule(which, when) if !timers.is_empty() => {
                    let number = which % timers.len();
                    let there = timers[number].reschedule(ms(when));
                    prop_assert_eq!(there, model.disarm(number));
                    if there {
                        model.arm(number, when);
                        prop_assert_eq!(timers[number].when(), ms(when));
                    }
                }
                TimerAction::Cancel(_) | TimerAction::Reschedule(..) => {}
                TimerAction::Advance(by) => {
                    event_loop.advance(ms(by));
                    model.now += by;
                }
                TimerAction::Turn => {
                    let ran = event_loop.run_once(Some(ms(0))).unwrap().ran;
                    let due = model.take_due();
                    prop_assert_eq!(ran, due.len());
                    prop_assert_eq!(fired.take(), due);
                }
            }
            let next = model.armed.iter().map(|&(when, ..)| when.saturating_sub(model.now)).min();
            prop_assert_eq!(event_loop.next_deadline(), next.map(ms));
        }
        // To the end: one turn for each deadline.
        event_loop.run_forever();
        let mut rest = Vec::new();
        while !model.armed.is_empty() {
            model.now = model.now.max(model.armed.iter().map(|&(when, ..)| when).min().unwrap());
            rest.extend(model.take_due());
        }
        prop_assert_eq!(fired.take(), rest);
        prop_assert_eq!(event_loop.time(), ms(model.now));
    }

    /// L2, L3, L10, R1: the ready queue is first in, first out, turn by turn, with cancels and stops
    /// in it.
    #[test]
    fn ready_queue_runs_like_a_model(script in script(3), seed in any::<Option<u64>>()) {
        let event_loop = loop_with(seed);
        let real = Rc::new(RefCell::new(Vec::new()));
        let handles = Rc::new(RefCell::new(Vec::new()));
        schedule_real(&event_loop.handle(), &script, &real, &handles);
        let mut model = ReadyModel::default();
        model.schedule(&script);
        while !model.queue.is_empty() || model.stopping {
            let stopped = model.turn();
            let turn = event_loop.run_once(Some(ms(0))).unwrap();
            prop_assert_eq!(turn.stopped, stopped);
            prop_assert_eq!(&*real.borrow(), &model.log);
        }
        prop_assert_eq!(event_loop.next_deadline(), None);
    }

    /// F5, F6, F8: a future's callbacks are a list of what was added and not removed before the end.
    #[test]
    fn callbacks_behave_like_a_list(actions in prop::collection::vec(callback_action(), 1..80), seed in any::<Option<u64>>()) {
        let event_loop = loop_with(seed);
        let future = event_loop.create_future::<u32>();
        let called: Rc<RefCell<Vec<usize>>> = Rc::default();
        let mut ids: Vec<CallbackId> = Vec::new();
        let (mut waiting, mut queued): (Vec<usize>, Vec<usize>) = Default::default();
        for action in actions {
            match action {
                CallbackAction::Add => {
                    let (called, number) = (called.clone(), ids.len());
                    ids.push(future.add_done_callback(move |_| called.borrow_mut().push(number)));
                    if future.done() { queued.push(number) } else { waiting.push(number) }
                }
                CallbackAction::Remove(which) if !ids.is_empty() => {
                    let number = which % ids.len();
                    let was_there = waiting.contains(&number);
                    prop_assert_eq!(future.remove_done_callback(ids[number]), was_there);
                    waiting.retain(|&waiting| waiting != number);
                }
                CallbackAction::Remove(_) => {}
                CallbackAction::Complete(cancel) => {
                    let pending = !future.done();
                    let accepted = if cancel { future.cancel() } else { future.set_result(1).is_ok() };
                    prop_assert_eq!(accepted, pending);
                    queued.append(&mut waiting);
                }
                CallbackAction::Turn => {
                    prop_assert_eq!(turn(&event_loop), queued.len());
                    prop_assert_eq!(called.take(), std::mem::take(&mut queued));
                }
            }
            let shown = format!("{future:?}");
            let count = format!(" cb=[{}] ", waiting.len());
            prop_assert_eq!(shown.contains(" cb="), !waiting.is_empty());
            prop_assert!(waiting.is_empty() || shown.contains(&count), "{} {}", shown, count);
        }
    }

    /// No wake-up and no cancellation is lost: in any program whose futures are all completed in
    /// the end, every task ends; and a task that was cancelled and still waits for something then
    /// ends cancelled.
    #[test]
    fn every_task_of_a_random_program_ends(
        tasks in prop::collection::vec(prop::collection::vec(operation(), 0..8), 1..8),
        cancels in prop::collection::vec((0_usize..8, 0_u64..12), 0..6),
        seed in any::<Option<u64>>(),
    ) {
        let event_loop = loop_with(seed);
        event_loop.set_exception_handler(|_, _| ());
        let world = Rc::new(World {
            futures: (0..FUTURES).map(|_| event_loop.create_future()).collect(),
            handles: RefCell::default(),
        });
        let mut spawned = Vec::new();
        for program in tasks {
            let task = event_loop.create_task(run_program(world.clone(), program));
            world.handles.borrow_mut().push((*task).clone());
            spawned.push(task);
        }
        for (which, when) in cancels {
            let victim: TaskHandle = spawned[which % spawned.len()].handle();
            event_loop.call_later(ms(when), move || { victim.cancel(); });
        }
        // Whatever nobody completes is completed late.
        let late = world.clone();
        event_loop.call_later(ms(1000), move || {
            for future in &late.futures {
                let _ = future.set_result(0);
            }
        });
        let end = event_loop.run_forever();
        prop_assert!(matches!(end, RunEnd::Idle(_)));
        // Tasks may wait for each other in a circle; nothing else is left, and cancelling one of
        // them ends the circle.
        for task in event_loop.all_tasks() {
            task.cancel();
            settle(&event_loop);
            prop_assert!(task.done(), "{:?}", task);
        }
        for task in &spawned {
            prop_assert!(task.done());
        }
        prop_assert!(event_loop.all_tasks().is_empty());
        for future in &world.futures {
            prop_assert!(future.done());
            let shown = format!("{future:?}");
            prop_assert!(!shown.contains("cb="), "{}", shown);
        }
    }

    /// A cancelled task that awaits pending things, in any arrangement, ends cancelled.
    #[test]
    fn cancel_always_ends_a_waiting_task(shape in shape(3), turns in 0_usize..4, seed in any::<Option<u64>>()) {
        let event_loop = loop_with(seed);
        let task = event_loop.create_task(wait_in_shape(event_loop.handle(), shape));
        for _ in 0..turns {
            turn(&event_loop);
        }
        prop_assert!(task.cancel());
        for _ in 0..30 {
            turn(&event_loop);
        }
        prop_assert!(task.cancelled(), "{:?}", task);
    }
}

/// A loop that is first in, first out, or shuffles from a seed: what a property says of more than that
/// order holds in every one.
#[track_caller]
fn loop_with(seed: Option<u64>) -> EventLoop {
    let order = seed.map_or(Order::Fifo, |seed| Order::Shuffled { seed });
    let builder = EventLoop::builder().clock(Clock::Virtual);
    builder.order(order).build()
}

// ---- timers

#[derive(Clone, Debug)]
enum TimerAction {
    Later(u64),
    At(u64),
    Cancel(usize),
    Reschedule(usize, u64),
    Advance(u64),
    Turn,
}

fn timer_action() -> impl Strategy<Value = TimerAction> {
    prop_oneof![
        4 => (0_u64..20).prop_map(TimerAction::Later),
        2 => (0_u64..60).prop_map(TimerAction::At),
        2 => any::<usize>().prop_map(TimerAction::Cancel),
        3 => (any::<usize>(), 0_u64..80).prop_map(|(which, when)| TimerAction::Reschedule(which, when)),
        1 => (0_u64..10).prop_map(TimerAction::Advance),
        2 => Just(TimerAction::Turn),
    ]
}

#[derive(Default)]
struct TimerModel {
    now: u64,
    scheduled: usize,
    /// Deadline, when it was scheduled, number.
    armed: Vec<(u64, usize, usize)>,
}

impl TimerModel {
    fn arm(&mut self, number: usize, when: u64) {
        self.scheduled += 1;
        self.armed.push((when, self.scheduled, number));
    }

    fn disarm(&mut self, number: usize) -> bool {
        let before = self.armed.len();
        self.armed.retain(|&(.., armed)| armed != number);
        self.armed.len() < before
    }

    fn take_due(&mut self) -> Vec<usize> {
        self.armed.sort_unstable();
        let due = self.armed.partition_point(|&(when, ..)| when <= self.now);
        self.armed.drain(..due).map(|(.., number)| number).collect()
    }
}

// ---- the ready queue

#[derive(Clone, Debug)]
enum Step {
    Schedule(u32, Vec<Step>),
    Cancel(usize),
    Stop,
}

fn script(depth: u32) -> impl Strategy<Value = Vec<Step>> {
    let leaf = prop_oneof![
        3 => any::<u32>().prop_map(|name| Step::Schedule(name, Vec::new())),
        2 => any::<usize>().prop_map(Step::Cancel),
        1 => Just(Step::Stop),
    ];
    let step = leaf.prop_recursive(depth, 40, 5, |inner| {
        (any::<u32>(), prop::collection::vec(inner, 0..5))
            .prop_map(|(name, steps)| Step::Schedule(name, steps))
    });
    prop::collection::vec(step, 1..8)
}

type Shared<T> = Rc<RefCell<Vec<T>>>;

fn schedule_real(lp: &LoopHandle, steps: &[Step], log: &Shared<u32>, handles: &Shared<Handle>) {
    for step in steps {
        match step {
            Step::Schedule(name, inner) => {
                let (lp2, inner, name) = (lp.clone(), inner.clone(), *name);
                let (log, handles2) = (log.clone(), handles.clone());
                let handle = lp.call_soon(move || {
                    log.borrow_mut().push(name);
                    schedule_real(&lp2, &inner, &log, &handles2);
                });
                handles.borrow_mut().push(handle);
            }
            Step::Cancel(which) => {
                let handles = handles.borrow();
                if !handles.is_empty() {
                    handles[which % handles.len()].cancel();
                }
            }
            Step::Stop => lp.stop(),
        }
    }
}

#[derive(Default)]
struct ReadyModel {
    queue: VecDeque<usize>,
    entries: Vec<Option<(u32, Vec<Step>)>>,
    stopping: bool,
    log: Vec<u32>,
}

impl ReadyModel {
    fn schedule(&mut self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Schedule(name, inner) => {
                    self.queue.push_back(self.entries.len());
                    self.entries.push(Some((*name, inner.clone())));
                }
                Step::Cancel(which) if !self.entries.is_empty() => {
                    let which = which % self.entries.len();
                    self.entries[which] = None;
                }
                Step::Cancel(_) => {}
                Step::Stop => self.stopping = true,
            }
        }
    }

    fn turn(&mut self) -> bool {
        for _ in 0..self.queue.len() {
            let entry = self.queue.pop_front().unwrap();
            if let Some((name, inner)) = self.entries[entry].take() {
                self.log.push(name);
                self.schedule(&inner);
            }
        }
        std::mem::take(&mut self.stopping)
    }
}

// ---- callbacks

#[derive(Clone, Debug)]
enum CallbackAction {
    Add,
    Remove(usize),
    Complete(bool),
    Turn,
}

fn callback_action() -> impl Strategy<Value = CallbackAction> {
    prop_oneof![
        12 => Just(CallbackAction::Add),
        8 => any::<usize>().prop_map(CallbackAction::Remove),
        1 => any::<bool>().prop_map(CallbackAction::Complete),
        2 => Just(CallbackAction::Turn),
    ]
}

// ---- programs of tasks

const FUTURES: usize = 4;

struct World {
    futures: Vec<Future<u32>>,
    handles: RefCell<Vec<Future<()>>>,
}

#[derive(Clone, Debug)]
enum Operation {
    Yield,
    Sleep(u64),
    Await(usize),
    AwaitTask(usize),
    Join(usize, usize),
    Select(usize, usize),
    Complete(usize),
    CancelFuture(usize),
    CancelTask(usize),
    Spawn(Vec<Operation>),
}

fn operation() -> impl Strategy<Value = Operation> {
    let index = || 0_usize..8;
    let leaf = prop_oneof![
        Just(Operation::Yield),
        (0_u64..8).prop_map(Operation::Sleep),
        index().prop_map(Operation::Await),
        index().prop_map(Operation::AwaitTask),
        (index(), index()).prop_map(|(a, b)| Operation::Join(a, b)),
        (index(), index()).prop_map(|(a, b)| Operation::Select(a, b)),
        index().prop_map(Operation::Complete),
        index().prop_map(Operation::CancelFuture),
        index().prop_map(Operation::CancelTask),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        prop::collection::vec(inner, 0..4).prop_map(Operation::Spawn)
    })
}

type Boxed = std::pin::Pin<Box<dyn std::future::Future<Output = ()>>>;

fn run_program(world: Rc<World>, program: Vec<Operation>) -> Boxed {
    Box::pin(async move {
        let future = |which: usize| world.futures[which % FUTURES].clone();
        let task = |which: usize| {
            let handles = world.handles.borrow();
            handles[which % handles.len()].clone()
        };
        for operation in program {
            match operation {
                Operation::Yield => yield_now().await,
                Operation::Sleep(time) => sleep(ms(time)).await,
                Operation::Await(which) => drop(future(which).await),
                // It may be this very task: then it panics, and has ended, too.
                Operation::AwaitTask(which) => drop(task(which).outcome().await),
                Operation::Join(a, b) => drop(futures::join!(future(a), future(b))),
                Operation::Select(a, b) => {
                    let (mut a, mut b) = (future(a), future(b));
                    futures::select! { _ = a => {} _ = b => {} }
                }
                Operation::Complete(which) => drop(future(which).set_result(1)),
                Operation::CancelFuture(which) => drop(future(which).cancel()),
                Operation::CancelTask(which) => drop(task(which).cancel()),
                Operation::Spawn(program) => {
                    let task = create_task(run_program(world.clone(), program));
                    world.handles.borrow_mut().push((*task).clone());
                }
            }
        }
    })
}

// ---- shapes of waiting

#[derive(Clone, Debug)]
enum Shape {
    Future,
    Task,
    Foreign,
    Sleep,
    Child(Box<Shape>),
    Join(Box<Shape>, Box<Shape>),
    Select(Box<Shape>, Box<Shape>),
    Unordered(Vec<Shape>),
    Yields(Box<Shape>),
}

fn shape(depth: u32) -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        Just(Shape::Future),
        Just(Shape::Task),
        Just(Shape::Foreign),
        Just(Shape::Sleep),
    ];
    leaf.prop_recursive(depth, 16, 3, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        prop_oneof![
            boxed().prop_map(Shape::Child),
            (boxed(), boxed()).prop_map(|(a, b)| Shape::Join(a, b)),
            (boxed(), boxed()).prop_map(|(a, b)| Shape::Select(a, b)),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Shape::Unordered),
            boxed().prop_map(Shape::Yields),
        ]
    })
}

/// Waits for ever, for whatever the shape says.
fn wait_in_shape(lp: LoopHandle, shape: Shape) -> Boxed {
    use futures::FutureExt as _;
    use futures::StreamExt as _;
    Box::pin(async move {
        match shape {
            Shape::Future => lp.create_future::<()>().await,
            Shape::Task => create_task(std::future::pending::<()>()).await,
            Shape::Foreign => std::future::pending::<()>().await,
            Shape::Sleep => sleep(ms(1 << 40)).await,
            Shape::Child(inner) => create_task(wait_in_shape(lp, *inner)).await,
            Shape::Join(a, b) => {
                futures::join!(wait_in_shape(lp.clone(), *a), wait_in_shape(lp, *b));
            }
            Shape::Select(a, b) => {
                let a = wait_in_shape(lp.clone(), *a).fuse();
                let b = wait_in_shape(lp, *b).fuse();
                futures::pin_mut!(a, b);
                futures::select! { () = a => {} () = b => {} }
            }
            Shape::Unordered(inner) => {
                let inner = inner
                    .into_iter()
                    .map(|inner| wait_in_shape(lp.clone(), inner));
                let mut all: futures::stream::FuturesUnordered<_> = inner.collect();
                while all.next().await.is_some() {}
            }
            Shape::Yields(inner) => {
                yield_now().await;
                wait_in_shape(lp, *inner).await;
            }
        }
    })
}
