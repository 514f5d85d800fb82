//! Which tools there are, of what class a call of each is, and how it is taken back.
//!
//! Three sources are put together: the record, which knows every tool that was called; the catalogue;
//! and what servers list, as far as they were asked. Of the record only the last call of each tool is
//! opened, so that the cost follows how many tools there are, and not how many calls.

use std::collections::BTreeMap;

use ledger::{Page, ToolRow};
use model::{
    ClassSource, Effect, EffectClass, Environment, Event, Field, HybridTime, Kind, ToolKeys,
};
use recover::catalogue::{KeyPlace, UndoWay};
use recover::{Catalogue, Claim, Seen};
use serde_json::{Map, Value};
use wire::jsonrpc::Json;
use wire::mcp::{Compensation, Tool};

use crate::text::recorded;
use crate::undo::{Listing, said_by};
use crate::view::{MisfitView, ToolView, ToolsView, WayView};
use crate::{Engine, EngineError};

/// The most tools that are listed.
const TOOLS_MAX: u64 = 10_000;

/// Runs that are looked at together for calls.
const RUNS: u64 = 256;

/// Rows that are read together.
const ROWS: u64 = 4_096;

/// The longest text that is compared between calls, in bytes.
const TEXT_MAX: usize = 256;

/// What is known of one tool.
#[derive(Debug, Default)]
struct Known {
    calls: u64,
    /// Index of the entry that begins the last call, and when that was.
    last: Option<(u64, HybridTime)>,
    /// What the server said of it: now, else at the last call.
    said: Option<(EffectClass, ClassSource)>,
    claim: Option<Claim>,
    /// Whether its server lists it; none where the server was not asked.
    listed: Option<bool>,
}

/// Tools by server, the empty name where nobody said which, and by name.
type Tools = BTreeMap<(String, String), Known>;

impl Engine {
    /// Returns every tool that was called, that the catalogue names, or that a server lists.
    ///
    /// # Errors
    /// [`EngineError::Store`], [`EngineError::Content`].
    pub async fn tools(
        &self,
        catalogue: &Catalogue,
        listings: &BTreeMap<String, Listing>,
    ) -> Result<ToolsView, EngineError> {
        let size = self.store.status().await?.durable;
        self.store.wait_indexed(size).await?;
        let page = Page::first(TOOLS_MAX + 1);
        let mut rows = self.store.tools(page).await?;
        let more = rows.len() as u64 > TOOLS_MAX;
        rows.truncate(usize::try_from(TOOLS_MAX).unwrap_or(usize::MAX));
        let mut tools = Tools::new();
        for row in rows {
            self.called(row, catalogue, &mut tools).await?;
        }
        let named = catalogue.tools();
        for (server, tool) in named {
            tools
                .entry((server.to_owned(), tool.to_owned()))
                .or_default();
        }
        for (server, listing) in listings {
            for known in tools.iter_mut().filter(|((of, _), _)| of == server) {
                known.1.listed = Some(false);
            }
            for raw in &listing.tools {
                listed(server, raw, &mut tools);
            }
        }
        let mut views = Vec::with_capacity(tools.len());
        for ((server, tool), known) in &tools {
            views.push(tool_view(server, tool, known, catalogue));
        }
        let misfits = listings.iter().flat_map(|(server, listing)| {
            listing.problems.iter().map(|problem| MisfitView {
                server: server.clone(),
                line: problem.line as u64,
                column: problem.column as u64,
                at: problem.at.clone(),
                what: problem.what.clone(),
                hint: problem.hint.clone(),
            })
        });
        Ok(ToolsView {
            misfits: misfits.collect(),
            tools: views,
            more,
        })
    }

    /// Adds a tool that was called, with what its last call says of it.
    async fn called(
        &self,
        row: ToolRow,
        catalogue: &Catalogue,
        tools: &mut Tools,
    ) -> Result<(), EngineError> {
        let event = self.event(row.last).await?;
        let environment = self.environment_in(&event).await?;
        let ToolKeys { server, name } = row.keys;
        let server = server.or_else(|| environment.0.get("mcp.server").cloned());
        let server = server.or_else(|| said_by(catalogue, &name));
        let effect = event.body.proposal().and_then(|p| p.effects.first());
        let known = tools.entry((server.unwrap_or_default(), name)).or_default();
        known.calls += row.calls;
        if known.last.map(|(index, _)| index) < Some(row.last) {
            known.last = Some((row.last, event.at));
            known.said = effect.and_then(of_server);
            known.claim = Claim::of(&environment);
        }
        Ok(())
    }

    async fn environment_in(&self, event: &Event) -> Result<Environment, EngineError> {
        let text = self.opened_field(event, Field::Environment).await?;
        let read = text.and_then(|text| serde_json::from_str(&text).ok());
        Ok(read.unwrap_or_default())
    }

