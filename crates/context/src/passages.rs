//! Finding passages of rescinded texts inside other texts.

use std::ops::Range;

use rustc_hash::FxHashSet;

use crate::windows::{WIDE, Window, Windows};

/// Bytes by which a passage's beginning is known. Shorter ones are not looked for.
pub(crate) const BEGINNING: usize = 24;

const _: () = assert!(BEGINNING >= WIDE, "a beginning is found");

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
    /// Longest first.
    all: Vec<Passage>,
    begins: Windows,
}

impl Passages {
    /// Makes passages ready. Of equal ones the first counts.
    pub(crate) fn new(mut all: Vec<Passage>) -> Self {
        let mut known = FxHashSet::default();
        all.retain(|passage| passage.text.len() >= BEGINNING && known.insert(passage.text.clone()));
        all.sort_by_key(|passage| std::cmp::Reverse(passage.text.len()));
        let beginnings = all
            .iter()
            .map(|passage| &passage.text.as_bytes()[..BEGINNING]);
        let begins = Windows::of(beginnings);
        Self { all, begins }
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
        self.begins.find(rest, |at, windows| {
            windows.iter().find_map(|window: &Window| {
                let passage = &self.all[window.of as usize];
                let start = at.checked_sub(window.at.into())?;
                let stands = rest[start..].starts_with(passage.text.as_bytes()) && fits(passage);
                let start = from + start;
                stands.then(|| (start..start + passage.text.len(), passage))
            })
        })
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
