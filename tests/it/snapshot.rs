//! What a loop is about, as a value, as a tree, and from another thread.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use callsoon::snapshot::{AwaitedKind, AwaitedSnapshot, TaskSnapshot, TaskState};
use callsoon::{
    Barrier, BoundedSemaphore, Condition, Event, EventLoop, Lock, Queue, ReturnWhen, Semaphore,
    Snapshot, SnapshotError, TaskGroup, as_completed, create_task, gather, get_running_loop,
    shield, sleep, task, wait, yield_now,
};

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::support::{OnDrop, ms, settle, turn, virtual_loop};

/// The task with this name.
#[track_caller]
fn named<'a>(snapshot: &'a Snapshot, name: &str) -> &'a TaskSnapshot {
    let found = snapshot.tasks().iter().find(|task| task.name() == name);
    found.unwrap_or_else(|| panic!("no task '{name}' in\n{snapshot}"))
}

/// The one thing that the task with this name awaits.
#[track_caller]
fn awaited_by<'a>(snapshot: &'a Snapshot, name: &str) -> &'a AwaitedSnapshot {
    let awaits: Vec<_> = snapshot.awaits(named(snapshot, name)).collect();
    assert_eq!(awaits.len(), 1, "in\n{snapshot}");
    awaits[0]
}

/// The names of the tasks with these numbers.
fn names(snapshot: &Snapshot, ids: &[u64]) -> Vec<String> {
    let name = |id: &u64| snapshot.task(*id).expect("it is there").name().to_owned();
    ids.iter().map(name).collect()
}

/// A loop that has nothing to do.
#[test]
fn an_idle_loop_has_nothing_in_its_snapshot() {
    let event_loop = virtual_loop();
    let snapshot = event_loop.snapshot();
    assert!(snapshot.tasks().is_empty() && snapshot.awaited().is_empty());
    assert_eq!((snapshot.ready(), snapshot.posted()), (0, 0));
    assert!(snapshot.timers().is_empty());
    assert_eq!(snapshot.current_task(), None);
    let expected = format!(
        "event loop created at {}: 0 ready, 0 posted, no timer",
        snapshot.created_at()
    );
    assert_eq!(snapshot.to_string(), expected);
}

/// Name, site, state and requests to stop, from the making of a task to its end.
#[test]
fn a_task_is_new_then_running_then_waiting_then_ready() {
    let event_loop = virtual_loop();
    let go_on = event_loop.create_future::<()>();
    let seen = Rc::new(Cell::new(None));
    let (awaited, sees) = (go_on.clone(), seen.clone());
    let coroutine = async move {
        let snapshot = get_running_loop().snapshot();
        sees.set(Some((
            named(&snapshot, "it").state(),
            snapshot.current_task(),
        )));
        awaited.outcome().await.unwrap_err();
    };
    let it = event_loop.task(coroutine).name("it").spawn();

    let snapshot = event_loop.snapshot();
    let new = named(&snapshot, "it");
    assert_eq!(new.state(), TaskState::New);
    assert_eq!(new.created_at(), it.created_at());
    assert_eq!((new.cancelling(), snapshot.ready()), (0, 1));

    turn(&event_loop);
    assert_eq!(
        seen.take(),
        Some((TaskState::Running, Some(it.handle().id())))
    );
    let snapshot = event_loop.snapshot();
    assert_eq!(named(&snapshot, "it").state(), TaskState::Waiting);
    assert!(!awaited_by(&snapshot, "it").done());

    it.cancel();
    let snapshot = event_loop.snapshot();
    assert_eq!(named(&snapshot, "it").state(), TaskState::Ready);
    assert_eq!(named(&snapshot, "it").cancelling(), 1);
    assert!(awaited_by(&snapshot, "it").done());
    let printed = named(&snapshot, "it").to_string();
    assert!(printed.ends_with(" cancelling=1>"), "{printed}");

    turn(&event_loop);
    assert!(event_loop.snapshot().tasks().is_empty());
}