    /// Returns calls of tools, of the newest runs and in the order in which they were made, at most
    /// `limit` of them. Of what they had and gave only short values are kept, which is what
    /// [`recover::suggest`] compares.
    ///
    /// # Errors
    /// [`EngineError::Store`], [`EngineError::Content`].
    pub async fn seen_calls(
        &self,
        catalogue: &Catalogue,
        limit: usize,
    ) -> Result<Vec<Seen>, EngineError> {
        let size = self.store.status().await?.durable;
        self.store.wait_indexed(size).await?;
        let mut found = Vec::new();
        let mut page = Page::first(RUNS);
        'runs: loop {
            let runs = self.store.runs(page).await?;
            for run in &runs {
                let mut rows = Page::first(ROWS);
                loop {
                    let part = self.store.decisions(Some(run.keys.run), rows).await?;
                    let calls = part.iter().filter(|row| row.keys.kind == Kind::ToolCall);
                    found.extend(calls.map(|row| (row.first, row.id)));
                    if found.len() >= limit {
                        break 'runs;
                    }
                    if (part.len() as u64) < ROWS {
                        break;
                    }
                    rows.skip += ROWS;
                }
            }
            if (runs.len() as u64) < RUNS {
                break;
            }
            page.skip += RUNS;
        }
        found.truncate(limit);
        found.sort_unstable();
        let mut calls = Vec::with_capacity(found.len());
        for (_, id) in found {
            let events = self.events_of(id).await?;
            let mut call = Seen {
                server: String::new(),
                tool: String::new(),
                arguments: Value::Null,
                result: None,
            };
            for (_, event) in &events {
                if let Some(proposal) = event.body.proposal() {
                    call.tool = proposal.name.clone().unwrap_or_default();
                    let server = proposal.server.clone();
                    let server = server.or_else(|| said_by(catalogue, &call.tool));
                    call.server = server.unwrap_or_default();
                }
                if let Some(asked) = self.opened_field(event, Field::Asked).await? {
                    call.arguments = short(&serde_json::from_str(&asked).unwrap_or_default());
                }
                if let Some(result) = self.opened_field(event, Field::Result).await? {
                    call.result = Some(short(&crate::undo::said(&result)));
                }
            }
            calls.push(call);
        }
        Ok(calls)
    }
}

fn tool_view(server: &str, tool: &str, known: &Known, catalogue: &Catalogue) -> ToolView {
    let (class, by) = catalogue.class(server, tool, known.said);
    let key = catalogue.key(server, tool).map(|key| match key {
        KeyPlace::Argument(at) => at.clone(),
        KeyPlace::Meta(name) => format!("_meta.{name}"),
    });
    ToolView {
        server: (!server.is_empty()).then(|| server.to_owned()),
        name: tool.to_owned(),
        class: class.name().to_owned(),
        class_by: by.name().to_owned(),
        undo: ways(server, tool, class, known, catalogue),
        probe: catalogue.prober(server, tool).map(str::to_owned),
        key,
        tell: catalogue.tell(server, tool).to_vec(),
        calls: known.calls,
        last: known.last.map(|(_, at)| recorded(at)),
        listed: known.listed,
    }
}

/// Returns what a server claims by naming a tool that compensates.
#[must_use]
pub fn claim_of(compensation: &Compensation<'_>) -> Claim {
    let bindings = compensation.bindings();
    Claim {
        tool: compensation.tool.clone().into_owned(),
        parameters: bindings.map(|bindings| bindings.into_iter().collect()),
    }
}

/// What a server said of a tool when it was called.
fn of_server(effect: &Effect) -> Option<(EffectClass, ClassSource)> {
    let by = effect.by?;
    let of = matches!(by, ClassSource::Metadata | ClassSource::Annotations);
    of.then_some((effect.class, by))
}

/// Adds a tool as its server lists it.
fn listed(server: &str, raw: &str, tools: &mut Tools) {
    let Some(tool) = Json::parse(raw).ok().and_then(Tool::read) else {
        return;
    };
    let name = tool.name.clone().into_owned();
    let known = tools.entry((server.to_owned(), name)).or_default();
    known.listed = Some(true);
    known.said = tool.said();
    known.claim = tool.compensation.as_ref().map(claim_of);
}

/// The ways back, the one that is tried first first.
fn ways(
    server: &str,
    tool: &str,
    class: EffectClass,
    known: &Known,
    catalogue: &Catalogue,
) -> Vec<WayView> {
    if matches!(class, EffectClass::Read | EffectClass::Irreversible) {
        return Vec::new();
    }
    let way = |way: &str, tool: Option<String>, by: ClassSource| WayView {
        way: way.to_owned(),
        tool,
        by: by.name().to_owned(),
    };
    let own = catalogue.ways(server, tool);
    let mut ways: Vec<WayView> = own
        .iter()
        .map(|own| match own {
            UndoWay::Restore => way("restore", None, ClassSource::Catalogue),
            UndoWay::Tool(tool) => way("tool", Some(tool.clone()), ClassSource::Catalogue),
            UndoWay::Http(method) => way("http", Some(method.clone()), ClassSource::Catalogue),
        })
        .collect();
    let called = |way: &UndoWay| !matches!(way, UndoWay::Restore);
    let claim = known.claim.as_ref();
    let claim = claim.filter(|claim| claim.parameters.is_some());
    if let Some(claim) = claim
        && !own.iter().any(called)
        && !catalogue.rules_out(server, tool)
    {
        ways.push(way("tool", Some(claim.tool.clone()), ClassSource::Metadata));
    }
    ways
}

/// A value's members that are short, at the top.
fn short(value: &Value) -> Value {
    let is_short = |value: &Value| match value {
        Value::String(text) => text.len() <= TEXT_MAX,
        Value::Number(_) | Value::Bool(_) | Value::Null => true,
        Value::Array(_) | Value::Object(_) => false,
    };
    match value {
        Value::Object(members) => members
            .iter()
            // The name says that there is one, also where what it holds is too long.
            .map(|(name, value)| match is_short(value) {
                true => (name.clone(), value.clone()),
                false => (name.clone(), Value::Null),
            })
            .collect::<Map<_, _>>()
            .into(),
        other if is_short(other) => other.clone(),
        _ => Value::Null,
    }
}
