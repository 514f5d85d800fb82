//! (c) Speakers: who answers whom in Who&When, inferred from text and turns.
//!
//! *Addressing* (hand-crafted runs). An entry of an agent other than the orchestrator answers the
//! latest `Orchestrator (-> that agent)` since its own previous entry; the orchestrator's first
//! entry after such an agent's, or after the person's, answers that. Shown are the texts and
//! opaque speakers; the addressing is stripped. Found: message edges between speakers.
//!
//! *Turn order* (algorithm-generated runs, a group chat). An entry answers the one right before
//! it where the speaker changes. Shown and found are the same.
//!
//! *No common history* (hand-crafted runs). Every agent is a run of its own, as behind two
//! gateways that share no header: its request holds its own history and, as a user message, the
//! entry that it answers, wrapped into a sentence of its framework. Found: edges to other runs,
//! once as the exact entry and once as the other agent. Answers to the person are left out: what
//! people say links no runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lineage::{History, Item, Options, Role, Seen, Tracer};
use model::{CauseKind, DecisionId, Kind, RunId};
use serde_json::Value;

use crate::data::{files, halves, id, message_of};
use crate::score::Tally;

struct Entry {
    speaker: String,
    to: Option<String>,
    text: String,
}

pub(crate) fn report(root: &Path) {
    println!("\n(c) who answers whom, judged by addressing and by turn order");
    for half in halves(root, "who-and-when") {
        let name = half.file_name().unwrap().to_string_lossy().into_owned();
        let load = |folder: &str| -> Vec<Vec<Entry>> {
            let files = files(&half.join(folder));
            files.iter().map(|(_, json)| entries(json)).collect()
        };
        let crafted = load("hand-crafted");
        let generated = load("algorithm-generated");
        let within: Vec<_> = crafted
            .iter()
            .map(|run| one_history(run, &addressing(run)))
            .collect();
        crate::print(&format!("Who&When {name}: addressing"), &within);
        let within: Vec<_> = generated
            .iter()
            .map(|run| one_history(run, &turn_order(run)))
            .collect();
        crate::print(&format!("Who&When {name}: turn order"), &within);
        let apart: Vec<_> = crafted
            .iter()
            .map(|run| {
                let mut truth = addressing(run);
                truth.retain(|&(_, from)| run[from].speaker != "human");
                apart(run, &truth)
            })
            .collect();
        let (entry, agent): (Vec<_>, Vec<_>) = apart.into_iter().unzip();
        crate::print(&format!("Who&When {name}: apart, exact entry"), &entry);
        crate::print(&format!("Who&When {name}: apart, other agent"), &agent);
    }
}

fn entries(json: &Value) -> Vec<Entry> {
    let history = json["history"].as_array().unwrap().iter();
    history
        .map(|entry| {
            let role = entry["role"].as_str().unwrap();
            let named = entry["name"].as_str().unwrap_or(role);
            let (speaker, note) = named.split_once(" (").unwrap_or((named, ""));
            Entry {
                speaker: speaker.to_owned(),
                to: note
                    .strip_prefix("-> ")
                    .map(|to| to.trim_end_matches(')').to_owned()),
                text: entry["content"].as_str().unwrap_or_default().to_owned(),
            }
        })
        .collect()
}

/// Pairs (entry, entry that it answers) by the explicit addressing.
fn addressing(run: &[Entry]) -> BTreeSet<(usize, usize)> {
    let mut truth = BTreeSet::new();
    let mut addressed: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, entry) in run.iter().enumerate() {
        if let Some(to) = &entry.to {
            addressed.insert(to, at);
        }
        if entry.speaker == "Orchestrator" {
            if at > 0 && run[at - 1].speaker != "Orchestrator" {
                truth.insert((at, at - 1));
            }
        } else if let Some(from) = addressed.remove(entry.speaker.as_str()) {
            truth.insert((at, from));
        }
    }
    truth
}

fn turn_order(run: &[Entry]) -> BTreeSet<(usize, usize)> {
    (1..run.len())
        .filter(|&at| run[at].speaker != run[at - 1].speaker)
        .map(|at| (at, at - 1))
        .collect()
}

fn kind_of(entry: &Entry) -> Kind {
    match entry.speaker.as_str() {
        "human" => Kind::Message,
        _ => Kind::Inference,
    }
}

fn one_history(run: &[Entry], truth: &BTreeSet<(usize, usize)>) -> Tally {
    let mut tracer = Tracer::new(Options::default());
    let mut found = BTreeSet::new();
    for (at, entry) in run.iter().enumerate() {
        let run_id = RunId::new(1, [0; 10]);
        let mut seen = Seen::new(id(0, at), run_id, &entry.speaker, kind_of(entry));
        seen.history = History::Continues;
        seen.output = Some(&entry.text);
        for cause in tracer.observe(&seen) {
            let from = message_of(cause.decision);
            if cause.kind == CauseKind::Message && run[from].speaker != entry.speaker {
                found.insert((at, from));
            }
        }
    }
    Tally::of(&found, truth)
}

fn apart(run: &[Entry], truth: &BTreeSet<(usize, usize)>) -> (Tally, Tally) {
    let speakers: BTreeSet<&str> = run.iter().map(|e| e.speaker.as_str()).collect();
    let number = |speaker: &str| speakers.iter().position(|s| *s == speaker).unwrap();
    let mut tracer = Tracer::new(Options {
        across_runs: true,
        ..Options::default()
    });
    let mut histories: Vec<Vec<(Role, String)>> = speakers.iter().map(|_| Vec::new()).collect();
    let (mut found, mut agents) = (BTreeSet::new(), BTreeSet::new());
    for (at, entry) in run.iter().enumerate() {
        let me = number(&entry.speaker);
        let cause = truth.range((at, 0)..(at + 1, 0)).next().map(|pair| pair.1);
        if let Some(from) = cause {
            let wrapped = format!("You have a new message:\n{}\nGo on.", run[from].text);
            histories[me].push((Role::User, wrapped));
        }
        let items: Vec<Item<'_>> = histories[me]
            .iter()
            .map(|(role, text)| Item {
                role: *role,
                text,
                asked: &[],
                call_id: None,
            })
            .collect();
        let run_id = RunId::new(me as u64, [0; 10]);
        let mut seen = Seen::new(id(0, at), run_id, "agent", kind_of(entry));
        seen.history = History::Sent(&items);
        seen.output = Some(&entry.text);
        let causes: Vec<DecisionId> = tracer.observe(&seen).iter().map(|c| c.decision).collect();
        for from in causes.into_iter().map(message_of) {
            let other = number(&run[from].speaker);
            if other != me {
                found.insert((at, from));
                agents.insert((at, other));
            }
        }
        histories[me].push((Role::Assistant, entry.text.clone()));
    }
    let truth_agents = truth
        .iter()
        .map(|&(at, from)| (at, number(&run[from].speaker)));
    (
        Tally::of(&found, truth),
        Tally::of(&agents, &truth_agents.collect()),
    )
}
