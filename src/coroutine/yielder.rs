//! How the inside of a coroutine and whoever drives it exchange values.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_core::FusedFuture;

/// Where what is sent is put, for the yield that waits for it.
pub(super) type Answer<S> = Rc<Cell<Option<S>>>;

/// What a coroutine and its driver share.
pub(super) struct Exchange<Y, S> {
    /// The coroutine is being polled.
    running: Cell<bool>,
    /// What was yielded in this step, with the place for the answer.
    yielded: Cell<Option<(Y, Answer<S>)>>,
    /// Of combinators inside the coroutine, which poll only what was woken; they are woken by the
    /// next step.
    wakers: Cell<Vec<Waker>>,
}

impl<Y, S> Exchange<Y, S> {
    pub(super) fn new() -> Self {
        Self {
            running: Cell::new(false),
            yielded: Cell::new(None),
            wakers: Cell::default(),
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.get()
    }

    /// Begins a step, which lasts as long as what this gives.
    pub(super) fn run(&self) -> Running<'_> {
        let running = Running(&self.running);
        self.running.set(true);
        for waker in self.wakers.take() {
            waker.wake();
        }
        running
    }

    /// Takes out what was yielded in this step.
    pub(super) fn take(&self) -> Option<(Y, Answer<S>)> {
        self.yielded.take()
    }

    /// Yields `value`, unless something else has been yielded in this step: then gives it back.
    fn offer(&self, value: Y, answer: &Answer<S>) -> Result<(), Y> {
        match self.yielded.take() {
            None => {
                self.yielded.set(Some((value, answer.clone())));
                Ok(())
            }
            other => {
                self.yielded.set(other);
                Err(value)
            }
        }
    }

    /// Takes back what was yielded in this step with this place for the answer.
    fn take_back(&self, answer: &Answer<S>) {
        let yielded = self.yielded.take();
        let mine = |(_, its): &(Y, Answer<S>)| Rc::ptr_eq(its, answer);
        if !yielded.as_ref().is_some_and(mine) {
            self.yielded.set(yielded);
        }
    }

    /// Has the next step wake this.
    fn wake_next(&self, waker: &Waker) {
        if !waker.will_wake(Waker::noop()) {
            let mut wakers = self.wakers.take();
            wakers.push(waker.clone());
            self.wakers.set(wakers);
        }
    }
}

/// A step of a coroutine.
pub(super) struct Running<'a>(&'a Cell<bool>);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// What the inside of a [`Coroutine`](crate::Coroutine) yields through.
///
/// *From asyncio:* the keyword `yield`, which Rust keeps for itself.
///
/// # Examples
///
/// An `async fn` that is called can yield, too, as with Python's `yield from`:
///
/// ```
/// use callsoon::{Coroutine, Yielder};
///
/// async fn countdown(out: &Yielder<String>, from: u32) {
///     for n in (1..=from).rev() {
///         out.yield_(format!("{n} ...")).await;
///     }
/// }
///
/// let launch = Coroutine::new(async |out| {
///     countdown(&out, 3).await;
///     out.yield_("go!".to_owned()).await;
/// });
/// assert_eq!(launch.collect::<Vec<_>>(), ["3 ...", "2 ...", "1 ...", "go!"]);
/// ```
pub struct Yielder<Y, S = ()> {
    exchange: Rc<Exchange<Y, S>>,
}

impl<Y, S> Yielder<Y, S> {
    pub(super) fn new(exchange: Rc<Exchange<Y, S>>) -> Self {
        Self { exchange }
    }

    /// Suspends the coroutine and hands `value` to whoever drives it. Comes back with what is sent.
    ///
    /// Of several yields that are awaited at once, as in `join!`, each has a step of its own, one after the
    /// other. One that is dropped in the very step in which it yielded has not happened.
    ///
    /// *From asyncio:* `yield value`.
    ///
    /// # Panics
    ///
    /// When polled outside its coroutine, or again after it was over.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Coroutine, CoroutineState::Yielded};
    ///
    /// let counter = Coroutine::<u32, (), bool>::receiving(async |out, mut up| {
    ///     let mut n = 5;
    ///     loop {
    ///         n = if up { n + 1 } else { n - 1 };
    ///         up = out.yield_(n).await;
    ///     }
    /// });
    /// assert_eq!([true, true, false].map(|up| counter.send(up)), [6, 7, 6].map(Yielded));
    /// ```
    #[must_use = "it yields when it is awaited"]
    pub fn yield_(&self, value: Y) -> Yielding<Y, S> {
        Yielding {
            exchange: self.exchange.clone(),
            state: State::Holds(value),
            answer: Answer::default(),
        }
    }
}

impl<Y, S> Clone for Yielder<Y, S> {
    fn clone(&self) -> Self {
        Self::new(self.exchange.clone())
    }
}

impl<Y, S> fmt::Debug for Yielder<Y, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Yielder").finish_non_exhaustive()
    }
}

/// The future of [`Yielder::yield_`], for naming its type.
///
/// *From asyncio:* nothing.
///
/// # Examples
///
/// ```
/// use callsoon::{Coroutine, Yielder, Yielding};
///
/// struct Sleep(u32);
///
/// impl Sleep {
///     fn on(self, out: &Yielder<Sleep>) -> Yielding<Sleep> {
///         out.yield_(self) // an event that is awaited by yielding itself
///     }
/// }
///
/// let sleeper = Coroutine::new(async |out| Sleep(3).on(&out).await);
/// assert_eq!((&sleeper).next().map(|event| event.0), Some(3));
/// ```
#[must_use = "it yields when it is awaited"]
pub struct Yielding<Y, S = ()> {
    exchange: Rc<Exchange<Y, S>>,
    state: State<Y>,
    answer: Answer<S>,
}

/// How far a yield has come.
enum State<Y> {
    /// Not yielded yet.
    Holds(Y),
    /// Yielded; an answer will come with the next step.
    Waits,
    /// The answer has been given out.
    Over,
}

/// Nothing in it is pinned.
impl<Y, S> Unpin for Yielding<Y, S> {}

impl<Y, S> Future for Yielding<Y, S> {
    type Output = S;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<S> {
        let this = &mut *self;
        assert!(
            this.exchange.is_running(),
            "a yield was awaited outside its coroutine"
        );
        match std::mem::replace(&mut this.state, State::Waits) {
            State::Holds(value) => {
                if let Err(value) = this.exchange.offer(value, &this.answer) {
                    this.state = State::Holds(value);
                }
            }
            State::Waits => {
                if let Some(answer) = this.answer.take() {
                    this.state = State::Over;
                    return Poll::Ready(answer);
                }
            }
            State::Over => panic!("a yield was awaited again after it was over"),
        }
        this.exchange.wake_next(cx.waker());
        Poll::Pending
    }
}

impl<Y, S> FusedFuture for Yielding<Y, S> {
    fn is_terminated(&self) -> bool {
        matches!(self.state, State::Over)
    }
}

impl<Y, S> Drop for Yielding<Y, S> {
    fn drop(&mut self) {
        if matches!(self.state, State::Waits) {
            self.exchange.take_back(&self.answer);
        }
    }
}

impl<Y, S> fmt::Debug for Yielding<Y, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Holds(_) => "holds a value",
            State::Waits => "waits for an answer",
            State::Over => "over",
        };
        f.debug_struct("Yielding")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
