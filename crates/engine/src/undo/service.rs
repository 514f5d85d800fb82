//! Rollbacks as people ask for them: a plan, a word of approval, and what came of it.
//!
//! Holds what carrying out needs beside the record: hands, the catalogue, a place for tasks. What
//! is begun goes on when who asked for it goes away.

use std::sync::Arc;

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
        view(&self.planned(request).await?)
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
            service.engine.carry_out(id, hands, &service.options).await
        });
        if !waits {
            return Ok(approved);
        }
        match carrying.await {
            Ok(carried) => carried,
            Err(_) => self.engine.rollback(id).await,
        }
    }

    /// Tries again what failed; `options` say what a person found out about parked steps.
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
            service
                .engine
                .retry_rollback(id, &by, hands, &options)
                .await
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
        let service = self.clone();
        self.tasks.spawn(async move {
            let hands = Arc::clone(&service.hands);
            // What cannot go on now says so in the record, and can be gone on with by hand.
            let _ = service
                .engine
                .resume_rollbacks(hands, &service.options)
                .await;
        });
    }

    async fn planned(&self, request: &Request) -> Result<Plan, EngineError> {
        let (catalogue, hands) = (&self.catalogue, &*self.hands);
        self.engine
            .plan_rollback(request, catalogue, Some(hands))
            .await
    }
}

fn view(plan: &Plan) -> Result<PlanView, EngineError> {
    let (_, digest) = pen::canonical_of(plan)?;
    Ok(PlanView {
        digest: digest.to_string(),
        text: plan.to_string(),
        plan: serde_json::to_value(plan).unwrap_or_default(),
    })
}
