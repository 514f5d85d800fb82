//! `otlp-json`: OpenTelemetry traces in the JSON mapping of OTLP, one export a file or a line.
//!
//! Every span is one step, every trace one run, wherever in the file its spans lie. Read too: a
//! flat relative that some exporters write, an object with `spans` whose attributes are plain
//! objects (`span_id`, `start_time_unix_ns`).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use model::Timestamp;

use super::Options;
use super::attributes::Attributes;
use super::documents::Part;
use super::error::ImportError;
use super::format::Format;
use super::json::{Input, Object, write_array, write_object};
use super::run::{Position, Run, Text};
use super::spans::{self, Span, Status, Words};
use super::spread::Spread;

const FORMAT: Format = Format::OtlpJson;
const WORDS: Words = Words {
    parent: "parent_span_id",
    id: "span id",
};

/// Reads every run: one for each trace. Exports are read at once, then put together in order, and
/// then traces become runs at once.
pub(crate) fn read<'a>(
    input: &Input<'a>,
    parts: Vec<Part<'a>>,
    options: &Options<'_>,
    spread: Spread<'_>,
) -> Result<Vec<Run<'a>>, ImportError> {
    let mut exports = Vec::with_capacity(parts.len());
    for part in parts {
        if part.raw.starts_with('[') {
            let elements = input.array(part.raw, &part.position)?;
            let elements = elements.into_iter().enumerate();
            exports.extend(elements.map(|(index, raw)| (raw, part.position.at(index))));
        } else {
            exports.push((part.raw, part.position));
        }
    }
    let read = spread.map(exports, |(raw, position)| {
        let mut export = Traces::default();
        export.export(input, raw, &position).map(|()| export)
    });
    let mut traces = Traces::default();
    for export in read {
        traces.join(export?);
    }
    traces.finish(input, options, spread)
}

/// Traces as spans come in: those of one export, or of all exports so far.
#[derive(Debug, Default)]
struct Traces<'a> {
    traces: Vec<Trace<'a>>,
    by_id: HashMap<Cow<'a, str>, usize>,
    /// Resources and scopes without spans, and whole exports without spans.
    loose: Vec<&'a str>,
    /// Spans so far.
    count: usize,
    /// What a flat export calls its run, and the title that it gives it.
    told: Told,
}

/// What an export says of the first trace that it brings.
#[derive(Debug, Default)]
struct Told {
    external: Option<String>,
    title: Option<String>,
}

#[derive(Debug)]
struct Trace<'a> {
    id: Cow<'a, str>,
    spans: Vec<Span<'a>>,
    exports: Vec<Export>,
    external: Option<String>,
    title: Option<String>,
    started: Option<Timestamp>,
    service: Option<Cow<'a, str>>,
    environment: BTreeMap<String, String>,
}

