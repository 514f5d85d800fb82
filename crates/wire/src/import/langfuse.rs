//! `langfuse`: trace exports of Langfuse, an object with `trace` and `observations`, or an array
//! of observations.
//!
//! The trace is the first step and every observation one more, below its parent or else below
//! the trace, so that the graph hangs together. What tracers have put into `metadata` says more
//! of an observation's kind than its `type`, and so goes first.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use model::{Kind, Timestamp};

use super::Options;
use super::attributes::Attributes;
use super::documents::Part;
use super::error::ImportError;
use super::format::Format;
use super::json::{self, Input, Object, write_array, write_object};
use super::run::{Gaps, Position, Run, Step};
use super::span_content::value;
use super::spans::{self, Role, Span, Status, Words};
use super::spread::Spread;

const FORMAT: Format = Format::Langfuse;
const WORDS: Words = Words {
    parent: "parentObservationId",
    id: "observation id",
};

/// Reads every run: one for each trace.
pub(crate) fn read<'a>(
    input: &Input<'a>,
    parts: Vec<Part<'a>>,
    options: &Options<'_>,
    spread: Spread<'_>,
) -> Result<Vec<Run<'a>>, ImportError> {
    let read = spread.map(parts, |part| match part.raw.as_bytes().first() {
        Some(b'[') => bare(input, &part, options),
        Some(b'{') => Ok(vec![whole(input, &part, options)?]),
        _ => Err(unexpected(input, &part)),
    });
    let mut runs = Vec::with_capacity(read.len());
    for read in read {
        runs.extend(read?);
    }
    Ok(runs)
}

fn unexpected(input: &Input<'_>, part: &Part<'_>) -> ImportError {
    input.unexpected(FORMAT, part.raw, &part.position, FORMAT.shape())
}

/// Reads an object with `trace` and `observations`.
fn whole<'a>(
    input: &Input<'a>,
    part: &Part<'a>,
    options: &Options<'_>,
) -> Result<Run<'a>, ImportError> {
    let position = &part.position;
    let outer = input.object(part.raw, position)?;
    let list = |object: &Object<'a>| {
        let list = object.get("observations");
        list.filter(|raw| raw.starts_with('['))
    };
    let (trace, at, raw) = match outer.get("trace") {
        Some(raw) if raw.starts_with('{') => {
            let at = position.then("trace");
            (input.object(raw, &at)?, at, raw)
        }
        // The API answers with the trace itself, its observations inside.
        _ if list(&outer).is_some() => (outer.clone(), position.clone(), part.raw),
        _ => return Err(unexpected(input, part)),
    };
    let wrapped = at != *position;
    if !wrapped && trace.get("id").is_none() {
        return Err(unexpected(input, part));
    }
    let mut spans = Vec::new();
    if wrapped && let Some(list) = list(&outer) {
        spans = observations(input, list, &position.then("observations"))?;
    }
    // The trace repeats its observations; one that is only there is a step all the same.
    let seen: HashSet<Cow<'a, str>> = spans.iter().map(|span| span.id.clone()).collect();
    let mut repeated = Vec::new();
    if let Some(list) = list(&trace) {
        for span in observations(input, list, &at.then("observations"))? {
            match seen.contains(&span.id) {
                true => repeated.push(span.raw),
                false => spans.push(span),
            }
        }
    }
    let mut rest: Vec<(&str, Cow<'_, str>)> = outer
        .pairs()
        .filter(|(key, _)| wrapped && *key != "trace" && *key != "observations")
        .map(|(key, raw)| (key, Cow::Borrowed(raw)))
        .collect();
    if !repeated.is_empty() {
        let list = write_array(&repeated);
        rest.push(("trace", Cow::Owned(write_object(&[("observations", list)]))));
    }
    let rest = (!rest.is_empty()).then(|| Cow::Owned(write_object(&rest)));
    let agent = agent(options, trace.filled("name"));
    let source = match trace.get("observations") {
        Some(_) => Cow::Owned(trace.without(&["observations"]).unwrap_or_default()),
        None => Cow::Borrowed(raw),
    };
    let first = root(&trace, at, agent.clone(), source);
    let started = first.started;
    let steps = spans::steps(input, spans, Some(first), agent, WORDS)?;
    Ok(Run {
        external: trace.scalar("id").map(Cow::into_owned),
        title: trace.filled("name").map(Cow::into_owned),
        position: position.to_string(),
        started,
        environment: environment(&trace, &steps),
        rest,
        steps,
    })
}

