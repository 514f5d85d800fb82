//! Quarantine: agents that get no work until a rule or a person releases them.
//!
//! That an agent is held is a *verdict* in the record, and that it is released another, so that it
//! is known again after a restart. A person and each rollback hold an agent by themselves: it gets work
//! again when none of them does. The hold of a rollback ends with its last step, with a person's
//! word, or with a later rollback that supersedes it; the verdict names as causes the rollbacks
//! whose holds it ends. The check and the entry of a call are one step under one lock: a call is
//! either in flight when its agent is held, and is waited for, or it is refused.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ledger::{Page, RunRow};
use model::{Body, Cause, CauseKind, DecisionId, Kind, Outcome, RunId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{Engine, EngineError};

use super::UndoError;
use super::pen::{AGENT, Entry, New, Pen, ROLLBACK, by_hand, explicit};
use super::rollback::{Rollback, is_rollback};
use super::view::QuarantineView;

/// How verdicts that hold and release are named: this word and the agent.
const HOLD: &str = "quarantine";
const RELEASE: &str = "release";

/// Runs that are read together.
const RUNS_TOGETHER: u64 = 512;

/// How many rollbacks one verdict names.
const NAMED_MAX: usize = 64;

/// An agent that gets no work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuarantinedView {
    /// The agent.
    pub agent: String,
    /// The rollback that holds it, or who does.
    pub by: String,
    /// The run in which that stands.
    pub run: String,
}

/// Who is held, and which calls are in flight.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    inner: Mutex<Inner>,
    landed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    held: Book,
    flights: HashMap<DecisionId, Flying>,
    /// Whether the record was asked who is held.
    known: bool,
}

/// A call in flight.
#[derive(Debug)]
struct Flying {
    agent: Box<str>,
    /// Cancelled once nobody wants it any more.
    called_off: CancellationToken,
}

/// Whose word it is that an agent is held. Rollbacks come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Whose {
    Rollback(DecisionId),
    Person,
}

#[derive(Clone, Debug)]
struct Holder {
    by: String,
    run: RunId,
}

/// Who keeps an agent from work.
#[derive(Debug, Default)]
struct Held(BTreeMap<Whose, Holder>);

impl Held {
    /// Whose holds a person ends: first that of a person, and without one those of all rollbacks.
    fn released_first(&self) -> Vec<Whose> {
        match self.0.contains_key(&Whose::Person) {
            true => vec![Whose::Person],
            false => self.0.keys().copied().collect(),
        }
    }

    fn views(&self, agent: &str, of: impl Fn(Whose) -> bool) -> Vec<QuarantinedView> {
        let holders = self.0.iter().filter(|(whose, _)| of(**whose));
        let views = holders.map(|(_, holder)| QuarantinedView {
            agent: agent.to_owned(),
            by: holder.by.clone(),
            run: holder.run.to_string(),
        });
        views.collect()
    }
}

/// Who is held, by agent.
#[derive(Debug, Default)]
struct Book(BTreeMap<String, Held>);

impl Book {
    fn hold(&mut self, agent: &str, whose: Whose, holder: Holder) {
        let held = self.0.entry(agent.to_owned()).or_default();
        held.0.insert(whose, holder);
    }

    fn release(&mut self, agent: &str, whose: &[Whose]) {
        if let Some(held) = self.0.get_mut(agent) {
            held.0.retain(|of, _| !whose.contains(of));
            if held.0.is_empty() {
                self.0.remove(agent);
            }
        }
    }

    /// Whose holds of an agent a recorded verdict ends: of the rollbacks that it names, and where it
    /// names none, those of all if a rollback gave it, else those that a person ends.
    fn ended_by(&self, agent: &str, causes: &[Cause], by_rollback: bool) -> Vec<Whose> {
        if !causes.is_empty() {
            let named = causes.iter().map(|cause| Whose::Rollback(cause.decision));
            return named.collect();
        }
        match self.0.get(agent) {
            None => Vec::new(),
            Some(held) if by_rollback => {
                let whose = held.0.keys().copied();
                whose.filter(|whose| *whose != Whose::Person).collect()
            }
            Some(held) => held.released_first(),
        }
    }
}

