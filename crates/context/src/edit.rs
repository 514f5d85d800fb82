//! Changes to a body: pieces of it, each with what takes its place.

use std::ops::Range;

use model::DecisionId;

/// A body that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The body.
    pub body: Vec<u8>,
    /// What was taken out, in the order of the body.
    pub replaced: Vec<Replaced>,
}

/// One thing that was taken out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Replaced {
    /// Where it was: a JSON Pointer to the item of the history, or to a field of the request.
    pub at: String,
    /// The rescinded decision that it came from.
    pub decision: DecisionId,
    /// What it was.
    pub what: Cut,
    /// What stands there instead.
    pub by: String,
}

/// What was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cut {
    /// All that a message of the model said.
    Message,
    /// The arguments of a call.
    Arguments,
    /// What a tool said.
    Result,
    /// A passage in a text of somebody else.
    Passage,
    /// Nothing: the provider keeps it, and a note was added.
    Kept,
}

impl Cut {
    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Arguments => "arguments",
            Self::Result => "result",
            Self::Passage => "passage",
            Self::Kept => "kept",
        }
    }
}

/// One change.
#[derive(Debug)]
pub(crate) struct Edit {
    pub(crate) place: Range<usize>,
    pub(crate) by: String,
}

/// Writes a body with its changes, which do not overlap.
pub(crate) fn splice(body: &[u8], mut edits: Vec<Edit>) -> Vec<u8> {
    edits.sort_by_key(|edit| edit.place.start);
    let grown: usize = edits.iter().map(|edit| edit.by.len()).sum();
    let mut out = Vec::with_capacity(body.len() + grown);
    let mut from = 0;
    for edit in edits {
        debug_assert!(from <= edit.place.start, "changes overlap");
        out.extend_from_slice(&body[from..edit.place.start]);
        out.extend_from_slice(edit.by.as_bytes());
        from = edit.place.end;
    }
    out.extend_from_slice(&body[from..]);
    out
}
