//! Calls whose end comes another way than their answer: they go on as a task, or their stream is
//! taken up again later.
//!
//! What nobody asks about any more is forgotten, the least used first; its intent then stands
//! without an outcome, which reads as unknown.

use std::fmt;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

/// How many calls are waited for.
const PARKED_MAX: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// Calls that are waited for, by what will tell of their end.
pub(crate) struct Parked<K, V>(Mutex<LruCache<K, Vec<V>>>);

impl<K: Hash + Eq, V> Default for Parked<K, V> {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(PARKED_MAX)))
    }
}

impl<K, V> fmt::Debug for Parked<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parked").finish_non_exhaustive()
    }
}

impl<K: Hash + Eq, V> Parked<K, V> {
    /// Waits for one more call under a key.
    pub(crate) fn put(&self, key: K, open: V) {
        self.all().get_or_insert_mut(key, Vec::new).push(open);
    }

    /// Returns the calls of a key, which are no longer waited for.
    pub(crate) fn take(&self, key: &K) -> Vec<V> {
        self.all().pop(key).unwrap_or_default()
    }

    /// Returns those calls of a key that are like this, which are no longer waited for.
    pub(crate) fn take_those(&self, key: &K, like: impl Fn(&V) -> bool) -> Vec<V> {
        let mut all = self.all();
        let Some(parked) = all.get_mut(key) else {
            return Vec::new();
        };
        let taken = parked.extract_if(.., |open| like(open)).collect();
        if parked.is_empty() {
            all.pop(key);
        }
        taken
    }

    /// Waits for none any more.
    pub(crate) fn clear(&self) {
        self.all().clear();
    }

    fn all(&self) -> MutexGuard<'_, LruCache<K, Vec<V>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
