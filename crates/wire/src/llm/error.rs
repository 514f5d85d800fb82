//! Errors of providers, read and written, and keep-alives.

use super::Api;
use super::fields::{Fields, list, quoted, string};

/// An error as the provider says it. What it means is another matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderError {
    /// Its type (`invalid_request_error`, `overloaded_error`).
    pub kind: Option<String>,
    /// Its code (`context_length_exceeded`), or a status that stands in the body.
    pub code: Option<String>,
    /// Its text, for a person. It may quote what was sent.
    pub message: String,
    /// The field of the request that it is about.
    pub param: Option<String>,
}

/// Text of an error that is no JSON is kept up to this length.
const MESSAGE_BYTES_MAX: usize = 8 << 10;

/// Reads the body of an error, whatever it is.
#[must_use]
pub fn read_error(_api: Api, body: &[u8]) -> ProviderError {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}').trim();
    // Google answers with an array of one.
    let first = serde_json::from_str::<&serde_json::value::RawValue>(text)
        .ok()
        .and_then(|raw| list(raw.get()))
        .and_then(|elements| elements.first().copied());
    match Fields::of(first.unwrap_or(text)) {
        Some(fields) => of_object(&fields),
        None => ProviderError {
            message: cut(&string(text).unwrap_or(text.into())),
            ..ProviderError::default()
        },
    }
}

/// Reads an object that is an error or holds one.
pub(super) fn of_object(fields: &Fields<'_>) -> ProviderError {
    let nested = fields.get("error").or_else(|| {
        let errors = fields.list("errors");
        errors.first().copied()
    });
    let inner = nested.and_then(Fields::of);
    let owned = |key: &str| fields.filled(key).map(|text| text.into_owned());
    let Some(inner) = inner else {
        // No object within: the error is a text, or this object itself.
        let text = nested.and_then(string);
        let message = ["message", "Message", "detail", "error_description"]
            .iter()
            .find_map(|key| fields.filled(key));
        return ProviderError {
            kind: owned("type")
                .filter(|kind| kind != "error")
                .or_else(|| owned("__type").map(|kind| short(&kind)))
                .or_else(|| text.as_deref().filter(|_| message.is_some()).map(cut)),
            code: scalar(fields, "code").or_else(|| scalar(fields, "status")),
            message: cut(&message
                .or(text)
                .or_else(|| fields.get("detail").map(Into::into))
                .unwrap_or_default()),
            param: owned("param"),
        };
    };
    let owned = |key: &str| inner.filled(key).map(|text| text.into_owned());
    let message = ["message", "Message", "detail"]
        .iter()
        .find_map(|key| inner.filled(key));
    ProviderError {
        // Google's `status` is a word (`RESOURCE_EXHAUSTED`) beside a numeric code.
        kind: owned("type").or_else(|| owned("status")),
        code: scalar(&inner, "code").or_else(|| {
            let deeper = inner.object("innererror").unwrap_or_default();
            scalar(&deeper, "code")
        }),
        message: cut(&message.unwrap_or_default()),
        param: owned("param"),
    }
}

/// The error in a body or an event that came as a success, if it is one.
pub(super) fn in_success(api: Api, fields: &Fields<'_>) -> Option<ProviderError> {
    let kind = fields.text("type").or_else(|| fields.text("object"));
    let failed = match api {
        // A response has an `error` of its own, beside its status.
        Api::Responses if kind.as_deref() == Some("response") => false,
        _ => fields.get("error").is_some(),
    };
    (failed || kind.as_deref() == Some("error")).then(|| of_object(fields))
}

/// The error of an event whose data is not what its wire promises.
pub(super) fn malformed_event() -> ProviderError {
    ProviderError {
        kind: Some("malformed_event".to_owned()),
        message: "an event of the stream is not valid JSON".to_owned(),
        ..ProviderError::default()
    }
}

/// The code or status, whether it is written as a text or as a number.
fn scalar(fields: &Fields<'_>, key: &str) -> Option<String> {
    let raw = fields.get(key)?;
    match raw.as_bytes().first()? {
        b'"' => string(raw)
            .filter(|text| !text.is_empty())
            .map(|text| text.into_owned()),
        b'0'..=b'9' => Some(raw.to_owned()),
        _ => None,
    }
}

/// AWS writes `com.amazon…#ThrottlingException` or `ThrottlingException:http://…`.
fn short(kind: &str) -> String {
    let after = kind.rsplit('#').next().unwrap_or(kind);
    after.split(':').next().unwrap_or(after).to_owned()
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(MESSAGE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// Returns the body of an error that a proxy answers with itself, in the form of the wire.
///
/// `type` is the wire's own word for the status, so that clients which look at it do what they
/// do for the provider; `kind` is ours, and stands in `code`.
#[must_use]
pub fn error_body(api: Api, status: u16, kind: &str, message: &str) -> Vec<u8> {
    let (kind, message) = (quoted(kind), quoted(message));
    let word = quoted(word(api, status));
    match api {
        Api::Chat | Api::Responses => format!(
            r#"{{"error":{{"message":{message},"type":{word},"param":null,"code":{kind}}}}}"#
        ),
        Api::Messages => format!(
            r#"{{"type":"error","error":{{"type":{word},"message":{message},"code":{kind}}}}}"#
        ),
    }
    .into_bytes()
}

const fn word(api: Api, status: u16) -> &'static str {
    match (api, status) {
        (_, 401) => "authentication_error",
        (Api::Messages, 403) => "permission_error",
        (Api::Messages, 404) => "not_found_error",
        (Api::Messages, 413) => "request_too_large",
        (_, 429) => "rate_limit_error",
        (Api::Messages, 504) => "timeout_error",
        (Api::Messages, 503 | 529) => "overloaded_error",
        (_, 400..=499) => "invalid_request_error",
        (Api::Messages, _) => "api_error",
        (Api::Chat | Api::Responses, _) => "server_error",
    }
}

/// Returns the event that tells a client, in the middle of a stream, that it failed.
///
/// One form serves all wires: the official SDKs for OpenAI and Anthropic, in Python and in
/// JavaScript, all raise on it, and on no simpler one.
#[must_use]
pub fn error_event(_api: Api, kind: &str, message: &str) -> Vec<u8> {
    let (kind, message) = (quoted(kind), quoted(message));
    let data = format!(r#"{{"type":"error","error":{{"type":{kind},"message":{message}}}}}"#);
    format!("event: error\ndata: {data}\n\n").into_bytes()
}

/// Returns the block that keeps an idle stream alive and that no client takes for an event: a
/// comment on the wires of OpenAI, whose SDKs take a ping for a chunk, and a ping on Anthropic's.
///
/// After an event with an id ([`Block::id`](crate::sse::Block::id)) a comment must not be sent:
/// from then on OpenAI's SDK for Python takes every blank line for an event. Their servers send
/// no ids.
#[must_use]
pub const fn keep_alive(api: Api) -> &'static [u8] {
    match api {
        Api::Chat | Api::Responses => b": keep-alive\n\n",
        Api::Messages => b"event: ping\ndata: {\"type\": \"ping\"}\n\n",
    }
}
