//! Import: recorded runs from elsewhere become events, marked reconstructed.
//!
//! A file is decoded and checked whole before the first event is appended, so a file that is
//! refused leaves nothing behind. A run's ids follow from the file, so an import that was broken
//! off is completed by importing the file again, and one that was not adds nothing.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use ledger::digest::{sha256, sha256_parts};
use ledger::payload::Sealer;
use ledger::{Batch, Checkpoint, KeyState, Leaf, Note, SubjectKey, canonical, entropy};
use lineage::{Asked, History, Seen, Tracer};
use model::{
    Agent, Body, Cause, DecisionId, Digest, Event, EventId, Evidence, Field, HybridTime, Kind,
    Media, Origin, Proposal, Provenance, RunId, Strength, SubjectId,
};
use wire::import::{Format, Options, Run, Step};

use crate::record::{Envelope, Plain};
use crate::view::{ImportView, ImportedRunView};
use crate::{Engine, EngineError};

/// How many decisions are appended together. Large enough that a disk's sync costs little for
/// each, small enough that building the next batch overlaps with writing this one.
const BATCH_DECISIONS: usize = 1_024;

/// How many bytes of content close a batch early.
const BATCH_BYTES: usize = 4 << 20;

/// How many runs are opened together.
const RUNS_TOGETHER: usize = 512;

/// The longest name of an agent, tool, model or step, in bytes. Names stand in the leaf, which
/// cannot be erased and should stay small.
const NAME_BYTES_MAX: usize = 512;

/// How many causes stand in the leaf of a decision; further ones follow in a leaf of their own.
const CAUSES_PER_LEAF: usize = 16;

/// What to import.
#[derive(Clone, Copy, Debug)]
pub struct ImportOptions<'a> {
    /// What the file is.
    pub format: Format,
    /// The part of the file to import.
    pub pointer: Option<&'a str>,
    /// Name of the agent, where the format does not say it.
    pub agent: Option<&'a str>,
}

/// Is told how many decisions are done, and of how many.
pub type Progress<'a> = &'a mut (dyn FnMut(u64, u64) + Send);

/// A file that was decoded and checked whole, ready to be imported.
#[derive(Debug)]
pub struct Decoded<'a> {
    bytes: &'a [u8],
    options: ImportOptions<'a>,
    runs: Vec<Run<'a>>,
}

/// Decodes a file and checks all of it, before the record is touched.
///
/// # Errors
/// [`EngineError::Import`], [`EngineError::TooLong`], [`EngineError::Circle`].
pub fn decode_import<'a>(
    bytes: &'a [u8],
    options: ImportOptions<'a>,
) -> Result<Decoded<'a>, EngineError> {
    let wire = Options {
        pointer: options.pointer,
        agent: options.agent,
    };
    let runs = wire::import::read(options.format, bytes, &wire)?;
    for run in &runs {
        for (at, step) in run.steps.iter().enumerate() {
            check_step(at, step)?;
        }
    }
    Ok(Decoded {
        bytes,
        options,
        runs,
    })
}

/// What the record itself needs of a step, beyond what its format needs.
fn check_step(at: usize, step: &Step<'_>) -> Result<(), EngineError> {
    let names = [("agent", Some(&step.agent)), ("name", step.name.as_ref())];
    for (what, name) in names {
        let len = name.map_or(0, |name| name.len());
        if len > NAME_BYTES_MAX {
            let position = step.position.to_string();
            return Err(EngineError::TooLong {
                what,
                position,
                len,
                max: NAME_BYTES_MAX,
            });
        }
    }
    if step.links.iter().any(|link| link.step >= at) {
        return Err(EngineError::Circle {
            position: step.position.to_string(),
        });
    }
    Ok(())
}

/// A run on its way into the record.
struct Opened {
    run: RunId,
    /// When the run was opened, which its decisions' ids follow from.
    at: HybridTime,
    subject: SubjectId,
    /// The run's own first event, if this import is the first.
    opening: Option<Event>,
    /// The event that opened the run.
    head: EventId,
}

/// One step as it goes into a batch.
struct Built {
    leaves: Vec<Leaf>,
    payload: Option<(Digest, Vec<u8>)>,
    edges: u64,
}

