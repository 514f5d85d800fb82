//! The chapters: what happens, what is asked of the running server, and what must come out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use engine::view::VerifiedView;
use ledger::Page;
use serde_json::Value;
use service_desk::Desk;
use service_desk::story::{AGENTS, Agent, Happened, Heard, TICKETS, What, work};

use super::stage::{desk_of, of_desk};
use super::teller::Teller;
use super::undo;
use super::view::{CheckView, DemoView};
use crate::command::look::blast_text;
use crate::failure::Failure;
use crate::out::{Paint, clean};
use crate::remote::Remote;

/// The tickets of [`TICKETS`] by their part in the story.
const WRONG: usize = 1;
const AGAIN: usize = 3;

/// Decisions shown of a run or a ring.
const LIMIT: usize = 1_000;

/// Runs that are counted; there are a dozen.
const RUNS_MAX: u64 = 100;

/// How often it is looked whether the log is published, and how long between: longer than its
/// interval in the demo's configuration.
const PUBLISHED_TRIES: usize = 20;
const PUBLISHED_PAUSE: Duration = Duration::from_millis(150);

/// The table that holds what cannot be taken back.
const SENT: &str = "messages";

type State = BTreeMap<String, BTreeMap<String, Value>>;

/// The story while it is told.
pub(super) struct Story {
    teller: Teller,
    view: DemoView,
    remote: Remote,
    database: PathBuf,
    heard: Box<dyn Fn() -> Vec<Heard> + Send + Sync>,
    /// What the agents did, with the ticket that it was done for.
    done: Vec<(usize, Happened)>,
}

impl Story {
    pub(super) fn new(
        teller: Teller,
        view: DemoView,
        database: PathBuf,
        heard: Box<dyn Fn() -> Vec<Heard> + Send + Sync>,
    ) -> Result<Self, Failure> {
        let view = DemoView {
            played_back: words(&["what the model of the agents says"]),
            real: words(&[
                "the gateway",
                "the record and its log",
                "the tool server over MCP and its database",
                "the plan and the rollback",
                "the repair of contexts",
            ]),
            ..view
        };
        Ok(Self {
            remote: Remote::new(&view.listening, None)?,
            teller,
            view,
            database,
            heard,
            done: Vec::new(),
        })
    }

    pub(super) fn into_view(self) -> DemoView {
        self.view
    }

    /// Tells all of it.
    pub(super) async fn tell(&mut self) -> Result<(), Failure> {
        self.opening().await?;
        let mut agents = Vec::with_capacity(AGENTS.len());
        for role in &AGENTS {
            let below = format!("{}/agents/{}", self.view.listening, role.name);
            let (models, tools) = (format!("{below}/openai/v1"), format!("{below}/mcp/desk"));
            let agent = Agent::start(role, &models, &tools).await;
            agents.push(agent.map_err(failed)?);
        }
        self.teller.chapter("Three agents work").await?;
        for ticket in 0..AGAIN {
            self.work(&mut agents, ticket).await?;
        }
        self.found().await?;
        self.followed().await?;
        self.undone().await?;
        self.teller.chapter("The agents go on").await?;
        self.work(&mut agents, AGAIN).await?;
        self.repaired().await?;
        self.verified().await?;
        let held = self.view.checks.iter().filter(|check| check.held).count();
        let all = self.view.checks.len();
        self.view.held = held == all;
        let end = format!("\n{held} of {all} things came out as the story says");
        self.teller.line(&self.teller.paint(Paint::Bold, end)).await
    }

    async fn opening(&mut self) -> Result<(), Failure> {
        let title = "A wrong decision, and the way back";
        let lines = [
            self.teller.paint(Paint::Bold, title),
            format!("Played back: {}.", self.view.played_back.join(", ")),
            format!("Real: {}.", self.view.real.join(", ")),
            format!("The server listens on {}.", self.view.listening),
        ];
        for line in lines {
            self.teller.line(&line).await?;
        }
        Ok(())
    }

    /// Passes a ticket through the agents, and tells what they do.
    async fn work(&mut self, agents: &mut [Agent], at: usize) -> Result<(), Failure> {
        let ticket = TICKETS[at];
        let title = format!("{} {}", ticket.matter, ticket.title);
        self.teller
            .line(&format!("   {}", self.teller.paint(Paint::Yellow, title)))
            .await?;
        let mut happened = Vec::new();
        let worked = work(agents, ticket, &mut |what| happened.push(what)).await;
        for one in happened {
            self.teller.happened(&one).await?;
            self.done.push((at, one));
        }
        worked.map_err(failed)?;
        self.grown().await
    }

    /// Tells how far the decision graph has grown.
    async fn grown(&self) -> Result<(), Failure> {
        let runs = self.remote.runs(Page::first(RUNS_MAX)).await?.runs;
        let decisions: u64 = runs.iter().map(|run| run.decisions).sum();
        let text = format!(
            "the graph: {decisions} decisions in {} conversations",
            runs.len()
        );
        let text = self.teller.paint(Paint::Dim, text);
        self.teller.line(&format!("   {text}")).await
    }

