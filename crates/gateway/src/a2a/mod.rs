//! Messages between agents, over A2A.
//!
//! ```text
//!   GET  card ──► the agent's card, rewritten: every interface is here, or gone
//!   POST ──► message: intent, durable ──► the card's interface ──► task or message: outcome ──► out
//!            anything else ───────────────────────┘                or event by event, one end
//! ```
//!
//! What one agent tells another is recorded, with what that one answers; everything else passes. A
//! task that goes on after the first answer ends when it is asked about, or its stream is taken up.
//! Who goes away cancels nothing. A rollback that holds who asked, and does not wait, [stops](stop)
//! the task; a message that was sent before its agent went back is [not sent again](replay).
//!
//! *Where calls go.* To the configured address and nowhere else: an interface that the card puts on
//! another host is refused, because who wrote the card would choose whom we call.

mod card;
mod exchange;
mod replay;
mod shared;
mod stop;
mod told;
mod waits;

use std::sync::Arc;

use engine::live::{Admitted, Call, Caller, Open, Replayed, What};
use http::header::{ALLOW, HOST, HeaderValue, ORIGIN};
use http::request::Parts;
use http::{Method as Verb, Request, Response, StatusCode};
use hyper::body::Incoming;
use model::{Cause, CauseKind, Environment, Evidence, Media, Strength};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use wire::a2a::{CARD_PATHS, Method, Sent, VERSION_HEADER, Version};
use wire::jsonrpc::{self, Body as Messages, INVALID_REQUEST, Id, Json, Message, Request as Asked};

use crate::route::Below;
use crate::rpc::{self, Refusal};
use crate::{Body, Inner, caller, headers, reply};

use self::exchange::Exchange;
use self::waits::Waits;

pub(crate) use self::shared::Shared;

/// Answers one request.
pub(super) async fn handle(
    inner: Arc<Inner>,
    agent: Option<String>,
    below: Below,
    request: Request<Incoming>,
    place: OwnedSemaphorePermit,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let own = own_address(&parts, &below.own);
    let Some(endpoint) = inner.options.a2a.get(&below.name).cloned() else {
        return reply::plain(StatusCode::NOT_FOUND, "not_found", "no such agent");
    };
    let mut onwards = headers::onwards(&parts.headers);
    // It named us, and was checked here.
    onwards.remove(ORIGIN);
    let is_card = CARD_PATHS.contains(&&*below.path);
    match parts.method {
        Verb::GET if is_card => {
            return card::answer(&inner, &below, &endpoint, &onwards, &own).await;
        }
        Verb::POST if below.path.is_empty() => {}
        _ if is_card || below.path.is_empty() => {
            let (message, verb) = if is_card {
                ("the card is read with GET", "GET")
            } else {
                (
                    "A2A is spoken with POST; the card is below, at `/.well-known/`",
                    "POST",
                )
            };
            let mut refused = reply::plain(StatusCode::METHOD_NOT_ALLOWED, "method", message);
            let allowed = HeaderValue::from_static(verb);
            refused.headers_mut().insert(ALLOW, allowed);
            return refused;
        }
        _ => {
            let message = format!(
                "the agent is at `{}`, and only its JSON-RPC interface is carried",
                below.own
            );
            return reply::plain(StatusCode::NOT_FOUND, "not_found", &message);
        }
    }
    let body = match rpc::body_of(body, inner.options.limits.body_bytes_max).await {
        Ok(body) => body,
        Err(refused) => return *refused,
    };
    let asked = match read(&body) {
        Ok(asked) => asked,
        Err(refused) => return *refused,
    };
    let id = asked.id.clone().map(Id::into_owned);
    let known = Method::of(&asked.method);
    let method = known.map(|(method, _)| method);
    let named = parts.headers.get(VERSION_HEADER);
    let version = named
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    // The name of the method tells which version it is of, where no header does.
    let version = version.or_else(|| {
        known.map(|(_, version)| match version {
            Version::V0_3 => "0.3".to_owned(),
            Version::V1_0 => "1.0".to_owned(),
        })
    });
    let sent = asked.params.map(Sent::read).unwrap_or_default();
    let mut causes = Vec::new();
    let mut open = None;
    if method.is_some_and(Method::sends) {
        let from = caller::read(&parts.headers, agent);
        causes = continued(&inner, &below.name, &sent);
        let begun = intend(&inner, from, &below.name, &sent, &asked);
        // Boxed: the future is long, and few of its kind are under way.
        open = match Box::pin(begun).await {
            Ok(Begun::Open(open)) => Some(*open),
            Ok(Begun::Replayed(before)) => {
                let streams = method.is_some_and(Method::streams);
                return replay::answer(&inner, &below.name, before, id.as_ref(), streams).await;
            }
            Err(refusal) => {
                let ids: Vec<_> = id.into_iter().collect();
                return refusal.answer(&ids, false);
            }
        };
    }
    let task = sent.task.map(std::borrow::Cow::into_owned);
    let tenant = sent.tenant.map(std::borrow::Cow::into_owned);
    let (answer, answered) = oneshot::channel();
    let called_off = open.as_ref().map(|open| open.called_off().clone());
    let waits = Waits::new(Arc::clone(&inner), called_off, task);
    let exchange = Exchange {
        inner: Arc::clone(&inner),
        agent: below.name.clone(),
        endpoint,
        own,
        version,
        query: below.query.clone(),
        method,
        id,
        tenant,
        headers: Arc::new(onwards),
        body: body.clone(),
        open,
        causes,
        answer,
        waits,
    };
    inner.recorder.tasks().spawn(async move {
        exchange.run().await;
        drop(place);
    });
    answered.await.unwrap_or_else(|_| {
        let message = "the call ended without an answer";
        reply::plain(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    })
}

/// Reads the one request that a body holds.
fn read(body: &[u8]) -> Result<Asked<'_>, Box<Response<Body>>> {
    let messages = jsonrpc::read(body).map_err(|error| Box::new(rpc::unreadable(None, &error)))?;
    match messages {
        Messages::One(Message::Request(asked)) => Ok(asked),
        Messages::One(Message::Response(_)) | Messages::Batch(_) => {
            let message = "A2A takes one request at a time";
            let body = jsonrpc::error_reply(None, INVALID_REQUEST, message, None);
            Err(Box::new(rpc::answer(StatusCode::BAD_REQUEST, body)))
        }
    }
}

