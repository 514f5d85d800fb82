//! The decision graph of live runs, in memory.
//!
//! Decisions become numbers, edges 20 bytes each that hang in two linked lists: by effect (what
//! does it depend on) and by cause (what depends on it). Every edge points from an effect to an
//! earlier cause; an edge that would close a cycle is refused, by the order in [`order`]. Queries
//! are in [`reach`](crate::reach). Not a store: what does not fit in memory is asked level by
//! level with [`Rings`](crate::Rings).

use std::collections::HashMap;

use model::{Cause, CauseKind, DecisionId, Edge, Evidence, Strength};
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::order::Order;

/// An edge that the graph refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// A decision is claimed to depend on itself.
    #[error("decision `{decision}` is claimed to be its own cause")]
    OwnCause {
        /// The decision.
        decision: DecisionId,
    },
    /// The cause already depends on the effect.
    #[error("`{cause}` is claimed as a cause of `{effect}`, on which it depends itself")]
    Cycle {
        /// The claimed cause.
        cause: DecisionId,
        /// The claimed effect.
        effect: DecisionId,
    },
    /// The graph counts with 32 bits.
    #[error("the graph in memory holds {count} {what} and can take no more")]
    Full {
        /// How many there are.
        count: usize,
        /// Of what.
        what: &'static str,
    },
}

impl GraphError {
    /// Returns what a person can do about it, where there is something.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::OwnCause { .. } | Self::Cycle { .. } => {
                "causes lie before their effects: correct the source that claims this edge"
            }
            Self::Full { .. } => "ask the store level by level instead of loading the whole graph",
        }
    }
}

/// One edge with how it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The edge.
    pub edge: Edge,
    /// How it is known.
    pub evidence: Evidence,
}

/// End of a list of edges.
const NONE: u32 = u32::MAX;

/// An edge as it lies in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) cause: u32,
    pub(crate) effect: u32,
    next_of_cause: u32,
    next_of_effect: u32,
    /// Evidence number, then four bits of kind, then one bit of strength.
    meta: u32,
}

impl Slot {
    pub(crate) const fn certain(self) -> bool {
        self.meta & 1 == 1
    }

    const fn kind(self) -> CauseKind {
        CauseKind::ALL[(self.meta >> 1 & 15) as usize]
    }

    const fn evidence(self) -> usize {
        (self.meta >> 5) as usize
    }
}

/// First edges of a node in its two lists.
#[derive(Clone, Copy, Debug)]
struct Heads {
    causes: u32,
    dependants: u32,
}

/// Decisions and their causes, in memory.
#[derive(Debug, Default)]
pub struct Graph {
    numbers: FxHashMap<DecisionId, u32>,
    names: Vec<DecisionId>,
    heads: Vec<Heads>,
    slots: Vec<Slot>,
    evidence: Vec<Evidence>,
    evidence_numbers: FxHashMap<String, u32>,
    order: Order,
}

impl Graph {
    /// Makes an empty graph.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an empty graph with room for so many decisions and edges.
    #[must_use]
    pub fn with_capacity(decisions: usize, edges: usize) -> Self {
        Self {
            numbers: HashMap::with_capacity_and_hasher(decisions, FxBuildHasher),
            names: Vec::with_capacity(decisions),
            heads: Vec::with_capacity(decisions),
            slots: Vec::with_capacity(edges),
            order: Order::with_capacity(decisions),
            ..Self::default()
        }
    }

