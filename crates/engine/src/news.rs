//! News: what happens in the record, told to whoever follows it.
//!
//! Followers are told one number, how far the record is, and read what lies before it from the
//! record. So a follower that is slow costs nothing and misses nothing, and one that comes back
//! goes on from the sequence number that it had. There is no queue here that could run over.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ledger::{Appended, Batch, DecisionRow, Leaf, StoreError};
use model::{Body, DecisionId, Event, IndexKeys};
use tokio::sync::watch;

use crate::text::recorded;
use crate::view::{NewsView, ReadyView};
use crate::{Engine, EngineError};

/// How far the index may be behind the record before the store counts as not ready, in events.
pub const INDEX_LAG_EVENTS_MAX: u64 = 100_000;

/// How long a refusal stands, in microseconds: then only another attempt can tell.
const REFUSAL_STANDS_US: u64 = 30_000_000;

/// What all clones of an engine know of the record's growth.
#[derive(Debug)]
pub(crate) struct Growth {
    size: watch::Sender<u64>,
    /// How many batches were taken on that go into the log later.
    taken: AtomicU64,
    /// How many of them are in the log, in the order in which they were taken on.
    landed: watch::Sender<u64>,
    /// When an append was refused last, and why; none since one went through.
    refusal: Mutex<Option<(u64, String)>>,
}

impl Growth {
    pub(crate) fn from(size: u64) -> Self {
        Self {
            size: watch::Sender::new(size),
            taken: AtomicU64::new(0),
            landed: watch::Sender::new(0),
            refusal: Mutex::default(),
        }
    }
}

/// Follows the record. Holds one number, however far behind its holder is.
#[derive(Clone, Debug)]
pub struct News {
    size: watch::Receiver<u64>,
}

impl News {
    /// Returns how many events are known to be durable.
    #[must_use]
    pub fn size(&self) -> u64 {
        *self.size.borrow()
    }

    /// Waits until more than `seen` events are durable, and returns how many are; none if the
    /// engine is gone. Safe to give up at any time.
    pub async fn beyond(&mut self, seen: u64) -> Option<u64> {
        self.size
            .wait_for(|size| *size > seen)
            .await
            .ok()
            .map(|size| *size)
    }
}

impl Engine {
    /// Tells followers that the first `size` events of the record are durable. Everything that
    /// appends calls it; a smaller number than was told before changes nothing.
    pub fn announce(&self, size: u64) {
        self.growth.size.send_if_modified(|known| {
            let grew = size > *known;
            *known = size.max(*known);
            grew
        });
        let mut refusal = self.refusal();
        if refusal.is_some() {
            *refusal = None;
        }
    }

    /// Notes that the store refused an append, until one goes through again. Everything that
    /// appends calls it; conflicts are no refusal of the store.
    pub fn refused(&self, error: &StoreError) {
        let conflict = matches!(
            error,
            StoreError::Conflict { .. } | StoreError::KeyExists { .. } | StoreError::Payload { .. }
        );
        if !conflict {
            *self.refusal() = Some((self.clock.wall(), error.to_string()));
        }
    }

    fn refusal(&self) -> MutexGuard<'_, Option<(u64, String)>> {
        let refusal = &self.growth.refusal;
        refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the record.
    #[must_use]
    pub fn news(&self) -> News {
        News {
            size: self.growth.size.subscribe(),
        }
    }

    /// Appends through the store, and tells followers.
    pub(crate) async fn append_batch(&self, batch: Batch) -> Result<Appended, EngineError> {
        match self.store.append(batch).await {
            Ok(appended) => {
                if let Some(last) = appended.seqs.iter().max() {
                    self.announce(last + 1);
                }
                Ok(appended)
            }
            Err(error) => {
                self.refused(&error);
                Err(error.into())
            }
        }
    }

