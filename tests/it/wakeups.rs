//! Random trees of awaits, in which promises are set and cancelled, and tasks cancelled, at random: when
//! every promise is done, every task ends. One that still waits then has missed a wake-up, or was left
//! half unwound.

use std::cell::RefCell;
use std::future::{Future as Coroutine, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use callsoon::testing::Order;
use callsoon::{
    Clock, Event, EventLoop, Future, Lock, Queue, RunEnd, Semaphore, TaskHandle, all_tasks,
    catch_cancel, create_task, gather, shield, sleep, task_group, timeout, yield_now,
};
use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt};
use futures::{FutureExt, join};
use proptest::prelude::*;

use crate::support::ms;

const PROMISES: usize = 4;

/// What a coroutine does.
#[derive(Clone, Debug)]
enum Plan {
    Do(Act),
    Await(usize),
    Outcome(usize),
    Yield(usize),
    Sleep(u64),
    Put,
    Get,
    Event,
    Then(Box<[Plan; 2]>),
    Join(Box<[Plan; 2]>),
    Select(Box<[Plan; 2]>),
    /// A `select!` by reference: whatever loses is awaited behind something else.
    SelectThenBoth(Box<[Plan; 3]>),
    /// The first is polled so many times, in a step of its own each, and awaited behind the second.
    PollThenBoth(usize, Box<[Plan; 2]>),
    Catch(Box<Plan>),
    TryFinally(Box<[Plan; 2]>),
    Timeout(u64, Box<Plan>),
    /// A `FuturesUnordered`.
    Set(Box<[Plan; 2]>),
    /// The same, polled by reference until something is raised.
    SetUntilRaised(Box<[Plan; 3]>),
    SetOfCatches(Box<[Plan; 2]>),
    Task(Box<Plan>),
    Shield(Box<Plan>),
    Gather(Box<[Plan; 2]>),
    Group(Box<[Plan; 2]>),
    Locked(Box<Plan>),
    Permitted(Box<Plan>),
}

/// What takes no time.
#[derive(Clone, Copy, Debug)]
enum Act {
    Set(usize),
    Cancel(usize),
    CancelTask(usize),
}

/// What the coroutines of a program share.
struct World {
    promises: Vec<Future<()>>,
    tasks: RefCell<Vec<TaskHandle>>,
    lock: Lock<()>,
    semaphore: Semaphore,
    queue: Queue<()>,
    event: Event,
}

type Boxed = Pin<Box<dyn Coroutine<Output = ()>>>;

impl World {
    fn new(event_loop: &EventLoop) -> Self {
        Self {
            promises: (0..PROMISES).map(|_| event_loop.create_future()).collect(),
            tasks: RefCell::default(),
            lock: Lock::new(()),
            semaphore: Semaphore::new(2),
            queue: Queue::new(1),
            event: Event::new(),
        }
    }

    fn act(&self, act: Act) {
        match act {
            // It may be done already.
            Act::Set(which) => _ = self.promises[which].set_result(()),
            Act::Cancel(which) => _ = self.promises[which].cancel(),
            Act::CancelTask(which) => {
                let tasks = self.tasks.borrow().clone();
                tasks[which % tasks.len()].cancel();
            }
        }
    }

    /// Nothing is left that a task could rightly wait for.
    async fn let_everybody_through(&self) {
        for promise in &self.promises {
            let _ = promise.set_result(());
        }
        self.event.set();
        self.queue.shutdown(true);
        sleep(ms(1000)).await;
    }
}

