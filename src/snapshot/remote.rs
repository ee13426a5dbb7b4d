//! A snapshot for another thread.

use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Snapshot;
use crate::event_loop::{Posted, RemoteHandle, current};
use crate::observe::Stall;

/// Why another thread got no [`Snapshot`].
///
/// *From asyncio:* nothing.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callsoon::{EventLoop, SnapshotError};
///
/// let remote = EventLoop::new().remote();
/// // That loop has been dropped at once.
/// let error = remote.snapshot(Duration::ZERO).unwrap_err();
/// assert!(matches!(error, SnapshotError::Closed));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The loop is closed, or was closed before it came to answer.
    Closed,
    /// The loop did not come round in time: it is in the middle of something, or nobody runs it.
    Busy(BusyLoop),
}

/// What a loop is busy with, as far as that is known on another thread.
///
/// A loop tells other threads what it runs only while a [`Watchdog`](crate::observe::Watchdog) watches it:
/// [`LoopHandle::watch`](crate::LoopHandle::watch). Otherwise each callback would cost more.
///
/// *From asyncio:* nothing.
///
/// # Examples
///
/// ```
/// use std::sync::mpsc;
/// use std::time::Duration;
/// use callsoon::{EventLoop, SnapshotError};
///
/// let event_loop = EventLoop::new();
/// let (remote, handle) = (event_loop.remote(), event_loop.handle());
/// let watchdog = event_loop.watch(Duration::from_secs(1));
/// let (begins, has_begun) = mpsc::channel();
/// let (ends, may_end) = mpsc::channel::<()>();
/// let stuck = event_loop.call_soon(move || {
///     begins.send(()).unwrap();
///     let _ = may_end.recv(); // blocks the loop
///     handle.stop();
/// });
/// let monitor = std::thread::spawn(move || {
///     has_begun.recv().unwrap();
///     let seen = remote.snapshot(Duration::from_millis(1));
///     drop(ends);
///     seen
/// });
/// event_loop.run_forever();
/// let Err(SnapshotError::Busy(busy)) = monitor.join().unwrap() else { unreachable!() };
/// let stall = busy.stall().expect("somebody watches");
/// assert_eq!(stall.created_at(), Some(stuck.created_at()));
/// assert!(busy.to_string().contains(": callback created at "));
/// drop(watchdog);
/// ```
#[derive(Clone, Debug)]
pub struct BusyLoop {
    stall: Option<Stall>,
    watched: bool,
}

impl BusyLoop {
    /// Gives what runs, since when, and where that was created. `None` if nobody watches the loop, and if
    /// nothing runs: the loop is between two runs, or about to answer.
    ///
    /// How long it has been running is known as well as the watchdog looks: a quarter of its threshold.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`BusyLoop`].
    pub fn stall(&self) -> Option<&Stall> {
        self.stall.as_ref()
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("event loop is closed"),
            Self::Busy(busy) => busy.fmt(f),
        }
    }
}

impl std::error::Error for SnapshotError {}

impl fmt::Display for BusyLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("event loop did not answer in time: ")?;
        match &self.stall {
            Some(stall) => stall.fmt(f),
            None if self.watched => f.write_str("it runs nothing"),
            None => f.write_str("no watchdog tells what it runs"),
        }
    }
}

impl RemoteHandle {
    /// Asks the loop for a [`Snapshot`], and waits for it as long as `patience` lasts.
    ///
    /// On the loop's own thread it is taken at once.
    ///
    /// *From asyncio:* `python -m asyncio pstree PID` of Python 3.14, from another process.
    ///
    /// *Order:* it is taken like a callback that is posted now: in the loop's next turn.
    ///
    /// # Errors
    ///
    /// * [`SnapshotError::Closed`] if the loop is closed, now or meanwhile;
    /// * [`SnapshotError::Busy`] if it does not answer in time, with what it runs if that is known. No
    ///   other error.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Event, EventLoop};
    ///
    /// let event_loop = EventLoop::new();
    /// let remote = event_loop.remote();
    /// event_loop.task(async { Event::new().wait().await }).name("stuck").spawn();
    /// let monitor = std::thread::spawn(move || {
    ///     let seen = remote.snapshot(Duration::from_secs(60)).map(|snapshot| snapshot.to_string());
    ///     remote.stop();
    ///     seen
    /// });
    /// event_loop.run_forever();
    /// assert!(monitor.join().unwrap()?.contains("<Event pending"));
    /// # Ok::<(), callsoon::SnapshotError>(())
    /// ```
    pub fn snapshot(&self, patience: Duration) -> Result<Snapshot, SnapshotError> {
        let loop_id = self.remote.loop_id;
        if let Some(lp) = current::local(loop_id) {
            return Ok(Snapshot::take(&lp));
        }
        // Whoever asks again and again must not have a loop that was stuck answer them all.
        let asker = Arc::new(());
        let asks = Arc::downgrade(&asker);
        let (answer, answered) = sync_channel(1);
        let ask = Box::new(move || {
            let lp = current::local(loop_id).filter(|_| is_there(&asks));
            if let Some(lp) = lp {
                // Nobody waits any more if it fails.
                let _ = answer.send(Snapshot::take(&lp));
            }
        });
        self.remote
            .post(ask, |ask| Posted::Call(ask))
            .map_err(|_| SnapshotError::Closed)?;
        let received = answered.recv_timeout(patience);
        drop(asker);
        received.map_err(|why| match why {
            RecvTimeoutError::Disconnected => SnapshotError::Closed,
            RecvTimeoutError::Timeout => {
                let pulse = self.remote.pulse();
                SnapshotError::Busy(BusyLoop {
                    stall: pulse.as_ref().and_then(|pulse| pulse.now()),
                    watched: pulse.is_some(),
                })
            }
        })
    }
}

fn is_there(asks: &Weak<()>) -> bool {
    asks.strong_count() > 0
}
