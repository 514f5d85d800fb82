//! From the first entry of an attempt to its last: what is invalidated, what each decision came to.

use std::collections::{HashMap, HashSet};

use ledger::{DecisionRow, Direction, StoreError};
use model::{Body, DecisionId, EffectClass, FailureClass, Kind, Outcome, RunId, Status, Strength};
use recover::plan::{Act, Fate};

use crate::look::fold;
use crate::{Engine, EngineError};

use super::InFlight;
use super::carry::{Carrier, Concerned};
use super::hold::Whose;
use super::pen::{AGENT, Entry, key_of};
use super::rollback::{OUTDATED, Settled};
use super::view::StepState;

/// Entries that are appended together at most.
const ENTRIES_MAX: usize = 512;

/// How often streams that others moved are read again.
const CONFLICTS_MAX: u32 = 8;

/// How many decisions that came after the plan are looked for.
const LATE_MAX: usize = 100_000;

/// What came to depend on what is taken back after the plan was made.
#[derive(Debug, Default)]
struct Late {
    /// With nothing to undo: they are invalidated with the rest.
    harmless: Vec<DecisionId>,
    /// With effects, which no plan takes back yet.
    effective: Vec<DecisionId>,
}

impl Carrier {
    /// Carries the attempt out, from wherever the record says that it is.
    pub(super) async fn carry(mut self) -> Result<(), EngineError> {
        self.begin().await?;
        self.run(|act| matches!(act, Act::Hold { .. })).await?;
        let agents = self.held_agents();
        if self.options.in_flight == InFlight::Cancel {
            self.engine.holds.call_off(&agents);
        }
        let patience = self.options.drain_max;
        self.engine.holds.drained(&agents, patience).await;
        self.engine.caught_up(patience).await;
        self.concern().await?;
        let late = self.late().await?;
        if !late.effective.is_empty() && !self.has_invalidated().await? {
            return self.outdated(late.effective).await;
        }
        self.invalidate(&late.harmless).await?;
        self.run(|_| true).await?;
        self.settle().await
    }

    async fn begin(&mut self) -> Result<(), EngineError> {
        if self.attempt.status != Status::Approved {
            return Ok(());
        }
        let body = Body::Started {
            decision: self.attempt.decision,
            effects: Vec::new(),
            sealed: None,
        };
        let started = self.pen.entry(body, Some(self.attempt.head))?;
        self.attempt.head = started.id;
        self.attempt.status = Status::Started;
        self.engine.append_entries(vec![started]).await
    }

    fn held_agents(&self) -> Vec<String> {
        let acts = self.rollback.plan.steps.iter().map(|step| &step.act);
        acts.filter_map(|act| match act {
            Act::Hold { agents } => Some(agents.clone()),
            _ => None,
        })
        .flatten()
        .collect()
    }

    /// Looks up where every decision concerned stands.
    async fn concern(&mut self) -> Result<(), EngineError> {
        let affected = self.rollback.plan.affected.clone();
        let back = affected
            .into_iter()
            .filter(|affected| !matches!(affected.fate, Fate::Kept(_)));
        for affected in back {
            let concerned = Concerned {
                fate: affected.fate,
                steps: affected.steps,
                status: Status::Unknown,
                head: None,
                settled_before: false,
            };
            self.concerned.insert(affected.decision, concerned);
        }
        let ids: Vec<DecisionId> = self.concerned.keys().copied().collect();
        self.look_up(&ids).await?;
        // What the record does not have cannot be revoked.
        self.concerned
            .retain(|_, concerned| concerned.head.is_some());
        // A step of ours that is done may have settled it; what no step of ours settled, another
        // rollback did.
        for concerned in self.concerned.values_mut() {
            let ours = concerned.steps.iter().any(|n| {
                let on = self.steps.get(n);
                on.is_some_and(|on| on.state == StepState::Done)
            });
            let settled = matches!(concerned.status, Status::Compensated | Status::Stands);
            concerned.settled_before = settled && !ours;
        }
        Ok(())
    }

    async fn look_up(&mut self, ids: &[DecisionId]) -> Result<(), EngineError> {
        let store = self.engine.store();
        let size = store.status().await?.durable;
        store.wait_indexed(size).await?;
        let rows = store.rows(ids).await?;
        let status: HashMap<DecisionId, Status> =
            rows.iter().map(|row| (row.id, row.status)).collect();
        for id in ids {
            let head = store.head(*id.as_bytes()).await?;
            if let Some(concerned) = self.concerned.get_mut(id) {
                concerned.head = head;
                concerned.status = status.get(id).copied().unwrap_or(Status::Unknown);
            }
        }
        Ok(())
    }

