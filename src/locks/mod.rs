//! What tasks synchronise by: [`Lock`], [`Event`], [`Condition`], [`Semaphore`],
//! [`BoundedSemaphore`], [`Barrier`], and the futures and errors that belong to them.
//!
//! They are fair, as asyncio's are: whoever comes first is served first, and nobody overtakes while
//! others wait. They are made for the tasks of one loop and know nothing of threads. All are handles:
//! a clone is another handle of the same thing.
//!
//! What is free is taken without suspending. Whoever has to wait is woken by whoever makes way, and
//! goes on in the next turn; if it is cancelled or dropped meanwhile, its turn passes to the next.
//!
//! Making one needs no loop. It belongs to the loop in which somebody first has to wait for it; waiting
//! for it in another one is a panic.
//!
//! ```
//! use callsoon::{Event, EventLoop, Lock, create_task, yield_now};
//!
//! async fn append(numbers: Lock<Vec<u32>>, number: u32, start: Event) {
//!     start.wait().await;
//!     let mut numbers = numbers.lock().await;
//!     yield_now().await; // nobody else gets at the numbers meanwhile
//!     numbers.push(number);
//! }
//!
//! let event_loop = EventLoop::new();
//! event_loop.run_until_complete(async {
//!     let (numbers, start) = (Lock::new(Vec::new()), Event::new());
//!     let first = create_task(append(numbers.clone(), 1, start.clone()));
//!     let second = create_task(append(numbers.clone(), 2, start.clone()));
//!     start.set();
//!     first.await;
//!     second.await;
//!     assert_eq!(*numbers.lock().await, [1, 2]);
//! })?;
//! # Ok::<(), callsoon::RunError>(())
//! ```

mod barrier;
mod bond;
mod bounded;
mod condition;
mod errors;
mod event;
mod line;
mod lock;
mod passing;
mod semaphore;
mod waiter;

pub use self::barrier::{Barrier, BarrierWait};
pub use self::bounded::BoundedSemaphore;
pub use self::condition::Condition;
pub use self::errors::{BrokenBarrierError, NotAcquiredError, OverReleaseError};
pub use self::event::{Event, EventWait};
pub use self::lock::{Acquire, Lock, LockGuard, Locking};
pub use self::semaphore::{AcquirePermit, Permit, Permitting, Semaphore};

pub(crate) use self::bond::Bond;
pub(crate) use self::line::Line;
pub(crate) use self::passing::{Gate, Passing};
