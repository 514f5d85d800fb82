//! The recovery line.

use std::collections::HashSet;

use lineage::{Checkpoint, recovery_line};
use model::{CauseKind, DecisionId, Edge, Strength};
use proptest::prelude::*;

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

/// Whether `later` depends for certain on one of `rescinded`, found the slow way: back along every
/// edge.
fn remembers(later: DecisionId, edges: &[Edge], rescinded: &HashSet<DecisionId>) -> bool {
    rescinded.contains(&later)
        || edges
            .iter()
            .filter(|edge| edge.effect == later && edge.strength == Strength::Certain)
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
                saved.push(Checkpoint { decision: id(n), agent });
            }
        }
        let rescinded: HashSet<DecisionId> = bad.into_iter().map(id).collect();
        let line = recovery_line(&saved, &edges, &rescinded);
        for (agent, state) in &line {
            let own = || saved.iter().filter(|saved| saved.agent == *agent);
            let clean = |saved: &&Checkpoint| !remembers(saved.decision, &edges, &rescinded);
            // The latest that remembers nothing, so none remembers and none is passed over.
            prop_assert_eq!(*state, own().rfind(clean).map(|saved| saved.decision));
        }
        let agents: HashSet<&str> = saved.iter().map(|saved| &*saved.agent).collect();
        prop_assert_eq!(line.len(), agents.len());
    }
}
