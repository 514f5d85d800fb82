//! Where rollbacks are carried out and looked at: a running server, or this process.
//!
//! To carry one out here, the tools' servers of the configuration are started for as long as it takes.
//! To look at one, the record is read and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use engine::access::Access;
use engine::live::Recorder;
use engine::undo::view::{PlanView, RollbackView, State, StepState};
use engine::undo::{Approve, CarryOptions, Include, Request, Service};
use engine::{Engine, EngineError};
use gateway::Gateway;
use ledger::Journal;
use model::DecisionId;
use store::FileJournal;
use store::disk::RealDisk;

use crate::args::Global;
use crate::config::Environment;
use crate::failure::Failure;
use crate::out::Out;
use crate::remote::{Remote, Wanted};
use crate::session::{Session, Writes, read_config};

use super::up;

/// How often a server is asked how far it is.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// How long what is under way may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who carries rollbacks out.
pub(super) enum Desk {
    There(Remote),
    Here(Box<Here>),
}

/// Where rollbacks are looked at, which needs no tools and writes nothing.
pub(super) enum Look {
    There(Remote),
    Here(Engine),
}

/// Everything that a rollback needs, in this process.
pub(super) struct Here {
    pub(super) service: Service,
    recorder: Recorder,
    gateway: Gateway,
}

/// A state of a step as it is printed.
pub(super) const fn step_word(state: StepState) -> &'static str {
    match state {
        StepState::Pending => "pending",
        StepState::Running => "running",
        StepState::Done => "done",
        StepState::Skipped => "skipped",
        StepState::Untold => "UNTOLD",
        StepState::Failed => "FAILED",
        StepState::Parked => "PARKED",
    }
}

impl Look {
    pub(super) async fn open(out: &Out, global: &Global) -> Result<Self, Failure> {
        let session = Session::new(*out, global)?;
        Ok(match session.remote() {
            Some(remote) => Self::There(remote.clone()),
            None => Self::Here(session.read().await?),
        })
    }

    pub(super) async fn one(&self, id: &str) -> Result<RollbackView, Failure> {
        match self {
            Self::There(remote) => remote.rollback(id).await,
            Self::Here(engine) => {
                let id = engine.resolve_decision(id).await?;
                Ok(engine.rollback(id).await?)
            }
        }
    }

    /// Files do not show whether anybody carries out what is under way.
    pub(super) fn tell_who_goes_on(&self, out: &Out, state: State) -> Result<(), Failure> {
        if matches!(self, Self::Here(_)) && state.goes_on() {
            out.note("what is under way is carried out by `rescind up`, which goes on with it when it starts; without it, `rescind rollback retry ID` does")?;
        }
        Ok(())
    }
}

impl Desk {
    /// The server that is named; else the files, unless a server has them open: then that one.
    pub(super) async fn open(out: &Out, global: &Global) -> Result<Self, Failure> {
        let session = Session::new(*out, global)?;
        if let Some(remote) = session.remote() {
            return Ok(Self::There(remote.clone()));
        }
        let read = read_config(global, &[])?;
        let environment = Environment::read();
        let config = read.accept()?;
        let engine = match session.writes().await? {
            Writes::Server(remote) => return Ok(Self::There(remote)),
            Writes::Here(engine) => engine,
        };
        let recording = up::recording(&config)?;
        // What a process that was killed left in its journal comes first.
        let dir = up::journal_dir(&session)?;
        let journal = FileJournal::open(Arc::new(RealDisk), &dir, config.record.spool_bytes_max)?;
        let journal: Arc<dyn Journal> = Arc::new(journal);
        let recorder = Recorder::start(engine.clone(), Some(journal), recording).await?;
        let options = up::carrying(&config, &environment)?;
        let catalogue = recorder.catalogue().cloned().unwrap_or_default();
        let gateway = Gateway::new(recorder.clone(), Access::default(), options)
            .map_err(|error| Failure::new(error.to_string()))?;
        let heard_out = *out;
        let carry = CarryOptions {
            heard: Some(Arc::new(move |step| {
                let word = step_word(step.state);
                let _ = heard_out.note(&format!("step {}: {} {word}", step.n, step.act));
            })),
            ..up::undoing(&config)
        };
        let tasks = recorder.tasks().clone();
        let service = Service::new(engine, gateway.hands(), catalogue, tasks).with_options(carry);
        Ok(Self::Here(Box::new(Here {
            service,
            recorder,
            gateway,
        })))
    }

