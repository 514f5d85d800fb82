//! The randomness of the operating system, for whoever starts a program.
//!
//! It seeds the generator of the cryptographic library too, and is there at once.

use rustix::rand::{GetRandomFlags, getrandom};

/// Fills `out` with random bytes of the operating system: a source for
/// [`SystemEntropy`](ledger::SystemEntropy).
///
/// # Panics
/// If the system has none: a predictable key or a nonce that comes twice is worse than stopping.
#[expect(
    clippy::disallowed_methods,
    reason = "what `ledger::Entropy` is made of"
)]
pub fn fill(out: &mut [u8]) {
    let mut filled = 0;
    while filled < out.len() {
        filled += match getrandom(&mut out[filled..], GetRandomFlags::empty()) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => 0,
            Err(error) => panic!("the system has no randomness: {error}"),
        };
    }
}
