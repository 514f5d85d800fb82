//! Every store runs the one suite.

use store::{EmbeddedStore, MemoryStore};

use crate::support::{in_dir, on_disk};

#[tokio::test]
async fn memory_store_keeps_every_promise_of_the_seam() {
    ledger::conformance::check(async || MemoryStore::default()).await;
}

#[tokio::test]
async fn embedded_store_keeps_every_promise_of_the_seam() {
    let root = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    ledger::conformance::check(async || {
        count.set(count.get() + 1);
        EmbeddedStore::open(in_dir(&root.path().join(count.get().to_string()))).unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_store_with_tiny_segments_and_a_witness_keeps_every_promise() {
    let root = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    ledger::conformance::check(async || {
        count.set(count.get() + 1);
        let dir = root.path().join(count.get().to_string());
        let mut options = in_dir(&dir.join("data"));
        options.witness_dir = Some(dir.join("witness"));
        (options.segment_len, options.pack_len, options.queue_len) = (2_000, 1_000, 4_096);
        EmbeddedStore::open(options).unwrap()
    })
    .await;
}

#[tokio::test]
async fn embedded_store_on_the_faulty_disk_keeps_every_promise() {
    let root = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    ledger::conformance::check(async || {
        count.set(count.get() + 1);
        let index = root.path().join(count.get().to_string());
        EmbeddedStore::open(on_disk(&store::fault::FaultDisk::default(), &index)).unwrap()
    })
    .await;
}
