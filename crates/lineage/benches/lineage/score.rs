//! Precision, recall and F1, with 95 % intervals from a bootstrap over runs.

/// Counts of one run.
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
    pub(crate) fn of<T: Ord>(
        found: &std::collections::BTreeSet<T>,
        truth: &std::collections::BTreeSet<T>,
    ) -> Self {
        let hit = found.intersection(truth).count();
        Self {
            hit,
            wrong: found.len() - hit,
            missed: truth.len() - hit,
        }
    }
}

fn sum(tallies: impl Iterator<Item = Tally>) -> [f64; 3] {
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

/// Prints one line: name, counts, and the three measures with their intervals.
pub(crate) fn print(name: &str, tallies: &[Tally]) {
    let [precision, recall, f1] = sum(tallies.iter().copied());
    // Runs differ more than the edges within one, so runs are drawn, a thousand times, with the
    // same numbers every time.
    let mut state = 0x853c_49e6_748f_ea9b_u64;
    let mut draws: [Vec<f64>; 3] = Default::default();
    for _ in 0..1_000 {
        let sample = (0..tallies.len()).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            tallies[(state % tallies.len() as u64) as usize]
        });
        for (list, value) in draws.iter_mut().zip(sum(sample)) {
            list.push(value);
        }
    }
    let range = |list: &mut Vec<f64>| {
        list.sort_by(f64::total_cmp);
        format!("{:.3}–{:.3}", list[25], list[974])
    };
    let [p, r, f] = &mut draws;
    let truth: usize = tallies.iter().map(|t| t.hit + t.missed).sum();
    println!(
        "{name:<58} n={truth:<5} P {precision:.3} ({})  R {recall:.3} ({})  F1 {f1:.3} ({})",
        range(p),
        range(r),
        range(f)
    );
}
