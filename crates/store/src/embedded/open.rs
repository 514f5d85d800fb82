//! Opening: what is on disk is checked, what a crash left is finished, then the threads start.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock};

use ledger::StoreError;
use ledger::merkle::{empty_root, leaf_hash};
use rusqlite::Connection;
use tokio::sync::{Semaphore, watch};

use super::EmbeddedStore;
use super::finish::{append_first, continuation, finish_erasures, finish_rotation, origin_of};
use super::index::{self, Mark, Reader, Writer as IndexWriter};
use super::indexer::{Indexer, catch_up};
use super::keeper;
use super::keys::{LogKeys, SubjectKeys};
use super::log::{Log, Opening, Recovered};
use super::marks::TreeMark;
use super::options::{OpenOptions, Paths};
use super::pack::Packs;
use super::seal::Sealer;
use super::shared::{Indexed, Recent, Shared};
use super::witness::WitnessBox;
use super::writer::Writer;
use crate::disk::{self, Disk, Guard, Lock};
use crate::error::{damaged, unavailable};
use crate::worker::{self, Queue, Worker};

/// The version of the data directory that this program writes, and the newest that it reads.
pub(crate) const FORMAT: u32 = 1;
/// How many threads read.
pub(super) const READERS: usize = 2;

impl EmbeddedStore {
    /// Opens a data directory, or makes one.
    ///
    /// A torn tail is cut and an unfinished erasure finished; notices of
    /// [`status`](ledger::Store::status) say so. A log that is behind what was signed, or other
    /// than it, opens for reading: appending and publishing then fail with
    /// [`StoreError::RolledBack`] or [`StoreError::Rewritten`].
    ///
    /// Reads the index and the last segment, and blocks meanwhile; an index that has to be rebuilt
    /// takes some ten seconds for a million events.
    ///
    /// # Errors
    /// [`StoreError::Locked`] names who has the directory open; [`StoreError::Newer`] for files
    /// of a newer version; [`StoreError::Damaged`] where acknowledged leaves cannot be read.
    pub fn open(options: OpenOptions) -> Result<Self, StoreError> {
        let paths = Paths::new(&options.dir, &options.realm, options.index.as_deref());
        if options.read_only {
            open_to_look(options, paths)
        } else {
            open_to_write(options, paths)
        }
    }
}

pub(super) fn failed(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let doing = format!("{what} `{}`", path.display());
    move |error| unavailable(doing, error)
}

