//! [`wait_for`]: a timeout around one thing to wait for.

use std::panic::Location;
use std::time::Duration;

use super::timeout;
use crate::cancellation::CancelledError;
use crate::errors::{ResultError, TimeoutError};
use crate::event_loop::{Awaitable, LoopHandle, current};
use crate::futures::purpose::EndOfWait;
use crate::futures::{self, AnyRef, Promise, State};

/// Waits for `awaitable`, and cancels it if that takes longer than `delay`; `None` is for ever.
///
/// A coroutine runs inside the current task. For a task or a future it is that which is cancelled;
/// [`shield`](crate::shield) protects it. A coroutine that borrows, as of a method with `&self`, is for
/// [`timeout`](crate::timeout()), which takes any.
///
/// *From asyncio:* `asyncio.wait_for(aw, timeout)`.
///
/// *Order:* it costs no turn of its own. With a delay of zero a coroutine never starts: that takes
/// three turns, as in asyncio.
///
/// # Cancellation
///
/// It lasts until what it waits for has ended, also after the time is over or the task was
/// cancelled: a clean-up is waited for. If that declines and gives a result, the result is what comes
/// out. Dropping it drops a coroutine, and lets go of a task or a future.
///
/// # Errors
///
/// * If the time was over first.
///
/// # Panics
///
/// When awaited outside a task of a running loop. A panic of `awaitable` goes on.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callsoon::{Clock, EventLoop, TimeoutError, sleep, wait_for};
///
/// async fn eternity() -> &'static str {
///     sleep(Duration::from_secs(3600)).await;
///     "yay!"
/// }
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let output = event_loop.run_until_complete(async {
///     match wait_for(eternity(), Duration::from_secs(1)).await {
///         Ok(joy) => joy,
///         Err(TimeoutError) => "timeout!",
///     }
/// })?;
/// assert_eq!(output, "timeout!");
/// assert_eq!(event_loop.time(), Duration::from_secs(1));
/// # Ok::<(), callsoon::RunError>(())
/// ```
#[track_caller]
pub fn wait_for<A>(
    awaitable: A,
    delay: impl Into<Option<Duration>>,
) -> impl Future<Output = Result<<A as Awaitable>::Output, TimeoutError>>
where
    A: Awaitable + IntoFuture<Output = <A as Awaitable>::Output>,
{
    let (delay, site) = (delay.into(), Location::caller());
    async move {
        match delay {
            Some(Duration::ZERO) => wait_no_longer(awaitable, site).await,
            delay => timeout(delay, awaitable).await,
        }
    }
}

/// Gives the result of what is done, and cancels it otherwise.
async fn wait_no_longer<A: Awaitable>(
    awaitable: A,
    site: &'static Location<'static>,
) -> Result<A::Output, TimeoutError> {
    current::is_not_unwinding().await;
    let awaited = awaitable.into_awaited(&LoopHandle::running());
    let future = awaited.any();
    let was_done = future.state() != State::Pending;
    if !was_done {
        cancel_and_wait(&future, site).await;
    }
    match awaited.get() {
        Ok(result) => Ok(result),
        Err(ResultError::Cancelled(why)) if was_done => why.raise_awaited().await,
        Err(ResultError::Cancelled(_)) => Err(TimeoutError),
        Err(ResultError::Panicked(panic)) => panic.resume(),
        Err(error @ (ResultError::Taken | ResultError::NotReady)) => {
            panic!(
                "wait_for the future created at {}: {error}",
                future.base().site
            )
        }
    }
}

/// Cancels a future, and waits until it is done. It is not awaited itself: then a cancellation of the
/// task would be passed to it, and not end the wait.
async fn cancel_and_wait(future: &AnyRef, site: &'static Location<'static>) {
    let over = futures::Future::new(Promise::create_for(EndOfWait, &future.base().lp, site));
    let release = over.clone();
    let callback = future.clone().notify(
        site,
        Box::new(move |_| {
            // The wait may have been cancelled.
            let _ = release.set_result(());
        }),
    );
    let _forget = Forget { future, callback };
    future.clone().cancel(CancelledError::at(None, site));
    over.await;
}

/// Takes a done-callback back when it is dropped.
struct Forget<'a> {
    future: &'a AnyRef,
    callback: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.future.remove_callback(self.callback);
    }
}
