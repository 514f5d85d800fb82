//! SHA-256 and HMAC-SHA-256 over bytes (FIPS 180-4, RFC 2104).
//!
//! The digest itself is a word of the model; this is the only place that computes one, so that
//! the whole record rests on one implementation of the hash.

use aws_lc_rs::{digest, hmac};
pub use model::Digest;

/// Returns the SHA-256 digest of `bytes`.
pub fn sha256(bytes: &[u8]) -> Digest {
    wrap(&digest::digest(&digest::SHA256, bytes))
}

/// Returns the SHA-256 digest of the parts, as if they were one slice.
pub fn sha256_parts(parts: &[&[u8]]) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    wrap(&context.finish())
}

/// Returns HMAC-SHA-256 of `bytes` under `key`.
pub fn hmac_sha256(key: &[u8], bytes: &[u8]) -> Digest {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes);
    Digest::from_slice(tag.as_ref()).expect("HMAC-SHA-256 gives 32 bytes")
}

fn wrap(digest: &digest::Digest) -> Digest {
    Digest::from_slice(digest.as_ref()).expect("SHA-256 gives 32 bytes")
}
