//! What an agent did since the state that it went back to, and need not do again.
//!
//! ```text
//!   checkpoint ── effect A ── effect B ── restore ── A again: answered with what A got
//!                                             │
//!                                             └───── C: goes out; ends what it contradicts
//! ```
//!
//! A projection of the record: [`Engine::replay_of`] folds the decisions of an agent, and every
//! start makes it anew. Only calls of tools that change the world and messages to agents are found
//! again, each once, and only while they stand: what was rescinded never is. What a call that goes
//! out may have changed is not answered from the record any more.

use std::collections::{BTreeSet, HashMap, HashSet};

use ledger::{DecisionRow, Direction};
use model::{
    Cause, CauseKind, Decision, DecisionId, Digest, Effect, EffectClass, Event, Evidence, Kind,
    Outcome, Provenance, RunId, Status,
};

use wire::jsonrpc::Json;

use crate::checkpoints::{is_restore, restored_to};
use crate::live::arguments_text;
use crate::look::fold;
use crate::{Engine, EngineError};

/// What the record calls the cause of an answer that is an earlier one's.
pub(crate) const REPLAY: &str = "replay";

/// What the record calls the cause of a call that is made anew on purpose.
pub(crate) const FORK: &str = "fork";

/// Decisions of one agent that are looked at; of more, the newest.
const DECISIONS_MAX: usize = 65_536;

/// An agent that went back, and what it did since the state that it has now.
#[derive(Clone, Debug)]
pub(crate) struct Replay {
    /// Whose.
    pub(crate) run: RunId,
    pub(crate) agent: String,
    /// The restore.
    pub(crate) restore: DecisionId,
    /// Whether everything is made anew, and marked as that.
    pub(crate) forks: bool,
    /// Runs in which it goes on, beside its own.
    pub(crate) followed_by: BTreeSet<RunId>,
    effects: Vec<Effective>,
}

/// An effect of a call, or a message that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Effective {
    pub(crate) decision: DecisionId,
    pub(crate) run: RunId,
    /// The tool, or the agent that was told.
    pub(crate) to: To,
    pub(crate) class: EffectClass,
    /// Of a call the key of its effect, of a message what [`said`] makes of it.
    pub(crate) key: Digest,
    /// Who asked for it, as its key may say.
    pub(crate) askers: Vec<DecisionId>,
    /// The records that it writes; none where nobody says which.
    pub(crate) writes: BTreeSet<String>,
}

/// Where a call or a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum To {
    Tool(String),
    Agent(String),
}

impl Replay {
    /// Returns the effects that are found again, oldest first.
    pub(crate) fn effects(&self) -> &[Effective] {
        &self.effects
    }

    /// The effect will not be found again: it was, or it does not stand.
    pub(crate) fn spend(&mut self, decision: DecisionId) {
        let Some(at) = self.effects.iter().position(|e| e.decision == decision) else {
            return;
        };
        let spent = self.effects.remove(at);
        // Earlier ones on the same records were overwritten by it.
        let mut number = 0;
        self.effects.retain(|effect| {
            number += 1;
            number > at || effect.writes.is_disjoint(&spent.writes)
        });
    }

    /// The effect does not stand any more.
    pub(crate) fn end(&mut self, decision: DecisionId) {
        self.effects.retain(|effect| effect.decision != decision);
    }

    /// A call that changes the world goes out: what it may have changed is not found again. Where
    /// nobody says which records it writes, that is every call of the same tool; of a message, what
    /// the same agent was told and answered.
    pub(crate) fn diverge(&mut self, to: &To, writes: &BTreeSet<String>) {
        self.effects.retain(|effect| {
            let told = !writes.is_empty() && !effect.writes.is_empty();
            match told {
                true => effect.writes.is_disjoint(writes),
                false => effect.to != *to,
            }
        });
    }
}

impl Effective {
    /// What of a call or a message would have to be done again; none of one that did nothing, or
    /// failed. `said` is what a message said, where that can be read.
    fn of(row: &DecisionRow, decision: &Decision, said: Option<Digest>) -> Option<Self> {
        let stands = matches!(
            row.status,
            Status::Succeeded | Status::Unknown | Status::Started
        );
        let (class, key, writes) = match decision.effects.first() {
            Some(effect) => (effect.class, effect.key, written(effect)),
            // What cannot be read is not known to be the same as anything.
            None => (EffectClass::Unreviewed, said?, BTreeSet::new()),
        };
        (stands && class != EffectClass::Read).then(|| Self {
            decision: row.id,
            run: row.keys.run,
            to: to(decision),
            class,
            key,
            askers: askers(row.id, &decision.causes),
            writes,
        })
    }
}