    /// Somebody finds the wrong decision: what intake said about the second ticket.
    async fn found(&mut self) -> Result<(), Failure> {
        self.teller
            .chapter("Somebody finds the wrong decision")
            .await?;
        let said = self.done.iter().find(|(at, happened)| {
            *at == WRONG && happened.agent == "intake" && matches!(happened.what, What::Said(_))
        });
        let wrong = said.and_then(|(_, happened)| happened.decision.clone());
        self.check(wrong.is_some(), "each decision has an id in the record")
            .await?;
        self.view.wrong = wrong.unwrap_or_default();
        let text = "The customer meant the desk lamp, #W1001. Intake read order #W1002, an espresso \
                    machine, and asked to have it cancelled.";
        self.teller.line(&format!("   {text}")).await?;
        let decision = self.remote.decision(&self.view.wrong).await?;
        if let Some(decision) = decision {
            let line = crate::render::label(self.teller.out(), &decision.node);
            self.teller.line(&format!("   {line}")).await?;
        }
        Ok(())
    }

    /// What followed from it, across the agents.
    async fn followed(&mut self) -> Result<(), Failure> {
        self.teller.chapter("What followed from it").await?;
        let blast = self.remote.blast(&self.view.wrong, LIMIT).await?;
        let text = blast_text(self.teller.out(), &blast);
        self.teller.block(&text).await?;
        let mut followed: Vec<(String, String)> = blast
            .certain
            .iter()
            .filter(|reached| reached.node.kind == "tool-call")
            .map(|reached| {
                let name = reached.node.name.clone().unwrap_or_default();
                (reached.node.agent.clone(), name)
            })
            .collect();
        followed.sort();
        let wrong = self.written(true);
        let all_followed = wrong.iter().all(|call| followed.contains(call)) && !wrong.is_empty();
        let followed = format!(
            "all {} calls that two other agents made on its word are found",
            wrong.len()
        );
        self.view.followed.certain = blast.certain.len();
        self.view.followed.possible = blast.possible.len();
        self.view.followed.agents = blast.agents;
        self.check(all_followed, &followed).await
    }

    /// The calls that changed something: those of the wrong ticket, or the others.
    fn written(&self, wrong: bool) -> Vec<(String, String)> {
        let done = self.done.iter();
        let done = done.filter(|(at, _)| (*at == WRONG) == wrong);
        done.filter_map(|(_, happened)| written(happened)).collect()
    }

    /// The plan, the rollback, and the database before and after.
    async fn undone(&mut self) -> Result<(), Failure> {
        let before = self.differing(&[0, 2])?;
        self.view.rollback.wrong_before = before;
        self.teller
            .chapter("A plan, approved by its digest, and the rollback")
            .await?;
        let undone = undo::roll_back(&self.remote, &self.view.wrong, &mut self.teller).await?;
        self.view.rollback.digest = undone.digest;
        self.view.rollback.steps = undone.steps;
        self.view.rollback.stands = undone.stands;
        let (wrong, right) = (self.written(true).len(), self.written(false).len());
        let spared = format!("the {right} calls that were right all the same stay");
        self.check(undone.back <= wrong, &spared).await?;
        self.check(undone.whole, "every step of the plan came to its end")
            .await?;
        self.teller.chapter("The database").await?;
        let after = self.differing(&[0, 2])?;
        let names = |records: &[String]| match records {
            [] => "nothing".to_owned(),
            records => records.join(", "),
        };
        let (before, now) = (names(&self.view.rollback.wrong_before), names(&after));
        self.teller
            .line(&format!(
                "   not as it should be, before: {}",
                clean(&before)
            ))
            .await?;
        self.teller
            .line(&format!("   not as it should be, after:  {}", clean(&now)))
            .await?;
        let held = after.is_empty() && !self.view.rollback.wrong_before.is_empty();
        self.view.rollback.wrong_after = after;
        self.check(
            held,
            "the records are as if only the right calls had been made",
        )
        .await?;
        let stands = self.standing(&[0, 2])?;
        self.check(
            stands.len() == 1 && !self.view.rollback.stands.is_empty(),
            "what the customer has read stands, and the plan said so",
        )
        .await
    }

