//! Calls of our own: sessions with servers in which nobody but us asks.
//!
//! Images of records are read over them, and rollbacks carried out. A session is begun when it is
//! first needed and again when the server has forgotten it; a call that was lost with its session
//! is never sent again here, since it may have been carried out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};

use ::http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use ::http::{HeaderMap, Method, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use wire::jsonrpc::{Id, Json};
use wire::mcp::http::{PROTOCOL_VERSION, SESSION_ID, ends_session, is_stream};
use wire::mcp::{CallResult, CallState};
use wire::sse::Splitter;

use crate::upstream::{Endpoint, UpstreamError};
use crate::{Inner, reply, rpc};

use super::McpServer;
use super::child::Child;

/// The revision that we ask for.
const REVISION: &str = "2025-06-18";

/// The first revision without sessions.
const STATELESS: &str = "2026-07-28";

/// The code with which servers without sessions answer `initialize`.
const METHOD_NOT_FOUND: i64 = -32601;

/// Where our session with a server is, once there is one; locked while it is begun.
type Seat = Arc<Mutex<Option<Arc<Session>>>>;

/// Our sessions, by server.
#[derive(Debug, Default)]
pub(super) struct Ours {
    /// Each has a lock of its own: a server that hangs while it is greeted holds up no other.
    seats: SyncMutex<HashMap<String, Seat>>,
    asked: AtomicU64,
}

#[derive(Debug)]
enum Session {
    Http(Box<Place>),
    Program(Arc<Child>),
}

/// Where a server is, and what every request of the session says.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) endpoint: Endpoint,
    pub(super) headers: HeaderMap,
}

/// Why there is no result.
#[derive(Clone, Debug)]
pub(crate) enum Failed {
    /// The request did not reach the server.
    NotSent {
        reason: String,
        /// Whether another try may get through.
        passes: bool,
    },
    /// The server refused it.
    Refused(String),
    /// It went out, and nobody knows what became of it.
    Unknown(String),
}

/// What became of a request in a session.
pub(super) enum Asked {
    Replied(Value),
    /// There is no such session any more, and the request was not carried out.
    Gone(String),
}

impl Inner {
    /// Calls a tool and returns the text of its result.
    pub(crate) async fn call_tool(
        self: &Arc<Self>,
        server: &str,
        tool: &str,
        arguments: &Value,
        meta: Option<Value>,
    ) -> Result<Value, Failed> {
        let mut params = json!({ "name": tool, "arguments": arguments });
        if let Some(meta) = meta {
            params["_meta"] = meta;
        }
        let answer = self.ask(server, "tools/call", &params).await;
        if answer.is_ok() {
            self.greeted(server);
        }
        answer
    }

    /// Makes a request of ours and returns its result.
    pub(super) async fn ask(
        &self,
        server: &str,
        method: &str,
        params: &Value,
    ) -> Result<Value, Failed> {
        let mut gone = None;
        for _ in 0..2 {
            let session = self.session(server).await?;
            let limit = self.options.timeouts.total;
            let asked = self.ask_in(&session, method, params);
            let asked = tokio::time::timeout(limit, asked)
                .await
                .unwrap_or_else(|_| {
                    let reason = format!("`{server}` did not answer in time (`timeouts.total_ms`)");
                    Err(Failed::Unknown(reason))
                });
            match asked? {
                Asked::Replied(reply) => return result_of(&reply),
                Asked::Gone(reason) => {
                    self.mcp.ours.forget(server, &session).await;
                    gone = Some(reason);
                }
            }
        }
        Err(Failed::NotSent {
            reason: gone.unwrap_or_default(),
            passes: true,
        })
    }

    /// Returns our session with a server, and begins one where there is none.
    async fn session(&self, server: &str) -> Result<Arc<Session>, Failed> {
        let not_sent = |reason: String, passes| Failed::NotSent { reason, passes };
        let at = self.options.mcp.get(server);
        let at = at.ok_or_else(|| not_sent(format!("there is no MCP server `{server}`"), false))?;
        let seat = self.mcp.ours.seat(server);
        let mut seat = seat.lock().await;
        if let Some(session) = &*seat
            && session.lasts()
        {
            return Ok(Arc::clone(session));
        }
        let session = match at {
            McpServer::Http(endpoint) => self.begin_http(endpoint).await?,
            McpServer::Program(program) => {
                let child = self.mcp.children().begin(self, server, program).await;
                let child = child.map_err(|refusal| not_sent(refusal.message, true))?;
                let session = Session::Program(child);
                if let Asked::Gone(reason) = self.ask_in(&session, "initialize", &hello()).await? {
                    return Err(not_sent(reason, true));
                }
                session.tell("notifications/initialized").await;
                session
            }
        };
        let session = Arc::new(session);
        *seat = Some(Arc::clone(&session));
        Ok(session)
    }

