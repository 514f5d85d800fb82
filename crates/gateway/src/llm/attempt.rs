//! Tries: which upstream next, after what wait, and what the caller hears when none is left.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::live::{Ended, Open, RecordError, Written};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use model::{FailureClass, Outcome, Timestamp};
use tokio::time::{Instant, timeout_at};
use wire::failure::{Class, retry_after};
use wire::llm::{ProviderError, read_error};

use super::rest::Places;
use super::{Asking, kept};
use crate::retry::{Helps, Next};
use crate::upstream::{Upstream, UpstreamError};
use crate::{Body, headers, reply, retry};

/// The longest body of an error that is read, in bytes.
const ERROR_BYTES_MAX: usize = 1 << 20;

/// How long before its patience ends a caller is told, at most.
const BEFORE_PATIENCE_ENDS: Duration = Duration::from_secs(1);

/// What a caller hears when this process stops before its call has ended.
const STOPPING: &str = "rescind is stopping";

/// What it hears when a rollback holds its agent meanwhile.
const HELD: &str = "the call was cancelled, because its agent is quarantined";

/// How one try ended without content.
pub(super) enum Failed {
    /// The upstream answered with an error.
    Answered {
        /// The head of the answer, and its body.
        response: Box<Response<Bytes>>,
        class: Class,
        /// What its headers ask for.
        wait: Option<Duration>,
    },
    /// It did not answer, or broke off before it said anything.
    Unanswered {
        class: FailureClass,
        why: String,
        /// Whether the model may have worked on the call.
        sent: bool,
    },
    /// Its answer leads past us; where to, in words.
    Redirected(String),
}

impl Failed {
    /// What would help.
    fn helps(&self, asking: &Asking) -> Helps {
        // Whether asking again does nothing twice. A model that answers twice has done no harm; of
        // what nobody here reads that is not known.
        let harmless = asking.target.api.is_some() || super::is_looking(&asking.method);
        match self {
            Self::Answered {
                response, class, ..
            } => {
                let status = response.status().as_u16();
                let told = response.headers().get(reply::SHOULD_RETRY);
                let told = told.and_then(|value| value.to_str().ok());
                let untouched = harmless || matches!(status, 429 | 503 | 529);
                let later = untouched && class.should_retry(Some(status), told);
                Helps {
                    later,
                    elsewhere: later || untouched && class.should_cool_down(),
                }
            }
            Self::Redirected(_) => Helps {
                later: false,
                elsewhere: true,
            },
            Self::Unanswered { sent: false, .. } => Helps {
                later: true,
                elsewhere: true,
            },
            Self::Unanswered { .. } if !harmless => Helps::NOTHING,
            Self::Unanswered { class, .. } => Helps {
                // Who did not answer in time may be at work on it still.
                later: *class == FailureClass::Unavailable,
                elsewhere: *class != FailureClass::TooLarge,
            },
        }
    }
}

/// One call and its tries.
pub(super) struct Tries {
    pub(super) asking: Asking,
    pub(super) open: Option<Open>,
    /// When the call is given up.
    pub(super) until: Instant,
    tried: u32,
}

/// What a try came to.
pub(super) enum Tried {
    /// The caller has its answer, or is gone; the call is recorded.
    Done,
    /// No content is out yet.
    Failed(Failed),
}

impl Tries {
    pub(super) fn new(asking: Asking, open: Option<Open>) -> Self {
        let total = asking.inner.options.timeouts.total;
        // A caller that says how long it waits is told what went wrong before it stops waiting.
        let patience = asking.patience.map_or(total, |patience| {
            total.min(patience - (patience / 10).min(BEFORE_PATIENCE_ENDS))
        });
        Self {
            until: now() + patience,
            asking,
            open,
            tried: 0,
        }
    }

