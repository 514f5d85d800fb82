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
    on(&new, async |store| {
        writes::appends_in_order_and_reads_back(store).await
    })
    .await;
    on(&new, async |store| {
        writes::appends_each_event_once(store).await
    })
    .await;
    on(&new, async |store| {
        writes::refuses_a_stale_parent(store).await
    })
    .await;
    on(&new, async |store| {
        writes::appends_a_batch_whole_or_not_at_all(store).await
    })
    .await;
    on(&new, async |store| {
        writes::keeps_payloads_by_digest(store).await
    })
    .await;
    on(&new, async |store| {
        writes::refuses_payloads_that_do_not_fit(store).await
    })
    .await;
    on(&new, async |store| {
        writes::keeps_one_key_for_a_subject(store).await
    })
    .await;
    on(&new, async |store| {
        writes::destroys_a_key_and_what_it_opens(store).await
    })
    .await;
    on(&new, async |store| {
        writes::publishes_what_is_durable(store).await
    })
    .await;
    on(&new, async |store| {
        writes::serves_the_published_log(store).await
    })
    .await;
    on(&new, async |store| writes::closes(store).await).await;
    on(&new, async |store| {
        index::waits_for_the_index_but_not_for_ever(store).await
    })
    .await;
    on(&new, async |store| {
        index::knows_the_heads_of_streams(store).await
    })
    .await;
    on(&new, async |store| {
        index::lists_runs_newest_first(store).await
    })
    .await;
    on(&new, async |store| {
        index::lists_decisions_in_order(store).await
    })
    .await;
    on(&new, async |store| {
        index::finds_events_by_decision_subject_and_name(store).await
    })
    .await;
    on(&new, async |store| {
        index::finds_tool_calls_by_what_they_touch(store).await
    })
    .await;
    on(&new, async |store| index::counts_calls_by_tool(store).await).await;
    on(&new, async |store| index::finds_by_prefix(store).await).await;
    on(&new, async |store| index::finds_by_end(store).await).await;
    on(&new, async |store| {
        index::finds_an_import_again(store).await
    })
    .await;
    on(&new, async |store| {
        index::follows_edges_both_ways(store).await
    })
    .await;
    on(&new, async |store| index::closes_over_edges(store).await).await;
    on(&new, async |store| {
        index::answers_the_same_after_reindexing(store).await
    })
    .await;
}

/// Runs one check on a new store, which is gone before the next one.
async fn on<S: Store, F: Future<Output = S>>(
    new: &impl Fn() -> F,
    check: impl AsyncFnOnce(&dyn Store),
) {
    let store = Box::new(Box::pin(new()).await);
    Box::pin(check(&*store)).await;
}
