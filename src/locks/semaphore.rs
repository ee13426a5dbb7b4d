//! [`Semaphore`]: so many at a time.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_core::FusedFuture;

use super::{Bond, Gate, Line, OverReleaseError, Passing};
use crate::snapshot::AwaitedKind;

/// Lets a number of tasks at a time do something.
///
/// It has a number of permits. [`permit`](Self::permit) takes one, and waits if there is none; who drops
/// it gives it back. It can also be used like asyncio's, with [`acquire`](Self::acquire) and
/// [`release`](Self::release), and then release more than was acquired.
///
/// *From asyncio:* `asyncio.Semaphore`. Differences:
///
/// * `async with semaphore:` is a [`Permit`];
/// * the number of permits has no default;
/// * a clone is another handle of the same semaphore.
///
/// *Order:* first come, first served. A permit that is given back while others wait is the first one's
/// at once; that goes on one turn later.
///
/// # Cancellation
///
/// Whoever is cancelled or dropped while it waits leaves the line; a permit that it had been given is
/// the next one's.
///
/// # Examples
///
/// Two downloads at a time:
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop, Semaphore, gather, sleep};
///
/// async fn download(semaphore: Semaphore) {
///     let _permit = semaphore.permit().await;
///     sleep(Duration::from_secs(1)).await;
/// }
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let semaphore = Semaphore::new(2);
/// event_loop.run_until_complete(async move {
///     let downloads = (0..10).map(|_| download(semaphore.clone()));
///     gather(downloads.collect::<Vec<_>>()).await;
/// })?;
/// assert_eq!(event_loop.time(), Duration::from_secs(5));
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[derive(Clone)]
pub struct Semaphore {
    shared: Rc<Shared>,
}

struct Shared {
    bond: Bond,
    /// How many permits are left. One that was given to somebody who waits is not.
    value: Cell<usize>,
    /// As many permits as there may be left.
    bound: usize,
    line: Line,
}

impl Semaphore {
    /// Makes a semaphore with so many permits.
    ///
    /// *From asyncio:* `asyncio.Semaphore(value)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::Semaphore;
    ///
    /// assert!(!Semaphore::new(1).locked()); // no loop is needed
    /// assert!(Semaphore::new(0).locked());
    /// ```
    #[track_caller]
    pub fn new(value: usize) -> Self {
        Self::make(Bond::new("semaphore"), value, usize::MAX)
    }

    /// A semaphore that has never more than `bound` permits left.
    pub(super) fn make(bond: Bond, value: usize, bound: usize) -> Self {
        Self {
            shared: Rc::new(Shared {
                bond,
                value: Cell::new(value),
                bound,
                line: Line::new(AwaitedKind::Semaphore),
            }),
        }
    }

    /// Waits for a permit, and takes it until it is dropped.
    ///
    /// *From asyncio:* `async with semaphore:`.
    ///
    /// *Order:* without suspending if a permit is left and nobody waits. Otherwise the task goes on one
    /// turn after it was given one.
    ///
    /// # Cancellation
    ///
    /// Whoever is cancelled or dropped here takes no permit; one that it had been given is the next one's.
    ///
    /// # Panics
    ///
    /// When it has to wait, outside a running loop or in another loop than others waited in.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Semaphore, run};
    ///
    /// let semaphore = Semaphore::new(1);
    /// run(async {
    ///     let permit = semaphore.permit().await;
    ///     assert!(semaphore.locked());
    ///     drop(permit);
    ///     assert!(!semaphore.locked());
    /// });
    /// ```
    #[track_caller]
    pub fn permit(&self) -> Permitting {
        let gate = SemaphoreGate(self.clone());
        Permitting {
            passing: Passing::new(gate),
        }
    }

    /// Takes a permit if one is left and nobody waits for it.
    ///
    /// *From asyncio:* nothing; there one looks at `locked()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::Semaphore;
    ///
    /// let semaphore = Semaphore::new(1);
    /// let permit = semaphore.try_permit();
    /// assert!(permit.is_some());
    /// assert!(semaphore.try_permit().is_none());
    /// ```
    pub fn try_permit(&self) -> Option<Permit> {
        self.take().then(|| Permit {
            semaphore: self.clone(),
        })
    }

