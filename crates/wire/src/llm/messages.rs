//! Anthropic messages.

use std::borrow::Cow;

use super::Unreadable;
use super::answer::{Answer, Completeness, Draft, OwnedCall, Usage};
use super::fields::{Body, Fields, elements, join};
use super::request::{Call, Item, Request, Role, arguments, demanded};

/// Reads the system prompt and the messages of a request.
pub(super) fn request<'a>(
    body: &mut Body<'a>,
    request: &mut Request<'a>,
) -> Result<(), Unreadable> {
    if let Some(system) = body.fields.get("system") {
        let text = request.content(Some(system));
        request.items.push(Item::new(Role::System, text));
    }
    let expected = "`messages` to be an array of messages";
    for message in demanded(body, expected, "a message")? {
        let role = Role::read(&message.text("role").unwrap_or_default());
        match message.get("content") {
            Some(raw) if raw.starts_with('[') => blocks(request, role, raw),
            raw => {
                let text = request.content(raw);
                request.items.push(Item::new(role, text));
            }
        }
    }
    Ok(())
}

/// Reads the blocks of a message. Each result is an item; what stands between is one.
fn blocks<'a>(request: &mut Request<'a>, role: Role, raw: &'a str) {
    let before = request.items.len();
    let mut item = Item::new(role, Cow::Borrowed(""));
    for block in elements(raw) {
        let Ok(block) = block else {
            request.unread += 1;
            continue;
        };
        let kind = block.text("type").unwrap_or_default();
        if kind.ends_with("_use") {
            item.asked.push(call(&block, &kind));
        } else if kind.ends_with("tool_result") {
            let done = std::mem::replace(&mut item, Item::new(role, Cow::Borrowed("")));
            if !done.is_empty() {
                request.items.push(done);
            }
            let result = result(request, &block);
            request.items.push(result);
        } else {
            let text = request.part(&block);
            join(&mut item.text, text);
        }
    }
    // A message without text is still a message.
    if !item.is_empty() || request.items.len() == before {
        request.items.push(item);
    }
}

/// A call. Those of kinds other than `tool_use` (`server_tool_use`, `mcp_tool_use`) the provider
/// runs itself.
pub(super) fn call<'a>(block: &Fields<'a>, kind: &str) -> Call<'a> {
    Call {
        id: block.filled("id"),
        name: block.text("name").unwrap_or_default(),
        arguments: arguments(block.get("input")),
        hosted: kind != "tool_use",
    }
}

fn result<'a>(request: &mut Request<'a>, block: &Fields<'a>) -> Item<'a> {
    let text = request.result(block.get("content"));
    Item {
        call_id: block.filled("tool_use_id"),
        error: block.flag("is_error"),
        ..Item::new(Role::Tool, text)
    }
}

/// Reads a plain answer.
pub(super) fn answer(fields: &Fields<'_>) -> Answer {
    let mut answer = Answer::default();
    let mut tokens = Tokens::default();
    envelope(&mut answer, &mut tokens, fields);
    for block in fields.objects("content") {
        match Block::start(&block) {
            Some(block) => answer.add(block.draft()),
            None => answer.unread += 1,
        }
    }
    answer.choices = usize::from(fields.get("content").is_some());
    answer.finish = fields.filled("stop_reason").map(Cow::into_owned);
    answer.usage = tokens.usage();
    answer.complete = completeness(answer.finish.as_deref());
    answer
}

/// What stands around the content, in a plain answer or at the start of a stream.
pub(super) fn envelope(answer: &mut Answer, tokens: &mut Tokens, fields: &Fields<'_>) {
    answer.id = fields.filled("id").map(Cow::into_owned);
    answer.model = fields.filled("model").map(Cow::into_owned);
    tokens.take(&fields.object("usage").unwrap_or_default());
}

