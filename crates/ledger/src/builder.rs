//! Building a log: entries go in one after the other, files come out.
//!
//! A full bundle and a full tile come out as soon as their last entry is in; the partial ones when
//! the caller is about to publish a checkpoint. Memory holds one partial bundle and one partial
//! tile for each level, however long the log is.
//!
//! The order of the files is the order to write them in: entries before the hashes over them,
//! lower levels before higher ones. Making them durable, and signing only afterwards, is the
//! caller's work.

use crate::digest::Digest;
use crate::merkle::{Frontier, leaf_hash};
use crate::tile::{
    Level, Tile, TileError, TileReader, decode_bundle, push_entry, read_tile, tile_at,
};

/// A file to write. The same path never comes out twice with different bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TileFile {
    /// Which file it is; printed, its path below the log's prefix.
    pub tile: Tile,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The right edge of a log that grows.
#[derive(Clone, Debug, Default)]
pub struct LogBuilder {
    frontier: Frontier,
    /// The entries of the partial bundle.
    bundle: Vec<u8>,
    /// The hashes of the partial tile of each level.
    levels: Vec<Vec<u8>>,
    /// The size at which partial tiles last came out.
    published: u64,
    /// The nodes that the last entry completed, one for each level above 0.
    nodes: Vec<Digest>,
}

impl LogBuilder {
    /// Returns the builder of an empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the builder that continues the first `size` entries of the log in `reader`.
    ///
    /// The entries of the partial bundle are hashed and compared with their tile. Whether
    /// [`LogBuilder::root`] is what was signed last is for the caller to check.
    ///
    /// # Errors
    ///
    /// When a partial tile or bundle is missing, damaged, or the two do not agree.
    pub fn resume<R: TileReader>(reader: &R, size: u64) -> Result<Self, TileError> {
        let mut builder = Self {
            published: size,
            ..Self::default()
        };
        for level in 0..=7 {
            let span = 1 << (8 * u32::from(level));
            if size / span == 0 {
                break;
            }
            let number = size / span / 256;
            builder
                .levels
                .push(match tile_at(Level::Hashes(level), number, size) {
                    Some(tile) => read_tile(reader, tile)?,
                    None => Vec::new(),
                });
        }
        if let Some(tile) = tile_at(Level::Entries, size / 256, size) {
            builder.bundle = read_tile(reader, tile)?;
            let entries = decode_bundle(tile, &builder.bundle)?;
            let hashes = builder.levels[0].chunks_exact(32);
            for (slot, (entry, hash)) in (0..).zip(entries.iter().zip(hashes)) {
                if leaf_hash(entry).0 != *hash {
                    return Err(TileError::Mismatch {
                        index: tile.first_entry(slot),
                    });
                }
            }
        }
        let mut subtrees = Vec::with_capacity(size.count_ones() as usize);
        for level in builder.levels.iter().rev() {
            let mut frontier = Frontier::default();
            for hash in level.chunks_exact(32) {
                frontier.push(Digest::from_slice(hash).expect("chunks of 32 bytes"));
            }
            subtrees.extend_from_slice(frontier.subtrees());
        }
        builder.frontier =
            Frontier::from_parts(size, subtrees).expect("one subtree for each 1 of the size");
        Ok(builder)
    }

    /// Returns how many entries are in.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Returns the root over all entries.
    pub fn root(&self) -> Digest {
        self.frontier.root()
    }

    /// Returns the right edge of the tree.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Appends an entry, adds the files that became full to `out`, and returns its index.
    ///
    /// # Errors
    ///
    /// When the entry is too large; nothing has changed then.
    pub fn push(&mut self, entry: &[u8], out: &mut Vec<TileFile>) -> Result<u64, TileError> {
        self.push_hashed(entry, leaf_hash(entry), out)
    }

    /// As [`LogBuilder::push`], with the [`leaf_hash`] of the entry computed before, on another
    /// core perhaps.
    ///
    /// # Errors
    ///
    /// When the entry is too large; nothing has changed then.
    pub fn push_hashed(
        &mut self,
        entry: &[u8],
        leaf: Digest,
        out: &mut Vec<TileFile>,
    ) -> Result<u64, TileError> {
        push_entry(&mut self.bundle, entry)?;
        let index = self.size();
        let nodes = &mut self.nodes;
        nodes.clear();
        nodes.push(leaf);
        self.frontier.push_with(leaf, |height, hash| {
            if height % 8 == 0 {
                nodes.push(*hash);
            }
        });
        for level in 0..self.nodes.len() {
            if level == self.levels.len() {
                self.levels.push(Vec::with_capacity(256 * 32));
            }
            self.levels[level].extend_from_slice(&self.nodes[level].0);
        }
        // Every level but the last of `nodes` is full now, and the last may be by chance.
        if (index + 1).is_multiple_of(256) {
            // The next bundle is likely as large as this one.
            let next = Vec::with_capacity(self.bundle.len());
            let bytes = std::mem::replace(&mut self.bundle, next);
            out.push(TileFile {
                tile: Tile::entries(index / 256, 256),
                bytes,
            });
        }
        for level in 0..self.nodes.len() {
            if self.levels[level].len() == 256 * 32 {
                let next = Vec::with_capacity(256 * 32);
                let bytes = std::mem::replace(&mut self.levels[level], next);
                let level = u8::try_from(level).expect("at most eight levels");
                let number = (index >> (8 * u32::from(level))) / 256;
                out.push(TileFile {
                    tile: Tile::hashes(level, number, 256),
                    bytes,
                });
            }
        }
        Ok(index)
    }

    /// Adds to `out` the partial bundle and tiles that a checkpoint of the present size needs and
    /// that did not come out before.
    pub fn publish(&mut self, out: &mut Vec<TileFile>) {
        let size = self.size();
        let before = std::mem::replace(&mut self.published, size);
        let changed = |level, span: u64| {
            let number = size / span / 256;
            let tile = tile_at(level, number, size)?;
            (tile_at(level, number, before) != Some(tile)).then_some(tile)
        };
        if let Some(tile) = changed(Level::Entries, 1) {
            out.push(TileFile {
                tile,
                bytes: self.bundle.clone(),
            });
        }
        for (level, hashes) in (0..).zip(&self.levels) {
            if let Some(tile) = changed(Level::Hashes(level), 1 << (8 * u32::from(level))) {
                out.push(TileFile {
                    tile,
                    bytes: hashes.clone(),
                });
            }
        }
    }
}
