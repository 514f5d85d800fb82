//! The states of a task, the same in both versions.

use model::{FailureClass, Outcome};

use super::Version;
use crate::jsonrpc::Json;

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// The agent has it.
    Submitted,
    /// The agent works on it.
    Working,
    /// The agent needs more from who asked.
    InputRequired,
    /// The agent needs to be let in somewhere.
    AuthRequired,
    /// It was done.
    Completed,
    /// It failed.
    Failed,
    /// It was stopped.
    Canceled,
    /// The agent does not do it.
    Rejected,
    /// `unknown`, `TASK_STATE_UNSPECIFIED`, or a name of neither version. It ends nothing.
    Unspecified,
}

/// Each state with its name in v0.3 and in v1.0, in the order of their numbers in v1.0.
const NAMES: [(TaskState, &str, &str); 9] = [
    (TaskState::Unspecified, "unknown", "TASK_STATE_UNSPECIFIED"),
    (TaskState::Submitted, "submitted", "TASK_STATE_SUBMITTED"),
    (TaskState::Working, "working", "TASK_STATE_WORKING"),
    (TaskState::Completed, "completed", "TASK_STATE_COMPLETED"),
    (TaskState::Failed, "failed", "TASK_STATE_FAILED"),
    (TaskState::Canceled, "canceled", "TASK_STATE_CANCELED"),
    (
        TaskState::InputRequired,
        "input-required",
        "TASK_STATE_INPUT_REQUIRED",
    ),
    (TaskState::Rejected, "rejected", "TASK_STATE_REJECTED"),
    (
        TaskState::AuthRequired,
        "auth-required",
        "TASK_STATE_AUTH_REQUIRED",
    ),
];

impl TaskState {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::Submitted,
        Self::Working,
        Self::InputRequired,
        Self::AuthRequired,
        Self::Completed,
        Self::Failed,
        Self::Canceled,
        Self::Rejected,
        Self::Unspecified,
    ];

    /// Returns the state of a name of either version.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        let found = NAMES
            .iter()
            .find(|(_, old, new)| name == *old || name == *new);
        found.map_or(Self::Unspecified, |(state, ..)| *state)
    }

    /// Reads a state: a name, or the number that JSON of Protocol Buffers may write in its place.
    pub(super) fn read(json: Json<'_>) -> Self {
        match json.string() {
            Some(name) => Self::parse(&name),
            None => {
                let number = json.text().parse::<usize>().unwrap_or_default();
                let found = NAMES.get(number);
                found.map_or(Self::Unspecified, |(state, ..)| *state)
            }
        }
    }

    /// Returns its name in a version.
    #[must_use]
    pub fn name(self, version: Version) -> &'static str {
        let found = NAMES.iter().find(|(state, ..)| *state == self);
        let (_, old, new) = found.unwrap_or(&NAMES[0]);
        match version {
            Version::V0_3 => old,
            Version::V1_0 => new,
        }
    }

    /// Returns whether the task has ended.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Completed | Self::Failed | Self::Canceled | Self::Rejected => true,
            Self::Submitted
            | Self::Working
            | Self::InputRequired
            | Self::AuthRequired
            | Self::Unspecified => false,
        }
    }

    /// Returns whether the agent waits for who asked.
    #[must_use]
    pub fn is_interrupted(self) -> bool {
        matches!(self, Self::InputRequired | Self::AuthRequired)
    }

    /// Returns how the task ended: each terminal state is an outcome of its own, and the others
    /// are unknown, since the task has not ended.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        let failed = |class| Outcome::Failed { class };
        match self {
            Self::Completed => Outcome::Succeeded,
            Self::Failed => failed(FailureClass::Error),
            Self::Canceled => Outcome::Cancelled,
            Self::Rejected => failed(FailureClass::Denied),
            Self::Submitted
            | Self::Working
            | Self::InputRequired
            | Self::AuthRequired
            | Self::Unspecified => Outcome::Unknown,
        }
    }
}
