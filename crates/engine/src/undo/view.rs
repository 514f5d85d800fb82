//! What is told of rollbacks, as plain data: the objects that `--json` prints and the API returns.

use std::collections::HashMap;

use ledger::DecisionRow;
use model::{DecisionId, Kind, Status};
use recover::Plan;
use recover::plan::{Act, Fate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::recorded;
use crate::{Engine, EngineError};

use super::UndoError;
pub use super::hold::QuarantinedView;
use super::pen::name_of;
use super::rollback::{Rollback, is_rollback};

/// Where a rollback stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Put forward: nothing is done before somebody approves it.
    Proposed,
    /// Approved, and not begun.
    Approved,
    /// Being carried out, or broken off: the next start goes on with it.
    UnderWay,
    /// Everything is done as planned.
    Succeeded,
    /// Something is not done; it can be retried.
    Failed,
    /// Nothing was undone, because more depends on the incident than the plan knew.
    Outdated,
    /// Somebody refused it.
    Rejected,
    /// Its plan was erased, or cannot be read.
    Unreadable,
}

impl State {
    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Approved => "approved",
            Self::UnderWay => "under-way",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Outdated => "outdated",
            Self::Rejected => "rejected",
            Self::Unreadable => "unreadable",
        }
    }

    /// Whether there is something left to carry out that somebody approved.
    #[must_use]
    pub const fn goes_on(self) -> bool {
        matches!(self, Self::Approved | Self::UnderWay)
    }
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// It was not begun.
    Pending,
    /// It was begun, and has no outcome yet.
    Running,
    /// It is done.
    Done,
    /// It had nothing to do.
    Skipped,
    /// There was no way to tell those who must be told: a person has to.
    Untold,
    /// It is not done, and can be retried.
    Failed,
    /// Nobody knows whether it is done: it waits for a person.
    Parked,
}

/// One step.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct StepView {
    /// Its number.
    pub n: u32,
    /// What it does, in a word.
    pub act: String,
    /// The records that it writes.
    pub records: Vec<String>,
    /// The decisions that it is done for.
    pub decisions: Vec<String>,
    /// Where it stands.
    pub state: StepState,
    /// The decision that records it, if it was begun.
    pub decision: Option<String>,
    /// Why it is not done.
    pub why: Option<String>,
}

/// A decision, and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AffectedView {
    /// The decision.
    pub decision: String,
    /// Who took it.
    pub agent: String,
    /// What kind of decision.
    pub kind: String,
    /// The tool, model or step that it names.
    pub name: Option<String>,
    /// What the plan says becomes of it.
    pub fate: String,
    /// What the fate rests on, or leaves over.
    pub note: Option<String>,
    /// Where it stands now.
    pub status: String,
    /// The steps that see to it.
    pub steps: Vec<u32>,
}

/// A rollback.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RollbackView {
    /// Its id.
    pub id: String,
    /// Its run, in which its steps and their calls are recorded.
    pub run: String,
    /// Digest of its plan: what an approval names.
    pub digest: String,
    /// Where it stands.
    pub state: State,
    /// The decisions that are taken back.
    pub roots: Vec<String>,
    /// Why.
    pub reason: String,
    /// When it was put forward (RFC 3339).
    pub proposed: String,
    /// Who approved it, and each retry.
    pub approved_by: Vec<String>,
    /// Every decision concerned.
    pub affected: Vec<AffectedView>,
    /// Its steps.
    pub steps: Vec<StepView>,
    /// Decisions with effects that depend on what is taken back and are not in the plan, because
    /// they came after it.
    pub late: Vec<String>,
    /// Agents that it holds.
    pub held: Vec<String>,
    /// What the plan says, for people, as long as nobody has decided about it.
    #[serde(default)]
    pub text: Option<String>,
    /// The plan, whole.
    pub plan: serde_json::Value,
}

/// What two plans have not in common.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PlanChangesView {
    /// Everything that one says and the other does not, or otherwise.
    pub changes: Vec<PlanChangeView>,
}

