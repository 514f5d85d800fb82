//! When a program is started again, and which one ends for another: decided from times that are
//! given.

use std::time::Duration;

use tokio::time::Instant;

/// The wait before a program that ended is started again, doubled each time.
const FIRST: Duration = Duration::from_millis(250);

/// How long a server's programs rest after one of them ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    /// How often in a row one ended before it answered.
    failures: u32,
    not_before: Option<Instant>,
}

impl Backoff {
    /// A program ended, or did not start. One that had answered begins the row anew.
    pub(super) fn failed(&mut self, had_answered: bool, longest: Duration, now: Instant) {
        self.failures = if had_answered {
            1
        } else {
            self.failures.saturating_add(1)
        };
        let doubled = FIRST.saturating_mul(1 << (self.failures - 1).min(20));
        self.not_before = Some(now + doubled.min(longest));
    }

    /// Returns when the next may be started, if not at once.
    pub(super) const fn not_before(&self) -> Option<Instant> {
        self.not_before
    }
}

/// Returns which of the programs ends so that one more has a place: the least used, once there are
/// as many as may be.
pub(super) fn crowded_out(used: &[Instant], most: usize) -> Option<usize> {
    let least = || (0..used.len()).min_by_key(|at| used[*at]);
    (used.len() >= most).then(least).flatten()
}

/// Whether a program that nobody waits for has been unused for too long.
pub(super) fn is_idle(used: Instant, longest: Duration, now: Instant) -> bool {
    now.saturating_duration_since(used) > longest
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(1_000) + Duration::from_secs(seconds)
    }

    #[test]
    fn a_program_that_keeps_ending_rests_longer_each_time_up_to_a_limit() {
        let (now, mut backoff) = (at(0), Backoff::default());
        assert_eq!(backoff.not_before(), None, "the first is started at once");
        let mut rests = Vec::new();
        for _ in 0..40 {
            backoff.failed(false, LONGEST, now);
            rests.push(backoff.not_before().unwrap() - now);
        }
        let millis = |rest: &Duration| rest.as_millis();
        let begins: Vec<_> = rests.iter().take(8).map(millis).collect();
        assert_eq!(
            begins,
            [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000]
        );
        assert!(rests[8..].iter().all(|rest| *rest == LONGEST));
    }

    #[test]
    fn one_that_had_answered_begins_the_row_anew() {
        let (now, mut backoff) = (at(0), Backoff::default());
        for had_answered in [false, false, false, true] {
            backoff.failed(had_answered, LONGEST, now);
        }
        assert_eq!(backoff.not_before(), Some(now + FIRST));
    }

    #[test]
    fn the_least_used_ends_for_one_more_and_none_before_that() {
        let now = at(0);
        let used = [3, 1, 2].map(|seconds| now + Duration::from_secs(seconds));
        assert_eq!(crowded_out(&used, 4), None);
        assert_eq!(crowded_out(&used, 3), Some(1));
        assert_eq!(crowded_out(&[], 0), None);
    }

    #[test]
    fn one_is_idle_after_its_time_and_not_before_it() {
        let used = at(0);
        assert!(!is_idle(used, LONGEST, used + LONGEST));
        assert!(is_idle(
            used,
            LONGEST,
            used + LONGEST + Duration::from_millis(1)
        ));
        assert!(
            !is_idle(used + LONGEST, LONGEST, used),
            "time never runs backwards"
        );
    }
}
