//! `openai-chat`: messages of the OpenAI chat API.
//!
//! A file is an array of messages, an object with `messages` (a request, perhaps with the
//! `choices` of its response; a pair of `request` and `response`; a tau2 simulation), or JSON
//! Lines of any of these. A line is a run of its own, unless it resends the whole history of an
//! earlier line: then it continues that run, and only its new messages become steps. Lines that
//! are single messages make up one run together.
//!
//! A message from outside is one step. An assistant message is an inference, and one step more
//! for each tool call in it; a tool message is the result of its call, and no step of its own.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use model::Timestamp;

use super::Options;
use super::conversation::Conversation;
use super::documents::Part;
use super::error::ImportError;
use super::format::Format;
use super::json::{self, Input, Object, write_array, write_object};
use super::openai_message::Message;
use super::run::{Position, Run};
use super::spread::Spread;

const EXPECTED: &str = Format::OpenaiChat.shape();

/// Reads every run.
pub(crate) fn read<'a>(
    input: &Input<'a>,
    parts: Vec<Part<'a>>,
    options: &Options<'_>,
    spread: Spread<'_>,
) -> Result<Vec<Run<'a>>, ImportError> {
    let mut runs = Runs::new(options);
    if parts[0].raw.starts_with('{') && is_single_message(input, &parts[0])? {
        let mut envelope = Envelope::default();
        for part in parts {
            envelope.items.push(Item::plain(part.raw, part.position));
        }
        runs.take(
            input,
            Spoken::read(input, envelope, Position::default(), false)?,
        )?;
    } else {
        let several = parts.len() > 1;
        let read = spread.map(parts, |part| {
            let position = part.position.clone();
            let envelopes = envelopes(input, part, position)?.into_iter();
            let spoken = envelopes
                .map(|(envelope, position)| Spoken::read(input, envelope, position, several));
            spoken.collect::<Result<Vec<_>, _>>()
        });
        for part in read {
            for spoken in part? {
                runs.take(input, spoken)?;
            }
        }
    }
    // Which lines belong together is known: each run is on its own from here.
    let runs = spread.map(runs.runs, |growing| growing.finish(input));
    runs.into_iter().collect()
}

fn is_single_message(input: &Input<'_>, part: &Part<'_>) -> Result<bool, ImportError> {
    let object = input.object(part.raw, &part.position)?;
    Ok(object.text("role").is_some() && object.get("messages").is_none())
}

/// A message, and the item that it stands in.
#[derive(Debug)]
struct Item<'a> {
    message: &'a str,
    source: &'a str,
    position: Position,
}

impl<'a> Item<'a> {
    const fn plain(raw: &'a str, position: Position) -> Self {
        Self {
            message: raw,
            source: raw,
            position,
        }
    }
}

/// What one part of the file says: its messages and everything around them.
#[derive(Debug, Default)]
struct Envelope<'a> {
    items: Vec<Item<'a>>,
    external: Option<String>,
    title: Option<String>,
    started: Option<Timestamp>,
    model: Option<Cow<'a, str>>,
    environment: BTreeMap<String, String>,
    rest: Option<String>,
}

/// The envelopes of a part: one, or one for each element of an array of objects with `messages`.
fn envelopes<'a>(
    input: &Input<'a>,
    part: Part<'a>,
    position: Position,
) -> Result<Vec<(Envelope<'a>, Position)>, ImportError> {
    match part.raw.as_bytes().first() {
        Some(b'{') => {
            let object = input.object(part.raw, &position)?;
            Ok(vec![(
                of_object(input, part.raw, &object, &position)?,
                position,
            )])
        }
        Some(b'[') => {
            let elements = input.array(part.raw, &position)?;
            let first = elements.first().filter(|first| first.starts_with('{'));
            let holds = match first {
                Some(first) => input
                    .object(first, &position.at(0))?
                    .get("messages")
                    .is_some(),
                None => false,
            };
            if holds {
                let runs = elements.into_iter().enumerate().map(|(index, raw)| {
                    let position = position.at(index);
                    if !raw.starts_with('{') {
                        let expected = "an object with `messages`";
                        return Err(input.unexpected(Format::OpenaiChat, raw, &position, expected));
                    }
                    let object = input.object(raw, &position)?;
                    Ok((of_object(input, raw, &object, &position)?, position))
                });
                return runs.collect();
            }
            if let Some(first) = first {
                let object = input.object(first, &position.at(0))?;
                if object.text("role").is_none() {
                    return Err(input.unexpected(
                        Format::OpenaiChat,
                        part.raw,
                        &position,
                        EXPECTED,
                    ));
                }
            }
            let mut envelope = Envelope::default();
            if let Some((around, key)) = &part.around {
                envelope.describe(around);
                envelope.request(around);
                envelope.rest = around.without(&[key]);
            }
            envelope.messages(elements, &position);
            Ok(vec![(envelope, position)])
        }
        _ => Err(input.unexpected(Format::OpenaiChat, part.raw, &position, EXPECTED)),
    }
}

