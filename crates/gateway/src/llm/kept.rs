//! What the record is told of a model's call and answer.

use std::borrow::Cow;

use bytes::Bytes;
use engine::live::{Call, Caller, Ended, OwnedCall, OwnedItem, What};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use model::{Environment, FailureClass, Field, Media, Outcome};
use serde_json::json;
use wire::failure::{Class, Failure, classify};
use wire::llm::{self, Answer, Completeness, Layout, ProviderError, Request};

use crate::route::Target;

/// A body as the record can hold it: text as it is, anything else by its length.
pub(super) fn text<'b>(body: &'b Bytes, headers: &HeaderMap) -> (Media, Cow<'b, str>) {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    match std::str::from_utf8(body) {
        Ok(text) if kind.is_empty() || kind.contains("json") => (Media::Json, Cow::Borrowed(text)),
        Ok(text) if kind.starts_with("text/") => (Media::Text, Cow::Borrowed(text)),
        _ => (
            Media::Text,
            Cow::Owned(format!("[{} bytes of {kind}]", body.len())),
        ),
    }
}

/// The call, as the recorder takes it.
pub(super) fn call<'a>(
    caller: &mut Caller,
    target: &'a Target,
    (read, sent): (Option<Request<'a>>, Option<&'a Layout<'a>>),
    text: &'a (Media, Cow<'a, str>),
) -> Call<'a> {
    let mut environment = Environment::default();
    let mut items = Vec::new();
    // An endpoint that nobody here reads is known by its path.
    let mut model = target.rest.split('?').next().unwrap_or_default();
    if let Some(request) = read {
        environment = llm::snapshot(&request);
        caller.previous = request.previous_response_id.as_deref().map(str::to_owned);
        caller.conversation = request.conversation.as_deref().map(str::to_owned);
        items = request.items.into_iter().map(OwnedItem::from).collect();
        if let Some(Cow::Borrowed(named)) = request.model {
            model = named;
        }
    }
    environment
        .0
        .insert("upstream.name".to_owned(), target.name.clone());
    Call {
        caller: std::mem::take(caller),
        what: What::Inference { model, items, sent },
        asked: (text.0, &text.1),
        environment,
        touches: None,
    }
}

/// The end of a call that was answered. `raw` is the body of a plain answer, which is kept as it
/// came; of a stream its sense is kept, with `why` it stopped before its end.
pub(super) fn ended(
    answer: Answer,
    raw: Option<&str>,
    outcome: Outcome,
    why: Option<&str>,
) -> Ended {
    let asked: Vec<OwnedCall> = answer
        .asked
        .iter()
        // What the provider carries out itself is no call that an agent makes, and of an answer
        // that did not come to its end no call was let out.
        .filter(|call| !call.hosted && outcome == Outcome::Succeeded)
        .map(|call| OwnedCall {
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        })
        .collect();
    let mut kept = Vec::new();
    if !answer.text.is_empty() {
        kept.push((Field::Chosen, Media::Text, answer.text.clone()));
    } else if !answer.asked.is_empty() {
        let calls: Vec<_> = answer
            .asked
            .iter()
            .map(|call| json!({ "id": call.id, "name": call.name, "arguments": call.arguments }))
            .collect();
        kept.push((Field::Chosen, Media::Json, json!(calls).to_string()));
    }
    if !answer.reasoning.is_empty() {
        kept.push((Field::Reasoning, Media::Text, answer.reasoning.clone()));
    }
    let result = raw.map_or_else(|| sense(&answer, why), str::to_owned);
    kept.push((Field::Result, Media::Json, result));
    Ended {
        outcome,
        output: answer.text,
        asked,
        answer_id: answer.id,
        kept,
        causes: Vec::new(),
    }
}

/// What a stream said, in one object.
fn sense(answer: &Answer, why: Option<&str>) -> String {
    let calls: Vec<_> = answer
        .asked
        .iter()
        .map(|call| {
            json!({
                "id": call.id, "name": call.name, "arguments": call.arguments, "hosted": call.hosted,
            })
        })
        .collect();
    let usage = answer.usage.as_ref().map(|usage| {
        json!({
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cache_read_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
        })
    });
    json!({
        "id": answer.id,
        "model": answer.model,
        "complete": answer.complete.name(),
        "finish": answer.finish,
        "refusal": answer.refusal,
        "calls": calls,
        "usage": usage,
        "choices": answer.choices,
        "unread": answer.unread,
        "stopped": why,
        "error": answer.error.as_ref().map(|error| json!({
            "type": error.kind, "code": error.code, "message": error.message,
        })),
    })
    .to_string()
}

/// The outcome that an answer stands for.
pub(super) fn outcome(target: &Target, answer: &Answer) -> Outcome {
    match answer.complete {
        // What the provider cut at a limit or filtered is still what it answered.
        Completeness::Complete | Completeness::Incomplete => Outcome::Succeeded,
        Completeness::Truncated => Outcome::Failed {
            class: FailureClass::Unavailable,
        },
        Completeness::Failed => {
            let error = answer.error.clone().unwrap_or_default();
            Outcome::Failed {
                class: class(target, None, &error).class,
            }
        }
    }
}

/// Classes what a provider says went wrong.
pub(super) fn class(target: &Target, status: Option<u16>, error: &ProviderError) -> Class {
    classify(&Failure {
        provider: Some(&target.name),
        status,
        kind: error.kind.as_deref(),
        code: error.code.as_deref(),
        text: &error.message,
    })
}

/// The end of a call that an error answered.
pub(super) fn refused(class: FailureClass, status: u16, body: &str) -> Ended {
    let mut ended = Ended::with(Outcome::Failed { class });
    let kept = json!({ "status": status, "body": body }).to_string();
    ended.kept.push((Field::Result, Media::Json, kept));
    ended
}

/// The end of a call that nobody answered.
pub(super) fn unanswered(class: FailureClass, why: &str) -> Ended {
    let mut ended = Ended::with(Outcome::Failed { class });
    let kept = json!({ "error": why }).to_string();
    ended.kept.push((Field::Result, Media::Json, kept));
    ended
}
