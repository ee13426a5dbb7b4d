//! What is reported, to whom, and what it says: the exception handler, `log`, and debug mode.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Once;
use std::time::Duration;

use callsoon::{EventLoop, ExceptionContext, LoopHandle, Task, sleep};

use crate::support::{Drops, Log, OnDrop, ms, settle, turn, virtual_loop};

// ---- the handler

/// X1: a panic in the middle of a batch goes to the handler; the batch and the loop go on.
#[test]
fn a_panic_in_a_callback_is_reported_and_the_batch_goes_on() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    log_messages(&event_loop, &log);
    event_loop.call_soon(log.event("before"));
    event_loop.call_soon(|| panic!("boom"));
    event_loop.call_soon(log.event("after"));
    event_loop.call_later(Duration::ZERO, log.event("timer"));
    assert_eq!(turn(&event_loop), 4);
    log.expect(&["before", "panic in a callback: boom", "after", "timer"]);
    event_loop.call_soon(log.event("next turn"));
    turn(&event_loop);
    log.expect(&["next turn"]);
}

/// X1: several panics in one batch, one report each, in order.
#[test]
fn every_panic_of_a_batch_is_reported() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    log_messages(&event_loop, &log);
    for n in 0..3 {
        event_loop.call_soon(move || panic!("boom {n}"));
        event_loop.call_soon(log.event(n));
    }
    assert_eq!(turn(&event_loop), 6);
    log.expect(&[
        "panic in a callback: boom 0",
        "0",
        "panic in a callback: boom 1",
        "1",
        "panic in a callback: boom 2",
        "2",
    ]);
}

/// X1: so do panics of timers, done-callbacks and callbacks that a thread posted.
#[test]
fn panics_in_all_kinds_of_callbacks_are_reported() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    log_messages(&event_loop, &log);
    event_loop.call_later(Duration::ZERO, || panic!("timer"));
    let future = event_loop.create_future();
    future.add_done_callback(|_| panic!("done-callback"));
    future.set_result(()).unwrap();
    let remote = event_loop.remote();
    remote.call_soon_threadsafe(|| panic!("posted")).unwrap();
    assert_eq!(turn(&event_loop), 3);
    log.expect(&[
        "panic in a callback: done-callback",
        "panic in a callback: posted",
        "panic in a callback: timer",
    ]);
}

/// X1: a panic in a coroutine is not the loop's to report: it is the task's outcome.
#[test]
fn a_panic_in_a_coroutine_is_the_tasks_outcome() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    log_messages(&event_loop, &log);
    let task: Task<()> = event_loop.create_task(async { panic!("boom") });
    event_loop.call_soon(log.event("same turn"));
    turn(&event_loop);
    log.expect(&["same turn"]);
    assert!(task.done());
    let error = task.result().unwrap_err();
    assert!(error.to_string().ends_with("panicked: boom"), "{error}");
    drop(task);
    log.expect(&[]);
}

/// X3: the context of a panic in a callback: message, panic with its text, and where the callback
/// was scheduled.
#[test]
fn the_context_of_a_panic_in_a_callback() {
    let (event_loop, contexts) = (virtual_loop(), Rc::new(Cell::new(0)));
    let (count, seen) = (contexts.clone(), Rc::new(RefCell::new(None)));
    let expected = seen.clone();
    event_loop.set_exception_handler(move |handle, context| {
        count.set(count.get() + 1);
        assert!(handle.is_running());
        assert_eq!(context.message(), "panic in a callback");
        let panic = context.panic().unwrap();
        assert_eq!(panic.message(), "boom 5");
        assert_eq!(context.created_at(), *expected.borrow());
        assert_eq!(Some(panic.created_at()), *expected.borrow());
        assert!(context.task().is_none());
        assert!(context.error::<String>().is_none());
        let site = panic.created_at();
        let text = format!(
            "panic in a callback: callback (created at {site}) panicked: boom 5; created at {site}"
        );
        assert_eq!(context.to_string(), text);
        assert_eq!(format!("{context:?}"), format!("<ExceptionContext {text}>"));
    });
    let handle = event_loop.call_soon(|| panic!("boom {}", 5));
    seen.replace(Some(handle.created_at()));
    turn(&event_loop);
    let timer = event_loop.call_later(Duration::ZERO, || panic!("boom 5"));
    seen.replace(Some(timer.created_at()));
    turn(&event_loop);
    assert_eq!(contexts.get(), 2);
}

