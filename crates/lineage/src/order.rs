//! A topological order that survives new edges.
//!
//! Pearce and Kelly, "A dynamic topological sort algorithm for directed acyclic graphs", ACM JEA
//! 11, 2006. Nearly every edge of the record points backwards already and costs one comparison;
//! only an edge learnt later, against the order of arrival, moves the nodes between its two ends.

use rustc_hash::FxHashSet;

/// Ranks of the nodes `0..n`: every cause ranks below its effects.
#[derive(Debug, Default)]
pub(crate) struct Order {
    ranks: Vec<u32>,
}

impl Order {
    pub(crate) fn with_capacity(nodes: usize) -> Self {
        Self {
            ranks: Vec::with_capacity(nodes),
        }
    }

    /// Adds the next node, after all others.
    pub(crate) fn push(&mut self) {
        let rank = u32::try_from(self.ranks.len()).expect("the graph counts nodes with 32 bits");
        self.ranks.push(rank);
    }

    /// Makes room for an edge, or returns `false` where it would close a cycle; then nothing
    /// changes. The functions walk the edges that are there already.
    pub(crate) fn admit<C, D>(
        &mut self,
        cause: u32,
        effect: u32,
        causes: impl Fn(u32) -> C,
        dependants: impl Fn(u32) -> D,
    ) -> bool
    where
        C: Iterator<Item = u32>,
        D: Iterator<Item = u32>,
    {
        let low = self.ranks[effect as usize];
        let high = self.ranks[cause as usize];
        if high < low {
            return true;
        }
        // What depends on the effect and ranks no higher than the cause must move up; meeting the
        // cause among it is the cycle.
        let Some(mut up) = self.collect(effect, dependants, |rank| rank <= high, Some(cause))
        else {
            return false;
        };
        let mut down = self
            .collect(cause, causes, |rank| rank >= low, None)
            .expect("without a stop node nothing is refused");
        up.sort_unstable_by_key(|&node| self.ranks[node as usize]);
        down.sort_unstable_by_key(|&node| self.ranks[node as usize]);
        let moved: Vec<u32> = down.into_iter().chain(up).collect();
        let mut ranks: Vec<u32> = moved.iter().map(|&n| self.ranks[n as usize]).collect();
        ranks.sort_unstable();
        for (node, rank) in moved.into_iter().zip(ranks) {
            self.ranks[node as usize] = rank;
        }
        true
    }

    /// Returns all nodes by rank.
    pub(crate) fn sorted(&self) -> Vec<u32> {
        let mut nodes = vec![0; self.ranks.len()];
        for (node, &rank) in (0..).zip(&self.ranks) {
            nodes[rank as usize] = node;
        }
        nodes
    }

    fn collect<I: Iterator<Item = u32>>(
        &self,
        start: u32,
        next: impl Fn(u32) -> I,
        within: impl Fn(u32) -> bool,
        stop: Option<u32>,
    ) -> Option<Vec<u32>> {
        let mut seen = FxHashSet::default();
        let mut found = vec![start];
        seen.insert(start);
        let mut at = 0;
        while let Some(&node) = found.get(at) {
            at += 1;
            for other in next(node) {
                if Some(other) == stop {
                    return None;
                }
                if within(self.ranks[other as usize]) && seen.insert(other) {
                    found.push(other);
                }
            }
        }
        Some(found)
    }
}
