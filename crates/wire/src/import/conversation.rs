//! A conversation under construction: messages come in, steps come out, results find their calls.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::{CauseKind, Evidence, FailureClass, Kind, Outcome};

use super::error::ImportError;
use super::json::{Input, Object};
use super::openai_message::{Call, Message};
use super::run::{Gaps, Link, Position, Run, Step, Text};

/// How many waiting calls are looked at for a result that has no call id.
const WAITING_MAX: usize = 256;

/// One run as it grows.
#[derive(Debug)]
pub(crate) struct Conversation<'a> {
    pub(crate) run: Run<'a>,
    /// Name of the assistant, if the person who imports has given one.
    agent: Option<String>,
    /// Calls that wait for their result.
    waiting: BTreeSet<usize>,
    /// The last call with each id.
    ids: HashMap<Cow<'a, str>, usize>,
}

impl<'a> Conversation<'a> {
    pub(crate) fn new(agent: Option<&str>) -> Self {
        Self {
            run: Run {
                external: None,
                title: None,
                position: String::new(),
                started: None,
                environment: BTreeMap::new(),
                rest: None,
                steps: Vec::new(),
            },
            agent: agent.filter(|agent| !agent.is_empty()).map(str::to_owned),
            waiting: BTreeSet::new(),
            ids: HashMap::new(),
        }
    }

    /// Takes in a message. `source` is the item that it stands in, mostly itself.
    pub(crate) fn push(
        &mut self,
        input: &Input<'a>,
        message: &Message<'a>,
        source: &'a str,
        position: Position,
        model: Option<&Cow<'a, str>>,
    ) -> Result<(), ImportError> {
        match &*message.role {
            "tool" | "function" => {
                self.result(message, source, position);
                Ok(())
            }
            "assistant" | "model" => {
                let step = self.inference(message, source, position, model);
                self.calls(input, message, step)
            }
            _ => {
                let step = self.words(message, source, position);
                self.calls(input, message, step)
            }
        }
    }

