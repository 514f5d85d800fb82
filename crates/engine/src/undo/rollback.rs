//! What the record says of a rollback: its plan, who approved it, and how far its steps came.

use std::collections::{BTreeMap, HashMap};

use ledger::{DecisionRow, KeyState, Page};
use model::{
    Approval, Body, Decision, DecisionId, Digest, Event, EventId, FailureClass, Field, Kind,
    Outcome, RunId, Status,
};
use recover::Plan;
use recover::plan::Fate;
use serde::{Deserialize, Serialize};

use crate::look::fold;
use crate::record::Envelope;
use crate::{Engine, EngineError};

use super::UndoError;
use super::pen::{RETRY, ROLLBACK, key_of, writes};
use super::view::State;

/// The most decisions that the run of a rollback is read for.
const DECISIONS_MAX: u64 = 1 << 20;

/// A rollback, as recorded.
#[derive(Debug)]
pub(super) struct Rollback {
    pub(super) id: DecisionId,
    pub(super) run: RunId,
    pub(super) row: DecisionRow,
    /// Its last event.
    pub(super) head: EventId,
    /// Where its own decision stands; what retries came to is in `retries`.
    pub(super) status: Status,
    pub(super) outcome: Outcome,
    pub(super) plan: Plan,
    pub(super) digest: Digest,
    pub(super) approvals: Vec<Approval>,
    /// Further attempts, in order.
    pub(super) retries: Vec<Attempt>,
    /// The last decision of each step.
    pub(super) steps: BTreeMap<u32, Known>,
    pub(super) ended: Option<Settled>,
    pub(super) envelope: Envelope,
}

/// An attempt to carry the plan out.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) decision: DecisionId,
    pub(super) head: EventId,
    pub(super) status: Status,
    /// What a person found out before it.
    pub(super) claims: Claims,
}

/// What is known of a step.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) decision: DecisionId,
    pub(super) head: EventId,
    pub(super) attempt: Option<DecisionId>,
    pub(super) status: Status,
    pub(super) said: Said,
    /// Its decisions in earlier attempts.
    pub(super) earlier: Vec<DecisionId>,
}

/// What the outcome of a step says, sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    /// It was done before it was tried.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) already: bool,
    /// A probe's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) happened: Option<bool>,
    /// Who was told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) told: Vec<String>,
    /// Why it failed, in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    /// Why it failed or is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

/// What a person found out before an attempt, sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    /// Whether steps of which nobody knew were carried out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) happened: BTreeMap<u32, bool>,
}

/// What the outcome of an attempt says, sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settled {
    /// Decisions with effects that depend on what is taken back and are not in the plan.
    #[serde(default)]
    pub(super) late: Vec<DecisionId>,
}

impl Known {
    /// Its decisions in all attempts, in order.
    pub(super) fn decisions(mut self) -> Vec<DecisionId> {
        self.earlier.push(self.decision);
        self.earlier
    }
}

impl Rollback {
    pub(super) async fn load(engine: &Engine, id: DecisionId) -> Result<Self, EngineError> {
        let size = engine.store().status().await?.durable;
        engine.store().wait_indexed(size).await?;
        let row = engine.store().rows(&[id]).await?.pop();
        let row = row.ok_or_else(|| EngineError::NotFound {
            text: id.to_string(),
        })?;
        if !is_rollback(&row) {
            return Err(EngineError::WrongKind {
                id: id.to_string(),
                is: "another decision",
                wanted: "a rollback",
            });
        }
        let run = row.keys.run;
        let envelope = envelope(engine, id, run).await?;
        let (decision, events) = decision(engine, id).await?;
        let text = sealed(engine, &events[0], Field::Asked).await?;
        let unreadable = |reason: String| UndoError::NoPlan { id, reason };
        let text = text.ok_or_else(|| unreadable("its contents are gone".to_owned()))?;
        let plan: Plan =
            serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        let mut rollback = Self {
            id,
            run,
            head: last(&events),
            status: decision.position,
            outcome: decision.outcome.clone(),
            plan,
            digest: ledger::digest::sha256(text.as_bytes()),
            approvals: decision.approvals,
            retries: Vec::new(),
            steps: BTreeMap::new(),
            ended: settled(engine, &events).await?,
            envelope,
            row,
        };
        rollback.read_run(engine).await?;
        Ok(rollback)
    }

    /// Reads the steps and retries, which are the other decisions of the run.
    async fn read_run(&mut self, engine: &Engine) -> Result<(), EngineError> {
        let numbers: HashMap<Digest, u32> = self
            .plan
            .steps
            .iter()
            .map(|step| (key_of(self.id, step.n), step.n))
            .collect();
        let page = Page::first(DECISIONS_MAX);
        for row in engine.store().decisions(Some(self.run), page).await? {
            let retries =
                row.keys.kind == Kind::Incident && row.keys.name.as_deref() == Some(RETRY);
            if !retries && row.keys.kind != Kind::RecoveryStep {
                continue;
            }
            let (decision, events) = decision(engine, row.id).await?;
            if retries {
                self.approvals.extend(decision.approvals);
                self.ended = settled(engine, &events).await?;
                let asked = sealed(engine, &events[0], Field::Asked).await?;
                let claims = asked.and_then(|text| serde_json::from_str(&text).ok());
                self.retries.push(Attempt {
                    decision: row.id,
                    head: last(&events),
                    status: decision.position,
                    claims: claims.unwrap_or_default(),
                });
                continue;
            }
            let key = decision.effects.first().map(|effect| effect.key);
            let Some(step) = key.and_then(|key| numbers.get(&key)) else {
                continue;
            };
            let mut said = Said::default();
            for event in &events {
                if let Some(text) = sealed(engine, event, Field::Result).await? {
                    said = serde_json::from_str(&text).unwrap_or_default();
                }
            }
            let earlier = self.steps.remove(step).map(Known::decisions);
            self.steps.insert(
                *step,
                Known {
                    decision: row.id,
                    head: last(&events),
                    attempt: decision.causes.first().map(|cause| cause.decision),
                    status: decision.position,
                    said,
                    earlier: earlier.unwrap_or_default(),
                },
            );
        }
        Ok(())
    }

