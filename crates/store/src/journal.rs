//! The journal in a directory: one write for each batch, no sync, and files that go away.
//!
//! ```text
//!   put ──► journal-00000007 (grows) ──► done ──► the file is the next once nothing in it waits
//!           journal-00000006 (closed, two batches wait)
//! ```
//!
//! One file that nothing waits in is kept, and written over as the next: to make files and to remove
//! them costs more than what is written into them. Each write ends what it wrote, so that nothing of
//! the file before is read after it.
//!
//! A written batch survives the end of the process, because the system holds its bytes; that is
//! all the journal is for (see [`ledger::journal`]). What an earlier process left is read back in
//! order, up to the first record of each file that is not whole: that one was never acknowledged.
//! The files are described in `docs/design/on-disk-format.md`.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledger::{Batch, Digest, Journal, Leaf, Place, StoreError};

use crate::disk::{Disk, DiskFile, Guard, How, Lock};
use crate::error::unavailable;

/// How a file begins; the digit is the version of the form.
const MAGIC: &[u8] = b"rescind journal 1\n";

/// What all versions begin with.
const MAGIC_ANY: &[u8] = b"rescind journal ";

/// A file that has grown to this is closed, in bytes.
const FILE_LEN: u64 = 1 << 20;

/// What follows the last record: a length of none, which no record has.
const END: [u8; 4] = [0; 4];

/// The longest file that is written over, in bytes: few are longer, and they would stay as long.
const KEPT_LEN: u64 = 2 * FILE_LEN;

/// A journal in a directory.
#[derive(Debug)]
pub struct FileJournal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    limit: u64,
    state: Mutex<State>,
    /// Held until the journal is dropped.
    _guard: Box<dyn Guard>,
}

#[derive(Debug)]
struct State {
    current: Option<Current>,
    /// A file that nothing waits in, to be written over.
    spare: Option<u64>,
    /// Batches that wait, by file.
    waiting: BTreeMap<u64, Waiting>,
    next_file: u64,
    /// Files of earlier processes that are still to be read.
    left: VecDeque<u64>,
    /// What was read of the first of them and not returned yet.
    read: VecDeque<(Place, Batch)>,
    pending: u64,
}

#[derive(Debug)]
struct Current {
    number: u64,
    file: Arc<dyn DiskFile>,
    end: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    batches: u64,
    /// Whether more may come: it is being written, or read back.
    open: bool,
}

