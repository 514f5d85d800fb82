//! Secrets that are known by the name they stand under.
//!
//! ```text
//! "api_key": "…"      \"password\": \"…\"      DB_PASSWORD=…      secret: …
//! ```
//!
//! The more a place looks like data, the less its value has to look like a secret: in quotes after
//! a quoted name anything in one word is one, in running text only what has digits and letters.

use std::ops::Range;

use super::forms::{is_dense, is_url64, trailing_backslashes};
use super::{MARKER, Secret};

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The longest value, in bytes.
const VALUE_BYTES_MAX: usize = 4_096;

/// Endings of names, in small letters without `_` and `-`, and what stands under them.
const NAMES: &[(&str, &str)] = &[
    ("apikey", "api-key"),
    ("secretkey", "secret"),
    ("accesskey", "secret"),
    ("privatekey", "private-key"),
    ("signingkey", "secret"),
    ("encryptionkey", "secret"),
    ("masterkey", "secret"),
    ("authkey", "secret"),
    ("accountkey", "secret"),
    ("subscriptionkey", "api-key"),
    ("secret", "secret"),
    ("password", "password"),
    ("passwd", "password"),
    ("passphrase", "password"),
    ("pwd", "password"),
    ("token", "token"),
    ("authorization", "token"),
];

/// Endings that mean a place in a list, a word or a limit, and no secret.
const HARMLESS: &[&str] = &[
    "pagetoken",
    "nexttoken",
    "continuationtoken",
    "synctoken",
    "cursortoken",
    "stoptoken",
    "eostoken",
    "bostoken",
    "padtoken",
    "pertoken",
    "oldpwd",
];

/// Values that stand for one.
const PLACEHOLDERS: &[&str] = &[
    "your",
    "xxx",
    "***",
    "...",
    "null",
    "none",
    "undefined",
    "true",
    "false",
    "string",
    "example",
    "placeholder",
    "insert",
    "<",
    "$",
    "{",
    "%",
    "process.env",
    "os.environ",
    "self.",
    "env.",
];

/// Returns the secret under the name that ends with this anchor, if there is one.
pub(super) fn at(text: &[u8], anchor: &Range<usize>) -> Option<Secret> {
    // Names end here: `token_limit` and `keys` are others.
    let mut rest = anchor.end;
    if text.get(rest).is_some_and(|b| is_url64(*b)) {
        return None;
    }
    let quotes = skip(text, &mut rest, |b| {
        matches!(b, b'"' | b'\'' | b'\\' | b' ')
    })?;
    let separator = *text.get(rest).filter(|b| matches!(b, b':' | b'='))?;
    let (start, name) = name(text, anchor.end)?;
    let &(_, kind) = NAMES.iter().find(|(ending, _)| name.ends_with(ending))?;
    if HARMLESS.iter().any(|ending| name.ends_with(ending)) {
        return None;
    }
    rest += 1;
    skip(text, &mut rest, |b| b == b' ')?;
    let named_in_quotes = quotes.contains(&b'"') || quotes.contains(&b'\'');
    let (value, in_quotes) = value(text, rest)?;
    let word = &text[value.clone()];
    let shouts = text[start..anchor.end]
        .iter()
        .all(|b| !b.is_ascii_lowercase());
    let secret = match (in_quotes, named_in_quotes) {
        (true, true) => kind != "token" || word.len() >= 16,
        (true, false) => word.len() >= 6 && (kind != "token" || word.len() >= 16),
        // A bare value after a quoted name is a number of JSON, or code.
        (false, true) => false,
        (false, false) if shouts && separator == b'=' => {
            word.len() >= 4 && (kind != "token" || word.len() >= 8) && !is_code(word)
        }
        (false, false) => {
            let short = kind == "password" && word.len() >= 6 && is_mixed(word);
            (short || is_dense(word) || is_long(word)) && !is_code(word)
        }
    };
    let stands_for = stands_for_one(word);
    (secret && !stands_for).then_some(Secret { at: value, kind })
}

/// Where the name that ends here begins, and its letters.
fn name(text: &[u8], end: usize) -> Option<(usize, String)> {
    let len = text[..end]
        .iter()
        .rev()
        .take(NAME_BYTES_MAX + 1)
        .take_while(|b| is_url64(**b))
        .count();
    let start = end - len;
    // Its first letter may be that of an escape: `\nDB_PASSWORD`.
    let escaped = trailing_backslashes(&text[..start]) % 2 == 1;
    let escape = match text[start] {
        b'u' if escaped => 5,
        _ if escaped => 1,
        _ => 0,
    };
    let start = end.min(start + escape);
    (len <= NAME_BYTES_MAX).then(|| {
        let letters = text[start..end]
            .iter()
            .filter(|b| b.is_ascii_alphanumeric());
        let name = letters
            .map(|b| char::from(b.to_ascii_lowercase()))
            .collect();
        (start, name)
    })
}

