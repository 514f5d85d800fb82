//! Circuit breakers: stop calling what keeps failing, then test it gently.
//!
//! ```text
//!            failures in a row                  time is over, a call comes
//!   closed ─────────────────────► open ─────────────────────────► half-open
//!      ▲                            ▲                                │
//!      │                            └──────── a probe fails ─────────┤
//!      └───────────────────────────────────── a probe works ─────────┘
//! ```
//!
//! A breaker is *closed* while calls flow, *open* while every call is refused, and *half-open*
//! while single probes test whether the target is back. Each change begins a new era, and what a
//! call of an earlier era comes to decides nothing any more: a late answer from before the trip
//! says how things were, not how they are.

use std::time::Duration;

use model::{FailureClass, Outcome, Timestamp};

/// What a person may tune.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerOptions {
    /// Failures in a row that open a breaker; 0 never opens it. Default: 5.
    pub failures_max: u32,
    /// How long it stays open the first time; each further time twice as long. Default: 30 s.
    pub open_for: Duration,
    /// The longest that it stays open. Default: 5 min.
    pub open_for_max: Duration,
    /// Probes at the same time. Default: 1.
    pub probes_max: u32,
    /// After how long a probe that says nothing no longer keeps others out. Default: 15 min.
    pub probe_for: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self {
            failures_max: 5,
            open_for: Duration::from_secs(30),
            open_for_max: Duration::from_secs(300),
            probes_max: 1,
            probe_for: Duration::from_secs(900),
        }
    }
}

/// What a call says about its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Heard {
    /// It is there: it answered, if only to say that the caller was wrong.
    Worked,
    /// It is not.
    Failed,
    /// Nothing: the call was cancelled, or says more about its caller.
    Nothing,
}

impl Heard {
    /// Returns what an outcome says about the target. Only faults of the infrastructure count
    /// against it: a caller's mistake, and a caller's spent quota, are the caller's.
    #[must_use]
    pub const fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Worked,
            Outcome::Cancelled | Outcome::Unknown | Outcome::Replayed => Self::Nothing,
            Outcome::Failed { class } => match class {
                FailureClass::Timeout
                | FailureClass::Unavailable
                | FailureClass::Overload
                | FailureClass::Server
                | FailureClass::OutOfMemory => Self::Failed,
                FailureClass::RateLimit | FailureClass::Quota => Self::Nothing,
                FailureClass::Error
                | FailureClass::Invalid
                | FailureClass::Denied
                | FailureClass::ContextOverflow
                | FailureClass::TooLarge
                | FailureClass::Authentication
                | FailureClass::NotFound
                | FailureClass::MalformedToolHistory
                | FailureClass::ContentFilter
                | FailureClass::BadToolCall => Self::Worked,
            },
        }
    }
}

/// Where a breaker stands, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Calls flow.
    Closed,
    /// Every call is refused.
    Open,
    /// Probes test the target.
    HalfOpen,
}

impl Phase {
    /// Returns the name that the record uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// A change of a breaker, which is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where it stood.
    pub from: Phase,
    /// Where it stands.
    pub to: Phase,
    /// Until when it stays open.
    pub until: Option<Timestamp>,
    /// Failures in a row that led to it.
    pub failures: u32,
}

/// Lets one call through, and is given back with what the call says. It cannot be copied, so that
/// one call is heard once.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    era: u64,
    /// Which probe the call is, if it is one.
    probe: Option<u64>,
}

/// Whether a call may go.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Pass(Ticket),
    /// It may not.
    Refuse {
        /// When to try again.
        retry_at: Timestamp,
    },
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Closed {
        /// Failures in a row.
        failures: u32,
    },
    Open {
        until: Timestamp,
    },
    HalfOpen {
        /// The probes under way, each with the time after which it counts as lost.
        probes: Vec<(u64, Timestamp)>,
    },
}

/// The breaker of one target.
#[derive(Debug, PartialEq, Eq)]
pub struct Breaker {
    state: State,
    /// Counts changes.
    era: u64,
    /// How often in a row it opened without closing in between.
    opened: u32,
    /// Numbers probes.
    probes: u64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: State::Closed { failures: 0 },
            era: 0,
            opened: 0,
            probes: 0,
        }
    }
}