/// What an export has around the spans of one trace.
#[derive(Debug)]
struct Export {
    position: Position,
    /// What stands at the top, if this trace is the first of the export.
    top: Vec<(String, String)>,
    resources: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    position: Position,
    left: Vec<(String, String)>,
    /// Key under which the scopes stood, and what is left of each.
    scopes: (&'static str, Vec<(Position, String)>),
}

/// One export while its spans are handed out.
struct Around<'a> {
    position: Position,
    top: Vec<(String, String)>,
    resource: Option<(Position, Vec<(String, String)>)>,
    scope: Option<(&'static str, Position, String)>,
    service: Option<Cow<'a, str>>,
    environment: BTreeMap<String, String>,
}

impl<'a> Traces<'a> {
    fn export(
        &mut self,
        input: &Input<'a>,
        raw: &'a str,
        position: &Position,
    ) -> Result<(), ImportError> {
        let expected = FORMAT.shape();
        if !raw.starts_with('{') {
            return Err(input.unexpected(FORMAT, raw, position, expected));
        }
        let object = input.object(raw, position)?;
        let list = |key: &str| object.get(key).filter(|raw| raw.starts_with('['));
        let owned = |left: &Object<'a>, without: &str| -> Vec<(String, String)> {
            let left = left.pairs().filter(|(key, _)| *key != without);
            left.map(|(key, raw)| (key.to_owned(), raw.to_owned()))
                .collect()
        };
        let mut around = Around {
            position: position.clone(),
            top: Vec::new(),
            resource: None,
            scope: None,
            service: None,
            environment: BTreeMap::new(),
        };
        if let Some(flat) = list("spans") {
            around.top = owned(&object, "spans");
            self.told = Told {
                external: object.text("run_id").map(Cow::into_owned),
                title: object.text("task").map(Cow::into_owned),
            };
            return self.spans(input, flat, &position.then("spans"), &mut around);
        }
        let Some(resources) = list("resourceSpans") else {
            return Err(input.unexpected(FORMAT, raw, position, expected));
        };
        around.top = owned(&object, "resourceSpans");
        let (spans_before, loose_before) = (self.count, self.loose.len());
        let position = position.then("resourceSpans");
        for (index, raw) in input.array(resources, &position)?.into_iter().enumerate() {
            let position = position.at(index);
            let expected = "an object with `scopeSpans`";
            if !raw.starts_with('{') {
                return Err(input.unexpected(FORMAT, raw, &position, expected));
            }
            let resource = input.object(raw, &position)?;
            let keys = ["scopeSpans", "instrumentationLibrarySpans"];
            let found = keys.into_iter().find(|key| resource.get(key).is_some());
            let key = found.unwrap_or(keys[0]);
            let spans_above = self.count;
            let loose_above = self.loose.len();
            around.resource = Some((position.clone(), owned(&resource, key)));
            around.resource_attributes(input, &resource, &position)?;
            let Some(scopes) = resource.get(key) else {
                self.loose.push(raw);
                continue;
            };
            let position = position.then(key);
            if !scopes.starts_with('[') {
                return Err(input.unexpected(FORMAT, scopes, &position, "an array"));
            }
            let scopes = input.array(scopes, &position)?;
            for (index, raw) in scopes.into_iter().enumerate() {
                let position = position.at(index);
                if !raw.starts_with('{') {
                    let expected = "an object with `spans`";
                    return Err(input.unexpected(FORMAT, raw, &position, expected));
                }
                let scope = input.object(raw, &position)?;
                let left = write_object(&owned(&scope, "spans"));
                around.scope = Some((key, position.clone(), left));
                let before = self.count;
                if let Some(spans) = scope.get("spans") {
                    self.spans(input, spans, &position.then("spans"), &mut around)?;
                }
                if self.count == before {
                    self.loose.push(raw);
                }
            }
            if self.count == spans_above {
                self.loose.truncate(loose_above);
                self.loose.push(raw);
            }
        }
        if self.count == spans_before {
            self.loose.truncate(loose_before);
            self.loose.push(raw);
        }
        Ok(())
    }

    fn spans(
        &mut self,
        input: &Input<'a>,
        list: &'a str,
        position: &Position,
        around: &mut Around<'a>,
    ) -> Result<(), ImportError> {
        if !list.starts_with('[') {
            return Err(input.unexpected(FORMAT, list, position, "an array of spans"));
        }
        for (index, raw) in input.array(list, position)?.into_iter().enumerate() {
            let (trace, span) = span(input, raw, position.at(index))?;
            let at = *self.by_id.entry(trace.clone()).or_insert(self.traces.len());
            if at == self.traces.len() {
                self.traces.push(Trace {
                    id: trace,
                    spans: Vec::new(),
                    exports: Vec::new(),
                    external: None,
                    title: None,
                    started: None,
                    service: None,
                    environment: BTreeMap::new(),
                });
            }
            let trace = &mut self.traces[at];
            trace.spans.push(span);
            self.count += 1;
            trace.keep(around);
        }
        Ok(())
    }

    /// Takes in the next export.
    fn join(&mut self, export: Self) {
        let known = self.traces.len();
        for more in export.traces {
            let at = *self
                .by_id
                .entry(more.id.clone())
                .or_insert(self.traces.len());
            match self.traces.get_mut(at) {
                Some(trace) => trace.join(more),
                None => self.traces.push(more),
            }
        }
        if let Some(trace) = self.traces.get_mut(known) {
            trace.external = export.told.external;
            trace.title = export.told.title;
        }
        self.loose.extend(export.loose);
    }

    fn finish(
        mut self,
        input: &Input<'a>,
        options: &Options<'_>,
        spread: Spread<'_>,
    ) -> Result<Vec<Run<'a>>, ImportError> {
        if self.traces.is_empty() {
            return Err(ImportError::Empty {
                what: "no spans".to_owned(),
            });
        }
        if !self.loose.is_empty() {
            let kept = ("withoutSpans".to_owned(), write_array(&self.loose));
            self.traces[0].exports[0].top.push(kept);
        }
        let several = self.traces.len() > 1;
        let runs = spread.map(self.traces, |trace| trace.run(input, several, options));
        runs.into_iter().collect()
    }
}