    /// Tries until the caller has an answer.
    pub(super) async fn run(mut self) {
        let inner = Arc::clone(&self.asking.inner);
        let upstreams = inner.options.upstreams.get(&self.asking.target.name);
        let upstreams = upstreams.map_or(&[][..], Vec::as_slice);
        let (recorder, watched) = (&inner.recorder, self.open.is_some());
        let places = Places::of(recorder, upstreams, &self.asking.model, watched);
        let mut places = match places {
            Ok(places) => places,
            Err(until) => return self.all_rest(until).await,
        };
        // When each of them wants to be asked again.
        let mut rested = vec![now(); upstreams.len()];
        let mut before: Option<Failed> = None;
        loop {
            let at = match places.take(recorder, &mut self.open) {
                Ok(Some(at)) => at,
                Ok(None) => return,
                Err(until) => match before {
                    Some(failed) => return self.give_up(failed).await,
                    None => return self.all_rest(until).await,
                },
            };
            let failed = match self.try_at(&upstreams[at]).await {
                Tried::Done => return,
                Tried::Failed(failed) => failed,
            };
            if let Some(open) = &mut self.open {
                open.tell(failed.heard());
            }
            if let Failed::Answered {
                wait: Some(wait), ..
            } = &failed
            {
                rested[at] = now() + *wait;
            }
            self.tried += 1;
            let rest = rested[places.pass_on()].saturating_duration_since(now());
            match self.next(&failed, places.len(), rest) {
                Next::GiveUp => return self.give_up(failed).await,
                Next::Elsewhere => {}
                Next::Again(wait) => tokio::select! {
                    () = self.asking.answer.closed() => {
                        return self.gone(Ended::with(Outcome::Cancelled)).await;
                    }
                    () = self.asking.stopping.cancelled() => {
                        return self.stopping(Ended::with(Outcome::Cancelled)).await;
                    }
                    () = tokio::time::sleep(wait) => {}
                },
            }
            metrics::counter!("rescind_retries_total", "upstream" => self.asking.target.name.clone())
                .increment(1);
            before = Some(failed);
        }
    }

    /// Decides what comes after a failure, and pays for it.
    fn next(&self, failed: &Failed, upstreams: usize, rest: Duration) -> Next {
        let inner = &self.asking.inner;
        // The end of an id is random.
        let chance = self
            .open
            .as_ref()
            .map_or(128, |open| open.decision().as_bytes()[15]);
        let next = retry::next(
            &inner.options.retry,
            (self.tried, u32::try_from(upstreams).unwrap_or(u32::MAX)),
            failed.helps(&self.asking),
            (!rest.is_zero()).then_some(rest),
            chance,
        );
        match next {
            Next::Again(wait) if now() + wait >= self.until || !inner.budget.spend() => {
                Next::GiveUp
            }
            Next::Elsewhere if now() >= self.until => Next::GiveUp,
            next => next,
        }
    }

    async fn try_at(&mut self, upstream: &Upstream) -> Tried {
        let asking = &mut self.asking;
        let stopping = asking.stopping.clone();
        // The head of a plain answer comes when the model has said everything.
        let first = now() + asking.inner.options.timeouts.first_token;
        let until = match asking.streams {
            true => self.until.min(first),
            false => self.until,
        };
        let body = model_for(upstream, &asking.body);
        let sending = asking.inner.client.send(
            upstream,
            &asking.method,
            &asking.target.rest,
            headers::onwards(&asking.headers),
            body,
        );
        let response = tokio::select! {
            () = asking.answer.closed() => {
                self.gone(Ended::with(Outcome::Cancelled)).await;
                return Tried::Done;
            }
            () = stopping.cancelled() => {
                self.stopping(Ended::with(Outcome::Cancelled)).await;
                return Tried::Done;
            }
            response = timeout_at(until, sending) => response,
        };
        let response = match response {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Tried::Failed(unreachable(&error)),
            Err(_) => {
                return Tried::Failed(Failed::Unanswered {
                    class: FailureClass::Timeout,
                    why: unanswered(upstream.host(), until < self.until),
                    sent: true,
                });
            }
        };
        let (status, headers) = (response.status(), response.headers());
        if let Some(why) = headers::leads_past(status, headers, upstream.host()) {
            return Tried::Failed(Failed::Redirected(why));
        }
        if response.status().is_client_error() || response.status().is_server_error() {
            return self.refused(response, until).await;
        }
        let headers = response.headers();
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let streams = text(CONTENT_TYPE).is_some_and(is_event_stream);
        if self.asking.target.api.is_none() {
            self.unread(response, upstream.host()).await
        } else if streams && is_plain_text(text(CONTENT_ENCODING)) {
            let first = now() + self.asking.inner.options.timeouts.first_token;
            self.stream(response, until.min(first), upstream.host())
                .await
        } else {
            self.plain(response, upstream.host()).await
        }
    }

