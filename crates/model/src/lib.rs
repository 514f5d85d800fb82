//! The words of Rescind: ids, time, events, decisions, causes, effects, outcomes.
//!
//! An [`Event`] is one fact, appended once and never edited. A [`Decision`] is the fold of the
//! events that name it; its [`Status`] moves only along the lifecycle, and an intent without an
//! outcome reads as *unknown*. A [`Cause`] is an edge from a decision to one that it depends on.
//!
//! Nothing here reads a clock, draws randomness or knows where events are kept: times and random
//! bytes are arguments. Start with [`Event`].

mod cause;
mod decision;
mod digest;
mod effect;
mod environment;
mod event;
mod id;
mod keys;
mod lifecycle;
mod proposal;
mod sealed;
mod time;

pub use cause::{Cause, CauseKind, Evidence, Strength};
pub use decision::{Decision, FoldError, Mark};
pub use digest::{Digest, DigestParseError};
pub use effect::{ClassSource, Effect, EffectClass, FailureClass, Outcome, Resource};
pub use environment::{Change, Environment};
pub use event::{Body, Event, Origin, Realm, RealmError};
pub use id::{DecisionId, EventId, IdError, RunId, SubjectId};
pub use keys::{DecisionKeys, Edge, IndexKeys, RunKeys, ToolKeys, Touched};
pub use lifecycle::{IllegalStep, Status, Step};
pub use proposal::{
    Account, Agent, Approval, Field, Kind, MissingField, PolicyUse, Proposal, Provenance, Verdict,
};
pub use sealed::{Base, Media, Sealed, SealedField};
pub use time::{HybridClock, HybridTime, Timestamp};
