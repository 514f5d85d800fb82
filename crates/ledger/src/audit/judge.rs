//! Deciding which of two files that disagree is the one that was signed.
//!
//! A hash is *signed* when it leads to the root of the checkpoint. Where an entry and its hash in
//! a tile disagree, the one that is signed is believed, and the other is the finding.

use super::{Damage, Finding, Suspect, check_length, fold_full, read_whole};
use crate::checkpoint::Checkpoint;
use crate::digest::Digest;
use crate::merkle::{Frontier, verify_inclusion};
use crate::tile::{Level, Tile, TileError, TileReader, tile_at};
use crate::tree::Tree;

pub(super) struct Judge<'a, R> {
    pub(super) reader: &'a R,
    pub(super) checkpoint: &'a Checkpoint,
    pub(super) findings: Vec<Finding>,
}

impl<R: TileReader> Judge<'_, R> {
    pub(super) fn find(&mut self, index: u64, damage: Damage) {
        self.findings.push(Finding { index, damage });
    }

    /// Judges a bundle and its tile of level 0, and returns the hashes to believe.
    pub(super) fn suspect<'s>(&mut self, suspect: &'s Suspect) -> Option<&'s [Digest]> {
        let size = self.checkpoint.size;
        let bundle = tile_at(Level::Entries, suspect.number, size)?;
        let tile = Tile {
            level: Level::Hashes(0),
            ..bundle
        };
        let width = usize::from(bundle.width);
        let Suspect {
            leaves,
            stated,
            bundle_damage,
            tile_damage,
            ..
        } = suspect;
        let differ = leaves
            .iter()
            .zip(stated)
            .position(|(leaf, stated)| leaf != stated);
        let common = leaves.len().min(stated.len());
        let mut believed = None;
        if let Some(slot) = differ {
            let index = bundle.first_entry(slot as u64);
            if stated.len() == width && self.is_signed(0, index, tile, stated) {
                believed = Some(stated.as_slice());
                self.find(index, classify(bundle, leaves, stated, slot));
            } else if leaves.len() == width && self.is_signed(0, index, tile, leaves) {
                believed = Some(leaves.as_slice());
                self.find(index, Damage::TileChanged { tile });
            } else {
                self.find(index, Damage::Contradiction { tile });
            }
        }
        // Damage of a file as such starts where it stops agreeing with the other.
        if differ.is_none() {
            for (damage, good) in [
                (bundle_damage, leaves.len().min(width)),
                (tile_damage, stated.len().min(width)),
            ] {
                if let Some(damage) = damage {
                    let slot = if matches!(damage, Damage::Trailing { .. }) {
                        width
                    } else {
                        good
                    };
                    self.find(bundle.first_entry(slot as u64), damage.clone());
                }
            }
        } else {
            // The difference may be nothing but the consequence of what the file lacks; both are
            // told, the earlier one first.
            for damage in [bundle_damage, tile_damage].into_iter().flatten() {
                if matches!(damage, Damage::Missing { .. } | Damage::Unreadable { .. }) {
                    self.find(bundle.first_entry(common as u64), damage.clone());
                }
            }
        }
        believed.or(if leaves.len() == width {
            Some(leaves)
        } else {
            (stated.len() == width).then_some(stated)
        })
    }

    /// Tells whether the hash of `hashes` (the content to suppose for `tile`) that stands over
    /// entry `index` leads to the signed root, by the tiles as they are otherwise.
    fn is_signed(&self, level: u8, index: u64, tile: Tile, hashes: &[Digest]) -> bool {
        let bytes = hashes.iter().flat_map(|hash| hash.0).collect();
        let supposed = Supposed {
            reader: self.reader,
            tile,
            bytes,
        };
        let Checkpoint { size, root, .. } = self.checkpoint;
        let Ok(path) = Tree::new(&supposed, *size).prove_inclusion(index, *size) else {
            return false;
        };
        // From a node of a full subtree on, the path is that of the node in a tree of such nodes.
        let height = 8 * u32::from(level);
        let (node, nodes) = (index >> height, ((size - 1) >> height) + 1);
        let slot = usize::try_from(node % 256).expect("below 256");
        let above = path.get(8 * usize::from(level)..);
        above
            .zip(hashes.get(slot))
            .is_some_and(|(above, hash)| verify_inclusion(hash, node, nodes, above, root).is_ok())
    }

    /// Compares the tiles from level 1 up with what lies below them, and the root at the end.
    pub(super) fn higher_levels(&mut self, mut below: Vec<Option<Digest>>, partial: Vec<Digest>) {
        let size = self.checkpoint.size;
        // The full subtrees of each level that have no full tile above them, highest level first.
        let mut edge: Vec<Vec<Option<Digest>>> = vec![partial.into_iter().map(Some).collect()];
        for level in 1.. {
            if below.is_empty() {
                break;
            }
            let mut above = Vec::with_capacity(below.len() / 256);
            for (number, chunk) in (0..).zip(below.chunks_mut(256)) {
                let tile = tile_at(Level::Hashes(level), number, size);
                let tile = tile.expect("there is a tile over every full subtree");
                self.tile(level, tile, chunk);
                let whole: Option<Vec<Digest>> = chunk.iter().copied().collect();
                if chunk.len() == 256 {
                    above.push(whole.as_deref().and_then(fold_full));
                } else {
                    edge.push(chunk.to_vec());
                }
            }
            if below.len().is_multiple_of(256) {
                edge.push(Vec::new());
            }
            below = above;
        }
        if self.findings.is_empty() {
            let mut subtrees = Vec::new();
            for hashes in edge.iter().rev() {
                let mut frontier = Frontier::default();
                for hash in hashes {
                    let Some(hash) = hash else { return };
                    frontier.push(*hash);
                }
                subtrees.extend_from_slice(frontier.subtrees());
            }
            let frontier = Frontier::from_parts(size, subtrees);
            let found = frontier.expect("every subtree of the edge is there").root();
            let signed = self.checkpoint.root;
            if found != signed {
                self.find(0, Damage::Root { signed, found });
            }
        }
    }

    /// Compares one tile with the roots of what lies below it; leaves in `below` what to believe.
    fn tile(&mut self, level: u8, tile: Tile, below: &mut [Option<Digest>]) {
        let mut bytes = Vec::new();
        let damage =
            read_whole(self.reader, tile, &mut bytes).or_else(|| check_length(tile, bytes.len()));
        let stated: Vec<Digest> = bytes
            .chunks_exact(32)
            .take(below.len())
            .filter_map(Digest::from_slice)
            .collect();
        let supposed: Vec<Digest> = below
            .iter()
            .enumerate()
            .filter_map(|(slot, hash)| hash.or_else(|| stated.get(slot).copied()))
            .collect();
        let mut agreed = true;
        for (slot, (below, stated_hash)) in (0..).zip(below.iter_mut().zip(&stated)) {
            match below {
                Some(hash) if hash == stated_hash => continue,
                None => {
                    *below = Some(*stated_hash);
                    continue;
                }
                Some(_) => agreed = false,
            }
            let index = tile.first_entry(slot);
            if stated.len() == usize::from(tile.width)
                && self.is_signed(level, index, tile, &stated)
            {
                *below = Some(*stated_hash);
                // What was found below explains it, unless nothing was.
                let span = index..index.saturating_add(tile.span());
                if !self
                    .findings
                    .iter()
                    .any(|finding| span.contains(&finding.index))
                {
                    self.find(index, Damage::Rewritten { tile });
                }
            } else if supposed.len() == usize::from(tile.width)
                && self.is_signed(level, index, tile, &supposed)
            {
                self.find(index, Damage::TileChanged { tile });
            } else {
                self.find(index, Damage::Contradiction { tile });
            }
        }
        if let Some(damage) = damage.filter(|damage| {
            agreed || matches!(damage, Damage::Missing { .. } | Damage::Unreadable { .. })
        }) {
            let slot = match damage {
                Damage::Trailing { .. } => u64::from(tile.width),
                _ => stated.len() as u64,
            };
            self.find(tile.first_entry(slot), damage);
        }
    }
}

