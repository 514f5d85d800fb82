//! How the task of a message is [stopped], where it is the agent's.
//!
//! What is sent carries the headers of the message, so that the agent knows whose task it is. They
//! are kept as long as the task is waited for, and nowhere else.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method as Verb, Uri};
use http_body_util::{BodyExt as _, Limited};
use model::Outcome;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::a2a::{Event, Method, TaskStream, Version, read_event};

use crate::upstream::Endpoint;
use crate::{Inner, passing, stopped};

use super::shared::{Named, Waiting};
use super::told::Told;

/// How an agent is reached about a task of one of its callers.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) inner: Arc<Inner>,
    pub(super) endpoint: Endpoint,
    pub(super) uri: Uri,
    /// Those of the message.
    pub(super) headers: Arc<HeaderMap>,
    pub(super) version: Version,
    pub(super) tenant: Option<String>,
}

impl Way {
    /// Asks the agent to stop a task. Returns the answer that says how it ended, if one does in time.
    pub(super) async fn stop(self, task: String, until: Instant) -> Option<String> {
        let cancel = self.ask(Method::CancelTask, &task);
        stopped::end_of(until, cancel, || self.ask(Method::GetTask, &task)).await
    }

    /// Returns the answer to a request about a task, if it says how that ended.
    async fn ask(&self, method: Method, task: &str) -> Option<String> {
        let mut params = json!({ "id": task });
        if let Some(tenant) = &self.tenant {
            params["tenant"] = json!(tenant);
        }
        let body = json!({
            "jsonrpc": "2.0",
            "id": "rescind",
            "method": method.name(self.version),
            "params": params,
        });
        let (uri, body) = (self.uri.clone(), Bytes::from(body.to_string()));
        let client = &self.inner.client;
        let sending = client.call(&self.endpoint, &Verb::POST, uri, &self.headers, body);
        let max = self.inner.options.limits.body_bytes_max;
        let answer = Limited::new(sending.await.ok()?.into_body(), max).collect();
        let answer = answer.await.ok()?.to_bytes();
        let answer = String::from_utf8(answer.to_vec()).ok();
        answer.filter(|answer| has_ended(answer))
    }

    /// Stops a task that goes on by itself once its message is called off, unless it ends before.
    pub(super) async fn watch(
        self,
        task: Named,
        called_off: CancellationToken,
        over: CancellationToken,
    ) {
        let inner = Arc::clone(&self.inner);
        let stop = |until| self.stop(task.1.clone(), until);
        let Some(answer) = stopped::once_called_off(&inner, called_off, over, stop).await else {
            return;
        };
        let parked = &inner.a2a.parked;
        let Some(answer) = answer else {
            let given_up = |waiting: &Waiting| waiting.open.called_off().is_cancelled();
            let refusal = passing::called_off();
            for Waiting { open, .. } in parked.take_those(&task, given_up) {
                let ended = crate::rpc::unanswered(Outcome::Unknown, &refusal.message);
                let _ = open.finish(ended).await;
            }
            return;
        };
        let (mut told, mut state) = (Told::default(), TaskStream::new());
        if let Ok(event) = read_event(&answer) {
            told.take(&answer, &event, inner.options.limits.body_bytes_max);
            state.push(&event);
        }
        for Waiting { open, causes, .. } in parked.take(&task) {
            // Where it cannot be written down it reads as unknown, and nobody waits for it.
            let _ = open.finish(told.ended(state.end(), causes)).await;
        }
    }
}

/// Whether an answer says that its task has ended.
pub(super) fn has_ended(answer: &str) -> bool {
    matches!(read_event(answer), Ok(Event::Task(task)) if task.state.is_terminal())
}
