//! What calls are held against and the record may hold: whether there is anything of it, and whether
//! all of it is known yet after a start.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{Class, EngineError};

/// How long a call waits until it is known.
const LOADING_MAX: Duration = Duration::from_secs(10);

/// How long a store that does not answer is left alone.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// While there is nothing it costs a look at one flag.
#[derive(Debug)]
pub(super) struct Loaded {
    any: AtomicBool,
    /// Cancelled once what the record says was read.
    read: CancellationToken,
    /// Whether all of it could be.
    whole: AtomicBool,
}

impl Loaded {
    /// Still to be filled if there may be `anything`.
    pub(super) fn new(anything: bool) -> Self {
        let read = CancellationToken::new();
        if !anything {
            read.cancel();
        }
        Self {
            any: AtomicBool::new(anything),
            read,
            whole: AtomicBool::new(!anything),
        }
    }

    /// Whether there is anything, or may be.
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    pub(super) fn set_any(&self, any: bool) {
        self.any.store(any, Ordering::Release);
    }

    /// Learns what the record says, again and again until the store answers or `stop` is cancelled,
    /// and lets whoever waits go on. What is damaged does not get better by waiting.
    pub(super) async fn learn<F>(&self, stop: &CancellationToken, read: impl Fn() -> F)
    where
        F: Future<Output = Result<(), EngineError>>,
    {
        let whole = loop {
            match read().await {
                Ok(()) => break true,
                Err(error) if error.class().0 != Class::Unavailable => break false,
                Err(_) => {}
            }
            tokio::select! {
                () = stop.cancelled() => break false,
                () = tokio::time::sleep(AGAIN_AFTER) => {}
            }
        };
        self.whole.store(whole, Ordering::Release);
        self.read.cancel();
    }

    /// Waits until the record was read, and returns whether all of it is known. A store that cannot
    /// be read right after the start stops no call for good.
    pub(super) async fn wait(&self) -> bool {
        let read = tokio::time::timeout(LOADING_MAX, self.read.cancelled());
        read.await.is_ok() && self.is_whole()
    }

    /// Whether all that the record says is known.
    pub(super) fn is_whole(&self) -> bool {
        self.whole.load(Ordering::Acquire)
    }
}
