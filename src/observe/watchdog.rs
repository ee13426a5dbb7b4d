//! [`Watchdog`]: somebody notices when a callback does not come back.

use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use log::Level;

use super::EntryKind;
use super::pulse::{Look, Pulse, Shown, Watch};
use crate::LoopHandle;
use crate::errors::PanicError;
use crate::event_loop::LoopState;
use crate::reports::report;

/// The watching thread looks so many times while a threshold passes.
const LOOKS: u32 = 4;
/// And no more often than this.
const SHORTEST_PAUSE: Duration = Duration::from_micros(250);

impl LoopHandle {
    /// Has a thread watch the loop, and warn through `log`, or on
    /// [standard error](LoopHandle::default_exception_handler), while a callback or a step of a task is still
    /// running after `threshold`: the loop hangs, or something blocks it. When it is over another warning
    /// says how long it took.
    ///
    /// It works in release builds, and costs the loop a few nanoseconds an entry: the time is only taken
    /// by the watching thread, which looks four times in `threshold`. What runs already when this is
    /// called is not watched. A loop that sleeps is none that hangs, nor is one whose host does not turn
    /// it.
    ///
    /// Real time counts, also on a virtual clock.
    ///
    /// *From asyncio:* debug mode, which says when something slow is over, but never speaks of what does
    /// not come back.
    ///
    /// # Panics
    ///
    /// If the system has no thread to give.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let _watchdog = event_loop.watch(Duration::from_millis(200));
    /// event_loop.run_until_complete(callsoon::yield_now())?; // and everything else
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn watch(&self, threshold: Duration) -> Watchdog {
        self.watch_with(threshold, |stall| {
            report(Level::Warn, format_args!("{stall}"));
        })
    }

    /// Does [`watch`](Self::watch), and tells `handler` instead.
    ///
    /// The handler is called by the watching thread: once when something has run for `threshold`, give
    /// or take a half, and once when that is over. If it panics, that is reported as an error is
    /// [by default](LoopHandle::default_exception_handler).
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Panics
    ///
    /// If the system has no thread to give.
    ///
    /// # Examples
    ///
    /// A callback that hangs until somebody has noticed:
    ///
    /// ```
    /// use std::sync::mpsc::channel;
    /// use std::time::Duration;
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let (send, noticed) = channel();
    /// let watchdog = event_loop.watch_with(Duration::from_millis(20), move |stall| {
    ///     let _ = send.send((stall.name().to_owned(), stall.is_over()));
    /// });
    /// let hangs = async move { noticed.recv() };
    /// let task = event_loop.task(hangs).name("hangs").spawn();
    /// assert_eq!(event_loop.run_until_complete(task)?, Ok(("hangs".to_owned(), false)));
    /// drop(watchdog);
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn watch_with(
        &self,
        threshold: Duration,
        handler: impl FnMut(&Stall) + Send + 'static,
    ) -> Watchdog {
        let pulse = self.lp.add_watchdog().clone();
        // From here on its drop takes everything back.
        let watchdog = Watchdog {
            lp: self.lp.clone(),
            watch: pulse.begin_watch(),
            pulse: pulse.clone(),
        };
        let watcher = Watcher {
            watch: watchdog.watch.clone(),
            pulse,
            threshold,
            handler,
        };
        let thread = thread::Builder::new().name("callsoon watchdog".to_owned());
        if let Err(error) = thread.spawn(move || watcher.watch()) {
            let site = self.lp.site;
            panic!("no thread to watch the event loop created at {site}: {error}");
        }
        if self.is_closed() {
            watchdog.pulse.end_watch(&watchdog.watch);
        }
        watchdog
    }
}

/// A thread watches a loop until this is dropped; see [`LoopHandle::watch`].
///
/// Dropping it waits for nothing: if the thread is just calling the handler, it still does that.
///
/// *From asyncio:* nothing.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let event_loop = callsoon::EventLoop::new();
/// let watchdog = event_loop.watch(Duration::from_secs(1));
/// drop(watchdog); // from here on the loop may take its time
/// ```
#[must_use = "the watch ends when this is dropped"]
pub struct Watchdog {
    lp: Rc<LoopState>,
    pulse: Arc<Pulse>,
    watch: Arc<Watch>,
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.lp.remove_watchdog();
        self.pulse.end_watch(&self.watch);
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Watchdog of the loop created at {}>", self.lp.site)
    }
}

