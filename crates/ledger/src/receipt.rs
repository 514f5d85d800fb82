//! COSE Receipts (RFC 9942): that one entry is part of a log, in the form that SCITT services and
//! their clients read (RFC 9943).
//!
//! ```text
//! 18([ protected:   << {1: -8, 4: key id, 15: {1: issuer, 2: subject}, 395: 1} >>,
//!      unprotected: {396: {-1: [<< [size, index, [hash of the path, ...]] >>]}},
//!      payload:     nil,
//!      signature ])
//! ```
//!
//! It says what a [`TlogProof`](crate::TlogProof) says about the same tree under the same key, but
//! carries no witnesses, and vouches for the root only. What is signed is the `Sig_structure` of RFC 9052 section 4.4 with the root
//! as its payload, which the verifier computes from the entry and the path.
//!
//! A receipt has one encoding: what [`Receipt::encode`] would write differently is refused, so no
//! header goes unread. Receipts of other services, receipts of consistency and statements that
//! carry receipts are not read here.

use ciborium::Value;

use crate::checkpoint::Checkpoint;
use crate::digest::Digest;
use crate::key::{KeyId, KeyKind, SigningKey, VerifyingKey};
use crate::merkle::{
    PROOF_HASHES_MAX, ProofError, leaf_hash, root_from_inclusion, verify_inclusion,
};
use crate::tile::{TileError, TileReader};
use crate::tree::Tree;

/// The most bytes a receipt has. One for a tree of 70,000 entries has about 740.
pub const RECEIPT_LEN_MAX: usize = 16 * 1024;

/// The deepest nesting that is read; a receipt has five levels.
const DEPTH_MAX: usize = 8;

/// The tag of a `COSE_Sign1` message (RFC 9052 section 2).
const TAG_SIGN1: u64 = 18;
/// The header parameter for the algorithm, and EdDSA as its value (RFC 9053 section 2.2).
const ALG: (i64, i64) = (1, -8);
/// The header parameter for the id of the key.
const KEY_ID: i64 = 4;
/// The header parameter for claims (RFC 9597).
const CLAIMS: i64 = 15;
/// The claim that names the issuer (RFC 8392).
const ISSUER: i64 = 1;
/// The claim that names the subject (RFC 8392).
const SUBJECT: i64 = 2;
/// The header parameter for the data structure, and `RFC9162_SHA256` as its value.
const STRUCTURE: (i64, i64) = (395, 1);
/// The header parameter for the proofs.
const PROOFS: i64 = 396;
/// The kind of a proof of inclusion.
const INCLUSION: i64 = -1;

/// Why a receipt cannot be issued, or proves nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The bytes are not a receipt.
    #[error("not a receipt of inclusion: it {problem}")]
    Malformed {
        /// What is wrong with them.
        problem: &'static str,
    },
    /// The subject is empty.
    #[error("a receipt needs a subject")]
    NoSubject,
    /// Issuer and subject are too long.
    #[error("the receipt would have {len} bytes, at most {RECEIPT_LEN_MAX} are allowed")]
    TooLong {
        /// How many bytes it would have.
        len: usize,
    },
    /// The key is that of another log.
    #[error("the key `{key}` cannot issue receipts of the log `{origin}`")]
    OtherLog {
        /// The name of the key.
        key: String,
        /// The origin of the log.
        origin: String,
    },
    /// None of the keys that are trusted is the one that the receipt names.
    #[error("no trusted key is called `{issuer}` and has the id `{key_id}`")]
    UnknownKey {
        /// Who says that they issued it.
        issuer: String,
        /// The id of the key that they name.
        key_id: KeyId,
    },
    /// The key that the receipt names did not sign it for this entry.
    #[error("`{issuer}` signed no such receipt for this entry")]
    BadSignature {
        /// Who is named as the issuer.
        issuer: String,
    },
    /// The entry is not part of the log.
    #[error("the entry is not part of the log: {0}")]
    Inclusion(#[from] ProofError),
    /// The tree cannot be read.
    #[error(transparent)]
    Tile(#[from] TileError),
}

/// A receipt of inclusion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The id of the key that signed.
    pub key_id: KeyId,
    /// The origin of the log.
    pub issuer: String,
    /// What the entry is about, such as the run or the decision it belongs to. Not empty.
    pub subject: String,
    /// The size of the tree, in entries. Not signed, see [`Receipt::verify`].
    pub size: u64,
    /// The index of the entry. Not signed either.
    pub index: u64,
    /// The inclusion path, the sibling of the leaf first.
    pub path: Vec<Digest>,
    /// The Ed25519 signature.
    pub signature: [u8; 64],
}

