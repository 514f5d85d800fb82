//! What can go wrong above the store.

use ledger::{Remedy, StoreError};
use model::FoldError;

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
    /// An erasure that the rules do not allow.
    #[error("subject `{subject}` must be kept: {reason}")]
    Retained {
        /// The subject.
        subject: String,
        /// Which rule.
        reason: String,
    },
    /// A claimed cause lies later than its effect, so the claims form a circle.
    #[error("{position} claims a cause that comes later")]
    Circle {
        /// Where in the source the claim lies.
        position: String,
    },
    /// The store did not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EngineError {
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
            Self::Import(error) => return error.hint(),
            Self::Store(error) => return error.hint(),
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