impl FileJournal {
    /// Opens the journal in `dir`, which is made if it is not there; its parent must be. At most
    /// `limit` bytes may wait.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another process has it open, [`StoreError::Newer`] if a file in
    /// it is of a newer version, [`StoreError::Unavailable`].
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, limit: u64) -> Result<Self, StoreError> {
        let failed = |error: io::Error| unavailable(opening(dir), error);
        disk.create_dir(dir, true).map_err(failed)?;
        let holder = format!("process {}", std::process::id());
        let guard = match disk.lock(&dir.join("LOCK"), &holder).map_err(failed)? {
            Lock::Held(guard) => guard,
            Lock::Busy(holder) => {
                return Err(StoreError::Locked {
                    path: dir.to_owned(),
                    holder,
                });
            }
        };
        let names = disk.list(dir).map_err(failed)?;
        let left: VecDeque<u64> = names.iter().filter_map(|name| number_of(name)).collect();
        let journal = Self {
            disk,
            dir: dir.to_owned(),
            limit,
            state: Mutex::new(State {
                current: None,
                spare: None,
                waiting: BTreeMap::new(),
                next_file: left.back().map_or(1, |last| last + 1),
                left: left.clone(),
                read: VecDeque::new(),
                pending: 0,
            }),
            _guard: guard,
        };
        for number in left {
            journal.check_version(number)?;
        }
        Ok(journal)
    }

    fn check_version(&self, number: u64) -> Result<(), StoreError> {
        let path = self.path(number);
        let failed = |error: io::Error| unavailable(opening(&path), error);
        let file = self.disk.open(&path, How::Read).map_err(failed)?;
        let mut head = [0; MAGIC.len()];
        let read = file.read_at(0, &mut head).map_err(failed)?;
        match head[..read].strip_prefix(MAGIC_ANY) {
            // Any digits that are not ours are those of a later version.
            Some(version) if read == MAGIC.len() && head != MAGIC => Err(StoreError::Newer {
                path,
                found: u32::from(version[0].wrapping_sub(b'0')),
                known: 1,
            }),
            _ => Ok(()),
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("journal-{number:08}"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, state: &mut State) -> io::Result<()> {
        let number = state.next_file;
        let kept = state
            .spare
            .take()
            .and_then(|spare| self.take_up(spare, number));
        let file = match kept {
            Some(file) => file,
            None => self.make(number)?,
        };
        state.next_file += 1;
        state.current = Some(Current {
            number,
            file,
            end: MAGIC.len() as u64,
        });
        let open = Waiting {
            batches: 0,
            open: true,
        };
        state.waiting.insert(number, open);
        Ok(())
    }

    fn make(&self, number: u64) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(&self.path(number), How::Secret)?;
        if let Err(error) = file.write_at(0, MAGIC) {
            // While the disk is full every call comes here; none may leave a file behind.
            let _ = self.disk.remove(&self.path(number));
            return Err(error);
        }
        Ok(file)
    }

    /// Makes the spare file the next one. Where that fails, a new one is made.
    fn take_up(&self, spare: u64, number: u64) -> Option<Arc<dyn DiskFile>> {
        let path = self.path(spare);
        let renamed = self.disk.rename(&path, &self.path(number));
        if renamed.is_err() {
            let _ = self.disk.remove(&path);
        }
        renamed.ok()?;
        let opened = self.disk.open(&self.path(number), How::Write);
        if opened.is_err() {
            let _ = self.disk.remove(&self.path(number));
        }
        opened.ok()
    }

    /// Lets nothing more into the file that is being written.
    fn close(&self, state: &mut State) {
        if let Some(current) = state.current.take() {
            self.settle(state, current.number);
        }
    }

    /// A file is written or read no more; once nothing in it waits it is the spare, or goes.
    fn settle(&self, state: &mut State, number: u64) {
        let waiting = state.waiting.entry(number).or_default();
        waiting.open = false;
        if waiting.batches == 0 {
            state.waiting.remove(&number);
            if state.spare.is_none() && self.empty(number).is_ok() {
                state.spare = Some(number);
                return;
            }
            // One that cannot be removed is read again by the next process, which finds that the
            // log has all of it.
            let _ = self.disk.remove(&self.path(number));
        }
    }

    /// Makes a file read as one without records, and keeps its room.
    fn empty(&self, number: u64) -> io::Result<()> {
        let file = self.disk.open(&self.path(number), How::Write)?;
        if file.len()? > KEPT_LEN {
            file.truncate(FILE_LEN)?;
        }
        file.write_at(0, &[MAGIC, &END].concat())
    }

    /// Reads what is whole of an earlier process's file.
    fn recall(&self, number: u64) -> io::Result<Vec<(Place, Batch)>> {
        let file = self.disk.open(&self.path(number), How::Read)?;
        let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        let read = file.read_at(0, &mut bytes)?;
        bytes.truncate(read);
        let mut batches = Vec::new();
        let mut rest = bytes.strip_prefix(MAGIC).unwrap_or_default();
        while let Some((body, after)) = record(rest) {
            let Some(batch) = decode(body) else { break };
            let len = (rest.len() - after.len()) as u64;
            batches.push((Place { file: number, len }, batch));
            rest = after;
        }
        Ok(batches)
    }
}

