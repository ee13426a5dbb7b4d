//! [`Lock`]: one at a time.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_core::FusedFuture;

use super::errors::{Attempt, Reason};
use super::{Bond, Gate, Line, NotAcquiredError, Passing};
use crate::snapshot::AwaitedKind;

/// Lets one task at a time get at a value.
///
/// [`lock`](Self::lock) gives a guard, through which one gets at the value, also across awaits; who
/// drops the guard lets the next one in. A `Lock<()>` guards nothing but a piece of code, and can also
/// be used like asyncio's, with [`acquire`](Self::acquire) and [`release`](Self::release).
///
/// Within one turn nothing needs a lock: nothing else runs between two awaits.
///
/// *From asyncio:* `asyncio.Lock`. Differences:
///
/// * it owns what it protects;
/// * `async with lock:` is a guard, which cannot be released twice, or by anybody else;
/// * a clone is another handle of the same lock.
///
/// *Order:* first come, first served. A lock that is released while others wait is free until the first
/// of them takes it, one turn later; nobody else can take it meanwhile.
///
/// # Cancellation
///
/// Whoever is cancelled or dropped while it waits leaves the line, and if its turn had come, the next
/// one's has.
///
/// # Examples
///
/// ```
/// use callsoon::{Lock, gather, run, yield_now};
///
/// async fn transfer(accounts: Lock<[i32; 2]>, amount: i32) {
///     let mut accounts = accounts.lock().await;
///     accounts[0] -= amount;
///     yield_now().await; // nobody sees the accounts like this
///     accounts[1] += amount;
/// }
///
/// let accounts = Lock::new([100, 100]);
/// run(async {
///     gather((transfer(accounts.clone(), 10), transfer(accounts.clone(), 20))).await;
///     assert_eq!(*accounts.lock().await, [70, 130]);
/// });
/// ```
///
/// By a guard, and without one, for a piece of code:
///
/// ```
/// use callsoon::{Lock, run};
///
/// run(async {
///     let lock = Lock::new(());
///
///     // async with lock:
///     {
///         let _guard = lock.lock().await;
///         assert!(lock.locked());
///     }
///
///     // await lock.acquire(), and lock.release() in the end
///     lock.acquire().await;
///     assert!(lock.locked());
///     lock.release()
/// })?;
/// # Ok::<(), callsoon::NotAcquiredError>(())
/// ```
pub struct Lock<T = ()> {
    shared: Rc<Shared<T>>,
}

struct Shared<T> {
    bond: Bond,
    held: Cell<Held>,
    line: Line,
    /// `None` while a guard has it.
    value: Cell<Option<Box<T>>>,
}

/// Whether a lock is held, and who gives it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Free,
    /// By whoever calls `release`.
    Acquired,
    /// By a guard, that gives it back when it is dropped.
    Guarded,
}

impl<T> Lock<T> {
    /// Makes a free lock around a value.
    ///
    /// *From asyncio:* `asyncio.Lock()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Lock, run};
    ///
    /// let stock = Lock::new(7); // no loop is needed
    /// run(async { *stock.lock().await -= 1 });
    /// assert_eq!(stock.try_lock().as_deref(), Some(&6));
    /// ```
    #[track_caller]
    pub fn new(value: T) -> Self {
        Self {
            shared: Rc::new(Shared {
                bond: Bond::new("lock"),
                held: Cell::new(Held::Free),
                line: Line::new(AwaitedKind::Lock),
                value: Cell::new(Some(Box::new(value))),
            }),
        }
    }

    /// Waits until the lock is free, and takes it until the guard is dropped.
    ///
    /// *From asyncio:* `async with lock:`.
    ///
    /// *Order:* a lock that is free, with nobody waiting, is taken without suspending. Otherwise the
    /// task goes on one turn after the lock was released for it.
    ///
    /// # Cancellation
    ///
    /// Whoever is cancelled or dropped here does not get the lock, and if its turn had come, the next one's
    /// has.
    ///
    /// # Panics
    ///
    /// When it has to wait, outside a running loop or in another loop than others waited in.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, Lock, create_task, yield_now};
    ///
    /// let event_loop = EventLoop::new();
    /// event_loop.run_until_complete(async {
    ///     let lock = Lock::new(String::from("first"));
    ///     let guard = lock.lock().await;
    ///     let contender = lock.clone();
    ///     let second = create_task(async move { contender.lock().await.push_str(", second") });
    ///     yield_now().await;
    ///     assert_eq!(*guard, "first"); // it waits
    ///     drop(guard);
    ///     second.await;
    ///     assert_eq!(*lock.lock().await, "first, second");
    /// })?;
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn lock(&self) -> Locking<T> {
        Locking {
            passing: Passing::new(LockGate {
                lock: self.clone(),
                holder: Held::Guarded,
            }),
        }
    }

