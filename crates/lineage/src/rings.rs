//! Blast radius: what followed from a decision, in two rings.
//!
//! The *certain* ring is the closure over certain edges alone: it demonstrably used the decision,
//! or something that did. The *possible* ring is the rest of the closure over all edges. The
//! computation asks for edges level by level and never touches a store itself, so the same code
//! serves a graph in memory and an asynchronous query.

use model::{DecisionId, Edge, Strength};
use rustc_hash::{FxHashMap, FxHashSet};

/// What followed from a decision. The decision itself is in neither ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blast {
    /// The decision that it is about.
    pub origin: DecisionId,
    /// Reached over certain edges alone, nearest first.
    pub certain: Vec<Touched>,
    /// Reached only with the help of a possible edge, nearest first.
    pub possible: Vec<Touched>,
}

/// A decision inside a blast radius.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The decision.
    pub decision: DecisionId,
    /// Edges on the shortest way from the origin that its ring allows.
    pub depth: u32,
    /// The last edge of that way.
    pub via: Edge,
}

impl Blast {
    /// Returns how many decisions both rings hold.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.certain.len() + self.possible.len()
    }

    /// Tells whether nothing followed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.certain.is_empty() && self.possible.is_empty()
    }
}

/// Computes a [`Blast`] from edges that the caller fetches.
///
/// While [`frontier`](Self::frontier) is not empty, fetch every edge whose cause is in it and hand
/// them to [`feed`](Self::feed); then [`finish`](Self::finish). Each decision is asked for once.
#[derive(Debug)]
pub struct Rings {
    origin: DecisionId,
    edges: Vec<Edge>,
    /// The origin and whatever was reached over any edge.
    reached: FxHashSet<DecisionId>,
    order: Vec<Touched>,
    frontier: Vec<DecisionId>,
    depth: u32,
}

impl Rings {
    /// Begins at a decision.
    #[must_use]
    pub fn new(origin: DecisionId) -> Self {
        let mut reached = FxHashSet::default();
        reached.insert(origin);
        Self {
            origin,
            edges: Vec::new(),
            reached,
            order: Vec::new(),
            frontier: vec![origin],
            depth: 0,
        }
    }

    /// Returns the causes whose dependants are wanted next; empty when all is known.
    #[must_use]
    pub fn frontier(&self) -> &[DecisionId] {
        &self.frontier
    }

    /// Takes the edges that lead out of the frontier. Edges of other causes are ignored.
    pub fn feed(&mut self, edges: impl IntoIterator<Item = Edge>) {
        self.depth += 1;
        let mut next = Vec::new();
        for edge in edges {
            if edge.effect == edge.cause || self.frontier.binary_search(&edge.cause).is_err() {
                continue;
            }
            self.edges.push(edge);
            if !self.reached.insert(edge.effect) {
                continue;
            }
            let touched = Touched {
                decision: edge.effect,
                depth: self.depth,
                via: edge,
            };
            self.order.push(touched);
            next.push(edge.effect);
        }
        next.sort_unstable();
        self.frontier = next;
    }

    /// Returns the rings of what was fed.
    #[must_use]
    pub fn finish(self) -> Blast {
        let mut out: FxHashMap<DecisionId, Vec<Edge>> = FxHashMap::default();
        for edge in &self.edges {
            if edge.strength == Strength::Certain {
                out.entry(edge.cause).or_default().push(*edge);
            }
        }
        let mut inside = FxHashSet::default();
        inside.insert(self.origin);
        let mut certain: Vec<Touched> = Vec::new();
        let mut at = 0;
        let mut node = Some((self.origin, 0));
        while let Some((cause, depth)) = node {
            for edge in out.get(&cause).into_iter().flatten() {
                if inside.insert(edge.effect) {
                    certain.push(Touched {
                        decision: edge.effect,
                        depth: depth + 1,
                        via: *edge,
                    });
                }
            }
            node = certain.get(at).map(|next| (next.decision, next.depth));
            at += 1;
        }
        let possible = self
            .order
            .into_iter()
            .filter(|touched| !inside.contains(&touched.decision))
            .collect();
        Blast {
            origin: self.origin,
            certain,
            possible,
        }
    }
}

/// Computes the rings over a function that returns all edges leading out of a set of causes, such
/// as one SQL query per level.
///
/// # Errors
/// What the function returns.
pub fn rings_over<E, I: IntoIterator<Item = Edge>>(
    origin: DecisionId,
    mut dependants: impl FnMut(&[DecisionId]) -> Result<I, E>,
) -> Result<Blast, E> {
    let mut rings = Rings::new(origin);
    while !rings.frontier().is_empty() {
        let edges = dependants(rings.frontier())?;
        rings.feed(edges);
    }
    Ok(rings.finish())
}
