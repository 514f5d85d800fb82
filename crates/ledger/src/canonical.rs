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
use serde::ser::{self, Serialize, Serializer};

/// How deeply arrays and objects may nest; the limit of `serde_json`.
const DEPTH_MAX: usize = 128;

/// The name under which `serde_json` passes a `RawValue` through a serializer.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

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

impl<'a> Serializer for &'a mut Writer {
    type Ok = ();
    type Error = CanonicalError;
    type SerializeSeq = Items<'a>;
    type SerializeTuple = Items<'a>;
    type SerializeTupleStruct = Items<'a>;
    type SerializeTupleVariant = Items<'a>;
    type SerializeMap = Members<'a>;
    type SerializeStruct = Members<'a>;
    type SerializeStructVariant = Members<'a>;

    fn serialize_bool(self, v: bool) -> Result<(), CanonicalError> {
        self.out
            .extend_from_slice(if v { b"true" } else { b"false" });
        Ok(())
    }
    fn serialize_i8(self, v: i8) -> Result<(), CanonicalError> {
        self.integer(v.into())
    }
    fn serialize_i16(self, v: i16) -> Result<(), CanonicalError> {
        self.integer(v.into())
    }
    fn serialize_i32(self, v: i32) -> Result<(), CanonicalError> {
        self.integer(v.into())
    }
    fn serialize_i64(self, v: i64) -> Result<(), CanonicalError> {
        self.integer(v.into())
    }
    fn serialize_u8(self, v: u8) -> Result<(), CanonicalError> {
        self.integer(v.into())
    }
    fn serialize_u16(self, v: u16) -> Result<(), CanonicalError> {
        self.integer(v.into())
    }
    fn serialize_u32(self, v: u32) -> Result<(), CanonicalError> {
        self.integer(v.into())
    }
    fn serialize_u64(self, v: u64) -> Result<(), CanonicalError> {
        self.integer(v.into())
    }
    fn serialize_f32(self, v: f32) -> Result<(), CanonicalError> {
        self.float(v.into())
    }
    fn serialize_f64(self, v: f64) -> Result<(), CanonicalError> {
        self.float(v)
    }
    fn serialize_char(self, v: char) -> Result<(), CanonicalError> {
        self.string(v.encode_utf8(&mut [0; 4]));
        Ok(())
    }
    fn serialize_str(self, v: &str) -> Result<(), CanonicalError> {
        self.string(v);
        Ok(())
    }
    fn serialize_bytes(self, v: &[u8]) -> Result<(), CanonicalError> {
        self.collect_seq(v)
    }
    fn serialize_none(self) -> Result<(), CanonicalError> {
        self.serialize_unit()
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), CanonicalError> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), CanonicalError> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), CanonicalError> {
        self.serialize_unit()
    }
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), CanonicalError> {
        self.serialize_str(variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), CanonicalError> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), CanonicalError> {
        let mut object = Object::open(self)?;
        object.name(self, Cow::Borrowed(variant));
        value.serialize(&mut *self)?;
        object.value_done(self);
        object.close(self)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'a>, CanonicalError> {
        self.enter(b'[')?;
        Ok(Items {
            writer: self,
            first: true,
            variant: None,
        })
    }
    fn serialize_tuple(self, len: usize) -> Result<Items<'a>, CanonicalError> {
        self.serialize_seq(Some(len))
    }
    fn serialize_tuple_struct(
        self,
        _: &'static str,
        len: usize,
    ) -> Result<Items<'a>, CanonicalError> {
        self.serialize_seq(Some(len))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Items<'a>, CanonicalError> {
        let mut object = Object::open(self)?;
        object.name(self, Cow::Borrowed(variant));
        self.enter(b'[')?;
        Ok(Items {
            writer: self,
            first: true,
            variant: Some(object),
        })
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Members<'a>, CanonicalError> {
        let object = Object::open(self)?;
        Ok(Members {
            writer: self,
            object,
            variant: None,
            raw: false,
        })
    }
    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Members<'a>, CanonicalError> {
        let mut members = self.serialize_map(Some(len))?;
        members.raw = name == RAW_VALUE;
        Ok(members)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Members<'a>, CanonicalError> {
        let mut outer = Object::open(self)?;
        outer.name(self, Cow::Borrowed(variant));
        let mut members = self.serialize_map(Some(len))?;
        members.variant = Some(outer);
        Ok(members)
    }
}

