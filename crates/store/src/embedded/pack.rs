//! Packs: the files that hold payloads, as ciphertexts under their digest.
//!
//! A pack only grows, except that a payload can be scrubbed: its bytes are overwritten with zeros
//! in place and its state is set. Everything but the state byte is under a checksum or under the
//! digest that names the payload; a wrong state is either none or contradicted by the bytes.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ledger::digest::sha256;
use ledger::{BlobState, StoreError};
use model::{Digest, SubjectId};

use super::index::{Blob, Place};
use super::log::{AppendError, PIECE, Tail};
use super::segment::{VERSION, u32_at};
use crate::disk::{Disk, DiskFile, How};
use crate::error::{damaged, unavailable};

/// Bytes before the first record.
pub(crate) const HEADER: usize = 20;
/// Bytes of a record before its ciphertext.
pub(crate) const HEAD: usize = 64;
/// A pack that has grown to this is not written any more, in bytes.
pub(crate) const PACK_LEN: u64 = 256 << 20;
const MAGIC: &[u8; 8] = b"RSCNDPAK";
const RECORD: &[u8; 4] = b"RPAY";
pub(crate) const KEPT: u8 = b'K';
pub(crate) const SCRUBBED: u8 = b'S';

/// What a pack says of a payload before its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) state: u8,
    pub(crate) len: u32,
    pub(crate) subject: SubjectId,
    pub(crate) ct: Digest,
}

impl Entry {
    pub(crate) fn encode(&self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..4].copy_from_slice(RECORD);
        bytes[8..12].copy_from_slice(&self.len.to_be_bytes());
        bytes[12..28].copy_from_slice(self.subject.as_bytes());
        bytes[28..60].copy_from_slice(&self.ct.0);
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_be_bytes());
        // Not under the checksum: scrubbing changes it.
        bytes[4] = self.state;
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut head: [u8; HEAD] = bytes.get(..HEAD)?.try_into().ok()?;
        let state = std::mem::take(&mut head[4]);
        let right = &head[..4] == RECORD
            && crc32fast::hash(&head[..60]) == u32_at(&head, 60)
            && matches!(state, KEPT | SCRUBBED);
        right.then(|| Self {
            state,
            len: u32_at(&head, 8),
            subject: SubjectId::from_bytes(head[12..28].try_into().expect("16 bytes")),
            ct: Digest::from_slice(&head[28..60]).expect("32 bytes"),
        })
    }
}

pub(crate) fn header(number: u32) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_be_bytes());
    bytes[12..16].copy_from_slice(&number.to_be_bytes());
    let crc = crc32fast::hash(&bytes[..16]);
    bytes[16..].copy_from_slice(&crc.to_be_bytes());
    bytes
}

pub(crate) fn pack_name(number: u32) -> String {
    format!("pack-{number:05}.dat")
}

/// The packs of a log.
#[derive(Debug)]
pub(crate) struct Packs {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    length: u64,
    /// The last pack, if a part of it is lost: nothing is written into it any more.
    lost: Option<u32>,
    open: Mutex<HashMap<u32, Arc<dyn DiskFile>>>,
}

