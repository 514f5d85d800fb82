//! Facts for a plan, from the record: who depends on the incident, what was called, and what the
//! records hold now.
//!
//! Nothing is written and no agent is held: the plan says on how many entries it was made, and
//! whoever carries it out looks again at what came since.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use futures_util::StreamExt as _;
use ledger::{DecisionRow, Direction};
use model::{Cause, DecisionId, Edge, Effect, Kind, RunId, Strength};
use recover::plan::{Incident, Linked, Possible, RecordRef, Rule};
use recover::{Catalogue, Dependant, Facts, Images, Member, Plan};
use serde_json::Value;

use crate::at_once::AllCores;
use crate::checkpoints::{Behind, checkpoint};
use crate::live::writes::read;
use crate::look::folded;
use crate::{Engine, EngineError};

use super::UndoError;
use super::gather::{AT_ONCE, Gathered, Seen};
use super::hands::{Hands, HandsError};

/// The most decisions that one incident takes along.
const MEMBERS_MAX: usize = 100_000;

/// The most possible dependants that are listed.
const POSSIBLE_MAX: usize = 10_000;

/// Records that are read side by side.
const READS_AT_ONCE: usize = 16;

/// How long what was recorded before may take to get into the log.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a person asks to be taken back.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The bad decisions.
    pub roots: Vec<DecisionId>,
    /// Why they are bad, in words free of personal data.
    pub reason: String,
    /// Which of those that may depend on them are taken back too.
    pub include: Include,
    /// What becomes of records that somebody else wrote since, where a person said so.
    pub rules: BTreeMap<String, Rule>,
}

/// Which decisions that may depend on an incident are taken back with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Include {
    /// None of them.
    #[default]
    None,
    /// These.
    Some(Vec<DecisionId>),
    /// All of them.
    All,
}

impl Engine {
    /// Makes the plan of a rollback. `hands` read what the records hold now; without them the plan
    /// rests on the images alone.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] if a root is not in the record; [`UndoError::Own`] if it is part of a
    /// rollback; [`EngineError::Store`].
    pub async fn plan_rollback(
        &self,
        request: &Request,
        catalogue: &Catalogue,
        hands: Option<&dyn Hands>,
    ) -> Result<Plan, EngineError> {
        let facts = self.facts(request, catalogue, hands).await?;
        Ok(plan_of(&facts, catalogue))
    }

    /// Gathers what a plan is made of.
    ///
    /// # Errors
    /// As [`plan_rollback`](Self::plan_rollback).
    pub async fn facts(
        &self,
        request: &Request,
        catalogue: &Catalogue,
        hands: Option<&dyn Hands>,
    ) -> Result<Facts, EngineError> {
        crate::erase::check_words("reason", &request.reason)?;
        self.caught_up(PATIENCE).await;
        let size = self.store.status().await?.durable;
        self.store.wait_indexed(size).await?;
        let mut rings = self.rings(request).await?;
        let (gathered, mut linked, looked) = self.through_records(&mut rings, catalogue).await?;
        let inside: HashSet<DecisionId> = rings.rows.iter().map(|row| row.id).collect();
        let mut edges = rings.edges_within(&inside);
        let found = linked.iter().map(edge_of);
        edges.extend(found.filter(|edge| inside.contains(&edge.cause)));
        let mut possible = self.possible(&mut rings, &gathered).await?;
        possible.extend(may_have_looked(&gathered, &rings, &looked));
        linked.retain(|linked| inside.contains(&linked.cause.decision));
        let current = match hands {
            Some(hands) => read_now(gathered.records(), hands).await,
            None => Images::new(),
        };
        let saved = self.checkpoints(&rings.rows).await?;
        let Behind {
            edges: behind,
            rescinded,
        } = self.behind(&saved).await?;
        let calls = gathered.taken.into_iter();
        let (calls, footprints) = calls.map(|seen| *seen).map(Seen::parts).unzip();
        Ok(Facts {
            incident: Incident {
                roots: request.roots.clone(),
                reason: request.reason.clone(),
            },
            size,
            members: rings
                .rows
                .iter()
                .map(|row| Member {
                    decision: row.id,
                    agent: row.keys.agent.name.clone(),
                    ring: rings
                        .ring
                        .get(&row.id)
                        .copied()
                        .unwrap_or(Strength::Certain),
                })
                .collect(),
            possible,
            edges,
            calls,
            footprints,
            current,
            rules: request.rules.clone(),
            checkpoints: saved.iter().map(checkpoint).collect(),
            behind,
            rescinded: rescinded.into_iter().collect(),
            linked,
        })
    }

