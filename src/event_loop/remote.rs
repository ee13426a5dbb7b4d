//! [`RemoteHandle`]: a loop as other threads see it.

use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use log::Level;

use super::current;
use super::mailbox::Mailbox;
use super::state::LoopState;
use crate::errors::LoopClosedError;
use crate::observe::Pulse;
use crate::reports::report;
use crate::sync::{AtomicUsize, Mutex, Ordering};
use crate::tasks::TaskWaker;

/// The part of a loop that threads share.
pub(crate) struct Remote {
    /// Which loop it is; equal to `LoopState::id`.
    pub(crate) loop_id: u64,
    site: &'static Location<'static>,
    pub(super) mailbox: Mailbox<Posted>,
    /// Called, with no lock held, when the loop's host may have to run a turn earlier.
    hook: Mutex<Option<WakeupHook>>,
    /// How many `ExpectedWork` guards are alive.
    expected: AtomicUsize,
    /// What watchdogs look at, while one is there.
    pulse: Mutex<Option<Arc<Pulse>>>,
}

pub(super) type WakeupHook = Arc<dyn Fn() + Send + Sync>;

/// What a thread posts.
pub(crate) enum Posted {
    Call(Box<dyn Errand>),
    Wake(Arc<TaskWaker>),
    Stop,
}

/// What a thread has done on the loop's: a callback, as a rule.
///
/// A type of its own can be taken apart again when the loop refuses it, which a closure cannot.
pub(crate) trait Errand: Send {
    /// Does it, on the loop's thread, as a callback.
    fn run(self: Box<Self>, lp: &Rc<LoopState>);
}

impl<F: FnOnce() + Send> Errand for F {
    fn run(self: Box<Self>, _lp: &Rc<LoopState>) {
        self();
    }
}

impl Remote {
    pub(super) fn new(loop_id: u64, site: &'static Location<'static>) -> Self {
        Self {
            loop_id,
            site,
            mailbox: Mailbox::new(),
            hook: Mutex::new(None),
            expected: AtomicUsize::new(0),
            pulse: Mutex::new(None),
        }
    }

    /// Posts `wrap(raw)`, or gives `raw` back when the loop is closed.
    pub(crate) fn post<R>(&self, raw: R, wrap: impl FnOnce(R) -> Posted) -> Result<(), R> {
        if self.mailbox.post(raw, wrap)? {
            self.call_hook();
        }
        Ok(())
    }

    pub(super) fn set_hook(&self, hook: Option<WakeupHook>) {
        let old = std::mem::replace(&mut *self.hook.lock(), hook);
        drop(old);
    }

    /// Tells the host, if it wants to know.
    pub(super) fn call_hook(&self) {
        let hook = self.hook.lock().clone();
        if let Some(hook) = hook
            && catch_unwind(AssertUnwindSafe(|| hook())).is_err()
        {
            // Whoever schedules cannot help it, and what is scheduled must not suffer.
            report(Level::Error, format_args!("panic in a wake-up hook"));
        }
    }

    /// The first watchdog is there, and the loop shows what runs; or the last one is gone.
    pub(super) fn show(&self, pulse: Option<Arc<Pulse>>) {
        *self.pulse.lock() = pulse;
    }

    /// What runs now, if a watchdog makes the loop show that.
    pub(crate) fn pulse(&self) -> Option<Arc<Pulse>> {
        self.pulse.lock().clone()
    }

    pub(super) fn expects_work(&self) -> bool {
        self.expected.load(Ordering::Acquire) > 0
    }

    fn expect_less(&self) {
        if self.expected.fetch_sub(1, Ordering::AcqRel) == 1 {
            // The loop may sleep on that account alone.
            self.mailbox.nudge();
        }
    }
}

/// A loop as seen from any thread: `Send`, `Sync` and cheap to clone.
///
/// It outlives the loop without harm: posting to a closed loop is an error that gives back what was
/// posted.
///
/// *From asyncio:* the methods of a loop that are thread-safe, `call_soon_threadsafe` above all.
/// Differences: the others cannot be reached from another thread; that does not compile.
///
/// # Examples
///
/// ```
/// use callsoon::EventLoop;
///
/// let event_loop = EventLoop::new();
/// let remote = event_loop.remote();
/// let worker = std::thread::spawn(move || {
///     let stop = remote.clone();
///     remote.call_soon_threadsafe(move || stop.stop())
/// });
/// event_loop.run_forever();
/// assert!(worker.join().unwrap().is_ok());
/// ```
#[derive(Clone)]
pub struct RemoteHandle {
    pub(crate) remote: Arc<Remote>,
}

impl RemoteHandle {
    /// Schedules `callback` on the loop, from any thread, and wakes the loop if it sleeps.
    ///
    /// Never waits for the loop, whatever the backlog.
    ///
    /// *From asyncio:* `loop.call_soon_threadsafe`. Differences: it gives no handle to cancel with.
    ///
    /// *Order:* callbacks of one thread run in the order in which it posted them. They join the
    /// ready queue at the start of the next turn, in front of the timers that are due then. From a
    /// callback or coroutine of the loop itself it is `call_soon`, and joins the queue at once.
    ///
    /// # Errors
    ///
    /// * [`LoopClosedError`] if the loop is closed; the callback comes back in it. No other error.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::EventLoop;
    ///
    /// let event_loop = EventLoop::new();
    /// let remote = event_loop.remote();
    /// drop(event_loop);
    /// let (send, receive) = std::sync::mpsc::channel();
    /// let refused = remote.call_soon_threadsafe(move || send.send(1).unwrap()).unwrap_err();
    /// let callback = refused.into_inner();
    /// callback();
    /// assert_eq!(receive.recv(), Ok(1));
    /// ```
    pub fn call_soon_threadsafe<F>(&self, callback: F) -> Result<(), LoopClosedError<F>>
    where
        F: FnOnce() + Send + 'static,
    {
        self.send(callback).map_err(LoopClosedError)
    }

