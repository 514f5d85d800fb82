//! Payloads: what was asked and answered, sealed so that it can be erased and still be proven.
//!
//! A leaf of the log never holds a prompt or a result. It holds, for each field, the commitment
//! `HMAC-SHA-256(salt, field)`, and for all fields of the event together the digest of one
//! *sealed payload* beside the log. The salts lie inside the sealed payload, so destroying the
//! subject's key destroys the fields and makes the commitments meaningless, while the log still
//! verifies. One field is proven without the others by its salt and the inclusion of its leaf.
//!
//! # The sealed payload, to the byte
//!
//! Integers are big-endian.
//!
//! ```text
//! 0        1        version, 1
//! 1       12        nonce
//! 13       n        AES-256-GCM of the body, under the subject's key; the associated data is the
//!                   version byte and then the bytes that the caller binds the payload to
//! 13+n    16        the tag of AES-256-GCM
//! ```
//!
//! The body:
//!
//! ```text
//! 0        1        0: the fields follow as they are
//!                   1: four bytes with the length of the fields, then the fields as one frame of
//!                      Zstandard (RFC 8878)
//! ```
//!
//! The fields:
//!
//! ```text
//! 0        2        how many there are; for each of them, in order:
//!          1        length of the role
//!          r        the role, UTF-8
//!          1        length of the media type
//!          m        the media type, UTF-8; empty when there is none
//!         16        the salt
//!          4        length of the content
//!          l        the content
//! ```
//!
//! Fields are compressed before they are sealed, so the size of a sealed payload tells something
//! about its content to someone who can choose a part of it. Payloads are sealed once and at rest.
//!
//! A nonce is 12 random bytes, which is safe for 2^32 payloads under one key (NIST SP 800-38D
//! section 8.3).

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::digest::{Digest, hmac_sha256, sha256};
use crate::entropy::{Entropy, draw};

/// The version that is written.
pub const PAYLOAD_VERSION: u8 = 1;
/// The length of a salt in bytes.
pub const SALT_BYTES: usize = 16;

const HEAD_BYTES: usize = 1 + NONCE_LEN;
const TAG_BYTES: usize = 16;
/// Below this size of all fields with their salts compression is not worth its time: sealing 500
/// bytes takes 1.3 µs without it and 5 to 8 µs with it, and what it saves of a message of four times
/// that is less than the rest of an event takes on disk.
const COMPRESS_FROM: usize = 2_048;
const COMPRESSION_LEVEL: i32 = -1;

/// Why a payload cannot be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// Something is larger than the format can say.
    #[error("the {what} has {found} bytes, more than {limit}")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Its size.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// A program that writes a later version wrote it.
    #[error("the payload has version {found}, known is {PAYLOAD_VERSION}")]
    Version {
        /// The version it claims.
        found: u8,
    },
    /// The key is not its key, or the payload belongs to another event, or it was changed.
    #[error("the payload does not open: another key, another event, or changed bytes")]
    Closed,
    /// The payload opened, but what is inside has not the form that it should.
    #[error("the payload is malformed at byte {byte} of its fields")]
    Malformed {
        /// Where.
        byte: usize,
    },
    /// The payload opened, but does not decompress to the length that it states.
    #[error("the payload does not decompress")]
    Compression,
}

/// The key under which everything about one subject is sealed. Destroy it to erase the subject.
///
/// `Debug` hides it. Clones share it, and it is wiped from memory when the last of them is dropped.
#[derive(Clone)]
pub struct SubjectKey {
    /// To set a key up takes longer than to seal a short text with it.
    inner: Arc<Key>,
}

struct Key {
    bytes: Zeroizing<[u8; 32]>,
    aead: LessSafeKey,
}

