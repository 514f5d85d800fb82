//! What an answer says, whichever wire it came on, plain or streamed.

use super::Call;
use super::error::ProviderError;
use super::fields::Fields;

/// The answer of a model, as far as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The provider's id of it.
    pub id: Option<String>,
    /// The model that answered, as the provider names it.
    pub model: Option<String>,
    /// The text; several parts, messages or choices each on a line of its own.
    pub text: String,
    /// What the model thought, or the summary of it, where the provider shows it.
    pub reasoning: String,
    /// The text of a refusal.
    pub refusal: Option<String>,
    /// The calls that it asks for, in order. Of an answer that is not complete, the last may be
    /// cut off.
    pub asked: Vec<OwnedCall>,
    /// Why it ended, in the provider's word; of several choices, that of the first.
    pub finish: Option<String>,
    /// Whether this is all of it.
    pub complete: Completeness,
    /// The error, where it failed.
    pub error: Option<ProviderError>,
    /// What it cost, as far as the provider says.
    pub usage: Option<Usage>,
    /// How many choices there are.
    pub choices: usize,
    /// Parts and events of a type that is unknown here.
    pub unread: usize,
}

/// Whether an answer is all that there is of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Completeness {
    /// The model ended by itself.
    Complete,
    /// The provider says that there would be more: a limit, a filter, a pause, a cancellation.
    Incomplete,
    /// It broke off: what must end an answer on its wire is missing.
    #[default]
    Truncated,
    /// The provider says that it failed, or an event of it cannot be read: see
    /// [`Answer::error`].
    Failed,
}

/// A call that an answer asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedCall {
    /// Its id, by which its result refers to it.
    pub id: Option<String>,
    /// The tool.
    pub name: String,
    /// The arguments as JSON text, as the model wrote them, so perhaps not valid; free text where
    /// the tool takes that.
    pub arguments: String,
    /// Whether the provider runs it, so that no result is to come from the client.
    pub hosted: bool,
}

/// Tokens, as OpenTelemetry counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Usage {
    /// Tokens of the prompt, those from and to the cache included.
    pub input_tokens: Option<u64>,
    /// Tokens of the answer, those of reasoning included.
    pub output_tokens: Option<u64>,
    /// Tokens of the prompt that came from the cache.
    pub cache_read_tokens: Option<u64>,
    /// Tokens of the prompt that were put into the cache.
    pub cache_write_tokens: Option<u64>,
    /// Tokens of the answer that were reasoning.
    pub reasoning_tokens: Option<u64>,
}

impl Completeness {
    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::Truncated => "truncated",
            Self::Failed => "failed",
        }
    }
}

impl Answer {
    /// An answer that is nothing but an error.
    pub(super) fn failed(error: ProviderError) -> Self {
        Self {
            complete: Completeness::Failed,
            error: Some(error),
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, draft: Draft) {
        add_line(&mut self.text, &draft.text);
        add_line(&mut self.reasoning, &draft.reasoning);
        if let Some(refusal) = draft.refusal {
            add_line(self.refusal.get_or_insert_default(), &refusal);
        }
        self.asked.extend(draft.asked);
    }
}

/// What one part of an answer says: a choice, an item, a block.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    pub(super) text: String,
    pub(super) reasoning: String,
    pub(super) refusal: Option<String>,
    pub(super) asked: Vec<OwnedCall>,
}

/// Adds a text to others, on a line of its own.
pub(super) fn add_line(all: &mut String, more: &str) {
    if !all.is_empty() && !more.is_empty() {
        all.push('\n');
    }
    all.push_str(more);
}

impl From<Call<'_>> for OwnedCall {
    fn from(call: Call<'_>) -> Self {
        Self {
            id: call.id.map(Into::into),
            name: call.name.into(),
            arguments: call.arguments.into(),
            hosted: call.hosted,
        }
    }
}

impl Usage {
    /// Reads the usage of chat completions or responses, which differ in two names. `whole` is
    /// the object around it, where some providers put a part of it.
    pub(super) fn openai(usage: &Fields<'_>) -> Option<Self> {
        let input = usage
            .object("prompt_tokens_details")
            .or_else(|| usage.object("input_tokens_details"))
            .unwrap_or_default();
        let output = usage
            .object("completion_tokens_details")
            .or_else(|| usage.object("output_tokens_details"))
            .unwrap_or_default();
        let either =
            |fields: &Fields<'_>, keys: [&str; 2]| keys.iter().find_map(|key| fields.count(key));
        let read = Self {
            input_tokens: either(usage, ["prompt_tokens", "input_tokens"]),
            output_tokens: either(usage, ["completion_tokens", "output_tokens"]),
            cache_read_tokens: input
                .count("cached_tokens")
                .or_else(|| usage.count("prompt_cache_hit_tokens"))
                .or_else(|| usage.count("cache_read_input_tokens")),
            cache_write_tokens: either(&input, ["cache_write_tokens", "cache_creation_tokens"])
                .or_else(|| usage.count("cache_creation_input_tokens")),
            reasoning_tokens: output.count("reasoning_tokens"),
        };
        (read != Self::default()).then_some(read)
    }
}
