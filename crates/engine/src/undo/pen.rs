//! Writes the events of rollbacks: their decisions, steps, and what becomes of those concerned.

use std::collections::BTreeMap;

use ledger::canonical;
use ledger::payload::Sealer;
use ledger::{Batch, Leaf, StoreError, SubjectKey};
use model::{
    Agent, Approval, Body, Cause, CauseKind, DecisionId, Digest, Effect, EffectClass, Event,
    EventId, Evidence, FailureClass, Field, Kind, Media, Outcome, PolicyUse, Proposal, Provenance,
    Resource, RunId, Sealed, Status, Strength, SubjectId, Timestamp, Verdict,
};
use recover::Plan;
use recover::plan::{Act, Linked, Step};

use crate::record::{Envelope, Plain};
use crate::{Engine, EngineError};

use super::rollback::{Claims, Rollback, Said};

/// Who decides what is decided in a rollback.
pub(super) const AGENT: &str = "rescind";

/// How many roots are named as causes in a rollback's own entry.
const CAUSES_MAX: usize = 64;

/// How many causes stand in one leaf.
const LINKED_PER_LEAF: usize = 16;

/// How often edges are appended anew when a decision has moved on meanwhile.
const LINK_TRIES: usize = 8;

/// Names of the decisions that make a rollback.
pub(super) const ROLLBACK: &str = "rollback";
pub(super) const RETRY: &str = "rollback-retry";

/// Why it is not known of a step whether it was carried out.
const BROKEN_OFF: &str = "the attempt was broken off before its outcome";

/// Makes events of one rollback, sealed with the key of its run.
pub(super) struct Pen {
    engine: Engine,
    run: RunId,
    envelope: Envelope,
    policy: PolicyUse,
    sealer: Sealer,
}

/// A ciphertext that lies beside the log.
type Payload = Option<(Digest, Vec<u8>)>;

/// An event that was made, and what lies beside it.
pub(super) struct Entry {
    pub(super) id: EventId,
    pub(super) leaf: Leaf,
    pub(super) payload: Payload,
}

/// What a new decision is.
pub(super) struct New<'a> {
    pub(super) kind: Kind,
    pub(super) name: &'a str,
    pub(super) causes: Vec<Cause>,
    pub(super) effects: Vec<Effect>,
    pub(super) asked: &'a str,
}

impl Pen {
    pub(super) fn of(engine: &Engine, rollback: &Rollback) -> Self {
        Self {
            engine: engine.clone(),
            run: rollback.run,
            envelope: rollback.envelope.clone(),
            policy: policy(rollback.digest),
            sealer: Sealer::default(),
        }
    }

    /// Opens a run for a plan and puts it forward. Returns the rollback.
    pub(super) async fn propose(engine: &Engine, plan: &Plan) -> Result<DecisionId, EngineError> {
        let (text, digest) = canonical_of(plan)?;
        let mut tries = 0;
        while let Err(error) = engine.enter_linked(&plan.linked).await {
            tries += 1;
            let moved_on = matches!(error, EngineError::Store(StoreError::Conflict { .. }));
            if !moved_on || tries == LINK_TRIES {
                return Err(error);
            }
        }
        let (mut pen, opening) = Self::in_new_run(engine, ROLLBACK, policy(digest)).await?;
        let roots = plan.incident.roots.iter().take(CAUSES_MAX);
        let causes = roots
            .map(|root| explicit(*root, CauseKind::Policy, "incident"))
            .collect();
        let id = pen.new_decision();
        let new = New {
            kind: Kind::Incident,
            name: ROLLBACK,
            causes,
            effects: Vec::new(),
            asked: &text,
        };
        let proposed = pen.proposed(id, new)?;
        engine.append_entries(vec![opening, proposed]).await?;
        Ok(id)
    }

