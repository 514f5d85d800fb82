//! One request on its way to an agent, and what comes back.

use std::sync::Arc;

use bytes::Bytes;
use engine::live::{Open, RecordError};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method as Verb, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use model::{Cause, FailureClass, Outcome};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::a2a::{End, Event, Method, Step, TaskStream, Version, read_event, rewrite_card_answer};
use wire::jsonrpc::{Id, result_in, result_reply};
use wire::mcp::http::is_stream;
use wire::sse::Block;

use crate::passing::{self, For, Next, Source};
use crate::rpc::{self, Refusal};
use crate::upstream::{Endpoint, with_query};
use crate::{Body, Inner, caller, headers, reply};

use super::card;
use super::shared::Waiting;
use super::stop::{Way, has_ended};
use super::told::Told;
use super::waits::{Waited, Waits};

/// One request of a caller on its way to the agent.
pub(super) struct Exchange {
    pub(super) inner: Arc<Inner>,
    pub(super) agent: String,
    pub(super) endpoint: Endpoint,
    /// Our own address for the agent.
    pub(super) own: String,
    pub(super) version: Option<String>,
    pub(super) query: Option<String>,
    /// What is asked for, where it is known.
    pub(super) method: Option<Method>,
    pub(super) id: Option<Id<'static>>,
    pub(super) tenant: Option<String>,
    pub(super) headers: Arc<HeaderMap>,
    pub(super) body: Bytes,
    /// The record of a message.
    pub(super) open: Option<Open>,
    pub(super) causes: Vec<Cause>,
    /// The caller: gone once this is closed.
    pub(super) answer: oneshot::Sender<Response<Body>>,
    pub(super) waits: Waits,
}

impl Exchange {
    /// Sends it, and passes back what comes.
    pub(super) async fn run(mut self) {
        let until = now() + self.inner.options.timeouts.total;
        let gone = self.answer.is_closed();
        let version = self.version.as_deref();
        let (agent, endpoint, headers) = (&self.agent, &self.endpoint, &self.headers);
        let found = card::interface(&self.inner, agent, endpoint, headers, version, &self.own);
        let uri = match self.waits.wait(gone, found, until).await {
            Waited::Came(Ok(uri)) => {
                let query = self.query.as_deref();
                with_query(&uri, query).unwrap_or(uri)
            }
            // Nothing was sent yet.
            Waited::Came(Err(refusal)) => return self.refuse(&refusal, &unsent()).await,
            Waited::Late => return self.late(&unsent()).await,
            Waited::Stopping => return self.refuse(&passing::stopping(), &unsent()).await,
            Waited::CalledOff | Waited::Stopped(_) => {
                let message = "the message was not sent, because its agent is quarantined";
                let refusal = Refusal::new("agent_held", message);
                return self.refuse(&refusal, &Outcome::Cancelled).await;
            }
        };
        self.waits.sends(Way {
            inner: Arc::clone(&self.inner),
            endpoint: self.endpoint.clone(),
            uri: uri.clone(),
            headers: Arc::clone(&self.headers),
            version: version.and_then(Version::parse).unwrap_or(Version::V0_3),
            tenant: self.tenant.clone(),
        });
        let (client, endpoint, body) = (&self.inner.client, &self.endpoint, self.body.clone());
        let sending = client.call(endpoint, &Verb::POST, uri, &self.headers, body);
        let response = match self.waits.wait(gone, sending, until).await {
            Waited::Came(Ok(response)) => response,
            Waited::Came(Err(error)) => {
                let (refusal, outcome) = rpc::unreached(&error);
                return self.refuse(&refusal, &outcome).await;
            }
            Waited::Late => return self.late(&Outcome::Unknown).await,
            Waited::Stopping => return self.stopping().await,
            Waited::CalledOff => return self.called_off().await,
            Waited::Stopped(answer) => return self.stopped(answer).await,
        };
        let (status, host) = (response.status(), self.endpoint.host());
        if let Err(refusal) = rpc::passable(status, response.headers(), host) {
            return self.refuse(&refusal, &Outcome::Unknown).await;
        }
        if is_stream(rpc::kind_of(response.headers())) {
            self.stream(response).await;
        } else {
            self.plain(response, until).await;
        }
    }

