//! The plan: what will be done, in which order, and what will be left.
//!
//! A plan says everything before anything runs. Each decision concerned has one line that says
//! what becomes of it ([`Affected`]); each thing to do is one [`Step`], which names the steps that
//! must have ended before it. Steps that do not name each other may run side by side.

use std::collections::BTreeMap;

use model::{Cause, DecisionId, Effect, Evidence, Strength};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What to do about an incident.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The decisions that are taken back, and why.
    pub incident: Incident,
    /// How many entries of the record it was made on.
    pub size: u64,
    /// Every decision concerned, in the order of the record, and what becomes of it.
    pub affected: Vec<Affected>,
    /// Decisions that may depend on the incident and are not in the plan.
    pub possible: Vec<Possible>,
    /// Dependences through records that the record does not have yet: they enter it with the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub linked: Vec<Linked>,
    /// What is done, numbered from 1 in the order of this list.
    pub steps: Vec<Step>,
    /// What a person has to settle before the plan can be carried out.
    pub conflicts: Vec<Conflict>,
    /// Kept decisions that rely on what is taken back and may not stand without it.
    pub torn: Vec<Torn>,
}

/// What went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// The bad decisions.
    pub roots: Vec<DecisionId>,
    /// Why they are bad, in words free of personal data.
    pub reason: String,
}

/// A decision and what becomes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Affected {
    /// The decision.
    pub decision: DecisionId,
    /// Whether it depends on the incident for certain; what is possible is here if somebody
    /// included it.
    pub ring: Strength,
    /// What becomes of it.
    pub fate: Fate,
    /// The steps that see to it.
    pub steps: Vec<u32>,
}

/// What becomes of a decision and its effects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It changed nothing outside: it is invalidated, and there is nothing to undo.
    NothingToUndo,
    /// Its effects are taken back without residue.
    Undone,
    /// Its effects are taken back as far as a tool can, and this is left over.
    Residue(String),
    /// Its effects cannot be taken back; these must be told.
    Stands(Vec<String>),
    /// Nobody knows whether it took effect: it is probed first.
    Probed,
    /// Nobody knows whether it took effect, and nothing can tell: it waits for a person.
    Parked,
    /// It is not in the way back: it stays, and this is what it rests on.
    Kept(String),
    /// Its undo cannot be called, and this is why: it keeps its place until a person settles it.
    Blocked(String),
}

/// A decision that may depend on the incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Possible {
    /// The decision.
    pub decision: DecisionId,
    /// The decision of the plan that it may depend on.
    pub cause: DecisionId,
    /// What speaks for it.
    pub evidence: Evidence,
    /// What it did to the world.
    pub effects: Vec<Effect>,
}

/// A dependence that was found for the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linked {
    /// The decision that depends.
    pub decision: DecisionId,
    /// On what, and what shows it.
    pub cause: Cause,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its number.
    pub n: u32,
    /// The steps that must have succeeded before it.
    pub after: Vec<u32>,
    /// The decisions that it is done for.
    pub decisions: Vec<DecisionId>,
    /// What is done.
    pub act: Act,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Agents get no further calls until they are resumed.
    Hold {
        /// Their names.
        agents: Vec<String>,
    },
    /// Asks whether an effect happened. If it did not, the steps that undo it have nothing to do.
    Probe {
        /// The tool that can tell.
        call: ToolCall,
        /// A condition in CEL over `result`, `args` and `before`.
        happened: String,
        /// The arguments of the call that may have happened.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        args: Value,
        /// The records before it.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        before: Value,
    },
    /// Puts fields of a record back as they were.
    PutBack(PutBack),
    /// Removes a record that would not be there.
    Delete {
        /// The record.
        resource: RecordRef,
        /// The call that does it.
        call: ToolCall,
        /// Fields that must be as said here at the time; else the step fails as a conflict.
        expected: Fields,
    },
    /// Calls the tool that is the inverse.
    Inverse {
        /// The call.
        call: ToolCall,
        /// What it leaves over, where it is not exact.
        residue: Option<String>,
        /// How to tell whether it happened, should its own outcome be unknown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        check: Option<Check>,
    },
    /// Calls something over HTTP.
    Http(HttpCall),
    /// Cannot be done: it fails for this reason, and keeps its place until a person settles it.
    Blocked {
        /// Why.
        why: String,
    },
    /// Runs a kept call again, on what it would have found.
    Again {
        /// The call.
        call: ToolCall,
        /// The records that it changes, as they are before it: if they still are, it has not run.
        before: Vec<(RecordRef, Fields)>,
    },
    /// Gives an agent the state of a checkpoint back.
    Restore {
        /// The agent.
        agent: String,
        /// The checkpoint; none if it has none that is free of the incident.
        checkpoint: Option<DecisionId>,
    },
    /// Takes what is rescinded out of an agent's contexts.
    Repair {
        /// The agent.
        agent: String,
    },
    /// Tells somebody what stands.
    Notify {
        /// Who.
        who: Vec<String>,
        /// What is to be told, in words free of personal data.
        what: String,
    },
    /// Agents get calls again.
    Resume {
        /// Their names.
        agents: Vec<String>,
    },
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The server that has it.
    pub server: String,
    /// The tool.
    pub tool: String,
    /// Its arguments. A text that is `{version}` or `{fields}` is filled in when the step runs;
    /// `{key}` is the idempotency key of the step.
    pub arguments: Value,
}