    /// Reads an error that the upstream answered with.
    async fn refused(&mut self, response: Response<Incoming>, until: Instant) -> Tried {
        let (parts, body) = response.into_parts();
        let until = until.min(now() + self.asking.inner.options.timeouts.idle);
        let reading = timeout_at(until, Limited::new(body, ERROR_BYTES_MAX).collect());
        let body = tokio::select! {
            () = self.asking.answer.closed() => {
                self.gone(Ended::with(Outcome::Cancelled)).await;
                return Tried::Done;
            }
            () = self.asking.stopping.cancelled() => {
                self.stopping(Ended::with(Outcome::Cancelled)).await;
                return Tried::Done;
            }
            body = reading => body,
        };
        let body = match body {
            Ok(Ok(body)) => body.to_bytes(),
            // The status stands, whatever became of the words.
            Ok(Err(_)) | Err(_) => Bytes::new(),
        };
        let error: ProviderError = read_error(self.asking.api, &body);
        let class = kept::class(&self.asking.target, Some(parts.status.as_u16()), &error);
        let now = self.asking.inner.recorder.engine().clock().wall();
        let now = Timestamp(i64::try_from(now).unwrap_or(i64::MAX));
        let header = |name: &str| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let limited = matches!(parts.status.as_u16(), 429 | 503 | 529);
        let wait = retry_after(header, now)
            .filter(|_| limited)
            .or(class.retry_after);
        Tried::Failed(Failed::Answered {
            response: Box::new(Response::from_parts(parts, body)),
            class,
            wait,
        })
    }