/// Every primitive in front of which a task waits is told by its kind and by where it was created.
#[test]
fn what_is_waited_for_in_line_has_its_kind_and_its_site() {
    let event_loop = virtual_loop();
    let mut expected: Vec<(AwaitedKind, &'static Location<'static>)> = Vec::new();
    macro_rules! waiting {
        ($kind:ident, $primitive:expr, |$it:ident| $wait:expr) => {{
            let ($it, site) = ($primitive, here());
            expected.push((AwaitedKind::$kind, site));
            event_loop.create_task(async move {
                let _ = $wait.await;
            });
        }};
    }
    #[track_caller]
    fn here() -> &'static Location<'static> {
        Location::caller()
    }
    waiting!(Event, Event::new(), |it| it.wait());
    waiting!(Barrier, Barrier::new(2), |it| it.wait());
    waiting!(Semaphore, Semaphore::new(0), |it| it.acquire());
    waiting!(Semaphore, BoundedSemaphore::new(0), |it| it.acquire());
    waiting!(QueueGet, Queue::<u8>::new(0), |it| it.get());
    let lock = Lock::new(());
    let _guard = lock.try_lock().unwrap();
    waiting!(Lock, lock, |it| it.lock());
    let full = Queue::new(1);
    full.put_nowait(1).unwrap();
    let join = full.clone();
    waiting!(QueuePut, full, |it| it.put(2));
    waiting!(QueueJoin, join, |it| it.join());
    let condition = Condition::new(());
    let notified = condition.clone();
    waiting!(Condition, condition, |it| async move {
        let guard = it.lock().await;
        drop(it.wait(guard).await);
    });
    turn(&event_loop);

    let snapshot = event_loop.snapshot();
    assert_eq!(snapshot.tasks().len(), expected.len());
    for (task, (kind, site)) in snapshot.tasks().iter().zip(expected) {
        let awaited = snapshot.awaits(task).next().expect("it waits");
        assert_eq!(awaited.kind(), kind);
        let primitive = awaited.primitive().expect("it has been created");
        assert_eq!(primitive.file(), site.file());
        // The lock and the queue that are not free were made some lines before.
        assert!(primitive.line() <= site.line() && site.line() - primitive.line() <= 5);
        assert!(awaited.created_at().file().ends_with("snapshot.rs"));
        assert_eq!((awaited.task(), awaited.deadline()), (None, None));
        let printed = awaited.to_string();
        let start = format!("<{kind} pending created at {primitive} awaited at ");
        assert!(printed.starts_with(&start), "{printed}");
    }
    drop(notified);
}

/// Combinators, tasks, sleeps and bare futures.
#[test]
fn what_is_awaited_has_its_kind() {
    let event_loop = virtual_loop();
    let never = event_loop.create_future::<()>();
    let kinds: Rc<RefCell<Vec<AwaitedKind>>> = Rc::default();
    macro_rules! awaiting {
        ($kind:ident, |$it:ident| $wait:expr) => {{
            kinds.borrow_mut().push(AwaitedKind::$kind);
            let $it = never.clone();
            event_loop.create_task(async move {
                let _ = $wait.await;
            });
        }};
    }
    let inner = event_loop.task(never.clone()).name("inner").spawn();
    kinds.borrow_mut().push(AwaitedKind::Future);
    let pool_job = callsoon::concurrent::Future::<()>::new();
    let from_thread = event_loop.wrap_future(pool_job.clone());
    awaiting!(Future, |it| it);
    awaiting!(Task, |_it| inner);
    awaiting!(Gather, |it| gather([it]));
    awaiting!(Shield, |it| shield(it));
    awaiting!(Wait, |it| wait([it], ReturnWhen::AllCompleted, None));
    awaiting!(
        AsCompleted,
        |it| async move { as_completed([it]).next().await }
    );
    awaiting!(Sleep, |_it| sleep(ms(5)));
    awaiting!(Thread, |_it| from_thread);
    awaiting!(TaskGroup, |it| TaskGroup::run(async |group| {
        drop(group.create_task(it));
        Ok::<_, ()>(())
    }));
    settle(&event_loop);

    let snapshot = event_loop.snapshot();
    let seen: Vec<_> = snapshot
        .tasks()
        .iter()
        .filter_map(|task| snapshot.awaits(task).next())
        .map(AwaitedSnapshot::kind)
        .collect();
    // The last one is the group's own task.
    kinds.borrow_mut().push(AwaitedKind::Future);
    assert_eq!(seen, *kinds.borrow());
    let sleep = snapshot.awaited().iter().find(|it| it.deadline().is_some());
    let sleep = sleep.expect("one sleeps");
    assert_eq!(
        (sleep.kind(), sleep.deadline()),
        (AwaitedKind::Sleep, Some(ms(5)))
    );
    assert!(sleep.created_at().file().ends_with("snapshot.rs"));
}

