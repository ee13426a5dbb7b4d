//! [`LoopBound`]: a name, for every thread, of something that stays on the loop's.
//!
//! The name is a number, and the loop has a table of what the numbers stand for. A thread posts the number along
//! with what is to be done; the last name, as it goes, posts that the number is not needed any more. Both go
//! through the one mailbox, so whatever was posted before still finds the value.

use std::any::{Any, type_name};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use crate::concurrent;
use crate::errors::LoopClosedError;
use crate::event_loop::{Errand, LoopHandle, LoopState, RemoteHandle, current};

/// What a loop keeps for those who have names of it.
#[derive(Default)]
pub(super) struct Bindings {
    by_number: RefCell<BTreeMap<u64, Binding>>,
}

/// A value, and where it was bound.
#[derive(Clone)]
struct Binding {
    value: Rc<dyn Any>,
    site: &'static Location<'static>,
}

impl Bindings {
    fn insert(&self, number: u64, binding: Binding) {
        let old = self.by_number.borrow_mut().insert(number, binding);
        debug_assert!(old.is_none(), "numbers are not used again");
    }

    fn get(&self, number: u64) -> Option<Binding> {
        self.by_number.borrow().get(&number).cloned()
    }

    fn remove(&self, number: u64) -> Option<Binding> {
        self.by_number.borrow_mut().remove(&number)
    }

    /// Drops everything, in the order in which it was bound; says whether there was anything.
    pub(super) fn drop_all(&self, lp: &Rc<LoopState>) -> bool {
        let all = self.by_number.take();
        let any = !all.is_empty();
        for binding in all.into_values() {
            binding.let_go(lp);
        }
        any
    }
}

impl Binding {
    /// Drops it; a panic is reported.
    fn let_go(self, lp: &Rc<LoopState>) {
        lp.guard("drop of a bound value", self.site, move || drop(self.value));
    }
}

/// Calls `look` with what the number stands for; `None` if the loop, which is being closed, has dropped it.
fn visit<T: 'static, R>(lp: &Rc<LoopState>, number: u64, look: impl FnOnce(&T) -> R) -> Option<R> {
    let binding = lp.threads.bindings.get(number)?;
    let value = binding.value.clone().downcast::<T>();
    let visit = Visit {
        lp,
        binding: Some(binding),
        value: Some(value.expect("a number stands for a value of one type")),
    };
    visit.value.as_deref().map(look)
}

/// Somebody looks at a value. `look` may close the loop, and then this has the last of it.
struct Visit<'a, T> {
    lp: &'a Rc<LoopState>,
    value: Option<Rc<T>>,
    binding: Option<Binding>,
}

impl<T> Drop for Visit<'_, T> {
    fn drop(&mut self) {
        // Not the last of it: the binding has another.
        drop(self.value.take());
        if let Some(binding) = self.binding.take() {
            binding.let_go(self.lp);
        }
    }
}

impl LoopHandle {
    /// Gives a name of `value` for other threads; `value` itself stays with the loop.
    ///
    /// Queues, futures, events and tasks are not `Send`, nor is anything with an `Rc` in it. With a
    /// [`LoopBound`] of its own a thread has things done with them on the loop's thread. As a rule what one binds
    /// is a clone, and coroutines go on with the original.
    ///
    /// *From asyncio:* nothing; there a thread has the objects themselves, and must take care what it does with them.
    ///
    /// *Order:* when the last clone of the name goes, `value` is dropped: on the loop's thread, where a callback
    /// would run that is posted then ([`call_soon_threadsafe`](RemoteHandle::call_soon_threadsafe)); a loop that
    /// sleeps wakes up for it. If the loop is closed first, `value` goes [then](crate::EventLoop::close).
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::thread;
    /// use callsoon::{EventLoop, Queue};
    ///
    /// let event_loop = EventLoop::new();
    /// let queue = Queue::new(0);
    /// let inbox = event_loop.bind(queue.clone());
    /// thread::spawn(move || {
    ///     for line in ["GET /", "", "bye"] {
    ///         // asyncio: loop.call_soon_threadsafe(queue.put_nowait, line)
    ///         inbox.call_soon_threadsafe(move |queue| queue.put_nowait(line).unwrap()).unwrap();
    ///     }
    /// });
    /// let lines = event_loop.run_until_complete(async move {
    ///     [queue.get().await, queue.get().await, queue.get().await].map(Result::unwrap)
    /// })?;
    /// assert_eq!(lines, ["GET /", "", "bye"]);
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    #[track_caller]
    pub fn bind<T: 'static>(&self, value: T) -> LoopBound<T> {
        let site = Location::caller();
        let bindings = &self.lp.threads.bindings;
        let number = self.lp.threads.next_bridge();
        // A closed loop keeps nothing, not even for a `Drop` that must not panic.
        if self.lp.accepts() {
            let value = Rc::new(value);
            bindings.insert(number, Binding { value, site });
        }
        let name = Name {
            remote: self.remote(),
            number,
        };
        LoopBound {
            name: Arc::new(name),
            value: PhantomData,
        }
    }
}