/// Tells how the entries differ from the signed ones, from `slot` on.
fn classify(tile: Tile, leaves: &[Digest], signed: &[Digest], slot: usize) -> Damage {
    let (found, signed) = (&leaves[slot..], &signed[slot..]);
    let moved = |longer: &[Digest], shorter: &[Digest]| {
        let count = (longer.len() - 1).min(shorter.len());
        count > 0 && longer[1..=count] == shorter[..count]
    };
    let mut sorted = (found.to_vec(), signed.to_vec());
    sorted.0.sort_unstable();
    sorted.1.sort_unstable();
    if sorted.0 == sorted.1 {
        Damage::EntriesReordered { tile }
    } else if moved(signed, found) {
        Damage::EntryDeleted { tile }
    } else if moved(found, signed) {
        Damage::EntryInserted { tile }
    } else {
        Damage::EntryChanged { tile }
    }
}

/// A reader that has other bytes for one tile.
struct Supposed<'a, R> {
    reader: &'a R,
    tile: Tile,
    bytes: Vec<u8>,
}

impl<R: TileReader> TileReader for Supposed<'_, R> {
    fn read(&self, tile: Tile) -> Result<Vec<u8>, TileError> {
        if tile == self.tile {
            Ok(self.bytes.clone())
        } else {
            self.reader.read(tile)
        }
    }
}
