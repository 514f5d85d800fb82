//! What an HTTP server owes its clients since 2026-07-28, where the server is a program, which has
//! neither headers nor statuses.
//!
//! Requests of that revision share programs, and a program may take the first message that it gets
//! for the word on how it is spoken to: one request that does not say would spoil it for everybody.
//! So none goes to a program unless its body says of which revision it is and its headers agree.

use ::http::{HeaderMap, Response, StatusCode};
use wire::jsonrpc::{
    self, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR, Request,
};
use wire::mcp::http::{METHOD, NAME, PROTOCOL_VERSION, Revision, SESSION_ID, mismatch};
use wire::mcp::{Meta, What};

use crate::{Body, rpc};

/// Headers and body say different things.
const HEADER_MISMATCH: i64 = -32020;

/// The client lacks a capability that the answer needs.
const MISSING_CAPABILITY: i64 = -32021;

/// The server does not speak the revision, and says which it does.
const UNSUPPORTED_VERSION: i64 = -32022;

/// Returns whether a request stands alone: it says of which revision it is, with its header or in
/// its body. A session is of an earlier one.
pub(super) fn stands_alone(headers: &HeaderMap, meta: &Meta<'_>) -> bool {
    let revision = text(headers, PROTOCOL_VERSION).and_then(Revision::parse);
    revision.is_some_and(Revision::is_stateless)
        || meta.protocol_version.is_some() && !headers.contains_key(SESSION_ID)
}

/// Returns what is to be answered in place of the program, which such a request must not reach.
pub(super) fn refusal(
    request: &Request<'_>,
    what: &What<'_>,
    meta: &Meta<'_>,
    headers: &HeaderMap,
) -> Option<Response<Body>> {
    if request.is_notification() || !stands_alone(headers, meta) {
        return None;
    }
    let (code, message) = wrong(request, what, meta, headers)?;
    let body = jsonrpc::error_reply(request.id.as_ref(), code, &message, None);
    Some(rpc::answer(status_for(code), body))
}

fn wrong(
    request: &Request<'_>,
    what: &What<'_>,
    meta: &Meta<'_>,
    headers: &HeaderMap,
) -> Option<(i64, String)> {
    let lacks = |key| {
        let message = format!("`_meta` lacks `io.modelcontextprotocol/{key}`");
        Some((INVALID_PARAMS, message))
    };
    let Some(version) = &meta.protocol_version else {
        return lacks("protocolVersion");
    };
    if !request.params.is_some_and(Meta::tells_capabilities) {
        return lacks("clientCapabilities");
    }
    if text(headers, PROTOCOL_VERSION) != Some(version) {
        let message = format!("`{PROTOCOL_VERSION}` is not the revision of the body");
        return Some((HEADER_MISMATCH, message));
    }
    let (method, name) = (text(headers, METHOD), text(headers, NAME));
    let differs = mismatch(request, what, Revision::V2026_07_28, method, name);
    if let Some(message) = differs {
        return Some((HEADER_MISMATCH, message));
    }
    // A program that heard it would take it for the beginning of a session.
    let removed = matches!(what, What::Initialize(_));
    let message = "there is no `initialize` in this revision";
    removed.then(|| (METHOD_NOT_FOUND, message.to_owned()))
}

/// Returns the status of an answer by the error in it.
pub(super) fn status_of(reply: &str) -> StatusCode {
    let Ok(messages) = jsonrpc::read_text(reply) else {
        return StatusCode::OK;
    };
    let mut responses = messages.responses();
    match responses.next().map(|response| &response.result) {
        Some(Err(error)) => status_for(error.code),
        Some(Ok(_)) | None => StatusCode::OK,
    }
}

const fn status_for(code: i64) -> StatusCode {
    match code {
        METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
        PARSE_ERROR | INVALID_REQUEST | INVALID_PARAMS | HEADER_MISMATCH | MISSING_CAPABILITY
        | UNSUPPORTED_VERSION => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
