//! Recordings: what ran when, and what scheduled it.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use callsoon::observe::{EntryKind, RecordedEvent, Recording};
use callsoon::testing::Order;
use callsoon::{
    Clock, EventLoop, LoopHandle, call_later, call_soon, create_task, gather, sleep, task,
    yield_now,
};

use crate::support::{ms, settle, turn, virtual_loop};

/// Name, and cause by its place.
fn causes(recording: &Recording) -> Vec<(String, Option<usize>)> {
    let events = recording.events();
    events
        .iter()
        .map(|event| (event.name().to_owned(), event.cause()))
        .collect()
}

#[track_caller]
fn check_causes(recording: &Recording, expected: &[(&str, Option<usize>)]) {
    let causes = causes(recording);
    let causes: Vec<_> = causes.iter().map(|(name, it)| (&**name, *it)).collect();
    assert_eq!(causes, expected);
}

#[test]
fn callbacks_have_their_turn_their_kind_and_their_cause() {
    let event_loop = virtual_loop();
    let recording = event_loop.record(100);
    let line = line!() + 1;
    event_loop.call_soon(|| {
        call_soon(|| ());
        call_soon(|| _ = call_soon(|| ()));
    });
    settle(&event_loop);
    check_causes(
        &recording,
        &[
            ("callback", None),
            ("callback", Some(0)),
            ("callback", Some(0)),
            ("callback", Some(2)),
        ],
    );
    let events = recording.events();
    let turns: Vec<_> = events.iter().map(RecordedEvent::turn).collect();
    assert_eq!(turns, [1, 2, 2, 3]);
    let lines: Vec<_> = events
        .iter()
        .map(|it| it.created_at().unwrap().line())
        .collect();
    assert_eq!(lines, [line, line + 1, line + 2, line + 2]);
    assert!(events.iter().all(|it| it.kind() == EntryKind::Callback));
    assert!(events.iter().all(|it| it.task().is_none()));
}

#[test]
fn a_step_has_as_cause_what_completed_its_await() {
    let event_loop = virtual_loop();
    let recording = event_loop.record(100);
    let future = event_loop.create_future::<()>();
    let awaited = future.clone();
    event_loop.task(awaited).name("waiter").spawn();
    turn(&event_loop);
    event_loop.call_soon(move || future.set_result(()).unwrap());
    settle(&event_loop);
    let expected = [("waiter", None), ("callback", None), ("waiter", Some(1))];
    check_causes(&recording, &expected);
}

#[test]
fn a_yield_has_the_step_before_as_cause() {
    let event_loop = virtual_loop();
    let recording = event_loop.record(100);
    event_loop.task(yield_now()).name("yields").spawn();
    settle(&event_loop);
    check_causes(&recording, &[("yields", None), ("yields", Some(0))]);
}

#[test]
fn a_timer_has_as_cause_what_armed_it_last() {
    let event_loop = virtual_loop();
    let recording = event_loop.record(100);
    event_loop.call_soon(|| {
        let timer = call_later(ms(30), || ());
        call_later(ms(10), move || assert!(timer.reschedule(ms(50))));
        call_later(ms(20), || ());
    });
    event_loop.run_forever();
    let events = recording.events();
    let seen: Vec<_> = events.iter().map(|it| (it.begin(), it.cause())).collect();
    let zero = Duration::ZERO;
    assert_eq!(
        seen,
        [
            (zero, None),
            (ms(10), Some(0)),
            (ms(20), Some(0)),
            (ms(50), Some(1)),
        ]
    );
    assert!(events[1..].iter().all(|it| it.kind() == EntryKind::Timer));
    assert_eq!(events[3].queued(), Some(ms(50)));
}

/// It goes through the queue like asyncio's.
#[test]
fn a_cancelled_callback_is_an_event_and_a_cancelled_timer_is_none() {
    let event_loop = virtual_loop();
    let recording = event_loop.record(100);
    event_loop.call_soon(|| unreachable!("cancelled")).cancel();
    let timer = event_loop.call_later(ms(1), || unreachable!("cancelled"));
    timer.cancel();
    let again = event_loop.call_later(ms(2), || ());
    event_loop.run_forever();
    drop((timer, again));
    check_causes(&recording, &[("callback", None), ("timer", None)]);
}

