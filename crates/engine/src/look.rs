//! Questions about the record: which runs there are, and what was decided.
//!
//! Everything here reads. What an address names is in [`address`](crate::address), what followed
//! and why in [`follow`](crate::follow), and opening what was sealed in
//! [`content`](crate::content).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use ledger::{DecisionRow, Direction, Leaf, Page, RunRow};
use model::{
    Account, Body, Cause, Decision, DecisionId, Edge, Environment, Event, Field, Kind, Outcome,
    RunId, Status,
};

use crate::content::in_short;
use crate::text::{recorded, stamp, summary};
use crate::view::{
    AccountView, ApprovalView, CauseView, DecisionView, EdgeView, MarkView, NodeView, PolicyView,
    RunView, RunsView, StepsView,
};
use crate::{Engine, EngineError, at_once};

pub use crate::address::Named;

/// How many characters of a run's title are shown.
const TITLE_WIDTH: usize = 120;

/// Rows that are read together.
const ROWS: u64 = 4_096;

/// Decisions whose events are in memory together to be shown in lists.
const NODES_TOGETHER: usize = 1_024;

impl Engine {
    /// Returns runs, newest first.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub async fn runs(&self, page: Page) -> Result<RunsView, EngineError> {
        let one_more = Page {
            limit: page.limit.saturating_add(1),
            ..page
        };
        let mut rows = self.store.runs(one_more).await?;
        let more = rows.len() as u64 > page.limit;
        rows.truncate(usize::try_from(page.limit).unwrap_or(usize::MAX));
        let mut runs = Vec::with_capacity(rows.len());
        for row in rows {
            runs.push(self.run_view(row).await?);
        }
        Ok(RunsView {
            runs,
            skipped: page.skip,
            more,
        })
    }

    /// Returns one run.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Store`].
    pub async fn run(&self, run: RunId) -> Result<RunView, EngineError> {
        let row = self.store.run(run).await?;
        let row = row.ok_or_else(|| EngineError::NotFound {
            text: run.to_string(),
        })?;
        self.run_view(row).await
    }

    /// Returns a part of a run's decisions, in the order of the log.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Store`].
    pub async fn steps(&self, run: RunId, page: Page) -> Result<StepsView, EngineError> {
        if self.store.run(run).await?.is_none() {
            let text = run.to_string();
            return Err(EngineError::NotFound { text });
        }
        let one_more = Page {
            limit: page.limit.saturating_add(1),
            ..page
        };
        let mut rows = self.store.decisions(Some(run), one_more).await?;
        let more = rows.len() as u64 > page.limit;
        rows.truncate(usize::try_from(page.limit).unwrap_or(usize::MAX));
        Ok(StepsView {
            run: run.to_string(),
            steps: self.nodes(&rows).await?,
            skipped: page.skip,
            more,
        })
    }

    /// The decisions of a run that `keeps` asks for, in the order of the log; the others are not held
    /// in memory together.
    pub(crate) async fn rows_of(
        &self,
        run: RunId,
        keeps: impl Fn(&DecisionRow) -> bool + Send,
    ) -> Result<Vec<DecisionRow>, EngineError> {
        let mut found = Vec::new();
        let mut skip = 0;
        loop {
            let page = Page { skip, limit: ROWS };
            let rows = self.store.decisions(Some(run), page).await?;
            let last = (rows.len() as u64) < ROWS;
            found.extend(rows.into_iter().filter(&keeps));
            if last {
                return Ok(found);
            }
            skip += ROWS;
        }
    }

    async fn run_view(&self, row: RunRow) -> Result<RunView, EngineError> {
        let opening = self.event(row.first).await?;
        let title = self.opened_field(&opening, Field::Asked).await?;
        let title = title.map(|title| summary(&title, TITLE_WIDTH));
        Ok(run_view(row, title))
    }

    /// Returns the environment that a decision ran with: its own snapshot, or its run's.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Store`].
    pub async fn environment(&self, id: DecisionId) -> Result<Environment, EngineError> {
        let events = self.events_of(id).await?;
        let decision = fold(id, events.iter().map(|(_, event)| event))?;
        let mut text = None;
        for (_, event) in &events {
            text = text.or(self.opened_field(event, Field::Environment).await?);
        }
        if text.is_none()
            && let Some(row) = self.store.run(decision.proposal.run).await?
        {
            let opening = self.event(row.first).await?;
            text = self.opened_field(&opening, Field::Environment).await?;
        }
        let missing = || EngineError::NoEnvironment { id: id.to_string() };
        serde_json::from_str(&text.ok_or_else(missing)?).map_err(|_| missing())
    }

    /// Returns one decision, whole.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Unfoldable`], [`EngineError::Content`].
    pub async fn decision(&self, id: DecisionId) -> Result<DecisionView, EngineError> {
        let events = self.events_of(id).await?;
        let decision = fold(id, events.iter().map(|(_, event)| event))?;
        let index = events.first().map_or(0, |(index, _)| *index);
        let contents = self.contents(&events).await?;
        let causes = self.cause_views(&decision.causes).await?;
        let effects = self.store.edges(&[id], Direction::Effects).await?;
        let proposal = &decision.proposal;
        let effect = decision.effects.first();
        let shown = contents
            .iter()
            .find(|c| c.field == Field::Chosen.name() && c.text.is_some());
        let shown = shown
            .or_else(|| contents.iter().find(|c| c.field == Field::Asked.name()))
            .and_then(|content| content.text.as_deref())
            .map(in_short);
        Ok(DecisionView {
            node: NodeView {
                id: id.to_string(),
                run: proposal.run.to_string(),
                agent: proposal.agent.name.clone(),
                kind: proposal.kind.name().to_owned(),
                name: proposal.name.clone(),
                status: decision.status.name().to_owned(),
                known: proposal.known.name().to_owned(),
                started: proposal.started.map(stamp),
                index,
                summary: shown,
            },
            agent_version: proposal.agent.version.clone(),
            outcome: outcome_words(&decision.outcome),
            ended: decision.ended.map(stamp),
            source: decision.position_in_source.clone(),
            causes,
            effects: effects.into_iter().map(edge_view).collect(),
            policy: proposal.policy.as_ref().map(|policy| PolicyView {
                id: policy.id.clone(),
                version: policy.version.clone(),
                digest: policy.digest.to_string(),
                verdict: verdict_name(policy.verdict).to_owned(),
                enforced: verdict_name(policy.enforced).to_owned(),
            }),
            environment: proposal.environment.map(|digest| digest.to_string()),
            approvals: decision
                .approvals
                .iter()
                .map(|approval| ApprovalView {
                    by: approval.by.clone(),
                    shown: approval.shown.to_string(),
                })
                .collect(),
            server: proposal.server.clone(),
            class: effect.map(|effect| effect.class.name().to_owned()),
            class_by: effect
                .and_then(|effect| effect.by)
                .map(|by| by.name().to_owned()),
            writes: resources(decision.effects.iter().flat_map(|effect| &effect.writes)),
            reads: resources(decision.effects.iter().flat_map(|effect| &effect.reads)),
            account: decision.account.as_ref().map(account_view),
            contents,
            events: decision
                .events
                .iter()
                .zip(&events)
                .map(|(mark, (index, _))| MarkView {
                    index: *index,
                    id: mark.event.to_string(),
                    what: mark.what.to_owned(),
                    at: recorded(mark.at),
                })
                .collect(),
        })
    }

    async fn cause_views(&self, causes: &[Cause]) -> Result<Vec<CauseView>, EngineError> {
        let ids: Vec<DecisionId> = causes.iter().map(|cause| cause.decision).collect();
        let rows = self.store.rows(&ids).await?;
        let agents: HashMap<DecisionId, String> = rows
            .into_iter()
            .map(|row| (row.id, row.keys.agent.name))
            .collect();
        Ok(causes
            .iter()
            .map(|cause| CauseView {
                decision: cause.decision.to_string(),
                agent: agents.get(&cause.decision).cloned(),
                kind: cause.kind.name().to_owned(),
                strength: cause.strength.name().to_owned(),
                evidence: cause.evidence.to_string(),
            })
            .collect())
    }

    /// Returns one decision, short.
    pub(crate) async fn node(&self, id: DecisionId) -> Result<NodeView, EngineError> {
        let rows = self.store.rows(&[id]).await?;
        let mut nodes = self.nodes(&rows).await?;
        nodes.pop().ok_or_else(|| EngineError::NotFound {
            text: id.to_string(),
        })
    }

    /// Returns what is shown of decisions in lists and graphs.
    pub(crate) async fn nodes(&self, rows: &[DecisionRow]) -> Result<Vec<NodeView>, EngineError> {
        let mut nodes = Vec::with_capacity(rows.len());
        for rows in rows.chunks(NODES_TOGETHER) {
            let ids: Vec<DecisionId> = rows.iter().map(|row| row.id).collect();
            let events = self.events_of_each(&ids).await?;
            let telling = rows.iter().zip(&events);
            let telling = telling.map(|(row, events)| {
                telling_event(row, events).ok_or_else(|| EngineError::NotFound {
                    text: format!("leaf {}", row.first),
                })
            });
            let telling: Vec<&Event> = telling.collect::<Result<_, _>>()?;
            let summaries = self.summaries(&telling).await?;
            nodes.extend(rows.iter().zip(summaries).map(|(row, summary)| NodeView {
                id: row.id.to_string(),
                run: row.keys.run.to_string(),
                agent: row.keys.agent.name.clone(),
                kind: row.keys.kind.name().to_owned(),
                name: row.keys.name.clone(),
                status: row.status.as_read().name().to_owned(),
                known: row.keys.known.name().to_owned(),
                started: row.keys.started.map(stamp),
                index: row.first,
                summary,
            }));
        }
        Ok(nodes)
    }

    /// Returns the event at a place in the log.
    pub(crate) async fn event(&self, index: u64) -> Result<Event, EngineError> {
        let leaf = self.store.read(index, 1).await?.pop();
        let (_, bytes) = leaf.ok_or_else(|| EngineError::NotFound {
            text: format!("leaf {index}"),
        })?;
        Leaf::decode(&bytes).map_err(|source| EngineError::Leaf { index, source })
    }

    /// Returns the events of each of these decisions with their places in the log, in the order in
    /// which they are asked for; an unknown one has none. How many are asked for together bounds
    /// what is in memory.
    pub(crate) async fn events_of_each(
        &self,
        ids: &[DecisionId],
    ) -> Result<Vec<Vec<(u64, Event)>>, EngineError> {
        let leaves = self.store.leaves_of(ids).await?;
        let events = at_once::spread(leaves, decoded);
        events.into_iter().collect()
    }

    /// Returns the events of a decision with their places in the log.
    pub(crate) async fn events_of(&self, id: DecisionId) -> Result<Vec<(u64, Event)>, EngineError> {
        let mut events = self.events_of_each(&[id]).await?;
        let events = events.pop().unwrap_or_default();
        if events.is_empty() {
            return Err(EngineError::NotFound {
                text: id.to_string(),
            });
        }
        Ok(events)
    }
}

