//! Revoking decisions: one event for each, all in one append.
//!
//! What a revoked decision did to the world is somebody else's to take back; here it only stops
//! being something to rely on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ledger::{Batch, Leaf, StoreError};
use model::{Body, DecisionId, IllegalStep, Status, Step};

use super::{Inner, Recorder};
use crate::EngineError;
use crate::erase::check_words;

/// How long what was recorded before may take to get into the log.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is tried again when a decision has moved on meanwhile.
const TRIES: usize = 8;

/// What became of decisions that were to be rescinded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "some of the decisions may not have been rescinded"]
pub struct Rescission {
    /// Rescinded now.
    pub rescinded: Vec<DecisionId>,
    /// Rescinded before; nothing was appended for them.
    pub already: Vec<DecisionId>,
    /// Not rescinded, because the lifecycle has no such step from where they stand: they have not
    /// ended, or were never carried out.
    pub refused: Vec<(DecisionId, IllegalStep)>,
}

impl Recorder {
    /// Revokes decisions, in the order given, in one append. From then on no history that is sent
    /// through here cites them as valid.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] if one of them is not in the record; nothing is appended then.
    /// [`EngineError::TooLong`] if the reason is too long for a leaf; [`EngineError::Store`], also
    /// if they are rescinded and what they left cannot be read now. Asking again is safe.
    pub async fn rescind(
        &self,
        decisions: &[DecisionId],
        incident: Option<DecisionId>,
        reason: &str,
    ) -> Result<Rescission, EngineError> {
        check_words("reason", reason)?;
        let (inner, decisions) = (Arc::clone(&self.inner), decisions.to_vec());
        let reason = reason.to_owned();
        let rescinded = async move { inner.rescind(&decisions, incident, &reason).await };
        self.to_its_end(rescinded).await
    }
}

impl Inner {
    async fn rescind(
        &self,
        decisions: &[DecisionId],
        incident: Option<DecisionId>,
        reason: &str,
    ) -> Result<Rescission, EngineError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_rescind(decisions, incident, reason).await {
                // An outcome was on its way, or somebody else rescinds too.
                Err(EngineError::Store(StoreError::Conflict { .. })) if tries < TRIES => {}
                Err(error) => return Err(error),
                Ok(told) => {
                    let all: Vec<DecisionId> = [&told.rescinded[..], &told.already].concat();
                    self.learn_rescinded(&all).await?;
                    return Ok(told);
                }
            }
        }
    }

    async fn try_rescind(
        &self,
        decisions: &[DecisionId],
        incident: Option<DecisionId>,
        reason: &str,
    ) -> Result<Rescission, EngineError> {
        let engine = &self.engine;
        engine.caught_up(PATIENCE).await;
        let rows = engine.store().rows(decisions).await?;
        let statuses: HashMap<DecisionId, Status> =
            rows.into_iter().map(|row| (row.id, row.status)).collect();
        let mut told = Rescission::default();
        let mut leaves = Vec::new();
        let mut seen = HashSet::new();
        for &decision in decisions {
            if !seen.insert(decision) {
                continue;
            }
            let status = statuses.get(&decision).copied();
            let status = status.ok_or_else(|| EngineError::NotFound {
                text: decision.to_string(),
            })?;
            if status.is_rescinded() {
                told.already.push(decision);
                continue;
            }
            if let Err(illegal) = status.after(Step::Invalidate) {
                told.refused.push((decision, illegal));
                continue;
            }
            let body = Body::Invalidated {
                decision,
                incident,
                reason: reason.to_owned(),
            };
            let prev = engine.store().head(*decision.as_bytes()).await?;
            let leaf = Leaf::encode(&engine.new_event(body, prev));
            leaves.push(leaf.map_err(|source| EngineError::Unrecordable {
                position: decision.to_string(),
                source,
            })?);
            told.rescinded.push(decision);
        }
        if !leaves.is_empty() {
            let payloads = Vec::new();
            engine.append_batch(Batch { leaves, payloads }).await?;
        }
        Ok(told)
    }
}
