//! What the process before knew: after a start the newest decisions are read again, so that a
//! conversation that goes on is the run that it was, and what is quoted from before has its cause.
//!
//! Only what lies in the record is used, so what was erased or redacted is not recalled. Nothing
//! is appended: the edges of these decisions are in the record already.

use std::borrow::Cow;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ledger::DecisionRow;
use model::{
    Decision, DecisionId, Effect, Environment, Event, Field, Kind, Outcome, Provenance, Status,
};
use serde::Deserialize;
use wire::llm::{self, Api};

use super::Inner;
use super::admit::exact_call;
use super::call::{OwnedCall, OwnedItem};
use super::join::Asker;
use super::kept::{Answered, Continues, Held};
use super::repair::is_repair;
use super::trace::Traced;
use crate::content::Content;
use crate::undo::{json_or_text, said};
use crate::{Engine, EngineError, Page};

/// How many of the newest decisions are read again.
const DECISIONS: u64 = 512;

/// How many of them are read together, and how many questions are asked at once.
const TOGETHER: usize = 64;

/// Contents that are in memory together, in bytes, as far as each decision has less.
const LONG: u64 = 8 << 20;

/// Contents that are read again at most, in bytes.
const BYTES_MAX: usize = 64 << 20;

/// The sense of a streamed answer, as the gateway keeps it.
#[derive(Debug, Deserialize)]
struct Sense {
    id: Option<String>,
    #[serde(default)]
    calls: Vec<SensedCall>,
}

#[derive(Debug, Deserialize)]
struct SensedCall {
    id: Option<String>,
    name: String,
    arguments: String,
    #[serde(default)]
    hosted: bool,
}

/// A decision's contents, as far as they can be read.
#[derive(Debug, Default)]
pub(crate) struct Recalled {
    pub(crate) asked: Option<String>,
    pub(crate) chosen: Option<String>,
    pub(crate) result: Option<String>,
    pub(crate) api: Option<Api>,
    /// Records just before it and just after it, as JSON.
    before: Option<String>,
    after: Option<String>,
    /// The server that has the tool.
    pub(crate) server: Option<String>,
    /// Their length in bytes.
    bytes: usize,
}

impl Engine {
    /// Reads the contents of a decision again, as far as they can be read.
    pub(crate) async fn recalled(&self, events: &[(u64, Event)]) -> Result<Recalled, EngineError> {
        let mut recalled = Recalled::default();
        for (_, event) in events {
            let Some(sealed) = event.body.sealed() else {
                continue;
            };
            recalled.take(self.open_whole(event, sealed).await?);
        }
        Ok(recalled)
    }

    /// Reads the contents of each of these decisions again, all of them together.
    async fn recalled_each(
        &self,
        events: &[Vec<(u64, Event)>],
    ) -> Result<Vec<Recalled>, EngineError> {
        let all: Vec<&Event> = events.iter().flatten().map(|(_, event)| event).collect();
        let mut opened = self.open_each(&all).await?.into_iter();
        let recalled = events.iter().map(|events| {
            let mut recalled = Recalled::default();
            let contents = opened.by_ref().take(events.len()).flatten();
            contents.for_each(|content| recalled.take(content));
            recalled
        });
        Ok(recalled.collect())
    }
}

impl Recalled {
    fn take(&mut self, content: Content) {
        let Content::Kept(fields) = content else {
            return;
        };
        for field in fields {
            self.bytes += field.bytes.len();
            let Ok(text) = String::from_utf8(field.bytes) else {
                continue;
            };
            match field.role {
                Field::Asked => self.asked = Some(text),
                Field::Chosen => self.chosen = Some(text),
                Field::Result => self.result = Some(text),
                Field::Before => self.before = Some(text),
                Field::After => self.after = Some(text),
                Field::Environment => {
                    let environment = serde_json::from_str(&text).unwrap_or_default();
                    self.api = api_of(&environment);
                    self.server = environment.0.get("mcp.server").cloned();
                }
                _ => {}
            }
        }
    }
}

impl Inner {
    /// Reads the newest decisions again. Stops at the first thing that cannot be read: what is
    /// recalled is a help, and a store that does not answer is told of elsewhere.
    pub(super) async fn recall(&self) {
        let _ = self.try_recall().await;
    }

