//! Loads recorded runs of several sets into one shape, and shows them to a tracer.

use std::path::{Path, PathBuf};

use lineage::{Asked, History, Seen, Tracer};
use model::{Cause, DecisionId, Kind, RunId};
use serde_json::Value;

/// One message of a recorded conversation.
pub(crate) struct Message {
    pub(crate) role: String,
    pub(crate) text: String,
    pub(crate) calls: Vec<Call>,
    /// Of a tool message: the call that it answers.
    pub(crate) answers: Option<String>,
    /// Of a tool message: the tool, where the message says it.
    pub(crate) name: Option<String>,
}

/// One call that a message asks for.
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) arguments: String,
}

/// One recorded run.
pub(crate) struct Recorded {
    pub(crate) file: PathBuf,
    pub(crate) messages: Vec<Message>,
}

pub(crate) fn root() -> PathBuf {
    match std::env::var_os("RESCIND_DATA") {
        Some(root) => root.into(),
        None => Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).into(),
    }
}

/// The halves of a set, whichever are there.
pub(crate) fn halves(root: &Path, set: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(root.join(set))
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() && path.file_name().is_some_and(|n| n != "common"))
        .collect();
    found.sort();
    found
}

/// The files of a folder with their JSON, by name.
pub(crate) fn files(folder: &Path) -> Vec<(PathBuf, Value)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            (path, json)
        })
        .collect()
}

/// Name of a set and half, with its runs.
pub(crate) fn conversations(root: &Path) -> Vec<(String, Vec<Recorded>)> {
    let sets = [
        ("tau-bench", "airline-gpt-4o-4trials", "tau airline"),
        ("tau-bench", "tau2-retail-gpt-5", "tau2 retail"),
        ("agentrx", "tau-retail-traces", "agentrx retail"),
    ];
    let mut found = Vec::new();
    for (set, folder, name) in sets {
        for half in halves(root, set) {
            let runs: Vec<Recorded> = files(&half.join(folder))
                .into_iter()
                .flat_map(|(file, json)| runs_of(&file, &json))
                .collect();
            if !runs.is_empty() {
                let half = half.file_name().unwrap().to_string_lossy().into_owned();
                found.push((format!("{name} {half}"), runs));
            }
        }
    }
    found
}

fn runs_of(file: &Path, json: &Value) -> Vec<Recorded> {
    let list = match json {
        Value::Array(runs) => runs.iter().collect(),
        one => vec![one],
    };
    list.into_iter()
        .map(|run| {
            let messages = run.get("traj").or(run.get("messages")).unwrap();
            Recorded {
                file: file.to_owned(),
                messages: messages.as_array().unwrap().iter().map(message).collect(),
            }
        })
        .collect()
}

fn message(json: &Value) -> Message {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let role = text(&json["role"]).unwrap();
    let calls = json["tool_calls"].as_array().into_iter().flatten();
    Message {
        text: text(&json["content"]).unwrap_or_default(),
        calls: calls
            .map(|call| {
                let function = call.get("function").unwrap_or(call);
                Call {
                    id: text(&call["id"]).unwrap(),
                    name: text(&function["name"]).unwrap(),
                    arguments: match &function["arguments"] {
                        Value::String(text) => text.clone(),
                        other => other.to_string(),
                    },
                }
            })
            .collect(),
        answers: text(&json["tool_call_id"])
            .or_else(|| text(&json["id"]).filter(|_| role == "tool")),
        name: text(&json["name"]),
        role,
    }
}

pub(crate) fn id(run: usize, message: usize) -> DecisionId {
    DecisionId::new((run * 100_000 + message) as u64, [0; 10])
}

/// Which message a decision made by [`id`] is.
pub(crate) fn message_of(decision: DecisionId) -> usize {
    usize::try_from(decision.millis()).unwrap() % 100_000
}

/// The call that a tool message answers: who asked, and which of its calls.
pub(crate) fn asker(messages: &[Message], tool: usize) -> Option<(usize, usize)> {
    let wanted = messages[tool].answers.as_deref()?;
    messages[..tool]
        .iter()
        .enumerate()
        .rev()
        .find_map(|(at, m)| {
            let call = m.calls.iter().position(|call| call.id == wanted)?;
            Some((at, call))
        })
}

/// What of the explicit structure a tracer may see.
#[derive(Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) ids: bool,
    pub(crate) names: bool,
    pub(crate) arguments: bool,
}

/// Shows one message of a run to a tracer; `ask` is called with what it sees, just before.
pub(crate) fn show(
    tracer: &mut Tracer,
    run: usize,
    messages: &[Message],
    at: usize,
    shown: Shown,
    ask: &mut dyn FnMut(&Tracer, &Seen<'_>),
) -> Vec<Cause> {
    let message = &messages[at];
    let asked: Vec<Asked<'_>> = message
        .calls
        .iter()
        .map(|call| Asked {
            id: Some(call.id.as_str()).filter(|_| shown.ids),
            name: &call.name,
            arguments: &call.arguments,
        })
        .collect();
    let kind = match message.role.as_str() {
        "assistant" => Kind::Inference,
        "tool" => Kind::ToolCall,
        _ => Kind::Message,
    };
    let agent = match message.role.as_str() {
        "tool" => "assistant",
        other => other,
    };
    let run_id = RunId::new(run as u64, [0; 10]);
    let mut seen = Seen::new(id(run, at), run_id, agent, kind);
    seen.history = History::Continues;
    seen.output = Some(&message.text);
    seen.asked = &asked;
    seen.standing = message.role == "system";
    if kind == Kind::ToolCall {
        let call = asker(messages, at).map(|(at, call)| &messages[at].calls[call]);
        seen.call_id = message.answers.as_deref().filter(|_| shown.ids);
        let known = call.filter(|_| shown.arguments || shown.ids);
        seen.name = message
            .name
            .as_deref()
            .or(known.map(|call| call.name.as_str()))
            .filter(|_| shown.names);
        seen.arguments = known.map(|call| call.arguments.as_str());
    }
    ask(tracer, &seen);
    tracer.observe(&seen)
}
