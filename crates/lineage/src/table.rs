//! A map from hashes that forgets: bounded memory without a clock.
//!
//! Two generations. New entries go into the young one; when it holds half of the bound, it becomes
//! the old one and what was old is dropped. An old entry that is looked up moves to the young one,
//! so what goes is what was neither made nor used for longest.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Keys are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u64");
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// A map whose keys are hashes already.
pub(crate) type Map<V> = HashMap<u64, V, BuildHasherDefault<AsIs>>;

/// Entries for which a table that is cleared keeps the room.
const ROOM_KEPT: usize = 8_192;

/// A bounded map from hashes.
#[derive(Debug)]
pub(crate) struct Table<V> {
    young: Map<V>,
    old: Map<V>,
    max: usize,
}

impl<V: Copy> Table<V> {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            young: Map::default(),
            old: Map::default(),
            max: max.max(2),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Forgets all entries. The room for few stays; clearing that for many takes longer than making
    /// it anew.
    pub(crate) fn clear(&mut self) {
        self.old = Map::default();
        if self.young.capacity() > ROOM_KEPT {
            self.young = Map::default();
        } else {
            self.young.clear();
        }
    }

    /// Makes room for so many more at once.
    pub(crate) fn reserve(&mut self, more: usize) {
        let room = (self.max / 2).saturating_sub(self.young.len());
        self.young.reserve(more.min(room));
    }

    pub(crate) fn get(&mut self, key: u64) -> Option<V> {
        if let Some(value) = self.young.get(&key) {
            return Some(*value);
        }
        if self.old.is_empty() {
            return None;
        }
        let value = self.old.remove(&key)?;
        self.put(key, value);
        Some(value)
    }

    /// Enters a value, over whatever was there.
    pub(crate) fn put(&mut self, key: u64, value: V) {
        if self.young.len() >= self.max / 2 && !self.young.contains_key(&key) {
            self.turn();
        }
        self.young.insert(key, value);
    }

    /// Drops what is old, and makes what is young old. The room stays: to grow again would hold up
    /// whoever comes then.
    fn turn(&mut self) {
        std::mem::swap(&mut self.old, &mut self.young);
        self.young.clear();
    }

    /// As [`get`](Self::get), and tells of each entry that had to go for it.
    pub(crate) fn get_telling(&mut self, key: u64, gone: impl FnMut(u64, V)) -> Option<V> {
        if let Some(value) = self.young.get(&key) {
            return Some(*value);
        }
        let value = self.old.remove(&key)?;
        self.put_telling(key, value, gone);
        Some(value)
    }

    /// As [`put`](Self::put), and tells of each entry that had to go for it.
    pub(crate) fn put_telling(&mut self, key: u64, value: V, mut gone: impl FnMut(u64, V)) {
        if self.young.len() >= self.max / 2 && !self.young.contains_key(&key) {
            let dropped = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            for (key, value) in dropped {
                // What was entered anew since is still there.
                if !self.old.contains_key(&key) {
                    gone(key, value);
                }
            }
        }
        self.young.insert(key, value);
    }

    /// Returns a value without using it.
    pub(crate) fn peek(&self, key: u64) -> Option<V> {
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }

    /// Returns all entries; one that was entered anew may come with its earlier value too.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, V)> {
        let all = self.young.iter().chain(&self.old);
        all.map(|(key, value)| (*key, *value))
    }

    /// Enters a value unless there is one, and returns the one that is there then, to change.
    pub(crate) fn first(&mut self, key: u64, value: V) -> &mut V {
        if !self.old.is_empty()
            && let Some(known) = self.old.remove(&key)
        {
            self.put(key, known);
        } else if self.young.len() >= self.max / 2 && !self.young.contains_key(&key) {
            self.turn();
        }
        self.young.entry(key).or_insert(value)
    }
}
