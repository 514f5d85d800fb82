//! Witnesses: a second party that has seen every checkpoint (C2SP tlog-cosignature, tlog-witness).
//!
//! A witness remembers the last size and root of each log that it knows, and signs a new
//! checkpoint only with a proof that it continues the last one. A log that is put back to an old
//! copy, or that tells two stories, gets no signature.
//!
//! This is the deciding half alone, a function from state to state. The caller keeps the state
//! somewhere else than the log (another disk, another machine, another operator), makes the new
//! state durable *before* it hands out the signature, and lets no second request in between.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::checkpoint::{Checkpoint, parse_decimal};
use crate::digest::Digest;
use crate::key::{KeyKind, SigningKey, VerifyingKey};
use crate::merkle::{PROOF_HASHES_MAX, ProofError, verify_consistency};
use crate::note::{Note, NoteError, Signature};

/// The private half of a witness's key (kind `0x04`). `Debug` hides the seed.
#[derive(Debug)]
pub struct WitnessKey(SigningKey);

impl WitnessKey {
    /// Returns the key that the 32 random bytes of `seed` determine.
    ///
    /// # Errors
    ///
    /// When `name` is not a key name.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        SigningKey::of_kind(KeyKind::Cosignature, name, seed).map(Self)
    }

    /// Reads the form that [`WitnessKey::encode`] writes.
    ///
    /// # Errors
    ///
    /// When the text is not such a key.
    pub fn parse(encoded: &str) -> Result<Self, NoteError> {
        SigningKey::parse_of_kind(KeyKind::Cosignature, encoded).map(Self)
    }

    /// Returns the key as text for a file that only its owner reads.
    pub fn encode(&self) -> Zeroizing<String> {
        self.0.encode()
    }

    /// Returns the public half.
    pub fn verifying_key(&self) -> &VerifyingKey {
        self.0.verifying_key()
    }

    /// Signs the text of a checkpoint as seen at `time` (seconds since 1970). Whether it may be
    /// signed is for [`Witness::add_checkpoint`] to decide.
    pub fn cosign(&self, text: &str, time: u64) -> Signature {
        self.0.cosign(text, time)
    }
}

/// What a witness remembers of one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The size of the last checkpoint that it signed.
    pub size: u64,
    /// The root of that checkpoint.
    pub root: Digest,
}

/// What a witness remembers: the last checkpoint of each log, by origin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessState {
    logs: BTreeMap<String, Seen>,
}

impl WitnessState {
    /// Returns what was last signed for the log `origin`.
    pub fn seen(&self, origin: &str) -> Option<Seen> {
        self.logs.get(origin).copied()
    }
}

/// A request to sign a checkpoint. Printed, it is the body of `add-checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the log believes the witness to have seen last.
    pub old_size: u64,
    /// The proof that the tree of that size is the beginning of the new one.
    pub proof: Vec<Digest>,
    /// The checkpoint, signed by the log.
    pub checkpoint: Note,
}

impl AddCheckpoint {
    /// Reads the body of a request.
    ///
    /// # Errors
    ///
    /// [`Refused::Malformed`], which is status 400.
    pub fn parse(body: &[u8]) -> Result<Self, Refused> {
        let wrong = |problem: &str| Refused::Malformed {
            problem: problem.to_owned(),
        };
        let text = std::str::from_utf8(body).map_err(|_| wrong("the body is not UTF-8"))?;
        let (head, note) = text
            .split_once("\n\n")
            .ok_or_else(|| wrong("no empty line"))?;
        let mut lines = head.split('\n');
        let old_size = lines.next().and_then(|line| line.strip_prefix("old "));
        let old_size = old_size.and_then(parse_decimal);
        let old_size = old_size.ok_or_else(|| wrong("the first line is not `old <size>`"))?;
        let mut proof = Vec::new();
        for line in lines {
            let hash = STANDARD
                .decode(line)
                .ok()
                .and_then(|bytes| Digest::from_slice(&bytes));
            proof.push(hash.ok_or_else(|| wrong("a proof line is not the base64 of 32 bytes"))?);
        }
        if proof.len() > PROOF_HASHES_MAX {
            return Err(wrong("the proof has more than 63 hashes"));
        }
        let checkpoint =
            Note::parse(note.as_bytes()).map_err(|problem| wrong(&problem.to_string()))?;
        Ok(Self {
            old_size,
            proof,
            checkpoint,
        })
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        for hash in &self.proof {
            writeln!(f, "{}", STANDARD.encode(hash.0))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Why a witness does not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The request is not one, or its checkpoint is none.
    #[error("bad request: {problem}")]
    Malformed {
        /// What is wrong.
        problem: String,
    },
    /// The old size is above the size of the checkpoint.
    #[error("the old size {old} is above the size {new} of the checkpoint")]
    OldAboveNew {
        /// The old size.
        old: u64,
        /// The size of the checkpoint.
        new: u64,
    },
    /// None of the log's keys signed the checkpoint.
    #[error("the checkpoint is not signed by the log `{origin}`")]
    NotSigned {
        /// The log.
        origin: String,
    },
    /// The witness does not know the log.
    #[error("the log `{origin}` is not known")]
    UnknownLog {
        /// The log.
        origin: String,
    },
    /// The witness has seen another size last.
    #[error("the log `{origin}` was last seen with {seen} entries, not {old}")]
    Stale {
        /// The log.
        origin: String,
        /// The size that it was last seen with.
        seen: u64,
        /// The size that the request believes.
        old: u64,
    },
    /// The log shows another root for a size that it was seen with: it tells two stories.
    #[error("the log `{origin}` shows two roots for {size} entries: `{seen}` and `{shown}`")]
    Forked {
        /// The log.
        origin: String,
        /// The size.
        size: u64,
        /// The root that was seen.
        seen: Digest,
        /// The root that is shown now.
        shown: Digest,
    },
    /// The proof does not show that the log only grew.
    #[error("the log `{origin}` does not continue what was seen: {problem}")]
    Inconsistent {
        /// The log.
        origin: String,
        /// What the proof lacks.
        problem: ProofError,
    },
}

impl Refused {
    /// Returns the HTTP status that the witness protocol gives this answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed { .. } | Self::OldAboveNew { .. } => 400,
            Self::NotSigned { .. } => 403,
            Self::UnknownLog { .. } => 404,
            Self::Stale { .. } | Self::Forked { .. } => 409,
            Self::Inconsistent { .. } => 422,
        }
    }

