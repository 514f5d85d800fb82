//! Objects of the wire, read as leniently as its peers read them.
//!
//! Unlike an import, which refuses a key given twice, this takes the last of them: that is what
//! the parsers of the official SDKs do, and a record should say what the client saw. Requests are
//! read by parsers that we do not know, so there the caller asks [`Fields::repeats`] first.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::import::{json, split};

/// An object whose values are still slices of the body.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'a> Fields<'a> {
    /// Reads an object out of text that may be anything.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let raw: &RawValue = serde_json::from_str(text).ok()?;
        Self::of(raw.get())
    }

    /// Reads an object out of text that a parser has accepted.
    pub(super) fn of(raw: &'a str) -> Option<Self> {
        let pairs = split::pairs(raw)?.into_iter();
        Some(Self(
            pairs
                .map(|(key, value)| (json::string(key).unwrap_or_default(), value))
                .collect(),
        ))
    }

    /// The value of a key, unless it is absent or `null`.
    pub(super) fn get(&self, key: &str) -> Option<&'a str> {
        let found = self.0.iter().rev().find(|(name, _)| name == key);
        found.map(|(_, raw)| *raw).filter(|raw| *raw != "null")
    }

    /// The first of several keys that has a value.
    pub(super) fn any(&self, keys: &[&str]) -> Option<&'a str> {
        keys.iter().find_map(|key| self.get(key))
    }

    /// A value that is a string.
    pub(super) fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        self.get(key).and_then(json::string)
    }

    /// A value that is a string with something in it.
    pub(super) fn filled(&self, key: &str) -> Option<Cow<'a, str>> {
        self.text(key).filter(|text| !text.is_empty())
    }

    /// A value that is an object.
    pub(super) fn object(&self, key: &str) -> Option<Self> {
        self.get(key).and_then(Self::of)
    }

    /// The elements of a value that is an array; none if it is no array.
    pub(super) fn list(&self, key: &str) -> Vec<&'a str> {
        self.get(key).and_then(split::elements).unwrap_or_default()
    }

    /// The objects in a value that is an array.
    pub(super) fn objects(&self, key: &str) -> impl Iterator<Item = Self> + use<'a> {
        self.list(key).into_iter().filter_map(Self::of)
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

    pub(super) fn pairs(&self) -> impl Iterator<Item = (&Cow<'a, str>, &'a str)> {
        self.0.iter().map(|(key, raw)| (key, *raw))
    }

    /// Whether a key occurs twice.
    pub(super) fn repeats(&self) -> bool {
        let mut keys: Vec<&str> = self.0.iter().map(|(key, _)| &**key).collect();
        keys.sort_unstable();
        keys.windows(2).any(|pair| pair[0] == pair[1])
    }
}

/// The elements of an array, in text that a parser has accepted.
pub(super) fn list(raw: &str) -> Option<Vec<&str>> {
    split::elements(raw)
}

/// The content of a value that is a string.
pub(super) fn string(raw: &str) -> Option<Cow<'_, str>> {
    json::string(raw)
}

/// Writes a string as JSON.
pub(super) fn quoted(text: &str) -> String {
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
