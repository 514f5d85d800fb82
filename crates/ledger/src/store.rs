//! The store seam: what everything above asks of a store, and what a store owes.
//!
//! A store keeps three things: the log (leaves in order; the truth), payloads beside it
//! (ciphertexts, each of the event whose leaf names its digest), and the keys of subjects (which
//! can be destroyed). What it
//! answers about runs, decisions and edges comes from an index, which is a projection: rebuilt
//! from the log at any time, with the same answers.
//!
//! A store does not know what an event means. It reads [`IndexKeys`](model::IndexKeys) and
//! nothing else. Every implementation runs the one conformance suite of this crate.

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;

use async_trait::async_trait;
use model::{
    DecisionId, DecisionKeys, Digest, Edge, EventId, HybridTime, Kind, Origin, RunId, RunKeys,
};
use model::{Status, Strength, SubjectId, ToolKeys, Touched};

use crate::Leaf;
use crate::payload::SubjectKey;

/// Keeps the record.
///
/// What callers may rely on: when [`append`](Store::append) returns, the leaves and payloads of
/// the batch are durable; sequence numbers are dense and never reused; a failure that leaves the
/// outcome open poisons the store, so that nothing is acknowledged on top of it.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// Appends a batch, whole or not at all, and returns where its leaves lie.
    ///
    /// Idempotent by event id: a leaf whose id is in the log already is not appended again, and
    /// its first place is returned. A leaf that continues a stream (its keys name one) must name
    /// in `prev` the last event of that stream; one that begins a stream names none.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if a stream has moved on (nothing of the batch is appended);
    /// [`StoreError::Full`], [`StoreError::Poisoned`], [`StoreError::Unavailable`].
    async fn append(&self, batch: Batch) -> Result<Appended, StoreError>;

    /// Returns up to `limit` leaves from `from` on, in order, with their sequence numbers. Reads
    /// only what is durable; past the end it returns none.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if what is read is not what was written.
    async fn read(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError>;

    /// Returns how far the store is: durable, indexed, published.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`].
    async fn status(&self) -> Result<StoreStatus, StoreError>;

    /// Waits until the index holds everything below `size`. Bounded: a stopped indexer is an
    /// error, not a wait for ever.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn wait_indexed(&self, size: u64) -> Result<(), StoreError>;

    /// Publishes a checkpoint over everything durable: entry bundles and tiles, made durable,
    /// then the signed note. Returns the note. Publishing twice without new leaves returns the
    /// same note.
    ///
    /// # Errors
    /// [`StoreError::RolledBack`] if the log is behind what was signed before: it then refuses to
    /// sign for good.
    async fn publish(&self) -> Result<String, StoreError>;

    /// Returns a file of the published log by its C2SP path (`checkpoint`, `tile/0/000`,
    /// `tile/entries/000.p/5`), or none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]. A path that is not of the layout gives none.
    async fn log_file(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Returns the verifier keys of the log, newest last, and of its witnesses.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn sealing(&self) -> Result<Sealing, StoreError>;

    /// Returns the ciphertext of an event's payload, whose digest its leaf says.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if its digest is not `ct`.
    async fn payload(&self, event: EventId, ct: Digest) -> Result<BlobState, StoreError> {
        let mut found = self.payloads(&[(event, ct)]).await?;
        found.pop().unwrap_or(Ok(BlobState::Absent))
    }

    /// Returns many payloads' ciphertexts, in the order in which they are asked for, each by its
    /// event and digest. One that is damaged says so in its place and hides none of the others.
    /// They are in memory together: who asks for many asks in parts.
    ///
    /// A payload is found by its event, because events come in the order of their time and digests
    /// in none: a digest alone finds nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn payloads(
        &self,
        asked: &[(EventId, Digest)],
    ) -> Result<Vec<Result<BlobState, StoreError>>, StoreError>;

    /// Returns a subject's key.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn key(&self, subject: SubjectId) -> Result<KeyState, StoreError>;

    /// Keeps a subject's key, durably. A subject has one key for ever: keeping another is a
    /// conflict, keeping one for a subject that was erased is refused.
    ///
    /// # Errors
    /// [`StoreError::KeyExists`].
    async fn keep_key(&self, subject: SubjectId, key: SubjectKey) -> Result<(), StoreError>;

    /// Keeps keys of several subjects, as [`keep_key`](Self::keep_key) does each, with as few syncs
    /// as it can. After an error some of them may be kept; keeping all again is no conflict.
    ///
    /// # Errors
    /// [`StoreError::KeyExists`].
    async fn keep_keys(&self, keys: Vec<(SubjectId, SubjectKey)>) -> Result<(), StoreError> {
        for (subject, key) in keys {
            self.keep_key(subject, key).await?;
        }
        Ok(())
    }

    /// Destroys a subject's key and scrubs the ciphertexts it opens, durably. The caller appended
    /// the erasure first, so that a crash in between is finished at the next start. Destroying
    /// twice is the same as once.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn destroy_key(&self, subject: SubjectId) -> Result<(), StoreError>;

    /// Returns the last event of a stream.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn head(&self, stream: [u8; 16]) -> Result<Option<EventId>, StoreError>;

    /// Returns runs, newest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn runs(&self, page: Page) -> Result<Vec<RunRow>, StoreError>;

    /// Returns the runs that were recorded here under a name, newest first, with their names, at
    /// most `limit`. Of runs that share a name the newest comes first; those that were imported are
    /// left out, whatever they are called.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn named_runs(&self, limit: u64) -> Result<Vec<(String, RunId)>, StoreError>;

    /// Returns for each origin the run that was imported from exactly it, wholly or in part.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn imported(&self, origins: &[Origin]) -> Result<Vec<Option<RunRow>>, StoreError>;

    /// Returns one run.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn run(&self, run: RunId) -> Result<Option<RunRow>, StoreError>;

    /// Returns the decisions of a run, or of all runs, in the order of the log.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn decisions(
        &self,
        run: Option<RunId>,
        page: Page,
    ) -> Result<Vec<DecisionRow>, StoreError>;

    /// Returns the decisions of one kind in these runs, or in all, in the order of the log.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn decisions_of(
        &self,
        kind: Kind,
        runs: Option<&[RunId]>,
    ) -> Result<Vec<DecisionRow>, StoreError>;

    /// Returns the rows of these decisions; unknown ones are left out.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn rows(&self, ids: &[DecisionId]) -> Result<Vec<DecisionRow>, StoreError>;

    /// Returns the sequence numbers of a decision's events, in order.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn events_of(&self, decision: DecisionId) -> Result<Vec<u64>, StoreError>;

    /// Returns the leaves of many decisions with their sequence numbers, those of each decision in
    /// order; an unknown one has none. They are in memory together: who asks for many asks in parts.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if what is read is not what was written.
    async fn leaves_of(
        &self,
        decisions: &[DecisionId],
    ) -> Result<Vec<Vec<(u64, Vec<u8>)>>, StoreError>;

    /// Returns the sequence numbers of the events whose payloads a subject's key opens.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn events_about(&self, subject: SubjectId) -> Result<Vec<u64>, StoreError>;

    /// Returns the sequence numbers of the events whose bodies have one of these names, in order.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn events_named(&self, names: &[&str]) -> Result<Vec<u64>, StoreError>;

    /// Returns the decisions with an event at or after `since` that says that a tool call touches one
    /// of these, each once, in the order of their ids.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn touching(
        &self,
        touched: &[Touched],
        since: u64,
    ) -> Result<Vec<DecisionId>, StoreError>;

    /// Returns the tools that were called, with how often, in the order of their servers and names;
    /// those of no server come first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn tools(&self, page: Page) -> Result<Vec<ToolRow>, StoreError>;

    /// Returns the decisions, runs, subjects and events whose ids begin with `prefix` (lowercase
    /// hexadecimal digits and dashes), at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn find(&self, prefix: &str, limit: usize) -> Result<Vec<Found>, StoreError>;

    /// Returns the runs, decisions and subjects whose ids end with `suffix` (lowercase hexadecimal
    /// digits and dashes), at most `limit`. Ids of one time differ at their end, so the end is
    /// what people see and type.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn find_end(&self, suffix: &str, limit: usize) -> Result<Vec<Found>, StoreError>;

    /// Returns the edges that leave these decisions in the given direction, one level.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn edges(
        &self,
        ids: &[DecisionId],
        direction: Direction,
    ) -> Result<Vec<Edge>, StoreError>;

    /// Returns every decision reached from `id` over edges at least as strong as `least`, with
    /// its distance, nearest first, `id` itself left out. At most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn closure(
        &self,
        id: DecisionId,
        direction: Direction,
        least: Strength,
        limit: usize,
    ) -> Result<Vec<(DecisionId, u32)>, StoreError>;

    /// Rebuilds every projection from the log and returns how many leaves were read.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Unavailable`].
    async fn reindex(&self) -> Result<u64, StoreError>;

    /// Publishes what is not published yet, stops, and lets go of the directory or connection.
    /// Later calls fail.
    ///
    /// # Errors
    /// As [`publish`](Store::publish).
    async fn close(&self) -> Result<(), StoreError>;
}

