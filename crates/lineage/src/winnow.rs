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

/// Picks fingerprints from a stream of word hashes.
#[derive(Debug)]
pub(crate) struct Winnow {
    words: [u64; GRAM],
    grams: [u64; WINDOW],
    /// Words so far.
    count: usize,
    /// Index of the k-gram picked last, by its number.
    picked: usize,
}

impl Winnow {
    pub(crate) const fn new() -> Self {
        Self {
            words: [0; GRAM],
            grams: [u64::MAX; WINDOW],
            count: 0,
            picked: usize::MAX,
        }
    }

    /// Takes the next word; calls `pick` with a fingerprint and the number of its first word.
    pub(crate) fn word(&mut self, hash: u64, mut pick: impl FnMut(u64, usize)) {
        self.words[self.count % GRAM] = hash;
        self.count += 1;
        if self.count < GRAM {
            return;
        }
        let gram = self.count - GRAM;
        // Two independent products instead of a chain of four.
        let word = |back: usize| self.words[(self.count + back) % GRAM];
        let front = mix(word(0) ^ 0xa076_1d64_78bd_642f, word(1));
        let rear = mix(word(2) ^ 0xe703_7ed1_a0b4_28db, word(3));
        self.grams[gram % WINDOW] = mix(front ^ 0x8ebc_6af0_9c88_c6e3, rear);
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
            if self.grams[last % WINDOW] > self.grams[self.picked % WINDOW] {
                return;
            }
            self.picked = last;
        } else {
            let mut best = first;
            for gram in first..=last {
                if self.grams[gram % WINDOW] <= self.grams[best % WINDOW] {
                    best = gram;
                }
            }
            self.picked = best;
        }
        pick(self.grams[self.picked % WINDOW], self.picked);
    }
}
