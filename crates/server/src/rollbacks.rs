//! Rollbacks: asked for, looked at, approved, retried; and agents that get no work.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use engine::EngineError;
use engine::undo::plan::Rule;
use engine::undo::view::{
    PlanView, QuarantineView, QuarantinedView, RollbackRow, RollbackView, RollbacksView,
};
use engine::undo::{Approve, CarryOptions, Catalogue, Include, Request, Service};
use engine::view::{ToolView, ToolsView};
use model::DecisionId;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::approvals::decides;
use crate::ask::{Address, Options, Part, Place};
use crate::problem::Problem;
use crate::{App, Paged};

type Answer<T> = Result<Json<T>, Problem>;

/// What is to be taken back.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Incident {
    /// The bad decisions, with commas between.
    of: String,
    /// Why they are bad, in words free of personal data.
    reason: Option<String>,
    /// Decisions that may depend on them and are taken back too, with commas between, or `all`.
    /// Default: none.
    include: Option<String>,
    /// What becomes of records that somebody else wrote since, with commas between: `URI=keep-newer`
    /// or `URI=restore-field`. Goes before the tool catalogue.
    settle: Option<String>,
}

/// An approval.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approval {
    /// Digest of the plan that was shown.
    digest: String,
    /// Who approves, where no token says it. Default: `operator`.
    by: Option<String>,
    /// Whether to answer at the end of the rollback and not at its beginning. Default: false.
    #[serde(default)]
    wait: bool,
    /// Whether to wait until rollbacks that it overlaps have ended. Default: false, and it is
    /// refused.
    #[serde(default)]
    queue: bool,
}

/// Another try.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Again {
    /// Who wants it, where no token says it. Default: `operator`.
    by: Option<String>,
    /// Numbers of parked steps of which it was found that they were carried out.
    happened: Option<String>,
    /// Numbers of parked steps of which it was found that they were not.
    not_happened: Option<String>,
}

/// Who decides.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct By {
    /// Who decides, where no token says it. Default: `operator`.
    by: Option<String>,
}

/// Without a way to tools, what the record alone says of them.
pub(crate) async fn tools(
    State(app): State<App>,
    Options(part): Options<Part>,
) -> Answer<Paged<ToolsView>> {
    let mut page = match &app.rollbacks {
        Some(service) => service.tools().await?,
        None => {
            let nothing = (Catalogue::default(), BTreeMap::new());
            app.engine.tools(&nothing.0, &nothing.1).await?
        }
    };
    let place = |tool: &ToolView| {
        let server = tool.server.clone().unwrap_or_default();
        Place(server, tool.name.clone())
    };
    let next = part.cut(&mut page.tools, place, Place::cmp)?;
    Ok(Json(Paged { page, next }))
}

pub(crate) async fn list(
    State(app): State<App>,
    Options(part): Options<Part>,
) -> Answer<Paged<RollbacksView>> {
    let mut page = app.engine.rollbacks().await?;
    let place = |row: &RollbackRow| Place(String::new(), row.id.clone());
    let next = part.cut(&mut page.rollbacks, place, |one, other| other.cmp(one))?;
    Ok(Json(Paged { page, next }))
}

pub(crate) async fn one(
    State(app): State<App>,
    Address(id): Address<String>,
) -> Answer<RollbackView> {
    let id = app.engine.resolve_decision(&id).await?;
    Ok(Json(app.engine.rollback(id).await?))
}

pub(crate) async fn plan(
    State(app): State<App>,
    Options(incident): Options<Incident>,
) -> Answer<PlanView> {
    let service = service(&app)?;
    let request = request(service, &incident).await?;
    Ok(Json(service.plan(&request).await?))
}

pub(crate) async fn propose(
    State(app): State<App>,
    Options(incident): Options<Incident>,
) -> Answer<RollbackView> {
    let service = service(&app)?;
    let request = request(service, &incident).await?;
    Ok(Json(service.propose(&request).await?))
}

