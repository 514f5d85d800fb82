//! Whatever is changed afterwards is found, and the first bad leaf is named.

use std::path::{Path, PathBuf};

use ledger::conformance::sample::{Maker, batch};
use ledger::{Store, StoreError};
use store::verify::{self, Kind, Report};
use store::{EmbeddedStore, OpenOptions};

use crate::support::{in_dir, key, propose_sealed};

struct Sample {
    root: tempfile::TempDir,
    size: u64,
}

impl Sample {
    /// A log of 700 leaves, published three times, with payloads, a rotated key, an erasure and
    /// several segments.
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(options(root.path())).unwrap();
        let mut make = Maker::default();
        let (run, kept, erased) = (make.run(), make.subject(), make.subject());
        for subject in [kept, erased] {
            store.keep_key(subject, key()).await.unwrap();
            for place in 0..10 {
                let text = format!("payload {place} of {subject}").repeat(9);
                let decision = make.decision();
                let (leaf, payload) =
                    propose_sealed(&mut make, decision, run, subject, text.as_bytes());
                let mut sealed = batch([leaf]);
                sealed.payloads.push(payload);
                store.append(sealed).await.unwrap();
            }
        }
        store.publish().await.unwrap();
        store.append(batch([make.erase(erased)])).await.unwrap();
        store.destroy_key(erased).await.unwrap();
        store
            .rotate_key(ledger::conformance::sample::now(&make))
            .await
            .unwrap();
        for _ in 0..67 {
            let filler: Vec<_> = (0..10).map(|_| make.filler(100)).collect();
            store.append(batch(filler)).await.unwrap();
        }
        store.publish().await.unwrap();
        let size = store.status().await.unwrap().durable;
        store.close().await.unwrap();
        Self { root, size }
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn verify(&self) -> Report {
        self.verify_with(true)
    }

    fn verify_with(&self, full: bool) -> Report {
        let options = verify::Options {
            full,
            witness_dir: Some(self.root.path().join("witness")),
            ..verify::Options::default()
        };
        verify::verify(&self.data(), &options, &|_, _, _| {}).unwrap()
    }

    /// Every file of the data directory that the document says is covered.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        walk(&self.data(), &mut files);
        files.retain(|path| !path.ends_with("LOCK") && !path.to_string_lossy().contains("index/"));
        files
    }

    fn changed(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Report {
        let before = std::fs::read(path).unwrap();
        let mut bytes = before.clone();
        change(&mut bytes);
        assert_ne!(bytes, before);
        std::fs::write(path, &bytes).unwrap();
        let report = self.verify();
        std::fs::write(path, &before).unwrap();
        report
    }

    fn bundle(&self, name: &str) -> PathBuf {
        self.data().join("log/default/tile/entries").join(name)
    }
}

fn options(root: &Path) -> OpenOptions {
    let mut options = in_dir(&root.join("data"));
    options.witness_dir = Some(root.join("witness"));
    (options.segment_len, options.pack_len) = (60_000, 2_000);
    options
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else {
            files.push(path);
        }
    }
    files.sort();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Where each entry of a bundle starts and ends.
fn entries(bundle: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < bundle.len() {
        let end = at + 2 + usize::from(u16::from_be_bytes([bundle[at], bundle[at + 1]]));
        ranges.push(at..end);
        at = end;
    }
    ranges
}

#[tokio::test]
async fn c55_an_untouched_directory_is_intact() {
    let sample = Sample::new().await;
    let report = sample.verify();
    assert!(report.is_intact(), "{:#?}", report.findings);
    assert_eq!(report.size, sample.size);
    assert_eq!(report.checked.entries, sample.size);
    assert_eq!(report.checked.leaves, sample.size);
    assert_eq!(report.checked.payloads, 20);
    assert_eq!(
        report.checked.erased, 10,
        "erased with proof is told from missing"
    );
    assert!(report.checked.rows > 1_000);
    assert!(sample.verify_with(false).is_intact());
}

