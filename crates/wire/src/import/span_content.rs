//! What a span's attributes say: what it stands for, who acts, what went in and came out.

use std::borrow::Cow;

use model::Kind;

use super::json;
use super::openai_message::is_json;
use super::run::{Gaps, Step, Text};
use super::spans::{Role, Span};

/// The longest call id that is looked for in an output.
const ID_BYTES_MAX: usize = 256;

/// What a span stands for: what its attributes say outright, else its source's type, else what
/// the mere presence of attributes suggests.
pub(crate) fn role(span: &Span<'_>) -> Role {
    let attributes = &span.attributes;
    let has = |keys: &[&str]| keys.iter().any(|key| attributes.get(key).is_some());
    let operation = attributes.text(&["gen_ai.operation.name"]);
    match operation.as_deref() {
        Some("chat" | "text_completion" | "generate_content" | "completion" | "embeddings") => {
            return Role::Model;
        }
        Some("execute_tool") => return Role::Tool,
        Some("invoke_agent" | "create_agent") => return Role::Agent,
        Some("chain" | "workflow" | "invoke_workflow" | "plan" | "retrieval") => {
            return Role::Other;
        }
        _ => {}
    }
    let kind = attributes.text(&[
        "openinference.span.kind",
        "traceloop.span.kind",
        "experiment.operation_type",
        "langfuse.observation.type",
    ]);
    match kind.map(|kind| kind.to_lowercase()).as_deref() {
        Some("llm" | "embedding" | "generation" | "agent_llm") => return Role::Model,
        Some("tool" | "tool_call") => return Role::Tool,
        Some("agent") => return Role::Agent,
        Some(
            "chain" | "retriever" | "reranker" | "guardrail" | "evaluator" | "prompt" | "workflow"
            | "task",
        ) => return Role::Other,
        _ => {}
    }
    match attributes.text(&["ai.operationId"]).as_deref() {
        Some("ai.toolCall") => return Role::Tool,
        Some(id) if id.contains(".do") => return Role::Model,
        Some(_) => return Role::Other,
        None => {}
    }
    match span.role {
        Some(role) => role,
        None if has(&["gen_ai.tool.call.id", "gen_ai.tool.name"]) => Role::Tool,
        None if has(&[
            "gen_ai.response.model",
            "gen_ai.request.model",
            "llm.model_name",
        ]) =>
        {
            Role::Model
        }
        None => Role::Other,
    }
}

/// The agent that the span names.
pub(crate) fn agent<'a>(span: &Span<'a>, role: Role) -> Option<Cow<'a, str>> {
    let named = span.attributes.text(&["gen_ai.agent.name", "agent.name"]);
    if role != Role::Agent {
        return named;
    }
    named
        .or_else(|| span.attributes.text(&["graph.node.id"]))
        .or_else(|| {
            let name = span.name.strip_prefix("invoke_agent ")?;
            Some(Cow::Owned(name.to_owned()))
        })
        .or_else(|| {
            let name = span.name.strip_prefix("agent_run [")?.strip_suffix(']')?;
            Some(Cow::Owned(name.to_owned()))
        })
}

/// Fills in name and contents.
pub(crate) fn fill<'a>(step: &mut Step<'a>, span: &Span<'a>) {
    let attributes = &span.attributes;
    let model = span.model.clone().or_else(|| {
        attributes.text(&[
            "gen_ai.response.model",
            "gen_ai.request.model",
            "llm.model_name",
            "ai.model.id",
            "embedding.model_name",
        ])
    });
    if model.is_some() {
        step.gaps.partly(Gaps::ENVIRONMENT);
    }
    let (went_in, came_out) = match step.kind {
        Kind::ToolCall => (arguments(span), answer(span)),
        _ => (prompt(span), completion(span)),
    };
    match step.kind {
        Kind::Inference => {
            step.name = model.or_else(|| step.name.take());
            step.asked = went_in;
            step.chosen = came_out;
            if step.asked.is_some() {
                step.gaps.known(Gaps::ASKED);
            }
            let reasoning = ["gen_ai.reasoning", "ai.response.reasoning"];
            step.reasoned(attributes.content(&reasoning));
        }
        Kind::ToolCall => {
            let tool = attributes.text(&["gen_ai.tool.name", "tool.name", "ai.toolCall.name"]);
            step.name = Some(tool.unwrap_or_else(
                || match span.name.strip_prefix("execute_tool ") {
                    Some(tool) => Cow::Owned(tool.to_owned()),
                    None if span.name.is_empty() => Cow::Borrowed("unknown"),
                    None => span.name.clone(),
                },
            ));
            step.call_id =
                attributes.text(&["gen_ai.tool.call.id", "tool_call.id", "ai.toolCall.id"]);
            step.asked = went_in;
            step.result = came_out;
            if step.asked.is_none() {
                step.gaps.unknowable(Gaps::ASKED);
            }
        }
        // What one agent tells another is what goes into the other's span.
        Kind::Message => {
            step.name = Some(span.name.clone());
            step.chosen = went_in;
            step.result = came_out;
        }
        _ => {
            step.name = Some(span.name.clone());
            step.asked = went_in;
            step.result = came_out;
            if step.asked.is_some() {
                step.gaps.known(Gaps::ASKED);
            }
        }
    }
    if matches!(step.kind, Kind::Inference | Kind::Message) && step.chosen.is_none() {
        step.gaps.unknowable(Gaps::CHOSEN);
    }
}