    /// Passes back an answer in one piece.
    async fn plain(mut self, response: Response<Incoming>, until: Instant) {
        let (parts, body) = response.into_parts();
        let max = self.inner.options.limits.body_bytes_max;
        let reading = Limited::new(body, max).collect();
        let gone = self.answer.is_closed();
        let body = match self.waits.wait(gone, reading, until).await {
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
            Waited::Late => return self.late(&Outcome::Unknown).await,
            Waited::Stopping => return self.stopping().await,
            Waited::CalledOff => return self.called_off().await,
            Waited::Stopped(answer) => return self.stopped(answer).await,
        };
        let mut passed = body.clone();
        if self.method == Some(Method::ExtendedCard) {
            match rewrite_card_answer(&body, &self.own) {
                Ok(Some(card)) => passed = card.card.into(),
                Ok(None) => {}
                Err(error) => {
                    return self.refuse(&card::unfit(&error), &Outcome::Unknown).await;
                }
            }
        }
        let mut back = Response::new(reply::whole(passed));
        *back.status_mut() = parts.status;
        *back.headers_mut() = headers::back(&parts.headers);
        back.headers_mut().remove(CONTENT_LENGTH);
        self.answered(back, &body).await;
    }

    /// Records what was answered in one piece, then passes it back.
    async fn answered(mut self, mut back: Response<Body>, body: &[u8]) {
        self.name(&mut back);
        let text = std::str::from_utf8(body).unwrap_or_default();
        let recorded = match read_event(text) {
            Ok(event) if !matches!(event, Event::Other) => {
                let mut told = Told::default();
                told.take(text, &event, self.inner.options.limits.body_bytes_max);
                let mut state = TaskStream::new();
                state.push(&event);
                self.stands(&told, state.end()).await
            }
            // Nothing that says how it went: the status is all there is.
            _ => {
                if let Some(open) = self.open.take() {
                    let _ = open.finish(rpc::answered_by(back.status(), body)).await;
                }
                Ok(())
            }
        };
        if let Err(error) = recorded {
            let mut refused = self.refusal(&Refusal::withheld(&error));
            for name in [caller::DECISION, caller::RUN] {
                if let Some(value) = back.headers().get(name) {
                    refused.headers_mut().insert(name, value.clone());
                }
            }
            back = refused;
        }
        let _ = self.answer.send(back);
    }

    /// Passes back how the task ended that was asked to stop, in place of what was waited for.
    async fn stopped(self, answer: String) {
        let body = self.renamed(&answer);
        let back = rpc::answer(StatusCode::OK, body);
        self.answered(back, answer.as_bytes()).await;
    }

    /// An answer to a request of ours, as one to the caller's.
    fn renamed(&self, answer: &str) -> Vec<u8> {
        match (&self.id, result_in(answer)) {
            (Some(id), Some(result)) => result_reply(id, result),
            // Nobody waits for a reply.
            _ => Vec::new(),
        }
    }

    /// Passes back a stream, event by event, with one end.
    async fn stream(mut self, response: Response<Incoming>) {
        let host = self.endpoint.host().to_owned();
        let (mut source, writer, mut back) = Source::open(&self.inner, &host, response);
        self.name(&mut back);
        let (unused, _) = oneshot::channel();
        let _ = std::mem::replace(&mut self.answer, unused).send(back);
        let (mut state, mut told) = (TaskStream::new(), Told::default());
        source.watch(self.waits.called_off().cloned());
        let why = loop {
            // Agents may think for long: what is limited is the silence, not the stream.
            let until = self.waits.until(self.limit());
            let next = tokio::select! {
                next = source.next(Some(&writer), For::Answer(until)) => next,
                answer = self.waits.heard() => {
                    let mut data = b"data: ".to_vec();
                    data.extend(self.renamed(&answer));
                    data.extend_from_slice(b"\n\n");
                    Next::Block(Block {
                        data: Some(answer),
                        raw: data,
                        ..Block::default()
                    })
                }
            };
            let block = match next {
                Next::Block(block) => block,
                Next::Over(why) => break why.map(|why| Refusal::new("stream_truncated", why)),
                Next::Late if self.waits.is_off() => {
                    let last = self
                        .cut_short(&passing::called_off(), &told, state.end())
                        .await;
                    return passing::end(writer, last, now()).await;
                }
                Next::Late => break Some(late(&self.endpoint)),
                Next::Gone => return self.gone(&told, state.end()).await,
                Next::CalledOff => {
                    self.waits.call_off(told.task.as_ref());
                    continue;
                }
                Next::Ended | Next::Stopping => {
                    let refusal = passing::stopping();
                    let last = self.cut_short(&refusal, &told, state.end()).await;
                    return passing::end(writer, last, now()).await;
                }
            };
            let ends = self.waits.asked_to_stop() && block.data.as_deref().is_some_and(has_ended);
            if let Some(piece) = self.pass(block, &mut state, &mut told).await
                && passing::send(&writer, piece, self.limit()).await.is_err()
            {
                // The agent goes on, whether nobody is there or nobody listens.
                return self.gone(&told, state.end()).await;
            }
            if ends && state.has_ended() {
                break None;
            }
            if self.waits.is_off() {
                self.waits.call_off(told.task.as_ref());
            }
        };
        let last = self.end(why, &told, state.end(), source.rest()).await;
        passing::end(writer, last, now()).await;
    }

