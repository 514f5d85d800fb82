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

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::Response;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use model::{FailureClass, Outcome};
use tokio::time::{Instant, timeout_at};
use wire::llm::{
    Answer, Api, Completeness, Moment, ProviderError, Stream, error_event, keep_alive,
};
use wire::sse::{Block, Splitter};

use super::attempt::{Failed, Tried, Tries, now, status_of};
use super::kept;
use crate::reply::Writer;
use crate::{headers, reply};

/// After so long without a word, a client that waits gets a sign of life.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(15);

/// What came together goes out together, up to so many bytes.
const TOGETHER: usize = 16 << 10;

/// How long what follows the end of an answer is waited for, so that the connection to the
/// upstream can be used again.
const TAIL_WITHIN: Duration = Duration::from_secs(2);

/// Why a stream stopped.
enum Stop {
    /// It came to its end, complete or not.
    Ended,
    /// The end mark of a whole answer came. The upstream may have more to say, or just stay.
    Complete,
    /// The upstream broke off or said nothing for too long.
    Broke(FailureClass, String),
    /// The upstream says that it failed.
    Failed(ProviderError),
    /// The caller is gone.
    Gone,
    /// It is to end early: this process stops, or its agent is held.
    Stopping,
}

/// Pieces on their way to the caller.
struct Out {
    /// Not yet let out.
    held: Vec<u8>,
    /// Once content has come.
    sender: Option<Writer>,
    /// Whether a call is complete, or the answer, and everything waits for its record.
    barred: bool,
    /// When something was let out last.
    at: Instant,
    /// Whether a comment would be taken for an event; see [`keep_alive`].
    numbered: bool,
    /// What ended the upstream's stream, seen together with its last piece.
    ended: Option<Next>,
}

