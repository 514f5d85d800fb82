//! The journal seam: what is written down before anything depends on it.
//!
//! A batch goes into the journal first, which costs one write and no sync, and into the log after
//! that. What a process that was killed had put and not appended is put into the log by the next
//! one: appending is idempotent by event id, so nothing is there twice. The same journal holds
//! what cannot be appended while the log's own disk is down.
//!
//! The journal is no part of the record. It holds leaves and ciphertexts, never contents.

use std::fmt;

use crate::{Batch, StoreError};

/// Keeps batches until they are in the log.
///
/// What callers may rely on: what [`put`](Journal::put) returned for is found by
/// [`next_left`](Journal::next_left) of a later process, in the order in which it was put, unless
/// [`done`](Journal::done) was said of it. It survives the end of the process; whether it survives
/// the end of the machine is the log's business, not the journal's.
pub trait Journal: Send + Sync + fmt::Debug {
    /// Writes a batch down.
    ///
    /// # Errors
    /// [`StoreError::Full`] where there is no room; [`StoreError::Unavailable`].
    fn put(&self, batch: &Batch) -> Result<Place, StoreError>;

    /// Says that the batch at `place` is in the log, durably. What it took is free again.
    fn done(&self, place: Place);

    /// Returns the next batch that an earlier process put and did not finish; none when all were
    /// returned. Say [`done`](Journal::done) of each once it is in the log.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]. A record that was torn by the end of the process was never
    /// acknowledged and is passed over.
    fn next_left(&self) -> Result<Option<(Place, Batch)>, StoreError>;

    /// Returns how many bytes wait to be appended.
    fn pending(&self) -> u64;
}

/// Where a batch lies in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: u64,
    /// How many bytes the batch takes in it.
    pub len: u64,
}
