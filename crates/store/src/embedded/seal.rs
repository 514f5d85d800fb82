//! Sealing: leaves become entry bundles and tiles, and a signed checkpoint goes over them.
//!
//! The order is the safety rule: bundles and tiles, made durable; then the state of the tree; then
//! the note of what is about to be signed, in a file of its own; then the witness; then the
//! checkpoint, by rename. What was ever covered by a signature is never written again with other
//! bytes. A log that is shorter than what was signed, or other than it, is never signed again.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ledger::merkle::leaf_hash;
use ledger::tile::{Level, Tile, TileReader, tile_at};
use ledger::{Checkpoint, LogBuilder, StoreError, TileFile, Tree};
use model::Digest;

use super::keys::LogKeys;
use super::log::Log;
use super::marks::{DirTiles, TreeMark};
use super::options::{Clock, Paths};
use super::unsynced::{Unsynced, at_once};
use super::witness::WitnessBox;
use crate::disk::{self, Disk, How};
use crate::error::{again, damaged, unavailable};

/// Directories from which on several are synced at once.
const MANY_DIRS: usize = 4;

/// Turns the log into its published form.
pub(crate) struct Sealer {
    disk: Arc<dyn Disk>,
    paths: Paths,
    log: Arc<Log>,
    keys: Arc<Mutex<LogKeys>>,
    witness: Option<Arc<WitnessBox>>,
    clock: Clock,
    builder: LogBuilder,
    /// What the last signature covers.
    signed: TreeMark,
    /// The last checkpoint, as long as it covers everything and has the newest key's line.
    note: Option<(u64, String)>,
    published: u64,
    /// Roots that the tree must pass through: what the witness saw beyond the tree on disk.
    expected: Vec<(u64, Digest)>,
    /// Files that are complete in memory and not written yet.
    waiting: Vec<TileFile>,
    unsynced: Unsynced,
    dirs: BTreeSet<PathBuf>,
    known_dirs: HashSet<PathBuf>,
    /// The tree on disk, as long as it could not be looked at for a reason that passes.
    waiting_for: Option<TreeMark>,
    refused: Option<StoreError>,
}

