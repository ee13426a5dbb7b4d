//! [`Condition`]: a lock, and waiting for what it protects to change.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::Deref;
use std::panic::Location;
use std::rc::Rc;

use super::errors::{Attempt, Reason};
use super::lock::Held;
use super::{Bond, Gate, Line, Lock, LockGuard, NotAcquiredError, Passing};
use crate::cancellation::catch_cancel;
use crate::event_loop::current;
use crate::snapshot::AwaitedKind;

/// A lock whose holders can wait until somebody says that the value has changed.
///
/// Whoever holds the lock and does not find what it needs [`wait`](Self::wait)s: that releases the lock,
/// and takes it again after a [`notify`](Self::notify). A `Condition<T>` is a [`Lock<T>`](Lock) and has
/// all of its methods.
///
/// *From asyncio:* `asyncio.Condition`. Differences:
///
/// * its lock owns what it protects;
/// * [`wait`](Self::wait) takes the guard and gives it back. A `Condition<()>` can also be used like
///   asyncio's, with `acquire`, [`wait_acquired`](Self::wait_acquired) and `release`;
/// * a clone is another handle of the same condition.
///
/// *Order:* those who wait are notified in the order in which they came, and take the lock in that
/// order. Whoever is notified goes on when the notifier has released the lock, one turn later.
///
/// # Cancellation
///
/// Whoever is cancelled after it was notified passes the notification on. See [`wait`](Self::wait).
///
/// # Examples
///
/// ```
/// use callsoon::{Condition, EventLoop, create_task, yield_now};
///
/// let event_loop = EventLoop::new();
/// event_loop.run_until_complete(async {
///     let orders = Condition::new(Vec::new());
///     let incoming = orders.clone();
///     let cook = create_task(async move {
///         let guard = incoming.lock().await;
///         let mut guard = incoming.wait_for(guard, |orders| !orders.is_empty()).await;
///         guard.pop().expect("there is one")
///     });
///     yield_now().await;
///     orders.lock().await.push("soup");
///     let guard = orders.lock().await;
///     orders.notify(1).expect("the lock is held");
///     drop(guard);
///     assert_eq!(cook.await, "soup");
/// })?;
/// # Ok::<(), callsoon::RunError>(())
/// ```
pub struct Condition<T = ()> {
    lock: Lock<T>,
    shared: Rc<Shared>,
}

struct Shared {
    bond: Bond,
    line: Line,
}

impl<T> Condition<T> {
    /// Makes a condition with a lock of its own, around a value.
    ///
    /// *From asyncio:* `asyncio.Condition()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::Condition;
    ///
    /// let stock = Condition::new(0); // no loop is needed
    /// assert!(!stock.locked());
    /// ```
    #[track_caller]
    pub fn new(value: T) -> Self {
        Self::with_lock(Lock::new(value))
    }

    /// Makes a condition on a lock that is there already, perhaps with other conditions.
    ///
    /// *From asyncio:* `asyncio.Condition(lock)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Condition, Lock};
    ///
    /// let stock = Lock::new(0);
    /// let not_empty = Condition::with_lock(stock.clone());
    /// let not_full = Condition::with_lock(stock.clone());
    /// let guard = not_empty.try_lock();
    /// assert!(guard.is_some() && not_full.locked());
    /// ```
    #[track_caller]
    pub fn with_lock(lock: Lock<T>) -> Self {
        Self {
            lock,
            shared: Rc::new(Shared {
                bond: Bond::new("condition"),
                line: Line::new(AwaitedKind::Condition),
            }),
        }
    }

