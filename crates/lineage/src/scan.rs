//! Cuts text into words, and into the compound tokens that identifiers are made of.
//!
//! A *word* is a run of letters, digits and underscores (any byte above 127 counts as a letter). A
//! *segment* is words joined by `-`, `.`, `@` or `+`: an e-mail address, a UUID, a date, a decimal,
//! a file name. A *cluster* is segments joined by `/`, `:`, `=`, `?`, `&` or `%`: a URL, a path, a
//! time. All three are hashed without regard to ASCII case. One pass, no allocation per word.

/// What bytes a token is made of.
pub(crate) const DIGIT: u8 = 1;
pub(crate) const LOWER: u8 = 2;
pub(crate) const UPPER: u8 = 4;
pub(crate) const UNDER: u8 = 8;
const WORD: u8 = DIGIT | LOWER | UPPER | UNDER;
/// Joins words into a segment.
const NEAR: u8 = 16;
/// Joins segments into a cluster.
const FAR: u8 = 32;

/// Words in a cluster, so that hostile text cannot make one of any size.
const WORDS_MAX: usize = 64;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'z' | 128..=255 => LOWER,
            b'A'..=b'Z' => UPPER,
            b'_' => UNDER,
            b'-' | b'.' | b'@' | b'+' => NEAR,
            b'/' | b':' | b'=' | b'?' | b'&' | b'%' => FAR,
            _ => 0,
        };
        byte += 1;
    }
    table
}

/// A word, segment or cluster: where it lies, and its hash.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Token {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) hash: u64,
    /// Which of [`DIGIT`], [`LOWER`], [`UPPER`], [`UNDER`] occur in it.
    pub(crate) bytes: u8,
    /// How many tokens of the level below it spans; 1 for a word.
    pub(crate) parts: u32,
}

/// Everything between two gaps of a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cluster<'c> {
    pub(crate) words: &'c [Token],
    /// Only segments of more than one word.
    pub(crate) segments: &'c [Token],
    /// Only where it has more than one segment.
    pub(crate) whole: Option<Token>,
}

/// The tokens of a cluster as they are collected.
#[derive(Debug, Default)]
struct Collected {
    words: Vec<Token>,
    segments: Vec<Token>,
    whole: Option<Token>,
}

