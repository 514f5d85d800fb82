//! Effects on the world, and how they ended.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// What a decision does to the world outside the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
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
    /// Nobody knows: there is an intent and no result.
    Unknown,
}

/// Kinds of failure, so that caller mistakes and outages are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// The tool or model answered with an error.
    Error,
    /// The caller's arguments were refused.
    Invalid,
    /// No answer within the limit.
    Timeout,
    /// The service could not be reached or broke off.
    Unavailable,
    /// Not allowed.
    Denied,
}
