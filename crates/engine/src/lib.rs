//! Reads, asks the pure crates, writes.
//!
//! The engine sits between the faces (command line, server) and the record. It turns recorded
//! runs into events ([`import`](Engine::import)), answers what was decided and what followed from
//! it ([`look`]), erases ([`erase`](Engine::erase)) and proves ([`prove`]). It tells those who
//! follow the record that it grew ([`News`]), and decides who is let in ([`access`]) for every face
//! that listens. It does not know which store it has, and it is the one home of the wall clock.

pub mod access;
mod address;
mod approvals;
mod at_once;
mod awaits;
mod checkpoints;
mod clock;
mod content;
mod erase;
mod error;
mod follow;
mod import;
pub mod live;
pub mod look;
mod minds;
mod news;
pub mod prove;
mod record;
mod replay;
mod rescinded;
mod text;
mod tools;
pub mod undo;
pub mod view;

use std::sync::{Arc, Mutex, PoisonError};

use crate::news::Growth;
use model::{HybridClock, HybridTime};

pub use approvals::{APPROVAL_EXPIRES_DEFAULT, Ruling};
pub use checkpoints::NewCheckpoint;
pub use clock::{Clock, ManualClock, SystemClock};
pub use erase::{ErasePolicy, RETENTION_DAYS_DEFAULT};
pub use error::{Class, EngineError, chain};
pub use import::{Decoded, ImportOptions, Progress, decode_import};
pub use ledger::{
    Entropy, Journal, Page, Remedy, SeededEntropy, Store, StoreError, StoreStatus, SystemEntropy,
};
pub use news::{INDEX_LAG_EVENTS_MAX, News};
pub use text::stamp;
pub use tools::claim_of;

/// The engine: a store, a clock and a source of randomness.
#[derive(Clone, Debug)]
pub struct Engine {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    time: Arc<Mutex<HybridClock>>,
    growth: Arc<Growth>,
    undo: Arc<undo::Desk>,
    holds: Arc<undo::hold::Holds>,
    writes: Arc<live::writes::Writes>,
}

impl Engine {
    /// Takes up work on a store, from the time of its last event on.
    ///
    /// # Errors
    /// [`EngineError::Store`] if the store does not answer.
    pub async fn start(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, EngineError> {
        let status = store.status().await?;
        let last = status.last.unwrap_or_default();
        let time = Arc::new(Mutex::new(HybridClock::resume(last)));
        let growth = Arc::new(Growth::from(status.durable));
        Ok(Self {
            store,
            clock,
            entropy,
            time,
            growth,
            undo: Arc::default(),
            holds: Arc::default(),
            writes: Arc::default(),
        })
    }

    /// Returns the store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Returns the clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Returns the source of randomness.
    #[must_use]
    pub fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.entropy
    }

    /// Returns the time of the next event: later than every event that this engine made or found.
    #[must_use]
    pub fn next_time(&self) -> HybridTime {
        let wall = self.clock.wall();
        // The clock is a value that is whole between any two calls, so a panic elsewhere while it
        // was held leaves nothing half-done.
        self.time
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next(wall)
    }

    /// Takes note of the time of an event that the store did not have when the engine started.
    pub(crate) fn learn(&self, time: HybridTime) {
        self.time
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .observe(time);
    }

    /// Returns the times of the next `count` events, in order.
    pub(crate) fn next_times(&self, count: usize) -> Vec<HybridTime> {
        let wall = self.clock.wall();
        let mut time = self.time.lock().unwrap_or_else(PoisonError::into_inner);
        (0..count).map(|_| time.next(wall)).collect()
    }
}