/// A coroutine that does as planned. It takes no lock if one may be `held` around it, for ever.
fn coroutine(world: &Rc<World>, plan: &Plan, held: bool) -> Boxed {
    let world = world.clone();
    let part = |plan: &Plan| coroutine(&world, plan, held);
    let parts = |plans: &[Plan; 2]| plans.each_ref().map(part);
    // What is polled, and then is not for a while, may hold a lock meanwhile.
    let aside = |plan: &Plan| coroutine(&world, plan, true);
    match plan {
        &Plan::Do(act) => Box::pin(async move { world.act(act) }),
        &Plan::Await(which) => Box::pin(async move { world.promises[which].clone().await }),
        &Plan::Outcome(which) => Box::pin(async move {
            let _ = world.promises[which].clone().outcome().await;
        }),
        &Plan::Yield(times) => Box::pin(async move {
            for _ in 0..times {
                yield_now().await;
            }
        }),
        &Plan::Sleep(delay) => Box::pin(async move { sleep(ms(delay)).await }),
        Plan::Put => Box::pin(async move { _ = world.queue.put(()).await }),
        Plan::Get => Box::pin(async move { _ = world.queue.get().await }),
        Plan::Event => Box::pin(async move { _ = world.event.wait().await }),
        Plan::Then(plans) => {
            let [first, second] = parts(plans);
            Box::pin(async move {
                first.await;
                second.await;
            })
        }
        Plan::Join(plans) => {
            let [one, other] = parts(plans);
            Box::pin(async move { _ = join!(one, other) })
        }
        Plan::Select(plans) => {
            let [one, other] = parts(plans);
            Box::pin(async move { _ = select(one, other).await })
        }
        Plan::SelectThenBoth(plans) => {
            let [one, other, between] = plans.each_ref().map(aside);
            Box::pin(async move {
                let (Either::Left(((), loser)) | Either::Right(((), loser))) =
                    select(one, other).await;
                between.await;
                loser.await;
            })
        }
        Plan::PollThenBoth(times, plans) => {
            let [mut polled, between] = plans.each_ref().map(aside);
            let times = *times;
            Box::pin(async move {
                for _ in 0..times {
                    let once = poll_fn(|cx| Poll::Ready(polled.poll_unpin(cx)));
                    if once.await.is_ready() {
                        return;
                    }
                    yield_now().await;
                }
                between.await;
                polled.await;
            })
        }
        Plan::Catch(plan) => {
            let tried = part(plan);
            Box::pin(async move { _ = catch_cancel(tried).await })
        }
        Plan::TryFinally(plans) => {
            let [tried, finally] = parts(plans);
            Box::pin(async move {
                let end = catch_cancel(tried).await;
                finally.await;
                if let Err(cancelled) = end {
                    cancelled.reraise().await;
                }
            })
        }
        Plan::Timeout(delay, plan) => {
            let (delay, work) = (ms(*delay), part(plan));
            Box::pin(async move { _ = timeout(delay, work).await })
        }
        Plan::Set(plans) => {
            let mut set = FuturesUnordered::from_iter(parts(plans));
            Box::pin(async move { while set.next().await.is_some() {} })
        }
        Plan::SetUntilRaised(plans) => {
            let mut set = FuturesUnordered::from_iter(plans.each_ref().map(part));
            Box::pin(async move { while let Ok(Some(())) = catch_cancel(set.next()).await {} })
        }
        Plan::SetOfCatches(plans) => {
            let mut set = FuturesUnordered::from_iter(parts(plans).map(catch_cancel));
            Box::pin(async move { while set.next().await.is_some() {} })
        }
        Plan::Task(plan) => {
            let child = part(plan);
            Box::pin(async move { create_task(child).await })
        }
        Plan::Shield(plan) => {
            let child = part(plan);
            Box::pin(async move { shield(create_task(child)).await })
        }
        Plan::Gather(plans) => {
            let children = parts(plans);
            Box::pin(async move { _ = gather(children).await })
        }
        Plan::Group(plans) => {
            let children = parts(plans);
            let group = async move |group: &callsoon::TaskGroup| {
                for child in children {
                    group.create_task(child);
                }
            };
            Box::pin(async move { _ = task_group(group).await })
        }
        Plan::Locked(plan) | Plan::Permitted(plan) if held => part(plan),
        Plan::Locked(plan) => {
            let work = aside(plan);
            Box::pin(async move {
                let _guard = world.lock.lock().await;
                work.await;
            })
        }
        Plan::Permitted(plan) => {
            let work = aside(plan);
            Box::pin(async move {
                let _permit = world.semaphore.permit().await;
                work.await;
            })
        }
    }
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..PROMISES).prop_map(Act::Set),
        (0..PROMISES).prop_map(Act::Cancel),
        (0..8usize).prop_map(Act::CancelTask),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let leaf = prop_oneof![
        act().prop_map(Plan::Do),
        (0..PROMISES).prop_map(Plan::Await),
        (0..PROMISES).prop_map(Plan::Await),
        (0..PROMISES).prop_map(Plan::Outcome),
        (1..4usize).prop_map(Plan::Yield),
        (0..5u64).prop_map(Plan::Sleep),
        prop_oneof![Just(Plan::Put), Just(Plan::Get), Just(Plan::Event)],
    ];
    leaf.prop_recursive(4, 24, 3, |plan| {
        let one = plan.clone().prop_map(Box::new);
        let two = [plan.clone(), plan.clone()].prop_map(Box::new);
        let three = [plan.clone(), plan.clone(), plan].prop_map(Box::new);
        prop_oneof![
            two.clone().prop_map(Plan::Then),
            two.clone().prop_map(Plan::Join),
            two.clone().prop_map(Plan::Select),
            three.clone().prop_map(Plan::SelectThenBoth),
            (1..4usize, two.clone()).prop_map(|(times, plans)| Plan::PollThenBoth(times, plans)),
            one.clone().prop_map(Plan::Catch),
            two.clone().prop_map(Plan::TryFinally),
            (0..5u64, one.clone()).prop_map(|(delay, plan)| Plan::Timeout(delay, plan)),
            two.clone().prop_map(Plan::Set),
            three.prop_map(Plan::SetUntilRaised),
            two.clone().prop_map(Plan::SetOfCatches),
            one.clone().prop_map(Plan::Task),
            one.clone().prop_map(Plan::Shield),
            two.clone().prop_map(Plan::Gather),
            two.prop_map(Plan::Group),
            one.clone().prop_map(Plan::Locked),
            one.prop_map(Plan::Permitted),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is cancelled, caught, left aside and awaited again, in any order of the turns.
    #[test]
    fn every_task_ends_when_every_promise_is_done(
        plans in prop::collection::vec(plan(), 1..5),
        acts in prop::collection::vec((0..3u64, act()), 0..8),
        seed in any::<Option<u64>>(),
    ) {
        let order = seed.map_or(Order::Fifo, |seed| Order::Shuffled { seed });
        let event_loop = EventLoop::builder().clock(Clock::Virtual).order(order).build();
        event_loop.set_exception_handler(|_, _| ());
        let world = Rc::new(World::new(&event_loop));
        for plan in &plans {
            let task = event_loop.create_task(coroutine(&world, plan, false));
            world.tasks.borrow_mut().push(task.handle());
        }
        let end = event_loop.create_task(async move {
            for (delay, act) in acts {
                sleep(ms(delay)).await;
                world.act(act);
            }
            world.let_everybody_through().await;
            all_tasks().len()
        });
        let RunEnd::Idle(report) = event_loop.run_forever() else {
            return Err(TestCaseError::fail("nobody stops it"));
        };
        prop_assert!(matches!(end.result(), Ok(1)), "{}", report);
    }
}
