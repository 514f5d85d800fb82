//! Full verification of a log: every entry, every tile, up to the signed root.
//!
//! A signature, a root and proofs of *some* entries say nothing about the others: one changed byte
//! in one bundle is found only by hashing that bundle. An audit hashes them all, and says of each
//! damage what it is and which is the first entry that it makes doubtful.
//!
//! The work splits by bundles, so that a caller with several cores audits a range on each:
//!
//! ```text
//! split(size, cores) ──► audit_range, one per core ──► combine ──► AuditReport
//! ```
//!
//! [`audit_range`] hashes the entries and compares them with the lowest tiles. [`combine`] compares
//! the higher tiles and the root, and decides for each disagreement which side agrees with the
//! checkpoint. Whether the checkpoint is genuine is decided before, by
//! [`open_checkpoint`]; whether the whole log was rewritten and signed again afterwards, by
//! [`audit_anchors`] against checkpoints that were kept elsewhere.

use std::fmt;
use std::ops::Range;

use crate::checkpoint::Checkpoint;
use crate::digest::Digest;
use crate::key::VerifyingKey;
use crate::merkle::{leaf_hash_prefixed, node_hash};
use crate::note::NoteError;
use crate::tile::{Level, Tile, TileError, TileReader, read_tile, tile_at};
use crate::tree::Tree;

mod judge;

use judge::Judge;

/// How many disagreeing bundles a range keeps in full. A log that is damaged throughout would
/// otherwise fill the memory with evidence.
const SUSPECTS_MAX: usize = 64;

/// Something that is not as it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The first entry that can no longer be relied on because of this.
    pub index: u64,
    /// What happened.
    pub damage: Damage,
}

/// What happened to a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// A file is gone.
    Missing {
        /// The file.
        tile: Tile,
    },
    /// A file cannot be read.
    Unreadable {
        /// The file.
        tile: Tile,
        /// Why.
        problem: String,
    },
    /// A file ends too early.
    Truncated {
        /// The file.
        tile: Tile,
        /// The byte at which what is missing should start.
        byte: usize,
    },
    /// A file goes on after its end.
    Trailing {
        /// The file.
        tile: Tile,
        /// The byte at which it should end.
        byte: usize,
    },
    /// The entry is another than the one that was signed.
    EntryChanged {
        /// The bundle it lies in.
        tile: Tile,
    },
    /// The entry is gone, and those after it moved up.
    EntryDeleted {
        /// The bundle it was in.
        tile: Tile,
    },
    /// An entry stands here that was not signed, and those after it moved down.
    EntryInserted {
        /// The bundle it lies in.
        tile: Tile,
    },
    /// The entries of a bundle are in another order.
    EntriesReordered {
        /// The bundle.
        tile: Tile,
    },
    /// A hash in a tile is another than the one that was signed; the entries are right.
    TileChanged {
        /// The tile.
        tile: Tile,
    },
    /// The entries below a hash and the tiles over them were changed together.
    Rewritten {
        /// The tile whose hash shows it.
        tile: Tile,
    },
    /// Two files disagree, and neither agrees with the checkpoint.
    Contradiction {
        /// The higher of the two.
        tile: Tile,
    },
    /// Every file agrees with every other, but not with the checkpoint.
    Root {
        /// The root that was signed.
        signed: Digest,
        /// The root that the entries have.
        found: Digest,
    },
    /// The checkpoint is damaged, or not signed by the log.
    Checkpoint {
        /// What is wrong.
        problem: NoteError,
    },
    /// The log is smaller than a checkpoint of it that was kept elsewhere.
    RolledBack {
        /// The size that was kept.
        kept: u64,
        /// The size that the log has now.
        found: u64,
    },
    /// The log has another root than a checkpoint of it that was kept elsewhere.
    Forked {
        /// The size at which they differ.
        size: u64,
        /// The root that was kept.
        kept: Digest,
        /// The root that the log has now.
        found: Digest,
    },
    /// The caller did not audit this part of the log.
    NotAudited,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = self.index;
        match &self.damage {
            Damage::Missing { tile } => write!(f, "`{tile}` is missing, from entry {index}"),
            Damage::Unreadable { tile, problem } => {
                write!(f, "`{tile}` cannot be read, from entry {index}: {problem}")
            }
            Damage::Truncated { tile, byte } => {
                write!(f, "`{tile}` is cut at byte {byte}, from entry {index}")
            }
            Damage::Trailing { tile, byte } => {
                write!(f, "`{tile}` goes on after byte {byte}, from entry {index}")
            }
            Damage::EntryChanged { tile } => write!(f, "entry {index} was changed in `{tile}`"),
            Damage::EntryDeleted { tile } => write!(f, "entry {index} was deleted from `{tile}`"),
            Damage::EntryInserted { tile } => {
                write!(f, "an entry was inserted at {index} in `{tile}`")
            }
            Damage::EntriesReordered { tile } => {
                write!(f, "entries were reordered in `{tile}`, from entry {index}")
            }
            Damage::TileChanged { tile } => {
                write!(f, "`{tile}` was changed at the hash over entry {index}")
            }
            Damage::Rewritten { tile } => {
                write!(
                    f,
                    "entries and tiles below `{tile}` were rewritten, from entry {index}"
                )
            }
            Damage::Contradiction { tile } => {
                write!(
                    f,
                    "`{tile}` and what lies below it disagree, from entry {index}"
                )
            }
            Damage::Root { signed, found } => {
                write!(
                    f,
                    "the entries have the root `{found}`, signed is `{signed}`"
                )
            }
            Damage::Checkpoint { problem } => write!(f, "the checkpoint is bad: {problem}"),
            Damage::RolledBack { kept, found } => {
                write!(f, "the log was rolled back from {kept} entries to {found}")
            }
            Damage::Forked { size, kept, found } => write!(
                f,
                "the first {size} entries have the root `{found}`, kept elsewhere is `{kept}`; \
                 they differ from entry {index} on"
            ),
            Damage::NotAudited => write!(f, "nothing was audited from entry {index}"),
        }
    }
}

