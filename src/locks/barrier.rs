//! [`Barrier`]: nobody goes on until all are there.
//!
//! | state | means | becomes |
//! | --- | --- | --- |
//! | filling | tasks arrive and wait | draining with the last arrival; resetting; broken |
//! | draining | those who waited leave; newcomers wait outside | filling when the last one has left |
//! | resetting | the same, and those who waited get an error | filling when the last one has left |
//! | broken | everybody gets an error | filling or resetting, by a reset |
//!
//! Those who have arrived and those who wait outside stand in one line, and all are woken by a change of
//! state. asyncio has a condition for that; nobody ever holds its lock for longer than a step, so here there
//! is none.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_core::FusedFuture;

use super::{Bond, BrokenBarrierError, Gate, Line, Passing};
use crate::snapshot::AwaitedKind;

/// Has a number of tasks wait until that many have arrived.
///
/// It can be used again: when all have gone on, it fills again.
///
/// *From asyncio:* `asyncio.Barrier`. Differences:
///
/// * `async with barrier as index:` is [`wait`](Self::wait), for nothing happens at the end of the block;
/// * [`reset`](Self::reset) and [`abort`](Self::abort) are no coroutines, for they never wait;
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
/// use callsoon::{Barrier, EventLoop, create_task, yield_now};
///
/// let event_loop = EventLoop::new();
/// event_loop.run_until_complete(async {
///     let barrier = Barrier::new(3);
///     let shows = |state: &str| assert!(format!("{barrier:?}").starts_with(state));
///     create_task(barrier.wait());
///     create_task(barrier.wait());
///     yield_now().await;
///     shows("<Barrier [filling, waiters:2/3] created at ");
///     assert_eq!(barrier.wait().await, Ok(2)); // the third to arrive, so it does not wait
///     shows("<Barrier [draining, waiters:0/3] created at ");
///     yield_now().await;
///     shows("<Barrier [filling, waiters:0/3] created at ");
/// })?;
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[derive(Clone)]
pub struct Barrier {
    shared: Rc<Shared>,
}

struct Shared {
    bond: Bond,
    parties: usize,
    state: Cell<State>,
    /// How many have arrived and not left.
    count: Cell<usize>,
    line: Line,
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
                bond: Bond::new("barrier"),
                parties,
                state: Cell::new(State::Filling),
                count: Cell::new(0),
                line: Line::new(AwaitedKind::Barrier),
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
    /// One of them, and no matter which, cleans up after all:
    ///
    /// ```
    /// use callsoon::{Barrier, gather, run};
    ///
    /// async fn party(barrier: Barrier) -> &'static str {
    ///     match barrier.wait().await {
    ///         Ok(0) => "cleaned up",
    ///         Ok(_) => "went on",
    ///         Err(_) => unreachable!("nobody breaks it"),
    ///     }
    /// }
    ///
    /// let barrier = Barrier::new(3);
    /// let parties = run(async { gather([(); 3].map(|()| party(barrier.clone()))).await });
    /// assert_eq!(parties, ["cleaned up", "went on", "went on"]);
    /// ```
    #[track_caller]
    pub fn wait(&self) -> BarrierWait {
        BarrierWait {
            passing: Passing::new(Party {
                barrier: self.shared.clone(),
                index: Cell::new(None),
            }),
        }
    }

    /// Makes it as new. Those who wait get an error.
    ///
    /// *From asyncio:* `Barrier.reset()`. Differences: it is no coroutine.
    ///
    /// *Order:* those who wait go on in the next turn.
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
    ///     barrier.reset();
    ///     assert!(waiter.await.is_err());
    ///     assert!(!barrier.broken());
    /// })?;
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn reset(&self) {
        self.shared.set(match self.shared.count.get() {
            0 => State::Filling,
            _ => State::Resetting,
        });
    }

    /// Breaks it. Those who wait, and those who come later, get an error.
    ///
    /// *From asyncio:* `Barrier.abort()`. Differences: it is no coroutine.
    ///
    /// *Order:* as for [`reset`](Self::reset).
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Barrier, run};
    ///
    /// let barrier = Barrier::new(2);
    /// barrier.abort();
    /// assert!(barrier.broken());
    /// assert!(run(barrier.wait()).is_err());
    /// barrier.reset();
    /// assert!(!barrier.broken());
    /// ```
    pub fn abort(&self) {
        self.shared.set(State::Broken);
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
    fn set(&self, state: State) {
        self.state.set(state);
        self.line.wake_all();
    }
}

/// Somebody who comes to a barrier.
struct Party {
    barrier: Rc<Shared>,
    /// How many had arrived before, when this one had.
    index: Cell<Option<usize>>,
}

impl Party {
    /// Leaves, if it has arrived.
    fn leave(&self) {
        let Shared { count, state, .. } = &*self.barrier;
        if self.index.take().is_none() {
            return;
        }
        count.set(count.get() - 1);
        if count.get() == 0 {
            self.barrier.set(match state.get() {
                State::Resetting | State::Draining => State::Filling,
                other => other,
            });
        }
    }

    /// What came of it, for one who got through.
    fn end(&self) -> Result<usize, BrokenBarrierError> {
        let site = self.barrier.bond.site();
        match (self.barrier.state.get(), self.index.get()) {
            (State::Broken, _) => Err(BrokenBarrierError::aborted(site)),
            (State::Resetting, _) => Err(BrokenBarrierError::reset(site)),
            (_, index) => Ok(index.expect("nobody else gets through")),
        }
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Gate for Party {
    fn bond(&self) -> &Bond {
        &self.barrier.bond
    }

    fn line(&self) -> &Line {
        &self.barrier.line
    }

    fn enter(&self) -> bool {
        let Shared { state, count, .. } = &*self.barrier;
        match (state.get(), self.index.get()) {
            // Outside.
            (State::Draining | State::Resetting, None) => false,
            (State::Filling, None) => {
                let index = count.get();
                count.set(index + 1);
                self.index.set(Some(index));
                let is_last = index + 1 == self.barrier.parties;
                if is_last {
                    self.barrier.set(State::Draining);
                }
                is_last
            }
            (state, _) => state != State::Filling,
        }
    }

    fn woken(&self) -> bool {
        self.enter()
    }

    fn gave_up(&self, _woken: bool) {
        // As asyncio's condition does: it may have been woken for nothing.
        self.barrier.line.wake_next();
        self.leave();
    }
}

/// The future of [`Barrier::wait`], for naming its type.
///
/// *From asyncio:* nothing.
///
/// # Cancellation
///
/// As for [`Barrier::wait`].
///
/// # Errors
///
/// As for [`Barrier::wait`].
///
/// # Panics
///
/// As for [`Barrier::wait`], and when awaited again after it was over.
///
/// # Examples
///
/// ```
/// use callsoon::{Barrier, locks::BarrierWait, run};
///
/// fn start_line(barrier: &Barrier) -> BarrierWait {
///     barrier.wait()
/// }
///
/// assert_eq!(run(start_line(&Barrier::new(1))), Ok(0));
/// ```
#[must_use = "nobody arrives unless this is awaited"]
pub struct BarrierWait {
    passing: Passing<Party>,
}

impl Future for BarrierWait {
    type Output = Result<usize, BrokenBarrierError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.passing.poll(cx).map(|party| party.end())
    }
}

impl FusedFuture for BarrierWait {
    fn is_terminated(&self) -> bool {
        self.passing.is_over()
    }
}

impl fmt::Debug for BarrierWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<BarrierWait {}>", self.passing.state())
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
        write!(f, "] created at {}>", self.shared.bond.site())
    }
}
