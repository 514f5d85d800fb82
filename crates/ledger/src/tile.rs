//! Tiles and entry bundles (C2SP tlog-tiles): which file holds what, and under which path.
//!
//! A tile is 256 hashes wide, so a full one is 8,192 bytes. Tile `n` of level `L` holds the hashes
//! of the full subtrees of 256^L entries, from the subtree `n * 256` on. The right edge of a tree
//! is kept in *partial* tiles, whose width is part of their path:
//!
//! ```text
//! tile/<L>/<N>[.p/<W>]          hashes of level L
//! tile/entries/<N>[.p/<W>]      the entries below tile N of level 0
//! ```
//!
//! `<N>` is written in groups of three digits, all but the last with an `x` before them. A bundle
//! is each entry after its length in two bytes, big-endian.

use std::fmt;
use std::str::FromStr;

/// How many hashes, or entries, a full tile or bundle holds.
pub const TILE_WIDTH: u16 = 256;
/// The largest entry in bytes: what two bytes of length can say.
pub const ENTRY_BYTES_MAX: usize = 65_535;
/// The highest level. Sizes are below 2^63, so level 7 is the highest in use.
pub const LEVEL_MAX: u8 = 63;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The entries themselves.
    Entries,
    /// Hashes of full subtrees of 256^L entries.
    Hashes(u8),
}

/// One file of a log. Printed as its path below the log's prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// What it holds.
    pub level: Level,
    /// Its number within the level.
    pub index: u64,
    /// How many hashes or entries it holds, from 1 to 256.
    pub width: u16,
}

impl Tile {
    /// Returns a tile of hashes.
    pub const fn hashes(level: u8, index: u64, width: u16) -> Self {
        Self {
            level: Level::Hashes(level),
            index,
            width,
        }
    }

    /// Returns an entry bundle.
    pub const fn entries(index: u64, width: u16) -> Self {
        Self {
            level: Level::Entries,
            index,
            width,
        }
    }

    /// Returns the path below the log's prefix.
    pub fn path(&self) -> String {
        self.to_string()
    }

    /// Tells whether the tile can grow no more.
    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// Returns the full tile that takes the place of this one.
    pub fn full(self) -> Self {
        Self {
            width: TILE_WIDTH,
            ..self
        }
    }

    /// Returns how many entries one hash, or one slot, of the tile stands for.
    pub fn span(&self) -> u64 {
        match self.level {
            Level::Entries => 1,
            Level::Hashes(level) => span_of(level),
        }
    }

    /// Returns the index of the first entry that slot `slot` stands for.
    pub fn first_entry(&self, slot: u64) -> u64 {
        self.index
            .saturating_mul(u64::from(TILE_WIDTH))
            .saturating_add(slot)
            .saturating_mul(self.span())
    }
}

/// Returns 256^level, or the largest number where that does not fit.
fn span_of(level: u8) -> u64 {
    1u64.checked_shl(u32::from(level) * 8).unwrap_or(u64::MAX)
}

/// Returns how many full subtrees of 256^level entries a log of `size` entries has.
fn slots(level: u8, size: u64) -> u64 {
    if level > 7 { 0 } else { size / span_of(level) }
}

/// Returns tile `index` of `level` as a log of `size` entries has it, or `None` if it has none.
pub fn tile_at(level: Level, index: u64, size: u64) -> Option<Tile> {
    let slots = match level {
        Level::Entries => size,
        Level::Hashes(level) => slots(level, size),
    };
    let before = index.checked_mul(u64::from(TILE_WIDTH))?;
    let width = slots.checked_sub(before)?.min(u64::from(TILE_WIDTH));
    let width = u16::try_from(width).expect("at most 256");
    (width > 0).then_some(Tile {
        level,
        index,
        width,
    })
}