    async fn try_recall(&self) -> Result<(), EngineError> {
        let store = self.engine.store();
        let durable = store.status().await?.durable;
        store.wait_indexed(durable).await?;
        let (mut pages, mut count) = (Vec::new(), 0);
        for row in store.runs(Page::first(DECISIONS)).await? {
            if row.keys.origin.is_some() {
                continue;
            }
            let of_run: u64 = row.decisions.values().sum();
            let page = Page {
                skip: of_run.saturating_sub(DECISIONS),
                limit: DECISIONS,
            };
            pages.push(store.decisions(Some(row.keys.run), page));
            count += of_run.min(DECISIONS);
            if count >= DECISIONS {
                break;
            }
        }
        let pages = stream::iter(pages).buffered(TOGETHER);
        let pages: Vec<Vec<DecisionRow>> = pages.try_collect().await?;
        let mut newest: Vec<DecisionRow> = pages.into_iter().flatten().collect();
        newest.retain(|row| row.keys.known == Provenance::Observed);
        newest.sort_by_key(|row| row.first);
        let passed = newest.len().saturating_sub(DECISIONS as usize);
        let mut bytes = 0;
        for rows in newest[passed..].chunks(TOGETHER) {
            if self.stop.is_cancelled() || bytes > BYTES_MAX {
                break;
            }
            let ids: Vec<DecisionId> = rows.iter().map(|row| row.id).collect();
            bytes += self.recall_each(&ids).await?;
        }
        Ok(())
    }

    /// Tells what these decisions were, in order. Returns the length of their contents.
    async fn recall_each(&self, ids: &[DecisionId]) -> Result<usize, EngineError> {
        let mut bytes = 0;
        let mut left = self.engine.events_of_each(ids).await?;
        while !left.is_empty() {
            let mut long = 0;
            let fits = |events: &&Vec<(u64, Event)>| {
                long += length_of(events);
                long <= LONG
            };
            let count = left.iter().take_while(fits).count().max(1);
            let events: Vec<_> = left.drain(..count).collect();
            let recalled = self.engine.recalled_each(&events).await?;
            for (events, recalled) in events.iter().zip(recalled) {
                let decision = Decision::fold(events.iter().map(|(_, event)| event));
                let Ok(Some(decision)) = decision else {
                    continue;
                };
                let taken = self.engine.taken_before(&decision).await?;
                self.tell(&decision, &recalled, taken);
                bytes += recalled.bytes;
                // Calls go on between any two.
                tokio::task::yield_now().await;
            }
        }
        Ok(bytes)
    }

    /// Tells the tracer and the tables what a decision was.
    fn tell(&self, decision: &Decision, recalled: &Recalled, taken: Vec<DecisionId>) {
        let proposal = &decision.proposal;
        let name = proposal.name.clone().unwrap_or_default();
        let traced = Traced {
            decision: decision.id,
            run: proposal.run,
            agent: proposal.agent.name.clone(),
            kind: proposal.kind,
            to: (proposal.kind == Kind::Message).then(|| name.clone()),
            name,
        };
        let asked = recalled.asked.as_deref().unwrap_or_default();
        let ended = decision.outcome != Outcome::Unknown;
        match proposal.kind {
            Kind::Inference => {
                let Some(api) = recalled.api else { return };
                let (items, continues) = request_of(api, asked);
                self.trace_prompt(&traced, &items);
                let (output, calls, answer) = answer_of(api, recalled);
                if ended {
                    self.trace_end(&traced, &output, &calls);
                    self.rescinded.said(&output, traced.decision);
                }
                let by = Asker {
                    run: traced.run,
                    agent: &traced.agent,
                    decision: traced.decision,
                    repaired: decision.causes.iter().any(is_repair),
                };
                self.joins().asked(by, &calls);
                let held = Answered {
                    run: traced.run,
                    decision: traced.decision,
                    before: continues.previous,
                    held: Held::of(traced.decision, &decision.causes, taken),
                };
                self.runs().answered(answer, continues.conversation, held);
            }
            Kind::ToolCall => {
                let wanted = (Some(&*traced.agent), Some(traced.run));
                self.joins().take("", &traced.name, asked, wanted, None);
                // What never began is no part of a loop.
                if let (Some(server), true) =
                    (&recalled.server, decision.position >= Status::Started)
                {
                    let tool = (&**server, &*traced.name);
                    let call = exact_call(traced.run, &traced.agent, tool, asked);
                    self.book().loops.made(traced.run, &traced.agent, call);
                }
                self.recall_write(decision, recalled);
                self.trace_call(&traced, Some(asked), None, None);
                if ended {
                    let output = recalled.result.as_deref().unwrap_or_default();
                    self.trace_end(&traced, output, &[]);
                }
            }
            Kind::Message => {
                self.trace_call(&traced, None, Some(asked), None);
            }
            _ => {}
        }
    }
}

