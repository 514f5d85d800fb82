//! Objects of the wire, read as leniently as its peers read them.
//!
//! Unlike an import, which refuses a key given twice, this takes the last of them: that is what
//! the parsers of the official SDKs do, and a record should say what the client saw. Requests are
//! read by parsers that we do not know, so there the caller asks [`Fields::repeats`] first.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::import::json;

/// So many keys are held against each other one by one.
const FEW: usize = 8;

/// A JSON value as it stands in a body.
pub type Raw<'a> = &'a str;

/// An object whose values are still slices of the body.
#[derive(Clone, Debug, Default)]
pub struct Fields<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'a> Fields<'a> {
    /// Reads an object out of text that may be anything. One pass: values are looked over, not
    /// read, and without recursion, so depth costs no stack.
    #[must_use]
    pub fn of(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The value of a key, unless it is absent or `null`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a str> {
        let found = self.0.iter().rev().find(|(name, _)| name == key);
        found.map(|(_, raw)| *raw).filter(|raw| *raw != "null")
    }

    /// The first of several keys that has a value.
    pub(super) fn any(&self, keys: &[&str]) -> Option<&'a str> {
        keys.iter().find_map(|key| self.get(key))
    }

    /// A value that is a string.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        self.get(key).and_then(json::string)
    }

    /// A value that is a string with something in it.
    #[must_use]
    pub fn filled(&self, key: &str) -> Option<Cow<'a, str>> {
        self.text(key).filter(|text| !text.is_empty())
    }

    /// A value that is an object.
    #[must_use]
    pub fn object(&self, key: &str) -> Option<Self> {
        self.get(key).and_then(Self::of)
    }

    /// The elements of a value that is an array; none if it is no array.
    #[must_use]
    pub fn list(&self, key: &str) -> Vec<&'a str> {
        self.get(key).and_then(list).unwrap_or_default()
    }

    /// The objects in a value that is an array.
    pub fn objects(&self, key: &str) -> impl Iterator<Item = Self> + use<'a> {
        let raw = self.get(key).unwrap_or_default();
        elements(raw).into_iter().filter_map(Result::ok)
    }

    /// A value that is a number that counts something. Some providers write `12.0`.
    pub(super) fn count(&self, key: &str) -> Option<u64> {
        let raw = self.get(key)?;
        raw.strip_suffix(".0").unwrap_or(raw).parse().ok()
    }

    /// A value that is a truth value.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.get(key)?.parse().ok()
    }

    /// The keys and their values, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&Cow<'a, str>, &'a str)> {
        self.0.iter().map(|(key, raw)| (key, *raw))
    }

    /// Whether a key occurs twice.
    pub(super) fn repeats(&self) -> bool {
        let fields = &self.0;
        if fields.len() <= FEW {
            let before = |at: usize, key: &str| fields[..at].iter().any(|(other, _)| other == key);
            return fields
                .iter()
                .enumerate()
                .any(|(at, (key, _))| before(at, key));
        }
        let mut keys: Vec<&str> = fields.iter().map(|(key, _)| &**key).collect();
        keys.sort_unstable();
        keys.windows(2).any(|pair| pair[0] == pair[1])
    }
}

/// The body of a request: its fields, and its history taken apart in the same pass.
#[derive(Clone, Debug, Default)]
pub(super) struct Body<'a> {
    pub(super) fields: Fields<'a>,
    /// The key of the history.
    key: &'static str,
    /// Its items, if it is an array of objects; `fields` then knows the key, but no value.
    items: Option<Vec<Fields<'a>>>,
}

impl<'a> Body<'a> {
    /// Reads an object whose history is at `key`.
    pub(super) fn parse(text: &'a str, key: &'static str) -> Result<Self, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let read = BodyVisitor { key }.deserialize(&mut deserializer);
        if let Ok(body) = read
            && deserializer.end().is_ok()
        {
            return Ok(body);
        }
        // The history is another value, or nothing of it can be read: looked over once more, it
        // is known which.
        Ok(Self {
            fields: serde_json::from_str(text)?,
            key,
            items: None,
        })
    }

    /// The items of the history, where they were taken apart.
    pub(super) fn items(&self) -> Option<&[Fields<'a>]> {
        self.items.as_deref()
    }

    /// Takes the items of the history; nothing if it is another value.
    pub(super) fn take_items(&mut self) -> Option<Vec<Fields<'a>>> {
        match self.items.take() {
            Some(items) => Some(items),
            None => match self.fields.get(self.key) {
                Some(raw) => serde_json::from_str(raw).ok(),
                None => Some(Vec::new()),
            },
        }
    }
}

/// The elements of an array.
#[must_use]
pub fn list(raw: &str) -> Option<Vec<&str>> {
    if !raw.trim_start().starts_with('[') {
        // The error that a parser gives quotes the whole value.
        return None;
    }
    let elements: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    Some(elements.into_iter().map(RawValue::get).collect())
}

/// The elements of an array that are objects, read in the same pass, and the others as they are;
/// none of what is no array.
#[must_use]
pub fn elements(raw: &str) -> Vec<Result<Fields<'_>, &str>> {
    if !raw.trim_start().starts_with('[') {
        return Vec::new();
    }
    match serde_json::from_str::<Vec<Fields<'_>>>(raw) {
        Ok(objects) => objects.into_iter().map(Ok).collect(),
        Err(_) => {
            let elements = list(raw).unwrap_or_default().into_iter();
            elements.map(|raw| Fields::of(raw).ok_or(raw)).collect()
        }
    }
}

/// The content of a value that is a string.
#[must_use]
pub fn string(raw: &str) -> Option<Cow<'_, str>> {
    json::string(raw)
}

/// Writes a string as JSON.
#[must_use]
pub fn quoted(text: &str) -> String {
    json::quoted(text)
}

/// Adds a text to others, on a line of its own.
pub(super) fn join<'a>(all: &mut Cow<'a, str>, more: Cow<'a, str>) {
    if all.is_empty() {
        *all = more;
    } else if !more.is_empty() {
        let all = all.to_mut();
        all.push('\n');
        all.push_str(&more);
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Vec::with_capacity(8);
        while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            fields.push((json::string(key.get()).unwrap_or_default(), value.get()));
        }
        Ok(Fields(fields))
    }
}

struct BodyVisitor {
    key: &'static str,
}

impl<'de> DeserializeSeed<'de> for BodyVisitor {
    type Value = Body<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Body<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body<'de>, A::Error> {
        let mut body = Body {
            key: self.key,
            ..Body::default()
        };
        while let Some(key) = map.next_key::<&RawValue>()? {
            let key = json::string(key.get()).unwrap_or_default();
            let value = if key == self.key {
                body.items = Some(map.next_value()?);
                "null"
            } else {
                map.next_value::<&RawValue>()?.get()
            };
            body.fields.0.push((key, value));
        }
        Ok(body)
    }
}
