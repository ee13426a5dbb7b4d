//! A recording in Chrome's trace format.

use std::collections::HashMap;
use std::fmt::Write;

use super::timeline::{Moment, RecordedEvent, RecordedTask, Timeline};
use crate::event_loop::Nanos;

/// What runs at the same time is shown so far apart: one thing after the other.
const VIRTUAL_TICK: Nanos = 1_000;
/// The same on a real clock, which tells most things apart.
const REAL_TICK: Nanos = 1;

/// All is of one process.
const PROCESS: u32 = 1;
/// The track of what is not of a task. Those of tasks follow, in the order in which they were made.
const CALLBACKS: usize = 1;

/// Where a moment is shown, by its order.
type Shown = HashMap<u64, Nanos>;

pub(super) fn write(timeline: &Timeline) -> String {
    let mut trace = Trace {
        json: r#"{"traceEvents":["#.to_owned(),
        shown: shown(timeline),
        now: timeline.now,
        first: true,
    };
    trace.metadata("process_name", 0, "callsoon");
    trace.metadata("thread_name", CALLBACKS, "callbacks");
    let mut tracks = HashMap::new();
    for (place, task) in timeline.tasks.iter().enumerate() {
        let track = CALLBACKS + 1 + place;
        tracks.insert(task.id, track);
        trace.metadata("thread_name", track, &task.name);
        trace.task(task, track);
    }
    let track_of = |event: &RecordedEvent| {
        let track = event.task.and_then(|task| tracks.get(&task));
        track.copied().unwrap_or(CALLBACKS)
    };
    for event in &timeline.events {
        trace.event(event, track_of(event));
    }
    for (place, event) in timeline.events.iter().enumerate() {
        if let Some(cause) = event.cause.map(|cause| &timeline.events[cause]) {
            trace.arrow(place, (cause, track_of(cause)), (event, track_of(event)));
        }
    }
    trace.json + "\n]}\n"
}

/// Has no two moments shown at the same time.
fn shown(timeline: &Timeline) -> Shown {
    let tick = match timeline.is_virtual {
        true => VIRTUAL_TICK,
        false => REAL_TICK,
    };
    let mut latest = 0;
    let moments = timeline.moments();
    // A clock that has come to its end has no room behind it.
    let room = tick * moments.len() as Nanos;
    let each = moments.into_iter();
    let shown = each.map(|moment| {
        latest = moment.time.min(Nanos::MAX - room).max(latest + tick);
        (moment.order, latest)
    });
    shown.collect()
}

struct Trace {
    json: String,
    shown: Shown,
    /// The end of what is not over.
    now: Moment,
    /// Nothing is in the list yet.
    first: bool,
}

impl Trace {
    /// Begins an object of the list; the caller writes the rest of it.
    fn object(&mut self, phase: char, track: usize) -> &mut String {
        let comma = if self.first { "" } else { "," };
        self.first = false;
        let begin = format!("{comma}\n{{\"ph\":\"{phase}\",\"pid\":{PROCESS},\"tid\":{track}");
        self.json += &begin;
        &mut self.json
    }

    fn metadata(&mut self, what: &str, track: usize, name: &str) {
        let name = quoted(name);
        *self.object('M', track) += &format!(",\"name\":\"{what}\",\"args\":{{\"name\":{name}}}}}");
    }

    /// From its making to its end; its steps are within.
    fn task(&mut self, task: &RecordedTask, track: usize) {
        let name = quoted(&task.name);
        let args = format!("\"id\":{},{}", task.id, created(&task.site.to_string()));
        self.slice(track, "task", &name, (task.since, task.until), &args);
    }

    fn event(&mut self, event: &RecordedEvent, track: usize) {
        let mut args = format!("\"turn\":{},\"time\":\"{:?}\"", event.turn, event.begin());
        if let Some(site) = event.site {
            args = format!("{args},{}", created(&site.to_string()));
        }
        let kind = event.kind.to_string();
        let (begin, end) = (event.begin, event.end);
        self.slice(track, &kind, &quoted(&kind), (begin, end), &args);
    }

    fn slice(
        &mut self,
        track: usize,
        category: &str,
        name: &str,
        (begin, end): (Moment, Option<Moment>),
        args: &str,
    ) {
        let begin = self.shown[&begin.order];
        let end = self.shown[&end.unwrap_or(self.now).order];
        let (at, took) = (micros(begin), micros(end - begin));
        *self.object('X', track) += &format!(
            ",\"name\":{name},\"cat\":\"{category}\",\"ts\":{at},\"dur\":{took},\"args\":{{{args}}}}}"
        );
    }

    /// From what has scheduled something to what was scheduled.
    fn arrow(
        &mut self,
        id: usize,
        cause: (&RecordedEvent, usize),
        effect: (&RecordedEvent, usize),
    ) {
        for (phase, (event, track), binding) in [('s', cause, ""), ('f', effect, ",\"bp\":\"e\"")] {
            let at = micros(self.shown[&event.begin.order]);
            *self.object(phase, track) += &format!(
                ",\"name\":\"schedules\",\"cat\":\"cause\",\"id\":{id},\"ts\":{at}{binding}}}"
            );
        }
    }
}

fn created(site: &str) -> String {
    format!("\"created_at\":{}", quoted(site))
}

/// Microseconds, with all that there is behind the point.
fn micros(nanos: Nanos) -> String {
    format!("{}.{:03}", nanos / 1000, nanos % 1000)
}

/// As a string of JSON.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c < ' ' => write!(quoted, "\\u{:04x}", u32::from(c)).expect("a string has room"),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}
