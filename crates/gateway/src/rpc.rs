//! What the fronts of MCP and A2A have in common: JSON-RPC over HTTP.

use std::borrow::Cow;

use bytes::Bytes;
use engine::live::{Ended, RecordError};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use model::{FailureClass, Field, Media, Outcome};
use serde_json::json;
use wire::jsonrpc::{self, INTERNAL_ERROR, Id, Json, Unreadable};

use crate::Body;
use crate::upstream::UpstreamError;
use crate::{headers, reply};

/// Why we answer in place of the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// One word for it, which the error carries as `data.code`.
    pub(crate) code: &'static str,
    /// In words.
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// Whether the other side is at fault: it did not answer, or broke off.
    pub(crate) fn blames(&self) -> bool {
        matches!(
            self.code,
            "answer_broken"
                | "program_ended"
                | "stream_truncated"
                | "upstream_timeout"
                | "upstream_unreachable"
        )
    }

    /// The call is stopped because of the record.
    pub(crate) fn unrecorded(error: &RecordError) -> Self {
        match error {
            RecordError::Held { .. } => {
                return Self::new("agent_held", format!("the call was refused: {error}"));
            }
            RecordError::Resting { retry_at, .. } => {
                let at = engine::stamp(*retry_at);
                let message = format!("{error}; its approval holds, try again at {at}");
                return Self::new("tool_resting", message);
            }
            RecordError::Done { .. } => return Self::new("done_before", error.to_string()),
            _ => {}
        }
        let message = format!("the call was stopped because it cannot be recorded: {error}");
        Self::new("record_unavailable", message)
    }

    /// The answer is held back because of the record.
    pub(crate) fn withheld(error: &RecordError) -> Self {
        let message = format!(
            "the call was carried out and its answer is held back, because it cannot be recorded: \
             {error}"
        );
        Self::new("record_unavailable", message)
    }

    /// Returns the reply to one request.
    pub(crate) fn reply(&self, id: Option<&Id<'_>>) -> Vec<u8> {
        let data = json!({ "code": self.code }).to_string();
        let data = Json::parse(&data).ok();
        jsonrpc::error_reply(id, INTERNAL_ERROR, &self.message, data)
    }

    /// Returns the reply to one request, as an event of a stream.
    pub(crate) fn event(&self, id: Option<&Id<'_>>) -> Vec<u8> {
        let mut event = b"data: ".to_vec();
        event.extend_from_slice(&self.reply(id));
        event.extend_from_slice(b"\n\n");
        event
    }

    /// Returns the answer to the requests of one body. Clients raise the error of each: with
    /// another status than 200 some of them do not read the body, and wait.
    pub(crate) fn answer(&self, ids: &[Id<'_>], batch: bool) -> Response<Body> {
        let body = match ids {
            // Nobody waits for a reply, so the status has to say it.
            [] => return answer(StatusCode::BAD_GATEWAY, self.reply(None)),
            [id] if !batch => self.reply(Some(id)),
            ids => {
                let replies: Vec<_> = ids.iter().map(|id| self.reply(Some(id))).collect();
                let mut body = b"[".to_vec();
                body.extend_from_slice(&replies.join(&b','));
                body.push(b']');
                body
            }
        };
        answer(StatusCode::OK, body)
    }
}

/// An answer with a message for its body.
pub(crate) fn answer(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(reply::whole(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// Refuses a body that cannot be read, or can be read in two ways.
pub(crate) fn unreadable(id: Option<&Id<'_>>, error: &Unreadable) -> Response<Body> {
    let body = jsonrpc::error_reply(id, error.code(), &error.to_string(), None);
    answer(StatusCode::BAD_REQUEST, body)
}

/// Reads the body of a request.
pub(crate) async fn body_of(body: Incoming, max: usize) -> Result<Bytes, Box<Response<Body>>> {
    let (status, what) = match Limited::new(body, max).collect().await {
        Ok(body) => return Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => (
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body has more than {max} bytes (`limits.body_bytes_max`)"),
        ),
        Err(error) => (
            StatusCode::BAD_REQUEST,
            format!("the body of the request broke off: {error}"),
        ),
    };
    let body = jsonrpc::error_reply(None, jsonrpc::INVALID_REQUEST, &what, None);
    Err(Box::new(answer(status, body)))
}

/// The kind of content that headers name.
pub(crate) fn kind_of(headers: &HeaderMap) -> &str {
    let kind = headers.get(CONTENT_TYPE);
    kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default()
}

/// Refuses answers that would lead the client past us, or that cannot be read.
pub(crate) fn passable(status: StatusCode, headers: &HeaderMap, host: &str) -> Result<(), Refusal> {
    if let Some(message) = headers::leads_past(status, headers, host) {
        return Err(Refusal::new("upstream_redirects", message));
    }
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => {
            let message = format!("`{host}` compresses its answer, although it was asked not to");
            Err(Refusal::new("upstream_encoding", message))
        }
        Some(_) | None => Ok(()),
    }
}

/// What went wrong on the way to the other side, and how the call ended by it.
pub(crate) fn unreached(error: &UpstreamError) -> (Refusal, Outcome) {
    let refusal = Refusal::new("upstream_unreachable", error.to_string());
    let unsent = match error {
        UpstreamError::Unreachable { unsent, .. } => *unsent,
        UpstreamError::Address { .. } | UpstreamError::Certificates { .. } => true,
    };
    let outcome = if unsent {
        Outcome::Failed {
            class: FailureClass::Unavailable,
        }
    } else {
        // What was sent may have been carried out.
        Outcome::Unknown
    };
    (refusal, outcome)
}

/// How a call ended that only a status answered.
pub(crate) fn outcome_of(status: StatusCode) -> Outcome {
    // A success that says nothing says nothing.
    if !status.is_client_error() && !status.is_server_error() {
        return Outcome::Unknown;
    }
    let class = match status.as_u16() {
        401 => FailureClass::Authentication,
        403 => FailureClass::Denied,
        404 => FailureClass::NotFound,
        413 => FailureClass::TooLarge,
        429 => FailureClass::RateLimit,
        503 => FailureClass::Overload,
        // Somebody between could not say what became of it.
        408 | 502 | 504 => return Outcome::Unknown,
        500.. => FailureClass::Server,
        _ => FailureClass::Invalid,
    };
    Outcome::Failed { class }
}

/// Whether a status says that who was called is not there.
pub(crate) fn is_absence(status: StatusCode) -> bool {
    matches!(status.as_u16(), 502..=504)
}

/// The end of a call for which there is no answer, with what is known instead.
pub(crate) fn unanswered(outcome: Outcome, why: &str) -> Ended {
    let mut ended = Ended::with(outcome);
    let kept = json!({ "error": why }).to_string();
    ended.kept.push((Field::Result, Media::Json, kept));
    ended
}

/// The end of a call that a body answered which holds no reply to it.
pub(crate) fn answered_by(status: StatusCode, body: &[u8]) -> Ended {
    let mut ended = Ended::with(outcome_of(status));
    let body: Cow<'_, str> = String::from_utf8_lossy(body);
    let kept = json!({ "status": status.as_u16(), "body": body }).to_string();
    ended.kept.push((Field::Result, Media::Json, kept));
    ended
}
