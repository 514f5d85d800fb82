//! The log in segments: opening, what a crash left, reading, appending a group.
//!
//! One [`Log`] is shared by everybody who reads; only the writer thread appends. A reader sees
//! exactly what is durable.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use ledger::StoreError;

use super::many::Near;
use super::noted::{self, Noted};
use super::segment::{
    BadHeader, HEAD, HEADER, Head, Header, OFFSETS_HEADER, Offsets, Scanned, VERSION, Window,
    offsets_name, scan, scan_above, scan_after, segment_name, segment_number,
};
use crate::disk::{self, Disk, DiskFile, How};
use crate::error::{damaged, unavailable};

/// What is gathered before it is written, in bytes: so much stays in the caches of a core, and needs no
/// fresh memory for a large group.
pub(super) const PIECE: usize = 1 << 20;

/// All segments of a log.
#[derive(Debug)]
pub(crate) struct Log {
    pub(super) disk: Arc<dyn Disk>,
    dir: PathBuf,
    segments: RwLock<Vec<Arc<Segment>>>,
    durable: AtomicU64,
    noted: Noted,
}

#[derive(Debug)]
pub(super) struct Segment {
    number: u32,
    pub(super) first: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    offsets: RwLock<Where>,
}

/// Where the records of a segment are.
#[derive(Debug)]
enum Where {
    /// In memory, for the segment that grows.
    Live(Vec<u64>),
    /// In the offset file of a sealed segment.
    Sealed {
        file: Arc<dyn DiskFile>,
        count: u64,
        end: u64,
    },
}

/// What the segments are opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// To write: a torn tail is cut, and missing offset files are written.
    Mend,
    /// To look: nothing is written, and a torn tail is left out.
    Look,
    /// To look, and to trust no note of where records are: those of the last segment are all read.
    Check,
    /// To read every record that is durable once more, with its checksum: as [`Self::Check`], and
    /// what is below the floor is not read twice for it.
    ReadAll,
}

/// What opening found.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) log: Log,
    /// Where the writer goes on.
    pub(crate) tail: Tail,
    /// What was mended.
    pub(crate) notices: Vec<String>,
}

/// Where the next record goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Number of the segment that grows; 0 when there is none yet.
    pub(crate) segment: u32,
    /// Its length.
    pub(crate) end: u64,
    /// The pack that was last written, and its durable length.
    pub(crate) pack: u32,
    pub(crate) pack_end: u64,
}

/// One leaf as read.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) head: Head,
    pub(crate) leaf: Vec<u8>,
}

