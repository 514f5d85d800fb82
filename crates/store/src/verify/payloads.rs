//! Payloads, keys and the index: present and right, or erased with proof, or missing.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use ledger::digest::sha256;
use ledger::merkle::leaf_hash;
use ledger::payload::open;
use ledger::{Leaf, StoreError, SubjectKey};
use memchr::memmem::Finder;
use model::{Digest, EventId, IndexKeys, SubjectId};
use zeroize::Zeroizing;

use super::log::Segments;
use super::{Check, Kind};
use crate::disk::{self, DiskFile, How};
use crate::embedded::keys::{HEADER as KEYS_HEADER, SLOT, Slot, header as keys_header};
use crate::embedded::pack::{Entry, HEAD, HEADER, SCRUBBED, header, pack_name};
use crate::embedded::{Mark, in_memory, index_digests, index_mark, open_reader, rebuild_index};
use crate::error::unavailable;
use crate::worker::scatter;

/// What stands in every leaf that names a payload, and at the start of every one that erases.
/// Made once: making a finder takes longer than a leaf does to search.
static PAYLOAD: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\"kid\":"));
static ERASED: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"{\"erased\":"));

/// What the leaves say about payloads.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// Every payload, whose it is, and the first leaf that names it, with its event.
    payloads: HashMap<Digest, (u64, SubjectId, EventId)>,
    erased: HashMap<SubjectId, u64>,
}

impl Named {
    /// Takes note of what a leaf names. With `events` every leaf is decoded, and the error says why
    /// it is not an event in the one encoding of it; without, only those that may name something.
    pub(crate) fn look(&mut self, seq: u64, leaf: &[u8], events: bool) -> Result<(), String> {
        let names = || {
            // The body follows the time at the start of a leaf.
            let start = &leaf[..leaf.len().min(64)];
            PAYLOAD.find(leaf).is_some() || ERASED.find(start).is_some()
        };
        if !events && !names() {
            return Ok(());
        }
        let event = Leaf::decode(leaf).map_err(|e| e.to_string())?;
        let keys = IndexKeys::of(&event);
        if let Some((ct, subject)) = keys.payload {
            self.payloads.entry(ct).or_insert((seq, subject, event.id));
        }
        if let Some(subject) = keys.erased {
            self.erased.insert(subject, seq);
        }
        if events && Leaf::encode(&event).map_err(|e| e.to_string())?.bytes() != leaf {
            return Err("it is an event, but not in the canonical encoding".to_owned());
        }
        Ok(())
    }

    /// The first payload of every subject.
    fn firsts(&self) -> HashMap<SubjectId, (u64, Digest, EventId)> {
        let mut firsts = HashMap::new();
        for (ct, (seq, subject, event)) in &self.payloads {
            let found = (*seq, *ct, *event);
            let first = firsts.entry(*subject).or_insert(found);
            *first = found.min(*first);
        }
        firsts
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (ct, named) in other.payloads {
            let kept = self.payloads.entry(ct).or_insert(named);
            *kept = named.min(*kept);
        }
        self.erased.extend(other.erased);
    }
}

