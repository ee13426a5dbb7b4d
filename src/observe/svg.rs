//! A recording as a picture.
//!
//! No time passes on a virtual clock while something runs, and hardly any on a real one if one looks at
//! seconds. So a part of the width belongs to time, and the rest to what happens: each beginning and each
//! end has a bit of it.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use super::EntryKind;
use super::timeline::{Moment, RecordedEvent, RecordedTask, Timeline};
use crate::event_loop::Nanos;

const WIDTH: f64 = 960.0;
/// Where names are.
const GUTTER: f64 = 130.0;
const MARGIN: f64 = 16.0;
/// Above the first lane.
const HEADER: f64 = 58.0;
const LANE: f64 = 34.0;
const BAR: f64 = 14.0;
/// What each beginning and each end takes, if there are not too many.
const BEAT: f64 = 7.0;
/// No bar is thinner, or one would not see it.
const THINNEST: f64 = 0.5;
/// So much of the width they take at most, all together.
const BEATS_AT_MOST: f64 = 0.6;
/// About so many marks are on the axis.
const MARKS: Nanos = 8;
/// A longer name is cut.
const LONGEST_NAME: usize = 18;

/// Every colour is in the middle between black and white, to be readable on both.
const STYLE: &str = "
text { font: 12px system-ui, sans-serif; fill: #7a7f87 }
.name { font-weight: 600; text-anchor: end }
.axis, .key { font-size: 11px }
.axis { text-anchor: middle }
line { stroke: #7a7f87 }
.mark { stroke-opacity: .3; stroke-dasharray: 2 3 }
.lane { stroke-opacity: .15 }
.life { stroke: #2f81d6; stroke-width: 1.5 }
.step { fill: #2f81d6 }
.call { fill: #c9761a }
.timer { fill: #a35bc4 }
.cause { fill: none; stroke: #3a9a50; stroke-width: 1.2; stroke-opacity: .9; marker-end: url(#tip) }
.later { stroke-dasharray: 4 3 }
#tip path { fill: #3a9a50 }
";

pub(super) fn draw(timeline: &Timeline) -> String {
    let picture = Picture::new(timeline);
    let height = HEADER + picture.lanes as f64 * LANE + MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\">\n<title>what ran when, and what scheduled it</title>\n\
         <style>{STYLE}</style>\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 6 6\" refX=\"6\" refY=\"3\" markerWidth=\"6\" \
         markerHeight=\"6\" orient=\"auto\"><path d=\"M0 0L6 3L0 6z\"/></marker></defs>\n"
    );
    key(&mut svg);
    picture.axis(&mut svg, height - MARGIN);
    for task in &timeline.tasks {
        picture.life(&mut svg, task);
    }
    picture.lane(&mut svg, "callbacks", picture.lanes - 1);
    for event in &timeline.events {
        if let Some(cause) = event.cause {
            picture.arrow(&mut svg, &timeline.events[cause], event);
        }
    }
    for event in &timeline.events {
        picture.bar(&mut svg, event);
    }
    svg + "</svg>\n"
}

/// What the colours mean.
fn key(svg: &mut String) {
    let mut x = GUTTER;
    for (class, text) in [
        ("step", "step of a task"),
        ("call", "callback"),
        ("timer", "timer"),
    ] {
        line(
            svg,
            format_args!(
                "<rect class=\"{class}\" x=\"{x}\" y=\"10\" width=\"10\" height=\"10\" rx=\"2\"/>\
                 <text class=\"key\" x=\"{}\" y=\"19\">{text}</text>",
                x + 16.0
            ),
        );
        x += 112.0;
    }
    for (class, text) in [
        ("cause", "schedules"),
        ("cause later", "schedules, for later"),
    ] {
        line(
            svg,
            format_args!(
                "<path class=\"{class}\" d=\"M{x} 15h24\"/>\
                 <text class=\"key\" x=\"{}\" y=\"19\">{text}</text>",
                x + 30.0
            ),
        );
        x += 150.0;
    }
    line(
        svg,
        format_args!(
            "<line class=\"life\" x1=\"{}\" y1=\"15\" x2=\"{}\" y2=\"15\"/>\
             <text class=\"key\" x=\"{}\" y=\"19\">a task waits</text>",
            x,
            x + 24.0,
            x + 30.0
        ),
    );
}

/// Where everything is.
struct Picture {
    /// Every moment, in order.
    moments: Vec<Moment>,
    /// Where a moment is, by its order.
    x: HashMap<u64, f64>,
    /// The lane of a task.
    rows: HashMap<u64, usize>,
    lanes: usize,
    now: Moment,
    beat: f64,
    /// The width of a nanosecond.
    scale: f64,
}

impl Picture {
    fn new(timeline: &Timeline) -> Self {
        let moments = timeline.moments();
        let width = WIDTH - GUTTER - MARGIN;
        let count = moments.len() as f64;
        let span = time_span(&moments);
        let beat = BEAT.min(width * BEATS_AT_MOST / count);
        let scale = match span {
            0 => 0.0,
            span => (width - beat * count) / span as f64,
        };
        let rows = timeline.tasks.iter().enumerate();
        let mut picture = Self {
            x: HashMap::new(),
            rows: rows.map(|(row, task)| (task.id, row)).collect(),
            lanes: timeline.tasks.len() + 1,
            now: timeline.now,
            moments,
            beat,
            scale,
        };
        let each = picture.moments.iter().enumerate();
        picture.x = each
            .map(|(place, it)| (it.order, picture.at(it.time, place)))
            .collect();
        picture
    }

    /// Where a time is that so many moments come before.
    fn at(&self, time: Nanos, before: usize) -> f64 {
        let passed = time - self.moments[0].time;
        GUTTER + passed as f64 * self.scale + before as f64 * self.beat
    }

    fn x(&self, moment: Moment) -> f64 {
        self.x[&moment.order]
    }

    /// From where to where an event goes.
    fn extent(&self, event: &RecordedEvent) -> (f64, f64) {
        let end = event.end.unwrap_or(self.now);
        (self.x(event.begin), self.x(end))
    }

    /// The middle of an event's lane. That of callbacks is the last.
    fn y(&self, event: &RecordedEvent) -> f64 {
        let row = event.task.and_then(|task| self.rows.get(&task));
        middle(row.copied().unwrap_or(self.lanes - 1))
    }

    /// Round times.
    fn axis(&self, svg: &mut String, bottom: f64) {
        let (first, span) = (self.moments[0].time, time_span(&self.moments));
        let step = round_step(span);
        let last = first + span;
        let mut next = first.div_ceil(step).checked_mul(step);
        while let Some(time) = next.filter(|&time| time <= last) {
            let before = self.moments.partition_point(|moment| moment.time < time);
            let (x, said) = (self.at(time, before), clock(time));
            let (y, top) = (HEADER - 12.0, HEADER - 6.0);
            line(
                svg,
                format_args!(
                    "<text class=\"axis\" x=\"{x:.1}\" y=\"{y}\">{said}</text>\
                     <line class=\"mark\" x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>"
                ),
            );
            next = time.checked_add(step);
        }
    }

    fn lane(&self, svg: &mut String, name: &str, row: usize) {
        let (x, y, end) = (GUTTER - 14.0, middle(row), WIDTH - MARGIN);
        let short = match name.char_indices().nth(LONGEST_NAME) {
            Some((cut, _)) => format!("{}…", &name[..cut]),
            None => name.to_owned(),
        };
        line(
            svg,
            format_args!(
                "<line class=\"lane\" x1=\"{GUTTER}\" y1=\"{y}\" x2=\"{end}\" y2=\"{y}\"/>\
                 <text class=\"name\" x=\"{x}\" y=\"{}\"><title>{}</title>{}</text>",
                y + 4.0,
                escaped(name),
                escaped(&short)
            ),
        );
    }

    /// A task, from its making to its end.
    fn life(&self, svg: &mut String, task: &RecordedTask) {
        let row = self.rows[&task.id];
        self.lane(svg, &task.name, row);
        let (from, to) = (self.x(task.since), self.x(task.until.unwrap_or(self.now)));
        let (y, created) = (middle(row), escaped(&task.site.to_string()));
        line(
            svg,
            format_args!(
                "<line class=\"life\" x1=\"{from:.1}\" y1=\"{y}\" x2=\"{to:.1}\" y2=\"{y}\">\
                 <title>created at {created}</title></line>"
            ),
        );
        for (x, is_known) in [(from, true), (to, task.until.is_some())] {
            if is_known {
                let (above, below) = (y - 4.0, y + 4.0);
                line(
                    svg,
                    format_args!(
                        "<line class=\"life\" x1=\"{x:.1}\" y1=\"{above}\" x2=\"{x:.1}\" y2=\"{below}\"/>"
                    ),
                );
            }
        }
    }

    fn bar(&self, svg: &mut String, event: &RecordedEvent) {
        let (from, to) = self.extent(event);
        let (top, width) = (self.y(event) - BAR / 2.0, (to - from).max(THINNEST));
        let (class, said) = (class(event.kind), escaped(&said(event)));
        line(
            svg,
            format_args!(
                "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{top}\" width=\"{width:.1}\" \
                 height=\"{BAR}\" rx=\"2\"><title>{said}</title></rect>"
            ),
        );
    }

    fn arrow(&self, svg: &mut String, cause: &RecordedEvent, effect: &RecordedEvent) {
        let center = |(from, to): (f64, f64)| f64::midpoint(from, to);
        let (from, to) = (center(self.extent(cause)), center(self.extent(effect)));
        let (above, below) = (self.y(cause), self.y(effect));
        let half = BAR / 2.0;
        // From edge to edge; within a lane in an arc above it.
        let (start, bend, end) = match above.total_cmp(&below) {
            std::cmp::Ordering::Less => (above + half, f64::midpoint(above, below), below - half),
            std::cmp::Ordering::Greater => {
                (above - half, f64::midpoint(above, below), below + half)
            }
            std::cmp::Ordering::Equal => (above - half, above - LANE / 2.0, below - half),
        };
        let later = match effect.kind {
            EntryKind::Timer => " later",
            _ => "",
        };
        line(
            svg,
            format_args!(
                "<path class=\"cause{later}\" d=\"M{from:.1} {start}C{from:.1} {bend} {to:.1} {bend} \
                 {to:.1} {end}\"/>"
            ),
        );
    }
}

fn middle(row: usize) -> f64 {
    HEADER + row as f64 * LANE + LANE / 2.0
}

fn time_span(moments: &[Moment]) -> Nanos {
    let times = moments.iter().map(|moment| moment.time);
    times.clone().max().unwrap_or(0) - times.min().unwrap_or(0)
}

/// 1, 2 or 5 of some unit, so that there are some marks but not many.
fn round_step(span: Nanos) -> Nanos {
    let mut unit = 1;
    loop {
        for digit in [1, 2, 5] {
            if span / (digit * unit) <= MARKS {
                return digit * unit;
            }
        }
        unit *= 10;
    }
}

fn clock(time: Nanos) -> String {
    match time {
        0 => "0".to_owned(),
        time => format!("{:?}", Duration::from_nanos(time)),
    }
}

fn class(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Step => "step",
        EntryKind::Timer => "timer",
        _ => "call",
    }
}

/// What a reader sees who points at an event.
fn said(event: &RecordedEvent) -> String {
    let what = match event.task {
        Some(_) => format!("step of {}", event.name),
        None => event.name.clone(),
    };
    let mut said = format!("{what}, in turn {}, at {:?}", event.turn, event.begin());
    if let Some(took) = event.end().and_then(|end| end.checked_sub(event.begin()))
        && !took.is_zero()
    {
        said += &format!(", took {took:?}");
    }
    if let Some(site) = event.site {
        said += &format!(", created at {site}");
    }
    said
}

fn line(svg: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(svg, "{text}").expect("a string has room");
}

/// As text of XML. Characters that XML has no place for are left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '\t' | '\n' | '\r' => escaped.push(' '),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => escaped.push(c),
        }
    }
    escaped
}
