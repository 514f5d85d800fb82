//! Loops: who makes the same call with the same arguments again and again.
//!
//! Remembers the last call of each place, which is an agent in a run, and how often in a row it
//! was made. Any other call of that place ends the row.

use std::fmt;
use std::num::NonZeroUsize;

use lru::LruCache;
use model::{Digest, RunId};

/// Places that are remembered; the least used are forgotten first.
const PLACES_MAX: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");

/// The last call of each place.
pub struct Loops(LruCache<(RunId, String), (Digest, u32)>);

impl Default for Loops {
    fn default() -> Self {
        Self(LruCache::new(PLACES_MAX))
    }
}

impl fmt::Debug for Loops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loops").finish_non_exhaustive()
    }
}

impl Loops {
    /// Counts a call, and returns how often it was made in a row before this time.
    pub fn made(&mut self, run: RunId, agent: &str, call: Digest) -> u32 {
        let last = self
            .0
            .get_or_insert_mut((run, agent.to_owned()), || (call, 0));
        if last.0 != call {
            *last = (call, 0);
        }
        let before = last.1;
        last.1 = before.saturating_add(1);
        before
    }

    /// Returns how often a call was made in a row just before, and counts nothing.
    #[must_use]
    pub fn before(&self, run: RunId, agent: &str, call: Digest) -> u32 {
        match self.0.peek(&(run, agent.to_owned())) {
            Some((last, times)) if *last == call => *times,
            Some(_) | None => 0,
        }
    }
}