    /// Releases the lock, waits for a notification, and takes the lock again.
    ///
    /// It may come back without one, so look whether the value is as it should be, and wait again if
    /// not; [`wait_for`](Self::wait_for) does that.
    ///
    /// *From asyncio:* `Condition.wait()`.
    ///
    /// *Order:* it always suspends. The task goes on one turn after the lock became free for it; one turn
    /// after the notification at the earliest.
    ///
    /// # Cancellation
    ///
    /// Cancelled, it first takes the lock again, however long that takes, and nothing can stop that;
    /// then it passes the notification on and raises the cancellation, which drops the guard.
    ///
    /// Dropped, it passes on a notification that it had; the lock is free, or somebody else's.
    ///
    /// # Panics
    ///
    /// If the guard is of another lock, and when awaited outside a running loop or in another loop than
    /// others waited in.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Condition, EventLoop, create_task, yield_now};
    ///
    /// let event_loop = EventLoop::new();
    /// event_loop.run_until_complete(async {
    ///     let door = Condition::new("closed");
    ///     let at_the_door = door.clone();
    ///     let visitor = create_task(async move {
    ///         let mut guard = at_the_door.lock().await;
    ///         while *guard != "open" {
    ///             guard = at_the_door.wait(guard).await;
    ///         }
    ///     });
    ///     yield_now().await;
    ///     let mut guard = door.lock().await;
    ///     *guard = "open";
    ///     door.notify_all().expect("the lock is held");
    ///     drop(guard);
    ///     visitor.await;
    /// })?;
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn wait(&self, guard: LockGuard<T>) -> impl Future<Output = LockGuard<T>> + use<T> {
        self.assert_mine(&guard);
        let wait = Wait::new(self, Held::Guarded);
        async move {
            current::is_not_unwinding().await;
            let hold = Hold::of(guard);
            wait.run(&hold).await;
            hold.into_guard()
        }
    }

    /// Waits until the value is as it should be: until `predicate` says so.
    ///
    /// *From asyncio:* `Condition.wait_for(predicate)`. Differences: the predicate is given the value.
    ///
    /// *Order:* without suspending if that is so already. Otherwise as for [`wait`](Self::wait), which is
    /// repeated until it is so.
    ///
    /// # Cancellation
    ///
    /// As for [`wait`](Self::wait).
    ///
    /// # Panics
    ///
    /// As for [`wait`](Self::wait).
    ///
    /// # Examples
    ///
    /// See [`Condition`].
    #[track_caller]
    pub fn wait_for<P>(
        &self,
        guard: LockGuard<T>,
        mut predicate: P,
    ) -> impl Future<Output = LockGuard<T>> + use<T, P>
    where
        P: FnMut(&mut T) -> bool,
    {
        self.assert_mine(&guard);
        let wait = Wait::new(self, Held::Guarded);
        async move {
            current::is_not_unwinding().await;
            let mut guard = guard;
            while !predicate(&mut guard) {
                let hold = Hold::of(guard);
                wait.run(&hold).await;
                guard = hold.into_guard();
            }
            guard
        }
    }

    /// Notifies the first `n` of those who wait.
    ///
    /// *From asyncio:* `Condition.notify(n)`.
    ///
    /// *Order:* they go on when the lock is released, one turn later, one after the other.
    ///
    /// # Errors
    ///
    /// * [`NotAcquiredError`] if nobody holds the lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::Condition;
    ///
    /// let condition = Condition::new(1);
    /// assert!(condition.notify(1).is_err());
    /// let guard = condition.try_lock();
    /// assert!(condition.notify(1).is_ok()); // though nobody waits
    /// # drop(guard);
    /// ```
    pub fn notify(&self, n: usize) -> Result<(), NotAcquiredError> {
        self.check_locked()?;
        self.shared.notify(n);
        Ok(())
    }

    /// Notifies all of those who wait.
    ///
    /// *From asyncio:* `Condition.notify_all()`.
    ///
    /// *Order:* as for [`notify`](Self::notify).
    ///
    /// # Errors
    ///
    /// As for [`notify`](Self::notify).
    ///
    /// # Examples
    ///
    /// See [`wait`](Self::wait).
    pub fn notify_all(&self) -> Result<(), NotAcquiredError> {
        self.check_locked()?;
        self.shared.line.wake_all();
        Ok(())
    }

    fn check_locked(&self) -> Result<(), NotAcquiredError> {
        match self.lock.locked() {
            true => Ok(()),
            false => Err(self.not_acquired(Attempt::Notify, Reason::Free)),
        }
    }

