//! The calls of an incident: those of its members, every later call that touched a record of
//! theirs, and so on for what those touched.
//!
//! The store's index says which calls name a record, so that nothing else is opened. A call whose
//! effects name none, because it was imported or nobody knew its tool then, is opened where the
//! catalogue says today that its tool touches records.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, TryStreamExt as _};
use ledger::{DecisionRow, SubjectKey};
use model::{
    Body, Cause, Decision, DecisionId, Effect, EffectClass, Environment, Event, EventId, Field,
    Kind, Outcome, RunId, Status, Touched,
};
use recover::catalogue::Footprint;
use recover::plan::RecordRef;
use recover::{Call, Catalogue, Claim, Images};
use serde_json::Value;
use wire::jsonrpc::Json;
use wire::mcp::CallResult;

use crate::content::{Closed, Content};
use crate::look::{decoded, folded};
use crate::{Engine, EngineError, at_once};

/// Decisions that are read together.
pub(super) const AT_ONCE: usize = 512;

/// Calls that are opened together, and lots of these that are under way at a time.
const LOT: usize = 256;
const LOTS_AHEAD: usize = 3;

/// They are large, and handed on from list to list.
type Calls = Vec<Box<Seen>>;

type Opening<'a> = BoxFuture<'a, Result<Calls, EngineError>>;

/// A call that was looked at.
#[derive(Debug)]
pub(super) struct Seen {
    /// Where it began.
    at: u64,
    /// Where its first event is.
    pub(super) first: u64,
    pub(super) call: Call,
    pub(super) footprint: Footprint,
    pub(super) causes: Vec<Cause>,
    pub(super) effects: Vec<Effect>,
    /// Whether it was revoked before.
    pub(super) rescinded: bool,
}

impl Seen {
    /// What a plan is made of.
    pub(super) fn parts(self) -> (Call, Footprint) {
        (self.call, self.footprint)
    }

    fn records(&self) -> impl Iterator<Item = &RecordRef> {
        self.footprint.touches.iter().map(|touch| &touch.record)
    }
}

/// The calls so far.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// In the order of the record.
    pub(super) taken: Calls,
    /// Every record that they touched.
    records: HashSet<String>,
    /// Calls that name no record and touch some all the same; none of those taken so far.
    unnamed: Calls,
    known: HashSet<DecisionId>,
    runs: HashMap<RunId, bool>,
    /// Where the first of them began.
    first: Option<u64>,
}

impl Gathered {
    /// Takes a call, and adds the records that are new with it.
    fn take(&mut self, seen: Box<Seen>, new: &mut Vec<Touched>) {
        for record in seen.records() {
            if !self.records.contains(&record.uri) {
                self.records.insert(record.uri.clone());
                new.push(Touched::Record(record.uri.clone()));
            }
        }
        self.taken.push(seen);
    }

    fn touches(&self, seen: &Seen) -> bool {
        let mut records = seen.records();
        records.any(|record| self.records.contains(&record.uri))
    }

    /// Every record that the calls touched, once.
    pub(super) fn records(&self) -> BTreeMap<&str, &RecordRef> {
        let records = self.taken.iter().flat_map(|seen| seen.records());
        records.map(|record| (&*record.uri, record)).collect()
    }
}

impl Engine {
    /// Adds the calls of members, and of everybody who touched the same since the first of them.
    pub(super) async fn gather(
        &self,
        gathered: &mut Gathered,
        members: &[DecisionRow],
        catalogue: &Catalogue,
    ) -> Result<(), EngineError> {
        let calls = members.iter().filter(|row| row.keys.kind == Kind::ToolCall);
        let calls: Vec<&DecisionRow> = calls.filter(|row| gathered.known.insert(row.id)).collect();
        let mut new = Vec::new();
        let mut first = gathered.first;
        for seen in self.open_calls(calls, catalogue).await? {
            first = Some(first.map_or(seen.at, |first| first.min(seen.at)));
            gathered.take(seen, &mut new);
        }
        let Some(since) = first else { return Ok(()) };
        if gathered.first != first && !gathered.records.is_empty() {
            gathered.first = first;
            let records = gathered.records.iter().cloned();
            new = records.map(Touched::Record).collect();
            let others = self.unnamed(gathered, since, catalogue).await?;
            gathered.unnamed.extend(others);
        }
        while !new.is_empty() {
            let found = self.store.touching(&new, since).await?;
            let others = self.others(gathered, found).await?;
            let others = self.open_calls(others.iter().collect(), catalogue).await?;
            new.clear();
            for seen in others {
                gathered.take(seen, &mut new);
            }
            loop {
                let unnamed = std::mem::take(&mut gathered.unnamed);
                let (more, rest): (Calls, Calls) =
                    unnamed.into_iter().partition(|seen| gathered.touches(seen));
                gathered.unnamed = rest;
                if more.is_empty() {
                    break;
                }
                for seen in more {
                    gathered.take(seen, &mut new);
                }
            }
        }
        gathered.taken.sort_by_key(|seen| seen.at);
        Ok(())
    }

