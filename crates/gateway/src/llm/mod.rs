//! Calls of models.
//!
//! ```text
//!          ┌── try ──► head ──┬─► error ──► class ──► again, elsewhere, or back to the caller
//!   call ──┤                  ├─► plain ──► whole body ──► outcome ──► back
//!          └── upstreams      ├─► stream ─► held until content ──► passed on ──► outcome ──► end
//!                             └─► unread ─► passed on ──► outcome ──► end
//! ```
//!
//! A model that fails again and again [rests](rest), and its upstream is passed over meanwhile.
//!
//! Until the first content is out, another try or another upstream costs the caller nothing; after
//! it, a stream that fails says so in the form that every client notices. The caller going away
//! ends the call at the upstream too, and what had come by then is recorded.

mod attempt;
mod kept;
mod keys;
mod plain;
mod rest;
mod stream;
mod unread;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::live::{Call, Open, RecordError, What, aside};
use futures_util::FutureExt as _;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::llm::{self, Api, Layout};

use crate::route::Target;
use crate::{Body, Inner, caller, reply};

use self::attempt::Tries;
use self::keys::Keys;
use self::plain::Read;

/// Says for how many seconds a client waits: the SDKs of OpenAI and Anthropic, in Python and in
/// JavaScript.
const PATIENCE: &[&str] = &["x-stainless-read-timeout", "x-stainless-timeout"];

/// A call of a model on its way.
pub(super) struct Asking {
    pub(super) inner: Arc<Inner>,
    pub(super) target: Target,
    /// The wire for our own words to the caller.
    pub(super) api: Api,
    /// The model that is asked, as the caller calls it.
    pub(super) model: String,
    pub(super) method: Method,
    /// As they came: what goes on of them is for each try.
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whether the answer is asked for piece by piece.
    pub(super) streams: bool,
    /// How long the caller waits for a plain answer, where it says so.
    pub(super) patience: Option<Duration>,
    pub(super) keys: Keys,
    /// Cancelled when this process stops and calls must end.
    pub(super) stopping: CancellationToken,
    /// The caller: gone once this is closed.
    pub(super) answer: oneshot::Sender<Response<Body>>,
}

/// Says how often a client has tried the same call before.
const TRIED: &str = "x-stainless-retry-count";

/// Under which name that is kept with the call.
const RETRY: &str = "client.retry";