#[test]
fn a_sleep_is_a_timer_of_the_place_that_sleeps() {
    let event_loop = virtual_loop();
    let recording = event_loop.record(100);
    let line = line!() + 1;
    let sleeps = || sleep(ms(5));
    let sleeper = event_loop.task(async move { sleeps().await });
    sleeper.name("sleeper").spawn();
    event_loop.run_forever();
    let expected = [("sleeper", None), ("timer", Some(0)), ("sleeper", Some(1))];
    check_causes(&recording, &expected);
    let site = recording.events()[1].created_at().unwrap();
    assert_eq!((site.file(), site.line()), (file!(), line));
}

#[test]
fn what_a_thread_posts_has_no_cause_and_is_the_cause_of_what_it_schedules() {
    let event_loop = virtual_loop();
    let recording = event_loop.record(100);
    let remote = event_loop.remote();
    let thread = std::thread::spawn(move || {
        let posted = remote.call_soon_threadsafe(|| _ = call_soon(|| ()));
        assert!(posted.is_ok());
    });
    thread.join().unwrap();
    settle(&event_loop);
    check_causes(&recording, &[("posted", None), ("callback", Some(0))]);
    assert_eq!(recording.events()[0].created_at(), None);
}

#[test]
fn what_the_loops_own_thread_posts_has_a_cause() {
    let event_loop = virtual_loop();
    let recording = event_loop.record(100);
    let remote = event_loop.remote();
    event_loop.call_soon(move || assert!(remote.call_soon_threadsafe(|| ()).is_ok()));
    settle(&event_loop);
    check_causes(&recording, &[("callback", None), ("posted", Some(0))]);
}

#[test]
fn done_callbacks_and_listeners_have_as_cause_what_ended() {
    let event_loop = virtual_loop();
    let recording = event_loop.record(100);
    let both = event_loop.task(async {
        let one = task(async {}).name("one").spawn();
        one.add_done_callback(|_| ());
        gather([one]).await;
    });
    both.name("both").spawn();
    settle(&event_loop);
    let expected = [
        ("both", None),
        ("one", Some(0)),
        ("done-callback", Some(1)),
        ("gather", Some(1)),
        ("both", Some(3)),
    ];
    check_causes(&recording, &expected);
}

#[test]
fn an_eager_task_runs_inside_of_its_cause() {
    let event_loop = virtual_loop();
    let recording = event_loop.record(100);
    let busy = event_loop.handle();
    event_loop.call_soon(move || {
        let inner = busy.clone();
        let eager = async move {
            inner.advance(ms(2));
            yield_now().await;
        };
        busy.advance(ms(1));
        busy.task(eager).name("eager").eager_start().spawn();
        busy.advance(ms(4));
    });
    settle(&event_loop);
    let expected = [("callback", None), ("eager", Some(0)), ("eager", Some(1))];
    check_causes(&recording, &expected);
    let events = recording.events();
    let times: Vec<_> = events
        .iter()
        .map(|it| (it.begin(), it.end().unwrap()))
        .collect();
    let expected = [(Duration::ZERO, ms(7)), (ms(1), ms(3)), (ms(7), ms(7))];
    assert_eq!(times, expected);
    assert_eq!(events[1].queued(), None);
    let tasks = recording.tasks();
    assert_eq!((tasks[0].since(), tasks[0].until()), (ms(1), Some(ms(7))));
}

#[test]
fn a_panic_ends_the_event_and_the_task_it_came_from() {
    let event_loop = virtual_loop();
    event_loop.set_exception_handler(|_, _| _ = call_soon(|| ()));
    let recording = event_loop.record(100);
    let busy = event_loop.handle();
    event_loop.call_soon(move || {
        busy.advance(ms(1));
        panic!("it is recorded");
    });
    let panics = event_loop
        .task(async { panic!("this, too") })
        .name("panics");
    let task = panics.spawn();
    event_loop.call_soon(|| ());
    settle(&event_loop);
    drop(task);
    let expected = [
        ("callback", None),
        ("panics", None),
        ("callback", None),
        // Of the handler.
        ("callback", Some(0)),
    ];
    check_causes(&recording, &expected);
    let events = recording.events();
    assert_eq!(events[0].end(), Some(ms(1)));
    assert!(events.iter().all(|it| it.end().is_some()));
    assert_eq!(recording.tasks()[0].until(), Some(ms(1)));
}

