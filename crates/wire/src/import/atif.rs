//! `atif`: the Agent Trajectory Interchange Format, as Terminal-Bench writes it (ATIF v1.x of
//! the Harbor framework: `steps[].tool_calls[]`, `steps[].observation.results[]`).
//!
//! A file is a trajectory, or an object that holds one as `trajectory`, or JSON Lines of either.
//! A step of a user or the system is a message; a step of the agent is an inference, and one
//! tool call more for each of its calls. Results find their calls by `source_call_id`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::{CauseKind, Evidence, FailureClass, Kind, Outcome};

use super::documents::Part;
use super::error::ImportError;
use super::format::Format;
use super::json::{Input, Object, write_object};
use super::openai_message::{content, json_text};
use super::run::{Gaps, Link, Position, Run, Step, Text};
use super::spread::Spread;

const FORMAT: Format = Format::Atif;

/// Reads every run.
pub(crate) fn read<'a>(
    input: &Input<'a>,
    parts: Vec<Part<'a>>,
    spread: Spread<'_>,
) -> Result<Vec<Run<'a>>, ImportError> {
    let runs = spread.map(parts, |part| run(input, &part));
    runs.into_iter().collect()
}

fn run<'a>(input: &Input<'a>, part: &Part<'a>) -> Result<Run<'a>, ImportError> {
    let position = &part.position;
    let unexpected = || input.unexpected(FORMAT, part.raw, position, FORMAT.shape());
    if !part.raw.starts_with('{') {
        return Err(unexpected());
    }
    let outer = input.object(part.raw, position)?;
    let (trajectory, below, wrapper) = match outer.get("trajectory") {
        Some(raw) if raw.starts_with('{') => {
            let below = position.then("trajectory");
            (input.object(raw, &below)?, below, Some(&outer))
        }
        _ => (outer.clone(), position.clone(), None),
    };
    let list = trajectory.get("steps").filter(|list| list.starts_with('['));
    let list = list.ok_or_else(unexpected)?;
    let mut builder = Builder::new(input, &trajectory, &below)?;
    let below = below.then("steps");
    for (index, raw) in input.array(list, &below)?.into_iter().enumerate() {
        builder.step(raw, below.at(index))?;
    }
    let mut run = builder.finish();
    if run.steps.is_empty() {
        return Err(ImportError::Empty {
            what: format!("no steps in {position}"),
        });
    }
    run.position = position.to_string();
    run.external = trajectory.scalar("session_id").map(Cow::into_owned);
    let left = trajectory.without(&["steps"]);
    run.rest = match wrapper {
        None => left,
        Some(wrapper) => {
            run.title = wrapper.scalar("task").map(Cow::into_owned);
            let mut pairs: Vec<(&str, &str)> = wrapper.pairs().collect();
            let left = left.as_deref().unwrap_or("{}");
            for (key, value) in &mut pairs {
                if *key == "trajectory" {
                    *value = left;
                }
            }
            Some(write_object(&pairs))
        }
    }
    .map(Cow::Owned);
    Ok(run)
}

#[derive(Debug)]
struct Builder<'a, 'i> {
    input: &'i Input<'a>,
    agent: Option<Cow<'a, str>>,
    version: Option<Cow<'a, str>>,
    model: Option<Cow<'a, str>>,
    environment: BTreeMap<String, String>,
    steps: Vec<Step<'a>>,
    waiting: BTreeSet<usize>,
    ids: HashMap<Cow<'a, str>, usize>,
}

