//! How often, and after what wait, a call is tried again.
//!
//! There is one owner of retries: this gateway. It spends from a budget that calls fill, so that
//! an upstream that is down is not asked several times as often as usual (the way gRPC and Finagle
//! throttle retries), and tells clients not to add tries of their own.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::Retry;

/// Retries that may be made before any call has earned them.
const RESERVE: i64 = 10;

/// What calls have earned for retries, in hundredths.
#[derive(Debug)]
pub(crate) struct Budget {
    hundredths: AtomicI64,
    percent: i64,
}

impl Budget {
    pub(crate) fn new(percent: u32) -> Self {
        Self {
            hundredths: AtomicI64::new(RESERVE * 100),
            percent: i64::from(percent),
        }
    }

    /// Counts a call.
    pub(crate) fn earn(&self) {
        let most = RESERVE * 1_000;
        let _ = self
            .hundredths
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |have| {
                Some((have + self.percent).min(most))
            });
    }

    /// Takes one retry; none is left where it says no.
    pub(crate) fn spend(&self) -> bool {
        self.hundredths
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |have| {
                (have >= 100).then_some(have - 100)
            })
            .is_ok()
    }
}

/// What would help against a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Helps {
    /// Asking the same upstream again, later.
    pub(crate) later: bool,
    /// Asking another one.
    pub(crate) elsewhere: bool,
}

impl Helps {
    pub(crate) const NOTHING: Self = Self {
        later: false,
        elsewhere: false,
    };
}

/// What comes after a try that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The next upstream, which this call has not asked yet. It has nothing to recover from, so it
    /// need not be waited for and costs no budget.
    Elsewhere,
    /// An upstream that was asked before, after this wait, if the budget allows it.
    Again(Duration),
    /// Nothing.
    GiveUp,
}

/// Decides what comes after `tried` tries over so many upstreams, which are asked in turn. `asked`
/// is how long the next of them wants to be left alone.
pub(crate) fn next(
    options: &Retry,
    (tried, upstreams): (u32, u32),
    helps: Helps,
    asked: Option<Duration>,
    chance: u8,
) -> Next {
    if tried >= options.attempts_max {
        return Next::GiveUp;
    }
    if tried < upstreams {
        return if helps.elsewhere {
            Next::Elsewhere
        } else {
            Next::GiveUp
        };
    }
    if !helps.later {
        return Next::GiveUp;
    }
    let rounds = tried / upstreams.max(1);
    // Within a round the wait was made already.
    if !tried.is_multiple_of(upstreams.max(1)) && asked.is_none() {
        return Next::Again(Duration::ZERO);
    }
    wait(options, rounds, asked, chance).map_or(Next::GiveUp, Next::Again)
}

/// Returns how long to wait before the try after `tried` tries, or none where the upstream asks
/// for more patience than is allowed. `chance` spreads waits of many calls.
fn wait(options: &Retry, tried: u32, asked: Option<Duration>, chance: u8) -> Option<Duration> {
    if let Some(asked) = asked {
        return (asked <= options.retry_after_max).then_some(asked);
    }
    let doubled = options
        .initial_interval
        .saturating_mul(1 << tried.saturating_sub(1).min(16))
        .min(options.maximum_interval);
    // Half of it stands, half is chance.
    Some(doubled / 2 + doubled / 2 * u32::from(chance) / 255)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_limit_and_the_upstream_is_obeyed() {
        let options = Retry::default();
        let waits: Vec<u128> = (1..=6)
            .map(|tried| wait(&options, tried, None, 255).unwrap().as_millis())
            .collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 8_000]);
        assert_eq!(wait(&options, 1, None, 0).unwrap().as_millis(), 250);
        let asked = Some(Duration::from_secs(7));
        assert_eq!(wait(&options, 1, asked, 9), asked);
        assert_eq!(wait(&options, 1, Some(Duration::from_secs(61)), 0), None);
    }

    #[test]
    fn every_upstream_is_asked_once_before_any_is_asked_again() {
        let options = Retry {
            attempts_max: 4,
            ..Retry::default()
        };
        let all = Helps {
            later: true,
            elsewhere: true,
        };
        let nexts = |helps| -> Vec<Next> {
            (1..=4)
                .map(|tried| next(&options, (tried, 2), helps, None, 255))
                .collect()
        };
        let again = |millis| Next::Again(Duration::from_millis(millis));
        assert_eq!(
            nexts(all),
            [Next::Elsewhere, again(500), again(0), Next::GiveUp]
        );
        let elsewhere = Helps {
            later: false,
            ..all
        };
        assert_eq!(nexts(elsewhere)[..2], [Next::Elsewhere, Next::GiveUp]);
        assert_eq!(nexts(Helps::NOTHING)[0], Next::GiveUp);
        let long = Some(Duration::from_secs(3_600));
        assert_eq!(next(&options, (2, 2), all, long, 0), Next::GiveUp);
        assert_eq!(next(&options, (1, 1), all, None, 255), again(500));
    }

    #[test]
    fn a_budget_is_spent_and_earned_again() {
        let budget = Budget::new(20);
        assert_eq!((0..20).filter(|_| budget.spend()).count(), 10);
        for _ in 0..4 {
            budget.earn();
        }
        assert!(!budget.spend());
        budget.earn();
        assert!(budget.spend());
    }
}