    /// Returns the body of that answer and its media type.
    pub fn body(&self) -> (&'static str, String) {
        match self {
            Self::Stale { seen, .. } => ("text/x.tlog.size", format!("{seen}\n")),
            other => ("text/plain; charset=utf-8", format!("{other}\n")),
        }
    }
}

/// A witness: its key, and the logs that it signs for with the keys it knows of each.
#[derive(Debug)]
pub struct Witness {
    key: WitnessKey,
    logs: BTreeMap<String, Vec<VerifyingKey>>,
}

impl Witness {
    /// Returns a witness that knows the logs whose keys these are. A log is called like its keys.
    pub fn new(key: WitnessKey, log_keys: impl IntoIterator<Item = VerifyingKey>) -> Self {
        let mut logs: BTreeMap<String, Vec<VerifyingKey>> = BTreeMap::new();
        for log_key in log_keys
            .into_iter()
            .filter(|key| key.kind() == KeyKind::Note)
        {
            logs.entry(log_key.name().to_owned())
                .or_default()
                .push(log_key);
        }
        Self { key, logs }
    }

    /// Returns the public half of the witness's key.
    pub fn verifying_key(&self) -> &VerifyingKey {
        self.key.verifying_key()
    }

    /// Decides whether to sign a checkpoint at `time` (seconds since 1970), and returns the state
    /// to make durable and the signature line to hand out afterwards.
    ///
    /// # Errors
    ///
    /// Why it is refused; the state stays as it is.
    pub fn add_checkpoint(
        &self,
        state: &WitnessState,
        request: &AddCheckpoint,
        time: u64,
    ) -> Result<(WitnessState, Signature), Refused> {
        let note = &request.checkpoint;
        let checkpoint = Checkpoint::parse(note.text()).map_err(|problem| Refused::Malformed {
            problem: problem.to_string(),
        })?;
        let Checkpoint { origin, size, root } = checkpoint;
        let Some(keys) = self.logs.get(&origin) else {
            return Err(Refused::UnknownLog { origin });
        };
        if note.verify(keys).is_err() {
            return Err(Refused::NotSigned { origin });
        }
        let old = request.old_size;
        if old > size {
            return Err(Refused::OldAboveNew { old, new: size });
        }
        let seen = state.seen(&origin);
        let seen_size = seen.map_or(0, |seen| seen.size);
        if old != seen_size {
            return Err(Refused::Stale {
                origin,
                seen: seen_size,
                old,
            });
        }
        let seen_root = seen.map_or_else(crate::merkle::empty_root, |seen| seen.root);
        if old == size && seen_root != root {
            return Err(Refused::Forked {
                origin,
                size,
                seen: seen_root,
                shown: root,
            });
        }
        verify_consistency(old, size, &request.proof, &seen_root, &root).map_err(|problem| {
            Refused::Inconsistent {
                origin: origin.clone(),
                problem,
            }
        })?;
        let mut state = state.clone();
        state.logs.insert(origin, Seen { size, root });
        Ok((state, self.key.cosign(note.text(), time)))
    }
}
