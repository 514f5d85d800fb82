//! The note of where records are: it shortens opening, and nothing depends on it.

use std::path::{Path, PathBuf};

use ledger::conformance::sample::{Maker, batch};
use ledger::{Store as _, StoreError};
use model::{Body, HybridTime};
use store::{EmbeddedStore, OpenOptions, verify};

use crate::support::in_dir;

/// Leaves after which there is a note.
const LEAVES: u64 = 300;

/// Appends so many long leaves.
async fn fill(store: &EmbeddedStore, make: &mut Maker, leaves: u64) {
    for _ in 0..leaves / 50 {
        let long = |_| {
            make.leaf(Body::Gap {
                count: None,
                reason: "x".repeat(60_000),
                since: HybridTime::default(),
            })
        };
        let leaves: Vec<_> = (0..50).map(long).collect();
        store.append(batch(leaves)).await.unwrap();
    }
}

/// A directory with a note in it.
async fn noted(options: impl Fn(&Path) -> OpenOptions) -> (tempfile::TempDir, Maker, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(options(root.path())).unwrap();
    let mut make = Maker::default();
    fill(&store, &mut make, LEAVES).await;
    store.close().await.unwrap();
    let note = root.path().join("segments/default/seg-00001.part");
    assert!(note.exists(), "18 MB are noted when they are published");
    (root, make, note)
}

async fn is_whole(root: &Path) {
    let store = EmbeddedStore::open(in_dir(root)).unwrap();
    let status = store.status().await.unwrap();
    assert_eq!(status.durable, LEAVES);
    for seq in [0, 7, LEAVES - 1] {
        let read = store.read(seq, 1).await.unwrap();
        assert_eq!(read[0].0, seq);
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_noted_log_opens_grows_and_is_verified() {
    let (root, mut make, note) = noted(in_dir).await;
    is_whole(root.path()).await;
    let store = EmbeddedStore::open(in_dir(root.path())).unwrap();
    store.append(batch([make.filler(3)])).await.unwrap();
    assert_eq!(store.read(LEAVES, 1).await.unwrap()[0].0, LEAVES);
    store.close().await.unwrap();
    drop(store);
    assert!(note.exists());
    let checking = verify::Options {
        full: true,
        ..verify::Options::default()
    };
    let report = verify::verify(root.path(), &checking, &|_, _, _| {}).unwrap();
    assert!(report.is_intact(), "{:?}", report.findings);
}

#[tokio::test]
async fn a_note_that_is_not_right_is_not_used() {
    let (root, _, note) = noted(in_dir).await;
    let right = std::fs::read(&note).unwrap();
    let mut other = right.clone();
    other[100] ^= 1;
    for wrong in [&other[..], &right[..right.len() - 3], &[]] {
        std::fs::write(&note, wrong).unwrap();
        is_whole(root.path()).await;
    }
}

#[tokio::test]
async fn a_noted_record_that_was_changed_is_found_when_it_is_read() {
    let (root, _, _) = noted(in_dir).await;
    let segment = root.path().join("segments/default/seg-00001.log");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[700_000] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let store = EmbeddedStore::open(in_dir(root.path())).unwrap();
    let read = store.read(11, 1).await;
    assert!(
        matches!(
            read,
            Err(StoreError::Damaged {
                first_bad: Some(11),
                ..
            })
        ),
        "{read:?}"
    );
    drop(store);
    let report = verify::verify(root.path(), &verify::Options::default(), &|_, _, _| {});
    let report = report.unwrap();
    assert_eq!(report.first_bad(), Some(11), "{:?}", report.findings);
}

#[tokio::test]
async fn a_segment_that_is_sealed_needs_no_note() {
    let short = |dir: &Path| OpenOptions {
        segment_len: 17 << 20,
        ..in_dir(dir)
    };
    let (root, mut make, note) = noted(short).await;
    let store = EmbeddedStore::open(short(root.path())).unwrap();
    store.append(batch([make.filler(3)])).await.unwrap();
    store.close().await.unwrap();
    assert!(!note.exists());
    assert!(note.with_extension("off").exists());
}