#[test]
fn what_a_panic_ends_has_it_as_cause() {
    let event_loop = virtual_loop();
    event_loop.set_exception_handler(|_, _| ());
    let recording = event_loop.record(100);
    let panics = event_loop.task(async { panic!("it is recorded") });
    let failed = panics.name("panics").spawn();
    failed.add_done_callback(|_| ());
    let outer = async {
        let inner = task(async {
            yield_now().await;
            panic!("this, too");
        });
        let inner: callsoon::Task<()> = inner.name("inner").eager_start().spawn();
        inner.add_done_callback(|_| ());
    };
    event_loop.task(outer).name("outer").spawn();
    settle(&event_loop);
    let expected = [
        ("panics", None),
        ("outer", None),
        ("inner", Some(1)),
        ("done-callback", Some(0)),
        ("inner", Some(2)),
        ("done-callback", Some(4)),
    ];
    check_causes(&recording, &expected);
    drop(failed);
}

#[test]
fn what_was_queued_before_has_no_cause_and_shifts_nothing() {
    let event_loop = virtual_loop();
    let recording = Rc::new(RefCell::new(None));
    let slot = recording.clone();
    // Begins in the middle of a turn, when one more callback of it has yet to run and another is
    // queued for the next.
    event_loop.call_soon(move || {
        call_soon(|| _ = call_soon(|| ()));
        let recording = callsoon::get_running_loop().record(100);
        slot.replace(Some(recording));
        call_soon(|| ());
    });
    event_loop.call_soon(|| _ = call_soon(|| ()));
    settle(&event_loop);
    let recording = recording.take().unwrap();
    check_causes(
        &recording,
        &[
            ("callback", None), // of the first turn
            ("callback", None), // queued before
            ("callback", None), // queued by what was running when the recording began
            ("callback", Some(0)),
            ("callback", Some(1)),
        ],
    );
}

#[test]
fn a_recording_can_end_and_another_begin_in_what_it_records() {
    let event_loop = virtual_loop();
    let first = Rc::new(event_loop.record(100));
    let second = Rc::new(RefCell::new(None));
    let (stop, slot) = (first.clone(), second.clone());
    event_loop.call_soon(move || {
        call_soon(|| _ = call_soon(|| ()));
        stop.stop();
        slot.replace(Some(callsoon::get_running_loop().record(100)));
    });
    settle(&event_loop);
    check_causes(&first, &[("callback", None)]);
    assert!(first.events()[0].end().is_some(), "it hears of the end");
    let second = second.take().unwrap();
    check_causes(&second, &[("callback", None), ("callback", Some(0))]);
}

#[test]
fn two_recordings_and_debug_mode_hear_the_same() {
    let event_loop = virtual_loop();
    let one = event_loop.record(100);
    event_loop.set_debug(true);
    let other = event_loop.record(1);
    event_loop.call_soon(|| _ = call_soon(|| ()));
    settle(&event_loop);
    drop(event_loop);
    check_causes(&one, &[("callback", None), ("callback", Some(0))]);
    check_causes(&other, &[("callback", None)]);
}

#[test]
fn the_newest_events_are_kept_and_the_others_counted() {
    let event_loop = virtual_loop();
    let recording = event_loop.record(3);
    event_loop.task(async {}).name("early").spawn();
    let waits = event_loop.task(pending::<()>()).name("waits").spawn();
    fn chain(event_loop: &LoopHandle, left: u32) {
        let next = event_loop.clone();
        event_loop.call_soon(move || {
            if left > 0 {
                chain(&next, left - 1);
            }
        });
    }
    chain(&event_loop, 5);
    settle(&event_loop);
    assert_eq!(recording.dropped(), 8 - 3);
    let expected = [
        ("callback", None),
        ("callback", Some(0)),
        ("callback", Some(1)),
    ];
    check_causes(&recording, &expected);
    // A task that is over goes with its last event; one that is not, stays.
    let names: Vec<_> = recording
        .tasks()
        .iter()
        .map(|it| it.name().to_owned())
        .collect();
    assert_eq!(names, ["waits"]);
    drop(waits);
}

#[test]
fn a_recording_without_room_only_counts() {
    let event_loop = virtual_loop();
    let recording = event_loop.record(0);
    event_loop.create_task(yield_now());
    settle(&event_loop);
    assert_eq!((recording.events().len(), recording.dropped()), (0, 2));
    assert!(recording.tasks().is_empty());
    assert!(recording.to_svg().ends_with("</svg>\n"));
}

