//! SHA-256 and HMAC-SHA-256 over bytes (FIPS 180-4, RFC 2104).
//!
//! The digest itself is a word of the model; this is the only place that computes one, so that
//! the whole record rests on one implementation of the hash.

use aws_lc_rs::{digest, hmac};
pub use model::Digest;

/// The length of a block of SHA-256 in bytes.
const BLOCK: usize = 64;

/// Of less than this a copy on the stack and one call are quicker than a hash in several steps,
/// each of which costs as much as hashing some two hundred bytes.
const SMALL: usize = 4_096;
/// For less than this, room that is cleared faster.
const SMALLER: usize = 1_536;

/// Returns the SHA-256 digest of `bytes`.
pub fn sha256(bytes: &[u8]) -> Digest {
    wrap(&digest::digest(&digest::SHA256, bytes))
}

/// Returns the SHA-256 digest of the parts, as if they were one slice.
pub fn sha256_parts(parts: &[&[u8]]) -> Digest {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    if len <= BLOCK {
        return sha256(joined(parts, &mut [0; BLOCK]));
    }
    if len <= SMALLER {
        return sha256(joined(parts, &mut [0; SMALLER]));
    }
    if len <= SMALL {
        return sha256(joined(parts, &mut [0; SMALL]));
    }
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    wrap(&context.finish())
}

/// Returns HMAC-SHA-256 of `bytes` under `key`.
pub fn hmac_sha256(key: &[u8], bytes: &[u8]) -> Digest {
    if key.len() <= BLOCK && BLOCK + bytes.len() <= SMALL {
        let padded = |with: u8| {
            let mut block = [with; BLOCK];
            block.iter_mut().zip(key).for_each(|(pad, key)| *pad ^= key);
            block
        };
        let inner = sha256_parts(&[&padded(0x36), bytes]);
        return sha256_parts(&[&padded(0x5c), &inner.0]);
    }
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes);
    Digest::from_slice(tag.as_ref()).expect("HMAC-SHA-256 gives 32 bytes")
}

/// Copies the parts into `room`, which must be large enough, one after the other.
fn joined<'r>(parts: &[&[u8]], room: &'r mut [u8]) -> &'r [u8] {
    let mut len = 0;
    for part in parts {
        room[len..len + part.len()].copy_from_slice(part);
        len += part.len();
    }
    &room[..len]
}

fn wrap(digest: &digest::Digest) -> Digest {
    Digest::from_slice(digest.as_ref()).expect("SHA-256 gives 32 bytes")
}
