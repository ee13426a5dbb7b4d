//! [`wrap_future`]: a concurrent future as a future of the loop.

use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use super::{Bridge, arrive};
use crate::concurrent::{self, ResultError};
use crate::event_loop::LoopHandle;
use crate::futures::purpose::FromThread;
use crate::futures::{Future, Inner, OwnedFuture, Promise};

/// Does [`LoopHandle::wrap_future`] on the running loop.
///
/// *From asyncio:* `asyncio.wrap_future()`.
///
/// *Order:* that of [`LoopHandle::wrap_future`].
///
/// # Cancellation
///
/// As for [`LoopHandle::wrap_future`].
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use callsoon::{concurrent, run, wrap_future};
///
/// let answer = run(async {
///     let future = concurrent::Future::new();
///     let promise = future.clone();
///     std::thread::spawn(move || promise.set_result(42));
///     wrap_future(future).await
/// });
/// assert_eq!(answer, 42);
/// ```
#[must_use = "it tells whoever awaits it, or has added a callback"]
#[track_caller]
pub fn wrap_future<T: 'static>(future: concurrent::Future<T>) -> OwnedFuture<T> {
    LoopHandle::running().wrap_future(future)
}

impl LoopHandle {
    /// Gives a future of this loop that ends as `future` does, and takes its result.
    ///
    /// Until `future` is done, a loop on a virtual clock waits for it as for
    /// [expected work](crate::RemoteHandle::expect_work).
    ///
    /// *From asyncio:* `asyncio.wrap_future(future, loop=loop)`. Differences: the result moves, so that whoever else
    /// looks at `future` finds it taken; a future that ends because another loop was closed ends cancelled here.
    ///
    /// *Order:* the end reaches the loop as a callback from a thread does
    /// ([`call_soon_threadsafe`](crate::RemoteHandle::call_soon_threadsafe)), also if `future` is done
    /// already; callbacks and awaiting tasks run one turn later. What comes after the loop was closed is dropped.
    ///
    /// # Cancellation
    ///
    /// Cancelling the one cancels the other: a turn later in one direction, as a callback from a thread in
    /// the other. A job that runs cannot be cancelled; it goes on, and its result is dropped.
    ///
    /// # Panics
    ///
    /// If the loop is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::concurrent::{Executor, ThreadPoolExecutor};
    ///
    /// let pool = ThreadPoolExecutor::new(1);
    /// let event_loop = callsoon::EventLoop::new();
    /// let job = pool.submit(|| String::from("from a thread"))?;
    /// let future = event_loop.wrap_future(job);
    /// assert_eq!(event_loop.run_until_complete(future)?, "from a thread");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "it tells whoever awaits it, or has added a callback"]
    #[track_caller]
    pub fn wrap_future<T: 'static>(&self, future: concurrent::Future<T>) -> OwnedFuture<T> {
        self.lp.assert_open();
        let wrapped = Future::new(Promise::create_for(
            FromThread,
            &self.lp,
            Location::caller(),
        ));
        let source = future.clone();
        wrapped.add_done_callback(move |wrapped| {
            if wrapped.cancelled() {
                source.cancel();
            }
        });
        let number = self.lp.threads.next_bridge();
        let bridge = Wrapped {
            source: future.clone(),
            wrapped: wrapped.clone(),
        };
        self.lp.threads.keep(number, Rc::new(bridge));
        let remote = self.remote();
        let expected = remote.expect_work();
        future.add_done_callback(move |_| {
            let deliver = move || {
                arrive(number, true);
                drop(expected);
            };
            // A closed loop has dropped what would have arrived at.
            drop(remote.call_soon_threadsafe(deliver));
        });
        OwnedFuture::new(wrapped)
    }
}

/// A concurrent future, and the loop's that ends as it does.
struct Wrapped<T: 'static> {
    source: concurrent::Future<T>,
    wrapped: Future<T>,
}

impl<T: 'static> Bridge for Wrapped<T> {
    fn arrive(self: Rc<Self>) {
        if self.wrapped.done() {
            return;
        }
        let finish = |outcome| {
            self.wrapped
                .shared()
                .finish(self.wrapped.core(), || outcome)
        };
        match self.source.take_result(Some(Duration::ZERO)) {
            Ok(value) => finish(Inner::Ready(value)),
            Err(ResultError::Panicked(panic)) => finish(Inner::Panicked(panic)),
            Err(ResultError::Taken) => finish(Inner::Taken),
            Err(ResultError::Cancelled) => _ = self.wrapped.cancel(),
            Err(other) => _ = self.wrapped.cancel_with(other.to_string()),
        }
    }
}
