//! JSON-RPC 2.0 envelopes, read without being changed.
//!
//! [`read`] looks into a body and says what each message is: a [`Request`] (without an id, a
//! notification) or a [`Response`]. Everything is borrowed: the bytes themselves go on to whom
//! they are for, and what is read here decides only what is recorded. Unknown fields are ignored,
//! and a missing `jsonrpc` too, since whoever gets the bytes may act on them all the same.
//!
//! *What is refused.* A body that two readers may understand differently: a field given twice, or
//! in two spellings (`method` and `Method`), or a method beside a result. Were it passed, the
//! record could say one thing and the other side do another.
//!
//! *What is not done here.* Methods and their parameters belong to the protocols above: MCP and A2A.

mod id;
mod json;

use std::borrow::Cow;
use std::fmt;

pub use id::Id;
pub use json::Json;
use model::FailureClass;

use crate::import::json::{self as slices, Object};

/// The body is no JSON.
pub const PARSE_ERROR: i64 = -32700;
/// The body is no message.
pub const INVALID_REQUEST: i64 = -32600;
/// Nobody knows the method.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// The parameters are wrong.
pub const INVALID_PARAMS: i64 = -32602;
/// The other side failed.
pub const INTERNAL_ERROR: i64 = -32603;

/// What a body holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// One message.
    One(Message<'a>),
    /// A batch, which MCP has up to revision 2025-03-26 and A2A never. It is never empty.
    Batch(Vec<Message<'a>>),
}

impl<'a> Body<'a> {
    /// Returns the messages in their order.
    #[must_use]
    pub fn messages(&self) -> &[Message<'a>] {
        match self {
            Self::One(message) => std::slice::from_ref(message),
            Self::Batch(messages) => messages,
        }
    }

    /// Returns the requests, notifications among them, in their order.
    pub fn requests(&self) -> impl Iterator<Item = &Request<'a>> {
        self.messages().iter().filter_map(|message| match message {
            Message::Request(request) => Some(request),
            Message::Response(_) => None,
        })
    }

    /// Returns the responses in their order.
    pub fn responses(&self) -> impl Iterator<Item = &Response<'a>> {
        self.messages().iter().filter_map(|message| match message {
            Message::Request(_) => None,
            Message::Response(response) => Some(response),
        })
    }
}

/// A message in either direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Somebody asks for something, or tells something.
    Request(Request<'a>),
    /// Somebody answers.
    Response(Response<'a>),
}

/// A request, or a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Its id; a notification has none and gets no answer.
    pub id: Option<Id<'a>>,
    /// What is asked for.
    pub method: Cow<'a, str>,
    /// With what; an object or an array in messages that keep to the specification.
    pub params: Option<Json<'a>>,
}

impl Request<'_> {
    /// Returns whether nobody waits for an answer.
    #[must_use]
    pub fn is_notification(&self) -> bool {
        self.id.is_none()
    }
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// The id of the request; absent or null where the other side could not read it.
    pub id: Option<Id<'a>>,
    /// The result, or the error in its place.
    pub result: Result<Json<'a>, RpcError<'a>>,
}

/// An error in place of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcError<'a> {
    /// Which; 0 where it says none that is an integer.
    pub code: i64,
    /// In words.
    pub message: Cow<'a, str>,
    /// More, in a form that the sender chose.
    pub data: Option<Json<'a>>,
}

impl RpcError<'_> {
    /// Returns the class of the errors that JSON-RPC itself defines; any other code is an
    /// [`Error`](FailureClass::Error), and the protocol above may know better.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self.code {
            PARSE_ERROR | INVALID_REQUEST | METHOD_NOT_FOUND | INVALID_PARAMS => {
                FailureClass::Invalid
            }
            INTERNAL_ERROR => FailureClass::Server,
            _ => FailureClass::Error,
        }
    }
}

/// Why a body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// Bytes that are not UTF-8.
    #[error("byte {offset} of the body is not UTF-8")]
    Utf8 {
        /// Offset of the first bad byte, counted from 0.
        offset: usize,
    },
    /// Something that is not JSON.
    #[error("the body is not JSON: {reason}")]
    Json {
        /// What the parser says.
        reason: String,
    },
    /// JSON that is no message.
    #[error("the body is no JSON-RPC message: {reason}")]
    NotAMessage {
        /// What it lacks.
        reason: Cow<'static, str>,
    },
    /// A message that two readers may understand differently.
    #[error("the message can be read in two ways: {reason}")]
    Ambiguous {
        /// Which field.
        reason: String,
    },
    /// A message whose parameters are not those of its method.
    #[error("`{method}` needs {wants}")]
    Params {
        /// The method.
        method: &'static str,
        /// What it needs.
        wants: &'static str,
    },
}

impl Unreadable {
    /// Returns the code with which a reply says so.
    #[must_use]
    pub fn code(&self) -> i64 {
        match self {
            Self::Utf8 { .. } | Self::Json { .. } => PARSE_ERROR,
            Self::NotAMessage { .. } | Self::Ambiguous { .. } => INVALID_REQUEST,
            Self::Params { .. } => INVALID_PARAMS,
        }
    }