/// How complete an answer is that stopped for a reason, or for none.
pub(super) fn completeness(stop_reason: Option<&str>) -> Completeness {
    match stop_reason {
        None => Completeness::Truncated,
        Some(
            "max_tokens"
            | "model_context_window_exceeded"
            | "pause_turn"
            | "refusal"
            | "compaction",
        ) => Completeness::Incomplete,
        Some(_) => Completeness::Complete,
    }
}

/// A block of content, whole or growing.
#[derive(Clone, Debug)]
pub(super) enum Block {
    Text(String),
    Thinking(String),
    Call {
        call: OwnedCall,
        /// Whether arguments came in pieces, which replace those that the block began with.
        pieces: bool,
        stopped: bool,
    },
    /// Something that says nothing of its own: a result of a tool that the provider ran.
    Other,
}

impl Block {
    /// Reads a block, or the beginning of one; none if its type is unknown.
    pub(super) fn start(block: &Fields<'_>) -> Option<Self> {
        let kind = block.text("type").unwrap_or_default();
        let text = |key: &str| block.text(key).unwrap_or_default().into_owned();
        Some(match &*kind {
            "text" => Self::Text(text("text")),
            "compaction" => Self::Text(text("content")),
            "thinking" => Self::Thinking(text("thinking")),
            "redacted_thinking" => Self::Other,
            _ if kind.ends_with("_use") => Self::Call {
                call: call(block, &kind).into(),
                pieces: false,
                stopped: false,
            },
            _ if kind.ends_with("tool_result") => Self::Other,
            _ => return None,
        })
    }

    pub(super) fn draft(self) -> Draft {
        let mut draft = Draft::default();
        match self {
            Self::Text(text) => draft.text = text,
            Self::Thinking(thought) => draft.reasoning = thought,
            Self::Call { call, .. } => draft.asked.push(call),
            Self::Other => {}
        }
        draft
    }
}

/// Usage as it comes in, piece by piece. Every number is cumulative, so the largest counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tokens {
    top: Counted,
    /// The sum over `usage.iterations`. Where the provider sampled more than once for one answer
    /// (compaction, tools that it ran), the numbers at the top leave some of it out.
    iterations: Counted,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    input: Option<u64>,
    output: Option<u64>,
    read: Option<u64>,
    write: Option<u64>,
    reasoning: Option<u64>,
}

impl Tokens {
    pub(super) fn take(&mut self, usage: &Fields<'_>) {
        self.top = self.top.with(Counted::of(usage), Ord::max);
        let iterations = usage.objects("iterations");
        let sum = iterations.fold(Counted::default(), |sum, iteration| {
            sum.with(Counted::of(&iteration), u64::saturating_add)
        });
        self.iterations = self.iterations.with(sum, Ord::max);
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        let counted = self.top.with(self.iterations, Ord::max);
        let parts = [counted.input, counted.read, counted.write];
        let input_tokens = counted.input.map(|_| {
            let parts = parts.into_iter().flatten();
            parts.fold(0, u64::saturating_add)
        });
        let usage = Usage {
            input_tokens,
            output_tokens: counted.output,
            cache_read_tokens: counted.read,
            cache_write_tokens: counted.write,
            reasoning_tokens: counted.reasoning,
        };
        (usage != Usage::default()).then_some(usage)
    }
}

impl Counted {
    fn of(usage: &Fields<'_>) -> Self {
        let details = usage.object("output_tokens_details").unwrap_or_default();
        Self {
            input: usage.count("input_tokens"),
            output: usage.count("output_tokens"),
            read: usage.count("cache_read_input_tokens"),
            write: usage.count("cache_creation_input_tokens"),
            reasoning: details
                .count("thinking_tokens")
                .or_else(|| details.count("reasoning_tokens")),
        }
    }

    fn with(self, other: Self, join: fn(u64, u64) -> u64) -> Self {
        let both = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(join(a, b)),
            (one, other) => one.or(other),
        };
        Self {
            input: both(self.input, other.input),
            output: both(self.output, other.output),
            read: both(self.read, other.read),
            write: both(self.write, other.write),
            reasoning: both(self.reasoning, other.reasoning),
        }
    }
}
