//! Segments: the files that hold the log, byte by byte, and how they are scanned.
//!
//! The format is written down in `docs/design/on-disk-format.md`. Nothing here decides what to do
//! about damage: a scan says how far the file is good, what comes after, and whether anything
//! after it proves that the bad place was durable once. All integers are big-endian.

use std::io;

use crate::disk::DiskFile;

/// Bytes before the first record.
pub(crate) const HEADER: usize = 32;
/// Bytes of a record before its leaf.
pub(crate) const HEAD: usize = 36;
const MAGIC: &[u8; 8] = b"RSCNDSEG";
const OFFSETS_MAGIC: &[u8; 8] = b"RSCNDOFF";
/// The version that this program writes, and the newest that it reads.
pub(crate) const VERSION: u32 = 1;
/// Bytes of an offset file before its offsets.
pub(crate) const OFFSETS_HEADER: usize = 40;

/// What a record says beside its leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Sequence number.
    pub(crate) seq: u64,
    /// How many leaves of its commit group come before it: `seq - group` leaves were durable when
    /// it was written.
    pub(crate) group: u32,
    /// How many leaves of its batch come after it.
    pub(crate) left: u32,
    /// Number of the payload pack that was last written before it.
    pub(crate) pack: u32,
    /// Length of that pack, durable before the record was written.
    pub(crate) pack_end: u64,
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) number: u32,
    pub(crate) first: u64,
}

/// Why a header is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHeader {
    /// Too short, or its bytes do not add up.
    Damaged,
    /// Of a newer version.
    Newer(u32),
}

impl Header {
    pub(crate) fn encode(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.number.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.first.to_be_bytes());
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        if bytes.len() < HEADER || &bytes[..8] != MAGIC {
            return Err(BadHeader::Damaged);
        }
        if u32_at(bytes, 28) != crc32fast::hash(&bytes[..28]) {
            return Err(BadHeader::Damaged);
        }
        let version = u32_at(bytes, 8);
        if version > VERSION {
            return Err(BadHeader::Newer(version));
        }
        Ok(Self {
            number: u32_at(bytes, 12),
            first: u64_at(bytes, 16),
        })
    }
}

impl Head {
    /// Appends the record of `leaf` to `out`.
    pub(crate) fn encode(&self, leaf: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        let length = u32::try_from(HEAD - 8 + leaf.len()).expect("leaves are below 64 KiB");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.group.to_be_bytes());
        out.extend_from_slice(&self.left.to_be_bytes());
        out.extend_from_slice(&self.pack.to_be_bytes());
        out.extend_from_slice(&self.pack_end.to_be_bytes());
        out.extend_from_slice(leaf);
        let crc = checksum(&out[start..]);
        out[start + 4..start + 8].copy_from_slice(&crc.to_be_bytes());
    }

    /// Reads the record at the start of `bytes`, if a whole and right one is there.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let record = Self::record(bytes)?;
        (u32_at(record, 4) == checksum(record)).then(|| Self::fields(record))
    }

    /// As [`Self::decode`], and takes a whole record for a right one.
    fn decode_unchecked(bytes: &[u8]) -> Option<(Self, &[u8])> {
        Self::record(bytes).map(Self::fields)
    }

    /// The bytes of the record at the start of `bytes`, if they are all there.
    fn record(bytes: &[u8]) -> Option<&[u8]> {
        bytes.get(..Self::whole(bytes)?)
    }

    /// How many bytes the record has that begins like this; none if no record does.
    pub(crate) fn whole(bytes: &[u8]) -> Option<usize> {
        let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
        let whole = 8 + length;
        (HEAD..=HEAD + ledger::LEAF_LEN_MAX)
            .contains(&whole)
            .then_some(whole)
    }

    fn fields(record: &[u8]) -> (Self, &[u8]) {
        let head = Self {
            seq: u64_at(record, 8),
            group: u32_at(record, 16),
            left: u32_at(record, 20),
            pack: u32_at(record, 24),
            pack_end: u64_at(record, 28),
        };
        (head, &record[HEAD..])
    }

    /// Leaves that were durable when the record was written.
    pub(crate) const fn base(&self) -> u64 {
        self.seq.saturating_sub(self.group as u64)
    }
}