    /// Takes the lock if it is free and nobody waits for it.
    ///
    /// *From asyncio:* nothing; there one looks at `locked()`, and overtakes nobody either.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::Lock;
    ///
    /// let lock = Lock::new(1);
    /// let guard = lock.try_lock().expect("it is free");
    /// assert!(lock.try_lock().is_none());
    /// drop(guard);
    /// assert!(lock.try_lock().is_some());
    /// ```
    pub fn try_lock(&self) -> Option<LockGuard<T>> {
        self.take(Held::Guarded).then(|| self.guard())
    }

    /// Says whether somebody holds the lock.
    ///
    /// One that was released for somebody who waits is free until that task runs, one turn later.
    ///
    /// *From asyncio:* `Lock.locked()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::Lock;
    ///
    /// let lock = Lock::new(());
    /// let guard = lock.try_lock();
    /// assert!(lock.locked());
    /// drop(guard);
    /// assert!(!lock.locked());
    /// ```
    pub fn locked(&self) -> bool {
        self.held() != Held::Free
    }

    pub(super) fn held(&self) -> Held {
        self.shared.held.get()
    }

    /// Whether it is the same lock.
    pub(super) fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.shared, &other.shared)
    }

    pub(super) fn bond(&self) -> &Bond {
        &self.shared.bond
    }

    /// Waits for the lock, to be given back by `holder`, on behalf of something asked for at `site`.
    pub(super) fn acquire_for(&self, holder: Held, site: &'static Location<'static>) -> Acquire<T> {
        let lock = self.clone();
        let passing = Passing::at(LockGate { lock, holder }, site);
        Acquire { passing }
    }

    /// Takes the lock if it is free, without overtaking.
    #[inline]
    pub(super) fn take(&self, holder: Held) -> bool {
        let free = !self.locked() && !self.shared.line.has_live();
        if free {
            self.shared.held.set(holder);
        }
        free
    }

    /// Frees the lock, and lets the next one know.
    pub(super) fn set_free(&self) {
        self.shared.held.set(Held::Free);
        self.shared.line.wake_front();
    }

    /// A guard for a lock that was taken for one.
    pub(super) fn guard(&self) -> LockGuard<T> {
        let value = self.shared.value.take();
        debug_assert!(value.is_some(), "only guards have it");
        let lock = self.clone();
        LockGuard { lock, value }
    }
}

impl Lock<()> {
    /// Waits until the lock is free, and takes it until [`release`](Self::release) is called.
    ///
    /// A [`lock`](Self::lock) releases by itself, also when the task is cancelled, or forgets to.
    ///
    /// *From asyncio:* `Lock.acquire()`. Differences: none. As there the lock has no owner: any task may
    /// release it, and who acquires it twice waits for ever.
    ///
    /// *Order:* as for [`lock`](Self::lock).
    ///
    /// # Cancellation
    ///
    /// As for [`lock`](Self::lock).
    ///
    /// # Panics
    ///
    /// As for [`lock`](Self::lock).
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, Lock, call_soon};
    ///
    /// let event_loop = EventLoop::new();
    /// event_loop.run_until_complete(async {
    ///     let lock = Lock::new(());
    ///     lock.acquire().await;
    ///     let released_elsewhere = lock.clone();
    ///     call_soon(move || released_elsewhere.release().expect("it is acquired"));
    ///     lock.acquire().await;
    /// })?;
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn acquire(&self) -> Acquire {
        self.acquire_for(Held::Acquired, Location::caller())
    }

    /// Frees a lock that was taken by [`acquire`](Self::acquire), by whomever.
    ///
    /// *From asyncio:* `Lock.release()`. Differences: a lock that a guard holds is refused.
    ///
    /// *Order:* the first one that waits goes on in the next turn. Until then the lock is free, but
    /// nobody else can take it.
    ///
    /// # Errors
    ///
    /// * [`NotAcquiredError`] if the lock is free, or if a guard holds it.
    ///
    /// # Examples
    ///
    /// See [`acquire`](Self::acquire).
    pub fn release(&self) -> Result<(), NotAcquiredError> {
        let refused = |reason| Err(NotAcquiredError::new(self.bond(), Attempt::Release, reason));
        match self.held() {
            Held::Free => refused(Reason::Free),
            Held::Guarded => refused(Reason::Guarded),
            Held::Acquired => {
                self.set_free();
                Ok(())
            }
        }
    }
}

impl<T> Clone for Lock<T> {
    fn clone(&self) -> Self {
        let shared = self.shared.clone();
        Self { shared }
    }
}

impl<T: Default> Default for Lock<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Lock [")?;
        self.fmt_state(self.shared.line.len(), f)?;
        write!(f, "] created at {}>", self.bond().site())
    }
}

impl<T> Lock<T> {
    /// What a lock and its conditions print alike.
    pub(super) fn fmt_state(&self, waiters: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.locked() { "locked" } else { "unlocked" })?;
        match waiters {
            0 => Ok(()),
            _ => write!(f, ", waiters:{waiters}"),
        }
    }
}