#[tokio::test]
async fn c55_a_flipped_byte_in_any_file_is_found() {
    let sample = Sample::new().await;
    let mut kinds = std::collections::BTreeSet::new();
    for path in sample.files() {
        let length = std::fs::metadata(&path).unwrap().len() as usize;
        for at in [0, length / 3, length / 2, length - 1] {
            let report = sample.changed(&path, |bytes| bytes[at] ^= 0x10);
            assert!(!report.is_intact(), "byte {at} of `{}`", path.display());
        }
        kinds.insert(path.extension().unwrap_or_default().to_owned());
    }
    assert!(kinds.len() >= 5, "{kinds:?}");
}

#[tokio::test]
async fn c55_a_removed_file_is_found() {
    let sample = Sample::new().await;
    for path in sample.files() {
        // Offsets are made anew from their segment.
        if path.extension().is_some_and(|extension| extension == "off") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let report = sample.verify();
        std::fs::write(&path, bytes).unwrap();
        assert!(!report.is_intact(), "`{}`", path.display());
    }
}

#[tokio::test]
async fn c55_changing_deleting_inserting_and_reordering_entries_names_the_first() {
    let sample = Sample::new().await;
    let path = sample.bundle("001");
    let whole = entries(&std::fs::read(&path).unwrap());
    let (a, b) = (whole[40].clone(), whole[41].clone());
    let report = sample.changed(&path, |bytes| bytes[a.end - 3] ^= 1);
    assert_eq!(
        report.first_bad(),
        Some(296),
        "changed: {:#?}",
        report.findings
    );
    let report = sample.changed(&path, |bytes| drop(bytes.drain(a.clone())));
    assert_eq!(
        report.first_bad(),
        Some(296),
        "deleted: {:#?}",
        report.findings
    );
    let report = sample.changed(&path, |bytes| {
        let mut more = bytes[a.clone()].to_vec();
        more[20] ^= 1;
        bytes.splice(a.start..a.start, more);
    });
    assert_eq!(
        report.first_bad(),
        Some(296),
        "inserted: {:#?}",
        report.findings
    );
    let report = sample.changed(&path, |bytes| {
        let pair = [&bytes[b.clone()], &bytes[a.clone()]].concat();
        bytes.splice(a.start..b.end, pair);
    });
    assert_eq!(
        report.first_bad(),
        Some(296),
        "reordered: {:#?}",
        report.findings
    );
    let report = sample.changed(&path, |bytes| bytes.truncate(a.start));
    assert_eq!(
        report.first_bad(),
        Some(296),
        "truncated: {:#?}",
        report.findings
    );
}

#[tokio::test]
async fn c55_a_changed_leaf_in_a_segment_is_named() {
    let sample = Sample::new().await;
    let reader = |seq: u64| {
        let mut segments: Vec<_> = sample.files();
        segments.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        // Records are found by their sequence number: eight bytes after length and checksum.
        for path in segments {
            let bytes = std::fs::read(&path).unwrap();
            let mut at = 32;
            while at + 36 <= bytes.len() {
                let length = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
                if u64::from_be_bytes(bytes[at + 8..at + 16].try_into().unwrap()) == seq {
                    return (path, at, at + 8 + length);
                }
                at += 8 + length;
            }
        }
        panic!("leaf {seq} is in no segment");
    };
    for seq in [0, 100, 400, sample.size - 1] {
        let (path, start, end) = reader(seq);
        let report = sample.changed(&path, |bytes| bytes[end - 1] ^= 1);
        assert_eq!(report.first_bad(), Some(seq), "{:#?}", report.findings);
        // Length, checksum, sequence number, group, batch, pack and its length, which no bundle has.
        for at in [0, 3, 5, 15, 19, 23, 27, 35] {
            let report = sample.changed(&path, |bytes| bytes[start + at] ^= 1);
            let found = report.first_bad();
            assert_eq!(found, Some(seq), "byte {at}: {:#?}", report.findings);
        }
        // With its checksum put right, the published log still tells.
        let report = sample.changed(&path, |bytes| {
            bytes[end - 2] ^= 1;
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(&bytes[start..start + 4]);
            hasher.update(&bytes[start + 8..end]);
            let crc = hasher.finalize().to_be_bytes();
            bytes[start + 4..start + 8].copy_from_slice(&crc);
        });
        assert_eq!(report.first_bad(), Some(seq), "{:#?}", report.findings);
    }
}

