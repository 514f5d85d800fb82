//! The lifecycle of a decision: where it stands, and which steps are legal.
//!
//! ```text
//! proposed ─┬─► held ─┬─► approved ─┬─► started ─┬─► succeeded ─┐
//!           │         └─► rejected  │            ├─► failed     ├─► invalidated ─┬─► compensating ─┬─► compensated
//!           └───────────────────────┘            ├─► cancelled  │                │        ▲        ├─► stands
//!                                                └─► unknown  ──┘                └─► …    └────────┴── compensation failed
//! ```
//!
//! *Unknown* may still become known. What has not started can only be rejected or cancelled. What
//! begins may also end as *replayed*: nothing was done, and the answer is an earlier one's.

use serde::{Deserialize, Serialize};

use crate::Outcome;

/// Where a decision stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Put forward; nothing has been done.
    Proposed,
    /// Waits for a person.
    Held,
    /// May go on.
    Approved,
    /// Must not go on.
    Rejected,
    /// Under way. Reads as [`Status::Unknown`] wherever no one is known to be carrying it out.
    Started,
    /// Did what it set out to do.
    Succeeded,
    /// Did not.
    Failed,
    /// Was stopped.
    Cancelled,
    /// There is an intent and no outcome.
    Unknown,
    /// Revoked: nothing may rely on it any more.
    Invalidated,
    /// Its effects are being taken back.
    Compensating,
    /// Its effects are taken back.
    Compensated,
    /// Its effects cannot be taken back.
    Stands,
    /// Taking its effects back was tried and failed; it can be tried again.
    CompensationFailed,
    /// Did nothing, and was answered with what an earlier decision got.
    Replayed,
}

/// A move along the lifecycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Hold for a person.
    Hold,
    /// Allow.
    Approve,
    /// Refuse.
    Reject,
    /// Begin.
    Start,
    /// End; carries how.
    Finish(Status),
    /// Revoke.
    Invalidate,
    /// Begin to take effects back.
    Compensate,
    /// Effects are taken back, or there was nothing to take back.
    FinishCompensation,
    /// Taking back failed.
    FailCompensation,
    /// Effects cannot be taken back.
    Stand,
}

/// A step that the lifecycle does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a decision that is `{}` cannot `{}`", from.name(), step.name())]
pub struct IllegalStep {
    /// Where the decision stands.
    pub from: Status,
    /// What was tried.
    pub step: Step,
}

impl Status {
    /// All statuses, in the order of the lifecycle. Indexes keep places in this list, so what came
    /// later stands at its end.
    pub const ALL: [Self; 15] = [
        Self::Proposed,
        Self::Held,
        Self::Approved,
        Self::Rejected,
        Self::Started,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Unknown,
        Self::Invalidated,
        Self::Compensating,
        Self::Compensated,
        Self::Stands,
        Self::CompensationFailed,
        Self::Replayed,
    ];

    /// Returns the name that the record uses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Held => "held",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Started => "started",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
            Self::Invalidated => "invalidated",
            Self::Compensating => "compensating",
            Self::Compensated => "compensated",
            Self::Stands => "stands",
            Self::CompensationFailed => "compensation-failed",
            Self::Replayed => "replayed",
        }
    }

    /// Returns the status after `step`.
    ///
    /// # Errors
    /// [`IllegalStep`] where the lifecycle has no such arrow.
    pub const fn after(self, step: Step) -> Result<Self, IllegalStep> {
        Ok(match (self, step) {
            (Self::Proposed, Step::Hold) => Self::Held,
            (Self::Proposed | Self::Held, Step::Approve) => Self::Approved,
            (Self::Proposed | Self::Held, Step::Reject) => Self::Rejected,
            (Self::Proposed | Self::Approved, Step::Start) => Self::Started,
            (Self::Proposed | Self::Held | Self::Approved, Step::Finish(Self::Cancelled)) => {
                Self::Cancelled
            }
            (
                Self::Started,
                Step::Finish(
                    to @ (Self::Succeeded
                    | Self::Failed
                    | Self::Cancelled
                    | Self::Unknown
                    | Self::Replayed),
                ),
            )
            | (
                Self::Unknown,
                Step::Finish(to @ (Self::Succeeded | Self::Failed | Self::Cancelled)),
            ) => to,
            (
                Self::Succeeded | Self::Failed | Self::Cancelled | Self::Unknown | Self::Replayed,
                Step::Invalidate,
            ) => Self::Invalidated,
            (Self::Invalidated | Self::CompensationFailed, Step::Compensate) => Self::Compensating,
            (Self::Invalidated | Self::Compensating, Step::FinishCompensation) => Self::Compensated,
            (Self::Compensating, Step::FailCompensation) => Self::CompensationFailed,
            (Self::Invalidated | Self::Compensating | Self::CompensationFailed, Step::Stand) => {
                Self::Stands
            }
            (from, step) => return Err(IllegalStep { from, step }),
        })
    }

    /// Tells whether a decision that stands here was revoked, whatever became of its effects.
    #[must_use]
    pub const fn is_rescinded(self) -> bool {
        matches!(
            self,
            Self::Invalidated
                | Self::Compensating
                | Self::Compensated
                | Self::Stands
                | Self::CompensationFailed
        )
    }

    /// What a reader may say of a decision that stands here when nobody is known to be carrying
    /// it out: a start without an end is *unknown*.
    #[must_use]
    pub const fn as_read(self) -> Self {
        match self {
            Self::Started => Self::Unknown,
            other => other,
        }
    }
}

impl From<&Outcome> for Status {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::Failed { .. } => Self::Failed,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Unknown => Self::Unknown,
            Outcome::Replayed => Self::Replayed,
        }
    }
}

impl Step {
    /// Returns the verb of the step.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Start => "start",
            Self::Finish(_) => "finish",
            Self::Invalidate => "invalidate",
            Self::Compensate => "compensate",
            Self::FinishCompensation => "finish compensation",
            Self::FailCompensation => "fail compensation",
            Self::Stand => "stand",
        }
    }
}