/// What the caller gets once content has come: the head of the answer, and both ends of its body.
type Head = (http::response::Parts, Writer, crate::Body);

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
        let (sender, pieces) = reply::written();
        let mut out = Out {
            held: Vec::new(),
            sender: None,
            barred: false,
            at: now(),
            numbered: false,
            ended: None,
        };
        let mut head: Option<Head> = Some((parts, sender, pieces));
        let stop = loop {
            let waiting = out.sender.is_none();
            let idle = now() + self.asking.inner.options.timeouts.idle;
            let until = if waiting { first } else { idle.min(self.until) };
            let frame = match self.next_frame(&mut body, until, &mut out, api).await {
                Next::Frame(frame) => frame,
                Next::End => break Stop::Ended,
                Next::Gone => break Stop::Gone,
                Next::Stopping => break Stop::Stopping,
                Next::Broke(error) => {
                    let why = format!("the stream of `{host}` broke off: {error}");
                    break Stop::Broke(FailureClass::Unavailable, why);
                }
                Next::Late => {
                    let why = format!("`{host}` said nothing more in time");
                    break Stop::Broke(FailureClass::Timeout, why);
                }
            };
            let (blocks, too_long) = reply::blocks(&mut splitter, &frame);
            let mut piece = Vec::new();
            let mut stop = None;
            for block in blocks {
                match pass(&mut state, &block, &mut out, &mut piece) {
                    None => {}
                    // What came together with the end goes out with it.
                    Some(Stop::Complete) => stop = Some(Stop::Complete),
                    Some(end) => {
                        stop = Some(end);
                        break;
                    }
                }
            }
            if out.held.len() > self.asking.inner.options.limits.body_bytes_max {
                let why = "the answer has more bytes to hold than `limits.body_bytes_max`";
                stop = Some(Stop::Broke(FailureClass::TooLarge, why.to_owned()));
            }
            if !piece.is_empty() {
                if let Some(head) = head.take() {
                    self.commit(head, &mut out);
                }
                if let Some(sender) = &out.sender {
                    match timeout_at(self.until, sender.send(piece)).await {
                        Ok(Ok(())) => out.at = now(),
                        Ok(Err(_)) => break Stop::Gone,
                        Err(_) => {
                            let why = "the caller did not take the answer in time".to_owned();
                            break Stop::Broke(FailureClass::Timeout, why);
                        }
                    }
                }
            }
            match (stop, too_long) {
                (Some(stop), _) => break stop,
                (None, Some(why)) => break Stop::Broke(FailureClass::TooLarge, why),
                (None, None) => {}
            }
        };
        let rest = splitter.rest();
        let settled = self.settle(state, stop, out, head, rest).await;
        match settled {
            Settled::Failed(failed) => Tried::Failed(failed),
            Settled::Gone => Tried::Done,
            Settled::Done { sender, more } => {
                if more {
                    tail(&mut body, &sender).await;
                }
                let until = self.until.max(now() + TAIL_WITHIN);
                let _ = timeout_at(until, sender.end()).await;
                Tried::Done
            }
        }
    }

    /// Waits for the next piece of the upstream's, and keeps the caller's end alive meanwhile.
    async fn next_frame(
        &mut self,
        body: &mut Incoming,
        until: Instant,
        out: &mut Out,
        api: Api,
    ) -> Next {
        if let Some(ended) = out.ended.take() {
            return ended;
        }
        loop {
            let mut wake = until;
            if let Some(sender) = &out.sender
                && !(out.numbered && api != Api::Messages)
            {
                // The caller may hear nothing although the upstream says much: what is held.
                if now() >= out.at + KEEP_ALIVE_AFTER {
                    sender.offer(keep_alive(api));
                    out.at = now();
                }
                wake = until.min(out.at + KEEP_ALIVE_AFTER);
            }
            let gone = async {
                match &out.sender {
                    Some(sender) => sender.gone().await,
                    None => self.asking.answer.closed().await,
                }
            };
            let stopping = self.asking.stopping.clone();
            let next = tokio::select! {
                () = gone => return Next::Gone,
                () = stopping.cancelled() => return Next::Stopping,
                frame = timeout_at(wake, body.frame()) => frame,
            };
            match next {
                Ok(frame) => match read(frame) {
                    Some(Next::Frame(data)) => {
                        let (data, ended) = together(data, body).await;
                        out.ended = ended;
                        return Next::Frame(data);
                    }
                    Some(ended) => return ended,
                    None => {}
                },
                Err(_) if now() >= until => return Next::Late,
                Err(_) => {}
            }
        }
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
        head: Option<Head>,
        rest: &[u8],
    ) -> Settled {
        let api = self.asking.api;
        let answer: Answer = state.end();
        let (class, kind, why) = match stop {
            Stop::Stopping => return self.settle_stopping(answer, out).await,
            Stop::Gone => {
                let ended = kept::ended(answer, None, Outcome::Cancelled, None);
                self.gone(ended).await;
                return Settled::Gone;
            }
            Stop::Ended | Stop::Complete | Stop::Broke(..) if is_whole(&answer) => {
                return self.settle_whole(answer, out, head, rest).await;
            }
            Stop::Failed(error) => {
                let class = kept::class(&self.asking.target, None, &error);
                // Before any content is out, a try that failed has cost the caller nothing.
                if out.sender.is_none() {
                    return Settled::Failed(failed_in_stream(head, class, &error, api));
                }
                let kind = error.kind.as_deref().unwrap_or("upstream_error");
                (class.class, kind.to_owned(), error.message)
            }
            Stop::Broke(class, why) => {
                let kind = match class {
                    FailureClass::TooLarge => "answer_too_large",
                    FailureClass::Timeout => "stream_timeout",
                    _ => "stream_interrupted",
                };
                (class, kind.to_owned(), why)
            }
            Stop::Ended | Stop::Complete => (
                FailureClass::Unavailable,
                "stream_truncated".to_owned(),
                "the stream ended before the answer was complete".to_owned(),
            ),
        };
        let Some(sender) = out.sender.take() else {
            return Settled::Failed(Failed::Unanswered {
                class,
                why,
                sent: true,
            });
        };
        if let Some(open) = self.open.take() {
            let outcome = Outcome::Failed { class };
            let ended = kept::ended(answer, None, outcome, Some(&why));
            // Nothing that could be acted upon goes out with it.
            let _ = self.finish(open, ended).await;
        }
        self.last(&sender, error_event(api, &kind, &why)).await;
        Settled::Done {
            sender,
            more: false,
        }
    }

    /// Records that the call ends early, and tells the caller.
    async fn settle_stopping(&mut self, answer: Answer, mut out: Out) -> Settled {
        let (code, why) = self.why_stopping();
        let ended = kept::ended(answer, None, Outcome::Cancelled, Some(why));
        let Some(sender) = out.sender.take() else {
            self.stopping(ended).await;
            return Settled::Gone;
        };
        self.gone(ended).await;
        let event = error_event(self.asking.api, code, why);
        self.last(&sender, event).await;
        Settled::Done {
            sender,
            more: false,
        }
    }

    /// Records a whole answer, and lets out what is held of it.
    async fn settle_whole(
        &mut self,
        answer: Answer,
        mut out: Out,
        mut head: Option<Head>,
        rest: &[u8],
    ) -> Settled {
        let api = self.asking.api;
        let calls = answer.asked.iter().any(|call| !call.hosted);
        if let Some(head) = head.take() {
            self.commit(head, &mut out);
        }
        let Some(sender) = out.sender.take() else {
            return Settled::Gone;
        };
        let outcome = kept::outcome(&self.asking.target, &answer);
        let ended = kept::ended(answer, None, outcome, None);
        let recorded = match self.open.take() {
            None => Ok(()),
            Some(open) => match self.finish(open, ended).await {
                Ok(written) if calls => written.durable().await,
                // Words alone do nothing; where they could not be written down, a gap counts them.
                Ok(_) => Ok(()),
                Err(_) if !calls => Ok(()),
                Err(error) => Err(error),
            },
        };
        let more = recorded.is_ok();
        let piece = match recorded {
            Ok(()) => {
                out.held.extend_from_slice(rest);
                out.held
            }
            // Calls that are not recorded must not be acted upon: none of what is held goes out.
            Err(error) => {
                let message =
                    format!("the call was stopped because it cannot be recorded: {error}");
                error_event(api, "record_unavailable", &message)
            }
        };
        self.last(&sender, piece).await;
        Settled::Done { sender, more }
    }

    /// Lets out the last piece, for which a caller that is slow has a moment at least.
    async fn last(&self, sender: &Writer, piece: Vec<u8>) {
        let until = self.until.max(now() + TAIL_WITHIN);
        let _ = timeout_at(until, sender.send(piece)).await;
    }
}

