//! One run becomes events: its opening, a decision for each step, and its end.

use std::collections::BTreeSet;

use ledger::digest::{sha256, sha256_parts};
use ledger::payload::Sealer;
use ledger::{Leaf, SubjectKey, canonical};
use lineage::{Asked, History, Seen, Tracer};
use model::{
    Agent, Body, Cause, DecisionId, Digest, Event, EventId, Field, HybridTime, Kind, Media,
    Proposal, Provenance, Strength,
};
use wire::import::{Run, Step};

use super::lot::Times;
use super::{NAME_BYTES_MAX, Opened, Prepared, alike};
use crate::record::{Envelope, Plain};
use crate::text::{cut, shorten_evidence};
use crate::view::ImportedRunView;
use crate::{Engine, EngineError};

/// How many causes stand in the leaf of a decision; further ones follow in a leaf of their own.
const CAUSES_PER_LEAF: usize = 16;

/// How many causes stand in each of those leaves.
const CAUSES_PER_LINK: usize = CAUSES_PER_LEAF * 4;

/// A ciphertext under its digest.
pub(super) type Payload = (Digest, Vec<u8>);

/// Turns the steps of one run into events.
pub(super) struct Builder<'e, 'r> {
    engine: &'e Engine,
    opened: &'e Opened,
    environment: Option<Digest>,
    envelope: Envelope,
    tracer: Tracer,
    ids: Vec<DecisionId>,
    asked: Vec<Vec<Asked<'r>>>,
    steps: std::slice::Iter<'r, Step<'r>>,
    /// What has been built, as it is shown.
    view: ImportedRunView,
}

impl<'e, 'r> Builder<'e, 'r> {
    /// Begins a run: opens it, if it is not open, and returns what goes with its first event.
    pub(super) fn begin(
        engine: &'e Engine,
        next: &'e Prepared<'r>,
        key: &SubjectKey,
        tracer: Tracer,
        sealer: &mut Sealer,
        leaves: &mut Vec<Leaf>,
    ) -> Result<(Self, Option<Payload>), EngineError> {
        let envelope = Envelope {
            subject: next.opened.subject,
            key: key.clone(),
        };
        let mut payload = None;
        if let Some(mut event) = next.opened.opening.clone() {
            payload = seal_opening(engine, sealer, &envelope, &mut event, next.run)?;
            leaves.push(encode(&event, &next.run.position)?);
        }
        let builder = Self {
            engine,
            opened: &next.opened,
            environment: environment_digest(next.run)?,
            envelope,
            tracer,
            ids: Vec::with_capacity(next.run.steps.len()),
            asked: calls_by_asker(next.run),
            steps: next.run.steps.iter(),
            view: view_of(next),
        };
        Ok((builder, payload))
    }

    /// The next step to build.
    pub(super) fn next(&mut self) -> Option<&'r Step<'r>> {
        self.steps.next()
    }

    /// The steps that are not built yet.
    pub(super) fn left(&self) -> std::slice::Iter<'r, Step<'r>> {
        self.steps.clone()
    }

    /// The event that says that all of the run is in the record.
    pub(super) fn end(&self, at: HybridTime) -> Result<Leaf, EngineError> {
        let body = Body::RunImported {
            decisions: self.view.decisions,
            run: self.opened.run,
        };
        // Its id follows from the run like all others, so that it too is appended once.
        let id = EventId::new(
            self.opened.at.millis(),
            self.derive(b"imported", self.ids.len()),
        );
        let prev = Some(self.opened.head);
        let event = Event {
            at,
            body,
            id,
            prev,
            v: 1,
        };
        encode(&event, &self.view.part)
    }

    /// What is shown of the run once it is built, and the tracer, which knows nothing any more.
    pub(super) fn done(mut self) -> (ImportedRunView, Tracer) {
        self.tracer.clear();
        (self.view, self.tracer)
    }

