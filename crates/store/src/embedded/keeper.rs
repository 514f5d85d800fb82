//! The threads that keep keys and that seal.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ledger::{Entropy, KeyState, StoreError, SubjectKey};
use model::SubjectId;

use super::index::{Reader, open_reader};
use super::keys::{LogKeys, Slot, UNSYNCED_MAX};
use super::seal::Sealer;
use super::shared::{Reply, Shared, ToKeys, ToSeal};
use crate::error::{again, unavailable};
use crate::worker;

/// Runs the thread that keeps and destroys keys of subjects, until its queue is closed.
pub(crate) fn keep_keys(shared: &Arc<Shared>) {
    while let Some(work) = shared.to_keys.take(usize::MAX, &[]) {
        let mut kept: Vec<Reply<()>> = Vec::new();
        let mut result = Ok(());
        for each in work {
            match each {
                ToKeys::Keep(keys, reply) => match keep(shared, &keys) {
                    Ok(()) => kept.push(reply),
                    Err(error) => {
                        let _ = reply.send(Err(error));
                    }
                },
                ToKeys::Destroy(subject, reply) => {
                    // What was kept before comes first, so that order is as asked.
                    result = settle(shared, &mut kept, result);
                    let _ = reply.send(destroy(shared, subject));
                }
            }
        }
        let _ = settle(shared, &mut kept, result);
    }
}

/// One sync for all keys that were kept since the last.
fn settle(
    shared: &Shared,
    kept: &mut Vec<Reply<()>>,
    result: Result<(), StoreError>,
) -> Result<(), StoreError> {
    if kept.is_empty() {
        return result;
    }
    let synced = result.and_then(|()| shared.subject_keys().sync().map_err(|e| broken(shared, &e)));
    for reply in kept.drain(..) {
        let _ = reply.send(match &synced {
            Ok(()) => Ok(()),
            Err(error) => Err(again(error)),
        });
    }
    synced
}

/// Keeps keys, all of them or, where one of them cannot be, none.
fn keep(shared: &Shared, keys: &[(SubjectId, SubjectKey)]) -> Result<(), StoreError> {
    shared.check_writable()?;
    let mut slots = shared.subject_keys();
    let mut fresh: BTreeMap<SubjectId, &SubjectKey> = BTreeMap::new();
    for (subject, key) in keys {
        let exists = StoreError::KeyExists { subject: *subject };
        match slots.get(*subject)? {
            KeyState::Kept(found) if found == *key => continue,
            KeyState::Absent => {}
            KeyState::Kept(_) | KeyState::Destroyed => return Err(exists),
        }
        if fresh
            .insert(*subject, key)
            .is_some_and(|other| other != key)
        {
            return Err(exists);
        }
    }
    if fresh.is_empty() {
        return Ok(());
    }
    let fresh: Vec<(SubjectId, &SubjectKey)> = fresh.into_iter().collect();
    for fresh in fresh.chunks(UNSYNCED_MAX) {
        if slots.is_full(fresh.len()) {
            slots.sync().map_err(|e| broken(shared, &e))?;
        }
        slots
            .add(&*shared.disk, fresh)
            .map_err(|e| unkept(shared, e))?;
    }
    Ok(())
}

/// Destroys a key, then scrubs what it opens. Each step can be done again.
pub(crate) fn destroy(shared: &Shared, subject: SubjectId) -> Result<(), StoreError> {
    shared.check_writable()?;
    let put = |state| {
        let mut keys = shared.subject_keys();
        keys.put(&*shared.disk, subject, state, &[0; 32])
            .map_err(|e| unkept(shared, e))?;
        keys.sync().map_err(|e| broken(shared, &e))
    };
    put(Slot::Destroying)?;
    shared.wait_indexed_blocking(shared.log.durable())?;
    let connection = open_reader(&shared.index_path).map_err(|e| shared.index_error(&e))?;
    let places = Reader(&connection).places_of(subject);
    let places = places.map_err(|e| shared.index_error(&e))?;
    shared
        .packs
        .scrub(subject, &places)
        .map_err(|e| unavailable("scrub payloads", e))?;
    put(Slot::Destroyed)
}

