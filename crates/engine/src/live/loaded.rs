//! What calls are held against and the record may hold: whether there is anything of it, and whether
//! all of it is known yet after a start.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How long a call waits until it is known.
const LOADING_MAX: Duration = Duration::from_secs(10);

/// While there is nothing it costs a look at one flag.
#[derive(Debug)]
pub(super) struct Loaded {
    any: AtomicBool,
    /// Cancelled once what the record says is known.
    known: CancellationToken,
}

impl Loaded {
    /// Still to be filled if there may be `anything`.
    pub(super) fn new(anything: bool) -> Self {
        let known = CancellationToken::new();
        if !anything {
            known.cancel();
        }
        Self {
            any: AtomicBool::new(anything),
            known,
        }
    }

    /// Whether there is anything, or may be.
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    pub(super) fn set_any(&self, any: bool) {
        self.any.store(any, Ordering::Release);
    }

    /// What the record says is known now.
    pub(super) fn done(&self) {
        self.known.cancel();
    }

    /// Waits until it is known. A store that cannot be read right after the start stops no call for
    /// good: calls that go on unchecked are counted under the name that is given.
    pub(super) async fn wait(&self, unchecked: &'static str) {
        let known = tokio::time::timeout(LOADING_MAX, self.known.cancelled());
        if known.await.is_err() {
            metrics::counter!(unchecked).increment(1);
        }
    }
}