/// What is appended together: leaves, and the ciphertexts that they name.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The leaves, in order.
    pub leaves: Vec<Leaf>,
    /// The ciphertexts, each under its SHA-256.
    pub payloads: Vec<(Digest, Vec<u8>)>,
}

/// Where a batch lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The sequence number of each leaf, in the order of the batch.
    pub seqs: Vec<u64>,
    /// How many of them were new.
    pub new: usize,
}

/// How far a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreStatus {
    /// Leaves that are durable.
    pub durable: u64,
    /// Leaves that the index holds; the difference is the index lag.
    pub indexed: u64,
    /// Leaves under the last signed checkpoint; the difference is the publishing lag.
    pub published: u64,
    /// The time of the last leaf.
    pub last: Option<HybridTime>,
    /// What opening found and mended or wants known, such as a torn tail that was cut.
    pub notices: Vec<String>,
}

/// The public keys that a log is verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealing {
    /// The log's origin.
    pub origin: String,
    /// Verifier keys of the log, newest last.
    pub log: Vec<String>,
    /// Verifier keys of its witnesses.
    pub witnesses: Vec<String>,
}

/// What became of a subject's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It is there.
    Kept(SubjectKey),
    /// It was destroyed.
    Destroyed,
    /// It was never there.
    Absent,
}

