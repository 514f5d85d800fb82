//! Tasks that nobody wants any more, because a rollback holds who asked for them: whoever carries one
//! out is asked to stop it, and what is said of it is what is recorded.
//!
//! ```text
//!   called off ──► cancel ──► it ended, this way or another ──► how it stands is the outcome
//!                     │ refused, or it goes on
//!                     └─► asked how it stands, for a while ──► unknown
//! ```
//!
//! What is sent, and how an answer reads, is the wire's.

use tokio::time::{Duration, Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::Inner;

/// How often a task that goes on is asked about.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Waits until a task is called off, and then for what `stop` makes of it by the time that it is
/// given. None if it is `over` before, or this process stops.
pub(crate) async fn once_called_off<S: Future>(
    inner: &Inner,
    called_off: CancellationToken,
    over: CancellationToken,
    stop: impl FnOnce(Instant) -> S,
) -> Option<S::Output> {
    tokio::select! {
        () = called_off.cancelled() => {}
        () = over.cancelled() => return None,
    }
    if inner.recorder.stopping().is_cancelled() {
        return None;
    }
    let until = Instant::now() + inner.options.timeouts.cancelled;
    tokio::select! {
        stopped = stop(until) => Some(stopped),
        () = over.cancelled() => None,
    }
}

/// Has a task cancelled, and then asks how it stands. Both say how it ended, once it has; none if
/// neither does in time.
pub(crate) async fn end_of<T, G: Future<Output = Option<T>>>(
    until: Instant,
    cancel: impl Future<Output = Option<T>>,
    mut get: impl FnMut() -> G,
) -> Option<T> {
    let asking = async {
        if let Some(end) = cancel.await {
            return end;
        }
        loop {
            // It may have ended before it was asked to.
            if let Some(end) = get().await {
                return end;
            }
            sleep_until(Instant::now() + ASK_EVERY).await;
        }
    };
    timeout_at(until, asking).await.ok()
}
