//! A client as small as can be: one call at a time on a connection that stays, over plain sockets.
//!
//! It reads as much HTTP/1.1 as the two servers here speak: a length, or chunks. Its own time is
//! part of every measurement, so there is no runtime in it.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a call may take; a server that hangs longer voids what is measured.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest answer that is taken, in bytes.
const ANSWER_MAX: usize = 16 << 20;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body; of one in chunks, as it came on the wire.
    pub body: Vec<u8>,
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(4_096),
        })
    }

    /// Returns the same connection for another thread to send on.
    ///
    /// # Errors
    /// There are no more files to be had.
    pub fn sender(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }

    /// Makes a call.
    ///
    /// # Errors
    /// The connection broke, or what came back is no answer.
    pub fn call(&mut self, path: &str, body: &str) -> io::Result<Answer> {
        self.stream.write_all(&request(path, body))?;
        self.answer()
    }

    /// Waits for the answer of a call that was sent.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn answer(&mut self) -> io::Result<Answer> {
        self.buffer.clear();
        let head_len = loop {
            if let Some(place) = position(&self.buffer, b"\r\n\r\n") {
                break place + 4;
            }
            self.more()?;
        };
        let head = Head::read(&self.buffer[..head_len])?;
        loop {
            let body = &self.buffer[head_len..];
            let whole = match head.length {
                Some(length) => body.len() >= length,
                None => body.ends_with(b"0\r\n\r\n") && is_last_chunk(body),
            };
            if whole {
                return Ok(Answer {
                    status: head.status,
                    body: body.to_vec(),
                });
            }
            self.more()?;
        }
    }

    fn more(&mut self) -> io::Result<()> {
        let len = self.buffer.len();
        if len > ANSWER_MAX {
            return Err(io::Error::other("the answer does not end"));
        }
        self.buffer.resize(len + 16_384, 0);
        let read = self.stream.read(&mut self.buffer[len..]);
        self.buffer
            .truncate(len + read.as_ref().map_or(0, |read| *read));
        match read? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Returns the bytes of a call.
#[must_use]
pub fn request(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
         authorization: Bearer none\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What the head of an answer says.
struct Head {
    status: u16,
    /// The length of the body; none where it comes in chunks.
    length: Option<usize>,
}

impl Head {
    fn read(head: &[u8]) -> io::Result<Self> {
        let wrong = || io::Error::other("what came back is no answer");
        let text = std::str::from_utf8(head).map_err(|_| wrong())?;
        let mut lines = text.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|status| status.parse().ok())
            .ok_or_else(wrong)?;
        let (mut length, mut chunked) = (None, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok();
            }
            chunked |= name.eq_ignore_ascii_case("transfer-encoding");
        }
        match (length, chunked) {
            (Some(_), false) | (None, true) => Ok(Self { status, length }),
            _ => Err(wrong()),
        }
    }
}

/// Whether a body in chunks that ends like one is one: walks its chunks.
fn is_last_chunk(mut body: &[u8]) -> bool {
    while let Some(line) = position(body, b"\r\n") {
        let size = std::str::from_utf8(&body[..line]).ok();
        let Some(size) = size.and_then(|size| usize::from_str_radix(size, 16).ok()) else {
            return false;
        };
        if size == 0 {
            return true;
        }
        match body.get(line + 2 + size + 2..) {
            Some(rest) => body = rest,
            None => return false,
        }
    }
    false
}

fn position(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|found| found == part)
}
