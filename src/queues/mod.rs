//! Queues between tasks: [`Queue`], [`PriorityQueue`], [`LifoQueue`], and the futures and errors that
//! belong to them.
//!
//! All three are one queue with different [`Container`]s, and one can be made with a container of one's
//! own.
//!
//! ```
//! use std::time::Duration;
//! use callsoon::{Clock, EventLoop, Queue, create_task, sleep};
//!
//! async fn worker(queue: Queue<Duration>) {
//!     while let Ok(sleep_for) = queue.get().await {
//!         sleep(sleep_for).await;
//!         queue.task_done().expect("it has taken one");
//!     }
//! }
//!
//! let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
//! event_loop.run_until_complete(async {
//!     let queue = Queue::new(0);
//!     for tenths in 1..=20 {
//!         queue.put_nowait(Duration::from_millis(100 * tenths))?;
//!     }
//!     let workers = [0, 1, 2].map(|_| create_task(worker(queue.clone())));
//!     queue.join().await; // all of it has been worked off
//!     queue.shutdown(false); // so that the workers end
//!     for worker in workers {
//!         worker.await;
//!     }
//!     Ok::<(), callsoon::PutNowaitError<Duration>>(())
//! })??;
//! assert_eq!(event_loop.time(), Duration::from_millis(7700));
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
