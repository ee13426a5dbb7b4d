//! Numbers that are unique in the process.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// Task names count from 1, as in asyncio.
static NEXT_TASK: AtomicU64 = AtomicU64::new(1);
static NEXT_LOOP: AtomicU64 = AtomicU64::new(1);

/// How many task numbers a thread takes at once, so that making a task needs no atomic. A program
/// with one thread sees consecutive numbers.
const TASK_BLOCK: u64 = 4096;

thread_local! {
    /// The next task number of this thread, and the end of its block.
    static TASK_NUMBERS: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

pub(crate) fn next_task() -> u64 {
    TASK_NUMBERS.with(|numbers| {
        let (mut next, mut end) = numbers.get();
        if next == end {
            next = NEXT_TASK.fetch_add(TASK_BLOCK, Ordering::Relaxed);
            end = next + TASK_BLOCK;
        }
        numbers.set((next + 1, end));
        next
    })
}

pub(crate) fn next_loop() -> u64 {
    NEXT_LOOP.fetch_add(1, Ordering::Relaxed)
}