    pub(super) async fn plan(&self, wanted: &Wanted<'_>) -> Result<PlanView, Failure> {
        match self {
            Self::There(remote) => remote.plan(wanted).await,
            Self::Here(here) => {
                let request = request(here.service.engine(), wanted).await?;
                Ok(here.service.plan(&request).await?)
            }
        }
    }

    pub(super) async fn propose(&self, wanted: &Wanted<'_>) -> Result<RollbackView, Failure> {
        match self {
            Self::There(remote) => remote.propose(wanted).await,
            Self::Here(here) => {
                let request = request(here.service.engine(), wanted).await?;
                Ok(here.service.propose(&request).await?)
            }
        }
    }

    /// Approves and carries out, telling of each step that ended.
    pub(super) async fn approve(
        &self,
        out: &Out,
        id: &str,
        digest: &str,
        by: &str,
    ) -> Result<RollbackView, Failure> {
        match self {
            Self::There(remote) => {
                let mut view = remote.approve(id, digest, by).await?;
                let mut told: BTreeSet<u32> = BTreeSet::new();
                loop {
                    for step in &view.steps {
                        let ended = !matches!(step.state, StepState::Pending | StepState::Running);
                        if ended && told.insert(step.n) {
                            let word = step_word(step.state);
                            out.note(&format!("step {}: {} {word}", step.n, step.act))?;
                        }
                    }
                    if !view.state.goes_on() {
                        return Ok(view);
                    }
                    tokio::time::sleep(ASK_AGAIN).await;
                    view = remote.rollback(id).await.map_err(|lost| {
                        lost.with_hint(format!(
                            "the rollback is not over: `rescind rollback show {id}` tells how it stands, and `rescind up` goes on with it when it starts"
                        ))
                    })?;
                }
            }
            Self::Here(here) => {
                let id = here.service.engine().resolve_decision(id).await?;
                let digest = digest
                    .parse()
                    .map_err(|_| Failure::new(format!("`{digest}` is no digest")))?;
                let waits = false;
                let approve = Approve { digest, by, waits };
                let carried = here.service.approve(id, approve, true).await;
                carried.map_err(|error| match error {
                    EngineError::Store(_) => {
                        let hint = format!(
                            "if it was approved it is not over: `rescind rollback retry {id}` goes on with it"
                        );
                        Failure::from(error).with_hint(hint)
                    }
                    error => error.into(),
                })
            }
        }
    }

    pub(super) async fn reject(&self, id: &str, by: &str) -> Result<RollbackView, Failure> {
        match self {
            Self::There(remote) => remote.reject(id, by).await,
            Self::Here(here) => {
                let engine = here.service.engine();
                let id = engine.resolve_decision(id).await?;
                Ok(engine.reject_rollback(id, by).await?)
            }
        }
    }

    pub(super) async fn retry(
        &self,
        id: &str,
        by: &str,
        settled: &BTreeMap<u32, bool>,
    ) -> Result<RollbackView, Failure> {
        match self {
            Self::There(remote) => remote.retry(id, by, settled).await,
            Self::Here(here) => {
                let id = here.service.engine().resolve_decision(id).await?;
                let mut options = here.service.options().clone();
                options.settled.extend(settled);
                Ok(here.service.retry(id, by, options).await?)
            }
        }
    }

    pub(super) async fn close(self) -> Result<(), Failure> {
        if let Self::Here(here) = self {
            here.gateway.stop();
            here.recorder.stop(PATIENCE).await?;
            here.service.engine().store().close().await?;
        }
        Ok(())
    }
}

async fn request(engine: &Engine, wanted: &Wanted<'_>) -> Result<Request, Failure> {
    let include = match wanted.include {
        [] => Include::None,
        [all] if all == "all" => Include::All,
        ids => Include::Some(resolved(engine, ids).await?),
    };
    Ok(Request {
        roots: resolved(engine, wanted.of).await?,
        reason: wanted.reason.to_owned(),
        include,
        rules: wanted.settle.iter().cloned().collect(),
    })
}

async fn resolved(engine: &Engine, ids: &[String]) -> Result<Vec<DecisionId>, Failure> {
    let mut resolved = Vec::with_capacity(ids.len());
    for id in ids {
        resolved.push(engine.resolve_decision(id).await?);
    }
    Ok(resolved)
}