    /// The attempt that counts: the last one.
    pub(super) fn attempt(&self) -> Attempt {
        self.retries.last().cloned().unwrap_or(Attempt {
            decision: self.id,
            head: self.head,
            status: self.status,
            claims: Claims::default(),
        })
    }

    /// The steps that were begun and of which it is not known whether they were carried out.
    pub(super) fn in_doubt(&self) -> impl Iterator<Item = (u32, &Known)> {
        let known = self.steps.iter();
        known
            .filter(|(_, known)| matches!(known.status, Status::Started | Status::Unknown))
            .map(|(n, known)| (*n, known))
    }

    /// How many steps are done.
    pub(super) fn done(&self) -> usize {
        let known = self.steps.values();
        known
            .filter(|known| known.status == Status::Succeeded)
            .count()
    }

    /// Where it stands.
    pub(super) fn state(&self) -> State {
        match self.attempt().status {
            Status::Proposed | Status::Held => State::Proposed,
            Status::Approved => State::Approved,
            Status::Started | Status::Unknown => State::UnderWay,
            Status::Succeeded => State::Succeeded,
            Status::Rejected | Status::Cancelled => State::Rejected,
            _ if self.outcome == OUTDATED => State::Outdated,
            _ => State::Failed,
        }
    }

    /// The decisions that it takes back.
    pub(super) fn taken_back(&self) -> impl Iterator<Item = DecisionId> {
        let affected = self.plan.affected.iter();
        affected
            .filter(|affected| !matches!(affected.fate, Fate::Kept(_)))
            .map(|affected| affected.decision)
    }

    /// What it takes back and writes, in words by which two can be compared.
    pub(super) fn concerns(&self) -> impl Iterator<Item = String> {
        let decisions = self.taken_back().map(|id| format!("decision `{id}`"));
        let records = self.plan.steps.iter().flat_map(|step| writes(&step.act));
        decisions.chain(records.map(|uri| format!("record `{uri}`")))
    }
}

/// Whether a decision is a rollback.
pub(super) fn is_rollback(row: &DecisionRow) -> bool {
    row.keys.kind == Kind::Incident && row.keys.name.as_deref() == Some(ROLLBACK)
}

/// How a rollback ends that nobody may go on with: its plan is no longer the right one.
pub(super) const OUTDATED: Outcome = Outcome::Failed {
    class: FailureClass::Invalid,
};

impl Engine {
    /// Returns the rollbacks of the record, oldest first.
    pub(super) async fn rollback_ids(&self) -> Result<Vec<DecisionId>, EngineError> {
        let size = self.store.status().await?.durable;
        self.store.wait_indexed(size).await?;
        let incidents = self.store.decisions_of(Kind::Incident, None).await?;
        let rollbacks = incidents.into_iter().filter(is_rollback);
        Ok(rollbacks.map(|row| row.id).collect())
    }
}

async fn envelope(engine: &Engine, id: DecisionId, run: RunId) -> Result<Envelope, EngineError> {
    let row = engine.store().run(run).await?;
    let gone = |reason: &str| UndoError::NoPlan {
        id,
        reason: reason.to_owned(),
    };
    let subject = row.ok_or_else(|| gone("its run is gone"))?.keys.subject;
    match engine.store().key(subject).await? {
        KeyState::Kept(key) => Ok(Envelope { subject, key }),
        KeyState::Destroyed | KeyState::Absent => Err(gone("its contents were erased").into()),
    }
}

pub(super) async fn decision(
    engine: &Engine,
    id: DecisionId,
) -> Result<(Decision, Vec<Event>), EngineError> {
    let events = engine.events_of(id).await?;
    let events: Vec<Event> = events.into_iter().map(|(_, event)| event).collect();
    Ok((fold(id, events.iter())?, events))
}

fn last(events: &[Event]) -> EventId {
    events.last().expect("a decision has an event").id
}

async fn sealed(
    engine: &Engine,
    event: &Event,
    field: Field,
) -> Result<Option<String>, EngineError> {
    engine.opened_field(event, field).await
}

async fn settled(engine: &Engine, events: &[Event]) -> Result<Option<Settled>, EngineError> {
    for event in events {
        if matches!(event.body, Body::Finished { .. })
            && let Some(text) = sealed(engine, event, Field::Result).await?
        {
            return Ok(serde_json::from_str(&text).ok());
        }
    }
    Ok(None)
}