fn of_object<'a>(
    input: &Input<'a>,
    raw: &'a str,
    object: &Object<'a>,
    position: &Position,
) -> Result<Envelope<'a>, ImportError> {
    let mut envelope = Envelope::default();
    envelope.describe(object);
    let nested = |key: &str| match object.get(key) {
        Some(raw) if raw.starts_with('{') => input.object(raw, &position.then(key)).map(Some),
        _ => Ok(None),
    };
    let (request, response) = (nested("request")?, nested("response")?);
    let mut found = false;
    let mut kept = Vec::new();
    let places = [
        (Some(object), position.clone(), None),
        (request.as_ref(), position.then("request"), Some("request")),
        (
            response.as_ref(),
            position.then("response"),
            Some("response"),
        ),
    ];
    for (holder, position, key) in &places {
        let Some(holder) = holder else { continue };
        envelope.request(holder);
        let mut taken = vec![];
        if let Some(list) = holder.get("messages").filter(|_| *key != Some("response")) {
            let position = position.then("messages");
            if !list.starts_with('[') {
                let expected = "an array of messages";
                return Err(input.unexpected(Format::OpenaiChat, list, &position, expected));
            }
            envelope.messages(input.array(list, &position)?, &position);
            taken.push("messages");
            found = true;
        }
        if let Some(list) = holder.get("choices").filter(|list| list.starts_with('['))
            && envelope.choices(input, list, &position.then("choices"))?
        {
            taken.push("choices");
            found = true;
        }
        if key.is_none() {
            taken.extend(["request", "response"].iter().filter(|key| {
                (**key == "request" && request.is_some())
                    || (**key == "response" && response.is_some())
            }));
        }
        kept.push((*key, holder, taken));
    }
    if !found {
        return Err(input.unexpected(Format::OpenaiChat, raw, position, EXPECTED));
    }
    let mut rest: Vec<(String, String)> = Vec::new();
    for (key, holder, taken) in kept {
        let left = holder.pairs().filter(|(name, _)| !taken.contains(name));
        match key {
            None => rest.extend(left.map(|(name, raw)| (name.to_owned(), raw.to_owned()))),
            Some(key) => {
                let left: Vec<(&str, &str)> = left.collect();
                rest.push((key.to_owned(), write_object(&left)));
            }
        }
    }
    envelope.rest = (!rest.is_empty()).then(|| write_object(&rest));
    Ok(envelope)
}

impl<'a> Envelope<'a> {
    fn messages(&mut self, elements: Vec<&'a str>, position: &Position) {
        self.items.reserve(elements.len());
        for (index, raw) in elements.into_iter().enumerate() {
            self.items.push(Item::plain(raw, position.at(index)));
        }
    }

    /// Takes the messages of a response's choices; false if one of them has none.
    fn choices(
        &mut self,
        input: &Input<'a>,
        list: &'a str,
        position: &Position,
    ) -> Result<bool, ImportError> {
        let mut items = Vec::new();
        for (index, raw) in input.array(list, position)?.into_iter().enumerate() {
            let position = position.at(index);
            let choice = match raw.starts_with('{') {
                true => input.object(raw, &position)?,
                false => return Ok(false),
            };
            let Some(message) = choice.get("message") else {
                return Ok(false);
            };
            items.push(Item {
                message,
                source: raw,
                position,
            });
        }
        self.items.extend(items);
        Ok(true)
    }