/// Through each combinator it is known who waits for a task in the end.
#[test]
fn a_task_knows_who_awaits_it_through_combinators() {
    let event_loop = virtual_loop();
    let main = async {
        let idle = |name| task(std::future::pending::<()>()).name(name).spawn();
        let (gathered, shielded, waited, completed) = (
            idle("gathered"),
            idle("shielded"),
            idle("waited"),
            idle("completed"),
        );
        let both = gather((gathered, shield(shielded)));
        task(both).name("gathers").spawn();
        task(async move { wait([waited], ReturnWhen::AllCompleted, None).await })
            .name("waits")
            .spawn();
        task(async move { as_completed([completed]).next().await.is_some() })
            .name("completes")
            .spawn();
        task(TaskGroup::run(async |group: &TaskGroup<()>| {
            group
                .task(std::future::pending::<()>())
                .name("grouped")
                .spawn();
            Ok(())
        }))
        .name("groups")
        .spawn();
    };
    event_loop.create_task(main);
    settle(&event_loop);
    let snapshot = event_loop.snapshot();
    for (task, by) in [
        ("gathered", "gathers"),
        ("shielded", "gathers"),
        ("waited", "waits"),
        ("completed", "completes"),
        ("grouped", "groups"),
    ] {
        let awaited_by = names(&snapshot, named(&snapshot, task).awaited_by());
        assert_eq!(awaited_by, [by], "{task} in\n{snapshot}");
        // By the combinator's own callback.
        assert_eq!(named(&snapshot, task).callbacks(), 1, "{task}");
        assert!(named(&snapshot, by).awaited_by().is_empty());
    }
}

/// What two await stands below both of them, what is below it once.
#[test]
fn the_tree_shows_what_is_shared_below_everybody_who_awaits_it() {
    let event_loop = virtual_loop();
    let never = event_loop.create_future::<()>();
    let worker = event_loop.task(never.clone()).name("worker").spawn();
    let worker_at = worker.created_at();
    let shared = (*worker).clone();
    let first = event_loop.task(shared.clone()).name("first").spawn();
    let second = event_loop.task(gather([shared])).name("second").spawn();
    event_loop.call_later(ms(1500), || ());
    turn(&event_loop);
    let snapshot = event_loop.snapshot();
    let (loop_at, never_at) = (snapshot.created_at(), never.created_at());
    let gather_at = awaited_by(&snapshot, "second").created_at();
    let (first_at, second_at) = (first.created_at(), second.created_at());
    assert_eq!(
        snapshot.to_string(),
        format!(
            "event loop created at {loop_at}: 0 ready, 0 posted, 1 timer, at 1.5s\n\
             <Task waiting name='first' created at {first_at}>\n\
             └─ <Task waiting name='worker' created at {worker_at} cb=[1]>\n   \
                └─ <Future pending created at {never_at}>\n\
             <Task waiting name='second' created at {second_at}>\n\
             └─ <Gather pending created at {gather_at}>\n   \
                └─ <Task waiting name='worker' created at {worker_at} cb=[1]> (see above)"
        )
    );
    let worker = named(&snapshot, "worker");
    assert_eq!(names(&snapshot, worker.awaited_by()), ["first", "second"]);
}