/// A name, for every thread, of a value that stays on a loop's thread; made by [`LoopHandle::bind`].
///
/// It is `Send`, `Sync` and cheap to clone, whatever `T` is. A closed loop has dropped the value; the name does no
/// harm then. It promises nothing to a virtual clock, as a [`RemoteHandle`] does not: a thread that will use it
/// holds [expected work](RemoteHandle::expect_work).
///
/// A value that has its own name in it, and is thus never without one, stays until the loop is closed.
///
/// *From asyncio:* the object itself, in another thread's `loop.call_soon_threadsafe(queue.put_nowait, item)`.
///
/// # Examples
///
/// A thread completes a future, and sets an event:
///
/// ```
/// use std::thread;
/// use callsoon::{Event, EventLoop};
///
/// let event_loop = EventLoop::new();
/// let (answer, ready) = (event_loop.create_future(), Event::new());
/// let (promise, light) = (event_loop.bind(answer.clone()), event_loop.bind(ready.clone()));
/// thread::spawn(move || {
///     // asyncio: loop.call_soon_threadsafe(event.set)
///     light.call_soon_threadsafe(|event| event.set()).unwrap();
///     // asyncio: loop.call_soon_threadsafe(future.set_result, 42)
///     promise.call_soon_threadsafe(|future| future.set_result(42).unwrap()).unwrap();
/// });
/// let answer = event_loop.run_until_complete(async move {
///     ready.wait().await;
///     answer.await
/// })?;
/// assert_eq!(answer, 42);
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[must_use = "the loop drops the value when its last name is dropped"]
pub struct LoopBound<T: 'static> {
    name: Arc<Name>,
    /// Invariant: a value is found again as the very type as which it was bound.
    value: PhantomData<fn(T) -> T>,
}

/// What the clones of a name share.
struct Name {
    remote: RemoteHandle,
    number: u64,
}

impl Drop for Name {
    fn drop(&mut self) {
        // A closed loop has dropped the value already.
        drop(self.remote.send(Unbind(self.number)));
    }
}

/// The last name of a value is gone.
struct Unbind(u64);

impl Errand for Unbind {
    fn run(self: Box<Self>, lp: &Rc<LoopState>) {
        if let Some(binding) = lp.threads.bindings.remove(self.0) {
            binding.let_go(lp);
        }
    }
}

/// Something to be done with a value.
struct Call<T: 'static, F> {
    number: u64,
    callback: F,
    value: PhantomData<fn(T) -> T>,
}

impl<T: 'static, F: FnOnce(&T) + Send> Errand for Call<T, F> {
    fn run(self: Box<Self>, lp: &Rc<LoopState>) {
        visit(lp, self.number, self.callback);
    }
}

