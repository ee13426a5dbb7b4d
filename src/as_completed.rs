//! [`as_completed`]: several futures or tasks, one after the other as they are done.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::{FusedStream, Stream};

use crate::errors::TimeoutError;
use crate::event_loop::{About, LoopHandle, LoopState, Run, TimerHandle, current};
use crate::futures::purpose::NextCompleted;
use crate::futures::{
    AnyFuture, AnyRef, Future, Listener, ListenerRef, Listening, Promise, State, Told,
    assert_same_loop, distinct, retain,
};
use crate::observe::EntryKind;
use crate::tasks::{Stepper, Task};
use crate::wait::Waitable;

/// Gives futures or tasks back one after the other, as they are done.
///
/// What comes are the handles that went in, in the order in which they are done. So one can tell them
/// apart, and awaiting one costs no turn. Of bare coroutines, make tasks first:
/// `as_completed(coroutines.map(create_task))`, or call [`as_completed_coroutines`].
///
/// *From asyncio:* `async for task in asyncio.as_completed(tasks)`. The time limit is
/// [`timeout`](AsCompleted::timeout). Of several handles of one future the first comes back, and the
/// others are dropped. Differences: a [`next`](AsCompleted::next) that is cancelled counts for nothing.
///
/// *Order:* a handle is given out two turns after it was done, to a task that waits for it; one that was
/// done from the start, two turns from now.
///
/// # Cancellation
///
/// Cancelling or dropping [`next`](AsCompleted::next) loses nothing: the next call gives what it would
/// have given. Dropping the stream leaves the futures alone and takes back its callbacks.
///
/// # Panics
///
/// If the futures are of different loops, or if one is done and their loop is closed.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop, as_completed, create_task, sleep};
///
/// async fn open_connection(address: &str, seconds: u64) -> String {
///     sleep(Duration::from_secs(seconds)).await;
///     format!("connected to {address}")
/// }
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let output = event_loop.run_until_complete(async {
///     let ipv4 = create_task(open_connection("127.0.0.1", 2));
///     let ipv6 = create_task(open_connection("::1", 1));
///     let second = ipv6.handle();
///
///     let mut output = vec![];
///     let mut earliest_first = as_completed([ipv4, ipv6]);
///     while let Some(earliest) = earliest_first.next().await {
///         let family = if earliest.handle() == second { "IPv6" } else { "IPv4" };
///         output.push(format!("{family}: {}", earliest.await)); // it is done
///     }
///     output
/// })?;
/// assert_eq!(output, ["IPv6: connected to ::1", "IPv4: connected to 127.0.0.1"]);
/// assert_eq!(event_loop.time(), Duration::from_secs(2));
/// # Ok::<(), callsoon::RunError>(())
/// ```
///
/// It is a `Stream`, for the combinators of the crate `futures`:
///
/// ```
/// use callsoon::{as_completed, create_task, run};
/// use futures::StreamExt;
///
/// let sum = run(async {
///     let squares = [1, 2, 3].map(|n| create_task(async move { n * n }));
///     as_completed(squares).fold(0, |sum, task| async move { sum + task.await }).await
/// });
/// assert_eq!(sum, 14);
/// ```
#[track_caller]
pub fn as_completed<I>(handles: I) -> AsCompleted<I::Item>
where
    I: IntoIterator<Item: Waitable>,
{
    AsCompleted::begin(handles.into_iter().collect())
}

/// Makes a task of each of several coroutines, and gives the tasks back one after the other, as they
/// are done; see [`as_completed`].
///
/// *From asyncio:* `async for task in asyncio.as_completed(coroutines)`. Differences: those of
/// [`as_completed`].
///
/// *Order:* all tasks are made now, in the order of the arguments. Then as for [`as_completed`].
///
/// # Cancellation
///
/// As for [`as_completed`]: the tasks run on.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use callsoon::{as_completed_coroutines, run};
///
/// let sum = run(async {
///     let mut squares = as_completed_coroutines((1..4).map(|n| async move { n * n }));
///     let mut sum = 0;
///     while let Some(task) = squares.next().await {
///         sum += task.await;
///     }
///     sum
/// });
/// assert_eq!(sum, 14);
/// ```
#[track_caller]
pub fn as_completed_coroutines<I, F>(coroutines: I) -> AsCompleted<Task<F::Output>>
where
    I: IntoIterator<Item = F>,
    F: IntoFuture<Output: 'static, IntoFuture: 'static>,
{
    let event_loop = LoopHandle::running();
    let mut tasks = Vec::new();
    // No closure: where a task is created is where the caller is.
    for coroutine in coroutines {
        tasks.push(event_loop.create_task(coroutine));
    }
    AsCompleted::begin(tasks)
}

/// The stream of [`as_completed`].
///
/// *From asyncio:* the object that `asyncio.as_completed()` gives.
///
/// # Cancellation
///
/// As for [`as_completed`].
///
/// # Examples
///
/// ```
/// use callsoon::{AsCompleted, Task, as_completed, create_task, run};
///
/// async fn first_two(mut tasks: AsCompleted<Task<u32>>) -> u32 {
///     let (one, two) = (tasks.next().await, tasks.next().await);
///     one.expect("it is there").await + two.expect("it is there").await
/// }
///
/// let sum = run(async {
///     let tasks = [1, 2, 3].map(|n| create_task(async move { n }));
///     first_two(as_completed(tasks)).await
/// });
/// assert_eq!(sum, 3);
/// ```
#[must_use = "what is done is given out by `next()` only"]
pub struct AsCompleted<W> {
    /// `None` if there never was anything to wait for. Dropped before the handles; see [`Listening`].
    watch: Option<Watch>,
    /// In the order of the arguments; `None` where one has been given out.
    handles: Vec<Option<W>>,
    /// How many have not been given out.
    left: usize,
}

impl<W: Waitable> AsCompleted<W> {
    #[track_caller]
    fn begin(mut handles: Vec<W>) -> Self {
        let waited = handles.iter().map(Waitable::to_waited);
        let mut futures: Vec<AnyRef> = waited.map(|waited| waited.any()).collect();
        if let Some(first) = distinct(&futures) {
            retain(&mut futures, &first);
            retain(&mut handles, &first);
        }
        for future in &futures {
            assert_same_loop(&*futures[0], &**future);
        }
        let site = Location::caller();
        Self {
            left: handles.len(),
            watch: (!futures.is_empty()).then(|| Watch::begin(futures, site)),
            handles: handles.into_iter().map(Some).collect(),
        }
    }
}

impl<W> AsCompleted<W> {
    /// Gives the next one that is done, `None` when all have been given out.
    ///
    /// *From asyncio:* `anext()`.
    ///
    /// *Order:* at once if one is done already and was heard of; else see [`as_completed`].
    ///
    /// # Cancellation
    ///
    /// Loses nothing; see [`as_completed`].
    ///
    /// # Examples
    ///
    /// See [`as_completed`].
    pub async fn next(&mut self) -> Option<W> {
        let next = Next(self);
        poll_fn(|cx| next.0.poll_next(cx)).await
    }

    /// Sets a time limit, which begins now. When it is over, each one that is left is given out as a
    /// [`TimeoutError`].
    ///
    /// *From asyncio:* `asyncio.as_completed(.., timeout=limit)`. Differences: the errors are values.
    ///
    /// # Cancellation
    ///
    /// What is left is not cancelled; the caller, who has no more handles of it than before, may do so.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Clock, EventLoop, TimeoutError, as_completed, create_task, sleep};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// event_loop.run_until_complete(async {
    ///     let tasks = [1, 60].map(|seconds| create_task(sleep(Duration::from_secs(seconds))));
    ///     let mut in_time = as_completed(&tasks).timeout(Duration::from_secs(10));
    ///     assert!(in_time.next().await.is_some_and(|first| first.is_ok()));
    ///     assert_eq!(in_time.next().await.map(Result::err), Some(Some(TimeoutError)));
    ///     assert!(in_time.next().await.is_none());
    ///     assert!(!tasks[1].done()); // it goes on
    /// })?;
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn timeout(self, limit: Duration) -> AsCompletedTimeout<W> {
        if let Some(watch) = &self.watch {
            watch.arm(limit);
        }
        AsCompletedTimeout { all: self }
    }

    /// The next one that is done, `Err` if the time is over.
    fn poll_one(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<W, TimeoutError>>> {
        if current::is_unwinding() {
            self.forget_cancelled();
            return current::pending_while_unwinding(cx);
        }
        let Some(watch) = self.watch.as_mut().filter(|_| self.left > 0) else {
            return Poll::Ready(None);
        };
        let place = ready!(watch.poll(cx));
        self.left -= 1;
        Poll::Ready(Some(match place {
            Some(place) => {
                let handle = self.handles[place].take();
                Ok(handle.expect("each is given out once"))
            }
            None => Err(TimeoutError),
        }))
    }

    /// The next one that is done, where there is no time limit.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<W>> {
        let next = ready!(self.poll_one(cx));
        Poll::Ready(next.and_then(Result::ok))
    }

    /// What is awaited beside this raises a cancellation, and if that was offered here as well it is
    /// the same one: it is not raised again by the next poll.
    fn forget_cancelled(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.getter.take_if(|getter| getter.cancelled());
        }
    }

    /// Nobody waits any more.
    fn stop_waiting(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.getter = None;
        }
    }
}