/// Answers one call.
pub(super) async fn handle(
    inner: Arc<Inner>,
    agent: Option<String>,
    target: Target,
    request: Request<Incoming>,
    place: OwnedSemaphorePermit,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let api = target.words();
    let max = inner.options.limits.body_bytes_max;
    let timeouts = inner.options.timeouts;
    let until = Instant::now() + timeouts.total;
    let refused =
        |status, code, message: &str| reply::error(api, status, code, message, reply::Again::Never);
    let body = match plain::whole(body, max, timeouts.idle, until).await {
        Read::Whole(body) => body,
        Read::TooLong => {
            let message = format!("the body has more than {max} bytes (`limits.body_bytes_max`)");
            return refused(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", &message);
        }
        Read::Late => {
            let message = "the rest of the request's body did not come in time";
            return refused(StatusCode::REQUEST_TIMEOUT, "bad_body", message);
        }
        Read::Broke(error) => {
            let message = format!("the body of the request broke off: {error}");
            return refused(StatusCode::BAD_REQUEST, "bad_body", &message);
        }
    };
    // Where nothing is rescinded, nothing has to be taken out.
    let repaired = target.api.filter(|_| inner.recorder.repairs());
    let layout = repaired.and_then(|api| aside(body.len(), || Layout::read(api, &body).ok()));
    let read = match &layout {
        Some(layout) => layout.request().ok(),
        None => target
            .api
            .and_then(|api| aside(body.len(), || llm::read_request(api, &body).ok())),
    };
    let streams = read.as_ref().is_some_and(|read| read.stream);
    let mut model = String::new();
    let open = if is_looking(&parts.method) {
        None
    } else {
        let text = kept::text(&body, &parts.headers);
        let mut from = caller::read(&parts.headers, agent);
        let mut call = kept::call(&mut from, &target, (read, layout.as_ref()), &text);
        if let Some(again) = tried_before(&parts.headers) {
            metrics::counter!("rescind_client_retries_total").increment(1);
            call.environment.0.insert(RETRY.to_owned(), again);
        }
        if let What::Inference { model: asked, .. } = &call.what {
            model = (*asked).to_owned();
        }
        match begin(&inner, call).await {
            Ok(open) => Some(open),
            Err(held @ RecordError::Held { .. }) => {
                let message = format!("the call was refused: {held}");
                return refused(StatusCode::FORBIDDEN, "agent_held", &message);
            }
            Err(refused) => return outage(api, &refused.to_string()),
        }
    };
    let repaired = open.as_ref().and_then(Open::repaired);
    let (answer, answered) = oneshot::channel();
    let asking = Asking {
        inner: Arc::clone(&inner),
        stopping: open.as_ref().map_or_else(
            || inner.recorder.stopping().clone(),
            |open| open.called_off().clone(),
        ),
        keys: keys(&inner, &target, &parts.headers),
        streams,
        patience: patience(&parts.headers).filter(|_| !streams),
        target,
        api,
        model,
        method: parts.method,
        headers: parts.headers,
        body: repaired.map_or(body, Bytes::from_owner),
        answer,
    };
    inner.budget.earn();
    // A task of its own, so that the caller going away is something that happens to the call and
    // not the end of its recording.
    // Boxed: a task is moved several times before it begins, and written over once it has ended.
    let trying = Box::pin(Tries::new(asking, open).run());
    inner.recorder.tasks().spawn(async move {
        trying.await;
        drop(place);
    });
    answered.await.unwrap_or_else(|_| {
        reply::error(
            api,
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the call ended without an answer",
            reply::Again::Never,
        )
    })
}

/// The keys that a call may be made with: the caller's, and those of the upstreams.
fn keys(inner: &Inner, target: &Target, headers: &HeaderMap) -> Keys {
    let mut keys = Keys::of(headers);
    let upstreams = inner.options.upstreams.get(&target.name);
    for (_, value) in upstreams.into_iter().flatten().flat_map(|at| &at.headers) {
        keys.add(value.to_str().unwrap_or_default());
    }
    keys
}

/// How often the client has tried the same before, if it has, as it says itself.
fn tried_before(headers: &HeaderMap) -> Option<String> {
    let said = headers.get(TRIED)?.to_str().ok()?;
    let again: u32 = said.trim().parse().ok()?;
    (again > 0).then(|| again.to_string())
}

fn patience(headers: &HeaderMap) -> Option<Duration> {
    PATIENCE.iter().find_map(|name| {
        let seconds: f64 = headers.get(*name)?.to_str().ok()?.trim().parse().ok()?;
        let patience = Duration::try_from_secs_f64(seconds).ok()?;
        (!patience.is_zero()).then_some(patience)
    })
}

async fn begin(inner: &Inner, call: Call<'_>) -> Result<Open, RecordError> {
    debug_assert!(matches!(call.what, What::Inference { .. }));
    // Boxed: the future holds the whole history.
    inner.recorder.begin(call).boxed().await
}

/// Whether a request only looks (lists of models, stored answers): it decides nothing.
fn is_looking(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// What a caller is told when its call cannot be recorded and must be.
pub(super) fn outage(api: Api, why: &str) -> Response<Body> {
    let message = format!("the call was stopped because it cannot be recorded: {why}");
    let status = StatusCode::SERVICE_UNAVAILABLE;
    reply::error(
        api,
        status,
        "record_unavailable",
        &message,
        reply::Again::After(1),
    )
}