impl SubjectKey {
    /// Returns the key of these bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        let unbound = UnboundKey::new(&AES_256_GCM, bytes).expect("AES-256 takes 32 bytes");
        Self {
            inner: Arc::new(Key {
                bytes: Zeroizing::new(*bytes),
                aead: LessSafeKey::new(unbound),
            }),
        }
    }

    /// Returns a new key.
    pub fn generate(entropy: &(impl Entropy + ?Sized)) -> Self {
        Self::from_bytes(&Zeroizing::new(draw(entropy)))
    }

    /// Returns the bytes to keep in a key store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.inner.bytes
    }
}

impl PartialEq for SubjectKey {
    fn eq(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.as_bytes(), other.as_bytes()).is_ok()
    }
}

impl Eq for SubjectKey {}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectKey(hidden)")
    }
}

/// A field to seal.
#[derive(Clone, Copy)]
pub struct FieldIn<'a> {
    /// What the field is to its event: `prompt`, `arguments`, `result`. At most 255 bytes.
    pub role: &'a str,
    /// The media type, or nothing. At most 255 bytes.
    pub media: &'a str,
    /// The content, as it came.
    pub bytes: &'a [u8],
    /// Random bytes of its own for each field.
    pub salt: [u8; SALT_BYTES],
}

impl fmt::Debug for FieldIn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FieldIn({}, {} bytes)", self.role, self.bytes.len())
    }
}

/// What a leaf says about a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedField {
    /// The role.
    pub role: String,
    /// The commitment, `HMAC-SHA-256(salt, content)`.
    pub com: Digest,
    /// The length of the content in bytes.
    pub len: u64,
}

/// A sealed payload and what a leaf says about it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The bytes to store, under their digest.
    pub ciphertext: Vec<u8>,
    /// SHA-256 of the ciphertext.
    pub ct: Digest,
    /// The length of the ciphertext in bytes.
    pub len: u64,
    /// The commitments, in the order of the fields.
    pub fields: Vec<SealedField>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed")
            .field("ct", &self.ct)
            .field("len", &self.len)
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

/// A field that was opened.
#[derive(Clone, PartialEq, Eq)]
pub struct Field {
    /// What the field is to its event.
    pub role: String,
    /// The media type, or nothing.
    pub media: String,
    /// The content.
    pub bytes: Vec<u8>,
    /// The salt of its commitment.
    pub salt: [u8; SALT_BYTES],
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Field({}, {} bytes)", self.role, self.bytes.len())
    }
}

/// A field that was opened, where it lies in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FieldRef<'a> {
    /// What the field is to its event.
    pub role: &'a str,
    /// The media type, or nothing.
    pub media: &'a str,
    /// The content.
    pub bytes: &'a [u8],
    /// The salt of its commitment.
    pub salt: &'a [u8; SALT_BYTES],
}

impl fmt::Debug for FieldRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FieldRef({}, {} bytes)", self.role, self.bytes.len())
    }
}

/// A payload that was opened. It is wiped from memory when it is dropped.
pub struct Opened {
    bytes: Zeroizing<Vec<u8>>,
    /// Where the fields lie.
    fields: Range<usize>,
}

impl Opened {
    /// Returns the fields, in the order in which they were sealed.
    ///
    /// # Errors
    ///
    /// When what is inside has not the form that it should.
    pub fn fields(&self) -> Result<Vec<FieldRef<'_>>, PayloadError> {
        decode(&self.bytes[self.fields.clone()])
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({} bytes)", self.fields.len())
    }
}

/// Returns the commitment to a field.
pub fn commit(salt: &[u8; SALT_BYTES], bytes: &[u8]) -> Digest {
    hmac_sha256(salt, bytes)
}

/// Tells whether `com` is the commitment to a field with this salt and content.
pub fn verify_field(salt: &[u8; SALT_BYTES], bytes: &[u8], com: &Digest) -> bool {
    commit(salt, bytes) == *com
}

/// Seals payloads. Keep one for each thread: it reuses its compressor and its buffer.
pub struct Sealer {
    compressor: Option<zstd::bulk::Compressor<'static>>,
    fields: Zeroizing<Vec<u8>>,
}

