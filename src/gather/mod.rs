//! [`gather`], [`try_gather`] and [`gather_outcomes`]: several at once, with their results in order.
//!
//! | | gives | is ended early by |
//! | --- | --- | --- |
//! | [`gather`] | every result | a child that is cancelled, or panics |
//! | [`try_gather`] | every `Ok`, or the first `Err` | that, and a child that is cancelled, or panics |
//! | [`gather_outcomes`] | how each of them ended | nothing |

mod cell;
mod group;
mod list;

pub use self::group::{Group, TryGroup};

use crate::futures::OwnedFuture;

/// Awaits several tasks, futures or coroutines at once, and gives all their results in the order of the
/// arguments.
///
/// It takes a tuple, an array, a `Vec` or an iterator. Coroutines become tasks, in the order of the
/// arguments, in this call; the gather need not be awaited for them to run. Owners give their results
/// away; references (`gather(&tasks)`, `gather((&one, &two))`) give clones and stay with the caller.
///
/// A coroutine that becomes a task may outlive this call, and so cannot borrow: not `self` in a method
/// with `&self` either. One that has `self: Rc<Self>` can be gathered; several that borrow are awaited
/// together, inside of one task, by the `join!` of the crate `futures`.
///
/// An `Err` is a result like any other here: [`try_gather`] ends with the first, [`gather_outcomes`]
/// waits for all whatever comes.
///
/// *From asyncio:* `asyncio.gather()`. Differences:
///
/// * a gather that ends in a cancellation is [`cancelled`](crate::Future::cancelled); asyncio's is
///   finished, with a `CancelledError` for its exception;
/// * dropping it lets go of the children, unless it has done-callbacks; they run on, and it hears
///   nothing of them any more.
///
/// *Order:* it completes one turn after the last child, so the task that awaits it goes on two turns
/// after that. Children that are done already are dealt with in this call: if all are, so is the gather,
/// and awaiting it costs no turn.
///
/// # Cancellation
///
/// Cancelling it, or a task that awaits it, cancels all children that are not done, and says whether any
/// of them took it. The gather ends, cancelled, when the first of them has ended cancelled (it does not
/// wait for the clean-up of the others), or when all are done if none has, even if they declined and went
/// on to a result. A child that somebody else cancels ends the gather cancelled, and leaves its siblings
/// alone.
///
/// # Panics
///
/// * If the children belong to different loops; the message says where both were created.
/// * If no loop runs on this thread, and no child has one; or if the loop is closed.
///
/// Awaiting it goes on with the first panic of a child. It is also a panic to await what came to nothing
/// because a child's result had been taken by somebody else.
///
/// # Examples
///
/// The factorials of asyncio's manual:
///
/// ```
/// use std::{cell::RefCell, rc::Rc, time::Duration};
/// use callsoon::{Clock, EventLoop, gather, sleep};
///
/// type Output = Rc<RefCell<Vec<String>>>;
///
/// async fn factorial(name: &str, number: u64, output: Output) -> u64 {
///     let print = |text| output.borrow_mut().push(format!("Task {name}: {text}"));
///     let mut f = 1;
///     for i in 2..=number {
///         print(format!("Compute factorial({number}), currently i={i}..."));
///         sleep(Duration::from_secs(1)).await;
///         f *= i;
///     }
///     print(format!("factorial({number}) = {f}"));
///     f
/// }
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
/// let output = Output::default();
/// let [a, b, c] = [("A", 2), ("B", 3), ("C", 4)].map(|(name, n)| factorial(name, n, output.clone()));
/// let all = event_loop.run_until_complete(async { gather((a, b, c)).await })?;
/// assert_eq!(all, (2, 6, 24));
/// assert_eq!(*output.borrow(), [
///     "Task A: Compute factorial(2), currently i=2...",
///     "Task B: Compute factorial(3), currently i=2...",
///     "Task C: Compute factorial(4), currently i=2...",
///     "Task A: factorial(2) = 2",
///     "Task B: Compute factorial(3), currently i=3...",
///     "Task C: Compute factorial(4), currently i=3...",
///     "Task B: factorial(3) = 6",
///     "Task C: Compute factorial(4), currently i=4...",
///     "Task C: factorial(4) = 24",
/// ]);
/// assert_eq!(event_loop.time(), Duration::from_secs(3)); // and not six
/// # Ok::<(), callsoon::RunError>(())
/// ```
///
/// Example: a list, and tasks that stay with the caller
///
/// ```
/// use callsoon::{create_task, gather, run};
///
/// async fn length(text: &'static str) -> usize {
///     text.len()
/// }
///
/// run(async {
///     let urls = ["/", "/about"];
///     assert_eq!(gather(urls.into_iter().map(length)).await, [1, 6]); // a `Vec`
///
///     let tasks = urls.map(|url| create_task(length(url)));
///     assert_eq!(gather(&tasks).await, [1, 6]); // an array, of clones
///     assert!(tasks.iter().all(|task| task.done()));
/// });
/// ```
///
/// Example: cancelled from outside
///
/// ```
/// use callsoon::{catch_cancel, create_task, gather, run};
/// use std::future::pending;
///
/// run(async {
///     let tasks = [create_task(pending::<()>()), create_task(pending())];
///     let both = gather(&tasks);
///     assert!(both.cancel_with("too late"));
///     assert!(!both.cancelled()); // the children have to stop first
///     let cancelled = catch_cancel(both).await.unwrap_err();
///     assert_eq!(cancelled.message(), Some("too late"));
///     assert!(tasks.iter().all(|task| task.cancelled()));
/// });
/// ```
#[must_use = "a gather tells whoever awaits it, or has added a callback"]
#[track_caller]
pub fn gather<Sort, G: Group<Sort>>(group: G) -> OwnedFuture<G::Outputs> {
    group.gathered()
}

