//! What the tracer is told of a decision.
//!
//! Texts are borrowed and never kept: the tracer remembers hashes of them.

use model::{Cause, DecisionId, Kind, RunId};

/// One decision as it was seen, in the order in which decisions were taken.
///
/// A tool call and its result are one decision: `arguments` and `output`. Where the result is not
/// known yet, leave `output` empty and report it with [`Tracer::complete`](crate::Tracer::complete).
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The decision.
    pub decision: DecisionId,
    /// The run that it belongs to.
    pub run: RunId,
    /// Who decides. Within a run, the same name is the same agent.
    pub agent: &'a str,
    /// What kind.
    pub kind: Kind,
    /// The tool, model or step that it names.
    pub name: Option<&'a str>,
    /// What its agent had in mind.
    pub history: History<'a>,
    /// Arguments of a tool call, as JSON text.
    pub arguments: Option<&'a str>,
    /// The text that it produced: a completion, a message, a tool result.
    pub output: Option<&'a str>,
    /// The tool calls that an inference asks for, in order.
    pub asked: &'a [Asked<'a>],
    /// The id of the call that this tool call carries out.
    pub call_id: Option<&'a str>,
    /// The agent that it addresses by name.
    pub to: Option<&'a str>,
    /// Whether its text stands in every prompt: a system prompt, tool definitions. Such text is
    /// nobody's news, so nothing is traced back to it by content.
    pub standing: bool,
    /// Causes that the source states itself. They come back first and win over inferred ones of
    /// the same kind.
    pub explicit: &'a [Cause],
}

impl<'a> Seen<'a> {
    /// Describes a decision of which nothing more is known.
    #[must_use]
    pub const fn new(decision: DecisionId, run: RunId, agent: &'a str, kind: Kind) -> Self {
        Self {
            decision,
            run,
            agent,
            kind,
            name: None,
            history: History::Unknown,
            arguments: None,
            output: None,
            asked: &[],
            call_id: None,
            to: None,
            standing: false,
            explicit: &[],
        }
    }
}

/// What an agent had before it when it decided.
#[derive(Clone, Copy, Debug)]
pub enum History<'a> {
    /// Not known: a span of a trace, a call seen at a tool server.
    Unknown,
    /// Everything that was recorded in this run so far: the run is one history.
    Continues,
    /// The request resent the whole history; these are its items.
    Sent(&'a [Item<'a>]),
}

/// One item of a resent history.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Whose it is.
    pub role: Role,
    /// Its text.
    pub text: &'a str,
    /// The tool calls that an assistant message asks for.
    pub asked: &'a [Asked<'a>],
    /// The call that a tool message answers.
    pub call_id: Option<&'a str>,
}

/// Whose an item of a history is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions that stand in every request.
    System,
    /// Whoever talks to the agent: a person, or another agent.
    User,
    /// The agent itself.
    Assistant,
    /// A tool.
    Tool,
}

/// A tool call that a model's output asks for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its id, where the wire has one.
    pub id: Option<&'a str>,
    /// The tool.
    pub name: &'a str,
    /// The arguments, as JSON text.
    pub arguments: &'a str,
}
