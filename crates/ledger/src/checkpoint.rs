//! Checkpoints (C2SP tlog-checkpoint): the log's name, its size and its root, as a signed note.
//!
//! Exactly three lines. The specification allows further *extension lines* and recommends against
//! them; here a checkpoint that has any is refused, so that equal checkpoints are equal texts.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::digest::Digest;
use crate::key::{KeyKind, SigningKey, VerifyingKey};
use crate::note::{Note, NoteError};

/// What a log vouches for: its first `size` entries have the root `root`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log; a URL without its scheme.
    pub origin: String,
    /// How many entries the log holds.
    pub size: u64,
    /// The Merkle tree hash over them (RFC 6962 section 2.1).
    pub root: Digest,
}

impl Checkpoint {
    /// Reads the text of a checkpoint, without signatures.
    ///
    /// # Errors
    ///
    /// When the text is anything else than the three lines; the error names the line.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let wrong = |line, problem: &str| NoteError::Checkpoint {
            line,
            problem: problem.into(),
        };
        let mut lines = text.split('\n');
        let origin = lines.next().filter(|line| !line.is_empty());
        let origin = origin.ok_or_else(|| wrong(1, "names no log"))?.to_owned();
        let size = lines.next().and_then(parse_decimal);
        let size = size.ok_or_else(|| wrong(2, "is not a decimal size"))?;
        let root = lines.next().and_then(|line| STANDARD.decode(line).ok());
        let root = root.and_then(|bytes| Digest::from_slice(&bytes));
        let root = root.ok_or_else(|| wrong(3, "is not the base64 of 32 bytes"))?;
        match (lines.next(), lines.next()) {
            (Some(""), None) => Ok(Self { origin, size, root }),
            (None, _) => Err(wrong(3, "does not end with a newline")),
            _ => Err(wrong(4, "is an extension, which this log does not use")),
        }
    }

    /// Returns the checkpoint as a note with one line for each key.
    ///
    /// # Errors
    ///
    /// When the origin cannot stand in a note.
    pub fn sign(&self, keys: &[&SigningKey]) -> Result<Note, NoteError> {
        if !crate::key::is_key_name(&self.origin) {
            return Err(NoteError::KeyName {
                name: self.origin.clone(),
            });
        }
        let mut note = Note::new(self.to_string())?;
        for key in keys {
            note.push(key.sign(note.text()));
        }
        Ok(note)
    }

    /// Reads a signed checkpoint and checks that one of `keys`, under the name of the log itself,
    /// signed it. Lines of other known keys must be right as well.
    ///
    /// # Errors
    ///
    /// When the bytes are no checkpoint, or the log did not sign it.
    pub fn open(bytes: &[u8], keys: &[VerifyingKey]) -> Result<(Self, Note), NoteError> {
        let note = Note::parse(bytes)?;
        let verified = note.verify(keys)?;
        let checkpoint = Self::parse(note.text())?;
        let mut logs = verified
            .iter()
            .map(|signed| signed.key)
            .filter(|key| key.kind() == KeyKind::Note)
            .peekable();
        let Some(expected) = logs.peek().map(|key| key.name().to_owned()) else {
            let signers = note
                .signatures()
                .iter()
                .map(|line| line.name.clone())
                .collect();
            return Err(NoteError::NoKnownKey { signers });
        };
        if !logs.any(|key| key.name() == checkpoint.origin) {
            return Err(NoteError::Origin {
                expected,
                found: checkpoint.origin,
            });
        }
        Ok((checkpoint, note))
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}\n{}\n{}",
            self.origin,
            self.size,
            STANDARD.encode(self.root.0)
        )
    }
}

/// Reads a decimal without sign or leading zeros, at most 2^63 - 1 (sizes are signed in Go).
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse()
        .ok()
        .filter(|&number| i64::try_from(number).is_ok())
}