fn prompt<'a>(span: &Span<'a>) -> Option<Text<'a>> {
    let attributes = &span.attributes;
    span.input
        .clone()
        .or_else(|| attributes.content(&["gen_ai.input.messages"]))
        .or_else(|| attributes.gathered("llm.input_messages"))
        .or_else(|| attributes.gathered("gen_ai.prompt"))
        .or_else(|| {
            attributes.content(&[
                "gen_ai.prompt",
                "ai.prompt.messages",
                "ai.prompt",
                "agent.input_message",
                "input.value",
                "traceloop.entity.input",
                "task.input",
            ])
        })
}

fn completion<'a>(span: &Span<'a>) -> Option<Text<'a>> {
    let attributes = &span.attributes;
    span.output
        .clone()
        .or_else(|| attributes.content(&["gen_ai.output.messages"]))
        .or_else(|| attributes.gathered("llm.output_messages"))
        .or_else(|| attributes.gathered("gen_ai.completion"))
        .or_else(|| {
            attributes.content(&[
                "gen_ai.completion",
                "ai.response.text",
                "ai.response.toolCalls",
                "ai.response.object",
                "agent.output_message",
                "output.value",
                "traceloop.entity.output",
            ])
        })
}

fn arguments<'a>(span: &Span<'a>) -> Option<Text<'a>> {
    span.input.clone().or_else(|| {
        span.attributes.content(&[
            "gen_ai.tool.call.arguments",
            "tool_call.function.arguments",
            "ai.toolCall.args",
            "ai.toolCall.input",
            "tool_arguments",
            "tool.args_json",
            "input.value",
            "traceloop.entity.input",
            "tool.parameters",
        ])
    })
}

fn answer<'a>(span: &Span<'a>) -> Option<Text<'a>> {
    span.output.clone().or_else(|| {
        span.attributes.content(&[
            "gen_ai.tool.call.result",
            "ai.toolCall.result",
            "ai.toolCall.output",
            "tool_response",
            "tool.result_json",
            "output.value",
            "traceloop.entity.output",
        ])
    })
}

/// The values of every `id`, `tool_call_id`, `tool_call.id`, `call_id` and `toolCallId` in an
/// output, at whatever depth, and inside strings that hold JSON themselves.
///
/// One pass over the text, without parsing it: an output may be JSON within JSON within text.
pub(crate) fn call_ids(text: &str) -> impl Iterator<Item = String> {
    const KEYS: [&str; 6] = [
        "id",
        "tool_call_id",
        "tool_call.id",
        "call_id",
        "toolCallId",
        "callId",
    ];
    const QUOTES: [char; 2] = ['"', '\''];
    text.match_indices('d').filter_map(|(at, _)| {
        let (before, after) = text.split_at(at + 1);
        let opened = |key: &&str| {
            let before = before.strip_suffix(*key);
            before.is_some_and(|before| before.ends_with(QUOTES))
        };
        KEYS.iter().find(|key| opened(key))?;
        // `"id": "…"`, with as many backslashes before the quotes as it is nested.
        let colon = after.trim_start_matches('\\').strip_prefix(QUOTES)?;
        let value = colon.trim_start().strip_prefix(':')?;
        let value = value.trim_start().trim_start_matches('\\');
        let value = value.strip_prefix(QUOTES)?;
        let end = value
            .bytes()
            .take(ID_BYTES_MAX)
            .position(|byte| b"\"'\\".contains(&byte))?;
        (end > 0).then(|| value[..end].to_owned())
    })
}

/// A value that a source may write as JSON or as a string: text, or the JSON inside.
pub(crate) fn value(raw: &str) -> Option<Text<'_>> {
    match json::string(raw) {
        Some(text) if text.is_empty() => None,
        Some(text) if is_json(&text) => Some(Text::json(text)),
        Some(text) => Some(Text::plain(text)),
        None => Some(Text::json(raw)),
    }
}