    /// Takes names and times.
    fn describe(&mut self, object: &Object<'a>) {
        let external = ["id", "run_id", "session_id", "conversation_id", "custom_id"];
        let external = external.iter().find_map(|key| object.scalar(key));
        self.external = external.map(Cow::into_owned);
        let title = object.text("title").map(Cow::into_owned);
        self.title = title.or_else(|| {
            let task = object.scalar("task_id")?;
            Some(match object.scalar("trial") {
                Some(trial) => format!("task {task}, trial {trial}"),
                None => format!("task {task}"),
            })
        });
        let started = ["start_time", "started_at", "created_at", "timestamp"];
        self.started = started
            .iter()
            .find_map(|key| object.time(key))
            .map(|(time, _)| time)
            .or_else(|| {
                let seconds: i64 = object.get("created")?.parse().ok()?;
                seconds.checked_mul(1_000_000).map(Timestamp)
            });
    }

    /// Takes what a request or response says of the environment.
    fn request(&mut self, object: &Object<'a>) {
        if let Some(model) = object.filled("model") {
            self.environment
                .insert("model.name".to_owned(), model.clone().into_owned());
            self.model = Some(model);
        }
        for (key, name) in [
            ("max_completion_tokens", "limits.max_completion_tokens"),
            ("max_tokens", "limits.max_tokens"),
            ("reasoning_effort", "params.reasoning_effort"),
            ("seed", "params.seed"),
            ("system_fingerprint", "model.fingerprint"),
            ("temperature", "params.temperature"),
            ("tool_choice", "params.tool_choice"),
            ("top_p", "params.top_p"),
        ] {
            if let Some(value) = object.get(key) {
                let value = json::scalar(value).unwrap_or(Cow::Borrowed(value));
                self.environment.insert(name.to_owned(), value.into_owned());
            }
        }
        let tools = object.any(&["tools", "functions"]);
        for raw in tools
            .and_then(|raw| json::array(raw).ok())
            .into_iter()
            .flatten()
        {
            let Ok(tool) = json::object(raw) else {
                continue;
            };
            let inner = tool.get("function").and_then(|raw| json::object(raw).ok());
            if let Some(name) = inner.as_ref().unwrap_or(&tool).text("name") {
                self.environment
                    .insert(format!("tools.{name}.definition"), raw.to_owned());
            }
        }
    }
}

/// An envelope with its messages read.
#[derive(Debug)]
struct Spoken<'a> {
    envelope: Envelope<'a>,
    position: Position,
    messages: Vec<Message<'a>>,
    /// For each message a key of everything up to it, where other lines may go on with it.
    keys: Vec<u64>,
}

impl<'a> Spoken<'a> {
    fn read(
        input: &Input<'a>,
        envelope: Envelope<'a>,
        position: Position,
        several: bool,
    ) -> Result<Self, ImportError> {
        if envelope.items.is_empty() {
            return Err(ImportError::Empty {
                what: format!("no messages in {position}"),
            });
        }
        let mut messages = Vec::with_capacity(envelope.items.len());
        for item in &envelope.items {
            messages.push(Message::read(input, item.message, &item.position)?);
        }
        let keys = match several {
            true => keys(&messages),
            false => Vec::new(),
        };
        Ok(Self {
            envelope,
            position,
            messages,
            keys,
        })
    }
}

/// The runs of a file as its lines come in.
#[derive(Debug)]
struct Runs<'a, 'o> {
    agent: Option<&'o str>,
    runs: Vec<Growing<'a>>,
    /// Runs by the key of their whole history.
    ends: HashMap<u64, usize>,
}

#[derive(Debug)]
struct Growing<'a> {
    conversation: Conversation<'a>,
    /// Every message so far.
    history: Vec<&'a str>,
    /// Those of them that are not in the conversation yet, with where they come from.
    waiting: Vec<Waiting<'a>>,
    /// Key of the whole history.
    key: u64,
    /// The lines that it comes from, each with what it has beside new messages.
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Waiting<'a> {
    message: Message<'a>,
    source: &'a str,
    position: Position,
    model: Option<Cow<'a, str>>,
}

#[derive(Debug)]
struct Line {
    position: Position,
    rest: Option<String>,
    /// Messages sent again with other bytes.
    resent: Vec<String>,
}

impl<'a, 'o> Runs<'a, 'o> {
    fn new(options: &Options<'o>) -> Self {
        Self {
            agent: options.agent,
            runs: Vec::new(),
            ends: HashMap::new(),
        }
    }

