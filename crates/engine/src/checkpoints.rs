//! Checkpoints: states that agents save, and go back to.
//!
//! A checkpoint is a decision. It depends on what its agent decided since the one before, so that
//! what is rescinded later reaches the states that remember it. To go back is a decision too: what
//! the agent saves afterwards depends on the state that it went back to, and no more on those after
//! it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use context::with_kept;
use ledger::payload::Sealer;
use ledger::{Batch, DecisionRow, Direction, Leaf, Page};
use lineage::{Checkpoint, recovery_line};
use model::{
    Agent, Body, Cause, CauseKind, Decision, DecisionId, Edge, Event, EventId, Evidence, Field,
    Kind, Media, Outcome, Proposal, Provenance, RunId, Strength, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::Content;
use crate::live::from_record;
use crate::look::fold;
use crate::record::{Envelope, Plain};
use crate::replay::Replay;
use crate::text::recorded;
use crate::view::{CheckpointView, CheckpointsView, RestoredView};
use crate::{Engine, EngineError};

/// The longest state, in bytes.
const STATE_BYTES_MAX: usize = 1 << 20;

/// The longest name of an agent, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Pointers that are kept, and external references, at most of each.
const LIST_MAX: usize = 256;

/// Decisions since the checkpoint before that one depends on at most.
const SINCE_MAX: usize = 4_096;

/// Decisions that a restore looks back over at most.
const BEHIND_MAX: usize = 1_000_000;

/// How many causes stand in one leaf.
const CAUSES_PER_LEAF: usize = 16;

/// How long what was recorded before may take to get into the log.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the record calls a restore.
const RESTORE: &str = "restore";

/// A state that an agent saves.
#[derive(Clone, Debug, Default)]
pub struct NewCheckpoint {
    /// The agent.
    pub agent: String,
    /// Its state: an object.
    pub state: Value,
    /// What of it survives a restore of an earlier state: JSON Pointers.
    pub keep: Vec<String>,
    /// What belongs to it elsewhere, by name: a branch, a document, a thread.
    pub external: BTreeMap<String, String>,
    /// Further decisions that it depends on.
    pub causes: Vec<DecisionId>,
}

/// What stands beside a state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Beside {
    keep: Vec<String>,
    external: BTreeMap<String, String>,
}

/// A checkpoint with its state, opened.
struct Opened {
    beside: Beside,
    state: Value,
}

/// What lies behind checkpoints.
pub(crate) struct Behind {
    pub(crate) edges: Vec<Edge>,
    pub(crate) rescinded: HashSet<DecisionId>,
}

impl Engine {
    /// Records a state of an agent. On return it is durable.
    ///
    /// # Errors
    /// [`EngineError::BadCheckpoint`] if it is not fit to be restored; [`EngineError::NotFound`] if
    /// there is no such run, or nothing can be sealed in it any more; [`EngineError::Store`].
    pub async fn checkpoint(
        &self,
        run: RunId,
        new: &NewCheckpoint,
    ) -> Result<CheckpointView, EngineError> {
        check(new)?;
        self.caught_up(PATIENCE).await;
        let (since, last) = self.since_saved(run, &new.agent).await?;
        let known = self.store.rows(&new.causes).await?;
        if let Some(stranger) = new
            .causes
            .iter()
            .find(|id| known.iter().all(|row| row.id != **id))
        {
            return Err(EngineError::NotFound {
                text: stranger.to_string(),
            });
        }
        let mut causes: Vec<DecisionId> = since;
        causes.extend(&new.causes);
        // The newest first: where there are many, they stand in the first leaf.
        let mut seen = HashSet::new();
        causes.retain(|id| seen.insert(*id));
        let policy = match last {
            Some(last) => {
                let events = self.events_of(last).await?;
                let decision = fold(last, events.iter().map(|(_, event)| event))?;
                decision.proposal.policy
            }
            None => None,
        };
        let beside = Beside {
            keep: new.keep.clone(),
            external: new.external.clone(),
        };
        let beside = serde_json::to_string(&beside).unwrap_or_default();
        let state = new.state.to_string();
        let contents = [(Field::Asked, &*beside), (Field::Chosen, &*state)];
        let proposal = Proposal {
            agent: Agent {
                name: new.agent.clone(),
                version: None,
            },
            causes: causes.iter().map(|id| cause(*id, "checkpoint")).collect(),
            effects: Vec::new(),
            environment: None,
            kind: Kind::Checkpoint,
            known: Provenance::Reported,
            name: None,
            policy,
            run,
            sealed: None,
            server: None,
            started: Some(self.now()),
        };
        let id = self.append_done(run, proposal, &contents).await?;
        self.saved(id).await
    }

