//! What the type system promises, and what is printed: `Send` and `Sync`, sizes, `Debug` and
//! `Display`, and the locations that panics and diagnostics name.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Once;

use callsoon::observe::{RecordedEvent, RecordedTask, Recording, Stall, Watchdog};
use callsoon::{
    Barrier, BoundedSemaphore, BrokenBarrierError, Builder, CallbackId, CancelOrigin,
    CancelledError, Clock, Condition, Coroutine, CoroutineState, DeadlockReport, Event, EventLoop,
    ExceptionContext, ExpectedWork, Future, GetNowaitError, Handle, InvalidStateError, LifoQueue,
    Lock, LockGuard, LoopBound, LoopBoundError, LoopClosedError, LoopHandle, NoRunningLoopError,
    NotAcquiredError, Outcome, OverReleaseError, OwnedFuture, PanicError, Permit, PriorityQueue,
    PutNowaitError, Queue, QueueShutDown, RemoteHandle, ResultError, ResumeError, RunEnd, RunError,
    Runner, Semaphore, Sleep, Snapshot, SnapshotError, Task, TaskBuilder, TaskDoneError,
    TaskHandle, TimerHandle, Turn, WaitingTask, YieldNow, Yielder, Yielding, concurrent, sleep,
    sleep_until, testing, yield_now,
};

use crate::support::{ms, settle, turn, virtual_loop};

// ---- Send and Sync

/// `check!(Type: Send + Sync)` and `check!(Type: !Send + !Sync)`, when compiled. Of a type that is
/// `Send`, the name in the second form would be ambiguous.
macro_rules! check {
    ($type:ty: Send + Sync) => {
        const _: () = {
            const fn holds<T: Send + Sync>() {}
            holds::<$type>()
        };
    };
    ($type:ty: !Send + !Sync) => {
        const _: fn() = || {
            trait AmbiguousIfSend<A> {
                fn some_item() {}
            }
            impl<T: ?Sized> AmbiguousIfSend<()> for T {}
            impl<T: ?Sized + Send> AmbiguousIfSend<u8> for T {}
            let _ = <$type as AmbiguousIfSend<_>>::some_item;

            trait AmbiguousIfSync<A> {
                fn some_item() {}
            }
            impl<T: ?Sized> AmbiguousIfSync<()> for T {}
            impl<T: ?Sized + Sync> AmbiguousIfSync<u8> for T {}
            let _ = <$type as AmbiguousIfSync<_>>::some_item;
        };
    };
}

// The loop's thread (DESIGN 2, L15, D1).
check!(EventLoop: !Send + !Sync);
check!(LoopHandle: !Send + !Sync);
check!(Runner: !Send + !Sync);
check!(Future<u32>: !Send + !Sync);
check!(OwnedFuture<u32>: !Send + !Sync);
check!(Outcome<u32>: !Send + !Sync);
check!(Task<u32>: !Send + !Sync);
check!(TaskHandle: !Send + !Sync);
check!(TaskBuilder<u32>: !Send + !Sync);
check!(Recording: !Send + !Sync);
check!(Watchdog: !Send + !Sync);
check!(RecordedEvent: Send + Sync);
check!(RecordedTask: Send + Sync);
check!(Stall: Send + Sync);
check!(Handle: !Send + !Sync);
check!(TimerHandle: !Send + !Sync);
check!(Lock<u32>: !Send + !Sync);
check!(LockGuard<u32>: !Send + !Sync);
check!(Event: !Send + !Sync);
check!(Condition<u32>: !Send + !Sync);
check!(Semaphore: !Send + !Sync);
check!(BoundedSemaphore: !Send + !Sync);
check!(Permit: !Send + !Sync);
check!(Barrier: !Send + !Sync);
check!(Queue<u32>: !Send + !Sync);
check!(PriorityQueue<u32>: !Send + !Sync);
check!(LifoQueue<u32>: !Send + !Sync);
check!(Sleep: !Send + !Sync);
check!(CancelledError: !Send + !Sync);
check!(concurrent::Future<std::rc::Rc<u32>>: !Send + !Sync);
check!(ResultError: !Send + !Sync);
check!(RunError: !Send + !Sync);
check!(DeadlockReport: !Send + !Sync);
check!(testing::Failure: !Send + !Sync);
check!(testing::Exploration: !Send + !Sync);
check!(ExceptionContext: !Send + !Sync);
check!(Coroutine<u32, u32>: !Send + !Sync);
check!(Yielder<u32>: !Send + !Sync);
check!(Yielding<u32>: !Send + !Sync);

