//! Ed25519 keys under the names and ids of signed notes (C2SP signed-note, "Verifier keys").
//!
//! A key is known by a name and a four-byte id that is derived from name, kind and public key. It
//! travels as text: `<name>+<id>+<base64>` for the public half and `PRIVATE+KEY+<name>+<id>+…`
//! for the private one, as Go's `sumdb/note` writes them. Nothing here makes a key: the seed comes
//! from the caller.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::digest::sha256_parts;
use crate::note::{NoteError, Signature};

const PRIVATE_PREFIX: &str = "PRIVATE+KEY+";

/// The first four bytes of SHA-256 over `name || 0x0a || kind || public key`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 4]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// What a key signs, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum KeyKind {
    /// The text of a note (type `0x01`).
    Note = 0x01,
    /// A checkpoint together with the time at which a witness saw it (type `0x04`).
    Cosignature = 0x04,
}

impl KeyKind {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0x01 => Some(Self::Note),
            0x04 => Some(Self::Cosignature),
            _ => None,
        }
    }
}

/// Tells whether `name` may name a key: not empty, no Unicode white space, no `+`.
pub fn is_key_name(name: &str) -> bool {
    !name.is_empty()
        && !name
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

fn key_id(name: &str, kind: KeyKind, public: &[u8; 32]) -> KeyId {
    let digest = sha256_parts(&[name.as_bytes(), b"\n", &[kind as u8], public]);
    let [a, b, c, d, ..] = digest.0;
    KeyId([a, b, c, d])
}

/// Returns what Go and the specification call the message of a cosignature: the time and the
/// whole checkpoint text.
fn cosignature_message(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// The public half of a key: checks signatures. As text it is a *vkey*,
/// `<name>+<id>+<base64(kind || public key)>`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    name: String,
    id: KeyId,
    kind: KeyKind,
    public: [u8; 32],
}

impl VerifyingKey {
    /// Returns the key of `kind` called `name`.
    ///
    /// # Errors
    ///
    /// When `name` is not a key name.
    pub fn new(kind: KeyKind, name: &str, public: [u8; 32]) -> Result<Self, NoteError> {
        if !is_key_name(name) {
            return Err(NoteError::KeyName {
                name: name.to_owned(),
            });
        }
        Ok(Self {
            name: name.to_owned(),
            id: key_id(name, kind, &public),
            kind,
            public,
        })
    }

    /// Returns the name; for the key of a log it equals the log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Returns what the key signs.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Returns the 32 bytes of the Ed25519 public key.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// Tells whether this key made `signature` over `text`; the time of a cosignature comes back.
    ///
    /// # Errors
    ///
    /// When it did not. Whether name and id agree is the caller's question.
    pub fn verify(&self, text: &str, signature: &Signature) -> Result<Option<u64>, NoteError> {
        let bad = || NoteError::BadSignature {
            name: self.name.clone(),
            id: self.id,
        };
        let key = UnparsedPublicKey::new(&ED25519, &self.public);
        match self.kind {
            KeyKind::Note => {
                key.verify(text.as_bytes(), &signature.bytes)
                    .map_err(|_| bad())?;
                Ok(None)
            }
            KeyKind::Cosignature => {
                let (time, bytes) = signature.bytes.split_first_chunk::<8>().ok_or_else(bad)?;
                let time = u64::from_be_bytes(*time);
                let message = cosignature_message(time, text);
                key.verify(message.as_bytes(), bytes).map_err(|_| bad())?;
                Ok(Some(time))
            }
        }
    }

    /// Tells whether this key made `signature` over a message that is no note: the caller's format
    /// says what such bytes mean, and must not let them pass for the text of a note.
    pub(crate) fn verifies_bytes(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public)
            .verify(message, signature)
            .is_ok()
    }

    /// Returns the public key as the PEM file that other programs read (RFC 8410 section 4).
    pub fn pem(&self) -> String {
        // SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING of 32 bytes }.
        let mut der = vec![
            0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
        ];
        der.extend_from_slice(&self.public);
        let base64 = STANDARD.encode(der);
        format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----\n")
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut material = vec![self.kind as u8];
        material.extend_from_slice(&self.public);
        write!(f, "{}+{}+{}", self.name, self.id, STANDARD.encode(material))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({self})")
    }
}

impl FromStr for VerifyingKey {
    type Err = NoteError;

    fn from_str(vkey: &str) -> Result<Self, NoteError> {
        let parts = split(vkey)?;
        let public: [u8; 32] = (**parts.material).try_into().map_err(|_| NoteError::Vkey {
            problem: format!(
                "it holds {} bytes of key, expected 32",
                parts.material.len()
            ),
        })?;
        let key = Self::new(parts.kind, parts.name, public)?;
        if key.id.to_string() != parts.id {
            return Err(NoteError::Vkey {
                problem: format!("its id is `{}`, its content gives `{}`", parts.id, key.id),
            });
        }
        Ok(key)
    }
}

struct Parts<'a> {
    name: &'a str,
    id: &'a str,
    kind: KeyKind,
    material: Zeroizing<Vec<u8>>,
}