/// What auditing a whole log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// How many entries were hashed.
    pub entries: u64,
    /// How many bytes they have, without their lengths.
    pub bytes: u64,
    /// The damage, by index.
    pub findings: Vec<Finding>,
    /// How many more bundles disagree with their tiles than are listed.
    pub unlisted: u64,
}

impl AuditReport {
    /// Tells whether everything is as it was signed.
    pub fn is_intact(&self) -> bool {
        self.findings.is_empty()
    }

    /// Returns the first entry that cannot be relied on.
    pub fn first_bad_index(&self) -> Option<u64> {
        self.findings.first().map(|finding| finding.index)
    }
}

/// Returns how many bundles a log of `size` entries has.
pub fn bundle_count(size: u64) -> u64 {
    size.div_ceil(256)
}

/// Cuts the bundles of a log of `size` entries into at most `parts` ranges of about equal size.
pub fn split(size: u64, parts: u64) -> Vec<Range<u64>> {
    let count = bundle_count(size);
    let step = count.div_ceil(parts.max(1)).max(1);
    (0..count.div_ceil(step))
        .map(|i| i * step..((i + 1) * step).min(count))
        .collect()
}

/// What auditing a range of bundles found, for [`combine`].
#[derive(Debug)]
pub struct RangeReport {
    bundles: Range<u64>,
    entries: u64,
    bytes: u64,
    /// The root of each full bundle, recomputed; of its tile, where the bundle cannot be decoded.
    roots: Vec<Option<Digest>>,
    /// The leaves of the partial bundle at the end of the log.
    partial: Vec<Digest>,
    suspects: Vec<Suspect>,
    unlisted: u64,
}

/// A bundle that does not agree with its tile, or one of the two that is not whole.
#[derive(Debug)]
struct Suspect {
    number: u64,
    /// The hashes of the entries that could be decoded.
    leaves: Vec<Digest>,
    /// What is wrong with the bundle as a file.
    bundle_damage: Option<Damage>,
    /// The hashes that the tile states, as many as there are.
    stated: Vec<Digest>,
    /// What is wrong with the tile as a file.
    tile_damage: Option<Damage>,
}

/// Hashes the entries of the given bundles and compares them with the tiles of level 0.
///
/// # Panics
///
/// When the range goes beyond the log.
pub fn audit_range<R: TileReader>(reader: &R, size: u64, bundles: Range<u64>) -> RangeReport {
    audit_range_with(reader, size, bundles, |_, _| {})
}