    /// Returns up to `limit` events of the record from sequence number `from` on, each with the
    /// decision that it is about. What is told here can be asked for: the index holds it.
    ///
    /// # Errors
    /// [`EngineError::Store`], [`EngineError::Leaf`].
    pub async fn happened(&self, from: u64, limit: usize) -> Result<Vec<NewsView>, EngineError> {
        let leaves = self.store.read(from, limit).await?;
        let Some((last, _)) = leaves.last() else {
            return Ok(Vec::new());
        };
        self.store.wait_indexed(last + 1).await?;
        let mut events = Vec::with_capacity(leaves.len());
        for (index, bytes) in leaves {
            let event = Leaf::decode(&bytes);
            let event = event.map_err(|source| EngineError::Leaf { index, source })?;
            events.push((index, event));
        }
        let ids: Vec<DecisionId> = events
            .iter()
            .filter_map(|(_, event)| event.body.decision())
            .collect();
        let rows = self.store.rows(&ids).await?;
        let rows: HashMap<DecisionId, DecisionRow> =
            rows.into_iter().map(|row| (row.id, row)).collect();
        Ok(events
            .iter()
            .map(|(seq, event)| {
                let row = event.body.decision().and_then(|id| rows.get(&id));
                news_view(*seq, event, row)
            })
            .collect())
    }

    /// Notes that a batch was taken on that goes into the log later.
    pub(crate) fn took(&self) {
        self.growth.taken.fetch_add(1, Ordering::AcqRel);
    }

    /// Notes that the oldest batch that was taken on is in the log, or never can be.
    pub(crate) fn landed(&self) {
        self.growth.landed.send_modify(|landed| *landed += 1);
    }

    /// Waits until the index holds everything that was recorded before, also what is still on its
    /// way into the log, or `patience` is over. While the store takes nothing, nothing is on its
    /// way.
    pub async fn caught_up(&self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.catch_up()).await;
    }

    async fn catch_up(&self) {
        let taken = self.growth.taken.load(Ordering::Acquire);
        if self.refusal().is_none() {
            let mut landed = self.growth.landed.subscribe();
            let _ = landed.wait_for(|landed| *landed >= taken).await;
        }
        let Ok(status) = self.store.status().await else {
            return;
        };
        if status.indexed < status.durable {
            let _ = self.store.wait_indexed(status.durable).await;
        }
    }

    /// Says whether the store takes what is recorded now.
    ///
    /// Asks by appending nothing, which passes every check of an append and writes no byte; a disk
    /// that is full shows by the last append that it refused.
    pub async fn ready(&self) -> ReadyView {
        let mut reasons = Vec::new();
        if let Err(error) = self.store.append(Batch::default()).await {
            reasons.push(crate::error::chain(&error));
        }
        match self.store.status().await {
            Ok(status) => {
                let lag = status.durable.saturating_sub(status.indexed);
                if lag > INDEX_LAG_EVENTS_MAX {
                    let most = INDEX_LAG_EVENTS_MAX;
                    reasons.push(format!(
                        "the index is {lag} events behind, more than {most}"
                    ));
                }
            }
            Err(error) => reasons.push(crate::error::chain(&error)),
        }
        if let Some((at, why)) = &*self.refusal() {
            let age = self.clock.wall().saturating_sub(*at);
            if age < REFUSAL_STANDS_US {
                reasons.push(format!("the last append was refused: {why}"));
            }
        }
        reasons.dedup();
        ReadyView {
            ready: reasons.is_empty(),
            reasons,
        }
    }
}

fn news_view(seq: u64, event: &Event, row: Option<&DecisionRow>) -> NewsView {
    let keys = row.map(|row| &row.keys);
    let run = match &event.body {
        Body::RunOpened { run, .. } | Body::RunImported { run, .. } => Some(*run),
        _ => keys.map(|keys| keys.run),
    };
    NewsView {
        seq,
        at: recorded(event.at),
        what: event.body.name().to_owned(),
        run: run.map(|run| run.to_string()),
        decision: event.body.decision().map(|id| id.to_string()),
        agent: keys.map(|keys| keys.agent.name.clone()),
        kind: keys.map(|keys| keys.kind.name().to_owned()),
        name: keys.and_then(|keys| keys.name.clone()),
        // A start reads as started here, not as unknown: the news is that it began.
        status: IndexKeys::of(event)
            .status
            .map(|status| status.name().to_owned()),
    }
}