/// Something that two plans have not in common.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PlanChangeView {
    /// What it is about.
    pub about: String,
    /// What the first plan says; none if it says nothing.
    pub from: Option<String>,
    /// What the second plan says.
    pub to: Option<String>,
}

/// A plan that nobody has put forward.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PlanView {
    /// Its digest.
    pub digest: String,
    /// What it says, for people.
    pub text: String,
    /// The plan.
    pub plan: serde_json::Value,
}

/// The agents that get no work.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct QuarantineView {
    /// They.
    pub held: Vec<QuarantinedView>,
    /// The agent that is held now, if no decision of it is in the record: its name may be mistyped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<String>,
    /// The holds that a release has just ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<QuarantinedView>,
}

/// A rollback, short.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RollbackRow {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub state: State,
    /// Why, where its plan can be read.
    pub reason: Option<String>,
    /// The decisions that are taken back.
    pub roots: Vec<String>,
    /// Decisions concerned.
    pub affected: usize,
    /// Steps that are done, and all of them.
    pub done: (usize, usize),
    /// When it was put forward (RFC 3339).
    pub proposed: Option<String>,
}

/// A list of rollbacks.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RollbacksView {
    /// The rollbacks, newest first.
    pub rollbacks: Vec<RollbackRow>,
}

impl Engine {
    pub(super) async fn rollback_view(
        &self,
        rollback: &Rollback,
    ) -> Result<RollbackView, EngineError> {
        let plan = &rollback.plan;
        let ids: Vec<DecisionId> = plan.affected.iter().map(|a| a.decision).collect();
        let rows = self.store.rows(&ids).await?;
        let rows: HashMap<_, _> = rows.into_iter().map(|row| (row.id, row)).collect();
        let affected = plan.affected.iter().map(|affected| {
            let row = rows.get(&affected.decision);
            let keys = row.map(|row| &row.keys);
            let (fate, note) = fate_words(&affected.fate);
            AffectedView {
                decision: affected.decision.to_string(),
                agent: keys.map_or_else(String::new, |keys| keys.agent.name.clone()),
                kind: keys.map_or("", |keys| keys.kind.name()).to_owned(),
                name: keys.and_then(|keys| keys.name.clone()),
                fate: fate.to_owned(),
                note,
                status: row
                    .map_or(Status::Unknown, |row| row.status.as_read())
                    .name()
                    .to_owned(),
                steps: affected.steps.clone(),
            }
        });
        let undone = |id: &DecisionId| {
            rows.get(id)
                .is_some_and(|row| row.status == Status::Compensated)
        };
        let text = match rollback.state() {
            State::Proposed => Some(self.plan_text(plan).await?),
            _ => None,
        };
        let mine = rollback.id.to_string();
        let held = self.held().await?;
        Ok(RollbackView {
            id: mine.clone(),
            run: rollback.run.to_string(),
            digest: rollback.digest.to_string(),
            state: rollback.state(),
            roots: texts(&plan.incident.roots),
            reason: plan.incident.reason.clone(),
            proposed: recorded(rollback.row.at),
            approved_by: rollback.approvals.iter().map(|a| a.by.clone()).collect(),
            affected: affected.collect(),
            steps: plan
                .steps
                .iter()
                .map(|step| {
                    let mut view = rollback.step_view(step.n);
                    let nothing_left =
                        !step.decisions.is_empty() && step.decisions.iter().all(undone);
                    if view.state == StepState::Pending && nothing_left {
                        view.state = StepState::Skipped;
                    }
                    view
                })
                .collect(),
            late: rollback
                .ended
                .as_ref()
                .map_or_else(Vec::new, |ended| texts(&ended.late)),
            held: held
                .into_iter()
                .filter(|held| held.by == mine)
                .map(|held| held.agent)
                .collect(),
            text,
            plan: serde_json::to_value(plan).unwrap_or_default(),
        })
    }

