//! Conventions, as tests.
//!
//! What a test looks for is put together from two halves, so that it does not find itself.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The headings that the docs of an item may have, in this order.
const HEADINGS: [&str; 4] = ["Cancellation", "Errors", "Panics", "Examples"];

/// A file in `src` has fewer lines than this; see the style guide on splitting.
const LONGEST_FILE: usize = 600;

/// A directory with one of these names is not ours, or holds nothing but what tools make.
const NOT_OURS: [&str; 3] = ["target", ".git", ".cargo"];

#[test]
fn no_file_names_a_path_of_the_machine_it_was_written_on() {
    check_lines(&sources(), |line| {
        [concat!("/", "work/"), concat!("/", "root/")]
            .into_iter()
            .find(|path| line.contains(path))
            .map(|path| format!("names {path}"))
    });
}

#[test]
fn nothing_is_left_to_do() {
    let marks = [
        concat!("to", "do!("),
        concat!("un", "implemented!("),
        concat!("#[", "ignore"),
        concat!("FIX", "ME"),
        concat!("TO", "DO"),
        concat!("XX", "X"),
    ];
    check_lines(&sources(), |line| {
        marks
            .into_iter()
            .find(|mark| line.contains(mark))
            .map(|mark| format!("has {mark}"))
    });
}

#[test]
fn cancelled_has_one_spelling() {
    let (wrong, foreign) = (concat!("cance", "led"), concat!("is_cance", "led()"));
    check_lines(&sources(), |line| {
        // A method of the crate `futures`.
        let ours = line.replace(foreign, "").to_lowercase();
        ours.contains(wrong).then(|| format!("has {wrong}"))
    });
}

#[test]
fn docs_of_items_have_the_fixed_headings_in_the_fixed_order() {
    let mut found = String::new();
    for file in rust_files("src") {
        let mut docs = Docs::default();
        for (number, line) in numbered(&file) {
            if let Err(what) = docs.read(line.trim_start()) {
                complain(&mut found, &file, number, &what);
            }
        }
    }
    assert!(found.is_empty(), "\n{found}");
}

#[test]
fn every_example_in_the_docs_runs() {
    let mut files = rust_files("src");
    files.extend(files_of("src/guide", "md"));
    check_lines(&files, |line| {
        let fence = line
            .trim_start()
            .trim_start_matches(['/', '!'])
            .trim_start();
        let attributes = fence.strip_prefix("```")?;
        ["ignore", "no_run"]
            .into_iter()
            .find(|attribute| attributes.contains(attribute))
            .map(|attribute| format!("has an example with {attribute}"))
    });
}

#[test]
fn files_are_not_too_long() {
    let mut found = String::new();
    for file in rust_files("src") {
        let length = numbered(&file).len();
        if length >= LONGEST_FILE {
            complain(&mut found, &file, length, "is the last of too many lines");
        }
    }
    assert!(found.is_empty(), "\n{found}");
}

#[test]
fn changelog_begins_with_what_is_unreleased() {
    let changelog = read(&root().join("CHANGELOG.md"));
    let first = changelog.lines().find(|line| line.starts_with("## "));
    let first = first.expect("it has a section");
    let title = first.trim_start_matches("## ").trim_matches(['[', ']']);
    assert_eq!(title, "Unreleased");
}

#[test]
fn top_level_documents_are_there() {
    for name in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
        assert!(root().join(name).is_file(), "{name} is missing");
    }
}

/// What of an item's docs has been read so far.
#[derive(Default)]
struct Docs {
    /// How many of `HEADINGS` may not come any more.
    headings: usize,
    /// Inside an example.
    fenced: bool,
}

impl Docs {
    fn read(&mut self, line: &str) -> Result<(), String> {
        let Some(text) = line.strip_prefix("///") else {
            *self = Self::default();
            return Ok(());
        };
        let text = text.strip_prefix(' ').unwrap_or(text);
        if text.starts_with("```") {
            self.fenced = !self.fenced;
        }
        match text.strip_prefix("# ") {
            Some(heading) if !self.fenced => self.heading(heading),
            _ => Ok(()),
        }
    }

    fn heading(&mut self, heading: &str) -> Result<(), String> {
        let place = HEADINGS.iter().position(|known| *known == heading);
        let place = place.ok_or_else(|| format!("has the heading {heading:?}"))?;
        if place < self.headings {
            return Err(format!("has the heading {heading:?} too late"));
        }
        self.headings = place + 1;
        Ok(())
    }
}

/// Fails if any line of the files has something wrong, as `wrong` says.
#[track_caller]
fn check_lines(files: &[PathBuf], wrong: impl Fn(&str) -> Option<String>) {
    let mut found = String::new();
    for file in files {
        for (number, line) in numbered(file) {
            if let Some(what) = wrong(&line) {
                complain(&mut found, file, number, &what);
            }
        }
    }
    assert!(found.is_empty(), "\n{found}");
}

fn complain(found: &mut String, file: &Path, line: usize, what: &str) {
    let file = file.strip_prefix(root()).expect("it is one of ours");
    writeln!(found, "{}:{line} {what}", file.display()).expect("a string takes everything");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn numbered(file: &Path) -> Vec<(usize, String)> {
    let text = read(file);
    let lines = text.lines().map(str::to_owned);
    lines.enumerate().map(|(at, line)| (at + 1, line)).collect()
}

/// Everything that somebody wrote: sources, documents, scripts, settings.
fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    collect(root(), &mut files);
    // What cargo writes.
    files.retain(|file| !file.ends_with("Cargo.lock"));
    assert!(files.len() > 20, "only these were found: {files:?}");
    files
}

/// The Rust files of a folder.
fn rust_files(folder: &str) -> Vec<PathBuf> {
    files_of(folder, "rs")
}

/// The files of a folder whose names end so.
fn files_of(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    collect(&root().join(folder), &mut files);
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == ending)
    });
    assert!(!files.is_empty());
    files
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("it is a folder") {
        let path = entry.expect("it can be read").path();
        let name = path.file_name().expect("it is an entry of a folder");
        if !path.is_dir() {
            if fs::read(&path).is_ok_and(|bytes| str::from_utf8(&bytes).is_ok()) {
                files.push(path);
            }
        } else if NOT_OURS.iter().all(|not_ours| name != *not_ours) {
            collect(&path, files);
        }
    }
    files.sort();
}