impl Breaker {
    /// Returns where it stands.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self.state {
            State::Closed { .. } => Phase::Closed,
            State::Open { .. } => Phase::Open,
            State::HalfOpen { .. } => Phase::HalfOpen,
        }
    }

    /// Takes up where the record left it: `to` since `at`, with the changes before it told in
    /// their order. What is half-open then has no probes any more, so the next call is one.
    pub fn restore(&mut self, options: &BreakerOptions, to: Phase, at: Timestamp) {
        self.era += 1;
        self.state = match to {
            Phase::Closed => {
                self.opened = 0;
                State::Closed { failures: 0 }
            }
            Phase::Open => {
                self.opened = self.opened.saturating_add(1);
                State::Open {
                    until: later(at, self.rest(options)),
                }
            }
            Phase::HalfOpen => State::Open { until: at },
        };
    }

    /// Returns when a call would be let through, if not now. Changes nothing.
    #[must_use]
    pub fn refuses(&self, options: &BreakerOptions, now: Timestamp) -> Option<Timestamp> {
        match &self.state {
            State::Closed { .. } => None,
            State::Open { until } => (now < *until).then_some(*until),
            State::HalfOpen { probes } => {
                let under_way = probes.iter().filter(|(_, lost)| now < *lost);
                let full = under_way.count() >= probes_max(options);
                // A probe says soon how it is; how soon nobody knows.
                full.then(|| later(now, options.open_for))
            }
        }
    }

    /// Decides about a call, and says what that changes.
    pub fn admit(
        &mut self,
        options: &BreakerOptions,
        now: Timestamp,
    ) -> (Admission, Option<Change>) {
        if let Some(retry_at) = self.refuses(options, now) {
            return (Admission::Refuse { retry_at }, None);
        }
        let mut change = None;
        if let State::Open { .. } = self.state {
            change = Some(self.turn(State::HalfOpen { probes: Vec::new() }, 0));
        }
        let probe = match &mut self.state {
            State::HalfOpen { probes } => {
                probes.retain(|(_, lost)| now < *lost);
                self.probes += 1;
                probes.push((self.probes, later(now, options.probe_for)));
                Some(self.probes)
            }
            State::Closed { .. } | State::Open { .. } => None,
        };
        let ticket = Ticket {
            era: self.era,
            probe,
        };
        (Admission::Pass(ticket), change)
    }

    /// Takes in what a call came to, in whichever way it ended, and says what that changes.
    pub fn hear(
        &mut self,
        options: &BreakerOptions,
        ticket: Ticket,
        heard: Heard,
        now: Timestamp,
    ) -> Option<Change> {
        if ticket.era != self.era {
            return None;
        }
        match &mut self.state {
            State::Closed { failures } => match heard {
                Heard::Nothing => None,
                Heard::Worked => {
                    *failures = 0;
                    None
                }
                Heard::Failed => {
                    *failures = failures.saturating_add(1);
                    let failures = *failures;
                    let trips = options.failures_max > 0 && failures >= options.failures_max;
                    trips.then(|| self.open(options, failures, now))
                }
            },
            State::HalfOpen { probes } => {
                let number = ticket.probe?;
                let at = probes.iter().position(|(probe, _)| *probe == number);
                // One that was given up as lost was replaced by another, which decides.
                probes.swap_remove(at?);
                match heard {
                    Heard::Nothing => None,
                    Heard::Worked => {
                        self.opened = 0;
                        Some(self.turn(State::Closed { failures: 0 }, 0))
                    }
                    Heard::Failed => Some(self.open(options, 1, now)),
                }
            }
            // Nothing passes while it is open, so nobody has a ticket of this era.
            State::Open { .. } => None,
        }
    }

    fn open(&mut self, options: &BreakerOptions, failures: u32, now: Timestamp) -> Change {
        self.opened = self.opened.saturating_add(1);
        let until = later(now, self.rest(options));
        self.turn(State::Open { until }, failures)
    }

    fn turn(&mut self, state: State, failures: u32) -> Change {
        let from = self.phase();
        self.state = state;
        self.era += 1;
        let until = match self.state {
            State::Open { until } => Some(until),
            State::Closed { .. } | State::HalfOpen { .. } => None,
        };
        Change {
            from,
            to: self.phase(),
            until,
            failures,
        }
    }

    /// How long it stays open this time.
    fn rest(&self, options: &BreakerOptions) -> Duration {
        let doubled = 1_u32 << self.opened.saturating_sub(1).min(16);
        options
            .open_for
            .saturating_mul(doubled)
            .min(options.open_for_max.max(options.open_for))
    }
}

fn probes_max(options: &BreakerOptions) -> usize {
    usize::try_from(options.probes_max.max(1)).unwrap_or(usize::MAX)
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    Timestamp(now.0.saturating_add(micros))
}
