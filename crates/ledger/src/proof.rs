//! Proofs in a file (C2SP tlog-proof): that one entry is part of a log, checked without the log.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra <base64>                 optional, vouched for by nobody
//! index 12345
//! <base64 hash>                  the inclusion path, the sibling of the leaf first
//!
//! <the signed checkpoint, as it is>
//! ```

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{Checkpoint, parse_decimal};
use crate::digest::Digest;
use crate::key::VerifyingKey;
use crate::merkle::{PROOF_HASHES_MAX, ProofError, leaf_hash, verify_inclusion};
use crate::note::{Note, NoteError};
use crate::policy::{Policy, PolicyError};
use crate::tile::{TileError, TileReader};
use crate::tree::Tree;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// Why a proof in a file proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlogProofError {
    /// The bytes are not such a file.
    #[error("not a proof file: line {line} {problem}")]
    Malformed {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The checkpoint in it is damaged or not signed by the log.
    #[error(transparent)]
    Checkpoint(#[from] NoteError),
    /// The checkpoint in it does not satisfy the policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The entry is not part of the log that the checkpoint describes.
    #[error("the entry is not part of the log: {0}")]
    Inclusion(#[from] ProofError),
}

/// A proof that one entry is part of a log. Printed, it is the content of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Data of the application, vouched for by nobody.
    pub extra: Option<Vec<u8>>,
    /// The index of the entry.
    pub index: u64,
    /// The inclusion path, the sibling of the leaf first.
    pub path: Vec<Digest>,
    /// The checkpoint and its signatures.
    pub checkpoint: Note,
}

impl TlogProof {
    /// Returns the proof that the entry at `index` is part of the log in `reader` that
    /// `checkpoint` describes.
    ///
    /// # Errors
    ///
    /// When there is no such entry, or a tile cannot be read.
    pub fn build<R: TileReader>(
        reader: R,
        size: u64,
        index: u64,
        checkpoint: Note,
    ) -> Result<Self, TileError> {
        let path = Tree::new(reader, size).prove_inclusion(index, size)?;
        Ok(Self {
            extra: None,
            index,
            path,
            checkpoint,
        })
    }

    /// Reads a proof file. Nothing is checked yet.
    ///
    /// # Errors
    ///
    /// When the bytes are not one; the error names the line.
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogProofError> {
        let wrong = |line, problem| TlogProofError::Malformed { line, problem };
        let text = std::str::from_utf8(bytes).map_err(|_| wrong(1, "is not UTF-8"))?;
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or_else(|| wrong(1, "is followed by no empty line"))?;
        let mut lines = (1..).zip(head.split('\n')).peekable();
        if lines.next().is_none_or(|(_, line)| line != FIRST_LINE) {
            return Err(wrong(1, "is not `c2sp.org/tlog-proof@v1`"));
        }
        let extra = lines.next_if(|(_, line)| line.starts_with("extra "));
        let extra = extra.map(|(number, line)| {
            STANDARD
                .decode(&line["extra ".len()..])
                .map_err(|_| wrong(number, "is not base64"))
        });
        let extra = extra.transpose()?;
        let (number, line) = lines.next().unwrap_or((2, ""));
        let index = line.strip_prefix("index ").and_then(parse_decimal);
        let index = index.ok_or_else(|| wrong(number, "is not `index <number>`"))?;
        let mut path = Vec::new();
        for (number, line) in lines {
            if path.len() == PROOF_HASHES_MAX {
                return Err(wrong(number, "is one hash too many"));
            }
            let hash = STANDARD
                .decode(line)
                .ok()
                .and_then(|bytes| Digest::from_slice(&bytes));
            path.push(hash.ok_or_else(|| wrong(number, "is not the base64 of 32 bytes"))?);
        }
        Ok(Self {
            extra,
            index,
            path,
            checkpoint: Note::parse(checkpoint.as_bytes())?,
        })
    }

    /// Checks that `entry` is part of the log that signed the checkpoint with one of `keys`.
    ///
    /// # Errors
    ///
    /// What does not hold.
    pub fn verify(
        &self,
        entry: &[u8],
        keys: &[VerifyingKey],
    ) -> Result<Checkpoint, TlogProofError> {
        let (checkpoint, _) = Checkpoint::open(self.checkpoint.to_string().as_bytes(), keys)?;
        self.verify_under(entry, checkpoint)
    }

    /// Checks that `entry` is part of a log that `policy` names, and that the checkpoint is
    /// witnessed as the policy asks.
    ///
    /// # Errors
    ///
    /// What does not hold.
    pub fn verify_by_policy(
        &self,
        entry: &[u8],
        policy: &Policy,
    ) -> Result<Checkpoint, TlogProofError> {
        let checkpoint = policy.check(&self.checkpoint)?;
        self.verify_under(entry, checkpoint)
    }

    fn verify_under(
        &self,
        entry: &[u8],
        checkpoint: Checkpoint,
    ) -> Result<Checkpoint, TlogProofError> {
        let leaf = leaf_hash(entry);
        verify_inclusion(
            &leaf,
            self.index,
            checkpoint.size,
            &self.path,
            &checkpoint.root,
        )?;
        Ok(checkpoint)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", STANDARD.encode(hash.0))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}
