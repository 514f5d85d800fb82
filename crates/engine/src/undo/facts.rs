//! Facts for a plan, from the record: who depends on the incident, what was called, and what the
//! records hold now.
//!
//! Nothing is written and no agent is held: the plan says on how many entries it was made, and
//! whoever carries it out looks again at what came since.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use futures_util::StreamExt as _;
use ledger::{DecisionRow, Direction, Page};
use model::{
    Body, Cause, Decision, DecisionId, Edge, EffectClass, Environment, Event, Field, Kind, Outcome,
    RunId, Status, Strength,
};
use recover::plan::{Incident, Possible, RecordRef, Rule};
use recover::{Call, Catalogue, Claim, Facts, Images, Member, Plan};
use serde_json::Value;
use wire::jsonrpc::Json;
use wire::mcp::CallResult;

use crate::checkpoints::{Behind, checkpoint};
use crate::content::Content;
use crate::look::fold;
use crate::{Engine, EngineError};

use super::end::is_about_recovery;
use super::hands::{Hands, HandsError};

/// The most decisions that one incident takes along.
const MEMBERS_MAX: usize = 100_000;

/// The most possible dependants that are listed.
const POSSIBLE_MAX: usize = 10_000;

/// Rows that are read together.
const ROWS: u64 = 4_096;

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

/// A call that was looked at.
struct Seen {
    at: u64,
    uris: BTreeSet<String>,
    call: Call,
}

