//! The formats, their names, and what gives each away.

use std::fmt;
use std::str::FromStr;

use super::error::list;
use super::json::{self, Object};

/// A format of recorded runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Messages of the OpenAI chat API: an array, an object with `messages`, or JSON Lines of
    /// either.
    OpenaiChat,
    /// Agent Trajectory Interchange Format, as Terminal-Bench writes it.
    Atif,
    /// OpenTelemetry traces as JSON, with GenAI or OpenInference attributes.
    OtlpJson,
    /// Who&When: several agents in one history.
    WhoAndWhen,
    /// Trace exports of Langfuse.
    Langfuse,
}

/// A name that is no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a format: did you mean `{nearest}`? There are {}", list(&Format::ALL))]
pub struct UnknownFormat {
    /// What was read.
    pub name: String,
    /// The format with the most similar name.
    pub nearest: Format,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 5] = [
        Self::OpenaiChat,
        Self::Atif,
        Self::OtlpJson,
        Self::WhoAndWhen,
        Self::Langfuse,
    ];

    /// Returns the name by which a person chooses it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai-chat",
            Self::Atif => "atif",
            Self::OtlpJson => "otlp-json",
            Self::WhoAndWhen => "who-and-when",
            Self::Langfuse => "langfuse",
        }
    }
}

impl Format {
    /// What the decoder wants a file, or a line of it, to be.
    pub(crate) const fn shape(self) -> &'static str {
        match self {
            Self::OpenaiChat => "an array of messages, or an object with `messages`",
            Self::Atif => "a trajectory: an object with `steps`",
            Self::OtlpJson => "an object with `resourceSpans`, or with `spans`",
            Self::WhoAndWhen => "an object with `history`",
            Self::Langfuse => {
                "an object with `trace` and `observations`, or an array of observations"
            }
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        if let Some(format) = Self::ALL.into_iter().find(|format| format.name() == name) {
            return Ok(format);
        }
        let name: String = name.chars().take(80).collect();
        let nearest = Self::ALL
            .into_iter()
            .min_by_key(|format| distance(&name.to_lowercase(), format.name()))
            .expect("there are formats");
        Err(UnknownFormat { name, nearest })
    }
}

/// Levenshtein's distance between what was typed and the nearest beginning of a name, so that
/// `otlp` is nearest to `otlp-json`.
fn distance(typed: &str, name: &str) -> usize {
    let name: Vec<char> = name.chars().collect();
    let mut row: Vec<usize> = (0..=name.len()).collect();
    for (i, a) in typed.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in name.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.into_iter().min().unwrap_or(0)
}

/// Returns the format that a file looks like, from its first value.
#[must_use]
pub fn detect(bytes: &[u8]) -> Option<Format> {
    let input = json::Input::new(bytes).ok()?;
    let (_, first) = input.values().next()?.ok()?;
    of_value(first)
}

/// Returns the format that a value looks like.
pub(crate) fn of_value(raw: &str) -> Option<Format> {
    match raw.as_bytes().first()? {
        b'{' => of_object(&json::object(raw).ok()?),
        b'[' => {
            let first = *json::array(raw).ok()?.first()?;
            let object = json::object(first).ok()?;
            if is_observation(&object) {
                Some(Format::Langfuse)
            } else if is_message(&object) || object.get("messages").is_some_and(is_messages) {
                Some(Format::OpenaiChat)
            } else {
                None
            }
        }
        _ => None,
    }
}

fn of_object(object: &Object<'_>) -> Option<Format> {
    let first_of = |key: &str| {
        let items = json::array(object.get(key)?).ok()?;
        json::object(items.first()?).ok()
    };
    if object.get("resourceSpans").is_some()
        || first_of("spans").is_some_and(|span| span.get("span_id").is_some())
    {
        return Some(Format::OtlpJson);
    }
    if let Some(trajectory) = object.get("trajectory") {
        let inner = json::object(trajectory).ok()?;
        return inner.get("steps").map(|_| Format::Atif);
    }
    let version = object.text("schema_version").unwrap_or_default();
    if version.starts_with("ATIF")
        || first_of("steps").is_some_and(|step| step.get("step_id").is_some())
    {
        return Some(Format::Atif);
    }
    if object.get("trace").is_some() && object.get("observations").is_some() {
        return Some(Format::Langfuse);
    }
    if first_of("history").is_some_and(|item| is_message(&item)) {
        return Some(Format::WhoAndWhen);
    }
    if object.get("messages").is_some_and(is_messages)
        || object.get("choices").is_some()
        || is_message(object)
    {
        return Some(Format::OpenaiChat);
    }
    let request = json::object(object.get("request")?).ok()?;
    request
        .get("messages")
        .filter(|messages| is_messages(messages))
        .map(|_| Format::OpenaiChat)
}

fn is_message(object: &Object<'_>) -> bool {
    object.text("role").is_some()
        && (object.get("content").is_some() || object.get("tool_calls").is_some())
}

fn is_messages(raw: &str) -> bool {
    let items = json::array(raw).unwrap_or_default();
    let first = items.first().and_then(|first| json::object(first).ok());
    first.is_some_and(|message| is_message(&message))
}

fn is_observation(object: &Object<'_>) -> bool {
    object.get("id").is_some()
        && object.get("type").is_some()
        && (object.get("traceId").is_some() || object.get("parentObservationId").is_some())
}

/// Returns the pointer, within a value, of the first part that looks like a format: breadth
/// first, four levels deep, looking only at the first element of an array.
pub(crate) fn pointer_to(format: Format, raw: &str) -> Option<String> {
    let mut level = vec![(String::new(), raw)];
    for _ in 0..4 {
        let mut next = Vec::new();
        for (pointer, raw) in level {
            if !pointer.is_empty() && of_value(raw) == Some(format) {
                return Some(pointer);
            }
            if let Ok(object) = json::object(raw) {
                for (key, value) in object.pairs() {
                    let token = key.replace('~', "~0").replace('/', "~1");
                    next.push((format!("{pointer}/{token}"), value));
                }
            } else if let Some(first) = json::array(raw).ok().and_then(|i| i.first().copied()) {
                next.push((format!("{pointer}/0"), first));
            }
        }
        level = next;
    }
    None
}

/// Describes a value in a few words: its type, and the keys of an object.
pub(crate) fn describe(raw: &str) -> String {
    match raw.as_bytes().first() {
        Some(b'{') => match json::object(raw) {
            Ok(object) => with_keys("an object", &object),
            Err(_) => "an object".to_owned(),
        },
        Some(b'[') => match json::array(raw).as_deref() {
            Ok([]) => "an empty array".to_owned(),
            Ok([first, ..]) => match json::object(first) {
                Ok(object) => with_keys("an array of objects", &object),
                Err(_) => "an array".to_owned(),
            },
            Err(_) => "an array".to_owned(),
        },
        Some(b'"') => "a string".to_owned(),
        Some(b't' | b'f') => "a boolean".to_owned(),
        Some(b'n') => "null".to_owned(),
        _ => "a number".to_owned(),
    }
}

fn with_keys(what: &str, object: &Object<'_>) -> String {
    let keys: Vec<&str> = object.pairs().map(|(key, _)| key).take(8).collect();
    match keys.is_empty() {
        true => format!("{what} without keys"),
        false => format!("{what} with {}", list(&keys)),
    }
}