    fn take(&mut self, input: &Input<'a>, spoken: Spoken<'a>) -> Result<(), ImportError> {
        let Spoken {
            envelope,
            position,
            messages,
            keys,
        } = spoken;
        let (run, known) = self
            .continued(input, &envelope.items, &messages, &keys)?
            .unwrap_or((self.runs.len(), 0));
        if run == self.runs.len() {
            self.runs.push(Growing {
                conversation: Conversation::new(self.agent),
                history: Vec::new(),
                waiting: Vec::new(),
                key: 0,
                lines: Vec::new(),
            });
        } else {
            self.ends.remove(&self.runs[run].key);
        }
        let growing = &mut self.runs[run];
        let resent = envelope.items[..known].iter().zip(&growing.history);
        let resent = resent
            .filter(|(item, before)| item.source != **before)
            .map(|(item, _)| item.source.to_owned());
        growing.lines.push(Line {
            position,
            resent: resent.collect(),
            rest: envelope.rest,
        });
        let target = &mut growing.conversation.run;
        target.external = target.external.take().or(envelope.external);
        target.title = target.title.take().or(envelope.title);
        target.started = target.started.take().or(envelope.started);
        target.environment.extend(envelope.environment);
        growing.history.reserve(envelope.items.len() - known);
        growing.waiting.reserve(envelope.items.len() - known);
        let new = envelope.items.into_iter().zip(messages).skip(known);
        for (item, message) in new {
            growing.history.push(item.message);
            growing.waiting.push(Waiting {
                message,
                source: item.source,
                position: item.position,
                model: envelope.model.clone(),
            });
        }
        if let Some(key) = keys.last() {
            growing.key = *key;
            self.ends.insert(*key, run);
        }
        Ok(())
    }

    /// The run whose whole history these messages begin with, and its length.
    fn continued(
        &self,
        input: &Input<'a>,
        items: &[Item<'a>],
        messages: &[Message<'a>],
        keys: &[u64],
    ) -> Result<Option<(usize, usize)>, ImportError> {
        for (index, key) in keys.iter().enumerate().rev().skip(1) {
            let Some(&run) = self.ends.get(key) else {
                continue;
            };
            let history = &self.runs[run].history;
            if history.len() != index + 1 {
                continue;
            }
            let mut same = true;
            for ((item, message), before) in items.iter().zip(messages).zip(history) {
                // Mostly the bytes are equal; a message that a client rebuilt is read again.
                same = item.message == *before
                    || message.equals(&Message::read(input, before, &item.position)?);
                if !same {
                    break;
                }
            }
            if same {
                return Ok(Some((run, history.len())));
            }
        }
        Ok(None)
    }
}

impl<'a> Growing<'a> {
    /// Takes the messages into the conversation, and hands out the run.
    fn finish(mut self, input: &Input<'a>) -> Result<Run<'a>, ImportError> {
        let conversation = &mut self.conversation;
        conversation.run.steps.reserve(self.waiting.len());
        for waiting in self.waiting {
            conversation.push(
                input,
                &waiting.message,
                waiting.source,
                waiting.position,
                waiting.model.as_ref(),
            )?;
        }
        let mut run = self.conversation.finish();
        run.position = positions(&self.lines);
        run.rest = rest(self.lines).map(Cow::Owned);
        Ok(run)
    }
}

/// For each message a key of everything up to it.
fn keys(messages: &[Message<'_>]) -> Vec<u64> {
    let mut so_far = 0_u64;
    let rolling = messages.iter().map(|message| {
        so_far = so_far.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ message.key();
        so_far
    });
    rolling.collect()
}

fn positions(lines: &[Line]) -> String {
    let first = lines.first().map(|line| line.position.to_string());
    let more: Vec<String> = lines[1..]
        .iter()
        .filter_map(|line| line.position.line)
        .map(|line| line.to_string())
        .collect();
    let first = first.unwrap_or_default();
    match more.len() {
        0 => first,
        1 => format!("{first}, continued on line {}", more[0]),
        _ => format!("{first}, continued on lines {}", more.join(", ")),
    }
}

fn rest(mut lines: Vec<Line>) -> Option<String> {
    if lines.len() == 1 {
        return lines.pop()?.rest;
    }
    let mut all = Vec::new();
    for line in lines {
        let mut pairs = Vec::new();
        if let Some(rest) = line.rest {
            pairs.push(("rest", rest));
        }
        if !line.resent.is_empty() {
            pairs.push(("resent", write_array(&line.resent)));
        }
        if !pairs.is_empty() {
            pairs.insert(0, ("line", line.position.line.unwrap_or(0).to_string()));
            all.push(write_object(&pairs));
        }
    }
    (!all.is_empty()).then(|| write_array(&all))
}
