//! What the record says of the calls that were made for a step.
//!
//! A process that ended between the intent of a step and its outcome may have called the tool, or
//! not. Where calls are written down before they go out, the record can tell most of it: a call
//! that does not stand there was not made, and neither was one that only the next process brought
//! into the log; one with an outcome came to that. Only a call that was in the log and did not end
//! leaves the doubt. Nothing is concluded from what the world looks like.

use ledger::Direction;
use model::{DecisionId, Environment, Event, FailureClass, Field, Kind, Outcome, RunId, Status};
use recover::plan::Act;

use crate::{Engine, EngineError};

use super::hands::HTTP;
use super::rollback;

/// What became of the calls of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// None of them reached the tool.
    NotMade,
    /// One was carried out.
    Done,
    /// The tool refused, and carried out none.
    Refused(DecisionId),
    /// One may have been carried out.
    Unknown,
}

/// Reads what became of the calls that were made in a run for decisions of one step. Only for steps that
/// change the world by one call, and whose calls are written down before they go out.
pub(super) async fn came_of(
    engine: &Engine,
    run: RunId,
    step: &[DecisionId],
    act: &Act,
) -> Result<Came, EngineError> {
    let Some((server, tool)) = call_of(act) else {
        return Ok(Came::Unknown);
    };
    let store = engine.store();
    let edges = store.edges(step, Direction::Effects).await?;
    let mut ids: Vec<DecisionId> = edges.into_iter().map(|edge| edge.effect).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut came = Came::NotMade;
    for row in store.rows(&ids).await? {
        let keys = &row.keys;
        if keys.run != run || keys.kind != Kind::ToolCall || keys.name.as_deref() != Some(tool) {
            continue;
        }
        let (decision, events) = rollback::decision(engine, row.id).await?;
        match server_of(engine, &events).await? {
            Some(of) if of != server => continue,
            Some(_) => {}
            None => {
                came = Came::Unknown;
                continue;
            }
        }
        let unreached = Outcome::Failed {
            class: FailureClass::Unavailable,
        };
        match decision.position {
            Status::Succeeded => return Ok(Came::Done),
            Status::Failed if decision.outcome == unreached => {}
            Status::Cancelled => {}
            Status::Started | Status::Unknown if engine.is_late(row.id) => {}
            Status::Failed if came != Came::Unknown => came = Came::Refused(row.id),
            Status::Failed => {}
            _ => came = Came::Unknown,
        }
    }
    Ok(came)
}

/// The call by which a step changes the world, where it is one that nothing else can tell of.
fn call_of(act: &Act) -> Option<(&str, &str)> {
    match act {
        Act::Inverse { call, .. } | Act::Again { call, .. } => Some((&call.server, &call.tool)),
        Act::Http(call) => Some((HTTP, &call.method)),
        _ => None,
    }
}

async fn server_of(engine: &Engine, events: &[Event]) -> Result<Option<String>, EngineError> {
    let Some(first) = events.first() else {
        return Ok(None);
    };
    let text = engine.opened_field(first, Field::Environment).await?;
    let environment = text.and_then(|text| serde_json::from_str::<Environment>(&text).ok());
    Ok(environment.and_then(|environment| environment.0.get("mcp.server").cloned()))
}
