//! Agents that went back: the same call again is answered with what it got, or made anew on purpose.
//!
//! ```text
//!   call ──► one that an agent made since the state it went back to?
//!              │ yes                                      │ no
//!              ├─► it stands ──► its answer, recorded     └─► goes on; what it may have changed
//!              ├─► it is to fork ──► goes on, marked          is answered from the record no more
//!              └─► nobody knows, or nothing is kept ──► told so, and nothing is done
//! ```
//!
//! Messages to agents are calls here. Models are always asked anew, and reads too: neither changes
//! anything. Who went back is known to [`Replays`](super::replays::Replays).

use std::sync::Arc;
use std::time::Duration;

use model::{
    Body, Cause, CauseKind, DecisionId, Digest, EffectClass, Event, Evidence, Field, Kind, Media,
    Outcome, RunId, Status, Strength,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use wire::jsonrpc::Json;
use wire::mcp::CallResult;

use super::admit::{arguments_text, has_long_number};
use super::append::{Durable, RecordError, batch};
use super::call::{Call, What};
use super::place::Place;
use super::replays::{Known, Whose};
use super::touch::{canonical_of, canonical_text, identity};
use super::trace::merge;
use super::written::once;
use super::{Inner, Recorder};
use crate::EngineError;
use crate::replay::{Effective, FORK, REPLAY, Replay, To, said};
use crate::view::RestoredView;

/// How long the index may take to hold what was recorded before.
pub(super) const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(2);

/// A call that was answered with what an earlier one got. Nothing went out.
#[derive(Debug)]
pub struct Replayed {
    inner: Arc<Inner>,
    decision: DecisionId,
    run: RunId,
    of: DecisionId,
    result: String,
    durable: Option<Durable>,
}

impl Replayed {
    /// Returns the decision.
    #[must_use]
    pub const fn decision(&self) -> DecisionId {
        self.decision
    }

    /// Returns the run.
    #[must_use]
    pub const fn run(&self) -> RunId {
        self.run
    }

    /// Returns the decision whose answer it got.
    #[must_use]
    pub const fn of(&self) -> DecisionId {
        self.of
    }

    /// Returns the answer as it was recorded: a result of MCP, or of A2A in the version of its message.
    #[must_use]
    pub fn result(&self) -> &str {
        &self.result
    }

    /// Waits until it is in the record.
    ///
    /// # Errors
    /// [`RecordError`] if it is not.
    pub async fn durable(&mut self) -> Result<(), RecordError> {
        once(&mut self.durable, true, &self.inner).await
    }
}

/// What becomes of a call of an agent that went back.
pub(super) enum Again {
    /// Nothing is known of such a call.
    No,
    /// It is made anew, which this cause says.
    Fork(Cause),
    /// It gets an answer that was given before.
    Of(Recorded),
}

/// An answer that was given before.
pub(super) struct Recorded {
    taken: Taken,
    result: String,
}

/// What is looked for.
struct Wanted {
    to: To,
    same: Same,
    /// Whether the record does not have all of it.
    hides: bool,
}

/// By what a call or a message is the same.
enum Same {
    Arguments(Vec<u8>),
    Message(Digest),
}

impl Wanted {
    fn is(&self, effect: &Effective) -> bool {
        if effect.to != self.to {
            return false;
        }
        match (&self.to, &self.same) {
            (To::Tool(tool), Same::Arguments(same)) => {
                let is_it =
                    |asker: &DecisionId| identity(effect.run, *asker, tool, same) == effect.key;
                effect.askers.iter().any(is_it)
            }
            (_, Same::Message(said)) => effect.key == *said,
            (To::Agent(_), Same::Arguments(_)) => false,
        }
    }
}

/// What an agent answered, as the gateway keeps it.
#[derive(Deserialize)]
struct Told<'a> {
    #[serde(borrow)]
    answer: Option<&'a RawValue>,
    #[serde(default)]
    text: String,
}

fn told(result: &str) -> Option<Told<'_>> {
    serde_json::from_str(result).ok()
}

/// Where a call goes that can change something; none if it cannot.
pub(super) fn to(what: &What<'_>) -> Option<To> {
    match what {
        What::ToolCall { class, .. } if *class == EffectClass::Read => None,
        What::ToolCall { tool, .. } => Some(To::Tool((*tool).to_owned())),
        What::Message { to, .. } => Some(To::Agent((*to).to_owned())),
        What::Inference { .. } => None,
    }
}

/// An effect that is found again. Dropped before it is spent, it is there for the next.
struct Taken {
    inner: Arc<Inner>,
    whose: Whose,
    effect: Effective,
    forks: bool,
}

impl Taken {
    /// It is not found a second time.
    fn spent(self) {
        self.settle(Replay::spend);
    }

    /// It does not stand.
    fn ended(self) {
        self.settle(Replay::end);
    }

