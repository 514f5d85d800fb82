//! Keys on disk: those of subjects, which can be destroyed, and those that sign the log.
//!
//! A subject's key lies in a slot of 64 bytes. Destroying it overwrites the slot in place, because
//! writing a new file would leave the old bytes on the disk until something else needs the room.
//! What a disk keeps of overwritten blocks (snapshots, copies on write, wear levelling) is beyond
//! a file; the document on the format says so.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger::{Entropy, KeyState, SigningKey, StoreError, SubjectKey, VerifyingKey};
use model::SubjectId;
use rustc_hash::FxHashMap;

use super::segment::{VERSION, u32_at};
use crate::disk::{self, Disk, DiskFile, How};
use crate::error::{damaged, unavailable};

pub(crate) const HEADER: usize = 16;
pub(crate) const SLOT: usize = 64;
const MAGIC: &[u8; 8] = b"RSCNDKEY";
const FILE: &str = "subjects.keys";

/// New slots that are written without a sync between, at most: so many at the end of the file may be
/// only in memory when a process ends, and are written again by the next one.
pub(crate) const UNSYNCED_MAX: usize = 4_096;

/// What a slot says of its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The key is there.
    Kept,
    /// The key is overwritten; payloads may still wait to be.
    Destroying,
    /// All is done.
    Destroyed,
}

impl Slot {
    const fn code(self) -> u8 {
        match self {
            Self::Kept => b'K',
            Self::Destroying => b'X',
            Self::Destroyed => b'D',
        }
    }

    const fn of(code: u8) -> Option<Self> {
        match code {
            b'K' => Some(Self::Kept),
            b'X' => Some(Self::Destroying),
            b'D' => Some(Self::Destroyed),
            _ => None,
        }
    }

    fn encode(self, subject: SubjectId, key: &[u8; 32]) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        bytes[..16].copy_from_slice(subject.as_bytes());
        let crc = crc32fast::hash(&bytes[..16]);
        bytes[16..20].copy_from_slice(&crc.to_be_bytes());
        bytes[20..52].copy_from_slice(key);
        bytes[52] = self.code();
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// Reads a slot: its subject where that much is right, and its state where all of it is.
    pub(crate) fn decode(bytes: &[u8]) -> (Option<SubjectId>, Option<Self>) {
        if bytes.len() < SLOT || crc32fast::hash(&bytes[..16]) != u32_at(bytes, 16) {
            return (None, None);
        }
        let subject = SubjectId::from_bytes(bytes[..16].try_into().expect("16 bytes"));
        let whole = crc32fast::hash(&bytes[..60]) == u32_at(bytes, 60);
        let empty = bytes[20..52] == [0; 32];
        let state = Self::of(bytes[52]).filter(|state| whole && (*state == Self::Kept || empty));
        (Some(subject), state)
    }
}

/// The keys of subjects.
#[derive(Debug)]
pub(crate) struct SubjectKeys {
    file: Option<Arc<dyn DiskFile>>,
    path: PathBuf,
    slots: Slots,
    count: u32,
    /// New slots since the last sync.
    unsynced: usize,
}

/// Where the slot of each subject is, and its state, where that can be read.
#[derive(Debug, Default)]
struct Slots {
    /// As they were at opening, in the order of the subjects: that is nearly the order of the file, so
    /// that to sort them takes less than to put each into a table.
    found: Vec<(SubjectId, u32, Option<Slot>)>,
    /// What came or changed since.
    since: FxHashMap<SubjectId, (u32, Option<Slot>)>,
}

impl Slots {
    fn get(&self, subject: SubjectId) -> Option<(u32, Option<Slot>)> {
        self.since.get(&subject).copied().or_else(|| {
            let after = self.found.partition_point(|(found, ..)| *found <= subject);
            let (found, place, state) = *self.found.get(after.checked_sub(1)?)?;
            (found == subject).then_some((place, state))
        })
    }

    fn insert(&mut self, subject: SubjectId, place: u32, state: Slot) {
        self.since.insert(subject, (place, Some(state)));
    }

