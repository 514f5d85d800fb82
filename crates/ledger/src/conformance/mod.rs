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
    on(&new, writes::appends_in_order_and_reads_back).await;
    on(&new, writes::appends_each_event_once).await;
    on(&new, writes::refuses_a_stale_parent).await;
    on(&new, writes::appends_a_batch_whole_or_not_at_all).await;
    on(&new, writes::keeps_payloads_of_events).await;
    on(&new, writes::reads_many_payloads_at_once).await;
    on(&new, writes::refuses_payloads_that_do_not_fit).await;
    on(&new, writes::keeps_one_key_for_a_subject).await;
    on(&new, writes::destroys_a_key_and_what_it_opens).await;
    on(&new, writes::publishes_what_is_durable).await;
    on(&new, writes::serves_the_published_log).await;
    on(&new, writes::closes).await;
    on(&new, index::waits_for_the_index_but_not_for_ever).await;
    on(&new, index::knows_the_heads_of_streams).await;
    on(&new, index::lists_runs_newest_first).await;
    on(&new, index::lists_named_runs_newest_first).await;
    on(&new, index::lists_decisions_in_order).await;
    on(&new, index::lists_decisions_of_a_kind).await;
    on(&new, index::finds_events_by_decision_subject_and_name).await;
    on(&new, index::reads_many_decisions_at_once).await;
    on(&new, index::finds_tool_calls_by_what_they_touch).await;
    on(&new, index::counts_calls_by_tool).await;
    on(&new, index::finds_by_prefix).await;
    on(&new, index::finds_by_end).await;
    on(&new, index::finds_an_import_again).await;
    on(&new, index::follows_edges_both_ways).await;
    on(&new, index::closes_over_edges).await;
    on(&new, index::answers_the_same_after_reindexing).await;
}

/// Runs one check on a new store, which is gone before the next one.
async fn on<S: Store, F: Future<Output = S>>(
    new: &impl Fn() -> F,
    check: impl AsyncFnOnce(&dyn Store),
) {
    let store = Box::new(Box::pin(new()).await);
    Box::pin(check(&*store)).await;
}
