//! JSON read in place: values stay slices of the file until somebody wants their content.
//!
//! A document is validated once (by `serde_json`, without recursion, so depth costs no stack) and
//! then taken apart level by level, each value kept as the slice that it is. Strings are
//! unescaped only where they are used. A lone surrogate, which cut-off text contains, reads as
//! U+FFFD; the source keeps what was there.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::error::{ImportError, Place};
use super::format::{Format, describe, of_value, pointer_to};
use super::run::Position;
use super::spread::Spread;
use super::{ITEM_BYTES_MAX, split, time};

/// Values with their lines, as far as they are valid.
pub(crate) type Values<'a> = Box<dyn Iterator<Item = Result<(u64, &'a str), ImportError>> + 'a>;

/// The text of a whole file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a> {
    text: &'a str,
    /// Bytes before the text: a byte order mark.
    skipped: usize,
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, ImportError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let offset = error.valid_up_to();
            let valid = std::str::from_utf8(&bytes[..offset]).unwrap_or_default();
            ImportError::Utf8 {
                at: place(valid, offset),
                offset,
            }
        })?;
        let skipped = if text.starts_with('\u{feff}') { 3 } else { 0 };
        Ok(Self {
            text: &text[skipped..],
            skipped,
        })
    }

    /// The values of the file, each validated, with its line.
    pub(crate) fn values(&self) -> Values<'a> {
        match self.lines() {
            Some(lines) => {
                let input = *self;
                Box::new(lines.into_iter().map(move |line| input.validated(line)))
            }
            None => Box::new(self.stream()),
        }
    }

    /// As [`Self::values`], all of them, with lines validated at once.
    pub(crate) fn all_values(&self, spread: Spread<'_>) -> Values<'a> {
        match self.lines() {
            Some(lines) => {
                let values = spread.map(lines, |line| self.validated(line));
                Box::new(values.into_iter())
            }
            None => Box::new(self.stream()),
        }
    }

    /// The lines of the file with their numbers, if each is one value: begins with a bracket and
    /// ends with its counterpart. No valid file of another make looks so, since a value that goes
    /// on over a line's end would need a comma or another bracket there.
    fn lines(&self) -> Option<Vec<(u64, &'a str)>> {
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(self.text.split('\n')) {
            let line = line.trim_matches([' ', '\t', '\r']);
            match (line.as_bytes().first(), line.as_bytes().last()) {
                (None, None) => {}
                (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')) => lines.push((number, line)),
                _ => return None,
            }
        }
        (lines.len() > 1).then_some(lines)
    }

    /// The values of the file, however they are spread over lines.
    fn stream(&self) -> impl Iterator<Item = Result<(u64, &'a str), ImportError>> + use<'a> {
        let input = *self;
        let mut values = serde_json::Deserializer::from_str(self.text).into_iter::<&'a RawValue>();
        let mut failed = false;
        let (mut line, mut from) = (1, 0);
        std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let value = values.next()?;
            failed = value.is_err();
            Some(match value {
                Ok(raw) => {
                    let offset = input.offset(raw.get());
                    let between = &input.text.as_bytes()[from..offset];
                    line += between
                        .iter()
                        .map(|byte| u64::from(*byte == b'\n'))
                        .sum::<u64>();
                    from = offset;
                    Ok((line, raw.get()))
                }
                Err(error) => Err(input.refuse(input.text, &Position::default(), &error)),
            })
        })
    }

    /// Validates a line.
    fn validated(&self, (line, raw): (u64, &'a str)) -> Result<(u64, &'a str), ImportError> {
        let valid = serde_json::from_str::<&RawValue>(raw);
        valid.map(|_| (line, raw)).map_err(|error| {
            let position = Position {
                line: Some(line),
                ..Position::default()
            };
            self.refuse(raw, &position, &error)
        })
    }

    /// Offset of a slice of the text.
    pub(crate) fn offset(&self, part: &str) -> usize {
        let offset = part.as_ptr().addr().wrapping_sub(self.text.as_ptr().addr());
        offset.min(self.text.len())
    }

    /// The place where a slice begins.
    pub(crate) fn place(&self, part: &str, position: &Position) -> Place {
        let offset = self.offset(part);
        let mut at = place(&self.text[..offset], offset);
        if at.line == 1 {
            at.column += self.skipped;
        }
        at.item = position.pointer.to_string();
        at
    }

    /// An error of the parser, placed in the file.
    pub(crate) fn refuse(
        &self,
        part: &str,
        position: &Position,
        error: &serde_json::Error,
    ) -> ImportError {
        let mut at = self.place(part, position);
        if error.line() <= 1 {
            at.column += error.column().saturating_sub(1);
        } else {
            at.line += error.line() - 1;
            at.column = error.column();
        }
        if error.is_eof() {
            return ImportError::Truncated { at };
        }
        let text = error.to_string();
        let reason = match text.rfind(" at line ") {
            Some(end) => text[..end].to_owned(),
            None => text,
        };
        ImportError::Malformed { at, reason }
    }

    fn fault(&self, position: &Position, fault: Fault<'_>) -> ImportError {
        ImportError::Malformed {
            at: self.place(fault.at, position),
            reason: fault.reason,
        }
    }

    /// An error of somebody who found something else than expected.
    pub(crate) fn unexpected(
        &self,
        format: Format,
        part: &str,
        position: &Position,
        expected: &'static str,
    ) -> ImportError {
        let looks_like = of_value(part).filter(|found| *found != format);
        let pointer = match looks_like {
            None => pointer_to(format, part).map(|below| format!("{}{below}", position.pointer)),
            Some(_) => None,
        };
        ImportError::WrongFormat {
            at: self.place(part, position),
            expected,
            found: describe(part),
            looks_like,
            pointer,
        }
    }

    /// An item of the format: an object, and not too large.
    pub(crate) fn item(
        &self,
        raw: &'a str,
        position: &Position,
    ) -> Result<Object<'a>, ImportError> {
        if raw.len() > ITEM_BYTES_MAX {
            return Err(ImportError::TooLarge {
                at: self.place(raw, position),
                bytes: raw.len(),
            });
        }
        self.object(raw, position)
    }

    /// An object, with errors placed.
    pub(crate) fn object(
        &self,
        raw: &'a str,
        position: &Position,
    ) -> Result<Object<'a>, ImportError> {
        object(raw).map_err(|fault| self.fault(position, fault))
    }

    /// An array, with errors placed.
    pub(crate) fn array(
        &self,
        raw: &'a str,
        position: &Position,
    ) -> Result<Vec<&'a str>, ImportError> {
        array(raw).map_err(|fault| self.fault(position, fault))
    }
}