// Everywhere.
check!(PanicError: Send + Sync);
check!(concurrent::Future<std::cell::Cell<u32>>: Send + Sync);
check!(concurrent::ResultError: Send + Sync);
check!(concurrent::ThreadPoolExecutor: Send + Sync);
check!(concurrent::Map<u32>: Send + Sync);
check!(concurrent::AsCompleted<concurrent::Future<u32>, u32>: Send + Sync);
check!(concurrent::WaitError<concurrent::Future<u32>>: Send + Sync);
check!(RemoteHandle: Send + Sync);
check!(ExpectedWork: Send + Sync);
check!(LoopBound<std::rc::Rc<std::cell::Cell<u32>>>: Send + Sync);
check!(LoopBoundError: Send + Sync);
check!(Builder: Send + Sync);
check!(Clock: Send + Sync);
check!(Turn: Send + Sync);
check!(WaitingTask: Send + Sync);
check!(Snapshot: Send + Sync);
check!(SnapshotError: Send + Sync);
check!(testing::Test: Send + Sync);
check!(testing::Order: Send + Sync);
check!(CallbackId: Send + Sync);
check!(CancelOrigin: Send + Sync);
check!(YieldNow: Send + Sync);
check!(NoRunningLoopError: Send + Sync);
check!(InvalidStateError<u32>: Send + Sync);
check!(LoopClosedError<u32>: Send + Sync);
check!(BrokenBarrierError: Send + Sync);
check!(NotAcquiredError: Send + Sync);
check!(OverReleaseError: Send + Sync);
check!(QueueShutDown<u32>: Send + Sync);
check!(PutNowaitError<u32>: Send + Sync);
check!(GetNowaitError: Send + Sync);
check!(TaskDoneError: Send + Sync);
check!(CoroutineState<u32, u32>: Send + Sync);
check!(ResumeError<u32>: Send + Sync);

