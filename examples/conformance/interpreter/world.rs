//! The world of a running program: its tables, its trace, and who is acting in it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use callsoon::{
    CallbackId, Handle, LoopHandle, Task, TaskGroup, TaskHandle, Timeout, TimerHandle, current_task,
};

use super::items::Item;
use super::objects::{self, Primitive};
use super::program::{Action, Block, Program, Step};
use super::steps::Completed;
use super::values::{Exc, Out};

/// A time in virtual milliseconds, and what happened then.
pub(crate) type Event = (u64, String);

/// Everything that the ops of a program share.
pub(super) struct World {
    pub(super) program: Program,
    pub(super) event_loop: LoopHandle,
    /// Futures, tasks, gathers and shields.
    pub(super) items: Table<Item>,
    pub(super) handles: Table<AnyHandle>,
    pub(super) timeouts: Table<Timeout>,
    pub(super) groups: Table<TaskGroup<Exc>>,
    /// Locks, queues and their kin.
    pub(super) objects: HashMap<String, Primitive>,
    pub(super) variables: RefCell<HashMap<String, i64>>,
    /// By the names of the future and of the callback.
    pub(super) callbacks: RefCell<HashMap<(String, String), Callback>>,
    /// Every task, with the name it was given, in the order in which they were made.
    pub(super) tasks: RefCell<Vec<(String, Item)>>,
    /// What an `as_completed` left behind that was not gone through to its end.
    abandoned: RefCell<Vec<Completed>>,
    trace: RefCell<Vec<Event>>,
    /// Nothing is logged any more.
    over: Cell<bool>,
}

/// The names of one sort of things. A thing whose name is given to another lives on.
pub(super) struct Table<T> {
    bound: RefCell<BTreeMap<String, T>>,
    kept: RefCell<Vec<T>>,
}

#[derive(Clone)]
pub(super) enum AnyHandle {
    Soon(Handle),
    Timer(TimerHandle),
}

/// A done callback: adding the same again adds this once more.
#[derive(Clone)]
pub(super) struct Callback {
    pub(super) ops: Block<Action>,
    pub(super) registrations: Vec<CallbackId>,
}

/// What is not gone while the program runs, whatever becomes of its owner: in asyncio, the timer of an
/// `as_completed` that was left half way runs on.
pub(super) struct Kept<'a> {
    world: &'a World,
    completed: Option<Completed>,
}

/// Who does something: a body, a callback, the driver. It opens the lines of the trace.
#[derive(Clone, Copy)]
pub(super) struct Actor<'a> {
    pub(super) world: &'a Rc<World>,
    pub(super) name: &'a str,
}

impl World {
    pub(super) fn new(program: Program, event_loop: LoopHandle) -> Self {
        let objects = objects::make(&program.objs);
        Self {
            program,
            event_loop,
            items: Table::default(),
            handles: Table::default(),
            timeouts: Table::default(),
            groups: Table::default(),
            objects,
            variables: RefCell::default(),
            callbacks: RefCell::default(),
            tasks: RefCell::default(),
            abandoned: RefCell::default(),
            trace: RefCell::default(),
            over: Cell::new(false),
        }
    }

    pub(super) fn now(&self) -> u64 {
        let now = self.event_loop.time().as_millis();
        now.try_into().expect("programs are short")
    }

    /// Makes a task of a body, and binds it.
    pub(super) fn spawn(self: &Rc<Self>, body: Block<Step>, name: &str) {
        let coroutine = self.clone().run_body(body, name.to_owned());
        let task = self.event_loop.task(coroutine).name(name).try_spawn();
        self.add_task(name, &task);
    }

    /// Makes a task of a group.
    pub(super) fn spawn_in(self: &Rc<Self>, group: &TaskGroup<Exc>, body: Block<Step>, name: &str) {
        let coroutine = self.clone().run_body(body, name.to_owned());
        let task = group.task(coroutine).name(name).try_spawn_shared();
        self.add_task(name, &task);
    }

    /// Runs a body from its beginning to its end.
    pub(super) async fn run_body(self: Rc<Self>, body: Block<Step>, name: String) -> Out {
        let actor = Actor::new(&self, &name);
        actor.body(&body).await
    }

    /// Binds a new task.
    fn add_task(&self, name: &str, task: &Task<Out>) {
        let item = Item::task(task);
        self.tasks
            .borrow_mut()
            .push((name.to_owned(), item.clone()));
        self.items.bind(name, item);
    }

    /// The name that a task was given; `None` if it is none of the program's.
    pub(super) fn name_of(&self, task: &TaskHandle) -> Option<String> {
        let tasks = self.tasks.borrow();
        let (name, _) = tasks
            .iter()
            .find(|(_, item)| item.task_handle() == Some(task))?;
        Some(name.clone())
    }