/// Reads an array of observations: a run for each `traceId` in it.
fn bare<'a>(
    input: &Input<'a>,
    part: &Part<'a>,
    options: &Options<'_>,
) -> Result<Vec<Run<'a>>, ImportError> {
    let elements = input.array(part.raw, &part.position)?;
    if let Some(first) = elements.first()
        && super::format::of_value(part.raw) != Some(FORMAT)
    {
        let looks = !first.starts_with('{') || json::object(first).is_ok();
        if looks {
            return Err(unexpected(input, part));
        }
    }
    let mut traces: Vec<(Cow<'a, str>, &'a str, Position, Vec<Span<'a>>)> = Vec::new();
    let mut by_id: HashMap<Cow<'a, str>, usize> = HashMap::new();
    for span in observations(input, part.raw, &part.position)? {
        let raw = input.object(span.raw, &span.position)?.get("traceId");
        let id = raw.and_then(json::string).unwrap_or_default();
        let at = *by_id.entry(id.clone()).or_insert(traces.len());
        if at == traces.len() {
            let position = match raw {
                Some(_) => span.position.then("traceId"),
                None => part.position.clone(),
            };
            traces.push((id, raw.unwrap_or("null"), position, Vec::new()));
        }
        traces[at].3.push(span);
    }
    if traces.is_empty() {
        return Err(ImportError::Empty {
            what: format!("no observations in {}", part.position),
        });
    }
    let several = traces.len() > 1;
    let run = |(id, raw, at, spans): (Cow<'a, str>, &'a str, Position, Vec<Span<'a>>)| {
        let position = match several {
            true => format!("{}, trace {id}", part.position),
            false => part.position.to_string(),
        };
        let agent = agent(options, None);
        // Of the trace only its id is there: that is all its step says.
        let first = root(&Object::default(), at, agent.clone(), Cow::Borrowed(raw));
        let started = spans.iter().filter_map(|span| span.started).min();
        let steps = spans::steps(input, spans, Some(first), agent, WORDS)?;
        Ok(Run {
            external: (!id.is_empty()).then(|| id.into_owned()),
            title: None,
            position,
            started,
            environment: environment(&Object::default(), &steps),
            rest: None,
            steps,
        })
    };
    traces.into_iter().map(run).collect()
}

fn agent<'a>(options: &Options<'_>, name: Option<Cow<'a, str>>) -> Option<Cow<'a, str>> {
    match options.agent.filter(|agent| !agent.is_empty()) {
        Some(agent) => Some(Cow::Owned(agent.to_owned())),
        None => name,
    }
}

fn environment(trace: &Object<'_>, steps: &[Step<'_>]) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    for (key, name) in [
        ("environment", "trace.environment"),
        ("release", "trace.release"),
        ("version", "trace.version"),
    ] {
        if let Some(value) = trace.scalar(key) {
            environment.insert(name.to_owned(), value.into_owned());
        }
    }
    if let Some(models) = spans::models(steps) {
        environment.insert("model.name".to_owned(), models);
    }
    environment
}

/// The step of the trace itself.
fn root<'a>(
    trace: &Object<'a>,
    position: Position,
    agent: Option<Cow<'a, str>>,
    source: Cow<'a, str>,
) -> Step<'a> {
    let by = agent.unwrap_or(Cow::Borrowed("unknown"));
    let mut step = Step::new(position, Kind::Step, by, source);
    step.gaps.partly(Gaps::AGENT);
    step.name = trace.filled("name").or(Some(Cow::Borrowed("trace")));
    step.asked = trace.get("input").and_then(value);
    step.result = trace.get("output").and_then(value);
    if step.asked.is_some() {
        step.gaps.known(Gaps::ASKED);
    }
    step.timed(trace.time("timestamp").map(|(time, _)| time), None);
    step
}

fn observations<'a>(
    input: &Input<'a>,
    list: &'a str,
    position: &Position,
) -> Result<Vec<Span<'a>>, ImportError> {
    let items = input.array(list, position)?.into_iter().enumerate();
    let spans = items.map(|(index, raw)| observation(input, raw, position.at(index)));
    spans.collect()
}

fn observation<'a>(
    input: &Input<'a>,
    raw: &'a str,
    position: Position,
) -> Result<Span<'a>, ImportError> {
    let expected = "an observation with `id`";
    if !raw.starts_with('{') {
        return Err(input.unexpected(FORMAT, raw, &position, expected));
    }
    let fields = input.item(raw, &position)?;
    let id = fields.filled("id");
    let id = id.ok_or_else(|| input.unexpected(FORMAT, raw, &position, expected))?;
    let time = |key: &str| fields.time(key).map(|(time, _)| time);
    let (started, ended) = (time("startTime"), time("endTime"));
    let attributes = match fields.get("metadata") {
        Some(raw) if raw.starts_with('"') => {
            Attributes::of_text(&json::string(raw).unwrap_or_default())
        }
        other => Attributes::read(input, other, &position)?,
    };
    let kind = fields.text("type").unwrap_or_default();
    let role = match &*kind {
        "GENERATION" | "EMBEDDING" => Some(Role::Model),
        "TOOL" => Some(Role::Tool),
        "AGENT" => Some(Role::Agent),
        "CHAIN" | "RETRIEVER" | "EVALUATOR" | "GUARDRAIL" | "EVENT" => Some(Role::Other),
        _ => None,
    };
    let status = match fields.text("level").as_deref() {
        Some("ERROR") => Status::Error(
            fields.text("statusMessage"),
            attributes.text(&["error.type", "exception.type"]),
        ),
        _ if ended.is_none() && kind != "EVENT" => Status::Open,
        _ => Status::Unset,
    };
    let micros = |time: Timestamp| i128::from(time.0) * 1_000;
    Ok(Span {
        id,
        parent: fields.filled("parentObservationId"),
        linked: Vec::new(),
        name: fields.text("name").unwrap_or_default(),
        nanos: started.map_or(0, micros),
        started,
        ended,
        role,
        status,
        input: fields.get("input").and_then(value),
        output: fields.get("output").and_then(value),
        model: fields.filled("model"),
        to: attributes.text(&["target_agent", "gen_ai.handoff.to_agent"]),
        attributes,
        raw,
        position,
    })
}