/// A lock, in front of which one waits to hold it in a certain way.
struct LockGate<T> {
    lock: Lock<T>,
    holder: Held,
}

impl<T> Gate for LockGate<T> {
    fn bond(&self) -> &Bond {
        self.lock.bond()
    }

    fn line(&self) -> &Line {
        &self.lock.shared.line
    }

    #[inline]
    fn enter(&self) -> bool {
        self.lock.take(self.holder)
    }

    fn woken(&self) -> bool {
        self.lock.shared.held.set(self.holder);
        true
    }

    fn gave_up(&self, _woken: bool) {
        // Whether or not it was its turn: the one behind it may be in front now.
        if !self.lock.locked() {
            self.lock.shared.line.wake_front();
        }
    }
}

/// The future of [`Lock::lock`], for naming its type.
///
/// *From asyncio:* nothing.
///
/// # Cancellation
///
/// As for [`Lock::lock`].
///
/// # Panics
///
/// As for [`Lock::lock`], and when awaited again after it was over.
///
/// # Examples
///
/// ```
/// use callsoon::{Lock, locks::Locking, run};
///
/// struct Counter(Lock<u32>);
///
/// impl Counter {
///     fn lock(&self) -> Locking<u32> {
///         self.0.lock()
///     }
/// }
///
/// let counter = Counter(Lock::new(7));
/// assert_eq!(run(async { *counter.lock().await }), 7);
/// ```
#[must_use = "a lock is not taken unless this is awaited"]
pub struct Locking<T> {
    passing: Passing<LockGate<T>>,
}

impl<T> Future for Locking<T> {
    type Output = LockGuard<T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<LockGuard<T>> {
        let LockGate { lock, .. } = ready!(self.passing.poll(cx));
        let value = lock.shared.value.take();
        Poll::Ready(LockGuard { lock, value })
    }
}

impl<T> FusedFuture for Locking<T> {
    fn is_terminated(&self) -> bool {
        self.passing.is_over()
    }
}

impl<T> fmt::Debug for Locking<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Locking {}>", self.passing.state())
    }
}

/// The future of [`Lock::acquire`], for naming its type.
///
/// *From asyncio:* nothing.
///
/// # Cancellation
///
/// As for [`Lock::acquire`].
///
/// # Panics
///
/// As for [`Lock::acquire`], and when awaited again after it was over.
///
/// # Examples
///
/// ```
/// use callsoon::{Lock, locks::Acquire, run};
///
/// fn critical_section(lock: &Lock) -> Acquire {
///     lock.acquire()
/// }
///
/// let lock = Lock::new(());
/// run(async { critical_section(&lock).await });
/// assert!(lock.locked());
/// ```
#[must_use = "a lock is not acquired unless this is awaited"]
pub struct Acquire<T = ()> {
    passing: Passing<LockGate<T>>,
}

impl<T> Future for Acquire<T> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.passing.poll(cx).map(drop)
    }
}

impl<T> FusedFuture for Acquire<T> {
    fn is_terminated(&self) -> bool {
        self.passing.is_over()
    }
}

impl<T> fmt::Debug for Acquire<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Acquire {}>", self.passing.state())
    }
}

/// Holds a [`Lock`], and gives access to its value, until it is dropped.
///
/// It borrows nothing, so it can be kept, returned, and moved into other tasks of the loop. A panic drops it
/// like anything else: the lock is free then, and the value as the panic left it.
///
/// *From asyncio:* the inside of `async with lock:`.
///
/// *Order:* dropping it wakes the first one that waits, which goes on in the next turn.
///
/// # Examples
///
/// ```
/// use callsoon::{Lock, LockGuard};
///
/// fn checkout(cart: &Lock<Vec<&'static str>>) -> Option<LockGuard<Vec<&'static str>>> {
///     cart.try_lock().filter(|cart| !cart.is_empty())
/// }
///
/// let cart = Lock::new(vec!["apple"]);
/// let mut items = checkout(&cart).expect("there is something in it");
/// items.clear();
/// drop(items);
/// assert!(checkout(&cart).is_none());
/// ```
#[must_use = "a lock is free again when its guard is dropped"]
pub struct LockGuard<T = ()> {
    lock: Lock<T>,
    /// `None` while it is being dropped, or turned into something else.
    value: Option<Box<T>>,
}

impl<T> LockGuard<T> {
    /// The lock that it holds.
    pub(super) fn lock(&self) -> &Lock<T> {
        &self.lock
    }

    /// Gives the value back; the lock stays as it is, and is somebody else's to free.
    pub(super) fn into_lock(mut self) -> Lock<T> {
        self.lock.shared.value.set(self.value.take());
        self.lock.clone()
    }
}

impl<T> Deref for LockGuard<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value.as_deref().expect("a guard has the value")
    }
}

impl<T> DerefMut for LockGuard<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_deref_mut().expect("a guard has the value")
    }
}

impl<T> Drop for LockGuard<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            self.lock.shared.value.set(Some(value));
            self.lock.set_free();
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for LockGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for LockGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
