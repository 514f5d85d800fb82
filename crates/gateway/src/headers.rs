//! Which headers go on.

use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    LOCATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{Response, StatusCode};

use crate::{Body, caller};

/// Headers of one connection, which end there (RFC 9110, 7.6.1).
const OF_CONNECTION: &[HeaderName] = &[
    CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    CONTENT_LENGTH,
    EXPECT,
];

/// More of them, which have no constant.
const OF_CONNECTION_TOO: &[&str] = &[
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
];

/// Returns the headers of a request as they go on: without those of the connection, without ours,
/// and without an offer to compress, because what comes back must be read.
pub(crate) fn onwards(headers: &HeaderMap) -> HeaderMap {
    let mut onwards = passed(headers);
    onwards.remove(HOST);
    onwards.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    onwards
}

/// Returns the headers of an answer as they go back: without those of the connection, and without
/// any that pass for ours.
pub(crate) fn back(headers: &HeaderMap) -> HeaderMap {
    passed(headers)
}

/// Says where an answer leads that would lead past us, and past the record: who follows it calls
/// that place itself.
pub(crate) fn leads_past(status: StatusCode, headers: &HeaderMap, host: &str) -> Option<String> {
    if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
        return None;
    }
    let to = headers.get(LOCATION).and_then(|to| to.to_str().ok());
    // Keys are given in the query too.
    let to = to.unwrap_or_default().split('?').next();
    Some(format!(
        "`{host}` redirects to `{}`, which would lead past the record; set `url` to that",
        to.unwrap_or_default()
    ))
}

/// Whether a request may say in two ways how long its body is. Somebody on the way may have
/// believed the other one, and taken a part of the body for a request of its own; so nothing that
/// comes after it on its connection is believed (RFC 9112, 6.1). The length that it also said is
/// not among the headers any more, so this holds of every request that comes in chunks.
pub(crate) fn is_ambiguous(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
}

/// Ends the connection with this answer.
pub(crate) fn last_on_connection(response: &mut Response<Body>) {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
}

fn passed(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<&str> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let passing = headers.iter().filter(|(name, _)| {
        !name.as_str().starts_with(caller::OURS)
            && !OF_CONNECTION.contains(name)
            && !OF_CONNECTION_TOO.contains(&name.as_str())
            && !named
                .iter()
                .any(|named| named.eq_ignore_ascii_case(name.as_str()))
    });
    // With room for one that is set beside them.
    let mut passed = HeaderMap::with_capacity(headers.len() + 1);
    passed.extend(passing.map(|(name, value)| (name.clone(), value.clone())));
    passed
}
