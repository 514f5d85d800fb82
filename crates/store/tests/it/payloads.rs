//! Payloads are found by their events, however they came into the packs, and damage to one of them
//! hides none of the others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ledger::conformance::sample::{Maker, batch};
use ledger::{Batch, BlobState, Leaf, Remedy, Store};
use model::{Digest, EventId, RunId, SubjectId};
use store::verify::{self, Kind};
use store::{EmbeddedStore, OpenOptions};

use crate::support::{in_dir, key, propose_sealed};

/// How many payloads there are, in several packs.
const COUNT: usize = 60;
/// Bytes before the first record of a pack, and before the ciphertext of a record.
const HEADER: usize = 20;
const HEAD: usize = 64;

fn options(root: &Path) -> OpenOptions {
    let mut options = in_dir(&root.join("data"));
    options.pack_len = 4_000;
    options
}

fn packs(root: &Path) -> Vec<PathBuf> {
    let dir = std::fs::read_dir(root.join("data/payloads/default")).unwrap();
    let mut packs: Vec<PathBuf> = dir.map(|entry| entry.unwrap().path()).collect();
    packs.retain(|path| path.extension().is_some_and(|extension| extension == "dat"));
    packs.sort();
    packs
}

/// Where a payload lies: its pack, and where its record begins and its ciphertext ends.
fn place(root: &Path, ct: Digest) -> (PathBuf, std::ops::Range<usize>) {
    for path in packs(root) {
        let bytes = std::fs::read(&path).unwrap();
        let mut at = HEADER;
        while at < bytes.len() {
            let length = u32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap());
            let end = at + HEAD + length as usize;
            if bytes[at + 28..at + 60] == ct.0 {
                return (path, at..end);
            }
            at = end;
        }
    }
    panic!("no payload {ct}");
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn c55_among_many_payloads_each_keeps_its_own_status_and_the_bad_one_is_named() {
    let root = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(options(root.path())).unwrap();
    let mut make = Maker::default();
    let (run, stays, gone) = (make.run(), make.subject(), make.subject());
    for subject in [stays, gone] {
        store.keep_key(subject, key()).await.unwrap();
    }
    let mut payloads = Vec::new();
    for number in 0..COUNT {
        let subject = if number % 10 == 7 { gone } else { stays };
        let decision = make.decision();
        let text = format!("payload {number} ").repeat(number + 3);
        let (leaf, payload) = propose_sealed(&mut make, decision, run, subject, text.as_bytes());
        let mut sealed = batch([leaf]);
        sealed.payloads.push(payload.clone());
        let event = sealed.leaves[0].keys().id;
        let seqs = store.append(sealed).await.unwrap().seqs;
        payloads.push((seqs[0], subject, event, payload));
    }
    store.append(batch([make.erase(gone)])).await.unwrap();
    store.destroy_key(gone).await.unwrap();
    store.publish().await.unwrap();
    store.close().await.unwrap();
    drop(store);

    // One whose ciphertext was changed, one whose record was; their neighbours lie next to them.
    let (ciphertext, head) = (13, 42);
    let (path, at) = place(root.path(), payloads[ciphertext].3.0);
    change(&path, |bytes| bytes[at.end - 3] ^= 1);
    let (path, at) = place(root.path(), payloads[head].3.0);
    change(&path, |bytes| bytes[at.start + 30] ^= 1);

    let reading = OpenOptions {
        read_only: true,
        ..options(root.path())
    };
    let store = EmbeddedStore::open(reading).unwrap();
    // In another order than that of the files, with one that was never there between them.
    let absent = (make.filler(1).keys().id, Digest([9; 32]));
    let order: Vec<usize> = (0..COUNT).map(|nth| nth * 23 % COUNT).collect();
    let by = |nth: &usize| (payloads[*nth].2, payloads[*nth].3.0);
    let mut asked: Vec<(EventId, Digest)> = order.iter().map(by).collect();
    asked.insert(20, absent);
    let mut found = store.payloads(&asked).await.unwrap();
    assert_eq!(found.remove(20).unwrap(), BlobState::Absent);
    for (nth, found) in order.into_iter().zip(found) {
        let (seq, subject, event, (ct, bytes)) = &payloads[nth];
        let alone = store.payload(*event, *ct).await;
        if nth == ciphertext || nth == head {
            let error = found.expect_err("damaged");
            assert_eq!(error.remedy(), Remedy::Intervene, "payload {nth}: {error}");
            assert_eq!(error.to_string(), alone.unwrap_err().to_string());
            continue;
        }
        let expected = match *subject == gone {
            true => BlobState::Scrubbed,
            false => BlobState::Kept(bytes.clone()),
        };
        assert_eq!(found.unwrap(), expected, "payload {nth} of leaf {seq}");
        assert_eq!(alone.unwrap(), expected);
    }
    drop(store);

    let options = verify::Options {
        full: true,
        ..verify::Options::default()
    };
    let data = root.path().join("data");
    let report = verify::verify(&data, &options, &|_, _, _| {}).unwrap();
    let of = |kind: Kind| report.findings.iter().filter(move |f| f.kind == kind);
    let mut named: Vec<u64> = of(Kind::Payload).filter_map(|f| f.first_bad).collect();
    named.sort_unstable();
    let bad = [ciphertext, head].map(|nth| payloads[nth].0);
    assert_eq!(named, bad, "{:#?}", report.findings);
    // A record that cannot be read is told with its place too, and the index has what it had.
    let unnamed = report.findings.iter().filter(|f| f.first_bad.is_none());
    let unnamed: Vec<Kind> = unnamed.map(|f| f.kind).collect();
    assert_eq!(unnamed, [Kind::Index, Kind::Payload]);
    assert_eq!(report.checked.payloads, COUNT as u64 - 2);
}