    /// Returns a plan as text, with who took each decision and what it is.
    pub(super) async fn plan_text(&self, plan: &Plan) -> Result<String, EngineError> {
        let affected = plan.affected.iter().map(|affected| affected.decision);
        let possible = plan.possible.iter().map(|possible| possible.decision);
        let torn = plan.torn.iter().map(|torn| torn.decision);
        let ids: Vec<DecisionId> = affected.chain(possible).chain(torn).collect();
        let names: HashMap<DecisionId, String> = self
            .store
            .rows(&ids)
            .await?
            .into_iter()
            .map(|row| {
                let (agent, kind) = (&row.keys.agent.name, row.keys.kind);
                let what = match (kind, &row.keys.name) {
                    (Kind::ToolCall, Some(tool)) => tool.as_str(),
                    _ => kind.name(),
                };
                (row.id, format!("{agent} {what}"))
            })
            .collect();
        let name = |decision| names.get(&decision).cloned();
        Ok(plan.told(&name).to_string())
    }

    /// Returns a rollback, short; none if the decision is none.
    pub(crate) async fn rollback_row(
        &self,
        row: &DecisionRow,
    ) -> Result<Option<RollbackRow>, EngineError> {
        if !is_rollback(row) {
            return Ok(None);
        }
        let loaded = Rollback::load(self, row.id).await;
        self.short_view(row.id, loaded).await.map(Some)
    }

    pub(super) async fn short_view(
        &self,
        id: DecisionId,
        loaded: Result<Rollback, EngineError>,
    ) -> Result<RollbackRow, EngineError> {
        let rollback = match loaded {
            Ok(rollback) => rollback,
            Err(EngineError::Undo(UndoError::NoPlan { .. })) => {
                return Ok(RollbackRow {
                    id: id.to_string(),
                    state: State::Unreadable,
                    reason: None,
                    roots: Vec::new(),
                    affected: 0,
                    done: (0, 0),
                    proposed: None,
                });
            }
            Err(error) => return Err(error),
        };
        let plan = &rollback.plan;
        Ok(RollbackRow {
            id: id.to_string(),
            state: rollback.state(),
            reason: Some(plan.incident.reason.clone()),
            roots: texts(&plan.incident.roots),
            affected: plan.affected.len(),
            done: match rollback.state() {
                // What had nothing left to do is done too.
                State::Succeeded => (plan.steps.len(), plan.steps.len()),
                _ => (rollback.done(), plan.steps.len()),
            },
            proposed: Some(recorded(rollback.row.at)),
        })
    }
}

impl Rollback {
    /// Returns what is known of a step.
    pub(super) fn step_view(&self, n: u32) -> StepView {
        let step = self.plan.steps.iter().find(|step| step.n == n);
        let known = self.steps.get(&n);
        let tells = step.is_some_and(|step| matches!(step.act, Act::Notify { .. }));
        let state = known.map_or(StepState::Pending, |known| match known.status {
            Status::Succeeded if tells && known.said.told.is_empty() => StepState::Untold,
            Status::Succeeded => StepState::Done,
            Status::Started => StepState::Running,
            Status::Unknown => StepState::Parked,
            _ => StepState::Failed,
        });
        StepView {
            n,
            act: step.map_or("", |step| name_of(&step.act)).to_owned(),
            records: step.map_or_else(Vec::new, |step| {
                super::pen::writes(&step.act).map(str::to_owned).collect()
            }),
            decisions: step.map_or_else(Vec::new, |step| texts(&step.decisions)),
            state,
            decision: known.map(|known| known.decision.to_string()),
            why: match state {
                StepState::Untold => Some("nobody was told: a person has to".to_owned()),
                _ => known.and_then(|known| known.said.reason.clone()),
            },
        }
    }
}

fn texts(ids: &[DecisionId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// A fate in a word, and what there is to say of it.
fn fate_words(fate: &Fate) -> (&'static str, Option<String>) {
    match fate {
        Fate::NothingToUndo => ("nothing-to-undo", None),
        Fate::Undone => ("undone", None),
        Fate::Residue(residue) => ("residue", Some(residue.clone())),
        Fate::Stands(who) => ("stands", (!who.is_empty()).then(|| who.join(", "))),
        Fate::Probed => ("probed", None),
        Fate::Parked => ("parked", None),
        Fate::Kept(on) => ("kept", Some(on.clone())),
        Fate::Blocked(why) => ("blocked", Some(why.clone())),
    }
}