    async fn begin_http(&self, endpoint: &Endpoint) -> Result<Session, Failed> {
        let mut headers = HeaderMap::new();
        let both = HeaderValue::from_static("application/json, text/event-stream");
        headers.insert(ACCEPT, both);
        let json = HeaderValue::from_static("application/json");
        headers.insert(CONTENT_TYPE, json);
        let body = request(0, "initialize", &hello());
        let (head, reply) = self.post(endpoint, &headers, body, Some(0)).await.map_err(
            // That nobody answered a greeting says nothing about a call.
            |failed| match failed {
                Failed::Unknown(reason) => Failed::NotSent {
                    reason,
                    passes: true,
                },
                failed => failed,
            },
        )?;
        let stateless = reply["error"]["code"] == json!(METHOD_NOT_FOUND);
        if !stateless && !head.status.is_success() {
            let host = endpoint.host();
            return Err(Failed::NotSent {
                reason: format!("`{host}` answered {} to our greeting", head.status),
                passes: head.status.is_server_error(),
            });
        }
        let spoken = match stateless {
            true => STATELESS,
            false => reply["result"]["protocolVersion"]
                .as_str()
                .unwrap_or(REVISION),
        };
        if let Ok(spoken) = HeaderValue::from_str(spoken) {
            headers.insert(PROTOCOL_VERSION, spoken);
        }
        if let Some(session) = head.headers.get(SESSION_ID) {
            headers.insert(SESSION_ID, session.clone());
        }
        if !stateless {
            let told = notification("notifications/initialized");
            // A server that does not want to hear it takes calls all the same.
            let _ = self.post(endpoint, &headers, told, None).await;
        }
        Ok(Session::Http(Box::new(Place {
            endpoint: endpoint.clone(),
            headers,
        })))
    }

    async fn ask_in(
        &self,
        session: &Session,
        method: &str,
        params: &Value,
    ) -> Result<Asked, Failed> {
        let number = self.mcp.ours.number();
        let body = request(number, method, params);
        let Place { endpoint, headers } = match session {
            Session::Http(place) => &**place,
            Session::Program(child) => return ask_child(child, number, &body).await,
        };
        let (head, reply) = self.post(endpoint, headers, body, Some(number)).await?;
        if ends_session(head.status.as_u16(), headers.contains_key(SESSION_ID)) {
            let host = endpoint.host();
            return Ok(Asked::Gone(format!("`{host}` has forgotten our session")));
        }
        if reply.get("result").is_some() || reply.get("error").is_some() {
            return Ok(Asked::Replied(reply));
        }
        let host = endpoint.host();
        let reason = format!("`{host}` answered {} and no reply", head.status);
        Err(match head.status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Failed::NotSent {
                reason,
                passes: true,
            },
            status if status.is_client_error() => Failed::NotSent {
                reason,
                passes: false,
            },
            _ => Failed::Unknown(reason),
        })
    }

    /// Sends one message and waits for the reply to it; null where there is none.
    pub(super) async fn post(
        &self,
        endpoint: &Endpoint,
        headers: &HeaderMap,
        body: Bytes,
        number: Option<u64>,
    ) -> Result<(::http::response::Parts, Value), Failed> {
        let uri = endpoint.url.clone();
        let sent = self
            .client
            .call(endpoint, &Method::POST, uri, headers, body);
        let response = sent.await.map_err(|error| match error {
            UpstreamError::Unreachable { unsent: false, .. } => Failed::Unknown(error.to_string()),
            error => Failed::NotSent {
                reason: error.to_string(),
                passes: true,
            },
        })?;
        let (head, body) = response.into_parts();
        let Some(number) = number else {
            return Ok((head, Value::Null));
        };
        let max = self.options.limits.body_bytes_max;
        let reply = if is_stream(rpc::kind_of(&head.headers)) {
            self.reply_in(body, number).await
        } else {
            let read = Limited::new(body, max).collect().await;
            let read = read.map_err(|error| Failed::Unknown(error.to_string()))?;
            serde_json::from_slice(&read.to_bytes()).unwrap_or_default()
        };
        Ok((head, reply))
    }

    /// Waits for a reply in a stream; null where the stream ends without it.
    async fn reply_in(&self, mut body: Incoming, number: u64) -> Value {
        let mut splitter = Splitter::new(self.options.limits.sse_line_bytes_max);
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let (blocks, too_long) = reply::blocks(&mut splitter, &data);
            for block in blocks {
                let message = block.data.as_deref().unwrap_or_default();
                if let Some(reply) = reply_to(number, message) {
                    return reply;
                }
            }
            if too_long.is_some() {
                break;
            }
        }
        Value::Null
    }
}

