//! Messages that were sent before their agent went back: answered with what they were answered then.

use engine::live::Replayed;
use http::Response;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use wire::a2a::read_event;
use wire::jsonrpc::{Id, Json, result_reply};

use crate::caller::REPLAY_OF;
use crate::rpc::{self, Refusal};
use crate::{Body, Inner, reply};

use super::told::Told;

/// Answers a message with what it was answered before, once it is in the record that it was. A caller
/// that asked for a stream gets one, in which the answer is the only event.
pub(super) async fn answer(
    inner: &Inner,
    agent: &str,
    mut before: Replayed,
    id: Option<&Id<'static>>,
    streams: bool,
) -> Response<Body> {
    let ids = id.cloned().into_iter().collect::<Vec<_>>();
    if let Err(error) = before.durable().await {
        return Refusal::unrecorded(&error).answer(&ids, false);
    }
    let body = match (id, Json::parse(before.result())) {
        (Some(id), Ok(result)) => result_reply(id, result),
        // Nobody waits for a reply.
        _ => Vec::new(),
    };
    let text = String::from_utf8_lossy(&body);
    let mut told = Told::default();
    if let Ok(event) = read_event(&text) {
        told.take(&text, &event, inner.options.limits.body_bytes_max);
    }
    // What the caller sends next goes on with this one.
    let names = (told.task.as_deref(), told.context.as_deref());
    let known = (before.decision(), before.run());
    inner.a2a.learn(agent, names, known);
    let mut back = if streams {
        let mut back = Response::new(reply::whole(format!("data: {text}\n\n")));
        let headers = back.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        back
    } else {
        rpc::answer(StatusCode::OK, body)
    };
    let (decision, run) = (before.decision().to_string(), before.run().to_string());
    reply::name(&mut back, &decision, &run);
    if let Ok(of) = HeaderValue::from_str(&before.of().to_string()) {
        back.headers_mut().insert(REPLAY_OF, of);
    }
    back
}