/// The event that tells most of a decision: what a model or an agent said when its call ended tells
/// more than what it was asked.
fn telling_event<'a>(row: &DecisionRow, events: &'a [(u64, Event)]) -> Option<&'a Event> {
    let (_, first) = events.first()?;
    let ends_later = matches!(first.body, Body::Begun { .. } | Body::Proposed { .. });
    let says = |event: &&Event| {
        let fields = event.body.sealed().map(|sealed| sealed.fields.iter());
        fields.is_some_and(|mut fields| fields.any(|field| field.role == Field::Chosen))
    };
    let said = match ends_later && matches!(row.keys.kind, Kind::Inference | Kind::Message) {
        true => events.iter().rev().map(|(_, event)| event).find(says),
        false => None,
    };
    Some(said.unwrap_or(first))
}

/// Reads the events of a decision out of its leaves.
pub(crate) fn decoded(leaves: Vec<(u64, Vec<u8>)>) -> Result<Vec<(u64, Event)>, EngineError> {
    let events = leaves.into_iter().map(|(index, bytes)| {
        let event = Leaf::decode(&bytes);
        let event = event.map_err(|source| EngineError::Leaf { index, source })?;
        Ok((index, event))
    });
    events.collect()
}

pub(crate) fn fold<'a>(
    id: DecisionId,
    events: impl Iterator<Item = &'a Event>,
) -> Result<Decision, EngineError> {
    folded(id, events.cloned())
}

