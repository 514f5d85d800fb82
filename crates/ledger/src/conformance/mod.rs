//! What every store owes, as one suite: each sentence of the seam's documentation is a check.
//!
//! A check panics with a message that says which promise was broken, so it is called from tests:
//! `ledger::conformance::check(async || MemoryStore::default()).await`. The factory returns a new
//! and empty store each time. Crashes, failing disks and reopening are not covered here: they need
//! to know what a store is made of.

mod index;
pub mod sample;
mod writes;

use std::future::Future;

use crate::Store;

/// Runs every check, each on a new store.
///
/// # Panics
/// With the promise that the store broke.
pub async fn check<S: Store, F: Future<Output = S>>(new: impl Fn() -> F) {
    Box::pin(writes::appends_in_order_and_reads_back(&new().await)).await;
    Box::pin(writes::appends_each_event_once(&new().await)).await;
    Box::pin(writes::refuses_a_stale_parent(&new().await)).await;
    Box::pin(writes::appends_a_batch_whole_or_not_at_all(&new().await)).await;
    Box::pin(writes::keeps_payloads_by_digest(&new().await)).await;
    Box::pin(writes::refuses_payloads_that_do_not_fit(&new().await)).await;
    Box::pin(writes::keeps_one_key_for_a_subject(&new().await)).await;
    Box::pin(writes::destroys_a_key_and_what_it_opens(&new().await)).await;
    Box::pin(writes::publishes_what_is_durable(&new().await)).await;
    Box::pin(writes::serves_the_published_log(&new().await)).await;
    Box::pin(writes::closes(&new().await)).await;
    Box::pin(index::waits_for_the_index_but_not_for_ever(&new().await)).await;
    Box::pin(index::knows_the_heads_of_streams(&new().await)).await;
    Box::pin(index::lists_runs_newest_first(&new().await)).await;
    Box::pin(index::lists_decisions_in_order(&new().await)).await;
    Box::pin(index::finds_events_by_decision_subject_and_name(
        &new().await,
    ))
    .await;
    Box::pin(index::finds_tool_calls_by_what_they_touch(&new().await)).await;
    Box::pin(index::finds_by_prefix(&new().await)).await;
    Box::pin(index::finds_by_end(&new().await)).await;
    Box::pin(index::finds_an_import_again(&new().await)).await;
    Box::pin(index::follows_edges_both_ways(&new().await)).await;
    Box::pin(index::closes_over_edges(&new().await)).await;
    Box::pin(index::answers_the_same_after_reindexing(&new().await)).await;
}
