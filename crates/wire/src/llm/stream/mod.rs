//! Streams: what each block means while it passes, and what the answer was when they end.
//!
//! ```text
//! Preamble* ─► Content, ToolCall … LastOfToolCall … ─► Terminal        complete, or incomplete
//!          └──────────────────────────────────────► Cut, Failed, EOF   truncated, or failed
//! ```
//!
//! *When a client may act on a call.* The official SDKs hand a call out before the stream ends:
//! when its block or item stops, when its choice finishes, or, of several calls in a chat choice,
//! when it is another's turn. Every block of these kinds is a [`Moment::LastOfToolCall`]; one that
//! is neither that nor [`Moment::Terminal`] never lets a client act.
//!
//! *When a stream is complete.*
//!
//! | Wire | All of this was seen |
//! |---|---|
//! | chat | a `finish_reason` for every choice; `[DONE]` may be missing, as some servers leave it out |
//! | responses | `response.completed` or `response.incomplete` (`response.cancelled`) |
//! | messages | a `stop_reason`, the stop of every call, `message_stop` |
//!
//! The official SDKs take a stream for a success that merely ends, or whose end mark comes
//! without the rest. Here it is truncated, and the mark is a [`Moment::Cut`].
//!
//! *Events that are no JSON* fail the stream, because the SDKs raise on them and nobody knows
//! what they said. Only on the messages wire an event without a name is passed over, as its SDKs
//! do.

mod chat;
mod messages;
mod responses;

use super::answer::{Answer, Completeness};
use super::error::{self, ProviderError};
use super::fields::Fields;
use super::{Api, read_error};
use crate::sse::Block;

/// A stream as it comes in.
#[derive(Clone, Debug)]
pub struct Stream {
    api: Api,
    state: State,
    error: Option<ProviderError>,
    /// Whether an end mark was seen, true or not.
    ended: bool,
}

#[derive(Clone, Debug)]
enum State {
    Chat(chat::State),
    Responses(responses::State),
    Messages(messages::State),
}

/// What a block means to the client that gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing that a client could act on: a comment, a ping, a role, the announcement of an
    /// answer, its usage. While nothing else came, another upstream can still be chosen.
    Preamble,
    /// A part of the answer: text, thought, a refusal, work of the provider's own tools; or the
    /// reason why a choice without calls ended.
    Content,
    /// The beginning or a piece of a call.
    ToolCall,
    /// With this block a client may act on a call.
    LastOfToolCall,
    /// The block that ends the stream, which is complete with it.
    Terminal,
    /// A mark that ends the stream although what must come before is missing. The answer is
    /// truncated, and a client that gets this block takes it for whole: it needs an
    /// [`error_event`](super::error_event) in its place.
    Cut,
    /// The provider says that it failed, or the block cannot be read.
    Failed(ProviderError),
    /// An event that is unknown here, or came after the end. It might say anything.
    Unknown,
}

impl Moment {
    /// Returns its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Preamble => "preamble",
            Self::Content => "content",
            Self::ToolCall => "tool-call",
            Self::LastOfToolCall => "last-of-tool-call",
            Self::Terminal => "terminal",
            Self::Cut => "cut",
            Self::Failed(_) => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// The weightier of two that one block has.
    fn or(self, other: Self) -> Self {
        let weight = |moment: &Self| match moment {
            Self::Preamble => 0,
            Self::Unknown => 1,
            Self::Content => 2,
            Self::ToolCall => 3,
            Self::LastOfToolCall => 4,
            Self::Terminal | Self::Cut | Self::Failed(_) => 5,
        };
        if weight(&other) > weight(&self) {
            other
        } else {
            self
        }
    }
}

impl Stream {
    /// Begins to read a stream.
    #[must_use]
    pub fn new(api: Api) -> Self {
        let state = match api {
            Api::Chat => State::Chat(chat::State::default()),
            Api::Responses => State::Responses(responses::State::default()),
            Api::Messages => State::Messages(messages::State::default()),
        };
        Self {
            api,
            state,
            error: None,
            ended: false,
        }
    }

    /// Takes in a block and says what it means. After a failure, an end mark is a
    /// [`Moment::Cut`]; after an end mark, everything is [`Moment::Unknown`] and changes nothing.
    pub fn push(&mut self, block: &Block) -> Moment {
        let event = block.event.as_deref().filter(|event| !event.is_empty());
        // An event without data reaches no client.
        let data = block.data.as_deref().filter(|data| !data.is_empty());
        let Some(data) = data else {
            return Moment::Preamble;
        };
        if self.ended {
            return Moment::Unknown;
        }
        if event == Some("error") {
            return self.fail(read_error(self.api, data.as_bytes()));
        }
        if event == Some("ping") && self.api == Api::Messages {
            return Moment::Preamble;
        }
        if data.starts_with("[DONE]") && self.api != Api::Messages {
            return self.end_mark(self.is_complete());
        }
        let Some(fields) = Fields::of(data) else {
            return match (&mut self.state, event) {
                (State::Messages(state), None) => state.unknown(),
                _ => self.fail(error::malformed_event()),
            };
        };
        if let Some(error) = error::in_success(self.api, &fields) {
            return self.fail(error);
        }
        let moment = match &mut self.state {
            State::Chat(state) => state.push(&fields),
            State::Responses(state) => state.push(event, &fields),
            State::Messages(state) => state.push(event, &fields),
        };
        match moment {
            Moment::Failed(error) => self.fail(error),
            Moment::Terminal => self.end_mark(true),
            Moment::Cut => self.end_mark(false),
            moment => moment,
        }
    }

    /// Returns whether the stream, as it came so far, is a whole answer.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let whole = match &self.state {
            State::Chat(state) => state.is_finished(),
            State::Responses(state) => state.is_finished(),
            State::Messages(state) => state.is_finished(),
        };
        whole && self.error.is_none()
    }

    /// Ends the stream, whether or not it is complete, and returns what came of it.
    #[must_use]
    pub fn end(self) -> Answer {
        let mut answer = match self.state {
            State::Chat(state) => state.end(),
            State::Responses(state) => state.end(),
            State::Messages(state) => state.end(),
        };
        if let Some(error) = self.error {
            answer.complete = Completeness::Failed;
            answer.error = Some(error);
        }
        answer
    }

    fn fail(&mut self, error: ProviderError) -> Moment {
        self.error.get_or_insert_with(|| error.clone());
        Moment::Failed(error)
    }

    fn end_mark(&mut self, complete: bool) -> Moment {
        self.ended = true;
        match complete && self.error.is_none() {
            true => Moment::Terminal,
            false => Moment::Cut,
        }
    }
}
