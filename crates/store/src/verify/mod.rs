//! Checks a data directory without opening it as a store: every byte that matters, and where the
//! first bad leaf is.
//!
//! Needs no lock and writes nothing. It trusts the log's public keys (which a careful caller
//! brings along from elsewhere) and what a witness saw; everything else is recomputed. Which bytes
//! are covered by what stands in `docs/design/on-disk-format.md`.
//!
//! ```text
//! checkpoint ── signature ──► root ──► tiles ──► bundles ──► segments (byte for byte)
//!      │                                             └──► payloads, by the digests in the leaves
//!      └── signed, tree, witness: never behind what was signed
//! ```
//!
//! A directory that holds only a published log, as C2SP lays it out, can be checked too.

mod log;
mod payloads;
mod state;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger::digest::sha256;
use ledger::{Checkpoint, StoreError, VerifyingKey};
use model::{Digest, Realm};

use crate::disk::{self, Disk, How, RealDisk};

/// What to check, and with whose keys.
#[derive(Clone, Debug)]
pub struct Options {
    /// Hash every entry and every payload. Default: false, and then only the signature, the
    /// tiles at the edge, the state files and the last segment are checked.
    pub full: bool,
    /// With `full`: decode every leaf, and compare the index with one built anew. Default: true.
    pub events: bool,
    /// The realm. Default: `default`.
    pub realm: Realm,
    /// The log's verifier keys, from a place that one trusts. Default: those in the directory,
    /// which shows only that the log agrees with itself.
    pub keys: Vec<VerifyingKey>,
    /// Checkpoints of the log that somebody kept elsewhere: it must have grown out of each of them.
    /// Default: none.
    pub anchors: Vec<Checkpoint>,
    /// Where the witness keeps its state. Default: none.
    pub witness_dir: Option<PathBuf>,
    /// How many threads work. Default: as many as there are cores.
    pub threads: usize,
    /// The disk. Default: the real one.
    pub disk: Arc<dyn Disk>,
    /// Where the index is. Default: in its place in the directory.
    pub index: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            full: false,
            events: true,
            realm: Realm::default(),
            keys: Vec::new(),
            anchors: Vec::new(),
            witness_dir: None,
            threads: crate::worker::cores(),
            disk: Arc::new(RealDisk),
            index: None,
        }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The name of the log.
    pub origin: String,
    /// Leaves under the checkpoint.
    pub size: u64,
    /// Their root, as signed.
    pub root: Option<Digest>,
    /// What is not as it was written, in the order of the first leaf that it makes doubtful.
    pub findings: Vec<Finding>,
    /// What is worth knowing and is no damage.
    pub notices: Vec<String>,
    /// How much was checked.
    pub checked: Checked,
}

impl Report {
    /// Whether everything that was checked is as it was written.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.findings.is_empty()
    }

    /// The first leaf that cannot be relied on.
    #[must_use]
    pub fn first_bad(&self) -> Option<u64> {
        self.findings
            .iter()
            .filter_map(|finding| finding.first_bad)
            .min()
    }
}

/// How much was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Entries whose hash was recomputed.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Leaves of segments whose checksum was recomputed.
    pub leaves: u64,
    /// Files of the published log besides those that the audit reads.
    pub files: u64,
    /// Payloads whose digest was recomputed.
    pub payloads: u64,
    /// Payloads that are erased, with proof.
    pub erased: u64,
    /// Rows of the index that were compared.
    pub rows: u64,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What happened.
    pub kind: Kind,
    /// The first leaf that it makes doubtful, where that is known.
    pub first_bad: Option<u64>,
    /// The file that shows it.
    pub file: Option<PathBuf>,
    /// In words.
    pub detail: String,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A file is gone.
    Missing,
    /// A file is not what was written.
    Damaged,
    /// The checkpoint is not signed by the log.
    Signature,
    /// An entry or tile is not what was signed.
    Log,
    /// The log is shorter than what was signed or seen.
    RolledBack,
    /// The log is other than what was signed or seen.
    Rewritten,
    /// A segment and the published log differ.
    Segment,
    /// A payload is missing without an erasure, or is not what its leaf says.
    Payload,
    /// The index is not what the log says.
    Index,
    /// A leaf is no event.
    Event,
}

