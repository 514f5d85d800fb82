//! (a) Tool calls: all call ids are stripped, who asked for what is inferred, and the ids judge.
//!
//! Truth: every tool message answers the asked call with its id. Judged: the pair (tool message,
//! asked call), and the edge from the tool call to the inference that asked. Rows: as the wire
//! has it without ids (a name where the message has one, no arguments); without names too; with
//! name and arguments, as a tool server sees the call; and results of one turn in reverse order.

use std::collections::BTreeSet;
use std::path::Path;

use lineage::{Options, Tracer};
use model::CauseKind;

use crate::data::{Message, Recorded, Shown, asker, conversations, message_of, show};
use crate::score::Tally;

pub(crate) fn report(root: &Path) {
    println!("\n(a) tool calls without ids, judged by the ids");
    let bare = Shown {
        ids: false,
        names: true,
        arguments: false,
    };
    let unnamed = Shown {
        names: false,
        ..bare
    };
    let server = Shown {
        arguments: true,
        ..bare
    };
    for (name, mut runs) in conversations(root) {
        judge(&format!("{name}: names as they are"), &runs, bare);
        judge(&format!("{name}: no names"), &runs, unnamed);
        judge(&format!("{name}: names and arguments"), &runs, server);
        for run in &mut runs {
            reverse_results(&mut run.messages);
        }
        judge(&format!("{name}: results of a turn reversed"), &runs, bare);
    }
}

fn judge(name: &str, runs: &[Recorded], shown: Shown) {
    let mut pairs = Vec::new();
    let mut edges = Vec::new();
    for (number, run) in runs.iter().enumerate() {
        let mut tracer = Tracer::new(Options::default());
        let (mut found, mut truth) = (BTreeSet::new(), BTreeSet::new());
        let (mut found_edges, mut truth_edges) = (BTreeSet::new(), BTreeSet::new());
        for at in 0..run.messages.len() {
            let mut answer = None;
            let causes = show(
                &mut tracer,
                number,
                &run.messages,
                at,
                shown,
                &mut |tracer, seen| answer = tracer.answers(seen),
            );
            if let Some(answer) = answer {
                found.insert((at, message_of(answer.asker), answer.index));
            }
            for cause in causes {
                if cause.kind == CauseKind::Call {
                    found_edges.insert((at, message_of(cause.decision)));
                }
            }
            if run.messages[at].role == "tool"
                && let Some((asked, call)) = asker(&run.messages, at)
            {
                truth.insert((at, asked, call));
                truth_edges.insert((at, asked));
            }
        }
        pairs.push(Tally::of(&found, &truth));
        edges.push(Tally::of(&found_edges, &truth_edges));
    }
    crate::print(&format!("{name}, result-call"), &pairs);
    crate::print(&format!("{name}, call-inference"), &edges);
}

/// Turns the order of neighbouring tool messages around.
fn reverse_results(messages: &mut [Message]) {
    let mut at = 0;
    while at < messages.len() {
        let block = messages[at..]
            .iter()
            .take_while(|m| m.role == "tool")
            .count();
        messages[at..at + block].reverse();
        at += block.max(1);
    }
}