    /// Until when something that begins now may take.
    fn limit(&self) -> Instant {
        now() + self.inner.options.timeouts.total
    }

    /// This process stops. Returns what goes out last.
    async fn cut_short(&mut self, refusal: &Refusal, told: &Told, end: End) -> Vec<u8> {
        match end {
            End::Terminal(_) | End::Answered | End::Refused(_) => Vec::new(),
            End::Paused(_) | End::Truncated(_) => {
                if let Some(open) = self.open.take() {
                    let causes = std::mem::take(&mut self.causes);
                    let _ = open.finish(told.ended(BROKE_OFF, causes)).await;
                }
                refusal.event(self.id.as_ref())
            }
        }
    }

    /// Looks at one event. Returns what goes out in its place, if anything does.
    async fn pass(
        &mut self,
        block: Block,
        state: &mut TaskStream,
        told: &mut Told,
    ) -> Option<Bytes> {
        let data = block.data.as_deref().unwrap_or_default();
        // What is no message passes as it came, and says nothing.
        let Ok(event) = read_event(data) else {
            return Some(block.raw.into());
        };
        match state.push(&event) {
            // One end is passed on, and what comes after it is not.
            Step::Repeated(_) | Step::Contradicted | Step::Foreign => {
                metrics::counter!("rescind_a2a_events_dropped_total").increment(1);
                None
            }
            Step::Going | Step::Paused(_) => {
                told.take(data, &event, self.inner.options.limits.body_bytes_max);
                self.learn(told);
                Some(block.raw.into())
            }
            Step::Terminal(_) | Step::Answered | Step::Refused => {
                told.take(data, &event, self.inner.options.limits.body_bytes_max);
                match self.stands(told, state.end()).await {
                    Ok(()) => Some(block.raw.into()),
                    Err(error) => {
                        let refusal = Refusal::withheld(&error);
                        Some(refusal.event(self.id.as_ref()).into())
                    }
                }
            }
        }
    }

    /// The stream is over; `why` says so if it broke off. Returns what goes out last.
    async fn end(&mut self, why: Option<Refusal>, told: &Told, end: End, rest: &[u8]) -> Vec<u8> {
        match end {
            End::Terminal(_) | End::Answered | End::Refused(_) => rest.to_vec(),
            End::Paused(_) if why.is_none() => {
                // The pause itself changes nothing that the caller may not see without a record.
                let _ = self.stands(told, end).await;
                rest.to_vec()
            }
            End::Paused(_) | End::Truncated(_) => {
                let why = why.unwrap_or_else(|| {
                    let host = self.endpoint.host();
                    let message = format!("the stream of `{host}` ended before the task did");
                    Refusal::new("stream_truncated", message)
                });
                self.park(told).await;
                why.event(self.id.as_ref())
            }
        }
    }