/// A task that awaits several handles to one future awaits that future, once.
#[test]
fn what_is_awaited_twice_is_there_once() {
    let event_loop = virtual_loop();
    let answer = event_loop.create_future::<()>();
    let asks_twice = {
        let (direct, wrapped) = (answer.clone(), answer.clone());
        let again = answer.clone();
        async move {
            let wrapped = FuturesUnordered::from_iter([wrapped]);
            futures::join!(direct, again, wrapped.count());
        }
    };
    event_loop.task(asks_twice).name("asks twice").spawn();
    turn(&event_loop);
    let snapshot = event_loop.snapshot();
    let awaited = awaited_by(&snapshot, "asks twice");
    assert_eq!(names(&snapshot, awaited.awaited_by()), ["asks twice"]);
    assert_eq!(snapshot.to_string().lines().count(), 3, "{snapshot}");
}

/// Tasks that await each other are printed all the same, and come to an end.
#[test]
fn circles_are_marked_and_end() {
    let event_loop = virtual_loop();
    let (left_slot, right_slot) = (
        event_loop.create_future::<callsoon::Future<()>>(),
        event_loop.create_future::<callsoon::Future<()>>(),
    );
    let wait_for = |slot: &callsoon::Future<callsoon::Future<()>>| {
        let slot = slot.clone();
        async move { slot.await.await }
    };
    let left = event_loop.task(wait_for(&left_slot)).name("left").spawn();
    let right = event_loop.task(wait_for(&right_slot)).name("right").spawn();
    left_slot.set_result((*right).clone()).unwrap();
    right_slot.set_result((*left).clone()).unwrap();
    drop((left_slot, right_slot));
    settle(&event_loop);
    let snapshot = event_loop.snapshot();
    let printed = snapshot.to_string();
    let lines: Vec<_> = printed.lines().skip(1).collect();
    assert_eq!(lines.len(), 3, "{printed}");
    assert!(lines[0].starts_with("<Task waiting name='left'"));
    assert!(lines[1].starts_with("└─ <Task waiting name='right'"));
    assert!(lines[2].starts_with("   └─ <Task waiting name='left'"));
    assert!(lines[2].ends_with(" (a circle: it is further up)"));
    let by_left = names(&snapshot, named(&snapshot, "right").awaited_by());
    assert_eq!(by_left, ["left"]);
}

/// A chain of any length: every task is there once with what it awaits, and no line is too long.
#[test]
fn a_long_chain_goes_on_at_the_left_margin() {
    const LENGTH: usize = 5000;
    let event_loop = virtual_loop();
    let mut last = event_loop.create_task(std::future::pending::<()>());
    for _ in 1..LENGTH {
        last = event_loop.create_task(last);
    }
    turn(&event_loop);
    let snapshot = event_loop.snapshot();
    assert_eq!(snapshot.tasks().len(), LENGTH);
    let printed = snapshot.to_string();
    let goes_on = printed
        .lines()
        .filter(|line| line.ends_with(" (goes on below)"));
    let goes_on = goes_on.count();
    assert!(goes_on > LENGTH / 100, "{goes_on}");
    assert_eq!(printed.lines().count(), 1 + LENGTH + goes_on);
    assert!(printed.lines().all(|line| line.chars().count() < 250));
    drop(snapshot);
}

/// Timers stand in the order of their deadlines; what was cancelled is gone.
#[test]
fn timers_stand_in_the_order_in_which_they_fire() {
    let event_loop = virtual_loop();
    let late = event_loop.call_later(ms(30), || ());
    event_loop.call_later(ms(20), || ()).cancel();
    let soon = event_loop.call_later(ms(10), || ());
    event_loop.create_task(async { sleep(ms(20)).await });
    turn(&event_loop);
    let sleep_at = event_loop.snapshot().awaited()[0].created_at();
    let snapshot = event_loop.snapshot();
    let timers: Vec<_> = snapshot
        .timers()
        .iter()
        .map(|timer| (timer.when(), timer.created_at()))
        .collect();
    let expected = [
        (ms(10), soon.created_at()),
        (ms(20), sleep_at),
        (ms(30), late.created_at()),
    ];
    assert_eq!(timers, expected);
}

