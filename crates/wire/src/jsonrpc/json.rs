//! A piece of a body: JSON text that a parser has accepted, still as it came.

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;

use super::Unreadable;
use crate::import::json::{self as slices, Object};

/// JSON text as it came, known to be valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    /// Takes a text that is one JSON value.
    ///
    /// # Errors
    /// [`Unreadable::Json`] if it is none.
    pub fn parse(text: &'a str) -> Result<Self, Unreadable> {
        // Without recursion, so depth costs no stack.
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| Unreadable::Json {
            reason: error.to_string(),
        })?;
        Ok(Self(raw.get()))
    }

    /// Takes a part of a text that was parsed.
    pub(crate) fn validated(text: &'a str) -> Self {
        Self(text)
    }

    /// Returns the text.
    #[must_use]
    pub fn text(self) -> &'a str {
        self.0
    }

    /// Returns whether it is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// Returns the content, if it is a string. A lone surrogate reads as U+FFFD.
    #[must_use]
    pub fn string(self) -> Option<Cow<'a, str>> {
        slices::string(self.0)
    }

    /// The fields, if it is an object in which no key occurs twice; else none.
    pub(crate) fn object(self) -> Object<'a> {
        slices::object(self.0).unwrap_or_default()
    }

    /// The elements, if it is an array; else none.
    pub(crate) fn elements(self) -> impl Iterator<Item = Self> {
        let elements = slices::array(self.0).unwrap_or_default();
        elements.into_iter().map(Self)
    }
}

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