/// CRC-32 (ISO-HDLC) over a record without its checksum field.
fn checksum(record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&record[..4]);
    hasher.update(&record[8..]);
    hasher.finalize()
}

/// What a scan found.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    /// Where each good record starts.
    pub(crate) offsets: Vec<u64>,
    /// Where the last good record ends.
    pub(crate) end: u64,
    /// The last good record.
    pub(crate) last: Option<Head>,
    /// How many leaves at the end belong to a batch that is not whole.
    pub(crate) partial: u64,
    /// Whether anything comes after the last good record.
    pub(crate) bad: bool,
    /// The most leaves that any record after the bad place proves to have been durable.
    pub(crate) proven: u64,
}

impl Scanned {
    /// Nothing yet: the place where the first record begins.
    pub(crate) fn nothing() -> Self {
        Self {
            end: HEADER as u64,
            ..Self::default()
        }
    }
}

/// Reads records from the end of the header on, as long as they are right and in order.
pub(crate) fn scan(file: &dyn DiskFile, first: u64) -> io::Result<Scanned> {
    scan_after(file, first, Scanned::nothing())
}

/// As [`scan`], from where another scan ended.
pub(crate) fn scan_after(file: &dyn DiskFile, first: u64, known: Scanned) -> io::Result<Scanned> {
    let length = file.len()?;
    let mut found = walk(file, first, length, 0, known)?;
    if found.bad {
        let next = first + found.offsets.len() as u64;
        found.proven = proven_after(file, found.end, length, next)?;
    }
    Ok(found)
}

/// As [`scan`], for whoever reads the records below `again` once more and computes their checksums
/// then: here they need only be whole and in order. If anything is not, the scan begins again with
/// checksums, so that what it says of a bad place does not depend on this.
pub(crate) fn scan_above(file: &dyn DiskFile, first: u64, again: u64) -> io::Result<Scanned> {
    let found = walk(file, first, file.len()?, again, Scanned::nothing())?;
    if found.bad || found.partial > 0 {
        return scan(file, first);
    }
    Ok(found)
}

/// Goes from record to record as long as they are in order, and, from sequence number `checked`
/// on, right.
fn walk(
    file: &dyn DiskFile,
    first: u64,
    length: u64,
    checked: u64,
    mut found: Scanned,
) -> io::Result<Scanned> {
    let mut window = Window::new(found.end);
    loop {
        let bytes = window.at(file, found.end)?;
        let next = first + found.offsets.len() as u64;
        let decoded = if next < checked {
            Head::decode_unchecked(bytes)
        } else {
            Head::decode(bytes)
        };
        let Some((head, leaf)) = decoded.filter(|(head, _)| head.seq == next) else {
            break;
        };
        found.offsets.push(found.end);
        found.end += (HEAD + leaf.len()) as u64;
        found.partial = if head.left == 0 { 0 } else { found.partial + 1 };
        found.last = Some(head);
    }
    found.bad = found.end < length;
    Ok(found)
}

/// Looks for right records after a bad place and returns the most leaves that one of them proves
/// to have been durable before it was written.
fn proven_after(file: &dyn DiskFile, from: u64, length: u64, next: u64) -> io::Result<u64> {
    let mut proven = 0;
    let mut window = Window::new(from);
    let mut at = from + 1;
    while at + HEAD as u64 <= length {
        let bytes = window.at(file, at)?;
        // Most places fail on the first two bytes of a length.
        if bytes.len() >= HEAD
            && bytes[0] == 0
            && bytes[1] <= 1
            && (next..next + (1 << 32)).contains(&u64_at(bytes, 8))
            && let Some((head, leaf)) = Head::decode(bytes)
        {
            proven = proven.max(head.base());
            at += (HEAD + leaf.len()) as u64;
        } else {
            at += 1;
        }
    }
    Ok(proven)
}

/// A part of a file in memory that moves forward.
#[derive(Debug)]
pub(crate) struct Window {
    /// Where the part starts in the file.
    start: u64,
    bytes: Vec<u8>,
    length: usize,
    ended: bool,
}

impl Window {
    const SIZE: usize = 256 << 10;
    /// A record never needs more.
    const NEED: usize = HEAD + ledger::LEAF_LEN_MAX;

    pub(crate) fn new(start: u64) -> Self {
        Self {
            start,
            bytes: vec![0; Self::SIZE],
            length: 0,
            ended: false,
        }
    }