    /// Whether this rollback has revoked something already: then it goes on with the plan it has.
    async fn has_invalidated(&self) -> Result<bool, EngineError> {
        for (id, concerned) in &self.concerned {
            if !concerned.status.is_rescinded() {
                continue;
            }
            for (_, event) in self.engine.events_of(*id).await? {
                if let Body::Invalidated { incident, .. } = event.body
                    && incident == Some(self.rollback.id)
                {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Finds what depends for certain on what is taken back, and is not named in the plan. What
    /// followed from a torn call before the plan was made stays, as the plan says.
    async fn late(&self) -> Result<Late, EngineError> {
        let plan = &self.rollback.plan;
        let mut seen: HashSet<DecisionId> = plan.affected.iter().map(|a| a.decision).collect();
        let torn: HashSet<DecisionId> = plan.torn.iter().map(|torn| torn.decision).collect();
        seen.extend(&torn);
        let (torn, others): (Vec<_>, Vec<_>) =
            self.concerned.keys().partition(|id| torn.contains(*id));
        let mut late = Late::default();
        self.spread_late(others, 0, &mut seen, &mut late).await?;
        self.spread_late(torn, plan.size, &mut seen, &mut late)
            .await?;
        Ok(late)
    }

    /// Adds what depends on decisions, as far as it begins at an entry or after it.
    async fn spread_late(
        &self,
        mut front: Vec<DecisionId>,
        since: u64,
        seen: &mut HashSet<DecisionId>,
        late: &mut Late,
    ) -> Result<(), EngineError> {
        let mut runs: HashMap<RunId, bool> = HashMap::new();
        while !front.is_empty() && seen.len() < LATE_MAX {
            let store = self.engine.store();
            let edges = store.edges(&front, Direction::Effects).await?;
            let mut next: Vec<DecisionId> = edges
                .into_iter()
                .filter(|edge| edge.strength == Strength::Certain)
                .map(|edge| edge.effect)
                .filter(|id| seen.insert(*id))
                .collect();
            front.clear();
            next.sort_unstable();
            for row in store.rows(&next).await? {
                if row.first < since
                    || self.engine.recovers(&row, &mut runs).await?
                    || row.status.is_rescinded()
                {
                    continue;
                }
                front.push(row.id);
                match self.engine.changes_world(row.id).await? {
                    true => late.effective.push(row.id),
                    false => late.harmless.push(row.id),
                }
            }
        }
        Ok(())
    }

    async fn outdated(mut self, late: Vec<DecisionId>) -> Result<(), EngineError> {
        let text = serde_json::to_string(&Settled { late }).unwrap_or_default();
        let (decision, head) = (self.attempt.decision, self.attempt.head);
        let ended = self.pen.outcome(decision, head, OUTDATED, &text)?;
        self.engine.append_entries(vec![ended]).await
    }

    /// Revokes every decision concerned: from here on nothing may rely on it.
    async fn invalidate(&mut self, harmless: &[DecisionId]) -> Result<(), EngineError> {
        for id in harmless {
            let concerned = Concerned {
                fate: Fate::NothingToUndo,
                steps: Vec::new(),
                status: Status::Unknown,
                head: None,
                settled_before: false,
            };
            self.concerned.insert(*id, concerned);
        }
        self.look_up(harmless).await?;
        let mut ids: Vec<DecisionId> = self.concerned.keys().copied().collect();
        for _ in 0..CONFLICTS_MAX {
            let mut moved = Vec::new();
            for chunk in ids.chunks(ENTRIES_MAX / 3) {
                let mut entries = Vec::new();
                for id in chunk {
                    self.revoke(*id, &mut entries)?;
                }
                match self.engine.append_entries(entries).await {
                    Ok(()) => {}
                    // A call of theirs ended meanwhile.
                    Err(EngineError::Store(StoreError::Conflict { .. })) => {
                        self.look_up(chunk).await?;
                        moved.extend_from_slice(chunk);
                    }
                    Err(error) => return Err(error),
                }
            }
            if moved.is_empty() {
                break;
            }
            ids = moved;
        }
        let revoked = self.concerned.iter();
        let revoked: Vec<DecisionId> = revoked
            .filter(|(_, concerned)| concerned.status.is_rescinded())
            .map(|(id, _)| *id)
            .collect();
        // Where that fails now, the steps that see to minds try again.
        if self.hands.forget(&revoked).await.is_err() {
            self.unforgotten = revoked;
        }
        Ok(())
    }

    fn revoke(&mut self, id: DecisionId, entries: &mut Vec<Entry>) -> Result<(), EngineError> {
        let Some(concerned) = self.concerned.get_mut(&id) else {
            return Ok(());
        };
        let ends = |outcome| Body::Finished {
            causes: Vec::new(),
            decision: id,
            effects: Vec::new(),
            outcome,
            sealed: None,
        };
        match concerned.status {
            // Nobody is carrying it out any more, so nobody will say how it ended.
            Status::Started if !self.engine.holds.in_flight(id) => {
                let unknown = ends(Outcome::Unknown);
                concerned.step(&self.pen, unknown, Status::Unknown, entries)?;
            }
            Status::Proposed | Status::Held | Status::Approved => {
                let cancelled = ends(Outcome::Cancelled);
                concerned.step(&self.pen, cancelled, Status::Cancelled, entries)?;
            }
            _ => {}
        }
        if matches!(
            concerned.status,
            Status::Succeeded
                | Status::Failed
                | Status::Cancelled
                | Status::Unknown
                | Status::Replayed
        ) {
            let body = Body::Invalidated {
                decision: id,
                incident: Some(self.rollback.id),
                reason: self.rollback.plan.incident.reason.clone(),
            };
            concerned.step(&self.pen, body, Status::Invalidated, entries)?;
        }
        if concerned.status == Status::Invalidated && concerned.fate == Fate::NothingToUndo {
            self.finish(id, entries)?;
        }
        Ok(())
    }

    /// Makes the last event of a decision whose steps have ended well.
    pub(super) fn finish(
        &mut self,
        id: DecisionId,
        entries: &mut Vec<Entry>,
    ) -> Result<(), EngineError> {
        let told: Vec<String> = self.told(id);
        let Some(concerned) = self.concerned.get_mut(&id) else {
            return Ok(());
        };
        if !matches!(
            concerned.status,
            Status::Invalidated | Status::Compensating | Status::CompensationFailed
        ) {
            return Ok(());
        }
        let (body, status) = match &concerned.fate {
            Fate::Stands(_) => {
                let body = Body::Stands { decision: id, told };
                (body, Status::Stands)
            }
            Fate::Parked | Fate::Kept(_) | Fate::Blocked(_) => return Ok(()),
            Fate::NothingToUndo | Fate::Undone | Fate::Residue(_) | Fate::Probed => {
                let residue = match &concerned.fate {
                    Fate::Residue(residue) => Some(residue.clone()),
                    _ => None,
                };
                if concerned.status == Status::CompensationFailed {
                    let key = key_of(self.rollback.id, 0);
                    let body = Body::Compensating { decision: id, key };
                    concerned.step(&self.pen, body, Status::Compensating, entries)?;
                }
                self.engine.writes.undone(id);
                let body = Body::Compensated {
                    decision: id,
                    residue,
                };
                (body, Status::Compensated)
            }
        };
        concerned.step(&self.pen, body, status, entries)
    }

    fn told(&self, id: DecisionId) -> Vec<String> {
        let steps = self.steps.values();
        let steps = steps.filter(|on| on.step.decisions.contains(&id));
        steps.flat_map(|on| on.said.told.iter().cloned()).collect()
    }

    /// Says of every decision what it came to, and ends the attempt.
    async fn settle(mut self) -> Result<(), EngineError> {
        let late = self.late().await?;
        if !late.harmless.is_empty() {
            self.invalidate(&late.harmless).await?;
        }
        let mut entries = Vec::new();
        let mut whole = late.effective.is_empty();
        let ids: Vec<DecisionId> = self.concerned.keys().copied().collect();
        for id in ids {
            whole &= self.settle_one(id, &mut entries)?;
            if entries.len() >= ENTRIES_MAX {
                let entries = std::mem::take(&mut entries);
                self.engine.append_entries(entries).await?;
            }
        }
        let ok = |state| matches!(state, StepState::Done | StepState::Skipped);
        whole &= self.steps.values().all(|on| ok(on.state));
        let outcome = match whole {
            true => Outcome::Succeeded,
            false => Outcome::Failed {
                class: FailureClass::Error,
            },
        };
        let late = late.effective;
        let text = serde_json::to_string(&Settled { late }).unwrap_or_default();
        let (decision, head) = (self.attempt.decision, self.attempt.head);
        let superseded = match whole {
            true => self.engine.superseded_holds(&self.rollback).await?,
            false => Vec::new(),
        };
        for (other, agents) in &superseded {
            for agent in agents {
                entries.extend(self.pen.released(agent, AGENT, &[*other])?);
            }
        }
        entries.push(self.pen.outcome(decision, head, outcome, &text)?);
        self.engine.append_entries(entries).await?;
        for (other, agents) in superseded {
            for agent in agents {
                let holds = &self.engine.holds;
                holds.release(&agent, &[Whose::Rollback(other)]);
            }
        }
        Ok(())
    }

    /// Says what one decision came to. Returns whether that is what the plan says.
    fn settle_one(
        &mut self,
        id: DecisionId,
        entries: &mut Vec<Entry>,
    ) -> Result<bool, EngineError> {
        let stands = matches!(self.concerned[&id].fate, Fate::Stands(_));
        // What stands does so whether or not somebody could be told.
        if self.is_complete(id) || stands {
            self.finish(id, entries)?;
        }
        let failed = self.first_failure(id);
        let Some(concerned) = self.concerned.get_mut(&id) else {
            return Ok(true);
        };
        match concerned.status {
            // What was refused did nothing.
            Status::Compensated | Status::Stands | Status::Rejected => return Ok(true),
            Status::Invalidated => {
                let key = key_of(self.rollback.id, 0);
                let body = Body::Compensating { decision: id, key };
                concerned.step(&self.pen, body, Status::Compensating, entries)?;
            }
            Status::Compensating => {}
            // It failed before and was not tried; or it is still being carried out.
            _ => return Ok(false),
        }
        let body = Body::CompensationFailed {
            decision: id,
            reason: failed,
        };
        concerned.step(&self.pen, body, Status::CompensationFailed, entries)?;
        Ok(false)
    }

    /// Why a decision is not taken back, in words free of personal data.
    fn first_failure(&self, id: DecisionId) -> String {
        let Some(concerned) = self.concerned.get(&id) else {
            return String::new();
        };
        let mut pending = None;
        for n in &concerned.steps {
            let Some(on) = self.steps.get(n) else {
                continue;
            };
            match on.state {
                StepState::Failed => {
                    let why = on.said.why.as_deref().unwrap_or("failed");
                    return format!("step {n}: {why}");
                }
                StepState::Parked => {
                    return format!("step {n}: whether it was carried out is not known");
                }
                StepState::Pending | StepState::Running => pending = pending.or(Some(n)),
                StepState::Done | StepState::Skipped | StepState::Untold => {}
            }
        }
        match pending {
            Some(n) => format!("step {n}: not begun, because one before it failed"),
            None => "whether it took effect is not known".to_owned(),
        }
    }
}

impl Engine {
    /// Whether a decision takes care of what went wrong, and so is no dependant of what is taken
    /// back; `known` remembers the runs that were looked at.
    pub(crate) async fn recovers(
        &self,
        row: &DecisionRow,
        known: &mut HashMap<RunId, bool>,
    ) -> Result<bool, EngineError> {
        Ok(is_about_recovery(row.keys.kind) || self.is_of_rollback(row, known).await?)
    }

    /// Whether a decision was taken in a rollback: that follows from a person's approval.
    pub(super) async fn is_of_rollback(
        &self,
        row: &DecisionRow,
        known: &mut HashMap<RunId, bool>,
    ) -> Result<bool, EngineError> {
        if row.keys.agent.name != AGENT {
            return Ok(false);
        }
        let run = row.keys.run;
        if let Some(known) = known.get(&run) {
            return Ok(*known);
        }
        let is = self.rollback_of(run).await?.is_some();
        known.insert(run, is);
        Ok(is)
    }

    /// Whether a decision has effects that somebody would have to take back.
    pub(super) async fn changes_world(&self, id: DecisionId) -> Result<bool, EngineError> {
        let events = self.events_of(id).await?;
        let decision = fold(id, events.iter().map(|(_, event)| event))?;
        // What certainly failed did nothing, and what has not begun neither.
        let none = matches!(
            decision.position,
            Status::Proposed | Status::Held | Status::Approved | Status::Rejected
        );
        let effects = decision.effects.iter();
        Ok(!none
            && effects
                .into_iter()
                .any(|effect| effect.class != EffectClass::Read))
    }
}

/// Whether decisions of a kind are about recovering.
const fn is_about_recovery(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Incident | Kind::RecoveryStep | Kind::ContextRepair | Kind::Verdict | Kind::Approval
    )
}
