//! The one home of the wall clock. Everything else takes time as an argument.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Tells the wall time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Returns microseconds since 1970-01-01T00:00:00Z.
    fn wall(&self) -> u64;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock's one home")]
    fn wall(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        // A machine whose clock says "before 1970" gets hybrid time that counts from the last
        // event: order holds, and the stamps look as wrong as the clock is.
        since.map_or(0, |since| {
            u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
        })
    }
}

/// A clock that stands still until it is set, for tests.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// Starts at `wall` microseconds since 1970.
    #[must_use]
    pub const fn at(wall: u64) -> Self {
        Self(AtomicU64::new(wall))
    }

    /// Sets the time; setting it back is allowed.
    pub fn set(&self, wall: u64) {
        self.0.store(wall, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