    /// Returns the checkpoints of a run, newest first, without their states.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Store`].
    pub async fn saved_in(&self, run: RunId) -> Result<CheckpointsView, EngineError> {
        let rows = self.saved_rows(run, None).await?;
        let rescinded_line = self.line(&rows).await?;
        let mut checkpoints = Vec::with_capacity(rows.len());
        for row in rows.iter().rev() {
            let (mut view, _) = self.saved_alone(row.id).await?;
            view.state = None;
            view.line = rescinded_line.get(&view.agent) == Some(&Some(row.id));
            checkpoints.push(view);
        }
        Ok(CheckpointsView {
            run: run.to_string(),
            awaits: self.awaits(run, &rows, &rescinded_line).await?,
            checkpoints,
        })
    }

    /// Returns one checkpoint with its state, and whether its agent has to go back.
    ///
    /// # Errors
    /// [`EngineError::WrongKind`] if the decision is none; [`EngineError::NotFound`],
    /// [`EngineError::Store`].
    pub async fn saved(&self, id: DecisionId) -> Result<CheckpointView, EngineError> {
        let (mut view, run) = self.saved_alone(id).await?;
        let rows = self.saved_rows(run, Some(&view.agent)).await?;
        let line = self.line(&rows).await?;
        view.line = line.get(&view.agent) == Some(&Some(id));
        view.awaits = self.awaits(run, &rows, &line).await?.pop();
        Ok(view)
    }

    async fn saved_alone(&self, id: DecisionId) -> Result<(CheckpointView, RunId), EngineError> {
        let events = self.events_of(id).await?;
        let decision = fold(id, events.iter().map(|(_, event)| event))?;
        if decision.proposal.kind != Kind::Checkpoint {
            return Err(EngineError::WrongKind {
                id: id.to_string(),
                is: "another decision",
                wanted: "a checkpoint",
            });
        }
        let opened = self.open_saved(id, &events).await;
        let (beside, state, content) = match opened {
            Ok(opened) => (opened.beside, Some(opened.state), "kept".to_owned()),
            Err(EngineError::Unrestorable { why, .. }) => (Beside::default(), None, why),
            Err(other) => return Err(other),
        };
        let run = decision.proposal.run;
        Ok((checkpoint_view(&decision, beside, state, content), run))
    }

    /// Gives an agent the state back that it had on the recovery line: the latest one that
    /// remembers nothing rescinded, with what the newest is to keep. Recorded as a decision. What
    /// the agent did since and does again is answered from the record, or made anew on purpose if
    /// it `forks`.
    ///
    /// A process that carries calls goes through
    /// [`Recorder::restore`](crate::live::Recorder::restore), so that they know of it at once.
    ///
    /// # Errors
    /// [`EngineError::Unrestorable`] if the state, or what is to be kept, cannot be read whole:
    /// nothing is given back then. [`EngineError::NotFound`] if the agent has saved nothing;
    /// [`EngineError::Store`].
    pub async fn restore(
        &self,
        run: RunId,
        agent: &str,
        forks: bool,
    ) -> Result<RestoredView, EngineError> {
        let (restored, _) = self.go_back(run, agent, forks).await?;
        Ok(restored)
    }