/// X3: a payload that is no text is said to be none, and can be taken out.
#[test]
fn the_payload_of_a_panic_can_be_taken() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    event_loop.set_exception_handler(move |_, context| {
        let panic = context.panic().unwrap();
        events.push(panic.message());
        let payload = panic.take_payload().unwrap();
        events.push(payload.downcast::<u8>().unwrap());
        events.push(panic.take_payload().is_none());
    });
    event_loop.call_soon(|| std::panic::panic_any(7_u8));
    turn(&event_loop);
    log.expect(&["(a payload that is no text)", "7", "true"]);
}

/// X2: a handler that fails is reported to the default handler, and so is what it was told; the loop
/// goes on.
#[test]
fn a_failing_handler_falls_back_to_the_default_handler() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    event_loop.set_exception_handler(|_, _| panic!("bad handler"));
    event_loop.call_soon(|| panic!("boom"));
    event_loop.call_soon(log.event("goes on"));
    let records = records_of(|| turn(&event_loop));
    log.expect(&["goes on"]);
    assert_eq!(records.len(), 2);
    let [handler, callback] = records.try_into().unwrap();
    assert!(handler.starts_with("ERROR callsoon: panic in the exception handler: "));
    assert!(handler.ends_with("panicked: bad handler"), "{handler}");
    assert!(callback.starts_with("ERROR callsoon: panic in a callback: "));
    assert!(callback.contains("panicked: boom"), "{callback}");
}

/// X2: the default handler survives an error that cannot be printed.
#[test]
fn an_error_that_cannot_be_printed_does_not_harm_the_loop() {
    struct Unprintable;
    impl fmt::Debug for Unprintable {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("cannot be printed")
        }
    }
    let (event_loop, log) = (virtual_loop(), Log::new());
    drop(event_loop.create_try_task(async { Err::<(), _>(Unprintable) }));
    event_loop.call_soon(log.event("goes on"));
    let records = records_of(|| settle(&event_loop));
    log.expect(&["goes on"]);
    assert_eq!(
        records,
        ["ERROR callsoon: task error was never retrieved; reporting it panicked"]
    );
    let context = ExceptionContext::new("by hand").with_error(Unprintable);
    let records = records_of(|| event_loop.call_exception_handler(&context));
    assert_eq!(records, ["ERROR callsoon: by hand; reporting it panicked"]);
}

/// X2: without a handler the default one writes an error record.
#[test]
fn the_default_handler_writes_an_error_record() {
    let event_loop = virtual_loop();
    let handle = event_loop.call_soon(|| panic!("boom"));
    let site = handle.created_at();
    assert_eq!(
        records_of(|| turn(&event_loop)),
        [format!(
            "ERROR callsoon: panic in a callback: callback (created at {site}) panicked: boom; created at {site}"
        )]
    );
}

/// X2: set, get, call, default, clear.
#[test]
fn the_handler_can_be_set_got_called_and_cleared() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    assert!(event_loop.get_exception_handler().is_none());
    log_messages(&event_loop, &log);
    let context = ExceptionContext::new("by hand").with_error("an error");
    event_loop.call_exception_handler(&context);
    log.expect(&["by hand: \"an error\""]);
    // It can be called by itself, and told from others.
    let handler = event_loop.get_exception_handler().unwrap();
    handler(&event_loop, &context);
    log.expect(&["by hand: \"an error\""]);

    event_loop.clear_exception_handler();
    assert!(event_loop.get_exception_handler().is_none());
    let by_default = ["ERROR callsoon: by hand: \"an error\""];
    let records = records_of(|| event_loop.call_exception_handler(&context));
    assert_eq!(records, by_default);
    let records = records_of(|| event_loop.default_exception_handler(&context));
    assert_eq!(records, by_default);
    log.expect(&[]);
}