/// What became of a message before it is sent.
enum Begun {
    Open(Box<Open>),
    /// It was sent before, and is not sent again.
    Replayed(Replayed),
}

/// Records that a message is about to be sent, and waits until that is durable; an agent that rests
/// gets none.
async fn intend(
    inner: &Inner,
    mut from: Caller,
    to: &str,
    sent: &Sent<'_>,
    asked: &Asked<'_>,
) -> Result<Begun, Refusal> {
    let message = sent.message.as_ref();
    if let Some(context) = message.and_then(|message| message.context.as_deref()) {
        match inner.a2a.run_of(to, context) {
            // The agent gave the conversation its name only with its answer.
            Some(run) if from.run.is_none() && from.trace.is_none() => {
                from.run = Some(run.to_string());
            }
            _ => from.context = Some(context.to_owned()),
        }
    }
    let mut environment = Environment::default();
    let agent = ("a2a.agent".to_owned(), to.to_owned());
    let method = ("a2a.method".to_owned(), asked.method.clone().into_owned());
    environment.0.extend([agent, method]);
    let call = Call {
        caller: from,
        what: What::Message {
            to,
            text: message.map_or("", |message| &message.content.text),
        },
        asked: (Media::Json, asked.params.map_or("{}", Json::text)),
        environment,
        touches: None,
    };
    let admitted = inner.recorder.admit(call).await;
    let mut open = match admitted.map_err(|error| Refusal::unrecorded(&error))? {
        Admitted::Open(open) => open,
        Admitted::Refused(refused) => return Err(Refusal::new("agent_resting", refused.reason)),
        // Messages have no effect of their own that a person would have to approve.
        Admitted::Held(held) => {
            held.leave();
            return Err(Refusal::new("held", "the message waits for a person"));
        }
        Admitted::Replayed(before) => return Ok(Begun::Replayed(before)),
    };
    let durable = open.durable().await;
    durable.map_err(|error| Refusal::unrecorded(&error))?;
    Ok(Begun::Open(Box::new(open)))
}

/// What a message goes on with, as it says itself.
fn continued(inner: &Inner, agent: &str, sent: &Sent<'_>) -> Vec<Cause> {
    let Some(message) = &sent.message else {
        return Vec::new();
    };
    let own = message.task.iter().map(|task| (task, "taskId"));
    let others = message.references.iter();
    let others = others.map(|task| (task, "referenceTaskIds"));
    own.chain(others)
        .filter_map(|(task, by)| {
            Some(Cause {
                decision: inner.a2a.decision_of(agent, task)?,
                evidence: Evidence::Explicit { by: by.to_owned() },
                kind: CauseKind::Message,
                strength: Strength::Certain,
            })
        })
        .collect()
}

/// Our own address for an agent, as the caller reached it.
fn own_address(parts: &Parts, path: &str) -> String {
    let text = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let host = text(HOST.as_str()).or(parts.uri.authority().map(|it| it.as_str()));
    let scheme = match text("x-forwarded-proto") {
        Some("https") => "https",
        _ => "http",
    };
    format!("{scheme}://{}{path}", host.unwrap_or("localhost"))
}
