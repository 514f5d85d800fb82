//! One message of the OpenAI chat API, and its relatives (tau2, legacy functions, custom tools).

use std::borrow::Cow;

use super::error::ImportError;
use super::format::Format;
use super::json::{self, Input, Object};
use super::run::{Position, Text, Unsaid};

/// A message, as far as a decision needs it; the rest stays in its source.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) role: Cow<'a, str>,
    pub(crate) calls: Vec<Call<'a>>,
    pub(crate) fields: Object<'a>,
    raw: &'a str,
}

/// Keys that say nothing where they are `null`, as clients write out every field that they know.
const SILENT: [&str; 4] = ["audio", "function_call", "refusal", "tool_calls"];

/// A tool call inside a message.
#[derive(Debug, PartialEq)]
pub(crate) struct Call<'a> {
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) name: Option<Cow<'a, str>>,
    pub(crate) arguments: Option<Text<'a>>,
    /// Where in the message it stands.
    pub(crate) position: Position,
    pub(crate) raw: &'a str,
}

impl<'a> Message<'a> {
    /// Reads a message.
    pub(crate) fn read(
        input: &Input<'a>,
        raw: &'a str,
        position: &Position,
    ) -> Result<Self, ImportError> {
        let expected = "a message with `role`";
        if !raw.starts_with('{') {
            return Err(input.unexpected(Format::OpenaiChat, raw, position, expected));
        }
        let fields = input.item(raw, position)?;
        let Some(role) = fields.text("role") else {
            return Err(input.unexpected(Format::OpenaiChat, raw, position, expected));
        };
        let mut calls = Vec::new();
        if let Some(list) = fields.get("tool_calls") {
            let position = position.then("tool_calls");
            if !list.starts_with('[') {
                let expected = "an array of tool calls";
                return Err(input.unexpected(Format::OpenaiChat, list, &position, expected));
            }
            for (index, raw) in input.array(list, &position)?.into_iter().enumerate() {
                calls.push(Call::read(input, raw, position.at(index))?);
            }
        }
        if let Some(raw) = fields.get("function_call") {
            calls.push(Call::read(input, raw, position.then("function_call"))?);
        }
        Ok(Self {
            role,
            calls,
            fields,
            raw,
        })
    }

    /// The content: text where it is nothing but text, else JSON as it came.
    pub(crate) fn content(&self) -> Option<Text<'a>> {
        content(self.fields.get("content")?)
    }

    /// What is left of `source`, the item that the message stands in, where a step says its content
    /// as one text, and `said`: keys whose meaning the step has too.
    pub(crate) fn unsaid(&self, source: &str, said: &[&str]) -> Unsaid {
        if !std::ptr::eq(source, self.raw) {
            return Unsaid::All;
        }
        let left = self.fields.left(|key, raw| match key {
            "content" => !raw.starts_with('"') && raw != "null",
            _ => !said.contains(&key) && (raw != "null" || !SILENT.contains(&key)),
        });
        left.map_or(Unsaid::Nothing, Unsaid::Members)
    }

    /// The id of the call that this message answers. tau2 writes it as `id`.
    pub(crate) fn answers(&self) -> Option<Cow<'a, str>> {
        self.fields
            .filled("tool_call_id")
            .or_else(|| self.fields.filled("id"))
    }

    /// Whether a field says outright that the call failed or did not.
    pub(crate) fn failed(&self) -> Option<bool> {
        match self.fields.any(&["is_error", "error"]) {
            Some("true") => return Some(true),
            Some("false") => return Some(false),
            _ => {}
        }
        match self.fields.text("status").as_deref() {
            Some("error") => Some(true),
            Some("success") => Some(false),
            _ => None,
        }
    }

    /// A number that a message shares with itself sent again. Text counts as it is written: one
    /// writer escapes in one way, and reading it here would cost a third of the import.
    pub(crate) fn key(&self) -> u64 {
        let empty = |raw: &&str| !matches!(*raw, "\"\"" | "[]");
        let content = self.fields.get("content").filter(empty);
        let mut key = mixed(self.role.len() as u64, content.unwrap_or_default());
        for call in &self.calls {
            key = mixed(key, call.id.as_deref().unwrap_or_default());
            key = mixed(key, call.name.as_deref().unwrap_or_default());
        }
        key
    }

    /// Whether this is the same message, sent again: unknown fields may differ.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        let calls = |message: &Self| -> Vec<_> {
            let parts = |call: &Call<'a>| {
                let arguments = call.arguments.as_ref().map(|text| text.text.clone());
                (call.id.clone(), call.name.clone(), arguments)
            };
            message.calls.iter().map(parts).collect()
        };
        self.role == other.role
            && self.spoken() == other.spoken()
            && self.fields.text("tool_call_id") == other.fields.text("tool_call_id")
            && calls(self) == calls(other)
    }

    /// The content, where an empty text counts as none, as clients resend it either way.
    fn spoken(&self) -> Option<Text<'a>> {
        self.content().filter(|content| !content.text.is_empty())
    }
}

