//! Watchdogs: what does not come back is noticed while it runs.
//!
//! What is to hang waits until the watchdog has noticed it, and not for any time.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use callsoon::observe::{EntryKind, Stall, Watchdog};
use callsoon::{EventLoop, SnapshotError, current_task, task, yield_now};

use crate::support::{ms, settle, turn, virtual_loop};

const THRESHOLD: Duration = ms(10);
/// For what is not to be reported: longer than the system lets a thread wait for its turn.
const PATIENT: Duration = ms(150);

/// A watchdog that passes on what it is told.
fn watch(event_loop: &EventLoop, threshold: Duration) -> (Watchdog, Receiver<Stall>) {
    let (send, told) = channel();
    let tell = move |stall: &Stall| _ = send.send(stall.clone());
    (event_loop.watch_with(threshold, tell), told)
}

/// A watchdog that lets what hangs go on, and passes on what it is told.
fn watch_and_release(event_loop: &EventLoop) -> (Watchdog, Hang, Receiver<Stall>) {
    watch_and_release_after(event_loop, THRESHOLD)
}

fn watch_and_release_after(
    event_loop: &EventLoop,
    threshold: Duration,
) -> (Watchdog, Hang, Receiver<Stall>) {
    let ((send, told), (release, released)) = (channel(), channel());
    let watchdog = event_loop.watch_with(threshold, move |stall| {
        send.send(stall.clone()).unwrap();
        if !stall.is_over() {
            release.send(()).unwrap();
        }
    });
    (watchdog, Hang(released), told)
}

/// Comes back when the watchdog has noticed that it does not.
struct Hang(Receiver<()>);

impl Hang {
    fn hang(&self) {
        self.0.recv().unwrap();
    }

    fn was_noticed_again(&self) -> bool {
        self.0.try_recv().is_ok()
    }
}

#[test]
fn a_callback_is_reported_while_it_runs_and_when_it_is_over() {
    let event_loop = virtual_loop();
    let (_watchdog, hang, told) = watch_and_release(&event_loop);
    let callback = event_loop.call_soon(move || hang.hang());
    let begin = Instant::now();
    turn(&event_loop);
    let whole = begin.elapsed();
    let (stall, end) = (told.recv().unwrap(), told.recv().unwrap());
    assert!(!stall.is_over() && end.is_over());
    assert!(stall.running_for() >= THRESHOLD);
    assert!(end.running_for() >= stall.running_for());
    assert!(stall.running_for() <= whole);
    for it in [stall, end] {
        assert_eq!(it.kind(), EntryKind::Callback);
        assert_eq!(it.created_at(), Some(callback.created_at()));
        assert_eq!((it.name(), it.task()), ("callback", None));
    }
}

#[test]
fn each_stall_is_reported_once() {
    let event_loop = virtual_loop();
    let (_watchdog, hang, told) = watch_and_release(&event_loop);
    event_loop.call_soon(move || {
        hang.hang();
        // Time for more reports, if there were any: that of three stalls of another loop.
        for _ in 0..3 {
            stall_of_another_loop(THRESHOLD);
        }
        assert!(!hang.was_noticed_again());
    });
    settle(&event_loop);
    assert!(!told.recv().unwrap().is_over());
    assert!(told.recv().unwrap().is_over());
    assert!(told.try_recv().is_err());
}

/// Lasts as long as a watchdog needs to notice something.
fn stall_of_another_loop(threshold: Duration) {
    let stalls = thread::spawn(move || {
        let event_loop = virtual_loop();
        let (_watchdog, hang, told) = watch_and_release_after(&event_loop, threshold);
        event_loop.call_soon(move || hang.hang());
        turn(&event_loop);
        assert!(told.recv().is_ok());
    });
    stalls.join().unwrap();
}

