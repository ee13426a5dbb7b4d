//! Programs run here as they run on CPython 3.13: the traces are equal, event for event.
//!
//! The programs, with the traces that asyncio gave, are `programs.jsonl` and `traces.jsonl` of the
//! directory that the environment variable `CALLSOON_ORACLE` names; if it is not set, of
//! `tests/oracle`, and of `../shared/oracle`, which has more of them, where that is there.
//! The interpreter is the one of `examples/conformance`.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use self::interpreter::{Event, Program};

#[path = "../examples/conformance/interpreter/mod.rs"]
mod interpreter;

/// How many equal events are shown in front of the first that differs.
const CONTEXT_BEFORE: usize = 4;
/// How many events are shown from the first on that differs.
const CONTEXT_AFTER: usize = 3;

#[test]
fn every_program_gives_the_trace_that_cpython_gives() {
    for directory in directories() {
        every_program_of(&directory);
    }
}

fn every_program_of(directory: &Path) {
    let mut expected = traces(directory);
    let (mut equal, mut skipped, mut wrong) = (0, Vec::new(), Vec::new());
    for program in programs(directory) {
        let id = program.id.clone();
        let expected = expected.remove(&id);
        let expected = expected.unwrap_or_else(|| panic!("there is no trace for {id}"));
        if let Some(why) = program.refusal() {
            skipped.push(format!("{id}: {why}"));
            continue;
        }
        match check(program, &expected) {
            Ok(()) => equal += 1,
            Err(how) => wrong.push(format!("{id}: {how}")),
        }
    }
    let summary = format!(
        "{}: {equal} programs give the trace of CPython\n{} do not\n{}\n{} were skipped\n{}",
        directory.display(),
        wrong.len(),
        wrong.join("\n"),
        skipped.len(),
        skipped.join("\n"),
    );
    show(&summary);
    assert!(
        equal > 0 && wrong.is_empty() && skipped.is_empty(),
        "\n{summary}"
    );
}

/// Runs a program; if its trace is not the one expected, says how they differ.
fn check(program: Program, expected: &[Event]) -> Result<(), String> {
    let got = catch_unwind(AssertUnwindSafe(|| interpreter::run(program)));
    let got = got.map_err(|_| "the interpreter panicked")?;
    if got == expected {
        return Ok(());
    }
    let equal = got.iter().zip(expected).take_while(|(a, b)| a == b);
    Err(difference(expected, &got, equal.count()))
}

/// Shows two traces around the first event that differs.
fn difference(expected: &[Event], got: &[Event], first: usize) -> String {
    let mut text = format!("event {first} of {} differs\n", expected.len());
    let before = &expected[first.saturating_sub(CONTEXT_BEFORE)..first];
    for (intro, events) in [
        ("", before),
        ("expected", &expected[first..]),
        ("got", &got[first..]),
    ] {
        for (time, event) in events.iter().take(CONTEXT_AFTER.max(before.len())) {
            writeln!(text, "  {intro:8} {time:6} {event}").expect("a string takes everything");
        }
    }
    text
}

#[allow(clippy::print_stdout, reason = "what was skipped is to be seen, too")]
fn show(summary: &str) {
    println!("{summary}");
}

fn directories() -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os("CALLSOON_ORACLE") {
        return vec![named.into()];
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let all = ["tests/oracle", "../shared/oracle"].map(|place| root.join(place));
    (all.into_iter())
        .filter(|directory| directory.join(PROGRAMS).is_file())
        .collect()
}

const PROGRAMS: &str = "programs.jsonl";
const TRACES: &str = "traces.jsonl";

fn programs(directory: &Path) -> Vec<Program> {
    rows(&directory.join(PROGRAMS))
}

fn traces(directory: &Path) -> HashMap<String, Vec<Event>> {
    let rows: Vec<Trace> = rows(&directory.join(TRACES));
    rows.into_iter().map(|row| (row.id, row.trace)).collect()
}

/// A line of `traces.jsonl`.
#[derive(Deserialize)]
struct Trace {
    id: String,
    trace: Vec<Event>,
}

fn rows<T: for<'a> Deserialize<'a>>(file: &Path) -> Vec<T> {
    let text =
        fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let rows = text.lines().map(serde_json::from_str);
    rows.collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
