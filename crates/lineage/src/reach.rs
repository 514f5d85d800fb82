//! Questions to the graph in memory: ancestors, descendants, path, blast radius.
//!
//! Every answer costs in proportion to what it touches, plus one bit per decision of the graph to
//! remember where it has been.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use model::{DecisionId, Edge};
use rustc_hash::FxHashMap;

use crate::graph::{Graph, Link, Slot};
use crate::rings::{Blast, Touched};

/// A decision that a walk over the graph met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The decision.
    pub decision: DecisionId,
    /// Edges on the shortest way there.
    pub depth: u32,
    /// The last edge of that way.
    pub via: Edge,
}

impl Graph {
    /// Returns everything that the decision depends on, nearest first, without itself.
    #[must_use]
    pub fn ancestors(&self, decision: DecisionId) -> Vec<Reached> {
        self.walk(
            decision,
            |node| self.cause_slots(node),
            |slot| slot.cause,
            |_| true,
        )
    }

    /// Returns everything that depends on the decision, nearest first, without itself.
    #[must_use]
    pub fn descendants(&self, decision: DecisionId) -> Vec<Reached> {
        self.walk(
            decision,
            |node| self.dependant_slots(node),
            |slot| slot.effect,
            |_| true,
        )
    }

    /// Returns what followed from the decision, in two rings.
    #[must_use]
    pub fn blast(&self, decision: DecisionId) -> Blast {
        let ring = |keep: fn(Slot) -> bool| {
            self.walk(
                decision,
                |node| self.dependant_slots(node),
                |slot| slot.effect,
                keep,
            )
        };
        let certain = ring(Slot::certain);
        let mut inside = Marks::new(self.len());
        for reached in &certain {
            inside.set(self.node(reached.decision).expect("the walk met it"));
        }
        let possible = ring(|_| true)
            .into_iter()
            .filter(|reached| !inside.has(self.node(reached.decision).expect("the walk met it")))
            .map(Touched::from)
            .collect();
        Blast {
            origin: decision,
            certain: certain.into_iter().map(Touched::from).collect(),
            possible,
        }
    }

    /// Says why `effect` depends on `cause`: the chain of edges from the cause to the effect with
    /// the fewest possible ones, and among those the shortest. Nothing where it does not depend.
    #[must_use]
    pub fn path(&self, cause: DecisionId, effect: DecisionId) -> Option<Vec<Link>> {
        let (start, end) = (self.node(effect)?, self.node(cause)?);
        if start == end {
            return Some(Vec::new());
        }
        // Backwards from the effect: a decision has few causes, and may have many dependants. A
        // cost is (possible edges, edges) in one number.
        const POSSIBLE: u64 = 1 << 32;
        let mut best: FxHashMap<u32, (u64, Option<Slot>)> = FxHashMap::default();
        let mut queue = BinaryHeap::new();
        best.insert(start, (0, None));
        queue.push(Reverse((0, start)));
        while let Some(Reverse((cost, node))) = queue.pop() {
            if node == end {
                break;
            }
            if best[&node].0 < cost {
                continue;
            }
            for slot in self.cause_slots(node) {
                let further = cost + 1 + if slot.certain() { 0 } else { POSSIBLE };
                let known = best.get(&slot.cause).map_or(u64::MAX, |(cost, _)| *cost);
                if further < known {
                    best.insert(slot.cause, (further, Some(slot)));
                    queue.push(Reverse((further, slot.cause)));
                }
            }
        }
        let mut chain = Vec::new();
        let mut node = end;
        while node != start {
            let slot = best.get(&node)?.1?;
            chain.push(self.link_of(slot));
            node = slot.effect;
        }
        Some(chain)
    }

    fn walk<I: Iterator<Item = Slot>>(
        &self,
        start: DecisionId,
        edges: impl Fn(u32) -> I,
        other: impl Fn(Slot) -> u32,
        keep: impl Fn(Slot) -> bool,
    ) -> Vec<Reached> {
        let Some(start) = self.node(start) else {
            return Vec::new();
        };
        let mut marks = Marks::new(self.len());
        marks.set(start);
        let mut nodes = vec![start];
        let mut found: Vec<Reached> = Vec::new();
        let mut at = 0;
        while let Some(&node) = nodes.get(at) {
            let depth = at.checked_sub(1).map_or(0, |i| found[i].depth);
            at += 1;
            for slot in edges(node).filter(|slot| keep(*slot)) {
                let next = other(slot);
                if marks.set(next) {
                    nodes.push(next);
                    found.push(Reached {
                        decision: self.name(next),
                        depth: depth + 1,
                        via: self.edge_of(slot),
                    });
                }
            }
        }
        found
    }
}

impl From<Reached> for Touched {
    fn from(reached: Reached) -> Self {
        Self {
            decision: reached.decision,
            depth: reached.depth,
            via: reached.via,
        }
    }
}

/// One bit per node.
struct Marks(Vec<u64>);

impl Marks {
    fn new(nodes: usize) -> Self {
        Self(vec![0; nodes.div_ceil(64)])
    }

    /// Sets a bit, and tells whether it was clear.
    fn set(&mut self, node: u32) -> bool {
        let (word, bit) = (node as usize / 64, 1 << (node % 64));
        let clear = self.0[word] & bit == 0;
        self.0[word] |= bit;
        clear
    }

    fn has(&self, node: u32) -> bool {
        self.0[node as usize / 64] & 1 << (node % 64) != 0
    }
}
