//! Servers at an address.

use std::sync::Arc;

use ::http::{HeaderMap, Method, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use model::Outcome;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};
use wire::mcp::http::is_stream;
use wire::sse::Block;

use crate::passing::{self, For, Next, Source, Untaken};
use crate::reply::Writer;
use crate::rpc::{self, Refusal};
use crate::upstream::{Endpoint, UpstreamError, with_query};
use crate::{Body, Inner, headers, reply};

use super::Origin;
use super::calls::Calls;

/// One request of a client on its way to the server.
pub(super) struct Exchange {
    pub(super) inner: Arc<Inner>,
    pub(super) endpoint: Endpoint,
    pub(super) origin: Origin,
    pub(super) method: Method,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) calls: Calls,
    /// The client: gone once this is closed.
    pub(super) answer: oneshot::Sender<Response<Body>>,
    /// Until when an answer is awaited, once the calls are called off.
    pub(super) called_off: Option<Instant>,
}

/// What came of waiting.
enum Waited<T> {
    Came(T),
    /// The client went away, and has thereby cancelled what it asked for.
    Gone,
    Late,
    /// The gateway stops, and this is nothing that has an end of its own.
    Stop,
    /// This process stops, and waits no longer.
    Stopping,
    /// A rollback holds the agent, and no answer came since.
    CalledOff,
}

impl Exchange {
    /// Sends it, and passes back what comes.
    pub(super) async fn run(mut self) {
        let until = now() + self.inner.options.timeouts.total;
        let Some(uri) = with_query(&self.endpoint.url, self.query.as_deref()) else {
            let host = self.endpoint.host().to_owned();
            let rest = self.query.clone().unwrap_or_default();
            return self.unreached(&UpstreamError::Address { host, rest }).await;
        };
        let (inner, endpoint) = (Arc::clone(&self.inner), self.endpoint.clone());
        let (method, headers) = (self.method.clone(), self.headers.clone());
        let sending = inner
            .client
            .call(&endpoint, &method, uri, &headers, self.body.clone());
        let response = match self.wait(sending, until).await {
            Waited::Came(Ok(response)) => response,
            Waited::Came(Err(error)) => return self.unreached(&error).await,
            Waited::Gone | Waited::Stop => return self.gone().await,
            Waited::Late => return self.late().await,
            Waited::Stopping => return self.refuse(&passing::stopping(), &Outcome::Unknown).await,
            Waited::CalledOff => {
                return self.refuse(&passing::called_off(), &Outcome::Unknown).await;
            }
        };
        let (status, host) = (response.status(), self.endpoint.host());
        if let Err(refusal) = rpc::passable(status, response.headers(), host) {
            // The server ran what it was asked, or it did not.
            return self.refuse(&refusal, &Outcome::Unknown).await;
        }
        if is_stream(rpc::kind_of(response.headers())) {
            self.stream(response, until).await;
        } else {
            self.plain(response, until).await;
        }
    }

    /// Waits for something of the server.
    async fn wait<T>(&mut self, coming: impl Future<Output = T>, until: Instant) -> Waited<T> {
        let stateless = self.origin.is_stateless();
        let unasked = self.method != Method::POST;
        let listens = self.calls.listens() || unasked;
        let stop = self.inner.stop.clone();
        let stopping = self.inner.recorder.stopping().clone();
        let off = self.calls.called_off();
        tokio::pin!(coming);
        loop {
            let gone = self.answer.is_closed();
            let told = self.called_off;
            let called_off = async {
                match &off {
                    Some(off) => off.cancelled().await,
                    None => std::future::pending().await,
                }
            };
            let until = told.map_or(until, |told| told.min(until));
            tokio::select! {
                came = &mut coming => return Waited::Came(came),
                () = self.answer.closed(), if stateless || unasked => return Waited::Gone,
                () = stop.cancelled(), if listens => return Waited::Stop,
                // What nobody is told of may still be heard, as long as the stop has patience.
                () = stopping.cancelled(), if !gone => return Waited::Stopping,
                () = sleep_until(until), if !listens => return match told {
                    Some(_) => Waited::CalledOff,
                    None => Waited::Late,
                },
                () = called_off, if told.is_none() && !stopping.is_cancelled() => {
                    if !self.call_off() {
                        return Waited::CalledOff;
                    }
                }
            }
        }
    }