    /// Finds everything that is taken back, in the order of the record.
    async fn rings(&self, request: &Request) -> Result<Rings, EngineError> {
        let mut rings = Rings::default();
        let mut runs: HashMap<RunId, bool> = HashMap::new();
        for root in &request.roots {
            let id = *root;
            let Some(row) = self.store.rows(&[id]).await?.pop() else {
                return Err(EngineError::NotFound {
                    text: id.to_string(),
                });
            };
            if self.is_of_rollback(&row, &mut runs).await? {
                return Err(UndoError::Own { id }.into());
            }
        }
        let least = match request.include {
            Include::All => Strength::Possible,
            Include::None | Include::Some(_) => Strength::Certain,
        };
        // By what is certain first, so that the wider ring holds only what nothing else shows.
        self.spread(
            &mut rings,
            &request.roots,
            Strength::Certain,
            Strength::Certain,
        )
        .await?;
        if let Include::Some(also) = &request.include {
            self.spread(&mut rings, also, Strength::Certain, Strength::Possible)
                .await?;
        }
        if least == Strength::Possible {
            let known: Vec<DecisionId> = rings.rows.iter().map(|row| row.id).collect();
            rings.front = known;
            self.spread(&mut rings, &[], Strength::Possible, Strength::Possible)
                .await?;
        }
        rings.rows.sort_by_key(|row| row.first);
        Ok(rings)
    }

    /// Gathers the calls of members, and takes those in that looked at what these changed, with what
    /// depends on them, though no edge in the record says so: they were imported, or the catalogue
    /// did not know their tools then. Returns also who else looked at it, as far as that is possible.
    async fn through_records(
        &self,
        rings: &mut Rings,
        catalogue: &Catalogue,
    ) -> Result<(Gathered, Vec<Linked>, Vec<Dependant>), EngineError> {
        let mut gathered = Gathered::default();
        let mut linked: Vec<Linked> = Vec::new();
        loop {
            self.gather(&mut gathered, &rings.rows, catalogue).await?;
            let members: Vec<DecisionId> = rings.ring.keys().copied().collect();
            let calls = gathered.taken.iter();
            let calls = calls.map(|seen| (&seen.call, &seen.footprint));
            let looking = recover::dependants_by(calls, &members, catalogue, &AllCores);
            let found: Vec<Linked> = looked(&gathered, rings, &looking, Strength::Certain)
                .map(|(_, linked)| linked)
                .collect();
            if found.is_empty() {
                return Ok((gathered, linked, looking));
            }
            let ids: Vec<DecisionId> = found.iter().map(|linked| linked.decision).collect();
            linked.extend(found);
            self.spread(rings, &ids, Strength::Certain, Strength::Certain)
                .await?;
            rings.rows.sort_by_key(|row| row.first);
        }
    }

    /// Adds decisions and what depends on them, as far as edges are at least this strong. What was
    /// decided in a rollback, and what takes care of minds, depends on nothing that is taken back.
    async fn spread(
        &self,
        rings: &mut Rings,
        from: &[DecisionId],
        least: Strength,
        ring: Strength,
    ) -> Result<(), EngineError> {
        let mut next: Vec<DecisionId> = from.to_vec();
        let mut front = std::mem::take(&mut rings.front);
        let mut runs: HashMap<RunId, bool> = HashMap::new();
        loop {
            next.retain(|id| rings.seen.insert(*id));
            next.sort_unstable();
            for row in self.store.rows(&next).await? {
                let named = from.contains(&row.id);
                if self.recovers(&row, &mut runs).await? && !named {
                    continue;
                }
                front.push(row.id);
                rings.ring.insert(row.id, ring);
                rings.rows.push(row);
            }
            if front.is_empty() {
                return Ok(());
            }
            let edges = self.store.edges(&front, Direction::Effects).await?;
            let followed = edges.iter().filter(|edge| edge.strength >= least);
            next = followed.map(|edge| edge.effect).collect();
            rings.know(&front, edges);
            if rings.rows.len() >= MEMBERS_MAX {
                return Ok(());
            }
            front.clear();
        }
    }