/// Looks at one block: what can go out is added to `piece`, the rest is held. Returns why the
/// stream stops with it, if it does.
fn pass(state: &mut Stream, block: &Block, out: &mut Out, piece: &mut Vec<u8>) -> Option<Stop> {
    let moment = state.push(block);
    out.numbered |= block.id.is_some();
    let mut stop = None;
    match moment {
        Moment::Failed(error) => return Some(Stop::Failed(error)),
        Moment::Cut => return Some(Stop::Ended),
        Moment::Preamble if out.sender.is_none() && piece.is_empty() => {
            out.held.extend_from_slice(&block.raw);
            return None;
        }
        Moment::LastOfToolCall => out.barred = true,
        // The end goes out with the outcome written down, whatever the answer carries.
        Moment::Terminal => {
            out.barred = true;
            stop = Some(Stop::Complete);
        }
        Moment::Preamble | Moment::Content | Moment::ToolCall | Moment::Unknown => {}
    }
    if out.barred {
        out.held.extend_from_slice(&block.raw);
    } else {
        piece.append(&mut out.held);
        piece.extend_from_slice(&block.raw);
    }
    stop
}

/// Passes on what an upstream says after the end of the answer, which is recorded by then: as a
/// rule nothing, but reading to the end lets the connection be used again.
async fn tail(body: &mut Incoming, sender: &Writer) {
    let until = now() + TAIL_WITHIN;
    while let Ok(Some(Ok(frame))) = timeout_at(until, body.frame()).await {
        if let Ok(data) = frame.into_data()
            && !matches!(timeout_at(until, sender.send(data)).await, Ok(Ok(())))
        {
            return;
        }
    }
}

/// What came of the end of a stream.
enum Settled {
    /// It is recorded, and nobody is left to hear of it.
    Gone,
    /// It is recorded, and its end is out. What follows may still go out, if it is whole.
    Done { sender: Writer, more: bool },
    /// No content is out.
    Failed(Failed),
}

fn is_whole(answer: &Answer) -> bool {
    matches!(
        answer.complete,
        Completeness::Complete | Completeness::Incomplete
    )
}

/// What came of waiting for a piece.
enum Next {
    Frame(Bytes),
    End,
    Broke(String),
    Late,
    Gone,
    Stopping,
}

/// What a frame of the upstream's means; trailers say nothing here.
fn read(frame: Option<Result<Frame<Bytes>, hyper::Error>>) -> Option<Next> {
    match frame {
        None => Some(Next::End),
        Some(Err(error)) => Some(Next::Broke(error.to_string())),
        Some(Ok(frame)) => frame.into_data().ok().map(Next::Frame),
    }
}

/// Adds what came together with a piece, as far as nobody has to wait for it: each piece costs
/// another write to the caller. Also returns the end, where that came with it.
async fn together(first: Bytes, body: &mut Incoming) -> (Bytes, Option<Next>) {
    let mut all = Vec::new();
    let ended = loop {
        // Whoever reads the connection takes the next piece of what came out of it meanwhile.
        behind_others().await;
        let next = match body.frame().now_or_never().map(read) {
            None => break None,
            Some(None) => continue,
            Some(Some(next)) => next,
        };
        let Next::Frame(more) = next else {
            break Some(next);
        };
        if all.is_empty() {
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&more);
        if all.len() >= TOGETHER {
            break None;
        }
    };
    match all.is_empty() {
        true => (first, ended),
        false => (all.into(), ended),
    }
}

/// Lets every other task that can go on do so once.
async fn behind_others() {
    let mut waited = false;
    poll_fn(|context| {
        if waited {
            return Poll::Ready(());
        }
        waited = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A stream that said only that it failed is an error like any other, and may be tried again.
fn failed_in_stream(
    head: Option<Head>,
    class: wire::failure::Class,
    error: &ProviderError,
    api: Api,
) -> Failed {
    let status = status_of(class.class);
    let kind = error.code.as_deref().or(error.kind.as_deref());
    let body = wire::llm::error_body(
        api,
        status.as_u16(),
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
    *response.status_mut() = status;
    Failed::Answered {
        response: Box::new(response),
        class,
        wait: class.retry_after,
    }
}