    /// Tells the caller that no try is left, and records it.
    async fn give_up(mut self, failed: Failed) {
        let api = self.asking.api;
        let (ended, mut response) = match failed {
            Failed::Answered {
                response, class, ..
            } => {
                let again = response.status().as_u16();
                let again = matches!(again, 408 | 409 | 429 | 500..);
                let (parts, body) = response.into_parts();
                let text = String::from_utf8_lossy(&body);
                let ended = kept::refused(class.class, parts.status.as_u16(), &text);
                let mut back = Response::new(reply::whole(body));
                *back.status_mut() = parts.status;
                *back.headers_mut() = headers::back(&parts.headers);
                if again || self.tried > 1 {
                    // There is one owner of retries, and it has made those that help.
                    let no = HeaderValue::from_static("false");
                    back.headers_mut().insert(reply::SHOULD_RETRY, no);
                }
                (ended, back)
            }
            Failed::Redirected(why) => {
                let status = StatusCode::BAD_GATEWAY;
                let again = reply::Again::Never;
                let back = reply::error(api, status, "upstream_redirects", &why, again);
                (kept::unanswered(FailureClass::Unavailable, &why), back)
            }
            Failed::Unanswered { class, why, .. } => {
                let (status, code) = match class {
                    FailureClass::Timeout => (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout"),
                    FailureClass::TooLarge => (StatusCode::BAD_GATEWAY, "answer_too_large"),
                    _ => (StatusCode::BAD_GATEWAY, "upstream_unreachable"),
                };
                let back = reply::error(api, status, code, &why, reply::Again::Never);
                (kept::unanswered(class, &why), back)
            }
        };
        self.end(ended, &mut response).await;
        let _ = self.asking.answer.send(response);
    }

    /// Records the end of a call, and names it in the answer. An answer that carries no tool call
    /// goes out when its record survives the end of this process.
    pub(super) async fn end(&mut self, ended: Ended, response: &mut Response<Body>) {
        let Some(open) = self.open.take() else { return };
        reply::name(
            response,
            &open.decision().to_string(),
            &open.run().to_string(),
        );
        // Where it could not be written down, the gap that follows counts it.
        let _ = self.finish(open, ended).await;
    }

    /// Records that the caller went away.
    pub(super) async fn gone(&mut self, ended: Ended) {
        if let Some(open) = self.open.take() {
            let _ = self.finish(open, ended).await;
        }
    }

    /// Why a call that is not given up ends early: a word for it, and more of them.
    pub(super) fn why_stopping(&self) -> (&'static str, &'static str) {
        match self.asking.inner.recorder.stopping().is_cancelled() {
            true => ("gateway_stopping", STOPPING),
            false => ("agent_held", HELD),
        }
    }

    /// Records that the call ends early, and tells the caller, who has heard nothing yet.
    pub(super) async fn stopping(&mut self, ended: Ended) {
        let (code, why) = self.why_stopping();
        let (status, again) = match code {
            "agent_held" => (StatusCode::FORBIDDEN, reply::Again::Never),
            _ => (StatusCode::SERVICE_UNAVAILABLE, reply::Again::After(1)),
        };
        let mut back = reply::error(self.asking.api, status, code, why, again);
        self.end(ended, &mut back).await;
        self.answer(back);
    }

    /// Records how the call ended, without the keys that it was made with.
    pub(super) async fn finish(
        &self,
        open: Open,
        mut ended: Ended,
    ) -> Result<Written, RecordError> {
        self.asking.keys.strike(&mut ended);
        open.finish(ended).await
    }
}

fn unreachable(error: &UpstreamError) -> Failed {
    let sent = !matches!(
        error,
        UpstreamError::Unreachable { unsent: true, .. } | UpstreamError::Address { .. }
    );
    let mut why = error.to_string();
    if let UpstreamError::Unreachable { reason, .. } = error {
        let hint = hint_for(reason);
        why.push_str(hint);
    }
    Failed::Unanswered {
        class: FailureClass::Unavailable,
        why,
        sent,
    }
}

/// What is said of an upstream that took the call and did not begin to answer: in time for the first
/// word of a stream, or at all.
fn unanswered(host: &str, first: bool) -> String {
    let limit = match first {
        true => "`timeouts.first_token_ms` is",
        false => "`timeouts.total_ms`, or the time that the caller waits, is",
    };
    format!("`{host}` did not begin to answer in time: it hangs, or {limit} too short for it")
}

/// What a person can do about an upstream that cannot be reached.
fn hint_for(reason: &str) -> &'static str {
    let reason = reason.to_ascii_lowercase();
    if reason.contains("certificate") || reason.contains("unknownissuer") {
        "; its certificate is not trusted: name its authority as `ca_file` of the upstream"
    } else if reason.contains("corrupt message") {
        "; it does not speak TLS there: should the upstream's `url` begin with `http://`?"
    } else if reason.contains("refused") {
        "; nothing listens there: check the upstream's `url`"
    } else if reason.contains("dns") || reason.contains("lookup") || reason.contains("name") {
        "; the name is not known: check the upstream's `url`"
    } else {
        ""
    }
}

/// The status for an error that came as a success.
pub(super) fn status_of(class: FailureClass) -> StatusCode {
    match class {
        FailureClass::RateLimit | FailureClass::Quota => StatusCode::TOO_MANY_REQUESTS,
        FailureClass::Overload => StatusCode::SERVICE_UNAVAILABLE,
        FailureClass::Authentication => StatusCode::UNAUTHORIZED,
        FailureClass::Denied => StatusCode::FORBIDDEN,
        FailureClass::NotFound => StatusCode::NOT_FOUND,
        FailureClass::Invalid
        | FailureClass::ContextOverflow
        | FailureClass::MalformedToolHistory
        | FailureClass::ContentFilter => StatusCode::BAD_REQUEST,
        _ => StatusCode::BAD_GATEWAY,
    }
}

pub(super) fn is_event_stream(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("text/event-stream")
}

/// Whether a body is not compressed, as it was asked to be.
pub(super) fn is_plain_text(encoding: Option<&str>) -> bool {
    encoding.is_none_or(|encoding| encoding.trim().eq_ignore_ascii_case("identity"))
}

/// The body with this upstream's word for the model, where it has one of its own.
fn model_for(upstream: &Upstream, body: &Bytes) -> Bytes {
    if upstream.models.is_empty() {
        return body.clone();
    }
    wire::llm::with_model(body, |model| upstream.models.get(model).cloned())
        .map_or_else(|| body.clone(), Bytes::from)
}

/// The time that timeouts count from.
pub(super) fn now() -> Instant {
    Instant::now()
}
