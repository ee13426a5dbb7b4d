//! [`sleep`], [`sleep_until`] and [`yield_now`].

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::FusedFuture;

use crate::event_loop::{LoopHandle, TimerHandle, current, to_nanos};
use crate::futures::purpose::Asleep;
use crate::futures::{Future, Promise};

/// Suspends the task for `delay`; a delay of zero for one turn.
///
/// The time starts when it is first polled, so usually at the `.await`.
///
/// *From asyncio:* `asyncio.sleep(delay)`.
///
/// *Order:* the deadline is a timer like any other; the task runs on in the turn after the one in
/// which the timer fires.
///
/// # Cancellation
///
/// A cancelled or dropped sleep cancels its timer at once.
///
/// # Panics
///
/// When polled outside a running loop.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop, get_running_loop, sleep};
///
/// async fn say_after(delay: Duration, what: &str) -> String {
///     sleep(delay).await;
///     format!("{what} at {:?}", get_running_loop().time())
/// }
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// event_loop.run_until_complete(async {
///     assert_eq!(say_after(Duration::from_secs(1), "hello").await, "hello at 1s");
///     assert_eq!(say_after(Duration::from_secs(2), "world").await, "world at 3s");
/// })?;
/// assert_eq!(event_loop.time(), Duration::from_secs(3));
/// # Ok::<(), callsoon::RunError>(())
/// ```
///
/// The time of day, once a second for five seconds:
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop, Runner, get_running_loop, sleep};
///
/// async fn display_date(display: &mut Vec<String>) {
///     let end = get_running_loop().time() + Duration::from_secs(5);
///     loop {
///         let now = get_running_loop().time();
///         display.push(format!("12:00:{:02}", now.as_secs()));
///         if now + Duration::from_secs(1) >= end {
///             break;
///         }
///         sleep(Duration::from_secs(1)).await;
///     }
/// }
///
/// let mut display = vec![];
/// Runner::with(EventLoop::builder().clock(Clock::Virtual)).run(display_date(&mut display))?;
/// assert_eq!(display, ["12:00:00", "12:00:01", "12:00:02", "12:00:03", "12:00:04"]);
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[track_caller]
pub fn sleep(delay: Duration) -> Sleep {
    if delay.is_zero() {
        return Sleep(State::Yield(yield_now()));
    }
    Sleep(State::New {
        until: Until::Delay(delay),
        site: Location::caller(),
    })
}

/// Suspends the task until the loop's [`time`](LoopHandle::time) is `when`, and at least for one
/// turn.
///
/// *From asyncio:* nothing; there one sleeps for `when - loop.time()`.
///
/// *Order:* as for [`sleep`].
///
/// # Cancellation
///
/// As for [`sleep`].
///
/// # Panics
///
/// When polled outside a running loop.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop, sleep, sleep_until};
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// event_loop.run_until_complete(async {
///     for beat in 1..=3 {
///         sleep(Duration::from_millis(300)).await; // work, which does not delay the beat
///         sleep_until(Duration::from_secs(beat)).await;
///     }
/// })?;
/// assert_eq!(event_loop.time(), Duration::from_secs(3));
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[track_caller]
pub fn sleep_until(when: Duration) -> Sleep {
    Sleep(State::New {
        until: Until::Instant(when),
        site: Location::caller(),
    })
}

/// Lets everything else that is ready run once; the same as `sleep(Duration::ZERO)`.
///
/// *From asyncio:* `asyncio.sleep(0)`.
///
/// *Order:* the task runs on in the next turn, behind what was queued before.
///
/// # Cancellation
///
/// A cancellation that arrives meanwhile is raised here.
///
/// # Examples
///
/// ```
/// use callsoon::{EventLoop, yield_now};
///
/// let event_loop = EventLoop::new();
/// event_loop.run_until_complete(async {
///     let other = callsoon::create_task(async { 1 });
///     assert!(!other.done());
///     yield_now().await;
///     assert!(other.done());
/// })?;
/// # Ok::<(), callsoon::RunError>(())
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { began: NEW }
}

/// The future of [`sleep`] and [`sleep_until`], for naming its type.
///
/// *From asyncio:* the coroutine that `asyncio.sleep()` gives.
///
/// # Cancellation
///
/// As for [`sleep`].
///
/// # Panics
///
/// When polled outside a running loop, or again after it was over.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop, Sleep, sleep};
///
/// fn backoff(attempt: u32) -> Sleep {
///     sleep(Duration::from_secs(1 << attempt))
/// }
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// event_loop.run_until_complete(async {
///     for attempt in 0..3 {
///         backoff(attempt).await;
///     }
/// })?;
/// assert_eq!(event_loop.time(), Duration::from_secs(1 + 2 + 4));
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[must_use = "a sleep does nothing unless it is awaited"]
pub struct Sleep(State);

