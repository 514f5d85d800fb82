//! Saved states: which of them remember nothing that was rescinded, and what of the newest is kept
//! all the same.

use std::collections::{BTreeMap, HashMap, HashSet};

use model::{DecisionId, Edge};
use serde_json::{Map, Value};

/// A saved state of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The decision that saved it.
    pub decision: DecisionId,
    /// Whose state it is.
    pub agent: String,
}

/// Returns the recovery line: of each agent the latest saved state that depends on nothing
/// rescinded, however many decisions lie between and however weak the evidence; none where it has
/// no such state. `saved` is in the order of the record.
///
/// It is a consistent cut: whoever goes back to it remembers no rescinded decision, neither its
/// own nor another agent's.
#[must_use]
pub fn recovery_line(
    saved: &[Saved],
    edges: &[Edge],
    rescinded: &HashSet<DecisionId>,
) -> BTreeMap<String, Option<DecisionId>> {
    let tainted = followers(edges, rescinded);
    let mut line: BTreeMap<String, Option<DecisionId>> = BTreeMap::new();
    for state in saved {
        let latest = line.entry(state.agent.clone()).or_default();
        if !tainted.contains(&state.decision) {
            *latest = Some(state.decision);
        }
    }
    line
}

/// The rescinded decisions, and all that depends on one of them.
fn followers(edges: &[Edge], rescinded: &HashSet<DecisionId>) -> HashSet<DecisionId> {
    let mut effects: HashMap<DecisionId, Vec<DecisionId>> = HashMap::new();
    for edge in edges {
        effects.entry(edge.cause).or_default().push(edge.effect);
    }
    let mut reached = rescinded.clone();
    let mut next: Vec<DecisionId> = rescinded.iter().copied().collect();
    while let Some(cause) = next.pop() {
        for effect in effects.get(&cause).into_iter().flatten() {
            if reached.insert(*effect) {
                next.push(*effect);
            }
        }
    }
    reached
}

/// Returns a state with the values of `newest` that are to be kept, each at a JSON Pointer
/// (RFC 6901), and which of them there were. Objects on the way to one are made where they are
/// missing; into a list a value goes only where the list has its place.
#[must_use]
pub fn with_kept(mut state: Value, newest: &Value, keep: &[String]) -> (Value, Vec<String>) {
    let mut kept = Vec::new();
    for pointer in keep {
        let Some(value) = newest.pointer(pointer) else {
            continue;
        };
        if put(&mut state, pointer, value.clone()) {
            kept.push(pointer.clone());
        }
    }
    (state, kept)
}

fn put(state: &mut Value, pointer: &str, value: Value) -> bool {
    let mut place = state;
    for key in pointer.split('/').skip(1) {
        let key = key.replace("~1", "/").replace("~0", "~");
        if place.is_null() {
            *place = Value::Object(Map::new());
        }
        place = match place {
            Value::Object(map) => map.entry(key).or_insert(Value::Null),
            Value::Array(list) => {
                let number = key.parse::<usize>().ok();
                match number.and_then(|number| list.get_mut(number)) {
                    Some(place) => place,
                    None => return false,
                }
            }
            _ => return false,
        };
    }
    *place = value;
    true
}
