//! What is rescinded, as the record tells it: marks by which histories are repaired.
//!
//! A mark is made of what the decision left in the record, so of one whose contents were erased,
//! redacted or not kept there is less to recognise, or nothing.

use std::collections::BTreeSet;

use context::{Called, Mark, Trace};
use ledger::Direction;
use model::{Body, CauseKind, Decision, DecisionId, Kind, RunId};
use serde_json::Value;
use wire::jsonrpc::Json;
use wire::mcp::CallResult;

use crate::live::OwnedCall;
use crate::live::recall::{Recalled, answer_of, items_of};
use crate::look::fold;
use crate::{Engine, EngineError};

/// Runs in which one decision is looked for as in its own.
const RUNS_MAX: usize = 64;

/// A rescinded decision, and where it is looked for.
#[derive(Clone, Debug)]
pub(crate) struct Rescinded {
    pub(crate) mark: Mark,
    /// Its own run, and those that took something of it up.
    pub(crate) runs: BTreeSet<RunId>,
}

impl Engine {
    /// Returns the decisions that were ever rescinded, newest first, at most so many.
    pub(crate) async fn rescinded_ids(&self, most: usize) -> Result<Vec<DecisionId>, EngineError> {
        let places = self.store.events_named(&["invalidated"]).await?;
        let mut ids = Vec::new();
        for place in places.into_iter().rev().take(most) {
            ids.extend(self.event(place).await?.body.decision());
        }
        Ok(ids)
    }

    /// Returns the mark of a rescinded decision; none if it left nothing that could be
    /// recognised.
    pub(crate) async fn rescinded(&self, id: DecisionId) -> Result<Option<Rescinded>, EngineError> {
        let events = self.events_of(id).await?;
        let decision = fold(id, events.iter().map(|(_, event)| event))?;
        let reason = events
            .iter()
            .rev()
            .find_map(|(_, event)| match &event.body {
                Body::Invalidated { reason, .. } => Some(reason.clone()),
                _ => None,
            });
        let recalled = self.recalled(&events).await?;
        let Some(trace) = self.trace_of(&decision, recalled).await? else {
            return Ok(None);
        };
        let mark = Mark {
            decision: id,
            agent: decision.proposal.agent.name.clone(),
            reason: reason.unwrap_or_default(),
            trace,
        };
        let mut runs = BTreeSet::from([decision.proposal.run]);
        let edges = self.store.edges(&[id], Direction::Effects).await?;
        let dependants: Vec<DecisionId> = edges.into_iter().map(|edge| edge.effect).collect();
        for row in self.store.rows(&dependants).await? {
            if runs.len() < RUNS_MAX {
                runs.insert(row.keys.run);
            }
        }
        Ok(Some(Rescinded {
            mark: mark.lean(),
            runs,
        }))
    }

    async fn trace_of(
        &self,
        decision: &Decision,
        recalled: Recalled,
    ) -> Result<Option<Trace>, EngineError> {
        let asked = recalled.asked.as_deref().unwrap_or_default();
        Ok(match decision.proposal.kind {
            Kind::Inference => {
                let (told, text, calls) = answer(&recalled);
                let said = !text.is_empty() || !calls.is_empty();
                let calls = calls.into_iter().map(called).collect();
                said.then_some(Trace::Output { text, calls, told })
            }
            Kind::ToolCall => {
                let name = decision.proposal.name.clone().unwrap_or_default();
                let call = match self.call_of(decision, &name, asked).await? {
                    Some(call) => call,
                    None => Called {
                        id: None,
                        name,
                        arguments: asked.to_owned(),
                    },
                };
                let text = recalled.result.as_deref().map(result_text);
                let text = text.unwrap_or_default();
                (call.id.is_some() || !text.is_empty()).then_some(Trace::Result { call, text })
            }
            Kind::Message => {
                let mut texts = Vec::new();
                for part in [&recalled.asked, &recalled.chosen, &recalled.result] {
                    words(part.as_deref().unwrap_or_default(), &mut texts);
                }
                (!texts.is_empty()).then_some(Trace::Words { texts })
            }
            _ => None,
        })
    }

    /// The call as the model wrote it that asked for a tool call.
    async fn call_of(
        &self,
        decision: &Decision,
        name: &str,
        arguments: &str,
    ) -> Result<Option<Called>, EngineError> {
        let asker = decision
            .causes
            .iter()
            .find(|cause| cause.kind == CauseKind::Call);
        let Some(asker) = asker else { return Ok(None) };
        let events = self.events_of(asker.decision).await?;
        let recalled = self.recalled(&events).await?;
        let (_, _, calls) = answer(&recalled);
        let form = |text: &str| serde_json::from_str::<Value>(text).ok();
        let wanted = form(arguments);
        let found = calls
            .into_iter()
            // The server's name may stand before the tool's.
            .find(|call| call.name.ends_with(name) && form(&call.arguments) == wanted);
        Ok(found.map(called))
    }
}

/// What a model was told, what it said, and the calls that it asked for.
fn answer(recalled: &Recalled) -> (Vec<String>, String, Vec<OwnedCall>) {
    let asked = recalled.asked.as_deref().unwrap_or_default();
    let Some(api) = recalled.api else {
        // Of an imported run what was asked may be anything; it is text that the model had.
        let told = Vec::from_iter((!asked.is_empty()).then(|| asked.to_owned()));
        let chosen = recalled.chosen.as_deref().unwrap_or_default();
        return (told, recalled.chosen_text(), calls_in(chosen));
    };
    let items = items_of(api, asked).into_iter();
    let told = items.map(|item| item.text).filter(|text| !text.is_empty());
    let told = told.collect();
    let (text, calls, _) = answer_of(api, recalled);
    (told, text, calls)
}

pub(crate) fn called(call: OwnedCall) -> Called {
    Called {
        id: call.id,
        name: call.name,
        arguments: call.arguments,
    }
}

/// The calls in a list of them, however a source writes it.
fn calls_in(chosen: &str) -> Vec<OwnedCall> {
    let Ok(Value::Array(list)) = serde_json::from_str::<Value>(chosen) else {
        return Vec::new();
    };
    let call = |call: &Value| {
        let inner = call.get("function").unwrap_or(call);
        let arguments = inner.get("arguments").or_else(|| inner.get("input"))?;
        Some(OwnedCall {
            id: call.get("id").and_then(Value::as_str).map(str::to_owned),
            name: inner.get("name")?.as_str()?.to_owned(),
            arguments: match arguments {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            },
        })
    };
    list.iter().filter_map(call).collect()
}

/// What a tool said, as an agent hands it to its model.
fn result_text(result: &str) -> String {
    let Ok(json) = Json::parse(result) else {
        return result.to_owned();
    };
    match CallResult::read(json).words() {
        "" => result.to_owned(),
        words => words.to_owned(),
    }
}

/// The words in a message: every text in it, or itself.
fn words(message: &str, into: &mut Vec<String>) {
    fn look(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    match value {
                        Value::String(text) if key == "text" => into.push(text.clone()),
                        other => look(other, into),
                    }
                }
            }
            Value::Array(list) => list.iter().for_each(|value| look(value, into)),
            _ => {}
        }
    }
    match serde_json::from_str(message) {
        Ok(value) => look(&value, into),
        Err(_) if message.trim().is_empty() => {}
        Err(_) => into.push(message.to_owned()),
    }
}