#[track_caller]
fn check_name(name: &str, spawn: impl FnOnce(&EventLoop, Hang)) {
    let event_loop = virtual_loop();
    let (_watchdog, hang, told) = watch_and_release(&event_loop);
    spawn(&event_loop, hang);
    settle(&event_loop);
    let stall = told.recv().unwrap();
    assert_eq!((stall.name(), stall.kind()), (name, EntryKind::Step));
    assert!(
        stall
            .to_string()
            .contains(&format!("step of task '{name}' created at"))
    );
}

#[test]
fn a_step_is_reported_with_the_tasks_name() {
    check_name("cruncher", |event_loop, hang| {
        let crunch = async move {
            yield_now().await;
            hang.hang();
        };
        event_loop.task(crunch).name("cruncher").spawn();
    });
    check_name("renamed", |event_loop, hang| {
        event_loop.create_task(async move {
            current_task().unwrap().set_name("renamed");
            hang.hang();
        });
    });
    // It is the inner one that hangs.
    check_name("eager", |event_loop, hang| {
        let eager = || task(async move { hang.hang() }).name("eager").eager_start();
        event_loop.call_soon(move || drop(eager().spawn()));
    });
    check_name("outer", |event_loop, hang| {
        let outer = async move {
            task(async {}).name("eager").eager_start().spawn();
            hang.hang();
        };
        event_loop.task(outer).name("outer").spawn();
    });
}

#[test]
fn a_task_without_a_name_is_called_by_its_number() {
    let event_loop = virtual_loop();
    let (_watchdog, hang, told) = watch_and_release(&event_loop);
    let task = event_loop.create_task(async move { hang.hang() });
    turn(&event_loop);
    let stall = told.recv().unwrap();
    assert_eq!(stall.name(), task.name());
    assert_eq!(stall.task(), Some(task.handle().id()));
    assert_eq!(stall.created_at(), Some(task.created_at()));
}

#[test]
fn tasks_that_were_named_before_are_known_by_name() {
    let event_loop = virtual_loop();
    let (send, hang) = channel::<Hang>();
    let hangs = async move { hang.recv().unwrap().hang() };
    event_loop.task(hangs).name("before").spawn();
    let (_watchdog, hang, told) = watch_and_release(&event_loop);
    send.send(hang).unwrap();
    turn(&event_loop);
    assert_eq!(told.recv().unwrap().name(), "before");
}

#[test]
fn names_of_many_tasks_that_are_over_do_no_harm() {
    let event_loop = virtual_loop();
    let (_watchdog, hang, told) = watch_and_release(&event_loop);
    let hangs = async move {
        for round in 0..1000 {
            let name = format!("short {round}");
            task(async {}).name(name).spawn().await;
        }
        hang.hang();
    };
    event_loop.task(hangs).name("long").spawn();
    settle(&event_loop);
    assert_eq!(told.recv().unwrap().name(), "long");
}

#[test]
fn a_stall_that_ends_in_a_panic_is_over() {
    let event_loop = virtual_loop();
    event_loop.set_exception_handler(|_, _| ());
    let (_watchdog, hang, told) = watch_and_release(&event_loop);
    event_loop.call_soon(move || {
        hang.hang();
        panic!("at last");
    });
    turn(&event_loop);
    assert!(!told.recv().unwrap().is_over());
    assert!(told.recv().unwrap().is_over());
}

/// A busy machine may keep the loop's thread from going on for as long as a stall takes, so one attempt
/// of many has to pass.
#[track_caller]
fn check_nothing_is_told(attempt: impl Fn() -> Receiver<Stall>) {
    // Comes to an end when the watching thread has.
    let is_silent = |_| attempt().recv().is_err();
    assert!((0..20).any(is_silent), "no stall was to be reported");
}

/// Another loop has stalled twice as long meanwhile, and was noticed.
#[test]
fn a_loop_that_sleeps_does_not_stall() {
    check_nothing_is_told(sleeps_while_others_stall);
}

