//! Answers that come piece by piece.
//!
//! ```text
//!   preamble: held ──► first content: head and all that was held go out ──► passed on
//!                                                  │
//!                          first call complete: held from here ──► end ──► outcome durable ──► out
//! ```
//!
//! What a client could act on is a call that is complete, so from there on nothing goes out before
//! the outcome is durable; keep-alives go out meanwhile. A stream that ends without its marks is
//! an error, in the form that clients notice, and never the end that they would take it for.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use model::{FailureClass, Outcome};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use wire::llm::{Answer, Completeness, Moment, ProviderError, Stream, error_event, keep_alive};
use wire::sse::{Block, Splitter};

use super::attempt::{Failed, Tried, Tries, now};
use super::kept;
use crate::{headers, reply};

/// After so long without a word, a client that waits gets a sign of life.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(15);

/// Why a stream stopped.
enum Stop {
    /// It came to its end, complete or not.
    Ended,
    /// The upstream broke off or said nothing for too long.
    Broke(FailureClass, String),
    /// The upstream says that it failed.
    Failed(ProviderError),
    /// The caller is gone.
    Gone,
}

/// Pieces on their way to the caller.
struct Out {
    /// Not yet let out.
    held: Vec<u8>,
    /// Once content has come.
    sender: Option<mpsc::Sender<Bytes>>,
    /// Whether a call is complete, and everything waits for its record.
    barred: bool,
}

/// What the caller gets once content has come: the head of the answer, and both ends of its body.
type Head = (http::response::Parts, mpsc::Sender<Bytes>, crate::Body);

impl Tries {
    /// Passes on an answer that comes piece by piece.
    pub(super) async fn stream(
        &mut self,
        response: Response<Incoming>,
        first: Instant,
        host: &str,
    ) -> Tried {
        let (parts, mut body) = response.into_parts();
        let Some(api) = self.asking.target.api else {
            return Tried::Done;
        };
        let mut splitter = Splitter::new(self.asking.inner.options.limits.sse_line_bytes_max);
        let mut state = Stream::new(api);
        let (sender, pieces) = reply::pieces();
        let mut out = Out {
            held: Vec::new(),
            sender: None,
            barred: false,
        };
        let mut head: Option<Head> = Some((parts, sender, pieces));
        let stop = loop {
            let waiting = out.sender.is_none();
            let idle = now() + self.asking.inner.options.timeouts.idle;
            let until = if waiting { first } else { idle.min(self.until) };
            let frame = match self.next_frame(&mut body, until, &out, api).await {
                Next::Frame(frame) => frame,
                Next::End => break Stop::Ended,
                Next::Gone => break Stop::Gone,
                Next::Broke(error) => {
                    let why = format!("the stream of `{host}` broke off: {error}");
                    break Stop::Broke(FailureClass::Unavailable, why);
                }
                Next::Late => {
                    let why = format!("`{host}` said nothing more in time");
                    break Stop::Broke(FailureClass::Timeout, why);
                }
            };
            let (blocks, too_long) = match splitter.push(&frame) {
                Ok(blocks) => (blocks, None),
                Err(too_long) => {
                    let max = too_long.line_bytes_max;
                    let why =
                        format!("a line has more than {max} bytes (`limits.sse_line_bytes_max`)");
                    (too_long.blocks, Some(why))
                }
            };
            let mut piece = Vec::new();
            let mut stop = None;
            for block in blocks {
                match self.pass(&mut state, &block, &mut out, &mut piece) {
                    None => {}
                    Some(end) => {
                        stop = Some(end);
                        break;
                    }
                }
            }
            if !piece.is_empty() {
                if let Some(head) = head.take() {
                    self.commit(head, &mut out);
                }
                if let Some(sender) = &out.sender
                    && sender.send(piece.into()).await.is_err()
                {
                    break Stop::Gone;
                }
            }
            match (stop, too_long) {
                (Some(stop), _) => break stop,
                (None, Some(why)) => break Stop::Broke(FailureClass::TooLarge, why),
                (None, None) => {}
            }
        };
        let rest = splitter.rest().to_vec();
        self.settle(state, stop, out, head, &rest).await
    }

    /// Waits for the next piece of the upstream's, and keeps the caller's end alive meanwhile.
    async fn next_frame(
        &mut self,
        body: &mut Incoming,
        until: Instant,
        out: &Out,
        api: wire::llm::Api,
    ) -> Next {
        loop {
            let sign = now() + KEEP_ALIVE_AFTER;
            let gone = async {
                match &out.sender {
                    Some(sender) => sender.closed().await,
                    None => self.asking.answer.closed().await,
                }
            };
            let next = tokio::select! {
                () = gone => return Next::Gone,
                frame = timeout_at(until.min(sign), body.frame()) => frame,
            };
            match next {
                Ok(None) => return Next::End,
                Ok(Some(Err(error))) => return Next::Broke(error.to_string()),
                Ok(Some(Ok(frame))) => {
                    // Trailers say nothing here.
                    if let Ok(data) = frame.into_data() {
                        return Next::Frame(data);
                    }
                }
                Err(_) if now() >= until => return Next::Late,
                Err(_) => {
                    if let Some(sender) = &out.sender {
                        let _ = sender.try_send(Bytes::from_static(keep_alive(api)));
                    }
                }
            }
        }
    }

