//! How a tool call ended, or that it has not.

use std::borrow::Cow;

use model::{FailureClass, Outcome};
use serde_json::Value;

use super::{Ask, outcome_of};
use crate::import::json::{self as slices, Object};
use crate::jsonrpc::{Json, RpcError};

/// The result of a `tools/call`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallResult<'a> {
    /// Whether the call has ended.
    pub state: CallState<'a>,
    /// Whether the tool says that it failed.
    pub is_error: bool,
    /// Every text of the content in its order, that of embedded resources too, a line each.
    pub text: String,
    /// The structured content as it came.
    pub structured: Option<Json<'a>>,
    /// Content that is not text, or has an address.
    pub other: Vec<Content<'a>>,
}

/// Whether a call has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallState<'a> {
    /// It has.
    Complete,
    /// The server wants to know more first; who called may call again and bring it.
    InputRequired {
        /// What the next call gives back, where the server says something.
        request_state: Option<Cow<'a, str>>,
        /// What it asks for.
        asks: Vec<Ask>,
    },
    /// It goes on as a task, which is asked about later.
    Task(Task<'a>),
    /// A kind of result that is not known here; empty if it is no result at all.
    Unrecognised(Cow<'a, str>),
}

/// Content that is not text, or has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content<'a> {
    /// Its type: `image`, `audio`, `resource`, `resource_link`, or what came.
    pub kind: Cow<'a, str>,
    /// Its media type.
    pub media_type: Option<Cow<'a, str>>,
    /// Its address.
    pub uri: Option<Cow<'a, str>>,
}

/// A call that goes on after its first answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task<'a> {
    /// Its id.
    pub id: Cow<'a, str>,
    /// How it stands.
    pub status: TaskStatus,
    /// In words.
    pub message: Option<Cow<'a, str>>,
    /// Its result, where it comes along (2026-07-28): for a tool call, a [`CallResult`].
    pub result: Option<Json<'a>>,
    /// The code of its error, where that comes along (2026-07-28).
    pub error: Option<i64>,
}

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskStatus {
    /// It runs.
    Working,
    /// It waits for the client.
    InputRequired,
    /// It ended with a result, which may say that the tool failed.
    Completed,
    /// It ended without one.
    Failed,
    /// It was stopped.
    Cancelled,
    /// A status that nobody here knows.
    Unrecognised,
}

impl TaskStatus {
    /// Returns whether the task has ended.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Completed | Self::Failed | Self::Cancelled => true,
            Self::Working | Self::InputRequired | Self::Unrecognised => false,
        }
    }

    fn read(text: &str) -> Self {
        match text {
            "working" => Self::Working,
            "input_required" => Self::InputRequired,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "cancelled" => Self::Cancelled,
            _ => Self::Unrecognised,
        }
    }
}

impl<'a> CallResult<'a> {
    /// Reads the result of a `tools/call`, or of a `tasks/result` for one.
    #[must_use]
    pub fn read(result: Json<'a>) -> Self {
        let (state, object) = match slices::object(result.text()) {
            Ok(object) => (CallState::of(&object, result), object),
            // No object, or one that says something twice: who knows which was meant.
            Err(_) => (CallState::Unrecognised("".into()), Object::default()),
        };
        let mut read = Self {
            state,
            // Whatever else than `false` it says: a failure must not pass for a success.
            is_error: object.get("isError").is_some_and(|raw| raw != "false"),
            text: String::new(),
            structured: object.get("structuredContent").map(Json::validated),
            other: Vec::new(),
        };
        let content = object.get("content").map(Json::validated);
        for block in content.into_iter().flat_map(Json::elements) {
            read.take(&block.object());
        }
        read
    }

    fn take(&mut self, block: &Object<'a>) {
        let kind = block.text("type").unwrap_or_default();
        if kind == "text" {
            self.say(block.text("text"));
            return;
        }
        // An embedded resource has its fields one level down.
        let inner = block
            .get("resource")
            .map(|raw| Json::validated(raw).object());
        let inner = inner.as_ref().unwrap_or(block);
        self.say(inner.text("text"));
        self.other.push(Content {
            kind,
            media_type: inner.filled("mimeType"),
            uri: inner.filled("uri"),
        });
    }