#[tokio::test]
async fn c55_bytes_between_segments_are_found_although_the_offset_file_agrees() {
    let sample = Sample::new().await;
    let segments = sample.data().join("segments/default");
    let (path, table) = (
        segments.join("seg-00001.log"),
        segments.join("seg-00001.off"),
    );
    let offsets = std::fs::read(&table).unwrap();
    let count = u32::from_be_bytes(offsets[12..16].try_into().unwrap());
    let mut longer = offsets.clone();
    let length = u64::from_be_bytes(offsets[24..32].try_into().unwrap()) + 9;
    longer[24..32].copy_from_slice(&length.to_be_bytes());
    let crc = crc32fast::hash(&[&longer[..32], &longer[36..40]].concat());
    longer[32..36].copy_from_slice(&crc.to_be_bytes());
    std::fs::write(&table, longer).unwrap();
    let report = sample.changed(&path, |bytes| bytes.extend([0; 9]));
    assert_eq!(
        report.first_bad(),
        Some(u64::from(count)),
        "{:#?}",
        report.findings
    );
}

#[tokio::test]
async fn c55_swapped_files_are_found() {
    let sample = Sample::new().await;
    let segments = sample.data().join("segments/default");
    let tiles = sample.data().join("log/default/tile/0");
    for (a, b, first) in [
        (sample.bundle("000"), sample.bundle("001"), Some(0)),
        (tiles.join("000"), tiles.join("001"), Some(0)),
        (
            segments.join("seg-00001.log"),
            segments.join("seg-00002.log"),
            Some(0),
        ),
    ] {
        let (x, y) = (std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap());
        std::fs::write(&a, &y).unwrap();
        std::fs::write(&b, &x).unwrap();
        let report = sample.verify();
        std::fs::write(&a, &x).unwrap();
        std::fs::write(&b, &y).unwrap();
        assert!(!report.is_intact());
        assert_eq!(
            report.first_bad(),
            first,
            "{}: {:#?}",
            a.display(),
            report.findings
        );
    }
}

#[tokio::test]
async fn c55_a_truncated_segment_is_found_and_not_taken_for_a_torn_tail() {
    let sample = Sample::new().await;
    let mut segments = sample.files();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    let last = segments.pop().unwrap();
    let bytes = std::fs::read(&last).unwrap();
    std::fs::write(&last, &bytes[..bytes.len() - 7]).unwrap();
    let report = sample.verify();
    assert_eq!(
        report.first_bad(),
        Some(sample.size - 1),
        "{:#?}",
        report.findings
    );
    let opened = EmbeddedStore::open(options(sample.root.path()));
    let Err(StoreError::Damaged { first_bad, .. }) = opened else {
        panic!("leaves that were signed are no torn tail: {opened:?}");
    };
    assert_eq!(first_bad, Some(sample.size - 1));
    assert_eq!(
        std::fs::read(&last).unwrap().len(),
        bytes.len() - 7,
        "and nothing is repaired"
    );
}

#[tokio::test]
async fn c56_an_older_copy_is_found_and_refuses_to_sign() {
    let sample = Sample::new().await;
    let backup = sample.root.path().join("backup");
    copy(&sample.data(), &backup);
    let store = EmbeddedStore::open(options(sample.root.path())).unwrap();
    let mut make = Maker::new(1_900_000_000_000);
    store
        .append(batch([make.filler(3), make.filler(3)]))
        .await
        .unwrap();
    store.close().await.unwrap();
    drop(store);
    std::fs::remove_dir_all(sample.data()).unwrap();
    copy(&backup, &sample.data());
    let report = sample.verify();
    let found: Vec<_> = report.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(found, [Kind::RolledBack], "{:#?}", report.findings);
    assert_eq!(report.first_bad(), Some(sample.size));
    let store = EmbeddedStore::open(options(sample.root.path())).unwrap();
    let refused = store.append(batch([make.filler(4)])).await;
    assert!(
        matches!(refused, Err(StoreError::RolledBack { have, signed }) if (have, signed) == (sample.size, sample.size + 2)),
        "{refused:?}"
    );
    assert!(matches!(
        store.publish().await,
        Err(StoreError::RolledBack { .. })
    ));
    assert_eq!(
        store.read(0, 1).await.unwrap().len(),
        1,
        "it can still be read"
    );
}

