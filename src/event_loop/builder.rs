//! [`Builder`]: a loop that is not the usual one.

use std::panic::Location;

use super::clock::Clock;
use super::{EventLoop, LoopHandle};
use crate::event_loop::state::LoopState;

/// Makes an [`EventLoop`] with other settings than the default ones.
///
/// # Examples
///
/// ```
/// use callsoon::{Clock, EventLoop};
///
/// let event_loop = EventLoop::builder().clock(Clock::Virtual).debug(true).build();
/// assert!(event_loop.get_debug());
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `build()`"]
pub struct Builder {
    clock: Clock,
    debug: bool,
}

impl Builder {
    /// Which clock the loop runs on. The default is [`Clock::Monotonic`].
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Whether the loop starts in debug mode; see [`LoopHandle::set_debug`].
    pub fn debug(mut self, debug: bool) -> Self {
        self.debug = debug;
        self
    }

    /// Makes the loop.
    #[track_caller]
    pub fn build(self) -> EventLoop {
        let lp = LoopState::new(self.clock, Location::caller());
        lp.debug.set(self.debug);
        EventLoop {
            handle: LoopHandle { lp },
        }
    }
}
