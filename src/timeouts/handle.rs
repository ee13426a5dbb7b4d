//! [`Timeout`]: a timeout that can be looked at and moved.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use super::{Limit, Timed};
use crate::cancellation::{CancelledError, ScopeRef};
use crate::event_loop::{
    Handle, LoopHandle, LoopState, Nanos, TimerHandle, pin_in_place, to_nanos,
};

/// When a timeout is over, as its user says it; `None` is never.
#[derive(Clone, Copy)]
pub(super) enum When {
    /// After a time from when it starts.
    After(Option<Duration>),
    /// At a loop's time.
    At(Option<Duration>),
}

impl When {
    /// Keeps a place for the alarm; nothing if there will never be one.
    pub(super) fn deadline(self, lp: &LoopState) -> Option<Deadline> {
        let now = lp.time.now();
        let when = match self {
            Self::After(delay) => now.saturating_add(to_nanos(delay?)),
            Self::At(when) => to_nanos(when?),
        };
        Some(Deadline {
            when,
            is_over: when <= now,
            place: lp.reserve_timer(),
        })
    }
}

/// The deadline of work that begins, and has no alarm yet: what ends at once never needs one.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    when: Nanos,
    pub(super) is_over: bool,
    /// The place of the alarm among timers that are due together.
    place: u64,
}

