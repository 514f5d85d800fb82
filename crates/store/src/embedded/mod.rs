//! The embedded store: one directory, one process, no server.
//!
//! ```text
//!   append ──► inbox ──► writer ──► packs, segments (durable) ──┬──► index thread ──► SQLite
//!                          │ acknowledges                       └──► sealer ──► bundles, tiles
//!                          ▼                                                       │ publish
//!                        caller                                                    ▼
//!                                                                    signed, witness, checkpoint
//! ```
//!
//! Every queue is bounded: whoever is behind slows down whoever is ahead. The segments are the
//! truth; the index, the offsets and the tiles are made from them. The files are described in
//! `docs/design/on-disk-format.md`.
//!
//! Nothing blocks the caller's runtime: each thread is the store's own, and answers come back
//! through channels. Start with [`EmbeddedStore::open`].

mod cursor;
mod finish;
mod index;
mod indexer;
mod keeper;
pub(crate) mod keys;
mod log;
mod many;
pub(crate) mod marks;
mod noted;
mod open;
mod options;
pub(crate) mod pack;
mod seal;
pub(crate) mod segment;
mod shared;
mod unsynced;
pub(crate) mod witness;
mod writer;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use ledger::digest::sha256;
use ledger::{
    Appended, Batch, BlobState, DecisionRow, Direction, Found, KeyState, Leaf, Page, RunRow,
    Sealing, Store, StoreError, StoreStatus, SubjectKey, ToolRow,
};
use model::{
    Body, DecisionId, Digest, Edge, Event, EventId, HybridTime, Kind, Origin, RunId, Strength,
    SubjectId, Touched,
};
use tokio::sync::{Semaphore, oneshot};

pub(crate) use self::cursor::Cursor;
pub(crate) use self::index::{
    Mark, digests as index_digests, in_memory, mark as index_mark, open_reader,
};
use self::index::{Reader, touch_key};
pub(crate) use self::indexer::rebuild_index;
pub(crate) use self::log::{Log, Opening};
use self::many::Found as FoundPayload;
use self::open::READERS;
pub(crate) use self::open::{check_format, never_begun, no_log};
pub(crate) use self::options::Paths;
pub(crate) use self::seal::broken_tile;
use self::shared::{Answer, Reply, Request, Shared, ToIndex, ToKeys, ToSeal};
use crate::disk::Guard;
use crate::error::{chain, unavailable};
use crate::worker::Worker;

pub use options::{Clock, Continue, Indexing, OpenOptions};

/// So few are asked for on one thread.
const PART: usize = 32;

/// A store in a directory.
#[derive(Debug)]
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    room: Semaphore,
    room_len: u32,
    read_only: bool,
    workers: Mutex<Vec<Worker>>,
    guard: Mutex<Option<Box<dyn Guard>>>,
    entropy: Arc<dyn ledger::Entropy>,
}

impl EmbeddedStore {
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(Reader<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.shared.check_open()?;
        let (reply, answer) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        self.read_job(reply, move |connection| {
            question(Reader(connection?)).map_err(|e| shared.index_error(&e))
        });
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs `work` on a reading thread.
    fn read_job<T: Send + 'static>(
        &self,
        reply: Reply<T>,
        work: impl FnOnce(Result<&rusqlite::Connection, StoreError>) -> Result<T, StoreError>
        + Send
        + 'static,
    ) {
        let job: shared::ReadJob = Box::new(move |connection| {
            let _ = reply.send(work(connection));
        });
        // A closed queue drops the job, and with it the reply: the caller hears `Closed`.
        let _ = self.shared.to_read.force(1, job);
    }

    async fn off_runtime<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.shared.check_open()?;
        let (reply, answer) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        self.read_job(reply, move |_| work(&shared));
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Asks the index about many in parts, each on a reading thread of its own.
    async fn ask_parts<A: Copy + Send + 'static, T: Send + 'static>(
        &self,
        asked: &[A],
        question: impl Fn(Reader<'_>, &[A]) -> rusqlite::Result<Vec<T>> + Copy + Send + 'static,
    ) -> Result<Vec<T>, StoreError> {
        let answer = move |shared: &Shared, index: Reader<'_>, part: &[A]| {
            question(index, part).map_err(|e| shared.index_error(&e))
        };
        self.in_parts(asked, answer).await
    }

