//! Sockets: takes connections, and stops without breaking off what is under way.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Body;

/// How long the headers of a request may take.
const HEADERS_WITHIN: Duration = Duration::from_secs(30);

/// How long to wait after a connection could not be taken, so that a full table of files does not
/// turn into a busy loop.
const AFTER_FAILURE: Duration = Duration::from_millis(50);

/// What a listener may use.
#[derive(Clone, Copy, Debug)]
pub struct Sockets {
    /// Connections at once.
    pub connections_max: usize,
    /// Bytes of a request's headers.
    pub header_bytes_max: usize,
}

/// Answers requests on `listener` with `answer` until `stop`, then lets what is under way end, for
/// at most `patience`. Returns whether all of it did.
pub async fn serve<F, A>(
    listener: TcpListener,
    answer: F,
    sockets: Sockets,
    stop: CancellationToken,
    patience: Duration,
) -> bool
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    let connections = TaskTracker::new();
    let places = std::sync::Arc::new(tokio::sync::Semaphore::new(sockets.connections_max));
    let graceful = GracefulShutdown::new();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_buf_size(sockets.header_bytes_max.max(8_192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(sockets.header_bytes_max).unwrap_or(u32::MAX));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(AFTER_FAILURE).await;
            continue;
        };
        let Ok(place) = std::sync::Arc::clone(&places).try_acquire_owned() else {
            metrics::counter!("rescind_connections_refused_total").increment(1);
            continue;
        };
        // Answers are small pieces that somebody waits for.
        let _ = stream.set_nodelay(true);
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let answered = answer(request);
            async move { Ok::<_, Infallible>(answered.await) }
        });
        let connection = builder
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .into_owned();
        let watched = graceful.watch(connection);
        connections.spawn(async move {
            // How a connection ends is the client's matter; calls record their own ends.
            let _ = watched.await;
            drop(place);
        });
    }
    drop(listener);
    let ended = tokio::time::timeout(patience, graceful.shutdown())
        .await
        .is_ok();
    connections.close();
    ended
}