    pub(crate) async fn go_back(
        &self,
        run: RunId,
        agent: &str,
        forks: bool,
    ) -> Result<(RestoredView, Option<Replay>), EngineError> {
        self.caught_up(PATIENCE).await;
        let rows = self.saved_rows(run, Some(agent)).await?;
        let newest = rows.last().ok_or_else(|| EngineError::NotFound {
            text: format!("a checkpoint of `{agent}`"),
        })?;
        let line = self.line(&rows).await?.remove(agent).flatten();
        let latest = self.open_events(newest.id).await?;
        let opened = match line {
            Some(id) if id == newest.id => Opened {
                beside: latest.beside.clone(),
                state: latest.state.clone(),
            },
            Some(id) => self.open_events(id).await?,
            None => Opened {
                beside: Beside::default(),
                state: Value::Object(serde_json::Map::new()),
            },
        };
        let (state, kept) = with_kept(opened.state, &latest.state, &latest.beside.keep);
        let passed_over: Vec<String> = rows
            .iter()
            .rev()
            .take_while(|row| Some(row.id) != line)
            .map(|row| row.id.to_string())
            .collect();
        let told = serde_json::json!({
            "checkpoint": line.map(|id| id.to_string()), "kept": kept,
            "newest": newest.id.to_string(), "passed_over": passed_over, "fork": forks,
        })
        .to_string();
        let proposal = Proposal {
            agent: Agent {
                name: agent.to_owned(),
                version: None,
            },
            causes: line.iter().map(|id| cause(*id, RESTORE)).collect(),
            effects: Vec::new(),
            environment: None,
            kind: Kind::RecoveryStep,
            known: Provenance::Reported,
            name: Some(RESTORE.to_owned()),
            policy: None,
            run,
            sealed: None,
            server: None,
            started: Some(self.now()),
        };
        let contents = [(Field::Asked, &*told)];
        let decision = self.append_done(run, proposal, &contents).await?;
        let replay = self.replay_of(run, agent).await?;
        let replays = replay.as_ref().map_or(&[][..], Replay::effects).iter();
        let view = RestoredView {
            run: run.to_string(),
            agent: agent.to_owned(),
            decision: decision.to_string(),
            checkpoint: line.map(|id| id.to_string()),
            newest: newest.id.to_string(),
            passed_over,
            state,
            kept,
            external: opened.beside.external,
            replays: replays.map(|effect| effect.decision.to_string()).collect(),
            forks,
        };
        Ok((view, replay))
    }

    /// Whether a restore says that what follows is made anew.
    pub(crate) async fn forks(&self, restore: &[Event]) -> bool {
        for event in restore {
            let Some(sealed) = event.body.sealed() else {
                continue;
            };
            let Ok(Content::Kept(fields)) = self.open(event, sealed).await else {
                continue;
            };
            let told = fields.iter().find(|field| field.role == Field::Asked);
            let told = told.and_then(|told| serde_json::from_slice::<Value>(&told.bytes).ok());
            if let Some(told) = told {
                return told["fork"] == true;
            }
        }
        false
    }

    fn now(&self) -> Timestamp {
        Timestamp(i64::try_from(self.clock.wall()).unwrap_or(i64::MAX))
    }

    /// The decisions of an agent since it saved a state or went back to one, newest first and with
    /// that one, and the newest of them.
    pub(crate) async fn since_saved(
        &self,
        run: RunId,
        agent: &str,
    ) -> Result<(Vec<DecisionId>, Option<DecisionId>), EngineError> {
        let row = self.store.run(run).await?;
        let row = row.ok_or_else(|| EngineError::NotFound {
            text: run.to_string(),
        })?;
        let mut since = Vec::new();
        let mut end: u64 = row.decisions.values().sum();
        while end > 0 && since.len() < SINCE_MAX {
            let limit = end.min(256);
            end -= limit;
            let rows = self.store.decisions(Some(run), Page { skip: end, limit });
            for row in rows.await?.into_iter().rev() {
                if row.keys.agent.name != agent || is_aside(&row) {
                    continue;
                }
                since.push(row.id);
                if row.keys.kind == Kind::Checkpoint || is_restore(&row) {
                    let last = since.first().copied();
                    return Ok((since, last));
                }
            }
        }
        let last = since.first().copied();
        Ok((since, last))
    }

    /// The checkpoints of a run, or of one agent in it, in the order of the log.
    async fn saved_rows(
        &self,
        run: RunId,
        agent: Option<&str>,
    ) -> Result<Vec<DecisionRow>, EngineError> {
        if self.store.run(run).await?.is_none() {
            let text = run.to_string();
            return Err(EngineError::NotFound { text });
        }
        let runs = [run];
        let saved = self.store.decisions_of(Kind::Checkpoint, Some(&runs));
        let mut saved = saved.await?;
        saved.retain(|row| agent.is_none_or(|agent| agent == row.keys.agent.name));
        Ok(saved)
    }

    /// The recovery line of these checkpoints.
    async fn line(
        &self,
        saved: &[DecisionRow],
    ) -> Result<BTreeMap<String, Option<DecisionId>>, EngineError> {
        let Behind { edges, rescinded } = self.behind(saved).await?;
        let saved: Vec<Checkpoint> = saved.iter().map(checkpoint).collect();
        Ok(recovery_line(&saved, &edges, &rescinded))
    }

