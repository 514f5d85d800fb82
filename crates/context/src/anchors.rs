//! A quick look that misses nothing: whether a piece of a body may hold anything that is looked
//! for.
//!
//! Of each thing that is looked for, a few bytes in a row are chosen that writers of JSON write
//! the same way, the most unusual ones, and if they are not ASCII, also as they are escaped. A
//! piece of a body in which no such bytes stand holds nothing. Every eighth byte is looked at, and
//! no JSON is read.

use rustc_hash::FxHashMap;

use crate::windows::{NARROW, WIDE, Window, Windows};

/// As many bytes are compared, where there are so many.
const REGION_MAX: usize = 32;

/// How much of a text is searched for its most unusual bytes.
const SEARCHED: usize = 4_096;

/// A few bytes for each thing that is looked for.
#[derive(Debug, Default)]
pub(crate) struct Anchors {
    /// Bytes in a row, in order: first those that count everywhere, then those that count in what
    /// the model said alone. None of either begins with another.
    regions: Vec<Box<[u8]>>,
    everywhere: usize,
    windows: Windows,
}

/// What anchors are made of: bytes in a row, and whether they count in what the model said alone.
#[derive(Debug, Default)]
pub(crate) struct Gathered(FxHashMap<Box<[u8]>, bool>);

impl Gathered {
    /// Takes in a text that is looked for, in what the model said alone or everywhere; says no if
    /// it has no bytes to know it by.
    #[must_use]
    pub(crate) fn add(&mut self, text: &str, of_model: bool) -> bool {
        let Some(region) = unusual(text, WIDE).or_else(|| unusual(text, NARROW)) else {
            return false;
        };
        self.region(region.as_bytes(), of_model);
        if !region.is_ascii() {
            self.region(escaped(region, false).as_bytes(), of_model);
            self.region(escaped(region, true).as_bytes(), of_model);
        }
        true
    }

    /// Takes in the id of a call, which stands between quotes. Ids begin alike and end differently.
    #[must_use]
    pub(crate) fn add_id(&mut self, id: &str) -> bool {
        let quoted = format!("\"{id}\"");
        if quoted.len() < NARROW || !id.chars().all(|c| c.is_ascii() && is_plain(c)) {
            return false;
        }
        let from = quoted.len().saturating_sub(REGION_MAX);
        self.region(&quoted.as_bytes()[from..], true);
        true
    }

    fn region(&mut self, region: &[u8], of_model: bool) {
        let known = self.0.entry(region.into()).or_insert(of_model);
        *known &= of_model;
    }

    /// Makes them ready.
    pub(crate) fn anchors(self) -> Anchors {
        let mut regions: Vec<(bool, Box<[u8]>)> = self
            .0
            .into_iter()
            .map(|(bytes, of_model)| (of_model, bytes))
            .collect();
        regions.sort_unstable();
        // What begins with another one is found with that.
        regions.dedup_by(|(of_model, bytes), (before_of_model, before)| {
            of_model == before_of_model && bytes.starts_with(before)
        });
        let everywhere = regions.partition_point(|(of_model, _)| !of_model);
        let regions: Vec<Box<[u8]>> = regions.into_iter().map(|(_, bytes)| bytes).collect();
        let windows = Windows::of(regions.iter().map(|region| &**region));
        Anchors {
            regions,
            everywhere,
            windows,
        }
    }
}

impl Anchors {
    /// Whether a piece of a body may hold something; `model` tells whether it is the model's.
    pub(crate) fn hit(&self, raw: &str, model: bool) -> bool {
        let raw = raw.as_bytes();
        if raw.len() < NARROW {
            return false;
        }
        let known = |at: usize, windows: &[Window]| {
            let mut alike = windows.chunk_by(|one, other| one.at == other.at);
            alike
                .any(|alike| self.stands(raw, at, alike, model))
                .then_some(())
        };
        self.windows.find(raw, known).is_some()
    }

    /// Whether one of some regions stands in a piece of a body, of which the same window begins
    /// at a place.
    fn stands(&self, raw: &[u8], at: usize, alike: &[Window], model: bool) -> bool {
        let before = alike.first().map_or(0, |window| window.at.into());
        let Some(there) = at.checked_sub(before).and_then(|from| raw.get(from..)) else {
            return false;
        };
        let region = |window: &Window| &*self.regions[window.of as usize];
        let (everywhere, of_model) =
            alike.split_at(alike.partition_point(|window| (window.of as usize) < self.everywhere));
        // They are in order, and none begins with another: only the last one before what stands
        // there can be its beginning.
        let begins = |among: &[Window]| {
            let after = among.partition_point(|window| region(window) <= there);
            let last = among[..after].last();
            last.is_some_and(|window| there.starts_with(region(window)))
        };
        begins(everywhere) || model && begins(of_model)
    }
}

/// Characters that are written as they are, or all of them as code points.
fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '"' | '\\' | '/' | '<' | '>' | '&' | '\'' | '+' | '\u{2028}' | '\u{2029}'
        )
}

/// The most unusual plain bytes in a row, at `least` so many.
fn unusual(text: &str, least: usize) -> Option<&str> {
    let weight = |c: char| match c {
        '0'..='9' => 4_u32,
        'A'..='Z' | '_' | '-' | '#' => 3,
        'a'..='z' => 1,
        c if c.is_ascii() => 0,
        _ => 2,
    };
    let mut best: Option<(u32, &str)> = None;
    for run in text[..text.floor_char_boundary(SEARCHED)].split(|c| !is_plain(c)) {
        let (mut from, mut sum) = (0, 0);
        let mut starts = run.char_indices();
        for (at, c) in run.char_indices() {
            sum += weight(c);
            let end = at + c.len_utf8();
            if end - from < least {
                continue;
            }
            if best.is_none_or(|(most, _)| sum > most) {
                let to = run.ceil_char_boundary((from + REGION_MAX).min(run.len()));
                best = Some((sum, &run[from..to.max(end)]));
            }
            while end - from >= least {
                let Some((at, first)) = starts.next() else {
                    break;
                };
                sum -= weight(first);
                from = at + first.len_utf8();
            }
        }
    }
    best.map(|(_, region)| region)
}

/// Characters beyond ASCII as the code units that some writers put in their place.
fn escaped(text: &str, upper: bool) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let hex = match upper {
                true => format!("\\u{unit:04X}"),
                false => format!("\\u{unit:04x}"),
            };
            out.push_str(&hex);
        }
    }
    out
}