impl Inner {
    /// Tells the table of writes what a call wrote, unless it was taken back.
    fn recall_write(&self, decision: &Decision, recalled: &Recalled) {
        let written = |effect: &&Effect| !effect.writes.is_empty();
        let Some(effect) = decision.effects.iter().find(written) else {
            return;
        };
        let never = decision.position < Status::Started;
        if never || matches!(decision.position, Status::Rejected | Status::Compensated) {
            return;
        }
        let images = |text: &Option<String>| {
            let images = text
                .as_ref()
                .and_then(|text| serde_json::from_str(text).ok());
            images.unwrap_or_default()
        };
        let call = recover::Call {
            decision: decision.id,
            server: recalled.server.clone().unwrap_or_default(),
            tool: decision.proposal.name.clone().unwrap_or_default(),
            arguments: recalled
                .asked
                .as_deref()
                .map(json_or_text)
                .unwrap_or_default(),
            result: recalled.result.as_deref().map(said),
            outcome: decision.outcome.clone(),
            class: effect.class,
            // What depends on what does not hang on how it is taken back.
            claim: None,
            before: images(&recalled.before),
            after: images(&recalled.after),
            undone: false,
        };
        let call = (decision.position != Status::Started).then_some(call);
        let writes = &self.engine.writes;
        writes.recall(decision.id, effect, call);
        let doubted = matches!(
            decision.position,
            Status::Compensating | Status::CompensationFailed
        );
        if doubted {
            writes.doubt(&[decision.id]);
        }
    }
}

/// The length of what a decision's events carry, with what it has in common with earlier ones.
fn length_of(events: &[(u64, Event)]) -> u64 {
    let sealed = events.iter().filter_map(|(_, event)| event.body.sealed());
    let fields = sealed.flat_map(|sealed| &sealed.fields);
    let lengths = fields.map(|field| {
        let base = field.base.map_or(0, |base| base.head + base.tail);
        field.len + base
    });
    lengths.sum()
}

/// The wire of a model's call, as its environment says it.
fn api_of(environment: &Environment) -> Option<Api> {
    let name = environment.0.get("model.api")?;
    Api::ALL.into_iter().find(|api| api.name() == name)
}

pub(crate) fn items_of(api: Api, body: &str) -> Vec<OwnedItem> {
    request_of(api, body).0
}

/// The history of a request, and what it continues on the provider's side.
fn request_of(api: Api, body: &str) -> (Vec<OwnedItem>, Continues) {
    let Ok(request) = llm::read_request(api, body.as_bytes()) else {
        return Default::default();
    };
    let continues = Continues {
        previous: request.previous_response_id.map(Cow::into_owned),
        conversation: request.conversation.map(Cow::into_owned),
    };
    let items = request.items.into_iter().map(OwnedItem::from);
    (items.collect(), continues)
}

/// Output, calls and id of an answer, whichever way it was kept.
pub(crate) fn answer_of(api: Api, recalled: &Recalled) -> (String, Vec<OwnedCall>, Option<String>) {
    let result = recalled.result.as_deref().unwrap_or_default();
    if let Ok(sense) = serde_json::from_str::<Sense>(result)
        && !sense.calls.is_empty()
    {
        let calls = sense.calls.into_iter().filter(|call| !call.hosted);
        let calls = calls.map(|call| OwnedCall {
            id: call.id,
            name: call.name,
            arguments: call.arguments,
        });
        return (recalled.chosen_text(), calls.collect(), sense.id);
    }
    match llm::read_answer(api, result.as_bytes()) {
        Ok(answer) => {
            let text = match answer.text.is_empty() {
                true => recalled.chosen_text(),
                false => answer.text,
            };
            let calls = answer.asked.into_iter().filter(|call| !call.hosted);
            (text, calls.map(OwnedCall::from).collect(), answer.id)
        }
        Err(_) => (recalled.chosen_text(), Vec::new(), None),
    }
}

impl Recalled {
    /// What was chosen, where it is text: a list of calls is not what the model said.
    pub(crate) fn chosen_text(&self) -> String {
        self.chosen
            .clone()
            .filter(|text| !text.starts_with('['))
            .unwrap_or_default()
    }
}
