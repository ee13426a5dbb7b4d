//! Coroutines by hand: an `async` block that yields values to whoever drives it.
//!
//! This is the raw material of an event loop. asyncio's loop is, at heart, a queue of Python coroutines
//! and a caller of their `send(None)`; what they yield tells it what they wait for. A [`Coroutine`] shows
//! the same with nothing in between: no loop, no waker, no task. `examples/ping_pong.rs` makes a loop of it.

mod errors;
mod yielder;

use std::cell::Cell;
use std::fmt;
use std::iter::FusedIterator;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

pub use self::errors::ResumeError;
pub use self::yielder::{Yielder, Yielding};

use self::yielder::{Answer, Exchange};

/// An `async` block that yields values, and is driven by hand.
///
/// [`send`](Self::send) runs it to its next yield, and gives what it yielded, or to its end, and gives
/// what it returned. Between two calls it stands still. It yields through the [`Yielder`] that it is
/// given; an `async fn` that it calls can have a reference to that, and so yield from any depth.
///
/// It yields a `Y`, returns an `R`, and at each yield is sent an `S`, which is nothing unless one says
/// so: [`receiving`](Self::receiving).
///
/// *From asyncio:* Python's generators and coroutines, below asyncio. Differences:
///
/// * to yield, one needs the yielder; a Python coroutine yields by what it awaits;
/// * there is no `throw()`: let `S` be a `Result`;
/// * one that is dropped before its end runs its `Drop` guards there and then; a Python one is closed when
///   it is collected.
///
/// # Examples
///
/// ```
/// use callsoon::{Coroutine, CoroutineState, Yielder};
///
/// async fn count(out: Yielder<u32>) -> &'static str {
///     for n in 1..=2 {
///         out.yield_(n).await;
///     }
///     "no more"
/// }
///
/// let coroutine = Coroutine::new(count); // nothing runs yet
/// assert_eq!(coroutine.send(()), CoroutineState::Yielded(1));
/// assert_eq!(coroutine.send(()), CoroutineState::Yielded(2));
/// assert_eq!(coroutine.send(()), CoroutineState::Complete("no more"));
/// ```
///
/// It is an iterator over what it yields:
///
/// ```
/// use callsoon::Coroutine;
///
/// let fibonacci = Coroutine::new(async |out| {
///     let (mut a, mut b) = (0, 1);
///     loop {
///         out.yield_(a).await;
///         (a, b) = (b, a + b);
///     }
/// });
/// assert!(fibonacci.take(8).eq([0, 1, 1, 2, 3, 5, 8, 13]));
/// ```
#[must_use = "it does nothing until somebody sends to it"]
pub struct Coroutine<Y, R, S = ()> {
    /// Away while it runs, and gone when it is over.
    body: Cell<Option<Body<R>>>,
    exchange: Rc<Exchange<Y, S>>,
    /// Who gets what is sent next; empty while it runs, and when it is over.
    answer: Cell<Option<Answer<S>>>,
    /// What it returned, if an iteration came to the end.
    result: Cell<Option<R>>,
    site: &'static Location<'static>,
}

/// An `async` block in memory.
type Body<R> = Pin<Box<dyn Future<Output = R>>>;

/// What a [`Coroutine`] did when it was resumed.
///
/// *From asyncio:* what `coroutine.send()` returns, or the value in the `StopIteration` that it raises.
///
/// # Examples
///
/// ```
/// use callsoon::{Coroutine, CoroutineState};
///
/// let coroutine = Coroutine::new(async |out| {
///     out.yield_("half-way").await;
///     7
/// });
/// let lucky = loop {
///     match coroutine.send(()) {
///         CoroutineState::Yielded(where_it_is) => println!("{where_it_is}"),
///         CoroutineState::Complete(result) => break result,
///     }
/// };
/// assert_eq!(lucky, 7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "it may be the coroutine's result"]
pub enum CoroutineState<Y, R> {
    /// It yielded this, and can be resumed.
    Yielded(Y),
    /// It returned this, and is over.
    Complete(R),
}

impl<Y: 'static, R: 'static> Coroutine<Y, R> {
    /// Makes a coroutine, of which nothing runs yet.
    ///
    /// *From asyncio:* calling an `async def` function, or a generator function.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::Coroutine;
    ///
    /// let name = "world".to_owned();
    /// let greeting = Coroutine::new(async move |out| {
    ///     out.yield_("hello".to_owned()).await;
    ///     out.yield_(name).await;
    /// });
    /// assert_eq!(greeting.collect::<Vec<_>>(), ["hello", "world"]);
    /// ```
    #[track_caller]
    pub fn new(body: impl AsyncFnOnce(Yielder<Y>) -> R + 'static) -> Self {
        Self::receiving(async move |yielder, ()| body(yielder).await)
    }
}