/// As [`audit_range`], and shows every entry that can be decoded to `on_entry` with its index, so
/// that the caller can check what it means in the same pass.
///
/// # Panics
///
/// When the range goes beyond the log.
pub fn audit_range_with<R: TileReader>(
    reader: &R,
    size: u64,
    bundles: Range<u64>,
    mut on_entry: impl FnMut(u64, &[u8]),
) -> RangeReport {
    let mut report = RangeReport {
        bundles: bundles.clone(),
        entries: 0,
        bytes: 0,
        roots: Vec::new(),
        partial: Vec::new(),
        suspects: Vec::new(),
        unlisted: 0,
    };
    let (mut bytes, mut hashes) = (Vec::new(), Vec::new());
    for number in bundles {
        let bundle = tile_at(Level::Entries, number, size).expect("the range lies in the log");
        let tile = Tile {
            level: Level::Hashes(0),
            ..bundle
        };
        let bundle_read = read_whole(reader, bundle, &mut bytes);
        let mut leaves = Vec::with_capacity(256);
        let decoded = hash_bundle(bundle, &mut bytes, &mut leaves, |slot, entry| {
            report.entries += 1;
            report.bytes += entry.len() as u64;
            on_entry(number * 256 + slot, entry);
        });
        let tile_read =
            read_whole(reader, tile, &mut hashes).or_else(|| check_length(tile, hashes.len()));
        let agree = tile_read.is_none()
            && hashes
                .chunks_exact(32)
                .zip(&leaves)
                .all(|(stated, leaf)| *stated == leaf.0);
        let bundle_damage = bundle_read.or(decoded);
        let suspect = (bundle_damage.is_some() || !agree).then(|| Suspect {
            number,
            leaves: leaves.clone(),
            bundle_damage,
            stated: hashes
                .chunks_exact(32)
                .take(256)
                .filter_map(Digest::from_slice)
                .collect(),
            tile_damage: tile_read,
        });
        let listed = report.suspects.len() < SUSPECTS_MAX;
        let best = match &suspect {
            Some(suspect) if !listed || leaves.len() < usize::from(bundle.width) => &suspect.stated,
            _ => &leaves,
        };
        if !bundle.is_full() {
            report.partial.clone_from(best);
        } else if suspect.is_some() && !listed {
            // What nobody will judge is no evidence against the tiles above.
            report.roots.push(None);
        } else {
            report.roots.push(fold_full(best));
        }
        match suspect {
            Some(suspect) if listed => report.suspects.push(suspect),
            Some(_) => report.unlisted += 1,
            None => {}
        }
    }
    report
}

/// Reads this file, or its part of the full one that took its place.
fn read_whole<R: TileReader>(reader: &R, tile: Tile, bytes: &mut Vec<u8>) -> Option<Damage> {
    let read = match reader.read_into(tile, bytes) {
        Err(TileError::Missing { .. }) if !tile.is_full() => {
            read_tile(reader, tile).map(|beginning| *bytes = beginning)
        }
        read => read,
    };
    let error = read.err()?;
    bytes.clear();
    Some(match error {
        TileError::Missing { .. } => Damage::Missing { tile },
        TileError::Unreadable { source, .. } => Damage::Unreadable {
            tile,
            problem: source.to_string(),
        },
        other => Damage::Unreadable {
            tile,
            problem: other.to_string(),
        },
    })
}

fn check_length(tile: Tile, found: usize) -> Option<Damage> {
    let expected = usize::from(tile.width) * 32;
    match found.cmp(&expected) {
        std::cmp::Ordering::Less => Some(Damage::Truncated { tile, byte: found }),
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(Damage::Trailing {
            tile,
            byte: expected,
        }),
    }
}

/// Hashes the entries of a bundle in place, as many as can be decoded.
fn hash_bundle(
    tile: Tile,
    bytes: &mut [u8],
    leaves: &mut Vec<Digest>,
    mut on_entry: impl FnMut(u64, &[u8]),
) -> Option<Damage> {
    let mut at = 0;
    for slot in 0..u64::from(tile.width) {
        let Some(length) = bytes[at..]
            .first_chunk::<2>()
            .copied()
            .map(u16::from_be_bytes)
        else {
            return Some(Damage::Truncated { tile, byte: at });
        };
        let end = at + 2 + usize::from(length);
        if end > bytes.len() {
            return Some(Damage::Truncated { tile, byte: at });
        }
        on_entry(slot, &bytes[at + 2..end]);
        // The second byte of the length makes room for the 0x00 that precedes a leaf, which saves
        // copying every entry.
        let low = std::mem::replace(&mut bytes[at + 1], 0);
        leaves.push(leaf_hash_prefixed(&bytes[at + 1..end]));
        bytes[at + 1] = low;
        at = end;
    }
    (at < bytes.len()).then_some(Damage::Trailing { tile, byte: at })
}

/// Returns the root over exactly 256 hashes.
fn fold_full(hashes: &[Digest]) -> Option<Digest> {
    let mut nodes: [Digest; 256] = hashes.try_into().ok()?;
    let mut count = 256;
    while count > 1 {
        count /= 2;
        for i in 0..count {
            nodes[i] = node_hash(&nodes[2 * i], &nodes[2 * i + 1]);
        }
    }
    Some(nodes[0])
}

/// Audits a whole log on the calling thread.
pub fn audit<R: TileReader>(reader: &R, checkpoint: &Checkpoint) -> AuditReport {
    let range = audit_range(reader, checkpoint.size, 0..bundle_count(checkpoint.size));
    combine(reader, checkpoint, vec![range])
}

/// Opens the signed checkpoint of a log, or says what is wrong with it. Without it nothing is
/// vouched for, so the first doubtful entry is the first one.
///
/// # Errors
///
/// The finding.
pub fn open_checkpoint(bytes: &[u8], keys: &[VerifyingKey]) -> Result<Checkpoint, Finding> {
    Checkpoint::open(bytes, keys)
        .map(|(checkpoint, _)| checkpoint)
        .map_err(|problem| Finding {
            index: 0,
            damage: Damage::Checkpoint { problem },
        })
}

