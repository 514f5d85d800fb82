//! Calls that do not go on: they wait for a person, a rule refused them, or they were made before.
//!
//! ```text
//!   held ──► waits for a while ──► approved ──► goes on as any call
//!                    │                 └─► rejected, void ──► told so
//!                    └─► nobody decided yet ──► told to come again; the decision waits on
//! ```
//!
//! A call that was made before its agent went back is answered with what it got then, as it was
//! recorded. Of the others, what the caller hears is the result of a tool that failed, because that
//! is what a model reads and can act upon. Of a batch everything goes on or nothing. A client that
//! asks for progress, and takes streams, hears meanwhile that its call waits.

use std::sync::Arc;
use std::time::Duration;

use ::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use ::http::{Response, StatusCode};
use engine::live::{Refused, Told};
use http_body_util::BodyExt as _;
use model::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use wire::jsonrpc::{Id, Json, result_reply};
use wire::mcp::http::is_stream;

use crate::caller::REPLAY_OF;
use crate::reply::Writer;
use crate::rpc::{self, Refusal};
use crate::{Body, reply};

use super::Onward;

/// How often a client hears that its call waits.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Where our own words stand in the `_meta` of a result.
const APPROVAL: &str = "dev.rescind/approval";
const REFUSED: &str = "dev.rescind/refused";

/// How the waiting of a request ended.
enum Waited {
    /// Everything may go on.
    Approved,
    /// One of the calls may not; the others are not sent either.
    Over(usize, Told),
    /// Nobody decided in time.
    Late,
    /// Its caller has said that it no longer waits.
    Cancelled,
}

/// Answers a request in which something is held, refused, or was done before.
pub(super) async fn answer(mut onward: Onward) -> Response<Body> {
    if onward.calls.is_answered() {
        return refuse(onward).await;
    }
    let streams = !onward.begins.tokens.is_empty() && takes_streams(&onward.headers);
    if !streams {
        return match wait(&mut onward, None).await {
            Waited::Approved => go_on(onward).await,
            ended => over(onward, ended).await,
        };
    }
    let (writer, pieces) = reply::written();
    let mut back = Response::new(pieces);
    let headers = back.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    name(&mut onward, &mut back);
    let tasks = onward.inner.recorder.tasks().clone();
    tasks.spawn(async move {
        let streaming = Box::pin(stream(onward, &writer));
        // Who goes away while its call waits has thereby cancelled it; once it was sent, it is on
        // its way.
        let whole = tokio::select! {
            () = writer.gone() => false,
            whole = streaming => whole,
        };
        // What broke off breaks off for the client too.
        if whole {
            writer.end().await;
        }
    });
    back
}

/// Waits, telling of it, then passes on what the server answers. Returns whether that came to its
/// end.
async fn stream(mut onward: Onward, client: &Writer) -> bool {
    let ids = onward.calls.ids().to_vec();
    let response = match wait(&mut onward, Some(client)).await {
        Waited::Approved => go_on(onward).await,
        ended => over(onward, ended).await,
    };
    let (parts, mut body) = response.into_parts();
    if is_stream(rpc::kind_of(&parts.headers)) {
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            if let Ok(data) = frame.into_data()
                && client.send(data).await.is_err()
            {
                return false;
            }
        }
        return true;
    }
    let whole = body.collect().await.map(|body| body.to_bytes());
    let whole = whole.unwrap_or_default();
    let text = std::str::from_utf8(&whole).unwrap_or_default();
    // The head is out already, so a status alone can say nothing any more.
    let pieces = if Json::parse(text).is_ok() {
        event(text)
    } else {
        let message = format!("the server answered with status {}: {text}", parts.status);
        let refusal = Refusal::new("upstream_status", message);
        ids.iter().flat_map(|id| refusal.event(Some(id))).collect()
    };
    client.send(pieces).await.is_ok()
}