#[tokio::test]
async fn c56_a_rewritten_log_is_found_although_it_is_signed_with_the_right_key() {
    let sample = Sample::new().await;
    // Somebody with the log's key makes another log of the same name and length.
    let forged = tempfile::tempdir().unwrap();
    let mut forging = options(forged.path());
    forging.witness_dir = None;
    let store = EmbeddedStore::open(forging).unwrap();
    let mut make = Maker::new(1_600_000_000_000);
    let filler: Vec<_> = (0..sample.size + 5).map(|_| make.filler(50)).collect();
    store.append(batch(filler)).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    std::fs::remove_dir_all(sample.data()).unwrap();
    copy(&forged.path().join("data"), &sample.data());
    let report = sample.verify();
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.kind == Kind::Rewritten),
        "{:#?}",
        report.findings
    );
    let store = EmbeddedStore::open(options(sample.root.path())).unwrap();
    let refused = store.append(batch([make.filler(4)])).await;
    assert!(
        matches!(refused, Err(StoreError::Rewritten { .. })),
        "{refused:?}"
    );
    assert!(matches!(
        store.publish().await,
        Err(StoreError::Rewritten { .. })
    ));
}

#[tokio::test]
async fn c10_a_missing_payload_is_told_from_an_erased_one() {
    let sample = Sample::new().await;
    let packs = sample.data().join("payloads/default");
    let path = packs.join("pack-00001.dat");
    // Scrubbing by hand, without an entry in the log.
    let report = sample.changed(&path, |bytes| {
        let length = u32::from_be_bytes(bytes[28..32].try_into().unwrap()) as usize;
        bytes[24] = b'S';
        bytes[84..84 + length].fill(0);
    });
    assert_eq!(report.first_bad(), Some(0), "{:#?}", report.findings);
    assert_eq!(report.findings[0].kind, Kind::Payload);
}

/// Cuts a log short at its last checkpoint and lets it go on otherwise, without a signature.
#[tokio::test]
async fn c56_unsigned_leaves_that_contradict_the_witness_are_found() {
    for (more, forged, kind) in [
        (34, 40, Kind::Rewritten),
        (34, 34, Kind::Rewritten),
        (34, 20, Kind::RolledBack),
    ] {
        let root = tempfile::tempdir().unwrap();
        let mut make = Maker::default();
        let mut fill = |count: usize| batch((0..count).map(|_| make.filler(50)));
        let store = EmbeddedStore::open(options(root.path())).unwrap();
        store.append(fill(10)).await.unwrap();
        store.close().await.unwrap();
        drop(store);
        let (data, backup) = (root.path().join("data"), root.path().join("backup"));
        copy(&data, &backup);
        let store = EmbeddedStore::open(options(root.path())).unwrap();
        store.append(fill(more)).await.unwrap();
        store.close().await.unwrap();
        drop(store);
        std::fs::remove_dir_all(&data).unwrap();
        copy(&backup, &data);
        // Without the witness the copy accepts other leaves; nothing is published over them.
        let mut alone = options(root.path());
        alone.witness_dir = None;
        let store = EmbeddedStore::open(alone).unwrap();
        store.append(fill(forged)).await.unwrap();
        store.wait_indexed(10 + forged as u64).await.unwrap();
        drop(store);
        let sample = Sample { root, size: 10 };
        for full in [false, true] {
            let report = sample.verify_with(full);
            assert!(
                report.findings.iter().any(|finding| finding.kind == kind),
                "{forged} forged, full {full}: {:#?}",
                report.findings
            );
            let first = if kind == Kind::Rewritten {
                10
            } else {
                10 + forged as u64
            };
            assert_eq!(report.first_bad(), Some(first), "{:#?}", report.findings);
        }
    }
}

