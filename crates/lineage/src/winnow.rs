//! Fingerprints of text by winnowing.
//!
//! Schleimer, Wilkerson and Aiken, "Winnowing: local algorithms for document fingerprinting",
//! SIGMOD 2003, over words instead of characters: every window of [`WINDOW`] neighbouring k-grams
//! of [`GRAM`] words keeps its smallest hash, the rightmost of equals. A passage of
//! `GRAM + WINDOW - 1` = 9 words that two texts share therefore always shares a fingerprint.

use crate::scan::mix;

/// Words in a k-gram.
pub(crate) const GRAM: usize = 4;
/// K-grams in a window.
pub(crate) const WINDOW: usize = 6;

/// Room for the k-grams of a window, of a length by which numbers are divided fast.
const ROOM: usize = WINDOW.next_power_of_two();

/// Picks fingerprints from a stream of word hashes.
#[derive(Debug)]
pub(crate) struct Winnow {
    /// The last word, and the last two pairs of neighbours.
    word: u64,
    pairs: [u64; GRAM - 2],
    grams: [u64; ROOM],
    /// Words so far.
    count: usize,
    /// Index of the k-gram picked last, by its number.
    picked: usize,
}

impl Winnow {
    pub(crate) const fn new() -> Self {
        Self {
            word: 0,
            pairs: [0; GRAM - 2],
            grams: [u64::MAX; ROOM],
            count: 0,
            picked: usize::MAX,
        }
    }

    /// Takes the next word; calls `pick` with a fingerprint and the number of its first word.
    pub(crate) fn word(&mut self, hash: u64, mut pick: impl FnMut(u64, usize)) {
        // A k-gram is two pairs, and each pair is in two k-grams.
        let pair = mix(self.word ^ 0xa076_1d64_78bd_642f, hash);
        let [front, between] = self.pairs;
        self.word = hash;
        self.pairs = [between, pair];
        self.count += 1;
        if self.count < GRAM {
            return;
        }
        let gram = self.count - GRAM;
        self.grams[gram % ROOM] = mix(front ^ 0x8ebc_6af0_9c88_c6e3, pair);
        if gram + 1 >= WINDOW {
            self.window(gram, &mut pick);
        }
    }

    /// Ends the text. One too short to fill a window keeps its smallest k-gram.
    pub(crate) fn end(&mut self, mut pick: impl FnMut(u64, usize)) {
        if self.picked == usize::MAX && self.count >= GRAM {
            self.window(self.count - GRAM, &mut pick);
        }
    }

    fn window(&mut self, last: usize, pick: &mut impl FnMut(u64, usize)) {
        let first = (last + 1).saturating_sub(WINDOW);
        if self.picked != usize::MAX && self.picked >= first {
            // The old minimum is still inside: only a newcomer can beat it.
            if self.grams[last % ROOM] > self.grams[self.picked % ROOM] {
                return;
            }
            self.picked = last;
        } else {
            let mut best = first;
            for gram in first..=last {
                if self.grams[gram % ROOM] <= self.grams[best % ROOM] {
                    best = gram;
                }
            }
            self.picked = best;
        }
        pick(self.grams[self.picked % ROOM], self.picked);
    }
}
