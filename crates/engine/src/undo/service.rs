//! Rollbacks as people ask for them: a plan, a word of approval, and what came of it.
//!
//! Holds what carrying out needs beside the record: hands, the catalogue, a place for tasks. What
//! is begun goes on when who asked for it goes away.

use std::sync::Arc;

use ledger::Remedy;
use model::DecisionId;
use recover::{Catalogue, Plan};
use tokio_util::task::TaskTracker;

use crate::view::ToolsView;
use crate::{Engine, EngineError};

use super::facts::Request;
use super::hands::Hands;
use super::pen;
use super::view::{PlanView, RollbackView};
use super::{Approve, CarryOptions};

/// Plans rollbacks and carries them out. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Service {
    engine: Engine,
    hands: Arc<dyn Hands>,
    catalogue: Arc<Catalogue>,
    options: CarryOptions,
    tasks: TaskTracker,
}

impl Service {
    /// Makes a service over an engine; `tasks` are waited for before the process ends.
    #[must_use]
    pub fn new(
        engine: Engine,
        hands: Arc<dyn Hands>,
        catalogue: Arc<Catalogue>,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            engine,
            hands,
            catalogue,
            options: CarryOptions::default(),
            tasks,
        }
    }

    /// The same, carried out in another way.
    #[must_use]
    pub fn with_options(mut self, options: CarryOptions) -> Self {
        self.options = options;
        self
    }

    /// Returns the engine.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Makes a plan. Nothing is recorded.
    ///
    /// # Errors
    /// As [`Engine::plan_rollback`].
    pub async fn plan(&self, request: &Request) -> Result<PlanView, EngineError> {
        let plan = self.planned(request).await?;
        let (_, digest) = pen::canonical_of(&plan)?;
        Ok(PlanView {
            digest: digest.to_string(),
            text: self.engine.plan_text(&plan).await?,
            plan: serde_json::to_value(&plan).unwrap_or_default(),
        })
    }

    /// Makes a plan and puts it forward.
    ///
    /// # Errors
    /// As [`Engine::plan_rollback`] and [`Engine::propose_rollback`].
    pub async fn propose(&self, request: &Request) -> Result<RollbackView, EngineError> {
        let plan = self.planned(request).await?;
        self.engine.propose_rollback(&plan).await
    }

    /// Approves a rollback and carries it out; returns at its end if `waits`, else once it is
    /// approved.
    ///
    /// # Errors
    /// As [`Engine::approve_rollback`] and [`Engine::carry_out`].
    pub async fn approve(
        &self,
        id: DecisionId,
        approve: Approve<'_>,
        waits: bool,
    ) -> Result<RollbackView, EngineError> {
        let approved = self.engine.approve_rollback(id, approve).await?;
        let service = self.clone();
        let carrying = self.tasks.spawn(async move {
            let hands = Arc::clone(&service.hands);
            let carried = service.engine.carry_out(id, hands, &service.options).await;
            service.goes_on_after(carried)
        });
        if !waits {
            return Ok(approved);
        }
        match carrying.await {
            Ok(carried) => carried,
            Err(_) => self.engine.rollback(id).await,
        }
    }

    /// Tries again what failed, or goes on with what was broken off; `options` say what a person
    /// found out about parked steps.
    ///
    /// # Errors
    /// As [`Engine::retry_rollback`].
    pub async fn retry(
        &self,
        id: DecisionId,
        by: &str,
        options: CarryOptions,
    ) -> Result<RollbackView, EngineError> {
        let (service, by) = (self.clone(), by.to_owned());
        let retrying = self.tasks.spawn(async move {
            let hands = Arc::clone(&service.hands);
            let retried = service.engine.retry_rollback(id, &by, hands, &options);
            service.goes_on_after(retried.await)
        });
        match retrying.await {
            Ok(retried) => retried,
            Err(_) => self.engine.rollback(id).await,
        }
    }

    /// Returns how rollbacks are carried out.
    #[must_use]
    pub const fn options(&self) -> &CarryOptions {
        &self.options
    }

    /// Returns every tool that was called, that the catalogue names or that a server lists.
    ///
    /// # Errors
    /// As [`Engine::tools`].
    pub async fn tools(&self) -> Result<ToolsView, EngineError> {
        let listings = self.hands.listings();
        self.engine.tools(&self.catalogue, &listings).await
    }

    /// Goes on, in the background, with what an earlier process did not end.
    pub fn resume(&self) {
        self.go_on(0);
    }

    /// A rollback that the store broke off is gone on with once the store takes something again.
    fn goes_on_after<T>(&self, carried: Result<T, EngineError>) -> Result<T, EngineError> {
        if carried.as_ref().is_err_and(passes) {
            self.go_on(1);
        }
        carried
    }

    /// Goes on, in the background, with every rollback that was approved and has not ended: at once,
    /// or after the `nth` pause, and again after each failure of the store that may pass.
    fn go_on(&self, mut nth: u32) {
        let service = self.clone();
        self.tasks.spawn(async move {
            loop {
                if nth > 0 {
                    tokio::time::sleep(service.options.pause(nth)).await;
                }
                if service.tasks.is_closed() {
                    return;
                }
                let hands = Arc::clone(&service.hands);
                let resumed = service.engine.resume_rollbacks(hands, &service.options);
                let waits = match resumed.await {
                    // What cannot go on now says so in the record, and can be gone on with by hand.
                    Ok(resumed) => resumed.iter().any(|one| one.as_ref().is_err_and(passes)),
                    Err(error) => passes(&error),
                };
                if !waits {
                    return;
                }
                nth = nth.saturating_add(1);
            }
        });
    }

    async fn planned(&self, request: &Request) -> Result<Plan, EngineError> {
        let (catalogue, hands) = (&self.catalogue, &*self.hands);
        self.engine
            .plan_rollback(request, catalogue, Some(hands))
            .await
    }
}

/// Whether a failure may pass by itself, such as a disk without space.
fn passes(error: &EngineError) -> bool {
    matches!(error, EngineError::Store(error) if error.remedy() == Remedy::Retry)
}