impl<Y: 'static, R: 'static, S: 'static> Coroutine<Y, R, S> {
    /// Makes a coroutine that is sent values. It is given the first, with which it is started; each
    /// further one is what a yield comes back with.
    ///
    /// *From asyncio:* a generator that uses the value of `yield`. Differences: the first value is not
    /// lost, so it need not be `None`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Coroutine, CoroutineState::Yielded};
    ///
    /// let average = Coroutine::<f64, (), f64>::receiving(async |out, first| {
    ///     let (mut sum, mut count) = (first, 1.0);
    ///     loop {
    ///         sum += out.yield_(sum / count).await;
    ///         count += 1.0;
    ///     }
    /// });
    /// assert_eq!(average.send(10.0), Yielded(10.0));
    /// assert_eq!(average.send(20.0), Yielded(15.0));
    /// assert_eq!(average.send(60.0), Yielded(30.0));
    /// ```
    #[track_caller]
    pub fn receiving(body: impl AsyncFnOnce(Yielder<Y, S>, S) -> R + 'static) -> Self {
        let exchange = Rc::new(Exchange::new());
        let yielder = Yielder::new(exchange.clone());
        let answer = Answer::default();
        let first = answer.clone();
        let body = async move {
            let first = first.take().expect("it is started by a first value");
            body(yielder, first).await
        };
        Self {
            body: Cell::new(Some(Box::pin(body))),
            exchange,
            answer: Cell::new(Some(answer)),
            result: Cell::new(None),
            site: Location::caller(),
        }
    }
}

impl<Y, R, S> Coroutine<Y, R, S> {
    /// Runs it to its next yield or to its end. `value` is what the yield comes back with where it is
    /// suspended.
    ///
    /// *From asyncio:* `coroutine.send(value)`. Differences: the end is a value, not a `StopIteration`.
    ///
    /// # Panics
    ///
    /// * If it is over, or if this is called from inside itself; see [`try_send`](Self::try_send).
    /// * If it awaits something that is not its yielder and is not ready.
    ///
    /// A panic of the coroutine goes on here, and it is over.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Coroutine, CoroutineState::{Complete, Yielded}};
    ///
    /// let echo = Coroutine::receiving(async |out, name| {
    ///     let age: String = out.yield_(format!("{name}, how old are you?")).await;
    ///     format!("{name} is {age}")
    /// });
    /// assert_eq!(echo.send("Ada".into()), Yielded("Ada, how old are you?".into()));
    /// assert_eq!(echo.send("36".into()), Complete("Ada is 36".into()));
    /// ```
    #[track_caller]
    pub fn send(&self, value: S) -> CoroutineState<Y, R> {
        match self.try_send(value) {
            Ok(state) => state,
            Err(refused) => panic!("coroutine created at {}: {refused}", self.site),
        }
    }

    /// Does what [`send`](Self::send) does, and gives an error where that panics.
    ///
    /// *From asyncio:* `coroutine.send(value)`, with its `RuntimeError` and `ValueError`.
    ///
    /// # Errors
    ///
    /// * [`ResumeError::Finished`] if it is over.
    /// * [`ResumeError::Running`] if this is called from inside itself.
    /// * [`ResumeError::AwaitsOther`] if it awaits something that is not its yielder and is not ready.
    ///   Nobody would wake it, so it is closed.
    ///
    /// # Panics
    ///
    /// A panic of the coroutine goes on here, and it is over.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Coroutine, CoroutineState, ResumeError};
    ///
    /// let once = Coroutine::<(), _>::new(async |_| "done");
    /// assert_eq!(once.try_send(()), Ok(CoroutineState::Complete("done")));
    /// assert_eq!(once.try_send(()), Err(ResumeError::Finished(())));
    /// ```
    pub fn try_send(&self, value: S) -> Result<CoroutineState<Y, R>, ResumeError<S>> {
        let Some(mut body) = self.body.take() else {
            return Err(match self.exchange.is_running() {
                true => ResumeError::Running(value),
                false => ResumeError::Finished(value),
            });
        };
        // Dropped before the body, whose `Drop` guards find the coroutine over if this unwinds.
        let running = self.exchange.run();
        let answer = self.answer.take().expect("it is suspended at a yield");
        // The yield itself may be gone, and with it the value.
        answer.set(Some(value));
        drop(answer);
        let polled = body.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(running);
        let yielded = self.exchange.take();
        match (polled, yielded) {
            (Poll::Ready(result), _) => Ok(CoroutineState::Complete(result)),
            (Poll::Pending, Some((value, answer))) => {
                self.answer.set(Some(answer));
                self.body.set(Some(body));
                Ok(CoroutineState::Yielded(value))
            }
            (Poll::Pending, None) => Err(ResumeError::AwaitsOther),
        }
    }