/// X2: a handler may pass on to the default handler, and may replace or clear itself.
#[test]
fn a_handler_may_use_the_loop() {
    let (event_loop, log, drops) = (virtual_loop(), Log::new(), Drops::new());
    let (events, guard) = (log.clone(), drops.guard());
    event_loop.set_exception_handler(move |handle, context| {
        let _alive = &guard;
        handle.default_exception_handler(context);
        handle.call_soon(events.event("scheduled by the handler"));
        handle.clear_exception_handler();
    });
    event_loop.call_soon(|| panic!("first"));
    event_loop.call_soon(|| panic!("second"));
    let records = records_of(|| settle(&event_loop));
    assert_eq!(records.len(), 2);
    assert_eq!(drops.count(), 1);
    log.expect(&["scheduled by the handler"]);
}

/// X3: a context made by hand has what it was given.
#[test]
fn a_context_made_by_hand_has_what_it_was_given() {
    let event_loop = virtual_loop();
    let task = event_loop.task(async {}).name("worker").spawn();
    let context = ExceptionContext::new("went wrong")
        .with_error(5_u8)
        .with_task(task.handle());
    assert_eq!(context.message(), "went wrong");
    assert_eq!(context.error::<u8>(), Some(&5));
    assert_eq!(context.error::<u16>(), None);
    assert!(context.panic().is_none());
    assert_eq!(context.task(), Some(&task.handle()));
    assert_eq!(context.created_at(), Some(task.created_at()));
    assert_eq!(
        context.to_string(),
        format!("went wrong: 5; {:?}", task.handle())
    );
}

/// X1: a panic whose payload panics when it is dropped does not take the loop down either.
#[test]
fn a_payload_that_panics_when_dropped_does_not_take_the_loop_down() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let (event_loop, log) = (virtual_loop(), Log::new());
    log_messages(&event_loop, &log);
    event_loop.call_soon(|| std::panic::panic_any(Bomb));
    event_loop.call_soon(log.event("rest of the batch"));
    turn(&event_loop);
    log.expect(&[
        "panic in a callback: (a payload that is no text)",
        "rest of the batch",
    ]);
}

/// The handler goes when the loop is closed, after it has heard of what that brought up.
#[test]
fn the_handler_is_dropped_when_the_loop_is_closed() {
    let (event_loop, log, drops) = (virtual_loop(), Log::new(), Drops::new());
    let (events, guard, own) = (log.clone(), drops.guard(), event_loop.handle());
    event_loop.set_exception_handler(move |_, context| {
        let _alive = (&guard, &own);
        events.push(describe(context));
    });
    let bomb = OnDrop::new(|| panic!("in a drop"));
    event_loop.call_soon(move || drop(bomb));
    drop(event_loop);
    assert_eq!(drops.count(), 1);
    assert!(log.take()[0].ends_with(": in a drop"));
}

// ---- what nobody looked at

/// X3: a panic of a task that nobody looked at is reported when the last handle goes.
#[test]
fn a_panic_that_nobody_looked_at_is_reported_when_the_task_goes() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    log_messages(&event_loop, &log);
    let task: Task<()> = event_loop.create_task(async { panic!("boom") });
    let other = task.handle();
    turn(&event_loop);
    drop(task);
    log.expect(&[]);
    drop(other);
    log.expect(&["task panic was never retrieved: boom"]);
}