#[test]
fn tasks_have_their_latest_name_and_their_life() {
    let event_loop = virtual_loop();
    let before = event_loop.task(sleep(ms(20))).name("before").spawn();
    event_loop.run_once(Some(ms(10))).unwrap();
    event_loop.advance(ms(10));
    let recording = event_loop.record(100);
    event_loop.call_later(ms(5), || {
        create_task(async { callsoon::current_task().unwrap().set_name("renamed") });
    });
    let never = event_loop.task(pending::<()>()).name("never").spawn();
    event_loop.run_until_complete(&before).unwrap();
    event_loop.run_forever();
    let tasks = recording.tasks();
    let seen: Vec<_> = tasks
        .iter()
        .map(|it| (it.name(), it.since(), it.until()))
        .collect();
    assert_eq!(
        seen,
        [
            ("before", ms(10), Some(ms(20))),
            ("never", ms(10), None),
            ("renamed", ms(15), Some(ms(15))),
        ]
    );
    assert_eq!(tasks[1].id(), never.handle().id());
    event_loop.advance(ms(100));
    event_loop.close();
    assert_eq!(
        recording.tasks()[1].until(),
        Some(ms(120)),
        "closing ends it"
    );
}

#[test]
fn the_task_of_a_run_that_ends_early_is_over() {
    let mut runner = callsoon::Runner::new();
    let handle = runner.get_loop().unwrap();
    let recording = handle.record(100);
    let stop = async {
        callsoon::get_running_loop().stop();
        pending::<()>().await;
    };
    assert!(runner.run(stop).is_err());
    assert!(recording.tasks()[0].until().is_some());
}

#[test]
fn a_task_that_ends_in_the_step_in_which_it_begins_to_record_is_over() {
    let event_loop = virtual_loop();
    let begins = async { callsoon::get_running_loop().record(10) };
    let recording = event_loop.run_until_complete(begins).unwrap();
    assert!(recording.tasks().iter().all(|it| it.until().is_some()));
}

/// A task that is over may still have an entry in the queue.
#[test]
fn a_step_that_comes_too_late_does_not_change_what_is_recorded_of_the_task() {
    let clock = EventLoop::builder().clock(Clock::Virtual);
    let mut runner = callsoon::Runner::with(clock);
    let handle = runner.get_loop().unwrap();
    let recording = handle.record(3);
    let stops_as_it_yields = async {
        callsoon::get_running_loop().stop();
        callsoon::current_task().unwrap().set_name("main");
        yield_now().await;
    };
    assert!(runner.run(stops_as_it_yields).is_err());
    assert_eq!(recording.tasks()[0].until(), Some(Duration::ZERO));
    handle.advance(ms(5));
    assert!(runner.run(yield_now()).is_ok());
    let events = recording.events();
    let names: Vec<_> = events.iter().map(RecordedEvent::name).collect();
    assert!(names.iter().all(|name| !name.is_empty()), "{names:?}");
    let tasks = recording.tasks();
    let main = tasks.iter().find(|it| it.name() == "main");
    assert!(
        main.is_none_or(|it| it.until() == Some(Duration::ZERO)),
        "{tasks:?}"
    );
}

#[track_caller]
fn check_it_goes_no_further(end: impl FnOnce(&EventLoop, &Recording)) {
    let event_loop = virtual_loop();
    let recording = event_loop.record(100);
    let waits = event_loop.task(sleep(ms(20))).name("waits").spawn();
    event_loop.advance(ms(10));
    turn(&event_loop);
    end(&event_loop, &recording);
    let files = || (recording.to_chrome_trace(), recording.to_svg());
    let before = files();
    event_loop.advance(ms(60_000));
    assert!(files() == before, "what comes later is not in the files");
    drop(waits);
}

#[test]
fn the_files_of_what_was_stopped_go_as_far_as_it_was_recorded() {
    check_it_goes_no_further(|_, recording| recording.stop());
    check_it_goes_no_further(|event_loop, _| event_loop.close());
}

