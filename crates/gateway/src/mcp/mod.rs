//! Calls of tools, over MCP.
//!
//! ```text
//!   POST ──► messages ──► each tools/call: intent, durable ──► server ──► its answer, in one piece
//!                              │ not recorded                   │         or event by event
//!                              ▼                                ▼
//!                          an error in its place            each result: outcome, durable ──► out
//! ```
//!
//! Only `tools/call` is recorded; every other message passes, in both directions. A body that two
//! readers may understand differently is refused, so that what runs is what is in the record. What
//! a server says of its tools is remembered, because a call alone does not say what it may do. A
//! call that a rule objects to [waits or is refused](held), and nothing of its request goes on.
//!
//! *Who goes away.* Up to 2025-11-25 a client that goes away does not cancel its call: the answer
//! is awaited, or comes with the stream that takes up this one, and is recorded. In later revisions
//! it does, and what became of the call is unknown. In both it is cancelled if nothing was sent yet.

mod calls;
mod child;
mod children;
mod edge;
mod held;
mod http;
mod images;
mod listed;
mod ours;
mod shared;
mod stdio;
mod tasks;
mod upkeep;

use std::sync::Arc;

use ::http::header::{ALLOW, HeaderValue, ORIGIN};
use ::http::{HeaderMap, Method, Request, Response, StatusCode};
use engine::live::Caller;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use wire::jsonrpc::{self, Body as Messages, Id};
use wire::mcp::http::{PROTOCOL_VERSION, Revision, SESSION_ID};
use wire::mcp::{Meta, What};

use crate::route::Below;
use crate::upstream::Endpoint;
use crate::{Body, Inner, caller, headers, reply, rpc};

use self::calls::{Calls, Said};
use self::ours::Place;
use self::tasks::Way;

pub use self::child::Program;
pub(crate) use self::ours::{Failed, value_of};
pub(crate) use self::shared::Shared;

/// Where an MCP server is.
#[derive(Clone, Debug)]
pub enum McpServer {
    /// At an address, where it speaks streamable HTTP.
    Http(Endpoint),
    /// A program that we start, and speak to over its standard input and output.
    Program(Program),
}

impl McpServer {
    /// Returns its address, if it has one.
    pub(crate) fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Http(endpoint) => Some(endpoint),
            Self::Program(_) => None,
        }
    }
}

/// Where a request comes from, as far as its headers say.
#[derive(Clone, Debug)]
struct Origin {
    server: String,
    /// The session, up to 2025-11-25.
    session: Option<String>,
    /// The revision that it names.
    revision: Option<Revision>,
}

impl Origin {
    fn read(server: &str, headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            server: server.to_owned(),
            session: text(SESSION_ID).map(str::to_owned),
            revision: text(PROTOCOL_VERSION).and_then(Revision::parse),
        }
    }

    /// Whether a client that goes away has cancelled what it asked for.
    fn is_stateless(&self) -> bool {
        self.revision.is_some_and(Revision::is_stateless)
    }
}

/// Answers one request.
pub(super) async fn handle(
    inner: Arc<Inner>,
    agent: Option<String>,
    below: Below,
    request: Request<Incoming>,
    place: OwnedSemaphorePermit,
) -> Response<Body> {
    if !below.path.is_empty() {
        let message = format!("the server is at `{}`, and nothing is below it", below.own);
        return reply::plain(StatusCode::NOT_FOUND, "not_found", &message);
    }
    let (parts, body) = request.into_parts();
    let mut origin = Origin::read(&below.name, &parts.headers);
    let max = inner.options.limits.body_bytes_max;
    let body = match rpc::body_of(body, max).await {
        Ok(body) => body,
        Err(refused) => return *refused,
    };
    let Some(server) = inner.options.mcp.get(&below.name).cloned() else {
        return reply::plain(StatusCode::NOT_FOUND, "not_found", "no such server");
    };
    let mut calls = Calls::new(Arc::clone(&inner), origin.clone());
    let mut begins = Begins::default();
    match parts.method {
        Method::POST => {
            let mut from = caller::read(&parts.headers, agent);
            let token = parts.headers.get(caller::TOKEN);
            let token = token.and_then(|token| token.to_str().ok());
            from.token = inner.access.name_of(token).map(str::to_owned);
            let edge = matches!(server, McpServer::Program(_)).then_some(&parts.headers);
            match take(&mut calls, from, &body, edge).await {
                Ok(read) => begins = read,
                Err(refused) => return *refused,
            }
        }
        Method::GET | Method::DELETE => {}
        _ => {
            let message = "MCP is spoken with POST, GET and DELETE";
            let mut refused = reply::plain(StatusCode::METHOD_NOT_ALLOWED, "method", message);
            let allowed = HeaderValue::from_static("GET, POST, DELETE");
            refused.headers_mut().insert(ALLOW, allowed);
            return refused;
        }
    }
    let mut onwards = headers::onwards(&parts.headers);
    // It named us, and was checked here.
    onwards.remove(ORIGIN);
    if matches!(server, McpServer::Program(_)) && begins.stands_alone && !origin.is_stateless() {
        // One that nobody speaks: the program is to say so, as it does of later ones.
        origin.revision = Some(Revision::V2026_07_28);
    }
    let onward = Onward {
        inner,
        server,
        origin,
        method: parts.method,
        query: below.query,
        headers: onwards,
        body,
        begins,
        calls,
        place,
    };
    if onward.calls.are_stopped() {
        return Box::pin(held::answer(onward)).await;
    }
    onward.send().await
}