impl Sealer {
    /// Returns a sealer that compresses what it seals.
    pub fn new() -> Self {
        // Without memory for the compressor payloads are stored as they are.
        let compressor = zstd::bulk::Compressor::new(COMPRESSION_LEVEL).ok();
        Self {
            compressor,
            fields: Zeroizing::default(),
        }
    }

    /// Seals the fields of one event under `key`, bound to `aad` (the id of the event). The nonce
    /// must be random and must not come twice under one key.
    ///
    /// # Errors
    ///
    /// When a role, a media type or the content is too large; nothing is sealed then.
    pub fn seal(
        &mut self,
        key: &SubjectKey,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        fields: &[FieldIn<'_>],
    ) -> Result<Sealed, PayloadError> {
        let len = encoded_len(fields)?;
        let mut blob = Vec::with_capacity(HEAD_BYTES + 1 + len + TAG_BYTES);
        blob.push(PAYLOAD_VERSION);
        blob.extend_from_slice(&nonce);
        if len < COMPRESS_FROM || !self.compress(fields, &mut blob) {
            blob.push(0);
            encode(fields, &mut blob);
        }
        let (_, body) = blob.split_at_mut(HEAD_BYTES);
        let tag = key
            .inner
            .aead
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), bound(aad), body)
            .expect("bodies of less than 4 GiB can be sealed");
        blob.extend_from_slice(tag.as_ref());
        let commitment = |field: &FieldIn<'_>| SealedField {
            role: field.role.to_owned(),
            com: commit(&field.salt, field.bytes),
            len: field.bytes.len() as u64,
        };
        Ok(Sealed {
            ct: sha256(&blob),
            len: blob.len() as u64,
            fields: fields.iter().map(commitment).collect(),
            ciphertext: blob,
        })
    }

    /// Appends the compressed body to `blob` and tells whether that was worth it; `blob` is as it
    /// was otherwise.
    fn compress(&mut self, fields: &[FieldIn<'_>], blob: &mut Vec<u8>) -> bool {
        let Some(compressor) = &mut self.compressor else {
            return false;
        };
        let plain = &mut *self.fields;
        plain.clear();
        encode(fields, plain);
        let before = blob.len();
        blob.push(1);
        let length = u32::try_from(plain.len()).expect("checked before it is encoded");
        blob.extend_from_slice(&length.to_be_bytes());
        let start = blob.len();
        // A frame that needs more room than this is no gain and fails for want of room.
        blob.resize(before + plain.len(), 0);
        let compressed = compressor.compress_to_buffer(plain, &mut blob[start..]);
        blob.truncate(compressed.as_ref().map_or(before, |length| start + length));
        compressed.is_ok()
    }
}

