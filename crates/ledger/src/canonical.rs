//! Canonical JSON (RFC 8785, "JCS"): one value, one sequence of bytes.
//!
//! Members are sorted by the UTF-16 code units of their names, numbers are printed as ECMAScript
//! prints them, strings are escaped as little as JSON allows, and there is no white space.
//!
//! Two things are stricter than the usual library, because a ledger must not give two different
//! records the same bytes: a name that occurs twice in one object is refused, and so is a 64-bit
//! integer that a double cannot hold (`9007199254740993` would silently become
//! `9007199254740992`; write such numbers as strings). Decimal fractions are rounded to the
//! nearest double, as the RFC asks.
//!
//! Bytes are made canonical once, when they are written. Verification hashes the stored bytes and
//! never serialises again.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{self, Serialize};

mod serializer;

/// How deeply arrays and objects may nest; the limit of `serde_json`.
const DEPTH_MAX: usize = 128;

/// Why a value has no canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CanonicalError {
    /// The text is not JSON.
    #[error("not JSON: {message}")]
    Syntax {
        /// What the parser says, with the position.
        message: String,
    },
    /// A problem at a place in a JSON text.
    #[error("line {line}, column {column}: {problem}")]
    At {
        /// The line, from 1.
        line: usize,
        /// The column in bytes, from 1.
        column: usize,
        /// What is wrong there.
        problem: Box<Self>,
    },
    /// An object has a name twice.
    #[error("the name `{name}` occurs twice in one object")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A map key is not text (nor an integer, which becomes text).
    #[error("a name in an object is not text")]
    NameNotText,
    /// A double cannot hold the integer.
    #[error("the integer `{number}` does not fit a double without loss")]
    Inexact {
        /// The integer.
        number: i128,
    },
    /// NaN or an infinity.
    #[error("the number is not finite")]
    NotFinite,
    /// Arrays and objects nest too deeply.
    #[error("the value nests more than {DEPTH_MAX} levels deep")]
    TooDeep,
    /// The value refused to be serialised.
    #[error("{0}")]
    Value(String),
}

impl CanonicalError {
    /// Returns what a person can do about it, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::At { problem, .. } => problem.hint(),
            Self::Inexact { .. } => Some("write the number as a string"),
            Self::DuplicateName { .. } => Some("remove one of the two members"),
            _ => None,
        }
    }
}

impl ser::Error for CanonicalError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Value(message.to_string())
    }
}

/// Returns the canonical bytes of `value`.
///
/// # Errors
///
/// When the value holds a number that is not finite or not exact, or a map with a name twice.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let mut writer = Writer::with_capacity(512);
    value.serialize(&mut writer)?;
    Ok(writer.out)
}

/// Returns the canonical bytes of the JSON `text`.
///
/// # Errors
///
/// When `text` is not exactly one JSON value in UTF-8, or has no canonical form; the position is
/// part of the error.
pub fn from_json(text: &[u8]) -> Result<Vec<u8>, CanonicalError> {
    let mut writer = Writer::with_capacity(text.len());
    transcode(text, &mut writer)?;
    Ok(writer.out)
}

/// Tells whether `text` is canonical already, byte for byte.
pub fn is_canonical(text: &[u8]) -> bool {
    from_json(text).is_ok_and(|canonical| canonical == text)
}

fn transcode(text: &[u8], writer: &mut Writer) -> Result<(), CanonicalError> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let read = Transcode(writer)
        .deserialize(&mut json)
        .and_then(|()| json.end());
    read.map_err(|e| match writer.problem.take() {
        Some(problem) => CanonicalError::At {
            line: e.line(),
            column: e.column(),
            problem: Box::new(problem),
        },
        None => CanonicalError::Syntax {
            message: e.to_string(),
        },
    })
}

struct Writer {
    out: Vec<u8>,
    scratch: Vec<u8>,
    depth: usize,
    /// The typed form of an error that travels through `serde_json` as text.
    problem: Option<CanonicalError>,
}

impl Writer {
    fn with_capacity(bytes: usize) -> Self {
        Self {
            out: Vec::with_capacity(bytes),
            scratch: Vec::new(),
            depth: 0,
            problem: None,
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push(b'"');
        let bytes = text.as_bytes();
        let mut done = 0;
        for (i, &byte) in bytes.iter().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.out.extend_from_slice(&bytes[done..i]);
            done = i + 1;
            match byte {
                b'"' => self.out.extend_from_slice(b"\\\""),
                b'\\' => self.out.extend_from_slice(b"\\\\"),
                0x08 => self.out.extend_from_slice(b"\\b"),
                0x09 => self.out.extend_from_slice(b"\\t"),
                0x0a => self.out.extend_from_slice(b"\\n"),
                0x0c => self.out.extend_from_slice(b"\\f"),
                0x0d => self.out.extend_from_slice(b"\\r"),
                _ => {
                    const DIGITS: &[u8; 16] = b"0123456789abcdef";
                    self.out.extend_from_slice(b"\\u00");
                    self.out.push(DIGITS[usize::from(byte >> 4)]);
                    self.out.push(DIGITS[usize::from(byte & 15)]);
                }
            }
        }
        self.out.extend_from_slice(&bytes[done..]);
        self.out.push(b'"');
    }