/// What runs as a recording is stopped is heard to the end.
#[test]
fn a_recording_that_is_stopped_by_what_it_records_goes_up_to_the_end_of_that() {
    let event_loop = virtual_loop();
    let recording = Rc::new(event_loop.record(100));
    let (stop, busy) = (recording.clone(), event_loop.handle());
    event_loop.call_soon(move || {
        stop.stop();
        busy.advance(ms(10));
        stop.stop();
    });
    turn(&event_loop);
    let files = || (recording.to_chrome_trace(), recording.to_svg());
    let before = files();
    event_loop.advance(ms(60_000));
    assert_eq!(recording.events()[0].end(), Some(ms(10)));
    assert!(files() == before);
}

#[test]
fn a_recording_outlives_its_loop_and_begins_on_a_closed_one() {
    let event_loop = virtual_loop();
    let recording = event_loop.record(10);
    event_loop.call_soon(|| ());
    turn(&event_loop);
    let handle = event_loop.handle();
    drop(event_loop);
    assert_eq!(recording.events().len(), 1);
    assert!(handle.record(10).events().is_empty());
    let refused = crate::support::panic_message(|| drop(handle.call_soon(|| ())));
    assert!(refused.ends_with("is closed"), "{refused}");
}

#[test]
fn a_host_hears_of_what_is_scheduled_while_it_is_recorded() {
    let event_loop = virtual_loop();
    let (wake, woken) = std::sync::mpsc::channel();
    event_loop.set_wakeup_hook(move || _ = wake.send(()));
    let recording = event_loop.record(10);
    event_loop.call_soon(|| ());
    assert_eq!(woken.try_iter().count(), 1);
    event_loop.clear_wakeup_hook();
    event_loop.call_soon(|| ());
    assert_eq!(woken.try_iter().count(), 0);
    turn(&event_loop);
    assert_eq!(recording.events().len(), 2);
}

/// A tree of callbacks, timers, tasks and yields, grown at random: each event has as cause the one that
/// the tree knows.
#[test]
fn causes_are_those_of_a_random_program() {
    for seed in 1..=50 {
        let order = match seed % 2 {
            0 => Order::Fifo,
            _ => Order::Shuffled { seed },
        };
        let builder = EventLoop::builder().clock(Clock::Virtual);
        let event_loop = builder.order(order).build();
        let grown = Rc::new(Grown {
            random: Cell::new(seed),
            left: Cell::new(300),
            parents: RefCell::default(),
        });
        let recording = event_loop.record(10_000);
        for _ in 0..10 {
            grown.grow(&event_loop, None);
        }
        event_loop.run_forever();
        let events = recording.events();
        let parents = grown.parents.borrow();
        assert_eq!(events.len(), parents.len());
        for (event, parent) in events.iter().zip(&*parents) {
            assert_eq!(event.cause(), *parent, "seed {seed}");
        }
        assert!(events.len() > 100, "only {}", events.len());
    }
}

/// What grows in it notes, when it runs, who has scheduled it: all in the order in which it runs.
struct Grown {
    random: Cell<u64>,
    left: Cell<u32>,
    parents: RefCell<Vec<Option<usize>>>,
}

impl Grown {
    fn below(&self, bound: u64) -> u64 {
        let next = self
            .random
            .get()
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(99);
        self.random.set(next);
        (next >> 33) % bound
    }

    /// Something runs; gives its place.
    fn runs(&self, parent: Option<usize>) -> usize {
        self.parents.borrow_mut().push(parent);
        self.parents.borrow().len() - 1
    }

    /// Schedules something on behalf of what runs at `parent`.
    fn grow(self: &Rc<Self>, event_loop: &LoopHandle, parent: Option<usize>) {
        let (grown, handle) = (self.clone(), event_loop.clone());
        let callback = move || {
            let me = grown.runs(parent);
            grown.grow_some(&handle, me);
        };
        match self.below(4) {
            0 | 1 => drop(event_loop.call_soon(callback)),
            2 => drop(event_loop.call_later(ms(self.below(3)), callback)),
            _ => {
                let (grown, handle) = (self.clone(), event_loop.clone());
                event_loop.create_task(async move {
                    let mut me = grown.runs(parent);
                    for _ in 0..grown.below(3) {
                        grown.grow_some(&handle, me);
                        yield_now().await;
                        me = grown.runs(Some(me));
                    }
                });
            }
        }
    }