    fn say(&mut self, text: Option<Cow<'_, str>>) {
        let Some(text) = text else { return };
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(&text);
    }

    /// Returns how the call ended: unknown unless it has.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match &self.state {
            CallState::Complete if self.is_error => Outcome::Failed {
                class: FailureClass::Error,
            },
            CallState::Complete => Outcome::Succeeded,
            CallState::Task(task) => task.outcome(),
            CallState::InputRequired { .. } | CallState::Unrecognised(_) => Outcome::Unknown,
        }
    }
}

impl<'a> CallState<'a> {
    fn of(object: &Object<'a>, result: Json<'a>) -> Self {
        // Absent in revisions before 2026-07-28, where it means the same as `complete`.
        let kind = object.text("resultType").unwrap_or("complete".into());
        match &*kind {
            "complete" => match object.get("task").map(Json::validated).and_then(Task::read) {
                // 2025-11-25 answers a call that was to run as a task so.
                Some(task) if object.get("content").is_none() => Self::Task(task),
                _ => Self::Complete,
            },
            "input_required" => {
                let asks = object.get("inputRequests").map(Json::validated);
                let asks = asks.map(Json::object).unwrap_or_default();
                let method = |raw| Json::validated(raw).object().text("method");
                let asks = asks.pairs().filter_map(|(_, raw)| method(raw));
                Self::InputRequired {
                    asks: asks.filter_map(|method| Ask::of(&method)).collect(),
                    request_state: object.text("requestState"),
                }
            }
            "task" => {
                // Flat in the extension as it was accepted, one level down in its drafts.
                let inner = object.get("task").map(Json::validated).and_then(Task::read);
                match Task::read(result).or(inner) {
                    Some(task) => Self::Task(task),
                    None => Self::Unrecognised(kind),
                }
            }
            _ => Self::Unrecognised(kind),
        }
    }
}

impl<'a> Task<'a> {
    /// Reads a task: the result of `tasks/get` or `tasks/cancel`, or what
    /// `notifications/tasks/status` says. None if it names no task and status.
    #[must_use]
    pub fn read(json: Json<'a>) -> Option<Self> {
        let object = json.object();
        let error = object.get("error").map(Json::validated);
        let code = error.map(|error| {
            let code = error.object().get("code").map(str::parse);
            code.and_then(Result::ok).unwrap_or_default()
        });
        Some(Self {
            id: object.filled("taskId")?,
            status: TaskStatus::read(&object.text("status")?),
            message: object.filled("statusMessage"),
            result: object.get("result").map(Json::validated),
            error: code,
        })
    }

    /// Returns how the task ended: unknown unless it has.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self.status {
            TaskStatus::Completed => match self.result {
                Some(result) => CallResult::read(result).completed(),
                None => Outcome::Succeeded,
            },
            TaskStatus::Failed => outcome_of(&RpcError {
                code: self.error.unwrap_or_default(),
                message: Cow::Borrowed(""),
                data: None,
            }),
            TaskStatus::Cancelled => Outcome::Cancelled,
            TaskStatus::Working | TaskStatus::InputRequired | TaskStatus::Unrecognised => {
                Outcome::Unknown
            }
        }
    }
}

impl CallResult<'_> {
    /// Returns what the result says, as a value: the structured content, else the text, read as JSON
    /// where it is JSON.
    #[must_use]
    pub fn value(&self) -> Value {
        let structured = self.structured.map(Json::text);
        let structured = structured.and_then(|text| serde_json::from_str(text).ok());
        structured.unwrap_or_else(|| {
            serde_json::from_str(&self.text).unwrap_or_else(|_| Value::String(self.text.clone()))
        })
    }

    /// Returns what the result says, as an agent hands it to its model: the text, else the structured
    /// content as JSON; empty if it has neither.
    #[must_use]
    pub fn words(&self) -> &str {
        match self.structured.map(Json::text) {
            Some(structured) if self.text.is_empty() => structured,
            _ => &self.text,
        }
    }

    /// The outcome of a task by the result in it: a result that says it is yet another task ends
    /// nothing.
    fn completed(&self) -> Outcome {
        match self.state {
            CallState::Task(_) => Outcome::Unknown,
            _ => self.outcome(),
        }
    }
}
