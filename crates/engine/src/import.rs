//! Import: recorded runs from elsewhere become events, marked reconstructed.
//!
//! A file is decoded and checked whole before the first event is appended, so a file that is
//! refused leaves nothing behind. A run's ids follow from the file, so an import that was broken
//! off is completed by importing the file again, and one that was not adds nothing.

mod build;
mod lot;
mod writing;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use futures_util::future::maybe_done;
use ledger::digest::sha256;
use ledger::{Checkpoint, KeyState, Note, SubjectKey, entropy};
use model::{Body, Digest, Event, EventId, HybridTime, Origin, RunId, SubjectId};
use wire::import::{Format, Options, Run, Step};

use self::lot::Feed;
use self::writing::Writing;
use crate::at_once::{at_once, cores};
use crate::text::cut;
use crate::view::ImportView;
use crate::{Engine, EngineError};

/// How many runs are opened together. The index keeps those of one millisecond interleaved, and
/// writes more pages the more there are.
const RUNS_TOGETHER: usize = 512;

/// The longest name of an agent, tool, model or step, in bytes. Names stand in the leaf, which
/// cannot be erased and should stay small.
const NAME_BYTES_MAX: usize = 512;

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
    bytes: u64,
    file: Digest,
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
    let (runs, file) = std::thread::scope(|scope| {
        // Beside the decoder: of a large file this takes as long as importing some of it.
        let file = scope.spawn(|| sha256(bytes));
        let (cores, format) = (cores(), options.format);
        let runs = wire::import::read_at_once(format, bytes, &wire, cores, &|pieces, work| {
            let mut numbers: Vec<usize> = (0..pieces).collect();
            at_once(&mut numbers, |number| work(*number));
        });
        match file.join() {
            Ok(file) => (runs, file),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    let runs = runs?;
    for run in &runs {
        for (at, step) in run.steps.iter().enumerate() {
            check_step(at, step)?;
        }
    }
    Ok(Decoded {
        bytes: bytes.len() as u64,
        file,
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

/// Keys of subjects.
type Keys = Vec<(SubjectId, SubjectKey)>;

/// A run on its way into the record.
struct Opened {
    run: RunId,
    /// When the run was opened, which its decisions' ids follow from.
    at: HybridTime,
    /// Whether its ids begin alike: all but those of runs that an earlier program opened.
    alike: bool,
    subject: SubjectId,
    /// The run's own first event, if this import is the first.
    opening: Option<Event>,
    /// The event that opened the run.
    head: EventId,
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
            file,
            options,
            runs,
        } = decoded;
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
            bytes: *bytes,
            size: 0,
            root: String::new(),
        };
        let mut done = 0;
        let mut writing = Writing::new(self);
        let mut chunks = runs.chunks(RUNS_TOGETHER);
        let open = |runs| Box::pin(maybe_done(self.prepare(runs, *file, options)));
        let mut next = chunks.next().map(open);
        while let Some(mut opened) = next.take() {
            opened.as_mut().await;
            let (prepared, keys) = opened.as_mut().take_output().expect("it is done")?;
            writing.keep(keys)?;
            next = chunks.next().map(open);
            let mut feed = Feed::new(self, &prepared);
            loop {
                // While these are built, the next are opened.
                if let Some(next) = &mut next {
                    let _ = next.as_mut().now_or_never();
                }
                let more = feed.round(|built, taken| {
                    writing.add(built)?;
                    done += taken;
                    progress(done, total);
                    Ok(())
                })?;
                if !more {
                    break;
                }
                writing.keep_up().await?;
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
        // The index need not wait for more to come, and catches up while the disk is waited for. What
        // it lacks it adds later, and says so.
        let before = self.store.status().await?.durable;
        let sealed = async {
            writing.end().await?;
            let durable = self.store.status().await?.durable;
            let (note, _) = tokio::join!(self.store.publish(), self.store.wait_indexed(durable));
            Ok::<_, EngineError>(note?)
        };
        let (_, note) = tokio::join!(self.store.wait_indexed(before), sealed);
        let note = note?;
        let note = Note::parse(note.as_bytes()).map_err(EngineError::Checkpoint)?;
        let checkpoint = Checkpoint::parse(note.text()).map_err(EngineError::Checkpoint)?;
        view.size = checkpoint.size;
        view.root = STANDARD.encode(checkpoint.root.0);
        Ok(view)
    }

    /// Finds out what the record has of these runs already, and opens those that it lacks, under
    /// keys that are to be kept before anything of theirs is written.
    async fn prepare<'r>(
        &self,
        runs: &'r [Run<'r>],
        file: Digest,
        options: &ImportOptions<'_>,
    ) -> Result<(Vec<Prepared<'r>>, Keys), EngineError> {
        let origins: Vec<Origin> = runs
            .iter()
            .map(|run| Origin {
                file,
                format: options.format.to_string(),
                part: Some(part_of(options, &run.position)),
            })
            .collect();
        let known = self.store.imported(&origins).await?;
        // In order, so that the runs of one millisecond lie in an index as they do in the log.
        let mut drawn: Vec<[u8; 10]> = Vec::with_capacity(runs.len());
        drawn.extend(runs.iter().map(|_| kept(entropy::draw(&*self.entropy))));
        drawn.sort_unstable();
        let mut prepared = Vec::with_capacity(runs.len());
        for (((run, origin), known), drawn) in runs.iter().zip(origins).zip(known).zip(drawn) {
            let already = known.as_ref().is_some_and(|row| row.whole);
            let opened = match known {
                Some(row) => {
                    let (run, subject) = (row.keys.run, row.keys.subject);
                    let head = self.event(row.first).await?.id;
                    let beginning = beginning(run.as_bytes());
                    Opened {
                        run,
                        at: row.at,
                        alike: beginning == self::beginning(subject.as_bytes())
                            && beginning == self::beginning(head.as_bytes()),
                        subject,
                        opening: None,
                        head,
                    }
                }
                None => self.open_run(run, origin, drawn)?,
            };
            prepared.push(Prepared {
                run,
                opened,
                key: None,
                already,
            });
        }
        // Together, so that they share the disk's syncs.
        let mut fresh = Keys::new();
        for prepared in prepared.iter_mut().filter(|prepared| !prepared.already) {
            let subject = prepared.opened.subject;
            prepared.key = Some(match self.store.key(subject).await? {
                KeyState::Kept(key) => key,
                KeyState::Destroyed => {
                    return Err(EngineError::Retained {
                        subject: subject.to_string(),
                        reason: "its key was destroyed while the import was broken off".to_owned(),
                    });
                }
                KeyState::Absent => {
                    let key = SubjectKey::generate(&*self.entropy);
                    fresh.push((subject, key.clone()));
                    key
                }
            });
        }
        Ok((prepared, fresh))
    }

    /// Opens a run whose file is new to the record, under an id with these random bytes.
    fn open_run(
        &self,
        run: &Run<'_>,
        origin: Origin,
        drawn: [u8; 10],
    ) -> Result<Opened, EngineError> {
        let at = self.next_time();
        let id = RunId::new(at.millis(), drawn);
        let draw = || alike(id, entropy::draw(&*self.entropy));
        let subject = SubjectId::new(at.millis(), draw());
        let external = run.external.as_ref().map(|name| cut(name, NAME_BYTES_MAX));
        let body = Body::RunOpened {
            external,
            origin: Some(origin),
            run: id,
            sealed: None,
            subject,
        };
        let head = EventId::new(at.millis(), draw());
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
            alike: true,
            subject,
            opening: Some(opening),
            head,
        })
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

/// Makes the ten bytes of another id begin as those of the run do.
fn alike(run: RunId, mut bytes: [u8; 10]) -> [u8; 10] {
    bytes[..2].copy_from_slice(&beginning(run.as_bytes()));
    bytes
}

/// The twelve bits of an id that all ids of its run begin with after the time.
const fn beginning(id: &[u8; 16]) -> [u8; 2] {
    [id[6] & 0x0f, id[7]]
}

/// Clears the bits of ten random bytes that an id does not keep.
const fn kept(mut bytes: [u8; 10]) -> [u8; 10] {
    bytes[0] &= 0x0f;
    bytes[2] &= 0x3f;
    bytes
}

/// Names the part of the file, and whatever else decides what is read from it.
fn part_of(options: &ImportOptions<'_>, position: &str) -> String {
    let agent = options
        .agent
        .map_or(String::new(), |agent| format!(" as {agent}"));
    format!("{}{agent}", cut(position, NAME_BYTES_MAX))
}