    /// Lists what may depend on members, and on what may, with what speaks for it.
    async fn possible(
        &self,
        rings: &mut Rings,
        gathered: &Gathered,
    ) -> Result<Vec<Possible>, EngineError> {
        let taken = gathered.taken.iter();
        let opened: HashMap<DecisionId, &Seen> =
            taken.map(|seen| (seen.call.decision, &**seen)).collect();
        let mut edges: Vec<Edge> = rings.edges.values().flatten().copied().collect();
        // Of several edges to one decision the first counts, as the store has them.
        edges.sort_by_key(|edge| edge.cause);
        let mut runs: HashMap<RunId, bool> = HashMap::new();
        let mut found: BTreeMap<u64, Possible> = BTreeMap::new();
        while !edges.is_empty() && found.len() < POSSIBLE_MAX {
            let mut front: Vec<DecisionId> = Vec::new();
            let mut by: HashMap<DecisionId, Edge> = HashMap::new();
            for edge in edges.drain(..) {
                if !rings.seen.contains(&edge.effect) {
                    by.entry(edge.effect).or_insert(edge);
                }
            }
            let mut ids: Vec<DecisionId> = by.keys().copied().collect();
            ids.sort_unstable();
            rings.seen.extend(&ids);
            // Calls that were opened already need not be read again.
            ids.retain(|id| {
                let Some(seen) = opened.get(id) else {
                    return true;
                };
                let possible = may_depend(by[id], &seen.causes, &seen.effects);
                if let Some(possible) = possible.filter(|_| !seen.rescinded) {
                    front.push(*id);
                    found.insert(seen.first, possible);
                }
                false
            });
            let mut rows = Vec::with_capacity(ids.len());
            for row in self.store.rows(&ids).await? {
                if !self.recovers(&row, &mut runs).await? && !row.status.is_rescinded() {
                    rows.push(row);
                }
            }
            for rows in rows.chunks(AT_ONCE) {
                let ids: Vec<DecisionId> = rows.iter().map(|row| row.id).collect();
                for (row, events) in rows.iter().zip(self.events_of_each(&ids).await?) {
                    let decision = folded(row.id, events.into_iter().map(|(_, event)| event))?;
                    let possible = may_depend(by[&row.id], &decision.causes, &decision.effects);
                    if let Some(possible) = possible {
                        front.push(row.id);
                        found.insert(row.first, possible);
                    }
                }
            }
            edges = self.store.edges(&front, Direction::Effects).await?;
        }
        Ok(found.into_values().collect())
    }

    /// The states that were saved in the runs of members by their agents, in the order of the record.
    async fn checkpoints(&self, members: &[DecisionRow]) -> Result<Vec<DecisionRow>, EngineError> {
        let agents: BTreeSet<&str> = members.iter().map(|row| &*row.keys.agent.name).collect();
        let runs: BTreeSet<RunId> = members.iter().map(|row| row.keys.run).collect();
        let runs: Vec<RunId> = runs.into_iter().collect();
        let saved = self.store.decisions_of(Kind::Checkpoint, Some(&runs));
        let mut saved = saved.await?;
        saved.retain(|row| agents.contains(&*row.keys.agent.name));
        Ok(saved)
    }
}

/// Makes a plan of facts, on all cores.
#[must_use]
pub fn plan_of(facts: &Facts, catalogue: &Catalogue) -> Plan {
    recover::plan_by(facts, catalogue, &AllCores)
}

