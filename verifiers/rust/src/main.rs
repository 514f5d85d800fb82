//! The Rust verifiers as a program, for `verifiers/run`.
//!
//! ```text
//! rescind-verifiers fixture DIR          writes the logs to check
//! rescind-verifiers tlog-tiles LOG VKEY  checks a log with `signed_note` and `tlog_tiles`
//! rescind-verifiers ct-merkle LOG        checks a log with `ct-merkle`
//! ```
//!
//! Exit codes: 0 accepted, 1 something is wrong with the log, 2 could not check.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use verifiers::{ct_merkle, fixture, tlog_tiles};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut out = std::io::stdout();
    let outcome = match run(&words) {
        Ok(findings) => {
            let code = if findings.is_empty() { 0 } else { 1 };
            findings
                .iter()
                .try_for_each(|finding| writeln!(out, "{finding}"))
                .map(|()| code)
        }
        Err(error) => writeln!(std::io::stderr(), "error: {error:#}").map(|()| 2),
    };
    ExitCode::from(outcome.unwrap_or(2))
}

fn run(words: &[&str]) -> Result<Vec<String>> {
    match words {
        ["fixture", dir] => fixture::write(Path::new(dir), u64::MAX).map(|()| Vec::new()),
        ["tlog-tiles", log, vkey] => tlog_tiles::check(Path::new(log), vkey),
        ["ct-merkle", log] => ct_merkle::check(Path::new(log)),
        _ => bail!("expected `fixture DIR`, `tlog-tiles LOG VKEY` or `ct-merkle LOG`"),
    }
}
