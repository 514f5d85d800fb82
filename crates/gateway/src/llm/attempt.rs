//! Tries: which upstream next, after what wait, and what the caller hears when none is left.

use std::time::Duration;

use bytes::Bytes;
use engine::live::{Ended, Open};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use model::{FailureClass, Outcome, Timestamp};
use tokio::time::{Instant, timeout_at};
use wire::failure::{Class, retry_after};
use wire::llm::{ProviderError, read_error};

use super::{Asking, kept};
use crate::upstream::{Upstream, UpstreamError};
use crate::{Body, headers, reply, retry};

/// The longest body of an error that is read, in bytes.
const ERROR_BYTES_MAX: usize = 1 << 20;

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
        let until = now() + asking.inner.options.timeouts.total;
        Self {
            asking,
            open,
            until,
            tried: 0,
        }
    }

    /// Tries until the caller has an answer.
    pub(super) async fn run(mut self) {
        let upstreams = self.upstreams();
        let mut next = upstreams.iter().cycle();
        let Some(mut upstream) = next.next() else {
            return;
        };
        loop {
            self.tried += 1;
            let failed = match self.try_at(upstream).await {
                Tried::Done => return,
                Tried::Failed(failed) => failed,
            };
            if !self.may_again(&failed) {
                return self.give_up(failed).await;
            }
            // Another upstream is not asked to wait for the first one's sake.
            if let Some(other) = next.next() {
                upstream = other;
            }
            if (self.tried as usize).is_multiple_of(upstreams.len()) {
                let Some(wait) = self.wait_for(&failed) else {
                    return self.give_up(failed).await;
                };
                tokio::select! {
                    () = self.asking.answer.closed() => return self.gone(Ended::with(Outcome::Cancelled)).await,
                    () = tokio::time::sleep(wait) => {}
                }
            }
            metrics::counter!("rescind_retries_total", "upstream" => self.asking.target.name.clone())
                .increment(1);
        }
    }

    fn upstreams(&self) -> Vec<Upstream> {
        let all = &self.asking.inner.options.upstreams;
        all.get(&self.asking.target.name)
            .cloned()
            .unwrap_or_default()
    }

    async fn try_at(&mut self, upstream: &Upstream) -> Tried {
        let asking = &mut self.asking;
        let first = now() + asking.inner.options.timeouts.first_token;
        let until = first.min(self.until);
        let body = model_for(upstream, &asking.body);
        let sending = asking.inner.client.send(
            upstream,
            &asking.method,
            &asking.target.rest,
            &asking.headers,
            body,
        );
        let response = tokio::select! {
            () = asking.answer.closed() => {
                self.gone(Ended::with(Outcome::Cancelled)).await;
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
                    why: format!("`{}` did not begin to answer in time", upstream.host()),
                    sent: true,
                });
            }
        };
        if response.status().is_client_error() || response.status().is_server_error() {
            return Tried::Failed(self.refused(response, until).await);
        }
        let streams = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kind| kind.starts_with("text/event-stream"));
        if streams && self.asking.target.api.is_some() {
            self.stream(response, until, upstream.host()).await
        } else {
            self.plain(response, upstream.host()).await
        }
    }

    /// Reads an error that the upstream answered with.
    async fn refused(&self, response: Response<Incoming>, until: Instant) -> Failed {
        let (parts, body) = response.into_parts();
        let body = timeout_at(until, Limited::new(body, ERROR_BYTES_MAX).collect()).await;
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
        Failed::Answered {
            response: Box::new(Response::from_parts(parts, body)),
            class,
            wait,
        }
    }

    /// Whether another try may help, is allowed, and is paid for.
    fn may_again(&self, failed: &Failed) -> bool {
        let inner = &self.asking.inner;
        let helps = match failed {
            Failed::Answered {
                response, class, ..
            } => {
                let told = response.headers().get(reply::SHOULD_RETRY);
                let told = told.and_then(|value| value.to_str().ok());
                class.should_retry(Some(response.status().as_u16()), told)
                    || class.should_cool_down() && self.upstreams().len() > 1
            }
            Failed::Unanswered { class, sent, .. } => {
                // A model that may be working on it is asked again only elsewhere than in time.
                !sent || *class == FailureClass::Unavailable
            }
        };
        helps
            && self.tried < inner.options.retry.attempts_max
            && now() < self.until
            && inner.budget.spend()
    }

    fn wait_for(&self, failed: &Failed) -> Option<Duration> {
        let asked = match failed {
            Failed::Answered { wait, .. } => *wait,
            Failed::Unanswered { .. } => None,
        };
        // The end of an id is random.
        let chance = self
            .open
            .as_ref()
            .map_or(128, |open| open.decision().as_bytes()[15]);
        let wait = retry::wait(&self.asking.inner.options.retry, self.tried, asked, chance)?;
        (now() + wait < self.until).then_some(wait)
    }

    /// Tells the caller that no try is left, and records it.
    async fn give_up(mut self, failed: Failed) {
        let api = self.asking.api;
        let (ended, mut response) = match failed {
            Failed::Answered {
                response, class, ..
            } => {
                let (parts, body) = response.into_parts();
                let text = String::from_utf8_lossy(&body);
                let ended = kept::refused(class.class, parts.status.as_u16(), &text);
                let mut back = Response::new(reply::whole(body));
                *back.status_mut() = parts.status;
                *back.headers_mut() = headers::back(&parts.headers);
                if self.tried > 1 || class.should_retry(Some(parts.status.as_u16()), None) {
                    // There is one owner of retries, and it has made them.
                    let no = HeaderValue::from_static("false");
                    back.headers_mut().insert(reply::SHOULD_RETRY, no);
                }
                (ended, back)
            }
            Failed::Unanswered { class, why, .. } => {
                let (status, code) = match class {
                    FailureClass::Timeout => (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout"),
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
        let _ = open.finish(ended).await;
    }

    /// Records that the caller went away.
    pub(super) async fn gone(&mut self, ended: Ended) {
        if let Some(open) = self.open.take() {
            let _ = open.finish(ended).await;
        }
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

/// What a person can do about an upstream that cannot be reached.
fn hint_for(reason: &str) -> &'static str {
    let reason = reason.to_ascii_lowercase();
    if reason.contains("certificate") || reason.contains("unknownissuer") {
        "; its certificate is not trusted: name its authority as `ca_file` of the upstream"
    } else if reason.contains("refused") {
        "; nothing listens there: check the upstream's `url`"
    } else if reason.contains("dns") || reason.contains("lookup") || reason.contains("name") {
        "; the name is not known: check the upstream's `url`"
    } else {
        ""
    }
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
