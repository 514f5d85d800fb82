//! Every store runs the one suite.

use store::MemoryStore;

#[tokio::test]
async fn memory_store_keeps_every_promise_of_the_seam() {
    ledger::conformance::check(async || MemoryStore::default()).await;
}