    /// Drops what is left of it; its `Drop` guards run now. Closing it again does nothing.
    ///
    /// *From asyncio:* `coroutine.close()`. Differences: it cannot decline.
    ///
    /// # Panics
    ///
    /// If this is called from inside itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::Coroutine;
    ///
    /// let forever = Coroutine::new(async |out| loop {
    ///     out.yield_("still here").await;
    /// });
    /// assert_eq!((&forever).next(), Some("still here"));
    /// forever.close();
    /// assert_eq!((&forever).next(), None);
    /// # let _: Coroutine<&str, ()> = forever;
    /// ```
    #[track_caller]
    pub fn close(&self) {
        assert!(
            !self.exchange.is_running(),
            "coroutine created at {}: it cannot be closed from inside itself",
            self.site
        );
        self.answer.take();
        drop(self.body.take());
    }

    /// Says whether it is over: it returned, panicked or was closed.
    ///
    /// *From asyncio:* `inspect.getcoroutinestate(coroutine) == CORO_CLOSED`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::Coroutine;
    ///
    /// let coroutine = Coroutine::<u32, ()>::new(async |_| ());
    /// assert!(!coroutine.done());
    /// assert_eq!((&coroutine).count(), 0);
    /// assert!(coroutine.done());
    /// ```
    pub fn done(&self) -> bool {
        self.stage() == Stage::Over
    }

    /// Takes out what it returned when an iteration came to its end.
    ///
    /// What [`send`](Self::send) has given out is not here.
    ///
    /// *From asyncio:* `StopIteration.value`, which a `for` loop drops.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::Coroutine;
    ///
    /// let parts = Coroutine::new(async |out| {
    ///     out.yield_("one").await;
    ///     out.yield_("two").await;
    ///     "that was all"
    /// });
    /// for part in &parts {
    ///     println!("{part}");
    /// }
    /// assert_eq!(parts.take_result(), Some("that was all"));
    /// ```
    pub fn take_result(&self) -> Option<R> {
        self.result.take()
    }

    fn stage(&self) -> Stage {
        // Only looked at: no user code runs between the two.
        let body = self.body.take();
        let suspended = body.is_some();
        self.body.set(body);
        match (suspended, self.exchange.is_running()) {
            (true, _) => Stage::Suspended,
            (false, true) => Stage::Running,
            (false, false) => Stage::Over,
        }
    }
}

/// What a coroutine is doing, as `Debug` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It waits to be resumed, for the first time or at a yield.
    Suspended,
    /// It is being resumed.
    Running,
    /// It will never run again.
    Over,
}

/// Over what it yields; what it returns is for [`Coroutine::take_result`].
///
/// *From asyncio:* `for value in generator`.
///
/// # Panics
///
/// As [`Coroutine::send`] does; after its end it gives `None`.
///
/// # Examples
///
/// ```
/// let numbers = callsoon::Coroutine::new(async |out| out.yield_(1).await);
/// assert_eq!((&numbers).sum::<u32>(), 1);
/// ```
impl<Y, R> Iterator for &Coroutine<Y, R> {
    type Item = Y;

    #[track_caller]
    fn next(&mut self) -> Option<Y> {
        if self.done() {
            return None;
        }
        match self.send(()) {
            CoroutineState::Yielded(value) => Some(value),
            CoroutineState::Complete(result) => {
                self.result.set(Some(result));
                None
            }
        }
    }
}

/// The same by value.
///
/// *From asyncio:* `for value in generator`.
///
/// # Examples
///
/// ```
/// let numbers = callsoon::Coroutine::new(async |out| out.yield_(1).await);
/// assert_eq!(numbers.sum::<u32>(), 1);
/// ```
impl<Y, R> Iterator for Coroutine<Y, R> {
    type Item = Y;

    #[track_caller]
    fn next(&mut self) -> Option<Y> {
        (&*self).next()
    }
}

impl<Y, R> FusedIterator for &Coroutine<Y, R> {}

impl<Y, R> FusedIterator for Coroutine<Y, R> {}

/// What is pinned in it is in a box.
impl<Y, R, S> Unpin for Coroutine<Y, R, S> {}

impl<Y, R, S> fmt::Debug for Coroutine<Y, R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coroutine")
            .field("stage", &self.stage())
            .field("created_at", &format_args!("{}", self.site))
            .finish_non_exhaustive()
    }
}
