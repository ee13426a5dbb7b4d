//! Prints what every contender asks of the heap, per operation: calls / bytes. Takes the options of
//! the main binary, which uses this one for its memory row.

use std::alloc::System;
use std::env;
use std::process::ExitCode;

use callsoon_benches::{Counts, Options, measure};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts bytes as they are requested; what the allocator adds is not seen.
#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mut options = Options::parse(env::args().skip(1))?;
    if let Some((row, contender)) = &options.one {
        println!("{}", Options::run_one(row, contender, |_| heap)?);
        return Ok(());
    }
    // A count does not vary.
    options.rounds = 1;
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let report = measure(&options, |_| Ok(program.clone()))?;
    print!("{}", report.allocations(options.markdown));
    Ok(())
}

fn heap() -> Counts {
    let stats = GLOBAL.stats();
    Counts {
        nanos: 0.0,
        allocations: (stats.allocations + stats.reallocations) as f64,
        bytes: stats.bytes_allocated as f64,
        live: stats.bytes_allocated as f64 - stats.bytes_deallocated as f64,
    }
}
