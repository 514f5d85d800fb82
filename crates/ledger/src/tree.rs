//! Reading a tree from its tiles: roots, proofs and single entries.
//!
//! What is read is believed. A proof that is built from a damaged tile does not verify, and
//! an audit says which tile it was.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::digest::Digest;
use crate::merkle::{Frontier, empty_root, fold, node_hash};
use crate::tile::{Level, Tile, TileError, TileReader, decode_bundle, read_tile, tile_at};

/// How many tiles are remembered between reads: 64 of 8 KiB.
const CACHE_TILES: usize = 64;

/// The first `size` entries of a log, as its tiles state them.
#[derive(Debug)]
pub struct Tree<R> {
    reader: R,
    size: u64,
    cache: RefCell<HashMap<Tile, Rc<Vec<u8>>>>,
}

impl<R: TileReader> Tree<R> {
    /// Returns the tree of the first `size` entries. Nothing is read yet.
    pub fn new(reader: R, size: u64) -> Self {
        Self {
            reader,
            size,
            cache: RefCell::default(),
        }
    }

    /// Returns how many entries the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the root over all entries.
    ///
    /// # Errors
    ///
    /// When a tile cannot be read.
    pub fn root(&self) -> Result<Digest, TileError> {
        self.root_at(self.size)
    }

    /// Returns the root over the first `size` entries.
    ///
    /// # Errors
    ///
    /// When there are fewer, or a tile cannot be read.
    pub fn root_at(&self, size: u64) -> Result<Digest, TileError> {
        Ok(self.frontier_at(size)?.root())
    }

    /// Returns the right edge of the tree of the first `size` entries.
    ///
    /// # Errors
    ///
    /// When there are fewer, or a tile cannot be read.
    pub fn frontier_at(&self, size: u64) -> Result<Frontier, TileError> {
        self.within(size, self.size)?;
        let mut subtrees = Vec::with_capacity(size.count_ones() as usize);
        let mut start = 0;
        for height in (0..u64::BITS)
            .rev()
            .filter(|height| size >> height & 1 == 1)
        {
            subtrees.push(self.node(height, start >> height)?);
            start += 1 << height;
        }
        Ok(Frontier::from_parts(size, subtrees).expect("one subtree for each 1 of the size"))
    }

    /// Returns the hash of the entry at `index`.
    ///
    /// # Errors
    ///
    /// When there is no such entry, or its tile cannot be read.
    pub fn leaf(&self, index: u64) -> Result<Digest, TileError> {
        self.within(index.saturating_add(1), self.size)?;
        self.node(0, index)
    }

    /// Returns the entry at `index`.
    ///
    /// # Errors
    ///
    /// When there is no such entry, or its bundle cannot be read.
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, TileError> {
        let beyond = TileError::Beyond {
            asked: index,
            size: self.size,
        };
        let tile = tile_at(Level::Entries, index / 256, self.size).ok_or(beyond)?;
        self.within(index.saturating_add(1), self.size)?;
        let bytes = self.tile(tile)?;
        let slot = usize::try_from(index % 256).expect("below 256");
        Ok(decode_bundle(tile, &bytes)?[slot].to_vec())
    }

    /// Returns the hashes that lead from the entry at `index` to the root over the first `size`
    /// entries, the sibling of the leaf first (RFC 6962 section 2.1.1).
    ///
    /// # Errors
    ///
    /// When there is no such entry or size, or a tile cannot be read.
    pub fn prove_inclusion(&self, index: u64, size: u64) -> Result<Vec<Digest>, TileError> {
        self.within(size, self.size)?;
        self.within(index.saturating_add(1), size)?;
        let mut path = Vec::new();
        let (mut low, mut high) = (0, size);
        while high - low > 1 {
            let middle = low + split(high - low);
            if index < middle {
                path.push(self.range(middle, high)?);
                high = middle;
            } else {
                path.push(self.range(low, middle)?);
                low = middle;
            }
        }
        path.reverse();
        Ok(path)
    }

    /// Returns the hashes that show that the tree of `old` entries is the beginning of the tree of
    /// `new` entries (RFC 6962 section 2.1.2).
    ///
    /// # Errors
    ///
    /// When there are fewer than `new` entries, `old` is larger, or a tile cannot be read.
    pub fn prove_consistency(&self, old: u64, new: u64) -> Result<Vec<Digest>, TileError> {
        self.within(new, self.size)?;
        self.within(old, new)?;
        let mut path = Vec::new();
        if old == 0 || old == new {
            return Ok(path);
        }
        let (mut low, mut high) = (0, new);
        while old < high {
            let middle = low + split(high - low);
            if old <= middle {
                path.push(self.range(middle, high)?);
                high = middle;
            } else {
                path.push(self.range(low, middle)?);
                low = middle;
            }
        }
        if low > 0 {
            // The last subtree of the old tree, unless that is the whole old tree.
            path.push(self.range(low, high)?);
        }
        path.reverse();
        Ok(path)
    }

    /// Returns the hash over the entries `low..high`, a range that a proof may ask for: its start
    /// is a multiple of the power of two that holds it.
    fn range(&self, low: u64, high: u64) -> Result<Digest, TileError> {
        let mut hashes = Vec::new();
        let mut start = low;
        while start < high {
            let height = (high - start).ilog2();
            hashes.push(self.node(height, start >> height)?);
            start += 1 << height;
        }
        let mut hashes = hashes.into_iter().rev();
        let Some(last) = hashes.next() else {
            return Ok(empty_root());
        };
        Ok(hashes.fold(last, |right, left| node_hash(&left, &right)))
    }

    /// Returns the hash of the full subtree of 2^height entries that is number `index`.
    fn node(&self, height: u32, index: u64) -> Result<Digest, TileError> {
        let level = u8::try_from(height / 8).expect("heights are below 64");
        let within = height % 8;
        let first = index << within;
        let (number, slot) = (
            first / 256,
            usize::try_from(first % 256).expect("below 256"),
        );
        let tile = tile_at(Level::Hashes(level), number, self.size);
        let tile = tile.ok_or(TileError::Beyond {
            asked: first,
            size: self.size,
        })?;
        let bytes = self.tile(tile)?;
        let hashes = bytes.chunks_exact(32).skip(slot).take(1 << within);
        let root = fold(hashes.map(|bytes| Digest::from_slice(bytes).expect("chunks of 32")));
        root.ok_or(TileError::Beyond {
            asked: first,
            size: self.size,
        })
    }

    fn tile(&self, tile: Tile) -> Result<Rc<Vec<u8>>, TileError> {
        if let Some(bytes) = self.cache.borrow().get(&tile) {
            return Ok(Rc::clone(bytes));
        }
        let bytes = Rc::new(read_tile(&self.reader, tile)?);
        let mut cache = self.cache.borrow_mut();
        if cache.len() >= CACHE_TILES {
            cache.clear();
        }
        cache.insert(tile, Rc::clone(&bytes));
        Ok(bytes)
    }

    fn within(&self, asked: u64, size: u64) -> Result<(), TileError> {
        if asked <= size {
            Ok(())
        } else {
            Err(TileError::Beyond { asked, size })
        }
    }
}

/// Returns the largest power of two below `size`, which is above 1.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}