/// Passes over up to eight bytes of a kind; a name and its value are not further apart.
fn skip<'t>(text: &'t [u8], at: &mut usize, of: impl Fn(u8) -> bool) -> Option<&'t [u8]> {
    let len = text[*at..].iter().take_while(|b| of(**b)).count();
    let passed = &text[*at..*at + len];
    *at += len;
    (len <= 8).then_some(passed)
}

/// The value that begins here, without its quotes, and whether it had some. None if it is more
/// than one word.
fn value(text: &[u8], at: usize) -> Option<(Range<usize>, bool)> {
    let window = &text[at..text.len().min(at + VALUE_BYTES_MAX)];
    let escapes = window.iter().take_while(|b| **b == b'\\').count();
    let start = escapes + 1;
    let (range, in_quotes) = match window.get(escapes) {
        Some(b'"') if (escapes + 1).is_power_of_two() => (
            start..start + in_double_quotes(&window[start..], escapes)?,
            true,
        ),
        Some(quote @ (b'\'' | b'`')) if escapes == 0 => (
            start..start + in_other_quotes(&window[start..], *quote)?,
            true,
        ),
        _ => (0..bare(window), false),
    };
    let word = &window[range.clone()];
    // What a comma follows was no opening quote but the end of a JSON string.
    let closed = in_quotes && matches!(word.first(), Some(b',' | b':' | b']' | b'}'));
    let many = word.iter().any(u8::is_ascii_whitespace) || breaks(word);
    let one = !(word.is_empty() || closed || many);
    one.then_some((at + range.start..at + range.end, in_quotes))
}

/// How long the text before the closing quote is, where the opening one had so many backslashes.
///
/// Each level of JSON inside JSON doubles backslashes and adds one before a quote, so the number
/// before a quote says whether it belongs to the text, closes it, or closes a string around it.
fn in_double_quotes(text: &[u8], escapes: usize) -> Option<usize> {
    let period = 2 * (escapes + 1);
    let mut from = 0;
    loop {
        let quote = from + text[from..].iter().position(|b| *b == b'"')?;
        let backslashes = trailing_backslashes(&text[..quote]);
        match backslashes % period {
            depth if depth == period - 1 => from = quote + 1,
            depth if depth == escapes => return Some(quote - escapes),
            _ => return Some(quote - backslashes),
        }
    }
}

/// How long the text before the closing quote is. A double quote may be the end of a JSON string
/// around it, so the text ends there too.
fn in_other_quotes(text: &[u8], quote: u8) -> Option<usize> {
    let end = text.iter().position(|b| *b == quote || *b == b'"')?;
    Some(end - trailing_backslashes(&text[..end]))
}

/// How long a value without quotes is.
fn bare(text: &[u8]) -> usize {
    let len = text
        .iter()
        .take_while(|b| {
            !b.is_ascii_whitespace()
                && !matches!(b, b'"' | b'\'' | b'`' | b'\\' | b',' | b';' | b'&')
                && !matches!(b, b'<' | b'>' | b'{' | b'}' | b')' | b']')
        })
        .count();
    // A full stop at its end belongs to the sentence.
    let last = text[..len].iter().rposition(|b| *b != b'.');
    last.map_or(0, |last| last + 1)
}

/// Whether an escape of a line break is in it: then it is running text.
fn breaks(word: &[u8]) -> bool {
    word.windows(2)
        .any(|pair| matches!(pair, b"\\n" | b"\\t" | b"\\r"))
}

/// Whether a bare value is an expression rather than a value.
fn is_code(word: &[u8]) -> bool {
    word.iter()
        .any(|b| matches!(b, b'(' | b'[' | b'{' | b'$' | b'<' | b'*'))
        || word.windows(2).any(|pair| pair == b"::")
}

/// Whether a bare value is neither a word of running text nor a name in code.
fn is_mixed(word: &[u8]) -> bool {
    word.iter().any(u8::is_ascii_digit)
        && word.iter().any(u8::is_ascii_alphabetic)
        && !word.iter().any(|b| matches!(b, b'.' | b'_' | b':' | b'/'))
}

/// Whether a bare value is as long as a key and of letters and digits as no name is.
fn is_long(word: &[u8]) -> bool {
    word.len() >= 20
        && word.iter().any(u8::is_ascii_uppercase)
        && word.iter().any(u8::is_ascii_lowercase)
        && word.iter().any(u8::is_ascii_digit)
        && word
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
}

fn stands_for_one(word: &[u8]) -> bool {
    let lower = word[..word.len().min(16)].to_ascii_lowercase();
    PLACEHOLDERS
        .iter()
        .any(|begin| lower.starts_with(begin.as_bytes()))
        || word
            .windows(MARKER.len())
            .any(|part| part == MARKER.as_bytes())
}
