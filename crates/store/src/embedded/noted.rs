//! Where the records of the segment that grows lie, noted now and then, so that opening need not
//! read all of it.
//!
//! A help and never an authority: the note has the form of an offset file, is made from the segment,
//! and is used as far as it is right and leads to a right record. What comes after it is read.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::segment::{HEAD, HEADER, Head, Offsets, Scanned, noted_name};
use crate::disk::{self, Disk, DiskFile};

/// How much must have come since the last note, in bytes: it is read in some milliseconds.
const EVERY: u64 = 16 << 20;

/// How far the records of the last segment are noted.
#[derive(Debug, Default)]
pub(super) struct Noted(Mutex<Place>);

/// The segment of a note, and where the last record that is in it begins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    segment: u32,
    last: u64,
}

impl Noted {
    /// As it was found when the segments were opened.
    pub(super) fn found(segment: u32, last: u64) -> Self {
        Self(Mutex::new(Place { segment, last }))
    }

    /// Keeps everybody else from writing a note meanwhile.
    pub(super) fn lock(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Whether enough came since the last note, now that the last record begins at `last`.
    pub(super) const fn is_due(&self, segment: u32, last: u64) -> bool {
        let before = if self.segment == segment {
            self.last
        } else {
            0
        };
        last >= before + EVERY
    }

    /// Writes a note of all records of a segment that begin at `offsets`.
    pub(super) fn note(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        (segment, first): (u32, u64),
        offsets: Vec<u64>,
    ) -> io::Result<()> {
        let last = offsets.last().copied().unwrap_or_default();
        let note = Offsets {
            first,
            log_len: last,
            offsets,
        };
        disk::replace(disk, &dir.join(noted_name(segment)), &note.encode(), false)?;
        *self = Self { segment, last };
        Ok(())
    }

    /// The segment was sealed: its offset file says all of it.
    pub(super) fn forget(&mut self, disk: &dyn Disk, dir: &Path, segment: u32) {
        if self.segment == segment {
            // One that stays is not read any more.
            let _ = disk.remove(&dir.join(noted_name(segment)));
            *self = Self::default();
        }
    }
}

/// Reads what is noted of a segment, as far as a scan would have found it; none if there is no note
/// that leads to a right record at the end of a batch.
pub(super) fn read(
    disk: &dyn Disk,
    dir: &Path,
    (number, first): (u32, u64),
    file: &dyn DiskFile,
) -> Option<Scanned> {
    let bytes = disk::read(disk, &dir.join(noted_name(number))).ok()??;
    let note = Offsets::decode(&bytes).filter(|note| note.first == first)?;
    let last = *note.offsets.last()?;
    if note.offsets[0] != HEADER as u64 {
        return None;
    }
    let mut record = vec![0; HEAD + ledger::LEAF_LEN_MAX];
    let count = file.read_at(last, &mut record).ok()?;
    let (head, leaf) = Head::decode(&record[..count])?;
    let whole = head.seq + 1 == first + note.offsets.len() as u64 && head.left == 0;
    whole.then(|| Scanned {
        end: last + (HEAD + leaf.len()) as u64,
        last: Some(head),
        offsets: note.offsets,
        ..Scanned::default()
    })
}
