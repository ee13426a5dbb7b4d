//! [`Snapshot`], and how it is taken.
//!
//! A table rather than a tree: tasks may await each other in circles, many may await the same thing, and
//! chains may be long. What is awaited stands in one list, and refers to others by their places.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem;
use std::panic::Location;
use std::ptr;
use std::rc::Rc;
use std::time::Duration;

use super::parts::{AwaitedSnapshot, TaskSnapshot, TimerSnapshot};
use crate::event_loop::{LoopHandle, LoopState};
use crate::futures::purpose::Nature;
use crate::futures::{AnyRef, Base};
use crate::tasks::TaskHandle;

/// What a loop was about at one moment. It is printed as a tree of its tasks; see
/// [the module](crate::snapshot).
///
/// It is a plain value: what happens later does not change it, it keeps nothing alive, and it may go to
/// another thread.
///
/// *From asyncio:* `asyncio.capture_call_graph()` of Python 3.14, for every task at once.
///
/// # Examples
///
/// ```
/// use callsoon::{EventLoop, Snapshot};
///
/// let event_loop = EventLoop::new();
/// event_loop.task(std::future::pending::<()>()).name("idler").spawn();
/// let snapshot: Snapshot = event_loop.snapshot();
/// drop(event_loop);
/// let names = std::thread::spawn(move || snapshot.tasks()[0].name().to_owned());
/// assert_eq!(names.join().unwrap(), "idler");
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Snapshot {
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::parts::place"))]
    pub(super) created_at: &'static Location<'static>,
    time: Duration,
    turns: u64,
    pub(super) ready: usize,
    pub(super) posted: usize,
    current_task: Option<u64>,
    pub(super) timers: Vec<TimerSnapshot>,
    /// By their numbers, which ascend.
    pub(super) tasks: Vec<TaskSnapshot>,
    pub(super) awaited: Vec<AwaitedSnapshot>,
}

impl LoopHandle {
    /// Says what the loop is about: what each task awaits and who awaits it, what is ready, and the
    /// timers.
    ///
    /// It takes time in proportion to what there is, and to what each task awaits through combinators;
    /// it runs none of the program's code.
    ///
    /// *From asyncio:* `asyncio.capture_call_graph()` of Python 3.14, for every task at once.
    ///
    /// # Examples
    ///
    /// Who keeps a program from ending?
    ///
    /// ```
    /// use callsoon::{Event, run, task, yield_now};
    ///
    /// run(async {
    ///     let green = Event::new();
    ///     let light = green.clone();
    ///     let car = task(async move { light.wait().await }).name("car").spawn();
    ///     yield_now().await;
    ///     let snapshot = callsoon::get_running_loop().snapshot();
    ///     assert!(snapshot.to_string().contains("<Task waiting name='car'"));
    ///     assert!(snapshot.to_string().contains("└─ <Event pending created at"));
    ///     green.set();
    ///     car.await;
    /// });
    /// ```
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.lp)
    }
}

impl Snapshot {
    pub(crate) fn take(lp: &Rc<LoopState>) -> Self {
        let planned = lp.planned();
        let timers = planned.timers.into_iter();
        let mut snapshot = Self {
            created_at: lp.site,
            time: Duration::from_nanos(lp.time.now()),
            turns: lp.turns.get(),
            ready: planned.ready,
            posted: planned.posted,
            current_task: lp.current_task().map(|task| task.head().id()),
            timers: timers
                .map(|(when, created_at)| TimerSnapshot {
                    when: Duration::from_nanos(when),
                    created_at,
                })
                .collect(),
            tasks: Vec::new(),
            awaited: Vec::new(),
        };
        let tasks = lp.all_tasks();
        Collector::new(&mut snapshot).collect(&tasks);
        snapshot.invert();
        snapshot
    }

    /// Describes a future as it is described where it is awaited.
    pub(crate) fn describe(future: &AnyRef) -> String {
        let (callbacks, _) = future.listeners();
        as_awaited(future, callbacks).to_string()
    }