/// Returns every file that a log of `size` entries has for that size, besides its checkpoint:
/// first the bundles, then the levels of hashes from the lowest up.
pub fn tiles_of(size: u64) -> impl Iterator<Item = Tile> {
    let levels = (0..=7).map(Level::Hashes);
    std::iter::once(Level::Entries)
        .chain(levels)
        .flat_map(move |level| (0..).map_while(move |index| tile_at(level, index, size)))
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Level::Entries => f.write_str("tile/entries/")?,
            Level::Hashes(level) => write!(f, "tile/{level}/")?,
        }
        let mut groups = [0; 7];
        let mut count = 0;
        let mut rest = self.index;
        loop {
            groups[count] = rest % 1000;
            count += 1;
            rest /= 1000;
            if rest == 0 {
                break;
            }
        }
        for group in groups[1..count].iter().rev() {
            write!(f, "x{group:03}/")?;
        }
        write!(f, "{:03}", groups[0])?;
        if self.is_full() {
            Ok(())
        } else {
            write!(f, ".p/{}", self.width)
        }
    }
}

impl fmt::Debug for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tile({self})")
    }
}

impl FromStr for Tile {
    type Err = TileError;

    /// Reads a path below the log's prefix. Only the one spelling that [`Tile`] prints is a path
    /// of a tile.
    fn from_str(path: &str) -> Result<Self, TileError> {
        let tile = parse_path(path).filter(|tile| tile.to_string() == path);
        tile.ok_or_else(|| TileError::Path {
            path: path.to_owned(),
        })
    }
}

fn parse_path(path: &str) -> Option<Tile> {
    let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
    let level = match level {
        "entries" => Level::Entries,
        level => Level::Hashes(level.parse().ok().filter(|&level| level <= LEVEL_MAX)?),
    };
    let (groups, width) = match rest.split_once(".p/") {
        Some((groups, width)) => (
            groups,
            width
                .parse()
                .ok()
                .filter(|width| (1..TILE_WIDTH).contains(width))?,
        ),
        None => (rest, TILE_WIDTH),
    };
    let index = groups.split('/').try_fold(0u64, |index, group| {
        let group: u64 = group.strip_prefix('x').unwrap_or(group).parse().ok()?;
        index.checked_mul(1000)?.checked_add(group)
    })?;
    Some(Tile {
        level,
        index,
        width,
    })
}

/// Why a tile or bundle cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TileError {
    /// The path is not that of a tile.
    #[error("`{path}` is not the path of a tile")]
    Path {
        /// The path.
        path: String,
    },
    /// There is no such file.
    #[error("`{tile}` is missing")]
    Missing {
        /// The file.
        tile: Tile,
    },
    /// The file is there and cannot be read.
    #[error("could not read `{tile}`")]
    Unreadable {
        /// The file.
        tile: Tile,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A tile of hashes has another length than its width asks for.
    #[error("`{tile}` has {found} bytes, expected {expected}")]
    Length {
        /// The file.
        tile: Tile,
        /// What its width asks for.
        expected: usize,
        /// What it has.
        found: usize,
    },
    /// A bundle ends within an entry.
    #[error("`{tile}` ends within its entry {entry}, which starts at byte {byte}")]
    Truncated {
        /// The file.
        tile: Tile,
        /// The number of the entry within the bundle, from 0.
        entry: usize,
        /// Where the entry starts.
        byte: usize,
    },
    /// A bundle goes on after its last entry.
    #[error("`{tile}` goes on after its last entry, from byte {byte}")]
    Trailing {
        /// The file.
        tile: Tile,
        /// Where the entries end.
        byte: usize,
    },
    /// An entry is larger than a bundle can hold.
    #[error("an entry of {found} bytes is larger than {ENTRY_BYTES_MAX}")]
    EntryTooLarge {
        /// Its size.
        found: usize,
    },
    /// An entry does not have the hash that its tile states.
    #[error("entry {index} does not have the hash that its tile states")]
    Mismatch {
        /// The index of the entry.
        index: u64,
    },
    /// An entry or a tree beyond the size of the log was asked for.
    #[error("{asked} is beyond a log of {size} entries")]
    Beyond {
        /// The index or size that was asked for.
        asked: u64,
        /// The size of the log.
        size: u64,
    },
}

/// Where tiles are read from: a directory, a store, a map in a test, a web server.
///
/// The reader may rely on nothing but what it asks for: whoever implements this returns the bytes
/// of the file as they are, without checking them, and [`TileError::Missing`] when there is none.
pub trait TileReader {
    /// Returns the bytes of exactly this file.
    ///
    /// # Errors
    ///
    /// [`TileError::Missing`] or [`TileError::Unreadable`].
    fn read(&self, tile: Tile) -> Result<Vec<u8>, TileError>;

