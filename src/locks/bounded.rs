//! [`BoundedSemaphore`]: a semaphore that notices one release too many.

use std::fmt;

use super::{AcquirePermit, Bond, OverReleaseError, Permit, Permitting, Semaphore};

/// A [`Semaphore`] that never has more permits than it began with.
///
/// *From asyncio:* `asyncio.BoundedSemaphore`. Differences: those of [`Semaphore`]; and a release too many
/// is an error value.
///
/// *Order:* as for [`Semaphore`].
///
/// # Cancellation
///
/// As for [`Semaphore`].
///
/// # Examples
///
/// ```
/// use callsoon::{BoundedSemaphore, run};
///
/// let seats = BoundedSemaphore::new(2);
/// run(async {
///     seats.acquire().await;
///     assert!(seats.release().is_ok());
///     assert!(seats.release().is_err()); // nobody sat there
/// });
/// ```
#[derive(Clone)]
pub struct BoundedSemaphore {
    semaphore: Semaphore,
}

impl BoundedSemaphore {
    /// Makes a semaphore with so many permits.
    ///
    /// *From asyncio:* `asyncio.BoundedSemaphore(value)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::BoundedSemaphore;
    ///
    /// assert!(!BoundedSemaphore::new(1).locked()); // no loop is needed
    /// ```
    #[track_caller]
    pub fn new(value: usize) -> Self {
        Self {
            semaphore: Semaphore::make(Bond::new("bounded semaphore"), value, value),
        }
    }

    /// Waits for a permit, and takes it until it is dropped; see [`Semaphore::permit`].
    ///
    /// *From asyncio:* `async with semaphore:`.
    ///
    /// *Order:* as for [`Semaphore::permit`].
    ///
    /// # Cancellation
    ///
    /// As for [`Semaphore::permit`].
    ///
    /// # Panics
    ///
    /// As for [`Semaphore::permit`].
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{BoundedSemaphore, run};
    ///
    /// let seats = BoundedSemaphore::new(1);
    /// let seat = run(seats.permit());
    /// assert!(seats.locked());
    /// drop(seat);
    /// assert!(!seats.locked());
    /// ```
    #[track_caller]
    pub fn permit(&self) -> Permitting {
        self.semaphore.permit()
    }

    /// Takes a permit if one is left and nobody waits for it.
    ///
    /// *From asyncio:* nothing; there one looks at `locked()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::BoundedSemaphore;
    ///
    /// let seats = BoundedSemaphore::new(1);
    /// let seat = seats.try_permit();
    /// assert!(seat.is_some());
    /// assert!(seats.try_permit().is_none());
    /// ```
    pub fn try_permit(&self) -> Option<Permit> {
        self.semaphore.try_permit()
    }

    /// Waits for a permit, and takes it until somebody calls [`release`](Self::release).
    ///
    /// *From asyncio:* `BoundedSemaphore.acquire()`. Differences: none.
    ///
    /// *Order:* as for [`Semaphore::permit`].
    ///
    /// # Cancellation
    ///
    /// As for [`Semaphore::permit`].
    ///
    /// # Panics
    ///
    /// As for [`Semaphore::permit`].
    ///
    /// # Examples
    ///
    /// See [`BoundedSemaphore`].
    #[track_caller]
    pub fn acquire(&self) -> AcquirePermit {
        self.semaphore.acquire()
    }

    /// Gives a permit back.
    ///
    /// *From asyncio:* `BoundedSemaphore.release()`. Differences: one too many is an error value.
    ///
    /// *Order:* as for [`Semaphore::release`].
    ///
    /// # Errors
    ///
    /// * [`OverReleaseError`] if all permits are there.
    ///
    /// # Examples
    ///
    /// See [`BoundedSemaphore`].
    pub fn release(&self) -> Result<(), OverReleaseError> {
        self.semaphore.give_back()
    }

    /// Says whether one would have to wait; see [`Semaphore::locked`].
    ///
    /// *From asyncio:* `BoundedSemaphore.locked()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::BoundedSemaphore;
    ///
    /// assert!(BoundedSemaphore::new(0).locked());
    /// ```
    pub fn locked(&self) -> bool {
        self.semaphore.locked()
    }
}

impl fmt::Debug for BoundedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.semaphore.fmt_as("BoundedSemaphore", f)
    }
}