/// Checks payloads against the leaves, and the index as it was before the segments were opened.
/// So are `slots`, the keys.
pub(crate) fn check(
    check: &mut Check<'_>,
    segments: Option<&Segments>,
    snapshot: Option<Snapshot>,
    slots: &Slots,
) -> Result<(), StoreError> {
    let Some(segments) = segments else {
        return Ok(());
    };
    if let Some(snapshot) = snapshot {
        index(check, segments, snapshot)?;
    }
    if !check.options.full {
        return Ok(());
    }
    let named = std::mem::take(&mut check.named);
    let firsts = named.firsts();
    // What is damaged in them was told when they were read first.
    let told = (check.report.findings.len(), check.report.notices.len());
    let now = keys(check)?;
    check.report.findings.truncate(told.0);
    check.report.notices.truncate(told.1);
    subjects(check, &named, &firsts, slots, &now);
    let probes: HashMap<Digest, Probe<'_>> = firsts
        .iter()
        .filter(|(subject, _)| !named.erased.contains_key(subject))
        .filter_map(|(subject, (seq, ct, event))| match now.get(subject) {
            Some((Slot::Kept, key)) => Some((*ct, (*seq, *event, key))),
            _ => None,
        })
        .collect();
    let (found, damaged) = packs(check, segments, &named, &probes)?;
    let mut missing: Vec<(u64, String)> = Vec::new();
    for (ct, (seq, subject, _)) in &named.payloads {
        let erased = named.erased.contains_key(subject);
        let destroyed = gone(now.get(subject));
        let what = match found.get(ct) {
            Some(false) if erased && !destroyed => {
                check.report.notices.push(format!(
                    "subject `{subject}` is erased in the log and its key is still there: the next start finishes it"
                ));
                continue;
            }
            Some(false) => continue,
            None if damaged.contains_key(ct) => "is damaged",
            _ if erased && destroyed => {
                check.report.checked.erased += 1;
                continue;
            }
            Some(true) => "was scrubbed without proof of an erasure",
            None => "is missing, and no erasure says why",
        };
        let detail = match damaged.get(ct) {
            Some((path, at)) => format!(
                "payload `{ct}` is not what was written: `{}` is damaged at byte {at}",
                path.display()
            ),
            None => format!("payload `{ct}` {what}"),
        };
        missing.push((*seq, detail));
    }
    let dir = check.paths.payloads();
    check.find_some(&dir, "payloads are missing", missing);
    Ok(())
}

/// The slots of subjects, each with what it holds for a key.
pub(crate) type Slots = HashMap<SubjectId, (Slot, Zeroizing<[u8; 32]>)>;

/// A payload to open: the leaf that names it, its event, and the key of its subject.
type Probe<'k> = (u64, EventId, &'k Zeroizing<[u8; 32]>);

const fn gone(slot: Option<&(Slot, Zeroizing<[u8; 32]>)>) -> bool {
    matches!(slot, Some((Slot::Destroying | Slot::Destroyed, _)))
}

/// Whoever has payloads has a key, or was erased; and whose key is gone was erased.
///
/// An erasure stands in the log before the key goes, and a key is kept before a leaf names its
/// subject. So keys that are gone are looked for as they were `before` the segments were opened,
/// and keys that are there as they are `now`.
fn subjects(
    check: &mut Check<'_>,
    named: &Named,
    firsts: &HashMap<SubjectId, (u64, Digest, EventId)>,
    before: &Slots,
    now: &Slots,
) {
    let file = check.paths.keys().join("subjects.keys");
    let lost = firsts
        .iter()
        .filter(|(subject, _)| !named.erased.contains_key(subject) && !now.contains_key(subject))
        .map(|(subject, (seq, ..))| {
            let detail =
                format!("the key of subject `{subject}` is missing, and no erasure says why");
            (*seq, detail)
        });
    let lost = lost.collect();
    check.find_some(&file, "keys are missing", lost);
    let destroyed = before
        .iter()
        .filter(|(subject, slot)| gone(Some(slot)) && !named.erased.contains_key(subject))
        .map(|(subject, _)| {
            let first = firsts.get(subject).map_or(u64::MAX, |(seq, ..)| *seq);
            let detail = format!("the key of subject `{subject}` is destroyed without an erasure");
            (first, detail)
        });
    let destroyed = destroyed.collect();
    check.find_some(&file, "keys are destroyed", destroyed);
}

/// Payloads whose record can be read and whose bytes are not theirs: the pack, and where.
type Damaged = HashMap<Digest, (PathBuf, u64)>;

