//! Histories that a provider keeps: what they hold, and what a request is sent that continues one
//! in which something is rescinded.
//!
//! An answer that a later call continues is remembered with the decisions that its request told
//! the model of. Once one of them is rescinded, the turns since the last sound answer are written
//! into the request, which then continues that one and is repaired like any other; where that
//! cannot be done, the model is told. What an answer's request was freed of is remembered too, so
//! nothing is said twice.

use std::collections::HashSet;
use std::sync::Arc;

use context::{Marks, Repair, Turn, tell, whole};
use model::{Cause, CauseKind, Decision, DecisionId, Event, Evidence, RunId, Strength};
use wire::llm::{Api, Layout};

use super::Inner;
use super::append::RecordError;
use super::call::Caller;
use super::place::Place;
use super::recall::answer_of;
use super::repair::{BY, Noted};
use super::runs::Runs;
use crate::rescinded::called;
use crate::{Engine, EngineError};

/// How a call says which answer it continues.
pub(super) const PREVIOUS: &str = "previous_response_id";

/// Turns of one history that are looked at, newest first.
const TURNS_MAX: usize = 1_024;

/// Decisions that one answer is remembered with.
const HELD_MAX: usize = 256;

/// What a call continues on the provider's side.
#[derive(Clone, Debug, Default)]
pub(super) struct Continues {
    /// The answer before it.
    pub(super) previous: Option<String>,
    /// The conversation that it is part of.
    pub(super) conversation: Option<String>,
}

impl From<&Caller> for Continues {
    fn from(caller: &Caller) -> Self {
        Self {
            previous: caller.previous.clone(),
            conversation: caller.conversation.clone(),
        }
    }
}

/// An answer that a later call may continue.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) run: RunId,
    pub(super) decision: DecisionId,
    /// The answer before it, as the agent named it.
    pub(super) before: Option<String>,
    pub(super) held: Held,
}

/// What a model has before it after an answer, beside what it had before.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// The decisions that it was told of, and the answer itself.
    had: Vec<DecisionId>,
    /// What was taken out, or what it was told no longer holds.
    without: Vec<DecisionId>,
}

impl Held {
    /// What a call leaves with the provider: itself, and what it certainly told the model of. A
    /// result under the id of its call was told, whether or not the answer depends on it.
    pub(super) fn of(
        decision: DecisionId,
        told: &[Cause],
        without: impl IntoIterator<Item = DecisionId>,
    ) -> Self {
        let was_told = |cause: &&Cause| {
            let certain = cause.strength == Strength::Certain;
            (certain || cause.evidence == Evidence::CallId) && !names_repair(cause)
        };
        let told = told.iter().filter(was_told).map(|cause| cause.decision);
        let had: HashSet<DecisionId> = told.take(HELD_MAX).chain([decision]).collect();
        Self {
            had: had.into_iter().collect(),
            without: without.into_iter().collect(),
        }
    }

    /// Adds what a further call of the same conversation left.
    pub(super) fn add(&mut self, more: &Self) {
        self.had.retain(|had| !more.had.contains(had));
        self.had.extend(&more.had);
        let passed = self.had.len().saturating_sub(TURNS_MAX);
        self.had.drain(..passed);
        self.without.retain(|had| !more.without.contains(had));
        self.without.extend(&more.without);
        let passed = self.without.len().saturating_sub(TURNS_MAX);
        self.without.drain(..passed);
    }
}

/// Something rescinded in what a provider keeps.
#[derive(Debug, Default)]
pub(super) struct Stale {
    /// What is rescinded.
    decisions: Vec<DecisionId>,
    /// The turns from the first that holds it, oldest first; none of a conversation, which cannot
    /// be continued from an earlier place.
    turns: Vec<DecisionId>,
    /// The answer before these turns.
    before: Option<String>,
}

impl Runs {
    /// What a call continues that is rescinded and stands there still.
    pub(super) fn stale(
        &mut self,
        continues: &Continues,
        rescinded: impl Fn(DecisionId) -> bool,
    ) -> Option<Stale> {
        let mut stale = Stale::default();
        let mut settled: HashSet<DecisionId> = HashSet::new();
        let mut fresh = |held: &Held, into: &mut Vec<DecisionId>| {
            settled.extend(&held.without);
            let mut holds = false;
            for had in &held.had {
                if !settled.contains(had) && rescinded(*had) {
                    holds = true;
                    // A later turn may hold it too, and the first is where it has to go.
                    if !into.contains(had) {
                        into.push(*had);
                    }
                }
            }
            holds
        };
        if let Some(held) = continues
            .conversation
            .as_ref()
            .and_then(|name| self.conversation(name))
        {
            fresh(held, &mut stale.decisions);
        } else {
            let mut next = continues.previous.clone();
            let mut turns = Vec::new();
            while let Some(answer) = next.as_ref().and_then(|id| self.answer(id))
                && turns.len() < TURNS_MAX
            {
                turns.push(answer.decision);
                next.clone_from(&answer.before);
                if fresh(&answer.held, &mut stale.decisions) {
                    stale.turns.clone_from(&turns);
                    stale.before.clone_from(&answer.before);
                }
            }
            stale.turns.reverse();
        }
        (!stale.decisions.is_empty()).then_some(stale)
    }
}

