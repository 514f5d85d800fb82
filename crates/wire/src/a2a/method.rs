//! What a request of A2A is.

/// Names the version of a request; without it, 0.3.
pub const VERSION_HEADER: &str = "a2a-version";
/// Names the extensions that the client uses.
pub const EXTENSIONS_HEADER: &str = "a2a-extensions";

/// The versions whose names and forms differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// v0.3: `message/send`, `kind`, `completed`.
    V0_3,
    /// v1.0: `SendMessage`, members, `TASK_STATE_COMPLETED`.
    V1_0,
}

impl Version {
    /// Reads a version as a card or a header names it (`0.3`, `0.3.0`, `1.0`); none if it is of
    /// neither kind.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().split('.').next()? {
            "0" => Some(Self::V0_3),
            "1" => Some(Self::V1_0),
            _ => None,
        }
    }
}

/// What a request asks for, by either version's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// A message is sent, and one answer comes.
    SendMessage,
    /// A message is sent, and a stream answers.
    SendStreamingMessage,
    /// How a task stands.
    GetTask,
    /// Which tasks there are.
    ListTasks,
    /// A task is to stop.
    CancelTask,
    /// A stream of a task that goes on.
    SubscribeToTask,
    /// An address is told about a task from now on.
    SetPush,
    /// Which address that is.
    GetPush,
    /// Which addresses they are.
    ListPush,
    /// It is told no longer.
    DeletePush,
    /// The card for those who may see more.
    ExtendedCard,
}

/// Each method with its name in v0.3 and in v1.0.
const NAMES: [(Method, &str, &str); 11] = [
    (Method::SendMessage, "message/send", "SendMessage"),
    (
        Method::SendStreamingMessage,
        "message/stream",
        "SendStreamingMessage",
    ),
    (Method::GetTask, "tasks/get", "GetTask"),
    (Method::ListTasks, "tasks/list", "ListTasks"),
    (Method::CancelTask, "tasks/cancel", "CancelTask"),
    (
        Method::SubscribeToTask,
        "tasks/resubscribe",
        "SubscribeToTask",
    ),
    (
        Method::SetPush,
        "tasks/pushNotificationConfig/set",
        "CreateTaskPushNotificationConfig",
    ),
    (
        Method::GetPush,
        "tasks/pushNotificationConfig/get",
        "GetTaskPushNotificationConfig",
    ),
    (
        Method::ListPush,
        "tasks/pushNotificationConfig/list",
        "ListTaskPushNotificationConfigs",
    ),
    (
        Method::DeletePush,
        "tasks/pushNotificationConfig/delete",
        "DeleteTaskPushNotificationConfig",
    ),
    (
        Method::ExtendedCard,
        "agent/getAuthenticatedExtendedCard",
        "GetExtendedAgentCard",
    ),
];

/// Names from release candidates of v1.0 that agents still use.
const DRAFTS: [(Method, &str); 3] = [
    (Method::SetPush, "SetTaskPushNotificationConfig"),
    (Method::ListPush, "ListTaskPushNotificationConfig"),
    (Method::SubscribeToTask, "tasks/subscribe"),
];

impl Method {
    /// Every method.
    pub const ALL: [Self; 11] = [
        Self::SendMessage,
        Self::SendStreamingMessage,
        Self::GetTask,
        Self::ListTasks,
        Self::CancelTask,
        Self::SubscribeToTask,
        Self::SetPush,
        Self::GetPush,
        Self::ListPush,
        Self::DeletePush,
        Self::ExtendedCard,
    ];

    /// Returns what a name asks for, and whose name it is; none if nobody knows it.
    #[must_use]
    pub fn of(name: &str) -> Option<(Self, Version)> {
        if let Some((method, old, _)) = NAMES.iter().find(|(_, o, n)| name == *o || name == *n) {
            let version = if name == *old {
                Version::V0_3
            } else {
                Version::V1_0
            };
            return Some((*method, version));
        }
        let draft = DRAFTS.iter().find(|(_, draft)| name == *draft);
        draft.map(|(method, _)| (*method, Version::V1_0))
    }

    /// Returns its name in a version.
    #[must_use]
    pub fn name(self, version: Version) -> &'static str {
        let found = NAMES.iter().find(|(method, ..)| *method == self);
        let (_, old, new) = found.unwrap_or(&NAMES[0]);
        match version {
            Version::V0_3 => old,
            Version::V1_0 => new,
        }
    }

    /// Returns whether it tells the agent something.
    #[must_use]
    pub fn sends(self) -> bool {
        matches!(self, Self::SendMessage | Self::SendStreamingMessage)
    }

    /// Returns whether a stream answers it, unless it is refused.
    #[must_use]
    pub fn streams(self) -> bool {
        matches!(self, Self::SendStreamingMessage | Self::SubscribeToTask)
    }
}
