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

use self::interpreter::{Event, Program};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut every_one_ran = true;
    let mut output = io::BufWriter::new(io::stdout());
    for line in io::stdin().lines() {
        let program: Program = serde_json::from_str(&line?)?;
        let id = program.id.clone();
        let row = match program.unknown_op() {
            Some(op) => {
                every_one_ran = false;
                let error = format!("op {op}");
                Row::Error { id, error }
            }
            None => {
                let trace = interpreter::run(program);
                Row::Trace { id, trace }
            }
        };
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

/// A line of the output.
#[derive(Serialize)]
#[serde(untagged)]
enum Row {
    Trace { id: String, trace: Vec<Event> },
    Error { id: String, error: String },
}