/// Where a decision went.
fn to(decision: &Decision) -> To {
    let name = decision.proposal.name.clone().unwrap_or_default();
    match decision.proposal.kind {
        Kind::Message => To::Agent(name),
        _ => To::Tool(name),
    }
}

/// What a message says, so that it is known again: its parameters, without what is drawn anew each
/// time. None if they cannot be read.
pub(crate) fn said(params: &str) -> Option<Digest> {
    let identity = wire::a2a::identity(Json::parse(params).ok()?)?;
    Some(ledger::digest::sha256(arguments_text(&identity).as_bytes()))
}

/// The records that an effect writes, by their URIs.
pub(crate) fn written(effect: &Effect) -> BTreeSet<String> {
    effect.writes.iter().map(|r| r.uri.clone()).collect()
}

/// Who may have asked for a call: the key of its effect names them, or the call itself.
fn askers(id: DecisionId, causes: &[Cause]) -> Vec<DecisionId> {
    let asked = causes.iter().filter(|cause| cause.kind == CauseKind::Call);
    asked.map(|cause| cause.decision).chain([id]).collect()
}

/// The decision whose answer, or whose like, this one is.
fn again(causes: &[Cause]) -> Option<(&str, DecisionId)> {
    causes.iter().find_map(|cause| match &cause.evidence {
        Evidence::Explicit { by } if by == REPLAY || by == FORK => {
            Some((by.as_str(), cause.decision))
        }
        _ => None,
    })
}

/// The way of an agent through its decisions, as far as it is folded.
struct Way {
    run: RunId,
    agent: String,
    replay: Option<Replay>,
    /// Everything that it did, in order.
    done: Vec<(u64, Effective)>,
    /// What was still to be found again when it saved a state, and where that stands.
    saved: HashMap<DecisionId, (u64, Vec<Effective>)>,
}

impl Way {
    fn went_back(&mut self, restore: DecisionId, to: Option<DecisionId>, forks: bool) {
        let (at, mut effects) = match to.and_then(|to| self.saved.get(&to)) {
            Some((at, left)) => (Some(*at), left.clone()),
            None => (None, Vec::new()),
        };
        let since = self
            .done
            .iter()
            .filter(|(n, _)| at.is_none_or(|at| *n > at));
        effects.extend(since.map(|(_, effect)| effect.clone()));
        let mut seen = HashSet::new();
        effects.retain(|effect| seen.insert(effect.decision));
        self.replay = Some(Replay {
            run: self.run,
            agent: self.agent.clone(),
            restore,
            forks,
            followed_by: BTreeSet::new(),
            effects,
        });
    }

    fn called(&mut self, row: &DecisionRow, decision: &Decision, said: Option<Digest>) {
        match (again(&decision.causes), &mut self.replay) {
            (Some((_, of)), Some(replay)) => replay.spend(of),
            (Some(_), None) => {}
            (None, Some(replay)) if has_gone_out(decision) => match decision.effects.first() {
                Some(effect) if effect.class == EffectClass::Read => {}
                Some(effect) => replay.diverge(&to(decision), &written(effect)),
                None if decision.proposal.kind == Kind::Message => {
                    replay.diverge(&to(decision), &BTreeSet::new());
                }
                None => {}
            },
            (None, _) => {}
        }
        if decision.outcome != Outcome::Replayed {
            let effect = Effective::of(row, decision, said);
            self.done.extend(effect.map(|effect| (row.first, effect)));
        }
    }
}

/// Whether a call went out, or waited for a person to let it.
fn has_gone_out(decision: &Decision) -> bool {
    let held = || decision.events.iter().any(|mark| mark.what == "held");
    !matches!(decision.position, Status::Proposed | Status::Rejected) || held()
}