    /// Opens a run with a key of its own.
    pub(super) async fn in_new_run(
        engine: &Engine,
        name: &str,
        policy: PolicyUse,
    ) -> Result<(Self, Entry), EngineError> {
        let at = engine.next_time();
        let subject = SubjectId::new(at.millis(), ledger::entropy::draw(&*engine.entropy));
        let key = SubjectKey::generate(&*engine.entropy);
        engine.store().keep_key(subject, key.clone()).await?;
        let run = RunId::new(at.millis(), ledger::entropy::draw(&*engine.entropy));
        let pen = Self {
            engine: engine.clone(),
            run,
            envelope: Envelope { subject, key },
            policy,
            sealer: Sealer::default(),
        };
        let opening = pen.entry(
            Body::RunOpened {
                // Unlike a name that a caller could give its own run.
                external: Some(format!("{name}:{run}")),
                origin: None,
                run,
                sealed: None,
                subject,
            },
            None,
        )?;
        Ok((pen, opening))
    }

    pub(super) fn new_decision(&self) -> DecisionId {
        let at = self.engine.next_time();
        DecisionId::new(at.millis(), ledger::entropy::draw(&*self.engine.entropy))
    }

    /// Records that somebody approved the plan, or refused it.
    pub(super) async fn judge(
        &mut self,
        rollback: &Rollback,
        by: &str,
        approves: bool,
    ) -> Result<(), EngineError> {
        let decision = rollback.id;
        let approval = approval(rollback, by);
        let body = match approves {
            true => Body::Approved { approval, decision },
            false => Body::Rejected { approval, decision },
        };
        let judged = self.entry(body, Some(rollback.head))?;
        self.engine.append_entries(vec![judged]).await
    }

    /// Records that somebody wants what failed to be tried again, and what they found out. An attempt
    /// that was broken off ends with that: whether its steps without an outcome were carried out was
    /// not known.
    pub(super) async fn retry(
        &mut self,
        rollback: &Rollback,
        by: &str,
        happened: &BTreeMap<u32, bool>,
    ) -> Result<(), EngineError> {
        let mut entries = Vec::new();
        let attempt = rollback.attempt();
        let ended = match attempt.status {
            Status::Approved => Some(Outcome::Cancelled),
            Status::Started => Some(Outcome::Failed {
                class: FailureClass::Error,
            }),
            _ => None,
        };
        if let Some(ended) = ended {
            let said = Said {
                reason: Some(BROKEN_OFF.to_owned()),
                ..Said::default()
            };
            let said = serde_json::to_string(&said).unwrap_or_default();
            let begun = rollback.in_doubt().map(|(_, known)| known);
            for known in begun.filter(|known| known.status == Status::Started) {
                let (decision, head) = (known.decision, known.head);
                entries.push(self.outcome(decision, head, Outcome::Unknown, &said)?);
            }
            entries.push(self.outcome(attempt.decision, attempt.head, ended, "{}")?);
        }
        let happened = happened.clone();
        let asked = serde_json::to_string(&Claims { happened }).unwrap_or_default();
        let id = self.new_decision();
        let new = New {
            kind: Kind::Incident,
            name: RETRY,
            causes: vec![explicit(rollback.id, CauseKind::Parent, ROLLBACK)],
            effects: Vec::new(),
            asked: &asked,
        };
        let proposed = self.proposed(id, new)?;
        let (approval, decision) = (approval(rollback, by), id);
        let approved = self.entry(Body::Approved { approval, decision }, Some(proposed.id))?;
        entries.extend([proposed, approved]);
        self.engine.append_entries(entries).await
    }

    pub(super) const fn run(&self) -> RunId {
        self.run
    }

    /// Makes an event without content.
    pub(super) fn entry(&self, body: Body, prev: Option<EventId>) -> Result<Entry, EngineError> {
        entry(self.engine.new_event(body, prev), None)
    }

    /// Makes the event that puts a decision forward.
    pub(super) fn proposed(
        &mut self,
        decision: DecisionId,
        new: New<'_>,
    ) -> Result<Entry, EngineError> {
        self.proposed_by(AGENT, decision, new)
    }

    /// Makes the event that puts somebody's decision forward.
    pub(super) fn proposed_by(
        &mut self,
        by: &str,
        decision: DecisionId,
        new: New<'_>,
    ) -> Result<Entry, EngineError> {
        let body = |proposal| Body::Proposed { decision, proposal };
        let (event, payload) = self.with_proposal(by, new, body)?;
        entry(event, payload)
    }

