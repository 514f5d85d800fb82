//! Finding passages of rescinded texts inside other texts.

use std::ops::Range;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::anchors::{Bits, windows};

/// Bytes by which a passage's beginning is known. Shorter ones are not looked for.
pub(crate) const BEGINNING: usize = 24;

/// A text to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passage {
    pub(crate) mark: usize,
    pub(crate) text: String,
    /// Whether a tool said it: what tools say again is news.
    pub(crate) of_tool: bool,
    /// Whether it is a part of what was said.
    pub(crate) part: bool,
}

/// Texts to look for.
#[derive(Debug, Default)]
pub(crate) struct Passages {
    begins: Bits,
    /// Those of each beginning, longest first.
    by_beginning: FxHashMap<[u8; BEGINNING], Vec<Passage>>,
}

impl Passages {
    /// Makes passages ready. Of equal ones the first counts.
    pub(crate) fn new(all: Vec<Passage>) -> Self {
        let mut ready = Self::default();
        let mut known = FxHashSet::default();
        for passage in all {
            let Some(beginning) = passage.text.as_bytes().first_chunk() else {
                continue;
            };
            if !known.insert(passage.text.clone()) {
                continue;
            }
            ready
                .begins
                .set(windows(beginning).next().unwrap_or_default());
            let same = ready.by_beginning.entry(*beginning).or_default();
            same.push(passage);
        }
        for same in ready.by_beginning.values_mut() {
            same.sort_by_key(|passage| std::cmp::Reverse(passage.text.len()));
        }
        ready
    }

    /// Finds the first passage in a text from `from` on that `fits`; of several that begin there,
    /// the longest.
    pub(crate) fn find(
        &self,
        text: &str,
        from: usize,
        fits: impl Fn(&Passage) -> bool,
    ) -> Option<(Range<usize>, &Passage)> {
        let rest = text.as_bytes().get(from..)?;
        for (at, begins) in windows(rest).enumerate() {
            if !self.begins.has(begins) {
                continue;
            }
            let Some(beginning) = rest[at..].first_chunk() else {
                break;
            };
            let same = self.by_beginning.get(beginning).into_iter().flatten();
            let mut whole = same
                .filter(|passage| rest[at..].starts_with(passage.text.as_bytes()) && fits(passage));
            if let Some(passage) = whole.next() {
                let start = from + at;
                return Some((start..start + passage.text.len(), passage));
            }
        }
        None
    }
}

/// How many words a text has, whatever stands between them. Where words are not parted, each
/// character counts.
pub(crate) fn words(text: &str) -> usize {
    let mut count = 0;
    let mut inside = false;
    for c in text.chars() {
        let alone = c >= '\u{2e80}' && c.is_alphanumeric();
        let part = !alone && c.is_alphanumeric();
        count += usize::from(alone || part && !inside);
        inside = part;
    }
    count
}

/// The sentences of a text, and its lines.
pub(crate) fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut from = 0;
        let mut before = None;
        for (at, c) in line.char_indices() {
            if c.is_whitespace() && matches!(before, Some('.' | '!' | '?' | ':' | ';'))
                || matches!(before, Some('。' | '！' | '？'))
            {
                found.push(line[from..at].trim());
                from = at;
            }
            before = Some(c);
        }
        found.push(line[from..].trim());
    }
    found.retain(|sentence| !sentence.is_empty());
    found
}