impl<'a> Around<'a> {
    fn resource_attributes(
        &mut self,
        input: &Input<'a>,
        resource: &Object<'a>,
        position: &Position,
    ) -> Result<(), ImportError> {
        self.environment.clear();
        self.service = None;
        let Some(raw) = resource.get("resource").filter(|raw| raw.starts_with('{')) else {
            return Ok(());
        };
        let position = position.then("resource");
        let object = input.object(raw, &position)?;
        let attributes = Attributes::read(input, object.get("attributes"), &position)?;
        for (key, value) in attributes.pairs() {
            let value = value.shown().to_owned();
            self.environment.insert(format!("resource.{key}"), value);
        }
        let service = attributes.text(&["service.name"]);
        self.service = service.filter(|name| !name.starts_with("unknown_service"));
        Ok(())
    }
}

impl<'a> Trace<'a> {
    /// Takes in what a later export has of the same trace.
    fn join(&mut self, more: Self) {
        self.spans.extend(more.spans);
        self.exports.extend(more.exports);
        self.service = self.service.take().or(more.service);
        self.environment.extend(more.environment);
    }

    /// Becomes a run.
    fn run(
        mut self,
        input: &Input<'a>,
        several: bool,
        options: &Options<'_>,
    ) -> Result<Run<'a>, ImportError> {
        let mut position = self.exports[0].position.to_string();
        if several {
            position = format!("{position}, trace {}", self.id);
        }
        let agent = options.agent.map(|agent| Cow::Owned(agent.to_owned()));
        let agent = agent.or(self.service);
        let rest = rest(self.exports);
        let root = self.spans.iter().find(|span| span.parent.is_none());
        let root = root.map(|span| span.name.clone().into_owned());
        let steps = spans::steps(input, self.spans, None, agent, WORDS)?;
        if let Some(models) = spans::models(&steps) {
            self.environment.insert("model.name".to_owned(), models);
        }
        let title = self.title.or(root).filter(|title| !title.is_empty());
        let started = steps.iter().filter_map(|step| step.started).min();
        Ok(Run {
            external: self.external.or(Some(self.id.into_owned())),
            title,
            position,
            started: self.started.or(started),
            environment: self.environment,
            rest,
            steps,
        })
    }

    /// Takes note of what stands around a span, once.
    fn keep(&mut self, around: &mut Around<'a>) {
        if self.service.is_none() {
            self.service.clone_from(&around.service);
        }
        let same = |export: &&mut Export| export.position == around.position;
        let export = match self.exports.last_mut().filter(same) {
            Some(export) => export,
            None => {
                self.exports.push(Export {
                    position: around.position.clone(),
                    // What is not about any one trace is kept with the first.
                    top: std::mem::take(&mut around.top),
                    resources: Vec::new(),
                });
                self.exports.last_mut().expect("one was just added")
            }
        };
        let Some((position, left)) = &around.resource else {
            return;
        };
        let Some((key, scope, kept)) = &around.scope else {
            return;
        };
        if export
            .resources
            .last()
            .is_none_or(|group| group.position != *position)
        {
            for (name, value) in &around.environment {
                self.environment.insert(name.clone(), value.clone());
            }
            export.resources.push(Group {
                position: position.clone(),
                left: left.clone(),
                scopes: (key, Vec::new()),
            });
        }
        let group = export.resources.last_mut().expect("there is one by now");
        if group
            .scopes
            .1
            .last()
            .is_none_or(|(position, _)| position != scope)
        {
            group.scopes.1.push((scope.clone(), kept.clone()));
        }
    }
}

/// Everything around the spans of one trace, as JSON.
fn rest(exports: Vec<Export>) -> Option<Cow<'static, str>> {
    let several = exports.len() > 1;
    let mut all = Vec::new();
    for export in exports {
        let mut pairs = export.top;
        let mut groups = Vec::new();
        for group in export.resources {
            let mut pairs = group.left;
            let scopes: Vec<String> = group.scopes.1.into_iter().map(|(_, left)| left).collect();
            pairs.push((group.scopes.0.to_owned(), write_array(&scopes)));
            groups.push(write_object(&pairs));
        }
        if !groups.is_empty() {
            pairs.push(("resourceSpans".to_owned(), write_array(&groups)));
        }
        if pairs.is_empty() {
            continue;
        }
        if several {
            let line = export.position.line.unwrap_or(0).to_string();
            pairs.insert(0, ("line".to_owned(), line));
        }
        all.push(write_object(&pairs));
    }
    match (several, all.len()) {
        (_, 0) => None,
        (false, _) => all.pop().map(Cow::Owned),
        (true, _) => Some(Cow::Owned(write_array(&all))),
    }
}