    /// Records how a message stands by what its agent answered: that it ended, or that it goes on.
    async fn stands(&mut self, told: &Told, end: End) -> Result<(), RecordError> {
        self.learn(told);
        let goes_on = match end {
            End::Truncated(Some(_)) => true,
            // The agent waits for another message: this one has its answer.
            End::Paused(state) => !state.is_interrupted(),
            End::Terminal(_) | End::Answered | End::Refused(_) | End::Truncated(None) => false,
        };
        if goes_on {
            self.park(told).await;
            return Ok(());
        }
        let mut ended = Vec::new();
        if let Some(open) = self.open.take() {
            let causes = std::mem::take(&mut self.causes);
            ended.push((open, told.ended(end, causes)));
        }
        // An earlier message may have waited for the end of this task; an error says nothing of
        // it.
        if let (End::Terminal(_), Some(task)) = (end, &told.task) {
            let key = (self.agent.clone(), task.clone());
            let waited = self.inner.a2a.parked.take(&key);
            for Waiting { open, causes, .. } in waited {
                ended.push((open, told.ended(end, causes)));
            }
        }
        for (open, ended) in ended {
            open.finish(ended).await?.durable().await?;
        }
        Ok(())
    }

    /// Waits for another answer to tell how the task ended.
    async fn park(&mut self, told: &Told) {
        let Some(open) = self.open.take() else { return };
        let causes = std::mem::take(&mut self.causes);
        let task = told.task.as_ref().or(self.waits.task());
        let (Some(task), Some(way)) = (task, self.waits.way()) else {
            let _ = open.finish(told.ended(BROKE_OFF, causes)).await;
            return;
        };
        let (task, over) = ((self.agent.clone(), task.clone()), CancellationToken::new());
        let called_off = open.called_off().clone();
        let watching = way.clone().watch(task.clone(), called_off, over.clone());
        let waiting = Waiting {
            open,
            causes,
            _watched: over.drop_guard(),
        };
        self.inner.a2a.parked.put(task, waiting);
        self.inner.recorder.tasks().spawn(watching);
    }

    /// The caller is gone; the agent goes on.
    async fn gone(mut self, told: &Told, end: End) {
        match end {
            End::Truncated(_) | End::Paused(_) => self.park(told).await,
            // It was recorded before it went out.
            End::Terminal(_) | End::Answered | End::Refused(_) => {}
        }
    }

    fn learn(&self, told: &Told) {
        if let Some(open) = &self.open {
            let names = (told.task.as_deref(), told.context.as_deref());
            let known = (open.decision(), open.run());
            self.inner.a2a.learn(&self.agent, names, known);
        }
    }

    /// Says in an answer which decision the message is.
    fn name(&self, response: &mut Response<Body>) {
        if let Some(open) = &self.open {
            let (decision, run) = (open.decision().to_string(), open.run().to_string());
            reply::name(response, &decision, &run);
        }
    }

    fn refusal(&self, refusal: &Refusal) -> Response<Body> {
        refusal.answer(self.id.as_slice(), false)
    }

    async fn stopping(self) {
        self.refuse(&passing::stopping(), &Outcome::Unknown).await;
    }

    async fn called_off(self) {
        self.refuse(&passing::called_off(), &Outcome::Unknown).await;
    }

    async fn late(self, outcome: &Outcome) {
        let refusal = late(&self.endpoint);
        self.refuse(&refusal, outcome).await;
    }

    /// Answers in place of the agent, which did not.
    async fn refuse(mut self, refusal: &Refusal, outcome: &Outcome) {
        let mut back = self.refusal(refusal);
        self.name(&mut back);
        if let Some(mut open) = self.open.take() {
            if refusal.blames() {
                open.blame();
            }
            let ended = rpc::unanswered(outcome.clone(), &refusal.message);
            let _ = open.finish(ended).await;
        }
        let _ = self.answer.send(back);
    }
}

/// How a message stands of which no more is heard.
const BROKE_OFF: End = End::Truncated(None);

const fn unsent() -> Outcome {
    Outcome::Failed {
        class: FailureClass::Unavailable,
    }
}

fn late(endpoint: &Endpoint) -> Refusal {
    let message = format!(
        "`{}` said nothing in time (`timeouts.total_ms`)",
        endpoint.host()
    );
    Refusal::new("upstream_timeout", message)
}

fn now() -> Instant {
    Instant::now()
}
