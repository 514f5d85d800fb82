//! Calls that wait for a person: which they are, and what becomes of them.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use engine::Ruling;
use engine::access::bearer;
use engine::view::{ApprovalsView, HeldView, RuledView};
use model::Digest;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::ask::{Address, Options, Part, Place, Said};
use crate::problem::Problem;
use crate::{App, Paged};

/// Who decides where nobody says so.
const OPERATOR: &str = "operator";

/// The verdict of a person.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verdict {
    /// Digest of the call that they saw, as the list gives it. If another call waits, the answer
    /// is 409 `not-shown`.
    call: String,
    /// Who decides, where no token says it. Default: operator.
    by: Option<String>,
    /// Why. Kept sealed, and told to who waits.
    reason: Option<String>,
}

pub(crate) async fn list(
    State(app): State<App>,
    Options(part): Options<Part>,
) -> Result<Json<Paged<ApprovalsView>>, Problem> {
    let mut page = app.engine.approvals().await?;
    // Ids are made in the order of time, to the millisecond.
    let place = |held: &HeldView| Place(String::new(), held.decision.clone());
    let next = part.cut(&mut page.approvals, place, Place::cmp)?;
    Ok(Json(Paged { page, next }))
}

pub(crate) async fn approve(
    State(app): State<App>,
    Address(id): Address<String>,
    headers: HeaderMap,
    Said(verdict): Said<Verdict>,
) -> Result<Json<RuledView>, Problem> {
    rule(&app, &id, &headers, verdict, true).await
}

pub(crate) async fn reject(
    State(app): State<App>,
    Address(id): Address<String>,
    headers: HeaderMap,
    Said(verdict): Said<Verdict>,
) -> Result<Json<RuledView>, Problem> {
    rule(&app, &id, &headers, verdict, false).await
}

/// Who asks, by the token; none where no token says it.
fn token_of(app: &App, headers: &HeaderMap) -> Option<String> {
    let token = headers.get(AUTHORIZATION);
    let token = token.and_then(|value| value.to_str().ok()).and_then(bearer);
    app.access.name_of(token).map(str::to_owned)
}

/// Who decides: whose token it is, or who they say where there is none.
pub(crate) fn decides(app: &App, headers: &HeaderMap, by: Option<String>) -> String {
    let by = token_of(app, headers).or(by);
    by.unwrap_or_else(|| OPERATOR.to_owned())
}

async fn rule(
    app: &App,
    id: &str,
    headers: &HeaderMap,
    verdict: Verdict,
    approve: bool,
) -> Result<Json<RuledView>, Problem> {
    let shown: Digest = verdict.call.parse().map_err(|_| {
        Problem::bad("bad-body", "`call` is no digest")
            .with_hint("send the `call` of what `/api/v1/approvals` lists")
    })?;
    let ruling = Ruling {
        approve,
        known: token_of(app, headers).is_some(),
        by: decides(app, headers, verdict.by),
        reason: verdict.reason.filter(|reason| !reason.trim().is_empty()),
        shown,
    };
    let id = app.engine.resolve_decision(id).await?;
    let ruled = match &app.recorder {
        Some(recorder) => recorder.rule(id, ruling).await?,
        None => app.engine.rule_on_files(id, ruling).await?,
    };
    Ok(Json(ruled))
}