    /// Finds who awaits what.
    fn invert(&mut self) {
        let places: HashMap<u64, usize> = (0..)
            .zip(&self.tasks)
            .map(|(place, task)| (task.id, place))
            .collect();
        // For each thing that is awaited the last task that reached it; no task has the number 0.
        let mut reached = vec![0; self.awaited.len()];
        for place in 0..self.tasks.len() {
            let id = self.tasks[place].id;
            let direct = self.tasks[place].awaits.clone();
            for &awaited in &direct {
                self.awaited[awaited].awaited_by.push(id);
            }
            // Tasks are at the end of the search: what they await is theirs.
            let mut todo = direct;
            while let Some(next) = todo.pop() {
                if mem::replace(&mut reached[next], id) == id {
                    continue;
                }
                match self.awaited[next].task {
                    Some(task) => {
                        if let Some(&task) = places.get(&task) {
                            self.tasks[task].awaited_by.push(id);
                        }
                    }
                    None => todo.extend(&self.awaited[next].inside),
                }
            }
        }
    }

    /// Gives the place where the loop was made.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// assert_eq!(event_loop.snapshot().created_at().line() + 1, line!());
    /// ```
    pub fn created_at(&self) -> &'static Location<'static> {
        self.created_at
    }

    /// Gives the loop's time when it was taken.
    ///
    /// *From asyncio:* `loop.time()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Clock, EventLoop};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// event_loop.advance(Duration::from_secs(3));
    /// assert_eq!(event_loop.snapshot().time(), Duration::from_secs(3));
    /// ```
    pub fn time(&self) -> Duration {
        self.time
    }

    /// Gives how many turns the loop had begun.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// event_loop.call_soon(|| ());
    /// event_loop.run_once(None)?;
    /// assert_eq!(event_loop.snapshot().turns(), 1);
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// Gives how many entries were in the ready queue: callbacks and steps of tasks. Those that a turn
    /// that was going on had not come to count.
    ///
    /// *From asyncio:* nothing public; `len(loop._ready)`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// event_loop.call_soon(|| ());
    /// event_loop.create_task(async {});
    /// assert_eq!(event_loop.snapshot().ready(), 2);
    /// ```
    pub fn ready(&self) -> usize {
        self.ready
    }

    /// Gives how much other threads had posted that the loop had not taken in.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let remote = event_loop.remote();
    /// let thread = std::thread::spawn(move || remote.call_soon_threadsafe(|| ()).is_ok());
    /// assert!(thread.join().unwrap());
    /// assert_eq!(event_loop.snapshot().posted(), 1);
    /// ```
    pub fn posted(&self) -> usize {
        self.posted
    }

    /// Gives the number of the task whose step was going on.
    ///
    /// *From asyncio:* `asyncio.current_task(loop)`.
    ///
    /// # Examples
    ///
    /// ```
    /// let (me, seen) = callsoon::run(async {
    ///     let me = callsoon::current_task().map(|task| task.id());
    ///     (me, callsoon::get_running_loop().snapshot().current_task())
    /// });
    /// assert_eq!(me, seen);
    /// ```
    pub fn current_task(&self) -> Option<u64> {
        self.current_task
    }

    /// Gives the timers that waited, in the order of their deadlines; sleeps and timeouts are among
    /// them.
    ///
    /// *From asyncio:* nothing public; `loop._scheduled`.
    ///
    /// # Examples
    ///
    /// See [`TimerSnapshot`].
    pub fn timers(&self) -> &[TimerSnapshot] {
        &self.timers
    }

    /// Gives the unfinished tasks, in the order in which they were made.
    ///
    /// *From asyncio:* `asyncio.all_tasks(loop)`.
    ///
    /// # Examples
    ///
    /// See [`TaskSnapshot`].
    pub fn tasks(&self) -> &[TaskSnapshot] {
        &self.tasks
    }

    /// Gives the task with this number, if it was not done.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let task = event_loop.task(async {}).name("reader").spawn().handle();
    /// let snapshot = event_loop.snapshot();
    /// assert_eq!(snapshot.task(task.id()).map(|task| task.name()), Some("reader"));
    /// ```
    pub fn task(&self, id: u64) -> Option<&TaskSnapshot> {
        let place = self.tasks.binary_search_by_key(&id, |task| task.id).ok()?;
        self.tasks.get(place)
    }

    /// Gives everything that was awaited, by tasks and by the combinators that they await, each once.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`AwaitedSnapshot`].
    pub fn awaited(&self) -> &[AwaitedSnapshot] {
        &self.awaited
    }

    /// Gives what one of its tasks awaited. Nothing, if the task was not suspended, or awaits something
    /// of another crate.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`AwaitedSnapshot`].
    pub fn awaits(&self, task: &TaskSnapshot) -> impl Iterator<Item = &AwaitedSnapshot> {
        self.at(task.awaits.clone())
    }

