//! Which headers go on.

use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use crate::caller;

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
    for ours in [caller::AGENT, caller::RUN, caller::CAUSE, caller::TOKEN] {
        onwards.remove(ours);
    }
    onwards.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    onwards
}

/// Returns the headers of an answer as they go back.
pub(crate) fn back(headers: &HeaderMap) -> HeaderMap {
    passed(headers)
}

fn passed(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<&str> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    headers
        .iter()
        .filter(|(name, _)| {
            !OF_CONNECTION.contains(name)
                && !OF_CONNECTION_TOO.contains(&name.as_str())
                && !named
                    .iter()
                    .any(|named| named.eq_ignore_ascii_case(name.as_str()))
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
