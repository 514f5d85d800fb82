//! Carrying a plan out: once, in order, through crashes.
//!
//! ```text
//!   propose ──► approve ──► hold ──► invalidate ──► steps ──► settle
//!   the plan,   by the      agents   every decision  each:     what is undone, what stands,
//!   sealed      digest of   get no   concerned       intent,   what failed
//!               the plan    calls                    call,
//!                                                    outcome
//! ```
//!
//! A rollback is a decision of kind *incident*, in a run of its own; its plan is sealed beside it,
//! and whoever approves it names the plan's digest. Each step is a decision of kind *recovery step*
//! whose effect has the key that the step has however often it is tried. What a rollback is, and how
//! far it came, is read from the record alone, so that a process that starts after a crash goes on
//! where the one before ended ([`Engine::resume_rollbacks`]).
//!
//! What it does not do: plan (the crate `recover` does), call tools ([`Hands`] does), or undo
//! anything that the approved plan does not name. If something else came to depend on what is taken
//! back before the agents were held, the rollback ends as *outdated* with nothing undone, and the
//! agents stay held until the rollback that is made anew has ended, or a person releases them.

mod act;
mod came;
mod carry;
mod end;
mod facts;
mod fields;
mod gather;
mod hands;
pub(crate) mod hold;
mod pen;
mod rollback;
mod service;
pub mod view;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{DecisionId, Digest, Status};
use recover::Plan;
use serde_json::Value;
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::{Class, Engine, EngineError};

use self::carry::Carrier;
use self::pen::Pen;
use self::rollback::Rollback;
use self::view::{RollbackView, RollbacksView, StepView};

pub use self::facts::{Include, Request, plan_of};
pub(crate) use self::gather::{json_or_text, said, said_by};
pub use self::hands::{Cause, HTTP, Hands, HandsError, Listing};
pub use self::service::Service;
pub use recover::{Catalogue, Claim, catalogue, plan};

/// Decides whether a condition of a plan holds, given `result`, `args` and `before`.
pub type Condition = fn(&str, &Value, &Value, &Value) -> Result<bool, String>;

/// Hears of every step that ended, as it ends.
pub type Heard = Arc<dyn Fn(&StepView) + Send + Sync>;

/// What becomes of calls in flight when their agent is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InFlight {
    /// They are awaited.
    Finish,
    /// They are cancelled at the other side. Of one that does not answer all the same it is not
    /// known how it ended.
    Cancel,
}

/// How a plan is carried out.
#[derive(Clone)]
pub struct CarryOptions {
    /// Steps that run side by side at most. Default: 16.
    pub at_once: usize,
    /// How often a step is tried before it fails. Default: 4.
    pub tries: u32,
    /// The pause after the first try; each further one is twice as long. Default: 200 ms.
    pub pause_first: Duration,
    /// The longest pause. Default: 5 s.
    pub pause_max: Duration,
    /// How long one call may take. Default: 60 s.
    pub call_max: Duration,
    /// What becomes of calls in flight of agents that are held. Default: they are awaited.
    pub in_flight: InFlight,
    /// How long calls in flight of agents that are held may take to end. Default: 30 s.
    pub drain_max: Duration,
    /// Decides conditions. Default: CEL.
    pub condition: Condition,
    /// Hears of every step that ended.
    pub heard: Option<Heard>,
    /// What a person found out about steps of which nobody knew whether they were carried out.
    pub settled: BTreeMap<u32, bool>,
}

impl fmt::Debug for CarryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CarryOptions")
            .field("at_once", &self.at_once)
            .field("tries", &self.tries)
            .finish_non_exhaustive()
    }
}

impl Default for CarryOptions {
    fn default() -> Self {
        Self {
            at_once: 16,
            tries: 4,
            pause_first: Duration::from_millis(200),
            pause_max: Duration::from_secs(5),
            call_max: Duration::from_secs(60),
            in_flight: InFlight::Finish,
            drain_max: Duration::from_secs(30),
            condition: catalogue::holds,
            heard: None,
            settled: BTreeMap::new(),
        }
    }
}