/// How far a check is: what it is doing, and how much of it is done.
pub type Progress<'p> = &'p (dyn Fn(&'static str, u64, u64) + Sync);

/// How many findings of one sort are listed.
const LISTED: usize = 64;

/// What all parts of a check share.
pub(crate) struct Check<'c> {
    pub(crate) options: &'c Options,
    pub(crate) paths: crate::embedded::Paths,
    pub(crate) progress: Progress<'c>,
    pub(crate) report: Report,
    pub(crate) named: payloads::Named,
}

impl Check<'_> {
    fn find(&mut self, kind: Kind, first_bad: Option<u64>, file: Option<&Path>, detail: String) {
        let file = file.map(Path::to_owned);
        self.report.findings.push(Finding {
            kind,
            first_bad,
            file,
            detail,
        });
    }

    /// Lists the first of many findings of one sort, and says in a notice how many more there are.
    /// A leaf of `u64::MAX` is none.
    fn find_some(&mut self, file: &Path, what: &str, mut found: Vec<(u64, String)>) {
        found.sort_unstable();
        if found.len() > LISTED {
            let more = found.len() - LISTED;
            let notice = format!("{more} more {what} than are listed");
            self.report.notices.push(notice);
        }
        for (seq, detail) in found.into_iter().take(LISTED) {
            let first_bad = (seq < u64::MAX).then_some(seq);
            self.find(Kind::Payload, first_bad, Some(file), detail);
        }
    }

    /// Takes an error of reading as a finding, where it is one.
    fn find_error(&mut self, error: StoreError) -> Result<(), StoreError> {
        let first_bad = match &error {
            StoreError::Damaged { first_bad, .. } => *first_bad,
            StoreError::RolledBack { have, .. } => {
                self.find(Kind::RolledBack, Some(*have), None, error.to_string());
                return Ok(());
            }
            _ => return Err(error),
        };
        self.find(Kind::Damaged, first_bad, None, error.to_string());
        Ok(())
    }
}

/// Checks the data directory, or the published log, in `dir`.
///
/// A process that writes meanwhile is no damage: what is found while the directory changes is looked
/// at again.
///
/// # Errors
/// [`StoreError::Unavailable`] if it could not be checked: it is neither, cannot be read, or no
/// key is known; [`StoreError::Newer`] for files of a newer version. Damage is no error.
pub fn verify(dir: &Path, options: &Options, progress: Progress<'_>) -> Result<Report, StoreError> {
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        let before = stand(dir, options);
        let result = once(dir, options, progress);
        let doubtful = !matches!(&result, Ok(report) if report.is_intact());
        if left == 0 || !doubtful || before == stand(dir, options) {
            return result;
        }
    }
}

/// How often a directory that changes is looked at before a finding is believed.
const ATTEMPTS: usize = 5;

/// What changes whenever a process writes: digests of the small files, and how long the others are.
fn stand(dir: &Path, options: &Options) -> Vec<(PathBuf, u64, Option<Digest>)> {
    let paths = crate::embedded::Paths::new(dir, &options.realm, options.index.as_deref());
    let mut stand = Vec::new();
    for path in [
        paths.checkpoint(),
        paths.signed(),
        paths.tree(),
        paths.log_keys(),
        paths.keys().join("subjects.keys"),
        dir.join("checkpoint"),
    ] {
        let bytes = disk::read(&*options.disk, &path).ok().flatten();
        let digest = bytes.map(|bytes| sha256(&zeroize::Zeroizing::new(bytes)));
        stand.push((path, 0, digest));
    }
    for dir in [paths.segments(), paths.payloads()] {
        for name in options.disk.list(&dir).unwrap_or_default() {
            let path = dir.join(name);
            let file = options.disk.open(&path, How::Read);
            let len = file.and_then(|file| file.len()).unwrap_or(0);
            stand.push((path, len, None));
        }
    }
    stand
}

fn once(dir: &Path, options: &Options, progress: Progress<'_>) -> Result<Report, StoreError> {
    let paths = crate::embedded::Paths::new(dir, &options.realm, options.index.as_deref());
    let mut check = Check {
        options,
        paths,
        progress,
        report: Report {
            origin: String::new(),
            size: 0,
            root: None,
            findings: Vec::new(),
            notices: Vec::new(),
            checked: Checked::default(),
        },
        named: payloads::Named::default(),
    };
    state::whole(&mut check)?;
    let mut report = check.report;
    report
        .findings
        .sort_by_key(|finding| finding.first_bad.unwrap_or(u64::MAX));
    Ok(report)
}
