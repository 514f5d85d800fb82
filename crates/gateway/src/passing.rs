//! A stream of an MCP server or of an agent, on its way to who asked: its head, its blocks, its end.
//!
//! What a block means is the front's business. Here is what both have in common: nobody waits
//! without a limit, who goes away is noticed, and a body ends only when it is told to, so that
//! what breaks off, for whatever reason, breaks off for the client too.

use std::collections::VecDeque;

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Duration, Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use wire::sse::{Block, Splitter};

use crate::reply::Writer;
use crate::rpc::Refusal;
use crate::{Body, Inner, headers, reply};

/// How long the last words of an answer wait for a client at least.
const LAST_WITHIN: Duration = Duration::from_secs(2);

/// A stream as it comes.
pub(crate) struct Source {
    body: Incoming,
    splitter: Splitter,
    host: String,
    blocks: VecDeque<Block>,
    /// That it is over, and why if it broke off: once its blocks are taken.
    over: Option<Option<String>>,
    stop: CancellationToken,
    stopping: CancellationToken,
    /// Cancelled once a rollback holds the agent of its call, and does not wait.
    called_off: Option<CancellationToken>,
}

/// What came of waiting for the next block.
pub(crate) enum Next {
    Block(Block),
    /// It is over; the reason if it broke off.
    Over(Option<String>),
    /// The client is gone.
    Gone,
    /// It said nothing in time.
    Late,
    /// The gateway ends what only listens.
    Ended,
    /// This process stops, and waits no longer.
    Stopping,
    /// The agent of its call is held. Told once.
    CalledOff,
}

/// How a stream is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum For {
    /// An answer, until then.
    Answer(Instant),
    /// Whatever comes: it ends when it is told to.
    Listening,
}

impl Source {
    /// Takes a stream apart: its blocks, the head of the answer with its body, and what writes that.
    pub(crate) fn open(
        inner: &Inner,
        host: &str,
        response: Response<Incoming>,
    ) -> (Self, Writer, Response<Body>) {
        let (parts, body) = response.into_parts();
        let (writer, pieces) = reply::written();
        let mut back = Response::new(pieces);
        *back.status_mut() = parts.status;
        *back.headers_mut() = headers::back(&parts.headers);
        let source = Self {
            body,
            splitter: Splitter::new(inner.options.limits.sse_line_bytes_max),
            host: host.to_owned(),
            blocks: VecDeque::new(),
            over: None,
            stop: inner.stop.clone(),
            stopping: inner.recorder.stopping().clone(),
            called_off: None,
        };
        (source, writer, back)
    }

    /// Tells when a call is called off, until it was told.
    pub(crate) fn watch(&mut self, called_off: Option<CancellationToken>) {
        self.called_off = called_off;
    }

    /// Waits for the next block. That a client is gone is told as long as one is given.
    pub(crate) async fn next(&mut self, client: Option<&Writer>, waits: For) -> Next {
        loop {
            if let Some(block) = self.blocks.pop_front() {
                return Next::Block(block);
            }
            if let Some(why) = self.over.clone() {
                return Next::Over(why);
            }
            let gone = async {
                match client {
                    Some(client) => client.gone().await,
                    None => std::future::pending().await,
                }
            };
            let late = async {
                match waits {
                    For::Answer(until) => sleep_until(until).await,
                    For::Listening => std::future::pending().await,
                }
            };
            let called_off = async {
                match &self.called_off {
                    Some(called_off) => called_off.cancelled().await,
                    None => std::future::pending().await,
                }
            };
            let frame = tokio::select! {
                frame = self.body.frame() => frame,
                () = called_off, if !self.stopping.is_cancelled() => {
                    self.called_off = None;
                    return Next::CalledOff;
                }
                () = gone => return Next::Gone,
                () = late => return Next::Late,
                () = self.stop.cancelled(), if matches!(waits, For::Listening) => {
                    return Next::Ended;
                }
                // What nobody is told of may still be heard, as long as the stop has patience.
                () = self.stopping.cancelled(), if client.is_some() => return Next::Stopping,
            };
            match frame {
                // Trailers say nothing here.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        let (blocks, too_long) = reply::blocks(&mut self.splitter, &data);
                        self.blocks.extend(blocks);
                        self.over = too_long.map(Some);
                    }
                }
                None => self.over = Some(None),
                Some(Err(error)) => {
                    let why = format!("the stream of `{}` broke off: {error}", self.host);
                    self.over = Some(Some(why));
                }
            }
        }
    }

    /// Returns what came behind the last whole block.
    pub(crate) fn rest(&self) -> &[u8] {
        self.splitter.rest()
    }
}

/// Why a client has not got a piece.
pub(crate) enum Untaken {
    /// It is gone.
    Gone,
    /// It did not take it in time.
    Slow,
}

/// What a client hears when this process stops before its call has ended.
pub(crate) fn stopping() -> Refusal {
    let message = "rescind is stopping; what became of the call is not known";
    Refusal::new("gateway_stopping", message)
}

/// What a client hears whose call was cancelled because a rollback holds its agent.
pub(crate) fn called_off() -> Refusal {
    let message = "the call was cancelled, because its agent is quarantined; whether it was \
                   carried out is not known";
    Refusal::new("agent_held", message)
}

/// What a client hears, if it listens after all, that did not take its answer.
pub(crate) fn too_slow() -> Refusal {
    let message = "the caller did not take the answer in time (`timeouts.total_ms`)";
    Refusal::new("caller_too_slow", message)
}

/// Sends a piece as soon as the client takes it, or not at all.
pub(crate) async fn send(client: &Writer, piece: Bytes, until: Instant) -> Result<(), Untaken> {
    match timeout_at(until, client.send(piece)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Untaken::Gone),
        Err(_) => Err(Untaken::Slow),
    }
}

/// Ends a body with its last piece, for which a client that is slow has a moment at least.
pub(crate) async fn end(client: Writer, last: Vec<u8>, until: Instant) {
    let until = until.max(Instant::now() + LAST_WITHIN);
    let ended = async {
        if last.is_empty() || client.send(last).await.is_ok() {
            client.end().await;
        }
    };
    let _ = timeout_at(until, ended).await;
}
