//! What a request says, whichever wire it came on.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::fields::{Body, Fields, elements, join, string};
use super::{Api, Unreadable};

/// A request to a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Its wire.
    pub api: Api,
    /// The model asked.
    pub model: Option<Cow<'a, str>>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// The answer that this continues, where the provider keeps the history (responses).
    pub previous_response_id: Option<Cow<'a, str>>,
    /// The conversation that the provider keeps (responses).
    pub conversation: Option<Cow<'a, str>>,
    /// The history and what is new, in order.
    pub items: Vec<Item<'a>>,
    /// The tools offered.
    pub tools: Vec<ToolDef<'a>>,
    /// Scalar settings as JSON text, by name; those in objects by dotted name
    /// (`reasoning.effort`). Neither content nor who the user is.
    pub settings: BTreeMap<String, &'a str>,
    /// Images, files, sounds and documents, referenced or inline.
    pub attachments: usize,
    /// Parts and items of which nothing was taken: their type is unknown here, or what they say
    /// is kept by the provider.
    pub unread: usize,
}

/// One message of a history, or one result in it.
///
/// Where a wire spreads one turn of the model over several items (responses), or puts several
/// results into one message (messages), it is put together or taken apart: a turn of the model is
/// one item with its calls, and each result is an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Who speaks.
    pub role: Role,
    /// The text; several parts each on a line of its own. What the model thought is not in it.
    pub text: Cow<'a, str>,
    /// The calls that this turn of the model asked for.
    pub asked: Vec<Call<'a>>,
    /// The call that this is the result of.
    pub call_id: Option<Cow<'a, str>>,
    /// The name of the author of a message, or of the tool of a result, where the wire says it.
    pub name: Option<Cow<'a, str>>,
    /// Whether the result is an error, where the wire says it.
    pub error: Option<bool>,
}

/// Who speaks in an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Whoever built the agent: `system` and `developer`.
    System,
    /// Whoever the agent talks to. Roles that no wire knows count as this.
    User,
    /// The model.
    Assistant,
    /// A tool.
    Tool,
}

/// A call that a model asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// Its id, by which its result refers to it.
    pub id: Option<Cow<'a, str>>,
    /// The tool.
    pub name: Cow<'a, str>,
    /// The arguments as JSON text, as the model wrote them, so perhaps not valid; free text where
    /// the tool takes that.
    pub arguments: Cow<'a, str>,
    /// Whether the provider runs it, so that no result is to come from the client.
    pub hosted: bool,
}

/// A tool that a request offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolDef<'a> {
    /// Its name; of a tool that the provider runs, its label or its type.
    pub name: Cow<'a, str>,
    /// The definition, as it came.
    pub raw: &'a str,
}

impl Role {
    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }

    pub(super) fn read(name: &str) -> Self {
        match name {
            "system" | "developer" => Self::System,
            "assistant" => Self::Assistant,
            "tool" | "function" => Self::Tool,
            _ => Self::User,
        }
    }
}

impl<'a> Item<'a> {
    pub(super) const fn new(role: Role, text: Cow<'a, str>) -> Self {
        Self {
            role,
            text,
            asked: Vec::new(),
            call_id: None,
            name: None,
            error: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.asked.is_empty()
    }
}

/// Top-level fields that are no settings: content, names of people, and what has a field of its
/// own in [`Request`].
const NO_SETTINGS: &[&str] = &[
    "conversation",
    "input",
    "instructions",
    "messages",
    "metadata",
    "model",
    "prediction",
    "previous_response_id",
    "prompt_cache_key",
    "safety_identifier",
    "stream",
    "system",
    "tools",
    "functions",
    "user",
    "variables",
];

/// A setting longer than this is content, whatever its name.
const SETTING_BYTES_MAX: usize = 1024;

impl<'a> Request<'a> {
    /// What all wires have in common.
    pub(super) fn of(api: Api, fields: &Fields<'a>) -> Self {
        let mut settings = BTreeMap::new();
        collect(&mut settings, "", fields, 3);
        Self {
            api,
            model: fields.filled("model"),
            stream: fields.flag("stream") == Some(true),
            previous_response_id: None,
            conversation: None,
            items: Vec::new(),
            tools: tools(fields),
            settings,
            attachments: 0,
            unread: 0,
        }
    }