    /// Answers for many in parts, each on a reading thread of its own.
    async fn in_parts<A: Copy + Send + 'static, T: Send + 'static>(
        &self,
        asked: &[A],
        answer: impl Fn(&Shared, Reader<'_>, &[A]) -> Result<Vec<T>, StoreError> + Copy + Send + 'static,
    ) -> Result<Vec<T>, StoreError> {
        self.shared.check_open()?;
        let part = asked.len().div_ceil(READERS).max(PART);
        let parts = asked.chunks(part).map(|part| {
            let (reply, found) = oneshot::channel();
            let (shared, part) = (Arc::clone(&self.shared), part.to_vec());
            self.read_job(reply, move |connection| {
                answer(&shared, Reader(connection?), &part)
            });
            found
        });
        let mut found = Vec::with_capacity(asked.len());
        for part in parts.collect::<Vec<_>>() {
            found.extend(part.await.map_err(|_| StoreError::Closed)??);
        }
        Ok(found)
    }

    fn writable(&self) -> Result<(), StoreError> {
        self.shared.check_open()?;
        if self.read_only {
            return Err(unavailable(
                "write",
                "the store was opened to read only".to_owned(),
            ));
        }
        self.shared.check_writable()
    }

    async fn seal<T>(&self, work: impl FnOnce(Reply<T>) -> ToSeal) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        if self.shared.to_seal.force(0, work(reply)).is_err() {
            return Err(StoreError::Closed);
        }
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Makes a new signing key, announces it in the log, and publishes a checkpoint signed with
    /// the old key and the new one. Both sign until the next rotation or
    /// [`retire_old_key`](Self::retire_old_key). Returns the new verifier key.
    ///
    /// # Errors
    /// As [`Store::append`] and [`Store::publish`].
    pub async fn rotate_key(&self, at: HybridTime) -> Result<String, StoreError> {
        self.writable()?;
        let (old, new) = self.seal(ToSeal::PrepareKey).await?;
        let mut random = [0; 10];
        self.entropy.fill(&mut random);
        let event = Event {
            at,
            body: Body::KeyRotated {
                new: new.clone(),
                old,
            },
            id: EventId::new(at.millis(), random),
            prev: None,
            v: 1,
        };
        let leaf = Leaf::encode(&event).map_err(|e| unavailable("announce the next key", e))?;
        self.append(Batch {
            leaves: vec![leaf],
            payloads: Vec::new(),
        })
        .await?;
        self.seal(ToSeal::AdoptKey).await?;
        self.publish().await?;
        Ok(new)
    }

    /// Ends the overlap after a rotation: only the newest key signs from now on.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the key file cannot be written.
    pub async fn retire_old_key(&self) -> Result<(), StoreError> {
        self.writable()?;
        self.seal(ToSeal::RetireKey).await
    }

    /// Returns a digest of each table of the index, with how many rows it has: equal for equal
    /// indexes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn index_digests(&self) -> Result<Vec<(&'static str, u64, Digest)>, StoreError> {
        self.ask(|index| index_digests(index.0)).await
    }