    /// Waits for a permit, and takes it until somebody calls [`release`](Self::release).
    ///
    /// *From asyncio:* `Semaphore.acquire()`. Differences: none.
    ///
    /// *Order:* as for [`permit`](Self::permit).
    ///
    /// # Cancellation
    ///
    /// As for [`permit`](Self::permit).
    ///
    /// # Panics
    ///
    /// As for [`permit`](Self::permit).
    ///
    /// # Examples
    ///
    /// A semaphore that counts what has happened:
    ///
    /// ```
    /// use callsoon::{EventLoop, Semaphore, create_task};
    ///
    /// let event_loop = EventLoop::new();
    /// event_loop.run_until_complete(async {
    ///     let arrived = Semaphore::new(0);
    ///     for _ in 0..3 {
    ///         let arrived = arrived.clone();
    ///         create_task(async move { arrived.release() });
    ///     }
    ///     for _ in 0..3 {
    ///         arrived.acquire().await;
    ///     }
    /// })?;
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn acquire(&self) -> AcquirePermit {
        let gate = SemaphoreGate(self.clone());
        AcquirePermit {
            passing: Passing::new(gate),
        }
    }

    /// Gives a permit back, or adds one.
    ///
    /// *From asyncio:* `Semaphore.release()`.
    ///
    /// *Order:* if somebody waits, the permit is the first one's at once, and that goes on in the next
    /// turn. [`locked`](Self::locked) stays true.
    ///
    /// # Examples
    ///
    /// See [`acquire`](Self::acquire).
    pub fn release(&self) {
        // Only the bounded one refuses.
        let _ = self.give_back();
    }

    /// Says whether one would have to wait: if no permit is left, or others wait.
    ///
    /// *From asyncio:* `Semaphore.locked()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::Semaphore;
    ///
    /// let semaphore = Semaphore::new(2);
    /// let permits = [semaphore.try_permit(), semaphore.try_permit()];
    /// assert!(semaphore.locked());
    /// drop(permits);
    /// assert!(!semaphore.locked());
    /// ```
    pub fn locked(&self) -> bool {
        self.shared.value.get() == 0 || self.shared.line.has_live()
    }

    /// Takes a permit if that is possible, without overtaking.
    fn take(&self) -> bool {
        let free = !self.locked();
        if free {
            self.shared.value.set(self.shared.value.get() - 1);
        }
        free
    }

    /// Gives a permit back, unless all are there.
    pub(super) fn give_back(&self) -> Result<(), OverReleaseError> {
        let Shared {
            bond, value, bound, ..
        } = &*self.shared;
        if value.get() >= *bound {
            return Err(OverReleaseError::new(bond, *bound));
        }
        value.set(value.get() + 1);
        self.shared.hand_out_one();
        Ok(())
    }

    /// Prints it under its name.
    pub(super) fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{name} [")?;
        match self.locked() {
            true => f.write_str("locked")?,
            false => write!(f, "unlocked, value:{}", self.shared.value.get())?,
        }
        match self.shared.line.len() {
            0 => {}
            waiters => write!(f, ", waiters:{waiters}")?,
        }
        write!(f, "] created at {}>", self.shared.bond.site())
    }
}

impl Shared {
    /// Gives a permit that is left to the first one that waits; says whether there was one.
    fn hand_out_one(&self) -> bool {
        // Taken first: waking may call wakers of other crates.
        self.value.set(self.value.get() - 1);
        let handed_out = self.line.wake_next();
        if !handed_out {
            self.value.set(self.value.get() + 1);
        }
        handed_out
    }

    /// Gives all permits that are left to those who wait.
    fn hand_out(&self) {
        while self.value.get() > 0 && self.hand_out_one() {}
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_as("Semaphore", f)
    }
}

struct SemaphoreGate(Semaphore);