    /// Builds one step: its leaves, and the payload that they name.
    pub(super) fn build(
        &mut self,
        sealer: &mut Sealer,
        step: &'r Step<'r>,
        times: &mut Times<'_>,
        leaves: &mut Vec<Leaf>,
    ) -> Result<Option<Payload>, EngineError> {
        let at = self.ids.len();
        let decision = DecisionId::new(self.opened.at.millis(), self.derive(b"decision", at));
        let event = EventId::new(self.opened.at.millis(), self.derive(b"event", at));
        self.ids.push(decision);
        let mut causes = self.causes(decision, at, step);
        self.view.edges += causes.len() as u64;
        let later = causes.split_off(causes.len().min(CAUSES_PER_LEAF));
        let sealed = self
            .envelope
            .seal(sealer, &*self.engine.entropy, event, &contents(step))
            .map_err(|source| EngineError::Content {
                event: event.to_string(),
                source,
            })?;
        let (sealed, payload) = match sealed {
            Some((sealed, ciphertext)) => {
                let ct = sealed.ct;
                (Some(sealed), Some((ct, ciphertext)))
            }
            None => (None, None),
        };
        let proposal = Proposal {
            agent: Agent {
                name: step.agent.clone().into_owned(),
                version: step.agent_version.as_ref().map(|v| cut(v, NAME_BYTES_MAX)),
            },
            causes,
            effects: Vec::new(),
            environment: self.environment,
            kind: step.kind,
            known: Provenance::Reconstructed,
            name: step.name.clone().map(std::borrow::Cow::into_owned),
            policy: None,
            run: self.opened.run,
            sealed,
            server: None,
            started: step.started,
        };
        let body = Body::Reconstructed {
            account: step.gaps.account(),
            decision,
            ended: step.ended,
            outcome: step.outcome.clone(),
            position: position_of(step),
            proposal,
        };
        let event = Event {
            at: times.next(),
            body,
            id: event,
            prev: None,
            v: 1,
        };
        leaves.push(encode(&event, &step.position)?);
        let mut prev = event.id;
        for (n, causes) in later.chunks(CAUSES_PER_LINK).enumerate() {
            let body = Body::Linked {
                causes: causes.to_vec(),
                decision,
            };
            let tag = format!("linked {n}");
            let id = EventId::new(self.opened.at.millis(), self.derive(tag.as_bytes(), at));
            let linked = Event {
                at: times.next(),
                body,
                id,
                prev: Some(prev),
                v: 1,
            };
            leaves.push(encode(&linked, &step.position)?);
            prev = id;
        }
        Ok(payload)
    }

    /// Ten bytes that follow from the run and the step: first what all ids of the run begin with,
    /// then the number of the step, so that neighbours in the log are neighbours in every index
    /// of ids, then a digest.
    fn derive(&self, what: &[u8], at: usize) -> [u8; 10] {
        let number = u32::try_from(at).unwrap_or(u32::MAX);
        let run = self.opened.run;
        let digest = sha256_parts(&[run.as_bytes(), what, &number.to_be_bytes()]).0;
        let mut bytes = [0u8; 10];
        if self.opened.alike {
            // Of the third byte an id keeps six bits: the version and the variant take six.
            bytes[2..6].copy_from_slice(&(number << 4).to_be_bytes());
            bytes[2] = (number >> 20) as u8 & 0x3f;
            bytes[5] |= digest[0] & 0x0f;
            bytes[6..].copy_from_slice(&digest[1..5]);
            alike(run, bytes)
        } else {
            // As runs began that were opened before ids of one run began alike.
            bytes.copy_from_slice(&digest[..10]);
            bytes[0] = (number >> 22) as u8 & 0x0f;
            bytes[1] = (number >> 14) as u8;
            bytes[2] = (number >> 8) as u8 & 0x3f;
            bytes[3] = number as u8;
            bytes
        }
    }

    /// What the step depends on: what the source states, and what its content shows.
    fn causes(&mut self, decision: DecisionId, at: usize, step: &Step<'r>) -> Vec<Cause> {
        let explicit: Vec<Cause> = step
            .links
            .iter()
            .map(|link| Cause {
                decision: self.ids[link.step],
                evidence: link.evidence.clone(),
                kind: link.kind,
                strength: Strength::Certain,
            })
            .collect();
        let call = step.kind == Kind::ToolCall;
        let output = if call { &step.result } else { &step.chosen };
        let output = output.as_ref().or(step.result.as_ref());
        let seen = Seen {
            name: step.name.as_deref(),
            history: History::Continues,
            arguments: step
                .asked
                .as_ref()
                .filter(|_| call)
                .map(|asked| &*asked.text),
            output: output.map(|text| &*text.text),
            asked: &self.asked[at],
            call_id: step.call_id.as_deref(),
            to: step.to.as_deref(),
            standing: step.kind == Kind::Message && &*step.agent == "system",
            explicit: &explicit,
            ..Seen::new(decision, self.opened.run, &step.agent, step.kind)
        };
        let mut causes = self.tracer.observe(&seen);
        for cause in &mut causes {
            shorten_evidence(&mut cause.evidence);
        }
        // The strongest first, so that what stands in the leaf is what matters.
        causes.sort_by_key(|cause| std::cmp::Reverse(cause.strength));
        causes
    }
}

/// The most leaves that a step becomes.
pub(super) fn leaves_max(step: &Step<'_>) -> usize {
    let causes = lineage::Options::default().causes_max + step.links.len();
    1 + causes
        .saturating_sub(CAUSES_PER_LEAF)
        .div_ceil(CAUSES_PER_LINK)
}