/// Puts the reports of all ranges together, compares the higher tiles, and decides every
/// disagreement by the checkpoint, which must be genuine.
pub fn combine<R: TileReader>(
    reader: &R,
    checkpoint: &Checkpoint,
    mut ranges: Vec<RangeReport>,
) -> AuditReport {
    ranges.sort_by_key(|range| range.bundles.start);
    let mut judge = Judge {
        reader,
        checkpoint,
        findings: Vec::new(),
    };
    let (mut roots, mut partial, mut suspects) = (Vec::new(), Vec::new(), Vec::new());
    let mut report = AuditReport {
        entries: 0,
        bytes: 0,
        findings: Vec::new(),
        unlisted: 0,
    };
    let mut next = 0;
    for range in ranges {
        if range.bundles.start != next {
            break;
        }
        next = range.bundles.end;
        report.entries += range.entries;
        report.bytes += range.bytes;
        report.unlisted += range.unlisted;
        roots.extend(range.roots);
        partial.extend(range.partial);
        suspects.extend(range.suspects);
    }
    if next < bundle_count(checkpoint.size) {
        judge.find(next * 256, Damage::NotAudited);
    } else {
        for suspect in &suspects {
            let believed = judge.suspect(suspect);
            match usize::try_from(suspect.number)
                .ok()
                .and_then(|number| roots.get_mut(number))
            {
                Some(root) => *root = believed.and_then(fold_full).or(*root),
                None => partial = believed.unwrap_or_default().to_vec(),
            }
        }
        judge.higher_levels(roots, partial);
    }
    report.findings = judge.findings;
    report.findings.sort_by_key(|finding| finding.index);
    report
}

/// Compares the log with checkpoints of it that were kept elsewhere: by a witness, on another
/// disk, in a proof that someone holds. Finds what no audit of the log alone can find, a log that
/// was rewritten and signed again by whoever has its key.
///
/// # Errors
///
/// When a tile cannot be read, which an audit reports better.
pub fn audit_anchors<R: TileReader>(
    reader: &R,
    checkpoint: &Checkpoint,
    anchors: &[Checkpoint],
) -> Result<Vec<Finding>, TileError> {
    let tree = Tree::new(reader, checkpoint.size);
    let mut anchors: Vec<&Checkpoint> = anchors.iter().collect();
    anchors.sort_by_key(|anchor| anchor.size);
    let mut good = 0;
    for anchor in anchors {
        if anchor.size > checkpoint.size {
            let damage = Damage::RolledBack {
                kept: anchor.size,
                found: checkpoint.size,
            };
            return Ok(vec![Finding {
                index: checkpoint.size,
                damage,
            }]);
        }
        let found = tree.root_at(anchor.size)?;
        if found != anchor.root {
            let damage = Damage::Forked {
                size: anchor.size,
                kept: anchor.root,
                found,
            };
            return Ok(vec![Finding {
                index: good,
                damage,
            }]);
        }
        good = anchor.size;
    }
    Ok(Vec::new())
}

/// Compares a partial tile or bundle of an earlier size with the file that took its place, of
/// which it must be the beginning.
pub fn audit_partial(tile: Tile, bytes: &[u8], fuller: &[u8]) -> Option<Finding> {
    let find = |slot: usize, damage| {
        Some(Finding {
            index: tile.first_entry(slot as u64),
            damage,
        })
    };
    let agree = bytes.iter().zip(fuller).take_while(|(a, b)| a == b).count();
    match tile.level {
        Level::Hashes(_) => match check_length(tile, bytes.len()) {
            _ if agree < bytes.len().min(usize::from(tile.width) * 32) => {
                find(agree / 32, Damage::TileChanged { tile })
            }
            Some(damage @ Damage::Truncated { .. }) => find(bytes.len() / 32, damage),
            Some(damage) => find(tile.width.into(), damage),
            None => None,
        },
        Level::Entries => {
            let (mut at, mut entries) = (0, 0);
            for _ in 0..tile.width {
                let Some(length) = bytes[at..].first_chunk().copied().map(u16::from_be_bytes)
                else {
                    return find(entries, Damage::Truncated { tile, byte: at });
                };
                let end = at + 2 + usize::from(length);
                if agree < end.min(bytes.len()) {
                    return find(entries, Damage::EntryChanged { tile });
                }
                if end > bytes.len() {
                    return find(entries, Damage::Truncated { tile, byte: at });
                }
                (at, entries) = (end, entries + 1);
            }
            if at < bytes.len() {
                return find(entries, Damage::Trailing { tile, byte: at });
            }
            None
        }
    }
}