/// Awaits several that can fail at once, and gives the results if all are `Ok`, or the first `Err`.
///
/// When one fails the others run on; what becomes of them is not reported any more.
///
/// *From asyncio:* `asyncio.gather()`, of coroutines that may raise. Differences: those of [`gather`]. As
/// in asyncio, an error that nobody looks at, because the gather is dropped, is reported to the exception
/// handler.
///
/// *Order:* as for [`gather`]; it completes one turn after the first failure. Of errors that come in the
/// same turn, that of the child that was done first counts.
///
/// # Cancellation
///
/// As for [`gather`].
///
/// # Errors
///
/// * The first error of a child.
///
/// # Panics
///
/// As for [`gather`].
///
/// # Examples
///
/// ```
/// use callsoon::{create_task, run, try_gather};
///
/// async fn port(text: &str) -> Result<u16, std::num::ParseIntError> {
///     text.parse()
/// }
///
/// run(async {
///     assert_eq!(try_gather((port("80"), port("443"))).await, Ok((80, 443)));
///
///     let tasks = ["80", "https", "443"].map(|text| create_task(port(text)));
///     let error = try_gather(&tasks).await.unwrap_err();
///     assert_eq!(error.to_string(), "invalid digit found in string");
///     assert_eq!(tasks[2].result().unwrap(), Ok(443)); // it ran all the same
/// });
/// ```
#[must_use = "a gather tells whoever awaits it, or has added a callback"]
#[track_caller]
pub fn try_gather<Sort, G: TryGroup<Sort>>(group: G) -> OwnedFuture<Result<G::Oks, G::Error>> {
    group.try_gathered()
}

/// Awaits several at once, until all are done, and gives how each of them ended: its result, or the
/// cancellation or panic that took the place of one.
///
/// *From asyncio:* `asyncio.gather(.., return_exceptions=True)`. Differences: those of [`gather`].
///
/// *Order:* as for [`gather`]; it always waits for the last child.
///
/// # Cancellation
///
/// Cancelling it, or a task that awaits it, cancels all children that are not done. When all have come to
/// an end it ends cancelled, and what they gave is lost. A child that somebody else cancels is an `Err`
/// among the outcomes.
///
/// # Errors
///
/// Each outcome is a [`CancelledError`](crate::CancelledError) if that child was cancelled, or panicked
/// ([`CancelledError::panic`](crate::CancelledError::panic)).
///
/// # Panics
///
/// As for [`gather`], but for a panic of a child.
///
/// # Examples
///
/// ```
/// use callsoon::{create_task, gather_outcomes, run};
///
/// run(async {
///     let works = create_task(async { "a result" });
///     let stopped = create_task(std::future::pending::<u32>());
///     let broken = create_task(async { assert!(2 + 2 == 5, "bad sum") });
///     stopped.cancel();
///
///     let (works, stopped, broken) = gather_outcomes((works, stopped, broken)).await;
///     assert_eq!(works.unwrap(), "a result");
///     assert!(stopped.is_err_and(|why| why.panic().is_none()));
///     assert_eq!(broken.unwrap_err().panic().map(|panic| panic.message()), Some("bad sum"));
/// });
/// ```
#[must_use = "a gather tells whoever awaits it, or has added a callback"]
#[track_caller]
pub fn gather_outcomes<Sort, G: Group<Sort>>(group: G) -> OwnedFuture<G::Outcomes> {
    group.gathered_outcomes()
}