    /// Gives what has to be done before this is, for combinators: the children of a gather, what is in
    /// a shield, the tasks of a group, and of what a `wait` or an `as_completed` waits for that which
    /// is in this snapshot.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, gather};
    ///
    /// let event_loop = EventLoop::new();
    /// let (one, two) = (event_loop.create_future::<u32>(), event_loop.create_future::<u32>());
    /// event_loop.create_task(async { gather((one, two)).await });
    /// event_loop.run_once(None)?;
    /// let snapshot = event_loop.snapshot();
    /// let gather = snapshot.awaits(&snapshot.tasks()[0]).next().expect("it awaits that");
    /// assert_eq!(snapshot.inside(gather).count(), 2);
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn inside(&self, awaited: &AwaitedSnapshot) -> impl Iterator<Item = &AwaitedSnapshot> {
        self.at(awaited.inside.clone())
    }

    /// What is at these places. There is nothing at those of another snapshot's.
    fn at(&self, places: Vec<usize>) -> impl Iterator<Item = &AwaitedSnapshot> {
        let places = places.into_iter();
        places.filter_map(|place| self.awaited.get(place))
    }
}

/// Fills a snapshot.
struct Collector<'a> {
    snapshot: &'a mut Snapshot,
    /// Where what is awaited stands in the list, by its address.
    places: BTreeMap<*const Base, usize>,
    /// What has a place but has not been looked into.
    new: Vec<AnyRef>,
    /// What is told of the end of something, and that.
    told: Vec<(AnyRef, AnyRef)>,
}

impl<'a> Collector<'a> {
    fn new(snapshot: &'a mut Snapshot) -> Self {
        Self {
            snapshot,
            places: BTreeMap::new(),
            new: Vec::new(),
            told: Vec::new(),
        }
    }

    fn collect(mut self, tasks: &[TaskHandle]) {
        for task in tasks {
            self.add_task(task);
        }
        self.look_into_new();
        // A wait is told by what it waits for, and need not know that itself.
        for (listener, future) in mem::take(&mut self.told) {
            if let Some(&place) = self.places.get(&address(&listener)) {
                let inside = self.place(&future);
                self.snapshot.awaited[place].inside.push(inside);
            }
        }
        self.look_into_new();
    }

    fn add_task(&mut self, task: &TaskHandle) {
        let any = task.any();
        let mut awaits: Vec<_> = task.awaited().iter().map(|it| self.place(it)).collect();
        if awaits.len() > 1 {
            // Several handles to one future may be awaited at once.
            let mut seen = HashSet::new();
            awaits.retain(|&place| seen.insert(place));
        }
        let (callbacks, listeners) = any.listeners();
        let told = listeners.into_iter();
        self.told
            .extend(told.map(|listener| (listener, any.clone())));
        self.snapshot.tasks.push(TaskSnapshot {
            id: task.id(),
            name: task.name(),
            state: task.head().doing(),
            created_at: task.created_at(),
            cancelling: task.cancelling(),
            callbacks,
            awaits,
            awaited_by: Vec::new(),
        });
    }

    /// The place of something that is awaited, in the list.
    fn place(&mut self, future: &AnyRef) -> usize {
        let next = self.places.len();
        let place = *self.places.entry(address(future)).or_insert(next);
        if place == next {
            let (callbacks, listeners) = future.listeners();
            if future.task().is_none() {
                let told = listeners.into_iter();
                self.told
                    .extend(told.map(|listener| (listener, future.clone())));
            }
            self.new.push(future.clone());
            let awaited = as_awaited(future, callbacks);
            self.snapshot.awaited.push(awaited);
        }
        place
    }

    fn look_into_new(&mut self) {
        while let Some(future) = self.new.pop() {
            let inside = future.inside();
            let inside = inside.iter().map(|future| self.place(future)).collect();
            let place = self.places[&address(&future)];
            self.snapshot.awaited[place].inside = inside;
        }
    }
}

/// What there is to say of a future by itself.
fn as_awaited(future: &AnyRef, callbacks: usize) -> AwaitedSnapshot {
    let Nature {
        kind,
        primitive,
        deadline,
    } = future.nature();
    AwaitedSnapshot {
        kind,
        state: future.state().name(),
        created_at: future.base().site,
        primitive,
        deadline: deadline.map(Duration::from_nanos),
        task: future.task().map(|head| head.id()),
        name: future.task().map(|head| head.name()),
        callbacks,
        inside: Vec::new(),
        awaited_by: Vec::new(),
    }
}

fn address(future: &AnyRef) -> *const Base {
    ptr::from_ref(future.base())
}
