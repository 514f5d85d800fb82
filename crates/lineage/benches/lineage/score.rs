//! Precision, recall and F1, with 95 % intervals from a bootstrap over cases.
//!
//! The tests of `recover` count with the same.

use std::collections::BTreeSet;

/// Counts of one case.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Found and true.
    pub(crate) hit: usize,
    /// Found and not true.
    pub(crate) wrong: usize,
    /// True and not found.
    pub(crate) missed: usize,
}

impl Tally {
    /// Compares two sets.
    pub(crate) fn of<T: Ord>(found: &BTreeSet<T>, truth: &BTreeSet<T>) -> Self {
        let hit = found.intersection(truth).count();
        Self {
            hit,
            wrong: found.len() - hit,
            missed: truth.len() - hit,
        }
    }
}

/// Precision, recall and F1 over all cases together.
#[expect(clippy::cast_precision_loss, reason = "counts of calls are small")]
pub(crate) fn measures(tallies: impl Iterator<Item = Tally>) -> [f64; 3] {
    let mut all = Tally::default();
    for tally in tallies {
        all.hit += tally.hit;
        all.wrong += tally.wrong;
        all.missed += tally.missed;
    }
    let share = |part: usize, whole: usize| {
        if whole == 0 {
            1.0
        } else {
            part as f64 / whole as f64
        }
    };
    [
        share(all.hit, all.hit + all.wrong),
        share(all.hit, all.hit + all.missed),
        share(2 * all.hit, 2 * all.hit + all.wrong + all.missed),
    ]
}

/// Precision, recall and F1 with intervals from cases drawn again a thousand times, with the same
/// numbers every time: cases differ more than what is counted within one.
pub(crate) fn line(tallies: &[Tally]) -> String {
    let mut state = 0x853c_49e6_748f_ea9b_u64;
    let mut draws: [Vec<f64>; 3] = Default::default();
    for _ in 0..1_000 {
        let sample = (0..tallies.len()).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = state % tallies.len() as u64;
            tallies[usize::try_from(at).unwrap()]
        });
        for (list, value) in draws.iter_mut().zip(measures(sample)) {
            list.push(value);
        }
    }
    let [p, r, f] = measures(tallies.iter().copied());
    let [of_p, of_r, of_f] = draws;
    let range = |value: f64, mut list: Vec<f64>| {
        list.sort_by(f64::total_cmp);
        format!("{value:.3} ({:.3}–{:.3})", list[25], list[974])
    };
    let (p, r, f) = (range(p, of_p), range(r, of_r), range(f, of_f));
    format!("P {p}  R {r}  F1 {f}")
}
