//! What an agent answers: a result, or one event of a stream.

use std::borrow::Cow;

use super::{Content, Message, TaskState};
use crate::import::json::Object;
use crate::jsonrpc::{Body, Json, Message as Envelope, RpcError, Unreadable, read_text};

/// What an agent answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A task as it stands.
    Task(Task<'a>),
    /// A message in place of a task: the whole answer.
    Message(Message<'a>),
    /// A task has another state.
    Status(StatusUpdate<'a>),
    /// A task has produced something.
    Artifact(ArtifactUpdate<'a>),
    /// An error in place of a result.
    Error(RpcError<'a>),
    /// Anything else: it passes.
    Other,
}

/// A task as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task<'a> {
    /// Its id.
    pub id: Cow<'a, str>,
    /// The conversation.
    pub context: Option<Cow<'a, str>>,
    /// Its state.
    pub state: TaskState,
    /// What the agent says about the state.
    pub message: Option<Message<'a>>,
    /// What it has produced so far.
    pub artifacts: Vec<Artifact<'a>>,
}

/// Something that a task produced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact<'a> {
    /// Its id within the task.
    pub id: Option<Cow<'a, str>>,
    /// Its name.
    pub name: Option<Cow<'a, str>>,
    /// What it holds.
    pub content: Content<'a>,
}

/// A task has another state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusUpdate<'a> {
    /// Which task.
    pub task: Option<Cow<'a, str>>,
    /// The conversation.
    pub context: Option<Cow<'a, str>>,
    /// Its state.
    pub state: TaskState,
    /// What the agent says about the state.
    pub message: Option<Message<'a>>,
    /// Whether the agent says that nothing more comes on this stream (v0.3). It says nothing about
    /// the task.
    pub is_final: bool,
}

/// A task has produced something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactUpdate<'a> {
    /// Which task.
    pub task: Option<Cow<'a, str>>,
    /// The conversation.
    pub context: Option<Cow<'a, str>>,
    /// What.
    pub artifact: Artifact<'a>,
    /// Whether it goes on with what came before under the same id.
    pub append: bool,
    /// Whether nothing more comes under this id.
    pub last_chunk: bool,
}

/// Reads the body of an answer, or the data of an event of a stream.
///
/// # Errors
/// Data that is no message. It passes as it came and says nothing.
pub fn read_event(data: &str) -> Result<Event<'_>, Unreadable> {
    let Body::One(Envelope::Response(response)) = read_text(data)? else {
        return Ok(Event::Other);
    };
    Ok(match response.result {
        Ok(result) => Event::read(result),
        Err(error) => Event::Error(error),
    })
}

impl<'a> Event<'a> {
    /// Reads a result.
    #[must_use]
    pub fn read(result: Json<'a>) -> Self {
        let (kind, json, _) = inner_of(result);
        let inner = json.object();
        let event = match &*kind {
            "task" => Task::of(&inner).map(Self::Task),
            "message" => Message::read(json).map(Self::Message),
            "status-update" => StatusUpdate::of(&inner).map(Self::Status),
            "artifact-update" => ArtifactUpdate::of(&inner).map(Self::Artifact),
            _ => None,
        };
        event.unwrap_or(Self::Other)
    }
}

/// What a result is, by the word of v0.3; the value that says so; and whether that is the member of
/// another, as in v1.0.
pub(super) fn inner_of(result: Json<'_>) -> (Cow<'_, str>, Json<'_>, bool) {
    let object = result.object();
    // v1.0 names the member after what it is, and v0.3 says what it is in `kind`; the answer to
    // `GetTask` of v1.0 says nothing.
    for (member, kind) in MEMBERS {
        if let Some(raw) = object.get(member).filter(|raw| raw.starts_with('{')) {
            return (Cow::Borrowed(kind), Json::validated(raw), true);
        }
    }
    let kind = object.text("kind").unwrap_or(Cow::Borrowed("task"));
    (kind, result, false)
}

/// The members of v1.0, and what v0.3 calls what they hold.
const MEMBERS: [(&str, &str); 4] = [
    ("task", "task"),
    ("message", "message"),
    ("statusUpdate", "status-update"),
    ("artifactUpdate", "artifact-update"),
];

/// The state of a task, and what the agent says about it.
fn status<'a>(object: &Object<'a>) -> Option<(TaskState, Option<Message<'a>>)> {
    let status = Json::validated(object.get("status")?).object();
    // JSON of Protocol Buffers leaves out a state that is the first of its kind: unspecified.
    let state = status.get("state").map(Json::validated);
    let message = status.get("message").map(Json::validated);
    Some((
        state.map_or(TaskState::Unspecified, TaskState::read),
        message.and_then(Message::read),
    ))
}

impl<'a> Task<'a> {
    fn of(object: &Object<'a>) -> Option<Self> {
        let (state, message) = status(object)?;
        let artifacts = object.get("artifacts").map(Json::validated);
        let artifacts = artifacts.into_iter().flat_map(Json::elements);
        Some(Self {
            id: object.filled("id")?,
            context: object.filled("contextId"),
            state,
            message,
            artifacts: artifacts.map(|json| Artifact::of(&json.object())).collect(),
        })
    }
}

impl<'a> Artifact<'a> {
    fn of(object: &Object<'a>) -> Self {
        Self {
            id: object.filled("artifactId"),
            name: object.filled("name"),
            content: Content::of(object),
        }
    }
}

impl<'a> StatusUpdate<'a> {
    fn of(object: &Object<'a>) -> Option<Self> {
        let (state, message) = status(object)?;
        Some(Self {
            task: object.filled("taskId"),
            context: object.filled("contextId"),
            state,
            message,
            is_final: object.get("final") == Some("true"),
        })
    }
}

impl<'a> ArtifactUpdate<'a> {
    fn of(object: &Object<'a>) -> Option<Self> {
        let artifact = Json::validated(object.get("artifact")?).object();
        Some(Self {
            task: object.filled("taskId"),
            context: object.filled("contextId"),
            artifact: Artifact::of(&artifact),
            append: object.get("append") == Some("true"),
            last_chunk: object.get("lastChunk") == Some("true"),
        })
    }
}
