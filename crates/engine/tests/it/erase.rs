//! Erasing contents.

use engine::{EngineError, ErasePolicy};

use crate::support::{Desk, NOON, REFUND};

const POLICY: ErasePolicy<'static> = ErasePolicy {
    basis: "request 7",
    by: "tester",
    before_minimum: false,
};

const DAY: u64 = 24 * 60 * 60 * 1_000_000;

#[tokio::test]
async fn c10_an_erasure_leaves_the_entries_and_is_seen() {
    let desk = Desk::open().await;
    let imported = desk.import(REFUND).await;
    let engine = &desk.engine;
    let before = engine.store().read(0, 100).await.unwrap();
    let subject = engine.runs(ledger::Page::first(1)).await.unwrap().runs[0]
        .subject
        .clone();
    let subject = subject.parse().unwrap();
    let policy = ErasePolicy {
        before_minimum: true,
        ..POLICY
    };
    let erased = engine.erase(subject, policy).await.unwrap();
    assert_eq!((erased.index, erased.already), (imported.size, false));
    assert_eq!(erased.events, imported.decisions);

    let after = engine.store().read(0, 100).await.unwrap();
    assert_eq!(after[..before.len()], before, "no entry is touched");
    let user = engine.resolve_decision("latest:2").await.unwrap();
    let decision = engine.decision(user).await.unwrap();
    assert!(!decision.contents.is_empty());
    assert!(
        decision
            .contents
            .iter()
            .all(|c| c.state == "erased" && c.text.is_none())
    );

    let again = engine.erase(subject, policy).await.unwrap();
    assert!(again.already);
    assert_eq!((again.index, again.events), (erased.index, erased.events));
}

#[tokio::test]
async fn c61_contents_are_kept_for_the_minimum_and_under_a_hold() {
    let desk = Desk::open().await;
    desk.import(REFUND).await;
    let engine = &desk.engine;
    let subject = engine.runs(ledger::Page::first(1)).await.unwrap().runs[0]
        .subject
        .clone();
    let subject = subject.parse().unwrap();
    let refused = async || match engine.erase(subject, POLICY).await {
        Err(EngineError::Retained { reason, .. }) => reason,
        other => panic!("expected a refusal, got {other:?}"),
    };
    assert!(refused().await.contains("kept 183 days"));
    engine.set_retention(400, "tester").await.unwrap();
    desk.clock.set(NOON + 200 * DAY);
    assert!(refused().await.contains("kept 400 days"));
    desk.clock.set(NOON + 401 * DAY);
    engine.set_hold(subject, true, "counsel").await.unwrap();
    assert!(refused().await.contains("a legal hold by counsel"));
    let forced = ErasePolicy {
        before_minimum: true,
        ..POLICY
    };
    engine.erase(subject, forced).await.unwrap_err();
    engine.set_hold(subject, false, "counsel").await.unwrap();
    assert!(!engine.erase(subject, POLICY).await.unwrap().already);
}
