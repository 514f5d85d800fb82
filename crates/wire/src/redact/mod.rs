//! Secrets in texts, replaced before anything is recorded.
//!
//! ```text
//! text ─► anchors (one pass) ─► form or name at the anchor ─► [redacted:api-key]
//!     └─► the operator's patterns ─────────────────────────┘
//! ```
//!
//! A secret is known by its own form (`ghp_…`, a JSON Web Token, a private key) or by the name it
//! stands under (`"password": "…"`, `API_KEY=…`). What stands in its place says only what it was:
//! a digest would let anybody who guesses a short password check the guess.
//!
//! *What is promised.* JSON stays JSON, also inside strings of JSON; redacting twice changes
//! nothing; a text without secrets comes back as it is.
//!
//! *What is deliberately not done here.* Nothing is guessed from randomness alone: order numbers,
//! ids, digests and images look random and are what a record is for. A secret without form and
//! name is the operator's to describe. A bare number in JSON stays, whatever its name: there is
//! no marker that is a number.

mod forms;
mod named;

use std::borrow::Cow;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};
use regex::{Regex, RegexBuilder};

use Anchor::{Form, Name};

/// How much memory one pattern of an operator may take when compiled, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// What every marker begins with.
const MARKER: &str = "[redacted:";

/// A pattern of the operator that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not use the pattern `{pattern}`: {reason}")]
pub struct BadPattern {
    /// The pattern as it was given.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Finds secrets and puts markers in their place.
#[derive(Clone, Debug)]
pub struct Redactor {
    anchors: AhoCorasick,
    patterns: Vec<Regex>,
}

/// A secret: where it is, and what it is called in its marker.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Secret {
    at: Range<usize>,
    kind: &'static str,
}

impl Redactor {
    /// Starts a redactor that knows the common forms and names, and the operator's own patterns
    /// besides.
    ///
    /// A pattern is a regular expression without look-around. If it has groups, the first of them
    /// is the secret, otherwise all of it. A secret ends before the first quote or backslash, so
    /// that JSON stays JSON.
    ///
    /// # Errors
    /// [`BadPattern`] says which pattern is no regular expression, is too large, or fits the empty
    /// text.
    pub fn new(patterns: &[String]) -> Result<Self, BadPattern> {
        let anchors = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::DFA))
            .match_kind(MatchKind::LeftmostLongest)
            .build(ANCHORS.iter().map(|(anchor, _)| anchor))
            .expect("a few short anchors fit");
        let patterns = patterns.iter().map(|pattern| compile(pattern));
        Ok(Self {
            anchors,
            patterns: patterns.collect::<Result<_, _>>()?,
        })
    }

    /// Replaces each secret of a text by a marker such as `[redacted:api-key]`, and says how many
    /// there were.
    #[must_use]
    pub fn redact<'t>(&self, text: &'t str) -> (Cow<'t, str>, u32) {
        let mut secrets = self.known(text);
        if !self.patterns.is_empty() {
            secrets.extend(self.described(text));
            secrets = merged(secrets);
        }
        if secrets.is_empty() {
            return (Cow::Borrowed(text), 0);
        }
        let mut out = String::with_capacity(text.len());
        let mut end = 0;
        for secret in &secrets {
            out.push_str(&text[end..secret.at.start]);
            out.push_str(MARKER);
            out.push_str(secret.kind);
            out.push(']');
            end = secret.at.end;
        }
        out.push_str(&text[end..]);
        let count = u32::try_from(secrets.len()).unwrap_or(u32::MAX);
        (Cow::Owned(out), count)
    }

    /// Secrets by form and name, in order and apart from each other.
    fn known(&self, text: &str) -> Vec<Secret> {
        let bytes = text.as_bytes();
        let mut secrets = Vec::new();
        let mut from = 0;
        while let Some(hit) = self.anchors.find(Input::new(bytes).range(from..)) {
            let hit_at = hit.start()..hit.end();
            // What begins inside the last secret was part of it.
            let last = secrets.last().map_or(0, |last: &Secret| last.at.end);
            let found = match ANCHORS[hit.pattern().as_usize()].1 {
                Form => forms::at(bytes, &hit_at, last),
                Name => named::at(bytes, &hit_at),
            };
            from = hit.start() + 1;
            if let Some(secret) = found.filter(|secret| secret.at.start >= last) {
                from = from.max(secret.at.end);
                secrets.push(secret);
            }
        }
        secrets
    }

    /// Secrets by the operator's patterns.
    fn described(&self, text: &str) -> Vec<Secret> {
        let markers = markers(text);
        let mut secrets = Vec::new();
        for pattern in &self.patterns {
            for found in pattern.captures_iter(text) {
                let Some(found) = found.get(1).or_else(|| found.get(0)) else {
                    continue;
                };
                let quoted = |c| matches!(c, '"' | '\\');
                let inner = found.as_str().trim_start_matches(quoted);
                let start = found.end() - inner.len();
                let end = start + inner.find(quoted).unwrap_or(inner.len());
                let marked = |marker: &Range<usize>| marker.start < end && start < marker.end;
                if start < end && !markers.iter().any(marked) {
                    secrets.push(Secret {
                        at: start..end,
                        kind: "custom",
                    });
                }
            }
        }
        secrets
    }
}