impl Holds {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a call of an agent in, or says who holds the agent. `called_off` is cancelled if it is
    /// to end early.
    pub(crate) fn enter(
        &self,
        decision: DecisionId,
        agent: &str,
        to: Option<&str>,
        called_off: &CancellationToken,
    ) -> Result<(), (String, String)> {
        let mut inner = self.lock();
        for agent in [Some(agent), to].into_iter().flatten() {
            let held = inner.held.0.get(agent);
            if let Some(holder) = held.and_then(|held| held.0.values().next()) {
                return Err((agent.to_owned(), holder.by.clone()));
            }
        }
        let flying = Flying {
            agent: agent.into(),
            called_off: called_off.clone(),
        };
        inner.flights.insert(decision, flying);
        Ok(())
    }

    /// Calls off what is in flight of these agents.
    pub(super) fn call_off(&self, agents: &[String]) {
        let inner = self.lock();
        for flying in inner.flights.values() {
            if agents.iter().any(|agent| **agent == *flying.agent) {
                flying.called_off.cancel();
            }
        }
    }

    /// Notes that a call ended.
    pub(crate) fn leave(&self, decision: DecisionId) {
        let mut inner = self.lock();
        inner.flights.remove(&decision);
        let waited_for = !inner.held.0.is_empty();
        drop(inner);
        if waited_for {
            self.landed.notify_waiters();
        }
    }

    /// Whether a call is being carried out by this process.
    pub(crate) fn in_flight(&self, decision: DecisionId) -> bool {
        self.lock().flights.contains_key(&decision)
    }

    pub(super) fn hold(&self, agent: &str, whose: Whose, by: &str, run: RunId) {
        let by = by.to_owned();
        self.lock().held.hold(agent, whose, Holder { by, run });
    }

    pub(super) fn release(&self, agent: &str, whose: &[Whose]) {
        self.lock().held.release(agent, whose);
    }

    /// The agents that each rollback holds.
    fn of_rollbacks(&self) -> BTreeMap<DecisionId, Vec<String>> {
        let mut agents: BTreeMap<DecisionId, Vec<String>> = BTreeMap::new();
        for (agent, held) in &self.lock().held.0 {
            for whose in held.0.keys() {
                if let Whose::Rollback(id) = whose {
                    agents.entry(*id).or_default().push(agent.clone());
                }
            }
        }
        agents
    }

    /// Waits until calls in flight of these agents have ended, or `patience` is over. Returns how
    /// many have not.
    pub(super) async fn drained(&self, agents: &[String], patience: Duration) -> usize {
        let count = || {
            let inner = self.lock();
            let flying = inner.flights.values();
            flying
                .filter(|flying| agents.iter().any(|agent| **agent == *flying.agent))
                .count()
        };
        let drained = async {
            loop {
                let landed = self.landed.notified();
                tokio::pin!(landed);
                landed.as_mut().enable();
                if count() == 0 {
                    return;
                }
                landed.await;
            }
        };
        let _ = tokio::time::timeout(patience, drained).await;
        count()
    }
}