    /// What a name stands for; `self` is the running task.
    pub(super) fn lookup(&self, name: &str) -> Option<Item> {
        if name != "self" {
            return self.items.get(name);
        }
        let me = current_task()?;
        let tasks = self.tasks.borrow();
        let (_, item) = tasks
            .iter()
            .find(|(_, task)| task.task_handle() == Some(&me))?;
        Some(item.clone())
    }

    /// The callbacks of a future that go by one name.
    pub(super) fn registrations(&self, key: &(String, String)) -> Vec<CallbackId> {
        let callbacks = self.callbacks.borrow();
        let callback = callbacks.get(key);
        callback.map_or(Vec::new(), |callback| callback.registrations.clone())
    }

    /// The value of a variable; zero until something is added to it.
    pub(super) fn variable(&self, name: &str) -> i64 {
        let variables = self.variables.borrow();
        variables.get(name).copied().unwrap_or_default()
    }

    /// Those of the names that are bound, with what they are bound to.
    pub(super) fn lookup_all(&self, names: &[String]) -> Vec<(String, Item)> {
        let found = names
            .iter()
            .map(|name| Some((name.clone(), self.lookup(name)?)));
        found.flatten().collect()
    }

    /// The tasks that are not done.
    pub(super) fn unfinished(&self) -> Vec<(String, Item)> {
        let tasks = self.tasks.borrow();
        let unfinished = tasks.iter().filter(|(_, task)| !task.done());
        unfinished.cloned().collect()
    }

    /// Has something live on when its owner lets go of it.
    pub(super) fn keep(&self, completed: Completed) -> Kept<'_> {
        Kept {
            world: self,
            completed: Some(completed),
        }
    }

    /// Ends the trace, and gives it. Lets go of everything: callbacks keep the world, and it them.
    pub(super) fn finish(&self) -> Vec<Event> {
        self.over.set(true);
        self.items.clear();
        self.handles.clear();
        self.timeouts.clear();
        self.groups.clear();
        self.tasks.take();
        self.abandoned.take();
        self.callbacks.take();
        self.trace.take()
    }
}

impl Deref for Kept<'_> {
    type Target = Completed;

    fn deref(&self) -> &Completed {
        self.completed.as_ref().expect("it goes with this")
    }
}

impl DerefMut for Kept<'_> {
    fn deref_mut(&mut self) -> &mut Completed {
        self.completed.as_mut().expect("it goes with this")
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        if !self.world.over.get() {
            self.world
                .abandoned
                .borrow_mut()
                .extend(self.completed.take());
        }
    }
}

impl<'a> Actor<'a> {
    pub(super) fn new(world: &'a Rc<World>, name: &'a str) -> Self {
        Self { world, name }
    }

    /// Adds a line to the trace.
    pub(super) fn log(self, text: impl AsRef<str>) {
        if !self.world.over.get() {
            let line = format!("{}: {}", self.name, text.as_ref());
            self.world.trace.borrow_mut().push((self.world.now(), line));
        }
    }

    /// What the name stands for; if nothing, it is logged.
    pub(super) fn find(self, op: &str, name: &str) -> Option<Item> {
        self.or_unbound(op, name, self.world.lookup(name))
    }

    pub(super) fn or_unbound<T>(self, op: &str, name: &str, found: Option<T>) -> Option<T> {
        if found.is_none() {
            self.log(format!("{op} {name} unbound"));
        }
        found
    }
}

impl<T: Clone> Table<T> {
    pub(super) fn get(&self, name: &str) -> Option<T> {
        self.bound.borrow().get(name).cloned()
    }

    pub(super) fn bind(&self, name: &str, thing: T) {
        let replaced = self.bound.borrow_mut().insert(name.to_owned(), thing);
        self.kept.borrow_mut().extend(replaced);
    }

    /// All names, in byte order.
    pub(super) fn names(&self) -> Vec<String> {
        self.bound.borrow().keys().cloned().collect()
    }

    fn clear(&self) {
        self.bound.take();
        self.kept.take();
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            bound: RefCell::default(),
            kept: RefCell::default(),
        }
    }
}

impl AnyHandle {
    pub(super) fn cancel(&self) {
        match self {
            Self::Soon(handle) => handle.cancel(),
            Self::Timer(handle) => handle.cancel(),
        }
    }

    pub(super) fn cancelled(&self) -> bool {
        match self {
            Self::Soon(handle) => handle.cancelled(),
            Self::Timer(handle) => handle.cancelled(),
        }
    }
}