impl Engine {
    /// Imports a decoded file and seals the log over it.
    ///
    /// # Errors
    /// [`EngineError::Store`] if the store fails on the way; importing again completes it.
    pub async fn import(
        &self,
        decoded: &Decoded<'_>,
        progress: Progress<'_>,
    ) -> Result<ImportView, EngineError> {
        let Decoded {
            bytes,
            options,
            runs,
        } = decoded;
        let file = sha256(bytes);
        // What earlier imports appended must be found before it is asked for.
        self.store
            .wait_indexed(self.store.status().await?.durable)
            .await?;
        let total = runs.iter().map(|run| run.steps.len() as u64).sum();
        let mut view = ImportView {
            runs: Vec::with_capacity(runs.len()),
            decisions: 0,
            edges: 0,
            orphans: 0,
            bytes: bytes.len() as u64,
            size: 0,
            root: String::new(),
        };
        let mut done = 0;
        let mut batch = Batch::default();
        for runs in runs.chunks(RUNS_TOGETHER) {
            let prepared = self.prepare(runs, file, options).await?;
            let mut feed = Feed::new(self, &prepared);
            loop {
                // While the store writes one batch, the next is built.
                let (appended, next) =
                    tokio::join!(self.append(std::mem::take(&mut batch)), async {
                        feed.batch()
                    });
                appended?;
                let (next, taken) = next?;
                done += taken;
                progress(done, total);
                if next.leaves.is_empty() {
                    break;
                }
                batch = next;
            }
            for imported in feed.done {
                if !imported.already {
                    view.decisions += imported.decisions;
                    view.edges += imported.edges;
                    view.orphans += imported.orphans;
                }
                view.runs.push(imported);
            }
        }
        self.append(batch).await?;
        let note = self.store.publish().await?;
        let note = Note::parse(note.as_bytes()).map_err(EngineError::Checkpoint)?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(EngineError::Checkpoint)?;
        view.size = checkpoint.size;
        view.root = STANDARD.encode(checkpoint.root.0);
        Ok(view)
    }

    /// Finds out what the record has of these runs already, and opens those that it lacks.
    async fn prepare<'r>(
        &self,
        runs: &'r [Run<'r>],
        file: Digest,
        options: &ImportOptions<'_>,
    ) -> Result<Vec<Prepared<'r>>, EngineError> {
        let mut prepared = Vec::with_capacity(runs.len());
        for run in runs {
            let origin = Origin {
                file,
                format: options.format.to_string(),
                part: Some(part_of(options, &run.position)),
            };
            let known = self.store.imported(&origin).await?;
            let already = known.as_ref().is_some_and(|row| row.whole);
            let opened = match known {
                Some(row) => Opened {
                    run: row.keys.run,
                    at: row.at,
                    subject: row.keys.subject,
                    opening: None,
                    head: self.event(row.first).await?.id,
                },
                None => self.open_run(run, origin)?,
            };
            prepared.push(Prepared {
                run,
                opened,
                key: None,
                already,
            });
        }
        // Together, so that they share the disk's syncs.
        let wanted = prepared.iter().map(|prepared| async {
            if prepared.already {
                return Ok(None);
            }
            self.subject_key(prepared.opened.subject).await.map(Some)
        });
        let keys: Result<Vec<_>, EngineError> = join_all(wanted).await.into_iter().collect();
        for (prepared, key) in prepared.iter_mut().zip(keys?) {
            prepared.key = key;
        }
        Ok(prepared)
    }

    /// Opens a run whose file is new to the record.
    fn open_run(&self, run: &Run<'_>, origin: Origin) -> Result<Opened, EngineError> {
        let at = self.next_time();
        let id = RunId::new(at.millis(), entropy::draw(&*self.entropy));
        let subject = SubjectId::new(at.millis(), entropy::draw(&*self.entropy));
        let external = run.external.as_ref().map(|name| cut(name, NAME_BYTES_MAX));
        let body = Body::RunOpened {
            external,
            origin: Some(origin),
            run: id,
            sealed: None,
            subject,
        };
        let head = self.event_id(at);
        let opening = Event {
            at,
            body,
            id: head,
            prev: None,
            v: 1,
        };
        Ok(Opened {
            run: id,
            at,
            subject,
            opening: Some(opening),
            head,
        })
    }

    async fn subject_key(&self, subject: SubjectId) -> Result<SubjectKey, EngineError> {
        Ok(match self.store.key(subject).await? {
            KeyState::Kept(key) => key,
            KeyState::Destroyed => {
                return Err(EngineError::Retained {
                    subject: subject.to_string(),
                    reason: "its key was destroyed while the import was broken off".to_owned(),
                });
            }
            KeyState::Absent => {
                let key = SubjectKey::generate(&*self.entropy);
                self.store.keep_key(subject, key.clone()).await?;
                key
            }
        })
    }

    async fn append(&self, batch: Batch) -> Result<(), EngineError> {
        if batch.leaves.is_empty() {
            return Ok(());
        }
        self.append_batch(batch).await?;
        Ok(())
    }

    fn environment_digest(&self, run: &Run<'_>) -> Result<Option<Digest>, EngineError> {
        if run.environment.is_empty() {
            return Ok(None);
        }
        let bytes =
            canonical::to_vec(&run.environment).map_err(|error| EngineError::Uncanonical {
                position: run.position.clone(),
                source: error,
            })?;
        Ok(Some(sha256(&bytes)))
    }

    /// Seals what the source says of a run beyond its steps.
    fn seal_opening(
        &self,
        sealer: &mut Sealer,
        envelope: &Envelope,
        event: &mut Event,
        run: &Run<'_>,
    ) -> Result<Option<(Digest, Vec<u8>)>, EngineError> {
        let snapshot = serde_json::to_string(&run.environment).unwrap_or_default();
        let mut plain = Vec::new();
        if let Some(title) = &run.title {
            plain.push(Plain {
                role: Field::Asked,
                media: Media::Text,
                text: title,
            });
        }
        if !run.environment.is_empty() {
            plain.push(Plain {
                role: Field::Environment,
                media: Media::Json,
                text: &snapshot,
            });
        }
        if let Some(rest) = &run.rest {
            plain.push(Plain {
                role: Field::Source,
                media: Media::Json,
                text: rest,
            });
        }
        let made = envelope
            .seal(sealer, &*self.entropy, event.id, &plain)
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
}

