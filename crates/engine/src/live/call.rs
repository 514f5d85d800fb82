//! What the recorder is told of a call, and of its end.

use model::{
    Cause, ClassSource, DecisionId, EffectClass, Environment, Field, Media, Outcome, Resource,
};
use recover::Images;
use serde_json::Value;
use wire::llm::Layout;

/// The longest value that stands in a snapshot as it is, in bytes.
const SNAPSHOT_VALUE_MAX: usize = 256;

/// Who calls, as far as the wire says. Everything may be missing.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// The agent, named by the URL or a header.
    pub agent: Option<String>,
    /// Whose token the call came with, by its name.
    pub token: Option<String>,
    /// The run, as a header names it: one of our ids, or the caller's own name for it.
    pub run: Option<String>,
    /// Decisions that the caller names as causes.
    pub causes: Vec<DecisionId>,
    /// The trace that the call is part of (W3C trace context).
    pub trace: Option<[u8; 16]>,
    /// The context of A2A.
    pub context: Option<String>,
    /// The answer that the call continues, by the provider's id.
    pub previous: Option<String>,
    /// The provider's conversation that the call is part of.
    pub conversation: Option<String>,
    /// A session that lasts over calls, such as one of MCP; the weakest of all hints.
    pub session: Option<String>,
    /// Whether a call that was made before its agent went back is made anew.
    pub fork: bool,
}

/// A call that is about to be made.
#[derive(Debug)]
pub struct Call<'a> {
    /// Who calls.
    pub caller: Caller,
    /// What the call is.
    pub what: What<'a>,
    /// What is asked, byte for byte as far as it is text.
    pub asked: (Media, &'a str),
    /// Model, tool versions, limits, flags: what two decisions can be compared by.
    pub environment: Environment,
    /// What it touches, where that is known.
    pub touches: Option<Touches>,
}

/// What a call touches, as the catalogue says and as was read before it.
#[derive(Clone, Debug, Default)]
pub struct Touches {
    /// The server that has the tool.
    pub server: String,
    /// The tool.
    pub tool: String,
    /// The arguments.
    pub arguments: Value,
    /// The arguments that make it the same call when it is made again: all but the volatile ones.
    pub identity: Value,
    /// What it reads.
    pub reads: Vec<Resource>,
    /// What it writes.
    pub writes: Vec<Resource>,
    /// The records as they are just before it.
    pub before: Images,
}

/// What a call is.
#[derive(Debug)]
pub enum What<'a> {
    /// A model is asked.
    Inference {
        /// The model.
        model: &'a str,
        /// The history that the request resends.
        items: Vec<OwnedItem>,
        /// The request as it lies in its body, where what is rescinded is to be taken out of it.
        sent: Option<&'a Layout<'a>>,
    },
    /// A tool is called.
    ToolCall {
        /// The server that has the tool.
        server: &'a str,
        /// The tool.
        tool: &'a str,
        /// Its arguments, as JSON text.
        arguments: &'a str,
        /// How its effect can be taken back.
        class: EffectClass,
        /// Who said so.
        by: ClassSource,
        /// The id under which a model asked for it, where the wire carries it.
        call_id: Option<&'a str>,
    },
    /// One agent tells another something.
    Message {
        /// Who is told.
        to: &'a str,
        /// The words alone.
        text: &'a str,
    },
}

impl What<'_> {
    /// Returns how the call's effect can be taken back; none if it has no effect of its own.
    pub(super) const fn class(&self) -> Option<EffectClass> {
        match self {
            Self::ToolCall { class, .. } => Some(*class),
            Self::Inference { .. } | Self::Message { .. } => None,
        }
    }

    /// Returns the server that has the tool, where a tool is called.
    pub(super) fn server(&self) -> Option<&str> {
        match self {
            Self::ToolCall { server, .. } => Some(*server).filter(|server| !server.is_empty()),
            Self::Inference { .. } | Self::Message { .. } => None,
        }
    }

    /// Whether the call can change the world, so that its intent must be durable first.
    #[must_use]
    pub const fn has_effect(&self) -> bool {
        !matches!(self, Self::Inference { .. })
    }
}

