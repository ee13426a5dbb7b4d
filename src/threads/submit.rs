//! [`RemoteHandle::run_coroutine_threadsafe`]: a coroutine that another thread submits.

use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;

use super::{Bridge, arrive};
use crate::concurrent::{self, ResultError};
use crate::errors::{self, PanicError};
use crate::event_loop::{LoopHandle, LoopState, RemoteHandle};
use crate::tasks::{Task, TaskHandle, spawn_plain};

impl RemoteHandle {
    /// Has `make` called on the loop's thread, runs the coroutine that it makes as a task there, and gives a
    /// future of its result. The coroutine need not be `Send`.
    ///
    /// A panic of the coroutine, or of `make`, is the future's outcome. If the loop is closed before there
    /// is a result, or was closed before this call, the future ends with [`LoopClosed`](concurrent::ResultError::LoopClosed).
    ///
    /// *From asyncio:* `asyncio.run_coroutine_threadsafe(coro, loop)`. Differences: it takes a function that
    /// makes the coroutine; a closed loop leaves nobody waiting.
    ///
    /// *Order:* `make` is called as a callback of
    /// [`call_soon_threadsafe`](Self::call_soon_threadsafe) would be. The future is done one turn after the task.
    /// On a virtual clock the coroutine is not overlooked from this call on; once it is a task, what it waits for
    /// counts, as for any task. A thread that goes on after the result holds
    /// [expected work](Self::expect_work), but not while it blocks on a coroutine that takes time; a function of
    /// [`run_in_executor`](LoopHandle::run_in_executor) need not care.
    ///
    /// # Cancellation
    ///
    /// Cancelling the future cancels the task, which may clean up. A task that ends cancelled cancels the future.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Clock, EventLoop, sleep};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// let remote = event_loop.remote();
    /// let expected = remote.expect_work(); // or a loop on this clock would see that nobody comes
    /// let in_thread = std::thread::spawn(move || {
    ///     let future = remote.run_coroutine_threadsafe(|| async {
    ///         sleep(Duration::from_secs(1)).await;
    ///         3
    ///     });
    ///     drop(expected);
    ///     future.result(Some(Duration::from_secs(60))) // blocks the thread, for so long at most
    /// });
    /// event_loop.run_forever(); // until nothing is left
    /// assert_eq!(in_thread.join().unwrap()?, 3);
    /// assert_eq!(event_loop.time(), Duration::from_secs(1));
    /// # Ok::<(), callsoon::concurrent::ResultError>(())
    /// ```
    #[track_caller]
    pub fn run_coroutine_threadsafe<F, C>(&self, make: F) -> concurrent::Future<C::Output>
    where
        F: FnOnce() -> C + Send + 'static,
        C: IntoFuture<Output: Send + 'static, IntoFuture: 'static> + 'static,
    {
        self.submit(Location::caller(), |_| Some(make()))
    }

    /// [`run_coroutine_threadsafe`](Self::run_coroutine_threadsafe) on behalf of whoever is at `site`. If `make` has
    /// nothing to make the coroutine of, because the loop is being closed, the future ends as if it were.
    pub(super) fn submit<F, C>(
        &self,
        site: &'static Location<'static>,
        make: F,
    ) -> concurrent::Future<C::Output>
    where
        F: FnOnce(&Rc<LoopState>) -> Option<C> + Send + 'static,
        C: IntoFuture<Output: Send + 'static, IntoFuture: 'static> + 'static,
    {
        let future = concurrent::Future::of_a_loop(self.loop_id());
        let promise = Unfinished(future.clone());
        let remote = self.clone();
        let begin = move || {
            let running = LoopHandle::running();
            let made = catch_unwind(AssertUnwindSafe(|| make(&running.lp)));
            match made {
                Ok(Some(coroutine)) => {
                    let task = spawn_plain(&running.lp, coroutine, site);
                    chain(task, promise, &remote);
                }
                Ok(None) => drop(promise),
                Err(payload) => {
                    let panic = PanicError::new(payload, "maker of a coroutine".to_owned(), site);
                    promise.0.fail(ResultError::Panicked(panic));
                }
            }
        };
        // Refused, it is dropped, and that ends the future.
        drop(self.call_soon_threadsafe(begin));
        future
    }
}

/// Ends `promise` as `task` ends, and cancels the task when the promise is cancelled.
fn chain<T: Send + 'static>(task: Task<T>, promise: Unfinished<T>, remote: &RemoteHandle) {
    let threads = &task.get_loop().lp.threads;
    let number = threads.next_bridge();
    let (future, remote) = (promise.0.clone(), remote.clone());
    let submitted = Submitted {
        task: task.handle(),
        _promise: promise,
    };
    threads.keep(number, Rc::new(submitted));
    let chained = future.clone();
    future.add_done_callback(move |future| {
        if future.cancelled() {
            // To a closed loop: there is no task any more.
            drop(remote.call_soon_threadsafe(move || arrive(number, false)));
        }
    });
    task.add_done_callback(move |task| {
        let bridge = task.get_loop().lp.threads.remove(number);
        finish(&chained, task.take_result());
        drop(bridge);
    });
}

fn finish<T: 'static>(future: &concurrent::Future<T>, result: Result<T, errors::ResultError>) {
    match result {
        Err(errors::ResultError::Cancelled(_)) => _ = future.cancel(),
        // False if somebody cancelled it, and an error if somebody completed it: that stands.
        _ if !matches!(future.set_running_or_notify_cancel(), Ok(true)) => {}
        Ok(value) => drop(future.set_result(value)),
        Err(errors::ResultError::Panicked(panic)) => future.fail(ResultError::Panicked(panic)),
        Err(_) => future.fail(ResultError::Taken),
    }
}

/// A task, and the promise of its result, for as long as the task is not done.
struct Submitted<T: 'static> {
    task: TaskHandle,
    /// The loop drops it when it is closed.
    _promise: Unfinished<T>,
}

impl<T: 'static> Bridge for Submitted<T> {
    /// The future was cancelled.
    fn arrive(self: Rc<Self>) {
        self.task.cancel();
    }
}

/// A future that ends with an error if it is not done when this is dropped.
struct Unfinished<T: 'static>(concurrent::Future<T>);

impl<T: 'static> Drop for Unfinished<T> {
    fn drop(&mut self) {
        self.0.fail(ResultError::LoopClosed);
    }
}
