//! Which tokens are values worth tracing, and how much one proves.
//!
//! A value proves dependence if nobody would come up with it alone: an order number, an e-mail
//! address, a URL. Dates, small numbers, measures and names of choices occur everywhere; they are
//! followed too, but prove nothing. Judged by shape alone, so that the same text gives the same
//! edges in every run.

use model::Strength;

use crate::scan::{DIGIT, LOWER, Token, UNDER, UPPER};

/// Whether outputs remember this word. Everything that [`weigh`] can find must pass.
pub(crate) fn word_counts(token: &Token) -> bool {
    let len = token.end - token.start;
    if token.bytes & DIGIT != 0 {
        len >= 3
    } else if token.bytes & UNDER != 0 {
        len >= 5
    } else {
        token.bytes == UPPER && len >= 3
    }
}

/// Whether outputs remember this segment or cluster.
pub(crate) fn compound_counts(token: &Token, text: &[u8]) -> bool {
    let bytes = &text[token.start..token.end];
    if token.bytes & DIGIT != 0 {
        bytes.len() >= 4
    } else {
        bytes.len() >= 6 && bytes.iter().any(|b| matches!(b, b'@' | b'.' | b'/'))
    }
}

/// Says what a value proves when an argument carries it. `whole`: it is all that the argument
/// holds, so somebody chose it as a value. Nothing: not worth following.
pub(crate) fn weigh(bytes: &[u8], whole: bool) -> Option<Strength> {
    let count = |want: fn(&u8) -> bool| bytes.iter().filter(|b| want(b)).count();
    let digits = count(u8::is_ascii_digit);
    let lower = count(|b| b.is_ascii_lowercase() || *b >= 128);
    let upper = count(u8::is_ascii_uppercase);
    let slashes = count(|b| *b == b'/');
    let at = bytes.iter().position(|b| *b == b'@');
    let len = bytes.len();

    let certain = if at.is_some_and(|at| bytes[at..].contains(&b'.')) {
        true
    } else if digits == 0 {
        if slashes > 0 {
            len >= 10 && slashes >= 2
        } else if bytes.contains(&b'.') {
            len >= 8 && whole
        } else if bytes.contains(&b'_') {
            false
        } else if upper == len && len >= 3 {
            // Airports and abbreviations are short; a code chosen as a value is not.
            len >= 5 && whole
        } else {
            return None;
        }
    } else if is_date(bytes) {
        false
    } else if lower + upper == 0 {
        number_is_rare(bytes, digits)
    } else if is_measure(bytes) || is_counted_word(bytes, digits, upper) {
        false
    } else {
        len >= 5
    };
    Some(if certain {
        Strength::Certain
    } else {
        Strength::Possible
    })
}

/// Numbers of at least five digits, round ones aside; of at least nine where signs split them, so
/// telephone numbers count and prices, versions and times do not.
fn number_is_rare(bytes: &[u8], digits: usize) -> bool {
    if digits == bytes.len() {
        let zeros = bytes.iter().rev().take_while(|b| **b == b'0').count();
        digits >= 5 && digits - zeros >= 3
    } else {
        digits >= 9
    }
}

/// `2024-05-20`, with or without a time after it.
fn is_date(bytes: &[u8]) -> bool {
    let pattern = b"dddd-dd-dd";
    bytes.len() >= pattern.len()
        && pattern.iter().zip(bytes).all(|(want, byte)| match want {
            b'd' => byte.is_ascii_digit(),
            _ => byte == want || *byte == b'/',
        })
}

/// `750ml`, `128GB`, `4th`, `20min`.
fn is_measure(bytes: &[u8]) -> bool {
    let number = bytes
        .iter()
        .take_while(|b| b.is_ascii_digit() || **b == b'.')
        .count();
    let unit = &bytes[number..];
    let short = unit.len() <= 2 && unit.iter().all(u8::is_ascii_alphabetic);
    number > 0 && (short || unit.len() == 3 && unit.iter().all(u8::is_ascii_lowercase))
}

/// `step1`, `utf-8`, `Table2`: a word and a small number.
fn is_counted_word(bytes: &[u8], digits: usize, upper: usize) -> bool {
    let tail = bytes
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_digit())
        .count();
    digits == tail && digits <= 2 && upper <= 1 && bytes.len() > digits
}

/// Whether a token is plain words, which [`weigh`] never follows.
pub(crate) const fn is_plain(token: &Token) -> bool {
    token.bytes & (DIGIT | UNDER) == 0 && token.bytes & LOWER != 0
}