/// One item of a resent history; see [`lineage::Item`].
#[derive(Clone, Debug)]
pub struct OwnedItem {
    /// Whose it is.
    pub role: lineage::Role,
    /// Its text.
    pub text: String,
    /// The tool calls that an assistant message asks for.
    pub asked: Vec<OwnedCall>,
    /// The call that a tool message answers.
    pub call_id: Option<String>,
}

/// A tool call that a model asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedCall {
    /// Its id, where the wire has one.
    pub id: Option<String>,
    /// The tool.
    pub name: String,
    /// The arguments, as JSON text.
    pub arguments: String,
}

/// How a call ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// The text that came out of it: a completion, a tool's result, an agent's answer.
    pub output: String,
    /// The tool calls that a model asks for.
    pub asked: Vec<OwnedCall>,
    /// The provider's id of the answer, by which a later call may continue it.
    pub answer_id: Option<String>,
    /// What is kept of it.
    pub kept: Vec<(Field, Media, String)>,
    /// Causes that the end makes known.
    pub causes: Vec<Cause>,
}

impl Ended {
    /// An end with nothing to show.
    #[must_use]
    pub const fn with(outcome: Outcome) -> Self {
        Self {
            outcome,
            output: String::new(),
            asked: Vec::new(),
            answer_id: None,
            kept: Vec::new(),
            causes: Vec::new(),
        }
    }
}

impl From<wire::llm::Item<'_>> for OwnedItem {
    fn from(item: wire::llm::Item<'_>) -> Self {
        use wire::llm::Role;
        Self {
            role: match item.role {
                Role::System => lineage::Role::System,
                Role::User => lineage::Role::User,
                Role::Assistant => lineage::Role::Assistant,
                Role::Tool => lineage::Role::Tool,
            },
            text: item.text.into_owned(),
            asked: item
                .asked
                .into_iter()
                .map(|call| OwnedCall {
                    id: call.id.map(std::borrow::Cow::into_owned),
                    name: call.name.into_owned(),
                    arguments: call.arguments.into_owned(),
                })
                .collect(),
            call_id: item.call_id.map(std::borrow::Cow::into_owned),
        }
    }
}

impl From<wire::llm::OwnedCall> for OwnedCall {
    fn from(call: wire::llm::OwnedCall) -> Self {
        Self {
            id: call.id,
            name: call.name,
            arguments: call.arguments,
        }
    }
}

/// The canonical text of a snapshot; none of an empty one. Long values stand there as their
/// digests: what was asked has them whole.
pub(super) fn snapshot(mut environment: Environment) -> Option<String> {
    if environment.0.is_empty() {
        return None;
    }
    for value in environment.0.values_mut() {
        if value.len() > SNAPSHOT_VALUE_MAX {
            *value = format!("sha256:{}", ledger::digest::sha256(value.as_bytes()));
        }
    }
    // Names of ASCII have their order from the map, and texts are written in the canonical way.
    let bytes = match environment.0.keys().all(|name| name.is_ascii()) {
        true => serde_json::to_vec(&environment).ok()?,
        false => ledger::canonical::to_vec(&environment).ok()?,
    };
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_canonical_however_they_are_written() {
        let every: Vec<char> = (0..0x3000).filter_map(char::from_u32).collect();
        let texts = every.chunks(60).map(String::from_iter);
        let texts: Vec<String> = texts.chain(["🙂".to_owned(), "x".repeat(999)]).collect();
        for odd in ["b", "\u{ff61}", "\u{10437}"] {
            let names = (0..texts.len()).map(|number| match number {
                0 => odd.to_owned(),
                _ => format!("b.{number}"),
            });
            let environment = Environment(names.zip(texts.iter().cloned()).collect());
            let snapshot = snapshot(environment).unwrap();
            let value: Value = serde_json::from_str(&snapshot).unwrap();
            let canonical = ledger::canonical::to_vec(&value).unwrap();
            assert_eq!(snapshot.as_bytes(), canonical);
        }
    }
}