impl<'a, 'i> Builder<'a, 'i> {
    fn new(
        input: &'i Input<'a>,
        trajectory: &Object<'a>,
        position: &Position,
    ) -> Result<Self, ImportError> {
        let mut environment = BTreeMap::new();
        let mut note = |name: &str, value: &Option<Cow<'a, str>>| {
            if let Some(value) = value {
                environment.insert(name.to_owned(), value.clone().into_owned());
            }
        };
        let agent = match trajectory.get("agent") {
            Some(raw) if raw.starts_with('{') => input.object(raw, &position.then("agent"))?,
            _ => Object::default(),
        };
        let (version, model) = (agent.scalar("version"), agent.filled("model_name"));
        note("agent.version", &version);
        note("model.name", &model);
        note("schema.version", &trajectory.scalar("schema_version"));
        note(
            "tools.definitions",
            &agent.get("tool_definitions").map(Cow::Borrowed),
        );
        Ok(Self {
            input,
            agent: agent.filled("name"),
            version,
            model,
            environment,
            steps: Vec::new(),
            waiting: BTreeSet::new(),
            ids: HashMap::new(),
        })
    }

    fn finish(mut self) -> Run<'a> {
        for step in self.waiting {
            self.steps[step].orphan_call();
        }
        Run {
            external: None,
            title: None,
            position: String::new(),
            started: self.steps.first().and_then(|step| step.started),
            environment: self.environment,
            rest: None,
            steps: self.steps,
        }
    }

    /// One step of the source: a message, or an inference with its calls and their results.
    fn step(&mut self, raw: &'a str, position: Position) -> Result<(), ImportError> {
        let input = self.input;
        let unexpected = |expected| input.unexpected(FORMAT, raw, &position, expected);
        if !raw.starts_with('{') {
            return Err(unexpected("a step"));
        }
        let fields = input.item(raw, &position)?;
        let source = fields.filled("source");
        let source = source.ok_or_else(|| unexpected("a step with `source`"))?;
        let started = fields.time("timestamp").map(|(time, _)| time);
        let mut step = match &*source {
            "agent" => {
                let agent = self.agent.clone().unwrap_or(Cow::Borrowed("agent"));
                let mut step = Step::new(position.clone(), Kind::Inference, agent, raw);
                if self.agent.is_none() {
                    step.gaps.partly(Gaps::AGENT);
                }
                step.agent_version.clone_from(&self.version);
                if let Some(model) = fields.filled("model_name").or_else(|| self.model.clone()) {
                    step.name = Some(model);
                    step.gaps.partly(Gaps::ENVIRONMENT);
                }
                step
            }
            _ => Step::new(position.clone(), Kind::Message, source.clone(), raw),
        };
        let said = fields.get("message").and_then(content);
        let silent = |said: &Text<'a>| said.text.is_empty() && fields.get("tool_calls").is_some();
        step.chosen = said
            .filter(|said| !silent(said))
            .or_else(|| fields.get("tool_calls").map(Text::json));
        if step.chosen.is_none() {
            step.gaps.unknowable(Gaps::CHOSEN);
        }
        step.reasoned(fields.get("reasoning_content").and_then(content));
        step.timed(started, None);
        let asker = self.steps.len();
        self.steps.push(step);
        self.calls(&fields, asker, &position)?;
        self.results(&fields, asker, &position)
    }

    fn calls(
        &mut self,
        fields: &Object<'a>,
        asker: usize,
        position: &Position,
    ) -> Result<(), ImportError> {
        let position = position.then("tool_calls");
        for (index, raw) in self
            .list(fields, "tool_calls", &position)?
            .into_iter()
            .enumerate()
        {
            let position = position.at(index);
            let call = self.input.object(raw, &position)?;
            let by = &self.steps[asker];
            let mut step = Step::new(position, Kind::ToolCall, by.agent.clone(), raw);
            step.agent_version.clone_from(&by.agent_version);
            if by.gaps.is_partly(Gaps::AGENT) {
                step.gaps.partly(Gaps::AGENT);
            }
            if by.gaps.is_partly(Gaps::ENVIRONMENT) {
                step.gaps.partly(Gaps::ENVIRONMENT);
            }
            step.timed(by.started, None);
            match call.filled("function_name") {
                Some(name) => step.name = Some(name),
                None => step.gaps.partly(Gaps::EFFECTS | Gaps::ASKED),
            }
            step.asked = call.get("arguments").map(json_text);
            if step.asked.is_none() {
                step.gaps.unknowable(Gaps::ASKED);
            }
            step.call_id = call.filled("tool_call_id");
            step.links.push(Link {
                step: asker,
                kind: CauseKind::Call,
                evidence: match &step.call_id {
                    Some(_) => Evidence::CallId,
                    None => Evidence::Explicit {
                        by: "tool_calls".to_owned(),
                    },
                },
            });
            if let Some(id) = &step.call_id
                && let Some(first) = self.ids.insert(id.clone(), self.steps.len())
            {
                if self.waiting.contains(&first) {
                    return Err(ImportError::Duplicate {
                        at: self.input.place(raw, &step.position),
                        what: "call id",
                        id: id.chars().take(80).collect(),
                        first: self.steps[first].position.to_string(),
                    });
                }
                step.marks.reused_call_id = true;
            }
            self.waiting.insert(self.steps.len());
            self.steps.push(step);
        }
        Ok(())
    }

    fn results(
        &mut self,
        fields: &Object<'a>,
        asker: usize,
        position: &Position,
    ) -> Result<(), ImportError> {
        let Some(observation) = fields.get("observation").filter(|raw| raw.starts_with('{')) else {
            return Ok(());
        };
        let position = position.then("observation");
        let observation = self.input.object(observation, &position)?;
        let position = position.then("results");
        let results = self.list(&observation, "results", &position)?;
        let failed = self.failed(fields)?;
        for (index, raw) in results.into_iter().enumerate() {
            let position = position.at(index);
            let result = self.input.object(raw, &position)?;
            let id = result.filled("source_call_id");
            let found = match &id {
                Some(id) => self.ids.get(id).copied(),
                // Without an id it belongs to the step's own first call that still waits.
                None => self.waiting.range(asker..).next().copied(),
            };
            let known = found.filter(|step| self.waiting.remove(step));
            let at = known.unwrap_or(self.steps.len());
            if known.is_none() {
                let by = self.steps[asker].agent.clone();
                let mut step = Step::new(position, Kind::ToolCall, by, raw);
                step.gaps.partly(Gaps::AGENT);
                step.orphan_result();
                step.call_id.clone_from(&id);
                step.timed(self.steps[asker].started, None);
                self.steps.push(step);
            }
            let step = &mut self.steps[at];
            step.result = result.get("content").and_then(content);
            let Some((which, failed)) = &failed else {
                continue;
            };
            // The mark belongs to the step: to the call that it names, or to its only one.
            if which.is_none() || which == &id {
                step.gaps.known(Gaps::OUTCOME);
                if *failed {
                    let class = FailureClass::Error;
                    step.outcome = Outcome::Failed { class };
                }
            }
        }
        Ok(())
    }

    /// Whether the step says that its call failed, and which call it means.
    #[expect(
        clippy::type_complexity,
        reason = "a call id that may be absent, and a mark"
    )]
    fn failed(
        &self,
        fields: &Object<'a>,
    ) -> Result<Option<(Option<Cow<'a, str>>, bool)>, ImportError> {
        let position = Position::default();
        let inner = |object: &Object<'a>, key: &str| match object.get(key) {
            Some(raw) if raw.starts_with('{') => self.input.object(raw, &position),
            _ => Ok(Object::default()),
        };
        let extra = inner(fields, "extra")?;
        let metadata = inner(&extra, "tool_result_metadata")?;
        let raw = inner(&metadata, "raw_tool_result")?;
        let marks = [
            extra.get("tool_result_is_error"),
            metadata.get("is_error"),
            raw.get("is_error"),
        ];
        let failed = match marks {
            marks if marks.contains(&Some("true")) => true,
            marks if marks.contains(&Some("false")) => false,
            _ => return Ok(None),
        };
        Ok(Some((raw.text("tool_use_id"), failed)))
    }

    fn list(
        &self,
        object: &Object<'a>,
        key: &str,
        position: &Position,
    ) -> Result<Vec<&'a str>, ImportError> {
        let Some(raw) = object.get(key) else {
            return Ok(Vec::new());
        };
        if !raw.starts_with('[') {
            let expected = "an array of objects";
            return Err(self.input.unexpected(FORMAT, raw, position, expected));
        }
        let items = self.input.array(raw, position)?;
        match items.iter().position(|item| !item.starts_with('{')) {
            None => Ok(items),
            Some(at) => {
                let position = position.at(at);
                Err(self
                    .input
                    .unexpected(FORMAT, items[at], &position, "an object"))
            }
        }
    }
}
