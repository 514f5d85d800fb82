//! The table of routes: the one place where a path is tied to what answers it, who may ask, and
//! what the OpenAPI document says of it.

use std::collections::BTreeMap;

use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, any, get, post, put};
use engine::access::Deed;
use engine::prove::Evidence;
use engine::undo::view::{PlanView, QuarantineView, RollbackView, RollbacksView};
use engine::view::{
    ApprovalsView, BlastView, CheckpointView, CheckpointsView, ContextView, DecisionView,
    GraphView, NewsView, ReadyView, RestoredView, RuledView, RunView, RunsView, StepsView,
    ToolsView, VerifiedView, WhyView,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::ask::{Disclosure, Extent, Following, Paging, Part, Thoroughness};
use crate::checkpoints::{Restored, Saved};
use crate::gate::{Gate, gate};
use crate::problem::Problem;
use crate::rollbacks::{Again, Approval, By, Incident};
use crate::{
    App, HealthView, Paged, StatusView, api, approvals, checkpoints, events, openapi, operations,
    published, rollbacks,
};

/// Makes a schema, and puts what it refers to among the generator's definitions.
pub(crate) type MakeSchema = fn(&mut SchemaGenerator) -> Schema;

/// One route.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    /// As axum reads it: `{name}` is one part of a path, `{*name}` all the rest.
    pub(crate) path: &'static str,
    /// Names the operation for generated clients.
    pub(crate) id: &'static str,
    /// What it answers, in a sentence.
    pub(crate) what: &'static str,
    /// What a caller must be allowed to do; none where everybody may ask.
    pub(crate) deed: Option<Deed>,
    /// The options that it takes; none where it takes none.
    pub(crate) options: Option<MakeSchema>,
    /// What its body says; none where it has none.
    pub(crate) body: Option<MakeSchema>,
    pub(crate) answer: Answer,
    handler: MethodRouter<App>,
}

