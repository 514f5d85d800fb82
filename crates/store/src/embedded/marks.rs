//! Small state files: how large the tree on disk is, and what was signed last.
//!
//! Text of five lines: what it is with a version, the origin, the size, the root in hexadecimal,
//! and a checksum. They are replaced whole, by rename.

use std::path::Path;

use ledger::StoreError;
use ledger::tile::{Tile, TileError, TileReader};
use model::Digest;

use super::keys::{sealed, unsealed};
use crate::disk::{self, Disk};
use crate::error::{damaged, unavailable};

/// A size and a root of a named log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TreeMark {
    pub(crate) origin: String,
    pub(crate) size: u64,
    pub(crate) root: Digest,
}

impl TreeMark {
    pub(crate) fn save(&self, disk: &dyn Disk, path: &Path, what: &str) -> std::io::Result<()> {
        let Self { origin, size, root } = self;
        let text = sealed(&format!("rescind {what} 1\n{origin}\n{size}\n{root}\n"));
        disk::replace(disk, path, text.as_bytes(), false)
    }

    pub(crate) fn load(
        disk: &dyn Disk,
        path: &Path,
        what: &str,
    ) -> Result<Option<Self>, StoreError> {
        let bytes = disk::read(disk, path)
            .map_err(|e| unavailable(format!("read `{}`", path.display()), e))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let wrong = || damaged(path, "line 1".to_owned(), None);
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong())?;
        let body = unsealed(text).ok_or_else(wrong)?;
        let mut lines = body.lines();
        let version = lines
            .next()
            .and_then(|line| line.strip_prefix(&format!("rescind {what} ")));
        match version.and_then(|version| version.parse::<u32>().ok()) {
            Some(1) => {}
            Some(found) => {
                return Err(StoreError::Newer {
                    path: path.to_owned(),
                    found,
                    known: 1,
                });
            }
            None => return Err(wrong()),
        }
        let mut read = || {
            Some(Self {
                origin: lines.next()?.to_owned(),
                size: lines.next()?.parse().ok()?,
                root: lines.next()?.parse().ok()?,
            })
        };
        read().map(Some).ok_or_else(wrong)
    }
}

/// Reads the tiles of a log from its directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DirTiles<'d> {
    pub(crate) disk: &'d dyn Disk,
    pub(crate) dir: &'d Path,
}

impl TileReader for DirTiles<'_> {
    fn read(&self, tile: Tile) -> Result<Vec<u8>, TileError> {
        let mut bytes = Vec::new();
        self.read_into(tile, &mut bytes)?;
        Ok(bytes)
    }

    fn read_into(&self, tile: Tile, buffer: &mut Vec<u8>) -> Result<(), TileError> {
        match disk::read_into(self.disk, &self.dir.join(tile.path()), buffer) {
            Ok(true) => Ok(()),
            Ok(false) => Err(TileError::Missing { tile }),
            Err(error) => Err(TileError::Unreadable {
                tile,
                source: Box::new(error),
            }),
        }
    }
}