/// Calls `each` for every cluster of `text`, in order.
///
/// Text that looks like JSON has its escapes skipped, so that `"\nA1"` holds `A1` and not `nA1`.
pub(crate) fn scan(text: &str, seed: u64, mut each: impl FnMut(&[u8], Cluster<'_>)) {
    let bytes = text.as_bytes();
    let json = matches!(
        text.trim_ascii_start().as_bytes().first(),
        Some(b'{' | b'[' | b'"')
    );
    let mut several = Collected::default();
    let mut at = 0;
    while at < bytes.len() {
        let class = CLASS[usize::from(bytes[at])];
        if class & WORD == 0 {
            at += if json && bytes[at] == b'\\' {
                escape(&bytes[at..])
            } else {
                1
            };
            continue;
        }
        let start = at;
        let mut seen = 0;
        let mut end = CLASS[usize::from(bytes[at])];
        while end & WORD != 0 {
            seen |= end;
            at += 1;
            end = bytes.get(at).map_or(0, |byte| CLASS[usize::from(*byte)]);
        }
        if end == 0 {
            // A word by itself, as most are.
            let word = Token {
                start,
                end: at,
                hash: hash(&bytes[start..at], seed),
                bytes: seen,
                parts: 1,
            };
            let cluster = Cluster {
                words: &[word],
                segments: &[],
                whole: None,
            };
            each(bytes, cluster);
            continue;
        }
        at = collect(bytes, start, seed, &mut several);
        let cluster = Cluster {
            words: &several.words,
            segments: &several.segments,
            whole: several.whole,
        };
        each(bytes, cluster);
    }
}

/// Length of a JSON escape, the backslash included.
fn escape(bytes: &[u8]) -> usize {
    if bytes.get(1) == Some(&b'u') { 6 } else { 2 }
}

/// Reads one cluster that begins with a word at `at`; returns where it ends.
fn collect(bytes: &[u8], mut at: usize, seed: u64, cluster: &mut Collected) -> usize {
    cluster.words.clear();
    cluster.segments.clear();
    cluster.whole = None;
    let start = at;
    let mut segment_start = at;
    let mut segment_words = 0;
    let mut segment_bytes = 0;
    let mut all_bytes = 0;
    let mut segments = 0;
    loop {
        let word_start = at;
        let mut seen = 0;
        while let Some(&byte) = bytes.get(at)
            && CLASS[usize::from(byte)] & WORD != 0
        {
            seen |= CLASS[usize::from(byte)];
            at += 1;
        }
        cluster.words.push(Token {
            start: word_start,
            end: at,
            hash: hash(&bytes[word_start..at], seed),
            bytes: seen,
            parts: 1,
        });
        segment_words += 1;
        segment_bytes |= seen;
        // What joins this word to the next one, if anything does.
        let mut join = 0;
        let mut next = at;
        while let Some(&byte) = bytes.get(next)
            && CLASS[usize::from(byte)] & (NEAR | FAR) != 0
            && next < at + 3
        {
            join |= CLASS[usize::from(byte)];
            next += 1;
        }
        let joined = join != 0
            && cluster.words.len() < WORDS_MAX
            && bytes
                .get(next)
                .is_some_and(|&byte| CLASS[usize::from(byte)] & WORD != 0);
        if joined && join == NEAR {
            at = next;
            continue;
        }
        segments += 1;
        all_bytes |= segment_bytes;
        if segment_words > 1 {
            cluster.segments.push(Token {
                start: segment_start,
                end: at,
                hash: hash(&bytes[segment_start..at], seed),
                bytes: segment_bytes,
                parts: segment_words,
            });
        }
        if !joined {
            break;
        }
        at = next;
        segment_start = at;
        segment_words = 0;
        segment_bytes = 0;
    }
    if segments > 1 {
        cluster.whole = Some(Token {
            start,
            end: at,
            hash: hash(&bytes[start..at], seed),
            bytes: all_bytes,
            parts: segments,
        });
    }
    at
}

const K: u64 = 0x9e37_79b9_7f4a_7c15;
const LOW: u64 = 0x2020_2020_2020_2020;

/// Multiplies to 128 bits and folds, as wyhash does.
pub(crate) const fn mix(a: u64, b: u64) -> u64 {
    let wide = (a as u128).wrapping_mul(b as u128);
    (wide as u64) ^ ((wide >> 64) as u64)
}

/// Carries a hash on over one more item. Order counts, and equal items do not cancel out, whatever
/// the seed is.
pub(crate) const fn chain(state: u64, item: u64, seed: u64) -> u64 {
    mix(state ^ item, (seed ^ K) | 1)
}

/// Hashes bytes without regard to ASCII case. The bytes are folded by setting one bit, which also
/// merges a few signs that no two tokens differ by.
pub(crate) fn hash(bytes: &[u8], seed: u64) -> u64 {
    let mut state = seed ^ mix(bytes.len() as u64 ^ K, K);
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().expect("chunks of eight"));
        state = mix(state ^ (word | LOW), K);
    }
    mix(
        state ^ (tail(chunks.remainder()) | LOW),
        K ^ 0x5851_f42d_4c95_7f2d,
    )
}

/// Up to seven bytes in one number. Reads may overlap: the length is in the hash already.
const fn tail(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    if len >= 4 {
        four(bytes, 0) << 32 | four(bytes, len - 4)
    } else if len > 0 {
        (bytes[0] as u64) << 16 | (bytes[len / 2] as u64) << 8 | bytes[len - 1] as u64
    } else {
        0
    }
}

const fn four(bytes: &[u8], at: usize) -> u64 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as u64
}

/// Hashes bytes as they are.
pub(crate) fn hash_exact(bytes: &[u8], seed: u64) -> u64 {
    let mut state = seed ^ mix(bytes.len() as u64 ^ K, K);
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().expect("chunks of eight"));
        state = mix(state ^ word, K);
    }
    mix(state ^ tail(chunks.remainder()), K ^ 0x5851_f42d_4c95_7f2d)
}
