//! Servers that are programs of ours, spoken to as if they were at an address.
//!
//! `initialize` starts a program of its own for the session; DELETE, idleness and too many others
//! end it. Requests of stateless revisions share programs. When a program ends, its session is over:
//! a client that comes again is told so with 404, and begins another.

use std::sync::Arc;

use ::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use ::http::{Method, Response, StatusCode};
use bytes::Bytes;
use model::{FailureClass, Outcome};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use wire::jsonrpc::{Id, error_reply};
use wire::mcp::http::SESSION_ID;

use crate::passing::{self, Untaken};
use crate::reply::Writer;
use crate::rpc::{self, Refusal};
use crate::{Body, Inner, reply};

use super::Origin;
use super::calls::{Calls, cancellation};
use super::child::{Child, Program};
use super::edge;
use super::tasks::Way;

/// The code with which servers say that there is no such session.
const NO_SESSION: i64 = -32001;

/// One request of a client on its way to a program.
pub(super) struct Exchange {
    pub(super) inner: Arc<Inner>,
    pub(super) program: Program,
    pub(super) origin: Origin,
    pub(super) method: Method,
    pub(super) body: Bytes,
    pub(super) calls: Calls,
    /// Whether it begins a session.
    pub(super) initializes: bool,
    /// Tokens under which it wants to be told of progress.
    pub(super) tokens: Vec<Id<'static>>,
    /// The client: gone once this is closed.
    pub(super) answer: oneshot::Sender<Response<Body>>,
}

impl Exchange {
    pub(super) async fn run(self) {
        match self.method {
            Method::GET => self.listen().await,
            Method::DELETE => self.end_session(),
            _ => self.post().await,
        }
    }

    async fn post(mut self) {
        let child = match self.child().await {
            Ok(Some(child)) => child,
            Ok(None) => return self.no_session().await,
            Err(refusal) => {
                let unavailable = Outcome::Failed {
                    class: FailureClass::Unavailable,
                };
                return self.refuse(&refusal, &unavailable).await;
            }
        };
        self.calls.go_by(Way::Program(Arc::clone(&child)));
        let ids = self.calls.ids().to_vec();
        if ids.is_empty() {
            if !child.tell(&self.body).await {
                return self.no_session().await;
            }
            self.calls.answered_by(StatusCode::ACCEPTED, b"").await;
            let mut back = Response::new(reply::whole(Bytes::new()));
            *back.status_mut() = StatusCode::ACCEPTED;
            self.calls.name(&mut back);
            let _ = self.answer.send(back);
            return;
        }
        let tokens = std::mem::take(&mut self.tokens);
        let Some((number, lines)) = child.ask(ids, tokens, &self.body).await else {
            return self.ended(&child).await;
        };
        self.replies(&child, number, lines).await;
    }

    /// Finds the program that is asked, or starts one.
    async fn child(&self) -> Result<Option<Arc<Child>>, Refusal> {
        let (inner, server) = (&*self.inner, &*self.origin.server);
        let children = inner.mcp.children();
        if let (Some(session), false) = (&self.origin.session, self.origin.is_stateless()) {
            return Ok(children.find(server, &self.program, session));
        }
        if self.initializes {
            let begun = children.begin(inner, server, &self.program).await?;
            return Ok(Some(begun));
        }
        if self.origin.is_stateless() {
            let (ids, tokens) = (self.calls.ids(), &self.tokens);
            let shared = children.shared(inner, server, &self.program, ids, tokens);
            return shared.await.map(Some);
        }
        Ok(None)
    }

