//! Calls that go on as tasks: what says how they ended, and how one is [stopped].
//!
//! What is asked goes to the session of the call, with its headers: a task is nobody else's.

use std::sync::Arc;

use ::http::header::HeaderValue;
use engine::live::{Ended, Open};
use model::{Field, Media, Outcome};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use wire::jsonrpc::Json;
use wire::mcp::http::{METHOD, NAME};
use wire::mcp::{CallResult, Task, TaskStatus};

use crate::{Inner, passing, rpc, stopped};

use super::calls::of_result;
use super::child::Child;
use super::ours::{Asked, Place, ask_child, request};
use super::shared::Key;

/// The least id of our requests in the sessions of others: theirs begin with small numbers.
const FIRST_ID: u64 = 1 << 50;

/// A call that is waited for.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) open: Open,
    /// Nobody watches over it any more once it is waited for no longer.
    pub(super) _watched: Option<DropGuard>,
}

impl From<Open> for Waiting {
    fn from(open: Open) -> Self {
        Self {
            open,
            _watched: None,
        }
    }
}

/// How a server is reached in the session of a call.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// With the headers of the call.
    Http(Box<Place>),
    Program(Arc<Child>),
}

impl Inner {
    /// Waits for the end of a call that goes on as a task, and stops it once it is called off.
    pub(super) fn park_task(self: &Arc<Self>, way: Option<Way>, key: Key, open: Open) {
        let Some(way) = way else {
            return self.mcp.parked.put(key, open.into());
        };
        let over = CancellationToken::new();
        let called_off = open.called_off().clone();
        let watching = watch(Arc::clone(self), way, key.clone(), called_off, over.clone());
        let waiting = Waiting {
            open,
            _watched: Some(over.drop_guard()),
        };
        self.mcp.parked.put(key, waiting);
        self.recorder.tasks().spawn(watching);
    }

    /// Asks a server to stop a task. Returns how that ended, if the server says so in time.
    async fn stop_task(&self, way: &Way, task: &str, until: Instant) -> Option<Ended> {
        let ask = async |method| {
            let stands = self.ask_about(way, method, task).await;
            self.read_end(way, task, stands.as_ref()).await
        };
        stopped::end_of(until, ask("tasks/cancel"), || ask("tasks/get")).await
    }

    async fn read_end(&self, way: &Way, task: &str, stands: Option<&Value>) -> Option<Ended> {
        let text = stands?.to_string();
        let json = Json::parse(&text).ok()?;
        let stands = Task::read(json)?;
        if let Some(ended) = end_of(&stands, Some(json)) {
            return Some(ended);
        }
        if stands.status != TaskStatus::Completed {
            return None;
        }
        let text = self.ask_about(way, "tasks/result", task).await?.to_string();
        let json = Json::parse(&text).ok()?;
        let read = CallResult::read(json);
        Some(of_result(json, &read, read.outcome()))
    }

    /// Returns the result of a request about a task.
    async fn ask_about(&self, way: &Way, method: &str, task: &str) -> Option<Value> {
        let number = FIRST_ID + self.mcp.ours.number();
        let body = request(number, method, &json!({ "taskId": task }));
        let reply = match way {
            Way::Http(place) => {
                let Place { endpoint, headers } = &**place;
                let mut headers = headers.clone();
                // In revisions that want them they name the request.
                for (name, value) in [(METHOD, method), (NAME, task)] {
                    if headers.contains_key(name)
                        && let Ok(value) = HeaderValue::from_str(value)
                    {
                        headers.insert(name, value);
                    }
                }
                let posted = self.post(endpoint, &headers, body, Some(number)).await;
                posted.ok()?.1
            }
            Way::Program(child) => match ask_child(child, number, &body).await.ok()? {
                Asked::Replied(reply) => reply,
                Asked::Gone(_) => return None,
            },
        };
        reply.get("result").cloned()
    }
}

async fn watch(
    inner: Arc<Inner>,
    way: Way,
    key: Key,
    called_off: CancellationToken,
    over: CancellationToken,
) {
    let Key::Task { task, .. } = &key else { return };
    let stop = |until| inner.stop_task(&way, task, until);
    let Some(ended) = stopped::once_called_off(&inner, called_off, over, stop).await else {
        return;
    };
    let given_up = |waiting: &Waiting| waiting.open.called_off().is_cancelled();
    for Waiting { open, .. } in inner.mcp.parked.take_those(&key, given_up) {
        let ended = match &ended {
            Some(ended) => ended.clone(),
            None => rpc::unanswered(Outcome::Unknown, &passing::called_off().message),
        };
        // Where it cannot be written down it reads as unknown, and nobody waits for it.
        let _ = open.finish(ended).await;
    }
}

/// How a call ended by what is said of its task; none if it has not, or its result is still to be
/// told.
pub(super) fn end_of(task: &Task<'_>, json: Option<Json<'_>>) -> Option<Ended> {
    // Up to 2025-11-25 a task that was completed says so before it tells its result, and the
    // result may be that the tool failed.
    if !task.status.is_terminal() || task.status == TaskStatus::Completed && task.result.is_none() {
        return None;
    }
    if let Some(result) = task.result {
        return Some(of_result(result, &CallResult::read(result), task.outcome()));
    }
    let mut ended = Ended::with(task.outcome());
    let said = json.map_or_else(
        || task.message.as_deref().unwrap_or_default().to_owned(),
        |json| json.text().to_owned(),
    );
    ended.kept.push((Field::Result, Media::Text, said));
    Some(ended)
}
