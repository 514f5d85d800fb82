//! `kill -9` of the real gateway in the middle of calls, in a few rounds.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use load::crash::{Plan, run};
use load::report;

/// The binary of the same build; made where only this crate was built.
fn rescind() -> PathBuf {
    let own = Path::new(env!("CARGO_BIN_EXE_rescind-load"));
    let binary = own.with_file_name("rescind");
    if !binary.exists() {
        let target = own.ancestors().nth(2).expect("target, then the profile");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--locked", "-p", "rescind-cli", "--target-dir"])
            .arg(target)
            .status()
            .expect("cargo runs, as it runs this");
        assert!(built.success() && binary.exists());
    }
    binary
}

#[test]
fn c73_killed_gateways_leave_every_call_finished_or_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan {
        rounds: 4,
        clients: 40,
        delay: Duration::from_millis(5),
        seed: 3,
    };
    let mut told = Vec::new();
    let found = run(&rescind(), dir.path(), plan, |number, round| {
        told.push(report::round(number, round));
    })
    .unwrap();
    assert!(found.holds, "{}", told.join("\n"));
}