/// In the middle of a turn what the turn has not come to counts as ready.
#[test]
fn what_the_turn_has_not_come_to_is_ready() {
    let event_loop = virtual_loop();
    let ready = Rc::new(Cell::new(0));
    let (sees, handle) = (ready.clone(), event_loop.handle());
    event_loop.call_soon(move || {
        handle.call_soon(|| ());
        sees.set(handle.snapshot().ready());
    });
    event_loop.call_soon(|| ());
    event_loop.create_task(async {});
    turn(&event_loop);
    assert_eq!(ready.get(), 3);
}

/// It can be taken wherever code of the user's runs, also while a task is dropped or a result is cloned.
#[test]
fn a_snapshot_can_be_taken_in_drops_and_callbacks() {
    let event_loop = virtual_loop();
    let taken = Rc::new(Cell::new(0));
    let (handle, count) = (event_loop.handle(), taken.clone());
    let take = move || {
        let snapshot = handle.snapshot();
        assert!(snapshot.to_string().starts_with("event loop created at "));
        count.set(count.get() + 1);
    };
    struct Loud(Rc<dyn Fn()>);
    impl Clone for Loud {
        fn clone(&self) -> Self {
            (self.0)();
            Self(self.0.clone())
        }
    }
    let (in_drop, in_callback) = (take.clone(), take.clone());
    let dropped = event_loop.create_task(async move {
        let _guard = OnDrop::new(in_drop);
        std::future::pending::<()>().await;
    });
    dropped.add_done_callback(move |_| in_callback());
    let loud = event_loop.create_future::<Loud>();
    let gathered = gather([loud.clone(), loud.clone()]);
    let main = event_loop.create_task(async move { gathered.await.len() });
    turn(&event_loop);
    loud.set_result(Loud(Rc::new(take)))
        .unwrap_or_else(|_| unreachable!());
    dropped.cancel();
    assert_eq!(event_loop.run_until_complete(main).unwrap(), 2);
    assert!(taken.get() >= 3, "{}", taken.get());
}

/// A deadlock report names the primitive that is waited for.
#[test]
fn a_deadlock_names_the_lock_and_where_it_is_awaited() {
    let event_loop = virtual_loop();
    let lock = Lock::new(());
    let error = event_loop.run_until_complete(async move {
        let _guard = lock.lock().await;
        drop(lock.lock().await);
    });
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains(" waits for <Lock pending created at "),
        "{text}"
    );
    assert!(text.contains(" awaited at "), "{text}");
}

// ---- from another thread

/// A loop that sleeps is woken to answer.
#[test]
fn another_thread_gets_a_snapshot_of_a_sleeping_loop() {
    let event_loop = EventLoop::new();
    let event = Event::new();
    event_loop
        .task(async move { event.wait().await })
        .name("stuck")
        .spawn();
    let remote = event_loop.remote();
    let monitor = std::thread::spawn(move || {
        let snapshot = remote.snapshot(Duration::from_secs(60));
        remote.stop();
        snapshot
    });
    event_loop.run_forever();
    let snapshot = monitor.join().unwrap().expect("the loop runs");
    assert_eq!(awaited_by(&snapshot, "stuck").kind(), AwaitedKind::Event);
}

/// A loop in the middle of a callback cannot answer; nor does it answer later those who have given up.
#[test]
fn a_loop_that_is_stuck_is_busy() {
    let event_loop = EventLoop::new();
    let remote = event_loop.remote();
    let (stuck, is_stuck) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let handle = event_loop.handle();
    event_loop.call_soon(move || {
        stuck.send(()).unwrap();
        let _ = released.recv();
        handle.stop();
    });
    let monitor = std::thread::spawn(move || {
        is_stuck.recv().unwrap();
        let seen = remote.snapshot(ms(1));
        drop(release);
        seen
    });
    event_loop.run_forever();
    let error = monitor.join().unwrap().unwrap_err();
    assert!(matches!(error, SnapshotError::Busy(_)), "{error:?}");
    assert_eq!(
        error.to_string(),
        "event loop did not answer in time: no watchdog tells what it runs"
    );
}

