//! Payloads as the record's leaves see them: commitments, never contents.

use serde::{Deserialize, Serialize};

use crate::{DecisionId, Digest, Field, SubjectId};

/// The sealed payload of one event: a ciphertext kept beside the log, and what the leaf says of
/// its fields. The salts that the commitments need are inside the ciphertext, so destroying the
/// subject's key leaves nothing to guess against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// SHA-256 of the ciphertext, under which it is kept.
    pub ct: Digest,
    /// The fields inside.
    pub fields: Vec<SealedField>,
    /// Whose key opens it.
    pub kid: SubjectId,
    /// Length of the ciphertext in bytes.
    pub len: u64,
}

/// One field inside a sealed payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedField {
    /// What of another decision's field stands around the bytes that are kept here. Agents resend
    /// their history with every call, which would be kept once for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// HMAC-SHA-256 of the field's bytes, keyed by its salt.
    pub com: Digest,
    /// Length in bytes of what is kept here.
    pub len: u64,
    /// How to read the bytes.
    pub media: Media,
    /// What the field is.
    pub role: Field,
}

/// Bytes that a field shares with the field of the same role of an earlier decision, and that are
/// kept there alone: those at its beginning and those at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The earlier decision, in the same run and under the same key.
    pub decision: DecisionId,
    /// How many bytes at the beginning.
    pub head: u64,
    /// How many bytes at the end.
    pub tail: u64,
}

/// How to read the bytes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Media {
    /// JSON text, as it came.
    Json,
    /// Text in UTF-8.
    Text,
}

impl Media {
    /// Returns the name that the record uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}
