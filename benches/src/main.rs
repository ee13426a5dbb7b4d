//! Prints the table: what every contender costs in every row. See README.md.

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use callsoon_benches::{Counts, Options, Row, Unit, measure};
use cpu_time::ProcessTime;

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
    let options = Options::parse(env::args().skip(1))?;
    if let Some((row, contender)) = &options.one {
        println!("{}", Options::run_one(row, contender, probe)?);
        return Ok(());
    }
    if cfg!(debug_assertions) {
        eprintln!("This is a debug build; its figures say nothing. Use --release.");
    }
    let report = measure(&options, program)?;
    print!("{}", report.costs(options.markdown));
    Ok(())
}

/// What a row is measured with, in this binary.
fn probe(row: &Row) -> fn() -> Counts {
    match row.unit {
        Unit::Wall => wall_time,
        Unit::Cpu | Unit::Heap => cpu_time,
    }
}

/// User and system time of all threads of this process.
fn cpu_time() -> Counts {
    nanos(ProcessTime::now().as_duration())
}

/// Time since the first call.
fn wall_time() -> Counts {
    static START: OnceLock<Instant> = OnceLock::new();
    nanos(START.get_or_init(Instant::now).elapsed())
}

fn nanos(time: Duration) -> Counts {
    Counts {
        nanos: time.as_nanos() as f64,
        ..Counts::default()
    }
}

/// Rows of time run in this binary, rows of memory in the one with the counting allocator.
fn program(row: &Row) -> Result<PathBuf, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    match row.unit {
        Unit::Cpu | Unit::Wall => Ok(program),
        Unit::Heap => build_alloc(program),
    }
}

/// Builds `alloc` beside this binary; `cargo run` has built only this one.
fn build_alloc(program: PathBuf) -> Result<PathBuf, String> {
    let folder = program.parent().ok_or("this binary is in no folder")?;
    let target = folder
        .parent()
        .ok_or("this binary is in no target folder")?;
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--bin", "alloc"]);
    command.args([
        "--manifest-path",
        concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
    ]);
    command.arg("--target-dir").arg(target);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let status = command.status().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("building the alloc binary: {status}"));
    }
    Ok(folder.join(format!("alloc{}", env::consts::EXE_SUFFIX)))
}
