//! Queues between tasks: [`Queue`], [`PriorityQueue`], [`LifoQueue`], and the futures and errors that
//! belong to them.
//!
//! All three are one queue with different [`Container`]s, and one can be made with a container of one's
//! own.
//!
//! ```
//! use std::{cell::RefCell, rc::Rc, time::Duration};
//! use callsoon::{Clock, EventLoop, Queue, create_task, gather_outcomes, sleep};
//!
//! type Output = Rc<RefCell<Vec<String>>>;
//!
//! async fn worker(name: String, queue: Queue<Duration>, output: Output) {
//!     while let Ok(sleep_for) = queue.get().await {
//!         sleep(sleep_for).await; // this is the work
//!         queue.task_done().expect("it has taken one");
//!         output.borrow_mut().push(format!("{name} has slept for {sleep_for:?}"));
//!     }
//! }
//!
//! let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
//! let output = Output::default();
//! let printed = output.clone();
//! let total = event_loop.run_until_complete(async move {
//!     let queue = Queue::new(0);
//!     let mut total = Duration::ZERO;
//!     for sleep_for in (1..=6).map(|n| Duration::from_millis(100 * n)) {
//!         queue.put_nowait(sleep_for)?;
//!         total += sleep_for;
//!     }
//!     let workers = [0, 1, 2].map(|n| {
//!         create_task(worker(format!("worker-{n}"), queue.clone(), output.clone()))
//!     });
//!     queue.join().await; // all of it has been worked off
//!     for worker in &workers {
//!         worker.cancel(); // or `queue.shutdown(false)`: then `get` gives an error
//!     }
//!     assert!(gather_outcomes(workers).await.iter().all(Result::is_err));
//!     Ok::<_, callsoon::PutNowaitError<Duration>>(total)
//! })??;
//! assert_eq!(*printed.borrow(), [
//!     "worker-0 has slept for 100ms",
//!     "worker-1 has slept for 200ms",
//!     "worker-2 has slept for 300ms",
//!     "worker-0 has slept for 400ms",
//!     "worker-1 has slept for 500ms",
//!     "worker-2 has slept for 600ms",
//! ]);
//! assert_eq!(total, Duration::from_millis(2100));
//! assert_eq!(event_loop.time(), Duration::from_millis(900)); // three at a time
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod awaits;
mod container;
mod errors;
mod kinds;
mod queue;
mod state;

pub use self::awaits::{Get, Join, Put};
pub use self::container::{Container, Smallest};
pub use self::errors::{GetNowaitError, PutNowaitError, QueueShutDown, TaskDoneError};
pub use self::kinds::{LifoQueue, PriorityQueue};
pub use self::queue::Queue;