    /// Tells the server that nobody waits any more. Whether it may answer all the same: in later
    /// revisions a connection that ends has said so.
    fn call_off(&mut self) -> bool {
        if self.origin.is_stateless() {
            return false;
        }
        let within = now() + self.inner.options.timeouts.cancelled;
        self.called_off = Some(within);
        for body in self.calls.cancellations() {
            let (inner, endpoint) = (Arc::clone(&self.inner), self.endpoint.clone());
            let headers = self.headers.clone();
            self.inner.recorder.tasks().spawn(async move {
                let (url, body) = (endpoint.url.clone(), Bytes::from(body));
                let telling = inner
                    .client
                    .call(&endpoint, &Method::POST, url, &headers, body);
                // Whether it was heard shows in the answer that comes, or does not.
                let _ = tokio::time::timeout_at(within, telling).await;
            });
        }
        true
    }

    /// Passes back an answer in one piece.
    async fn plain(mut self, response: Response<Incoming>, until: Instant) {
        let (parts, body) = response.into_parts();
        let max = self.inner.options.limits.body_bytes_max;
        let reading = Limited::new(body, max).collect();
        let body = match self.wait(reading, until).await {
            Waited::Came(Ok(body)) => body.to_bytes(),
            Waited::Came(Err(error)) => {
                let host = self.endpoint.host();
                let message = if error.is::<LengthLimitError>() {
                    format!("the answer has more than {max} bytes (`limits.body_bytes_max`)")
                } else {
                    format!("the answer of `{host}` broke off: {error}")
                };
                let refusal = Refusal::new("answer_broken", message);
                return self.refuse(&refusal, &Outcome::Unknown).await;
            }
            Waited::Gone | Waited::Stop => return self.gone().await,
            Waited::Late => return self.late().await,
            Waited::Stopping => return self.refuse(&passing::stopping(), &Outcome::Unknown).await,
            Waited::CalledOff => {
                return self.refuse(&passing::called_off(), &Outcome::Unknown).await;
            }
        };
        let mut back = Response::new(reply::whole(body.clone()));
        *back.status_mut() = parts.status;
        *back.headers_mut() = headers::back(&parts.headers);
        self.calls.name(&mut back);
        let named = back.headers().clone();
        let heard = match std::str::from_utf8(&body) {
            Ok(text) => self.calls.hear(text, false).await,
            Err(_) => Ok(()),
        };
        self.calls.answered_by(parts.status, &body).await;
        if let Err((_, refusal)) = heard {
            back = self.calls.refuse(&refusal);
            for name in [crate::caller::DECISION, crate::caller::RUN] {
                if let Some(value) = named.get(name) {
                    back.headers_mut().insert(name, value.clone());
                }
            }
        }
        let _ = self.answer.send(back);
    }

    /// Passes back a stream, event by event.
    async fn stream(mut self, response: Response<Incoming>, until: Instant) {
        let host = self.endpoint.host().to_owned();
        let (mut source, writer, mut back) = Source::open(&self.inner, &host, response);
        self.calls.name(&mut back);
        // Who is gone already is noticed when the first piece goes out.
        let (unused, _) = oneshot::channel();
        let _ = std::mem::replace(&mut self.answer, unused).send(back);
        let listens = self.calls.listens() || self.method != Method::POST;
        let waits = if listens {
            For::Listening
        } else {
            For::Answer(until)
        };
        source.watch(self.calls.called_off());
        let mut client = Some(writer);
        let why = loop {
            let waits = match (waits, self.called_off) {
                (For::Answer(until), Some(told)) => For::Answer(told.min(until)),
                (waits, _) => waits,
            };
            let block = match source.next(client.as_ref(), waits).await {
                Next::Block(block) => block,
                Next::Over(why) => break why.map(|why| Refusal::new("stream_truncated", why)),
                Next::Late if self.called_off.is_some() => break Some(passing::called_off()),
                Next::Late => break Some(Refusal::new("upstream_timeout", late(&host))),
                Next::CalledOff if self.call_off() => continue,
                Next::CalledOff => break Some(passing::called_off()),
                Next::Stopping => break Some(passing::stopping()),
                Next::Ended => {
                    if let Some(client) = client {
                        passing::end(client, Vec::new(), now()).await;
                    }
                    return;
                }
                Next::Gone if self.drops_with_client() => return self.gone().await,
                Next::Gone => {
                    client = None;
                    continue;
                }
            };
            let piece = self.pass(block).await;
            let Some(to) = &client else { continue };
            let within = if listens { self.limit() } else { until };
            match passing::send(to, piece, within).await {
                Ok(()) => {}
                Err(Untaken::Slow) => break Some(passing::too_slow()),
                Err(Untaken::Gone) if self.drops_with_client() => return self.gone().await,
                Err(Untaken::Gone) => client = None,
            }
        };
        self.end(why, client, source.rest()).await;
    }