/// The length of all fields as they are encoded.
fn encoded_len(fields: &[FieldIn<'_>]) -> Result<usize, PayloadError> {
    const LIMIT: usize = u32::MAX as usize / 2;
    let too_large = |what, found, limit| PayloadError::TooLarge { what, found, limit };
    if fields.len() > usize::from(u16::MAX) {
        return Err(too_large("list of fields", fields.len(), 65_535));
    }
    let mut total: usize = 2;
    for field in fields {
        for (what, text) in [("role", field.role), ("media type", field.media)] {
            if text.len() > usize::from(u8::MAX) {
                return Err(too_large(what, text.len(), 255));
            }
            total += 1 + text.len();
        }
        total = total.saturating_add(SALT_BYTES + 4 + field.bytes.len());
        if total > LIMIT {
            return Err(too_large("payload", total, LIMIT));
        }
    }
    Ok(total)
}

/// Appends fields whose lengths were checked.
fn encode(fields: &[FieldIn<'_>], out: &mut Vec<u8>) {
    let count = u16::try_from(fields.len()).expect("checked before");
    out.extend_from_slice(&count.to_be_bytes());
    for field in fields {
        for text in [field.role, field.media] {
            out.push(u8::try_from(text.len()).expect("checked before"));
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(&field.salt);
        let length = u32::try_from(field.bytes.len()).expect("checked before");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(field.bytes);
    }
}

impl Default for Sealer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

fn bound(aad: &[u8]) -> Aad<Vec<u8>> {
    let mut bytes = Vec::with_capacity(1 + aad.len());
    bytes.push(PAYLOAD_VERSION);
    bytes.extend_from_slice(aad);
    Aad::from(bytes)
}

/// Opens a sealed payload that is bound to `aad`, and returns its fields.
///
/// # Errors
///
/// When the key or `aad` are others than it was sealed with, or it was changed.
pub fn open(key: &SubjectKey, aad: &[u8], sealed: &[u8]) -> Result<Vec<Field>, PayloadError> {
    let opened = open_in_place(key, aad, sealed.to_vec())?;
    let fields = opened.fields()?.into_iter().map(|field| Field {
        role: field.role.to_owned(),
        media: field.media.to_owned(),
        bytes: field.bytes.to_vec(),
        salt: *field.salt,
    });
    Ok(fields.collect())
}

/// As [`open`], in the bytes themselves: what is inside is not copied.
///
/// # Errors
///
/// As [`open`]; the form of the fields is checked when they are asked for.
pub fn open_in_place(
    key: &SubjectKey,
    aad: &[u8],
    sealed: Vec<u8>,
) -> Result<Opened, PayloadError> {
    let mut bytes = Zeroizing::new(sealed);
    let (&version, rest) = bytes.split_first().ok_or(PayloadError::Closed)?;
    if version != PAYLOAD_VERSION {
        return Err(PayloadError::Version { found: version });
    }
    let nonce = *rest
        .first_chunk::<NONCE_LEN>()
        .ok_or(PayloadError::Closed)?;
    let body = key
        .inner
        .aead
        .open_in_place(
            Nonce::assume_unique_for_key(nonce),
            bound(aad),
            &mut bytes[HEAD_BYTES..],
        )
        .map_err(|_| PayloadError::Closed)?;
    let end = HEAD_BYTES + body.len();
    match body.split_first() {
        Some((0, _)) => {
            let fields = HEAD_BYTES + 1..end;
            Ok(Opened { bytes, fields })
        }
        Some((1, rest)) => {
            let (length, frame) = rest.split_first_chunk().ok_or(PayloadError::Compression)?;
            let length = u32::from_be_bytes(*length) as usize;
            let plain = zstd::bulk::decompress(frame, length).map(Zeroizing::new);
            let plain = plain.map_err(|_| PayloadError::Compression)?;
            if plain.len() != length {
                return Err(PayloadError::Compression);
            }
            let (bytes, fields) = (plain, 0..length);
            Ok(Opened { bytes, fields })
        }
        _ => Err(PayloadError::Malformed { byte: 0 }),
    }
}

fn decode(bytes: &[u8]) -> Result<Vec<FieldRef<'_>>, PayloadError> {
    let mut reader = Reader { bytes, at: 0 };
    let count = u16::from_be_bytes(*reader.chunk()?);
    let mut fields = Vec::new();
    for _ in 0..count {
        let role = reader.text()?;
        let media = reader.text()?;
        let salt = reader.chunk()?;
        let length = u32::from_be_bytes(*reader.chunk()?) as usize;
        let bytes = reader.take(length)?;
        fields.push(FieldRef {
            role,
            media,
            bytes,
            salt,
        });
    }
    if reader.at == bytes.len() {
        Ok(fields)
    } else {
        Err(reader.malformed())
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], PayloadError> {
        let taken = self.bytes[self.at..]
            .get(..length)
            .ok_or_else(|| self.malformed())?;
        self.at += length;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Result<&'a [u8; N], PayloadError> {
        let bytes = self.take(N)?.first_chunk();
        Ok(bytes.expect("as many bytes as were taken"))
    }

    fn text(&mut self) -> Result<&'a str, PayloadError> {
        let &[length] = self.chunk()?;
        let bytes = self.take(length.into())?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed())
    }

    fn malformed(&self) -> PayloadError {
        PayloadError::Malformed { byte: self.at }
    }
}