#[tokio::test]
async fn c55_a_directory_that_another_process_writes_is_not_called_tampered_with() {
    let root = tempfile::tempdir().unwrap();
    let mut open = options(root.path());
    open.segment_len = 20_000;
    let store = EmbeddedStore::open(open).unwrap();
    let mut make = Maker::default();
    let data = root.path().join("data");
    for full in [false, true] {
        let (data, witness) = (data.clone(), root.path().join("witness"));
        let looking = tokio::task::spawn_blocking(move || {
            for _ in 0..12 {
                let options = verify::Options {
                    full,
                    witness_dir: Some(witness.clone()),
                    ..verify::Options::default()
                };
                let report = verify::verify(&data, &options, &|_, _, _| {}).unwrap();
                assert!(report.is_intact(), "{:#?}", report.findings);
            }
        });
        let mut round = 0;
        while !looking.is_finished() {
            let (run, subject) = (make.run(), make.subject());
            store.keep_key(subject, key()).await.unwrap();
            let decision = make.decision();
            let (leaf, payload) = propose_sealed(&mut make, decision, run, subject, &[7; 300]);
            let mut sealed = batch([leaf, make.filler(200)]);
            sealed.payloads.push(payload);
            store.append(sealed).await.unwrap();
            if round % 3 == 0 {
                store.publish().await.unwrap();
            }
            if round % 7 == 0 {
                store.append(batch([make.erase(subject)])).await.unwrap();
                store.destroy_key(subject).await.unwrap();
            }
            round += 1;
        }
        looking.await.unwrap();
        assert!(round > 0);
    }
}

#[tokio::test]
async fn c10_keys_that_are_gone_or_replaced_are_found() {
    let sample = Sample::new().await;
    let path = sample.data().join("keys/default/subjects.keys");
    let slot = |bytes: &mut Vec<u8>, key: [u8; 32], state: u8| {
        bytes[16 + 20..16 + 52].copy_from_slice(&key);
        bytes[16 + 52] = state;
        let crc = crc32fast::hash(&bytes[16..16 + 60]).to_be_bytes();
        bytes[16 + 60..16 + 64].copy_from_slice(&crc);
    };
    let found = |what: &str, report: Report| {
        assert_eq!(
            report.first_bad(),
            Some(0),
            "{what}: {:#?}",
            report.findings
        );
        assert_eq!(report.findings[0].kind, Kind::Payload, "{what}");
    };
    for length in [16, 16 + 63] {
        let report = sample.changed(&path, |bytes| bytes.truncate(length));
        found("cut", report);
    }
    found(
        "destroyed",
        sample.changed(&path, |bytes| slot(bytes, [0; 32], b'D')),
    );
    found(
        "destroying",
        sample.changed(&path, |bytes| slot(bytes, [0; 32], b'X')),
    );
    found(
        "replaced",
        sample.changed(&path, |bytes| slot(bytes, [6; 32], b'K')),
    );
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let report = sample.verify();
    found("removed", report);
    // A slot that nothing names was never acknowledged.
    std::fs::write(&path, [&bytes[..], &[1; 20]].concat()).unwrap();
    assert!(sample.verify().is_intact());
}

#[tokio::test]
async fn c10_a_damaged_payload_is_told_once_with_its_leaf() {
    let sample = Sample::new().await;
    let path = sample.data().join("payloads/default/pack-00001.dat");
    let report = sample.changed(&path, |bytes| bytes[20 + 64 + 5] ^= 1);
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    assert_eq!(report.first_bad(), Some(0));
    assert!(
        report.findings[0].detail.contains("byte 20"),
        "{:#?}",
        report.findings
    );
}

#[tokio::test]
async fn c55_a_log_without_its_keys_is_still_held_against_everything_else() {
    let sample = Sample::new().await;
    let path = sample.data().join("keys/default/log.keys");
    let report = sample.changed(&path, |bytes| bytes[20] ^= 1);
    assert_eq!(report.origin, "test.invalid/log");
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    assert_eq!(report.checked.leaves, sample.size);
    std::fs::remove_file(&path).unwrap();
    let bundle = sample.bundle("001");
    let report = sample.changed(&bundle, |bytes| bytes[40] ^= 1);
    assert!(
        report
            .findings
            .iter()
            .any(|found| found.first_bad == Some(256))
    );
}