/// Waits until everything that is held may go on, or something may not.
async fn wait(onward: &mut Onward, client: Option<&Writer>) -> Waited {
    let inner = Arc::clone(&onward.inner);
    let until = Instant::now() + inner.recorder.approvals_wait();
    let mut tell = Instant::now();
    let mut told = 0_u32;
    let mut at = 0;
    loop {
        let cancelled = inner.mcp.cancels().notified();
        tokio::pin!(cancelled);
        cancelled.as_mut().enable();
        if onward.calls.is_cancelled() {
            return Waited::Cancelled;
        }
        let Some((_, held)) = onward.calls.held().get_mut(at) else {
            return Waited::Approved;
        };
        let decision = held.decision();
        tokio::select! {
            how = held.told() => match how {
                Told::Approved => at += 1,
                how => return Waited::Over(at, how),
            },
            () = sleep_until(until) => return Waited::Late,
            () = inner.recorder.stopping().cancelled() => return Waited::Late,
            () = &mut cancelled => {}
            () = sleep_until(tell), if client.is_some() => {
                told += 1;
                tell += TELL_EVERY;
                if let Some(client) = client {
                    let words = format!("waits for the approval of decision {decision}");
                    for token in &onward.begins.tokens {
                        // The server counts on from whatever it begins with.
                        let _ = client.send(progress(token, told, &words)).await;
                    }
                }
            }
        }
    }
}

/// Begins what was approved, and sends it.
async fn go_on(mut onward: Onward) -> Response<Body> {
    match onward.calls.go_on().await {
        Ok(()) => onward.send().await,
        Err(refusal) => onward.calls.refuse(&refusal),
    }
}