/// Every await can be held without being pinned.
#[test]
fn awaits_are_unpin() {
    fn check<T: Unpin>() {}
    struct Pinned(#[allow(dead_code, reason = "makes it not Unpin")] std::marker::PhantomPinned);
    check::<Future<Pinned>>();
    check::<OwnedFuture<Pinned>>();
    check::<Task<Pinned>>();
    check::<Outcome<Pinned>>();
    check::<Sleep>();
    check::<YieldNow>();
    check::<Yielding<Pinned, Pinned>>();
    check::<Coroutine<Pinned, Pinned, Pinned>>();
}

/// Handles are small: what a task or a queue holds is a pointer or three words.
#[test]
#[cfg(target_pointer_width = "64")]
fn hot_handles_are_small() {
    assert_eq!(size_of::<LoopHandle>(), 8);
    assert_eq!(size_of::<RemoteHandle>(), 8);
    assert_eq!(size_of::<LoopBound<[u8; 100]>>(), 8);
    assert_eq!(size_of::<CallbackId>(), 16);
    assert_eq!(size_of::<CancelledError>(), 8);
    assert_eq!(size_of::<PanicError>(), 8);
    assert_eq!(size_of::<Handle>(), 16);
    assert_eq!(size_of::<TaskHandle>(), 16);
    assert_eq!(size_of::<TimerHandle>(), 24);
    assert_eq!(size_of::<Future<[u8; 100]>>(), 24);
    assert_eq!(size_of::<OwnedFuture<[u8; 100]>>(), 24);
    assert_eq!(size_of::<Task<[u8; 100]>>(), 24);
    assert_eq!(size_of::<YieldNow>(), 8);
}

/// Errors are `std::error::Error`, whatever they carry.
#[test]
fn errors_are_errors_for_every_type() {
    fn check<E: Error + 'static>() {}
    struct Plain;
    check::<InvalidStateError<Plain>>();
    check::<LoopClosedError<Plain>>();
    check::<LoopBoundError>();
    check::<ResumeError<Plain>>();
    check::<ResultError>();
    check::<RunError>();
    check::<CancelledError>();
    check::<PanicError>();
    check::<NoRunningLoopError>();
}

/// Errors that wrap one give it as their source.
#[test]
fn errors_give_their_source() {
    let cancelled = CancelledError::new("why");
    let source = |error: &dyn Error| error.source().map(ToString::to_string);
    assert_eq!(
        source(&ResultError::Cancelled(cancelled.clone())),
        Some(cancelled.to_string())
    );
    assert_eq!(
        source(&RunError::Cancelled(cancelled.clone())),
        Some(cancelled.to_string())
    );
    let panic = panic_error(&virtual_loop());
    let text = panic.to_string();
    assert_eq!(source(&ResultError::Panicked(panic)), Some(text));
    assert_eq!(source(&ResultError::NotReady), None);
    assert_eq!(source(&ResultError::Taken), None);
    assert_eq!(source(&RunError::Stopped), None);
}

// ---- Display

#[test]
fn errors_display_one_plain_sentence() {
    let here = |line: u32| format!("{}:{line}:", file!());
    assert_eq!(ResultError::NotReady.to_string(), "result is not ready");
    assert_eq!(ResultError::Taken.to_string(), "result was taken already");
    assert_eq!(RunError::Taken.to_string(), "result was taken already");
    assert_eq!(RunError::Closed.to_string(), "event loop is closed");
    assert_eq!(
        RunError::Stopped.to_string(),
        "event loop stopped before the future completed"
    );
    let line = line!() + 1;
    let nested = RunError::AlreadyRunning(Location::caller()).to_string();
    assert!(
        nested.starts_with("a loop inside a loop: this thread runs an event loop already"),
        "{nested}"
    );
    assert!(nested.contains(&here(line)), "{nested}");
    assert_eq!(
        NoRunningLoopError.to_string(),
        "no running event loop on this thread: call this from a callback or a coroutine, or use a \
         LoopHandle"
    );

    let line = line!() + 1;
    let cancelled = CancelledError::new("too slow");
    let text = cancelled.to_string();
    assert!(
        text.starts_with(&format!("cancelled at {}", here(line))),
        "{text}"
    );
    assert!(text.ends_with(": too slow"), "{text}");
    assert_eq!(ResultError::Cancelled(cancelled.clone()).to_string(), text);
    assert_eq!(RunError::Cancelled(cancelled).to_string(), text);

    let event_loop = virtual_loop();
    let panic = panic_error(&event_loop);
    let site = panic.created_at();
    assert_eq!(
        panic.to_string(),
        format!("task 'broken' (created at {site}) panicked: bug")
    );
    assert_eq!(
        ResultError::Panicked(panic.clone()).to_string(),
        panic.to_string()
    );

    let future = event_loop.create_future();
    future.set_result(1).unwrap();
    let refused = future.set_result(2).unwrap_err();
    let site = future.created_at();
    assert_eq!(
        refused.to_string(),
        format!("future created at {site} has a result already")
    );
    assert_eq!(
        format!("{refused:?}"),
        format!("InvalidStateError {{ reason: Done, created_at: {site} }}")
    );
    let remote = event_loop.remote();
    event_loop.close();
    let refused = remote.call_soon_threadsafe(|| ()).unwrap_err();
    assert_eq!(refused.to_string(), "event loop is closed");
    assert_eq!(format!("{refused:?}"), "LoopClosedError");
}

/// The three origins of a `CancelledError` read differently.
#[test]
fn cancelled_error_displays_its_origin() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<()>();
    let bystander = event_loop.create_task(future.clone());
    let broken: Task<()> = event_loop.create_task(async { panic!("bug") });
    let made = broken.created_at();
    let panicked = event_loop.create_task(broken.outcome());
    turn(&event_loop);
    let line = line!() + 1;
    future.cancel();
    settle(&event_loop);
    let Err(ResultError::Cancelled(awaited)) = bystander.result() else {
        panic!("it is cancelled")
    };
    let text = awaited.to_string();
    let expected = format!(
        "cancelled because something awaited was cancelled at {}:{line}:",
        file!()
    );
    assert!(text.starts_with(&expected), "{text}");
    let panicked = panicked.result().unwrap().unwrap_err();
    assert_eq!(
        panicked.to_string(),
        format!("task created at {made} panicked: bug")
    );
}

