//! What opening begins or finishes: the first leaf of a log that continues another, a rotation and
//! erasures that a crash cut short.

use ledger::{Checkpoint, Leaf, Note, StoreError};
use model::{Body, Event, EventId, HybridTime};
use rusqlite::Connection;

use super::index::Reader;
use super::keeper;
use super::keys::{LogKeys, Slot};
use super::log::{AppendError, Log, Tail};
use super::open::failed;
use super::options::OpenOptions;
use super::segment::Head;
use super::shared::Shared;
use crate::error::unavailable;

pub(super) fn origin_of(checkpoint: &str) -> Result<String, StoreError> {
    let note = Note::parse(checkpoint.as_bytes());
    let parsed = note.and_then(|note| Checkpoint::parse(note.text()));
    Ok(parsed
        .map_err(|e| unavailable("read the checkpoint that is continued", e))?
        .origin)
}

/// The first leaf of a log that continues another.
pub(super) fn continuation(
    options: &OpenOptions,
    origin: &str,
    checkpoint: &str,
    at: HybridTime,
) -> Result<Leaf, StoreError> {
    debug_assert_ne!(origin_of(checkpoint).ok().as_deref(), Some(origin));
    let mut random = [0; 10];
    options.entropy.fill(&mut random);
    let event = Event {
        at,
        body: Body::Continuation {
            checkpoint: checkpoint.to_owned(),
        },
        id: EventId::new(at.millis(), random),
        prev: None,
        v: 1,
    };
    Leaf::encode(&event).map_err(|e| unavailable("continue the log", e))
}

pub(super) fn append_first(log: &Log, tail: &mut Tail, leaf: &Leaf) -> Result<(), StoreError> {
    let append = |tail: &mut Tail| {
        log.roll(tail)?;
        let head = Head {
            seq: 0,
            group: 0,
            left: 0,
            pack: 0,
            pack_end: 0,
        };
        let first = std::iter::once((head, leaf.bytes()));
        log.append(tail, &mut Vec::new(), first)
    };
    append(tail).map_err(|error| match error {
        AppendError::Full => unavailable("begin the log", std::io::Error::from_raw_os_error(28)),
        AppendError::Failed(doing, error) => unavailable(doing, error),
    })
}

/// A key that was prepared before a crash is taken into use if the log announces it, and removed
/// if not.
pub(super) fn finish_rotation(shared: &Shared, index: &Connection) -> Result<(), StoreError> {
    let path = shared.paths.next_log_keys();
    let Some(next) = LogKeys::load(&*shared.disk, &path)? else {
        return Ok(());
    };
    let seqs = Reader(index)
        .events_named(&["key-rotated"])
        .map_err(|e| unavailable("ask the index", e))?;
    let wanted = next.newest().to_string();
    for seq in seqs {
        let record = shared.log.read(seq, 1, usize::MAX)?.pop();
        let event = record.and_then(|record| Leaf::decode(&record.leaf).ok());
        if matches!(event, Some(Event { body: Body::KeyRotated { new, .. }, .. }) if new == wanted)
        {
            keeper::adopt(shared)?;
            shared.notice("a key rotation was finished".to_owned());
            return Ok(());
        }
    }
    shared.disk.remove(&path).map_err(failed("remove", &path))?;
    shared.notice("a key that was prepared and not announced was removed".to_owned());
    Ok(())
}

/// What the log says is erased is erased, whenever the process ended in between.
pub(super) fn finish_erasures(shared: &Shared, index: &Connection) -> Result<(), StoreError> {
    let erased = Reader(index)
        .erased()
        .map_err(|e| unavailable("ask the index", e))?;
    let pending = {
        let keys = shared.subject_keys();
        let mut pending = keys.in_state(Some(Slot::Destroying));
        pending.extend(
            erased
                .into_iter()
                .filter(|subject| !keys.is_destroyed(*subject)),
        );
        pending
    };
    for subject in pending {
        keeper::destroy(shared, subject)?;
        shared.notice(format!("the erasure of subject `{subject}` was finished"));
    }
    Ok(())
}