    /// Replaces the content of `buffer` by the bytes of exactly this file. Worth implementing
    /// where it saves an allocation.
    ///
    /// # Errors
    ///
    /// As [`TileReader::read`].
    fn read_into(&self, tile: Tile, buffer: &mut Vec<u8>) -> Result<(), TileError> {
        *buffer = self.read(tile)?;
        Ok(())
    }
}

impl<R: TileReader + ?Sized> TileReader for &R {
    fn read(&self, tile: Tile) -> Result<Vec<u8>, TileError> {
        (**self).read(tile)
    }

    fn read_into(&self, tile: Tile, buffer: &mut Vec<u8>) -> Result<(), TileError> {
        (**self).read_into(tile, buffer)
    }
}

/// Reads `tile`, or the beginning of the full tile once that has taken its place.
///
/// # Errors
///
/// As [`TileReader::read`], and when the file has not the form that `tile` asks for.
pub fn read_tile<R: TileReader>(reader: &R, tile: Tile) -> Result<Vec<u8>, TileError> {
    let bytes = match reader.read(tile) {
        Err(TileError::Missing { .. }) if !tile.is_full() => {
            // The full tile is what a writer puts in the place of the partial one.
            let mut bytes = reader.read(tile.full()).map_err(|e| {
                if matches!(e, TileError::Missing { .. }) {
                    TileError::Missing { tile }
                } else {
                    e
                }
            })?;
            let length = match tile.level {
                Level::Hashes(_) => usize::from(tile.width) * 32,
                Level::Entries => {
                    let mut entries = Entries::new(tile, &bytes);
                    for _ in 0..tile.width {
                        entries.next_entry()?;
                    }
                    entries.byte
                }
            };
            bytes.truncate(length);
            bytes
        }
        read => read?,
    };
    if let Level::Hashes(_) = tile.level {
        let expected = usize::from(tile.width) * 32;
        if bytes.len() != expected {
            return Err(TileError::Length {
                tile,
                expected,
                found: bytes.len(),
            });
        }
    }
    Ok(bytes)
}

/// Appends `entry` to a bundle.
///
/// # Errors
///
/// When the entry is larger than [`ENTRY_BYTES_MAX`].
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), TileError> {
    let length =
        u16::try_from(entry.len()).map_err(|_| TileError::EntryTooLarge { found: entry.len() })?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// Returns the entries of the bundle `tile`, which must hold exactly as many as its width says.
///
/// # Errors
///
/// When it holds more or fewer; the error says where.
pub fn decode_bundle(tile: Tile, bytes: &[u8]) -> Result<Vec<&[u8]>, TileError> {
    let mut entries = Entries::new(tile, bytes);
    let decoded = (0..tile.width)
        .map(|_| entries.next_entry())
        .collect::<Result<Vec<_>, _>>()?;
    entries.finish()?;
    Ok(decoded)
}

/// Walks over the entries of a bundle.
pub(crate) struct Entries<'a> {
    tile: Tile,
    bytes: &'a [u8],
    entry: usize,
    /// Where the next entry starts.
    pub(crate) byte: usize,
}

impl<'a> Entries<'a> {
    pub(crate) fn new(tile: Tile, bytes: &'a [u8]) -> Self {
        Self {
            tile,
            bytes,
            entry: 0,
            byte: 0,
        }
    }

    pub(crate) fn next_entry(&mut self) -> Result<&'a [u8], TileError> {
        let whole = self.bytes[self.byte..]
            .split_first_chunk::<2>()
            .and_then(|(length, rest)| rest.get(..usize::from(u16::from_be_bytes(*length))));
        let entry = whole.ok_or(TileError::Truncated {
            tile: self.tile,
            entry: self.entry,
            byte: self.byte,
        })?;
        self.entry += 1;
        self.byte += 2 + entry.len();
        Ok(entry)
    }

    pub(crate) fn finish(&self) -> Result<(), TileError> {
        if self.byte == self.bytes.len() {
            Ok(())
        } else {
            Err(TileError::Trailing {
                tile: self.tile,
                byte: self.byte,
            })
        }
    }
}
