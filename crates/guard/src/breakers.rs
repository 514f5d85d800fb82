//! The breakers of all targets.

use std::fmt;
use std::num::NonZeroUsize;

use lru::LruCache;
use model::Timestamp;

use crate::breaker::{Admission, Breaker, BreakerOptions, Change, Heard, Phase, Ticket};

/// Targets that are watched; the least used are forgotten first.
const TARGETS_MAX: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// What a breaker watches, by a name that stands in the record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target(String);

impl Target {
    /// An agent that others send messages to.
    #[must_use]
    pub fn agent(name: &str) -> Self {
        Self(format!("agent:{name}"))
    }

    /// A tool of a server.
    #[must_use]
    pub fn tool(server: &str, tool: &str) -> Self {
        Self(format!("tool:{server}/{tool}"))
    }

    /// A model at an upstream.
    #[must_use]
    pub fn upstream(host: &str, model: &str) -> Self {
        Self(format!("upstream:{host}/{model}"))
    }

    /// The target that the record calls so.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns what it is: `agent`, `tool`, `upstream`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The breakers of all targets. A target that never failed has none.
pub struct Breakers(LruCache<Target, Breaker>);

impl Default for Breakers {
    fn default() -> Self {
        Self(LruCache::new(TARGETS_MAX))
    }
}

impl fmt::Debug for Breakers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breakers").finish_non_exhaustive()
    }
}

impl Breakers {
    /// Takes up where the record left a target; see [`Breaker::restore`].
    pub fn restore(&mut self, options: &BreakerOptions, target: Target, to: Phase, at: Timestamp) {
        let breaker = self.0.get_or_insert_mut(target, Breaker::default);
        breaker.restore(options, to, at);
    }

    /// Returns when a call of a target would be let through, if not now.
    #[must_use]
    pub fn refuses(
        &self,
        options: &BreakerOptions,
        target: &Target,
        now: Timestamp,
    ) -> Option<Timestamp> {
        self.0.peek(target)?.refuses(options, now)
    }

    /// Decides about a call of a target.
    pub fn admit(
        &mut self,
        options: &BreakerOptions,
        target: &Target,
        now: Timestamp,
    ) -> (Admission, Option<Change>) {
        self.of(target).admit(options, now)
    }

    /// Takes in what a call of a target came to.
    pub fn hear(
        &mut self,
        options: &BreakerOptions,
        target: &Target,
        ticket: Ticket,
        heard: Heard,
        now: Timestamp,
    ) -> Option<Change> {
        self.of(target).hear(options, ticket, heard, now)
    }

    /// Returns how many breakers are not closed, by the kind of their targets.
    #[must_use]
    pub fn open(&self, kind: &str) -> usize {
        let open = |(target, breaker): &(&Target, &Breaker)| {
            target.kind() == kind && breaker.phase() != Phase::Closed
        };
        self.0.iter().filter(open).count()
    }

    fn of(&mut self, target: &Target) -> &mut Breaker {
        self.0.get_or_insert_mut(target.clone(), Breaker::default)
    }
}