/// A run that is ready to go in.
struct Prepared<'r> {
    run: &'r Run<'r>,
    opened: Opened,
    /// The key of its subject; none where nothing is to be sealed.
    key: Option<SubjectKey>,
    already: bool,
}

/// Turns runs into batches of events, one after the other. A batch may end one run and begin the
/// next, so that many small runs cost no more syncs than one large one.
struct Feed<'e, 'r> {
    engine: &'e Engine,
    todo: std::slice::Iter<'e, Prepared<'r>>,
    current: Option<Builder<'e, 'r>>,
    sealer: Sealer,
    done: Vec<ImportedRunView>,
}

impl<'e, 'r> Feed<'e, 'r> {
    fn new(engine: &'e Engine, prepared: &'e [Prepared<'r>]) -> Self {
        Self {
            engine,
            todo: prepared.iter(),
            current: None,
            sealer: Sealer::new(),
            done: Vec::new(),
        }
    }

    /// Builds the next batch, and counts the steps that were taken for it.
    fn batch(&mut self) -> Result<(Batch, u64), EngineError> {
        let mut batch = Batch::default();
        let (mut taken, mut bytes) = (0, 0);
        while batch.leaves.len() < BATCH_DECISIONS && bytes < BATCH_BYTES {
            let Some(builder) = &mut self.current else {
                let Some(next) = self.todo.next() else { break };
                taken += self.begin(next, &mut batch)?;
                continue;
            };
            let Some(step) = builder.steps.next() else {
                batch.leaves.push(builder.end()?);
                self.done
                    .extend(self.current.take().map(|builder| builder.view));
                continue;
            };
            let built = builder.build(&mut self.sealer, step)?;
            taken += 1;
            builder.view.edges += built.edges;
            batch.leaves.extend(built.leaves);
            if let Some(payload) = built.payload {
                bytes += payload.1.len();
                batch.payloads.push(payload);
            }
        }
        Ok((batch, taken))
    }

    /// Begins a run; one that is in the record already is passed over, and its steps counted.
    fn begin(&mut self, next: &'e Prepared<'r>, batch: &mut Batch) -> Result<u64, EngineError> {
        let view = view_of(next);
        let Some(key) = &next.key else {
            let passed = view.decisions;
            self.done.push(view);
            return Ok(passed);
        };
        let envelope = Envelope {
            subject: next.opened.subject,
            key: key.clone(),
        };
        if let Some(mut event) = next.opened.opening.clone() {
            let payload =
                self.engine
                    .seal_opening(&mut self.sealer, &envelope, &mut event, next.run)?;
            batch.leaves.push(encode(&event, &next.run.position)?);
            batch.payloads.extend(payload);
        }
        self.current = Some(Builder {
            engine: self.engine,
            opened: &next.opened,
            environment: self.engine.environment_digest(next.run)?,
            envelope,
            tracer: Tracer::new(lineage::Options::default()),
            ids: Vec::with_capacity(next.run.steps.len()),
            asked: calls_by_asker(next.run),
            steps: next.run.steps.iter(),
            view,
        });
        Ok(0)
    }
}

fn view_of(prepared: &Prepared<'_>) -> ImportedRunView {
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

/// Turns the steps of one run into events.
struct Builder<'e, 'r> {
    engine: &'e Engine,
    opened: &'e Opened,
    environment: Option<Digest>,
    envelope: Envelope,
    tracer: Tracer,
    ids: Vec<DecisionId>,
    asked: Vec<Vec<Asked<'r>>>,
    steps: std::slice::Iter<'r, Step<'r>>,
    view: ImportedRunView,
}

impl<'r> Builder<'_, 'r> {
    /// The event that says that all of the run is in the record.
    fn end(&self) -> Result<Leaf, EngineError> {
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
            at: self.engine.next_time(),
            body,
            id,
            prev,
            v: 1,
        };
        encode(&event, &self.view.part)
    }

