//! What happens in an `.await`, shown three times with the same coroutine: it sleeps twice, for half
//! the time each.
//!
//! You will see which moments it waits for, as it yields them to somebody who resumes it by hand; then
//! a loop of twenty lines that is told how to sleep, first by not sleeping at all and then by putting
//! the thread to sleep; and then the same on callsoon, where the moment is a future.
//!
//! ```text
//! cargo run --example async_sleep
//! ```

#![allow(clippy::print_stdout, reason = "an example shows something")]

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use callsoon::{Clock, Coroutine, CoroutineState, EventLoop, TimerHandle, Yielder};
use callsoon::{call_at, get_running_loop};

fn main() {
    println!("By hand:");
    let second = Duration::from_secs(1);
    let time = Rc::new(NoWait::default());
    let its_time = time.clone();
    let coroutine = Coroutine::new(async move |out| sleep_in_halves(out, its_time, second).await);
    loop {
        match coroutine.send(()) {
            CoroutineState::Yielded(moment) => {
                println!("it waits for {:?}", moment.0);
                time.sleep_until(&moment); // to wait is the driver's part
            }
            CoroutineState::Complete(()) => break println!("it is through"),
        }
    }

    println!("In a loop that does not wait:");
    run(second, Rc::new(NoWait::default()));

    println!("In a loop that does:");
    let begin = Instant::now();
    run(Duration::from_millis(40), Rc::new(PutToSleep(begin)));
    assert!(begin.elapsed() >= Duration::from_millis(40));

    println!("On callsoon:");
    let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    let halves = async {
        for _ in 0..2 {
            let when = get_running_loop().time() + Duration::from_millis(500);
            Until { when, timer: None }.await;
            println!("it is {:?}", get_running_loop().time());
        }
    };
    event_loop
        .run_until_complete(halves)
        .expect("nobody stops it");
}

/// An event: somebody waits for this moment, and tells so by yielding it.
struct Moment(Duration);

impl Moment {
    async fn wait(self, out: &Yielder<Moment>) {
        out.yield_(self).await;
    }
}

async fn sleep_in_halves(out: Yielder<Moment>, time: Rc<dyn Time>, total: Duration) {
    for _ in 0..2 {
        Moment(time.now() + total / 2).wait(&out).await;
    }
}

/// A strategy for sleeping.
trait Time {
    fn now(&self) -> Duration;
    fn sleep_until(&self, moment: &Moment);
}

/// The loop: it runs the coroutine, and sleeps as long as the coroutine wants to.
fn run(total: Duration, time: Rc<dyn Time>) {
    let for_it = time.clone();
    let coroutine = Coroutine::new(async move |out| sleep_in_halves(out, for_it, total).await);
    for (moment, name) in coroutine.zip(["half-time", "the end"]) {
        println!("asleep until {name}");
        time.sleep_until(&moment);
        assert!(time.now() >= moment.0);
    }
    println!("awake");
}

/// Time passes as soon as somebody waits for it.
#[derive(Default)]
struct NoWait(Cell<Duration>);

impl Time for NoWait {
    fn now(&self) -> Duration {
        self.0.get()
    }

    fn sleep_until(&self, moment: &Moment) {
        self.0.set(moment.0);
    }
}

/// The thread sleeps.
struct PutToSleep(Instant);

impl Time for PutToSleep {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep_until(&self, moment: &Moment) {
        thread::sleep(moment.0.saturating_sub(self.now()));
    }
}

/// The moment as a future. It yields nothing to anybody; it leaves a waker with a timer.
struct Until {
    when: Duration,
    timer: Option<TimerHandle>,
}

impl Future for Until {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if get_running_loop().time() >= self.when {
            return Poll::Ready(());
        }
        // Whoever polls last is the one to wake.
        let waker = cx.waker().clone();
        let timer = call_at(self.when, move || waker.wake());
        if let Some(earlier) = self.timer.replace(timer) {
            earlier.cancel();
        }
        Poll::Pending
    }
}

/// Nobody waits for it any more.
impl Drop for Until {
    fn drop(&mut self) {
        if let Some(timer) = &self.timer {
            timer.cancel();
        }
    }
}