impl Engine {
    /// Makes the plan of a rollback. `hands` read what the records hold now; without them the plan
    /// rests on the images alone.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] if a root is not in the record; [`EngineError::Store`].
    pub async fn plan_rollback(
        &self,
        request: &Request,
        catalogue: &Catalogue,
        hands: Option<&dyn Hands>,
    ) -> Result<Plan, EngineError> {
        let facts = self.facts(request, catalogue, hands).await?;
        Ok(recover::plan(&facts, catalogue))
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
        let ids: Vec<DecisionId> = rings.rows.iter().map(|row| row.id).collect();
        let inside: HashSet<DecisionId> = ids.iter().copied().collect();
        let mut edges = self.store.edges(&ids, Direction::Causes).await?;
        edges.retain(|edge| inside.contains(&edge.cause));
        let possible = self.possible(&mut rings, &inside).await?;
        let (calls, records) = self.calls(&rings.rows, &inside, catalogue).await?;
        let current = match hands {
            Some(hands) => read_now(records, hands).await,
            None => Images::new(),
        };
        let saved = self.checkpoints(&rings.rows).await?;
        let Behind {
            edges: behind,
            rescinded,
        } = self.behind(&saved).await?;
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
            current,
            rules: request.rules.clone(),
            checkpoints: saved.iter().map(checkpoint).collect(),
            behind,
            rescinded: rescinded.into_iter().collect(),
        })
    }

    /// Finds everything that is taken back, in the order of the record.
    async fn rings(&self, request: &Request) -> Result<Rings, EngineError> {
        let mut rings = Rings::default();
        for root in &request.roots {
            if self.store.rows(&[*root]).await?.is_empty() {
                return Err(EngineError::NotFound {
                    text: root.to_string(),
                });
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
                let recovers = is_about_recovery(row.keys.kind)
                    || self.is_of_rollback(&row, &mut runs).await?;
                if recovers && !named {
                    continue;
                }
                front.push(row.id);
                rings.ring.insert(row.id, ring);
                rings.rows.push(row);
            }
            if front.is_empty() || rings.rows.len() >= MEMBERS_MAX {
                return Ok(());
            }
            let edges = self.store.edges(&front, Direction::Effects).await?;
            front.clear();
            next = edges
                .into_iter()
                .filter(|edge| edge.strength >= least)
                .map(|edge| edge.effect)
                .collect();
        }
    }

    /// Lists what may depend on members, and on what may, with what speaks for it.
    async fn possible(
        &self,
        rings: &mut Rings,
        inside: &HashSet<DecisionId>,
    ) -> Result<Vec<Possible>, EngineError> {
        let mut front: Vec<DecisionId> = inside.iter().copied().collect();
        let mut runs: HashMap<RunId, bool> = HashMap::new();
        let mut found: BTreeMap<u64, Possible> = BTreeMap::new();
        while !front.is_empty() && found.len() < POSSIBLE_MAX {
            let edges = self.store.edges(&front, Direction::Effects).await?;
            front.clear();
            let mut by: HashMap<DecisionId, Edge> = HashMap::new();
            for edge in edges {
                if !rings.seen.contains(&edge.effect) {
                    by.entry(edge.effect).or_insert(edge);
                }
            }
            let mut ids: Vec<DecisionId> = by.keys().copied().collect();
            ids.sort_unstable();
            rings.seen.extend(&ids);
            for row in self.store.rows(&ids).await? {
                if is_about_recovery(row.keys.kind)
                    || self.is_of_rollback(&row, &mut runs).await?
                    || row.status.is_rescinded()
                {
                    continue;
                }
                let (decision, _) = self.folded(row.id).await?;
                let edge = by[&row.id];
                let said = |cause: &&Cause| (cause.decision, cause.kind) == (edge.cause, edge.kind);
                let Some(cause) = decision.causes.iter().find(said) else {
                    continue;
                };
                front.push(row.id);
                let possible = Possible {
                    decision: row.id,
                    cause: edge.cause,
                    evidence: cause.evidence.clone(),
                    effects: decision.effects.clone(),
                };
                found.insert(row.first, possible);
            }
        }
        Ok(found.into_values().collect())
    }

    /// Reads the calls of members, and every later call that touched a record of theirs, and so on.
    /// Returns them in the order of the record, and the records.
    async fn calls(
        &self,
        members: &[DecisionRow],
        inside: &HashSet<DecisionId>,
        catalogue: &Catalogue,
    ) -> Result<(Vec<Call>, BTreeMap<String, RecordRef>), EngineError> {
        let mut records = BTreeMap::new();
        let mut taken: Vec<Seen> = Vec::new();
        for row in members.iter().filter(|row| row.keys.kind == Kind::ToolCall) {
            taken.extend(self.seen(row, catalogue, &mut records).await?);
        }
        let Some(first) = taken.iter().map(|seen| seen.at).min() else {
            return Ok((Vec::new(), BTreeMap::new()));
        };
        let mut touched: BTreeSet<String> =
            taken.iter().flat_map(|seen| seen.uris.clone()).collect();
        let mut others = match touched.is_empty() {
            true => Vec::new(),
            false => self.others(first, inside, catalogue, &mut records).await?,
        };
        loop {
            let (mut more, rest): (Vec<Seen>, Vec<Seen>) = others
                .into_iter()
                .partition(|seen| !seen.uris.is_disjoint(&touched));
            others = rest;
            if more.is_empty() {
                break;
            }
            touched.extend(more.iter().flat_map(|seen| seen.uris.clone()));
            taken.append(&mut more);
        }
        records.retain(|uri, _| touched.contains(uri));
        taken.sort_by_key(|seen| seen.at);
        let calls = taken.into_iter().map(|seen| seen.call).collect();
        Ok((calls, records))
    }

    /// Reads every call since an entry that is no member's and no rollback's.
    async fn others(
        &self,
        first: u64,
        inside: &HashSet<DecisionId>,
        catalogue: &Catalogue,
        records: &mut BTreeMap<String, RecordRef>,
    ) -> Result<Vec<Seen>, EngineError> {
        let mut runs: HashMap<RunId, bool> = HashMap::new();
        let mut others = Vec::new();
        let waited = self.begun_since(first).await?;
        for row in &waited {
            if row.keys.kind != Kind::ToolCall
                || inside.contains(&row.id)
                || self.is_of_rollback(row, &mut runs).await?
            {
                continue;
            }
            let seen = self.seen(row, catalogue, records).await?;
            others.extend(seen.filter(|seen| !seen.uris.is_empty()));
        }
        let mut skip = self.decisions_before(first).await?;
        loop {
            let page = Page { skip, limit: ROWS };
            let rows = self.store.decisions(None, page).await?;
            for row in &rows {
                if row.keys.kind != Kind::ToolCall
                    || inside.contains(&row.id)
                    || self.is_of_rollback(row, &mut runs).await?
                {
                    continue;
                }
                let Some(seen) = self.seen(row, catalogue, records).await? else {
                    continue;
                };
                if !seen.uris.is_empty() {
                    others.push(seen);
                }
            }
            if (rows.len() as u64) < ROWS {
                return Ok(others);
            }
            skip += ROWS;
        }
    }

    /// Decisions that were proposed before an entry and began after it, because they waited.
    async fn begun_since(&self, first: u64) -> Result<Vec<DecisionRow>, EngineError> {
        let started = self.store.events_named(&["started"]).await?;
        let since = started.partition_point(|index| *index < first);
        let mut ids = Vec::new();
        for index in &started[since..] {
            ids.extend(self.event(*index).await?.body.decision());
        }
        let mut rows = self.store.rows(&ids).await?;
        rows.retain(|row| row.first < first);
        Ok(rows)
    }

    /// How many decisions begin before an entry.
    async fn decisions_before(&self, first: u64) -> Result<u64, EngineError> {
        // There are no more decisions than entries.
        let (mut low, mut high) = (0, first);
        while low < high {
            let middle = low + (high - low) / 2;
            let page = Page {
                skip: middle,
                limit: 1,
            };
            let row = self.store.decisions(None, page).await?.pop();
            if row.is_some_and(|row| row.first < first) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Reads a call, with what it touched; none if it never began, because it was held or refused,
    /// or did nothing, because an earlier one answered it.
    async fn seen(
        &self,
        row: &DecisionRow,
        catalogue: &Catalogue,
        records: &mut BTreeMap<String, RecordRef>,
    ) -> Result<Option<Seen>, EngineError> {
        let (decision, events) = self.folded(row.id).await?;
        let Some(at) = self.began(row, &events).await? else {
            return Ok(None);
        };
        if decision.outcome == Outcome::Replayed {
            return Ok(None);
        }
        let texts = self.texts(&events).await?;
        let tool = decision.proposal.name.clone().unwrap_or_default();
        let environment: Environment = texts
            .get(&Field::Environment)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        let server = decision.proposal.server.clone();
        let server = server.or_else(|| environment.0.get("mcp.server").cloned());
        // Where the source does not say which server has a tool, the catalogue may know only one.
        let server = server.or_else(|| said_by(catalogue, &tool));
        let server = server.unwrap_or_default();
        let arguments = texts.get(&Field::Asked).map(|text| json_or_text(text));
        let arguments = arguments.unwrap_or_default();
        let result = texts.get(&Field::Result).map(|text| said(text));
        let image = |field| {
            let text = texts.get(field);
            let images = text.and_then(|text| serde_json::from_str::<Images>(text).ok());
            images.unwrap_or_default()
        };
        let before = image(&Field::Before);
        let footprint = catalogue.footprint(&server, &tool, &arguments, result.as_ref(), &before);
        let mut uris = BTreeSet::new();
        for touch in footprint.touches {
            uris.insert(touch.record.uri.clone());
            records
                .entry(touch.record.uri.clone())
                .or_insert(touch.record);
        }
        let class = decision
            .effects
            .first()
            .map_or(EffectClass::Unreviewed, |effect| effect.class);
        Ok(Some(Seen {
            at,
            uris,
            call: Call {
                decision: row.id,
                server,
                tool,
                arguments,
                result,
                outcome: decision.outcome.clone(),
                class,
                claim: Claim::of(&environment),
                before,
                after: image(&Field::After),
                undone: decision.position == Status::Compensated,
            },
        }))
    }

    /// Where in the record a call began; none if it never did. A call that waited for a person
    /// happened when it began, and not when it was proposed.
    async fn began(&self, row: &DecisionRow, events: &[Event]) -> Result<Option<u64>, EngineError> {
        let begins = |event: &Event| {
            matches!(
                event.body,
                Body::Begun { .. } | Body::Started { .. } | Body::Reconstructed { .. }
            )
        };
        match events.iter().position(begins) {
            None => Ok(None),
            Some(0) => Ok(Some(row.first)),
            Some(place) => Ok(self.store.events_of(row.id).await?.get(place).copied()),
        }
    }

    /// The states that were saved in the runs of members by their agents, in the order of the record.
    async fn checkpoints(&self, members: &[DecisionRow]) -> Result<Vec<DecisionRow>, EngineError> {
        let agents: BTreeSet<&str> = members.iter().map(|row| &*row.keys.agent.name).collect();
        let runs: BTreeSet<RunId> = members.iter().map(|row| row.keys.run).collect();
        let mut found = Vec::new();
        for run in runs {
            let mut skip = 0;
            loop {
                let page = Page { skip, limit: ROWS };
                let rows = self.store.decisions(Some(run), page).await?;
                let last = (rows.len() as u64) < ROWS;
                found.extend(rows.into_iter().filter(|row| {
                    row.keys.kind == Kind::Checkpoint && agents.contains(&*row.keys.agent.name)
                }));
                if last {
                    break;
                }
                skip += ROWS;
            }
        }
        found.sort_by_key(|row| row.first);
        Ok(found)
    }

    async fn folded(&self, id: DecisionId) -> Result<(Decision, Vec<Event>), EngineError> {
        let events = self.events_of(id).await?;
        let events: Vec<Event> = events.into_iter().map(|(_, event)| event).collect();
        Ok((fold(id, events.iter())?, events))
    }

    /// Opens what a decision's events sealed, as far as it is text that can be read.
    async fn texts(&self, events: &[Event]) -> Result<BTreeMap<Field, String>, EngineError> {
        let mut texts = BTreeMap::new();
        for event in events {
            let Some(sealed) = event.body.sealed() else {
                continue;
            };
            let Content::Kept(fields) = self.open_whole(event, sealed).await? else {
                continue;
            };
            for field in fields {
                if let Ok(text) = String::from_utf8(field.bytes) {
                    texts.insert(field.role, text);
                }
            }
        }
        Ok(texts)
    }
}

/// What is taken back.
#[derive(Debug, Default)]
struct Rings {
    rows: Vec<DecisionRow>,
    ring: HashMap<DecisionId, Strength>,
    seen: HashSet<DecisionId>,
    front: Vec<DecisionId>,
}

/// Reads records as they are now. One that cannot be read is left out, and the plan rests on its
/// images.
async fn read_now(records: BTreeMap<String, RecordRef>, hands: &dyn Hands) -> Images {
    let reading = records.into_values().map(|record| async move {
        let image = match hands.look(&record.read).await {
            Ok(answer) => record.image(Ok(&answer)),
            Err(HandsError::Tool { reason }) => record.image(Err(&reason)),
            Err(_) => return None,
        };
        image.ok().map(|image| (record.uri, image.record))
    });
    let read = futures_util::stream::iter(reading).buffer_unordered(READS_AT_ONCE);
    read.filter_map(std::future::ready).collect().await
}

/// Returns the server whose tool this is, where the catalogue knows one such tool.
pub(crate) fn said_by(catalogue: &Catalogue, tool: &str) -> Option<String> {
    let mut of = catalogue.tools().filter(|(_, name)| *name == tool);
    match (of.next(), of.next()) {
        (Some((server, _)), None) => Some(server.to_owned()),
        _ => None,
    }
}

/// What a result says: of a tool over MCP what it holds, structured or as text; JSON where it is.
pub(crate) fn said(text: &str) -> Value {
    let value = json_or_text(text);
    let of_mcp = value
        .get("content")
        .or_else(|| value.get("structuredContent"));
    match Json::parse(text) {
        Ok(json) if of_mcp.is_some() => CallResult::read(json).value(),
        _ => value,
    }
}

/// A text as JSON, or as it is.
pub(crate) fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}