    /// Passes back what the program says until everything is answered.
    async fn replies(mut self, child: &Arc<Child>, number: u64, mut lines: mpsc::Receiver<String>) {
        let mut until = Instant::now() + self.inner.options.timeouts.total;
        let mut off = self.calls.called_off();
        let mut is_off = false;
        let listens = self.calls.listens();
        let stateless = self.origin.is_stateless();
        let mut client: Option<Writer> = None;
        let stopping = self.inner.recorder.stopping().clone();
        loop {
            let is_gone = match &client {
                Some(client) => client.is_gone(),
                None => self.answer.is_closed(),
            };
            let gone = async {
                match &client {
                    Some(client) => client.gone().await,
                    None => self.answer.closed().await,
                }
            };
            let called_off = async {
                match &off {
                    Some(off) => off.cancelled().await,
                    None => std::future::pending().await,
                }
            };
            let line = tokio::select! {
                line = lines.recv() => line,
                () = called_off, if !stopping.is_cancelled() => {
                    (off, is_off) = (None, true);
                    self.cancel(child).await;
                    // It may answer all the same.
                    until = until.min(Instant::now() + self.inner.options.timeouts.cancelled);
                    continue;
                }
                () = sleep_until(until), if is_off => {
                    child.forget(number);
                    return self.broken(client, &passing::called_off()).await;
                }
                () = gone, if stateless => {
                    child.forget(number);
                    self.cancel(child).await;
                    let why = "the client went away before the answer";
                    self.calls.unanswered(&Outcome::Unknown, why).await;
                    return;
                }
                () = self.inner.stop.cancelled(), if listens => {
                    child.forget(number);
                    if let Some(client) = client {
                        passing::end(client, Vec::new(), until).await;
                    }
                    return;
                }
                // What nobody is told of may still be heard, as long as the stop has patience.
                () = stopping.cancelled(), if !is_gone => {
                    child.forget(number);
                    return self.broken(client, &passing::stopping()).await;
                }
                () = sleep_until(until), if !listens && !is_off => {
                    child.forget(number);
                    self.cancel(child).await;
                    let why = "the program did not answer in time (`timeouts.total_ms`); whether \
                               the call was carried out is not known";
                    return self.broken(client, &Refusal::new("upstream_timeout", why)).await;
                }
            };
            let Some(line) = line else {
                let refusal = match child.ended() {
                    Some(how) => Refusal::new(
                        "program_ended",
                        format!(
                            "{how} before it answered; whether the call was carried out is not \
                             known"
                        ),
                    ),
                    None => passing::too_slow(),
                };
                return self.broken(client, &refusal).await;
            };
            let heard = self.calls.hear(&line, false).await;
            let complete = self.calls.is_complete() && !listens;
            // What comes whole with the first line goes back in one piece.
            if client.is_none() && complete {
                let back = match heard {
                    Ok(()) if stateless => rpc::answer(edge::status_of(&line), line.into_bytes()),
                    Ok(()) => rpc::answer(StatusCode::OK, line.into_bytes()),
                    Err((_, refusal)) => self.calls.refuse(&refusal),
                };
                return self.send(back, child);
            }
            let piece = match heard {
                Ok(()) => event(&line),
                Err((ids, refusal)) => {
                    let events = ids.iter().map(|id| refusal.event(Some(id)));
                    events.collect::<Vec<_>>().concat()
                }
            };
            let to = match &client {
                Some(to) => to,
                None => client.insert(self.begin_stream(child)),
            };
            let within = if listens {
                Instant::now() + self.inner.options.timeouts.total
            } else {
                until
            };
            match passing::send(to, piece.into(), within).await {
                // A client that went away cancelled nothing: what comes is recorded all the same.
                Ok(()) | Err(Untaken::Gone) => {}
                Err(Untaken::Slow) => {
                    child.forget(number);
                    return self.broken(client, &passing::too_slow()).await;
                }
            }
            if complete {
                if let Some(client) = client {
                    passing::end(client, Vec::new(), until).await;
                }
                return;
            }
        }
    }

    fn begin_stream(&mut self, child: &Child) -> Writer {
        let (sender, pieces) = reply::written();
        let mut back = Response::new(pieces);
        as_stream(&mut back);
        self.head(&mut back, child);
        let (unused, _) = oneshot::channel();
        let _ = std::mem::replace(&mut self.answer, unused).send(back);
        sender
    }

    fn send(self, mut back: Response<Body>, child: &Child) {
        self.head(&mut back, child);
        let _ = self.answer.send(back);
    }

    fn head(&self, back: &mut Response<Body>, child: &Child) {
        self.calls.name(back);
        if self.initializes
            && let Ok(session) = HeaderValue::from_str(&child.session)
        {
            back.headers_mut().insert(SESSION_ID, session);
        }
    }

