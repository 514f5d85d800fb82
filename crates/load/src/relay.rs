//! A bare relay: the gateway's server and client, and nothing between them.
//!
//! It takes a call whole, makes it at the upstream and passes the answer on, with the same library
//! on both sides and as many threads. What it costs is what no gateway of this make can go below.
//! With a [`Keeper`] it keeps what passes, whole, and costs what no gateway that records can go below.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::uri::{Authority, Scheme};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::keeper::Keeper;

/// Threads of its runtime, as many as the gateway's.
const THREADS: usize = 2;

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

struct Relay {
    upstream: Authority,
    client: Client<HttpConnector, Full<Bytes>>,
    keeper: Option<Keeper>,
}

/// Relays calls to `upstream` until the process ends, and keeps them where it is given a keeper; tells
/// where it listens.
///
/// # Errors
/// There is no port to be had.
pub fn run(
    upstream: SocketAddr,
    keeper: Option<Keeper>,
    tell: impl FnOnce(SocketAddr),
) -> anyhow::Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let relay = Arc::new(Relay {
        upstream: upstream.to_string().parse()?,
        client: Client::builder(TokioExecutor::new()).build(connector),
        keeper,
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        tell(listener.local_addr()?);
        let connections = TaskTracker::new();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let relay = Arc::clone(&relay);
            connections.spawn(async move {
                let service = service_fn(move |request| {
                    let relay = Arc::clone(&relay);
                    async move { Ok::<_, Infallible>(relay.pass(request).await) }
                });
                let builder = auto::Builder::new(TokioExecutor::new());
                // How a connection ends is the client's matter.
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    })
}

impl Relay {
    async fn pass(&self, request: Request<Incoming>) -> Response<Body> {
        let answered = async {
            let (mut parts, body) = request.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            self.keep("asked", &body)?;
            let mut to = parts.uri.into_parts();
            to.scheme = Some(Scheme::HTTP);
            to.authority = Some(self.upstream.clone());
            parts.uri = Uri::from_parts(to).ok()?;
            parts.headers.remove(HOST);
            parts.headers.remove(CONTENT_LENGTH);
            let request = Request::from_parts(parts, Full::new(body));
            let response = self.client.request(request).await.ok()?;
            if self.keeper.is_none() {
                return Some(response.map(|body| body.boxed_unsync()));
            }
            let (parts, body) = response.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            self.keep("result", &body)?;
            Some(Response::from_parts(parts, whole(body)))
        };
        answered.await.unwrap_or_else(|| {
            let mut response = Response::new(whole(Bytes::new()));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        })
    }

    /// Keeps a body, where bodies are kept.
    fn keep(&self, role: &str, body: &[u8]) -> Option<()> {
        let keeper = self.keeper.as_ref();
        keeper.map_or(Some(()), |keeper| keeper.keep(role, body).ok())
    }
}

fn whole(body: Bytes) -> Body {
    Full::new(body)
        .map_err(|never| match never {})
        .boxed_unsync()
}