fn open_to_write(options: OpenOptions, paths: Paths) -> Result<EmbeddedStore, StoreError> {
    let disk = Arc::clone(&options.disk);
    disk::create_dirs(&*disk, &paths.dir, false).map_err(failed("make", &paths.dir))?;
    let guard = lock(&*disk, &options, &paths)?;
    let mut notices = Vec::new();
    check_format(&*disk, &paths, true)?;
    let keys = match LogKeys::load(&*disk, &paths.log_keys())? {
        Some(keys) => keys,
        None => create(&*disk, &options, &paths)?,
    };
    let origin = keys.origin().to_owned();
    let signed = mark(&*disk, &paths.signed(), "signed", &origin)?;
    let tree = mark(&*disk, &paths.tree(), "tree", &origin)?;
    let index_path = paths.index();
    let (connection, indexed, why) = index::open(&index_path)?;
    let floor = signed.size.max(tree.size).max(indexed.size);
    let recovered = Log::open(Arc::clone(&disk), &paths.segments(), floor, Opening::Mend)?;
    let Recovered {
        log,
        mut tail,
        notices: mended,
    } = recovered;
    notices.extend(mended);
    // Empty, not new: a crash may have come right after the log was made.
    if log.durable() == 0
        && let Some(from) = &options.continue_from
    {
        let leaf = continuation(&options, &origin, &from.checkpoint, from.at)?;
        append_first(&log, &mut tail, &leaf)?;
    }
    let packs = Packs::open(
        Arc::clone(&disk),
        &paths.payloads(),
        options.pack_len,
        &tail,
        true,
        &mut notices,
    )?;
    let subject_keys = SubjectKeys::open(&*disk, &paths.keys(), true)?;
    let behind = log.durable() < signed.size.max(tree.size);
    if indexed.size > log.durable() && !behind {
        let at = format!("leaf {}", log.durable());
        return Err(damaged(&paths.segments(), at, Some(log.durable())));
    }
    let mut writer = IndexWriter::new(connection, indexed);
    if !belongs(&log, indexed)? {
        writer
            .clear()
            .map_err(|e| unavailable("empty the index", e))?;
        notices.push("the index was made from another log and is rebuilt".to_owned());
    }
    notices.extend(why);
    catch_up(&mut writer, &log, &packs, options.indexing.as_ref())?;
    let log = Arc::new(log);
    let keys = Arc::new(Mutex::new(keys));
    let witness = match &options.witness_dir {
        Some(dir) => {
            let witness = WitnessBox::open(Arc::clone(&disk), dir, &origin, &*options.entropy)?;
            Some(Arc::new(witness))
        }
        None => {
            notices.push(
                "no witness: rolling the whole directory back would not be noticed".to_owned(),
            );
            None
        }
    };
    let newest = Reader(writer.connection())
        .newest()
        .map_err(|e| unavailable("ask the index", e))?;
    let shared = Arc::new(shared(
        &options,
        paths.clone(),
        Arc::clone(&log),
        packs,
        Arc::clone(&keys),
        subject_keys,
        witness.clone(),
        Recent::after(newest.0, newest.1),
        writer.mark(),
        notices,
    ));
    finish_rotation(&shared, writer.connection())?;
    let sealer = Sealer::open(
        disk,
        paths,
        log,
        keys,
        witness,
        Arc::clone(&options.clock),
        signed,
        tree,
    )?;
    shared
        .published
        .store(sealer.published(), std::sync::atomic::Ordering::Release);
    match sealer.refused() {
        Some(refused) => {
            let _ = shared.refused.set(refused);
        }
        None => finish_erasures(&shared, writer.connection())?,
    }
    let store = store(&options, Arc::clone(&shared), Some(guard));
    let entropy = Arc::clone(&options.entropy);
    let commits = Writer::new(Arc::clone(&shared), tail, options.segment_len);
    let indexer = Indexer {
        shared: Arc::clone(&shared),
        writer,
    };
    let (sealing, keeping) = (Arc::clone(&shared), Arc::clone(&shared));
    let mut workers = vec![
        spawn("rescind-write", move || commits.run())?,
        spawn("rescind-index", move || indexer.run())?,
        spawn("rescind-seal", move || {
            keeper::seal(&sealing, sealer, &entropy)
        })?,
        spawn("rescind-keys", move || keeper::keep_keys(&keeping))?,
    ];
    for _ in 0..READERS {
        let reading = Arc::clone(&shared);
        workers.push(spawn("rescind-read", move || read(&reading, None))?);
    }
    keep(&store, workers);
    Ok(store)
}

