//! Conversations as each wire writes them, and what each provider demands of one.

use context::{Audience, Called, Mark, Marks, Repair, Trace, repair};
use model::DecisionId;
use serde_json::{Value, json};
use wire::llm::{Api, Layout};

/// One turn of a conversation.
#[derive(Clone, Debug)]
pub(crate) enum Turn {
    User(String),
    Model {
        text: String,
        calls: Vec<(String, String, Value)>,
    },
    /// The results of the calls before, in order.
    Results(Vec<String>),
}

pub(crate) fn decision(n: u8) -> DecisionId {
    DecisionId::new(u64::from(n), [n; 10])
}

pub(crate) fn output(n: u8, text: &str, calls: &[(&str, &str, Value)], told: &[&str]) -> Mark {
    Mark {
        decision: decision(n),
        agent: "ada".to_owned(),
        reason: "the policy was misread".to_owned(),
        trace: Trace::Output {
            text: text.to_owned(),
            calls: calls
                .iter()
                .map(|(id, name, arguments)| called(id, name, arguments))
                .collect(),
            told: told.iter().map(|told| (*told).to_owned()).collect(),
        },
    }
}

pub(crate) fn result(n: u8, call: Called, text: &str) -> Mark {
    Mark {
        trace: Trace::Result {
            call,
            text: text.to_owned(),
        },
        ..output(n, "", &[], &[])
    }
}

pub(crate) fn called(id: &str, name: &str, arguments: &Value) -> Called {
    Called {
        id: Some(id.to_owned()),
        name: name.to_owned(),
        arguments: arguments.to_string(),
    }
}

pub(crate) fn here(marks: &[Mark]) -> Marks {
    Marks::new(Audience::SameRun, marks)
}

pub(crate) fn anywhere(marks: &[Mark]) -> Marks {
    Marks::new(Audience::AnyRun, marks)
}

pub(crate) fn repaired(api: Api, body: &str, marks: &Marks) -> Option<(String, Repair)> {
    let layout = Layout::read(api, body.as_bytes()).ok()?;
    let repair = repair(&layout, &[marks])?;
    let text = String::from_utf8(repair.body.clone()).unwrap();
    Some((text, repair))
}

/// The conversation in the form of a wire.
pub(crate) fn body(api: Api, turns: &[Turn]) -> Value {
    let mut items = Vec::new();
    let mut asked: Vec<String> = Vec::new();
    for turn in turns {
        match (api, turn) {
            (Api::Chat | Api::Messages, Turn::User(text)) => {
                items.push(json!({ "role": "user", "content": text }));
            }
            (Api::Responses, Turn::User(text)) => items.push(json!({
                "type": "message", "role": "user",
                "content": [{ "type": "input_text", "text": text }],
            })),
            (Api::Chat, Turn::Model { text, calls }) => {
                let mut message = json!({ "role": "assistant", "content": text });
                if !calls.is_empty() {
                    let calls = calls.iter().map(|(id, name, arguments)| {
                        json!({ "id": id, "type": "function", "function":
                            { "name": name, "arguments": arguments.to_string() } })
                    });
                    message["tool_calls"] = calls.collect();
                    if text.is_empty() {
                        message["content"] = Value::Null;
                    }
                }
                items.push(message);
            }
            (Api::Responses, Turn::Model { text, calls }) => {
                if !text.is_empty() {
                    items.push(json!({ "type": "message", "role": "assistant", "content":
                        [{ "type": "output_text", "text": text, "annotations": [] }] }));
                }
                items.extend(calls.iter().map(|(id, name, arguments)| {
                    json!({ "type": "function_call", "call_id": id, "name": name,
                        "arguments": arguments.to_string() })
                }));
            }
            (Api::Messages, Turn::Model { text, calls }) => {
                let mut blocks = Vec::new();
                if !calls.is_empty() {
                    blocks.push(
                        json!({ "type": "thinking", "thinking": "Hm.", "signature": "c2ln" }),
                    );
                }
                if !text.is_empty() {
                    blocks.push(json!({ "type": "text", "text": text }));
                }
                blocks.extend(calls.iter().map(|(id, name, arguments)| {
                    json!({ "type": "tool_use", "id": id, "name": name, "input": arguments })
                }));
                items.push(json!({ "role": "assistant", "content": blocks }));
            }
            (Api::Chat, Turn::Results(results)) => {
                items.extend(asked.iter().zip(results).map(
                    |(id, text)| json!({ "role": "tool", "tool_call_id": id, "content": text }),
                ));
            }
            (Api::Responses, Turn::Results(results)) => {
                items.extend(asked.iter().zip(results).map(|(id, text)| {
                    json!({ "type": "function_call_output", "call_id": id, "output": text })
                }));
            }
            (Api::Messages, Turn::Results(results)) => {
                let blocks: Vec<Value> = asked
                    .iter()
                    .zip(results)
                    .map(|(id, text)| {
                        json!({ "type": "tool_result", "tool_use_id": id, "content": text })
                    })
                    .collect();
                items.push(json!({ "role": "user", "content": blocks }));
            }
        }
        if let Turn::Model { calls, .. } = turn {
            asked = calls.iter().map(|(id, ..)| id.clone()).collect();
        }
    }
    let key = history(api);
    json!({ "model": "m", "n": 1.50, key: items })
}

