//! Takes what is rescinded out of a request before it is sent, and records that it was.
//!
//! The record keeps what the agent asked. A decision of the kind *context repair* says what was
//! taken out and of which decisions it came; it is recorded once for each set of things that
//! stand in an agent's history, however often that is sent again. The inference names it as a
//! cause, and its outcome the digest of what the model was sent.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, PoisonError};

use context::{Repair, Replaced};
use ledger::digest::sha256;
use lru::LruCache;
use model::{
    Agent, Body, Cause, CauseKind, DecisionId, Digest, Event, Evidence, Field, Kind, Media,
    Outcome, Proposal, Provenance, RunId, Strength,
};
use serde_json::json;
use wire::llm::Layout;

use super::Inner;
use super::append::RecordError;
use super::open::Ciphertext;
use super::place::Place;
use crate::text::cut;

/// Repairs that are remembered; one that was forgotten is recorded once more.
const REPAIRS_MAX: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");

/// What the record calls repairs.
pub(super) const BY: &str = "context-repair";

/// What was recorded already.
#[derive(Debug)]
pub(super) struct Repairs(LruCache<(RunId, Digest), DecisionId>);

impl Default for Repairs {
    fn default() -> Self {
        Self(LruCache::new(REPAIRS_MAX))
    }
}

/// What an inference is sent in place of what it asked.
#[derive(Debug)]
pub(super) struct Repaired {
    /// The decision that says so.
    pub(super) decision: DecisionId,
    /// What was taken out.
    pub(super) taken: HashSet<DecisionId>,
    pub(super) body: Arc<[u8]>,
}

/// A repair, and what has to be written down of it.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) repaired: Repaired,
    pub(super) events: Vec<Event>,
    pub(super) payload: Option<Ciphertext>,
}

impl Repaired {
    /// The edge from the inference to the repair.
    pub(super) fn cause(&self) -> Cause {
        Cause {
            decision: self.decision,
            evidence: Evidence::Explicit { by: BY.to_owned() },
            kind: CauseKind::Context,
            strength: Strength::Certain,
        }
    }

    /// What the outcome says of what was sent.
    pub(super) fn sent(&self) -> (Field, Media, String) {
        let text = json!({
            "bytes": self.body.len(),
            "repair": self.decision.to_string(),
            "sha256": hex(&self.body),
        });
        (Field::Sent, Media::Json, text.to_string())
    }

    /// Takes out of an inference's causes what was taken out of its prompt. What its answer says
    /// it may have from elsewhere, and whether it does nobody knows.
    pub(super) fn clear(
        &self,
        prompt: &mut Vec<Cause>,
        answer: &mut [Cause],
        rescinded: &super::rescinded::Index,
    ) {
        prompt.retain(|cause| !self.taken.contains(&cause.decision));
        rescinded.doubt(prompt);
        rescinded.doubt(answer);
    }
}

/// Whether an edge says that something rescinded was taken out of what its decision was sent.
pub(super) fn is_repair(cause: &Cause) -> bool {
    matches!(&cause.evidence, Evidence::Explicit { by } if by == BY)
}

impl Inner {
    /// Takes what is rescinded out of a request as it is `sent`; none where it holds nothing of it
    /// and nothing was `told` in it either. `stale` is what the request is free of by that although
    /// its provider keeps it: found in the request, hidden behind something else that is, or told.
    pub(super) fn repair_sent(
        &self,
        place: &Place,
        (asked, sent): (&Layout<'_>, &Layout<'_>),
        stale: &[DecisionId],
        told: Option<Vec<Replaced>>,
    ) -> Result<Option<Noted>, RecordError> {
        let sets = self.rescinded.marks(place.run.id);
        let sets: Vec<&context::Marks> = sets.iter().map(|marks| &**marks).collect();
        let mut repair = match context::repair(sent, &sets) {
            Some(repair) => repair,
            None if told.is_some() => Repair {
                body: sent.text().as_bytes().to_vec(),
                replaced: Vec::new(),
            },
            None => return Ok(None),
        };
        repair.replaced.extend(told.into_iter().flatten());
        metrics::counter!("rescind_contexts_repaired_total").increment(1);
        let found: HashSet<DecisionId> = repair.replaced.iter().map(|cut| cut.decision).collect();
        let mut hidden = stale.to_vec();
        hidden.retain(|decision| !found.contains(decision));
        let set = set_digest(&place.agent, &repair.replaced, &hidden);
        let known = self.repairs().0.get(&(place.run.id, set)).copied();
        let (decision, events, payload) = match known {
            Some(decision) => (decision, Vec::new(), None),
            None => self.record_repair(place, asked, &repair, &hidden)?,
        };
        let taken: HashSet<DecisionId> = found.into_iter().chain(hidden).collect();
        self.rescinded.reached(taken.iter().copied(), place.run.id);
        self.repairs().0.put((place.run.id, set), decision);
        Ok(Some(Noted {
            repaired: Repaired {
                decision,
                taken,
                body: repair.body.into(),
            },
            events,
            payload,
        }))
    }

