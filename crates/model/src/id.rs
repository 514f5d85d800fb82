//! Ids: UUIDs of version 7 (RFC 9562 section 5.7), sorted by the time they were made.
//!
//! Nothing here draws randomness: whoever makes an id brings the time and ten random bytes.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form `01890a5d-ac96-774b-bcce-b302099a8057`")]
pub struct IdError {
    /// What was read.
    pub text: String,
}

pub(crate) fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn parse(text: &str) -> Result<[u8; 16], IdError> {
    let bad = || IdError {
        text: text.chars().take(80).collect(),
    };
    let raw = text.as_bytes();
    if raw.len() != 36 {
        return Err(bad());
    }
    let mut bytes = [0u8; 16];
    let mut at = 0;
    for (i, byte) in bytes.iter_mut().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            if raw[at] != b'-' {
                return Err(bad());
            }
            at += 1;
        }
        let (Some(high), Some(low)) = (nibble(raw[at]), nibble(raw[at + 1])) else {
            return Err(bad());
        };
        *byte = high << 4 | low;
        at += 2;
    }
    Ok(bytes)
}

fn print<'a>(bytes: &[u8; 16], text: &'a mut [u8; 36]) -> &'a str {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut at = 0;
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text[at] = b'-';
            at += 1;
        }
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
    std::str::from_utf8(text).expect("hexadecimal digits and dashes are ASCII")
}

/// Composes a UUID of version 7 from milliseconds since 1970 and ten random bytes.
fn compose(millis: u64, random: [u8; 10]) -> [u8; 16] {
    let mut bytes = [0u8; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&random);
    bytes[6] = 0x70 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    bytes
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Composes an id from milliseconds since 1970 and ten random bytes, of which 74
            /// bits are kept.
            #[must_use]
            pub fn new(millis: u64, random: [u8; 10]) -> Self {
                Self(compose(millis, random))
            }

            /// Takes the sixteen bytes of an id as they were stored.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// Returns the sixteen bytes of the id; their order is the order of ids.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Returns the milliseconds since 1970 at which the id says it was made.
            #[must_use]
            pub fn millis(&self) -> u64 {
                let mut raw = [0u8; 8];
                raw[2..].copy_from_slice(&self.0[..6]);
                u64::from_be_bytes(raw)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(print(&self.0, &mut [0u8; 36]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(print(&self.0, &mut [0u8; 36]))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(TextVisitor::new("an id"))
            }
        }
    };
}

id! {
    /// One event: one leaf of the log. Appending the same id twice gives one leaf.
    EventId
}
id! {
    /// One decision: the fold of the events that name it.
    DecisionId
}
id! {
    /// One run: what an agent system did for one task or conversation.
    RunId
}
id! {
    /// A pseudonym of whom payloads are about; destroying its key erases them.
    ///
    /// Whom the pseudonym stands for is kept outside the log, where it can be erased.
    SubjectId
}

/// Reads any type that parses from text, without allocating.
pub(crate) struct TextVisitor<T> {
    expected: &'static str,
    wanted: PhantomData<T>,
}

impl<T> TextVisitor<T> {
    pub(crate) const fn new(expected: &'static str) -> Self {
        Self {
            expected,
            wanted: PhantomData,
        }
    }
}

impl<T: FromStr<Err: fmt::Display>> de::Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}