fn open_to_look(options: OpenOptions, paths: Paths) -> Result<EmbeddedStore, StoreError> {
    let disk = Arc::clone(&options.disk);
    check_format(&*disk, &paths, false)?;
    if never_begun(&*disk, &paths)? {
        return Err(no_log(&paths));
    }
    let keys = LogKeys::load(&*disk, &paths.log_keys())?.ok_or_else(|| {
        damaged(
            &paths.log_keys(),
            "byte 0, where it is missing".to_owned(),
            None,
        )
    })?;
    let signed = mark(&*disk, &paths.signed(), "signed", keys.origin())?;
    // Before the log, and as it is now: another process may write on, and an index that moves on
    // would name leaves beyond the log as it was when it was opened.
    let snapshots: rusqlite::Result<Vec<(Connection, Mark)>> = (0..READERS)
        .map(|_| {
            let connection = index::open_reader(&paths.index())?;
            connection.execute_batch("BEGIN")?;
            let mark = index::mark(&connection)?;
            Ok((connection, mark))
        })
        .collect();
    let Recovered {
        log,
        tail,
        mut notices,
    } = Log::open(
        Arc::clone(&disk),
        &paths.segments(),
        signed.size,
        Opening::Look,
    )?;
    let packs = Packs::open(
        Arc::clone(&disk),
        &paths.payloads(),
        options.pack_len,
        &tail,
        false,
        &mut notices,
    )?;
    let subject_keys = SubjectKeys::open(&*disk, &paths.keys(), false)?;
    let usable = snapshots.ok().filter(|snapshots| {
        let mut marks = snapshots.iter().map(|(_, mark)| *mark);
        marks.all(|mark| mark.size >= log.durable() || belongs(&log, mark).unwrap_or(false))
    });
    let (found, connections) = match usable {
        Some(snapshots) => {
            // Each may be of another moment: what the first one holds, all of them hold.
            let found = snapshots
                .first()
                .map_or_else(Mark::default, |(_, mark)| *mark);
            let connections = snapshots.into_iter().map(|(connection, _)| connection);
            (found, connections.collect::<Vec<_>>())
        }
        None => {
            notices.push(
                "the index is missing or cannot be used, so it was built in memory for now; \
                 `rescind reindex` makes it anew"
                    .to_owned(),
            );
            let mut writer = IndexWriter::new(index::in_memory()?, Mark::default());
            catch_up(&mut writer, &log, &packs, options.indexing.as_ref())?;
            (writer.mark(), vec![writer.into_connection()])
        }
    };
    if found.size < log.durable() {
        notices.push(format!(
            "the index is behind: it holds {} of {} leaves",
            found.size,
            log.durable()
        ));
    }
    if log.durable() < signed.size {
        let refused = StoreError::RolledBack {
            have: log.durable(),
            signed: signed.size,
        };
        notices.push(refused.to_string());
    }
    let published = signed.size;
    let witness = match &options.witness_dir {
        Some(dir) => WitnessBox::look(Arc::clone(&disk), dir, keys.origin())?.map(Arc::new),
        None => None,
    };
    let shared = Arc::new(shared(
        &options,
        paths,
        Arc::new(log),
        packs,
        Arc::new(Mutex::new(keys)),
        subject_keys,
        witness,
        Recent::default(),
        found,
        notices,
    ));
    shared
        .published
        .store(published, std::sync::atomic::Ordering::Release);
    let store = store(&options, Arc::clone(&shared), None);
    let mut workers = Vec::new();
    for connection in connections {
        let reading = Arc::clone(&shared);
        workers.push(spawn("rescind-read", move || {
            read(&reading, Some(connection))
        })?);
    }
    keep(&store, workers);
    Ok(store)
}

#[expect(
    clippy::too_many_arguments,
    reason = "each is a different part of the store"
)]
fn shared(
    options: &OpenOptions,
    paths: Paths,
    log: Arc<Log>,
    packs: Packs,
    log_keys: Arc<Mutex<LogKeys>>,
    subject_keys: SubjectKeys,
    witness: Option<Arc<WitnessBox>>,
    recent: Recent,
    mark: Mark,
    notices: Vec<String>,
) -> Shared {
    Shared {
        disk: Arc::clone(&options.disk),
        index_path: paths.index(),
        paths,
        log,
        packs,
        log_keys,
        subject_keys: Mutex::new(subject_keys),
        witness,
        recent: Mutex::new(recent),
        indexed: watch::Sender::new(Indexed {
            size: mark.size,
            failed: None,
        }),
        generation: AtomicU64::new(0),
        published: AtomicU64::new(0),
        poisoned: OnceLock::new(),
        refused: OnceLock::new(),
        closed: AtomicBool::new(false),
        notices: Mutex::new(notices),
        last: Mutex::new((mark.size > 0).then_some(mark.at)),
        inbox: Queue::new(usize::MAX),
        to_index: Queue::new(options.queue_len),
        to_seal: Queue::new(options.queue_len),
        to_keys: Queue::new(usize::MAX),
        to_read: Queue::new(usize::MAX),
        indexing: options.indexing.clone(),
    }
}