    fn grow_some(self: &Rc<Self>, event_loop: &LoopHandle, parent: usize) {
        for _ in 0..self.below(4).min(u64::from(self.left.get())) {
            self.left.set(self.left.get() - 1);
            self.grow(event_loop, Some(parent));
        }
    }
}

/// A small program in which all sorts of things happen.
fn scene() -> (EventLoop, Recording) {
    let event_loop = virtual_loop();
    let recording = event_loop.record(100);
    let names = [
        "plain",
        "a <b> & \"c\"",
        "back\\slash\u{1}\n",
        "ping → pong 🏓",
    ];
    for (delay, name) in (1..).zip(names) {
        event_loop.task(sleep(ms(delay))).name(name).spawn();
    }
    let eager = || _ = task(yield_now()).eager_start().spawn();
    event_loop.call_soon(eager);
    let waits = event_loop.task(pending::<()>()).name("waits").spawn();
    event_loop.run_forever();
    drop(waits);
    (event_loop, recording)
}

mod files {
    use super::*;
    use serde_json::Value;
    use std::collections::HashMap;

    fn trace() -> Vec<Value> {
        let (_event_loop, recording) = scene();
        let trace: Value = serde_json::from_str(&recording.to_chrome_trace()).unwrap();
        trace["traceEvents"].as_array().unwrap().clone()
    }

    fn of_phase<'a>(trace: &'a [Value], phase: &'a str) -> impl Iterator<Item = &'a Value> {
        trace.iter().filter(move |it| it["ph"] == phase)
    }

    #[test]
    fn the_trace_names_a_track_for_each_task_as_it_is() {
        let trace = trace();
        let named = of_phase(&trace, "M").filter(|it| it["name"] == "thread_name");
        let names: Vec<_> = named
            .map(|it| it["args"]["name"].as_str().unwrap())
            .collect();
        let expected = [
            "callbacks",
            "plain",
            "a <b> & \"c\"",
            "back\\slash\u{1}\n",
            "ping → pong 🏓",
            "waits",
        ];
        assert_eq!(names[..6], expected);
        assert!(names[6].starts_with("Task-"));
    }

    #[test]
    fn the_slices_of_a_track_are_beside_or_within_each_other() {
        let trace = trace();
        let mut tracks = HashMap::<u64, Vec<(f64, f64)>>::new();
        for slice in of_phase(&trace, "X") {
            let number = |key: &str| slice[key].as_f64().unwrap();
            assert!(number("dur") > 0.0, "it can be seen: {slice}");
            let slices = tracks.entry(slice["tid"].as_u64().unwrap()).or_default();
            slices.push((number("ts"), number("ts") + number("dur")));
        }
        for slices in tracks.values() {
            for (one, other) in pairs(slices) {
                let apart = one.1 <= other.0 || other.1 <= one.0;
                let within = |a: (f64, f64), b: (f64, f64)| a.0 >= b.0 && a.1 <= b.1;
                assert!(apart || within(one, other) || within(other, one));
            }
        }
    }

    fn pairs(slices: &[(f64, f64)]) -> impl Iterator<Item = ((f64, f64), (f64, f64))> {
        let each = slices.iter().enumerate();
        each.flat_map(|(place, &one)| slices[..place].iter().map(move |&other| (one, other)))
    }

    #[test]
    fn each_arrow_of_the_trace_begins_and_ends_where_a_slice_begins() {
        let (_event_loop, recording) = scene();
        let with_cause = recording
            .events()
            .iter()
            .filter(|it| it.cause().is_some())
            .count();
        let trace = trace();
        let place = |it: &Value| (it["tid"].as_u64().unwrap(), it["ts"].to_string());
        let slices: Vec<_> = of_phase(&trace, "X").map(place).collect();
        let starts: Vec<_> = of_phase(&trace, "s").collect();
        let ends: Vec<_> = of_phase(&trace, "f").collect();
        assert_eq!((starts.len(), ends.len()), (with_cause, with_cause));
        for (start, end) in starts.iter().zip(&ends) {
            assert_eq!(start["id"], end["id"]);
            assert!(slices.contains(&place(start)) && slices.contains(&place(end)));
            assert!(
                start["ts"].as_f64() < end["ts"].as_f64(),
                "from cause to effect"
            );
        }
    }