impl CarryOptions {
    /// Returns the pause before try number `nth`, counted from 0.
    #[must_use]
    pub fn pause(&self, nth: u32) -> Duration {
        let factor = 2_u32.saturating_pow(nth.saturating_sub(1));
        self.pause_first.saturating_mul(factor).min(self.pause_max)
    }
}

/// Why a step is not done, in a word that may stand in the record for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Somebody changed the record since the plan was made.
    Conflict,
    /// The tool refused.
    Refused,
    /// The tool could not be reached.
    Unreachable,
    /// A condition could not be decided.
    Undecidable,
    /// It cannot be told whether a record is there.
    Unread,
    /// What the step needs is not there.
    Blocked,
}

impl Why {
    const fn name(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Refused => "refused by the tool",
            Self::Unreachable => "tool not reached",
            Self::Undecidable => "condition not decidable",
            Self::Unread => "record not readable",
            Self::Blocked => "step not possible",
        }
    }
}

/// Who approves which plan.
#[derive(Clone, Debug)]
pub struct Approve<'a> {
    /// Digest of the plan that was shown.
    pub digest: Digest,
    /// Who approves.
    pub by: &'a str,
    /// Whether to wait until rollbacks that this one overlaps have ended. Otherwise it is refused.
    pub waits: bool,
}

/// Why a rollback is not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UndoError {
    /// The plan is another than the one that was seen.
    #[error("the plan of rollback `{id}` has the digest `{is}`, not `{shown}`")]
    Digest {
        /// The rollback.
        id: DecisionId,
        /// The digest of its plan.
        is: Digest,
        /// The digest that was given.
        shown: Digest,
    },
    /// A person has to settle something first.
    #[error("the plan leaves open what becomes of {}", uris.join(", "))]
    Unsettled {
        /// The records in question.
        uris: Vec<String>,
    },
    /// It was decided in a rollback, which is not taken back.
    #[error("decision `{id}` is part of a rollback, and no rollback is taken back")]
    Own {
        /// The decision.
        id: DecisionId,
    },
    /// Another rollback concerns the same decisions or records, and has not ended.
    #[error("rollback `{first}` has not ended and concerns {what} too")]
    Overlaps {
        /// The other rollback.
        first: DecisionId,
        /// A decision or record that both concern.
        what: String,
    },
    /// It does not stand where it would have to.
    #[error("rollback `{id}` is {state}: it cannot be {verb}")]
    State {
        /// The rollback.
        id: DecisionId,
        /// Where it stands.
        state: &'static str,
        /// What was asked.
        verb: &'static str,
    },
    /// Something is said of a step that its plan does not have.
    #[error("rollback `{id}` has no step {n}")]
    NoStep {
        /// The rollback.
        id: DecisionId,
        /// The number.
        n: u32,
    },
    /// Its plan was erased, or cannot be read.
    #[error("the plan of rollback `{id}` cannot be read: {reason}")]
    NoPlan {
        /// The rollback.
        id: DecisionId,
        /// Why not.
        reason: String,
    },
    /// Nobody holds the agent.
    #[error("agent `{agent}` is not held")]
    NotHeld {
        /// The agent.
        agent: String,
    },
}

impl UndoError {
    pub(crate) const fn class(&self) -> (Class, &'static str) {
        match self {
            Self::Digest { .. } => (Class::Conflict, "another-plan"),
            Self::Own { .. } => (Class::Request, "own-rollback"),
            Self::Unsettled { .. } => (Class::Conflict, "unsettled"),
            Self::Overlaps { .. } => (Class::Conflict, "overlaps"),
            Self::State { .. } => (Class::Conflict, "rollback-state"),
            Self::NoStep { .. } => (Class::Request, "no-step"),
            Self::NoPlan { .. } => (Class::Broken, "no-plan"),
            Self::NotHeld { .. } => (Class::Absent, "not-quarantined"),
        }
    }

    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Digest { id, .. } => {
                format!("look at the plan again: `rescind rollback show {id}`")
            }
            Self::Own { .. } => "the newest run may be that of a rollback: `rescind runs` lists them, and `rescind graph RUN` their decisions".to_owned(),
            Self::Unsettled { .. } => {
                "say it with `--settle URI=keep-newer` or `--settle URI=restore-field`, or declare a rule for such records in the tool catalogue (`conflict = …`)".to_owned()
            }
            Self::Overlaps { first, .. } => {
                format!("wait until it has ended: `rescind rollback show {first}`")
            }
            Self::State { id, .. } => format!("`rescind rollback show {id}` tells what was done"),
            Self::NoStep { id, .. } => format!("`rescind rollback show {id}` numbers its steps"),
            Self::NoPlan { .. } | Self::NotHeld { .. } => return None,
        })
    }
}

