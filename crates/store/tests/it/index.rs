//! What the index holds does not depend on how leaves came together in its transactions.

use std::sync::{Arc, Mutex};

use ledger::conformance::sample::Maker;
use ledger::{Batch, Direction, Leaf, Store, StoreError};
use model::{DecisionId, Strength};
use store::EmbeddedStore;

use crate::support::in_dir;

/// Appends leaves in transactions of their own, one after the other.
async fn play(store: &EmbeddedStore, leaves: Vec<Leaf>) {
    for leaf in leaves {
        let batch = Batch {
            leaves: vec![leaf],
            payloads: Vec::new(),
        };
        let appended = store.append(batch).await.unwrap();
        store.wait_indexed(appended.seqs[0] + 1).await.unwrap();
    }
}

async fn effects(store: &EmbeddedStore, cause: DecisionId) -> Vec<DecisionId> {
    let edges = store.edges(&[cause], Direction::Effects).await.unwrap();
    edges.iter().map(|edge| edge.effect).collect()
}

/// Builds the index anew, in few transactions, and compares.
async fn same_when_rebuilt(store: &EmbeddedStore) {
    let before = store.index_digests().await.unwrap();
    store.reindex().await.unwrap();
    assert_eq!(store.index_digests().await.unwrap(), before);
}

#[tokio::test]
async fn effects_that_come_one_by_one_are_found_like_those_that_come_together() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(in_dir(dir.path())).unwrap();
    let mut make = Maker::default();
    let (run, subject) = (make.run(), make.subject());
    let (cause, first, second) = (make.decision(), make.decision(), make.decision());
    let because = [(cause, Strength::Certain)];
    let leaves = vec![
        make.open(run, subject),
        make.propose(cause, run, "a", &[]),
        make.propose(first, run, "b", &because),
        make.propose(second, run, "c", &because),
    ];
    play(&store, leaves).await;
    assert_eq!(effects(&store, cause).await, [first, second]);
    same_when_rebuilt(&store).await;
    assert_eq!(effects(&store, cause).await, [first, second]);
    store.close().await.unwrap();
}

async fn stands_still(store: &EmbeddedStore) -> bool {
    let notices = store.status().await.unwrap().notices;
    notices.iter().any(|notice| notice.contains("stands still"))
}

#[tokio::test]
async fn an_index_that_could_not_be_written_is_tried_again_by_who_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let options = in_dir(dir.path());
    let store = EmbeddedStore::open(options).unwrap();
    let mut make = Maker::default();
    let (run, subject) = (make.run(), make.subject());
    play(&store, vec![make.open(run, subject)]).await;

    // Somebody else's hand on the file stands for a disk that takes nothing.
    let refuse =
        "CREATE TRIGGER refuse BEFORE INSERT ON decision BEGIN SELECT RAISE(FAIL, 'no'); END";
    let file = rusqlite::Connection::open(dir.path().join("index/default.sqlite")).unwrap();
    file.execute_batch(refuse).unwrap();
    let decision = make.decision();
    let batch = Batch {
        leaves: vec![make.propose(decision, run, "a", &[])],
        payloads: Vec::new(),
    };
    store.append(batch).await.unwrap();
    for _ in 0..2 {
        let error = store.wait_indexed(2).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    }
    assert!(stands_still(&store).await);
    file.execute_batch("DROP TRIGGER refuse").unwrap();
    store.wait_indexed(2).await.unwrap();
    assert_eq!(store.rows(&[decision]).await.unwrap().len(), 1);
    assert!(!stands_still(&store).await);
    same_when_rebuilt(&store).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn how_far_the_index_is_is_told_when_it_is_built_anew() {
    let dir = tempfile::tempdir().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let open = || {
        let told = Arc::clone(&told);
        let mut options = in_dir(dir.path());
        options.indexing = Some(Arc::new(move |done, total| {
            told.lock().unwrap().push((done, total));
        }));
        EmbeddedStore::open(options).unwrap()
    };
    let heard = || std::mem::take(&mut *told.lock().unwrap());
    let store = open();
    let mut make = Maker::default();
    let (run, subject) = (make.run(), make.subject());
    let decision = make.decision();
    let leaves = vec![
        make.open(run, subject),
        make.propose(decision, run, "a", &[]),
    ];
    play(&store, leaves).await;
    heard();
    let size = store.reindex().await.unwrap();
    assert_eq!(heard(), [(0, size), (size, size)]);
    store.close().await.unwrap();
    let size = store.status().await.map_or(size, |status| status.durable);
    drop(store);
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(dir.path().join(format!("index/default.sqlite{end}")));
    }
    let store = open();
    assert_eq!(heard(), [(0, size), (size, size)]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_decision_that_begins_twice_keeps_its_first_row() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(in_dir(dir.path())).unwrap();
    let mut make = Maker::default();
    let (run, subject) = (make.run(), make.subject());
    let decision = make.decision();
    let leaves = vec![
        make.open(run, subject),
        make.propose(decision, run, "first", &[]),
        make.propose(decision, run, "second", &[]),
    ];
    play(&store, leaves).await;
    let rows = store.rows(&[decision]).await.unwrap();
    assert_eq!(rows[0].keys.agent.name, "first");
    assert_eq!(store.events_of(decision).await.unwrap(), [1, 2]);
    same_when_rebuilt(&store).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn c76_an_index_of_an_older_or_newer_version_is_made_anew_and_answers_the_same() {
    let root = tempfile::tempdir().unwrap();
    let mut make = Maker::default();
    let (run, decision) = (make.run(), make.decision());
    let store = EmbeddedStore::open(in_dir(root.path())).unwrap();
    let leaves = vec![make.propose(decision, run, "a", &[]), make.start(decision)];
    play(&store, leaves).await;
    let before = store.index_digests().await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let path = root.path().join("index/default.sqlite");
    let now: i64 = {
        let file = rusqlite::Connection::open(&path).unwrap();
        file.query_row("PRAGMA user_version", [], |row| row.get(0))
            .unwrap()
    };
    for other in (0..now).chain([now + 1, i64::from(i32::MAX)]) {
        let file = rusqlite::Connection::open(&path).unwrap();
        // What a table was called then is not what it is called now.
        let older = format!("ALTER TABLE decision RENAME TO step; PRAGMA user_version = {other}");
        file.execute_batch(&older).unwrap();
        drop(file);
        // Who only looks leaves the file as it is.
        let looking = EmbeddedStore::open(store::OpenOptions {
            read_only: true,
            ..in_dir(root.path())
        });
        let looking = looking.unwrap();
        assert_eq!(looking.events_of(decision).await.unwrap(), [0, 1]);
        looking.close().await.unwrap();
        let store = EmbeddedStore::open(in_dir(root.path())).unwrap();
        let notices = store.status().await.unwrap().notices;
        let told = |notice: &String| notice.contains("the index has another version");
        assert!(notices.iter().any(told), "{other}: {notices:?}");
        assert_eq!(store.index_digests().await.unwrap(), before, "{other}");
        assert_eq!(store.events_of(decision).await.unwrap(), [0, 1]);
        store.close().await.unwrap();
    }
}
