//! Server-sent events, split out of a byte stream with their raw bytes kept.
//!
//! ```text
//! chunks of any size ─► Splitter ─► blocks, each with the bytes that it came in
//! ```
//!
//! A [`Block`] is everything up to and with a blank line: one event, a comment, or nothing. Who
//! passes a stream on sends [`Block::raw`], so that nothing is changed on the way, and reads the
//! fields beside it. Lines end in LF, CR LF or CR, and a byte order mark at the start is skipped,
//! as the standard says. However the bytes are cut into chunks, the blocks are the same.
//!
//! What is not here: reconnecting, `retry` times and last event ids; and no block is made of what
//! a stream that breaks off leaves behind, because no client takes it for an event either.

use std::mem;

use memchr::{memchr, memchr2};

/// How much room a splitter keeps after a long line.
const KEPT_BYTES: usize = 64 << 10;

/// Splits a byte stream into blocks.
#[derive(Clone, Debug)]
pub struct Splitter {
    line_bytes_max: usize,
    /// Bytes of the unfinished block.
    held: Vec<u8>,
    scan: Scan,
    /// Whether a byte order mark may still come.
    at_start: bool,
    failed: bool,
}

/// One block of a stream: what stands before a blank line, and the blank line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The bytes as they came, blank line included.
    pub raw: Vec<u8>,
    /// The type of the event, where the stream names one.
    pub event: Option<String>,
    /// The data, several lines joined by LF; none in a block that only comments.
    pub data: Option<String>,
    /// The id of the event.
    pub id: Option<String>,
}

/// A line, or an unfinished block, is longer than allowed. The stream cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line of the event stream has more than {line_bytes_max} bytes")]
pub struct TooLong {
    /// How long a line may be. A block may be twice as long.
    pub line_bytes_max: usize,
    /// The blocks that the same chunk completed before it.
    pub blocks: Vec<Block>,
}

impl Splitter {
    /// Makes a splitter that takes lines of at most `line_bytes_max` bytes, without their end.
    #[must_use]
    pub fn new(line_bytes_max: usize) -> Self {
        Self {
            line_bytes_max,
            held: Vec::new(),
            scan: Scan::default(),
            at_start: true,
            failed: false,
        }
    }

    /// Takes in a chunk and returns the blocks that it completes.
    ///
    /// # Errors
    /// [`TooLong`], with the blocks before it; every later call fails too.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Vec<Block>, TooLong> {
        if self.failed {
            return Err(self.too_long(Vec::new()));
        }
        let mut blocks = Vec::new();
        // A chunk that begins a block is read where it lies; only what is left over is copied.
        let mut held = mem::take(&mut self.held);
        let bytes: &[u8] = if held.is_empty() {
            chunk
        } else {
            held.extend_from_slice(chunk);
            &held
        };
        let mut start = 0;
        let fits = loop {
            match self.scan.next_end(&bytes[start..], self.line_bytes_max) {
                Found::Block(len) => {
                    let at_start = mem::take(&mut self.at_start);
                    self.scan.restart();
                    if len == held.len() {
                        // A block that is all there is, as a long one mostly is, moves.
                        blocks.push(Block::read(held, at_start));
                        return Ok(blocks);
                    }
                    let raw = bytes[start..start + len].to_vec();
                    blocks.push(Block::read(raw, at_start));
                    start += len;
                }
                Found::Nothing => break true,
                Found::TooLong => break false,
            }
        };
        if held.is_empty() {
            held.extend_from_slice(&chunk[start..]);
        } else {
            held.drain(..start);
            // One long line does not keep its room for as long as the stream lasts.
            if start > KEPT_BYTES {
                held.shrink_to(KEPT_BYTES);
            }
        }
        self.held = held;
        if fits {
            Ok(blocks)
        } else {
            self.failed = true;
            Err(self.too_long(blocks))
        }
    }

    /// Returns the bytes of the unfinished block: what a stream that breaks off leaves behind.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.held
    }

    const fn too_long(&self, blocks: Vec<Block>) -> TooLong {
        TooLong {
            line_bytes_max: self.line_bytes_max,
            blocks,
        }
    }
}

/// How far the unfinished block has been looked through, so that no byte is looked at twice.
#[derive(Clone, Copy, Debug, Default)]
struct Scan {
    /// Where the line begins that is being read.
    line: usize,
    /// Up to where it is known to hold no end.
    seen: usize,
    /// How the line before it ended, within this block.
    before: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Lf,
    CrLf,
    Cr,
}

enum Found {
    /// A block of so many bytes.
    Block(usize),
    /// No end yet.
    Nothing,
    TooLong,
}

impl Scan {
    /// Looks for the end of the block that `bytes` begin with.
    fn next_end(&mut self, bytes: &[u8], line_bytes_max: usize) -> Found {
        loop {
            let found = memchr2(b'\n', b'\r', &bytes[self.seen..]);
            let at = found.map_or(bytes.len(), |found| self.seen + found);
            self.seen = at;
            if at - self.line > line_bytes_max || at > line_bytes_max.saturating_mul(2) {
                return Found::TooLong;
            }
            let Some(end) = bytes.get(at) else {
                return Found::Nothing;
            };
            let blank = at == self.line;
            let (end, len) = match (end, bytes.get(at + 1)) {
                (b'\n', _) => (End::Lf, 1),
                (_, Some(b'\n')) if !(blank && self.before == Some(End::Cr)) => (End::CrLf, 2),
                (_, Some(_)) => (End::Cr, 1),
                // The LF may be in the next chunk. Where the line before ended in CR alone there
                // comes none, and waiting would hold back an event that is whole; if one comes
                // all the same, it begins the next block.
                (_, None) if blank && self.before == Some(End::Cr) => (End::Cr, 1),
                (_, None) => return Found::Nothing,
            };
            if blank {
                return Found::Block(at + len);
            }
            self.before = Some(end);
            self.line = at + len;
            self.seen = self.line;
        }
    }

    fn restart(&mut self) {
        *self = Self::default();
    }
}

impl Block {
    fn read(raw: Vec<u8>, at_start: bool) -> Self {
        let mut rest = match raw.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) if at_start => rest,
            _ => &raw,
        };
        let (mut event, mut data, mut id) = (None, None::<Vec<u8>>, None);
        while !rest.is_empty() {
            let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            let colon = memchr(b':', line).unwrap_or(line.len());
            let (name, value) = line.split_at(colon);
            let value = value.strip_prefix(b":").unwrap_or(value);
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match name {
                b"data" => match &mut data {
                    None => data = Some(value.to_vec()),
                    Some(data) => {
                        data.push(b'\n');
                        data.extend_from_slice(value);
                    }
                },
                b"event" => event = Some(text(value.to_vec())),
                b"id" => id = Some(text(value.to_vec())),
                _ => {}
            }
        }
        Self {
            event,
            data: data.map(text),
            id,
            raw,
        }
    }
}

/// Text of bytes that should be UTF-8; what is not reads as U+FFFD.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