    /// Tells the program that nobody waits any more.
    async fn cancel(&self, child: &Child) {
        for id in self.calls.ids() {
            child.tell(cancellation(id).as_bytes()).await;
        }
    }

    /// No answer comes any more.
    async fn broken(mut self, client: Option<Writer>, refusal: &Refusal) {
        let Some(client) = client else {
            return self.refuse(refusal, &Outcome::Unknown).await;
        };
        let open = self.calls.failed(&Outcome::Unknown, refusal).await;
        let events: Vec<_> = open.iter().map(|id| refusal.event(Some(id))).collect();
        // A stream that only listened has nothing to tell, and breaks off.
        if !events.is_empty() {
            passing::end(client, events.concat(), Instant::now()).await;
        }
    }

    /// The program ended before it was asked.
    async fn ended(self, child: &Child) {
        let how = child
            .ended()
            .unwrap_or_else(|| "the program ended".to_owned());
        // It was in line, so it may have been read.
        let refusal = Refusal::new("program_ended", how);
        self.refuse(&refusal, &Outcome::Unknown).await;
    }

    async fn no_session(mut self) {
        let (status, message) = match &self.origin.session {
            Some(_) => (StatusCode::NOT_FOUND, "there is no such session (any more)"),
            None => (
                StatusCode::BAD_REQUEST,
                "a session begins with `initialize`; name it as `mcp-session-id` afterwards",
            ),
        };
        let id = self.calls.ids().first().cloned();
        let body = error_reply(id.as_ref(), NO_SESSION, message, None);
        let mut back = rpc::answer(status, body);
        self.calls.name(&mut back);
        self.calls.answered_by(status, message.as_bytes()).await;
        let _ = self.answer.send(back);
    }

    async fn refuse(mut self, refusal: &Refusal, outcome: &Outcome) {
        let mut back = self.calls.refuse(refusal);
        self.calls.name(&mut back);
        self.calls.failed(outcome, refusal).await;
        let _ = self.answer.send(back);
    }

    /// Passes on what the program says unasked.
    async fn listen(self) {
        let session = self.origin.session.clone();
        let Some(session) = session.filter(|_| !self.origin.is_stateless()) else {
            let message = "nothing is listened for without a session";
            let mut back = reply::plain(StatusCode::METHOD_NOT_ALLOWED, "method", message);
            let allowed = HeaderValue::from_static("POST");
            back.headers_mut().insert(ALLOW, allowed);
            let _ = self.answer.send(back);
            return;
        };
        let children = self.inner.mcp.children();
        let Some(child) = children.find(&self.origin.server, &self.program, &session) else {
            return self.no_session().await;
        };
        let mut lines = child.listen();
        let (client, pieces) = reply::written();
        let mut back = Response::new(pieces);
        as_stream(&mut back);
        let stop = self.inner.stop.clone();
        let _ = self.answer.send(back);
        let total = self.inner.options.timeouts.total;
        loop {
            let line = tokio::select! {
                line = lines.recv() => line,
                () = client.gone() => return,
                () = stop.cancelled() => None,
            };
            let Some(line) = line else { break };
            let within = Instant::now() + total;
            if passing::send(&client, event(&line).into(), within)
                .await
                .is_err()
            {
                return;
            }
        }
        passing::end(client, Vec::new(), Instant::now()).await;
    }

    fn end_session(self) {
        let session = self.origin.session.as_deref();
        let children = self.inner.mcp.children();
        let ended = session.is_some_and(|session| children.end(&self.origin.server, session));
        let back = if ended {
            let mut back = Response::new(reply::whole(Bytes::new()));
            *back.status_mut() = StatusCode::NO_CONTENT;
            back
        } else {
            reply::plain(
                StatusCode::NOT_FOUND,
                "no_session",
                "there is no such session",
            )
        };
        let _ = self.answer.send(back);
    }
}

fn event(line: &str) -> Vec<u8> {
    format!("event: message\ndata: {line}\n\n").into_bytes()
}

fn as_stream(back: &mut Response<Body>) {
    let headers = back.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
}