/// As [`fold`], for who has no other use for the events.
pub(crate) fn folded(
    id: DecisionId,
    events: impl Iterator<Item = Event>,
) -> Result<Decision, EngineError> {
    Decision::of(events)
        .map_err(|source| EngineError::Unfoldable {
            id: id.to_string(),
            source,
        })?
        .ok_or_else(|| EngineError::NotFound {
            text: id.to_string(),
        })
}

fn run_view(row: RunRow, title: Option<String>) -> RunView {
    RunView {
        id: row.keys.run.to_string(),
        external: row.keys.external,
        title,
        format: row.keys.origin.as_ref().map(|origin| origin.format.clone()),
        part: row.keys.origin.and_then(|origin| origin.part),
        recorded: recorded(row.at),
        whole: row.whole,
        agents: row.agents,
        decisions: row.decisions.values().sum(),
        statuses: row.decisions.iter().fold(
            BTreeMap::new(),
            |mut read: BTreeMap<String, u64>, (status, count)| {
                *read
                    .entry(Status::as_read(*status).name().to_owned())
                    .or_default() += count;
                read
            },
        ),
        subject: row.keys.subject.to_string(),
    }
}

pub(crate) fn edge_view(edge: Edge) -> EdgeView {
    EdgeView {
        cause: edge.cause.to_string(),
        effect: edge.effect.to_string(),
        kind: edge.kind.name().to_owned(),
        strength: edge.strength.name().to_owned(),
    }
}