/// What became of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobState {
    /// It is there.
    Kept(Vec<u8>),
    /// Its ciphertext was scrubbed.
    Scrubbed,
    /// It is not there.
    Absent,
}

/// A part of a longer list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many to pass over.
    pub skip: u64,
    /// How many at the most.
    pub limit: u64,
}

impl Page {
    /// The first `limit`.
    #[must_use]
    pub const fn first(limit: u64) -> Self {
        Self { skip: 0, limit }
    }
}

/// What an index says of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// What the run's opening says. For a run that was never opened, only its id is known.
    pub keys: RunKeys,
    /// Sequence number of its first event.
    pub first: u64,
    /// When the record learned of it.
    pub at: HybridTime,
    /// Whether its import was finished; true for runs that are not imports.
    pub whole: bool,
    /// Decisions by status.
    pub decisions: BTreeMap<Status, u64>,
    /// The agents that decided in it, in the order of their names.
    pub agents: Vec<String>,
}

/// What an index says of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRow {
    /// The decision.
    pub id: DecisionId,
    /// What its first event says.
    pub keys: DecisionKeys,
    /// Where its last event left it.
    pub status: Status,
    /// Sequence number of its first event.
    pub first: u64,
    /// When the record learned of it.
    pub at: HybridTime,
}

/// What an index says of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolRow {
    /// The tool, and the server that has it.
    pub keys: ToolKeys,
    /// How many decisions called it.
    pub calls: u64,
    /// Sequence number of the event that begins the first of them.
    pub first: u64,
    /// Sequence number of the event that begins the last of them.
    pub last: u64,
}

/// Something whose id begins as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// A run.
    Run(RunId),
    /// A decision.
    Decision(DecisionId),
    /// A subject.
    Subject(SubjectId),
    /// An event, and where it lies.
    Event(EventId, u64),
}