impl Engine {
    /// Returns what an agent finds again after its last restore; none if it never went back.
    pub(crate) async fn replay_of(
        &self,
        run: RunId,
        agent: &str,
    ) -> Result<Option<Replay>, EngineError> {
        let mut rows = self.of_agent(run, agent).await?;
        let Some(restore) = rows.iter().rev().find(|row| is_restore(row)) else {
            return Ok(None);
        };
        let (restore, since) = (restore.id, restore.first);
        let mut followed_by = BTreeSet::new();
        let followers = self.store.edges(&[restore], Direction::Effects).await?;
        let followers: Vec<DecisionId> = followers.iter().map(|edge| edge.effect).collect();
        for row in self.store.rows(&followers).await? {
            if row.keys.run != run && row.keys.agent.name == agent {
                followed_by.insert(row.keys.run);
            }
        }
        for follower in &followed_by {
            let more = self.of_agent(*follower, agent).await?;
            rows.extend(more.into_iter().filter(|row| row.first > since));
        }
        rows.sort_by_key(|row| row.first);
        let mut way = Way {
            run,
            agent: agent.to_owned(),
            replay: None,
            done: Vec::new(),
            saved: HashMap::new(),
        };
        for row in &rows {
            if row.keys.kind == Kind::Checkpoint {
                let left = way.replay.as_ref();
                let left = left.map_or_else(Vec::new, |replay| replay.effects.clone());
                way.saved.insert(row.id, (row.first, left));
                continue;
            }
            let events = self.events_of(row.id).await?;
            let decision = fold(row.id, events.iter().map(|(_, event)| event))?;
            if is_restore(row) {
                let events: Vec<Event> = events.into_iter().map(|(_, event)| event).collect();
                let forks = self.forks(&events).await;
                way.went_back(row.id, restored_to(&decision), forks);
            } else {
                let said = match row.keys.kind {
                    Kind::Message => self.recalled(&events).await?.asked,
                    _ => None,
                };
                way.called(row, &decision, said.as_deref().and_then(self::said));
            }
        }
        Ok(way.replay.map(|replay| Replay {
            followed_by,
            ..replay
        }))
    }

    /// Returns what an agent finds again that nothing is kept of: since a restore that the call
    /// `names`, since its own last one, or since the one that its run goes on from.
    pub(crate) async fn found_again(
        &self,
        run: RunId,
        agent: &str,
        names: &[DecisionId],
    ) -> Result<Option<Replay>, EngineError> {
        if let Some(replay) = self.since_one_of(names, run, agent).await? {
            return Ok(Some(replay));
        }
        if let Some(replay) = self.replay_of(run, agent).await? {
            return Ok(Some(replay));
        }
        let own = self.rows_of(run, |row| row.keys.agent.name == agent);
        let own: Vec<DecisionId> = own.await?.iter().map(|row| row.id).collect();
        let causes = self.store.edges(&own, Direction::Causes).await?;
        let causes: Vec<DecisionId> = causes.iter().map(|edge| edge.cause).collect();
        self.since_one_of(&causes, run, agent).await
    }

    /// What an agent finds again since the last of its restores in other runs that is one of these.
    async fn since_one_of(
        &self,
        among: &[DecisionId],
        run: RunId,
        agent: &str,
    ) -> Result<Option<Replay>, EngineError> {
        if among.is_empty() {
            return Ok(None);
        }
        let mut rows = self.store.rows(among).await?;
        rows.retain(|row| is_restore(row) && row.keys.agent.name == agent && row.keys.run != run);
        let Some(last) = rows.into_iter().max_by_key(|row| row.first) else {
            return Ok(None);
        };
        let replay = self.replay_of(last.keys.run, agent).await?;
        Ok(replay.filter(|replay| replay.restore == last.id))
    }

    /// Returns everybody who went back, with the run, newest last.
    pub(crate) async fn restores(&self) -> Result<Vec<(RunId, String)>, EngineError> {
        let mut restores = Vec::new();
        let mut seen = HashSet::new();
        let steps = self.store.decisions_of(Kind::RecoveryStep, None).await?;
        for row in steps.into_iter().rev().filter(is_restore) {
            let whose = (row.keys.run, row.keys.agent.name);
            if seen.insert(whose.clone()) {
                restores.push(whose);
            }
        }
        restores.reverse();
        Ok(restores)
    }

    /// The decisions of an agent in a run that matter here, in the order of the log.
    async fn of_agent(&self, run: RunId, agent: &str) -> Result<Vec<DecisionRow>, EngineError> {
        let found = self.rows_of(run, |row| {
            let called = matches!(row.keys.kind, Kind::ToolCall | Kind::Message)
                && row.keys.known == Provenance::Observed;
            (called || row.keys.kind == Kind::Checkpoint || is_restore(row))
                && row.keys.agent.name == agent
        });
        let mut found = found.await?;
        found.drain(..found.len().saturating_sub(DECISIONS_MAX));
        Ok(found)
    }
}
