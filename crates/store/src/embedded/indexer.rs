//! The index thread: puts what was appended into the index, many leaves to a transaction.
//!
//! What it is handed is only a short way: where a group does not follow the watermark, or the
//! index failed before, it reads the log from the watermark on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ledger::{Leaf, StoreError};
use model::IndexKeys;

use super::index::wal::Shortener;
use super::index::{self, Blob, Lot, Mark, Writer};
use super::log::{Log, Record};
use super::options::Indexing;
use super::pack::Packs;
use super::shared::{Group, Indexed, Shared, ToIndex};
use crate::error::{damaged, unavailable};

/// About 8,192 events of 1 KiB, in bytes.
const BATCH: usize = 12 << 20;
/// How long a transaction waits for more, unless somebody waits for the index: its rows share the
/// pages that they go into, and every page that was touched is written once for each. A call that
/// begins and ends meanwhile is written once, too.
const PATIENCE: Duration = Duration::from_millis(250);
/// How much must have come by then for it to wait on: whoever writes so much writes more, and rows
/// in one transaction share the pages that they go into.
const LOADED: usize = 1 << 20;
/// How long it waits then.
const PATIENCE_LOADED: Duration = Duration::from_millis(200);
pub(crate) struct Indexer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: Writer,
}

impl Indexer {
    /// Runs until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let patience = [(LOADED, PATIENCE), (BATCH, PATIENCE_LOADED)];
        let mut shortener = Shortener::default();
        Shortener::take_over(self.writer.connection());
        while let Some(work) = self.shared.to_index.take(BATCH, &patience) {
            let mut groups = Vec::new();
            let mut rebuilds = Vec::new();
            for each in work {
                match each {
                    ToIndex::Group(group) => groups.push(group),
                    // Without groups it is the log that is read, from the watermark on.
                    ToIndex::Again => {}
                    ToIndex::Rebuild(reply) => rebuilds.push(reply),
                }
            }
            let result = self.take(&groups);
            self.tell(result.err());
            for reply in rebuilds {
                // It is of the file that goes.
                shortener.end();
                let rebuilt = self.rebuild();
                Shortener::take_over(self.writer.connection());
                self.tell(None);
                let _ = reply.send(rebuilt);
            }
            shortener.look(self.writer.connection());
        }
        shortener.end();
    }

    fn tell(&self, error: Option<StoreError>) {
        let failed = error.map(Arc::new);
        let size = self.writer.mark().size;
        self.shared.indexed.send_replace(Indexed { size, failed });
    }

    fn take(&mut self, groups: &[Arc<Group>]) -> Result<(), StoreError> {
        let follows = |at: u64| {
            groups.iter().try_fold(at, |at, group| {
                (group.first == at).then(|| at + group.leaves.len() as u64)
            })
        };
        if groups.is_empty() || follows(self.writer.mark().size).is_none() {
            return catch_up(&mut self.writer, &self.shared.log, &self.shared.packs, None);
        }
        let mut lot = Lot::default();
        for group in groups {
            let leaves = group.leaves.iter();
            let leaves = leaves.map(|leaf| (leaf.bytes(), leaf.keys()));
            lot.add(leaves, &group.blobs, group.packs);
        }
        write(&mut self.writer, &lot)
    }

    /// Builds a new index beside the old one and puts it in its place.
    fn rebuild(&mut self) -> Result<u64, StoreError> {
        let path = &self.shared.index_path;
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let fresh = PathBuf::from(name);
        index::remove(&fresh)?;
        let indexing = self.shared.indexing.as_ref();
        let writer = build(&fresh, &self.shared.log, &self.shared.packs, indexing)?;
        let mark = writer.mark();
        // All of it into the one file, which can then be renamed.
        writer
            .connection()
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(|e| unavailable("rebuild the index", e))?;
        drop(writer);
        // Closes the old one before its files go.
        self.writer = Writer::new(index::in_memory()?, Mark::default());
        index::remove(path)?;
        let moved = std::fs::rename(&fresh, path);
        let (connection, found, _) = index::open(path)?;
        self.writer = Writer::new(connection, found);
        self.shared.generation.fetch_add(1, Ordering::AcqRel);
        moved.map_err(|e| unavailable(format!("replace `{}`", path.display()), e))?;
        Ok(mark.size)
    }
}

