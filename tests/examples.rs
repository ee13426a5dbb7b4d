//! Every program in `examples/` prints exactly what is recorded for it in `examples/expected/`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[test]
fn every_example_has_a_recorded_output_and_none_is_left_over() {
    assert_eq!(names("", "rs"), names("expected", "txt"));
}

#[test]
fn every_example_prints_what_is_recorded() {
    for name in names("", "rs") {
        let Output {
            status,
            stdout,
            stderr,
        } = run(&name);
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(
            status.success(),
            "example {name} ended with {status}:\n{stderr}"
        );
        let recorded = examples().join("expected").join(format!("{name}.txt"));
        let recorded = fs::read_to_string(recorded).expect("there is one, says the other test");
        let printed = String::from_utf8(stdout).expect("it prints text");
        assert_eq!(printed, recorded, "example {name}; it also said:\n{stderr}");
    }
}

#[test]
fn every_example_tells_the_command_that_runs_it() {
    for name in names("", "rs") {
        let source = fs::read_to_string(examples().join(format!("{name}.rs"))).unwrap();
        let command = format!("//! cargo run --example {name}\n");
        assert!(source.contains(&command), "example {name}");
    }
}

/// Runs an example, through cargo: a binary that is there already may be an old one.
fn run(name: &str) -> Output {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args([
        "run",
        "--quiet",
        "--locked",
        "--example",
        name,
    ]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    cargo.output().expect("cargo runs, for it runs this test")
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// The files in a folder of `examples/` that have this extension, without it.
fn names(folder: &str, extension: &str) -> BTreeSet<String> {
    fs::read_dir(examples().join(folder))
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension() == Some(OsStr::new(extension)))
        .map(|path| {
            let name = path.file_stem().expect("it has an extension");
            name.to_str().expect("our names are ASCII").to_owned()
        })
        .collect()
}
