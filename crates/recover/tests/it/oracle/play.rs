//! Recorded runs, played on our desk with images before and after each call.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use model::EffectClass;
use recover::{Call, Catalogue, Images};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use service_desk::Desk;

use super::{id, outcome};

#[derive(Debug, Deserialize)]
pub(crate) struct Run {
    pub(crate) source: String,
    pub(crate) trial: u64,
    pub(crate) calls: Vec<Recorded>,
    #[serde(rename = "R1")]
    pub(crate) r1: Option<Rollback>,
    #[serde(rename = "R2", default)]
    pub(crate) r2: Vec<Rollback>,
    #[serde(rename = "B1", default)]
    pub(crate) b1: Vec<Radius>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Recorded {
    pub(crate) name: String,
    pub(crate) args: Map<String, Value>,
    pub(crate) inverse: Option<Answer>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) cls: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Rollback {
    pub(crate) drop: Vec<usize>,
    #[serde(default)]
    pub(crate) kept_fails: Vec<usize>,
    pub(crate) target: Vec<Target>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) table: String,
    pub(crate) key: String,
    pub(crate) value: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Radius {
    pub(crate) write: usize,
    pub(crate) affected: Vec<usize>,
}

/// A run as the record would have it.
pub(crate) struct Played {
    pub(crate) catalogue: Catalogue,
    pub(crate) calls: Vec<Call>,
    /// What the records hold at the end.
    pub(crate) current: Images,
    /// The database at the end.
    end: PathBuf,
}

/// A desk, with the tools of its operators.
pub(crate) struct Open(Desk);

/// A database of each desk, ready to be copied.
pub(crate) struct Desks {
    folder: tempfile::TempDir,
}

/// The halves of the runs, whichever are there.
pub(crate) fn halves(data: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data.join("tau-effects")).unwrap();
    let folders = entries.map(|half| half.unwrap().path());
    let mut halves: Vec<PathBuf> = folders.filter(|path| path.is_dir()).collect();
    halves.sort();
    halves
}

/// The runs of a half, by file.
pub(crate) fn files(half: &Path) -> Vec<(String, Vec<Run>)> {
    let entries = std::fs::read_dir(half).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|file| file.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let runs = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, runs)
    };
    paths.into_iter().map(read).collect()
}

impl Desks {
    pub(crate) fn filled(data: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let databases = data.join("tau-bench/common");
        let mut airline = Desk::open(&folder.path().join("airline.db")).unwrap();
        airline.load_airline(&databases.join("airline-db")).unwrap();
        let mut retail = Desk::open(&folder.path().join("retail.db")).unwrap();
        retail.load_retail(&databases.join("retail-db")).unwrap();
        Self { folder }
    }

    fn copy(&self, from: &Path, name: &str) -> PathBuf {
        let to = self.folder.path().join(name);
        std::fs::copy(from, &to).unwrap();
        to
    }

    /// Plays a run from the beginning.
    pub(crate) fn play(&self, run: &Run) -> Played {
        let (server, text) = if run.source.contains("airline") {
            ("airline", include_str!("../desk/airline.toml"))
        } else {
            ("retail", include_str!("../desk/retail.toml"))
        };
        let catalogue = Catalogue::parse(text).unwrap();
        let from = self.folder.path().join(format!("{server}.db"));
        let end = self.copy(&from, "played.db");
        let mut desk = Open(Desk::open(&end).unwrap());
        let calls = run.calls.iter().enumerate();
        let calls: Vec<Call> = calls
            .map(|(number, recorded)| desk.perform(&catalogue, server, number, recorded))
            .collect();
        let mut played = Played {
            catalogue,
            calls,
            current: Images::new(),
            end,
        };
        for call in &played.calls {
            for uri in call.before.keys().chain(call.after.keys()) {
                played.current.insert(uri.clone(), desk.image(uri));
            }
        }
        played
    }

    /// Opens a copy of the database as it was at the end of a run.
    pub(crate) fn again(&self, played: &Played, name: &str) -> Open {
        // A database of its own: what a file beside it still holds belongs to who has it open.
        Open(Desk::open(&self.copy(&played.end, &format!("{name}.db"))).unwrap())
    }
}

impl Played {
    /// Keys of the records that a call wrote.
    pub(crate) fn written(&self, number: usize) -> BTreeSet<String> {
        let call = &self.calls[number];
        let differs =
            |(uri, after): &(&String, &Option<Value>)| call.before.get(*uri) != Some(after);
        let changed = call.after.iter().filter(differs);
        changed
            .map(|(uri, _)| uri.split_once('/').unwrap().1.to_owned())
            .collect()
    }
}

impl Open {
    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> Result<String, String> {
        self.0.call(tool, arguments.as_object().unwrap(), true)
    }

    pub(crate) fn body(&mut self, table: &str, key: &str) -> Option<Value> {
        self.0.record(table, key).unwrap().body
    }

    fn image(&mut self, uri: &str) -> Option<Value> {
        let (table, key) = uri.split_once('/').unwrap();
        self.body(table, key)
    }

    /// Makes a call as the gateway would, with the images that the catalogue asks for.
    fn perform(
        &mut self,
        catalogue: &Catalogue,
        server: &str,
        number: usize,
        recorded: &Recorded,
    ) -> Call {
        let arguments = Value::from(recorded.args.clone());
        let tool = recorded.name.as_str();
        let mut reads = catalogue.images(server, tool, &arguments);
        while let Some(record) = reads.ask().cloned() {
            let answer = self.call(&record.read.tool, &record.read.arguments);
            let answer = answer.map(|text| serde_json::from_str::<Value>(&text).unwrap());
            let answer = answer.as_ref().map_err(String::as_str);
            reads.give(record.image(answer).unwrap().record);
        }
        let before = reads.finish();
        let answer = self.0.call(tool, &recorded.args, false);
        let result = answer.as_ref().ok();
        let result = result.map(|text| serde_json::from_str(text).unwrap_or_else(|_| json!(text)));
        let footprint = catalogue.footprint(server, tool, &arguments, result.as_ref(), &before);
        let written = footprint.writes();
        let mut after = Images::new();
        for resource in written.iter().filter(|_| answer.is_ok()) {
            after.insert(resource.uri.clone(), self.image(&resource.uri));
        }
        Call {
            decision: id(number),
            server: server.to_owned(),
            tool: tool.to_owned(),
            arguments,
            result,
            outcome: outcome(&answer),
            class: EffectClass::Unreviewed,
            claim: None,
            before,
            after,
            undone: false,
        }
    }
}
