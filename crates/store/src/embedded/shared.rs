//! What the threads of a store share: the log, what is recent, how far each of them is.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ledger::{Appended, Batch, Leaf, StoreError};
use model::{EventId, HybridTime, SubjectId};
use rusqlite::Connection;
use rustc_hash::FxHashMap;
use tokio::sync::{oneshot, watch};

use super::index::Blob;
use super::keys::{LogKeys, SubjectKeys};
use super::log::Log;
use super::options::{Indexing, Paths};
use super::pack::Packs;
use super::witness::WitnessBox;
use crate::disk::Disk;
use crate::error::{again, chain, unavailable};
use crate::worker::Queue;

/// How somebody waits for an answer.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the threads share.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) paths: Paths,
    pub(crate) index_path: PathBuf,
    pub(crate) log: Arc<Log>,
    pub(crate) packs: Packs,
    pub(crate) log_keys: Arc<Mutex<LogKeys>>,
    pub(crate) subject_keys: Mutex<SubjectKeys>,
    pub(crate) witness: Option<Arc<WitnessBox>>,
    pub(crate) recent: Mutex<Recent>,
    pub(crate) indexed: watch::Sender<Indexed>,
    pub(crate) generation: AtomicU64,
    pub(crate) published: AtomicU64,
    pub(crate) poisoned: OnceLock<String>,
    pub(crate) refused: OnceLock<StoreError>,
    pub(crate) closed: AtomicBool,
    pub(crate) notices: Mutex<Vec<String>>,
    pub(crate) last: Mutex<Option<HybridTime>>,
    pub(crate) inbox: Queue<Request>,
    pub(crate) to_index: Queue<ToIndex>,
    pub(crate) to_seal: Queue<ToSeal>,
    pub(crate) to_keys: Queue<ToKeys>,
    pub(crate) to_read: Queue<ReadJob>,
    pub(crate) indexing: Option<Indexing>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("dir", &self.paths.dir)
            .finish_non_exhaustive()
    }
}

/// How far the index is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Indexed {
    pub(crate) size: u64,
    /// Why it is not moving, if it is not. Whoever waits for it has it tried again first.
    pub(crate) failed: Option<Arc<StoreError>>,
}

/// A batch that waits to be appended.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) batch: Batch,
    pub(crate) reply: Reply<Appended>,
}

/// Leaves that were appended together.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) first: u64,
    pub(crate) leaves: Vec<Leaf>,
    /// Where the payloads lie that came with them.
    pub(crate) blobs: Vec<Blob>,
    /// How far the packs were then.
    pub(crate) packs: (u32, u64),
}

impl Group {
    /// About how much memory it takes.
    pub(crate) fn weight(&self) -> usize {
        self.leaves
            .iter()
            .map(|leaf| leaf.bytes().len() + 512)
            .sum()
    }
}

#[derive(Debug)]
pub(crate) enum ToIndex {
    Group(Arc<Group>),
    /// Tries again what failed: somebody waits for it.
    Again,
    Rebuild(Reply<u64>),
}

#[derive(Debug)]
pub(crate) enum ToSeal {
    Group(Arc<Group>),
    Publish(Reply<String>),
    /// Makes a key that is not used yet; answers with the old verifier key and the new.
    PrepareKey(Reply<(String, String)>),
    /// Takes the prepared key into use.
    AdoptKey(Reply<()>),
    RetireKey(Reply<()>),
}

#[derive(Debug)]
pub(crate) enum ToKeys {
    Keep(Vec<(SubjectId, ledger::SubjectKey)>, Reply<()>),
    Destroy(SubjectId, Reply<()>),
}

/// A question to the index.
pub(crate) type ReadJob = Box<dyn FnOnce(Result<&Connection, StoreError>) + Send>;

/// The events and heads that the index may not hold yet, and some more so that fresh ids need no
/// look-up.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    events: FxHashMap<EventId, u64>,
    heads: FxHashMap<[u8; 16], EventId>,
    order: VecDeque<(u64, EventId, Option<[u8; 16]>)>,
    /// The largest ids that only the index holds. An id above them that is not here is new.
    oldest_event: [u8; 16],
    oldest_stream: [u8; 16],
}

/// How many events are kept although the index holds them.
const RECENT: usize = 16_384;

/// What is known without asking the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer<T> {
    Known(T),
    /// Only the index knows.
    Ask,
}

