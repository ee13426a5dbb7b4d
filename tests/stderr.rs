//! What is reported goes to standard error while nobody listens to `log`.
//!
//! In a binary of its own, in which no logger is installed. What a scene prints is seen from outside: each test
//! runs itself once more, in a process where it plays its scene.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use callsoon::{Clock, EventLoop, ExceptionContext, Runner, yield_now};

/// In the environment of a process that is to play the scene.
const PLAY: &str = "CALLSOON_TEST_PLAYS_ITS_SCENE";

/// F18: the error of a task that nobody looked at, in a line that is the message.
#[test]
fn an_error_that_nobody_looked_at_is_a_line() {
    let printed = printed_by("an_error_that_nobody_looked_at_is_a_line", || {
        let event_loop = EventLoop::new();
        let task = event_loop.task(async { Err::<(), _>("disk full") });
        drop(task.name("saver").try_spawn());
        event_loop.run_once(None).unwrap();
    });
    let Some(printed) = printed else { return };
    let [line] = &printed.lines().collect::<Vec<_>>()[..] else {
        panic!("{printed}");
    };
    assert!(line.contains("\"disk full\"; task 'saver'"), "{line}");
    assert!(printed.ends_with('\n'));
}

/// X2: whatever else is an error, as it is; of several lines, if it has several.
#[test]
fn a_report_is_printed_as_it_is() {
    let printed = printed_by("a_report_is_printed_as_it_is", || {
        let event_loop = EventLoop::new();
        event_loop.call_exception_handler(&ExceptionContext::new("low on memory\nand on time"));
        event_loop.default_exception_handler(&ExceptionContext::new("bad line"));
    });
    let Some(printed) = printed else { return };
    assert_eq!(printed, "low on memory\nand on time\nbad line\n");
}

/// D3: a callback that is slow, in debug mode. It is the clock that moves.
#[test]
fn a_slow_callback_is_a_line() {
    let printed = printed_by("a_slow_callback_is_a_line", || {
        let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
        event_loop.set_debug(true);
        let handle = event_loop.handle();
        event_loop.call_soon(move || _ = handle.advance(Duration::from_millis(150)));
        event_loop.run_once(None).unwrap();
    });
    let Some(printed) = printed else { return };
    assert!(printed.ends_with(" took 150ms\n"), "{printed}");
    assert_eq!(printed.lines().count(), 1, "{printed}");
}

/// R17: a runner that gives up on a task.
#[test]
fn a_task_that_refuses_to_end_is_a_line() {
    let printed = printed_by("a_task_that_refuses_to_end_is_a_line", || {
        let clock = EventLoop::builder().clock(Clock::Virtual);
        let mut runner = Runner::with(clock);
        let stubborn = async || {
            callsoon::task(async {
                while callsoon::catch_cancel(std::future::pending::<()>())
                    .await
                    .is_err()
                {}
            })
            .name("stubborn")
            .spawn();
            yield_now().await;
        };
        runner.run(stubborn()).unwrap();
        runner.close();
    });
    let Some(printed) = printed else { return };
    let first = "tasks are not done although the runner cancelled them: 'stubborn'\n";
    assert!(printed.starts_with(first), "{printed}");
}

/// X2: who set a handler hears of it, and nobody else.
#[test]
fn a_handler_keeps_standard_error_silent() {
    let printed = printed_by("a_handler_keeps_standard_error_silent", || {
        let event_loop = EventLoop::new();
        event_loop.set_exception_handler(|_, _| ());
        event_loop.create_try_task(async { Err::<(), _>("disk full") });
        event_loop.create_task(std::future::pending::<()>());
        event_loop.run_once(None).unwrap();
    });
    let Some(printed) = printed else { return };
    assert_eq!(printed, "");
}

/// So does a logger, of whatever level.
#[test]
fn a_logger_keeps_standard_error_silent() {
    struct Deaf;

    impl log::Log for Deaf {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            false
        }

        fn log(&self, _: &log::Record<'_>) {}

        fn flush(&self) {}
    }

    let printed = printed_by("a_logger_keeps_standard_error_silent", || {
        log::set_logger(&Deaf).expect("this process plays one scene");
        log::set_max_level(log::LevelFilter::Error);
        let event_loop = EventLoop::new();
        event_loop.call_exception_handler(&ExceptionContext::new("low on memory"));
    });
    let Some(printed) = printed else { return };
    assert_eq!(printed, "");
}

/// What cannot be written is lost, and nothing else.
#[test]
fn a_broken_standard_error_does_no_harm() {
    let name = "a_broken_standard_error_does_no_harm";
    if plays() {
        // Until nobody is left who would read what is written.
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        let event_loop = EventLoop::new();
        event_loop.call_exception_handler(&ExceptionContext::new("low on memory"));
        let one = event_loop.run_until_complete(async { 1 });
        assert_eq!(one.unwrap(), 1);
        return;
    }
    let mut child = play(name);
    drop(child.stderr.take());
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

/// What the scene of the test `name` writes to standard error. `None` in the process that plays it.
fn printed_by(name: &str, scene: impl FnOnce()) -> Option<String> {
    if plays() {
        scene();
        return None;
    }
    let output = play(name).wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stderr).expect("it prints text"))
}

fn plays() -> bool {
    std::env::var_os(PLAY).is_some()
}

/// Runs the test `name` in a process of its own.
fn play(name: &str) -> Child {
    let mut this = Command::new(std::env::current_exe().expect("it runs"));
    this.args(["--exact", name, "--nocapture"]).env(PLAY, "1");
    let pipes = this.stdin(Stdio::piped()).stdout(Stdio::piped());
    pipes.stderr(Stdio::piped()).spawn().expect("it runs")
}
