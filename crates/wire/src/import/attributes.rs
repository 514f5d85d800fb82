//! Attributes of spans: OTLP's lists of typed values, or plain objects, read into one form.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::error::ImportError;
use super::json::{self, Input, quoted, write_array, write_object};
use super::openai_message::is_json;
use super::run::{Position, Text};

/// How deep values may nest inside one attribute; deeper ones are kept as they stand.
const DEPTH_MAX: usize = 32;

/// How many levels a flattened name may have, as in `llm.input_messages.0.message.role`.
const LEVELS_MAX: usize = 12;

/// Attributes in the order of the source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

/// The value of an attribute.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// Anything else, as plain JSON.
    Json(Cow<'a, str>),
}

impl<'a> Attributes<'a> {
    /// Reads attributes as OTLP writes them (`[{"key": …, "value": {"stringValue": …}}]`) or as
    /// a plain object; anything else has none.
    pub(crate) fn read(
        input: &Input<'a>,
        raw: Option<&'a str>,
        position: &Position,
    ) -> Result<Self, ImportError> {
        let mut attributes = Self::default();
        match raw.and_then(|raw| raw.as_bytes().first().map(|first| (raw, first))) {
            Some((raw, b'[')) => {
                for item in input.array(raw, position)? {
                    if !item.starts_with('{') {
                        continue;
                    }
                    let item = input.object(item, position)?;
                    if let (Some(key), Some(value)) = (item.text("key"), item.get("value")) {
                        attributes.0.push((key, any_value(value)));
                    }
                }
            }
            Some((raw, b'{')) => attributes.add(&input.object(raw, position)?),
            _ => {}
        }
        Ok(attributes)
    }

    /// Reads attributes from text that is no slice of the file.
    pub(crate) fn of_text(text: &str) -> Attributes<'static> {
        let mut attributes = Attributes::default();
        if json::is_valid(text)
            && let Ok(object) = json::object(text)
        {
            attributes.add(&object);
        }
        attributes.into_owned()
    }

    /// Adds the values of a plain object; one named `attributes` is opened.
    pub(crate) fn add(&mut self, object: &json::Object<'a>) {
        for (key, raw) in object.pairs() {
            let value = plain(raw);
            if key == "attributes" {
                match &value {
                    Value::Json(Cow::Borrowed(raw)) => {
                        if let Ok(inner) = json::object(raw) {
                            self.flat(&inner);
                        }
                    }
                    Value::Text(text) | Value::Json(text) => {
                        self.0.extend(Attributes::of_text(text).0);
                    }
                }
            }
            self.0.push((Cow::Owned(key.to_owned()), value));
        }
    }

    fn flat(&mut self, object: &json::Object<'a>) {
        for (key, raw) in object.pairs() {
            self.0.push((Cow::Owned(key.to_owned()), plain(raw)));
        }
    }

    fn into_owned(self) -> Attributes<'static> {
        let own = |(key, value): (Cow<'a, str>, Value<'a>)| {
            let value = match value {
                Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
                Value::Json(text) => Value::Json(Cow::Owned(text.into_owned())),
            };
            (Cow::Owned(key.into_owned()), value)
        };
        Attributes(self.0.into_iter().map(own).collect())
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value<'a>> {
        let found = self.0.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value)
    }

    /// The first of several names that has a string that is not empty.
    pub(crate) fn text(&self, keys: &[&str]) -> Option<Cow<'a, str>> {
        keys.iter().find_map(|key| match self.get(key)? {
            Value::Text(text) if !text.is_empty() => Some(text.clone()),
            _ => None,
        })
    }

    /// The first of several names that has a content.
    pub(crate) fn content(&self, keys: &[&str]) -> Option<Text<'a>> {
        keys.iter().find_map(|key| match self.get(key)? {
            Value::Text(text) if text.is_empty() => None,
            Value::Text(text) if is_json(text) => Some(Text::json(text.clone())),
            Value::Text(text) => Some(Text::plain(text.clone())),
            Value::Json(json) if json == "null" => None,
            Value::Json(json) => Some(Text::json(json.clone())),
        })
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.0.iter().map(|(key, value)| (&**key, value))
    }

    /// Puts together what is spread over names with numbers (`prefix.0.message.role`), as
    /// OpenInference and OpenLLMetry write lists; none if no name begins so.
    pub(crate) fn gathered(&self, prefix: &str) -> Option<Text<'a>> {
        let mut root = Node::Branch(BTreeMap::new());
        let mut found = false;
        for (key, value) in self.pairs() {
            let Some(path) = key
                .strip_prefix(prefix)
                .and_then(|rest| rest.strip_prefix('.'))
            else {
                continue;
            };
            found = true;
            root.put(&mut path.splitn(LEVELS_MAX, '.'), value);
        }
        found.then(|| Text::json(root.write()))
    }
}