/// How to tell whether a call happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// The tool that can tell.
    pub call: ToolCall,
    /// A condition in CEL over `result`, `args` and `before`.
    pub happened: String,
    /// The arguments that the condition speaks of.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub args: Value,
    /// The records that the condition speaks of.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub before: Value,
}

/// A call over HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpCall {
    /// The method.
    pub method: String,
    /// Where.
    pub url: String,
    /// What is sent, as JSON.
    pub body: Option<Value>,
}

/// Fields by JSON Pointer (RFC 6901); an empty pointer is the whole record, and no value says that
/// the field is not there.
pub type Fields = BTreeMap<String, Option<Value>>;

/// A record that a tool server keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordRef {
    /// Its URI.
    pub uri: String,
    /// How it is read.
    pub read: ToolCall,
    /// Where its version stands in what is read, if it has one.
    pub version: Option<String>,
    /// Where the record itself stands in what is read: a JSON Pointer, empty for all of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub record: String,
    /// What an error of the read says if the record is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<String>,
}

/// Fields of a record, put back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PutBack {
    /// The record.
    pub resource: RecordRef,
    /// The call that does it.
    pub restore: ToolCall,
    /// What the fields are to be.
    pub fields: Fields,
    /// What they must be at the time; else the step fails as a conflict. Fields that are already
    /// as they are to be are done.
    pub expected: Fields,
}

/// Something that a person has to settle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// The record.
    pub uri: String,
    /// The fields in question.
    pub fields: Vec<String>,
    /// Who wrote them since, where the record knows.
    pub by: Option<DecisionId>,
    /// How it was settled, by a declared rule or a person; none if it is not.
    pub settled: Option<Rule>,
}

/// What happens where a field was written by somebody else since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Only the fields that the rescinded write changed are put back; of these, also those written
    /// since.
    RestoreField,
    /// What was written since stays.
    KeepNewer,
    /// A person is asked.
    Ask,
}

impl Rule {
    /// Every rule.
    const ALL: [Self; 3] = [Self::RestoreField, Self::KeepNewer, Self::Ask];

    /// Returns its name, as in the catalogue.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RestoreField => "restore-field",
            Self::KeepNewer => "keep-newer",
            Self::Ask => "ask",
        }
    }

    /// Reads what becomes of a record, `URI=RULE`. None if there is no such rule, or no record.
    #[must_use]
    pub fn of_record(text: &str) -> Option<(&str, Self)> {
        let (uri, rule) = text.rsplit_once('=')?;
        let rule = Self::ALL.into_iter().find(|known| known.name() == rule)?;
        (!uri.is_empty()).then_some((uri, rule))
    }
}

/// A kept decision that rests on what is taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Torn {
    /// The kept decision.
    pub decision: DecisionId,
    /// What it relies on.
    pub relies_on: DecisionId,
    /// Why it may not stand.
    pub why: String,
}
