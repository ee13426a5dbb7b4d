//! [`Builder`]: a loop that is not the usual one.

use std::panic::Location;

use super::clock::Clock;
use super::order::Order;
use super::{EventLoop, LoopHandle};
use crate::event_loop::state::LoopState;

/// Makes an [`EventLoop`] with other settings than the default ones.
///
/// *From asyncio:* nothing; a `loop_factory` comes near when it is given to
/// [`Runner::with`](crate::Runner::with).
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
    order: Order,
}

impl Builder {
    /// Sets which clock the loop runs on. The default is [`Clock::Monotonic`].
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Clock, EventLoop, RunEnd};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// // Nothing is planned: a loop on the monotonic clock would wait for a thread to post something.
    /// assert!(matches!(event_loop.run_forever(), RunEnd::Idle(_)));
    /// ```
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets in which order a turn runs what is ready. The default is [`Order::Fifo`], which is asyncio's.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// See [`Order`].
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Sets whether the loop starts in debug mode; see [`LoopHandle::set_debug`].
    ///
    /// *From asyncio:* `Runner(debug=...)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{EventLoop, Runner};
    ///
    /// let mut runner = Runner::with(EventLoop::builder().debug(true));
    /// assert!(runner.run(async { callsoon::get_running_loop().get_debug() })?);
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn debug(mut self, debug: bool) -> Self {
        self.debug = debug;
        self
    }

    /// Makes the loop, which belongs to this thread.
    ///
    /// *From asyncio:* `asyncio.new_event_loop()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::{Clock, EventLoop};
    ///
    /// let settings = EventLoop::builder().clock(Clock::Virtual);
    /// let (one, other) = (settings.clone().build(), settings.build());
    /// assert!(one.handle() != other.handle());
    /// ```
    #[track_caller]
    pub fn build(self) -> EventLoop {
        self.build_at(Location::caller())
    }

    /// The same on behalf of whoever is at `site`.
    pub(crate) fn build_at(self, site: &'static Location<'static>) -> EventLoop {
        let lp = LoopState::new(self.clock, site);
        crate::observe::attach_features(&lp);
        lp.set_debug(self.debug);
        lp.ready.borrow_mut().set_order(self.order);
        EventLoop {
            handle: LoopHandle { lp },
        }
    }
}