pub(crate) const fn history(api: Api) -> &'static str {
    match api {
        Api::Chat | Api::Messages => "messages",
        Api::Responses => "input",
    }
}

pub(crate) fn items(api: Api, body: &str) -> Vec<Value> {
    let body: Value = serde_json::from_str(body).unwrap();
    body[history(api)].as_array().unwrap().clone()
}

/// Says what a provider would refuse about a history, if anything: calls without their one result
/// right after them, contents that are empty, roles that do not take turns.
pub(crate) fn illegal(api: Api, body: &str) -> Option<String> {
    let mut waiting: Vec<String> = Vec::new();
    let mut last_role = String::new();
    for (at, item) in items(api, body).iter().enumerate() {
        let (calls, results) = (asks(api, item), answers(api, item));
        if results.is_empty() {
            let more = api == Api::Responses && !calls.is_empty();
            let between = !waiting.is_empty() && !more;
            if between {
                return Some(format!("{at}: {waiting:?} wait for results"));
            }
        }
        for id in results {
            let Some(place) = waiting.iter().position(|waits| *waits == id) else {
                return Some(format!("{at}: nobody asked for {id}"));
            };
            waiting.remove(place);
        }
        if says_nothing(api, item) && calls.is_empty() {
            return Some(format!("{at}: is empty"));
        }
        waiting.extend(calls);
        let role = item["role"].as_str().unwrap_or_default();
        if api == Api::Messages && role == last_role {
            return Some(format!("{at}: {role} twice"));
        }
        role.clone_into(&mut last_role);
    }
    None
}

fn asks(api: Api, item: &Value) -> Vec<String> {
    let ids: Vec<&Value> = match api {
        Api::Chat => list(&item["tool_calls"]).map(|call| &call["id"]).collect(),
        Api::Responses if item["type"] == "function_call" => vec![&item["call_id"]],
        Api::Responses => Vec::new(),
        Api::Messages => list(&item["content"])
            .filter(|block| block["type"] == "tool_use")
            .map(|block| &block["id"])
            .collect(),
    };
    ids.into_iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn answers(api: Api, item: &Value) -> Vec<String> {
    let ids: Vec<&Value> = match api {
        Api::Chat => vec![&item["tool_call_id"]],
        Api::Responses if item["type"] == "function_call_output" => vec![&item["call_id"]],
        Api::Responses => Vec::new(),
        Api::Messages => list(&item["content"])
            .filter(|block| block["type"] == "tool_result")
            .map(|block| &block["tool_use_id"])
            .collect(),
    };
    ids.into_iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn says_nothing(api: Api, item: &Value) -> bool {
    let content = match api {
        Api::Responses if item["type"] == "function_call_output" => &item["output"],
        _ => &item["content"],
    };
    match content {
        Value::String(text) => text.is_empty(),
        Value::Array(parts) => {
            parts.is_empty() || parts.iter().any(|part| part["text"].as_str() == Some(""))
        }
        _ => true,
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
