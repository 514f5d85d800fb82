//! Events: facts, appended once and never edited.
//!
//! One event is one leaf of the log. Its canonical JSON (RFC 8785) is what is hashed; fields are
//! declared here in the order of their names, so that plain serialisation is canonical already
//! (the ledger checks that it is). Contents (prompts, results) are not in the leaf: see
//! [`Sealed`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{
    Account, Approval, Cause, DecisionId, Digest, Effect, EventId, HybridTime, Outcome, Proposal,
    RunId, Sealed, Status, Step, SubjectId, Timestamp,
};

/// One fact, and one leaf of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When the record learned it.
    pub at: HybridTime,
    /// What happened.
    pub body: Body,
    /// Its id; appending the same id twice gives one leaf.
    pub id: EventId,
    /// The last event of the same stream that the writer saw; none where the stream begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<EventId>,
    /// Version of this form: 1.
    pub v: u8,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// A run begins.
    RunOpened {
        /// What the source calls it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        external: Option<String>,
        /// Where it comes from, if it was imported.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<Origin>,
        /// The run.
        run: RunId,
        /// Its title, its environment snapshot, and what else the source says of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sealed: Option<Sealed>,
        /// The default subject of its payloads.
        subject: SubjectId,
    },
    /// All of an imported run is in the record.
    RunImported {
        /// How many decisions it has.
        decisions: u64,
        /// The run.
        run: RunId,
    },
    /// A decision is put forward.
    Proposed {
        /// The decision.
        decision: DecisionId,
        /// What is proposed.
        proposal: Proposal,
    },
    /// A decision waits for a person.
    Held {
        /// Who sent the call, by the name of its token, where it had one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asker: Option<String>,
        /// Digest of exactly what waits: server, tool, arguments, agent and run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<Digest>,
        /// The decision.
        decision: DecisionId,
        /// Which rule holds it.
        rule: String,
        /// Until when it waits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// A person or rule allowed a decision.
    Approved {
        /// By whom, on what they saw.
        approval: Approval,
        /// The decision.
        decision: DecisionId,
    },
    /// A person or rule refused a decision.
    Rejected {
        /// By whom, on what they saw.
        approval: Approval,
        /// The decision.
        decision: DecisionId,
    },
    /// A decision is put forward and, since nothing holds it, carried out at once: the intent. What
    /// it is about to do to the world stands in the proposal.
    Begun {
        /// The decision.
        decision: DecisionId,
        /// What is proposed and begun.
        proposal: Proposal,
    },
    /// A decision is being carried out: the intent, durable before any effect is tried.
    Started {
        /// The decision.
        decision: DecisionId,
        /// What it is about to do to the world.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        effects: Vec<Effect>,
        /// The records as they are just before it, where it waited since it was proposed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sealed: Option<Sealed>,
    },
    /// A decision ended.
    Finished {
        /// What it depends on, as far as that was learnt while it was carried out.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        causes: Vec<Cause>,
        /// The decision.
        decision: DecisionId,
        /// What it did to the world, with the versions written.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        effects: Vec<Effect>,
        /// How it ended.
        outcome: Outcome,
        /// What came back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sealed: Option<Sealed>,
    },
    /// A decision of an imported run, whole: proposal and outcome in one.
    Reconstructed {
        /// What the import could not learn.
        account: Account,
        /// The decision.
        decision: DecisionId,
        /// When the source says it ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ended: Option<Timestamp>,
        /// How it ended.
        outcome: Outcome,
        /// Where in the source it lies: a line, or a JSON Pointer.
        position: String,
        /// What was decided.
        proposal: Proposal,
    },
    /// A rule judged: a decision whole, proposal and outcome in one.
    Judged {
        /// The decision.
        decision: DecisionId,
        /// What was judged, by which policy, and what that said.
        proposal: Proposal,
    },
    /// More causes of a decision became known.
    Linked {
        /// The causes.
        causes: Vec<Cause>,
        /// The decision that depends on them.
        decision: DecisionId,
    },
    /// A decision is revoked.
    Invalidated {
        /// The decision.
        decision: DecisionId,
        /// The incident, or the revoked decision that it depends on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        incident: Option<DecisionId>,
        /// Why, in words free of personal data.
        reason: String,
    },
    /// A decision's effects are being taken back: the intent.
    Compensating {
        /// The decision.
        decision: DecisionId,
        /// Idempotency key of the compensation.
        key: Digest,
    },
    /// A decision's effects are taken back, or there was nothing to take back.
    Compensated {
        /// The decision.
        decision: DecisionId,
        /// What is left over, in words free of personal data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        residue: Option<String>,
    },
    /// Taking effects back failed and can be tried again.
    CompensationFailed {
        /// The decision.
        decision: DecisionId,
        /// Why, in words free of personal data.
        reason: String,
    },
    /// A decision's effects cannot be taken back.
    Stands {
        /// The decision.
        decision: DecisionId,
        /// Who was told.
        told: Vec<String>,
    },
    /// The log changes keys: both keys, signed by the old one as every checkpoint before it.
    KeyRotated {
        /// The verifier key that signs from here on.
        new: String,
        /// The verifier key that signed until here.
        old: String,
    },
    /// This log continues another, whose last known checkpoint is given whole.
    Continuation {
        /// The signed checkpoint.
        checkpoint: String,
    },
    /// A subject's payloads are erased: its key is destroyed.
    Erased {
        /// On what legal basis.
        basis: String,
        /// Who decided it.
        by: String,
        /// Events whose payloads this erased.
        events: u64,
        /// The subject, which is also the id of the destroyed key.
        subject: SubjectId,
    },
    /// How long payloads are kept at the least.
    Retention {
        /// Who decided it.
        by: String,
        /// Days, counted from the record's own time of the event.
        days: u32,
    },
    /// A subject's payloads must not be erased while the hold lasts.
    LegalHold {
        /// Who decided it.
        by: String,
        /// Whether the hold begins or ends.
        held: bool,
        /// The subject.
        subject: SubjectId,
    },
    /// Something may be missing here.
    Gap {
        /// How many records are known to be missing, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        count: Option<u64>,
        /// Why.
        reason: String,
        /// Since when.
        since: HybridTime,
    },
}

