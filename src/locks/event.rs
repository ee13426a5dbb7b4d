//! [`Event`]: something has happened.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_core::FusedFuture;

use super::{Bond, Gate, Line, Passing};
use crate::snapshot::AwaitedKind;

/// Tells any number of tasks that something has happened.
///
/// It is a flag: [`set`](Self::set) wakes everybody who waits for it, and whoever waits for it later
/// does not have to.
///
/// *From asyncio:* `asyncio.Event`. Differences: a clone is another handle of the same event.
///
/// *Order:* those who wait go on one turn after it was set, in the order in which they came.
///
/// # Cancellation
///
/// Whoever is cancelled or dropped while it waits leaves; it changes nothing for the others.
///
/// # Examples
///
/// ```
/// use std::{cell::RefCell, rc::Rc, time::Duration};
/// use callsoon::{Clock, Event, EventLoop, create_task, sleep};
///
/// type Output = Rc<RefCell<Vec<&'static str>>>;
///
/// async fn waiter(event: Event, output: Output) {
///     output.borrow_mut().push("waiting for it ...");
///     event.wait().await;
///     output.borrow_mut().push("... got it!");
/// }
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// event_loop.run_until_complete(async {
///     let (event, output) = (Event::new(), Output::default());
///     let waiter = create_task(waiter(event.clone(), output.clone()));
///     sleep(Duration::from_secs(1)).await;
///     assert_eq!(output.take(), ["waiting for it ..."]);
///     event.set();
///     waiter.await;
///     assert_eq!(output.take(), ["... got it!"]);
/// })?;
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[derive(Clone)]
pub struct Event {
    shared: Rc<Shared>,
}

struct Shared {
    bond: Bond,
    is_set: Cell<bool>,
    line: Line,
}

impl Event {
    /// Makes an event that has not happened.
    ///
    /// *From asyncio:* `asyncio.Event()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::Event;
    ///
    /// assert!(!Event::new().is_set()); // no loop is needed
    /// ```
    #[track_caller]
    pub fn new() -> Self {
        Self {
            shared: Rc::new(Shared {
                bond: Bond::new("event"),
                is_set: Cell::new(false),
                line: Line::new(AwaitedKind::Event),
            }),
        }
    }

    /// Says whether it is set.
    ///
    /// *From asyncio:* `Event.is_set()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::Event;
    ///
    /// let event = Event::new();
    /// event.set();
    /// assert!(event.is_set());
    /// ```
    pub fn is_set(&self) -> bool {
        self.shared.is_set.get()
    }

    /// Sets it, and wakes everybody who waits.
    ///
    /// *From asyncio:* `Event.set()`.
    ///
    /// *Order:* those who wait now go on in the next turn, even if it is cleared before.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Event, EventLoop, create_task, yield_now};
    ///
    /// let event_loop = EventLoop::new();
    /// event_loop.run_until_complete(async {
    ///     let pulse = Event::new();
    ///     let (first, second) = (create_task(pulse.wait()), create_task(pulse.wait()));
    ///     yield_now().await;
    ///     pulse.set();
    ///     pulse.clear(); // they have been woken all the same
    ///     first.await;
    ///     second.await;
    /// })?;
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn set(&self) {
        if !self.shared.is_set.replace(true) {
            self.shared.line.wake_all();
        }
    }

    /// Makes it an event that has not happened.
    ///
    /// *From asyncio:* `Event.clear()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::Event;
    ///
    /// let event = Event::new();
    /// event.set();
    /// event.clear();
    /// assert!(!event.is_set());
    /// ```
    pub fn clear(&self) {
        self.shared.is_set.set(false);
    }

    /// Waits until it is set.
    ///
    /// *From asyncio:* `Event.wait()`. Differences: it gives nothing, for it could only be `True`.
    ///
    /// *Order:* without suspending if it is set; otherwise one turn after it was.
    ///
    /// # Cancellation
    ///
    /// Whoever is cancelled or dropped here no longer waits; nothing else changes.
    ///
    /// # Panics
    ///
    /// When it has to wait, outside a running loop or in another loop than others waited in.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Clock, Event, EventLoop, TimeoutError, wait_for};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// event_loop.run_until_complete(async {
    ///     let never = Event::new();
    ///     let waited = wait_for(never.wait(), Duration::from_secs(5)).await;
    ///     assert_eq!(waited, Err(TimeoutError));
    /// })?;
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn wait(&self) -> EventWait {
        let shared = self.shared.clone();
        let passing = Passing::new(EventGate(shared));
        EventWait { passing }
    }
}

impl Default for Event {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_set() { "set" } else { "unset" };
        write!(f, "<Event [{state}")?;
        match self.shared.line.len() {
            0 => {}
            waiters => write!(f, ", waiters:{waiters}")?,
        }
        write!(f, "] created at {}>", self.shared.bond.site())
    }
}

struct EventGate(Rc<Shared>);

impl Gate for EventGate {
    fn bond(&self) -> &Bond {
        &self.0.bond
    }

    fn line(&self) -> &Line {
        &self.0.line
    }

    fn enter(&self) -> bool {
        self.0.is_set.get()
    }

    fn woken(&self) -> bool {
        true
    }

    fn gave_up(&self, _woken: bool) {}
}

/// The future of [`Event::wait`], for naming its type.
///
/// *From asyncio:* nothing.
///
/// # Cancellation
///
/// As for [`Event::wait`].
///
/// # Panics
///
/// As for [`Event::wait`], and when awaited again after it was over.
///
/// # Examples
///
/// ```
/// use callsoon::{Event, locks::EventWait, run};
///
/// struct Server {
///     started: Event,
/// }
///
/// impl Server {
///     fn started(&self) -> EventWait {
///         self.started.wait()
///     }
/// }
///
/// let server = Server { started: Event::new() };
/// server.started.set();
/// run(server.started());
/// ```
#[must_use = "nothing waits unless this is awaited"]
pub struct EventWait {
    passing: Passing<EventGate>,
}

impl Future for EventWait {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.passing.poll(cx).map(drop)
    }
}

impl FusedFuture for EventWait {
    fn is_terminated(&self) -> bool {
        self.passing.is_over()
    }
}

impl fmt::Debug for EventWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<EventWait {}>", self.passing.state())
    }
}
