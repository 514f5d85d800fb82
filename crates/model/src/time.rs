//! Time: wall-clock stamps from sources, and hybrid logical time for the record itself.
//!
//! Hybrid logical clocks follow Kulkarni et al., "Logical Physical Clocks", 2014: the wall part
//! is the largest wall time seen so far, and a counter breaks ties, so causal order survives a
//! clock that is set back.

use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01T00:00:00Z, as a source reported them. May be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// When the record learned something: never decreases along a cause, whatever clocks do.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(into = "(u64, u32)", from = "(u64, u32)")]
pub struct HybridTime {
    /// Microseconds since 1970: the largest wall time seen so far.
    pub wall: u64,
    /// Counts events within one wall time.
    pub tick: u32,
}

impl HybridTime {
    /// Returns whole milliseconds since 1970, as ids carry them.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.wall / 1_000
    }
}

impl From<HybridTime> for (u64, u32) {
    fn from(time: HybridTime) -> Self {
        (time.wall, time.tick)
    }
}

impl From<(u64, u32)> for HybridTime {
    fn from((wall, tick): (u64, u32)) -> Self {
        Self { wall, tick }
    }
}

/// Hands out [`HybridTime`]s that only grow. The wall clock is an argument.
#[derive(Clone, Copy, Debug, Default)]
pub struct HybridClock {
    last: HybridTime,
}

impl HybridClock {
    /// Starts after the last time that a record holds.
    #[must_use]
    pub const fn resume(last: HybridTime) -> Self {
        Self { last }
    }

    /// Returns the time of the next event, given the wall clock in microseconds since 1970.
    pub fn next(&mut self, wall: u64) -> HybridTime {
        self.last = if wall > self.last.wall {
            HybridTime { wall, tick: 0 }
        } else {
            advance(self.last)
        };
        self.last
    }

    /// Takes note of a time from elsewhere, so that what follows is later than it.
    pub fn observe(&mut self, other: HybridTime) {
        self.last = self.last.max(other);
    }
}

/// The next time after `time`: a full counter moves the wall part on by one microsecond.
const fn advance(time: HybridTime) -> HybridTime {
    match time.tick.checked_add(1) {
        Some(tick) => HybridTime {
            wall: time.wall,
            tick,
        },
        None => HybridTime {
            wall: time.wall + 1,
            tick: 0,
        },
    }
}