impl Gate for SemaphoreGate {
    fn bond(&self) -> &Bond {
        &self.0.shared.bond
    }

    fn line(&self) -> &Line {
        &self.0.shared.line
    }

    #[inline]
    fn enter(&self) -> bool {
        self.0.take()
    }

    fn woken(&self) -> bool {
        // Whoever came since had to wait for this one, even if permits are left.
        self.0.shared.hand_out();
        true
    }

    fn gave_up(&self, woken: bool) {
        let Shared { value, .. } = &*self.0.shared;
        if woken {
            value.set(value.get() + 1);
        }
        self.0.shared.hand_out();
    }
}

/// The future of [`Semaphore::permit`], for naming its type.
///
/// *From asyncio:* nothing.
///
/// # Cancellation
///
/// As for [`Semaphore::permit`].
///
/// # Panics
///
/// As for [`Semaphore::permit`], and when awaited again after it was over.
///
/// # Examples
///
/// ```
/// use callsoon::{Semaphore, locks::Permitting, run};
///
/// struct Pool {
///     connections: Semaphore,
/// }
///
/// impl Pool {
///     fn connection(&self) -> Permitting {
///         self.connections.permit()
///     }
/// }
///
/// let pool = Pool { connections: Semaphore::new(1) };
/// let _connection = run(pool.connection());
/// assert!(pool.connections.locked());
/// ```
#[must_use = "no permit is taken unless this is awaited"]
pub struct Permitting {
    passing: Passing<SemaphoreGate>,
}

impl Future for Permitting {
    type Output = Permit;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit> {
        let passed = self.passing.poll(cx);
        passed.map(|SemaphoreGate(semaphore)| Permit { semaphore })
    }
}

impl FusedFuture for Permitting {
    fn is_terminated(&self) -> bool {
        self.passing.is_over()
    }
}

impl fmt::Debug for Permitting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Permitting {}>", self.passing.state())
    }
}

/// The future of [`Semaphore::acquire`], for naming its type.
///
/// *From asyncio:* nothing.
///
/// # Cancellation
///
/// As for [`Semaphore::permit`].
///
/// # Panics
///
/// As for [`Semaphore::permit`], and when awaited again after it was over.
///
/// # Examples
///
/// ```
/// use callsoon::{Semaphore, locks::AcquirePermit, run};
///
/// fn next_arrival(arrived: &Semaphore) -> AcquirePermit {
///     arrived.acquire()
/// }
///
/// let arrived = Semaphore::new(1);
/// run(next_arrival(&arrived));
/// assert!(arrived.locked());
/// ```
#[must_use = "no permit is taken unless this is awaited"]
pub struct AcquirePermit {
    passing: Passing<SemaphoreGate>,
}

impl Future for AcquirePermit {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.passing.poll(cx).map(drop)
    }
}

impl FusedFuture for AcquirePermit {
    fn is_terminated(&self) -> bool {
        self.passing.is_over()
    }
}

impl fmt::Debug for AcquirePermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<AcquirePermit {}>", self.passing.state())
    }
}

/// A permit of a [`Semaphore`] or [`BoundedSemaphore`](crate::BoundedSemaphore), that is given back when
/// it is dropped.
///
/// It borrows nothing, so it can be kept, returned, and moved into other tasks of the loop.
///
/// *From asyncio:* the inside of `async with semaphore:`. Differences: it never fails to be given back;
/// if a bounded semaphore has all its permits, because somebody released without acquiring, it is void.
///
/// *Order:* as for [`Semaphore::release`].
///
/// # Examples
///
/// ```
/// use callsoon::Semaphore;
///
/// let semaphore = Semaphore::new(1);
/// let permit = semaphore.try_permit();
/// assert!(semaphore.locked());
/// drop(permit);
/// assert!(!semaphore.locked());
/// ```
#[must_use = "a permit is given back when it is dropped"]
pub struct Permit {
    semaphore: Semaphore,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.semaphore.release();
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Permit of {:?}>", self.semaphore)
    }
}