/// Builds an index at `path` from the log.
pub(crate) fn build(
    path: &Path,
    log: &Log,
    packs: &Packs,
    indexing: Option<&Indexing>,
) -> Result<Writer, StoreError> {
    let (connection, mark, _) = index::open(path)?;
    let mut writer = Writer::new(connection, mark);
    catch_up(&mut writer, log, packs, indexing)?;
    Ok(writer)
}

/// Builds an index of the first `size` leaves in an empty database, to compare with another.
pub(crate) fn rebuild_index(
    connection: rusqlite::Connection,
    log: &Log,
    payloads: &Path,
    disk: Arc<dyn crate::disk::Disk>,
    size: u64,
) -> Result<rusqlite::Connection, StoreError> {
    let packs = Packs::look(disk, payloads);
    let mut writer = Writer::new(connection, Mark::default());
    catch_up_to(&mut writer, log, &packs, size, None)?;
    Ok(writer.into_connection())
}

/// Reads the log from the watermark on, and tells of it where somebody wants to know.
pub(crate) fn catch_up(
    writer: &mut Writer,
    log: &Log,
    packs: &Packs,
    indexing: Option<&Indexing>,
) -> Result<(), StoreError> {
    catch_up_to(writer, log, packs, u64::MAX, indexing)
}

fn catch_up_to(
    writer: &mut Writer,
    log: &Log,
    packs: &Packs,
    size: u64,
    indexing: Option<&Indexing>,
) -> Result<(), StoreError> {
    loop {
        let has = writer.mark().size;
        if let Some(indexing) = indexing {
            indexing(has, log.durable().min(size));
        }
        let records = read_groups(log, has, size)?;
        let Some(last) = records.last() else {
            return Ok(());
        };
        let mut keys = Vec::with_capacity(records.len());
        for record in &records {
            let event = Leaf::decode(&record.leaf)
                .map_err(|e| damaged(Path::new("the log"), e.to_string(), Some(record.head.seq)))?;
            keys.push(IndexKeys::of(&event));
        }
        let Mark { pack, pack_end, .. } = writer.mark();
        let blobs = match position(last) == (pack, pack_end) {
            true => Vec::new(),
            false => packs.between((pack, pack_end), position(last))?,
        };
        write(writer, &lot(&records, &keys, &blobs))?;
    }
}

/// Reads leaves from `from` on and below `size`, whole commit groups.
fn read_groups(log: &Log, from: u64, size: u64) -> Result<Vec<Record>, StoreError> {
    let end = log.durable().min(size);
    let (mut most, mut bytes) = (8_192, BATCH);
    loop {
        let left = usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX);
        let mut records = log.read(from, left.min(most), bytes)?;
        if records.len() == left {
            return Ok(records);
        }
        // The last group may go on behind what was read.
        if let Some(begins) = records.iter().rposition(|record| record.head.group == 0)
            && begins > 0
        {
            records.truncate(begins);
            return Ok(records);
        }
        (most, bytes) = (most.saturating_mul(2), bytes.saturating_mul(2));
    }
}

/// How far the packs were when a leaf was written, which is one for all of its group.
fn position(record: &Record) -> (u32, u64) {
    (record.head.pack, record.head.pack_end)
}

/// Brings leaves together with the payloads that were written with them, group by group.
fn lot<'r>(records: &'r [Record], keys: &'r [IndexKeys], mut blobs: &[Blob]) -> Lot<'r> {
    let mut lot = Lot::default();
    let mut keys = keys.iter();
    for group in records.chunk_by(|_, next| next.head.group > 0) {
        let packs = position(&group[0]);
        let mine = blobs.partition_point(|blob| (blob.place.pack, blob.place.at) < packs);
        let (mine, others) = blobs.split_at(mine);
        blobs = others;
        let leaves = group.iter().map(|record| &record.leaf[..]);
        lot.add(leaves.zip(keys.by_ref()), mine, packs);
    }
    lot
}

fn write(writer: &mut Writer, lot: &Lot<'_>) -> Result<(), StoreError> {
    writer.take(lot).map_err(|error| {
        if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
            let path = Path::new(writer.connection().path().unwrap_or_default());
            let path = path.parent().unwrap_or(path).to_owned();
            return StoreError::Full { path };
        }
        unavailable("write the index", error)
    })
}