impl Sealer {
    /// Looks at what is on disk and decides whether this log may be signed at all.
    ///
    /// # Errors
    /// Only where something cannot be read; a log that may not be signed is opened, and refuses.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a different part of the store"
    )]
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        paths: Paths,
        log: Arc<Log>,
        keys: Arc<Mutex<LogKeys>>,
        witness: Option<Arc<WitnessBox>>,
        clock: Clock,
        signed: TreeMark,
        tree: TreeMark,
    ) -> Result<Self, StoreError> {
        let mut sealer = Self {
            disk,
            paths,
            log,
            keys,
            witness,
            clock,
            builder: LogBuilder::new(),
            signed,
            note: None,
            published: 0,
            expected: Vec::new(),
            waiting: Vec::new(),
            unsynced: Unsynced::default(),
            dirs: BTreeSet::new(),
            known_dirs: HashSet::new(),
            waiting_for: Some(tree),
            refused: None,
        };
        // A reason that passes is told to whoever publishes.
        let _ = sealer.catch_up();
        Ok(sealer)
    }

    /// Takes the tree on disk over, if that was not done yet.
    fn catch_up(&mut self) -> Result<(), StoreError> {
        let Some(tree) = self.waiting_for.take() else {
            return Ok(());
        };
        self.expected.clear();
        match self.resume(&tree) {
            Err(error) if passes(&error) => {
                self.waiting_for = Some(tree);
                Err(error)
            }
            Err(error) => {
                self.refused = Some(again(&error));
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    /// Why this log may not be signed.
    pub(crate) fn refused(&self) -> Option<StoreError> {
        self.refused.as_ref().map(again)
    }

    /// Leaves under the checkpoint on disk.
    pub(crate) const fn published(&self) -> u64 {
        self.published
    }

    fn resume(&mut self, tree: &TreeMark) -> Result<(), StoreError> {
        let have = self.log.durable();
        let seen = self
            .witness
            .as_ref()
            .map(|witness| witness.seen())
            .transpose()?
            .flatten();
        let most = self.signed.size.max(seen.map_or(0, |seen| seen.size));
        if have < most {
            return Err(StoreError::RolledBack { have, signed: most });
        }
        if tree.size < self.signed.size {
            // The tree is made durable before anything over it is signed.
            return Err(damaged(
                &self.paths.tree(),
                "line 3".to_owned(),
                Some(tree.size),
            ));
        }
        if tree.size > have {
            return Err(StoreError::RolledBack {
                have,
                signed: tree.size,
            });
        }
        let log_dir = self.paths.log();
        let tiles = DirTiles {
            disk: &*self.disk,
            dir: &log_dir,
        };
        let broken = |e: ledger::TileError| broken_tile(&log_dir, &e);
        let builder = LogBuilder::resume(&tiles, tree.size).map_err(broken)?;
        if builder.root() != tree.root {
            return Err(StoreError::Rewritten { size: tree.size });
        }
        let stored = Tree::new(tiles, tree.size);
        let root_at = |size| {
            if size == tree.size {
                Ok(builder.root())
            } else {
                stored.root_at(size).map_err(broken)
            }
        };
        if root_at(self.signed.size)? != self.signed.root {
            return Err(StoreError::Rewritten {
                size: self.signed.size,
            });
        }
        if let Some(seen) = seen {
            if seen.size > tree.size {
                self.expected.push((seen.size, seen.root));
            } else if root_at(seen.size)? != seen.root {
                return Err(StoreError::Rewritten { size: seen.size });
            }
        }
        // The segments hold the same leaves as the tree, at least at its edge.
        if let Some(edge) = tree.size.checked_sub(1) {
            let leaf = self.log.read(edge, 1, usize::MAX)?.pop();
            let hash = leaf.map(|record| leaf_hash(&record.leaf));
            if hash != Some(stored.leaf(edge).map_err(broken)?) {
                return Err(StoreError::Rewritten { size: tree.size });
            }
        }
        self.builder = builder;
        self.remove_unfinished(tree.size, have)?;
        self.load_note()?;
        match self.follow() {
            // The tree is whole as far as it goes, and whoever publishes goes on from there.
            Err(error) if passes(&error) => Ok(()),
            followed => followed,
        }
    }

    /// Removes partial tiles that a crash left behind before any state spoke of them. They may be
    /// torn, and once the log has grown past them nothing would ever write them again.
    fn remove_unfinished(&self, size: u64, have: u64) -> Result<(), StoreError> {
        for (level, span) in levels() {
            for number in size / span / 256..=have / span / 256 {
                let any = Tile {
                    level,
                    index: number,
                    width: 1,
                };
                let path = self.paths.log().join(any.path());
                let dir = disk::parent(&path);
                let failed = |e| unavailable(format!("clear `{}`", dir.display()), e);
                for name in self.disk.list(dir).map_err(failed)? {
                    let Some(width) = name.parse().ok().filter(|width| (1..256).contains(width))
                    else {
                        continue;
                    };
                    let tile = Tile { width, ..any };
                    if tile.first_entry(u64::from(width)) > size {
                        self.disk.remove(&dir.join(name)).map_err(failed)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes over the checkpoint on disk. Its text is used again only if it covers what was signed
    /// last and the newest key signed it.
    fn load_note(&mut self) -> Result<(), StoreError> {
        let path = self.paths.checkpoint();
        let bytes = disk::read(&*self.disk, &path)
            .map_err(|e| unavailable(format!("read `{}`", path.display()), e))?;
        let Some(bytes) = bytes else { return Ok(()) };
        let (newest, all) = {
            let keys = self.keys();
            (keys.newest().clone(), keys.public())
        };
        let Ok((checkpoint, _)) = Checkpoint::open(&bytes, &all) else {
            return Err(damaged(&path, "line 1".to_owned(), None));
        };
        if checkpoint.size > self.signed.size {
            // What was signed is noted before it can be seen: the note was put back or removed.
            return Err(StoreError::RolledBack {
                have: self.signed.size,
                signed: checkpoint.size,
            });
        }
        self.published = checkpoint.size;
        let same = checkpoint.size == self.signed.size && checkpoint.root == self.signed.root;
        if checkpoint.size == self.signed.size && !same {
            return Err(StoreError::Rewritten {
                size: checkpoint.size,
            });
        }
        if same && Checkpoint::open(&bytes, &[newest]).is_ok() {
            self.note = Some((
                checkpoint.size,
                String::from_utf8_lossy(&bytes).into_owned(),
            ));
        }
        Ok(())
    }

    fn keys(&self) -> std::sync::MutexGuard<'_, LogKeys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a leaf into the tree; `seq` must be the next one.
    fn push(&mut self, leaf: &[u8]) -> Result<(), StoreError> {
        self.builder
            .push(leaf, &mut self.waiting)
            .map_err(|e| unavailable("put a leaf into the tree", e))?;
        let size = self.builder.size();
        if let Some((_, root)) = self.expected.iter().find(|(at, _)| *at == size)
            && *root != self.builder.root()
        {
            return Err(StoreError::Rewritten { size });
        }
        Ok(())
    }

    /// Takes leaves that were just appended. What cannot be written now waits for the next time.
    pub(crate) fn take<'l>(&mut self, first: u64, leaves: impl Iterator<Item = &'l [u8]>) {
        if self.refused.is_some() || self.waiting_for.is_some() {
            return;
        }
        let mut written = Ok(());
        let result = (|| {
            if self.builder.size() < first {
                self.follow()?;
            }
            let skip = usize::try_from(self.builder.size() - first).unwrap_or(usize::MAX);
            for leaf in leaves.skip(skip) {
                self.push(leaf)?;
                // Not all of them at the end, which would need fresh memory for each.
                if written.is_ok() && !self.waiting.is_empty() {
                    written = self.write_waiting();
                }
            }
            Ok(())
        })();
        let written = result.and(written).and_then(|()| self.write_waiting());
        let synced = written.and_then(|()| self.unsynced.begin());
        // A full disk is met again, and told, when somebody publishes.
        if let Err(error) = synced
            && !passes(&error)
        {
            self.refused = Some(error);
        }
    }

    /// Reads what is durable and not in the tree yet from the log.
    fn follow(&mut self) -> Result<(), StoreError> {
        loop {
            let records = self.log.read(self.builder.size(), 4_096, 4 << 20)?;
            if records.is_empty() {
                return Ok(());
            }
            for record in records {
                self.push(&record.leaf)?;
            }
            self.write_waiting()?;
            self.unsynced.begin()?;
        }
    }

    fn write_waiting(&mut self) -> Result<(), StoreError> {
        let waiting = std::mem::take(&mut self.waiting);
        let mut files = waiting.into_iter();
        while let Some(file) = files.next() {
            if let Err(error) = self.write(&file) {
                self.waiting.push(file);
                self.waiting.extend(files);
                return Err(error);
            }
        }
        Ok(())
    }

    fn write(&mut self, file: &TileFile) -> Result<(), StoreError> {
        let path = self.paths.log().join(file.tile.path());
        let dir = disk::parent(&path).to_owned();
        if let Err(error) = self.make_dir(&dir) {
            return Err(self.disk_error("make", &dir, error));
        }
        let failed = |e: io::Error| self.disk_error("write", &path, e);
        match self.disk.open(&path, How::New) {
            Ok(handle) => {
                handle.write_at(0, &file.bytes).map_err(failed)?;
                self.unsynced.add(handle, &file.bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let present = disk::read(&*self.disk, &path).map_err(failed)?;
                let handle = self.disk.open(&path, How::Write).map_err(failed)?;
                let covers = file.tile.first_entry(u64::from(file.tile.width));
                if covers <= self.signed.size {
                    if present.as_deref() != Some(&file.bytes) {
                        // Somebody holds a signature over the other bytes.
                        let first = file.tile.first_entry(0);
                        return Err(damaged(&path, "byte 0".to_owned(), Some(first)));
                    }
                } else {
                    // Begun before, and no signature covers it. Written again also where it is
                    // the same: after a failed sync it may be in memory only.
                    if present.is_some_and(|present| present.len() > file.bytes.len()) {
                        handle.truncate(0).map_err(failed)?;
                    }
                    handle.write_at(0, &file.bytes).map_err(failed)?;
                }
                self.unsynced.add(handle, &file.bytes);
            }
            Err(error) => return Err(failed(error)),
        }
        self.dirs.insert(dir);
        Ok(())
    }

    /// Makes a directory of the log, and sees to it that its name and those above become durable:
    /// also of one that is there, because a crash may have come before they were.
    fn make_dir(&mut self, dir: &Path) -> io::Result<()> {
        if self.known_dirs.contains(dir) || dir == self.paths.log() {
            return Ok(());
        }
        let parent = disk::parent(dir).to_owned();
        self.make_dir(&parent)?;
        self.disk.create_dir(dir, false)?;
        self.dirs.insert(parent);
        if self.known_dirs.len() > 10_000 {
            self.known_dirs.clear();
        }
        self.known_dirs.insert(dir.to_owned());
        Ok(())
    }

    fn disk_error(&self, doing: &str, path: &Path, error: io::Error) -> StoreError {
        if error.kind() == io::ErrorKind::StorageFull {
            return StoreError::Full {
                path: self.paths.dir.clone(),
            };
        }
        unavailable(format!("{doing} `{}`", path.display()), error)
    }

    /// Publishes everything durable and returns the signed checkpoint.
    pub(crate) fn publish(&mut self) -> Result<String, StoreError> {
        if let Some(refused) = &self.refused {
            return Err(again(refused));
        }
        self.catch_up()?;
        let followed = self.follow().and_then(|()| self.write_waiting());
        let before = self.builder.clone();
        match followed.and_then(|()| self.try_publish()) {
            Err(error) => {
                if !passes(&error) {
                    self.refused = Some(again(&error));
                }
                // The partial tiles must come out again; what is there already is the same.
                self.builder = before;
                Err(error)
            }
            published => published,
        }
    }

    fn try_publish(&mut self) -> Result<String, StoreError> {
        let size = self.builder.size();
        if let Some((covered, note)) = &self.note
            && *covered == size
        {
            return Ok(note.clone());
        }
        let root = self.builder.root();
        if size == self.signed.size && root != self.signed.root {
            return Err(StoreError::Rewritten { size });
        }
        self.builder.publish(&mut self.waiting);
        self.write_waiting()?;
        self.sync()?;
        let origin = self.signed.origin.clone();
        let mark = TreeMark {
            origin: origin.clone(),
            size,
            root,
        };
        let path = self.paths.tree();
        mark.save(&*self.disk, &path, "tree")
            .map_err(|e| self.disk_error("write", &path, e))?;

        let checkpoint = Checkpoint { origin, size, root };
        let (mut note, public) = {
            let keys = self.keys();
            let note = checkpoint.sign(&keys.signing());
            (
                note.map_err(|e| unavailable("sign a checkpoint", e))?,
                keys.public(),
            )
        };
        // Before the signature can be seen by anybody.
        let path = self.paths.signed();
        mark.save(&*self.disk, &path, "signed")
            .map_err(|e| self.disk_error("write", &path, e))?;
        let before = std::mem::replace(&mut self.signed, mark);
        if let Some(witness) = &self.witness {
            let log_dir = self.paths.log();
            let tiles = DirTiles {
                disk: &*self.disk,
                dir: &log_dir,
            };
            note.push(witness.cosign(&note, size, tiles, public, (self.clock)())?);
        }
        let note = note.to_string();
        let path = self.paths.checkpoint();
        disk::replace(&*self.disk, &path, note.as_bytes(), false)
            .map_err(|e| self.disk_error("write", &path, e))?;
        self.note = Some((size, note.clone()));
        self.published = size;
        self.remove_partials(before.size, size);
        Ok(note)
    }

    /// Makes everything written so far durable, and its names.
    fn sync(&mut self) -> Result<(), StoreError> {
        self.unsynced.end()?;
        let dirs: Vec<PathBuf> = std::mem::take(&mut self.dirs).into_iter().collect();
        at_once(&dirs, MANY_DIRS, |dir| {
            self.disk.sync_dir(dir).map_err(|e| StoreError::Poisoned {
                reason: format!("could not sync `{}`: {e}", dir.display()),
            })
        })
    }

    /// Removes partial tiles of the size published before, where the full tile has taken their
    /// place. Whoever still asks for one reads the beginning of the full one. Failing is harmless.
    fn remove_partials(&self, before: u64, size: u64) {
        for (level, span) in levels() {
            let number = before / span / 256;
            let was = tile_at(level, number, before);
            let is = tile_at(level, number, size);
            if let (Some(was), Some(is)) = (was, is)
                && !was.is_full()
                && is.is_full()
            {
                let path = self.paths.log().join(was.path());
                let dir = disk::parent(&path);
                for name in self.disk.list(dir).unwrap_or_default() {
                    let _ = self.disk.remove(&dir.join(name));
                }
            }
        }
    }

    /// Makes sure that the next publication signs anew, with the keys as they are now.
    pub(crate) fn sign_anew(&mut self) {
        self.note = None;
    }
}

/// Whether an error says nothing of the log: a full disk, or a file that another process holds.
/// What failed so is tried again; everything else is never signed over.
const fn passes(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Unavailable { .. } | StoreError::Full { .. } | StoreError::Locked { .. }
    )
}

/// The kinds of tiles, each with how many leaves one of its slots stands for.
fn levels() -> impl Iterator<Item = (Level, u64)> {
    let hashes = (0..=7).map(|level| (Level::Hashes(level), 1u64 << (8 * u32::from(level))));
    std::iter::once((Level::Entries, 1)).chain(hashes)
}

/// What a tile that cannot be used means for the log.
pub(crate) fn broken_tile(dir: &Path, error: &ledger::TileError) -> StoreError {
    use ledger::TileError;
    let of = |tile: &Tile, slot: u64| {
        damaged(
            &dir.join(tile.path()),
            error.to_string(),
            Some(tile.first_entry(slot)),
        )
    };
    match error {
        TileError::Missing { tile }
        | TileError::Length { tile, .. }
        | TileError::Trailing { tile, .. } => of(tile, 0),
        TileError::Truncated { tile, entry, .. } => of(tile, *entry as u64),
        TileError::Mismatch { index } => damaged(dir, format!("leaf {index}"), Some(*index)),
        other => unavailable("read the tiles", other.to_string()),
    }
}

/// Reads a file of the published log; none for paths that are not of the layout.
pub(crate) fn log_file(
    disk: &dyn Disk,
    dir: &Path,
    path: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    if path != "checkpoint" {
        let Ok(tile) = path.parse::<Tile>() else {
            return Ok(None);
        };
        let tiles = DirTiles { disk, dir };
        return match tiles.read(tile) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(ledger::TileError::Missing { .. }) => Ok(None),
            Err(error) => Err(unavailable(format!("read `{path}`"), error)),
        };
    }
    let path = dir.join(path);
    disk::read(disk, &path).map_err(|e| unavailable(format!("read `{}`", path.display()), e))
}
