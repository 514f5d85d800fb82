//! OpenAI chat completions, and the many servers that speak it almost.

use std::borrow::Cow;

use super::Unreadable;
use super::answer::{Answer, Completeness, Draft, OwnedCall, Usage, add_line};
use super::error::{self, ProviderError};
use super::fields::{Body, Fields, string};
use super::request::{Call, Item, Request, Role, arguments, demanded};

/// Reads the messages of a request.
pub(super) fn request<'a>(
    body: &mut Body<'a>,
    request: &mut Request<'a>,
) -> Result<(), Unreadable> {
    let expected = "`messages` to be an array of messages";
    for message in demanded(body, expected, "a message")? {
        let role = Role::read(&message.text("role").unwrap_or_default());
        let mut text = request.content(message.get("content"));
        if text.is_empty() {
            text = message.text("refusal").unwrap_or_default();
        }
        if message.get("audio").is_some() {
            request.attachments += 1;
        }
        let asked = match role {
            Role::Assistant => calls(&message),
            _ => Vec::new(),
        };
        let call_id = match role {
            Role::Tool => message.filled("tool_call_id"),
            _ => None,
        };
        request.items.push(Item {
            asked,
            call_id,
            name: message.filled("name"),
            ..Item::new(role, text)
        });
    }
    Ok(())
}

/// The calls of a message.
fn calls<'a>(message: &Fields<'a>) -> Vec<Call<'a>> {
    let mut calls: Vec<Call<'a>> = message
        .objects("tool_calls")
        .map(|call| Call {
            id: call.filled("id"),
            ..called(&call)
        })
        .collect();
    calls.extend(message.object("function_call").map(|call| called(&call)));
    calls
}

/// Name and arguments of a call: in `function` or `custom`, or, of old, right here.
fn called<'a>(call: &Fields<'a>) -> Call<'a> {
    let inner = call.object("function").or_else(|| call.object("custom"));
    let body = inner.as_ref().unwrap_or(call);
    Call {
        id: None,
        name: body.text("name").unwrap_or_default(),
        arguments: arguments(body.any(&["arguments", "input"])),
        hosted: false,
    }
}

/// Reads a plain answer.
pub(super) fn answer(fields: &Fields<'_>) -> Answer {
    let mut answer = Answer::default();
    envelope(&mut answer, fields);
    let mut finishes = Vec::new();
    let mut failure = None;
    for choice in fields.objects("choices") {
        let message = choice.object("message").unwrap_or_default();
        let mut draft = Draft {
            asked: calls(&message).into_iter().map(OwnedCall::from).collect(),
            ..Draft::default()
        };
        spoken(&mut draft, &message, &mut answer.unread);
        answer.add(draft);
        finishes.push(finish(&choice));
        failure = failure.or_else(|| choice_error(&choice));
        answer.choices += 1;
    }
    conclude(&mut answer, &finishes, failure);
    answer
}

/// What stands around the choices, in a plain answer or a chunk.
pub(super) fn envelope(answer: &mut Answer, fields: &Fields<'_>) {
    for (place, key) in [(&mut answer.id, "id"), (&mut answer.model, "model")] {
        if let Some(text) = fields.filled(key) {
            *place = Some(text.into_owned());
        }
    }
    let nested = |key: &str| fields.object(key).and_then(|object| object.object("usage"));
    let usage = fields.object("usage").or_else(|| nested("x_groq"));
    if let Some(usage) = usage.and_then(|usage| Usage::openai(&usage)) {
        answer.usage = Some(usage);
    }
}

/// The error that a choice failed with, which some servers say only by a finish reason.
pub(super) fn choice_error(choice: &Fields<'_>) -> Option<ProviderError> {
    if choice.get("error").is_some() {
        return Some(error::of_object(choice));
    }
    let failed = choice.text("finish_reason").as_deref() == Some("error");
    failed.then(|| ProviderError {
        kind: Some("error".to_owned()),
        ..ProviderError::default()
    })
}

pub(super) fn finish(choice: &Fields<'_>) -> Option<String> {
    choice
        .filled("finish_reason")
        .map(|finish| finish.into_owned())
}

/// Adds the texts of a message or of a delta, whose pieces follow each other without a gap.
/// Returns whether there were any.
pub(super) fn spoken(draft: &mut Draft, message: &Fields<'_>, unread: &mut usize) -> bool {
    let before = draft.text.len() + draft.reasoning.len();
    match message.get("content") {
        Some(raw) if raw.starts_with('[') => {
            for part in message.objects("content") {
                content_part(draft, &part, unread);
            }
        }
        Some(raw) => draft.text.push_str(&string(raw).unwrap_or_default()),
        None => {}
    }
    // Two names for one thing; some servers send both with the same text.
    let reasoning = message
        .filled("reasoning_content")
        .or_else(|| message.filled("reasoning"));
    draft.reasoning.push_str(&reasoning.unwrap_or_default());
    let audio = message.object("audio").unwrap_or_default();
    draft
        .text
        .push_str(&audio.text("transcript").unwrap_or_default());
    let refused = message.filled("refusal");
    if let Some(refusal) = &refused {
        draft.refusal.get_or_insert_default().push_str(refusal);
    }
    before < draft.text.len() + draft.reasoning.len()
        || refused.is_some()
        || audio.get("data").is_some()
}

/// Content in parts, which Mistral's models use to think aloud.
fn content_part(draft: &mut Draft, part: &Fields<'_>, unread: &mut usize) {
    let kind = part.text("type").unwrap_or(Cow::Borrowed("text"));
    match &*kind {
        "text" => add_line(&mut draft.text, &part.text("text").unwrap_or_default()),
        "thinking" => match part.text("thinking") {
            Some(thought) => draft.reasoning.push_str(&thought),
            None => part
                .objects("thinking")
                .filter_map(|part| part.text("text"))
                .for_each(|thought| draft.reasoning.push_str(&thought)),
        },
        _ => *unread += 1,
    }
}

/// Concludes from the finish reasons of all choices how complete an answer is.
pub(super) fn conclude(
    answer: &mut Answer,
    finishes: &[Option<String>],
    failure: Option<ProviderError>,
) {
    answer.finish = finishes.first().cloned().flatten();
    let says = |words: &[&str]| {
        let mut said = finishes.iter().flatten();
        said.any(|finish| words.contains(&&**finish))
    };
    answer.complete = if failure.is_some() {
        Completeness::Failed
    } else if finishes.is_empty() || finishes.contains(&None) {
        Completeness::Truncated
    } else if says(&["length", "content_filter", "model_length"]) {
        Completeness::Incomplete
    } else {
        Completeness::Complete
    };
    answer.error = failure;
}
