//! Every call of every recorded run, played again on the database that it was recorded on: refused
//! or not, and what it changed, record by record.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};
use service_desk::{Change, Desk, Rights};

#[derive(Debug, Deserialize)]
struct Run {
    source: String,
    trial: u64,
    calls: Vec<Call>,
    initial: Vec<Initial>,
}

#[derive(Debug, Deserialize)]
struct Call {
    name: String,
    args: Map<String, Value>,
    #[serde(default)]
    error: bool,
    #[serde(default)]
    effects: Vec<Effect>,
}

#[derive(Debug, Deserialize)]
struct Effect {
    table: String,
    key: String,
    before: Option<Value>,
    after: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Initial {
    table: String,
    key: String,
    value: Option<Value>,
}

/// A database of each desk, ready to be copied.
struct Desks {
    folder: tempfile::TempDir,
}

impl Desks {
    fn filled(data: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let databases = data.join("tau-bench/common");
        let mut airline = Desk::open(&folder.path().join("airline.db")).unwrap();
        airline.load_airline(&databases.join("airline-db")).unwrap();
        let mut retail = Desk::open(&folder.path().join("retail.db")).unwrap();
        retail.load_retail(&databases.join("retail-db")).unwrap();
        Self { folder }
    }

    /// Opens the desk of a run as it was before it.
    fn before(&self, run: &Run) -> Desk {
        let name = if run.source.contains("airline") {
            "airline.db"
        } else {
            "retail.db"
        };
        let played = self.folder.path().join("played.db");
        std::fs::copy(self.folder.path().join(name), &played).unwrap();
        Desk::open(&played).unwrap()
    }
}

/// The folder of recorded runs, or none.
#[expect(
    clippy::disallowed_methods,
    reason = "tests find real data through the environment"
)]
fn data() -> Option<PathBuf> {
    let root = std::env::var_os("RESCIND_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    if root.join("tau-effects").is_dir() {
        return Some(root);
    }
    println!("no recorded effects at {}: passing over", root.display());
    None
}

/// Plays every recorded run, and hands each call to `judge` with what it came to here.
fn play(data: &Path, mut judge: impl FnMut(&Path, &Run, &Call, service_desk::Answer)) {
    let desks = Desks::filled(data);
    let mut files: Vec<PathBuf> = std::fs::read_dir(data.join("tau-effects"))
        .unwrap()
        .map(|half| half.unwrap().path())
        .filter(|path| path.is_dir())
        .flat_map(|half| std::fs::read_dir(half).unwrap())
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    let rights = Rights::default();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let runs: Vec<Run> = serde_json::from_str(&text).unwrap();
        for run in &runs {
            let mut desk = desks.before(run);
            for known in &run.initial {
                let here = desk.record(&known.table, &known.key).unwrap().body;
                assert_eq!(here, known.value, "{}: {}", file.display(), known.key);
            }
            for call in &run.calls {
                let answer = desk.perform(&call.name, &call.args, rights).unwrap();
                judge(&file, run, call, answer);
            }
        }
    }
}

fn same(changes: &[Change], effects: &[Effect]) -> bool {
    changes.len() == effects.len()
        && effects.iter().all(|effect| {
            changes.iter().any(|change| {
                change.table == effect.table
                    && change.id == effect.key
                    && change.before == effect.before
                    && change.after == effect.after
            })
        })
}

#[test]
fn recorded_calls_are_refused_or_have_their_effects_as_recorded() {
    let Some(data) = data() else { return };
    let (mut calls, mut effects) = (0, 0);
    let mut different = Vec::new();
    play(&data, |file, run, call, answer| {
        calls += 1;
        effects += call.effects.len();
        if answer.said.is_err() != call.error || !same(&answer.changes, &call.effects) {
            let place = format!("{} {} {}", file.display(), run.source, run.trial);
            different.push(format!("{place}: {call:?}\n  here {answer:?}"));
        }
    });
    println!(
        "{calls} calls, {effects} effects, {} different",
        different.len()
    );
    assert!(calls > 1_000, "only {calls} calls");
    assert!(different.is_empty(), "{}", different.join("\n"));
}
