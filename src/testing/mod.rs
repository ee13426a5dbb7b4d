//! Tests of what runs on a loop: on virtual time, in every order that asyncio allows, with a reason when
//! they hang.
//!
//! [`run`] runs the body of a test; what it leaves behind, and what is reported to nobody, is a failure.
//! [`explore`] runs it under many seeds, in another order each time ([`Order::Shuffled`]), and gives the
//! first one that fails, which replays it exactly. [`Test`] has the settings.
//!
//! Here two tasks take money from an account. Each looks first whether there is enough. In the order in
//! which they were made that is fine, for the first one has paid before the second one looks:
//!
//! ```
//! use std::{cell::Cell, rc::Rc};
//! use callsoon::{create_task, testing, yield_now};
//!
//! async fn pay(account: Rc<Cell<i32>>, price: i32, thinks_twice: bool) {
//!     if account.get() >= price {
//!         if thinks_twice {
//!             yield_now().await; // others run meanwhile
//!         }
//!         account.set(account.get() - price);
//!     }
//! }
//!
//! async fn nobody_overdraws() {
//!     let account = Rc::new(Cell::new(100));
//!     let at_once = create_task(pay(account.clone(), 80, false));
//!     let later = create_task(pay(account.clone(), 60, true));
//!     at_once.await;
//!     later.await;
//!     assert!(account.get() >= 0, "the account is at {}", account.get());
//! }
//!
//! testing::run(nobody_overdraws()); // passes
//!
//! // But nobody has promised that order.
//! let test = testing::Test::new();
//! let exploration = test.try_explore(0..1000, nobody_overdraws);
//! let (seed, failure) = exploration.failed().expect("in half of all orders");
//! assert!(failure.to_string().contains("the account is at -40"));
//!
//! // The seed brings it back, for the debugger.
//! let replay = test.order(testing::Order::Shuffled { seed });
//! assert!(replay.try_run(nobody_overdraws()).is_err());
//! ```
//!
//! What makes a run the same every time: its time is the loop's, its order follows from the seed. What can
//! still differ is what the program takes from elsewhere: other threads, `Instant::now()`, the order of a
//! `HashMap`, and the numbers of tasks, which count through all tests of the process.
//!
//! *From asyncio:* `unittest.IsolatedAsyncioTestCase` runs the body of a test on a loop of its own, too.
//! Differences: time is virtual, what is left behind is a failure, and it explores.

mod exploration;
mod failure;
mod limit;
mod test;

pub use self::exploration::Exploration;
pub use self::failure::{Failure, FailureKind, Livelock};
pub use self::test::Test;
pub use crate::event_loop::Order;

/// Runs the body of a test on a fresh loop with virtual time, and gives its result: [`Test::run`] with the
/// settings of [`Test::new`].
///
/// *From asyncio:* a coroutine as a test method of `unittest.IsolatedAsyncioTestCase`.
///
/// # Panics
///
/// As for [`Test::run`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use callsoon::{TimeoutError, sleep, testing, timeout};
///
/// // #[test]
/// fn gives_up_after_a_minute() {
///     testing::run(async {
///         let work = sleep(Duration::from_secs(3600));
///         let result = timeout(Duration::from_secs(60), work).await;
///         assert_eq!(result, Err(TimeoutError));
///     });
/// }
///
/// gives_up_after_a_minute(); // in no time
/// ```
#[track_caller]
pub fn run<F: IntoFuture>(body: F) -> F::Output {
    Test::new().run(body)
}

/// Runs the body of a test under each seed, in another order each time: [`Test::explore`] with the settings
/// of [`Test::new`].
///
/// *From asyncio:* nothing.
///
/// # Panics
///
/// As for [`Test::explore`].
///
/// # Examples
///
/// ```
/// use callsoon::{Lock, create_task, gather, testing, yield_now};
///
/// testing::explore(0..100, || async {
///     let account = Lock::new(100);
///     let pay = |price| {
///         let account = account.clone();
///         create_task(async move {
///             let mut balance = account.lock().await; // held until it is paid
///             if *balance >= price {
///                 yield_now().await;
///                 *balance -= price;
///             }
///         })
///     };
///     gather((pay(80), pay(60))).await;
///     assert!(*account.lock().await >= 0);
/// });
/// ```
#[track_caller]
pub fn explore<F>(seeds: impl IntoIterator<Item = u64>, body: impl FnMut() -> F)
where
    F: IntoFuture<Output = ()>,
{
    Test::new().explore(seeds, body);
}