fn store(
    options: &OpenOptions,
    shared: Arc<Shared>,
    guard: Option<Box<dyn Guard>>,
) -> EmbeddedStore {
    let room = (options.queue_len / 1024).clamp(1, 1 << 24);
    EmbeddedStore {
        shared,
        room: Semaphore::new(room),
        room_len: u32::try_from(room).expect("clamped"),
        read_only: options.read_only,
        workers: Mutex::default(),
        guard: Mutex::new(guard),
        entropy: Arc::clone(&options.entropy),
    }
}

fn keep(store: &EmbeddedStore, workers: Vec<Worker>) {
    *store
        .workers
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner) = workers;
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<Worker, StoreError> {
    worker::spawn(name, work).map_err(|e| unavailable(format!("start the thread `{name}`"), e))
}

/// Answers questions until the queue is closed. Each thread has a connection of its own, and opens
/// a new one when the index was replaced.
fn read(shared: &Shared, fixed: Option<Connection>) {
    let mut own: Option<(u64, Connection)> = None;
    while let Some(jobs) = shared.to_read.take(1, &[]) {
        for job in jobs {
            if let Some(connection) = &fixed {
                job(Ok(connection));
                continue;
            }
            let generation = shared.generation.load(std::sync::atomic::Ordering::Acquire);
            if own.as_ref().is_none_or(|(of, _)| *of != generation) {
                own = None;
                match index::open_reader(&shared.index_path) {
                    Ok(connection) => own = Some((generation, connection)),
                    Err(error) => {
                        job(Err(shared.index_error(&error)));
                        continue;
                    }
                }
            }
            let (_, connection) = own.as_ref().expect("it was opened above");
            job(Ok(connection));
        }
    }
}

fn lock(
    disk: &dyn Disk,
    options: &OpenOptions,
    paths: &Paths,
) -> Result<Box<dyn Guard>, StoreError> {
    let holder = format!("process {} ({})\n", std::process::id(), options.holder);
    match disk
        .lock(&paths.lock(), &holder)
        .map_err(failed("lock", &paths.dir))?
    {
        Lock::Held(guard) => Ok(guard),
        Lock::Busy(holder) => {
            let holder = if holder.is_empty() {
                "another process".to_owned()
            } else {
                holder
            };
            Err(StoreError::Locked {
                path: paths.dir.clone(),
                holder: holder.trim().to_owned(),
            })
        }
    }
}

/// Checks the version of the directory; a new directory gets one if `make`.
pub(crate) fn check_format(disk: &dyn Disk, paths: &Paths, make: bool) -> Result<(), StoreError> {
    let path = paths.format();
    let text = disk::read(disk, &path).map_err(failed("read", &path))?;
    let Some(text) = text else {
        let used = |dir: &str| {
            !disk
                .list(&paths.dir.join(dir))
                .unwrap_or_default()
                .is_empty()
        };
        if !make || used("segments") || used("log") {
            return Err(if used("segments") || used("log") {
                damaged(&path, "byte 0, where it is missing".to_owned(), None)
            } else {
                unavailable(
                    format!("open `{}`", paths.dir.display()),
                    "it is not a data directory".to_owned(),
                )
            });
        }
        let text = format!("rescind-data {FORMAT}\n");
        return disk::replace(disk, &path, text.as_bytes(), false).map_err(failed("write", &path));
    };
    let version = std::str::from_utf8(&text)
        .ok()
        .and_then(|text| text.strip_prefix("rescind-data ")?.strip_suffix('\n'))
        .and_then(|version| version.parse::<u32>().ok());
    match version {
        Some(1..=FORMAT) => Ok(()),
        Some(found) if found > FORMAT => Err(StoreError::Newer {
            path: paths.dir.clone(),
            found,
            known: FORMAT,
        }),
        _ => Err(damaged(&path, "byte 0".to_owned(), None)),
    }
}