enum State {
    Yield(YieldNow),
    New {
        until: Until,
        site: &'static Location<'static>,
    },
    Waiting {
        future: Future<()>,
        timer: TimerHandle,
    },
    Done,
}

#[derive(Clone, Copy, Debug)]
enum Until {
    Delay(Duration),
    Instant(Duration),
}

impl Sleep {
    /// Arms the timer, as `loop.call_later` and a future would.
    fn start(until: Until, site: &'static Location<'static>) -> State {
        let lp = LoopHandle::running().lp;
        let when = match until {
            Until::Delay(delay) => lp.after(delay),
            Until::Instant(when) => to_nanos(when),
        };
        let future = Future::new(Promise::create_for(Asleep(when), &lp, site));
        let resolve = future.clone();
        let timer = lp.call_at_for(site, when, move || {
            // It may have been cancelled while the timer was on its way through the queue.
            let _ = resolve.set_result(());
        });
        State::Waiting {
            future,
            timer: TimerHandle::new(timer, lp),
        }
    }
}

impl std::future::Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let State::New { until, site } = self.0 {
            if current::is_unwinding() {
                return current::pending_while_unwinding(cx);
            }
            self.0 = Self::start(until, site);
        }
        match &mut self.0 {
            State::Yield(yielding) => ready!(Pin::new(yielding).poll(cx)),
            State::Waiting { future, .. } => ready!(Pin::new(future).poll(cx)),
            State::Done => panic!("sleep awaited again after it was over"),
            State::New { .. } => unreachable!("started above"),
        }
        self.0 = State::Done;
        Poll::Ready(())
    }
}

impl FusedFuture for Sleep {
    fn is_terminated(&self) -> bool {
        matches!(self.0, State::Done)
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let State::Waiting { timer, .. } = &self.0 {
            timer.cancel();
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Yield(_) => f.write_str("<Sleep for a turn>"),
            State::New { until, .. } => write!(f, "<Sleep new {until:?}>"),
            State::Waiting { timer, .. } => write!(f, "<Sleep until {:?}>", timer.when()),
            State::Done => f.write_str("<Sleep done>"),
        }
    }
}

/// The future of [`yield_now`], for naming its type.
///
/// *From asyncio:* the coroutine that `asyncio.sleep(0)` gives.
///
/// # Cancellation
///
/// As for [`yield_now`].
///
/// # Examples
///
/// ```
/// use callsoon::{YieldNow, create_task, run, yield_now};
///
/// fn after_each_chunk() -> YieldNow {
///     yield_now()
/// }
///
/// let other_ran = run(async {
///     let other = create_task(async {});
///     after_each_chunk().await;
///     other.done()
/// });
/// assert!(other_ran);
/// ```
#[derive(Debug)]
#[must_use = "yielding does nothing unless it is awaited"]
pub struct YieldNow {
    /// The turn of the loop in which a task's own step polled it; `NEW` or `ELSEWHERE` otherwise.
    began: u64,
}

/// It was not polled yet. Turns count from 1.
const NEW: u64 = 0;
/// It was polled with a waker that wraps a task's, or is another executor's.
const ELSEWHERE: u64 = u64::MAX;

impl std::future::Future for YieldNow {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let began = self.began;
        // Where this poll is, and whether it has to wait; nothing if the task is being unwound.
        let polled = current::with(|running| match running {
            Some(lp) if lp.step.is_unwinding() => None,
            Some(lp) if lp.step.is_direct(cx.waker()) => {
                let turn = lp.turns.get();
                // Polled again in the same turn it has not yielded yet.
                let waits = began == NEW || began == turn;
                if waits {
                    lp.step.yield_now();
                }
                Some((turn, waits))
            }
            _ => Some((ELSEWHERE, began == NEW)),
        });
        match polled {
            Some((_, false)) => return Poll::Ready(()),
            Some((place, true)) => {
                self.began = place;
                if place == ELSEWHERE {
                    cx.waker().wake_by_ref();
                }
            }
            None => return current::pending_while_unwinding(cx),
        }
        Poll::Pending
    }
}