/// What comes back.
pub(crate) enum Answer {
    /// An object.
    Object(MakeSchema),
    /// An object, and the same with status 503 where it says no.
    Readiness(MakeSchema),
    /// Something that is not JSON.
    Other(&'static str),
    /// A stream of these.
    Events(MakeSchema),
}

/// Every route there is.
pub(crate) fn table() -> Vec<Route> {
    let read = Some(Deed::Read);
    let call = Some(Deed::Call);
    let operate = Some(Deed::Operate);
    vec![
        Route::get("/api/v1/runs", "runs", read, api::runs)
            .says("The runs, newest first.")
            .takes::<Paging>()
            .gives::<Paged<RunsView>>(),
        Route::get("/api/v1/runs/{run}", "run", read, api::run)
            .says("One run.")
            .gives::<RunView>(),
        Route::get("/api/v1/runs/{run}/decisions", "steps", read, api::steps)
            .says("The decisions of a run, in the order of the log.")
            .takes::<Paging>()
            .gives::<Paged<StepsView>>(),
        Route::get("/api/v1/runs/{run}/context", "context", read, api::context)
            .says("What the agents of a run believe, and what their models are sent in its place.")
            .gives::<ContextView>(),
        Route::get_or_put(
            "/api/v1/runs/{run}/checkpoints",
            "checkpoints",
            read,
            checkpoints::list,
        )
        .says("The states that the agents of a run saved, newest first, without the states.")
        .takes::<Part>()
        .gives::<Paged<CheckpointsView>>(),
        Route::put(
            "/api/v1/runs/{run}/checkpoints",
            "checkpoint",
            call,
            checkpoints::save,
        )
        .says("Saves a state of an agent. On the answer it is durable.")
        .reads::<Saved>()
        .gives::<CheckpointView>(),
        Route::get(
            "/api/v1/runs/{run}/checkpoints/{id}",
            "saved",
            read,
            checkpoints::one,
        )
        .says("One saved state.")
        .gives::<CheckpointView>(),
        Route::post(
            "/api/v1/runs/{run}/restore",
            "restore",
            call,
            checkpoints::restore,
        )
        .says(
            "Gives an agent the latest of its states back that remembers nothing rescinded, with \
             what the newest is to keep.",
        )
        .reads::<Restored>()
        .gives::<RestoredView>(),
        Route::get("/api/v1/decisions/{id}", "decision", read, api::decision)
            .says("One decision, whole.")
            .gives::<DecisionView>(),
        Route::get("/api/v1/graph/{id}", "graph", read, api::graph)
            .says("The graph of a run, or of a decision with everything before and after it.")
            .takes::<Extent>()
            .gives::<GraphView>(),
        Route::get("/api/v1/blast/{id}", "blast", read, api::blast)
            .says("What followed from a decision: certainly, and possibly.")
            .takes::<Extent>()
            .gives::<BlastView>(),
        Route::get("/api/v1/why/{earlier}/{later}", "why", read, api::why)
            .says("Why one decision depends on another, with the evidence.")
            .gives::<WhyView>(),
        Route::get("/api/v1/proof/{id}", "proof", read, api::proof)
            .says("Evidence of a decision that verifies offline, as `rescind prove` writes it.")
            .takes::<Disclosure>()
            .gives::<Evidence>(),
        Route::get("/api/v1/approvals", "approvals", read, approvals::list)
            .says("The calls that wait for a person, and those approved that have not begun.")
            .takes::<Part>()
            .gives::<Paged<ApprovalsView>>(),
        Route::post(
            "/api/v1/approvals/{decision}/approve",
            "approve",
            operate,
            approvals::approve,
        )
        .says("Approves a call that waits: exactly the one whose digest comes along.")
        .reads::<approvals::Verdict>()
        .gives::<RuledView>(),
        Route::post(
            "/api/v1/approvals/{decision}/reject",
            "reject",
            operate,
            approvals::reject,
        )
        .says("Rejects a call that waits; who waits for it is told why.")
        .reads::<approvals::Verdict>()
        .gives::<RuledView>(),
        Route::get("/api/v1/tools", "tools", read, rollbacks::tools)
            .says(
                "The tools that were called, that the catalogue names or that servers list, with \
                 how a call of each is taken back.",
            )
            .takes::<Part>()
            .gives::<Paged<ToolsView>>(),
        Route::get("/api/v1/rollbacks", "rollbacks", read, rollbacks::list)
            .says("The rollbacks, newest first.")
            .takes::<Part>()
            .gives::<Paged<RollbacksView>>(),
        Route::post(
            "/api/v1/rollbacks/plan",
            "planRollback",
            operate,
            rollbacks::plan,
        )
        .says("A plan that takes decisions back. Nothing is recorded.")
        .takes::<Incident>()
        .gives::<PlanView>(),
        Route::post(
            "/api/v1/rollbacks/propose",
            "proposeRollback",
            operate,
            rollbacks::propose,
        )
        .says("Puts a plan forward. Nothing is done before it is approved.")
        .takes::<Incident>()
        .gives::<RollbackView>(),
        Route::get("/api/v1/rollbacks/{id}", "rollback", read, rollbacks::one)
            .says("One rollback: its plan, and what came of it.")
            .gives::<RollbackView>(),
        Route::post(
            "/api/v1/rollbacks/{id}/approve",
            "approveRollback",
            operate,
            rollbacks::approve,
        )
        .says("Approves a plan by its digest, and carries it out.")
        .takes::<Approval>()
        .gives::<RollbackView>(),
        Route::post(
            "/api/v1/rollbacks/{id}/reject",
            "rejectRollback",
            operate,
            rollbacks::reject,
        )
        .says("Refuses a plan.")
        .takes::<By>()
        .gives::<RollbackView>(),
        Route::post(
            "/api/v1/rollbacks/{id}/retry",
            "retryRollback",
            operate,
            rollbacks::retry,
        )
        .says("Tries again what failed, or goes on with what was broken off. What is done is not done again.")
        .takes::<Again>()
        .gives::<RollbackView>(),
        Route::get("/api/v1/quarantine", "quarantined", read, rollbacks::held)
            .says("The agents that get no work.")
            .takes::<Part>()
            .gives::<Paged<QuarantineView>>(),
        Route::post(
            "/api/v1/quarantine/{agent}",
            "quarantine",
            operate,
            rollbacks::quarantine,
        )
        .says("Holds an agent: its next calls are refused.")
        .takes::<By>()
        .gives::<QuarantineView>(),
        Route::post(
            "/api/v1/quarantine/{agent}/release",
            "release",
            operate,
            rollbacks::release,
        )
        .says("Releases an agent.")
        .takes::<By>()
        .gives::<QuarantineView>(),
        Route::post("/api/v1/verify", "verify", read, operations::verify)
            .says("Checks that nothing was changed. Changes nothing itself.")
            .takes::<Thoroughness>()
            .gives::<VerifiedView>(),
        Route::get("/api/v1/status", "status", read, operations::status)
            .says("How far the record is, and what serves it.")
            .gives::<StatusView>(),
        Route::get("/api/v1/events", "events", read, events::events)
            .says(
                "What happens in the record, as server-sent events. The id of each is its \
                 sequence number, and `Last-Event-ID` goes on after it without loss or repeats. \
                 The first message, `ready`, says from where on; `behind` tells a slow client \
                 how much waits for it in the record; `failed` ends the stream with an error.",
            )
            .takes::<Following>()
            .streams::<NewsView>(),
        Route::get("/api/v1/openapi.json", "openapi", None, openapi::serve)
            .says("This document.")
            .gives::<serde_json::Map<String, serde_json::Value>>(),
        Route::get("/log/{realm}/{*path}", "log", read, published::file)
            .says("The published log, as C2SP tlog-tiles lays it out: `checkpoint`, `tile/…`.")
            .sends("application/octet-stream"),
        Route::get("/metrics", "metrics", read, operations::metrics)
            .says("Metrics, as Prometheus reads them.")
            .sends("text/plain"),
        Route::get("/healthz", "health", None, operations::health)
            .says("Whether the process is up.")
            .gives::<HealthView>(),
        Route::get("/readyz", "readiness", None, operations::readiness)
            .says("Whether the store takes what is recorded now; with reasons where it does not.")
            .judges::<ReadyView>(),
    ]
}

/// Makes the router of the table, each route behind its gate.
pub(crate) fn router(app: App) -> Router {
    let mut paths: BTreeMap<&'static str, MethodRouter<App>> = BTreeMap::new();
    for route in table() {
        let gate_of = Gate {
            app: app.clone(),
            deed: route.deed,
            path: route.path,
            options: route.options.is_some(),
        };
        let handler = route.handler.layer(from_fn_with_state(gate_of, gate));
        let handler = match paths.remove(route.path) {
            Some(known) => known.merge(handler),
            None => handler,
        };
        paths.insert(route.path, handler);
    }
    let mut router = Router::new();
    for (path, handler) in paths {
        router = router.route(path, handler);
    }
    let gate_of = Gate {
        app: app.clone(),
        deed: None,
        path: "/api/…",
        options: true,
    };
    let nothing = any(async || {
        Problem::absent("there is no such path").with_hint("`/api/v1/openapi.json` lists the paths")
    });
    router
        .route(
            "/api/{*rest}",
            nothing.layer(from_fn_with_state(gate_of, gate)),
        )
        .with_state(app)
}

impl Route {
    fn get<T: 'static>(
        path: &'static str,
        id: &'static str,
        deed: Option<Deed>,
        handler: impl Handler<T, App>,
    ) -> Self {
        let handler = get(handler).fallback(async || Problem::method("GET, HEAD"));
        Self::new("get", path, id, deed, handler)
    }