/// A deadline that can be looked at and moved while the work runs.
///
/// It is a shared handle: a clone is the same timeout.
///
/// *From asyncio:* `asyncio.Timeout`. Differences: [`run`](Self::run) takes the place of `async
/// with`.
///
/// # Cancellation
///
/// As for [`timeout`](crate::timeout).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop, Timeout, TimeoutError, get_running_loop, sleep};
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let output = event_loop.run_until_complete(async {
///     let limit = Timeout::new(None); // how long it may take turns out later
///     let work = limit.run(async {
///         let new_deadline = get_running_loop().time() + Duration::from_secs(10);
///         limit.reschedule(new_deadline).expect("it runs");
///         sleep(Duration::from_secs(3600)).await;
///     });
///     assert_eq!(work.await, Err(TimeoutError));
///     if limit.expired() { "that was too late" } else { "just in time" }
/// })?;
/// assert_eq!(output, "that was too late");
/// assert_eq!(event_loop.time(), Duration::from_secs(10));
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[derive(Clone)]
pub struct Timeout(Rc<State>);

/// What the handles of a timeout share.
struct State {
    event_loop: LoopHandle,
    /// Where it was made.
    site: &'static Location<'static>,
    /// The deadline.
    when: Cell<Option<Duration>>,
    phase: Cell<Phase>,
    /// Goes off at the deadline.
    alarm: Cell<Option<Alarm>>,
    /// Where the work runs, while it does.
    scope: RefCell<Option<ScopeRef>>,
}

/// Where a timeout is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The work has not begun.
    Created,
    /// It runs.
    Active,
    /// The alarm has gone off, and the work was asked to stop.
    Expiring,
    /// It has ended after that.
    Expired,
    /// It has ended before that.
    Finished,
}

/// What is scheduled for the deadline.
enum Alarm {
    Soon(Handle),
    Later(TimerHandle),
}

impl Alarm {
    fn cancel(self) {
        match self {
            Self::Soon(handle) => handle.cancel(),
            Self::Later(timer) => timer.cancel(),
        }
    }
}

impl Timeout {
    /// Makes a timeout that is over `delay` from now; `None` is for ever.
    ///
    /// *From asyncio:* `asyncio.timeout(delay)`.
    ///
    /// # Panics
    ///
    /// When called outside a running loop.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Timeout, run, yield_now};
    ///
    /// run(async {
    ///     let limit = Timeout::new(Duration::from_secs(5));
    ///     assert!(limit.run(yield_now()).await.is_ok());
    /// });
    /// ```
    #[track_caller]
    pub fn new(delay: impl Into<Option<Duration>>) -> Self {
        Self::start(When::After(delay.into()), Location::caller())
    }

    /// Makes a timeout that is over when the loop's [`time`](LoopHandle::time) is `when`; `None` is
    /// never.
    ///
    /// *From asyncio:* `asyncio.timeout_at(when)`.
    ///
    /// # Panics
    ///
    /// When called outside a running loop.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Timeout, get_running_loop, run};
    ///
    /// run(async {
    ///     let when = get_running_loop().time() + Duration::from_secs(5);
    ///     assert_eq!(Timeout::at(when).when(), Some(when));
    /// });
    /// ```
    #[track_caller]
    pub fn at(when: impl Into<Option<Duration>>) -> Self {
        Self::start(When::At(when.into()), Location::caller())
    }

    pub(super) fn start(when: When, site: &'static Location<'static>) -> Self {
        let event_loop = crate::get_running_loop();
        let when = match when {
            When::After(delay) => delay.map(|delay| event_loop.time().saturating_add(delay)),
            When::At(when) => when,
        };
        Self(Rc::new(State {
            event_loop,
            site,
            when: Cell::new(when),
            phase: Cell::new(Phase::Created),
            alarm: Cell::new(None),
            scope: RefCell::default(),
        }))
    }

    /// Makes the timeout of work that has begun in `scope`.
    pub(super) fn under_way(
        deadline: Deadline,
        scope: ScopeRef,
        site: &'static Location<'static>,
    ) -> Self {
        let lp = scope.event_loop().clone();
        let timeout = Self(Pin::into_inner(pin_in_place(|| State {
            event_loop: LoopHandle { lp: lp.clone() },
            site,
            when: Cell::new(Some(Duration::from_nanos(deadline.when))),
            phase: Cell::new(Phase::Active),
            alarm: Cell::new(None),
            scope: RefCell::new(Some(scope)),
        })));
        if deadline.is_over {
            timeout.arm();
        } else {
            let Deadline { when, place, .. } = deadline;
            let me = timeout.clone();
            let timer = lp.call_at_place(place, when, site, move || me.expire());
            let timer = TimerHandle::new(timer, lp);
            timeout.0.alarm.set(Some(Alarm::Later(timer)));
        }
        timeout
    }

    /// Runs `work` under this timeout, once.
    ///
    /// *From asyncio:* `async with timeout: ...`.
    ///
    /// *Order:* as for [`timeout`](crate::timeout).
    ///
    /// # Cancellation
    ///
    /// As for [`timeout`](crate::timeout).
    ///
    /// # Errors
    ///
    /// As for [`timeout`](crate::timeout).
    ///
    /// # Panics
    ///
    /// When awaited outside a task of a running loop, again after it was over, or if the timeout was
    /// used before.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Timeout, run};
    ///
    /// let sum = run(async { Timeout::new(Duration::from_secs(1)).run(async { 1 + 1 }).await });
    /// assert_eq!(sum, Ok(2));
    /// ```
    pub fn run<F: IntoFuture>(&self, work: F) -> Timed<F::IntoFuture> {
        Timed::new(Limit::Of(self.clone()), work)
    }

    /// Gives the deadline, in the loop's [`time`](LoopHandle::time).
    ///
    /// *From asyncio:* `Timeout.when()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Timeout, run};
    ///
    /// run(async { assert_eq!(Timeout::new(None).when(), None) });
    /// ```
    pub fn when(&self) -> Option<Duration> {
        self.0.when.get()
    }

    /// Moves the deadline of work that is going on; `None` takes it away.
    ///
    /// *From asyncio:* `Timeout.reschedule(when)`.
    ///
    /// *Order:* a deadline in the past is delivered in the next turn, as by
    /// [`call_soon`](crate::call_soon).
    ///
    /// # Errors
    ///
    /// * If the work has not begun, has ended, or was stopped already.
    ///
    /// # Examples
    ///
    /// Each message gives the sender another five seconds:
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Clock, EventLoop, Timeout, get_running_loop, sleep};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// event_loop.run_until_complete(async {
    ///     let patience = Duration::from_secs(5);
    ///     let limit = Timeout::new(patience);
    ///     let result = limit
    ///         .run(async {
    ///             for message in 1.. {
    ///                 sleep(Duration::from_secs(message)).await;
    ///                 let now = get_running_loop().time();
    ///                 limit.reschedule(now + patience).unwrap();
    ///             }
    ///         })
    ///         .await;
    ///     assert!(result.is_err());
    /// })?;
    /// assert_eq!(event_loop.time(), Duration::from_secs(1 + 2 + 3 + 4 + 5));
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn reschedule(&self, when: impl Into<Option<Duration>>) -> Result<(), TimeoutStateError> {
        let state = &self.0;
        if state.phase.get() != Phase::Active {
            return Err(TimeoutStateError {
                phase: state.phase.get(),
                created_at: state.site,
            });
        }
        state.when.set(when.into());
        self.arm();
        Ok(())
    }

    /// Says whether the time was over before the work was done.
    ///
    /// *From asyncio:* `Timeout.expired()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Timeout, run, yield_now};
    ///
    /// run(async {
    ///     let limit = Timeout::new(Duration::ZERO);
    ///     let _ = limit.run(yield_now()).await;
    ///     assert!(limit.expired());
    /// });
    /// ```
    pub fn expired(&self) -> bool {
        matches!(self.0.phase.get(), Phase::Expiring | Phase::Expired)
    }

    /// The work begins, in `scope`.
    pub(super) fn enter(&self, scope: ScopeRef) {
        let state = &self.0;
        assert!(
            state.phase.get() == Phase::Created,
            "timeout created at {} was used before: it runs one future",
            state.site
        );
        state.phase.set(Phase::Active);
        *state.scope.borrow_mut() = Some(scope);
        self.arm();
    }

    /// Has the alarm go off at the deadline, and no other.
    #[track_caller]
    fn arm(&self) {
        let state = &self.0;
        let me = self.clone();
        let alarm = state.when.get().map(|when| {
            if when <= state.event_loop.time() {
                Alarm::Soon(state.event_loop.call_soon(move || me.expire()))
            } else {
                Alarm::Later(state.event_loop.call_at(when, move || me.expire()))
            }
        });
        if let Some(old) = state.alarm.replace(alarm) {
            old.cancel();
        }
    }

    /// The alarm goes off.
    fn expire(&self) {
        let state = &self.0;
        state.alarm.set(None);
        state.phase.set(Phase::Expiring);
        self.request();
    }

    fn request(&self) {
        let scope = self.0.scope.borrow().clone();
        if let Some(scope) = scope {
            scope.request(CancelledError::at(None, self.0.site));
        }
    }

    /// The work goes on in another scope, which has to be asked to stop as the one before was.
    pub(super) fn follow(&self, scope: ScopeRef) {
        let old = self.0.scope.replace(Some(scope));
        drop(old);
        if self.0.phase.get() == Phase::Expiring {
            self.request();
        }
    }

    pub(super) fn panic_outside(&self) -> ! {
        let site = self.0.site;
        panic!("timeout created at {site} is awaited outside a task of a running loop")
    }

    /// The work is over; says whether the time was over before.
    pub(super) fn leave(&self) -> bool {
        let state = &self.0;
        if let Some(alarm) = state.alarm.take() {
            alarm.cancel();
        }
        state.scope.take();
        let expired = state.phase.get() == Phase::Expiring;
        state.phase.set(if expired {
            Phase::Expired
        } else {
            Phase::Finished
        });
        expired
    }
}

impl fmt::Debug for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Timeout {}", self.0.phase.get())?;
        if let Some(when) = self.when() {
            write!(f, " when={when:?}")?;
        }
        f.write_str(">")
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Active => "active",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::Finished => "finished",
        })
    }
}

/// Says that a timeout cannot be moved, because its work is not going on.
///
/// *From asyncio:* the `RuntimeError` of `Timeout.reschedule`.
///
/// # Examples
///
/// ```
/// use callsoon::{Timeout, run};
///
/// run(async {
///     let error = Timeout::new(None).reschedule(None).unwrap_err();
///     assert!(error.to_string().contains("is created: only an active one can be rescheduled"));
/// });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutStateError {
    phase: Phase,
    created_at: &'static Location<'static>,
}

impl fmt::Display for TimeoutStateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { phase, created_at } = self;
        write!(
            f,
            "timeout created at {created_at} is {phase}: only an active one can be rescheduled"
        )
    }
}

impl std::error::Error for TimeoutStateError {}