    fn lacks(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::NotAMessage {
            reason: reason.into(),
        }
    }
}

/// Reads a body.
///
/// # Errors
/// [`Unreadable`]; the other side would refuse the body as well, or could take it for something
/// else than was read.
pub fn read(body: &[u8]) -> Result<Body<'_>, Unreadable> {
    let text = std::str::from_utf8(body).map_err(|error| Unreadable::Utf8 {
        offset: error.valid_up_to(),
    })?;
    read_text(text)
}

/// Reads a body that is known to be text, such as the data of a server-sent event.
///
/// # Errors
/// As [`read`].
pub fn read_text(text: &str) -> Result<Body<'_>, Unreadable> {
    let json = Json::parse(text)?;
    let Ok(elements) = slices::array(json.text()) else {
        return read_message(json).map(Body::One);
    };
    if elements.is_empty() {
        return Err(Unreadable::lacks("a batch holds at least one message"));
    }
    let messages = elements.into_iter().map(Json::validated).map(read_message);
    messages.collect::<Result<_, _>>().map(Body::Batch)
}

/// The fields of an envelope, in the one spelling that there is.
const FIELDS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

fn read_message(json: Json<'_>) -> Result<Message<'_>, Unreadable> {
    if !json.text().starts_with('{') {
        return Err(Unreadable::lacks("expected an object"));
    }
    let object = unambiguous(json, &FIELDS)?;
    // Not by `get`, which takes `null` for absent: here it is a value.
    let field = |name: &str| {
        let mut pairs = object.pairs();
        let found = pairs.find(|(key, _)| *key == name);
        found.map(|(_, raw)| Json::validated(raw))
    };
    let id = field("id").map(Id::from);
    match (field("method"), field("result"), field("error")) {
        (Some(method), None, None) => {
            let method = method
                .string()
                .ok_or_else(|| Unreadable::lacks("`method` is no string"))?;
            let params = field("params").filter(|params| !params.is_null());
            Ok(Message::Request(Request { id, method, params }))
        }
        (None, result, error) => {
            let error = error.filter(|error| !error.is_null());
            let result = match (result, error) {
                (Some(result), None) => Ok(result),
                (None, Some(error)) => Err(read_error(error)),
                // Some servers write `"result": null` beside an error.
                (Some(result), Some(error)) if result.is_null() => Err(read_error(error)),
                (Some(_), Some(_)) => {
                    return Err(Unreadable::Ambiguous {
                        reason: "a result beside an error".to_owned(),
                    });
                }
                (None, None) => {
                    return Err(Unreadable::lacks("no `method`, no `result`, no `error`"));
                }
            };
            Ok(Message::Response(Response { id, result }))
        }
        (Some(_), ..) => Err(Unreadable::Ambiguous {
            reason: "a method beside a result".to_owned(),
        }),
    }
}

fn read_error(error: Json<'_>) -> RpcError<'_> {
    let object = error.object();
    let code = object.get("code").and_then(|raw| raw.parse().ok());
    RpcError {
        code: code.unwrap_or_default(),
        message: object.text("message").unwrap_or_default(),
        data: object.get("data").map(Json::validated),
    }
}

/// An object in which nothing is said twice, and none of some fields is spelt otherwise.
pub(crate) fn unambiguous<'a>(json: Json<'a>, fields: &[&str]) -> Result<Object<'a>, Unreadable> {
    let object = slices::object(json.text()).map_err(|fault| Unreadable::Ambiguous {
        reason: fault.reason(),
    })?;
    for (key, _) in object.pairs() {
        let spelt = fields
            .iter()
            .find(|field| field.eq_ignore_ascii_case(key) && **field != key);
        if let Some(field) = spelt {
            return Err(Unreadable::Ambiguous {
                reason: format!("`{key}` may be taken for `{field}`"),
            });
        }
    }
    Ok(object)
}

/// Writes a reply that says an error. Without an id it answers a message that could not be read.
#[must_use]
pub fn error_reply(
    id: Option<&Id<'_>>,
    code: i64,
    message: &str,
    data: Option<Json<'_>>,
) -> Vec<u8> {
    let id = id.map_or("null", Id::text);
    let message = slices::quoted(message);
    let data = data.map_or_else(String::new, |data| format!(",\"data\":{data}"));
    let reply = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":{code},\"message\":{message}{data}}}}}"
    );
    reply.into_bytes()
}

/// Returns the result in a reply, if it gives one.
#[must_use]
pub fn result_in(reply: &str) -> Option<Json<'_>> {
    match read_text(reply) {
        Ok(Body::One(Message::Response(response))) => response.result.ok(),
        Ok(_) | Err(_) => None,
    }
}

/// Writes a reply that gives a result.
#[must_use]
pub fn result_reply(id: &Id<'_>, result: Json<'_>) -> Vec<u8> {
    let id = id.text();
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}").into_bytes()
}

impl fmt::Display for RpcError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}
