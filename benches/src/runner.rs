//! Measures every (row, contender) in a process of its own, in rounds.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::report::Line;
use crate::rows::{self, CONTENDERS, ROWS};
use crate::{Counts, Measured, Meter, Report, Row};

/// Rounds when the command line names no number.
const DEFAULT_ROUNDS: usize = 7;

/// Tells glibc to keep what was freed, as a program has it that runs for a while: otherwise the
/// warm-up gives its pages back, and a row with much memory measures how the kernel clears pages.
const KEEP_HEAP: [(&str, &str); 2] = [
    ("MALLOC_TRIM_THRESHOLD_", "2147483648"),
    ("MALLOC_MMAP_THRESHOLD_", "2147483648"),
];

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--rows a,b`: the rows to measure.
    pub rows: Vec<String>,
    /// `--contenders a,b`: who takes part.
    pub contenders: Vec<String>,
    /// `--rounds N`: how often each is measured.
    pub rounds: usize,
    /// `--markdown`: print a table for a document.
    pub markdown: bool,
    /// `--one ROW CONTENDER`: measure that in this very process and print the four figures.
    pub one: Option<(String, String)>,
}

impl Options {
    /// Reads the command line.
    ///
    /// # Errors
    ///
    /// If an option, a row or a contender is unknown.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Options {
            rows: ROWS.iter().map(|row| row.name.to_owned()).collect(),
            contenders: CONTENDERS.iter().map(|&name| name.to_owned()).collect(),
            rounds: DEFAULT_ROUNDS,
            markdown: false,
            one: None,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--rows" => options.rows = list(&value()?),
                "--contenders" => options.contenders = list(&value()?),
                "--rounds" => options.rounds = number(&value()?)?,
                "--markdown" => options.markdown = true,
                "--one" => options.one = Some((value()?, value()?)),
                _ => return Err(format!("unknown option {argument}; see README.md")),
            }
        }
        options.check()
    }

    /// Refuses names that are in no table.
    fn check(self) -> Result<Self, String> {
        let (one_row, one_contender) = self.one.clone().unzip();
        if let Some(row) = self
            .rows
            .iter()
            .chain(&one_row)
            .find(|row| rows::find(row).is_none())
        {
            return Err(format!("unknown row {row}"));
        }
        let mut contenders = self.contenders.iter().chain(&one_contender);
        if let Some(name) = contenders.find(|name| !CONTENDERS.contains(&name.as_str())) {
            return Err(format!("unknown contender {name}"));
        }
        Ok(self)
    }

    /// Runs what `--one` names, in this process, reading the probe that `probe` picks for the row.
    ///
    /// # Errors
    ///
    /// If that contender has no part in that row.
    pub fn run_one(
        row: &str,
        contender: &str,
        probe: impl Fn(&Row) -> fn() -> Counts,
    ) -> Result<Measured, String> {
        let row = rows::find(row).ok_or(format!("unknown row {row}"))?;
        let workload = row
            .workload(contender)
            .ok_or(format!("{contender} has no part in {}", row.name))?;
        Ok(workload(Meter::new(probe(row))))
    }
}

fn list(names: &str) -> Vec<String> {
    names.split(',').map(str::to_owned).collect()
}

fn number(digits: &str) -> Result<usize, String> {
    digits
        .parse()
        .ok()
        .filter(|&rounds| rounds > 0)
        .ok_or(format!("not a number of rounds: {digits}"))
}

/// Measures what `options` ask for. `program` says which binary runs a row.
///
/// Contenders take turns within each round, so that a machine that slows down slows all of them.
///
/// # Errors
///
/// If a contender fails, with what it said on standard error.
pub fn measure(
    options: &Options,
    program: impl Fn(&Row) -> Result<PathBuf, String>,
) -> Result<Report, String> {
    let mut lines = Vec::new();
    for row in options.rows.iter().filter_map(|name| rows::find(name)) {
        let taking_part = row.contenders.iter().map(|(name, _)| *name);
        let chosen = |name: &&str| options.contenders.iter().any(|chosen| chosen == name);
        let contenders: Vec<&str> = taking_part.filter(chosen).collect();
        if contenders.is_empty() {
            continue;
        }
        eprintln!("{}: {}", row.name, row.about);
        let program = program(row)?;
        let mut samples = vec![Vec::new(); contenders.len()];
        for _ in 0..options.rounds {
            for (contender, samples) in contenders.iter().zip(&mut samples) {
                samples.push(run(&program, row.name, contender)?);
            }
        }
        let medians = samples.iter().map(|samples| median(samples));
        lines.push(Line {
            row,
            figures: contenders.into_iter().zip(medians).collect(),
        });
    }
    Ok(Report { lines })
}

/// One measurement, in a fresh process.
fn run(program: &PathBuf, row: &str, contender: &str) -> Result<Measured, String> {
    let failed = |reason: String| format!("{row}, {contender}: {reason}");
    let output = Command::new(program)
        .args(["--one", row, contender])
        .envs(KEEP_HEAP)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    String::from_utf8_lossy(&output.stdout)
        .parse()
        .map_err(failed)
}

/// The median of each figure.
fn median(samples: &[Measured]) -> Measured {
    let of = |figure: fn(&Counts) -> f64| {
        let mut figures: Vec<f64> = samples
            .iter()
            .map(|Measured(counts)| figure(counts))
            .collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    Measured(Counts {
        nanos: of(|counts| counts.nanos),
        allocations: of(|counts| counts.allocations),
        bytes: of(|counts| counts.bytes),
        live: of(|counts| counts.live),
    })
}