    /// Until when something that begins now may take.
    fn limit(&self) -> Instant {
        now() + self.inner.options.timeouts.total
    }

    /// Whether nobody reads on for a client that went away: it cancelled by that, or takes the
    /// stream up again, or waits for nothing that is recorded.
    fn drops_with_client(&self) -> bool {
        self.origin.is_stateless()
            || self.method != Method::POST
            || self.calls.is_resumable()
            || self.calls.is_complete()
    }

    /// Looks at one event. Returns what goes out in its place.
    async fn pass(&mut self, block: Block) -> Bytes {
        let Some(data) = &block.data else {
            return block.raw.into();
        };
        match self.calls.hear(data, block.id.is_some()).await {
            Ok(()) => block.raw.into(),
            Err((ids, refusal)) => {
                let events: Vec<_> = ids.iter().map(|id| refusal.event(Some(id))).collect();
                events.concat().into()
            }
        }
    }

    /// The stream is over; `why` says so if it broke off.
    async fn end(mut self, why: Option<Refusal>, client: Option<Writer>, rest: &[u8]) {
        let broke = why.is_some();
        let last = if self.method != Method::POST || self.calls.is_complete() {
            rest.to_vec()
        } else if self.calls.is_resumable() && self.called_off.is_none() {
            self.calls.park();
            Vec::new()
        } else {
            let refusal = why.unwrap_or_else(|| {
                let message = format!(
                    "the stream of `{}` ended before it answered; whether the call was carried \
                     out is not known",
                    self.endpoint.host()
                );
                Refusal::new("stream_truncated", message)
            });
            let open = self.calls.failed(&Outcome::Unknown, &refusal).await;
            let events: Vec<_> = open.iter().map(|id| refusal.event(Some(id))).collect();
            events.concat()
        };
        // What broke off with nothing to tell it breaks off for the client too.
        if let Some(client) = client
            && !(broke && last.is_empty())
        {
            passing::end(client, last, now()).await;
        }
    }

    async fn unreached(self, error: &UpstreamError) {
        let (refusal, outcome) = rpc::unreached(error);
        self.refuse(&refusal, &outcome).await;
    }

    async fn late(self) {
        let refusal = Refusal::new("upstream_timeout", late(self.endpoint.host()));
        self.refuse(&refusal, &Outcome::Unknown).await;
    }

    /// Answers in place of the server, which did not.
    async fn refuse(mut self, refusal: &Refusal, outcome: &Outcome) {
        let mut back = self.calls.refuse(refusal);
        self.calls.name(&mut back);
        self.calls.failed(outcome, refusal).await;
        let _ = self.answer.send(back);
    }

    /// The client is gone, and the call at the server ends with its connection.
    async fn gone(mut self) {
        if self.calls.is_resumable() {
            return self.calls.park();
        }
        let why = "the client went away before the answer; whether the call was carried out is \
                   not known";
        self.calls.unanswered(&Outcome::Unknown, why).await;
    }
}

fn late(host: &str) -> String {
    format!(
        "`{host}` did not answer in time (`timeouts.total_ms`); whether the call was carried out \
         is not known"
    )
}

fn now() -> Instant {
    Instant::now()
}