/// With a watchdog it is known what the loop is stuck in, since when, and where that was created.
#[test]
fn a_stuck_loop_that_is_watched_tells_what_it_runs() {
    let event_loop = EventLoop::new();
    let remote = event_loop.remote();
    let _watchdog = event_loop.watch(ms(4));
    let (stuck, is_stuck) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let handle = event_loop.handle();
    let blocks = event_loop
        .task(async move {
            stuck.send(()).unwrap();
            let _ = released.recv();
            handle.stop();
        })
        .name("blocks")
        .spawn();
    let (id, site) = (blocks.handle().id(), blocks.created_at());
    let monitor = std::thread::spawn(move || {
        is_stuck.recv().unwrap();
        // Until the watchdog has seen it, too.
        let seen = loop {
            match remote.snapshot(ms(1)) {
                Err(SnapshotError::Busy(busy)) => match busy.stall() {
                    Some(stall) if stall.running_for() > Duration::ZERO => break busy,
                    _ => {}
                },
                other => panic!("{other:?}"),
            }
        };
        drop(release);
        seen
    });
    event_loop.run_forever();
    let busy = monitor.join().unwrap();
    let stall = busy.stall().unwrap();
    assert_eq!((stall.task(), stall.created_at()), (Some(id), Some(site)));
    let start = format!(
        "event loop did not answer in time: step of task 'blocks' created at {site} still runs after "
    );
    assert!(busy.to_string().starts_with(&start), "{busy}");
}

/// A loop that was closed, and one that is closed before it comes to answer.
#[test]
fn a_closed_loop_gives_no_snapshot() {
    let event_loop = EventLoop::new();
    let remote = event_loop.remote();
    let (asked, is_asked) = mpsc::channel();
    let asks = remote.clone();
    let monitor = std::thread::spawn(move || {
        asked.send(()).unwrap();
        asks.snapshot(Duration::from_secs(60))
    });
    is_asked.recv().unwrap();
    // Whether it has asked by now or is about to.
    event_loop.close();
    for error in [monitor.join().unwrap(), remote.snapshot(ms(1))] {
        assert!(matches!(error, Err(SnapshotError::Closed)), "{error:?}");
    }
}

/// The loop's own thread need not wait for itself.
#[test]
fn on_the_loops_own_thread_the_snapshot_is_taken_at_once() {
    let event_loop = EventLoop::new();
    let seen = event_loop.run_until_complete(async {
        create_task(std::future::pending::<()>());
        yield_now().await;
        let remote = get_running_loop().remote();
        remote.snapshot(Duration::ZERO).map(|it| it.tasks().len())
    });
    assert_eq!(seen.unwrap().unwrap(), 2);
}

/// With the feature it is JSON; places are objects.
#[cfg(feature = "serde")]
#[test]
fn a_snapshot_is_json() {
    let event_loop = virtual_loop();
    let lock = Lock::new(());
    let _guard = lock.try_lock().unwrap();
    event_loop
        .task(async move { drop(lock.lock().await) })
        .name("writer")
        .spawn();
    event_loop.create_task(async { sleep(ms(1500)).await });
    turn(&event_loop);
    let snapshot = event_loop.snapshot();
    let json = serde_json::to_value(&snapshot).unwrap();
    assert_eq!(json["tasks"][0]["name"], "writer");
    assert_eq!(json["tasks"][0]["state"], "waiting");
    assert_eq!(json["tasks"][0]["awaits"][0], 0);
    assert_eq!(json["awaited"][0]["kind"], "lock");
    let primitive = awaited_by(&snapshot, "writer").primitive().unwrap();
    assert_eq!(json["awaited"][0]["primitive"]["file"], primitive.file());
    assert_eq!(json["awaited"][0]["primitive"]["line"], primitive.line());
    assert_eq!(json["awaited"][1]["kind"], "sleep");
    assert_eq!(json["awaited"][1]["deadline"]["secs"], 1);
    assert_eq!(json["timers"][0]["when"]["nanos"], 500_000_000);
    assert!(json["created_at"]["column"].is_u64());
    assert!(json["current_task"].is_null());
}