    /// What checkpoints depend on for certain, back to what was rescinded.
    pub(crate) async fn behind(&self, saved: &[DecisionRow]) -> Result<Behind, EngineError> {
        let mut known: HashMap<DecisionId, bool> = HashMap::new();
        let mut edges: Vec<Edge> = Vec::new();
        let mut rescinded = HashSet::new();
        let mut frontier: Vec<DecisionId> = saved.iter().map(|row| row.id).collect();
        while !frontier.is_empty() {
            let rows = self.store.rows(&frontier).await?;
            let mut open = Vec::new();
            for row in rows {
                if row.status.is_rescinded() {
                    rescinded.insert(row.id);
                }
                // What was rescinded is no way to what it rests on, and what was done about it is
                // no way to it: a history that was repaired remembers nothing.
                let through = !row.status.is_rescinded() && !is_aside(&row);
                known.insert(row.id, through);
                if through {
                    open.push(row.id);
                }
            }
            let mut found = self.store.edges(&open, Direction::Causes).await?;
            found.retain(|edge| edge.strength == Strength::Certain);
            let mut next: Vec<DecisionId> = found.iter().map(|edge| edge.cause).collect();
            edges.extend(found);
            next.sort_unstable();
            next.dedup();
            next.retain(|id| !known.contains_key(id));
            for id in &next {
                known.insert(*id, false);
            }
            if known.len() > BEHIND_MAX {
                return Err(EngineError::BadCheckpoint {
                    reason: format!("more than {BEHIND_MAX} decisions lie behind it"),
                });
            }
            frontier = next;
        }
        Ok(Behind { edges, rescinded })
    }

    async fn open_events(&self, id: DecisionId) -> Result<Opened, EngineError> {
        let events = self.events_of(id).await?;
        self.open_saved(id, &events).await
    }

    /// Reads a state; one that is not whole is refused.
    async fn open_saved(
        &self,
        id: DecisionId,
        events: &[(u64, Event)],
    ) -> Result<Opened, EngineError> {
        let refused = |why: &str| EngineError::Unrestorable {
            id: id.to_string(),
            why: why.to_owned(),
        };
        let (mut beside, mut state) = (None, None);
        for (_, event) in events {
            let Some(sealed) = event.body.sealed() else {
                continue;
            };
            let fields = match self.open(event, sealed).await {
                Ok(Content::Kept(fields)) => fields,
                Ok(other) => return Err(refused(other.name())),
                Err(EngineError::Content { .. }) => return Err(refused("damaged")),
                Err(EngineError::Store(ledger::StoreError::Damaged { .. })) => {
                    return Err(refused("damaged"));
                }
                Err(other) => return Err(other),
            };
            for field in fields {
                match field.role {
                    Field::Asked => beside = serde_json::from_slice(&field.bytes).ok(),
                    Field::Chosen => state = serde_json::from_slice(&field.bytes).ok(),
                    _ => {}
                }
            }
        }
        match (beside, state) {
            (Some(beside), Some(state)) => Ok(Opened { beside, state }),
            _ => Err(refused("damaged")),
        }
    }

    /// Appends a decision that has happened already: its beginning, its further causes, its end.
    async fn append_done(
        &self,
        run: RunId,
        mut proposal: Proposal,
        contents: &[(Field, &str)],
    ) -> Result<DecisionId, EngineError> {
        let live = from_record(self, run).await?;
        let live = live.ok_or_else(|| EngineError::NotFound {
            text: run.to_string(),
        })?;
        let at = self.next_time();
        let decision = DecisionId::new(at.millis(), ledger::entropy::draw(&*self.entropy));
        let id = self.event_id(at);
        let plain: Vec<Plain<'_>> = contents
            .iter()
            .map(|(role, text)| Plain {
                base: None,
                role: *role,
                media: Media::Json,
                text,
            })
            .collect();
        let envelope = Envelope {
            subject: live.subject,
            key: live.key,
        };
        let mut sealer = Sealer::default();
        let sealed = envelope.seal(&mut sealer, &*self.entropy, id, &plain);
        let sealed = sealed.map_err(|source| EngineError::Content {
            event: id.to_string(),
            source,
        })?;
        let mut payloads = Vec::new();
        if let Some((sealed, ciphertext)) = sealed {
            payloads.push((sealed.ct, ciphertext));
            proposal.sealed = Some(sealed);
        }
        let first = proposal.causes.len().min(CAUSES_PER_LEAF);
        let later = proposal.causes.split_off(first);
        // Whoever starts looks for restores among what was proposed, and for nothing else.
        let proposed = is_proposed_restore(&proposal);
        let body = match proposed {
            true => Body::Proposed { decision, proposal },
            false => Body::Begun { decision, proposal },
        };
        let mut events = vec![Event {
            at,
            body,
            id,
            prev: None,
            v: 1,
        }];
        let mut prev: EventId = id;
        let mut then = |body| {
            let event = self.new_event(body, Some(prev));
            prev = event.id;
            events.push(event);
        };
        for causes in later.chunks(CAUSES_PER_LEAF * 2) {
            then(Body::Linked {
                causes: causes.to_vec(),
                decision,
            });
        }
        if proposed {
            then(Body::Started {
                decision,
                effects: Vec::new(),
                sealed: None,
            });
        }
        then(Body::Finished {
            causes: Vec::new(),
            decision,
            effects: Vec::new(),
            outcome: Outcome::Succeeded,
            sealed: None,
        });
        let leaves: Result<Vec<Leaf>, _> = events.iter().map(Leaf::encode).collect();
        let leaves = leaves.map_err(|source| EngineError::Unrecordable {
            position: "a checkpoint".to_owned(),
            source,
        })?;
        let appended = self.append_batch(Batch { leaves, payloads }).await?;
        let size = appended.seqs.last().map_or(0, |last| last + 1);
        self.store.wait_indexed(size).await?;
        Ok(decision)
    }
}