/// About how many bytes of content a step has.
pub(super) fn weight(step: &Step<'_>) -> usize {
    let texts = [&step.asked, &step.chosen, &step.reasoning, &step.result];
    let texts = texts.into_iter().flatten().map(|text| text.text.len());
    texts.chain(step.unsaid().map(str::len)).sum()
}

/// What is shown of a run before it is built.
pub(super) fn view_of(prepared: &Prepared<'_>) -> ImportedRunView {
    let run = prepared.run;
    let agents: BTreeSet<&str> = run.steps.iter().map(|step| &*step.agent).collect();
    ImportedRunView {
        id: prepared.opened.run.to_string(),
        external: run.external.clone(),
        part: run.position.clone(),
        agents: agents.into_iter().map(str::to_owned).collect(),
        decisions: run.steps.len() as u64,
        edges: 0,
        orphans: run
            .steps
            .iter()
            .filter(|step| step.marks.orphaned_call)
            .count() as u64,
        already: prepared.already,
    }
}

fn environment_digest(run: &Run<'_>) -> Result<Option<Digest>, EngineError> {
    if run.environment.is_empty() {
        return Ok(None);
    }
    let bytes = canonical::to_vec(&run.environment).map_err(|error| EngineError::Uncanonical {
        position: run.position.clone(),
        source: error,
    })?;
    Ok(Some(sha256(&bytes)))
}

/// Seals what the source says of a run beyond its steps.
fn seal_opening(
    engine: &Engine,
    sealer: &mut Sealer,
    envelope: &Envelope,
    event: &mut Event,
    run: &Run<'_>,
) -> Result<Option<Payload>, EngineError> {
    let snapshot = serde_json::to_string(&run.environment).unwrap_or_default();
    let mut plain = Vec::new();
    if let Some(title) = &run.title {
        plain.push(Plain {
            base: None,
            role: Field::Asked,
            media: Media::Text,
            text: title,
        });
    }
    if !run.environment.is_empty() {
        plain.push(Plain {
            base: None,
            role: Field::Environment,
            media: Media::Json,
            text: &snapshot,
        });
    }
    if let Some(rest) = &run.rest {
        plain.push(Plain {
            base: None,
            role: Field::Source,
            media: Media::Json,
            text: rest,
        });
    }
    let made = envelope
        .seal(sealer, &*engine.entropy, event.id, &plain)
        .map_err(|source| EngineError::Content {
            event: event.id.to_string(),
            source,
        })?;
    Ok(made.map(|(seen, ciphertext)| {
        let ct = seen.ct;
        if let Body::RunOpened { sealed, .. } = &mut event.body {
            *sealed = Some(seen);
        }
        (ct, ciphertext)
    }))
}

/// The calls that each step asks for, by the step that the source links them to.
fn calls_by_asker<'r>(run: &'r Run<'r>) -> Vec<Vec<Asked<'r>>> {
    let mut asked: Vec<Vec<Asked<'r>>> = vec![Vec::new(); run.steps.len()];
    for step in run.steps.iter().filter(|step| step.kind == Kind::ToolCall) {
        let asker = step
            .links
            .iter()
            .find(|link| link.kind == model::CauseKind::Call);
        let (Some(link), Some(name)) = (asker, step.name.as_deref()) else {
            continue;
        };
        if let Some(calls) = asked.get_mut(link.step) {
            let arguments = step.asked.as_ref().map_or("{}", |asked| &*asked.text);
            calls.push(Asked {
                id: step.call_id.as_deref(),
                name,
                arguments,
            });
        }
    }
    asked
}

/// The contents of a step, in the order in which they are shown.
fn contents<'s>(step: &'s Step<'_>) -> Vec<Plain<'s>> {
    let texts = [
        (Field::Asked, &step.asked),
        (Field::Chosen, &step.chosen),
        (Field::Reasoning, &step.reasoning),
        (Field::Result, &step.result),
    ];
    let mut plain: Vec<Plain<'s>> = Vec::with_capacity(texts.len() + 1);
    plain.extend(texts.into_iter().filter_map(|(role, text)| {
        text.as_ref().map(|text| Plain {
            base: None,
            role,
            media: text.media,
            text: &text.text,
        })
    }));
    // What the fields say already is not kept twice.
    plain.extend(step.unsaid().map(|text| Plain {
        base: None,
        role: Field::Source,
        media: Media::Json,
        text,
    }));
    plain
}

/// Where a step lies, as its event says it.
fn position_of(step: &Step<'_>) -> String {
    let position = step.position.to_string();
    match position.len() {
        0..=NAME_BYTES_MAX => position,
        _ => cut(&position, NAME_BYTES_MAX),
    }
}

fn encode(event: &Event, position: &dyn std::fmt::Display) -> Result<Leaf, EngineError> {
    Leaf::encode(event).map_err(|source| EngineError::Unrecordable {
        position: position.to_string(),
        source,
    })
}