fn compile(pattern: &str) -> Result<Regex, BadPattern> {
    let bad = |reason: String| BadPattern {
        pattern: pattern.to_owned(),
        reason,
    };
    let regex = RegexBuilder::new(pattern)
        .size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|error| bad(error.to_string()))?;
    if regex.is_match("") {
        return Err(bad("it fits the empty text".to_owned()));
    }
    Ok(regex)
}

/// In order, with those that overlap made one.
fn merged(mut secrets: Vec<Secret>) -> Vec<Secret> {
    secrets.sort_by_key(|secret| (secret.at.start, secret.at.end));
    let mut merged: Vec<Secret> = Vec::with_capacity(secrets.len());
    for secret in secrets {
        match merged.last_mut() {
            Some(last) if secret.at.start < last.at.end => {
                last.at.end = last.at.end.max(secret.at.end);
            }
            _ => merged.push(secret),
        }
    }
    merged
}

/// Where markers stand already.
fn markers(text: &str) -> Vec<Range<usize>> {
    text.match_indices(MARKER)
        .filter_map(|(start, _)| Some(start..start + text[start..].find(']')? + 1))
        .collect()
}

/// What to look at when an anchor is met.
#[derive(Clone, Copy, Debug)]
enum Anchor {
    /// A form that begins with the anchor.
    Form,
    /// A name that ends with the anchor.
    Name,
}

/// What no secret is without. Short enough to be searched for all at once.
#[rustfmt::skip]
const ANCHORS: &[(&str, Anchor)] = &[
    ("sk-", Form), ("sk_live_", Form), ("sk_test_", Form), ("rk_live_", Form), ("rk_test_", Form),
    ("whsec_", Form), ("AKIA", Form), ("ASIA", Form), ("ghp_", Form), ("gho_", Form), ("ghu_", Form),
    ("ghs_", Form), ("ghr_", Form), ("github_pat_", Form), ("glpat-", Form), ("xoxa-", Form),
    ("xoxb-", Form), ("xoxe-", Form), ("xoxp-", Form), ("xoxr-", Form), ("xoxs-", Form), ("xapp-", Form),
    ("AIza", Form), ("ya29.", Form), ("hf_", Form), ("npm_", Form), ("pypi-", Form), ("gsk_", Form),
    ("xai-", Form), ("pplx-", Form), ("nvapi-", Form), ("lsv2_", Form), ("dop_v1_", Form), ("shpat_", Form),
    ("SG.", Form), ("AGE-SECRET-KEY-", Form), ("eyJ", Form), ("earer ", Form), ("EARER ", Form),
    ("asic ", Form), ("ASIC ", Form), ("-----BEGIN ", Form), ("://", Form),
    ("key", Name), ("Key", Name), ("KEY", Name), ("secret", Name), ("Secret", Name), ("SECRET", Name),
    ("token", Name), ("Token", Name), ("TOKEN", Name), ("assword", Name), ("ASSWORD", Name),
    ("asswd", Name), ("ASSWD", Name), ("pwd", Name), ("PWD", Name), ("assphrase", Name),
    ("ASSPHRASE", Name), ("uthorization", Name), ("UTHORIZATION", Name),
];
