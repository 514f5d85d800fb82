//! What texts say beside the kind of failure: how long to wait, and the types and numbers that
//! exceptions and logs carry inside them.

use std::time::Duration;

use super::words::Words;

/// The longest wait that is believed: a week.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(7 * 86_400);

/// Words before a time to wait, and how many other words may stand between.
const ANCHORS: &[&str] = &[
    "retry",
    "again",
    "wait",
    "reset",
    "resets",
    "available",
    "after",
];

/// Words that lead from an anchor to its time.
const LINKS: &[&str] = &[
    "in", "after", "for", "at", "least", "about", "delay", "another", "please", "is", "s", "again",
];

/// Returns how long a text asks to wait: "try again in 18.642s", "retry after 7 seconds".
pub(super) fn in_text(text: &str) -> Option<Duration> {
    let text = text.to_lowercase();
    let tokens: Vec<&str> = text
        .split(|c: char| !(c.is_alphanumeric() || c == '.'))
        .map(|token| token.trim_matches('.'))
        .filter(|token| !token.is_empty())
        .collect();
    // `retryDelay` is one word in JSON.
    let anchored = |token: &&str| ANCHORS.contains(token) || *token == "retrydelay";
    tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| anchored(token))
        .find_map(|(at, _)| {
            let rest = &tokens[at + 1..];
            let links = rest
                .iter()
                .take_while(|token| LINKS.contains(token))
                .count();
            duration(&rest[links..])
        })
        .filter(|wait| *wait <= WAIT_MAX)
}

/// Reads a time at the start of the tokens: `9m38.016s`, `7 seconds`, `1h 5m`, `2 minutes 3 seconds`.
fn duration(tokens: &[&str]) -> Option<Duration> {
    let mut sum = None;
    let mut tokens = tokens.iter().peekable();
    while let Some(token) = tokens.next() {
        let part = match compact(token) {
            Some(part) => part,
            None => {
                let Some(number) = number(token) else { break };
                let Some(unit) = tokens.peek().and_then(|unit| seconds_of(unit)) else {
                    break;
                };
                tokens.next();
                number * unit
            }
        };
        sum = Some(sum.unwrap_or(0.0) + part);
    }
    Duration::try_from_secs_f64(sum?).ok()
}

/// Reads a time written in one piece, as Go and Google do: `1h2m3.5s`, `120ms`.
pub(super) fn compact(text: &str) -> Option<f64> {
    let mut sum = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (value, tail) = rest.split_at(digits);
        let letters = tail
            .find(|c: char| !c.is_alphabetic())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        sum += number(value)? * seconds_of(unit)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(sum)
}

fn number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => 1e-3,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    })
}

/// Returns what in a text looks like a type or code, in order: parts with an underscore, in
/// capitals, or ending in `Error`, `Exception` or `Timeout`.
pub(super) fn names_in(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|name| {
            let capitals = || {
                name.len() >= 5
                    && name
                        .bytes()
                        .all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit())
            };
            ["Error", "Exception", "Timeout"]
                .iter()
                .any(|end| name.ends_with(end) && name.len() > end.len())
                || name.trim_matches('_').contains('_')
                || capitals()
        })
}

/// What stands before a status.
const TITLES: &[&[&str]] = &[
    &["error", "code"],
    &["status", "code"],
    &["api", "error"],
    &["http", "error"],
    &["http"],
    &["status"],
    &["http", "1", "1"],
    &["http", "2"],
];

/// First words of the phrases that stand after a status.
const REASONS: &[[&str; 2]] = &[
    ["too", "many"],
    ["service", "unavailable"],
    ["bad", "gateway"],
    ["bad", "request"],
    ["gateway", "timeout"],
    ["internal", "server"],
    ["status", "code"],
];

/// Returns the status that a text names as one: at its beginning, after a title, or before its
/// phrase. Any other number of three digits is no status.
pub(super) fn status_in(words: &Words) -> Option<u16> {
    let list = words.list();
    let titled = |at: usize| {
        TITLES.iter().any(|title| {
            at.checked_sub(title.len())
                .is_some_and(|from| list[from..at].iter().eq(title.iter()))
        })
    };
    let reasoned = |at: usize| {
        REASONS
            .iter()
            .any(|reason| list[at + 1..].iter().take(2).eq(reason))
    };
    (0..list.len())
        .filter(|&at| at == 0 || titled(at) || reasoned(at))
        .filter(|&at| list[at].len() == 3)
        .find_map(|at| {
            list[at]
                .parse()
                .ok()
                .filter(|status| (400..600).contains(status))
        })
}