pub(crate) async fn approve(
    State(app): State<App>,
    Address(id): Address<String>,
    headers: HeaderMap,
    Options(approval): Options<Approval>,
) -> Answer<RollbackView> {
    let service = service(&app)?;
    let id = app.engine.resolve_decision(&id).await?;
    let digest = approval.digest.parse().map_err(|_| {
        let what = format!("`{}` is no digest", approval.digest);
        Problem::bad("bad-option", what)
    })?;
    let approve = Approve {
        digest,
        by: &decides(&app, &headers, approval.by),
        waits: approval.queue,
    };
    Ok(Json(service.approve(id, approve, approval.wait).await?))
}

pub(crate) async fn reject(
    State(app): State<App>,
    Address(id): Address<String>,
    headers: HeaderMap,
    Options(by): Options<By>,
) -> Answer<RollbackView> {
    let id = app.engine.resolve_decision(&id).await?;
    let by = decides(&app, &headers, by.by);
    Ok(Json(app.engine.reject_rollback(id, &by).await?))
}

pub(crate) async fn retry(
    State(app): State<App>,
    Address(id): Address<String>,
    headers: HeaderMap,
    Options(again): Options<Again>,
) -> Answer<RollbackView> {
    let service = service(&app)?;
    let id = app.engine.resolve_decision(&id).await?;
    let mut options: CarryOptions = service.options().clone();
    for (numbers, happened) in [(&again.happened, true), (&again.not_happened, false)] {
        for number in numbers.iter().flat_map(|numbers| numbers.split(',')) {
            let number = number.trim().parse().map_err(|_| {
                Problem::bad("bad-option", format!("`{number}` is no number of a step"))
            })?;
            if options.settled.insert(number, happened) == Some(!happened) {
                let what = format!("`{number}` is in `happened` and in `not_happened`");
                return Err(Problem::bad("bad-option", what));
            }
        }
    }
    let by = decides(&app, &headers, again.by);
    Ok(Json(service.retry(id, &by, options).await?))
}

pub(crate) async fn held(
    State(app): State<App>,
    Options(part): Options<Part>,
) -> Answer<Paged<QuarantineView>> {
    let mut page = QuarantineView {
        held: app.engine.held().await?,
        ..QuarantineView::default()
    };
    let place = |held: &QuarantinedView| Place(held.agent.clone(), held.run.clone());
    let next = part.cut(&mut page.held, place, Place::cmp)?;
    Ok(Json(Paged { page, next }))
}

pub(crate) async fn quarantine(
    State(app): State<App>,
    Address(agent): Address<String>,
    headers: HeaderMap,
    Options(by): Options<By>,
) -> Answer<QuarantineView> {
    let by = decides(&app, &headers, by.by);
    Ok(Json(app.engine.quarantine(&agent, &by).await?))
}

pub(crate) async fn release(
    State(app): State<App>,
    Address(agent): Address<String>,
    headers: HeaderMap,
    Options(by): Options<By>,
) -> Answer<QuarantineView> {
    let by = decides(&app, &headers, by.by);
    Ok(Json(app.engine.release(&agent, &by).await?))
}

fn service(app: &App) -> Result<&Service, Problem> {
    app.rollbacks.as_ref().ok_or_else(|| {
        Problem::absent("this process reaches no tools, so it carries no rollback out")
    })
}

async fn request(service: &Service, incident: &Incident) -> Result<Request, Problem> {
    let mut rules = BTreeMap::new();
    for text in incident.settle.iter().flat_map(|all| all.split(',')) {
        let Some((uri, rule)) = Rule::of_record(text.trim()) else {
            let what = format!("`{text}` is not a record with `=keep-newer` or `=restore-field`");
            return Err(Problem::bad("bad-option", what));
        };
        rules.insert(uri.to_owned(), rule);
    }
    let include = match incident.include.as_deref() {
        None => Include::None,
        Some("all") => Include::All,
        Some(ids) => Include::Some(named(service, ids).await?),
    };
    Ok(Request {
        roots: named(service, &incident.of).await?,
        reason: incident.reason.clone().unwrap_or_default(),
        include,
        rules,
    })
}

async fn named(service: &Service, ids: &str) -> Result<Vec<DecisionId>, EngineError> {
    let mut named = Vec::new();
    for id in ids.split(',') {
        named.push(service.engine().resolve_decision(id.trim()).await?);
    }
    Ok(named)
}