/// A deadlock names who waits for what.
#[test]
fn deadlock_report_displays_who_waits_for_what() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<()>();
    let f = future.created_at();
    let task = event_loop.task(future).name("a").spawn();
    let a = task.created_at();
    let joined = event_loop.task((*task).clone()).name("b").spawn();
    let b = joined.created_at();
    let foreign = event_loop
        .task(std::future::pending::<()>())
        .name("c")
        .spawn();
    let c = foreign.created_at();
    let RunEnd::Idle(report) = event_loop.run_forever() else {
        panic!("it is idle")
    };
    let expected = format!(
        "deadlock: nothing is left that could happen, and 3 tasks wait
  'a' created at {a} waits for <Future pending created at {f}>
  'b' created at {b} waits for <Task pending name='a' created at {a}>
  'c' created at {c} waits for something that is not callsoon's"
    );
    assert_eq!(report.to_string(), expected);
    assert_eq!(RunError::Deadlock(report).to_string(), expected);
    let RunEnd::Idle(empty) = virtual_loop().run_forever() else {
        panic!("there is nothing to do");
    };
    assert_eq!(
        empty.to_string(),
        "deadlock: nothing is left that could happen, and no task waits"
    );
}

/// A context displays message, exception, and whom it concerns.
#[test]
fn exception_context_displays_everything_it_has() {
    let event_loop = virtual_loop();
    let plain = ExceptionContext::new("something is wrong");
    assert_eq!(plain.to_string(), "something is wrong");
    assert_eq!(
        format!("{plain:?}"),
        "<ExceptionContext something is wrong>"
    );
    let task = event_loop.task(async {}).name("t").spawn();
    let full = ExceptionContext::new("it failed")
        .with_error("no such host")
        .with_task(task.handle());
    assert_eq!(
        full.to_string(),
        format!(
            "it failed: \"no such host\"; <Task pending name='t' created at {}>",
            task.created_at()
        )
    );
}

// ---- Debug

/// Futures and tasks print what asyncio's `repr` prints.
#[test]
fn futures_and_tasks_print_their_state() {
    let event_loop = virtual_loop();
    let future = event_loop.create_future::<u32>();
    let site = future.created_at();
    assert_eq!(
        format!("{future:?}"),
        format!("<Future pending created at {site}>")
    );
    future.add_done_callback(|_| ());
    future.add_done_callback(|_| ());
    let pending = format!("<Future pending cb=[2] created at {site}>");
    assert_eq!(format!("{future:?}"), pending);
    assert_eq!(format!("{:?}", future.take()), pending);
    assert_eq!(
        format!("{:?}", future.clone().outcome()),
        format!("Outcome({pending})")
    );
    future.set_result(1).unwrap();
    let finished = format!("<Future finished created at {site}>");
    assert_eq!(format!("{future:?}"), finished);
    // Also while its result is being looked at, and when it is gone.
    future.with_result(|_| assert_eq!(format!("{future:?}"), finished));
    future.take_result().unwrap();
    assert_eq!(format!("{future:?}"), finished);

    let awaited = event_loop.create_future::<()>();
    let awaited_site = awaited.created_at();
    let task = event_loop.task(awaited.clone()).name("t").spawn();
    let site = task.created_at();
    assert_eq!(
        format!("{task:?}"),
        format!("<Task pending name='t' created at {site}>")
    );
    turn(&event_loop);
    let waiting = format!(
        "<Task pending name='t' wait_for=<Future pending created at {awaited_site}> created at \
         {site}>"
    );
    assert_eq!(format!("{task:?}"), waiting);
    assert_eq!(format!("{:?}", task.handle()), waiting);
    awaited.cancel();
    assert_eq!(
        format!("{awaited:?}"),
        format!("<Future cancelled created at {awaited_site}>")
    );
    settle(&event_loop);
    assert_eq!(
        format!("{task:?}"),
        format!("<Task cancelled name='t' created at {site}>")
    );
    let broken: Task<()> = event_loop.task(async { panic!("bug") }).name("b").spawn();
    turn(&event_loop);
    assert_eq!(
        format!("{broken:?}"),
        format!(
            "<Task panicked name='b' created at {}>",
            broken.created_at()
        )
    );
}