impl Engine {
    /// Returns the agents that get no work.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn held(&self) -> Result<Vec<QuarantinedView>, EngineError> {
        self.learn_holds().await?;
        let inner = self.holds.lock();
        let held = inner.held.0.iter();
        Ok(held
            .flat_map(|(agent, held)| held.views(agent, |_| true))
            .collect())
    }

    /// Holds an agent: its next calls are refused until somebody releases it.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn hold(&self, agent: &str, by: &str) -> Result<(), EngineError> {
        crate::erase::check_words("name of who decides", by)?;
        crate::erase::check_words("name of the agent", agent)?;
        self.learn_holds().await?;
        let (mut pen, opening) = Pen::in_new_run(self, HOLD, by_hand()).await?;
        let mut entries = vec![opening];
        entries.extend(pen.held(agent, by)?);
        self.holds.hold(agent, Whose::Person, by, pen.run());
        self.append_entries(entries).await
    }

    /// Holds an agent as [`hold`](Self::hold) does, and says whether anybody knows it.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn quarantine(&self, agent: &str, by: &str) -> Result<QuarantineView, EngineError> {
        self.hold(agent, by).await?;
        let seen = self.has_decided(agent, by).await?;
        Ok(QuarantineView {
            held: self.held().await?,
            unseen: (!seen).then(|| agent.to_owned()),
            ..QuarantineView::default()
        })
    }

    /// Whether a decision of an agent is in the record, beside that of the person who holds it.
    async fn has_decided(&self, agent: &str, by: &str) -> Result<bool, EngineError> {
        let mut page = Page::first(RUNS_TOGETHER);
        loop {
            let runs = self.store.runs(page).await?;
            let of = |run: &RunRow| run.agents.iter().any(|name| name == agent);
            // What persons do by hand are runs of their own.
            let by_hand = |run: &RunRow| agent == by && run.agents == [by];
            if runs.iter().any(|run| of(run) && !by_hand(run)) {
                return Ok(true);
            }
            if (runs.len() as u64) < RUNS_TOGETHER {
                return Ok(false);
            }
            page.skip += RUNS_TOGETHER;
        }
    }

    /// Releases an agent, and says whose holds that ended. Of one that a person and rollbacks hold,
    /// the person's word ends first, and the rollbacks still hold it; the holds of rollbacks end all
    /// at once.
    ///
    /// # Errors
    /// [`UndoError::NotHeld`], [`EngineError::Store`].
    pub async fn release(&self, agent: &str, by: &str) -> Result<QuarantineView, EngineError> {
        crate::erase::check_words("name of who decides", by)?;
        self.learn_holds().await?;
        let known = {
            let inner = self.holds.lock();
            let held = inner.held.0.get(agent);
            held.map(|held| {
                let whose = held.released_first();
                let ended = held.views(agent, |of| whose.contains(&of));
                (whose, ended)
            })
        };
        let Some((whose, ended)) = known else {
            let agent = agent.to_owned();
            return Err(UndoError::NotHeld { agent }.into());
        };
        let rollbacks = whose.iter().filter_map(|whose| match whose {
            Whose::Rollback(id) => Some(*id),
            Whose::Person => None,
        });
        let rollbacks: Vec<DecisionId> = rollbacks.collect();
        let (mut pen, opening) = Pen::in_new_run(self, RELEASE, by_hand()).await?;
        let mut entries = vec![opening];
        if rollbacks.is_empty() {
            entries.extend(pen.released(agent, by, &[])?);
        }
        for named in rollbacks.chunks(NAMED_MAX) {
            entries.extend(pen.released(agent, by, named)?);
        }
        self.append_entries(entries).await?;
        self.holds.release(agent, &whose);
        Ok(QuarantineView {
            held: self.held().await?,
            ended,
            ..QuarantineView::default()
        })
    }

    /// The holds that end with a rollback that came to what its plan says: of those that were put
    /// forward before it and have ended, all of whose roots it takes back.
    pub(super) async fn superseded_holds(
        &self,
        rollback: &Rollback,
    ) -> Result<Vec<(DecisionId, Vec<String>)>, EngineError> {
        let taken: HashSet<DecisionId> = rollback.taken_back().collect();
        let mut superseded = Vec::new();
        for (id, agents) in self.holds.of_rollbacks() {
            if id == rollback.id {
                continue;
            }
            // What one whose plan is gone was about is not known: a person ends its holds.
            let other = match Box::pin(Rollback::load(self, id)).await {
                Ok(other) => other,
                Err(EngineError::Undo(UndoError::NoPlan { .. })) => continue,
                Err(error) => return Err(error),
            };
            let roots = &other.plan.incident.roots;
            if other.row.first < rollback.row.first
                && !other.state().goes_on()
                && roots.iter().all(|root| taken.contains(root))
            {
                superseded.push((id, agents));
            }
        }
        Ok(superseded)
    }

    /// Asks the record who is held, once.
    pub(crate) async fn learn_holds(&self) -> Result<(), EngineError> {
        if self.holds.lock().known {
            return Ok(());
        }
        let size = self.store.status().await?.durable;
        self.store.wait_indexed(size).await?;
        let mut held = Book::default();
        let mut rollbacks: HashMap<RunId, Option<DecisionId>> = HashMap::new();
        for row in self.store.decisions_of(Kind::Verdict, None).await? {
            let Some((verb, agent)) = row.keys.name.as_deref().and_then(|n| n.split_once(' '))
            else {
                continue;
            };
            if !matches!(verb, HOLD | RELEASE) {
                continue;
            }
            let (by, run) = (row.keys.agent.name, row.keys.run);
            let rollback = match rollbacks.get(&run) {
                Some(known) => *known,
                None if by == AGENT => self.rollback_of(run).await?,
                None => None,
            };
            rollbacks.insert(run, rollback);
            if verb == HOLD {
                let whose = rollback.map_or(Whose::Person, Whose::Rollback);
                // Who holds as part of a rollback is named by the rollback.
                let by = rollback.map_or(by, |id| id.to_string());
                held.hold(agent, whose, Holder { by, run });
            } else {
                let event = self.event(row.first).await?;
                let causes = event.body.proposal().map_or(&[][..], |told| &told.causes);
                let whose = held.ended_by(agent, causes, rollback.is_some());
                held.release(agent, &whose);
            }
        }
        let mut inner = self.holds.lock();
        if !inner.known {
            // What was held meanwhile is newer.
            for (agent, newer) in std::mem::take(&mut inner.held.0) {
                held.0.entry(agent).or_default().0.extend(newer.0);
            }
            inner.held = held;
            inner.known = true;
        }
        Ok(())
    }

    /// Returns the rollback that a run belongs to, if one does.
    pub(super) async fn rollback_of(&self, run: RunId) -> Result<Option<DecisionId>, EngineError> {
        let page = Page::first(1);
        let first = self.store.decisions(Some(run), page).await?.pop();
        Ok(first.filter(is_rollback).map(|row| row.id))
    }
}