fn sleeps_while_others_stall() -> Receiver<Stall> {
    let event_loop = EventLoop::new();
    let (watchdog, told) = watch(&event_loop, PATIENT);
    let remote = event_loop.remote();
    let waker = thread::spawn(move || {
        for _ in 0..2 {
            stall_of_another_loop(PATIENT);
        }
        remote.stop();
    });
    event_loop.call_soon(|| ());
    event_loop.run_forever();
    waker.join().unwrap();
    drop(watchdog);
    told
}

#[test]
fn a_host_that_does_not_turn_the_loop_is_no_stall() {
    check_nothing_is_told(does_not_turn_while_others_stall);
}

fn does_not_turn_while_others_stall() -> Receiver<Stall> {
    let event_loop = EventLoop::new();
    let (watchdog, told) = watch(&event_loop, PATIENT);
    event_loop.call_soon(|| ());
    turn(&event_loop);
    event_loop.call_soon(|| ());
    for _ in 0..2 {
        stall_of_another_loop(PATIENT);
    }
    turn(&event_loop);
    drop(watchdog);
    told
}

#[test]
fn many_short_steps_are_no_stall() {
    check_nothing_is_told(steps_often);
}

fn steps_often() -> Receiver<Stall> {
    let event_loop = virtual_loop();
    let (watchdog, told) = watch(&event_loop, THRESHOLD);
    let end = Instant::now() + 5 * THRESHOLD;
    let steps = async move {
        while Instant::now() < end {
            yield_now().await;
        }
    };
    event_loop.run_until_complete(steps).unwrap();
    drop(watchdog);
    told
}

#[test]
fn many_short_eager_steps_make_one_long_step() {
    let event_loop = virtual_loop();
    let (_watchdog, hang, told) = watch_and_release(&event_loop);
    event_loop.call_soon(move || {
        while hang.0.try_recv().is_err() {
            task(async {}).eager_start().spawn();
        }
    });
    turn(&event_loop);
    assert!(told.recv().unwrap().running_for() >= THRESHOLD);
    assert!(told.recv().unwrap().is_over());
}

/// The loop's thread goes on while the handler is being called.
#[test]
fn dropping_a_watchdog_waits_for_nobody() {
    let event_loop = virtual_loop();
    let inside = Arc::new(Barrier::new(2));
    let (both, (done, wait)) = (inside.clone(), channel::<()>());
    let watchdog = event_loop.watch_with(THRESHOLD, move |_| {
        both.wait();
        // Ends when the loop's thread has dropped the watchdog.
        assert!(wait.recv().is_err());
        both.wait();
    });
    let outside = inside.clone();
    event_loop.call_soon(move || {
        outside.wait();
        drop(watchdog);
        drop(done);
        outside.wait();
    });
    turn(&event_loop);
}

#[test]
fn a_handler_that_panics_is_called_again() {
    let event_loop = virtual_loop();
    let (send, told): (Sender<bool>, _) = channel();
    let _watchdog = event_loop.watch_with(THRESHOLD, move |stall| {
        send.send(stall.is_over()).unwrap();
        panic!("a handler");
    });
    event_loop.call_soon(move || {
        assert!(!told.recv().unwrap());
        callsoon::call_soon(move || {
            assert!(told.recv().unwrap(), "the first one is over");
            assert!(!told.recv().unwrap(), "this one is noticed, too");
        });
    });
    settle(&event_loop);
}

#[test]
fn the_thread_ends_with_the_watchdog_and_with_the_loop() {
    let event_loop = virtual_loop();
    let (watchdog, told) = watch(&event_loop, THRESHOLD);
    drop(watchdog);
    assert!(told.recv().is_err(), "the handler is gone");
    let (_watchdog, told) = watch(&event_loop, THRESHOLD);
    let handle = event_loop.handle();
    drop(event_loop);
    assert!(told.recv().is_err(), "the handler is gone");
    let (send, told) = channel::<()>();
    let _late = handle.watch_with(THRESHOLD, move |_| send.send(()).unwrap());
    assert!(told.recv().is_err(), "a closed loop needs none");
}

