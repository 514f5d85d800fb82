//! Whether a stream of events has answered every request that it was opened for.

use crate::jsonrpc::{Body, Id, Json, Message, RpcError, Unreadable, read_text};

/// Follows the streams that answer the requests of one POST, across reconnections.
///
/// A stream is complete when a response to each request was seen, and only then: that the
/// connection ended says nothing, since a server may close it at any time and let the client take
/// it up again (2025-11-25).
#[derive(Clone, Debug)]
pub struct Answers {
    open: Vec<Id<'static>>,
    resumable: bool,
}

/// What an event of the stream answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered<'a> {
    /// Which request.
    pub id: Id<'a>,
    /// With what.
    pub result: Result<Json<'a>, RpcError<'a>>,
}

/// How a stream stands at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Every request was answered.
    Complete,
    /// Some were not: what became of them is not known.
    Truncated {
        /// Which.
        open: Vec<Id<'static>>,
        /// Whether the server gave events an id, so that the client may take the stream up again
        /// with GET; its answer may come then.
        resumable: bool,
    },
}

impl Answers {
    /// Begins with the ids of the requests that wait for an answer; notifications do not.
    pub fn new<'a>(ids: impl IntoIterator<Item = Id<'a>>) -> Self {
        Self {
            open: ids.into_iter().map(Id::into_owned).collect(),
            resumable: false,
        }
    }

    /// Takes the data of an event, and whether the event had an id. Returns the message that it
    /// holds, if any, and which requests it answered. A second answer to one request answers
    /// nothing any more.
    ///
    /// # Errors
    /// Data that is no message. It passes as it came and answers nothing.
    pub fn push<'a>(
        &mut self,
        data: &'a str,
        has_id: bool,
    ) -> Result<(Option<Body<'a>>, Vec<Answered<'a>>), Unreadable> {
        self.resumable |= has_id;
        // An empty event only tells its id.
        if data.is_empty() {
            return Ok((None, Vec::new()));
        }
        let body = read_text(data)?;
        let mut answered = Vec::new();
        for message in body.messages() {
            let Message::Response(response) = message else {
                continue;
            };
            let Some(id) = &response.id else { continue };
            let Some(at) = self.open.iter().position(|open| open == id) else {
                continue;
            };
            self.open.swap_remove(at);
            answered.push(Answered {
                id: id.clone(),
                result: response.result.clone(),
            });
        }
        Ok((Some(body), answered))
    }

    /// Returns whether nothing is waited for any more.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.open.is_empty()
    }

    /// Returns how the stream stands if it ends here. More may be pushed afterwards, when it is
    /// taken up again.
    #[must_use]
    pub fn end(&self) -> End {
        if self.open.is_empty() {
            return End::Complete;
        }
        End::Truncated {
            open: self.open.clone(),
            resumable: self.resumable,
        }
    }
}
