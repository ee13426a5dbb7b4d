//! The workloads, a file each. To add a row: write its file, name it in the two lists below.

mod barrier;
mod call_soon;
mod call_soon_chain;
mod catch_cancel;
mod done_cb;
mod done_cb_now;
mod gather;
mod lock;
mod memory;
mod oneshot;
mod queue;
mod run_in_executor;
mod semaphore;
mod spawn_join;
mod startup;
mod task_group;
mod timeout;
mod timers_cancel;
mod timers_fire;
mod xthread;
mod xthread_pingpong;
mod yielding;

use crate::Row;

/// Every row, in the table's order.
pub const ROWS: &[Row] = &[
    call_soon::ROW,
    call_soon_chain::ROW,
    spawn_join::ROW,
    yielding::ROW,
    oneshot::ROW,
    done_cb::ROW,
    done_cb_now::ROW,
    gather::ROW,
    task_group::ROW,
    timeout::ROW,
    catch_cancel::ROW,
    queue::ROW,
    lock::ROW,
    semaphore::ROW,
    barrier::ROW,
    timers_fire::ROW,
    timers_cancel::ROW,
    xthread::ROW,
    xthread_pingpong::ROW,
    run_in_executor::ROW,
    run_in_executor::ROW_100,
    memory::ROW,
    startup::ROW,
];

/// Every contender, in the table's order.
pub const CONTENDERS: &[&str] = &[
    "callsoon",
    "floor",
    "tokio",
    "tokio-lrt",
    "joinset",
    "unordered",
    "smol",
    "local-pool",
    "calloop",
    "monoio",
    "compio",
];

/// The row of that name.
pub fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}