impl Receipt {
    /// Issues the receipt for the entry at `index` of `tree`, as part of `checkpoint`: one that the
    /// log has published, so that a receipt never speaks for a tree that no checkpoint does.
    ///
    /// # Errors
    ///
    /// When there is no such entry, `tree` does not lead to the root of `checkpoint`, `key` is that
    /// of another log, or the subject is empty or too long. Nothing is signed then.
    pub fn issue<R: TileReader>(
        tree: &Tree<R>,
        checkpoint: &Checkpoint,
        index: u64,
        subject: &str,
        key: &SigningKey,
    ) -> Result<Self, ReceiptError> {
        let &Checkpoint {
            ref origin,
            size,
            root,
        } = checkpoint;
        if key.name() != origin {
            return Err(ReceiptError::OtherLog {
                key: key.name().to_owned(),
                origin: origin.clone(),
            });
        }
        if subject.is_empty() {
            return Err(ReceiptError::NoSubject);
        }
        let path = tree.prove_inclusion(index, size)?;
        verify_inclusion(&tree.leaf(index)?, index, size, &path, &root)?;
        let mut receipt = Self {
            key_id: key.verifying_key().id(),
            issuer: origin.clone(),
            subject: subject.to_owned(),
            size,
            index,
            path,
            signature: [0; 64],
        };
        let len = receipt.encode().len();
        if len > RECEIPT_LEN_MAX {
            return Err(ReceiptError::TooLong { len });
        }
        receipt.signature = key.sign_bytes(&receipt.message(&root));
        Ok(receipt)
    }

    /// Reads a receipt. Nothing is checked yet.
    ///
    /// # Errors
    ///
    /// When the bytes are not one that a log of ours could have issued.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let wrong = |problem| ReceiptError::Malformed { problem };
        if bytes.len() > RECEIPT_LEN_MAX {
            return Err(wrong("is too long"));
        }
        let (protected, proofs, signature) =
            split(bytes).ok_or_else(|| wrong("is not a signed message without payload"))?;
        let (key_id, issuer, subject) = read_protected(&protected)
            .ok_or_else(|| wrong("does not name its key, issuer and subject"))?;
        let (size, index, path) =
            read_proof(&proofs).ok_or_else(|| wrong("does not hold one proof of inclusion"))?;
        if subject.is_empty() {
            return Err(wrong("has an empty subject"));
        }
        let receipt = Self {
            key_id,
            issuer,
            subject,
            size,
            index,
            path,
            signature,
        };
        if receipt.encode() != bytes {
            return Err(wrong(
                "has other headers than ours have, or another encoding of them",
            ));
        }
        Ok(receipt)
    }

    /// Returns the bytes of the receipt, in deterministic CBOR (RFC 8949 section 4.2.1).
    pub fn encode(&self) -> Vec<u8> {
        let hashes = self.path.iter().map(|hash| Value::from(&hash.0[..]));
        let proof = Value::Array(vec![
            self.size.into(),
            self.index.into(),
            Value::Array(hashes.collect()),
        ]);
        let proofs = Value::Array(vec![Value::Bytes(to_bytes(&proof))]);
        let unprotected = map([(PROOFS, map([(INCLUSION, proofs)]))]);
        let message = Value::Array(vec![
            Value::Bytes(self.protected()),
            unprotected,
            Value::Null,
            Value::from(&self.signature[..]),
        ]);
        to_bytes(&Value::Tag(TAG_SIGN1, Box::new(message)))
    }

    /// Checks that `entry` is part of the log of one of `keys` that issued this receipt, and returns
    /// the root of the tree that holds it.
    ///
    /// The root is signed, size and index are not: as RFC 9942 has it they travel beside the
    /// signature, and another pair can lead along the same path. They are what they say if the
    /// log's checkpoint of that size has this root.
    ///
    /// # Errors
    ///
    /// What does not hold.
    pub fn verify(&self, entry: &[u8], keys: &[VerifyingKey]) -> Result<Digest, ReceiptError> {
        let named = |key: &&VerifyingKey| {
            key.kind() == KeyKind::Note && key.name() == self.issuer && key.id() == self.key_id
        };
        let mut named = keys.iter().filter(named).peekable();
        if named.peek().is_none() {
            return Err(ReceiptError::UnknownKey {
                issuer: self.issuer.clone(),
                key_id: self.key_id,
            });
        }
        let leaf = leaf_hash(entry);
        let root = root_from_inclusion(&leaf, self.index, self.size, &self.path)?;
        let message = self.message(&root);
        if !named.any(|key| key.verifies_bytes(&message, &self.signature)) {
            return Err(ReceiptError::BadSignature {
                issuer: self.issuer.clone(),
            });
        }
        Ok(root)
    }

    fn protected(&self) -> Vec<u8> {
        let claims = map([
            (ISSUER, self.issuer.as_str().into()),
            (SUBJECT, self.subject.as_str().into()),
        ]);
        to_bytes(&map([
            (ALG.0, ALG.1.into()),
            (KEY_ID, Value::from(&self.key_id.0[..])),
            (CLAIMS, claims),
            (STRUCTURE.0, STRUCTURE.1.into()),
        ]))
    }

    /// Returns what is signed. It starts with 0x84, an array of four, which no text starts with.
    fn message(&self, root: &Digest) -> Vec<u8> {
        to_bytes(&Value::Array(vec![
            "Signature1".into(),
            Value::Bytes(self.protected()),
            Value::Bytes(Vec::new()),
            Value::from(&root.0[..]),
        ]))
    }
}

