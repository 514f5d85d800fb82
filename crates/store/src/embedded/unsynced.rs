//! Files that are written and not synced yet.
//!
//! Many of them are synced on a thread of their own while more are written: to write them needs a
//! core, to sync them the disk. A failed sync is told once and never tried again, since the pages may
//! be gone. What is to come after the sync is for the caller to hold back until [`Unsynced::end`].

use std::sync::Arc;

use ledger::StoreError;

use crate::disk::DiskFile;
use crate::worker::{self, Task};

/// Files that are synced together as soon as there are so many of them, before anybody publishes:
/// whoever publishes waits for the disk.
const MANY: usize = 64;
/// Files from which on several are synced at once.
const SEVERAL: usize = 8;
/// So many wait, at most, while those before them are synced.
const WAITING_MAX: usize = 4 * MANY;
/// How many are synced at once: each waits for the disk and for nothing else, and a disk takes several
/// requests at a time.
const AT_ONCE: usize = 4;

/// Files in the order in which they were written.
#[derive(Default)]
pub(super) struct Unsynced {
    files: Vec<Arc<dyn DiskFile>>,
    /// Syncs those before them.
    before: Option<Task<Result<(), StoreError>>>,
}

impl Unsynced {
    /// Takes a file that was written from its beginning.
    pub(super) fn add(&mut self, file: Arc<dyn DiskFile>, written: &[u8]) {
        file.write_out(0, written.len() as u64);
        self.files.push(file);
    }

    /// Begins to sync what is there, if that is much, and waits only where far too much waits.
    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        let wait = self.files.len() >= WAITING_MAX;
        if let Some(before) = self.before.take_if(|before| wait || before.is_done()) {
            before.end()?;
        }
        if self.files.len() < MANY || self.before.is_some() {
            return Ok(());
        }
        let files = Arc::new(std::mem::take(&mut self.files));
        let theirs = Arc::clone(&files);
        match worker::begin("rescind-sync", move || sync(&theirs)) {
            Ok(task) => self.before = Some(task),
            Err(_) => sync(&files)?,
        }
        Ok(())
    }

    /// Makes all of it durable.
    pub(super) fn end(&mut self) -> Result<(), StoreError> {
        let synced = sync(&std::mem::take(&mut self.files));
        let before = self.before.take().map_or(Ok(()), Task::end);
        before.and(synced)
    }
}

fn sync(files: &[Arc<dyn DiskFile>]) -> Result<(), StoreError> {
    at_once(files, SEVERAL, |file| {
        file.sync().map_err(|e| StoreError::Poisoned {
            reason: format!("could not sync a tile: {e}"),
        })
    })
}

/// Does `work` for each item, and from `many` items on for some at once.
pub(super) fn at_once<T: Sync>(
    items: &[T],
    many: usize,
    work: impl Fn(&T) -> Result<(), StoreError> + Sync,
) -> Result<(), StoreError> {
    let parts = if items.len() < many { 1 } else { AT_ONCE };
    let done = worker::scatter(parts, |part| {
        let mut items = items.iter().skip(part).step_by(parts);
        items.try_for_each(&work)
    });
    done.into_iter().collect()
}