    fn not_acquired(&self, attempt: Attempt, reason: Reason) -> NotAcquiredError {
        NotAcquiredError::new(&self.shared.bond, attempt, reason)
    }

    #[track_caller]
    fn assert_mine(&self, guard: &LockGuard<T>) {
        assert!(
            self.lock.is(guard.lock()),
            "{} is waited for with a guard of the {}, which is not its own",
            self.shared.bond,
            guard.lock().bond()
        );
    }
}

impl Condition<()> {
    /// Does what [`wait`](Self::wait) does with a lock that was taken by [`acquire`](Lock::acquire).
    ///
    /// *From asyncio:* `Condition.wait()`. Differences: none.
    ///
    /// *Order:* as for [`wait`](Self::wait).
    ///
    /// # Cancellation
    ///
    /// As for [`wait`](Self::wait), but that the lock stays acquired: as in asyncio, whoever catches the
    /// cancellation releases it. Dropped, it leaves the lock to others.
    ///
    /// # Errors
    ///
    /// * [`NotAcquiredError`] if the lock is free, or if a guard holds it.
    ///
    /// # Panics
    ///
    /// When awaited outside a running loop or in another loop than others waited in.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Condition, EventLoop, create_task, yield_now};
    ///
    /// let event_loop = EventLoop::new();
    /// event_loop.run_until_complete(async {
    ///     let condition = Condition::new(());
    ///     let waiting = condition.clone();
    ///     let waiter = create_task(async move {
    ///         waiting.acquire().await;
    ///         waiting.wait_acquired().await?;
    ///         waiting.release()
    ///     });
    ///     yield_now().await;
    ///     condition.acquire().await;
    ///     condition.notify(1)?;
    ///     condition.release()?;
    ///     waiter.await
    /// })??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn wait_acquired(&self) -> impl Future<Output = Result<(), NotAcquiredError>> + use<> {
        self.wait_for_acquired({
            let mut waited = false;
            move || std::mem::replace(&mut waited, true)
        })
    }

    /// Does what [`wait_for`](Self::wait_for) does with a lock that was taken by
    /// [`acquire`](Lock::acquire).
    ///
    /// *From asyncio:* `Condition.wait_for(predicate)`. Differences: none.
    ///
    /// *Order:* as for [`wait_for`](Self::wait_for).
    ///
    /// # Cancellation
    ///
    /// As for [`wait_acquired`](Self::wait_acquired).
    ///
    /// # Errors
    ///
    /// * [`NotAcquiredError`] if it has to wait, and the lock is free or a guard holds it.
    ///
    /// # Panics
    ///
    /// As for [`wait_acquired`](Self::wait_acquired).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    /// use callsoon::{Condition, EventLoop, create_task, yield_now};
    ///
    /// let event_loop = EventLoop::new();
    /// event_loop.run_until_complete(async {
    ///     let (count, condition) = (Rc::new(Cell::new(0)), Condition::new(()));
    ///     let (seen, waiting) = (count.clone(), condition.clone());
    ///     let waiter = create_task(async move {
    ///         waiting.acquire().await;
    ///         waiting.wait_for_acquired(|| seen.get() >= 2).await?;
    ///         waiting.release()
    ///     });
    ///     while !waiter.done() {
    ///         yield_now().await;
    ///         condition.acquire().await;
    ///         count.set(count.get() + 1);
    ///         condition.notify_all()?;
    ///         condition.release()?;
    ///         yield_now().await;
    ///     }
    ///     waiter.await
    /// })??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn wait_for_acquired<P>(
        &self,
        mut predicate: P,
    ) -> impl Future<Output = Result<(), NotAcquiredError>> + use<P>
    where
        P: FnMut() -> bool,
    {
        let wait = Wait::new(self, Held::Acquired);
        async move {
            current::is_not_unwinding().await;
            while !predicate() {
                let refused = |reason| Err(wait.condition.not_acquired(Attempt::Wait, reason));
                match wait.condition.lock.held() {
                    Held::Free => return refused(Reason::Free),
                    Held::Guarded => return refused(Reason::Guarded),
                    Held::Acquired => wait.run(&Hold::bare(&wait.condition.lock)).await,
                }
            }
            Ok(())
        }
    }
}

