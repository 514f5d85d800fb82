//! What a request or notification of MCP is.

use std::borrow::Cow;

use super::Task;
use crate::import::json::Object;
use crate::jsonrpc::{Id, Json, Request, Unreadable, unambiguous};

/// What a request or notification is, in whichever direction it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What<'a> {
    /// `tools/call`: a tool is to run.
    Call(Call<'a>),
    /// `tools/list`.
    ListTools,
    /// `initialize`: a session begins. Not in stateless revisions.
    Initialize(Initialize<'a>),
    /// `server/discover`: what the server is, in stateless revisions.
    Discover,
    /// `tasks/…`: something about a call that goes on after its first answer.
    Task(TaskDeed, Cow<'a, str>),
    /// `subscriptions/listen`: its stream stays open and need not ever be answered.
    Listen,
    /// A request of the server towards the client.
    Ask(Ask),
    /// `ping`, in either direction.
    Ping,
    /// `notifications/progress` of the request that gave this token.
    Progress(Option<Id<'a>>),
    /// `notifications/cancelled`: who asked no longer waits for this request.
    Cancelled(Option<Id<'a>>),
    /// `notifications/…/list_changed`.
    ListChanged(Listing),
    /// `notifications/tasks/status`: the state of a task, with its result where it has one.
    TaskStatus(Task<'a>),
    /// `notifications/message`: a line for a log.
    Log,
    /// Anything else: it passes, and its name is recorded.
    Other(Cow<'a, str>),
}

/// A request of the server towards the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    /// `sampling/createMessage`: a model is to be asked.
    Sampling,
    /// `elicitation/create`: a person is to be asked.
    Elicitation,
    /// `roots/list`: which folders there are.
    Roots,
}

impl Ask {
    /// Returns the request of a method, if it is one.
    #[must_use]
    pub fn of(method: &str) -> Option<Self> {
        match method {
            "sampling/createMessage" => Some(Self::Sampling),
            "elicitation/create" => Some(Self::Elicitation),
            "roots/list" => Some(Self::Roots),
            _ => None,
        }
    }
}

/// What is done about a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskDeed {
    /// `tasks/get`: how it stands.
    Get,
    /// `tasks/result`: waits for its result (2025-11-25).
    Result,
    /// `tasks/update`: gives it what it asked for (2026-07-28).
    Update,
    /// `tasks/cancel`: asks to stop it, which the server need not do.
    Cancel,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Listing {
    /// The tools.
    Tools,
    /// The prompts.
    Prompts,
    /// The resources.
    Resources,
    /// The client's roots.
    Roots,
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// Id of the request. A call without one gets no answer, and is a call all the same: servers
    /// exist that run it.
    pub id: Option<Id<'a>>,
    /// Name of the tool.
    pub tool: Cow<'a, str>,
    /// The arguments as they came; absent means the same as an empty object.
    pub arguments: Option<Json<'a>>,
    /// What the server gave with an earlier answer that asked for input: this call goes on with
    /// that one (2026-07-28).
    pub request_state: Option<Cow<'a, str>>,
    /// Whether it brings the input that an earlier answer asked for (2026-07-28).
    pub brings_input: bool,
    /// Whether it asks to be run as a task (2025-11-25).
    pub as_task: bool,
    /// What is said about the request.
    pub meta: Meta<'a>,
}

impl Call<'_> {
    /// Returns the arguments as JSON text.
    #[must_use]
    pub fn arguments_text(&self) -> &str {
        self.arguments.map_or("{}", Json::text)
    }
}

/// The beginning of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Initialize<'a> {
    /// The revision that the client asks for; the server's answer counts.
    pub protocol_version: Option<Cow<'a, str>>,
    /// Who it says it is.
    pub client: Option<Client<'a>>,
}

/// Software that names itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its version.
    pub version: Option<Cow<'a, str>>,
}

impl<'a> Client<'a> {
    fn read(raw: &'a str) -> Option<Self> {
        let object = Json::validated(raw).object();
        Some(Self {
            name: object.filled("name")?,
            version: object.filled("version"),
        })
    }
}

/// What a request says about itself, in `params._meta`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta<'a> {
    /// W3C trace context, as it came.
    pub traceparent: Option<Cow<'a, str>>,
    /// W3C baggage, as it came.
    pub baggage: Option<Cow<'a, str>>,
    /// The token under which progress is told.
    pub progress_token: Option<Id<'a>>,
    /// The revision of this request (2026-07-28).
    pub protocol_version: Option<Cow<'a, str>>,
    /// Who the client says it is (2026-07-28).
    pub client: Option<Client<'a>>,
    /// The task that it belongs to.
    pub related_task: Option<Cow<'a, str>>,
    /// The id under which a model asked for the call. No specification has it; clients that tell it
    /// do so under names of their own, such as `claudecode/toolUseId`.
    pub call_id: Option<Cow<'a, str>>,
}

/// Names of the last part of keys under which clients tell the id of a model's call.
const CALL_ID: [&str; 6] = [
    "toolUseId",
    "tool_use_id",
    "toolCallId",
    "tool_call_id",
    "callId",
    "call_id",
];

impl<'a> Meta<'a> {
    /// Reads `_meta` of the parameters of a request, or of a result.
    #[must_use]
    pub fn read(params: Json<'a>) -> Self {
        Self::of(&params.object())
    }

    /// Returns whether parameters say what the client can do, as each request must since
    /// 2026-07-28.
    #[must_use]
    pub fn tells_capabilities(params: Json<'_>) -> bool {
        let meta = params.object().get("_meta").map(Json::validated);
        let meta = meta.map(Json::object).unwrap_or_default();
        meta.get("io.modelcontextprotocol/clientCapabilities")
            .is_some()
    }

    fn of(params: &Object<'a>) -> Self {
        let Some(meta) = params.get("_meta") else {
            return Self::default();
        };
        let meta = Json::validated(meta).object();
        let token = meta.get("progressToken").map(Json::validated);
        let task = meta.get("io.modelcontextprotocol/related-task");
        let task = task.and_then(|raw| Json::validated(raw).object().filled("taskId"));
        let tells_id = |key: &str| {
            CALL_ID
                .iter()
                .any(|name| key.rsplit('/').next() == Some(*name))
        };
        let call_id = meta.pairs().find(|(key, _)| tells_id(key));
        Self {
            traceparent: meta.filled("traceparent"),
            baggage: meta.filled("baggage"),
            progress_token: token.map(Id::from),
            protocol_version: meta.filled("io.modelcontextprotocol/protocolVersion"),
            client: meta
                .get("io.modelcontextprotocol/clientInfo")
                .and_then(Client::read),
            related_task: task,
            call_id: call_id.and_then(|(key, _)| meta.filled(key)),
        }
    }
}

impl<'a> What<'a> {
    /// Says what a request is.
    ///
    /// # Errors
    /// A call that names no tool, or names it in two ways: no server that keeps to the protocol
    /// runs it, and what another would run is not known.
    pub fn of(request: &Request<'a>) -> Result<Self, Unreadable> {
        let params = request.params.unwrap_or(Json::validated("{}"));
        let method = &*request.method;
        if method == "tools/call" {
            return Call::read(request.id.clone(), params).map(Self::Call);
        }
        if let Some(ask) = Ask::of(method) {
            return Ok(Self::Ask(ask));
        }
        let task = |deed| match params.object().text("taskId") {
            Some(task) => Self::Task(deed, task),
            None => Self::Other(request.method.clone()),
        };
        let id = |name| {
            let object = params.object();
            object.get(name).map(|raw| Id::from(Json::validated(raw)))
        };
        Ok(match method {
            "tools/list" => Self::ListTools,
            "initialize" => Self::Initialize(Initialize::read(params)),
            "server/discover" => Self::Discover,
            "tasks/get" => task(TaskDeed::Get),
            "tasks/result" => task(TaskDeed::Result),
            "tasks/update" => task(TaskDeed::Update),
            "tasks/cancel" => task(TaskDeed::Cancel),
            "subscriptions/listen" => Self::Listen,
            "ping" => Self::Ping,
            "notifications/progress" => Self::Progress(id("progressToken")),
            "notifications/cancelled" => Self::Cancelled(id("requestId")),
            "notifications/tools/list_changed" => Self::ListChanged(Listing::Tools),
            "notifications/prompts/list_changed" => Self::ListChanged(Listing::Prompts),
            "notifications/resources/list_changed" => Self::ListChanged(Listing::Resources),
            "notifications/roots/list_changed" => Self::ListChanged(Listing::Roots),
            "notifications/message" => Self::Log,
            "notifications/tasks/status" => match Task::read(params) {
                Some(task) => Self::TaskStatus(task),
                None => Self::Other(request.method.clone()),
            },
            _ => Self::Other(request.method.clone()),
        })
    }
}

impl<'a> Call<'a> {
    fn read(id: Option<Id<'a>>, params: Json<'a>) -> Result<Self, Unreadable> {
        let lacks = |wants| Unreadable::Params {
            method: "tools/call",
            wants,
        };
        if !params.text().starts_with('{') {
            return Err(lacks("parameters that are an object"));
        }
        let object = unambiguous(params, &["name", "arguments"])?;
        let tool = object.filled("name");
        Ok(Self {
            id,
            tool: tool.ok_or_else(|| lacks("a `name` that is a string"))?,
            arguments: object.get("arguments").map(Json::validated),
            request_state: object.text("requestState"),
            brings_input: object.get("inputResponses").is_some(),
            as_task: object.get("task").is_some(),
            meta: Meta::of(&object),
        })
    }
}

impl<'a> Initialize<'a> {
    fn read(params: Json<'a>) -> Self {
        let object = params.object();
        Self {
            protocol_version: object.filled("protocolVersion"),
            client: object.get("clientInfo").and_then(Client::read),
        }
    }
}