    fn float(&mut self, number: f64) -> Result<(), CanonicalError> {
        if !number.is_finite() {
            return Err(CanonicalError::NotFinite);
        }
        let mut buffer = ryu_js::Buffer::new();
        self.out
            .extend_from_slice(buffer.format_finite(number).as_bytes());
        Ok(())
    }

    fn integer(&mut self, number: i128) -> Result<(), CanonicalError> {
        // Up to 2^53 a double holds every integer and ECMAScript prints its plain digits. Beyond,
        // an integer passes only if ECMAScript prints the very digits that came in.
        const EXACT_MAX: i128 = 1 << 53;
        let digits = number.to_string();
        if !(-EXACT_MAX..=EXACT_MAX).contains(&number) {
            let mut buffer = ryu_js::Buffer::new();
            if buffer.format_finite(number as f64) != digits {
                return Err(CanonicalError::Inexact { number });
            }
        }
        self.out.extend_from_slice(digits.as_bytes());
        Ok(())
    }

    fn enter(&mut self, bracket: u8) -> Result<(), CanonicalError> {
        if self.depth == DEPTH_MAX {
            return Err(CanonicalError::TooDeep);
        }
        self.depth += 1;
        self.out.push(bracket);
        Ok(())
    }

    fn leave(&mut self, bracket: u8) {
        self.depth -= 1;
        self.out.push(bracket);
    }
}

/// One member of an object that is being written: its name and where `"name":value` lies.
struct Member {
    name: Cow<'static, str>,
    start: usize,
    end: usize,
}

/// An object that is being written. Members are written as they come and put in order at the end,
/// which costs nothing when they came in order.
struct Object {
    /// Where the first member starts.
    start: usize,
    members: Vec<Member>,
}

impl Object {
    fn open(writer: &mut Writer) -> Result<Self, CanonicalError> {
        writer.enter(b'{')?;
        Ok(Self {
            start: writer.out.len(),
            members: Vec::new(),
        })
    }

    fn name(&mut self, writer: &mut Writer, name: Cow<'static, str>) {
        if !self.members.is_empty() {
            writer.out.push(b',');
        }
        let start = writer.out.len();
        writer.string(&name);
        writer.out.push(b':');
        self.members.push(Member {
            name,
            start,
            end: start,
        });
    }

    fn value_done(&mut self, writer: &Writer) {
        if let Some(member) = self.members.last_mut() {
            member.end = writer.out.len();
        }
    }

    fn close(mut self, writer: &mut Writer) -> Result<(), CanonicalError> {
        let ascending = |pair: &[Member]| by_utf16(&pair[0].name, &pair[1].name).is_lt();
        if !self.members.windows(2).all(ascending) {
            self.members.sort_by(|a, b| by_utf16(&a.name, &b.name));
            if let Some(pair) = self
                .members
                .windows(2)
                .find(|pair| pair[0].name == pair[1].name)
            {
                return Err(CanonicalError::DuplicateName {
                    name: pair[0].name.to_string(),
                });
            }
            let mut sorted = std::mem::take(&mut writer.scratch);
            sorted.clear();
            for (i, member) in self.members.iter().enumerate() {
                if i > 0 {
                    sorted.push(b',');
                }
                sorted.extend_from_slice(&writer.out[member.start..member.end]);
            }
            writer.out.truncate(self.start);
            writer.out.extend_from_slice(&sorted);
            writer.scratch = sorted;
        }
        writer.leave(b'}');
        Ok(())
    }
}

/// Compares as RFC 8785 section 3.2.3 asks: by UTF-16 code units. That differs from the order of
/// UTF-8 bytes only between U+E000…U+FFFF and the planes above.
fn by_utf16(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() {
        a.cmp(b)
    } else {
        a.encode_utf16().cmp(b.encode_utf16())
    }
}

/// Reads any JSON value and writes it, without building a tree of it.
struct Transcode<'a>(&'a mut Writer);

impl Transcode<'_> {
    fn keep<E: serde::de::Error>(self, result: Result<(), CanonicalError>) -> Result<(), E> {
        result.map_err(|problem| {
            let error = E::custom(&problem);
            self.0.problem = Some(problem);
            error
        })
    }
}

impl<'de> DeserializeSeed<'de> for Transcode<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Transcode<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.0
            .out
            .extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        let result = self.0.integer(value.into());
        self.keep(result)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        let result = self.0.integer(value.into());
        self.keep(result)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        let result = self.0.float(value);
        self.keep(result)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.0.string(value);
        Ok(())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.0.out.extend_from_slice(b"null");
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let entered = self.0.enter(b'[');
        let writer = &mut *self.0;
        if entered.is_err() {
            return self.keep(entered);
        }
        let mut at = writer.out.len();
        while items.next_element_seed(Transcode(writer))?.is_some() {
            at = writer.out.len();
            writer.out.push(b',');
        }
        // Takes the comma after the last item off again.
        writer.out.truncate(at);
        writer.leave(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut object = match Object::open(self.0) {
            Ok(object) => object,
            Err(problem) => return self.keep(Err(problem)),
        };
        while let Some(name) = members.next_key::<String>()? {
            object.name(self.0, Cow::Owned(name));
            members.next_value_seed(Transcode(self.0))?;
            object.value_done(self.0);
        }
        let closed = object.close(self.0);
        self.keep(closed)
    }
}
