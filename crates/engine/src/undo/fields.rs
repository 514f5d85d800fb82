//! Values: what is filled into a call, and whether a record is as it should be.

use recover::plan::{Fields, ToolCall};
use serde_json::{Map, Value};

/// What a call's arguments are filled with.
#[derive(Debug, Default)]
pub(super) struct Filling<'a> {
    pub(super) key: &'a str,
    pub(super) version: Option<&'a Value>,
    pub(super) fields: Option<&'a Fields>,
}

/// Whether a call carries the key of its step, so that it can be sent again without being carried
/// out again.
pub(super) fn is_keyed(value: &Value) -> bool {
    match value {
        Value::String(text) => text == "{key}",
        Value::Array(items) => items.iter().any(is_keyed),
        Value::Object(members) => members.values().any(is_keyed),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Fills in `{key}`, `{version}` and `{fields}`.
pub(super) fn filled(call: &ToolCall, with: &Filling<'_>) -> ToolCall {
    ToolCall {
        server: call.server.clone(),
        tool: call.tool.clone(),
        arguments: fill(&call.arguments, with),
    }
}

pub(super) fn fill(value: &Value, with: &Filling<'_>) -> Value {
    match value {
        Value::String(text) => match text.as_str() {
            "{key}" => Value::String(with.key.to_owned()),
            "{version}" => with.version.cloned().unwrap_or(Value::Null),
            "{fields}" => with.fields.map_or(Value::Null, as_object),
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(|item| fill(item, with)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), fill(value, with)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn as_object(fields: &Fields) -> Value {
    fields
        .iter()
        .map(|(pointer, value)| (pointer.clone(), value.clone().unwrap_or(Value::Null)))
        .collect::<Map<_, _>>()
        .into()
}

/// Whether a record has all of these fields as said; a record that is not there has none.
pub(super) fn matches(record: Option<&Value>, fields: &Fields) -> bool {
    fields
        .iter()
        .all(|(pointer, value)| same(at(record, pointer), value.as_ref()))
}

/// Returns the fields that are neither as expected nor as they are to be.
pub(super) fn strangers<'f>(
    record: Option<&Value>,
    expected: &'f Fields,
    wanted: &Fields,
) -> Vec<&'f str> {
    expected
        .iter()
        .filter(|(pointer, value)| {
            let now = at(record, pointer);
            let wanted = wanted.get(*pointer);
            !same(now, value.as_ref()) && !wanted.is_some_and(|wanted| same(now, wanted.as_ref()))
        })
        .map(|(pointer, _)| pointer.as_str())
        .collect()
}

fn at<'v>(record: Option<&'v Value>, pointer: &str) -> Option<&'v Value> {
    record.and_then(|record| record.pointer(pointer))
}

/// Whether two values are the same; a field that is null is as one that is not there, because a
/// plan's JSON cannot tell the two apart. Numbers are compared by value: `12` is `12.0`.
fn same(one: Option<&Value>, other: Option<&Value>) -> bool {
    let some = |value: Option<&Value>| value.is_some_and(|value| !value.is_null());
    match (one, other) {
        (Some(one), Some(other)) => equal(one, other),
        (one, other) => !some(one) && !some(other),
    }
}

fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || one.as_f64().is_some_and(|one| other.as_f64() == Some(one))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, one)| other.get(name).is_some_and(|other| equal(one, other)))
        }
        (one, other) => one == other,
    }
}