impl Ours {
    /// Returns a number that no other request of ours has.
    pub(super) fn number(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::Relaxed) + 1
    }

    async fn forget(&self, server: &str, session: &Arc<Session>) {
        let seat = self.seat(server);
        let mut seat = seat.lock().await;
        if seat
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, session))
        {
            *seat = None;
        }
    }

    /// Returns the place for our session with a configured server.
    fn seat(&self, server: &str) -> Seat {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(seats.entry(server.to_owned()).or_default())
    }
}

impl Session {
    fn lasts(&self) -> bool {
        match self {
            Self::Http(_) => true,
            Self::Program(child) => child.ended().is_none(),
        }
    }

    async fn tell(&self, method: &str) {
        if let Self::Program(child) = self {
            child.tell(&notification(method)).await;
        }
    }
}

pub(super) async fn ask_child(child: &Child, number: u64, body: &[u8]) -> Result<Asked, Failed> {
    if let Some(how) = child.ended() {
        return Ok(Asked::Gone(how));
    }
    let id = number.to_string();
    let id: Id<'_> = Json::parse(&id)
        .map_err(|error| Failed::Refused(error.to_string()))?
        .into();
    let ended = || {
        let how = child.ended();
        Failed::Unknown(how.unwrap_or_else(|| "the program ended".to_owned()))
    };
    let asked = child.ask(vec![id.into_owned()], Vec::new(), body).await;
    let (_, mut lines) = asked.ok_or_else(ended)?;
    while let Some(line) = lines.recv().await {
        if let Some(reply) = reply_to(number, &line) {
            return Ok(Asked::Replied(reply));
        }
    }
    Err(ended())
}

fn reply_to(number: u64, message: &str) -> Option<Value> {
    let message: Value = serde_json::from_str(message).ok()?;
    (message["id"] == json!(number) && message.get("method").is_none()).then_some(message)
}

fn result_of(reply: &Value) -> Result<Value, Failed> {
    if let Some(result) = reply.get("result") {
        return Ok(result.clone());
    }
    let error = &reply["error"];
    let said = error["message"].as_str().unwrap_or("it said no more");
    let text = format!("{said} ({})", error["code"]);
    Err(match error["code"].as_i64() {
        // What an internal error left behind nobody can say.
        Some(-32603) | None => Failed::Unknown(text),
        Some(_) => Failed::Refused(text),
    })
}

/// What a tool's result says: structured, or its text, read as JSON where it is JSON.
///
/// # Errors
/// [`Failed::Refused`] with what the tool says of its failure.
pub(crate) fn value_of(result: &Value) -> Result<Value, Failed> {
    let text = result.to_string();
    let Ok(json) = Json::parse(&text) else {
        return Err(Failed::Unknown("the result cannot be read".to_owned()));
    };
    let read = CallResult::read(json);
    match read.state {
        CallState::Complete if read.is_error => Err(Failed::Refused(read.text)),
        CallState::Complete => Ok(read.value()),
        CallState::InputRequired { .. } => {
            Err(Failed::Refused("the tool asks for more input".to_owned()))
        }
        CallState::Task(_) | CallState::Unrecognised(_) => Err(Failed::Unknown(
            "the answer is not the end of the call".to_owned(),
        )),
    }
}

fn hello() -> Value {
    json!({
        "protocolVersion": REVISION,
        "capabilities": {},
        "clientInfo": { "name": "rescind", "version": env!("CARGO_PKG_VERSION") },
    })
}

pub(super) fn request(number: u64, method: &str, params: &Value) -> Bytes {
    let message = json!({ "jsonrpc": "2.0", "id": number, "method": method, "params": params });
    message.to_string().into()
}

fn notification(method: &str) -> Bytes {
    json!({ "jsonrpc": "2.0", "method": method })
        .to_string()
        .into()
}
