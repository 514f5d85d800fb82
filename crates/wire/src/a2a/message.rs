//! What was said: messages, and the parts of which they and artifacts consist.

use std::borrow::Cow;

use crate::import::json::{Object, write_object};
use crate::jsonrpc::Json;

/// A message of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its id, which its sender chose.
    pub id: Option<Cow<'a, str>>,
    /// Who says it.
    pub role: Role,
    /// The conversation.
    pub context: Option<Cow<'a, str>>,
    /// The task that it belongs to.
    pub task: Option<Cow<'a, str>>,
    /// Other tasks that it refers to.
    pub references: Vec<Cow<'a, str>>,
    /// What it says.
    pub content: Content<'a>,
}

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Who asks the agent.
    User,
    /// The agent.
    Agent,
    /// It is not said.
    Unspecified,
}

/// The parts of a message or an artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content<'a> {
    /// Every text in its order, a line each; structured data as its JSON.
    pub text: String,
    /// Files, by reference or inline.
    pub files: Vec<Attachment<'a>>,
}

/// A file in a message or an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment<'a> {
    /// Its name.
    pub name: Option<Cow<'a, str>>,
    /// Its media type.
    pub media_type: Option<Cow<'a, str>>,
    /// Its address; none if its bytes are in the message.
    pub uri: Option<Cow<'a, str>>,
}

/// The parameters of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent<'a> {
    /// The message that is sent.
    pub message: Option<Message<'a>>,
    /// The task that it is about: of the message, or named by itself.
    pub task: Option<Cow<'a, str>>,
    /// The address that is to be told of changes.
    pub push_url: Option<Cow<'a, str>>,
    /// The tenant (v1.0).
    pub tenant: Option<Cow<'a, str>>,
}

impl<'a> Sent<'a> {
    /// Reads the parameters of a request, whichever it is.
    #[must_use]
    pub fn read(params: Json<'a>) -> Self {
        let object = params.object();
        let inner = |object: &Object<'a>, key| {
            let raw = object.get(key).map(Json::validated);
            raw.map(Json::object).unwrap_or_default()
        };
        let message = object.get("message").map(Json::validated);
        let message = message.and_then(Message::read);
        let of_message = message.as_ref().and_then(|message| message.task.clone());
        let configuration = inner(&object, "configuration");
        // v0.3 wraps it, v1.0 names it after the task, and the methods of v1.0 have it bare.
        let push = [
            inner(&object, "pushNotificationConfig"),
            inner(&configuration, "pushNotificationConfig"),
            inner(&configuration, "taskPushNotificationConfig"),
        ];
        let push_url = push.iter().find_map(|config| config.filled("url"));
        Self {
            // The id of a push configuration stands beside the task in v1.0, so `taskId` first.
            task: of_message
                .or_else(|| object.filled("taskId"))
                .or_else(|| object.filled("id")),
            push_url: push_url.or_else(|| object.filled("url")),
            tenant: object.filled("tenant"),
            message,
        }
    }
}

/// Returns what makes a message the same when it is sent again: its request without the id that each
/// sending draws anew, and without how the answer is to come. None if it sends no message.
#[must_use]
pub fn identity(params: Json<'_>) -> Option<String> {
    let object = params.object();
    let message = Json::validated(object.get("message")?).object();
    let message = message.without(&["messageId"])?;
    let others = object.pairs();
    let others = others.filter(|(key, _)| !matches!(*key, "message" | "configuration"));
    let members = others.chain([("message", &*message)]);
    Some(write_object(&members.collect::<Vec<_>>()))
}

impl<'a> Message<'a> {
    /// Reads a message; none if it has no parts, or says something twice.
    #[must_use]
    pub fn read(json: Json<'a>) -> Option<Self> {
        let object = json.object();
        object.get("parts")?;
        let role = object.text("role");
        let references = object.get("referenceTaskIds").map(Json::validated);
        let references = references.into_iter().flat_map(Json::elements);
        Some(Self {
            id: object.filled("messageId"),
            role: match role.as_deref() {
                Some("user" | "ROLE_USER") => Role::User,
                Some("agent" | "ROLE_AGENT") => Role::Agent,
                _ => Role::Unspecified,
            },
            context: object.filled("contextId"),
            task: object.filled("taskId"),
            references: references.filter_map(Json::string).collect(),
            content: Content::of(&object),
        })
    }
}

impl<'a> Content<'a> {
    /// Reads the `parts` of a message or an artifact.
    pub(super) fn of(object: &Object<'a>) -> Self {
        let mut content = Self::default();
        let parts = object.get("parts").map(Json::validated);
        for part in parts.into_iter().flat_map(Json::elements) {
            content.take(&part.object());
        }
        content
    }

    /// Takes a part. What it is, its members say in both versions.
    fn take(&mut self, part: &Object<'a>) {
        let data = part.get("data").map(Cow::Borrowed);
        if let Some(text) = part.text("text").or(data) {
            if !self.text.is_empty() {
                self.text.push('\n');
            }
            self.text.push_str(&text);
            return;
        }
        // v0.3 has files one level down.
        let inner = part.get("file").map(|raw| Json::validated(raw).object());
        let file = inner.as_ref().unwrap_or(part);
        let any = |keys: &[&str]| keys.iter().find_map(|key| file.filled(key));
        self.files.push(Attachment {
            name: any(&["filename", "name"]),
            media_type: any(&["mediaType", "mimeType"]),
            uri: any(&["url", "uri", "fileWithUri"]),
        });
    }
}