impl Log {
    /// Opens the segments in `dir`. Leaves below `floor` are known to have been durable; what is
    /// wrong with them is damage and never a torn tail.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        floor: u64,
        why: Opening,
    ) -> Result<Recovered, StoreError> {
        let mend = why == Opening::Mend;
        let mut notices = Vec::new();
        let mut numbers: Vec<u32> = disk
            .list(dir)
            .map_err(|e| unavailable(format!("list `{}`", dir.display()), e))?
            .iter()
            .filter_map(|name| segment_number(name))
            .collect();
        numbers.sort_unstable();
        if let Some(&number) = numbers.last()
            && unfinished(&*disk, dir, number, mend, &mut notices)?
        {
            numbers.pop();
        }
        if mend {
            // The name of the last one may not be durable yet.
            disk.sync_dir(dir).map_err(|e| reading(dir, e))?;
        }
        let mut segments: Vec<Arc<Segment>> = Vec::with_capacity(numbers.len());
        let mut next = 0;
        let mut tail = Tail::default();
        let mut noted = Noted::default();
        for (place, &number) in numbers.iter().enumerate() {
            let last = place + 1 == numbers.len();
            let path = dir.join(segment_name(number));
            if number as usize != place + 1 {
                let missing = dir.join(segment_name(place as u32 + 1));
                return Err(damaged(&missing, "byte 0".to_owned(), Some(next)));
            }
            let opened = disk
                .open(&path, if mend && last { How::Write } else { How::Read })
                .map_err(|e| reading(&path, e))?;
            let mut bytes = [0; HEADER];
            let count = opened
                .read_at(0, &mut bytes)
                .map_err(|e| reading(&path, e))?;
            match Header::decode(&bytes[..count]) {
                Ok(header) if header.number == number && header.first == next => {}
                Err(BadHeader::Newer(found)) => {
                    return Err(StoreError::Newer {
                        path,
                        found,
                        known: VERSION,
                    });
                }
                _ => return Err(damaged(&path, "byte 0".to_owned(), Some(next))),
            }
            let segment = if last {
                let known = match why {
                    Opening::Mend | Opening::Look => {
                        noted::read(&*disk, dir, (number, next), &*opened)
                    }
                    Opening::Check | Opening::ReadAll => None,
                };
                if let Some(last) = known.as_ref().and_then(|known| known.offsets.last()) {
                    noted = Noted::found(number, *last);
                }
                let (segment, end) =
                    open_last(opened, &path, number, next, floor, why, known, &mut notices)?;
                tail.end = end;
                segment
            } else {
                open_sealed(&*disk, opened, &path, number, next, mend, &mut notices)?
            };
            tail.segment = number;
            next += segment.count();
            segments.push(Arc::new(segment));
        }
        let log = Self {
            disk,
            dir: dir.to_owned(),
            segments: RwLock::new(segments),
            durable: AtomicU64::new(next),
            noted,
        };
        if let Some(last) = next.checked_sub(1) {
            let record = log.read(last, 1, usize::MAX)?.pop();
            let head = record
                .ok_or_else(|| damaged(dir, "its end".to_owned(), Some(last)))?
                .head;
            (tail.pack, tail.pack_end) = (head.pack, head.pack_end);
        }
        Ok(Recovered { log, tail, notices })
    }

    /// Returns how many leaves are durable.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Returns up to `limit` records from `from` on, and stops after `bytes` bytes of leaves.
    pub(crate) fn read(
        &self,
        from: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let end = self.durable().min(from.saturating_add(limit as u64));
        let mut records = Vec::new();
        let mut size = 0;
        let mut at = from;
        while at < end && size < bytes {
            let segment = self.segment_of(at);
            let segment_end = (segment.first + segment.count()).min(end);
            let start = segment.offset(at)?;
            let mut window = Window::new(start);
            let mut offset = start;
            while at < segment_end && size < bytes {
                let part = window
                    .at(&*segment.file, offset)
                    .map_err(|e| reading(&segment.path, e))?;
                let Some((head, leaf)) = Head::decode(part).filter(|(head, _)| head.seq == at)
                else {
                    return Err(damaged(&segment.path, format!("byte {offset}"), Some(at)));
                };
                size += leaf.len();
                offset += (HEAD + leaf.len()) as u64;
                records.push(Record {
                    head,
                    leaf: leaf.to_vec(),
                });
                at += 1;
            }
        }
        Ok(records)
    }

    pub(super) fn segment_of(&self, seq: u64) -> Arc<Segment> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let after = segments.partition_point(|segment| segment.first <= seq);
        Arc::clone(&segments[after - 1])
    }

    /// Writes a group of records at the tail and makes it durable. `buffer` is room to write from.
    pub(crate) fn append<'l>(
        &self,
        tail: &mut Tail,
        buffer: &mut Vec<u8>,
        records: impl Iterator<Item = (Head, &'l [u8])>,
    ) -> Result<(), AppendError> {
        let segment = {
            let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(segments.last().expect("a segment was begun"))
        };
        let put = |at: u64, piece: &[u8]| {
            segment.file.write_at(at, piece).map_err(|error| {
                // Nothing of the group may stay: it was not acknowledged, and the next one goes here.
                let clean = segment
                    .file
                    .truncate(tail.end)
                    .and_then(|()| segment.file.sync());
                match clean {
                    Ok(()) if error.kind() == io::ErrorKind::StorageFull => AppendError::Full,
                    _ => AppendError::Failed("write the log", error),
                }
            })
        };
        let mut starts = Vec::new();
        let mut end = tail.end;
        buffer.clear();
        for (head, leaf) in records {
            starts.push(end + buffer.len() as u64);
            head.encode(leaf, buffer);
            if buffer.len() >= PIECE {
                put(end, buffer)?;
                segment.file.write_out(end, buffer.len() as u64);
                end += buffer.len() as u64;
                buffer.clear();
            }
        }
        if !buffer.is_empty() {
            put(end, buffer)?;
            end += buffer.len() as u64;
        }
        segment
            .file
            .sync()
            .map_err(|e| AppendError::Failed("sync the log", e))?;
        let count = starts.len() as u64;
        if let Where::Live(offsets) = &mut *write(&segment.offsets) {
            offsets.append(&mut starts);
        }
        tail.end = end;
        self.durable.fetch_add(count, Ordering::AcqRel);
        Ok(())
    }

    /// Whether so much came since it was noted last where records are that it is to be noted again.
    pub(crate) fn is_note_due(&self) -> bool {
        self.to_note(&self.noted.lock()).is_some()
    }

    /// Notes where the records of the segment that grows are, if much came since that was noted
    /// last, so that whoever opens it next need not read all of it.
    pub(crate) fn note(&self) -> io::Result<()> {
        let mut noted = self.noted.lock();
        let Some(segment) = self.to_note(&noted) else {
            return Ok(());
        };
        // A copy, since whoever appends waits for nobody's disk but its own.
        let offsets = match &*segment.read_offsets() {
            Where::Live(offsets) => offsets.clone(),
            Where::Sealed { .. } => return Ok(()),
        };
        let place = (segment.number, segment.first);
        noted.note(&*self.disk, &self.dir, place, offsets)
    }

    /// The segment that grows, if there is much to note of it.
    fn to_note(&self, noted: &noted::Place) -> Option<Arc<Segment>> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let segment = segments.last()?;
        let due = match &*segment.read_offsets() {
            Where::Live(offsets) => {
                let last = offsets.last().copied().unwrap_or_default();
                noted.is_due(segment.number, last)
            }
            Where::Sealed { .. } => false,
        };
        due.then(|| Arc::clone(segment))
    }

    /// Begins a new segment; the one before is sealed with an offset file.
    pub(crate) fn roll(&self, tail: &mut Tail) -> Result<(), AppendError> {
        let number = tail.segment + 1;
        let first = self.durable();
        let path = self.dir.join(segment_name(number));
        let full = |doing, error: io::Error| {
            // A file that was begun must not be met again by the next attempt.
            let gone = match self.disk.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => self.disk.sync_dir(&self.dir),
            };
            match gone {
                Ok(()) if error.kind() == io::ErrorKind::StorageFull => AppendError::Full,
                _ => AppendError::Failed(doing, error),
            }
        };
        let sealed = {
            let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
            segments.last().cloned()
        };
        if let Some(segment) = sealed {
            let offsets = match &*segment
                .offsets
                .read()
                .unwrap_or_else(PoisonError::into_inner)
            {
                Where::Live(offsets) => Some(offsets.clone()),
                Where::Sealed { .. } => None,
            };
            if let Some(offsets) = offsets {
                let mut noted = self.noted.lock();
                let sealed = seal(
                    &*self.disk,
                    &self.dir,
                    segment.number,
                    segment.first,
                    tail.end,
                    offsets,
                )
                .map_err(|e| full("seal a segment", e))?;
                *write(&segment.offsets) = sealed;
                noted.forget(&*self.disk, &self.dir, segment.number);
            }
        }
        let create = || {
            let file = self.disk.open(&path, How::New)?;
            file.write_at(0, &Header { number, first }.encode())?;
            file.sync()?;
            self.disk.sync_dir(&self.dir)?;
            Ok(file)
        };
        let file = create().map_err(|e| full("begin a segment", e))?;
        let segment = Segment {
            number,
            first,
            path: path.clone(),
            file,
            offsets: RwLock::new(Where::Live(Vec::new())),
        };
        write(&self.segments).push(Arc::new(segment));
        tail.segment = number;
        tail.end = HEADER as u64;
        Ok(())
    }
}