#[test]
fn a_recording_and_a_watchdog_do_not_mind_each_other() {
    let event_loop = virtual_loop();
    let recording = event_loop.record(10);
    let (_watchdog, hang, told) = watch_and_release(&event_loop);
    event_loop.call_soon(move || {
        hang.hang();
        callsoon::call_soon(|| ());
    });
    settle(&event_loop);
    assert!(told.recv().is_ok());
    assert_eq!(recording.events()[1].cause(), Some(0));
}

/// What another thread is told when the loop does not answer it.
fn busy_with(event_loop: &EventLoop, watchdog: &mut Option<Watchdog>) -> String {
    let remote = event_loop.remote();
    drop(watchdog.take());
    let (ask, asked) = channel::<()>();
    let asker = thread::spawn(move || {
        asked.recv().unwrap();
        let Err(SnapshotError::Busy(busy)) = remote.snapshot(Duration::ZERO) else {
            panic!("it is busy");
        };
        busy.to_string()
    });
    let (answer, answered) = channel();
    event_loop.call_soon(move || {
        ask.send(()).unwrap();
        answer.send(asker.join().unwrap()).unwrap();
    });
    turn(event_loop);
    answered.recv().unwrap()
}

#[test]
fn without_a_watchdog_nobody_is_told_what_runs_even_if_there_was_one() {
    let unknown = "event loop did not answer in time: no watchdog tells what it runs";
    let event_loop = virtual_loop();
    assert_eq!(busy_with(&event_loop, &mut None), unknown);
    let (watchdog, _told) = watch(&event_loop, THRESHOLD);
    assert_eq!(busy_with(&event_loop, &mut Some(watchdog)), unknown);
    let recording = event_loop.record(10);
    assert_eq!(busy_with(&event_loop, &mut None), unknown);
    drop(recording);
    assert_eq!(busy_with(&event_loop, &mut None), unknown);
    let (_watchdog, _told) = watch(&event_loop, THRESHOLD);
    assert!(busy_with(&event_loop, &mut None).contains("callback created at"));
}

#[test]
fn what_ran_before_a_watchdog_came_is_no_stall() {
    let event_loop = virtual_loop();
    let (watchdog, _told) = watch(&event_loop, THRESHOLD);
    // Goes inside of an eager task, which is inside of a callback.
    event_loop.call_soon(move || {
        task(async move { drop(watchdog) }).eager_start().spawn();
    });
    let (send, told) = channel();
    event_loop.call_soon(move || {
        let here = callsoon::get_running_loop();
        let tell = move |stall: &Stall| _ = send.send(stall.clone());
        let watchdog = here.watch_with(THRESHOLD, tell);
        for _ in 0..3 {
            stall_of_another_loop(THRESHOLD);
        }
        drop(watchdog);
    });
    settle(&event_loop);
    assert!(told.recv().is_err(), "nothing was told");
}

#[test]
fn a_threshold_may_be_the_longest_there_is() {
    let event_loop = virtual_loop();
    let (send, told) = channel::<()>();
    let watchdog = event_loop.watch_with(Duration::MAX, move |_| send.send(()).unwrap());
    event_loop.call_soon(stall_of_another_loop_twice);
    settle(&event_loop);
    drop(watchdog);
    assert!(told.recv().is_err(), "the thread ends at once");
}

fn stall_of_another_loop_twice() {
    stall_of_another_loop(THRESHOLD);
    stall_of_another_loop(THRESHOLD);
}

/// A threshold of nothing at all is as short as the thread looks.
#[test]
fn a_threshold_may_be_zero() {
    let event_loop = virtual_loop();
    let (release, released) = channel();
    let _watchdog = event_loop.watch_with(Duration::ZERO, move |_| _ = release.send(()));
    event_loop.call_soon(move || released.recv().unwrap());
    turn(&event_loop);
}
