//! What can go wrong above the store.

use ledger::{Remedy, StoreError};
use model::FoldError;

use crate::undo::UndoError;

/// Why the engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Nothing in the record has this id.
    #[error("nothing in the record has the id `{text}`")]
    NotFound {
        /// What was asked for.
        text: String,
    },
    /// Several things in the record have ids like this.
    #[error("`{text}` could be {}", list(candidates))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// Ids that fit.
        candidates: Vec<String>,
    },
    /// The id is of something else.
    #[error("`{id}` is {is}, not {wanted}")]
    WrongKind {
        /// The id.
        id: String,
        /// What it names.
        is: &'static str,
        /// What was wanted.
        wanted: &'static str,
    },
    /// A text that cannot be part of an id.
    #[error("`{text}` cannot be part of an id")]
    BadId {
        /// What was read.
        text: String,
    },
    /// The events of a decision do not fit together.
    #[error("the events of decision `{id}` do not fit together")]
    Unfoldable {
        /// The decision.
        id: String,
        /// What does not fit.
        #[source]
        source: FoldError,
    },
    /// A leaf cannot be read.
    #[error("leaf {index} cannot be read")]
    Leaf {
        /// Its place in the log.
        index: u64,
        /// Why not.
        #[source]
        source: ledger::LeafError,
    },
    /// An event cannot be a leaf.
    #[error("the event at {position} cannot be recorded")]
    Unrecordable {
        /// Where in the source it lies.
        position: String,
        /// Why not.
        #[source]
        source: ledger::LeafError,
    },
    /// Content could not be sealed or opened.
    #[error("the content of event `{event}` cannot be opened")]
    Content {
        /// The event.
        event: String,
        /// Why not.
        #[source]
        source: ledger::payload::PayloadError,
    },
    /// The file to import is not what it should be.
    #[error(transparent)]
    Import(#[from] wire::import::ImportError),
    /// A name is longer than a leaf should hold.
    #[error("the {what} at {position} has {len} bytes, more than {max}")]
    TooLong {
        /// What it names.
        what: &'static str,
        /// Where in the source it stands.
        position: String,
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// Something has no canonical form.
    #[error("{position} has no canonical form")]
    Uncanonical {
        /// Where in the source it stands.
        position: String,
        /// Why not.
        #[source]
        source: ledger::canonical::CanonicalError,
    },
    /// The log was not sealed since the entry was appended.
    #[error("entry {index} is not under the last checkpoint, which covers {size} entries")]
    Unproven {
        /// The entry.
        index: u64,
        /// Entries under the checkpoint.
        size: u64,
    },
    /// The checkpoint cannot be read.
    #[error("the checkpoint cannot be read")]
    Checkpoint(#[source] ledger::NoteError),
    /// A tile of the log cannot be read.
    #[error("the log's tiles cannot be read")]
    Tile(#[source] ledger::TileError),
    /// The recorded causes make no graph.
    #[error("the recorded causes make no graph")]
    Graph {
        /// Why not.
        #[source]
        source: lineage::GraphError,
    },
    /// A decision has no environment snapshot, or it was erased.
    #[error("there is no environment snapshot of decision `{id}`")]
    NoEnvironment {
        /// The decision.
        id: String,
    },
    /// A decision has no content of this name.
    #[error("`{name}` is no content of a decision")]
    NoField {
        /// What was asked for.
        name: String,
    },
    /// An erasure that the rules do not allow.
    #[error("subject `{subject}` must be kept: {reason}")]
    Retained {
        /// The subject.
        subject: String,
        /// Which rule.
        reason: String,
    },
    /// A decision that waits for nobody, or does so no longer.
    #[error("decision `{id}` does not wait for an approval: it is {status}")]
    NotHeld {
        /// The decision.
        id: String,
        /// Where it stands.
        status: &'static str,
    },
    /// Something else waits than was shown.
    #[error("what waits as `{id}` is not the call that was shown")]
    Shown {
        /// The decision.
        id: String,
        /// Digest of what was shown.
        shown: String,
        /// Digest of what waits.
        waits: String,
    },
    /// The time to decide is over.
    #[error("decision `{id}` had to be decided until {until}")]
    Overdue {
        /// The decision.
        id: String,
        /// Until when.
        until: String,
    },
    /// Who asked for a call cannot approve it.
    #[error("`{by}` asked for this call, and cannot approve it")]
    OwnCall {
        /// Who.
        by: String,
    },
    /// A state that is not fit to be saved.
    #[error("the state cannot be saved: {reason}")]
    BadCheckpoint {
        /// Why not.
        reason: String,
    },
    /// A state that cannot be given back.
    #[error("checkpoint `{id}` cannot be restored: its state is {why}")]
    Unrestorable {
        /// The checkpoint.
        id: String,
        /// What became of it: `damaged`, `missing` or `erased`.
        why: String,
    },
    /// A claimed cause lies later than its effect, so the claims form a circle.
    #[error("{position} claims a cause that comes later")]
    Circle {
        /// Where in the source the claim lies.
        position: String,
    },
    /// A rollback is not carried out as asked.
    #[error(transparent)]
    Undo(#[from] UndoError),
    /// The store did not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What kind of failure an error is, for who made the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// What was asked makes no sense.
    Request,
    /// What was asked for is not there.
    Absent,
    /// It is not possible as things stand, and may be once they have changed.
    Conflict,
    /// Not now: the same call may go through later.
    Unavailable,
    /// The record, or the program, is not as it should be.
    Broken,
}

impl EngineError {
    /// Returns what kind of failure it is, and a stable name for programs.
    #[must_use]
    pub const fn class(&self) -> (Class, &'static str) {
        match self {
            Self::NotFound { .. } => (Class::Absent, "not-found"),
            Self::NoEnvironment { .. } => (Class::Absent, "no-environment"),
            Self::Ambiguous { .. } => (Class::Request, "ambiguous"),
            Self::WrongKind { .. } => (Class::Request, "wrong-kind"),
            Self::BadId { .. } => (Class::Request, "bad-id"),
            Self::BadCheckpoint { .. } => (Class::Request, "bad-checkpoint"),
            Self::Unrestorable { .. } => (Class::Broken, "unrestorable"),
            Self::NoField { .. } => (Class::Request, "no-field"),
            Self::Import(_)
            | Self::TooLong { .. }
            | Self::Uncanonical { .. }
            | Self::Unrecordable { .. }
            | Self::Circle { .. } => (Class::Request, "bad-input"),
            Self::Unproven { .. } => (Class::Conflict, "not-sealed"),
            Self::Retained { .. } => (Class::Conflict, "retained"),
            Self::NotHeld { .. } => (Class::Conflict, "not-held"),
            Self::Shown { .. } => (Class::Conflict, "not-shown"),
            Self::Overdue { .. } => (Class::Conflict, "overdue"),
            Self::OwnCall { .. } => (Class::Conflict, "own-call"),
            Self::Undo(error) => error.class(),
            Self::Unfoldable { .. }
            | Self::Leaf { .. }
            | Self::Content { .. }
            | Self::Checkpoint(_)
            | Self::Tile(_)
            | Self::Graph { .. } => (Class::Broken, "damaged"),
            Self::Store(StoreError::Full { .. }) => (Class::Unavailable, "no-space"),
            Self::Store(StoreError::Poisoned { .. } | StoreError::Closed) => {
                (Class::Unavailable, "stopped")
            }
            Self::Store(error) => match error.remedy() {
                Remedy::Retry => (Class::Unavailable, "unavailable"),
                Remedy::Reload => (Class::Conflict, "conflict"),
                Remedy::Intervene => (Class::Broken, "damaged"),
            },
        }
    }

    /// Returns what a caller can do.
    #[must_use]
    pub const fn remedy(&self) -> Remedy {
        match self {
            Self::Store(error) => error.remedy(),
            _ => Remedy::Intervene,
        }
    }

    /// Returns what a person can do, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotFound { .. } => {
                "`rescind runs` lists the runs, `rescind graph RUN` the decisions of one".to_owned()
            }
            Self::Ambiguous { .. } => {
                "give more of the id: its beginning or its end, at least four characters".to_owned()
            }
            Self::WrongKind {
                wanted: "a decision",
                ..
            } => "name a decision of a run as `RUN:N`; `rescind graph RUN` numbers them".to_owned(),
            Self::NoEnvironment { .. } => "its source gave none, or it was erased".to_owned(),
            Self::BadId { .. } => {
                "an id is hexadecimal digits and dashes; its beginning or end will do".to_owned()
            }
            Self::Retained { .. } => {
                "see `rescind erase --help` for what may be erased before its time".to_owned()
            }
            Self::NotHeld { .. } | Self::Overdue { .. } => {
                "`rescind approvals` lists what waits".to_owned()
            }
            Self::Shown { .. } => "look at it again: `rescind approvals`".to_owned(),
            Self::OwnCall { .. } => "somebody else has to decide".to_owned(),
            Self::NoField { .. } => {
                let names: Vec<&str> = model::Field::ALL.iter().map(|f| f.name()).collect();
                format!("use `all`, or some of {}", names.join(", "))
            }
            Self::Import(error) => return error.hint(),
            Self::Undo(error) => return error.hint(),
            Self::Store(error) => return error.hint(),
            Self::Unrestorable { .. } => {
                "nothing was given back; `rescind verify --full` tells what else is damaged"
                    .to_owned()
            }
            Self::Unproven { .. } => {
                "the log is sealed when a writing command ends; try again then".to_owned()
            }
            Self::Unfoldable { .. } | Self::Leaf { .. } => {
                "`rescind verify --full` tells whether the record was changed".to_owned()
            }
            _ => return None,
        })
    }
}

/// Returns the message of an error and those of its sources, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let text = source.to_string();
        // Some libraries repeat their source in their own message.
        if !message.ends_with(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        next = source.source();
    }
    message
}

fn list(candidates: &[String]) -> String {
    let shown: Vec<String> = candidates
        .iter()
        .take(4)
        .map(|id| format!("`{id}`"))
        .collect();
    let more = if candidates.len() > 4 {
        " and others"
    } else {
        ""
    };
    format!("{}{more}", shown.join(", "))
}