    #[test]
    fn the_picture_is_xml_with_the_names_and_something_to_see_for_each_event() {
        let (_event_loop, recording) = scene();
        let svg = recording.to_svg();
        let picture = roxmltree::Document::parse(&svg).unwrap();
        let with = |tag: &'static str, class: &'static str| {
            let all = picture.descendants().filter(move |it| it.has_tag_name(tag));
            all.filter(move |it| {
                it.attribute("class")
                    .is_some_and(|it| it.starts_with(class))
            })
        };
        let names = with("text", "name").map(|it| it.last_child().unwrap().text().unwrap());
        let names: Vec<_> = names.collect();
        let expected = [
            "plain",
            "a <b> & \"c\"",
            "back\\slash ",
            "ping → pong 🏓",
            "waits",
        ];
        assert_eq!(names[..5], expected);
        assert_eq!(names.last(), Some(&"callbacks"));
        let titled = |it: &roxmltree::Node<'_, '_>| it.first_child().is_some();
        let bars: Vec<_> = picture
            .descendants()
            .filter(|it| it.has_tag_name("rect") && titled(it))
            .collect();
        assert_eq!(bars.len(), recording.events().len());
        for bar in bars {
            let width: f64 = bar.attribute("width").unwrap().parse().unwrap();
            assert!(width >= 1.0, "{width}");
        }
        let causes = recording
            .events()
            .iter()
            .filter(|it| it.cause().is_some())
            .count();
        let key = 2;
        assert_eq!(with("path", "cause").count(), causes + key);
    }

    #[test]
    fn a_long_recording_fits_into_the_width() {
        let event_loop = EventLoop::new();
        let recording = event_loop.record(5_000);
        for _ in 0..5_000 {
            event_loop.call_soon(|| ());
        }
        turn(&event_loop);
        let svg = recording.to_svg();
        let picture = roxmltree::Document::parse(&svg).unwrap();
        let ends = picture.descendants().filter_map(|it| {
            let number = |name| it.attribute(name).and_then(|it| it.parse::<f64>().ok());
            Some(number("x")? + number("width")?)
        });
        assert!(ends.fold(0.0, f64::max) <= 960.0);
    }

    #[test]
    fn each_of_many_events_can_be_seen() {
        let event_loop = virtual_loop();
        let recording = event_loop.record(20_000);
        for _ in 0..20_000 {
            event_loop.call_soon(|| ());
        }
        turn(&event_loop);
        let svg = recording.to_svg();
        let picture = roxmltree::Document::parse(&svg).unwrap();
        let bars = picture.descendants().filter(|it| it.has_tag_name("rect"));
        let widths = bars.filter_map(|it| it.attribute("width")?.parse::<f64>().ok());
        assert!(widths.fold(1.0, f64::min) > 0.0);
    }

    #[test]
    fn the_end_of_the_clock_is_in_the_files_too() {
        let event_loop = virtual_loop();
        let recording = event_loop.record(10);
        event_loop.call_soon(|| ());
        turn(&event_loop);
        event_loop.advance(Duration::MAX);
        event_loop.call_soon(|| ());
        turn(&event_loop);
        let trace = recording.to_chrome_trace();
        let trace: Value = serde_json::from_str(&trace).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        assert_eq!(of_phase(events, "X").count(), 2);
        assert!(roxmltree::Document::parse(&recording.to_svg()).is_ok());
    }

    #[test]
    fn what_still_runs_is_in_the_files_too() {
        let event_loop = virtual_loop();
        let recording = Rc::new(event_loop.record(10));
        let (inside, files) = (recording.clone(), Rc::new(RefCell::default()));
        let slot = files.clone();
        event_loop.call_soon(move || {
            assert_eq!(inside.events()[0].end(), None);
            slot.replace((inside.to_chrome_trace(), inside.to_svg()));
        });
        turn(&event_loop);
        let (trace, svg): (String, String) = files.take();
        let trace: Value = serde_json::from_str(&trace).unwrap();
        assert_eq!(
            of_phase(trace["traceEvents"].as_array().unwrap(), "X").count(),
            1
        );
        assert!(roxmltree::Document::parse(&svg).is_ok());
    }

    #[test]
    fn nothing_recorded_makes_files_too() {
        let event_loop = virtual_loop();
        let recording = event_loop.record(10);
        assert!(serde_json::from_str::<Value>(&recording.to_chrome_trace()).is_ok());
        assert!(roxmltree::Document::parse(&recording.to_svg()).is_ok());
    }
}
