//! Shares and F1 with 95 % intervals.

use std::fmt;

pub(crate) use counts::{Tally, line};

#[path = "../../../../lineage/benches/lineage/score.rs"]
pub(crate) mod counts;

/// How many of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) hit: usize,
    pub(crate) of: usize,
}

impl Share {
    pub(crate) fn count(&mut self, hit: bool) {
        self.hit += usize::from(hit);
        self.of += 1;
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of cases are small")]
    pub(crate) fn share(self) -> f64 {
        self.hit as f64 / (self.of as f64).max(1.0)
    }
}

impl fmt::Display for Share {
    /// With the interval of Wilson.
    #[expect(clippy::cast_precision_loss, reason = "counts of cases are small")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, p, z) = ((self.of as f64).max(1.0), self.share(), 1.96_f64);
        let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
        let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt() / (1.0 + z * z / n);
        let (low, high) = ((middle - half).max(0.0), (middle + half).min(1.0));
        let (hit, of) = (self.hit, self.of);
        write!(
            f,
            "{hit:>4} of {of:<4} {:5.1} % ({:.1}–{:.1})",
            p * 100.0,
            low * 100.0,
            high * 100.0
        )
    }
}