/// An array that is being written.
struct Items<'a> {
    writer: &'a mut Writer,
    first: bool,
    /// The object around the array, for a tuple variant.
    variant: Option<Object>,
}

impl Items<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CanonicalError> {
        if !std::mem::take(&mut self.first) {
            self.writer.out.push(b',');
        }
        value.serialize(&mut *self.writer)
    }

    fn finish(self) -> Result<(), CanonicalError> {
        self.writer.leave(b']');
        match self.variant {
            None => Ok(()),
            Some(mut object) => {
                object.value_done(self.writer);
                object.close(self.writer)
            }
        }
    }
}

impl ser::SerializeSeq for Items<'_> {
    type Ok = ();
    type Error = CanonicalError;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), CanonicalError> {
        self.item(v)
    }
    fn end(self) -> Result<(), CanonicalError> {
        self.finish()
    }
}

impl ser::SerializeTuple for Items<'_> {
    type Ok = ();
    type Error = CanonicalError;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), CanonicalError> {
        self.item(v)
    }
    fn end(self) -> Result<(), CanonicalError> {
        self.finish()
    }
}

impl ser::SerializeTupleStruct for Items<'_> {
    type Ok = ();
    type Error = CanonicalError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), CanonicalError> {
        self.item(v)
    }
    fn end(self) -> Result<(), CanonicalError> {
        self.finish()
    }
}

impl ser::SerializeTupleVariant for Items<'_> {
    type Ok = ();
    type Error = CanonicalError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), CanonicalError> {
        self.item(v)
    }
    fn end(self) -> Result<(), CanonicalError> {
        self.finish()
    }
}

/// An object that is being written through serde.
struct Members<'a> {
    writer: &'a mut Writer,
    object: Object,
    /// The object around this one, for a struct variant.
    variant: Option<Object>,
    /// Whether this is not an object at all but a JSON text in disguise.
    raw: bool,
}

impl Members<'_> {
    fn member<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), CanonicalError> {
        if self.raw {
            let text = serde_json::to_value(value).map_err(ser::Error::custom)?;
            let text = text
                .as_str()
                .ok_or_else(|| ser::Error::custom("a raw value is no text"))?;
            // The text takes the place of the object, whose bracket was written already.
            self.writer.out.truncate(self.object.start - 1);
            self.writer.depth -= 1;
            return transcode(text.as_bytes(), self.writer);
        }
        self.object.name(self.writer, Cow::Borrowed(name));
        value.serialize(&mut *self.writer)?;
        self.object.value_done(self.writer);
        Ok(())
    }

    fn finish(self) -> Result<(), CanonicalError> {
        if self.raw {
            return Ok(());
        }
        self.object.close(self.writer)?;
        match self.variant {
            None => Ok(()),
            Some(mut outer) => {
                outer.value_done(self.writer);
                outer.close(self.writer)
            }
        }
    }
}

impl ser::SerializeMap for Members<'_> {
    type Ok = ();
    type Error = CanonicalError;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), CanonicalError> {
        let name = match serde_json::to_value(key) {
            Ok(serde_json::Value::String(name)) => name,
            Ok(serde_json::Value::Number(number)) if !number.is_f64() => number.to_string(),
            _ => return Err(CanonicalError::NameNotText),
        };
        self.object.name(self.writer, Cow::Owned(name));
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), CanonicalError> {
        v.serialize(&mut *self.writer)?;
        self.object.value_done(self.writer);
        Ok(())
    }
    fn end(self) -> Result<(), CanonicalError> {
        self.finish()
    }
}

impl ser::SerializeStruct for Members<'_> {
    type Ok = ();
    type Error = CanonicalError;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        v: &T,
    ) -> Result<(), CanonicalError> {
        self.member(name, v)
    }
    fn end(self) -> Result<(), CanonicalError> {
        self.finish()
    }
}

impl ser::SerializeStructVariant for Members<'_> {
    type Ok = ();
    type Error = CanonicalError;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        v: &T,
    ) -> Result<(), CanonicalError> {
        self.member(name, v)
    }
    fn end(self) -> Result<(), CanonicalError> {
        self.finish()
    }
}
