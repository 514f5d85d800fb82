//! The witness in the same process: its key and what it saw lie outside the data directory.
//!
//! Because the directory can be put back to an older copy and the witness's state is not in it,
//! the witness notices. It decides as a pure function; here its state is kept, one file for each
//! log, durable before a signature is used and changed under a lock. It lends no independence:
//! that takes another operator.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger::cosign::{AddCheckpoint, Refused, Seen, Witness, WitnessKey, WitnessState};
use ledger::digest::sha256;
use ledger::note::Signature;
use ledger::{Entropy, Note, StoreError, TileReader, Tree, VerifyingKey};

use super::keys::{sealed, unsealed};
use crate::disk::{self, Disk, Lock};
use crate::error::{damaged, unavailable};

/// A witness and where it keeps its state.
#[derive(Debug)]
pub(crate) struct WitnessBox {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    key: String,
    origin: String,
}

impl WitnessBox {
    /// Opens the witness in `dir`, and makes its key if it has none yet.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        origin: &str,
        entropy: &dyn Entropy,
    ) -> Result<Self, StoreError> {
        let path = dir.join("witness.key");
        let failed =
            |e: std::io::Error| unavailable(format!("open the witness in `{}`", dir.display()), e);
        disk::create_dirs(&*disk, dir, true).map_err(failed)?;
        let key = match load(&*disk, &path)? {
            Some(key) => key,
            None => {
                let _held = hold(&*disk, &dir.join("LOCK"))?;
                // Another process may have made it before the lock was free.
                match load(&*disk, &path)? {
                    Some(key) => key,
                    None => make(&*disk, dir, &path, entropy)?,
                }
            }
        };
        WitnessKey::parse(&key).map_err(|_| damaged(&path, "line 1".to_owned(), None))?;
        Ok(Self {
            disk,
            dir: dir.to_owned(),
            key,
            origin: origin.to_owned(),
        })
    }

    /// Opens the witness in `dir` to look only: none if it is not there.
    pub(crate) fn look(
        disk: Arc<dyn Disk>,
        dir: &Path,
        origin: &str,
    ) -> Result<Option<Self>, StoreError> {
        let path = dir.join("witness.key");
        let Some(key) = load(&*disk, &path)? else {
            return Ok(None);
        };
        WitnessKey::parse(&key).map_err(|_| damaged(&path, "line 1".to_owned(), None))?;
        let (dir, origin) = (dir.to_owned(), origin.to_owned());
        Ok(Some(Self {
            disk,
            dir,
            key,
            origin,
        }))
    }

    fn witness_key(&self) -> WitnessKey {
        WitnessKey::parse(&self.key).expect("it was parsed when it was opened")
    }

    /// Returns the witness's verifier key.
    pub(crate) fn public(&self) -> String {
        self.witness_key().verifying_key().to_string()
    }

    /// Returns what it saw of this log last.
    pub(crate) fn seen(&self) -> Result<Option<Seen>, StoreError> {
        Ok(read_state(&*self.disk, &self.dir, &self.origin)?.seen(&self.origin))
    }

    /// Asks for a signature under `note`, a checkpoint over `size` leaves in `tiles`.
    pub(crate) fn cosign<R: TileReader>(
        &self,
        note: &Note,
        size: u64,
        tiles: R,
        keys: Vec<VerifyingKey>,
        time: u64,
    ) -> Result<Signature, StoreError> {
        let path = state_path(&self.dir, &self.origin);
        let _held = hold(&*self.disk, &path.with_extension("lock"))?;
        let state = read_state(&*self.disk, &self.dir, &self.origin)?;
        let old_size = state.seen(&self.origin).map_or(0, |seen| seen.size);
        if old_size > size {
            return Err(StoreError::RolledBack {
                have: size,
                signed: old_size,
            });
        }
        let proof = Tree::new(tiles, size)
            .prove_consistency(old_size, size)
            .map_err(|e| unavailable("prove to the witness that the log only grew", e))?;
        let request = AddCheckpoint {
            old_size,
            proof,
            checkpoint: note.clone(),
        };
        let witness = Witness::new(self.witness_key(), keys);
        let (state, signature) = match witness.add_checkpoint(&state, &request, time) {
            Ok(signed) => signed,
            Err(Refused::Stale { seen, .. }) => {
                return Err(StoreError::RolledBack {
                    have: size,
                    signed: seen,
                });
            }
            Err(Refused::Forked { .. } | Refused::Inconsistent { .. }) => {
                return Err(StoreError::Rewritten { size: old_size });
            }
            Err(refused) => return Err(unavailable("have the checkpoint witnessed", refused)),
        };
        let text = serde_json::to_string(&state)
            .map_err(|e| unavailable("write the witness's state", e))?;
        disk::replace(
            &*self.disk,
            &path,
            sealed(&format!("{text}\n")).as_bytes(),
            false,
        )
        .map_err(|e| unavailable(format!("write `{}`", path.display()), e))?;
        Ok(signature)
    }
}

