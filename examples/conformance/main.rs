//! asyncio's order of events, checked: an interpreter of small concurrent programs.
//!
//! The same programs, run by an interpreter on CPython's asyncio, gave the traces that the ones of
//! this interpreter must be equal to, event for event (`tests/conformance.rs`). A program is a line
//! of JSON: what its main body does, bodies for its tasks, what is done with the loop from outside.
//! You will see a line for each, with its trace: at which virtual millisecond what happened.
//!
//! ```text
//! cargo run --example conformance < tests/oracle/programs.jsonl
//! ```
//!
//! It is also a tour: `interpreter/items.rs` has futures, tasks and gathers in one table, though
//! their types differ; `actions.rs` has everything that can be done from a callback; in `steps.rs`
//! coroutines await, catch cancellations and clean up, in `meetings.rs` they wait for locks and queues,
//! which are in `objects.rs`; `driver.rs` runs the loop in all its ways.

mod interpreter;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::Value;

use self::interpreter::{Event, Program};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut every_one_ran = true;
    let mut output = io::BufWriter::new(io::stdout());
    for line in io::stdin().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let row = row(&line);
        every_one_ran &= matches!(row, Row::Trace { .. });
        serde_json::to_writer(&mut output, &row)?;
        writeln!(output)?;
    }
    output.flush()?;
    Ok(if every_one_ran {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs the program of a line, if it is one.
fn row(line: &str) -> Row {
    match serde_json::from_str::<Program>(line) {
        Ok(program) => {
            let id = program.id.clone();
            match program.refusal() {
                Some(error) => Row::Error { id, error },
                None => {
                    let trace = interpreter::run(program);
                    Row::Trace { id, trace }
                }
            }
        }
        Err(error) => {
            let named = serde_json::from_str::<Value>(line).ok();
            let id = named.and_then(|named| named.get("id")?.as_str().map(str::to_owned));
            let id = id.unwrap_or_default();
            let error = format!("no program: {error}");
            Row::Error { id, error }
        }
    }
}

/// A line of the output.
#[derive(Serialize)]
#[serde(untagged)]
enum Row {
    Trace { id: String, trace: Vec<Event> },
    Error { id: String, error: String },
}