impl<T: 'static> LoopBound<T> {
    /// Schedules `callback` on the loop, with the value, from any thread, and wakes the loop if it sleeps.
    ///
    /// *From asyncio:* `loop.call_soon_threadsafe(callback, value)`. Differences: those of
    /// [`RemoteHandle::call_soon_threadsafe`].
    ///
    /// *Order:* that of [`RemoteHandle::call_soon_threadsafe`], whichever name or handle of the loop a thread
    /// posts through. The value is there: also if this name is dropped right after, it goes later.
    ///
    /// # Errors
    ///
    /// * [`LoopClosedError`] if the loop is closed; the callback comes back in it. No other error.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{cell::RefCell, rc::Rc, thread};
    /// use callsoon::{EventLoop, LoopClosedError};
    ///
    /// let event_loop = EventLoop::new();
    /// let journal = Rc::new(RefCell::new(Vec::new()));
    /// let log = event_loop.bind(journal.clone());
    /// let worker = thread::spawn(move || {
    ///     for entry in ["one", "two"] {
    ///         log.call_soon_threadsafe(move |journal| journal.borrow_mut().push(entry))?;
    ///     }
    ///     log.remote().stop();
    ///     Ok::<_, LoopClosedError<_>>(())
    /// });
    /// event_loop.run_forever();
    /// assert!(worker.join().unwrap().is_ok());
    /// assert_eq!(*journal.borrow(), ["one", "two"]);
    /// ```
    pub fn call_soon_threadsafe<F>(&self, callback: F) -> Result<(), LoopClosedError<F>>
    where
        F: FnOnce(&T) + Send + 'static,
    {
        let call = Call {
            number: self.name.number,
            callback,
            value: PhantomData,
        };
        let sent = self.name.remote.send(call);
        sent.map_err(|call| LoopClosedError(call.callback))
    }

    /// Has `make` called with the value on the loop's thread, runs the coroutine that it makes as a task there,
    /// and gives a future of its result. The coroutine need not be `Send`.
    ///
    /// The coroutine has what `make` gives it, a clone of the value for example; the value itself may go as soon
    /// as `make` has returned. Otherwise it is [`RemoteHandle::run_coroutine_threadsafe`].
    ///
    /// *From asyncio:* `asyncio.run_coroutine_threadsafe(worker(value), loop)`. Differences: those of
    /// [`RemoteHandle::run_coroutine_threadsafe`].
    ///
    /// *Order:* that of [`RemoteHandle::run_coroutine_threadsafe`].
    ///
    /// # Cancellation
    ///
    /// As for [`RemoteHandle::run_coroutine_threadsafe`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::thread;
    /// use callsoon::{EventLoop, Queue};
    ///
    /// async fn sum(queue: Queue<u32>) -> u32 {
    ///     let mut sum = 0;
    ///     while let Ok(number) = queue.get().await {
    ///         sum += number;
    ///     }
    ///     sum
    /// }
    ///
    /// let event_loop = EventLoop::new();
    /// let numbers = event_loop.bind(Queue::new(2));
    /// let worker = thread::spawn(move || {
    ///     // asyncio: asyncio.run_coroutine_threadsafe(sum(queue), loop)
    ///     let sum = numbers.run_coroutine_threadsafe(|queue| sum(queue.clone()));
    ///     for number in [1, 2, 3, 4] {
    ///         // A queue that is full makes this thread wait.
    ///         let put = numbers.run_coroutine_threadsafe(move |queue| queue.put(number));
    ///         put.result(None).unwrap().unwrap();
    ///     }
    ///     numbers.call_soon_threadsafe(|queue| queue.shutdown(false)).unwrap();
    ///     let sum = sum.result(None);
    ///     numbers.remote().stop();
    ///     sum
    /// });
    /// event_loop.run_forever();
    /// assert_eq!(worker.join().unwrap().unwrap(), 10);
    /// ```
    #[track_caller]
    pub fn run_coroutine_threadsafe<F, C>(&self, make: F) -> concurrent::Future<C::Output>
    where
        F: FnOnce(&T) -> C + Send + 'static,
        C: IntoFuture<Output: Send + 'static, IntoFuture: 'static> + 'static,
    {
        let number = self.name.number;
        let make = move |lp: &Rc<LoopState>| visit(lp, number, make);
        self.name.remote.submit(Location::caller(), make)
    }

    /// Looks at the value now, on the loop's own thread: without posting, and whether the loop runs or not.
    ///
    /// *From asyncio:* nothing; there a thread has the object itself.
    ///
    /// *Order:* in front of whatever was posted and has not run yet.
    ///
    /// # Errors
    ///
    /// * [`LoopBoundError::OtherThread`] if this is not the loop's thread;
    /// * [`LoopBoundError::LoopClosed`] if the loop is closed, or dropped the value because it is being closed.
    ///
    /// # Panics
    ///
    /// Whenever `look` does.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{cell::Cell, thread};
    /// use callsoon::{EventLoop, LoopBoundError};
    ///
    /// let event_loop = EventLoop::new();
    /// let hits = event_loop.bind(Cell::new(0));
    /// hits.with(|hits| hits.set(hits.get() + 1))?;
    /// let elsewhere = hits.clone();
    /// let refused = thread::spawn(move || elsewhere.with(Cell::get)).join().unwrap();
    /// assert!(matches!(refused, Err(LoopBoundError::OtherThread(_))));
    /// assert_eq!(hits.with(Cell::get), Ok(1));
    /// event_loop.close();
    /// assert_eq!(hits.with(Cell::get), Err(LoopBoundError::LoopClosed));
    /// # Ok::<(), LoopBoundError>(())
    /// ```
    pub fn with<R>(&self, look: impl FnOnce(&T) -> R) -> Result<R, LoopBoundError> {
        let remote = &self.name.remote;
        match current::local(remote.loop_id()) {
            Some(lp) => visit(&lp, self.name.number, look).ok_or(LoopBoundError::LoopClosed),
            None if remote.is_closed() => Err(LoopBoundError::LoopClosed),
            None => Err(LoopBoundError::OtherThread(remote.loop_site())),
        }
    }

    /// Gives a handle of the loop, to stop it for example.
    ///
    /// *From asyncio:* `loop`, which a thread has as well.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::thread;
    /// use callsoon::{Clock, Event, EventLoop};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// let event = Event::new();
    /// let light = event_loop.bind(event.clone());
    /// let expected = light.remote().expect_work(); // or a loop on this clock would see a deadlock
    /// thread::spawn(move || {
    ///     light.call_soon_threadsafe(|event| event.set()).unwrap();
    ///     drop(expected);
    /// });
    /// assert!(event_loop.run_until_complete(async move { event.wait().await }).is_ok());
    /// ```
    pub fn remote(&self) -> RemoteHandle {
        self.name.remote.clone()
    }
}

