//! Framing of the stdio transport: one message a line, and no line end inside one.

use std::borrow::Cow;

/// A line over the limit. What follows it up to its end is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line is longer than the limit of {limit} bytes")]
pub struct LineTooLong {
    /// The limit.
    pub limit: usize,
}

/// Splits what a process writes into lines.
#[derive(Clone, Debug)]
pub struct Lines {
    limit: usize,
    line: Vec<u8>,
    /// The line that is being read is over the limit, and was told.
    skipping: bool,
}

impl Lines {
    /// Begins, with the longest line that is taken, in bytes without its end.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            skipping: false,
        }
    }

    /// Takes what came and returns the lines that it completes, without their ends. Empty lines
    /// are left out. A line over the limit is told once, as soon as it is, and never kept.
    pub fn push(&mut self, mut bytes: &[u8]) -> Vec<Result<Vec<u8>, LineTooLong>> {
        let mut lines = Vec::new();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.take(&bytes[..end], &mut lines);
            bytes = &bytes[end + 1..];
            self.skipping = false;
            let mut line = std::mem::take(&mut self.line);
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            if !line.is_empty() {
                lines.push(Ok(line));
            }
        }
        self.take(bytes, &mut lines);
        lines
    }

    fn take(&mut self, part: &[u8], lines: &mut Vec<Result<Vec<u8>, LineTooLong>>) {
        if self.skipping {
            return;
        }
        if part.len() > self.limit - self.line.len() {
            self.line = Vec::new();
            self.skipping = true;
            lines.push(Err(LineTooLong { limit: self.limit }));
        } else {
            self.line.extend_from_slice(part);
        }
    }

    /// Returns whether a line was begun and not ended: at the end of the stream, a message that
    /// was cut off.
    #[must_use]
    pub fn is_within_line(&self) -> bool {
        self.skipping || !self.line.is_empty()
    }
}

/// Returns a message as one line without its end. In valid JSON a line end stands only between
/// values, where a space means the same.
#[must_use]
pub fn one_line(message: &[u8]) -> Cow<'_, [u8]> {
    let is_end = |byte: u8| matches!(byte, b'\n' | b'\r');
    if !message.iter().copied().any(is_end) {
        return Cow::Borrowed(message);
    }
    let spaced = message
        .iter()
        .map(|byte| if is_end(*byte) { b' ' } else { *byte });
    Cow::Owned(spaced.collect())
}