    /// Reads a content, which may be text, parts, or nothing.
    pub(super) fn content(&mut self, raw: Option<&'a str>) -> Cow<'a, str> {
        let Some(raw) = raw else {
            return Cow::Borrowed("");
        };
        match raw.as_bytes().first() {
            Some(b'"') => string(raw).unwrap_or_default(),
            Some(b'[') => {
                let mut text = Cow::Borrowed("");
                for part in elements(raw) {
                    let more = match part {
                        Ok(part) => self.part(&part),
                        Err(part) => string(part).unwrap_or_default(),
                    };
                    join(&mut text, more);
                }
                text
            }
            // A part without a list around it, as a screenshot comes.
            Some(b'{') => self.read_or_raw(raw, |request| match Fields::of(raw) {
                Some(part) if part.get("type").is_some() => request.part(&part),
                _ => {
                    request.unread += 1;
                    Cow::Borrowed("")
                }
            }),
            // No wire allows it; what the model saw is at best this.
            _ => Cow::Borrowed(raw),
        }
    }

    /// Reads what a tool said: text, or, where there is none that is known here (a search, a
    /// program that ran), what stands there.
    pub(super) fn result(&mut self, raw: Option<&'a str>) -> Cow<'a, str> {
        self.read_or_raw(raw.unwrap_or_default(), |request| request.content(raw))
    }

    /// Reads a value in a way, or takes it as it is if nothing of it could be read so.
    fn read_or_raw(
        &mut self,
        raw: &'a str,
        read: impl FnOnce(&mut Self) -> Cow<'a, str>,
    ) -> Cow<'a, str> {
        let unread = self.unread;
        let text = read(self);
        if text.is_empty() && self.unread > unread {
            self.unread = unread;
            return Cow::Borrowed(raw);
        }
        text
    }

    /// Reads a part of a content: its text, if it has one.
    pub(super) fn part(&mut self, part: &Fields<'a>) -> Cow<'a, str> {
        let kind = part.text("type").unwrap_or(Cow::Borrowed("text"));
        match &*kind {
            "text" | "input_text" | "output_text" => part.text("text").unwrap_or_default(),
            "refusal" => part.text("refusal").unwrap_or_default(),
            "document" => {
                self.attachments += 1;
                self.document(part)
            }
            // What a search found, and a summary that stands for the turns before it.
            "search_result" | "compaction" => self.content(part.get("content")),
            "image_url"
            | "input_image"
            | "image"
            | "input_audio"
            | "audio"
            | "file"
            | "input_file"
            | "video_url"
            | "input_video"
            | "computer_screenshot"
            | "container_upload" => {
                self.attachments += 1;
                Cow::Borrowed("")
            }
            "thinking" | "redacted_thinking" | "reasoning_text" | "summary_text" => {
                Cow::Borrowed("")
            }
            _ => {
                self.unread += 1;
                Cow::Borrowed("")
            }
        }
    }

    /// A document that is text in the request is text that the model reads.
    fn document(&mut self, part: &Fields<'a>) -> Cow<'a, str> {
        let source = part.object("source").unwrap_or_default();
        match source.text("type").as_deref() {
            Some("text") => source.text("data").unwrap_or_default(),
            Some("content") => self.content(source.get("content")),
            _ => Cow::Borrowed(""),
        }
    }
}

/// Collects scalars, those of objects under dotted names, `levels` deep.
fn collect<'a>(
    into: &mut BTreeMap<String, &'a str>,
    prefix: &str,
    fields: &Fields<'a>,
    levels: usize,
) {
    for (key, raw) in fields.pairs() {
        if NO_SETTINGS.contains(&&**key) && (prefix.is_empty() || &**key == "variables") {
            continue;
        }
        match raw.as_bytes().first() {
            Some(b'{') if levels > 1 => {
                let inner = Fields::of(raw).unwrap_or_default();
                collect(into, &format!("{prefix}{key}."), &inner, levels - 1);
            }
            Some(b'{' | b'[' | b'n') | None => {}
            Some(_) if raw.len() > SETTING_BYTES_MAX => {}
            Some(_) => {
                into.insert(format!("{prefix}{key}"), raw);
            }
        }
    }
}

/// The tools of any wire: their names stand in one of four places.
fn tools<'a>(fields: &Fields<'a>) -> Vec<ToolDef<'a>> {
    let mut tools = Vec::new();
    for raw in fields
        .list("tools")
        .into_iter()
        .chain(fields.list("functions"))
    {
        let Some(tool) = Fields::of(raw) else {
            continue;
        };
        let inner = tool.object("function").or_else(|| tool.object("custom"));
        let name = inner
            .and_then(|inner| inner.filled("name"))
            .or_else(|| tool.filled("name"))
            .or_else(|| tool.filled("server_label"))
            .or_else(|| tool.filled("type"));
        if let Some(name) = name {
            tools.push(ToolDef { name, raw });
        }
    }
    tools
}

/// The items of the history that a wire demands.
pub(super) fn demanded<'a>(
    body: &mut Body<'a>,
    expected: &'static str,
    within: &'static str,
) -> Result<Vec<Fields<'a>>, Unreadable> {
    let items = body.take_items().ok_or(Unreadable::Shape { expected })?;
    if items.iter().any(Fields::repeats) {
        return Err(Unreadable::RepeatedKey { within });
    }
    Ok(items)
}

/// Arguments as JSON text: a string that holds it, or the value itself.
pub(super) fn arguments(raw: Option<&str>) -> Cow<'_, str> {
    match raw {
        None => Cow::Borrowed(""),
        Some(raw) => string(raw).unwrap_or(Cow::Borrowed(raw)),
    }
}