/// Line and column of the end of a text.
fn place(before: &str, offset: usize) -> Place {
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Place {
        line: 1 + before.bytes().filter(|byte| *byte == b'\n').count(),
        column: 1 + offset - line_start,
        item: String::new(),
    }
}

/// An object whose values are still slices of the file. No key occurs twice.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'a> Object<'a> {
    /// The value of a key, unless it is absent or `null`.
    pub(crate) fn get(&self, key: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(name, _)| name == key);
        found.map(|(_, raw)| *raw).filter(|raw| *raw != "null")
    }

    /// The first of several keys that has a value.
    pub(crate) fn any(&self, keys: &[&str]) -> Option<&'a str> {
        keys.iter().find_map(|key| self.get(key))
    }

    /// A value that is a string.
    pub(crate) fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        self.get(key).and_then(string)
    }

    /// A value that is a string with something in it.
    pub(crate) fn filled(&self, key: &str) -> Option<Cow<'a, str>> {
        self.text(key).filter(|text| !text.is_empty())
    }

    /// A value as text, if it is a string, a number or a boolean.
    pub(crate) fn scalar(&self, key: &str) -> Option<Cow<'a, str>> {
        self.get(key).and_then(scalar)
    }

    /// A value that is a time: RFC 3339 text. Says whether it has an offset.
    pub(crate) fn time(&self, key: &str) -> Option<(model::Timestamp, bool)> {
        time::parse(&self.text(key)?)
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(key, raw)| (&**key, *raw))
    }

    /// The second of two equal keys, found by comparing each with each: fast for a few.
    fn first_repeated(&self) -> Option<usize> {
        let seen_before = |index: &usize| {
            let (key, _) = &self.0[*index];
            self.0[..*index].iter().any(|(other, _)| other == key)
        };
        (1..self.0.len()).find(seen_before)
    }

    /// The same by sorting, for many.
    fn any_repeated(&self) -> Option<usize> {
        let mut order: Vec<usize> = (0..self.0.len()).collect();
        order.sort_by(|a, b| self.0[*a].0.cmp(&self.0[*b].0));
        let same = |pair: &&[usize]| self.0[pair[0]].0 == self.0[pair[1]].0;
        order.windows(2).find(same).map(|pair| pair[1])
    }

    /// The object without some keys, as JSON text; none if nothing is left.
    pub(crate) fn without(&self, keys: &[&str]) -> Option<String> {
        self.left(|key, _| !keys.contains(&key))
    }

    /// The members that are to be left, as JSON text; none if there are none.
    pub(crate) fn left(&self, keep: impl Fn(&str, &str) -> bool) -> Option<String> {
        let left = self.pairs().filter(|(key, raw)| keep(key, raw));
        let left: Vec<(&str, &str)> = left.collect();
        (!left.is_empty()).then(|| write_object(&left))
    }
}

/// Writes an object out of keys and values that are JSON already.
pub(crate) fn write_object<K: AsRef<str>, V: AsRef<str>>(pairs: &[(K, V)]) -> String {
    let len: usize = pairs
        .iter()
        .map(|(key, value)| key.as_ref().len() + value.as_ref().len() + 4)
        .sum();
    let mut out = String::with_capacity(len + 2);
    out.push('{');
    for (index, (key, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&quoted(key.as_ref()));
        out.push(':');
        out.push_str(value.as_ref());
    }
    out.push('}');
    out
}

