//! Signed notes (C2SP signed-note): a text, an empty line, and one line per signature.
//!
//! ```text
//! ledger.example/decisions
//! 70000
//! pipUvjMp…
//!
//! — ledger.example/decisions mUif7RbQ…
//! ```
//!
//! The text ends with a newline and may hold empty lines itself: it ends at the *last* empty line.
//! A signature covers the text with its final newline and nothing else. Signatures of keys that
//! the reader does not know are ignored; one bad signature of a known key spoils the note.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::key::{KeyId, VerifyingKey, is_key_name};

/// The largest note that is read, in bytes; the limit of Go's `sumdb/note`.
pub const NOTE_BYTES_MAX: usize = 1_000_000;
/// The most signatures that are read from one note; the limit of Go's `sumdb/note`. The
/// specification asks for at least 16.
pub const SIGNATURES_MAX: usize = 100;

/// Why a key, a note or a checkpoint is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// The name cannot name a key or a log.
    #[error("`{name}` is not a key name: it is empty or holds a space, a control character or `+`")]
    KeyName {
        /// The name.
        name: String,
    },
    /// The text is not a public key.
    #[error("not a verifier key: {problem}")]
    Vkey {
        /// What is wrong.
        problem: String,
    },
    /// The text is not a private key.
    #[error("not a private key: {problem}")]
    PrivateKey {
        /// What is wrong, without the key.
        problem: String,
    },
    /// The bytes are not a note.
    #[error("not a signed note: {problem}")]
    Malformed {
        /// What is wrong.
        problem: String,
    },
    /// A key that the reader knows did not make the signature that carries its name and id.
    #[error("the signature of `{name}` (key `{id}`) is wrong")]
    BadSignature {
        /// The name of the key.
        name: String,
        /// The id of the key.
        id: KeyId,
    },
    /// No signature is of a key that the reader knows.
    #[error(
        "no signature is of a known key; the note is signed by {}",
        names(signers)
    )]
    NoKnownKey {
        /// Who signed.
        signers: Vec<String>,
    },
    /// The text of the note is not a checkpoint.
    #[error("not a checkpoint: line {line} {problem}")]
    Checkpoint {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A checkpoint of another log.
    #[error("the checkpoint is of `{found}`, expected `{expected}`")]
    Origin {
        /// The log that was expected.
        expected: String,
        /// The log that the checkpoint names.
        found: String,
    },
}

fn names(signers: &[String]) -> String {
    if signers.is_empty() {
        "nobody".to_owned()
    } else {
        format!("`{}`", signers.join("`, `"))
    }
}

impl NoteError {
    /// Returns what a person can do about it, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoKnownKey { .. } => Some("name the log's verifier key"),
            Self::BadSignature { .. } => {
                Some("the note was changed after it was signed, or the key is another of that name")
            }
            _ => None,
        }
    }
}

/// One signature line. Printed with its final newline left off.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature {
    /// The name of the key.
    pub name: String,
    /// The id of the key.
    pub id: KeyId,
    /// What follows the id: 64 bytes of Ed25519, or 8 bytes of time and 64 of Ed25519.
    pub bytes: Vec<u8>,
}

