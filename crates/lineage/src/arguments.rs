//! Walks the arguments of a tool call: JSON text from a model, so perhaps not JSON at all.

use serde_json::Value;

use crate::scan::{chain, hash_exact, mix};

/// Nesting at which a walk stops: deeper values are looked at no further.
const DEPTH_MAX: u32 = 64;

/// Arguments, parsed once.
#[derive(Debug)]
pub(crate) struct Arguments<'a> {
    text: &'a str,
    json: Option<Value>,
}

impl<'a> Arguments<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        Self {
            text,
            json: serde_json::from_str(text).ok(),
        }
    }

    /// Calls `each` with the JSON Pointer (RFC 6901) and the text of every string and number.
    /// Text that is not JSON is one leaf at the root.
    pub(crate) fn leaves(&self, each: &mut impl FnMut(&str, &str)) {
        match &self.json {
            Some(value) => walk(value, &mut String::new(), 0, each),
            None => each("", self.text),
        }
    }

    /// Hashes the arguments so that neither the order of keys nor white space counts.
    pub(crate) fn canonical_hash(&self, seed: u64) -> u64 {
        match &self.json {
            Some(value) => digest(value, seed, 0),
            None => hash_exact(self.text.trim().as_bytes(), seed),
        }
    }
}

fn walk(value: &Value, at: &mut String, depth: u32, each: &mut impl FnMut(&str, &str)) {
    let len = at.len();
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => each(at, &number.to_string()),
        Value::String(text) => each(at, text),
        Value::Array(_) | Value::Object(_) if depth >= DEPTH_MAX => {}
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                at.push('/');
                at.push_str(&i.to_string());
                walk(item, at, depth + 1, each);
                at.truncate(len);
            }
        }
        Value::Object(fields) => {
            for (key, item) in fields {
                at.push('/');
                at.push_str(&key.replace('~', "~0").replace('/', "~1"));
                walk(item, at, depth + 1, each);
                at.truncate(len);
            }
        }
    }
}

fn digest(value: &Value, seed: u64, depth: u32) -> u64 {
    match value {
        Value::Array(_) | Value::Object(_) if depth >= DEPTH_MAX => 1,
        Value::Null => 2,
        Value::Bool(yes) => 3 + u64::from(*yes),
        Value::Number(number) => hash_exact(number.to_string().as_bytes(), seed ^ 5),
        Value::String(text) => hash_exact(text.as_bytes(), seed ^ 6),
        Value::Array(items) => items.iter().fold(7, |state, item| {
            chain(state, digest(item, seed, depth + 1), seed)
        }),
        // A sum does not depend on the order of its terms.
        Value::Object(fields) => fields.iter().fold(8u64, |state, (key, item)| {
            let field = hash_exact(key.as_bytes(), seed ^ 9);
            state.wrapping_add(mix(field ^ 10, digest(item, seed, depth + 1) | 1))
        }),
    }
}
