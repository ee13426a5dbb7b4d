//! The feature `tracing`: a span for each task and each callback.
//!
//! In a binary of its own, for it is there with that feature only.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use callsoon::{Clock, EventLoop, call_later, call_soon, create_task, sleep, task, yield_now};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

thread_local! {
    static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// The spans that are entered, the innermost last.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    /// What the subscriber does beside.
    static MISCHIEF: Cell<Mischief> = const { Cell::new(Mischief::None) };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mischief {
    None,
    PanicsAtEnter,
    PanicsAtExit,
    /// Schedules a callback when the next span is made.
    Schedules,
    /// Makes a task when the next span is cloned.
    SpawnsAtClone,
    /// Throws what panics as it is dropped.
    PanicsTwice,
}

/// Panics as it is dropped.
struct Thrown;

impl Drop for Thrown {
    fn drop(&mut self) {
        panic!("a payload");
    }
}

/// Writes a line for each thing it hears. Spans are numbered from 1.
#[derive(Default)]
struct Lines {
    last: AtomicU64,
    /// How many references to a span there are, by number.
    references: std::sync::Mutex<Vec<usize>>,
}

fn log(line: String) {
    LOG.with_borrow_mut(|log| log.push(line));
}

/// What does not depend on where this file is.
#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if ["name", "kind", "message"].contains(&field.name()) {
            self.0 += &format!(" {value:?}");
        }
        if field.name() == "created_at" {
            let site = format!("{value:?}");
            let here = site.contains("tests/spans.rs:") || site.contains("src/runners.rs:");
            assert!(here, "{site}");
        }
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "callsoon" || metadata.target().starts_with("spans")
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        self.references.lock().unwrap().push(1);
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        assert!(attributes.is_contextual());
        let parent = ENTERED.with_borrow(|entered| entered.last().copied().unwrap_or(0));
        let name = attributes.metadata().name();
        log(format!("{number} new {name}{} in {parent}", fields.0));
        if MISCHIEF.get() == Mischief::Schedules {
            MISCHIEF.set(Mischief::None);
            call_soon(|| log("mischief".to_owned()));
        }
        Id::from_u64(number)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        log(format!("{} is{}", span.into_u64(), fields.0));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let place = ENTERED.with_borrow(|entered| entered.last().copied().unwrap_or(0));
        log(format!("{place} says{}", fields.0));
    }

    fn enter(&self, span: &Id) {
        assert!(MISCHIEF.get() != Mischief::PanicsAtEnter, "at enter");
        ENTERED.with_borrow_mut(|entered| entered.push(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        let left = ENTERED.with_borrow_mut(Vec::pop);
        assert_eq!(left, Some(span.into_u64()));
        assert!(MISCHIEF.get() != Mischief::PanicsAtExit, "at exit");
        if MISCHIEF.get() == Mischief::PanicsTwice {
            std::panic::panic_any(Thrown);
        }
    }

    fn clone_span(&self, span: &Id) -> Id {
        if MISCHIEF.get() == Mischief::SpawnsAtClone {
            MISCHIEF.set(Mischief::None);
            task(async { log("mischief".to_owned()) })
                .name("mischief")
                .spawn();
        }
        self.references.lock().unwrap()[span.into_u64() as usize - 1] += 1;
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        let number = span.into_u64();
        let references = &mut self.references.lock().unwrap()[number as usize - 1];
        *references -= 1;
        if *references == 0 {
            log(format!("{number} closes"));
        }
        *references == 0
    }
}

/// What the subscriber hears while `act` uses a loop, up to the end of that.
fn lines(act: impl FnOnce(&EventLoop)) -> Vec<String> {
    LOG.take();
    tracing::subscriber::with_default(Lines::default(), || {
        let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
        act(&event_loop);
        log("end".to_owned());
        drop(event_loop);
    });
    LOG.take()
}

fn settle(event_loop: &EventLoop) {
    while event_loop.next_deadline() == Some(Duration::ZERO) {
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
    }
}

#[test]
fn a_task_has_a_span_within_that_of_who_made_it_and_is_in_it_in_each_step() {
    let lines = lines(|event_loop| {
        let outer = async {
            task(async {
                tracing::info!("first");
                yield_now().await;
                tracing::info!("second");
            })
            .name("inner")
            .spawn();
            tracing::info!("made it");
        };
        event_loop.task(outer).name("outer").spawn();
        settle(event_loop);
    });
    assert_eq!(
        lines,
        [
            "1 new task \"outer\" in 0",
            "2 new task \"inner\" in 1",
            "1 says made it",
            "1 closes",
            "2 says first",
            "2 says second",
            "2 closes",
            "end",
        ]
    );
}

#[test]
fn a_callback_has_a_span_within_that_of_who_scheduled_it() {
    let lines = lines(|event_loop| {
        event_loop.call_soon(|| {
            call_later(Duration::from_secs(1), || tracing::info!("later"));
            tracing::info!("now");
        });
        event_loop.run_forever();
    });
    assert_eq!(
        lines,
        [
            "1 new callback callback in 0",
            "2 new callback timer in 1",
            "1 says now",
            "1 closes",
            "2 says later",
            "2 closes",
            "end",
        ]
    );
}

#[test]
fn users_spans_are_parents_too() {
    let lines = lines(|event_loop| {
        let request = tracing::info_span!("request");
        request.in_scope(|| {
            event_loop.call_soon(|| ());
            let handler = event_loop.task(async {}).name("early").spawn();
            handler.set_name("handler");
        });
        drop(request);
        settle(event_loop);
    });
    assert_eq!(
        lines[..4],
        [
            "1 new request in 0",
            "2 new callback callback in 1",
            "3 new task \"early\" in 1",
            "3 is \"handler\"",
        ]
    );
}

#[test]
fn an_eager_task_is_in_its_span_inside_of_another() {
    let lines = lines(|event_loop| {
        event_loop.call_soon(|| {
            let eager = task(async { tracing::info!("eager") }).name("eager");
            eager.eager_start().spawn();
            tracing::info!("outer");
        });
        settle(event_loop);
    });
    assert_eq!(
        lines[1..],
        [
            "2 new task \"eager\" in 1",
            "2 says eager",
            "2 closes",
            "1 says outer",
            "1 closes",
            "end",
        ]
    );
}

#[test]
fn a_span_ends_with_a_cancelled_timer_a_panic_and_the_loop() {
    let lines = lines(|event_loop| {
        event_loop.set_exception_handler(|_, _| ());
        event_loop
            .call_later(Duration::from_secs(1), || ())
            .cancel();
        log("cancelled".to_owned());
        drop(
            event_loop
                .task(async { panic!("it ends here") })
                .name("panics")
                .spawn(),
        );
        settle(event_loop);
        event_loop.call_later(Duration::from_secs(1), || ());
        event_loop.task(pending::<()>()).name("waits").spawn();
    });
    assert_eq!(
        lines,
        [
            "1 new callback timer in 0",
            "1 closes",
            "cancelled",
            "2 new task \"panics\" in 0",
            "2 closes",
            "3 new callback timer in 0",
            "4 new task \"waits\" in 0",
            "end",
            "4 closes",
            "3 closes",
        ]
    );
}

#[test]
fn a_timer_that_is_moved_keeps_its_span() {
    let lines = lines(|event_loop| {
        let timer = event_loop.call_later(Duration::from_secs(1), || tracing::info!("late"));
        assert!(timer.reschedule(Duration::from_secs(2)));
        event_loop.run_forever();
    });
    assert_eq!(
        lines,
        [
            "1 new callback timer in 0",
            "1 says late",
            "1 closes",
            "end"
        ]
    );
}

#[test]
fn a_subscriber_may_use_the_loop() {
    let lines = lines(|event_loop| {
        event_loop.call_soon(|| {
            MISCHIEF.set(Mischief::Schedules);
            create_task(async { tracing::info!("task") });
            call_soon(|| tracing::info!("callback"));
        });
        settle(event_loop);
    });
    let ran: Vec<_> = lines
        .iter()
        .filter(|it| it.contains("says") || *it == "mischief")
        .collect();
    // What it schedules comes behind what it heard of. It hears nothing of what it does itself.
    assert_eq!(
        ran,
        ["2 says task", "mischief", "3 says callback"],
        "{lines:?}"
    );
}

#[test]
fn a_subscriber_may_make_a_task_as_it_clones_a_span() {
    let lines = lines(|event_loop| {
        event_loop.task(yield_now()).name("yields").spawn();
        event_loop.call_soon(|| MISCHIEF.set(Mischief::SpawnsAtClone));
        settle(event_loop);
        assert!(MISCHIEF.get() == Mischief::None);
    });
    assert!(
        lines.contains(&"3 new task \"mischief\" in 0".to_owned()),
        "{lines:?}"
    );
    assert!(lines.contains(&"mischief".to_owned()));
}

#[test]
fn reports_of_a_panic_are_in_the_span_of_what_panicked() {
    let lines = lines(|event_loop| {
        event_loop.set_exception_handler(|_, _| tracing::info!("reported"));
        event_loop.call_soon(|| panic!("it is reported"));
        settle(event_loop);
    });
    assert_eq!(
        lines,
        [
            "1 new callback callback in 0",
            "1 says reported",
            "1 closes",
            "end"
        ]
    );
}

#[test]
fn a_task_that_is_over_gets_no_other_span() {
    LOG.take();
    tracing::subscriber::with_default(Lines::default(), || {
        let mut runner = callsoon::Runner::new();
        let stops_as_it_yields = async {
            callsoon::get_running_loop().stop();
            yield_now().await;
        };
        assert!(runner.run(stops_as_it_yields).is_err());
        assert!(runner.run(async {}).is_ok());
    });
    let lines = LOG.take();
    let made = lines.iter().filter(|it| it.contains("new task"));
    assert_eq!(made.count(), 2, "{lines:?}");
}

#[test]
fn a_subscriber_that_panics_harms_nobody() {
    for mischief in [
        Mischief::PanicsAtEnter,
        Mischief::PanicsAtExit,
        Mischief::PanicsTwice,
    ] {
        let ran = Rc::new(Cell::new(0));
        let count = ran.clone();
        lines(|event_loop| {
            let count = move || count.set(count.get() + 1);
            let later = count.clone();
            event_loop.call_soon(count);
            event_loop.call_soon(|| panic!("both at once"));
            event_loop.set_exception_handler(|_, _| ());
            event_loop.create_task(async move {
                yield_now().await;
                later();
            });
            MISCHIEF.set(mischief);
            settle(event_loop);
            MISCHIEF.set(Mischief::None);
            ENTERED.take();
        });
        assert_eq!(ran.get(), 2);
    }
}

#[test]
fn without_a_subscriber_everything_runs() {
    let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    let slept = async {
        sleep(Duration::from_secs(1)).await;
        call_soon(|| ());
        5
    };
    assert_eq!(event_loop.run_until_complete(slept).unwrap(), 5);
}