/// Loops, handles and sleeps print where they stand.
#[test]
fn loops_handles_and_sleeps_print_their_state() {
    let (event_loop, line) = (virtual_loop(), line!());
    let site = format!("{}:{line}:", file!());
    let text = format!("{event_loop:?}");
    assert!(
        text.starts_with(&format!(
            "<EventLoop running=false closed=false debug=false created at {site}"
        )),
        "{text}"
    );
    assert_eq!(format!("{:?}", event_loop.handle()), text);
    let remote = format!("{:?}", event_loop.remote());
    assert!(
        remote.starts_with(&format!("<RemoteHandle of the loop created at {site}")),
        "{remote}"
    );
    assert_eq!(
        format!("{:?}", event_loop.remote().expect_work()),
        "ExpectedWork { .. }"
    );

    let handle = event_loop.call_soon(|| ());
    let at = handle.created_at();
    assert_eq!(
        format!("{handle:?}"),
        format!("<Handle scheduled created at {at}>")
    );
    turn(&event_loop);
    assert_eq!(
        format!("{handle:?}"),
        format!("<Handle done created at {at}>")
    );
    let timer = event_loop.call_later(ms(1500), || ());
    let at = timer.created_at();
    assert_eq!(
        format!("{timer:?}"),
        format!("<TimerHandle scheduled when=1.5s created at {at}>")
    );
    timer.cancel();
    assert_eq!(
        format!("{timer:?}"),
        format!("<TimerHandle cancelled when=1.5s created at {at}>")
    );

    assert_eq!(format!("{:?}", sleep(ms(0))), "<Sleep for a turn>");
    assert_eq!(format!("{:?}", sleep(ms(5))), "<Sleep new Delay(5ms)>");
    assert_eq!(
        format!("{:?}", sleep_until(ms(5))),
        "<Sleep new Instant(5ms)>"
    );
    assert_eq!(format!("{:?}", yield_now()), "YieldNow { began: 0 }");
    let builder = EventLoop::builder().clock(Clock::Virtual).debug(true);
    assert_eq!(
        format!("{builder:?}"),
        "Builder { clock: Virtual, debug: true, order: Fifo }"
    );
    assert_eq!(
        format!("{:?}", event_loop.task(async {}).name("n")),
        "TaskBuilder { name: Some(\"n\"), .. }"
    );
    assert_eq!(
        format!("{:?}", Runner::new()),
        "Runner { event_loop: None, closed: false, .. }"
    );
}

/// Plain data prints as derived.
#[test]
fn errors_print_their_parts() {
    let line = line!() + 1;
    let cancelled = CancelledError::new("m");
    let text = format!("{cancelled:?}");
    let expected = format!(
        "CancelledError {{ message: \"m\", origin: Requested, location: {}:{line}:",
        file!()
    );
    assert!(text.starts_with(&expected), "{text}");
    assert_eq!(format!("{:?}", ResultError::NotReady), "NotReady");
    assert_eq!(format!("{:?}", RunError::Stopped), "Stopped");
    assert_eq!(format!("{NoRunningLoopError:?}"), "NoRunningLoopError");
    let event_loop = virtual_loop();
    let panic = panic_error(&event_loop);
    assert_eq!(
        format!("{panic:?}"),
        format!(
            "PanicError {{ what: \"task 'broken'\", message: \"bug\", created_at: {} }}",
            panic.created_at()
        )
    );
    let turn = event_loop.run_once(Some(ms(0))).unwrap();
    assert_eq!(
        format!("{turn:?}"),
        "Turn { ran: 0, stopped: false, idle: true }"
    );
}

// ---- locations

