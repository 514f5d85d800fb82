//! What agents believe: the histories that they sent last, beside what their models are sent.

use std::collections::BTreeMap;

use context::{Audience, Mark, Marks, Repair, Turn, outline, repair, whole};
use ledger::Page;
use model::{Decision, DecisionId, Kind, RunId};
use wire::llm::Layout;

use crate::live::kept::continued;
use crate::live::recall::answer_of;
use crate::look::fold;
use crate::view::{AgentContextView, ContextItemView, ContextView, ReplacedView};
use crate::{Engine, EngineError};

/// Rescinded decisions that are looked for at most, newest first.
const RESCINDED_MAX: usize = 4_096;

/// Turns of one history that a provider keeps, at most.
const TURNS_MAX: usize = 1_024;

/// Decisions that are read together, newest first.
const TOGETHER: u64 = 256;

impl Engine {
    /// Returns what the agents of a run believe, and what their models are sent in its place.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Store`].
    pub async fn context(&self, run: RunId) -> Result<ContextView, EngineError> {
        let marks = self.marks_of(run).await?;
        let mut agents = Vec::new();
        for (agent, decision) in self.last_asked(run).await? {
            agents.push(self.mind(agent, decision, &marks).await?);
        }
        Ok(ContextView {
            run: run.to_string(),
            agents,
        })
    }

    /// What is looked for in a run's histories: as its own, and as in all runs.
    async fn marks_of(&self, run: RunId) -> Result<[Marks; 2], EngineError> {
        let (mut own, mut all): (Vec<Mark>, Vec<Mark>) = Default::default();
        for id in self.rescinded_ids(RESCINDED_MAX).await? {
            let Some(rescinded) = self.rescinded(id).await? else {
                continue;
            };
            let here = rescinded.runs.contains(&run);
            if here { &mut own } else { &mut all }.push(rescinded.mark);
        }
        Ok([
            Marks::new(Audience::SameRun, &own),
            Marks::new(Audience::AnyRun, &all),
        ])
    }

    /// The last call of a model of each agent of a run.
    async fn last_asked(&self, run: RunId) -> Result<BTreeMap<String, DecisionId>, EngineError> {
        let row = self.store.run(run).await?;
        let row = row.ok_or_else(|| EngineError::NotFound {
            text: run.to_string(),
        })?;
        let mut last = BTreeMap::new();
        let mut end: u64 = row.decisions.values().sum();
        while end > 0 && last.len() < row.agents.len() {
            let limit = TOGETHER.min(end);
            let skip = end - limit;
            let rows = self.store.decisions(Some(run), Page { skip, limit });
            for row in rows.await?.into_iter().rev() {
                if row.keys.kind == Kind::Inference {
                    last.entry(row.keys.agent.name).or_insert(row.id);
                }
            }
            end = skip;
        }
        Ok(last)
    }

    async fn mind(
        &self,
        agent: String,
        decision: DecisionId,
        marks: &[Marks; 2],
    ) -> Result<AgentContextView, EngineError> {
        let events = self.events_of(decision).await?;
        let recalled = self.recalled(&events).await?;
        let mut view = AgentContextView {
            agent,
            decision: decision.to_string(),
            api: None,
            repaired: false,
            items: Vec::new(),
        };
        let asked = recalled.asked.as_deref().unwrap_or_default();
        let Some(api) = recalled.api else {
            return Ok(view);
        };
        let Ok(layout) = Layout::read(api, asked.as_bytes()) else {
            return Ok(view);
        };
        view.api = Some(api.name().to_owned());
        let [own, all] = marks;
        // What the provider keeps is part of what the agent believes.
        let before = self.turns_before(fold(decision, events.iter().map(|(_, event)| event))?);
        let whole = match before.await? {
            turns if turns.is_empty() => None,
            turns => whole(&layout, None, &turns),
        };
        let whole = whole
            .as_ref()
            .and_then(|body| Layout::read(api, body.as_bytes()).ok());
        let layout = whole.as_ref().unwrap_or(&layout);
        view.items = items(layout, repair(layout, &[own, all]));
        let (text, calls, _) = answer_of(api, &recalled);
        let mut said = Vec::from_iter((!text.is_empty()).then_some(text));
        said.extend(
            calls
                .iter()
                .map(|call| format!("{}({})", call.name, call.arguments)),
        );
        if !said.is_empty() {
            view.items.push(ContextItemView {
                at: "answer".to_owned(),
                role: "assistant".to_owned(),
                believes: said.join("\n"),
                sent: own.correction_of(decision).map(str::to_owned),
                replaced: Vec::new(),
            });
        }
        view.repaired = view.items.iter().any(|item| item.sent.is_some());
        Ok(view)
    }
}

impl Engine {
    /// The turns that a call of a model continues on the provider's side, oldest first, as far as
    /// they can be read.
    async fn turns_before(&self, decision: Decision) -> Result<Vec<Turn>, EngineError> {
        let mut turns = Vec::new();
        let mut next = continued(&decision);
        while let Some(id) = next
            && turns.len() < TURNS_MAX
        {
            let events = self.events_of(id).await?;
            let Some(turn) = self.turn(&events).await? else {
                break;
            };
            turns.push(turn);
            next = continued(&fold(id, events.iter().map(|(_, event)| event))?);
        }
        turns.reverse();
        Ok(turns)
    }
}

/// The items of a history, each beside what is sent in its place.
fn items(layout: &Layout<'_>, repaired: Option<Repair>) -> Vec<ContextItemView> {
    let believed = outline(layout);
    let sent = repaired.as_ref().and_then(|repair| {
        let layout = Layout::read(layout.api(), &repair.body).ok()?;
        Some(outline(&layout))
    });
    let replaced = repaired.map(|repair| repair.replaced).unwrap_or_default();
    believed
        .into_iter()
        .enumerate()
        .map(|(number, line)| {
            let cuts: Vec<ReplacedView> = replaced
                .iter()
                .filter(|cut| cut.at == line.at)
                .map(|cut| ReplacedView {
                    decision: cut.decision.to_string(),
                    what: cut.what.name().to_owned(),
                    by: cut.by.clone(),
                })
                .collect();
            // A repair takes no item out, so each keeps its place.
            let sent = sent.as_ref().and_then(|sent| sent.get(number));
            let sent = sent.filter(|_| !cuts.is_empty());
            ContextItemView {
                at: line.at,
                role: line.role,
                believes: line.text,
                sent: sent.map(|line| line.text.clone()),
                replaced: cuts,
            }
        })
        .collect()
}