/// What the rollbacks of one engine share.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// One approval at a time, so that of two that overlap the second sees the first.
    approving: tokio::sync::Mutex<()>,
    /// Rollbacks that are being carried out by this process.
    carrying: Mutex<HashSet<DecisionId>>,
    /// Told whenever one has ended.
    ended: Notify,
    /// Decisions that an earlier process wrote down and never heard to be in the log.
    late: Mutex<HashSet<DecisionId>>,
}

/// Holds a rollback's place while it is carried out.
struct UnderWay {
    desk: Arc<Desk>,
    id: DecisionId,
}

impl UnderWay {
    fn enter(desk: &Arc<Desk>, id: DecisionId, verb: &'static str) -> Result<Self, UndoError> {
        let mut carrying = desk.carrying.lock().unwrap_or_else(PoisonError::into_inner);
        if carrying.insert(id) {
            let desk = Arc::clone(desk);
            return Ok(Self { desk, id });
        }
        let state = "under way";
        Err(UndoError::State { id, state, verb })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut carrying = self
            .desk
            .carrying
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        carrying.remove(&self.id);
        drop(carrying);
        self.desk.ended.notify_waiters();
    }
}

impl Engine {
    /// Takes note of decisions that came into the log only now, although an earlier process wrote
    /// them down: whatever waits for the log before it does something has not done it.
    pub(crate) fn late_into_the_log(&self, begun: Vec<DecisionId>) {
        let mut late = self
            .undo
            .late
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        late.extend(begun);
    }

    fn is_late(&self, decision: DecisionId) -> bool {
        let late = self
            .undo
            .late
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        late.contains(&decision)
    }

    /// Puts a plan forward: it is in the record from now on, and nothing is done.
    ///
    /// # Errors
    /// [`EngineError::Uncanonical`] if the plan has no canonical JSON, [`EngineError::Store`].
    pub async fn propose_rollback(&self, plan: &Plan) -> Result<RollbackView, EngineError> {
        let id = Pen::propose(self, plan).await?;
        self.rollback(id).await
    }

    /// Returns a rollback as the record knows it.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::WrongKind`], [`UndoError::NoPlan`].
    pub async fn rollback(&self, id: DecisionId) -> Result<RollbackView, EngineError> {
        let rollback = Rollback::load(self, id).await?;
        self.rollback_view(&rollback).await
    }

