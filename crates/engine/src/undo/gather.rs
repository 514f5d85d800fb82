//! The calls of an incident: those of its members, every later call that touched a record of
//! theirs, and so on for what those touched.
//!
//! The store's index says which calls name a record, so that nothing else is opened. A call whose
//! effects name none, because it was imported or nobody knew its tool then, is opened where the
//! catalogue says today that its tool touches records.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, TryStreamExt as _};
use ledger::DecisionRow;
use model::{
    Body, Cause, Decision, DecisionId, Effect, EffectClass, Environment, Event, Field, Kind,
    Outcome, RunId, Status, Touched,
};
use recover::catalogue::Footprint;
use recover::plan::RecordRef;
use recover::{Call, Catalogue, Claim, Images};
use serde_json::Value;
use wire::jsonrpc::Json;
use wire::mcp::CallResult;

use crate::content::Content;
use crate::look::{decoded, fold};
use crate::{Engine, EngineError, at_once};

/// Decisions that are read together.
pub(super) const AT_ONCE: usize = 512;

/// Calls that are opened together, and lots of these that are under way at a time.
const LOT: usize = 256;
const LOTS_AHEAD: usize = 3;

type Opening<'a> = BoxFuture<'a, Result<Vec<Seen>, EngineError>>;

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
    fn records(&self) -> impl Iterator<Item = &RecordRef> {
        self.footprint.touches.iter().map(|touch| &touch.record)
    }
}

/// The calls so far.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// In the order of the record.
    pub(super) taken: Vec<Seen>,
    /// Every record that they touched.
    pub(super) records: BTreeMap<String, RecordRef>,
    /// Calls that name no record and touch some all the same; none of those taken so far.
    unnamed: Vec<Seen>,
    known: HashSet<DecisionId>,
    runs: HashMap<RunId, bool>,
    /// Where the first of them began.
    first: Option<u64>,
}

impl Gathered {
    /// Takes a call, and returns the records that are new with it.
    fn take(&mut self, seen: Seen) -> BTreeSet<String> {
        let mut new = BTreeSet::new();
        for record in seen.records() {
            if !self.records.contains_key(&record.uri) {
                new.insert(record.uri.clone());
                self.records.insert(record.uri.clone(), record.clone());
            }
        }
        self.taken.push(seen);
        new
    }

