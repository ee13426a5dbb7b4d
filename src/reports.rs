//! What is said when nobody else says it: where every report of the crate ends that no handler took.
//!
//! Reports are records of the crate `log`. Where nobody has asked for those, errors would vanish, so they go to
//! standard error, as Python's do when `logging` is not set up.

use std::fmt;

use log::{Level, LevelFilter};

/// Logs `report`; or writes it to standard error, if no record of any level would be heard.
///
/// It calls user code: what prints an error, and the logger. It may panic as they do.
pub(crate) fn report(level: Level, report: fmt::Arguments<'_>) {
    if log::max_level() == LevelFilter::Off {
        // Printed before it is written: the lock of standard error is nothing to hold over user code.
        write_line(format!("{report}\n"));
    } else {
        log::log!(target: "callsoon", level, "{report}");
    }
}

/// Writes a line in one go, so that no other comes between. Nobody can be told if that fails.
#[cfg(panic = "unwind")]
#[allow(
    clippy::print_stderr,
    reason = "a last resort; and the macro writes where the test harness captures"
)]
fn write_line(line: String) {
    let _ = std::panic::catch_unwind(|| eprint!("{line}"));
}

/// The same, where a macro that panics would end the process.
#[cfg(not(panic = "unwind"))]
fn write_line(line: String) {
    use std::io::Write;

    let _ = std::io::stderr().write_all(line.as_bytes());
}
