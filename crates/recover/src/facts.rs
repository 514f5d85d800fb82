//! What the planner is told: calls as the record has them, and how decisions hang together.

use std::collections::BTreeMap;

use lineage::Checkpoint;
use model::{DecisionId, Edge, EffectClass, Outcome, Strength};
use serde_json::Value;

use crate::catalogue::{Footprint, Images};
use crate::claim::Claim;
use crate::plan::{Incident, Linked, Possible, Rule};

/// A call of a tool, as the record has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The decision that it is.
    pub decision: DecisionId,
    /// The server that has the tool.
    pub server: String,
    /// The tool.
    pub tool: String,
    /// Its arguments.
    pub arguments: Value,
    /// What came back, read as JSON where it is JSON; none where it is not known.
    pub result: Option<Value>,
    /// How it ended.
    pub outcome: Outcome,
    /// The class of its effect.
    pub class: EffectClass,
    /// The tool that takes it back, as its server said when it was made.
    pub claim: Option<Claim>,
    /// Records just before it.
    pub before: Images,
    /// Records just after it.
    pub after: Images,
    /// Whether what it changed is not to be counted: it was taken back already, was run again
    /// since, or is itself a step that put something back.
    pub undone: bool,
}

/// A call, with what it touched where that was worked out already.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    pub(crate) call: &'a Call,
    pub(crate) footprint: Option<&'a Footprint>,
}

impl<'a> From<&'a Call> for Told<'a> {
    fn from(call: &'a Call) -> Self {
        Self {
            call,
            footprint: None,
        }
    }
}

impl<'a> From<(&'a Call, &'a Footprint)> for Told<'a> {
    fn from((call, footprint): (&'a Call, &'a Footprint)) -> Self {
        Self {
            call,
            footprint: Some(footprint),
        }
    }
}

/// A decision that an incident takes along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The decision.
    pub decision: DecisionId,
    /// Who took it.
    pub agent: String,
    /// Whether it depends on the incident for certain, or was included by a person.
    pub ring: Strength,
}

/// Everything that a plan is made of. Decisions and calls are in the order of the record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// What went wrong.
    pub incident: Incident,
    /// How many entries the record has.
    pub size: u64,
    /// The incident's own decisions and all that they take along.
    pub members: Vec<Member>,
    /// Decisions that may depend on the incident and stay.
    pub possible: Vec<Possible>,
    /// Edges between members.
    pub edges: Vec<Edge>,
    /// Every call of a member; and every other call since the first of these that touched a record
    /// which a member's call touched, and so on for what those touched.
    pub calls: Vec<Call>,
    /// What each of them touched, as [`Catalogue::footprint_of`](crate::Catalogue::footprint_of)
    /// says. Where this list ends, plans work it out again.
    pub footprints: Vec<Footprint>,
    /// The records as they were read for this plan.
    pub current: Images,
    /// What a person said about conflicts, by record; it goes before the catalogue's rule.
    pub rules: BTreeMap<String, Rule>,
    /// Saved states of the agents concerned.
    pub checkpoints: Vec<Checkpoint>,
    /// Edges behind these, back to what was rescinded already.
    pub behind: Vec<Edge>,
    /// What of it was rescinded already.
    pub rescinded: Vec<DecisionId>,
    /// Dependences through records that the record does not have yet, among members.
    pub linked: Vec<Linked>,
}

impl Facts {
    /// The calls, each with its footprint as far as that is known.
    pub(crate) fn told(&self) -> impl Iterator<Item = Told<'_>> {
        let footprints = self.footprints.iter().map(Some);
        let footprints = footprints.chain(std::iter::repeat(None));
        let calls = self.calls.iter().zip(footprints);
        calls.map(|(call, footprint)| Told { call, footprint })
    }
}