/// D4: whatever is made knows the line that made it, also through the free functions.
#[test]
fn creation_sites_are_the_callers() {
    #[track_caller]
    fn check(site: &Location<'_>) {
        let caller = Location::caller();
        assert_eq!((site.file(), site.line()), (caller.file(), caller.line()));
    }
    async fn fine() -> Result<(), ()> {
        Ok(())
    }
    let event_loop = virtual_loop();
    check(event_loop.create_future::<()>().created_at());
    check(event_loop.create_task(fine()).created_at());
    check(event_loop.create_try_task(fine()).created_at());
    check(event_loop.task(fine()).spawn().created_at());
    check(event_loop.call_soon(|| ()).created_at());
    check(event_loop.call_later(ms(1), || ()).created_at());
    check(event_loop.call_at(ms(1), || ()).created_at());
    let inside = event_loop.create_task(async {
        check(callsoon::create_future::<()>().created_at());
        check(callsoon::create_task(fine()).created_at());
        check(callsoon::create_try_task(fine()).created_at());
        check(callsoon::task(fine()).spawn().created_at());
        check(callsoon::call_soon(|| ()).created_at());
        check(callsoon::call_later(ms(1), || ()).created_at());
        check(callsoon::call_at(ms(1), || ()).created_at());
    });
    event_loop.run_until_complete(inside).unwrap();
}

/// Every `cancel` records its caller.
#[test]
fn cancel_sites_are_the_callers() {
    let event_loop = virtual_loop();
    let check = |cancel: fn(&Task<()>) -> u32| {
        let task = event_loop.create_task(std::future::pending::<()>());
        let line = cancel(&task);
        settle(&event_loop);
        let Err(ResultError::Cancelled(error)) = task.result() else {
            panic!("it is cancelled")
        };
        assert_eq!(
            (error.location().file(), error.location().line()),
            (file!(), line)
        );
    };
    check(|task| {
        task.cancel();
        line!() - 1
    });
    check(|task| {
        task.cancel_with("m");
        line!() - 1
    });
    check(|task| {
        task.handle().cancel();
        line!() - 1
    });
    check(|task| {
        task.handle().cancel_with("m");
        line!() - 1
    });
}

/// A misuse panics at the line of the caller.
#[test]
fn panics_are_at_the_callers_line() {
    macro_rules! check {
        ($misuse:expr) => {
            let misuse = || {
                let _unused = $misuse;
            };
            assert_eq!(location_of_panic(misuse), (file!().to_owned(), line!()));
        };
    }
    let event_loop = virtual_loop();
    let handle = event_loop.handle();
    let done = event_loop.create_future();
    done.set_result(1).unwrap();
    let pending = event_loop.create_future::<()>();
    pending.add_done_callback(|_| ());
    check!(callsoon::get_running_loop());
    check!(callsoon::call_soon(|| ()));
    check!(callsoon::call_later(ms(1), || ()));
    check!(callsoon::create_future::<()>());
    check!(callsoon::create_task(async {}));
    check!(callsoon::all_tasks());
    check!(done.with_result(|_| done.take_result()));
    event_loop.close();
    check!(handle.call_soon(|| ()));
    check!(handle.call_later(ms(1), || ()));
    check!(handle.call_at(ms(1), || ()));
    check!(handle.create_task(async {}));
    check!(handle.task(async {}).spawn());
    check!(event_loop.run_forever());
    check!(pending.set_result(()));
    check!(done.add_done_callback(|_| ()));
}

// ---- helpers

fn panic_error(event_loop: &EventLoop) -> PanicError {
    let task: Task<()> = event_loop
        .task(async { panic!("bug") })
        .name("broken")
        .spawn();
    turn(event_loop);
    match task.result() {
        Err(ResultError::Panicked(panic)) => panic,
        other => panic!("{other:?}"),
    }
}

/// Where a panic says that it is. The hook is the process's: only panics of this thread are looked
/// at, and the others go to the hook that was there.
fn location_of_panic(panics: impl FnOnce()) -> (String, u32) {
    thread_local! {
        static SEEN: RefCell<Option<(String, u32)>> = const { RefCell::new(None) };
        static LOOKING: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if LOOKING.get() {
                let location = info.location().expect("there always is one");
                SEEN.set(Some((location.file().to_owned(), location.line())));
            } else {
                before(info);
            }
        }));
    });
    LOOKING.set(true);
    let result = catch_unwind(AssertUnwindSafe(panics));
    LOOKING.set(false);
    assert!(result.is_err(), "it did not panic");
    SEEN.take().expect("the hook has seen it")
}
