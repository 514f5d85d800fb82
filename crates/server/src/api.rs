//! Questions about the record, as the commands ask them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use engine::Page;
use engine::look::Named;
use engine::prove::fields_named;
use engine::view::{
    BlastView, ContextView, DecisionView, GraphView, RunView, RunsView, StepsView, WhyView,
};
use model::RunId;
use schemars::JsonSchema;
use serde::Serialize;

use crate::App;
use crate::ask::{Address, Disclosure, Extent, Options, Paging};
use crate::problem::Problem;

/// How many runs are looked at together when the place of a cursor is looked for.
const RUNS_TOGETHER: u64 = 256;

/// How many runs may have come since a cursor was given out.
const RUNS_SINCE_MAX: u64 = 16_384;

/// A part of a list.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "PageOf{T}")]
pub struct Paged<T> {
    /// The part.
    #[serde(flatten)]
    pub(crate) page: T,
    /// The `cursor` to go on with, where there is more.
    pub(crate) next: Option<String>,
}

type Answer<T> = Result<Json<T>, Problem>;

pub(crate) async fn runs(
    State(app): State<App>,
    Options(paging): Options<Paging>,
) -> Answer<Paged<RunsView>> {
    let limit = paging.limit()?;
    let mut skip = paging.skip()?;
    if let Some(cursor) = &paging.cursor {
        skip = after(&app, cursor).await?;
    }
    let page = app.engine.runs(Page { skip, limit }).await?;
    let last = page.runs.last().filter(|_| page.more);
    let next = last.map(|last| format!("{}.{}", skip + page.runs.len() as u64, last.id));
    Ok(Json(Paged { page, next }))
}

/// Returns how many runs lie before the page that a cursor begins.
///
/// New runs come in before the old ones, so a number alone would show runs again. A cursor names
/// the last run that was shown too, which can only have moved away from the beginning.
async fn after(app: &App, cursor: &str) -> Result<u64, Problem> {
    let bad = Problem::cursor;
    let (shown, last) = cursor.split_once('.').ok_or_else(bad)?;
    let shown: u64 = shown.parse().map_err(|_| bad())?;
    let last: RunId = last.parse().map_err(|_| bad())?;
    let first = shown.checked_sub(1).ok_or_else(bad)?;
    let mut skip = first;
    while skip - first < RUNS_SINCE_MAX {
        let page = Page {
            skip,
            limit: RUNS_TOGETHER,
        };
        let rows = app.engine.store().runs(page).await;
        let rows = rows.map_err(engine::EngineError::Store)?;
        if let Some(at) = rows.iter().position(|row| row.keys.run == last) {
            return Ok(skip + at as u64 + 1);
        }
        if (rows.len() as u64) < RUNS_TOGETHER {
            break;
        }
        skip += RUNS_TOGETHER;
    }
    Err(bad())
}

pub(crate) async fn run(State(app): State<App>, Address(run): Address<String>) -> Answer<RunView> {
    let run = app.engine.resolve_run(&run).await?;
    Ok(Json(app.engine.run(run).await?))
}

pub(crate) async fn steps(
    State(app): State<App>,
    Address(run): Address<String>,
    Options(paging): Options<Paging>,
) -> Answer<Paged<StepsView>> {
    let limit = paging.limit()?;
    let mut skip = paging.skip()?;
    if let Some(cursor) = &paging.cursor {
        // Decisions are only ever added at the end.
        skip = cursor.parse().map_err(|_| Problem::cursor())?;
    }
    let run = app.engine.resolve_run(&run).await?;
    let page = app.engine.steps(run, Page { skip, limit }).await?;
    let next = page
        .more
        .then(|| (skip + page.steps.len() as u64).to_string());
    Ok(Json(Paged { page, next }))
}

pub(crate) async fn context(
    State(app): State<App>,
    Address(run): Address<String>,
) -> Answer<ContextView> {
    let run = app.engine.resolve_run(&run).await?;
    Ok(Json(app.engine.context(run).await?))
}

pub(crate) async fn decision(
    State(app): State<App>,
    Address(id): Address<String>,
) -> Answer<DecisionView> {
    let id = app.engine.resolve_decision(&id).await?;
    Ok(Json(app.engine.decision(id).await?))
}

pub(crate) async fn graph(
    State(app): State<App>,
    Address(id): Address<String>,
    Options(extent): Options<Extent>,
) -> Answer<GraphView> {
    let limit = extent.limit()?;
    let of: Named = app.engine.resolve(&id).await?;
    Ok(Json(app.engine.graph(of, limit).await?))
}

pub(crate) async fn blast(
    State(app): State<App>,
    Address(id): Address<String>,
    Options(extent): Options<Extent>,
) -> Answer<BlastView> {
    let limit = extent.limit()?;
    let id = app.engine.resolve_decision(&id).await?;
    Ok(Json(app.engine.blast(id, limit).await?))
}

pub(crate) async fn why(
    State(app): State<App>,
    Address((earlier, later)): Address<(String, String)>,
) -> Answer<WhyView> {
    let earlier = app.engine.resolve_decision(&earlier).await?;
    let later = app.engine.resolve_decision(&later).await?;
    Ok(Json(app.engine.why(earlier, later).await?))
}

/// Answers with the bytes of the file that `rescind prove` writes, so that it can be saved as it
/// comes.
pub(crate) async fn proof(
    State(app): State<App>,
    Address(id): Address<String>,
    Options(asked): Options<Disclosure>,
) -> Result<Response, Problem> {
    let names = asked.disclose.as_deref().unwrap_or_default();
    let disclose = fields_named(names.split(',').filter(|name| !name.is_empty()))?;
    let id = app.engine.resolve_decision(&id).await?;
    let evidence = app.engine.prove(id, &disclose, asked.chain).await?;
    let mut text = serde_json::to_string_pretty(&evidence).map_err(|error| {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "broken",
            error.to_string(),
        )
    })?;
    text.push('\n');
    let name = format!("attachment; filename=\"evidence-{id}.json\"");
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CONTENT_DISPOSITION, &*name),
    ];
    Ok((headers, text).into_response())
}