    /// Looks at one block: what can go out is added to `piece`, the rest is held. Returns why the
    /// stream stops with it, if it does.
    fn pass(
        &self,
        state: &mut Stream,
        block: &Block,
        out: &mut Out,
        piece: &mut Vec<u8>,
    ) -> Option<Stop> {
        let moment = state.push(block);
        match moment {
            Moment::Failed(error) => return Some(Stop::Failed(error)),
            Moment::Cut => return Some(Stop::Ended),
            Moment::Preamble if out.sender.is_none() && piece.is_empty() => {
                out.held.extend_from_slice(&block.raw);
                return None;
            }
            Moment::LastOfToolCall => out.barred = true,
            Moment::Preamble
            | Moment::Content
            | Moment::ToolCall
            | Moment::Terminal
            | Moment::Unknown => {}
        }
        let ends = matches!(moment, Moment::Terminal);
        // The end goes out with the outcome written down, whatever the answer carries.
        if out.barred || ends {
            out.held.extend_from_slice(&block.raw);
        } else {
            if !out.held.is_empty() {
                piece.append(&mut out.held);
            }
            piece.extend_from_slice(&block.raw);
        }
        None
    }

    /// The first content is out: from here on there is no other upstream.
    fn commit(&mut self, (parts, sender, body): Head, out: &mut Out) {
        let mut back = Response::new(body);
        *back.status_mut() = parts.status;
        *back.headers_mut() = headers::back(&parts.headers);
        if let Some(open) = &self.open {
            let (decision, run) = (open.decision().to_string(), open.run().to_string());
            reply::name(&mut back, &decision, &run);
        }
        self.answer(back);
        out.sender = Some(sender);
    }

    /// Records how the stream ended, and lets out its end.
    async fn settle(
        &mut self,
        state: Stream,
        stop: Stop,
        mut out: Out,
        mut head: Option<Head>,
        rest: &[u8],
    ) -> Tried {
        let api = self.asking.api;
        let answer: Answer = state.end();
        let whole = matches!(
            answer.complete,
            Completeness::Complete | Completeness::Incomplete
        );
        // Before any content is out, a try that failed has cost the caller nothing.
        let nothing_out = out.sender.is_none();
        let failure = match &stop {
            _ if whole && !matches!(stop, Stop::Gone | Stop::Failed(_)) => None,
            Stop::Gone => {
                self.gone(kept::ended(answer, None, Outcome::Cancelled))
                    .await;
                return Tried::Done;
            }
            Stop::Failed(error) => {
                let class = kept::class(&self.asking.target, None, error);
                if nothing_out && !out.barred {
                    return Tried::Failed(failed_in_stream(head, class, error, api));
                }
                let kind = error.kind.as_deref().unwrap_or("upstream_error");
                Some((class.class, kind.to_owned(), error.message.clone()))
            }
            Stop::Broke(class, why) => Some((*class, "stream_interrupted".to_owned(), why.clone())),
            Stop::Ended => {
                let why = "the stream ended before the answer was complete".to_owned();
                Some((
                    FailureClass::Unavailable,
                    "stream_truncated".to_owned(),
                    why,
                ))
            }
        };
        if let Some((class, _, why)) = &failure
            && nothing_out
            && !out.barred
        {
            return Tried::Failed(Failed::Unanswered {
                class: *class,
                why: why.clone(),
                sent: true,
            });
        }
        let outcome = match &failure {
            None => kept::outcome(&self.asking.target, &answer),
            Some((class, ..)) => Outcome::Failed { class: *class },
        };
        let calls = answer.asked.iter().any(|call| !call.hosted);
        if let Some(head) = head.take() {
            self.commit(head, &mut out);
        }
        let mut last = std::mem::take(&mut out.held);
        last.extend_from_slice(if failure.is_none() { rest } else { &[] });
        let written = match self.open.take() {
            Some(open) => open.finish(kept::ended(answer, None, outcome)).await,
            None => return Tried::Done,
        };
        let recorded = match written {
            Ok(written) if calls && failure.is_none() => written.durable().await,
            Ok(_) => Ok(()),
            Err(_) if !calls => Ok(()),
            Err(error) => Err(error),
        };
        let piece = match (failure, recorded) {
            (None, Ok(())) => last,
            // Calls that are not recorded must not be acted upon: none of what is held goes out.
            (None, Err(error)) => {
                let message =
                    format!("the call was stopped because it cannot be recorded: {error}");
                error_event(api, "record_unavailable", &message)
            }
            (Some((_, kind, why)), _) => error_event(api, &kind, &why),
        };
        if let Some(sender) = out.sender.take() {
            let _ = sender.send(piece.into()).await;
        }
        Tried::Done
    }
}

/// What came of waiting for a piece.
enum Next {
    Frame(Bytes),
    End,
    Broke(String),
    Late,
    Gone,
}

/// A stream that said only that it failed is an error like any other, and may be tried again.
fn failed_in_stream(
    head: Option<Head>,
    class: wire::failure::Class,
    error: &ProviderError,
    api: wire::llm::Api,
) -> Failed {
    let status = match class.class {
        FailureClass::RateLimit | FailureClass::Quota => 429,
        FailureClass::Overload => 503,
        FailureClass::Authentication => 401,
        FailureClass::Denied => 403,
        FailureClass::Invalid
        | FailureClass::ContextOverflow
        | FailureClass::MalformedToolHistory
        | FailureClass::ContentFilter => 400,
        _ => 502,
    };
    let kind = error.code.as_deref().or(error.kind.as_deref());
    let body = wire::llm::error_body(
        api,
        status,
        kind.unwrap_or("upstream_error"),
        &error.message,
    );
    let mut response = Response::new(Bytes::from(body));
    if let Some((parts, ..)) = head {
        *response.headers_mut() = parts.headers;
    }
    let json = http::HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, json);
    *response.status_mut() =
        http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_GATEWAY);
    Failed::Answered {
        response: Box::new(response),
        class,
        wait: None,
    }
}