impl Pen {
    /// Makes the entries that say that an agent is held.
    pub(super) fn held(&mut self, agent: &str, by: &str) -> Result<Vec<Entry>, EngineError> {
        self.verdict(HOLD, agent, by, &[])
    }

    /// Makes the entries that say that an agent is released: by these rollbacks, or by a person if
    /// there are none.
    pub(super) fn released(
        &mut self,
        agent: &str,
        by: &str,
        rollbacks: &[DecisionId],
    ) -> Result<Vec<Entry>, EngineError> {
        self.verdict(RELEASE, agent, by, rollbacks)
    }

    fn verdict(
        &mut self,
        verb: &str,
        agent: &str,
        by: &str,
        rollbacks: &[DecisionId],
    ) -> Result<Vec<Entry>, EngineError> {
        let causes = rollbacks.iter();
        let causes = causes.map(|id| explicit(*id, CauseKind::Policy, ROLLBACK));
        let decision = self.new_decision();
        let asked = serde_json::json!({ "agent": agent, "by": by }).to_string();
        let new = New {
            kind: Kind::Verdict,
            name: &format!("{verb} {agent}"),
            causes: causes.collect(),
            effects: Vec::new(),
            asked: &asked,
        };
        let mut proposed = self.proposed_by(by, decision, new)?;
        let started = self.entry(
            Body::Started {
                decision,
                effects: Vec::new(),
                sealed: None,
            },
            Some(proposed.id),
        )?;
        let finished = Body::Finished {
            causes: Vec::new(),
            decision,
            effects: Vec::new(),
            outcome: Outcome::Succeeded,
            sealed: None,
        };
        let finished = self.entry(finished, Some(started.id))?;
        let payload = proposed.payload.take();
        Ok(vec![
            Entry {
                payload,
                ..proposed
            },
            started,
            finished,
        ])
    }
}

/// Who holds an agent as part of a rollback.
pub(super) fn holder(rollback: &Rollback) -> String {
    rollback.id.to_string()
}