    /// Starts somewhere else, perhaps in another file.
    pub(crate) const fn restart(&mut self, start: u64) {
        self.start = start;
        self.length = 0;
        self.ended = false;
    }

    /// Returns what follows `at`: enough for a whole record, unless the file ends before.
    pub(crate) fn at(&mut self, file: &dyn DiskFile, at: u64) -> io::Result<&[u8]> {
        let mut skip = usize::try_from(at - self.start).map_err(io::Error::other)?;
        if self.length < skip + Self::NEED && !self.ended && !self.has_record(skip) {
            let have = self.length.saturating_sub(skip);
            self.bytes.copy_within(self.length - have..self.length, 0);
            let count = file.read_at(at + have as u64, &mut self.bytes[have..])?;
            self.start = at;
            self.length = have + count;
            self.ended = self.length < Self::SIZE;
            skip = 0;
        }
        Ok(self.bytes[..self.length].get(skip..).unwrap_or_default())
    }

    /// Whether what follows `skip` is as long as the record there says that it is.
    fn has_record(&self, skip: usize) -> bool {
        let rest = self.bytes[..self.length].get(skip..).unwrap_or_default();
        rest.first_chunk::<4>()
            .is_some_and(|length| rest.len() - 4 > u32::from_be_bytes(*length) as usize + 3)
    }
}

/// The offsets of a sealed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offsets {
    pub(crate) first: u64,
    pub(crate) log_len: u64,
    pub(crate) offsets: Vec<u64>,
}

impl Offsets {
    /// Header: magic, version, count (u32), first, length of the segment, CRC of the header and a
    /// CRC of the offsets; then one u64 for each record.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let count = u32::try_from(self.offsets.len()).expect("a segment has fewer records");
        let mut bytes = Vec::with_capacity(OFFSETS_HEADER + 8 * self.offsets.len());
        bytes.extend_from_slice(OFFSETS_MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(&self.first.to_be_bytes());
        bytes.extend_from_slice(&self.log_len.to_be_bytes());
        bytes.extend_from_slice(&[0; 8]);
        for offset in &self.offsets {
            bytes.extend_from_slice(&offset.to_be_bytes());
        }
        let crc = crc32fast::hash(&bytes[OFFSETS_HEADER..]);
        bytes[36..40].copy_from_slice(&crc.to_be_bytes());
        let mut head = bytes[..32].to_vec();
        head.extend_from_slice(&crc.to_be_bytes());
        let crc = crc32fast::hash(&head);
        bytes[32..36].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// Reads only the header: first, count and length of the segment.
    pub(crate) fn decode_header(bytes: &[u8]) -> Option<(u64, u64, u64)> {
        if bytes.len() < OFFSETS_HEADER || &bytes[..8] != OFFSETS_MAGIC {
            return None;
        }
        let mut head = bytes[..32].to_vec();
        head.extend_from_slice(&bytes[36..40]);
        let right = u32_at(bytes, 32) == crc32fast::hash(&head) && u32_at(bytes, 8) == VERSION;
        right.then(|| {
            (
                u64_at(bytes, 16),
                u64::from(u32_at(bytes, 12)),
                u64_at(bytes, 24),
            )
        })
    }

    /// Reads and checks a whole offset file.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (first, count, log_len) = Self::decode_header(bytes)?;
        let table = &bytes[OFFSETS_HEADER..];
        if table.len() as u64 != count * 8 || crc32fast::hash(table) != u32_at(bytes, 36) {
            return None;
        }
        let offsets = table
            .chunks_exact(8)
            .map(|chunk| u64_at(chunk, 0))
            .collect();
        Some(Self {
            first,
            log_len,
            offsets,
        })
    }
}

pub(crate) fn segment_name(number: u32) -> String {
    format!("seg-{number:05}.log")
}

pub(crate) fn offsets_name(number: u32) -> String {
    format!("seg-{number:05}.off")
}

/// The name of a note of where records are, as long as the segment grows.
pub(crate) fn noted_name(number: u32) -> String {
    format!("seg-{number:05}.part")
}

/// The number in a segment's name; none for other names.
pub(crate) fn segment_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("seg-")?.strip_suffix(".log")?;
    let number = digits.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