/// Whether a log was begun here and never finished: its key file comes last, so nothing was ever
/// in it. Opening it to write finishes it.
pub(crate) fn never_begun(disk: &dyn Disk, paths: &Paths) -> Result<bool, StoreError> {
    let path = paths.log_keys();
    let keys = disk::read(disk, &path).map_err(failed("read", &path))?;
    if keys.is_some() {
        return Ok(false);
    }
    for dir in [paths.segments(), paths.log(), paths.payloads()] {
        if !disk.list(&dir).map_err(failed("list", &dir))?.is_empty() {
            return Ok(false);
        }
    }
    // The marks of a new log are over no leaves.
    for (path, what) in [(paths.tree(), "tree"), (paths.signed(), "signed")] {
        if TreeMark::load(disk, &path, what)?.is_some_and(|mark| mark.size > 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(crate) fn no_log(paths: &Paths) -> StoreError {
    unavailable(
        format!("open `{}`", paths.dir.display()),
        "no log was finished in it yet: the first command that writes makes one".to_owned(),
    )
}

/// Makes a new log. Its key file comes last: a log is there when that is.
fn create(disk: &dyn Disk, options: &OpenOptions, paths: &Paths) -> Result<LogKeys, StoreError> {
    let segments = disk
        .list(&paths.segments())
        .map_err(failed("list", &paths.segments()))?;
    if !segments.is_empty() {
        return Err(damaged(
            &paths.log_keys(),
            "byte 0, where it is missing".to_owned(),
            None,
        ));
    }
    let origin = match &options.origin {
        Some(origin) => origin.clone(),
        None => {
            let mut random = [0; 16];
            options.entropy.fill(&mut random);
            let id = model::RunId::from_bytes(random)
                .to_string()
                .replace('-', "");
            format!("rescind.invalid/{}/{id}", options.realm)
        }
    };
    if let Some(from) = &options.continue_from
        && origin_of(&from.checkpoint)? == origin
    {
        return Err(unavailable(
            format!("continue the log `{origin}`"),
            "a log that continues another needs another name".to_owned(),
        ));
    }
    let keys = LogKeys::generate(&origin, &*options.entropy)?;
    let state = disk::parent(&paths.signed()).to_owned();
    let mut above = BTreeSet::from([paths.dir.clone()]);
    for (dir, secret) in [
        (paths.log(), false),
        (paths.segments(), false),
        (paths.payloads(), false),
        (paths.keys(), true),
        (state, false),
    ] {
        let kind = disk::parent(&dir);
        for dir in [kind, &dir] {
            disk.create_dir(dir, secret).map_err(failed("make", dir))?;
        }
        above.insert(kind.to_owned());
    }
    // Once each, and also those that an earlier attempt made and did not make durable.
    for dir in above {
        disk.sync_dir(&dir).map_err(failed("sync", &dir))?;
    }
    let mark = TreeMark {
        origin,
        size: 0,
        root: empty_root(),
    };
    mark.save(disk, &paths.tree(), "tree")
        .map_err(failed("write", &paths.tree()))?;
    mark.save(disk, &paths.signed(), "signed")
        .map_err(failed("write", &paths.signed()))?;
    keys.save(disk, &paths.log_keys())
        .map_err(failed("write", &paths.log_keys()))?;
    Ok(keys)
}

fn mark(disk: &dyn Disk, path: &Path, what: &str, origin: &str) -> Result<TreeMark, StoreError> {
    match TreeMark::load(disk, path, what)? {
        Some(mark) if mark.origin == origin => Ok(mark),
        Some(_) => Err(damaged(path, "line 2".to_owned(), None)),
        None => Err(damaged(
            path,
            "line 1, where it is missing".to_owned(),
            None,
        )),
    }
}

/// Whether an index was made from this log.
fn belongs(log: &Log, mark: Mark) -> Result<bool, StoreError> {
    let Some(last) = mark.size.checked_sub(1) else {
        return Ok(true);
    };
    let record = log.read(last, 1, usize::MAX)?.pop();
    Ok(record.is_some_and(|record| leaf_hash(&record.leaf) == mark.last))
}