    fn settle(&self, how: fn(&mut Replay, DecisionId)) {
        let mut known = self.inner.replays.known();
        if let Some(replay) = known.by.get_mut(&self.whose) {
            how(replay, self.effect.decision);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut known = self.inner.replays.known();
        known.taken.remove(&self.effect.decision);
    }
}

impl Recorder {
    /// Gives an agent a state back, as [`Engine::restore`](crate::Engine::restore) does: its next
    /// calls know of it, and approvals that it waits for or has not used are void, also if whoever
    /// asked goes away meanwhile.
    ///
    /// # Errors
    /// As [`Engine::restore`](crate::Engine::restore).
    pub async fn restore(
        &self,
        run: RunId,
        agent: &str,
        forks: bool,
    ) -> Result<RestoredView, EngineError> {
        let (recorder, agent) = (self.clone(), agent.to_owned());
        let restored = async move {
            let inner = &recorder.inner;
            inner.appender.hurry();
            let (view, replay) = inner.engine.go_back(run, &agent, forks).await?;
            if let Some(replay) = replay {
                inner.replays.learn(replay);
            }
            let why = "its agent went back to an earlier state";
            recorder.void_approvals(run, Some(&agent), why);
            Ok(view)
        };
        self.to_its_end(restored).await
    }
}

impl Inner {
    /// Decides what becomes of a call of an agent that may have gone back.
    pub(super) async fn again(
        self: &Arc<Self>,
        place: &Place,
        call: &Call<'_>,
    ) -> Result<Again, RecordError> {
        if !self.replays.any() {
            return Ok(Again::No);
        }
        let Some(wanted) = self.wanted(call) else {
            return Ok(Again::No);
        };
        self.recollect(place).await?;
        // Calls to another server, or with arguments that only look the same.
        let mut others = Vec::new();
        while let Some(taken) = self.take(place, &wanted, &others) {
            let id = taken.effect.decision;
            let Some((status, result)) = self.recorded(id, &call.what).await? else {
                others.push(id);
                continue;
            };
            let known = match (status, result) {
                _ if wanted.hides => {
                    Err("it holds a secret, so whether it is the same is not known")
                }
                (Status::Succeeded, Some(result)) => Ok(result),
                // Who was told waits for more, and has said so.
                (Status::Unknown, Some(result)) if matches!(wanted.to, To::Agent(_)) => Ok(result),
                (Status::Succeeded, None) => Err("what it got is not kept"),
                (Status::Started, _) if self.engine.holds.in_flight(id) => {
                    Err("it is still being carried out")
                }
                (Status::Started | Status::Unknown, _) => {
                    Err("whether it was carried out is not known")
                }
                // It failed, or was revoked: nothing of it stands.
                _ => {
                    taken.ended();
                    continue;
                }
            };
            let safe = known.is_err() && taken.effect.class == EffectClass::Idempotent;
            if taken.forks || call.caller.fork || safe {
                taken.spent();
                return Ok(Again::Fork(of(id, FORK, Strength::Possible)));
            }
            return match known {
                Ok(result) => Ok(Again::Of(Recorded { taken, result })),
                Err(why) => Err(RecordError::Done { decision: id, why }),
            };
        }
        Ok(Again::No)
    }

    /// What is looked for, where a call or a message may have been made before.
    fn wanted(&self, call: &Call<'_>) -> Option<Wanted> {
        let to = to(&call.what)?;
        let (same, hides) = match (&call.what, &call.touches) {
            (What::ToolCall { arguments, .. }, None) => {
                (Same::Arguments(canonical_text(arguments)), false)
            }
            (_, Some(touches)) => (Same::Arguments(canonical_of(&touches.identity)), false),
            _ => {
                // The record has it without its secrets.
                let (asked, secrets) = match &self.options.redact {
                    Some(redact) => redact(call.asked.1),
                    None => (call.asked.1.into(), 0),
                };
                (Same::Message(said(&asked)?), secrets > 0)
            }
        };
        Some(Wanted { to, same, hides })
    }

    /// Takes the first effect that a call would have again.
    fn take(
        self: &Arc<Self>,
        place: &Place,
        wanted: &Wanted,
        others: &[DecisionId],
    ) -> Option<Taken> {
        let mut known = self.replays.known();
        let whose = known.whose(place.run.id, &place.agent);
        let Known { by, taken, .. } = &mut *known;
        let replay = by.get(&whose)?;
        let found = replay.effects().iter().find(|effect| {
            !taken.contains(&effect.decision)
                && !others.contains(&effect.decision)
                && wanted.is(effect)
        });
        let effect = found?.clone();
        let forks = replay.forks;
        taken.insert(effect.decision);
        Some(Taken {
            inner: Arc::clone(self),
            whose,
            effect,
            forks,
        })
    }

