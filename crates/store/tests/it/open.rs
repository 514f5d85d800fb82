//! Opening: locks, versions, looking without a lock, continuing, erasures, rotations, full disks.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use ledger::conformance::sample::{self, Maker, batch};
use ledger::{Checkpoint, KeyState, Store, StoreError, SubjectKey, VerifyingKey};
use model::{Body, HybridTime};
use store::fault::{Fault, FaultDisk, Loss};
use store::{Continue, EmbeddedStore, verify};

use crate::support::{in_dir, key, on_disk, propose_sealed};

#[tokio::test]
async fn a_second_opener_is_told_who_has_the_directory() {
    let root = tempfile::tempdir().unwrap();
    let first = EmbeddedStore::open(in_dir(root.path())).unwrap();
    let second = EmbeddedStore::open(in_dir(root.path()));
    let Err(StoreError::Locked { holder, .. }) = &second else {
        panic!("one writer for a directory: {second:?}");
    };
    assert_eq!(*holder, format!("process {} (tests)", std::process::id()));
    assert!(second.unwrap_err().hint().is_some());
    first.close().await.unwrap();
    EmbeddedStore::open(in_dir(root.path())).unwrap();
}

#[test]
fn a_directory_that_cannot_be_written_is_named_with_what_to_do() {
    for (kind, word) in [
        (ErrorKind::ReadOnlyFilesystem, "writable"),
        (ErrorKind::PermissionDenied, "who owns it"),
    ] {
        let error = StoreError::Unavailable {
            doing: "lock `/data`".to_owned(),
            source: std::io::Error::from(kind).into(),
        };
        let hint = error.hint().unwrap();
        assert!(hint.contains(word) && hint.contains("--data-dir"), "{hint}");
    }
}

#[tokio::test]
async fn c76_newer_files_are_refused_and_named() {
    for name in [
        "FORMAT",
        "segments/default/seg-00001.log",
        "keys/default/subjects.keys",
    ] {
        let root = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(in_dir(root.path())).unwrap();
        let mut make = Maker::default();
        store
            .keep_key(make.subject(), SubjectKey::from_bytes(&[1; 32]))
            .await
            .unwrap();
        store.append(batch([make.filler(3)])).await.unwrap();
        store.close().await.unwrap();
        drop(store);
        let path = root.path().join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        if name == "FORMAT" {
            bytes = b"rescind-data 2\n".to_vec();
        } else {
            bytes[8..12].copy_from_slice(&2u32.to_be_bytes());
            let end = if name.ends_with("log") { 28 } else { 12 };
            let crc = crc32fast::hash(&bytes[..end]).to_be_bytes();
            bytes[end..end + 4].copy_from_slice(&crc);
        }
        std::fs::write(&path, bytes).unwrap();
        let opened = EmbeddedStore::open(in_dir(root.path()));
        assert!(
            matches!(
                opened,
                Err(StoreError::Newer {
                    found: 2,
                    known: 1,
                    ..
                })
            ),
            "{name}: {opened:?}"
        );
    }
}

