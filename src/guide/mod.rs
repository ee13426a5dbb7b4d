//! A guide: from what an event loop is to porting a program.
//!
//! It is made for reading from front to back, but every chapter stands for itself. All code in it runs
//! as a test.
//!
//! | chapter | after it you know |
//! | --- | --- |
//! | 1. [The event loop](chapter_1_event_loop) | what happens in one turn, and in which order |
//! | 2. [Futures and callbacks](chapter_2_futures) | how a result gets from whoever has it to whoever wants it |
//! | 3. [Tasks and coroutines](chapter_3_tasks) | what `await` does, what `yield` does, and who it is that waits |
//! | 4. [Cancellation](chapter_4_cancellation) | how work is asked to stop, cleans up, or declines |
//! | 5. [Threads](chapter_5_threads) | what may cross to another thread, and how |
//! | 6. [Testing with virtual time](chapter_6_testing) | how a test of an hour takes no time and is never flaky |
//! | 7. [Porting from asyncio](chapter_7_porting) | what each of asyncio's names is called here, or why it is not here |
//! | 8. [Coming from tokio, or from promises](chapter_8_coming_from) | what is the same, and what will surprise you |
//! | 9. [Seeing what a loop does](chapter_9_observing) | what ran, why it ran, and what hangs |
//! | [asyncio's manual, page by page](manual) | where each of its examples lives here |
//!
//! Who would rather see code: `cargo run --example hello_world`, then `callbacks_order`, `ping_pong` and
//! `own_event_loop`. Who has a program to port: chapter 7, then 4. Who has another runtime, or another loop,
//! and wants to keep it: the end of chapter 5, and `cargo run --example with_tokio`.

pub mod chapter_1_event_loop {
    #![doc = include_str!("1_event_loop.md")]
    #[cfg(doc)]
    use crate::*;
}

pub mod chapter_2_futures {
    #![doc = include_str!("2_futures.md")]
    #[cfg(doc)]
    use crate::*;
}

pub mod chapter_3_tasks {
    #![doc = include_str!("3_tasks.md")]
    #[cfg(doc)]
    use crate::*;
}

pub mod chapter_4_cancellation {
    #![doc = include_str!("4_cancellation.md")]
    #[cfg(doc)]
    use crate::*;
}

pub mod chapter_5_threads {
    #![doc = include_str!("5_threads.md")]
    #[cfg(doc)]
    use crate::*;
}

pub mod chapter_6_testing {
    #![doc = include_str!("6_testing.md")]
    #[cfg(doc)]
    use crate::*;
}

pub mod chapter_7_porting {
    #![doc = include_str!("7_porting.md")]
    #[cfg(doc)]
    use crate::*;
}

pub mod chapter_8_coming_from {
    #![doc = include_str!("8_coming_from.md")]
    #[cfg(doc)]
    use crate::*;
}

pub mod chapter_9_observing {
    #![doc = include_str!("9_observing.md")]
    #[cfg(doc)]
    use crate::*;
}

pub mod manual {
    #![doc = include_str!("manual.md")]
    #[cfg(doc)]
    use crate::*;
}
