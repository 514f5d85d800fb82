//! Effects on the world, and how they ended.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// What a decision does to the world outside the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// Who said how it can be taken back; none in records that do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<ClassSource>,
    /// How it can be taken back.
    pub class: EffectClass,
    /// Digest of (run, decision, tool, canonical arguments less the volatile ones).
    pub key: Digest,
    /// What it read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<Resource>,
    /// What it wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub writes: Vec<Resource>,
}

/// A resource and the version that was read or written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Names the resource.
    pub uri: String,
    /// The version read or written, where the tool says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// How an effect can be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EffectClass {
    /// Changes nothing.
    Read,
    /// Doing it twice is the same as once.
    Idempotent,
    /// Can be held back until its run settles.
    Bufferable,
    /// An exact undo exists.
    Reversible,
    /// An undo exists that leaves a residue.
    Compensable,
    /// Cannot be taken back.
    Irreversible,
    /// Nobody has said; treated like irreversible where anything is enforced.
    Unreviewed,
}

impl EffectClass {
    /// Returns the name that records and reports carry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Idempotent => "idempotent",
            Self::Bufferable => "bufferable",
            Self::Reversible => "reversible",
            Self::Compensable => "compensable",
            Self::Irreversible => "irreversible",
            Self::Unreviewed => "unreviewed",
        }
    }
}

/// Who said how an effect can be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassSource {
    /// The operator's catalogue of tools.
    Catalogue,
    /// The server, by naming a tool that compensates.
    Metadata,
    /// The server, by its annotations of the tool.
    Annotations,
    /// Nobody.
    Nobody,
}

impl ClassSource {
    /// Returns the name that records and reports carry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Catalogue => "catalogue",
            Self::Metadata => "metadata",
            Self::Annotations => "annotations",
            Self::Nobody => "nobody",
        }
    }
}

/// How a decision ended. Unknown is an outcome of its own, never folded into another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It did what it set out to do.
    Succeeded,
    /// It did not.
    Failed {
        /// What kind of failure.
        class: FailureClass,
    },
    /// It was stopped before its end.
    Cancelled,
    /// It was not carried out: its answer is the one that an earlier decision got, which its cause
    /// names.
    Replayed,
    /// Nobody knows: there is an intent and no result.
    Unknown,
}

/// Kinds of failure, so that caller mistakes and outages are told apart.
///
/// What to do about one follows from its kind: a rate limit is waited for, an overflow shrunk, a
/// malformed history repaired. A kind is never guessed: what nobody can place is an [`Error`].
///
/// [`Error`]: Self::Error
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// The tool or model answered with an error, of no kind below.
    Error,
    /// The caller's arguments were refused.
    Invalid,
    /// No answer within the limit.
    Timeout,
    /// The service could not be reached or broke off: the network between.
    Unavailable,
    /// Who called is known, and not allowed.
    Denied,
    /// Too much was asked in too short a time.
    RateLimit,
    /// Credit, budget or plan is used up; waiting alone does not help.
    Quota,
    /// The service is up and has no capacity left.
    Overload,
    /// The service failed by its own fault.
    Server,
    /// The input does not fit into the model's context.
    ContextOverflow,
    /// The request is larger than the service takes at once, in bytes or against a limit.
    TooLarge,
    /// Nobody knows who called: no credentials, or wrong or expired ones.
    Authentication,
    /// The model, deployment or address does not exist.
    NotFound,
    /// The messages do not follow on each other: calls without results, wrong order, lost
    /// reasoning.
    MalformedToolHistory,
    /// A safety system refused the input or the output.
    ContentFilter,
    /// The model's own output is not the call or the format that it was asked for.
    BadToolCall,
    /// The machine has not the memory for this model.
    OutOfMemory,
}

impl FailureClass {
    /// Every kind, in the order of its definition.
    pub const ALL: [Self; 17] = [
        Self::Error,
        Self::Invalid,
        Self::Timeout,
        Self::Unavailable,
        Self::Denied,
        Self::RateLimit,
        Self::Quota,
        Self::Overload,
        Self::Server,
        Self::ContextOverflow,
        Self::TooLarge,
        Self::Authentication,
        Self::NotFound,
        Self::MalformedToolHistory,
        Self::ContentFilter,
        Self::BadToolCall,
        Self::OutOfMemory,
    ];

    /// Returns the name that records and reports carry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Invalid => "invalid",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Denied => "denied",
            Self::RateLimit => "rate-limit",
            Self::Quota => "quota",
            Self::Overload => "overload",
            Self::Server => "server",
            Self::ContextOverflow => "context-overflow",
            Self::TooLarge => "too-large",
            Self::Authentication => "authentication",
            Self::NotFound => "not-found",
            Self::MalformedToolHistory => "malformed-tool-history",
            Self::ContentFilter => "content-filter",
            Self::BadToolCall => "bad-tool-call",
            Self::OutOfMemory => "out-of-memory",
        }
    }
}