fn unkept(shared: &Shared, error: std::io::Error) -> StoreError {
    if error.kind() == std::io::ErrorKind::StorageFull {
        return StoreError::Full {
            path: shared.paths.dir.clone(),
        };
    }
    unavailable("write the keys", error)
}

/// After a failed sync nobody knows what is durable.
fn broken(shared: &Shared, error: &std::io::Error) -> StoreError {
    let reason = shared
        .poisoned
        .get_or_init(|| format!("could not sync the keys: {error}"));
    StoreError::Poisoned {
        reason: reason.clone(),
    }
}

/// Runs the thread that seals, until its queue is closed.
pub(crate) fn seal(shared: &Arc<Shared>, mut sealer: Sealer, entropy: &Arc<dyn Entropy>) {
    while let Some(work) = shared.to_seal.take(usize::MAX, &[]) {
        let mut publish: Vec<Reply<String>> = Vec::new();
        for each in work {
            match each {
                ToSeal::Group(group) => {
                    sealer.take(group.first, group.leaves.iter().map(ledger::Leaf::bytes));
                }
                ToSeal::Publish(reply) => publish.push(reply),
                ToSeal::PrepareKey(reply) => {
                    let _ = reply.send(prepare(shared, entropy));
                }
                ToSeal::AdoptKey(reply) => {
                    let adopted = adopt(shared);
                    sealer.sign_anew();
                    let _ = reply.send(adopted);
                }
                ToSeal::RetireKey(reply) => {
                    let mut keys = shared.log_keys();
                    keys.retire_old();
                    let saved = keys.save(&*shared.disk, &shared.paths.log_keys());
                    drop(keys);
                    sealer.sign_anew();
                    let _ = reply.send(saved.map_err(|e| unavailable("write the log's keys", e)));
                }
            }
        }
        // One publication answers everybody who asked before it began.
        if !publish.is_empty() {
            // Beside it, since both wait for the disk. Without it the next opening takes longer, and
            // that is all.
            let noting = shared.log.is_note_due().then(|| {
                let shared = Arc::clone(shared);
                worker::begin("rescind-note", move || shared.log.note())
            });
            let note = sealer.publish();
            shared
                .published
                .store(sealer.published(), Ordering::Release);
            for reply in publish {
                let _ = reply.send(match &note {
                    Ok(note) => Ok(note.clone()),
                    Err(error) => Err(again(error)),
                });
            }
            drop(noting);
        }
        if let Some(refused) = sealer.refused() {
            let _ = shared.refused.set(refused);
        }
    }
}

fn prepare(shared: &Shared, entropy: &Arc<dyn Entropy>) -> Result<(String, String), StoreError> {
    let (origin, old) = {
        let keys = shared.log_keys();
        (keys.origin().to_owned(), keys.newest().to_string())
    };
    let next = LogKeys::generate(&origin, &**entropy)?;
    next.save(&*shared.disk, &shared.paths.next_log_keys())
        .map_err(|e| unavailable("write the next key", e))?;
    Ok((old, next.newest().to_string()))
}

/// Takes the prepared key into use, now that the log announces it.
pub(crate) fn adopt(shared: &Shared) -> Result<(), StoreError> {
    let next = shared.paths.next_log_keys();
    let Some(prepared) = LogKeys::load(&*shared.disk, &next)? else {
        return Err(unavailable(
            "take the next key into use",
            "it was not prepared".to_owned(),
        ));
    };
    let mut keys = shared.log_keys();
    if !keys.public().contains(prepared.newest()) {
        keys.rotate_in(prepared);
    }
    // Also if it is in there already: that file may not be durable, and this is the only other
    // copy of the key.
    keys.save(&*shared.disk, &shared.paths.log_keys())
        .map_err(|e| unavailable("write the log's keys", e))?;
    drop(keys);
    shared
        .disk
        .remove(&next)
        .map_err(|e| unavailable("remove the next key", e))
}