    /// The model was sent what is true, though the agent still sent what was rescinded.
    async fn repaired(&mut self) -> Result<(), Failure> {
        let again = TICKETS[AGAIN].text;
        let heard = (self.heard)();
        let request = heard.iter().find(|heard| {
            heard.agent == "intake"
                && heard
                    .messages
                    .last()
                    .is_some_and(|last| last["content"] == again)
        });
        let sent = self.done.iter().find_map(|(at, one)| match &one.what {
            What::Said(text) if *at == WRONG && one.agent == "intake" => Some(text.clone()),
            _ => None,
        });
        let sent = sent.unwrap_or_default();
        // The answer of the first letter stands just before the second.
        let received = request.and_then(|heard| {
            let at = heard.messages.len().checked_sub(2)?;
            Some(
                heard.messages[at]["content"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            )
        });
        let received = received.unwrap_or_default();
        let gone = request.is_some()
            && !request.is_some_and(|heard| {
                heard
                    .messages
                    .iter()
                    .any(|m| m["content"].as_str() == Some(sent.as_str()))
            });
        let lines = [
            format!("   intake still sent: “{}”", clean(&sent)),
            format!("   the model received: “{}”", clean(&received)),
        ];
        for line in lines {
            self.teller.line(&line).await?;
        }
        self.view.repair.agent = "intake".to_owned();
        self.view.repair.sent = sent;
        self.view.repair.received = received;
        self.check(
            gone,
            "what was rescinded is gone from what the model is sent",
        )
        .await?;
        let differs = self.differing(&[0, 2, AGAIN])?;
        let acted = self
            .done
            .iter()
            .filter(|(at, one)| *at == AGAIN && written(one).is_some())
            .count();
        self.check(
            differs.is_empty() && acted > 0,
            "this time the right order is cancelled, and nothing else",
        )
        .await
    }

    async fn verified(&mut self) -> Result<(), Failure> {
        self.teller.chapter("The log").await?;
        let verified = self.published().await?;
        let what = format!("all {} entries verify", verified.checked.entries);
        self.check(verified.intact, &what).await
    }

    /// Verifies the log once it is published up to here.
    async fn published(&self) -> Result<VerifiedView, Failure> {
        let mut before = 0;
        for _ in 0..PUBLISHED_TRIES {
            let verified = self.remote.verify(true).await?;
            let entries = verified.checked.entries;
            if !verified.intact || entries > 0 && entries == before {
                return Ok(verified);
            }
            before = entries;
            tokio::time::sleep(PUBLISHED_PAUSE).await;
        }
        self.remote.verify(true).await
    }

    /// Returns the records that are not as they would be, had only the right calls been made:
    /// those of these tickets, on a second database.
    fn differing(&self, tickets: &[usize]) -> Result<Vec<String>, Failure> {
        let is = desk_of(&self.database)?.state().map_err(of_desk)?;
        let should = self.expected(tickets)?;
        let mut places = BTreeSet::new();
        for (one, other) in [(&is, &should), (&should, &is)] {
            for (table, records) in one.iter().filter(|(table, _)| *table != SENT) {
                for (id, record) in records {
                    let there = other.get(table).and_then(|records| records.get(id));
                    if !there.is_some_and(|there| same(there, record)) {
                        places.insert(format!("{table}/{id}"));
                    }
                }
            }
        }
        Ok(places.into_iter().collect())
    }

    /// Returns what was sent to customers and would not have been.
    fn standing(&self, tickets: &[usize]) -> Result<Vec<String>, Failure> {
        let is = desk_of(&self.database)?.state().map_err(of_desk)?;
        let should = self.expected(tickets)?;
        let texts = |state: &State| -> Vec<String> {
            let sent = state.get(SENT).into_iter().flat_map(BTreeMap::values);
            sent.map(|message| message["text"].to_string()).collect()
        };
        let right = texts(&should);
        Ok(texts(&is)
            .into_iter()
            .filter(|text| !right.contains(text))
            .collect())
    }

    fn expected(&self, tickets: &[usize]) -> Result<State, Failure> {
        let mut desk = Desk::in_memory().map_err(of_desk)?;
        desk.seed().map_err(of_desk)?;
        for (at, one) in &self.done {
            let What::Called {
                tool, arguments, ..
            } = &one.what
            else {
                continue;
            };
            let Some(arguments) = arguments.as_object().filter(|_| tickets.contains(at)) else {
                continue;
            };
            desk.call(tool, arguments, false)
                .map_err(|said| Failure::new(format!("a second desk refused `{tool}`: {said}")))?;
        }
        desk.state().map_err(of_desk)
    }

    async fn check(&mut self, held: bool, what: &str) -> Result<(), Failure> {
        self.view.checks.push(CheckView {
            what: what.to_owned(),
            held,
        });
        self.teller.check(held, what).await
    }
}

/// Who called what, if it was a call that changes something.
fn written(happened: &Happened) -> Option<(String, String)> {
    let What::Called { tool, .. } = &happened.what else {
        return None;
    };
    let reads = ["get_", "find_", "list_"];
    let writes = !reads.iter().any(|prefix| tool.starts_with(prefix));
    writes.then(|| (happened.agent.to_owned(), tool.clone()))
}

/// Whether two values are the same as JSON has it: 120 and 120.0 are one number.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, one)| other.get(name).is_some_and(|other| same(one, other)))
        }
        _ => one == other,
    }
}

fn failed(error: service_desk::story::StoryError) -> Failure {
    Failure::new(engine::chain(&error))
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|&word| word.to_owned()).collect()
}
