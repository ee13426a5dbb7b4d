//! A snapshot for another thread.

use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Snapshot;
use crate::event_loop::{Posted, RemoteHandle, current};

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
/// *From asyncio:* nothing.
///
/// # Examples
///
/// See [`RemoteHandle::snapshot`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BusyLoop {}

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
        f.write_str("event loop did not answer in time")
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
    /// * [`SnapshotError::Busy`] if it does not answer in time. No other error.
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
            RecvTimeoutError::Timeout => SnapshotError::Busy(BusyLoop {}),
        })
    }
}

fn is_there(asks: &Weak<()>) -> bool {
    asks.strong_count() > 0
}