fn account_view(account: &Account) -> AccountView {
    let named = |list: &[Cow<'_, str>], field: &str| list.iter().any(|name| name == field);
    let listed = |list: &[Cow<'_, str>]| list.iter().map(|name| name.to_string()).collect();
    let known = Account::FIELDS
        .into_iter()
        .filter(|field| !named(&account.partly, field) && !named(&account.unknowable, field))
        .map(str::to_owned)
        .collect();
    AccountView {
        known,
        partly: listed(&account.partly),
        unknowable: listed(&account.unknowable),
    }
}

fn resources<'a>(list: impl Iterator<Item = &'a model::Resource>) -> Vec<String> {
    list.map(|resource| match &resource.version {
        Some(version) => format!("{}@{version}", resource.uri),
        None => resource.uri.clone(),
    })
    .collect()
}

fn outcome_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Succeeded => "succeeded".to_owned(),
        Outcome::Failed { class } => format!("failed: {}", class.name()),
        Outcome::Cancelled => "cancelled".to_owned(),
        Outcome::Unknown => "unknown".to_owned(),
        Outcome::Replayed => "replayed".to_owned(),
    }
}

const fn verdict_name(verdict: model::Verdict) -> &'static str {
    match verdict {
        model::Verdict::Allow => "allow",
        model::Verdict::Deny => "deny",
        model::Verdict::Hold => "hold",
        model::Verdict::Degrade => "degrade",
    }
}

/// Returns the first line of a text, cut to `width` characters, with white space folded.
#[must_use]
pub fn first_line(text: &str, width: usize) -> String {
    summary(text, width)
}