    fn in_state(&self, state: Option<Slot>) -> Vec<SubjectId> {
        let since = self.since.iter();
        let since = since.map(|(subject, (_, found))| (*subject, *found));
        let found = self.found.iter();
        let found = found.map(|(subject, _, found)| (*subject, *found));
        let found = found.filter(|(subject, _)| !self.since.contains_key(subject));
        let all = found.chain(since);
        all.filter(|(_, found)| *found == state)
            .map(|(subject, _)| subject)
            .collect()
    }
}

impl SubjectKeys {
    /// Opens the keys. With `mend` a slot at the end that was never acknowledged is left to be
    /// overwritten.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path, mend: bool) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        let failed = |e: io::Error| unavailable(format!("read `{}`", path.display()), e);
        let mut keys = Self {
            file: None,
            path: path.clone(),
            slots: Slots::default(),
            count: 0,
            unsynced: 0,
        };
        let how = if mend { How::Write } else { How::Read };
        let file = match disk.open(&path, how) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(keys),
            Err(error) => return Err(failed(error)),
        };
        let length = file.len().map_err(failed)?;
        let mut head = [0; HEADER];
        let read = file.read_at(0, &mut head).map_err(failed)?;
        if read < HEADER || head != header() {
            let newer = read >= HEADER && &head[..8] == MAGIC && u32_at(&head, 8) > VERSION;
            if newer {
                return Err(StoreError::Newer {
                    path,
                    found: u32_at(&head, 8),
                    known: VERSION,
                });
            }
            return Err(damaged(&path, "byte 0".to_owned(), None));
        }
        let count = length.saturating_sub(HEADER as u64).div_ceil(SLOT as u64);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        keys.slots.found.reserve(count);
        // In parts, so that little memory has to be wiped.
        let mut part = zeroize::Zeroizing::new(vec![0; count.min(UNSYNCED_MAX) * SLOT]);
        'parts: while (keys.count as usize) < count {
            let at = HEADER as u64 + u64::from(keys.count) * SLOT as u64;
            let read = file.read_at(at, &mut part).map_err(failed)?;
            for slot in part[..read].chunks(SLOT) {
                let place = keys.count;
                // Another process may have more by now.
                if place as usize == count {
                    break 'parts;
                }
                match Slot::decode(slot) {
                    (Some(subject), state) => keys.slots.found.push((subject, place, state)),
                    // The last one was being written when the process ended.
                    (None, _) if place as usize + 1 == count => break 'parts,
                    (None, _) => {
                        let at = HEADER + place as usize * SLOT;
                        return Err(damaged(&path, format!("byte {at}"), None));
                    }
                }
                keys.count = place + 1;
            }
            if read == 0 {
                break;
            }
        }
        // Of two that are the same the one that was written later counts, as it always did.
        keys.slots
            .found
            .sort_by_key(|(subject, place, _)| (*subject, *place));
        if mend {
            // Slots of a process that ended before its sync, or because it failed. One that was
            // being destroyed is no new one: what says so is written again when that is finished.
            let again = (keys.count as usize).min(UNSYNCED_MAX);
            let from = HEADER as u64 + (keys.count as usize - again) as u64 * SLOT as u64;
            let read = file.read_at(from, &mut part[..again * SLOT]);
            read.and_then(|read| file.write_at(from, &part[..read]))
                .and_then(|()| file.write_at(0, &head))
                .and_then(|()| file.sync())
                .and_then(|()| disk.sync_dir(dir))
                .map_err(|e| unavailable(format!("sync `{}`", path.display()), e))?;
        }
        keys.file = Some(file);
        Ok(keys)
    }

    pub(crate) fn get(&self, subject: SubjectId) -> Result<KeyState, StoreError> {
        let Some((place, state)) = self.slots.get(subject) else {
            return Ok(KeyState::Absent);
        };
        let at = HEADER as u64 + u64::from(place) * SLOT as u64;
        let wrong = || damaged(&self.path, format!("byte {at}"), None);
        match state {
            Some(Slot::Kept) => {}
            Some(Slot::Destroying | Slot::Destroyed) => return Ok(KeyState::Destroyed),
            None => return Err(wrong()),
        }
        let file = self.file.as_ref().ok_or_else(wrong)?;
        let mut slot = zeroize::Zeroizing::new([0; SLOT]);
        file.read_at(at, &mut *slot)
            .map_err(|e| unavailable(format!("read `{}`", self.path.display()), e))?;
        match Slot::decode(&*slot) {
            (Some(found), Some(Slot::Kept)) if found == subject => {
                let key: &[u8; 32] = slot[20..52].try_into().expect("32 bytes");
                Ok(KeyState::Kept(SubjectKey::from_bytes(key)))
            }
            // Another process destroyed it after this one opened the file.
            (Some(found), Some(Slot::Destroying | Slot::Destroyed)) if found == subject => {
                Ok(KeyState::Destroyed)
            }
            _ => Err(wrong()),
        }
    }

    /// Returns the subjects whose slots are in a given state; none means a torn slot.
    pub(crate) fn in_state(&self, state: Option<Slot>) -> Vec<SubjectId> {
        self.slots.in_state(state)
    }

    pub(crate) fn is_destroyed(&self, subject: SubjectId) -> bool {
        let state = self.slots.get(subject).and_then(|(_, state)| state);
        matches!(state, Some(Slot::Destroying | Slot::Destroyed))
    }

    /// Writes the slot of a subject, a new one or its own. Durable after [`Self::sync`].
    pub(crate) fn put(
        &mut self,
        disk: &dyn Disk,
        subject: SubjectId,
        state: Slot,
        key: &[u8; 32],
    ) -> io::Result<()> {
        let file = self.file(disk)?;
        let place = self
            .slots
            .get(subject)
            .map_or(self.count, |(place, _)| place);
        let slot = zeroize::Zeroizing::new(state.encode(subject, key));
        file.write_at(HEADER as u64 + u64::from(place) * SLOT as u64, &*slot)?;
        self.count = self.count.max(place + 1);
        self.slots.insert(subject, place, state);
        Ok(())
    }

    /// Writes slots for subjects that have none, with one write. Durable after [`Self::sync`], which
    /// comes first where the file [is full](Self::is_full) of what was not synced.
    pub(crate) fn add(
        &mut self,
        disk: &dyn Disk,
        keys: &[(SubjectId, &SubjectKey)],
    ) -> io::Result<()> {
        let file = self.file(disk)?;
        let mut slots = zeroize::Zeroizing::new(Vec::with_capacity(keys.len() * SLOT));
        for (subject, key) in keys {
            let slot = zeroize::Zeroizing::new(Slot::Kept.encode(*subject, key.as_bytes()));
            slots.extend_from_slice(&*slot);
        }
        file.write_at(HEADER as u64 + u64::from(self.count) * SLOT as u64, &slots)?;
        for (subject, _) in keys {
            self.slots.insert(*subject, self.count, Slot::Kept);
            self.count += 1;
        }
        self.unsynced += keys.len();
        Ok(())
    }

    /// The file, made if it is not there.
    fn file(&mut self, disk: &dyn Disk) -> io::Result<Arc<dyn DiskFile>> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        disk::replace(disk, &self.path, &header(), true)?;
        let file = disk.open(&self.path, How::Write)?;
        self.file = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Whether so many new slots want a sync before them.
    pub(crate) const fn is_full(&self, count: usize) -> bool {
        self.unsynced + count > UNSYNCED_MAX
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file {
            file.sync()?;
        }
        self.unsynced = 0;
        Ok(())
    }
}

