//! What the demo answers with `--json`.

use schemars::JsonSchema;
use serde::Serialize;

/// How the story went.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct DemoView {
    /// Whether everything came out as the story says.
    pub(super) held: bool,
    /// Where the server listens, or listened.
    pub(super) listening: String,
    /// Where the record is.
    pub(super) data_dir: String,
    /// The configuration that the server has.
    pub(super) config: String,
    /// What is not real.
    pub(super) played_back: Vec<String>,
    /// What is.
    pub(super) real: Vec<String>,
    /// The decision that was wrong.
    pub(super) wrong: String,
    /// What followed from it.
    pub(super) followed: FollowedView,
    /// The plan and what came of it.
    pub(super) rollback: RollbackView,
    /// The next request of an agent that still had the wrong text in its history.
    pub(super) repair: RepairView,
    /// Each thing that must come out, and whether it did.
    pub(super) checks: Vec<CheckView>,
}

/// What followed from the wrong decision.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct FollowedView {
    /// Decisions that demonstrably depend on it.
    pub(super) certain: usize,
    /// Decisions that could.
    pub(super) possible: usize,
    /// The agents of both.
    pub(super) agents: Vec<String>,
}

/// The way back.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct RollbackView {
    /// The digest by which the plan was approved.
    pub(super) digest: String,
    /// How many steps it has.
    pub(super) steps: usize,
    /// Records that differed from what they should be before it, as `table/id`.
    pub(super) wrong_before: Vec<String>,
    /// Records that differed after it.
    pub(super) wrong_after: Vec<String>,
    /// What cannot be undone and stands.
    pub(super) stands: Vec<String>,
}

/// A repaired context.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct RepairView {
    /// The agent.
    pub(super) agent: String,
    /// What stood in its history.
    pub(super) sent: String,
    /// What the model got in its place.
    pub(super) received: String,
}

/// Something that must come out.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct CheckView {
    /// What it is.
    pub(super) what: String,
    /// Whether it did.
    pub(super) held: bool,
}
