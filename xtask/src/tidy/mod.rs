//! `cargo xtask tidy`: what a compiler cannot know about this project.
//!
//! Each check is a plain function from text to [`Finding`]s, so that its tests give it a small
//! violation and expect to see it. Only this module reads files and runs programs.
//!
//! What is *not* here: format and lints (`cargo fmt`, `cargo clippy`), and whether shown commands
//! do what the text says; `cargo xtask test` runs them for that.

mod checklist;
mod commands;
mod edges;
mod licences;
mod links;
mod mask;
mod source;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::{binary, files};

/// One thing to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// File, relative to the root.
    path: String,
    /// Line, from 1; 0 when the whole file is meant.
    line: usize,
    /// What is wrong.
    what: String,
    /// What a person can do about it.
    hint: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            what: what.into(),
            hint: hint.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what)?,
            line => write!(f, "{}:{line}: {}", self.path, self.what)?,
        }
        write!(f, "\n    hint: {}", self.hint)
    }
}

/// Runs every check and prints what it found. Returns whether there was nothing to mend.
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task talks to who started it"
)]
pub(crate) fn run(options: &[String]) -> anyhow::Result<bool> {
    if let Some(option) = options.first() {
        bail!("`tidy` takes no option, got `{option}`");
    }
    let findings = check(&files::root())?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.len() {
        0 => println!("tidy: nothing to mend"),
        count => eprintln!("\ntidy: {count} to mend"),
    }
    Ok(findings.is_empty())
}

fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let sources = files::find(root, &[".rs"])?;
    let manifests = files::find(root, &["Cargo.toml"])?;
    let documents = files::find(root, &[".md"])?;

    let metadata = metadata(root)?;
    let deny = fs::read_to_string(root.join("deny.toml")).context("could not read `deny.toml`")?;

    let mut findings = edges::check(&metadata, &manifests)?;
    findings.extend(licences::check(&deny, &metadata.licences()));
    for file in &sources {
        findings.extend(source::check(file));
    }
    for file in &documents {
        findings.extend(links::check(file, &documents, &|path| {
            root.join(path).exists()
        }));
    }
    findings.extend(checklist::check(&documents, &sources));
    findings.extend(commands::check(&documents, &mut Rescind::new(root)));
    Ok(findings)
}

/// Returns the dependency graph of the workspace as cargo resolves it for this lock file.
fn metadata(root: &Path) -> anyhow::Result<edges::Metadata> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root)
        .output()
        .context("could not run `cargo metadata`")?;
    if !output.status.success() {
        bail!(
            "`cargo metadata --locked` failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    serde_json::from_slice(&output.stdout).context("`cargo metadata` printed what we cannot read")
}

/// The real command line: asks the built binary whether it understands a command.
struct Rescind<'a> {
    root: &'a Path,
    /// Where the binary lies, once it is built; or why it could not be built.
    binary: Option<Result<PathBuf, String>>,
}

impl<'a> Rescind<'a> {
    fn new(root: &'a Path) -> Self {
        Self { root, binary: None }
    }
}

impl commands::Understands for Rescind<'_> {
    fn understands(&mut self, words: &[String]) -> Result<(), String> {
        let built = || binary::build(self.root).map_err(|error| format!("{error:#}"));
        let binary = match self.binary.get_or_insert_with(built) {
            Ok(binary) => binary,
            Err(error) => return Err(error.clone()),
        };
        // With `--help` at the end the parser checks all that comes before it (command, options,
        // their values, the number of arguments), prints its help and does nothing.
        let output = Command::new(&*binary)
            .args(words)
            .arg("--help")
            .output()
            .map_err(|error| format!("could not run `{}`: {error}", binary.display()))?;
        if output.status.success() {
            return Ok(());
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        let first = complaint
            .lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("no message");
        Err(first.trim_start_matches("error: ").to_owned())
    }
}