/// [`AsCompleted::next`] while it is awaited; when it is dropped, so is its await.
struct Next<'a, W>(&'a mut AsCompleted<W>);

impl<W> Drop for Next<'_, W> {
    fn drop(&mut self) {
        self.0.stop_waiting();
    }
}

impl<W> Stream for AsCompleted<W> {
    type Item = W;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<W>> {
        Self::poll_next(&mut self, cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<W> FusedStream for AsCompleted<W> {
    fn is_terminated(&self) -> bool {
        self.left == 0
    }
}

/// The handles are moved, never polled.
impl<W> Unpin for AsCompleted<W> {}

impl<W> fmt::Debug for AsCompleted<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<AsCompleted {} of {} left>",
            self.left,
            self.handles.len()
        )
    }
}

/// The stream of [`as_completed`] with a time limit; see [`AsCompleted::timeout`].
///
/// *From asyncio:* the object that `asyncio.as_completed(.., timeout=limit)` gives.
///
/// # Cancellation
///
/// As for [`as_completed`].
///
/// # Examples
///
/// See [`AsCompleted::timeout`].
#[must_use = "what is done is given out by `next()` only"]
pub struct AsCompletedTimeout<W> {
    all: AsCompleted<W>,
}

impl<W> AsCompletedTimeout<W> {
    /// Gives the next one that is done, a [`TimeoutError`] for each that was not in time, and then
    /// `None`.
    ///
    /// *From asyncio:* `anext()`.
    ///
    /// *Order:* as for [`AsCompleted::next`]. When the time is over, the task that waits goes on in the
    /// turn after that of the timer.
    ///
    /// # Cancellation
    ///
    /// Loses nothing; see [`as_completed`].
    ///
    /// # Examples
    ///
    /// See [`AsCompleted::timeout`].
    pub async fn next(&mut self) -> Option<Result<W, TimeoutError>> {
        let next = Next(&mut self.all);
        poll_fn(|cx| next.0.poll_one(cx)).await
    }
}

