//! The writer thread: group commit.
//!
//! It takes whatever arrived while the last sync ran, decides about each batch, and makes all of
//! them durable with one write and one sync (and one of each before for payloads, if there are
//! any). Nobody hears of success before that. When something fails in a way that leaves it open
//! what is durable, nothing is ever acknowledged on top of it.

use std::sync::Arc;

use ledger::{Appended, StoreError};
use model::{Digest, EventId, SubjectId};
use rusqlite::Connection;

use super::index::{Blob, Reader, open_reader};
use super::log::{AppendError, Tail};
use super::segment::Head;
use super::shared::{Answer, Group, Request, Shared, ToIndex, ToSeal};
use crate::admit::{Admitted, Known, Staged, admit};
use crate::error::{again, chain};

/// The most that is written at once, in bytes.
const GROUP_LEN: usize = 4 << 20;

/// The largest buffer that is kept from one group to the next, in bytes: a payload can be large.
const BUFFER_KEPT: usize = 2 * GROUP_LEN;

pub(crate) struct Writer {
    shared: Arc<Shared>,
    tail: Tail,
    segment_len: u64,
    lookup: Lookup,
    /// What is written from. Kept from one group to the next: fresh memory costs more than what is
    /// copied into it.
    buffer: Vec<u8>,
}

/// What is known, from memory first and from the index where only that knows.
struct Lookup {
    shared: Arc<Shared>,
    connection: Option<(u64, Connection)>,
}

impl Lookup {
    fn ask<T>(
        &mut self,
        question: impl Fn(Reader<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let generation = self
            .shared
            .generation
            .load(std::sync::atomic::Ordering::Acquire);
        if self
            .connection
            .as_ref()
            .is_none_or(|(of, _)| *of != generation)
        {
            let connection =
                open_reader(&self.shared.index_path).map_err(|e| self.shared.index_error(&e))?;
            self.connection = Some((generation, connection));
        }
        let (_, connection) = self.connection.as_ref().expect("it was opened above");
        question(Reader(connection)).map_err(|e| self.shared.index_error(&e))
    }
}

impl Known for Lookup {
    fn seq_of(&mut self, event: EventId) -> Result<Option<u64>, StoreError> {
        let answer = self.shared.recent().seq_of(event);
        match answer {
            Answer::Known(seq) => Ok(seq),
            Answer::Ask => self.ask(|index| index.seq_of(event)),
        }
    }

    fn head(&mut self, stream: [u8; 16]) -> Result<Option<EventId>, StoreError> {
        let answer = self.shared.recent().head(stream);
        match answer {
            Answer::Known(head) => Ok(head),
            Answer::Ask => self.ask(|index| index.head(stream)),
        }
    }
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, tail: Tail, segment_len: u64) -> Self {
        let lookup = Lookup {
            shared: Arc::clone(&shared),
            connection: None,
        };
        Self {
            shared,
            tail,
            segment_len,
            lookup,
            buffer: Vec::new(),
        }
    }

    /// Runs until the inbox is closed.
    pub(crate) fn run(mut self) {
        while let Some(requests) = self.shared.inbox.take(GROUP_LEN, &[]) {
            self.commit(requests);
        }
    }