/// X3: a detached task is reported in the turn in which it ends.
#[test]
fn a_detached_task_that_panics_is_reported_at_once() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    log_messages(&event_loop, &log);
    drop::<Task<()>>(event_loop.create_task(async { panic!("boom") }));
    event_loop.call_soon(log.event("rest of the batch"));
    turn(&event_loop);
    log.expect(&["task panic was never retrieved: boom", "rest of the batch"]);
}

/// X3: the report names the task and says where it was made.
#[test]
fn the_report_of_a_panic_names_the_task() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    event_loop.set_exception_handler(move |_, context| events.push(context));
    let task = event_loop.task(async { panic!("boom") }).name("worker");
    let (task, line) = (task.spawn(), line!());
    let site = task.created_at();
    assert_eq!(site.line(), line);
    drop::<Task<()>>(task);
    turn(&event_loop);
    log.expect(&[&format!(
        "task panic was never retrieved: task 'worker' (created at {site}) panicked: boom; created at {site}"
    )]);
}

/// X3: whoever looks, awaits, or cancels after the end keeps it from being reported.
#[test]
fn a_panic_that_somebody_looked_at_is_not_reported() {
    let looks: [fn(&Task<()>); 4] = [
        |task| assert!(task.result().is_err()),
        |task| task.with_result(|result| assert!(result.is_err())),
        |task| assert!(task.take_result().is_err()),
        |task| assert!(!task.cancel()),
    ];
    for look in looks {
        let event_loop = virtual_loop();
        event_loop.set_exception_handler(|_, context| unreachable!("{context}"));
        let task = event_loop.create_task(async { panic!("boom") });
        turn(&event_loop);
        look(&task);
    }
    let event_loop = virtual_loop();
    event_loop.set_exception_handler(|_, context| unreachable!("{context}"));
    let task: Task<()> = event_loop.create_task(async { panic!("boom") });
    let outcome = event_loop.run_until_complete(task.outcome()).unwrap();
    assert_eq!(outcome.unwrap_err().panic().unwrap().message(), "boom");
}

/// X3: an `Err` of `create_try_task` that nobody looked at is reported, with the error.
#[test]
fn an_error_of_a_try_task_that_nobody_looked_at_is_reported() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    event_loop.set_exception_handler(move |_, context| {
        assert_eq!(context.message(), "task error was never retrieved");
        assert!(context.panic().is_none());
        assert!(context.created_at().is_some());
        events.push(context.error::<String>().unwrap());
    });
    let fails = || async { Err::<(), _>("no such host".to_owned()) };
    drop(event_loop.create_try_task(fails()));
    turn(&event_loop);
    log.expect(&["no such host"]);
    let seen = event_loop.create_try_task(fails());
    turn(&event_loop);
    assert!(seen.result().unwrap().is_err());
    drop(seen);
    log.expect(&[]);
}

/// DIFFERENCE 4: the `Err` of a plain task is a value like any other, and never reported.
#[test]
fn an_error_of_a_plain_task_is_not_reported() {
    let event_loop = virtual_loop();
    event_loop.set_exception_handler(|_, context| unreachable!("{context}"));
    drop(event_loop.create_task(async { Err::<(), _>("a value") }));
    settle(&event_loop);
}

/// X3: a task that is reported as destroyed while pending is in the context.
#[test]
fn a_task_destroyed_while_pending_is_in_the_context() {
    let (event_loop, log) = (virtual_loop(), Log::new());
    let events = log.clone();
    event_loop.set_exception_handler(move |_, context| events.push(context));
    let waiting = event_loop.create_future::<()>();
    let task = event_loop.task(waiting).name("worker").spawn();
    turn(&event_loop);
    let site = task.created_at();
    drop(event_loop);
    log.expect(&[&format!(
        "task was destroyed but it is pending; <Task pending name='worker' created at {site}>"
    )]);
}

// ---- debug mode