/// Why a group was not appended.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// There was no space, and nothing of the group is left.
    Full,
    /// It is open what is durable.
    Failed(&'static str, io::Error),
}

impl Segment {
    fn read_offsets(&self) -> RwLockReadGuard<'_, Where> {
        self.offsets.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_sealed(&self) -> bool {
        let offsets = self.offsets.read().unwrap_or_else(PoisonError::into_inner);
        matches!(&*offsets, Where::Sealed { .. })
    }

    pub(super) fn count(&self) -> u64 {
        match &*self.offsets.read().unwrap_or_else(PoisonError::into_inner) {
            Where::Live(offsets) => offsets.len() as u64,
            Where::Sealed { count, .. } => *count,
        }
    }

    pub(super) fn offset(&self, seq: u64) -> Result<u64, StoreError> {
        let mut offset = 0;
        self.offsets(&[seq], |found| offset = found)?;
        Ok(offset)
    }

    /// Tells where records begin, whose places are in order.
    pub(super) fn offsets(
        &self,
        seqs: &[u64],
        mut tell: impl FnMut(u64),
    ) -> Result<(), StoreError> {
        let (file, end) = match &*self.offsets.read().unwrap_or_else(PoisonError::into_inner) {
            Where::Live(offsets) => {
                let place = |seq: &u64| usize::try_from(seq - self.first).expect("fits memory");
                seqs.iter().for_each(|seq| tell(offsets[place(seq)]));
                return Ok(());
            }
            Where::Sealed { file, end, .. } => (Arc::clone(file), *end),
        };
        let place = |seq: u64| OFFSETS_HEADER as u64 + 8 * (seq - self.first);
        let mut near = Near::default();
        for (nth, &seq) in seqs.iter().enumerate() {
            let at = place(seq);
            let ahead = seqs[nth + 1..].iter().map(|seq| place(*seq));
            let bytes = near
                .at(&*file, at, 8, ahead)
                .map_err(|e| reading(&self.path, e))?;
            let offset = bytes.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
            let Some(offset) = offset.filter(|offset| *offset < end) else {
                let path = self.path.with_extension("off");
                return Err(damaged(&path, format!("byte {at}"), Some(seq)));
            };
            tell(offset);
        }
        Ok(())
    }
}