impl<T: 'static> Clone for LoopBound<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            value: PhantomData,
        }
    }
}

impl<T: 'static> fmt::Debug for LoopBound<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (of, site) = (type_name::<T>(), self.name.remote.loop_site());
        write!(f, "<LoopBound {of} on the loop created at {site}>")
    }
}

/// Why [`LoopBound::with`] cannot look at a value.
///
/// *From asyncio:* nothing; there a thread has the object itself.
///
/// # Examples
///
/// ```
/// use callsoon::{EventLoop, Queue};
///
/// let event_loop = EventLoop::new();
/// let inbox = event_loop.bind(Queue::<u8>::new(0));
/// let length = move || match inbox.with(|queue| queue.qsize()) {
///     Ok(length) => length.to_string(),
///     Err(refused) => refused.to_string(),
/// };
/// assert_eq!(length(), "0");
/// let elsewhere = std::thread::spawn(length).join().unwrap();
/// assert!(elsewhere.starts_with("the value belongs to another thread, to the event loop created at "));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoopBoundError {
    /// The loop belongs to another thread; here is where it was created.
    OtherThread(&'static Location<'static>),
    /// The loop is closed, or about to be, and has dropped the value.
    LoopClosed,
}

impl fmt::Display for LoopBoundError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherThread(site) => write!(
                f,
                "the value belongs to another thread, to the event loop created at {site}"
            ),
            Self::LoopClosed => f.write_str("event loop is closed"),
        }
    }
}

impl std::error::Error for LoopBoundError {}