    /// Opens the calls since an entry whose effects name no record, though their tools touch some.
    async fn unnamed(
        &self,
        gathered: &mut Gathered,
        since: u64,
        catalogue: &Catalogue,
    ) -> Result<Calls, EngineError> {
        let tools: BTreeSet<&str> = catalogue
            .tools()
            .filter(|(server, tool)| catalogue.touches(server, tool))
            .map(|(_, tool)| tool)
            .collect();
        // Calls that waited and began since are found under no tool.
        let names = tools.iter().chain([&""]);
        let unsaid = names.map(|tool| Touched::Unsaid((*tool).to_owned()));
        let unsaid: Vec<Touched> = unsaid.collect();
        let ids = self.store.touching(&unsaid, since).await?;
        let mut others = self.others(gathered, ids).await?;
        others.retain(|row| {
            let tool = row.keys.name.as_deref();
            tool.is_some_and(|tool| tools.contains(tool))
        });
        let mut seen = self.open_calls(others.iter().collect(), catalogue).await?;
        seen.retain(|seen| !seen.footprint.touches.is_empty());
        Ok(seen)
    }

    /// Those of these decisions that are calls, were not opened yet and are no rollback's.
    async fn others(
        &self,
        gathered: &mut Gathered,
        mut ids: Vec<DecisionId>,
    ) -> Result<Vec<DecisionRow>, EngineError> {
        ids.retain(|id| gathered.known.insert(*id));
        let mut others = Vec::with_capacity(ids.len());
        for row in self.store.rows(&ids).await? {
            let is_call = row.keys.kind == Kind::ToolCall;
            if is_call && !self.is_of_rollback(&row, &mut gathered.runs).await? {
                others.push(row);
            }
        }
        Ok(others)
    }

    /// Reads calls, with what they touched, in the order in which they are asked for. Left out are
    /// those that never began, because they were held or refused, and those that did nothing, because
    /// an earlier one answered them.
    async fn open_calls(
        &self,
        rows: Vec<&DecisionRow>,
        catalogue: &Catalogue,
    ) -> Result<Calls, EngineError> {
        // While one lot is worked on, the next ones are read.
        let mut lots: Vec<Opening<'_>> = Vec::with_capacity(rows.len().div_ceil(LOT));
        for rows in rows.chunks(LOT) {
            lots.push(Box::pin(self.open_lot(rows, catalogue)));
        }
        let lots = futures_util::stream::iter(lots).buffered(LOTS_AHEAD);
        let seen: Vec<Calls> = lots.try_collect().await?;
        Ok(seen.into_iter().flatten().collect())
    }

    async fn open_lot(
        &self,
        rows: &[&DecisionRow],
        catalogue: &Catalogue,
    ) -> Result<Calls, EngineError> {
        let ids: Vec<DecisionId> = rows.iter().map(|row| row.id).collect();
        let leaves = self.store.leaves_of(&ids).await?;
        let calls = rows.iter().copied().zip(leaves).collect();
        let calls = at_once::spread(calls, |(row, leaves)| begun(row, decoded(leaves)?));
        let calls = calls.into_iter().filter_map(Result::transpose);
        let calls: Vec<Begun<'_>> = calls.collect::<Result<_, EngineError>>()?;
        let closed: Vec<Closed<'_>> = calls.iter().flat_map(Begun::closed).collect();
        let mut fetched = Vec::with_capacity(closed.len());
        for (found, closed) in self.fetch(&closed).await?.into_iter().zip(closed) {
            fetched.push(match found {
                Ok((key, bytes)) if !closed.leans() => Found::Closed(key, bytes),
                found => Found::Opened(self.whole(closed.unsealed(found)?, closed.sealed).await?),
            });
        }
        let mut fetched = fetched.into_iter();
        let calls = calls.into_iter().map(|call| {
            let found = fetched.by_ref().take(call.sealed_by.len()).collect();
            (call, found)
        });
        let calls: Vec<(Begun<'_>, Vec<Found>)> = calls.collect();
        let seen = at_once::spread(calls, |(call, found)| call.look(found, catalogue));
        seen.into_iter().collect()
    }
}

/// A call that began, folded.
struct Begun<'r> {
    row: &'r DecisionRow,
    /// Where in the record it began.
    at: u64,
    decision: Decision,
    /// The events that sealed something.
    sealed_by: Vec<EventId>,
}