/// A leaf of a decision of its own, with its payload.
fn sealed(make: &mut Maker, run: RunId, subject: SubjectId, text: &[u8]) -> Sealed {
    let decision = make.decision();
    propose_sealed(make, decision, run, subject, text)
}

type Sealed = (Leaf, (Digest, Vec<u8>));

/// Appends leaves with their payloads, and keeps what is to be found of each.
#[derive(Default)]
struct Wanted(BTreeMap<(EventId, Digest), Vec<u8>>);

impl Wanted {
    async fn append(&mut self, store: &EmbeddedStore, batch: Batch) {
        for leaf in &batch.leaves {
            let keys = leaf.keys();
            let payload = keys.payload.and_then(|(ct, _)| {
                let mut payloads = batch.payloads.iter();
                payloads.find(|(given, _)| *given == ct)
            });
            if let Some((ct, bytes)) = payload {
                self.0.insert((keys.id, *ct), bytes.clone());
            }
        }
        store.append(batch).await.unwrap();
    }

    async fn are_found(&self, store: &EmbeddedStore) {
        let asked: Vec<(EventId, Digest)> = self.0.keys().copied().collect();
        let found = store.payloads(&asked).await.unwrap();
        for (found, bytes) in found.into_iter().zip(self.0.values()) {
            assert_eq!(found.unwrap(), BlobState::Kept(bytes.clone()));
        }
    }
}

/// Checks that the index is what a rebuilt one is, and returns how many payloads no leaf names.
async fn same_when_rebuilt(store: &EmbeddedStore) -> u64 {
    let durable = store.status().await.unwrap().durable;
    store.wait_indexed(durable).await.unwrap();
    let before = store.index_digests().await.unwrap();
    store.reindex().await.unwrap();
    assert_eq!(store.index_digests().await.unwrap(), before);
    let strays = before.iter().find(|(table, ..)| *table == "stray");
    strays.unwrap().1
}