/// Reads every pack, opens those payloads that are asked for, and returns which payloads are
/// there, and whether scrubbed.
fn packs(
    check: &mut Check<'_>,
    segments: &Segments,
    named: &Named,
    probes: &HashMap<Digest, Probe<'_>>,
) -> Result<(HashMap<Digest, bool>, Damaged), StoreError> {
    let (last, last_end) = segments.packs;
    let dir = check.paths.payloads();
    let disk = Arc::clone(&check.options.disk);
    let next = AtomicU64::new(1);
    let progress = check.progress;
    let parts = scatter(check.options.threads.max(1), |_| {
        let mut found = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(number) = u32::try_from(number).ok().filter(|number| *number <= last) else {
                return found;
            };
            progress("packs", u64::from(number), u64::from(last));
            let path = dir.join(pack_name(number));
            let end = (number == last).then_some(last_end);
            found.push((
                path.clone(),
                disk.open(&path, How::Read)
                    .and_then(|file| pack(&*file, number, end, probes)),
            ));
        }
    });
    let mut whole: HashMap<Digest, bool> = HashMap::new();
    let (mut closed, mut damaged) = (Vec::new(), Damaged::new());
    for (path, pack) in parts.into_iter().flatten() {
        match pack {
            Ok(pack) => {
                check.report.checked.payloads += pack.found.len() as u64;
                closed.extend(pack.closed.into_iter().map(|seq| {
                    let detail =
                        format!("the payload of leaf {seq} does not open with its subject's key");
                    (seq, detail)
                }));
                for (ct, scrubbed) in pack.found {
                    let state = whole.entry(ct).or_insert(scrubbed);
                    *state = *state && scrubbed;
                }
                for (ct, at) in pack.damaged {
                    damaged.insert(ct, (path.clone(), at));
                }
                for at in pack.bad {
                    let detail = format!("`{}` is damaged at byte {at}", path.display());
                    check.find(Kind::Payload, None, Some(&path), detail);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let detail = format!("`{}` is missing", path.display());
                check.find(Kind::Missing, None, Some(&path), detail);
            }
            Err(error) => return Err(unavailable(format!("read `{}`", path.display()), error)),
        }
    }
    let file = check.paths.keys().join("subjects.keys");
    check.find_some(&file, "payloads do not open", closed);
    // One that no leaf names is told where it lies.
    let unnamed = damaged
        .iter()
        .filter(|(ct, _)| !named.payloads.contains_key(ct))
        .map(|(_, (path, at))| {
            (
                u64::MAX,
                format!("`{}` is damaged at byte {at}", path.display()),
            )
        })
        .collect();
    check.find_some(&dir, "payloads are damaged", unnamed);
    Ok((whole, damaged))
}

#[derive(Default)]
struct Pack {
    found: Vec<(Digest, bool)>,
    bad: Vec<u64>,
    damaged: Vec<(Digest, u64)>,
    /// Leaves whose payload does not open with the key of its subject.
    closed: Vec<u64>,
}

fn pack(
    file: &dyn DiskFile,
    number: u32,
    end: Option<u64>,
    probes: &HashMap<Digest, Probe<'_>>,
) -> io::Result<Pack> {
    let mut pack = Pack::default();
    let length = file.len()?;
    let end = end.unwrap_or(length);
    let mut start = [0; HEADER];
    let count = file.read_at(0, &mut start)?;
    if start[..count] != header(number) {
        pack.bad.push(0);
    }
    let mut at = HEADER as u64;
    let mut bytes = Vec::new();
    while at < end {
        let mut head = [0; HEAD];
        let count = file.read_at(at, &mut head)?;
        let Some(entry) = Entry::decode(&head[..count]) else {
            // What follows cannot be found without this record.
            pack.bad.push(at);
            return Ok(pack);
        };
        bytes.resize(entry.len as usize, 0);
        let count = file.read_at(at + HEAD as u64, &mut bytes)?;
        let scrubbed = entry.state == SCRUBBED;
        let right = count == bytes.len()
            && if scrubbed {
                bytes.iter().all(|byte| *byte == 0)
            } else {
                sha256(&bytes) == entry.ct
            };
        if right {
            if let Some((seq, event, key)) = probes.get(&entry.ct).filter(|_| !scrubbed)
                && open(&SubjectKey::from_bytes(key), event.as_bytes(), &bytes).is_err()
            {
                pack.closed.push(*seq);
            }
            pack.found.push((entry.ct, scrubbed));
        } else {
            pack.damaged.push((entry.ct, at));
        }
        at += HEAD as u64 + u64::from(entry.len);
    }
    if length < end {
        pack.bad.push(length);
    }
    Ok(pack)
}