/// What was found of something sealed.
enum Found {
    /// It is opened where it is looked at.
    Closed(SubjectKey, Vec<u8>),
    /// It was opened already, because a part of it stands elsewhere, or is gone.
    Opened(Content),
}

/// What a call's events sealed, as far as it is text that can be read; of several of a kind the last
/// one counts.
#[derive(Default)]
struct Texts {
    environment: Option<Environment>,
    asked: Option<Value>,
    result: Option<Value>,
    before: Option<Images>,
    after: Option<Images>,
}

/// Folds a call; none if it never began or did nothing. A call that waited for a person happened
/// when it began, and not when it was proposed.
fn begun(row: &DecisionRow, events: Vec<(u64, Event)>) -> Result<Option<Begun<'_>>, EngineError> {
    let begins = |event: &Event| {
        matches!(
            event.body,
            Body::Begun { .. } | Body::Started { .. } | Body::Reconstructed { .. }
        )
    };
    let at = events.iter().find(|(_, event)| begins(event));
    let at = at.map(|(at, _)| *at);
    let sealed_by = events.iter().map(|(_, event)| event);
    let sealed_by = sealed_by.filter(|event| event.body.sealed().is_some());
    let sealed_by = sealed_by.map(|event| event.id).collect();
    let decision = folded(row.id, events.into_iter().map(|(_, event)| event))?;
    let at = at.filter(|_| decision.outcome != Outcome::Replayed);
    Ok(at.map(|at| Begun {
        row,
        at,
        decision,
        sealed_by,
    }))
}

impl Begun<'_> {
    fn closed(&self) -> impl Iterator<Item = Closed<'_>> {
        let sealed = self.decision.sealed.iter();
        let events = self.sealed_by.iter().copied();
        let pairs = events.zip(sealed);
        pairs.map(|(event, sealed)| Closed { event, sealed })
    }

    fn look(self, found: Vec<Found>, catalogue: &Catalogue) -> Result<Box<Seen>, EngineError> {
        let mut texts = Texts::default();
        for (closed, found) in self.closed().zip(found) {
            match found {
                Found::Closed(key, bytes) => {
                    let opened = closed.open(&key, bytes)?;
                    for (role, field) in closed.fields(&opened)? {
                        texts.take(role, field.bytes);
                    }
                }
                Found::Opened(Content::Kept(fields)) => {
                    for field in fields {
                        texts.take(field.role, &field.bytes);
                    }
                }
                Found::Opened(_) => {}
            }
        }
        Ok(Box::new(looked_at(self, texts, catalogue)))
    }
}

impl Texts {
    fn take(&mut self, role: Field, bytes: &[u8]) {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return;
        };
        match role {
            Field::Environment => self.environment = serde_json::from_str(text).ok(),
            Field::Asked => self.asked = Some(json_or_text(text)),
            Field::Result => self.result = Some(said(text)),
            Field::Before => self.before = serde_json::from_str(text).ok(),
            Field::After => self.after = serde_json::from_str(text).ok(),
            _ => {}
        }
    }
}

/// Looks at what a call touched.
fn looked_at(call: Begun<'_>, texts: Texts, catalogue: &Catalogue) -> Seen {
    let Begun {
        row, at, decision, ..
    } = call;
    let tool = decision.proposal.name.unwrap_or_default();
    let environment = texts.environment.unwrap_or_default();
    let server = decision.proposal.server;
    let server = server.or_else(|| environment.0.get("mcp.server").cloned());
    // Where the source does not say which server has a tool, the catalogue may know only one.
    let server = server.or_else(|| said_by(catalogue, &tool));
    let server = server.unwrap_or_default();
    let class = decision
        .effects
        .first()
        .map_or(EffectClass::Unreviewed, |effect| effect.class);
    let call = Call {
        decision: row.id,
        server,
        tool,
        arguments: texts.asked.unwrap_or_default(),
        result: texts.result,
        outcome: decision.outcome,
        class,
        claim: Claim::of(&environment),
        before: texts.before.unwrap_or_default(),
        after: texts.after.unwrap_or_default(),
        undone: decision.position == Status::Compensated,
    };
    Seen {
        at,
        first: row.first,
        footprint: catalogue.footprint_of(&call),
        rescinded: row.status.is_rescinded(),
        call,
        causes: decision.causes,
        effects: decision.effects,
    }
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
    match of_mcp.map(|_| Json::parse(text)) {
        Some(Ok(json)) => CallResult::read(json).value(),
        _ => value,
    }
}

/// A text as JSON, or as it is.
pub(crate) fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}