/// A part of what is gathered.
enum Node {
    Leaf(String),
    Branch(BTreeMap<Token, Self>),
}

/// One level of a name; numbers are ordered as numbers.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Token {
    Index(u64),
    Name(String),
}

impl Node {
    fn put(&mut self, path: &mut dyn Iterator<Item = &str>, value: &Value<'_>) {
        let Some(token) = path.next() else {
            *self = Self::Leaf(value.to_json());
            return;
        };
        if let Self::Leaf(_) = self {
            *self = Self::Branch(BTreeMap::new());
        }
        let token = match token.parse() {
            Ok(index) => Token::Index(index),
            Err(_) => Token::Name(token.to_owned()),
        };
        if let Self::Branch(nodes) = self {
            let node = nodes.entry(token).or_insert(Self::Branch(BTreeMap::new()));
            // At most LEVELS_MAX deep.
            node.put(path, value);
        }
    }

    fn write(&self) -> String {
        match self {
            Self::Leaf(json) => json.clone(),
            Self::Branch(nodes) => {
                let list = nodes.keys().all(|token| matches!(token, Token::Index(_)));
                if list && !nodes.is_empty() {
                    let values: Vec<String> = nodes.values().map(Self::write).collect();
                    return write_array(&values);
                }
                let pairs: Vec<(String, String)> = nodes
                    .iter()
                    .map(|(token, node)| match token {
                        Token::Index(index) => (index.to_string(), node.write()),
                        Token::Name(name) => (name.clone(), node.write()),
                    })
                    .collect();
                write_object(&pairs)
            }
        }
    }
}

impl Value<'_> {
    /// The value as JSON.
    pub(crate) fn to_json(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Json(json) => json.clone().into_owned(),
        }
    }

    /// The value as people read it.
    pub(crate) fn shown(&self) -> &str {
        match self {
            Self::Text(text) | Self::Json(text) => text,
        }
    }
}

fn plain(raw: &str) -> Value<'_> {
    match json::string(raw) {
        Some(text) => Value::Text(text),
        None => Value::Json(Cow::Borrowed(raw)),
    }
}

/// Reads an `AnyValue` of OTLP (opentelemetry-proto, `common.proto`, in its JSON mapping).
fn any_value(raw: &str) -> Value<'_> {
    let object = json::object(raw).unwrap_or_default();
    if let Some(text) = object
        .text("stringValue")
        .or_else(|| object.text("bytesValue"))
    {
        return Value::Text(text);
    }
    match unwrapped(raw, 0) {
        Some(json) => Value::Json(Cow::Owned(json)),
        None => plain(raw),
    }
}

/// An `AnyValue` as plain JSON; none if it is none, or too deep.
fn unwrapped(raw: &str, depth: usize) -> Option<String> {
    if depth > DEPTH_MAX {
        return None;
    }
    let object = json::object(raw).ok()?;
    let (kind, value) = object.pairs().next()?;
    let inner = |value: &str| unwrapped(value, depth + 1).unwrap_or_else(|| value.to_owned());
    let values = || json::array(json::object(value).ok()?.get("values")?).ok();
    Some(match kind {
        "stringValue" | "bytesValue" | "boolValue" | "doubleValue" => value.to_owned(),
        // 64-bit integers are written as strings.
        "intValue" => json::scalar(value)?.into_owned(),
        "arrayValue" => {
            let values: Vec<String> = values()
                .unwrap_or_default()
                .into_iter()
                .map(inner)
                .collect();
            write_array(&values)
        }
        "kvlistValue" => {
            let mut pairs = Vec::new();
            for item in values().unwrap_or_default() {
                let item = json::object(item).ok()?;
                pairs.push((item.text("key")?.into_owned(), inner(item.get("value")?)));
            }
            write_object(&pairs)
        }
        _ => return None,
    })
}