/// D3: in debug mode a callback that takes long is logged, with where it was scheduled and how long
/// it took; one that does not, is not.
#[test]
fn debug_mode_reports_slow_callbacks() {
    let event_loop = virtual_loop();
    event_loop.set_debug(true);
    let slow = slow_callback(&event_loop, ms(100));
    slow_callback(&event_loop, ms(99));
    let records = records_of(|| turn(&event_loop));
    assert_eq!(
        records,
        [format!(
            "WARN callsoon: callback created at {} took 100ms",
            slow.created_at()
        )]
    );
}

/// D3: a step that takes long is logged, with the task's name and where it was made. Only the step
/// counts, not the whole task.
#[test]
fn debug_mode_reports_slow_steps_with_the_tasks_name() {
    let event_loop = virtual_loop();
    event_loop.set_debug(true);
    let handle = event_loop.handle();
    let coroutine = async move {
        sleep(Duration::from_secs(60)).await;
        handle.advance(ms(250));
        sleep(ms(1)).await;
    };
    let task = event_loop.task(coroutine).name("cruncher").spawn();
    let site = task.created_at();
    let records = records_of(|| event_loop.run_until_complete(task).unwrap());
    assert_eq!(
        records,
        [format!(
            "WARN callsoon: step of task 'cruncher' created at {site} took 250ms"
        )]
    );
}

/// D3: what runs inside of something else is part of that: only the latter is an entry of the queue.
#[test]
fn debug_mode_counts_an_eager_step_to_what_it_is_inside_of() {
    let event_loop = virtual_loop();
    event_loop.set_debug(true);
    let (handle, work) = (event_loop.handle(), take(&event_loop, ms(150)));
    let outer = event_loop.call_soon(move || {
        handle.task(async { work() }).eager_start().spawn();
    });
    let records = records_of(|| turn(&event_loop));
    assert_eq!(
        records,
        [format!(
            "WARN callsoon: callback created at {} took 150ms",
            outer.created_at()
        )]
    );
}

/// D3: timers, done-callbacks, posted callbacks, and callbacks that panic are measured, too.
#[test]
fn debug_mode_measures_all_kinds_of_callbacks() {
    let event_loop = virtual_loop();
    event_loop.set_debug(true);
    event_loop.set_exception_handler(|_, _| ());
    let timer = event_loop.call_later(Duration::ZERO, take(&event_loop, ms(101)));
    let future = event_loop.create_future();
    let (work, line) = (take(&event_loop, ms(102)), line!() + 1);
    future.add_done_callback(move |_| work());
    future.set_result(()).unwrap();
    let work = take(&event_loop, ms(103));
    let panics = event_loop.call_soon(move || {
        work();
        panic!("slow, and then this");
    });
    // A posted callback is `Send`, so it finds its loop by itself.
    let remote = event_loop.remote();
    let posted = || {
        callsoon::get_running_loop().advance(ms(104));
    };
    remote.call_soon_threadsafe(posted).unwrap();
    let file = panics.created_at().file();
    let records = records_of(|| turn(&event_loop));
    assert_eq!(records.len(), 4);
    let done = format!("WARN callsoon: callback created at {file}:{line}:");
    assert!(records[0].starts_with(&done), "{}", records[0]);
    assert!(records[0].ends_with("took 102ms"), "{}", records[0]);
    assert_eq!(
        records[1..],
        [
            format!(
                "WARN callsoon: callback created at {} took 103ms",
                panics.created_at()
            ),
            "WARN callsoon: callback posted by another thread took 104ms".to_owned(),
            format!(
                "WARN callsoon: callback created at {} took 101ms",
                timer.created_at()
            ),
        ]
    );
}

