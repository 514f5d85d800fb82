//! Quarantine: agents that get no work until a rule or a person releases them.
//!
//! That an agent is held is a *verdict* in the record, and that it is released another, so that it
//! is known again after a restart. A person and a rollback hold an agent each by themselves: the end
//! of a rollback does not release whom a person holds. The check and the entry of a call are one step under one lock:
//! a call is either in flight when its agent is held, and is waited for, or it is refused.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ledger::{Page, RunRow};
use model::{Body, DecisionId, Kind, Outcome, RunId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{Engine, EngineError};

use super::UndoError;
use super::pen::{AGENT, Entry, New, Pen, by_hand};
use super::rollback::{Rollback, is_rollback};
use super::view::QuarantineView;

/// How verdicts that hold and release are named: this word and the agent.
const HOLD: &str = "quarantine";
const RELEASE: &str = "release";

/// Runs that are read together.
const RUNS_TOGETHER: u64 = 512;

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

/// Who keeps an agent from work.
#[derive(Clone, Debug, Default)]
struct Held {
    person: Option<Holder>,
    rollback: Option<Holder>,
}

#[derive(Clone, Debug)]
struct Holder {
    by: String,
    run: RunId,
}

/// Whose word it is that an agent is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Person,
    Rollback,
}

impl Held {
    const fn slot(&mut self, whose: Whose) -> &mut Option<Holder> {
        match whose {
            Whose::Person => &mut self.person,
            Whose::Rollback => &mut self.rollback,
        }
    }

    fn holders(&self) -> impl Iterator<Item = &Holder> {
        self.rollback.iter().chain(&self.person)
    }

    /// Whose hold a person ends: first that of a person, and without one the rollback's.
    const fn released_first(&self) -> Whose {
        match self.person {
            Some(_) => Whose::Person,
            None => Whose::Rollback,
        }
    }
}

/// Who is held, by agent.
#[derive(Debug, Default)]
struct Book(BTreeMap<String, Held>);

impl Book {
    fn hold(&mut self, agent: &str, whose: Whose, holder: Holder) {
        let held = self.0.entry(agent.to_owned()).or_default();
        *held.slot(whose) = Some(holder);
    }

    fn release(&mut self, agent: &str, whose: Whose) {
        if let Some(held) = self.0.get_mut(agent) {
            *held.slot(whose) = None;
            if held.holders().next().is_none() {
                self.0.remove(agent);
            }
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
            if let Some(holder) = held.and_then(|held| held.holders().next()) {
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

    pub(super) fn release(&self, agent: &str, whose: Whose) {
        self.lock().held.release(agent, whose);
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
        let held = inner.held.0.iter().flat_map(|(agent, held)| {
            held.holders().map(|holder| QuarantinedView {
                agent: agent.clone(),
                by: holder.by.clone(),
                run: holder.run.to_string(),
            })
        });
        Ok(held.collect())
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

    /// Releases an agent. Of one that a person and a rollback hold, the person's word ends first,
    /// and the rollback still holds it.
    ///
    /// # Errors
    /// [`UndoError::NotHeld`], [`EngineError::Store`].
    pub async fn release(&self, agent: &str, by: &str) -> Result<(), EngineError> {
        crate::erase::check_words("name of who decides", by)?;
        self.learn_holds().await?;
        let whose = self
            .holds
            .lock()
            .held
            .0
            .get(agent)
            .map(Held::released_first);
        let Some(whose) = whose else {
            let agent = agent.to_owned();
            return Err(UndoError::NotHeld { agent }.into());
        };
        let (mut pen, opening) = Pen::in_new_run(self, RELEASE, by_hand()).await?;
        let mut entries = vec![opening];
        entries.extend(pen.released(agent, by)?);
        self.append_entries(entries).await?;
        self.holds.release(agent, whose);
        Ok(())
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
        for index in self.store.events_named(&["proposed"]).await? {
            let Body::Proposed { proposal, .. } = self.event(index).await?.body else {
                continue;
            };
            let Some((verb, agent)) = proposal.name.as_deref().and_then(|n| n.split_once(' '))
            else {
                continue;
            };
            if proposal.kind != Kind::Verdict || !matches!(verb, HOLD | RELEASE) {
                continue;
            }
            let (by, run) = (proposal.agent.name, proposal.run);
            let rollback = match rollbacks.get(&run) {
                Some(known) => *known,
                None if by == AGENT => self.rollback_of(run).await?,
                None => None,
            };
            rollbacks.insert(run, rollback);
            let whose = rollback.map_or(Whose::Person, |_| Whose::Rollback);
            if verb == HOLD {
                // Who holds as part of a rollback is named by the rollback.
                let by = rollback.map_or(by, |id| id.to_string());
                held.hold(agent, whose, Holder { by, run });
            } else if let Some(known) = held.0.get(agent) {
                let whose = rollback.map_or(known.released_first(), |_| whose);
                held.release(agent, whose);
            }
        }
        let mut inner = self.holds.lock();
        if !inner.known {
            // What was held meanwhile is newer.
            for (agent, newer) in std::mem::take(&mut inner.held.0) {
                let known = held.0.entry(agent).or_default();
                known.person = newer.person.or(known.person.take());
                known.rollback = newer.rollback.or(known.rollback.take());
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
        self.verdict(HOLD, agent, by)
    }

    /// Makes the entries that say that an agent is released.
    pub(super) fn released(&mut self, agent: &str, by: &str) -> Result<Vec<Entry>, EngineError> {
        self.verdict(RELEASE, agent, by)
    }

    fn verdict(&mut self, verb: &str, agent: &str, by: &str) -> Result<Vec<Entry>, EngineError> {
        let decision = self.new_decision();
        let asked = serde_json::json!({ "agent": agent, "by": by }).to_string();
        let new = New {
            kind: Kind::Verdict,
            name: &format!("{verb} {agent}"),
            causes: Vec::new(),
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
