//! Everything a user can see, tested through the public API: one module per area.
//!
//! Tests drive turns by hand, log events into a list, and compare the whole list. Time is virtual.
//! A doc line names the items of asyncio's behaviour that a test covers (`L1`, `F12`, ...); the
//! table in `tests/README.md` lists them all.

mod support;

mod as_completed;
mod barriers;
mod bound;
mod cancel_meetings;
mod cancellation;
mod catching;
mod clock;
mod concurrent;
mod concurrent_drops;
mod concurrent_waits;
mod conditions;
mod coroutine;
mod drops;
mod eager;
mod embedding;
mod events;
mod exceptions;
mod executors;
mod foreign;
mod futures;
mod gather;
mod handles;
mod hard_cases;
mod iteration;
mod limits;
mod locks;
mod panics;
mod properties;
mod queue_errors;
mod queues;
mod recording;
mod reentrancy;
mod remote;
mod runners;
mod running;
mod scopes;
mod scopes_moved;
mod semaphores;
mod shield;
mod snapshot;
mod taskgroup_ends;
mod taskgroups;
mod tasks;
mod testing;
mod timeouts;
mod types;
mod untyped;
mod wait;
mod wait_for;
mod waiting;
mod wakeups;
mod watchdog;