/// A request that goes on to the server, once nothing holds it.
struct Onward {
    inner: Arc<Inner>,
    server: McpServer,
    origin: Origin,
    method: Method,
    query: Option<String>,
    headers: HeaderMap,
    body: bytes::Bytes,
    begins: Begins,
    calls: Calls,
    place: OwnedSemaphorePermit,
}

impl Onward {
    /// Sends it, in a task that outlives its caller, and returns the answer as it begins.
    async fn send(self) -> Response<Body> {
        let Self {
            inner,
            server,
            origin,
            method,
            query,
            headers,
            body,
            begins,
            calls,
            place,
        } = self;
        let (answer, answered) = oneshot::channel();
        let tasks = inner.recorder.tasks().clone();
        match server {
            McpServer::Http(endpoint) => {
                let mut calls = calls;
                calls.go_by(Way::Http(Box::new(Place {
                    endpoint: endpoint.clone(),
                    headers: headers.clone(),
                })));
                let mut exchange = http::Exchange {
                    inner,
                    endpoint,
                    origin,
                    method,
                    query,
                    headers,
                    body,
                    calls,
                    answer,
                    called_off: None,
                };
                tasks.spawn(async move {
                    let gone = exchange.answer.is_closed();
                    if exchange.calls.go_out(gone).await {
                        exchange.run().await;
                    }
                    drop(place);
                });
            }
            McpServer::Program(program) => {
                let mut exchange = stdio::Exchange {
                    inner,
                    program,
                    origin,
                    method,
                    body,
                    initializes: begins.initializes,
                    tokens: begins.tokens,
                    calls,
                    answer,
                };
                tasks.spawn(async move {
                    let gone = exchange.answer.is_closed();
                    if exchange.calls.go_out(gone).await {
                        exchange.run().await;
                    }
                    drop(place);
                });
            }
        }
        answered.await.unwrap_or_else(|_| {
            let message = "the call ended without an answer";
            reply::plain(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
        })
    }
}

/// What a POST begins, beside its calls.
#[derive(Debug, Default)]
struct Begins {
    /// A session.
    initializes: bool,
    /// Progress, under these tokens.
    tokens: Vec<Id<'static>>,
    /// Whether it says itself of which revision it is.
    stands_alone: bool,
}

/// Takes in what a POST says, and records the calls in it. Towards a program we are the HTTP
/// server, and check the headers that are given.
async fn take(
    calls: &mut Calls,
    from: Caller,
    body: &[u8],
    edge: Option<&HeaderMap>,
) -> Result<Begins, Box<Response<Body>>> {
    let messages: Messages<'_> =
        jsonrpc::read(body).map_err(|error| Box::new(rpc::unreadable(None, &error)))?;
    let mut said: Vec<Said<'_>> = Vec::new();
    let mut begins = Begins::default();
    for request in messages.requests() {
        let what = What::of(request)
            .map_err(|error| Box::new(rpc::unreadable(request.id.as_ref(), &error)))?;
        begins.initializes |= matches!(what, What::Initialize(_));
        let meta = request.params.map(Meta::read).unwrap_or_default();
        if let Some(headers) = edge {
            if let Some(refused) = edge::refusal(request, &what, &meta, headers) {
                return Err(Box::new(refused));
            }
            begins.stands_alone |= edge::stands_alone(headers, &meta);
        }
        begins
            .tokens
            .extend(meta.progress_token.map(Id::into_owned));
        said.push(Said {
            id: request.id.clone(),
            what,
        });
    }
    let batch = matches!(messages, Messages::Batch(_));
    match calls.begin(from, said, batch).await {
        Ok(()) => Ok(begins),
        Err(refusal) => Err(Box::new(refusal.answer(calls.ids(), batch))),
    }
}