pub(crate) fn checkpoint(row: &DecisionRow) -> Checkpoint {
    Checkpoint {
        decision: row.id,
        agent: row.keys.agent.name.clone(),
    }
}

/// What was done about a rescission: to have been told so is not to remember.
fn is_aside(row: &DecisionRow) -> bool {
    match row.keys.kind {
        Kind::ContextRepair | Kind::Incident | Kind::Verdict => true,
        Kind::RecoveryStep => !is_restore(row),
        _ => false,
    }
}

pub(crate) fn is_restore(row: &DecisionRow) -> bool {
    row.keys.kind == Kind::RecoveryStep && row.keys.name.as_deref() == Some(RESTORE)
}

fn is_proposed_restore(proposal: &Proposal) -> bool {
    proposal.kind == Kind::RecoveryStep && proposal.name.as_deref() == Some(RESTORE)
}

/// The checkpoint that a restore went back to; none if there was none that it could.
pub(crate) fn restored_to(restore: &Decision) -> Option<DecisionId> {
    let mut causes = restore.causes.iter();
    let by = |cause: &&Cause| matches!(&cause.evidence, Evidence::Explicit { by } if by == RESTORE);
    causes.find(by).map(|cause| cause.decision)
}

fn cause(decision: DecisionId, by: &str) -> Cause {
    Cause {
        decision,
        evidence: Evidence::Explicit { by: by.to_owned() },
        kind: CauseKind::Context,
        strength: Strength::Certain,
    }
}

fn check(new: &NewCheckpoint) -> Result<(), EngineError> {
    let bad = |reason: String| Err(EngineError::BadCheckpoint { reason });
    if new.agent.trim().is_empty() || new.agent.len() > NAME_BYTES_MAX {
        return bad(format!(
            "`agent` has to be a name of 1 to {NAME_BYTES_MAX} bytes"
        ));
    }
    if !new.state.is_object() {
        return bad("`state` has to be an object".to_owned());
    }
    let len = new.state.to_string().len();
    if len > STATE_BYTES_MAX {
        return bad(format!(
            "`state` has {len} bytes, more than {STATE_BYTES_MAX}"
        ));
    }
    if new.keep.len() > LIST_MAX || new.external.len() > LIST_MAX || new.causes.len() > LIST_MAX {
        return bad(format!(
            "`keep`, `external` and `causes` hold at most {LIST_MAX} each"
        ));
    }
    let pointer = |text: &&String| !text.is_empty() && !text.starts_with('/');
    if let Some(wrong) = new.keep.iter().find(pointer) {
        return bad(format!(
            "`{wrong}` in `keep` is no JSON Pointer: it begins with `/`"
        ));
    }
    Ok(())
}

fn checkpoint_view(
    decision: &Decision,
    beside: Beside,
    state: Option<Value>,
    content: String,
) -> CheckpointView {
    let proposal = &decision.proposal;
    CheckpointView {
        id: decision.id.to_string(),
        run: proposal.run.to_string(),
        agent: proposal.agent.name.clone(),
        recorded: decision
            .events
            .first()
            .map(|mark| recorded(mark.at))
            .unwrap_or_default(),
        status: decision.status.name().to_owned(),
        line: false,
        awaits: None,
        policy: proposal
            .policy
            .as_ref()
            .map(|policy| format!("{}@{}", policy.id, policy.version)),
        causes: decision
            .causes
            .iter()
            .map(|cause| cause.decision.to_string())
            .collect(),
        keep: beside.keep,
        external: beside.external,
        content,
        state,
    }
}
