//! Answers of our own, and the bodies of all.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use wire::llm::{Api, error_body};
use wire::sse::{Block, Splitter};

use crate::caller;

/// The body of an answer. Those made here never fail by themselves: a stream that fails says so in
/// its own words.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Tells a client of the official SDKs not to try again: the gateway has done so already.
pub(crate) const SHOULD_RETRY: &str = "x-should-retry";

/// How many pieces of a stream wait for a slow client.
const PIECES_MAX: usize = 64;

/// How many bytes they have together, if there are several.
const BYTES_MAX: u32 = 1 << 20;

pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Makes a body that ends only when it is told to: one whose [`Writer`] is dropped breaks off, so
/// that no client takes what came for everything.
pub(crate) fn written() -> (Writer, Body) {
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    let room = Arc::new(Semaphore::new(BYTES_MAX as usize));
    let body = Written {
        pieces: receiver,
        room: Arc::clone(&room),
        ended: false,
    };
    let writer = Writer {
        pieces: sender,
        room,
    };
    (writer, body.boxed_unsync())
}

/// A piece, with the room that it takes up until it is taken.
type Piece = (Bytes, Option<OwnedSemaphorePermit>);

/// The caller is gone.
#[derive(Debug)]
pub(crate) struct Gone;

/// Writes a body piece by piece; see [`written`].
#[derive(Debug)]
pub(crate) struct Writer {
    pieces: mpsc::Sender<Option<Piece>>,
    room: Arc<Semaphore>,
}

impl Writer {
    /// Sends a piece, once there is room for it. One that is larger than all the room has it alone.
    pub(crate) async fn send(&self, piece: impl Into<Bytes>) -> Result<(), Gone> {
        let piece = piece.into();
        let bytes = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room);
        let taken = room.acquire_many_owned(bytes.min(BYTES_MAX)).await;
        let taken = taken.map_err(|_| Gone)?;
        let piece = Some((piece, Some(taken)));
        self.pieces.send(piece).await.map_err(|_| Gone)
    }

    /// Sends a piece if there is room for it.
    pub(crate) fn offer(&self, piece: &'static [u8]) {
        let piece = Bytes::from_static(piece);
        let _ = self.pieces.try_send(Some((piece, None)));
    }

    /// Waits until the caller is gone.
    pub(crate) async fn gone(&self) {
        self.pieces.closed().await;
    }

    /// Whether the caller is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.pieces.is_closed()
    }

    /// Ends the body, once there is room to say so.
    pub(crate) async fn end(self) {
        let _ = self.pieces.send(None).await;
    }
}

#[derive(Debug)]
struct Written {
    pieces: mpsc::Receiver<Option<Piece>>,
    room: Arc<Semaphore>,
    ended: bool,
}

impl Drop for Written {
    /// Who waits for room learns that nobody is there.
    fn drop(&mut self) {
        self.room.close();
    }
}

impl hyper::body::Body for Written {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = std::task::ready!(self.pieces.poll_recv(context));
        self.ended = !matches!(next, Some(Some(_)));
        Poll::Ready(match next {
            Some(Some((piece, _))) => Some(Ok(Frame::data(piece))),
            Some(None) => None,
            None => Some(Err("the answer broke off".into())),
        })
    }
}

/// Takes in a piece of an upstream's stream: the blocks that it completes, and in words what is
/// wrong where a line is longer than is taken.
pub(crate) fn blocks(splitter: &mut Splitter, piece: &[u8]) -> (Vec<Block>, Option<String>) {
    match splitter.push(piece) {
        Ok(blocks) => (blocks, None),
        Err(too_long) => {
            let max = too_long.line_bytes_max;
            let why = format!("a line has more than {max} bytes (`limits.sse_line_bytes_max`)");
            (too_long.blocks, Some(why))
        }
    }
}

/// An error before it is known on which wire.
pub(crate) fn plain(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    json(
        status,
        error_body(Api::Chat, status.as_u16(), code, message),
    )
}

/// An error in the form of a wire. Clients try again by themselves only where that may help.
pub(crate) fn error(
    api: Api,
    status: StatusCode,
    code: &str,
    message: &str,
    again: Again,
) -> Response<Body> {
    let mut response = json(status, error_body(api, status.as_u16(), code, message));
    match again {
        Again::Never => {
            let no = HeaderValue::from_static("false");
            response.headers_mut().insert(SHOULD_RETRY, no);
        }
        Again::After(seconds) => {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
    }
    response
}

/// Whether a client should try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// It was tried often enough, or cannot help.
    Never,
    /// After so many seconds.
    After(u64),
}

fn json(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(whole(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// Says which decision and run a call is.
pub(crate) fn name(response: &mut Response<Body>, decision: &str, run: &str) {
    let headers = response.headers_mut();
    for (name, id) in [(caller::DECISION, decision), (caller::RUN, run)] {
        if let Ok(value) = HeaderValue::from_str(id) {
            headers.insert(name, value);
        }
    }
}
