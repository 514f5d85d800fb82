//! Calls of models.
//!
//! ```text
//!          ┌── try ──► head ──┬─► error ──► class ──► again, elsewhere, or back to the caller
//!   call ──┤                  ├─► plain ──► whole body ──► outcome ──► back
//!          └── upstreams      └─► stream ─► held until content ──► passed on ──► outcome ──► end
//! ```
//!
//! Until the first content is out, another try or another upstream costs the caller nothing; after
//! it, a stream that fails says so in the form that every client notices. The caller going away
//! ends the call at the upstream too, and what had come by then is recorded.

mod attempt;
mod kept;
mod plain;
mod stream;

use std::sync::Arc;

use bytes::Bytes;
use engine::live::{Call, Open, What};
use futures_util::FutureExt as _;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use wire::llm::{self, Api};

use crate::route::Target;
use crate::{Body, Inner, caller, headers, reply};

use self::attempt::Tries;

/// A call of a model on its way.
pub(super) struct Asking {
    pub(super) inner: Arc<Inner>,
    pub(super) target: Target,
    /// The wire for our own words to the caller.
    pub(super) api: Api,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The caller: gone once this is closed.
    pub(super) answer: oneshot::Sender<Response<Body>>,
}

/// Answers one call.
pub(super) async fn handle(
    inner: Arc<Inner>,
    agent: Option<String>,
    target: Target,
    request: Request<Incoming>,
    place: OwnedSemaphorePermit,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let api = target.api.unwrap_or(match target.wire {
        crate::Wire::OpenAi => Api::Chat,
        crate::Wire::Anthropic => Api::Messages,
    });
    let max = inner.options.limits.body_bytes_max;
    let body = match Limited::new(body, max).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let message = format!("the body has more than {max} bytes (`limits.body_bytes_max`)");
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            return reply::error(api, status, "body_too_large", &message, reply::Again::Never);
        }
        Err(error) => {
            let message = format!("the body of the request broke off: {error}");
            return reply::error(
                api,
                StatusCode::BAD_REQUEST,
                "bad_body",
                &message,
                reply::Again::Never,
            );
        }
    };
    let read = target
        .api
        .and_then(|api| llm::read_request(api, &body).ok());
    let open = if is_looking(&parts.method) {
        None
    } else {
        let text = kept::text(&body, &parts.headers);
        let mut from = caller::read(&parts.headers, agent);
        let call = kept::call(&mut from, &target, read, &text);
        match begin(&inner, call).await {
            Ok(open) => Some(open),
            Err(refused) => return outage(api, &refused.to_string()),
        }
    };
    let (answer, answered) = oneshot::channel();
    let asking = Asking {
        inner: Arc::clone(&inner),
        target,
        api,
        method: parts.method,
        headers: headers::onwards(&parts.headers),
        body,
        answer,
    };
    inner.budget.earn();
    // A task of its own, so that the caller going away is something that happens to the call and
    // not the end of its recording.
    inner.recorder.tasks().spawn(async move {
        Tries::new(asking, open).run().await;
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

async fn begin(inner: &Inner, call: Call<'_>) -> Result<Open, engine::live::RecordError> {
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
