//! Saved states and the recovery line.

use std::collections::HashSet;

use context::{Saved, recovery_line, with_kept};
use model::{CauseKind, DecisionId, Edge, Strength};
use proptest::prelude::*;
use serde_json::json;

fn id(n: usize) -> DecisionId {
    DecisionId::new(n as u64, [0; 10])
}

fn edge(cause: usize, effect: usize, strength: Strength) -> Edge {
    Edge {
        cause: id(cause),
        effect: id(effect),
        kind: CauseKind::Context,
        strength,
    }
}

/// Whether `later` depends on one of `rescinded`, found the slow way: back along every edge.
fn remembers(later: DecisionId, edges: &[Edge], rescinded: &HashSet<DecisionId>) -> bool {
    rescinded.contains(&later)
        || edges
            .iter()
            .filter(|edge| edge.effect == later)
            .any(|edge| remembers(edge.cause, edges, rescinded))
}

proptest! {
    #[test]
    fn c33_nobody_goes_back_to_a_state_that_remembers_what_was_rescinded(
        agents in 1..6_usize,
        // Each decision depends on some before it, one in four saves a state.
        decisions in prop::collection::vec(
            (0..6_usize, prop::collection::vec((0..100_usize, any::<bool>()), 0..3), 0..4_u8),
            1..24,
        ),
        bad in prop::collection::vec(0..24_usize, 0..3),
    ) {
        let mut edges = Vec::new();
        let mut saved = Vec::new();
        for (n, (agent, causes, saves)) in decisions.iter().enumerate() {
            for (cause, certain) in causes.iter().filter(|_| n > 0) {
                let strength = if *certain { Strength::Certain } else { Strength::Possible };
                edges.push(edge(cause % n, n, strength));
            }
            if *saves == 0 {
                let agent = format!("agent-{}", agent % agents);
                saved.push(Saved { decision: id(n), agent });
            }
        }
        let rescinded: HashSet<DecisionId> = bad.into_iter().map(id).collect();
        let line = recovery_line(&saved, &edges, &rescinded);
        for (agent, state) in &line {
            let own = || saved.iter().filter(|saved| saved.agent == *agent);
            let clean = |saved: &&Saved| !remembers(saved.decision, &edges, &rescinded);
            // The latest that remembers nothing, so none remembers and none is passed over.
            prop_assert_eq!(*state, own().rfind(clean).map(|saved| saved.decision));
        }
        let agents: HashSet<&str> = saved.iter().map(|saved| &*saved.agent).collect();
        prop_assert_eq!(line.len(), agents.len());
    }
}

#[test]
fn c35_what_is_to_be_kept_is_taken_from_the_newest_state() {
    let line = json!({ "orders": ["W1"], "learnt": { "tone": "short" }, "a/b": 1, "list": [1, 2] });
    let newest = json!({
        "orders": ["W1", "W7"], "learnt": { "tone": "warm", "names": ["Ada"] }, "a/b": 2,
        "likes": { "tea": true }, "list": [1, 3, 5],
    });
    let keep = [
        "/learnt/names",
        "/likes/tea",
        "/a~1b",
        "/list/1",
        "/list/2",
        "/absent",
        "/orders/x",
    ];
    let keep: Vec<String> = keep.iter().map(|pointer| (*pointer).to_owned()).collect();
    let (state, kept) = with_kept(line, &newest, &keep);
    let expected = json!({
        "orders": ["W1"], "learnt": { "tone": "short", "names": ["Ada"] }, "a/b": 2,
        "likes": { "tea": true }, "list": [1, 3],
    });
    assert_eq!(state, expected);
    assert_eq!(kept, ["/learnt/names", "/likes/tea", "/a~1b", "/list/1"]);
    // The whole, and onto nothing.
    let whole = vec![String::new()];
    assert_eq!(with_kept(json!({}), &newest, &whole).0, newest);
}
