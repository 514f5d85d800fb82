//! A small language for histories: one decision a line, in; its causes, out.
//!
//! ```text
//! name agent kind …
//! ```
//!
//! A line is `label: who verb …`. Verbs: `says TEXT` (a message), `infers TEXT [asks …]` (an
//! inference in the shared history), `asks TOOL ARGUMENTS [as ID] [; …]` (an inference that asks
//! for calls), `calls TOOL [ARGUMENTS] [as ID] -> RESULT` (a tool call), `stands TEXT` (a system
//! prompt), `tells WHOM TEXT` (an addressed message). `@run` at the start of a line picks the run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lineage::{Asked, History, Options, Seen, Tracer};
use model::{Cause, DecisionId, Evidence, Kind, RunId, Strength};

/// Plays a history and prints, for each decision, its causes.
pub(crate) fn play(script: &str) -> String {
    play_with(Options::default(), script)
}

/// Plays with options of one's own.
pub(crate) fn play_with(options: Options, script: &str) -> String {
    let mut tracer = Tracer::new(options);
    let mut labels: BTreeMap<DecisionId, String> = BTreeMap::new();
    let mut out = String::new();
    for (n, line) in script
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .enumerate()
    {
        let (run, line) = match line.strip_prefix('@') {
            Some(rest) => rest.split_once(' ').expect("a run, then a line"),
            None => ("1", line),
        };
        let run = RunId::new(run.parse().expect("runs are numbers"), [0; 10]);
        let (label, rest) = line.split_once(": ").expect("`label: who verb …`");
        let decision = DecisionId::new(n as u64 + 1, [0; 10]);
        labels.insert(decision, label.to_owned());
        let causes = observe(&mut tracer, decision, run, rest);
        writeln!(out, "{label}: {}", print(&causes, &labels)).expect("strings take all");
    }
    out
}

/// Prints causes as `label kind strength evidence`.
pub(crate) fn print(causes: &[Cause], labels: &BTreeMap<DecisionId, String>) -> String {
    let list: Vec<String> = causes
        .iter()
        .map(|cause| {
            let sure = match cause.strength {
                Strength::Certain => "!",
                Strength::Possible => "?",
            };
            let evidence = match &cause.evidence {
                Evidence::Value { at } => format!("value at `{at}`"),
                Evidence::Overlap { percent } => format!("{percent} %"),
                Evidence::Explicit { by } => format!("said by {by}"),
                other => format!("{other:?}"),
            };
            let label = labels
                .get(&cause.decision)
                .map_or("(elsewhere)", String::as_str);
            format!("{}{sure} {label} ({evidence})", cause.kind.name())
        })
        .collect();
    if list.is_empty() {
        "-".to_owned()
    } else {
        list.join(", ")
    }
}

fn observe(tracer: &mut Tracer, decision: DecisionId, run: RunId, rest: &str) -> Vec<Cause> {
    let (who, rest) = rest.split_once(' ').expect("who");
    let (verb, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let mut seen = Seen::new(decision, run, who, Kind::Message);
    seen.history = History::Continues;
    match verb {
        "says" => seen.output = Some(rest),
        "stands" => {
            seen.output = Some(rest);
            seen.standing = true;
        }
        "tells" => {
            let (whom, text) = rest.split_once(' ').expect("whom");
            seen.to = Some(whom);
            seen.output = Some(text);
        }
        "infers" => {
            seen.kind = Kind::Inference;
            seen.output = Some(rest);
        }
        "asks" => {
            seen.kind = Kind::Inference;
            let asked: Vec<Asked<'_>> = rest.split(" ; ").map(asked).collect();
            seen.asked = &asked;
            return tracer.observe(&seen);
        }
        "calls" => {
            let (call, result) = rest.split_once(" -> ").expect("a result");
            let call = asked(call);
            seen.kind = Kind::ToolCall;
            seen.name = Some(call.name).filter(|name| *name != "_");
            seen.call_id = call.id;
            seen.arguments = Some(call.arguments).filter(|text| !text.is_empty());
            seen.output = Some(result);
        }
        other => panic!("no verb `{other}`"),
    }
    tracer.observe(&seen)
}

fn asked(text: &str) -> Asked<'_> {
    let (text, id) = match text.rsplit_once(" as ") {
        Some((text, id)) => (text, Some(id)),
        None => (text, None),
    };
    let (name, arguments) = text.split_once(' ').unwrap_or((text, ""));
    Asked {
        id,
        name,
        arguments,
    }
}
