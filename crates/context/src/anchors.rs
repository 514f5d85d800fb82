//! A quick look that misses nothing: whether a piece of a body may hold anything that is looked
//! for.
//!
//! Of each thing that is looked for, eight bytes are chosen that every writer of JSON writes the
//! same way, the most unusual ones. A piece of a body in which no such eight bytes stand holds
//! nothing. Telling so takes a step for each byte and reads no JSON.

use rustc_hash::FxHashSet;

/// How many bytes are looked at together.
pub(crate) const WINDOW: usize = 8;

/// Sixteen bits of a hash each, one bit for each value: small enough to stay close to the
/// processor.
const BITS: usize = 1 << 16;

/// A set that may say yes where it should say no.
#[derive(Debug, Default)]
pub(crate) struct Bits(Vec<u64>);

/// Eight bytes for each thing that is looked for.
#[derive(Debug, Default)]
pub(crate) struct Anchors {
    bits: Bits,
    exact: FxHashSet<u64>,
    /// Something is looked for that has no eight such bytes.
    blind: bool,
}

pub(crate) const fn window(bytes: &[u8; WINDOW]) -> u64 {
    u64::from_le_bytes(*bytes)
}

/// All windows of a text, one at each byte.
pub(crate) fn windows(text: &[u8]) -> impl Iterator<Item = u64> {
    let ends = text.windows(WINDOW);
    ends.map(|bytes| {
        window(
            bytes
                .first_chunk()
                .expect("a window is as long as a window"),
        )
    })
}

impl Bits {
    pub(crate) fn set(&mut self, window: u64) {
        self.0.resize(BITS / 64, 0);
        let (word, bit) = place(window);
        self.0[word] |= 1 << bit;
    }

    pub(crate) fn has(&self, window: u64) -> bool {
        let (word, bit) = place(window);
        self.0.get(word).is_some_and(|word| word >> bit & 1 == 1)
    }
}

const fn place(window: u64) -> (usize, u32) {
    let hash = window.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    ((hash >> 6) as usize, (hash & 63) as u32)
}

impl Anchors {
    /// Takes in a text that is looked for inside others.
    pub(crate) fn text(&mut self, text: &str) {
        match unusual(text.as_bytes()) {
            Some(window) => self.add(window),
            None => self.blind = true,
        }
    }

    /// Takes in a value that is looked for whole.
    pub(crate) fn value(&mut self, value: &str) {
        // The quotes around it are written the same way too.
        let quoted = format!("\"{value}\"");
        let plain = value.bytes().all(is_plain);
        let ends = quoted.as_bytes().first_chunk::<WINDOW>().filter(|_| plain);
        match unusual(value.as_bytes()).or(ends.map(window)) {
            Some(window) => self.add(window),
            None => self.blind = true,
        }
    }

    fn add(&mut self, window: u64) {
        self.bits.set(window);
        self.exact.insert(window);
    }

    /// Whether a piece of a body may hold something.
    pub(crate) fn hit(&self, raw: &str) -> bool {
        if self.blind {
            return true;
        }
        // With nothing to look for there is no place to look at.
        if self.exact.is_empty() {
            return false;
        }
        windows(raw.as_bytes()).any(|window| self.bits.has(window) && self.exact.contains(&window))
    }
}

/// Bytes that no writer of JSON escapes.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
        && !matches!(
            byte,
            b'"' | b'\\' | b'/' | b'<' | b'>' | b'&' | b'\'' | b'+'
        )
}

/// The most unusual plain bytes in a row.
fn unusual(text: &[u8]) -> Option<u64> {
    const LOOKED_AT: usize = 4_096;
    let weight = |byte: &u8| match byte {
        b'0'..=b'9' => 4_u32,
        b'A'..=b'Z' | b'_' | b'-' | b'#' => 3,
        b'a'..=b'z' => 1,
        _ => 0,
    };
    text[..text.len().min(LOOKED_AT)]
        .windows(WINDOW)
        .filter(|bytes| bytes.iter().all(|byte| is_plain(*byte)))
        .max_by_key(|bytes| bytes.iter().map(weight).sum::<u32>())
        .and_then(|bytes| bytes.first_chunk())
        .map(window)
}