impl Signature {
    /// Reads one line, without its newline.
    ///
    /// # Errors
    ///
    /// When it is not a signature line.
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        let wrong = |problem: &str| NoteError::Malformed {
            problem: format!("{problem} in the signature line `{line}`"),
        };
        let rest = line
            .strip_prefix("\u{2014} ")
            .ok_or_else(|| wrong("no `— ` at the start"))?;
        let (name, base64) = rest.split_once(' ').ok_or_else(|| wrong("no signature"))?;
        if !is_key_name(name) {
            return Err(wrong("no key name"));
        }
        let bytes = STANDARD.decode(base64).map_err(|_| wrong("bad base64"))?;
        match bytes.split_first_chunk::<4>() {
            Some((id, rest)) if !rest.is_empty() => Ok(Self {
                name: name.to_owned(),
                id: KeyId(*id),
                bytes: rest.to_vec(),
            }),
            _ => Err(wrong("too few bytes")),
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.id.0.to_vec();
        bytes.extend_from_slice(&self.bytes);
        write!(f, "\u{2014} {} {}", self.name, STANDARD.encode(bytes))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

/// A text and who signed it. Printing a note that was read gives the bytes that were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// A signature that a known key made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<'k> {
    /// The key.
    pub key: &'k VerifyingKey,
    /// When the witness saw the checkpoint (seconds since 1970), for a cosignature.
    pub time: Option<u64>,
}

impl Note {
    /// Returns the note of `text`, not signed yet.
    ///
    /// # Errors
    ///
    /// When the text does not end with a newline, or holds control characters.
    pub fn new(text: String) -> Result<Self, NoteError> {
        check_characters(&text)?;
        if !text.ends_with('\n') {
            return Err(malformed("the text does not end with a newline"));
        }
        Ok(Self {
            text,
            signatures: Vec::new(),
        })
    }

    /// Reads a note; its signatures are not checked yet.
    ///
    /// # Errors
    ///
    /// When the bytes are not a note, or more than [`NOTE_BYTES_MAX`] or [`SIGNATURES_MAX`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(malformed("it is larger than a million bytes"));
        }
        let whole = std::str::from_utf8(bytes)
            .map_err(|e| malformed(&format!("byte {} is not UTF-8", e.valid_up_to())))?;
        check_characters(whole)?;
        let at = whole
            .rfind("\n\n")
            .ok_or_else(|| malformed("it has no empty line"))?;
        let text = whole[..=at].to_owned();
        let lines = whole[at + 2..]
            .strip_suffix('\n')
            .ok_or_else(|| malformed("it does not end with a signature line"))?;
        let signatures = lines
            .split('\n')
            .map(Signature::parse)
            .collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > SIGNATURES_MAX {
            return Err(malformed("it has more than a hundred signatures"));
        }
        Ok(Self { text, signatures })
    }

    /// Returns the text, with its final newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the signatures in their order, checked or not.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds a signature line at the end.
    pub fn push(&mut self, signature: Signature) {
        self.signatures.push(signature);
    }

    /// Returns the signatures that `keys` made. Lines of unknown keys are ignored, and so is a
    /// second line of the same key.
    ///
    /// # Errors
    ///
    /// When a line that carries name and id of a known key does not verify, or no line does.
    pub fn verify<'k>(&self, keys: &'k [VerifyingKey]) -> Result<Vec<Verified<'k>>, NoteError> {
        let verified = self.verify_any(keys)?;
        if verified.is_empty() {
            let signers = self.signatures.iter().map(|s| s.name.clone()).collect();
            return Err(NoteError::NoKnownKey { signers });
        }
        Ok(verified)
    }

    /// As [`Note::verify`], but content when no key is known.
    pub(crate) fn verify_any<'k>(
        &self,
        keys: &'k [VerifyingKey],
    ) -> Result<Vec<Verified<'k>>, NoteError> {
        let mut verified: Vec<Verified<'k>> = Vec::new();
        for signature in &self.signatures {
            let known =
                |key: &&VerifyingKey| key.name() == signature.name && key.id() == signature.id;
            let Some(key) = keys.iter().find(known) else {
                continue;
            };
            if verified.iter().any(|seen| std::ptr::eq(seen.key, key)) {
                continue;
            }
            let time = key.verify(&self.text, signature)?;
            verified.push(Verified { key, time });
        }
        Ok(verified)
    }
}

fn malformed(problem: &str) -> NoteError {
    NoteError::Malformed {
        problem: problem.to_owned(),
    }
}

fn check_characters(text: &str) -> Result<(), NoteError> {
    match text.bytes().position(|byte| byte < 0x20 && byte != b'\n') {
        None => Ok(()),
        Some(at) => Err(malformed(&format!("byte {at} is a control character"))),
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for signature in &self.signatures {
            writeln!(f, "{signature}")?;
        }
        Ok(())
    }
}