    /// Returns the rollbacks of the record, newest first.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn rollbacks(&self) -> Result<RollbacksView, EngineError> {
        let mut rollbacks = Vec::new();
        for id in self.rollback_ids().await?.into_iter().rev() {
            let loaded = Rollback::load(self, id).await;
            rollbacks.push(self.short_view(id, loaded).await?);
        }
        Ok(RollbacksView { rollbacks })
    }

    /// Approves a rollback by the digest of its plan. It may then be carried out, now or by a later
    /// process.
    ///
    /// # Errors
    /// [`UndoError::Digest`] if the plan is not the one that was seen, [`UndoError::Unsettled`],
    /// [`UndoError::Overlaps`] if another one that concerns the same has not ended,
    /// [`UndoError::State`] if it was approved or rejected before.
    pub async fn approve_rollback(
        &self,
        id: DecisionId,
        approve: Approve<'_>,
    ) -> Result<RollbackView, EngineError> {
        crate::erase::check_words("name of who decides", approve.by)?;
        loop {
            let ended = self.undo.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            let one_at_a_time = self.undo.approving.lock().await;
            let rollback = Rollback::load(self, id).await?;
            if rollback.digest != approve.digest {
                let (is, shown) = (rollback.digest, approve.digest);
                return Err(UndoError::Digest { id, is, shown }.into());
            }
            if rollback.status != Status::Proposed {
                let state = rollback.state().name();
                let verb = "approved";
                return Err(UndoError::State { id, state, verb }.into());
            }
            let open = rollback.plan.conflicts.iter();
            let uris: Vec<String> = open
                .filter(|conflict| conflict.settled.is_none())
                .map(|conflict| format!("`{}`", conflict.uri))
                .collect();
            if !uris.is_empty() {
                return Err(UndoError::Unsettled { uris }.into());
            }
            match self.overlapping(&rollback).await? {
                None => {
                    let mut pen = Pen::of(self, &rollback);
                    pen.judge(&rollback, approve.by, true).await?;
                    drop(one_at_a_time);
                    return self.rollback(id).await;
                }
                Some((first, what)) if !approve.waits => {
                    return Err(UndoError::Overlaps { first, what }.into());
                }
                Some(_) => drop(one_at_a_time),
            }
            ended.await;
        }
    }

    /// Refuses a rollback that was not approved.
    ///
    /// # Errors
    /// [`UndoError::State`] if it was approved or rejected before.
    pub async fn reject_rollback(
        &self,
        id: DecisionId,
        by: &str,
    ) -> Result<RollbackView, EngineError> {
        crate::erase::check_words("name of who decides", by)?;
        let _one_at_a_time = self.undo.approving.lock().await;
        let rollback = Rollback::load(self, id).await?;
        if rollback.status != Status::Proposed {
            let state = rollback.state().name();
            let verb = "rejected";
            return Err(UndoError::State { id, state, verb }.into());
        }
        Pen::of(self, &rollback).judge(&rollback, by, false).await?;
        self.rollback(id).await
    }

    /// Carries an approved rollback out, or goes on with it. Returns once every step has ended or
    /// cannot be tried: the view says what became of each.
    ///
    /// # Errors
    /// [`UndoError::State`] if it is not approved, has ended, or is under way;
    /// [`EngineError::Store`] if the record cannot be written: what is under way then is taken up
    /// by [`resume_rollbacks`](Self::resume_rollbacks).
    pub async fn carry_out(
        &self,
        id: DecisionId,
        hands: Arc<dyn Hands>,
        options: &CarryOptions,
    ) -> Result<RollbackView, EngineError> {
        let verb = "carried out";
        let under_way = UnderWay::enter(&self.undo, id, verb)?;
        let rollback = Rollback::load(self, id).await?;
        if !rollback.state().goes_on() {
            let state = rollback.state().name();
            return Err(UndoError::State { id, state, verb }.into());
        }
        self.check_approved(&rollback)?;
        self.carry(rollback, hands, options, under_way).await
    }

    /// Tries again what failed of a rollback that has ended, or goes on with one that was broken off
    /// and that nobody carries out. What is done already is not done again. What a person found out
    /// about steps is recorded before any of them is tried.
    ///
    /// # Errors
    /// [`UndoError::State`] if it has not failed, or is under way; otherwise as [`carry_out`](Self::carry_out).
    pub async fn retry_rollback(
        &self,
        id: DecisionId,
        by: &str,
        hands: Arc<dyn Hands>,
        options: &CarryOptions,
    ) -> Result<RollbackView, EngineError> {
        crate::erase::check_words("name of who decides", by)?;
        let verb = "retried";
        let under_way = UnderWay::enter(&self.undo, id, verb)?;
        let one_at_a_time = self.undo.approving.lock().await;
        let mut rollback = Rollback::load(self, id).await?;
        let state = rollback.state();
        if state != view::State::Failed && !state.goes_on() {
            let state = state.name();
            return Err(UndoError::State { id, state, verb }.into());
        }
        self.check_approved(&rollback)?;
        // What was broken off goes on as the attempt that it is, unless a person found out more.
        let settled = &options.settled;
        let known = |n: &u32| rollback.plan.steps.iter().any(|step| step.n == *n);
        if let Some(&n) = settled.keys().find(|n| !known(n)) {
            return Err(UndoError::NoStep { id, n }.into());
        }
        let settles = rollback.in_doubt().any(|(n, _)| settled.contains_key(&n));
        if !state.goes_on() || settles {
            // One that has not ended keeps its place.
            if !state.goes_on()
                && let Some((first, what)) = self.overlapping(&rollback).await?
            {
                return Err(UndoError::Overlaps { first, what }.into());
            }
            let mut pen = Pen::of(self, &rollback);
            pen.retry(&rollback, by, settled).await?;
            rollback = Rollback::load(self, id).await?;
        }
        drop(one_at_a_time);
        self.carry(rollback, hands, options, under_way).await
    }

    /// Carries out what is left of a rollback, and tells the log of its beginning and its end.
    async fn carry(
        &self,
        rollback: Rollback,
        hands: Arc<dyn Hands>,
        options: &CarryOptions,
        under_way: UnderWay,
    ) -> Result<RollbackView, EngineError> {
        let (id, steps) = (rollback.id, rollback.plan.steps.len());
        let done = rollback.done();
        info!(rollback = %id, done, steps, "a rollback is carried out");
        let carrier = Carrier::new(self, rollback, hands, options.clone());
        let carried = async { carrier.await?.carry().await };
        if let Err(error) = carried.await {
            warn!(rollback = %id, error = %crate::chain(&error), "a rollback was broken off");
            return Err(error);
        }
        drop(under_way);
        let view = self.rollback(id).await?;
        let state = view.state.name();
        match view.state {
            view::State::Succeeded => info!(rollback = %id, state, "a rollback ended"),
            _ => warn!(rollback = %id, state, "a rollback ended"),
        }
        Ok(view)
    }

    /// Goes on with every rollback that was approved and has not ended: what a process does when it
    /// starts. One that cannot go on now does not keep the others from it.
    ///
    /// # Errors
    /// [`EngineError::Store`] if the record cannot be read.
    pub async fn resume_rollbacks(
        &self,
        hands: Arc<dyn Hands>,
        options: &CarryOptions,
    ) -> Result<Vec<Result<RollbackView, EngineError>>, EngineError> {
        let mut resumed = Vec::new();
        for id in self.rollback_ids().await? {
            let Ok(rollback) = Rollback::load(self, id).await else {
                continue;
            };
            if rollback.state().goes_on() {
                resumed.push(self.carry_out(id, Arc::clone(&hands), options).await);
            }
        }
        Ok(resumed)
    }

    /// The approval names the plan that is about to be carried out, or nothing is.
    fn check_approved(&self, rollback: &Rollback) -> Result<(), UndoError> {
        let (id, is) = (rollback.id, rollback.digest);
        match rollback.approvals.last() {
            Some(approval) if approval.shown == is => Ok(()),
            Some(approval) => {
                let shown = approval.shown;
                Err(UndoError::Digest { id, is, shown })
            }
            None => Err(UndoError::State {
                id,
                state: rollback.state().name(),
                verb: "carried out",
            }),
        }
    }

    /// Returns a rollback that concerns something of this one and has not ended, and what.
    async fn overlapping(
        &self,
        rollback: &Rollback,
    ) -> Result<Option<(DecisionId, String)>, EngineError> {
        let mine: HashSet<String> = rollback.concerns().collect();
        for id in self.rollback_ids().await? {
            if id == rollback.id {
                continue;
            }
            // One whose plan is gone cannot go on.
            let Ok(other) = Rollback::load(self, id).await else {
                continue;
            };
            if !other.state().goes_on() {
                continue;
            }
            if let Some(what) = other.concerns().find(|what| mine.contains(what)) {
                return Ok(Some((id, what)));
            }
        }
        Ok(None)
    }
}