impl<'a> Call<'a> {
    fn read(input: &Input<'a>, raw: &'a str, position: Position) -> Result<Self, ImportError> {
        if !raw.starts_with('{') {
            let expected = "a tool call";
            return Err(input.unexpected(Format::OpenaiChat, raw, &position, expected));
        }
        let outer = input.object(raw, &position)?;
        // `function` and `custom` as the API writes them; tau2 and `function_call` have no
        // such level.
        let inner = match outer.any(&["function", "custom"]) {
            Some(inner) if inner.starts_with('{') => Some(input.object(inner, &position)?),
            _ => None,
        };
        let body = inner.as_ref().unwrap_or(&outer);
        Ok(Self {
            id: outer.filled("id").or_else(|| outer.filled("tool_call_id")),
            name: body.text("name"),
            arguments: body.any(&["arguments", "input"]).map(json_text),
            position,
            raw,
        })
    }
}

/// Mixes a text into a key, eight bytes at a time, as FxHash does. Nothing rests on keys being
/// hard to forge: whoever finds equal ones compares the messages.
fn mixed(mut key: u64, text: &str) -> u64 {
    const FACTOR: u64 = 0x517c_c1b7_2722_0a95;
    let mut add = |word: u64| key = (key.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    words.iter().for_each(|word| add(u64::from_le_bytes(*word)));
    rest.iter().for_each(|byte| add(u64::from(*byte)));
    add(text.len() as u64);
    key
}

/// A value that is JSON, or a string that holds JSON: the JSON. Any other string: its text.
pub(crate) fn json_text(raw: &str) -> Text<'_> {
    match json::string(raw) {
        None => Text::json(raw),
        Some(text) if is_json(&text) => Text::json(text),
        Some(text) => Text::plain(text),
    }
}

/// Whether a text is an object or an array in JSON.
pub(crate) fn is_json(text: &str) -> bool {
    let start = text.trim_start().as_bytes().first();
    matches!(start, Some(b'{' | b'[')) && json::is_valid(text)
}

/// Reads a content: a string, parts, or anything else.
pub(crate) fn content(raw: &str) -> Option<Text<'_>> {
    match raw.as_bytes().first()? {
        b'"' => json::string(raw).map(Text::plain),
        b'[' => Some(parts(raw).map_or_else(|| Text::json(raw), Text::plain)),
        b'n' => None,
        _ => Some(Text::json(raw)),
    }
}

/// Joins parts that are all text, one a line; none if one is something else.
fn parts(raw: &str) -> Option<Cow<'_, str>> {
    let mut texts = Vec::new();
    for part in json::array(raw).ok()? {
        texts.push(match part.as_bytes().first()? {
            b'"' => json::string(part)?,
            b'{' => {
                let part = json::object(part).ok()?;
                let kind = part.text("type").unwrap_or(Cow::Borrowed("text"));
                match &*kind {
                    "text" | "input_text" | "output_text" => part.text("text")?,
                    "refusal" => part.text("refusal")?,
                    _ => return None,
                }
            }
            _ => return None,
        });
    }
    match texts.len() {
        0 => None,
        1 => texts.pop(),
        _ => Some(Cow::Owned(texts.join("\n"))),
    }
}
