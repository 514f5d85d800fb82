//! How to open an embedded store, and where its files are.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger::Entropy;
use model::{HybridTime, Realm};

use crate::disk::{Disk, RealDisk};

/// Tells seconds since 1970, for the time in a witness's signature.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Is told how many entries the index holds, and of how many, while it is built or catches up.
pub type Indexing = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// How to open an embedded store.
#[derive(Clone)]
pub struct OpenOptions {
    /// The data directory; made if it is not there.
    pub dir: PathBuf,
    /// The realm in it. Default: `default`.
    pub realm: Realm,
    /// What a new log is called: a URL without scheme, unique in the world. Default: a random
    /// name under `rescind.invalid`. An existing log keeps its name.
    pub origin: Option<String>,
    /// What a new log continues, after the old one was restored from a backup. Default: nothing.
    pub continue_from: Option<Continue>,
    /// Where the witness keeps its key and state: outside the data directory, better on another
    /// disk. Default: none, and then rolling the whole directory back is not noticed.
    pub witness_dir: Option<PathBuf>,
    /// Where keys come from.
    pub entropy: Arc<dyn Entropy>,
    /// Seconds since 1970.
    pub clock: Clock,
    /// The disk. Default: the real one.
    pub disk: Arc<dyn Disk>,
    /// Where the index is. Default: `index/<realm>.sqlite` in the data directory.
    pub index: Option<PathBuf>,
    /// Only look: take no lock, write nothing. Default: false.
    pub read_only: bool,
    /// Who opens, for the message that a second opener gets. Default: `rescind`.
    pub holder: String,
    /// A segment that has grown to this is sealed, in bytes. Default: 256 MiB.
    pub segment_len: u64,
    /// A pack that has grown to this is not written any more, in bytes. Default: 256 MiB.
    pub pack_len: u64,
    /// How much may wait to be written, and to be indexed, in bytes each. Default: 32 MiB.
    pub queue_len: usize,
    /// Is told how far the index is, when it is built or catches up, here and later. Default: none.
    pub indexing: Option<Indexing>,
}

/// The end of a log that a new one continues.
#[derive(Clone, Debug)]
pub struct Continue {
    /// The last known checkpoint of the old log, whole, with its signatures.
    pub checkpoint: String,
    /// The time of the event that says so.
    pub at: HybridTime,
}

impl OpenOptions {
    /// The defaults for a directory.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, entropy: Arc<dyn Entropy>, clock: Clock) -> Self {
        Self {
            dir: dir.into(),
            realm: Realm::default(),
            origin: None,
            continue_from: None,
            witness_dir: None,
            entropy,
            clock,
            disk: Arc::new(RealDisk),
            index: None,
            read_only: false,
            holder: "rescind".to_owned(),
            segment_len: 256 << 20,
            pack_len: super::pack::PACK_LEN,
            queue_len: 32 << 20,
            indexing: None,
        }
    }
}

impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenOptions")
            .field("dir", &self.dir)
            .field("realm", &self.realm)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}

/// Where the files of a realm are.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub(crate) dir: PathBuf,
    realm: Realm,
    index: Option<PathBuf>,
}

impl Paths {
    pub(crate) fn new(dir: &Path, realm: &Realm, index: Option<&Path>) -> Self {
        Self {
            dir: dir.to_owned(),
            realm: realm.clone(),
            index: index.map(Path::to_owned),
        }
    }

    fn of(&self, kind: &str) -> PathBuf {
        self.dir.join(kind).join(self.realm.as_str())
    }

    pub(crate) fn format(&self) -> PathBuf {
        self.dir.join("FORMAT")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.dir.join("LOCK")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.of("log")
    }

    pub(crate) fn segments(&self) -> PathBuf {
        self.of("segments")
    }

    pub(crate) fn payloads(&self) -> PathBuf {
        self.of("payloads")
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.of("keys")
    }

    pub(crate) fn log_keys(&self) -> PathBuf {
        self.keys().join(super::keys::LOG_KEYS)
    }

    pub(crate) fn next_log_keys(&self) -> PathBuf {
        self.keys().join(super::keys::LOG_KEYS_NEXT)
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.of("state").join("tree")
    }

    pub(crate) fn signed(&self) -> PathBuf {
        self.of("state").join("signed")
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.log().join("checkpoint")
    }

    pub(crate) fn index(&self) -> PathBuf {
        match &self.index {
            Some(path) => path.clone(),
            None => self
                .dir
                .join("index")
                .join(format!("{}.sqlite", self.realm)),
        }
    }
}
