//! What is proposed: who decides, what kind of decision, on what grounds.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{Cause, Digest, Effect, RunId, Sealed, Timestamp};

/// The content of a decision as it was proposed, before anything was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Who decides.
    pub agent: Agent,
    /// What it depends on, as far as is known now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// What it does to the world.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
    /// Digest of the environment snapshot, which is a sealed field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Digest>,
    /// What kind of decision.
    pub kind: Kind,
    /// How it is known.
    pub known: Provenance,
    /// The tool, model or step that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The policy it was judged by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyUse>,
    /// The run it belongs to.
    pub run: RunId,
    /// What was asked and chosen, and why: the sealed fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
    /// The server that has the tool, where one was called on a server that has a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// When the source says it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
}

/// A mandatory field that a proposal lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the decision lacks `{0}`")]
pub struct MissingField(pub &'static str);

impl Proposal {
    /// Checks that everything mandatory is there, and names the first field that is not.
    ///
    /// Who decides and what was asked are mandatory always. What we carried ourselves
    /// (*observed*) must name its policy and its start too; of an imported decision those may be
    /// unknowable, and its account says so.
    ///
    /// # Errors
    /// [`MissingField`] with the field's name.
    pub fn check(&self) -> Result<(), MissingField> {
        if self.agent.name.is_empty() {
            return Err(MissingField("agent"));
        }
        let has = |role| {
            self.sealed
                .as_ref()
                .is_some_and(|s| s.fields.iter().any(|field| field.role == role))
        };
        if matches!(self.kind, Kind::ToolCall | Kind::Inference) && self.name.is_none() {
            return Err(MissingField("name"));
        }
        if !has(Field::Asked) && !has(Field::Chosen) && !has(Field::Source) {
            return Err(MissingField("asked"));
        }
        if self.known == Provenance::Observed {
            if self.policy.is_none() {
                return Err(MissingField("policy"));
            }
            if self.started.is_none() {
                return Err(MissingField("started"));
            }
        }
        Ok(())
    }
}

/// Who decides: an agent, a person, or a system outside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Agent {
    /// Its name.
    pub name: String,
    /// Its version, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What kind of decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A person or rule allowed or refused something.
    Approval,
    /// A saved state to go back to.
    Checkpoint,
    /// A history was shortened.
    Compaction,
    /// A history was repaired after a rescission.
    ContextRepair,
    /// Shared context was read.
    ContextRead,
    /// Shared context was written.
    ContextWrite,
    /// The record may lack something here.
    Gap,
    /// Something went wrong and was noticed.
    Incident,
    /// A model was asked.
    Inference,
    /// A memory was written.
    MemoryWrite,
    /// Words came in from outside, or one agent told another; a hand-off is one.
    Message,
    /// A step of a recovery.
    RecoveryStep,
    /// A step of a framework that is none of the others: a workflow node, a chain, a span.
    Step,
    /// A tool was called.
    ToolCall,
    /// A rule judged something.
    Verdict,
}

impl Kind {
    /// Returns the name that the record uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Checkpoint => "checkpoint",
            Self::Compaction => "compaction",
            Self::ContextRepair => "context-repair",
            Self::ContextRead => "context-read",
            Self::ContextWrite => "context-write",
            Self::Gap => "gap",
            Self::Incident => "incident",
            Self::Inference => "inference",
            Self::MemoryWrite => "memory-write",
            Self::Message => "message",
            Self::RecoveryStep => "recovery-step",
            Self::Step => "step",
            Self::ToolCall => "tool-call",
            Self::Verdict => "verdict",
        }
    }
}

/// How a decision is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provenance {
    /// We carried the bytes.
    Observed,
    /// An agent or a tool said so.
    Reported,
    /// Imported afterwards.
    Reconstructed,
}

impl Provenance {
    /// Returns the name that the record uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Reported => "reported",
            Self::Reconstructed => "reconstructed",
        }
    }
}

/// The fields of a decision that hold content, and so are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Field {
    /// The records that a call wrote, as they were just after it: an object by URI, `null` where
    /// there was none.
    After,
    /// What was asked: the prompt, or the arguments of a call.
    Asked,
    /// The records that a call touches, as they were just before it.
    Before,
    /// What was chosen: the model's output.
    Chosen,
    /// What a person said when approving or rejecting.
    Comment,
    /// The environment snapshot.
    Environment,
    /// The options that were open.
    Options,
    /// Why, as far as the wire shows it.
    Reasoning,
    /// What came back.
    Result,
    /// What was sent on, where that is not what was asked: its digest, and why.
    Sent,
    /// The item as the source had it, byte for byte, unknown fields included.
    Source,
}

impl Field {
    /// All fields, in the order of their names.
    pub const ALL: [Self; 11] = [
        Self::After,
        Self::Asked,
        Self::Before,
        Self::Chosen,
        Self::Comment,
        Self::Environment,
        Self::Options,
        Self::Reasoning,
        Self::Result,
        Self::Sent,
        Self::Source,
    ];

    /// Returns the name that the record uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::After => "after",
            Self::Asked => "asked",
            Self::Before => "before",
            Self::Chosen => "chosen",
            Self::Comment => "comment",
            Self::Environment => "environment",
            Self::Options => "options",
            Self::Reasoning => "reasoning",
            Self::Result => "result",
            Self::Sent => "sent",
            Self::Source => "source",
        }
    }
}

/// The policy that a decision was judged by, as it was then: kept by value, so that changing the
/// policy later changes nothing here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyUse {
    /// Digest of the policy's canonical text.
    pub digest: Digest,
    /// What was done about the verdict; differs from it in observing mode.
    pub enforced: Verdict,
    /// Its name.
    pub id: String,
    /// What the policy said.
    pub verdict: Verdict,
    /// Its version.
    pub version: String,
}

/// What a policy says of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Go on.
    Allow,
    /// Do not.
    Deny,
    /// Wait for a person.
    Hold,
    /// Go on with less.
    Degrade,
}

/// A person or rule that allowed or refused a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub by: String,
    /// A comment, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
    /// Digest of exactly what the approver saw.
    pub shown: Digest,
    /// Until when the call may begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// What an import could and could not learn, by field: the gap matrix. Fields named in neither
/// list are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Fields known in part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partly: Vec<Cow<'static, str>>,
    /// Fields that the source cannot tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknowable: Vec<Cow<'static, str>>,
}

impl Account {
    /// The fields that an account speaks of.
    pub const FIELDS: [&'static str; 12] = [
        "agent",
        "approvals",
        "asked",
        "causes",
        "chosen",
        "effects",
        "environment",
        "options",
        "outcome",
        "policy",
        "reasoning",
        "times",
    ];
}