    /// Makes the intent of a step: what it will do, and what it will write.
    pub(super) fn intent(
        &mut self,
        decision: DecisionId,
        step: &Step,
        key: Digest,
        attempt: DecisionId,
    ) -> Result<Entry, EngineError> {
        let asked = serde_json::to_string(step).unwrap_or_default();
        let writes = writes(&step.act)
            .map(|uri| Resource {
                uri: uri.to_owned(),
                version: None,
            })
            .collect();
        let new = New {
            kind: Kind::RecoveryStep,
            name: name_of(&step.act),
            causes: vec![explicit(attempt, CauseKind::Parent, ROLLBACK)],
            effects: vec![Effect {
                by: None,
                class: EffectClass::Idempotent,
                key,
                reads: Vec::new(),
                writes,
            }],
            asked: &asked,
        };
        let (event, payload) =
            self.with_proposal(AGENT, new, |proposal| Body::Begun { decision, proposal })?;
        entry(event, payload)
    }

    /// Makes the outcome of a decision, with what there is to say of it.
    pub(super) fn outcome(
        &mut self,
        decision: DecisionId,
        prev: EventId,
        outcome: Outcome,
        result: &str,
    ) -> Result<Entry, EngineError> {
        let mut event = self.engine.new_event(
            Body::Finished {
                causes: Vec::new(),
                decision,
                effects: Vec::new(),
                outcome,
                sealed: None,
            },
            Some(prev),
        );
        let (seen, payload) = self.seal(event.id, Field::Result, result)?;
        if let Body::Finished { sealed, .. } = &mut event.body {
            *sealed = seen;
        }
        entry(event, payload)
    }

    fn with_proposal(
        &mut self,
        by: &str,
        new: New<'_>,
        body: impl FnOnce(Proposal) -> Body,
    ) -> Result<(Event, Payload), EngineError> {
        let at = self.engine.next_time();
        let id = self.engine.event_id(at);
        let (sealed, payload) = self.seal(id, Field::Asked, new.asked)?;
        let proposal = Proposal {
            agent: Agent {
                name: by.to_owned(),
                version: None,
            },
            causes: new.causes,
            effects: new.effects,
            environment: None,
            kind: new.kind,
            known: Provenance::Observed,
            name: Some(new.name.to_owned()),
            policy: Some(self.policy.clone()),
            run: self.run,
            sealed,
            server: None,
            started: Some(Timestamp(
                i64::try_from(self.engine.clock.wall()).unwrap_or(i64::MAX),
            )),
        };
        let event = Event {
            at,
            body: body(proposal),
            id,
            prev: None,
            v: 1,
        };
        Ok((event, payload))
    }

    fn seal(
        &mut self,
        event: EventId,
        role: Field,
        text: &str,
    ) -> Result<(Option<Sealed>, Payload), EngineError> {
        let plain = Plain {
            base: None,
            role,
            media: Media::Json,
            text,
        };
        let entropy = &*self.engine.entropy;
        let made = self
            .envelope
            .seal(&mut self.sealer, entropy, event, &[plain]);
        let made = made.map_err(|source| EngineError::Content {
            event: event.to_string(),
            source,
        })?;
        Ok(match made {
            Some((sealed, ciphertext)) => {
                let ct = sealed.ct;
                (Some(sealed), Some((ct, ciphertext)))
            }
            None => (None, None),
        })
    }
}

impl Engine {
    /// Says in the record on what decisions depend, as a plan found out.
    async fn enter_linked(&self, linked: &[Linked]) -> Result<(), EngineError> {
        let mut found: BTreeMap<DecisionId, Vec<Cause>> = BTreeMap::new();
        for linked in linked {
            let causes = found.entry(linked.decision).or_default();
            causes.push(linked.cause.clone());
        }
        let mut entries = Vec::new();
        for (decision, causes) in found {
            let mut prev = self.store.head(*decision.as_bytes()).await?;
            for causes in causes.chunks(LINKED_PER_LEAF) {
                let causes = causes.to_vec();
                let event = self.new_event(Body::Linked { causes, decision }, prev);
                prev = Some(event.id);
                entries.push(entry(event, None)?);
            }
        }
        match entries.is_empty() {
            true => Ok(()),
            false => self.append_entries(entries).await,
        }
    }

