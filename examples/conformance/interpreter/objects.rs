//! Locks, queues and their kin, and the ops that use them without waiting.

use std::collections::HashMap;

use callsoon::{
    Barrier, BoundedSemaphore, Condition, Event, GetNowaitError, LifoQueue, Lock, PriorityQueue,
    PutNowaitError, Queue, QueueShutDown, Semaphore, TaskDoneError,
};

use super::program::{Count, Kind, Object};
use super::values::Exc;
use super::world::Actor;

/// One of a program's objects.
#[derive(Clone)]
pub(super) enum Primitive {
    Lock(Lock),
    /// A lock that a condition has, too. Whoever waits for that need not hold it, in these programs: it is
    /// acquired and released, for a guard would not be theirs.
    SharedLock(Lock),
    Event(Event),
    Condition(Condition),
    Semaphore(Semaphore),
    Bounded(BoundedSemaphore),
    Barrier(Barrier),
    Queue(AnyQueue),
}

/// A queue, whatever its order.
#[derive(Clone)]
pub(super) enum AnyQueue {
    Fifo(Queue<i64>),
    Priority(PriorityQueue<i64>),
    Lifo(LifoQueue<i64>),
}

/// Makes the objects of a program.
pub(super) fn make(objects: &[Object]) -> HashMap<String, Primitive> {
    let mut made = HashMap::new();
    for Object { name, kind } in objects {
        let object = match kind {
            Kind::Lock => Primitive::Lock(Lock::new(())),
            Kind::Event => Primitive::Event(Event::new()),
            Kind::Condition { lock: None } => Primitive::Condition(Condition::new(())),
            Kind::Condition { lock: Some(lock) } => Primitive::Condition(share(&mut made, lock)),
            Kind::Semaphore { value } => Primitive::Semaphore(Semaphore::new(*value)),
            Kind::BoundedSemaphore { value } => Primitive::Bounded(BoundedSemaphore::new(*value)),
            Kind::Barrier { parties } => Primitive::Barrier(Barrier::new(*parties)),
            Kind::Queue { maxsize } => Primitive::Queue(AnyQueue::Fifo(Queue::new(*maxsize))),
            Kind::PriorityQueue { maxsize } => {
                Primitive::Queue(AnyQueue::Priority(PriorityQueue::new(*maxsize)))
            }
            Kind::LifoQueue { maxsize } => {
                Primitive::Queue(AnyQueue::Lifo(LifoQueue::new(*maxsize)))
            }
        };
        made.insert(name.clone(), object);
    }
    made
}

/// Makes a condition with the lock of this name.
fn share(made: &mut HashMap<String, Primitive>, lock: &str) -> Condition {
    let object = made.get_mut(lock).expect("the lock is made before");
    let (Primitive::Lock(lock) | Primitive::SharedLock(lock)) = object else {
        panic!("{lock} is no lock");
    };
    let lock = lock.clone();
    *object = Primitive::SharedLock(lock.clone());
    Condition::with_lock(lock)
}

/// A program uses an object as what it is.
macro_rules! getter {
    ($name:ident, $variant:ident -> $kind:ty) => {
        pub(super) fn $name(self, name: &str) -> &'a $kind {
            match self.object(name) {
                Primitive::$variant(object) => object,
                _ => panic!("{name} is no {}", stringify!($name)),
            }
        }
    };
}

impl<'a> Actor<'a> {
    pub(super) fn object(self, name: &str) -> &'a Primitive {
        let object = self.world.objects.get(name);
        object.unwrap_or_else(|| panic!("there is no object {name}"))
    }

    getter!(event, Event -> Event);
    getter!(condition, Condition -> Condition);
    getter!(barrier, Barrier -> Barrier);
    getter!(queue, Queue -> AnyQueue);
}

