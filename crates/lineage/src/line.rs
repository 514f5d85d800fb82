//! The recovery line: which saved states remember nothing that was rescinded.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasher;

use model::{DecisionId, Edge, Strength};

/// A saved state of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The decision that saved it.
    pub decision: DecisionId,
    /// Whose state it is.
    pub agent: String,
}

/// Returns the recovery line: of each agent the latest saved state that depends for certain on
/// nothing rescinded, however many decisions lie between; none where it has no such state. `saved`
/// is in the order of the record, `edges` are those behind it.
///
/// It is a consistent cut: whoever goes back to it remembers no rescinded decision, neither its
/// own nor another agent's. What may depend on one and was not rescinded with it counts as healthy,
/// here as in a plan: a person saw it and left it.
#[must_use]
pub fn recovery_line<S: BuildHasher>(
    saved: &[Checkpoint],
    edges: &[Edge],
    rescinded: &HashSet<DecisionId, S>,
) -> BTreeMap<String, Option<DecisionId>> {
    let tainted = followers(edges, rescinded.iter().copied().collect());
    let mut line: BTreeMap<String, Option<DecisionId>> = BTreeMap::new();
    for state in saved {
        let latest = line.entry(state.agent.clone()).or_default();
        if !tainted.contains(&state.decision) {
            *latest = Some(state.decision);
        }
    }
    line
}

/// The rescinded decisions, and all that depends for certain on one of them.
fn followers(edges: &[Edge], mut reached: HashSet<DecisionId>) -> HashSet<DecisionId> {
    let mut effects: HashMap<DecisionId, Vec<DecisionId>> = HashMap::new();
    for edge in edges.iter().filter(|e| e.strength == Strength::Certain) {
        effects.entry(edge.cause).or_default().push(edge.effect);
    }
    let mut next: Vec<DecisionId> = reached.iter().copied().collect();
    while let Some(cause) = next.pop() {
        for effect in effects.get(&cause).into_iter().flatten() {
            if reached.insert(*effect) {
                next.push(*effect);
            }
        }
    }
    reached
}