    fn commit(&mut self, requests: Vec<Request>) {
        let first = self.shared.log.durable();
        let mut staged = Staged::default();
        let mut waiting = Vec::with_capacity(requests.len());
        let mut leaves = Vec::new();
        let mut batches: Vec<u32> = Vec::new();
        let mut payloads = Vec::new();
        for Request { mut batch, reply } in requests {
            let next = first + leaves.len() as u64;
            let admitted = self
                .writable()
                .and_then(|()| admit(&mut self.lookup, &mut staged, next, &batch));
            let result = admitted.map(
                |Admitted {
                     seqs,
                     new,
                     payloads: kept,
                 }| {
                    for (place, subject) in kept {
                        let (ct, bytes) = std::mem::take(&mut batch.payloads[place]);
                        payloads.push((subject, ct, bytes));
                    }
                    let count = new.len();
                    let mut keep = new.into_iter().peekable();
                    for (place, leaf) in batch.leaves.into_iter().enumerate() {
                        if keep.next_if_eq(&place).is_some() {
                            leaves.push(leaf);
                            batches.push(u32::try_from(keep.len()).expect("batches are smaller"));
                        }
                    }
                    Appended { seqs, new: count }
                },
            );
            waiting.push((reply, result));
        }
        if leaves.is_empty() {
            for (reply, result) in waiting {
                let _ = reply.send(result);
            }
            return;
        }
        let mut group = Group {
            first,
            leaves,
            blobs: Vec::new(),
            packs: (0, 0),
        };
        if let Err(error) = self.write(&mut group, &batches, &payloads) {
            for (reply, _) in waiting {
                let _ = reply.send(Err(again(&error)));
            }
            return;
        }
        let at = group.leaves.last().map(|leaf| leaf.keys().at);
        *self
            .shared
            .last
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = at;
        let indexed = self.shared.indexed.borrow().size;
        self.shared.recent().add(&group, indexed);
        for (reply, result) in waiting {
            // Whoever stopped waiting finds the event by its id.
            let _ = reply.send(result);
        }
        let weight = group.weight();
        let group = Arc::new(group);
        // Both slow the next group down when they are behind. A closed queue is being stopped.
        let _ = self
            .shared
            .to_index
            .push(weight, ToIndex::Group(Arc::clone(&group)));
        let _ = self.shared.to_seal.push(weight, ToSeal::Group(group));
    }

    fn writable(&self) -> Result<(), StoreError> {
        self.shared.check_writable()?;
        if self.shared.recent().overflows() {
            let indexed = self.shared.indexed.borrow().clone();
            return Err(crate::error::unavailable(
                "append while the index stands still",
                indexed
                    .failed
                    .map_or_else(|| "it is far behind".to_owned(), |why| chain(&*why)),
            ));
        }
        Ok(())
    }

    fn write(
        &mut self,
        group: &mut Group,
        batches: &[u32],
        payloads: &[(SubjectId, Digest, Vec<u8>)],
    ) -> Result<(), StoreError> {
        let before = self.tail;
        let mut tail = before;
        let result = self.try_write(&mut tail, group, batches, payloads);
        let error = match result {
            Ok(blobs) => {
                self.tail = tail;
                group.blobs = blobs;
                group.packs = (tail.pack, tail.pack_end);
                return Ok(());
            }
            Err(error) => error,
        };
        // A segment that was begun stays; what was written of the group does not.
        self.tail = Tail {
            pack: before.pack,
            pack_end: before.pack_end,
            ..tail
        };
        let moved = (tail.pack, tail.pack_end) != (before.pack, before.pack_end);
        match error {
            AppendError::Full => {
                if moved && let Err(error) = self.shared.packs.take_back(&before, &tail) {
                    return Err(self.poison("take back payloads", &error));
                }
                Err(StoreError::Full {
                    path: self.shared.paths.dir.clone(),
                })
            }
            AppendError::Failed(doing, error) => Err(self.poison(doing, &error)),
        }
    }

    fn try_write(
        &mut self,
        tail: &mut Tail,
        group: &Group,
        batches: &[u32],
        payloads: &[(SubjectId, Digest, Vec<u8>)],
    ) -> Result<Vec<Blob>, AppendError> {
        let log = &self.shared.log;
        if tail.segment == 0 || tail.end >= self.segment_len {
            log.roll(tail)?;
        }
        let blobs = match payloads {
            [] => Vec::new(),
            payloads => self.shared.packs.append(tail, payloads, &mut self.buffer)?,
        };
        let (pack, pack_end) = (tail.pack, tail.pack_end);
        let places = (0u32..).zip(group.leaves.iter().zip(batches));
        let records = places.map(|(place, (leaf, left))| {
            let head = Head {
                seq: group.first + u64::from(place),
                group: place,
                left: *left,
                pack,
                pack_end,
            };
            (head, leaf.bytes())
        });
        log.append(tail, &mut self.buffer, records)?;
        if self.buffer.capacity() > BUFFER_KEPT {
            self.buffer = Vec::new();
        }
        Ok(blobs)
    }

    fn poison(&self, doing: &str, error: &std::io::Error) -> StoreError {
        let reason = format!("could not {doing}: {error}");
        let reason = self.shared.poisoned.get_or_init(|| reason).clone();
        StoreError::Poisoned { reason }
    }
}