/// What is taken back.
#[derive(Debug, Default)]
struct Rings {
    rows: Vec<DecisionRow>,
    ring: HashMap<DecisionId, Strength>,
    seen: HashSet<DecisionId>,
    front: Vec<DecisionId>,
    /// What follows from each, taken back or not.
    edges: HashMap<DecisionId, Vec<Edge>>,
}

impl Rings {
    /// Notes what follows from these.
    fn know(&mut self, of: &[DecisionId], edges: Vec<Edge>) {
        for id in of {
            self.edges.insert(*id, Vec::new());
        }
        for edge in edges {
            self.edges.entry(edge.cause).or_default().push(edge);
        }
    }

    /// The edges between those that are taken back, in the order of the record.
    fn edges_within(&self, inside: &HashSet<DecisionId>) -> Vec<Edge> {
        let causes = self.rows.iter().filter_map(|row| self.edges.get(&row.id));
        let edges = causes.flatten();
        edges
            .filter(|edge| inside.contains(&edge.effect))
            .copied()
            .collect()
    }
}

/// What a decision says of an edge to it; none if it names no such cause.
fn may_depend(edge: Edge, causes: &[Cause], effects: &[Effect]) -> Option<Possible> {
    let said = |cause: &&Cause| (cause.decision, cause.kind) == (edge.cause, edge.kind);
    causes.iter().find(said).map(|cause| Possible {
        decision: edge.effect,
        cause: edge.cause,
        evidence: cause.evidence.clone(),
        effects: effects.to_vec(),
    })
}

/// Of these dependants of members the calls that are none themselves, at least this surely.
fn looked<'g>(
    gathered: &'g Gathered,
    rings: &Rings,
    found: &[Dependant],
    least: Strength,
) -> impl Iterator<Item = (&'g Seen, Linked)> {
    let calls: HashMap<DecisionId, &Seen> = gathered
        .taken
        .iter()
        .map(|seen| (seen.call.decision, &**seen))
        .collect();
    let outside =
        |found: &&Dependant| found.strength >= least && !rings.seen.contains(&found.decision);
    let found: Vec<Dependant> = found.iter().filter(outside).cloned().collect();
    found.into_iter().filter_map(move |found| {
        let seen = *calls.get(&found.decision)?;
        let linked = Linked {
            decision: found.decision,
            cause: read(found.cause, found.uri, found.at, found.strength),
        };
        (!seen.rescinded).then_some((seen, linked))
    })
}

/// Calls that may depend on members through a record, and through nothing that the record says.
fn may_have_looked(gathered: &Gathered, rings: &Rings, found: &[Dependant]) -> Vec<Possible> {
    looked(gathered, rings, found, Strength::Possible)
        .map(|(seen, linked)| Possible {
            decision: linked.decision,
            cause: linked.cause.decision,
            evidence: linked.cause.evidence,
            effects: seen.effects.clone(),
        })
        .collect()
}

const fn edge_of(linked: &Linked) -> Edge {
    Edge {
        cause: linked.cause.decision,
        effect: linked.decision,
        kind: linked.cause.kind,
        strength: linked.cause.strength,
    }
}

/// Reads records as they are now. One that cannot be read is left out, and the plan rests on its
/// images.
async fn read_now(records: BTreeMap<&str, &RecordRef>, hands: &dyn Hands) -> Images {
    let reading: Vec<_> = records
        .into_values()
        .map(|record| read_one(record, hands))
        .collect();
    let read = futures_util::stream::iter(reading).buffer_unordered(READS_AT_ONCE);
    read.filter_map(std::future::ready).collect().await
}

async fn read_one(record: &RecordRef, hands: &dyn Hands) -> Option<(String, Option<Value>)> {
    let image = match hands.look(&record.read).await {
        Ok(answer) => record.image(Ok(&answer)),
        Err(HandsError::Tool { reason }) => record.image(Err(&reason)),
        Err(_) => return None,
    };
    let uri = record.uri.clone();
    image.ok().map(|image| (uri, image.record))
}
