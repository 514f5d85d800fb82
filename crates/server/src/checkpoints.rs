//! States that agents save, and go back to.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use engine::view::{CheckpointView, CheckpointsView, RestoredView};
use engine::{EngineError, NewCheckpoint};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::ask::{Address, Options, Part, Place, Said};
use crate::problem::Problem;
use crate::{App, Paged};

/// A state that an agent saves.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Saved {
    /// The agent whose state it is.
    agent: String,
    /// The state, at most 1 MiB of JSON.
    state: Map<String, Value>,
    /// What of it survives a restore of an earlier state, as JSON Pointers: what was learnt, what
    /// somebody prefers. Default: nothing.
    #[serde(default)]
    keep: Vec<String>,
    /// What belongs to it elsewhere, by name: a branch, a document, a thread. Default: nothing.
    #[serde(default)]
    external: BTreeMap<String, String>,
    /// Further decisions that it depends on. What the agent decided since it saved its state last
    /// is known. Default: none.
    #[serde(default)]
    causes: Vec<String>,
}

/// Who goes back.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Restored {
    /// The agent.
    agent: String,
    /// Whether calls that it made since are made anew when it makes them again, and not answered
    /// with what they got. Default: false.
    #[serde(default)]
    fork: bool,
}

pub(crate) async fn save(
    State(app): State<App>,
    Address(run): Address<String>,
    Said(saved): Said<Saved>,
) -> Result<Json<CheckpointView>, Problem> {
    let run = app.engine.resolve_run(&run).await?;
    let mut causes = Vec::with_capacity(saved.causes.len());
    for cause in &saved.causes {
        causes.push(app.engine.resolve_decision(cause).await?);
    }
    let new = NewCheckpoint {
        agent: saved.agent,
        state: Value::Object(saved.state),
        keep: saved.keep,
        external: saved.external,
        causes,
    };
    Ok(Json(app.engine.checkpoint(run, &new).await?))
}

pub(crate) async fn list(
    State(app): State<App>,
    Address(run): Address<String>,
    Options(part): Options<Part>,
) -> Result<Json<Paged<CheckpointsView>>, Problem> {
    let run = app.engine.resolve_run(&run).await?;
    let mut page = app.engine.saved_in(run).await?;
    let place = |saved: &CheckpointView| Place(String::new(), saved.id.clone());
    let next = part.cut(&mut page.checkpoints, place, |one, other| other.cmp(one))?;
    Ok(Json(Paged { page, next }))
}

pub(crate) async fn one(
    State(app): State<App>,
    Address((run, id)): Address<(String, String)>,
) -> Result<Json<CheckpointView>, Problem> {
    let run = app.engine.resolve_run(&run).await?;
    let id = app.engine.resolve_decision(&id).await?;
    let saved = app.engine.saved(id).await?;
    if saved.run != run.to_string() {
        let text = id.to_string();
        return Err(EngineError::NotFound { text }.into());
    }
    Ok(Json(saved))
}

pub(crate) async fn restore(
    State(app): State<App>,
    Address(run): Address<String>,
    Said(restored): Said<Restored>,
) -> Result<Json<RestoredView>, Problem> {
    let run = app.engine.resolve_run(&run).await?;
    let Restored { agent, fork } = restored;
    Ok(Json(match &app.recorder {
        Some(recorder) => recorder.restore(run, &agent, fork).await?,
        None => app.engine.restore(run, &agent, fork).await?,
    }))
}
