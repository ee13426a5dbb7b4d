//! [`Barrier`]: nobody goes on until all are there.
//!
//! | state | means | becomes |
//! | --- | --- | --- |
//! | filling | tasks arrive and wait | draining with the last arrival; resetting; broken |
//! | draining | those who waited leave; newcomers wait outside | filling when the last one has left |
//! | resetting | the same, and those who waited get an error | filling when the last one has left |
//! | broken | everybody gets an error | filling, by a reset |
//!
//! As in asyncio it is a condition and a count, and all of it happens with the condition's lock held.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;

use super::condition::{Hold, Wait, is_not_unwinding};
use super::lock::Held;
use super::{BrokenBarrierError, Condition};

/// Has a number of tasks wait until that many have arrived.
///
/// It can be used again: when all have gone on, it fills again.
///
/// *From asyncio:* `asyncio.Barrier`. Differences:
///
/// * `async with barrier as index:` is [`wait`](Self::wait), for nothing happens at the end of the block;
/// * a clone is another handle of the same barrier.
///
/// *Order:* the last one to arrive goes on without suspending, the others one turn later, in the order of
/// their arrival.
///
/// # Cancellation
///
/// Whoever is cancelled or dropped while it waits has not arrived; unlike a barrier of threads it does not
/// break.
///
/// # Examples
///
/// ```
/// use callsoon::{Barrier, EventLoop, create_task};
///
/// let event_loop = EventLoop::new();
/// event_loop.run_until_complete(async {
///     let barrier = Barrier::new(3);
///     let others = [create_task(barrier.wait()), create_task(barrier.wait())];
///     println!("main is ready: {barrier:?}");
///     assert_eq!(barrier.wait().await, Ok(0));
///     println!("all are there: {barrier:?}");
///     for (index, other) in others.into_iter().enumerate() {
///         assert_eq!(other.await, Ok(index + 1));
///     }
/// })?;
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[derive(Clone)]
pub struct Barrier {
    shared: Rc<Shared>,
}

struct Shared {
    /// Where it was created.
    site: &'static Location<'static>,
    parties: usize,
    state: Cell<State>,
    /// How many have arrived and not left.
    count: Cell<usize>,
    /// Notified whenever the state changes.
    changed: Condition,
}

/// See the module's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Filling,
    Draining,
    Resetting,
    Broken,
}

impl Barrier {
    /// Makes a barrier for so many tasks.
    ///
    /// *From asyncio:* `asyncio.Barrier(parties)`.
    ///
    /// # Panics
    ///
    /// If there are none.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::Barrier;
    ///
    /// assert_eq!(Barrier::new(3).parties(), 3); // no loop is needed
    /// ```
    #[track_caller]
    pub fn new(parties: usize) -> Self {
        assert!(
            parties > 0,
            "a barrier for no parties: there must be one at least"
        );
        Self {
            shared: Rc::new(Shared {
                site: Location::caller(),
                parties,
                state: Cell::new(State::Filling),
                count: Cell::new(0),
                changed: Condition::named("barrier", ()),
            }),
        }
    }

    /// Waits until all parties have arrived; gives how many were there before this one.
    ///
    /// *From asyncio:* `Barrier.wait()`.
    ///
    /// *Order:* the last one goes on without suspending, the others one turn later. While those of the last
    /// round are leaving, newcomers wait for that first.
    ///
    /// # Cancellation
    ///
    /// Whoever is cancelled or dropped here has not arrived. If all others were there and it was about to
    /// go on, they go on all the same.
    ///
    /// # Errors
    ///
    /// * [`BrokenBarrierError`] if the barrier is broken, or broken or reset meanwhile.
    ///
    /// # Panics
    ///
    /// When it has to wait, outside a running loop or in another loop than others waited in.
    ///
    /// # Examples
    ///
    /// See [`Barrier`].
    #[track_caller]
    pub fn wait(&self) -> impl Future<Output = Result<usize, BrokenBarrierError>> + use<> {
        let barrier = self.shared.clone();
        let wait = Wait::new(&barrier.changed, Held::Acquired);
        async move {
            let hold = barrier.enter().await;
            while matches!(barrier.state.get(), State::Draining | State::Resetting) {
                wait.run(&hold).await;
            }
            if barrier.state.get() == State::Broken {
                return Err(BrokenBarrierError::aborted(barrier.site));
            }
            let arrived = Arrived::new(&barrier);
            if arrived.index + 1 == barrier.parties {
                barrier.set(State::Draining);
                return Ok(arrived.index);
            }
            while barrier.state.get() == State::Filling {
                wait.run(&hold).await;
            }
            match barrier.state.get() {
                State::Broken => Err(BrokenBarrierError::aborted(barrier.site)),
                State::Resetting => Err(BrokenBarrierError::reset(barrier.site)),
                State::Filling | State::Draining => Ok(arrived.index),
            }
        }
    }

