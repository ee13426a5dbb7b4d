//! Every program in `examples/` prints exactly what is recorded for it in `examples/expected/`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::{fs, thread};

use serde_json::{Value, json};

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

/// The README shows the picture.
#[test]
fn the_timeline_writes_the_files_that_are_recorded() {
    let written = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let ended = command("timeline").arg("--").arg(written).status();
    assert!(ended.expect("cargo runs, for it runs this test").success());
    for name in ["timeline.json", "timeline.svg"] {
        let read = |folder: &Path| fs::read_to_string(folder.join(name)).expect("it is there");
        let (written, recorded) = (read(written), read(&examples().join("expected")));
        assert_eq!(written, recorded, "{name}");
    }
}

/// The interpreter of concurrent programs, used as its users do; `tests/conformance.rs` says how
/// traces differ, if they do.
#[test]
fn conformance_reads_programs_and_prints_their_traces() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle");
    let read = |name| fs::read_to_string(folder.join(name)).expect("it is there");
    let (status, printed) = conformance(&read("programs.jsonl"));
    assert!(status.success());
    let recorded: Vec<_> = read("traces.jsonl").lines().map(parse).collect();
    assert_eq!(printed.len(), recorded.len());
    for (printed, recorded) in printed.iter().zip(&recorded) {
        assert_eq!(printed, recorded);
    }
}

#[test]
fn conformance_names_what_it_cannot_run_and_goes_on() {
    let (status, printed) = conformance(concat!(
        r#"{"id":"a","main":[{"op":"juggle","balls":3}],"bodies":{},"driver":[]}"#,
        "\n\n",
        r#"{"id":"c","objs":[{"name":"o","kind":"unicycle"}],"main":[]}"#,
        "\n",
        r#"{"id":"b","main":[],"bodies":{},"driver":[{"do":"run_until_complete","ref":"main"}]}"#,
        "\n",
    ));
    assert_eq!(status.code(), Some(1));
    let why = printed[1]["error"].as_str().unwrap();
    assert!(
        why.starts_with("no program: unknown variant `unicycle`"),
        "{why}"
    );
    let expected = [
        json!({"id": "a", "error": "op juggle"}),
        json!({"id": "c", "error": why}),
        json!({"id": "b", "trace": [
            [0, "drv: run_until_complete main = None"],
            [0, "end: main result None"],
            [0, "end: time 0"],
        ]}),
    ];
    assert_eq!(printed, expected);
}

/// What the interpreter gives for programs, a line each.
fn conformance(programs: &str) -> (ExitStatus, Vec<Value>) {
    let mut cargo = command("conformance");
    let mut child = cargo
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cargo runs, for it runs this test");
    let mut stdin = child.stdin.take().expect("it is piped");
    let output = thread::scope(|scope| {
        // It prints while it reads.
        scope.spawn(move || stdin.write_all(programs.as_bytes()));
        child.wait_with_output()
    });
    let Output { status, stdout, .. } = output.expect("it can be waited for");
    let stdout = String::from_utf8(stdout).expect("it prints text");
    (status, stdout.lines().map(parse).collect())
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Runs an example.
fn run(name: &str) -> Output {
    let output = command(name).output();
    output.expect("cargo runs, for it runs this test")
}

/// Has an example run through cargo: a binary that is there already may be an old one.
fn command(name: &str) -> Command {
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
    cargo
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