    /// Where a call stands and what it got, if that is kept; none if it was another call, to
    /// another server or with arguments that look the same.
    async fn recorded(
        &self,
        id: DecisionId,
        what: &What<'_>,
    ) -> Result<Option<(Status, Option<String>)>, RecordError> {
        self.appender.hurry();
        self.engine.caught_up(CAUGHT_UP_WITHIN).await;
        let read = async {
            let rows = self.engine.store().rows(&[id]).await?;
            let events = self.engine.events_of(id).await?;
            Ok::<_, EngineError>((rows, self.engine.recalled(&events).await?))
        };
        let (rows, recalled) = read.await.map_err(outage)?;
        let status = rows.first().map_or(Status::Unknown, |row| row.status);
        let What::ToolCall {
            server, arguments, ..
        } = what
        else {
            let answered = |text: &String| told(text).is_some_and(|told| told.answer.is_some());
            return Ok(Some((status, recalled.result.filter(answered))));
        };
        if recalled.server.is_some_and(|other| other != *server) {
            return Ok(None);
        }
        // More digits than the canonical form tells apart: then every character counts.
        if has_long_number(arguments)
            && recalled.asked.map(|asked| arguments_text(&asked)) != Some(arguments_text(arguments))
        {
            return Ok(None);
        }
        let whole = |text: &String| Json::parse(text).is_ok() && text.trim_start().starts_with('{');
        Ok(Some((status, recalled.result.filter(whole))))
    }

    /// Answers a call with what an earlier one got: nothing goes out. Its begin and its end are one
    /// append, so that no crash leaves a call of which nobody knows.
    pub(super) fn replay(
        self: &Arc<Self>,
        mut place: Place,
        mut call: Call<'_>,
        recorded: Recorded,
        blocks: bool,
    ) -> Result<Replayed, RecordError> {
        let Recorded { taken, result } = recorded;
        let id = taken.effect.decision;
        let kind = match taken.effect.to {
            To::Tool(_) => Kind::ToolCall,
            To::Agent(_) => Kind::Message,
        };
        place.causes.push(of(id, REPLAY, Strength::Certain));
        call.touches = None;
        let mut draft = self.draft(place, call, self.policy.unjudged())?;
        // It does nothing to the world.
        draft.effect = None;
        draft.proposal.effects.clear();
        let (answer, output) = answer_of(kind, &result);
        let mut causes = self.trace_end(&draft.traced, &output, &[]);
        causes.retain(|cause| !draft.known.contains(cause));
        merge(&mut draft.later, causes);
        let (decision, run) = (draft.traced.decision, draft.live.id);
        self.rescinded.said(&output, decision);
        self.rescinded.reached([id], run);
        let envelope = draft.live.envelope();
        let begun = Event {
            at: draft.at,
            body: Body::Begun {
                decision,
                proposal: draft.proposal,
            },
            id: draft.event,
            prev: None,
            v: 1,
        };
        let linked = self.linked(decision, draft.event, draft.later);
        let last = linked.last().map_or(draft.event, |event| event.id);
        let at = self.engine.next_time();
        let ends = self.engine.event_id(at);
        let kept = [(Field::Result, Media::Json, result.as_str().into())];
        let (sealed, beside) = self.seal(&envelope, ends, &kept, None)?;
        let finished = Event {
            at,
            body: Body::Finished {
                causes: Vec::new(),
                decision,
                effects: Vec::new(),
                outcome: Outcome::Replayed,
                sealed,
            },
            id: ends,
            prev: Some(last),
            v: 1,
        };
        let events: Vec<&Event> = draft
            .opening
            .iter()
            .chain([&begun])
            .chain(&linked)
            .chain([&finished])
            .collect();
        let payloads = draft.payload.into_iter().chain(beside).collect();
        let durable = self.write(batch(&events, payloads)?, blocks)?;
        taken.spent();
        metrics::counter!("rescind_calls_total", "kind" => kind.name(), "outcome" => "replayed")
            .increment(1);
        Ok(Replayed {
            inner: Arc::clone(self),
            decision,
            run,
            of: id,
            result: answer,
            durable: Some(durable),
        })
    }
}

/// The record cannot say whether a call was made before, so it is not made.
pub(super) fn outage(error: EngineError) -> RecordError {
    RecordError::Outage {
        reason: crate::chain(&error),
        spooled: false,
    }
}

fn of(decision: DecisionId, by: &str, strength: Strength) -> Cause {
    Cause {
        decision,
        evidence: Evidence::Explicit { by: by.to_owned() },
        kind: CauseKind::Result,
        strength,
    }
}

/// What is answered with a result as it was kept, and what that says, as a model reads it.
fn answer_of(kind: Kind, result: &str) -> (String, String) {
    if kind == Kind::Message {
        let told = told(result);
        let answer = told
            .as_ref()
            .and_then(|told| told.answer)
            .map(RawValue::get);
        let answer = answer.unwrap_or("{}").to_owned();
        return (answer, told.map(|told| told.text).unwrap_or_default());
    }
    let words = Json::parse(result).map(|json| CallResult::read(json).words().to_owned());
    (result.to_owned(), words.unwrap_or_default())
}