#[tokio::test]
async fn looking_takes_no_lock_and_writes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let missing = EmbeddedStore::open(store::OpenOptions {
        read_only: true,
        ..in_dir(root.path())
    });
    assert!(
        matches!(missing, Err(StoreError::Unavailable { .. })),
        "{missing:?}"
    );
    assert_eq!(
        std::fs::read_dir(root.path()).unwrap().count(),
        0,
        "nothing was made"
    );
    let writing = EmbeddedStore::open(in_dir(root.path())).unwrap();
    let mut make = Maker::default();
    let (run, decision) = (make.run(), make.decision());
    let leaves = [make.propose(decision, run, "a", &[]), make.start(decision)];
    writing.append(batch(leaves)).await.unwrap();
    writing.wait_indexed(2).await.unwrap();
    let look = || {
        EmbeddedStore::open(store::OpenOptions {
            read_only: true,
            ..in_dir(root.path())
        })
    };
    let looking = look().unwrap();
    assert_eq!(looking.status().await.unwrap().durable, 2);
    assert_eq!(
        looking.read(0, 9).await.unwrap(),
        writing.read(0, 9).await.unwrap()
    );
    assert_eq!(looking.events_of(decision).await.unwrap(), [0, 1]);
    assert_eq!(
        looking.head(*decision.as_bytes()).await.unwrap(),
        writing.head(*decision.as_bytes()).await.unwrap()
    );
    let refused = looking.append(batch([make.filler(1)])).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable { .. })),
        "{refused:?}"
    );
    assert!(looking.publish().await.is_err());
    looking.close().await.unwrap();
    writing
        .append(batch([make.finish(decision)]))
        .await
        .unwrap();
    writing.close().await.unwrap();
    drop(writing);
    // Without an index the answers are the same.
    std::fs::remove_dir_all(root.path().join("index")).unwrap();
    let looking = look().unwrap();
    assert_eq!(looking.events_of(decision).await.unwrap(), [0, 1, 2]);
    let notices = looking.status().await.unwrap().notices;
    assert!(
        notices
            .iter()
            .any(|notice| notice.contains("built in memory")),
        "{notices:?}"
    );
    assert!(!root.path().join("index").exists());
}

