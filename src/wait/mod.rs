//! [`wait`]: several futures or tasks, until all, one, or one of a kind is done.

mod waitable;

use std::cell::Cell;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::FusedFuture;

pub use self::waitable::{Waitable, Waited};

use crate::event_loop::{About, LoopState, Run, TimerHandle, current};
use crate::futures::purpose::EndOfWait;
use crate::futures::{
    AnyFuture, AnyRef, Future, Listener, ListenerRef, Listening, Promise, State, Told,
    assert_same_loop, distinct, retain,
};
use crate::observe::EntryKind;
use crate::tasks::{Payload, Stepper};

/// What [`wait`] waits for.
///
/// *From asyncio:* the constants `ALL_COMPLETED`, `FIRST_COMPLETED` and `FIRST_EXCEPTION`.
/// `FirstMatching` has no counterpart.
///
/// # Examples
///
/// ```
/// use callsoon::{ReturnWhen, create_task, run, wait, yield_now};
///
/// async fn turns(n: usize) -> usize {
///     for _ in 0..n {
///         yield_now().await;
///     }
///     n
/// }
///
/// run(async {
///     let numbers = [1, 2, 30].map(|n| create_task(turns(n)));
///     let first_even = ReturnWhen::FirstMatching(|n| n % 2 == 0);
///     let (done, pending) = wait(numbers, first_even, None).await;
///     assert_eq!((done.len(), pending.len()), (2, 1));
/// });
/// ```
pub enum ReturnWhen<T> {
    /// All are done.
    AllCompleted,
    /// Any of them is done.
    FirstCompleted,
    /// One has a result for which this is true, or panicked; or all are done.
    FirstMatching(fn(&T) -> bool),
}

impl<U, E> ReturnWhen<Result<U, E>> {
    /// One has an `Err`, or panicked; or all are done. One that is cancelled does not count, unless
    /// it is a [`gather`](crate::gather()): for asyncio that has failed.
    ///
    /// *From asyncio:* `FIRST_EXCEPTION`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{ReturnWhen, create_task, run, wait};
    ///
    /// run(async {
    ///     let never = create_task(std::future::pending::<Result<u32, &str>>());
    ///     let fails = create_task(async { Err("no such host") });
    ///     let (done, pending) = wait([never, fails], ReturnWhen::FirstException, None).await;
    ///     assert_eq!(done[0].exception().unwrap(), Some("no such host"));
    ///     assert_eq!(pending.len(), 1);
    /// });
    /// ```
    #[expect(
        non_upper_case_globals,
        reason = "it stands beside the variants, as one of them"
    )]
    pub const FirstException: Self = Self::FirstMatching(Result::is_err);
}

impl<T> Clone for ReturnWhen<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ReturnWhen<T> {}

impl<T> fmt::Debug for ReturnWhen<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AllCompleted => "AllCompleted",
            Self::FirstCompleted => "FirstCompleted",
            Self::FirstMatching(_) => "FirstMatching(..)",
        })
    }
}