    /// Makes it as new. Those who wait get an error.
    ///
    /// *From asyncio:* `Barrier.reset()`.
    ///
    /// *Order:* usually it does not suspend; it may have to wait for its turn. Those who wait go on one turn
    /// later.
    ///
    /// # Cancellation
    ///
    /// Cancelled or dropped while it waits for its turn, it has no effect.
    ///
    /// # Panics
    ///
    /// As for [`wait`](Self::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Barrier, EventLoop, create_task, yield_now};
    ///
    /// let event_loop = EventLoop::new();
    /// event_loop.run_until_complete(async {
    ///     let barrier = Barrier::new(2);
    ///     let waiter = create_task(barrier.wait());
    ///     yield_now().await;
    ///     barrier.reset().await;
    ///     assert!(waiter.await.is_err());
    ///     assert!(!barrier.broken());
    /// })?;
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn reset(&self) -> impl Future<Output = ()> + use<> {
        let barrier = self.shared.clone();
        async move {
            let _hold = barrier.enter().await;
            barrier.set(match barrier.count.get() {
                0 => State::Filling,
                _ => State::Resetting,
            });
        }
    }

    /// Breaks it. Those who wait, and those who come later, get an error.
    ///
    /// *From asyncio:* `Barrier.abort()`.
    ///
    /// *Order:* as for [`reset`](Self::reset).
    ///
    /// # Cancellation
    ///
    /// As for [`reset`](Self::reset).
    ///
    /// # Panics
    ///
    /// As for [`wait`](Self::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Barrier, run};
    ///
    /// let barrier = Barrier::new(2);
    /// run(async {
    ///     barrier.abort().await;
    ///     assert!(barrier.broken());
    ///     assert!(barrier.wait().await.is_err());
    ///     barrier.reset().await;
    ///     assert!(!barrier.broken());
    /// });
    /// ```
    #[track_caller]
    pub fn abort(&self) -> impl Future<Output = ()> + use<> {
        let barrier = self.shared.clone();
        async move {
            let _hold = barrier.enter().await;
            barrier.set(State::Broken);
        }
    }

    /// Gives the number of tasks it waits for.
    ///
    /// *From asyncio:* `Barrier.parties`.
    ///
    /// # Examples
    ///
    /// See [`new`](Self::new).
    pub fn parties(&self) -> usize {
        self.shared.parties
    }

    /// Gives the number of tasks that wait; none while they are leaving.
    ///
    /// *From asyncio:* `Barrier.n_waiting`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Barrier, EventLoop, yield_now};
    ///
    /// let event_loop = EventLoop::new();
    /// let barrier = Barrier::new(2);
    /// event_loop.create_task(barrier.wait());
    /// event_loop.run_until_complete(yield_now())?;
    /// assert_eq!(barrier.n_waiting(), 1);
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn n_waiting(&self) -> usize {
        match self.shared.state.get() {
            State::Filling => self.shared.count.get(),
            _ => 0,
        }
    }

    /// Says whether it is broken.
    ///
    /// *From asyncio:* `Barrier.broken`.
    ///
    /// # Examples
    ///
    /// See [`abort`](Self::abort).
    pub fn broken(&self) -> bool {
        self.shared.state.get() == State::Broken
    }
}

impl Shared {
    /// Takes the lock, for what happens to the state.
    async fn enter(&self) -> Hold<()> {
        is_not_unwinding().await;
        self.changed.acquire().await;
        Hold::acquired(&self.changed)
    }

    fn set(&self, state: State) {
        self.state.set(state);
        self.changed.notify_everybody();
    }
}

/// Somebody who has arrived, until it leaves.
struct Arrived<'a> {
    barrier: &'a Shared,
    /// How many were there before.
    index: usize,
}

impl<'a> Arrived<'a> {
    fn new(barrier: &'a Shared) -> Self {
        let index = barrier.count.get();
        barrier.count.set(index + 1);
        Self { barrier, index }
    }
}

impl Drop for Arrived<'_> {
    fn drop(&mut self) {
        let Shared { count, state, .. } = self.barrier;
        count.set(count.get() - 1);
        if count.get() == 0 {
            self.barrier.set(match state.get() {
                State::Resetting | State::Draining => State::Filling,
                other => other,
            });
        }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, count) = match self.shared.state.get() {
            State::Filling => ("filling", true),
            State::Draining => ("draining", true),
            State::Resetting => ("resetting", true),
            State::Broken => ("broken", false),
        };
        write!(f, "<Barrier [{name}")?;
        if count {
            write!(f, ", waiters:{}/{}", self.n_waiting(), self.parties())?;
        }
        write!(f, "] created at {}>", self.shared.site)
    }
}
