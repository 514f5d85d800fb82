//! The calls of one request, from their intents to their outcomes.

use std::sync::Arc;

use ::http::{Response, StatusCode};
use engine::live::{
    Admitted, Call, Caller, Ended, Held, Open, RecordError, Refused, Replayed, Target, What as Deed,
};
use engine::undo::Claim;
use model::{DecisionId, Environment, Field, Media, Outcome, RunId};
use tokio_util::sync::CancellationToken;
use wire::jsonrpc::{Id, Json, RpcError};
use wire::mcp::{Answered, Answers, CallResult, CallState, End, Task, TaskDeed, What, outcome_of};

use crate::rpc::{self, Refusal};
use crate::{Body, Inner, reply};

use super::shared::Key;
use super::tasks::{Waiting, Way, end_of};
use super::{Origin, images};

/// A request, and what it is.
pub(super) struct Said<'a> {
    pub(super) id: Option<Id<'a>>,
    pub(super) what: What<'a>,
}

/// What one POST asks for. Of GET and DELETE it is empty, and may still learn how earlier calls
/// ended.
pub(super) struct Calls {
    inner: Arc<Inner>,
    origin: Origin,
    /// Requests that get a reply.
    ids: Vec<Id<'static>>,
    /// Those of them that wait for it.
    waiting: Answers,
    /// Requests for lists of tools.
    lists: Vec<Id<'static>>,
    /// Requests about tasks, and which.
    tasks: Vec<(Id<'static>, TaskDeed, String)>,
    /// The calls.
    open: Vec<(Option<Id<'static>>, Open)>,
    /// Those that wait for a person.
    held: Vec<(Option<Id<'static>>, Held)>,
    /// The tools and arguments of those, in the same order.
    asked: Vec<(String, String)>,
    /// Those that a rule refused.
    refused: Vec<(Option<Id<'static>>, Refused)>,
    /// Those that were made before, with what they got.
    replayed: Vec<(Option<Id<'static>>, Replayed)>,
    /// The first of those that began.
    named: Option<(DecisionId, RunId)>,
    /// Whether its stream stays open for good.
    listens: bool,
    batch: bool,
    /// Whether it is on its way to the server.
    sent: bool,
    /// How the server is reached, once that is known.
    way: Option<Way>,
}

impl Drop for Calls {
    /// Who went away before anything was sent took its calls along.
    fn drop(&mut self) {
        let open = std::mem::take(&mut self.open);
        if self.sent || open.is_empty() {
            return;
        }
        self.inner.recorder.tasks().spawn(async move {
            for (_, open) in open {
                let _ = open.finish(rpc::unanswered(Outcome::Cancelled, LEFT)).await;
            }
        });
    }
}

const LEFT: &str = "it was not sent, because its client went away";

impl Calls {
    pub(super) fn new(inner: Arc<Inner>, origin: Origin) -> Self {
        Self {
            inner,
            origin,
            ids: Vec::new(),
            waiting: Answers::new([]),
            lists: Vec::new(),
            tasks: Vec::new(),
            open: Vec::new(),
            held: Vec::new(),
            asked: Vec::new(),
            refused: Vec::new(),
            replayed: Vec::new(),
            named: None,
            listens: false,
            batch: false,
            sent: false,
            way: None,
        }
    }

    /// Says how the server is reached.
    pub(super) fn go_by(&mut self, way: Way) {
        self.way = Some(way);
    }

    /// Records the intents of the calls, and waits until they are durable. What a rule objects to
    /// has not begun then: see [`are_stopped`](Self::are_stopped).
    pub(super) async fn begin(
        &mut self,
        from: Caller,
        said: Vec<Said<'_>>,
        batch: bool,
    ) -> Result<(), Refusal> {
        let owned = |id: &Option<Id<'_>>| id.clone().map(Id::into_owned);
        self.batch = batch;
        self.ids = said.iter().filter_map(|said| owned(&said.id)).collect();
        self.listens = said.iter().any(|said| said.what == What::Listen);
        let listening = |said: &&Said<'_>| said.what != What::Listen;
        let ids = said.iter().filter(listening);
        self.waiting = Answers::new(ids.filter_map(|said| owned(&said.id)));
        for Said { id, what } in said {
            let id = id.map(Id::into_owned);
            match (what, id) {
                (What::Call(call), id) => match self.intend(from.clone(), &call).await {
                    Ok(Admitted::Open(open)) => self.open.push((id, open)),
                    Ok(Admitted::Held(held)) => {
                        let arguments = call.arguments_text().to_owned();
                        self.asked.push((call.tool.into_owned(), arguments));
                        self.held.push((id, held));
                    }
                    Ok(Admitted::Refused(refused)) => self.refused.push((id, refused)),
                    Ok(Admitted::Replayed(replayed)) => self.replayed.push((id, replayed)),
                    Err(error) => return Err(self.unrecorded(&error).await),
                },
                (What::ListTools, Some(id)) => self.lists.push(id),
                (What::Task(deed, task), Some(id)) => {
                    self.tasks.push((id, deed, task.into_owned()));
                }
                (What::Cancelled(Some(id)), _) => {
                    if let Some(key) = self.key(id.into_owned()) {
                        self.inner.mcp.cancel(key);
                    }
                }
                _ => {}
            }
        }
        self.durable().await
    }

    /// Waits until it is in the record what becomes of the calls.
    async fn durable(&mut self) -> Result<(), Refusal> {
        let first = self.open.first();
        self.named = first.map(|(_, open)| (open.decision(), open.run()));
        let mut why = None;
        for (_, open) in &mut self.open {
            why = why.or(open.durable().await.err());
        }
        for (_, held) in &mut self.held {
            why = why.or(held.durable().await.err());
        }
        for (_, replayed) in &mut self.replayed {
            why = why.or(replayed.durable().await.err());
        }
        match why {
            None => Ok(()),
            Some(error) => Err(self.unrecorded(&error).await),
        }
    }

    /// Nothing goes out, because it cannot be recorded.
    async fn unrecorded(&mut self, error: &RecordError) -> Refusal {
        self.withdraw("it was not sent, because it cannot be recorded")
            .await;
        Refusal::unrecorded(error)
    }

    /// Records of everything that has begun that it was not sent.
    pub(super) async fn withdraw(&mut self, why: &str) {
        for (_, open) in std::mem::take(&mut self.open) {
            let _ = open.finish(rpc::unanswered(Outcome::Cancelled, why)).await;
        }
    }

    /// It goes to the server now; returns whether it still should. A client that is gone where that
    /// cancels its calls has cancelled them before they were sent.
    pub(super) async fn go_out(&mut self, client_gone: bool) -> bool {
        self.sent = true;
        if client_gone && self.origin.is_stateless() {
            self.withdraw(LEFT).await;
            return false;
        }
        true
    }

    /// Whether something here must not go out, or not yet.
    pub(super) fn are_stopped(&self) -> bool {
        !self.held.is_empty() || self.is_answered()
    }

    /// Whether a call is answered here and now: a rule refused it, or it was made before.
    pub(super) const fn is_answered(&self) -> bool {
        !self.refused.is_empty() || !self.replayed.is_empty()
    }

    /// Returns the calls that are answered with what they got before.
    pub(super) fn replayed(&self) -> &[(Option<Id<'static>>, Replayed)] {
        &self.replayed
    }

    /// Returns the calls that a rule refused.
    pub(super) fn refused(&self) -> &[(Option<Id<'static>>, Refused)] {
        &self.refused
    }

    /// Returns the calls that wait for a person.
    pub(super) const fn held(&mut self) -> &mut Vec<(Option<Id<'static>>, Held)> {
        &mut self.held
    }

    /// Begins everything that waited, now that it may.
    pub(super) async fn go_on(&mut self) -> Result<(), Refusal> {
        let asked = std::mem::take(&mut self.asked);
        for ((id, held), (tool, arguments)) in std::mem::take(&mut self.held).into_iter().zip(asked)
        {
            let target = Target::tool(&self.origin.server, &tool);
            let through = match held.go_through(&target) {
                Ok(through) => through,
                Err(error) => return Err(self.unrecorded(&error).await),
            };
            // As they are now, after the wait.
            let told = images::told(&self.inner, &self.origin.server, &tool, &arguments);
            let touches = match told {
                Some(told) => Some(Box::pin(images::before(&self.inner, told)).await),
                None => None,
            };
            match through.begin(touches) {
                Ok(open) => self.open.push((id, open)),
                Err(error) => return Err(self.unrecorded(&error).await),
            }
        }
        self.durable().await
    }

    async fn intend(
        &self,
        mut from: Caller,
        call: &wire::mcp::Call<'_>,
    ) -> Result<Admitted, RecordError> {
        let server = &self.origin.server;
        if from.trace.is_none() {
            let trace = call.meta.traceparent.as_deref();
            from.trace = trace
                .and_then(wire::trace::traceparent)
                .map(|parent| parent.trace_id);
        }
        let session = self.origin.session.as_ref();
        from.session = session.map(|session| format!("{server}:{session}"));
        let known = self.inner.mcp.tool(server, &call.tool);
        let mut environment = Environment::default();
        let mut note = |name: &str, value: &str| {
            environment.0.insert(name.to_owned(), value.to_owned());
        };
        note("mcp.server", server);
        if let Some(known) = &known {
            note("tool.definition", &known.raw);
            let claim = known.claim.iter().flat_map(Claim::entries);
            environment.0.extend(claim);
        }
        let arguments = call.arguments_text();
        let touches = images::told(&self.inner, server, &call.tool, arguments);
        let (class, by) = self.inner.class(server, &call.tool);
        let call = Call {
            caller: from,
            what: Deed::ToolCall {
                server,
                tool: &call.tool,
                arguments,
                class,
                by,
                call_id: call.meta.call_id.as_deref(),
            },
            asked: (Media::Json, arguments),
            environment,
            touches,
        };
        let read = |told| Box::pin(images::before(&self.inner, told));
        let begun = self.inner.recorder.admit_reading(call, read);
        // Boxed: the future is long, and few of its kind are under way.
        Box::pin(begun).await
    }

    /// Returns what is cancelled when the calls are to end early: they are of one agent.
    pub(super) fn called_off(&self) -> Option<CancellationToken> {
        let (_, open) = self.open.first()?;
        Some(open.called_off().clone())
    }

    /// Returns what tells a server that nobody waits for the calls any more.
    pub(super) fn cancellations(&self) -> Vec<String> {
        let open = self.open.iter().filter_map(|(id, _)| id.as_ref());
        open.map(cancellation).collect()
    }

    /// Returns the requests that get a reply.
    pub(super) fn ids(&self) -> &[Id<'static>] {
        &self.ids
    }

    /// Returns whether they came as a batch, and so does the answer.
    pub(super) const fn is_batch(&self) -> bool {
        self.batch
    }

    /// Returns whether the answer is not expected to end.
    pub(super) const fn listens(&self) -> bool {
        self.listens
    }

    /// Returns whether every request was answered.
    pub(super) fn is_complete(&self) -> bool {
        self.waiting.is_complete()
    }

    /// Returns whether the client may take up the stream again, on which the answers then come.
    pub(super) fn is_resumable(&self) -> bool {
        let resumable = matches!(
            self.waiting.end(),
            End::Truncated {
                resumable: true,
                ..
            }
        );
        resumable && self.origin.session.is_some() && !self.origin.is_stateless()
    }

    /// Says in an answer which decision the call is.
    pub(super) fn name(&self, response: &mut Response<Body>) {
        if let Some((decision, run)) = &self.named {
            reply::name(response, &decision.to_string(), &run.to_string());
        }
    }

    /// Takes in what the server says, and records how calls ended by it. On return it may go out.
    ///
    /// # Errors
    /// The requests whose answers must not go out, because they are not recorded.
    pub(super) async fn hear(
        &mut self,
        data: &str,
        has_id: bool,
    ) -> Result<(), (Vec<Id<'static>>, Refusal)> {
        // What is no message passes as it came, and answers nothing.
        let Ok((Some(messages), answered)) = self.waiting.push(data, has_id) else {
            return Ok(());
        };
        let mut lost = Vec::new();
        let mut why = None;
        for answer in &answered {
            if let Err(error) = self.ended(answer).await {
                lost.push(answer.id.clone().into_owned());
                why = Some(Refusal::withheld(&error));
            }
        }
        for response in messages.responses() {
            let Some(id) = &response.id else { continue };
            if let Err(error) = self.taken_up(id, &response.result).await {
                lost.push(id.clone().into_owned());
                why = Some(Refusal::withheld(&error));
            }
        }
        for request in messages.requests() {
            if let Ok(What::TaskStatus(task)) = What::of(request) {
                // A notification tells nothing that the client may act on before it asks.
                let _ = self.task_stands(&task, None).await;
            }
        }
        match why {
            Some(why) => Err((lost, why)),
            None => Ok(()),
        }
    }

    /// A request of this POST was answered.
    async fn ended(&mut self, answer: &Answered<'_>) -> Result<(), RecordError> {
        if let Ok(result) = answer.result
            && self.lists.contains(&answer.id)
        {
            self.inner.heard_list(&self.origin.server, result);
        }
        let about = self.tasks.iter().find(|(id, ..)| *id == answer.id);
        if let Some((_, deed, task)) = about.cloned() {
            return self.task_told(deed, &task, &answer.result).await;
        }
        let at = |(id, _): &(Option<Id<'_>>, Open)| id.as_ref() == Some(&answer.id);
        let Some(at) = self.open.iter().position(at) else {
            return Ok(());
        };
        let (id, open) = self.open.swap_remove(at);
        self.close(id, open, &answer.result).await
    }

    /// An answer came on another stream than that of its request.
    async fn taken_up(
        &self,
        id: &Id<'_>,
        result: &Result<Json<'_>, RpcError<'_>>,
    ) -> Result<(), RecordError> {
        let id = id.clone().into_owned();
        let Some(key) = self.key(id.clone()) else {
            return Ok(());
        };
        for Waiting { open, .. } in self.inner.mcp.parked.take(&key) {
            self.close(Some(id.clone()), open, result).await?;
        }
        Ok(())
    }

    /// Records how a call ended, unless it goes on as a task.
    async fn close(
        &self,
        id: Option<Id<'static>>,
        mut open: Open,
        result: &Result<Json<'_>, RpcError<'_>>,
    ) -> Result<(), RecordError> {
        let cancelled = id
            .and_then(|id| self.key(id))
            .is_some_and(|key| self.inner.mcp.was_cancelled(&key));
        let ended = match result {
            Ok(json) => {
                let read = CallResult::read(*json);
                if let CallState::Task(task) = &read.state
                    && !task.status.is_terminal()
                {
                    let key = self.task_key(&task.id);
                    self.inner.park_task(self.way.clone(), key, open);
                    return Ok(());
                }
                let mut ended = of_result(*json, &read, read.outcome());
                let images = images::after(&self.inner, &mut open, &read, &mut ended);
                // Boxed: the future is long, and few calls have images.
                Box::pin(images).await;
                ended
            }
            Err(error) => {
                let mut ended = of_error(error);
                if cancelled {
                    ended.outcome = Outcome::Cancelled;
                }
                ended
            }
        };
        open.finish(ended).await?.durable().await
    }

    /// A request about a task was answered.
    async fn task_told(
        &self,
        deed: TaskDeed,
        task: &str,
        result: &Result<Json<'_>, RpcError<'_>>,
    ) -> Result<(), RecordError> {
        let Ok(json) = result else { return Ok(()) };
        match deed {
            TaskDeed::Result => {
                let read = CallResult::read(*json);
                let ended = of_result(*json, &read, read.outcome());
                self.task_ended(task, &ended).await
            }
            TaskDeed::Get | TaskDeed::Update | TaskDeed::Cancel => match Task::read(*json) {
                Some(stands) => self.task_stands(&stands, Some(*json)).await,
                None => Ok(()),
            },
        }
    }

    async fn task_stands(
        &self,
        task: &Task<'_>,
        json: Option<Json<'_>>,
    ) -> Result<(), RecordError> {
        match end_of(task, json) {
            Some(ended) => self.task_ended(&task.id, &ended).await,
            None => Ok(()),
        }
    }

    /// Records how the calls ended that the server made this task of.
    async fn task_ended(&self, task: &str, ended: &Ended) -> Result<(), RecordError> {
        for Waiting { open, .. } in self.inner.mcp.parked.take(&self.task_key(task)) {
            open.finish(ended.clone()).await?.durable().await?;
        }
        Ok(())
    }

    /// Gives up waiting for the answers on this stream, because the client may take it up again.
    pub(super) fn park(&mut self) {
        for (id, open) in std::mem::take(&mut self.open) {
            if let Some(key) = id.and_then(|id| self.key(id)) {
                self.inner.mcp.parked.put(key, open.into());
            }
        }
    }

    /// Records that we answer in place of the server, as [`unanswered`](Self::unanswered) does, and
    /// that it is at fault where it is.
    pub(super) async fn failed(
        &mut self,
        outcome: &Outcome,
        refusal: &Refusal,
    ) -> Vec<Id<'static>> {
        if refusal.blames() {
            for (_, open) in &mut self.open {
                open.blame();
            }
        }
        self.unanswered(outcome, &refusal.message).await
    }

    /// Records that no answer came. Returns the requests that still wait for one.
    pub(super) async fn unanswered(&mut self, outcome: &Outcome, why: &str) -> Vec<Id<'static>> {
        for (_, open) in std::mem::take(&mut self.open) {
            // Where it cannot be written down it reads as unknown, and nothing here depends on it.
            let _ = open.finish(rpc::unanswered(outcome.clone(), why)).await;
        }
        match self.waiting.end() {
            End::Complete => Vec::new(),
            End::Truncated { open, .. } => open,
        }
    }

    /// Records that a body was the answer in which there is no reply to the calls.
    pub(super) async fn answered_by(&mut self, status: StatusCode, body: &[u8]) {
        for (_, mut open) in std::mem::take(&mut self.open) {
            if rpc::is_absence(status) {
                open.blame();
            }
            let _ = open.finish(rpc::answered_by(status, body)).await;
        }
    }

    /// Whether who asked for one of the calls has said that it no longer waits.
    pub(super) fn is_cancelled(&self) -> bool {
        let ids = self.held.iter().filter_map(|(id, _)| id.clone());
        ids.filter_map(|id| self.key(id))
            .any(|key| self.inner.mcp.is_cancelled(&key))
    }

    /// Answers in place of the server.
    pub(super) fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        refusal.answer(&self.ids, self.batch)
    }

    fn key(&self, id: Id<'static>) -> Option<Key> {
        Some(Key::Request {
            server: self.origin.server.clone(),
            session: self.origin.session.clone()?,
            id,
        })
    }

    fn task_key(&self, task: &str) -> Key {
        Key::Task {
            server: self.origin.server.clone(),
            task: task.to_owned(),
        }
    }
}

/// What tells a server that nobody waits for a request any more.
pub(super) fn cancellation(id: &Id<'_>) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{}}}}}"#,
        id.text()
    )
}

pub(super) fn of_result(json: Json<'_>, read: &CallResult<'_>, outcome: Outcome) -> Ended {
    let mut ended = Ended::with(outcome);
    read.words().clone_into(&mut ended.output);
    let kept = json.text().to_owned();
    ended.kept.push((Field::Result, Media::Json, kept));
    ended
}

fn of_error(error: &RpcError<'_>) -> Ended {
    let mut ended = Ended::with(outcome_of(error));
    ended.output = error.message.clone().into_owned();
    let kept = serde_json::json!({ "code": error.code, "message": error.message }).to_string();
    ended.kept.push((Field::Result, Media::Json, kept));
    ended
}
