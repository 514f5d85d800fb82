//! (b2) For information: how near the rings come to effects in the world.
//!
//! `tau-effects` says of a write which later calls of the run give another output when it is left
//! out, the call sequence held fixed (B1). That is dependence through the database, which content
//! alone cannot show; it is judged where tools are known. Here: the calls in the certain ring of
//! the write, and in both rings, against those calls.

use std::collections::BTreeSet;
use std::path::Path;

use lineage::{Graph, Options, Touched, Tracer};

use crate::data::{Shown, asker, conversations, files, halves, id, message_of, show};
use crate::score::Tally;

pub(crate) fn report(root: &Path) {
    println!(
        "\n(b2) calls whose output a write changes, judged by re-execution (information only)"
    );
    let runs: Vec<_> = conversations(root)
        .into_iter()
        .flat_map(|(_, r)| r)
        .collect();
    for half in halves(root, "tau-effects") {
        let (mut certain, mut both) = (Vec::new(), Vec::new());
        for (path, json) in files(&half) {
            for entry in json.as_array().unwrap() {
                let source = entry["source"].as_str().unwrap();
                let trial = entry["trial"].as_u64().unwrap();
                let mut of_file = runs.iter().filter(|run| {
                    run.file.file_name() == path.file_name()
                        && run.file.components().any(|part| part.as_os_str() == source)
                });
                let nth = if source.starts_with("airline") {
                    trial
                } else {
                    0
                };
                let Some(run) = of_file.nth(usize::try_from(nth).unwrap()) else {
                    continue;
                };
                let mut tracer = Tracer::new(Options::default());
                let mut graph = Graph::new();
                let shown = Shown {
                    ids: true,
                    names: true,
                    arguments: true,
                };
                // Tool message of each (asking message, call) pair, in the order of calls.
                let mut results = Vec::new();
                for at in 0..run.messages.len() {
                    graph.insert(id(0, at)).unwrap();
                    for cause in show(&mut tracer, 0, &run.messages, at, shown, &mut |_, _| {}) {
                        graph.link(id(0, at), &cause).unwrap();
                    }
                    if let Some(pair) = asker(&run.messages, at) {
                        results.push((pair, at));
                    }
                }
                results.sort_unstable();
                let calls: Vec<usize> = results.iter().map(|(_, at)| *at).collect();
                for case in entry["B1"].as_array().into_iter().flatten() {
                    let index = |value: &serde_json::Value| {
                        calls[usize::try_from(value.as_u64().unwrap()).unwrap()]
                    };
                    let affected = case["affected"].as_array().unwrap().iter();
                    let truth: BTreeSet<usize> = affected.map(index).collect();
                    let blast = graph.blast(id(0, index(&case["write"])));
                    let touched = |ring: &[Touched]| -> BTreeSet<usize> {
                        let all = ring.iter().map(|t| message_of(t.decision));
                        all.filter(|at| calls.contains(at)).collect()
                    };
                    let sure = touched(&blast.certain);
                    let mut all = touched(&blast.possible);
                    all.extend(&sure);
                    certain.push(Tally::of(&sure, &truth));
                    both.push(Tally::of(&all, &truth));
                }
            }
        }
        if !certain.is_empty() {
            let half = half.file_name().unwrap().to_string_lossy();
            crate::print(&format!("tau-effects {half}: certain ring"), &certain);
            crate::print(&format!("tau-effects {half}: both rings"), &both);
        }
    }
}