fn make(
    disk: &dyn Disk,
    dir: &Path,
    path: &Path,
    entropy: &dyn Entropy,
) -> Result<String, StoreError> {
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    entropy.fill(&mut *seed);
    let name = format!("witness.invalid/{}", &sha256(&*seed).to_string()[..16]);
    let key =
        WitnessKey::from_seed(&name, &seed).map_err(|e| unavailable("make a witness key", e))?;
    let text = format!("{}\n", *key.encode());
    let text = zeroize::Zeroizing::new(sealed(&text));
    disk::replace(disk, path, text.as_bytes(), true)
        .map_err(|e| unavailable(format!("open the witness in `{}`", dir.display()), e))?;
    Ok(text.lines().next().expect("the key is a line").to_owned())
}

/// How often a lock of the witness is asked for, and how long is waited in between. Whoever holds
/// one writes a small file.
const TRIES: u32 = 200;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(25);

/// Takes a lock of the witness, and waits a few seconds for it.
fn hold(disk: &dyn Disk, path: &Path) -> Result<Lock, StoreError> {
    let holder = format!("process {}\n", std::process::id());
    let doing = || format!("lock the witness with `{}`", path.display());
    let mut left = TRIES;
    loop {
        left -= 1;
        match disk.lock(path, &holder) {
            Ok(Lock::Busy(holder)) if left == 0 => {
                let who = match holder.trim() {
                    "" => "another process",
                    who => who,
                };
                return Err(unavailable(
                    doing(),
                    format!("{who} has held it for seconds"),
                ));
            }
            Ok(Lock::Busy(_)) => std::thread::sleep(PAUSE),
            Ok(held) => return Ok(held),
            Err(error) => return Err(unavailable(doing(), error)),
        }
    }
}

fn load(disk: &dyn Disk, path: &Path) -> Result<Option<String>, StoreError> {
    let bytes =
        disk::read(disk, path).map_err(|e| unavailable(format!("read `{}`", path.display()), e))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let wrong = || damaged(path, "line 1".to_owned(), None);
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let body = unsealed(&text).ok_or_else(wrong)?;
    Ok(Some(body.trim_end().to_owned()))
}

/// Returns the verifier key of the witness in `dir`; none if there is no witness.
pub(crate) fn public_key(disk: &dyn Disk, dir: &Path) -> Result<Option<VerifyingKey>, StoreError> {
    let path = dir.join("witness.key");
    let Some(text) = load(disk, &path)? else {
        return Ok(None);
    };
    let key = WitnessKey::parse(&text).map_err(|_| damaged(&path, "line 1".to_owned(), None))?;
    Ok(Some(key.verifying_key().clone()))
}

/// Reads what the witness in `dir` saw of a log.
pub(crate) fn read_state(
    disk: &dyn Disk,
    dir: &Path,
    origin: &str,
) -> Result<WitnessState, StoreError> {
    let path = state_path(dir, origin);
    let Some(text) = load(disk, &path)? else {
        return Ok(WitnessState::default());
    };
    serde_json::from_str(&text).map_err(|_| damaged(&path, "line 1".to_owned(), None))
}

fn state_path(dir: &Path, origin: &str) -> PathBuf {
    dir.join(format!(
        "{}.state",
        &sha256(origin.as_bytes()).to_string()[..32]
    ))
}