impl Inner {
    /// Takes what is rescinded out of a request and out of what it continues; none where neither
    /// holds anything of it.
    pub(super) async fn repair(
        &self,
        place: &mut Place,
        caller: &Continues,
        layout: &Layout<'_>,
    ) -> Result<Option<Noted>, RecordError> {
        let stale = self
            .runs()
            .stale(caller, |decision| self.rescinded.knows(decision));
        let Some(stale) = stale else {
            return self.repair_sent(place, (layout, layout), &[], None);
        };
        let run = place.run.id;
        self.rescinded.reached(stale.decisions.iter().copied(), run);
        let mut noted = None;
        if let Some(body) = self.written_out(layout, &stale).await
            && let Ok(whole) = Layout::read(layout.api(), body.as_bytes())
        {
            noted = self.repair_sent(place, (layout, &whole), &stale.decisions, None)?;
        }
        if noted.is_none() {
            noted = self.repair_told(place, layout, &stale)?;
        }
        if let Some(noted) = &noted {
            // What the agent named it does continue, and no more than that.
            for cause in &mut place.causes {
                if noted.repaired.taken.contains(&cause.decision) {
                    cause.strength = Strength::Possible;
                }
            }
        }
        Ok(noted)
    }

    /// Adds a note about what the provider keeps, and takes what is rescinded out of the rest.
    fn repair_told(
        &self,
        place: &Place,
        layout: &Layout<'_>,
        stale: &Stale,
    ) -> Result<Option<Noted>, RecordError> {
        let sets = self.rescinded.marks(place.run.id);
        let own = sets
            .iter()
            .find(|marks| marks.audience() == context::Audience::SameRun);
        let own: Option<&Arc<Marks>> = own;
        let told: Option<Repair> = own.and_then(|marks| tell(layout, marks, &stale.decisions));
        let Some(told) = told else {
            // Not told of, so it is not done with: the next request is to tell of it.
            metrics::counter!("rescind_contexts_unchecked_total").increment(1);
            return self.repair_sent(place, (layout, layout), &[], None);
        };
        let Ok(with_note) = Layout::read(layout.api(), &told.body) else {
            return self.repair_sent(place, (layout, layout), &[], None);
        };
        let both = (layout, &with_note);
        self.repair_sent(place, both, &stale.decisions, Some(told.replaced))
    }

    /// The request with the turns in it that the provider is not to be asked for; none where they
    /// cannot be read.
    async fn written_out(&self, layout: &Layout<'_>, stale: &Stale) -> Option<String> {
        if stale.turns.is_empty() {
            return None;
        }
        let mut turns = Vec::with_capacity(stale.turns.len());
        for decision in &stale.turns {
            let events = self.engine.events_of(*decision).await.ok()?;
            turns.push(self.engine.turn(&events).await.ok()??);
        }
        whole(layout, stale.before.as_deref(), &turns)
    }
}

impl Engine {
    /// Reads a turn of a history that the provider of *responses* keeps; none where its contents
    /// cannot be read.
    pub(crate) async fn turn(&self, events: &[(u64, Event)]) -> Result<Option<Turn>, EngineError> {
        let recalled = self.recalled(events).await?;
        if recalled.api != Some(Api::Responses) {
            return Ok(None);
        }
        let (text, calls, _) = answer_of(Api::Responses, &recalled);
        let calls = calls.into_iter().map(called).collect();
        Ok(recalled.asked.map(|asked| Turn { asked, text, calls }))
    }

    /// What the request of a decision was freed of, as its repairs say.
    pub(super) async fn taken_before(
        &self,
        decision: &Decision,
    ) -> Result<Vec<DecisionId>, EngineError> {
        let mut taken = Vec::new();
        for repair in decision.causes.iter().filter(|cause| names_repair(cause)) {
            let events = self.events_of(repair.decision).await?;
            let repair = crate::look::fold(repair.decision, events.iter().map(|(_, event)| event))?;
            taken.extend(repair.causes.iter().map(|cause| cause.decision));
        }
        Ok(taken)
    }
}

/// The answer that a decision continues, as the record has it.
pub(crate) fn continued(decision: &Decision) -> Option<DecisionId> {
    let by_id =
        |cause: &&Cause| matches!(&cause.evidence, Evidence::Explicit { by } if by == PREVIOUS);
    Some(decision.causes.iter().find(by_id)?.decision)
}

fn names_repair(cause: &Cause) -> bool {
    cause.kind == CauseKind::Context
        && matches!(&cause.evidence, Evidence::Explicit { by } if by == BY)
}
