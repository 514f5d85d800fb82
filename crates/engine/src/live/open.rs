//! Begins and ends calls: decides who and where, makes the events, writes them down.

use std::borrow::Cow;
use std::sync::{Arc, PoisonError};

use guard::Heard;
use ledger::Batch;
use ledger::payload::Sealer;
use model::{
    Agent, Base, Body, Cause, CauseKind, DecisionId, Digest, Effect, Event, EventId, Evidence,
    Field, HybridTime, Kind, Media, PolicyUse, Proposal, Provenance, RunId, Sealed, Strength,
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::append::{RecordError, batch};
use super::aside::aside;
use super::call::{Call, Ended, OwnedItem, Touches, What, snapshot};
use super::flight::Flight;
use super::join::Asker;
use super::kept::{Answered, Continues, Held};
use super::pass::{Made, Pass};
use super::place::Place;
use super::repair::{Noted, Repaired};
use super::runs::LiveRun;
use super::touch::effect_of;
use super::trace::{Traced, merge};
use super::writes::View;
use super::written::Written;
use super::{InOutage, Inner, Recorder};
use crate::record::{Envelope, Plain};
use crate::text::cut;

/// The longest name that stands in a leaf, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 256;

/// How many causes stand in one leaf; further ones follow in leaves of their own.
pub(super) const CAUSES_PER_LEAF: usize = 16;

/// Prompts up to this length are traced at once, in bytes.
const TRACED_AT_ONCE: usize = 4 << 10;

/// A call that is under way. Dropped without [`finish`](Open::finish), its outcome is unknown.
#[derive(Debug)]
pub struct Open {
    pub(super) inner: Arc<Inner>,
    pub(super) traced: Arc<Traced>,
    pub(super) live: Arc<LiveRun>,
    pub(super) begun: EventId,
    pub(super) effect: Option<Effect>,
    pub(super) durable: Option<oneshot::Receiver<Result<(), RecordError>>>,
    pub(super) prompt: Prompt,
    /// Causes that the intent names already.
    pub(super) known: Vec<Cause>,
    /// What a model is sent in place of what was asked.
    pub(super) repaired: Option<Repaired>,
    /// What it continues on the provider's side.
    pub(super) continues: Continues,
    pub(super) blocks: bool,
    pub(super) touches: Option<Box<Touches>>,
    /// Who wrote before it to what it touches.
    pub(super) view: View,
    /// Lets it through to its target, which hears how it ended.
    pub(super) pass: Option<Pass>,
    /// What it says about its target, where the outcome alone does not.
    pub(super) heard: Option<Heard>,
    pub(super) flight: Flight,
}

/// A call as it is proposed, with everything that is written for it.
pub(super) struct Draft {
    pub(super) live: Arc<LiveRun>,
    /// The event that opens the run, if it is new.
    pub(super) opening: Option<Event>,
    pub(super) traced: Arc<Traced>,
    pub(super) effect: Option<Effect>,
    pub(super) known: Vec<Cause>,
    pub(super) proposal: Proposal,
    /// Causes that do not fit into the proposal.
    pub(super) later: Vec<Cause>,
    pub(super) payload: Option<(Digest, Vec<u8>)>,
    pub(super) at: HybridTime,
    /// The event that is to carry the proposal, under which it is sealed.
    pub(super) event: EventId,
    touches: Option<Box<Touches>>,
    continues: Continues,
    items: Option<Vec<OwnedItem>>,
    flight: Flight,
    /// What was taken out of it before it is sent.
    noted: Option<Noted>,
}

/// What a call depends on by what it was sent.
#[derive(Debug)]
pub(super) enum Prompt {
    /// It was sent nothing, or little enough to be traced on the way.
    Traced(Vec<Cause>),
    /// It is being traced.
    Soon(oneshot::Receiver<Vec<Cause>>),
}

/// What the leaf says of contents, and the ciphertext that lies beside the log.
pub(super) type SealedContents = (Option<Sealed>, Option<Ciphertext>);

/// What lies beside the log, under its digest.
pub(super) type Ciphertext = (Digest, Vec<u8>);

impl Recorder {
    /// Records that a call begins. On return its intent survives the end of this process.
    ///
    /// # Errors
    /// [`RecordError::Outage`] if the store takes nothing and policy says that such calls then
    /// stop; [`RecordError::Unfit`] if the call has no form that the record can hold.
    pub async fn begin(&self, call: Call<'_>) -> Result<Open, RecordError> {
        let inner = &self.inner;
        let blocks = inner.blocks(&call.what)?;
        inner.begin(call, blocks).await.inspect_err(|error| {
            if matches!(error, RecordError::Outage { .. }) {
                inner.health.refused();
            }
        })
    }
}

impl Inner {
    /// Returns whether such a call stops while the store is down, unless it does so now.
    pub(super) fn blocks(&self, what: &What<'_>) -> Result<bool, RecordError> {
        let effect = what.has_effect();
        let blocks = effect && self.options.tools_in_outage == InOutage::Block
            || !effect && self.options.models_in_outage == InOutage::Block;
        if blocks && let Some(outage) = self.health.outage() {
            self.health.refused();
            return Err(RecordError::Outage {
                reason: outage.reason,
                spooled: false,
            });
        }
        Ok(blocks)
    }

    pub(super) async fn begin(
        self: &Arc<Self>,
        call: Call<'_>,
        blocks: bool,
    ) -> Result<Open, RecordError> {
        let looks = matches!(call.what, What::Inference { sent: Some(_), .. });
        if looks && self.rescinded.any() {
            self.rescinded.loaded().await;
        }
        let mut place = self.place(&call).await?;
        let noted = match &call.what {
            What::Inference {
                sent: Some(layout), ..
            } if self.rescinded.any() => {
                let continues = Continues::from(&call.caller);
                self.repair(&mut place, &continues, layout).await?
            }
            _ => None,
        };
        let repaired = noted.as_ref().map(|noted| &noted.repaired);
        place.causes.extend(repaired.map(Repaired::cause));
        let policy = self.policy.unjudged();
        aside(call.asked.1.len(), || {
            let mut draft = self.draft(place, call, policy)?;
            draft.noted = noted;
            self.begin_draft(draft, None, None, blocks)
        })
    }

    /// Makes the proposal of a call, and everything that is written for it.
    pub(super) fn draft(
        self: &Arc<Self>,
        mut place: Place,
        call: Call<'_>,
        policy: PolicyUse,
    ) -> Result<Draft, RecordError> {
        let at = self.engine.next_time();
        let decision = DecisionId::new(at.millis(), ledger::entropy::draw(&*self.engine.entropy));
        let begun = self.engine.event_id(at);
        let (kind, name, to) = match &call.what {
            What::Inference { model, .. } => (Kind::Inference, *model, None),
            What::ToolCall { tool, .. } => (Kind::ToolCall, *tool, None),
            What::Message { to, .. } => (Kind::Message, *to, Some((*to).to_owned())),
        };
        let name = if name.is_empty() { "unknown" } else { name };
        let traced = Arc::new(Traced {
            decision,
            run: place.run.id,
            agent: place.agent.clone(),
            kind,
            // The tracer knows a tool by the name that the model used.
            name: place
                .joined
                .as_ref()
                .map_or(name, |asked| &asked.name)
                .to_owned(),
            to,
        });
        let flight = Flight::enter(self, &traced)?;
        let continues = Continues::from(&call.caller);
        let touches = call.touches.map(Box::new);
        let asked = (&call.what, call.asked.1);
        let effect = effect_of(&place, name, asked, touches.as_deref(), decision);
        let server = call.what.server().map(|name| cut(name, NAME_BYTES_MAX));
        let mut known = std::mem::take(&mut place.causes);
        let items = match call.what {
            What::Inference { items, .. } => Some(items),
            What::ToolCall {
                arguments, call_id, ..
            } => {
                let id = call_id.or(place.joined.as_ref().and_then(|asked| asked.id.as_deref()));
                let mut carried = self.trace_call(&traced, Some(arguments), None, id);
                if place.joined.as_ref().is_some_and(|asked| asked.repaired) {
                    self.rescinded.doubt(&mut carried);
                }
                merge(&mut known, carried);
                None
            }
            What::Message { text, .. } => {
                merge(&mut known, self.trace_call(&traced, None, Some(text), None));
                None
            }
        };
        let envelope = place.run.envelope();
        let mut kept = vec![(Field::Asked, call.asked.0, Cow::Borrowed(call.asked.1))];
        let snapshot = snapshot(call.environment);
        let environment = snapshot
            .as_ref()
            .map(|text| ledger::digest::sha256(text.as_bytes()));
        kept.extend(snapshot.map(|text| (Field::Environment, Media::Json, Cow::Owned(text))));
        let image = touches
            .as_ref()
            .and_then(|touches| self.image(&touches.before));
        kept.extend(image.map(|text| (Field::Before, Media::Json, Cow::Owned(text))));
        let kept = self.recordable(kept);
        let base = match kind {
            Kind::Inference => self.bodies().keep(place.run.id, decision, &kept[0].2),
            _ => None,
        };
        let (sealed, payload) = self.seal(&envelope, begun, &kept, base)?;
        let mut causes = known.clone();
        let later = causes.split_off(causes.len().min(CAUSES_PER_LEAF));
        let proposal = Proposal {
            agent: Agent {
                name: cut(&place.agent, NAME_BYTES_MAX),
                version: None,
            },
            causes,
            effects: effect.iter().cloned().collect(),
            environment,
            kind,
            known: Provenance::Observed,
            name: Some(cut(name, NAME_BYTES_MAX)),
            policy: Some(policy),
            run: place.run.id,
            sealed,
            server,
            started: Some(self.now()),
        };
        Ok(Draft {
            live: place.run,
            opening: place.opening,
            traced,
            effect,
            known,
            proposal,
            later,
            payload,
            at,
            event: begun,
            touches,
            continues,
            items,
            flight,
            noted: None,
        })
    }

    /// Begins a call that nothing holds: its intent. What a rule judged about its target goes
    /// before it.
    pub(super) fn begin_draft(
        self: &Arc<Self>,
        draft: Draft,
        judged: Option<Made>,
        pass: Option<Pass>,
        blocks: bool,
    ) -> Result<Open, RecordError> {
        let decision = draft.traced.decision;
        let event = Event {
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
        let (judged, beside) = judged.map(Made::parts).unzip();
        let (repaired, repairs, note) = match draft.noted {
            Some(noted) => (Some(noted.repaired), noted.events, noted.payload),
            None => (None, Vec::new(), None),
        };
        let events: Vec<&Event> = draft
            .opening
            .iter()
            .chain(&judged)
            .chain(&repairs)
            .chain([&event])
            .chain(&linked)
            .collect();
        let last = linked.last().map_or(draft.event, |event| event.id);
        let payloads = draft.payload.into_iter().chain(beside.flatten());
        let written = self.write(batch(&events, payloads.chain(note).collect())?, blocks)?;
        let (traced, items) = (draft.traced, draft.items);
        let prompt = match items {
            None => Prompt::Traced(Vec::new()),
            Some(items) if is_short(&items) => Prompt::Traced(self.trace_prompt(&traced, &items)),
            Some(items) => Prompt::Soon(self.trace_meanwhile(Arc::clone(&traced), items)),
        };
        self.health.opened();
        let view = self.engine.writes.begin(decision, draft.effect.as_ref());
        Ok(Open {
            inner: Arc::clone(self),
            traced,
            live: draft.live,
            begun: last,
            effect: draft.effect,
            durable: Some(written),
            prompt,
            known: draft.known,
            repaired,
            continues: draft.continues,
            blocks,
            touches: draft.touches,
            view,
            pass,
            heard: None,
            flight: draft.flight,
        })
    }

    /// Writes a batch into the journal and puts it in line for the log.
    pub(super) fn write(
        &self,
        batch: Batch,
        blocks: bool,
    ) -> Result<oneshot::Receiver<Result<(), RecordError>>, RecordError> {
        let place = match &self.journal {
            None => None,
            Some(journal) => match journal.put(&batch) {
                Ok(place) => Some(place),
                // Without a journal the log alone has to take it. While it does, nothing is lost;
                // while it does not, nothing may be let through.
                Err(_) if self.health.outage().is_none() && !blocks => None,
                Err(error) => {
                    return Err(RecordError::Outage {
                        reason: error.to_string(),
                        spooled: false,
                    });
                }
            },
        };
        Ok(self.appender.put(batch, place))
    }

    /// Finds the causes of an inference while the model works.
    fn trace_meanwhile(
        self: &Arc<Self>,
        traced: Arc<Traced>,
        items: Vec<OwnedItem>,
    ) -> oneshot::Receiver<Vec<Cause>> {
        let (found, causes) = oneshot::channel();
        let inner = Arc::clone(self);
        self.tasks.spawn(async move {
            let traced = aside(len_of(&items), || inner.trace_prompt(&traced, &items));
            let _ = found.send(traced);
        });
        causes
    }

    /// Frees contents of secrets, and of themselves where the operator keeps none.
    pub(super) fn recordable<'t>(
        &self,
        kept: Vec<(Field, Media, Cow<'t, str>)>,
    ) -> Vec<(Field, Media, Cow<'t, str>)> {
        let mut secrets = 0;
        let kept = kept
            .into_iter()
            .map(|(field, media, text)| {
                if !self.options.bodies && !matches!(field, Field::Environment | Field::Sent) {
                    let stands_for = format!("[{} bytes, not kept]", text.len());
                    return (field, Media::Text, Cow::Owned(stands_for));
                }
                let Some(redact) = &self.options.redact else {
                    return (field, media, text);
                };
                let (clean, found) = redact(&text);
                secrets += found;
                match clean {
                    Cow::Owned(clean) => (field, media, Cow::Owned(clean)),
                    Cow::Borrowed(_) => (field, media, text),
                }
            })
            .collect();
        if secrets > 0 {
            metrics::counter!("rescind_secrets_redacted_total").increment(u64::from(secrets));
        }
        kept
    }

    /// Seals contents; of the first, only what `base` does not have.
    pub(super) fn seal(
        &self,
        envelope: &Envelope,
        event: EventId,
        kept: &[(Field, Media, Cow<'_, str>)],
        base: Option<Base>,
    ) -> Result<SealedContents, RecordError> {
        let mut plain: Vec<Plain<'_>> = kept
            .iter()
            .map(|(role, media, text)| Plain {
                base: None,
                role: *role,
                media: *media,
                text,
            })
            .collect();
        if let (Some(base), Some(first)) = (base, plain.first_mut()) {
            let (head, tail) = (base.head as usize, base.tail as usize);
            first.text = &first.text[head..first.text.len() - tail];
            first.base = Some(base);
        }
        let mut sealer = self.sealers().pop().unwrap_or_default();
        let made = envelope.seal(&mut sealer, &*self.engine.entropy, event, &plain);
        self.sealers().push(sealer);
        let made = made.map_err(|error| RecordError::Unfit {
            reason: error.to_string(),
        })?;
        Ok(match made {
            Some((sealed, ciphertext)) => {
                let ct = sealed.ct;
                (Some(sealed), Some((ct, ciphertext)))
            }
            None => (None, None),
        })
    }

    /// Events for causes that do not fit into the first one.
    pub(super) fn linked(
        &self,
        decision: DecisionId,
        after: EventId,
        causes: Vec<Cause>,
    ) -> Vec<Event> {
        let mut prev = after;
        causes
            .chunks(CAUSES_PER_LEAF * 2)
            .map(|causes| {
                let body = Body::Linked {
                    causes: causes.to_vec(),
                    decision,
                };
                let event = self.engine.new_event(body, Some(prev));
                prev = event.id;
                event
            })
            .collect()
    }

    pub(super) fn runs(&self) -> std::sync::MutexGuard<'_, super::Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn joins(&self) -> std::sync::MutexGuard<'_, super::Joins> {
        self.joins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bodies(&self) -> std::sync::MutexGuard<'_, super::Bodies> {
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sealers(&self) -> std::sync::MutexGuard<'_, Vec<Sealer>> {
        self.sealers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Returns the decision.
    #[must_use]
    pub fn decision(&self) -> DecisionId {
        self.traced.decision
    }

    /// Returns the run.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.live.id
    }

    /// Returns the body to send in place of the one that was asked, where something rescinded was
    /// taken out of it.
    #[must_use]
    pub fn repaired(&self) -> Option<Arc<[u8]>> {
        Some(Arc::clone(&self.repaired.as_ref()?.body))
    }

    /// Returns what is cancelled when the call is to end early: because recording stops, or because
    /// a rollback holds its agent and does not wait.
    #[must_use]
    pub const fn called_off(&self) -> &CancellationToken {
        self.flight.called_off()
    }

    /// Returns the agent that the call is recorded for.
    #[must_use]
    pub fn agent(&self) -> &str {
        &self.traced.agent
    }

    /// Goes through the breaker of a target, which hears of the end of the call.
    pub fn go_through(&mut self, pass: Pass) {
        self.pass = Some(pass);
    }

    /// Tells the target what this try says about it; the call goes on elsewhere.
    pub fn tell(&mut self, heard: Heard) {
        if let Some(pass) = self.pass.take() {
            pass.ended(heard, Some(self));
        }
    }

    /// Says that the target failed, whatever the outcome of the call says: of a call that nobody
    /// answered it is not known how it ended, and known that there was no answer.
    pub fn blame(&mut self) {
        self.heard = Some(Heard::Failed);
    }

    /// Records how the call ended. On return the outcome survives the end of this process;
    /// [`Written::durable`] tells when it survives more.
    ///
    /// # Errors
    /// [`RecordError::Outage`] if it cannot be written down at all: the call then reads as
    /// unknown, and the gap that follows counts it.
    pub async fn finish(mut self, ended: Ended) -> Result<Written, RecordError> {
        let none = Prompt::Traced(Vec::new());
        let causes = match std::mem::replace(&mut self.prompt, none) {
            Prompt::Traced(causes) => causes,
            Prompt::Soon(causes) => causes.await.unwrap_or_default(),
        };
        let bytes = ended.kept.iter().map(|(_, _, text)| text.len()).sum();
        aside(bytes, || self.end(ended, causes))
    }

    /// Writes the end of a call down, which depends on `causes` by what it was sent.
    fn end(mut self, ended: Ended, mut causes: Vec<Cause>) -> Result<Written, RecordError> {
        let inner = Arc::clone(&self.inner);
        let mut said = inner.trace_end(&self.traced, &ended.output, &ended.asked);
        if let Some(repaired) = &self.repaired {
            repaired.clear(&mut causes, &mut said, &inner.rescinded);
        }
        self.remember(&ended, &causes);
        merge(&mut causes, said);
        merge(&mut causes, self.relied_on(&ended));
        merge(&mut causes, ended.causes);
        causes.retain(|cause| !self.known.contains(cause));
        let Traced {
            decision,
            run,
            agent,
            ..
        } = &*self.traced;
        inner.rescinded.said(&ended.output, *decision);
        inner
            .rescinded
            .reached(causes.iter().map(|cause| cause.decision), *run);
        // Whoever gets an answer that asks for tools acts upon it, so it stops where they would.
        let acts = !ended.asked.is_empty() && inner.options.tools_in_outage == InOutage::Block;
        let blocks = self.blocks || acts;
        if !ended.asked.is_empty() {
            let by = Asker {
                run: *run,
                agent,
                decision: *decision,
                repaired: self.repaired.is_some(),
            };
            inner.joins().asked(by, &ended.asked);
        }
        let heard = self.heard.unwrap_or_else(|| Heard::of(&ended.outcome));
        let status = model::Status::from(&ended.outcome).name();
        metrics::counter!("rescind_calls_total", "kind" => self.traced.kind.name(), "outcome" => status)
            .increment(1);
        let at = inner.engine.next_time();
        let id = inner.engine.event_id(at);
        let envelope = self.live.envelope();
        let kept = ended
            .kept
            .into_iter()
            .chain(self.repaired.as_ref().map(Repaired::sent))
            .map(|(field, media, text)| (field, media, Cow::Owned(text)))
            .collect();
        let kept = inner.recordable(kept);
        let (sealed, payload) = inner.seal(&envelope, id, &kept, None)?;
        let later = causes.split_off(causes.len().min(CAUSES_PER_LEAF));
        let body = Body::Finished {
            causes,
            decision: *decision,
            effects: self.effect.take().into_iter().collect(),
            outcome: ended.outcome,
            sealed,
        };
        let event = Event {
            at,
            body,
            id,
            prev: Some(self.begun),
            v: 1,
        };
        let linked = inner.linked(*decision, id, later);
        let events: Vec<&Event> = [&event].into_iter().chain(&linked).collect();
        let batch = batch(&events, payload.into_iter().collect())?;
        let durable = inner
            .write(batch, blocks)
            .inspect_err(|_| inner.health.lost())?;
        if let Some(pass) = self.pass.take() {
            pass.ended(heard, Some(&self));
        }
        Ok(Written {
            inner: Arc::clone(&inner),
            durable,
            blocks,
        })
    }
}

impl Open {
    /// Remembers what an answer left with the provider, before anybody can continue it.
    fn remember(&mut self, ended: &Ended, told: &[Cause]) {
        let continues = std::mem::take(&mut self.continues);
        if ended.answer_id.is_none() && continues.conversation.is_none() {
            return;
        }
        let told = [&self.known, told].concat();
        let taken = self.repaired.iter().flat_map(|repaired| &repaired.taken);
        let answer = Answered {
            run: self.traced.run,
            decision: self.traced.decision,
            before: continues.previous,
            held: Held::of(self.traced.decision, &told, taken.copied()),
        };
        self.inner
            .runs()
            .answered(ended.answer_id.clone(), continues.conversation, answer);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.inner.health.ended();
    }
}

/// Whether tracing a prompt takes less time than handing it to another task.
fn is_short(items: &[OwnedItem]) -> bool {
    len_of(items) <= TRACED_AT_ONCE
}

fn len_of(items: &[OwnedItem]) -> usize {
    items.iter().map(|item| item.text.len()).sum()
}

pub(super) fn explicit(decision: DecisionId, kind: CauseKind, by: &str) -> Cause {
    Cause {
        decision,
        evidence: Evidence::Explicit { by: by.to_owned() },
        kind,
        strength: Strength::Certain,
    }
}