/// Reads the slots of subjects' keys, and tells what is damaged.
pub(crate) fn keys(check: &mut Check<'_>) -> Result<Slots, StoreError> {
    let path = check.paths.keys().join("subjects.keys");
    let bytes = disk::read(&*check.options.disk, &path)
        .map_err(|e| unavailable(format!("read `{}`", path.display()), e))?;
    let mut slots = HashMap::new();
    let Some(bytes) = bytes.map(Zeroizing::new) else {
        return Ok(slots);
    };
    if bytes.len() < KEYS_HEADER || bytes[..KEYS_HEADER] != keys_header() {
        let detail = format!("`{}` is damaged at byte 0", path.display());
        check.find(Kind::Damaged, None, Some(&path), detail);
        return Ok(slots);
    }
    for (place, slot) in bytes[KEYS_HEADER..].chunks(SLOT).enumerate() {
        match Slot::decode(slot) {
            (Some(subject), Some(state)) => {
                let key: &[u8; 32] = slot[20..52].try_into().expect("32 bytes");
                slots.insert(subject, (state, Zeroizing::new(*key)));
            }
            _ if slot.len() < SLOT => check.report.notices.push(format!(
                "`{}` ends within a key that was never acknowledged",
                path.display()
            )),
            _ => {
                let at = KEYS_HEADER + place * SLOT;
                let detail = format!("`{}` is damaged at byte {at}", path.display());
                check.find(Kind::Damaged, None, Some(&path), detail);
            }
        }
    }
    Ok(slots)
}

/// The index as it was at one time, whoever writes it meanwhile.
pub(crate) struct Snapshot {
    connection: rusqlite::Connection,
    mark: Mark,
}

/// Opens the index, if there is one that can be read.
pub(crate) fn snapshot(check: &mut Check<'_>) -> Option<Snapshot> {
    let path = check.paths.index();
    if !path.exists() {
        check
            .report
            .notices
            .push("there is no index; the next start makes one".to_owned());
        return None;
    }
    let opened = open_reader(&path).and_then(|connection| {
        connection.execute_batch("BEGIN")?;
        let mark = index_mark(&connection)?;
        Ok(Snapshot { connection, mark })
    });
    opened
        .map_err(|error| {
            let detail = format!("the index cannot be read: {error}");
            check.find(Kind::Index, None, Some(&path), detail);
        })
        .ok()
}

/// Compares the index with the log: its tie always, all of it when events are checked.
fn index(check: &mut Check<'_>, segments: &Segments, snapshot: Snapshot) -> Result<(), StoreError> {
    let path = check.paths.index();
    let Snapshot { connection, mark } = snapshot;
    let bad = |check: &mut Check<'_>, detail: String| {
        check.find(Kind::Index, None, Some(&path), detail);
    };
    if mark.size > segments.durable() {
        let detail = format!(
            "the index holds {} leaves, the log {}",
            mark.size,
            segments.durable()
        );
        check.find(
            Kind::RolledBack,
            Some(segments.durable()),
            Some(&path),
            detail,
        );
        return Ok(());
    }
    if let Some(last) = mark.size.checked_sub(1) {
        let leaf = segments
            .log()
            .read(last, 1, usize::MAX)
            .ok()
            .and_then(|mut records| records.pop());
        if leaf.is_some_and(|record| leaf_hash(&record.leaf) != mark.last) {
            bad(check, "the index was made from another log".to_owned());
            return Ok(());
        }
    }
    if !check.options.full || !check.options.events {
        return Ok(());
    }
    (check.progress)("index", 0, mark.size);
    let rebuilt = rebuild_index(
        in_memory()?,
        segments.log(),
        &check.paths.payloads(),
        Arc::clone(&check.options.disk),
        mark.size,
    );
    let rebuilt = match rebuilt {
        Ok(rebuilt) => rebuilt,
        // The damage is told where it lies.
        Err(StoreError::Damaged { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    let compare = || -> rusqlite::Result<(u64, Vec<&'static str>)> {
        let (stored, rebuilt) = (index_digests(&connection)?, index_digests(&rebuilt)?);
        let rows = stored.iter().map(|(_, rows, _)| rows).sum();
        let differ: HashSet<_> = rebuilt.into_iter().collect();
        let other = stored.into_iter().filter(|table| !differ.contains(table));
        Ok((rows, other.map(|(table, ..)| table).collect()))
    };
    match compare() {
        Ok((rows, other)) => {
            check.report.checked.rows = rows;
            if !other.is_empty() {
                let tables = other.join("`, `");
                bad(
                    check,
                    format!(
                        "`{tables}` of the index are not what the log says; `rescind reindex` makes it anew"
                    ),
                );
            }
        }
        Err(error) => bad(check, format!("the index cannot be read: {error}")),
    }
    Ok(())
}