impl Recent {
    /// Starts from an index that holds everything.
    pub(crate) fn after(newest_event: [u8; 16], newest_stream: [u8; 16]) -> Self {
        Self {
            oldest_event: newest_event,
            oldest_stream: newest_stream,
            ..Self::default()
        }
    }

    pub(crate) fn seq_of(&self, event: EventId) -> Answer<Option<u64>> {
        match self.events.get(&event) {
            Some(seq) => Answer::Known(Some(*seq)),
            None if *event.as_bytes() > self.oldest_event => Answer::Known(None),
            None => Answer::Ask,
        }
    }

    pub(crate) fn head(&self, stream: [u8; 16]) -> Answer<Option<EventId>> {
        match self.heads.get(&stream) {
            Some(head) => Answer::Known(Some(*head)),
            None if stream > self.oldest_stream => Answer::Known(None),
            None => Answer::Ask,
        }
    }

    /// Takes in a group, and lets go of what the index holds.
    pub(crate) fn add(&mut self, group: &Group, indexed: u64) {
        for (seq, leaf) in (group.first..).zip(&group.leaves) {
            let keys = leaf.keys();
            self.events.insert(keys.id, seq);
            if let Some(stream) = keys.stream {
                self.heads.insert(stream, keys.id);
            }
            self.order.push_back((seq, keys.id, keys.stream));
        }
        while self.order.len() > RECENT {
            let Some((seq, event, stream)) = self.order.front().copied() else {
                break;
            };
            if seq >= indexed {
                break;
            }
            self.order.pop_front();
            self.events.remove(&event);
            self.oldest_event = self.oldest_event.max(*event.as_bytes());
            if let Some(stream) = stream
                && self.heads.get(&stream) == Some(&event)
            {
                self.heads.remove(&stream);
                self.oldest_stream = self.oldest_stream.max(stream);
            }
        }
    }

    /// Whether more is held here than the index being a little behind explains.
    pub(crate) fn overflows(&self) -> bool {
        self.order.len() > 32 * RECENT
    }
}

impl Shared {
    pub(crate) fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn subject_keys(&self) -> MutexGuard<'_, SubjectKeys> {
        self.subject_keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn log_keys(&self) -> MutexGuard<'_, LogKeys> {
        self.log_keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn notice(&self, text: String) {
        self.notices
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(text);
    }

    pub(crate) fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) {
            Err(StoreError::Closed)
        } else {
            Ok(())
        }
    }

    /// Why nothing may be appended, if so.
    pub(crate) fn check_writable(&self) -> Result<(), StoreError> {
        if let Some(reason) = self.poisoned.get() {
            return Err(StoreError::Poisoned {
                reason: reason.clone(),
            });
        }
        match self.refused.get() {
            Some(refused) => Err(again(refused)),
            None => Ok(()),
        }
    }

    pub(crate) fn index_error(&self, error: &rusqlite::Error) -> StoreError {
        unavailable(
            format!("ask the index `{}`", self.index_path.display()),
            error.to_string(),
        )
    }

    /// Waits for the index. Only for threads of the store.
    pub(crate) fn wait_indexed_blocking(&self, size: u64) -> Result<(), StoreError> {
        let mut indexed = self.indexed.subscribe();
        let mut tried = false;
        loop {
            let now = indexed.borrow_and_update().clone();
            if now.size >= size {
                return Ok(());
            }
            self.index_stands(&now, size, &mut tried)?;
            self.to_index.hurry();
            while matches!(indexed.has_changed(), Ok(false)) {
                self.check_open()?;
                std::thread::park_timeout(std::time::Duration::from_millis(1));
            }
        }
    }

    /// Why there is no use in waiting for the index, if so. An index that failed is tried again
    /// once for each who waits, since what kept it, such as a full disk, may be over.
    pub(crate) fn index_stands(
        &self,
        now: &Indexed,
        size: u64,
        tried: &mut bool,
    ) -> Result<(), StoreError> {
        let doing = || format!("wait for {size} leaves in the index");
        if let Some(why) = &now.failed {
            if !std::mem::replace(tried, true) && self.to_index.force(0, ToIndex::Again).is_ok() {
                return Ok(());
            }
            return Err(match &**why {
                full @ StoreError::Full { .. } => again(full),
                why => unavailable(doing(), chain(why)),
            });
        }
        if size > self.log.durable() {
            let have = self.log.durable();
            return Err(unavailable(doing(), format!("the log has {have} leaves")));
        }
        self.check_open()
    }
}
