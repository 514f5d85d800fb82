//! Who calls, and in which run.

use std::sync::Arc;

use model::{Body, Cause, CauseKind, Event, Evidence, RunId, Strength};

use super::Inner;
use super::append::RecordError;
use super::call::{Call, OwnedItem, What};
use super::join::Asked;
use super::kept::PREVIOUS;
use super::open::{NAME_BYTES_MAX, explicit};
use super::runs::{LiveRun, Name, from_record, names, session_name};
use crate::text::cut;

/// What callers that nobody names are called.
const NAMELESS: &str = "unnamed";

/// Where a call belongs.
pub(super) struct Place {
    pub(super) run: Arc<LiveRun>,
    /// The event that opens the run, if it is new.
    pub(super) opening: Option<Event>,
    pub(super) agent: String,
    pub(super) joined: Option<Asked>,
    pub(super) causes: Vec<Cause>,
}

impl Inner {
    /// Decides who calls and in which run.
    pub(super) async fn place(&self, call: &Call<'_>) -> Result<Place, RecordError> {
        let caller = &call.caller;
        let mut causes: Vec<Cause> = caller
            .causes
            .iter()
            .map(|decision| explicit(*decision, CauseKind::Parent, "x-rescind-cause"))
            .collect();
        let named = names(caller);
        let mut run = None;
        for name in &named {
            run = self.named(name).await;
            if run.is_some() {
                break;
            }
        }
        let answer = caller.previous.as_ref().and_then(|previous| {
            let mut runs = self.runs();
            let answer = runs.answer(previous)?;
            Some((answer.run, answer.decision))
        });
        if let Some((answered, decision)) = answer {
            causes.push(explicit(decision, CauseKind::Context, PREVIOUS));
            if run.is_none() && named.is_empty() {
                run = self.known(answered).await;
            }
        }
        let mut joined = None;
        if let What::ToolCall {
            server,
            tool,
            arguments,
            call_id,
            ..
        } = &call.what
        {
            let wanted = (caller.agent.as_deref(), run.as_ref().map(|run| run.id));
            joined = self.joins().take(server, tool, arguments, wanted, *call_id);
            if let (Some(asked), None) = (&joined, &run)
                && named.is_empty()
            {
                run = self.known(asked.run).await;
            }
            if let Some(asked) = &joined {
                let evidence = match (call_id, &asked.id) {
                    (Some(_), Some(_)) => Evidence::CallId,
                    _ => Evidence::NameAndArguments,
                };
                causes.push(Cause {
                    decision: asked.decision,
                    evidence,
                    kind: CauseKind::Call,
                    strength: Strength::Certain,
                });
            }
        }
        if run.is_none()
            && named.is_empty()
            && let What::Inference { items, .. } = &call.what
            && let Some((continued, _)) = self.continued(items)
        {
            run = self.known(continued).await;
        }
        let mut name = named.into_iter().next();
        if run.is_none()
            && name.is_none()
            && let Some(session) = session_name(caller)
        {
            run = self.named(&session).await;
            name = Some(session);
        }
        let agent = caller
            .agent
            .clone()
            .or_else(|| joined.as_ref().map(|asked| asked.agent.clone()))
            .unwrap_or_else(|| match &call.what {
                What::Inference { items, .. } => nameless(items),
                What::ToolCall { .. } | What::Message { .. } => NAMELESS.to_owned(),
            });
        let (run, opening) = match run {
            Some(run) => (run, None),
            None => {
                let (run, opening) = self.open_run(name.as_ref()).await;
                (run, Some(opening))
            }
        };
        self.runs().remember(&run, name.as_ref());
        self.replays.follow(&caller.causes, run.id, &agent).await;
        Ok(Place {
            run,
            opening,
            agent,
            joined,
            causes,
        })
    }

    async fn named(&self, name: &Name) -> Option<Arc<LiveRun>> {
        let known = self.runs().named(name);
        // A header may give one of our own ids back.
        match known.or_else(|| name.external().parse().ok()) {
            Some(run) => self.known(run).await,
            None => None,
        }
    }

    pub(super) async fn known(&self, run: RunId) -> Option<Arc<LiveRun>> {
        if let Some(live) = self.runs().known(run) {
            return Some(live);
        }
        // What cannot be looked up now begins a new run, which says what it is called.
        let live = Arc::new(from_record(&self.engine, run).await.ok()??);
        self.runs().remember(&live, None);
        Some(live)
    }

    async fn open_run(&self, name: Option<&Name>) -> (Arc<LiveRun>, Event) {
        let (subject, key) = self.subjects.take().await;
        let at = self.engine.next_time();
        let id = RunId::new(at.millis(), ledger::entropy::draw(&*self.engine.entropy));
        let body = Body::RunOpened {
            external: name.map(|name| cut(name.external(), NAME_BYTES_MAX)),
            origin: None,
            run: id,
            sealed: None,
            subject,
        };
        let event = Event {
            at,
            body,
            id: self.engine.event_id(at),
            prev: None,
            v: 1,
        };
        (Arc::new(LiveRun { id, subject, key }), event)
    }
}

/// What an agent is called that nobody names: its instructions tell it from others.
fn nameless(items: &[OwnedItem]) -> String {
    let mut instructions = items
        .iter()
        .filter(|item| item.role == lineage::Role::System)
        .peekable();
    if instructions.peek().is_none() {
        return NAMELESS.to_owned();
    }
    let parts: Vec<&[u8]> = instructions.map(|item| item.text.as_bytes()).collect();
    let digest = ledger::digest::sha256_parts(&parts);
    let short: String = digest.0[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("agent-{short}")
}
