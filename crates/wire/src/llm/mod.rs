//! Requests to models and their answers, on three wires.
//!
//! ```text
//! body of a request ─► read_request ─► Request: items, tools, settings
//! body of an answer ─► read_answer ──► Answer:  text, calls, usage, how complete it is
//! body of a request ─► Layout ───────► the same, as slices of the body
//! blocks of a stream ─► Stream ──────► a Moment for each block, and an Answer at the end
//! ```
//!
//! The wires differ in form and agree in what they say, so the same conversation reads as the
//! same [`Item`]s on each, and the same answer as the same [`Answer`], plain or streamed. Who
//! passes bytes on passes them unchanged: nothing here writes a body anew, except the errors and
//! keep-alives that a proxy has to say itself.
//!
//! A stream that breaks off is never a success: see [`Stream`] for what each wire must have said.
//!
//! What is not here: sockets and HTTP, judging what an error means (that needs the texts of many
//! providers), and any repair of what is read. Fields, parts and events that nobody here knows
//! are passed over and counted.

mod answer;
mod chat;
mod error;
mod fields;
mod layout;
mod messages;
mod rename;
mod request;
mod responses;
mod snapshot;
mod stream;

use std::fmt;

pub use answer::{Answer, Completeness, OwnedCall, Usage};
pub use error::{ProviderError, error_body, error_event, keep_alive, read_error};
pub use layout::Layout;
pub use rename::with_model;
pub use request::{Call, Item, Request, Role, ToolDef};
pub use snapshot::snapshot;
pub use stream::{Moment, Stream};

/// Values of a body as they stand there, for who works on a [`Layout`].
pub mod raw {
    pub use super::fields::{Fields, Raw, elements, list, quoted, string};
}

use fields::{Body, Fields};

/// A wire on which models are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// OpenAI chat completions: `POST …/chat/completions`.
    Chat,
    /// OpenAI responses: `POST …/responses`.
    Responses,
    /// Anthropic messages: `POST …/messages`.
    Messages,
}

impl Api {
    /// All wires.
    pub const ALL: [Self; 3] = [Self::Chat, Self::Responses, Self::Messages];

    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Messages => "messages",
        }
    }

    /// Returns the key of a request's history.
    const fn history(self) -> &'static str {
        match self {
            Self::Chat | Self::Messages => "messages",
            Self::Responses => "input",
        }
    }

    /// Returns what OpenTelemetry calls the provider whose wire this is (`gen_ai.provider.name`).
    #[must_use]
    pub const fn provider(self) -> &'static str {
        match self {
            Self::Chat | Self::Responses => "openai",
            Self::Messages => "anthropic",
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a body could not be read. It can be passed on all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// Bytes that are not UTF-8.
    #[error("byte {offset} of the body is not UTF-8")]
    Utf8 {
        /// Offset of the first bad byte, counted from 0.
        offset: usize,
    },
    /// Not JSON.
    #[error("the body is not JSON: {reason}")]
    Malformed {
        /// What the parser says; it quotes nothing of the body.
        reason: String,
    },
    /// JSON of another shape.
    #[error("expected {expected}")]
    Shape {
        /// What the wire wants.
        expected: &'static str,
    },
    /// A key given twice in one object: parsers disagree which counts, so the record might say
    /// one thing where the model saw another.
    #[error("a key occurs twice in {within}")]
    RepeatedKey {
        /// Which object.
        within: &'static str,
    },
}

/// Reads the body of a request. Text is borrowed from it wherever JSON escapes allow.
///
/// # Errors
/// [`Unreadable`] if it is no JSON, or no request of this wire.
pub fn read_request(api: Api, body: &[u8]) -> Result<Request<'_>, Unreadable> {
    let body = Body::parse(utf8(body)?, api.history()).map_err(unreadable)?;
    read_body(api, body)
}

fn read_body(api: Api, mut body: Body<'_>) -> Result<Request<'_>, Unreadable> {
    if body.fields.repeats() {
        return Err(Unreadable::RepeatedKey {
            within: "the request",
        });
    }
    let mut request = Request::of(api, &body.fields);
    match api {
        Api::Chat => chat::request(&mut body, &mut request),
        Api::Responses => responses::request(&mut body, &mut request),
        Api::Messages => messages::request(&mut body, &mut request),
    }?;
    Ok(request)
}

/// Reads the body of a plain answer that came with a status of success.
///
/// # Errors
/// [`Unreadable`] if it is no JSON object. Of one that is something else than an answer, nothing
/// is complete: see [`Answer::complete`].
pub fn read_answer(api: Api, body: &[u8]) -> Result<Answer, Unreadable> {
    let fields: Fields<'_> = serde_json::from_str(utf8(body)?).map_err(unreadable)?;
    if let Some(error) = error::in_success(api, &fields) {
        return Ok(Answer::failed(error));
    }
    Ok(match api {
        Api::Chat => chat::answer(&fields),
        Api::Responses => responses::answer(&fields),
        Api::Messages => messages::answer(&fields),
    })
}

fn utf8(body: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(body).map_err(|error| Unreadable::Utf8 {
        offset: error.valid_up_to(),
    })
}

fn unreadable(error: serde_json::Error) -> Unreadable {
    if error.is_data() {
        return Unreadable::Shape {
            expected: "a JSON object",
        };
    }
    Unreadable::Malformed {
        reason: error.to_string(),
    }
}