/// Waits until some of several futures or tasks are done, or the time is over, and gives back which are
/// done and which are not: `(done, pending)`.
///
/// What comes back are the handles that went in, both times in their order. Nothing is cancelled, and
/// nothing is raised when the time is over: then fewer are done than one asked for.
///
/// *From asyncio:* `asyncio.wait()`. Differences: both lists are in the order of the arguments, where
/// asyncio's sets have none. Of several handles of one future the first comes back, and the others are
/// dropped.
///
/// *Order:* the task goes on two turns after the one that decided it was done; if that was so from the
/// start, two turns from now. By then more may be done, and they are all in the first list.
///
/// # Cancellation
///
/// Cancelling it, or dropping it, leaves the futures alone and takes back its callbacks and its timer.
///
/// # Panics
///
/// If there is nothing to wait for (asyncio: `ValueError`), or if the futures are of different loops.
/// Awaiting it goes on with a panic of a predicate.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop, ReturnWhen, create_task, sleep, wait};
///
/// async fn after(seconds: u64) -> u64 {
///     sleep(Duration::from_secs(seconds)).await;
///     seconds
/// }
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// event_loop.run_until_complete(async {
///     let mut pending: Vec<_> = [3, 1, 2].map(|seconds| create_task(after(seconds))).into();
///     let mut order = Vec::new();
///     while !pending.is_empty() {
///         let (done, rest) = wait(pending, ReturnWhen::FirstCompleted, None).await;
///         for task in done {
///             order.push(task.await);
///         }
///         pending = rest;
///     }
///     assert_eq!(order, [1, 2, 3]);
/// })?;
/// # Ok::<(), callsoon::RunError>(())
/// ```
///
/// Example: a time limit
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop, ReturnWhen, create_task, sleep, wait};
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// event_loop.run_until_complete(async {
///     let tasks = [1, 60].map(|seconds| create_task(sleep(Duration::from_secs(seconds))));
///     let limit = Duration::from_secs(10);
///     let (done, pending) = wait(&tasks, ReturnWhen::AllCompleted, limit).await;
///     assert_eq!((done.len(), pending.len()), (1, 1));
///     pending[0].cancel(); // wait() itself cancels nothing
/// })?;
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[track_caller]
pub fn wait<I>(
    handles: I,
    return_when: ReturnWhen<<I::Item as Waitable>::Output>,
    timeout: impl Into<Option<Duration>>,
) -> Wait<I::Item>
where
    I: IntoIterator<Item: Waitable>,
{
    let mut handles: Vec<I::Item> = handles.into_iter().collect();
    let mut waited: Vec<_> = handles.iter().map(Waitable::to_waited).collect();
    let mut futures: Vec<AnyRef> = waited.iter().map(Waited::any).collect();
    if let Some(first) = distinct(&futures) {
        retain(&mut futures, &first);
        retain(&mut waited, &first);
        retain(&mut handles, &first);
    }
    assert!(!futures.is_empty(), "there is nothing to wait for");
    for future in &futures {
        assert_same_loop(&*futures[0], &**future);
    }
    let looks = match return_when {
        ReturnWhen::FirstMatching(_) => waited,
        _ => Vec::new(),
    };
    Wait {
        state: WaitState::New(New {
            futures,
            looks,
            return_when,
            timeout: timeout.into(),
            site: Location::caller(),
        }),
        handles,
    }
}

/// The future of [`wait`], for naming its type.
///
/// *From asyncio:* the coroutine that `asyncio.wait()` gives.
///
/// # Cancellation
///
/// As for [`wait`].
///
/// # Panics
///
/// As for [`wait`]; and when polled again after it was over.
///
/// # Examples
///
/// ```
/// use callsoon::{ReturnWhen, Task, Wait, create_task, run, wait};
///
/// fn both(one: Task<u32>, two: Task<u32>) -> Wait<Task<u32>> {
///     wait([one, two], ReturnWhen::AllCompleted, None)
/// }
///
/// run(async {
///     let (done, pending) = both(create_task(async { 1 }), create_task(async { 2 })).await;
///     assert_eq!((done.len(), pending.len()), (2, 0));
/// });
/// ```
#[must_use = "waiting does nothing unless it is awaited"]
pub struct Wait<W: Waitable> {
    /// Dropped before the handles; see [`Listening`].
    state: WaitState<W::Output>,
    handles: Vec<W>,
}

enum WaitState<T: 'static> {
    New(New<T>),
    Waiting(Waiting<T>),
    Over,
}

/// Not awaited yet.
struct New<T: 'static> {
    futures: Vec<AnyRef>,
    /// What a predicate looks at; empty without one.
    looks: Vec<Waited<T>>,
    return_when: ReturnWhen<T>,
    timeout: Option<Duration>,
    site: &'static Location<'static>,
}

impl<T: 'static> New<T> {
    /// Arms the timer, and listens to the futures.
    fn begin(self) -> Waiting<T> {
        let lp = self.futures[0].base().lp.clone();
        let waiter = Future::new(Promise::create_for(EndOfWait, &lp, self.site));
        let timer = self.timeout.map(|timeout| {
            let waiter = waiter.clone();
            let timer = lp.call_at(lp.after(timeout), move || release(&waiter));
            TimerHandle::new(timer, lp.clone())
        });
        let listener = Rc::pin(WaitListener {
            told: Told::new(&lp, self.futures.len()),
            left: Cell::new(self.futures.len()),
            return_when: self.return_when,
            looks: self.looks,
            waiter: waiter.clone(),
            panic: Cell::new(None),
            site: self.site,
        });
        let to_tell: ListenerRef = listener.clone();
        Waiting {
            listening: Listening::begin(self.futures, &listener.told, &to_tell),
            listener,
            waiter,
            timer,
        }
    }
}

