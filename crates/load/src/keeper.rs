//! What any recorder of this make does besides relaying: seals what is asked and answered, writes each
//! into a journal before it goes on, and brings them to the disk in groups.
//!
//! The gateway's own parts do it, and in the same order. There are no events, causes, index or
//! signatures, and nothing is read of what passes: what a call costs with it is what a gateway that
//! records cannot go below.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use anyhow::Context as _;
use ledger::entropy::draw;
use ledger::payload::{FieldIn, Sealer};
use ledger::{Batch, Journal as _, Place, SubjectKey, SystemEntropy};
use store::FileJournal;
use store::disk::RealDisk;
use store::worker::{self, Worker};

/// How long is gathered before a sync, as the gateway does with what nobody waits for.
const GATHER: Duration = Duration::from_millis(25);

/// Bytes that may wait for the disk.
const WAITING_MAX: u64 = 256 << 20;

/// Seals, journals and syncs.
#[derive(Debug)]
pub struct Keeper {
    journal: Arc<FileJournal>,
    key: SubjectKey,
    entropy: SystemEntropy,
    sealer: Mutex<Sealer>,
    // Before the thread, which ends when nobody can send any more.
    kept: mpsc::Sender<(Place, Vec<u8>)>,
    _syncs: Worker,
}

impl Keeper {
    /// Keeps in `dir`, which is made.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let disk = Arc::new(RealDisk);
        let journal = Arc::new(FileJournal::open(disk, &dir.join("journal"), WAITING_MAX)?);
        let file = File::create(dir.join("kept"))?;
        let (kept, waiting) = mpsc::channel();
        let landing = Arc::clone(&journal);
        let syncs = worker::spawn("load-keeper", move || {
            while land(&waiting, &file, &landing).is_ok() {}
        })?;
        let entropy = SystemEntropy::new();
        Ok(Self {
            journal,
            key: SubjectKey::generate(&entropy),
            entropy,
            sealer: Mutex::default(),
            kept,
            _syncs: syncs,
        })
    }

    /// Keeps a body. On return it survives the end of this process.
    ///
    /// # Errors
    /// What the disk says, now or when it was synced before.
    pub fn keep(&self, role: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let salt = draw(&self.entropy);
        let media = "application/json";
        let field = FieldIn {
            role,
            media,
            bytes,
            salt,
        };
        let nonce = draw(&self.entropy);
        let mut sealer = self.sealer.lock().unwrap_or_else(PoisonError::into_inner);
        let sealed = sealer.seal(&self.key, nonce, &[], &[field])?;
        drop(sealer);
        let mut batch = Batch {
            leaves: Vec::new(),
            payloads: vec![(sealed.ct, sealed.ciphertext)],
        };
        let place = self.journal.put(&batch)?;
        let sealed = batch.payloads.pop().map(|(_, sealed)| sealed);
        self.kept
            .send((place, sealed.unwrap_or_default()))
            .context("a sync failed before")
    }
}

/// Brings what was kept meanwhile to the disk.
fn land(
    waiting: &mpsc::Receiver<(Place, Vec<u8>)>,
    mut file: &File,
    journal: &FileJournal,
) -> anyhow::Result<()> {
    let first = waiting.recv()?;
    std::thread::sleep(GATHER);
    let (places, sealed): (Vec<Place>, Vec<Vec<u8>>) =
        std::iter::once(first).chain(waiting.try_iter()).unzip();
    file.write_all(&sealed.concat())?;
    file.sync_data()?;
    for place in places {
        journal.done(place);
    }
    Ok(())
}
