//! An upstream with fixed answers, which remembers the calls that reached it.
//!
//! A chat call is answered with about 1 KiB of text, with a tool call where the model is
//! [`TOOLS`], and in pieces where `"stream":true` is asked. It does as little as it can, because
//! its time stands in every measurement, and it speaks plain HTTP/1.1 with connections that stay.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use store::worker::{self, Worker};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::words::{MARKER, answer as text_of_answers, find};

/// The model whose answers ask for a tool.
pub const TOOLS: &str = "stub-tools";

/// The model whose answers are words.
pub const WORDS: &str = "stub";

/// How an upstream answers.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long it thinks before an answer begins.
    pub delay: Duration,
    /// Pieces of a streamed answer.
    pub chunks: usize,
    /// Whether it remembers the markers of the calls that it saw.
    pub remembers: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            chunks: 100,
            remembers: false,
        }
    }
}

/// The calls that reached an upstream.
#[derive(Debug, Default)]
pub struct Seen {
    markers: Mutex<Vec<String>>,
    grew: Condvar,
}

impl Seen {
    fn add(&self, marker: String) {
        self.lock().push(marker);
        self.grew.notify_all();
    }

    /// Returns how many calls were seen.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Returns the markers of all that were seen, in order, repetitions included.
    #[must_use]
    pub fn markers(&self) -> Vec<String> {
        self.lock().clone()
    }

    /// Waits until at least `count` calls were seen. Returns whether they were within `limit`.
    #[must_use]
    pub fn wait(&self, count: usize, limit: Duration) -> bool {
        let (_markers, late) = self
            .grew
            .wait_timeout_while(self.lock(), limit, |markers| markers.len() < count)
            .unwrap_or_else(PoisonError::into_inner);
        !late.timed_out()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.markers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An upstream on a thread of its own, which ends when this is dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    seen: Arc<Seen>,
    stop: CancellationToken,
    worker: Option<Worker>,
}

impl Upstream {
    /// Starts on a free port of this machine.
    ///
    /// # Errors
    /// There is no port or no thread to be had.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let seen = Arc::new(Seen::default());
        let stop = CancellationToken::new();
        let (remembered, stopped) = (Arc::clone(&seen), stop.clone());
        let worker = worker::spawn("upstream", move || {
            let served = runtime.block_on(async {
                tokio::select! {
                    served = serve(listener, options, remembered) => served,
                    () = stopped.cancelled() => Ok(()),
                }
            });
            // Whoever calls finds nobody there, and that call fails.
            drop(served);
        })
        .context("could not start a thread")?;
        Ok(Self {
            address,
            seen,
            stop,
            worker: Some(worker),
        })
    }

    /// Returns where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the calls that reached it.
    #[must_use]
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Serves until the process ends.
    pub fn wait(mut self) {
        drop(self.worker.take());
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

async fn serve(
    listener: std::net::TcpListener,
    options: Options,
    seen: Arc<Seen>,
) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let answers = Arc::new(Answers::new(options.chunks));
    let connections = TaskTracker::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (answers, seen) = (Arc::clone(&answers), Arc::clone(&seen));
        connections.spawn(async move {
            let service = service_fn(|request| answer(&answers, options, &seen, request));
            // How a connection ends is the client's matter.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    answers: &Answers,
    options: Options,
    seen: &Seen,
    request: Request<Incoming>,
) -> Result<Response<Body>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    if options.remembers
        && let Some(marker) = find(&body, MARKER)
    {
        seen.add(marker);
    }
    if !options.delay.is_zero() {
        tokio::time::sleep(options.delay).await;
    }
    // What decides is at the front, before any history.
    let front = &body[..body.len().min(96)];
    let has = |text: &str| {
        front
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    let (kind, body) = if has("\"stream\":true") {
        (
            "text/event-stream",
            Pieces::of(&answers.pieces).boxed_unsync(),
        )
    } else {
        let whole = if has(TOOLS) {
            &answers.tools
        } else {
            &answers.words
        };
        let whole = http_body_util::Full::new(whole.clone());
        ("application/json", whole.boxed_unsync())
    };
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

/// What is answered, made once.
struct Answers {
    words: Bytes,
    tools: Bytes,
    pieces: Vec<Bytes>,
}

impl Answers {
    fn new(chunks: usize) -> Self {
        let text = text_of_answers();
        let whole = |message: &str, finish: &str| {
            Bytes::from(format!(
                "{{\"id\":\"chatcmpl-load\",\"object\":\"chat.completion\",\"created\":1764000000,\
                 \"model\":\"stub\",\"choices\":[{{\"index\":0,\"message\":{message},\
                 \"logprobs\":null,\"finish_reason\":\"{finish}\"}}],\"usage\":{{\
                 \"prompt_tokens\":230,\"completion_tokens\":170,\"total_tokens\":400}}}}"
            ))
        };
        let words = format!("{{\"role\":\"assistant\",\"content\":\"{text}\"}}");
        let tools = format!(
            "{{\"role\":\"assistant\",\"content\":\"{}\",\"tool_calls\":[{{\"id\":\"call_load\",\
             \"type\":\"function\",\"function\":{{\"name\":\"get_order\",\
             \"arguments\":\"{{\\\"order\\\":\\\"W-48213\\\"}}\"}}}}]}}",
            &text[..600]
        );
        Self {
            words: whole(&words, "stop"),
            tools: whole(&tools, "tool_calls"),
            pieces: pieces(chunks),
        }
    }
}

fn pieces(chunks: usize) -> Vec<Bytes> {
    let chunk = |delta: &str, finish: &str| {
        Bytes::from(format!(
            "data: {{\"id\":\"chatcmpl-load\",\"object\":\"chat.completion.chunk\",\
             \"created\":1764000000,\"model\":\"stub\",\"choices\":[{{\"index\":0,\
             \"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
        ))
    };
    let mut pieces = vec![chunk("{\"role\":\"assistant\",\"content\":\"\"}", "null")];
    // The first, the last and the end mark are pieces too.
    for place in 3..chunks {
        let delta = format!("{{\"content\":\" parcel {place}\"}}");
        pieces.push(chunk(&delta, "null"));
    }
    pieces.push(chunk("{}", "\"stop\""));
    pieces.push(Bytes::from_static(b"data: [DONE]\n\n"));
    pieces
}

/// A body whose pieces are written one by one, as a model would make them.
struct Pieces {
    left: VecDeque<Bytes>,
    /// Whether the last piece has been flushed: a body that waits is.
    flushed: bool,
}

impl Pieces {
    fn of(pieces: &[Bytes]) -> Self {
        Self {
            left: pieces.iter().cloned().collect(),
            flushed: true,
        }
    }
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !std::mem::replace(&mut self.flushed, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.flushed = false;
        Poll::Ready(self.left.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}