    /// Returns how many decisions there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.names.len()
    }

    /// Tells whether there is no decision.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Returns how many edges there are.
    #[must_use]
    pub const fn edges(&self) -> usize {
        self.slots.len()
    }

    /// Tells whether the decision is in the graph.
    #[must_use]
    pub fn contains(&self, decision: DecisionId) -> bool {
        self.numbers.contains_key(&decision)
    }

    /// Returns the decisions in the order in which they were first named.
    #[must_use]
    pub fn decisions(&self) -> &[DecisionId] {
        &self.names
    }

    /// Adds a decision, and tells whether it was new.
    ///
    /// # Errors
    /// [`GraphError::Full`] at 2³² − 1 decisions.
    pub fn insert(&mut self, decision: DecisionId) -> Result<bool, GraphError> {
        let before = self.names.len();
        self.number(decision)?;
        Ok(self.names.len() > before)
    }

    /// Adds the edge "`effect` depends on `cause`", with the decisions that it names, and tells
    /// whether it was new. An edge of the same kind between the same decisions is kept once, with
    /// the stronger evidence.
    ///
    /// # Errors
    /// [`GraphError::OwnCause`] and [`GraphError::Cycle`] leave the edges unchanged.
    pub fn link(&mut self, effect: DecisionId, cause: &Cause) -> Result<bool, GraphError> {
        if effect == cause.decision {
            return Err(GraphError::OwnCause { decision: effect });
        }
        let from = self.number(cause.decision)?;
        let to = self.number(effect)?;
        let evidence = self.evidence_number(&cause.evidence)?;
        let kind = CauseKind::ALL
            .iter()
            .position(|kind| *kind == cause.kind)
            .expect("`ALL` has every kind") as u32;
        let meta = evidence << 5 | kind << 1 | u32::from(cause.strength == Strength::Certain);

        let mut at = self.heads[to as usize].causes;
        while at != NONE {
            let slot = &mut self.slots[at as usize];
            if slot.cause == from && slot.kind() == cause.kind {
                if meta & 1 > slot.meta & 1 {
                    slot.meta = meta;
                }
                return Ok(false);
            }
            at = slot.next_of_effect;
        }
        self.admit(from, to)?;
        let number = self.room(self.slots.len(), "edges")?;
        let (heads_from, heads_to) = (self.heads[from as usize], self.heads[to as usize]);
        self.slots.push(Slot {
            cause: from,
            effect: to,
            next_of_cause: heads_from.dependants,
            next_of_effect: heads_to.causes,
            meta,
        });
        self.heads[from as usize].dependants = number;
        self.heads[to as usize].causes = number;
        Ok(true)
    }

    /// Returns what the decision depends on directly, latest edge first.
    pub fn causes(&self, decision: DecisionId) -> impl Iterator<Item = Link> + '_ {
        self.numbers
            .get(&decision)
            .into_iter()
            .flat_map(|&node| self.cause_slots(node))
            .map(|slot| self.link_of(slot))
    }

    /// Returns what depends on the decision directly, latest edge first.
    pub fn dependants(&self, decision: DecisionId) -> impl Iterator<Item = Link> + '_ {
        self.numbers
            .get(&decision)
            .into_iter()
            .flat_map(|&node| self.dependant_slots(node))
            .map(|slot| self.link_of(slot))
    }

    /// Returns all decisions so that every cause comes before its effects. Where edges leave it
    /// open, that is the order in which they were first named.
    #[must_use]
    pub fn causal_order(&self) -> Vec<DecisionId> {
        self.order
            .sorted()
            .into_iter()
            .map(|node| self.names[node as usize])
            .collect()
    }

    pub(crate) fn node(&self, decision: DecisionId) -> Option<u32> {
        self.numbers.get(&decision).copied()
    }

    pub(crate) fn name(&self, node: u32) -> DecisionId {
        self.names[node as usize]
    }

    pub(crate) fn cause_slots(&self, node: u32) -> Slots<'_> {
        Slots {
            graph: self,
            at: self.heads[node as usize].causes,
            of_cause: false,
        }
    }

    pub(crate) fn dependant_slots(&self, node: u32) -> Slots<'_> {
        Slots {
            graph: self,
            at: self.heads[node as usize].dependants,
            of_cause: true,
        }
    }

    pub(crate) fn edge_of(&self, slot: Slot) -> Edge {
        Edge {
            cause: self.name(slot.cause),
            effect: self.name(slot.effect),
            kind: slot.kind(),
            strength: if slot.certain() {
                Strength::Certain
            } else {
                Strength::Possible
            },
        }
    }

    pub(crate) fn link_of(&self, slot: Slot) -> Link {
        Link {
            edge: self.edge_of(slot),
            evidence: self.evidence[slot.evidence()].clone(),
        }
    }

    fn number(&mut self, decision: DecisionId) -> Result<u32, GraphError> {
        if let Some(&number) = self.numbers.get(&decision) {
            return Ok(number);
        }
        let number = self.room(self.names.len(), "decisions")?;
        self.numbers.insert(decision, number);
        self.names.push(decision);
        self.heads.push(Heads {
            causes: NONE,
            dependants: NONE,
        });
        self.order.push();
        Ok(number)
    }

    fn room(&self, count: usize, what: &'static str) -> Result<u32, GraphError> {
        match u32::try_from(count) {
            Ok(number) if number != NONE => Ok(number),
            _ => Err(GraphError::Full { count, what }),
        }
    }

    /// Keeps one copy of equal evidence: most edges share a few.
    fn evidence_number(&mut self, evidence: &Evidence) -> Result<u32, GraphError> {
        let key = match evidence {
            Evidence::CallId => "c".to_owned(),
            Evidence::EqualText => "e".to_owned(),
            Evidence::NameAndArguments => "n".to_owned(),
            Evidence::HistoryPrefix => "h".to_owned(),
            Evidence::Adjacent => "a".to_owned(),
            Evidence::Addressed => "d".to_owned(),
            Evidence::Explicit { by } => format!("x{by}"),
            Evidence::Overlap { percent } => format!("o{percent}"),
            Evidence::Value { at } => format!("v{at}"),
            Evidence::Record { at, uri } => format!("r{uri} {at}"),
        };
        if let Some(&number) = self.evidence_numbers.get(&key) {
            return Ok(number);
        }
        let count = self.evidence.len();
        if count >= 1 << 27 {
            return Err(GraphError::Full {
                count,
                what: "kinds of evidence",
            });
        }
        let number = u32::try_from(count).expect("checked against 2²⁷ above");
        self.evidence.push(evidence.clone());
        self.evidence_numbers.insert(key, number);
        Ok(number)
    }

    /// Keeps the order valid with the new edge, or refuses the edge.
    fn admit(&mut self, cause: u32, effect: u32) -> Result<(), GraphError> {
        let mut order = std::mem::take(&mut self.order);
        let admitted = order.admit(
            cause,
            effect,
            |node| self.cause_slots(node).map(|slot| slot.cause),
            |node| self.dependant_slots(node).map(|slot| slot.effect),
        );
        self.order = order;
        if admitted {
            Ok(())
        } else {
            Err(GraphError::Cycle {
                cause: self.name(cause),
                effect: self.name(effect),
            })
        }
    }
}

/// The edges of one node in one direction.
#[derive(Debug)]
pub(crate) struct Slots<'a> {
    graph: &'a Graph,
    at: u32,
    of_cause: bool,
}

impl Iterator for Slots<'_> {
    type Item = Slot;

    fn next(&mut self) -> Option<Slot> {
        let slot = *self.graph.slots.get(self.at as usize)?;
        self.at = if self.of_cause {
            slot.next_of_cause
        } else {
            slot.next_of_effect
        };
        Some(slot)
    }
}