impl<W> Stream for AsCompletedTimeout<W> {
    type Item = Result<W, TimeoutError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.all.poll_one(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.all.size_hint()
    }
}

impl<W> FusedStream for AsCompletedTimeout<W> {
    fn is_terminated(&self) -> bool {
        self.all.left == 0
    }
}

impl<W> fmt::Debug for AsCompletedTimeout<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all.fmt(f)
    }
}

/// How a stream hears of its futures, and waits.
struct Watch {
    /// Registered until this goes.
    _listening: Listening,
    completions: Pin<Rc<Completions>>,
    /// What the task that waits for the next one awaits; asyncio's queue would have it.
    getter: Option<Future<()>>,
}

impl Watch {
    fn begin(futures: Vec<AnyRef>, site: &'static Location<'static>) -> Self {
        let lp = futures[0].base().lp.clone();
        let completions = Rc::pin(Completions {
            told: Told::new(&lp, futures.len()),
            left: Cell::new(futures.len()),
            done: RefCell::default(),
            expired: Cell::new(false),
            timer: Cell::new(None),
            getter: Cell::new(None),
            lp,
            site,
        });
        let listener: ListenerRef = completions.clone();
        Self {
            _listening: Listening::begin(futures, &completions.told, &listener),
            completions,
            getter: None,
        }
    }

