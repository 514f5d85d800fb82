//! Randomness, in its one home.
//!
//! Keys, nonces and salts come from an [`Entropy`] that is handed in, so that a simulation can
//! replay a run. [`SystemEntropy`] is what a running program uses; [`SeededEntropy`] is for tests
//! and simulations only.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use zeroize::{Zeroize, Zeroizing};

use crate::digest::sha256_parts;

/// How much randomness is drawn from the system at a time, in bytes.
const POOL_BYTES: usize = 1024;

/// A source of random bytes.
///
/// The caller may rely on bytes that nobody can predict and that never come twice, unless the
/// implementation says otherwise. Whoever implements it keeps `fill` cheap enough to be called for
/// every event, and stops the program rather than hand out bytes that are not random.
pub trait Entropy: Send + Sync + fmt::Debug {
    /// Fills `out` with random bytes.
    fn fill(&self, out: &mut [u8]);
}

impl<E: Entropy + ?Sized> Entropy for &E {
    fn fill(&self, out: &mut [u8]) {
        (**self).fill(out);
    }
}

impl<E: Entropy + ?Sized> Entropy for std::sync::Arc<E> {
    fn fill(&self, out: &mut [u8]) {
        (**self).fill(out);
    }
}

/// Returns `N` random bytes: a salt, a nonce, a seed.
pub fn draw<const N: usize>(entropy: &(impl Entropy + ?Sized)) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// The random generator of the cryptographic library, which the operating system seeds, or another
/// one that is as good.
///
/// Small draws come out of a pool of 1 KiB, which is wiped as it is used up. A process that forks
/// must not share one between parent and child; Rescind does not fork.
pub struct SystemEntropy {
    pool: Mutex<Pool>,
    source: fn(&mut [u8]),
}

struct Pool {
    bytes: Zeroizing<[u8; POOL_BYTES]>,
    used: usize,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            bytes: Zeroizing::new([0; POOL_BYTES]),
            used: POOL_BYTES,
        }
    }
}

impl SystemEntropy {
    /// Returns the randomness of the cryptographic library. Before its first byte it measures for
    /// some 25 ms how the processor's clock jitters.
    pub fn new() -> Self {
        Self::drawing_from(draw_from_library)
    }

    /// Returns the randomness of `source`, which fills what it is given with bytes that nobody can
    /// predict, or stops the program: for a start that does not wait for the library's.
    pub fn drawing_from(source: fn(&mut [u8])) -> Self {
        Self {
            pool: Mutex::default(),
            source,
        }
    }
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one home of randomness"
)]
fn draw_from_library(out: &mut [u8]) {
    // There is nothing sensible to do without randomness: a predictable key or a nonce that comes
    // twice is worse than stopping.
    aws_lc_rs::rand::fill(out).expect("the system has randomness");
}

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) {
        if out.len() > POOL_BYTES / 4 {
            return (self.source)(out);
        }
        let mut pool = lock(&self.pool);
        if POOL_BYTES - pool.used < out.len() {
            (self.source)(&mut *pool.bytes);
            pool.used = 0;
        }
        let start = pool.used;
        pool.used += out.len();
        let end = pool.used;
        out.copy_from_slice(&pool.bytes[start..end]);
        pool.bytes[start..end].zeroize();
    }
}

impl fmt::Debug for SystemEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemEntropy")
    }
}

/// The same bytes for the same seed, for tests and simulations. **Never for keys that protect
/// anything**: whoever knows the seed knows them all.
///
/// Block `i` of 32 bytes is SHA-256 of the seed and `i`, both as eight bytes, big-endian.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: u64,
    /// How many bytes were handed out.
    position: Mutex<u64>,
}

impl SeededEntropy {
    /// Returns the source of `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            position: Mutex::new(0),
        }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) {
        let mut position = lock(&self.position);
        let mut filled = 0;
        while filled < out.len() {
            let counter = *position / 32;
            let block = sha256_parts(&[&self.seed.to_be_bytes(), &counter.to_be_bytes()]);
            let skip = usize::try_from(*position % 32).expect("below 32");
            let count = (32 - skip).min(out.len() - filled);
            out[filled..filled + count].copy_from_slice(&block.0[skip..skip + count]);
            filled += count;
            *position += count as u64;
        }
    }
}

/// A thread that panicked while it held the lock left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
