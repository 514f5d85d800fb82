//! Cycles in causes that a source claims, found before anything is recorded.

use model::DecisionId;
use rustc_hash::FxHashMap;

/// Returns the decisions of one cycle among `(effect, cause)` pairs, each followed by one of its
/// causes, the last one's cause being the first; nothing where there is none.
///
/// Takes time and memory in proportion to the pairs, however deep they chain.
#[must_use]
pub fn find_cycle(pairs: &[(DecisionId, DecisionId)]) -> Option<Vec<DecisionId>> {
    let mut causes: FxHashMap<DecisionId, Vec<DecisionId>> = FxHashMap::default();
    for &(effect, cause) in pairs {
        causes.entry(effect).or_default().push(cause);
    }
    // Absent: not met yet. `true`: on the way that is being followed. `false`: leads to no cycle.
    let mut open: FxHashMap<DecisionId, bool> = FxHashMap::default();
    for &(start, _) in pairs {
        if open.contains_key(&start) {
            continue;
        }
        open.insert(start, true);
        let mut way = vec![(start, 0)];
        while let Some((node, next)) = way.last_mut() {
            let Some(&cause) = causes.get(node).and_then(|list| list.get(*next)) else {
                open.insert(*node, false);
                way.pop();
                continue;
            };
            *next += 1;
            match open.get(&cause) {
                Some(true) => {
                    let from = way
                        .iter()
                        .position(|(node, _)| *node == cause)
                        .expect("an open decision is on the way");
                    return Some(way[from..].iter().map(|(node, _)| *node).collect());
                }
                Some(false) => {}
                None => {
                    open.insert(cause, true);
                    way.push((cause, 0));
                }
            }
        }
    }
    None
}