/// Whether the last segment was begun and its header never became whole. A segment is created only
/// when all before it is durable, and its first group is written only when its header is, so
/// nothing was ever in it.
fn unfinished(
    disk: &dyn Disk,
    dir: &Path,
    number: u32,
    mend: bool,
    notices: &mut Vec<String>,
) -> Result<bool, StoreError> {
    let path = dir.join(segment_name(number));
    let failed = |e| reading(&path, e);
    let file = disk.open(&path, How::Read).map_err(failed)?;
    let mut header = [0; HEADER];
    let count = file.read_at(0, &mut header).map_err(failed)?;
    let whole = !matches!(Header::decode(&header[..count]), Err(BadHeader::Damaged));
    if whole || file.len().map_err(failed)? > HEADER as u64 {
        return Ok(false);
    }
    if mend {
        disk.remove(&path)
            .and_then(|()| disk.sync_dir(dir))
            .map_err(failed)?;
    }
    notices.push(format!(
        "`{}` was begun and not finished; it was left out",
        path.display()
    ));
    Ok(true)
}

#[expect(
    clippy::too_many_arguments,
    reason = "each is a different part of what is known of a segment"
)]
fn open_last(
    file: Arc<dyn DiskFile>,
    path: &Path,
    number: u32,
    first: u64,
    floor: u64,
    why: Opening,
    known: Option<Scanned>,
    notices: &mut Vec<String>,
) -> Result<(Segment, u64), StoreError> {
    let mend = why == Opening::Mend;
    let scanned = match why {
        Opening::ReadAll => scan_above(&*file, first, floor),
        Opening::Mend | Opening::Look | Opening::Check => {
            scan_after(&*file, first, known.unwrap_or_else(Scanned::nothing))
        }
    };
    let mut scanned = scanned.map_err(|e| reading(path, e))?;
    let good = first + scanned.offsets.len() as u64;
    if scanned.bad && good < floor.max(scanned.proven) {
        return Err(damaged(path, format!("byte {}", scanned.end), Some(good)));
    }
    let keep = good - scanned.partial;
    if scanned.bad || scanned.partial > 0 {
        if scanned.partial > 0 && keep < floor {
            return Err(damaged(path, format!("byte {}", scanned.end), Some(good)));
        }
        let length = file.len().map_err(|e| reading(path, e))?;
        let kept = usize::try_from(keep - first).expect("fits memory");
        let end = scanned.offsets.get(kept).copied().unwrap_or(scanned.end);
        scanned.offsets.truncate(kept);
        scanned.end = end;
        if mend {
            file.truncate(end)
                .and_then(|()| file.sync())
                .map_err(|e| reading(path, e))?;
        }
        notices.push(format!(
            "`{}` had a torn tail: {} bytes after leaf {keep} were never acknowledged and were {}",
            path.display(),
            length - end,
            if mend { "cut" } else { "left out" },
        ));
    }
    if mend {
        make_durable(&*file, number, first, &scanned).map_err(|e| reading(path, e))?;
    }
    let offsets = RwLock::new(Where::Live(scanned.offsets));
    Ok((
        Segment {
            number,
            first,
            path: path.to_owned(),
            file,
            offsets,
        },
        scanned.end,
    ))
}

