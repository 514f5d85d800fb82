//! How long the headers of an answer ask to wait.
//!
//! One header is standard, the others are habits: `retry-after-ms` of Azure and OpenAI,
//! `x-ratelimit-reset` as seconds, milliseconds or a time of day, `x-ratelimit-reset-tokens` as a
//! Go duration, and the times of day of Anthropic.

use std::time::Duration;

use model::Timestamp;

use super::hint::{WAIT_MAX, compact};
use crate::import::time;

/// Pairs of headers: how much is left of something, and when there is more.
const LIMITS: &[(&str, &str)] = &[
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("x-ratelimit-remaining", "x-ratelimit-reset-after"),
    (
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    ),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("ratelimit-remaining", "ratelimit-reset"),
    (
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ),
    (
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ),
    (
        "anthropic-ratelimit-input-tokens-remaining",
        "anthropic-ratelimit-input-tokens-reset",
    ),
    (
        "anthropic-ratelimit-output-tokens-remaining",
        "anthropic-ratelimit-output-tokens-reset",
    ),
];

/// Numbers below this are seconds to wait; 30 days.
const SECONDS_MAX: f64 = 30.0 * 86_400.0;

/// Numbers below this are seconds since 1970, above it milliseconds; the year 5138.
const EPOCH_SECONDS_MAX: f64 = 1e11;

/// Returns how long the headers ask to wait, at most a week.
///
/// `retry-after-ms` and `retry-after` are said to whoever was refused and go first. Limits are
/// told with every answer: of those that are used up the one that resets last counts, and where
/// none is said to be used up, the one that resets first. A time that is past is no wait; what
/// makes no sense is passed over.
#[must_use]
pub fn retry_after<'h>(
    headers: impl Fn(&str) -> Option<&'h str>,
    now: Timestamp,
) -> Option<Duration> {
    let header = |name: &str| headers(name).map(str::trim);
    let told = header("retry-after-ms")
        .and_then(number)
        .map(|millis| millis / 1_000.0)
        .or_else(|| header("retry-after").and_then(|value| wait(value, now)));
    if let Some(seconds) = told {
        return believed(seconds);
    }
    let mut used_up: Option<f64> = None;
    let mut first: Option<f64> = None;
    for &(left, reset) in LIMITS {
        let Some(seconds) = header(reset).and_then(|value| wait(value, now)) else {
            continue;
        };
        if header(left).and_then(number) == Some(0.0) {
            used_up = Some(used_up.map_or(seconds, |most| most.max(seconds)));
        }
        first = Some(first.map_or(seconds, |least| least.min(seconds)));
    }
    used_up.or(first).and_then(believed)
}

/// Seconds from now until what a header says, in any of the ways in which it is said.
fn wait(value: &str, now: Timestamp) -> Option<f64> {
    let until = |micros: i64| ((micros.saturating_sub(now.0)) as f64 / 1e6).max(0.0);
    if let Some(number) = number(value) {
        return Some(match number {
            seconds if seconds < SECONDS_MAX => seconds,
            seconds if seconds < EPOCH_SECONDS_MAX => until((seconds * 1e6) as i64),
            millis => until((millis * 1e3) as i64),
        });
    }
    if let Some(seconds) = compact(&value.to_ascii_lowercase()) {
        return Some(seconds);
    }
    let time = match time::parse(value) {
        Some((time, true)) => Some(time),
        _ => http_date(value),
    };
    time.map(|time| until(time.0))
}

fn number(value: &str) -> Option<f64> {
    let plain = value.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number: f64 = plain.then(|| value.parse().ok()).flatten()?;
    number.is_finite().then_some(number)
}

fn believed(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .map(|wait| wait.min(WAIT_MAX))
}

/// Reads the three forms of a date in HTTP (RFC 9110 section 5.6.7).
fn http_date(value: &str) -> Option<Timestamp> {
    let value = value.strip_suffix(" GMT").unwrap_or(value);
    let parts: Vec<&str> = value
        .split([' ', '-', ','])
        .filter(|part| !part.is_empty())
        .collect();
    let (day, month, year, clock) = match parts[..] {
        // Sun, 06 Nov 1994 08:49:37 and Sunday, 06-Nov-94 08:49:37
        [_, day, month, year, clock] if month_of(month).is_some() => (day, month, year, clock),
        // Sun Nov  6 08:49:37 1994
        [_, month, day, clock, year] => (day, month, year, clock),
        _ => return None,
    };
    let year: u32 = year.parse().ok()?;
    let year = match year {
        0..70 => year + 2_000,
        70..100 => year + 1_900,
        _ => year,
    };
    let (day, month): (u32, usize) = (day.parse().ok()?, month_of(month)?);
    let (time, _) = time::parse(&format!("{year:04}-{month:02}-{day:02}T{clock}Z"))?;
    Some(time)
}

fn month_of(name: &str) -> Option<usize> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    MONTHS
        .iter()
        .position(|month| month.eq_ignore_ascii_case(name))
        .map(|at| at + 1)
}