#[tokio::test]
async fn a_log_after_a_restore_continues_the_old_one_under_a_new_name() {
    let root = tempfile::tempdir().unwrap();
    let old = EmbeddedStore::open(in_dir(&root.path().join("old"))).unwrap();
    old.append(batch([Maker::default().filler(3)]))
        .await
        .unwrap();
    let checkpoint = old.publish().await.unwrap();
    old.close().await.unwrap();
    let mut options = in_dir(&root.path().join("new"));
    options.continue_from = Some(Continue {
        checkpoint: checkpoint.clone(),
        at: HybridTime { wall: 9, tick: 0 },
    });
    let same = EmbeddedStore::open(options.clone());
    assert!(same.is_err(), "a name is never forked: {same:?}");
    options.origin = Some("test.invalid/log/2".to_owned());
    for _ in 0..2 {
        let new = EmbeddedStore::open(options.clone()).unwrap();
        let leaves = new.read(0, 9).await.unwrap();
        assert_eq!(leaves.len(), 1, "it is said once");
        let event = ledger::Leaf::decode(&leaves[0].1).unwrap();
        assert_eq!(
            event.body,
            Body::Continuation {
                checkpoint: checkpoint.clone()
            }
        );
        assert_eq!(new.sealing().await.unwrap().origin, "test.invalid/log/2");
        new.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_rotated_key_signs_beside_the_old_one_until_that_is_retired() {
    let root = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(in_dir(root.path())).unwrap();
    let mut make = Maker::default();
    store.append(batch([make.filler(3)])).await.unwrap();
    let old = store.sealing().await.unwrap().log;
    let new = store.rotate_key(sample::now(&make)).await.unwrap();
    let keys = store.sealing().await.unwrap().log;
    assert_eq!(keys, [old[0].clone(), new.clone()], "newest last");
    let key = |text: &str| -> VerifyingKey { text.parse().unwrap() };
    let note = store.publish().await.unwrap();
    for each in &keys {
        Checkpoint::open(note.as_bytes(), &[key(each)]).unwrap();
    }
    let event = ledger::Leaf::decode(&store.read(1, 1).await.unwrap()[0].1).unwrap();
    assert_eq!(
        event.body,
        Body::KeyRotated {
            new: new.clone(),
            old: old[0].clone()
        }
    );
    store.retire_old_key().await.unwrap();
    let note = store.publish().await.unwrap();
    Checkpoint::open(note.as_bytes(), &[key(&new)]).unwrap();
    assert!(Checkpoint::open(note.as_bytes(), &[key(&old[0])]).is_err());
    store.close().await.unwrap();
    drop(store);
    let store = EmbeddedStore::open(in_dir(root.path())).unwrap();
    assert_eq!(
        store.sealing().await.unwrap().log,
        keys,
        "old keys stay known"
    );
    assert_eq!(store.publish().await.unwrap(), note);
}

#[tokio::test]
async fn c10_an_erasure_that_a_crash_cut_short_is_finished_at_the_next_start() {
    let root = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(in_dir(root.path())).unwrap();
    let mut make = Maker::default();
    let (run, subject, decision) = (make.run(), make.subject(), make.decision());
    store
        .keep_key(subject, SubjectKey::from_bytes(&[8; 32]))
        .await
        .unwrap();
    let (leaf, payload) = make.propose_sealed(decision, run, subject, &[77; 300]);
    let event = leaf.keys().id;
    let mut sealed = batch([leaf]);
    sealed.payloads.push(payload.clone());
    store.append(sealed).await.unwrap();
    store.append(batch([make.erase(subject)])).await.unwrap();
    // The process ends before the key is destroyed.
    drop(store);
    let store = EmbeddedStore::open(in_dir(root.path())).unwrap();
    assert_eq!(store.key(subject).await.unwrap(), KeyState::Destroyed);
    assert_eq!(
        store.payload(event, payload.0).await.unwrap(),
        ledger::BlobState::Scrubbed
    );
    let bytes = std::fs::read(root.path().join("payloads/default/pack-00001.dat")).unwrap();
    assert!(
        !bytes.windows(8).any(|window| window == [77; 8]),
        "no byte of it is left"
    );
    let keys = std::fs::read(root.path().join("keys/default/subjects.keys")).unwrap();
    assert!(
        !keys.windows(8).any(|window| window == [8; 8]),
        "nor of its key"
    );
}

#[tokio::test]
async fn c75_a_full_disk_acknowledges_nothing_and_recovers_when_there_is_space() {
    let index = tempfile::tempdir().unwrap();
    let disk = FaultDisk::default();
    let store = EmbeddedStore::open(on_disk(&disk, index.path())).unwrap();
    let mut make = Maker::default();
    let (run, subject) = (make.run(), make.subject());
    store.append(batch([make.filler(10)])).await.unwrap();
    disk.fill();
    let leaf = make.filler(200);
    for _ in 0..3 {
        let full = store.append(batch([leaf.clone()])).await;
        assert!(matches!(full, Err(StoreError::Full { .. })), "{full:?}");
        assert_eq!(
            store.status().await.unwrap().durable,
            1,
            "nothing is acknowledged"
        );
    }
    let decision = make.decision();
    let (sealed, payload) = make.propose_sealed(decision, run, subject, &[1; 500]);
    let mut with_payload = batch([sealed]);
    with_payload.payloads.push(payload);
    assert!(matches!(
        store.append(with_payload.clone()).await,
        Err(StoreError::Full { .. })
    ));
    disk.free_space();
    assert_eq!(
        store.append(batch([leaf])).await.unwrap().seqs,
        [1],
        "no restart is needed"
    );
    assert_eq!(store.append(with_payload).await.unwrap().seqs, [2]);
    store.publish().await.unwrap();
    drop(store);
    let after = disk.after_power_loss(Loss::All);
    let store = EmbeddedStore::open(on_disk(&after, index.path())).unwrap();
    assert_eq!(store.status().await.unwrap().durable, 3);
    let notices = store.status().await.unwrap().notices;
    assert!(
        !notices.iter().any(|notice| notice.contains("torn")),
        "{notices:?}"
    );
}

#[tokio::test]
async fn c75_a_failed_sync_poisons_and_a_restart_goes_on() {
    let index = tempfile::tempdir().unwrap();
    let disk = FaultDisk::default();
    let store = EmbeddedStore::open(on_disk(&disk, index.path())).unwrap();
    let mut make = Maker::default();
    store.append(batch([make.filler(10)])).await.unwrap();
    let before = disk.operations();
    // A write, and then the sync of it.
    disk.plan(before + 1, Fault::Eio);
    let leaf = make.filler(20);
    let failed = store.append(batch([leaf.clone()])).await;
    assert!(
        matches!(failed, Err(StoreError::Poisoned { .. })),
        "{failed:?}"
    );
    let next = store.append(batch([make.filler(30)])).await;
    assert!(
        matches!(next, Err(StoreError::Poisoned { .. })),
        "nothing goes on top of it: {next:?}"
    );
    assert!(matches!(
        store.status().await,
        Err(StoreError::Poisoned { .. })
    ));
    assert_eq!(
        store.read(0, 9).await.unwrap().len(),
        1,
        "what was durable can be read"
    );
    drop(store);
    let after = disk.after_power_loss(Loss::None);
    let store = EmbeddedStore::open(on_disk(&after, index.path())).unwrap();
    store.append(batch([leaf])).await.unwrap();
    assert_eq!(store.status().await.unwrap().durable, 2);
}

#[tokio::test]
async fn c73_a_torn_tail_is_cut_and_reported() {
    let root = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(in_dir(root.path())).unwrap();
    let mut make = Maker::default();
    store.append(batch([make.filler(10)])).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let path = root.path().join("segments/default/seg-00001.log");
    let mut bytes = std::fs::read(&path).unwrap();
    let whole = bytes.len();
    bytes.extend_from_slice(&[0, 0, 1, 7, 3]);
    std::fs::write(&path, bytes).unwrap();
    let store = EmbeddedStore::open(in_dir(root.path())).unwrap();
    let notices = store.status().await.unwrap().notices;
    assert!(
        notices
            .iter()
            .any(|notice| notice.contains("torn tail: 5 bytes after leaf 1")),
        "{notices:?}"
    );
    assert_eq!(std::fs::metadata(&path).unwrap().len() as usize, whole);
    store.append(batch([make.filler(10)])).await.unwrap();
}

#[tokio::test]
async fn an_index_that_is_gone_or_spoilt_is_made_anew() {
    let root = tempfile::tempdir().unwrap();
    let mut make = Maker::default();
    let (run, decision) = (make.run(), make.decision());
    let store = EmbeddedStore::open(in_dir(root.path())).unwrap();
    store
        .append(batch([
            make.propose(decision, run, "a", &[]),
            make.start(decision),
        ]))
        .await
        .unwrap();
    store.wait_indexed(2).await.unwrap();
    let before = store.index_digests().await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let path = root.path().join("index/default.sqlite");
    let spoils: [fn(&Path); 2] = [
        |path| std::fs::remove_file(path).unwrap(),
        |path| std::fs::write(path, b"this is no database, and longer than a header is").unwrap(),
    ];
    for spoil in spoils {
        spoil(&path);
        let store = EmbeddedStore::open(in_dir(root.path())).unwrap();
        assert_eq!(store.index_digests().await.unwrap(), before);
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c8_many_writers_at_once_lose_nothing_and_conflict_where_they_should() {
    let root = tempfile::tempdir().unwrap();
    let mut options = in_dir(root.path());
    options.queue_len = 20_000;
    let store = Arc::new(EmbeddedStore::open(options).unwrap());
    let mut make = Maker::default();
    let (run, decision) = (make.run(), make.decision());
    store
        .append(batch([make.propose(decision, run, "a", &[])]))
        .await
        .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..32u64 {
        let store = Arc::clone(&store);
        let mut mine = Maker::new(1_800_000_000_000 + task * 1_000_000);
        // All of them saw the proposal and want to start the decision.
        let mut racing = make.clone();
        for _ in 0..task {
            racing.run();
        }
        let start = racing.start(decision);
        tasks.spawn(async move {
            for _ in 0..40 {
                let leaf = mine.filler(300);
                let seq = store.append(batch([leaf.clone()])).await.unwrap().seqs[0];
                assert_eq!(store.append(batch([leaf])).await.unwrap().seqs, [seq]);
            }
            store.append(batch([start])).await.is_ok()
        });
    }
    let mut winners = 0;
    while let Some(won) = tasks.join_next().await {
        winners += usize::from(won.unwrap());
    }
    assert_eq!(winners, 1, "one of the racing starts goes through");
    assert_eq!(store.status().await.unwrap().durable, 2 + 32 * 40);
}

#[tokio::test]
async fn c73_a_log_that_was_never_finished_is_told_from_a_damaged_one() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let store = EmbeddedStore::open(in_dir(&data)).unwrap();
    drop(store);
    // What a process leaves that is killed right before it writes the key file.
    std::fs::remove_file(data.join("keys/default/log.keys")).unwrap();
    let mut look = in_dir(&data);
    look.read_only = true;
    let opened = EmbeddedStore::open(look);
    assert!(
        matches!(&opened, Err(StoreError::Unavailable { source, .. }) if source.to_string().contains("no log was finished")),
        "{opened:?}"
    );
    let checked = verify::verify(&data, &verify::Options::default(), &|_, _, _| {});
    assert!(
        matches!(checked, Err(StoreError::Unavailable { .. })),
        "{checked:?}"
    );
    let store = EmbeddedStore::open(in_dir(&data)).unwrap();
    store
        .append(batch([Maker::default().filler(1)]))
        .await
        .unwrap();
    store.close().await.unwrap();
    let report = verify::verify(&data, &verify::Options::default(), &|_, _, _| {}).unwrap();
    assert!(report.is_intact(), "{:#?}", report.findings);
}

#[tokio::test]
async fn c73_a_first_publication_that_failed_is_no_tampering() {
    let root = tempfile::tempdir().unwrap();
    let (data, witness) = (root.path().join("data"), root.path().join("witness"));
    let mut options = in_dir(&data);
    options.witness_dir = Some(witness.clone());
    let store = EmbeddedStore::open(options.clone()).unwrap();
    let mut make = Maker::default();
    store.append(batch([make.filler(1)])).await.unwrap();
    // The witness cannot keep what it sees: a directory is where its lock should be.
    let state = format!(
        "{}.lock",
        &ledger::digest::sha256(b"test.invalid/log").to_string()[..32]
    );
    std::fs::create_dir(witness.join(&state)).unwrap();
    assert!(store.publish().await.is_err());
    let checking = verify::Options {
        full: true,
        witness_dir: Some(witness.clone()),
        ..verify::Options::default()
    };
    let report = verify::verify(&data, &checking, &|_, _, _| {}).unwrap();
    assert!(report.is_intact(), "{:#?}", report.findings);
    assert!(
        report
            .notices
            .iter()
            .any(|notice| notice.contains("never finished")),
        "{:?}",
        report.notices
    );
    std::fs::remove_dir(witness.join(&state)).unwrap();
    store.publish().await.unwrap();
    std::fs::remove_file(data.join("log/default/checkpoint")).unwrap();
    let report = verify::verify(&data, &checking, &|_, _, _| {}).unwrap();
    assert!(!report.is_intact(), "the witness saw one");
}

#[tokio::test]
async fn c75_a_disk_that_is_full_while_tiles_are_made_is_waited_for() {
    let index = tempfile::tempdir().unwrap();
    let disk = FaultDisk::default();
    let store = EmbeddedStore::open(on_disk(&disk, index.path())).unwrap();
    let mut make = Maker::default();
    let filler: Vec<_> = (0..300).map(|_| make.filler(10)).collect();
    store.append(batch(filler)).await.unwrap();
    drop(store);
    let (tried, disk) = (
        disk.after_power_loss(Loss::None),
        disk.after_power_loss(Loss::None),
    );
    drop(EmbeddedStore::open(on_disk(&tried, index.path())).unwrap());
    let journal = tried.journal();
    let at = journal
        .iter()
        .position(|what| what.contains("/tile/") && what.contains("write"));
    disk.plan(
        at.unwrap_or_else(|| panic!("{journal:?}")) as u64,
        Fault::Full,
    );
    let store = EmbeddedStore::open(on_disk(&disk, index.path())).unwrap();
    assert!(matches!(
        store.publish().await,
        Err(StoreError::Full { .. })
    ));
    disk.free_space();
    store.append(batch([make.filler(10)])).await.unwrap();
    store.publish().await.unwrap();
    assert_eq!(store.status().await.unwrap().published, 301);
}

#[tokio::test]
async fn many_stores_that_make_one_witness_at_once_agree_on_its_key() {
    let root = tempfile::tempdir().unwrap();
    let mut opening = tokio::task::JoinSet::new();
    for number in 0..8 {
        let mut options = in_dir(&root.path().join(format!("data-{number}")));
        options.entropy = Arc::new(ledger::SeededEntropy::new(number));
        options.origin = Some(format!("test.invalid/log-{number}"));
        options.witness_dir = Some(root.path().join("witness"));
        opening.spawn_blocking(move || EmbeddedStore::open(options).unwrap());
    }
    let mut witnesses = std::collections::BTreeSet::new();
    while let Some(store) = opening.join_next().await {
        let store = store.unwrap();
        witnesses.extend(store.sealing().await.unwrap().witnesses);
        store.publish().await.unwrap();
    }
    assert_eq!(witnesses.len(), 1, "{witnesses:?}");
}

#[tokio::test]
async fn a_lost_pack_takes_no_later_payload_with_it() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let path = data.join("payloads/default/pack-00001.dat");
    for cut in [None, Some(70)] {
        let _ = std::fs::remove_dir_all(&data);
        let mut make = Maker::default();
        let (run, subject) = (make.run(), make.subject());
        let mut next = || {
            let decision = make.decision();
            let (leaf, payload) = propose_sealed(&mut make, decision, run, subject, &[3; 100]);
            let mut sealed = batch([leaf]);
            sealed.payloads.push(payload.clone());
            (payload, sealed)
        };
        let store = EmbeddedStore::open(in_dir(&data)).unwrap();
        store.keep_key(subject, key()).await.unwrap();
        store.append(next().1).await.unwrap();
        store.close().await.unwrap();
        drop(store);
        match cut {
            Some(length) => {
                let bytes = std::fs::read(&path).unwrap();
                std::fs::write(&path, &bytes[..length]).unwrap();
            }
            None => std::fs::remove_file(&path).unwrap(),
        }
        for round in 0..2 {
            let store = EmbeddedStore::open(in_dir(&data)).unwrap();
            for _ in 0..2 {
                let ((ct, bytes), sealed) = next();
                let event = sealed.leaves[0].keys().id;
                store.append(sealed).await.unwrap();
                let found = store.payload(event, ct).await.unwrap();
                assert_eq!(found, ledger::BlobState::Kept(bytes), "round {round}");
            }
            store.close().await.unwrap();
        }
        let checking = verify::Options {
            full: true,
            ..verify::Options::default()
        };
        let report = verify::verify(&data, &checking, &|_, _, _| {}).unwrap();
        assert_eq!(report.first_bad(), Some(0), "{:#?}", report.findings);
        assert_eq!(report.checked.payloads, 4);
    }
}

#[tokio::test]
async fn what_is_looked_at_stays_as_it_was_while_another_store_writes() {
    let root = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(in_dir(root.path())).unwrap();
    let mut make = Maker::default();
    let (run, subject) = (make.run(), make.subject());
    store.keep_key(subject, key()).await.unwrap();
    store
        .append(batch([make.open(run, subject)]))
        .await
        .unwrap();
    store.wait_indexed(1).await.unwrap();
    for round in 0..20u64 {
        let mut options = in_dir(root.path());
        options.read_only = true;
        let look = EmbeddedStore::open(options).unwrap();
        let durable = look.status().await.unwrap().durable;
        let decision = make.decision();
        let leaf = make.propose(decision, run, "agent", &[]);
        let size = store.append(batch([leaf])).await.unwrap().seqs[0] + 1;
        store.wait_indexed(size).await.unwrap();
        assert_eq!(look.events_of(decision).await.unwrap(), [0; 0]);
        let decisions = look.decisions(Some(run), ledger::Page::first(100)).await;
        for row in decisions.unwrap() {
            for seq in look.events_of(row.id).await.unwrap() {
                assert!(seq < durable);
                assert_eq!(look.read(seq, 1).await.unwrap().len(), 1, "round {round}");
            }
        }
        if round == 19 {
            store.append(batch([make.erase(subject)])).await.unwrap();
            store.destroy_key(subject).await.unwrap();
            assert_eq!(look.key(subject).await.unwrap(), KeyState::Destroyed);
        }
    }
}