    /// Appends entries as one batch.
    pub(super) async fn append_entries(&self, entries: Vec<Entry>) -> Result<(), EngineError> {
        let mut batch = Batch::default();
        for entry in entries {
            batch.leaves.push(entry.leaf);
            batch.payloads.extend(entry.payload);
        }
        self.append_batch(batch).await?;
        Ok(())
    }
}

/// Returns the canonical text of a plan, and its digest: what an approval names.
pub(super) fn canonical_of(plan: &Plan) -> Result<(String, Digest), EngineError> {
    let text = canonical::to_vec(plan).map_err(|source| EngineError::Uncanonical {
        position: "the plan".to_owned(),
        source,
    })?;
    let digest = ledger::digest::sha256(&text);
    Ok((String::from_utf8_lossy(&text).into_owned(), digest))
}

fn approval(rollback: &Rollback, by: &str) -> Approval {
    Approval {
        by: by.to_owned(),
        sealed: None,
        shown: rollback.digest,
        until: None,
    }
}

fn entry(event: Event, payload: Payload) -> Result<Entry, EngineError> {
    let leaf = Leaf::encode(&event).map_err(|source| EngineError::Unrecordable {
        position: event.body.name().to_owned(),
        source,
    })?;
    Ok(Entry {
        id: event.id,
        leaf,
        payload,
    })
}

/// What a rollback's decisions are judged by: its plan, which somebody has to approve.
fn policy(digest: Digest) -> PolicyUse {
    PolicyUse {
        digest,
        enforced: Verdict::Hold,
        id: "rollback-plan".to_owned(),
        verdict: Verdict::Hold,
        version: "1".to_owned(),
    }
}

/// What holding agents is judged by: somebody's word.
pub(super) fn by_hand() -> PolicyUse {
    PolicyUse {
        digest: ledger::digest::sha256(b"by-hand"),
        enforced: Verdict::Allow,
        id: "by-hand".to_owned(),
        verdict: Verdict::Allow,
        version: "1".to_owned(),
    }
}

pub(super) fn explicit(decision: DecisionId, kind: CauseKind, by: &str) -> Cause {
    Cause {
        decision,
        evidence: Evidence::Explicit { by: by.to_owned() },
        kind,
        strength: Strength::Certain,
    }
}

/// The idempotency key of a step: the same over crashes and retries.
pub(super) fn key_of(rollback: DecisionId, step: u32) -> Digest {
    ledger::digest::sha256_parts(&[rollback.as_bytes(), &step.to_be_bytes()])
}

/// What kind of step it is, in a word.
pub(super) const fn name_of(act: &Act) -> &'static str {
    match act {
        Act::Hold { .. } => "hold",
        Act::Probe { .. } => "probe",
        Act::PutBack(_) => "put-back",
        Act::Delete { .. } => "delete",
        Act::Inverse { .. } => "inverse",
        Act::Http(_) => "http",
        Act::Blocked { .. } => "blocked",
        Act::Again { .. } => "again",
        Act::Restore { .. } => "restore",
        Act::Repair { .. } => "repair",
        Act::Notify { .. } => "notify",
        Act::Resume { .. } => "resume",
    }
}

/// The records that a step writes.
pub(super) fn writes(act: &Act) -> impl Iterator<Item = &str> {
    let (one, many) = match act {
        Act::PutBack(put) => (Some(&put.resource), None),
        Act::Delete { resource, .. } => (Some(resource), None),
        Act::Again { before, .. } => (None, Some(before)),
        _ => (None, None),
    };
    let many = many.into_iter().flatten().map(|(record, _)| record);
    one.into_iter()
        .chain(many)
        .map(|record| record.uri.as_str())
}