    /// As [`get`](Self::get), on a path that takes PUT too.
    fn get_or_put<T: 'static>(
        path: &'static str,
        id: &'static str,
        deed: Option<Deed>,
        handler: impl Handler<T, App>,
    ) -> Self {
        let handler = get(handler).fallback(async || Problem::method("GET, HEAD, PUT"));
        Self::new("get", path, id, deed, handler)
    }

    /// On a path that [`get_or_put`](Self::get_or_put) has.
    fn put<T: 'static>(
        path: &'static str,
        id: &'static str,
        deed: Option<Deed>,
        handler: impl Handler<T, App>,
    ) -> Self {
        Self::new("put", path, id, deed, put(handler))
    }

    fn post<T: 'static>(
        path: &'static str,
        id: &'static str,
        deed: Option<Deed>,
        handler: impl Handler<T, App>,
    ) -> Self {
        let handler = post(handler).fallback(async || Problem::method("POST"));
        Self::new("post", path, id, deed, handler)
    }

    fn new(
        method: &'static str,
        path: &'static str,
        id: &'static str,
        deed: Option<Deed>,
        handler: MethodRouter<App>,
    ) -> Self {
        Self {
            method,
            path,
            id,
            what: "",
            deed,
            options: None,
            body: None,
            answer: Answer::Other("application/json"),
            handler,
        }
    }

    fn says(mut self, what: &'static str) -> Self {
        self.what = what;
        self
    }

    fn takes<T: JsonSchema>(mut self) -> Self {
        // In place: the options of a route are parameters, and none of them is a definition.
        self.options = Some(T::json_schema);
        self
    }

    fn reads<T: JsonSchema>(mut self) -> Self {
        self.body = Some(schema_of::<T>);
        self
    }

    fn gives<T: JsonSchema>(mut self) -> Self {
        self.answer = Answer::Object(schema_of::<T>);
        self
    }

    fn judges<T: JsonSchema>(mut self) -> Self {
        self.answer = Answer::Readiness(schema_of::<T>);
        self
    }

    fn streams<T: JsonSchema>(mut self) -> Self {
        self.answer = Answer::Events(schema_of::<T>);
        self
    }

    fn sends(mut self, content: &'static str) -> Self {
        self.answer = Answer::Other(content);
        self
    }
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}
