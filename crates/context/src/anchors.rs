//! A quick look that misses nothing: whether a piece of a body may hold anything that is looked
//! for.
//!
//! Of each thing that is looked for, a few bytes in a row are chosen that writers of JSON write
//! the same way, the most unusual ones, and if they are not ASCII, also as they are escaped. A
//! piece of a body in which no such bytes stand holds nothing. Every eighth byte is looked at, and
//! no JSON is read.

use rustc_hash::FxHashMap;

/// How many bytes are looked at together.
pub(crate) const WINDOW: usize = 8;

/// Where so many bytes stand, a window that begins at a multiple of eight is among them.
const REGION: usize = 2 * WINDOW - 1;

/// As many bytes are compared, where there are so many.
const REGION_MAX: usize = 32;

/// How much of a text is searched for its most unusual bytes.
const SEARCHED: usize = 4_096;

/// Bits of a hash: a set of so many stays close to the processor.
const HASH_BITS: u32 = 18;

/// A set that may say yes where it should say no.
#[derive(Debug)]
pub(crate) struct Bits(Box<[u64; 1 << (HASH_BITS - 6)]>);

/// A few bytes for each thing that is looked for.
#[derive(Debug, Default)]
pub(crate) struct Anchors {
    bits: Bits,
    /// Window → the regions that it is part of, and where in them.
    regions: FxHashMap<u64, Vec<Region>>,
}

/// Bytes in a row, and where in them a window lies.
type Region = (usize, Box<[u8]>);

impl Default for Bits {
    fn default() -> Self {
        Self(Box::new([0; 1 << (HASH_BITS - 6)]))
    }
}

impl Bits {
    pub(crate) fn set(&mut self, window: u64) {
        let (word, bit) = place(window);
        self.0[word] |= 1 << bit;
    }

    pub(crate) fn has(&self, window: u64) -> bool {
        let (word, bit) = place(window);
        self.0[word] >> bit & 1 == 1
    }
}

const fn place(window: u64) -> (usize, u32) {
    let hash = window.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - HASH_BITS);
    ((hash >> 6) as usize, (hash & 63) as u32)
}

/// The windows of a text, one at each byte.
pub(crate) fn windows(text: &[u8]) -> impl Iterator<Item = u64> {
    text.windows(WINDOW).map(window)
}

fn window(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(
        *bytes
            .first_chunk()
            .expect("a window is as long as a window"),
    )
}

impl Anchors {
    /// Takes in a text that is looked for; says no if it has no bytes to know it by.
    #[must_use]
    pub(crate) fn add(&mut self, text: &str) -> bool {
        let Some(region) = unusual(text) else {
            return false;
        };
        self.region(region.as_bytes());
        if !region.is_ascii() {
            self.region(escaped(region, false).as_bytes());
            self.region(escaped(region, true).as_bytes());
        }
        true
    }

    fn region(&mut self, region: &[u8]) {
        for (at, window) in windows(region).take(WINDOW).enumerate() {
            self.bits.set(window);
            let same = self.regions.entry(window).or_default();
            if same
                .iter()
                .all(|known| (known.0, &*known.1) != (at, region))
            {
                same.push((at, region.into()));
            }
        }
    }

    /// Whether a piece of a body may hold something.
    pub(crate) fn hit(&self, raw: &str) -> bool {
        let raw = raw.as_bytes();
        if self.regions.is_empty() || raw.len() < REGION {
            return false;
        }
        for (number, bytes) in raw.chunks_exact(WINDOW).enumerate() {
            let window = window(bytes);
            if self.bits.has(window) && self.stands(window, raw, number * WINDOW) {
                return true;
            }
        }
        false
    }

    #[cold]
    fn stands(&self, window: u64, raw: &[u8], at: usize) -> bool {
        let regions = self.regions.get(&window).into_iter().flatten();
        let mut stands = regions.filter_map(|(before, region)| {
            let from = at.checked_sub(*before)?;
            raw.get(from..from + region.len())
                .filter(|there| *there == &**region)
        });
        stands.next().is_some()
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

/// The most unusual plain bytes in a row.
fn unusual(text: &str) -> Option<&str> {
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
            if end - from < REGION {
                continue;
            }
            if best.is_none_or(|(most, _)| sum > most) {
                let to = run.ceil_char_boundary((from + REGION_MAX).min(run.len()));
                best = Some((sum, &run[from..to.max(end)]));
            }
            while end - from >= REGION {
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