    fn touches(&self, seen: &Seen) -> bool {
        let mut records = seen.records();
        records.any(|record| self.records.contains_key(&record.uri))
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
        let mut new = BTreeSet::new();
        let mut first = gathered.first;
        for seen in self.open_calls(calls, catalogue).await? {
            first = Some(first.map_or(seen.at, |first| first.min(seen.at)));
            new.extend(gathered.take(seen));
        }
        let Some(since) = first else { return Ok(()) };
        if gathered.first != first && !gathered.records.is_empty() {
            gathered.first = first;
            new.extend(gathered.records.keys().cloned());
            let others = self.unnamed(gathered, since, catalogue).await?;
            gathered.unnamed.extend(others);
        }
        while !new.is_empty() {
            let touched: Vec<Touched> = new.into_iter().map(Touched::Record).collect();
            let found = self.store.touching(&touched, since).await?;
            let others = self.others(gathered, found).await?;
            let others = self.open_calls(others.iter().collect(), catalogue).await?;
            new = BTreeSet::new();
            for seen in others {
                new.extend(gathered.take(seen));
            }
            loop {
                let unnamed = std::mem::take(&mut gathered.unnamed);
                let (more, rest): (Vec<Seen>, Vec<Seen>) =
                    unnamed.into_iter().partition(|seen| gathered.touches(seen));
                gathered.unnamed = rest;
                if more.is_empty() {
                    break;
                }
                for seen in more {
                    new.extend(gathered.take(seen));
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
    ) -> Result<Vec<Seen>, EngineError> {
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
    ) -> Result<Vec<Seen>, EngineError> {
        // While one lot is worked on, the next ones are read.
        let mut lots: Vec<Opening<'_>> = Vec::with_capacity(rows.len().div_ceil(LOT));
        for rows in rows.chunks(LOT) {
            lots.push(Box::pin(self.open_lot(rows, catalogue)));
        }
        let lots = futures_util::stream::iter(lots).buffered(LOTS_AHEAD);
        let seen: Vec<Vec<Seen>> = lots.try_collect().await?;
        Ok(seen.into_iter().flatten().collect())
    }

    async fn open_lot(
        &self,
        rows: &[&DecisionRow],
        catalogue: &Catalogue,
    ) -> Result<Vec<Seen>, EngineError> {
        let ids: Vec<DecisionId> = rows.iter().map(|row| row.id).collect();
        let leaves = self.store.leaves_of(&ids).await?;
        let calls = rows.iter().copied().zip(leaves).collect();
        let calls = at_once::spread(calls, |(row, leaves)| begun(row, decoded(leaves)?));
        let calls = calls.into_iter().filter_map(Result::transpose);
        let calls: Vec<Begun<'_>> = calls.collect::<Result<_, EngineError>>()?;
        let events: Vec<&Event> = calls.iter().flat_map(|call| &call.events).collect();
        let mut contents = self.open_each(&events).await?.into_iter();
        drop(events);
        let calls = calls.into_iter().map(|call| {
            let contents = contents.by_ref().take(call.events.len()).flatten();
            let contents: Vec<Content> = contents.collect();
            (call, contents)
        });
        let calls: Vec<(Begun<'_>, Vec<Content>)> = calls.collect();
        Ok(at_once::spread(calls, |(call, contents)| {
            looked_at(call, &texts(contents), catalogue)
        }))
    }
}

/// A call that began, folded.
struct Begun<'r> {
    row: &'r DecisionRow,
    /// Where in the record it began.
    at: u64,
    decision: Decision,
    events: Vec<Event>,
}

/// What a call's events sealed, as far as it is text that can be read.
type Texts = BTreeMap<Field, String>;

/// Folds a call; none if it never began or did nothing. A call that waited for a person happened
/// when it began, and not when it was proposed.
fn begun(row: &DecisionRow, events: Vec<(u64, Event)>) -> Result<Option<Begun<'_>>, EngineError> {
    let decision = fold(row.id, events.iter().map(|(_, event)| event))?;
    let begins = |event: &Event| {
        matches!(
            event.body,
            Body::Begun { .. } | Body::Started { .. } | Body::Reconstructed { .. }
        )
    };
    let at = events.iter().find(|(_, event)| begins(event));
    let Some(&(at, _)) = at.filter(|_| decision.outcome != Outcome::Replayed) else {
        return Ok(None);
    };
    let events = events.into_iter().map(|(_, event)| event).collect();
    Ok(Some(Begun {
        row,
        at,
        decision,
        events,
    }))
}

fn texts(contents: Vec<Content>) -> Texts {
    let mut texts = Texts::new();
    for content in contents {
        let Content::Kept(fields) = content else {
            continue;
        };
        for field in fields {
            if let Ok(text) = String::from_utf8(field.bytes) {
                texts.insert(field.role, text);
            }
        }
    }
    texts
}

/// Looks at what a call touched.
fn looked_at(call: Begun<'_>, texts: &Texts, catalogue: &Catalogue) -> Seen {
    let Begun {
        row, at, decision, ..
    } = call;
    let tool = decision.proposal.name.unwrap_or_default();
    let environment: Environment = texts
        .get(&Field::Environment)
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let server = decision.proposal.server;
    let server = server.or_else(|| environment.0.get("mcp.server").cloned());
    // Where the source does not say which server has a tool, the catalogue may know only one.
    let server = server.or_else(|| said_by(catalogue, &tool));
    let server = server.unwrap_or_default();
    let arguments = texts.get(&Field::Asked).map(|text| json_or_text(text));
    let arguments = arguments.unwrap_or_default();
    let result = texts.get(&Field::Result).map(|text| said(text));
    let image = |field| {
        let text = texts.get(&field);
        let images = text.and_then(|text| serde_json::from_str::<Images>(text).ok());
        images.unwrap_or_default()
    };
    let class = decision
        .effects
        .first()
        .map_or(EffectClass::Unreviewed, |effect| effect.class);
    let call = Call {
        decision: row.id,
        server,
        tool,
        arguments,
        result,
        outcome: decision.outcome,
        class,
        claim: Claim::of(&environment),
        before: image(Field::Before),
        after: image(Field::After),
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