/// Which way to follow edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a decision to what it depends on.
    Causes,
    /// From a decision to what depends on it.
    Effects,
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A stream has moved on since the caller looked.
    #[error("the stream is at event {}, expected {}", shown(*actual), shown(*expected))]
    Conflict {
        /// The stream.
        stream: [u8; 16],
        /// What the leaf named in `prev`.
        expected: Option<EventId>,
        /// What it is.
        actual: Option<EventId>,
    },
    /// A payload is not what its digest says, or a leaf names one that did not come along.
    #[error("payload `{ct}` does not match what the batch says of it")]
    Payload {
        /// The digest.
        ct: Digest,
    },
    /// Another process has the directory open.
    #[error("data directory `{}` is in use by {holder}", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Who holds it: process id and since when, as it wrote them.
        holder: String,
    },
    /// There is no space left.
    #[error("no space left in `{}`", path.display())]
    Full {
        /// The directory.
        path: PathBuf,
    },
    /// An earlier failure left it open what is durable, so nothing more is accepted.
    #[error("the store stopped accepting after a failure: {reason}")]
    Poisoned {
        /// The failure.
        reason: String,
    },
    /// The files are of a newer version.
    #[error("`{}` has format version {found}, this program knows versions up to {known}", path.display())]
    Newer {
        /// The file or directory.
        path: PathBuf,
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// What is read is not what was written.
    #[error("{what} is damaged at {at}")]
    Damaged {
        /// What is damaged, such as a file.
        what: String,
        /// Where: an offset or a sequence number, with its unit.
        at: String,
        /// The first sequence number concerned, where it is known.
        first_bad: Option<u64>,
    },
    /// The log is behind what was signed before: an older copy was put in its place.
    #[error("log rollback detected: {have} leaves, but {signed} were signed before")]
    RolledBack {
        /// Leaves in the log.
        have: u64,
        /// Leaves under the newest checkpoint that was signed.
        signed: u64,
    },
    /// The log is not the one that was signed before, though it is long enough.
    #[error("log rewrite detected: the first {size} leaves are not those that were signed before")]
    Rewritten {
        /// Leaves under the checkpoint that was signed.
        size: u64,
    },
    /// The subject has a key already, or was erased.
    #[error("subject `{subject}` has a key already or was erased")]
    KeyExists {
        /// The subject.
        subject: SubjectId,
    },
    /// The disk or the database did not answer as it should.
    #[error("could not {doing}")]
    Unavailable {
        /// What was tried.
        doing: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The same call may go through later.
    Retry,
    /// Look again at what has changed, then decide anew.
    Reload,
    /// A person must look.
    Intervene,
}

impl StoreError {
    /// Returns what a caller can do.
    #[must_use]
    pub const fn remedy(&self) -> Remedy {
        match self {
            Self::Conflict { .. } | Self::KeyExists { .. } => Remedy::Reload,
            Self::Unavailable { .. } | Self::Full { .. } => Remedy::Retry,
            Self::Locked { .. }
            | Self::Payload { .. }
            | Self::Poisoned { .. }
            | Self::Newer { .. }
            | Self::Damaged { .. }
            | Self::RolledBack { .. }
            | Self::Rewritten { .. }
            | Self::Closed => Remedy::Intervene,
        }
    }

    /// Returns what a person can do, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Locked { .. } => {
                "wait for the other process or stop it, or choose another directory with `--data-dir`".to_owned()
            }
            Self::Full { .. } => "free some space; nothing that was not acknowledged is in the record".to_owned(),
            Self::Poisoned { .. } => {
                "restart: opening finds what is durable and goes on from there".to_owned()
            }
            Self::Unavailable { source, .. } => {
                let system = source.downcast_ref::<std::io::Error>()?;
                match system.kind() {
                    ErrorKind::ReadOnlyFilesystem => "the disk can only be read: make it writable, or choose another directory with `--data-dir`".to_owned(),
                    ErrorKind::PermissionDenied => "this user may not write there: change who owns it, or choose another directory with `--data-dir`".to_owned(),
                    _ => return None,
                }
            }
            Self::Newer { .. } => "use a newer `rescind`".to_owned(),
            Self::Damaged { .. } => {
                "`rescind verify --full` lists everything that is damaged; restore the directory from a backup, and if that is older begin a new log with `rescind continue`".to_owned()
            }
            Self::RolledBack { .. } | Self::Rewritten { .. } => {
                "this is an older or altered copy of the log; put the newest one back, or begin a new log that continues it: `rescind continue`".to_owned()
            }
            _ => return None,
        })
    }
}

fn shown(id: Option<EventId>) -> String {
    id.map_or_else(|| "none".to_owned(), |id| format!("`{id}`"))
}