    /// Marks what is still waiting, and hands out the run.
    pub(crate) fn finish(mut self) -> Run<'a> {
        for step in self.waiting {
            self.run.steps[step].orphan_call();
        }
        self.run
    }

    fn inference(
        &mut self,
        message: &Message<'a>,
        source: &'a str,
        position: Position,
        model: Option<&Cow<'a, str>>,
    ) -> usize {
        let fields = &message.fields;
        let mut step = Step::new(position, Kind::Inference, "assistant", source);
        match (fields.filled("name"), &self.agent) {
            (Some(name), _) => step.agent = name,
            (None, Some(agent)) => step.agent = Cow::Owned(agent.clone()),
            (None, None) => step.gaps.partly(Gaps::AGENT),
        }
        if let Some(model) = fields.filled("model").or_else(|| model.cloned()) {
            step.name = Some(model);
            step.gaps.partly(Gaps::ENVIRONMENT);
        }
        let spoken = message.content();
        let (chosen, said) = match spoken.as_ref().is_some_and(|text| !text.text.is_empty()) {
            true => (spoken, "content"),
            false => instead(fields).unwrap_or((spoken, "content")),
        };
        step.chosen = chosen;
        if step.chosen.is_none() {
            step.gaps.unknowable(Gaps::CHOSEN);
        }
        let reasoning = fields.any(&["reasoning_content", "reasoning", "thinking"]);
        step.reasoned(reasoning.and_then(super::openai_message::content));
        step.unsaid = message.unsaid(source, &["role", said]);
        self.add(step, message)
    }

    fn words(&mut self, message: &Message<'a>, source: &'a str, position: Position) -> usize {
        let name = message.fields.filled("name");
        let said: &[&str] = match (&name, &*message.role) {
            (Some(_), _) => &["name"],
            // Another agent than the role says.
            (None, "developer" | "") => &[],
            (None, _) => &["role"],
        };
        let agent = name.unwrap_or_else(|| match &*message.role {
            "developer" => Cow::Borrowed("system"),
            _ if message.role.is_empty() => Cow::Borrowed("unknown"),
            _ => message.role.clone(),
        });
        let mut step = Step::new(position, Kind::Message, agent, source);
        step.chosen = message.content();
        if step.chosen.is_none() {
            step.gaps.unknowable(Gaps::CHOSEN);
        }
        step.unsaid = message.unsaid(source, said);
        self.add(step, message)
    }

    fn calls(
        &mut self,
        input: &Input<'a>,
        message: &Message<'a>,
        asker: usize,
    ) -> Result<(), ImportError> {
        for call in &message.calls {
            let mut step = self.call(call, asker);
            if let Some(id) = &call.id
                && let Some(first) = self.ids.insert(id.clone(), self.run.steps.len())
            {
                // Some models count their ids anew in each turn. That is harmless once the
                // earlier call is settled; before, a result could belong to either.
                if self.waiting.contains(&first) {
                    return Err(ImportError::Duplicate {
                        at: input.place(call.raw, &call.position),
                        what: "call id",
                        id: id.chars().take(80).collect(),
                        first: self.run.steps[first].position.to_string(),
                    });
                }
                step.marks.reused_call_id = true;
            }
            self.waiting.insert(self.run.steps.len());
            self.add(step, message);
        }
        Ok(())
    }

    fn call(&self, call: &Call<'a>, asker: usize) -> Step<'a> {
        let by = &self.run.steps[asker];
        let position = call.position.clone();
        let mut step = Step::new(position, Kind::ToolCall, by.agent.clone(), call.raw);
        if by.kind == Kind::Inference && by.gaps.is_partly(Gaps::AGENT) {
            step.gaps.partly(Gaps::AGENT);
        }
        if let Some(name) = call.name.clone().filter(|name| !name.is_empty()) {
            step.name = Some(name);
        } else {
            step.gaps.partly(Gaps::EFFECTS | Gaps::ASKED);
        }
        step.asked.clone_from(&call.arguments);
        if step.asked.is_none() {
            step.gaps.unknowable(Gaps::ASKED);
        }
        step.call_id.clone_from(&call.id);
        step.links.push(Link {
            step: asker,
            kind: CauseKind::Call,
            evidence: match call.id {
                Some(_) => Evidence::CallId,
                None => Evidence::Explicit {
                    by: "tool_calls".to_owned(),
                },
            },
        });
        step
    }

    /// Gives a result to its call: by id where there is one, else to the first waiting call of
    /// that name, else to the first one waiting; of very many, the last [`WAITING_MAX`] count.
    fn result(&mut self, message: &Message<'a>, source: &'a str, position: Position) {
        let id = message.answers();
        let name = message.fields.filled("name");
        let found = match &id {
            Some(id) => self.ids.get(id).copied(),
            None => {
                let mut late = self.waiting.iter().rev().take(WAITING_MAX).copied();
                let fits = |step: &usize| name.is_none() || self.run.steps[*step].name == name;
                late.rfind(fits)
            }
        };
        let Some(step) = found.filter(|step| self.waiting.remove(step)) else {
            let mut step = Step::new(position, Kind::ToolCall, "tool", source);
            step.gaps.partly(Gaps::AGENT);
            step.name = name.or(step.name);
            step.call_id = id;
            answer(&mut step, message, source);
            step.orphan_result();
            self.add(step, message);
            return;
        };
        answer(&mut self.run.steps[step], message, source);
        // Id and name stand in the call, which the step that asked has kept.
        let step = &mut self.run.steps[step];
        let named = name.is_none() || step.name == name;
        if id.is_some() && named {
            let key = match message.fields.filled("tool_call_id") {
                Some(_) => "tool_call_id",
                None => "id",
            };
            step.unsaid = message.unsaid(source, &["role", key, "name"]);
        }
    }

    fn add(&mut self, mut step: Step<'a>, message: &Message<'a>) -> usize {
        if let Some(started) = time_of(message) {
            step.timed(Some(started), step.ended);
        }
        self.run.steps.push(step);
        self.run.steps.len() - 1
    }
}

/// What an assistant chose without a word, and the key that says it.
fn instead<'a>(fields: &Object<'a>) -> Option<(Option<Text<'a>>, &'static str)> {
    if let Some(refusal) = fields.text("refusal") {
        return Some((Some(Text::plain(refusal)), "refusal"));
    }
    let calls = ["tool_calls", "function_call"].into_iter();
    let (key, raw) = calls
        .filter_map(|key| Some((key, fields.get(key)?)))
        .next()?;
    Some((Some(Text::json(raw)), key))
}

/// Takes a result over into its call.
///
/// A source without a field for errors shows only that something came back: the outcome is then
/// *succeeded*, known in part, even if the text begins with "Error".
fn answer<'a>(step: &mut Step<'a>, message: &Message<'a>, source: &'a str) {
    step.result = message.content();
    step.source = Cow::Borrowed(source);
    match message.failed() {
        Some(true) => {
            step.outcome = Outcome::Failed {
                class: FailureClass::Error,
            };
            step.gaps.known(Gaps::OUTCOME);
        }
        Some(false) => step.gaps.known(Gaps::OUTCOME),
        None => step.gaps.partly(Gaps::OUTCOME),
    }
    if let Some(ended) = time_of(message) {
        step.timed(step.started, Some(ended));
    }
}

fn time_of(message: &Message<'_>) -> Option<model::Timestamp> {
    let fields = &message.fields;
    let time = fields
        .time("timestamp")
        .or_else(|| fields.time("created_at"));
    time.map(|(time, _)| time)
}