/// Ops that do not await.
impl Actor<'_> {
    pub(super) fn release(self, name: &str) {
        let end = self.object(name).release();
        self.log(format!("release {name} {}", ok(end)));
    }

    pub(super) fn locked(self, name: &str) {
        let locked = match self.object(name) {
            Primitive::Lock(lock) | Primitive::SharedLock(lock) => lock.locked(),
            Primitive::Condition(condition) => condition.locked(),
            Primitive::Semaphore(semaphore) => semaphore.locked(),
            Primitive::Bounded(semaphore) => semaphore.locked(),
            Primitive::Event(_) | Primitive::Barrier(_) | Primitive::Queue(_) => {
                panic!("{name} is no lock")
            }
        };
        self.log(format!("locked {name} = {locked}"));
    }

    pub(super) fn event_set(self, name: &str) {
        self.event(name).set();
        self.log(format!("event_set {name} ok"));
    }

    pub(super) fn event_clear(self, name: &str) {
        self.event(name).clear();
        self.log(format!("event_clear {name} ok"));
    }

    pub(super) fn event_is_set(self, name: &str) {
        let is_set = self.event(name).is_set();
        self.log(format!("event_is_set {name} = {is_set}"));
    }

    pub(super) fn notify(self, name: &str, n: &Count) {
        let condition = self.condition(name);
        let (n, end) = match n {
            Count::Number(n) => (n.to_string(), condition.notify(*n)),
            Count::All(_) => ("all".to_owned(), condition.notify_all()),
        };
        let end = ok(end.map_err(|_| Exc::error("RuntimeError")));
        self.log(format!("notify {name} {n} {end}"));
    }

    pub(super) fn put_nowait(self, name: &str, value: i64) {
        let end = self
            .queue(name)
            .put_nowait(value)
            .map_err(|error| match error {
                PutNowaitError::QueueFull(_) => Exc::error("QueueFull"),
                PutNowaitError::QueueShutDown(_) => Exc::error("QueueShutDown"),
            });
        self.log(format!("put_nowait {name} {value} {}", ok(end)));
    }

    pub(super) fn get_nowait(self, name: &str) {
        self.log(match self.queue(name).get_nowait() {
            Ok(value) => format!("get_nowait {name} = {value}"),
            Err(GetNowaitError::QueueEmpty) => format!("get_nowait {name} !QueueEmpty"),
            Err(GetNowaitError::QueueShutDown) => format!("get_nowait {name} !QueueShutDown"),
        });
    }

    pub(super) fn task_done(self, name: &str) {
        let end = self.queue(name).task_done();
        let end = ok(end.map_err(|_| Exc::error("ValueError")));
        self.log(format!("task_done {name} {end}"));
    }

    pub(super) fn queue_info(self, name: &str) {
        let (size, empty, full) = self.queue(name).info();
        self.log(format!(
            "queue_info {name} size={size} empty={empty} full={full}"
        ));
    }

    pub(super) fn barrier_info(self, name: &str) {
        let barrier = self.barrier(name);
        let (waiting, broken) = (barrier.n_waiting(), barrier.broken());
        self.log(format!(
            "barrier_info {name} waiting={waiting} broken={broken}"
        ));
    }
}

fn ok(end: Result<(), Exc>) -> String {
    match end {
        Ok(()) => "ok".to_owned(),
        Err(exc) => format!("!{exc}"),
    }
}

impl Primitive {
    /// Waits until it can be acquired, and does so.
    pub(super) async fn acquire(&self) {
        match self {
            Self::Lock(lock) | Self::SharedLock(lock) => lock.acquire().await,
            Self::Condition(condition) => condition.acquire().await,
            Self::Semaphore(semaphore) => semaphore.acquire().await,
            Self::Bounded(semaphore) => semaphore.acquire().await,
            Self::Event(_) | Self::Barrier(_) | Self::Queue(_) => panic!("it is no lock"),
        }
    }

    pub(super) fn release(&self) -> Result<(), Exc> {
        match self {
            Self::Lock(lock) | Self::SharedLock(lock) => {
                lock.release().map_err(|_| Exc::error("RuntimeError"))
            }
            Self::Condition(condition) => {
                condition.release().map_err(|_| Exc::error("RuntimeError"))
            }
            Self::Semaphore(semaphore) => {
                semaphore.release();
                Ok(())
            }
            Self::Bounded(semaphore) => semaphore.release().map_err(|_| Exc::error("ValueError")),
            Self::Event(_) | Self::Barrier(_) | Self::Queue(_) => panic!("it is no lock"),
        }
    }
}

/// Does the same with each kind of queue.
macro_rules! each {
    ($any:expr, $queue:ident => $does:expr) => {
        match $any {
            AnyQueue::Fifo($queue) => $does,
            AnyQueue::Priority($queue) => $does,
            AnyQueue::Lifo($queue) => $does,
        }
    };
}

impl AnyQueue {
    pub(super) async fn put(&self, item: i64) -> Result<(), QueueShutDown<i64>> {
        each!(self, queue => queue.put(item).await)
    }

    pub(super) async fn get(&self) -> Result<i64, QueueShutDown> {
        each!(self, queue => queue.get().await)
    }

    pub(super) async fn join(&self) {
        each!(self, queue => queue.join().await);
    }

    fn put_nowait(&self, item: i64) -> Result<(), PutNowaitError<i64>> {
        each!(self, queue => queue.put_nowait(item))
    }

    fn get_nowait(&self) -> Result<i64, GetNowaitError> {
        each!(self, queue => queue.get_nowait())
    }

    fn task_done(&self) -> Result<(), TaskDoneError> {
        each!(self, queue => queue.task_done())
    }

    /// Its size, whether it is empty, whether it is full.
    fn info(&self) -> (usize, bool, bool) {
        each!(self, queue => (queue.qsize(), queue.empty(), queue.full()))
    }
}