    fn stop(&self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.inbox.close();
        self.room.close();
        self.shared.to_index.close();
        self.shared.to_seal.close();
        self.shared.to_keys.close();
        self.shared.to_read.clear();
        let workers =
            std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner));
        drop(workers);
        self.guard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.stop();
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn append(&self, batch: Batch) -> Result<Appended, StoreError> {
        self.writable()?;
        if let Some((ct, _)) = batch
            .payloads
            .iter()
            .find(|(ct, bytes)| sha256(bytes) != *ct)
        {
            return Err(StoreError::Payload { ct: *ct });
        }
        let bytes: usize = batch
            .leaves
            .iter()
            .map(|leaf| leaf.bytes().len() + 512)
            .sum::<usize>()
            + batch
                .payloads
                .iter()
                .map(|(_, bytes)| bytes.len())
                .sum::<usize>();
        let room = u32::try_from(bytes / 1024 + 1)
            .unwrap_or(u32::MAX)
            .min(self.room_len);
        let _room = self
            .room
            .acquire_many(room)
            .await
            .map_err(|_| StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        if self
            .shared
            .inbox
            .force(bytes, Request { batch, reply })
            .is_err()
        {
            return Err(StoreError::Closed);
        }
        answer.await.map_err(|_| StoreError::Closed)?
    }

    async fn read(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.off_runtime(move |shared| {
            // A single one needs no window for what follows it.
            if limit == 1 {
                let mut leaves = Vec::new();
                if from < shared.log.durable() {
                    let keep = |seq, leaf: &[u8]| leaves.push((seq, leaf.to_vec()));
                    many::read_leaves(&shared.log, &[from], keep)?;
                }
                return Ok(leaves);
            }
            let records = shared.log.read(from, limit, usize::MAX)?;
            Ok(records
                .into_iter()
                .map(|record| (record.head.seq, record.leaf))
                .collect())
        })
        .await
    }

    async fn status(&self) -> Result<StoreStatus, StoreError> {
        self.shared.check_open()?;
        if let Some(reason) = self.shared.poisoned.get() {
            return Err(StoreError::Poisoned {
                reason: reason.clone(),
            });
        }
        let mut notices = self
            .shared
            .notices
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(refused) = self.shared.refused.get() {
            notices.push(format!("nothing is signed or appended any more: {refused}"));
        }
        let indexed = self.shared.indexed.borrow().clone();
        notices.extend(
            indexed
                .failed
                .map(|why| format!("the index stands still: {}", chain(&*why))),
        );
        Ok(StoreStatus {
            durable: self.shared.log.durable(),
            indexed: indexed.size,
            published: self.shared.published.load(Ordering::Acquire),
            last: *self
                .shared
                .last
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
            notices,
        })
    }

    async fn wait_indexed(&self, size: u64) -> Result<(), StoreError> {
        self.shared.check_open()?;
        let mut indexed = self.shared.indexed.subscribe();
        let mut tried = false;
        loop {
            let now = indexed.borrow_and_update().clone();
            if now.size >= size {
                return Ok(());
            }
            self.shared.index_stands(&now, size, &mut tried)?;
            self.shared.to_index.hurry();
            indexed.changed().await.map_err(|_| StoreError::Closed)?;
        }
    }

    async fn publish(&self) -> Result<String, StoreError> {
        self.writable()?;
        self.seal(ToSeal::Publish).await
    }

    async fn log_file(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = path.to_owned();
        self.off_runtime(move |shared| seal::log_file(&*shared.disk, &shared.paths.log(), &path))
            .await
    }

    async fn sealing(&self) -> Result<Sealing, StoreError> {
        self.shared.check_open()?;
        let keys = self.shared.log_keys();
        Ok(Sealing {
            origin: keys.origin().to_owned(),
            log: keys.public().iter().map(ToString::to_string).collect(),
            witnesses: self
                .shared
                .witness
                .iter()
                .map(|witness| witness.public())
                .collect(),
        })
    }

    async fn payloads(
        &self,
        asked: &[(EventId, Digest)],
    ) -> Result<Vec<Result<BlobState, StoreError>>, StoreError> {
        let durable = self.shared.log.durable();
        // Before the index is asked: what comes meanwhile must not make an answer of then complete.
        let behind = !self.read_only && self.shared.indexed.borrow().size < durable;
        let mut found = self.in_parts(asked, many::payloads).await?;
        let absent = |found: &FoundPayload| matches!(found, Ok(BlobState::Absent));
        let places = 0..asked.len();
        let missing: Vec<usize> = places.filter(|place| absent(&found[*place])).collect();
        if behind && !missing.is_empty() {
            // They may have been appended just now.
            self.wait_indexed(durable).await?;
            let again = missing.iter().map(|place| asked[*place]);
            let again: Vec<(EventId, Digest)> = again.collect();
            let again = self.in_parts(&again, many::payloads).await?;
            for (place, again) in missing.into_iter().zip(again) {
                found[place] = again;
            }
        }
        Ok(found)
    }

    async fn key(&self, subject: SubjectId) -> Result<KeyState, StoreError> {
        self.shared.check_open()?;
        self.shared.subject_keys().get(subject)
    }

    async fn keep_key(&self, subject: SubjectId, key: SubjectKey) -> Result<(), StoreError> {
        self.keep_keys(vec![(subject, key)]).await
    }

    async fn keep_keys(&self, keys: Vec<(SubjectId, SubjectKey)>) -> Result<(), StoreError> {
        self.writable()?;
        let (reply, answer) = oneshot::channel();
        if self
            .shared
            .to_keys
            .force(1, ToKeys::Keep(keys, reply))
            .is_err()
        {
            return Err(StoreError::Closed);
        }
        answer.await.map_err(|_| StoreError::Closed)?
    }

    async fn destroy_key(&self, subject: SubjectId) -> Result<(), StoreError> {
        self.writable()?;
        let (reply, answer) = oneshot::channel();
        if self
            .shared
            .to_keys
            .force(1, ToKeys::Destroy(subject, reply))
            .is_err()
        {
            return Err(StoreError::Closed);
        }
        answer.await.map_err(|_| StoreError::Closed)?
    }

    async fn head(&self, stream: [u8; 16]) -> Result<Option<EventId>, StoreError> {
        let recent = self.shared.recent().head(stream);
        match recent {
            Answer::Known(head) if !self.read_only => {
                self.shared.check_open()?;
                Ok(head)
            }
            _ => self.ask(move |index| index.head(stream)).await,
        }
    }

    async fn runs(&self, page: Page) -> Result<Vec<RunRow>, StoreError> {
        self.ask(move |index| index.runs(page)).await
    }

    async fn named_runs(&self, limit: u64) -> Result<Vec<(String, RunId)>, StoreError> {
        self.ask(move |index| index.named_runs(limit)).await
    }

    async fn imported(&self, origins: &[Origin]) -> Result<Vec<Option<RunRow>>, StoreError> {
        let origins = origins.to_vec();
        self.ask(move |index| {
            origins
                .iter()
                .map(|origin| index.imported(origin))
                .collect()
        })
        .await
    }

    async fn run(&self, run: RunId) -> Result<Option<RunRow>, StoreError> {
        self.ask(move |index| index.run(run)).await
    }

    async fn decisions(
        &self,
        run: Option<RunId>,
        page: Page,
    ) -> Result<Vec<DecisionRow>, StoreError> {
        self.ask(move |index| index.decisions(run, page)).await
    }

    async fn decisions_of(
        &self,
        kind: Kind,
        runs: Option<&[RunId]>,
    ) -> Result<Vec<DecisionRow>, StoreError> {
        let runs = runs.map(<[RunId]>::to_vec);
        self.ask(move |index| index.decisions_of(kind, runs.as_deref()))
            .await
    }

    async fn rows(&self, ids: &[DecisionId]) -> Result<Vec<DecisionRow>, StoreError> {
        self.ask_parts(ids, |index, ids| index.rows(ids)).await
    }

    async fn events_of(&self, decision: DecisionId) -> Result<Vec<u64>, StoreError> {
        self.ask(move |index| index.events_of(decision)).await
    }

    async fn leaves_of(
        &self,
        decisions: &[DecisionId],
    ) -> Result<Vec<Vec<(u64, Vec<u8>)>>, StoreError> {
        self.in_parts(decisions, many::leaves).await
    }

    async fn events_about(&self, subject: SubjectId) -> Result<Vec<u64>, StoreError> {
        self.ask(move |index| index.events_about(subject)).await
    }

    async fn events_named(&self, names: &[&str]) -> Result<Vec<u64>, StoreError> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.ask(move |index| index.events_named(&names)).await
    }

    async fn touching(
        &self,
        touched: &[Touched],
        since: u64,
    ) -> Result<Vec<DecisionId>, StoreError> {
        let touched: Vec<i64> = touched.iter().map(touch_key).collect();
        let ask = move |index: Reader<'_>, touched: &[i64]| index.touching(touched, since);
        let mut found = self.ask_parts(&touched, ask).await?;
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    async fn tools(&self, page: Page) -> Result<Vec<ToolRow>, StoreError> {
        self.ask(move |index| index.tools(page)).await
    }

    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<Found>, StoreError> {
        let prefix = prefix.to_owned();
        self.ask(move |index| index.find(&prefix, limit)).await
    }

    async fn find_end(&self, suffix: &str, limit: usize) -> Result<Vec<Found>, StoreError> {
        let suffix = suffix.to_owned();
        self.ask(move |index| index.find_end(&suffix, limit)).await
    }

    async fn edges(
        &self,
        ids: &[DecisionId],
        direction: Direction,
    ) -> Result<Vec<Edge>, StoreError> {
        let ids: BTreeSet<DecisionId> = ids.iter().copied().collect();
        let ids: Vec<DecisionId> = ids.into_iter().collect();
        let ask = move |index: Reader<'_>, ids: &[DecisionId]| index.edges(ids, direction);
        self.ask_parts(&ids, ask).await
    }

    async fn closure(
        &self,
        id: DecisionId,
        direction: Direction,
        least: Strength,
        limit: usize,
    ) -> Result<Vec<(DecisionId, u32)>, StoreError> {
        self.ask(move |index| index.closure(id, direction, least, limit))
            .await
    }

    async fn reindex(&self) -> Result<u64, StoreError> {
        self.shared.check_open()?;
        if self.read_only {
            return Err(unavailable(
                "rebuild the index",
                "the store was opened to read only".to_owned(),
            ));
        }
        let (reply, answer) = oneshot::channel();
        if self
            .shared
            .to_index
            .force(0, ToIndex::Rebuild(reply))
            .is_err()
        {
            return Err(StoreError::Closed);
        }
        self.shared.to_index.hurry();
        answer.await.map_err(|_| StoreError::Closed)?
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.shared.check_open()?;
        let published = if self.read_only {
            Ok(())
        } else {
            self.publish().await.map(drop)
        };
        self.stop();
        published
    }
}