#[tokio::test]
async fn payloads_are_found_in_whatever_order_they_come_and_where_two_leaves_name_one() {
    let root = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(options(root.path())).unwrap();
    let mut make = Maker::default();
    let (run, subject) = (make.run(), make.subject());
    store.keep_key(subject, key()).await.unwrap();
    let mut wanted = Wanted::default();
    let three: Vec<Sealed> = (0..3)
        .map(|nth| sealed(&mut make, run, subject, &[nth; 50]))
        .collect();
    let (leaves, mut payloads): (Vec<Leaf>, Vec<_>) = three.into_iter().unzip();
    payloads.reverse();
    wanted.append(&store, Batch { leaves, payloads }).await;
    // No ciphertext is ever sealed twice, so it takes a caller who makes one up.
    let twice = |make: &mut Maker, text: &[u8]| {
        let decision = make.decision();
        make.propose_sealed(decision, run, subject, text)
    };
    let (one, payload) = twice(&mut make, b"the same");
    let (other, _) = twice(&mut make, b"the same");
    let both = Batch {
        leaves: vec![one, other],
        payloads: vec![payload],
    };
    wanted.append(&store, both).await;
    let (again, payload) = twice(&mut make, b"the same");
    let again = Batch {
        leaves: vec![again],
        payloads: vec![payload],
    };
    wanted.append(&store, again).await;
    wanted.are_found(&store).await;
    assert_eq!(same_when_rebuilt(&store).await, 0);
    wanted.are_found(&store).await;
    store.append(batch([make.erase(subject)])).await.unwrap();
    store.destroy_key(subject).await.unwrap();
    for (event, ct) in wanted.0.into_keys() {
        let found = store.payload(event, ct).await.unwrap();
        assert_eq!(found, BlobState::Scrubbed);
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn groups_of_any_size_find_their_payloads_again_when_the_index_is_rebuilt() {
    let root = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(in_dir(&root.path().join("data"))).unwrap();
    let mut make = Maker::default();
    let (run, subject) = (make.run(), make.subject());
    store.keep_key(subject, key()).await.unwrap();
    let mut wanted = Wanted::default();
    // Of 8,192 leaves that are read at once the second group is only in part, and the third one
    // has more.
    for size in [5_000, 5_000, 9_000, 3] {
        let mut group = Batch::default();
        for _ in 0..3 {
            let (leaf, payload) = sealed(&mut make, run, subject, &[7; 40]);
            group.leaves.push(leaf);
            group.payloads.push(payload);
            let filler = (0..size / 3).map(|_| make.filler(1));
            group.leaves.extend(filler);
        }
        wanted.append(&store, group).await;
    }
    assert_eq!(same_when_rebuilt(&store).await, 0);
    wanted.are_found(&store).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn c10_an_erasure_reaches_a_payload_whose_leaf_a_crash_tore_off() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let mut make = Maker::default();
    let (run, subject) = (make.run(), make.subject());
    let batches = [1, 2].map(|nth| {
        let (leaf, payload) = sealed(&mut make, run, subject, &[nth; 300]);
        Batch {
            leaves: vec![leaf],
            payloads: vec![payload],
        }
    });
    let store = EmbeddedStore::open(in_dir(&data)).unwrap();
    store.keep_key(subject, key()).await.unwrap();
    let mut wanted = Wanted::default();
    for batch in &batches {
        wanted.append(&store, batch.clone()).await;
    }
    drop(store);
    // Both batches were one commit group, and of the second only the payload reached the disk.
    change(&data.join("segments/default/seg-00001.log"), |bytes| {
        let end = |at: usize| at + 8 + be(&bytes[at..at + 4]) as usize;
        let (first, second) = (32, end(32));
        assert_eq!(end(second), bytes.len());
        let pack_end = bytes[second + 28..second + 36].to_vec();
        bytes.truncate(second);
        bytes[first + 28..first + 36].copy_from_slice(&pack_end);
        let mut crc = crc32fast::Hasher::new();
        crc.update(&bytes[first..first + 4]);
        crc.update(&bytes[first + 8..]);
        bytes[first + 4..first + 8].copy_from_slice(&crc.finalize().to_be_bytes());
    });
    std::fs::remove_dir_all(data.join("index")).unwrap();

    let store = EmbeddedStore::open(in_dir(&data)).unwrap();
    let (event, ct) = (batches[1].leaves[0].keys().id, batches[1].payloads[0].0);
    let gone = store.payload(event, ct).await.unwrap();
    assert_eq!(gone, BlobState::Absent, "its leaf is not in the log");
    let again = store.append(batches[1].clone()).await.unwrap();
    assert_eq!((again.seqs, again.new), (vec![1], 1));
    wanted.are_found(&store).await;
    assert_eq!(same_when_rebuilt(&store).await, 1);
    wanted.are_found(&store).await;
    store.append(batch([make.erase(subject)])).await.unwrap();
    store.destroy_key(subject).await.unwrap();
    for (event, ct) in wanted.0.keys() {
        let found = store.payload(*event, *ct).await.unwrap();
        assert_eq!(found, BlobState::Scrubbed);
    }
    store.close().await.unwrap();
    let pack = std::fs::read(data.join("payloads/default/pack-00001.dat")).unwrap();
    for bytes in wanted.0.values() {
        let left = pack.windows(16).any(|window| window == &bytes[..16]);
        assert!(!left, "no copy of it is left");
    }
    let full = verify::Options {
        full: true,
        ..verify::Options::default()
    };
    let report = verify::verify(&data, &full, &|_, _, _| {}).unwrap();
    assert!(report.is_intact(), "{:#?}", report.findings);
}

fn be(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}