impl<T> Clone for Condition<T> {
    fn clone(&self) -> Self {
        Self {
            lock: self.lock.clone(),
            shared: self.shared.clone(),
        }
    }
}

impl<T: Default> Default for Condition<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Deref for Condition<T> {
    type Target = Lock<T>;

    fn deref(&self) -> &Lock<T> {
        &self.lock
    }
}

impl<T> fmt::Debug for Condition<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<Condition [")?;
        self.lock.fmt_state(self.shared.line.len(), f)?;
        write!(f, "] created at {}>", self.shared.bond.site())
    }
}

impl Shared {
    fn notify(&self, n: usize) {
        for _ in 0..n {
            if !self.line.wake_next() {
                break;
            }
        }
    }
}

/// Those who wait for a notification.
struct Notified(Rc<Shared>);

impl Gate for Notified {
    fn bond(&self) -> &Bond {
        &self.0.bond
    }

    fn line(&self) -> &Line {
        &self.0.line
    }

    fn enter(&self) -> bool {
        false
    }

    fn woken(&self) -> bool {
        true
    }

    fn gave_up(&self, woken: bool) {
        if woken {
            self.0.notify(1);
        }
    }
}

/// Passes a notification on when it is dropped.
struct PassOn<'a>(&'a Shared);

impl Drop for PassOn<'_> {
    fn drop(&mut self) {
        self.0.notify(1);
    }
}

/// One who holds a lock, and gives it up while it waits.
struct Hold<T> {
    lock: Lock<T>,
    is_held: Cell<bool>,
    /// Whether to free the lock when this is dropped and it is held.
    frees: Cell<bool>,
}

impl<T> Hold<T> {
    /// What a guard holds.
    fn of(guard: LockGuard<T>) -> Self {
        Self::new(guard.into_lock(), true)
    }

    /// What was acquired, and will be released by somebody else.
    fn bare(lock: &Lock<T>) -> Self {
        Self::new(lock.clone(), false)
    }

    fn new(lock: Lock<T>, frees: bool) -> Self {
        Self {
            lock,
            is_held: Cell::new(true),
            frees: Cell::new(frees),
        }
    }

    fn into_guard(self) -> LockGuard<T> {
        self.frees.set(false);
        self.lock.guard()
    }
}

impl<T> Drop for Hold<T> {
    fn drop(&mut self) {
        if self.frees.get() && self.is_held.get() {
            self.lock.set_free();
        }
    }
}

/// Waiting for a condition, any number of times.
struct Wait<T> {
    condition: Condition<T>,
    /// How the lock is to be held afterwards.
    holder: Held,
    /// Where the wait was asked for.
    site: &'static Location<'static>,
}

impl<T> Wait<T> {
    #[track_caller]
    fn new(condition: &Condition<T>, holder: Held) -> Self {
        Self {
            condition: condition.clone(),
            holder,
            site: Location::caller(),
        }
    }

    /// Gives the lock up, waits for a notification, and takes the lock again.
    ///
    /// A cancellation is raised after that, and the lock is held then.
    async fn run(&self, hold: &Hold<T>) {
        let Condition { lock, shared } = &self.condition;
        let mut notified = Passing::at(Notified(shared.clone()), self.site);
        // First, for freeing the lock may call wakers of other crates, which may notify.
        notified.join();
        hold.is_held.set(false);
        lock.set_free();
        let mut cancelled = catch_cancel(poll_fn(|cx| notified.poll(cx).map(drop)))
            .await
            .err();
        notified.leave();
        // From here on somebody is owed a notification, if this does not end well.
        let owed = PassOn(shared);
        while !lock.take(self.holder)
            && let Err(again) = catch_cancel(lock.acquire_for(self.holder, self.site)).await
        {
            cancelled = Some(again);
        }
        hold.is_held.set(true);
        match cancelled {
            None => std::mem::forget(owed),
            Some(why) => {
                drop(owed);
                why.reraise().await
            }
        }
    }
}
