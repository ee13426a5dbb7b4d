//! Panics of the crate carry the place of the call that was wrong, not one inside the crate.
//!
//! In a binary of its own, for it replaces the process's panic hook.

use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Mutex;
use std::time::Duration;

use callsoon::{Clock, EventLoop};

/// The place of the latest panic.
static PANIC: Mutex<String> = Mutex::new(String::new());
/// The lines of the calls, and where they panicked.
static SITES: Mutex<Vec<(u32, String)>> = Mutex::new(Vec::new());

/// R12: what a closed loop refuses, and what needs a running loop, panics at the caller's line.
#[test]
fn panics_have_the_callers_location() {
    let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    let done = event_loop.create_future::<()>();
    let removed = done.add_done_callback(|_| ());
    done.set_result(()).unwrap();
    event_loop.close();
    std::panic::set_hook(Box::new(|info| {
        let site = info.location().unwrap();
        *PANIC.lock().unwrap() = format!("{}:{}", site.file(), site.line());
    }));
    check(|| drop(event_loop.call_soon(|| ())));
    check(|| drop(event_loop.call_later(Duration::ZERO, || ())));
    check(|| drop(event_loop.call_at(Duration::ZERO, || ())));
    check(|| drop(event_loop.create_task(async {})));
    check(|| drop(event_loop.create_try_task(async { Ok::<(), ()>(()) })));
    check(|| drop(event_loop.task(async {}).name("late").spawn()));
    check(|| drop(event_loop.run_forever()));
    check(|| assert_ne!(done.add_done_callback(|_| ()), removed));
    check(|| drop(callsoon::get_running_loop()));
    check(|| drop(callsoon::call_soon(|| ())));
    check(|| drop(callsoon::call_later(Duration::ZERO, || ())));
    check(|| drop(callsoon::call_at(Duration::ZERO, || ())));
    check(|| drop(callsoon::create_future::<()>()));
    check(|| drop(callsoon::create_task(async {})));
    check(|| drop(callsoon::all_tasks()));
    drop(std::panic::take_hook());
    for (line, panic) in SITES.lock().unwrap().iter() {
        assert_eq!(panic, &format!("{}:{line}", file!()));
    }
}

/// Runs `action`, which panics on the line of this call.
#[track_caller]
fn check(action: impl FnOnce()) {
    let line = Location::caller().line();
    PANIC.lock().unwrap().clear();
    let _ = catch_unwind(AssertUnwindSafe(action));
    let panic = PANIC.lock().unwrap().clone();
    SITES.lock().unwrap().push((line, panic));
}