    /// Sets the time limit.
    #[track_caller]
    fn arm(&self, limit: Duration) {
        let Completions {
            lp, timer, left, ..
        } = &*self.completions;
        if left.get() == 0 {
            // All are in time.
            return;
        }
        let completions = self.completions.clone();
        let expire = lp.call_at(lp.after(limit), move || completions.expire());
        let old = timer.replace(Some(TimerHandle::new(expire, lp.clone())));
        drop(old);
    }

    /// The place of the next one; `None` if the time is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        let Completions {
            done, expired, lp, ..
        } = &*self.completions;
        loop {
            if let Some(getter) = &mut self.getter {
                let polled = Pin::new(&mut *getter).poll(cx);
                if polled.is_ready() || getter.done() {
                    // It is over, cancelled perhaps: that is raised once.
                    self.getter = None;
                }
                ready!(polled);
            }
            let next = done.borrow_mut().pop_front();
            if next.is_some() || expired.get() {
                return Poll::Ready(next);
            }
            let getter = Future::new(Promise::create_for(
                NextCompleted,
                lp,
                self.completions.site,
            ));
            self.completions.getter.set(Some(getter.clone()));
            self.getter = Some(getter);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.completions.disarm();
    }
}

/// What hears of the futures of a stream.
struct Completions {
    lp: Rc<LoopState>,
    told: Told,
    /// How many have not been heard of.
    left: Cell<usize>,
    /// The places of those that are done and have not been given out.
    done: RefCell<VecDeque<usize>>,
    /// The time is over: nothing is heard of any more.
    expired: Cell<bool>,
    timer: Cell<Option<TimerHandle>>,
    /// What somebody who waits awaits.
    getter: Cell<Option<Future<()>>>,
    site: &'static Location<'static>,
}

impl Completions {
    /// There is something to give out.
    fn wake(&self) {
        if let Some(getter) = self.getter.take() {
            // It may have been cancelled.
            let _ = getter.set_result(());
        }
    }

    /// The time is over.
    fn expire(&self) {
        self.expired.set(true);
        self.wake();
    }

    fn disarm(&self) {
        if let Some(timer) = self.timer.take() {
            timer.cancel();
        }
    }
}

impl Listener for Completions {
    fn told(&self, id: u64, _future: &dyn AnyFuture, _how: State) -> bool {
        self.told.add(id);
        true
    }

    fn on_behalf(&self) -> Option<AnyRef> {
        let getter = self.getter.take()?;
        let any = getter.any();
        self.getter.set(Some(getter));
        Some(any)
    }
}

impl Run for Completions {
    fn run(self: Pin<Rc<Self>>, lp: &Rc<LoopState>, _stepper: &mut Stepper<'_>) {
        lp.callback_site.set(Some(self.site));
        let place = self.told.next();
        let Some(place) = place.filter(|_| !self.expired.get()) else {
            return;
        };
        self.left.set(self.left.get() - 1);
        if self.left.get() == 0 {
            self.disarm();
        }
        self.done.borrow_mut().push_back(place);
        self.wake();
    }

    fn about(&self) -> About {
        About::at(EntryKind::AsCompleted, self.site)
    }
}
