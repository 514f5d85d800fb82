//! Writing: what was built goes into the log while more is built.
//!
//! One batch is on its way at a time, and what is built meanwhile waits and goes as one: after a
//! failure nothing is in the log that follows what is not. So a disk that takes long over a sync is
//! given more to sync, and nobody waits for it until a good deal does. The keys under which it was
//! sealed are kept meanwhile, and nothing goes out before they are.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use ledger::Batch;

use super::Keys;
use super::lot::append;
use crate::{Engine, EngineError};

/// When so many leaves wait behind a batch that is on its way, building waits too: some 40 MB of small
/// decisions with their contents, which two cores build in a tenth of a second and more. A disk that has
/// others to serve takes as long over a sync now and then.
const LEAVES_AHEAD: usize = 16_384;

/// What is built and not known to be in the log.
pub(super) struct Writing<'e> {
    engine: &'e Engine,
    /// Keys that are not known to be kept.
    keys: Option<BoxFuture<'e, Result<(), EngineError>>>,
    on_its_way: Option<BoxFuture<'e, Result<(), EngineError>>>,
    waiting: Batch,
}

impl<'e> Writing<'e> {
    pub(super) fn new(engine: &'e Engine) -> Self {
        Self {
            engine,
            keys: None,
            on_its_way: None,
            waiting: Batch::default(),
        }
    }

    /// Has keys kept before anything is written from now on.
    pub(super) fn keep(&mut self, keys: Keys) -> Result<(), EngineError> {
        if keys.is_empty() {
            return Ok(());
        }
        let (engine, before) = (self.engine, self.keys.take());
        let keeping = async move {
            if let Some(before) = before {
                before.await?;
            }
            Ok(engine.store.keep_keys(keys).await?)
        };
        self.keys = Some(keeping.boxed());
        // Begins it.
        self.look()
    }

    /// Takes what was built.
    pub(super) fn add(&mut self, mut built: Batch) -> Result<(), EngineError> {
        append(&mut self.waiting.leaves, &mut built.leaves);
        append(&mut self.waiting.payloads, &mut built.payloads);
        self.look()
    }

    /// Waits where too much waits.
    pub(super) async fn keep_up(&mut self) -> Result<(), EngineError> {
        if self.waiting.leaves.len() >= LEAVES_AHEAD {
            self.settle().await?;
        }
        self.look()
    }

    /// Waits for what is on its way.
    async fn settle(&mut self) -> Result<(), EngineError> {
        if let Some(keys) = self.keys.take() {
            keys.await?;
        }
        match self.on_its_way.take() {
            Some(on_its_way) => on_its_way.await,
            None => Ok(()),
        }
    }

    /// Sends what waits on its way once its keys are kept and what was there before is in the log.
    fn look(&mut self) -> Result<(), EngineError> {
        if let Some(keys) = &mut self.keys
            && let Some(kept) = keys.now_or_never()
        {
            self.keys = None;
            kept?;
        }
        if let Some(on_its_way) = &mut self.on_its_way {
            let Some(appended) = on_its_way.now_or_never() else {
                return Ok(());
            };
            self.on_its_way = None;
            appended?;
        }
        if self.keys.is_none() && !self.waiting.leaves.is_empty() {
            let batch = std::mem::take(&mut self.waiting);
            let engine = self.engine;
            let appending = async move { engine.append_batch(batch).await.map(drop) };
            let mut on_its_way = appending.boxed();
            // Begins it. One that is done at once, as in memory, leaves nothing to wait for.
            match (&mut on_its_way).now_or_never() {
                Some(appended) => appended?,
                None => self.on_its_way = Some(on_its_way),
            }
        }
        Ok(())
    }

    /// Waits until everything is in the log.
    pub(super) async fn end(mut self) -> Result<(), EngineError> {
        self.look()?;
        while self.keys.is_some() || self.on_its_way.is_some() {
            self.settle().await?;
            self.look()?;
        }
        Ok(())
    }
}