/// Where an imported run comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// SHA-256 of the file.
    pub file: Digest,
    /// The format that it was read as.
    pub format: String,
    /// The part of the file, as a JSON Pointer or a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
}

impl Body {
    /// Returns the name that the record uses.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RunOpened { .. } => "run-opened",
            Self::RunImported { .. } => "run-imported",
            Self::Proposed { .. } => "proposed",
            Self::Held { .. } => "held",
            Self::Approved { .. } => "approved",
            Self::Rejected { .. } => "rejected",
            Self::Begun { .. } => "begun",
            Self::Started { .. } => "started",
            Self::Finished { .. } => "finished",
            Self::Reconstructed { .. } => "reconstructed",
            Self::Judged { .. } => "judged",
            Self::Linked { .. } => "linked",
            Self::Invalidated { .. } => "invalidated",
            Self::Compensating { .. } => "compensating",
            Self::Compensated { .. } => "compensated",
            Self::CompensationFailed { .. } => "compensation-failed",
            Self::Stands { .. } => "stands",
            Self::KeyRotated { .. } => "key-rotated",
            Self::Continuation { .. } => "continuation",
            Self::Erased { .. } => "erased",
            Self::Retention { .. } => "retention",
            Self::LegalHold { .. } => "legal-hold",
            Self::Gap { .. } => "gap",
        }
    }

    /// Returns the decision that the event is about.
    #[must_use]
    pub const fn decision(&self) -> Option<DecisionId> {
        match self {
            Self::Proposed { decision, .. }
            | Self::Held { decision, .. }
            | Self::Approved { decision, .. }
            | Self::Rejected { decision, .. }
            | Self::Begun { decision, .. }
            | Self::Started { decision, .. }
            | Self::Finished { decision, .. }
            | Self::Reconstructed { decision, .. }
            | Self::Judged { decision, .. }
            | Self::Linked { decision, .. }
            | Self::Invalidated { decision, .. }
            | Self::Compensating { decision, .. }
            | Self::Compensated { decision, .. }
            | Self::CompensationFailed { decision, .. }
            | Self::Stands { decision, .. } => Some(*decision),
            Self::RunOpened { .. }
            | Self::RunImported { .. }
            | Self::KeyRotated { .. }
            | Self::Continuation { .. }
            | Self::Erased { .. }
            | Self::Retention { .. }
            | Self::LegalHold { .. }
            | Self::Gap { .. } => None,
        }
    }

    /// Returns the causes that the event adds to its decision.
    #[must_use]
    pub fn causes(&self) -> &[Cause] {
        match self {
            Self::Linked { causes, .. } | Self::Finished { causes, .. } => causes,
            other => other
                .proposal()
                .map_or(&[], |proposal| proposal.causes.as_slice()),
        }
    }

    /// Returns the proposal, where the event carries one: it begins its decision.
    #[must_use]
    pub const fn proposal(&self) -> Option<&Proposal> {
        match self {
            Self::Proposed { proposal, .. }
            | Self::Begun { proposal, .. }
            | Self::Judged { proposal, .. }
            | Self::Reconstructed { proposal, .. } => Some(proposal),
            _ => None,
        }
    }

    /// Returns the step that the event takes along the lifecycle; none for events that begin a
    /// decision or do not move it.
    #[must_use]
    pub fn step(&self) -> Option<Step> {
        Some(match self {
            Self::Held { .. } => Step::Hold,
            Self::Approved { .. } => Step::Approve,
            Self::Rejected { .. } => Step::Reject,
            Self::Started { .. } => Step::Start,
            Self::Finished { outcome, .. } => Step::Finish(Status::from(outcome)),
            Self::Invalidated { .. } => Step::Invalidate,
            Self::Compensating { .. } => Step::Compensate,
            Self::Compensated { .. } => Step::FinishCompensation,
            Self::CompensationFailed { .. } => Step::FailCompensation,
            Self::Stands { .. } => Step::Stand,
            _ => return None,
        })
    }

    /// Returns the sealed payload, where the event has one.
    #[must_use]
    pub const fn sealed(&self) -> Option<&Sealed> {
        match self {
            Self::Proposed { proposal, .. }
            | Self::Begun { proposal, .. }
            | Self::Judged { proposal, .. }
            | Self::Reconstructed { proposal, .. } => proposal.sealed.as_ref(),
            Self::Approved { approval, .. } | Self::Rejected { approval, .. } => {
                approval.sealed.as_ref()
            }
            Self::Started { sealed, .. }
            | Self::Finished { sealed, .. }
            | Self::RunOpened { sealed, .. } => sealed.as_ref(),
            _ => None,
        }
    }
}

/// The unit of isolation: one log, one set of keys.
///
/// Lowercase letters, digits and dashes, 1 to 63 of them, beginning with a letter or digit: a
/// realm names a folder and a part of a URL, so nothing in it can lead out of either.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Realm(String);

/// A text that cannot name a realm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a realm: use 1 to 63 lowercase letters, digits and dashes")]
pub struct RealmError {
    /// What was read.
    pub text: String,
}

impl Realm {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Realm {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Realm {
    type Err = RealmError;

    fn from_str(text: &str) -> Result<Self, RealmError> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if matches!(text.len(), 1..=63) && !text.starts_with('-') && text.bytes().all(legal) {
            Ok(Self(text.to_owned()))
        } else {
            Err(RealmError {
                text: text.chars().take(80).collect(),
            })
        }
    }
}

impl TryFrom<String> for Realm {
    type Error = RealmError;

    fn try_from(text: String) -> Result<Self, RealmError> {
        text.parse()
    }
}

impl From<Realm> for String {
    fn from(realm: Realm) -> Self {
        realm.0
    }
}