/// Splits `<name>+<id>+<base64>` at the first two plus signs only: the base64 part may hold more.
fn split(text: &str) -> Result<Parts<'_>, NoteError> {
    let wrong = |problem: &str| NoteError::Vkey {
        problem: problem.to_owned(),
    };
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(material)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(wrong("it is not of the form `<name>+<id>+<base64>`"));
    };
    let material = STANDARD
        .decode(material)
        .map_err(|_| wrong("its last part is not base64"))?;
    let material = Zeroizing::new(material);
    let (&kind, rest) = material
        .split_first()
        .ok_or_else(|| wrong("it holds no key"))?;
    let kind = KeyKind::from_byte(kind).ok_or_else(|| NoteError::Vkey {
        problem: format!("its kind is {kind:#04x}, known are 0x01 and 0x04"),
    })?;
    Ok(Parts {
        name,
        id,
        kind,
        material: Zeroizing::new(rest.to_vec()),
    })
}

/// The private half of a log's key: signs notes.
///
/// `Debug` shows the public half only, and the seed is wiped from memory on drop.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    seed: Zeroizing<[u8; 32]>,
    public: VerifyingKey,
}

impl SigningKey {
    /// Returns the key that the 32 random bytes of `seed` determine (RFC 8032 section 5.1.5).
    ///
    /// # Errors
    ///
    /// When `name` is not a key name.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        Self::of_kind(KeyKind::Note, name, seed)
    }

    pub(crate) fn of_kind(kind: KeyKind, name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("every seed of 32 bytes fits");
        let public = pair
            .public_key()
            .as_ref()
            .try_into()
            .expect("public keys have 32 bytes");
        let public = VerifyingKey::new(kind, name, public)?;
        Ok(Self {
            pair,
            seed: Zeroizing::new(*seed),
            public,
        })
    }

    /// Reads the form that [`SigningKey::encode`] writes.
    ///
    /// # Errors
    ///
    /// When the text is not such a key. No part of it appears in the error.
    pub fn parse(encoded: &str) -> Result<Self, NoteError> {
        Self::parse_of_kind(KeyKind::Note, encoded)
    }

    pub(crate) fn parse_of_kind(expected: KeyKind, encoded: &str) -> Result<Self, NoteError> {
        let wrong = |problem: &str| NoteError::PrivateKey {
            problem: problem.to_owned(),
        };
        let rest = encoded.trim().strip_prefix(PRIVATE_PREFIX);
        let rest = rest.ok_or_else(|| wrong("it does not start with `PRIVATE+KEY+`"))?;
        let parts =
            split(rest).map_err(|_| wrong("it is not of the form `PRIVATE+KEY+<name>+<id>+…`"))?;
        if parts.kind != expected {
            return Err(wrong("it is of another kind"));
        }
        let seed: &[u8; 32] = (**parts.material)
            .try_into()
            .map_err(|_| wrong("it does not hold 32 bytes"))?;
        let key = Self::of_kind(parts.kind, parts.name, seed)?;
        if key.public.id.to_string() != parts.id {
            return Err(wrong("its id does not follow from its content"));
        }
        Ok(key)
    }

    /// Returns the key as text for a file that only its owner reads:
    /// `PRIVATE+KEY+<name>+<id>+<base64(kind || seed)>`.
    pub fn encode(&self) -> Zeroizing<String> {
        let mut material = Zeroizing::new(Vec::with_capacity(33));
        material.push(self.public.kind as u8);
        material.extend_from_slice(&*self.seed);
        let base64 = Zeroizing::new(STANDARD.encode(&*material));
        let VerifyingKey { name, id, .. } = &self.public;
        Zeroizing::new(format!("{PRIVATE_PREFIX}{name}+{id}+{}", *base64))
    }

    /// Returns the public half.
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.public.name
    }

    /// Signs `text`, which includes its final newline.
    pub fn sign(&self, text: &str) -> Signature {
        self.line(self.pair.sign(text.as_bytes()).as_ref().to_vec())
    }

    /// Signs `text` as seen at `time` (seconds since 1970).
    pub(crate) fn cosign(&self, text: &str, time: u64) -> Signature {
        let mut bytes = time.to_be_bytes().to_vec();
        let message = cosignature_message(time, text);
        bytes.extend_from_slice(self.pair.sign(message.as_bytes()).as_ref());
        self.line(bytes)
    }

    /// Signs a message that is no note. Its first byte must be none that UTF-8 text starts with, so
    /// that the signature never holds for a note as well.
    pub(crate) fn sign_bytes(&self, message: &[u8]) -> [u8; 64] {
        let first = message.first().copied();
        assert!(
            first.is_some_and(|byte| (0x80..0xc0).contains(&byte)),
            "bytes that could be text are signed as a note"
        );
        let signature = self.pair.sign(message);
        signature
            .as_ref()
            .try_into()
            .expect("Ed25519 signatures have 64 bytes")
    }

    fn line(&self, bytes: Vec<u8>) -> Signature {
        Signature {
            name: self.public.name.clone(),
            id: self.public.id,
            bytes,
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, seed hidden)", self.public)
    }
}