impl Journal for FileJournal {
    fn put(&self, batch: &Batch) -> Result<Place, StoreError> {
        let bytes = encode(batch);
        let len = (bytes.len() - END.len()) as u64;
        let mut state = self.state();
        let full = || StoreError::Full {
            path: self.dir.clone(),
        };
        if state.pending + len > self.limit {
            return Err(full());
        }
        if state.current.as_ref().is_some_and(|c| c.end >= FILE_LEN) {
            self.close(&mut state);
        }
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::StorageFull => full(),
            _ => unavailable(
                format!("write to the journal `{}`", self.dir.display()),
                error,
            ),
        };
        if state.current.is_none() {
            self.begin(&mut state).map_err(failed)?;
        }
        let current = state.current.as_mut().expect("it was begun above");
        let number = current.number;
        if let Err(error) = current.file.write_at(current.end, &bytes) {
            // What was written of it is cut, or else read as torn; nothing comes after it.
            let _ = current.file.truncate(current.end);
            self.close(&mut state);
            return Err(failed(error));
        }
        current.end += len;
        state.pending += len;
        if let Some(waiting) = state.waiting.get_mut(&number) {
            waiting.batches += 1;
        }
        Ok(Place { file: number, len })
    }

    fn done(&self, place: Place) {
        let mut state = self.state();
        state.pending = state.pending.saturating_sub(place.len);
        let Some(waiting) = state.waiting.get_mut(&place.file) else {
            return;
        };
        waiting.batches = waiting.batches.saturating_sub(1);
        if waiting.batches == 0 && !waiting.open {
            self.settle(&mut state, place.file);
        }
    }

    fn next_left(&self) -> Result<Option<(Place, Batch)>, StoreError> {
        let mut state = self.state();
        loop {
            if let Some(next) = state.read.pop_front() {
                if state.read.is_empty() {
                    self.settle(&mut state, next.0.file);
                }
                return Ok(Some(next));
            }
            let Some(number) = state.left.front().copied() else {
                return Ok(None);
            };
            let batches = self.recall(number).map_err(|error| {
                unavailable(format!("read `{}`", self.path(number).display()), error)
            })?;
            state.left.pop_front();
            if batches.is_empty() {
                self.settle(&mut state, number);
                continue;
            }
            state.pending += batches.iter().map(|(place, _)| place.len).sum::<u64>();
            let waiting = Waiting {
                batches: batches.len() as u64,
                open: true,
            };
            state.waiting.insert(number, waiting);
            state.read.extend(batches);
        }
    }

    fn pending(&self) -> u64 {
        self.state().pending
    }
}

impl Drop for FileJournal {
    fn drop(&mut self) {
        let mut state = self.state();
        self.close(&mut state);
        if let Some(spare) = state.spare.take() {
            let _ = self.disk.remove(&self.path(spare));
        }
    }
}

fn opening(path: &Path) -> String {
    format!("open the journal `{}`", path.display())
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("journal-")?.parse().ok()
}

/// Length and checksum, then the leaves, then the payloads, and what ends the file.
fn encode(batch: &Batch) -> Vec<u8> {
    let leaves: usize = batch.leaves.iter().map(|leaf| 4 + leaf.bytes().len()).sum();
    let payloads: usize = batch.payloads.iter().map(|(_, b)| 36 + b.len()).sum();
    let mut bytes = Vec::with_capacity(16 + leaves + payloads + END.len());
    bytes.extend_from_slice(&[0; 8]);
    put_len(&mut bytes, batch.leaves.len());
    for leaf in &batch.leaves {
        put_len(&mut bytes, leaf.bytes().len());
        bytes.extend_from_slice(leaf.bytes());
    }
    put_len(&mut bytes, batch.payloads.len());
    for (ct, payload) in &batch.payloads {
        bytes.extend_from_slice(&ct.0);
        put_len(&mut bytes, payload.len());
        bytes.extend_from_slice(payload);
    }
    let body = u32::try_from(bytes.len() - 8).expect("a batch is smaller than 4 GiB");
    let crc = crc32fast::hash(&bytes[8..]);
    bytes[..4].copy_from_slice(&body.to_be_bytes());
    bytes[4..8].copy_from_slice(&crc.to_be_bytes());
    bytes.extend_from_slice(&END);
    bytes
}

fn put_len(bytes: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len).expect("a part of a batch is smaller than 4 GiB");
    bytes.extend_from_slice(&len.to_be_bytes());
}

/// Takes one whole record off the front: its body, and what comes after.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = take_len(bytes).filter(|(len, _)| *len > 0)?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let (body, after) = rest.split_at_checked(len)?;
    (crc32fast::hash(body) == u32::from_be_bytes(*crc)).then_some((body, after))
}

fn take_len(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*len) as usize, rest))
}

fn decode(body: &[u8]) -> Option<Batch> {
    let mut batch = Batch::default();
    let (count, mut rest) = take_len(body)?;
    for _ in 0..count {
        let (len, after) = take_len(rest)?;
        let (leaf, after) = after.split_at_checked(len)?;
        let event = Leaf::decode(leaf).ok()?;
        batch.leaves.push(Leaf::encode(&event).ok()?);
        rest = after;
    }
    let (count, mut rest) = take_len(rest)?;
    for _ in 0..count {
        let (ct, after) = rest.split_first_chunk::<32>()?;
        let (len, after) = take_len(after)?;
        let (payload, after) = after.split_at_checked(len)?;
        batch.payloads.push((Digest(*ct), payload.to_vec()));
        rest = after;
    }
    rest.is_empty().then_some(batch)
}
