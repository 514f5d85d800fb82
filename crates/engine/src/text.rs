//! Words and short forms for people: times, the beginning of a text.

use model::{Evidence, HybridTime, Timestamp};

/// The longest pointer or name in evidence that stands in a leaf, in bytes.
const EVIDENCE_BYTES_MAX: usize = 256;

/// Returns a time as RFC 3339, in UTC. A time that no calendar holds is shown as its number.
#[must_use]
pub fn stamp(time: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(time.0)
        .map_or_else(|_| format!("{} µs", time.0), |stamp| stamp.to_string())
}

/// Returns a time of the record as RFC 3339, in UTC.
pub(crate) fn recorded(time: HybridTime) -> String {
    stamp(Timestamp(i64::try_from(time.wall).unwrap_or(i64::MAX)))
}

/// Returns the first line of a text, cut to `width` characters, with white space folded.
pub(crate) fn summary(text: &str, width: usize) -> String {
    let mut short = String::new();
    let mut count = 0;
    for word in text.split_whitespace() {
        let space = usize::from(count > 0);
        let len = word.chars().count();
        if count + space + len > width {
            if count == 0 {
                short.extend(word.chars().take(width.saturating_sub(1)));
            }
            short.push('…');
            return short;
        }
        if space == 1 {
            short.push(' ');
        }
        short.push_str(word);
        count += space + len;
    }
    short
}

/// Cuts a JSON Pointer to an ancestor that has at most `max` bytes.
fn shorten_pointer(pointer: &mut String, max: usize) {
    if pointer.len() <= max {
        return;
    }
    let mut end = max;
    while !pointer.is_char_boundary(end) {
        end -= 1;
    }
    let end = pointer[..end].rfind('/').unwrap_or(0);
    pointer.truncate(end);
}

/// Cuts what evidence says to what fits into a leaf.
pub(crate) fn shorten_evidence(evidence: &mut Evidence) {
    match evidence {
        Evidence::Value { at } => shorten_pointer(at, EVIDENCE_BYTES_MAX),
        Evidence::Record { at, uri } => {
            shorten_pointer(at, EVIDENCE_BYTES_MAX);
            *uri = cut(uri, EVIDENCE_BYTES_MAX);
        }
        Evidence::CallId
        | Evidence::Explicit { .. }
        | Evidence::EqualText
        | Evidence::NameAndArguments
        | Evidence::HistoryPrefix
        | Evidence::Adjacent
        | Evidence::Addressed
        | Evidence::Overlap { .. } => {}
    }
}

/// Cuts a text to at most `max` bytes, at the border of a character.
pub(crate) fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let mut end = max.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}
