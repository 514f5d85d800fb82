//! Damage to one payload among many hides none of the others.

use std::path::{Path, PathBuf};

use ledger::conformance::sample::{Maker, batch};
use ledger::{BlobState, Remedy, Store};
use model::{Digest, EventId};
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