    fn record_repair(
        &self,
        place: &Place,
        layout: &Layout<'_>,
        repair: &Repair,
        hidden: &[DecisionId],
    ) -> Result<(DecisionId, Vec<Event>, Option<Ciphertext>), RecordError> {
        let at = self.engine.next_time();
        let decision = DecisionId::new(at.millis(), ledger::entropy::draw(&*self.engine.entropy));
        let begun = self.engine.event_id(at);
        let replaced: Vec<_> = repair
            .replaced
            .iter()
            .map(|cut| {
                json!({
                    "at": cut.at, "by": cut.by, "decision": cut.decision.to_string(),
                    "what": cut.what.name(),
                })
            })
            .collect();
        let mut text = json!({
            "after": { "bytes": repair.body.len(), "sha256": hex(&repair.body) },
            "api": layout.api().name(),
            "before": { "bytes": layout.text().len(), "sha256": hex(layout.text().as_bytes()) },
            "replaced": replaced,
        });
        if !hidden.is_empty() {
            let hidden: Vec<String> = hidden.iter().map(DecisionId::to_string).collect();
            text["hidden"] = json!(hidden);
        }
        let kept = vec![(Field::Asked, Media::Json, Cow::Owned(text.to_string()))];
        let kept = self.recordable(kept);
        let envelope = place.run.envelope();
        let (sealed, payload) = self.seal(&envelope, begun, &kept, None)?;
        let found = repair.replaced.iter().map(|cut| &cut.decision);
        let taken: BTreeSet<DecisionId> = found.chain(hidden).copied().collect();
        // The repair depends on them; who is sent it depends on them no more. So the way from one
        // to the other is not a certain one.
        let mut causes: Vec<Cause> = taken
            .into_iter()
            .map(|decision| Cause {
                decision,
                evidence: Evidence::Explicit { by: BY.to_owned() },
                kind: CauseKind::Context,
                strength: Strength::Possible,
            })
            .collect();
        let later = causes.split_off(causes.len().min(super::open::CAUSES_PER_LEAF));
        let proposal = Proposal {
            agent: Agent {
                name: cut(&place.agent, super::open::NAME_BYTES_MAX),
                version: None,
            },
            causes,
            effects: Vec::new(),
            environment: None,
            kind: Kind::ContextRepair,
            known: Provenance::Observed,
            name: Some("live".to_owned()),
            policy: Some(self.policy.unjudged()),
            run: place.run.id,
            sealed,
            server: None,
            started: Some(self.now()),
        };
        let mut events = vec![Event {
            at,
            body: Body::Begun { decision, proposal },
            id: begun,
            prev: None,
            v: 1,
        }];
        events.extend(self.linked(decision, begun, later));
        let last = events.last().map_or(begun, |event| event.id);
        let body = Body::Finished {
            causes: Vec::new(),
            decision,
            effects: Vec::new(),
            outcome: Outcome::Succeeded,
            sealed: None,
        };
        events.push(self.engine.new_event(body, Some(last)));
        Ok((decision, events, payload))
    }

    fn repairs(&self) -> std::sync::MutexGuard<'_, Repairs> {
        self.repairs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same things taken out of the same agent's history, wherever in it they stand.
fn set_digest(agent: &str, replaced: &[Replaced], hidden: &[DecisionId]) -> Digest {
    let mut lines: Vec<String> = replaced
        .iter()
        .map(|cut| format!("{} {} {}", cut.decision, cut.what.name(), cut.by))
        .chain(hidden.iter().map(|decision| format!("{decision} hidden")))
        .collect();
    lines.sort_unstable();
    let mut parts = vec![agent.as_bytes(), b"\0"];
    for line in &lines {
        parts.push(line.as_bytes());
        parts.push(b"\n");
    }
    ledger::digest::sha256_parts(&parts)
}

fn hex(bytes: &[u8]) -> String {
    sha256(bytes).to_string()
}