/// Returns the protected header, the map of proofs and the signature.
fn split(bytes: &[u8]) -> Option<(Vec<u8>, Value, [u8; 64])> {
    let Value::Tag(TAG_SIGN1, message) = from_bytes(bytes)? else {
        return None;
    };
    let [protected, unprotected, payload, signature] = array(*message)?;
    let signature = signature.into_bytes().ok()?.try_into().ok()?;
    payload.is_null().then_some(())?;
    let proofs = field(&unprotected, PROOFS)?.clone();
    Some((protected.into_bytes().ok()?, proofs, signature))
}

/// Returns the id of the key, the issuer and the subject.
fn read_protected(bytes: &[u8]) -> Option<(KeyId, String, String)> {
    let header = from_bytes(bytes)?;
    let key_id = field(&header, KEY_ID)?.as_bytes()?.as_slice();
    let claims = field(&header, CLAIMS)?;
    let claim = |label| Some(field(claims, label)?.as_text()?.to_owned());
    Some((
        KeyId(key_id.try_into().ok()?),
        claim(ISSUER)?,
        claim(SUBJECT)?,
    ))
}

/// Returns the size of the tree, the index of the entry and the path.
fn read_proof(proofs: &Value) -> Option<(u64, u64, Vec<Digest>)> {
    let [proof] = array(field(proofs, INCLUSION)?.clone())?;
    let [size, index, path] = array(from_bytes(proof.as_bytes()?)?)?;
    let number = |value: Value| u64::try_from(value.as_integer()?).ok();
    let path = path.into_array().ok()?;
    if path.len() > PROOF_HASHES_MAX {
        return None;
    }
    let hash = |value: &Value| Digest::from_slice(value.as_bytes()?);
    let path = path.iter().map(hash).collect::<Option<_>>()?;
    Some((number(size)?, number(index)?, path))
}

fn map<const N: usize>(fields: [(i64, Value); N]) -> Value {
    Value::Map(fields.map(|(label, value)| (label.into(), value)).into())
}

fn field(map: &Value, label: i64) -> Option<&Value> {
    let label = Value::from(label);
    let mut fields = map.as_map()?.iter();
    fields.find_map(|(key, value)| (*key == label).then_some(value))
}

fn array<const N: usize>(value: Value) -> Option<[Value; N]> {
    value.into_array().ok()?.try_into().ok()
}

fn from_bytes(bytes: &[u8]) -> Option<Value> {
    ciborium::de::from_reader_with_recursion_limit(bytes, DEPTH_MAX).ok()
}

fn to_bytes(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("a vector takes every byte");
    bytes
}
