//! Byte strings, found by a few bytes of theirs at every eighth place that is looked at.
//!
//! A string is known by the windows that begin at its first eight bytes: wherever it stands, one of
//! them begins at a multiple of eight. Windows are wide, because few of those occur by chance; of
//! a string that is too short for that they are narrow.

/// Bytes that are read together, and how far apart.
const STRIDE: usize = 8;

/// How long a wide window is. A narrow one is a stride long.
const WINDOW: usize = 12;

/// Where so many bytes stand, a wide window that begins at a multiple of eight is among them.
pub(crate) const WIDE: usize = STRIDE - 1 + WINDOW;

/// The same of a narrow one. Shorter strings are not found.
pub(crate) const NARROW: usize = 2 * STRIDE - 1;

/// Bits of the set for each window in it: so many that few say yes by chance.
const BITS_EACH: usize = 32;

/// A set of so many bits stays close to the processor.
const BITS_MAX: usize = 1 << 22;

const BITS_MIN: usize = 1 << 13;

/// A set that may say yes where it should say no. What tells of one member lies in one word.
#[derive(Debug)]
struct Bits(Box<[u64]>);

/// A window of a string.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    hash: u64,
    /// The number of the string.
    pub(crate) of: u32,
    /// Where in it the window begins.
    pub(crate) at: u8,
}

/// The windows of many strings.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    wide: Known,
    narrow: Known,
}

/// Windows of one width.
#[derive(Debug)]
struct Known {
    bits: Bits,
    /// By hash; of the same, those that begin further on in their string first.
    all: Box<[Window]>,
    /// Where those begin whose hashes have the same high end.
    starts: Box<[u32]>,
}

impl Windows {
    /// Takes in strings, numbered as they come.
    pub(crate) fn of<'a>(strings: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let (mut wide, mut narrow) = (Vec::new(), Vec::new());
        for (of, string) in (0..).zip(strings) {
            let first = (0_u8..).take(STRIDE);
            if string.len() >= WIDE {
                let hash = |bytes: &[u8]| pair(word(bytes), word(&bytes[WINDOW - STRIDE..]));
                let hashes = first.zip(string.windows(WINDOW).map(hash));
                wide.extend(hashes.map(|(at, hash)| Window { hash, of, at }));
            } else {
                let hashes = first.zip(string.windows(STRIDE).map(|bytes| single(word(bytes))));
                narrow.extend(hashes.map(|(at, hash)| Window { hash, of, at }));
            }
        }
        Self {
            wide: Known::of(wide),
            narrow: Known::of(narrow),
        }
    }

    /// Returns the first answer that `known` has for a place in a text and the windows that may
    /// begin there, going through the text in order; through the narrow ones after the wide.
    pub(crate) fn find<T>(
        &self,
        text: &[u8],
        mut known: impl FnMut(usize, &[Window]) -> Option<T>,
    ) -> Option<T> {
        let wide = |window: &[u8; WINDOW]| pair(word(window), word(&window[WINDOW - STRIDE..]));
        let narrow = |window: &[u8; STRIDE]| single(word(window));
        match self.wide.find(text, wide, &mut known) {
            None => self.narrow.find(text, narrow, known),
            found => found,
        }
    }
}

impl Default for Known {
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

impl Known {
    fn of(mut all: Vec<Window>) -> Self {
        all.sort_unstable_by_key(|window| (window.hash, u8::MAX - window.at, window.of));
        let mut bits = Bits::new(all.len());
        for window in &all {
            bits.set(window.hash);
        }
        let count = all.len().next_power_of_two();
        let mut starts = Vec::with_capacity(count + 1);
        for high in 0..=count {
            let before = starts.last().map_or(0, |before| *before as usize);
            let rest = all[before..].iter();
            let below = rest.take_while(|window| high_end(window.hash, count) < high);
            starts.push(u32::try_from(before + below.count()).unwrap_or(u32::MAX));
        }
        Self {
            bits,
            all: all.into(),
            starts: starts.into(),
        }
    }

    #[inline]
    fn find<const LEN: usize, T>(
        &self,
        text: &[u8],
        hash: impl Fn(&[u8; LEN]) -> u64,
        mut known: impl FnMut(usize, &[Window]) -> Option<T>,
    ) -> Option<T> {
        if self.all.is_empty() {
            return None;
        }
        let mut rest = text;
        while let Some(window) = rest.first_chunk() {
            let hash = hash(window);
            if self.bits.may_have(hash)
                && let Some(same) = self.same(hash)
                && let Some(found) = known(text.len() - rest.len(), same)
            {
                return Some(found);
            }
            rest = rest.get(STRIDE..).unwrap_or_default();
        }
        None
    }

    /// The windows with a hash.
    #[cold]
    #[inline(never)]
    fn same(&self, hash: u64) -> Option<&[Window]> {
        if !self.bits.has(hash) {
            return None;
        }
        let high = high_end(hash, self.starts.len() - 1);
        let near = &self.all[self.starts[high] as usize..self.starts[high + 1] as usize];
        let from = near.partition_point(|window| window.hash < hash);
        let to = from + near[from..].partition_point(|window| window.hash == hash);
        Some(&near[from..to])
    }
}

impl Bits {
    fn new(members: usize) -> Self {
        let bits = members.saturating_mul(BITS_EACH).next_power_of_two();
        let words = bits.clamp(BITS_MIN, BITS_MAX) / u64::BITS as usize;
        Self(vec![0; words].into())
    }

    fn set(&mut self, hash: u64) {
        let last = self.0.len() - 1;
        self.0[place(hash) & last] |= 1 << (hash >> 58) | 1 << (hash >> 52 & 63);
    }

    /// Whether the first bit of a hash is set, which most of those that are not in the set tell by.
    #[inline]
    fn may_have(&self, hash: u64) -> bool {
        let last = self.0.len() - 1;
        self.0[place(hash) & last] >> (hash >> 58) & 1 == 1
    }

    /// Whether the other bit is set too.
    fn has(&self, hash: u64) -> bool {
        let last = self.0.len() - 1;
        self.0[place(hash) & last] >> (hash >> 52 & 63) & 1 == 1
    }
}

/// The high end of a hash, as one of `count` numbers, which is a power of two.
const fn high_end(hash: u64, count: usize) -> usize {
    match count.trailing_zeros() {
        0 => 0,
        bits => (hash >> (u64::BITS - bits)) as usize,
    }
}

/// The end of a word's number. Bits further up in a product depend on more of its factors.
#[inline]
const fn place(hash: u64) -> usize {
    (hash >> 32) as usize
}

#[inline]
fn word(bytes: &[u8]) -> u64 {
    let first = bytes.first_chunk().expect("as long as a word");
    u64::from_le_bytes(*first)
}

#[inline]
const fn single(word: u64) -> u64 {
    word.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Of two words that overlap.
#[inline]
const fn pair(this: u64, next: u64) -> u64 {
    single(this ^ next.rotate_left(27))
}
