//! Server-sent events: what happens in the record, for clients that follow it.
//!
//! A stream is a cursor into the record. It takes the next few events when the client has taken
//! those before, so a client that is slow or stands still makes the server hold no more than one
//! such handful, and the rest waits where it is kept anyway. Nothing is dropped, and an event's id
//! is its sequence number, so whoever comes back with the last one they saw goes on right after it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use engine::view::NewsView;
use engine::{Engine, EngineError, News};
use futures_util::stream;
use metrics::{counter, gauge};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::App;
use crate::ask::{Following, Options};
use crate::problem::Problem;

/// How many events are taken from the record together: all that is held for one client.
const EVENTS_TOGETHER: usize = 64;

/// A client that is so many events behind is told so.
const BEHIND: u64 = 1_000;

/// How often something is sent where nothing happens, so that nobody takes the connection for
/// dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a client waits before it comes back.
const RETRY: Duration = Duration::from_secs(2);

/// What stands for the sequence number before the first event of all.
const BEFORE_ALL: &str = "start";

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What `ready` and `behind` say.
#[derive(Debug, Serialize)]
struct Place {
    /// The sequence number that comes next.
    next: u64,
    /// How many events the record has.
    size: u64,
}

pub(crate) async fn events(
    State(app): State<App>,
    headers: HeaderMap,
    Options(asked): Options<Following>,
) -> Result<Response, Problem> {
    let news = app.engine.news();
    let next = match headers.get(LAST_EVENT_ID) {
        Some(id) => after(id.to_str().unwrap_or_default())?,
        None => asked.from.unwrap_or_else(|| news.size()),
    };
    if next > news.size() {
        let (last, size) = (next.saturating_sub(1), news.size());
        return Err(Problem::bad(
            "ahead",
            format!("event {last} is not in the record, which has {size}"),
        )
        .with_hint("this is another record than the one that was followed: begin anew"));
    }
    let run = match &asked.run {
        Some(run) => Some(app.engine.resolve_run(run).await?.to_string()),
        None => None,
    };
    let Ok(permit) = Arc::clone(&app.followers).try_acquire_owned() else {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-many-followers",
            "as many clients follow the record as may",
        )
        .with_hint("close one, or ask for pages instead"));
    };
    let follower = Follower {
        engine: app.engine.clone(),
        news,
        stopping: app.stopping.clone(),
        run,
        next,
        taken: VecDeque::new(),
        said: Said::Nothing,
        _counted: Counted::new(permit),
    };
    let stream = stream::unfold(follower, |mut follower| async {
        let event = follower.event().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    let sse = Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // Proxies that collect an answer before they pass it on would hold the news back.
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((unbuffered, sse).into_response())
}

/// The sequence number after the last one that a client saw.
fn after(id: &str) -> Result<u64, Problem> {
    if id == BEFORE_ALL {
        return Ok(0);
    }
    let seq: Option<u64> = id.parse().ok();
    seq.and_then(|seq| seq.checked_add(1)).ok_or_else(|| {
        Problem::bad("bad-event-id", "`Last-Event-ID` is no sequence number")
            .with_hint("send the `id` of the last event as it came, or none")
    })
}

/// One client that follows.
struct Follower {
    engine: Engine,
    news: News,
    stopping: watch::Receiver<bool>,
    /// Only events of this run.
    run: Option<String>,
    /// What is to be taken from the record next.
    next: u64,
    /// What was taken and not sent yet.
    taken: VecDeque<NewsView>,
    said: Said,
    _counted: Counted,
}

/// What was said beside the events.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    /// From where on events come.
    Ready,
    /// That the client is behind.
    Behind,
    /// That there is nothing more, and why.
    Failed,
}

impl Follower {
    /// Returns the next message, once there is one; none where the stream ends.
    async fn event(&mut self) -> Option<Event> {
        if self.said == Said::Nothing {
            self.said = Said::Ready;
            return Some(self.ready());
        }
        loop {
            if self.said == Said::Failed || *self.stopping.borrow() {
                return None;
            }
            if let Some(event) = self.taken.pop_front() {
                return Some(message(event.seq, &event));
            }
            let size = self.news.size();
            let behind = size.saturating_sub(self.next);
            if behind >= BEHIND && self.said != Said::Behind {
                self.said = Said::Behind;
                return Some(self.place("behind", size));
            }
            if behind == 0 {
                self.said = Said::Ready;
                let stopped = async {
                    // Whoever could say so may be gone; then it never comes.
                    if self.stopping.wait_for(|stopping| *stopping).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                };
                tokio::select! {
                    grown = self.news.beyond(self.next) => { grown?; }
                    () = stopped => return None,
                }
                continue;
            }
            if let Err(error) = self.take().await {
                self.said = Said::Failed;
                let problem = Problem::from(error);
                return Some(named("failed", problem.view()));
            }
        }
    }

    async fn take(&mut self) -> Result<(), EngineError> {
        let events = self.engine.happened(self.next, EVENTS_TOGETHER).await?;
        counter!("rescind_events_told_total").increment(events.len() as u64);
        if let Some(last) = events.last() {
            self.next = last.seq + 1;
        }
        let wanted = |event: &NewsView| match &self.run {
            Some(run) => event.run.as_ref() == Some(run),
            None => true,
        };
        self.taken.extend(events.into_iter().filter(wanted));
        Ok(())
    }

    /// The first message. Its id lets a client go on that is cut off before the first event.
    fn ready(&self) -> Event {
        let id = self.next.checked_sub(1);
        let id = id.map_or_else(|| BEFORE_ALL.to_owned(), |seq| seq.to_string());
        self.place("ready", self.news.size()).id(id).retry(RETRY)
    }

    fn place(&self, name: &str, size: u64) -> Event {
        let next = self.next;
        named(name, &Place { next, size })
    }
}

fn named(name: &str, data: &impl Serialize) -> Event {
    Event::default().event(name).data(json(data))
}

fn message(seq: u64, data: &NewsView) -> Event {
    Event::default().id(seq.to_string()).data(json(data))
}

/// One line: JSON escapes every line break.
fn json(data: &impl Serialize) -> String {
    serde_json::to_string(data).unwrap_or_default()
}

/// Counts a client for as long as it follows.
struct Counted(
    #[expect(dead_code, reason = "it is given back when this goes")] OwnedSemaphorePermit,
);

impl Counted {
    fn new(permit: OwnedSemaphorePermit) -> Self {
        gauge!("rescind_followers").increment(1);
        Self(permit)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        gauge!("rescind_followers").decrement(1);
    }
}