/// Writes an array out of values that are JSON already.
pub(crate) fn write_array<V: AsRef<str>>(values: &[V]) -> String {
    let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
    format!("[{}]", values.join(","))
}

/// Writes a string as JSON.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string can always be written")
}

/// What is wrong with a value of valid JSON.
#[derive(Debug)]
pub(crate) struct Fault<'a> {
    at: &'a str,
    reason: String,
}

impl Fault<'_> {
    /// What it is, in words.
    pub(crate) fn reason(self) -> String {
        self.reason
    }
}

/// Reads an object.
pub(crate) fn object(raw: &str) -> Result<Object<'_>, Fault<'_>> {
    let pairs = split::pairs(raw).ok_or_else(|| Fault {
        at: raw,
        reason: "expected an object".to_owned(),
    })?;
    // Of a key given twice, readers disagree which counts: a record must not say one thing
    // where the agent saw another.
    let read = pairs
        .iter()
        .map(|&(key, value)| (string(key).unwrap_or_default(), value));
    let object = Object(read.collect());
    let twice = match object.0.len() {
        0..=16 => object.first_repeated(),
        _ => object.any_repeated(),
    };
    match twice {
        None => Ok(object),
        Some(index) => {
            let key: String = object.0[index].0.chars().take(80).collect();
            Err(Fault {
                at: pairs[index].0,
                reason: format!("the key `{key}` occurs twice in one object"),
            })
        }
    }
}

/// Reads an array.
pub(crate) fn array(raw: &str) -> Result<Vec<&str>, Fault<'_>> {
    split::elements(raw).ok_or_else(|| Fault {
        at: raw,
        reason: "expected an array".to_owned(),
    })
}

/// Whether a text is one JSON value.
pub(crate) fn is_valid(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

/// The content of a value that is a string.
pub(crate) fn string(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes() {
        // By bytes: to compare with a character is a call here, and this is asked of every value.
        [b'"', .., b'"'] => Some(unescape(&raw[1..raw.len() - 1])),
        _ => None,
    }
}

/// The content of a string, or a number or boolean as it stands.
pub(crate) fn scalar(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' => string(raw),
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(raw)),
    }
}

/// Takes the escapes out of a string that the scanner has accepted. Eight bytes are copied at a time,
/// whatever is in them, and what was too much is cut: escapes are too near to each other for more.
fn unescape(inner: &str) -> Cow<'_, str> {
    let bytes = inner.as_bytes();
    let Some(mut at) = split::find(bytes, 0, [b'\\'; 2]) else {
        return Cow::Borrowed(inner);
    };
    let mut out = Vec::with_capacity(inner.len());
    out.extend_from_slice(&bytes[..at]);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let plain = match rest.first_chunk::<8>() {
            Some(chunk) => {
                let plain = split::before(*chunk, b'\\');
                out.extend_from_slice(chunk);
                out.truncate(out.len() - (8 - plain));
                plain
            }
            None => {
                let plain = rest.iter().take_while(|byte| **byte != b'\\').count();
                out.extend_from_slice(&rest[..plain]);
                plain
            }
        };
        at += plain;
        if bytes.get(at) == Some(&b'\\') {
            at += 1 + escape(&inner[at + 1..], &mut out);
        }
    }
    let text = String::from_utf8(out);
    Cow::Owned(text.expect("it was put together of text and characters"))
}

/// Puts down what an escape means, given what comes after its backslash; returns how many bytes of
/// that it took.
fn escape(after: &str, out: &mut Vec<u8>) -> usize {
    let (character, len) = match after.as_bytes().first() {
        Some(b'n') => ('\n', 1),
        Some(b't') => ('\t', 1),
        Some(b'r') => ('\r', 1),
        Some(b'b') => ('\u{8}', 1),
        Some(b'f') => ('\u{c}', 1),
        Some(b'u') => unicode(after),
        Some(&plain @ (b'"' | b'\\' | b'/')) => (char::from(plain), 1),
        // The scanner accepts no other escape; keep what is there all the same.
        _ => ('\\', 0),
    };
    match u8::try_from(character) {
        Ok(byte @ 0..0x80) => out.push(byte),
        _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
    }
    len
}

/// Reads `uXXXX`, with a second half where the first is a leading surrogate; returns how many
/// bytes it took.
fn unicode(escape: &str) -> (char, usize) {
    let unit = |at: usize| {
        let digits = escape.get(at..at + 4)?;
        u32::from_str_radix(digits, 16).ok()
    };
    let Some(high) = unit(1) else {
        return (char::REPLACEMENT_CHARACTER, 1);
    };
    if let 0xd800..=0xdbff = high
        && escape.get(5..7) == Some("\\u")
        && let Some(low @ 0xdc00..=0xdfff) = unit(7)
    {
        let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return (
            char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
            11,
        );
    }
    (
        char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER),
        5,
    )
}
