//! Causes: edges from a decision to the decisions that it depends on.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::DecisionId;

/// One edge: "this decision depends on `decision`".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The decision depended on.
    pub decision: DecisionId,
    /// How we know.
    pub evidence: Evidence,
    /// In what way it depends.
    pub kind: CauseKind,
    /// Whether the evidence establishes the dependence or only allows it.
    pub strength: Strength,
}

/// In what way one decision depends on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CauseKind {
    /// An approval allowed it.
    Approval,
    /// The cause's output asked for this tool call.
    Call,
    /// The cause's text was in the prompt.
    Context,
    /// One agent told another.
    Message,
    /// A span contains it, or an agent delegated it.
    Parent,
    /// A policy decision allowed or shaped it.
    Policy,
    /// It read a record that the cause wrote.
    Read,
    /// The result of the call was in the prompt.
    Result,
    /// An argument carries a value first seen in the cause's output.
    Value,
}

impl CauseKind {
    /// All kinds, in the order of their names.
    pub const ALL: [Self; 9] = [
        Self::Approval,
        Self::Call,
        Self::Context,
        Self::Message,
        Self::Parent,
        Self::Policy,
        Self::Read,
        Self::Result,
        Self::Value,
    ];

    /// Returns the name that the record uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Call => "call",
            Self::Context => "context",
            Self::Message => "message",
            Self::Parent => "parent",
            Self::Policy => "policy",
            Self::Read => "read",
            Self::Result => "result",
            Self::Value => "value",
        }
    }
}

/// What the evidence for an edge establishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    /// The dependent could have used the cause: its text was in the prompt, or resembles it.
    Possible,
    /// The dependent demonstrably used the cause: ids match, or it carries the cause's own text
    /// or value.
    Certain,
}

impl Strength {
    /// Returns the name that the record uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Certain => "certain",
        }
    }
}

/// How an edge is known. Never holds the matched text itself: that is personal data, and the
/// record's leaves cannot be erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// A tool call and its asker, or a result and its call, carry the same call id.
    CallId,
    /// The source says so: a parent span, a reference, a header, an SDK call.
    Explicit {
        /// The source's word for it, such as `parent_span_id` or `x-rescind-cause`.
        by: String,
    },
    /// An assistant message in the request equals an earlier output, byte for byte.
    EqualText,
    /// Name and arguments of a call match what the output asked for; there was no id.
    NameAndArguments,
    /// The request resends a history of which the cause is a part.
    HistoryPrefix,
    /// The cause comes right before it in the same recorded history.
    Adjacent,
    /// The agent was addressed by name.
    Addressed,
    /// Fingerprints of the text are shared.
    Overlap {
        /// Share of the smaller text's fingerprints found in the other, in percent.
        percent: u8,
    },
    /// A rare value appears in an argument and was first seen in the cause's output.
    Value {
        /// JSON Pointer (RFC 6901) of the argument that carries it.
        at: String,
    },
    /// The cause changed a record that the decision looked at.
    Record {
        /// JSON Pointer of the field that both are about; empty where only the record is known, or
        /// all of it is meant.
        at: String,
        /// Names the record.
        uri: String,
    },
}

/// How it is known, in words.
impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CallId => f.write_str("the call id is the same"),
            Self::Explicit { by } => write!(f, "the source says so (`{by}`)"),
            Self::EqualText => f.write_str("the same text, byte for byte, was an earlier output"),
            Self::NameAndArguments => f.write_str("name and arguments are those asked for"),
            Self::HistoryPrefix => f.write_str("the request resends this part of the history"),
            Self::Adjacent => f.write_str("comes right before it in the same history"),
            Self::Addressed => f.write_str("the agent was addressed by name"),
            Self::Overlap { percent } => write!(f, "{percent} % of the text is shared"),
            Self::Value { at } => write!(f, "the value at `{at}` was first seen there"),
            Self::Record { at, uri } if at.is_empty() => {
                write!(f, "looked at `{uri}`, which was changed there")
            }
            Self::Record { at, uri } => {
                write!(f, "looked at `{at}` of `{uri}`, which was changed there")
            }
        }
    }
}