/// D3: what counts as long can be chosen; zero reports everything.
#[test]
fn the_slow_callback_duration_can_be_chosen() {
    let event_loop = virtual_loop();
    event_loop.set_debug(true);
    assert_eq!(event_loop.slow_callback_duration(), ms(100));
    event_loop.set_slow_callback_duration(ms(5));
    assert_eq!(event_loop.slow_callback_duration(), ms(5));
    slow_callback(&event_loop, ms(4));
    slow_callback(&event_loop, ms(5));
    assert_eq!(records_of(|| turn(&event_loop)).len(), 1);
    event_loop.set_slow_callback_duration(Duration::ZERO);
    event_loop.call_soon(|| ());
    assert_eq!(records_of(|| turn(&event_loop)).len(), 1);
}

/// D3, D5: without debug mode nothing is measured; it can be turned on and off at any time, also by
/// the builder.
#[test]
fn debug_mode_can_be_turned_on_and_off() {
    let event_loop = virtual_loop();
    assert!(!event_loop.get_debug());
    slow_callback(&event_loop, ms(500));
    assert_eq!(records_of(|| turn(&event_loop)).len(), 0);
    event_loop.set_debug(true);
    assert!(event_loop.get_debug());
    // Turned off by a callback, it is off for the next one of the same batch.
    let handle = event_loop.handle();
    event_loop.call_soon(move || handle.set_debug(false));
    slow_callback(&event_loop, ms(500));
    assert_eq!(records_of(|| turn(&event_loop)).len(), 0);
    assert!(EventLoop::builder().debug(true).build().get_debug());
    assert!(!EventLoop::builder().build().get_debug());
}

/// D4: futures and tasks know where they were made, and say so.
#[test]
fn futures_and_tasks_know_where_they_were_created() {
    let event_loop = virtual_loop();
    let (future, line) = (event_loop.create_future::<()>(), line!());
    assert_eq!(future.created_at().line(), line);
    let (task, line) = (event_loop.create_task(async {}), line!());
    assert_eq!(task.created_at().line(), line);
    assert_eq!(task.handle().created_at(), task.created_at());
    let task = event_loop.create_try_task(async { Ok::<(), ()>(()) });
    assert_eq!(task.created_at().line(), line!() - 1);
    let (task, line) = (event_loop.task(async {}).name("x").spawn(), line!());
    assert_eq!(task.created_at().line(), line);
    for text in [format!("{future:?}"), format!("{task:?}")] {
        assert!(text.contains("exceptions.rs:"), "{text}");
    }
}

// ---- helpers

/// Logs message and panic or error of each report.
fn log_messages(event_loop: &LoopHandle, log: &Log) {
    let log = log.clone();
    event_loop.set_exception_handler(move |_, context| log.push(describe(context)));
}

fn describe(context: &ExceptionContext) -> String {
    let message = context.message();
    match (context.panic(), context.error::<&str>()) {
        (Some(panic), _) => format!("{message}: {}", panic.message()),
        (None, Some(error)) => format!("{message}: {error:?}"),
        (None, None) => message.to_owned(),
    }
}

/// A closure that takes `time` on the virtual clock.
fn take(event_loop: &LoopHandle, time: Duration) -> impl FnOnce() + 'static {
    let handle = event_loop.handle();
    move || assert!(handle.advance(time))
}

fn slow_callback(event_loop: &LoopHandle, time: Duration) -> callsoon::Handle {
    event_loop.call_soon(take(event_loop, time))
}

/// What `action` writes to `log`, on this thread.
fn records_of<R>(action: impl FnOnce() -> R) -> Vec<String> {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        log::set_logger(&Capture).expect("no other test installs one");
        log::set_max_level(log::LevelFilter::Trace);
    });
    RECORDS.take();
    action();
    RECORDS.take()
}

thread_local! {
    static RECORDS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// A logger that keeps what each thread writes.
struct Capture;

impl log::Log for Capture {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        // Formatted first: that may panic.
        let line = format!("{} {}: {}", record.level(), record.target(), record.args());
        RECORDS.with_borrow_mut(|records| records.push(line));
    }

    fn flush(&self) {}
}