/// A callback or a step of a task that runs for too long; see [`LoopHandle::watch_with`].
///
/// *From asyncio:* nothing.
///
/// # Examples
///
/// ```
/// use std::sync::mpsc::channel;
/// use std::time::Duration;
/// use callsoon::EventLoop;
///
/// let event_loop = EventLoop::new();
/// let (send, noticed) = channel();
/// let threshold = Duration::from_millis(20);
/// let _watchdog = event_loop.watch_with(threshold, move |stall| _ = send.send(stall.clone()));
/// let (go_on, wait) = channel();
/// let callback = event_loop.call_soon(move || wait.recv().expect("somebody says so"));
/// let created_at = callback.created_at();
/// let observer = std::thread::spawn(move || {
///     let stall = noticed.recv().expect("it hangs until we say so");
///     assert_eq!(stall.created_at(), Some(created_at));
///     assert!(stall.running_for() >= threshold && !stall.is_over());
///     go_on.send(()).expect("it waits");
///     let end = noticed.recv().expect("it goes on");
///     assert!(end.is_over() && end.running_for() >= stall.running_for());
/// });
/// event_loop.run_once(None)?;
/// observer.join().unwrap();
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Stall {
    pub(super) kind: EntryKind,
    pub(super) site: Option<&'static Location<'static>>,
    pub(super) task: Option<u64>,
    pub(super) name: String,
    /// What it is.
    pub(super) words: String,
    pub(super) running_for: Duration,
    pub(super) over: bool,
}

impl Stall {
    /// Says what sort of entry of the ready queue runs.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`Stall`].
    pub fn kind(&self) -> EntryKind {
        self.kind
    }

    /// Gives the name of the task that steps; for something else, what it is.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`LoopHandle::watch_with`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives the [id](crate::TaskHandle::id) of the task that steps; `None` if it is a callback.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`Stall`].
    pub fn task(&self) -> Option<u64> {
        self.task
    }

    /// Gives the place where the callback was scheduled or the task was made; `None` for what another
    /// thread posted.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`Stall`].
    pub fn created_at(&self) -> Option<&'static Location<'static>> {
        self.site
    }

    /// Says for how long it runs; if it is over, how long it took. It is at least that long, and up to a
    /// quarter of the threshold longer.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`Stall`].
    pub fn running_for(&self) -> Duration {
        self.running_for
    }

    /// Says whether it is over.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`Stall`].
    pub fn is_over(&self) -> bool {
        self.over
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, time) = (&self.words, self.running_for);
        match self.over {
            true => write!(f, "{what} took {time:?}"),
            false => write!(f, "{what} still runs after {time:?}"),
        }
    }
}

/// What the watching thread has.
struct Watcher<H> {
    watch: Arc<Watch>,
    pulse: Arc<Pulse>,
    threshold: Duration,
    handler: H,
}

/// An entry that was seen running.
struct Sighting {
    shown: Shown,
    since: Instant,
    /// What was reported.
    stall: Option<Stall>,
}

impl<H: FnMut(&Stall)> Watcher<H> {
    fn watch(mut self) {
        let pause = (self.threshold / LOOKS).max(SHORTEST_PAUSE);
        let mut seen: Option<Sighting> = None;
        loop {
            let noted = seen.as_ref().map(|it| (it.shown.entry(), it.since));
            if !self.watch.pause(noted, pause) {
                return;
            }
            let shown = match self.pulse.look() {
                Look::Shows(shown) => Some(shown),
                Look::Rests => None,
                Look::Unclear => continue,
            };
            let now = Instant::now();
            let entry = shown.map(|shown| shown.entry());
            if let (Some(seen), Some(shown)) = (&mut seen, shown)
                && entry == Some(seen.shown.entry())
            {
                seen.shown = shown;
                self.check(seen, now);
                continue;
            }
            let over = seen.take().and_then(|it| Some((it.since, it.stall?)));
            seen = shown.map(|shown| Sighting {
                shown,
                since: now,
                stall: None,
            });
            if let Some((since, stall)) = over {
                self.tell(&Stall {
                    running_for: now - since,
                    over: true,
                    ..stall
                });
            }
        }
    }

    /// Reports what is still running, once.
    fn check(&mut self, seen: &mut Sighting, now: Instant) {
        let running_for = now - seen.since;
        if seen.stall.is_none() && running_for >= self.threshold {
            let stall = self.pulse.report(&seen.shown, running_for);
            self.pulse.await_end();
            self.tell(&stall);
            seen.stall = Some(stall);
        }
    }

    fn tell(&mut self, stall: &Stall) {
        PanicError::logged("a watchdog's handler", None, || (self.handler)(stall));
    }
}