pub(crate) fn header() -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_be_bytes());
    let crc = crc32fast::hash(&bytes[..12]);
    bytes[12..].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// The keys of a log: those that sign, and those that signed once.
#[derive(Debug)]
pub(crate) struct LogKeys {
    /// All of them, oldest first; the private half is there for those that still sign.
    keys: Vec<(VerifyingKey, Option<SigningKey>)>,
}

/// The log's keys. Lines: `PRIVATE+KEY+…` for those that sign, the verifier key for those that
/// signed once, then `crc32 ` and eight digits over the lines before.
pub(crate) const LOG_KEYS: &str = "log.keys";
/// A key that is being rotated in and is not announced in the log yet.
pub(crate) const LOG_KEYS_NEXT: &str = "log.keys.next";

impl LogKeys {
    pub(crate) fn generate(origin: &str, entropy: &dyn Entropy) -> Result<Self, StoreError> {
        Ok(Self {
            keys: vec![fresh(origin, entropy)?],
        })
    }

    pub(crate) fn load(disk: &dyn Disk, path: &Path) -> Result<Option<Self>, StoreError> {
        let bytes = disk::read(disk, path)
            .map_err(|e| unavailable(format!("read `{}`", path.display()), e))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let bytes = zeroize::Zeroizing::new(bytes);
        let wrong = |line: usize| damaged(path, format!("line {line}"), None);
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong(1))?;
        let body = unsealed(text).ok_or_else(|| wrong(text.lines().count()))?;
        let mut keys = Vec::new();
        for (place, line) in body.lines().enumerate() {
            let key = if line.starts_with("PRIVATE+KEY+") {
                SigningKey::parse(line).map(|key| (key.verifying_key().clone(), Some(key)))
            } else {
                line.parse().map(|key| (key, None))
            };
            keys.push(key.map_err(|_| wrong(place + 1))?);
        }
        if keys.iter().all(|(_, private)| private.is_none()) {
            return Err(wrong(1));
        }
        Ok(Some(Self { keys }))
    }

    pub(crate) fn save(&self, disk: &dyn Disk, path: &Path) -> io::Result<()> {
        let mut text = zeroize::Zeroizing::new(String::new());
        for (public, private) in &self.keys {
            match private {
                Some(key) => text.push_str(&key.encode()),
                None => text.push_str(&public.to_string()),
            }
            text.push('\n');
        }
        let text = zeroize::Zeroizing::new(sealed(&text));
        disk::replace(disk, path, text.as_bytes(), true)
    }

    pub(crate) fn origin(&self) -> &str {
        self.keys[0].0.name()
    }

    pub(crate) fn signing(&self) -> Vec<&SigningKey> {
        self.keys
            .iter()
            .filter_map(|(_, private)| private.as_ref())
            .collect()
    }

    pub(crate) fn public(&self) -> Vec<VerifyingKey> {
        self.keys.iter().map(|(public, _)| public.clone()).collect()
    }

    pub(crate) fn newest(&self) -> &VerifyingKey {
        &self.keys.last().expect("there is a key").0
    }

    /// Takes the keys of `next` in. The newest two sign; older ones do not any more.
    pub(crate) fn rotate_in(&mut self, next: Self) {
        self.keys.extend(next.keys);
        let old = self.keys.len().saturating_sub(2);
        for (_, private) in &mut self.keys[..old] {
            *private = None;
        }
    }

    /// Ends the overlap: only the newest key signs.
    pub(crate) fn retire_old(&mut self) {
        let old = self.keys.len() - 1;
        for (_, private) in &mut self.keys[..old] {
            *private = None;
        }
    }
}

fn fresh(
    origin: &str,
    entropy: &dyn Entropy,
) -> Result<(VerifyingKey, Option<SigningKey>), StoreError> {
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    entropy.fill(&mut *seed);
    let key = SigningKey::from_seed(origin, &seed)
        .map_err(|e| unavailable(format!("call a log `{origin}`"), e))?;
    Ok((key.verifying_key().clone(), Some(key)))
}

/// Adds a line with the checksum of a text.
pub(crate) fn sealed(text: &str) -> String {
    format!("{text}crc32 {:08x}\n", crc32fast::hash(text.as_bytes()))
}

/// Returns a text without the line that [`sealed`] added, if that is right.
pub(crate) fn unsealed(text: &str) -> Option<&str> {
    let body = text.strip_suffix('\n')?;
    let at = body.rfind('\n')? + 1;
    (sealed(&text[..at]) == text).then(|| &text[..at])
}