/// Being awaited.
struct Waiting<T: 'static> {
    /// With the futures, in the order of the handles.
    listening: Listening,
    listener: Pin<Rc<WaitListener<T>>>,
    /// Done when the wait is over.
    waiter: Future<()>,
    timer: Option<TimerHandle>,
}

impl<T: 'static> Drop for Waiting<T> {
    fn drop(&mut self) {
        if let Some(timer) = &self.timer {
            timer.cancel();
        }
    }
}

/// Ends a wait, unless it is over already.
fn release(waiter: &Future<()>) {
    let _ = waiter.set_result(());
}

/// What hears of the futures of a wait.
struct WaitListener<T: 'static> {
    told: Told,
    /// How many have not been heard of.
    left: Cell<usize>,
    return_when: ReturnWhen<T>,
    looks: Vec<Waited<T>>,
    waiter: Future<()>,
    /// What the predicate panicked with.
    panic: Cell<Option<Payload>>,
    site: &'static Location<'static>,
}

impl<T: 'static> WaitListener<T> {
    /// Whether the end of the future at `place` is what is waited for.
    fn decides(&self, place: usize) -> bool {
        match self.return_when {
            ReturnWhen::AllCompleted => false,
            ReturnWhen::FirstCompleted => true,
            ReturnWhen::FirstMatching(matches) => {
                let looked = AssertUnwindSafe(|| self.looks[place].matches(matches));
                catch_unwind(looked).unwrap_or_else(|payload| {
                    // It goes on in the task that waits.
                    self.panic.set(Some(payload));
                    true
                })
            }
        }
    }
}

impl<T: 'static> Listener for WaitListener<T> {
    fn told(&self, id: u64, _future: &dyn AnyFuture, _how: State) -> bool {
        self.told.add(id);
        true
    }

    fn on_behalf(&self) -> Option<AnyRef> {
        Some(self.waiter.any())
    }
}

impl<T: 'static> Run for WaitListener<T> {
    fn run(self: Pin<Rc<Self>>, lp: &Rc<LoopState>, _stepper: &mut Stepper<'_>) {
        lp.callback_site.set(Some(self.site));
        let Some(place) = self.told.next() else {
            return;
        };
        self.left.set(self.left.get() - 1);
        // Also when the wait is over: it counts as a look at the result.
        if self.left.get() == 0 || self.decides(place) {
            release(&self.waiter);
        }
    }

    fn about(&self) -> About {
        About::at(EntryKind::Wait, self.site)
    }
}

impl<W: Waitable> std::future::Future for Wait<W> {
    type Output = (Vec<W>, Vec<W>);

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let WaitState::New(_) = this.state {
            if current::is_unwinding() {
                return current::pending_while_unwinding(cx);
            }
            if let WaitState::New(new) = mem::replace(&mut this.state, WaitState::Over) {
                this.state = WaitState::Waiting(new.begin());
            }
        }
        let WaitState::Waiting(waiting) = &mut this.state else {
            panic!("wait() awaited again after it was over");
        };
        ready!(Pin::new(&mut waiting.waiter).poll(cx));
        if let Some(payload) = waiting.listener.panic.take() {
            resume_unwind(payload);
        }
        let (mut done, mut pending) = (Vec::new(), Vec::new());
        for (place, handle) in mem::take(&mut this.handles).into_iter().enumerate() {
            if waiting.listening.is_done(place) {
                done.push(handle);
            } else {
                pending.push(handle);
            }
        }
        this.state = WaitState::Over;
        Poll::Ready((done, pending))
    }
}

impl<W: Waitable> FusedFuture for Wait<W> {
    fn is_terminated(&self) -> bool {
        matches!(self.state, WaitState::Over)
    }
}

/// The handles are moved, never polled.
impl<W: Waitable> Unpin for Wait<W> {}

impl<W: Waitable> fmt::Debug for Wait<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            WaitState::New(_) => "new",
            WaitState::Waiting(_) => "pending",
            WaitState::Over => "done",
        };
        write!(f, "<Wait {state} for {}>", self.handles.len())
    }
}