    /// [`call_soon_threadsafe`](Self::call_soon_threadsafe) for any errand, which comes back when the loop is
    /// closed.
    pub(crate) fn send<E: Errand + 'static>(&self, errand: E) -> Result<(), E> {
        // Boxed before the lock is taken; unboxed again if the loop turns out to be closed.
        let errand = Box::new(errand);
        if let Some(lp) = current::local(self.remote.loop_id) {
            lp.queue_mail(Posted::Call(errand));
            return Ok(());
        }
        self.remote
            .post(errand, |boxed| Posted::Call(boxed))
            .map_err(|boxed| *boxed)
    }

    /// Asks the loop to stop, like a callback that calls [`LoopHandle::stop`](crate::LoopHandle::stop).
    ///
    /// Does nothing when the loop is closed.
    ///
    /// *From asyncio:* `loop.call_soon_threadsafe(loop.stop)`.
    ///
    /// *Order:* that of [`call_soon_threadsafe`](Self::call_soon_threadsafe).
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, RunEnd};
    ///
    /// let event_loop = EventLoop::new();
    /// let remote = event_loop.remote();
    /// let signal_thread = std::thread::spawn(move || remote.stop());
    /// assert!(matches!(event_loop.run_forever(), RunEnd::Stopped));
    /// assert!(signal_thread.join().is_ok());
    /// ```
    pub fn stop(&self) {
        match current::local(self.remote.loop_id) {
            Some(lp) => lp.queue_mail(Posted::Stop),
            // A closed loop stands still already.
            None => drop(self.remote.post((), |()| Posted::Stop)),
        }
    }

    /// Says whether the loop is closed. Its own thread may close it right after.
    ///
    /// *From asyncio:* `loop.is_closed()`.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let remote = event_loop.remote();
    /// assert!(!remote.is_closed());
    /// drop(event_loop);
    /// assert!(remote.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.remote.mailbox.is_closed()
    }

    /// Announces that this thread will post something: until the guard is dropped, a loop on a
    /// virtual clock neither jumps to its next deadline nor reports a deadlock; it waits.
    ///
    /// A loop on the monotonic clock waits anyway, and takes no notice.
    ///
    /// A function of [`run_in_executor`](crate::LoopHandle::run_in_executor) announces itself, and so does what
    /// [`wrap_future`](crate::LoopHandle::wrap_future) waits for. A thread that holds a guard must not block on what
    /// takes virtual time: none passes.
    ///
    /// *From asyncio:* nothing; there is no virtual clock.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Clock, EventLoop, RunEnd};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// let remote = event_loop.remote();
    /// let expected = remote.expect_work();
    /// std::thread::spawn(move || {
    ///     remote.stop();
    ///     drop(expected);
    /// });
    /// // Without the guard the loop might find itself idle before the thread has posted.
    /// assert!(matches!(event_loop.run_forever(), RunEnd::Stopped));
    /// ```
    pub fn expect_work(&self) -> ExpectedWork {
        self.expect_more();
        ExpectedWork {
            remote: self.remote.clone(),
        }
    }

    pub(crate) fn loop_id(&self) -> u64 {
        self.remote.loop_id
    }

    /// Where the loop was made.
    pub(crate) fn loop_site(&self) -> &'static Location<'static> {
        self.remote.site
    }

    /// [`expect_work`](Self::expect_work) without a guard.
    pub(crate) fn expect_more(&self) {
        self.remote.expected.fetch_add(1, Ordering::AcqRel);
    }

    #[cfg(all(test, loom))]
    pub(crate) fn expects_work(&self) -> bool {
        self.remote.expects_work()
    }

    /// What the drop of a guard does.
    pub(crate) fn expect_less(&self) {
        self.remote.expect_less();
    }
}

impl fmt::Debug for RemoteHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<RemoteHandle of the loop created at {}>",
            self.remote.site
        )
    }
}

/// A promise that something will be posted; see [`RemoteHandle::expect_work`].
///
/// Its clones are promises of their own: the loop waits until the last one is dropped.
///
/// *From asyncio:* nothing; there is no virtual clock.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use callsoon::{Clock, EventLoop, RunEnd};
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let sum = Arc::new(AtomicU32::new(0));
/// let expected = event_loop.remote().expect_work();
/// for n in 1..=3 {
///     let (remote, expected, sum) = (event_loop.remote(), expected.clone(), sum.clone());
///     std::thread::spawn(move || {
///         let add = move || _ = sum.fetch_add(n, Ordering::Relaxed);
///         remote.call_soon_threadsafe(add).expect("the loop waits");
///         drop(expected);
///     });
/// }
/// drop(expected);
/// assert!(matches!(event_loop.run_forever(), RunEnd::Idle(_)));
/// assert_eq!(sum.load(Ordering::Relaxed), 6);
/// ```
#[must_use = "the promise ends when this guard is dropped"]
pub struct ExpectedWork {
    remote: Arc<Remote>,
}

impl Clone for ExpectedWork {
    fn clone(&self) -> Self {
        RemoteHandle {
            remote: self.remote.clone(),
        }
        .expect_work()
    }
}

impl Drop for ExpectedWork {
    fn drop(&mut self) {
        self.remote.expect_less();
    }
}

impl fmt::Debug for ExpectedWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpectedWork").finish_non_exhaustive()
    }
}