/// Writes the header and the last group again and syncs them. They may be only in memory: the
/// process before may have ended without a sync, or because one failed, and after a failed sync a
/// later one can succeed without the bytes. What comes before was durable when the group was
/// written.
fn make_durable(file: &dyn DiskFile, number: u32, first: u64, scanned: &Scanned) -> io::Result<()> {
    file.write_at(0, &Header { number, first }.encode())?;
    let kept = scanned.offsets.len() as u64;
    if let Some(last) = scanned.last
        && kept > 0
    {
        // A batch that was cut may have been the end of the group.
        let start = last.base().saturating_sub(first).min(kept - 1);
        let start = scanned.offsets[usize::try_from(start).expect("fits memory")];
        let length = usize::try_from(scanned.end - start).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        let count = file.read_at(start, &mut bytes)?;
        file.write_at(start, &bytes[..count])?;
    }
    file.sync()
}

fn open_sealed(
    disk: &dyn Disk,
    file: Arc<dyn DiskFile>,
    path: &Path,
    number: u32,
    first: u64,
    mend: bool,
    notices: &mut Vec<String>,
) -> Result<Segment, StoreError> {
    let dir = disk::parent(path);
    let length = file.len().map_err(|e| reading(path, e))?;
    let sealed = load_sealed(disk, dir, number, first).map_err(|e| reading(path, e))?;
    let offsets = match sealed {
        Some(Where::Sealed {
            file: table,
            count,
            end,
        }) if end == length => Where::Sealed {
            file: table,
            count,
            end,
        },
        _ => {
            let scanned = scan(&*file, first).map_err(|e| reading(path, e))?;
            if scanned.bad || scanned.partial > 0 {
                let bad = first + scanned.offsets.len() as u64;
                return Err(damaged(path, format!("byte {}", scanned.end), Some(bad)));
            }
            notices.push(format!("the offsets of `{}` were rebuilt", path.display()));
            if mend {
                seal(disk, dir, number, first, length, scanned.offsets)
                    .map_err(|e| reading(path, e))?
            } else {
                Where::Live(scanned.offsets)
            }
        }
    };
    Ok(Segment {
        number,
        first,
        path: path.to_owned(),
        file,
        offsets: RwLock::new(offsets),
    })
}

fn load_sealed(disk: &dyn Disk, dir: &Path, number: u32, first: u64) -> io::Result<Option<Where>> {
    let path = dir.join(offsets_name(number));
    let file = match disk.open(&path, How::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut header = [0; OFFSETS_HEADER];
    let read = file.read_at(0, &mut header)?;
    let length = file.len()?;
    Ok(Offsets::decode_header(&header[..read])
        .filter(|(found, count, _)| *found == first && length == OFFSETS_HEADER as u64 + 8 * count)
        .map(|(_, count, end)| Where::Sealed { file, count, end }))
}

fn seal(
    disk: &dyn Disk,
    dir: &Path,
    number: u32,
    first: u64,
    end: u64,
    offsets: Vec<u64>,
) -> io::Result<Where> {
    let path = dir.join(offsets_name(number));
    let offsets = Offsets {
        first,
        log_len: end,
        offsets,
    };
    disk::replace(disk, &path, &offsets.encode(), false)?;
    let file = disk.open(&path, How::Read)?;
    Ok(Where::Sealed {
        file,
        count: offsets.offsets.len() as u64,
        end,
    })
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn reading(path: &Path, error: io::Error) -> StoreError {
    unavailable(format!("read `{}`", path.display()), error)
}