    fn build(&mut self, sealer: &mut Sealer, step: &Step<'r>) -> Result<Built, EngineError> {
        let at = self.ids.len();
        let position = step.position.to_string();
        let decision = DecisionId::new(self.opened.at.millis(), self.derive(b"decision", at));
        let event = EventId::new(self.opened.at.millis(), self.derive(b"event", at));
        self.ids.push(decision);
        let mut causes = self.causes(decision, at, step);
        let edges = causes.len() as u64;
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
            started: step.started,
        };
        let body = Body::Reconstructed {
            account: step.gaps.account(),
            decision,
            ended: step.ended,
            outcome: step.outcome.clone(),
            position: cut(&position, NAME_BYTES_MAX),
            proposal,
        };
        let event = Event {
            at: self.engine.next_time(),
            body,
            id: event,
            prev: None,
            v: 1,
        };
        let mut leaves = vec![encode(&event, &position)?];
        let mut prev = event.id;
        for (n, causes) in later.chunks(CAUSES_PER_LEAF * 4).enumerate() {
            let body = Body::Linked {
                causes: causes.to_vec(),
                decision,
            };
            let tag = format!("linked {n}");
            let id = EventId::new(self.opened.at.millis(), self.derive(tag.as_bytes(), at));
            let linked = Event {
                at: self.engine.next_time(),
                body,
                id,
                prev: Some(prev),
                v: 1,
            };
            leaves.push(encode(&linked, &position)?);
            prev = id;
        }
        Ok(Built {
            leaves,
            payload,
            edges,
        })
    }

    /// Ten bytes that follow from the run and the step: its number first, so that ids of one run
    /// sort as its steps do, then a digest.
    fn derive(&self, what: &[u8], at: usize) -> [u8; 10] {
        let number = u32::try_from(at).unwrap_or(u32::MAX);
        let digest = sha256_parts(&[self.opened.run.as_bytes(), what, &number.to_be_bytes()]);
        let mut bytes = [0u8; 10];
        bytes.copy_from_slice(&digest.0[..10]);
        // Of the first four bytes an id keeps 26 bits: the version and the variant take six.
        bytes[0] = (number >> 22) as u8 & 0x0f;
        bytes[1] = (number >> 14) as u8;
        bytes[2] = (number >> 8) as u8 & 0x3f;
        bytes[3] = number as u8;
        bytes
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
            if let Evidence::Value { at } = &mut cause.evidence {
                shorten_pointer(at);
            }
        }
        // The strongest first, so that what stands in the leaf is what matters.
        causes.sort_by_key(|cause| std::cmp::Reverse(cause.strength));
        causes
    }
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
    let mut plain: Vec<Plain<'s>> = texts
        .into_iter()
        .filter_map(|(role, text)| {
            text.as_ref().map(|text| Plain {
                role,
                media: text.media,
                text: &text.text,
            })
        })
        .collect();
    // What the fields say already is not kept twice.
    if !step.said {
        plain.push(Plain {
            role: Field::Source,
            media: Media::Json,
            text: &step.source,
        });
    }
    plain
}

fn encode(event: &Event, position: &str) -> Result<Leaf, EngineError> {
    Leaf::encode(event).map_err(|source| EngineError::Unrecordable {
        position: position.to_owned(),
        source,
    })
}

/// Names the part of the file, and whatever else decides what is read from it.
fn part_of(options: &ImportOptions<'_>, position: &str) -> String {
    let agent = options
        .agent
        .map_or(String::new(), |agent| format!(" as {agent}"));
    format!("{}{agent}", cut(position, NAME_BYTES_MAX))
}

/// Cuts a JSON Pointer to an ancestor that is short enough: keys of arguments can be of any
/// length, and a leaf cannot.
fn shorten_pointer(pointer: &mut String) {
    if pointer.len() <= NAME_BYTES_MAX {
        return;
    }
    let mut end = NAME_BYTES_MAX;
    while !pointer.is_char_boundary(end) {
        end -= 1;
    }
    let end = pointer[..end].rfind('/').unwrap_or(0);
    pointer.truncate(end);
}

/// Cuts a text to at most `max` bytes, at the border of a character.
fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let mut end = max.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}