impl Packs {
    /// Opens the packs; what lies beyond `tail` was never acknowledged, and with `mend` it is cut.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        length: u64,
        tail: &Tail,
        mend: bool,
        notices: &mut Vec<String>,
    ) -> Result<Self, StoreError> {
        let mut packs = Self {
            disk,
            dir: dir.to_owned(),
            length,
            lost: None,
            open: Mutex::default(),
        };
        let failed = |e| unavailable(format!("open the payloads in `{}`", dir.display()), e);
        for name in packs.disk.list(dir).map_err(failed)? {
            let digits = name
                .strip_prefix("pack-")
                .and_then(|rest| rest.strip_suffix(".dat"));
            let Some(number) = digits.and_then(|digits| digits.parse::<u32>().ok()) else {
                continue;
            };
            if number > tail.pack && mend {
                packs.disk.remove(&dir.join(&name)).map_err(failed)?;
                packs.disk.sync_dir(dir).map_err(failed)?;
                notices.push(format!(
                    "`{}` held nothing acknowledged and was removed",
                    dir.join(name).display()
                ));
            }
        }
        if tail.pack > 0 {
            let path = dir.join(pack_name(tail.pack));
            match packs.file(tail.pack) {
                Ok(file) => {
                    let found = file.len().map_err(failed)?;
                    if found > tail.pack_end && mend {
                        file.truncate(tail.pack_end)
                            .and_then(|()| file.sync())
                            .map_err(failed)?;
                        notices.push(format!(
                            "`{}` had a torn tail: {} bytes were never acknowledged and were cut",
                            path.display(),
                            found - tail.pack_end
                        ));
                    }
                    if found < tail.pack_end {
                        packs.lost = Some(tail.pack);
                        notices.push(format!(
                            "`{}` is damaged: it has {found} bytes, expected {}",
                            path.display(),
                            tail.pack_end
                        ));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    packs.lost = Some(tail.pack);
                    notices.push(format!("`{}` is missing", path.display()));
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(packs)
    }

    /// The packs in `dir`, only to look into.
    pub(crate) fn look(disk: Arc<dyn Disk>, dir: &Path) -> Self {
        Self {
            disk,
            dir: dir.to_owned(),
            length: PACK_LEN,
            lost: None,
            open: Mutex::default(),
        }
    }

    fn file(&self, number: u32) -> io::Result<Arc<dyn DiskFile>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(&number) {
            return Ok(Arc::clone(file));
        }
        let path = self.dir.join(pack_name(number));
        let file = self
            .disk
            .open(&path, How::Write)
            .or_else(|error| match error.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    self.disk.open(&path, How::Read)
                }
                _ => Err(error),
            })?;
        if open.len() > 64 {
            open.clear();
        }
        open.insert(number, Arc::clone(&file));
        Ok(file)
    }

    /// Writes payloads and makes them durable, and returns where each lies; `tail` says where to
    /// begin and is moved on. After [`AppendError::Full`] nothing of them is left.
    pub(crate) fn append(
        &self,
        tail: &mut Tail,
        payloads: &[(SubjectId, Digest, Vec<u8>)],
        buffer: &mut Vec<u8>,
    ) -> Result<Vec<Blob>, AppendError> {
        let mut at = *tail;
        if at.pack == 0 || at.pack_end >= self.length || self.lost == Some(at.pack) {
            self.begin(&mut at)?;
        }
        let file = self
            .file(at.pack)
            .map_err(|e| AppendError::Failed("open the payloads", e))?;
        let begin = at.pack_end;
        let mut put = |buffer: &mut Vec<u8>| {
            if let Err(error) = file.write_at(at.pack_end, buffer) {
                return Err(match file.truncate(begin).and_then(|()| file.sync()) {
                    Ok(()) if error.kind() == io::ErrorKind::StorageFull => AppendError::Full,
                    _ => AppendError::Failed("write payloads", error),
                });
            }
            at.pack_end += buffer.len() as u64;
            buffer.clear();
            Ok(at.pack_end)
        };
        buffer.clear();
        let mut end = begin;
        let mut blobs = Vec::with_capacity(payloads.len());
        for (subject, ct, bytes) in payloads {
            blobs.push(Blob {
                subject: *subject,
                ct: *ct,
                place: Place {
                    pack: at.pack,
                    at: end + buffer.len() as u64,
                },
            });
            let len = u32::try_from(bytes.len())
                .map_err(|e| AppendError::Failed("keep a payload", io::Error::other(e)))?;
            let entry = Entry {
                state: KEPT,
                len,
                subject: *subject,
                ct: *ct,
            };
            buffer.extend_from_slice(&entry.encode());
            buffer.extend_from_slice(bytes);
            if buffer.len() >= PIECE {
                let (from, len) = (end, buffer.len() as u64);
                end = put(buffer)?;
                file.write_out(from, len);
            }
        }
        if !buffer.is_empty() {
            put(buffer)?;
        }
        file.sync()
            .map_err(|e| AppendError::Failed("sync payloads", e))?;
        *tail = at;
        Ok(blobs)
    }

    /// Takes back what [`Self::append`] wrote, because the leaves that name it were not.
    pub(crate) fn take_back(&self, before: &Tail, after: &Tail) -> io::Result<()> {
        if before.pack == after.pack {
            let file = self.file(before.pack)?;
            file.truncate(before.pack_end)?;
            file.sync()
        } else {
            self.forget(after.pack)
        }
    }

    fn forget(&self, number: u32) -> io::Result<()> {
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&number);
        match self.disk.remove(&self.dir.join(pack_name(number))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.disk.sync_dir(&self.dir),
        }
    }

    fn begin(&self, tail: &mut Tail) -> Result<(), AppendError> {
        let number = tail.pack + 1;
        let path = self.dir.join(pack_name(number));
        let create = || {
            let file = self.disk.open(&path, How::New)?;
            file.write_at(0, &header(number))?;
            file.sync()?;
            self.disk.sync_dir(&self.dir)
        };
        if let Err(error) = create() {
            return Err(match self.forget(number) {
                Ok(()) if error.kind() == io::ErrorKind::StorageFull => AppendError::Full,
                _ => AppendError::Failed("begin a pack", error),
            });
        }
        (tail.pack, tail.pack_end) = (number, HEADER as u64);
        Ok(())
    }

    /// Finds the payloads between two positions, in order.
    pub(crate) fn between(
        &self,
        from: (u32, u64),
        to: (u32, u64),
    ) -> Result<Vec<Blob>, StoreError> {
        let mut blobs = Vec::new();
        for pack in from.0.max(1)..=to.0 {
            let path = self.dir.join(pack_name(pack));
            let failed = |e| unavailable(format!("read `{}`", path.display()), e);
            let file = match self.file(pack) {
                Ok(file) => file,
                // Its payloads are missing, which is what whoever asks for one is told.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            let mut at = if pack == from.0 {
                from.1.max(HEADER as u64)
            } else {
                HEADER as u64
            };
            let end = file.len().map_err(failed)?;
            let end = if pack == to.0 { end.min(to.1) } else { end };
            while at < end {
                let mut head = [0; HEAD];
                let count = file.read_at(at, &mut head).map_err(failed)?;
                let Some(entry) = Entry::decode(&head[..count]) else {
                    // What follows cannot be found without this record.
                    break;
                };
                blobs.push(Blob {
                    subject: entry.subject,
                    ct: entry.ct,
                    place: Place { pack, at },
                });
                at += HEAD as u64 + u64::from(entry.len);
            }
        }
        Ok(blobs)
    }

    /// Reads one payload and checks it. `read` reads so many bytes of a file from a place on, fewer if
    /// the file ends: first the beginning of the record, then its ciphertext.
    pub(super) fn read(
        &self,
        ct: Digest,
        place: Place,
        mut read: impl FnMut(&dyn DiskFile, u64, usize) -> io::Result<Vec<u8>>,
    ) -> Result<BlobState, StoreError> {
        let path = self.dir.join(pack_name(place.pack));
        let wrong = || damaged(&path, format!("byte {}", place.at), None);
        let failed = |e| unavailable(format!("read `{}`", path.display()), e);
        let file = match self.file(place.pack) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BlobState::Absent),
            Err(error) => return Err(failed(error)),
        };
        let head = read(&*file, place.at, HEAD).map_err(failed)?;
        let entry = Entry::decode(&head).filter(|entry| entry.ct == ct);
        let entry = entry.ok_or_else(wrong)?;
        if entry.state == SCRUBBED {
            return Ok(BlobState::Scrubbed);
        }
        let (at, length) = (place.at + HEAD as u64, entry.len as usize);
        let bytes = read(&*file, at, length).map_err(failed)?;
        if bytes.len() < length || sha256(&bytes) != ct {
            return Err(wrong());
        }
        Ok(BlobState::Kept(bytes))
    }

    /// Overwrites payloads of a subject with zeros, durably. Doing it again is fine.
    pub(crate) fn scrub(&self, subject: SubjectId, places: &[Place]) -> io::Result<()> {
        let mut touched: Vec<u32> = Vec::new();
        for place in places {
            let file = match self.file(place.pack) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            let mut head = [0; HEAD];
            let count = file.read_at(place.at, &mut head)?;
            // A record that is not what the index says is not overwritten: it is damage.
            let entry = Entry::decode(&head[..count]);
            let Some(entry) = entry.filter(|entry| entry.subject == subject) else {
                continue;
            };
            let zeros = vec![0; entry.len as usize];
            file.write_at(place.at + HEAD as u64, &zeros)?;
            file.write_at(place.at + 4, &[SCRUBBED])?;
            touched.push(place.pack);
        }
        touched.dedup();
        for pack in touched {
            self.file(pack)?.sync()?;
        }
        Ok(())
    }
}
