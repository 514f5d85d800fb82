//! What operators and their machines ask: is it up, does it take records, how far is it, is
//! everything as it was written.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use engine::EngineError;
use engine::view::{ReadyView, VerifiedView};
use metrics::{describe_counter, describe_gauge, gauge};
use schemars::JsonSchema;
use serde::Serialize;

use crate::App;
use crate::ask::{Options, Thoroughness};
use crate::problem::Problem;

/// How long a store may think about whether it is ready.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// How far the record is, and what serves it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StatusView {
    /// Version of the program.
    pub version: String,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// The realm that is served.
    pub realm: String,
    /// Events that are durable.
    pub durable: u64,
    /// Events that can be asked for.
    pub indexed: u64,
    /// Events under the last signed checkpoint.
    pub published: u64,
    /// How many durable events cannot be asked for yet.
    pub index_lag: u64,
    /// How many durable events are not under a signed checkpoint yet.
    pub publish_lag: u64,
    /// What the store wants known.
    pub notices: Vec<String>,
}

/// That the process is up.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct HealthView {
    /// Version of the program.
    pub version: String,
}

/// Says what the numbers at `/metrics` are.
pub(crate) fn describe() {
    describe_counter!(
        "rescind_http_requests_total",
        "Requests to the API, by route."
    );
    describe_counter!(
        "rescind_events_told_total",
        "Events taken from the record for clients that follow it."
    );
    describe_gauge!("rescind_followers", "Clients that follow the record.");
    describe_gauge!("rescind_record_events", "Events that are durable.");
    describe_gauge!(
        "rescind_index_lag_events",
        "Durable events that are not indexed yet."
    );
    describe_gauge!(
        "rescind_publish_lag_events",
        "Durable events that are not under a signed checkpoint yet."
    );
}

pub(crate) async fn status(State(app): State<App>) -> Result<Json<StatusView>, Problem> {
    let status = app
        .engine
        .store()
        .status()
        .await
        .map_err(EngineError::Store)?;
    let uptime_us = app.engine.clock().wall().saturating_sub(app.started);
    Ok(Json(StatusView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: uptime_us / 1_000_000,
        realm: app.realm.to_string(),
        durable: status.durable,
        indexed: status.indexed,
        published: status.published,
        index_lag: status.durable.saturating_sub(status.indexed),
        publish_lag: status.durable.saturating_sub(status.published),
        notices: status.notices,
    }))
}

pub(crate) async fn health() -> Json<HealthView> {
    Json(HealthView {
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

pub(crate) async fn readiness(State(app): State<App>) -> Response {
    let asked = tokio::time::timeout(READY_WITHIN, app.engine.ready()).await;
    let mut view = asked.unwrap_or_else(|_| ReadyView {
        ready: false,
        reasons: vec![format!("the store did not answer within {READY_WITHIN:?}")],
    });
    if *app.stopping.borrow() {
        view.ready = false;
        view.reasons.push("the process is stopping".to_owned());
    }
    let status = if view.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(view)).into_response()
}

pub(crate) async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    let Some(handle) = &app.metrics else {
        return Err(Problem::absent("this process keeps no metrics"));
    };
    // A store that fails still has numbers to show; `/readyz` says what is wrong.
    if let Ok(status) = app.engine.store().status().await {
        gauge!("rescind_record_events").set(as_number(status.durable));
        let index_lag = status.durable.saturating_sub(status.indexed);
        gauge!("rescind_index_lag_events").set(as_number(index_lag));
        let publish_lag = status.durable.saturating_sub(status.published);
        gauge!("rescind_publish_lag_events").set(as_number(publish_lag));
    }
    handle.run_upkeep();
    let text = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((text, handle.render()).into_response())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floating point, and no record has 2^53 events"
)]
fn as_number(count: u64) -> f64 {
    count as f64
}

pub(crate) async fn verify(
    State(app): State<App>,
    Options(asked): Options<Thoroughness>,
) -> Result<Json<VerifiedView>, Problem> {
    let Some(verify) = app.verify.clone() else {
        return Err(Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "no-verifier",
            "this server cannot check the files of its record",
        )
        .with_hint("`rescind verify` checks a data directory or a published log"));
    };
    // One at a time: it uses all cores and the whole disk. The permit goes along with the work,
    // which goes on when the client leaves.
    let Ok(permit) = Arc::clone(&app.verifying).try_acquire_owned() else {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "the record is being verified for somebody else",
        )
        .with_hint("try again when that is done"));
    };
    let work = tokio::task::spawn_blocking(move || {
        let found = verify(asked.full).map_err(|error| Problem::from(EngineError::Store(error)));
        drop(permit);
        found
    });
    let found = work.await.map_err(|_| {
        let (status, error) = (StatusCode::INTERNAL_SERVER_ERROR, "verifying broke off");
        Problem::new(status, "broken", error)
    })?;
    found.map(Json)
}