/// Answers that a rule refused a call, or with what it got before.
async fn refuse(mut onward: Onward) -> Response<Body> {
    onward.calls.withdraw(NOT_SENT).await;
    let refused = onward.calls.refused();
    let mut told: Vec<(Id<'static>, String, Value)> = Vec::new();
    for (id, refused) in refused {
        if let Some(id) = id {
            let words = format!("Not done: {}.", refused.reason);
            told.push((id.clone(), words, json!({ REFUSED: refused_data(refused) })));
        }
    }
    let named = refused
        .first()
        .map(|(_, refused)| (refused.decision, refused.run));
    for (_, held) in std::mem::take(onward.calls.held()) {
        held.leave();
    }
    let mut back = results(&onward, &told);
    let replayed = onward
        .calls
        .replayed()
        .first()
        .map(|(_, replayed)| replayed);
    let named = named.or(replayed.map(|replayed| (replayed.decision(), replayed.run())));
    if let Some((decision, run)) = named {
        reply::name(&mut back, &decision.to_string(), &run.to_string());
    }
    if let Some(of) = replayed.map(|replayed| replayed.of().to_string())
        && let Ok(of) = HeaderValue::from_str(&of)
    {
        back.headers_mut().insert(REPLAY_OF, of);
    }
    back
}

/// Answers that a call does not go on, or not yet.
async fn over(mut onward: Onward, ended: Waited) -> Response<Body> {
    onward.calls.withdraw(NOT_SENT).await;
    let (mut named, mut told) = (None, Vec::new());
    let waiting = std::mem::take(onward.calls.held());
    for (at, (id, held)) in waiting.into_iter().enumerate() {
        let (decision, run, until) = (held.decision(), held.run(), held.until());
        let call = held.call().to_string();
        named = named.or(Some((decision, run)));
        let (status, words) = match &ended {
            Waited::Over(which, how) if *which == at => match how {
                Told::Rejected { by, reason } => ("rejected", rejected(by, reason.as_deref())),
                Told::Void { why } => ("void", format!("Not done: {why}.")),
                Told::Approved => ("approved", String::new()),
            },
            Waited::Cancelled => {
                held.cancel("who asked for it cancelled it");
                ("cancelled", "Not done: it was cancelled.".to_owned())
            }
            _ => {
                // What was approved meanwhile is good for the next call like it.
                held.leave();
                ("waiting", waits(&decision.to_string(), until))
            }
        };
        let Some(id) = id else { continue };
        let data = json!({
            "decision": decision.to_string(),
            "run": run.to_string(),
            "call": call,
            "status": status,
            "until": stamp(until),
            "approve": format!("rescind approve {decision}"),
        });
        told.push((id, words, json!({ APPROVAL: data })));
    }
    let mut back = results(&onward, &told);
    if let Some((decision, run)) = named {
        reply::name(&mut back, &decision.to_string(), &run.to_string());
    }
    back
}

const NOT_SENT: &str = "it was not sent, because another call of the same request did not go on";

/// The answer to a request of which nothing was sent.
fn results(onward: &Onward, told: &[(Id<'static>, String, Value)]) -> Response<Body> {
    let others = Refusal::new("not_sent", NOT_SENT);
    let reply = |id: &Id<'static>| {
        let mut replayed = onward.calls.replayed().iter();
        let before = replayed.find(|(of, _)| of.as_ref() == Some(id));
        if let Some(before) = before.and_then(|(_, before)| Json::parse(before.result()).ok()) {
            return result_reply(id, before);
        }
        let of = told.iter().find(|(of, ..)| of == id);
        let Some((_, words, meta)) = of else {
            return others.reply(Some(id));
        };
        let mut result = json!({
            "content": [{ "type": "text", "text": words }],
            "isError": true,
            "_meta": meta,
        });
        if onward.origin.is_stateless() {
            result["resultType"] = "complete".into();
        }
        let result = result.to_string();
        match Json::parse(&result) {
            Ok(result) => result_reply(id, result),
            Err(_) => others.reply(Some(id)),
        }
    };
    let replies: Vec<Vec<u8>> = onward.calls.ids().iter().map(reply).collect();
    match &replies[..] {
        // Nobody waits for a reply.
        [] => rpc::answer(StatusCode::ACCEPTED, Vec::new()),
        [one] if !onward.calls.is_batch() => rpc::answer(StatusCode::OK, one.clone()),
        several => {
            let body = [b"[", &*several.join(&b','), b"]"].concat();
            rpc::answer(StatusCode::OK, body)
        }
    }
}

fn waits(decision: &str, until: Timestamp) -> String {
    format!(
        "Not done yet: this call waits for a person's approval (decision {decision}, until {}). Do \
         not look for another way to do it. Say that it waits; once it is approved, exactly the \
         same call goes through.",
        stamp(until)
    )
}

fn rejected(by: &str, reason: Option<&str>) -> String {
    let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    format!("Not done: {by} refused this call{why}. Do not make it again.")
}

fn refused_data(refused: &Refused) -> Value {
    json!({
        "decision": refused.decision.to_string(),
        "run": refused.run.to_string(),
        "rule": refused.rule.name(),
        "retry_at": refused.retry_at.map(stamp),
    })
}

fn stamp(time: Timestamp) -> String {
    engine::stamp(time)
}

fn name(onward: &mut Onward, back: &mut Response<Body>) {
    if let Some((_, held)) = onward.calls.held().first() {
        let (decision, run) = (held.decision().to_string(), held.run().to_string());
        reply::name(back, &decision, &run);
    }
}

/// Whether a client takes its answer as a stream.
fn takes_streams(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(ACCEPT).iter();
    let mut accepts = accepts.filter_map(|value| value.to_str().ok());
    accepts.any(|accepts| accepts.contains("text/event-stream"))
}

/// A notification of progress. Its numbers are small, so that those of the server are larger.
fn progress(token: &Id<'_>, told: u32, words: &str) -> Vec<u8> {
    let words = Value::from(words);
    let token = token.text();
    event_of(&format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\
         \"progressToken\":{token},\"progress\":0.{told:06},\"message\":{words}}}}}"
    ))
}

fn event_of(line: &str) -> Vec<u8> {
    format!("event: message\ndata: {line}\n\n").into_bytes()
}

/// A message as an event, with a line of the event for each of its own.
fn event(text: &str) -> Vec<u8> {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    event_of(&lines.join("\ndata: "))
}
