//! Facts of the streamable HTTP transport.
//!
//! Up to 2025-11-25 a server may open a session, a client may listen with GET, end the session
//! with DELETE, and take up a stream that broke with `last-event-id`. In 2026-07-28 none of that
//! exists: every request stands alone, and headers mirror what its body says.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::What;
use crate::jsonrpc::Request;

/// Names the session, up to 2025-11-25.
pub const SESSION_ID: &str = "mcp-session-id";
/// Names the revision; required since 2025-06-18.
pub const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// Names the last event seen of a stream that is taken up again, up to 2025-11-25.
pub const LAST_EVENT_ID: &str = "last-event-id";
/// Mirrors the method of the body, since 2026-07-28.
pub const METHOD: &str = "mcp-method";
/// Mirrors the name, address or task of the body, since 2026-07-28; see [`header_value`].
pub const NAME: &str = "mcp-name";

/// A revision of the protocol: a day, ordered like one. Revisions that are not known yet are
/// taken for later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision([u8; 10]);

impl Revision {
    /// The first, whose transport had two addresses.
    pub const V2024_11_05: Self = Self(*b"2024-11-05");
    /// Streamable HTTP; the last with batches. Assumed where no revision is named.
    pub const V2025_03_26: Self = Self(*b"2025-03-26");
    /// The revision is named in a header.
    pub const V2025_06_18: Self = Self(*b"2025-06-18");
    /// Tasks; the last with sessions.
    pub const V2025_11_25: Self = Self(*b"2025-11-25");
    /// Stateless.
    pub const V2026_07_28: Self = Self(*b"2026-07-28");

    /// Reads a revision; none if the text is no day.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let day: [u8; 10] = text.as_bytes().try_into().ok()?;
        let fits = |(at, byte): (usize, &u8)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        };
        day.iter().enumerate().all(fits).then_some(Self(day))
    }

    /// Returns whether every request stands alone: no `initialize`, no session, no GET, no
    /// resuming, no requests of the server.
    #[must_use]
    pub fn is_stateless(self) -> bool {
        self >= Self::V2026_07_28
    }

    /// Returns whether a body may hold several messages.
    #[must_use]
    pub fn has_batches(self) -> bool {
        self <= Self::V2025_03_26
    }
}

/// Returns whether an answer of this content type is a stream of events.
#[must_use]
pub fn is_stream(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("text/event-stream")
}

/// Returns whether an answer says that the session is over, so that the client begins another.
/// Without a session, 404 means that there is no such address or, since 2026-07-28, no such
/// method.
#[must_use]
pub fn ends_session(status: u16, request_had_session: bool) -> bool {
    status == 404 && request_had_session
}

/// Returns the value that a header mirrors: as it stands, or decoded from `=?base64?…?=`. None
/// if it claims to be encoded and is not.
#[must_use]
pub fn header_value(header: &str) -> Option<Cow<'_, str>> {
    let encoded = header.strip_prefix("=?base64?");
    let Some(encoded) = encoded.and_then(|rest| rest.strip_suffix("?=")) else {
        return Some(Cow::Borrowed(header));
    };
    let bytes = STANDARD.decode(encoded).ok()?;
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// Returns what the headers say otherwise than the body, in words: for whoever takes the place of
/// the server towards an HTTP client, since a server must refuse it. Revisions before 2026-07-28
/// have no such headers.
#[must_use]
pub fn mismatch(
    request: &Request<'_>,
    what: &What<'_>,
    revision: Revision,
    method: Option<&str>,
    name: Option<&str>,
) -> Option<String> {
    if !revision.is_stateless() || request.is_notification() {
        return None;
    }
    match method {
        None => return Some(format!("`{METHOD}` is missing")),
        Some(method) if method != request.method => {
            return Some(format!("`{METHOD}` is not the method of the body"));
        }
        Some(_) => {}
    }
    let params = request.params.map(|params| params.object());
    let said = match what {
        What::Call(call) => Some(call.tool.clone()),
        What::Task(_, task) => Some(task.clone()),
        _ => {
            let key = match &*request.method {
                "resources/read" => "uri",
                "prompts/get" => "name",
                _ => return None,
            };
            params.unwrap_or_default().text(key)
        }
    };
    match (said, name) {
        (None, _) => None,
        (Some(_), None) => Some(format!("`{NAME}` is missing")),
        (Some(said), Some(name)) if header_value(name).as_deref() != Some(&said) => {
            Some(format!("`{NAME}` is not what the body names"))
        }
        (Some(_), Some(_)) => None,
    }
}
