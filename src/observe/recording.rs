//! [`Recording`]: what ran when, and what scheduled it.

use std::fmt;
use std::rc::Rc;

use super::recorder::Recorder;
use super::timeline::{RecordedEvent, RecordedTask, Timeline};
use crate::LoopHandle;
use crate::event_loop::{LoopState, Observer};

impl LoopHandle {
    /// Records what runs from now on, and what scheduled it: the newest `capacity` entries of the ready
    /// queue.
    ///
    /// It goes on until the recording is dropped or [stopped](Recording::stop). It is made for looking at
    /// a program, not for leaving it on: an entry costs a few hundred nanoseconds more.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Clock, EventLoop, sleep};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// let recording = event_loop.record(1000);
    /// event_loop.task(sleep(Duration::from_secs(2))).name("sleeper").spawn();
    /// event_loop.run_forever();
    ///
    /// let events = recording.events();
    /// let log: Vec<_> = events.iter().map(|it| (it.name(), it.begin().as_secs())).collect();
    /// assert_eq!(log, [("sleeper", 0), ("timer", 2), ("sleeper", 2)]);
    /// let causes: Vec<_> = events.iter().map(|it| it.cause()).collect();
    /// assert_eq!(causes, [None, Some(0), Some(1)]);
    /// ```
    pub fn record(&self, capacity: usize) -> Recording {
        let recorder = Rc::new(Recorder::new(&self.lp, capacity));
        self.lp.attach(recorder.clone());
        Recording {
            lp: self.lp.clone(),
            recorder,
        }
    }
}

/// What ran on a loop, and what scheduled it; see [`LoopHandle::record`].
///
/// Times are those of the loop's clock: on a virtual one they are the same each time a program runs.
///
/// *From asyncio:* nothing.
///
/// # Examples
///
/// Two files, one for Perfetto and one for any browser:
///
/// ```
/// use callsoon::EventLoop;
///
/// let event_loop = EventLoop::new();
/// let recording = event_loop.record(1000);
/// event_loop.run_until_complete(callsoon::yield_now())?;
/// let directory = std::env::temp_dir();
/// std::fs::write(directory.join("callsoon-trace.json"), recording.to_chrome_trace())?;
/// std::fs::write(directory.join("callsoon-timeline.svg"), recording.to_svg())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the recording stops when this is dropped"]
pub struct Recording {
    lp: Rc<LoopState>,
    recorder: Rc<Recorder>,
}

impl Recording {
    /// Records nothing more but the end of what runs; what there is can still be read.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let recording = event_loop.record(10);
    /// recording.stop();
    /// event_loop.call_soon(|| ());
    /// event_loop.run_once(None)?;
    /// assert!(recording.events().is_empty());
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn stop(&self) {
        let observer: Rc<dyn Observer> = self.recorder.clone();
        self.lp.detach(&observer);
        self.recorder.stopped(&self.lp);
    }

    /// Gives what ran, in the order in which it began.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use callsoon::EventLoop;
    /// use callsoon::observe::EntryKind;
    ///
    /// let event_loop = EventLoop::new();
    /// let recording = event_loop.record(10);
    /// let scheduled = event_loop.call_soon(|| ());
    /// event_loop.run_once(None)?;
    /// let [event] = &recording.events()[..] else { panic!("one ran") };
    /// assert_eq!(event.kind(), EntryKind::Callback);
    /// assert_eq!(event.created_at(), Some(scheduled.created_at()));
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn events(&self) -> Vec<RecordedEvent> {
        self.timeline().events
    }

    /// Gives the tasks that were there, in the order in which they were made.
    ///
    /// When there was no room for the events of a task that is over, it is forgotten, too.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use callsoon::{Clock, EventLoop, sleep};
    ///
    /// let event_loop = EventLoop::builder().clock(Clock::Virtual).build();
    /// let recording = event_loop.record(10);
    /// event_loop.task(sleep(Duration::from_secs(2))).name("sleeper").spawn();
    /// event_loop.run_forever();
    /// let [sleeper] = &recording.tasks()[..] else { panic!("there was one") };
    /// assert_eq!(sleeper.name(), "sleeper");
    /// assert_eq!(sleeper.since(), Duration::ZERO);
    /// assert_eq!(sleeper.until(), Some(Duration::from_secs(2)));
    /// ```
    pub fn tasks(&self) -> Vec<RecordedTask> {
        self.timeline().tasks
    }

    /// Says how many events there was no room for: those that ran first.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let recording = event_loop.record(2);
    /// for _ in 0..5 {
    ///     event_loop.call_soon(|| ());
    /// }
    /// event_loop.run_once(None)?;
    /// assert_eq!((recording.events().len(), recording.dropped()), (2, 3));
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn dropped(&self) -> u64 {
        self.recorder.dropped()
    }

    /// Writes it in Chrome's trace format, which [Perfetto](https://ui.perfetto.dev) and
    /// `chrome://tracing` open: a track for each task and one for callbacks, arrows from what scheduled
    /// something to what was scheduled.
    ///
    /// On a virtual clock what runs takes no time; it is shown as if each took a microsecond.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let recording = event_loop.record(10);
    /// event_loop.call_soon(|| ());
    /// event_loop.run_once(None)?;
    /// assert!(recording.to_chrome_trace().starts_with(r#"{"traceEvents":["#));
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn to_chrome_trace(&self) -> String {
        super::chrome::write(&self.timeline())
    }

    /// Draws it as a picture that needs nothing else: a lane for each task and one for callbacks, with a
    /// thin line where a task waits, and arrows from what scheduled something to what was scheduled. It
    /// is readable on a light background and on a dark one.
    ///
    /// Time goes from left to right, but no event is so short that it could not be seen. It is made for
    /// hundreds of events; of more, [`to_chrome_trace`](Self::to_chrome_trace) is better to look at.
    ///
    /// *From asyncio:* nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// let event_loop = callsoon::EventLoop::new();
    /// let recording = event_loop.record(10);
    /// event_loop.task(async {}).name("a < b").spawn();
    /// event_loop.run_once(None)?;
    /// assert!(recording.to_svg().contains(">a &lt; b</text>"));
    /// # Ok::<(), callsoon::RunError>(())
    /// ```
    pub fn to_svg(&self) -> String {
        super::svg::draw(&self.timeline())
    }

    fn timeline(&self) -> Timeline {
        self.recorder.timeline(&self.lp)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}
