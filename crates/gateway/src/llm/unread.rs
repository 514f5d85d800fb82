//! Answers of endpoints that nobody here reads: passed on as they come.
//!
//! There is no state that could say whether such an answer is whole, so how it ends is how its
//! transport ended. One that breaks off breaks off for the caller too: its connection is cut, so
//! that no client takes what came for everything.

use bytes::Bytes;
use engine::live::Ended;
use http::Response;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use model::{FailureClass, Field, Media, Outcome};
use tokio::time::{error::Elapsed, timeout_at};

use super::attempt::{Tried, Tries, now};
use super::kept;
use crate::{headers, reply};

/// How much of such an answer is kept; of a longer one, its length.
const KEPT_BYTES_MAX: usize = 1 << 20;

impl Tries {
    /// Passes on an answer that nobody here reads.
    pub(super) async fn unread(&mut self, response: Response<Incoming>, host: &str) -> Tried {
        let (parts, mut body) = response.into_parts();
        let (sender, pieces) = reply::written();
        let mut back = Response::new(pieces);
        *back.status_mut() = parts.status;
        *back.headers_mut() = headers::back(&parts.headers);
        // The bytes are the same, so their number is.
        if let Some(length) = parts.headers.get(CONTENT_LENGTH) {
            back.headers_mut().insert(CONTENT_LENGTH, length.clone());
        }
        if let Some(open) = &self.open {
            reply::name(
                &mut back,
                &open.decision().to_string(),
                &open.run().to_string(),
            );
        }
        self.answer(back);
        let mut came = Came::default();
        let broke = loop {
            let until = self
                .until
                .min(now() + self.asking.inner.options.timeouts.idle);
            let next = tokio::select! {
                () = sender.gone() => {
                    self.gone(came.ended(Outcome::Cancelled, None)).await;
                    return Tried::Done;
                }
                () = self.asking.stopping.cancelled() => {
                    self.gone(came.ended(Outcome::Cancelled, None)).await;
                    return Tried::Done;
                }
                next = timeout_at(until, body.frame()) => next,
            };
            let piece = match next {
                Ok(None) => break None,
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(piece) => piece,
                    Err(_) => continue,
                },
                Ok(Some(Err(error))) => {
                    let why = format!("the answer of `{host}` broke off: {error}");
                    break Some((FailureClass::Unavailable, why));
                }
                Err(Elapsed { .. }) => {
                    let why = format!("`{host}` said nothing more in time");
                    break Some((FailureClass::Timeout, why));
                }
            };
            came.add(&piece);
            let sent = timeout_at(self.until, sender.send(piece)).await;
            if !matches!(sent, Ok(Ok(()))) {
                self.gone(came.ended(Outcome::Cancelled, None)).await;
                return Tried::Done;
            }
        };
        let outcome = match &broke {
            None => Outcome::Succeeded,
            Some((class, _)) => Outcome::Failed { class: *class },
        };
        let why = broke.map(|(_, why)| why);
        if let Some(open) = self.open.take() {
            // The answer alone does nothing; where it could not be written down, the gap that
            // follows counts it.
            let _ = self.finish(open, came.ended(outcome, why.as_deref())).await;
        }
        if why.is_none() {
            let _ = timeout_at(self.until, sender.end()).await;
        }
        Tried::Done
    }
}

/// What came of the answer.
#[derive(Default)]
struct Came {
    bytes: usize,
    kept: Vec<u8>,
}

impl Came {
    fn add(&mut self, piece: &Bytes) {
        self.bytes += piece.len();
        if self.bytes <= KEPT_BYTES_MAX {
            self.kept.extend_from_slice(piece);
        } else {
            self.kept = Vec::new();
        }
    }

    fn ended(self, outcome: Outcome, why: Option<&str>) -> Ended {
        if let (Outcome::Failed { class }, Some(why)) = (&outcome, why) {
            return kept::unanswered(*class, &format!("{why}, after {} bytes", self.bytes));
        }
        let mut ended = Ended::with(outcome);
        let text = match String::from_utf8(self.kept) {
            Ok(text) if text.len() == self.bytes => text,
            _ => format!("[{} bytes]", self.bytes),
        };
        ended.kept.push((Field::Result, Media::Text, text));
        ended
    }
}
