//! What a loop is about: its tasks, what each of them awaits and who awaits it, its timers and its
//! queue, as a value.
//!
//! [`LoopHandle::snapshot`](crate::LoopHandle::snapshot) takes one. It is printed as a tree: at the left
//! stands every task that nobody awaits, and below it what it awaits.
//!
//! ```
//! use std::time::Duration;
//! use callsoon::{Clock, EventLoop, Lock, gather, sleep};
//!
//! let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
//! let lock = Lock::new(());
//! let guard = lock.try_lock().expect("it is free");
//! let writer = event_loop.task(async move { drop(lock.lock().await) }).name("writer").spawn();
//! let napper = event_loop.task(sleep(Duration::from_secs(60))).name("napper").spawn();
//! event_loop.task(async { gather((writer, napper)).await }).name("main").spawn();
//! for _ in 0..2 {
//!     event_loop.run_once(Some(Duration::ZERO))?;
//! }
//! println!("{}", event_loop.snapshot());
//! # // The columns are those of this example.
//! # let printed = event_loop.snapshot().to_string();
//! # let lines: Vec<_> = printed.lines().map(|line| line.split(" created at").next().unwrap()).collect();
//! # assert_eq!(lines[1..], [
//! #     "<Task waiting name='main'", "└─ <Gather pending", "   ├─ <Task waiting name='writer'",
//! #     "   │  └─ <Lock pending", "   └─ <Task waiting name='napper'", "      └─ <Sleep pending until 60s",
//! # ]);
//! # drop(guard);
//! # Ok::<(), callsoon::RunError>(())
//! ```
//!
//! ```text
//! event loop created at src/main.rs:4:59: 0 ready, 0 posted, 1 timer, at 60s
//! <Task waiting name='main' created at src/main.rs:9:72>
//! └─ <Gather pending created at src/main.rs:9:25>
//!    ├─ <Task waiting name='writer' created at src/main.rs:7:85 cb=[1]>
//!    │  └─ <Lock pending created at src/main.rs:5:12 awaited at src/main.rs:7:53>
//!    └─ <Task waiting name='napper' created at src/main.rs:8:77 cb=[1]>
//!       └─ <Sleep pending until 60s created at src/main.rs:8:30>
//! ```
//!
//! *From asyncio:* `asyncio.print_call_graph()`, `capture_call_graph()` and `python -m asyncio pstree` of
//! Python 3.14. Differences: it tells what kind of thing is awaited, and there are no stack frames, for a
//! suspended coroutine has none.
//!
//! With the feature `serde` a snapshot and its parts implement `serde::Serialize`; a place in the source
//! has a `file`, a `line` and a `column`. What a task `awaits`, and what is `inside` of a combinator, is
//! given by places in the list `awaited`, which count from 0; tasks are named by their `id`.

mod parts;
mod remote;
mod table;
mod tree;

pub use self::parts::{AwaitedKind, AwaitedSnapshot, TaskSnapshot, TaskState, TimerSnapshot};
pub use self::remote::{BusyLoop, SnapshotError};
pub use self::table::Snapshot;
