//! Ids of requests: echoed byte for byte, compared by value.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::Json;
use crate::import::json as slices;

/// The id of a request, or a progress token: a string, a number or null, as it came.
///
/// Two ids are equal if they are the same value, however each is written: `7` and `7.0`, or
/// `"a"` and `"\u0061"`. The number 7 and the string "7" are two.
#[derive(Clone, Debug)]
pub struct Id<'a>(Cow<'a, str>);

impl<'a> From<Json<'a>> for Id<'a> {
    fn from(json: Json<'a>) -> Self {
        Self(Cow::Borrowed(json.text()))
    }
}

impl Id<'_> {
    /// Returns its JSON text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Returns it apart from the body that it came in.
    #[must_use]
    pub fn into_owned(self) -> Id<'static> {
        Id(Cow::Owned(self.0.into_owned()))
    }

    /// The same text for the same value, and another for any other.
    fn value(&self) -> Cow<'_, str> {
        if let Some(text) = slices::string(&self.0) {
            return match text {
                // The opening quote tells strings from numbers.
                Cow::Borrowed(_) => Cow::Borrowed(&self.0[..self.0.len() - 1]),
                Cow::Owned(text) => Cow::Owned(format!("\"{text}")),
            };
        }
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if plain(&self.0) {
            return Cow::Borrowed(&self.0);
        }
        match self.0.parse::<f64>() {
            // Beyond 2^53 two integers may be one float, so those are told by their digits.
            Ok(number) if number.abs() < 9_007_199_254_740_992.0 => {
                // Minus zero is zero.
                Cow::Owned((number + 0.0).to_string())
            }
            _ => Cow::Borrowed(&self.0),
        }
    }
}

impl PartialEq for Id<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || self.value() == other.value()
    }
}

impl Eq for Id<'_> {}

impl Hash for Id<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value().hash(state);
    }
}

impl fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
