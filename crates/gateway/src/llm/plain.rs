//! Answers that come whole.

use std::time::Duration;

use bytes::Bytes;
use engine::live::{Ended, aside};
use http::Response;
use http::header::CONTENT_ENCODING;
use http::response::Parts;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use model::{FailureClass, Field, Media, Outcome};
use tokio::time::{Instant, timeout_at};
use wire::llm::{self, Completeness, ProviderError};

use super::attempt::{Failed, Tried, Tries, is_plain_text, now, status_of};
use super::{kept, outage};
use crate::{headers, reply};

impl Tries {
    /// Passes on an answer that comes whole.
    pub(super) async fn plain(&mut self, response: Response<Incoming>, host: &str) -> Tried {
        let (parts, body) = response.into_parts();
        let max = self.asking.inner.options.limits.body_bytes_max;
        let idle = self.asking.inner.options.timeouts.idle;
        let read = tokio::select! {
            () = self.asking.answer.closed() => {
                self.gone(Ended::with(Outcome::Cancelled)).await;
                return Tried::Done;
            }
            () = self.asking.stopping.cancelled() => {
                self.stopping(Ended::with(Outcome::Cancelled)).await;
                return Tried::Done;
            }
            read = whole(body, max, idle, self.until) => read,
        };
        let (class, why) = match read {
            Read::Whole(body) => return self.pass_whole(parts, body).await,
            Read::TooLong => (
                FailureClass::TooLarge,
                format!("the answer has more than {max} bytes (`limits.body_bytes_max`)"),
            ),
            Read::Broke(error) => (
                FailureClass::Unavailable,
                format!("the answer of `{host}` broke off: {error}"),
            ),
            Read::Late => (
                FailureClass::Timeout,
                format!("the answer of `{host}` did not end in time"),
            ),
        };
        Tried::Failed(Failed::Unanswered {
            class,
            why,
            sent: true,
        })
    }

    /// Records an answer that came whole, and hands it out.
    async fn pass_whole(&mut self, parts: Parts, body: Bytes) -> Tried {
        let encoding = parts.headers.get(CONTENT_ENCODING);
        let encoding = encoding.map(|value| value.to_str().unwrap_or("unknown"));
        let understood = if is_plain_text(encoding) {
            self.understand(&body)
        } else {
            // It may say anything, so it waits like one that asks for calls.
            Understood::Answer(said(&body, Outcome::Succeeded), true)
        };
        let (ended, calls) = match understood {
            Understood::Answer(ended, calls) => (ended, calls),
            Understood::Error(error) => {
                let class = kept::class(&self.asking.target, None, &error);
                let mut response = Response::from_parts(parts, body);
                *response.status_mut() = status_of(class.class);
                return Tried::Failed(Failed::Answered {
                    response: Box::new(response),
                    class,
                    wait: class.retry_after,
                });
            }
        };
        let mut back = Response::new(reply::whole(body.clone()));
        *back.status_mut() = parts.status;
        *back.headers_mut() = headers::back(&parts.headers);
        let Some(open) = self.open.take() else {
            self.answer(back);
            return Tried::Done;
        };
        let (decision, run) = (open.decision().to_string(), open.run().to_string());
        reply::name(&mut back, &decision, &run);
        match self.finish(open, ended).await {
            // A client can act on a call: its record must outlive this machine's power first.
            Ok(written) if calls => {
                if let Err(error) = written.durable().await {
                    back = outage(self.asking.api, &error.to_string());
                    reply::name(&mut back, &decision, &run);
                }
            }
            Ok(_) => {}
            Err(error) if calls => {
                back = outage(self.asking.api, &error.to_string());
                reply::name(&mut back, &decision, &run);
            }
            // The answer alone does nothing; the gap that follows counts it.
            Err(_) => {}
        }
        self.answer(back);
        Tried::Done
    }

    /// What an answer says.
    fn understand(&self, body: &Bytes) -> Understood {
        let Some(api) = self.asking.target.api else {
            return Understood::Answer(said(body, Outcome::Succeeded), false);
        };
        let server = Outcome::Failed {
            class: FailureClass::Server,
        };
        let Ok(answer) = aside(body.len(), || llm::read_answer(api, body)) else {
            return Understood::Answer(said(body, server), false);
        };
        let nothing = answer.choices == 0 && answer.id.is_none() && answer.asked.is_empty();
        if let (Some(error), true) = (&answer.error, nothing) {
            return Understood::Error(error.clone());
        }
        let calls = answer.asked.iter().any(|call| !call.hosted);
        let outcome = match answer.complete {
            Completeness::Truncated if nothing && answer.text.is_empty() => server,
            // A body that came whole is the answer, even if it says less than a wire promises.
            Completeness::Truncated => Outcome::Succeeded,
            _ => kept::outcome(&self.asking.target, &answer),
        };
        let text = std::str::from_utf8(body).ok();
        Understood::Answer(kept::ended(answer, text, outcome, None), calls)
    }

    /// Hands the answer to the caller, who may be gone.
    pub(super) fn answer(&mut self, response: Response<crate::Body>) {
        let (unused, _) = tokio::sync::oneshot::channel();
        let answer = std::mem::replace(&mut self.asking.answer, unused);
        let _ = answer.send(response);
    }
}

/// What an answer of success turned out to be.
enum Understood {
    /// An answer, and whether it asks for calls.
    Answer(Ended, bool),
    /// Nothing but an error, which clients take for an answer unless the status says so.
    Error(ProviderError),
}

/// What came of reading a body.
pub(super) enum Read {
    Whole(Bytes),
    TooLong,
    Broke(String),
    Late,
}

/// Reads a whole body, which may not fall silent for longer than `idle`.
pub(super) async fn whole(mut body: Incoming, max: usize, idle: Duration, until: Instant) -> Read {
    let mut came = Bytes::new();
    let mut more: Vec<u8> = Vec::new();
    loop {
        let piece = match timeout_at(until.min(now() + idle), body.frame()).await {
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(piece) => piece,
                Err(_) => continue,
            },
            Ok(Some(Err(error))) => return Read::Broke(error.to_string()),
            Ok(None) if more.is_empty() => return Read::Whole(came),
            Ok(None) => return Read::Whole(more.into()),
            Err(_) => return Read::Late,
        };
        if came.len().max(more.len()) + piece.len() > max {
            return Read::TooLong;
        }
        // Most answers are one piece, which is not copied.
        if came.is_empty() && more.is_empty() {
            came = piece;
        } else {
            more.extend_from_slice(&std::mem::take(&mut came));
            more.extend_from_slice(&piece);
        }
    }
}

/// An answer of which nothing is understood.
fn said(body: &Bytes, outcome: Outcome) -> Ended {
    let text = std::str::from_utf8(body);
    let text = text.map_or_else(|_| format!("[{} bytes]", body.len()), str::to_owned);
    let mut ended = Ended::with(outcome);
    ended.kept.push((Field::Result, Media::Text, text));
    ended
}