/// Reads one span, and the trace it belongs to.
fn span<'a>(
    input: &Input<'a>,
    raw: &'a str,
    position: Position,
) -> Result<(Cow<'a, str>, Span<'a>), ImportError> {
    let unexpected = |expected| input.unexpected(FORMAT, raw, &position, expected);
    if !raw.starts_with('{') {
        return Err(unexpected("a span"));
    }
    let fields = input.item(raw, &position)?;
    let any = |keys: [&str; 2]| keys.iter().find_map(|key| fields.text(key));
    let filled = |id: &Cow<'a, str>| !id.is_empty() && id.bytes().any(|byte| byte != b'0');
    let id = any(["spanId", "span_id"]).filter(filled);
    let id = id.ok_or_else(|| unexpected("a span with `spanId`"))?;
    let trace = any(["traceId", "trace_id"]).unwrap_or_default();
    let nanos = |keys: [&str; 2]| {
        let text = keys.iter().find_map(|key| fields.scalar(key))?;
        text.parse::<i128>().ok().filter(|nanos| *nanos > 0)
    };
    let started = nanos(["startTimeUnixNano", "start_time_unix_ns"]);
    let ended = nanos(["endTimeUnixNano", "end_time_unix_ns"]);
    let micros = |nanos: i128| i64::try_from(nanos / 1_000).ok().map(Timestamp);
    let attributes = Attributes::read(input, fields.get("attributes"), &position)?;
    let events = events(input, fields.get("events"), &position)?;
    let status = status(
        input,
        &fields,
        &attributes,
        &events,
        ended.is_some(),
        &position,
    )?;
    let mut linked = Vec::new();
    if let Some(list) = fields.get("links").filter(|raw| raw.starts_with('[')) {
        for raw in input.array(list, &position)? {
            let link = match raw.starts_with('{') {
                true => input.object(raw, &position)?,
                false => continue,
            };
            let other = link.text("traceId").or_else(|| link.text("trace_id"));
            if other.is_none_or(|other| other == trace) {
                linked.extend(link.text("spanId").or_else(|| link.text("span_id")));
            }
        }
    }
    let from_events = |events: &[Attributes<'a>], keys: &[&str]| {
        events.iter().find_map(|event| event.content(keys))
    };
    let input_text: Option<Text<'a>> = from_events(&events, &["gen_ai.prompt"]);
    let output_text: Option<Text<'a>> = from_events(&events, &["gen_ai.completion"]);
    let target = ["target_agent", "gen_ai.handoff.to_agent", "to_agent"];
    let to = events.iter().find_map(|event| event.text(&target));
    let to = to.or_else(|| attributes.text(&target));
    let span = Span {
        id,
        parent: any(["parentSpanId", "parent_span_id"]).filter(filled),
        linked,
        name: fields.text("name").unwrap_or_default(),
        nanos: started.unwrap_or(0),
        started: started.and_then(micros),
        ended: ended.and_then(micros),
        role: None,
        status,
        input: input_text,
        output: output_text,
        model: None,
        to,
        attributes,
        raw,
        position,
    };
    Ok((trace, span))
}

/// The attributes of each event.
fn events<'a>(
    input: &Input<'a>,
    list: Option<&'a str>,
    position: &Position,
) -> Result<Vec<Attributes<'a>>, ImportError> {
    let position = position.then("events");
    let Some(list) = list.filter(|raw| raw.starts_with('[')) else {
        return Ok(Vec::new());
    };
    let mut events = Vec::new();
    for raw in input.array(list, &position)? {
        if raw.starts_with('{') {
            let event = input.object(raw, &position)?;
            events.push(Attributes::read(input, event.get("attributes"), &position)?);
        }
    }
    Ok(events)
}

fn status<'a>(
    input: &Input<'a>,
    fields: &Object<'a>,
    attributes: &Attributes<'a>,
    events: &[Attributes<'a>],
    ended: bool,
    position: &Position,
) -> Result<Status<'a>, ImportError> {
    let status = match fields.get("status") {
        Some(raw) if raw.starts_with('{') => input.object(raw, &position.then("status"))?,
        _ => Object::default(),
    };
    let code = status
        .scalar("code")
        .or_else(|| status.scalar("status_code"));
    Ok(match code.as_deref() {
        Some("2" | "STATUS_CODE_ERROR" | "ERROR") => {
            let class = attributes.text(&["error.type"]).or_else(|| {
                let mut types = events.iter();
                types.find_map(|event| event.text(&["exception.type"]))
            });
            let message = status
                .text("message")
                .or_else(|| status.text("description"));
            let message = message.or_else(|| attributes.text(&["error.message"]));
            Status::Error(message, class)
        }
        _ if !ended => Status::Open,
        Some("1" | "STATUS_CODE_OK" | "OK") => Status::Ok,
        _ => Status::Unset,
    })
}
